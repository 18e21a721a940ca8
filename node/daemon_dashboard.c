/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"
#include "node/dashboard/page.h"
#include "router/event_stream.h"
#include "router/json_scan.h"
#include "router/route.h"

#include <jansson.h>
#include <stdlib.h>

/*
 * The dashboard: a page at / of the admin listener that shows the whole cluster. It reads
 * /v1/watch, a stream of one event a second:
 *
 *   page <--- /v1/watch --- this node ---- StatusAsk ---> every other member
 *                               ^ <--------- Status -----------+
 *
 * So whoever reaches one admin listener sees all nodes, though the others' are on the loopback of
 * other machines. Nodes ask each other only while somebody looks; what they answer is their
 * /v1/status, which is passed on as it is. docs/operations.md has the shape of the event.
 */

#define VIEWERS_MAX \
    16U /* of the connections of the admin listener: others have to get in as well */
#define BEHIND_MAX   30U /* events that a viewer may miss because it does not read */
#define FIRST_TICK_S 0.1 /* for the first answers to come in */
#define TICK_S       1.0
#define RETRY_MS     1000U /* what the page waits before it connects again */
#define CELLS        720U  /* of the picture of the ring */
#define STATUS_DEPTH 8U    /* arrays and objects in one another in a status */

struct viewer {
    struct rh_list link; /* rh_daemon_dashboard::viewers */
    struct rh_http_connection *connection;
    bool has_ring;   /* of the present view */
    unsigned behind; /* events that it missed, in a row */
};

/* What a member said last. */
struct told {
    char *json; /* NULL: nothing yet */
    size_t size;
    uint64_t at_ms;
};

struct rh_daemon_dashboard {
    struct rh_daemon *daemon;
    struct rh_list viewers;
    unsigned viewers_count;
    struct rh_view *view; /* to whose members `told` belongs; NULL: there is none yet */
    struct told *told;
    ev_timer timer;
};

/* ---- what the members say ---- */

static void forget_told(struct rh_daemon_dashboard *dashboard)
{
    for (size_t i = 0; dashboard->view != NULL && i < dashboard->view->members_count; i++) {
        free(dashboard->told[i].json);
    }
    free(dashboard->told);
    rh_view_give(dashboard->view);
}

/* Goes over to the view that the node has. Without memory the old one stays until the next time. */
static void follow_view(struct rh_daemon_dashboard *dashboard)
{
    const struct rh_view *before = dashboard->view;
    struct rh_view *view = rh_core_view(dashboard->daemon->core);
    if (view == before) {
        return;
    }
    struct told *told = calloc(view->members_count + 1, sizeof(*told));
    if (told == NULL) {
        return;
    }
    for (size_t i = 0; before != NULL && i < before->members_count; i++) {
        const struct rh_registration *member = &before->members[i];
        if (rh_view_has(view, member->id, member->instance)) {
            told[rh_view_find(view, member->id)] = dashboard->told[i];
            dashboard->told[i] = (struct told){0};
        }
    }
    forget_told(dashboard);
    dashboard->view = rh_view_take(view);
    dashboard->told = told;
    rh_list_each (&dashboard->viewers, link) {
        rh_container_of(link, struct viewer, link)->has_ring = false;
    }
}

static bool is_self(const struct rh_daemon *daemon, const struct rh_registration *member)
{
    return member->instance == daemon->instance && strcmp(member->id, daemon->node->id) == 0;
}

/* A node of another version might take the question for a broken frame, and close the link. */
static void ask_members(const struct rh_daemon_dashboard *dashboard)
{
    struct rh_daemon *daemon = dashboard->daemon;
    const struct rh_view *view = dashboard->view;
    const struct rh_peer_message ask = {.kind = RH_PEER_STATUS_ASK, .epoch = daemon->epoch};
    for (size_t i = 0; view != NULL && i < view->members_count; i++) {
        const struct rh_registration *member = &view->members[i];
        if (!is_self(daemon, member) && strcmp(member->version, RH_VERSION) == 0) {
            const struct rh_node_ref ref = rh_registration_ref(member);
            rh_daemon_cluster_send(daemon, &ref, &ask);
        }
    }
}

static void answer(struct rh_daemon *daemon, const struct rh_node_ref *from)
{
    char *text = rh_daemon_status_text(daemon);
    if (text == NULL) {
        return;
    }
    const struct rh_peer_message message = {
        .kind = RH_PEER_STATUS, .epoch = daemon->epoch, .status = {.json = rh_bytes_text(text)}};
    rh_daemon_cluster_send(daemon, from, &message);
    free(text);
}

static void take_status(struct rh_daemon *daemon, const struct rh_node_ref *from,
                        struct rh_bytes json)
{
    const struct rh_daemon_dashboard *dashboard = daemon->dashboard;
    struct rh_json_value value;
    struct rh_reason reason = {""};
    if (dashboard == NULL || dashboard->view == NULL ||
        !rh_view_has(dashboard->view, from->id, from->instance)) {
        return; /* it comes too late */
    }
    int rv = rh_json_check(json, STATUS_DEPTH, &value, &reason);
    if (rv != 0 || value.type != RH_JSON_OBJECT) {
        rh_log(daemon->logger, RH_LOG_WARN, "peer_status_refused peer=%s reason=\"%s\"", from->id,
               rv != 0 ? reason.text : "not an object");
        return;
    }
    char *copy = malloc(json.size);
    if (copy != NULL) {
        struct told *told = &dashboard->told[rh_view_find(dashboard->view, from->id)];
        memcpy(copy, json.data, json.size);
        free(told->json);
        *told = (struct told){.json = copy, .size = json.size, .at_ms = rh_clock_monotonic_ms()};
    }
}

bool rh_daemon_dashboard_message(struct rh_daemon *daemon, const struct rh_node_ref *from,
                                 const struct rh_peer_message *message)
{
    if (message->kind == RH_PEER_STATUS_ASK) {
        answer(daemon, from);
    } else if (message->kind == RH_PEER_STATUS) {
        take_status(daemon, from, message->status.json);
    } else {
        return false;
    }
    return true;
}

/* ---- the event ---- */

static json_t *member_json(const struct rh_view *view, size_t index)
{
    const struct rh_registration *member = &view->members[index];
    char instance[RH_ID64_SIZE];
    rh_id64_format(member->instance, instance);
    return json_pack("{s:s, s:s, s:f, s:s, s:f, s:s, s:s, s:s}", "node", member->id, "instance",
                     instance, "weight", (double)member->weight_milli / RH_RING_WEIGHT_ONE, "zone",
                     member->zone, "share", rh_ring_share(view->ring, (uint32_t)index), "url",
                     member->url, "admin", member->admin, "version", member->version);
}

static json_t *members_json(const struct rh_view *view)
{
    json_t *members = json_array();
    for (size_t i = 0; i < view->members_count; i++) {
        (void)json_array_append_new(members, member_json(view, i));
    }
    return members;
}

/* Indices into the members; none when nobody has weight. */
static json_t *cells_json(const struct rh_ring *ring)
{
    json_t *cells = json_array();
    uint32_t owners[CELLS];
    rh_ring_cells(ring, CELLS, owners);
    for (size_t i = 0; i < CELLS && owners[i] != RH_RING_NONE; i++) {
        (void)json_array_append_new(cells, json_integer(owners[i]));
    }
    return cells;
}

/* Like /v1/ring, with what a picture needs beside it. */
static int put_ring(struct rh_buffer *out, const struct rh_daemon *daemon,
                    const struct rh_view *view)
{
    char digest[RH_ID64_SIZE];
    rh_id64_format(rh_ring_digest(view->ring), digest);
    json_t *ring =
        json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:o, s:o}", "cluster", daemon->config->cluster,
                  "generation", (json_int_t)view->epoch.generation, "epoch",
                  (json_int_t)view->epoch.pzxid, "digest", digest, "vnodes",
                  (json_int_t)view->config.vnodes, "replicas", (json_int_t)view->config.replicas,
                  "members", members_json(view), "cells", cells_json(view->ring));
    char *text = ring == NULL ? NULL : json_dumps(ring, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(ring);
    int rv = text == NULL ? RH_ERR_NO_MEMORY : rh_buffer_format(out, ",\"ring\":%s", text);
    free(text);
    return rv;
}

static int put_own(struct rh_buffer *out, const struct rh_daemon *daemon)
{
    char *text = rh_daemon_status_text(daemon);
    int rv = text == NULL ? RH_ERR_NO_MEMORY
                          : rh_buffer_format(out, "{\"node\":\"%s\",\"age_ms\":0,\"status\":%s}",
                                             daemon->node->id, text);
    free(text);
    return rv;
}

static int put_told(struct rh_buffer *out, const char *id, const struct told *told, uint64_t now_ms)
{
    if (told->json == NULL) {
        return rh_buffer_format(out, "{\"node\":\"%s\",\"age_ms\":null,\"status\":null}", id);
    }
    return rh_buffer_format(out, "{\"node\":\"%s\",\"age_ms\":%" PRIu64 ",\"status\":%.*s}", id,
                            now_ms - told->at_ms, (int)told->size, told->json);
}

/* All members, and this node, which may be none. */
static int put_nodes(struct rh_buffer *out, const struct rh_daemon_dashboard *dashboard)
{
    const struct rh_daemon *daemon = dashboard->daemon;
    const struct rh_view *view = dashboard->view;
    uint64_t now_ms = rh_clock_monotonic_ms();
    bool has_self = false;
    const char *comma = "";
    int rv = 0;
    for (size_t i = 0; view != NULL && i < view->members_count && rv == 0; i++) {
        const struct rh_registration *member = &view->members[i];
        rv = rh_buffer_append_text(out, comma);
        if (rv == 0 && is_self(daemon, member)) {
            has_self = true;
            rv = put_own(out, daemon);
        } else if (rv == 0) {
            rv = put_told(out, member->id, &dashboard->told[i], now_ms);
        }
        comma = ",";
    }
    if (rv == 0 && !has_self) {
        rv = rh_buffer_append_text(out, comma);
        rv = rv == 0 ? put_own(out, daemon) : rv;
    }
    return rv;
}

/* The event with one reference; NULL: out of memory. */
static struct rh_shared *encode(const struct rh_daemon_dashboard *dashboard, bool with_ring)
{
    struct rh_daemon *daemon = dashboard->daemon;
    struct rh_buffer *out = &daemon->scratch;
    struct rh_shared *shared = NULL;
    int rv = rh_buffer_format(out, "{\"node\":\"%s\",\"time\":%" PRId64, daemon->node->id,
                              rh_clock_unix_ms());
    if (rv == 0 && with_ring) {
        rv = dashboard->view == NULL ? rh_buffer_append_text(out, ",\"ring\":null")
                                     : put_ring(out, daemon, dashboard->view);
    }
    if (rv == 0) {
        rv = rh_buffer_append_text(out, ",\"nodes\":[");
    }
    if (rv == 0) {
        rv = put_nodes(out, dashboard);
    }
    if (rv == 0) {
        rv = rh_buffer_append_text(out, "]}");
    }
    if (rv == 0) {
        const struct rh_event_stream_event event = {
            .name = "cluster", .retry_ms = RETRY_MS, .data = rh_buffer_content(out)};
        shared = rh_event_stream_encode(&event);
    }
    rh_buffer_clear(out);
    return shared;
}

/* ---- those who look ---- */

static void show(struct viewer *viewer, struct rh_shared *event)
{
    if (event != NULL && rh_http_connection_send(viewer->connection, event) == 0) {
        viewer->has_ring = true;
        viewer->behind = 0;
    }
}

/* Whether it still has something to read: then it misses this event. One that never reads is closed. */
static bool is_behind(struct viewer *viewer)
{
    if (rh_http_connection_send_queue_bytes(viewer->connection) == 0) {
        return false;
    }
    viewer->behind++;
    if (viewer->behind > BEHIND_MAX) {
        rh_http_connection_abort(viewer->connection);
    }
    return true;
}

static void on_tick(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int revents RH_UNUSED)
{
    struct rh_daemon_dashboard *dashboard = timer->data;
    follow_view(dashboard);
    struct rh_shared *events[2] = {NULL, NULL}; /* without the ring, and with it */
    rh_list_each (&dashboard->viewers, link) {
        struct viewer *viewer = rh_container_of(link, struct viewer, link);
        struct rh_shared **event = &events[viewer->has_ring ? 0 : 1];
        if (is_behind(viewer)) {
            continue;
        }
        if (*event == NULL) {
            *event = encode(dashboard, !viewer->has_ring);
        }
        show(viewer, *event);
    }
    rh_shared_give(events[0]);
    rh_shared_give(events[1]);
    ask_members(dashboard);
}

/* NULL: out of memory. */
static struct rh_daemon_dashboard *open_dashboard(struct rh_daemon *daemon)
{
    struct rh_daemon_dashboard *dashboard = calloc(1, sizeof(*dashboard));
    if (dashboard != NULL) {
        dashboard->daemon = daemon;
        rh_list_init(&dashboard->viewers);
        ev_timer_init(&dashboard->timer, on_tick, FIRST_TICK_S, TICK_S);
        dashboard->timer.data = dashboard;
        ev_timer_start(daemon->loop, &dashboard->timer);
        follow_view(dashboard);
        ask_members(dashboard);
    }
    return dashboard;
}

void rh_daemon_dashboard_finish(struct rh_daemon *daemon)
{
    struct rh_daemon_dashboard *dashboard = daemon->dashboard;
    if (dashboard == NULL) {
        return;
    }
    ev_timer_stop(daemon->loop, &dashboard->timer);
    rh_list_each_safe (&dashboard->viewers, link) {
        free(rh_container_of(link, struct viewer, link));
    }
    forget_told(dashboard);
    free(dashboard);
    daemon->dashboard = NULL;
}

void rh_daemon_dashboard_closed(struct rh_daemon *daemon,
                                const struct rh_http_connection *connection)
{
    struct viewer *viewer = rh_http_connection_data(connection);
    if (viewer == NULL) {
        return;
    }
    rh_list_remove(&viewer->link);
    free(viewer);
    daemon->dashboard->viewers_count--;
    if (daemon->dashboard->viewers_count == 0) {
        rh_daemon_dashboard_finish(daemon);
    }
}

void rh_daemon_dashboard_watch(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               const struct rh_http_request *request)
{
    const struct rh_http_header allow = {.name = "Allow", .value = rh_bytes_text("GET")};
    if (request->method == RH_HTTP_HEAD) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_METHOD_NOT_ALLOWED, NULL, &allow);
        return;
    }
    if (daemon->dashboard != NULL && daemon->dashboard->viewers_count == VIEWERS_MAX) {
        rh_http_connection_respond_problem(
            connection, RH_PROBLEM_LIMIT_REACHED,
            "as many dashboards as may be are open at this node: ask another", NULL);
        return;
    }
    struct viewer *viewer = calloc(1, sizeof(*viewer));
    bool others_look = daemon->dashboard != NULL; /* so the members have answered */
    if (viewer != NULL && !others_look) {
        daemon->dashboard = open_dashboard(daemon);
    }
    if (viewer == NULL || daemon->dashboard == NULL) {
        free(viewer);
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
        return;
    }
    viewer->connection = connection;
    rh_list_push_back(&daemon->dashboard->viewers, &viewer->link);
    daemon->dashboard->viewers_count++;
    rh_http_connection_set_data(connection, viewer);
    rh_http_connection_accept_events(connection);
    if (others_look) {
        struct rh_shared *event = encode(daemon->dashboard, true);
        show(viewer, event);
        rh_shared_give(event);
    }
}

/* ---- the page, and whose a key is ---- */

void rh_daemon_dashboard_page(struct rh_daemon *daemon RH_UNUSED,
                              struct rh_http_connection *connection,
                              const struct rh_http_request *request RH_UNUSED)
{
    const struct rh_http_header headers[] = {
        {.name = "Content-Security-Policy", .value = rh_bytes_text(rh_dashboard_page_policy)},
        {.name = "X-Content-Type-Options", .value = rh_bytes_text("nosniff")},
        {.name = "Referrer-Policy", .value = rh_bytes_text("no-referrer")},
    };
    const struct rh_http_response response = {
        .status = 200,
        .content_type = "text/html; charset=utf-8",
        .headers = headers,
        .headers_count = sizeof(headers) / sizeof(headers[0]),
        .body = rh_bytes(rh_dashboard_page, rh_dashboard_page_size),
    };
    rh_http_connection_respond(connection, &response);
}

/* NULL: out of memory. The caller frees it. */
static char *owner_text(const struct rh_view *view, struct rh_bytes key)
{
    uint32_t indices[RH_RING_REPLICAS_MAX];
    char hash_text[RH_ID64_SIZE];
    uint64_t hash = rh_ring_hash(view->ring, key.data, key.size);
    size_t count = rh_ring_preference(view->ring, hash, view->config.replicas, indices);
    json_t *replicas = json_array();
    for (size_t i = 1; i < count; i++) {
        (void)json_array_append_new(replicas, json_string(view->members[indices[i]].id));
    }
    rh_id64_format(hash, hash_text);
    json_t *owner = json_pack("{s:s%, s:s, s:s, s:o, s:I}", "key", key.data, key.size, "hash",
                              hash_text, "owner", view->members[indices[0]].id, "replicas",
                              replicas, "epoch", (json_int_t)view->epoch.pzxid);
    char *text = owner == NULL ? NULL : json_dumps(owner, JSON_COMPACT);
    json_decref(owner);
    return text;
}

/* The query is that of /v1/where at the client listener, and is read as such. */
void rh_daemon_dashboard_owner(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               const struct rh_http_request *request)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    struct rh_http_request where = *request;
    struct rh_route route;
    struct rh_reason reason = {""};
    where.path = rh_bytes_text("/v1/where");
    enum rh_problem problem = rh_route_parse(&where, &route, &reason);
    if (problem == RH_PROBLEM_NONE && view == NULL) {
        problem = RH_PROBLEM_NOT_READY;
    } else if (problem == RH_PROBLEM_NONE && rh_ring_active_count(view->ring) == 0) {
        problem = RH_PROBLEM_NO_OWNER;
    }
    char *text = problem == RH_PROBLEM_NONE ? owner_text(view, rh_route_key(&route)) : NULL;
    if (text == NULL) {
        rh_http_connection_respond_problem(
            connection, problem == RH_PROBLEM_NONE ? RH_PROBLEM_NO_MEMORY : problem,
            reason.text[0] == '\0' ? NULL : reason.text, NULL);
        return;
    }
    const struct rh_http_response response = {
        .status = 200, .content_type = "application/json", .body = rh_bytes_text(text)};
    rh_http_connection_respond(connection, &response);
    free(text);
}
