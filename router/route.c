/* SPDX-License-Identifier: Apache-2.0 */
#include "router/route.h"

#include "router/json_scan.h"

#include <assert.h>

#define META_DEPTH_MAX 16

enum endpoint {
    ENDPOINT_WHERE,
    ENDPOINT_RING,
    ENDPOINT_CHANNEL,
    ENDPOINT_WEBSOCKET,
    ENDPOINT_EVENTS,
    ENDPOINT_MESSAGES,
    ENDPOINT_STATE,
    ENDPOINT_PRESENCE,
    ENDPOINT_FOLLOWS,
    ENDPOINT_FOLLOW,
    ENDPOINT_FOLLOWERS,
};

/* The path of an endpoint of a channel, after the key. */
static const struct {
    const char *name;
    enum endpoint endpoint;
} channel_endpoints[] = {
    {"ws", ENDPOINT_WEBSOCKET},        {"events", ENDPOINT_EVENTS},
    {"messages", ENDPOINT_MESSAGES},   {"state", ENDPOINT_STATE},
    {"presence", ENDPOINT_PRESENCE},   {"follows", ENDPOINT_FOLLOWS},
    {"followers", ENDPOINT_FOLLOWERS},
};

static const struct {
    enum endpoint endpoint;
    enum rh_http_method method;
    enum rh_route_kind kind;
} methods[] = {
    {ENDPOINT_WHERE, RH_HTTP_GET, RH_ROUTE_WHERE},
    {ENDPOINT_WHERE, RH_HTTP_HEAD, RH_ROUTE_WHERE},
    {ENDPOINT_RING, RH_HTTP_GET, RH_ROUTE_RING},
    {ENDPOINT_RING, RH_HTTP_HEAD, RH_ROUTE_RING},
    {ENDPOINT_CHANNEL, RH_HTTP_GET, RH_ROUTE_CHANNEL},
    {ENDPOINT_CHANNEL, RH_HTTP_HEAD, RH_ROUTE_CHANNEL},
    {ENDPOINT_WEBSOCKET, RH_HTTP_GET, RH_ROUTE_WEBSOCKET},
    {ENDPOINT_EVENTS, RH_HTTP_GET, RH_ROUTE_EVENTS},
    {ENDPOINT_MESSAGES, RH_HTTP_GET, RH_ROUTE_MESSAGES_GET},
    {ENDPOINT_MESSAGES, RH_HTTP_HEAD, RH_ROUTE_MESSAGES_GET},
    {ENDPOINT_MESSAGES, RH_HTTP_POST, RH_ROUTE_MESSAGES_POST},
    {ENDPOINT_STATE, RH_HTTP_GET, RH_ROUTE_STATE_GET},
    {ENDPOINT_STATE, RH_HTTP_HEAD, RH_ROUTE_STATE_GET},
    {ENDPOINT_STATE, RH_HTTP_PUT, RH_ROUTE_STATE_PUT},
    {ENDPOINT_STATE, RH_HTTP_DELETE, RH_ROUTE_STATE_DELETE},
    {ENDPOINT_PRESENCE, RH_HTTP_GET, RH_ROUTE_PRESENCE},
    {ENDPOINT_PRESENCE, RH_HTTP_HEAD, RH_ROUTE_PRESENCE},
    {ENDPOINT_FOLLOWS, RH_HTTP_GET, RH_ROUTE_FOLLOWS},
    {ENDPOINT_FOLLOWS, RH_HTTP_HEAD, RH_ROUTE_FOLLOWS},
    {ENDPOINT_FOLLOW, RH_HTTP_PUT, RH_ROUTE_FOLLOW},
    {ENDPOINT_FOLLOW, RH_HTTP_DELETE, RH_ROUTE_UNFOLLOW},
    {ENDPOINT_FOLLOWERS, RH_HTTP_GET, RH_ROUTE_FOLLOWERS},
    {ENDPOINT_FOLLOWERS, RH_HTTP_HEAD, RH_ROUTE_FOLLOWERS},
};

const char *rh_route_kind_name(enum rh_route_kind kind)
{
    static const char *const names[] = {
        [RH_ROUTE_WHERE] = "where",
        [RH_ROUTE_RING] = "ring",
        [RH_ROUTE_CHANNEL] = "channel",
        [RH_ROUTE_WEBSOCKET] = "websocket",
        [RH_ROUTE_EVENTS] = "events",
        [RH_ROUTE_MESSAGES_GET] = "messages_get",
        [RH_ROUTE_MESSAGES_POST] = "messages_post",
        [RH_ROUTE_STATE_GET] = "state_get",
        [RH_ROUTE_STATE_PUT] = "state_put",
        [RH_ROUTE_STATE_DELETE] = "state_delete",
        [RH_ROUTE_PRESENCE] = "presence",
        [RH_ROUTE_FOLLOWS] = "follows",
        [RH_ROUTE_FOLLOW] = "follow",
        [RH_ROUTE_UNFOLLOW] = "unfollow",
        [RH_ROUTE_FOLLOWERS] = "followers",
        [RH_ROUTE_PREFLIGHT] = "preflight",
    };
    return names[kind];
}

static const char *allow_of(enum endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_WEBSOCKET:
    case ENDPOINT_EVENTS:
        return "GET, OPTIONS";
    case ENDPOINT_MESSAGES:
        return "GET, HEAD, POST, OPTIONS";
    case ENDPOINT_STATE:
        return "GET, HEAD, PUT, DELETE, OPTIONS";
    case ENDPOINT_FOLLOW:
        return "PUT, DELETE, OPTIONS";
    case ENDPOINT_WHERE:
    case ENDPOINT_RING:
    case ENDPOINT_CHANNEL:
    case ENDPOINT_PRESENCE:
    case ENDPOINT_FOLLOWS:
    case ENDPOINT_FOLLOWERS:
    default:
        return "GET, HEAD, OPTIONS";
    }
}

/* ---- Percent-encoding ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int rh_percent_decode(struct rh_bytes text, bool plus, char *out, size_t out_size, size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.size - i < 3 ? -1 : hex_digit(text.data[i + 1]);
            int low = text.size - i < 3 ? -1 : hex_digit(text.data[i + 2]);
            if (high < 0 || low < 0) {
                return RH_ERR_INVALID;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (size == out_size) {
            return RH_ERR_TOO_LARGE;
        }
        out[size++] = c;
    }
    *ret_size = size;
    return 0;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int rh_percent_encode(struct rh_bytes bytes, struct rh_buffer *buffer)
{
    static const char digits[] = "0123456789ABCDEF";
    bool dots = rh_bytes_equal_text(bytes, ".") || rh_bytes_equal_text(bytes, "..");
    char *room = rh_buffer_reserve(buffer, bytes.size * 3);
    if (room == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    size_t size = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (is_unreserved((char)c) && !dots) {
            room[size++] = (char)c;
            continue;
        }
        room[size++] = '%';
        room[size++] = digits[c >> 4];
        room[size++] = digits[c & 15];
    }
    rh_buffer_commit(buffer, size);
    return 0;
}

/* ---- Query ---- */

enum name {
    NAME_AFTER,
    NAME_LIMIT,
    NAME_WAIT,
    NAME_HOPS,
    NAME_EPOCH,
    NAME_TICKET,
    NAME_TOKEN,
    NAME_ROUTE,
    NAME_CLIENT,
    NAME_META,
    NAME_WATCH,
    NAME_KEY,
    NAMES_COUNT,
};

static const char *const names[NAMES_COUNT] = {
    [NAME_AFTER] = "after", [NAME_LIMIT] = "limit", [NAME_WAIT] = "wait",
    [NAME_HOPS] = "hops",   [NAME_EPOCH] = "epoch", [NAME_TICKET] = "ticket",
    [NAME_TOKEN] = "token", [NAME_ROUTE] = "route", [NAME_CLIENT] = "client",
    [NAME_META] = "meta",   [NAME_WATCH] = "watch", [NAME_KEY] = "key",
};

static enum rh_problem set_key(struct rh_bytes text, bool plus, struct rh_route *route,
                               struct rh_reason *reason)
{
    size_t size;
    int rv = rh_percent_decode(text, plus, route->key_data, sizeof(route->key_data), &size);
    if (rv == 0 && rh_key_valid(rh_bytes(route->key_data, size))) {
        route->key_size = size;
        return RH_PROBLEM_NONE;
    }
    (void)rh_fail(reason, RH_ERR_INVALID,
                  "a key is 1 to %d bytes of UTF-8 without control characters, percent-encoded",
                  RH_KEY_SIZE_MAX);
    return RH_PROBLEM_BAD_KEY;
}

static enum rh_problem set_topic(struct rh_bytes text, struct rh_route *route,
                                 struct rh_reason *reason)
{
    size_t size;
    int rv = rh_percent_decode(text, false, route->topic_data, sizeof(route->topic_data), &size);
    if (rv != 0 || !rh_key_valid(rh_bytes(route->topic_data, size))) {
        (void)rh_fail(reason, RH_ERR_INVALID,
                      "a topic is a key: 1 to %d bytes of UTF-8 without control characters, "
                      "percent-encoded",
                      RH_KEY_SIZE_MAX);
        return RH_PROBLEM_BAD_KEY;
    }
    route->topic_size = size;
    if (rh_bytes_equal(rh_route_topic(route), rh_route_key(route))) {
        (void)rh_fail(reason, RH_ERR_INVALID, "a channel cannot follow itself");
        return RH_PROBLEM_BAD_KEY;
    }
    return RH_PROBLEM_NONE;
}

/* A number parameter; on failure the reason names it. */
static enum rh_problem get_number(enum name name, struct rh_bytes value, uint64_t min, uint64_t max,
                                  uint64_t *ret_number, struct rh_reason *reason)
{
    uint64_t number;
    if (rh_bytes_to_u64(value, max, &number) != 0 || number < min) {
        (void)rh_fail(reason, RH_ERR_INVALID, "%s must be a number from %llu to %llu", names[name],
                      (unsigned long long)min, (unsigned long long)max);
        return RH_PROBLEM_BAD_QUERY;
    }
    *ret_number = number;
    return RH_PROBLEM_NONE;
}

static enum rh_problem set_after(struct rh_bytes value, struct rh_route *route,
                                 struct rh_reason *reason)
{
    char text[RH_POSITION_TEXT_SIZE];
    size_t size;
    if (rh_percent_decode(value, true, text, sizeof(text), &size) != 0 ||
        rh_position_parse(rh_bytes(text, size), &route->after) != 0) {
        (void)rh_fail(reason, RH_ERR_INVALID,
                      "after must be 0 or incarnation:seq, 16 hex digits and a number");
        return RH_PROBLEM_BAD_POSITION;
    }
    route->has_after = true;
    return RH_PROBLEM_NONE;
}

static enum rh_problem set_way(struct rh_bytes value, struct rh_route *route,
                               struct rh_reason *reason)
{
    route->relay = rh_bytes_equal_text(value, "relay");
    route->redirect = rh_bytes_equal_text(value, "redirect");
    if (!route->relay && !route->redirect) {
        (void)rh_fail(reason, RH_ERR_INVALID, "route can be relay or redirect");
        return RH_PROBLEM_BAD_QUERY;
    }
    return RH_PROBLEM_NONE;
}

const char *rh_route_watch_text(uint8_t watch)
{
    static const char *const texts[] = {"", "state", "presence", "state,presence"};
    return texts[watch & (RH_ROUTE_WATCH_STATE | RH_ROUTE_WATCH_PRESENCE)];
}

static uint8_t watch_bit(struct rh_bytes word)
{
    if (rh_bytes_equal_text(word, "state")) {
        return RH_ROUTE_WATCH_STATE;
    }
    return rh_bytes_equal_text(word, "presence") ? RH_ROUTE_WATCH_PRESENCE : 0;
}

/* A list of words with commas between them, each at most once. */
static enum rh_problem set_watch(struct rh_bytes value, struct rh_route *route,
                                 struct rh_reason *reason)
{
    char text[32];
    size_t size = 0;
    int rv = rh_percent_decode(value, true, text, sizeof(text), &size);
    for (size_t at = 0; rv == 0 && at <= size;) {
        const char *comma = memchr(text + at, ',', size - at);
        size_t end = comma == NULL ? size : (size_t)(comma - text);
        uint8_t bit = watch_bit(rh_bytes(text + at, end - at));
        rv = bit == 0 || (route->watch & bit) != 0 ? RH_ERR_INVALID : 0;
        route->watch |= bit;
        at = end + 1;
    }
    if (rv != 0) {
        (void)rh_fail(reason, RH_ERR_INVALID, "watch is a list of state and presence");
        return RH_PROBLEM_BAD_QUERY;
    }
    return RH_PROBLEM_NONE;
}

/* What is passed on in URLs must be a valid query value of moderate size. */
static enum rh_problem set_text(enum name name, struct rh_bytes value, struct rh_bytes *ret_text,
                                struct rh_reason *reason)
{
    for (size_t i = 0; i < value.size; i++) {
        bool broken =
            value.data[i] == '%' && (value.size - i < 3 || hex_digit(value.data[i + 1]) < 0 ||
                                     hex_digit(value.data[i + 2]) < 0);
        if (broken || (!is_unreserved(value.data[i]) &&
                       memchr("%!$'()*+,;:@/?=", value.data[i], 15) == NULL)) {
            (void)rh_fail(reason, RH_ERR_INVALID, "%s is not percent-encoded", names[name]);
            return RH_PROBLEM_BAD_QUERY;
        }
    }
    *ret_text = value;
    return RH_PROBLEM_NONE;
}

static enum rh_problem set_parameter(enum name name, struct rh_bytes value, struct rh_route *route,
                                     struct rh_reason *reason)
{
    uint64_t number = 0;
    enum rh_problem problem;
    switch (name) {
    case NAME_AFTER:
        return set_after(value, route, reason);
    case NAME_LIMIT:
        problem = get_number(name, value, 1, RH_ROUTE_LIMIT_MAX, &number, reason);
        route->has_limit = true;
        route->limit = (uint32_t)number;
        return problem;
    case NAME_WAIT:
        problem = get_number(name, value, 0, RH_ROUTE_WAIT_S_MAX, &number, reason);
        route->has_wait = true;
        route->wait_s = (uint32_t)number;
        return problem;
    case NAME_HOPS:
        problem = get_number(name, value, 0, RH_ROUTE_HOPS_MAX, &number, reason);
        route->hops = (uint32_t)number;
        return problem;
    case NAME_EPOCH:
        route->has_epoch = true;
        return get_number(name, value, 0, INT64_MAX, &route->epoch, reason);
    case NAME_TICKET:
        return set_text(name, value, &route->ticket, reason);
    case NAME_TOKEN:
        return set_text(name, value, &route->token, reason);
    case NAME_CLIENT:
        return set_text(name, value, &route->client, reason);
    case NAME_META:
        return set_text(name, value, &route->meta, reason);
    case NAME_ROUTE:
        return set_way(value, route, reason);
    case NAME_WATCH:
        return set_watch(value, route, reason);
    case NAME_KEY:
    case NAMES_COUNT:
    default:
        return set_key(value, true, route, reason);
    }
}

/* Cuts the next `name=value` off |query|; false at the end. */
static bool next_parameter(struct rh_bytes *query, struct rh_bytes *ret_name,
                           struct rh_bytes *ret_value)
{
    if (query->size == 0) {
        return false;
    }
    const char *end = memchr(query->data, '&', query->size);
    size_t size = end == NULL ? query->size : (size_t)(end - query->data);
    const char *equals = memchr(query->data, '=', size);
    size_t name_size = equals == NULL ? size : (size_t)(equals - query->data);
    *ret_name = rh_bytes(query->data, name_size);
    *ret_value = equals == NULL ? rh_bytes(NULL, 0) : rh_bytes(equals + 1, size - name_size - 1);
    size_t used = end == NULL ? size : size + 1;
    *query = rh_bytes(query->data + used, query->size - used);
    return true;
}

/* |names_count| says how many of the list are known here: `key` is one of where's alone. */
static enum rh_problem parse_query(struct rh_bytes query, unsigned names_count,
                                   struct rh_route *route, struct rh_reason *reason)
{
    unsigned seen = 0;
    struct rh_bytes name;
    struct rh_bytes value;
    while (next_parameter(&query, &name, &value)) {
        unsigned i = 0;
        while (i < names_count && !rh_bytes_equal_text(name, names[i])) {
            i++;
        }
        if (i == names_count) {
            continue;
        }
        if ((seen & 1U << i) != 0) {
            (void)rh_fail(reason, RH_ERR_INVALID, "%s is given twice", names[i]);
            return RH_PROBLEM_BAD_QUERY;
        }
        seen |= 1U << i;
        enum rh_problem problem = set_parameter((enum name)i, value, route, reason);
        if (problem != RH_PROBLEM_NONE) {
            return problem;
        }
    }
    return RH_PROBLEM_NONE;
}

int rh_route_client(const struct rh_route *route, struct rh_route_client *ret_client,
                    struct rh_reason *reason)
{
    char *out = ret_client->data;
    size_t size = 0;
    ret_client->client = rh_bytes(NULL, 0);
    ret_client->meta = rh_bytes(NULL, 0);
    if (route->client.size == 0) {
        return route->meta.size == 0
                   ? 0
                   : rh_fail(reason, RH_ERR_INVALID, "meta needs a client whose it is");
    }
    if (rh_percent_decode(route->client, true, out, RH_CLIENT_ID_SIZE_MAX, &size) != 0 ||
        !rh_client_id_valid(rh_bytes(out, size))) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "client must be 1 to %d bytes of UTF-8 without control characters",
                       RH_CLIENT_ID_SIZE_MAX);
    }
    ret_client->client = rh_bytes(out, size);
    if (route->meta.size == 0) {
        return 0;
    }
    out += size;
    struct rh_json_value value;
    if (rh_percent_decode(route->meta, true, out, RH_CLIENT_META_SIZE_MAX, &size) != 0 ||
        rh_json_check(rh_bytes(out, size), META_DEPTH_MAX, &value, NULL) != 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "meta must be JSON of at most %d bytes, nested at most %d deep",
                       RH_CLIENT_META_SIZE_MAX, META_DEPTH_MAX);
    }
    ret_client->meta = value.raw;
    return 0;
}

/* ---- Path ---- */

/* Takes |prefix| off the front of |path|. */
static bool skip(struct rh_bytes *path, const char *prefix)
{
    size_t size = strlen(prefix);
    if (path->size < size || memcmp(path->data, prefix, size) != 0) {
        return false;
    }
    *path = rh_bytes(path->data + size, path->size - size);
    return true;
}

/* Which endpoint the path names, and the segments that hold the key (of a channel) and the topic. */
static bool find_endpoint(struct rh_bytes path, enum endpoint *ret_endpoint,
                          struct rh_bytes *ret_key, struct rh_bytes *ret_topic)
{
    if (rh_bytes_equal_text(path, "/v1/where")) {
        *ret_endpoint = ENDPOINT_WHERE;
        return true;
    }
    if (rh_bytes_equal_text(path, "/v1/ring")) {
        *ret_endpoint = ENDPOINT_RING;
        return true;
    }
    if (!skip(&path, "/v1/channels/")) {
        return false;
    }
    const char *slash = path.size == 0 ? NULL : memchr(path.data, '/', path.size);
    if (slash == NULL) {
        *ret_endpoint = ENDPOINT_CHANNEL;
        *ret_key = path;
        return true;
    }
    size_t key_size = (size_t)(slash - path.data);
    struct rh_bytes rest = rh_bytes(slash + 1, path.size - key_size - 1);
    for (size_t i = 0; i < sizeof(channel_endpoints) / sizeof(channel_endpoints[0]); i++) {
        if (rh_bytes_equal_text(rest, channel_endpoints[i].name)) {
            *ret_endpoint = channel_endpoints[i].endpoint;
            *ret_key = rh_bytes(path.data, key_size);
            return true;
        }
    }
    *ret_endpoint = ENDPOINT_FOLLOW;
    *ret_key = rh_bytes(path.data, key_size);
    bool is_follow = skip(&rest, "follows/");
    *ret_topic = rest;
    return is_follow && (rest.size == 0 || memchr(rest.data, '/', rest.size) == NULL);
}

static bool find_kind(enum endpoint endpoint, enum rh_http_method method,
                      enum rh_route_kind *ret_kind)
{
    if (method == RH_HTTP_OPTIONS) {
        *ret_kind = RH_ROUTE_PREFLIGHT;
        return true;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (methods[i].endpoint == endpoint && methods[i].method == method) {
            *ret_kind = methods[i].kind;
            return true;
        }
    }
    return false;
}

/* All but the key, which is written only where there is one: a route is not small. */
static void init_route(struct rh_route *route)
{
    memset(route, 0, offsetof(struct rh_route, key_data));
    route->limit = RH_ROUTE_LIMIT_DEFAULT;
}

enum rh_problem rh_route_parse(const struct rh_http_request *request, struct rh_route *ret_route,
                               struct rh_reason *reason)
{
    enum endpoint endpoint;
    struct rh_bytes key = rh_bytes(NULL, 0);
    struct rh_bytes topic = rh_bytes(NULL, 0);
    init_route(ret_route);
    if (rh_bytes_equal_text(request->path, "*")) {
        ret_route->kind = RH_ROUTE_PREFLIGHT;
        ret_route->allow = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
        return RH_PROBLEM_NONE;
    }
    if (!find_endpoint(request->path, &endpoint, &key, &topic)) {
        (void)rh_fail(reason, RH_ERR_NOT_FOUND, "there is nothing at this path");
        return RH_PROBLEM_NOT_FOUND;
    }
    ret_route->allow = allow_of(endpoint);
    if (!find_kind(endpoint, request->method, &ret_route->kind)) {
        (void)rh_fail(reason, RH_ERR_INVALID, "this path has %s only", ret_route->allow);
        return RH_PROBLEM_METHOD_NOT_ALLOWED;
    }
    if (ret_route->kind == RH_ROUTE_PREFLIGHT) {
        return RH_PROBLEM_NONE;
    }
    if (endpoint != ENDPOINT_WHERE && endpoint != ENDPOINT_RING) {
        enum rh_problem problem = set_key(key, false, ret_route, reason);
        if (problem == RH_PROBLEM_NONE && endpoint == ENDPOINT_FOLLOW) {
            problem = set_topic(topic, ret_route, reason);
        }
        if (problem != RH_PROBLEM_NONE) {
            return problem;
        }
    }
    unsigned names_count = endpoint == ENDPOINT_WHERE ? NAMES_COUNT : NAME_KEY;
    enum rh_problem problem = parse_query(request->query, names_count, ret_route, reason);
    if (problem != RH_PROBLEM_NONE) {
        return problem;
    }
    if (endpoint == ENDPOINT_WHERE && ret_route->key_size == 0) {
        (void)rh_fail(reason, RH_ERR_INVALID, "the parameter key is missing");
        return RH_PROBLEM_BAD_KEY;
    }
    return RH_PROBLEM_NONE;
}
