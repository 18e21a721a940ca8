/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_RECOVERY_H
#define RH_CLI_RECOVERY_H

/*
 * Whether a cluster waits for processes that nobody can hear: the rule by which nodes hold a new view
 * back (docs/protocol-cluster.md, V7), as far as it can be told from ZooKeeper alone. Pure.
 */

#include "base/error.h"
#include "node/view.h"
#include "proto/registration.h"

enum rh_recovery_state {
    RH_RECOVERY_UNRECORDED, /* no view was ever recorded, and none was lost: a cluster that begins */
    RH_RECOVERY_STOPPED,    /* the last member stopped in order */
    RH_RECOVERY_ALIVE,   /* one of the last members is still registered: it speaks for the rest */
    RH_RECOVERY_SETTLED, /* each of them is registered, replaced, or given up before */
    RH_RECOVERY_MISSING, /* some are not */
    RH_RECOVERY_UNKNOWN, /* the record was lost with ZooKeeper's data: nobody knows who they are */
};

struct rh_recovery {
    enum rh_recovery_state state;
    size_t *missing; /* MISSING: indexes of the record's members */
    size_t missing_count;
};

/* |view| is who is registered now, with names. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_recovery_judge(const struct rh_view *view, const struct rh_record *record,
                                    struct rh_recovery *ret_recovery);

void rh_recovery_finish(struct rh_recovery *recovery);

/* Puts the missing, or all whom nobody knows, on the list of |record| whom nobody need hear.
 * RH_ERR_TOO_LARGE: it is full. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_recovery_forget(const struct rh_recovery *recovery, struct rh_record *record);

#endif
