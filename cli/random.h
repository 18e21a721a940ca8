/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_RANDOM_H
#define RH_CLI_RANDOM_H

/* Random numbers of the system, and pauses made of them. */

#include <stddef.h>
#include <stdint.h>

void rh_random_bytes(void *out, size_t size);

uint64_t rh_random_number(void); /* never 0 */

/*
 * Exponential backoff with full jitter: the pause before try number |failures| + 1 is somewhere
 * between 0 and |first_ms| * 2^|failures|, at most |max_ms|, as |random| (any number) has it.
 */
uint32_t rh_backoff_ms(uint32_t failures, uint32_t first_ms, uint32_t max_ms, uint64_t random);

#endif
