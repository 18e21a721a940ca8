/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CLOCK_H
#define RH_NODE_CLOCK_H

/*
 * The two clocks of the process, and its randomness. Only edge code reads them; the core is told.
 */

#include "base/error.h"

#include <stdint.h>

/* Milliseconds of a clock that never goes back; its origin means nothing. */
uint64_t rh_clock_monotonic_ms(void);

/* Milliseconds since 1970-01-01 UTC. */
int64_t rh_clock_unix_ms(void);

/* A random number from the kernel, never 0. RH_ERR_IO. */
RH_MUST_CHECK int rh_clock_random(uint64_t *ret_value);

#endif
