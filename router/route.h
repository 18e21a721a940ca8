/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_ROUTE_H
#define RH_ROUTER_ROUTE_H

/*
 * What a request to the client listener asks for: method, path and query as checked values.
 *
 *   GET               /v1/where?key=K
 *   GET               /v1/ring
 *   GET               /v1/channels/{key}
 *   GET               /v1/channels/{key}/ws
 *   GET               /v1/channels/{key}/events
 *   GET, POST         /v1/channels/{key}/messages
 *   GET, PUT, DELETE  /v1/channels/{key}/state
 *   GET               /v1/channels/{key}/presence
 *   GET               /v1/channels/{key}/follows
 *   PUT, DELETE       /v1/channels/{key}/follows/{topic}
 *   GET               /v1/channels/{key}/followers
 *
 * HEAD goes where GET goes, but not to `ws` and `events`. OPTIONS on any of them is a preflight.
 *
 * A key, or topic, is one path segment, percent-encoded (so `/` in a key is %2F). Query names are `after`,
 * `limit`, `wait`, `hops`, `epoch`, `ticket`, `token`, `route`, `client`, `meta`, `watch` (and
 * `key` of where): at most once each; other names are ignored. In the query a `+` is a space, as forms encode
 * it.
 */

#include "proto/payload.h"
#include "proto/position.h"
#include "router/http_request.h"

enum rh_route_kind {
    RH_ROUTE_WHERE,
    RH_ROUTE_RING,
    RH_ROUTE_CHANNEL,
    RH_ROUTE_WEBSOCKET,
    RH_ROUTE_EVENTS,
    RH_ROUTE_MESSAGES_GET,
    RH_ROUTE_MESSAGES_POST,
    RH_ROUTE_STATE_GET,
    RH_ROUTE_STATE_PUT,
    RH_ROUTE_STATE_DELETE,
    RH_ROUTE_PRESENCE,
    RH_ROUTE_FOLLOWS,
    RH_ROUTE_FOLLOW,
    RH_ROUTE_UNFOLLOW,
    RH_ROUTE_FOLLOWERS,
    RH_ROUTE_PREFLIGHT, /* answer with rh_http_connection_respond_preflight() */
};

/* What a stream wants to hear of beside the messages, a bit each; `watch` lists their names. */
enum rh_route_watch {
    RH_ROUTE_WATCH_STATE = 1,    /* "state": changes of the state document */
    RH_ROUTE_WATCH_PRESENCE = 2, /* "presence": who comes and goes */
};

/* The name of a kind for logs and metrics, static: "where", "websocket", "messages_post" ... */
const char *rh_route_kind_name(enum rh_route_kind kind);

#define RH_ROUTE_LIMIT_DEFAULT 100U
#define RH_ROUTE_LIMIT_MAX     1000U
#define RH_ROUTE_WAIT_S_MAX    60U
#define RH_ROUTE_HOPS_MAX      99U

struct rh_route {
    enum rh_route_kind kind;
    const char
        *allow;      /* methods of the path, for PREFLIGHT and 405: "GET, HEAD, OPTIONS"; static */
    size_t key_size; /* 0 where the path has no key */
    size_t topic_size; /* 0 where the path has no topic */
    bool has_after;
    bool has_limit;
    bool has_wait;
    bool has_epoch;
    struct rh_position after;
    uint32_t limit;  /* messages, or followers, 1 to RH_ROUTE_LIMIT_MAX */
    uint32_t wait_s; /* 0: answer at once */
    uint32_t hops;   /* redirects so far on the way of this client */
    uint64_t epoch;  /* of the node that redirected here */
    bool relay;      /* route=relay */
    bool redirect;   /* route=redirect */
    uint8_t watch;   /* bits of enum rh_route_watch */
    /* As they were sent, still percent-encoded, so that they can be passed on in a URL; they point
     * into the request's query. Empty when not given. */
    struct rh_bytes ticket;
    struct rh_bytes token;
    struct rh_bytes client;
    struct rh_bytes meta;
    char key_data[RH_KEY_SIZE_MAX];
    char topic_data[RH_KEY_SIZE_MAX];
};

static inline struct rh_bytes rh_route_key(const struct rh_route *route)
{
    return rh_bytes(route->key_data, route->key_size);
}

static inline struct rh_bytes rh_route_topic(const struct rh_route *route)
{
    return rh_bytes(route->topic_data, route->topic_size);
}

/* How a client names itself: `client` and `meta` of a stream. */
struct rh_route_client {
    struct rh_bytes client; /* rh_client_id_valid(), or empty: it does not */
    struct rh_bytes meta;   /* JSON, or empty */
    char data[RH_CLIENT_ID_SIZE_MAX + RH_CLIENT_META_SIZE_MAX];
};

/* Decodes and checks them; the slices of |ret_client| point into it. RH_ERR_INVALID: |reason| names the
 * parameter. */
RH_MUST_CHECK int rh_route_client(const struct rh_route *route, struct rh_route_client *ret_client,
                                  struct rh_reason *reason);

/*
 * Fills |ret_route| and returns RH_PROBLEM_NONE; or returns what to answer, with a sentence in
 * |reason| that names the parameter. After RH_PROBLEM_METHOD_NOT_ALLOWED `ret_route->allow` is
 * set for the Allow header; otherwise |ret_route| is then undefined.
 */
enum rh_problem rh_route_parse(const struct rh_http_request *request, struct rh_route *ret_route,
                               struct rh_reason *reason);

/*
 * Decodes percent escapes (and `+` to space if |plus|). RH_ERR_INVALID: a broken escape;
 * RH_ERR_TOO_LARGE: more than |out_size| bytes.
 */
RH_MUST_CHECK int rh_percent_decode(struct rh_bytes text, bool plus, char *out, size_t out_size,
                                    size_t *ret_size);

/* The names of the bits of |watch|, as the parameter lists them; static, "" for none. */
const char *rh_route_watch_text(uint8_t watch);

/* Appends |bytes| as one path segment or query value: all but unreserved characters are escaped
 * (RFC 3986, 2.3), and the segments `.` and `..` wholly. RH_ERR_NO_MEMORY: nothing was appended. */
RH_MUST_CHECK int rh_percent_encode(struct rh_bytes bytes, struct rh_buffer *buffer);

#endif
