/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_FAULTS
#define RH_FAULTS /* rh_fault() is a function here */
#endif
#include "tests/simulator_fault.h"

#include <string.h>

static enum rh_fault current;

static const struct {
    const char *name;
    const char *text;
} faults[] = {[RH_FAULT_NONE] = {"NONE", "none"},
#define SIM_FAULT_ROW(name, text) [RH_FAULT_##name] = {#name, text},
              RH_FAULT_MAP(SIM_FAULT_ROW)
#undef SIM_FAULT_ROW
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
        if (strcmp(faults[i].name, name) == 0) {
            return (enum rh_fault)i;
        }
    }
    return RH_FAULTS_COUNT;
}

const char *sim_fault_name(enum rh_fault fault)
{
    return faults[fault].name;
}

const char *sim_fault_text(enum rh_fault fault)
{
    return faults[fault].text;
}
