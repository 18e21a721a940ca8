/* SPDX-License-Identifier: Apache-2.0 */
#include "router/ev_http_private.h"
#include "router/event_stream.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_BACKLOG    4096
#define ACCEPTS_PER_TURN  64U
#define EXPIRIES_PER_TURN 256U /* of one kind */
/* Bytes that the kernel takes beyond what is on its way. Left alone it takes megabytes: memory that
 * no limit of ours counts, and a client that does not read would be noticed late, and would get a
 * close frame later still. */
#define UNSENT_MAX       65536
#define ACCEPT_PAUSE_S   0.1
#define DEADLINE_STEP_MS 10U /* limits that are closer together are looked at together */
#define HOST_SIZE        256U

/* ---- Time ---- */

uint64_t rh_http_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Lets the timer go off at |at_ms| at the latest. */
static void arm_deadline_timer(struct rh_http_server *server, uint64_t at_ms, uint64_t now_ms)
{
    if (ev_is_active(&server->deadline_timer) && server->deadline_timer_at_ms <= at_ms) {
        return;
    }
    uint64_t after_ms = at_ms > now_ms + DEADLINE_STEP_MS ? at_ms - now_ms : DEADLINE_STEP_MS;
    ev_timer_stop(server->loop, &server->deadline_timer);
    ev_timer_set(&server->deadline_timer, (double)after_ms / 1000.0, 0.0);
    ev_timer_start(server->loop, &server->deadline_timer);
    server->deadline_timer_at_ms = now_ms + after_ms;
}

void rh_http_set_deadline(struct rh_http_connection *connection, enum deadline_kind kind)
{
    struct rh_http_server *server = connection->server;
    bool heartbeat = kind == DEADLINE_PING || kind == DEADLINE_PONG;
    if (heartbeat && server->options.heartbeat_interval_ms == 0) {
        kind = DEADLINE_NONE;
    }
    connection->deadline_kind = (uint8_t)kind;
    if (kind == DEADLINE_NONE) {
        rh_deadline_disarm(&connection->deadline);
        return;
    }
    uint64_t now_ms = rh_http_now_ms();
    rh_deadline_arm(&server->deadlines[kind], &connection->deadline, now_ms);
    arm_deadline_timer(server, connection->deadline.at_ms, now_ms);
}

static void expire(struct rh_deadline_list *list, uint64_t now_ms)
{
    for (unsigned i = 0; i < EXPIRIES_PER_TURN; i++) {
        struct rh_deadline *deadline = rh_deadline_first(list);
        if (deadline == NULL || deadline->at_ms > now_ms) {
            return;
        }
        rh_http_connection_expire(rh_container_of(deadline, struct rh_http_connection, deadline));
    }
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_http_server *server = watcher->data;
    uint64_t now_ms = rh_http_now_ms();
    for (size_t kind = 0; kind < DEADLINE_KINDS; kind++) {
        expire(&server->deadlines[kind], now_ms);
    }
    for (size_t kind = 0; kind < DEADLINE_KINDS; kind++) {
        const struct rh_deadline *deadline = rh_deadline_first(&server->deadlines[kind]);
        if (deadline != NULL) {
            arm_deadline_timer(server, deadline->at_ms, now_ms);
        }
    }
}

/* ---- The end of a turn, and the next one ---- */

void rh_http_schedule_turn(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    if (rh_list_empty(&connection->turn_link)) {
        rh_list_push_back(&server->turn, &connection->turn_link);
        ev_feed_event(server->loop, &server->turn_end, EV_CUSTOM);
    }
}

void rh_http_schedule_resume(struct rh_http_connection *connection)
{
    struct rh_http_server *server = connection->server;
    if (rh_list_empty(&connection->resume_link)) {
        rh_list_push_back(&server->resume, &connection->resume_link);
        if (!ev_is_active(&server->resume_timer)) {
            ev_timer_set(&server->resume_timer, 0.0, 0.0);
            ev_timer_start(server->loop, &server->resume_timer);
        }
    }
}

static void say_stopped(struct rh_http_server *server)
{
    if (!server->stopping || server->stopped_said || server->stats.connections > 0) {
        return;
    }
    server->stopped_said = true;
    if (server->handler->stopped != NULL) {
        server->handler->stopped(server->handler_context);
    }
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_http_server *server = watcher->data;
    struct rh_list *link;
    while ((link = rh_list_first(&server->turn)) != NULL) {
        rh_list_remove(link);
        rh_http_connection_turn(rh_container_of(link, struct rh_http_connection, turn_link));
    }
    say_stopped(server);
}

static void on_resume(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_http_server *server = watcher->data;
    struct rh_list due;
    struct rh_list *link;
    rh_list_init(&due);
    rh_list_splice(&due, &server->resume);
    while ((link = rh_list_first(&due)) != NULL) {
        rh_list_remove(link);
        rh_http_connection_resume(rh_container_of(link, struct rh_http_connection, resume_link));
    }
}

/* ---- Accepting ---- */

static void set_accepting(struct rh_http_server *server, bool accepting)
{
    for (size_t i = 0; i < server->listeners_count; i++) {
        if (accepting) {
            ev_io_start(server->loop, &server->listeners[i].io);
        } else {
            ev_io_stop(server->loop, &server->listeners[i].io);
        }
    }
}

static void on_accept_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    set_accepting(watcher->data, true);
}

/* accept() failed for want of something: the connection stays in the backlog and the socket stays
 * readable, so trying again at once would spin. */
static void pause_accepting(struct rh_http_server *server, int error)
{
    server->stats.accept_errors++;
    rh_log(server->options.logger, RH_LOG_WARN, "accept_failed listener=%s reason=\"%s\"",
           server->options.name, strerror(error));
    set_accepting(server, false);
    ev_timer_set(&server->accept_timer, ACCEPT_PAUSE_S, 0.0);
    ev_timer_start(server->loop, &server->accept_timer);
}

/* There is no room: one answer that nobody waits for, and the end. */
static void turn_away(struct rh_http_server *server, int fd)
{
    static const char response[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                   "Retry-After: 1\r\nConnection: close\r\n\r\n";
    server->stats.refused++;
    if (!server->refusing) {
        server->refusing = true;
        rh_log(server->options.logger, RH_LOG_WARN, "connections_full listener=%s connections=%u",
               server->options.name, server->stats.connections);
    }
    (void)send(fd, response, sizeof(response) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

static void welcome(struct rh_http_server *server, int fd)
{
    const int yes = 1;
    const int unsent = UNSENT_MAX;
    if (server->stats.connections >= server->options.connections_max) {
        turn_away(server, fd);
        return;
    }
    server->refusing = false;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    rh_http_connection_create(server, fd);
}

static void accept_some(struct rh_http_server *server, int listener, unsigned count_max)
{
    for (unsigned i = 0; i < count_max; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            server->stats.accepted++;
            welcome(server, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        /* accept(2): the error of a connection that is gone already. */
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
            pause_accepting(server, errno);
            return;
        }
    }
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    accept_some(watcher->data, watcher->fd, ACCEPTS_PER_TURN);
}

/* ---- Listening ---- */

/* Takes "host:port" or "[v6]:port" apart; |ret_port| points into |address|. */
static int split_address(const char *address, char ret_host[static HOST_SIZE],
                         const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (colon == NULL || rh_bytes_to_u64(rh_bytes_text(colon + 1), UINT16_MAX, &port) != 0) {
        return RH_ERR_INVALID;
    }
    struct rh_bytes host = rh_bytes(address, (size_t)(colon - address));
    bool bracketed = host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    if (bracketed) {
        host = rh_bytes(host.data + 1, host.size - 2);
    } else if (host.size > 0 && memchr(host.data, ':', host.size) != NULL) {
        return RH_ERR_INVALID;
    }
    if (host.size == 0 || host.size >= HOST_SIZE) {
        return RH_ERR_INVALID;
    }
    memcpy(ret_host, host.data, host.size);
    ret_host[host.size] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

/* A listening socket, or -1 with errno. */
static int open_listener(const struct addrinfo *address)
{
    const int yes = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool v6 = address->ai_family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) != 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void add_listener(struct rh_http_server *server, int fd)
{
    struct listener *listener = &server->listeners[server->listeners_count++];
    ev_io_init(&listener->io, on_acceptable, fd, EV_READ);
    listener->io.data = server;
    ev_io_start(server->loop, &listener->io);
}

/* Several addresses of one name share a port that the kernel chose for the first. */
static void set_port(struct addrinfo *address, uint16_t port)
{
    if (address->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)address->ai_addr)->sin6_port = htons(port);
    } else if (address->ai_family == AF_INET) {
        ((struct sockaddr_in *)(void *)address->ai_addr)->sin_port = htons(port);
    }
}

/* A host may list an address that this machine does not have, e.g. ::1 without IPv6: one that
 * works is enough. */
static int listen_on_all(struct rh_http_server *server, struct addrinfo *found, const char *address,
                         struct rh_reason *reason)
{
    size_t before = server->listeners_count;
    int error = EADDRNOTAVAIL;
    uint16_t port = 0;
    for (struct addrinfo *at = found; at != NULL && server->listeners_count < RH_HTTP_LISTENERS_MAX;
         at = at->ai_next) {
        if (port != 0) {
            set_port(at, port);
        }
        int fd = open_listener(at);
        if (fd >= 0) {
            add_listener(server, fd);
            port = port_of(fd);
        } else if (errno == EADDRINUSE || error == EADDRNOTAVAIL) {
            error = errno;
        }
    }
    if (error == EADDRINUSE || server->listeners_count == before) {
        while (server->listeners_count > before) {
            ev_io *io = &server->listeners[--server->listeners_count].io;
            ev_io_stop(server->loop, io);
            (void)close(io->fd);
        }
        return rh_fail(reason, error == EADDRINUSE ? RH_ERR_EXISTS : RH_ERR_IO,
                       "%s: cannot listen: %s", address, strerror(error));
    }
    return 0;
}

int rh_http_server_listen(struct rh_http_server *server, const char *address,
                          struct rh_reason *reason)
{
    char host[HOST_SIZE];
    const char *port = NULL;
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    assert(!server->stopping);
    int rv = split_address(address, host, &port);
    if (rv != 0) {
        return rh_fail(reason, rv, "%s: not of the form host:port", address);
    }
    if (server->listeners_count == RH_HTTP_LISTENERS_MAX) {
        return rh_fail(reason, RH_ERR_IO, "%s: too many listening sockets", address);
    }
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        return rh_fail(reason, failed == EAI_MEMORY ? RH_ERR_NO_MEMORY : RH_ERR_NOT_FOUND, "%s: %s",
                       address, gai_strerror(failed));
    }
    rv = listen_on_all(server, found, address, reason);
    freeaddrinfo(found);
    return rv;
}

uint16_t rh_http_server_port(const struct rh_http_server *server)
{
    return server->listeners_count == 0 ? 0 : port_of(server->listeners[0].io.fd);
}

static void stop_listening(struct rh_http_server *server)
{
    set_accepting(server, false);
    ev_timer_stop(server->loop, &server->accept_timer);
    for (size_t i = 0; i < server->listeners_count; i++) {
        (void)close(server->listeners[i].io.fd);
    }
    server->listeners_count = 0;
}

/* ---- Life ---- */

static void init_watchers(struct rh_http_server *server)
{
    ev_timer_init(&server->accept_timer, on_accept_again, 0.0, 0.0);
    ev_timer_init(&server->deadline_timer, on_deadline, 0.0, 0.0);
    ev_timer_init(&server->resume_timer, on_resume, 0.0, 0.0);
    ev_prepare_init(&server->turn_end, on_turn_end);
    ev_set_priority(&server->turn_end, EV_MINPRI);
    server->accept_timer.data = server;
    server->deadline_timer.data = server;
    server->resume_timer.data = server;
    server->turn_end.data = server;
}

static void init_deadlines(struct rh_http_server *server)
{
    const struct rh_http_server_options *options = &server->options;
    const uint32_t lengths[DEADLINE_KINDS] = {
        [DEADLINE_HEAD] = options->head_timeout_ms,
        [DEADLINE_BODY] = options->body_timeout_ms,
        [DEADLINE_IDLE] = options->idle_timeout_ms,
        [DEADLINE_LINGER] = RH_HTTP_LINGER_TIMEOUT_MS,
        [DEADLINE_PING] = options->heartbeat_interval_ms,
        [DEADLINE_PONG] = options->heartbeat_timeout_ms - options->heartbeat_interval_ms,
        [DEADLINE_CLOSE] = options->close_timeout_ms,
    };
    for (size_t kind = 0; kind < DEADLINE_KINDS; kind++) {
        rh_deadline_list_init(&server->deadlines[kind], lengths[kind]);
    }
}

int rh_http_server_create(struct ev_loop *loop, const struct rh_http_server_options *options,
                          const struct rh_http_handler *handler, void *context,
                          struct rh_http_server **ret_server)
{
    assert(options->heartbeat_interval_ms == 0 ||
           options->heartbeat_timeout_ms > options->heartbeat_interval_ms);
    struct rh_http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    server->loop = loop;
    server->options = *options;
    server->deflater.level = options->deflate.level;
    server->handler = handler;
    server->handler_context = context;
    rh_list_init(&server->connections);
    rh_list_init(&server->turn);
    rh_list_init(&server->resume);
    init_watchers(server);
    init_deadlines(server);
    server->continue_response = rh_shared_copy(rh_bytes_text("HTTP/1.1 100 Continue\r\n\r\n"));
    server->ping_frame = rh_websocket_encode(RH_WEBSOCKET_PING, rh_bytes(NULL, 0));
    server->comment = rh_shared_copy(rh_bytes_text(RH_EVENT_STREAM_COMMENT));
    server->read_buffer = malloc(RH_HTTP_READ_SIZE);
    if (server->continue_response == NULL || server->ping_frame == NULL ||
        server->comment == NULL || server->read_buffer == NULL) {
        rh_http_server_destroy(server);
        return RH_ERR_NO_MEMORY;
    }
    *ret_server = server;
    return 0;
}

void rh_http_server_destroy(struct rh_http_server *server)
{
    if (server == NULL) {
        return;
    }
    stop_listening(server);
    rh_list_each_safe (&server->connections, link) {
        rh_http_connection_destroy(rh_container_of(link, struct rh_http_connection, link));
    }
    ev_timer_stop(server->loop, &server->deadline_timer);
    ev_timer_stop(server->loop, &server->resume_timer);
    (void)ev_clear_pending(server->loop, &server->turn_end);
    while (server->parsers_count > 0) {
        rh_http_parser_destroy(server->parsers[--server->parsers_count]);
    }
    rh_websocket_pool_finish(&server->websocket_pool);
    rh_deflater_finish(&server->deflater);
    rh_shared_give(server->continue_response);
    rh_shared_give(server->ping_frame);
    rh_shared_give(server->comment);
    rh_buffer_finish(&server->scratch);
    free(server->read_buffer);
    free(server);
}

void rh_http_server_stop(struct rh_http_server *server)
{
    server->stopping = true;
    stop_listening(server);
    rh_list_each (&server->connections, link) {
        rh_http_connection_stop(rh_container_of(link, struct rh_http_connection, link));
    }
    /* There may be none: stopped() is said at the end of this turn. */
    ev_feed_event(server->loop, &server->turn_end, EV_CUSTOM);
}

void rh_http_server_drop_unread(struct rh_http_server *server)
{
    for (size_t i = 0; i < server->listeners_count; i++) {
        accept_some(server, server->listeners[i].io.fd, LISTEN_BACKLOG);
    }
    rh_list_each (&server->connections, link) {
        struct rh_http_connection *connection =
            rh_container_of(link, struct rh_http_connection, link);
        if (rh_http_connection_has_unread(connection)) {
            server->stats.dropped_unread++;
            rh_http_connection_break(connection, RH_HTTP_CLOSE_BROKEN);
        }
    }
}

void rh_http_server_close_streams(struct rh_http_server *server, uint16_t code, const char *reason)
{
    rh_list_each (&server->connections, link) {
        struct rh_http_connection *connection =
            rh_container_of(link, struct rh_http_connection, link);
        if (connection->accepted) {
            rh_http_connection_close_websocket(connection, code, reason);
            rh_http_connection_end_events(connection);
        }
    }
}

const struct rh_http_server_stats *rh_http_server_stats(const struct rh_http_server *server)
{
    return &server->stats;
}
