/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "node/view.h"
#include "node/view_shown.h"
#include "proto/peer_codec.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rh_shared_config config = {.generation = 3,
                                               .format = RH_CONFIG_FORMAT,
                                               .vnodes = 8,
                                               .replicas = 2,
                                               .seed = 5,
                                               .session_timeout_ms = 4000};

#define MEMBERS 3

/* n1 to n3 at (3, pzxid); member i's registration has the name n<i>.<sequences[i]>. */
static struct rh_view *make(int64_t pzxid, const unsigned *sequences, size_t count,
                            uint64_t deletions)
{
    struct rh_registration members[MEMBERS] = {0};
    struct rh_registration_name names[MEMBERS] = {0};
    int64_t czxids[MEMBERS] = {0};
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(members[i].id, sizeof(members[i].id), "n%zu", i + 1);
        (void)snprintf(members[i].url, sizeof(members[i].url), "ws://h:%zu", 7100 + i);
        (void)snprintf(members[i].peer, sizeof(members[i].peer), "h:%zu", 7200 + i);
        (void)snprintf(names[i].text, sizeof(names[i].text), "n%zu.%010u", i + 1, sequences[i]);
        members[i].instance = i + 100;
        members[i].weight_milli = RH_WEIGHT_ONE;
        czxids[i] = (int64_t)sequences[i] + 1;
    }
    const struct rh_view_source source = {.epoch = {.generation = 3, .pzxid = pzxid},
                                          .config = &config,
                                          .members = members,
                                          .czxids = czxids,
                                          .names = names,
                                          .members_count = count,
                                          .deletions = deletions};
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_build(&source, &view), 0);
    return view;
}

static void of_two_members_with_one_id_the_newer_stays_with_its_name(void **state RH_UNUSED)
{
    struct rh_registration members[2] = {{.id = "n1", .instance = 1}, {.id = "n1", .instance = 2}};
    const struct rh_registration_name names[2] = {{"n1.0000000009"}, {"n1.0000000004"}};
    const int64_t czxids[2] = {4, 9};
    const struct rh_view_source source = {.config = &config,
                                          .members = members,
                                          .czxids = czxids,
                                          .names = names,
                                          .members_count = 2};
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_build(&source, &view), 0);
    assert_int_equal(view->members_count, 1);
    assert_int_equal(view->members[0].instance, 2);
    assert_string_equal(view->names[0].text, "n1.0000000004");
    assert_string_equal(rh_view_chain(view, 0), "n1.0000000004");
    rh_view_give(view);
}

static void losses_are_told_by_who_is_missing_and_by_how_many_were_deleted(void **state RH_UNUSED)
{
    const unsigned first[] = {1, 2, 3};
    const unsigned second[] = {1, 2, 7};
    const unsigned third[] = {8, 9, 7};
    struct rh_view *view = make(10, first, 3, 4);
    struct rh_view *less = make(11, first, 2, 5);
    struct rh_view *replaced = make(12, second, 3, 5);
    struct rh_view *unseen = make(13, second, 3, 6);
    struct rh_view *all = make(14, third, 3, 7);
    assert_true(rh_view_lost(view, less));
    assert_false(rh_view_lost(less, replaced)); /* one more, none deleted */
    assert_false(rh_view_lost(view, replaced)); /* the one that is gone was replaced */
    assert_true(rh_view_lost(view, unseen));
    assert_true(rh_view_lost(replaced, unseen));
    assert_false(rh_view_lost(view, all));
    /* The counts of another generation say nothing, who is there does. */
    all->epoch.generation++;
    all->deletions = 1000;
    assert_false(rh_view_lost(view, all));
    assert_true(rh_view_lost(all, less));
    struct rh_view *views[] = {view, less, replaced, unseen, all};
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        rh_view_give(views[i]);
    }
}

static void chains_are_shared_by_name_within_a_generation(void **state RH_UNUSED)
{
    const unsigned sequences[] = {1, 2, 3};
    struct rh_view *view = make(10, sequences, 3, 0);
    struct rh_record_member members[] = {
        {.id = "n0", .instance = 7, .origin = "n0.0000000000"},
        {.id = "n2", .instance = 101, .origin = "n2.0000000000"},
    };
    struct rh_record record = {
        .last = {.generation = 3, .pzxid = 9}, .members = members, .members_count = 2};
    assert_false(rh_view_shares_chain(view, &record));
    (void)snprintf(view->members[1].origin, sizeof(view->members[1].origin), "n2.0000000000");
    assert_true(rh_view_shares_chain(view, &record));
    record.last.generation = 2;
    assert_false(rh_view_shares_chain(view, &record));
    record = (struct rh_record){.last = {.generation = 3, .pzxid = 9}};
    assert_false(rh_view_shares_chain(view, &record));
    rh_view_give(view);
}

/* As a peer would read it. */
static void a_shown_view_is_read_as_it_was(void **state RH_UNUSED)
{
    const unsigned sequences[] = {1, 2, 3};
    struct rh_view *view = make(10, sequences, 3, 17);
    (void)snprintf(view->members[1].origin, sizeof(view->members[1].origin), "n2.0000000000");
    struct rh_view_shown *shown = NULL;
    assert_int_equal(rh_view_show(view, &shown), 0);
    struct rh_view *back = NULL;
    struct rh_reason reason = {0};
    assert_int_equal(rh_view_read(rh_view_shown_message(shown), &back, &reason), 0);
    rh_view_shown_destroy(shown);
    assert_true(rh_epoch_compare(back->epoch, view->epoch) == 0);
    assert_int_equal(back->deletions, 17);
    assert_int_equal(back->config.session_timeout_ms, 4000);
    assert_int_equal(back->config.seed, 5);
    assert_int_equal(back->members_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(back->members[i].id, view->members[i].id);
        assert_string_equal(back->members[i].peer, view->members[i].peer);
        assert_string_equal(back->names[i].text, view->names[i].text);
        assert_string_equal(rh_view_chain(back, i), rh_view_chain(view, i));
        assert_int_equal(back->czxids[i], view->czxids[i]);
        assert_int_equal(back->members[i].instance, view->members[i].instance);
    }
    assert_int_equal(rh_ring_digest(back->ring), rh_ring_digest(view->ring));
    assert_false(rh_view_lost(view, back));
    rh_view_give(back);
    rh_view_give(view);
}

static void what_cannot_be_a_view_is_refused(void **state RH_UNUSED)
{
    const unsigned sequences[] = {1, 2, 3};
    struct rh_view *view = make(10, sequences, 3, 0);
    struct rh_view_shown *shown = NULL;
    assert_int_equal(rh_view_show(view, &shown), 0);
    const struct rh_peer_view good = *rh_view_shown_message(shown);
    struct rh_peer_view_member members[MEMBERS];
    static const struct {
        const char *name; /* NULL: as it was */
        const char *data;
        int64_t czxid;
        const char *reason;
    } cases[] = {
        {"n1.0000000002", NULL, 0, "\"n1.0000000002\" is not a registration of n2"},
        {"n2", NULL, 0, "\"n2\" is not a registration of n2"},
        {"n2.00000000000000000000000000000000000000000000000000000000000000000000000000", NULL, 0,
         "the name of n2 is too long"},
        {NULL, "{}", 0, "id: missing"},
        {NULL, NULL, 11, "n2.0000000002 was made after its view"},
        {NULL, NULL, -1, "n2.0000000002 was made after its view"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(members, good.members, sizeof(members));
        struct rh_peer_view bad = good;
        bad.members = members;
        if (cases[i].name != NULL) {
            members[1].name = rh_bytes_text(cases[i].name);
        }
        if (cases[i].data != NULL) {
            members[1].data = rh_bytes_text(cases[i].data);
        }
        if (cases[i].czxid != 0) {
            members[1].czxid = cases[i].czxid;
        }
        struct rh_view *back = NULL;
        struct rh_reason reason = {0};
        assert_int_equal(rh_view_read(&bad, &back, &reason), RH_ERR_INVALID);
        assert_string_equal(reason.text, cases[i].reason);
        assert_null(back);
    }
    struct rh_peer_view bad = good;
    struct rh_view *back = NULL;
    bad.epoch.generation = 4;
    assert_int_equal(rh_view_read(&bad, &back, NULL), RH_ERR_INVALID);
    bad = good;
    bad.config = rh_bytes_text("{}");
    assert_int_equal(rh_view_read(&bad, &back, NULL), RH_ERR_INVALID);
    rh_view_shown_destroy(shown);
    rh_view_give(view);
}

static void a_view_of_a_thousand_nodes_fits_into_a_frame(void **state RH_UNUSED)
{
    size_t count = 1024;
    struct rh_registration *members = calloc(count, sizeof(*members));
    struct rh_registration_name *names = calloc(count, sizeof(*names));
    int64_t *czxids = calloc(count, sizeof(*czxids));
    assert_true(members != NULL && names != NULL && czxids != NULL);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(members[i].id, sizeof(members[i].id), "node-%04zu", i);
        (void)snprintf(members[i].url, sizeof(members[i].url), "wss://node-%04zu.example.org:443",
                       i);
        (void)snprintf(members[i].peer, sizeof(members[i].peer), "node-%04zu.example.org:7200", i);
        (void)snprintf(names[i].text, sizeof(names[i].text), "node-%04zu.%010zu", i, i);
        members[i].instance = i + 1;
        members[i].weight_milli = RH_WEIGHT_ONE;
        czxids[i] = (int64_t)i + 1;
    }
    const struct rh_view_source source = {.epoch = {.generation = 3, .pzxid = 5000},
                                          .config = &config,
                                          .members = members,
                                          .czxids = czxids,
                                          .names = names,
                                          .members_count = count};
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_build(&source, &view), 0);
    struct rh_view_shown *shown = NULL;
    assert_int_equal(rh_view_show(view, &shown), 0);
    struct rh_peer_message message = {
        .kind = RH_PEER_VIEW, .epoch = view->epoch, .view = *rh_view_shown_message(shown)};
    struct rh_reason reason = {0};
    if (rh_peer_message_check(&message, &reason) != 0) {
        fail_msg("%s", reason.text);
    }
    rh_view_shown_destroy(shown);
    rh_view_give(view);
    free(members);
    free(names);
    free(czxids);
}

static void memory_that_is_short_leaves_nothing(void **state RH_UNUSED)
{
    const unsigned sequences[] = {1, 2, 3};
    struct rh_view *view = make(10, sequences, 3, 17);
    for (unsigned nth = 1;; nth++) {
        struct rh_view_shown *shown = NULL;
        struct rh_view *back = NULL;
        rh_test_allocation_fail(nth);
        int rv = rh_view_show(view, &shown);
        if (rv == 0) {
            rv = rh_view_read(rh_view_shown_message(shown), &back, NULL);
        }
        bool failed = rh_test_allocation_failed();
        rh_view_shown_destroy(shown);
        rh_view_give(back);
        if (!failed) {
            assert_int_equal(rv, 0);
            break;
        }
        assert_true(rv != 0 || back != NULL);
    }
    rh_view_give(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(of_two_members_with_one_id_the_newer_stays_with_its_name),
        RH_TEST(losses_are_told_by_who_is_missing_and_by_how_many_were_deleted),
        RH_TEST(chains_are_shared_by_name_within_a_generation),
        RH_TEST(a_shown_view_is_read_as_it_was),
        RH_TEST(what_cannot_be_a_view_is_refused),
        RH_TEST(a_view_of_a_thousand_nodes_fits_into_a_frame),
        RH_TEST(memory_that_is_short_leaves_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
