/* SPDX-License-Identifier: Apache-2.0 */
#include "router/ev_http_private.h"
#include "router/event_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static struct rh_shared *head_of(const struct rh_http_connection *connection)
{
    const struct rh_http_header headers[] = {
        /* nginx would gather events before it passes them on. */
        {.name = "X-Accel-Buffering", .value = rh_bytes_text("no")},
    };
    const struct rh_http_response response = {
        .status = 200,
        .content_type = "text/event-stream",
        .headers = headers,
        .headers_count = sizeof(headers) / sizeof(headers[0]),
    };
    const struct rh_http_response_context context = {
        .cors = connection->server->options.cors,
        .endless = true,
    };
    struct rh_shared *head = NULL;
    return rh_http_response_encode(&response, &context, &head) == 0 ? head : NULL;
}

/* A client that is gone without a word is noticed when what is sent to it is not acknowledged. */
static void limit_silence(const struct rh_http_connection *connection)
{
    unsigned timeout_ms = connection->server->options.heartbeat_timeout_ms;
    if (timeout_ms > 0) {
        (void)setsockopt(connection->io.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                         sizeof(timeout_ms));
    }
}

void rh_http_connection_accept_events(struct rh_http_connection *connection)
{
    struct rh_shared *head = head_of(connection);
    if (rh_http_connection_begin_stream(connection, CONNECTION_EVENTS, head)) {
        connection->server->stats.responses[2]++;
        limit_silence(connection);
    }
    rh_shared_give(head);
}

void rh_http_connection_end_events(struct rh_http_connection *connection)
{
    if (rh_http_state(connection) == CONNECTION_EVENTS) {
        rh_http_connection_notify(connection, 0);
        rh_http_connection_flush_and_end(connection, true);
    }
}

void rh_http_events_beat(struct rh_http_connection *connection)
{
    if (!rh_send_queue_is_empty(&connection->queue)) {
        rh_http_set_deadline(connection, DEADLINE_PONG);
    } else if (rh_http_connection_push(connection, connection->server->comment)) {
        rh_http_set_deadline(connection, DEADLINE_PING);
    }
}
