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

struct rh_registration_name {
    char text[RH_REGISTRATION_NAME_SIZE]; /* n1.0000000003; "" where nobody needs it */
};

struct rh_view {
    unsigned references;
    struct rh_epoch epoch;
    struct rh_shared_config config;
    struct rh_ring *ring;               /* member i of the ring is members[i] */
    struct rh_registration *members;    /* sorted by id, one per id */
    int64_t *czxids;                    /* of members[i]'s registration: when it was made */
    struct rh_registration_name *names; /* of members[i]'s registration */
    size_t members_count;
    uint64_t deletions; /* how many registrations were ever deleted up to here, in this generation;
                           those that were replaced count too */
};

/* What is promised with a lease (R3 of docs/protocol-cluster.md): to adopt no view without |to| before
 * |until_ms|. */
struct rh_promise {
    struct rh_node_ref to;
    struct rh_epoch epoch; /* in which it was asked for */
    uint64_t number;       /* of the lease */
    uint64_t until_ms;     /* monotonic */
};

/* What a view is made of; nothing of it is kept. */
struct rh_view_source {
    struct rh_epoch epoch;
    const struct rh_shared_config *config;
    const struct rh_registration *members;
    const int64_t *czxids;
    const struct rh_registration_name *names; /* NULL: without */
    size_t members_count;
    uint64_t deletions;
};

/*
 * Builds a view with one reference. Of two members with the same id the one with the higher czxid is
 * kept. RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_view_build(const struct rh_view_source *source, struct rh_view **ret_view);

/* Likewise, without names. */
RH_MUST_CHECK int rh_view_create(struct rh_epoch epoch, const struct rh_shared_config *config,
                                 const struct rh_registration *members, const int64_t *czxids,
                                 size_t members_count, struct rh_view **ret_view);

struct rh_view *rh_view_take(struct rh_view *view);
void rh_view_give(struct rh_view *view); /* NULL is allowed */

/* Index of |id|, or RH_RING_NONE. */
uint32_t rh_view_find(const struct rh_view *view, const char *id);

/* Whether |self| is one of the four members that come next, by id, to the place of |id|, which has
 * left: for what a few do for all. */
bool rh_view_is_next_to(const struct rh_view *view, const char *id, const char *self);

/* Whether exactly this process is registered in the view (with any weight). */
bool rh_view_has(const struct rh_view *view, const char *id, uint64_t instance);

/* Name of the first registration of the chain to which that of members[index] belongs. */
const char *rh_view_chain(const struct rh_view *view, size_t index);

/*
 * Whether a registration was lost between |before| and |view|, a later one, be it in a view that
 * nobody here saw (docs/protocol-cluster.md, V8): a member of |before| is missing as a process, or
 * more registrations were deleted than those of |before| that are gone. Across generations nothing
 * can be counted; there the guard (V7) sees to those who came and went.
 */
bool rh_view_lost(const struct rh_view *before, const struct rh_view *view);

/* Whether a registration of the recorded view, or one that followed it in its chain, stands in
 * |view|. Names of different generations are never the same. */
bool rh_view_shares_chain(const struct rh_view *view, const struct rh_record *record);

#endif
