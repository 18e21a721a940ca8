/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_MESSAGE_H
#define RH_PROTO_PEER_MESSAGE_H

/*
 * What nodes say to each other, as values. This is the form in which the core reads and writes
 * messages; proto/peer_codec.h turns them into bytes, and docs/protocol-peer.md has the rules.
 *
 * A new kind of message takes: a line in RH_PEER_MESSAGE_MAP, a struct and its place in the union
 * below, a message in peer.proto, and one pair of functions in one of peer_codec_*.c. Those with
 * which nodes keep copies of channels are in proto/peer_replication.h, those by which they carry
 * connections in proto/peer_streams.h.
 *
 * Slices point into somebody else's memory. In a message to send: the sender's, needed only during
 * the call that encodes. In a decoded message: the decoder's, see rh_peer_decoder_next().
 */

#include "proto/identity.h"
#include "proto/payload.h"
#include "proto/peer_replication.h"
#include "proto/peer_streams.h"
#include "proto/peer_topics.h"

/* Suffix of the enum, member of the union, name in logs and metrics. The first three belong to the
 * link between two processes, the two after them to the dashboard: they never reach the core. */
#define RH_PEER_MESSAGE_MAP(X)                             \
    X(HELLO, hello, "hello")                               \
    X(PING, ping, "ping")                                  \
    X(PONG, pong, "pong")                                  \
    X(STATUS_ASK, status_ask, "status_ask")                \
    X(STATUS, status, "status")                            \
    X(PUBLISH, publish, "publish")                         \
    X(PUBLISH_ANSWER, publish_answer, "publish_answer")    \
    X(INSPECT, inspect, "inspect")                         \
    X(INSPECT_ANSWER, inspect_answer, "inspect_answer")    \
    X(STATE_GET, state_get, "state_get")                   \
    X(STATE_PUT, state_put, "state_put")                   \
    X(STATE_DELETE, state_delete, "state_delete")          \
    X(STATE_ANSWER, state_answer, "state_answer")          \
    X(PRESENCE_GET, presence_get, "presence_get")          \
    X(PRESENCE_ANSWER, presence_answer, "presence_answer") \
    X(APPEND, append, "append")                            \
    X(APPEND_ACK, append_ack, "append_ack")                \
    X(SYNC_BEGIN, sync_begin, "sync_begin")                \
    X(SYNC_CHUNK, sync_chunk, "sync_chunk")                \
    X(SYNC_ACK, sync_ack, "sync_ack")                      \
    X(CREDIT, credit, "credit")                            \
    X(REFUSED, refused, "refused")                         \
    X(REPORT, report, "report")                            \
    X(REPORT_END, report_end, "report_end")                \
    X(FETCH, fetch, "fetch")                               \
    X(OWN, own, "own")                                     \
    X(OWN_ACK, own_ack, "own_ack")                         \
    X(EXPEDITE, expedite, "expedite")                      \
    X(LEAVE, leave, "leave")                               \
    X(LEAVE_ACK, leave_ack, "leave_ack")                   \
    X(VIEW_ASK, view_ask, "view_ask")                      \
    X(VIEW, view, "view")                                  \
    X(VIEW_ACK, view_ack, "view_ack")                      \
    X(LEASE_ASK, lease_ask, "lease_ask")                   \
    X(LEASE_GRANT, lease_grant, "lease_grant")             \
    X(RELAY, relay, "relay")                               \
    X(RELAY_FAILED, relay_failed, "relay_failed")          \
    X(PRESENCE, presence, "presence")                      \
    X(STREAM_OPEN, stream_open, "stream_open")             \
    X(STREAM_CLOSE, stream_close, "stream_close")          \
    X(STREAM_TAKEN, stream_taken, "stream_taken")          \
    X(TUNNEL_CHECK, tunnel_check, "tunnel_check")          \
    X(STREAM_OPENED, stream_opened, "stream_opened")       \
    X(STREAM_BATCH, stream_batch, "stream_batch")          \
    X(STREAM_READ, stream_read, "stream_read")             \
    X(STREAM_ENDED, stream_ended, "stream_ended")          \
    X(TUNNEL_STATE, tunnel_state, "tunnel_state")          \
    X(STREAM_STATE, stream_state, "stream_state")          \
    X(STREAM_PRESENCE, stream_presence, "stream_presence") \
    X(STREAM_SHOW, stream_show, "stream_show")             \
    X(FOLLOW_ASK, follow_ask, "follow_ask")                \
    X(FOLLOW_ANSWER, follow_answer, "follow_answer")       \
    X(TOPIC_ASK, topic_ask, "topic_ask")                   \
    X(TOPIC_BATCH, topic_batch, "topic_batch")             \
    X(TOPIC_ACK, topic_ack, "topic_ack")                   \
    X(TOPIC_END, topic_end, "topic_end")                   \
    X(FOLLOWERS_ASK, followers_ask, "followers_ask")       \
    X(FOLLOWERS_ANSWER, followers_answer, "followers_answer")

enum rh_peer_message_kind {
#define RH_PEER_MESSAGE_ENUM(suffix, member, name) RH_PEER_##suffix,
    RH_PEER_MESSAGE_MAP(RH_PEER_MESSAGE_ENUM)
#undef RH_PEER_MESSAGE_ENUM
        RH_PEER_MESSAGE_KINDS,
};

#define RH_PEER_VERSION          1
#define RH_PEER_CLUSTER_SIZE_MAX 255 /* bytes of a cluster's name: UTF-8, no control characters */
#define RH_PEER_CODE_SIZE_MAX    64  /* bytes of an error code: printable ASCII */
#define RH_PEER_TEXT_SIZE_MAX    512 /* bytes of a text for people: UTF-8, no control characters */
#define RH_PEER_STATUS_SIZE_MAX  16384

/* First message in each direction of a connection. */
struct rh_peer_hello {
    uint32_t version;        /* RH_PEER_VERSION of the sender; from 1 */
    struct rh_bytes cluster; /* name; both must be in the same one */
    struct rh_node_ref from; /* the sender */
    struct rh_node_ref to;   /* whom the sender takes the receiver for; id "" is anyone, instance 0
                                 is any and makes the connection a mere question: no message may
                                 follow */
    struct rh_bytes refusal; /* in an answer: why the connection is closed after it; or empty */
};

/* Is the link alive? Each ping is answered by one pong of the same number. */
struct rh_peer_ping {
    uint64_t number;
};

struct rh_peer_pong {
    uint64_t number;
};

/* How does the receiver stand? Answered by Status; has no fields. */

/* How the sender stands, for whoever looks at the dashboard of the receiver. */
struct rh_peer_status {
    struct rh_bytes json; /* what /v1/status says: 1 to RH_PEER_STATUS_SIZE_MAX bytes of UTF-8 */
};

/* Asks the receiver, as the owner of |key|, to publish. */
struct rh_peer_publish {
    uint64_t request;    /* chosen by the sender; comes back in the answer */
    struct rh_bytes key; /* rh_key_valid() */
    struct rh_bytes id;  /* message id, always there: rh_message_id_valid() */
    struct rh_payload payload;
    uint32_t deadline_ms; /* from receipt; after it the sender no longer waits, and a publish that
                             has not begun must not */
};

enum rh_peer_result {
    RH_PEER_OK,
    RH_PEER_NOT_OWNER, /* nothing was done; `owner` is who owns the key in the answerer's view */
    RH_PEER_RESULT_REFUSED, /* nothing was done; `code` and `detail` say why. Named in full: there
                               is a message Refused */
    RH_PEER_UNKNOWN,        /* may or may not have been done: ask again with the same id */
    RH_PEER_RESULTS,
};

struct rh_peer_publish_answer {
    uint64_t request;
    enum rh_peer_result result;
    char owner[RH_NODE_ID_SIZE]; /* OK: who published; NOT_OWNER: "" when there is none; else "" */
    struct rh_bytes code;        /* REFUSED: a stable error code, e.g. `too_large` */
    struct rh_bytes detail;      /* a sentence for people, or empty */
    uint64_t seq;                /* OK: 1 to INT64_MAX */
    uint64_t incarnation;        /* OK: not 0 */
    uint32_t connections;        /* OK: that the channel had at the owner */
    bool duplicate;              /* OK: the id was known; seq is the first one's */
};

/* Asks the receiver, as the owner of |key|, what it holds. Creates nothing. */
struct rh_peer_inspect {
    uint64_t request;
    struct rh_bytes key;
};

struct rh_peer_inspect_answer {
    uint64_t request;
    enum rh_peer_result result;
    char owner[RH_NODE_ID_SIZE]; /* as in publish_answer */
    struct rh_bytes code;        /* as in publish_answer */
    struct rh_bytes detail;      /* as in publish_answer */
    bool exists;                 /* OK: whether there is such a channel; the rest is 0 if not */
    uint64_t incarnation;        /* not 0 when it exists */
    uint64_t first_seq;          /* of the log; an empty log has first_seq = last_seq + 1 */
    uint64_t last_seq;
    uint32_t connections;
};

/* What must be true of the state document for a write to be done. */
enum rh_peer_state_condition {
    RH_PEER_STATE_ANY,
    RH_PEER_STATE_VERSION, /* it has version `if_version` */
    RH_PEER_STATE_ABSENT,  /* there is none */
    RH_PEER_STATE_PRESENT, /* there is one */
    RH_PEER_STATE_CONDITIONS,
};

/* Asks the receiver, as the owner of |key|, for the state document. Creates nothing. */
struct rh_peer_state_get {
    uint64_t request;
    struct rh_bytes key;
};

/* Asks the receiver, as the owner of |key|, to put a state document in the place of the present
 * one. */
struct rh_peer_state_put {
    uint64_t request;
    struct rh_bytes key;
    struct rh_bytes id; /* of this write: rh_message_id_valid() */
    enum rh_peer_state_condition condition;
    uint64_t if_version;          /* VERSION; 0, which no document has, is allowed. Otherwise 0 */
    struct rh_bytes content_type; /* 0 to RH_CONTENT_TYPE_SIZE_MAX bytes of printable ASCII */
    struct rh_bytes state;
    uint32_t deadline_ms; /* as in publish */
};

struct rh_peer_state_delete {
    uint64_t request;
    struct rh_bytes key;
    struct rh_bytes id;
    enum rh_peer_state_condition condition; /* not ABSENT */
    uint64_t if_version;
    uint32_t deadline_ms;
};

enum rh_peer_state_outcome {
    RH_PEER_STATE_FOUND, /* to a get: here it is */
    RH_PEER_STATE_NONE,  /* to a get or delete: there is none */
    RH_PEER_STATE_CREATED,
    RH_PEER_STATE_CHANGED,
    RH_PEER_STATE_DELETED,
    RH_PEER_STATE_CONFLICT, /* the condition does not hold; nothing was done */
    RH_PEER_STATE_OUTCOMES,
};

struct rh_peer_state_answer {
    uint64_t request;
    enum rh_peer_result result;
    char owner[RH_NODE_ID_SIZE];        /* as in publish_answer */
    struct rh_bytes code;               /* as in publish_answer */
    struct rh_bytes detail;             /* as in publish_answer */
    enum rh_peer_state_outcome outcome; /* OK; otherwise 0 */
    uint64_t version;     /* FOUND: of it; CREATED, CHANGED, DELETED: the new one; CONFLICT: the
                             present one, 0 when there is no document; NONE: 0 */
    uint64_t incarnation; /* not 0 with a version; may be 0 otherwise */
    struct rh_bytes content_type; /* FOUND; otherwise empty */
    struct rh_bytes state;        /* likewise */
};

/* Asks the receiver, as the owner of |key|, who is in the channel. Creates nothing. */
struct rh_peer_presence_get {
    uint64_t request;
    struct rh_bytes key; /* rh_key_valid() */
};

struct rh_peer_presence_answer {
    uint64_t request;
    enum rh_peer_result result;
    char owner[RH_NODE_ID_SIZE]; /* as in publish_answer, also the next two */
    struct rh_bytes code;
    struct rh_bytes detail;
    uint64_t incarnation;                  /* 0: no such channel */
    const struct rh_peer_present *clients; /* OK: at most RH_PEER_PRESENT_MAX; otherwise none */
    size_t clients_count;
};

/* From the acting owner, or from a holder that is asked for its copy: the whole list. */
struct rh_peer_presence {
    struct rh_bytes key;
    struct rh_term term;
    uint64_t version;
    const struct rh_peer_present *clients; /* at most RH_PEER_PRESENT_MAX */
    size_t clients_count;
};

/* Asks the receiver, as the owner of |key|, to change or tell what that follows. */
struct rh_peer_follow_ask {
    uint64_t request; /* chosen by the sender; comes back in the answer */
    struct rh_bytes key;
    enum rh_peer_follow_what {
        RH_PEER_FOLLOW_LIST,
        RH_PEER_FOLLOW_ADD,
        RH_PEER_FOLLOW_REMOVE,
        RH_PEER_FOLLOW_WHATS,
    } what;
    struct rh_bytes topic;    /* ADD, REMOVE: rh_key_valid(); else empty */
    bool has_after;           /* ADD only: begin after this position; else with what comes */
    struct rh_position after; /* zeroed without; incarnation 0: all that the topic's log holds */
    uint32_t deadline_ms;     /* from receipt; 0 with LIST */
};

struct rh_peer_follow_answer {
    uint64_t request;
    enum rh_peer_result result;
    char owner[RH_NODE_ID_SIZE];          /* as in publish_answer */
    struct rh_bytes code;                 /* as in publish_answer */
    struct rh_bytes detail;               /* as in publish_answer */
    const struct rh_peer_follow *follows; /* OK: all that the channel follows now */
    size_t follows_count;
};

struct rh_peer_message {
    enum rh_peer_message_kind kind;
    struct rh_epoch epoch; /* that the sender was in when it sent this */
    union {
        struct rh_peer_hello hello;
        struct rh_peer_ping ping;
        struct rh_peer_pong pong;
        struct rh_peer_status status;
        struct rh_peer_publish publish;
        struct rh_peer_publish_answer publish_answer;
        struct rh_peer_inspect inspect;
        struct rh_peer_inspect_answer inspect_answer;
        struct rh_peer_state_get state_get;
        struct rh_peer_state_put state_put;
        struct rh_peer_state_delete state_delete;
        struct rh_peer_state_answer state_answer;
        struct rh_peer_presence_get presence_get;
        struct rh_peer_presence_answer presence_answer;
        struct rh_peer_append append;
        struct rh_peer_append_ack append_ack;
        struct rh_peer_sync_begin sync_begin;
        struct rh_peer_sync_chunk sync_chunk;
        struct rh_peer_sync_ack sync_ack;
        struct rh_peer_credit credit;
        struct rh_peer_refused refused;
        struct rh_peer_report report;
        struct rh_peer_report_end report_end;
        struct rh_peer_fetch fetch;
        struct rh_peer_own own;
        struct rh_peer_own_ack own_ack;
        struct rh_peer_expedite expedite;
        struct rh_peer_leave leave;
        struct rh_peer_leave_ack leave_ack;
        struct rh_peer_view_ask view_ask;
        struct rh_peer_view view;
        struct rh_peer_view_ack view_ack;
        struct rh_peer_lease_ask lease_ask;
        struct rh_peer_lease_grant lease_grant;
        struct rh_peer_relay relay;
        struct rh_peer_relay_failed relay_failed;
        struct rh_peer_stream_open stream_open;
        struct rh_peer_stream_close stream_close;
        struct rh_peer_stream_taken stream_taken;
        struct rh_peer_tunnel_check tunnel_check;
        struct rh_peer_stream_opened stream_opened;
        struct rh_peer_stream_batch stream_batch;
        struct rh_peer_stream_read stream_read;
        struct rh_peer_stream_ended stream_ended;
        struct rh_peer_tunnel_state tunnel_state;
        struct rh_peer_presence presence;
        struct rh_peer_stream_state stream_state;
        struct rh_peer_stream_presence stream_presence;
        struct rh_peer_stream_show stream_show;
        struct rh_peer_follow_ask follow_ask;
        struct rh_peer_follow_answer follow_answer;
        struct rh_peer_topic_ask topic_ask;
        struct rh_peer_topic_batch topic_batch;
        struct rh_peer_topic_ack topic_ack;
        struct rh_peer_topic_end topic_end;
        struct rh_peer_followers_ask followers_ask;
        struct rh_peer_followers_answer followers_answer;
    };
};

/* "hello", "publish_answer", ...; static. */
const char *rh_peer_message_name(enum rh_peer_message_kind kind);

/* "ok", "not_owner", "refused", "unknown"; static. */
const char *rh_peer_result_name(enum rh_peer_result result);

/*
 * Whether every field is in its range: what the decoder lets pass and the encoder expects.
 * RH_ERR_INVALID with a reason that names the field ("publish.key: ...").
 */
RH_MUST_CHECK int rh_peer_message_check(const struct rh_peer_message *message,
                                        struct rh_reason *reason);

#endif
