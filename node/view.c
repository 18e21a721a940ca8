/* SPDX-License-Identifier: Apache-2.0 */
#include "node/view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Copies |members| in order of id, the newest of each id only. */
static void sort_members(struct rh_view *view, const struct rh_registration *members,
                         const int64_t *czxids, size_t members_count)
{
    for (size_t i = 0; i < members_count; i++) {
        size_t at = view->members_count;
        while (at > 0 && strcmp(view->members[at - 1].id, members[i].id) > 0) {
            at--;
        }
        if (at > 0 && strcmp(view->members[at - 1].id, members[i].id) == 0) {
            if (view->czxids[at - 1] < czxids[i]) {
                view->members[at - 1] = members[i];
                view->czxids[at - 1] = czxids[i];
            }
            continue;
        }
        size_t after = view->members_count - at;
        memmove(&view->members[at + 1], &view->members[at], after * sizeof(view->members[0]));
        memmove(&view->czxids[at + 1], &view->czxids[at], after * sizeof(view->czxids[0]));
        view->members[at] = members[i];
        view->czxids[at] = czxids[i];
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
    free(view);
}

int rh_view_create(struct rh_epoch epoch, const struct rh_shared_config *config,
                   const struct rh_registration *members, const int64_t *czxids,
                   size_t members_count, struct rh_view **ret_view)
{
    struct rh_view *view = calloc(1, sizeof(*view));
    if (view == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    view->references = 1;
    view->epoch = epoch;
    view->config = *config;
    view->members = calloc(members_count + 1, sizeof(*view->members));
    view->czxids = calloc(members_count + 1, sizeof(*view->czxids));
    if (view->members == NULL || view->czxids == NULL) {
        destroy(view);
        return RH_ERR_NO_MEMORY;
    }
    sort_members(view, members, czxids, members_count);
    int rv = make_ring(view);
    if (rv != 0) {
        destroy(view);
        return rv;
    }
    *ret_view = view;
    return 0;
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

bool rh_view_has(const struct rh_view *view, const char *id, uint64_t instance)
{
    uint32_t index = rh_view_find(view, id);
    return index != RH_RING_NONE && view->members[index].instance == instance;
}
