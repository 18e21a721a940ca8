/* SPDX-License-Identifier: Apache-2.0 */
#include "router/ev_http_private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define WRITE_PIECES 64U /* in one call */
#define WRITE_ROUNDS 4U  /* calls in one turn */
#define READ_ROUNDS  32U /* requests of one connection in one turn */

#define BIT(state) RH_STATE_BIT(CONNECTION_##state)

static const struct rh_machine_state states[CONNECTION_STATES] = {
    [CONNECTION_READING] = {"reading", BIT(WAITING) | BIT(FLUSHING) | BIT(DEAD)},
    [CONNECTION_WAITING] = {"waiting", BIT(READING) | BIT(WEBSOCKET) | BIT(EVENTS) | BIT(FLUSHING) |
                                           BIT(DEAD)},
    [CONNECTION_EVENTS] = {"events", BIT(FLUSHING) | BIT(DEAD)},
    [CONNECTION_WEBSOCKET] = {"websocket", BIT(CLOSING) | BIT(FLUSHING) | BIT(DEAD)},
    [CONNECTION_CLOSING] = {"closing", BIT(FLUSHING) | BIT(DEAD)},
    [CONNECTION_FLUSHING] = {"flushing", BIT(LINGERING) | BIT(DEAD)},
    [CONNECTION_LINGERING] = {"lingering", BIT(DEAD)},
    [CONNECTION_DEAD] = {"dead", 0},
};

static void on_io(struct ev_loop *loop, ev_io *watcher, int events);

/* ---- Life ---- */

void rh_http_connection_create(struct rh_http_server *server, int fd)
{
    struct rh_http_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        (void)close(fd);
        return;
    }
    connection->server = server;
    connection->state = CONNECTION_READING;
    rh_list_push_back(&server->connections, &connection->link);
    rh_list_init(&connection->turn_link);
    rh_list_init(&connection->resume_link);
    rh_deadline_init(&connection->deadline);
    connection->deadline_kind = DEADLINE_NONE;
    ev_io_init(&connection->io, on_io, fd, EV_READ);
    ev_io_start(server->loop, &connection->io);
    server->stats.connections++;
    rh_http_set_deadline(connection, DEADLINE_IDLE);
}

size_t rh_http_connection_input_size(const struct rh_http_connection *connection)
{
    return connection->input == NULL ? 0 : rh_buffer_size(connection->input);
}

static void free_input(struct rh_http_connection *connection)
{
    if (connection->input != NULL) {
        rh_buffer_finish(connection->input);
        free(connection->input);
        connection->input = NULL;
    }
}

void rh_http_connection_destroy(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    ev_io_stop(server->loop, &connection->io);
    (void)close(connection->io.fd);
    if (connection->accepted) {
        rh_http_websocket_release(connection);
    } else {
        rh_http_exchange_release(connection);
    }
    rh_send_queue_finish(&connection->queue);
    free_input(connection);
    rh_deadline_disarm(&connection->deadline);
    rh_list_remove(&connection->link);
    rh_list_remove(&connection->turn_link);
    rh_list_remove(&connection->resume_link);
    server->stats.connections--;
    free(connection);
}

void rh_http_set_state(struct rh_http_connection *connection, enum connection_state state)
{
    struct rh_http_server_stats *stats = &connection->server->stats;
    enum connection_state before = rh_http_state(connection);
    rh_machine_check(states, CONNECTION_STATES, before, state);
    connection->state = (uint8_t)state;
    bool was_open = before == CONNECTION_WEBSOCKET || before == CONNECTION_CLOSING;
    bool is_open = state == CONNECTION_WEBSOCKET || state == CONNECTION_CLOSING;
    if (is_open && !was_open) {
        stats->websockets++;
    } else if (was_open && !is_open) {
        stats->websockets--;
    }
    stats->event_streams += state == CONNECTION_EVENTS;
    stats->event_streams -= before == CONNECTION_EVENTS;
}

void rh_http_connection_notify(struct rh_http_connection *connection, uint16_t code)
{
    connection->notice = true;
    connection->code = code;
    rh_http_schedule_turn(connection);
}

void rh_http_connection_break(struct rh_http_connection *connection, uint16_t code)
{
    switch (rh_http_state(connection)) {
    case CONNECTION_WAITING:
        rh_http_connection_notify(connection, 0);
        break;
    case CONNECTION_WEBSOCKET:
    case CONNECTION_CLOSING:
    case CONNECTION_EVENTS:
        rh_http_connection_notify(connection, code);
        break;
    case CONNECTION_DEAD:
        return;
    case CONNECTION_READING:
    case CONNECTION_FLUSHING:
    case CONNECTION_LINGERING:
    case CONNECTION_STATES:
    default:
        break;
    }
    rh_http_set_state(connection, CONNECTION_DEAD);
    rh_http_set_deadline(connection, DEADLINE_NONE);
    rh_http_schedule_turn(connection);
}

void rh_http_connection_flush_and_end(struct rh_http_connection *connection, bool linger)
{
    connection->linger = linger;
    rh_http_set_state(connection, CONNECTION_FLUSHING);
    rh_http_set_deadline(connection, DEADLINE_BODY);
    rh_http_schedule_turn(connection);
}

/* Which events we want of the socket now. */
static void update_io(struct rh_http_connection *connection)
{
    bool read = false;
    size_t input = rh_http_connection_input_size(connection);
    switch (rh_http_state(connection)) {
    case CONNECTION_READING:
    case CONNECTION_WEBSOCKET:
    case CONNECTION_CLOSING:
        read = input == 0;
        break;
    case CONNECTION_WAITING: /* to hear that the client is gone */
        read = input < RH_HTTP_INPUT_MAX;
        break;
    case CONNECTION_EVENTS:
    case CONNECTION_FLUSHING:
    case CONNECTION_LINGERING:
        read = !connection->eof;
        break;
    case CONNECTION_DEAD:
    case CONNECTION_STATES:
    default:
        return;
    }
    int events = (read ? EV_READ : 0) | (connection->blocked ? EV_WRITE : 0);
    struct ev_loop *loop = connection->server->loop;
    if ((connection->io.events & (EV_READ | EV_WRITE)) == events) {
        return;
    }
    int fd = connection->io.fd;
    ev_io_stop(loop, &connection->io);
    ev_io_set(&connection->io, fd, events);
    if (events != 0) {
        ev_io_start(loop, &connection->io);
    }
}

/* ---- Writing ---- */

bool rh_http_connection_push(struct rh_http_connection *connection, struct rh_shared *item)
{
    if (item == NULL || rh_send_queue_push(&connection->queue, item) != 0) {
        rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
        return false;
    }
    /* What we put there ourselves (a pong) may be what lifts a WebSocket's queue above the mark. */
    connection->above_low |=
        rh_send_queue_bytes(&connection->queue) > connection->server->options.send_queue_low_bytes;
    rh_http_schedule_turn(connection);
    return true;
}

bool rh_http_connection_begin_stream(struct rh_http_connection *connection,
                                     enum connection_state state, struct rh_shared *head)
{
    assert(!connection->accepted);
    rh_http_exchange_release(connection);
    connection->accepted = true;
    rh_websocket_init(&connection->websocket, connection->server->options.message_bytes);
    if (rh_http_state(connection) == CONNECTION_DEAD) {
        rh_http_connection_notify(connection, RH_HTTP_CLOSE_BROKEN);
        return false;
    }
    rh_http_set_state(connection, state);
    if (rh_http_connection_push(connection, head)) {
        rh_send_queue_keep(&connection->queue);
        rh_http_set_deadline(connection, DEADLINE_PING);
    }
    return true;
}

/* One piece is what nearly always waits, and the plain call is the cheaper one. */
static ssize_t send_pieces(int fd, struct iovec *iov, size_t count)
{
    if (count == 1) {
        return send(fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One call to the kernel: bytes that went out, 0 if the socket takes none now, or RH_ERR_IO. */
static ssize_t write_once(struct rh_http_connection *connection, size_t *ret_wanted)
{
    struct rh_bytes pieces[WRITE_PIECES];
    struct iovec iov[WRITE_PIECES];
    size_t count = rh_send_queue_peek(&connection->queue, pieces, WRITE_PIECES);
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        /* The kernel only reads; iovec has no const form. */
        iov[i].iov_base = (void *)(uintptr_t)pieces[i].data;
        iov[i].iov_len = pieces[i].size;
        wanted += pieces[i].size;
    }
    ssize_t size;
    do {
        size = send_pieces(connection->io.fd, iov, count);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : RH_ERR_IO;
    }
    *ret_wanted = wanted;
    return size;
}

static void write_queue(struct rh_http_connection *connection)
{
    for (unsigned round = 0; round < WRITE_ROUNDS && !rh_send_queue_is_empty(&connection->queue);
         round++) {
        size_t wanted = 0;
        ssize_t size = write_once(connection, &wanted);
        if (size < 0) {
            rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
            return;
        }
        connection->server->stats.bytes_out += (uint64_t)size;
        rh_send_queue_consume(&connection->queue, (size_t)size);
        if ((size_t)size < wanted || size == 0) {
            break;
        }
    }
    connection->blocked = !rh_send_queue_is_empty(&connection->queue);
}

/* Everything is out: the client reads the end, and we read what it may still send, lest the kernel
 * resets the connection and the last response is lost on the way. */
static void end_output(struct rh_http_connection *connection)
{
    if (!connection->linger || connection->eof || shutdown(connection->io.fd, SHUT_WR) != 0) {
        rh_http_connection_break(connection, 0);
        return;
    }
    rh_http_set_state(connection, CONNECTION_LINGERING);
    rh_http_set_deadline(connection, DEADLINE_LINGER);
}

static void flush(struct rh_http_connection *connection)
{
    if (!rh_send_queue_is_empty(&connection->queue)) {
        write_queue(connection);
    }
    if (rh_send_queue_is_empty(&connection->queue) &&
        rh_http_state(connection) == CONNECTION_FLUSHING) {
        end_output(connection);
    }
    if (rh_send_queue_is_empty(&connection->queue) &&
        rh_http_state(connection) == CONNECTION_CLOSING &&
        connection->deadline_kind == DEADLINE_BODY) {
        rh_http_set_deadline(connection, DEADLINE_CLOSE);
    }
    if (rh_send_queue_is_empty(&connection->queue) &&
        rh_http_state(connection) == CONNECTION_EVENTS &&
        connection->deadline_kind == DEADLINE_PONG) {
        rh_http_set_deadline(connection, DEADLINE_PING);
    }
    if (connection->above_low && rh_send_queue_bytes(&connection->queue) <=
                                     connection->server->options.send_queue_low_bytes) {
        connection->above_low = false;
        connection->drained_due = true;
        rh_http_schedule_resume(connection);
    }
}

/* Whether input that was left over can be taken up again. */
static bool can_resume(const struct rh_http_connection *connection)
{
    if (rh_http_connection_input_size(connection) == 0) {
        return false;
    }
    switch (rh_http_state(connection)) {
    case CONNECTION_READING:
        return rh_send_queue_bytes(&connection->queue) <= RH_HTTP_OUTPUT_MAX;
    case CONNECTION_WEBSOCKET:
    case CONNECTION_CLOSING:
    case CONNECTION_EVENTS: /* to drop it */
        return true;
    case CONNECTION_WAITING:
    case CONNECTION_FLUSHING:
    case CONNECTION_LINGERING:
    case CONNECTION_DEAD:
    case CONNECTION_STATES:
    default:
        return false;
    }
}

void rh_http_connection_turn(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    if (rh_http_state(connection) != CONNECTION_DEAD) {
        flush(connection);
    }
    if (connection->notice) {
        connection->notice = false;
        server->handler->closed(server->handler_context, connection, connection->code);
        connection->io.data = NULL;
    }
    if (rh_http_state(connection) == CONNECTION_DEAD) {
        rh_http_connection_destroy(connection);
        return;
    }
    if (can_resume(connection)) {
        rh_http_schedule_resume(connection);
    }
    update_io(connection);
}

/* ---- Reading ---- */

/* Takes what the state can use of |bytes|; returns how much that was. */
static size_t consume(struct rh_http_connection *connection, struct rh_bytes bytes)
{
    size_t used = 0;
    unsigned rounds = 0;
    while (used < bytes.size) {
        struct rh_bytes rest = rh_bytes(bytes.data + used, bytes.size - used);
        switch (rh_http_state(connection)) {
        case CONNECTION_READING:
            if (rounds == READ_ROUNDS ||
                rh_send_queue_bytes(&connection->queue) > RH_HTTP_OUTPUT_MAX) {
                return used;
            }
            rounds++;
            used += rh_http_exchange_read(connection, rest);
            break;
        case CONNECTION_WEBSOCKET:
        case CONNECTION_CLOSING:
            return used + rh_http_websocket_read(connection, rest);
        case CONNECTION_WAITING:
            return used;
        case CONNECTION_EVENTS:
        case CONNECTION_FLUSHING:
        case CONNECTION_LINGERING:
        case CONNECTION_DEAD:
        case CONNECTION_STATES:
        default:
            return bytes.size;
        }
    }
    return used;
}

static void keep_input(struct rh_http_connection *connection, struct rh_bytes rest)
{
    if (connection->input == NULL) {
        connection->input = calloc(1, sizeof(*connection->input));
    }
    if (connection->input == NULL || rh_buffer_append_bytes(connection->input, rest) != 0) {
        rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
    }
}

static void take_input(struct rh_http_connection *connection, struct rh_bytes bytes)
{
    size_t used = 0;
    if (rh_http_connection_input_size(connection) == 0) {
        used = consume(connection, bytes);
    }
    if (used < bytes.size) {
        keep_input(connection, rh_bytes(bytes.data + used, bytes.size - used));
    }
    rh_http_schedule_turn(connection);
}

/* The client sends no more. What it has asked for is answered if the answer is on its way already;
 * who still waits for one is taken for gone. */
static void take_eof(struct rh_http_connection *connection)
{
    connection->eof = true;
    enum connection_state state = rh_http_state(connection);
    if (state == CONNECTION_READING && !rh_send_queue_is_empty(&connection->queue)) {
        rh_http_connection_flush_and_end(connection, false);
    } else if (state != CONNECTION_FLUSHING) {
        rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
    }
    rh_http_schedule_turn(connection);
}

static void on_readable(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    ssize_t size = recv(connection->io.fd, server->read_buffer, RH_HTTP_READ_SIZE, MSG_DONTWAIT);
    if (size > 0) {
        server->stats.bytes_in += (uint64_t)size;
        take_input(connection, rh_bytes(server->read_buffer, (size_t)size));
    } else if (size == 0) {
        take_eof(connection);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
    }
}

bool rh_http_connection_has_unread(const struct rh_http_connection *connection)
{
    int size = 0;
    return rh_http_connection_input_size(connection) > 0 ||
           (ioctl(connection->io.fd, FIONREAD, &size) == 0 && size > 0);
}

static void on_io(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    struct rh_http_connection *connection = rh_container_of(watcher, struct rh_http_connection, io);
    if ((events & EV_READ) != 0 && rh_http_state(connection) != CONNECTION_DEAD) {
        on_readable(connection);
    }
    if ((events & EV_WRITE) != 0) {
        rh_http_schedule_turn(connection);
    }
}

void rh_http_connection_resume(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    if (connection->drained_due) {
        connection->drained_due = false;
        enum connection_state state = rh_http_state(connection);
        if ((state == CONNECTION_WEBSOCKET || state == CONNECTION_EVENTS) &&
            server->handler->drained != NULL) {
            server->handler->drained(server->handler_context, connection);
        }
    }
    if (can_resume(connection)) {
        size_t used = consume(connection, rh_buffer_content(connection->input));
        rh_buffer_consume(connection->input, used);
        if (rh_buffer_size(connection->input) == 0) {
            free_input(connection);
        }
    }
    rh_http_schedule_turn(connection);
}

/* ---- Time ---- */

void rh_http_connection_stop(struct rh_http_connection *connection)
{
    enum connection_state state = rh_http_state(connection);
    bool ends = state == CONNECTION_CLOSING || state == CONNECTION_FLUSHING;
    if (rh_http_exchange_is_idle(connection)) {
        rh_http_connection_flush_and_end(connection, false);
    } else if (ends && connection->deadline_kind == DEADLINE_BODY) {
        rh_http_set_deadline(connection, DEADLINE_CLOSE);
    }
}

void rh_http_connection_expire(struct rh_http_connection *connection)
{
    struct rh_http_server_stats *stats = &connection->server->stats;
    enum deadline_kind kind = connection->deadline_kind;
    rh_http_set_deadline(connection, DEADLINE_NONE);
    switch (kind) {
    case DEADLINE_HEAD:
    case DEADLINE_BODY:
        stats->timeouts++;
        if (rh_http_state(connection) == CONNECTION_READING) {
            rh_http_exchange_time_out(connection);
            return;
        }
        break;
    case DEADLINE_IDLE:
        stats->timeouts++;
        break;
    case DEADLINE_PING:
        if (rh_http_state(connection) == CONNECTION_EVENTS) {
            rh_http_events_beat(connection);
        } else {
            rh_http_websocket_ping(connection);
        }
        return;
    case DEADLINE_PONG:
        stats->heartbeat_timeouts++;
        break;
    case DEADLINE_CLOSE:
        stats->close_timeouts++;
        break;
    case DEADLINE_LINGER:
    case DEADLINE_KINDS:
    default:
        break;
    }
    rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
}

/* ---- Small things for the handler ---- */

void rh_http_connection_set_data(struct rh_http_connection *connection, void *data)
{
    connection->io.data = data;
}

void *rh_http_connection_data(const struct rh_http_connection *connection)
{
    return connection->io.data;
}

void rh_http_connection_abort(struct rh_http_connection *connection)
{
    if (!connection->accepted) {
        connection->notice = false; /* an abort counts as the answer */
        if (rh_http_state(connection) == CONNECTION_WAITING) {
            rh_http_set_state(connection, CONNECTION_DEAD);
            rh_http_set_deadline(connection, DEADLINE_NONE);
        }
        rh_http_schedule_turn(connection);
        return;
    }
    rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
}

void rh_http_connection_peer(const struct rh_http_connection *connection,
                             char out[static RH_HTTP_PEER_SIZE])
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "";
    (void)snprintf(out, RH_HTTP_PEER_SIZE, "-");
    if (getpeername(connection->io.fd, (struct sockaddr *)&address, &size) != 0) {
        return;
    }
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address;
        if (inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)) != NULL) {
            (void)snprintf(out, RH_HTTP_PEER_SIZE, "%s:%u", host, ntohs(v4->sin_port));
        }
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address;
        if (inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)) != NULL) {
            (void)snprintf(out, RH_HTTP_PEER_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
        }
    }
}
