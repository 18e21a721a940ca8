/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring.h"

#include "ring/ring_private.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 40, PROBES = 2000, MEMBERS_MAX = 24, ID_SIZE = 24 };

/* Random tests say their seed, and take one from the environment: RINGHOP_TEST_SEED. */
struct rng {
    uint64_t state;
};

static struct rng rng_begin(void)
{
    const char *text = getenv("RINGHOP_TEST_SEED");
    struct rng rng = {.state = text == NULL ? 20251124 : strtoull(text, NULL, 10)};
    print_message("# RINGHOP_TEST_SEED=%llu\n", (unsigned long long)rng.state);
    return rng;
}

/* splitmix64 */
static uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* 0 to |limit| - 1 */
static unsigned rng_below(struct rng *rng, unsigned limit)
{
    return (unsigned)((rng_next(rng) >> 32) % limit);
}

/* A list of members that can be changed, and the ring that it makes. */
struct cast {
    char ids[MEMBERS_MAX][ID_SIZE];
    struct rh_ring_member members[MEMBERS_MAX];
    size_t count;
};

static const char *const zones[] = {"a", "b", "c", "", NULL};

static void cast_add(struct cast *cast, unsigned number, const char *zone, uint32_t weight_milli)
{
    size_t at = cast->count++;
    snprintf(cast->ids[at], ID_SIZE, "n%u", number);
    cast->members[at] = (struct rh_ring_member){cast->ids[at], zone, weight_milli};
}

/* A cast of 1 to 16 members with ids n0, n1, ...; some of weight 0. */
static void cast_random(struct cast *cast, struct rng *rng)
{
    static const uint32_t weights[] = {1000, 1000, 1000, 0, 1, 500, 2000, 3337};
    *cast = (struct cast){.count = 0};
    for (unsigned count = 1 + rng_below(rng, 16); cast->count < count;) {
        cast_add(cast, (unsigned)cast->count, zones[rng_below(rng, 5)], weights[rng_below(rng, 8)]);
    }
}

static struct rh_ring *ring_of(const struct rh_ring_options *options, const struct cast *cast)
{
    struct rh_ring *ring = NULL;
    assert_int_equal(rh_ring_create(options, cast->members, cast->count, &ring), 0);
    return ring;
}

static const char *owner_id(const struct rh_ring *ring, uint64_t hash)
{
    uint32_t owner = rh_ring_owner(ring, hash);
    return owner == RH_RING_NONE ? "" : rh_ring_member(ring, owner)->id;
}

/* The definition, word for word: among all points the nearest one clockwise. */
static uint32_t owner_by_definition(const struct rh_points *points, uint64_t hash)
{
    uint64_t nearest = UINT64_MAX;
    uint32_t owner = RH_RING_NONE;
    for (size_t i = 0; i < points->count; i++) {
        uint64_t distance = points->hashes[i] - hash;
        if (owner == RH_RING_NONE || distance < nearest ||
            (distance == nearest && points->owners[i] < owner)) {
            nearest = distance;
            owner = points->owners[i];
        }
    }
    return owner;
}

/* Places worth a look: on a point, beside it, and anywhere. */
static uint64_t probe(const struct rh_points *points, struct rng *rng)
{
    unsigned kind = rng_below(rng, 4);
    if (kind == 0 || points->count == 0) {
        return rng_next(rng);
    }
    return points->hashes[rng_below(rng, (unsigned)points->count)] + kind - 2;
}

static void bad_options_and_members_are_refused(void **state RH_UNUSED)
{
    static const char long_id[] =
        "0123456789012345678901234567890123456789012345678901234567890123x";
    static const struct {
        uint32_t vnodes;
        const char *ids[2];
        int expected;
    } rows[] = {
        {0, {"a", "b"}, RH_RING_ERR_INVALID},
        {RH_RING_VNODES_MAX + 1, {"a", "b"}, RH_RING_ERR_INVALID},
        {RH_RING_VNODES_MAX, {"a", "b"}, 0},
        {8, {"a", ""}, RH_RING_ERR_INVALID},
        {8, {"a", "b.c"}, RH_RING_ERR_INVALID},
        {8, {"a", "b#1"}, RH_RING_ERR_INVALID},
        {8, {"a", "\xc3\xa9"}, RH_RING_ERR_INVALID},
        {8, {"a", long_id}, RH_RING_ERR_INVALID},
        {8, {"a", long_id + 1}, 0},
        {8, {"a", "a"}, RH_RING_ERR_INVALID},
        {8, {"aZ_9-", "-"}, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_ring_options options = {.seed = 0, .vnodes = rows[i].vnodes};
        const struct rh_ring_member members[2] = {{rows[i].ids[0], "z", 1000},
                                                  {rows[i].ids[1], "z", 1000}};
        struct rh_ring *ring = NULL;
        assert_int_equal(rh_ring_create(&options, members, 2, &ring), rows[i].expected);
        assert_true((ring != NULL) == (rows[i].expected == 0));
        rh_ring_destroy(ring);
    }
    rh_ring_destroy(NULL);
}

static void a_ring_with_too_many_points_or_members_is_refused(void **state RH_UNUSED)
{
    const struct rh_ring_options options = {.seed = 0, .vnodes = RH_RING_VNODES_MAX};
    struct rh_ring *ring = NULL;
    struct rh_ring_member members[2] = {{"a", "", UINT32_MAX}, {"b", "", 1000}};
    assert_int_equal(rh_ring_create(&options, members, 1, &ring), RH_RING_ERR_TOO_LARGE);
    members[0].weight_milli = RH_RING_POINTS_MAX / RH_RING_VNODES_MAX * RH_RING_WEIGHT_ONE;
    assert_int_equal(rh_ring_create(&options, members, 2, &ring), RH_RING_ERR_TOO_LARGE);
    members[0].weight_milli -= RH_RING_WEIGHT_ONE;
    assert_int_equal(rh_ring_create(&options, members, 2, &ring), 0);
    assert_int_equal(rh_ring_points_count(ring), RH_RING_POINTS_MAX);
    rh_ring_destroy(ring);
    ring = NULL;
    assert_int_equal(rh_ring_create(&options, members, RH_RING_MEMBERS_MAX + 1, &ring),
                     RH_RING_ERR_TOO_LARGE);
    assert_null(ring);
}

static void an_empty_ring_has_no_owner_for_any_key(void **state RH_UNUSED)
{
    const struct rh_ring_options options = {.seed = 0, .vnodes = 8};
    const struct rh_ring_member idle = {"a", "z", 0};
    for (size_t count = 0; count <= 1; count++) {
        struct rh_ring *ring = NULL;
        uint32_t indices[2];
        struct rh_ring_arc *arcs = &(struct rh_ring_arc){0};
        size_t arcs_count = 7;
        assert_int_equal(rh_ring_create(&options, count == 0 ? NULL : &idle, count, &ring), 0);
        assert_int_equal(rh_ring_members_count(ring), count);
        assert_int_equal(rh_ring_active_count(ring), 0);
        assert_int_equal(rh_ring_points_count(ring), 0);
        assert_int_equal(rh_ring_owner(ring, 0), RH_RING_NONE);
        assert_int_equal(rh_ring_owner(ring, UINT64_MAX), RH_RING_NONE);
        assert_int_equal(rh_ring_preference(ring, 5, 2, indices), 0);
        assert_int_equal(rh_ring_find(ring, "b"), RH_RING_NONE);
        assert_int_equal(rh_ring_difference(ring, ring, &arcs, &arcs_count), 0);
        assert_null(arcs);
        assert_int_equal(arcs_count, 0);
        if (count == 1) {
            assert_true(rh_ring_share(ring, 0) == 0.0);
        }
        rh_ring_destroy(ring);
    }
}

static void members_are_kept_in_order_of_id_whatever_order_they_came_in(void **state RH_UNUSED)
{
    char id[] = "n2";
    const struct rh_ring_options options = {.seed = 0, .vnodes = 8};
    const struct rh_ring_member members[] = {
        {"n10", "b", 1000}, {id, NULL, 0}, {"n1", "a", 500}, {"N3", "", 1000}};
    static const char *const expected[] = {"N3", "n1", "n10", "n2"};
    struct rh_ring *ring = NULL;
    assert_int_equal(rh_ring_create(&options, members, 4, &ring), 0);
    id[0] = '?';
    assert_int_equal(rh_ring_members_count(ring), 4);
    assert_int_equal(rh_ring_active_count(ring), 3);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(rh_ring_member(ring, i)->id, expected[i]);
        assert_int_equal(rh_ring_find(ring, expected[i]), i);
    }
    assert_string_equal(rh_ring_member(ring, 1)->zone, "a");
    assert_string_equal(rh_ring_member(ring, 3)->zone, "");
    assert_int_equal(rh_ring_member(ring, 1)->weight_milli, 500);
    assert_int_equal(rh_ring_find(ring, "n"), RH_RING_NONE);
    rh_ring_destroy(ring);
}

static void a_weight_is_rounded_to_points_but_never_to_none(void **state RH_UNUSED)
{
    static const struct {
        uint32_t weight_milli;
        uint32_t vnodes;
        size_t points;
    } rows[] = {
        {0, 512, 0},     {1, 512, 1},        {1000, 512, 512},
        {500, 512, 256}, {2000, 512, 1024},  {1500, 1, 2},
        {1499, 1, 1},    {499, 1, 1},        {1000, 1, 1},
        {166, 3, 1},     {1166, 3, 3},       {1167, 3, 4},
        {333, 512, 170}, {1000000, 8, 8000}, {1000, RH_RING_VNODES_MAX, RH_RING_VNODES_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_ring_options options = {.seed = 0, .vnodes = rows[i].vnodes};
        const struct rh_ring_member member = {"n1", NULL, rows[i].weight_milli};
        struct rh_ring *ring = NULL;
        assert_int_equal(rh_ring_create(&options, &member, 1, &ring), 0);
        assert_int_equal(rh_ring_points_count(ring), rows[i].points);
        rh_ring_destroy(ring);
    }
}

static void points_are_hashes_of_id_and_number_alone(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        const struct rh_ring_options options = {.seed = rng_next(&rng), .vnodes = 120};
        struct rh_ring *ring = ring_of(&options, &cast);
        for (size_t i = 0; i < cast.count; i++) {
            if (cast.members[i].weight_milli == 1000) {
                char text[ID_SIZE + 8];
                unsigned number = rng_below(&rng, 120);
                int size = snprintf(text, sizeof(text), "%s#%u", cast.ids[i], number);
                uint64_t hash = rh_ring_hash(ring, text, (size_t)size);
                assert_string_equal(owner_id(ring, hash), cast.ids[i]);
                assert_true(ring->points.hashes[rh_points_find(&ring->points, hash)] == hash);
            }
        }
        rh_ring_destroy(ring);
    }
}

static void the_owner_is_the_nearest_point_clockwise(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        const struct rh_ring_options options = {.seed = round, .vnodes = 1 + rng_below(&rng, 64)};
        struct rh_ring *ring = ring_of(&options, &cast);
        for (unsigned i = 0; i < PROBES; i++) {
            uint64_t hash = probe(&ring->points, &rng);
            assert_int_equal(rh_ring_owner(ring, hash), owner_by_definition(&ring->points, hash));
        }
        rh_ring_destroy(ring);
    }
}

/* Hashes that a good hash never gives: in heaps, equal, and at both ends of the space. */
static uint64_t nasty_hash(struct rng *rng, unsigned kind)
{
    switch (kind % 5) {
    case 0:
        return rng_next(rng);
    case 1:
        return rng_below(rng, 2) == 0 ? rng_below(rng, 3) : UINT64_MAX - rng_below(rng, 3);
    case 2:
        return 0x8000000000000000U + rng_below(rng, 40);
    case 3:
        return (uint64_t)rng_below(rng, 64) << 58;
    default:
        return (0x123456789abcU << 16) + ((uint64_t)rng_below(rng, 30) << (rng_below(rng, 4) * 16));
    }
}

static void a_lookup_is_right_however_badly_the_points_lie(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < 10 * ROUNDS; round++) {
        struct rh_points points;
        size_t count = rng_below(&rng, round % 10 == 0 ? 3000 : 60);
        assert_int_equal(rh_points_init(&points, count), 0);
        for (size_t i = 0; i < count; i++) {
            points.hashes[i] = nasty_hash(&rng, round % 10 == 0 ? 0 : round);
            points.owners[i] = (uint16_t)(i / 3);
        }
        assert_int_equal(rh_points_sort(&points), 0);
        for (size_t i = 1; i < count; i++) {
            assert_true(points.hashes[i - 1] < points.hashes[i] ||
                        (points.hashes[i - 1] == points.hashes[i] &&
                         points.owners[i - 1] <= points.owners[i]));
        }
        for (unsigned i = 0; i < PROBES / 10; i++) {
            uint64_t hash = i % 2 == 0 ? probe(&points, &rng) : nasty_hash(&rng, round);
            uint32_t expected = owner_by_definition(&points, hash);
            uint16_t found = rh_points_owner(&points, hash);
            assert_int_equal(found, count == 0 ? RH_POINTS_NOBODY : expected);
            assert_int_equal(found, points.owners[rh_points_find(&points, hash)]);
        }
        rh_points_finish(&points);
    }
}

/* The definition of a preference list, told the long way: the whole walk first, then the choice. */
static size_t preference_by_definition(const struct rh_ring *ring, uint64_t hash, size_t replicas,
                                       uint32_t *ret_indices)
{
    uint32_t walk[MEMBERS_MAX];
    size_t walk_count = 0;
    bool seen[MEMBERS_MAX] = {false};
    size_t at = rh_points_find(&ring->points, hash);
    for (size_t i = 0; i < ring->points.count; i++) {
        uint32_t member = ring->points.owners[(at + i) % ring->points.count];
        if (!seen[member]) {
            seen[member] = true;
            walk[walk_count++] = member;
        }
    }
    size_t count = 0;
    for (unsigned fill = 0; fill <= 1; fill++) {
        for (size_t i = 0; i < walk_count && count < replicas; i++) {
            bool zone_taken = false;
            for (size_t k = 0; k < i; k++) {
                zone_taken = zone_taken || strcmp(rh_ring_member(ring, walk[k])->zone,
                                                  rh_ring_member(ring, walk[i])->zone) == 0;
            }
            if (zone_taken == (fill == 1)) {
                ret_indices[count++] = walk[i];
            }
        }
    }
    return count;
}

static void
a_preference_list_takes_new_zones_first_and_starts_with_the_owner(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        const struct rh_ring_options options = {.seed = round, .vnodes = 1 + rng_below(&rng, 40)};
        struct rh_ring *ring = ring_of(&options, &cast);
        for (unsigned i = 0; i < PROBES / 20; i++) {
            uint32_t found[RH_RING_REPLICAS_MAX];
            uint32_t expected[RH_RING_REPLICAS_MAX];
            uint64_t hash = probe(&ring->points, &rng);
            size_t replicas = rng_below(&rng, RH_RING_REPLICAS_MAX + 1);
            size_t count = rh_ring_preference(ring, hash, replicas, found);
            size_t active = rh_ring_active_count(ring);
            assert_int_equal(count, replicas < active ? replicas : active);
            assert_int_equal(preference_by_definition(ring, hash, replicas, expected), count);
            assert_memory_equal(found, expected, count * sizeof(found[0]));
            assert_true(count == 0 || found[0] == rh_ring_owner(ring, hash));
        }
        rh_ring_destroy(ring);
    }
}

/* Checks that of two rings, given by id, every key that moves does so to or from one member. */
static void expect_moves_of(const struct rh_ring *before, const struct rh_ring *after,
                            const char *id, struct rng *rng)
{
    struct rh_ring_arc *arcs = NULL;
    size_t arcs_count = 0;
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t hash = probe(&before->points, rng);
        const char *old = owner_id(before, hash);
        const char *new = owner_id(after, hash);
        assert_true(strcmp(old, new) == 0 || strcmp(old, id) == 0 || strcmp(new, id) == 0);
    }
    assert_int_equal(rh_ring_difference(before, after, &arcs, &arcs_count), 0);
    for (size_t i = 0; i < arcs_count; i++) {
        assert_true(arcs[i].before == rh_ring_find(before, id) ||
                    arcs[i].after == rh_ring_find(after, id));
    }
    free(arcs);
}

static void no_key_moves_between_two_members_that_stay(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        const struct rh_ring_options options = {.seed = round, .vnodes = 1 + rng_below(&rng, 64)};
        struct rh_ring *before = ring_of(&options, &cast);

        struct cast added = cast;
        cast_add(&added, 99, "b", 1000);
        for (size_t i = 0; i < added.count; i++) {
            added.members[i].id = added.ids[i];
        }
        struct rh_ring *after = ring_of(&options, &added);
        expect_moves_of(before, after, "n99", &rng);
        expect_moves_of(after, before, "n99", &rng);
        rh_ring_destroy(after);

        size_t changed = rng_below(&rng, (unsigned)cast.count);
        cast.members[changed].weight_milli = rng_below(&rng, 3000);
        after = ring_of(&options, &cast);
        expect_moves_of(before, after, cast.ids[changed], &rng);
        rh_ring_destroy(after);
        rh_ring_destroy(before);
    }
}

static void raising_a_weight_takes_keys_from_nobody_but_the_others(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    struct cast cast = {.count = 0};
    const struct rh_ring_options options = {.seed = 4, .vnodes = 64};
    for (unsigned i = 0; i < 8; i++) {
        cast_add(&cast, i, "a", 1000);
    }
    struct rh_ring *light = ring_of(&options, &cast);
    cast.members[3].weight_milli = 1700;
    struct rh_ring *heavy = ring_of(&options, &cast);
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t hash = probe(&light->points, &rng);
        assert_true(rh_ring_owner(light, hash) != 3 || rh_ring_owner(heavy, hash) == 3);
    }
    assert_true(rh_ring_share(heavy, 3) > rh_ring_share(light, 3));
    rh_ring_destroy(light);
    rh_ring_destroy(heavy);
}

/* The arc that covers |hash|, or NULL. */
static const struct rh_ring_arc *arc_at(const struct rh_ring_arc *arcs, size_t arcs_count,
                                        uint64_t hash)
{
    for (size_t i = 0; i < arcs_count; i++) {
        if (arcs[i].first <= hash && hash <= arcs[i].last) {
            return &arcs[i];
        }
    }
    return NULL;
}

static void expect_difference_is_exact(const struct rh_ring *before, const struct rh_ring *after,
                                       struct rng *rng)
{
    struct rh_ring_arc *arcs = NULL;
    size_t count = 0;
    assert_int_equal(rh_ring_difference(before, after, &arcs, &count), 0);
    assert_true((arcs == NULL) == (count == 0));
    for (size_t i = 0; i < count; i++) {
        assert_true(arcs[i].first <= arcs[i].last);
        assert_true(i == 0 || arcs[i - 1].last < arcs[i].first);
        assert_false(i > 0 && arcs[i - 1].last + 1 == arcs[i].first &&
                     arcs[i - 1].before == arcs[i].before && arcs[i - 1].after == arcs[i].after);
    }
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t hash = probe(i % 2 == 0 ? &before->points : &after->points, rng);
        if (i < 4) {
            hash = (i < 2 ? 0 : UINT64_MAX) + (uint64_t)(i % 2) * (i < 2 ? 1 : UINT64_MAX);
        }
        const struct rh_ring_arc *arc = arc_at(arcs, count, hash);
        assert_true((arc != NULL) == (strcmp(owner_id(before, hash), owner_id(after, hash)) != 0));
        if (arc != NULL) {
            assert_int_equal(arc->before, rh_ring_owner(before, hash));
            assert_int_equal(arc->after, rh_ring_owner(after, hash));
        }
    }
    free(arcs);
}

static void a_difference_is_exactly_the_hashes_whose_owner_differs(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        const struct rh_ring_options options = {.seed = round, .vnodes = 1 + rng_below(&rng, 64)};
        struct rh_ring *before = ring_of(&options, &cast);
        struct cast other = {.count = 0};
        for (unsigned i = 0; i < cast.count; i++) {
            if (rng_below(&rng, 4) > 0) {
                cast_add(&other, i + rng_below(&rng, 2) * 40, "a", rng_below(&rng, 3) * 500);
            }
        }
        struct rh_ring *after = ring_of(&options, &other);
        expect_difference_is_exact(before, after, &rng);
        expect_difference_is_exact(after, before, &rng);
        expect_difference_is_exact(before, before, &rng);
        rh_ring_destroy(before);
        rh_ring_destroy(after);
    }
}

/* Puts hand-made points in place of those of |ring|. */
static void replace_points(struct rh_ring *ring, struct rng *rng, unsigned kind)
{
    size_t count = ring->points.count;
    uint16_t *owners = calloc(count + 1, sizeof(*owners));
    for (size_t i = 0, at = 0; i < ring->members_count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (ring->points.owners[k] == i) {
                owners[at++] = (uint16_t)i;
            }
        }
    }
    rh_points_finish(&ring->points);
    assert_int_equal(rh_points_init(&ring->points, count), 0);
    for (size_t i = 0; i < count; i++) {
        ring->points.hashes[i] = nasty_hash(rng, kind);
        ring->points.owners[i] = owners[i];
    }
    free(owners);
    assert_int_equal(rh_points_sort(&ring->points), 0);
}

static void a_difference_is_exact_however_badly_the_points_lie(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast = {.count = 0};
        struct cast other = {.count = 0};
        const struct rh_ring_options options = {.seed = 0, .vnodes = 1 + rng_below(&rng, 6)};
        for (unsigned i = 0; i < 5; i++) {
            cast_add(&cast, i, "a", 1000);
            cast_add(&other, i + 1, "a", 1000);
        }
        struct rh_ring *before = ring_of(&options, &cast);
        struct rh_ring *after = ring_of(&options, &other);
        replace_points(before, &rng, round);
        replace_points(after, &rng, round + round / 5);
        expect_difference_is_exact(before, after, &rng);
        rh_ring_destroy(before);
        rh_ring_destroy(after);
    }
}

static void rings_of_other_parameters_cannot_be_compared(void **state RH_UNUSED)
{
    const struct rh_ring_member member = {"a", NULL, 1000};
    static const struct rh_ring_options options[] = {{0, 8}, {1, 8}, {0, 9}};
    struct rh_ring *rings[3] = {NULL};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rh_ring_create(&options[i], &member, 1, &rings[i]), 0);
    }
    struct rh_ring_arc *arcs = NULL;
    size_t count = 7;
    assert_int_equal(rh_ring_difference(rings[0], rings[1], &arcs, &count), RH_RING_ERR_INVALID);
    assert_int_equal(rh_ring_difference(rings[0], rings[2], &arcs, &count), RH_RING_ERR_INVALID);
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 3; i++) {
        rh_ring_destroy(rings[i]);
    }
}

static void shares_add_up_to_one_and_to_what_the_arcs_say(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cast cast;
        cast_random(&cast, &rng);
        cast.members[0].weight_milli = 1000;
        const struct rh_ring_options options = {.seed = round, .vnodes = 1 + rng_below(&rng, 512)};
        struct rh_ring *before = ring_of(&options, &cast);
        cast.members[0].weight_milli = 0;
        cast_add(&cast, 50, NULL, 1500);
        struct rh_ring *after = ring_of(&options, &cast);
        double sum = 0;
        double changes[MEMBERS_MAX] = {0};
        for (uint32_t i = 0; i < rh_ring_members_count(after); i++) {
            sum += rh_ring_share(after, i);
            uint32_t old = rh_ring_find(before, rh_ring_member(after, i)->id);
            changes[i] =
                rh_ring_share(after, i) - (old == RH_RING_NONE ? 0 : rh_ring_share(before, old));
        }
        assert_true(sum == 1.0);
        struct rh_ring_arc *arcs = NULL;
        size_t count = 0;
        assert_int_equal(rh_ring_difference(before, after, &arcs, &count), 0);
        for (size_t i = 0; i < count; i++) {
            double share = rh_ring_arcs_share(&arcs[i], 1);
            changes[arcs[i].after] -= share;
            changes[rh_ring_find(after, rh_ring_member(before, arcs[i].before)->id)] += share;
        }
        for (uint32_t i = 0; i < rh_ring_members_count(after); i++) {
            assert_true(changes[i] == 0.0);
        }
        free(arcs);
        rh_ring_destroy(before);
        rh_ring_destroy(after);
    }
}

static void the_whole_space_is_a_share_of_one(void **state RH_UNUSED)
{
    const struct rh_ring_options options = {.seed = 0, .vnodes = 1};
    const struct rh_ring_member members[] = {{"a", NULL, 1000}, {"b", NULL, 0}};
    const struct rh_ring_arc whole = {0, UINT64_MAX, 0, 1};
    struct rh_ring *ring = NULL;
    assert_int_equal(rh_ring_create(&options, members, 2, &ring), 0);
    assert_true(rh_ring_share(ring, 0) == 1.0);
    assert_true(rh_ring_share(ring, 1) == 0.0);
    assert_true(rh_ring_arcs_share(&whole, 1) == 1.0);
    assert_true(rh_ring_arcs_share(NULL, 0) == 0.0);
    rh_ring_destroy(ring);
}

static void a_share_is_the_part_of_the_keys_that_a_member_gets(void **state RH_UNUSED)
{
    enum { KEYS = 200000 };
    const struct rh_ring_options options = {.seed = 0, .vnodes = 512};
    const struct rh_ring_member members[] = {
        {"a", NULL, 500}, {"b", NULL, 1000}, {"c", NULL, 2000}};
    size_t counts[3] = {0};
    struct rh_ring *ring = NULL;
    assert_int_equal(rh_ring_create(&options, members, 3, &ring), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        int size = snprintf(key, sizeof(key), "user:%u", i);
        counts[rh_ring_owner(ring, rh_ring_hash(ring, key, (size_t)size))]++;
    }
    for (uint32_t i = 0; i < 3; i++) {
        double error = (double)counts[i] / KEYS - rh_ring_share(ring, i);
        double weight_error = rh_ring_share(ring, i) - members[i].weight_milli / 3500.0;
        assert_true(error > -0.005 && error < 0.005);
        assert_true(weight_error > -0.05 && weight_error < 0.05);
    }
    rh_ring_destroy(ring);
}

/* What docs/ring.md promises of the default number of virtual nodes; no chance is involved. */
static void cells_have_the_owner_of_their_middle(void **state RH_UNUSED)
{
    enum { CELLS = 1000 };
    const struct rh_ring_options options = {.seed = 7, .vnodes = 64};
    const struct rh_ring_member members[] = {{"a", NULL, 1000}, {"b", NULL, 0}, {"c", NULL, 3000}};
    uint32_t owners[CELLS];
    struct rh_ring *ring = NULL;
    assert_int_equal(rh_ring_create(&options, members, 3, &ring), 0);
    rh_ring_cells(ring, CELLS, owners);
    for (uint64_t i = 0; i < CELLS; i++) {
        uint64_t middle = (UINT64_MAX / CELLS) * i + UINT64_MAX / CELLS / 2;
        assert_int_equal(owners[i], rh_ring_owner(ring, middle));
    }
    rh_ring_cells(ring, 1, owners);
    assert_int_equal(owners[0], rh_ring_owner(ring, UINT64_MAX / 2));
    rh_ring_destroy(ring);

    assert_int_equal(rh_ring_create(&options, NULL, 0, &ring), 0);
    rh_ring_cells(ring, CELLS, owners);
    assert_int_equal(owners[CELLS - 1], RH_RING_NONE);
    rh_ring_destroy(ring);
}

static void the_busiest_of_equal_members_is_not_far_above_the_mean(void **state RH_UNUSED)
{
    enum { SETS = 20 };
    static const struct {
        unsigned members;
        double most;
    } rows[] = {{8, 1.07}, {64, 1.12}};
    const struct rh_ring_options options = {.seed = 0, .vnodes = 512};
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        double sum = 0;
        for (unsigned set = 0; set < SETS; set++) {
            char ids[64][ID_SIZE];
            struct rh_ring_member members[64];
            struct rh_ring *ring = NULL;
            double most = 0;
            for (unsigned i = 0; i < rows[row].members; i++) {
                snprintf(ids[i], ID_SIZE, "set%u-n%u", set, i + 1);
                members[i] = (struct rh_ring_member){ids[i], NULL, 1000};
            }
            assert_int_equal(rh_ring_create(&options, members, rows[row].members, &ring), 0);
            for (uint32_t i = 0; i < rows[row].members; i++) {
                most = rh_ring_share(ring, i) > most ? rh_ring_share(ring, i) : most;
            }
            sum += most * rows[row].members;
            rh_ring_destroy(ring);
        }
        assert_true(sum / SETS <= rows[row].most);
    }
}

static void members_of_weight_0_change_no_placement(void **state RH_UNUSED)
{
    struct rng rng = rng_begin();
    const struct rh_ring_options options = {.seed = 0, .vnodes = 64};
    const struct rh_ring_member members[] = {
        {"b", "x", 1000}, {"d", "y", 1000}, {"a", "z", 0}, {"c", "w", 0}};
    struct rh_ring *without = NULL;
    struct rh_ring *with = NULL;
    struct rh_ring_arc *arcs = NULL;
    size_t count = 7;
    assert_int_equal(rh_ring_create(&options, members, 2, &without), 0);
    assert_int_equal(rh_ring_create(&options, members, 4, &with), 0);
    assert_true(rh_ring_digest(without) == rh_ring_digest(with));
    assert_int_equal(rh_ring_difference(without, with, &arcs, &count), 0);
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < PROBES; i++) {
        uint32_t few[4];
        uint32_t many[4];
        uint64_t hash = rng_next(&rng);
        assert_int_equal(rh_ring_preference(without, hash, 4, few), 2);
        assert_int_equal(rh_ring_preference(with, hash, 4, many), 2);
        for (size_t k = 0; k < 2; k++) {
            assert_string_equal(rh_ring_member(without, few[k])->id,
                                rh_ring_member(with, many[k])->id);
        }
    }
    rh_ring_destroy(without);
    rh_ring_destroy(with);
}

static void a_digest_tells_any_two_placements_apart(void **state RH_UNUSED)
{
    static const struct {
        struct rh_ring_options options;
        struct rh_ring_member members[2];
        size_t count;
    } rows[] = {
        {{0, 64}, {{"a", "x", 1000}, {"b", "y", 1000}}, 2},
        {{1, 64}, {{"a", "x", 1000}, {"b", "y", 1000}}, 2},
        {{0, 65}, {{"a", "x", 1000}, {"b", "y", 1000}}, 2},
        {{0, 64}, {{"a", "x", 1001}, {"b", "y", 1000}}, 2},
        {{0, 64}, {{"a", "y", 1000}, {"b", "y", 1000}}, 2},
        {{0, 64}, {{"a", "", 1000}, {"b", "y", 1000}}, 2},
        {{0, 64}, {{"a", "x", 1000}, {"c", "y", 1000}}, 2},
        {{0, 64}, {{"a", "x", 1000}}, 1},
        {{0, 64}, {{"a", "x b 1000 y", 1000}}, 1},
        {{0, 64}, {{"a", "", 1000}}, 1},
        {{0, 64}, {{"a", "", 0}}, 1},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    uint64_t digests[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        const struct rh_ring_member swapped[2] = {rows[i].members[1], rows[i].members[0]};
        struct rh_ring *ring = NULL;
        assert_int_equal(rh_ring_create(&rows[i].options, rows[i].members, rows[i].count, &ring),
                         0);
        digests[i] = rh_ring_digest(ring);
        rh_ring_destroy(ring);
        for (size_t k = 0; k < i; k++) {
            assert_true(digests[k] != digests[i]);
        }
        if (rows[i].count == 2) {
            assert_int_equal(rh_ring_create(&rows[i].options, swapped, 2, &ring), 0);
            assert_true(rh_ring_digest(ring) == digests[i]);
            rh_ring_destroy(ring);
        }
    }
}

static void every_allocation_may_fail(void **state RH_UNUSED)
{
    const struct rh_ring_options options = {.seed = 0, .vnodes = 512};
    const struct rh_ring_member members[] = {
        {"a", "x", 1000}, {"b", "y", 1000}, {"c", "x", 1000}, {"d", NULL, 0}};
    struct rh_ring *before = NULL;
    struct rh_ring *after = NULL;
    struct rh_ring_arc *arcs = NULL;
    size_t count = 0;
    assert_int_equal(rh_ring_create(&options, members, 2, &before), 0);
    unsigned nth = 1;
    for (;; nth++) {
        rh_test_allocation_fail(nth);
        int rv = rh_ring_create(&options, members, 4, &after);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            break;
        }
        assert_int_equal(rv, RH_RING_ERR_NO_MEMORY);
        assert_null(after);
    }
    assert_true(nth > 10);
    for (nth = 1;; nth++) {
        rh_test_allocation_fail(nth);
        int rv = rh_ring_difference(before, after, &arcs, &count);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            break;
        }
        assert_int_equal(rv, RH_RING_ERR_NO_MEMORY);
        assert_null(arcs);
    }
    assert_true(nth >= 4); /* the map, the list, and a list that grows */
    free(arcs);
    rh_ring_destroy(before);
    rh_ring_destroy(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(bad_options_and_members_are_refused),
        RH_TEST(a_ring_with_too_many_points_or_members_is_refused),
        RH_TEST(an_empty_ring_has_no_owner_for_any_key),
        RH_TEST(members_are_kept_in_order_of_id_whatever_order_they_came_in),
        RH_TEST(a_weight_is_rounded_to_points_but_never_to_none),
        RH_TEST(points_are_hashes_of_id_and_number_alone),
        RH_TEST(the_owner_is_the_nearest_point_clockwise),
        RH_TEST(a_lookup_is_right_however_badly_the_points_lie),
        RH_TEST(a_preference_list_takes_new_zones_first_and_starts_with_the_owner),
        RH_TEST(no_key_moves_between_two_members_that_stay),
        RH_TEST(raising_a_weight_takes_keys_from_nobody_but_the_others),
        RH_TEST(a_difference_is_exactly_the_hashes_whose_owner_differs),
        RH_TEST(a_difference_is_exact_however_badly_the_points_lie),
        RH_TEST(rings_of_other_parameters_cannot_be_compared),
        RH_TEST(shares_add_up_to_one_and_to_what_the_arcs_say),
        RH_TEST(the_whole_space_is_a_share_of_one),
        RH_TEST(a_share_is_the_part_of_the_keys_that_a_member_gets),
        RH_TEST(cells_have_the_owner_of_their_middle),
        RH_TEST(the_busiest_of_equal_members_is_not_far_above_the_mean),
        RH_TEST(members_of_weight_0_change_no_placement),
        RH_TEST(a_digest_tells_any_two_placements_apart),
        RH_TEST(every_allocation_may_fail),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
