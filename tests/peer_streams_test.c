/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of proto/peer_streams.h: their ranges. What holds for all kinds of messages is in
 * peer_codec_test.c. */
#include "proto/peer_codec.h"
#include "tests/peer_samples.h"
#include "tests/test.h"

static struct rh_peer_message a_stream(void)
{
    struct rh_peer_message message = peer_sample(RH_PEER_STREAM_OPEN);
    struct rh_peer_stream_open *open = &message.stream_open;
    open->is_read = open->is_anchored = false;
    open->limit = open->wait_ms = 0;
    open->window = 1U << 20;
    open->used = 70000;
    open->room_min = 1U << 18;
    return message;
}

static void a_stream_has_credit_and_says_what_of_it_is_used(void **state RH_UNUSED)
{
    const struct rh_peer_message message = a_stream();
    assert_peer_message_round_trip(&message);
    struct rh_peer_message wrong = message;
    wrong.stream_open.window = 0;
    assert_peer_message_refused(&wrong, "stream_open.window:");
    wrong = message;
    wrong.stream_open.room_min = 0;
    assert_peer_message_refused(&wrong, "stream_open.room_min:");
    wrong.stream_open.room_min = message.stream_open.window + 1;
    assert_peer_message_refused(&wrong, "stream_open.room_min:");
    wrong = message;
    wrong.stream_open.limit = 1;
    assert_peer_message_refused(&wrong, "stream_open.limit:");
    wrong = message;
    wrong.stream_open.wait_ms = 1;
    assert_peer_message_refused(&wrong, "stream_open.wait_ms:");
    wrong = message;
    wrong.stream_open.is_anchored = true;
    assert_peer_message_refused(&wrong, "stream_open.is_anchored:");
}

static void a_read_has_a_limit_and_no_credit(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.limit = 0, "stream_open.limit:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.limit = RH_PEER_STREAM_LIMIT_MAX + 1,
                   "stream_open.limit:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.wait_ms = RH_PEER_STREAM_WAIT_MS_MAX + 1,
                   "stream_open.wait_ms:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.window = 1, "stream_open.window:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.used = 1, "stream_open.used:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.room_min = 1, "stream_open.room_min:");
}

static void a_stream_begins_at_a_position_that_can_be(void **state RH_UNUSED)
{
    const struct rh_peer_message message = a_stream();
    struct rh_peer_message wrong = message;
    wrong.stream_open.has_after = false;
    assert_peer_message_refused(&wrong, "stream_open.has_after:");
    wrong = message;
    wrong.stream_open.after.incarnation = 0;
    assert_peer_message_refused(&wrong, "stream_open.seq:");
    wrong = message;
    wrong.stream_open.after.seq = (uint64_t)INT64_MAX + 1;
    assert_peer_message_refused(&wrong, "stream_open.seq:");
    wrong = message;
    wrong.stream_open.key = rh_bytes_text("");
    assert_peer_message_refused(&wrong, "stream_open.key:");
    SAMPLE_REFUSED(STREAM_OPENED, stream_opened.incarnation = 0, "stream_opened.seq:");
    SAMPLE_REFUSED(STREAM_OPENED, stream_opened.seq = UINT64_MAX, "stream_opened.seq:");
}

static void all_name_their_tunnel_their_number_and_their_stream(void **state RH_UNUSED)
{
    struct rh_peer_message wrong = a_stream();
    wrong.stream_open.tunnel = 0;
    assert_peer_message_refused(&wrong, "stream_open.tunnel:");
    SAMPLE_REFUSED(STREAM_CLOSE, stream_close.number = 0, "stream_close.number:");
    SAMPLE_REFUSED(STREAM_CLOSE, stream_close.stream = 0, "stream_close.stream:");
    SAMPLE_REFUSED(STREAM_TAKEN, stream_taken.number = 0, "stream_taken.number:");
    SAMPLE_REFUSED(STREAM_BATCH, stream_batch.tunnel = 0, "stream_batch.tunnel:");
    SAMPLE_REFUSED(STREAM_READ, stream_read.stream = 0, "stream_read.stream:");
    SAMPLE_REFUSED(TUNNEL_CHECK, tunnel_check.tunnel = 0, "tunnel_check.tunnel:");
    SAMPLE_REFUSED(TUNNEL_STATE, tunnel_state.tunnel = 0, "tunnel_state.tunnel:");
    wrong = peer_sample(RH_PEER_TUNNEL_STATE);
    wrong.tunnel_state.is_broken = true;
    wrong.tunnel_state.number = 1;
    assert_peer_message_refused(&wrong, "tunnel_state.number:");
}

static void room_is_of_a_stream_and_not_nothing(void **state RH_UNUSED)
{
    struct rh_peer_stream_room rooms[] = {{.stream = 1, .size = 1}, {.stream = 2, .size = 0}};
    struct rh_peer_message wrong = peer_sample(RH_PEER_STREAM_TAKEN);
    wrong.stream_taken.rooms = rooms;
    wrong.stream_taken.rooms_count = 2;
    assert_peer_message_refused(&wrong, "stream_taken.rooms:");
    rooms[1] = (struct rh_peer_stream_room){.stream = 0, .size = 1};
    assert_peer_message_refused(&wrong, "stream_taken.rooms:");
    wrong.stream_taken.rooms_count = RH_PEER_STREAMS_MAX + 1;
    assert_peer_message_refused(&wrong, "stream_taken.rooms:");
}

static void a_batch_is_of_consecutive_messages_for_somebody(void **state RH_UNUSED)
{
    const struct rh_peer_message message = peer_sample(RH_PEER_STREAM_BATCH);
    struct rh_peer_message wrong = message;
    wrong.stream_batch.streams_count = 0;
    assert_peer_message_refused(&wrong, "stream_batch.streams:");
    wrong.stream_batch.streams_count = RH_PEER_STREAMS_MAX + 1;
    assert_peer_message_refused(&wrong, "stream_batch.streams:");
    wrong = message;
    const uint64_t nobody = 0;
    wrong.stream_batch.streams = &nobody;
    wrong.stream_batch.streams_count = 1;
    assert_peer_message_refused(&wrong, "stream_batch.streams:");
    wrong = message;
    wrong.stream_batch.incarnation = 0;
    assert_peer_message_refused(&wrong, "stream_batch.incarnation:");
    wrong = message;
    wrong.stream_batch.messages_count = 0;
    assert_peer_message_refused(&wrong, "stream_batch.messages:");
    wrong.stream_batch.messages_count = RH_PEER_OPERATIONS_MAX + 1;
    assert_peer_message_refused(&wrong, "stream_batch.messages:");
    struct rh_peer_operation messages[] = {message.stream_batch.messages[0],
                                           message.stream_batch.messages[1]};
    wrong = message;
    wrong.stream_batch.messages = messages;
    messages[1].seq++;
    assert_peer_message_refused(&wrong, "stream_batch.messages[1]");
    messages[1] = message.stream_batch.messages[1];
    messages[0].kind = RH_PEER_OPERATION_STATE;
    assert_peer_message_refused(&wrong, "stream_batch.messages[0].kind:");
}

static void an_answer_ends_at_its_last_message(void **state RH_UNUSED)
{
    const struct rh_peer_message message = peer_sample(RH_PEER_STREAM_READ);
    struct rh_peer_message wrong = message;
    wrong.stream_read.seq++;
    assert_peer_message_refused(&wrong, "stream_read.seq:");
    wrong = message;
    wrong.stream_read.seq = UINT64_MAX;
    assert_peer_message_refused(&wrong, "stream_read.seq:");
    wrong = message;
    wrong.stream_read.incarnation = 0;
    assert_peer_message_refused(&wrong, "stream_read.incarnation:");
    struct rh_peer_message none = message;
    none.stream_read.messages = NULL;
    none.stream_read.messages_count = 0;
    assert_peer_message_round_trip(&none);
}

static void an_end_names_another_node_or_a_reason(void **state RH_UNUSED)
{
    const struct rh_peer_message message = peer_sample(RH_PEER_STREAM_ENDED);
    struct rh_peer_message other = message;
    other.stream_ended.owner[0] = '\0';
    assert_peer_message_round_trip(&other);
    other.stream_ended.code = rh_bytes_text("too_slow");
    assert_peer_message_round_trip(&other);
    struct rh_peer_message wrong = message;
    wrong.stream_ended.code = rh_bytes_text("too_slow");
    assert_peer_message_refused(&wrong, "stream_ended.owner:");
    other.stream_ended.code = rh_bytes_text("too slow");
    assert_peer_message_refused(&other, "stream_ended.code:");
}

static void a_message_weighs_what_it_carries(void **state RH_UNUSED)
{
    const struct rh_peer_message batch = peer_sample(RH_PEER_STREAM_BATCH);
    struct rh_peer_stream_batch more = batch.stream_batch;
    uint64_t weight = rh_peer_stream_batch_weight(&more);
    struct rh_peer_operation messages[] = {more.messages[0], more.messages[1]};
    messages[1].payload.bytes = rh_bytes_text("0123456789");
    uint64_t size = more.messages[1].payload.bytes.size;
    more.messages = messages;
    assert_true(rh_peer_stream_batch_weight(&more) == weight - size + 10);
    more.streams_count--;
    assert_true(rh_peer_stream_batch_weight(&more) < weight - size + 10);
    struct rh_peer_stream_read read = {.messages = messages, .messages_count = 2};
    struct rh_peer_stream_read nothing = {0};
    assert_true(rh_peer_stream_read_weight(&nothing) > 0);
    assert_true(rh_peer_stream_read_weight(&read) > rh_peer_stream_read_weight(&nothing) + 10);
}

static void bad_words_about_what_is_watched_are_named(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(STREAM_SHOW, stream_show.stream = 0, "stream_show.stream:");
    SAMPLE_REFUSED(STREAM_STATE, stream_state.tunnel = 0, "stream_state.tunnel:");
    SAMPLE_REFUSED(STREAM_STATE, stream_state.streams_count = 0, "stream_state.streams:");
    SAMPLE_REFUSED(STREAM_STATE, stream_state.state_count = 2, "stream_state.state:");
    SAMPLE_REFUSED(STREAM_PRESENCE, stream_presence.number = 0, "stream_presence.number:");
    SAMPLE_REFUSED(STREAM_PRESENCE, stream_presence.streams_count = RH_PEER_STREAMS_MAX + 1,
                   "stream_presence.streams:");
    SAMPLE_REFUSED(STREAM_PRESENCE, stream_presence.incarnation = 0,
                   "stream_presence.incarnation:");
    SAMPLE_REFUSED(STREAM_PRESENCE, stream_presence.is_whole = true, "stream_presence.is_whole:");
    SAMPLE_REFUSED(STREAM_PRESENCE, stream_presence.joined.count = RH_PEER_PRESENT_MAX + 1,
                   "stream_presence.clients:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.watches_state = true, "stream_open.client:");
    SAMPLE_REFUSED(STREAM_OPEN, stream_open.meta = rh_bytes_text("1"), "stream_open.meta:");
    struct rh_peer_message none = peer_sample(RH_PEER_STREAM_STATE);
    none.stream_state.state_count = 0;
    assert_peer_message_round_trip(&none);
    struct rh_peer_message open = peer_sample(RH_PEER_STREAM_OPEN);
    open.stream_open.is_read = false;
    open.stream_open.is_anchored = false;
    open.stream_open.limit = 0;
    open.stream_open.wait_ms = 0;
    open.stream_open.window = 100;
    open.stream_open.room_min = 1;
    open.stream_open.client = rh_bytes_text("ada");
    open.stream_open.meta = rh_bytes_text("1");
    open.stream_open.watches_presence = true;
    assert_peer_message_round_trip(&open);
    open.stream_open.client = rh_bytes_text("a\n");
    assert_peer_message_refused(&open, "stream_open.clients.client:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_has_credit_and_says_what_of_it_is_used),
        cmocka_unit_test(a_read_has_a_limit_and_no_credit),
        cmocka_unit_test(a_stream_begins_at_a_position_that_can_be),
        cmocka_unit_test(all_name_their_tunnel_their_number_and_their_stream),
        cmocka_unit_test(room_is_of_a_stream_and_not_nothing),
        cmocka_unit_test(a_batch_is_of_consecutive_messages_for_somebody),
        cmocka_unit_test(an_answer_ends_at_its_last_message),
        cmocka_unit_test(an_end_names_another_node_or_a_reason),
        cmocka_unit_test(a_message_weighs_what_it_carries),
        cmocka_unit_test(bad_words_about_what_is_watched_are_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
