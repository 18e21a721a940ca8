/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include <inttypes.h>
#include <stdio.h>

/* Publish and inspect: served here, forwarded, or waiting. */
/* ---- publish ---- */

static void a_publish_with_the_same_id_is_answered_with_the_first_seq(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_subscribe(world, 0, 1, key, NULL);
    world_publish(world, 0, 1, key, "a", "x");
    world_publish(world, 0, 2, key, "b", "y");
    world_publish(world, 0, 3, key, "a", "x");
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > message 1:x to s1\n"
                        "n1 > published #1 seq=1 by n1 to 1\n"
                        "n1 > message 2:y to s1\n"
                        "n1 > published #2 seq=2 by n1 to 1\n"
                        "n1 > published #3 seq=1 by n1 to 1 duplicate\n");
}

static void an_id_is_recognised_after_its_message_was_trimmed(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    for (uint64_t i = 1; i <= 9; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        world_publish(world, 0, i, key, id, "x");
    }
    world_forget(world);
    world_publish(world, 0, 10, key, "1", "x");
    world_expect(world, "n1 > published #10 seq=1 by n1 to 0 duplicate\n");
    world->now_ms += 5001;
    world_publish(world, 0, 11, key, "1", "x");
    world_expect(world, "n1 > published #11 seq=10 by n1 to 0\n");
}

static void publishes_without_id_are_each_a_message(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 1, world->keys[0], "", "x");
    world_publish(world, 0, 2, world->keys[0], "", "x");
    world_expect(world, "n1 > published #1 seq=1 by n1 to 0\n"
                        "n1 > published #2 seq=2 by n1 to 0\n");
}

static void a_publish_at_the_wrong_node_reaches_the_owners_streams(void **state)
{
    struct world *world = *state;
    world_subscribe(world, 1, 1, world->keys[1], NULL);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n2 > welcome s1 seq=0\n"
                        "n1 > send publish to n2\n"
                        "n2 > message 1:x to s1\n"
                        "n2 > send publish_answer to n1\n"
                        "n1 > published #7 seq=1 by n2 to 1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 0);
}

static void a_lost_answer_makes_the_request_be_sent_again_and_published_once(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_deliver(world, false);
    world_deliver(world, true);
    world_forget(world);
    world_pass(world, 0, 1100);
    world_expect(world, "n1 > send publish to n2\n");
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n2 > send publish_answer to n1\n"
                        "n1 > published #7 seq=1 by n2 to 0 duplicate\n");
}

static void a_request_waits_for_the_link_and_goes_when_it_is_up(void **state)
{
    struct world *world = *state;
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_expect(world, "");
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    world_expect(world, "n1 > send publish to n2\n");
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_deliver(world, true);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    world_expect(world, "n1 > send publish to n2\n");
}

static void a_request_goes_to_the_next_owner_when_the_first_is_gone(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_deliver(world, true);
    world_forget(world);
    world_make_view(world, 1); /* only n1 has weight */
    world_adopt(world, 0);
    world_expect(world, "n1 > swept channels=0 connections=0\n"
                        "n1 > published #7 seq=1 by n1 to 0\n");
}

static void a_request_without_answer_is_unknown_and_not_refused(void **state)
{
    struct world *world = *state;
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_inspect(world, 0, 8, world->keys[1]);
    world_pass(world, 0, 2999);
    world_expect(world, "");
    world_pass(world, 0, 101);
    world_expect(world, "n1 > published #7 unknown_outcome\n"
                        "n1 > inspected #8 owner_unreachable first=1 last=0 to 0\n");
}

static void a_request_is_not_sent_after_its_deadline(void **state)
{
    struct world *world = *state;
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world->now_ms += 3001; /* and no tick yet */
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    world_expect(world, "n1 > published #7 unknown_outcome\n");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 0);
}

/* Its sender has told the publisher that it does not know, so now it must not happen any more. */
static void a_request_of_a_peer_is_not_begun_after_its_deadline(void **state)
{
    struct world *world = *state;
    world_make_view(world, 8);
    world_adopt(world, 0);
    world_publish(world, 0, 7, world->keys[0], "a", "x");
    world_deliver(world, false);
    world_forget(world);
    world->now_ms += 3001;
    world_adopt(world, 3);
    world_expect(world, "n4 > swept channels=0 connections=0\n"
                        "n4 > send publish_answer to n1\n");
    assert_int_equal(rh_core_stats(world->cores[3])->publishes, 0);
    world_deliver(world, false);
    world_expect(world, "n1 > published #7 unknown_outcome\n");
}

static void a_peer_cannot_make_a_request_wait_longer_than_our_own(void **state)
{
    struct world *world = *state;
    struct rh_core_options patient = world_options_of(0);
    patient.forward_timeout_ms = 1000000;
    world_make_view(world, 8);
    world_restart(world, 0, &patient);
    world_peer(world, RH_EVENT_PEER_UP, 0, 3);
    world_publish(world, 0, 7, world->keys[0], "a", "x");
    world_deliver(world, false);
    assert_int_equal(rh_core_stats(world->cores[3])->pending, 1);
    world_pass(world, 3, 3200);
    assert_int_equal(rh_core_stats(world->cores[3])->pending, 0);
}

static void a_request_that_is_sent_again_waits_once(void **state)
{
    struct world *world = *state;
    world_make_view(world, 8);
    world_adopt(world, 0);
    world_publish(world, 0, 7, world->keys[0], "a", "x");
    world_pass(world, 0, 1100);
    world_deliver(world, false);
    world_deliver(world, false);
    assert_int_equal(rh_core_stats(world->cores[3])->pending, 1);
    world_forget(world);
    world_adopt(world, 3);
    world_expect(world, "n4 > swept channels=0 connections=0\n"
                        "n4 > send publish_answer to n1\n");
}

/* The pauses grow: an owner that is slow is not helped by hearing everything again and again. */
static void a_request_is_sent_again_with_growing_pauses(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_forget(world);
    world_pass(world, 0, 450);
    world_expect(world, "");
    world_pass(world, 0, 150);
    world_expect(world, "n1 > send publish to n2\n");
    world_pass(world, 0, 850);
    world_expect(world, "");
    world_pass(world, 0, 250);
    world_expect(world, "n1 > send publish to n2\n");
}

static void a_refusal_of_a_request_that_was_sent_before_is_no_refusal(void **state)
{
    struct world *world = *state;
    struct rh_core_options full = world_options_of(1);
    full.channels_max = 0;
    world_restart(world, 1, &full);
    world_peer(world, RH_EVENT_PEER_UP, 1, 0);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_deliver(world, false);
    world_deliver(world, false);
    world_publish(world, 0, 8, world->keys[1], "b", "x");
    world_deliver(world, true); /* may have arrived, for all that n1 knows */
    world_forget(world);
    world_pass(world, 0, 600);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > send publish to n2\n"
                        "n2 > send publish_answer to n1\n"
                        "n1 > published #8 unknown_outcome\n");
}

static void a_publish_that_another_node_may_have_taken_is_not_refused_here(void **state)
{
    struct world *world = *state;
    struct rh_core_options full = world_options_of(0);
    full.channels_max = 0;
    world_restart(world, 0, &full);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    world_publish(world, 0, 6, world->keys[0], "a", "x");
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_make_view(world, 1);
    world_adopt(world, 0);
    world_expect(world, "n1 > published #6 channels_full\n"
                        "n1 > send publish to n2\n"
                        "n1 > swept channels=0 connections=0\n"
                        "n1 > published #7 unknown_outcome\n");
}

static void a_peer_with_a_later_view_waits_until_we_have_it(void **state)
{
    struct world *world = *state;
    world_make_view(world, 8); /* n4 owns everything; n4 does not know yet */
    world_adopt(world, 0);
    world_publish(world, 0, 7, world->keys[0], "a", "x");
    world_forget(world);
    world_deliver(world, false);
    world_expect(world, "n4 > catch up\n");
    world_adopt(world, 3);
    world_expect(world, "n4 > swept channels=0 connections=0\n"
                        "n4 > send publish_answer to n1\n");
    world_deliver(world, false);
    world_expect(world, "n1 > published #7 seq=1 by n4 to 0\n");
}

static void a_peer_with_an_older_view_is_told_and_asks_the_right_node(void **state)
{
    struct world *world = *state;
    world_make_view(world, 5); /* without n2, which n1 does not know */
    world_adopt(world, 1);
    world_adopt(world, 2);
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_forget(world);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n2 > send publish_answer to n1\n"
                        "n1 > catch up\n");
    world_adopt(world, 0);
    assert_non_null(strstr(world->trace, "n1 > "));
    bool local = strstr(world->trace, "published #7 seq=1 by n1") != NULL;
    if (!local) {
        world_deliver(world, false);
        world_deliver(world, false);
        assert_non_null(strstr(world->trace, "published #7 seq=1 by n3"));
    }
}

static void an_answer_of_an_older_view_is_asked_again(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_make_view(world, 5);
    world_adopt(world, 1); /* n2 has moved on, and is owner no more */
    world_deliver(world, false);
    world_make_view(world, 7);
    world_adopt(world, 0);
    world_adopt(world, 1); /* and by now is it again */
    world_forget(world);
    world_deliver(world, false);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > send publish to n2\n"
                        "n2 > send publish_answer to n1\n"
                        "n1 > published #7 seq=1 by n2 to 0\n");
}

static void an_answer_from_another_process_is_no_answer(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_deliver(world, false);
    world_forget(world);
    world->refs[1].instance++;
    world_deliver(world, false);
    world_expect(world, "");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 1);
}

static void an_inspect_is_answered_by_any_node(void **state)
{
    struct world *world = *state;
    world_subscribe(world, 1, 1, world->keys[1], NULL);
    world_publish(world, 1, 1, world->keys[1], "a", "x");
    world_forget(world);
    world_inspect(world, 0, 5, world->keys[1]);
    world_inspect(world, 1, 6, world->keys[1]);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > send inspect to n2\n"
                        "n2 > inspected #6 exists first=1 last=1 to 1\n"
                        "n2 > send inspect_answer to n1\n"
                        "n1 > inspected #5 exists first=1 last=1 to 1\n");
}

static void limits_refuse_and_name_themselves(void **state)
{
    struct world *world = *state;
    char large[102];
    memset(large, 'x', sizeof(large));
    large[101] = '\0';
    world_publish(world, 0, 1, world->keys[0], "a", large);
    world_publish(world, 0, 2, world->keys[1], "a", large);
    large[100] = '\0';
    world_publish(world, 0, 3, world->keys[0], "a", large);
    world_expect(world, "n1 > published #1 too_large\n"
                        "n1 > published #2 too_large\n"
                        "n1 > published #3 seq=1 by n1 to 0\n");
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    for (uint64_t i = 0; i < 5; i++) {
        world_publish(world, 0, 10 + i, world->keys[1], "", "x");
    }
    world_expect(world, "n1 > published #14 overloaded\n");
    world_adopt_all(world, 8);
    world_forget(world);
    for (uint64_t i = 0; i < 101; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%" PRIu64, i);
        world_forget(world);
        world_publish(world, 3, i, key, "a", "x");
    }
    world_expect(world, "n4 > published #100 channels_full\n");
}

static void a_publish_that_is_refused_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    char large[102];
    memset(large, 'x', sizeof(large));
    large[101] = '\0';
    world_publish(world, 0, 1, world->keys[0], "a", large);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->channels_created, 0);
}

/* A retry must find its id for dedup_age, however soon a channel counts as idle. */
static void a_channel_is_not_reclaimed_while_it_knows_message_ids(void **state)
{
    struct world *world = *state;
    struct rh_core_options options = world_options_of(0);
    options.channel_idle_ms = 1000;
    options.dedup_age_ms = 5000;
    world_restart(world, 0, &options);
    world_publish(world, 0, 1, world->keys[0], "a", "x");
    world_pass(world, 0, 4500);
    world_forget(world);
    world_publish(world, 0, 2, world->keys[0], "a", "x");
    world_expect(world, "n1 > published #2 seq=1 by n1 to 0 duplicate\n");
    world_pass(world, 0, 3000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
}

static void an_idle_channel_is_reclaimed_and_one_in_use_is_not(void **state)
{
    struct world *world = *state;
    world_subscribe(world, 0, 1, world->keys[0], NULL);
    world_adopt_all(world, 1);
    world_publish(world, 0, 1, "idle", "a", "x");
    world_pass(world, 0, 9000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 2);
    world_pass(world, 0, 3000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 1);
    assert_int_equal(rh_core_stats(world->cores[0])->channels_reclaimed, 1);
    assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, 0);
    world_unsubscribe(world, 0, 1);
    world_pass(world, 0, 12000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_publish_with_the_same_id_is_answered_with_the_first_seq),
        WORLD_TEST(an_id_is_recognised_after_its_message_was_trimmed),
        WORLD_TEST(publishes_without_id_are_each_a_message),
        WORLD_TEST(a_publish_at_the_wrong_node_reaches_the_owners_streams),
        WORLD_TEST(a_lost_answer_makes_the_request_be_sent_again_and_published_once),
        WORLD_TEST(a_request_waits_for_the_link_and_goes_when_it_is_up),
        WORLD_TEST(a_request_goes_to_the_next_owner_when_the_first_is_gone),
        WORLD_TEST(a_request_without_answer_is_unknown_and_not_refused),
        WORLD_TEST(a_request_is_not_sent_after_its_deadline),
        WORLD_TEST(a_request_of_a_peer_is_not_begun_after_its_deadline),
        WORLD_TEST(a_peer_cannot_make_a_request_wait_longer_than_our_own),
        WORLD_TEST(a_request_that_is_sent_again_waits_once),
        WORLD_TEST(a_request_is_sent_again_with_growing_pauses),
        WORLD_TEST(a_refusal_of_a_request_that_was_sent_before_is_no_refusal),
        WORLD_TEST(a_publish_that_another_node_may_have_taken_is_not_refused_here),
        WORLD_TEST(a_peer_with_a_later_view_waits_until_we_have_it),
        WORLD_TEST(a_peer_with_an_older_view_is_told_and_asks_the_right_node),
        WORLD_TEST(an_answer_of_an_older_view_is_asked_again),
        WORLD_TEST(an_answer_from_another_process_is_no_answer),
        WORLD_TEST(an_inspect_is_answered_by_any_node),
        WORLD_TEST(limits_refuse_and_name_themselves),
        WORLD_TEST(a_publish_that_is_refused_leaves_nothing_behind),
        WORLD_TEST(a_channel_is_not_reclaimed_while_it_knows_message_ids),
        WORLD_TEST(an_idle_channel_is_reclaimed_and_one_in_use_is_not),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
