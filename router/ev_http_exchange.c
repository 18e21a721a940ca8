/* SPDX-License-Identifier: Apache-2.0 */
#include "router/ev_http_private.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Parsers are lent by the server ---- */

static bool acquire(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    if (connection->http.parser != NULL) {
        return true;
    }
    if (server->parsers_count > 0) {
        connection->http.parser = server->parsers[--server->parsers_count];
        return true;
    }
    return rh_http_parser_create(&server->options.limits, &connection->http.parser) == 0;
}

static void give_back(struct rh_http_server *server, struct rh_http_parser *parser)
{
    if (server->parsers_count == RH_HTTP_SPARE_PARSERS) {
        rh_http_parser_destroy(parser);
        return;
    }
    rh_http_parser_reset(parser);
    server->parsers[server->parsers_count++] = parser;
}

static void forget_handshake(struct rh_http_connection *connection)
{
    free(connection->http.handshake);
    connection->http.handshake = NULL;
}

void rh_http_exchange_release(struct rh_http_connection *connection)
{
    struct rh_http_parser *parser = connection->http.parser;
    connection->http.parser = NULL;
    if (parser != NULL) {
        give_back(connection->server, parser);
    }
    forget_handshake(connection);
}

/* ---- Responses ---- */

static int encode(const struct rh_http_connection *connection,
                  const struct rh_http_response *response, bool keep_alive,
                  struct rh_shared **ret_shared)
{
    const struct rh_http_response_context context = {
        .keep_alive = keep_alive,
        .http_1_0 = connection->http_1_0,
        .head = connection->head,
        .cors = connection->server->options.cors,
    };
    int rv = rh_http_response_encode(response, &context, ret_shared);
    if (rv == RH_ERR_INVALID) {
        const struct rh_http_response failed = {.status = 500};
        rv = rh_http_response_encode(&failed, &context, ret_shared);
    }
    return rv;
}

/* Queues the response; the connection goes on reading, or ends after it. */
static void answer(struct rh_http_connection *connection, const struct rh_http_response *response,
                   bool keep_alive)
{
    struct rh_http_server *server = connection->server;
    struct rh_shared *shared = NULL;
    /* What was sent behind a change that could not be made may count on it: it is not done. */
    bool failed = connection->unsafe && response->status >= 500;
    keep_alive = keep_alive && !failed && !server->stopping;
    int rv = encode(connection, response, keep_alive, &shared);
    if (rv == 0) {
        rv = rh_send_queue_push(&connection->queue, shared);
        rh_shared_give(shared);
    }
    connection->io.data = NULL;
    forget_handshake(connection);
    if (rv != 0) {
        rh_http_set_state(connection, CONNECTION_DEAD);
        rh_http_set_deadline(connection, DEADLINE_NONE);
    } else if (keep_alive) {
        server->stats.responses[response->status / 100]++;
        rh_http_set_state(connection, CONNECTION_READING);
        rh_http_set_deadline(connection, DEADLINE_IDLE);
    } else {
        server->stats.responses[response->status / 100]++;
        rh_http_connection_flush_and_end(connection, true);
    }
    rh_http_schedule_turn(connection);
}

static void answer_problem(struct rh_http_connection *connection, enum rh_problem problem,
                           const char *detail, const struct rh_http_header *header, bool keep_alive)
{
    struct rh_buffer *scratch = &connection->server->scratch;
    rh_buffer_clear(scratch);
    struct rh_http_response response = {
        .status = rh_problem_status(problem),
        .content_type = RH_PROBLEM_CONTENT_TYPE,
        .headers = header,
        .headers_count = header != NULL,
    };
    /* Without memory for the body the status alone has to do. */
    if (rh_problem_encode(problem, detail, scratch) == 0) {
        response.body = rh_buffer_content(scratch);
    }
    answer(connection, &response, keep_alive);
}

/* Whether the handler's request is still there to be answered. A client that went away in this very
 * turn is not, and closed() need not be called for it any more. */
static bool may_answer(struct rh_http_connection *connection)
{
    assert(!connection->accepted);
    connection->notice = false;
    if (rh_http_state(connection) == CONNECTION_DEAD) {
        return false;
    }
    assert(rh_http_state(connection) == CONNECTION_WAITING);
    return true;
}

void rh_http_connection_respond(struct rh_http_connection *connection,
                                const struct rh_http_response *response)
{
    if (may_answer(connection)) {
        answer(connection, response, connection->keep_alive);
    }
}

void rh_http_connection_respond_problem(struct rh_http_connection *connection,
                                        enum rh_problem problem, const char *detail,
                                        const struct rh_http_header *header)
{
    if (may_answer(connection)) {
        answer_problem(connection, problem, detail, header, connection->keep_alive);
    }
}

void rh_http_connection_respond_preflight(struct rh_http_connection *connection, const char *allow)
{
    const struct rh_http_header headers[] = {
        {"Allow", rh_bytes_text(allow)},
        {"Access-Control-Allow-Methods", rh_bytes_text(allow)},
        {"Access-Control-Allow-Headers",
         rh_bytes_text("Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
                       "Last-Event-ID")},
        {"Access-Control-Max-Age", rh_bytes_text("86400")},
    };
    const struct rh_http_response response = {
        .status = 204, .headers = headers, .headers_count = sizeof(headers) / sizeof(headers[0])};
    rh_http_connection_respond(connection, &response);
}

/* ---- Requests ---- */

/* The server itself refuses: always the end of the connection. */
static void refuse(struct rh_http_connection *connection, enum rh_problem problem,
                   const char *detail, const struct rh_http_header *header)
{
    answer_problem(connection, problem, detail, header, false);
}

/* Whether there was memory for it. */
static bool keep_handshake(struct rh_http_connection *connection,
                           const struct rh_handshake *handshake)
{
    connection->http.handshake = malloc(sizeof(*handshake));
    if (connection->http.handshake == NULL) {
        refuse(connection, RH_PROBLEM_NO_MEMORY, NULL, NULL);
        return false;
    }
    *connection->http.handshake = *handshake;
    return true;
}

static uint8_t deflate_bits_max(const struct rh_http_server *server)
{
    return server->options.deflate.level == 0 ? 0 : server->options.deflate.bits_max;
}

/* Judges an upgrade. Whether the request goes on to the handler. */
static bool judge_upgrade(struct rh_http_connection *connection,
                          const struct rh_http_request *request)
{
    struct rh_reason reason = {0};
    const struct rh_http_header version = {"Sec-WebSocket-Version", rh_bytes_text("13")};
    struct rh_handshake handshake;
    switch (rh_handshake_judge(request, &handshake, &reason)) {
    case RH_HANDSHAKE_PLAIN:
        return true;
    case RH_HANDSHAKE_ACCEPT:
        if (request->body.size == 0) {
            rh_handshake_negotiate(request, deflate_bits_max(connection->server), &handshake);
            return keep_handshake(connection, &handshake);
        }
        (void)rh_fail(&reason, RH_ERR_INVALID, "a WebSocket handshake has no body");
        refuse(connection, RH_PROBLEM_BAD_HANDSHAKE, reason.text, NULL);
        break;
    case RH_HANDSHAKE_VERSION:
        refuse(connection, RH_PROBLEM_UPGRADE_REQUIRED, reason.text, &version);
        break;
    case RH_HANDSHAKE_BAD:
    default:
        refuse(connection, RH_PROBLEM_BAD_HANDSHAKE, reason.text, NULL);
        break;
    }
    connection->server->stats.bad_requests++;
    return false;
}

/* Hands the request to the handler. It may turn the connection into a WebSocket at once, and a
 * WebSocket has no parser: so it is taken away first. */
static void dispatch(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    struct rh_http_parser *parser = connection->http.parser;
    const struct rh_http_request *request = rh_http_parser_request(parser);
    connection->http.parser = NULL;
    connection->keep_alive = request->keep_alive;
    connection->http_1_0 = request->http_1_0;
    connection->head = request->method == RH_HTTP_HEAD;
    connection->unsafe = request->method != RH_HTTP_GET && request->method != RH_HTTP_HEAD &&
                         request->method != RH_HTTP_OPTIONS;
    rh_http_set_state(connection, CONNECTION_WAITING);
    rh_http_set_deadline(connection, DEADLINE_NONE);
    if (!request->upgrade || judge_upgrade(connection, request)) {
        server->stats.requests++;
        server->handler->request(server->handler_context, connection, request,
                                 connection->http.handshake);
    }
    give_back(server, parser);
}

static void refuse_unread(struct rh_http_connection *connection, enum rh_problem problem,
                          const char *detail)
{
    connection->http_1_0 = false;
    connection->head = false;
    refuse(connection, problem, detail, NULL);
}

/* More of the request is to come: which limit applies, and does the client wait for us? */
static void wait_for_more(struct rh_http_connection *connection)
{
    struct rh_http_parser *parser = connection->http.parser;
    enum deadline_kind kind = DEADLINE_IDLE;
    if (rh_http_parser_head_complete(parser)) {
        kind = DEADLINE_BODY;
    } else if (rh_http_parser_started(parser)) {
        kind = DEADLINE_HEAD;
    }
    /* A limit runs from where its part began, whatever trickles in. */
    if (kind != connection->deadline_kind) {
        rh_http_set_deadline(connection, kind);
    }
    if (rh_http_parser_take_continue(parser)) {
        (void)rh_http_connection_push(connection, connection->server->continue_response);
    }
}

size_t rh_http_exchange_read(struct rh_http_connection *connection, struct rh_bytes bytes)
{
    size_t consumed = bytes.size;
    if (!acquire(connection)) {
        rh_http_connection_break(connection, 0);
        return consumed;
    }
    switch (rh_http_parser_feed(connection->http.parser, bytes, &consumed)) {
    case RH_HTTP_FEED_MORE:
        wait_for_more(connection);
        break;
    case RH_HTTP_FEED_COMPLETE:
        dispatch(connection);
        break;
    case RH_HTTP_FEED_BAD:
    default:
        connection->server->stats.bad_requests++;
        refuse_unread(connection, rh_http_parser_problem(connection->http.parser),
                      rh_http_parser_problem_detail(connection->http.parser));
        rh_http_exchange_release(connection);
        return bytes.size;
    }
    return consumed;
}

void rh_http_exchange_time_out(struct rh_http_connection *connection)
{
    refuse_unread(connection, RH_PROBLEM_REQUEST_TIMEOUT, NULL);
    rh_http_exchange_release(connection);
}

bool rh_http_exchange_is_idle(const struct rh_http_connection *connection)
{
    if (rh_http_state(connection) != CONNECTION_READING) {
        return false;
    }
    const struct rh_http_parser *parser = connection->http.parser;
    bool begun = parser != NULL && rh_http_parser_started(parser);
    return !begun && rh_http_connection_input_size(connection) == 0;
}
