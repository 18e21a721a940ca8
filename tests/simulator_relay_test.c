/* SPDX-License-Identifier: Apache-2.0 */

/* Relayed clients (docs/relay.md) of the channel: c6 and c7 at C, which owns nothing of it. Nobody hears
 * what they are told; the laws of simulator_relay.h hold of it. */

#include "tests/simulator_node.h"
#include "tests/simulator_relay.h"
#include "tests/simulator_script.h"
#include "tests/test.h"

#define CLIENTS 2
#define NUMBER  1000000 /* of their connections */

static void attend_slowly(struct script *script, unsigned pace_ms)
{
    script->sim->options.relay = true;
    for (int i = 0; i < CLIENTS; i++) {
        struct sim_ask ask = {.connection = NUMBER + (uint64_t)i,
                              .client = 6 + i,
                              .may_relay = true,
                              .pace_ms = pace_ms,
                              .key = SCRIPT_KEY};
        sim_node_ask(script->sim, script_node(script, C), &ask);
        script_until(script, "A > C stream_opened");
    }
    script_pass(script, 10);
}

static void attend(struct script *script)
{
    attend_slowly(script, 0);
}

/* Both have been sent what is committed; the laws say whether it is all of it, and by whom. */
static void expect_open(const struct script *script)
{
    for (int i = 0; i < CLIENTS; i++) {
        const struct sim_connection *connection =
            sim_node_connection(script->sim, script_node(script, C), NUMBER + (uint64_t)i);
        assert_non_null(connection);
        assert_true(connection->welcomed && sim_relay_is_open(connection));
    }
}

static void they_go_with_their_channel(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend(script);
    expect_open(script);
    (void)script_commit(script, A);
    script_weight(script, A, 0);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    scenario_rest(script->scenario);
    expect_open(script);
    script_end(script);
}

static void they_outlive_their_owner(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend(script);
    (void)script_commit(script, A);
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    scenario_rest(script->scenario);
    expect_open(script);
    script_end(script);
}

/* Rule 1: one is told that its channel is elsewhere, and the other, before it, was to be. */
static void who_was_not_told_that_its_stream_has_ended_finds_out(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend(script);
    script_lose(script, RH_PEER_STREAM_ENDED, A, C, 1);
    script_weight(script, A, 0);
    script_until(script, "A > C stream_ended");
    script_until(script, "B > C stream_opened");
    script_let(script);
    scenario_rest(script->scenario);
    expect_open(script);
    script_end(script);
}

static void an_owner_that_stood_still_is_not_asked_for_ever(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend(script);
    script_pause(script, A);
    script_until(script, "B: * claiming -> acting");
    (void)script_commit(script, B);
    script_pass(script, 1000);
    expect_open(script);
    script_resume(script, A);
    scenario_rest(script->scenario);
    expect_open(script);
    script_end(script);
}

/* The other one keeps the tunnel. */
static void who_is_gone_is_gone_at_both_ends(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend(script);
    sim_node_hang_up(script->sim, script_node(script, C), NUMBER);
    script_until(script, "C > A stream_close");
    script_end(script);
}

static void one_that_reads_slowly_is_sent_what_it_has_room_for(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend_slowly(script, 100);
    for (int i = 0; i < 10; i++) {
        (void)script_commit(script, A);
    }
    script_until(script, "C > A stream_taken");
    script_end(script);
}

static void who_does_not_act_sends_nothing_for_which_there_is_room_now(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    attend_slowly(script, 100);
    script_hold(script, RH_PEER_STREAM_TAKEN, C, A, 10);
    (void)script_commit(script, A);
    (void)script_commit(script, A); /* one fits */
    script_until(script, "C > A stream_taken");
    script_expire(script, A);
    script_until(script, "A: * acting -> suspect");
    script_let(script);
    script_release(script, C, A);
    script_until(script, "A: * claiming -> acting");
    scenario_rest(script->scenario);
    expect_open(script);
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(they_go_with_their_channel),
        RH_TEST(they_outlive_their_owner),
        RH_TEST(who_was_not_told_that_its_stream_has_ended_finds_out),
        RH_TEST(who_is_gone_is_gone_at_both_ends),
        RH_TEST(one_that_reads_slowly_is_sent_what_it_has_room_for),
        RH_TEST(who_does_not_act_sends_nothing_for_which_there_is_room_now),
        RH_TEST(an_owner_that_stood_still_is_not_asked_for_ever),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
