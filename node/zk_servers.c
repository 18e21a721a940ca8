/* SPDX-License-Identifier: Apache-2.0 */
#include "node/zk_servers.h"

#include "base/buffer.h"
#include "base/bytes.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#define HOST_SIZE 256
#define PORT_SIZE 6

/* Cuts the next entry off |*rest|; false at the end. */
static bool next_entry(struct rh_bytes *rest, struct rh_bytes *ret_entry)
{
    if (rest->data == NULL) {
        return false;
    }
    const char *comma = memchr(rest->data, ',', rest->size);
    size_t size = comma == NULL ? rest->size : (size_t)(comma - rest->data);
    *ret_entry = rh_bytes(rest->data, size);
    *rest = comma == NULL ? rh_bytes(NULL, 0) : rh_bytes(comma + 1, rest->size - size - 1);
    return true;
}

/* Splits "host:port" or "[v6]:port". */
static int split(struct rh_bytes entry, char ret_host[static HOST_SIZE],
                 char ret_port[static PORT_SIZE])
{
    const char *colon = entry.size == 0 ? NULL : memrchr(entry.data, ':', entry.size);
    if (colon == NULL) {
        return RH_ERR_INVALID;
    }
    struct rh_bytes host = rh_bytes(entry.data, (size_t)(colon - entry.data));
    struct rh_bytes port = rh_bytes(colon + 1, entry.size - host.size - 1);
    uint64_t number = 0;
    int rv = rh_bytes_to_u64(port, UINT16_MAX, &number);
    if (rv != 0 || number == 0) {
        return RH_ERR_INVALID;
    }
    if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = rh_bytes(host.data + 1, host.size - 2);
    } else if (host.size > 0 && memchr(host.data, ':', host.size) != NULL) {
        return RH_ERR_INVALID;
    }
    if (host.size == 0 || host.size >= HOST_SIZE) {
        return RH_ERR_INVALID;
    }
    for (size_t i = 0; i < host.size; i++) {
        /* A slash would be taken for a root path, a blank for part of a name. */
        if ((unsigned char)host.data[i] <= 0x20 || strchr("/[]\x7f", host.data[i]) != NULL) {
            return RH_ERR_INVALID;
        }
    }
    (void)snprintf(ret_host, HOST_SIZE, "%.*s", RH_BYTES_ARG(host));
    (void)snprintf(ret_port, PORT_SIZE, "%u", (unsigned)number);
    return 0;
}

int rh_zk_servers_check(const char *servers, struct rh_reason *reason)
{
    struct rh_bytes rest = rh_bytes_text(servers);
    struct rh_bytes entry;
    while (next_entry(&rest, &entry)) {
        char host[HOST_SIZE];
        char port[PORT_SIZE];
        if (split(entry, host, port) != 0) {
            return rh_fail(reason, RH_ERR_INVALID,
                           "ZooKeeper server \"%.*s\" is not host:port or [v6]:port",
                           RH_BYTES_ARG(entry));
        }
    }
    return 0;
}

static int append_addresses(struct rh_buffer *list, const struct addrinfo *found, const char *port,
                            size_t *count)
{
    for (; found != NULL && *count < RH_ZK_SERVERS_MAX; found = found->ai_next) {
        char host[HOST_SIZE];
        if (getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), NULL, 0,
                        NI_NUMERICHOST) != 0) {
            continue;
        }
        /* The library takes what is before the last colon, without brackets. */
        int rv = rh_buffer_format(list, "%s%s:%s", *count == 0 ? "" : ",", host, port);
        if (rv != 0) {
            return rv;
        }
        (*count)++;
    }
    return 0;
}

static int resolve_all(const char *servers, struct rh_buffer *list, struct rh_reason *reason)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_protocol = IPPROTO_TCP,
                                   .ai_flags = AI_NUMERICSERV};
    struct rh_bytes rest = rh_bytes_text(servers);
    struct rh_bytes entry;
    size_t count = 0;
    while (next_entry(&rest, &entry)) {
        char host[HOST_SIZE];
        char port[PORT_SIZE];
        int rv = split(entry, host, port);
        assert(rv == 0);
        struct addrinfo *found = NULL;
        int error = getaddrinfo(host, port, &hints, &found);
        if (error != 0) {
            (void)rh_fail(reason, RH_ERR_UNREACHABLE, "%s: %s", host, gai_strerror(error));
            continue;
        }
        rv = append_addresses(list, found, port, &count);
        freeaddrinfo(found);
        if (rv != 0) {
            return rv;
        }
    }
    return count > 0 ? 0 : RH_ERR_UNREACHABLE;
}

int rh_zk_servers_resolve(const char *servers, char **ret_addresses, struct rh_reason *reason)
{
    struct rh_buffer list = {0};
    int rv = resolve_all(servers, &list, reason);
    if (rv != 0) {
        rh_buffer_finish(&list);
        return rv;
    }
    char *addresses = rh_buffer_take_text(&list);
    rh_buffer_finish(&list);
    if (addresses == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    *ret_addresses = addresses;
    return 0;
}
