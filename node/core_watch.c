/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Streams that watch the state document. Each is shown it when it is welcomed, and again after each turn
 * of the loop in which it was changed: as it is then, so that what lies between two changes of one turn
 * is not seen. A version may be shown twice, never an earlier one after a later one.
 *
 * Few channels are watched, so that one is costs a channel a bit, and the rest is in a table.
 */

struct rh_watch {
    struct rh_table_link table_link; /* rh_core::watches */
    struct rh_list link;             /* rh_core::watches_to_tell, or none */
    struct rh_channel *channel;
    uint32_t streams_count;
};

static uint64_t hash_of(const struct rh_channel *channel)
{
    return channel->table_link.hash;
}

static struct rh_watch *watch_in_table(const struct rh_table_link *link)
{
    return (struct rh_watch *)((uintptr_t)link - offsetof(struct rh_watch, table_link));
}

static bool watch_equal(const struct rh_table_link *link, const void *key)
{
    return watch_in_table(link)->channel == key;
}

static struct rh_watch *find(const struct rh_core *core, const struct rh_channel *channel)
{
    if (!channel->is_watched) {
        return NULL;
    }
    return watch_in_table(rh_table_find(&core->watches, hash_of(channel), watch_equal, channel));
}

static struct rh_watch *get(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_watch *watch = find(core, channel);
    if (watch == NULL) {
        watch = calloc(1, sizeof(*watch));
        if (watch == NULL) {
            return NULL;
        }
        watch->channel = channel;
        rh_list_init(&watch->link);
        rh_table_insert(&core->watches, &watch->table_link, hash_of(channel));
        channel->is_watched = true;
    }
    return watch;
}

static void destroy(struct rh_core *core, struct rh_watch *watch)
{
    watch->channel->is_watched = false;
    rh_list_remove(&watch->link);
    rh_table_remove(&core->watches, &watch->table_link);
    free(watch);
}

static void show(struct rh_core *core, struct rh_channel *channel,
                 struct rh_subscription *subscription)
{
    if (subscription != NULL && subscription->is_remote) {
        rh_core_remote_show(subscription);
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_CHANGED);
    action->changed.subscription = subscription;
    action->changed.channel = channel;
    action->changed.state = channel->state;
    if (channel->state != NULL) {
        rh_core_keep_entry(core, rh_entry_take(channel->state));
    }
}

bool rh_core_watch_prepare(struct rh_core *core, const struct rh_subscription *subscription,
                           struct rh_channel *channel)
{
    return (!subscription->watches_state || get(core, channel) != NULL) &&
           (!subscription->watches_presence || rh_core_presence_watch(core, channel));
}

void rh_core_watch_abort(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_watch *watch = find(core, channel);
    if (watch != NULL && watch->streams_count == 0) {
        destroy(core, watch);
    }
    rh_core_presence_settle(core, channel);
}

void rh_core_watch_begin(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->watches_state) {
        struct rh_watch *watch = find(core, subscription->channel);
        assert(watch != NULL);
        watch->streams_count++;
        show(core, subscription->channel, subscription);
    }
    if (subscription->watches_presence) {
        rh_core_presence_watch_begin(core, subscription);
    }
}

static bool is_in(const struct rh_subscription *subscription)
{
    return subscription->state == RH_SUBSCRIPTION_LIVE ||
           subscription->state == RH_SUBSCRIPTION_REPLAYING ||
           subscription->state == RH_SUBSCRIPTION_REMOTE;
}

void rh_core_watch_show(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->watches_state && subscription->state == RH_SUBSCRIPTION_RELAYED) {
        rh_core_relayed_show(core, subscription);
    } else if (subscription->watches_state && is_in(subscription)) {
        show(core, subscription->channel, subscription);
    }
}

void rh_core_watch_end(struct rh_core *core, struct rh_subscription *subscription)
{
    if (subscription->watches_presence && is_in(subscription)) {
        rh_core_presence_watch_end(core, subscription);
    }
    if (!subscription->watches_state || !is_in(subscription)) {
        return;
    }
    struct rh_watch *watch = find(core, subscription->channel);
    assert(watch != NULL);
    if (--watch->streams_count == 0) {
        destroy(core, watch);
    }
}

void rh_core_watch_changed(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_watch *watch = find(core, channel);
    if (watch != NULL && rh_list_empty(&watch->link)) {
        rh_list_push_back(&core->watches_to_tell, &watch->link);
    }
}

static void show_remotes(const struct rh_channel *channel)
{
    for (struct rh_subscription *at = rh_core_stream_next(channel, NULL); at != NULL;
         at = rh_core_stream_next(channel, at)) {
        if (at->is_remote && at->watches_state) {
            rh_core_remote_show(at);
        }
    }
}

/* At the end of a step: who is welcomed in it was shown what there is, and is in the channel. */
void rh_core_watches_flush(struct rh_core *core)
{
    for (struct rh_list *link = rh_list_first(&core->watches_to_tell); link != NULL;
         link = rh_list_first(&core->watches_to_tell)) {
        struct rh_channel *channel = rh_container_of(link, struct rh_watch, link)->channel;
        rh_list_remove(link);
        show(core, channel, NULL);
        show_remotes(channel);
    }
}

void rh_core_watches_finish(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->watches, NULL); link != NULL;
         link = rh_table_next(&core->watches, NULL)) {
        destroy(core, watch_in_table(link));
    }
}

struct rh_subscription *rh_core_stream_next(const struct rh_channel *channel,
                                            const struct rh_subscription *subscription)
{
    if (channel->audience == NULL) {
        return NULL;
    }
    struct rh_list *live = &channel->audience->live;
    struct rh_list *replaying = &channel->audience->replaying;
    struct rh_list *remote = &channel->audience->remote;
    struct rh_list *link = subscription == NULL ? live->next : subscription->link.next;
    if (link == live) {
        link = replaying->next;
    }
    if (link == replaying) {
        link = remote->next;
    }
    return link == remote ? NULL : rh_container_of(link, struct rh_subscription, link);
}

struct rh_subscription *rh_channel_watcher_next(const struct rh_channel *channel,
                                                const struct rh_subscription *subscription)
{
    struct rh_subscription *next = rh_core_stream_next(channel, subscription);
    while (next != NULL && (!next->watches_state || next->is_remote)) {
        next = rh_core_stream_next(channel, next);
    }
    return next;
}
