/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_RINGS_H
#define RH_DRILL_RINGS_H

/*
 * The rings that a cluster went through, as its nodes tell them, and how many of the drill's
 * connections should have moved between them: computed here with the ring library, from the drill's
 * own keys. Pure but for what jansson allocates.
 */

#include "base/error.h"
#include "ring/ring.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_RINGS_CELLS 720 /* of a picture of a ring */

/* One of the drill's channels. */
struct rh_rings_channel {
    char *key;
    uint32_t clients;
    uint64_t hash; /* set here, with the first ring */
};

struct rh_rings {
    uint64_t seed; /* to be set by the caller, like the channels */
    struct rh_rings_channel *channels;
    size_t channels_count;

    struct rh_ring *ring; /* the latest; NULL: none yet */
    uint64_t generation;
    int64_t epoch;
    uint32_t replicas;
    uint64_t moved; /* connections that should have moved, from the first ring on */
};

/* Frees the ring and the channels; a zeroed struct is allowed. */
void rh_rings_finish(struct rh_rings *rings);

/*
 * Takes a ring as /v1/ring has it; an epoch that is not later than the one that is known changes
 * nothing. RH_ERR_INVALID with a reason: it is none, or places keys otherwise than it says (its
 * digest). RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_rings_take(struct rh_rings *rings, const json_t *json,
                                struct rh_reason *reason);

/* Weight of |id| in the latest ring, in thousandths; 0 when it is not there. */
uint32_t rh_rings_weight_milli(const struct rh_rings *rings, const char *id);

/* The latest ring as a drill's result has it: epoch, members with shares, and who owns each cell.
 * NULL: out of memory. */
json_t *rh_rings_json(const struct rh_rings *rings);

#endif
