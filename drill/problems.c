/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void rh_problems_add(struct rh_problems *problems, const char *format, ...)
{
    if (problems->count == RH_LOAD_PROBLEMS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problems->texts[problems->count], RH_LOAD_PROBLEM_SIZE, format, args);
    va_end(args);
    problems->count++;
}

void rh_problems_merge(struct rh_problems *problems, const struct rh_problems *other)
{
    for (size_t i = 0; i < other->count && problems->count < RH_LOAD_PROBLEMS_MAX; i++) {
        memcpy(problems->texts[problems->count++], other->texts[i], sizeof(other->texts[i]));
    }
}
