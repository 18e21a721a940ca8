/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_FEED_H
#define RH_CLI_FEED_H

/*
 * Many messages on their way over few connections, in order of each key. Pure.
 *
 * A lane is a connection on which requests follow one another without waiting for answers
 * (pipelining); answers come in the order of the requests, and a node does nothing that stands
 * behind a request that it could not do (docs/protocol.md, Pipelining). All messages of a key
 * that are under way are on one lane, so one is never done before the one ahead of it.
 *
 *                       rh_feed_bind()                rh_feed_take()
 *      key without lane -------------> ready on a lane ------------> flying --> rh_feed_landed()
 *            ^                              |                           |
 *            +------------------------------+------ rh_feed_break() ----+
 *
 * A lane that breaks gives all its keys back, with their messages in the old order, and each may go
 * to another lane.
 */

#include "base/bytes.h"
#include "base/list.h"
#include "base/table.h"

struct rh_feed_key;

struct rh_feed_message {
    struct rh_list link;
    struct rh_feed_key *key;
    uint64_t line;     /* where it stood in the input */
    uint64_t begun_ms; /* when it was sent first; 0: not yet */
    const char *content_type;
    struct rh_bytes id; /* this and |payload| lie behind the struct */
    struct rh_bytes payload;
};

struct rh_feed_lane {
    struct rh_list ready;  /* keys with something to send */
    struct rh_list flying; /* messages, the oldest first */
    uint32_t flying_count;
};

/* A key of which there are messages. */
struct rh_feed_key {
    struct rh_table_link table_link;
    struct rh_list link;       /* free, or ready on a lane, or in none: all of it is flying */
    struct rh_feed_lane *lane; /* NULL: free */
    struct rh_list waiting;    /* messages */
    uint32_t flying_count;
    uint64_t hash;
    struct rh_bytes name; /* lies behind the struct */
};

struct rh_feed {
    struct rh_table keys;
    struct rh_list free; /* keys without a lane */
    uint64_t held_count; /* messages */
    uint64_t held_bytes; /* of memory */
};

RH_MUST_CHECK int rh_feed_init(struct rh_feed *feed);

/* Frees all that is held; all lanes have been broken. */
void rh_feed_finish(struct rh_feed *feed);

void rh_feed_lane_init(struct rh_feed_lane *lane);

/* What is known of a message that comes in; all but |content_type| is copied. */
struct rh_feed_source {
    uint64_t line;
    uint64_t hash; /* of the key */
    struct rh_bytes key;
    struct rh_bytes id;
    struct rh_bytes payload;
    const char *content_type; /* static */
};

/* Adds a message behind all others of its key. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_feed_add(struct rh_feed *feed, const struct rh_feed_source *source);

/* The key that has waited longest for a lane, or NULL. */
struct rh_feed_key *rh_feed_free_key(struct rh_feed *feed);

/* Gives a key without a lane a lane; one that is not worth it now is put last. */
void rh_feed_bind(struct rh_feed_key *key, struct rh_feed_lane *lane);
void rh_feed_postpone(struct rh_feed *feed, struct rh_feed_key *key);

/* The message that the lane is to send next: it is flying then. NULL: there is none. */
struct rh_feed_message *rh_feed_take(struct rh_feed_lane *lane);

/* The message that the lane owes an answer, or NULL. */
struct rh_feed_message *rh_feed_oldest(const struct rh_feed_lane *lane);

/* The oldest of the lane has had its answer: frees it. */
void rh_feed_landed(struct rh_feed *feed, struct rh_feed_lane *lane);

/* The next message of a key without a lane, which is never NULL; and giving it up, which frees it, and
 * the key with the last one. */
struct rh_feed_message *rh_feed_next(const struct rh_feed_key *key);
void rh_feed_give_up(struct rh_feed *feed, struct rh_feed_key *key);

/* Nothing more comes or goes on the lane. */
void rh_feed_break(struct rh_feed *feed, struct rh_feed_lane *lane);

#endif
