/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/*
 * Residues i of |before| and j of |after| occur together in exactly one of the lcm hashes when i
 * and j are congruent modulo the gcd (the Chinese remainder theorem), and in none otherwise. So it
 * is enough to look at the one or two places of each name.
 */
double rh_plan_modulo_moved(const char *const before[], size_t before_count,
                            const char *const after[], size_t after_count)
{
    if (before_count == 0 || after_count == 0) {
        return before_count == after_count ? 0.0 : 1.0;
    }
    uint64_t divisor = greatest_common_divisor(before_count, after_count);
    double multiple = (double)before_count / (double)divisor * (double)after_count;
    size_t same = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < before_count && j < after_count) {
        int order = strcmp(before[i], after[j]);
        if (order == 0) {
            same += i % divisor == j % divisor;
        }
        i += order <= 0;
        j += order >= 0;
    }
    return 1.0 - (double)same / multiple;
}

/* Names of the members with points; free() the list alone. */
static const char **active_names(const struct rh_ring *ring)
{
    const char **names = calloc(rh_ring_members_count(ring) + 1, sizeof(*names));
    size_t count = 0;
    for (uint32_t i = 0; names != NULL && i < rh_ring_members_count(ring); i++) {
        if (rh_ring_member(ring, i)->weight_milli > 0) {
            names[count] = rh_ring_member(ring, i)->id;
            count++;
        }
    }
    return names;
}

static int compute_modulo(const struct rh_ring *before, const struct rh_ring *after,
                          struct rh_plan *plan)
{
    const char **before_names = active_names(before);
    const char **after_names = active_names(after);
    int rv = before_names == NULL || after_names == NULL ? RH_ERR_NO_MEMORY : 0;
    if (rv == 0) {
        plan->modulo_moved = rh_plan_modulo_moved(before_names, rh_ring_active_count(before),
                                                  after_names, rh_ring_active_count(after));
    }
    free(before_names);
    free(after_names);
    return rv;
}

static int compute_moved(const struct rh_ring *before, const struct rh_ring *after,
                         struct rh_plan *plan)
{
    struct rh_ring_arc *arcs = NULL;
    size_t arcs_count = 0;
    int rv = rh_ring_difference(before, after, &arcs, &arcs_count);
    if (rv == 0) {
        plan->moved = rh_ring_arcs_share(arcs, arcs_count);
    }
    free(arcs);
    return rv;
}

/* |after| has all members of |before|: none is ever dropped, only its weight. */
static int list_nodes(const struct rh_view *view, struct rh_plan *plan)
{
    const struct rh_ring *after = plan->ring;
    plan->nodes = calloc(rh_ring_members_count(after) + 1, sizeof(*plan->nodes));
    if (plan->nodes == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < rh_ring_members_count(after); i++) {
        const struct rh_ring_member *member = rh_ring_member(after, i);
        uint32_t old = rh_view_find(view, member->id);
        double share = old == RH_RING_NONE ? 0.0 : rh_ring_share(view->ring, old);
        if (member->weight_milli == 0 && share <= 0.0) {
            continue;
        }
        struct rh_plan_node *node = &plan->nodes[plan->nodes_count];
        plan->nodes_count++;
        (void)snprintf(node->id, sizeof(node->id), "%s", member->id);
        (void)snprintf(node->zone, sizeof(node->zone), "%s", member->zone);
        node->before = share;
        node->after = rh_ring_share(after, i);
        node->weight_before_milli = old == RH_RING_NONE ? 0 : view->members[old].weight_milli;
        node->weight_after_milli = member->weight_milli;
        node->registered = old != RH_RING_NONE;
    }
    return 0;
}

int rh_plan_create(const struct rh_view *view, const struct rh_change *changes,
                   size_t changes_count, struct rh_plan *ret_plan, struct rh_reason *reason)
{
    struct rh_plan plan = {.replicas = view->config.replicas,
                           .registered_count = view->members_count};
    int rv = rh_changes_apply(view, changes, changes_count, &plan.ring, reason);
    if (rv == 0) {
        rv = compute_moved(view->ring, plan.ring, &plan);
    }
    if (rv == 0) {
        rv = compute_modulo(view->ring, plan.ring, &plan);
    }
    if (rv == 0) {
        rv = list_nodes(view, &plan);
    }
    if (rv != 0) {
        rh_plan_finish(&plan);
        return rv == RH_ERR_NO_MEMORY ? rh_fail(reason, rv, "%s", rh_error_text(rv)) : rv;
    }
    for (size_t i = 0; i < plan.nodes_count; i++) {
        plan.registered_count += !plan.nodes[i].registered;
    }
    *ret_plan = plan;
    return 0;
}

static int compare_id(const void *id, const void *node)
{
    return strcmp(id, ((const struct rh_plan_node *)node)->id);
}

struct rh_plan_node *rh_plan_find(const struct rh_plan *plan, const char *id)
{
    return bsearch(id, plan->nodes, plan->nodes_count, sizeof(*plan->nodes), compare_id);
}

void rh_plan_finish(struct rh_plan *plan)
{
    rh_ring_destroy(plan->ring);
    free(plan->nodes);
    free(plan->moves);
    free(plan->losses);
    *plan = (struct rh_plan){0};
}
