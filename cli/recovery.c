/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/recovery.h"

#include <stdlib.h>
#include <string.h>

/* Whether that process is known to act no more without the registered ones hearing of it. */
static bool is_settled(const struct rh_view *view, const struct rh_record *record,
                       const struct rh_record_member *member)
{
    uint32_t index = rh_view_find(view, member->id);
    if (rh_record_forgets(record, member->instance)) {
        return true;
    }
    /* It is registered itself, or another process has its port by now. */
    return index != RH_RING_NONE && (view->members[index].instance == member->instance ||
                                     strcmp(view->members[index].peer, member->peer) == 0);
}

static int list_missing(const struct rh_view *view, const struct rh_record *record,
                        struct rh_recovery *recovery)
{
    recovery->missing = calloc(record->members_count, sizeof(*recovery->missing));
    if (recovery->missing == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < record->members_count; i++) {
        if (!is_settled(view, record, &record->members[i])) {
            recovery->missing[recovery->missing_count++] = i;
        }
    }
    recovery->state = recovery->missing_count > 0 ? RH_RECOVERY_MISSING : RH_RECOVERY_SETTLED;
    return 0;
}

int rh_recovery_judge(const struct rh_view *view, const struct rh_record *record,
                      struct rh_recovery *ret_recovery)
{
    struct rh_recovery recovery = {.state = RH_RECOVERY_UNRECORDED};
    int rv = 0;
    if (record->last.generation == 0 && view->epoch.generation > 1) {
        recovery.state = rh_record_forgets(record, RH_FORGOTTEN_UNKNOWN) ? RH_RECOVERY_SETTLED
                                                                         : RH_RECOVERY_UNKNOWN;
    } else if (record->last.generation == 0) {
        recovery.state = RH_RECOVERY_UNRECORDED;
    } else if (record->members_count == 0) {
        recovery.state = RH_RECOVERY_STOPPED;
    } else if (rh_view_shares_chain(view, record)) {
        recovery.state = RH_RECOVERY_ALIVE;
    } else {
        rv = list_missing(view, record, &recovery);
    }
    if (rv == 0) {
        *ret_recovery = recovery;
    }
    return rv;
}

void rh_recovery_finish(struct rh_recovery *recovery)
{
    free(recovery->missing);
    *recovery = (struct rh_recovery){0};
}

int rh_recovery_forget(const struct rh_recovery *recovery, struct rh_record *record)
{
    size_t count = recovery->state == RH_RECOVERY_UNKNOWN ? 1 : recovery->missing_count;
    if (count > RH_RECORD_FORGOTTEN_MAX - record->forgotten_count) {
        return RH_ERR_TOO_LARGE;
    }
    uint64_t *forgotten = realloc(record->forgotten, (record->forgotten_count + count + 1) *
                                                         sizeof(*record->forgotten));
    if (forgotten == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    record->forgotten = forgotten;
    if (recovery->state == RH_RECOVERY_UNKNOWN) {
        forgotten[record->forgotten_count++] = RH_FORGOTTEN_UNKNOWN;
    }
    for (size_t i = 0; i < recovery->missing_count; i++) {
        forgotten[record->forgotten_count++] = record->members[recovery->missing[i]].instance;
    }
    return 0;
}
