/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_RING_POINTS_H
#define RH_RING_POINTS_H

/*
 * The points of a ring in order, and an index that finds a point within one cache line. Internal
 * to ring/.
 *
 *   hash of a key  | bucket number | fragment, 16 bits | rest |
 *                          |
 *   buckets     [     ][   v ][     ]...   up to 8 points in each on average; a bucket is a cache
 *                  |                       line: fragments of its points, their owners, and the
 *                  v                       place of its first point
 *   hashes      [ a  b  c  d  e  f ... max ]
 *   owners      [ 7  2  7  0  4  1 ... 7   ]
 *
 * A lookup counts the fragments of the bucket that are below the key's, without branching, and has
 * the owner. Only if a fragment is equal, or the bucket holds more points than its line, are the
 * hashes themselves looked at. Past the last point stands the owner of the first one, so the walk
 * around the end is no special case.
 */

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define RH_POINTS_NOBODY    UINT16_MAX /* owner when there is no point */
#define RH_POINTS_SLOTS     14         /* points that a bucket can show */
#define RH_POINTS_FRAGMENTS 16         /* slots, made up to a whole number of vector registers */

/* Slots that are not taken have the greatest fragment, and the owner of the next point. */
struct rh_points_bucket {
    uint16_t fragments[RH_POINTS_FRAGMENTS];
    uint16_t owners[RH_POINTS_SLOTS];
    uint32_t first; /* place of the first point in this bucket, or after it */
};

struct rh_points {
    size_t count;
    uint64_t *hashes; /* count + 1; the last one is UINT64_MAX and ends every scan */
    uint16_t *owners; /* count + 1 */
    struct rh_points_bucket *buckets;
    unsigned shift; /* from a hash to its bucket */
};

/*
 * Makes room for |count| points. The caller then writes hashes and owners, in ascending order of
 * owners, and calls rh_points_sort(). RH_RING_ERR_NO_MEMORY: |points| then holds nothing.
 */
int rh_points_init(struct rh_points *points, size_t count);

/*
 * Orders the points by (hash, owner) and builds the index. RH_RING_ERR_NO_MEMORY: all that is left
 * to do with |points| is rh_points_finish().
 */
int rh_points_sort(struct rh_points *points);

void rh_points_finish(struct rh_points *points);

/* What rh_points_find() does when the bucket alone does not tell. */
size_t rh_points_scan(const struct rh_points *points, uint64_t hash);

static inline const struct rh_points_bucket *rh_points_bucket(const struct rh_points *points,
                                                              uint64_t hash)
{
    return &points->buckets[hash >> points->shift];
}

static inline uint16_t rh_points_fragment(const struct rh_points *points, uint64_t hash)
{
    return (uint16_t)(hash >> (points->shift - 16));
}

/* Number of fragments in the bucket that are below |fragment|; they are in ascending order. */
static inline unsigned rh_points_below(const struct rh_points_bucket *bucket, uint16_t fragment)
{
#if defined(__SSE2__)
    /* By hand: gcc 12 at -O3 makes a wrong program of the loop below where it is inlined twice
     * (its SLP vectorizer; the test of badly placed points shows it), and this is faster. SSE2
     * compares signed numbers only, so both sides are moved by half the range. */
    const __m128i half = _mm_set1_epi16(INT16_MIN);
    const __m128i key = _mm_xor_si128(_mm_set1_epi16((int16_t)fragment), half);
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)&bucket->fragments[0]);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)&bucket->fragments[8]);
    const __m128i below = _mm_packs_epi16(_mm_cmplt_epi16(_mm_xor_si128(low, half), key),
                                          _mm_cmplt_epi16(_mm_xor_si128(high, half), key));
    return (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(below));
#else
    unsigned below = 0;
    while (below < RH_POINTS_SLOTS && bucket->fragments[below] < fragment) {
        below++;
    }
    return below;
#endif
}

/* Slot of the first point with a fragment >= |fragment|, RH_POINTS_SLOTS when that is not sure. */
static inline unsigned rh_points_slot(const struct rh_points_bucket *bucket, uint16_t fragment)
{
    unsigned below = rh_points_below(bucket, fragment);
    return bucket->fragments[below] == fragment ? RH_POINTS_SLOTS : below;
}

/* Place of the first point whose hash is >= |hash|; |count| when there is none. */
static inline size_t rh_points_find(const struct rh_points *points, uint64_t hash)
{
    const struct rh_points_bucket *bucket = rh_points_bucket(points, hash);
    unsigned slot = rh_points_slot(bucket, rh_points_fragment(points, hash));
    if (__builtin_expect(slot == RH_POINTS_SLOTS, 0)) {
        return rh_points_scan(points, hash);
    }
    return bucket->first + slot;
}

/* Owner of the first point whose hash is >= |hash|; RH_POINTS_NOBODY when there is no point. */
static inline uint16_t rh_points_owner(const struct rh_points *points, uint64_t hash)
{
    const struct rh_points_bucket *bucket = rh_points_bucket(points, hash);
    unsigned slot = rh_points_slot(bucket, rh_points_fragment(points, hash));
    if (__builtin_expect(slot == RH_POINTS_SLOTS, 0)) {
        return points->owners[rh_points_scan(points, hash)];
    }
    return bucket->owners[slot];
}

#endif
