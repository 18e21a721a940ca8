/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_COUNTS_H
#define RH_TESTS_SIMULATOR_COUNTS_H

/* What a run takes of the network and of ZooKeeper: of all nodes together, since the beginning or
 * since it was cleared. docs/scaling.md holds it against a model. */

#include "node/membership.h"
#include "proto/peer_message.h"

#include <stdio.h>

#define SIM_OPERATIONS (RH_MEMBERSHIP_CHECK + 1) /* kinds of operations of ZooKeeper */

struct sim_count {
    uint64_t times;
    uint64_t bytes; /* messages: encoded; operations: data that is written or read, and names */
};

struct sim_counts {
    struct sim_count messages[RH_PEER_MESSAGE_KINDS];
    struct sim_count operations[SIM_OPERATIONS];
    struct sim_count views;   /* adopted; without bytes */
    struct sim_count pings;   /* each is answered; without bytes */
    struct sim_count watches; /* that fired; without bytes */
    struct sim_count refused; /* operations to which ZooKeeper said no; without bytes */
};

static inline void sim_count_one(struct sim_count *count, size_t bytes)
{
    count->times++;
    count->bytes += bytes;
}

/* One line for each kind that there was, and how many that is per node. */
void sim_counts_print(const struct sim_counts *counts, int nodes_count, FILE *out);

#endif
