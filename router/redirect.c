/* SPDX-License-Identifier: Apache-2.0 */
#include "router/redirect.h"

#include <inttypes.h>

/* Takes ws://host:port apart. */
static int split_node_url(const char *url, bool *ret_secure, const char **ret_address)
{
    if (strncmp(url, "ws://", 5) == 0 && url[5] != '\0') {
        *ret_secure = false;
        *ret_address = url + 5;
        return 0;
    }
    if (strncmp(url, "wss://", 6) == 0 && url[6] != '\0') {
        *ret_secure = true;
        *ret_address = url + 6;
        return 0;
    }
    return RH_ERR_INVALID;
}

static int append_scheme(enum rh_url_scheme scheme, bool secure, struct rh_buffer *buffer)
{
    switch (scheme) {
    case RH_URL_WS:
        return rh_buffer_append_text(buffer, secure ? "wss://" : "ws://");
    case RH_URL_HTTP:
        return rh_buffer_append_text(buffer, secure ? "https://" : "http://");
    case RH_URL_RELATIVE:
    default:
        return rh_buffer_append_text(buffer, "//");
    }
}

/* `?name=value`, then `&name=value`. */
static int append_name(struct rh_buffer *buffer, char *separator, const char *name)
{
    int rv = rh_buffer_format(buffer, "%c%s=", *separator, name);
    *separator = '&';
    return rv;
}

static int append_number(struct rh_buffer *buffer, char *separator, const char *name,
                         uint64_t number)
{
    int rv = append_name(buffer, separator, name);
    return rv != 0 ? rv : rh_buffer_format(buffer, "%" PRIu64, number);
}

static int append_value(struct rh_buffer *buffer, char *separator, const char *name,
                        struct rh_bytes value)
{
    if (value.size == 0) {
        return 0;
    }
    int rv = append_name(buffer, separator, name);
    return rv != 0 ? rv : rh_buffer_append_bytes(buffer, value);
}

static int append_query(const struct rh_url *url, struct rh_buffer *buffer)
{
    char separator = '?';
    int rv = 0;
    if (url->has_after) {
        char text[RH_POSITION_TEXT_SIZE];
        rh_position_format(url->after, text);
        rv = append_value(buffer, &separator, "after", rh_bytes_text(text));
    }
    if (rv == 0 && url->has_limit) {
        rv = append_number(buffer, &separator, "limit", url->limit);
    }
    if (rv == 0 && url->has_wait) {
        rv = append_number(buffer, &separator, "wait", url->wait_s);
    }
    if (rv == 0 && (url->relay || url->redirect)) {
        rv = append_value(buffer, &separator, "route",
                          rh_bytes_text(url->relay ? "relay" : "redirect"));
    }
    if (rv == 0) {
        rv = append_value(buffer, &separator, "client", url->client);
    }
    if (rv == 0) {
        rv = append_value(buffer, &separator, "meta", url->meta);
    }
    if (rv == 0) {
        rv = append_value(buffer, &separator, "ticket", url->ticket);
    }
    if (rv == 0) {
        rv = append_value(buffer, &separator, "token", url->token);
    }
    if (rv == 0) {
        rv = append_value(buffer, &separator, "watch",
                          rh_bytes_text(rh_route_watch_text(url->watch)));
    }
    if (rv == 0 && url->has_chain) {
        rv = append_number(buffer, &separator, "hops", url->hops);
    }
    if (rv == 0 && url->has_chain) {
        rv = append_number(buffer, &separator, "epoch", url->epoch);
    }
    return rv;
}

static int append_url(const struct rh_url *url, bool secure, const char *address,
                      struct rh_buffer *buffer)
{
    int rv = append_scheme(url->scheme, secure, buffer);
    if (rv == 0) {
        rv = rh_buffer_append_text(buffer, address);
    }
    if (rv == 0) {
        rv = rh_buffer_append_text(buffer, "/v1/channels/");
    }
    if (rv == 0) {
        rv = rh_percent_encode(url->key, buffer);
    }
    if (rv == 0 && url->endpoint != NULL) {
        rv = rh_buffer_format(buffer, "/%s", url->endpoint);
    }
    return rv != 0 ? rv : append_query(url, buffer);
}

int rh_url_build(const struct rh_url *url, struct rh_buffer *buffer)
{
    bool secure;
    const char *address;
    int rv = split_node_url(url->node_url, &secure, &address);
    if (rv != 0) {
        return rv;
    }
    size_t before = rh_buffer_size(buffer);
    rv = append_url(url, secure, address, buffer);
    if (rv != 0) {
        rh_buffer_truncate(buffer, before);
    }
    return rv;
}

bool rh_redirect_relays(const struct rh_route *route, const struct rh_http_request *request,
                        bool by_default)
{
    if (route->relay || route->redirect) {
        return route->relay;
    }
    bool by_browser = rh_http_request_field(request, "origin").data != NULL ||
                      rh_http_request_field(request, "sec-fetch-mode").data != NULL;
    /* WHATWG HTML, 9.2.2: an EventSource accepts this and nothing else; a script's fetch anything. */
    bool by_event_source =
        rh_bytes_equal_text(rh_http_request_field(request, "accept"), "text/event-stream");
    return by_default || (route->kind == RH_ROUTE_EVENTS && by_browser && by_event_source);
}

bool rh_redirect_is_behind(const struct rh_route *route, uint64_t epoch)
{
    return route->has_epoch && route->epoch > epoch;
}

static const char *endpoint_of(enum rh_route_kind kind)
{
    switch (kind) {
    case RH_ROUTE_WEBSOCKET:
        return "ws";
    case RH_ROUTE_EVENTS:
        return "events";
    case RH_ROUTE_MESSAGES_GET:
    case RH_ROUTE_MESSAGES_POST:
        return "messages";
    case RH_ROUTE_STATE_GET:
    case RH_ROUTE_STATE_PUT:
    case RH_ROUTE_STATE_DELETE:
        return "state";
    case RH_ROUTE_WHERE:
    case RH_ROUTE_RING:
    case RH_ROUTE_CHANNEL:
    case RH_ROUTE_PRESENCE:
    case RH_ROUTE_FOLLOWS:
    case RH_ROUTE_FOLLOW:
    case RH_ROUTE_UNFOLLOW:
    case RH_ROUTE_FOLLOWERS:
    case RH_ROUTE_PREFLIGHT:
    default:
        return NULL;
    }
}

/* The form of the URL: see the table in the header. */
static enum rh_url_scheme scheme_of(const struct rh_redirect_request *request,
                                    enum rh_redirect redirect, bool target_secure)
{
    bool same_scheme = request->secure == target_secure;
    if (redirect == RH_REDIRECT_MOVED) {
        return RH_URL_WS;
    }
    if (request->websocket) {
        return same_scheme && request->has_user_agent ? RH_URL_RELATIVE : RH_URL_WS;
    }
    if (request->route->kind == RH_ROUTE_EVENTS && same_scheme) {
        return RH_URL_RELATIVE;
    }
    return RH_URL_HTTP;
}

/* Redirects so far in this chain. */
static uint32_t hops_of(const struct rh_route *route, const struct rh_redirect_target *target)
{
    bool bookmark = route->has_epoch && route->epoch < target->epoch &&
                    target->epoch_age_ms > RH_REDIRECT_CHAIN_AGE_MS;
    return bookmark ? 0 : route->hops;
}

int rh_redirect_decide(const struct rh_redirect_request *request,
                       const struct rh_redirect_target *target, enum rh_redirect *ret_redirect,
                       struct rh_buffer *url)
{
    const struct rh_route *route = request->route;
    bool secure;
    const char *address;
    int rv = split_node_url(target->url, &secure, &address);
    if (rv != 0) {
        return rv;
    }
    if (rh_redirect_is_behind(route, target->epoch)) {
        *ret_redirect = RH_REDIRECT_CATCH_UP;
        return 0;
    }
    uint32_t hops = hops_of(route, target);
    bool same_epoch = hops > 0 && route->has_epoch && route->epoch == target->epoch;
    if (hops >= RH_REDIRECT_HOPS_MAX || same_epoch) {
        *ret_redirect = RH_REDIRECT_LIMIT;
        return 0;
    }
    enum rh_redirect redirect =
        request->websocket && request->offers_ringhop ? RH_REDIRECT_MOVED : RH_REDIRECT_307;
    const struct rh_url parts = {
        .scheme = scheme_of(request, redirect, secure),
        .node_url = target->url,
        .key = rh_route_key(route),
        .endpoint = endpoint_of(route->kind),
        .has_after = request->has_position || route->has_after,
        .after = request->has_position ? request->position : route->after,
        .has_limit = route->has_limit,
        .limit = route->limit,
        .has_wait = route->has_wait,
        .wait_s = route->wait_s,
        .relay = route->relay,
        .redirect = route->redirect,
        .client = route->client,
        .meta = route->meta,
        .ticket = route->ticket,
        .token = route->token,
        .watch = route->watch,
        .has_chain = true,
        .hops = hops + 1,
        .epoch = target->epoch,
    };
    rv = rh_url_build(&parts, url);
    if (rv == 0) {
        *ret_redirect = redirect;
    }
    return rv;
}
