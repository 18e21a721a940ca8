/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_MACHINE_H
#define RH_BASE_MACHINE_H

/*
 * Checked state machines: a table of states says which moves are allowed, and every change of
 * state goes through rh_machine_move(), which asserts it. (The idea is dqlite's `sm`.)
 */

#include <stddef.h>

struct rh_machine_state {
    const char *name;
    unsigned allowed; /* bit per state that may come next, RH_STATE_BIT(next) | ... */
};

#define RH_STATE_BIT(state) (1U << (unsigned)(state))

struct rh_machine {
    const struct rh_machine_state *states; /* static table */
    unsigned states_count;                 /* at most 32 */
    unsigned state;
};

/* Starts in |state|. |states| must outlive the machine. */
void rh_machine_init(struct rh_machine *machine, const struct rh_machine_state *states,
                     size_t states_count, unsigned state);

/* Moves to |state|; asserts that the table allows it. */
void rh_machine_move(struct rh_machine *machine, unsigned state);

/* The same for those who keep the state themselves, because there are very many of them: asserts
 * that the table allows the move. */
void rh_machine_check(const struct rh_machine_state *states, size_t states_count, unsigned from,
                      unsigned to);

/* Name of the present state, static. */
const char *rh_machine_name(const struct rh_machine *machine);

#endif
