/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_FOLLOWS_H
#define RH_NODE_FOLLOWS_H

/*
 * What a channel follows: topics, and of each the position of the last message that was taken. Part
 * of the copy: it changes with operations only (docs/topics.md), so that copies which have the same
 * operations have the same table. Not for: where messages come from (node/core_feeds.c).
 */

#include "base/list.h"
#include "node/channel_log.h"
#include "proto/peer_replication.h"

#define RH_FOLLOWS_MAX 100U /* of one channel */

struct rh_channel;
struct rh_feed;

struct rh_follow {
    struct rh_list
        link; /* rh_feed::in_step or ::behind; in none unless this node serves the channel */
    struct rh_feed *feed;
    struct rh_channel *channel;  /* with `feed` */
    struct rh_position position; /* as of the channel's last operation */
    uint64_t heard;              /* with `feed`, in step: nothing up to there is wanted */
    uint16_t topic_size;
    char topic[];
};

struct rh_follows {
    uint32_t count;
    uint32_t capacity;
    struct rh_follow **items; /* in the order in which they came */
};

static inline struct rh_bytes rh_follow_topic(const struct rh_follow *follow)
{
    return rh_bytes(follow->topic, follow->topic_size);
}

/* The item of that topic, or NULL; |follows| may be NULL: an empty table. */
struct rh_follow *rh_follows_find(const struct rh_follows *follows, struct rh_bytes topic);

/* Does what |entry| says: a follow, an unfollow, a message that came by a topic. The table is made if
 * need be. An item that goes must be in no feed. RH_ERR_NO_MEMORY: nothing changed. */
RH_MUST_CHECK int rh_follows_apply(struct rh_follows **follows, const struct rh_entry *entry);

/* Makes the table what another copy says. RH_ERR_NO_MEMORY: it is empty. */
RH_MUST_CHECK int rh_follows_replace(struct rh_follows **follows,
                                     const struct rh_peer_follow *items, size_t count);

/* Frees all; NULL is allowed. */
void rh_follows_destroy(struct rh_follows *follows);

static inline uint32_t rh_follows_count(const struct rh_follows *follows)
{
    return follows == NULL ? 0 : follows->count;
}

#endif
