/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include <assert.h>
#include <xxhash.h>

/* A full round over all channels takes about this many scans, one a second. */
#define SCAN_ROUNDS 64
#define SCAN_MIN    64

static struct rh_channel *channel_of(const struct rh_table_link *link)
{
    return (struct rh_channel *)((uintptr_t)link - offsetof(struct rh_channel, table_link));
}

static bool channel_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_bytes *wanted = key;
    return rh_bytes_equal(rh_channel_key(channel_of(link)), *wanted);
}

/* Not the ring's hash: that one has a public seed, and strangers choose keys. */
static uint64_t table_hash(const struct rh_core *core, struct rh_bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.size, core->options.secret);
}

struct rh_channel *rh_core_channel_find(const struct rh_core *core, struct rh_bytes key)
{
    struct rh_table_link *link =
        rh_table_find(&core->channels, table_hash(core, key), channel_equal, &key);
    return link == NULL ? NULL : channel_of(link);
}

enum rh_refusal rh_core_channel_get(struct rh_core *core, struct rh_bytes key, uint64_t hash,
                                    struct rh_channel **ret_channel)
{
    struct rh_channel *channel = rh_core_channel_find(core, key);
    if (channel == NULL) {
        if (core->channels.count >= core->options.channels_max) {
            return RH_REFUSAL_CHANNELS_FULL;
        }
        channel = rh_channel_create(key, hash, core->options.secret);
        if (channel == NULL) {
            return RH_REFUSAL_NO_MEMORY;
        }
        channel->used_ms = core->now_ms;
        if (core->channels.count == 0) {
            core->scan_ms = core->now_ms; /* nobody had to be looked at before */
        }
        rh_table_insert(&core->channels, &channel->table_link, table_hash(core, key));
        rh_list_push_back(&core->swept, &channel->list_link);
    }
    *ret_channel = channel;
    return RH_REFUSAL_NONE;
}

void rh_core_channel_bring_up(struct rh_core *core, struct rh_channel *channel)
{
    channel->used_ms = core->now_ms;
    while (channel->incarnation == 0) {
        channel->incarnation = rh_core_random(core);
        core->stats.channels_created++;
    }
}

void rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel)
{
    core->stats.log_bytes -= channel->log.bytes;
    core->stats.ids -= channel->ids.records.count;
    rh_table_remove(&core->channels, &channel->table_link);
    rh_list_remove(&channel->list_link);
    rh_list_push_back(&core->dropped, &channel->list_link);
}

void rh_core_channel_settle(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->incarnation == 0 && channel->reads_count == 0) {
        assert(channel->streams_count == 0);
        rh_core_channel_drop(core, channel);
    }
}

void rh_core_channel_forget(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_id_window_limits limits = rh_core_id_limits(core);
    core->stats.ids -= channel->ids.records.count;
    rh_id_window_expire(&channel->ids, &limits, core->now_ms);
    core->stats.ids += channel->ids.records.count;
}

static void tidy(struct rh_core *core, struct rh_channel *channel)
{
    uint64_t bytes = channel->log.bytes;
    rh_channel_log_trim(&channel->log, &core->options.log, rh_channel_log_last_op(&channel->log),
                        core->time_ms);
    core->stats.log_bytes -= bytes - channel->log.bytes;
    rh_core_channel_forget(core, channel);
    /* An id that is remembered is a promise to recognise a retry. */
    bool in_use =
        channel->streams_count > 0 || channel->reads_count > 0 || channel->ids.records.count > 0;
    if (!in_use && core->now_ms - channel->used_ms >= core->options.channel_idle_ms) {
        core->stats.channels_reclaimed++;
        rh_core_channel_drop(core, channel);
    }
}

void rh_core_channels_scan(struct rh_core *core)
{
    size_t looks = core->channels.count / SCAN_ROUNDS;
    if (looks < SCAN_MIN) {
        looks = SCAN_MIN;
    }
    if (looks > core->channels.count) {
        looks = core->channels.count;
    }
    for (; looks > 0; looks--) {
        struct rh_list *first = rh_list_first(&core->swept);
        if (first == NULL) {
            return;
        }
        /* To the back first: the list is also the order in which channels are looked at. */
        rh_list_remove(first);
        rh_list_push_back(&core->swept, first);
        tidy(core, rh_container_of(first, struct rh_channel, list_link));
    }
}
