/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rh_plan_change_parse(enum rh_plan_kind kind, const char *text,
                         struct rh_plan_change *ret_change, struct rh_reason *reason)
{
    struct rh_plan_change change = {.kind = kind, .weight_milli = RH_WEIGHT_ONE};
    const char *colon = strchr(text, ':');
    struct rh_bytes id = rh_bytes(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    if (!rh_node_id_valid(id)) {
        return rh_fail(reason, RH_ERR_INVALID, "`%s`: a node id is 1 to 64 letters, digits, _ or -",
                       text);
    }
    memcpy(change.id, id.data, id.size);
    if (kind == RH_PLAN_REMOVE && colon != NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "`%s`: a node is removed without a weight", text);
    }
    if (kind == RH_PLAN_WEIGHT && colon == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "`%s`: the new weight is missing, as in %s:2", text,
                       change.id);
    }
    if (colon != NULL && (rh_weight_parse(rh_bytes_text(colon + 1), &change.weight_milli) != 0 ||
                          change.weight_milli == 0)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "`%s`: a weight is a number above 0, at most 1000, with at most three "
                       "decimals",
                       text);
    }
    *ret_change = change;
    return 0;
}

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

/* The members of the ring to come, with a weight of 0 for those that are not in it. */
struct draft {
    struct rh_ring_member *members;
    size_t count;
    bool *touched; /* a change has named it */
};

static int find(const struct draft *draft, const char *id)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->members[i].id, id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int apply(struct draft *draft, const struct rh_plan_change *change, struct rh_reason *reason)
{
    int at = find(draft, change->id);
    bool inside = at >= 0 && draft->members[at].weight_milli > 0;
    if (at >= 0 && draft->touched[at]) {
        return rh_fail(reason, RH_ERR_CONFLICT, "%s is named twice", change->id);
    }
    if (change->kind == RH_PLAN_ADD && inside) {
        return rh_fail(reason, RH_ERR_CONFLICT,
                       "%s cannot be added: it is in the ring already (--weight changes a weight)",
                       change->id);
    }
    if (change->kind != RH_PLAN_ADD && !inside) {
        return rh_fail(reason, RH_ERR_CONFLICT,
                       "%s is not in the ring; `ringhop ring` lists who is", change->id);
    }
    if (at < 0) {
        at = (int)draft->count;
        draft->members[at] = (struct rh_ring_member){.id = change->id, .zone = ""};
        draft->count++;
    }
    draft->touched[at] = true;
    draft->members[at].weight_milli = change->kind == RH_PLAN_REMOVE ? 0 : change->weight_milli;
    return 0;
}

static int draft_ring(const struct rh_view *view, const struct rh_plan_change *changes,
                      size_t changes_count, struct rh_ring **ret_ring, struct rh_reason *reason)
{
    size_t room = view->members_count + changes_count + 1;
    struct draft draft = {.members = calloc(room, sizeof(*draft.members)),
                          .touched = calloc(room, sizeof(*draft.touched))};
    int rv = draft.members == NULL || draft.touched == NULL ? RH_ERR_NO_MEMORY : 0;
    for (size_t i = 0; i < view->members_count && rv == 0; i++) {
        draft.members[i] = *rh_ring_member(view->ring, (uint32_t)i);
        draft.count++;
    }
    for (size_t i = 0; i < changes_count && rv == 0; i++) {
        rv = apply(&draft, &changes[i], reason);
    }
    if (rv == 0) {
        const struct rh_ring_options options = {.seed = view->config.seed,
                                                .vnodes = view->config.vnodes};
        rv = rh_ring_create(&options, draft.members, draft.count, ret_ring);
        if (rv != 0) {
            (void)rh_fail(reason, rv, "such a ring cannot be built: %s", rh_error_text(rv));
        }
    }
    free(draft.members);
    free(draft.touched);
    return rv;
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
static int compute_shares(const struct rh_ring *before, const struct rh_ring *after,
                          struct rh_plan *plan)
{
    plan->nodes = calloc(rh_ring_members_count(after) + 1, sizeof(*plan->nodes));
    if (plan->nodes == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < rh_ring_members_count(after); i++) {
        const struct rh_ring_member *member = rh_ring_member(after, i);
        uint32_t old = rh_ring_find(before, member->id);
        double share = old == RH_RING_NONE ? 0.0 : rh_ring_share(before, old);
        if (member->weight_milli == 0 && share <= 0.0) {
            continue;
        }
        struct rh_plan_node *node = &plan->nodes[plan->nodes_count];
        plan->nodes_count++;
        (void)snprintf(node->id, sizeof(node->id), "%s", member->id);
        node->before = share;
        node->after = rh_ring_share(after, i);
    }
    return 0;
}

int rh_plan_create(const struct rh_view *view, const struct rh_plan_change *changes,
                   size_t changes_count, struct rh_plan *ret_plan, struct rh_reason *reason)
{
    struct rh_ring *after = NULL;
    struct rh_plan plan = {0};
    int rv = draft_ring(view, changes, changes_count, &after, reason);
    if (rv == 0) {
        rv = compute_moved(view->ring, after, &plan);
    }
    if (rv == 0) {
        rv = compute_modulo(view->ring, after, &plan);
    }
    if (rv == 0) {
        rv = compute_shares(view->ring, after, &plan);
    }
    rh_ring_destroy(after);
    if (rv != 0) {
        rh_plan_finish(&plan);
        return rv == RH_ERR_NO_MEMORY ? rh_fail(reason, rv, "%s", rh_error_text(rv)) : rv;
    }
    *ret_plan = plan;
    return 0;
}

void rh_plan_finish(struct rh_plan *plan)
{
    free(plan->nodes);
    *plan = (struct rh_plan){0};
}
