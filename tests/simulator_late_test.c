/* SPDX-License-Identifier: Apache-2.0 */

/* Frames that are lost, late or overtaken, and answers that come to another question: schedules of
 * docs/protocol-cluster.md, section 15, that were found while this was built. */

#include "node/core_inspect.h"
#include "tests/simulator_node.h"
#include "tests/simulator_script.h"
#include "tests/test.h"

static struct rh_copy_info copy_at(const struct script *script, int letter)
{
    struct rh_copy_info info = {0};
    assert_true(rh_core_copy_find(script->sim->nodes[script_node(script, letter)]->core,
                                  rh_bytes_text(SCRIPT_KEY), &info));
    return info;
}

/* Which term gave the operation, as far as that copy knows. */
static struct rh_term term_at(const struct script *script, int letter, uint64_t op)
{
    struct rh_term term = {0};
    assert_non_null(rh_core_copy_entry(script->sim->nodes[script_node(script, letter)]->core,
                                       rh_bytes_text(SCRIPT_KEY), op, &term));
    return term;
}

static struct rh_core_inside inside_of(const struct script *script, int letter)
{
    struct rh_core_inside inside;
    rh_core_inside(script->sim->nodes[script_node(script, letter)]->core, &inside);
    return inside;
}

/* B acts, and A, which owns the key when it has its weight, is about to take it. */
static struct script *with_a_copy_at_another(int nodes, const char *letters, uint64_t *ret_message)
{
    struct script *script = script_create(nodes, 1, letters);
    script_weight(script, A, 0);
    scenario_rest(script->scenario);
    *ret_message = script_commit(script, B);
    script_forget(script);
    return script;
}

/* 52 */
static void an_end_marker_without_its_reports_does_not_count(void **state RH_UNUSED)
{
    uint64_t message;
    struct script *script = with_a_copy_at_another(3, "ABC", &message);
    script_lose(script, RH_PEER_REPORT, B, A, 1);
    script_lose(script, RH_PEER_SYNC_BEGIN, B, A, 1000); /* nor is it handed over */
    script_weight(script, A, 1000);
    script_adopt(script, "AB");
    (void)script_publish(script, A);
    script_never(script, 2000, "A: * waiting -> claiming", NULL);
    script_let(script);
    script_until(script, "A: * claiming -> acting");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_cut(script, A, B, true);
    script_until(script, "B: link to A: down");
    script_cut(script, A, B, false);
    script_end(script);
}

/* 53 */
static void reports_that_were_lost_by_a_third_node_are_told_again(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    script_weight(script, A, 0);
    scenario_rest(script->scenario);
    uint64_t message = script_commit(script, B);
    script_cut(script, A, B, true);
    script_cut(script, A, C, true);
    script_until(script, "C: link to A: down");
    script_lose(script, RH_PEER_RELAY, D, A, 1000000);
    script_weight(script, A, 1000);
    script_until(script, "A: adopts");
    script_crash(script, B); /* C has the only copy, and nothing to do but to report it */
    script_forget(script);
    script_pass(script, 4000);
    script_let(script);
    script_until(script, "A: * claiming -> acting");
    script_expect_not(script, "link to A: up");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_cut(script, A, B, false);
    script_cut(script, A, C, false);
    script_end(script);
}

/* A acts with C, and B joins, for which C has to go. It was sent a second operation, which is not
 * committed as B does not say that it has it. |acked|: C does, and is heard. Then it drops its copy as
 * it is asked to, and is not heard; and B loses its weight, so that C has to have one again. */
static struct script *with_a_member_that_obeyed(bool acked)
{
    struct script *script = script_create(4, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_until(script, "A: * group {A C B}");
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1);
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    if (!acked) {
        script_hold(script, RH_PEER_APPEND_ACK, C, A, 1000);
    }
    (void)script_publish(script, A);
    script_until(script, "C > A append_ack * 7.1 2");
    script_pass(script, 1);
    script_lose(script, RH_PEER_LEAVE_ACK, C, A, 1000);
    script_lose(script, RH_PEER_REPORT, C, A, 1000); /* that its copy is gone */
    script_release(script, B, A);
    script_until(script, "C: * replica -> absent");
    script_weight(script, B, 0);
    script_adopt(script, "AC");
    script_forget(script);
    script_let(script);
    return script;
}

/* 54 */
static void a_member_that_obeyed_a_leave_of_before_counts_for_nothing(void **state RH_UNUSED)
{
    struct script *script = with_a_member_that_obeyed(true);
    script_lose(script, RH_PEER_SYNC_BEGIN, A, C, 1000);
    script_never(script, 2000, "A: * commits 2", NULL);
    script_expect(script, "B > A append_ack * 7.1 2");
    script_let(script);
    script_until(script, "A: * commits 2");
    script_end(script);
}

/* 55 */
static void an_answer_from_before_a_leave_is_no_answer_after_it(void **state RH_UNUSED)
{
    struct script *script = with_a_member_that_obeyed(false);
    script_lose(script, RH_PEER_SYNC_BEGIN, A, C, 1000);
    script_lose(script, RH_PEER_APPEND, A, C, 1000);
    script_release(script, C, A);
    script_never(script, 2000, "A: * commits 2", NULL);
    script_expect(script, "B > A append_ack * 7.1 2");
    script_let(script);
    script_until(script, "A: * commits 2");
    script_end(script);
}

/* 56 */
static void a_node_joins_a_channel_that_always_has_something_in_flight(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_hold(script, RH_PEER_SYNC_ACK, B, A, 1);
    script_until(script, "B > A sync_ack");
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_lose(script, RH_PEER_APPEND_ACK, C, A, 1000);
    (void)script_publish(script, A);
    script_pass(script, 5);
    script_release(script, B, A); /* it has what is committed, and not what is in flight */
    script_until(script, "A: * group {A C B}");
    script_expect_not(script, "A: * commits 2");
    script_let(script);
    script_until(script, "A: * commits 2");
    script_end(script);
}

/* G1 */
static void who_lacks_what_is_committed_is_no_member_yet(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_hold(script, RH_PEER_SYNC_ACK, B, A, 1);
    script_until(script, "B > A sync_ack");
    script_lose(script, RH_PEER_APPEND, A, B, 1000);
    (void)script_commit(script, A); /* without it */
    script_release(script, B, A);
    script_never(script, 300, "A: * group {A C B}", NULL);
    script_let(script);
    script_until(script, "A: * group {A C B}");
    script_end(script);
}

/* 57 */
static void a_member_that_was_lost_is_doubted_before_it_reports(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AB");
    (void)script_commit(script, A);
    script_pass(script, 1000);
    script_forget(script);
    script_hold(script, RH_PEER_REPORT, B, A, 1000);
    script_hold(script, RH_PEER_REPORT_END, B, A, 1000);
    script_expire(script, B);
    script_until(script, "B: * replica -> suspect");
    script_until(script, "A: adopts");
    script_until(script, "B: * suspect -> replica");
    script_let(script);
    script_release(script, B, A);
    script_end(script);
}

/* 58 */
static void a_join_that_comes_late_makes_nobody_suspect(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_SYNC_ACK, B, A, 1);
    script_start(script, B);
    script_until(script, "B > A sync_ack");
    script_hold(script, RH_PEER_SYNC_BEGIN, A, B, 1);
    script_until(script, "B: * joining -> replica");
    script_forget(script);
    script_release(script, A, B);
    script_pass(script, 50);
    script_expect_not(script, "B: * replica -> ");
    assert_false(copy_at(script, B).suspect);
    script_end(script);
}

/* 59 */
static void an_append_that_was_overtaken_does_not_bring_its_group(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_hold(script, RH_PEER_APPEND, A, B, 1);
    script_until(script, "A: * group {A C B}");
    script_until(script, "A: * group {A B}");
    (void)script_commit(script, A);
    script_pass(script, 1000);
    assert_int_equal(copy_at(script, B).group_count, 2);
    script_release(script, A, B);
    script_pass(script, 50);
    assert_int_equal(copy_at(script, B).group_count, 2);
    script_end(script);
}

/* 60 */
static void an_own_is_refused_by_who_was_lost_and_is_back(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "BC");
    (void)script_commit(script, B);
    script_hold(script, RH_PEER_OWN, B, A, 1000);
    script_start(script, A);
    script_until(script, "B: * gated -> passing");
    script_expire(script, A);
    script_until(script, "A: * replica -> suspect");
    script_adopt(script, "AB");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "A: * refuses own of B");
    script_until(script, "B: * passing -> replica");
    script_until(script, "A: * claiming -> acting");
    script_end(script);
}

/* 61 */
static void an_answer_to_what_was_sent_again_meanwhile_counts(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1);
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_until(script, "A: * group {A C B}");
    script_forget(script);
    script_until(script, "A > B append * ");
    script_until(script, "A > B append * "); /* the same again */
    script_expect_not(script, "A > C leave * ");
    script_pass(script, 5);
    script_release(script, B, A);
    script_pass(script, 5);
    script_expect(script, "A > C leave * ");
    script_let(script);
    script_end(script);
}

/* 62 */
static void replicas_of_a_silent_channel_hear_that_all_is_committed(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AB");
    (void)script_commit(script, A);
    assert_true(copy_at(script, B).commit == 0);
    script_pass(script, 1000);
    assert_true(copy_at(script, B).commit == 1);
    script_end(script);
}

/* 51 */
static void what_is_remembered_of_a_copy_that_was_dropped_is_forgotten(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AC");
    (void)script_commit(script, A);
    script_start(script, B);
    script_until(script, "C: * replica -> absent");
    scenario_rest(script->scenario);
    assert_true(inside_of(script, C).tombs > 0);
    script_pass(script, 61000); /* in one view */
    assert_true(inside_of(script, C).tombs == 0);
    script_end(script);
}

/* 64 */
static void what_a_copy_keeps_through_a_short_sync_keeps_its_terms(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->limits.log_age_ms = 1800000;
    script_begin(script, "BC");
    (void)script_commit(script, B);
    struct rh_term first = term_at(script, B, 1);
    script_expire(script, B);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    struct rh_term second = term_at(script, B, 2);
    assert_true(rh_term_compare(second, first) > 0);
    script_start(script, A);
    script->sim->nodes[script_node(script, A)]->skew_ms = 3600000; /* all is old to it */
    script_until(script, "A: * absent -> joining");
    script_expect_line(script, "op 2 commit 2");
    assert_true(copy_at(script, A).first_op == 3);
    script_until(script, "A > B sync_begin ");
    script_expect_line(script, "op 2 commit 2 after 2");
    script_until(script, "A: * claiming -> acting");
    assert_true(copy_at(script, B).first_op == 1);
    assert_true(rh_term_equal(term_at(script, B, 1), first));
    assert_true(rh_term_equal(term_at(script, B, 2), second));
    script_end(script);
}

/* 69 */
static void a_refusal_that_is_heard_of_late_is_asked_about_again(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AB");
    script_lose(script, RH_PEER_APPEND, A, B, 1);
    script_hold(script, RH_PEER_REFUSED, B, A, 1);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1);
    (void)script_publish(script, A);
    script_until(script, "A > B append * ");
    (void)script_publish(script, A);
    script_until(script, "B > A refused append * "); /* it lacks the first */
    script_expect_line(script, "gap, has 0.0 op 0");
    script_until(script, "A > B append * "); /* both, as nothing was heard */
    script_until(script, "B > A append_ack * ");
    script_let(script);
    script_release(script, B, A);
    script_until(script, "A: * commits 2");
    script_until(script, "none after 2 commit 2 {A B}"); /* does it have it, or not? */
    script_until(script, "B > A append_ack * ");
    script_end(script);
}

/* 70 */
static void frames_of_an_epoch_that_is_lost_are_not_held_for_ever(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "A");
    script_lose(script, RH_PEER_VIEW, A, B, 1000000);
    script_start(script, B);
    script_until(script, "zookeeper: register of B: 0");
    script_cut_zookeeper(script, B, true); /* does not hear of it */
    script_until(script, "A > B report_end");
    script_pass(script, 100);
    assert_true(inside_of(script, B).held_bytes > 0);
    script_crash(script, A);
    script_zookeeper(script, false);
    script_pass(script, 100);
    script_wipe(script);
    script_zookeeper(script, true);
    script_let(script);
    script_start(script, A);
    script_until(script, "A: adopts");
    script_cut_zookeeper(script, B, false);
    script_until(script, "B: adopts");
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(what_is_remembered_of_a_copy_that_was_dropped_is_forgotten),
        RH_TEST(an_end_marker_without_its_reports_does_not_count),
        RH_TEST(reports_that_were_lost_by_a_third_node_are_told_again),
        RH_TEST(a_member_that_obeyed_a_leave_of_before_counts_for_nothing),
        RH_TEST(an_answer_from_before_a_leave_is_no_answer_after_it),
        RH_TEST(a_node_joins_a_channel_that_always_has_something_in_flight),
        RH_TEST(who_lacks_what_is_committed_is_no_member_yet),
        RH_TEST(a_member_that_was_lost_is_doubted_before_it_reports),
        RH_TEST(a_join_that_comes_late_makes_nobody_suspect),
        RH_TEST(an_append_that_was_overtaken_does_not_bring_its_group),
        RH_TEST(an_own_is_refused_by_who_was_lost_and_is_back),
        RH_TEST(an_answer_to_what_was_sent_again_meanwhile_counts),
        RH_TEST(replicas_of_a_silent_channel_hear_that_all_is_committed),
        RH_TEST(what_a_copy_keeps_through_a_short_sync_keeps_its_terms),
        RH_TEST(a_refusal_that_is_heard_of_late_is_asked_about_again),
        RH_TEST(frames_of_an_epoch_that_is_lost_are_not_held_for_ever),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
