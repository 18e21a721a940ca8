/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/histogram.h"

#define EXACT    16U /* times below this have a bucket each, and octaves above have so many */
#define TIME_MAX UINT32_MAX

/* The octave of the highest bit, and the four bits below it. */
static uint32_t bucket_of(uint64_t time_us)
{
    if (time_us < EXACT) {
        return (uint32_t)time_us;
    }
    uint32_t time = time_us > TIME_MAX ? TIME_MAX : (uint32_t)time_us;
    uint32_t top = 31U - (uint32_t)__builtin_clz(time); /* at least 4 */
    return (top - 3) * EXACT + ((time >> (top - 4)) & (EXACT - 1));
}

/* The first time that is in a later bucket. */
static uint64_t end_of(uint32_t bucket)
{
    if (bucket < EXACT) {
        return bucket + 1;
    }
    uint32_t octave = bucket / EXACT - 1; /* 0: from 16 to 31 */
    return (uint64_t)(EXACT + bucket % EXACT + 1) << octave;
}

void rh_histogram_add(struct rh_histogram *histogram, uint64_t time_us)
{
    histogram->count++;
    histogram->buckets[bucket_of(time_us)]++;
    if (time_us > histogram->max_us) {
        histogram->max_us = time_us;
    }
}

void rh_histogram_merge(struct rh_histogram *histogram, const struct rh_histogram *other)
{
    histogram->count += other->count;
    for (uint32_t i = 0; i < RH_HISTOGRAM_BUCKETS; i++) {
        histogram->buckets[i] += other->buckets[i];
    }
    if (other->max_us > histogram->max_us) {
        histogram->max_us = other->max_us;
    }
}

uint64_t rh_histogram_percentile_us(const struct rh_histogram *histogram, double percent)
{
    double wanted = (double)histogram->count * percent / 100.0;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < RH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (histogram->buckets[i] > 0 && (double)seen >= wanted) {
            uint64_t last_us = end_of(i) - 1;
            return last_us < histogram->max_us ? last_us : histogram->max_us;
        }
    }
    return histogram->max_us;
}

uint64_t rh_histogram_between(const struct rh_histogram *histogram, uint64_t from_us,
                              uint64_t to_us)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < RH_HISTOGRAM_BUCKETS; i++) {
        uint64_t first_us = i == 0 ? 0 : end_of(i - 1);
        if (first_us >= from_us && first_us < to_us) {
            count += histogram->buckets[i];
        }
    }
    return count;
}
