/* SPDX-License-Identifier: Apache-2.0 */

/* Whole clusters, step by step; the trace is the oracle. Nodes are n0, n1, n2. */

#include "tests/simulator_clients.h"
#include "tests/simulator_network.h"
#include "tests/simulator_node.h"
#include "tests/simulator_scenario.h"
#include "tests/simulator_zookeeper.h"
#include "tests/test.h"

#include <stdlib.h>

static void a_process_that_dies_is_out_of_all_views_in_milliseconds(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_node_crash(&scenario->sim, 1);
    scenario_pass(scenario, 10);
    scenario_expect(scenario, "peer_evicted|eviction_failed|adopts",
                    "n0: peer_evicted peer=n1 instance=0000000000000065\n"
                    "n2: eviction_failed peer=n1 instance=0000000000000065 reason=\"its "
                    "registration or ours is gone\"\n"
                    "n0: adopts 1/10: n0 n2\n"
                    "n2: adopts 1/10: n0 n2\n");
    scenario_rest(scenario);
    scenario_destroy(scenario);
}

static void a_process_that_starts_again_is_another_one(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_node_crash(&scenario->sim, 1);
    sim_node_start(&scenario->sim, 1);
    scenario_rest(scenario);
    scenario_expect(scenario, "evict of|register of|adopts",
                    "zookeeper: evict of n0: 0, zxid 11\n"
                    "zookeeper: evict of n2: RH_ERR_NOT_FOUND, zxid 11\n"
                    "n0: adopts 1/11: n0 n2\n"
                    "n2: adopts 1/11: n0 n2\n"
                    "zookeeper: register of n1: 0, zxid 12\n"
                    "n0: adopts 1/12: n0 n1 n2\n"
                    "n2: adopts 1/12: n0 n1 n2\n"
                    "n1: adopts 1/12: n0 n1 n2\n");
    scenario_destroy(scenario);
}

static void all_sessions_expire_and_nothing_moves(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    for (int i = 0; i < 3; i++) {
        sim_zookeeper_expire(&scenario->sim, i);
    }
    scenario_rest(scenario);
    assert_int_equal(scenario_count(scenario, "moved from"), 0);
    assert_int_equal(scenario_count(scenario, "client"), 0);
    scenario_expect(scenario, "expires|held|register of|adopts",
                    "zookeeper: session 1001 of n0 expires\n"
                    "zookeeper: session 1002 of n1 expires\n"
                    "zookeeper: session 1003 of n2 expires\n"
                    "n0: view_held epoch=12 missing=n0,n1,n2 grace_ms=2000\n"
                    "n1: view_held epoch=12 missing=n0,n1,n2 grace_ms=2000\n"
                    "n2: view_held epoch=12 missing=n0,n1,n2 grace_ms=2000\n"
                    "zookeeper: register of n0: 0, zxid 16\n"
                    "zookeeper: register of n1: 0, zxid 17\n"
                    "zookeeper: register of n2: 0, zxid 18\n"
                    "n0: adopts 1/18: n0 n1 n2\n"
                    "n1: adopts 1/18: n0 n1 n2\n"
                    "n2: adopts 1/18: n0 n1 n2\n");
    scenario_destroy(scenario);
}

static void an_outage_of_zookeeper_is_not_noticed(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_zookeeper_stop(&scenario->sim);
    scenario_pass(scenario, 60000);
    sim_clients_publish_last(&scenario->sim);
    scenario_pass(scenario, 100);
    assert_null(sim_clients_unrest(&scenario->sim)); /* all messages have arrived */
    sim_zookeeper_start(&scenario->sim);
    scenario_rest(scenario);
    scenario_expect(scenario, "client|publisher|held|register of|adopts", "");
    scenario_destroy(scenario);
}

static void zookeeper_comes_back_empty_and_nothing_moves(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_zookeeper_stop(&scenario->sim);
    scenario_pass(scenario, 100);
    sim_zookeeper_wipe(&scenario->sim);
    sim_zookeeper_start(&scenario->sim);
    scenario_rest(scenario);
    assert_int_equal(scenario_count(scenario, "moved from"), 0);
    scenario_expect(scenario, "raised|held|create_config|set_config|adopts",
                    "zookeeper: create_config of n0: 0, zxid 6\n"
                    "zookeeper: create_config of n1: RH_ERR_EXISTS, zxid 6\n"
                    "zookeeper: create_config of n2: RH_ERR_EXISTS, zxid 6\n"
                    "n0: generation_raised from=1 to=62790 reason=\"config is missing\"\n"
                    "n0: view_held epoch=4 missing=n0,n1,n2 grace_ms=2000\n"
                    "n1: view_held epoch=7 missing=n1,n2 grace_ms=2000\n"
                    "n2: view_held epoch=7 missing=n1,n2 grace_ms=2000\n"
                    "n0: adopts 62790/9: n0 n1 n2\n"
                    "n1: adopts 62790/9: n0 n1 n2\n"
                    "n2: adopts 62790/9: n0 n1 n2\n");
    scenario_destroy(scenario);
}

static void a_process_that_was_paused_for_long_sends_its_clients_on(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_node_pause(&scenario->sim, 1);
    scenario_pass(scenario, 10000);
    scenario_expect(scenario, "expires|held|adopts|client",
                    "zookeeper: session 1002 of n1 expires\n"
                    "n0: view_held epoch=10 missing=n1 grace_ms=2000\n"
                    "n2: view_held epoch=10 missing=n1 grace_ms=2000\n"
                    "n0: adopts 1/10: n0 n2\n"
                    "n2: adopts 1/10: n0 n2\n");
    sim_node_resume(&scenario->sim, 1);
    scenario_rest(scenario);
    scenario_expect(scenario, "moved from|register of|adopts",
                    "n1: adopts 1/10: n0 n2\n"
                    "client 2: moved from n1 to n0\n"
                    "client 4: moved from n1 to n2\n"
                    "client 5: moved from n1 to n0\n"
                    "zookeeper: register of n1: 0, zxid 12\n"
                    "n0: adopts 1/12: n0 n1 n2\n"
                    "n2: adopts 1/12: n0 n1 n2\n"
                    "n1: adopts 1/12: n0 n1 n2\n"
                    "client 2: moved from n0 to n1\n"
                    "client 5: moved from n0 to n1\n"
                    "client 4: moved from n2 to n1\n");
    scenario_destroy(scenario);
}

static void
two_nodes_with_a_firewall_between_them_evict_each_other_until_it_is_gone(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_network_firewall(&scenario->sim, 0, 1, true);
    sim_network_firewall(&scenario->sim, 1, 0, true);
    scenario_pass(scenario, 200);
    scenario_expect(scenario, "evict of|registration_lost|register of|adopts",
                    "zookeeper: evict of n0: 0, zxid 10\n"
                    "zookeeper: evict of n1: RH_ERR_NOT_FOUND, zxid 10\n"
                    "n0: adopts 1/10: n0 n2\n"
                    "n1: registration_lost pause_ms=61\n"
                    "n2: adopts 1/10: n0 n2\n"
                    "zookeeper: register of n1: 0, zxid 11\n"
                    "n0: adopts 1/11: n0 n1 n2\n"
                    "n2: adopts 1/11: n0 n1 n2\n"
                    "n1: adopts 1/11: n0 n1 n2\n"
                    "zookeeper: evict of n1: 0, zxid 12\n"
                    "n0: registration_lost pause_ms=74\n"
                    "n1: adopts 1/12: n1 n2\n"
                    "n2: adopts 1/12: n1 n2\n");
    sim_network_firewall(&scenario->sim, 0, 1, false);
    sim_network_firewall(&scenario->sim, 1, 0, false);
    scenario_rest(scenario);
    scenario_destroy(scenario);
}

static void
a_node_without_zookeeper_serves_on_and_learns_later_that_it_was_left_out(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    sim_zookeeper_cut(&scenario->sim, 1, true);
    scenario_pass(scenario, 10000);
    scenario_expect(scenario, "expires|held|adopts|client",
                    "zookeeper: session 1002 of n1 expires\n"
                    "n0: view_held epoch=10 missing=n1 grace_ms=2000\n"
                    "n2: view_held epoch=10 missing=n1 grace_ms=2000\n"
                    "n0: adopts 1/10: n0 n2\n"
                    "n2: adopts 1/10: n0 n2\n");
    sim_zookeeper_cut(&scenario->sim, 1, false);
    scenario_rest(scenario);
    scenario_expect(scenario, "moved from|register of|adopts",
                    "n1: adopts 1/10: n0 n2\n"
                    "client 2: moved from n1 to n0\n"
                    "client 4: moved from n1 to n2\n"
                    "client 5: moved from n1 to n0\n"
                    "zookeeper: register of n1: 0, zxid 12\n"
                    "n0: adopts 1/12: n0 n1 n2\n"
                    "n2: adopts 1/12: n0 n1 n2\n"
                    "n1: adopts 1/12: n0 n1 n2\n"
                    "client 2: moved from n0 to n1\n"
                    "client 5: moved from n0 to n1\n"
                    "client 4: moved from n2 to n1\n");
    scenario_destroy(scenario);
}

static void a_drained_node_can_be_stopped_and_nobody_loses_a_connection(void **state RH_UNUSED)
{
    struct scenario *scenario = scenario_create(3);
    const struct rh_request request = {.number = 1, .kind = RH_REQUEST_DRAIN};
    char *text = rh_request_encode(&request);
    assert_true(sim_zookeeper_put(&scenario->sim, "/requests/n1", text));
    free(text);
    scenario_rest(scenario);
    scenario_expect(scenario, "request_|adopts|moved from",
                    "n1: request_started kind=drain weight=0 number=0000000000000001\n"
                    "n0: adopts 1/11: n0 n1:0 n2\n"
                    "n2: adopts 1/11: n0 n1:0 n2\n"
                    "n1: adopts 1/11: n0 n1:0 n2\n"
                    "client 2: moved from n1 to n0\n"
                    "client 4: moved from n1 to n2\n"
                    "client 5: moved from n1 to n0\n"
                    "n1: request_done kind=drain weight=0 number=0000000000000001\n");
    sim_node_terminate(&scenario->sim, 1);
    scenario_rest(scenario);
    assert_int_equal(scenario_count(scenario, "reset"), 0);
    scenario_expect(scenario, "stopping|unregister|adopts|moved from",
                    "n1: stopping: leaving\n"
                    "n1: stopping: lingering\n"
                    "n1: stopping: closing\n"
                    "n1: stopping: deregistering\n"
                    "zookeeper: unregister of n1: 0, zxid 14\n"
                    "n0: adopts 1/14: n0 n2\n"
                    "n2: adopts 1/14: n0 n2\n");
    scenario_destroy(scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_process_that_dies_is_out_of_all_views_in_milliseconds),
        RH_TEST(a_process_that_starts_again_is_another_one),
        RH_TEST(all_sessions_expire_and_nothing_moves),
        RH_TEST(an_outage_of_zookeeper_is_not_noticed),
        RH_TEST(zookeeper_comes_back_empty_and_nothing_moves),
        RH_TEST(a_process_that_was_paused_for_long_sends_its_clients_on),
        RH_TEST(two_nodes_with_a_firewall_between_them_evict_each_other_until_it_is_gone),
        RH_TEST(a_node_without_zookeeper_serves_on_and_learns_later_that_it_was_left_out),
        RH_TEST(a_drained_node_can_be_stopped_and_nobody_loses_a_connection),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
