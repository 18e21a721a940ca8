/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CHANNEL_H
#define RH_NODE_CHANNEL_H

/*
 * One channel as this node has it: its copy, if it holds one; who is in it; and what is under way
 * with the nodes that hold the other copies. Internal to the core. Not for: whether this node owns
 * the channel (node/core.c), who else does.
 *
 * Most channels are idle, so what is empty for them is a pointer: a copy without messages that is in
 * step with the others has none of the parts below but its group.
 *
 * Operations are numbered by `op`, messages among them also by `seq`:
 *
 *      1 ...        first_op ........ commit ........ op
 *      trimmed      in the log        |               last that this node holds
 *                   clients see these |  waits for the other members of the group
 */

#include "node/core.h"
#include "node/follows.h"
#include "node/group.h"
#include "node/id_window.h"
#include "node/terms.h"

/* The streams in the channel at this node, rh_channel::streams_count of them. A channel with one
 * idle connection has no other part, so this is no larger than need be. */
struct rh_audience {
    struct rh_list replaying; /* rh_subscription::link, as the next two */
    struct rh_list live;
    struct rh_list remote; /* streams of other nodes */
    uint64_t incarnation;  /* in which the streams are */
};

/* What waits for something of the channel at this node. */
struct rh_waiters {
    struct rh_list reads; /* rh_subscription::link: for a message */
    struct rh_list held; /* likewise: for the channel to be served here, or to get where they are */
    struct rh_list requests;   /* rh_pending::channel_link: likewise */
    struct rh_list committing; /* rh_pending::channel_link: for their operation, as they came */
    uint32_t reads_count;
    uint32_t held_count;
    uint32_t requests_count; /* requests + committing */
};

struct rh_acting;       /* node/core_internal.h: what the other members of the group have */
struct rh_reported;     /* node/core_internal.h: copies that others have reported */
struct rh_incoming;     /* node/core_internal.h: a sync that is coming in */
struct rh_topic_reader; /* node/core_topics.h */

enum rh_queue { RH_QUEUE_NONE, RH_QUEUE_MOVES, RH_QUEUE_CLAIMS };

/* What is under way with other nodes while a view is new, a copy comes in, or the channel is a topic
 * that is followed. */
struct rh_dealings {
    struct rh_channel *channel;
    struct rh_list queue_link; /* rh_core::moves or ::claims, or none: see rh_channel::queue */
    struct rh_topic_reader *readers; /* nodes that want what is published; NULL: none */
    struct rh_reported *reported;
    struct rh_incoming *incoming;
};

struct rh_channel {
    struct rh_table_link table_link; /* rh_core::channels, by key */
    struct rh_list list_link;        /* rh_core::swept, ::unswept or rh_process::untold */
    uint64_t hash;                   /* place on the ring */
    uint64_t incarnation;            /* 0: no copy */
    struct rh_term term;
    uint64_t op;
    uint64_t seq;
    uint64_t commit;
    uint64_t heard;             /* stamp of the latest append or sync of its actor */
    struct rh_group *group;     /* NULL: no copy, or no replication */
    struct rh_channel_log *log; /* these are NULL while empty */
    struct rh_id_window *ids;
    struct rh_terms *terms;
    struct rh_entry *state; /* last change of the state document up to `commit`; NULL: none ever */
    struct rh_follows *follows; /* NULL: nothing */
    struct rh_acting *acting;
    struct rh_audience *audience;
    struct rh_waiters *waiters;
    struct rh_dealings *dealings;
    uint64_t used_ms;  /* monotonic: last publish, or subscription that came or left */
    uint32_t walked;   /* rh_core::view_number of the view it was held against */
    uint32_t standing; /* rh_core::standing when its role was last put right */
    uint32_t streams_count;
    uint16_t key_size;
    uint8_t role; /* enum rh_role */
    bool suspect : 1;
    bool lacked : 1;
    bool told_whole : 1;   /* the report of this view went out */
    bool urgent : 1;       /* somebody waits: goes first */
    bool moving : 1;       /* its turn has come to be handed over, or mended */
    bool is_fetched : 1;   /* an answer to a Fetch is on its way */
    bool is_dropped : 1;   /* taken out of the core; its memory lives until the next step */
    bool is_watched : 1;   /* in rh_core::watches */
    bool has_presence : 1; /* in rh_core::presences */
    bool is_short : 1;     /* counted in stats: acting, with fewer copies than wanted */
    uint8_t queue;         /* enum rh_queue: that it is in */
    char key[];
};

/* A channel without a copy; NULL when out of memory. */
struct rh_channel *rh_channel_create(struct rh_bytes key, uint64_t hash);

/* Frees a channel that nobody is in, that has no group, and for which nothing is under way. */
void rh_channel_destroy(struct rh_channel *channel);

/* The parts, made if need be; NULL when out of memory. */
struct rh_audience *rh_channel_audience(struct rh_channel *channel);
struct rh_waiters *rh_channel_waiters(struct rh_channel *channel);
struct rh_channel_log *rh_channel_log_of(struct rh_channel *channel);
struct rh_id_window *rh_channel_ids_of(struct rh_channel *channel, uint64_t secret);

static inline struct rh_topic_reader *rh_channel_readers(const struct rh_channel *channel)
{
    return channel->dealings == NULL ? NULL : channel->dealings->readers;
}

static inline struct rh_reported *rh_channel_reported(const struct rh_channel *channel)
{
    return channel->dealings == NULL ? NULL : channel->dealings->reported;
}

static inline struct rh_incoming *rh_channel_incoming(const struct rh_channel *channel)
{
    return channel->dealings == NULL ? NULL : channel->dealings->incoming;
}

/* Frees the parts that have become empty. */
void rh_channel_shrink(struct rh_channel *channel);

/* Likewise only that part, once nobody is in it. */
void rh_channel_shrink_audience(struct rh_channel *channel);
void rh_channel_shrink_waiters(struct rh_channel *channel);

/* Drops the content: log, ids, terms, and the numbers with them. The group and what is under way
 * stay. */
void rh_channel_clear(struct rh_channel *channel);

/* Connections as clients count them: streams, and reads that wait. */
static inline uint32_t rh_channel_connections(const struct rh_channel *channel)
{
    return channel->streams_count + (channel->waiters == NULL ? 0 : channel->waiters->reads_count);
}

/* Whether anybody waits for the channel to be served, or for an operation of it. */
static inline bool rh_channel_is_awaited(const struct rh_channel *channel)
{
    const struct rh_waiters *waiters = channel->waiters;
    return rh_channel_readers(channel) != NULL ||
           (waiters != NULL && (waiters->held_count > 0 || waiters->requests_count > 0));
}

/* Whether anybody is in it or waits for it. */
static inline bool rh_channel_is_used(const struct rh_channel *channel)
{
    return rh_channel_connections(channel) > 0 || rh_channel_is_awaited(channel);
}

/* First operation of the log; op + 1 when it is empty. */
uint64_t rh_channel_first_op(const struct rh_channel *channel);

/* Messages that clients may see: from first_seq to commit_seq; first_seq = commit_seq + 1 when there
 * is none. */
uint64_t rh_channel_first_seq(const struct rh_channel *channel);
uint64_t rh_channel_commit_seq(const struct rh_channel *channel);

/* The committed message of |seq|, or NULL when it is not held. */
struct rh_entry *rh_channel_message(const struct rh_channel *channel, uint64_t seq);

/* The last change of the state document that was numbered, committed or not; NULL: none ever. A
 * STATE is the document, a STATE_DELETE says that there is none. Valid until the channel changes. */
struct rh_entry *rh_channel_state_numbered(const struct rh_channel *channel);

/* Raises `commit`, which is not lowered, to |commit|, at most op; the state document goes along. */
void rh_channel_commit_to(struct rh_channel *channel, uint64_t commit);

/* The term of operation |op|, which is held or the last one before; zero for 0. */
struct rh_term rh_channel_term_at(const struct rh_channel *channel, uint64_t op);

/* Where a client that saw |after| goes on. */
struct rh_resume {
    uint64_t next_seq;
    bool recovered; /* false: messages between its position and next_seq are gone, or unknown */
    bool is_ahead;  /* it knows more than this node (N6): wait */
};

/*
 * No position: only new messages. `0`: all that the log holds. A position of this incarnation that
 * the log still covers: the message after it. Anything else: all that the log holds, and
 * recovered is false, because the client missed something that cannot be had any more.
 */
struct rh_resume rh_channel_resume(const struct rh_channel *channel, bool has_after,
                                   struct rh_position after);

#endif
