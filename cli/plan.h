/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PLAN_H
#define RH_CLI_PLAN_H

/*
 * What a change of membership would move, computed and not done. Pure.
 */

#include "node/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rh_plan_kind {
    RH_PLAN_ADD,    /* a node that is not in the ring comes in */
    RH_PLAN_REMOVE, /* a node of the ring leaves it */
    RH_PLAN_WEIGHT, /* a node of the ring gets another weight */
};

struct rh_plan_change {
    enum rh_plan_kind kind;
    char id[RH_NODE_ID_SIZE];
    uint32_t weight_milli; /* of add and weight, above 0 */
};

/* Share of one node before and after; 0 where it is not in the ring. */
struct rh_plan_node {
    char id[RH_NODE_ID_SIZE];
    double before;
    double after;
};

struct rh_plan {
    double moved;        /* share of all keys that get another owner */
    double modulo_moved; /* the same if keys were placed by hash modulo the number of nodes */
    struct rh_plan_node *nodes; /* those of either ring, sorted by id */
    size_t nodes_count;
};

/* Reads "ID" or "ID:WEIGHT" (|kind| WEIGHT: the latter only). RH_ERR_INVALID with a reason. */
RH_MUST_CHECK int rh_plan_change_parse(enum rh_plan_kind kind, const char *text,
                                       struct rh_plan_change *ret_change, struct rh_reason *reason);

/*
 * Applies |changes| to |view|. Zones do not matter for owners. The caller calls rh_plan_finish().
 * RH_ERR_CONFLICT with a reason: a change does not fit the view (a node to add is in the ring, one
 * to remove is not), or two changes name one node. RH_ERR_INVALID with a reason: the ring cannot be
 * built. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_plan_create(const struct rh_view *view, const struct rh_plan_change *changes,
                                 size_t changes_count, struct rh_plan *ret_plan,
                                 struct rh_reason *reason);

void rh_plan_finish(struct rh_plan *plan);

/*
 * Share of keys that change owner when a key with hash h belongs to the node at place h modulo the
 * number of nodes in the list of nodes sorted by name, and the list |before| (names, sorted)
 * becomes |after|. Exact over the hashes 0 to lcm - 1, so up to lcm / 2^64 over all. Weights do not
 * exist for this way of placing keys. One list empty: 1. Both empty: 0.
 */
double rh_plan_modulo_moved(const char *const before[], size_t before_count,
                            const char *const after[], size_t after_count);

#endif
