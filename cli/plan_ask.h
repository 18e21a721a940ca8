/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PLAN_ASK_H
#define RH_CLI_PLAN_ASK_H

/*
 * Asks all registered nodes, at their admin listeners, what a plan would do to their channels.
 */

#include "cli/cli.h"
#include "cli/plan.h"

/*
 * Asks for the plan whose id is |text| and which |plan| was made of, and puts in what they answer. Who
 * cannot be asked is warned of and left out. RH_EXIT_REFUSED, after a message: the view changed
 * meanwhile. Otherwise RH_EXIT_DONE, or out of memory.
 */
enum rh_exit rh_plan_ask(const struct rh_cli *cli, const struct rh_view *view, const char *text,
                         struct rh_plan *plan);

#endif
