/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ws-echo PORT [--message-bytes N] [--deflate BITS]: sends every text and binary message back. It is the node's own
 * WebSocket code with nothing above it, for conformance suites written by others; see
 * docs/conformance.md. With --deflate it takes offers of compression, with a window of 2^BITS at
 * most, and compresses what it can. Listens on loopback only, prints the address (port 0 takes a free one), and
 * ends with SIGTERM or SIGINT.
 */

#include "router/ev_http_server.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_DEFAULT (16U << 20) /* the largest of Autobahn's */
#define MESSAGE_BYTES_MAX     (1U << 30)
#define DEFLATE_LEVEL         6

struct echo {
    struct rh_http_server *server;
    struct ev_loop *loop;
};

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request, const struct rh_handshake *handshake)
{
    (void)context;
    (void)request;
    if (handshake == NULL) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_UPGRADE_REQUIRED, NULL, NULL);
    } else {
        rh_http_connection_accept_websocket(connection);
    }
}

static struct rh_shared *encode(struct echo *echo, const struct rh_http_connection *connection,
                                enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct rh_shared *frame = rh_websocket_encode(opcode, payload);
    uint8_t bits = rh_http_connection_deflate_bits(connection);
    if (frame == NULL || bits == 0) {
        return frame;
    }
    struct rh_shared *deflated = rh_http_server_deflate(echo->server, frame, bits);
    rh_shared_give(frame);
    return deflated;
}

static void on_message(void *context, struct rh_http_connection *connection,
                       enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct rh_shared *frame = encode(context, connection, opcode, payload);
    int rv = frame == NULL ? RH_ERR_NO_MEMORY : rh_http_connection_send(connection, frame);
    rh_shared_give(frame);
    if (rv == RH_ERR_FULL) {
        rh_http_connection_drop_send_queue(connection);
        rh_http_connection_close_websocket(connection, RH_WEBSOCKET_CODE_TOO_SLOW, "too slow");
    } else if (rv == RH_ERR_NO_MEMORY) {
        rh_http_connection_abort(connection);
    }
}

static void on_closed(void *context, struct rh_http_connection *connection, uint16_t code)
{
    (void)context;
    (void)connection;
    (void)code;
}

static void on_stopped(void *context)
{
    struct echo *echo = context;
    ev_break(echo->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct echo *echo = watcher->data;
    rh_http_server_stop(echo->server);
    rh_http_server_close_streams(echo->server, RH_WEBSOCKET_CODE_GOING_AWAY, "shutting down");
}

static int usage(void)
{
    fprintf(stderr, "usage: ws-echo PORT [--message-bytes N] [--deflate BITS]\n");
    return 2;
}

static int run(uint16_t port, uint32_t message_bytes, uint8_t deflate_bits)
{
    static const struct rh_http_handler handler = {
        .request = on_request, .message = on_message, .closed = on_closed, .stopped = on_stopped};
    const struct rh_http_server_options options = {
        .limits = {.head_bytes = 16384, .target_bytes = 8192, .fields = 64, .body_bytes = 65536},
        .connections_max = 1000,
        .head_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 60000,
        .send_queue_bytes = (size_t)4 * message_bytes,
        .send_queue_low_bytes = message_bytes,
        .message_bytes = message_bytes,
        .deflate = {.level = deflate_bits == 0 ? 0 : DEFLATE_LEVEL, .bits_max = deflate_bits},
        .close_timeout_ms = 2000,
        .name = "echo",
    };
    struct echo echo = {.loop = ev_default_loop(EVFLAG_AUTO)};
    struct rh_reason reason = {0};
    char address[32];
    int rv = rh_http_server_create(echo.loop, &options, &handler, &echo, &echo.server);
    if (rv != 0) {
        fprintf(stderr, "ws-echo: %s\n", rh_error_text(rv));
        return 1;
    }
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    rv = rh_http_server_listen(echo.server, address, &reason);
    if (rv != 0) {
        fprintf(stderr, "ws-echo: %s: %s\n", address, reason.text);
        rh_http_server_destroy(echo.server);
        return 1;
    }
    ev_signal terminate;
    ev_signal interrupt;
    ev_signal_init(&terminate, on_signal, SIGTERM);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    terminate.data = &echo;
    interrupt.data = &echo;
    ev_signal_start(echo.loop, &terminate);
    ev_signal_start(echo.loop, &interrupt);
    printf("listening on ws://127.0.0.1:%u/\n", rh_http_server_port(echo.server));
    fflush(stdout);
    ev_run(echo.loop, 0);
    rh_http_server_destroy(echo.server);
    ev_signal_stop(echo.loop, &terminate);
    ev_signal_stop(echo.loop, &interrupt);
    ev_loop_destroy(echo.loop);
    return 0;
}

/* Reads `NAME NUMBER` pairs. */
static int read_options(int argc, char **argv, uint64_t *message_bytes, uint64_t *deflate_bits)
{
    int rv = argc % 2 == 0 ? 0 : RH_ERR_INVALID;
    for (int i = 2; i < argc && rv == 0; i += 2) {
        struct rh_bytes value = rh_bytes_text(argv[i + 1]);
        if (strcmp(argv[i], "--message-bytes") == 0) {
            rv = rh_bytes_to_u64(value, MESSAGE_BYTES_MAX, message_bytes);
        } else if (strcmp(argv[i], "--deflate") == 0) {
            rv = rh_bytes_to_u64(value, RH_DEFLATE_BITS_MAX, deflate_bits);
            rv = rv == 0 && *deflate_bits < RH_DEFLATE_BITS_MIN ? RH_ERR_INVALID : rv;
        } else {
            rv = RH_ERR_INVALID;
        }
    }
    return rv;
}

int main(int argc, char **argv)
{
    uint64_t port;
    uint64_t message_bytes = MESSAGE_BYTES_DEFAULT;
    uint64_t deflate_bits = 0;
    if (argc < 2 || rh_bytes_to_u64(rh_bytes_text(argv[1]), UINT16_MAX, &port) != 0 ||
        read_options(argc, argv, &message_bytes, &deflate_bits) != 0) {
        return usage();
    }
    return run((uint16_t)port, (uint32_t)message_bytes, (uint8_t)deflate_bits);
}
