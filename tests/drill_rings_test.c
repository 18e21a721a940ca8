/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "drill/rings.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS 300
#define SEED     7

/* Rings with some channels, the i-th with i % 3 clients. */
static struct rh_rings make_rings(void)
{
    struct rh_rings rings = {.seed = SEED, .channels_count = CHANNELS};
    rings.channels = calloc(CHANNELS, sizeof(*rings.channels));
    assert_non_null(rings.channels);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key:%u", i);
        rings.channels[i].key = strdup(key);
        rings.channels[i].clients = i % 3;
    }
    return rings;
}

/* Members "n1", "n2" ... of these weights, in thousandths; 0 at the end. */
static struct rh_ring *make_ring(const uint32_t *weights)
{
    static const char *const ids[] = {"n1", "n2", "n3", "n4"};
    const struct rh_ring_options options = {.seed = SEED, .vnodes = 64};
    struct rh_ring_member members[4];
    struct rh_ring *ring = NULL;
    size_t count = 0;
    for (; weights[count] > 0; count++) {
        members[count] =
            (struct rh_ring_member){.id = ids[count], .zone = "", .weight_milli = weights[count]};
    }
    assert_int_equal(rh_ring_create(&options, members, count, &ring), 0);
    return ring;
}

/* The same as a node tells it. */
static json_t *tell(const uint32_t *weights, int epoch)
{
    struct rh_ring *ring = make_ring(weights);
    char digest[RH_ID64_SIZE];
    json_t *members = json_array();
    rh_id64_format(rh_ring_digest(ring), digest);
    for (uint32_t i = 0; i < rh_ring_members_count(ring); i++) {
        const struct rh_ring_member *member = rh_ring_member(ring, i);
        (void)json_array_append_new(members,
                                    json_pack("{s:s, s:f, s:s}", "node", member->id, "weight",
                                              member->weight_milli / 1000.0, "zone", ""));
    }
    rh_ring_destroy(ring);
    return json_pack("{s:i, s:i, s:i, s:i, s:s, s:o}", "generation", 1, "epoch", epoch, "vnodes",
                     64, "replicas", 2, "digest", digest, "members", members);
}

static int take(struct rh_rings *rings, const uint32_t *weights, int epoch)
{
    struct rh_reason reason;
    json_t *json = tell(weights, epoch);
    int rv = rh_rings_take(rings, json, &reason);
    json_decref(json);
    return rv;
}

/* Clients of keys with another owner, counted by the ring alone. */
static uint64_t count_moved(const uint32_t *before_weights, const uint32_t *after_weights)
{
    struct rh_ring *before = make_ring(before_weights);
    struct rh_ring *after = make_ring(after_weights);
    uint64_t moved = 0;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char key[32];
        int size = snprintf(key, sizeof(key), "key:%u", i);
        uint64_t hash = rh_ring_hash(before, key, (size_t)size);
        const char *from = rh_ring_member(before, rh_ring_owner(before, hash))->id;
        const char *to = rh_ring_member(after, rh_ring_owner(after, hash))->id;
        moved += strcmp(from, to) != 0 ? i % 3 : 0;
    }
    rh_ring_destroy(before);
    rh_ring_destroy(after);
    return moved;
}

static const uint32_t three[] = {1000, 1000, 1000, 0};
static const uint32_t four[] = {1000, 1000, 1000, 500, 0};

static void those_of_keys_with_another_owner_should_move(void **state RH_UNUSED)
{
    struct rh_rings rings = make_rings();
    assert_int_equal(take(&rings, three, 1), 0);
    assert_int_equal(rings.moved, 0);
    assert_int_equal(take(&rings, four, 2), 0);
    uint64_t moved = count_moved(three, four);
    assert_in_range(moved, 1, CHANNELS);
    assert_int_equal(rings.moved, moved);
    assert_int_equal(rings.epoch, 2);
    assert_int_equal(rings.replicas, 2);
    /* and back again: they move twice */
    assert_int_equal(take(&rings, three, 3), 0);
    assert_int_equal(rings.moved, 2 * moved);
    rh_rings_finish(&rings);
}

static void an_older_ring_changes_nothing(void **state RH_UNUSED)
{
    struct rh_rings rings = make_rings();
    assert_int_equal(take(&rings, three, 5), 0);
    assert_int_equal(take(&rings, four, 5), 0);
    assert_int_equal(take(&rings, four, 4), 0);
    assert_int_equal(rings.moved, 0);
    assert_int_equal(rh_rings_weight_milli(&rings, "n4"), 0);
    assert_int_equal(rh_rings_weight_milli(&rings, "n3"), 1000);
    rh_rings_finish(&rings);
}

static void a_ring_with_another_seed_is_refused(void **state RH_UNUSED)
{
    struct rh_rings rings = make_rings();
    struct rh_reason reason;
    json_t *json = tell(three, 1);
    rings.seed = SEED + 1;
    assert_int_equal(rh_rings_take(&rings, json, &reason), RH_ERR_INVALID);
    assert_non_null(strstr(reason.text, "ring.seed"));
    json_decref(json);
    rh_rings_finish(&rings);
}

static void nonsense_is_refused(void **state RH_UNUSED)
{
    static const char *const texts[] = {"epoch", "vnodes", "digest", "members", "generation"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rh_rings rings = make_rings();
        struct rh_reason reason;
        json_t *json = tell(three, 1);
        assert_int_equal(json_object_del(json, texts[i]), 0);
        assert_int_equal(rh_rings_take(&rings, json, &reason), RH_ERR_INVALID);
        json_decref(json);
        rh_rings_finish(&rings);
    }
}

static void a_picture_has_each_member_by_its_share(void **state RH_UNUSED)
{
    struct rh_rings rings = make_rings();
    assert_int_equal(take(&rings, four, 1), 0);
    json_t *json = rh_rings_json(&rings);
    const json_t *cells = json_object_get(json, "cells");
    const json_t *members = json_object_get(json, "members");
    size_t owned[4] = {0};
    assert_int_equal(json_array_size(cells), RH_RINGS_CELLS);
    assert_int_equal(json_array_size(members), 4);
    for (size_t i = 0; i < RH_RINGS_CELLS; i++) {
        owned[json_integer_value(json_array_get(cells, i))]++;
    }
    for (size_t i = 0; i < 4; i++) {
        const json_t *share = json_object_get(json_array_get(members, i), "share");
        double seen = (double)owned[i] / RH_RINGS_CELLS;
        assert_true(fabs(json_real_value(share) - seen) < 0.05);
    }
    json_decref(json);
    rh_rings_finish(&rings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(those_of_keys_with_another_owner_should_move),
        RH_TEST(an_older_ring_changes_nothing),
        RH_TEST(a_ring_with_another_seed_is_refused),
        RH_TEST(nonsense_is_refused),
        RH_TEST(a_picture_has_each_member_by_its_share),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
