/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_dial.h"

#include "config/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_BACKLOG 512

/* Like rh_address_split(), but who listens may also leave the port to the kernel with a 0. */
static int split(const char *address, bool listening, char ret_host[static 256], uint16_t *ret_port)
{
    char copy[300];
    size_t size = strlen(address);
    if (!listening || size < 2 || size >= sizeof(copy) || strcmp(address + size - 2, ":0") != 0) {
        return rh_address_split(address, ret_host, ret_port);
    }
    memcpy(copy, address, size + 1);
    copy[size - 1] = '1';
    int rv = rh_address_split(copy, ret_host, ret_port);
    if (rv == 0) {
        *ret_port = 0;
    }
    return rv;
}

int rh_ev_resolve(const char *address, bool listening, struct rh_ev_addresses *ret_addresses,
                  struct rh_reason *reason)
{
    char host[256];
    char service[8];
    uint16_t port = 0;
    struct addrinfo *found = NULL;
    int rv = split(address, listening, host, &port);
    if (rv != 0) {
        return rh_fail(reason, rv, "%s: not of the form host:port", address);
    }
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (listening ? AI_PASSIVE : 0),
    };
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed == EAI_NONAME) {
        hints.ai_flags &= ~AI_NUMERICHOST;
        failed = getaddrinfo(host, service, &hints, &found);
    }
    if (failed != 0) {
        return rh_fail(reason, RH_ERR_NOT_FOUND, "%s: %s", address, gai_strerror(failed));
    }
    struct rh_ev_addresses addresses = {0};
    for (struct addrinfo *at = found; at != NULL && addresses.count < RH_EV_ADDRESSES_MAX;
         at = at->ai_next) {
        assert(at->ai_addrlen <= sizeof(addresses.items[0]));
        memcpy(&addresses.items[addresses.count], at->ai_addr, at->ai_addrlen);
        addresses.sizes[addresses.count] = at->ai_addrlen;
        addresses.count++;
    }
    freeaddrinfo(found);
    *ret_addresses = addresses;
    return 0;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

/* A socket that listens on one address, or -1 with errno. */
static int listen_on(const struct sockaddr_storage *address, socklen_t address_size)
{
    const int yes = 1;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    /* A restarted process must not wait for the connections of the one before it to time out. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(fd, (const struct sockaddr *)address, address_size) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int rh_ev_listen(const char *address, int *ret_fd, uint16_t *ret_port, struct rh_reason *reason)
{
    struct rh_ev_addresses addresses;
    int rv = rh_ev_resolve(address, true, &addresses, reason);
    if (rv != 0) {
        return rv;
    }
    int fd = -1;
    for (size_t i = 0; i < addresses.count && fd < 0; i++) {
        fd = listen_on(&addresses.items[i], addresses.sizes[i]);
    }
    if (fd < 0) {
        return rh_fail(reason, RH_ERR_IO, "%s: cannot listen: %s", address, strerror(errno));
    }
    struct sockaddr_storage bound = {0};
    socklen_t bound_size = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_size) != 0) {
        int error = errno;
        (void)close(fd);
        return rh_fail(reason, RH_ERR_IO, "%s: cannot listen: %s", address, strerror(error));
    }
    *ret_fd = fd;
    *ret_port = port_of(&bound);
    return 0;
}

static void finish(struct rh_ev_dial *dial, enum rh_ev_dial_result result)
{
    int fd = dial->fd;
    ev_io_stop(dial->loop, &dial->io);
    ev_timer_stop(dial->loop, &dial->later);
    dial->fd = -1;
    assert((result == RH_EV_DIAL_CONNECTED) == (fd >= 0));
    dial->callback(dial->context, result, fd, fd >= 0 ? "" : dial->reason);
}

/* Notes why one address did not work. */
static void note_error(struct rh_ev_dial *dial, int error)
{
    dial->all_refused = dial->all_refused && error == ECONNREFUSED;
    (void)snprintf(dial->reason, sizeof(dial->reason), "%s", strerror(error));
    if (dial->fd >= 0) {
        ev_io_stop(dial->loop, &dial->io);
        (void)close(dial->fd);
        dial->fd = -1;
    }
}

/* Starts connecting to the next address, if there is one that lets us begin. */
static bool try_next(struct rh_ev_dial *dial)
{
    while (dial->next < dial->addresses.count) {
        const struct sockaddr_storage *address = &dial->addresses.items[dial->next];
        socklen_t size = dial->addresses.sizes[dial->next];
        dial->next++;
        dial->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (dial->fd < 0) {
            note_error(dial, errno);
            continue;
        }
        if (connect(dial->fd, (const struct sockaddr *)address, size) != 0 &&
            errno != EINPROGRESS) {
            note_error(dial, errno);
            continue;
        }
        ev_io_set(&dial->io, dial->fd, EV_WRITE);
        ev_io_start(dial->loop, &dial->io);
        return true;
    }
    return false;
}

/* On loopback the kernel may pick the very port that is dialled, and connect the socket to
 * itself: then nobody listens there. */
static bool connected_to_itself(int fd)
{
    struct sockaddr_storage here = {0};
    struct sockaddr_storage there = {0};
    socklen_t here_size = sizeof(here);
    socklen_t there_size = sizeof(there);
    return getsockname(fd, (struct sockaddr *)&here, &here_size) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_size) == 0 &&
           here_size == there_size && memcmp(&here, &there, here_size) == 0;
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_ev_dial *dial = watcher->data;
    int error = 0;
    socklen_t error_size = sizeof(error);
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0) {
        error = errno;
    }
    if (error == 0 && connected_to_itself(dial->fd)) {
        error = ECONNREFUSED;
    }
    if (error == 0) {
        finish(dial, RH_EV_DIAL_CONNECTED);
        return;
    }
    note_error(dial, error);
    if (!try_next(dial)) {
        finish(dial, dial->all_refused ? RH_EV_DIAL_REFUSED : RH_EV_DIAL_FAILED);
    }
}

static void on_later(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_ev_dial *dial = watcher->data;
    finish(dial, dial->all_refused ? RH_EV_DIAL_REFUSED : RH_EV_DIAL_FAILED);
}

void rh_ev_dial_init(struct rh_ev_dial *dial, struct ev_loop *loop, const char *address,
                     rh_ev_dialled *callback, void *context)
{
    *dial = (struct rh_ev_dial){
        .loop = loop, .address = address, .callback = callback, .context = context, .fd = -1};
    ev_init(&dial->io, on_writable);
    ev_init(&dial->later, on_later);
    dial->io.data = dial;
    dial->later.data = dial;
}

void rh_ev_dial_start(struct rh_ev_dial *dial)
{
    assert(dial->fd < 0 && !ev_is_active(&dial->later));
    struct rh_reason reason = {0};
    bool resolved = dial->addresses.count > 0;
    if (!resolved) {
        resolved = rh_ev_resolve(dial->address, false, &dial->addresses, &reason) == 0;
        ev_now_update(dial->loop); /* it may have taken long */
    }
    (void)snprintf(dial->reason, sizeof(dial->reason), "%s", reason.text);
    dial->next = 0;
    dial->all_refused = resolved;
    if (!try_next(dial)) {
        ev_timer_set(&dial->later, 0., 0.);
        ev_timer_start(dial->loop, &dial->later);
    }
}

void rh_ev_dial_stop(struct rh_ev_dial *dial)
{
    ev_io_stop(dial->loop, &dial->io);
    ev_timer_stop(dial->loop, &dial->later);
    if (dial->fd >= 0) {
        (void)close(dial->fd);
        dial->fd = -1;
    }
}
