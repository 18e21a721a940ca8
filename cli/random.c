/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/random.h"

#include <assert.h>
#include <sys/random.h>
#include <sys/types.h>

void rh_random_bytes(void *out, size_t size)
{
    char *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        assert(got >= 0 || size > 256); /* small reads are neither cut short nor interrupted */
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

uint64_t rh_random_number(void)
{
    uint64_t number = 0;
    while (number == 0) {
        rh_random_bytes(&number, sizeof(number));
    }
    return number;
}

uint32_t rh_backoff_ms(uint32_t failures, uint32_t first_ms, uint32_t max_ms, uint64_t random)
{
    uint64_t bound_ms = first_ms;
    for (uint32_t i = 0; i < failures && bound_ms < max_ms; i++) {
        bound_ms *= 2;
    }
    if (bound_ms > max_ms) {
        bound_ms = max_ms;
    }
    return (uint32_t)(random % (bound_ms + 1));
}
