/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_ADDRESS_H
#define RH_DRILL_ADDRESS_H

/*
 * Where URLs lead, and sockets to there. A host is looked up once and kept. Many connections from
 * one machine to its own loopback interface come from several addresses (127.0.0.2, .3, ...), since
 * one has only some 28,000 ports.
 */

#include "drill/load.h"
#include "node/ev_dial.h"

#include <stddef.h>
#include <stdint.h>

#define RH_ADDRESSES_MAX 256 /* hosts */

struct rh_address {
    char host[RH_LOAD_URL_SIZE]; /* host:port */
    struct rh_ev_addresses sockets;
};

struct rh_addresses {
    struct rh_address items[RH_ADDRESSES_MAX];
    size_t count;
};

/* Looks up |host|, which may block for the first time. The result is valid as long as |addresses|.
 * RH_ERR_INVALID, RH_ERR_NOT_FOUND, RH_ERR_FULL. */
RH_MUST_CHECK int rh_addresses_find(struct rh_addresses *addresses, const char *host,
                                    const struct rh_address **ret_address,
                                    struct rh_reason *reason);

/*
 * A socket that connects without blocking. |attempt| picks one of several addresses of a host,
 * |source| the address that it comes from, on loopback. RH_ERR_FULL: no descriptor, or no port is left.
 * RH_ERR_UNREACHABLE.
 */
RH_MUST_CHECK int rh_address_connect(const struct rh_address *address, uint32_t attempt,
                                     uint32_t source, int *ret_fd);

#endif
