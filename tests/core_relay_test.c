/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/allocation.h"
#include "tests/core_world.h"
#include "tests/random.h"

#include "node/core_tunnel.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * Connections that one node has and another serves, at both ends: docs/relay.md, whose rules are named.
 * n1 relays; the channels are n2's, or whose they are said to be.
 */

#define SUBS 8

/* ---- helpers ---- */

/* What each subscription was sent, without a word about how. */
struct heard {
    uint64_t next[SUBS]; /* seq; 0: no welcome yet */
    unsigned welcomes[SUBS];
    unsigned messages[SUBS];
    unsigned moved[SUBS];
    unsigned refused[SUBS];
    bool out_of_order;
};

static struct heard heard;

static unsigned number_of(const struct world *world, const struct rh_subscription *subscription)
{
    return (unsigned)(subscription - world->subs);
}

static void hear(const struct world *world)
{
    for (size_t i = 0; i < world->actions.count; i++) {
        const struct rh_action *action = &world->actions.items[i];
        if (action->kind == RH_ACTION_WELCOME) {
            unsigned sub = number_of(world, action->welcome.subscription);
            heard.welcomes[sub]++;
            heard.next[sub] = action->welcome.seq + 1;
        } else if (action->kind == RH_ACTION_DELIVER) {
            unsigned sub = number_of(world, action->deliver.subscription);
            heard.out_of_order |= action->deliver.entry->seq != heard.next[sub];
            heard.next[sub]++;
            heard.messages[sub]++;
        } else if (action->kind == RH_ACTION_MOVED) {
            heard.moved[number_of(world, action->moved.subscription)]++;
        } else if (action->kind == RH_ACTION_REFUSED) {
            heard.refused[number_of(world, action->refused.subscription)]++;
        }
    }
    assert_false(heard.out_of_order);
}

static void begin(struct world *world, unsigned sub, const char *key,
                  const struct rh_position *after)
{
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .may_relay = true},
    };
    world_step(world, 0, &event);
    hear(world);
}

static void poll(struct world *world, unsigned sub, const char *key,
                 const struct rh_position *after, uint32_t limit, uint32_t wait_ms)
{
    struct rh_event event = {
        .kind = RH_EVENT_READ,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .limit = limit,
                      .wait_ms = wait_ms,
                      .may_relay = true},
    };
    world_step(world, 0, &event);
}

/* Ends the turn of |node|, if it wants that. */
static bool end_turn(struct world *world, unsigned node)
{
    if (rh_core_deadline_ms(world->cores[node]) > world->now_ms) {
        return false;
    }
    struct rh_event event = {.kind = RH_EVENT_TICK};
    world_step(world, node, &event);
    hear(world);
    return true;
}

/* Which messages are lost: the |nth| from now on; or one of |one_in| at random. */
struct loss {
    unsigned nth;
    unsigned one_in;
    uint64_t random;
};

static bool is_lost(struct loss *loss)
{
    if (loss->nth > 0) {
        return --loss->nth == 0;
    }
    return loss->one_in > 0 && rh_test_below(&loss->random, loss->one_in) == 0;
}

/* Until nothing is under way and nobody wants a turn now. */
static void settle_with(struct world *world, struct loss *loss)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned node = 0; node < WORLD_NODES; node++) {
            busy |= end_turn(world, node);
        }
        while (world->queue_count > 0) {
            bool lost = is_lost(loss);
            world_deliver(world, lost);
            if (!lost) {
                hear(world);
            }
            busy = true;
        }
    }
}

static void settle(struct world *world)
{
    struct loss none = {0};
    settle_with(world, &none);
}

static void pass_with(struct world *world, uint64_t ms, struct loss *loss)
{
    for (uint64_t end_ms = world->now_ms + ms; world->now_ms < end_ms; world->now_ms += 50) {
        settle_with(world, loss);
    }
    settle_with(world, loss);
}

static void pass(struct world *world, uint64_t ms)
{
    struct loss none = {0};
    pass_with(world, ms, &none);
}

static void publish(struct world *world, unsigned node, const char *key, unsigned number)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "m%u", number);
    world_publish(world, node, number, key, text, text);
    world_forget(world);
}

static int setup(void **state)
{
    heard = (struct heard){0};
    return world_setup(state);
}

#define RELAY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

/* The core of |node| anew with a log of any length. */
static void restart_with_long_log(struct world *world, unsigned node, uint32_t batch_size_max)
{
    struct rh_core_options options = world_options_of(node);
    options.log.messages_max = 10000;
    options.log.bytes_max = 64U << 20;
    options.payload_size_max = 100000;
    options.batch_size_max = batch_size_max;
    world_restart(world, node, &options);
    for (unsigned other = 0; other < WORLD_NODES; other++) {
        if (other != node) {
            world_peer(world, RH_EVENT_PEER_UP, node, other);
        }
    }
    world_forget(world);
}

/* ---- nothing goes wrong ---- */

static void a_connection_is_carried_to_the_owner_and_back(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    world_publish(world, 1, 1, key, "a", "before");
    begin(world, 1, key, NULL);
    settle(world);
    world_publish(world, 1, 2, key, "b", "after");
    settle(world);
    world_unsubscribe(world, 0, 1);
    settle(world);
    world_expect(world, "n2 > published #1 seq=1 by n2 to 0\n"
                        "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n1 > welcome s1 seq=1\n"
                        "n2 > published #2 seq=2 by n2 to 1\n"
                        "n2 > send stream_batch to n1\n"
                        "n1 > message 2:after to s1\n"
                        "n1 > send stream_close to n2\n");
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 0);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

static void those_at_one_place_share_what_is_sent(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    publish(world, 1, key, 1);
    begin(world, 1, key, NULL);
    begin(world, 2, key, NULL);
    begin(world, 3, key, &world_start);
    settle(world);
    world_forget(world);
    world_publish(world, 1, 2, key, "b", "two");
    world_publish(world, 1, 3, key, "c", "three");
    settle(world);
    world_expect(world, "n2 > published #2 seq=2 by n2 to 3\n"
                        "n2 > published #3 seq=3 by n2 to 3\n"
                        "n2 > send stream_batch to n1\n"
                        "n1 > message 2:two to s1\n"
                        "n1 > message 2:two to s2\n"
                        "n1 > message 2:two to s3\n"
                        "n1 > message 3:three to s1\n"
                        "n1 > message 3:three to s2\n"
                        "n1 > message 3:three to s3\n");
}

static void a_long_replay_comes_whole(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    restart_with_long_log(world, 1, 100000);
    for (unsigned i = 1; i <= 300; i++) {
        publish(world, 1, key, i);
    }
    begin(world, 1, key, &world_start);
    settle(world);
    assert_int_equal(heard.welcomes[1], 1);
    assert_int_equal(heard.messages[1], 300);
}

static void a_poll_is_answered_by_the_owner(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    poll(world, 1, key, &world_start, 10, 0);
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_read to n1\n"
                        "n1 > read s1 at=0 absent\n");
    publish(world, 1, key, 1);
    publish(world, 1, key, 2);
    publish(world, 1, key, 3);
    poll(world, 1, key, &world_start, 2, 0);
    settle(world);
    poll(world, 1, key, NULL, 2, 10000);
    settle(world);
    world_publish(world, 1, 4, key, "d", "four");
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_read to n1\n"
                        "n1 > read s1 1:m1 2:m2 at=2 more\n"
                        "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n2 > send stream_read to n1\n"
                        "n2 > published #4 seq=4 by n2 to 1\n"
                        "n1 > read s1 4:four at=4\n");
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

static void a_poll_that_nobody_answers_in_time_ends_where_it_was(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    publish(world, 1, key, 1);
    const struct rh_position at = world_position(world, 1, key, 1);
    poll(world, 1, key, &at, 10, 2000);
    poll(world, 2, key, NULL, 10, 0);
    struct loss all = {.one_in = 1};
    pass_with(world, 2000 + RH_RELAYED_READ_MS + 500, &all);
    assert_non_null(strstr(world->trace, "n1 > read s1 at=1\n"));
    assert_non_null(strstr(world->trace, "n1 > refused s2 owner_unreachable\n"));
}

/* ---- what is lost is found (rules 1 to 4) ---- */

/* The clients have read what they were sent. */
static void read_all(struct world *world)
{
    for (unsigned sub = 0; sub < SUBS; sub++) {
        if (world->subs[sub].wants_room) {
            world_drained(world, 0, sub);
        }
    }
}

static void read_for_a_while(struct world *world)
{
    for (unsigned i = 0; i < 16; i++) {
        pass(world, 500);
        read_all(world);
        world_forget(world);
    }
}

static void talk(struct world *world, const char *key, struct loss *loss)
{
    unsigned number = 0;
    begin(world, 1, key, &world_start);
    pass_with(world, 100, loss);
    for (unsigned round = 0; round < 6; round++) {
        publish(world, 1, key, ++number);
        publish(world, 1, key, ++number);
        if (round == 2) {
            begin(world, 2, key, &world_start);
        }
        read_all(world);
        pass_with(world, 100, loss);
        world_forget(world);
    }
}

static void whichever_message_is_lost_a_client_misses_nothing(void **state)
{
    for (unsigned nth = 1; nth <= 24; nth++) {
        struct world *world = *state;
        restart_with_long_log(world, 1, 1000);
        restart_with_long_log(world, 0, 1000);
        struct loss loss = {.nth = nth};
        talk(world, world->keys[1], &loss);
        read_for_a_while(world);
        for (unsigned sub = 1; sub <= 2; sub++) {
            assert_int_equal(heard.welcomes[sub], 1);
            assert_int_equal(heard.messages[sub], 12);
        }
        assert_int_equal(rh_core_stats(world->cores[1])->remotes, 2);
        world_unsubscribe(world, 0, 1);
        world_unsubscribe(world, 0, 2);
        pass(world, 3000);
        assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
        assert_int_equal(world_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void however_much_is_lost_a_client_misses_nothing(void **state)
{
    uint64_t random = rh_test_seed(20261125);
    for (unsigned run = 0; run < 40; run++) {
        struct world *world = *state;
        restart_with_long_log(world, 1, 1000);
        restart_with_long_log(world, 0, 1000);
        struct loss loss = {.one_in = 2 + run % 9, .random = rh_test_random(&random)};
        talk(world, world->keys[1], &loss);
        pass_with(world, 5000, &loss);
        read_for_a_while(world);
        for (unsigned sub = 1; sub <= 2; sub++) {
            assert_int_equal(heard.welcomes[sub], 1);
            assert_int_equal(heard.messages[sub], 12);
        }
        assert_int_equal(world_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void a_link_that_broke_is_begun_anew(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    publish(world, 1, key, 1);
    settle(world);
    world_forget(world);
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    settle(world);
    world_expect(world, ""); /* there is no way */
    publish(world, 1, key, 2);
    struct loss all = {.one_in = 1};
    settle_with(world, &all);
    world_forget(world);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n2 > send stream_batch to n1\n"
                        "n1 > message 2:m2 to s1\n");
}

static void what_belongs_to_an_older_tunnel_is_passed_over(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    publish(world, 1, key, 1);
    assert_true(end_turn(world, 1)); /* a batch is under way */
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    settle(world);
    assert_int_equal(heard.messages[1], 1);
    publish(world, 1, key, 2);
    settle(world);
    assert_int_equal(heard.messages[1], 2);
}

static void a_position_that_is_lost_sends_a_welcomed_client_back_to_be_told(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    publish(world, 1, key, 1);
    settle(world);
    const struct rh_core_options options = world_options_of(1);
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_restart(world, 1, &options); /* the channel is gone, and its incarnation */
    world_peer(world, RH_EVENT_PEER_UP, 1, 0);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    world_forget(world);
    settle(world);
    world_expect(world, "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n1 > send stream_close to n2\n"
                        "n1 > moved s1 to n1 at=1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 0);
}

/* ---- who is asked (rule 7) ---- */

static void a_channel_that_moves_takes_its_relayed_clients_along(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    poll(world, 1, key, NULL, 10, 30000);
    settle(world);
    world_forget(world);
    world_make_view(world, 5); /* without n2 */
    world_adopt(world, 1);
    world_adopt(world, 0);
    world_adopt(world, 2);
    settle(world);
    unsigned owner =
        rh_ring_owner(world->view->ring, rh_ring_hash(world->view->ring, key, strlen(key)));
    world_forget(world);
    world_publish(world, owner, 2, key, "b", "new");
    settle(world);
    assert_non_null(strstr(world->trace, "n1 > read s1 1:new at=1\n"));
}

static void one_that_is_not_the_owner_names_who_is(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    world_forget(world);
    world_make_view(world, 5);
    world_adopt(world, 1); /* n2 knows already, n1 does not */
    struct loss none = {0};
    pass_with(world, 300, &none);
    assert_non_null(strstr(world->trace, "n2 > send stream_ended to n1\n"));
    assert_non_null(strstr(world->trace, "n1 > catch up\n"));
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 1);
    assert_int_equal(heard.moved[1] + heard.refused[1], 0);
}

/* A key of n2's that is n1's without it. */
static void find_key(struct world *world, char key[32])
{
    world_make_view(world, 5);
    struct rh_view *without = world->view;
    world->view = NULL;
    world_make_view(world, 7);
    key[0] = '\0';
    for (unsigned number = 0; key[0] == '\0'; number++) {
        char text[32];
        size_t size = (size_t)snprintf(text, sizeof(text), "k%u", number);
        if (rh_ring_owner(world->view->ring, rh_ring_hash(world->view->ring, text, size)) == 1 &&
            rh_ring_owner(without->ring, rh_ring_hash(without->ring, text, size)) == 0) {
            memcpy(key, text, sizeof(text));
        }
    }
    rh_view_give(without);
}

static void a_relaying_node_that_becomes_the_owner_serves_its_client(void **state)
{
    struct world *world = *state;
    char key[32];
    find_key(world, key);
    world_adopt_all(world, 7);
    poll(world, 1, key, NULL, 10, 30000);
    begin(world, 2, key, NULL);
    settle(world);
    world_forget(world);
    world_adopt_all(world, 5);
    settle(world);
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 0);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_WAITING);
    assert_int_equal(heard.moved[2], 1); /* without copies its channel began anew */
    world_publish(world, 0, 1, key, "a", "here");
    assert_non_null(strstr(world->trace, "n1 > read s1 1:here at=1\n"));
}

static void an_owner_that_is_one_no_more_relays_when_what_it_sent_is_out(void **state)
{
    struct world *world = *state;
    char key[32];
    find_key(world, key);
    world_adopt_all(world, 5);
    publish(world, 0, key, 1);
    begin(world, 1, key, &world_start);
    assert_int_equal(heard.messages[1], 1);
    world_forget(world);
    world_make_view(world, 7);
    world_adopt(world, 0);
    assert_true(end_turn(world, 0));
    world_expect(world, "n1 > s1 goes on\n"
                        "n1 > swept channels=1 connections=1\n"
                        "n1 > send stream_open to n2\n");
    const struct rh_peer_stream_open *open = &world->queue[0]->message.stream_open;
    assert_true(open->used == open->window);
    assert_true(world->subs[1].wants_room);
    world_forget(world);
    world_drained(world, 0, 1);
    assert_true(end_turn(world, 0));
    world_expect(world, "n1 > send stream_taken to n2\n");
    assert_int_equal(heard.moved[1], 0);
}

static void a_node_without_weight_relays_nothing(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    poll(world, 2, key, NULL, 10, 10000);
    settle(world);
    publish(world, 1, key, 1);
    struct loss all = {.one_in = 1};
    settle_with(world, &all); /* neither has heard of it */
    world_forget(world);
    world_make_view(world, 6);
    world_adopt(world, 0);
    assert_non_null(strstr(world->trace, "n1 > moved s1 to n2 at=0\n"));
    assert_non_null(strstr(world->trace, "n1 > redirect s2 to n2\n"));
    world_forget(world);
    begin(world, 3, key, NULL);
    world_expect(world, "n1 > redirect s3 to n2\n");
    settle(world);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

static void without_an_owner_it_waits_for_a_view(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    publish(world, 1, key, 1);
    settle(world);
    world_make_view(world, 0); /* nobody has weight, so n1 has none either: it keeps what it has */
    world_adopt(world, 0);
    world_forget(world);
    settle(world);
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 1);
    publish(world, 1, key, 2);
    settle(world);
    assert_int_equal(heard.messages[1], 2);
}

/* ---- patience (rule 8) ---- */

static void an_owner_that_says_nothing_is_waited_for_with_patience(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    struct loss all = {.one_in = 1};
    begin(world, 2, key, NULL);
    pass_with(world, RH_RELAYED_OPEN_MS - 500, &all);
    world_forget(world);
    pass_with(world, 1000, &all);
    assert_non_null(strstr(world->trace, "n1 > refused s2 owner_unreachable\n"));
    assert_int_equal(heard.refused[1], 0);
    for (unsigned i = 0; i < 40; i++) {
        world_forget(world);
        pass_with(world, 1000, &all);
    }
    assert_int_equal(heard.refused[1], 1);
    assert_int_equal(rh_core_stats(world->cores[0])->relayed, 0);
}

static void a_tunnel_that_is_not_checked_is_forgotten(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 1);
    world_pass(world, 1, RH_TUNNEL_IDLE_MS + 1000); /* n1 stands still */
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
    publish(world, 1, key, 1);
    pass(world, 5000); /* it wakes up */
    assert_int_equal(heard.messages[1], 1);
    assert_int_equal(heard.welcomes[1], 1);
}

static void who_leaves_the_view_is_forgotten(void **state)
{
    struct world *world = *state;
    begin(world, 1, world->keys[1], NULL);
    settle(world);
    struct rh_view *before = world->view;
    const struct rh_registration *member = &before->members[1];
    const struct rh_registration registrations[] = {*member};
    const int64_t czxid = before->epoch.pzxid + 1;
    const struct rh_epoch epoch = {.generation = 1, .pzxid = czxid};
    struct rh_view *alone = NULL;
    assert_int_equal(rh_view_create(epoch, &before->config, registrations, &czxid, 1, &alone), 0);
    struct rh_event event = {.kind = RH_EVENT_VIEW, .view = alone};
    world_step(world, 1, &event);
    rh_view_give(alone);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

/* ---- credit and limits (rules 5, 6, 10) ---- */

static void a_stream_is_sent_what_it_has_credit_for_and_more_when_there_is_room(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    restart_with_long_log(world, 1, 1000);
    restart_with_long_log(world, 0, 1000); /* seven of such messages */
    begin(world, 1, key, NULL);
    settle(world);
    for (unsigned i = 1; i <= 100; i++) {
        publish(world, 1, key, i);
    }
    settle(world);
    unsigned first = heard.messages[1];
    assert_in_range(first, 1, 7);
    pass(world, 5000);
    assert_int_equal(heard.messages[1], first);
    while (heard.messages[1] < 100) {
        assert_true(world->subs[1].wants_room);
        unsigned before = heard.messages[1];
        world_drained(world, 0, 1);
        settle(world);
        world_forget(world);
        assert_in_range(heard.messages[1] - before, 1, 7);
    }
}

static void one_whose_log_goes_on_without_it_is_too_slow(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    struct rh_core_options options = world_options_of(0);
    options.batch_size_max = 1;
    world_restart(world, 0, &options);
    for (unsigned other = 1; other < WORLD_NODES; other++) {
        world_peer(world, RH_EVENT_PEER_UP, 0, other);
    }
    begin(world, 1, key, NULL);
    settle(world);
    for (unsigned i = 1; i <= 10; i++) { /* the log keeps five */
        publish(world, 1, key, i);
        settle(world);
    }
    assert_int_equal(heard.messages[1], 1);
    world_forget(world);
    world_drained(world, 0, 1);
    settle(world);
    world_expect(world, "n1 > send stream_taken to n2\n"
                        "n2 > send stream_ended to n1\n"
                        "n1 > refused s1 too_slow\n");
}

static void a_message_larger_than_the_credit_comes_alone(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    restart_with_long_log(world, 0, 10);
    begin(world, 1, key, NULL);
    settle(world);
    for (unsigned i = 1; i <= 3; i++) {
        publish(world, 1, key, i);
    }
    for (unsigned i = 1; i <= 3; i++) {
        settle(world);
        assert_int_equal(heard.messages[1], i);
        assert_true(world->subs[1].wants_room);
        world_drained(world, 0, 1);
    }
}

static void a_message_larger_than_the_relaying_node_reckons_with_comes_all_the_same(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    restart_with_long_log(world, 1, 1000);
    struct rh_core_options options = world_options_of(0);
    options.payload_size_max = 10;
    options.batch_size_max = 1000;
    world_restart(world, 0, &options);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    begin(world, 1, key, NULL);
    settle(world);
    publish(world, 1, key, 1);
    settle(world);
    assert_int_equal(heard.messages[1], 1);
    assert_false(world->subs[1].wants_room); /* so nobody tells of room */
    char text[160] = "";
    memset(text, 'x', sizeof(text) - 1);
    world_publish(world, 1, 2, key, "large", text);
    settle(world);
    assert_int_equal(heard.messages[1], 2);
}

static uint64_t bytes_under_way(const struct world *world)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < world->queue_count; i++) {
        const struct rh_peer_message *message = &world->queue[i]->message;
        if (message->kind == RH_PEER_STREAM_BATCH) {
            bytes += rh_peer_stream_batch_weight(&message->stream_batch);
        } else if (message->kind == RH_PEER_STREAM_READ) {
            bytes += rh_peer_stream_read_weight(&message->stream_read);
        }
    }
    return bytes;
}

/* At n2, 60000 bytes. */
static void publish_large(struct world *world, const char *key, unsigned number)
{
    static char text[60001];
    memset(text, 'x', sizeof(text) - 1);
    char id[16];
    (void)snprintf(id, sizeof(id), "%u", number);
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = number,
                    .key = rh_bytes_text(key),
                    .id = rh_bytes_text(id),
                    .payload = {.kind = RH_PAYLOAD_JSON, .bytes = rh_bytes_text(text)}},
    };
    world_step(world, 1, &event);
    world_forget(world);
}

static void all_streams_together_have_a_window(void **state)
{
    struct world *world = *state;
    char keys[SUBS][32];
    unsigned found = 0;
    restart_with_long_log(world, 1, 4U << 20);
    restart_with_long_log(world, 0, 4U << 20);
    for (unsigned number = 0; found < SUBS; number++) {
        int size = snprintf(keys[found], sizeof(keys[found]), "w%u", number);
        uint64_t hash = rh_ring_hash(world->view->ring, keys[found], (size_t)size);
        found += rh_ring_owner(world->view->ring, hash) == 1;
    }
    for (unsigned i = 0; i < SUBS; i++) {
        begin(world, i, keys[i], NULL);
    }
    settle(world);
    for (unsigned i = 0; i < SUBS * 15; i++) {
        publish_large(world, keys[i % SUBS], i);
    }
    while (end_turn(world, 1)) {
        world_forget(world);
    }
    uint64_t most = bytes_under_way(world);
    assert_in_range(most, RH_TUNNEL_WINDOW - 100000, RH_TUNNEL_WINDOW + 100000);
    unsigned all = 0;
    for (unsigned turn = 0; turn < 1000 && all < SUBS * 15; turn++) {
        for (unsigned node = 0; node < 2; node++) {
            (void)end_turn(world, node);
        }
        assert_true(bytes_under_way(world) <= RH_TUNNEL_WINDOW + 100000);
        if (world->queue_count > 0) {
            world_deliver(world, false);
            hear(world);
        }
        world_forget(world);
        all = 0;
        for (unsigned i = 0; i < SUBS; i++) {
            all += heard.messages[i];
            if (world->subs[i].wants_room) {
                world_drained(world, 0, i);
            }
        }
    }
    assert_int_equal(all, SUBS * 15);
}

/* As if n1 had sent it to n2. */
static void tell_owner(struct world *world, struct rh_peer_message *message)
{
    message->epoch = world->view->epoch;
    struct rh_event event = {
        .kind = RH_EVENT_PEER_MESSAGE,
        .peer_message = {.from = world->refs[0], .message = message},
    };
    world_step(world, 1, &event);
}

static unsigned answers_under_way(const struct world *world)
{
    unsigned count = 0;
    for (size_t i = 0; i < world->queue_count; i++) {
        count += world->queue[i]->message.kind == RH_PEER_STREAM_READ;
    }
    return count;
}

static void answers_of_polls_wait_for_the_window_too(void **state)
{
    struct world *world = *state;
    restart_with_long_log(world, 1, 4U << 20);
    for (unsigned i = 0; i < 4; i++) {
        publish_large(world, world->keys[1], i);
    }
    struct rh_peer_message message = {
        .kind = RH_PEER_STREAM_OPEN,
        .stream_open = {.tunnel = 7,
                        .key = rh_bytes_text(world->keys[1]),
                        .has_after = true,
                        .is_read = true,
                        .limit = 10},
    };
    for (unsigned i = 1; i <= 160; i++) {
        message.stream_open.number = message.stream_open.stream = i;
        message.stream_open.wait_ms = i % 2 == 0 ? 10 : 0;
        tell_owner(world, &message);
    }
    world_pass(world, 1, 1000);
    uint64_t most = bytes_under_way(world);
    unsigned first = answers_under_way(world);
    assert_in_range(most, RH_TUNNEL_WINDOW, RH_TUNNEL_WINDOW + 300000);
    assert_in_range(first, 1, 159);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 160 - first);
    struct rh_peer_message taken = {
        .kind = RH_PEER_STREAM_TAKEN,
        .stream_taken = {.tunnel = 7, .number = 161, .arrived = most},
    };
    tell_owner(world, &taken);
    world_pass(world, 1, 1000);
    assert_true(answers_under_way(world) >= 2 * first);
    taken.stream_taken.number = 162;
    tell_owner(world, &taken);
    world_pass(world, 1, 1000);
    assert_int_equal(answers_under_way(world), 160);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

static void an_owner_takes_as_many_as_it_may(void **state)
{
    struct world *world = *state;
    struct rh_core_options options = world_options_of(1);
    options.remotes_max = 2;
    world_restart(world, 1, &options);
    world_peer(world, RH_EVENT_PEER_UP, 1, 0);
    for (unsigned sub = 1; sub <= 3; sub++) {
        begin(world, sub, world->keys[1], NULL);
    }
    world_forget(world);
    settle(world);
    assert_int_equal(heard.welcomes[1] + heard.welcomes[2], 2);
    assert_non_null(strstr(world->trace, "n1 > refused s3 overloaded\n"));
    world_unsubscribe(world, 0, 1);
    begin(world, 3, world->keys[1], NULL);
    settle(world);
    assert_int_equal(heard.welcomes[3], 1);
}

/* How many streams the last step of n2 has ended; messages are not under way. */
static unsigned ends_of_step(struct world *world, struct rh_event *event)
{
    unsigned count = 0;
    event->now_ms = world->now_ms;
    rh_core_step(world->cores[1], event, &world->actions);
    for (size_t i = 0; i < world->actions.count; i++) {
        const struct rh_action *action = &world->actions.items[i];
        count +=
            action->kind == RH_ACTION_SEND && action->send.message.kind == RH_PEER_STREAM_ENDED;
    }
    return count;
}

static void a_channel_with_very_many_of_them_moves_in_small_steps(void **state)
{
    enum { STREAMS = 2000 };
    struct world *world = *state;
    struct rh_core_options options = world_options_of(1);
    options.remotes_max = STREAMS;
    world_restart(world, 1, &options);
    world_peer(world, RH_EVENT_PEER_UP, 1, 0);
    struct rh_peer_message open = {
        .kind = RH_PEER_STREAM_OPEN,
        .epoch = world->view->epoch,
        .stream_open = {.tunnel = 7,
                        .key = rh_bytes_text(world->keys[1]),
                        .window = 100,
                        .room_min = 1},
    };
    for (unsigned i = 1; i <= STREAMS; i++) {
        open.stream_open.number = open.stream_open.stream = i;
        struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                                 .peer_message = {.from = world->refs[0], .message = &open}};
        assert_int_equal(ends_of_step(world, &event), 0);
    }
    world_make_view(world, 5); /* without n2 */
    struct rh_event view = {.kind = RH_EVENT_VIEW, .view = world->view};
    unsigned ended = ends_of_step(world, &view);
    assert_true(ended <= RH_TUNNEL_ENDS_MAX);
    unsigned steps = 0;
    while (rh_core_deadline_ms(world->cores[1]) == 0) {
        struct rh_event tick = {.kind = RH_EVENT_TICK};
        unsigned ends = ends_of_step(world, &tick);
        assert_true(ends <= RH_TUNNEL_ENDS_MAX);
        ended += ends;
        steps++;
    }
    assert_int_equal(ended, STREAMS);
    assert_in_range(steps, STREAMS / RH_TUNNEL_ENDS_MAX, 10);
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

static void a_stream_number_that_is_used_twice_breaks_the_tunnel(void **state)
{
    struct world *world = *state;
    struct rh_peer_message message = {
        .kind = RH_PEER_STREAM_OPEN,
        .stream_open = {.tunnel = 7,
                        .stream = 5,
                        .key = rh_bytes_text(world->keys[1]),
                        .window = 100,
                        .room_min = 1},
    };
    for (unsigned number = 1; number <= 3; number++) {
        message.stream_open.number = number;
        tell_owner(world, &message);
    }
    world_expect(world, "n2 > send stream_opened to n1\n"
                        "n2 > send tunnel_state to n1\n");
    assert_int_equal(rh_core_stats(world->cores[1])->remotes, 0);
}

static void a_batch_that_is_not_what_comes_next_breaks_the_tunnel(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    publish(world, 1, key, 1);
    begin(world, 1, key, &world_start);
    settle(world);
    const struct rh_position at = world_position(world, 1, key, 2);
    world_forget(world);
    publish(world, 1, key, 2);
    assert_true(end_turn(world, 1));
    assert_int_equal(world->queue_count, 1);
    struct rh_peer_stream_batch *batch = &world->queue[0]->message.stream_batch;
    struct rh_peer_operation gap = batch->messages[0];
    gap.seq++;
    batch->messages = &gap;
    pass(world, RH_RELAYED_LOOK_MS + 50); /* the tunnel is too young to be begun anew at once */
    world_expect(world, "n2 > send stream_batch to n1\n"
                        "n1 > send stream_open to n2\n"
                        "n2 > send stream_opened to n1\n"
                        "n2 > send stream_batch to n1\n"
                        "n1 > message 2:m2 to s1\n");
    assert_int_equal(heard.next[1], at.seq + 1);
    assert_int_equal(rh_core_stats(world->cores[0])->tunnels_broken, 1);
}

static void a_batch_for_which_there_is_no_memory_is_sent_again(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[1];
    begin(world, 1, key, NULL);
    settle(world);
    /* The first is memory of the step, without which nothing goes. */
    for (unsigned nth = 2, number = 1;; nth++, number++) {
        publish(world, 1, key, number);
        assert_true(end_turn(world, 1));
        struct rh_event event = {
            .kind = RH_EVENT_PEER_MESSAGE,
            .now_ms = world->now_ms,
            .peer_message = {.from = world->refs[1], .message = &world->queue[0]->message},
        };
        rh_test_allocation_fail(nth);
        rh_core_step(world->cores[0], &event, &world->actions);
        bool failed = rh_test_allocation_failed();
        hear(world);
        assert_int_equal(heard.messages[1], failed ? number - 1 : number);
        world_deliver(world, true);
        pass(world, 1000);
        assert_int_equal(heard.messages[1], number);
        if (!failed) {
            assert_true(nth > 3);
            assert_int_equal(heard.welcomes[1], 1);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELAY_TEST(a_connection_is_carried_to_the_owner_and_back),
        RELAY_TEST(those_at_one_place_share_what_is_sent),
        RELAY_TEST(a_long_replay_comes_whole),
        RELAY_TEST(a_poll_is_answered_by_the_owner),
        RELAY_TEST(a_poll_that_nobody_answers_in_time_ends_where_it_was),
        RELAY_TEST(whichever_message_is_lost_a_client_misses_nothing),
        RELAY_TEST(however_much_is_lost_a_client_misses_nothing),
        RELAY_TEST(a_link_that_broke_is_begun_anew),
        RELAY_TEST(what_belongs_to_an_older_tunnel_is_passed_over),
        RELAY_TEST(a_position_that_is_lost_sends_a_welcomed_client_back_to_be_told),
        RELAY_TEST(a_channel_that_moves_takes_its_relayed_clients_along),
        RELAY_TEST(one_that_is_not_the_owner_names_who_is),
        RELAY_TEST(a_relaying_node_that_becomes_the_owner_serves_its_client),
        RELAY_TEST(an_owner_that_is_one_no_more_relays_when_what_it_sent_is_out),
        RELAY_TEST(a_node_without_weight_relays_nothing),
        RELAY_TEST(without_an_owner_it_waits_for_a_view),
        RELAY_TEST(an_owner_that_says_nothing_is_waited_for_with_patience),
        RELAY_TEST(a_tunnel_that_is_not_checked_is_forgotten),
        RELAY_TEST(who_leaves_the_view_is_forgotten),
        RELAY_TEST(a_stream_is_sent_what_it_has_credit_for_and_more_when_there_is_room),
        RELAY_TEST(one_whose_log_goes_on_without_it_is_too_slow),
        RELAY_TEST(a_message_larger_than_the_credit_comes_alone),
        RELAY_TEST(all_streams_together_have_a_window),
        RELAY_TEST(a_message_larger_than_the_relaying_node_reckons_with_comes_all_the_same),
        RELAY_TEST(answers_of_polls_wait_for_the_window_too),
        RELAY_TEST(an_owner_takes_as_many_as_it_may),
        RELAY_TEST(a_batch_that_is_not_what_comes_next_breaks_the_tunnel),
        RELAY_TEST(a_batch_for_which_there_is_no_memory_is_sent_again),
        RELAY_TEST(a_stream_number_that_is_used_twice_breaks_the_tunnel),
        RELAY_TEST(a_channel_with_very_many_of_them_moves_in_small_steps),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
