/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/allocation.h"
#include "tests/core_world.h"

#include <stdio.h>

/*
 * Every allocation of a request fails once: the request is refused with no_memory, nothing of it is
 * left, and the same request succeeds afterwards. (The lists of actions and of kept memory are not
 * tried: a node that cannot even say what is to be done stops. They have grown before each test.)
 */

/* Steps without the world's own allocations: no trace, no queue. */
static void step(struct world *world, unsigned node, struct rh_event *event)
{
    event->now_ms = world->now_ms;
    event->time_ms = (int64_t)(1000000 + world->now_ms); /* as world_step() has it */
    rh_core_step(world->cores[node], event, &world->actions);
}

/* The first action of that kind, which must be there. */
static const struct rh_action *action_of(const struct world *world, enum rh_action_kind kind)
{
    size_t i = 0;
    while (i < world->actions.count && world->actions.items[i].kind != kind) {
        i++;
    }
    assert_true(i < world->actions.count);
    return &world->actions.items[i];
}

/* What must be as before after a refusal. */
static void expect_same(const struct rh_core_stats *before, const struct rh_core_stats *now)
{
    assert_int_equal(now->publishes, before->publishes);
    assert_int_equal(now->deliveries, before->deliveries);
    assert_int_equal(now->channels_created, before->channels_created);
    assert_int_equal(now->log_bytes, before->log_bytes);
    assert_int_equal(now->ids, before->ids);
    assert_int_equal(now->channels, before->channels);
    assert_int_equal(now->streams, before->streams);
    assert_int_equal(now->reads_waiting, before->reads_waiting);
    assert_int_equal(now->pending, before->pending);
    assert_int_equal(now->refusals, before->refusals + 1);
}

static int setup(void **state)
{
    (void)world_setup(state);
    struct world *world = *state;
    /* Lets the lists grow: one request that is kept, and many actions. */
    world_publish(world, 0, 1, world->keys[1], "warm", "x");
    world_pass(world, 0, 3100);
    while (world->queue_count > 0) {
        world_deliver(world, true);
    }
    world_forget(world);
    return 0;
}

/* A publish event of a key that |node| owns; a new channel for each number. */
static struct rh_event publish_event(const char *key)
{
    return (struct rh_event){
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = 5,
                    .key = rh_bytes_text(key),
                    .id = rh_bytes_text("a"),
                    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text("hi")}},
    };
}

static void a_publish_is_refused(void **state)
{
    struct world *world = *state;
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        struct rh_event event = publish_event(world->keys[0]);
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        const struct rh_publish_result *result =
            &action_of(world, RH_ACTION_PUBLISHED)->published.result;
        if (!rh_test_allocation_failed()) {
            assert_int_equal(result->refusal, RH_REFUSAL_NONE);
            assert_int_equal(result->seq, 1);
            assert_false(result->duplicate);
            assert_true(nth > 4); /* channel, id, its table, the log's slots, the entry */
            return;
        }
        assert_int_equal(result->refusal, RH_REFUSAL_NO_MEMORY);
        expect_same(&before, rh_core_stats(world->cores[0]));
    }
}

/* A log that grows when it has four entries. */
static void a_publish_to_a_log_that_must_grow_is_refused(void **state)
{
    struct world *world = *state;
    for (uint64_t i = 1; i <= 4; i++) {
        world_publish(world, 0, i, world->keys[0], "", "x");
    }
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        struct rh_event event = publish_event(world->keys[0]);
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        const struct rh_publish_result *result =
            &action_of(world, RH_ACTION_PUBLISHED)->published.result;
        if (!rh_test_allocation_failed()) {
            assert_int_equal(result->seq, 5);
            assert_false(result->duplicate);
            return;
        }
        assert_int_equal(result->refusal, RH_REFUSAL_NO_MEMORY);
        expect_same(&before, rh_core_stats(world->cores[0]));
    }
}

static void a_write_of_the_state_is_refused(void **state)
{
    struct world *world = *state;
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        struct rh_event event = {
            .kind = RH_EVENT_STATE_PUT,
            .state = {.request = 4,
                      .key = rh_bytes_text(world->keys[0]),
                      .content_type = rh_bytes_text("text/plain"),
                      .state = rh_bytes_text("x")},
        };
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        const struct rh_state_result *result = &action_of(world, RH_ACTION_STATE)->state.result;
        if (!rh_test_allocation_failed()) {
            assert_int_equal(result->outcome, RH_PEER_STATE_CREATED);
            assert_int_equal(result->version, 1);
            return;
        }
        assert_int_equal(result->refusal, RH_REFUSAL_NO_MEMORY);
        expect_same(&before, rh_core_stats(world->cores[0]));
        assert_int_equal(rh_core_stats(world->cores[0])->state_bytes, 0);
    }
}

/* The log is rid of what is too old before the new message fails, and its size follows. */
static void a_publish_that_fails_after_old_messages_went_leaves_the_sizes_right(void **state)
{
    struct world *world = *state;
    for (unsigned nth = 1;; nth++) {
        world_publish(world, 0, 1, world->keys[0], "o", "old");
        world->now_ms += 60001;
        struct rh_event event = publish_event(world->keys[0]);
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        if (!rh_test_allocation_failed()) {
            return;
        }
        world_inspect(world, 0, 2, world->keys[0]);
        const struct rh_channel_info *info = &action_of(world, RH_ACTION_INSPECTED)->inspected.info;
        uint64_t held = info->last_seq + 1 - info->first_seq;
        assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, held * strlen("oold"));
    }
}

static void a_publish_of_a_peer_is_refused(void **state)
{
    struct world *world = *state;
    const struct rh_peer_message message = {
        .kind = RH_PEER_PUBLISH,
        .epoch = world->view->epoch,
        .publish = {.request = 9,
                    .key = rh_bytes_text(world->keys[0]),
                    .id = rh_bytes_text("a"),
                    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text("hi")},
                    .deadline_ms = 1000},
    };
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        struct rh_event event = {
            .kind = RH_EVENT_PEER_MESSAGE,
            .peer_message = {.from = world->refs[1], .message = &message},
        };
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        const struct rh_peer_publish_answer *answer =
            &action_of(world, RH_ACTION_SEND)->send.message.publish_answer;
        if (!rh_test_allocation_failed()) {
            assert_int_equal(answer->result, RH_PEER_OK);
            return;
        }
        assert_int_equal(answer->result, RH_PEER_RESULT_REFUSED);
        assert_true(rh_bytes_equal_text(answer->code, "no_memory"));
        expect_same(&before, rh_core_stats(world->cores[0]));
    }
}

static void a_publish_or_inspect_that_must_wait_is_refused(void **state)
{
    struct world *world = *state;
    const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
    struct rh_event event = publish_event(world->keys[1]);
    rh_test_allocation_fail(1);
    step(world, 0, &event);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(action_of(world, RH_ACTION_PUBLISHED)->published.result.refusal,
                     RH_REFUSAL_NO_MEMORY);
    expect_same(&before, rh_core_stats(world->cores[0]));
    const struct rh_core_stats again = *rh_core_stats(world->cores[0]);
    event = (struct rh_event){
        .kind = RH_EVENT_INSPECT,
        .inspect = {.request = 6, .key = rh_bytes_text(world->keys[1])},
    };
    rh_test_allocation_fail(1);
    step(world, 0, &event);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(action_of(world, RH_ACTION_INSPECTED)->inspected.refusal,
                     RH_REFUSAL_NO_MEMORY);
    expect_same(&again, rh_core_stats(world->cores[0]));
}

/* Lets every allocation of |event|, a SUBSCRIBE or READ at n1, fail once, and returns at the end of
 * the step that succeeds. */
static void expect_refusals(struct world *world, struct rh_event *event)
{
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        rh_test_allocation_fail(nth);
        step(world, 0, event);
        if (!rh_test_allocation_failed()) {
            assert_true(nth > 1);
            return;
        }
        assert_int_equal(action_of(world, RH_ACTION_REFUSED)->refused.refusal,
                         RH_REFUSAL_NO_MEMORY);
        assert_int_equal(event->subscribe.subscription->state, RH_SUBSCRIPTION_FREE);
        expect_same(&before, rh_core_stats(world->cores[0]));
    }
}

static void a_stream_is_refused(void **state)
{
    struct world *world = *state;
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[1], .key = rh_bytes_text(world->keys[0])},
    };
    expect_refusals(world, &event);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_LIVE);
}

static void a_connection_that_another_node_serves_is_refused(void **state)
{
    struct world *world = *state;
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[1],
                      .key = rh_bytes_text(world->keys[1]),
                      .may_relay = true},
    };
    step(world, 0, &event); /* what belongs to the other node stays */
    event.subscribe.subscription = &world->subs[2];
    expect_refusals(world, &event);
    assert_int_equal(world->subs[2].state, RH_SUBSCRIPTION_RELAYED);
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 2);
}

static void a_connection_of_another_node_is_refused(void **state)
{
    struct world *world = *state;
    struct rh_peer_message message = {
        .kind = RH_PEER_STREAM_CLOSE,
        .epoch = world->view->epoch,
        .stream_close = {.tunnel = 7, .number = 1, .stream = 1},
    };
    struct rh_event event = {
        .kind = RH_EVENT_PEER_MESSAGE,
        .peer_message = {.from = world->refs[1], .message = &message},
    };
    step(world, 0, &event); /* the tunnel stays */
    message.kind = RH_PEER_STREAM_OPEN;
    for (unsigned nth = 1;; nth++) {
        const struct rh_core_stats before = *rh_core_stats(world->cores[0]);
        message.stream_open = (struct rh_peer_stream_open){.tunnel = 7,
                                                           .number = nth + 1,
                                                           .stream = nth + 1,
                                                           .key = rh_bytes_text(world->keys[0]),
                                                           .window = 1000,
                                                           .room_min = 250};
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        const struct rh_peer_message *answer = &action_of(world, RH_ACTION_SEND)->send.message;
        if (!rh_test_allocation_failed()) {
            assert_int_equal(answer->kind, RH_PEER_STREAM_OPENED);
            assert_int_equal(rh_core_stats(world->cores[0])->remotes, 1);
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(answer->kind, RH_PEER_STREAM_ENDED);
        expect_same(&before, rh_core_stats(world->cores[0]));
        assert_int_equal(rh_core_stats(world->cores[0])->remotes, 0);
    }
}

static void a_client_that_waits_for_a_view_is_refused(void **state)
{
    struct world *world = *state;
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[1],
                      .key = rh_bytes_text(world->keys[0]),
                      .hop = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1}},
    };
    expect_refusals(world, &event);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_CATCHING_UP);
}

static void a_read_is_refused(void **state)
{
    struct world *world = *state;
    struct rh_event event = {
        .kind = RH_EVENT_READ,
        .subscribe = {.subscription = &world->subs[1],
                      .key = rh_bytes_text(world->keys[0]),
                      .limit = 10,
                      .wait_ms = 5000},
    };
    expect_refusals(world, &event);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_WAITING);
    world_unsubscribe(world, 0, 1);
    world_publish(world, 0, 1, world->keys[0], "a", "x");
    event.subscribe.has_after = true;
    expect_refusals(world, &event);
    assert_int_equal(action_of(world, RH_ACTION_READ_DONE)->read.count, 1);
}

/* The message is kept and acknowledged; only the reader has to come again. */
static void a_read_that_waits_is_refused_and_the_publish_is_not(void **state)
{
    struct world *world = *state;
    for (unsigned nth = 1;; nth++) {
        world_read_from(world, 0, 1, world->keys[0], NULL, 10, 5000);
        struct rh_event event = publish_event(world->keys[0]);
        rh_test_allocation_fail(nth);
        step(world, 0, &event);
        assert_true(rh_test_allocation_failed());
        const struct rh_publish_result *result =
            &action_of(world, RH_ACTION_PUBLISHED)->published.result;
        if (result->refusal == RH_REFUSAL_NONE) {
            assert_int_equal(action_of(world, RH_ACTION_REFUSED)->refused.refusal,
                             RH_REFUSAL_NO_MEMORY);
            assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
            assert_int_equal(rh_core_stats(world->cores[0])->reads_waiting, 0);
            return;
        }
        world_unsubscribe(world, 0, 1);
    }
}

static void a_link_of_a_member_needs_no_memory(void **state)
{
    struct world *world = *state;
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    struct rh_event event = {.kind = RH_EVENT_PEER_UP, .peer = world->refs[1]};
    rh_test_allocation_fail(1);
    step(world, 0, &event);
    assert_false(rh_test_allocation_failed());
    world_publish(world, 0, 7, world->keys[1], "a", "x");
    world_expect(world, "n1 > send publish to n2\n");
}

static void a_core_is_not_created(void **state)
{
    (void)state;
    const struct rh_core_options options = world_options_of(0);
    for (unsigned nth = 1;; nth++) {
        struct rh_core *core = NULL;
        rh_test_allocation_fail(nth);
        int rv = rh_core_create(&options, &core);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            rh_core_destroy(core);
            return;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_null(core);
    }
}

#define MEMORY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMORY_TEST(a_publish_is_refused),
        MEMORY_TEST(a_publish_to_a_log_that_must_grow_is_refused),
        MEMORY_TEST(a_publish_that_fails_after_old_messages_went_leaves_the_sizes_right),
        MEMORY_TEST(a_write_of_the_state_is_refused),
        MEMORY_TEST(a_publish_of_a_peer_is_refused),
        MEMORY_TEST(a_publish_or_inspect_that_must_wait_is_refused),
        MEMORY_TEST(a_stream_is_refused),
        MEMORY_TEST(a_connection_that_another_node_serves_is_refused),
        MEMORY_TEST(a_connection_of_another_node_is_refused),
        MEMORY_TEST(a_client_that_waits_for_a_view_is_refused),
        MEMORY_TEST(a_read_is_refused),
        MEMORY_TEST(a_read_that_waits_is_refused_and_the_publish_is_not),
        MEMORY_TEST(a_link_of_a_member_needs_no_memory),
        cmocka_unit_test(a_core_is_not_created),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
