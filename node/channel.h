/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CHANNEL_H
#define RH_NODE_CHANNEL_H

/*
 * One channel as this node holds it: log, window of message ids, and the subscriptions in it.
 * Internal to the core. Not for: whether this node owns the channel (node/core.c), who else does.
 *
 * A channel object exists in two forms. *Absent* (incarnation 0): nothing was created yet, but reads
 * wait for it; a read never creates a channel. *Created*: a stream or a publish gave it a random
 * incarnation, and its log begins at seq 1.
 */

#include "node/core.h"
#include "node/id_window.h"

struct rh_channel {
    struct rh_table_link table_link; /* rh_core::channels, by key */
    struct rh_list list_link;        /* rh_core::swept or ::unswept */
    uint64_t hash;                   /* place on the ring */
    uint64_t incarnation;            /* 0: absent */
    uint64_t used_ms; /* monotonic: last publish, or subscription that came or left */
    uint64_t seq;     /* of the last message; 0: none yet */
    struct rh_channel_log log;
    struct rh_id_window ids;
    struct rh_list replaying; /* rh_subscription::link */
    struct rh_list live;
    struct rh_list waiting; /* reads */
    uint32_t streams_count; /* replaying + live */
    uint32_t reads_count;   /* waiting */
    uint32_t key_size;
    char key[];
};

/* An absent channel; NULL when out of memory. |secret| seeds the hash of message ids. */
struct rh_channel *rh_channel_create(struct rh_bytes key, uint64_t hash, uint64_t secret);

/* Frees a channel without subscriptions. */
void rh_channel_destroy(struct rh_channel *channel);

/* The seq of the first message that the log holds; the next one if it holds none. */
static inline uint64_t rh_channel_first_seq(const struct rh_channel *channel)
{
    return rh_channel_log_first_seq(&channel->log, channel->seq + 1);
}

/* Where a client that saw |after| goes on. */
struct rh_resume {
    uint64_t next_seq;
    bool recovered; /* false: messages between its position and next_seq are gone, or unknown */
};

/*
 * No position: only new messages. `0`: all that the log holds. A position of this incarnation that
 * the log still covers: the message after it. Anything else: all that the log holds, and
 * recovered is false, because the client missed something that cannot be had any more.
 */
struct rh_resume rh_channel_resume(const struct rh_channel *channel, bool has_after,
                                   struct rh_position after);

#endif
