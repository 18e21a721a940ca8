/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: the state document (N10). */

#include "tests/simulator_script.h"
#include "tests/test.h"

/* 33 */
static void of_two_conditional_writes_in_flight_one_passes(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    script_hold(script, RH_PEER_APPEND, A, B, 100);
    (void)script_put(script, A, 1);
    (void)script_put(script, C, 1);
    script_until(script, "state s3 at C: conflict v2");
    script_expect_not(script, "state s2");
    (void)script_get(script, A);
    script_until(script, "state s4 at A: found v1 s1"); /* what is committed */
    script_let(script);
    script_release(script, A, B);
    script_until(script, "state s2 at A: changed v2");
    (void)script_get(script, C);
    script_until(script, "state s5 at C: found v2 s2");
    script_end(script);
}

/* 34 */
static void writes_have_an_op_and_no_seq(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    for (unsigned i = 0; i < 7; i++) {
        (void)script_commit(script, A);
    }
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    (void)script_publish(script, C);
    script_until(script, "publish m8 at C: seq 8");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    (void)script_publish(script, B);
    script_until(script, "publish m9 at B: seq 9");
    (void)script_get(script, B);
    script_until(script, "state s2 at B: found v1 s1");
    script_end(script);
}

static void a_write_in_flight_is_kept_by_a_takeover_and_known_again(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 100);
    (void)script_put(script, C, 1);
    script_until(script, "B > A append_ack");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_until(script, "state s2 at C: changed v2");
    script_let(script);
    (void)script_get(script, C);
    script_until(script, "state s3 at C: found v2 s2");
    script_end(script);
}

static void versions_count_on_after_a_removal_and_a_takeover(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    (void)script_delete(script, C, 1);
    script_until(script, "state s2 at C: deleted v2");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    (void)script_get(script, B);
    script_until(script, "state s3 at B: none");
    (void)script_put(script, C, 0);
    script_until(script, "state s4 at C: created v3");
    script_end(script);
}

static void a_state_is_handed_over_with_its_channel(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABC");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    (void)script_put(script, A, 1);
    script_until(script, "state s2 at A: changed v2");
    script_weight(script, A, 0);
    script_until(script, "B: * claiming -> acting");
    (void)script_put(script, C, 2);
    script_until(script, "state s3 at C: changed v3");
    (void)script_get(script, A);
    script_until(script, "state s4 at A: found v3 s3");
    script_end(script);
}

/* 65 */
static void the_document_of_another_life_goes_with_it(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_put(script, A, 0);
    script_until(script, "state s1 at A: created v1");
    for (int letter = A; letter <= B; letter++) {
        script_cut(script, letter, C, true);
        script_cut(script, letter, D, true);
        script_cut_zookeeper(script, letter, true);
    }
    script_until(script, "C: adopts");
    (void)script_publish(script, C);
    script_until(script, "C: * waiting -> claiming");
    script_until(script, "C: * commits 1");
    script_forget(script);
    for (int letter = A; letter <= B; letter++) {
        script_cut(script, letter, C, false);
        script_cut(script, letter, D, false);
        script_cut_zookeeper(script, letter, false);
    }
    script_until(script, "C > A sync_begin ");
    script_until(script, "A: * suspect -> joining");
    script_until(script, "A: * claiming -> acting");
    (void)script_get(script, A);
    script_until(script, "state s2 at A: none");
    (void)script_put(script, B, 0);
    script_until(script, "state s3 at B: created v1");
    script_end(script);
}

/* Who comes while the next owner claims is shown what the last one told before it died, and nothing
 * earlier: that is committed in the step in which the channel is served again. */
static void who_waits_for_a_takeover_is_shown_nothing_earlier(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->watching = true;
    script_begin(script, "ABC");
    (void)script_put(script, A, 0);
    script_until(script, "A: c0 is shown v1");
    script_pass(script, 1000);
    script_forget(script);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1);
    (void)script_put(script, A, 1);
    script_until(script, "B > A append_ack");
    script_lose(script, RH_PEER_APPEND, A, B, 100); /* so B does not hear that it is committed */
    script_release(script, B, A);
    script_until(script, "A: c0 is shown v2");
    script_hold(script, RH_PEER_SYNC_ACK, C, B, 100);
    script_crash(script, A);
    script_until(script, "B: * replica -> claiming");
    script_expect_line(script, "op 2 commit 1");
    script_pass(script, 300);
    script_release(script, C, B);
    script_until(script, "B: c0 is shown v");
    script_expect_line(script, "v2");
    script_let(script);
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(of_two_conditional_writes_in_flight_one_passes),
        RH_TEST(writes_have_an_op_and_no_seq),
        RH_TEST(a_write_in_flight_is_kept_by_a_takeover_and_known_again),
        RH_TEST(versions_count_on_after_a_removal_and_a_takeover),
        RH_TEST(a_state_is_handed_over_with_its_channel),
        RH_TEST(the_document_of_another_life_goes_with_it),
        RH_TEST(who_waits_for_a_takeover_is_shown_nothing_earlier),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
