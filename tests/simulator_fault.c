/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_FAULTS
#define RH_FAULTS /* rh_fault() is a function here */
#endif
#include "tests/simulator_fault.h"

#include <string.h>

static enum rh_fault current;

static const char *const names[] = {[RH_FAULT_NONE] = "NONE",
#define SIM_FAULT_NAME(name, text) [RH_FAULT_##name] = #name,
                                    RH_FAULT_MAP(SIM_FAULT_NAME)
#undef SIM_FAULT_NAME
};

bool rh_fault(enum rh_fault fault)
{
    return current == fault;
}

void sim_fault_set(enum rh_fault fault)
{
    current = fault;
}

enum rh_fault sim_fault_find(const char *name)
{
    for (int i = 0; i < RH_FAULTS_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum rh_fault)i;
        }
    }
    return RH_FAULTS_COUNT;
}
