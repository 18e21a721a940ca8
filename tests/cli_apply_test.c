/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/apply.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

/* A view is "n1:1000:a n2:0:b": id, weight in thousandths, zone. */
static struct rh_view *view_of(const char *text)
{
    struct rh_registration members[8];
    int64_t czxids[8];
    size_t count = 0;
    int used = 0;
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 8, .replicas = 2};
    const struct rh_epoch epoch = {.generation = 1, .pzxid = 57};
    struct rh_view *view = NULL;
    for (;; text += used) {
        struct rh_registration member = {.instance = count + 1};
        if (sscanf(text, " %7[^:]:%u:%7s%n", member.id, &member.weight_milli, member.zone, &used) <
            3) {
            break;
        }
        members[count] = member;
        czxids[count] = (int64_t)count;
        count++;
    }
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, count, &view), 0);
    return view;
}

static const struct rh_proposal proposal = {
    .changes = {{.kind = RH_CHANGE_ADD, .id = "n4", .weight_milli = 2000, .zone = "b"},
                {.kind = RH_CHANGE_REMOVE, .id = "n1"},
                {.kind = RH_CHANGE_WEIGHT, .id = "n2", .weight_milli = 500}},
    .changes_count = 3,
};

#define BASE "n1:1000:a n2:1000:b n3:1000:c n9:0:c"

static void check(const char *now, const char *expected)
{
    struct rh_view *base = view_of(BASE);
    struct rh_view *view = view_of(now);
    struct rh_reason reason = {""};
    int rv = rh_apply_check(&proposal, base, view, &reason);
    assert_int_equal(rv, expected == NULL ? 0 : RH_ERR_CONFLICT);
    assert_string_equal(reason.text, expected == NULL ? "" : expected);
    rh_view_give(base);
    rh_view_give(view);
}

static void what_the_plan_does_is_as_planned(void **state RH_UNUSED)
{
    check(BASE, NULL);
    check(BASE " n4:0:b", NULL);
    check(BASE " n4:1000:b", NULL); /* the weight of its file, before it is asked */
    check("n1:1000:a n2:1000:b n3:1000:c n9:0:c n4:2000:b", NULL);
    check("n1:0:a n2:500:b n3:1000:c n9:0:c n4:2000:b", NULL);
    check("n1:0:a n2:1000:b n3:1000:c n9:0:c n4:2000:b", NULL);
}

static void who_comes_and_goes_outside_the_ring_does_not_matter(void **state RH_UNUSED)
{
    check("n1:1000:a n2:1000:b n3:1000:c", NULL);
    check(BASE " n8:0:x", NULL);
}

static void what_others_do_is_not(void **state RH_UNUSED)
{
    check("n1:1000:a n2:1000:b n9:0:c", "n3 is gone, which was not planned");
    check("n2:1000:b n3:1000:c n9:0:c", "n1 is gone, which was not planned");
    check("n1:1000:a n2:1000:b n3:900:c n9:0:c",
          "the weight of n3 has changed, as was not planned");
    check("n1:1000:a n2:600:b n3:1000:c n9:0:c",
          "the weight of n2 has changed, as was not planned");
    check("n1:1000:a n2:1000:b n3:1000:c n9:1000:c",
          "the weight of n9 has changed, as was not planned");
    check(BASE " n8:1000:x", "the weight of n8 has changed, as was not planned");
}

static void a_node_to_add_has_to_be_in_the_planned_zone(void **state RH_UNUSED)
{
    check(BASE " n4:0:c", "n4 is in zone `c`, and was planned for zone `b`");
}

static void nodes_to_add_are_looked_for(void **state RH_UNUSED)
{
    struct rh_view *none = view_of(BASE);
    struct rh_view *there = view_of(BASE " n4:0:b");
    struct rh_view *weighted = view_of(BASE " n4:2000:b");
    assert_int_equal(rh_apply_count_adds(&proposal), 1);
    assert_string_equal(rh_apply_missing(&proposal, none, rh_apply_is_registered)->id, "n4");
    assert_null(rh_apply_missing(&proposal, there, rh_apply_is_registered));
    assert_string_equal(rh_apply_missing(&proposal, there, rh_apply_has_weight)->id, "n4");
    assert_null(rh_apply_missing(&proposal, weighted, rh_apply_has_weight));
    rh_view_give(none);
    rh_view_give(there);
    rh_view_give(weighted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(what_the_plan_does_is_as_planned),
        RH_TEST(who_comes_and_goes_outside_the_ring_does_not_matter),
        RH_TEST(what_others_do_is_not),
        RH_TEST(a_node_to_add_has_to_be_in_the_planned_zone),
        RH_TEST(nodes_to_add_are_looked_for),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
