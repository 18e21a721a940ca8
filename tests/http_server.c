/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http-server PORT [NAME=VALUE ...]: the node's HTTP server with a handler that does what the
 * integration tests of the server ask of it. Listens on loopback only, prints its port, and ends
 * in an orderly way with SIGTERM. The names are the fields of struct limits below.
 *
 *   GET  /hello            200, "hello"
 *   any  /echo             200, the body
 *   GET  /redirect         307
 *   GET  /later            200 in a later turn of the loop
 *   GET  /never            no answer
 *   any  /fail             503
 *   GET  /large            200, a megabyte
 *   GET  /inject           a header with a line end in it: the server must not send it
 *   GET  /drop             abort
 *   GET  /stats            counters, as JSON
 *   any handshake          accepted; then per text message
 *                            close    close 4000
 *                            abort    abort
 *                            fill     frames until the queue is full, then close 4408
 *                            stream   2,000 frames, never more than the low mark queued
 *                            else     the message back
 */

#include "router/ev_http_server.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_FRAMES 2000U
#define LARGE_SIZE    (1U << 20)
#define LATER_MAX     1024U

struct limits {
    const char *name;
    unsigned value;
};

static struct limits limits[] = {
    {"head_bytes", 16384},        {"target_bytes", 8192},   {"fields", 64},
    {"body_bytes", 65536},        {"connections", 10000},   {"head_timeout", 10000},
    {"body_timeout", 30000},      {"idle_timeout", 60000},  {"send_queue", 1048576},
    {"send_queue_low", 65536},    {"message_bytes", 65536}, {"heartbeat_interval", 25000},
    {"heartbeat_timeout", 60000}, {"close_timeout", 5000},  {"frame_bytes", 1024},
};

struct program {
    struct ev_loop *loop;
    struct rh_http_server *server;
    struct rh_http_connection *later[LATER_MAX];
    size_t later_count;
    ev_timer later_timer;
    unsigned closed_requests;
    unsigned closed_websockets;
    unsigned last_code;
    unsigned drained;
    struct rh_shared *frame;
    char large[LARGE_SIZE];
};

static unsigned limit(const char *name)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (strcmp(limits[i].name, name) == 0) {
            return limits[i].value;
        }
    }
    abort();
}

static void respond_text(struct rh_http_connection *connection, struct rh_bytes body)
{
    const struct rh_http_response response = {
        .status = 200, .content_type = "text/plain", .body = body};
    rh_http_connection_respond(connection, &response);
}

static void respond_stats(struct program *program, struct rh_http_connection *connection)
{
    const struct rh_http_server_stats *stats = rh_http_server_stats(program->server);
    char text[1024];
    int size = snprintf(
        text, sizeof(text),
        "{\"accepted\":%llu,\"refused\":%llu,\"requests\":%llu,\"bad_requests\":%llu,"
        "\"timeouts\":%llu,\"connections\":%u,\"websockets\":%u,\"pings\":%llu,"
        "\"heartbeat_timeouts\":%llu,\"protocol_errors\":%llu,\"send_queue_full\":%llu,"
        "\"close_timeouts\":%llu,\"closed_requests\":%u,\"closed_websockets\":%u,"
        "\"last_code\":%u,\"drained\":%u}",
        (unsigned long long)stats->accepted, (unsigned long long)stats->refused,
        (unsigned long long)stats->requests, (unsigned long long)stats->bad_requests,
        (unsigned long long)stats->timeouts, stats->connections, stats->websockets,
        (unsigned long long)stats->pings_sent, (unsigned long long)stats->heartbeat_timeouts,
        (unsigned long long)stats->protocol_errors, (unsigned long long)stats->send_queue_full,
        (unsigned long long)stats->close_timeouts, program->closed_requests,
        program->closed_websockets, program->last_code, program->drained);
    respond_text(connection, rh_bytes(text, (size_t)size));
}

static void on_later(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct program *program = watcher->data;
    for (size_t i = 0; i < program->later_count; i++) {
        if (program->later[i] != NULL) {
            respond_text(program->later[i], rh_bytes_text("later"));
        }
    }
    program->later_count = 0;
}

static void answer_later(struct program *program, struct rh_http_connection *connection)
{
    if (program->later_count == LATER_MAX) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_LIMIT_REACHED, NULL, NULL);
        return;
    }
    program->later[program->later_count++] = connection;
    ev_timer_stop(program->loop, &program->later_timer);
    ev_timer_set(&program->later_timer, 0.0, 0.0);
    ev_timer_start(program->loop, &program->later_timer);
}

static void respond_with_header(struct rh_http_connection *connection, unsigned status,
                                const char *name, const char *value)
{
    const struct rh_http_header header = {name, rh_bytes_text(value)};
    const struct rh_http_response response = {
        .status = status, .headers = &header, .headers_count = 1};
    rh_http_connection_respond(connection, &response);
}

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request, const struct rh_handshake *handshake)
{
    struct program *program = context;
    if (handshake != NULL) {
        rh_http_connection_accept_websocket(connection);
    } else if (rh_bytes_equal_text(request->path, "/hello")) {
        respond_text(connection, rh_bytes_text("hello"));
    } else if (rh_bytes_equal_text(request->path, "/echo")) {
        respond_text(connection, request->body);
    } else if (rh_bytes_equal_text(request->path, "/redirect")) {
        respond_with_header(connection, 307, "Location",
                            "http://127.0.0.1:7102/v1/channels/user%3A42/messages?hops=1&epoch=57");
    } else if (rh_bytes_equal_text(request->path, "/later")) {
        answer_later(program, connection);
    } else if (rh_bytes_equal_text(request->path, "/never")) {
        rh_http_connection_set_data(connection, program);
    } else if (rh_bytes_equal_text(request->path, "/fail")) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NOT_READY, NULL, NULL);
    } else if (rh_bytes_equal_text(request->path, "/large")) {
        respond_text(connection, rh_bytes(program->large, sizeof(program->large)));
    } else if (rh_bytes_equal_text(request->path, "/inject")) {
        respond_with_header(connection, 200, "X-Evil", "a\r\nSet-Cookie: b");
    } else if (rh_bytes_equal_text(request->path, "/drop")) {
        rh_http_connection_abort(connection);
    } else if (rh_bytes_equal_text(request->path, "/stats")) {
        respond_stats(program, connection);
    } else {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_NOT_FOUND, NULL, NULL);
    }
}

static void fill(struct program *program, struct rh_http_connection *connection)
{
    int rv;
    do {
        rv = rh_http_connection_send(connection, program->frame);
    } while (rv == 0);
    if (rv == RH_ERR_FULL) {
        rh_http_connection_drop_send_queue(connection);
        rh_http_connection_close_websocket(connection, RH_WEBSOCKET_CODE_TOO_SLOW, "too slow");
    }
}

/* The frames still to come are counted in the data pointer. */
static void stream(struct program *program, struct rh_http_connection *connection)
{
    uintptr_t left = (uintptr_t)rh_http_connection_data(connection);
    while (left > 0 && rh_http_connection_send_queue_bytes(connection) <= limit("send_queue_low")) {
        if (rh_http_connection_send(connection, program->frame) != 0) {
            abort();
        }
        left--;
    }
    rh_http_connection_set_data(connection, (void *)left);
}

static void on_message(void *context, struct rh_http_connection *connection,
                       enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct program *program = context;
    if (rh_bytes_equal_text(payload, "close")) {
        rh_http_connection_close_websocket(connection, 4000, "as you wish");
    } else if (rh_bytes_equal_text(payload, "abort")) {
        rh_http_connection_abort(connection);
    } else if (rh_bytes_equal_text(payload, "fill")) {
        fill(program, connection);
    } else if (rh_bytes_equal_text(payload, "stream")) {
        rh_http_connection_set_data(connection, (void *)(uintptr_t)STREAM_FRAMES);
        stream(program, connection);
    } else {
        struct rh_shared *frame = rh_websocket_encode(opcode, payload);
        int rv = frame == NULL ? RH_ERR_NO_MEMORY : rh_http_connection_send(connection, frame);
        rh_shared_give(frame);
        if (rv != 0) {
            rh_http_connection_abort(connection);
        }
    }
}

static void on_drained(void *context, struct rh_http_connection *connection)
{
    struct program *program = context;
    program->drained++;
    stream(program, connection);
}

static void on_closed(void *context, struct rh_http_connection *connection, uint16_t code)
{
    struct program *program = context;
    for (size_t i = 0; i < program->later_count; i++) {
        if (program->later[i] == connection) {
            program->later[i] = NULL;
        }
    }
    if (code == 0) {
        program->closed_requests++;
    } else {
        program->closed_websockets++;
        program->last_code = code;
    }
}

static void on_stopped(void *context)
{
    struct program *program = context;
    ev_break(program->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct program *program = watcher->data;
    rh_http_server_stop(program->server);
    rh_http_server_close_streams(program->server, RH_WEBSOCKET_CODE_GOING_AWAY, "shutdown");
}

static bool set_limits(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        size_t row = 0;
        size_t rows = sizeof(limits) / sizeof(limits[0]);
        size_t name_size = strcspn(argv[i], "=");
        while (row < rows && (strlen(limits[row].name) != name_size ||
                              strncmp(limits[row].name, argv[i], name_size) != 0)) {
            row++;
        }
        if (row == rows || argv[i][name_size] != '=') {
            fprintf(stderr, "http-server: %s: unknown\n", argv[i]);
            return false;
        }
        limits[row].value = (unsigned)strtoul(argv[i] + name_size + 1, NULL, 10);
    }
    return true;
}

static int start(struct program *program, const char *port)
{
    static const struct rh_http_handler handler = {.request = on_request,
                                                   .message = on_message,
                                                   .drained = on_drained,
                                                   .closed = on_closed,
                                                   .stopped = on_stopped};
    const struct rh_http_server_options options = {
        .limits = {.head_bytes = limit("head_bytes"),
                   .target_bytes = limit("target_bytes"),
                   .fields = limit("fields"),
                   .body_bytes = limit("body_bytes")},
        .connections_max = limit("connections"),
        .head_timeout_ms = limit("head_timeout"),
        .body_timeout_ms = limit("body_timeout"),
        .idle_timeout_ms = limit("idle_timeout"),
        .send_queue_bytes = limit("send_queue"),
        .send_queue_low_bytes = limit("send_queue_low"),
        .message_bytes = limit("message_bytes"),
        .heartbeat_interval_ms = limit("heartbeat_interval"),
        .heartbeat_timeout_ms = limit("heartbeat_timeout"),
        .close_timeout_ms = limit("close_timeout"),
        .cors = true,
        .name = "test",
    };
    char address[32];
    struct rh_reason reason = {0};
    (void)snprintf(address, sizeof(address), "127.0.0.1:%.8s", port);
    if (rh_http_server_create(program->loop, &options, &handler, program, &program->server) != 0 ||
        rh_http_server_listen(program->server, address, &reason) != 0) {
        fprintf(stderr, "http-server: %s\n", reason.text);
        return 1;
    }
    return 0;
}

/* The frame that is sent many times: a message of so many x. */
static struct rh_shared *make_frame(const struct program *program)
{
    size_t size = limit("frame_bytes");
    return size > sizeof(program->large)
               ? NULL
               : rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_bytes(program->large, size));
}

int main(int argc, char **argv)
{
    if (argc < 2 || !set_limits(argc, argv)) {
        fprintf(stderr, "usage: http-server PORT [NAME=VALUE ...]\n");
        return 2;
    }
    static struct program program;
    ev_signal terminate;
    memset(program.large, 'x', sizeof(program.large));
    program.loop = ev_default_loop(0);
    program.frame = make_frame(&program);
    ev_timer_init(&program.later_timer, on_later, 0.0, 0.0);
    program.later_timer.data = &program;
    ev_signal_init(&terminate, on_signal, SIGTERM);
    terminate.data = &program;
    ev_signal_start(program.loop, &terminate);
    if (program.frame == NULL || start(&program, argv[1]) != 0) {
        return 1;
    }
    printf("%u\n", rh_http_server_port(program.server));
    (void)fflush(stdout);
    ev_run(program.loop, 0);
    rh_http_server_destroy(program.server);
    rh_shared_give(program.frame);
    ev_signal_stop(program.loop, &terminate);
    ev_loop_destroy(program.loop);
    return 0;
}
