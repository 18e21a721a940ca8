/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel.h"

#include <assert.h>
#include <stdlib.h>

struct rh_channel *rh_channel_create(struct rh_bytes key, uint64_t hash, uint64_t secret)
{
    assert(key.size > 0 && key.size <= RH_KEY_SIZE_MAX);
    struct rh_channel *channel = calloc(1, sizeof(*channel) + key.size);
    if (channel == NULL) {
        return NULL;
    }
    channel->hash = hash;
    channel->key_size = (uint32_t)key.size;
    memcpy(channel->key, key.data, key.size);
    rh_channel_log_init(&channel->log, 1);
    rh_id_window_init(&channel->ids, secret);
    rh_list_init(&channel->list_link);
    rh_list_init(&channel->replaying);
    rh_list_init(&channel->live);
    rh_list_init(&channel->waiting);
    return channel;
}

void rh_channel_destroy(struct rh_channel *channel)
{
    assert(channel->streams_count == 0 && channel->reads_count == 0);
    rh_channel_log_finish(&channel->log);
    rh_id_window_finish(&channel->ids);
    free(channel);
}

struct rh_resume rh_channel_resume(const struct rh_channel *channel, bool has_after,
                                   struct rh_position after)
{
    uint64_t first_seq = rh_channel_first_seq(channel);
    if (!has_after) {
        return (struct rh_resume){.next_seq = channel->seq + 1, .recovered = true};
    }
    if (after.incarnation == 0) {
        return (struct rh_resume){.next_seq = first_seq, .recovered = true};
    }
    bool covered = after.incarnation == channel->incarnation && after.seq + 1 >= first_seq &&
                   after.seq <= channel->seq;
    if (!covered) {
        return (struct rh_resume){.next_seq = first_seq, .recovered = false};
    }
    return (struct rh_resume){.next_seq = after.seq + 1, .recovered = true};
}

struct rh_subscription *rh_channel_live_next(const struct rh_channel *channel,
                                             const struct rh_subscription *subscription)
{
    struct rh_list *next = subscription == NULL ? channel->live.next : subscription->link.next;
    return next == &channel->live ? NULL : rh_container_of(next, struct rh_subscription, link);
}

struct rh_bytes rh_channel_key(const struct rh_channel *channel)
{
    return rh_bytes(channel->key, channel->key_size);
}
