/* SPDX-License-Identifier: Apache-2.0 */
#include "node/clock.h"

#include <sys/random.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) != 0) {
        return 0;
    }
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t rh_clock_monotonic_ms(void)
{
    return (uint64_t)read_ms(CLOCK_MONOTONIC);
}

int64_t rh_clock_unix_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int rh_clock_random(uint64_t *ret_value)
{
    uint64_t value = 0;
    while (value == 0) {
        if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value)) {
            return RH_ERR_IO;
        }
    }
    *ret_value = value;
    return 0;
}
