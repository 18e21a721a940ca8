/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/counts.h"

#include <stddef.h>

void rh_load_counts_add(struct rh_load_counts *counts, const struct rh_load_counts *other)
{
    uint64_t *to = (uint64_t *)(void *)counts; /* nothing but uint64_t in it */
    const uint64_t *from = (const uint64_t *)(const void *)other;
    for (size_t i = 0; i < sizeof(*counts) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}
