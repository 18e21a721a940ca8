/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of docs/protocol-cluster.md, section 15: who may commit, and who may create. */

#include "tests/simulator_script.h"
#include "tests/test.h"

#define NOT_YET "the core does not ask for its right yet"

/* 2 */
static void a_group_without_zookeeper_stops_while_the_rest_have_it(void **state RH_UNUSED)
{
    script_pending(NOT_YET);
    struct script *script = script_create(4, 2, "ABCD");
    (void)script_commit(script, A);
    script_cut_zookeeper(script, A, true);
    script_cut_zookeeper(script, B, true);
    script_pass(script, 3000);
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

/* 12.6: nobody has ZooKeeper, all have each other. */
static void an_outage_of_zookeeper_stops_nobody(void **state RH_UNUSED)
{
    script_pending(NOT_YET);
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

/* 20 */
static void a_node_that_seems_dead_is_missed_among_the_leases(void **state RH_UNUSED)
{
    script_pending(NOT_YET);
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
    script_pending(NOT_YET);
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
    script_pending(NOT_YET);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_group_without_zookeeper_stops_while_the_rest_have_it),
        RH_TEST(an_outage_of_zookeeper_stops_nobody),
        RH_TEST(a_node_that_seems_dead_is_missed_among_the_leases),
        RH_TEST(a_newcomer_waits_for_losses_before_its_time),
        RH_TEST(a_node_stops_as_soon_as_it_reads_that_it_was_evicted),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
