/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan_load.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct rh_epoch epoch = {.generation = 1, .pzxid = 57};
static const struct rh_plan_load file_limits = {
    .channels = 1000, .connections = 2000, .copies = 3000};

/* n1 and n2 are in the ring, n9 is registered outside, n3 is to be added. */
static struct rh_plan make_plan(void)
{
    const struct rh_registration members[] = {{.id = "n1", .instance = 1, .weight_milli = 1000},
                                              {.id = "n2", .instance = 2, .weight_milli = 1000},
                                              {.id = "n9", .instance = 9}};
    const int64_t czxids[] = {1, 2, 3};
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = 2};
    const struct rh_change add = {.kind = RH_CHANGE_ADD, .id = "n3", .weight_milli = 1000};
    struct rh_view *view = NULL;
    struct rh_plan plan;
    struct rh_reason reason;
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, 3, &view), 0);
    assert_int_equal(rh_plan_create(view, &add, 1, &plan, &reason), 0);
    rh_view_give(view);
    return plan;
}

#define ANSWER(id, epoch, rest)                                                       \
    "{\"node\":\"" id "\",\"generation\":1,\"epoch\":" epoch ",\"replication\":true," \
    "\"limits\":{\"channels\":100,\"copies\":300,\"connections\":200},"               \
    "\"rebalance\":{\"channels_per_second\":50,\"in_flight\":64},"                    \
    "\"settled\":true," rest "}"

static const char n1_answer[] = ANSWER(
    "n1", "57",
    "\"copies\":90,\"under_way\":0,\"turns\":60,"
    "\"acting\":{\"channels\":40,\"connections\":20,\"bytes\":4000},\"targets\":["
    "{\"node\":\"n1\",\"channels\":30,\"connections\":12,\"bytes\":3000,\"joins\":0,"
    "\"join_bytes\":0,\"leaves\":0,\"next\":[{\"node\":\"n2\",\"channels\":16,\"connections\":7},"
    "{\"node\":\"n3\",\"channels\":14,\"connections\":5}]},"
    "{\"node\":\"n2\",\"channels\":0,\"connections\":0,\"bytes\":0,\"joins\":0,\"join_bytes\":0,"
    "\"leaves\":25},"
    "{\"node\":\"n3\",\"channels\":10,\"connections\":8,\"bytes\":1000,\"joins\":25,"
    "\"join_bytes\":2500,\"leaves\":0,\"next\":[{\"node\":\"n1\",\"channels\":10,"
    "\"connections\":8}]}]");
static const char n2_answer[] =
    ANSWER("n2", "57",
           "\"copies\":90,\"under_way\":3,\"turns\":100,"
           "\"acting\":{\"channels\":50,\"connections\":10,\"bytes\":500},\"targets\":["
           "{\"node\":\"n2\",\"channels\":45,\"connections\":9,\"bytes\":450,\"joins\":0,"
           "\"join_bytes\":0,\"leaves\":0,\"next\":[{\"node\":\"n1\",\"channels\":45,"
           "\"connections\":9}]},"
           "{\"node\":\"n3\",\"channels\":5,\"connections\":1,\"bytes\":50,\"joins\":5,"
           "\"join_bytes\":50,\"leaves\":0,\"next\":[{\"node\":\"n2\",\"channels\":5,"
           "\"connections\":1}]}]");
static const char n9_answer[] =
    ANSWER("n9", "57",
           "\"copies\":1,\"under_way\":1,\"turns\":1,"
           "\"acting\":{\"channels\":1,\"connections\":0,\"bytes\":7},\"targets\":["
           "{\"node\":\"n9\",\"channels\":0,\"connections\":0,\"bytes\":0,\"joins\":0,"
           "\"join_bytes\":0,\"leaves\":1},"
           "{\"node\":\"n1\",\"channels\":1,\"connections\":0,\"bytes\":7,\"joins\":1,"
           "\"join_bytes\":7,\"leaves\":0}]");

static int take(struct rh_plan *plan, const char *id, const char *text, struct rh_reason *reason)
{
    json_t *answer = json_loads(text, 0, NULL);
    assert_non_null(answer);
    int rv = rh_plan_take(plan, id, epoch, answer, reason);
    json_decref(answer);
    return rv;
}

static void take_all(struct rh_plan *plan)
{
    struct rh_reason reason = {""};
    assert_int_equal(take(plan, "n1", n1_answer, &reason), 0);
    assert_int_equal(take(plan, "n2", n2_answer, &reason), 0);
    assert_int_equal(take(plan, "n9", n9_answer, &reason), 0);
    rh_plan_complete(plan, true, &file_limits, 64);
}

static void expect(struct rh_plan_load load, uint64_t channels, uint64_t connections,
                   uint64_t bytes, uint64_t copies)
{
    assert_int_equal(load.channels, channels);
    assert_int_equal(load.connections, connections);
    assert_int_equal(load.bytes, bytes);
    assert_int_equal(load.copies, copies);
}

static void answers_add_up_to_the_load_of_each_node(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    take_all(&plan);
    assert_true(plan.counted);
    assert_int_equal(plan.nodes_count, 3);
    expect(plan.nodes[0].load_before, 40, 20, 4000, 90);
    expect(plan.nodes[0].load_after, 31, 12, 3007, 91);
    expect(plan.nodes[1].load_before, 50, 10, 500, 90);
    expect(plan.nodes[1].load_after, 45, 9, 450, 65);
    expect(plan.nodes[2].load_before, 0, 0, 0, 0);
    expect(plan.nodes[2].load_after, 15, 9, 1050, 30);
    expect(plan.total, 16, 9, 1057, 31);
    assert_int_equal(plan.sent_bytes, 2557);
    assert_int_equal(plan.under_way, 4);
    expect(plan.nodes[1].limits, 100, 200, 0, 300);
    expect(plan.nodes[2].limits, 1000, 2000, 0, 3000); /* not started: what the file allows */
    rh_plan_finish(&plan);
}

static void moves_name_who_gives_what_to_whom(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    take_all(&plan);
    static const char *const expected[][2] = {{"n1", "n3"}, {"n2", "n3"}, {"n9", "n1"}};
    assert_int_equal(plan.moves_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(plan.moves[i].from, expected[i][0]);
        assert_string_equal(plan.moves[i].to, expected[i][1]);
    }
    expect(plan.moves[0].load, 10, 8, 1000, 25);
    rh_plan_finish(&plan);
}

static void losses_are_summed_by_who_is_lost_and_who_gets(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    take_all(&plan);
    static const uint64_t channels[3][3] = {{0, 16, 14}, {45, 0, 0}, {10, 5, 0}};
    for (size_t lost = 0; lost < 3; lost++) {
        for (size_t heir = 0; heir < 3; heir++) {
            assert_int_equal(plan.losses[lost * 3 + heir].channels, channels[lost][heir]);
        }
    }
    rh_plan_finish(&plan);
}

static void the_slowest_sender_says_how_long_it_takes(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    take_all(&plan);
    assert_true(fabs(plan.nodes[0].seconds - 1.2) < 1e-9);
    assert_true(fabs(plan.nodes[1].seconds - 2.0) < 1e-9);
    assert_true(fabs(plan.seconds - 2.0) < 1e-9);
    rh_plan_finish(&plan);
}

/* 4 nodes are registered then, so of 12 in flight each sender has 4, and 3 that nobody waits for. */
static void what_may_be_on_its_way_bounds_the_rate(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    struct rh_reason reason;
    assert_int_equal(take(&plan, "n1",
                          ANSWER("n1", "57",
                                 "\"copies\":3000,\"under_way\":0,\"turns\":0,\"acting\":"
                                 "{\"channels\":3000,\"connections\":0,\"bytes\":0},\"targets\":["
                                 "{\"node\":\"n3\",\"channels\":0,\"connections\":0,\"bytes\":0,"
                                 "\"joins\":3000,\"join_bytes\":0,\"leaves\":0}]"),
                          &reason),
                     0);
    rh_plan_complete(&plan, false, &file_limits, 12);
    assert_false(plan.counted);
    assert_true(fabs(plan.seconds - 1000 * RH_PLAN_TRANSFER_MS / 1000) < 1e-9);
    rh_plan_finish(&plan);
}

static void without_copies_nothing_is_handed_over(void **state RH_UNUSED)
{
    struct rh_plan plan = make_plan();
    char text[sizeof(n1_answer) + 8];
    const char *found = strstr(n1_answer, "\"replication\":true");
    struct rh_reason reason;
    (void)snprintf(text, sizeof(text), "%.*s\"replication\":false%s", (int)(found - n1_answer),
                   n1_answer, found + strlen("\"replication\":true"));
    assert_int_equal(take(&plan, "n1", text, &reason), 0);
    rh_plan_complete(&plan, true, &file_limits, 64);
    assert_true(plan.one_copy);
    assert_true(plan.seconds < 1e-9);
    rh_plan_finish(&plan);
}

static void an_answer_that_is_none_changes_nothing(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {
        {"{}", "n1 cannot be asked: this is not what a node answers"},
        {ANSWER("n2", "57", "\"copies\":0"), "n1 cannot be asked: n2 answers at its admin address"},
        {ANSWER("n1", "57",
                "\"copies\":-1,\"under_way\":0,\"turns\":0,\"acting\":{\"channels\":0,"
                "\"connections\":0,\"bytes\":0},\"targets\":[]"),
         "n1 cannot be asked: this is not what a node answers"},
        {ANSWER("n1", "57",
                "\"copies\":1,\"under_way\":0,\"turns\":0,\"acting\":{\"channels\":0,"
                "\"connections\":0,\"bytes\":0},\"targets\":[{\"node\":\"n7\",\"channels\":1,"
                "\"connections\":0,\"bytes\":0,\"joins\":0,\"join_bytes\":0,\"leaves\":0}]"),
         "n1 cannot be asked: this is not what a node answers"},
        {ANSWER("n1", "57",
                "\"copies\":1,\"under_way\":0,\"turns\":0,\"acting\":{\"channels\":0,"
                "\"connections\":0,\"bytes\":0},\"targets\":[{\"node\":\"n1\",\"channels\":1,"
                "\"connections\":0,\"bytes\":0,\"joins\":0,\"join_bytes\":0,\"leaves\":0,"
                "\"next\":[{\"node\":\"n7\",\"channels\":1,\"connections\":1}]}]"),
         "n1 cannot be asked: this is not what a node answers"},
        {ANSWER("n1", "58",
                "\"copies\":1,\"under_way\":0,\"turns\":0,\"acting\":{\"channels\":0,"
                "\"connections\":0,\"bytes\":0},\"targets\":[]"),
         "n1 cannot be asked: the answer is of another epoch"},
    };
    struct rh_plan plan = make_plan();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rh_reason reason = {""};
        assert_int_equal(take(&plan, "n1", bad[i].text, &reason), RH_ERR_INVALID);
        assert_string_equal(reason.text, bad[i].reason);
    }
    assert_false(plan.nodes[0].counted);
    expect(plan.nodes[0].load_after, 0, 0, 0, 0);
    assert_int_equal(plan.moves_count, 0);
    rh_plan_finish(&plan);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    json_t *answer = json_loads(n1_answer, 0, NULL);
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_plan plan = make_plan();
        struct rh_reason reason;
        rh_test_allocation_fail(nth);
        int rv = rh_plan_take(&plan, "n1", epoch, answer, &reason);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        rh_plan_finish(&plan);
        if (!failed) {
            break;
        }
        failures++;
    }
    assert_true(failures >= 2);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(answers_add_up_to_the_load_of_each_node),
        RH_TEST(moves_name_who_gives_what_to_whom),
        RH_TEST(losses_are_summed_by_who_is_lost_and_who_gets),
        RH_TEST(the_slowest_sender_says_how_long_it_takes),
        RH_TEST(what_may_be_on_its_way_bounds_the_rate),
        RH_TEST(without_copies_nothing_is_handed_over),
        RH_TEST(an_answer_that_is_none_changes_nothing),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
