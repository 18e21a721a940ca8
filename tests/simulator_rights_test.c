/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: who may commit, and who may create. */

#include "tests/simulator_node.h"
#include "tests/simulator_script.h"
#include "tests/simulator_zookeeper.h"
#include "tests/test.h"

#include <string.h>

/* 2 */
static void a_group_without_zookeeper_stops_while_the_rest_have_it(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_VIEW, SCRIPT_ANY, SCRIPT_ANY, 1000000); /* V10 */
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_pass(script, 3000);
    script_expect_not(script, "C > A lease_grant");
    script_expect(script, "A > C lease_ask");
    (void)script_publish(script, A);
    script_until(script, "C: adopts");
    script_expect_not(script, "C > A lease_grant");
    script_expect_not(script, "A: * commits 2");
    (void)script_publish(script, C);
    script_never(script, 3900, "C: * waiting -> claiming", NULL);
    script_until(script, "C: * claiming -> acting");
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_until(script, "A: * acting -> suspect");
    script_end(script);
}

/* V10 */
static void
who_is_cut_off_from_zookeeper_hears_from_the_others_that_it_is_out(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 1, "ABC");
    (void)script_commit(script, A);
    script_cut_zookeeper(script, A, true);
    script_until(script, "B: adopts");
    script_until(script, "A: * acting -> suspect");
    script_until(script, "A: adopts");
    script_until(script, "moved from A");
    script_cut_zookeeper(script, A, false);
    script_end(script);
}

/* 12.6: nobody has ZooKeeper, all have each other. */
static void an_outage_of_zookeeper_stops_nobody(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "ABC");
    (void)script_commit(script, A);
    script_zookeeper(script, false);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before_ms = script->sim->now_ms;
        (void)script_commit(script, A);
        assert_true(script->sim->now_ms - before_ms < 50);
        script_pass(script, 500);
    }
    script_expect_not(script, "client 0: n");
    script_zookeeper(script, true);
    script_end(script);
}

/* That A and B were left out of a view, and that D has no copy any more. */
static void keep_from_a_and_b(struct script *script)
{
    script_lose(script, RH_PEER_VIEW, SCRIPT_ANY, A, 1000); /* V10 */
    script_lose(script, RH_PEER_VIEW, SCRIPT_ANY, B, 1000);
    script_lose(script, RH_PEER_LEAVE_ACK, D, A, 1000);
    script_lose(script, RH_PEER_REPORT, D, A, 1000);
}

/* G4: the proof that A goes by is of D, which has dropped its copy and so is no reason for C to wait. */
static void nothing_is_committed_while_a_leave_is_unanswered(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ACD");
    script_weight(script, C, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, A);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1);
    script_lose(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_start(script, B);
    script_until(script, "A: * group {A D B}");
    script_weight(script, C, 1000);
    script_until(script, "C: adopts");
    keep_from_a_and_b(script);
    script_cut(script, A, C, true);
    script_cut(script, B, C, true);
    script_until(script, "C: link to A: down");
    script_pass(script, 200);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_pass(script, 3000);
    script_cut(script, C, D, true); /* D waits for A and B, and does not hear that C does not */
    script_until(script, "C: adopts");
    script_pass(script, 1400);
    script_forget(script);
    script_until(script, "check of D: 0"); /* its proof is fresh */
    script_pass(script, 2);
    (void)script_publish(script, A);
    script_until(script, "D > A append_ack * ");
    script_pass(script, 2);
    script_release(script, B, A); /* that it knows the group */
    script_until(script, "A > D leave * ");
    script_until(script, "D: * replica -> absent");
    script_let(script);
    keep_from_a_and_b(script);
    script_hold(script, RH_PEER_APPEND_ACK, B, A, 1000);
    script_cut(script, C, D, false);
    script_until(script, "D: adopts");
    (void)script_publish(script, C);
    script_until(script, "C: * claiming -> acting");
    script_release(script, B, A); /* that it has the operation, as D had */
    script_never(script, 600, "A: * commits 2", NULL);
    for (int letter = A; letter <= B; letter++) {
        script_cut(script, letter, C, false);
        script_cut_zookeeper(script, letter, false);
    }
    script_end(script);
}

/* R4 */
static void a_lease_counts_from_when_it_was_asked_for(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "AB");
    script_zookeeper(script, false);
    script_pass(script, 3500);
    (void)script_commit(script, A); /* by leases */
    script_hold(script, RH_PEER_LEASE_GRANT, B, A, 1);
    script_lose(script, RH_PEER_LEASE_GRANT, B, A, 1000);
    script_until(script, "B > A lease_grant");
    script_pass(script, 1900);
    script_release(script, B, A); /* B is bound no longer */
    (void)script_publish(script, A);
    script_never(script, 1500, "A: * commits 2", NULL);
    script_let(script);
    script_until(script, "A: * commits 2");
    script_zookeeper(script, true);
    script_end(script);
}

/* 20 */
static void a_node_that_seems_dead_is_missed_among_the_leases(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "AB");
    (void)script_commit(script, A);
    script_zookeeper(script, false);
    script_firewall(script, A, B, true);
    script_firewall(script, B, A, true);
    script_pass(script, 3000);
    (void)script_publish(script, A);
    script_never(script, 5500, "A: * commits 2", NULL);
    script_firewall(script, A, B, false);
    script_firewall(script, B, A, false);
    script_zookeeper(script, true);
    script_end(script);
}

/* 21 */
static void a_newcomer_waits_for_losses_before_its_time(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 1, "BC");
    (void)script_commit(script, B);
    script_cut_zookeeper(script, B, true);
    script_firewall(script, C, B, true);
    script_until(script, "evict of C: 0");
    script_start(script, A);
    script_until(script, "A: adopts");
    (void)script_publish(script, A);
    (void)script_commit(script, B); /* by proof */
    script_never(script, 3900, "A: * waiting -> claiming", "C: * waiting -> claiming", NULL);
    script_firewall(script, C, B, false);
    script_cut_zookeeper(script, B, false);
    script_end(script);
}

/* 24 */
static void a_node_stops_as_soon_as_it_reads_that_it_was_evicted(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_forget(script);
    script_firewall(script, D, A, true);
    script_until(script, "evict of D: 0");
    script_until(script, "A: * acting -> suspect");
    script_expect_not(script, "A: adopts");
    script_firewall(script, D, A, false);
    script_end(script);
}

/* 11 */
static void nodes_of_two_epochs_agree_without_zookeeper(void **state RH_UNUSED)
{
    struct script *script = script_create(5, 2, "ABCD");
    (void)script_commit(script, A);
    script_cut(script, A, C, true);
    script_cut_zookeeper(script, C, true);
    script_start(script, E);
    script_adopt(script, "AB");
    script_zookeeper(script, false);
    script_until(script, "C: adopts");
    script_pass(script, 5000);
    script_expect(script, " relay");
    (void)script_commit(script, A);
    script_cut(script, A, C, false);
    script_cut_zookeeper(script, C, false);
    script_zookeeper(script, true);
    script_end(script);
}

/* 22 */
static void a_lone_newcomer_waits_for_those_who_are_recorded(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 2, "AB");
    (void)script_commit(script, A);
    script_cut(script, A, C, true);
    script_cut(script, B, C, true);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_until(script, "of A expires");
    script_start(script, C);
    script_until(script, "C: adopts");
    script_pass(script, 8000);
    (void)script_commit(script, A); /* by leases */
    (void)script_publish(script, C);
    script_never(script, 6000, "C: * waiting -> claiming", NULL);
    (void)script_commit(script, A);
    script_cut(script, A, C, false);
    script_cut(script, B, C, false);
    script_until(script, "A: * acting -> suspect");
    (void)script_publish(script, C);
    script_until(script, "C: * claiming -> acting");
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_end(script);
}

/* 66 */
static void who_is_waited_for_is_waited_for_in_the_next_generation(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "A");
    (void)script_commit(script, A);
    script_cut(script, A, B, true);
    script_cut_zookeeper(script, A, true);
    script_until(script, "of A expires");
    script_start(script, B);
    script_until(script, "B: record_waits");
    script_zookeeper(script, false);
    script_pass(script, 100);
    script_wipe(script);
    script_zookeeper(script, true);
    script_until(script, "B: adopts 55065/");
    (void)script_publish(script, B);
    script_never(script, 8000, "B: view_recorded", "B: * waiting -> claiming", NULL);
    (void)script_commit(script, A); /* alone in its view */
    script_cut(script, A, B, false);
    script_until(script, "A: * acting -> suspect");
    script_cut_zookeeper(script, A, false);
    script_until(script, "A: * claiming -> acting 55065/");
    script_end(script);
}

/* ZooKeeper loses its data, and only |letter| is there to see it. */
static uint64_t generation_raised_by(struct script *script, int letter)
{
    script_zookeeper(script, false);
    script_pass(script, 100);
    script_wipe(script);
    script_cut_zookeeper(script, A, letter != A);
    script_cut_zookeeper(script, B, letter != B);
    script_zookeeper(script, true);
    script_until(script, letter == A ? "A: adopts" : "B: adopts");
    return script->sim->nodes[script_node(script, letter)]->epoch.generation;
}

/* 68 */
static void a_process_of_the_same_id_that_still_stands_is_a_loss(void **state RH_UNUSED)
{
    struct script *script = script_prepare(3, 1);
    struct sim_node *first = script->sim->nodes[script_node(script, A)];
    struct sim_node *second = script->sim->nodes[script_node(script, C)];
    memcpy(second->id, first->id, sizeof(second->id));
    script_cut(script, A, C, true);
    script_start(script, C);
    script_start(script, B);
    script_pass(script, 20);
    script_start(script, A);
    script_until(script, "C: config_written");
    script_pass(script, 4); /* the list of members, which is empty, is on its way to it */
    script_pause(script, C);
    script_until(script, "A: * claiming -> acting");
    script_cut_zookeeper(script, A, true);
    script_cut(script, A, B, true);
    script_resume(script, C);
    script_until(script, "C: registered");
    script_expect_line(script, "weight=1 replaced=0");
    script_until(script, "C: adopts");
    (void)script_publish(script, C);
    script_until(script, "is recorded");
    (void)script_commit(script, A); /* by proof */
    script_never(script, 3900, "C: * waiting -> claiming", NULL);
    (void)script_publish(script, C);
    script_until(script, "C: * claiming -> acting");
    script_cut_zookeeper(script, A, false);
    script_cut(script, A, B, false);
    script_cut(script, A, C, false);
    script_until(script, "A: must not run");
    script_end(script);
}

/* 71 */
static void generations_that_are_raised_apart_are_not_the_same(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "AB");
    (void)script_commit(script, A);
    script_cut(script, A, B, true);
    uint64_t first = generation_raised_by(script, A);
    uint64_t second = generation_raised_by(script, B);
    assert_true(first > 1 && second > 1 && first != second);
    script_cut(script, A, B, false);
    script_cut_zookeeper(script, A, false);
    script_end(script);
}

/* 25 */
static void a_leader_that_was_deposed_proves_nothing(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 1, "ABC");
    (void)script_commit(script, A);
    sim_zookeeper_strand(script->sim, script_node(script, A), true);
    script_pass(script, 3000);
    (void)script_publish(script, A);
    script_never(script, 5500, "A: * commits 2", NULL);
    sim_zookeeper_strand(script->sim, script_node(script, A), false);
    script_end(script);
}

/* 39 */
static void a_fresh_node_asks_before_it_believes_that_it_is_the_first(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABC");
    uint64_t message = script_commit(script, A);
    script_zookeeper(script, false);
    script_pass(script, 100);
    for (int letter = A; letter <= C; letter++) {
        script_cut_zookeeper(script, letter, true);
    }
    script_wipe(script);
    script_zookeeper(script, true);
    script_start(script, D);
    script_never(script, 5000, "create_config of D: 0", NULL);
    for (int letter = A; letter <= C; letter++) {
        script_cut_zookeeper(script, letter, false);
    }
    script_until(script, "A: * claiming -> acting 62790/");
    script_publish_again(script, A, message);
    script_until(script, "seq 1, duplicate");
    script_end(script);
}

/* 41 */
static void a_member_with_another_weight_is_still_the_one_that_was_recorded(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 1, "AB");
    (void)script_commit(script, A);
    script_lose(script, RH_PEER_REPORT_END, SCRIPT_ANY, SCRIPT_ANY, 100);
    script_weight(script, A, 500);
    script_adopt(script, "AB");
    script_crash(script, B);
    script_until(script, "A: adopts");
    script_pass(script, 1000);
    script_expect(script, "is recorded");
    script_end(script);
}

/* 43 */
static void nobody_comes_to_act_in_an_epoch_that_is_not_recorded(void **state RH_UNUSED)
{
    struct script *script = script_create(4, 2, "ABCD");
    script_weight(script, A, 0);
    scenario_rest(script->scenario);
    (void)script_commit(script, B);
    script_forget(script);
    script_pause(script, D);
    script_weight(script, A, 1000);
    script_until(script, "A: adopts");
    script_never(script, 2500, "B: * gated -> passing", "A: * replica -> claiming", NULL);
    (void)script_commit(script, B);
    script_until(script, "of D expires");
    script_until(script, "B: * gated -> passing");
    script_until(script, "A: * claiming -> acting");
    script_resume(script, D);
    script_end(script);
}

/* 44 */
static void a_member_without_a_way_to_it_stops_its_channels(void **state RH_UNUSED)
{
    struct script *script = script_create(2, 2, "AB");
    (void)script_commit(script, A);
    script_cut(script, A, B, true);
    (void)script_publish(script, A);
    script_never(script, 4000, "A: * commits 2", NULL);
    const struct sim_node *node = script->sim->nodes[script_node(script, A)];
    assert_int_equal(rh_core_stats(node->core)->channels_stalled, 1);
    script_cut(script, A, B, false);
    script_until(script, "A: * commits 2");
    script_end(script);
}

/* R3 */
static void what_was_promised_with_a_lease_is_kept(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 1, "ABC");
    (void)script_commit(script, A);
    script_zookeeper(script, false);
    script_pass(script, 4000);
    script_expect(script, "C > A lease_grant");
    script_cut_zookeeper(script, A, true);
    script_firewall(script, C, A, true);
    script_zookeeper(script, true);
    script_until(script, "evict of C: 0");
    script_never(script, 1000, "C: adopts", NULL);
    script_until(script, "C: adopts");
    script_firewall(script, C, A, false);
    script_cut_zookeeper(script, A, false);
    script_end(script);
}

/* R3 */
static void nobody_is_held_up_for_somebody_who_is_out_of_a_known_view(void **state RH_UNUSED)
{
    struct script *script = script_create(3, 1, "ABC");
    (void)script_commit(script, A);
    script_zookeeper(script, false);
    script_pass(script, 4000);
    script_expect(script, "B > A lease_grant");
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_firewall(script, C, A, true);
    script_zookeeper(script, true);
    script_until(script, "evict of C: 0");
    script_until(script, "C: view_held"); /* for what it promised itself */
    script_zookeeper(script, false);
    script_until(script, "C: adopts");
    script_until(script, "B: view_held");
    script_never(script, 1000, "B: adopts", NULL);
    script_expect_not(script, "B > A lease_grant");
    script_until(script, "B: adopts");
    script_firewall(script, C, A, false);
    script_cut_zookeeper(script, A, false);
    script_cut_zookeeper(script, B, false);
    script_zookeeper(script, true);
    script_end(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_group_without_zookeeper_stops_while_the_rest_have_it),
        RH_TEST(who_is_cut_off_from_zookeeper_hears_from_the_others_that_it_is_out),
        RH_TEST(an_outage_of_zookeeper_stops_nobody),
        RH_TEST(nothing_is_committed_while_a_leave_is_unanswered),
        RH_TEST(a_lease_counts_from_when_it_was_asked_for),
        RH_TEST(a_node_that_seems_dead_is_missed_among_the_leases),
        RH_TEST(a_newcomer_waits_for_losses_before_its_time),
        RH_TEST(a_node_stops_as_soon_as_it_reads_that_it_was_evicted),
        RH_TEST(nodes_of_two_epochs_agree_without_zookeeper),
        RH_TEST(a_lone_newcomer_waits_for_those_who_are_recorded),
        RH_TEST(who_is_waited_for_is_waited_for_in_the_next_generation),
        RH_TEST(a_process_of_the_same_id_that_still_stands_is_a_loss),
        RH_TEST(generations_that_are_raised_apart_are_not_the_same),
        RH_TEST(a_leader_that_was_deposed_proves_nothing),
        RH_TEST(a_fresh_node_asks_before_it_believes_that_it_is_the_first),
        RH_TEST(a_member_with_another_weight_is_still_the_one_that_was_recorded),
        RH_TEST(nobody_comes_to_act_in_an_epoch_that_is_not_recorded),
        RH_TEST(a_member_without_a_way_to_it_stops_its_channels),
        RH_TEST(what_was_promised_with_a_lease_is_kept),
        RH_TEST(nobody_is_held_up_for_somebody_who_is_out_of_a_known_view),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    script_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
