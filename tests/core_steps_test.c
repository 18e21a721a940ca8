/* SPDX-License-Identifier: Apache-2.0 */

/* One core, n1, of a cluster of two. It owns all keys and hears very much from n2: it takes a piece of it
 * in each step, in order. Or it has copies of very many channels that n2 owns: it tells of no more at a
 * time than the link takes. */

#include "node/core.h"
#include "node/core_inspect.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES      2
#define COPIES     2000
#define STEP       512  /* copies of one report: the default */
#define STEP_BYTES 8192 /* of frames that were held: likewise */

struct fixture {
    struct rh_core *core;
    struct rh_actions actions;
    uint64_t now_ms;
    struct rh_node_ref group[NODES];
    struct rh_peer_copy copies[COPIES];
    char keys[COPIES][16];
    bool complete; /* the last view is */
    int owner;     /* of all keys: 0 is n1 */
};

static struct rh_node_ref ref_of(int node)
{
    struct rh_node_ref ref = {.instance = 100 + (uint64_t)node};
    (void)snprintf(ref.id, sizeof(ref.id), "n%d", node + 1);
    return ref;
}

static struct rh_view *view_of(int64_t pzxid, int owner)
{
    struct rh_registration members[NODES];
    static const int64_t czxids[NODES] = {1, 2};
    for (int i = 0; i < NODES; i++) {
        struct rh_node_ref ref = ref_of(i);
        members[i] = (struct rh_registration){.instance = ref.instance,
                                              .weight_milli = i == owner ? 1000 : 0};
        memcpy(members[i].id, ref.id, sizeof(members[i].id));
    }
    const struct rh_shared_config config = {
        .format = RH_CONFIG_FORMAT, .generation = 1, .vnodes = 16, .replicas = 2};
    struct rh_view *view = NULL;
    const struct rh_epoch epoch = {.generation = 1, .pzxid = pzxid};
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, NODES, &view), 0);
    return view;
}

static void step(struct fixture *fixture, struct rh_event *event)
{
    event->now_ms = fixture->now_ms;
    event->time_ms = 1764000000000;
    rh_core_step(fixture->core, event, &fixture->actions);
    for (size_t i = 0; i < fixture->actions.count; i++) {
        fixture->complete |= fixture->actions.items[i].kind == RH_ACTION_COMPLETE;
    }
}

static void tick(struct fixture *fixture)
{
    struct rh_event event = {.kind = RH_EVENT_TICK};
    step(fixture, &event);
}

static void adopt(struct fixture *fixture, int64_t pzxid)
{
    struct rh_event event = {.kind = RH_EVENT_VIEW,
                             .view = view_of(pzxid, fixture->owner),
                             .registration_epoch = {.generation = 1, .pzxid = 1}};
    fixture->complete = false;
    step(fixture, &event);
    rh_view_give(event.view);
}

static void say(struct fixture *fixture, struct rh_peer_message *message, int64_t pzxid)
{
    message->epoch = (struct rh_epoch){.generation = 1, .pzxid = pzxid};
    struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                             .peer_message = {.from = ref_of(1), .message = message}};
    step(fixture, &event);
}

static void report(struct fixture *fixture, size_t first, size_t count, int64_t pzxid)
{
    struct rh_peer_message message = {
        .kind = RH_PEER_REPORT,
        .report = {.copies = fixture->copies + first, .count = count, .round = 1}};
    say(fixture, &message, pzxid);
}

static void end_report(struct fixture *fixture, uint64_t copies, int64_t pzxid)
{
    struct rh_peer_message message = {.kind = RH_PEER_REPORT_END,
                                      .report_end = {.copies = copies, .round = 1}};
    say(fixture, &message, pzxid);
}

static struct rh_core_inside inside(const struct fixture *fixture)
{
    struct rh_core_inside inside;
    rh_core_inside(fixture->core, &inside);
    return inside;
}

static void fill(struct fixture *fixture)
{
    for (int i = 0; i < NODES; i++) {
        fixture->group[i] = ref_of(1 - i);
    }
    for (size_t i = 0; i < COPIES; i++) {
        (void)snprintf(fixture->keys[i], sizeof(fixture->keys[i]), "k%zu", i);
        fixture->copies[i] =
            (struct rh_peer_copy){.key = rh_bytes(fixture->keys[i], strlen(fixture->keys[i])),
                                  .incarnation = i + 1,
                                  .term = {.generation = 1, .pzxid = 100, .turn = (uint32_t)i + 1},
                                  .op = 1,
                                  .state = RH_PEER_COPY_ACTING,
                                  .group = {.members = fixture->group, .count = NODES}};
    }
}

static int setup_with(void **state, int owner, struct rh_core_steps steps)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->owner = owner;
    struct rh_core_options options = {
        .instance = ref_of(0).instance,
        .seed = 1,
        .log = {.messages_max = 10, .bytes_max = 10000, .age_ms_max = 3600000},
        .channels_max = 10000,
        .channel_idle_ms = 3600000,
        .dedup_age_ms = 300000,
        .dedup_ids_max = 100,
        .payload_size_max = 1000,
        .state_size_max = 1000,
        .batch_size_max = 10,
        .forward_timeout_ms = 5000,
        .catch_up_timeout_ms = 5000,
        .pending_max = 100,
        .pending_bytes_max = 100000,
        .replication = true,
        .session_timeout_ms = 4000,
        .grace_ms = 2000,
        .rebalance_channels_per_second = 100,
        .rebalance_in_flight = 8,
        .copies_max = 10000,
        .uncommitted_max = 64,
        .uncommitted_bytes_max = 100000,
        .held_bytes_max = 1 << 20,
        .steps = steps,
    };
    memcpy(options.id, ref_of(0).id, sizeof(options.id));
    assert_int_equal(rh_core_create(&options, &fixture->core), 0);
    fixture->now_ms = 10000;
    fill(fixture);
    adopt(fixture, 200);
    struct rh_event up = {.kind = RH_EVENT_PEER_UP, .peer = ref_of(1)};
    step(fixture, &up);
    while (rh_core_deadline_ms(fixture->core) == 0) {
        tick(fixture);
    }
    *state = fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0, (struct rh_core_steps){0});
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    rh_actions_finish(&fixture->actions);
    rh_core_destroy(fixture->core);
    free(fixture);
    return 0;
}

static void a_long_report_is_taken_a_piece_in_each_step(void **state)
{
    struct fixture *fixture = *state;
    report(fixture, 0, COPIES, 200);
    for (size_t taken = STEP; taken < COPIES; taken += STEP) {
        assert_int_equal(inside(fixture).reports, taken);
        assert_int_equal(rh_core_deadline_ms(fixture->core), 0);
        tick(fixture);
    }
    assert_int_equal(inside(fixture).reports, COPIES);
    assert_int_equal(inside(fixture).held_bytes, 0);
    assert_int_not_equal(rh_core_deadline_ms(fixture->core), 0);
}

static void an_end_marker_waits_for_the_report_before_it(void **state)
{
    struct fixture *fixture = *state;
    report(fixture, 0, COPIES, 200);
    fixture->complete = false;
    end_report(fixture, COPIES, 200);
    while (inside(fixture).held_bytes > 0) {
        assert_false(fixture->complete);
        tick(fixture);
    }
    assert_true(fixture->complete);
    assert_int_equal(inside(fixture).reports, COPIES);
}

/* All copies, in reports of 50 that come before the view that they are for. */
static void hold_all(struct fixture *fixture)
{
    for (size_t i = 0; i < COPIES; i += 50) {
        report(fixture, i, 50, 201);
    }
    assert_int_equal(inside(fixture).reports, 0);
}

static void what_was_held_is_taken_a_piece_in_each_step(void **state)
{
    struct fixture *fixture = *state;
    hold_all(fixture);
    uint64_t held = inside(fixture).held_bytes;
    assert_true(held > 2 * STEP_BYTES);
    adopt(fixture, 201);
    unsigned steps = 1;
    for (; inside(fixture).held_bytes > 0; steps++) {
        uint64_t left = inside(fixture).held_bytes;
        assert_true(left < held && held - left < STEP_BYTES + 10000);
        assert_int_equal(rh_core_deadline_ms(fixture->core), 0);
        held = left;
        tick(fixture);
    }
    assert_true(steps > 2);
    assert_int_equal(inside(fixture).reports, COPIES);
}

static void what_comes_meanwhile_is_taken_behind_it(void **state)
{
    struct fixture *fixture = *state;
    hold_all(fixture);
    adopt(fixture, 201);
    const struct rh_peer_copy gone = {.key = fixture->copies[COPIES - 1].key};
    fixture->copies[COPIES - 1] = gone;
    uint64_t held = inside(fixture).held_bytes;
    for (unsigned i = 0; i < 10; i++) {
        report(fixture, COPIES - 1, 1, 201);
        assert_true(inside(fixture).held_bytes <= held);
    }
    end_report(fixture, COPIES + 10, 201);
    assert_false(fixture->complete);
    while (rh_core_deadline_ms(fixture->core) == 0) {
        tick(fixture);
    }
    assert_true(fixture->complete);
    assert_int_equal(inside(fixture).reports, COPIES - 1);
}

static void what_is_of_a_still_later_view_stays_held(void **state)
{
    struct fixture *fixture = *state;
    report(fixture, 0, 10, 201);
    report(fixture, 10, 10, 202);
    adopt(fixture, 201);
    assert_int_equal(inside(fixture).reports, 10);
    assert_true(inside(fixture).held_bytes > 0);
    assert_int_not_equal(rh_core_deadline_ms(fixture->core), 0);
    adopt(fixture, 202);
    assert_int_equal(inside(fixture).held_bytes, 0);
}

/* ---- what n1 has to tell ---- */

#define AHEAD 4000 /* bytes of reports in a link */

static int setup_to_tell(void **state)
{
    return setup_with(state, 1, (struct rh_core_steps){.reports_ahead = AHEAD});
}

/* n2 owns all keys, and n1 has replicas of |count| of them; the link drains when a test says so. */
static void fill_with_replicas(struct fixture *fixture, size_t count)
{
    const struct rh_epoch epoch = {.generation = 1, .pzxid = 200};
    for (size_t i = 0; i < count; i++) {
        struct rh_peer_message message = {
            .kind = RH_PEER_SYNC_BEGIN,
            .epoch = epoch,
            .sync_begin = {.sync = i + 1,
                           .purpose = RH_PEER_SYNC_MEMBER,
                           .key = fixture->copies[i].key,
                           .incarnation = i + 1,
                           .term = {.generation = 1, .pzxid = 100, .turn = (uint32_t)i + 1},
                           .group = fixture->copies[i].group,
                           .last = true,
                           .sent_ms = i + 1}};
        say(fixture, &message, 200);
    }
    assert_int_equal(rh_core_stats(fixture->core)->copies, count);
}

/* What the last step has sent. */
struct sent {
    size_t copies;
    size_t ends;
    uint64_t ended_with; /* copies */
    bool asks;           /* to be told when the link has drained */
};

static struct sent sent_by(const struct fixture *fixture)
{
    struct sent sent = {0};
    for (size_t i = 0; i < fixture->actions.count; i++) {
        const struct rh_action *action = &fixture->actions.items[i];
        sent.asks |= action->kind == RH_ACTION_TELL_DRAINED;
        if (action->kind != RH_ACTION_SEND) {
            continue;
        }
        const struct rh_peer_message *message = &action->send.message;
        sent.copies += message->kind == RH_PEER_REPORT ? message->report.count : 0;
        if (message->kind == RH_PEER_REPORT_END) {
            sent.ends++;
            sent.ended_with = message->report_end.copies;
        }
    }
    return sent;
}

static void add(struct sent *sum, struct sent more)
{
    sum->copies += more.copies;
    sum->ends += more.ends;
    sum->ended_with += more.ended_with;
    sum->asks |= more.asks;
}

/* Ticks as long as the core wants them at once. */
static struct sent run_ticks(struct fixture *fixture)
{
    struct sent sum = {0};
    while (rh_core_deadline_ms(fixture->core) == 0) {
        tick(fixture);
        add(&sum, sent_by(fixture));
    }
    return sum;
}

static struct sent peer_event(struct fixture *fixture, enum rh_event_kind kind)
{
    struct rh_event event = {.kind = kind, .peer = ref_of(1)};
    step(fixture, &event);
    struct sent sum = sent_by(fixture);
    add(&sum, run_ticks(fixture));
    return sum;
}

static struct sent adopt_and_sweep(struct fixture *fixture, int64_t pzxid)
{
    adopt(fixture, pzxid);
    struct sent sum = sent_by(fixture);
    add(&sum, run_ticks(fixture));
    return sum;
}

static void reports_go_on_as_the_link_drains(void **state)
{
    struct fixture *fixture = *state;
    fill_with_replicas(fixture, COPIES);
    struct sent sum = adopt_and_sweep(fixture, 201);
    unsigned drained = 0;
    for (; sum.ends == 0; drained++) {
        assert_false(rh_core_is_sweeping(fixture->core)); /* the walk does not wait */
        assert_true(sum.asks);
        struct sent more = peer_event(fixture, RH_EVENT_PEER_DRAINED);
        assert_true(more.copies > 0 && more.copies <= 256 + AHEAD / 64);
        add(&sum, more);
    }
    assert_true(drained > 5);
    assert_int_equal(sum.copies, COPIES);
    assert_int_equal(sum.ends, 1);
    assert_int_equal(sum.ended_with, COPIES);
}

static void a_link_that_comes_up_again_is_told_all_of_it_anew(void **state)
{
    struct fixture *fixture = *state;
    fill_with_replicas(fixture, COPIES);
    struct sent sum = adopt_and_sweep(fixture, 201);
    assert_true(sum.copies < COPIES && sum.ends == 0);
    (void)peer_event(fixture, RH_EVENT_PEER_DOWN);
    sum = peer_event(fixture, RH_EVENT_PEER_UP);
    while (sum.ends == 0) {
        add(&sum, peer_event(fixture, RH_EVENT_PEER_DRAINED));
    }
    assert_int_equal(sum.copies, COPIES);
    assert_int_equal(sum.ended_with, COPIES);
}

static void a_view_that_is_adopted_meanwhile_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    fill_with_replicas(fixture, COPIES);
    struct sent sum = adopt_and_sweep(fixture, 201);
    assert_true(sum.copies < COPIES && sum.ends == 0);
    sum = adopt_and_sweep(fixture, 202);
    while (sum.ends == 0) {
        add(&sum, peer_event(fixture, RH_EVENT_PEER_DRAINED));
    }
    assert_int_equal(sum.copies, COPIES);
    assert_int_equal(sum.ended_with, COPIES);
}

static void a_node_that_is_lost_waits_for_no_link(void **state)
{
    struct fixture *fixture = *state;
    fill_with_replicas(fixture, COPIES);
    (void)adopt_and_sweep(fixture, 201);
    struct rh_event lost = {.kind = RH_EVENT_LOST};
    step(fixture, &lost);
    struct sent sum = run_ticks(fixture);
    add(&sum, peer_event(fixture, RH_EVENT_PEER_DRAINED));
    assert_int_equal(sum.copies, 0);
    assert_false(rh_core_is_sweeping(fixture->core));
}

#define STEPS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TELL_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_to_tell, teardown)

/* 77: n1 was away, and adopts a view in which n2 is the process of before. The one that spoke lives, and
 * what it said of a later view is dropped: so it is made to say it again. */
static void who_is_taken_for_dead_by_an_old_view_is_made_to_start_over(void **state)
{
    struct fixture *fixture = *state;
    struct rh_node_ref next = ref_of(1);
    next.instance++;
    struct rh_peer_message message = {.kind = RH_PEER_REPORT_END,
                                      .epoch = {.generation = 1, .pzxid = 220},
                                      .report_end = {.round = 1}};
    struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                             .peer_message = {.from = next, .message = &message}};
    step(fixture, &event);
    assert_true(inside(fixture).held_bytes > 0);
    adopt(fixture, 210);
    assert_int_equal(inside(fixture).held_bytes, 0);
    bool is_reset = false;
    for (size_t i = 0; i < fixture->actions.count; i++) {
        const struct rh_action *action = &fixture->actions.items[i];
        is_reset |= action->kind == RH_ACTION_RESET_PEER && rh_node_ref_equal(&action->peer, &next);
    }
    assert_true(is_reset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STEPS_TEST(a_long_report_is_taken_a_piece_in_each_step),
        STEPS_TEST(an_end_marker_waits_for_the_report_before_it),
        STEPS_TEST(what_was_held_is_taken_a_piece_in_each_step),
        STEPS_TEST(what_comes_meanwhile_is_taken_behind_it),
        STEPS_TEST(what_is_of_a_still_later_view_stays_held),
        STEPS_TEST(who_is_taken_for_dead_by_an_old_view_is_made_to_start_over),
        TELL_TEST(reports_go_on_as_the_link_drains),
        TELL_TEST(a_link_that_comes_up_again_is_told_all_of_it_anew),
        TELL_TEST(a_view_that_is_adopted_meanwhile_begins_anew),
        TELL_TEST(a_node_that_is_lost_waits_for_no_link),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
