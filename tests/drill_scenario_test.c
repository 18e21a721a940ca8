/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/scenario.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

static const char whole[] = "scenario: scale-out\n"
                            "description: A fourth node joins three.\n"
                            "load: {channels: 20, connections: 30, rate: 5, payload: 64B}\n"
                            "cluster: {nodes: 3, replicas: 2, vnodes: 64, session_timeout: 2s}\n"
                            "settle: 30s\n"
                            "steps:\n"
                            "  - wait 5s\n"
                            "  - add   n4\n"
                            "  - kill n1 n2\n";

static int parse(const char *text, struct rh_scenario *ret_scenario, struct rh_reason *reason)
{
    return rh_scenario_parse(text, strlen(text), "f.yaml", ret_scenario, reason);
}

/* |text| is refused, and the reason is |expected| from its beginning on. */
static void check_refused(const char *text, const char *expected)
{
    struct rh_scenario scenario;
    struct rh_reason reason = {""};
    int rv = parse(text, &scenario, &reason);
    if (rv != RH_ERR_INVALID || strncmp(reason.text, expected, strlen(expected)) != 0) {
        print_error("%s\ngave: %s\nwanted: %s\n", text, reason.text, expected);
        fail();
    }
}

/* A scenario of three nodes with these steps is refused. */
static void check_steps_refused(const char *steps, const char *expected)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "scenario: s\nsteps: [%s]\n", steps);
    check_refused(text, expected);
}

static void all_fields_are_read(void **state RH_UNUSED)
{
    struct rh_scenario scenario;
    struct rh_reason reason;
    assert_int_equal(parse(whole, &scenario, &reason), 0);
    assert_string_equal(scenario.name, "scale-out");
    assert_string_equal(scenario.description, "A fourth node joins three.");
    assert_int_equal(scenario.load.channels, 20);
    assert_int_equal(scenario.load.connections, 30);
    assert_int_equal(scenario.load.rate, 5);
    assert_int_equal(scenario.load.payload_size, 64);
    assert_int_equal(scenario.cluster.nodes, 3);
    assert_int_equal(scenario.cluster.vnodes, 64);
    assert_int_equal(scenario.cluster.session_timeout_ms, 2000);
    assert_int_equal(scenario.settle_ms, 30000);
    assert_false(scenario.has_hooks);
    assert_int_equal(scenario.steps_count, 3);
    assert_int_equal(scenario.steps[0].step.kind, RH_STEP_WAIT);
    assert_int_equal(scenario.steps[0].step.duration_ms, 5000);
    assert_string_equal(scenario.steps[1].step.text, "add n4");
    assert_int_equal(scenario.steps[1].line, 8);
    assert_int_equal(scenario.steps[2].step.nodes_count, 2);
    assert_string_equal(scenario.steps[2].step.nodes[1], "n2");
    rh_scenario_finish(&scenario);
}

static void what_is_not_given_has_a_default(void **state RH_UNUSED)
{
    struct rh_scenario scenario;
    struct rh_reason reason;
    assert_int_equal(parse("scenario: s\nsteps: [wait 1s]\n", &scenario, &reason), 0);
    assert_string_equal(scenario.description, "");
    assert_int_equal(scenario.load.connections, 10000);
    assert_int_equal(scenario.cluster.nodes, 3);
    assert_int_equal(scenario.cluster.replicas, 2);
    rh_scenario_finish(&scenario);
}

static void what_is_wrong_is_named_with_its_line(void **state RH_UNUSED)
{
    check_refused("", "f.yaml:1: ");
    check_refused("[1]", "f.yaml:1: fields are expected");
    check_refused("steps: [wait 1s]\n", "f.yaml:1: scenario: must be given");
    check_refused("scenario: s\n", "f.yaml:1: steps: must be given");
    check_refused("scenario: s\nsteps: []\n", "f.yaml:2: steps: a list of steps");
    check_refused("scenario: s\nsteps: add n4\n", "f.yaml:2: steps: a list of steps");
    check_refused("scenario: s\nsteps:\n  - {add: n4}\n", "f.yaml:3: steps: a step is one line");
    check_refused("scenario: s\nlaod: {rate: 1}\nsteps: [wait 1s]\n",
                  "f.yaml:2: laod: unknown field (do you mean `load`?)");
    check_refused("scenario: s\nload: {chanels: 1}\nsteps: [wait 1s]\n",
                  "f.yaml:2: load.chanels: unknown field (do you mean `channels`?)");
    check_refused("scenario: s\nload: 5\nsteps: [wait 1s]\n",
                  "f.yaml:2: load: fields are expected");
    check_refused("scenario: s\nload:\n  channels: 0\nsteps: [wait 1s]\n",
                  "f.yaml:3: load.channels: ");
    check_refused("scenario: s\nload: {payload: 8B}\nsteps: [wait 1s]\n",
                  "f.yaml:2: load.payload: ");
    check_refused("scenario: s\nscenario: t\nsteps: [wait 1s]\n",
                  "f.yaml:2: scenario: given twice, first in line 1");
    check_refused("scenario: s\nsteps:\n  - wait 1s\n  - wiat 2s\n",
                  "f.yaml:4: steps: `wiat 2s` is no step");
}

static void a_step_says_what_it_expects(void **state RH_UNUSED)
{
    check_steps_refused("wait", "f.yaml:2: steps: wait: expected is `wait 5s`");
    check_steps_refused("wait 5", "f.yaml:2: steps: wait: `5` is not a duration");
    check_steps_refused("wait 0s", "f.yaml:2: steps: wait: `0s` is not a duration");
    check_steps_refused("wait 5s 6s", "f.yaml:2: steps: wait: expected is");
    check_steps_refused("add", "f.yaml:2: steps: add: expected is `add n4`");
    check_steps_refused("add n!4", "f.yaml:2: steps: add: `n!4`: a node id is");
    check_steps_refused("kill n1 n1", "f.yaml:2: steps: kill: n1 is named twice");
    check_steps_refused("pause n1 soon", "f.yaml:2: steps: pause: `soon` is not a duration");
    check_steps_refused("resume n1 n2", "f.yaml:2: steps: resume: expected is");
    check_steps_refused("weight n1", "f.yaml:2: steps: weight: expected is `weight n1 2`");
    check_steps_refused("weight n1 0", "f.yaml:2: steps: weight: `0`: a weight is");
    check_steps_refused("zookeeper", "f.yaml:2: steps: `zookeeper` is no step");
    check_steps_refused("zookeeper stop now", "f.yaml:2: steps: zookeeper stop: expected is");
    check_steps_refused("\"\"", "f.yaml:2: steps: `` is no step");
}

static void a_step_that_cannot_be_done_is_found_before_anything_runs(void **state RH_UNUSED)
{
    check_steps_refused("kill n4", "f.yaml:2: steps: kill n4: there is no node n4");
    check_steps_refused("add n1", "f.yaml:2: steps: n1 is there already");
    check_steps_refused("start n1", "f.yaml:2: steps: start n1: n1 runs then");
    check_steps_refused("kill n1, kill n1", "f.yaml:2: steps: kill n1: n1 does not run then");
    check_steps_refused("kill n1, add n1",
                        "f.yaml:2: steps: n1 is there already; `start` starts it again");
    check_steps_refused("pause n1, drain n1", "f.yaml:2: steps: drain n1: n1 is paused then");
    check_steps_refused("join n1", "f.yaml:2: steps: join n1: n1 runs then");
    check_steps_refused("resume n1", "f.yaml:2: steps: resume n1: n1 runs then");
    check_steps_refused("zookeeper start", "f.yaml:2: steps: zookeeper start: ZooKeeper runs then");
    check_steps_refused("zookeeper stop, add n4",
                        "f.yaml:2: steps: add n4: the ring cannot change");
    check_steps_refused("kill n1 n2 n3", "f.yaml:2: steps: kill n1 n2 n3: no node would serve");
}

static void steps_follow_each_other(void **state RH_UNUSED)
{
    static const char text[] =
        "scenario: s\nsteps:\n  - add n4 n5\n  - remove n5\n  - start n5\n  - drain n2\n  - join "
        "n2\n"
        "  - pause n1 10s\n  - pause n1\n  - resume n1\n  - weight n1 2.5\n  - zookeeper stop\n"
        "  - zookeeper start\n  - expire n2\n  - kill n3\n  - start n3\n";
    struct rh_scenario scenario;
    struct rh_reason reason = {""};
    assert_int_equal(parse(text, &scenario, &reason), 0);
    assert_int_equal(scenario.steps_count, 14);
    assert_int_equal(scenario.steps[8].step.weight_milli, 2500);
    rh_scenario_finish(&scenario);
}

static void hooks_must_cover_the_steps(void **state RH_UNUSED)
{
    struct rh_scenario scenario;
    struct rh_reason reason = {""};
    check_refused("scenario: s\nhooks: {kill: ssh x}\nsteps: [kill n9, start n9]\n",
                  "f.yaml:3: steps: start n9: `hooks` has no command for `start`");
    check_refused("scenario: s\nhooks: {pause: x}\nsteps: [pause n1 5s]\n",
                  "f.yaml:3: steps: pause n1 5s: `hooks` has no command for `resume`");
    check_refused("scenario: s\ncluster: {nodes: 3}\nhooks: {kill: x}\nsteps: [kill n1]\n",
                  "f.yaml:2: cluster: describes a local cluster");
    assert_int_equal(
        parse("scenario: s\nhooks: {kill: ssh x}\nsteps: [kill n9, drain n1, weight n1 2]\n",
              &scenario, &reason),
        0);
    assert_true(scenario.has_hooks);
    assert_string_equal(scenario.hooks[RH_STEP_KILL], "ssh x");
    rh_scenario_finish(&scenario);
}

static void options_stand_above_the_file(void **state RH_UNUSED)
{
    struct rh_scenario scenario;
    struct rh_reason reason = {""};
    assert_int_equal(parse(whole, &scenario, &reason), 0);
    assert_int_equal(rh_scenario_override(&scenario, "load.rate", "77", &reason), 0);
    assert_int_equal(rh_scenario_override(&scenario, "settle", "7s", &reason), 0);
    assert_int_equal(scenario.load.rate, 77);
    assert_int_equal(scenario.settle_ms, 7000);
    assert_int_equal(rh_scenario_override(&scenario, "load.payload", "1", &reason), RH_ERR_INVALID);
    assert_memory_equal(reason.text, "--payload: ", 11);
    rh_scenario_finish(&scenario);
}

static void any_allocation_may_fail(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        struct rh_scenario scenario;
        struct rh_reason reason;
        rh_test_allocation_fail(nth);
        int rv = parse(whole, &scenario, &reason);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            rh_scenario_finish(&scenario);
            break;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(all_fields_are_read),
        RH_TEST(what_is_not_given_has_a_default),
        RH_TEST(what_is_wrong_is_named_with_its_line),
        RH_TEST(a_step_says_what_it_expects),
        RH_TEST(a_step_that_cannot_be_done_is_found_before_anything_runs),
        RH_TEST(steps_follow_each_other),
        RH_TEST(hooks_must_cover_the_steps),
        RH_TEST(options_stand_above_the_file),
        RH_TEST(any_allocation_may_fail),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
