/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "router/client_json.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What is asked once and answered once: where, ring, channel and publish over HTTP. The last two may
 * have to wait for another node: until the core answers they are in a table, by number, together
 * with the publishes of WebSockets.
 */

#define JSON          "application/json"
#define RETRY_AFTER_S "1"

/* ---- the table ---- */

static struct rh_daemon_request *request_of(struct rh_table_link *link)
{
    return (struct rh_daemon_request *)((uintptr_t)link -
                                        offsetof(struct rh_daemon_request, table_link));
}

static bool number_equal(const struct rh_table_link *link, const void *key)
{
    const uint64_t *number = key;
    return link->hash == *number;
}

struct rh_daemon_request *rh_daemon_request_find(const struct rh_daemon *daemon, uint64_t number)
{
    struct rh_table_link *link = rh_table_find(&daemon->requests, number, number_equal, &number);
    return link == NULL ? NULL : request_of(link);
}

struct rh_daemon_request *rh_daemon_request_create(struct rh_daemon *daemon, struct rh_bytes text)
{
    struct rh_daemon_request *request = malloc(sizeof(*request) + text.size);
    if (request == NULL) {
        return NULL;
    }
    *request = (struct rh_daemon_request){
        .holder = RH_DAEMON_HOLDER_REQUEST,
        .number = ++daemon->request_number,
        .text_size = (uint32_t)text.size,
    };
    rh_list_init(&request->link);
    if (text.size > 0) {
        memcpy(request->text, text.data, text.size);
    }
    rh_table_insert(&daemon->requests, &request->table_link, request->number);
    return request;
}

void rh_daemon_request_destroy(struct rh_daemon *daemon, struct rh_daemon_request *request)
{
    rh_list_remove(&request->link);
    rh_table_remove(&daemon->requests, &request->table_link);
    if (request->client != NULL) {
        request->client->requests_count--;
    }
    free(request);
}

void rh_daemon_requests_finish(struct rh_daemon *daemon)
{
    for (struct rh_table_link *link = rh_table_next(&daemon->requests, NULL); link != NULL;) {
        struct rh_table_link *next = rh_table_next(&daemon->requests, link);
        free(request_of(link));
        link = next;
    }
    rh_table_finish(&daemon->requests);
    free(daemon->ring_body);
}

/* ---- answers ---- */

enum rh_problem rh_daemon_problem(enum rh_refusal refusal)
{
    switch (refusal) {
    case RH_REFUSAL_NOT_READY:
        return RH_PROBLEM_NOT_READY;
    case RH_REFUSAL_NO_OWNER:
        return RH_PROBLEM_NO_OWNER;
    case RH_REFUSAL_TOO_LARGE:
        return RH_PROBLEM_TOO_LARGE;
    case RH_REFUSAL_CHANNELS_FULL:
    case RH_REFUSAL_PRESENCE_FULL:
    case RH_REFUSAL_OVERLOADED:
    case RH_REFUSAL_MEMBER_FULL:
        return RH_PROBLEM_LIMIT_REACHED;
    case RH_REFUSAL_NO_MEMORY:
        return RH_PROBLEM_NO_MEMORY;
    case RH_REFUSAL_FOLLOWS_FULL:
        return RH_PROBLEM_CONFLICT;
    case RH_REFUSAL_UNKNOWN:
        return RH_PROBLEM_UNKNOWN_OUTCOME;
    case RH_REFUSAL_UNREACHABLE:
        return RH_PROBLEM_OWNER_UNREACHABLE;
    case RH_REFUSAL_NONE:
    case RH_REFUSAL_TOO_SLOW:
        break;
    }
    return RH_PROBLEM_INTERNAL;
}

void rh_daemon_respond_problem(struct rh_http_connection *connection, enum rh_problem problem,
                               const char *detail)
{
    const struct rh_http_header retry = {.name = "Retry-After",
                                         .value = rh_bytes_text(RETRY_AFTER_S)};
    unsigned status = rh_problem_status(problem);
    rh_http_connection_respond_problem(connection, problem, detail,
                                       status == 503 || status == 504 ? &retry : NULL);
}

void rh_daemon_respond_refusal(struct rh_http_connection *connection, enum rh_refusal refusal)
{
    rh_daemon_respond_problem(connection, rh_daemon_problem(refusal), rh_refusal_text(refusal));
}

static void respond_json(struct rh_http_connection *connection, unsigned status,
                         struct rh_bytes body)
{
    const struct rh_http_response response = {.status = status, .content_type = JSON, .body = body};
    rh_http_connection_respond(connection, &response);
}

/* Answers with what an encoder left in `scratch`, if it could. */
void rh_daemon_respond_unless(struct rh_http_connection *connection,
                              struct rh_http_response *response, bool has_it)
{
    if (has_it) {
        response->status = 304;
        response->content_type = NULL;
        response->headers_count = 1;
        response->body = rh_bytes(NULL, 0);
    }
    rh_http_connection_respond(connection, response);
}

void rh_daemon_respond_scratch(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               unsigned status, int rv)
{
    if (rv != 0) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
    } else {
        respond_json(connection, status, rh_buffer_content(&daemon->scratch));
    }
    rh_buffer_clear(&daemon->scratch);
}

struct rh_daemon_request *rh_daemon_request_begin(struct rh_daemon *daemon,
                                                  struct rh_http_connection *connection,
                                                  struct rh_bytes text)
{
    struct rh_daemon_request *request = rh_daemon_request_create(daemon, text);
    if (request == NULL) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return NULL;
    }
    request->connection = connection;
    rh_http_connection_set_data(connection, request);
    return request;
}

/* ---- where, ring, channel ---- */

/* Appends one of the URLs of `where` with its terminator; its place is returned as an offset,
 * because the buffer may move. */
static int where_url(struct rh_daemon *daemon, const struct rh_route *route, const char *node_url,
                     const char *endpoint, enum rh_url_scheme scheme, size_t *ret_offset)
{
    const struct rh_url url = {
        .scheme = scheme, .node_url = node_url, .key = rh_route_key(route), .endpoint = endpoint};
    *ret_offset = rh_buffer_size(&daemon->url);
    int rv = rh_url_build(&url, &daemon->url);
    if (rv == 0) {
        rv = rh_buffer_append(&daemon->url, "", 1);
    }
    return rv;
}

static int encode_where(struct rh_daemon *daemon, const struct rh_route *route,
                        const struct rh_registration *owner, int64_t epoch)
{
    size_t ws;
    size_t events;
    size_t messages;
    rh_buffer_clear(&daemon->url);
    int rv = where_url(daemon, route, owner->url, "ws", RH_URL_WS, &ws);
    if (rv == 0) {
        rv = where_url(daemon, route, owner->url, "events", RH_URL_HTTP, &events);
    }
    if (rv == 0) {
        rv = where_url(daemon, route, owner->url, "messages", RH_URL_HTTP, &messages);
    }
    if (rv != 0) {
        return rv;
    }
    const char *urls = rh_buffer_content(&daemon->url).data;
    const struct rh_client_where where = {
        .key = rh_route_key(route),
        .node = owner->id,
        .epoch = epoch,
        .ws = urls + ws,
        .events = urls + events,
        .messages = urls + messages,
    };
    return rh_client_json_where(&daemon->scratch, &where);
}

void rh_daemon_requests_where(struct rh_daemon *daemon, struct rh_http_connection *connection,
                              const struct rh_route *route)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL) {
        rh_daemon_respond_refusal(connection, RH_REFUSAL_NOT_READY);
        return;
    }
    uint64_t hash = rh_ring_hash(view->ring, route->key_data, route->key_size);
    uint32_t owner = rh_ring_owner(view->ring, hash);
    if (owner == RH_RING_NONE) {
        rh_daemon_respond_refusal(connection, RH_REFUSAL_NO_OWNER);
        return;
    }
    int rv = encode_where(daemon, route, &view->members[owner], view->epoch.pzxid);
    rh_daemon_respond_scratch(daemon, connection, 200, rv);
}

/* "ws://h:p" as "http://h:p", "wss://" as "https://". */
static void http_url(const char *node_url, char out[static RH_URL_SIZE + 2])
{
    (void)snprintf(out, RH_URL_SIZE + 2, "http%s", node_url + strlen("ws"));
}

struct ring_urls {
    char text[RH_URL_SIZE + 2];
};

static int encode_ring(struct rh_daemon *daemon, const struct rh_view *view,
                       struct rh_client_ring_member *members, struct ring_urls *urls)
{
    for (size_t i = 0; i < view->members_count; i++) {
        http_url(view->members[i].url, urls[i].text);
        members[i] = (struct rh_client_ring_member){
            .node = view->members[i].id,
            .instance = view->members[i].instance,
            .weight_milli = view->members[i].weight_milli,
            .zone = view->members[i].zone,
            .share = rh_ring_share(view->ring, (uint32_t)i),
            .url = urls[i].text,
        };
    }
    const struct rh_client_ring ring = {
        .cluster = daemon->config->cluster,
        .generation = view->epoch.generation,
        .epoch = view->epoch.pzxid,
        .digest = rh_ring_digest(view->ring),
        .vnodes = view->config.vnodes,
        .replicas = view->config.replicas,
        .members = members,
        .members_count = view->members_count,
    };
    return rh_client_json_ring(&daemon->scratch, &ring);
}

void rh_daemon_requests_view(struct rh_daemon *daemon)
{
    free(daemon->ring_body);
    daemon->ring_body = NULL;
}

void rh_daemon_requests_ring(struct rh_daemon *daemon, struct rh_http_connection *connection)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL) {
        rh_daemon_respond_refusal(connection, RH_REFUSAL_NOT_READY);
        return;
    }
    if (daemon->ring_body == NULL) {
        struct rh_client_ring_member *members = calloc(view->members_count + 1, sizeof(*members));
        struct ring_urls *urls = calloc(view->members_count + 1, sizeof(*urls));
        bool memory = members != NULL && urls != NULL;
        int rv = memory ? encode_ring(daemon, view, members, urls) : RH_ERR_NO_MEMORY;
        free(urls);
        free(members);
        if (rv == 0) {
            daemon->ring_body_size = rh_buffer_size(&daemon->scratch);
            daemon->ring_body = rh_buffer_take_text(&daemon->scratch);
        }
        rh_buffer_clear(&daemon->scratch);
    }
    if (daemon->ring_body == NULL) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    respond_json(connection, 200, rh_bytes(daemon->ring_body, daemon->ring_body_size));
}

void rh_daemon_requests_channel(struct rh_daemon *daemon, struct rh_http_connection *connection,
                                const struct rh_route *route)
{
    struct rh_daemon_request *request =
        rh_daemon_request_begin(daemon, connection, rh_route_key(route));
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_INSPECT,
        .inspect = {.request = request->number, .key = rh_route_key(route)},
    };
    rh_daemon_step(daemon, &event);
}

static int encode_channel(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                          const struct rh_action *action)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    const struct rh_channel_info *info = &action->inspected.info;
    uint32_t list[RH_RING_REPLICAS_MAX];
    const char *names[RH_RING_REPLICAS_MAX];
    size_t count =
        rh_ring_preference(view->ring, action->inspected.hash, view->config.replicas, list);
    for (size_t i = 0; i < count; i++) {
        names[i] = view->members[list[i]].id;
    }
    const struct rh_client_channel channel = {
        .key = rh_bytes(request->text, request->text_size),
        .epoch = view->epoch.pzxid,
        .owner = count > 0 ? names[0] : NULL,
        .replicas = names + 1,
        .replicas_count = count > 0 ? count - 1 : 0,
        .incarnation = info->incarnation,
        .first_seq = info->first_seq,
        .last_seq = info->last_seq,
        .connections = info->connections,
    };
    return rh_client_json_channel(&daemon->scratch, &channel);
}

void rh_daemon_requests_inspected(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->inspected.request);
    if (request == NULL) {
        return;
    }
    if (action->inspected.refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_refusal(request->connection, action->inspected.refusal);
    } else {
        int rv = encode_channel(daemon, request, action);
        rh_daemon_respond_scratch(daemon, request->connection, 200, rv);
    }
    rh_daemon_request_destroy(daemon, request);
}

/* ---- publish ---- */

static enum rh_problem client_problem(enum rh_client_error_code code)
{
    switch (code) {
    case RH_CLIENT_BAD_MESSAGE:
        return RH_PROBLEM_BAD_MESSAGE;
    case RH_CLIENT_BAD_MESSAGE_ID:
        return RH_PROBLEM_BAD_MESSAGE_ID;
    case RH_CLIENT_BAD_PAYLOAD:
        return RH_PROBLEM_BAD_PAYLOAD;
    case RH_CLIENT_BAD_CONDITION:
        return RH_PROBLEM_BAD_CONDITION;
    case RH_CLIENT_BAD_CONTENT_TYPE:
        return RH_PROBLEM_BAD_CONTENT_TYPE;
    case RH_CLIENT_TOO_LARGE:
        return RH_PROBLEM_TOO_LARGE;
    }
    return RH_PROBLEM_BAD_REQUEST;
}

void rh_daemon_requests_publish(struct rh_daemon *daemon, struct rh_http_connection *connection,
                                const struct rh_http_request *http, const struct rh_route *route)
{
    struct rh_bytes id = rh_http_request_field(http, "idempotency-key");
    struct rh_bytes type = rh_http_request_field(http, "content-type");
    struct rh_payload payload;
    struct rh_client_error error;
    if (id.data != NULL && !rh_message_id_valid(id)) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_BAD_MESSAGE_ID,
                                  "Idempotency-Key must be 1 to 128 printable ASCII characters");
        return;
    }
    int rv = rh_client_payload_from_body(type, http->body, daemon->config->limits.message_bytes,
                                         &payload, &error);
    if (rv != 0) {
        rh_daemon_respond_problem(connection, client_problem(error.code), error.reason.text);
        return;
    }
    struct rh_daemon_request *request =
        rh_daemon_request_begin(daemon, connection, rh_bytes(NULL, 0));
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request->number,
                    .key = rh_route_key(route),
                    .id = id,
                    .payload = payload},
    };
    rh_daemon_step(daemon, &event);
}

void rh_daemon_requests_drop(struct rh_daemon *daemon, uint64_t number)
{
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, number);
    if (request != NULL) {
        rh_http_connection_abort(request->connection);
        rh_daemon_request_destroy(daemon, request);
    }
}

void rh_daemon_requests_published(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_publish_result *result = &action->published.result;
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->published.request);
    if (request == NULL) {
        return;
    }
    if (request->client != NULL) {
        rh_daemon_stream_published(daemon, request, result);
    } else if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_refusal(request->connection, result->refusal);
    } else {
        const struct rh_client_published published = {
            .seq = result->seq,
            .incarnation = result->incarnation,
            .node = result->node,
            .connections = result->connections,
            .duplicate = result->duplicate,
        };
        int rv = rh_client_json_published(&daemon->scratch, &published);
        rh_daemon_respond_scratch(daemon, request->connection, 201, rv);
    }
    rh_daemon_request_destroy(daemon, request);
}
