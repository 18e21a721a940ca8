/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_CHECK_H
#define RH_TESTS_SIMULATOR_CHECK_H

/*
 * The laws that hold in every moment of every run, and what a cluster at rest is like. The
 * simulator sees all nodes at once, so it can ask what no node can. What a client can tell by
 * itself (gaps, repeats) is checked in simulator_clients.c.
 */

#include "tests/simulator_node.h"

struct sim_check;

void sim_check_create(struct sim *sim);
void sim_check_destroy(struct sim *sim);

/* A process has begun: it knows nothing. */
void sim_check_started(struct sim *sim, int node);

/* The process has read a list of members from the data of that era. */
void sim_check_listed(struct sim *sim, int node, unsigned era);

/* Epochs of a process ascend; who is in an epoch has the members of that epoch. Called before the
 * core has |view|. */
void sim_check_adopted(struct sim *sim, int node, const struct rh_view *view);

/* All channels were held against the view: nothing is left that another node owns. */
void sim_check_swept(struct sim *sim, int node);

/* The registration with |data| is about to be deleted by |node| as that of a dead process. */
void sim_check_evicted(struct sim *sim, int node, struct rh_bytes data);

/* The process of |node| died a while ago, and nothing else was wrong: nobody has it in the view. */
void sim_check_forgotten(struct sim *sim, int node);

/* |node| serves a channel as |incarnation|: it owns it, nobody else has served that incarnation,
 * and none that it gave up. */
void sim_check_served(struct sim *sim, int node, const char *key, uint64_t incarnation);

/* A stream or its channel is given away: only if the owner has changed. */
void sim_check_moved(struct sim *sim, int node, const char *key, uint64_t incarnation);

/* A message is shown or acknowledged: (incarnation, seq) and message are one to one. */
void sim_check_message(struct sim *sim, uint64_t incarnation, uint64_t seq, uint64_t message);

/* NULL: ZooKeeper and all nodes agree, and nothing is pending in them. Otherwise what is not so. */
const char *sim_check_unrest(struct sim *sim);

/* How many times the data had been lost of which the process has read last. */
unsigned sim_check_era(const struct sim *sim, int node);

/* One more stream was moved. */
void sim_check_moves_on(struct sim *sim);

uint64_t sim_check_moves(const struct sim *sim);

#endif
