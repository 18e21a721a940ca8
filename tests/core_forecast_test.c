/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_forecast.h"
#include "tests/allocation.h"
#include "tests/core_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * One core, n1, with channels: what a forecast says of them is held against the rings themselves.
 */

#define KEYS 400U

struct rig {
    struct rh_core *core;
    struct rh_view *view;
    struct rh_actions actions;
    uint64_t now_ms;
    char keys[KEYS][16]; /* that n1 owns */
    struct rh_subscription subscriptions[KEYS];
    struct rh_subscription reads[KEYS];
};

/* n1 to n3 have weight, n4 has none yet; the first two are in one zone. */
static struct rh_view *make_view(int64_t pzxid, size_t members_count)
{
    static const struct rh_registration members[] = {
        {.id = "n1", .instance = 100, .weight_milli = 1000, .zone = "a"},
        {.id = "n2", .instance = 101, .weight_milli = 1000, .zone = "a"},
        {.id = "n3", .instance = 102, .weight_milli = 1000, .zone = "c"},
        {.id = "n4", .instance = 103, .weight_milli = 0, .zone = "d"}};
    static const int64_t czxids[] = {1, 2, 3, 4};
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = 2};
    const struct rh_epoch epoch = {.generation = 1, .pzxid = pzxid};
    struct rh_view *view = NULL;
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, members_count, &view), 0);
    return view;
}

static void step(struct rig *rig, struct rh_event event)
{
    event.now_ms = ++rig->now_ms;
    event.time_ms = 1000000;
    rh_core_step(rig->core, &event, &rig->actions);
}

static void tick(struct rig *rig)
{
    for (unsigned i = 0; i < 100 && rh_core_deadline_ms(rig->core) <= rig->now_ms; i++) {
        step(rig, (struct rh_event){.kind = RH_EVENT_TICK});
    }
}

static void publish(struct rig *rig, const char *key, const char *data)
{
    step(rig, (struct rh_event){
                  .kind = RH_EVENT_PUBLISH,
                  .publish = {.request = 1,
                              .key = rh_bytes_text(key),
                              .id = rh_bytes_text("ab"),
                              .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text(data)}}});
    tick(rig);
}

static void find_keys(struct rig *rig)
{
    unsigned found = 0;
    for (unsigned number = 0; found < KEYS; number++) {
        char *key = rig->keys[found];
        (void)snprintf(key, sizeof(rig->keys[found]), "k%u", number);
        uint64_t hash = rh_ring_hash(rig->view->ring, key, strlen(key));
        found += rh_ring_owner(rig->view->ring, hash) == 0;
    }
}

static void adopt(struct rig *rig, struct rh_view *view)
{
    step(rig, (struct rh_event){.kind = RH_EVENT_VIEW,
                                .view = view,
                                .registration_epoch = {.generation = 1, .pzxid = 1}});
    tick(rig);
}

/* Channel i has 2 + i % 10 bytes; every third one has a stream, every seventh a read that waits. */
static struct rig *rig_create(bool replication, size_t members_count)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct rh_core_options options = world_options_of(0);
    options.channels_max = 10 * KEYS;
    options.copies_max = 20 * KEYS;
    options.replication = replication;
    options.session_timeout_ms = 60000;
    options.grace_ms = 2000;
    options.rebalance_channels_per_second = 1000;
    options.rebalance_in_flight = 64;
    options.uncommitted_max = 10;
    options.uncommitted_bytes_max = 10000;
    options.held_bytes_max = 10000;
    rig->now_ms = 1000;
    rig->view = make_view(57, members_count);
    assert_int_equal(rh_core_create(&options, &rig->core), 0);
    find_keys(rig);
    adopt(rig, rig->view);
    step(rig, (struct rh_event){.kind = RH_EVENT_RECORDED, .epoch = rig->view->epoch});
    step(rig, (struct rh_event){.kind = RH_EVENT_PROOF, .at_ms = rig->now_ms});
    for (unsigned i = 0; i < KEYS; i++) {
        char data[16];
        (void)snprintf(data, sizeof(data), "%0*u", (int)(i % 10), 0U);
        publish(rig, rig->keys[i], i % 10 == 0 ? "" : data);
        rh_subscription_init(&rig->subscriptions[i]);
        rh_subscription_init(&rig->reads[i]);
        if (i % 7 == 0) {
            step(rig, (struct rh_event){.kind = RH_EVENT_READ,
                                        .subscribe = {.subscription = &rig->reads[i],
                                                      .key = rh_bytes_text(rig->keys[i]),
                                                      .limit = 1,
                                                      .wait_ms = 50000}});
        }
        if (i % 3 == 0) {
            step(rig, (struct rh_event){.kind = RH_EVENT_SUBSCRIBE,
                                        .subscribe = {.subscription = &rig->subscriptions[i],
                                                      .key = rh_bytes_text(rig->keys[i])}});
        }
    }
    tick(rig);
    return rig;
}

static void rig_destroy(struct rig *rig)
{
    rh_core_destroy(rig->core);
    rh_actions_finish(&rig->actions);
    rh_view_give(rig->view);
    free(rig);
}

static struct rh_forecast_load load_of(unsigned number)
{
    return (struct rh_forecast_load){.channels = 1,
                                     .connections = (uint64_t)(number % 3 == 0) + (number % 7 == 0),
                                     .bytes = 2 + number % 10};
}

static void add_load(struct rh_forecast_load *to, struct rh_forecast_load load)
{
    to->channels += load.channels;
    to->connections += load.connections;
    to->bytes += load.bytes;
}

static void expect_load(struct rh_forecast_load load, struct rh_forecast_load expected)
{
    assert_int_equal(load.channels, expected.channels);
    assert_int_equal(load.connections, expected.connections);
    assert_int_equal(load.bytes, expected.bytes);
}

static struct rh_proposal proposal_of(const struct rig *rig, enum rh_change_kind kind,
                                      const char *text)
{
    struct rh_proposal proposal = {
        .epoch = rig->view->epoch, .digest = rh_ring_digest(rig->view->ring), .changes_count = 1};
    assert_int_equal(rh_change_parse(kind, rh_bytes_text(text), &proposal.changes[0], NULL), 0);
    return proposal;
}

static struct rh_forecast *begin(const struct rig *rig, const struct rh_proposal *proposal)
{
    struct rh_forecast *forecast = NULL;
    struct rh_reason reason = {""};
    assert_int_equal(rh_forecast_create(rig->core, proposal, &forecast, &reason), 0);
    assert_int_equal(rh_forecast_state(forecast), RH_FORECAST_BEGUN);
    return forecast;
}

/* How many steps it took. */
static unsigned finish(struct rh_forecast *forecast, size_t channels)
{
    unsigned steps = 0;
    while (rh_forecast_state(forecast) < RH_FORECAST_DONE) {
        assert_int_equal(rh_forecast_step(forecast, channels), 0);
        steps++;
    }
    return steps;
}

/* ---- whose they would be ---- */

static void channels_are_counted_for_who_would_own_them(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n4:2");
    struct rh_forecast *forecast = begin(rig, &proposal);
    (void)finish(forecast, 7);
    const struct rh_forecast_result *result = rh_forecast_result(forecast);
    struct rh_forecast_load all = {0};
    struct rh_forecast_load expected[4] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t hash = rh_ring_hash(result->ring, rig->keys[i], strlen(rig->keys[i]));
        add_load(&expected[rh_ring_owner(result->ring, hash)], load_of(i));
        add_load(&all, load_of(i));
    }
    expect_load(result->acting, all);
    assert_int_equal(result->elsewhere, 0);
    for (unsigned i = 0; i < 4; i++) {
        expect_load(result->targets[i].owned, expected[i]);
    }
    assert_true(expected[0].channels > 0 && expected[3].channels > 0);
    assert_int_equal(expected[1].channels + expected[2].channels, 0);
    rh_forecast_destroy(forecast);
    rig_destroy(rig);
}

static void the_loss_of_one_more_node_goes_by_the_ring_without_it(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n4:1");
    struct rh_forecast *forecast = begin(rig, &proposal);
    (void)finish(forecast, 50);
    const struct rh_forecast_result *result = rh_forecast_result(forecast);
    proposal.changes[1] = (struct rh_change){.kind = RH_CHANGE_REMOVE, .id = "n1"};
    struct rh_ring *less = NULL;
    struct rh_reason reason;
    assert_int_equal(rh_changes_apply(rig->view, proposal.changes, 2, &less, &reason), 0);
    struct rh_forecast_load expected[4] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t hash = rh_ring_hash(less, rig->keys[i], strlen(rig->keys[i]));
        if (rh_ring_owner(result->ring, hash) == 0) {
            add_load(&expected[rh_ring_owner(less, hash)], load_of(i));
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        expect_load(result->targets[0].next[i], expected[i]);
        assert_true((expected[i].channels > 0) == (i > 0));
    }
    assert_null(result->targets[1].next);
    rh_ring_destroy(less);
    rh_forecast_destroy(forecast);
    rig_destroy(rig);
}

/* ---- copies ---- */

static void copies_are_sent_to_whoever_lacks_one(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(true, 1); /* alone, so the only copies are here */
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n2:1:b");
    struct rh_forecast *forecast = begin(rig, &proposal);
    (void)finish(forecast, 50);
    const struct rh_forecast_result *result = rh_forecast_result(forecast);
    assert_int_equal(result->acting.channels, KEYS);
    assert_int_equal(result->turns, KEYS);
    assert_int_equal(result->targets[1].joins, KEYS); /* two nodes, two copies: one at each */
    assert_int_equal(result->targets[1].join_bytes, result->acting.bytes);
    assert_int_equal(result->targets[0].joins, 0);
    assert_int_equal(result->targets[0].leaves, 0);
    rh_forecast_destroy(forecast);
    rig_destroy(rig);
}

static void copies_leave_who_is_not_listed_any_more(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(true, 1);
    struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n2:1:b");
    proposal.changes[proposal.changes_count++] =
        proposal_of(rig, RH_CHANGE_ADD, "n3:1:c").changes[0];
    struct rh_forecast *forecast = begin(rig, &proposal);
    (void)finish(forecast, 50);
    const struct rh_forecast_result *result = rh_forecast_result(forecast);
    uint64_t joins[3] = {0};
    uint64_t leaves = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        uint32_t list[2];
        uint64_t hash = rh_ring_hash(result->ring, rig->keys[i], strlen(rig->keys[i]));
        assert_int_equal(rh_ring_preference(result->ring, hash, 2, list), 2);
        joins[list[0]]++;
        joins[list[1]]++;
        leaves += list[0] != 0 && list[1] != 0;
    }
    assert_int_equal(result->targets[1].joins, joins[1]);
    assert_int_equal(result->targets[2].joins, joins[2]);
    assert_int_equal(result->targets[0].leaves, leaves);
    assert_true(leaves > 0 && leaves < KEYS);
    rh_forecast_destroy(forecast);
    rig_destroy(rig);
}

/* ---- in steps ---- */

static void what_is_there_all_along_counts_once_though_others_come(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n4:1");
    struct rh_forecast *forecast = begin(rig, &proposal);
    unsigned steps = 0;
    unsigned come = 0;
    while (rh_forecast_state(forecast) < RH_FORECAST_DONE) {
        assert_int_equal(rh_forecast_step(forecast, 4), 0);
        for (unsigned i = 0; come < 2 * KEYS && i < 9; i++) { /* the table grows on the way */
            char key[16];
            (void)snprintf(key, sizeof(key), "m%u-%u", steps, i);
            uint64_t hash = rh_ring_hash(rig->view->ring, key, strlen(key));
            if (rh_ring_owner(rig->view->ring, hash) == 0) {
                publish(rig, key, "");
                come++;
            }
        }
        steps++;
    }
    const struct rh_forecast_result *result = rh_forecast_result(forecast);
    assert_true(steps > KEYS / 4);
    assert_true(come > KEYS);
    assert_in_range(result->acting.channels, KEYS, KEYS + come);
    assert_int_equal(result->acting.connections, (KEYS + 2) / 3 + (KEYS + 6) / 7);
    rh_forecast_destroy(forecast);
    rig_destroy(rig);
}

static void another_view_ends_it(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n4:1");
    struct rh_forecast *forecast = begin(rig, &proposal);
    assert_int_equal(rh_forecast_step(forecast, 10), 0);
    assert_int_equal(rh_forecast_step(forecast, 10), 0);
    assert_int_equal(rh_forecast_state(forecast), RH_FORECAST_WALKING);
    struct rh_view *later = make_view(58, 4);
    adopt(rig, later);
    rh_view_give(later);
    assert_int_equal(rh_forecast_step(forecast, 10), 0);
    assert_int_equal(rh_forecast_state(forecast), RH_FORECAST_STALE);
    rh_forecast_destroy(forecast);

    struct rh_reason reason = {""};
    assert_int_equal(rh_forecast_create(rig->core, &proposal, &forecast, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "the plan is of epoch 1:57, the cluster is in 1:58");
    rig_destroy(rig);
}

static void what_does_not_fit_is_refused(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_REMOVE, "n4");
    struct rh_core_options options = world_options_of(0);
    struct rh_core *empty = NULL;
    struct rh_forecast *forecast = NULL;
    struct rh_reason reason = {""};
    assert_int_equal(rh_forecast_create(rig->core, &proposal, &forecast, &reason), RH_ERR_CONFLICT);
    assert_string_equal(reason.text, "n4 is not in the ring; `ringhop ring` lists who is");
    assert_int_equal(rh_core_create(&options, &empty), 0);
    assert_int_equal(rh_forecast_create(empty, &proposal, &forecast, &reason), RH_ERR_AGAIN);
    rh_core_destroy(empty);
    rig_destroy(rig);
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rig *rig = rig_create(false, 4);
    const struct rh_proposal proposal = proposal_of(rig, RH_CHANGE_ADD, "n4:1");
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_forecast *forecast = NULL;
        struct rh_reason reason = {""};
        rh_test_allocation_fail(nth);
        int rv = rh_forecast_create(rig->core, &proposal, &forecast, &reason);
        while (rv == 0 && rh_forecast_state(forecast) < RH_FORECAST_DONE) {
            rv = rh_forecast_step(forecast, 100);
        }
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        rh_forecast_destroy(forecast);
        if (!failed) {
            break;
        }
        failures++;
    }
    assert_true(failures >= 8);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(channels_are_counted_for_who_would_own_them),
        RH_TEST(the_loss_of_one_more_node_goes_by_the_ring_without_it),
        RH_TEST(copies_are_sent_to_whoever_lacks_one),
        RH_TEST(copies_leave_who_is_not_listed_any_more),
        RH_TEST(what_is_there_all_along_counts_once_though_others_come),
        RH_TEST(another_view_ends_it),
        RH_TEST(what_does_not_fit_is_refused),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
