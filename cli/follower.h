/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_FOLLOWER_H
#define RH_CLI_FOLLOWER_H

/*
 * Follows a channel over any number of connections: takes what nodes say and tells which messages
 * are new, so that each is shown once, in order, and a gap is never passed over in silence. Pure.
 *
 *      connection --text--> rh_follower_take() --> message, moved, notice ...
 *      next connection <--after=-- `position`
 */

#include "base/buffer.h"
#include "proto/position.h"

#include <stdbool.h>

#define RH_FOLLOWER_URL_SIZE  4096 /* with terminator */
#define RH_FOLLOWER_NODE_SIZE 65   /* with terminator */

struct rh_follower {
    struct rh_position position; /* of the last message that was shown */
    uint64_t next_seq;           /* on this connection */
    bool has_position;           /* false: nothing is promised yet */
    bool welcomed;               /* on this connection */
};

enum rh_follower_event {
    RH_FOLLOWER_NOTHING,    /* unknown, or seen before */
    RH_FOLLOWER_WELCOME,    /* nothing is missing */
    RH_FOLLOWER_GAP,        /* welcome, but messages after the position may be missing */
    RH_FOLLOWER_MESSAGE,    /* a new one: show it */
    RH_FOLLOWER_REDIRECTED, /* `moved` at a node that never owned the channel */
    RH_FOLLOWER_MOVED,      /* the channel has another owner now */
    RH_FOLLOWER_ERROR,      /* the node complains */
    RH_FOLLOWER_BROKEN,     /* not what the protocol says: connect again */
};

/* What there is to show; slices point into the text or the scratch buffer of the take. */
struct rh_follower_item {
    uint64_t seq; /* of a message, also of one seen before or out of order; 0: no message */
    enum { RH_FOLLOWER_DATA, RH_FOLLOWER_JSON, RH_FOLLOWER_BASE64 } payload_kind;
    struct rh_bytes payload;  /* of a message: decoded, but for JSON */
    struct rh_bytes text;     /* error: what it says; broken: static */
    struct rh_position start; /* welcome: the messages begin after it */
    bool recovered;           /* welcome: whether the node says so */
    struct rh_bytes node;     /* welcome: who; moved: where to; may be empty; without NUL */
    struct rh_bytes url;      /* moved: where to; shorter than RH_FOLLOWER_URL_SIZE; without NUL */
};

/* |after| is where to begin; NULL: with new messages. */
void rh_follower_init(struct rh_follower *follower, const struct rh_position *after);

/* A new connection begins. */
void rh_follower_connect(struct rh_follower *follower);

/* Takes one text message of a node. |scratch| is cleared first. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_follower_take(struct rh_follower *follower, struct rh_bytes text,
                                   struct rh_buffer *scratch, enum rh_follower_event *ret_event,
                                   struct rh_follower_item *ret_item);

#endif
