/* SPDX-License-Identifier: Apache-2.0 */
/* The messages by which channels follow others: their ranges. What holds for all kinds of messages is
 * in peer_codec_test.c. */
#include "proto/peer_codec.h"
#include "tests/peer_samples.h"
#include "tests/test.h"

#define FRAME_SIZE_MAX (1U << 20)

static void assert_round_trip(const struct rh_peer_message *message)
{
    struct rh_buffer frame = {0};
    struct rh_peer_decoder *decoder = NULL;
    struct rh_peer_message back;
    struct rh_reason reason = {0};
    assert_int_equal(rh_peer_message_check(message, &reason), 0);
    assert_int_equal(rh_peer_encode(message, FRAME_SIZE_MAX, &frame), 0);
    assert_int_equal(rh_peer_decoder_create(FRAME_SIZE_MAX, &decoder), 0);
    struct rh_bytes bytes = rh_buffer_content(&frame);
    assert_int_equal(rh_peer_decoder_feed(decoder, bytes.data, bytes.size), 0);
    assert_int_equal(rh_peer_decoder_next(decoder, &back, &reason), 0);
    assert_peer_message_equal(message, &back);
    rh_peer_decoder_destroy(decoder);
    rh_buffer_finish(&frame);
}

static void what_may_be_missing_may_be_missing(void **state RH_UNUSED)
{
    struct rh_peer_message message = peer_sample(RH_PEER_FOLLOW_ASK);
    message.follow_ask.has_after = false;
    message.follow_ask.after = (struct rh_position){0};
    assert_round_trip(&message);
    message.follow_ask.what = RH_PEER_FOLLOW_REMOVE;
    assert_round_trip(&message);
    message.follow_ask.what = RH_PEER_FOLLOW_LIST;
    message.follow_ask.topic = rh_bytes(NULL, 0);
    assert_round_trip(&message);
    message = peer_sample(RH_PEER_FOLLOW_ANSWER);
    message.follow_answer.follows_count = 0;
    assert_round_trip(&message);
    message = peer_sample(RH_PEER_TOPIC_ASK);
    message.topic_ask.after = (struct rh_position){0}; /* all that there is */
    assert_round_trip(&message);
    message.topic_ask.has_after = false;
    assert_round_trip(&message);
    message = peer_sample(RH_PEER_TOPIC_BATCH);
    message.topic_batch.messages_count = 0;
    assert_round_trip(&message);
    message.topic_batch.up_to = message.topic_batch.after;
    assert_round_trip(&message);
    message = peer_sample(RH_PEER_TOPIC_ACK);
    message.topic_ack.incarnation = 0;
    message.topic_ack.up_to = 0;
    assert_round_trip(&message);
    message = peer_sample(RH_PEER_TOPIC_END);
    message.topic_end.owner[0] = '\0';
    assert_round_trip(&message);
}

static void a_follow_is_checked(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.key = rh_bytes_text(""), "follow_ask.key:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.what = RH_PEER_FOLLOW_WHATS, "follow_ask.what:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.what = RH_PEER_FOLLOW_LIST, "follow_ask.topic:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.what = RH_PEER_FOLLOW_REMOVE, "follow_ask.has_after:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.topic = rh_bytes_text("\x01"), "follow_ask.topic:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.topic = rh_bytes_text("user:42"), "follow_ask.topic:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.has_after = false, "follow_ask.seq:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.after.incarnation = 0, "follow_ask.seq:");
    SAMPLE_REFUSED(FOLLOW_ASK, follow_ask.after.seq = UINT64_MAX, "follow_ask.seq:");
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.result = RH_PEER_RESULTS, "follow_answer.result:");
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.result = RH_PEER_UNKNOWN, "follow_answer.follows:");
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.owner[0] = '\0', "follow_answer.owner:");
}

static void a_table_has_each_topic_once(void **state RH_UNUSED)
{
    struct rh_peer_follow twice[] = {{.topic = rh_bytes_text("a")}, {.topic = rh_bytes_text("a")}};
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.follows = twice, "follow_answer.follows:");
    twice[1].topic = rh_bytes_text("");
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.follows = twice, "follow_answer.follows:");
    twice[1] = (struct rh_peer_follow){.topic = rh_bytes_text("b"), .position = {.seq = 1}};
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.follows = twice, "follow_answer.follows:");
    SAMPLE_REFUSED(FOLLOW_ANSWER, follow_answer.follows_count = RH_PEER_FOLLOWS_MAX + 1,
                   "follow_answer.follows:");
    struct rh_peer_message sync = peer_sample(RH_PEER_SYNC_BEGIN);
    sync.sync_begin.follows = twice;
    sync.sync_begin.follows_count = 2;
    assert_peer_message_refused(&sync, "sync_begin.follows:");
    twice[1].position.incarnation = 7;
    assert_round_trip(&sync);
}

static void what_a_topic_sends_is_checked(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(TOPIC_ASK, topic_ask.topic = rh_bytes_text(""), "topic_ask.topic:");
    SAMPLE_REFUSED(TOPIC_ASK, topic_ask.number = 0, "topic_ask.number:");
    SAMPLE_REFUSED(TOPIC_ASK, topic_ask.has_after = false, "topic_ask.seq:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.number = 0, "topic_batch.number:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.incarnation = 0, "topic_batch.incarnation:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.after = 21, "topic_batch.up_to:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.after = 17, "topic_batch.messages.seq:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.up_to = 18, "topic_batch.messages.seq:");
    SAMPLE_REFUSED(TOPIC_BATCH, topic_batch.messages_count = RH_PEER_OPERATIONS_MAX + 1,
                   "topic_batch.messages:");
    SAMPLE_REFUSED(TOPIC_ACK, topic_ack.number = 0, "topic_ack.number:");
    SAMPLE_REFUSED(TOPIC_ACK, topic_ack.incarnation = 0, "topic_ack.up_to:");
    SAMPLE_REFUSED(TOPIC_END, topic_end.number = 0, "topic_end.number:");
    SAMPLE_REFUSED(TOPIC_END, topic_end.owner[0] = ' ', "topic_end.owner:");
}

static void who_follows_is_checked(void **state RH_UNUSED)
{
    struct rh_peer_message message = peer_sample(RH_PEER_FOLLOWERS_ANSWER);
    message.followers_answer.followers_count = 0;
    assert_round_trip(&message);
    message.followers_answer.count = 0;
    assert_round_trip(&message);
    message.followers_answer.count = RH_PEER_FOLLOWERS_MAX + 1;
    message.followers_answer.followers_count = RH_PEER_FOLLOWERS_MAX + 1;
    assert_peer_message_refused(&message, "followers_answer.followers:");
    const struct rh_bytes keys[] = {rh_bytes_text("a"), rh_bytes_text("")};
    SAMPLE_REFUSED(FOLLOWERS_ASK, followers_ask.topic = rh_bytes_text(""), "followers_ask.topic:");
    SAMPLE_REFUSED(FOLLOWERS_ASK, followers_ask.limit = 0, "followers_ask.limit:");
    SAMPLE_REFUSED(FOLLOWERS_ASK, followers_ask.limit = RH_PEER_FOLLOWERS_MAX + 1,
                   "followers_ask.limit:");
    SAMPLE_REFUSED(FOLLOWERS_ANSWER, followers_answer.count = 1, "followers_answer.followers:");
    SAMPLE_REFUSED(FOLLOWERS_ANSWER, followers_answer.followers = keys,
                   "followers_answer.followers:");
}

/* Operations that have a topic, as an append carries them. */
static struct rh_peer_message with_operation(const struct rh_peer_operation *operation)
{
    struct rh_peer_message message = peer_sample(RH_PEER_APPEND);
    message.append.operations.items = operation;
    message.append.operations.count = 1;
    return message;
}

static const struct rh_peer_operation follow = {
    .kind = RH_PEER_OPERATION_FOLLOW,
    .seq = 6,
    .topic = {.data = "room:7", .size = 6},
    .position = {.incarnation = 7, .seq = 5},
    .payload = {.kind = RH_PAYLOAD_BINARY},
};

static const struct rh_peer_operation came = {
    .kind = RH_PEER_OPERATION_MESSAGE,
    .seq = 7,
    .id = {.data = "a", .size = 1},
    .topic = {.data = "room:7", .size = 6},
    .position = {.incarnation = 7, .seq = 5},
    .payload = {.kind = RH_PAYLOAD_TEXT},
};

#define OPERATION_REFUSED(sample, change, field)                     \
    do {                                                             \
        struct rh_peer_operation bad = sample;                       \
        bad.change;                                                  \
        const struct rh_peer_message message = with_operation(&bad); \
        assert_peer_message_refused(&message, field);                \
    } while (0)

static void operations_with_topics_come_back_as_sent(void **state RH_UNUSED)
{
    struct rh_peer_operation operation = follow;
    struct rh_peer_message message = with_operation(&operation);
    assert_round_trip(&message);
    operation.position = (struct rh_position){0};
    assert_round_trip(&message);
    operation.kind = RH_PEER_OPERATION_UNFOLLOW;
    assert_round_trip(&message);
    operation = came;
    assert_round_trip(&message);
}

static void operations_with_topics_are_checked(void **state RH_UNUSED)
{
    OPERATION_REFUSED(follow, topic = rh_bytes_text(""), "append.operations[0].topic:");
    OPERATION_REFUSED(follow, position.incarnation = 0, "append.operations[0].topic_seq:");
    OPERATION_REFUSED(follow, kind = RH_PEER_OPERATION_UNFOLLOW, "append.operations[0].topic_seq:");
    OPERATION_REFUSED(follow, version = 1, "append.operations[0].topic:");
    OPERATION_REFUSED(follow, id = rh_bytes_text("x"), "append.operations[0].topic:");
    OPERATION_REFUSED(follow, payload.kind = RH_PAYLOAD_TEXT, "append.operations[0].topic:");
    OPERATION_REFUSED(came, topic = rh_bytes_text("\n"), "append.operations[0].topic:");
    OPERATION_REFUSED(came, topic = rh_bytes_text(""), "append.operations[0].topic_seq:");
    OPERATION_REFUSED(came, in_window = true, "append.operations[0].topic:");
    OPERATION_REFUSED(came, position.seq = 0, "append.operations[0].topic_seq:");
    OPERATION_REFUSED(came, position.seq = UINT64_MAX, "append.operations[0].topic_seq:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(what_may_be_missing_may_be_missing),
        RH_TEST(a_follow_is_checked),
        RH_TEST(a_table_has_each_topic_once),
        RH_TEST(what_a_topic_sends_is_checked),
        RH_TEST(who_follows_is_checked),
        RH_TEST(operations_with_topics_come_back_as_sent),
        RH_TEST(operations_with_topics_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
