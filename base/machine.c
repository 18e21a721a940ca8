/* SPDX-License-Identifier: Apache-2.0 */
#include "base/machine.h"

#include <assert.h>

void rh_machine_init(struct rh_machine *machine, const struct rh_machine_state *states,
                     size_t states_count, unsigned state)
{
    assert(states_count <= 32);
    assert(state < states_count);
    *machine = (struct rh_machine){
        .states = states, .states_count = (unsigned)states_count, .state = state};
}

void rh_machine_move(struct rh_machine *machine, unsigned state)
{
    rh_machine_check(machine->states, machine->states_count, machine->state, state);
    machine->state = state;
}

void rh_machine_check(const struct rh_machine_state *states, size_t states_count, unsigned from,
                      unsigned to)
{
    assert(from < states_count);
    assert(to < states_count);
    assert((states[from].allowed & RH_STATE_BIT(to)) != 0);
}

const char *rh_machine_name(const struct rh_machine *machine)
{
    return machine->states[machine->state].name;
}
