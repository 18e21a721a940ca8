/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/apply.h"

static const struct rh_change *change_of(const struct rh_proposal *proposal, const char *id)
{
    for (size_t i = 0; i < proposal->changes_count; i++) {
        if (strcmp(proposal->changes[i].id, id) == 0) {
            return &proposal->changes[i];
        }
    }
    return NULL;
}

static uint32_t weight_in(const struct rh_view *view, const char *id)
{
    uint32_t index = rh_view_find(view, id);
    return index == RH_RING_NONE ? 0 : view->members[index].weight_milli;
}

static int check_one(const struct rh_proposal *proposal, const struct rh_view *base,
                     const struct rh_view *view, const char *id, struct rh_reason *reason)
{
    const struct rh_change *change = change_of(proposal, id);
    uint32_t before = weight_in(base, id);
    uint32_t now = weight_in(view, id);
    uint32_t index = rh_view_find(view, id);
    if (change != NULL && change->kind == RH_CHANGE_ADD) {
        bool is_elsewhere =
            index != RH_RING_NONE && strcmp(view->members[index].zone, change->zone) != 0;
        return is_elsewhere ? rh_fail(reason, RH_ERR_CONFLICT,
                                      "%s is in zone `%s`, and was planned for zone `%s`", id,
                                      view->members[index].zone, change->zone)
                            : 0;
    }
    if (index == RH_RING_NONE && before > 0) {
        return rh_fail(reason, RH_ERR_CONFLICT, "%s is gone, which was not planned", id);
    }
    uint32_t wanted = before;
    if (change != NULL) {
        wanted = change->kind == RH_CHANGE_REMOVE ? 0 : change->weight_milli;
    }
    if (now != before && now != wanted) {
        return rh_fail(reason, RH_ERR_CONFLICT, "the weight of %s has changed, as was not planned",
                       id);
    }
    return 0;
}

int rh_apply_check(const struct rh_proposal *proposal, const struct rh_view *base,
                   const struct rh_view *view, struct rh_reason *reason)
{
    int rv = 0;
    for (size_t i = 0; i < base->members_count && rv == 0; i++) {
        rv = check_one(proposal, base, view, base->members[i].id, reason);
    }
    for (size_t i = 0; i < view->members_count && rv == 0; i++) {
        rv = check_one(proposal, base, view, view->members[i].id, reason);
    }
    return rv;
}

size_t rh_apply_count_adds(const struct rh_proposal *proposal)
{
    size_t count = 0;
    for (size_t i = 0; i < proposal->changes_count; i++) {
        count += proposal->changes[i].kind == RH_CHANGE_ADD;
    }
    return count;
}

const struct rh_change *
rh_apply_missing(const struct rh_proposal *proposal, const struct rh_view *view,
                 bool (*is_there)(const struct rh_view *view, const struct rh_change *change))
{
    for (size_t i = 0; i < proposal->changes_count; i++) {
        const struct rh_change *change = &proposal->changes[i];
        if (change->kind == RH_CHANGE_ADD && !is_there(view, change)) {
            return change;
        }
    }
    return NULL;
}

bool rh_apply_is_registered(const struct rh_view *view, const struct rh_change *change)
{
    return rh_view_find(view, change->id) != RH_RING_NONE;
}

bool rh_apply_has_weight(const struct rh_view *view, const struct rh_change *change)
{
    return weight_in(view, change->id) == change->weight_milli;
}
