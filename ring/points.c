/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/points.h"

#include "ring/hash.h"
#include "ring/ring.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_SIZE_MAX 10 /* digits of a 32-bit number */

/* Buckets of the index: at least twice as many as points, so that a scan is short. */
static unsigned index_shift(size_t points_count)
{
    unsigned bits = 1;
    while (((size_t)1 << bits) < 2 * points_count) {
        bits++;
    }
    return 64 - bits;
}

/* Adds one to the decimal number |digits| in place; returns its size. */
static size_t number_increment(char *digits, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        if (digits[i - 1] != '9') {
            digits[i - 1]++;
            return size;
        }
        digits[i - 1] = '0';
    }
    digits[0] = '1';
    digits[size] = '0';
    return size + 1;
}

/* Writes the hashes of a member's points, "id#0", "id#1", ..., in that order. */
static void hash_member(const struct rh_points_member *member, uint64_t seed, uint64_t *hashes)
{
    char text[RH_RING_ID_SIZE_MAX + 1 + NUMBER_SIZE_MAX];
    size_t id_size = strlen(member->id);
    memcpy(text, member->id, id_size);
    text[id_size] = '#';
    char *digits = text + id_size + 1;
    digits[0] = '0';
    size_t digits_size = 1;
    for (uint32_t i = 0; i < member->points_count; i++) {
        hashes[i] = XXH3_64bits_withSeed(text, id_size + 1 + digits_size, seed);
        digits_size = number_increment(digits, digits_size);
    }
}

/* Turns the number of points per bucket into the place of each bucket's first point. */
static void index_sum(struct rh_points *points)
{
    size_t buckets_count = (size_t)1 << (64 - points->shift);
    uint32_t sum = 0;
    for (size_t i = 0; i < buckets_count; i++) {
        uint32_t bucket_count = points->index[i];
        points->index[i] = sum;
        sum += bucket_count;
    }
}

/*
 * Puts every point into its bucket. Each entry of the index is moved past the points put there, and
 * so ends as the start of the next bucket; it is moved back one bucket afterwards.
 */
static void scatter(struct rh_points *points, const uint64_t *unsorted,
                    const struct rh_points_member *members, size_t members_count)
{
    for (size_t i = 0; i < members_count; i++) {
        for (uint32_t k = 0; k < members[i].points_count; k++) {
            uint64_t hash = *unsorted++;
            uint32_t at = points->index[hash >> points->shift]++;
            points->hashes[at] = hash;
            points->owners[at] = (uint32_t)i;
        }
    }
    size_t buckets_count = (size_t)1 << (64 - points->shift);
    memmove(points->index + 1, points->index, (buckets_count - 1) * sizeof(points->index[0]));
    points->index[0] = 0;
}

/*
 * Insertion sort: after scatter() a point is at most a few places away from its own. It is stable,
 * and points came in order of their members, so equal hashes end in order of member id.
 */
static void sort_buckets(struct rh_points *points)
{
    for (size_t i = 1; i < points->count; i++) {
        uint64_t hash = points->hashes[i];
        uint32_t owner = points->owners[i];
        size_t at = i;
        while (at > 0 && points->hashes[at - 1] > hash) {
            points->hashes[at] = points->hashes[at - 1];
            points->owners[at] = points->owners[at - 1];
            at--;
        }
        points->hashes[at] = hash;
        points->owners[at] = owner;
    }
}

int rh_points_init(struct rh_points *points, uint64_t seed, const struct rh_points_member *members,
                   size_t members_count)
{
    size_t count = 0;
    for (size_t i = 0; i < members_count; i++) {
        count += members[i].points_count;
    }
    *points = (struct rh_points){.count = count, .shift = index_shift(count)};
    size_t buckets_count = (size_t)1 << (64 - points->shift);
    uint64_t *unsorted = malloc((count + 1) * sizeof(*unsorted));
    points->hashes = malloc((count + RH_POINTS_PAD) * sizeof(points->hashes[0]));
    points->owners = malloc((count + 1) * sizeof(points->owners[0]));
    points->index = calloc(buckets_count, sizeof(points->index[0]));
    if (unsorted == NULL || points->hashes == NULL || points->owners == NULL ||
        points->index == NULL) {
        free(unsorted);
        rh_points_finish(points);
        return RH_RING_ERR_NO_MEMORY;
    }
    uint64_t *hashes = unsorted;
    for (size_t i = 0; i < members_count; i++) {
        hash_member(&members[i], seed, hashes);
        hashes += members[i].points_count;
    }
    for (size_t i = 0; i < count; i++) {
        points->index[unsorted[i] >> points->shift]++;
    }
    index_sum(points);
    scatter(points, unsorted, members, members_count);
    free(unsorted);
    sort_buckets(points);
    for (size_t i = 0; i < RH_POINTS_PAD; i++) {
        points->hashes[count + i] = UINT64_MAX;
    }
    points->owners[count] = count == 0 ? RH_RING_NONE : points->owners[0];
    return 0;
}

void rh_points_finish(struct rh_points *points)
{
    free(points->hashes);
    free(points->owners);
    free(points->index);
    *points = (struct rh_points){0};
}
