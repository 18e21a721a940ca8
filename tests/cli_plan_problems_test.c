/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan_problems.h"
#include "node/core_forecast.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A plan that adds "last" to a view of "n0:a n1:b", each with weight 1, in zones ("-": none). */
static struct rh_plan plan_of(const char *text, uint32_t replicas, const char *last)
{
    struct rh_registration *members = test_calloc(256, sizeof(*members));
    int64_t *czxids = test_calloc(256, sizeof(*czxids));
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = replicas};
    const struct rh_epoch epoch = {.generation = 1, .pzxid = 57};
    struct rh_view *view = NULL;
    struct rh_change change;
    struct rh_plan plan;
    struct rh_reason reason;
    size_t count = 0;
    int used = 0;
    while (sscanf(text, " %7[^:]:%7s%n", members[count].id, members[count].zone, &used) == 2) {
        members[count].zone[0] = members[count].zone[0] == '-' ? '\0' : members[count].zone[0];
        members[count].instance = count + 1;
        members[count].weight_milli = 1000;
        czxids[count] = (int64_t)count;
        count++;
        text += used;
    }
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, count, &view), 0);
    assert_int_equal(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text(last), &change, NULL), 0);
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), 0);
    rh_view_give(view);
    test_free(members);
    test_free(czxids);
    for (size_t i = 0; i < plan.nodes_count; i++) {
        plan.nodes[i].counted = true;
    }
    return plan;
}

/* The problems are exactly |expected|: "code node" or "code", separated by commas. */
static void expect(const struct rh_plan *plan, bool offline, const char *expected)
{
    struct rh_plan_problems problems;
    char found[1024] = "";
    assert_int_equal(rh_plan_problems_find(plan, offline, &problems), 0);
    for (size_t i = 0; i < problems.count; i++) {
        const struct rh_plan_problem *problem = &problems.items[i];
        size_t length = strlen(found);
        (void)snprintf(found + length, sizeof(found) - length, "%s%s%s%s", i > 0 ? ", " : "",
                       problem->code, problem->node[0] == '\0' ? "" : " ", problem->node);
        assert_true(strlen(problem->text) > 10);
    }
    assert_string_equal(found, expected);
    rh_plan_problems_finish(&problems);
}

static void expect_offline(const char *text, uint32_t replicas, const char *last,
                           const char *expected)
{
    struct rh_plan plan = plan_of(text, replicas, last);
    expect(&plan, true, expected);
    rh_plan_finish(&plan);
}

static void as_many_zones_as_copies_are_enough(void **state RH_UNUSED)
{
    expect_offline("n0:a n1:b", 2, "n2:1:c", "");
    expect_offline("n0:a n1:b n2:a", 2, "n3:1:b", "");
    expect_offline("n0:- n1:-", 2, "n2:1", ""); /* a cluster that does without zones */
    expect_offline("n0:a", 1, "n1:1:a", "");
}

static void too_few_zones_are_told(void **state RH_UNUSED)
{
    expect_offline("n0:a n1:a", 2, "n2:1:a", "one_zone");
    expect_offline("n0:a n1:b n2:a", 3, "n3:1:b", "few_zones");
}

static void too_few_nodes_are_told(void **state RH_UNUSED)
{
    expect_offline("n0:a", 3, "n1:1:b", "few_nodes");
    expect_offline("n0:-", 3, "n1:1", "few_nodes");
}

static void a_node_without_a_zone_among_others_is_told(void **state RH_UNUSED)
{
    expect_offline("n0:a n1:b", 2, "n2:1", "no_zone n2");
}

static void a_zone_that_the_others_lean_on_is_told(void **state RH_UNUSED)
{
    struct rh_plan plan = plan_of("n0:a n1:a n2:a n3:a", 2, "n4:1:b");
    struct rh_plan_problems problems;
    assert_int_equal(rh_plan_problems_find(&plan, true, &problems), 0);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].code, "zone_too_small");
    assert_string_equal(
        problems.items[0].text,
        "zone b has 20 % of the weight and would hold 50 % of the copies, 2.5 times "
        "what its nodes are weighted for");
    rh_plan_problems_finish(&problems);
    rh_plan_finish(&plan);
}

static void who_would_have_too_much_is_told(void **state RH_UNUSED)
{
    struct rh_plan plan = plan_of("n0:a n1:b", 2, "n2:1:c");
    plan.nodes[2].registered = true;
    for (size_t i = 0; i < 3; i++) {
        plan.nodes[i].limits =
            (struct rh_plan_load){.channels = 100, .connections = 200, .copies = 300};
        plan.nodes[i].load_after = plan.nodes[i].limits;
    }
    expect(&plan, false, ""); /* as much as it may have */
    plan.nodes[0].load_after.channels++;
    plan.nodes[1].load_after.connections++;
    plan.nodes[2].load_after.copies++;
    expect(&plan, false, "channels_limit n0, connections_limit n1, copies_limit n2");
    plan.nodes[0].weight_after_milli = 0; /* it leaves: what it has then is on its way */
    expect(&plan, false, "connections_limit n1, copies_limit n2");
    rh_plan_finish(&plan);
}

static void who_would_have_too_much_after_one_more_loss_is_told(void **state RH_UNUSED)
{
    struct rh_plan plan = plan_of("n0:a n1:b", 2, "n2:1:c");
    plan.losses = calloc(9, sizeof(*plan.losses));
    plan.nodes[2].registered = true;
    for (size_t i = 0; i < 3; i++) {
        plan.nodes[i].limits = (struct rh_plan_load){.channels = 100, .connections = 200};
        plan.nodes[i].load_after = (struct rh_plan_load){.channels = 60, .connections = 120};
    }
    plan.losses[0 * 3 + 1] = (struct rh_plan_load){.channels = 40, .connections = 80};
    plan.losses[0 * 3 + 2] = (struct rh_plan_load){.channels = 41};
    plan.losses[1 * 3 + 2] = (struct rh_plan_load){.channels = 50, .connections = 81};
    struct rh_plan_problems problems;
    assert_int_equal(rh_plan_problems_find(&plan, false, &problems), 0);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[0].text,
                        "n2 would have 110 channels if n1 were lost as well, and may have 100");
    assert_string_equal(problems.items[1].code, "connections_limit_on_loss");
    rh_plan_problems_finish(&problems);
    rh_plan_finish(&plan);
}

static void what_is_not_known_is_told(void **state RH_UNUSED)
{
    struct rh_plan plan = plan_of("n0:a n1:b", 2, "n2:1:c");
    plan.nodes[0].counted = false;
    plan.nodes[1].under_way = 12;
    expect(&plan, false, "not_counted n0, under_way n1, not_running n2");
    expect(&plan, true, "");
    rh_plan_finish(&plan);
}

static void too_many_nodes_for_a_look_at_losses_are_told(void **state RH_UNUSED)
{
    char text[4096] = "";
    for (unsigned i = 0; i < RH_FORECAST_PAIRS_MAX; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof(text) - length, "m%u:- ", i);
    }
    struct rh_plan plan = plan_of(text, 2, "n0:1");
    plan.nodes[plan.nodes_count - 1].registered = true;
    expect(&plan, false, "loss_not_counted");
    rh_plan_finish(&plan);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rh_plan plan = plan_of("n0:a n1:b n2:a", 3, "n3:1:b");
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_plan_problems problems;
        rh_test_allocation_fail(nth);
        int rv = rh_plan_problems_find(&plan, false, &problems);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        rh_plan_problems_finish(&problems);
        if (!failed) {
            break;
        }
        failures++;
    }
    assert_true(failures >= 2);
    rh_plan_finish(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(as_many_zones_as_copies_are_enough),
        RH_TEST(too_few_zones_are_told),
        RH_TEST(too_few_nodes_are_told),
        RH_TEST(a_node_without_a_zone_among_others_is_told),
        RH_TEST(a_zone_that_the_others_lean_on_is_told),
        RH_TEST(who_would_have_too_much_is_told),
        RH_TEST(who_would_have_too_much_after_one_more_loss_is_told),
        RH_TEST(what_is_not_known_is_told),
        RH_TEST(too_many_nodes_for_a_look_at_losses_are_told),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
