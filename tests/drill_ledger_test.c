/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/ledger.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <string.h>

#define A UINT64_C(0xaaaa)
#define B UINT64_C(0xbbbb)

/* A channel with two clients, and what is counted of it. */
struct world {
    struct rh_ledger ledger;
    struct rh_ledger_client clients[2];
    struct rh_load_counts counts;
    struct rh_problems problems;
    struct rh_ledger_book book;
};

static int set_up(void **state)
{
    static struct world world;
    world = (struct world){.ledger = {.key = "k"}, .clients = {{.number = 0}, {.number = 1}}};
    world.book = (struct rh_ledger_book){.counts = &world.counts, .problems = &world.problems};
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    rh_ledger_finish(&world->ledger);
    return 0;
}

static void welcome(struct world *world, size_t client, uint64_t incarnation, uint64_t seq,
                    bool recovered)
{
    assert_int_equal(rh_ledger_welcome(&world->ledger, world->book, &world->clients[client],
                                       incarnation, seq, recovered),
                     0);
}

static void publish(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number;
        assert_int_equal(rh_ledger_publish(&world->ledger, &number), 0);
    }
}

/* Message |number| is acknowledged as seq number + 1. */
static void acknowledge(struct world *world, uint64_t incarnation, uint32_t from, uint32_t to)
{
    for (uint32_t number = from; number <= to; number++) {
        assert_int_equal(
            rh_ledger_acknowledged(&world->ledger, world->book, number, incarnation, number + 1),
            0);
    }
}

static void receive(struct world *world, size_t client, uint64_t seq, uint32_t number)
{
    assert_int_equal(
        rh_ledger_receive(&world->ledger, world->book, &world->clients[client], seq, number), 0);
}

static void receive_all(struct world *world, size_t client, uint32_t from, uint32_t to)
{
    for (uint32_t number = from; number <= to; number++) {
        receive(world, client, number + 1, number);
    }
}

static void close_all(struct world *world)
{
    for (size_t i = 0; i < 2; i++) {
        rh_ledger_close(&world->ledger, world->book, &world->clients[i]);
    }
}

/* Nothing was counted but these. */
static void check_clean(struct world *world, uint64_t delivered)
{
    const struct rh_load_counts clean = {.delivered = delivered};
    struct rh_load_counts counts = world->counts;
    counts.replayed = 0;
    assert_memory_equal(&counts, &clean, sizeof(clean));
    assert_int_equal(world->problems.count, 0);
}

/* Ten messages of A, both clients have had the first five. */
static void begin(struct world *world)
{
    welcome(world, 0, A, 0, true);
    welcome(world, 1, A, 0, true);
    publish(world, 10);
    acknowledge(world, A, 0, 9);
    receive_all(world, 0, 0, 4);
    receive_all(world, 1, 0, 4);
}

static void all_that_arrives_is_clean(void **state)
{
    struct world *world = *state;
    begin(world);
    assert_false(rh_ledger_settled(&world->ledger, &world->clients[0]));
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 5, 9);
    assert_true(rh_ledger_settled(&world->ledger, &world->clients[0]));
    close_all(world);
    check_clean(world, 20);
}

static void it_does_not_matter_whether_a_message_or_its_answer_comes_first(void **state)
{
    struct world *world = *state;
    welcome(world, 0, A, 0, true);
    publish(world, 2);
    receive_all(world, 0, 0, 1);
    acknowledge(world, A, 0, 1);
    close_all(world);
    check_clean(world, 2);
}

static void numbers_that_publishers_share_out_in_another_order_are_clean(void **state)
{
    struct world *world = *state;
    welcome(world, 0, A, 0, true);
    publish(world, 2);
    receive(world, 0, 1, 1);
    receive(world, 0, 2, 0);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 1, A, 1), 0);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 0, A, 2), 0);
    close_all(world);
    check_clean(world, 2);
}

static void the_last_one_that_does_not_arrive_is_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 5, 8);
    assert_false(rh_ledger_settled(&world->ledger, &world->clients[1]));
    close_all(world);
    assert_int_equal(world->counts.lost, 1);
    assert_int_equal(world->problems.count, 1);
    assert_string_equal(world->problems.texts[0],
                        "k: client 1 never got message 9, acknowledged as seq 10");
}

static void one_left_out_is_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 6, 9);
    assert_true(rh_ledger_settled(&world->ledger, &world->clients[1]));
    close_all(world);
    assert_int_equal(world->counts.lost, 1);
    assert_int_equal(world->counts.reordered, 0);
    assert_int_equal(world->counts.delivered, 19);
}

static void one_left_out_that_nobody_acknowledged_is_skipped(void **state)
{
    struct world *world = *state;
    welcome(world, 0, A, 0, true);
    publish(world, 3);
    acknowledge(world, A, 0, 0);
    receive(world, 0, 1, 0);
    receive(world, 0, 3, 2);
    close_all(world);
    assert_int_equal(world->counts.skipped, 1);
    assert_int_equal(world->counts.lost, 0);
    assert_int_equal(world->problems.count, 1);
}

static void what_one_client_got_the_other_has_to_get(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 5, 9);
    publish(world, 1);
    receive(world, 0, 11, 10);
    assert_false(rh_ledger_settled(&world->ledger, &world->clients[1]));
    close_all(world);
    assert_int_equal(world->counts.skipped, 1);
}

static void one_that_comes_late_is_reordered_and_not_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive(world, 1, 7, 6);
    receive(world, 1, 6, 5);
    receive_all(world, 1, 7, 9);
    close_all(world);
    assert_int_equal(world->counts.reordered, 1);
    assert_int_equal(world->counts.lost, 0);
    assert_int_equal(world->counts.duplicated, 0);
    assert_int_equal(world->counts.delivered, 20);
}

static void one_that_only_the_next_connection_brings_is_reordered(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive(world, 1, 7, 6);
    welcome(world, 1, A, 5, true);
    receive_all(world, 1, 5, 9);
    close_all(world);
    assert_int_equal(world->counts.reordered, 1);
    assert_int_equal(world->counts.lost, 0);
    assert_int_equal(world->counts.duplicated, 0);
    assert_int_equal(world->counts.replayed, 1);
    assert_int_equal(world->counts.delivered, 20);
}

static void twice_on_one_connection_is_duplicated(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 5, 9);
    receive(world, 1, 10, 9);
    receive(world, 1, 3, 2);
    close_all(world);
    assert_int_equal(world->counts.duplicated, 2);
    assert_int_equal(world->counts.reordered, 0);
    assert_int_equal(world->counts.delivered, 20);
    assert_int_equal(world->problems.count, 2);
}

static void again_on_the_next_connection_is_replayed(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    welcome(world, 1, A, 3, true);
    receive_all(world, 1, 3, 9);
    close_all(world);
    assert_int_equal(world->counts.replayed, 2);
    check_clean(world, 20);
}

static void again_and_then_twice_is_duplicated(void **state)
{
    struct world *world = *state;
    begin(world);
    welcome(world, 1, A, 3, true);
    receive(world, 1, 4, 3);
    receive(world, 1, 4, 3);
    assert_int_equal(world->counts.replayed, 2);
    assert_int_equal(world->counts.duplicated, 1);
}

static void one_message_under_two_numbers_is_duplicated(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive(world, 0, 11, 9);
    assert_int_equal(world->counts.duplicated, 1);
    assert_string_equal(world->problems.texts[0], "k: message 9 is there twice, as seq 10 and 11");
}

static void two_messages_under_one_number_contradict(void **state)
{
    struct world *world = *state;
    begin(world);
    receive(world, 0, 6, 7);
    assert_int_equal(world->counts.contradicted, 1);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 1, A, 1), 0);
    assert_int_equal(world->counts.contradicted, 2);
}

static void what_nobody_published_contradicts(void **state)
{
    struct world *world = *state;
    begin(world);
    receive(world, 0, 6, 10);
    assert_int_equal(world->counts.contradicted, 1);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 1, A, 0), 0);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 1, A, UINT64_MAX), 0);
    assert_int_equal(world->counts.contradicted, 3);
}

static void what_a_told_gap_swallows_is_missed(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    welcome(world, 1, A, 8, false);
    receive(world, 1, 9, 8);
    receive(world, 1, 10, 9);
    close_all(world);
    assert_int_equal(world->counts.gaps_told, 1);
    assert_int_equal(world->counts.missed, 3);
    assert_int_equal(world->counts.lost, 0);
    assert_int_equal(world->problems.count, 0);
}

static void what_a_gap_swallows_that_was_not_told_is_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    welcome(world, 1, A, 8, true);
    receive(world, 1, 9, 8);
    receive(world, 1, 10, 9);
    close_all(world);
    assert_int_equal(world->counts.gaps_told, 0);
    assert_int_equal(world->counts.lost, 3);
}

static void another_incarnation_that_was_told_is_missed(void **state)
{
    struct world *world = *state;
    begin(world);
    publish(world, 1);
    for (size_t client = 0; client < 2; client++) {
        welcome(world, client, B, 0, false);
        receive(world, client, 1, 10);
    }
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 10, B, 1), 0);
    assert_true(rh_ledger_settled(&world->ledger, &world->clients[0]));
    close_all(world);
    assert_int_equal(world->counts.gaps_told, 2);
    assert_int_equal(world->counts.missed, 10);
    assert_int_equal(world->counts.lost, 0);
}

static void another_incarnation_that_was_not_told_is_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    welcome(world, 1, B, 0, true);
    close_all(world);
    assert_int_equal(world->counts.lost, 5);
}

static void a_client_that_is_left_behind_in_an_old_incarnation_has_lost(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    receive_all(world, 1, 5, 9);
    publish(world, 2);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 10, B, 1), 0);
    assert_int_equal(rh_ledger_acknowledged(&world->ledger, world->book, 11, B, 2), 0);
    assert_false(rh_ledger_settled(&world->ledger, &world->clients[0]));
    welcome(world, 1, B, 0, false);
    receive(world, 1, 1, 10);
    receive(world, 1, 2, 11);
    assert_true(rh_ledger_settled(&world->ledger, &world->clients[1]));
    close_all(world);
    assert_int_equal(world->counts.lost, 2);
    assert_int_equal(world->counts.missed, 0);
}

static void a_retry_that_a_new_incarnation_takes_again_is_no_duplicate(void **state)
{
    struct world *world = *state;
    begin(world);
    welcome(world, 1, B, 0, false);
    receive(world, 1, 1, 4);
    assert_int_equal(world->counts.duplicated, 0);
    assert_int_equal(world->counts.contradicted, 0);
}

static void back_in_an_incarnation_only_what_was_passed_over_is_missed(void **state)
{
    struct world *world = *state;
    begin(world);
    receive_all(world, 0, 5, 9);
    welcome(world, 1, B, 0, false);
    welcome(world, 1, A, 7, false);
    receive_all(world, 1, 7, 9);
    close_all(world);
    assert_int_equal(world->counts.lost, 0);
    assert_true(world->counts.missed >= 2);
}

static void a_client_that_never_connected_has_lost_nothing_here(void **state)
{
    struct world *world = *state;
    welcome(world, 0, A, 0, true);
    publish(world, 1);
    acknowledge(world, A, 0, 0);
    receive(world, 0, 1, 0);
    assert_false(rh_ledger_settled(&world->ledger, &world->clients[1]));
    close_all(world);
    check_clean(world, 1);
}

static void problems_are_counted_beyond_those_that_are_told(void **state)
{
    struct world *world = *state;
    welcome(world, 0, A, 0, true);
    publish(world, 1000);
    acknowledge(world, A, 0, 999);
    close_all(world);
    assert_int_equal(world->counts.lost, 1000);
    assert_int_equal(world->problems.count, RH_LOAD_PROBLEMS_MAX);
}

static void memory_may_run_out_at_any_point(void **state)
{
    struct world *world = *state;
    for (unsigned nth = 1;; nth++) {
        (void)set_up(state);
        rh_test_allocation_fail(nth);
        uint32_t number;
        int rv = rh_ledger_publish(&world->ledger, &number);
        if (rv == 0) {
            rv = rh_ledger_welcome(&world->ledger, world->book, &world->clients[0], A, 0, true);
        }
        if (rv == 0) {
            rv = rh_ledger_acknowledged(&world->ledger, world->book, 0, A, 9);
        }
        if (rv == 0) {
            rv = rh_ledger_receive(&world->ledger, world->book, &world->clients[0], 9, 0);
        }
        bool failed = rh_test_allocation_failed();
        rh_ledger_finish(&world->ledger);
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        if (!failed) {
            break;
        }
    }
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(all_that_arrives_is_clean),
        ROW(it_does_not_matter_whether_a_message_or_its_answer_comes_first),
        ROW(numbers_that_publishers_share_out_in_another_order_are_clean),
        ROW(the_last_one_that_does_not_arrive_is_lost),
        ROW(one_left_out_is_lost),
        ROW(one_left_out_that_nobody_acknowledged_is_skipped),
        ROW(what_one_client_got_the_other_has_to_get),
        ROW(one_that_comes_late_is_reordered_and_not_lost),
        ROW(one_that_only_the_next_connection_brings_is_reordered),
        ROW(twice_on_one_connection_is_duplicated),
        ROW(again_on_the_next_connection_is_replayed),
        ROW(again_and_then_twice_is_duplicated),
        ROW(one_message_under_two_numbers_is_duplicated),
        ROW(two_messages_under_one_number_contradict),
        ROW(what_nobody_published_contradicts),
        ROW(what_a_told_gap_swallows_is_missed),
        ROW(what_a_gap_swallows_that_was_not_told_is_lost),
        ROW(another_incarnation_that_was_told_is_missed),
        ROW(another_incarnation_that_was_not_told_is_lost),
        ROW(a_client_that_is_left_behind_in_an_old_incarnation_has_lost),
        ROW(a_retry_that_a_new_incarnation_takes_again_is_no_duplicate),
        ROW(back_in_an_incarnation_only_what_was_passed_over_is_missed),
        ROW(a_client_that_never_connected_has_lost_nothing_here),
        ROW(problems_are_counted_beyond_those_that_are_told),
        ROW(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
