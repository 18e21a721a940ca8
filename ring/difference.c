/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_private.h"

#include <stdlib.h>
#include <string.h>

#define ARCS_ROOM_MIN 64

/* The arcs found so far. */
struct arcs {
    struct rh_ring_arc *items;
    size_t count;
    size_t room;
};

/* Adds an arc that begins after all those before it, or lengthens the last one. */
static int arcs_add(struct arcs *arcs, struct rh_ring_arc arc)
{
    if (arcs->count > 0) {
        struct rh_ring_arc *last = &arcs->items[arcs->count - 1];
        if (last->last + 1 == arc.first && last->before == arc.before && last->after == arc.after) {
            last->last = arc.last;
            return 0;
        }
    }
    if (arcs->count == arcs->room) {
        size_t room = arcs->room == 0 ? ARCS_ROOM_MIN : arcs->room * 2;
        struct rh_ring_arc *items = realloc(arcs->items, room * sizeof(*items));
        if (items == NULL) {
            return RH_RING_ERR_NO_MEMORY;
        }
        arcs->items = items;
        arcs->room = room;
    }
    arcs->items[arcs->count++] = arc;
    return 0;
}

/* Stands for a member that is not in the other ring: no owner there has this number. */
#define ABSENT UINT32_MAX

/* Owners of |from| to owners of |to|; the one that is nobody included. */
static uint32_t *map_owners(const struct rh_ring *from, const struct rh_ring *to)
{
    uint32_t *map = malloc((RH_POINTS_NOBODY + 1) * sizeof(*map));
    if (map == NULL) {
        return NULL;
    }
    map[RH_POINTS_NOBODY] = RH_POINTS_NOBODY;
    size_t k = 0;
    for (size_t i = 0; i < from->members_count; i++) {
        int order = 1;
        while (k < to->members_count &&
               (order = strcmp(to->members[k].id, from->members[i].id)) < 0) {
            k++;
        }
        map[i] = k < to->members_count && order == 0 ? (uint32_t)k : ABSENT;
    }
    return map;
}

static uint32_t index_of(uint16_t owner)
{
    return owner == RH_POINTS_NOBODY ? RH_RING_NONE : owner;
}

/*
 * Walks the points of both rings at once. [first, last] is a stretch without a point inside: both
 * owners are the same all over it. The padding after the last point ends both walks at 2^64 - 1.
 */
static int compare(const struct rh_points *before, const struct rh_points *after,
                   const uint32_t *map, struct arcs *arcs)
{
    size_t i = 0;
    size_t k = 0;
    uint64_t first = 0;
    for (;;) {
        uint64_t last = before->hashes[i] < after->hashes[k] ? before->hashes[i] : after->hashes[k];
        uint16_t owner = before->owners[i];
        uint16_t heir = after->owners[k];
        if (map[owner] != heir) {
            const struct rh_ring_arc arc = {first, last, index_of(owner), index_of(heir)};
            int rv = arcs_add(arcs, arc);
            if (rv != 0) {
                return rv;
            }
        }
        if (last == UINT64_MAX) {
            return 0;
        }
        first = last + 1;
        while (before->hashes[i] < first) {
            i++;
        }
        while (after->hashes[k] < first) {
            k++;
        }
    }
}

int rh_ring_difference(const struct rh_ring *before, const struct rh_ring *after,
                       struct rh_ring_arc **ret_arcs, size_t *ret_arcs_count)
{
    if (before->options.seed != after->options.seed ||
        before->options.vnodes != after->options.vnodes) {
        return RH_RING_ERR_INVALID;
    }
    uint32_t *map = map_owners(before, after);
    if (map == NULL) {
        return RH_RING_ERR_NO_MEMORY;
    }
    struct arcs arcs = {0};
    int rv = compare(&before->points, &after->points, map, &arcs);
    free(map);
    if (rv != 0) {
        free(arcs.items);
        return rv;
    }
    *ret_arcs = arcs.items;
    *ret_arcs_count = arcs.count;
    return 0;
}

double rh_ring_arcs_share(const struct rh_ring_arc *arcs, size_t arcs_count)
{
    uint64_t width = 0;
    for (size_t i = 0; i < arcs_count; i++) {
        width += rh_ring_width_through(arcs[i].last) - rh_ring_width_before(arcs[i].first);
    }
    return rh_ring_width_share(width);
}
