/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_TOPICS_H
#define RH_PROTO_PEER_TOPICS_H

/*
 * The messages by which what is published to a topic reaches the channels that follow it, as values.
 * Part of proto/peer_message.h, which says how slices and arrays are owned; docs/topics.md has the
 * conversation.
 */

#include "proto/identity.h"
#include "proto/peer_replication.h"
#include "proto/position.h"

/* Asks the receiver, as the owner of |topic|, for what is published from some position on. Replaces
 * what the sender asked for |topic| before. */
struct rh_peer_topic_ask {
    struct rh_bytes topic;
    uint64_t number;          /* from 1, rises with each ask of the sender */
    bool has_after;           /* false: from the end of the log */
    struct rh_position after; /* zeroed without; incarnation 0: all that the log holds */
    uint32_t followers;       /* of the sender: how many take each message; from 0 */
};

/* All that was published in (after, up_to]. */
struct rh_peer_topic_batch {
    struct rh_bytes topic;
    uint64_t number;      /* of the ask */
    uint64_t incarnation; /* not 0 */
    uint64_t after;
    uint64_t up_to;                           /* from `after` */
    const struct rh_peer_operation *messages; /* MESSAGE, seq rises; without topics of their own */
    size_t messages_count;
};

/* The sender needs nothing up to `up_to` any more. */
struct rh_peer_topic_ack {
    struct rh_bytes topic;
    uint64_t number;
    uint64_t incarnation; /* 0 with up_to 0: nothing has come yet */
    uint64_t up_to;
};

/* To who asked: nothing more comes, ask `owner`. To the topic's owner: nobody follows any more. */
struct rh_peer_topic_end {
    struct rh_bytes topic;
    uint64_t number;
    char owner[RH_NODE_ID_SIZE]; /* "": not known, or it is the sender, later */
};

/* Asks the receiver which of the channels that it serves follow |topic|. */
struct rh_peer_followers_ask {
    uint64_t request; /* chosen by the sender; comes back in the answer */
    struct rh_bytes topic;
    uint32_t limit; /* of followers that are named; from 1 to RH_PEER_FOLLOWERS_MAX */
};

struct rh_peer_followers_answer {
    uint64_t request;
    uint32_t count;                   /* of all */
    const struct rh_bytes *followers; /* keys of some of them */
    size_t followers_count;           /* at most `count`, and RH_PEER_FOLLOWERS_MAX */
};

#endif
