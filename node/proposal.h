/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_PROPOSAL_H
#define RH_NODE_PROPOSAL_H

/*
 * A proposed change of membership: a view, named by its epoch and the digest of its ring, and what is
 * to be changed in it. Its text is the id of a plan (`ringhop plan`): it carries all of it, so that
 * nobody has to keep plans, and every node can say what this one would do to it.
 *
 *     1:57:9f86d081884c7d65/add:n4:1:b,remove:n2,weight:n1:1.5/4fb1c0a2e9d83c55
 *     |  |  digest of the ring   changes                         check over all before
 *     |  pzxid
 *     generation
 *
 * Only letters, digits and `:/,._-` are in it: it needs no quotes in a shell and no escapes in the
 * query of a URL. Pure.
 */

#include "node/view.h"

#include <stdbool.h>
#include <stddef.h>

#define RH_PROPOSAL_CHANGES_MAX 256
#define RH_PROPOSAL_TEXT_SIZE   3841 /* with terminator: it has to fit into the head of a request */

enum rh_change_kind {
    RH_CHANGE_ADD,    /* a node that is not in the ring comes in */
    RH_CHANGE_REMOVE, /* a node of the ring leaves it */
    RH_CHANGE_WEIGHT, /* a node of the ring gets another weight */
};

struct rh_change {
    enum rh_change_kind kind;
    char id[RH_NODE_ID_SIZE];
    uint32_t weight_milli;   /* of add and weight, above 0 */
    char zone[RH_ZONE_SIZE]; /* of add: of a node that is not registered */
};

struct rh_proposal {
    struct rh_epoch epoch;
    uint64_t digest; /* rh_ring_digest() of the view */
    struct rh_change changes[RH_PROPOSAL_CHANGES_MAX];
    size_t changes_count;
};

/* RH_ERR_TOO_LARGE with a reason: the text would be longer than RH_PROPOSAL_TEXT_SIZE allows. */
RH_MUST_CHECK int rh_proposal_format(const struct rh_proposal *proposal,
                                     char ret_text[static RH_PROPOSAL_TEXT_SIZE],
                                     struct rh_reason *reason);

/* RH_ERR_INVALID with a reason: it is not what rh_proposal_format() makes, or was damaged. */
RH_MUST_CHECK int rh_proposal_parse(struct rh_bytes text, struct rh_proposal *ret_proposal,
                                    struct rh_reason *reason);

/* Reads "ID", "ID:WEIGHT" or, of a node to add, "ID:WEIGHT:ZONE". Without one an add has weight 0: the
 * caller knows a better one. RH_ERR_INVALID with a reason. */
RH_MUST_CHECK int rh_change_parse(enum rh_change_kind kind, struct rh_bytes text,
                                  struct rh_change *ret_change, struct rh_reason *reason);

/*
 * The ring that the first |changes_count| changes make of |view|, with all its members: who was
 * removed has weight 0. A node that is registered keeps the zone of its registration.
 * RH_ERR_CONFLICT with a reason: a change does not fit the view (a node to add is in the ring, one
 * to remove is not), or two changes name one node. RH_ERR_INVALID, RH_ERR_TOO_LARGE with a reason: the
 * ring cannot be built. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_changes_apply(const struct rh_view *view, const struct rh_change *changes,
                                   size_t changes_count, struct rh_ring **ret_ring,
                                   struct rh_reason *reason);

/* Whether the proposal is about exactly that view. RH_ERR_CONFLICT with a reason: it is not. */
RH_MUST_CHECK int rh_proposal_check(const struct rh_proposal *proposal, const struct rh_view *view,
                                    struct rh_reason *reason);

#endif
