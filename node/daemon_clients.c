/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "router/client_json.h"
#include "router/condition.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

#define CLOSE_TIMEOUT_MS   5000U
#define TARGET_BYTES_MAX   8192U /* a key of 512 bytes, wholly escaped, and a query */
#define PASSED_ON_SIZE_MAX 4096U /* ticket, token, client and meta together */
#define STOPPING_TEXT      "the node is shutting down"

/* ---- clients ---- */

static size_t passed_on_size(const struct rh_route *route)
{
    return route->ticket.size + route->token.size + route->client.size + route->meta.size;
}

/* Behind |size| bytes of data, where it is aligned. */
static size_t attendee_offset(size_t size)
{
    size_t align = alignof(struct rh_attendee);
    return (sizeof(struct rh_daemon_client) + size + align - 1) / align * align;
}

/* How the client of a stream names itself stands behind its data. */
static void set_attendee(struct rh_daemon_client *client, size_t offset,
                         const struct rh_route_client *named)
{
    struct rh_attendee *attendee = (struct rh_attendee *)(void *)((char *)client + offset);
    char *text = (char *)(attendee + 1);
    attendee->client = rh_bytes(text, named->client.size);
    text = rh_bytes_write(text, named->client);
    attendee->meta = rh_bytes(text, named->meta.size);
    (void)rh_bytes_write(text, named->meta);
    client->subscription.attendee = attendee;
}

static struct rh_daemon_client *client_create(struct rh_daemon *daemon,
                                              struct rh_http_connection *connection,
                                              const struct rh_http_request *request,
                                              const struct rh_route *route,
                                              const struct rh_route_client *named)
{
    struct rh_bytes tags = rh_http_request_field(request, "if-none-match");
    if (route->kind != RH_ROUTE_MESSAGES_GET) {
        tags = rh_bytes(NULL, 0);
    }
    size_t offset = attendee_offset(route->key_size + passed_on_size(route) + tags.size);
    size_t named_size = sizeof(struct rh_attendee) + named->client.size + named->meta.size;
    struct rh_daemon_client *client = calloc(1, offset + (named->client.size > 0 ? named_size : 0));
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
    client->meta_size = (uint16_t)route->meta.size;
    client->watch = route->watch;
    char *out = rh_bytes_write(client->data, rh_route_key(route));
    out = rh_bytes_write(out, route->ticket);
    out = rh_bytes_write(out, route->token);
    out = rh_bytes_write(out, route->client);
    out = rh_bytes_write(out, route->meta);
    client->tags_size = (uint32_t)tags.size;
    (void)rh_bytes_write(out, tags);
    rh_list_init(&client->queue_link);
    rh_list_init(&client->requests);
    rh_subscription_init(&client->subscription);
    if (named->client.size > 0) {
        set_attendee(client, offset, named);
    }
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
    daemon->lingering_count -= client->lingers;
    daemon->moved_count -= client->is_moved;
    rh_list_remove(&client->queue_link);
    rh_list_remove(&client->link);
    daemon->clients_count--;
    free(client);
}

static const enum rh_route_kind route_kinds[] = {
    [RH_DAEMON_WEBSOCKET] = RH_ROUTE_WEBSOCKET,
    [RH_DAEMON_EVENTS] = RH_ROUTE_EVENTS,
    [RH_DAEMON_READ] = RH_ROUTE_MESSAGES_GET,
};

/* The route of a client again, as far as a redirect needs it. */
static void client_route(const struct rh_daemon_client *client, struct rh_route *route)
{
    const struct rh_subscription *subscription = &client->subscription;
    const struct rh_daemon_sent sent = rh_daemon_client_sent(client);
    *route = (struct rh_route){
        .kind = route_kinds[client->kind],
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
        .relay = client->asks_relay,
        .redirect = client->asks_redirect,
        .ticket = sent.ticket,
        .token = sent.token,
        .client = sent.client,
        .meta = sent.meta,
        .watch = client->watch,
    };
    memcpy(route->key_data, client->data, client->key_size);
}

/* ---- streams and reads ---- */

/* Answers a request that was not taken in. */
static void refuse(struct rh_daemon *daemon, struct rh_http_connection *connection,
                   enum rh_daemon_client_kind kind, enum rh_problem problem, const char *text)
{
    if (kind == RH_DAEMON_EVENTS) {
        rh_daemon_events_refuse(daemon, connection, problem, text);
    } else {
        rh_daemon_respond_problem(connection, problem, text);
    }
}

static void begin(struct rh_daemon *daemon, struct rh_http_connection *connection,
                  const struct rh_http_request *request, const struct rh_route *route,
                  enum rh_daemon_client_kind kind, const struct rh_handshake *handshake)
{
    if (rh_daemon_is_closing(daemon)) {
        refuse(daemon, connection, kind, RH_PROBLEM_SHUTTING_DOWN, STOPPING_TEXT);
        return;
    }
    if (rh_core_is_cut_off(daemon->core)) {
        refuse(daemon, connection, kind, RH_PROBLEM_NOT_READY, RH_DAEMON_CUT_OFF_TEXT);
        return;
    }
    if (passed_on_size(route) > PASSED_ON_SIZE_MAX) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_TARGET_TOO_LONG,
                                  "ticket, token, client and meta are more than 4096 bytes "
                                  "together");
        return;
    }
    struct rh_route_client named = {0};
    struct rh_reason reason = {{0}};
    if (kind != RH_DAEMON_READ && rh_route_client(route, &named, &reason) != 0) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_BAD_QUERY, reason.text);
        return;
    }
    struct rh_daemon_client *client = client_create(daemon, connection, request, route, &named);
    if (client == NULL) {
        refuse(daemon, connection, kind, RH_PROBLEM_NO_MEMORY, NULL);
        return;
    }
    client->kind = (uint8_t)kind;
    client->asks_relay = route->relay;
    client->asks_redirect = route->redirect;
    client->offers_ringhop =
        handshake != NULL && handshake->protocol == RH_HANDSHAKE_PROTOCOL_JSON_V1;
    struct rh_event event = {
        .kind = kind == RH_DAEMON_READ ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &client->subscription,
                      .key = rh_daemon_client_key(client),
                      .has_after = route->has_after,
                      .after = route->after,
                      .hop = {.hops = route->hops,
                              .has_epoch = route->has_epoch,
                              .epoch =
                                  route->epoch > INT64_MAX ? INT64_MAX : (int64_t)route->epoch},
                      .limit = route->limit,
                      .wait_ms = route->wait_s * 1000,
                      .may_relay =
                          rh_redirect_relays(route, request, rh_config_relays(daemon->config)),
                      .watches_state = (route->watch & RH_ROUTE_WATCH_STATE) != 0,
                      .watches_presence = (route->watch & RH_ROUTE_WATCH_PRESENCE) != 0,
                      .attendee = client->subscription.attendee},
    };
    rh_daemon_step(daemon, &event);
}

/* Redirected as often as may be, it is relayed. Not at once: a step is under way. */
static void relay_soon(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    client->has_to_relay = true;
    rh_daemon_feed_soon(daemon, client);
}

void rh_daemon_client_relay(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    const struct rh_subscription *subscription = &client->subscription;
    client->has_to_relay = false;
    struct rh_event event = {
        .kind = client->kind == RH_DAEMON_READ ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &client->subscription,
                      .key = rh_daemon_client_key(client),
                      .has_after = subscription->has_after,
                      .after = subscription->after,
                      .hop = {.hops = subscription->hop.hops},
                      .limit = subscription->limit,
                      .wait_ms = subscription->wait_ms,
                      .may_relay = true,
                      .watches_state = (client->watch & RH_ROUTE_WATCH_STATE) != 0,
                      .watches_presence = (client->watch & RH_ROUTE_WATCH_PRESENCE) != 0,
                      .attendee = client->subscription.attendee},
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
        .topic = rh_entry_topic(entry),
        .position = rh_entry_position(entry),
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

/* The tag is weak: messages that are too old leave the log without a new position. */
static void respond_read(struct rh_daemon *daemon, const struct rh_daemon_client *client,
                         struct rh_position position)
{
    char text[RH_POSITION_TEXT_SIZE];
    char tag[RH_POSITION_TEXT_SIZE + 4];
    rh_position_format(position, text);
    (void)snprintf(tag, sizeof(tag), "W/\"%s\"", text);
    const struct rh_http_header etag = {.name = "ETag", .value = rh_bytes_text(tag)};
    struct rh_http_response response = {
        .status = 200,
        .content_type = "application/json",
        .headers = &etag,
        .headers_count = 1,
        .body = rh_buffer_content(&daemon->scratch),
    };
    struct rh_bytes tags = rh_daemon_client_sent(client).tags;
    rh_daemon_respond_unless(client->connection, &response,
                             tags.size > 0 && rh_condition_lists(tags, rh_bytes_text(text)));
}

static void on_read_done(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = rh_daemon_client_of(action->read.subscription);
    int rv = encode_read(daemon, client, action);
    if (rv == 0) {
        respond_read(daemon, client, action->read.position);
    } else {
        rh_daemon_respond_problem(client->connection, RH_PROBLEM_NO_MEMORY, NULL);
    }
    rh_buffer_clear(&daemon->scratch);
    rh_daemon_client_destroy(daemon, client);
}

void rh_daemon_respond_307(struct rh_daemon *daemon, struct rh_http_connection *connection,
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

int rh_daemon_redirect(struct rh_daemon *daemon, const struct rh_redirect_request *request,
                       const struct rh_registration *node, enum rh_redirect *ret_redirect)
{
    const struct rh_redirect_target target = {
        .epoch = (uint64_t)daemon->epoch.pzxid,
        .epoch_age_ms = rh_clock_monotonic_ms() - rh_core_view_since_ms(daemon->core),
        .url = node->url,
    };
    rh_buffer_clear(&daemon->url);
    return rh_redirect_decide(request, &target, ret_redirect, &daemon->url);
}

static void on_redirect(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = rh_daemon_client_of(action->moved.subscription);
    const struct rh_registration *node = action->moved.node;
    struct rh_route route;
    client_route(client, &route);
    const struct rh_redirect_request request = {
        .route = &route,
        .websocket = client->kind == RH_DAEMON_WEBSOCKET,
        .offers_ringhop = client->offers_ringhop,
        .has_user_agent = client->has_user_agent,
    };
    enum rh_redirect redirect = RH_REDIRECT_LIMIT;
    int rv = rh_daemon_redirect(daemon, &request, node, &redirect);
    if (rv == 0) {
        rv = rh_buffer_append(&daemon->url, "", 1); /* for those who want a string */
    }
    if (rv != 0) {
        rh_daemon_respond_problem(client->connection, RH_PROBLEM_INTERNAL, rh_error_text(rv));
        rh_daemon_client_destroy(daemon, client);
        return;
    }
    switch (redirect) {
    case RH_REDIRECT_MOVED:
        rh_daemon_stream_turned_away(daemon, client, node, rh_buffer_content(&daemon->url).data);
        return;
    case RH_REDIRECT_307:
        rh_buffer_truncate(&daemon->url, rh_buffer_size(&daemon->url) - 1);
        rh_daemon_respond_307(daemon, client->connection, node);
        break;
    case RH_REDIRECT_LIMIT:
    case RH_REDIRECT_CATCH_UP:
        if (!client->subscription.may_relay && !client->asks_redirect) {
            relay_soon(daemon, client);
            return;
        }
        refuse(daemon, client->connection, client->kind, RH_PROBLEM_REDIRECT_LIMIT,
               "redirected too often: the nodes do not agree on the owner yet");
        break;
    }
    rh_daemon_client_destroy(daemon, client);
}

static void on_refused(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = rh_daemon_client_of(action->refused.subscription);
    if (client->accepted || client->offers_ringhop || client->kind == RH_DAEMON_EVENTS) {
        rh_daemon_stream_refused(daemon, client, action->refused.refusal);
        return;
    }
    rh_daemon_respond_refusal(client->connection, action->refused.refusal);
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
    rh_daemon_respond_problem(connection, problem, reason->text);
}

static void respond_upgrade_required(struct rh_http_connection *connection)
{
    const struct rh_http_header upgrade = {.name = "Upgrade", .value = rh_bytes_text("websocket")};
    rh_http_connection_respond_problem(connection, RH_PROBLEM_UPGRADE_REQUIRED, NULL, &upgrade);
}

/* A client that comes back says in a header where it was; what its URL says is then older. */
static void begin_events(struct rh_daemon *daemon, struct rh_http_connection *connection,
                         const struct rh_http_request *request, struct rh_route *route)
{
    struct rh_bytes last = rh_http_request_field(request, "last-event-id");
    if (last.size > 0 && rh_position_parse(last, &route->after) != 0) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_BAD_POSITION,
                                  "Last-Event-ID must be 0 or incarnation:seq, 16 hex digits and "
                                  "a number");
        return;
    }
    route->has_after |= last.size > 0;
    begin(daemon, connection, request, route, RH_DAEMON_EVENTS, NULL);
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
        rh_daemon_requests_where(daemon, connection, &route);
        return;
    case RH_ROUTE_RING:
        rh_daemon_requests_ring(daemon, connection);
        return;
    case RH_ROUTE_CHANNEL:
        rh_daemon_requests_channel(daemon, connection, &route);
        return;
    case RH_ROUTE_WEBSOCKET:
        if (handshake == NULL) {
            respond_upgrade_required(connection);
            return;
        }
        begin(daemon, connection, request, &route, RH_DAEMON_WEBSOCKET, handshake);
        return;
    case RH_ROUTE_MESSAGES_GET:
        begin(daemon, connection, request, &route, RH_DAEMON_READ, NULL);
        return;
    case RH_ROUTE_MESSAGES_POST:
        rh_daemon_requests_publish(daemon, connection, request, &route);
        return;
    case RH_ROUTE_PREFLIGHT:
        rh_http_connection_respond_preflight(connection, route.allow);
        return;
    case RH_ROUTE_STATE_GET:
        rh_daemon_state_get(daemon, connection, request, &route);
        return;
    case RH_ROUTE_STATE_PUT:
    case RH_ROUTE_STATE_DELETE:
        rh_daemon_state_write(daemon, connection, request, &route);
        return;
    case RH_ROUTE_PRESENCE:
        rh_daemon_presence_get(daemon, connection, &route);
        return;
    case RH_ROUTE_FOLLOWS:
    case RH_ROUTE_FOLLOW:
    case RH_ROUTE_UNFOLLOW:
        rh_daemon_follows_ask(daemon, connection, &route);
        return;
    case RH_ROUTE_FOLLOWERS:
        rh_daemon_followers_ask(daemon, connection, &route);
        return;
    case RH_ROUTE_EVENTS:
        begin_events(daemon, connection, request, &route);
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
    const uint8_t *holder = data;
    if (*holder == RH_DAEMON_HOLDER_REQUEST) {
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
    case RH_ACTION_GOES_ON:
        rh_daemon_feed_soon(daemon, rh_daemon_client_of(action->goes_on));
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
        rh_daemon_requests_published(daemon, action);
        return;
    case RH_ACTION_INSPECTED:
        rh_daemon_requests_inspected(daemon, action);
        return;
    case RH_ACTION_STATE:
        rh_daemon_state_answered(daemon, action);
        return;
    case RH_ACTION_CHANGED:
        rh_daemon_stream_changed(daemon, action);
        return;
    case RH_ACTION_PRESENCE:
        rh_daemon_presence_tell(daemon, action);
        return;
    case RH_ACTION_PRESENT:
        rh_daemon_presence_answered(daemon, action);
        return;
    case RH_ACTION_FOLLOWED:
        rh_daemon_follows_answered(daemon, action);
        return;
    case RH_ACTION_FOLLOWERS:
        rh_daemon_followers_answered(daemon, action);
        return;
    case RH_ACTION_SEND:
    case RH_ACTION_CATCH_UP:
    case RH_ACTION_SWEPT:
    case RH_ACTION_COMPLETE:
    case RH_ACTION_PROVE:
    case RH_ACTION_PROMISE:
    case RH_ACTION_PEER_VIEW:
    case RH_ACTION_SHOW_VIEW:
    case RH_ACTION_RESET_PEER:
    case RH_ACTION_TELL_DRAINED:
    case RH_ACTION_TRACE:
        break;
    }
    assert(false && "not an action for clients");
}

/* ---- life ---- */

int rh_daemon_clients_start(struct rh_daemon *daemon, struct rh_reason *reason)
{
    const struct rh_config *config = daemon->config;
    const struct rh_client_limits limits = rh_daemon_client_limits(daemon);
    const struct rh_http_server_options options = {
        .limits = {.head_bytes = config->limits.header_bytes,
                   .target_bytes = TARGET_BYTES_MAX < config->limits.header_bytes
                                       ? TARGET_BYTES_MAX
                                       : config->limits.header_bytes,
                   .fields = config->limits.header_count,
                   .body_bytes = config->limits.message_bytes > config->limits.state_bytes
                                     ? config->limits.message_bytes
                                     : config->limits.state_bytes},
        .connections_max = daemon->connections_max,
        .head_timeout_ms = config->limits.header_timeout_ms,
        .body_timeout_ms = config->limits.body_timeout_ms,
        .idle_timeout_ms = config->limits.idle_timeout_ms,
        .send_queue_bytes = config->limits.send_queue_bytes + RH_DAEMON_SEND_QUEUE_LOW,
        .send_queue_low_bytes = RH_DAEMON_SEND_QUEUE_LOW,
        .message_bytes = rh_client_json_text_max(&limits),
        .deflate = {.level = (uint8_t)config->compression.level,
                    .bits_max = (uint8_t)config->compression.window_bits,
                    .threshold = config->compression.threshold},
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
    refuse(daemon, client->connection, client->kind, RH_PROBLEM_SHUTTING_DOWN, STOPPING_TEXT);
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
    rh_http_server_close_streams(daemon->client_server, RH_WEBSOCKET_CODE_GOING_AWAY,
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
    rh_daemon_requests_finish(daemon);
    rh_buffer_finish(&daemon->scratch);
    rh_buffer_finish(&daemon->url);
    rh_buffer_finish(&daemon->decoded);
}

/* R7: once, when it begins; who comes then is turned away. */
static void send_away_if_cut_off(struct rh_daemon *daemon)
{
    bool was_cut_off = daemon->is_cut_off;
    daemon->is_cut_off = rh_core_is_cut_off(daemon->core);
    if (daemon->is_cut_off && !was_cut_off) {
        rh_log(daemon->logger, RH_LOG_WARN, "cut_off connections=%" PRIu32 " hint=\"%s\"",
               daemon->clients_count, RH_DAEMON_CUT_OFF_TEXT);
        rh_http_server_close_streams(daemon->client_server, RH_WEBSOCKET_CODE_TRY_AGAIN,
                                     RH_DAEMON_CUT_OFF_TEXT);
    }
}

void rh_daemon_clients_tick(struct rh_daemon *daemon)
{
    send_away_if_cut_off(daemon);
    uint64_t now_ms = rh_clock_monotonic_ms();
    for (struct rh_list *link = rh_list_first(&daemon->lingering); link != NULL;
         link = rh_list_first(&daemon->lingering)) {
        struct rh_daemon_client *client =
            rh_container_of(link, struct rh_daemon_client, queue_link);
        if (client->linger_ms > now_ms) {
            return;
        }
        rh_list_remove(link);
        client->lingers = false;
        daemon->lingering_count--;
        rh_daemon_stream_close(client, RH_WEBSOCKET_CODE_MOVED, "moved");
    }
}
