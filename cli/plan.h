/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PLAN_H
#define RH_CLI_PLAN_H

/*
 * What a change of membership would move, computed and not done: by the ring alone (rh_plan_create()),
 * and by what the nodes have told of their channels (cli/plan_load.h). Pure.
 */

#include "node/proposal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a node has, or would have. */
struct rh_plan_load {
    uint64_t channels;    /* that it owns */
    uint64_t connections; /* in them */
    uint64_t bytes;       /* of them: logs and states */
    uint64_t copies;      /* in all roles */
};

/* One node of either ring. */
struct rh_plan_node {
    char id[RH_NODE_ID_SIZE];
    char zone[RH_ZONE_SIZE];
    double before; /* share; 0 where it is not in the ring */
    double after;
    uint32_t weight_before_milli;
    uint32_t weight_after_milli;
    bool registered; /* now; false: its process has to be started */

    /* Filled by cli/plan_load.h. */
    bool counted; /* it told what it has; one that is not registered has nothing */
    struct rh_plan_load load_before;
    struct rh_plan_load load_after;
    struct rh_plan_load limits; /* what it may have; 0: not known, or not limited */
    uint64_t turns;             /* channels that have their turn in the rebalance there */
    uint64_t sent;              /* copies that it sends, */
    uint64_t sent_bytes;
    double seconds; /* and how long that takes */
    uint32_t channels_per_second;
    uint32_t in_flight;
    uint64_t under_way; /* channels that move already, for an earlier change */
};

/* What goes from one node to another: channels that it owns afterwards, and copies that it is sent. */
struct rh_plan_move {
    char from[RH_NODE_ID_SIZE];
    char to[RH_NODE_ID_SIZE];
    struct rh_plan_load load;
};

struct rh_plan {
    double moved;        /* share of all keys that get another owner */
    double modulo_moved; /* the same if keys were placed by hash modulo the number of nodes */
    uint32_t replicas;
    struct rh_ring *ring;       /* to come */
    struct rh_plan_node *nodes; /* those of either ring, sorted by id */
    size_t nodes_count;
    size_t registered_count; /* nodes that would be registered, outside the ring too */

    /* Filled by cli/plan_load.h. */
    bool counted;  /* every registered node told what it has */
    bool one_copy; /* channels have no copies and are not handed over: a build option of nodes */
    struct rh_plan_load total; /* of all moves; copies are those that are sent */
    uint64_t sent_bytes;       /* of those copies */
    uint64_t under_way;        /* channels that move already */
    double seconds;            /* until all is moved, about */
    struct rh_plan_move *moves;
    size_t moves_count;
    struct rh_plan_load
        *losses; /* nodes_count * nodes_count: what the second would get in addition if
                                    the first were lost after the change; NULL: nobody told */
};

/*
 * Applies |changes| to |view|. Zones do not matter for owners. The caller calls rh_plan_finish().
 * Errors are those of rh_changes_apply(), with a reason.
 */
RH_MUST_CHECK int rh_plan_create(const struct rh_view *view, const struct rh_change *changes,
                                 size_t changes_count, struct rh_plan *ret_plan,
                                 struct rh_reason *reason);

void rh_plan_finish(struct rh_plan *plan);

/* The node of the plan with that id, or NULL. */
struct rh_plan_node *rh_plan_find(const struct rh_plan *plan, const char *id);

/*
 * Share of keys that change owner when a key with hash h belongs to the node at place h modulo the
 * number of nodes in the list of nodes sorted by name, and the list |before| (names, sorted)
 * becomes |after|. Exact over the hashes 0 to lcm - 1, so up to lcm / 2^64 over all. Weights do not
 * exist for this way of placing keys. One list empty: 1. Both empty: 0.
 */
double rh_plan_modulo_moved(const char *const before[], size_t before_count,
                            const char *const after[], size_t after_count);

#endif
