/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_SNAPSHOT_H
#define RH_CLI_SNAPSHOT_H

/*
 * The membership as it stands: one consistent snapshot of ZooKeeper, read the way a node reads it
 * (docs/membership.md), or what the config file alone would give.
 */

#include "cli/cli.h"
#include "cli/zookeeper.h"
#include "node/view.h"

/*
 * Reads the view of the cluster; the caller gives it back with rh_view_give(). With the ring of
 * ZooKeeper's config, which is the one the nodes use.
 * RH_ERR_NOT_FOUND: no node of the cluster has ever registered. RH_ERR_UNREACHABLE: not within the
 * deadline. RH_ERR_INVALID: what stands there cannot be read. All with a reason. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_snapshot_read(struct rh_zookeeper *zookeeper, const char *cluster,
                                   struct rh_view **ret_view, struct rh_reason *reason);

/* The view in which exactly the nodes of the file are registered, with epoch (0, 0) and no
 * instances. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_snapshot_offline(const struct rh_config *config, struct rh_view **ret_view);

/* For a command that reads once: connects, reads, disconnects, or goes by the file when |offline|.
 * The exit code to end with, after the message, or RH_EXIT_DONE. Warns when ZooKeeper's ring is
 * another than that of the file. */
enum rh_exit rh_snapshot_for(const struct rh_cli *cli, bool offline, struct rh_view **ret_view);

/* The same over a connection that is there. */
enum rh_exit rh_snapshot_read_for(const struct rh_cli *cli, struct rh_zookeeper *zookeeper,
                                  struct rh_view **ret_view);

#endif
