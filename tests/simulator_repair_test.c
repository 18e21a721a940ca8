/* SPDX-License-Identifier: Apache-2.0 */

/* What a lost frame or a bad moment must not leave behind for ever: schedules of
 * docs/protocol-cluster.md, section 15, that were found while this was built. */

#include "tests/simulator_script.h"
#include "tests/test.h"

/* 45 */
static void a_channel_is_closed_although_its_member_dies(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->limits.channel_idle_ms = 2000;
    script_begin(script, "ABC");
    script_silence_clients(script);
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_LEAVE, A, B, 100);
    script_pass(script, 300000);
    script_until(script, "A: * acting -> closing");
    script_crash(script, B);
    script_until(script, "A: * closing -> absent");
    script_let(script);
    script_end(script);
}

/* 46 */
static void whoever_owns_a_channel_hears_that_it_was_closed(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->limits.channel_idle_ms = 2000;
    script_begin(script, "BC");
    script_silence_clients(script);
    (void)script_commit(script, B);
    script_lose(script, RH_PEER_LEAVE, B, C, 100);
    script_pass(script, 300000);
    script_until(script, "B: * acting -> closing");
    script_start(script, A);
    script_until(script, "A: adopts");
    script_pass(script, 7000); /* it has its weight */
    (void)script_publish(script, A);
    script_until(script, "A > B publish"); /* who acts, as far as A knows: there it waits */
    script_let(script);
    script_until(script, "B: * closing -> waiting");
    script_until(script, "B > A report");
    script_until(script, "A: * waiting -> claiming");
    script_until(script, "A: * commits 1");
    script_end(script);
}

/* 47 */
static void a_sync_whose_end_nobody_confirmed_begins_anew(void **state RH_UNUSED)
{
    struct script *script = script_prepare(4, 2);
    script->sim->limits.padding = 900;
    script->sim->limits.log_messages = 1000;
    script_begin(script, "ABC");
    for (unsigned i = 0; i < 200; i++) {
        (void)script_commit(script, A);
    }
    script_crash(script, B);
    script_until(script, "C > A sync_ack");
    script_lose(script, RH_PEER_SYNC_ACK, C, A, 6);
    script_until(script, "C: * absent -> joining");
    script_pass(script, 5000);
    script_let(script);
    script_until(script, "A: * group {A C}");
    script_end(script);
}

/* 48 */
static void a_log_that_goes_on_without_a_newcomer_is_sent_anew(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->limits.log_messages = 4;
    script_begin(script, "ABC");
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_SYNC_ACK, C, A, 1);
    script_weight(script, B, 0);
    script_until(script, "C: * absent -> joining");
    for (unsigned i = 0; i < 10; i++) {
        (void)script_commit(script, A);
    }
    script_let(script);
    script_release(script, C, A);
    script_until(script, "A: * group {A B C}");
    script_end(script);
}

/* 49 */
static void whoever_waits_at_a_gate_goes_on_when_a_view_opens_it(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script_begin(script, "ABC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_weight(script, A, 0);
    script_until(script, "A: adopts");
    (void)script_publish(script, A);
    for (unsigned i = 0; i < 5000 && !script_has(script, "A: * acting -> gated"); i++) {
        script_pass(script, 1);
    }
    script_expect(script, "A: * acting -> gated");
    (void)script_publish(script, A);
    script_weight(script, A, 1000);
    script_let(script);
    script_until(script, "A: * gated -> acting");
    script_until(script, "A: * commits 3");
    script_end(script);
}

/* H1 */
static void a_gate_that_leads_to_no_handing_over_is_opened(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_weight(script, A, 0);
    script_until(script, "A: adopts");
    (void)script_publish(script, A);
    script_until(script, "A: * acting -> gated");
    script_until(script, "A: * gated -> acting");
    script_let(script);
    script_until(script, "B: * claiming -> acting");
    script_end(script);
}

/* 50 */
static void a_node_that_is_alone_goes_on_without_zookeeper(void **state RH_UNUSED)
{
    struct script *script = script_create(1, 2, "A");
    (void)script_commit(script, A);
    script_zookeeper(script, false);
    script_pass(script, 20000);
    (void)script_commit(script, A);
    script_zookeeper(script, true);
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_channel_is_closed_although_its_member_dies),
        RH_TEST(whoever_owns_a_channel_hears_that_it_was_closed),
        RH_TEST(a_sync_whose_end_nobody_confirmed_begins_anew),
        RH_TEST(a_log_that_goes_on_without_a_newcomer_is_sent_anew),
        RH_TEST(whoever_waits_at_a_gate_goes_on_when_a_view_opens_it),
        RH_TEST(a_gate_that_leads_to_no_handing_over_is_opened),
        RH_TEST(a_node_that_is_alone_goes_on_without_zookeeper),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
