/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

#include <jansson.h>
#include <stdlib.h>

/*
 * The admin listener: is the node alive, is it ready, what does it count, what does it think.
 * Reads only; whoever may read it needs no secret, so it says nothing of keys or messages.
 */

#define HEAD_BYTES_MAX    8192U
#define FIELDS_MAX        64U
#define CONNECTIONS_MAX   64U
#define HEAD_TIMEOUT_MS   5000U
#define IDLE_TIMEOUT_MS   60000U
#define METRICS_CONTENT   "text/plain; version=0.0.4; charset=utf-8"
#define SEND_QUEUE_UNUSED (64U * 1024U)

static void respond(struct rh_http_connection *connection, unsigned status,
                    const char *content_type, struct rh_bytes body)
{
    const struct rh_http_response response = {
        .status = status, .content_type = content_type, .body = body};
    rh_http_connection_respond(connection, &response);
}

static void respond_text(struct rh_http_connection *connection, unsigned status, const char *text)
{
    respond(connection, status, "text/plain; charset=utf-8", rh_bytes_text(text));
}

/* ---- state in words ---- */

static const char *zookeeper_name(enum rh_zk_state state)
{
    switch (state) {
    case RH_ZK_CONNECTING:
        return "connecting";
    case RH_ZK_CONNECTED:
        return "connected";
    case RH_ZK_DISCONNECTED:
        return "disconnected";
    }
    return "unknown";
}

static uint32_t self_index(const struct rh_daemon *daemon, const struct rh_view *view)
{
    return view != NULL && rh_view_has(view, daemon->node->id, daemon->instance)
               ? rh_view_find(view, daemon->node->id)
               : RH_RING_NONE;
}

/* starting: no view yet; member: in the ring; outside: registered, without weight; absent: others
 * went on without us; stopping. */
static const char *state_name(const struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    uint32_t self = self_index(daemon, view);
    if (rh_daemon_state(daemon) != RH_DAEMON_RUNNING) {
        return "stopping";
    }
    if (view == NULL) {
        return "starting";
    }
    if (self == RH_RING_NONE) {
        return "absent";
    }
    return view->members[self].weight_milli > 0 ? "member" : "outside";
}

/* Why clients should not be sent here, or NULL. */
static const char *not_ready(const struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (rh_daemon_state(daemon) != RH_DAEMON_RUNNING) {
        return "stopping";
    }
    if (view == NULL) {
        return "no view of the cluster yet: waiting for ZooKeeper";
    }
    if (rh_ring_active_count(view->ring) == 0) {
        return "no node of the cluster has weight";
    }
    return NULL;
}

static void serve_ready(struct rh_daemon *daemon, struct rh_http_connection *connection)
{
    const char *reason = not_ready(daemon);
    char text[128];
    if (reason == NULL) {
        respond_text(connection, 200, "ready\n");
        return;
    }
    (void)snprintf(text, sizeof(text), "not ready: %s\n", reason);
    respond_text(connection, 503, text);
}

/* ---- status ---- */

static json_t *id64(uint64_t value)
{
    char text[RH_ID64_SIZE];
    rh_id64_format(value, text);
    return json_string(text);
}

static json_t *view_status(const struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL) {
        return json_pack("{s:n, s:n, s:n, s:i}", "generation", "epoch", "digest", "members", 0);
    }
    return json_pack("{s:I, s:I, s:o, s:i}", "generation", (json_int_t)view->epoch.generation,
                     "epoch", (json_int_t)view->epoch.pzxid, "digest",
                     id64(rh_ring_digest(view->ring)), "members", (int)view->members_count);
}

static json_t *counts_status(const struct rh_daemon *daemon)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    struct rh_ev_peer_stats peers;
    rh_ev_peer_stats(daemon->peers, &peers);
    return json_pack("{s:i, s:i, s:i, s:i, s:I, s:b, s:{s:i, s:i}}", "channels",
                     (int)core->channels, "connections", (int)daemon->clients_count, "lingering",
                     (int)daemon->lingering_count, "pending", (int)core->pending, "log_bytes",
                     (json_int_t)core->log_bytes, "sweeping", rh_core_is_sweeping(daemon->core),
                     "peers", "links", (int)peers.links, "up", (int)peers.links_up);
}

static json_t *node_status(const struct rh_daemon *daemon)
{
    const struct rh_zk_membership *membership = daemon->membership;
    const struct rh_view *view = rh_core_view(daemon->core);
    uint32_t self = self_index(daemon, view);
    uint32_t weight_milli = rh_zk_membership_weight_milli(membership);
    double share = self == RH_RING_NONE ? 0.0 : rh_ring_share(view->ring, self);
    uint64_t uptime_ms = rh_clock_monotonic_ms() - daemon->started_ms;
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:f, s:f, s:s, s:I, s:b, s:{s:s, s:s, s:i}}",
                     "node", daemon->node->id, "instance", id64(daemon->instance), "cluster",
                     daemon->config->cluster, "version", RH_VERSION, "state", state_name(daemon),
                     "weight", (double)weight_milli / RH_RING_WEIGHT_ONE, "share", share, "zone",
                     daemon->node->zone, "uptime_ms", (json_int_t)uptime_ms, "registered",
                     (int)rh_zk_membership_registered(membership), "zookeeper", "servers",
                     daemon->config->zookeeper.servers, "state",
                     zookeeper_name(rh_zk_membership_zookeeper_state(membership)),
                     "session_timeout_ms", (int)rh_zk_membership_session_timeout_ms(membership));
}

static void serve_status(struct rh_daemon *daemon, struct rh_http_connection *connection)
{
    json_t *status = node_status(daemon);
    json_t *view = view_status(daemon);
    json_t *counts = counts_status(daemon);
    char *text = NULL;
    if (status != NULL && view != NULL && counts != NULL && json_object_update(status, view) == 0 &&
        json_object_update(status, counts) == 0) {
        text = json_dumps(status, JSON_COMPACT | JSON_REAL_PRECISION(6));
    }
    json_decref(status);
    json_decref(view);
    json_decref(counts);
    if (text == NULL) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
        return;
    }
    respond(connection, 200, "application/json", rh_bytes_text(text));
    free(text);
}

/* ---- metrics ---- */

/* One line of the exposition format with its head; |labels| is "" or "{...}". */
static int metric(struct rh_buffer *out, const char *type, const char *name, const char *help,
                  uint64_t value)
{
    return rh_buffer_format(out,
                            "# HELP ringhop_%s %s\n# TYPE ringhop_%s %s\nringhop_%s %" PRIu64 "\n",
                            name, help, name, type, name, value);
}

struct metric_row {
    const char *type;
    const char *name;
    const char *help;
    uint64_t value;
};

static int metrics(struct rh_buffer *out, const struct metric_row *rows, size_t rows_count)
{
    for (size_t i = 0; i < rows_count; i++) {
        int rv = metric(out, rows[i].type, rows[i].name, rows[i].help, rows[i].value);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

#define METRICS(out, rows) metrics(out, rows, sizeof(rows) / sizeof((rows)[0]))

static int core_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    const struct metric_row rows[] = {
        {"gauge", "channels", "Channels held by this node", core->channels},
        {"gauge", "streams", "WebSockets in a channel", core->streams},
        {"gauge", "reads_waiting", "Long polls that wait for a message", core->reads_waiting},
        {"gauge", "requests_pending", "Requests that wait for a view, a link or an answer",
         core->pending},
        {"gauge", "log_bytes", "Message ids and payloads in all logs", core->log_bytes},
        {"gauge", "message_ids", "Message ids remembered in all channels", core->ids},
        {"counter", "publishes_total", "Messages taken as the owner", core->publishes},
        {"counter", "publishes_duplicate_total", "Retries answered with the first seq",
         core->duplicates},
        {"counter", "deliveries_total", "Messages handed to streams", core->deliveries},
        {"counter", "forwards_sent_total", "Requests sent to their owner", core->forwards_sent},
        {"counter", "forwards_received_total", "Requests of other nodes", core->forwards_received},
        {"counter", "redirects_total", "Connections sent to their owner", core->redirects},
        {"counter", "moved_connections_total", "Streams told `moved` on a view change",
         core->moved_connections},
        {"counter", "moved_channels_total", "Channels that went to another owner",
         core->moved_channels},
        {"counter", "channels_created_total", "Channels created", core->channels_created},
        {"counter", "channels_reclaimed_total", "Idle channels given up", core->channels_reclaimed},
        {"counter", "refusals_total", "Requests that could not be served", core->refusals},
        {"counter", "slow_consumers_total", "WebSockets closed with 4408", daemon->slow_consumers},
        {"gauge", "lingering", "Streams told `moved` that are still connected",
         daemon->lingering_count},
    };
    return METRICS(out, rows);
}

static int http_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_http_server_stats *http = rh_http_server_stats(daemon->client_server);
    const struct metric_row rows[] = {
        {"gauge", "connections", "Open connections of the client listener", http->connections},
        {"gauge", "websockets", "Of them WebSockets", http->websockets},
        {"gauge", "connections_max", "Most connections taken", daemon->connections_max},
        {"counter", "connections_accepted_total", "Connections accepted", http->accepted},
        {"counter", "connections_refused_total", "Turned away at the limit", http->refused},
        {"counter", "accept_errors_total", "Failed to accept", http->accept_errors},
        {"counter", "http_requests_total", "Whole requests", http->requests},
        {"counter", "http_bad_requests_total", "Requests refused as malformed", http->bad_requests},
        {"counter", "http_responses_2xx_total", "Responses", http->responses[2]},
        {"counter", "http_responses_3xx_total", "Responses", http->responses[3]},
        {"counter", "http_responses_4xx_total", "Responses", http->responses[4]},
        {"counter", "http_responses_5xx_total", "Responses", http->responses[5]},
        {"counter", "http_timeouts_total", "Connections closed for being slow or idle",
         http->timeouts},
        {"counter", "bytes_in_total", "Bytes from clients", http->bytes_in},
        {"counter", "bytes_out_total", "Bytes to clients", http->bytes_out},
        {"counter", "websockets_accepted_total", "WebSockets accepted", http->websockets_accepted},
        {"counter", "websocket_messages_in_total", "Messages from clients", http->messages_in},
        {"counter", "websocket_heartbeat_timeouts_total", "WebSockets closed for silence",
         http->heartbeat_timeouts},
        {"counter", "websocket_protocol_errors_total", "WebSockets closed with 1002, 1007, 1009",
         http->protocol_errors},
        {"counter", "dropped_unread_total", "Closed unread after the process stood still",
         http->dropped_unread},
    };
    return METRICS(out, rows);
}

static int cluster_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    const struct rh_zk_membership *membership = daemon->membership;
    struct rh_ev_peer_stats peers;
    rh_ev_peer_stats(daemon->peers, &peers);
    bool connected = rh_zk_membership_zookeeper_state(membership) == RH_ZK_CONNECTED;
    const struct metric_row rows[] = {
        {"gauge", "ready", "Whether /readyz says so", not_ready(daemon) == NULL},
        {"gauge", "generation", "Of the adopted view", view == NULL ? 0 : view->epoch.generation},
        {"gauge", "epoch", "Of the adopted view", view == NULL ? 0 : (uint64_t)view->epoch.pzxid},
        {"gauge", "members", "Registered nodes", view == NULL ? 0 : view->members_count},
        {"gauge", "zookeeper_connected", "Whether a ZooKeeper server answers", connected},
        {"gauge", "registered", "Whether this node's registration stands",
         rh_zk_membership_registered(membership)},
        {"gauge", "peer_links", "Links to other members", peers.links},
        {"gauge", "peer_links_up", "Of them up", peers.links_up},
        {"gauge", "peer_queued_bytes", "Not yet written to peers", peers.queued_bytes},
        {"counter", "peer_messages_sent_total", "Messages to peers", peers.messages_sent},
        {"counter", "peer_messages_received_total", "Messages from peers", peers.messages_received},
        {"counter", "peer_links_lost_total", "Links that broke", peers.links_lost},
        {"counter", "peer_dead_total", "Hard evidence that a peer is dead", peers.dead_reported},
        {"counter", "peer_frames_refused_total", "Malformed frames", peers.frames_refused},
        {"counter", "stalls_total", "Times that the process did not run for more than 10 s",
         daemon->stalls},
    };
    return METRICS(out, rows);
}

static void serve_metrics(struct rh_daemon *daemon, struct rh_http_connection *connection)
{
    struct rh_buffer *out = &daemon->scratch;
    int rv = core_metrics(daemon, out);
    if (rv == 0) {
        rv = http_metrics(daemon, out);
    }
    if (rv == 0) {
        rv = cluster_metrics(daemon, out);
    }
    if (rv != 0) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
    } else {
        respond(connection, 200, METRICS_CONTENT, rh_buffer_content(out));
    }
    rh_buffer_clear(out);
}

/* ---- the listener ---- */

static const char index_text[] = "ringhop admin listener\n\n"
                                 "/healthz    the process runs\n"
                                 "/readyz     it can serve clients\n"
                                 "/metrics    for Prometheus\n"
                                 "/v1/status  what it thinks, as JSON\n";

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request,
                       const struct rh_handshake *handshake RH_UNUSED)
{
    struct rh_daemon *daemon = context;
    const struct rh_http_header allow = {.name = "Allow", .value = rh_bytes_text("GET, HEAD")};
    if (request->method != RH_HTTP_GET && request->method != RH_HTTP_HEAD) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_METHOD_NOT_ALLOWED, NULL, &allow);
    } else if (rh_bytes_equal_text(request->path, "/healthz")) {
        respond_text(connection, 200, "ok\n");
    } else if (rh_bytes_equal_text(request->path, "/readyz")) {
        serve_ready(daemon, connection);
    } else if (rh_bytes_equal_text(request->path, "/metrics")) {
        serve_metrics(daemon, connection);
    } else if (rh_bytes_equal_text(request->path, "/v1/status")) {
        serve_status(daemon, connection);
    } else if (rh_bytes_equal_text(request->path, "/")) {
        respond_text(connection, 200, index_text);
    } else {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NOT_FOUND, NULL, NULL);
    }
}

/* Requests are answered at once and no WebSocket is accepted, so there is nothing to close. */
static void on_closed(void *context RH_UNUSED, struct rh_http_connection *connection RH_UNUSED,
                      uint16_t code RH_UNUSED)
{
}

static const struct rh_http_handler handler = {.request = on_request, .closed = on_closed};

int rh_daemon_admin_start(struct rh_daemon *daemon, struct rh_reason *reason)
{
    const struct rh_http_server_options options = {
        .limits = {.head_bytes = HEAD_BYTES_MAX,
                   .target_bytes = HEAD_BYTES_MAX / 2,
                   .fields = FIELDS_MAX,
                   .body_bytes = HEAD_BYTES_MAX}, /* read, and never looked at */
        .connections_max = CONNECTIONS_MAX,
        .head_timeout_ms = HEAD_TIMEOUT_MS,
        .body_timeout_ms = HEAD_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .send_queue_bytes = SEND_QUEUE_UNUSED,
        .send_queue_low_bytes = SEND_QUEUE_UNUSED / 2,
        .close_timeout_ms = HEAD_TIMEOUT_MS,
        .logger = daemon->logger,
        .name = "admin",
    };
    int rv = rh_http_server_create(daemon->loop, &options, &handler, daemon, &daemon->admin_server);
    if (rv != 0) {
        return rh_fail(reason, rv, "admin listener: %s", rh_error_text(rv));
    }
    return rh_http_server_listen(daemon->admin_server, daemon->node->admin, reason);
}
