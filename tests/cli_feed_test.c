/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/feed.h"
#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <string.h>

#define LANES 3
#define KEYS  5

static struct rh_feed feed;
static struct rh_feed_lane lanes[LANES];

static int set_up(void **state RH_UNUSED)
{
    for (size_t i = 0; i < LANES; i++) {
        rh_feed_lane_init(&lanes[i]);
    }
    return rh_feed_init(&feed);
}

static int tear_down(void **state RH_UNUSED)
{
    for (size_t i = 0; i < LANES; i++) {
        rh_feed_break(&feed, &lanes[i]);
    }
    rh_feed_finish(&feed);
    return 0;
}

static int add(const char *key, uint64_t line)
{
    const struct rh_feed_source source = {
        .line = line,
        .hash = (uint64_t)key[0] % 2, /* so that hashes collide */
        .key = rh_bytes_text(key),
        .id = rh_bytes_text("id"),
        .payload = rh_bytes_text("payload"),
        .content_type = "text/plain",
    };
    return rh_feed_add(&feed, &source);
}

static void bind_all(struct rh_feed_lane *lane)
{
    for (struct rh_feed_key *key = rh_feed_free_key(&feed); key != NULL;
         key = rh_feed_free_key(&feed)) {
        rh_feed_bind(key, lane);
    }
}

static uint64_t take(struct rh_feed_lane *lane)
{
    struct rh_feed_message *message = rh_feed_take(lane);
    return message == NULL ? 0 : message->line;
}

static void keys_take_turns_and_each_keeps_its_order(void **state RH_UNUSED)
{
    assert_int_equal(add("a", 1), 0);
    assert_int_equal(add("a", 2), 0);
    assert_int_equal(add("b", 3), 0);
    assert_int_equal(take(&lanes[0]), 0);
    bind_all(&lanes[0]);
    assert_int_equal(take(&lanes[0]), 1);
    assert_int_equal(take(&lanes[0]), 3);
    assert_int_equal(take(&lanes[0]), 2);
    assert_int_equal(take(&lanes[0]), 0);
    const struct rh_feed_message *oldest = rh_feed_oldest(&lanes[0]);
    assert_int_equal(oldest->line, 1);
    assert_true(rh_bytes_equal_text(oldest->key->name, "a"));
    assert_true(rh_bytes_equal_text(oldest->id, "id"));
    assert_true(rh_bytes_equal_text(oldest->payload, "payload"));
    for (int i = 0; i < 3; i++) {
        rh_feed_landed(&feed, &lanes[0]);
    }
    assert_null(rh_feed_oldest(&lanes[0]));
    assert_int_equal(feed.held_count, 0);
    assert_int_equal(feed.held_bytes, 0);
    assert_int_equal(feed.keys.count, 0);
}

static void a_broken_lane_gives_messages_back_in_order(void **state RH_UNUSED)
{
    for (uint64_t line = 1; line <= 4; line++) {
        assert_int_equal(add("a", line), 0);
    }
    bind_all(&lanes[0]);
    assert_int_equal(take(&lanes[0]), 1);
    assert_int_equal(take(&lanes[0]), 2);
    assert_int_equal(take(&lanes[0]), 3);
    rh_feed_landed(&feed, &lanes[0]);
    rh_feed_break(&feed, &lanes[0]);
    assert_int_equal(rh_feed_next(rh_feed_free_key(&feed))->line, 2);
    bind_all(&lanes[1]);
    assert_int_equal(take(&lanes[0]), 0);
    assert_int_equal(take(&lanes[1]), 2);
    assert_int_equal(take(&lanes[1]), 3);
    assert_int_equal(take(&lanes[1]), 4);
}

static void who_is_given_up_makes_way_for_the_next(void **state RH_UNUSED)
{
    assert_int_equal(add("a", 1), 0);
    assert_int_equal(add("a", 2), 0);
    rh_feed_give_up(&feed, rh_feed_free_key(&feed));
    assert_int_equal(rh_feed_next(rh_feed_free_key(&feed))->line, 2);
    rh_feed_give_up(&feed, rh_feed_free_key(&feed));
    assert_null(rh_feed_free_key(&feed));
    assert_int_equal(feed.held_bytes, 0);
}

/* Whatever happens to lanes, and wherever keys go, the messages of a key land in their order. */
static void the_order_of_each_key_survives_everything(void **state RH_UNUSED)
{
    static const char *const keys[KEYS] = {"a", "b", "c", "d", "e"};
    uint64_t seed = rh_test_seed(20);
    uint64_t added[KEYS] = {0};
    uint64_t landed[KEYS] = {0};
    for (unsigned step = 0; step < 20000; step++) {
        struct rh_feed_lane *lane = &lanes[rh_test_below(&seed, LANES)];
        size_t key = rh_test_below(&seed, KEYS);
        struct rh_feed_key *unbound = rh_feed_free_key(&feed);
        switch (rh_test_below(&seed, 16)) {
        case 0:
            rh_feed_break(&feed, lane);
            break;
        case 1:
            if (unbound != NULL) {
                rh_feed_postpone(&feed, unbound);
            }
            break;
        case 2:
        case 3:
        case 4:
            if (unbound != NULL) {
                rh_feed_bind(unbound, lane);
            }
            break;
        case 5:
        case 6:
        case 7:
            assert_int_equal(add(keys[key], ++added[key]), 0);
            break;
        case 8:
        case 9:
        case 10:
        case 11:
            (void)take(lane);
            break;
        default:
            if (rh_feed_oldest(lane) != NULL) {
                const struct rh_feed_message *message = rh_feed_oldest(lane);
                key = (size_t)(message->key->name.data[0] - 'a');
                assert_int_equal(message->line, ++landed[key]);
                rh_feed_landed(&feed, lane);
            }
            break;
        }
    }
    for (size_t i = 0; i < KEYS; i++) {
        assert_true(landed[i] > 100);
    }
}

static void memory_may_run_out_when_a_message_comes(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        rh_test_allocation_fail(nth);
        int rv = add("a", 1);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            break;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_null(rh_feed_free_key(&feed));
        assert_int_equal(feed.held_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_take_turns_and_each_keeps_its_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_broken_lane_gives_messages_back_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_is_given_up_makes_way_for_the_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_order_of_each_key_survives_everything, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memory_may_run_out_when_a_message_comes, set_up, tear_down),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
