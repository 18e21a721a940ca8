/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include <inttypes.h>
#include <stdio.h>

/* The state document, of cores without replication: served here, forwarded, or waiting. With
 * replication: tests/simulator_state_test.c. */

#define ANY     RH_PEER_STATE_ANY, 0
#define ABSENT  RH_PEER_STATE_ABSENT, 0
#define PRESENT RH_PEER_STATE_PRESENT, 0
#define V(n)    RH_PEER_STATE_VERSION, n

static void a_state_is_created_changed_read_and_deleted(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_state_get(world, 0, 1, key);
    world_state_put(world, 0, 2, key, "x", ANY);
    world_state_put(world, 0, 3, key, "y", ANY);
    world_state_get(world, 0, 4, key);
    world_state_delete(world, 0, 5, key, ANY);
    world_state_get(world, 0, 6, key);
    world_state_delete(world, 0, 7, key, ANY);
    world_expect(world, "n1 > state #1 none v0 by n1\n"
                        "n1 > state #2 created v1 by n1\n"
                        "n1 > state #3 changed v2 by n1\n"
                        "n1 > state #4 found v2 by n1 text/plain:y\n"
                        "n1 > state #5 deleted v3 by n1\n"
                        "n1 > state #6 none v0 by n1\n"
                        "n1 > state #7 none v0 by n1\n");
}

static void versions_count_on_after_a_delete(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_state_put(world, 0, 1, key, "x", ANY);
    world_state_delete(world, 0, 2, key, ANY);
    world_forget(world);
    world_state_put(world, 0, 3, key, "y", V(1));
    world_state_put(world, 0, 4, key, "y", PRESENT);
    world_state_put(world, 0, 5, key, "y", ABSENT);
    world_expect(world, "n1 > state #3 conflict v0 by n1\n"
                        "n1 > state #4 conflict v0 by n1\n"
                        "n1 > state #5 created v3 by n1\n");
}

static void a_condition_that_does_not_hold_changes_nothing(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_state_put(world, 0, 1, key, "x", ABSENT);
    world_forget(world);
    world_state_put(world, 0, 2, key, "y", ABSENT);
    world_state_put(world, 0, 3, key, "y", V(2));
    world_state_put(world, 0, 4, key, "y", V(0));
    world_state_delete(world, 0, 5, key, V(2));
    world_state_put(world, 0, 6, key, "y", V(1));
    world_state_delete(world, 0, 7, key, V(2));
    world_expect(world, "n1 > state #2 conflict v1 by n1\n"
                        "n1 > state #3 conflict v1 by n1\n"
                        "n1 > state #4 conflict v1 by n1\n"
                        "n1 > state #5 conflict v1 by n1\n"
                        "n1 > state #6 changed v2 by n1\n"
                        "n1 > state #7 deleted v3 by n1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->state_conflicts, 4);
    assert_int_equal(rh_core_stats(world->cores[0])->state_writes, 3);
}

static void only_what_may_create_a_state_creates_a_channel(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_state_get(world, 0, 1, key);
    world_state_delete(world, 0, 2, key, ANY);
    world_state_put(world, 0, 3, key, "x", V(1));
    world_state_put(world, 0, 4, key, "x", PRESENT);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    world_state_put(world, 0, 5, key, "x", ABSENT);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 1);
    world_expect(world, "n1 > state #1 none v0 by n1\n"
                        "n1 > state #2 none v0 by n1\n"
                        "n1 > state #3 conflict v0 by n1\n"
                        "n1 > state #4 conflict v0 by n1\n"
                        "n1 > state #5 created v1 by n1\n");
}

/* Schedule 34: a state operation has an op and no seq. */
static void writes_of_the_state_take_no_numbers_of_messages(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_subscribe(world, 0, 1, key, NULL);
    world_publish(world, 0, 1, key, "a", "x");
    world_state_put(world, 0, 2, key, "s", ANY);
    world_publish(world, 0, 3, key, "b", "y");
    world_state_delete(world, 0, 4, key, ANY);
    world_publish(world, 0, 5, key, "c", "z");
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > message 1:x to s1\n"
                        "n1 > published #1 seq=1 by n1 to 1\n"
                        "n1 > state #2 created v1 by n1\n"
                        "n1 > message 2:y to s1\n"
                        "n1 > published #3 seq=2 by n1 to 1\n"
                        "n1 > state #4 deleted v2 by n1\n"
                        "n1 > message 3:z to s1\n"
                        "n1 > published #5 seq=3 by n1 to 1\n");
    const struct rh_position start = {0};
    world_read_from(world, 0, 2, key, &start, 10, 0);
    world_expect(world, "n1 > read s2 1:x 2:y 3:z at=3\n");
}

static void a_write_at_the_wrong_node_reaches_the_owner(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_state_put(world, 0, 1, key, "x", ANY);
    world_deliver(world, false);
    world_deliver(world, false);
    world_state_delete(world, 0, 2, key, V(1));
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > send state_put to n2\n"
                        "n2 > send state_answer to n1\n"
                        "n1 > state #1 created v1 by n2\n"
                        "n1 > send state_delete to n2\n"
                        "n2 > send state_answer to n1\n"
                        "n1 > state #2 deleted v2 by n2\n");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 0);
}

static void a_get_at_the_wrong_node_is_redirected_or_passed_on(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_state_put(world, 1, 1, key, "x", ANY);
    world_forget(world);
    struct rh_event event = {
        .kind = RH_EVENT_STATE_GET,
        .state = {.request = 2, .key = rh_bytes_text(key), .may_redirect = true},
    };
    world_step(world, 0, &event);
    world_step(world, 1, &event);
    world_state_get(world, 0, 3, key);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > state #2 redirect to n2\n"
                        "n2 > state #2 found v1 by n2 text/plain:x\n"
                        "n1 > send state_get to n2\n"
                        "n2 > send state_answer to n1\n"
                        "n1 > state #3 found v1 by n2 text/plain:x\n");
}

static void a_lost_answer_makes_the_write_be_sent_again_and_done_once(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_state_put(world, 0, 7, key, "x", ABSENT);
    world_deliver(world, false);
    world_deliver(world, true);
    world_forget(world);
    world_pass(world, 0, 1100);
    world_expect(world, "n1 > send state_put to n2\n");
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n2 > send state_answer to n1\n"
                        "n1 > state #7 changed v1 by n2\n");
    assert_int_equal(rh_core_stats(world->cores[1])->state_writes, 1);
}

static void a_message_with_the_id_of_a_write_is_a_message(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_state_put(world, 0, 1, key, "x", ANY);
    assert_int_equal(world->queue_count, 1);
    char id[64];
    struct rh_bytes sent = world->queue[0]->message.state_put.id;
    (void)snprintf(id, sizeof(id), "%.*s", RH_BYTES_ARG(sent));
    world_deliver(world, false);
    world_deliver(world, false);
    world_forget(world);
    world_publish(world, 1, 2, key, id, "m");
    world_publish(world, 1, 3, key, id, "m");
    world_expect(world, "n2 > published #2 seq=1 by n2 to 0\n"
                        "n2 > published #3 seq=1 by n2 to 0 duplicate\n");
}

static void a_write_without_answer_is_unknown_and_a_get_unreachable(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_state_put(world, 0, 1, key, "x", ANY);
    world_state_get(world, 0, 2, key);
    world_pass(world, 0, 2999);
    world_expect(world, "");
    world_pass(world, 0, 101);
    world_expect(world, "n1 > state #1 unknown_outcome\n"
                        "n1 > state #2 owner_unreachable\n");
}

static void a_state_above_the_limit_is_refused(void **state)
{
    struct world *world = *state;
    char data[202];
    memset(data, 'x', sizeof(data));
    data[201] = '\0';
    world_state_put(world, 0, 1, world->keys[0], data, ANY);
    world_state_put(world, 0, 2, world->keys[1], data, ANY);
    data[200] = '\0';
    world_state_put(world, 0, 3, world->keys[0], data, ANY);
    world_expect(world, "n1 > state #1 too_large\n"
                        "n1 > state #2 too_large\n"
                        "n1 > state #3 created v1 by n1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 200);
}

static void the_memory_of_a_state_is_counted_and_goes_with_the_channel(void **state)
{
    struct world *world = *state;
    world_adopt_all(world, 1);
    world_state_put(world, 0, 1, "k", "12345", ANY);
    world_state_put(world, 0, 2, "k", "123", ANY);
    assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 3);
    assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, 0);
    world_state_delete(world, 0, 3, "k", ANY);
    assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 0);
    world_state_put(world, 0, 4, "k", "1234", ANY);
    assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 4);
    world_pass(world, 0, 12000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 0);
    world_forget(world);
    world_state_get(world, 0, 5, "k");
    world_state_put(world, 0, 6, "k", "x", ANY);
    world_expect(world, "n1 > state #5 none v0 by n1\n"
                        "n1 > state #6 created v1 by n1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_state_is_created_changed_read_and_deleted),
        WORLD_TEST(versions_count_on_after_a_delete),
        WORLD_TEST(a_condition_that_does_not_hold_changes_nothing),
        WORLD_TEST(only_what_may_create_a_state_creates_a_channel),
        WORLD_TEST(writes_of_the_state_take_no_numbers_of_messages),
        WORLD_TEST(a_write_at_the_wrong_node_reaches_the_owner),
        WORLD_TEST(a_get_at_the_wrong_node_is_redirected_or_passed_on),
        WORLD_TEST(a_lost_answer_makes_the_write_be_sent_again_and_done_once),
        WORLD_TEST(a_message_with_the_id_of_a_write_is_a_message),
        WORLD_TEST(a_write_without_answer_is_unknown_and_a_get_unreachable),
        WORLD_TEST(a_state_above_the_limit_is_refused),
        WORLD_TEST(the_memory_of_a_state_is_counted_and_goes_with_the_channel),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
