/* SPDX-License-Identifier: Apache-2.0 */
#include "router/ev_http_private.h"

#include <assert.h>

/* Queues what is in the scratch buffer, if anything. Whether the connection still lives. */
static bool push_scratch(struct rh_http_connection *connection)
{
    struct rh_buffer *scratch = &connection->server->scratch;
    if (rh_buffer_size(scratch) == 0) {
        return true;
    }
    struct rh_shared *shared = rh_shared_copy(rh_buffer_content(scratch));
    bool queued = rh_http_connection_push(connection, shared);
    rh_shared_give(shared);
    rh_buffer_clear(scratch);
    return queued;
}

void rh_http_connection_accept_websocket(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    assert(!connection->accepted && connection->http.handshake != NULL);
    struct rh_shared *head = NULL;
    uint8_t deflate_bits = connection->http.handshake->deflate.server_bits;
    rh_buffer_clear(&server->scratch);
    if (rh_handshake_answer(connection->http.handshake, &server->scratch) == 0) {
        head = rh_shared_copy(rh_buffer_content(&server->scratch));
    }
    rh_buffer_clear(&server->scratch);
    if (rh_http_connection_begin_stream(connection, CONNECTION_WEBSOCKET, head)) {
        server->stats.websockets_accepted++;
        server->stats.websockets_deflating += deflate_bits != 0;
        rh_websocket_agree_deflate(&connection->websocket, deflate_bits);
    }
    rh_shared_give(head);
}

void rh_http_websocket_release(struct rh_http_connection *connection)
{
    rh_websocket_finish(&connection->websocket, &connection->server->websocket_pool);
}

/* ---- Sending ---- */

uint8_t rh_http_connection_deflate_bits(const struct rh_http_connection *connection)
{
    return connection->accepted ? rh_websocket_deflate_bits(&connection->websocket) : 0;
}

struct rh_shared *rh_http_server_deflate(struct rh_http_server *server, struct rh_shared *frame,
                                         uint8_t bits)
{
    struct rh_shared *deflated = NULL;
    if (frame->size >= server->options.deflate.threshold) {
        deflated = rh_websocket_deflate(frame, bits, &server->deflater);
    }
    if (deflated == NULL) {
        return rh_shared_take(frame);
    }
    server->stats.messages_deflated++;
    server->stats.deflated_in += frame->size;
    server->stats.deflated_out += deflated->size;
    return deflated;
}

int rh_http_connection_send(struct rh_http_connection *connection, struct rh_shared *frame)
{
    struct rh_http_server *server = connection->server;
    assert(connection->accepted);
    if (rh_http_connection_is_closing(connection)) {
        return RH_ERR_CLOSED;
    }
    size_t queued = rh_send_queue_bytes(&connection->queue);
    if (queued > server->options.send_queue_low_bytes &&
        (queued > server->options.send_queue_bytes ||
         frame->size > server->options.send_queue_bytes - queued)) {
        server->stats.send_queue_full++;
        return RH_ERR_FULL;
    }
    int rv = rh_send_queue_push(&connection->queue, frame);
    if (rv != 0) {
        return rv;
    }
    connection->above_low |=
        rh_send_queue_bytes(&connection->queue) > server->options.send_queue_low_bytes;
    rh_http_schedule_turn(connection);
    return 0;
}

size_t rh_http_connection_send_queue_bytes(const struct rh_http_connection *connection)
{
    return rh_send_queue_bytes(&connection->queue);
}

void rh_http_connection_drop_send_queue(struct rh_http_connection *connection)
{
    assert(connection->accepted);
    rh_send_queue_drop_unsent(&connection->queue);
}

void rh_http_connection_close_websocket(struct rh_http_connection *connection, uint16_t code,
                                        const char *reason)
{
    assert(connection->accepted);
    if (rh_http_state(connection) != CONNECTION_WEBSOCKET) {
        return;
    }
    struct rh_shared *frame = rh_websocket_encode_close(code, rh_bytes_text(reason));
    bool queued = rh_http_connection_push(connection, frame);
    rh_shared_give(frame);
    if (queued) {
        rh_websocket_closing(&connection->websocket);
        rh_http_set_state(connection, CONNECTION_CLOSING);
        /* First the frame has to get out, and a client that does not read may take its time; a
         * server that stops does not wait for that. */
        rh_http_set_deadline(connection,
                             connection->server->stopping ? DEADLINE_CLOSE : DEADLINE_BODY);
    }
}

bool rh_http_connection_is_closing(const struct rh_http_connection *connection)
{
    return connection->accepted && rh_http_state(connection) != CONNECTION_WEBSOCKET &&
           rh_http_state(connection) != CONNECTION_EVENTS;
}

void rh_http_websocket_ping(struct rh_http_connection *connection)
{
    if (rh_http_connection_push(connection, connection->server->ping_frame)) {
        connection->server->stats.pings_sent++;
        rh_http_set_deadline(connection, DEADLINE_PONG);
    }
}

/* ---- Receiving ---- */

static int on_message(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct rh_http_connection *connection = context;
    struct rh_http_server *server = connection->server;
    /* The codec's answers to what came before go first: the handler may close in here, and nothing
     * goes after a close frame. */
    if (!push_scratch(connection)) {
        return -1;
    }
    server->stats.messages_in++;
    if (server->handler->message != NULL) {
        server->handler->message(server->handler_context, connection, opcode, payload);
    }
    rh_buffer_clear(&server->scratch);
    return rh_http_state(connection) == CONNECTION_DEAD ? -1 : 0;
}

/* What the codec came to. */
static void follow_codec(struct rh_http_connection *connection)
{
    uint16_t code = rh_websocket_code(&connection->websocket);
    switch (rh_websocket_state(&connection->websocket)) {
    case RH_WEBSOCKET_STATE_OPEN:
        rh_http_set_deadline(connection, DEADLINE_PING);
        break;
    case RH_WEBSOCKET_STATE_CLOSED:
        rh_http_connection_notify(connection, code);
        /* RFC 6455, 7.1.1: end our side, and read until the client has ended its own. */
        rh_http_connection_flush_and_end(connection, true);
        break;
    case RH_WEBSOCKET_STATE_FAILED:
        connection->server->stats.protocol_errors++;
        rh_http_connection_notify(connection, code);
        rh_http_connection_flush_and_end(connection, true);
        break;
    case RH_WEBSOCKET_STATE_CLOSING:
    case RH_WEBSOCKET_STATE_STOPPED:
    default:
        break;
    }
}

static void feed(struct rh_http_connection *connection, struct rh_bytes bytes)
{
    static const struct rh_websocket_handler codec_handler = {.message = on_message};
    struct rh_http_server *server = connection->server;
    rh_buffer_clear(&server->scratch);
    int rv = rh_websocket_feed(&connection->websocket, &server->websocket_pool, bytes,
                               &server->scratch, &codec_handler, connection);
    if (rh_http_state(connection) == CONNECTION_DEAD) {
        return;
    }
    /* A client that pings and does not read would fill the queue with pongs. */
    bool flood = rh_buffer_size(&server->scratch) > 0 &&
                 rh_send_queue_bytes(&connection->queue) > server->options.send_queue_bytes;
    if (rv != 0 || flood) {
        rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
        return;
    }
    if (push_scratch(connection)) {
        follow_codec(connection);
    }
}

static bool reads_frames(const struct rh_http_connection *connection)
{
    return rh_http_state(connection) == CONNECTION_WEBSOCKET ||
           rh_http_state(connection) == CONNECTION_CLOSING;
}

size_t rh_http_websocket_read(struct rh_http_connection *connection, struct rh_bytes bytes)
{
    struct rh_http_server *server = connection->server;
    const struct rh_websocket_pool *pool = &server->websocket_pool;
    bool deflates = rh_websocket_deflate_bits(&connection->websocket) != 0;
    uint64_t inflated_max = pool->inflated_out + RH_HTTP_INFLATE_MAX;
    size_t used = 0;
    while (used < bytes.size && reads_frames(connection) && pool->inflated_out < inflated_max) {
        size_t size = bytes.size - used;
        size = deflates && size > RH_HTTP_INFLATE_PIECE ? RH_HTTP_INFLATE_PIECE : size;
        feed(connection, rh_bytes(bytes.data + used, size));
        used += size;
    }
    server->stats.inflated_in = pool->inflated_in;
    server->stats.inflated_out = pool->inflated_out;
    return reads_frames(connection) ? used : bytes.size;
}
