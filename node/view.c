/* SPDX-License-Identifier: Apache-2.0 */
#include "node/view.h"

#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NEXT_TO 4U

static void set_member(struct rh_view *view, size_t at, const struct rh_view_source *source,
                       size_t index)
{
    view->members[at] = source->members[index];
    view->czxids[at] = source->czxids[index];
    view->names[at] =
        source->names == NULL ? (struct rh_registration_name){""} : source->names[index];
}

/* Copies the members in order of id, the newest of each id only. */
static void sort_members(struct rh_view *view, const struct rh_view_source *source)
{
    for (size_t i = 0; i < source->members_count; i++) {
        size_t at = view->members_count;
        while (at > 0 && strcmp(view->members[at - 1].id, source->members[i].id) > 0) {
            at--;
        }
        if (at > 0 && strcmp(view->members[at - 1].id, source->members[i].id) == 0) {
            if (view->czxids[at - 1] < source->czxids[i]) {
                set_member(view, at - 1, source, i);
            }
            continue;
        }
        size_t after = view->members_count - at;
        memmove(&view->members[at + 1], &view->members[at], after * sizeof(view->members[0]));
        memmove(&view->czxids[at + 1], &view->czxids[at], after * sizeof(view->czxids[0]));
        memmove(&view->names[at + 1], &view->names[at], after * sizeof(view->names[0]));
        set_member(view, at, source, i);
        view->members_count++;
    }
}

static int make_ring(struct rh_view *view)
{
    struct rh_ring_member *members = calloc(view->members_count + 1, sizeof(*members));
    if (members == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < view->members_count; i++) {
        members[i] = (struct rh_ring_member){
            .id = view->members[i].id,
            .zone = view->members[i].zone,
            .weight_milli = view->members[i].weight_milli,
        };
    }
    const struct rh_ring_options options = {.seed = view->config.seed,
                                            .vnodes = view->config.vnodes};
    int rv = rh_ring_create(&options, members, view->members_count, &view->ring);
    free(members);
    return rv;
}

static void destroy(struct rh_view *view)
{
    rh_ring_destroy(view->ring);
    free(view->members);
    free(view->czxids);
    free(view->names);
    free(view);
}

int rh_view_build(const struct rh_view_source *source, struct rh_view **ret_view)
{
    struct rh_view *view = calloc(1, sizeof(*view));
    if (view == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    view->references = 1;
    view->epoch = source->epoch;
    view->config = *source->config;
    view->deletions = source->deletions;
    view->members = calloc(source->members_count + 1, sizeof(*view->members));
    view->czxids = calloc(source->members_count + 1, sizeof(*view->czxids));
    view->names = calloc(source->members_count + 1, sizeof(*view->names));
    if (view->members == NULL || view->czxids == NULL || view->names == NULL) {
        destroy(view);
        return RH_ERR_NO_MEMORY;
    }
    sort_members(view, source);
    int rv = make_ring(view);
    if (rv != 0) {
        destroy(view);
        return rv;
    }
    *ret_view = view;
    return 0;
}

int rh_view_create(struct rh_epoch epoch, const struct rh_shared_config *config,
                   const struct rh_registration *members, const int64_t *czxids,
                   size_t members_count, struct rh_view **ret_view)
{
    const struct rh_view_source source = {.epoch = epoch,
                                          .config = config,
                                          .members = members,
                                          .czxids = czxids,
                                          .members_count = members_count};
    return rh_view_build(&source, ret_view);
}

struct rh_view *rh_view_take(struct rh_view *view)
{
    view->references++;
    return view;
}

void rh_view_give(struct rh_view *view)
{
    if (view == NULL) {
        return;
    }
    assert(view->references > 0);
    view->references--;
    if (view->references == 0) {
        destroy(view);
    }
}

uint32_t rh_view_find(const struct rh_view *view, const char *id)
{
    return rh_ring_find(view->ring, id);
}

bool rh_view_is_next_to(const struct rh_view *view, const char *id, const char *self)
{
    uint32_t own = rh_view_find(view, self);
    if (own == RH_RING_NONE) {
        return false;
    }
    size_t place = 0;
    while (place < view->members_count && strcmp(view->members[place].id, id) < 0) {
        place++;
    }
    return (own + view->members_count - place) % view->members_count < NEXT_TO;
}

bool rh_view_has(const struct rh_view *view, const char *id, uint64_t instance)
{
    uint32_t index = rh_view_find(view, id);
    return index != RH_RING_NONE && view->members[index].instance == instance;
}

const char *rh_view_chain(const struct rh_view *view, size_t index)
{
    const char *origin = view->members[index].origin;
    return origin[0] != '\0' ? origin : view->names[index].text;
}

bool rh_view_lost(const struct rh_view *before, const struct rh_view *view)
{
    uint64_t gone = 0;
    for (size_t i = 0; i < before->members_count; i++) {
        uint32_t index = rh_view_find(view, before->members[i].id);
        if (index == RH_RING_NONE || view->members[index].instance != before->members[i].instance) {
            return true;
        }
        gone += view->czxids[index] != before->czxids[i];
    }
    return before->epoch.generation == view->epoch.generation &&
           view->deletions > before->deletions + gone && !rh_fault(RH_FAULT_SEEN_LOSSES);
}

bool rh_view_shares_chain(const struct rh_view *view, const struct rh_record *record)
{
    if (record->last.generation != view->epoch.generation) {
        return false;
    }
    for (size_t i = 0; i < record->members_count; i++) {
        uint32_t index = rh_view_find(view, record->members[i].id);
        if (index != RH_RING_NONE &&
            strcmp(rh_view_chain(view, index), record->members[i].origin) == 0) {
            return true;
        }
    }
    return false;
}
