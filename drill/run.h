/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_RUN_H
#define RH_DRILL_RUN_H

/*
 * A drill, from the first process to the verdict:
 *
 *      start   the workers of the load, then the cluster; wait until it has settled
 *      connect all clients
 *      steps   publishers begin; for each step: tell the load what may be disturbed, do it, wait until
 *              the cluster has settled, note the rings and who moved
 *      finish  publishers end, all that was acknowledged arrives, the ledger is judged
 *
 *      load.h    clients, publishers, ledger
 *      cluster.h what is done to nodes            settle.h  whether they have come to rest
 *      probe.h   what nodes say of themselves     rings.h   who should have moved
 *      result.h  what came of it                  show.h    what a person sees meanwhile
 */

#include "base/error.h"
#include "config/config.h"
#include "drill/scenario.h"

#include <jansson.h>
#include <stdbool.h>

struct rh_drill_options {
    const struct rh_scenario *scenario;
    const struct rh_config *config; /* of the running cluster to act on; NULL: a local one */
    bool keep;                      /* the folder of the cluster */
};

/*
 * Runs a drill; what it finds is |ret_result|, which the caller decrefs, with the verdict in its `ok`.
 * RH_ERR_CLOSED: SIGINT or SIGTERM ended it. Others: it could not be run. All with a reason. In any
 * case nothing that was started runs any more.
 */
RH_MUST_CHECK int rh_drill_run(const struct rh_drill_options *options, json_t **ret_result,
                               struct rh_reason *reason);

#endif
