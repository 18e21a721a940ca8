/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_SCALE_H
#define RH_TESTS_SIMULATOR_SCALE_H

/*
 * Many nodes, and one change of the cluster: what it takes until all is at rest, and whether every
 * channel is where it ought to be then. docs/scaling.md says what came of it.
 */

#include "tests/simulator.h"

/* NONE: there is none of that name. */
enum sim_change sim_change_find(const char *name);
const char *sim_change_name(enum sim_change change);
const char *sim_change_text(enum sim_change change);

/* Starts the nodes of |sim|, a wide one, fills its channels, makes its change and waits for rest. With
 * `report` it says there what that took. Returns how long it was until all was at rest. */
uint64_t sim_scale_run(struct sim *sim);

#endif
