/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_STATES_H
#define RH_TESTS_SIMULATOR_STATES_H

/*
 * Writers and readers of state documents, and the check of what they are told (N10): of one
 * incarnation, each version is made by one write; a condition that held was that of the version
 * before; what is read is what was written. Not for: whether copies are equal, which the truth and
 * the rest look at.
 */

#include "tests/simulator.h"

struct rh_action;
struct rh_entry;

void sim_states_create(struct sim *sim);
void sim_states_destroy(struct sim *sim);

/* Writers begin, in a part of all seeds; and end. */
void sim_states_begin(struct sim *sim);
void sim_states_end(struct sim *sim);

/* A node has answered. */
void sim_states_answered(struct sim *sim, int node, const struct rh_action *action);

/* One request of a script: a write with If-Match |if_version|, without condition for 0; a removal; a
 * read. Its answer is a line "state s1 at n0: changed v2". Returns the number after the `s`. */
uint64_t sim_states_put(struct sim *sim, int node, const char *key, uint64_t if_version);
uint64_t sim_states_delete(struct sim *sim, int node, const char *key, uint64_t if_version);
uint64_t sim_states_get(struct sim *sim, int node, const char *key);

/* A stream that watches the document of a channel is shown its last change. */
void sim_states_shown(struct sim *sim, uint64_t incarnation, const struct rh_entry *state);

#endif
