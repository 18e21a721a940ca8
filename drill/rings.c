/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/rings.h"

#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What /v1/ring says. */
struct told {
    json_int_t generation;
    json_int_t epoch;
    json_int_t vnodes;
    json_int_t replicas;
    const char *digest;
    const json_t *members;
};

void rh_rings_finish(struct rh_rings *rings)
{
    for (size_t i = 0; i < rings->channels_count; i++) {
        free(rings->channels[i].key);
    }
    free(rings->channels);
    rh_ring_destroy(rings->ring);
    *rings = (struct rh_rings){0};
}

static int read_told(const json_t *json, struct told *told, struct rh_reason *reason)
{
    const json_t *generation = json_object_get(json, "generation");
    const json_t *epoch = json_object_get(json, "epoch");
    const json_t *vnodes = json_object_get(json, "vnodes");
    const json_t *replicas = json_object_get(json, "replicas");
    *told = (struct told){.generation = json_integer_value(generation),
                          .epoch = json_integer_value(epoch),
                          .vnodes = json_integer_value(vnodes),
                          .replicas = json_integer_value(replicas),
                          .digest = json_string_value(json_object_get(json, "digest")),
                          .members = json_object_get(json, "members")};
    if (!json_is_integer(generation) || !json_is_integer(epoch) || told->vnodes < 1 ||
        told->vnodes > RH_RING_VNODES_MAX || told->replicas < 1 || told->digest == NULL ||
        !json_is_array(told->members)) {
        return rh_fail(reason, RH_ERR_INVALID, "what a node says at /v1/ring is no ring");
    }
    return 0;
}

static int fill_members(const json_t *members, struct rh_ring_member *out)
{
    size_t i;
    const json_t *member;
    json_array_foreach(members, i, member)
    {
        const json_t *weight = json_object_get(member, "weight");
        const char *zone = json_string_value(json_object_get(member, "zone"));
        out[i].id = json_string_value(json_object_get(member, "node"));
        out[i].zone = zone != NULL ? zone : "";
        if (out[i].id == NULL || !json_is_number(weight)) {
            return RH_ERR_INVALID;
        }
        out[i].weight_milli = (uint32_t)lround(json_number_value(weight) * RH_RING_WEIGHT_ONE);
    }
    return 0;
}

static int build(const struct rh_rings *rings, const struct told *told, struct rh_ring **ret_ring,
                 struct rh_reason *reason)
{
    size_t count = json_array_size(told->members);
    struct rh_ring_member *members = calloc(count + 1, sizeof(*members));
    const struct rh_ring_options options = {.seed = rings->seed, .vnodes = (uint32_t)told->vnodes};
    struct rh_ring *ring = NULL;
    int rv = members == NULL ? RH_ERR_NO_MEMORY : fill_members(told->members, members);
    if (rv == 0) {
        rv = rh_ring_create(&options, members, count, &ring);
    }
    free(members);
    if (rv != 0) {
        return rh_fail(reason, rv, "what a node says at /v1/ring is no ring: %s",
                       rh_error_text(rv));
    }
    char digest[RH_ID64_SIZE];
    rh_id64_format(rh_ring_digest(ring), digest);
    if (strcmp(digest, told->digest) != 0) {
        rh_ring_destroy(ring);
        return rh_fail(reason, RH_ERR_INVALID,
                       "the ring of the cluster is not that of its members with seed %llu: is "
                       "`ring.seed` of the config that of the cluster?",
                       (unsigned long long)rings->seed);
    }
    *ret_ring = ring;
    return 0;
}

static const char *owner_id(const struct rh_ring *ring, uint64_t hash)
{
    uint32_t owner = rh_ring_owner(ring, hash);
    return owner == RH_RING_NONE ? "" : rh_ring_member(ring, owner)->id;
}

/* Connections of channels that have another owner in |after|. */
static uint64_t count_moved(const struct rh_rings *rings, const struct rh_ring *before,
                            const struct rh_ring *after)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < rings->channels_count; i++) {
        const struct rh_rings_channel *channel = &rings->channels[i];
        if (strcmp(owner_id(before, channel->hash), owner_id(after, channel->hash)) != 0) {
            moved += channel->clients;
        }
    }
    return moved;
}

static void place_channels(struct rh_rings *rings, const struct rh_ring *ring)
{
    for (size_t i = 0; i < rings->channels_count; i++) {
        struct rh_rings_channel *channel = &rings->channels[i];
        channel->hash = rh_ring_hash(ring, channel->key, strlen(channel->key));
    }
}

int rh_rings_take(struct rh_rings *rings, const json_t *json, struct rh_reason *reason)
{
    struct told told;
    struct rh_ring *ring = NULL;
    int rv = read_told(json, &told, reason);
    if (rv != 0) {
        return rv;
    }
    uint64_t generation = (uint64_t)told.generation;
    if (rings->ring != NULL && (generation < rings->generation ||
                                (generation == rings->generation && told.epoch <= rings->epoch))) {
        return 0;
    }
    rv = build(rings, &told, &ring, reason);
    if (rv != 0) {
        return rv;
    }
    if (rings->ring == NULL) {
        place_channels(rings, ring);
    } else {
        rings->moved += count_moved(rings, rings->ring, ring);
    }
    rh_ring_destroy(rings->ring);
    rings->ring = ring;
    rings->generation = generation;
    rings->epoch = told.epoch;
    rings->replicas = (uint32_t)told.replicas;
    return 0;
}

uint32_t rh_rings_weight_milli(const struct rh_rings *rings, const char *id)
{
    uint32_t index = rings->ring == NULL ? RH_RING_NONE : rh_ring_find(rings->ring, id);
    return index == RH_RING_NONE ? 0 : rh_ring_member(rings->ring, index)->weight_milli;
}

static json_t *members_json(const struct rh_ring *ring)
{
    json_t *members = json_array();
    for (uint32_t i = 0; i < rh_ring_members_count(ring); i++) {
        const struct rh_ring_member *member = rh_ring_member(ring, i);
        double share = round(rh_ring_share(ring, i) * 1e6) / 1e6;
        (void)json_array_append_new(
            members, json_pack("{s:s, s:f, s:f}", "node", member->id, "weight",
                               (double)member->weight_milli / RH_RING_WEIGHT_ONE, "share", share));
    }
    return members;
}

static json_t *cells_json(const struct rh_ring *ring)
{
    json_t *cells = json_array();
    uint32_t owners[RH_RINGS_CELLS];
    rh_ring_cells(ring, RH_RINGS_CELLS, owners);
    for (size_t i = 0; i < RH_RINGS_CELLS; i++) {
        (void)json_array_append_new(cells, owners[i] == RH_RING_NONE ? json_null()
                                                                     : json_integer(owners[i]));
    }
    return cells;
}

json_t *rh_rings_json(const struct rh_rings *rings)
{
    return json_pack("{s:I, s:o, s:o}", "epoch", (json_int_t)rings->epoch, "members",
                     members_json(rings->ring), "cells", cells_json(rings->ring));
}
