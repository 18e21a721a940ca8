/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_REPLICATION_H
#define RH_PROTO_PEER_REPLICATION_H

/*
 * The messages with which nodes keep copies of channels and pass channels on, as values. Part of
 * proto/peer_message.h, which says how slices and arrays are owned. The rules by which they are
 * accepted are in docs/protocol-cluster.md, sections 4 to 11, and in node/core_*.c; here are shapes
 * and ranges.
 *
 * Wherever a list of nodes says "actor first", its first member is the acting owner. Numbers of
 * operations and messages are below 2^63, and the seq of a message is never above its op. A node is
 * a valid id and an instance that is not 0; a term that is not zero has no part that is 0 but pzxid,
 * which is not negative; a key is rh_key_valid().
 */

#include "proto/identity.h"
#include "proto/payload.h"
#include "proto/position.h"
#include "proto/term.h"

#define RH_PEER_GROUP_MAX            64   /* members of a group */
#define RH_PEER_TERMS_MAX            1024 /* entries of a list of terms */
#define RH_PEER_OPERATIONS_MAX       4096 /* operations of one message */
#define RH_PEER_IDS_MAX              4096 /* message ids of one message */
#define RH_PEER_FOLLOWS_MAX          1024 /* topics that a channel may be said to follow */
#define RH_PEER_FOLLOWERS_MAX        1000 /* followers that are named in one answer */
#define RH_PEER_COPIES_MAX           4096 /* copies of one report */
#define RH_PEER_VIEW_MEMBERS_MAX     4096
#define RH_PEER_VIEW_CONFIG_SIZE_MAX (64 * 1024)
#define RH_PEER_VIEW_DATA_SIZE_MAX   4096
#define RH_PEER_BATCH_SIZE \
    (64 * 1024)                     /* a sender begins no further item of a list above it;
                                               one item is always taken, however large */
#define RH_PEER_NO_PROOF UINT32_MAX /* proof_age_ms: the node has none */

struct rh_peer_group {
    const struct rh_node_ref *members; /* distinct; at most RH_PEER_GROUP_MAX */
    size_t count;
};

enum rh_peer_operation_kind {
    RH_PEER_OPERATION_MESSAGE,      /* takes the next seq */
    RH_PEER_OPERATION_STATE,        /* the state document is `payload` from now on */
    RH_PEER_OPERATION_STATE_DELETE, /* there is no state document any more */
    RH_PEER_OPERATION_FOLLOW,       /* `topic` is followed, from after `position` */
    RH_PEER_OPERATION_UNFOLLOW,     /* `topic` is not followed any more */
    RH_PEER_OPERATION_KINDS,
};

/* One operation of a channel. In a list they are consecutive; the list says the op of its first. So
 * seq rises by one with each message of a list, and with nothing else. */
struct rh_peer_operation {
    enum rh_peer_operation_kind kind;
    uint64_t seq;       /* MESSAGE: its own, from 1; otherwise that of the last message, or 0
                           when there was none */
    uint64_t version;   /* STATE, STATE_DELETE: of the document; from 1. Otherwise 0 */
    int64_t time_ms;    /* Unix time at which the acting owner took it; from 0 */
    bool in_window;     /* its id is to be remembered: somebody may publish it again */
    struct rh_bytes id; /* rh_message_id_valid(): of the message, or of the write, which may have
                           none */
    struct rh_bytes content_type; /* STATE: 0 to 255 bytes of printable ASCII; otherwise empty */
    struct rh_payload payload;    /* STATE: binary. STATE_DELETE, FOLLOW, UNFOLLOW: empty, binary */
    struct rh_bytes topic; /* FOLLOW, UNFOLLOW: rh_key_valid(). MESSAGE: the topic that it came
                                     from, or empty */
    struct rh_position
        position; /* in the topic. MESSAGE: its place there. FOLLOW: incarnation 0 is all
                                     that the log holds. Otherwise zeroed */
};

/* A topic that a channel follows. */
struct rh_peer_follow {
    struct rh_bytes topic;       /* rh_key_valid() */
    struct rh_position position; /* of the last message that was taken, or where to begin */
};

struct rh_peer_operations {
    uint64_t first_op; /* of items[0]; 0 when there are none, otherwise from 1 */
    const struct rh_peer_operation *items;
    size_t count;
};

/* From which operation on which term gave them: ascending in both. */
struct rh_peer_term_from {
    uint64_t first_op; /* from 1 */
    struct rh_term term;
};

/* An id of the window: of a message, or of a write of the state document. */
struct rh_peer_id {
    struct rh_bytes id; /* rh_message_id_valid() */
    uint64_t seq;       /* of a message, from 1; else 0 */
    uint64_t version;   /* that the write made, from 1; else 0 */
    uint64_t op;        /* from 1 */
    uint32_t age_ms;    /* when this was sent */
};

/* The acting owner has operations, a new commit, or a new group for a member. */
struct rh_peer_append {
    struct rh_bytes key;
    uint64_t incarnation; /* not 0 */
    struct rh_term term;
    struct rh_term prev_term; /* of the operation before the first, at most `term`; zero when that
                                 is op 0, and only then */
    uint64_t prev_op;         /* the operation before the first (or the last one, if there are
                                 none): the member must hold exactly that much */
    struct rh_peer_operations operations; /* may be none; else first_op == prev_op + 1 */
    uint64_t commit;            /* may be above the operations that the member has by now */
    uint64_t sent_ms;           /* the sender's clock; comes back in the answer */
    struct rh_peer_group group; /* actor first; empty: as the member knows it */
};

struct rh_peer_append_ack {
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;           /* last one that is held */
    bool confirmed;        /* the copy is not suspect */
    uint32_t proof_age_ms; /* of the answerer; RH_PEER_NO_PROOF */
    uint64_t sent_ms;      /* as in the append */
};

enum rh_peer_sync_purpose {
    RH_PEER_SYNC_JOIN,   /* the receiver is to become a member; suspect until a group names it */
    RH_PEER_SYNC_MEMBER, /* the receiver is in the group: a claim, or a gap */
    RH_PEER_SYNC_FETCH,  /* answer to Fetch: content for a claim; never a copy by itself */
    RH_PEER_SYNC_PURPOSES,
};

/*
 * A whole channel, or all of it after `from_op`. What fits stands in this message; if `last` is
 * false, chunks follow, the last of which says so.
 */
struct rh_peer_sync_begin {
    uint64_t sync; /* the sender's number for it, from 1; rises */
    enum rh_peer_sync_purpose purpose;
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term;
    struct rh_peer_group group;            /* actor first; at least one */
    const struct rh_peer_term_from *terms; /* of all operations up to op that are held; may be
                                              none */
    size_t terms_count;
    uint64_t op;              /* last operation: what the receiver has at the end */
    uint64_t seq;             /* last message; at most op */
    uint64_t commit;          /* at most op */
    uint64_t from_op;         /* at most op: the receiver keeps its copy up to there; 0: it keeps
                                 nothing */
    struct rh_term base_term; /* of from_op; zero with 0, and only then */
    uint64_t version; /* of the state document, or of its deletion; 0: there never was one */
    bool has_state;   /* there is a document: `content_type` and `state`, which are empty
                                 otherwise; version is not 0 */
    struct rh_bytes content_type; /* as of a STATE */
    struct rh_bytes state;        /* all of this as of `commit` */
    uint64_t sent_ms;
    struct rh_peer_operations operations; /* above from_op, up to op; with `last` the last is op */
    const struct rh_peer_id *ids; /* of the window: op and seq rise; ops above from_op, up to op */
    size_t ids_count;
    const struct rh_peer_follow
        *follows; /* as of `op`; topics differ; at most RH_PEER_FOLLOWS_MAX */
    size_t follows_count;
    bool last;
};

struct rh_peer_sync_chunk {
    uint64_t sync;  /* not 0 */
    uint32_t index; /* from 1 */
    struct rh_peer_operations operations;
    const struct rh_peer_id *ids; /* op and seq rise */
    size_t ids_count;
    bool last;
};

struct rh_peer_sync_ack {
    uint64_t sync;
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;
    bool confirmed;
    bool done;      /* false: so far only chunk `index` */
    uint32_t index; /* 0: the begin */
    uint32_t proof_age_ms;
    uint64_t sent_ms; /* as in the begin */
};

/* What may be on its way to the sender of this, in syncs; replaces the credit before. */
struct rh_peer_credit {
    uint32_t channels;
    uint64_t bytes;
};

enum rh_peer_refused_code {
    RH_PEER_STALE_EPOCH, /* sent below the epoch of the refuser */
    RH_PEER_STALE_TERM,  /* a copy of a higher term is held */
    RH_PEER_GAP,         /* have_term, have_op: what is held */
    RH_PEER_NO_COPY,
    RH_PEER_NO_OWNER, /* the refuser is not, or cannot be, what the message takes it for */
    RH_PEER_LEFT,     /* it was asked to leave in this epoch */
    RH_PEER_FULL,     /* no memory, or as many copies as it may hold */
    RH_PEER_REFUSED_CODES,
};

/* Answer to an Append, Sync, Own, Leave, Fetch or Expedite that was not accepted. */
struct rh_peer_refused {
    uint32_t about;      /* enum rh_peer_message_kind; one of those */
    struct rh_bytes key; /* may be empty about a SyncChunk: of which sync it is may be unknown */
    struct rh_term term; /* of the message refused; may be zero about a SyncChunk, and about an
                            Expedite, which has none */
    uint64_t sync;       /* about SyncBegin, SyncChunk: theirs, not 0; else 0 */
    enum rh_peer_refused_code code;
    struct rh_term have_term; /* of the last operation held; zero: none, and have_op is 0 */
    uint64_t have_op;
};

enum rh_peer_copy_state {
    RH_PEER_COPY_IDLE,
    RH_PEER_COPY_CLAIMING,
    RH_PEER_COPY_ACTING,
    RH_PEER_COPY_PASSING,
    RH_PEER_COPY_STATES,
};

struct rh_peer_copy {
    struct rh_bytes key;
    uint64_t incarnation; /* 0 with term zero */
    struct rh_term term;  /* zero: the copy is gone */
    uint64_t op;
    enum rh_peer_copy_state state;
    bool suspect;
    bool lacked;
    struct rh_peer_group group;    /* actor first; empty with term zero, and only then */
    struct rh_node_ref passing_to; /* PASSING; else zeroed */
};

/* Copies that the sender holds of keys which the receiver owns in the epoch of the frame. */
struct rh_peer_report {
    const struct rh_peer_copy *copies;
    size_t count;
    uint32_t round; /* of telling all; 0: something has changed since */
    uint32_t since; /* then: the latest round begun before it. 0: as earlier versions say it */
};

/* All copies were reported, if as many came in that round: some may have got lost on another way. */
struct rh_peer_report_end {
    uint64_t copies; /* that were reported to this receiver in this round */
    uint32_t round;  /* from 1, rises */
};

/* The receiver reported the best copy: send it. */
struct rh_peer_fetch {
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term;      /* as reported */
    uint64_t op;              /* at least that much */
    uint64_t from_op;         /* the asker's own copy fits up to there; 0: it has none */
    struct rh_term base_term; /* of from_op; zero with 0, and only then */
};

struct rh_peer_own {
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term; /* of the sender, who does not act under it any more */
    uint64_t op;
    struct rh_peer_group group; /* actor first; at least one */
};

struct rh_peer_own_ack {
    struct rh_bytes key;
    struct rh_term term; /* as in the own */
};

/* Somebody waits for the channel at its ring owner. */
struct rh_peer_expedite {
    struct rh_bytes key;
    uint32_t deadline_ms; /* from receipt */
};

struct rh_peer_leave {
    struct rh_bytes key;
    uint64_t incarnation;
    struct rh_term term;
    bool reclaim; /* the channel comes to its end */
};

struct rh_peer_leave_ack {
    struct rh_bytes key;
    struct rh_term term; /* as in the leave */
};

/* A member of a view that is shown. `data` is the registration as in ZooKeeper. */
struct rh_peer_view_member {
    struct rh_bytes name; /* n1.0000000007: 1 to 75 bytes of printable ASCII */
    int64_t czxid;        /* from 0 */
    struct rh_bytes data; /* at most RH_PEER_VIEW_DATA_SIZE_MAX */
};

struct rh_peer_view_ask {
    struct rh_epoch above; /* a view later than this */
};

struct rh_peer_view {
    struct rh_epoch epoch;  /* not the frame's: this view's; generation from 1 */
    struct rh_bytes config; /* as in ZooKeeper; at most RH_PEER_VIEW_CONFIG_SIZE_MAX */
    const struct rh_peer_view_member *members; /* at most RH_PEER_VIEW_MEMBERS_MAX */
    size_t members_count;
    uint64_t deletions;
};

struct rh_peer_view_ack {
    uint32_t unused; /* the epoch of its frame is the answer */
};

struct rh_peer_lease_ask {
    uint64_t number;
};

struct rh_peer_lease_grant {
    uint64_t number; /* as asked */
};

/* For a node that the sender cannot reach. */
struct rh_peer_relay {
    struct rh_node_ref from;
    struct rh_node_ref to;
    struct rh_bytes frame; /* an encoded frame without its size; not empty. Never a relay, which
                              whoever decodes it makes sure of */
};

struct rh_peer_relay_failed {
    struct rh_node_ref to;
};

#endif
