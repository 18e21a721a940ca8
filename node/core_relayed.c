/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The relaying node's end: a connection is the position that it has delivered, and whom it has asked
 * for what comes after that.
 *
 *                       +-------------- moved, lost, silent, another owner --------------+
 *                       v                                                                |
 *  (no owner here) --> WAITING --owner known--> OPENING --sent--> ASKED --opened--> OPEN-+
 *                       ^                          |                |
 *                       +-- not the owner ---------+----------------+
 *
 *  any --> local: this node serves the channel; any --> ended
 */

/* ---- tables ---- */

static struct rh_relayed *relayed_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_relayed, link);
}

static struct rh_relayed *relayed_in_table(const struct rh_table_link *link)
{
    return (struct rh_relayed *)((uintptr_t)link - offsetof(struct rh_relayed, table_link));
}

static bool number_equal(const struct rh_table_link *link, const void *key)
{
    const uint64_t *number = key;
    return relayed_in_table(link)->number == *number;
}

/* The connection that a message of |tunnel| is about, or NULL: it is gone. */
static struct rh_relayed *find(const struct rh_core *core, const struct rh_tunnel_out *tunnel,
                               uint64_t number)
{
    struct rh_table_link *link = rh_table_find(&core->relayed, number, number_equal, &number);
    struct rh_relayed *relayed = link == NULL ? NULL : relayed_in_table(link);
    return relayed != NULL && relayed->tunnel == tunnel ? relayed : NULL;
}

static struct rh_tunnel_out *tunnel_find(const struct rh_core *core,
                                         const struct rh_process *process)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_out, link) {
        struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        if (tunnel->process == process) {
            return tunnel;
        }
    }
    return NULL;
}

static bool tunnel_is_empty(const struct rh_tunnel_out *tunnel)
{
    return rh_list_empty(&tunnel->opening) && rh_list_empty(&tunnel->asked) &&
           rh_list_empty(&tunnel->open);
}

/* ---- states ---- */

static struct rh_bytes key_of(const struct rh_relayed *relayed)
{
    return rh_bytes(relayed->key, relayed->key_size);
}

static bool is_named(const struct rh_relayed *relayed)
{
    return relayed->state == RH_RELAYED_ASKED || relayed->state == RH_RELAYED_OPEN;
}

/* Out of its list, and out of the names that messages know. */
static void unlink(struct rh_core *core, struct rh_relayed *relayed)
{
    if (is_named(relayed)) {
        rh_table_remove(&core->relayed, &relayed->table_link);
    }
    rh_list_remove(&relayed->link);
    if (!rh_list_empty(&relayed->taken_link)) {
        rh_list_remove(&relayed->taken_link);
        relayed->untaken =
            0; /* there is room, and who would have been told is not asked any more */
    }
}

static void move(struct rh_core *core, struct rh_relayed *relayed, struct rh_tunnel_out *tunnel,
                 struct rh_list *list, enum rh_relayed_state state)
{
    bool was_open = relayed->state == RH_RELAYED_OPEN;
    unlink(core, relayed);
    if (was_open && state != RH_RELAYED_OPEN) {
        relayed->since_ms = core->now_ms;
        core->stats.relayed_again++;
    }
    relayed->tunnel = tunnel;
    relayed->state = state;
    rh_list_push_back(list, &relayed->link);
}

/* Until a view comes, or |after_ms| have passed. */
static void put_off(struct rh_core *core, struct rh_relayed *relayed, uint32_t after_ms)
{
    move(core, relayed, NULL, &core->relayed_waiting, RH_RELAYED_WAITING);
    relayed->retry_ms = core->now_ms + after_ms;
    relayed->hops = 0;
}

/* ---- the tunnel ---- */

static uint64_t next_number(struct rh_core *core, struct rh_tunnel_out *tunnel)
{
    if (tunnel->sent == 0) {
        tunnel->check_ms = core->now_ms;
    }
    return ++tunnel->sent;
}

/* Begins another tunnel to the same process (rule 1). One that is begun again at once waits, so that a
 * way on which something is lost each time is not filled with openings. */
static void renew(struct rh_core *core, struct rh_tunnel_out *tunnel)
{
    tunnel->pause_ms = core->now_ms - tunnel->renewed_ms < RH_TUNNEL_CHECK_MS
                           ? core->now_ms + RH_RELAYED_RETRY_MS
                           : 0;
    core->stats.tunnels_broken += tunnel->sent > 0;
    tunnel->id = rh_core_stamp(core);
    tunnel->sent = 0;
    tunnel->received = 0;
    tunnel->arrived = 0;
    tunnel->renewed_ms = core->now_ms;
    tunnel->check_ms = core->now_ms;
    tunnel->heard_ms = core->now_ms;
    struct rh_list *lists[] = {&tunnel->asked, &tunnel->open};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_each_safe (lists[i], link) {
            move(core, relayed_of(link), tunnel, &tunnel->opening, RH_RELAYED_OPENING);
        }
    }
}

static struct rh_tunnel_out *tunnel_get(struct rh_core *core, struct rh_process *process)
{
    struct rh_tunnel_out *tunnel = tunnel_find(core, process);
    if (tunnel == NULL) {
        tunnel = rh_core_alloc(1, sizeof(*tunnel));
        tunnel->process = process;
        process->groups++;
        rh_list_init(&tunnel->opening);
        rh_list_init(&tunnel->asked);
        rh_list_init(&tunnel->open);
        rh_list_init(&tunnel->taken);
        rh_list_push_back(&core->tunnels_out, &tunnel->link);
    }
    if (tunnel_is_empty(tunnel)) {
        uint64_t broken = core->stats.tunnels_broken;
        renew(core, tunnel); /* the other end may have forgotten it by now */
        core->stats.tunnels_broken = broken;
        tunnel->pause_ms = 0;
    }
    return tunnel;
}

static void tunnel_destroy(struct rh_tunnel_out *tunnel)
{
    assert(tunnel_is_empty(tunnel));
    tunnel->process->groups--;
    rh_list_remove(&tunnel->link);
    free(tunnel);
}

static void send_close(struct rh_core *core, struct rh_relayed *relayed)
{
    struct rh_tunnel_out *tunnel = relayed->tunnel;
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_CLOSE);
    message->stream_close = (struct rh_peer_stream_close){
        .tunnel = tunnel->id,
        .number = next_number(core, tunnel),
        .stream = relayed->number,
    };
}

/* ---- the end ---- */

/* The subscription is FREE from here on, and the connection is none of ours. */
static struct rh_subscription *let_go(struct rh_core *core, struct rh_relayed *relayed)
{
    struct rh_subscription *subscription = relayed->subscription;
    unlink(core, relayed);
    core->stats.relayed--;
    rh_core_keep(core, relayed); /* actions may point to its key */
    subscription->relayed = NULL;
    subscription->wants_room = false;
    subscription->state = RH_SUBSCRIPTION_FREE;
    return subscription;
}

void rh_core_relayed_leave(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_relayed *relayed = subscription->relayed;
    if (is_named(relayed)) {
        send_close(core, relayed);
    }
    (void)let_go(core, relayed);
}

static void refuse(struct rh_core *core, struct rh_relayed *relayed, enum rh_refusal refusal)
{
    rh_core_stream_refuse(core, let_go(core, relayed), refusal);
}

static void send_away(struct rh_core *core, struct rh_relayed *relayed, uint32_t owner)
{
    const struct rh_bytes key = key_of(relayed);
    rh_core_stream_send_away(core, let_go(core, relayed), key, owner);
}

/* What is left of the time that a read may wait. */
static uint32_t wait_left_ms(const struct rh_core *core, const struct rh_relayed *relayed)
{
    uint64_t end_ms = relayed->deadline_ms - RH_RELAYED_READ_MS;
    return end_ms > core->now_ms ? (uint32_t)(end_ms - core->now_ms) : 0;
}

/* The position of a stream, as it stands now, is where it goes on. */
static void keep_position(struct rh_subscription *subscription)
{
    if (subscription->is_welcomed && !rh_fault(RH_FAULT_LOST_POSITION)) {
        subscription->after.seq = subscription->next_seq - 1;
    }
}

static void become_local(struct rh_core *core, struct rh_relayed *relayed)
{
    const struct rh_bytes key = key_of(relayed);
    if (relayed->subscription->is_read) {
        relayed->subscription->wait_ms = (uint16_t)wait_left_ms(core, relayed);
    }
    rh_core_stream_begin(core, let_go(core, relayed), key);
}

/* ---- to whom ---- */

bool rh_core_may_relay(const struct rh_core *core)
{
    return core->view != NULL &&
           (core->self == RH_RING_NONE || core->view->members[core->self].weight_milli > 0);
}

static void ask(struct rh_core *core, struct rh_relayed *relayed, uint32_t owner)
{
    struct rh_tunnel_out *tunnel = tunnel_get(core, core->members[owner]);
    keep_position(relayed->subscription);
    move(core, relayed, tunnel, &tunnel->opening, RH_RELAYED_OPENING);
}

/* Finds who serves it in the present view; |named|: whom the one who was asked believes in, or
 * RH_RING_NONE. */
static void dispatch(struct rh_core *core, struct rh_relayed *relayed, uint32_t named)
{
    struct rh_core_route route = rh_core_route(core, key_of(relayed));
    keep_position(relayed->subscription);
    switch (route.place) {
    case RH_CORE_PLACE_HERE:
    case RH_CORE_PLACE_WAIT:
        become_local(core, relayed);
        return;
    case RH_CORE_PLACE_REMOTE:
        ask(core, relayed, named != RH_RING_NONE && named != core->self ? named : route.owner);
        return;
    case RH_CORE_PLACE_NONE:
        put_off(core, relayed, UINT32_MAX); /* a view tells */
        return;
    }
}

void rh_core_relayed_begin(struct rh_core *core, struct rh_subscription *subscription,
                           struct rh_bytes key, uint32_t owner)
{
    assert(subscription->state == RH_SUBSCRIPTION_FREE);
    struct rh_relayed *relayed = calloc(1, sizeof(*relayed) + key.size);
    if (relayed == NULL) {
        rh_core_stream_refuse(core, subscription, RH_REFUSAL_NO_MEMORY);
        return;
    }
    (void)rh_bytes_write(relayed->key, key);
    relayed->key_size = (uint16_t)key.size;
    relayed->subscription = subscription;
    relayed->since_ms = core->now_ms;
    relayed->deadline_ms = core->now_ms + subscription->wait_ms + RH_RELAYED_READ_MS;
    rh_list_init(&relayed->link);
    rh_list_init(&relayed->taken_link);
    subscription->relayed = relayed;
    subscription->state = RH_SUBSCRIPTION_RELAYED;
    if (core->stats.relayed == 0) {
        core->relayed_ms = core->now_ms; /* nobody had to be looked at before */
    }
    core->stats.relayed++;
    core->stats.relayed_begun++;
    if (subscription->is_welcomed) {
        relayed->untaken = core->options.batch_size_max;
        subscription->wants_room = true;
        rh_core_stream_goes_on(core, subscription);
    }
    if (owner == RH_RING_NONE) {
        put_off(core, relayed, UINT32_MAX);
    } else {
        ask(core, relayed, owner);
    }
}

/* ---- to the owner ---- */

/* Room is told of in pieces of a quarter of the window; but never so late that the largest message
 * would have to wait for it. */
static uint64_t room_min(const struct rh_core *core)
{
    uint64_t window = core->options.batch_size_max;
    uint64_t largest = 6 * core->options.payload_size_max + 2 * RH_MESSAGE_ID_SIZE_MAX + 128;
    uint64_t spare = window > largest ? window - largest : 1;
    uint64_t quarter = window > 4 ? window / 4 : 1;
    return spare < quarter ? spare : quarter;
}

static void send_open(struct rh_core *core, struct rh_relayed *relayed)
{
    struct rh_tunnel_out *tunnel = relayed->tunnel;
    const struct rh_subscription *subscription = relayed->subscription;
    keep_position(relayed->subscription);
    move(core, relayed, tunnel, &tunnel->asked, RH_RELAYED_ASKED);
    relayed->number = ++core->stream_number;
    rh_table_insert(&core->relayed, &relayed->table_link, relayed->number);
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_OPEN);
    struct rh_peer_stream_open *open = &message->stream_open;
    open->tunnel = tunnel->id;
    open->number = next_number(core, tunnel);
    open->stream = relayed->number;
    open->key = key_of(relayed);
    open->has_after = subscription->has_after;
    if (subscription->has_after) {
        open->after = subscription->after;
    }
    open->is_read = subscription->is_read;
    open->watches_state = subscription->watches_state;
    open->watches_presence = subscription->watches_presence;
    if (subscription->attendee != NULL) {
        open->client = subscription->attendee->client;
        open->meta = subscription->attendee->meta;
    }
    if (subscription->is_read) {
        open->is_anchored = subscription->after_is_ours;
        open->limit = subscription->limit;
        open->wait_ms = wait_left_ms(core, relayed);
    } else {
        open->window = core->options.batch_size_max;
        open->used = relayed->untaken;
        open->room_min = room_min(core);
    }
}

static void send_taken(struct rh_core *core, struct rh_tunnel_out *tunnel)
{
    struct rh_peer_stream_room *rooms = rh_core_scratch(core, RH_PEER_STREAMS_MAX, sizeof(*rooms));
    size_t count = 0;
    for (struct rh_list *link = rh_list_first(&tunnel->taken);
         link != NULL && count < RH_PEER_STREAMS_MAX; link = rh_list_first(&tunnel->taken)) {
        struct rh_relayed *relayed = rh_container_of(link, struct rh_relayed, taken_link);
        rh_list_remove(link);
        rooms[count++] =
            (struct rh_peer_stream_room){.stream = relayed->number, .size = relayed->untaken};
        relayed->untaken = 0;
    }
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_TAKEN);
    message->stream_taken = (struct rh_peer_stream_taken){
        .tunnel = tunnel->id,
        .number = next_number(core, tunnel),
        .arrived = tunnel->arrived,
        .rooms = rooms,
        .rooms_count = count,
    };
    tunnel->arrived = 0;
}

static bool has_taken(const struct rh_tunnel_out *tunnel)
{
    return !rh_list_empty(&tunnel->taken) || tunnel->arrived >= RH_TUNNEL_WINDOW / 4;
}

static bool may_open(const struct rh_core *core, const struct rh_tunnel_out *tunnel)
{
    return !rh_list_empty(&tunnel->opening) && tunnel->pause_ms <= core->now_ms;
}

static void flush(struct rh_core *core, struct rh_tunnel_out *tunnel)
{
    for (unsigned sent = 0; sent < RH_TUNNEL_OPENS_MAX && may_open(core, tunnel); sent++) {
        send_open(core, relayed_of(rh_list_first(&tunnel->opening)));
    }
    if (has_taken(tunnel)) {
        send_taken(core, tunnel);
    }
}

void rh_core_relayed_flush(struct rh_core *core)
{
    rh_list_each (&core->tunnels_out, link) {
        struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        if (rh_core_is_reachable(core, tunnel->process)) {
            flush(core, tunnel);
        }
    }
}

bool rh_core_relayed_is_due(const struct rh_core *core)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_out, link) {
        const struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        if ((may_open(core, tunnel) || has_taken(tunnel)) &&
            rh_core_is_reachable(core, tunnel->process)) {
            return true;
        }
    }
    return false;
}

/* ---- credit ---- */

void rh_core_relayed_drained(struct rh_core *core, struct rh_subscription *subscription)
{
    (void)core;
    struct rh_relayed *relayed = subscription->relayed;
    subscription->wants_room = false;
    if (!is_named(relayed)) {
        relayed->untaken = 0;
    } else if (relayed->untaken > 0 && rh_list_empty(&relayed->taken_link)) {
        rh_list_push_back(&relayed->tunnel->taken, &relayed->taken_link);
    }
}

void rh_core_relayed_show(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_relayed *relayed = subscription->relayed;
    if (relayed->state != RH_RELAYED_OPEN) {
        return; /* it is shown when it is */
    }
    struct rh_tunnel_out *tunnel = relayed->tunnel;
    struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_STREAM_SHOW);
    message->stream_show = (struct rh_peer_stream_show){
        .tunnel = tunnel->id,
        .number = next_number(core, tunnel),
        .stream = relayed->number,
    };
}

/* ---- from the owner ---- */

/* The tunnel of a message that is the next one in it; NULL: there is nothing to do. */
static struct rh_tunnel_out *take(struct rh_core *core, const struct rh_process *from, uint64_t id,
                                  uint64_t number)
{
    struct rh_tunnel_out *tunnel = tunnel_find(core, from);
    if (tunnel == NULL || tunnel->id != id) {
        return NULL;
    }
    if (number != tunnel->received + 1 && !rh_fault(RH_FAULT_TUNNEL_GAP)) {
        renew(core, tunnel);
        return NULL;
    }
    tunnel->received = number;
    tunnel->heard_ms = core->now_ms;
    return tunnel;
}

/* Where a poll without a position waits from. */
static void anchor(struct rh_subscription *subscription, const struct rh_peer_stream_opened *opened)
{
    if (!subscription->has_after || subscription->after_is_ours) {
        subscription->has_after = true;
        subscription->after_is_ours = true;
        subscription->after =
            (struct rh_position){.incarnation = opened->incarnation, .seq = opened->seq};
    }
}

static void welcome(struct rh_core *core, struct rh_relayed *relayed,
                    const struct rh_peer_stream_opened *opened)
{
    struct rh_subscription *subscription = relayed->subscription;
    subscription->is_welcomed = true;
    subscription->has_after = true;
    subscription->after.incarnation = opened->incarnation;
    subscription->next_seq = opened->seq + 1;
    struct rh_action *action = rh_core_act(core, RH_ACTION_WELCOME);
    action->welcome.subscription = subscription;
    action->welcome.key = key_of(relayed);
    action->welcome.incarnation = opened->incarnation;
    action->welcome.seq = opened->seq;
    action->welcome.recovered = opened->recovered;
}

/* Where a client is sent that has to be told that something is missing: here, if that can be. */
static uint32_t where_to_come_back(const struct rh_core *core, const struct rh_relayed *relayed)
{
    return core->self != RH_RING_NONE ? core->self : relayed->tunnel->process->index;
}

void rh_core_on_stream_opened(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message)
{
    const struct rh_peer_stream_opened *opened = &message->stream_opened;
    struct rh_tunnel_out *tunnel = take(core, from, opened->tunnel, opened->number);
    struct rh_relayed *relayed = tunnel == NULL ? NULL : find(core, tunnel, opened->stream);
    if (relayed == NULL || relayed->state != RH_RELAYED_ASKED) {
        return;
    }
    struct rh_subscription *subscription = relayed->subscription;
    relayed->hops = 0;
    if (subscription->is_read) {
        anchor(subscription, opened);
        return;
    }
    bool goes_on = opened->recovered && opened->incarnation == subscription->after.incarnation &&
                   opened->seq + 1 == subscription->next_seq;
    if (subscription->is_welcomed && !goes_on) {
        send_close(core, relayed);
        uint32_t node = where_to_come_back(core, relayed);
        if (node == RH_RING_NONE) {
            refuse(core, relayed, RH_REFUSAL_NOT_READY);
        } else {
            send_away(core, relayed, node);
        }
        return;
    }
    if (!subscription->is_welcomed) {
        welcome(core, relayed, opened);
    }
    rh_list_remove(&relayed->link);
    rh_list_push_back(&tunnel->open, &relayed->link);
    relayed->state = RH_RELAYED_OPEN;
}

/* Those of a batch that still are there; false: for one of them it is not what comes next. */
static bool find_all(const struct rh_core *core, const struct rh_tunnel_out *tunnel,
                     const struct rh_peer_stream_batch *batch, struct rh_relayed **ret_streams,
                     size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->streams_count; i++) {
        struct rh_relayed *relayed = find(core, tunnel, batch->streams[i]);
        if (relayed == NULL) {
            continue;
        }
        const struct rh_subscription *subscription = relayed->subscription;
        if (relayed->state != RH_RELAYED_OPEN ||
            subscription->after.incarnation != batch->incarnation ||
            subscription->next_seq != batch->messages[0].seq) {
            return false;
        }
        ret_streams[count++] = relayed;
    }
    *ret_count = count;
    return true;
}

/* |messages| as entries, or NULL when out of memory. */
static struct rh_entry **take_entries(const struct rh_peer_operation *messages, size_t count)
{
    struct rh_entry **entries = calloc(count, sizeof(struct rh_entry *));
    for (size_t i = 0; entries != NULL && i < count; i++) {
        entries[i] = rh_core_entry_of(&messages[i]);
        if (entries[i] == NULL) {
            for (; i > 0; i--) {
                rh_entry_give(entries[i - 1]);
            }
            free(entries);
            return NULL;
        }
    }
    return entries;
}

static void deliver(struct rh_core *core, struct rh_relayed *relayed, struct rh_entry *entry,
                    uint64_t incarnation)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_DELIVER);
    action->deliver.subscription = relayed->subscription;
    action->deliver.entry = rh_entry_take(entry);
    action->deliver.incarnation = incarnation;
    relayed->subscription->next_seq++;
    core->stats.deliveries++;
}

void rh_core_on_stream_batch(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_stream_batch *batch = &message->stream_batch;
    struct rh_tunnel_out *tunnel = take(core, from, batch->tunnel, batch->number);
    if (tunnel == NULL) {
        return;
    }
    tunnel->arrived += rh_peer_stream_batch_weight(batch);
    struct rh_relayed **streams =
        rh_core_scratch(core, batch->streams_count, sizeof(struct rh_relayed *));
    size_t count = 0;
    if (!find_all(core, tunnel, batch, streams, &count)) {
        renew(core, tunnel);
        return;
    }
    if (count == 0) {
        return;
    }
    struct rh_entry **entries = take_entries(batch->messages, batch->messages_count);
    if (entries == NULL) {
        renew(core, tunnel); /* it is sent again */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        streams[i]->untaken += batch->size;
        streams[i]->subscription->wants_room = streams[i]->untaken >= room_min(core);
    }
    for (size_t i = 0; i < batch->messages_count; i++) {
        for (size_t j = 0; j < count; j++) {
            deliver(core, streams[j], entries[i], batch->incarnation);
        }
        rh_entry_give(entries[i]);
    }
    free(entries);
}

/* The open streams of |tunnel| that a message is for. */
static struct rh_subscription **open_streams(struct rh_core *core,
                                             const struct rh_tunnel_out *tunnel,
                                             const uint64_t *numbers, size_t numbers_count,
                                             size_t *ret_count)
{
    struct rh_subscription **streams =
        rh_core_scratch(core, numbers_count, sizeof(struct rh_subscription *));
    size_t count = 0;
    for (size_t i = 0; i < numbers_count; i++) {
        struct rh_relayed *relayed = find(core, tunnel, numbers[i]);
        if (relayed != NULL && relayed->state == RH_RELAYED_OPEN) {
            streams[count++] = relayed->subscription;
        }
    }
    *ret_count = count;
    return streams;
}

void rh_core_on_stream_state(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_stream_state *state = &message->stream_state;
    struct rh_tunnel_out *tunnel = take(core, from, state->tunnel, state->number);
    if (tunnel == NULL) {
        return;
    }
    tunnel->arrived += rh_peer_stream_state_weight(state);
    struct rh_entry *entry = state->state_count == 0 ? NULL : rh_core_entry_of(&state->state[0]);
    if (state->state_count > 0 && entry == NULL) {
        renew(core, tunnel); /* it is sent again */
        return;
    }
    size_t count;
    struct rh_subscription **streams =
        open_streams(core, tunnel, state->streams, state->streams_count, &count);
    for (size_t i = 0; i < count; i++) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_CHANGED);
        action->changed.subscription = streams[i];
        action->changed.state = entry;
    }
    if (entry != NULL) {
        rh_core_keep_entry(core, entry);
    }
}

void rh_core_on_stream_presence(struct rh_core *core, struct rh_process *from,
                                const struct rh_peer_message *message)
{
    const struct rh_peer_stream_presence *presence = &message->stream_presence;
    struct rh_tunnel_out *tunnel = take(core, from, presence->tunnel, presence->number);
    if (tunnel == NULL) {
        return;
    }
    tunnel->arrived += rh_peer_stream_presence_weight(presence);
    size_t count;
    struct rh_subscription **streams =
        open_streams(core, tunnel, presence->streams, presence->streams_count, &count);
    if (count == 0) {
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_PRESENCE);
    action->presence.streams = streams;
    action->presence.streams_count = count;
    action->presence.incarnation = presence->incarnation;
    action->presence.is_whole = presence->is_whole;
    action->presence.left = presence->left;
    action->presence.joined = presence->joined;
    action->presence.changed = presence->changed;
}

void rh_core_on_stream_read(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message)
{
    const struct rh_peer_stream_read *read = &message->stream_read;
    struct rh_tunnel_out *tunnel = take(core, from, read->tunnel, read->number);
    struct rh_relayed *relayed = tunnel == NULL ? NULL : find(core, tunnel, read->stream);
    if (tunnel != NULL) {
        tunnel->arrived += rh_peer_stream_read_weight(read);
    }
    if (relayed == NULL || !relayed->subscription->is_read) {
        return;
    }
    struct rh_entry **entries =
        read->messages_count == 0 ? NULL : take_entries(read->messages, read->messages_count);
    if (read->messages_count > 0 && entries == NULL) {
        refuse(core, relayed, RH_REFUSAL_NO_MEMORY);
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
    action->read.subscription = let_go(core, relayed);
    action->read.incarnation = read->incarnation;
    action->read.entries = entries;
    action->read.count = (uint32_t)read->messages_count;
    action->read.position =
        (struct rh_position){.incarnation = read->incarnation, .seq = read->seq};
    action->read.recovered = read->recovered;
    action->read.more = read->more;
}

/* The one that was asked does not serve the channel; |named| is who does, as far as it knows. */
static void not_owner(struct rh_core *core, struct rh_relayed *relayed, struct rh_epoch epoch,
                      const char *named)
{
    int order = core->view == NULL ? 1 : rh_epoch_compare(epoch, core->view->epoch);
    if (order > 0) {
        rh_core_catch_up(core);
    }
    if (order > 0 || relayed->hops >= RH_RELAYED_HOPS_MAX) {
        put_off(core, relayed, RH_RELAYED_RETRY_MS);
        return;
    }
    relayed->hops++;
    dispatch(core, relayed, order == 0 ? rh_view_find(core->view, named) : RH_RING_NONE);
}

void rh_core_on_stream_ended(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_stream_ended *ended = &message->stream_ended;
    struct rh_tunnel_out *tunnel = take(core, from, ended->tunnel, ended->number);
    struct rh_relayed *relayed = tunnel == NULL ? NULL : find(core, tunnel, ended->stream);
    if (relayed == NULL) {
        return;
    }
    if (ended->code.size == 0) {
        not_owner(core, relayed, message->epoch, ended->owner);
        return;
    }
    enum rh_refusal refusal = rh_core_peer_refusal(RH_PEER_RESULT_REFUSED, ended->code);
    if (relayed->subscription->is_welcomed && refusal != RH_REFUSAL_TOO_SLOW) {
        put_off(core, relayed, RH_RELAYED_RETRY_MS); /* as long as there is patience (rule 8) */
        return;
    }
    refuse(core, relayed, refusal);
}

void rh_core_on_tunnel_state(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_tunnel_state *state = &message->tunnel_state;
    struct rh_tunnel_out *tunnel = tunnel_find(core, from);
    if (tunnel == NULL || tunnel->id != state->tunnel) {
        return;
    }
    if (state->is_broken || state->number != tunnel->received) {
        renew(core, tunnel);
    } else {
        tunnel->heard_ms = core->now_ms;
    }
}

/* ---- views, links and time ---- */

/* Calls |look|, which may take it out, for each of |list|; or for the first |count_max|, which come
 * last the next time. */
static void each(struct rh_core *core, struct rh_list *list, uint32_t count_max,
                 void (*look)(struct rh_core *core, struct rh_relayed *relayed))
{
    struct rh_list now;
    rh_list_init(&now);
    rh_list_splice(&now, list);
    for (uint32_t i = 0; i < count_max && !rh_list_empty(&now); i++) {
        struct rh_list *link = rh_list_first(&now);
        rh_list_remove(link);
        rh_list_push_back(list, link);
        look(core, relayed_of(link));
    }
    rh_list_splice(&now, list);
    rh_list_splice(list, &now);
}

static void each_of_tunnel(struct rh_core *core, struct rh_tunnel_out *tunnel,
                           void (*look)(struct rh_core *core, struct rh_relayed *relayed))
{
    each(core, &tunnel->opening, UINT32_MAX, look);
    each(core, &tunnel->asked, UINT32_MAX, look);
    each(core, &tunnel->open, UINT32_MAX, look);
}

static void look_for_owner(struct rh_core *core, struct rh_relayed *relayed)
{
    relayed->hops = 0;
    dispatch(core, relayed, RH_RING_NONE);
}

/* Rule 9. */
static void send_to_owner(struct rh_core *core, struct rh_relayed *relayed)
{
    const struct rh_bytes key = key_of(relayed);
    uint32_t owner =
        rh_ring_owner(core->view->ring, rh_ring_hash(core->view->ring, key.data, key.size));
    if (owner == RH_RING_NONE) {
        return;
    }
    if (is_named(relayed)) {
        send_close(core, relayed);
    }
    send_away(core, relayed, owner);
}

void rh_core_relayed_view(struct rh_core *core)
{
    bool may_relay = rh_core_may_relay(core);
    rh_list_each_safe (&core->tunnels_out, link) {
        struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        if (!may_relay) {
            each_of_tunnel(core, tunnel, send_to_owner);
        }
        if (!rh_process_is_registered(tunnel->process)) {
            each_of_tunnel(core, tunnel, look_for_owner);
            tunnel_destroy(tunnel);
        }
    }
    each(core, &core->relayed_waiting, UINT32_MAX, may_relay ? look_for_owner : send_to_owner);
}

void rh_core_relayed_peer_down(struct rh_core *core, const struct rh_process *process)
{
    struct rh_tunnel_out *tunnel = tunnel_find(core, process);
    if (tunnel != NULL) {
        renew(core, tunnel);
        tunnel->pause_ms = 0; /* until it is up again, or a third node can be asked */
    }
}

/* Rule 8. */
static void expire(struct rh_core *core, struct rh_relayed *relayed)
{
    struct rh_subscription *subscription = relayed->subscription;
    if (subscription->is_read) {
        if (relayed->deadline_ms > core->now_ms) {
            return;
        }
        if (is_named(relayed)) {
            send_close(core, relayed);
        }
        if (subscription->wait_ms > 0 && subscription->has_after) {
            rh_core_stream_answer_nothing(core, let_go(core, relayed));
        } else {
            refuse(core, relayed, RH_REFUSAL_UNREACHABLE);
        }
        return;
    }
    uint64_t waited_ms = core->now_ms - relayed->since_ms;
    if (waited_ms < (subscription->is_welcomed ? RH_RELAYED_PATIENCE_MS : RH_RELAYED_OPEN_MS)) {
        return;
    }
    if (is_named(relayed)) {
        send_close(core, relayed);
    }
    refuse(core, relayed,
           subscription->is_welcomed ? RH_REFUSAL_NOT_READY : RH_REFUSAL_UNREACHABLE);
}

static void retry(struct rh_core *core, struct rh_relayed *relayed)
{
    if (relayed->retry_ms <= core->now_ms) {
        look_for_owner(core, relayed);
    } else {
        expire(core, relayed);
    }
}

/* Rules 1 and 2. */
static void look_at_tunnel(struct rh_core *core, struct rh_tunnel_out *tunnel)
{
    if (tunnel_is_empty(tunnel)) {
        return;
    }
    each(core, &tunnel->opening, RH_RELAYED_LOOKS_MAX, expire);
    each(core, &tunnel->asked, RH_RELAYED_LOOKS_MAX, expire);
    if (tunnel->sent == 0) {
        return;
    }
    if (core->now_ms - tunnel->heard_ms >= RH_TUNNEL_SILENCE_MS) {
        renew(core, tunnel);
        return;
    }
    if (core->now_ms - tunnel->check_ms >= RH_TUNNEL_CHECK_MS) {
        tunnel->check_ms = core->now_ms;
        struct rh_peer_message *message = rh_core_send(core, tunnel->process, RH_PEER_TUNNEL_CHECK);
        message->tunnel_check.tunnel = tunnel->id;
        message->tunnel_check.number = tunnel->sent;
    }
}

void rh_core_relayed_tick(struct rh_core *core)
{
    if (core->stats.relayed == 0 || core->now_ms - core->relayed_ms < RH_RELAYED_LOOK_MS) {
        return;
    }
    core->relayed_ms = core->now_ms;
    rh_list_each (&core->tunnels_out, link) {
        look_at_tunnel(core, rh_container_of(link, struct rh_tunnel_out, link));
    }
    each(core, &core->relayed_waiting, RH_RELAYED_LOOKS_MAX, retry);
}

uint64_t rh_core_relayed_ms(const struct rh_core *core)
{
    return core->stats.relayed == 0 ? UINT64_MAX : core->relayed_ms + RH_RELAYED_LOOK_MS;
}

/* ---- the end of the core ---- */

static void free_all(struct rh_list *list)
{
    rh_list_each_safe (list, link) {
        struct rh_relayed *relayed = relayed_of(link);
        relayed->subscription->relayed = NULL;
        rh_subscription_init(relayed->subscription);
        free(relayed);
    }
}

void rh_core_relayed_finish(struct rh_core *core)
{
    free_all(&core->relayed_waiting);
    rh_list_each_safe (&core->tunnels_out, link) {
        struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        free_all(&tunnel->opening);
        free_all(&tunnel->asked);
        free_all(&tunnel->open);
        free(tunnel);
    }
}
