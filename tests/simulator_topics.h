/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_TOPICS_H
#define RH_TESTS_SIMULATOR_TOPICS_H

/*
 * Channels that follow those of the clients, with --topics, and the check of what they get
 * (docs/topics.md): in each copy the positions of a topic rise strictly (T-once), one by one where the
 * topic has trimmed nothing (T-whole); at rest every follower has come to the end of its topics, and
 * its copies know the same positions.
 */

#include "tests/simulator.h"

struct rh_action;
struct rh_copy_info;
struct rh_entry;

void sim_topics_create(struct sim *sim);
void sim_topics_destroy(struct sim *sim);

/* Follows are asked for from now on, each until it is answered. */
void sim_topics_begin(struct sim *sim);

/* A node has answered. */
void sim_topics_answered(struct sim *sim, int node, const struct rh_action *action);

/* Operation |op| has come into the copy of |node|. */
void sim_topics_entry(struct sim *sim, int node, const struct rh_copy_info *info, uint64_t op,
                      const struct rh_entry *entry);

/* What is not at its end yet, or NULL. */
const char *sim_topics_unrest(struct sim *sim);

/* At the very end: gaps that nothing explains. */
void sim_topics_finish(struct sim *sim);

#endif
