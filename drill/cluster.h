/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_CLUSTER_H
#define RH_DRILL_CLUSTER_H

/*
 * The cluster of a drill, and doing steps to it: a local one, which is started here, or a running one,
 * where each step is a command of the scenario's `hooks`. Either way the requests of drain, join and
 * weight are made by this very program, run as a command, unless there is a hook for them.
 *
 * It knows what was done to the nodes, not how they are: that is drill/probe.h.
 */

#include "base/error.h"
#include "config/config.h"
#include "drill/scenario.h"
#include "proto/registration.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#define RH_CLUSTER_URL_SIZE (RH_URL_SIZE + 2) /* as http:// is longer than ws:// */

struct rh_cluster;

struct rh_cluster_node {
    char id[RH_STEP_NODE_SIZE];
    char url[RH_CLUSTER_URL_SIZE];   /* http://host:port for clients; "": not known */
    char admin[RH_CLUSTER_URL_SIZE]; /* http://host:port of the admin listener; "": not known */
    bool running;                    /* paused ones, too */
    bool paused;
    bool drained;
    uint32_t weight_milli; /* that a step gave it; 0: none did */
};

struct rh_cluster_options {
    const struct rh_scenario *scenario; /* must outlive the cluster, like the config */
    const struct rh_config *config; /* of a running cluster; NULL: a local one is to be started */
    /* What was performed is done; |failed| says why not. Called once for each, from the loop. */
    void (*on_done)(void *context, const struct rh_reason *failed);
    /* A process of a local cluster ended of itself. */
    void (*on_lost)(void *context, const struct rh_reason *reason);
    void *context;
};

/* Starts a local cluster, with its files in a new folder below $TMPDIR. Errors of
 * rh_local_create(). */
RH_MUST_CHECK int rh_cluster_create(struct ev_loop *loop, const struct rh_cluster_options *options,
                                    struct rh_cluster **ret_cluster, struct rh_reason *reason);

/* Kills a local cluster, ends what is being performed, and removes the folder unless |keep|. NULL is
 * allowed. */
void rh_cluster_destroy(struct rh_cluster *cluster, bool keep);

/* Where its files are, and what commands of hooks said. Valid as long as the cluster. */
const char *rh_cluster_folder(const struct rh_cluster *cluster);

bool rh_cluster_is_local(const struct rh_cluster *cluster);

/* Nodes that are known: valid until the next call that is not const. */
size_t rh_cluster_nodes_count(const struct rh_cluster *cluster);
const struct rh_cluster_node *rh_cluster_node(const struct rh_cluster *cluster, size_t index);
const struct rh_cluster_node *rh_cluster_find(const struct rh_cluster *cluster, const char *id);

/* Takes note of a member that a running cluster has: its URL, and that it runs. RH_ERR_FULL,
 * RH_ERR_TOO_LARGE. */
RH_MUST_CHECK int rh_cluster_learn(struct rh_cluster *cluster, const char *id, const char *url,
                                   bool drained);

/* Whether ZooKeeper was stopped by a step. */
bool rh_cluster_zookeeper_stopped(const struct rh_cluster *cluster);

/*
 * Makes what a step needs known before it is done: a new node and its addresses. RH_ERR_FULL,
 * RH_ERR_INVALID (it cannot be done to the nodes as they are), with a reason.
 */
RH_MUST_CHECK int rh_cluster_announce(struct rh_cluster *cluster, const struct rh_step *step,
                                      struct rh_reason *reason);

/* Does a step that was announced (no `wait`); on_done() comes when it is done, which is not to say
 * that the cluster has settled. One at a time. */
void rh_cluster_perform(struct rh_cluster *cluster, const struct rh_step *step);

#endif
