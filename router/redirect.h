/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_REDIRECT_H
#define RH_ROUTER_REDIRECT_H

/*
 * How a client that asked the wrong node gets to the right one, and the URLs for it. Nothing is
 * sent from here.
 *
 *   a WebSocket client that offers ringhop.v1   is accepted, told `moved` and closed with 4307
 *   anything else                               307 with a Location in the form that most clients
 *                                               of that kind follow:
 *      WebSocket, EventSource                     //host:port/...      if the scheme stays the same
 *      WebSocket without a User-Agent             ws(s)://host:port/...
 *      WebSocket, the scheme changes              ws(s)://host:port/...
 *      EventSource, the scheme changes            http(s)://host:port/...
 *      all others                                 http(s)://host:port/...
 *
 * Chains end: the URL carries the number of redirects so far (`hops`) and the epoch of whoever
 * redirected last (`epoch`). There is at most one redirect per epoch and RH_REDIRECT_HOPS_MAX in
 * all. A URL of an older epoch that comes when ours is no longer new is a bookmark, not a loop: it
 * starts a chain of its own.
 *
 * Some clients are not sent away at all, but relayed: see rh_redirect_relays(). What becomes of them
 * then is the node's matter (docs/relay.md).
 */

#include "base/buffer.h"
#include "router/route.h"

#define RH_REDIRECT_HOPS_MAX     3U
#define RH_REDIRECT_CHAIN_AGE_MS 60000U /* an epoch older than this is no longer new */

enum rh_redirect {
    RH_REDIRECT_MOVED,    /* accept, send `moved` with the URL, close with 4307 */
    RH_REDIRECT_307,      /* answer 307 with the URL as Location */
    RH_REDIRECT_LIMIT,    /* relay; or, where that cannot be, answer RH_PROBLEM_REDIRECT_LIMIT */
    RH_REDIRECT_CATCH_UP, /* the URL's epoch is ahead of ours: adopt a newer view first, then decide
                             again; answer RH_PROBLEM_REDIRECT_LIMIT when that takes too long */
};

/* Facts about the request. */
struct rh_redirect_request {
    const struct rh_route *route;
    bool websocket;      /* a valid WebSocket handshake */
    bool offers_ringhop; /* with the subprotocol ringhop.v1 */
    bool has_user_agent;
    bool secure;       /* came over TLS */
    bool has_position; /* |position| takes the place of the client's own `after` */
    struct rh_position position;
};

/* Facts about this node and where the client should go. */
struct rh_redirect_target {
    uint64_t epoch;        /* our epoch */
    uint64_t epoch_age_ms; /* how long ago we adopted it */
    const char *url;       /* of the target: ws://host:port or wss://host:port */
};

/*
 * Decides, and for MOVED and 307 appends the URL to |url|.
 * |ret_redirect| is set on success. RH_ERR_INVALID: target->url is not of that form.
 * RH_ERR_NO_MEMORY. On failure |url| is unchanged.
 */
RH_MUST_CHECK int rh_redirect_decide(const struct rh_redirect_request *request,
                                     const struct rh_redirect_target *target,
                                     enum rh_redirect *ret_redirect, struct rh_buffer *url);

/*
 * Whether the client of a stream or poll is to be relayed in place of being sent to the owner: because
 * it asks for that (route=relay); because all clients of the cluster are (|by_default|) and it does not
 * ask for the other (route=redirect); or because it looks like a browser's own EventSource. Such a one,
 * once redirected, may never ask the first address again, also when the owner is dead. A script that
 * reads a stream by itself accepts more than that one type, or says route=redirect.
 */
bool rh_redirect_relays(const struct rh_route *route, const struct rh_http_request *request,
                        bool by_default);

/* Whether the URL's epoch is ahead of |epoch|, so that we should catch up before we answer, also
 * as the owner. */
bool rh_redirect_is_behind(const struct rh_route *route, uint64_t epoch);

/* What stands in front of "host:port". */
enum rh_url_scheme {
    RH_URL_RELATIVE, /* "//" */
    RH_URL_WS,       /* "ws://", or "wss://" if the node's URL says so */
    RH_URL_HTTP,     /* "http://", or "https://" */
};

/* A URL of a channel at a node: {scheme}host:port/v1/channels/{key}/{endpoint}?... */
struct rh_url {
    enum rh_url_scheme scheme;
    const char *node_url; /* ws://host:port or wss://host:port */
    struct rh_bytes key;
    const char *endpoint; /* "ws", "events", "messages", "state"; NULL: the channel itself */
    bool has_after;
    bool has_limit;
    bool has_wait;
    bool has_chain; /* hops and epoch */
    struct rh_position after;
    uint32_t limit;
    uint32_t wait_s;
    uint32_t hops;
    uint64_t epoch;
    bool relay;             /* route=relay */
    bool redirect;          /* route=redirect */
    struct rh_bytes client; /* these four are put in as they are; empty: left out */
    struct rh_bytes meta;
    struct rh_bytes ticket;
    struct rh_bytes token;
    uint8_t watch; /* bits of enum rh_route_watch */
};

/*
 * Appends the URL. The `moved` message of a view change is made with scheme RH_URL_WS, endpoint
 * "ws", the position, and a new chain (hops 1, our epoch); the three URLs of `where` with no
 * query. RH_ERR_INVALID: node_url is not of that form. RH_ERR_NO_MEMORY. |buffer| is unchanged on
 * failure.
 */
RH_MUST_CHECK int rh_url_build(const struct rh_url *url, struct rh_buffer *buffer);

#endif
