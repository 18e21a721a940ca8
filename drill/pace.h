/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PACE_H
#define RH_DRILL_PACE_H

/*
 * When something that is to be done at a rate is due: at even distances, whatever became of what
 * was due before (an open loop: a slow cluster does not slow down those who publish). Pure.
 */

#include <stdbool.h>
#include <stdint.h>

/* Zeroed is at rest. */
struct rh_pace {
    double interval_us; /* 0: at rest */
    uint64_t begun_us;
    uint64_t taken; /* since then */
};

/* Begins anew, |per_second| above 0; the first one is due at |now_us|. */
void rh_pace_start(struct rh_pace *pace, double per_second, uint64_t now_us);

void rh_pace_stop(struct rh_pace *pace);

/* Whether one more is due by |now_us|; it is taken then, and |ret_due_us| is when it was due. */
bool rh_pace_take(struct rh_pace *pace, uint64_t now_us, uint64_t *ret_due_us);

/* When the next one is due; 0 at rest. */
uint64_t rh_pace_next_us(const struct rh_pace *pace);

#endif
