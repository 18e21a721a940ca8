/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_CLIENT_JSON_H
#define RH_ROUTER_CLIENT_JSON_H

/*
 * The JSON that clients and ringhop exchange: what a client says over a WebSocket, what it is told,
 * and the bodies of the HTTP answers. docs/protocol.md shows every shape. Pure: it turns slices
 * into structs and structs into bytes, and knows neither channels nor connections.
 *
 * Encoders append to a buffer and either append everything or, on RH_ERR_NO_MEMORY, nothing.
 * Strings in the structs are UTF-8 and only lent for the call.
 */

#include "base/buffer.h"
#include "base/shared.h"
#include "proto/payload.h"
#include "proto/peer_message.h"
#include "proto/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How deep arrays and objects of a published `json` value may nest. */
#define RH_CLIENT_JSON_DEPTH_MAX 128

/* Codes of `error` messages and problem answers that this module gives; stable, for programs. */
#define RH_CLIENT_ERROR_MAP(X)                                                                   \
    X(RH_CLIENT_BAD_MESSAGE, "bad_message")       /* not JSON, no object, unknown type */        \
    X(RH_CLIENT_BAD_MESSAGE_ID, "bad_message_id") /* length or characters */                     \
    X(RH_CLIENT_BAD_PAYLOAD, "bad_payload")       /* not exactly one payload, or a broken one */ \
    X(RH_CLIENT_BAD_CONDITION, "bad_condition")   /* if_version is nothing that can be meant */  \
    X(RH_CLIENT_BAD_CONTENT_TYPE, "bad_content_type") /* length or characters */                 \
    X(RH_CLIENT_TOO_LARGE, "too_large")               /* decoded payload above the limit */

enum rh_client_error_code {
#define RH_CLIENT_ERROR_ENUM(name, text) name,
    RH_CLIENT_ERROR_MAP(RH_CLIENT_ERROR_ENUM)
#undef RH_CLIENT_ERROR_ENUM
};

/* "bad_message" ..., static. */
const char *rh_client_error_name(enum rh_client_error_code code);

/* What is wrong with something that a client sent. */
struct rh_client_error {
    enum rh_client_error_code code;
    struct rh_reason reason;         /* a sentence for the client's developer */
    char id[RH_MESSAGE_ID_SIZE_MAX]; /* id of the publish that is answered */
    size_t id_size;                  /* 0: none, or none that can be quoted */
};

/* ---- client to server ---- */

enum rh_client_request_type {
    RH_CLIENT_PUBLISH,
    RH_CLIENT_PING,
    RH_CLIENT_STATE_GET,
    RH_CLIENT_STATE_PUT,
    RH_CLIENT_STATE_DELETE,
    RH_CLIENT_PRESENCE_GET,
};

/* Of a write of the state: what must be true of the document. */
enum rh_client_condition {
    RH_CLIENT_ANY,
    RH_CLIENT_VERSION, /* "if_version": 7 */
    RH_CLIENT_PRESENT, /* "if_version": "*" */
    RH_CLIENT_ABSENT,  /* "if_version": null; not of a delete */
};

struct rh_client_request {
    enum rh_client_request_type type;
    struct rh_bytes
        id; /* the client's message id, or, of a request for the state, any name that its
                           answer has as well; size 0 when it gave none */
    struct rh_payload payload;          /* publish, put */
    struct rh_bytes content_type;       /* put */
    enum rh_client_condition condition; /* put, delete */
    uint64_t if_version;                /* VERSION */
};

/* What a client may send. */
struct rh_client_limits {
    uint64_t message_bytes; /* payload of a publish */
    uint64_t state_bytes;   /* document */
};

/* The largest text a client may send: every byte of a string may be an escape of six. For
 * rh_websocket_init(). */
uint32_t rh_client_json_text_max(const struct rh_client_limits *limits);

/*
 * Decodes one text message of a client. The slices of |ret_request| point into |text| or |scratch|
 * and are valid until either changes; |scratch| is cleared first and may be shared by all
 * connections. Unknown fields are ignored.
 * RH_ERR_INVALID: |ret_error| is filled, for rh_client_json_error(). RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_client_json_decode(struct rh_bytes text, const struct rh_client_limits *limits,
                                        struct rh_buffer *scratch,
                                        struct rh_client_request *ret_request,
                                        struct rh_client_error *ret_error);

/*
 * Decodes a publish that names its channel and has no type, {"key":"k","id":"a","data":"hi"}: a line of
 * `ringhop publish --stdin`. The key is any string. Otherwise as rh_client_json_decode().
 */
RH_MUST_CHECK int rh_client_json_decode_line(struct rh_bytes text, uint64_t message_bytes,
                                             struct rh_buffer *scratch, struct rh_bytes *ret_key,
                                             struct rh_client_request *ret_request,
                                             struct rh_client_error *ret_error);

/*
 * The payload in the body of an HTTP publish. |content_type| is the header's value (empty: none);
 * `application/json` makes it JSON (blanks around the value are dropped), `text/...` text, and
 * `application/octet-stream` binary; for any other type the body is text if it is UTF-8, else
 * binary. The slice points into |body|.
 * RH_ERR_INVALID: |ret_error| is filled (bad_payload, too_large).
 */
RH_MUST_CHECK int rh_client_payload_from_body(struct rh_bytes content_type, struct rh_bytes body,
                                              uint64_t message_bytes,
                                              struct rh_payload *ret_payload,
                                              struct rh_client_error *ret_error);

/* The payload as which a document of |content_type| is shown to clients of WebSockets and events: JSON
 * if it says so and is, text if it may be and is UTF-8, else binary. The slice points into |body|. */
struct rh_payload rh_client_payload_of_state(struct rh_bytes content_type, struct rh_bytes body);

/* ---- server to client, over WebSocket ---- */

struct rh_client_welcome {
    struct rh_bytes channel; /* the key */
    const char *node;
    int64_t epoch;
    uint64_t incarnation;
    uint64_t seq; /* the last one that is not replayed */
    bool recovered;
};

/* One message of a channel. */
struct rh_client_message {
    uint64_t seq;
    struct rh_bytes id; /* size 0: the member is left out */
    uint64_t time_ms;   /* Unix time */
    struct rh_payload payload;
    struct rh_bytes topic;       /* by which it came; size 0: both members are left out */
    struct rh_position position; /* in the topic */
};

struct rh_client_moved {
    const char *node;
    const char *url;
    bool seq_known; /* false at a node that never owned the channel: the member is left out */
    uint64_t seq;
};

RH_MUST_CHECK int rh_client_json_welcome(struct rh_buffer *output,
                                         const struct rh_client_welcome *welcome);

/* {"type":"message",...} */
RH_MUST_CHECK int rh_client_json_message(struct rh_buffer *output,
                                         const struct rh_client_message *message);

/* The same as a whole text frame, encoded once for all connections: one allocation, one pass over
 * the payload to measure and one to write. NULL when out of memory. */
struct rh_shared *rh_client_json_message_frame(const struct rh_client_message *message);

/* |id| of size 0, when the publish had none, is left out. */
RH_MUST_CHECK int rh_client_json_ack(struct rh_buffer *output, struct rh_bytes id, uint64_t seq);
RH_MUST_CHECK int rh_client_json_pong(struct rh_buffer *output);
RH_MUST_CHECK int rh_client_json_moved(struct rh_buffer *output,
                                       const struct rh_client_moved *moved);

/* Answers a write of the state. |id| of size 0 is left out. */
RH_MUST_CHECK int rh_client_json_state_ack(struct rh_buffer *output, struct rh_bytes id,
                                           uint64_t version);

/* The state document, for who asked for it or watches it. */
struct rh_client_document {
    struct rh_bytes id;           /* size 0: nobody asked, the member is left out */
    uint64_t version;             /* of its last change; 0: there never was one */
    bool exists;                  /* false: it was deleted; then there is nothing of what follows */
    struct rh_bytes content_type; /* size 0: application/octet-stream */
    struct rh_bytes state;
};

RH_MUST_CHECK int rh_client_json_document(struct rh_buffer *output,
                                          const struct rh_client_document *document);

/* An error that says which version there is; 0: null, there is no document. */
RH_MUST_CHECK int rh_client_json_conflict(struct rh_buffer *output, const char *code,
                                          const char *text, struct rh_bytes id, uint64_t version);

/* Who is in a channel, or came and went: for who asked or watches. */
struct rh_client_presence {
    struct rh_bytes id; /* size 0: nobody asked, the member is left out */
    bool is_whole;      /* `joined` are all who are there; the others are empty */
    struct rh_peer_present_list left;
    struct rh_peer_present_list joined;
    struct rh_peer_present_list changed;
};

RH_MUST_CHECK int rh_client_json_presence(struct rh_buffer *output,
                                          const struct rh_client_presence *presence);

/* |code| is a stable name, |text| a sentence; |id| of size 0 is left out. */
RH_MUST_CHECK int rh_client_json_error(struct rh_buffer *output, const char *code, const char *text,
                                       struct rh_bytes id);

/* ---- bodies of HTTP answers ---- */

/* A poll answer is written in pieces: begin, any number of messages, end. |incarnation| 0 is
 * written as null. A piece that fails leaves the buffer as it was before that piece. */
RH_MUST_CHECK int rh_client_json_poll_begin(struct rh_buffer *output, struct rh_bytes channel,
                                            uint64_t incarnation, bool recovered);
RH_MUST_CHECK int rh_client_json_poll_message(struct rh_buffer *output, bool first,
                                              const struct rh_client_message *message);
RH_MUST_CHECK int rh_client_json_poll_end(struct rh_buffer *output, struct rh_position position,
                                          bool more);

/* What a channel follows. */
struct rh_client_follow {
    struct rh_bytes topic;
    struct rh_position position; /* of the last message that was taken */
};

RH_MUST_CHECK int rh_client_json_follows(struct rh_buffer *output, struct rh_bytes channel,
                                         const struct rh_client_follow *follows, size_t count);

/* Who follows a topic. */
struct rh_client_followers_node {
    const char *node;
    uint64_t count;
    bool is_missing; /* it did not answer */
};

struct rh_client_followers {
    struct rh_bytes topic;
    uint64_t count;              /* of all, also of those that are not among `keys` */
    const struct rh_bytes *keys; /* those that are named */
    size_t keys_count;
    const struct rh_client_followers_node
        *nodes; /* those with followers, and the missing, are told */
    size_t nodes_count;
};

RH_MUST_CHECK int rh_client_json_followers(struct rh_buffer *output,
                                           const struct rh_client_followers *followers);

/* 201 of a publish. */
struct rh_client_published {
    uint64_t seq;
    uint64_t incarnation;
    const char *node;
    uint64_t connections;
    bool duplicate;
};

RH_MUST_CHECK int rh_client_json_published(struct rh_buffer *output,
                                           const struct rh_client_published *published);

/* 200 and 201 of a write of the state document. */
struct rh_client_state {
    uint64_t version;
    uint64_t incarnation;
    const char *node;
};

RH_MUST_CHECK int rh_client_json_state(struct rh_buffer *output,
                                       const struct rh_client_state *state);

/* 200 of a request for who is in a channel. |incarnation| 0 is written as null. */
RH_MUST_CHECK int rh_client_json_presence_body(struct rh_buffer *output, struct rh_bytes channel,
                                               const char *node, uint64_t incarnation,
                                               struct rh_peer_present_list clients);

struct rh_client_channel {
    struct rh_bytes key;
    int64_t epoch;
    const char *owner;           /* NULL (no node has weight): null */
    const char *const *replicas; /* without the owner */
    size_t replicas_count;
    uint64_t incarnation; /* 0: there is no such channel, null */
    uint64_t first_seq;   /* last_seq + 1 when the log is empty */
    uint64_t last_seq;
    uint64_t connections;
};

RH_MUST_CHECK int rh_client_json_channel(struct rh_buffer *output,
                                         const struct rh_client_channel *channel);

struct rh_client_where {
    struct rh_bytes key;
    const char *node;
    int64_t epoch;
    const char *ws; /* URLs at the owner */
    const char *events;
    const char *messages;
};

RH_MUST_CHECK int rh_client_json_where(struct rh_buffer *output,
                                       const struct rh_client_where *where);

struct rh_client_ring_member {
    const char *node;
    uint64_t instance;
    uint32_t weight_milli;
    const char *zone;
    double share; /* 0.0 to 1.0; six digits are written */
    const char *url;
};

struct rh_client_ring {
    const char *cluster;
    uint64_t generation;
    int64_t epoch;
    uint64_t digest;
    uint32_t vnodes;
    uint32_t replicas;
    const struct rh_client_ring_member *members; /* sorted by node */
    size_t members_count;
};

RH_MUST_CHECK int rh_client_json_ring(struct rh_buffer *output, const struct rh_client_ring *ring);

#endif
