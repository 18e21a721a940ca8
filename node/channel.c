/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel.h"

#include <assert.h>
#include <stdlib.h>

struct rh_channel *rh_channel_create(struct rh_bytes key, uint64_t hash)
{
    assert(key.size > 0 && key.size <= RH_KEY_SIZE_MAX);
    struct rh_channel *channel = calloc(1, sizeof(*channel) + key.size);
    if (channel == NULL) {
        return NULL;
    }
    channel->hash = hash;
    channel->key_size = (uint16_t)key.size;
    memcpy(channel->key, key.data, key.size);
    rh_list_init(&channel->list_link);
    return channel;
}

static void free_log(struct rh_channel *channel)
{
    rh_channel_log_destroy(channel->log);
    channel->log = NULL;
}

static void free_ids(struct rh_channel *channel)
{
    rh_id_window_destroy(channel->ids);
    channel->ids = NULL;
}

void rh_channel_clear(struct rh_channel *channel)
{
    free_log(channel);
    free_ids(channel);
    rh_terms_destroy(channel->terms);
    channel->terms = NULL;
    rh_entry_give(channel->state);
    channel->state = NULL;
    rh_follows_destroy(channel->follows);
    channel->follows = NULL;
    channel->incarnation = 0;
    channel->term = (struct rh_term){0};
    channel->op = 0;
    channel->seq = 0;
    channel->commit = 0;
    channel->suspect = false;
    channel->lacked = false;
}

void rh_channel_destroy(struct rh_channel *channel)
{
    assert(!rh_channel_is_used(channel) && channel->dealings == NULL);
    assert(channel->acting == NULL && channel->group == NULL);
    rh_channel_clear(channel);
    free(channel->audience);
    free(channel->waiters);
    free(channel);
}

struct rh_audience *rh_channel_audience(struct rh_channel *channel)
{
    struct rh_audience *audience = channel->audience;
    if (audience != NULL) {
        return audience;
    }
    audience = calloc(1, sizeof(*audience));
    if (audience == NULL) {
        return NULL;
    }
    rh_list_init(&audience->replaying);
    rh_list_init(&audience->live);
    rh_list_init(&audience->remote);
    channel->audience = audience;
    return audience;
}

struct rh_waiters *rh_channel_waiters(struct rh_channel *channel)
{
    struct rh_waiters *waiters = channel->waiters;
    if (waiters != NULL) {
        return waiters;
    }
    waiters = calloc(1, sizeof(*waiters));
    if (waiters == NULL) {
        return NULL;
    }
    rh_list_init(&waiters->reads);
    rh_list_init(&waiters->held);
    rh_list_init(&waiters->requests);
    rh_list_init(&waiters->committing);
    channel->waiters = waiters;
    return waiters;
}

struct rh_channel_log *rh_channel_log_of(struct rh_channel *channel)
{
    if (channel->log == NULL) {
        channel->log = rh_channel_log_create(channel->op + 1);
    }
    return channel->log;
}

struct rh_id_window *rh_channel_ids_of(struct rh_channel *channel, uint64_t secret)
{
    if (channel->ids == NULL) {
        channel->ids = rh_id_window_create(secret);
    }
    return channel->ids;
}

void rh_channel_shrink(struct rh_channel *channel)
{
    if (channel->log != NULL && channel->log->count == 0) {
        free_log(channel);
    }
    if (channel->ids != NULL && rh_id_window_count(channel->ids) == 0) {
        free_ids(channel);
    }
    rh_channel_shrink_audience(channel);
    rh_channel_shrink_waiters(channel);
}

void rh_channel_shrink_audience(struct rh_channel *channel)
{
    if (channel->streams_count == 0) {
        free(channel->audience);
        channel->audience = NULL;
    }
}

void rh_channel_shrink_waiters(struct rh_channel *channel)
{
    const struct rh_waiters *waiters = channel->waiters;
    if (waiters != NULL && waiters->reads_count == 0 && waiters->held_count == 0 &&
        waiters->requests_count == 0) {
        free(channel->waiters);
        channel->waiters = NULL;
    }
}

uint64_t rh_channel_first_op(const struct rh_channel *channel)
{
    return channel->log == NULL ? channel->op + 1 : channel->log->first_op;
}

uint64_t rh_channel_first_seq(const struct rh_channel *channel)
{
    return rh_channel_log_first_seq(channel->log, channel->seq + 1);
}

uint64_t rh_channel_commit_seq(const struct rh_channel *channel)
{
    if (channel->commit >= channel->op) {
        return channel->seq;
    }
    const struct rh_entry *entry = rh_channel_log_get(channel->log, channel->commit);
    return entry != NULL ? entry->seq : rh_channel_first_seq(channel) - 1;
}

struct rh_entry *rh_channel_message(const struct rh_channel *channel, uint64_t seq)
{
    return seq > rh_channel_commit_seq(channel) ? NULL
                                                : rh_channel_log_find_seq(channel->log, seq, NULL);
}

static bool changes_state(const struct rh_entry *entry)
{
    return entry != NULL &&
           (entry->entry_kind == RH_ENTRY_STATE || entry->entry_kind == RH_ENTRY_STATE_DELETE);
}

struct rh_entry *rh_channel_state_numbered(const struct rh_channel *channel)
{
    for (uint64_t op = channel->op; op > channel->commit; op--) {
        struct rh_entry *entry = rh_channel_log_get(channel->log, op);
        if (changes_state(entry)) {
            return entry;
        }
    }
    return channel->state;
}

void rh_channel_commit_to(struct rh_channel *channel, uint64_t commit)
{
    assert(commit <= channel->op);
    uint64_t before = channel->commit;
    if (commit <= before) {
        return;
    }
    channel->commit = commit;
    for (uint64_t op = commit; op > before && channel->log != NULL; op--) {
        struct rh_entry *entry = rh_channel_log_get(channel->log, op);
        if (changes_state(entry)) {
            rh_entry_give(channel->state);
            channel->state = rh_entry_take(entry);
            return;
        }
    }
}

struct rh_term rh_channel_term_at(const struct rh_channel *channel, uint64_t op)
{
    if (op == 0) {
        return (struct rh_term){0};
    }
    return channel->terms == NULL ? channel->term : rh_terms_at(channel->terms, op);
}

struct rh_resume rh_channel_resume(const struct rh_channel *channel, bool has_after,
                                   struct rh_position after)
{
    uint64_t commit_seq = rh_channel_commit_seq(channel);
    uint64_t first_seq = rh_channel_first_seq(channel);
    if (!has_after) {
        return (struct rh_resume){.next_seq = commit_seq + 1, .recovered = true};
    }
    if (after.incarnation == 0) {
        return (struct rh_resume){.next_seq = first_seq, .recovered = true};
    }
    bool is_ours = after.incarnation == channel->incarnation;
    if (is_ours && after.seq > commit_seq) {
        return (struct rh_resume){.next_seq = first_seq, .is_ahead = true};
    }
    if (!is_ours || after.seq + 1 < first_seq) {
        return (struct rh_resume){.next_seq = first_seq, .recovered = false};
    }
    return (struct rh_resume){.next_seq = after.seq + 1, .recovered = true};
}

struct rh_subscription *rh_channel_live_next(const struct rh_channel *channel,
                                             const struct rh_subscription *subscription,
                                             const struct rh_entry *entry)
{
    if (channel->audience == NULL) {
        return NULL;
    }
    struct rh_list *head = &channel->audience->live;
    struct rh_list *link = subscription == NULL ? head->next : subscription->link.next;
    for (; link != head; link = link->next) {
        struct rh_subscription *next = rh_container_of(link, struct rh_subscription, link);
        if (next->live_from <= entry->seq) {
            return next;
        }
    }
    return NULL;
}

struct rh_bytes rh_channel_key(const struct rh_channel *channel)
{
    return rh_bytes(channel->key, channel->key_size);
}
