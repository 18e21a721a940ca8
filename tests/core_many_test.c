/* SPDX-License-Identifier: Apache-2.0 */

/* One core that is a member of a large cluster: what it says does not grow with the cluster where it
 * need not. */

#include "node/core.h"
#include "proto/peer_codec.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 100

struct many {
    struct rh_core *core;
    struct rh_actions actions;
    uint64_t now_ms;
};

static struct rh_node_ref ref_of(int node)
{
    struct rh_node_ref ref = {.instance = 100 + (uint64_t)node};
    (void)snprintf(ref.id, sizeof(ref.id), "n%03d", node);
    return ref;
}

static struct rh_view *view_of(int64_t pzxid)
{
    static struct rh_registration members[NODES];
    static int64_t czxids[NODES];
    for (int i = 0; i < NODES; i++) {
        struct rh_node_ref ref = ref_of(i);
        members[i] = (struct rh_registration){.instance = ref.instance, .weight_milli = 1000};
        memcpy(members[i].id, ref.id, sizeof(members[i].id));
        czxids[i] = i + 1;
    }
    const struct rh_shared_config config = {
        .format = RH_CONFIG_FORMAT, .generation = 1, .vnodes = 16, .replicas = 2};
    struct rh_view *view = NULL;
    const struct rh_epoch epoch = {.generation = 1, .pzxid = pzxid};
    assert_int_equal(rh_view_create(epoch, &config, members, czxids, NODES, &view), 0);
    return view;
}

static void step(struct many *many, struct rh_event *event)
{
    event->now_ms = many->now_ms;
    event->time_ms = 1764000000000;
    rh_core_step(many->core, event, &many->actions);
}

static void adopt(struct many *many, int64_t pzxid)
{
    struct rh_event event = {.kind = RH_EVENT_VIEW,
                             .view = view_of(pzxid),
                             .registration_epoch = {.generation = 1, .pzxid = 1}};
    step(many, &event);
    rh_view_give(event.view);
}

static int setup(void **state)
{
    struct many *many = calloc(1, sizeof(*many));
    assert_non_null(many);
    struct rh_core_options options = {
        .instance = ref_of(0).instance,
        .seed = 1,
        .log = {.messages_max = 10, .bytes_max = 10000, .age_ms_max = 3600000},
        .channels_max = 100,
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
        .copies_max = 100,
        .uncommitted_max = 64,
        .uncommitted_bytes_max = 100000,
        .held_bytes_max = 1 << 20,
    };
    memcpy(options.id, ref_of(0).id, sizeof(options.id));
    assert_int_equal(rh_core_create(&options, &many->core), 0);
    many->now_ms = 10000;
    adopt(many, 200);
    for (int i = 1; i < NODES; i++) {
        struct rh_event up = {.kind = RH_EVENT_PEER_UP, .peer = ref_of(i)};
        step(many, &up);
    }
    *state = many;
    return 0;
}

static int teardown(void **state)
{
    struct many *many = *state;
    rh_actions_finish(&many->actions);
    rh_core_destroy(many->core);
    free(many);
    return 0;
}

/* An end marker of |node| in a later epoch: how many peers are asked for its view. */
static unsigned hear_of_later_view(struct many *many, int node)
{
    const struct rh_peer_message message = {.kind = RH_PEER_REPORT_END,
                                            .epoch = {.generation = 1, .pzxid = 201}};
    struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                             .peer_message = {.from = ref_of(node), .message = &message}};
    step(many, &event);
    unsigned asked = 0;
    for (size_t i = 0; i < many->actions.count; i++) {
        const struct rh_action *action = &many->actions.items[i];
        asked += action->kind == RH_ACTION_SEND && action->send.message.kind == RH_PEER_VIEW_ASK;
    }
    return asked;
}

static void a_few_of_many_who_are_ahead_are_asked_for_their_view(void **state)
{
    struct many *many = *state;
    unsigned asked = 0;
    for (int i = 1; i < NODES; i++) {
        asked += hear_of_later_view(many, i);
    }
    assert_int_equal(asked, 4);
}

static void others_are_asked_later_if_those_did_not_answer(void **state)
{
    struct many *many = *state;
    for (int i = 1; i < NODES / 2; i++) {
        (void)hear_of_later_view(many, i);
    }
    many->now_ms += 1000;
    assert_int_equal(hear_of_later_view(many, NODES - 1), 1);
}

static void what_was_said_early_counts_when_the_view_is_adopted(void **state)
{
    struct many *many = *state;
    for (int i = 1; i < NODES; i++) {
        (void)hear_of_later_view(many, i);
    }
    adopt(many, 201);
    bool complete = false;
    for (size_t i = 0; i < many->actions.count; i++) {
        complete |= many->actions.items[i].kind == RH_ACTION_COMPLETE;
    }
    assert_true(complete);
}

static void a_link_that_is_down_is_seen_to_until_it_comes_up(void **state)
{
    struct many *many = *state;
    struct rh_event down = {.kind = RH_EVENT_PEER_DOWN, .peer = ref_of(7)};
    step(many, &down);
    assert_true(rh_core_deadline_ms(many->core) <= many->now_ms + 500);
    many->now_ms += 600;
    struct rh_event tick = {.kind = RH_EVENT_TICK};
    step(many, &tick);
    bool relayed = false;
    for (size_t i = 0; i < many->actions.count; i++) {
        const struct rh_action *action = &many->actions.items[i];
        relayed |= action->kind == RH_ACTION_SEND && action->send.message.kind == RH_PEER_RELAY;
    }
    assert_true(relayed);
}

static void a_relay_that_carries_what_is_not_for_the_core_is_passed_over(void **state)
{
    struct many *many = *state;
    static const enum rh_peer_message_kind kinds[] = {RH_PEER_PING, RH_PEER_STATUS_ASK};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct rh_peer_message carried = {.kind = kinds[i]};
        struct rh_buffer frame = {0};
        assert_int_equal(rh_peer_encode(&carried, RH_PEER_FRAME_SIZE_MAX, &frame), 0);
        rh_buffer_consume(&frame, RH_PEER_FRAME_HEADER_SIZE);
        const struct rh_peer_message relay = {
            .kind = RH_PEER_RELAY,
            .relay = {.from = ref_of(3), .to = ref_of(0), .frame = rh_buffer_content(&frame)}};
        struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                                 .peer_message = {.from = ref_of(2), .message = &relay}};
        step(many, &event);
        for (size_t a = 0; a < many->actions.count; a++) {
            assert_int_not_equal(many->actions.items[a].kind, RH_ACTION_SEND);
        }
        rh_buffer_finish(&frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_few_of_many_who_are_ahead_are_asked_for_their_view, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(others_are_asked_later_if_those_did_not_answer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_said_early_counts_when_the_view_is_adopted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_link_that_is_down_is_seen_to_until_it_comes_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_relay_that_carries_what_is_not_for_the_core_is_passed_over, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
