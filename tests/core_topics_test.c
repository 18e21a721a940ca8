/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include <stdio.h>
#include <string.h>

/* Channels that follow others, of cores without replication: who asks whom, what is lost and sent
 * again, what is not done twice. With replication and real nodes: integration/test_topics.py. */

/* All messages arrive, and time goes on in between, until nothing is left to do. */
static void settle(struct world *world)
{
    for (unsigned round = 0; round < 20; round++) {
        while (world->queue_count > 0) {
            world_deliver(world, false);
        }
        for (unsigned node = 0; node < WORLD_NODES; node++) {
            world_pass(world, node, 1);
        }
    }
    assert_int_equal(world->queue_count, 0);
}

/* A key of n1 that begins with |prefix|: the first whose number is not below |*number|, which is set to
 * the one after it. */
static void key_of_n1(const struct world *world, const char *prefix, unsigned *number,
                      char key[static 64])
{
    uint64_t hash = 0;
    do {
        int size = snprintf(key, 64, "%s:%u", prefix, (*number)++);
        hash = rh_ring_hash(world->view->ring, key, (size_t)size);
    } while (rh_ring_owner(world->view->ring, hash) != 0);
}

/* n1 owns the follower and n2 the topic; they are in step, and the trace is empty. */
static void set_up(struct world *world)
{
    world_follow(world, 0, 1, world->keys[0], world->keys[1], NULL);
    settle(world);
    world_subscribe(world, 0, 1, world->keys[0], &world_start);
    world_forget(world);
}

static void a_follow_waits_for_the_end_of_the_topic_and_then_is_fed(void **state)
{
    struct world *world = *state;
    const char *follower = world->keys[0];
    const char *topic = world->keys[1];
    world_publish(world, 1, 1, topic, "a", "before");
    world_forget(world);
    world_follow(world, 0, 2, follower, topic, NULL);
    world_pass(world, 0, 1);
    world_deliver(world, false);
    world_pass(world, 1, 1);
    world_deliver(world, false);
    world_deliver(world, false);
    world_pass(world, 1, 1);
    world_expect(world, "n1 > send topic_ask to n2\n"
                        "n2 > send topic_batch to n1\n"
                        "n1 > followed #2 by n1 key:0@1\n"
                        "n1 > send topic_ack to n2\n");
    world_subscribe(world, 0, 1, follower, &world_start);
    world_publish(world, 1, 3, topic, "b", "after");
    world_pass(world, 1, 1);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n2 > published #3 seq=2 by n2 to 0\n"
                        "n2 > send topic_batch to n1\n"
                        "n1 > message 1:after to s1\n"
                        "n1 > send topic_ack to n2\n");
}

static void a_topic_and_its_follower_at_one_node_need_no_messages(void **state)
{
    struct world *world = *state;
    char other[64];
    (void)snprintf(other, sizeof(other), "%s", world->keys[0]);
    char topic[64];
    key_of_n1(world, "other", &(unsigned){0}, topic);
    world_follow(world, 0, 1, other, topic, NULL);
    settle(world);
    world_subscribe(world, 0, 1, other, &world_start);
    world_forget(world);
    world_publish(world, 0, 2, topic, "a", "x");
    world_publish(world, 0, 3, topic, "b", "y");
    settle(world);
    world_expect(world, "n1 > published #2 seq=1 by n1 to 0\n"
                        "n1 > published #3 seq=2 by n1 to 0\n"
                        "n1 > message 1:x to s1\n"
                        "n1 > message 2:y to s1\n");
}

static void followers_at_one_node_share_a_message(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_follow(world, 0, 2, "another", world->keys[1], NULL);
    if (world->queue_count > 0) { /* not n1's */
        settle(world);
    }
    world_forget(world);
    world_publish(world, 1, 3, world->keys[1], "a", "x");
    world_publish(world, 1, 4, world->keys[1], "b", "y");
    world_pass(world, 1, 1);
    unsigned batches = 0;
    for (size_t i = 0; i < world->queue_count; i++) {
        batches += world->queue[i]->message.kind == RH_PEER_TOPIC_BATCH && world->queue[i]->to == 0;
    }
    assert_int_equal(batches, 1);
    settle(world);
}

static void a_batch_that_is_lost_is_sent_again_and_one_that_is_not_is_taken_once(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 1, 1);
    world_deliver(world, true);
    world_pass(world, 1, 399);
    world_expect(world, "n2 > published #2 seq=1 by n2 to 0\n"
                        "n2 > send topic_batch to n1\n");
    world_pass(world, 1, 10);
    world_deliver(world, false);
    world_deliver(world, true); /* the acknowledgement is lost */
    world_pass(world, 1, 410);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n2 > send topic_batch to n1\n"
                        "n1 > message 1:x to s1\n"
                        "n1 > send topic_ack to n2\n"
                        "n2 > send topic_batch to n1\n"
                        "n1 > send topic_ack to n2\n");
    settle(world);
    world_expect(world, "");
}

static void a_link_that_comes_up_brings_the_batch_again(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 1, 1);
    world_deliver(world, true);
    world_peer(world, RH_EVENT_PEER_DOWN, 1, 0);
    world_forget(world);
    world_peer(world, RH_EVENT_PEER_UP, 1, 0);
    world_pass(world, 1, 1);
    world_deliver(world, false);
    world_expect(world, "n2 > send topic_batch to n1\n"
                        "n1 > message 1:x to s1\n"
                        "n1 > send topic_ack to n2\n");
}

static void an_ask_that_is_lost_is_repeated(void **state)
{
    struct world *world = *state;
    world_follow(world, 0, 1, world->keys[0], world->keys[1], NULL);
    world_pass(world, 0, 1);
    world_deliver(world, true);
    world_pass(world, 0, 510);
    world_deliver(world, false);
    world_pass(world, 1, 1);
    world_deliver(world, false);
    world_expect(world, "n1 > send topic_ask to n2\n"
                        "n1 > send topic_ask to n2\n"
                        "n2 > send topic_batch to n1\n"
                        "n1 > followed #1 by n1 key:0@0\n"
                        "n1 > send topic_ack to n2\n");
}

static void a_first_batch_that_is_lost_is_sent_again_although_it_brings_nothing(void **state)
{
    struct world *world = *state;
    world_follow(world, 0, 1, world->keys[0], world->keys[1], NULL);
    world_pass(world, 0, 1);
    world_deliver(world, false);
    world_pass(world, 1, 1);
    world_deliver(world, true);
    world_pass(world, 1, 410);
    world_deliver(world, false);
    world_expect(world, "n1 > send topic_ask to n2\n"
                        "n2 > send topic_batch to n1\n"
                        "n2 > send topic_batch to n1\n"
                        "n1 > followed #1 by n1 key:0@0\n"
                        "n1 > send topic_ack to n2\n");
}

static void a_follow_whose_topic_nobody_tells_of_ends_as_not_ready(void **state)
{
    struct world *world = *state;
    world_follow(world, 0, 1, world->keys[0], world->keys[1], NULL);
    for (unsigned i = 0; i < 30; i++) {
        world_pass(world, 0, 200);
        while (world->queue_count > 0) {
            world_deliver(world, true);
        }
    }
    assert_non_null(strstr(world->trace, "n1 > followed #1 not_ready\n"));
    world_forget(world);
    world_follows(world, 0, 2, world->keys[0]);
    world_expect(world, "n1 > followed #2 by n1\n");
    settle(world);
    assert_int_equal(rh_core_stats(world->cores[0])->topic_feeds, 0);
}

static void through_another_node_it_is_asked_as_well(void **state)
{
    struct world *world = *state;
    const struct rh_position start = {0};
    world_follow(world, 2, 1, world->keys[0], world->keys[1], &start);
    world_deliver(world, false);
    world_deliver(world, false);
    world_expect(world, "n3 > send follow_ask to n1\n"
                        "n1 > send follow_answer to n3\n"
                        "n3 > followed #1 by n1 key:0@0\n");
    settle(world);
    world_forget(world);
    world_unfollow(world, 2, 2, world->keys[0], world->keys[1]);
    settle(world);
    world_expect(world, "n3 > send follow_ask to n1\n"
                        "n1 > send follow_answer to n3\n"
                        "n3 > followed #2 by n1\n"
                        "n1 > send topic_end to n2\n");
    assert_int_equal(rh_core_stats(world->cores[0])->topic_feeds, 0);
    assert_int_equal(rh_core_stats(world->cores[1])->topic_readers, 0);
}

static void who_follows_is_asked_of_all_nodes(void **state)
{
    struct world *world = *state;
    const char *topic = world->keys[1];
    world_follow(world, 0, 1, world->keys[0], topic, &world_start);
    world_follow(world, 2, 2, world->keys[2], topic, &world_start);
    settle(world);
    world_forget(world);
    world_followers(world, 1, 3, topic, 100);
    world_expect(world, "n2 > send followers_ask to n1\n"
                        "n2 > send followers_ask to n3\n"
                        "n2 > send followers_ask to n4\n");
    settle(world);
    char expected[256];
    bool in_order = strcmp(world->keys[0], world->keys[2]) < 0;
    (void)snprintf(expected, sizeof(expected),
                   "n1 > send followers_answer to n2\n"
                   "n3 > send followers_answer to n2\n"
                   "n4 > send followers_answer to n2\n"
                   "n2 > followers #3 2: %s %s n1 has 1 n3 has 1\n",
                   world->keys[in_order ? 0 : 2], world->keys[in_order ? 2 : 0]);
    world_expect(world, expected);
    world_unfollow(world, 0, 4, world->keys[0], topic);
    settle(world);
    world_forget(world);
    world_followers(world, 0, 5, topic, 100);
    settle(world);
    (void)snprintf(expected, sizeof(expected), "n1 > followers #5 1: %s n3 has 1\n",
                   world->keys[2]);
    assert_non_null(strstr(world->trace, expected));
}

static void no_more_followers_are_named_than_wanted_but_all_are_counted(void **state)
{
    struct world *world = *state;
    const char *topic = world->keys[1];
    for (unsigned i = 0; i < 20; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "follower:%02u", i);
        world_follow(world, 0, i, key, topic, &world_start);
        settle(world);
    }
    world_forget(world);
    world_followers(world, 0, 30, topic, 7);
    settle(world);
    const char *said = strstr(world->trace, "n1 > followers #30 20: follower:");
    assert_non_null(said);
    unsigned named = 0;
    for (const char *at = strstr(said, "follower:"); at != NULL; at = strstr(at + 1, "follower:")) {
        named++;
    }
    assert_int_equal(named, 7);
}

static void a_node_that_is_silent_or_out_of_reach_is_named(void **state)
{
    struct world *world = *state;
    const char *topic = world->keys[1];
    world_follow(world, 0, 1, world->keys[0], topic, &world_start);
    settle(world);
    world_forget(world);
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 2);
    world_followers(world, 0, 2, topic, 100);
    while (world->queue_count > 0) {
        world_deliver(world, true); /* lost */
    }
    char expected[128];
    (void)snprintf(expected, sizeof(expected),
                   "n1 > followers #2 1: %s n1 has 1 without n2 without n3 without n4\n",
                   world->keys[0]);
    world_pass(world, 0, 1999);
    assert_null(strstr(world->trace, expected));
    world_pass(world, 0, 1);
    assert_non_null(strstr(world->trace, expected));
}

static void a_node_of_another_version_is_not_asked_and_is_named(void **state)
{
    struct world *world = *state;
    world_make_view(world, 7);
    (void)snprintf(world->view->members[2].version, RH_VERSION_SIZE, "0.0.9");
    world_adopt(world, 0);
    settle(world);
    world_forget(world);
    world_followers(world, 0, 1, world->keys[1], 100);
    settle(world);
    world_expect(world, "n1 > send followers_ask to n2\n"
                        "n1 > send followers_ask to n4\n"
                        "n2 > send followers_answer to n1\n"
                        "n4 > send followers_answer to n1\n"
                        "n1 > followers #1 0: without n3\n");
}

static void an_answer_that_nobody_waits_for_is_passed_over(void **state)
{
    struct world *world = *state;
    const struct rh_bytes key = rh_bytes_text("user:1");
    const struct rh_peer_message said = {
        .kind = RH_PEER_FOLLOWERS_ANSWER,
        .epoch = world->view->epoch,
        .followers_answer = {.request = 1, .count = 1, .followers = &key, .followers_count = 1},
    };
    struct rh_event event = {
        .kind = RH_EVENT_PEER_MESSAGE,
        .peer_message = {.from = world->refs[1], .message = &said},
    };
    world_step(world, 0, &event);
    world_expect(world, "");
    world_followers(world, 0, 7, world->keys[1], 100);
    world_step(world, 0, &event);
    world_step(world, 0, &event); /* said twice */
    world_forget(world);
    settle(world);
    world_expect(world, "n2 > send followers_answer to n1\n"
                        "n3 > send followers_answer to n1\n"
                        "n4 > send followers_answer to n1\n"
                        "n1 > followers #7 1: user:1 n2 has 1\n");
}

static void so_many_ask_who_follows_and_no_more(void **state)
{
    struct world *world = *state;
    for (unsigned i = 0; i < 64; i++) {
        world_followers(world, 0, i, world->keys[1], 1);
        while (world->queue_count > 0) {
            world_deliver(world, true);
        }
    }
    world_forget(world);
    world_followers(world, 0, 64, world->keys[1], 1);
    world_expect(world, "n1 > followers #64 overloaded\n");
    world_pass(world, 0, 2000);
    world_forget(world);
    world_followers(world, 0, 65, world->keys[1], 1);
    world_expect(world, "n1 > send followers_ask to n2\n"
                        "n1 > send followers_ask to n3\n"
                        "n1 > send followers_ask to n4\n");
}

static void a_position_brings_what_comes_after_it(void **state)
{
    struct world *world = *state;
    const char *topic = world->keys[1];
    world_publish(world, 1, 1, topic, "a", "x");
    world_publish(world, 1, 2, topic, "b", "y");
    const struct rh_position first = world_position(world, 1, topic, 1);
    world_forget(world);
    world_follow(world, 0, 3, world->keys[0], topic, &first);
    world_follow(world, 0, 4, world->keys[0], topic, &world_start); /* it goes on as it was */
    settle(world);
    world_forget(world);
    world_read_from(world, 0, 1, world->keys[0], &world_start, 10, 0);
    world_expect(world, "n1 > read s1 1:y at=1\n");
}

static void who_comes_later_gets_what_is_older_without_others_getting_it_again(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    settle(world);
    char late[64];
    key_of_n1(world, "late", &(unsigned){0}, late);
    world_follow(world, 0, 3, late, world->keys[1], &world_start);
    settle(world);
    world_publish(world, 1, 4, world->keys[1], "b", "y");
    settle(world);
    world_forget(world);
    world_read_from(world, 0, 2, late, &world_start, 10, 0);
    world_read_from(world, 0, 3, world->keys[0], &world_start, 10, 0);
    world_expect(world, "n1 > read s2 1:x 2:y at=2\n"
                        "n1 > read s3 1:x 2:y at=2\n");
}

/* Without replication a channel that moves starts anew, and its followers get all of it. */
static void a_topic_that_moves_is_asked_for_at_its_new_owner(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    settle(world);
    world_adopt_all(world, 5); /* n1 and n3 */
    settle(world);
    uint64_t hash = rh_ring_hash(world->view->ring, world->keys[1], strlen(world->keys[1]));
    unsigned node = rh_ring_owner(world->view->ring, hash);
    world_forget(world);
    world_publish(world, node, 3, world->keys[1], "b", "y");
    settle(world);
    assert_non_null(strstr(world->trace, "message 2:y to s1"));
}

static void a_feed_that_is_silent_is_looked_after(void **state)
{
    struct world *world = *state;
    set_up(world);
    world_pass(world, 0, 9000);
    world_expect(world, "");
    world_pass(world, 0, 1100);
    world_expect(world, "n1 > send topic_ack to n2\n");
    world_deliver(world, true);
    world_pass(world, 1, 40000); /* n2 hears nothing: it forgets */
    assert_int_equal(rh_core_stats(world->cores[1])->topic_readers, 0);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 0, 10);
    settle(world);
    world_pass(world, 0, 300); /* it was told that it is not known there, and asks again */
    settle(world);
    world_forget(world);
    world_read_from(world, 0, 2, world->keys[0], &world_start, 10, 0);
    world_expect(world, "n1 > read s2 1:x at=1\n");
}

static void what_was_trimmed_is_passed_over(void **state)
{
    struct world *world = *state;
    set_up(world);
    for (unsigned i = 0; i < 8; i++) { /* the log holds five */
        char data[] = {(char)('a' + i), '\0'};
        world_publish(world, 1, 10 + i, world->keys[1], data, data);
    }
    settle(world);
    world_forget(world);
    world_read_from(world, 0, 2, world->keys[0], &world_start, 10, 0);
    world_expect(world, "n1 > read s2 1:d 2:e 3:f 4:g 5:h at=5\n");
}

static void a_channel_follows_so_many_topics_and_no_more(void **state)
{
    struct world *world = *state;
    for (unsigned i = 0; i <= 100; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof(topic), "t%u", i);
        world_forget(world);
        world_follow(world, 0, 1, world->keys[0], topic, &world_start);
    }
    assert_non_null(strstr(world->trace, "n1 > followed #1 follows_full\n"));
}

/* Two follows wait for the ends of their topics, and there is room for one: nobody needs the other
 * topic's feed. */
static void a_feed_that_was_made_for_a_follow_that_is_refused_goes(void **state)
{
    struct world *world = *state;
    char topic[16];
    for (unsigned i = 0; i < 99; i++) {
        (void)snprintf(topic, sizeof(topic), "t%u", i);
        world_forget(world);
        world_follow(world, 0, 1, world->keys[0], topic, &world_start);
    }
    while (world->queue_count > 0) {
        world_deliver(world, true);
    }
    world_forget(world);
    world_follow(world, 0, 2, world->keys[0], world->keys[1], NULL);
    world_follow(world, 0, 3, world->keys[0], world->keys[2], NULL);
    settle(world);
    assert_non_null(strstr(world->trace, "n1 > followed #3 follows_full\n"));
    assert_int_equal(rh_core_stats(world->cores[0])->topic_feeds, 100);
}

#define MANY 3000U

/* Many channels of n1 follow a topic of n2; the trace is empty. */
static void let_many_follow(struct world *world)
{
    struct rh_core_options options = world_options_of(0);
    options.channels_max = 2 * MANY;
    world_restart(world, 0, &options);
    for (unsigned node = 1; node < WORLD_NODES; node++) {
        world_peer(world, RH_EVENT_PEER_UP, 0, node);
    }
    settle(world);
    unsigned number = 0;
    for (unsigned i = 0; i < MANY; i++) {
        char key[64];
        key_of_n1(world, "many", &number, key);
        world_follow(world, 0, 1, key, world->keys[1], &world_start);
        world_forget(world);
    }
    settle(world);
    world_forget(world);
}

static void a_message_for_very_many_followers_is_given_in_pieces(void **state)
{
    struct world *world = *state;
    let_many_follow(world);
    const struct rh_core_stats *stats = rh_core_stats(world->cores[0]);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 1, 1);
    world_deliver(world, false);
    assert_in_range(stats->topic_messages, 1, 1024);
    world_pass(world, 1, 410);
    world_deliver(world, false); /* sent again meanwhile */
    for (unsigned i = 0; stats->topic_messages < MANY; i++) {
        uint64_t before = stats->topic_messages;
        world_expect(world, i > 0 ? ""
                                  : "n2 > published #2 seq=1 by n2 to 0\n"
                                    "n2 > send topic_batch to n1\n"
                                    "n2 > send topic_batch to n1\n");
        assert_int_equal(rh_core_deadline_ms(world->cores[0]) <= world->now_ms, true);
        world_pass(world, 0, 1);
        assert_in_range(stats->topic_messages - before, 1, 1024);
    }
    assert_int_equal(stats->topic_messages, MANY);
    world_expect(world, "n1 > send topic_ack to n2\n");
    settle(world);
    assert_int_equal(stats->topic_messages, MANY);
}

static void
those_who_have_a_message_that_is_still_given_to_others_are_followers_as_well(void **state)
{
    struct world *world = *state;
    let_many_follow(world);
    const struct rh_core_stats *stats = rh_core_stats(world->cores[0]);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 1, 1);
    world_deliver(world, false);
    while (stats->topic_messages < MANY - 1000) {
        world_pass(world, 0, 1);
    }
    assert_true(stats->topic_messages < MANY);
    world_forget(world);
    world_followers(world, 1, 3, world->keys[1], 1000);
    for (unsigned i = 0; i < 6; i++) { /* three are asked, and answer */
        world_deliver(world, false);
    }
    const char *said = strstr(world->trace, "n2 > followers #3 3000:");
    assert_non_null(said);
    unsigned named = 0;
    for (const char *at = strstr(said, " many:"); at != NULL; at = strstr(at + 1, " many:")) {
        named++;
    }
    assert_int_equal(named, 1000);
}

static void a_topic_that_moves_while_it_is_given_is_given_to_the_rest_all_the_same(void **state)
{
    struct world *world = *state;
    let_many_follow(world);
    const struct rh_core_stats *stats = rh_core_stats(world->cores[0]);
    world_publish(world, 1, 2, world->keys[1], "a", "x");
    world_pass(world, 1, 1);
    world_deliver(world, false);
    world_peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    world_pass(world, 0, 1);
    world_peer(world, RH_EVENT_PEER_UP, 0, 1);
    for (unsigned i = 0; i < 20; i++) {
        settle(world);
        world_pass(world, 0, 100);
        world_pass(world, 1, 100);
    }
    assert_int_equal(stats->topic_messages, MANY);
    assert_int_equal(stats->topic_feeds, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_follow_waits_for_the_end_of_the_topic_and_then_is_fed),
        WORLD_TEST(a_topic_and_its_follower_at_one_node_need_no_messages),
        WORLD_TEST(followers_at_one_node_share_a_message),
        WORLD_TEST(a_batch_that_is_lost_is_sent_again_and_one_that_is_not_is_taken_once),
        WORLD_TEST(a_link_that_comes_up_brings_the_batch_again),
        WORLD_TEST(an_ask_that_is_lost_is_repeated),
        WORLD_TEST(a_first_batch_that_is_lost_is_sent_again_although_it_brings_nothing),
        WORLD_TEST(a_follow_whose_topic_nobody_tells_of_ends_as_not_ready),
        WORLD_TEST(through_another_node_it_is_asked_as_well),
        WORLD_TEST(who_follows_is_asked_of_all_nodes),
        WORLD_TEST(no_more_followers_are_named_than_wanted_but_all_are_counted),
        WORLD_TEST(a_node_that_is_silent_or_out_of_reach_is_named),
        WORLD_TEST(a_node_of_another_version_is_not_asked_and_is_named),
        WORLD_TEST(an_answer_that_nobody_waits_for_is_passed_over),
        WORLD_TEST(so_many_ask_who_follows_and_no_more),
        WORLD_TEST(a_position_brings_what_comes_after_it),
        WORLD_TEST(who_comes_later_gets_what_is_older_without_others_getting_it_again),
        WORLD_TEST(a_topic_that_moves_is_asked_for_at_its_new_owner),
        WORLD_TEST(a_feed_that_is_silent_is_looked_after),
        WORLD_TEST(what_was_trimmed_is_passed_over),
        WORLD_TEST(a_channel_follows_so_many_topics_and_no_more),
        WORLD_TEST(a_feed_that_was_made_for_a_follow_that_is_refused_goes),
        WORLD_TEST(a_message_for_very_many_followers_is_given_in_pieces),
        WORLD_TEST(those_who_have_a_message_that_is_still_given_to_others_are_followers_as_well),
        WORLD_TEST(a_topic_that_moves_while_it_is_given_is_given_to_the_rest_all_the_same),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
