/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: who takes over what from whom. */

#include "tests/simulator_script.h"
#include "tests/test.h"

/* 1 */
static void a_node_that_drains_and_dies_while_it_acts_is_succeeded(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    uint64_t message = script_commit(script, A);
    script_lose(script, RH_PEER_SYNC_BEGIN, A, C, 100);
    script_weight(script, A, 0);
    script_until(script, "A: adopts");
    script_crash(script, A);
    script_until(script, "B: * replica -> claiming");
    script_until(script, "B: * claiming -> acting");
    script_publish_again(script, B, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 3 */
static void a_group_that_expired_finds_that_others_have_acted(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_cut(script, A, C, true);
    script_cut(script, A, D, true);
    script_cut(script, B, C, true);
    script_cut(script, B, D, true);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_until(script, "C: adopts");
    (void)script_publish(script, C);
    script_until(script, "C: * waiting -> claiming");
    script_until(script, "C: * claiming -> acting");
    script_forget(script);
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_cut(script, A, C, false);
    script_cut(script, A, D, false);
    script_cut(script, B, C, false);
    script_cut(script, B, D, false);
    script_until(script, "C: * gated -> passing");
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 6 */
static void a_new_owner_that_dies_at_once_has_let_nobody_go(void **state RH_UNUSED)
{
    struct script *script = script_prepare(4, 2);
    script_begin(script, "ABCD");
    script_weight(script, A, 0);
    script_weight(script, B, 0);
    scenario_rest(script->scenario);
    uint64_t message = script_commit(script, C);
    script_lose(script, RH_PEER_SYNC_BEGIN, A, SCRIPT_ANY, 100);
    script_forget(script);
    script_weight(script, A, 1000);
    script_weight(script, B, 1000);
    script_until(script, "A: * replica -> claiming");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_publish_again(script, B, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 7 */
static void whoever_evicted_a_group_waits_until_it_has_stopped(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_firewall(script, C, A, true);
    script_firewall(script, C, B, true);
    (void)script_commit(script, A); /* by proof */
    script_until(script, "evict of C: 0");
    script_until(script, "evict of C: 0");
    script_until(script, "C: adopts");
    (void)script_publish(script, C);
    script_never(script, 3900, "C: * waiting -> claiming", NULL);
    script_until(script, "C: * claiming -> acting");
    script_firewall(script, C, A, false);
    script_firewall(script, C, B, false);
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_until(script, "A: * acting -> suspect");
    script_end(script);
}

/* 8 */
static void a_replica_that_starts_again_holds_nothing(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_crash(script, B);
    script_pause(script, A); /* it sees nothing of the time in between */
    script_start(script, B);
    script_pass(script, 2500);
    (void)script_publish(script, A);
    script_resume(script, A);
    script_until(script, "A: adopts");
    script_until(script, "A: * commits 2");
    script_until(script, "B: * absent -> joining");
    script_end(script);
}

/* 9 */
static void what_a_woken_owner_had_not_committed_is_replaced(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_APPEND, A, B, 1);
    (void)script_publish(script, A);
    script_until(script, "A > B append *");
    script_pause(script, A);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    script_resume(script, A);
    script_until(script, "A: * acting -> suspect");
    script_until(script, "B > A sync_begin");
    script_end(script);
}

/* T2 */
static void a_higher_term_ranks_above_a_longer_log(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_APPEND, A, B, 1000);
    (void)script_publish(script, A);
    (void)script_publish(script, A);
    script_until(script, "A > B append *");
    script_pause(script, A);
    script_until(script, "B: * claiming -> acting");
    uint64_t message = script_commit(script, B);
    script_lose(script, RH_PEER_SYNC_BEGIN, B, A, 1000);
    script_resume(script, A);
    script_until(script, "A: * acting -> suspect");
    script_expect_line(script, "op 3 commit 1");
    script_until(script, "B > A sync_begin");
    script_expire(script, B);
    script_expire(script, C);
    script_until(script, "B: * acting -> suspect");
    script_expect_line(script, "op 2 commit 2");
    script_let(script);
    script_until(script, "A > B fetch");
    script_until(script, "A: * claiming -> acting");
    script_publish_again(script, A, message);
    script_until(script, "seq 2, duplicate");
    script_end(script);
}

/* S1 */
static void an_append_of_an_older_term_is_refused(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 3, "ABC");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_APPEND, A, C, 1);
    script_lose(script, RH_PEER_APPEND, A, SCRIPT_ANY, 100);
    (void)script_publish(script, A);
    script_until(script, "A > C append *");
    script_pause(script, A);
    script_expire(script, A);
    script_until(script, "B: * claiming -> acting");
    script_lose(script, RH_PEER_SYNC_BEGIN, B, SCRIPT_ANY, 100);
    script_resume(script, A);
    script_until(script, "register of A: 0");
    script_adopt(script, "BC");
    script_release(script, A, C);
    script_until(script, "C: * refuses append of A: stale_term");
    script_let(script);
    (void)script_commit(script, B);
    script_end(script);
}

/* 14 */
static void whoever_reports_a_copy_is_in_the_group_of_a_takeover(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    script_weight(script, A, 0);
    script_weight(script, B, 0);
    scenario_rest(script->scenario);
    uint64_t message = script_commit(script, C);
    script_lose(script, RH_PEER_SYNC_BEGIN, C, SCRIPT_ANY, 100);
    script_hold(script, RH_PEER_SYNC_BEGIN, A, D, 100);
    script_forget(script);
    script_weight(script, A, 1000);
    script_weight(script, B, 1000);
    script_until(script, "A: adopts");
    script_pass(script, 50);
    script_crash(script, C);
    script_until(script, "A: * waiting -> claiming");
    script_never(script, 1000, "A > D leave", "A: * claiming -> acting", NULL);
    script_let(script);
    script_release(script, A, D);
    script_until(script, "A: * claiming -> acting");
    script_until(script, "A > D leave *");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 15 */
static void a_copy_that_nobody_counts_on_ranks_below_and_is_waited_for(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_SYNC_ACK, C, A, 100);
    script_crash(script, B);
    script_until(script, "C: * absent -> joining");
    script_start(script, D);
    script_until(script, "C > A report *");
    script_expect_not(script, "C: * joining -> replica");
    script_crash(script, A);
    script_until(script, "C: adopts");
    script_never(script, 3900, "C: * joining -> claiming", NULL);
    script_until(script, "C: * joining -> claiming");
    script_until(script, "client 0: welcome at C");
    script_expect_line(script, "not recovered"); /* nobody knows what A had committed */
    script_end(script);
}

/* S4 */
static void a_copy_that_no_group_names_does_not_go_on_as_if_it_had_all(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_SYNC_ACK, C, A, 100);
    script_weight(script, B, 0);
    script_until(script, "C > A sync_ack ");
    (void)script_commit(script, A); /* with B: C is not counted */
    script_crash(script, A);
    script_crash(script, B);
    script_until(script, "C: adopts");
    script_never(script, 3900, "C: * joining -> claiming", NULL);
    script_until(script, "C: * joining -> claiming");
    script_until(script, "client 0: welcome at C");
    script_expect_line(script, "not recovered");
    script_end(script);
}

/* 19 */
static void a_suspect_copy_saves_no_wait(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ACD");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_VIEW, SCRIPT_ANY, C, 1000000);
    script_cut_zookeeper(script, C, true);
    script_cut(script, A, C, true);
    script_firewall(script, C, A, true);
    script_firewall(script, C, B, true);
    script_firewall(script, D, A, true);
    script_until(script, "of C expires");
    script_start(script, B);
    script_cut(script, B, C, true);
    script_until(script, "A: * group {A B}");
    (void)script_commit(script, A);
    script_firewall(script, D, B, true);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_cut_zookeeper(script, C, false);
    script_until(script, "evict of D: 0");
    script_until(script, "C: * replica -> suspect");
    script_until(script, "evict of D: 0"); /* of B: A was the first */
    script_until(script, "C: adopts");
    script_never(script, 3900, "C: * suspect -> claiming", NULL);
    script_until(script, "C: * suspect -> claiming");
    script_firewall(script, C, A, false);
    script_firewall(script, C, B, false);
    script_firewall(script, D, A, false);
    script_firewall(script, D, B, false);
    script_cut(script, A, C, false);
    script_cut(script, B, C, false);
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_end(script);
}

/* 23 */
static void a_loss_that_was_never_seen_is_waited_for(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 1, "ACD");
    script_weight(script, A, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, C);
    for (int other = C; other <= D; other++) {
        script_cut(script, A, other, true);
    }
    script_cut(script, A, B, true);
    script_cut_zookeeper(script, A, true);
    script_until(script, "of A expires");
    script_start(script, B);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    script_weight(script, A, 1000);
    script_cut_zookeeper(script, B, true);
    script_firewall(script, C, B, true);
    script_until(script, "evict of C: 0");
    script_until(script, "C: adopts");
    script_cut_zookeeper(script, A, false);
    for (int other = C; other <= D; other++) {
        script_cut(script, A, other, false);
    }
    script_until(script, "A: adopts");
    (void)script_publish(script, A);
    script_never(script, 3900, "A: * waiting -> claiming", "A: * absent -> claiming", NULL);
    script_until(script, "A: * waiting -> claiming");
    script_firewall(script, C, B, false);
    script_cut(script, A, B, false);
    script_cut_zookeeper(script, B, false);
    script_end(script);
}

/* 36: the first Fetch is late, and what it asks for has become longer, and then another's. */
static void a_copy_that_grew_after_its_report_is_fetched_as_it_is(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    script_weight(script, A, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_APPEND, B, C, 1);
    script_lose(script, RH_PEER_APPEND, B, C, 1000);
    uint64_t message = script_publish(script, B);
    script_until(script, "B > C append * ");
    script_lose(script, RH_PEER_SYNC_BEGIN, B, A, 1000);
    script_hold(script, RH_PEER_FETCH, A, C, 1);
    script_hold(script, RH_PEER_LEAVE, A, C, 1);
    script_weight(script, A, 1000);
    script_until(script, "A: adopts");
    script_expire(script, B);
    script_until(script, "A > C fetch * ");
    script_expect_line(script, "op 1");
    script_release(script, B, C);
    script_until(script, "C > B append_ack * ");
    script_until(script, "A > C fetch * "); /* again, as nothing was heard */
    script_until(script, "C > A sync_begin ");
    script_expect_line(script, "op 2 commit 1");
    script_until(script, "A: * waiting -> claiming");
    script_until(script, "A: * claiming -> acting");
    script_release(script, A, C);
    script_until(script, "C > A refused fetch * ");
    script_expect_line(script, "stale_term");
    script_publish_again(script, A, message);
    script_until(script, "seq 2, duplicate");
    script_end(script);
}

/* 36 */
static void a_copy_that_was_dropped_after_its_report_is_not_asked_for_again(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->limits.channel_idle_ms = 2000;
    script_begin(script, "BC");
    script_silence_clients(script);
    (void)script_commit(script, B);
    script_lose(script, RH_PEER_LEAVE, B, C, 1000);
    script_pass(script, 300000);
    script_until(script, "B: * acting -> closing");
    script_start(script, A);
    script_until(script, "C > A report * ");
    (void)script_publish(script, A);
    script_until(script, "A: * absent -> waiting");
    script_let(script);
    script_hold(script, RH_PEER_REPORT, C, A, 1000);
    script_until(script, "C: * replica -> absent");
    script_until(script, "B: * closing -> waiting");
    script_until(script, "A > C fetch * ");
    script_until(script, "C > A refused fetch * ");
    script_expect_line(script, "no_copy");
    script_until(script, "A: * waiting -> claiming");
    script_let(script);
    script_release(script, C, A);
    script_until(script, "A: * commits 1");
    script_end(script);
}

/* 42 */
static void a_member_whose_loss_was_skipped_is_confirmed_anew(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_forget(script);
    script_expire(script, B);
    script_until(script, "B: * replica -> suspect");
    script_until(script, "B > A report *");
    script_until(script, "A > B append *");
    script_until(script, "B: * suspect -> replica");
    script_end(script);
}

/* All are lost, all are back, nothing is missing (12.7). */
static void a_mass_expiry_costs_a_moment(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    uint64_t message = script_commit(script, A);
    script_forget(script);
    script_expire(script, A);
    script_expire(script, B);
    script_expire(script, C);
    script_until(script, "A: * acting -> suspect");
    script_until(script, "A: * suspect -> claiming");
    script_until(script, "A: * claiming -> acting");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_expect_not(script, "moved from");
    script_expect_not(script, "not recovered");
    script_end(script);
}

/* 10 */
static void zookeeper_comes_back_empty_and_incarnations_are_kept(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    uint64_t message = script_commit(script, A);
    script_forget(script);
    script_zookeeper(script, false);
    script_pass(script, 100);
    script_wipe(script);
    script_zookeeper(script, true);
    script_until(script, "A: * acting -> suspect");
    script_until(script, "A: * claiming -> acting 62790/");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_expect_not(script, "not recovered");
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_node_that_drains_and_dies_while_it_acts_is_succeeded),
        RH_TEST(a_group_that_expired_finds_that_others_have_acted),
        RH_TEST(a_new_owner_that_dies_at_once_has_let_nobody_go),
        RH_TEST(whoever_evicted_a_group_waits_until_it_has_stopped),
        RH_TEST(a_replica_that_starts_again_holds_nothing),
        RH_TEST(what_a_woken_owner_had_not_committed_is_replaced),
        RH_TEST(a_higher_term_ranks_above_a_longer_log),
        RH_TEST(an_append_of_an_older_term_is_refused),
        RH_TEST(whoever_reports_a_copy_is_in_the_group_of_a_takeover),
        RH_TEST(a_copy_that_nobody_counts_on_ranks_below_and_is_waited_for),
        RH_TEST(a_copy_that_no_group_names_does_not_go_on_as_if_it_had_all),
        RH_TEST(a_suspect_copy_saves_no_wait),
        RH_TEST(a_loss_that_was_never_seen_is_waited_for),
        RH_TEST(a_copy_that_grew_after_its_report_is_fetched_as_it_is),
        RH_TEST(a_copy_that_was_dropped_after_its_report_is_not_asked_for_again),
        RH_TEST(a_member_whose_loss_was_skipped_is_confirmed_anew),
        RH_TEST(a_mass_expiry_costs_a_moment),
        RH_TEST(zookeeper_comes_back_empty_and_incarnations_are_kept),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
