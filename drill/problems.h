/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PROBLEMS_H
#define RH_DRILL_PROBLEMS_H

/* The first few violations of what was promised, in words; all are counted elsewhere. Pure. */

#include "base/error.h"

#include <stddef.h>

#define RH_LOAD_PROBLEMS_MAX 20
#define RH_LOAD_PROBLEM_SIZE 256 /* with terminator */

/* Zeroed is empty. */
struct rh_problems {
    size_t count;
    char texts[RH_LOAD_PROBLEMS_MAX][RH_LOAD_PROBLEM_SIZE];
};

/* Adds a sentence, cut to fit; nothing when there are enough. */
void rh_problems_add(struct rh_problems *problems, const char *format, ...) RH_PRINTF(2, 3);

/* Adds those of |other|, as many as there is room for. */
void rh_problems_merge(struct rh_problems *problems, const struct rh_problems *other);

#endif
