/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_DAEMON_H
#define RH_NODE_DAEMON_H

/*
 * One node, whole: the loop, the listeners, the peer links, the membership and the core between
 * them. main() reads flags and config and runs it.
 */

#include "base/log.h"
#include "config/config.h"

/* Everything is lent for the duration of rh_daemon_run(). */
struct rh_daemon_options {
    const struct rh_config *config;
    const struct rh_config_node *node; /* which one we are */
    const struct rh_logger *logger;
};

/*
 * Runs the node until it is told to stop by SIGTERM or SIGINT. 0: it left in order.
 * Otherwise |reason| says why it could not start or had to stop:
 * RH_ERR_CONFLICT: refused by the cluster (config mismatch, its id is taken).
 * RH_ERR_INVALID, RH_ERR_IO, RH_ERR_EXISTS, RH_ERR_NO_MEMORY ...: could not start.
 */
RH_MUST_CHECK int rh_daemon_run(const struct rh_daemon_options *options, struct rh_reason *reason);

#endif
