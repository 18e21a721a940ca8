/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_APPLY_H
#define RH_CLI_APPLY_H

/*
 * Whether a cluster is on the way that a plan has taken: questions about views, asked between the
 * steps of `ringhop apply`. Pure.
 */

#include "node/proposal.h"

/*
 * |view| came of |base|, the view of the plan, by nothing but what the plan wants: whoever it does not
 * name has the weight that it had, and runs if it had one; those that it names have the old weight or
 * the new one, and a node to add may have any, and has the planned zone.
 * RH_ERR_CONFLICT with a reason that names the first node that is otherwise.
 */
RH_MUST_CHECK int rh_apply_check(const struct rh_proposal *proposal, const struct rh_view *base,
                                 const struct rh_view *view, struct rh_reason *reason);

/* How many nodes are to be added. */
size_t rh_apply_count_adds(const struct rh_proposal *proposal);

/* The first node to add for which |is_there| says no; NULL: there is none. */
const struct rh_change *
rh_apply_missing(const struct rh_proposal *proposal, const struct rh_view *view,
                 bool (*is_there)(const struct rh_view *view, const struct rh_change *change));

/* For rh_apply_missing(): it is registered; it has the planned weight. */
bool rh_apply_is_registered(const struct rh_view *view, const struct rh_change *change);
bool rh_apply_has_weight(const struct rh_view *view, const struct rh_change *change);

#endif
