/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_VIEW_H
#define RH_NODE_VIEW_H

/*
 * A view: the registrations at one epoch and the ring they make. Immutable and shared by
 * reference; a node adopts views one after the other, in the order of their epochs.
 */

#include "proto/identity.h"
#include "proto/registration.h"
#include "ring/ring.h"

#include <stdbool.h>

struct rh_view {
    unsigned references;
    struct rh_epoch epoch;
    struct rh_shared_config config;
    struct rh_ring *ring;            /* member i of the ring is members[i] */
    struct rh_registration *members; /* sorted by id, one per id */
    int64_t *czxids;                 /* of members[i]'s registration: when it was made */
    size_t members_count;
    uint64_t deletions; /* of registrations, ever, up to this epoch */
};

/*
 * Builds a view with one reference. |members| are copied; of two with the same id the one with the
 * higher czxid is kept. RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_view_create(struct rh_epoch epoch, const struct rh_shared_config *config,
                                 const struct rh_registration *members, const int64_t *czxids,
                                 size_t members_count, struct rh_view **ret_view);

struct rh_view *rh_view_take(struct rh_view *view);
void rh_view_give(struct rh_view *view); /* NULL is allowed */

/* Index of |id|, or RH_RING_NONE. */
uint32_t rh_view_find(const struct rh_view *view, const char *id);

/* Whether exactly this process is registered in the view (with any weight). */
bool rh_view_has(const struct rh_view *view, const char *id, uint64_t instance);

#endif
