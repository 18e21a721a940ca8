/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: how channels are handed over, and how nodes
 * come into groups and leave them. */

#include "tests/simulator_clients.h"
#include "tests/simulator_script.h"
#include "tests/test.h"

/* 4, 17 */
static void
an_own_that_is_out_of_date_is_refused_and_the_old_owner_is_succeeded(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    uint64_t message = script_commit(script, B);
    script_hold(script, RH_PEER_OWN, B, A, 100);
    script_start(script, A);
    script_until(script, "B: * gated -> passing");
    script_start(script, D);
    script_until(script, "A: adopts");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "A: * refuses own of B");
    script_until(script, "B: * passing -> replica");
    script_until(script, "A: * replica -> claiming");
    script_until(script, "A: * claiming -> acting");
    script_expect_not(script, "B: * replica -> acting");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 67 */
static void
a_report_that_was_overtaken_by_all_that_came_after_it_says_nothing(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_OWN, B, A, 100);
    script_start(script, A);
    script_until(script, "B: * gated -> passing");
    script_hold(script, RH_PEER_REPORT_END, C, A, 100);
    script_hold(script, RH_PEER_REPORT, B, A, 1);
    script_start(script, D);
    script_until(script, "B > A report * ");
    script_until(script, "A: adopts");
    script_cut(script, A, B, true);
    script_until(script, "B: link to A: down");
    script_cut(script, A, B, false);
    script_until(script, "B: link to A: up");
    script_until(script, "B > A report * ");
    script_let(script);
    script_until(script, "B: * passing -> replica");
    script_until(script, "B > A report * ");
    script_pass(script, 10);
    script_release(script, B, A); /* what was told first comes last */
    script_release(script, C, A);
    script_until(script, "A: * replica -> claiming");
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 31 */
static void connections_do_not_notice_an_own_that_is_refused(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_OWN, B, A, 100);
    script_start(script, A);
    script_until(script, "B: * gated -> passing");
    script_forget(script);
    script_weight(script, A, 0);
    script_until(script, "A: adopts");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "B: * passing -> replica");
    script_until(script, "B: * replica -> claiming");
    script_until(script, "B: * claiming -> acting");
    script_pass(script, 1000);
    script_expect_not(script, "client 0: moved");
    script_end(script);
}

/* 5 */
static void a_sync_of_an_earlier_epoch_is_refused(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_SYNC_BEGIN, B, A, 100);
    script_start(script, A);
    script_until(script, "B > A sync_begin");
    script_start(script, D);
    script_adopt(script, "AB");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "A > B refused sync_begin *");
    script_expect(script, "stale_epoch");
    script_end(script);
}

/* 13 */
static void a_replica_joins_whoever_acts(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    script_weight(script, A, 0);
    script_weight(script, B, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, C);
    script_forget(script);
    script_weight(script, A, 1000);
    script_weight(script, B, 1000);
    script_until(script, "C > B sync_begin");
    script_until(script, "B > C sync_ack");
    script_until(script, "C: * gated -> passing");
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 16 */
static void an_old_sync_that_comes_after_a_leave_is_refused(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    script_weight(script, A, 0);
    script_weight(script, B, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, C);
    script_lose(script, RH_PEER_SYNC_BEGIN, C, SCRIPT_ANY, 100);
    script_hold(script, RH_PEER_SYNC_BEGIN, A, D, 1);
    script_forget(script);
    script_weight(script, A, 1000);
    script_weight(script, B, 1000);
    script_until(script, "A: adopts");
    script_pass(script, 50);
    script_crash(script, C);
    script_until(script, "A: * claiming -> acting"); /* D has the second one */
    script_until(script, "D: * replica -> absent");
    script_release(script, A, D);
    script_until(script, "D > A refused sync_begin *");
    script_expect(script, "left");
    script_end(script);
}

/* 26 */
static void a_leave_of_an_earlier_epoch_is_refused(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "AC");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_LEAVE, A, C, 1);
    script_start(script, B);
    script_until(script, "A > C leave");
    script_hold(script, RH_PEER_LEAVE, A, C, 100);
    script_start(script, D);
    script_until(script, "C: adopts");
    script_until(script, "C > A report *");
    script_release(script, A, C);
    script_until(script, "C > A refused leave *");
    script_expect(script, "stale_epoch");
    script_let(script);
    script_until(script, "C: * replica -> absent");
    script_end(script);
}

/* 27 */
static void a_copy_that_was_away_when_its_group_changed_is_asked_to_leave(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_cut_zookeeper(script, C, true);
    script_cut(script, A, C, true);
    script_until(script, "of C expires");
    script_cut(script, B, C, true);
    script_start(script, B);
    script_until(script, "A: * group {A B}");
    script_cut(script, A, C, false);
    script_cut(script, B, C, false);
    script_cut_zookeeper(script, C, false);
    script_until(script, "C: * replica -> suspect");
    script_until(script, "A > C leave");
    script_until(script, "C: * suspect -> absent");
    script_end(script);
}

/* 28 */
static void a_channel_that_is_made_anew_has_another_term(void **state RH_UNUSED)
{
    struct script *script = script_prepare(2, 2);
    script->sim->limits.channel_idle_ms = 2000;
    script_begin(script, "AB");
    script_silence_clients(script);
    (void)script_commit(script, A);
    script_pass(script, 300000);
    script_until(script, "A: * acting -> closing");
    script_until(script, "A: * closing -> absent");
    (void)script_publish(script, A);
    script_until(script, "A: * absent -> waiting");
    script_until(script, "A: * waiting -> claiming");
    script_until(script, "A: * commits 1");
    script_end(script);
}

/* 30 */
static void a_busy_channel_is_handed_over(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "BC");
    (void)script_commit(script, B);
    script_forget(script);
    script_start(script, A);
    for (unsigned i = 0; i < 12000 && !script_has(script, "B: * gated -> passing"); i++) {
        if (script_has(script, "B > A sync_begin")) {
            (void)script_publish(script, B);
        }
        script_pass(script, 1);
    }
    script_until(script, "B: * gated -> passing");
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 35 */
static void a_sync_in_parts_of_an_earlier_epoch_is_never_a_copy(void **state RH_UNUSED)
{
    struct script *script = script_prepare(4, 2);
    script->sim->limits.padding = 900;
    script->sim->limits.log_messages = 1000;
    script_begin(script, "BC");
    for (unsigned i = 0; i < 200; i++) {
        (void)script_commit(script, B);
    }
    script_hold(script, RH_PEER_SYNC_CHUNK, B, A, 100);
    script_start(script, A);
    script_until(script, "B > A sync_chunk");
    script_start(script, D);
    script_adopt(script, "AB");
    script_release(script, B, A);
    script_let(script);
    script_never(script, 20, "A: * absent -> joining", NULL);
    script_end(script);
}

/* 37 */
static void an_expedite_that_is_out_of_date_changes_nothing(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_EXPEDITE, A, B, 1);
    script_lose(script, RH_PEER_SYNC_BEGIN, B, A, 100);
    script_start(script, A);
    script_until(script, "B > A sync_begin");
    script_pass(script, 500); /* the epoch is recorded */
    (void)script_publish(script, A);
    script_until(script, "A > B expedite");
    script_start(script, D);
    script_adopt(script, "AB");
    script_let(script);
    script_release(script, A, B);
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* A channel of A and B, and so many idle ones on their way to C, which has just taken its weight, that
 * they have all the credit that they may have. C says of none that it has it. */
static struct script *with_a_rebalance_under_way(void)
{
    struct script *script = script_prepare(4, 2);
    script->sim->limits.crowd = 200;
    script_begin(script, "ABD");
    sim_clients_crowd(script->sim);
    (void)script_commit(script, A);
    scenario_rest(script->scenario);
    script_start(script, C);
    script_lose_of_others(script, RH_PEER_SYNC_ACK, C, SCRIPT_ANY);
    for (unsigned i = 0; i < 3; i++) {
        script_until(script, "A > C sync_begin ");
    }
    script_forget(script);
    return script;
}

/* 38 */
static void a_takeover_does_not_wait_behind_a_rebalance(void **state RH_UNUSED)
{
    struct script *script = with_a_rebalance_under_way();
    script_never(script, 100, "A > C sync_begin ", NULL); /* a quarter is left */
    script_crash(script, A);
    script_until(script, "B: adopts");
    uint64_t adopted_ms = script->sim->now_ms;
    script_until(script, "B: * claiming -> acting");
    assert_true(script->sim->now_ms - adopted_ms < 100);
    script_end(script);
}

/* 38 */
static void the_first_write_does_not_wait_behind_a_rebalance(void **state RH_UNUSED)
{
    struct script *script = with_a_rebalance_under_way();
    script_crash(script, B);
    script_until(script, "A: adopts");
    uint64_t adopted_ms = script->sim->now_ms;
    (void)script_commit(script, A);
    assert_true(script->sim->now_ms - adopted_ms < 100);
    script_end(script);
}

/* 75 */
static void what_reaches_the_new_owner_first_is_served_by_the_old_one(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_lose(script, RH_PEER_SYNC_BEGIN, B, A, 100);
    script_start(script, A);
    script_until(script, "B > A sync_begin");
    (void)script_publish(script, A);
    script_until(script, "A > B publish");
    script_until(script, "B: * commits 2");
    script_expect_not(script, "A: * absent -> waiting");
    script_let(script);
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 76 */
static void what_comes_back_from_the_old_owner_waits_for_the_channel(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_OWN, B, A, 100);
    script_start(script, A);
    script_until(script, "A: adopts");
    script_until(script, "B > A report_end");
    script_hold(script, RH_PEER_REPORT, B, A, 100); /* A believes that B acts */
    script_until(script, "B: * gated -> passing");
    (void)script_publish(script, C);
    script_until(script, "C > B publish");
    script_until(script, "B > C publish_answer");
    script_until(script, "C > A publish");
    script_forget(script);
    script_pass(script, 300);
    script_expect_not(script, "C > A publish");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "A: * claiming -> acting");
    script_until(script, "A: * commits 2");
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(an_own_that_is_out_of_date_is_refused_and_the_old_owner_is_succeeded),
        RH_TEST(a_report_that_was_overtaken_by_all_that_came_after_it_says_nothing),
        RH_TEST(connections_do_not_notice_an_own_that_is_refused),
        RH_TEST(a_sync_of_an_earlier_epoch_is_refused),
        RH_TEST(a_replica_joins_whoever_acts),
        RH_TEST(an_old_sync_that_comes_after_a_leave_is_refused),
        RH_TEST(a_leave_of_an_earlier_epoch_is_refused),
        RH_TEST(a_copy_that_was_away_when_its_group_changed_is_asked_to_leave),
        RH_TEST(a_channel_that_is_made_anew_has_another_term),
        RH_TEST(a_busy_channel_is_handed_over),
        RH_TEST(a_sync_in_parts_of_an_earlier_epoch_is_never_a_copy),
        RH_TEST(an_expedite_that_is_out_of_date_changes_nothing),
        RH_TEST(a_takeover_does_not_wait_behind_a_rebalance),
        RH_TEST(the_first_write_does_not_wait_behind_a_rebalance),
        RH_TEST(what_reaches_the_new_owner_first_is_served_by_the_old_one),
        RH_TEST(what_comes_back_from_the_old_owner_waits_for_the_channel),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
