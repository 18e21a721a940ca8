/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_TARGETS_H
#define RH_CLI_TARGETS_H

/*
 * Which nodes to talk to about a key, best first: its owner, the rest of its preference list, then
 * all others. From ZooKeeper, or, while that is not reachable, from the config file: nodes serve
 * without it, so clients must find them without it.
 */

#include "base/bytes.h"
#include "cli/cli.h"
#include "node/view.h"

struct rh_target {
    char node[RH_NODE_ID_SIZE];
    char url[RH_URL_SIZE]; /* ws:// or wss:// */
};

struct rh_targets {
    struct rh_target *targets;
    size_t count; /* at least 1 */
};

/* The view of ZooKeeper, or that of the config file (then |ret_offline| is true) when ZooKeeper cannot
 * be asked. The caller gives it back. Errors are those of rh_snapshot_read(). */
RH_MUST_CHECK int rh_targets_view(const struct rh_config *config, uint32_t timeout_ms,
                                  struct rh_view **ret_view, bool *ret_offline,
                                  struct rh_reason *reason);

/*
 * |ret_targets| is freed by rh_targets_finish(). RH_ERR_NOT_FOUND with a reason: there is no node.
 * RH_ERR_NO_MEMORY. When it goes by the config file, |ret_offline| is true.
 */
RH_MUST_CHECK int rh_targets_find(const struct rh_config *config, struct rh_bytes key,
                                  uint32_t timeout_ms, struct rh_targets *ret_targets,
                                  bool *ret_offline, struct rh_reason *reason);

void rh_targets_finish(struct rh_targets *targets);

#endif
