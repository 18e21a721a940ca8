/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/connection.h"

#include "base/list.h"
#include "cli/answer.h"
#include "cli/random.h"
#include "cli/url.h"
#include "drill/frame.h"
#include "router/base64.h"
#include "router/handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAYLOAD_SIZE_MAX (8U * RH_LOAD_PAYLOAD_MAX) /* as JSON, with the envelope */

/* What is needed until the connection stands. */
struct rh_shake {
    struct rh_answer answer;
    char key[RH_HANDSHAKE_KEY_SIZE];
    char url[];
};

/* The handler outlives the handshake; so that it costs no memory, it is found by the io. */
static const struct rh_connection_handler *handler_of(const struct rh_connection *connection)
{
    return connection->io.data;
}

static void end(struct rh_connection *connection, enum rh_connection_end how, unsigned code)
{
    const struct rh_connection_ended ended = {.how = how, .code = code};
    handler_of(connection)->ended(connection, &ended);
}

static void free_shake(struct rh_connection *connection)
{
    if (connection->shake != NULL) {
        rh_answer_finish(&connection->shake->answer);
        free(connection->shake);
        connection->shake = NULL;
    }
}

/* --- Writing ------------------------------------------------------------------------------------ */

/* Sends what there is. What breaks here is noticed when reading. */
static void flush(struct rh_connection *connection)
{
    struct rh_bytes output = rh_buffer_content(&connection->output);
    if (output.size > 0) {
        ssize_t sent = send(connection->io.fd, output.data, output.size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            sent = (ssize_t)output.size;
        }
        rh_buffer_consume(&connection->output, sent > 0 ? (size_t)sent : 0);
    }
    if (rh_buffer_size(&connection->output) == 0) {
        rh_buffer_finish(&connection->output);
    }
    rh_worker_watch(connection->worker, &connection->io,
                    rh_buffer_size(&connection->output) == 0 ? EV_READ : EV_READ | EV_WRITE);
}

static void send_frame(struct rh_connection *connection, enum rh_websocket_opcode opcode,
                       struct rh_bytes payload)
{
    uint32_t mask = (uint32_t)rh_worker_random(connection->worker);
    rh_worker_check(connection->worker,
                    rh_frame_append(&connection->output, opcode, payload, mask));
    flush(connection);
}

void rh_connection_ping(struct rh_connection *connection)
{
    connection->pinged = true;
    send_frame(connection, RH_WEBSOCKET_PING, rh_bytes(NULL, 0));
}

/* --- The handshake ------------------------------------------------------------------------------ */

static void send_request(struct rh_connection *connection)
{
    struct rh_shake *shake = connection->shake;
    char host[RH_LOAD_URL_SIZE];
    const char *path = "";
    unsigned char nonce[16];
    rh_random_bytes(nonce, sizeof(nonce));
    (void)rh_base64_write(shake->key, rh_bytes(nonce, sizeof(nonce)));
    rh_worker_check(connection->worker, rh_url_host(shake->url, host, &path, NULL));
    rh_worker_check(connection->worker,
                    rh_buffer_format(&connection->output,
                                     "GET %s%s HTTP/1.1\r\n"
                                     "Host: %s\r\n"
                                     "User-Agent: ringhop-drill/" RH_VERSION "\r\n"
                                     "Upgrade: websocket\r\n"
                                     "Connection: Upgrade\r\n"
                                     "Sec-WebSocket-Key: %s\r\n"
                                     "Sec-WebSocket-Version: 13\r\n"
                                     "%s"
                                     "\r\n",
                                     path[0] == '/' ? "" : "/", path, host, shake->key,
                                     /* Both ways to be sent to the owner are to be used. */
                                     (nonce[0] & 1) != 0
                                         ? "Sec-WebSocket-Protocol: " RH_HANDSHAKE_PROTOCOL "\r\n"
                                         : ""));
    connection->state = RH_CONNECTION_SHAKING;
    flush(connection);
}

static void dialled(struct rh_connection *connection)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(connection->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        end(connection, RH_CONNECTION_UNREACHABLE, 0);
        return;
    }
    send_request(connection);
}

/* The whole answer is there and is no 101. */
static void refused(struct rh_connection *connection)
{
    struct rh_shake *shake = connection->shake;
    struct rh_bytes location = rh_buffer_content(&shake->answer.location);
    char text[RH_ANSWER_LOCATION_SIZE_MAX + 1];
    char url[RH_URL_TEXT_SIZE];
    *rh_bytes_write(text, location) = '\0';
    if (shake->answer.status / 100 != 3 ||
        rh_url_resolve(shake->url, text, url, sizeof(url)) != 0) {
        end(connection, RH_CONNECTION_REFUSED, shake->answer.status);
        return;
    }
    const struct rh_connection_ended ended = {
        .how = RH_CONNECTION_REDIRECTED,
        .code = shake->answer.status,
        .location = url,
    };
    handler_of(connection)->ended(connection, &ended);
}

/* Takes the answer out of |input|. False: the connection is over, or the answer incomplete. */
static bool shake_hands(struct rh_connection *connection, struct rh_bytes *input)
{
    struct rh_shake *shake = connection->shake;
    char accept[RH_HANDSHAKE_ACCEPT_SIZE];
    size_t consumed = 0;
    int rv = rh_answer_feed(&shake->answer, *input, &consumed);
    if (rv == RH_ERR_AGAIN) {
        return false;
    }
    if (rv != 0) {
        end(connection, RH_CONNECTION_BROKEN, 0);
        return false;
    }
    if (shake->answer.status != 101) {
        refused(connection);
        return false;
    }
    rh_worker_check(connection->worker, rh_handshake_accept(shake->key, accept));
    if (!rh_bytes_equal_text(rh_buffer_content(&shake->answer.accept), accept)) {
        end(connection, RH_CONNECTION_BROKEN, 0);
        return false;
    }
    *input = rh_bytes(input->data + consumed, input->size - consumed);
    free_shake(connection);
    connection->state = RH_CONNECTION_OPEN;
    return true;
}

/* --- Frames ------------------------------------------------------------------------------------- */

/* False: the connection is gone, or quiet. */
static bool take_frame(struct rh_connection *connection, const struct rh_frame *frame)
{
    switch (frame->opcode) {
    case RH_WEBSOCKET_TEXT:
        return handler_of(connection)->text(connection, frame->payload);
    case RH_WEBSOCKET_PING:
        send_frame(connection, RH_WEBSOCKET_PONG, frame->payload);
        return true;
    case RH_WEBSOCKET_CLOSE:
        end(connection, RH_CONNECTION_CLOSED, rh_frame_close_code(frame));
        return false;
    case RH_WEBSOCKET_PONG:
        return true;
    case RH_WEBSOCKET_BINARY:
    case RH_WEBSOCKET_CONTINUATION:
        break;
    }
    end(connection, RH_CONNECTION_BROKEN, 0);
    return false;
}

/* Takes all whole frames out of |input|. False: as take_frame(). */
static bool take_frames(struct rh_connection *connection, struct rh_bytes *input)
{
    for (;;) {
        struct rh_frame frame;
        size_t size = 0;
        int rv = rh_frame_read(*input, PAYLOAD_SIZE_MAX, &frame, &size);
        if (rv == RH_ERR_AGAIN) {
            return true;
        }
        if (rv != 0) {
            end(connection, RH_CONNECTION_BROKEN, 0);
            return false;
        }
        *input = rh_bytes(input->data + size, input->size - size);
        if (!take_frame(connection, &frame)) {
            return false;
        }
    }
}

static void take_input(struct rh_connection *connection, struct rh_bytes input)
{
    struct rh_worker *worker = connection->worker;
    if (connection->state == RH_CONNECTION_SHAKING && !shake_hands(connection, &input)) {
        return;
    }
    if (rh_buffer_size(&connection->input) == 0) {
        /* The common case: whole frames, and nothing is kept. */
        if (take_frames(connection, &input) && input.size > 0) {
            rh_worker_check(worker, rh_buffer_append_bytes(&connection->input, input));
        }
        return;
    }
    /* The handler may destroy the connection, so its bytes are ours meanwhile. */
    struct rh_buffer kept = connection->input;
    connection->input = (struct rh_buffer){0};
    rh_worker_check(worker, rh_buffer_append_bytes(&kept, input));
    struct rh_bytes rest = rh_buffer_content(&kept);
    if (take_frames(connection, &rest) && rest.size > 0) {
        rh_worker_check(worker, rh_buffer_append_bytes(&connection->input, rest));
    }
    rh_buffer_finish(&kept);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct rh_connection *connection = rh_container_of(io, struct rh_connection, io);
    if (connection->state == RH_CONNECTION_DIALLING) {
        dialled(connection);
        return;
    }
    if ((events & EV_WRITE) != 0) {
        flush(connection);
    }
    if ((events & EV_READ) == 0) {
        return;
    }
    char *input = connection->worker->input;
    ssize_t size = recv(io->fd, input, RH_WORKER_INPUT_SIZE, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        end(connection, RH_CONNECTION_BROKEN, 0);
        return;
    }
    connection->heard_ms = rh_worker_now_ms();
    connection->pinged = false;
    take_input(connection, rh_bytes(input, (size_t)size));
}

/* --- Life --------------------------------------------------------------------------------------- */

int rh_connection_open(struct rh_worker *worker, const struct rh_connection_handler *handler,
                       struct rh_client *client, const char *url, uint32_t attempt, uint32_t source,
                       struct rh_connection **ret_connection)
{
    char host[RH_LOAD_URL_SIZE];
    const struct rh_address *address;
    size_t url_size = strlen(url) + 1;
    int fd = -1;
    int rv = rh_url_host(url, host, NULL, NULL);
    if (rv == 0) {
        rv = rh_addresses_find(&worker->addresses, host, &address, NULL);
    }
    if (rv == 0) {
        rv = rh_address_connect(address, attempt, source, &fd);
    }
    if (rv != 0) {
        return rv;
    }
    struct rh_connection *connection = calloc(1, sizeof(*connection));
    struct rh_shake *shake = calloc(1, sizeof(*shake) + url_size);
    if (connection == NULL || shake == NULL) {
        rh_worker_fail(worker, "out of memory");
    }
    connection->worker = worker;
    connection->client = client;
    connection->shake = shake;
    connection->heard_ms = rh_worker_now_ms();
    connection->state = RH_CONNECTION_DIALLING;
    memcpy(shake->url, url, url_size);
    rh_answer_init(&shake->answer);
    ev_io_init(&connection->io, on_io, fd, EV_WRITE);
    connection->io.data = (void *)(uintptr_t)handler;
    ev_io_start(worker->loop, &connection->io);
    *ret_connection = connection;
    return 0;
}

void rh_connection_quiet(struct rh_connection *connection)
{
    ev_io_stop(connection->worker->loop, &connection->io);
    connection->state = RH_CONNECTION_QUIET;
    rh_buffer_finish(&connection->input);
}

void rh_connection_destroy(struct rh_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    if (connection->state == RH_CONNECTION_OPEN || connection->state == RH_CONNECTION_QUIET) {
        struct rh_buffer *output = &connection->output;
        uint32_t mask = (uint32_t)rh_worker_random(connection->worker);
        rh_worker_check(connection->worker,
                        rh_frame_append(output, RH_WEBSOCKET_CLOSE, rh_bytes("\x03\xe8", 2), mask));
        struct rh_bytes bytes = rh_buffer_content(output);
        (void)send(connection->io.fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    }
    ev_io_stop(connection->worker->loop, &connection->io);
    (void)close(connection->io.fd);
    free_shake(connection);
    rh_buffer_finish(&connection->input);
    rh_buffer_finish(&connection->output);
    free(connection);
}
