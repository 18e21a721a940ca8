/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_RANDOM_H
#define RH_TESTS_RANDOM_H

/* Random numbers for tests: the seed is printed, and taken from RINGHOP_TEST_SEED when given. */

#include "tests/test.h"

#include <stdlib.h>

/* xorshift64*; |*seed| is not 0. */
static inline uint64_t rh_test_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717U;
}

/* 0 to |limit| - 1. */
static inline size_t rh_test_below(uint64_t *seed, size_t limit)
{
    return (size_t)(rh_test_random(seed) % limit);
}

static inline uint64_t rh_test_seed(uint64_t by_default)
{
    const char *text = getenv("RINGHOP_TEST_SEED");
    uint64_t seed = text == NULL ? by_default : strtoull(text, NULL, 10);
    print_message("# RINGHOP_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed == 0 ? 1 : seed;
}

#endif
