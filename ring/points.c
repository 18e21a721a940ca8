/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/points.h"

#include "ring/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE        64
#define POINTS_PER_BUCKET 8  /* at most, on average */
#define DIGIT_BITS_MAX    12 /* two digits cover RH_RING_POINTS_MAX */

_Static_assert(sizeof(struct rh_points_bucket) == CACHE_LINE, "a bucket is a cache line");
_Static_assert(RH_RING_POINTS_MAX <= 1 << (2 * DIGIT_BITS_MAX), "two digits cover all points");

/* At least one bit, so that shifts stay below 64. */
static unsigned bucket_bits(size_t points_count)
{
    unsigned bits = 1;
    while (((size_t)POINTS_PER_BUCKET << bits) < points_count) {
        bits++;
    }
    return bits;
}

int rh_points_init(struct rh_points *points, size_t count)
{
    unsigned bits = bucket_bits(count);
    *points = (struct rh_points){.count = count, .shift = 64 - bits};
    points->hashes = malloc((count + 1) * sizeof(points->hashes[0]));
    points->owners = malloc((count + 1) * sizeof(points->owners[0]));
    points->buckets = aligned_alloc(CACHE_LINE, sizeof(points->buckets[0]) << bits);
    if (points->hashes == NULL || points->owners == NULL || points->buckets == NULL) {
        rh_points_finish(points);
        return RH_RING_ERR_NO_MEMORY;
    }
    return 0;
}

void rh_points_finish(struct rh_points *points)
{
    free(points->hashes);
    free(points->owners);
    free(points->buckets);
    *points = (struct rh_points){0};
}

/* Points on their way from one order to the next. */
struct run {
    uint64_t *hashes;
    uint16_t *owners;
};

/* One pass of a radix sort: orders by the |bits| bits of the hash above |shift|, else as it was. */
static void sort_by_digit(struct run from, struct run to, size_t count, unsigned shift,
                          unsigned bits)
{
    uint32_t places[1 << DIGIT_BITS_MAX] = {0};
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (size_t i = 0; i < count; i++) {
        places[(from.hashes[i] >> shift) & mask]++;
    }
    uint32_t sum = 0;
    for (size_t digit = 0; digit <= mask; digit++) {
        uint32_t digit_count = places[digit];
        places[digit] = sum;
        sum += digit_count;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t place = places[(from.hashes[i] >> shift) & mask]++;
        to.hashes[place] = from.hashes[i];
        to.owners[place] = from.owners[i];
    }
}

/* Insertion sort: after the digits a point is hardly ever more than a place away from its own. */
static void sort_rest(struct run run, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t hash = run.hashes[i];
        uint16_t owner = run.owners[i];
        size_t at = i;
        while (at > 0 && run.hashes[at - 1] > hash) {
            run.hashes[at] = run.hashes[at - 1];
            run.owners[at] = run.owners[at - 1];
            at--;
        }
        run.hashes[at] = hash;
        run.owners[at] = owner;
    }
}

/* Fills the buckets in one walk over the sorted points. */
static void index_points(struct rh_points *points)
{
    size_t buckets_count = (size_t)1 << (64 - points->shift);
    size_t at = 0;
    for (size_t i = 0; i < buckets_count; i++) {
        struct rh_points_bucket *bucket = &points->buckets[i];
        bucket->first = (uint32_t)at;
        unsigned slot = 0;
        for (; at < points->count && points->hashes[at] >> points->shift == i; at++) {
            if (slot < RH_POINTS_SLOTS) {
                bucket->fragments[slot] = rh_points_fragment(points, points->hashes[at]);
                bucket->owners[slot] = points->owners[at];
                slot++;
            }
        }
        for (; slot < RH_POINTS_SLOTS; slot++) {
            bucket->fragments[slot] = UINT16_MAX;
            bucket->owners[slot] = points->owners[at];
        }
        for (; slot < RH_POINTS_FRAGMENTS; slot++) {
            bucket->fragments[slot] = UINT16_MAX;
        }
    }
    assert(at == points->count);
}

int rh_points_sort(struct rh_points *points)
{
    size_t count = points->count;
    struct run run = {points->hashes, points->owners};
    struct run scratch = {malloc((count + 1) * sizeof(uint64_t)),
                          malloc((count + 1) * sizeof(uint16_t))};
    if (scratch.hashes == NULL || scratch.owners == NULL) {
        free(scratch.hashes);
        free(scratch.owners);
        return RH_RING_ERR_NO_MEMORY;
    }
    /* All passes are stable: equal hashes stay in order of their owners. */
    unsigned bits = 1;
    while (((size_t)1 << (2 * bits)) < count) {
        bits++;
    }
    sort_by_digit(run, scratch, count, 64 - 2 * bits, bits);
    sort_by_digit(scratch, run, count, 64 - bits, bits);
    sort_rest(run, count);
    free(scratch.hashes);
    free(scratch.owners);
    points->hashes[count] = UINT64_MAX;
    points->owners[count] = count == 0 ? RH_POINTS_NOBODY : points->owners[0];
    index_points(points);
    return 0;
}

size_t rh_points_scan(const struct rh_points *points, uint64_t hash)
{
    size_t at = rh_points_bucket(points, hash)->first;
    while (points->hashes[at] < hash) {
        at++;
    }
    return at;
}
