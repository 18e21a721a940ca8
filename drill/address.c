/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/address.h"

#include "base/bytes.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOURCE_FIRST 2U /* 127.0.0.2 */
#define SOURCES      0xf0000U

int rh_addresses_find(struct rh_addresses *addresses, const char *host,
                      const struct rh_address **ret_address, struct rh_reason *reason)
{
    for (size_t i = 0; i < addresses->count; i++) {
        if (strcmp(addresses->items[i].host, host) == 0) {
            *ret_address = &addresses->items[i];
            return 0;
        }
    }
    if (addresses->count == RH_ADDRESSES_MAX) {
        return rh_fail(reason, RH_ERR_FULL, "more than %d hosts", RH_ADDRESSES_MAX);
    }
    struct rh_address *address = &addresses->items[addresses->count];
    int rv = rh_ev_resolve(host, false, &address->sockets, reason);
    if (rv != 0) {
        return rv;
    }
    (void)snprintf(address->host, sizeof(address->host), "%s", host);
    addresses->count++;
    *ret_address = address;
    return 0;
}

/* From its own address on loopback; which port is decided when it connects, so that each address
 * has all ports for each target. */
static int set_source(int fd, const struct sockaddr_in *target, uint32_t source)
{
    const int one = 1;
    if (ntohl(target->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
        return 0;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl((IN_LOOPBACKNET << 24) + SOURCE_FIRST + source % SOURCES),
    };
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) != 0) {
        return -1;
    }
    return bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

int rh_address_connect(const struct rh_address *address, uint32_t attempt, uint32_t source,
                       int *ret_fd)
{
    size_t index = attempt % address->sockets.count;
    const struct sockaddr *target =
        (const struct sockaddr *)(const void *)&address->sockets.items[index];
    const int one = 1;
    int fd = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno == EMFILE || errno == ENFILE ? RH_ERR_FULL : RH_ERR_UNREACHABLE;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int rv = target->sa_family == AF_INET
                 ? set_source(fd, (const struct sockaddr_in *)(const void *)target, source)
                 : 0;
    if (rv == 0) {
        rv = connect(fd, target, address->sockets.sizes[index]);
    }
    if (rv != 0 && errno != EINPROGRESS) {
        int code = errno == EADDRNOTAVAIL ? RH_ERR_FULL : RH_ERR_UNREACHABLE;
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}
