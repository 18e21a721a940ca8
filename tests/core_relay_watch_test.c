/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

/*
 * What relayed streams watch (docs/relay.md, rule 11): the state document of their channel, and who is
 * in it. n1 relays; the channel is n2's.
 */

#define ANY RH_PEER_STATE_ANY, 0

/* ---- helpers ---- */

static void begin(struct world *world, unsigned sub, const char *client, bool watches_state,
                  bool watches_presence)
{
    struct rh_attendee *attendee = client == NULL ? NULL : &world->attendees[sub];
    if (attendee != NULL) {
        *attendee = (struct rh_attendee){.client = rh_bytes_text(client)};
    }
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(world->keys[1]),
                      .may_relay = true,
                      .watches_state = watches_state,
                      .watches_presence = watches_presence,
                      .attendee = attendee},
    };
    world_step(world, 0, &event);
}

static void put(struct world *world, uint64_t request, const char *data)
{
    world_state_put(world, 1, request, world->keys[1], data, ANY);
}

/* Until nothing is under way and nobody wants a turn now. */
static void settle(struct world *world)
{
    bool busy = true;
    while (busy) {
        busy = world->queue_count > 0;
        for (unsigned node = 0; node < WORLD_NODES; node++) {
            world_turn(world, node);
        }
        while (world->queue_count > 0) {
            world_deliver(world, false);
            busy = true;
        }
    }
}

static void settle_quietly(struct world *world)
{
    settle(world);
    world_forget(world);
}

static void break_link(struct world *world)
{
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
}

/* ---- the state document ---- */

static void it_is_shown_what_there_is_and_each_change(void **state)
{
    struct world *world = *state;
    put(world, 1, "x");
    settle_quietly(world);
    begin(world, 1, NULL, true, false);
    settle(world);
    put(world, 2, "y");
    settle(world);
    world_state_delete(world, 1, 3, world->keys[1], ANY);
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n1 > welcome s1 seq=0\n"
                        "n2 > send stream_state to n1\n"
                        "n1 > show v1:x to s1\n"
                        "n2 > state #2 changed v2 by n2\n"
                        "n2 > show v2:y to\n" /* of its own */
                        "n2 > send stream_state to n1\n"
                        "n1 > show v2:y to s1\n"
                        "n2 > state #3 deleted v3 by n2\n"
                        "n2 > show v3 deleted to\n"
                        "n2 > send stream_state to n1\n"
                        "n1 > show v3 deleted to s1\n");
}

static void those_who_watch_share_what_is_sent(void **state)
{
    struct world *world = *state;
    begin(world, 1, NULL, true, false);
    begin(world, 2, NULL, false, false);
    begin(world, 3, NULL, true, false);
    settle_quietly(world);
    put(world, 1, "x");
    put(world, 2, "y");
    settle(world);
    world_expect(world, "n2 > state #1 created v1 by n2\n"
                        "n2 > state #2 changed v2 by n2\n"
                        "n2 > show v2:y to\n"
                        "n2 > send stream_state to n1\n"
                        "n1 > show v2:y to s1\n"
                        "n1 > show v2:y to s3\n");
}

static void who_had_no_room_for_it_is_shown_it_as_it_is_when_there_is(void **state)
{
    struct world *world = *state;
    begin(world, 1, NULL, true, false);
    settle(world);
    put(world, 1, "x");
    settle(world);
    put(world, 2, "y");
    settle_quietly(world);
    struct rh_event event = {.kind = RH_EVENT_SHOW_STATE, .subscription = &world->subs[1]};
    world_step(world, 0, &event);
    settle(world);
    world_expect(world, "n1 > send stream_show to n2\n"
                        "n2 > send stream_state to n1\n"
                        "n1 > show v2:y to s1\n");
}

static void after_its_link_broke_it_is_shown_what_there_is_by_then(void **state)
{
    struct world *world = *state;
    begin(world, 1, NULL, true, false);
    settle(world);
    put(world, 1, "x");
    world_turn(world, 1);
    world_deliver(world, true); /* a change that is lost */
    put(world, 2, "y");
    world_forget(world);
    break_link(world);
    settle(world);
    assert_non_null(strstr(world->trace, "n1 > show v2:y to s1\n"));
    assert_null(strstr(world->trace, "v1:x"));
    assert_null(strstr(world->trace, "welcome"));
}

static void a_change_that_was_lost_on_its_way_is_missed_at_the_next_check(void **state)
{
    struct world *world = *state;
    begin(world, 1, NULL, true, false);
    settle(world);
    put(world, 1, "x");
    world_turn(world, 1);
    world_deliver(world, true);
    world_forget(world);
    world_pass(world, 0, 1100);
    settle(world);
    world_pass(world, 0, 300); /* the tunnel is begun anew */
    settle(world);
    assert_non_null(strstr(world->trace, "n1 > send tunnel_check to n2\n"));
    assert_non_null(strstr(world->trace, "n1 > show v1:x to s1\n"));
}

static void nothing_is_sent_to_one_that_is_gone(void **state)
{
    struct world *world = *state;
    begin(world, 1, NULL, true, true);
    settle(world);
    world_unsubscribe(world, 0, 1);
    settle_quietly(world);
    put(world, 1, "x");
    world_attend(world, 1, 2, world->keys[1], "ada", "", false);
    settle(world);
    world_expect(world, "n2 > state #1 created v1 by n2\n"
                        "n2 > welcome s2 seq=0\n");
}

/* ---- who is there ---- */

static void it_is_present_at_the_owner_and_told_of_others_there(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_attend(world, 1, 2, key, "ada", "", true);
    settle_quietly(world);
    begin(world, 1, "bob", false, true);
    settle(world);
    world_attend(world, 1, 3, key, "eve", "", false);
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n1 > welcome s1 seq=0\n"
                        "n2 > presence joined bob to s2\n"
                        "n2 > send stream_presence to n1\n"
                        "n1 > presence all ada,bob to s1\n"
                        "n2 > welcome s3 seq=0\n"
                        "n2 > send stream_presence to n1\n"
                        "n2 > presence joined eve to s2\n"
                        "n1 > presence joined eve to s1\n");
}

static void when_its_client_goes_it_leaves_after_the_grace(void **state)
{
    struct world *world = *state;
    uint32_t grace_ms = world_options_of(1).presence_grace_ms;
    world_attend(world, 1, 2, world->keys[1], "ada", "", true);
    begin(world, 1, "bob", false, true);
    settle(world);
    world_unsubscribe(world, 0, 1);
    settle_quietly(world);
    world_pass(world, 1, grace_ms - 1);
    world_expect(world, "");
    world_pass(world, 1, 2);
    world_expect(world, "n2 > presence left bob to s2\n");
}

static void a_tunnel_that_is_begun_anew_is_no_coming_and_no_going(void **state)
{
    struct world *world = *state;
    uint32_t grace_ms = world_options_of(1).presence_grace_ms;
    world_attend(world, 1, 2, world->keys[1], "ada", "", true);
    begin(world, 1, "bob", false, true);
    settle_quietly(world);
    break_link(world);
    settle(world);
    assert_non_null(strstr(world->trace, "n1 > presence all ada,bob to s1\n"));
    for (uint32_t passed_ms = 0; passed_ms < 2 * grace_ms; passed_ms += 500) {
        world_pass(world, 0, 250);
        world_pass(world, 1, 250);
        settle(world);
    }
    assert_null(strstr(world->trace, "joined"));
    assert_null(strstr(world->trace, "left"));
}

static void when_the_relaying_node_dies_its_clients_leave(void **state)
{
    struct world *world = *state;
    uint32_t grace_ms = world_options_of(1).presence_grace_ms;
    world_attend(world, 1, 2, world->keys[1], "ada", "", true);
    begin(world, 1, "bob", true, true);
    settle_quietly(world);
    world_pass(world, 1, 15000 + grace_ms + 1); /* nobody checks the tunnel */
    assert_non_null(strstr(world->trace, "n2 > presence left bob to s2\n"));
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(it_is_shown_what_there_is_and_each_change),
        WORLD_TEST(those_who_watch_share_what_is_sent),
        WORLD_TEST(who_had_no_room_for_it_is_shown_it_as_it_is_when_there_is),
        WORLD_TEST(after_its_link_broke_it_is_shown_what_there_is_by_then),
        WORLD_TEST(a_change_that_was_lost_on_its_way_is_missed_at_the_next_check),
        WORLD_TEST(nothing_is_sent_to_one_that_is_gone),
        WORLD_TEST(it_is_present_at_the_owner_and_told_of_others_there),
        WORLD_TEST(when_its_client_goes_it_leaves_after_the_grace),
        WORLD_TEST(a_tunnel_that_is_begun_anew_is_no_coming_and_no_going),
        WORLD_TEST(when_the_relaying_node_dies_its_clients_leave),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
