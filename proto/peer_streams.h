/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_STREAMS_H
#define RH_PROTO_PEER_STREAMS_H

/*
 * The messages by which a node carries connections of its clients to the owners of their channels,
 * as values. Part of proto/peer_message.h, which says how slices and arrays are owned. docs/relay.md
 * has the rules; here are shapes and ranges.
 *
 * `tunnel` is not 0 and rises with each that a process begins towards another. `number` counts the
 * messages of the tunnel in its direction, from 1. `stream` is not 0, and never used twice by a
 * relaying process.
 */

#include "proto/peer_replication.h"
#include "proto/position.h"

#define RH_PEER_STREAMS_MAX        4096 /* streams of one message */
#define RH_PEER_STREAM_LIMIT_MAX   1000 /* messages that a read may ask for */
#define RH_PEER_STREAM_WAIT_MS_MAX 60000

/* One who is in a channel; docs/presence.md has the rules. */
struct rh_peer_present {
    struct rh_bytes client; /* rh_client_id_valid() */
    struct rh_bytes meta;   /* JSON of at most RH_CLIENT_META_SIZE_MAX bytes, or empty */
    uint32_t connections;   /* 0: gone, and expected back */
};

#define RH_PEER_PRESENT_MAX 1000 /* clients of one message */

struct rh_peer_present_list {
    const struct rh_peer_present *items; /* at most RH_PEER_PRESENT_MAX */
    size_t count;
};

/* ---- to the owner ---- */

struct rh_peer_stream_open {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
    struct rh_bytes key; /* rh_key_valid() */
    bool has_after;
    struct rh_position after; /* has_after; otherwise zero; seq below 2^63 */
    bool is_read;             /* a poll: answered once; otherwise messages follow */
    bool is_anchored;  /* of a read with a position: its client gave none, it waits from there */
    uint32_t limit;    /* of a read: 1 to 1000; otherwise 0 */
    uint32_t wait_ms;  /* of a read: at most 60000; otherwise 0 */
    uint64_t window;   /* of any other: bytes of credit, from 1; otherwise 0 */
    uint64_t used;     /* of the window, by what its client has not read yet; of a read 0 */
    uint64_t room_min; /* of any other: room is told of from so many bytes on, 1 to `window`;
                          otherwise 0 */
    struct rh_bytes
        client;           /* rh_client_id_valid(), of who names itself; or empty; of a read empty */
    struct rh_bytes meta; /* as in struct rh_peer_present */
    bool watches_state;   /* not of a read; these two */
    bool watches_presence;
};

struct rh_peer_stream_close {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
};

/* Room that a stream has again. */
struct rh_peer_stream_room {
    uint64_t stream;
    uint64_t size; /* bytes, as rh_peer_stream_batch::size counts them; from 1 */
};

struct rh_peer_stream_taken {
    uint64_t tunnel;
    uint64_t number;
    uint64_t arrived; /* bytes of the tunnel since this was said last: the sum of
                         rh_peer_stream_batch_weight() and rh_peer_stream_read_weight() */
    const struct rh_peer_stream_room *rooms; /* at most RH_PEER_STREAMS_MAX */
    size_t rooms_count;
};

struct rh_peer_tunnel_check {
    uint64_t tunnel;
    uint64_t number; /* of the last message that was sent in it */
};

/* ---- to the relaying node ---- */

struct rh_peer_stream_opened {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
    uint64_t incarnation; /* not 0; of a read that waits for a channel to exist: 0 */
    uint64_t seq;         /* the last one that does not follow; below 2^63 */
    bool recovered;       /* false: messages between the position and seq are gone */
};

struct rh_peer_stream_batch {
    uint64_t tunnel;
    uint64_t number;
    const uint64_t *streams; /* 1 to RH_PEER_STREAMS_MAX */
    size_t streams_count;
    uint64_t incarnation;                     /* not 0 */
    uint64_t size;                            /* what they count for in the credit of each stream */
    const struct rh_peer_operation *messages; /* of kind MESSAGE, consecutive; 1 to
                                                 RH_PEER_OPERATIONS_MAX */
    size_t messages_count;
};

/* What such a message counts for in the window of its tunnel. */
uint64_t rh_peer_stream_batch_weight(const struct rh_peer_stream_batch *batch);

struct rh_peer_stream_read {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
    uint64_t incarnation; /* 0: no such channel; then there are no messages, and seq is 0 */
    uint64_t seq;         /* of the position to go on from; below 2^63 */
    bool recovered;
    bool more;
    const struct rh_peer_operation *messages; /* as above, or none; the last of them is `seq` */
    size_t messages_count;
};

uint64_t rh_peer_stream_read_weight(const struct rh_peer_stream_read *read);

/* The client of a stream that watches the state has room for it again. */
struct rh_peer_stream_show {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
};

/* The state document as it is now, for streams that watch it. */
struct rh_peer_stream_state {
    uint64_t tunnel;
    uint64_t number;
    const uint64_t *streams; /* 1 to RH_PEER_STREAMS_MAX */
    size_t streams_count;
    const struct rh_peer_operation
        *state; /* of kind STATE or STATE_DELETE: its last change, one; or
                                              none: there never was one */
    size_t state_count;
};

uint64_t rh_peer_stream_state_weight(const struct rh_peer_stream_state *state);

/* Who is in the channel, or came and went, for streams that watch that. */
struct rh_peer_stream_presence {
    uint64_t tunnel;
    uint64_t number;
    const uint64_t *streams; /* 1 to RH_PEER_STREAMS_MAX */
    size_t streams_count;
    uint64_t incarnation; /* not 0 */
    bool is_whole;        /* `joined` are all; the others are empty */
    struct rh_peer_present_list left;
    struct rh_peer_present_list joined;
    struct rh_peer_present_list changed;
};

uint64_t rh_peer_stream_presence_weight(const struct rh_peer_stream_presence *presence);

/* Without a code: the receiver is to turn to another node. */
struct rh_peer_stream_ended {
    uint64_t tunnel;
    uint64_t number;
    uint64_t stream;
    char owner[RH_NODE_ID_SIZE]; /* who serves the channel, or will; "": not known, or refused */
    struct rh_bytes code;        /* why it was refused: a code of RH_REFUSAL_MAP; or empty */
};

struct rh_peer_tunnel_state {
    uint64_t tunnel;
    uint64_t number; /* of the last message that was sent in it; 0 if it is broken */
    bool is_broken;  /* the sender knows nothing of it, or missed something */
};

#endif
