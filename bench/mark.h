/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BENCH_MARK_H
#define RH_BENCH_MARK_H

/*
 * The mark by which a message is known again, whatever is put around it on its way: "@#" and its
 * number as eight hexadecimal digits, at the begin of the payload.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_MARK_SIZE 10

/* Writes the mark, and nothing after it. */
void load_mark_write(char out[LOAD_MARK_SIZE], uint32_t number);

/* Finds the next one, and goes on behind it. */
bool load_mark_next(const char **bytes, size_t *size, uint32_t *ret_number);

#endif
