/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

/* Streams that watch the state document, of cores without replication. */

#define ANY RH_PEER_STATE_ANY, 0

static void put(struct world *world, uint64_t request, const char *key, const char *data)
{
    world_state_put(world, 0, request, key, data, ANY);
}

static void a_stream_that_watches_is_shown_what_there_is_and_each_change(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_watch(world, 0, 1, key, NULL);
    put(world, 1, key, "x");
    world_turn(world, 0);
    world_watch(world, 0, 2, key, NULL);
    world_subscribe(world, 0, 3, key, NULL);
    world_state_delete(world, 0, 2, key, ANY);
    world_turn(world, 0);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > show v0 to s1\n"
                        "n1 > state #1 created v1 by n1\n"
                        "n1 > show v1:x to s1\n"
                        "n1 > welcome s2 seq=0\n"
                        "n1 > show v1:x to s2\n"
                        "n1 > welcome s3 seq=0\n"
                        "n1 > state #2 deleted v2 by n1\n"
                        "n1 > show v2 deleted to s1 s2\n");
}

static void changes_of_one_turn_are_shown_as_the_last_of_them(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_watch(world, 0, 1, key, NULL);
    put(world, 1, key, "x");
    put(world, 2, key, "y");
    world_publish(world, 0, 3, key, "a", "m");
    put(world, 4, key, "z");
    world_forget(world);
    world_turn(world, 0);
    world_expect(world, "n1 > show v3:z to s1\n");
    world_turn(world, 0);
    world_expect(world, "");
}

static void a_write_that_changes_nothing_is_not_shown(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    put(world, 1, key, "x");
    world_watch(world, 0, 1, key, NULL);
    world_turn(world, 0);
    world_forget(world);
    world_state_put(world, 0, 2, key, "y", RH_PEER_STATE_VERSION, 7);
    world_publish(world, 0, 3, key, "a", "m");
    world_state_get(world, 0, 4, key);
    assert_int_not_equal(rh_core_deadline_ms(world->cores[0]), 0);
    world_expect(world, "n1 > state #2 conflict v1 by n1\n"
                        "n1 > message 1:m to s1\n"
                        "n1 > published #3 seq=1 by n1 to 1\n"
                        "n1 > state #4 found v1 by n1 text/plain:x\n");
}

static void a_stream_that_is_behind_with_its_messages_is_shown_changes_all_the_same(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = world_options_of(0);
    options.batch_size_max = 1; /* a message */
    world_restart(world, 0, &options);
    world_publish(world, 0, 1, key, "a", "m");
    world_publish(world, 0, 2, key, "b", "m");
    world_watch(world, 0, 1, key, &world_start);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_REPLAYING);
    world_watch(world, 0, 2, key, NULL);
    world_forget(world);
    put(world, 1000, key, "x");
    world_turn(world, 0);
    world_expect(world, "n1 > state #1000 created v1 by n1\n"
                        "n1 > show v1:x to s2 s1\n");
}

static void who_left_or_was_told_moved_is_shown_nothing(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_watch(world, 0, 1, key, NULL);
    world_watch(world, 0, 2, key, NULL);
    put(world, 1, key, "x");
    world_unsubscribe(world, 0, 1);
    world_forget(world);
    world_turn(world, 0);
    world_expect(world, "n1 > show v1:x to s2\n");
    put(world, 2, key, "y");
    world_make_view(world, 6); /* n2 and n3 */
    world_adopt(world, 0);
    world_turn(world, 0);
    assert_int_equal(world->subs[2].state, RH_SUBSCRIPTION_MOVED);
    assert_null(strstr(world->trace, "show"));
    world_forget(world);
    world_unsubscribe(world, 0, 2);
    world_expect(world, "");
}

static void a_watch_that_waits_for_its_turn_goes_with_its_channel(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_watch(world, 0, 1, key, NULL);
    put(world, 1, key, "x");
    world_unsubscribe(world, 0, 1);
    world_forget(world);
    world_turn(world, 0);
    world_expect(world, "");
    world_watch(world, 0, 1, key, NULL);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > show v1:x to s1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_stream_that_watches_is_shown_what_there_is_and_each_change),
        WORLD_TEST(changes_of_one_turn_are_shown_as_the_last_of_them),
        WORLD_TEST(a_write_that_changes_nothing_is_not_shown),
        WORLD_TEST(a_stream_that_is_behind_with_its_messages_is_shown_changes_all_the_same),
        WORLD_TEST(who_left_or_was_told_moved_is_shown_nothing),
        WORLD_TEST(a_watch_that_waits_for_its_turn_goes_with_its_channel),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
