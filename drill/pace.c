/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/pace.h"

#include <assert.h>

void rh_pace_start(struct rh_pace *pace, double per_second, uint64_t now_us)
{
    assert(per_second > 0);
    *pace = (struct rh_pace){.interval_us = 1e6 / per_second, .begun_us = now_us};
}

void rh_pace_stop(struct rh_pace *pace)
{
    *pace = (struct rh_pace){0};
}

uint64_t rh_pace_next_us(const struct rh_pace *pace)
{
    return pace->begun_us + (uint64_t)((double)pace->taken * pace->interval_us);
}

bool rh_pace_take(struct rh_pace *pace, uint64_t now_us, uint64_t *ret_due_us)
{
    uint64_t due_us = rh_pace_next_us(pace);
    if (pace->interval_us <= 0 || due_us > now_us) {
        return false;
    }
    pace->taken++;
    *ret_due_us = due_us;
    return true;
}
