/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_HISTOGRAM_H
#define RH_DRILL_HISTOGRAM_H

/*
 * How often which time occurred, in little memory and so that several can be added up. Times are
 * microseconds, exact below 16 and to 1/16 above; the greatest is exact. Pure.
 */

#include <stdint.h>

#define RH_HISTOGRAM_BUCKETS 464 /* up to 2^32 us, more than an hour; what is above is as that */

/* Zeroed is empty. */
struct rh_histogram {
    uint64_t count;
    uint64_t max_us;
    uint32_t buckets[RH_HISTOGRAM_BUCKETS];
};

void rh_histogram_add(struct rh_histogram *histogram, uint64_t time_us);

/* Adds all of |other|. */
void rh_histogram_merge(struct rh_histogram *histogram, const struct rh_histogram *other);

/* The time that |percent| (0 to 100) of the times do not exceed, at most the greatest; 0 if there
 * are none. */
uint64_t rh_histogram_percentile_us(const struct rh_histogram *histogram, double percent);

/* How many times are in |from_us| <= time < |to_us|; exact where both are 0, UINT64_MAX, or a
 * power of two. */
uint64_t rh_histogram_between(const struct rh_histogram *histogram, uint64_t from_us,
                              uint64_t to_us);

#endif
