/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include "node/core_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Streams, views and reads. Publishing and what is forwarded is in core_requests_test.c. */
/* ---- streams ---- */

static void a_stream_gets_what_is_published_after_it_came(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_publish(world, 0, 1, key, "a", "before");
    world_subscribe(world, 0, 1, key, NULL);
    world_publish(world, 0, 2, key, "b", "after");
    world_unsubscribe(world, 0, 1);
    world_publish(world, 0, 3, key, "c", "gone");
    world_expect(world, "n1 > published #1 seq=1 by n1 to 0\n"
                        "n1 > welcome s1 seq=1\n"
                        "n1 > message 2:after to s1\n"
                        "n1 > published #2 seq=2 by n1 to 1\n"
                        "n1 > published #3 seq=3 by n1 to 0\n");
}

static void a_stream_resumes_where_it_was(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_publish(world, 0, 1, key, "a", "one");
    world_publish(world, 0, 2, key, "b", "two");
    world_publish(world, 0, 3, key, "c", "three");
    struct rh_position after = world_position(world, 0, key, 1);
    world_subscribe(world, 0, 1, key, &after);
    world_subscribe(world, 0, 2, key, &world_start);
    world_publish(world, 0, 4, key, "d", "four");
    world_expect(world, "n1 > welcome s1 seq=1\n"
                        "n1 > message 2:two to s1\n"
                        "n1 > message 3:three to s1\n"
                        "n1 > welcome s2 seq=0\n"
                        "n1 > message 1:one to s2\n"
                        "n1 > message 2:two to s2\n"
                        "n1 > message 3:three to s2\n"
                        "n1 > message 4:four to s1 s2\n"
                        "n1 > published #4 seq=4 by n1 to 2\n");
}

static void a_position_that_is_lost_is_said_so_and_all_there_is_follows(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    for (uint64_t i = 1; i <= 7; i++) {
        char text[8];
        (void)snprintf(text, sizeof(text), "m%" PRIu64, i);
        world_publish(world, 0, i, key, text, text); /* the log keeps five: 3 to 7 */
    }
    struct rh_position trimmed = world_position(world, 0, key, 1);
    struct rh_position edge = world_position(world, 0, key, 2);
    struct rh_position ahead = world_position(world, 0, key, 8);
    struct rh_position foreign = {.incarnation = 77, .seq = 7};
    world_subscribe(world, 0, 0, key, &trimmed);
    world_unsubscribe(world, 0, 0);
    assert_non_null(strstr(world->trace, "n1 > welcome s0 seq=2 unrecovered\n"
                                         "n1 > message 3:m3 to s0\n"));
    world_forget(world);
    world_subscribe(world, 0, 1, key, &edge);
    world_unsubscribe(world, 0, 1);
    assert_non_null(strstr(world->trace, "n1 > welcome s1 seq=2\n"
                                         "n1 > message 3:m3 to s1\n"));
    world_forget(world);
    world_subscribe(world, 0, 2, key, &ahead);
    world_subscribe(world, 0, 3, key, &foreign);
    assert_non_null(strstr(world->trace, "n1 > welcome s2 seq=2 unrecovered\n"));
    assert_non_null(strstr(world->trace, "n1 > welcome s3 seq=2 unrecovered\n"));
}

static void a_long_replay_comes_in_batches_and_misses_nothing_published_meanwhile(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = world_options_of(0);
    options.log.messages_max = 1000;
    options.log.bytes_max = 1000000;
    world_restart(world, 0, &options);
    for (uint64_t i = 1; i <= 150; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        world_publish(world, 0, i, key, id, "x");
        world_forget(world);
    }
    world_subscribe(world, 0, 1, key, &world_start);
    uint64_t got = world->actions.count - 1;
    assert_int_equal(got, 64);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_REPLAYING);
    world_forget(world);
    world_publish(world, 0, 151, key, "late", "x");
    world_expect(world, "n1 > published #151 seq=151 by n1 to 1\n");
    while (world->subs[1].state == RH_SUBSCRIPTION_REPLAYING) {
        world_drained(world, 0, 1);
        for (size_t i = 0; i < world->actions.count; i++) {
            got++;
            assert_int_equal(world->actions.items[i].deliver.entry->seq, got);
        }
        world_forget(world);
    }
    assert_int_equal(got, 151);
    world_publish(world, 0, 152, key, "live", "x");
    world_expect(world, "n1 > message 152:x to s1\n"
                        "n1 > published #152 seq=152 by n1 to 1\n");
}

/* What is queued for one client is bounded by its size as JSON, and not by that of the log. */
static void replays_and_reads_come_in_batches_of_bounded_size(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = world_options_of(0);
    options.batch_size_max = 2 * (6 * 50 + 2 + 128); /* two messages of 50 control characters */
    world_restart(world, 0, &options);
    char text[51];
    memset(text, '\1', 50);
    text[50] = '\0';
    for (uint64_t i = 1; i <= 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        world_publish(world, 0, i, key, id, text);
    }
    world_subscribe(world, 0, 1, key, &world_start);
    assert_int_equal(world->actions.count, 1 + 2);
    world_drained(world, 0, 1);
    assert_int_equal(world->actions.count, 2);
    world_drained(world, 0, 1);
    assert_int_equal(world->actions.count, 1);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_LIVE);
    world_read_from(world, 0, 2, key, &world_start, 10, 0);
    assert_int_equal(world->actions.items[0].read.count, 2);
    assert_int_equal(world->actions.items[0].read.position.seq, 2);
    assert_true(world->actions.items[0].read.more);
    options.batch_size_max = 1;
    world_unsubscribe(world, 0, 1);
    world_restart(world, 0, &options);
    world_publish(world, 0, 1, key, "a", text);
    world_publish(world, 0, 2, key, "b", text);
    world_forget(world);
    world_read_from(world, 0, 2, key, &world_start, 10, 0);
    assert_int_equal(world->actions.items[0].read.count, 1);
}

static void a_replay_that_the_log_outruns_ends_with_too_slow(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = world_options_of(0);
    options.log.messages_max = 70;
    options.log.bytes_max = 1000000;
    world_restart(world, 0, &options);
    for (uint64_t i = 1; i <= 200; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        world_publish(world, 0, i, key, id, "x");
        world_forget(world);
        if (i == 70) {
            world_subscribe(world, 0, 1, key, &world_start);
        }
    }
    world_forget(world);
    world_drained(world, 0, 1);
    world_expect(world, "n1 > refused s1 too_slow\n");
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

static void a_stream_at_the_wrong_node_is_sent_to_the_owner(void **state)
{
    struct world *world = *state;
    world_subscribe(world, 0, 1, world->keys[1], NULL);
    world_subscribe(world, 3, 2, world->keys[2], NULL);
    world_expect(world, "n1 > redirect s1 to n2\n"
                        "n4 > redirect s2 to n3\n");
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

static void a_node_without_a_view_says_so(void **state)
{
    struct world *world = *state;
    struct rh_core_options options = world_options_of(0);
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    world_subscribe(world, 0, 1, "k", NULL);
    world_publish(world, 0, 1, "k", "a", "x");
    world_inspect(world, 0, 2, "k");
    world_read_from(world, 0, 2, "k", NULL, 10, 1000);
    world_expect(world, "n1 > refused s1 not_ready\n"
                        "n1 > published #1 not_ready\n"
                        "n1 > inspected #2 not_ready first=1 last=0 to 0\n"
                        "n1 > refused s2 not_ready\n");
}

static void a_view_without_weight_has_no_owner(void **state)
{
    struct world *world = *state;
    world_adopt_all(world, 0);
    world_forget(world);
    world_subscribe(world, 0, 1, "k", NULL);
    world_publish(world, 0, 1, "k", "a", "x");
    world_expect(world, "n1 > refused s1 no_owner\n"
                        "n1 > published #1 no_owner\n");
}

/* ---- view changes ---- */

static void only_the_streams_whose_owner_changed_are_moved(void **state)
{
    struct world *world = *state;
    /* n1 serves its own key, and that of n4 while n4 has no weight. */
    uint32_t interim = rh_ring_owner(
        world->view->ring, rh_ring_hash(world->view->ring, world->keys[3], strlen(world->keys[3])));
    world_subscribe(world, interim, 0, world->keys[interim], NULL);
    world_subscribe(world, interim, 1, world->keys[3], NULL);
    world_subscribe(world, interim, 2, world->keys[3], NULL);
    world_publish(world, interim, 1, world->keys[3], "a", "x");
    world_forget(world);
    world_make_view(world, 15);
    world_adopt(world, interim);
    const char *id = world->refs[interim].id;
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "%s > moved s1 to n4 at=1\n"
                   "%s > moved s2 to n4 at=1\n"
                   "%s > swept channels=1 connections=2\n",
                   id, id, id);
    world_expect(world, expected);
    assert_int_equal(world->subs[0].state, RH_SUBSCRIPTION_LIVE);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_MOVED);
    assert_int_equal(rh_core_stats(world->cores[interim])->channels, 1);
    world_unsubscribe(world, interim, 1);
    world_unsubscribe(world, interim, 2);
}

static void a_moved_stream_finds_an_empty_log_and_is_told(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_subscribe(world, 0, 1, key, NULL);
    world_publish(world, 0, 1, key, "a", "x");
    struct rh_position at = world_position(world, 0, key, 1);
    world_make_view(world, 6); /* n1 has no weight any more */
    world_adopt(world, 0);
    world_unsubscribe(world, 0, 1);
    for (unsigned i = 1; i < WORLD_NODES; i++) {
        world_adopt(world, i);
    }
    uint32_t owner =
        rh_ring_owner(world->view->ring, rh_ring_hash(world->view->ring, key, strlen(key)));
    world_forget(world);
    world_subscribe(world, owner, 1, key, &at);
    world_publish(world, owner, 2, key, "b", "y");
    char expected[256];
    const char *id = world->refs[owner].id;
    (void)snprintf(expected, sizeof(expected),
                   "%s > welcome s1 seq=0 unrecovered\n"
                   "%s > message 1:y to s1\n"
                   "%s > published #2 seq=1 by %s to 1\n",
                   id, id, id, id);
    world_expect(world, expected);
}

static void a_sweep_takes_bounded_steps_and_stale_channels_are_not_served(void **state)
{
    struct world *world = *state;
    enum { CHANNELS = 1500 };
    struct rh_core_options options = world_options_of(0);
    options.channels_max = 10 * CHANNELS;
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    world_adopt_all(world, 1);
    char last[32] = "";
    for (unsigned i = 0; i < CHANNELS; i++) {
        (void)snprintf(last, sizeof(last), "c%u", i);
        world_publish(world, 0, i, last, "a", "x");
        world_forget(world);
    }
    world_make_view(world, 2);
    world_adopt(world, 0);
    world_expect(world, "");
    assert_true(rh_core_is_sweeping(world->cores[0]));
    assert_int_equal(rh_core_deadline_ms(world->cores[0]), 0);
    world_read_from(world, 0, 1, last, &world_start, 10, 0);
    world_expect(world, "n1 > redirect s1 to n2\n");
    world_pass(world, 0, 5);
    world_expect(world, "n1 > swept channels=1500 connections=0\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, 0);
}

static void a_client_sent_by_a_later_view_waits_until_we_have_it(void **state)
{
    struct world *world = *state;
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1};
    world_subscribe_at(world, 3, 1, world->keys[3], NULL, later);
    world_subscribe_at(world, 3, 2, world->keys[0], NULL, later);
    world_expect(world, "n4 > catch up\n");
    world_make_view(world, 15);
    world_adopt(world, 3);
    world_expect(world, "n4 > swept channels=0 connections=0\n"
                        "n4 > welcome s1 seq=0\n"
                        "n4 > redirect s2 to n1\n");
}

static void a_client_sent_to_a_node_that_has_no_view_yet_waits_too(void **state)
{
    struct world *world = *state;
    const struct rh_hop sent = {.hops = 1, .has_epoch = true, .epoch = world->epoch};
    const struct rh_core_options options = world_options_of(0);
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    world_subscribe_at(world, 0, 1, world->keys[0], NULL, sent);
    world_expect(world, "n1 > catch up\n");
    world_adopt(world, 0);
    world_expect(world, "n1 > swept channels=0 connections=0\n"
                        "n1 > welcome s1 seq=0\n");
}

static void a_client_does_not_wait_for_ever_for_a_view(void **state)
{
    struct world *world = *state;
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1};
    world_subscribe_at(world, 0, 1, world->keys[0], NULL, later);
    world_subscribe_at(world, 0, 2, world->keys[0], NULL, later);
    world_subscribe_at(world, 0, 3, world->keys[1], NULL, later);
    world_unsubscribe(world, 0, 2);
    world_pass(world, 0, 1999);
    world_expect(world, "n1 > catch up\n"
                        "n1 > catch up\n");
    world_pass(world, 0, 1);
    world_expect(world, "n1 > welcome s1 seq=0\n"
                        "n1 > redirect s3 to n2\n");
}

/* Strangers write the epochs of URLs. */
static void clients_cannot_make_the_membership_be_read_without_pause(void **state)
{
    struct world *world = *state;
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = INT64_MAX};
    for (unsigned i = 0; i < 100; i++) {
        world_subscribe_at(world, 0, 1, world->keys[0], NULL, later);
        world_unsubscribe(world, 0, 1);
    }
    world_expect(world, "n1 > catch up\n");
    world_pass(world, 0, 1000);
    world_expect(world, "n1 > catch up\n");
    assert_int_equal(rh_core_deadline_ms(world->cores[0]), UINT64_MAX);
}

/* ---- reads ---- */

/* What waits is looked at from when it came, and not at once because nobody looked for so long. */
static void nothing_asks_for_a_tick_that_has_nothing_to_do(void **state)
{
    struct world *world = *state;
    struct rh_core *core = world->cores[0];
    enum { HOUR_MS = 3600000 };
    world->now_ms += HOUR_MS;
    assert_int_equal(rh_core_deadline_ms(core), UINT64_MAX);
    world_publish(world, 0, 1, world->keys[1], "a", "x");
    assert_true(rh_core_deadline_ms(core) > world->now_ms);
    world_pass(world, 0, 4000);
    assert_int_equal(rh_core_deadline_ms(core), UINT64_MAX);
    world->now_ms += HOUR_MS;
    world_read_from(world, 0, 1, world->keys[0], NULL, 10, 5000);
    assert_true(rh_core_deadline_ms(core) > world->now_ms);
    world_unsubscribe(world, 0, 1);
    assert_int_equal(rh_core_deadline_ms(core), UINT64_MAX);
    world->now_ms += HOUR_MS;
    world_publish(world, 0, 1, world->keys[0], "a", "x");
    assert_true(rh_core_deadline_ms(core) > world->now_ms);
}

static void a_read_gets_what_is_there_and_its_place(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_read_from(world, 0, 1, key, &world_start, 10, 0);
    world_read_from(world, 0, 1, key, NULL, 10, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    world_publish(world, 0, 1, key, "a", "one");
    world_publish(world, 0, 2, key, "b", "two");
    world_publish(world, 0, 3, key, "c", "three");
    world_forget(world);
    world_read_from(world, 0, 1, key, &world_start, 2, 0);
    world_read_from(world, 0, 1, key, NULL, 2, 0);
    world_expect(world, "n1 > read s1 1:one 2:two at=2 more\n"
                        "n1 > read s1 at=3\n");
    struct rh_position after = world_position(world, 0, key, 2);
    world_read_from(world, 0, 1, key, &after, 2, 5000);
    world_expect(world, "n1 > read s1 3:three at=3\n");
}

static void a_read_of_no_channel_creates_none(void **state)
{
    struct world *world = *state;
    const struct rh_position lost = {.incarnation = 5, .seq = 5};
    world_read_from(world, 0, 1, world->keys[0], &world_start, 10, 0);
    world_read_from(world, 0, 1, world->keys[0], &lost, 10, 5000);
    world_expect(world, "n1 > read s1 at=0 absent\n"
                        "n1 > read s1 at=0 absent unrecovered\n");
    world_read_from(world, 0, 1, world->keys[0], &world_start, 10, 5000);
    world_inspect(world, 0, 1, world->keys[0]);
    world_unsubscribe(world, 0, 1);
    world_expect(world, "n1 > inspected #1 absent first=1 last=0 to 1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->channels_created, 0);
}

static void a_waiting_read_ends_with_the_message_it_waited_for(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_read_from(world, 0, 1, key, &world_start, 10, 5000);
    world_read_from(world, 0, 2, key, NULL, 10, 5000);
    world_publish(world, 0, 1, key, "a", "one");
    world_read_from(world, 0, 3, key, NULL, 10, 5000);
    world_publish(world, 0, 2, key, "b", "two");
    world_expect(world, "n1 > read s1 1:one at=1\n"
                        "n1 > read s2 1:one at=1\n"
                        "n1 > published #1 seq=1 by n1 to 2\n"
                        "n1 > read s3 2:two at=2\n"
                        "n1 > published #2 seq=2 by n1 to 1\n");
}

static void a_waiting_read_ends_empty_when_its_time_is_over(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    world_read_from(world, 0, 1, key, &world_start, 10, 3000);
    world_read_from(world, 0, 2, key, &world_start, 10, 60000);
    world_pass(world, 0, 2900);
    world_expect(world, "");
    world_pass(world, 0, 400);
    world_expect(world, "n1 > read s1 at=0 absent\n");
    world_pass(world, 0, 57000);
    world_expect(world, "n1 > read s2 at=0 absent\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->reads_waiting, 0);
}

/* Between two polls nobody is in the channel, and yet it is in use. */
static void a_channel_that_is_only_polled_is_not_idle(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 1, world->keys[0], "a", "x");
    for (unsigned i = 0; i < 4; i++) {
        world_read_from(world, 0, 1, world->keys[0], NULL, 10, 8000);
        world_pass(world, 0, 8300);
        assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
    }
    world_pass(world, 0, 5000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 1);
    world_pass(world, 0, 6000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
}

static void a_channel_keeps_nothing_of_those_who_have_left(void **state)
{
    struct world *world = *state;
    world_publish(world, 0, 1, world->keys[0], "a", "x");
    const struct rh_table *channels = &world->cores[0]->channels;
    const struct rh_channel *channel =
        rh_container_of(rh_table_next(channels, NULL), struct rh_channel, table_link);
    world_subscribe(world, 0, 1, world->keys[0], NULL);
    world_subscribe(world, 0, 2, world->keys[0], NULL);
    world_read_from(world, 0, 3, world->keys[0], NULL, 10, 8000);
    world_unsubscribe(world, 0, 1);
    assert_int_equal(rh_channel_connections(channel), 2);
    assert_true(channel->audience != NULL && channel->waiters != NULL);
    world_unsubscribe(world, 0, 2);
    assert_true(channel->audience == NULL && channel->waiters != NULL);
    world_unsubscribe(world, 0, 3);
    assert_true(channel->audience == NULL && channel->waiters == NULL);
    assert_null(channel->dealings);
}

static void a_waiting_read_is_redirected_when_its_channel_moves(void **state)
{
    struct world *world = *state;
    world_read_from(world, 0, 1, world->keys[0], &world_start, 10, 5000);
    world_adopt_all(world, 2);
    assert_non_null(strstr(world->trace, "n1 > redirect s1 to n2\n"));
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

/* A view makes waiting requests go on, all in one step: what the first of them is answered with must
 * not be trimmed by the next. */
static void a_read_keeps_its_messages_when_the_same_step_trims_them(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1};
    for (uint64_t i = 1; i <= 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        world_publish(world, 0, i, key, id, id);
    }
    world_make_view(world, 7);
    world_adopt(world, 1);
    world_publish(world, 1, 6, key, "6", "6");
    world_publish(world, 1, 7, key, "7", "7");
    world_deliver(world, false);
    world_deliver(world, false);
    world_read_at(world, 0, 1, key, &world_start, 10, 0, later);
    world_forget(world);
    world_adopt(world, 0);
    world_expect(world, "n1 > swept channels=0 connections=0\n"
                        "n1 > read s1 1:1 2:2 3:3 4:4 5:5 at=5\n"
                        "n1 > send publish_answer to n2\n"
                        "n1 > send publish_answer to n2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_stream_gets_what_is_published_after_it_came),
        WORLD_TEST(a_stream_resumes_where_it_was),
        WORLD_TEST(a_position_that_is_lost_is_said_so_and_all_there_is_follows),
        WORLD_TEST(a_long_replay_comes_in_batches_and_misses_nothing_published_meanwhile),
        WORLD_TEST(replays_and_reads_come_in_batches_of_bounded_size),
        WORLD_TEST(a_replay_that_the_log_outruns_ends_with_too_slow),
        WORLD_TEST(a_stream_at_the_wrong_node_is_sent_to_the_owner),
        WORLD_TEST(a_node_without_a_view_says_so),
        WORLD_TEST(a_view_without_weight_has_no_owner),
        WORLD_TEST(only_the_streams_whose_owner_changed_are_moved),
        WORLD_TEST(a_moved_stream_finds_an_empty_log_and_is_told),
        WORLD_TEST(a_sweep_takes_bounded_steps_and_stale_channels_are_not_served),
        WORLD_TEST(a_client_sent_by_a_later_view_waits_until_we_have_it),
        WORLD_TEST(a_client_sent_to_a_node_that_has_no_view_yet_waits_too),
        WORLD_TEST(a_client_does_not_wait_for_ever_for_a_view),
        WORLD_TEST(clients_cannot_make_the_membership_be_read_without_pause),
        WORLD_TEST(nothing_asks_for_a_tick_that_has_nothing_to_do),
        WORLD_TEST(a_read_gets_what_is_there_and_its_place),
        WORLD_TEST(a_read_of_no_channel_creates_none),
        WORLD_TEST(a_waiting_read_ends_with_the_message_it_waited_for),
        WORLD_TEST(a_waiting_read_ends_empty_when_its_time_is_over),
        WORLD_TEST(a_channel_that_is_only_polled_is_not_idle),
        WORLD_TEST(a_channel_keeps_nothing_of_those_who_have_left),
        WORLD_TEST(a_waiting_read_is_redirected_when_its_channel_moves),
        WORLD_TEST(a_read_keeps_its_messages_when_the_same_step_trims_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
