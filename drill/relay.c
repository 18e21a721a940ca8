/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/relay.h"

#include "base/buffer.h"
#include "base/list.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_SIZE  16384
#define QUEUE_MAX   (1024 * 1024) /* bytes that wait for a slow end */
#define BACKLOG_MAX 16

struct pair;

/* One end of a connection that is relayed. */
struct end {
    struct pair *pair;
    struct end *other;
    int fd; /* -1: closed */
    ev_io readable;
    ev_io writable;
    struct rh_buffer queue; /* to be written to it */
};

struct pair {
    struct rh_list link; /* relay->pairs */
    struct rh_relay *relay;
    struct end near; /* the node */
    struct end far;  /* ZooKeeper; fd -1 when it came during a cut */
};

struct rh_relay {
    struct ev_loop *loop;
    uint16_t port;   /* ours */
    uint16_t target; /* where it leads */
    int listener;
    ev_io acceptable;
    struct rh_list pairs;
    bool cut;
    rh_relay_given_up *given_up;
    void *context;
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void end_finish(struct end *end)
{
    struct ev_loop *loop = end->pair->relay->loop;
    if (end->fd >= 0) {
        ev_io_stop(loop, &end->readable);
        ev_io_stop(loop, &end->writable);
        (void)close(end->fd);
    }
    rh_buffer_finish(&end->queue);
}

static void pair_destroy(struct pair *pair)
{
    end_finish(&pair->near);
    end_finish(&pair->far);
    rh_list_remove(&pair->link);
    free(pair);
}

static void drop_all(struct rh_relay *relay)
{
    while (!rh_list_empty(&relay->pairs)) {
        pair_destroy(rh_container_of(rh_list_first(&relay->pairs), struct pair, link));
    }
}

/* Writes what waits. False: the connection is broken. */
static bool end_flush(struct end *end)
{
    struct rh_bytes bytes = rh_buffer_content(&end->queue);
    if (bytes.size > 0) {
        ssize_t sent = send(end->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        /* ENOTCONN: still being connected */
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
            return false;
        }
        rh_buffer_consume(&end->queue, sent > 0 ? (size_t)sent : 0);
    }
    struct ev_loop *loop = end->pair->relay->loop;
    if (rh_buffer_size(&end->queue) > 0) {
        ev_io_start(loop, &end->writable);
    } else {
        ev_io_stop(loop, &end->writable);
    }
    return true;
}

/* Reads once, and passes it on unless the relay is cut. False: the connection is over. */
static bool end_read(struct end *end)
{
    char chunk[CHUNK_SIZE];
    ssize_t size = recv(end->fd, chunk, sizeof(chunk), 0);
    if (size < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (size == 0) {
        return false;
    }
    if (end->pair->relay->cut || end->other->fd < 0) {
        return true;
    }
    return rh_buffer_size(&end->other->queue) < QUEUE_MAX &&
           rh_buffer_append(&end->other->queue, chunk, (size_t)size) == 0 && end_flush(end->other);
}

static void on_readable(struct ev_loop *loop RH_UNUSED, ev_io *watcher, int events RH_UNUSED)
{
    struct end *end = watcher->data;
    if (end_read(end)) {
        return;
    }
    struct rh_relay *relay = end->pair->relay;
    if (!relay->cut) {
        pair_destroy(end->pair);
    } else if (end == &end->pair->far) {
        pair_destroy(end->pair);
        relay->given_up(relay->context);
    } else {
        end_finish(end); /* which the far side does not hear of either */
        end->fd = -1;
    }
}

static void on_writable(struct ev_loop *loop RH_UNUSED, ev_io *watcher, int events RH_UNUSED)
{
    struct end *end = watcher->data;
    if (!end->pair->relay->cut && !end_flush(end)) {
        pair_destroy(end->pair);
    }
}

static void end_init(struct end *end, struct pair *pair, struct end *other, int fd)
{
    *end = (struct end){.pair = pair, .other = other, .fd = fd};
    ev_io_init(&end->readable, on_readable, fd, EV_READ);
    ev_io_init(&end->writable, on_writable, fd, EV_WRITE);
    end->readable.data = end;
    end->writable.data = end;
    if (fd >= 0) {
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        ev_io_start(pair->relay->loop, &end->readable);
    }
}

static int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = loopback(port);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void on_acceptable(struct ev_loop *loop RH_UNUSED, ev_io *watcher, int events RH_UNUSED)
{
    struct rh_relay *relay = watcher->data;
    int near = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (near < 0) {
        return;
    }
    int far = relay->cut ? -1 : dial(relay->target);
    struct pair *pair = far >= 0 || relay->cut ? calloc(1, sizeof(*pair)) : NULL;
    if (pair == NULL) {
        (void)close(near);
        if (far >= 0) {
            (void)close(far);
        }
        return;
    }
    pair->relay = relay;
    rh_list_push_back(&relay->pairs, &pair->link);
    end_init(&pair->near, pair, &pair->far, near);
    end_init(&pair->far, pair, &pair->near, far);
}

static int listen_somewhere(struct rh_relay *relay)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (relay->listener < 0 ||
        bind(relay->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(relay->listener, BACKLOG_MAX) != 0 ||
        getsockname(relay->listener, (struct sockaddr *)&address, &size) != 0) {
        return RH_ERR_IO;
    }
    relay->port = ntohs(address.sin_port);
    return 0;
}

int rh_relay_start(struct ev_loop *loop, uint16_t port, rh_relay_given_up *given_up, void *context,
                   struct rh_relay **ret_relay, struct rh_reason *reason)
{
    struct rh_relay *relay = calloc(1, sizeof(*relay));
    if (relay == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    relay->loop = loop;
    relay->target = port;
    relay->given_up = given_up;
    relay->context = context;
    rh_list_init(&relay->pairs);
    if (listen_somewhere(relay) != 0) {
        int rv =
            rh_fail(reason, RH_ERR_IO, "a relay to ZooKeeper cannot listen: %s", strerror(errno));
        if (relay->listener >= 0) {
            (void)close(relay->listener);
        }
        free(relay);
        return rv;
    }
    ev_io_init(&relay->acceptable, on_acceptable, relay->listener, EV_READ);
    relay->acceptable.data = relay;
    ev_io_start(loop, &relay->acceptable);
    *ret_relay = relay;
    return 0;
}

void rh_relay_stop(struct rh_relay *relay)
{
    if (relay == NULL) {
        return;
    }
    drop_all(relay);
    ev_io_stop(relay->loop, &relay->acceptable);
    (void)close(relay->listener);
    free(relay);
}

uint16_t rh_relay_port(const struct rh_relay *relay)
{
    return relay->port;
}

void rh_relay_cut(struct rh_relay *relay)
{
    relay->cut = true;
}

void rh_relay_restore(struct rh_relay *relay)
{
    relay->cut = false;
    drop_all(relay);
}
