/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_RING_RING_PRIVATE_H
#define RH_RING_RING_PRIVATE_H

/* The inside of a ring, for the files of ring/ alone. */

#include "ring/points.h"
#include "ring/ring.h"

struct rh_ring {
    struct rh_ring_options options;
    struct rh_points points;
    struct rh_ring_member *members; /* sorted by id; they point into |texts| */
    char *texts;                    /* ids and zones of all members, each with a terminator */
    uint32_t *zones;                /* number of each member's zone, from 0 */
    uint64_t *widths;               /* share of each member, in RH_RING_WIDTH_ALL parts */
    size_t members_count;
    size_t active_count; /* members with points */
    size_t zones_count;  /* zones of members with points */
    uint64_t digest;
};

/*
 * Widths count the hash space in 2^53 parts of 2^11 hashes each: sums of them are exact as
 * integers and as doubles, so shares add up to exactly 1 in whatever order.
 */
#define RH_RING_WIDTH_BITS 53
#define RH_RING_WIDTH_ALL  ((uint64_t)1 << RH_RING_WIDTH_BITS)

/* Number of whole parts below |hash|. */
static inline uint64_t rh_ring_width_before(uint64_t hash)
{
    return hash >> (64 - RH_RING_WIDTH_BITS);
}

/* Number of whole parts up to and including |hash|. */
static inline uint64_t rh_ring_width_through(uint64_t hash)
{
    return hash == UINT64_MAX ? RH_RING_WIDTH_ALL : rh_ring_width_before(hash + 1);
}

static inline double rh_ring_width_share(uint64_t width)
{
    return (double)width / (double)RH_RING_WIDTH_ALL;
}

#endif
