/* SPDX-License-Identifier: Apache-2.0 */
#include "node/proposal.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

static struct rh_view *make_view(int64_t pzxid, uint32_t weight_milli)
{
    const struct rh_registration members[] = {
        {.id = "n1", .instance = 1, .weight_milli = 1000, .zone = "a"},
        {.id = "n2", .instance = 2, .weight_milli = weight_milli, .zone = "b"},
        {.id = "n3", .instance = 3, .weight_milli = 0, .zone = "c"}};
    const int64_t czxids[] = {1, 2, 3};
    const struct rh_shared_config config = {
        .generation = 3, .format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = 2};
    const struct rh_epoch epoch = {.generation = 3, .pzxid = pzxid};
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, 3, &view), 0);
    return view;
}

static void add(struct rh_proposal *proposal, enum rh_change_kind kind, const char *text)
{
    struct rh_reason reason = {""};
    struct rh_change *change = &proposal->changes[proposal->changes_count++];
    assert_int_equal(rh_change_parse(kind, rh_bytes_text(text), change, &reason), 0);
}

static struct rh_proposal make_proposal(void)
{
    struct rh_proposal proposal = {.epoch = {.generation = 3, .pzxid = 57},
                                   .digest = 0x9f86d081884c7d65};
    add(&proposal, RH_CHANGE_ADD, "n4:1.5:eu-west.1_a");
    add(&proposal, RH_CHANGE_ADD, "n5:1");
    add(&proposal, RH_CHANGE_REMOVE, "n2");
    add(&proposal, RH_CHANGE_WEIGHT, "n1:0.001");
    return proposal;
}

static const char *format(const struct rh_proposal *proposal)
{
    static char text[RH_PROPOSAL_TEXT_SIZE];
    struct rh_reason reason = {""};
    assert_int_equal(rh_proposal_format(proposal, text, &reason), 0);
    return text;
}

static int parse(const char *text, struct rh_proposal *proposal, struct rh_reason *reason)
{
    return rh_proposal_parse(rh_bytes_text(text), proposal, reason);
}

/* ---- changes ---- */

static void changes_are_read_as_they_are_written(void **state RH_UNUSED)
{
    struct rh_change change;
    struct rh_reason reason;
    assert_int_equal(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text("n4"), &change, &reason), 0);
    assert_string_equal(change.id, "n4");
    assert_int_equal(change.weight_milli, 0);
    assert_string_equal(change.zone, "");
    assert_int_equal(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text("n4:2.5:b"), &change, &reason),
                     0);
    assert_int_equal(change.weight_milli, 2500);
    assert_string_equal(change.zone, "b");
    assert_int_equal(rh_change_parse(RH_CHANGE_REMOVE, rh_bytes_text("n4"), &change, &reason), 0);
    assert_int_equal(rh_change_parse(RH_CHANGE_WEIGHT, rh_bytes_text("n4:0.001"), &change, &reason),
                     0);
    assert_int_equal(change.weight_milli, 1);
}

static void changes_that_cannot_be_read_say_why(void **state RH_UNUSED)
{
    static const char id[] = "a node id is 1 to 64 letters, digits, _ or -";
    static const char weight[] =
        "a weight is a number above 0, at most 1000, with at most three decimals";
    static const char zone[] = "a zone is up to 64 letters, digits, dots, _ or -, of a node to add";
    const struct {
        enum rh_change_kind kind;
        const char *text;
        const char *reason;
    } bad[] = {
        {RH_CHANGE_ADD, "", id},
        {RH_CHANGE_ADD, "n 4", id},
        {RH_CHANGE_ADD, ":1", id},
        {RH_CHANGE_ADD, "n4:0", weight},
        {RH_CHANGE_ADD, "n4:", weight},
        {RH_CHANGE_ADD, "n4::b", weight},
        {RH_CHANGE_ADD, "n4:1:b:c", zone},
        {RH_CHANGE_ADD, "n4:1:b,c", zone},
        {RH_CHANGE_REMOVE, "n4:1", "a node is removed without a weight"},
        {RH_CHANGE_WEIGHT, "n4", "the new weight is missing, as in n4:2"},
        {RH_CHANGE_WEIGHT, "n4:1:b", zone},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rh_change change;
        struct rh_reason reason;
        char expected[RH_REASON_SIZE];
        (void)snprintf(expected, sizeof(expected), "`%s`: %s", bad[i].text, bad[i].reason);
        assert_int_equal(rh_change_parse(bad[i].kind, rh_bytes_text(bad[i].text), &change, &reason),
                         RH_ERR_INVALID);
        assert_string_equal(reason.text, expected);
    }
}

static void a_zone_has_at_most_64_bytes(void **state RH_UNUSED)
{
    char text[128];
    struct rh_change change;
    (void)snprintf(text, sizeof(text), "n4:1:%064d", 0);
    assert_int_equal(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text(text), &change, NULL), 0);
    assert_int_equal(strlen(change.zone), 64);
    (void)snprintf(text, sizeof(text), "n4:1:%065d", 0);
    assert_int_equal(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text(text), &change, NULL),
                     RH_ERR_INVALID);
}

/* ---- the text ---- */

static void the_text_carries_all_of_it(void **state RH_UNUSED)
{
    const struct rh_proposal proposal = make_proposal();
    struct rh_proposal read;
    struct rh_reason reason = {""};
    static const char expected[] = "3:57:9f86d081884c7d65/add:n4:1.5:eu-west.1_a,add:n5:1:,"
                                   "remove:n2,weight:n1:0.001/";
    const char *text = format(&proposal);
    assert_int_equal(strncmp(text, expected, sizeof(expected) - 1), 0);
    assert_int_equal(parse(text, &read, &reason), 0);
    assert_int_equal(rh_epoch_compare(read.epoch, proposal.epoch), 0);
    assert_true(read.digest == proposal.digest);
    assert_int_equal(read.changes_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read.changes[i].kind, proposal.changes[i].kind);
        assert_string_equal(read.changes[i].id, proposal.changes[i].id);
        assert_int_equal(read.changes[i].weight_milli, proposal.changes[i].weight_milli);
        assert_string_equal(read.changes[i].zone, proposal.changes[i].zone);
    }
}

static void a_shell_leaves_the_text_alone(void **state RH_UNUSED)
{
    const struct rh_proposal proposal = make_proposal();
    const char *text = format(&proposal);
    assert_true(text[0] >= '0' && text[0] <= '9'); /* and nobody takes it for an option */
    assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  ":/,._-"),
                     strlen(text));
}

static void any_damage_is_noticed(void **state RH_UNUSED)
{
    const struct rh_proposal proposal = make_proposal();
    char text[RH_PROPOSAL_TEXT_SIZE];
    struct rh_proposal read;
    struct rh_reason reason;
    (void)snprintf(text, sizeof(text), "%s", format(&proposal));
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(rh_proposal_parse(rh_bytes(text, i), &read, &reason), RH_ERR_INVALID);
        char was = text[i];
        text[i] = was == '1' ? '2' : '1';
        assert_int_equal(parse(text, &read, &reason), RH_ERR_INVALID);
        text[i] = was;
    }
    assert_int_equal(parse(text, &read, &reason), 0);
    assert_int_equal(rh_proposal_parse(rh_bytes(text + 1, size - 1), &read, &reason),
                     RH_ERR_INVALID);
    assert_string_equal(
        reason.text, "the id of the plan is damaged: copy it whole, without spaces or line ends");
    assert_int_equal(parse("n4", &read, &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "this is not the id of a plan: `ringhop plan` prints one");
}

static void what_would_not_fit_into_a_request_is_refused(void **state RH_UNUSED)
{
    struct rh_proposal proposal = {.epoch = {.generation = 1, .pzxid = 1}};
    struct rh_reason reason = {""};
    char text[RH_PROPOSAL_TEXT_SIZE];
    int rv = 0;
    while (rv == 0 && proposal.changes_count < RH_PROPOSAL_CHANGES_MAX) {
        char change[128];
        (void)snprintf(change, sizeof(change), "node-%020zu:1.125", proposal.changes_count);
        add(&proposal, RH_CHANGE_WEIGHT, change);
        rv = rh_proposal_format(&proposal, text, &reason);
        struct rh_proposal read;
        assert_true(rv != 0 || parse(text, &read, &reason) == 0);
    }
    assert_int_equal(rv, RH_ERR_TOO_LARGE);
    assert_string_equal(reason.text, "too many changes for one plan: its id would have more than "
                                     "3840 characters");
    assert_true(proposal.changes_count > 80);
}

/* ---- views ---- */

static void it_is_of_one_epoch_and_one_ring(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(57, 1000);
    struct rh_view *later = make_view(58, 1000);
    struct rh_view *other = make_view(57, 2000);
    struct rh_reason reason = {""};
    const struct rh_proposal proposal = {.epoch = view->epoch,
                                         .digest = rh_ring_digest(view->ring)};
    assert_int_equal(rh_proposal_check(&proposal, view, &reason), 0);
    assert_int_equal(rh_proposal_check(&proposal, later, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "the plan is of epoch 3:57, the cluster is in 3:58");
    assert_int_equal(rh_proposal_check(&proposal, other, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "the plan is of another ring than this cluster's");
    rh_view_give(view);
    rh_view_give(later);
    rh_view_give(other);
}

static void the_ring_to_come_has_all_members_with_their_weights_and_zones(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(57, 1000);
    struct rh_proposal proposal = {0};
    struct rh_reason reason = {""};
    struct rh_ring *ring = NULL;
    add(&proposal, RH_CHANGE_REMOVE, "n1");
    add(&proposal, RH_CHANGE_ADD, "n3:2:elsewhere"); /* it is registered: its zone is known */
    add(&proposal, RH_CHANGE_ADD, "n0:0.5:d");
    add(&proposal, RH_CHANGE_WEIGHT, "n2:4");
    assert_int_equal(
        rh_changes_apply(view, proposal.changes, proposal.changes_count, &ring, &reason), 0);
    static const struct rh_ring_member expected[] = {
        {"n0", "d", 500}, {"n1", "a", 0}, {"n2", "b", 4000}, {"n3", "c", 2000}};
    assert_int_equal(rh_ring_members_count(ring), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(rh_ring_member(ring, i)->id, expected[i].id);
        assert_string_equal(rh_ring_member(ring, i)->zone, expected[i].zone);
        assert_int_equal(rh_ring_member(ring, i)->weight_milli, expected[i].weight_milli);
    }
    rh_ring_destroy(ring);
    rh_view_give(view);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rh_view *view = make_view(57, 1000);
    const struct rh_proposal proposal = make_proposal();
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        char text[RH_PROPOSAL_TEXT_SIZE];
        struct rh_ring *ring = NULL;
        rh_test_allocation_fail(nth);
        int rv = rh_proposal_format(&proposal, text, NULL);
        if (rv == 0) {
            rv = rh_changes_apply(view, proposal.changes, proposal.changes_count, &ring, NULL);
        }
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            rh_ring_destroy(ring);
            break;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        failures++;
    }
    assert_true(failures >= 4);
    rh_view_give(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(changes_are_read_as_they_are_written),
        RH_TEST(changes_that_cannot_be_read_say_why),
        RH_TEST(a_zone_has_at_most_64_bytes),
        RH_TEST(the_text_carries_all_of_it),
        RH_TEST(a_shell_leaves_the_text_alone),
        RH_TEST(any_damage_is_noticed),
        RH_TEST(what_would_not_fit_into_a_request_is_refused),
        RH_TEST(it_is_of_one_epoch_and_one_ring),
        RH_TEST(the_ring_to_come_has_all_members_with_their_weights_and_zones),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
