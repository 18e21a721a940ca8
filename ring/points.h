/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_RING_POINTS_H
#define RH_RING_POINTS_H

/*
 * The points of a ring, sorted, with an index over the top bits of their hashes. Internal to ring/.
 *
 *   index    [ 0 | 1 | 1 | 3 | 4 ]          one entry per bucket: its first point, or the next one
 *              |   |       |   |
 *   hashes   [ a   b   c   d | max max ..]  ascending, then padding that ends every scan
 *   owners   [ 7   2   7   0 | 7 ]          the entry past the last point is that of the first one:
 *                                           so the walk around the end needs no branch
 *
 * Hashes are uniform, so a bucket holds less than one point on average. A lookup reads one entry
 * of the index, then compares a fixed number of neighbouring hashes without branching.
 */

#include <stddef.h>
#include <stdint.h>

#define RH_POINTS_PAD 4 /* hashes a lookup compares at once */

struct rh_points {
    size_t count;
    uint64_t *hashes; /* count + RH_POINTS_PAD; the padding is UINT64_MAX */
    uint32_t *owners; /* count + 1; RH_RING_NONE alone when there is no point */
    uint32_t *index;  /* 2^(64 - shift) */
    unsigned shift;   /* 32 to 63 */
};

/* What a source of points says of one member. */
struct rh_points_member {
    const char *id;
    uint32_t points_count;
};

/*
 * Builds the points of |members|, which are sorted by id; owners are places in that order.
 * The sum of their counts must be at most RH_RING_POINTS_MAX. RH_RING_ERR_NO_MEMORY: |points| then
 * holds nothing.
 */
int rh_points_init(struct rh_points *points, uint64_t seed, const struct rh_points_member *members,
                   size_t members_count);

void rh_points_finish(struct rh_points *points);

/* Place of the first point whose hash is >= |hash|; |count| when there is none. */
static inline size_t rh_points_find(const struct rh_points *points, uint64_t hash)
{
    size_t at = points->index[hash >> points->shift];
    const uint64_t *hashes = points->hashes + at;
    size_t below = (size_t)(hashes[0] < hash) + (size_t)(hashes[1] < hash) +
                   (size_t)(hashes[2] < hash) + (size_t)(hashes[3] < hash);
    at += below;
    if (__builtin_expect(below == RH_POINTS_PAD, 0)) {
        while (points->hashes[at] < hash) {
            at++;
        }
    }
    return at;
}

#endif
