/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_SHOW_H
#define RH_DRILL_SHOW_H

/*
 * What a person sees of a drill while it runs, on stderr: a line for each step, and on a terminal one
 * more that is drawn again and again, with what happens right now.
 */

#include "cli/progress.h"
#include "drill/load.h"
#include "drill/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_show {
    struct rh_progress progress;
    uint64_t begin_ms; /* of the load's clock; 0: the drill has not begun */
    char doing[160];   /* what is being done */
};

void rh_show_init(struct rh_show *show);

/* Takes the drawn line away. */
void rh_show_finish(struct rh_show *show);

/* One line that stays. */
void rh_show_line(struct rh_show *show, const char *format, ...) RH_PRINTF(2, 3);

/* What is being done, from now on: the beginning of the drawn line. */
void rh_show_doing(struct rh_show *show, const char *format, ...) RH_PRINTF(2, 3);

/* A step was done: its line. */
void rh_show_step(struct rh_show *show, const struct rh_result_step *step,
                  const struct rh_load_step *counted);

/* Draws the line that shows what happens; nothing when stderr is no terminal. */
void rh_show_sample(struct rh_show *show, const struct rh_load *load,
                    const struct rh_load_sample *sample, const struct rh_histogram *gaps);

#endif
