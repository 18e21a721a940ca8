/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_FAULT_H
#define RH_TESTS_SIMULATOR_FAULT_H

/*
 * Rules that the simulator's own core and membership break on purpose: node/fault.h has the list.
 */

#include "node/fault.h"

#include <stdbool.h>

/* From now on, for the whole process; RH_FAULT_NONE: none. */
void sim_fault_set(enum rh_fault fault);

/* The fault of that name ("NO_TOMB"); RH_FAULTS_COUNT: there is none. */
enum rh_fault sim_fault_find(const char *name);

#endif
