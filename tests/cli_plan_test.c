/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 24

static const char *const names[NAMES_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                             "i", "j", "k", "l", "m", "n", "o", "p",
                                             "q", "r", "s", "t", "u", "v", "w", "x"};

static void check_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        print_error("%.17g is not %.17g\n", value, expected);
        fail();
    }
}

/* --- Modulo ------------------------------------------------------------------------------------- */

/* The definition, hash by hash over one period. */
static double count_moved(const char *const *before, size_t before_count, const char *const *after,
                          size_t after_count)
{
    size_t period = before_count * after_count;
    size_t moved = 0;
    for (size_t hash = 0; hash < period; hash++) {
        moved += strcmp(before[hash % before_count], after[hash % after_count]) != 0;
    }
    return (double)moved / (double)period;
}

static void modulo_moves_what_counting_says(void **state RH_UNUSED)
{
    for (size_t before = 1; before <= NAMES_MAX; before++) {
        for (size_t after = 1; after <= NAMES_MAX; after++) {
            check_near(rh_plan_modulo_moved(names, before, names, after),
                       count_moved(names, before, names, after), 1e-12);
        }
    }
    check_near(rh_plan_modulo_moved(names, 3, names, 4), 0.75, 0);
    check_near(rh_plan_modulo_moved(names, 4, names, 4), 0, 0);
}

static void modulo_counts_names_and_not_places(void **state RH_UNUSED)
{
    uint64_t seed = 1;
    for (size_t round = 0; round < 500; round++) {
        const char *before[NAMES_MAX];
        const char *after[NAMES_MAX];
        size_t before_count = 0;
        size_t after_count = 0;
        for (size_t i = 0; i < NAMES_MAX; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            if ((seed >> 40 & 1) != 0) {
                before[before_count++] = names[i];
            }
            if ((seed >> 41 & 1) != 0) {
                after[after_count++] = names[i];
            }
        }
        if (before_count > 0 && after_count > 0) {
            check_near(rh_plan_modulo_moved(before, before_count, after, after_count),
                       count_moved(before, before_count, after, after_count), 1e-12);
        }
    }
}

static void modulo_over_no_nodes_moves_all_or_nothing(void **state RH_UNUSED)
{
    check_near(rh_plan_modulo_moved(names, 0, names, 3), 1, 0);
    check_near(rh_plan_modulo_moved(names, 3, names, 0), 1, 0);
    check_near(rh_plan_modulo_moved(names, 0, names, 0), 0, 0);
}

/* --- Plans -------------------------------------------------------------------------------------- */

static struct rh_view *make_view(const char *const *ids, const uint32_t *weights, size_t count)
{
    struct rh_registration *registrations = test_calloc(count + 1, sizeof(*registrations));
    int64_t *czxids = test_calloc(count + 1, sizeof(*czxids));
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = 2};
    const struct rh_epoch epoch = {.generation = 1, .pzxid = 7};
    struct rh_view *view = NULL;
    for (size_t i = 0; i < count; i++) {
        strcpy(registrations[i].id, ids[i]);
        registrations[i].weight_milli = weights[i];
        registrations[i].instance = i + 1;
        czxids[i] = (int64_t)i;
    }
    assert_int_equal(rh_view_create(epoch, &config, registrations, czxids, count, &view), 0);
    test_free(registrations);
    test_free(czxids);
    return view;
}

static struct rh_change change_of(enum rh_change_kind kind, const char *text)
{
    struct rh_change change;
    struct rh_reason reason;
    assert_int_equal(rh_change_parse(kind, rh_bytes_text(text), &change, &reason), 0);
    if (kind == RH_CHANGE_ADD && change.weight_milli == 0) {
        change.weight_milli = 1000;
    }
    return change;
}

static const char *const three_ids[] = {"n1", "n2", "n3"};
static const uint32_t three_weights[] = {1000, 1000, 1000};

static void a_plan_moves_what_the_newcomer_gets_and_nothing_else(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(three_ids, three_weights, 3);
    const struct rh_change change = change_of(RH_CHANGE_ADD, "n4");
    struct rh_plan plan;
    struct rh_reason reason;
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), 0);
    assert_int_equal(plan.nodes_count, 4);
    double before = 0;
    double after = 0;
    for (size_t i = 0; i < 4; i++) {
        before += plan.nodes[i].before;
        after += plan.nodes[i].after;
        assert_true(i == 0 || strcmp(plan.nodes[i - 1].id, plan.nodes[i].id) < 0);
    }
    check_near(before, 1, 1e-12);
    check_near(after, 1, 1e-12);
    assert_string_equal(plan.nodes[3].id, "n4");
    check_near(plan.nodes[3].before, 0, 0);
    check_near(plan.moved, plan.nodes[3].after, 1e-12);
    check_near(plan.moved, 0.25, 0.1);
    check_near(plan.modulo_moved, 0.75, 0);
    rh_plan_finish(&plan);
    rh_view_give(view);
}

static void removing_and_adding_back_are_opposites(void **state RH_UNUSED)
{
    struct rh_view *four = make_view((const char *const[]){"n1", "n2", "n3", "n4"},
                                     (const uint32_t[]){1000, 1000, 1000, 2500}, 4);
    struct rh_view *three = make_view(three_ids, three_weights, 3);
    const struct rh_change remove = change_of(RH_CHANGE_REMOVE, "n4");
    const struct rh_change add = change_of(RH_CHANGE_ADD, "n4:2.5");
    struct rh_plan away;
    struct rh_plan back;
    struct rh_reason reason;
    assert_int_equal(rh_plan_create(four, &remove, 1, &away, &reason), 0);
    assert_int_equal(rh_plan_create(three, &add, 1, &back, &reason), 0);
    check_near(away.moved, back.moved, 1e-12);
    check_near(away.nodes[3].before, away.moved, 1e-12);
    assert_int_equal(away.nodes_count, back.nodes_count);
    for (size_t i = 0; i < away.nodes_count; i++) {
        assert_string_equal(away.nodes[i].id, back.nodes[i].id);
        check_near(away.nodes[i].before, back.nodes[i].after, 0);
        check_near(away.nodes[i].after, back.nodes[i].before, 0);
    }
    rh_plan_finish(&away);
    rh_plan_finish(&back);
    rh_view_give(four);
    rh_view_give(three);
}

static void a_node_outside_the_ring_can_be_added_but_not_removed(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(three_ids, (const uint32_t[]){1000, 0, 1000}, 3);
    struct rh_plan plan;
    struct rh_reason reason;
    struct rh_change change = change_of(RH_CHANGE_ADD, "n2");
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), 0);
    assert_int_equal(plan.nodes_count, 3);
    check_near(plan.modulo_moved,
               rh_plan_modulo_moved((const char *const[]){"n1", "n3"}, 2, three_ids, 3), 0);
    rh_plan_finish(&plan);
    change = change_of(RH_CHANGE_REMOVE, "n1");
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), 0);
    assert_int_equal(plan.nodes_count, 2); /* n2 has no part in it */
    rh_plan_finish(&plan);
    change = change_of(RH_CHANGE_REMOVE, "n2");
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "n2 is not in the ring; `ringhop ring` lists who is");
    rh_view_give(view);
}

static void what_does_not_fit_the_ring_is_refused(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(three_ids, three_weights, 3);
    struct rh_plan plan;
    struct rh_reason reason;
    struct rh_change changes[2] = {change_of(RH_CHANGE_ADD, "n1")};
    assert_int_equal(rh_plan_create(view, changes, 1, &plan, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "n1 cannot be added: it is in the ring already (--weight "
                                     "changes a weight)");
    changes[0] = change_of(RH_CHANGE_WEIGHT, "n9:2");
    assert_int_equal(rh_plan_create(view, changes, 1, &plan, &reason), RH_ERR_CONFLICT);
    changes[0] = change_of(RH_CHANGE_REMOVE, "n1");
    changes[1] = change_of(RH_CHANGE_ADD, "n1");
    assert_int_equal(rh_plan_create(view, changes, 2, &plan, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "n1 is named twice");
    changes[0] = change_of(RH_CHANGE_ADD, "n4");
    changes[1] = change_of(RH_CHANGE_ADD, "n4:2");
    assert_int_equal(rh_plan_create(view, changes, 2, &plan, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "n4 is named twice");
    rh_view_give(view);
}

static void removing_the_last_node_moves_everything(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(three_ids, three_weights, 1);
    const struct rh_change change = change_of(RH_CHANGE_REMOVE, "n1");
    struct rh_plan plan;
    struct rh_reason reason;
    assert_int_equal(rh_plan_create(view, &change, 1, &plan, &reason), 0);
    check_near(plan.moved, 1, 1e-12);
    check_near(plan.modulo_moved, 1, 0);
    check_near(plan.nodes[0].before, 1, 0);
    check_near(plan.nodes[0].after, 0, 0);
    rh_plan_finish(&plan);
    rh_view_give(view);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(three_ids, three_weights, 3);
    const struct rh_change change = change_of(RH_CHANGE_ADD, "n4");
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_plan plan;
        struct rh_reason reason;
        rh_test_allocation_fail(nth);
        int rv = rh_plan_create(view, &change, 1, &plan, &reason);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            rh_plan_finish(&plan);
            break;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        failures++;
    }
    assert_true(failures >= 8);
    rh_view_give(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(modulo_moves_what_counting_says),
        RH_TEST(modulo_counts_names_and_not_places),
        RH_TEST(modulo_over_no_nodes_moves_all_or_nothing),
        RH_TEST(a_plan_moves_what_the_newcomer_gets_and_nothing_else),
        RH_TEST(removing_and_adding_back_are_opposites),
        RH_TEST(a_node_outside_the_ring_can_be_added_but_not_removed),
        RH_TEST(what_does_not_fit_the_ring_is_refused),
        RH_TEST(removing_the_last_node_moves_everything),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
