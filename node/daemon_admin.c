/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

#include <jansson.h>
#include <stdlib.h>

/*
 * The admin listener: is the node alive, is it ready, what does it count, what does it think.
 * Reads only; whoever may read it needs no secret, so it says nothing of keys or messages. (The
 * dashboard tells the owner of a key that is handed in, be there such a channel or not.)
 */

#define HEAD_BYTES_MAX   8192U
#define FIELDS_MAX       64U
#define CONNECTIONS_MAX  64U
#define HEAD_TIMEOUT_MS  5000U
#define IDLE_TIMEOUT_MS  60000U
#define METRICS_CONTENT  "text/plain; version=0.0.4; charset=utf-8"
#define SEND_QUEUE_BYTES (64U * 1024U) /* one event of a dashboard is taken however large it is */

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

const char *rh_daemon_not_ready(const struct rh_daemon *daemon)
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
    if (rh_core_is_cut_off(daemon->core)) {
        return RH_DAEMON_CUT_OFF_TEXT;
    }
    return NULL;
}

static void serve_health(struct rh_daemon *daemon RH_UNUSED, struct rh_http_connection *connection,
                         const struct rh_http_request *request RH_UNUSED)
{
    respond_text(connection, 200, "ok\n");
}

static void serve_ready(struct rh_daemon *daemon, struct rh_http_connection *connection,
                        const struct rh_http_request *request RH_UNUSED)
{
    const char *reason = rh_daemon_not_ready(daemon);
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
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:b, s:{s:i, s:i}}", "channels",
                     (int)core->channels, "connections", (int)daemon->clients_count, "lingering",
                     (int)daemon->lingering_count, "relayed", (int)core->relayed, "remote",
                     (int)core->remotes, "pending", (int)core->pending, "log_bytes",
                     (json_int_t)core->log_bytes, "sweeping", rh_core_is_sweeping(daemon->core),
                     "peers", "links", (int)peers.links, "up", (int)peers.links_up);
}

/* Since the process began, for rates. */
static json_t *totals_status(const struct rh_daemon *daemon)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    return json_pack("{s:{s:I, s:I, s:I, s:I, s:I}}", "totals", "published",
                     (json_int_t)core->publishes, "delivered", (json_int_t)core->deliveries,
                     "redirected", (json_int_t)core->redirects, "moved_channels",
                     (json_int_t)core->moved_channels, "moved_connections",
                     (json_int_t)core->moved_connections);
}

/* What the copies of channels are doing; without replication, only that. */
static json_t *copies_status(const struct rh_daemon *daemon)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    if (!daemon->replication) {
        return json_pack("{s:b}", "replication", 0);
    }
    json_t *proof = daemon->proof_ms == 0
                        ? json_null()
                        : json_integer((json_int_t)(rh_clock_monotonic_ms() - daemon->proof_ms));
    return json_pack(
        "{s:b, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:o}}",
        "replication", 1, "copies", "held", (int)core->copies, "acting", (int)core->channels_acting,
        "short", (int)core->channels_short, "stalled", (int)core->channels_stalled, "moving",
        (int)core->moves_waiting, "claiming", (int)core->claims_waiting, "arriving",
        (int)core->arrivals_waiting, "settled", (int)rh_core_is_settled(daemon->core),
        "handoffs_out", (json_int_t)core->handoffs_out, "handoffs_in",
        (json_int_t)core->handoffs_in, "takeovers", (json_int_t)core->takeovers, "syncs_sent",
        (json_int_t)core->syncs_sent, "syncs_received", (json_int_t)core->syncs_received,
        "proof_age_ms", proof);
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

char *rh_daemon_status_text(const struct rh_daemon *daemon)
{
    json_t *status = node_status(daemon);
    json_t *parts[] = {view_status(daemon), counts_status(daemon), totals_status(daemon),
                       copies_status(daemon)};
    bool is_whole = status != NULL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        is_whole = is_whole && parts[i] != NULL && json_object_update(status, parts[i]) == 0;
        json_decref(parts[i]);
    }
    char *text = is_whole ? json_dumps(status, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(status);
    return text;
}

static void serve_status(struct rh_daemon *daemon, struct rh_http_connection *connection,
                         const struct rh_http_request *request RH_UNUSED)
{
    char *text = rh_daemon_status_text(daemon);
    if (text == NULL) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
        return;
    }
    respond(connection, 200, "application/json", rh_bytes_text(text));
    free(text);
}

/* ---- metrics ---- */

static void serve_metrics(struct rh_daemon *daemon, struct rh_http_connection *connection,
                          const struct rh_http_request *request RH_UNUSED)
{
    struct rh_buffer *out = &daemon->scratch;
    if (rh_daemon_metrics(daemon, out) != 0) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
    } else {
        respond(connection, 200, METRICS_CONTENT, rh_buffer_content(out));
    }
    rh_buffer_clear(out);
}

/* ---- the listener ---- */

static const struct {
    const char *path;
    void (*serve)(struct rh_daemon *daemon, struct rh_http_connection *connection,
                  const struct rh_http_request *request);
} paths[] = {
    {"/", rh_daemon_dashboard_page},
    {"/healthz", serve_health},
    {"/readyz", serve_ready},
    {"/metrics", serve_metrics},
    {"/v1/status", serve_status},
    {"/v1/owner", rh_daemon_dashboard_owner},
    {"/v1/watch", rh_daemon_dashboard_watch},
    {"/v1/forecast", rh_daemon_forecast_serve},
};

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request,
                       const struct rh_handshake *handshake RH_UNUSED)
{
    const struct rh_http_header allow = {.name = "Allow", .value = rh_bytes_text("GET, HEAD")};
    if (request->method != RH_HTTP_GET && request->method != RH_HTTP_HEAD) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_METHOD_NOT_ALLOWED, NULL, &allow);
        return;
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (rh_bytes_equal_text(request->path, paths[i].path)) {
            paths[i].serve(context, connection, request);
            return;
        }
    }
    rh_http_connection_respond_problem(connection, RH_PROBLEM_NOT_FOUND, NULL, NULL);
}

/* No WebSocket is accepted, and all is answered at once but for a forecast and the stream of a
 * dashboard. */
static void on_closed(void *context, struct rh_http_connection *connection, uint16_t code RH_UNUSED)
{
    rh_daemon_forecast_closed(context, connection);
    rh_daemon_dashboard_closed(context, connection);
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
        .send_queue_bytes = SEND_QUEUE_BYTES,
        .send_queue_low_bytes = SEND_QUEUE_BYTES / 2,
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
