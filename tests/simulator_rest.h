/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_REST_H
#define RH_TESTS_SIMULATOR_REST_H

/*
 * What the copies of a cluster at rest are like (I12 of docs/protocol-cluster.md): one node acts for
 * each channel, and owns it; exactly its preference list has copies, and these are equal; nothing is
 * in flight.
 */

#include "tests/simulator.h"

/* NULL: all is as it should be. Otherwise what is not so; valid until the next call. */
const char *sim_rest_unrest(struct sim *sim);

/* What is not so, as text; valid until the next call. */
const char *sim_unrest(const char *format, ...) RH_PRINTF(1, 2);

/* What all cores have in flight, into the trace. */
void sim_rest_trace(struct sim *sim);

#endif
