/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

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

/* Takes the subscription out of all lists and counts; the channel is left to settle. */
static void detach(struct rh_core *core, struct rh_subscription *subscription)
{
    rh_list_remove(&subscription->link);
    rh_list_remove(&subscription->timer_link);
    free(subscription->key);
    subscription->key = NULL;
    struct rh_channel *channel = subscription->channel;
    if (channel == NULL) {
        return;
    }
    subscription->channel = NULL;
    if (subscription->is_read) {
        channel->reads_count--;
        core->stats.reads_waiting--;
    } else {
        channel->streams_count--;
        core->stats.streams--;
    }
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

void rh_core_refuse(struct rh_core *core, struct rh_subscription *subscription,
                    enum rh_refusal refusal)
{
    release(core, subscription);
    core->stats.refusals++;
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

/* How many messages from |seq| on make a batch: |count_max| at most. */
static uint32_t batch(const struct rh_core *core, const struct rh_channel_log *log, uint64_t seq,
                      uint32_t count_max)
{
    uint64_t size = 0;
    uint32_t count = 0;
    for (; count < count_max; count++) {
        const struct rh_entry *entry = rh_channel_log_find_seq(log, seq + count, NULL);
        size += entry == NULL ? 0 : rh_entry_client_size_max(entry);
        if (entry == NULL || (count > 0 && size > core->options.batch_size_max)) {
            break;
        }
    }
    return count;
}

/* Sends a batch of the log; the stream is live once it has all. */
static void replay(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_channel *channel = subscription->channel;
    const struct rh_channel_log *log = &channel->log;
    if (subscription->next_seq < rh_channel_first_seq(channel)) {
        rh_core_refuse(core, subscription, RH_REFUSAL_TOO_SLOW);
        return;
    }
    uint32_t count = batch(core, log, subscription->next_seq, REPLAY_MESSAGES_MAX);
    for (; count > 0; count--) {
        struct rh_entry *entry = rh_channel_log_find_seq(log, subscription->next_seq, NULL);
        struct rh_action *action = rh_core_act(core, RH_ACTION_DELIVER);
        action->deliver.subscription = subscription;
        action->deliver.channel = channel;
        action->deliver.entry = rh_entry_take(entry);
        action->deliver.incarnation = channel->incarnation;
        core->stats.deliveries++;
        subscription->next_seq++;
    }
    if (subscription->next_seq > channel->seq) {
        rh_list_remove(&subscription->link);
        rh_list_push_back(&channel->live, &subscription->link);
        subscription->state = RH_SUBSCRIPTION_LIVE;
    }
}

static void join_channel(struct rh_core *core, struct rh_subscription *subscription,
                         struct rh_channel *channel)
{
    rh_core_channel_bring_up(core, channel);
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    subscription->channel = channel;
    subscription->next_seq = resume.next_seq;
    subscription->state = RH_SUBSCRIPTION_REPLAYING;
    rh_list_push_back(&channel->replaying, &subscription->link);
    channel->streams_count++;
    core->stats.streams++;
    struct rh_action *action = rh_core_act(core, RH_ACTION_WELCOME);
    action->welcome.subscription = subscription;
    action->welcome.key = rh_channel_key(channel);
    action->welcome.incarnation = channel->incarnation;
    action->welcome.seq = resume.next_seq - 1;
    action->welcome.recovered = resume.recovered;
    replay(core, subscription);
}

/* |count| messages of the log from |seq| on, each with a reference, or NULL when out of memory. */
static struct rh_entry **take_entries(const struct rh_channel_log *log, uint64_t seq,
                                      uint32_t count)
{
    struct rh_entry **entries = calloc(count, sizeof(struct rh_entry *));
    for (uint32_t i = 0; entries != NULL && i < count; i++) {
        entries[i] = rh_entry_take(rh_channel_log_find_seq(log, seq + i, NULL));
    }
    return entries;
}

static void answer_absent(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
    action->read.subscription = subscription;
    action->read.recovered = !subscription->has_after || subscription->after.incarnation == 0;
    release(core, subscription);
}

/* Ends a read with what |channel|, which may be NULL (no such channel), has for it. The answer
 * holds its entries: another publish of this very step may trim them from the log. */
static void answer_read(struct rh_core *core, struct rh_subscription *subscription,
                        const struct rh_channel *channel)
{
    if (channel == NULL || channel->incarnation == 0) {
        answer_absent(core, subscription);
        return;
    }
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    uint64_t held = channel->seq + 1 - resume.next_seq;
    uint32_t count = batch(core, &channel->log, resume.next_seq, subscription->limit);
    struct rh_entry **entries =
        count == 0 ? NULL : take_entries(&channel->log, resume.next_seq, count);
    if (count > 0 && entries == NULL) {
        rh_core_refuse(core, subscription, RH_REFUSAL_NO_MEMORY);
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_READ_DONE);
    action->read.subscription = subscription;
    action->read.incarnation = channel->incarnation;
    action->read.entries = entries;
    action->read.count = count;
    action->read.position = (struct rh_position){.incarnation = channel->incarnation,
                                                 .seq = resume.next_seq + count - 1};
    action->read.recovered = resume.recovered;
    action->read.more = held > count;
    release(core, subscription);
}

/* Whether a read has an answer now, be it that its position is lost. */
static bool read_has_answer(const struct rh_subscription *subscription,
                            const struct rh_channel *channel)
{
    bool at_start = !subscription->has_after || subscription->after.incarnation == 0;
    if (channel == NULL || channel->incarnation == 0) {
        return !at_start;
    }
    struct rh_resume resume =
        rh_channel_resume(channel, subscription->has_after, subscription->after);
    return !resume.recovered || resume.next_seq <= channel->seq;
}

static void wait_for_message(struct rh_core *core, struct rh_subscription *subscription,
                             struct rh_channel *channel)
{
    /* Without a position a read waits for what comes after now, also while it waits. */
    if (!subscription->has_after) {
        subscription->has_after = true;
        subscription->after = (struct rh_position){0};
        if (channel->incarnation != 0) {
            subscription->after =
                (struct rh_position){.incarnation = channel->incarnation, .seq = channel->seq};
        }
    }
    subscription->channel = channel;
    subscription->state = RH_SUBSCRIPTION_WAITING;
    subscription->deadline_ms = core->now_ms + subscription->wait_ms;
    rh_list_push_back(&channel->waiting, &subscription->link);
    if (core->stats.reads_waiting == 0) {
        core->reads_slot = core->now_ms / RH_READ_SLOT_MS + 1; /* all slots before it are empty */
    }
    uint64_t slot = subscription->deadline_ms / RH_READ_SLOT_MS + 1;
    rh_list_push_back(&core->reads[slot % RH_READ_SLOTS], &subscription->timer_link);
    channel->reads_count++;
    core->stats.reads_waiting++;
}

static void begin_read(struct rh_core *core, struct rh_subscription *subscription,
                       struct rh_bytes key, uint64_t hash)
{
    struct rh_channel *channel = rh_core_channel_find(core, key);
    if (subscription->wait_ms == 0 || read_has_answer(subscription, channel)) {
        answer_read(core, subscription, channel);
        return;
    }
    enum rh_refusal refusal = rh_core_channel_get(core, key, hash, &channel);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_refuse(core, subscription, refusal);
        return;
    }
    wait_for_message(core, subscription, channel);
}

static void begin_stream(struct rh_core *core, struct rh_subscription *subscription,
                         struct rh_bytes key, uint64_t hash)
{
    struct rh_channel *channel;
    enum rh_refusal refusal = rh_core_channel_get(core, key, hash, &channel);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_refuse(core, subscription, refusal);
        return;
    }
    join_channel(core, subscription, channel);
}

static void begin(struct rh_core *core, struct rh_subscription *subscription, struct rh_bytes key)
{
    struct rh_core_route route = rh_core_route(core, key);
    switch (route.kind) {
    case RH_CORE_ROUTE_NONE:
        rh_core_refuse(core, subscription, rh_core_route_refusal(core));
        return;
    case RH_CORE_ROUTE_REMOTE:
        redirect(core, subscription, key, route.owner);
        return;
    case RH_CORE_ROUTE_LOCAL:
        break;
    }
    if (subscription->is_read) {
        begin_read(core, subscription, key, route.hash);
    } else {
        begin_stream(core, subscription, key, route.hash);
    }
}

/* Whether the URL was written by a node that has a later view than we; also while we have none: others
 * send clients here as soon as they have seen our registration, which may be before we have. */
static bool is_behind(const struct rh_core *core, const struct rh_hop *hop)
{
    return hop->has_epoch && (core->view == NULL || hop->epoch > core->view->epoch.pzxid);
}

static void catch_up(struct rh_core *core, struct rh_subscription *subscription,
                     struct rh_bytes key)
{
    subscription->key = malloc(key.size);
    if (subscription->key == NULL) {
        rh_core_refuse(core, subscription, RH_REFUSAL_NO_MEMORY);
        return;
    }
    memcpy(subscription->key, key.data, key.size);
    subscription->key_size = (uint32_t)key.size;
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
    subscription->after = event->subscribe.after;
    subscription->hop = event->subscribe.hop;
    subscription->limit = event->subscribe.limit;
    subscription->wait_ms = event->subscribe.wait_ms;
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

void rh_core_unsubscribe(struct rh_core *core, struct rh_subscription *subscription)
{
    release(core, subscription);
}

void rh_core_drained(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->state == RH_SUBSCRIPTION_REPLAYING) {
        replay(core, subscription);
    }
}

void rh_core_deliver(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry)
{
    if (!rh_list_empty(&channel->live)) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_DELIVER_ALL);
        action->deliver.channel = channel;
        action->deliver.entry = rh_entry_take(entry);
        action->deliver.incarnation = channel->incarnation;
        rh_list_each (&channel->live, link) {
            struct rh_subscription *live = rh_container_of(link, struct rh_subscription, link);
            assert(live->next_seq == entry->seq);
            live->next_seq++;
            core->stats.deliveries++;
        }
    }
    rh_list_each_safe (&channel->waiting, link) {
        struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        answer_read(core, waiting, channel);
    }
}

static void move_stream(struct rh_core *core, struct rh_subscription *subscription, uint32_t owner)
{
    struct rh_channel *channel = subscription->channel;
    struct rh_action *action = rh_core_act(core, RH_ACTION_MOVED);
    action->moved.subscription = subscription;
    action->moved.node = &core->view->members[owner];
    action->moved.key = rh_channel_key(channel);
    action->moved.has_position = true;
    action->moved.position = (struct rh_position){.incarnation = channel->incarnation,
                                                  .seq = subscription->next_seq - 1};
    detach(core, subscription);
    subscription->state = RH_SUBSCRIPTION_MOVED;
    core->stats.moved_connections++;
}

void rh_core_streams_move(struct rh_core *core, struct rh_channel *channel, uint32_t owner)
{
    rh_list_each_safe (&channel->replaying, link) {
        move_stream(core, rh_container_of(link, struct rh_subscription, link), owner);
    }
    rh_list_each_safe (&channel->live, link) {
        move_stream(core, rh_container_of(link, struct rh_subscription, link), owner);
    }
    rh_list_each_safe (&channel->waiting, link) {
        struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        redirect(core, waiting, rh_channel_key(channel), owner);
        detach(core, waiting);
        waiting->state = RH_SUBSCRIPTION_FREE;
    }
}

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
            answer_read(core, waiting, waiting->channel);
        }
    }
}

void rh_core_streams_expire(struct rh_core *core)
{
    expire_reads(core);
    for (struct rh_list *link = rh_list_first(&core->catching_up); link != NULL;
         link = rh_list_first(&core->catching_up)) {
        struct rh_subscription *subscription = rh_container_of(link, struct rh_subscription, link);
        if (subscription->deadline_ms > core->now_ms) {
            break;
        }
        /* There is no such view: the epoch was made up, or is from before ZooKeeper lost its data. */
        go_on(core, subscription);
    }
}
