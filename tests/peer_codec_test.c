/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "proto/peer.pb-c.h"
#include "proto/peer_codec.h"
#include "tests/allocation.h"
#include "tests/peer_samples.h"
#include "tests/test.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_SIZE_MAX (1U << 20)

static uint64_t seed; /* of the random tests; argument of the program */

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static struct rh_bytes text(const char *value)
{
    return rh_bytes_text(value);
}

static struct rh_peer_decoder *decoder_create(size_t frame_size_max)
{
    struct rh_peer_decoder *decoder = NULL;
    assert_int_equal(rh_peer_decoder_create(frame_size_max, &decoder), 0);
    return decoder;
}

static void encode(const struct rh_peer_message *message, struct rh_buffer *buffer)
{
    assert_int_equal(rh_peer_encode(message, FRAME_SIZE_MAX, buffer), 0);
}

/* All kinds, one after the other. */
static void encode_all(struct rh_buffer *buffer)
{
    for (unsigned kind = 0; kind < RH_PEER_MESSAGE_KINDS; kind++) {
        struct rh_peer_message message = peer_sample((enum rh_peer_message_kind)kind);
        encode(&message, buffer);
    }
}

static void feed(struct rh_peer_decoder *decoder, struct rh_bytes bytes)
{
    assert_int_equal(rh_peer_decoder_feed(decoder, bytes.data, bytes.size), 0);
}

/* Takes out what is complete, which must be the samples from |*kind| on. */
static void expect_samples(struct rh_peer_decoder *decoder, unsigned *kind)
{
    struct rh_peer_message message;
    struct rh_reason reason;
    int rv = 0;
    while ((rv = rh_peer_decoder_next(decoder, &message, &reason)) == 0) {
        struct rh_peer_message expected = peer_sample((enum rh_peer_message_kind) * kind);
        assert_peer_message_equal(&message, &expected);
        (*kind)++;
    }
    assert_int_equal(rv, RH_ERR_AGAIN);
}

static void every_kind_comes_back_as_sent_wherever_the_stream_is_cut(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    encode_all(&stream);
    struct rh_bytes bytes = rh_buffer_content(&stream);
    for (size_t cut = 0; cut <= bytes.size; cut++) {
        struct rh_peer_decoder *decoder = decoder_create(FRAME_SIZE_MAX);
        unsigned kind = 0;
        feed(decoder, rh_bytes(bytes.data, cut));
        expect_samples(decoder, &kind);
        feed(decoder, rh_bytes(bytes.data + cut, bytes.size - cut));
        expect_samples(decoder, &kind);
        assert_int_equal(kind, RH_PEER_MESSAGE_KINDS);
        assert_false(rh_peer_decoder_partial(decoder));
        rh_peer_decoder_destroy(decoder);
    }
    struct rh_peer_decoder *decoder = decoder_create(FRAME_SIZE_MAX);
    unsigned kind = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        feed(decoder, rh_bytes(bytes.data + i, 1));
        assert_true(rh_peer_decoder_partial(decoder));
        expect_samples(decoder, &kind);
    }
    assert_int_equal(kind, RH_PEER_MESSAGE_KINDS);
    rh_peer_decoder_destroy(decoder);
    rh_buffer_finish(&stream);
}

/* The outermost message is written and read by hand. */
static void
every_kind_is_laid_out_as_the_generated_code_does_and_read_however_it_is(void **state RH_UNUSED)
{
    for (unsigned kind = 0; kind < RH_PEER_MESSAGE_KINDS; kind++) {
        struct rh_peer_message sample = peer_sample((enum rh_peer_message_kind)kind);
        struct rh_buffer stream = {0};
        encode(&sample, &stream);
        struct rh_bytes bytes = rh_buffer_content(&stream);
        size_t size = bytes.size - RH_PEER_FRAME_HEADER_SIZE;
        const uint8_t *body = (const uint8_t *)bytes.data + RH_PEER_FRAME_HEADER_SIZE;
        Ringhop__Peer__Frame *frame = ringhop__peer__frame__unpack(NULL, size, body);
        assert_non_null(frame);
        assert_int_equal(ringhop__peer__frame__get_packed_size(frame), size);
        uint8_t *packed = malloc(size);
        assert_non_null(packed);
        assert_int_equal(ringhop__peer__frame__pack(frame, packed), size);
        assert_memory_equal(packed, body, size);
        ringhop__peer__frame__free_unpacked(frame, NULL);
        free(packed);

        /* With a field behind the body, which is not how it is laid out here. */
        const struct rh_bytes more = text("\xf8\x07\x01");
        const size_t longer = size + more.size;
        const uint8_t header[RH_PEER_FRAME_HEADER_SIZE] = {0, (uint8_t)(longer >> 16),
                                                           (uint8_t)(longer >> 8), (uint8_t)longer};
        struct rh_peer_decoder *decoder = decoder_create(FRAME_SIZE_MAX);
        unsigned read = kind;
        feed(decoder, rh_bytes((const char *)header, sizeof(header)));
        feed(decoder, rh_bytes((const char *)body, size));
        feed(decoder, more);
        expect_samples(decoder, &read);
        assert_int_equal(read, kind + 1);
        rh_peer_decoder_destroy(decoder);
        rh_buffer_finish(&stream);
    }
}

static void assert_round_trip(const struct rh_peer_message *message)
{
    struct rh_buffer stream = {0};
    struct rh_peer_decoder *decoder = decoder_create(FRAME_SIZE_MAX);
    struct rh_peer_message back;
    encode(message, &stream);
    feed(decoder, rh_buffer_content(&stream));
    assert_int_equal(rh_peer_decoder_next(decoder, &back, NULL), 0);
    assert_peer_message_equal(message, &back);
    rh_peer_decoder_destroy(decoder);
    rh_buffer_finish(&stream);
}

static void fields_survive_at_both_ends_of_their_range(void **state RH_UNUSED)
{
    static char zeros[RH_KEY_SIZE_MAX];
    char longest[RH_KEY_SIZE_MAX];
    memset(longest, 'k', sizeof(longest));

    struct rh_peer_message publish = peer_sample(RH_PEER_PUBLISH);
    publish.epoch = (struct rh_epoch){.generation = UINT64_MAX, .pzxid = INT64_MAX};
    publish.publish.request = UINT64_MAX;
    publish.publish.key = rh_bytes(longest, RH_KEY_SIZE_MAX);
    publish.publish.id = rh_bytes(longest, RH_MESSAGE_ID_SIZE_MAX);
    publish.publish.payload =
        (struct rh_payload){.kind = RH_PAYLOAD_BINARY, .bytes = rh_bytes(zeros, sizeof(zeros))};
    publish.publish.deadline_ms = UINT32_MAX;
    assert_round_trip(&publish);

    publish.epoch = (struct rh_epoch){0};
    publish.publish.request = 0;
    publish.publish.payload = (struct rh_payload){.kind = RH_PAYLOAD_TEXT};
    publish.publish.deadline_ms = 0;
    assert_round_trip(&publish);

    struct rh_peer_message answer = peer_sample(RH_PEER_PUBLISH_ANSWER);
    answer.publish_answer.seq = INT64_MAX;
    answer.publish_answer.incarnation = UINT64_MAX;
    answer.publish_answer.connections = UINT32_MAX;
    answer.publish_answer.detail = rh_bytes(longest, RH_PEER_TEXT_SIZE_MAX);
    answer.publish_answer.code = rh_bytes(longest, RH_PEER_CODE_SIZE_MAX);
    memset(answer.publish_answer.owner, 'n', RH_NODE_ID_SIZE - 1);
    assert_round_trip(&answer);

    answer.publish_answer =
        (struct rh_peer_publish_answer){.request = 1, .result = RH_PEER_NOT_OWNER};
    assert_round_trip(&answer);

    struct rh_peer_message channel = peer_sample(RH_PEER_INSPECT_ANSWER);
    channel.inspect_answer.first_seq = (uint64_t)INT64_MAX + 1;
    channel.inspect_answer.last_seq = INT64_MAX;
    assert_round_trip(&channel);

    struct rh_peer_message hello = peer_sample(RH_PEER_HELLO);
    hello.hello.to = (struct rh_node_ref){0};
    hello.hello.refusal = (struct rh_bytes){0};
    assert_round_trip(&hello);
}

/* A file of "name hex" lines: what each sample is on the wire, for ever. */
static void the_wire_format_is_the_one_on_record(void **state RH_UNUSED)
{
    FILE *file = fopen("tests/vectors/peer.txt", "r");
    assert_non_null(file);
    char line[4096];
    unsigned kind = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#') {
            continue;
        }
        struct rh_peer_message message = peer_sample((enum rh_peer_message_kind)kind);
        struct rh_buffer frame = {0};
        struct rh_buffer expected = {0};
        encode(&message, &frame);
        struct rh_bytes bytes = rh_buffer_content(&frame);
        assert_int_equal(rh_buffer_format(&expected, "%s ", rh_peer_message_name(message.kind)), 0);
        for (size_t i = 0; i < bytes.size; i++) {
            assert_int_equal(rh_buffer_format(&expected, "%02x", (uint8_t)bytes.data[i]), 0);
        }
        char *written = rh_buffer_take_text(&expected);
        line[strcspn(line, "\n")] = '\0';
        assert_string_equal(line, written);
        free(written);
        rh_buffer_finish(&frame);
        kind++;
    }
    assert_int_equal(kind, RH_PEER_MESSAGE_KINDS);
    (void)fclose(file);
}

static void a_status_that_is_out_of_range_is_refused(void **state RH_UNUSED)
{
    static char longest[RH_PEER_STATUS_SIZE_MAX + 1];
    memset(longest, ' ', sizeof(longest));
    struct rh_peer_message message = peer_sample(RH_PEER_STATUS);
    message.status.json = rh_bytes(longest, RH_PEER_STATUS_SIZE_MAX);
    assert_round_trip(&message);
    SAMPLE_REFUSED(STATUS, status.json = rh_bytes(longest, sizeof(longest)), "status.json:");
    SAMPLE_REFUSED(STATUS, status.json = text(""), "status.json:");
    SAMPLE_REFUSED(STATUS, status.json = text("\"\xff\""), "status.json:");
}

static void a_hello_that_is_out_of_range_is_refused(void **state RH_UNUSED)
{
    char longest[RH_PEER_TEXT_SIZE_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    const struct rh_peer_message good = peer_sample(RH_PEER_HELLO);
    struct rh_peer_message bad = good;
    bad.epoch.pzxid = -1;
    assert_peer_message_refused(&bad, "frame.pzxid:");
    bad = good;
    bad.hello.version = 0;
    assert_peer_message_refused(&bad, "hello.version:");
    bad = good;
    bad.hello.cluster = text("");
    assert_peer_message_refused(&bad, "hello.cluster:");
    bad.hello.cluster = rh_bytes(longest, RH_PEER_CLUSTER_SIZE_MAX + 1);
    assert_peer_message_refused(&bad, "hello.cluster:");
    bad = good;
    strcpy(bad.hello.from.id, "n 1");
    assert_peer_message_refused(&bad, "hello.from.id:");
    bad.hello.from.id[0] = '\0';
    assert_peer_message_refused(&bad, "hello.from.id:");
    bad = good;
    bad.hello.from.instance = 0;
    assert_peer_message_refused(&bad, "hello.from.instance:");
    bad = good;
    strcpy(bad.hello.to.id, "n/2");
    assert_peer_message_refused(&bad, "hello.to.id:");
    bad.hello.to.id[0] = '\0';
    assert_peer_message_refused(&bad, "hello.to.id:");
    bad = good;
    bad.hello.refusal = text("two\nlines");
    assert_peer_message_refused(&bad, "hello.refusal:");
    bad.hello.refusal = rh_bytes(longest, sizeof(longest));
    assert_peer_message_refused(&bad, "hello.refusal:");
}

static void a_request_that_is_out_of_range_is_refused(void **state RH_UNUSED)
{
    char longest[RH_KEY_SIZE_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    const struct rh_peer_message good = peer_sample(RH_PEER_PUBLISH);
    struct rh_peer_message bad = good;
    static const char *const keys[] = {"", "a\xff", "a\tb"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        bad.publish.key = text(keys[i]);
        assert_peer_message_refused(&bad, "publish.key:");
    }
    bad.publish.key = rh_bytes(longest, sizeof(longest));
    assert_peer_message_refused(&bad, "publish.key:");
    bad = good;
    bad.publish.id = text("");
    assert_peer_message_refused(&bad, "publish.id:");
    bad.publish.id = text("\xc3\xa9");
    assert_peer_message_refused(&bad, "publish.id:");
    bad.publish.id = rh_bytes(longest, RH_MESSAGE_ID_SIZE_MAX + 1);
    assert_peer_message_refused(&bad, "publish.id:");
    bad = good;
    bad.publish.payload = (struct rh_payload){.kind = RH_PAYLOAD_TEXT, .bytes = text("\x80")};
    assert_peer_message_refused(&bad, "publish.payload:");
    bad.publish.payload = (struct rh_payload){.kind = RH_PAYLOAD_JSON};
    assert_peer_message_refused(&bad, "publish.payload:");
    bad.publish.payload = (struct rh_payload){.kind = (enum rh_payload_kind)7};
    assert_peer_message_refused(&bad, "publish.payload_kind:");
    bad = peer_sample(RH_PEER_INSPECT);
    bad.inspect.key = text("");
    assert_peer_message_refused(&bad, "inspect.key:");
    bad.kind = RH_PEER_MESSAGE_KINDS;
    assert_peer_message_refused(&bad, "frame.body:");
}

static void an_answer_that_is_out_of_range_is_refused(void **state RH_UNUSED)
{
    const struct rh_peer_message good = peer_sample(RH_PEER_PUBLISH_ANSWER);
    struct rh_peer_message bad = good;
    bad.publish_answer.result = RH_PEER_RESULTS;
    assert_peer_message_refused(&bad, "publish_answer.result:");
    bad = good;
    bad.publish_answer.owner[0] = '\0';
    assert_peer_message_refused(&bad, "publish_answer.owner:");
    bad = good;
    bad.publish_answer.result = RH_PEER_RESULT_REFUSED;
    bad.publish_answer.code = text("");
    assert_peer_message_refused(&bad, "publish_answer.code:");
    bad.publish_answer.code = text("two words");
    assert_peer_message_refused(&bad, "publish_answer.code:");
    bad = good;
    bad.publish_answer.detail = text("\xff");
    assert_peer_message_refused(&bad, "publish_answer.detail:");
    bad = good;
    bad.publish_answer.seq = 0;
    assert_peer_message_refused(&bad, "publish_answer.seq:");
    bad.publish_answer.seq = (uint64_t)INT64_MAX + 1;
    assert_peer_message_refused(&bad, "publish_answer.seq:");
    bad = good;
    bad.publish_answer.incarnation = 0;
    assert_peer_message_refused(&bad, "publish_answer.incarnation:");

    const struct rh_peer_message channel = peer_sample(RH_PEER_INSPECT_ANSWER);
    bad = channel;
    bad.inspect_answer.result = (enum rh_peer_result) - 1;
    assert_peer_message_refused(&bad, "inspect_answer.result:");
    bad = channel;
    bad.inspect_answer.incarnation = 0;
    assert_peer_message_refused(&bad, "inspect_answer.incarnation:");
    bad = channel;
    bad.inspect_answer.first_seq = bad.inspect_answer.last_seq + 2;
    assert_peer_message_refused(&bad, "inspect_answer.first_seq:");
    bad.inspect_answer.first_seq = 0;
    assert_peer_message_refused(&bad, "inspect_answer.first_seq:");
    bad = channel;
    bad.inspect_answer.last_seq = UINT64_MAX;
    assert_peer_message_refused(&bad, "inspect_answer.last_seq:");
}

static void bad_requests_for_a_state_are_named(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(STATE_GET, state_get.key = text(""), "state_get.key:");
    SAMPLE_REFUSED(STATE_PUT, state_put.key = text(""), "state_put.key:");
    SAMPLE_REFUSED(STATE_PUT, state_put.id = text(""), "state_put.id:");
    SAMPLE_REFUSED(STATE_PUT, state_put.condition = RH_PEER_STATE_CONDITIONS,
                   "state_put.condition:");
    SAMPLE_REFUSED(STATE_PUT, state_put.condition = RH_PEER_STATE_ANY, "state_put.if_version:");
    SAMPLE_REFUSED(STATE_PUT, state_put.if_version = UINT64_MAX, "state_put.if_version:");
    SAMPLE_REFUSED(STATE_PUT, state_put.content_type = text("\n"), "state_put.content_type:");
    SAMPLE_REFUSED(STATE_DELETE, state_delete.key = text(""), "state_delete.key:");
    SAMPLE_REFUSED(STATE_DELETE, state_delete.id = text("a\nb"), "state_delete.id:");
    SAMPLE_REFUSED(STATE_DELETE, state_delete.if_version = 1, "state_delete.if_version:");
    SAMPLE_REFUSED(STATE_DELETE, state_delete.condition = RH_PEER_STATE_ABSENT,
                   "state_delete.condition:");
}

static void bad_lists_of_clients_are_named(void **state RH_UNUSED)
{
    char longest[RH_CLIENT_META_SIZE_MAX + 1];
    memset(longest, '1', sizeof(longest));
    struct rh_peer_present present = {.client = text("a"), .connections = 1};
    SAMPLE_REFUSED(PRESENCE_GET, presence_get.key = text(""), "presence_get.key:");
    SAMPLE_REFUSED(PRESENCE_ANSWER, presence_answer.owner[0] = '\0', "presence_answer.owner:");
    SAMPLE_REFUSED(PRESENCE_ANSWER, presence_answer.incarnation = 0, "presence_answer.clients:");
    SAMPLE_REFUSED(PRESENCE_ANSWER, presence_answer.result = RH_PEER_NOT_OWNER,
                   "presence_answer.clients:");
    SAMPLE_REFUSED(PRESENCE, presence.key = text("\n"), "presence.key:");
    SAMPLE_REFUSED(PRESENCE, presence.term = (struct rh_term){0}, "presence.term:");
    SAMPLE_REFUSED(PRESENCE, presence.clients_count = RH_PEER_PRESENT_MAX + 1,
                   "presence.clients: more than 1000");
    struct rh_peer_message message = peer_sample(RH_PEER_PRESENCE);
    message.presence.clients = &present;
    message.presence.clients_count = 1;
    present.meta = rh_bytes(longest, RH_CLIENT_META_SIZE_MAX);
    assert_round_trip(&message);
    present.meta = rh_bytes(longest, sizeof(longest));
    assert_peer_message_refused(&message, "presence.clients.meta:");
    present.meta = text("\xff");
    assert_peer_message_refused(&message, "presence.clients.meta:");
    present.meta = text("");
    present.client = text("");
    assert_peer_message_refused(&message, "presence.clients.client:");
    present.client = text("a\tb");
    assert_peer_message_refused(&message, "presence.clients.client:");
}

static void bad_answers_about_a_state_are_named(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.result = RH_PEER_RESULTS, "state_answer.result:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.owner[0] = '\0', "state_answer.owner:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.outcome = RH_PEER_STATE_OUTCOMES,
                   "state_answer.outcome:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.version = 0, "state_answer.version:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.version = UINT64_MAX, "state_answer.version:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.incarnation = 0, "state_answer.incarnation:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.content_type = text("\x80"),
                   "state_answer.content_type:");
    SAMPLE_REFUSED(STATE_ANSWER, state_answer.outcome = RH_PEER_STATE_CHANGED,
                   "state_answer.content_type:");

    struct rh_peer_message answer = peer_sample(RH_PEER_STATE_ANSWER);
    answer.state_answer.outcome = RH_PEER_STATE_CONFLICT;
    answer.state_answer.content_type = text("");
    assert_peer_message_refused(&answer, "state_answer.state:");
    answer.state_answer.state = text("");
    assert_round_trip(&answer);
    answer.state_answer.version = 0;
    answer.state_answer.incarnation = 0;
    assert_round_trip(&answer);
    answer.state_answer.outcome = RH_PEER_STATE_NONE;
    assert_round_trip(&answer);
    answer.state_answer = (struct rh_peer_state_answer){.request = 1, .result = RH_PEER_NOT_OWNER};
    assert_round_trip(&answer);
}

static ProtobufCBinaryData binary(struct rh_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data};
}

/* What the decoder says to one frame with that body; it is final. */
static int decode_body(struct rh_bytes body, struct rh_reason *reason)
{
    struct rh_peer_decoder *decoder = decoder_create(FRAME_SIZE_MAX);
    const uint8_t header[] = {(uint8_t)(body.size >> 24), (uint8_t)(body.size >> 16),
                              (uint8_t)(body.size >> 8), (uint8_t)body.size};
    struct rh_peer_message message;
    feed(decoder, rh_bytes(header, sizeof(header)));
    feed(decoder, body);
    int rv = rh_peer_decoder_next(decoder, &message, reason);
    if (rv != 0) {
        assert_int_equal(rh_peer_decoder_next(decoder, &message, NULL), rv);
    }
    rh_peer_decoder_destroy(decoder);
    return rv;
}

static int decode_wire(const Ringhop__Peer__Frame *frame, struct rh_reason *reason)
{
    size_t size = ringhop__peer__frame__get_packed_size(frame);
    uint8_t *body = malloc(size + 1);
    assert_non_null(body);
    assert_int_equal(ringhop__peer__frame__pack(frame, body), size);
    int rv = decode_body(rh_bytes(body, size), reason);
    free(body);
    return rv;
}

static void assert_wire_refused(const Ringhop__Peer__Frame *frame, const char *field)
{
    struct rh_reason reason = {0};
    assert_int_equal(decode_wire(frame, &reason), RH_ERR_INVALID);
    assert_int_equal(strncmp(reason.text, field, strlen(field)), 0);
}

static void what_only_bytes_can_say_wrong_is_refused_too(void **state RH_UNUSED)
{
    char longest[RH_NODE_ID_SIZE];
    memset(longest, 'n', sizeof(longest));
    Ringhop__Peer__Frame frame = RINGHOP__PEER__FRAME__INIT;
    Ringhop__Peer__Node node = RINGHOP__PEER__NODE__INIT;
    Ringhop__Peer__Hello hello = RINGHOP__PEER__HELLO__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_HELLO;
    frame.hello = &hello;
    hello.version = 1;
    hello.cluster = binary(text("demo"));
    assert_wire_refused(&frame, "hello.from.id:");
    hello.from = &node;
    node.instance = 1;
    node.id = binary(rh_bytes("n1\0n2", 5));
    assert_wire_refused(&frame, "hello.from.id:");
    node.id = binary(rh_bytes(longest, sizeof(longest)));
    assert_wire_refused(&frame, "hello.from.id:");
    node.id = binary(text("n1"));
    assert_int_equal(decode_wire(&frame, NULL), 0);

    Ringhop__Peer__PublishAnswer answer = RINGHOP__PEER__PUBLISH_ANSWER__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_PUBLISH_ANSWER;
    frame.publish_answer = &answer;
    static const int results[] = {0, RH_PEER_RESULTS + 1, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        answer.result = (Ringhop__Peer__Result)results[i];
        assert_wire_refused(&frame, "publish_answer.result:");
    }

    Ringhop__Peer__Publish publish = RINGHOP__PEER__PUBLISH__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_PUBLISH;
    frame.publish = &publish;
    publish.key = binary(text("k"));
    publish.id = binary(text("i"));
    assert_wire_refused(&frame, "publish.payload_kind:");
    publish.payload_kind = RINGHOP__PEER__PAYLOAD_KIND__PAYLOAD_KIND_TEXT;
    assert_int_equal(decode_wire(&frame, NULL), 0);

    frame.body_case = RINGHOP__PEER__FRAME__BODY__NOT_SET;
    assert_wire_refused(&frame, "frame.body:");
    struct rh_reason reason;
    assert_int_equal(decode_body(rh_bytes("", 0), &reason), RH_ERR_INVALID);
    assert_int_equal(decode_body(rh_bytes("\xff\xff\xff", 3), &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "frame: not protobuf");
}

static void fields_of_a_later_version_are_passed_over(void **state RH_UNUSED)
{
    struct rh_peer_message message = peer_sample(RH_PEER_PING);
    struct rh_buffer buffer = {0};
    encode(&message, &buffer);
    rh_buffer_consume(&buffer, RH_PEER_FRAME_HEADER_SIZE);
    assert_int_equal(rh_buffer_append(&buffer, "\xf8\x07\x01", 3), 0); /* field 127 = 1 */
    assert_int_equal(decode_body(rh_buffer_content(&buffer), NULL), 0);
    rh_buffer_finish(&buffer);
}

static void a_frame_above_the_limit_is_refused_by_its_header_alone(void **state RH_UNUSED)
{
    struct rh_reason reason;
    struct rh_peer_message message = peer_sample(RH_PEER_PUBLISH);
    struct rh_buffer buffer = {0};
    encode(&message, &buffer);
    size_t size = rh_buffer_size(&buffer) - RH_PEER_FRAME_HEADER_SIZE;

    struct rh_peer_decoder *decoder = decoder_create(size);
    feed(decoder, rh_buffer_content(&buffer));
    assert_int_equal(rh_peer_decoder_next(decoder, &message, &reason), 0);
    rh_peer_decoder_destroy(decoder);

    decoder = decoder_create(size - 1);
    feed(decoder, rh_bytes(rh_buffer_content(&buffer).data, RH_PEER_FRAME_HEADER_SIZE));
    assert_int_equal(rh_peer_decoder_next(decoder, &message, &reason), RH_ERR_TOO_LARGE);
    assert_int_equal(rh_peer_decoder_next(decoder, &message, &reason), RH_ERR_TOO_LARGE);
    rh_peer_decoder_destroy(decoder);

    rh_buffer_clear(&buffer);
    message = peer_sample(RH_PEER_PUBLISH);
    assert_int_equal(rh_peer_encode(&message, size - 1, &buffer), RH_ERR_TOO_LARGE);
    assert_int_equal(rh_buffer_size(&buffer), 0);
    assert_int_equal(rh_peer_encode(&message, size, &buffer), 0);
    rh_buffer_finish(&buffer);
}

static void a_frame_of_countless_tiny_fields_does_not_eat_the_memory(void **state RH_UNUSED)
{
    enum { FIELDS = 300000 };
    char *body = malloc(2 * FIELDS);
    assert_non_null(body);
    for (size_t i = 0; i < FIELDS; i++) {
        body[2 * i] = 0x78; /* field 15, a number */
        body[2 * i + 1] = 1;
    }
    struct rh_reason reason;
    assert_int_equal(decode_body(rh_bytes(body, 2 * FIELDS), &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "frame: too many fields for its size");
    free(body);
}

/* Whatever comes in, the decoder says so and stays within its memory (sanitizers watch). */
static void damaged_frames_never_do_more_than_fail(void **state RH_UNUSED)
{
    enum { ROUNDS = 20000 };
    uint64_t random = seed;
    struct rh_buffer stream = {0};
    encode_all(&stream);
    struct rh_bytes good = rh_buffer_content(&stream);
    char *bad = malloc(2 * good.size);
    assert_non_null(bad);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = good.size;
        memcpy(bad, good.data, size);
        for (uint64_t changes = 1 + random_next(&random) % 4; changes > 0; changes--) {
            size_t at = random_next(&random) % size;
            size_t count = 1 + random_next(&random) % 8;
            count = count > size - at ? size - at : count;
            switch (random_next(&random) % 4) {
            case 0: /* other bytes */
                bad[at] = (char)random_next(&random);
                break;
            case 1: /* one bit */
                bad[at] = (char)(bad[at] ^ (1 << random_next(&random) % 8));
                break;
            case 2: /* some are missing */
                memmove(bad + at, bad + at + count, size - at - count);
                size -= size > count ? count : 0;
                break;
            default: /* some are there twice */
                if (size + count <= 2 * good.size) {
                    memmove(bad + at + count, bad + at, size - at);
                    size += count;
                }
                break;
            }
        }
        struct rh_peer_decoder *decoder = decoder_create(4096);
        struct rh_peer_message message;
        feed(decoder, rh_bytes(bad, size));
        while (rh_peer_decoder_next(decoder, &message, NULL) == 0) {
            assert_int_equal(rh_peer_message_check(&message, NULL), 0);
        }
        rh_peer_decoder_destroy(decoder);
    }
    free(bad);
    rh_buffer_finish(&stream);
}

static void two_bodies_in_one_frame_are_read_without_harm(void **state RH_UNUSED)
{
    for (unsigned a = 0; a < RH_PEER_MESSAGE_KINDS; a++) {
        for (unsigned b = 0; b < RH_PEER_MESSAGE_KINDS; b++) {
            struct rh_peer_message first = peer_sample((enum rh_peer_message_kind)a);
            struct rh_peer_message second = peer_sample((enum rh_peer_message_kind)b);
            struct rh_buffer frames = {0};
            struct rh_buffer body = {0};
            encode(&first, &frames);
            size_t first_size = rh_buffer_size(&frames) - RH_PEER_FRAME_HEADER_SIZE;
            rh_buffer_consume(&frames, RH_PEER_FRAME_HEADER_SIZE);
            assert_int_equal(rh_buffer_append(&body, rh_buffer_content(&frames).data, first_size),
                             0);
            rh_buffer_clear(&frames);
            encode(&second, &frames);
            rh_buffer_consume(&frames, RH_PEER_FRAME_HEADER_SIZE);
            assert_int_equal(rh_buffer_append_bytes(&body, rh_buffer_content(&frames)), 0);
            int rv = decode_body(rh_buffer_content(&body), NULL);
            /* Lists of two of a kind become one, which need not make sense. */
            assert_true(rv == 0 || (a == b && rv == RH_ERR_INVALID));
            rh_buffer_finish(&body);
            rh_buffer_finish(&frames);
        }
    }
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state RH_UNUSED)
{
    struct rh_peer_message message = peer_sample(RH_PEER_HELLO);
    struct rh_buffer buffer = {0};
    rh_test_allocation_fail(1);
    assert_int_equal(rh_peer_encode(&message, FRAME_SIZE_MAX, &buffer), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(rh_buffer_size(&buffer), 0);
    encode(&message, &buffer);
    for (unsigned nth = 1;; nth++) {
        struct rh_peer_decoder *decoder = NULL;
        struct rh_peer_message back;
        struct rh_bytes bytes = rh_buffer_content(&buffer);
        rh_test_allocation_fail(nth);
        int rv = rh_peer_decoder_create(FRAME_SIZE_MAX, &decoder);
        if (rv == 0) {
            rv = rh_peer_decoder_feed(decoder, bytes.data, bytes.size);
        }
        if (rv == 0) {
            rv = rh_peer_decoder_next(decoder, &back, NULL);
        }
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        rh_peer_decoder_destroy(decoder);
        if (!failed) {
            assert_int_equal(nth, 4); /* decoder, input, one chunk of the arena */
            break;
        }
    }
    rh_buffer_finish(&buffer);
}

static void an_arena_hands_out_aligned_pieces_up_to_its_limit(void **state RH_UNUSED)
{
    struct rh_arena arena;
    rh_arena_init(&arena, 256);
    for (unsigned round = 0; round < 3; round++) {
        rh_arena_reset(&arena, 9 * 112 + 31);
        char *pieces[9];
        for (size_t i = 0; i < 9; i++) {
            pieces[i] = rh_arena_alloc(&arena, 111);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
            memset(pieces[i], (int)i, 111);
        }
        for (size_t i = 0; i < 9; i++) {
            assert_int_equal(pieces[i][0], i);
            assert_int_equal(pieces[i][110], i);
        }
        assert_int_equal(arena.failed, 0);
        assert_null(rh_arena_alloc(&arena, 17));
        assert_int_equal(arena.failed, RH_ERR_FULL);
        assert_non_null(rh_arena_alloc(&arena, 1));
        assert_null(rh_arena_alloc(&arena, 1));
    }
    rh_arena_reset(&arena, SIZE_MAX);
    rh_test_allocation_fail(1);
    assert_null(rh_arena_alloc(&arena, 10000));
    assert_true(rh_test_allocation_failed());
    assert_int_equal(arena.failed, RH_ERR_NO_MEMORY);
    assert_null(rh_arena_alloc(&arena, SIZE_MAX - 4));
    rh_arena_finish(&arena);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(every_kind_comes_back_as_sent_wherever_the_stream_is_cut),
        RH_TEST(every_kind_is_laid_out_as_the_generated_code_does_and_read_however_it_is),
        RH_TEST(fields_survive_at_both_ends_of_their_range),
        RH_TEST(the_wire_format_is_the_one_on_record),
        RH_TEST(a_status_that_is_out_of_range_is_refused),
        RH_TEST(a_hello_that_is_out_of_range_is_refused),
        RH_TEST(a_request_that_is_out_of_range_is_refused),
        RH_TEST(an_answer_that_is_out_of_range_is_refused),
        RH_TEST(what_only_bytes_can_say_wrong_is_refused_too),
        RH_TEST(fields_of_a_later_version_are_passed_over),
        RH_TEST(a_frame_above_the_limit_is_refused_by_its_header_alone),
        RH_TEST(a_frame_of_countless_tiny_fields_does_not_eat_the_memory),
        RH_TEST(damaged_frames_never_do_more_than_fail),
        RH_TEST(two_bodies_in_one_frame_are_read_without_harm),
        RH_TEST(every_failed_allocation_is_reported_and_leaks_nothing),
        RH_TEST(an_arena_hands_out_aligned_pieces_up_to_its_limit),
        RH_TEST(bad_requests_for_a_state_are_named),
        RH_TEST(bad_answers_about_a_state_are_named),
        RH_TEST(bad_lists_of_clients_are_named),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    printf("# seed %" PRIu64 "\n", seed);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
