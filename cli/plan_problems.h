/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PLAN_PROBLEMS_H
#define RH_CLI_PLAN_PROBLEMS_H

/*
 * What speaks against a plan: zones that do not do what zones are for, nodes that would be beyond
 * their limits, numbers that are not known. Pure.
 *
 * Codes, which scripts may go by:
 *
 *   few_nodes         fewer nodes with weight than copies wanted
 *   few_zones         fewer zones than copies wanted: some copies of each channel share one
 *   one_zone          all copies of all channels in one zone
 *   no_zone           a node without zone among nodes that have one
 *   zone_too_small    a zone that the others lean on: its nodes would hold far more copies than
 *                     their weight is worth
 *   channels_limit, connections_limit, copies_limit
 *                     a node would have more than it may
 *   channels_limit_on_loss, connections_limit_on_loss
 *                     it would if one more node were lost, where it would not be otherwise
 *   under_way         channels move already for an earlier change
 *   not_counted       a registered node did not answer: the numbers lack its channels
 *   loss_not_counted  there are too many nodes to look at the loss of one more
 *   not_running       a node to add is not registered
 */

#include "cli/plan.h"

#define RH_PLAN_PROBLEM_SIZE 256

struct rh_plan_problem {
    const char *code;           /* static */
    char node[RH_NODE_ID_SIZE]; /* "": it is about no single one */
    char text[RH_PLAN_PROBLEM_SIZE];
};

struct rh_plan_problems {
    struct rh_plan_problem *items;
    size_t count;
};

/* Looks for all of them in a plan; of the limits only when it knows the load. The caller calls
 * rh_plan_problems_finish() in any case. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_plan_problems_find(const struct rh_plan *plan, bool offline,
                                        struct rh_plan_problems *ret_problems);

void rh_plan_problems_finish(struct rh_plan_problems *problems);

#endif
