/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/* One batch of a replay: enough to fill a socket, small enough not to stall the loop. */
#define REPLAY_MESSAGES_MAX 64U

void rh_subscription_init(struct rh_subscription *subscription)
{
    *subscription = (struct rh_subscription){0};
    rh_list_init(&subscription->link);
    rh_list_init(&subscription->timer_link);
}

/* ---- in and out of a channel ---- */

static void count(struct rh_core *core, const struct rh_subscription *subscription, int by)
{
    struct rh_channel *channel = subscription->channel;
    if (subscription->state == RH_SUBSCRIPTION_HELD) {
        channel->waiters->held_count += (uint32_t)by;
    } else if (subscription->state == RH_SUBSCRIPTION_WAITING) {
        channel->waiters->reads_count += (uint32_t)by;
        core->stats.reads_waiting += (uint32_t)by;
    } else {
        channel->streams_count += (uint32_t)by;
        core->stats.streams += (uint32_t)by;
    }
}

/* Puts the subscription into |list| of its channel, in |state|. */
static void attach(struct rh_core *core, struct rh_subscription *subscription,
                   struct rh_channel *channel, struct rh_list *list,
                   enum rh_subscription_state state)
{
    subscription->channel = channel;
    subscription->state = state;
    rh_list_push_back(list, &subscription->link);
    count(core, subscription, 1);
}

/* Takes the subscription out of all lists and counts; the channel is left to settle. */
static void detach(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->state == RH_SUBSCRIPTION_RELAYED) {
        rh_core_relayed_leave(core, subscription);
    }
    rh_list_remove(&subscription->link);
    rh_list_remove(&subscription->timer_link);
    free(subscription->key);
    subscription->key = NULL;
    struct rh_channel *channel = subscription->channel;
    if (channel == NULL) {
        return;
    }
    count(core, subscription, -1);
    rh_core_presence_exit(core, subscription);
    rh_core_watch_end(core, subscription);
    subscription->channel = NULL;
    channel->used_ms = core->now_ms;
}

static void release(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_channel *channel = subscription->channel;
    detach(core, subscription);
    subscription->state = RH_SUBSCRIPTION_FREE;
    if (channel != NULL) {
        rh_core_channel_settle(core, channel);
    }
}

/* Ends |subscription|'s wish with a refusal; it is FREE afterwards. */
static void refuse(struct rh_core *core, struct rh_subscription *subscription,
                   enum rh_refusal refusal)
{
    release(core, subscription);
    core->stats.refusals++;
    if (subscription->is_remote) {
        rh_core_remote_ended(core, subscription, refusal, RH_RING_NONE);
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_REFUSED);
    action->refused.subscription = subscription;
    action->refused.refusal = refusal;
}

static void redirect(struct rh_core *core, struct rh_subscription *subscription,
                     struct rh_bytes key, uint32_t owner)
{
    core->stats.redirects++;
    struct rh_action *action = rh_core_act(core, RH_ACTION_REDIRECT);
    action->moved.subscription = subscription;
    action->moved.node = &core->view->members[owner];
    action->moved.key = key;
}

/* |subscription| is in no channel any more. */
static void tell_moved(struct rh_core *core, struct rh_subscription *subscription,
                       struct rh_bytes key, struct rh_position position, uint32_t owner)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_MOVED);
    action->moved.subscription = subscription;
    action->moved.node = &core->view->members[owner];
    action->moved.key = key;
    action->moved.has_position = true;
    action->moved.position = position;
    subscription->state = RH_SUBSCRIPTION_MOVED;
    core->stats.moved_connections++;
}

void rh_core_stream_send_away(struct rh_core *core, struct rh_subscription *subscription,
                              struct rh_bytes key, uint32_t owner)
{
    assert(subscription->state == RH_SUBSCRIPTION_FREE);
    if (subscription->is_welcomed) {
        const struct rh_position position = {.incarnation = subscription->after.incarnation,
                                             .seq = subscription->next_seq - 1};
        tell_moved(core, subscription, key, position, owner);
    } else {
        redirect(core, subscription, key, owner);
    }
}

/* Another node serves |subscription|, which is FREE, or will: it is relayed, or its client sent
 * there. */
static void pass_on(struct rh_core *core, struct rh_subscription *subscription, struct rh_bytes key,
                    uint32_t owner)
{
    if (subscription->is_remote) {
        rh_core_remote_ended(core, subscription, RH_REFUSAL_NONE, owner);
    } else if (subscription->may_relay && rh_core_may_relay(core)) {
        rh_core_relayed_begin(core, subscription, key, owner);
    } else {
        rh_core_stream_send_away(core, subscription, key, owner);
    }
}

/* ---- streams ---- */

uint32_t rh_core_stream_batch(const struct rh_channel *channel, uint64_t seq, uint32_t count_max,
                              uint64_t size_max, uint64_t *ret_size)
{
    uint64_t size = 0;
    uint32_t entries = 0;
    for (; entries < count_max; entries++) {
        const struct rh_entry *entry = rh_channel_message(channel, seq + entries);
        uint64_t more = entry == NULL ? 0 : rh_entry_client_size_max(entry);
        if (entry == NULL || (entries > 0 && size + more > size_max)) {
            break;
        }
        size += more;
    }
    *ret_size = size;
    return entries;
}

/* How many messages from |seq| on make a batch: |count_max| at most. */
static uint32_t batch(const struct rh_core *core, const struct rh_channel *channel, uint64_t seq,
                      uint32_t count_max)
{
    uint64_t size;
    return rh_core_stream_batch(channel, seq, count_max, core->options.batch_size_max, &size);
}

/* Sends a batch of the log; the stream is live once it has all. */
static void replay(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_channel *channel = subscription->channel;
    if (subscription->next_seq < rh_channel_first_seq(channel)) {
        refuse(core, subscription, RH_REFUSAL_TOO_SLOW);
        return;
    }
    uint32_t left = batch(core, channel, subscription->next_seq, REPLAY_MESSAGES_MAX);
    for (; left > 0; left--) {
        struct rh_entry *entry = rh_channel_message(channel, subscription->next_seq);
        struct rh_action *action = rh_core_act(core, RH_ACTION_DELIVER);
        action->deliver.subscription = subscription;
        action->deliver.channel = channel;
        action->deliver.entry = rh_entry_take(entry);
        action->deliver.incarnation = channel->incarnation;
        core->stats.deliveries++;
        subscription->next_seq++;
    }
    if (subscription->next_seq > rh_channel_commit_seq(channel)) {
        rh_list_remove(&subscription->link);
        rh_list_push_back(&channel->audience->live, &subscription->link);
        subscription->state = RH_SUBSCRIPTION_LIVE;
        subscription->live_from = subscription->next_seq;
    }
}

static void welcome(struct rh_core *core, struct rh_subscription *subscription,
                    const struct rh_channel *channel, const struct rh_resume *resume)
{
    subscription->is_welcomed = true;
    struct rh_action *action = rh_core_act(core, RH_ACTION_WELCOME);
    action->welcome.subscription = subscription;
    action->welcome.key = rh_channel_key(channel);
    action->welcome.incarnation = channel->incarnation;
    action->welcome.seq = resume->next_seq - 1;
    action->welcome.recovered = resume->recovered;
}

void rh_core_stream_goes_on(struct rh_core *core, struct rh_subscription *subscription)
{
    rh_core_act(core, RH_ACTION_GOES_ON)->goes_on = subscription;
}

static void join_channel(struct rh_core *core, struct rh_subscription *subscription,
                         struct rh_channel *channel)
{
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    subscription->next_seq = resume.next_seq;
    channel->used_ms = core->now_ms;
    channel->audience->incarnation = channel->incarnation; /* streams of another were moved */
    if (subscription->is_remote) {
        attach(core, subscription, channel, &channel->audience->remote, RH_SUBSCRIPTION_REMOTE);
        rh_core_remote_opened(core, subscription, channel->incarnation, resume.next_seq - 1,
                              resume.recovered);
        rh_core_watch_begin(core, subscription);
        rh_core_remote_ready(subscription);
        return;
    }
    attach(core, subscription, channel, &channel->audience->replaying, RH_SUBSCRIPTION_REPLAYING);
    if (subscription->is_welcomed) {
        rh_core_watch_begin(core, subscription);
        rh_core_stream_goes_on(core, subscription);
        return;
    }
    welcome(core, subscription, channel, &resume);
    rh_core_watch_begin(core, subscription);
    replay(core, subscription);
}

/* ---- reads ---- */

/* |entries_count| messages from |seq| on, each with a reference, or NULL when out of memory. */
static struct rh_entry **take_entries(const struct rh_channel *channel, uint64_t seq,
                                      uint32_t entries_count)
{
    struct rh_entry **entries = calloc(entries_count, sizeof(struct rh_entry *));
    for (uint32_t i = 0; entries != NULL && i < entries_count; i++) {
        entries[i] = rh_entry_take(rh_channel_message(channel, seq + i));
    }
    return entries;
}

static void answer_absent(struct rh_core *core, struct rh_subscription *subscription)
{
    bool recovered = !subscription->has_after || subscription->after.incarnation == 0;
    if (subscription->is_remote) {
        rh_core_remote_read(core, subscription, NULL, 0, 0, recovered, false);
    } else {
        struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
        action->read.subscription = subscription;
        action->read.recovered = recovered;
    }
    release(core, subscription);
}

/* Whether the answer of a read may go now. */
static bool has_window(struct rh_subscription *subscription)
{
    return !subscription->is_remote || rh_core_remote_has_window(subscription);
}

static bool exists(const struct rh_channel *channel)
{
    return channel != NULL && channel->incarnation != 0;
}

/* Likewise of a read of another node, whose answer has to fit a frame. */
static void answer_remote_read(struct rh_core *core, struct rh_subscription *subscription,
                               const struct rh_channel *channel, struct rh_resume resume,
                               uint64_t left)
{
    uint64_t size_max = core->options.batch_size_max < RH_PEER_BATCH_SIZE
                            ? core->options.batch_size_max
                            : RH_PEER_BATCH_SIZE;
    uint64_t size;
    uint32_t count =
        rh_core_stream_batch(channel, resume.next_seq, subscription->limit, size_max, &size);
    rh_core_remote_read(core, subscription, channel, resume.next_seq, count, resume.recovered,
                        left > count);
    release(core, subscription);
}

/* Ends a read with what |channel|, which may be NULL (no such channel), has for it. The answer
 * holds its entries: another publish of this very step may trim them from the log. */
static void answer_read(struct rh_core *core, struct rh_subscription *subscription,
                        const struct rh_channel *channel)
{
    if (!exists(channel)) {
        answer_absent(core, subscription);
        return;
    }
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    uint64_t left = rh_channel_commit_seq(channel) + 1 - resume.next_seq;
    uint32_t entries_count = batch(core, channel, resume.next_seq, subscription->limit);
    if (subscription->is_remote) {
        answer_remote_read(core, subscription, channel, resume, left);
        return;
    }
    struct rh_entry **entries =
        entries_count == 0 ? NULL : take_entries(channel, resume.next_seq, entries_count);
    if (entries_count > 0 && entries == NULL) {
        refuse(core, subscription, RH_REFUSAL_NO_MEMORY);
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
    action->read.subscription = subscription;
    action->read.incarnation = channel->incarnation;
    action->read.entries = entries;
    action->read.count = entries_count;
    action->read.position = (struct rh_position){.incarnation = channel->incarnation,
                                                 .seq = resume.next_seq + entries_count - 1};
    action->read.recovered = resume.recovered;
    action->read.more = left > entries_count;
    release(core, subscription);
}

/* Whether a read has an answer now, be it that its position is lost. */
static bool read_has_answer(const struct rh_subscription *subscription,
                            const struct rh_channel *channel)
{
    bool at_start = !subscription->has_after || subscription->after.incarnation == 0;
    if (!exists(channel)) {
        return !at_start;
    }
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    return !resume.recovered || resume.next_seq <= rh_channel_commit_seq(channel);
}

/* A read without a position waits from the channel's present end. */
static void anchor(struct rh_subscription *subscription, const struct rh_channel *channel)
{
    subscription->after = (struct rh_position){0};
    if (exists(channel)) {
        subscription->after = (struct rh_position){.incarnation = channel->incarnation,
                                                   .seq = rh_channel_commit_seq(channel)};
    }
}

/* Without a position a read waits for what comes after now, also while it waits. */
static void anchor_first(struct rh_subscription *subscription, const struct rh_channel *channel)
{
    if (!subscription->has_after) {
        subscription->has_after = true;
        subscription->after_is_ours = true;
        anchor(subscription, channel);
    }
}

/* Its answer is there, but no room for it on its way to another node. */
static void wait_for_window(struct rh_core *core, struct rh_subscription *subscription,
                            struct rh_channel *channel)
{
    anchor_first(subscription, channel);
    subscription->deadline_ms = core->now_ms;
    attach(core, subscription, channel, &channel->waiters->reads, RH_SUBSCRIPTION_WAITING);
    rh_core_remote_ready(subscription);
}

static void wait_for_message(struct rh_core *core, struct rh_subscription *subscription,
                             struct rh_channel *channel)
{
    anchor_first(subscription, channel);
    subscription->deadline_ms = core->now_ms + subscription->wait_ms;
    if (core->stats.reads_waiting == 0) {
        core->reads_slot = core->now_ms / RH_READ_SLOT_MS + 1; /* all slots before it are empty */
    }
    uint64_t slot = subscription->deadline_ms / RH_READ_SLOT_MS + 1;
    rh_list_push_back(&core->reads[slot % RH_READ_SLOTS], &subscription->timer_link);
    attach(core, subscription, channel, &channel->waiters->reads, RH_SUBSCRIPTION_WAITING);
    if (subscription->is_remote) {
        rh_core_remote_opened(core, subscription, subscription->after.incarnation,
                              subscription->after.seq, true);
    }
    if (channel->role == RH_ROLE_ABSENT) {
        rh_core_role_set(core, channel, RH_ROLE_WAITING);
    }
}

/* ---- the beginning ---- */

/* The channel, with the part that |subscription| will be in: that of the streams, or of who waits. NULL:
 * it was refused. */
static struct rh_channel *get(struct rh_core *core, struct rh_subscription *subscription,
                              struct rh_bytes key, uint64_t hash, bool waits)
{
    struct rh_channel *channel = NULL;
    enum rh_refusal refusal = rh_core_channel_get(core, key, hash, &channel);
    bool has_part = refusal == RH_REFUSAL_NONE && (waits ? rh_channel_waiters(channel) != NULL
                                                         : rh_channel_audience(channel) != NULL);
    if (refusal == RH_REFUSAL_NONE && !has_part) {
        rh_core_channel_settle(core, channel);
        refusal = RH_REFUSAL_NO_MEMORY;
    }
    if (refusal != RH_REFUSAL_NONE) {
        refuse(core, subscription, refusal);
        return NULL;
    }
    return channel;
}

static void begin_read(struct rh_core *core, struct rh_subscription *subscription,
                       struct rh_bytes key, const struct rh_core_route *route)
{
    if (subscription->after_is_ours && subscription->after.incarnation != 0 &&
        exists(route->channel) && route->channel->incarnation != subscription->after.incarnation) {
        anchor(subscription, route->channel); /* it gave no position, so it has missed nothing */
    }
    bool has_answer = subscription->wait_ms == 0 || read_has_answer(subscription, route->channel);
    if (has_answer && (!exists(route->channel) || has_window(subscription))) {
        answer_read(core, subscription, route->channel);
        return;
    }
    struct rh_channel *channel = get(core, subscription, key, route->hash, true);
    if (channel != NULL && has_answer) {
        wait_for_window(core, subscription, channel);
    } else if (channel != NULL) {
        wait_for_message(core, subscription, channel);
    }
}

static void begin_stream(struct rh_core *core, struct rh_subscription *subscription,
                         struct rh_bytes key, const struct rh_core_route *route)
{
    struct rh_channel *channel = get(core, subscription, key, route->hash, false);
    if (channel == NULL) {
        return;
    }
    const struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    if (subscription->is_welcomed && !resume.recovered) {
        rh_core_stream_send_away(core, subscription, rh_channel_key(channel), core->self);
        rh_core_channel_settle(core, channel);
        return; /* it comes back, and is told */
    }
    enum rh_refusal refusal = rh_core_watch_prepare(core, subscription, channel)
                                  ? rh_core_presence_enter(core, subscription, channel)
                                  : RH_REFUSAL_NO_MEMORY;
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_watch_abort(core, channel);
        rh_core_channel_settle(core, channel);
        refuse(core, subscription, refusal);
        return;
    }
    if (!core->options.replication) {
        rh_core_channel_bring_up(core, channel);
    }
    join_channel(core, subscription, channel);
}

/* Waits for the channel: until it is served here, or has what the client has seen. */
static void hold(struct rh_core *core, struct rh_subscription *subscription, struct rh_bytes key,
                 const struct rh_core_route *route)
{
    struct rh_channel *channel = get(core, subscription, key, route->hash, true);
    if (channel == NULL) {
        return;
    }
    if (rh_list_empty(&subscription->timer_link)) {
        bool patient = subscription->is_welcomed;
        subscription->deadline_ms =
            core->now_ms + (patient ? RH_RELAYED_PATIENCE_MS : core->options.catch_up_timeout_ms);
        rh_list_push_back(patient ? &core->held_welcomed : &core->held, &subscription->timer_link);
    }
    attach(core, subscription, channel, &channel->waiters->held, RH_SUBSCRIPTION_HELD);
    if (channel->role == RH_ROLE_ABSENT) {
        rh_core_role_set(core, channel, RH_ROLE_WAITING);
    }
    rh_core_hurry(core, channel);
}

/* Whether the client knows more than this node (N6). */
static bool is_ahead(const struct rh_core *core, const struct rh_subscription *subscription,
                     const struct rh_channel *channel)
{
    return core->options.replication && exists(channel) && !rh_fault(RH_FAULT_AHEAD_TOLD) &&
           rh_channel_resume(channel, subscription->has_after, subscription->after).is_ahead;
}

static void begin(struct rh_core *core, struct rh_subscription *subscription, struct rh_bytes key)
{
    struct rh_core_route route = rh_core_route(core, key);
    bool is_absent = subscription->is_read && route.place == RH_CORE_PLACE_WAIT &&
                     rh_core_is_known_absent(core, route.channel);
    bool waits = (route.place == RH_CORE_PLACE_WAIT && !is_absent) ||
                 (route.place == RH_CORE_PLACE_HERE && is_ahead(core, subscription, route.channel));
    if (waits) {
        hold(core, subscription, key, &route);
        return;
    }
    rh_list_remove(&subscription->timer_link); /* it may have been held before */
    if (route.place == RH_CORE_PLACE_NONE && subscription->is_welcomed) {
        rh_core_relayed_begin(core, subscription, key, RH_RING_NONE);
    } else if (route.place == RH_CORE_PLACE_NONE) {
        refuse(core, subscription, rh_core_route_refusal(core));
    } else if (route.place == RH_CORE_PLACE_REMOTE) {
        pass_on(core, subscription, key, route.owner);
    } else if (subscription->is_read) {
        begin_read(core, subscription, key, &route);
    } else {
        begin_stream(core, subscription, key, &route);
    }
}

/* Whether the URL was written by a node that has a later view than we; also while we have none:
 * others send clients here as soon as they have seen our registration, which may be before we
 * have. */
static bool is_behind(const struct rh_core *core, const struct rh_hop *hop)
{
    return hop->has_epoch && (core->view == NULL || hop->epoch > core->view->epoch.pzxid);
}

static void catch_up(struct rh_core *core, struct rh_subscription *subscription,
                     struct rh_bytes key)
{
    subscription->key = malloc(key.size);
    if (subscription->key == NULL) {
        refuse(core, subscription, RH_REFUSAL_NO_MEMORY);
        return;
    }
    memcpy(subscription->key, key.data, key.size);
    subscription->key_size = (uint16_t)key.size;
    subscription->state = RH_SUBSCRIPTION_CATCHING_UP;
    subscription->deadline_ms = core->now_ms + core->options.catch_up_timeout_ms;
    rh_list_push_back(&core->catching_up, &subscription->link);
    rh_core_catch_up(core);
}

static void start(struct rh_core *core, const struct rh_event *event, bool is_read)
{
    struct rh_subscription *subscription = event->subscribe.subscription;
    assert(subscription->state == RH_SUBSCRIPTION_FREE);
    subscription->is_read = is_read;
    subscription->has_after = event->subscribe.has_after;
    subscription->after_is_ours = event->subscribe.after_is_ours;
    subscription->may_relay = event->subscribe.may_relay;
    subscription->is_welcomed = false;
    subscription->wants_room = false;
    subscription->after = event->subscribe.after;
    subscription->hop = event->subscribe.hop;
    subscription->limit = (uint16_t)event->subscribe.limit;
    subscription->wait_ms = (uint16_t)event->subscribe.wait_ms;
    subscription->watches_state = !is_read && event->subscribe.watches_state;
    subscription->watches_presence = !is_read && event->subscribe.watches_presence;
    subscription->attendee = is_read ? NULL : event->subscribe.attendee;
    if (is_behind(core, &subscription->hop)) {
        catch_up(core, subscription, event->subscribe.key);
        return;
    }
    begin(core, subscription, event->subscribe.key);
}

void rh_core_subscribe(struct rh_core *core, const struct rh_event *event)
{
    start(core, event, false);
}

void rh_core_read(struct rh_core *core, const struct rh_event *event)
{
    assert(event->subscribe.limit > 0);
    assert(event->subscribe.wait_ms < RH_READ_SLOTS * RH_READ_SLOT_MS - 2 * RH_READ_SLOT_MS);
    start(core, event, true);
}

void rh_core_stream_begin(struct rh_core *core, struct rh_subscription *subscription,
                          struct rh_bytes key)
{
    assert(subscription->state == RH_SUBSCRIPTION_FREE);
    begin(core, subscription, key);
}

void rh_core_stream_refuse(struct rh_core *core, struct rh_subscription *subscription,
                           enum rh_refusal refusal)
{
    refuse(core, subscription, refusal);
}

void rh_core_unsubscribe(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_channel *channel = subscription->channel;
    release(core, subscription);
    if (channel != NULL) {
        rh_channel_shrink_audience(channel);
        rh_channel_shrink_waiters(channel);
    }
}

static bool is_served(const struct rh_core *core, const struct rh_channel *channel)
{
    return !core->options.replication || rh_role_serves(channel->role);
}

void rh_core_drained(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->state == RH_SUBSCRIPTION_REPLAYING &&
        is_served(core, subscription->channel)) {
        replay(core, subscription);
    } else if (subscription->state == RH_SUBSCRIPTION_RELAYED) {
        rh_core_relayed_drained(core, subscription);
    }
}

/* ---- what happens in the channel ---- */

static void wake_remotes(struct rh_channel *channel)
{
    rh_list_each (&channel->audience->remote, link) {
        rh_core_remote_ready(rh_container_of(link, struct rh_subscription, link));
    }
}

void rh_core_deliver(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry)
{
    if (channel->audience == NULL) {
        return;
    }
    wake_remotes(channel);
    if (rh_list_empty(&channel->audience->live)) {
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_DELIVER_ALL);
    action->deliver.channel = channel;
    action->deliver.entry = rh_entry_take(entry);
    action->deliver.incarnation = channel->incarnation;
    rh_list_each (&channel->audience->live, link) {
        struct rh_subscription *live = rh_container_of(link, struct rh_subscription, link);
        assert(live->next_seq == entry->seq);
        live->next_seq++;
        core->stats.deliveries++;
    }
}

void rh_core_streams_retry_held(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->waiters == NULL) {
        return;
    }
    struct rh_list again;
    rh_list_init(&again);
    rh_list_splice(&again, &channel->waiters->held);
    const struct rh_bytes key = rh_channel_key(channel);
    for (struct rh_list *link = rh_list_first(&again); link != NULL; link = rh_list_first(&again)) {
        struct rh_subscription *subscription = rh_container_of(link, struct rh_subscription, link);
        rh_list_remove(link);
        count(core, subscription, -1);
        subscription->channel = NULL;
        subscription->state = RH_SUBSCRIPTION_FREE;
        begin(core, subscription, key);
    }
    rh_channel_shrink_waiters(channel);
}

void rh_core_streams_committed(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->waiters == NULL) {
        return;
    }
    rh_list_each_safe (&channel->waiters->reads, link) {
        struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        if (!read_has_answer(waiting, channel)) {
            continue;
        }
        if (has_window(waiting)) {
            answer_read(core, waiting, channel);
        } else {
            rh_core_remote_ready(waiting);
        }
    }
    if (!rh_list_empty(&channel->waiters->held)) {
        rh_core_streams_retry_held(core, channel);
    }
}

/* ---- moving ---- */

static void move_stream(struct rh_core *core, struct rh_subscription *subscription, uint32_t owner)
{
    struct rh_channel *channel = subscription->channel;
    subscription->has_after = true;
    subscription->after = (struct rh_position){.incarnation = channel->audience->incarnation,
                                               .seq = subscription->next_seq - 1};
    detach(core, subscription);
    subscription->state = RH_SUBSCRIPTION_FREE;
    if (owner == core->self && !subscription->is_remote) {
        rh_core_stream_send_away(core, subscription, rh_channel_key(channel), owner);
    } else {
        pass_on(core, subscription, rh_channel_key(channel), owner);
    }
}

static void redirect_all(struct rh_core *core, struct rh_channel *channel, struct rh_list *list,
                         uint32_t owner)
{
    rh_list_each_safe (list, link) {
        struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        if (waiting->state == RH_SUBSCRIPTION_WAITING) {
            uint64_t left_ms =
                waiting->deadline_ms > core->now_ms ? waiting->deadline_ms - core->now_ms : 0;
            waiting->wait_ms = (uint16_t)left_ms;
        }
        detach(core, waiting);
        waiting->state = RH_SUBSCRIPTION_FREE;
        pass_on(core, waiting, rh_channel_key(channel), owner);
    }
}

static void move_streams(struct rh_core *core, struct rh_channel *channel, uint32_t owner)
{
    rh_list_each_safe (&channel->audience->replaying, link) {
        move_stream(core, rh_container_of(link, struct rh_subscription, link), owner);
    }
    rh_list_each_safe (&channel->audience->live, link) {
        move_stream(core, rh_container_of(link, struct rh_subscription, link), owner);
    }
    if (rh_fault(RH_FAULT_KEEP_REMOTE)) {
        return;
    }
    rh_list_each_safe (&channel->audience->remote, link) {
        move_stream(core, rh_container_of(link, struct rh_subscription, link), owner);
    }
}

void rh_core_streams_move(struct rh_core *core, struct rh_channel *channel, uint32_t owner)
{
    if (channel->audience != NULL) {
        move_streams(core, channel, owner);
    }
    if (channel->waiters != NULL) {
        redirect_all(core, channel, &channel->waiters->reads, owner);
        redirect_all(core, channel, &channel->waiters->held, owner);
    }
}

/* Those who saw all that is committed stay live; the others are sent the rest. */
static void catch_up_streams(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_audience *audience = channel->audience;
    uint64_t next_seq = rh_channel_commit_seq(channel) + 1;
    wake_remotes(channel);
    struct rh_list behind;
    rh_list_init(&behind);
    rh_list_splice(&behind, &audience->replaying);
    rh_list_each_safe (&audience->live, link) {
        struct rh_subscription *live = rh_container_of(link, struct rh_subscription, link);
        if (live->next_seq < next_seq) {
            rh_list_remove(link);
            rh_list_push_back(&behind, link);
        }
    }
    for (struct rh_list *link = rh_list_first(&behind); link != NULL;
         link = rh_list_first(&behind)) {
        struct rh_subscription *stream = rh_container_of(link, struct rh_subscription, link);
        rh_list_remove(link);
        rh_list_push_back(&audience->replaying, link);
        stream->state = RH_SUBSCRIPTION_REPLAYING;
        replay(core, stream);
        if (channel->audience == NULL) {
            return;
        }
    }
}

/* Reads of another incarnation that gave no position cannot have missed anything. */
static void anchor_again(struct rh_channel *channel)
{
    rh_list_each (&channel->waiters->reads, link) {
        struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        if (waiting->after_is_ours && waiting->after.incarnation != 0 &&
            waiting->after.incarnation != channel->incarnation) {
            anchor(waiting, channel);
        }
    }
}

void rh_core_streams_wake(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->audience != NULL && channel->audience->incarnation != channel->incarnation) {
        move_streams(core, channel, core->self);
    } else if (channel->audience != NULL) {
        catch_up_streams(core, channel);
    }
    if (channel->waiters != NULL) {
        anchor_again(channel);
    }
    rh_core_watch_changed(core, channel); /* it may have been, elsewhere */
}

/* ---- views and time ---- */

/* Does with the present view what was put off. */
static void go_on(struct rh_core *core, struct rh_subscription *subscription)
{
    char *key = subscription->key;
    subscription->key = NULL;
    subscription->state = RH_SUBSCRIPTION_FREE;
    rh_list_remove(&subscription->link);
    begin(core, subscription, rh_bytes(key, subscription->key_size));
    rh_core_keep(core, key);
}

void rh_core_streams_retry(struct rh_core *core)
{
    struct rh_list again;
    rh_list_init(&again);
    rh_list_splice(&again, &core->catching_up);
    for (struct rh_list *link = rh_list_first(&again); link != NULL; link = rh_list_first(&again)) {
        struct rh_subscription *subscription = rh_container_of(link, struct rh_subscription, link);
        rh_list_remove(link);
        if (is_behind(core, &subscription->hop)) {
            rh_list_push_back(&core->catching_up, link);
            continue;
        }
        go_on(core, subscription);
    }
}

void rh_core_stream_answer_nothing(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
    action->read.subscription = subscription;
    action->read.incarnation = subscription->after.incarnation;
    action->read.position = subscription->after;
    action->read.recovered = true;
}

/* Nothing came in time, and what this node holds is not to be shown now: the client is where it
 * was. */
static void answer_nothing(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->is_remote) {
        rh_core_remote_read_nothing(core, subscription);
    } else {
        rh_core_stream_answer_nothing(core, subscription);
    }
    release(core, subscription);
}

void rh_core_stream_answer_read(struct rh_core *core, struct rh_subscription *subscription)
{
    if (exists(subscription->channel) && !is_served(core, subscription->channel)) {
        answer_nothing(core, subscription);
    } else {
        answer_read(core, subscription, subscription->channel);
    }
}

static void expire_reads(struct rh_core *core)
{
    uint64_t now_slot = core->now_ms / RH_READ_SLOT_MS;
    if (core->reads_slot + RH_READ_SLOTS <= now_slot) {
        core->reads_slot = now_slot - RH_READ_SLOTS + 1;
    }
    for (; core->reads_slot <= now_slot; core->reads_slot++) {
        struct rh_list *slot = &core->reads[core->reads_slot % RH_READ_SLOTS];
        rh_list_each_safe (slot, link) {
            struct rh_subscription *waiting =
                rh_container_of(link, struct rh_subscription, timer_link);
            if (waiting->deadline_ms > core->now_ms) {
                continue;
            }
            rh_list_remove(link);
            if (has_window(waiting)) {
                rh_core_stream_answer_read(core, waiting);
            } else {
                rh_core_remote_ready(waiting);
            }
        }
    }
}

static void expire_held(struct rh_core *core, struct rh_list *list)
{
    for (struct rh_list *link = rh_list_first(list); link != NULL; link = rh_list_first(list)) {
        struct rh_subscription *held = rh_container_of(link, struct rh_subscription, timer_link);
        if (held->deadline_ms > core->now_ms) {
            break;
        }
        refuse(core, held, RH_REFUSAL_NOT_READY);
    }
}

void rh_core_streams_expire(struct rh_core *core)
{
    expire_reads(core);
    expire_held(core, &core->held);
    expire_held(core, &core->held_welcomed);
    for (struct rh_list *link = rh_list_first(&core->catching_up); link != NULL;
         link = rh_list_first(&core->catching_up)) {
        struct rh_subscription *subscription = rh_container_of(link, struct rh_subscription, link);
        if (subscription->deadline_ms > core->now_ms) {
            break;
        }
        /* There is no such view: the epoch was made up, or is from before ZooKeeper lost its
         * data. */
        go_on(core, subscription);
    }
}
