/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ZK_SERVERS_H
#define RH_NODE_ZK_SERVERS_H

/*
 * The list of ZooKeeper servers, from what people write ("zk1:2181,[::1]:2181") to the numeric
 * addresses that the client library is given. The library would resolve names by itself, and
 * block, each time it has to connect again; numeric addresses never block.
 */

#include "base/error.h"

#define RH_ZK_SERVERS_MAX 32 /* addresses after resolution; more are ignored */

/* RH_ERR_INVALID with a reason: empty, or an entry that is not host:port or [v6]:port. */
RH_MUST_CHECK int rh_zk_servers_check(const char *servers, struct rh_reason *reason);

/*
 * Resolves every name, which may block, and gives the addresses in the form that the library
 * reads; the caller frees it. Names that cannot be resolved are left out.
 * RH_ERR_UNREACHABLE with a reason: not one could be. RH_ERR_NO_MEMORY. |servers| must have passed
 * the check.
 */
RH_MUST_CHECK int rh_zk_servers_resolve(const char *servers, char **ret_addresses,
                                        struct rh_reason *reason);

#endif
