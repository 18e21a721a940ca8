/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_SETTLE_H
#define RH_DRILL_SETTLE_H

/*
 * Whether a cluster has come to rest: all nodes that run hold the same view, it has the members that
 * it should have, and no channel is on its way or short of copies. Judged by what nodes say of
 * themselves. Pure.
 */

#include "base/error.h"
#include "drill/probe.h"

#include <stdbool.h>

/* How one node should be. */
struct rh_settle_node {
    const char *id;
    bool drained;          /* weight 0 */
    uint32_t weight_milli; /* that it should have; 0: any above 0 */
    bool has_admin;        /* its status is asked for */
};

/*
 * Whether |answers|, one for each of |nodes| in the same order, are those of a cluster at rest.
 * |without_zookeeper|: it does not run, so nobody reaches it. If not, |reason| says what is missing.
 */
bool rh_settled(const struct rh_settle_node *nodes, const struct rh_probe_answer *answers,
                size_t count, bool without_zookeeper, struct rh_reason *reason);

#endif
