/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_MUTATION_H
#define RH_TESTS_SIMULATOR_MUTATION_H

/*
 * Faults injected into the machines themselves: functions that their files call of one another are
 * replaced at link time (-Wl,--wrap), in the simulator only, and do the wrong thing while a
 * mutation is on. Faults at the edge of the machines are injected by the simulator's own modules.
 */

#include "tests/simulator.h"

/* From now on, for the whole process. */
void sim_mutate(enum sim_mutation mutation);

#endif
