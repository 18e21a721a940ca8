/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_COUNTS_H
#define RH_DRILL_COUNTS_H

/* What the load of a drill counts. Pure. */

#include <stdint.h>

/* Counts since the start, or of one step. */
struct rh_load_counts {
    /* Publishing. */
    uint64_t published;    /* begun */
    uint64_t acknowledged; /* answered 201 */
    uint64_t unknown;      /* given up after publish_max_ms, or not answered when all ended */
    uint64_t refused;      /* answered with a 4xx that no retry mends */
    uint64_t retried;      /* tries after the first */

    /* Clients. */
    uint64_t connects;           /* welcomes */
    uint64_t redirected;         /* 307, or `moved` from a node that had not welcomed it */
    uint64_t failed;             /* tries to connect that came to nothing */
    uint64_t moved;              /* welcomes at another node than the welcome before */
    uint64_t told_moved;         /* `moved` from the node that had welcomed it */
    uint64_t resets_explained;   /* the connection ended without `moved`; its node was disturbed */
    uint64_t resets_unexplained; /* the same, and its node was not */
    uint64_t disconnected_unaffected; /* had to go, and was welcomed by the same undisturbed node:
                                         its owner had not changed */

    /* What arrived. */
    uint64_t delivered;  /* messages that a client had not had before */
    uint64_t replayed;   /* messages that it had had on an earlier connection, and dropped */
    uint64_t gaps_told;  /* recovered: false */
    uint64_t duplicated; /* a seq twice on one connection, or one message under two seqs */
    uint64_t reordered;  /* left out, and came after a later one */

    /* Known at the end only (rh_load_result); 0 before. */
    uint64_t lost;         /* acknowledged; not received by a client that was not told of a gap */
    uint64_t skipped;      /* numbers left out that nobody acknowledged, likewise */
    uint64_t missed;       /* acknowledged, and not received, in a gap that was told */
    uint64_t contradicted; /* a seq that had another message elsewhere, or was acknowledged twice */
    uint64_t not_connected; /* clients without a connection at the end */
};

/* Adds all of |other|. */
void rh_load_counts_add(struct rh_load_counts *counts, const struct rh_load_counts *other);

#endif
