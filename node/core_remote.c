/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The owner's end of relayed connections: a stream is a cursor in the log of its channel, with credit.
 *
 *   something is committed, credit comes, it is opened behind
 *        |
 *        v
 *      ready ---end of the turn, while the tunnel has a window--> StreamBatch to all of its tunnel that
 *                                                                 are next to each other and at one place
 *
 * Nothing is queued here: what a stream has not been sent is in the log.
 */

#define BATCH_MESSAGES_MAX 64U
#define BATCH_STREAMS_MAX  1024U

static struct rh_remote *remote_of(struct rh_subscription *subscription)
{
    assert(subscription->is_remote);
    return rh_container_of(subscription, struct rh_remote, subscription);
}

static struct rh_remote *remote_in_table(const struct rh_table_link *link)
{
    return (struct rh_remote *)((uintptr_t)link - offsetof(struct rh_remote, table_link));
}

/* ---- tunnels ---- */

static struct rh_tunnel_in *tunnel_find(const struct rh_core *core,
                                        const struct rh_process *process)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_in, link) {
        struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        if (tunnel->process == process) {
            return tunnel;
        }
    }
    return NULL;
}

static struct rh_tunnel_in *tunnel_create(struct rh_core *core, struct rh_process *process)
{
    struct rh_tunnel_in *tunnel = rh_core_alloc(1, sizeof(*tunnel));
    tunnel->process = process;
    process->groups++;
    rh_list_init(&tunnel->remotes);
    rh_list_init(&tunnel->ready);
    rh_list_init(&tunnel->ended);
    rh_list_init(&tunnel->to_show);
    rh_list_push_back(&core->tunnels_in, &tunnel->link);
    return tunnel;
}

/* Takes a stream out of its tunnel; its memory lives until the next step. */
static void forget(struct rh_core *core, struct rh_remote *remote)
{
    rh_list_remove(&remote->link);
    rh_list_remove(&remote->ready_link);
    rh_list_remove(&remote->show_link);
    rh_table_remove(&core->remotes, &remote->table_link);
    core->stats.remotes--;
    rh_core_keep(core, remote);
}

static void tunnel_empty(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    rh_list_each_safe (&tunnel->remotes, link) {
        struct rh_remote *remote = rh_container_of(link, struct rh_remote, link);
        forget(core, remote);
        rh_core_unsubscribe(core, &remote->subscription);
    }
}

static void tunnel_destroy(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    tunnel_empty(core, tunnel);
    tunnel->process->groups--;
    rh_list_remove(&tunnel->link);
    free(tunnel);
}

static void say_broken(struct rh_core *core, const struct rh_process *to, uint64_t id)
{
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_TUNNEL_STATE);
    message->tunnel_state = (struct rh_peer_tunnel_state){.tunnel = id, .is_broken = true};
}

/* Rule 1: what is missing may have been anything. */
static void tunnel_break(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    tunnel_empty(core, tunnel);
    tunnel->is_broken = true;
    say_broken(core, tunnel->process, tunnel->id);
}

/* The tunnel of a message that is the next one in it; NULL: there is nothing to do. */
static struct rh_tunnel_in *take(struct rh_core *core, struct rh_process *from, uint64_t id,
                                 uint64_t number)
{
    struct rh_tunnel_in *tunnel = tunnel_find(core, from);
    if (tunnel != NULL && id < tunnel->id) {
        return NULL;
    }
    if (tunnel == NULL) {
        tunnel = tunnel_create(core, from);
    }
    if (id > tunnel->id) {
        tunnel_empty(core, tunnel);
        tunnel->id = id;
        tunnel->received = 0;
        tunnel->sent = 0;
        tunnel->on_the_way = 0;
        tunnel->is_broken = false;
    }
    tunnel->heard_ms = core->now_ms;
    if (tunnel->is_broken) {
        return NULL;
    }
    if (number != tunnel->received + 1) {
        tunnel_break(core, tunnel);
        return NULL;
    }
    tunnel->received = number;
    return tunnel;
}

/* ---- streams ---- */

/* What tells streams apart. */
struct name {
    const struct rh_tunnel_in *tunnel;
    uint64_t number;
};

static uint64_t name_hash(const struct name *name)
{
    return name->tunnel->process->ref.instance ^ name->number;
}

static bool name_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_remote *remote = remote_in_table(link);
    const struct name *name = key;
    return remote->tunnel == name->tunnel && remote->number == name->number;
}

static struct rh_remote *find(const struct rh_core *core, const struct rh_tunnel_in *tunnel,
                              uint64_t number)
{
    const struct name name = {.tunnel = tunnel, .number = number};
    struct rh_table_link *link = rh_table_find(&core->remotes, name_hash(&name), name_equal, &name);
    return link == NULL ? NULL : remote_in_table(link);
}

static struct rh_remote *create(struct rh_core *core, struct rh_tunnel_in *tunnel,
                                const struct rh_peer_stream_open *open)
{
    struct rh_remote *remote = calloc(1, sizeof(*remote) + open->client.size + open->meta.size);
    if (remote == NULL) {
        return NULL;
    }
    remote->attendee.client = rh_bytes(remote->data, open->client.size);
    char *meta = rh_bytes_write(remote->data, open->client);
    remote->attendee.meta = rh_bytes(meta, open->meta.size);
    (void)rh_bytes_write(meta, open->meta);
    rh_subscription_init(&remote->subscription);
    remote->subscription.is_remote = true;
    remote->tunnel = tunnel;
    remote->number = open->stream;
    remote->window = open->window;
    remote->untaken = open->used;
    remote->room_min = open->room_min;
    rh_list_init(&remote->ready_link);
    rh_list_init(&remote->show_link);
    rh_list_push_back(&tunnel->remotes, &remote->link);
    const struct name name = {.tunnel = tunnel, .number = open->stream};
    rh_table_insert(&core->remotes, &remote->table_link, name_hash(&name));
    core->stats.remotes++;
    core->stats.remotes_opened++;
    return remote;
}

static void send_ended(struct rh_core *core, struct rh_tunnel_in *tunnel, uint64_t stream,
                       enum rh_refusal refusal, uint32_t owner)
{
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_ENDED);
    struct rh_peer_stream_ended *ended = &message->stream_ended;
    ended->tunnel = tunnel->id;
    ended->number = ++tunnel->sent;
    ended->stream = stream;
    if (refusal != RH_REFUSAL_NONE) {
        ended->code = rh_bytes_text(rh_refusal_code(refusal));
    } else if (owner != RH_RING_NONE) {
        memcpy(ended->owner, core->view->members[owner].id, RH_NODE_ID_SIZE);
    }
}

void rh_core_on_stream_open(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message)
{
    const struct rh_peer_stream_open *open = &message->stream_open;
    struct rh_tunnel_in *tunnel = take(core, from, open->tunnel, open->number);
    if (tunnel == NULL) {
        return;
    }
    if (find(core, tunnel, open->stream) != NULL) {
        tunnel_break(core, tunnel); /* it is used twice */
        return;
    }
    struct rh_remote *remote =
        core->stats.remotes < core->options.remotes_max ? create(core, tunnel, open) : NULL;
    if (remote == NULL) {
        core->stats.refusals++;
        send_ended(core, tunnel, open->stream, RH_REFUSAL_OVERLOADED, RH_RING_NONE);
        return;
    }
    const struct rh_event event = {
        .kind = open->is_read ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &remote->subscription,
                      .key = open->key,
                      .has_after = open->has_after,
                      .after_is_ours = open->is_anchored,
                      .after = open->after,
                      .hop = {.has_epoch = true, .epoch = message->epoch.pzxid},
                      .limit = open->limit,
                      .wait_ms = open->wait_ms,
                      .watches_state = open->watches_state,
                      .watches_presence = open->watches_presence,
                      .attendee = open->client.size > 0 ? &remote->attendee : NULL},
    };
    if (open->is_read) {
        rh_core_read(core, &event);
    } else {
        rh_core_subscribe(core, &event);
    }
}

void rh_core_on_stream_close(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_stream_close *close = &message->stream_close;
    struct rh_tunnel_in *tunnel = take(core, from, close->tunnel, close->number);
    struct rh_remote *remote = tunnel == NULL ? NULL : find(core, tunnel, close->stream);
    if (remote != NULL && !rh_fault(RH_FAULT_KEEP_STREAM)) {
        forget(core, remote);
        rh_core_unsubscribe(core, &remote->subscription);
    }
}

/* ---- credit ---- */

static bool has_credit(const struct rh_remote *remote)
{
    return remote->untaken < remote->window || rh_fault(RH_FAULT_NO_CREDIT);
}

static bool has_more(const struct rh_remote *remote)
{
    const struct rh_subscription *subscription = &remote->subscription;
    return subscription->state == RH_SUBSCRIPTION_REMOTE &&
           subscription->next_seq <= rh_channel_commit_seq(subscription->channel);
}

void rh_core_remote_ready(struct rh_subscription *subscription)
{
    struct rh_remote *remote = remote_of(subscription);
    bool is_read = subscription->state == RH_SUBSCRIPTION_WAITING;
    if (rh_list_empty(&remote->ready_link) &&
        (is_read || (has_more(remote) && has_credit(remote)))) {
        rh_list_push_back(&remote->tunnel->ready, &remote->ready_link);
    }
}

static bool has_window(const struct rh_tunnel_in *tunnel)
{
    return tunnel->on_the_way < RH_TUNNEL_WINDOW;
}

bool rh_core_remote_has_window(struct rh_subscription *subscription)
{
    return has_window(remote_of(subscription)->tunnel);
}

void rh_core_on_stream_taken(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_stream_taken *taken = &message->stream_taken;
    struct rh_tunnel_in *tunnel = take(core, from, taken->tunnel, taken->number);
    if (tunnel == NULL) {
        return;
    }
    tunnel->on_the_way -= taken->arrived < tunnel->on_the_way ? taken->arrived : tunnel->on_the_way;
    for (size_t i = 0; i < taken->rooms_count; i++) {
        struct rh_remote *remote = find(core, tunnel, taken->rooms[i].stream);
        uint64_t size = taken->rooms[i].size;
        if (remote != NULL) {
            remote->untaken -= size < remote->untaken ? size : remote->untaken;
            rh_core_remote_ready(&remote->subscription);
        }
    }
}

void rh_core_on_tunnel_check(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_tunnel_check *check = &message->tunnel_check;
    struct rh_tunnel_in *tunnel = tunnel_find(core, from);
    if (tunnel == NULL || tunnel->id < check->tunnel) {
        say_broken(core, from, check->tunnel);
        return;
    }
    if (tunnel->id > check->tunnel) {
        return;
    }
    tunnel->heard_ms = core->now_ms;
    if (tunnel->is_broken) {
        say_broken(core, from, check->tunnel);
    } else if (tunnel->received != check->number) {
        tunnel_break(core, tunnel);
    } else {
        struct rh_peer_message *answer = rh_core_send(core, from, RH_PEER_TUNNEL_STATE);
        answer->tunnel_state.tunnel = tunnel->id;
        answer->tunnel_state.number = tunnel->sent;
    }
}

/* ---- what is watched ---- */

void rh_core_remote_show(struct rh_subscription *subscription)
{
    struct rh_remote *remote = remote_of(subscription);
    if (rh_list_empty(&remote->show_link)) {
        rh_list_push_back(&remote->tunnel->to_show, &remote->show_link);
    }
}

void rh_core_on_stream_show(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message)
{
    const struct rh_peer_stream_show *show = &message->stream_show;
    struct rh_tunnel_in *tunnel = take(core, from, show->tunnel, show->number);
    struct rh_remote *remote = tunnel == NULL ? NULL : find(core, tunnel, show->stream);
    if (remote != NULL) {
        rh_core_watch_show(core, &remote->subscription);
    }
}

/* The state of the channel of the first who wants it, to all who follow it and want the same. */
static void send_state(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    struct rh_remote *first =
        rh_container_of(rh_list_first(&tunnel->to_show), struct rh_remote, show_link);
    const struct rh_channel *channel = first->subscription.channel;
    uint64_t *streams = rh_core_scratch(core, BATCH_STREAMS_MAX, sizeof(*streams));
    size_t count = 0;
    for (struct rh_list *link = rh_list_first(&tunnel->to_show);
         link != NULL && count < BATCH_STREAMS_MAX; link = rh_list_first(&tunnel->to_show)) {
        struct rh_remote *remote = rh_container_of(link, struct rh_remote, show_link);
        if (remote->subscription.channel != channel) {
            break;
        }
        rh_list_remove(link);
        streams[count++] = remote->number;
    }
    if (channel == NULL) {
        return; /* they are in none any more */
    }
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_STATE);
    struct rh_peer_stream_state *state = &message->stream_state;
    state->tunnel = tunnel->id;
    state->number = ++tunnel->sent;
    state->streams = streams;
    state->streams_count = count;
    if (channel->state != NULL) {
        struct rh_peer_operation *operation = rh_core_scratch(core, 1, sizeof(*operation));
        *operation = rh_core_operation(core, channel->state);
        state->state = operation;
        state->state_count = 1;
    }
    tunnel->on_the_way += rh_peer_stream_state_weight(state);
}

static void tell(struct rh_core *core, struct rh_tunnel_in *tunnel, const uint64_t *streams,
                 size_t count, const struct rh_peer_stream_presence *what)
{
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_PRESENCE);
    struct rh_peer_stream_presence *presence = &message->stream_presence;
    *presence = *what;
    presence->tunnel = tunnel->id;
    presence->number = ++tunnel->sent;
    presence->streams = streams;
    presence->streams_count = count;
    tunnel->on_the_way += rh_peer_stream_presence_weight(presence);
}

size_t rh_core_remotes_tell(struct rh_core *core, struct rh_subscription **streams, size_t count,
                            const struct rh_peer_stream_presence *what)
{
    rh_list_each (&core->tunnels_in, link) {
        struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        uint64_t *numbers = NULL;
        size_t numbers_count = 0;
        for (size_t i = 0; i < count; i++) {
            if (!streams[i]->is_remote || remote_of(streams[i])->tunnel != tunnel) {
                continue;
            }
            if (numbers_count % BATCH_STREAMS_MAX == 0) {
                if (numbers != NULL) {
                    tell(core, tunnel, numbers, numbers_count, what);
                }
                numbers = rh_core_scratch(core, BATCH_STREAMS_MAX, sizeof(*numbers));
                numbers_count = 0;
            }
            numbers[numbers_count++] = remote_of(streams[i])->number;
        }
        if (numbers_count > 0) {
            tell(core, tunnel, numbers, numbers_count, what);
        }
    }
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (!streams[i]->is_remote) {
            streams[left++] = streams[i];
        }
    }
    return left;
}

/* ---- what is told ---- */

void rh_core_remote_opened(struct rh_core *core, struct rh_subscription *subscription,
                           uint64_t incarnation, uint64_t seq, bool recovered)
{
    struct rh_remote *remote = remote_of(subscription);
    struct rh_tunnel_in *tunnel = remote->tunnel;
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_OPENED);
    message->stream_opened = (struct rh_peer_stream_opened){
        .tunnel = tunnel->id,
        .number = ++tunnel->sent,
        .stream = remote->number,
        .incarnation = incarnation,
        .seq = seq,
        .recovered = recovered,
    };
}

/* |count| messages from |seq| on, as a message wants them. */
static const struct rh_peer_operation *
messages_of(struct rh_core *core, const struct rh_channel *channel, uint64_t seq, uint32_t count)
{
    struct rh_peer_operation *items = rh_core_scratch(core, count, sizeof(*items));
    for (uint32_t i = 0; i < count; i++) {
        items[i] = rh_core_operation(core, rh_channel_message(channel, seq + i));
    }
    return items;
}

void rh_core_remote_read(struct rh_core *core, struct rh_subscription *subscription,
                         const struct rh_channel *channel, uint64_t seq, uint32_t count,
                         bool recovered, bool more)
{
    struct rh_remote *remote = remote_of(subscription);
    struct rh_tunnel_in *tunnel = remote->tunnel;
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_READ);
    struct rh_peer_stream_read *read = &message->stream_read;
    read->tunnel = tunnel->id;
    read->number = ++tunnel->sent;
    read->stream = remote->number;
    read->recovered = recovered;
    read->more = more;
    if (channel != NULL) {
        read->incarnation = channel->incarnation;
        read->seq = seq + count - 1;
        read->messages = messages_of(core, channel, seq, count);
        read->messages_count = count;
    }
    tunnel->on_the_way += rh_peer_stream_read_weight(read);
    forget(core, remote);
}

void rh_core_remote_read_nothing(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_remote *remote = remote_of(subscription);
    struct rh_tunnel_in *tunnel = remote->tunnel;
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_READ);
    message->stream_read = (struct rh_peer_stream_read){
        .tunnel = tunnel->id,
        .number = ++tunnel->sent,
        .stream = remote->number,
        .incarnation = subscription->after.incarnation,
        .seq = subscription->after.seq,
        .recovered = true,
    };
    tunnel->on_the_way += rh_peer_stream_read_weight(&message->stream_read);
    forget(core, remote);
}

void rh_core_remote_ended(struct rh_core *core, struct rh_subscription *subscription,
                          enum rh_refusal refusal, uint32_t owner)
{
    struct rh_remote *remote = remote_of(subscription);
    if (refusal != RH_REFUSAL_NONE) {
        send_ended(core, remote->tunnel, remote->number, refusal, owner);
        forget(core, remote);
        return;
    }
    remote->owner = owner;
    remote->ended_epoch = core->view->epoch;
    rh_list_remove(&remote->show_link);
    rh_list_remove(&remote->ready_link);
    rh_list_push_back(&remote->tunnel->ended, &remote->ready_link);
}

static void flush_ended(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    for (unsigned sent = 0; sent < RH_TUNNEL_ENDS_MAX && !rh_list_empty(&tunnel->ended); sent++) {
        struct rh_remote *remote =
            rh_container_of(rh_list_first(&tunnel->ended), struct rh_remote, ready_link);
        bool is_known = rh_epoch_compare(remote->ended_epoch, core->view->epoch) == 0;
        send_ended(core, tunnel, remote->number, RH_REFUSAL_NONE,
                   is_known ? remote->owner : RH_RING_NONE);
        forget(core, remote);
    }
}

/* ---- batches ---- */

/* What goes into one message: the next of |first|, and who else is next to it. */
struct batch {
    struct rh_channel *channel;
    uint64_t seq;
    uint32_t count;
    uint64_t size; /* in credit */
};

static bool has_credit_for(const struct rh_remote *remote, uint64_t size)
{
    return remote->untaken < remote->room_min || remote->untaken + size <= remote->window;
}

static bool fits(const struct rh_remote *remote, const struct batch *batch)
{
    const struct rh_subscription *subscription = &remote->subscription;
    return subscription->state == RH_SUBSCRIPTION_REMOTE &&
           subscription->channel == batch->channel && subscription->next_seq == batch->seq &&
           (has_credit_for(remote, batch->size) || rh_fault(RH_FAULT_NO_CREDIT));
}

/* How much the stream can be sent now; none: it waits for credit, or for its channel, or is over. */
static bool make_batch(struct rh_core *core, struct rh_remote *remote, struct batch *ret_batch)
{
    struct rh_subscription *subscription = &remote->subscription;
    struct rh_channel *channel = subscription->channel;
    if (subscription->state != RH_SUBSCRIPTION_REMOTE || !has_more(remote) ||
        (core->options.replication && !rh_role_serves(channel->role) &&
         !rh_fault(RH_FAULT_SEND_UNSERVED))) {
        return false; /* whoever makes that true makes it ready again */
    }
    if (subscription->next_seq < rh_channel_first_seq(channel)) {
        rh_core_stream_refuse(core, subscription, RH_REFUSAL_TOO_SLOW);
        return false;
    }
    uint64_t credit = remote->untaken < remote->window ? remote->window - remote->untaken : 0;
    *ret_batch = (struct batch){.channel = channel, .seq = subscription->next_seq};
    ret_batch->count = rh_core_stream_batch(
        channel, ret_batch->seq, BATCH_MESSAGES_MAX,
        credit < RH_PEER_BATCH_SIZE ? credit : RH_PEER_BATCH_SIZE, &ret_batch->size);
    return fits(remote, ret_batch);
}

/* Sends |batch| to the first of those that are ready and to all that follow it and are where it is. */
static void send_batch(struct rh_core *core, struct rh_tunnel_in *tunnel, struct rh_remote *first,
                       const struct batch *batch)
{
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_BATCH);
    uint64_t *streams = rh_core_scratch(core, BATCH_STREAMS_MAX, sizeof(*streams));
    struct rh_peer_stream_batch out = {
        .tunnel = tunnel->id,
        .number = ++tunnel->sent,
        .streams = streams,
        .incarnation = batch->channel->incarnation,
        .size = batch->size,
        .messages_count = batch->count,
    };
    for (struct rh_remote *remote = first; remote != NULL;) {
        rh_list_remove(&remote->ready_link);
        streams[out.streams_count++] = remote->number;
        remote->subscription.next_seq += batch->count;
        remote->untaken += batch->size;
        rh_core_remote_ready(&remote->subscription);
        struct rh_list *next = rh_list_first(&tunnel->ready);
        remote = next == NULL || out.streams_count == BATCH_STREAMS_MAX
                     ? NULL
                     : rh_container_of(next, struct rh_remote, ready_link);
        remote = remote != NULL && fits(remote, batch) ? remote : NULL;
    }
    core->stats.deliveries += out.streams_count * (uint64_t)batch->count;
    out.messages = messages_of(core, batch->channel, batch->seq, batch->count);
    tunnel->on_the_way += rh_peer_stream_batch_weight(&out);
    message->stream_batch = out;
}

static void flush(struct rh_core *core, struct rh_tunnel_in *tunnel)
{
    flush_ended(core, tunnel);
    for (unsigned sent = 0;
         sent < RH_TUNNEL_BATCHES_MAX && has_window(tunnel) && !rh_list_empty(&tunnel->to_show);
         sent++) {
        send_state(core, tunnel);
    }
    for (unsigned sent = 0; sent < RH_TUNNEL_BATCHES_MAX && has_window(tunnel); sent++) {
        struct rh_list *link = rh_list_first(&tunnel->ready);
        if (link == NULL) {
            return;
        }
        struct rh_remote *remote = rh_container_of(link, struct rh_remote, ready_link);
        struct batch batch;
        if (remote->subscription.state == RH_SUBSCRIPTION_WAITING) {
            rh_list_remove(link);
            rh_core_stream_answer_read(core, &remote->subscription);
        } else if (make_batch(core, remote, &batch)) {
            send_batch(core, tunnel, remote, &batch);
        } else {
            rh_list_remove(link);
        }
    }
}

void rh_core_remotes_flush(struct rh_core *core)
{
    rh_list_each (&core->tunnels_in, link) {
        flush(core, rh_container_of(link, struct rh_tunnel_in, link));
    }
}

bool rh_core_remotes_is_due(const struct rh_core *core)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_in, link) {
        const struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        bool has_something = !rh_list_empty(&tunnel->ready) || !rh_list_empty(&tunnel->to_show);
        if ((has_something && has_window(tunnel)) || !rh_list_empty(&tunnel->ended)) {
            return true;
        }
    }
    return false;
}

/* ---- views and time ---- */

void rh_core_remotes_view(struct rh_core *core)
{
    rh_list_each_safe (&core->tunnels_in, link) {
        struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        if (!rh_process_is_registered(tunnel->process)) {
            tunnel_destroy(core, tunnel);
        }
    }
}

void rh_core_remotes_tick(struct rh_core *core)
{
    rh_list_each_safe (&core->tunnels_in, link) {
        struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        if (core->now_ms - tunnel->heard_ms >= RH_TUNNEL_IDLE_MS) {
            tunnel_destroy(core, tunnel);
        }
    }
}

uint64_t rh_core_remotes_ms(const struct rh_core *core)
{
    uint64_t deadline_ms = UINT64_MAX;
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_in, link) {
        const struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        uint64_t at_ms = tunnel->heard_ms + RH_TUNNEL_IDLE_MS;
        deadline_ms = at_ms < deadline_ms ? at_ms : deadline_ms;
    }
    return deadline_ms;
}

/* Nobody is told, and no channel looked at: all of them go. */
void rh_core_remotes_finish(struct rh_core *core)
{
    rh_list_each_safe (&core->tunnels_in, link) {
        struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        rh_list_each_safe (&tunnel->remotes, remote_link) {
            struct rh_remote *remote = rh_container_of(remote_link, struct rh_remote, link);
            struct rh_subscription *subscription = &remote->subscription;
            rh_list_remove(&subscription->link);
            rh_list_remove(&subscription->timer_link);
            free(subscription->key);
            free(remote);
        }
        free(tunnel);
    }
}
