/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PLAN_LOAD_H
#define RH_CLI_PLAN_LOAD_H

/*
 * What the nodes have told about a plan (/v1/forecast of their admin listeners), summed: the load of
 * each node before and after, what goes where, and how long it takes. Pure.
 *
 *     rh_plan_create() --> rh_plan_take() for each answer --> rh_plan_complete()
 */

#include "cli/plan.h"

#include <jansson.h>

/* A transfer of one copy takes about so long, from its start to the answer: what `in_flight` allows in
 * a second follows from that. */
#define RH_PLAN_TRANSFER_MS 2.0

/*
 * Takes the answer of the node |id| (which need not be in the plan: it may be outside the ring and
 * have channels yet). RH_ERR_INVALID with a reason: it is not what a node answers, of that node and of
 * |epoch|; nothing was taken. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_plan_take(struct rh_plan *plan, const char *id, struct rh_epoch epoch,
                               const json_t *answer, struct rh_reason *reason);

/* All answers are in, of all registered nodes if |all|: sums up. Nodes that are not registered yet have
 * nothing, and |limits| and |in_flight|. */
void rh_plan_complete(struct rh_plan *plan, bool all, const struct rh_plan_load *limits,
                      uint32_t in_flight);

#endif
