/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_FAULTS_H
#define RH_TESTS_SIMULATOR_FAULTS_H

/*
 * What goes wrong in a run, planned from the seed before it begins: so a single fault can be left
 * out and the run tried again. A profile says what kinds there are; each fault that lasts ends by
 * itself.
 */

#include "tests/simulator.h"

struct sim_faults;

/* Chooses the profile and how many nodes there are, and makes the plan. */
void sim_faults_create(struct sim *sim);
void sim_faults_destroy(struct sim *sim);

/* Queues the faults of the plan from now on; returns when the last has ended. */
uint64_t sim_faults_begin(struct sim *sim);

/* Makes all well: every node runs, or is gone for good. */
void sim_faults_heal(struct sim *sim);

/* Asks all nodes to join if none has a weight: to be called now and then, as they take their time. */
void sim_faults_give_weight(struct sim *sim);

/* An operator asks the node to drain. */
void sim_faults_drain(struct sim *sim, int node);

/* Whether the faults of this run are such that nothing may move: ZooKeeper is in trouble, all
 * nodes are there and back in time. */
bool sim_faults_is_calm(const struct sim *sim);

/* Whether one fault is over, and its consequences too, before the next begins. */
bool sim_faults_are_apart(const struct sim *sim);

/* The operator gives up members of the recorded view that do not run any more and whom the others
 * wait for, some seconds after all is well: `ringhop recover`. */
void sim_faults_recover(struct sim *sim);

const char *sim_faults_profile(const struct sim *sim);
size_t sim_faults_count(const struct sim *sim);

#endif
