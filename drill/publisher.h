/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PUBLISHER_H
#define RH_DRILL_PUBLISHER_H

/*
 * Publishes to the channels of a worker, in turn and at an even pace, by POST through random nodes,
 * over connections that are kept. A publish that is not answered 201 is tried again with the same
 * message id until it is, or until that could publish it twice.
 */

#include "drill/worker.h"

struct rh_publisher *rh_publisher_create(struct rh_worker *worker);

/* Begins, or pauses: then nothing new is published, and what is under way goes on. */
void rh_publisher_set(struct rh_publisher *publisher, bool on);

/* Gives up what takes too long; to be called every RH_LOAD_SAMPLE_MS. */
void rh_publisher_tick(struct rh_publisher *publisher);

/* Messages that are neither answered nor given up. */
uint32_t rh_publisher_pending(const struct rh_publisher *publisher);

#endif
