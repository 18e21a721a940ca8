/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include <stdio.h>

/* Who is in a channel, at cores without replication. The grace is 5 s, and each channel may have five
 * clients. With replication: tests/simulator_presence_test.c. */

#define GRACE_MS 5000

static void arrive(struct world *world, unsigned sub, const char *client, const char *meta)
{
    world_attend(world, 0, sub, world->keys[0], client, meta, false);
    world_turn(world, 0);
}

static void watch(struct world *world, unsigned sub)
{
    world_attend(world, 0, sub, world->keys[0], NULL, "", true);
    world_turn(world, 0);
}

static void leave(struct world *world, unsigned sub)
{
    world_unsubscribe(world, 0, sub);
    world_turn(world, 0);
}

static void who_watches_is_shown_all_and_then_who_comes_and_goes(void **state)
{
    struct world *world = *state;
    arrive(world, 1, "ada", "{\"n\":1}");
    watch(world, 2);
    arrive(world, 3, "bob", "");
    leave(world, 1);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > welcome s2 seq=0\n"
                        "n1 > presence all ada={\"n\":1} to s2\n"
                        "n1 > welcome s3 seq=0\n"
                        "n1 > presence joined bob to s2\n");
    world_pass(world, 0, GRACE_MS - 1);
    world_expect(world, "");
    world_pass(world, 0, 1);
    world_expect(world, "n1 > presence left ada={\"n\":1} to s2\n");
    assert_int_equal(rh_core_stats(world->cores[0])->presents, 1);
    assert_int_equal(rh_core_stats(world->cores[0])->presence_joins, 2);
    assert_int_equal(rh_core_stats(world->cores[0])->presence_leaves, 1);
}

static void a_client_that_watches_is_in_its_own_list_and_is_not_told_of_itself(void **state)
{
    struct world *world = *state;
    world_attend(world, 0, 1, world->keys[0], "ada", "", true);
    world_attend(world, 0, 2, world->keys[0], "bob", "", true);
    world_turn(world, 0);
    world_attend(world, 0, 3, world->keys[0], "eve", "", true);
    world_turn(world, 0);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > welcome s2 seq=0\n"
                        "n1 > presence all ada,bob to s1 s2\n"
                        "n1 > welcome s3 seq=0\n"
                        "n1 > presence joined eve to s1 s2\n"
                        "n1 > presence all ada,bob,eve to s3\n");
}

static void who_comes_back_within_grace_makes_no_noise(void **state)
{
    struct world *world = *state;
    watch(world, 0);
    arrive(world, 1, "ada", "1");
    leave(world, 1);
    world_pass(world, 0, GRACE_MS - 1);
    world_forget(world);
    arrive(world, 2, "ada", "1");
    world_pass(world, 0, 3 * GRACE_MS);
    world_expect(world, "n1 > welcome s2 seq=0\n");
    leave(world, 2);
    world_pass(world, 0, GRACE_MS);
    world_expect(world, "n1 > presence left ada=1 to s0\n");
}

static void several_connections_of_a_client_count_as_one(void **state)
{
    struct world *world = *state;
    watch(world, 0);
    arrive(world, 1, "ada", "");
    arrive(world, 2, "ada", "");
    arrive(world, 3, "ada", "");
    world_forget(world);
    world_present(world, 0, 7, world->keys[0]);
    leave(world, 1);
    leave(world, 3);
    world_pass(world, 0, 2 * GRACE_MS);
    world_present(world, 0, 8, world->keys[0]);
    leave(world, 2);
    world_present(world, 0, 9, world->keys[0]);
    world_pass(world, 0, GRACE_MS);
    world_present(world, 0, 10, world->keys[0]);
    world_expect(world, "n1 > present #7 by n1 ada:3\n"
                        "n1 > present #8 by n1 ada:1\n"
                        "n1 > present #9 by n1 ada:0\n"
                        "n1 > presence left ada to s0\n"
                        "n1 > present #10 by n1\n");
}

static void another_meta_is_told_as_a_change(void **state)
{
    struct world *world = *state;
    watch(world, 0);
    arrive(world, 1, "ada", "1");
    world_forget(world);
    arrive(world, 2, "ada", "2");
    arrive(world, 3, "ada", "2");
    leave(world, 3);
    world_expect(world, "n1 > welcome s2 seq=0\n"
                        "n1 > presence changed ada=2 to s0\n"
                        "n1 > welcome s3 seq=0\n");
}

static void what_one_turn_brings_is_told_in_one_message(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    watch(world, 0);
    arrive(world, 1, "ada", "");
    leave(world, 1);
    world_pass(world, 0, GRACE_MS - 1);
    world_forget(world);
    world_attend(world, 0, 2, key, "bob", "1", false);
    world_attend(world, 0, 3, key, "eve", "", false);
    world_attend(world, 0, 4, key, "bob", "2", false);
    world->now_ms++;
    struct rh_event event = {.kind = RH_EVENT_TICK};
    world_step(world, 0, &event);
    world_expect(world, "n1 > welcome s2 seq=0\n"
                        "n1 > welcome s3 seq=0\n"
                        "n1 > welcome s4 seq=0\n"
                        "n1 > presence left ada joined bob=2,eve to s0\n");
}

static void a_client_too_many_is_refused_and_leaves_nothing(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (unsigned i = 0; i < 5; i++) {
        arrive(world, i, names[i], "");
    }
    world_forget(world);
    world_attend(world, 0, 6, world->keys[0], "f", "", true);
    world_attend(world, 0, 7, world->keys[0], "a", "", false);
    world_expect(world, "n1 > refused s6 presence_full\n"
                        "n1 > welcome s7 seq=0\n");
    assert_int_equal(rh_core_stats(world->cores[0])->presents, 5);
    leave(world, 1);
    world_pass(world, 0, GRACE_MS);
    world_forget(world);
    arrive(world, 6, "f", "");
    world_expect(world, "n1 > welcome s6 seq=0\n");
}

static void a_node_has_a_limit_of_its_own(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (unsigned i = 0; i < 8; i++) {
        world_attend(world, 0, i, i < 4 ? world->keys[0] : "other", names[i % 4], "", false);
    }
    assert_int_equal(rh_core_stats(world->cores[0])->presents, 8);
    world_unsubscribe(world, 0, 0);
    world_forget(world);
    world_attend(world, 0, 0, "third", "e", "", false);
    world_expect(world, "n1 > refused s0 presence_full\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 2);
}

static void any_node_says_who_is_there(void **state)
{
    struct world *world = *state;
    arrive(world, 1, "ada", "{}");
    arrive(world, 2, "bob", "");
    world_forget(world);
    world_present(world, 1, 5, world->keys[0]);
    world_deliver(world, false);
    world_deliver(world, false);
    world_present(world, 1, 6, world->keys[1]);
    world_expect(world, "n2 > send presence_get to n1\n"
                        "n1 > send presence_answer to n2\n"
                        "n2 > present #5 by n1 ada:1 bob:1\n"
                        "n2 > present #6 by n2 absent\n");
    assert_int_equal(rh_core_stats(world->cores[1])->channels, 0);
}

static void a_list_goes_with_its_channel_and_the_next_one_is_empty(void **state)
{
    struct world *world = *state;
    watch(world, 0);
    arrive(world, 1, "ada", "");
    world_make_view(world, 6); /* n2 and n3 */
    world_adopt(world, 0);
    world_turn(world, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->presents, 0);
    world_forget(world);
    world_unsubscribe(world, 0, 1);
    world_unsubscribe(world, 0, 0);
    world_pass(world, 0, 2 * GRACE_MS);
    world_expect(world, "");
}

/* Whatever is left is freed: run under a sanitizer. */
static void a_core_may_end_with_clients_in_all_states(void **state)
{
    struct world *world = *state;
    world_attend(world, 0, 1, world->keys[0], "ada", "1", true);
    arrive(world, 2, "bob", "2");
    leave(world, 2);
    world_attend(world, 0, 3, world->keys[0], "eve", "3", true);
    assert_int_equal(rh_core_stats(world->cores[0])->presents, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(who_watches_is_shown_all_and_then_who_comes_and_goes),
        WORLD_TEST(a_client_that_watches_is_in_its_own_list_and_is_not_told_of_itself),
        WORLD_TEST(who_comes_back_within_grace_makes_no_noise),
        WORLD_TEST(several_connections_of_a_client_count_as_one),
        WORLD_TEST(another_meta_is_told_as_a_change),
        WORLD_TEST(what_one_turn_brings_is_told_in_one_message),
        WORLD_TEST(a_client_too_many_is_refused_and_leaves_nothing),
        WORLD_TEST(a_node_has_a_limit_of_its_own),
        WORLD_TEST(any_node_says_who_is_there),
        WORLD_TEST(a_list_goes_with_its_channel_and_the_next_one_is_empty),
        WORLD_TEST(a_core_may_end_with_clients_in_all_states),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
