/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "router/client_json.h"

#include <assert.h>
#include <stdlib.h>

#define JSON               "application/json"
#define RETRY_AFTER_S      "1"
#define CLOSE_TIMEOUT_MS   5000U
#define STOPPING_TEXT      "the node is shutting down"
#define TARGET_BYTES_MAX   8192U /* a key of 512 bytes, wholly escaped, and a query */
#define PASSED_ON_SIZE_MAX 4096U /* ticket, token and client together */

/* ---- requests ---- */

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

static struct rh_daemon_request *request_find(const struct rh_daemon *daemon, uint64_t number)
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

/* ---- clients ---- */

static char *put(char *out, struct rh_bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(out, bytes.data, bytes.size);
    }
    return out + bytes.size;
}

static size_t passed_on_size(const struct rh_route *route)
{
    return route->ticket.size + route->token.size + route->client.size;
}

static struct rh_daemon_client *client_create(struct rh_daemon *daemon,
                                              struct rh_http_connection *connection,
                                              const struct rh_http_request *request,
                                              const struct rh_route *route)
{
    struct rh_daemon_client *client =
        calloc(1, sizeof(*client) + route->key_size + passed_on_size(route));
    if (client == NULL) {
        return NULL;
    }
    client->holder = RH_DAEMON_HOLDER_CLIENT;
    client->connection = connection;
    client->has_user_agent = rh_http_request_field(request, "user-agent").data != NULL;
    client->has_limit = route->has_limit;
    client->has_wait = route->has_wait;
    client->key_size = (uint16_t)route->key_size;
    client->ticket_size = (uint16_t)route->ticket.size;
    client->token_size = (uint16_t)route->token.size;
    client->client_size = (uint16_t)route->client.size;
    char *out = put(client->data, rh_route_key(route));
    out = put(out, route->ticket);
    out = put(out, route->token);
    (void)put(out, route->client);
    rh_list_init(&client->linger);
    rh_list_init(&client->hungry);
    rh_list_init(&client->requests);
    rh_subscription_init(&client->subscription);
    rh_list_push_back(&daemon->clients, &client->link);
    daemon->clients_count++;
    rh_http_connection_set_data(connection, client);
    return client;
}

void rh_daemon_client_destroy(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    assert(client->subscription.state == RH_SUBSCRIPTION_FREE);
    rh_list_each_safe (&client->requests, link) {
        rh_daemon_request_destroy(daemon, rh_container_of(link, struct rh_daemon_request, link));
    }
    if (!rh_list_empty(&client->linger)) {
        daemon->lingering_count--;
    }
    rh_list_remove(&client->linger);
    rh_list_remove(&client->hungry);
    rh_list_remove(&client->link);
    daemon->clients_count--;
    free(client);
}

static struct rh_daemon_client *client_of(struct rh_subscription *subscription)
{
    return rh_container_of(subscription, struct rh_daemon_client, subscription);
}

/* The route of a client again, as far as a redirect needs it. */
static void client_route(const struct rh_daemon_client *client, struct rh_route *route)
{
    const struct rh_subscription *subscription = &client->subscription;
    const char *passed_on = client->data + client->key_size;
    *route = (struct rh_route){
        .kind = client->is_read ? RH_ROUTE_MESSAGES_GET : RH_ROUTE_WEBSOCKET,
        .key_size = client->key_size,
        .has_after = subscription->has_after,
        .after = subscription->after,
        .has_limit = client->has_limit,
        .limit = subscription->limit,
        .has_wait = client->has_wait,
        .wait_s = subscription->wait_ms / 1000,
        .has_epoch = subscription->hop.has_epoch,
        .epoch = (uint64_t)subscription->hop.epoch,
        .hops = subscription->hop.hops,
        .ticket = rh_bytes(passed_on, client->ticket_size),
        .token = rh_bytes(passed_on + client->ticket_size, client->token_size),
        .client =
            rh_bytes(passed_on + client->ticket_size + client->token_size, client->client_size),
    };
    memcpy(route->key_data, client->data, client->key_size);
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
    case RH_REFUSAL_OVERLOADED:
        return RH_PROBLEM_LIMIT_REACHED;
    case RH_REFUSAL_NO_MEMORY:
        return RH_PROBLEM_NO_MEMORY;
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

static void respond_problem(struct rh_http_connection *connection, enum rh_problem problem,
                            const char *detail)
{
    const struct rh_http_header retry = {.name = "Retry-After",
                                         .value = rh_bytes_text(RETRY_AFTER_S)};
    unsigned status = rh_problem_status(problem);
    rh_http_connection_respond_problem(connection, problem, detail,
                                       status == 503 || status == 504 ? &retry : NULL);
}

static void respond_refusal(struct rh_http_connection *connection, enum rh_refusal refusal)
{
    respond_problem(connection, rh_daemon_problem(refusal), rh_refusal_text(refusal));
}

static void respond_json(struct rh_http_connection *connection, unsigned status,
                         struct rh_bytes body)
{
    const struct rh_http_response response = {.status = status, .content_type = JSON, .body = body};
    rh_http_connection_respond(connection, &response);
}

/* Answers with what an encoder left in `scratch`, if it could. */
static void respond_scratch(struct rh_daemon *daemon, struct rh_http_connection *connection,
                            unsigned status, int rv)
{
    if (rv != 0) {
        respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
    } else {
        respond_json(connection, status, rh_buffer_content(&daemon->scratch));
    }
    rh_buffer_clear(&daemon->scratch);
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

static void serve_where(struct rh_daemon *daemon, struct rh_http_connection *connection,
                        const struct rh_route *route)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL) {
        respond_refusal(connection, RH_REFUSAL_NOT_READY);
        return;
    }
    uint64_t hash = rh_ring_hash(view->ring, route->key_data, route->key_size);
    uint32_t owner = rh_ring_owner(view->ring, hash);
    if (owner == RH_RING_NONE) {
        respond_refusal(connection, RH_REFUSAL_NO_OWNER);
        return;
    }
    int rv = encode_where(daemon, route, &view->members[owner], view->epoch.pzxid);
    respond_scratch(daemon, connection, 200, rv);
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

void rh_daemon_clients_view(struct rh_daemon *daemon)
{
    free(daemon->ring_body);
    daemon->ring_body = NULL;
}

static void serve_ring(struct rh_daemon *daemon, struct rh_http_connection *connection)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL) {
        respond_refusal(connection, RH_REFUSAL_NOT_READY);
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
        respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    respond_json(connection, 200, rh_bytes(daemon->ring_body, daemon->ring_body_size));
}

static void serve_channel(struct rh_daemon *daemon, struct rh_http_connection *connection,
                          const struct rh_route *route)
{
    struct rh_daemon_request *request = rh_daemon_request_create(daemon, rh_route_key(route));
    if (request == NULL) {
        respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    request->is_inspect = true;
    request->connection = connection;
    rh_http_connection_set_data(connection, request);
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

static void on_inspected(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_request *request = request_find(daemon, action->inspected.request);
    if (request == NULL) {
        return;
    }
    if (action->inspected.refusal != RH_REFUSAL_NONE) {
        respond_refusal(request->connection, action->inspected.refusal);
    } else {
        int rv = encode_channel(daemon, request, action);
        respond_scratch(daemon, request->connection, 200, rv);
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
    case RH_CLIENT_TOO_LARGE:
        return RH_PROBLEM_TOO_LARGE;
    }
    return RH_PROBLEM_BAD_REQUEST;
}

static void serve_publish(struct rh_daemon *daemon, struct rh_http_connection *connection,
                          const struct rh_http_request *http, const struct rh_route *route)
{
    struct rh_bytes id = rh_http_request_field(http, "idempotency-key");
    struct rh_bytes type = rh_http_request_field(http, "content-type");
    struct rh_payload payload;
    struct rh_client_error error;
    if (id.data != NULL && !rh_message_id_valid(id)) {
        respond_problem(connection, RH_PROBLEM_BAD_MESSAGE_ID,
                        "Idempotency-Key must be 1 to 128 printable ASCII characters");
        return;
    }
    int rv = rh_client_payload_from_body(type, http->body, daemon->config->limits.message_bytes,
                                         &payload, &error);
    if (rv != 0) {
        respond_problem(connection, client_problem(error.code), error.reason.text);
        return;
    }
    struct rh_daemon_request *request = rh_daemon_request_create(daemon, rh_bytes(NULL, 0));
    if (request == NULL) {
        respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    request->connection = connection;
    rh_http_connection_set_data(connection, request);
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request->number,
                    .key = rh_route_key(route),
                    .id = id,
                    .payload = payload},
    };
    rh_daemon_step(daemon, &event);
}

static void on_published(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_publish_result *result = &action->published.result;
    struct rh_daemon_request *request = request_find(daemon, action->published.request);
    if (request == NULL) {
        return;
    }
    if (request->client != NULL) {
        rh_daemon_stream_published(daemon, request, result);
    } else if (result->refusal != RH_REFUSAL_NONE) {
        respond_refusal(request->connection, result->refusal);
    } else {
        const struct rh_client_published published = {
            .seq = result->seq,
            .incarnation = result->incarnation,
            .node = result->node,
            .connections = result->connections,
            .duplicate = result->duplicate,
        };
        int rv = rh_client_json_published(&daemon->scratch, &published);
        respond_scratch(daemon, request->connection, 201, rv);
    }
    rh_daemon_request_destroy(daemon, request);
}

/* ---- streams and reads ---- */

static void begin(struct rh_daemon *daemon, struct rh_http_connection *connection,
                  const struct rh_http_request *request, const struct rh_route *route,
                  const struct rh_handshake *handshake)
{
    if (rh_daemon_is_closing(daemon)) {
        respond_problem(connection, RH_PROBLEM_SHUTTING_DOWN, STOPPING_TEXT);
        return;
    }
    if (passed_on_size(route) > PASSED_ON_SIZE_MAX) {
        respond_problem(connection, RH_PROBLEM_TARGET_TOO_LONG,
                        "ticket, token and client are more than 4096 bytes together");
        return;
    }
    struct rh_daemon_client *client = client_create(daemon, connection, request, route);
    if (client == NULL) {
        respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    client->is_read = route->kind == RH_ROUTE_MESSAGES_GET;
    client->offers_ringhop =
        handshake != NULL && handshake->protocol == RH_HANDSHAKE_PROTOCOL_JSON_V1;
    struct rh_event event = {
        .kind = client->is_read ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &client->subscription,
                      .key = rh_daemon_client_key(client),
                      .has_after = route->has_after,
                      .after = route->after,
                      .hop = {.hops = route->hops,
                              .has_epoch = route->has_epoch,
                              .epoch =
                                  route->epoch > INT64_MAX ? INT64_MAX : (int64_t)route->epoch},
                      .limit = route->limit,
                      .wait_ms = route->wait_s * 1000},
    };
    rh_daemon_step(daemon, &event);
}

void rh_daemon_entry_message(const struct rh_entry *entry, struct rh_client_message *ret_message)
{
    *ret_message = (struct rh_client_message){
        .seq = entry->seq,
        .id = rh_entry_id(entry),
        .time_ms = (uint64_t)entry->time_ms,
        .payload = rh_entry_payload(entry),
    };
}

static int encode_read(struct rh_daemon *daemon, const struct rh_daemon_client *client,
                       const struct rh_action *action)
{
    struct rh_buffer *out = &daemon->scratch;
    int rv = rh_client_json_poll_begin(out, rh_daemon_client_key(client), action->read.incarnation,
                                       action->read.recovered);
    for (uint32_t i = 0; rv == 0 && i < action->read.count; i++) {
        struct rh_client_message message;
        rh_daemon_entry_message(action->read.entries[i], &message);
        rv = rh_client_json_poll_message(out, i == 0, &message);
    }
    return rv != 0 ? rv : rh_client_json_poll_end(out, action->read.position, action->read.more);
}

static void on_read_done(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = client_of(action->read.subscription);
    int rv = encode_read(daemon, client, action);
    respond_scratch(daemon, client->connection, 200, rv);
    rh_daemon_client_destroy(daemon, client);
}

static void respond_307(struct rh_daemon *daemon, struct rh_http_connection *connection,
                        const struct rh_registration *node)
{
    char epoch[24];
    (void)snprintf(epoch, sizeof(epoch), "%" PRId64, daemon->epoch.pzxid);
    const struct rh_http_header headers[] = {
        {.name = "Location", .value = rh_buffer_content(&daemon->url)},
        {.name = "Ringhop-Node", .value = rh_bytes_text(node->id)},
        {.name = "Ringhop-Epoch", .value = rh_bytes_text(epoch)},
    };
    const struct rh_http_response response = {
        .status = 307,
        .headers = headers,
        .headers_count = sizeof(headers) / sizeof(headers[0]),
    };
    rh_http_connection_respond(connection, &response);
}

static int decide_redirect(struct rh_daemon *daemon, const struct rh_daemon_client *client,
                           const struct rh_registration *node, enum rh_redirect *ret_redirect)
{
    struct rh_route route;
    client_route(client, &route);
    const struct rh_redirect_request request = {
        .route = &route,
        .websocket = !client->is_read,
        .offers_ringhop = client->offers_ringhop,
        .has_user_agent = client->has_user_agent,
    };
    const struct rh_redirect_target target = {
        .epoch = (uint64_t)daemon->epoch.pzxid,
        .epoch_age_ms = rh_clock_monotonic_ms() - rh_core_view_since_ms(daemon->core),
        .url = node->url,
    };
    rh_buffer_clear(&daemon->url);
    return rh_redirect_decide(&request, &target, ret_redirect, &daemon->url);
}

static void on_redirect(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = client_of(action->moved.subscription);
    const struct rh_registration *node = action->moved.node;
    enum rh_redirect redirect = RH_REDIRECT_LIMIT;
    int rv = decide_redirect(daemon, client, node, &redirect);
    if (rv == 0) {
        rv = rh_buffer_append(&daemon->url, "", 1); /* for those who want a string */
    }
    if (rv != 0) {
        respond_problem(client->connection, RH_PROBLEM_INTERNAL, rh_error_text(rv));
        rh_daemon_client_destroy(daemon, client);
        return;
    }
    switch (redirect) {
    case RH_REDIRECT_MOVED:
        rh_daemon_stream_turned_away(daemon, client, node, rh_buffer_content(&daemon->url).data);
        return;
    case RH_REDIRECT_307:
        rh_buffer_truncate(&daemon->url, rh_buffer_size(&daemon->url) - 1);
        respond_307(daemon, client->connection, node);
        break;
    case RH_REDIRECT_LIMIT:
    case RH_REDIRECT_CATCH_UP:
        respond_problem(client->connection, RH_PROBLEM_REDIRECT_LIMIT,
                        "redirected too often: the nodes do not agree on the owner yet");
        break;
    }
    rh_daemon_client_destroy(daemon, client);
}

static void on_refused(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = client_of(action->refused.subscription);
    if (client->accepted || client->offers_ringhop) {
        rh_daemon_stream_refused(daemon, client, action->refused.refusal);
        return;
    }
    respond_refusal(client->connection, action->refused.refusal);
    rh_daemon_client_destroy(daemon, client);
}

/* ---- the handler of the listener ---- */

static void on_problem(struct rh_http_connection *connection, enum rh_problem problem,
                       const struct rh_route *route, const struct rh_reason *reason)
{
    if (problem == RH_PROBLEM_METHOD_NOT_ALLOWED) {
        const struct rh_http_header allow = {.name = "Allow", .value = rh_bytes_text(route->allow)};
        rh_http_connection_respond_problem(connection, problem, reason->text, &allow);
        return;
    }
    respond_problem(connection, problem, reason->text);
}

static void respond_upgrade_required(struct rh_http_connection *connection)
{
    const struct rh_http_header upgrade = {.name = "Upgrade", .value = rh_bytes_text("websocket")};
    rh_http_connection_respond_problem(connection, RH_PROBLEM_UPGRADE_REQUIRED, NULL, &upgrade);
}

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request, const struct rh_handshake *handshake)
{
    struct rh_daemon *daemon = context;
    struct rh_route route;
    struct rh_reason reason = {{0}};
    enum rh_problem problem = rh_route_parse(request, &route, &reason);
    if (problem != RH_PROBLEM_NONE) {
        on_problem(connection, problem, &route, &reason);
        return;
    }
    switch (route.kind) {
    case RH_ROUTE_WHERE:
        serve_where(daemon, connection, &route);
        return;
    case RH_ROUTE_RING:
        serve_ring(daemon, connection);
        return;
    case RH_ROUTE_CHANNEL:
        serve_channel(daemon, connection, &route);
        return;
    case RH_ROUTE_WEBSOCKET:
        if (handshake == NULL) {
            respond_upgrade_required(connection);
            return;
        }
        begin(daemon, connection, request, &route, handshake);
        return;
    case RH_ROUTE_MESSAGES_GET:
        begin(daemon, connection, request, &route, NULL);
        return;
    case RH_ROUTE_MESSAGES_POST:
        serve_publish(daemon, connection, request, &route);
        return;
    case RH_ROUTE_PREFLIGHT:
        rh_http_connection_respond_preflight(connection, route.allow);
        return;
    case RH_ROUTE_EVENTS:
    case RH_ROUTE_STATE_GET:
    case RH_ROUTE_STATE_PUT:
    case RH_ROUTE_STATE_DELETE:
        respond_problem(connection, RH_PROBLEM_NOT_IMPLEMENTED,
                        "this version serves WebSocket, poll and long poll");
        return;
    }
    assert(false && "unknown route");
}

static void on_message(void *context, struct rh_http_connection *connection,
                       enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    rh_daemon_stream_message(context, rh_http_connection_data(connection), opcode, payload);
}

static void on_drained(void *context, struct rh_http_connection *connection)
{
    rh_daemon_stream_drained(context, rh_http_connection_data(connection));
}

static void on_closed(void *context, struct rh_http_connection *connection, uint16_t code RH_UNUSED)
{
    struct rh_daemon *daemon = context;
    void *data = rh_http_connection_data(connection);
    if (data == NULL) {
        return;
    }
    enum rh_daemon_holder holder = *(enum rh_daemon_holder *)data;
    if (holder == RH_DAEMON_HOLDER_REQUEST) {
        rh_daemon_request_destroy(daemon, data);
        return;
    }
    struct rh_daemon_client *client = data;
    if (client->subscription.state != RH_SUBSCRIPTION_FREE) {
        struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                 .subscription = &client->subscription};
        rh_daemon_step(daemon, &event);
    }
    rh_daemon_client_destroy(daemon, client);
}

static void on_stopped(void *context)
{
    struct rh_daemon *daemon = context;
    daemon->clients_stopped = true;
}

static const struct rh_http_handler handler = {
    .request = on_request,
    .message = on_message,
    .drained = on_drained,
    .closed = on_closed,
    .stopped = on_stopped,
};

void rh_daemon_clients_perform(struct rh_daemon *daemon, const struct rh_action *action)
{
    switch (action->kind) {
    case RH_ACTION_WELCOME:
        rh_daemon_stream_welcome(daemon, action);
        return;
    case RH_ACTION_DELIVER:
    case RH_ACTION_DELIVER_ALL:
        rh_daemon_stream_deliver(daemon, action);
        return;
    case RH_ACTION_MOVED:
        rh_daemon_stream_moved(daemon, action);
        return;
    case RH_ACTION_REDIRECT:
        on_redirect(daemon, action);
        return;
    case RH_ACTION_REFUSED:
        on_refused(daemon, action);
        return;
    case RH_ACTION_READ_DONE:
        on_read_done(daemon, action);
        return;
    case RH_ACTION_PUBLISHED:
        on_published(daemon, action);
        return;
    case RH_ACTION_INSPECTED:
        on_inspected(daemon, action);
        return;
    case RH_ACTION_SEND:
    case RH_ACTION_CATCH_UP:
    case RH_ACTION_SWEPT:
        break;
    }
    assert(false && "not an action for clients");
}

/* ---- life ---- */

int rh_daemon_clients_start(struct rh_daemon *daemon, struct rh_reason *reason)
{
    const struct rh_config *config = daemon->config;
    const struct rh_http_server_options options = {
        .limits = {.head_bytes = config->limits.header_bytes,
                   .target_bytes = TARGET_BYTES_MAX < config->limits.header_bytes
                                       ? TARGET_BYTES_MAX
                                       : config->limits.header_bytes,
                   .fields = config->limits.header_count,
                   .body_bytes = config->limits.message_bytes},
        .connections_max = daemon->connections_max,
        .head_timeout_ms = config->limits.header_timeout_ms,
        .body_timeout_ms = config->limits.body_timeout_ms,
        .idle_timeout_ms = config->limits.idle_timeout_ms,
        .send_queue_bytes = config->limits.send_queue_bytes + RH_DAEMON_SEND_QUEUE_LOW,
        .send_queue_low_bytes = RH_DAEMON_SEND_QUEUE_LOW,
        .message_bytes = rh_client_json_text_max(config->limits.message_bytes),
        .heartbeat_interval_ms = config->heartbeat.interval_ms,
        .heartbeat_timeout_ms = config->heartbeat.timeout_ms,
        .close_timeout_ms = CLOSE_TIMEOUT_MS,
        .cors = true,
        .logger = daemon->logger,
        .name = "client",
    };
    int rv =
        rh_http_server_create(daemon->loop, &options, &handler, daemon, &daemon->client_server);
    if (rv != 0) {
        return rh_fail(reason, rv, "client listener: %s", rh_error_text(rv));
    }
    return rh_http_server_listen(daemon->client_server, daemon->node->listen, reason);
}

/* One that waits for its answer yet: a read, or a stream that is not accepted. */
static void end_waiting(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE, .subscription = &client->subscription};
    rh_daemon_step(daemon, &event);
    respond_problem(client->connection, RH_PROBLEM_SHUTTING_DOWN, STOPPING_TEXT);
    rh_daemon_client_destroy(daemon, client);
}

void rh_daemon_clients_stop(struct rh_daemon *daemon)
{
    rh_http_server_stop(daemon->client_server);
    rh_list_each_safe (&daemon->clients, link) {
        struct rh_daemon_client *client = rh_container_of(link, struct rh_daemon_client, link);
        if (!client->accepted) {
            end_waiting(daemon, client);
        }
    }
    rh_http_server_close_websockets(daemon->client_server, RH_WEBSOCKET_CODE_GOING_AWAY,
                                    STOPPING_TEXT);
}

void rh_daemon_clients_finish(struct rh_daemon *daemon)
{
    rh_list_each_safe (&daemon->clients, link) {
        struct rh_daemon_client *client = rh_container_of(link, struct rh_daemon_client, link);
        if (client->subscription.state != RH_SUBSCRIPTION_FREE) {
            struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                     .subscription = &client->subscription,
                                     .now_ms = rh_clock_monotonic_ms(),
                                     .time_ms = rh_clock_unix_ms()};
            rh_core_step(daemon->core, &event, &daemon->actions);
        }
        rh_daemon_client_destroy(daemon, client);
    }
    if (daemon->requests.buckets != NULL) {
        for (struct rh_table_link *link = rh_table_next(&daemon->requests, NULL); link != NULL;) {
            struct rh_table_link *next = rh_table_next(&daemon->requests, link);
            free(request_of(link));
            link = next;
        }
    }
    free(daemon->ring_body);
    rh_buffer_finish(&daemon->scratch);
    rh_buffer_finish(&daemon->url);
    rh_buffer_finish(&daemon->decoded);
}

void rh_daemon_clients_tick(struct rh_daemon *daemon)
{
    uint64_t now_ms = rh_clock_monotonic_ms();
    for (struct rh_list *link = rh_list_first(&daemon->lingering); link != NULL;
         link = rh_list_first(&daemon->lingering)) {
        struct rh_daemon_client *client = rh_container_of(link, struct rh_daemon_client, linger);
        if (client->linger_ms > now_ms) {
            return;
        }
        rh_list_remove(link);
        daemon->lingering_count--;
        rh_http_connection_close_websocket(client->connection, RH_WEBSOCKET_CODE_MOVED, "moved");
    }
}
