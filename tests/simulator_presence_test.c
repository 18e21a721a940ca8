/* SPDX-License-Identifier: Apache-2.0 */

/* Presence with replication (docs/presence.md): the subscriber of the channel, c0, is present and
 * watches. That what it is told fits to what it was told before is checked by the simulator. */

#include "tests/simulator_node.h"
#include "tests/simulator_script.h"
#include "tests/test.h"

/* Longer than any grace. */
#define LONG_MS (SIM_PRESENCE_GRACE_MS + SIM_PRESENCE_MOVE_MS + 5000)

static struct script *begin(int nodes, const char *letters)
{
    struct script *script = script_prepare(nodes, 2);
    script->sim->present = true;
    script_begin(script, letters);
    return script;
}

/* Nobody joined or left anywhere, in any channel, whoever watches. */
static void expect_silence(struct script *script, size_t begun)
{
    script_never(script, LONG_MS, "c0 joined", "c0 left", NULL);
    (void)fflush(script->scenario->trace);
    assert_null(strstr(script->scenario->text + begun, "joins"));
}

static void a_planned_move_is_silent(void **state RH_UNUSED)
{
    struct script *script = begin(4, "ABC");
    size_t begun = script->scenario->read;
    script_weight(script, A, 0);
    script_until(script, "B: * claiming -> acting");
    script_until(script, "B: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_weight(script, A, 1000);
    script_until(script, "A: * claiming -> acting");
    script_until(script, "A: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_end(script);
}

static void a_node_that_joins_takes_the_list_with_the_channel(void **state RH_UNUSED)
{
    struct script *script = begin(4, "BCD");
    size_t begun = script->scenario->read;
    script_start(script, A);
    script_until(script, "A: * claiming -> acting");
    script_until(script, "A: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_end(script);
}

static void who_comes_back_after_the_death_of_the_owner_makes_no_noise(void **state RH_UNUSED)
{
    struct script *script = begin(3, "ABC");
    size_t begun = script->scenario->read;
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_until(script, "B: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_end(script);
}

static void a_new_replica_has_the_list_too(void **state RH_UNUSED)
{
    struct script *script = begin(4, "ABCD");
    size_t begun = script->scenario->read;
    script_crash(script, B);
    script_until(script, "C: * joining -> replica");
    script_pass(script, 1000);
    script_crash(script, A);
    script_until(script, "C: * claiming -> acting");
    expect_silence(script, begun);
    script_end(script);
}

static void who_does_not_leaves_once_and_within_the_bound(void **state RH_UNUSED)
{
    struct script *script = begin(3, "ABC");
    script_silence_clients(script);
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_never(script, SIM_PRESENCE_GRACE_MS, "B: joins", NULL);
    script_pass(script, SIM_PRESENCE_MOVE_MS + 1000);
    assert_true(script_has(script, "B: joins 0 leaves 1"));
    script_never(script, LONG_MS, "B: joins", NULL);
    script_abandon(script);
}

static void who_goes_in_the_middle_of_a_move_leaves_at_the_new_owner(void **state RH_UNUSED)
{
    struct script *script = begin(4, "ABC");
    script_hold(script, RH_PEER_OWN, A, B, 1);
    script_weight(script, A, 0);
    script_until(script, "A: * gated -> passing");
    script_silence_clients(script);
    script_pass(script, 100);
    script_let(script);
    script_release(script, A, B);
    script_until(script, "B: * claiming -> acting");
    script_until(script, "leaves 1"); /* B has another channel's joins as well */
    script_never(script, LONG_MS, "joins", NULL);
    script_abandon(script);
}

static void the_list_goes_right_before_own_whatever_was_lost_before(void **state RH_UNUSED)
{
    struct script *script = script_prepare(4, 2);
    script->sim->present = true;
    script_lose(script, RH_PEER_PRESENCE, SCRIPT_ANY, SCRIPT_ANY, 1000);
    script_lose(script, RH_PEER_OWN, SCRIPT_ANY, SCRIPT_ANY, 1000);
    script_begin(script, "ABC");
    size_t begun = script->scenario->read;
    script_weight(script, A, 0);
    script_until(script, "A: * gated -> passing");
    script_pass(script, 100);
    script_let(script); /* `Own` is repeated, with the list before it */
    script_until(script, "B: * claiming -> acting");
    script_until(script, "B: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_end(script);
}

/* What may be missed, and that it comes to nothing worse. */
static void
without_the_list_who_comes_back_joins_again_and_nobody_is_a_ghost(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 2);
    script->sim->present = true;
    script_lose(script, RH_PEER_PRESENCE, SCRIPT_ANY, SCRIPT_ANY, 1000);
    script_begin(script, "ABC");
    script_crash(script, A);
    script_until(script, "B: * claiming -> acting");
    script_until(script, "B: joins 1 leaves 0");
    script_never(script, LONG_MS, "c0 left", "B: joins", NULL);
    script_end(script);
}

/* It served with R = 1, so that it never had to send its list but with `Own`. */
static void
who_acted_alone_and_is_a_replica_now_gives_its_list_to_who_fetches(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 1);
    script->sim->present = true;
    script_begin(script, "ABC");
    size_t begun = script->scenario->read;
    script_lose(script, RH_PEER_LEAVE, B, A, 1000);
    script_lose(script, RH_PEER_PRESENCE, B, A, 1000);
    script_weight(script, A, 0);
    script_until(script, "B: * claiming -> acting");
    script_crash(script, B);
    script_until(script, "C > A fetch");
    script_until(script, "A > C presence");
    script_let(script);
    script_until(script, "C: * claiming -> acting");
    script_until(script, "C: c0 is told that c0 is there");
    expect_silence(script, begun);
    script_end(script);
}

/* A second client of the channel, c7, of whom no simulated client hears. */
static void attend(struct script *script, int letter)
{
    struct sim_ask ask = {.connection = 1000000, .client = 7, .key = SCRIPT_KEY};
    sim_node_ask(script->sim, script_node(script, letter), &ask);
}

/* Another node acted for a while, in a view that A passed over: the stream has not noticed. */
static void who_stayed_is_told_what_it_missed(void **state RH_UNUSED)
{
    struct script *script = begin(3, "ABC");
    script_firewall(script, C, A, true);
    script_until(script, "A: is lost");
    script_firewall(script, C, A, false);
    script_until(script, "B: * claiming -> acting");
    attend(script, B);
    script_until(script, "B: c7 is told that c7 is there");
    script_until(script, "A: * claiming -> acting");
    script_until(script, "A: c0 is told that c7 is there");
    script_expect_not(script, "moved from A");
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_planned_move_is_silent),
        RH_TEST(a_node_that_joins_takes_the_list_with_the_channel),
        RH_TEST(who_comes_back_after_the_death_of_the_owner_makes_no_noise),
        RH_TEST(a_new_replica_has_the_list_too),
        RH_TEST(who_does_not_leaves_once_and_within_the_bound),
        RH_TEST(who_goes_in_the_middle_of_a_move_leaves_at_the_new_owner),
        RH_TEST(the_list_goes_right_before_own_whatever_was_lost_before),
        RH_TEST(without_the_list_who_comes_back_joins_again_and_nobody_is_a_ghost),
        RH_TEST(who_acted_alone_and_is_a_replica_now_gives_its_list_to_who_fetches),
        RH_TEST(who_stayed_is_told_what_it_missed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
