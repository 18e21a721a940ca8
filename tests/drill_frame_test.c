/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/frame.h"
#include "tests/test.h"

#include <stdlib.h>

#define SIZE_MAX_HERE 70000U

static void what_a_node_encodes_is_read_wherever_it_is_cut(void **state RH_UNUSED)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *payload = calloc(1, sizes[i] + 1);
        assert_non_null(payload);
        memset(payload, 'x', sizes[i]);
        struct rh_shared *frame =
            rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_bytes(payload, sizes[i]));
        assert_non_null(frame);
        struct rh_bytes bytes = rh_shared_bytes(frame);
        struct rh_frame read;
        size_t size = 0;
        for (size_t cut = 0; cut < bytes.size; cut += cut < 20 ? 1 : 997) {
            assert_int_equal(rh_frame_read(rh_bytes(bytes.data, cut), SIZE_MAX_HERE, &read, &size),
                             RH_ERR_AGAIN);
        }
        assert_int_equal(rh_frame_read(bytes, SIZE_MAX_HERE, &read, &size), 0);
        assert_int_equal(size, bytes.size);
        assert_int_equal(read.opcode, RH_WEBSOCKET_TEXT);
        assert_true(rh_bytes_equal(read.payload, rh_bytes(payload, sizes[i])));
        rh_shared_give(frame);
        free(payload);
    }
}

static void a_close_frame_has_a_code(void **state RH_UNUSED)
{
    struct rh_shared *frame =
        rh_websocket_encode_close(RH_WEBSOCKET_CODE_MOVED, rh_bytes_text("moved"));
    assert_non_null(frame);
    struct rh_frame read;
    size_t size;
    assert_int_equal(rh_frame_read(rh_shared_bytes(frame), SIZE_MAX_HERE, &read, &size), 0);
    assert_int_equal(rh_frame_close_code(&read), RH_WEBSOCKET_CODE_MOVED);
    rh_shared_give(frame);
    assert_int_equal(rh_frame_read(rh_bytes("\x88\0", 2), SIZE_MAX_HERE, &read, &size), 0);
    assert_int_equal(rh_frame_close_code(&read), RH_WEBSOCKET_CODE_NONE);
}

static void what_no_node_sends_is_refused(void **state RH_UNUSED)
{
    static const struct {
        struct rh_bytes bytes;
        int rv;
    } rows[] = {
        {{"\x01\x02hi", 4}, RH_ERR_INVALID},     /* the first of several */
        {{"\x80\x02hi", 4}, RH_ERR_INVALID},     /* the last of several */
        {{"\xc1\x02hi", 4}, RH_ERR_INVALID},     /* reserved bit */
        {{"\x83\x02hi", 4}, RH_ERR_INVALID},     /* unknown opcode */
        {{"\x81\x82----hi", 8}, RH_ERR_INVALID}, /* masked */
        {{"\x81\x7f\x80\0\0\0\0\0\0\0", 10}, RH_ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_frame read;
        size_t size;
        assert_int_equal(rh_frame_read(rows[i].bytes, SIZE_MAX_HERE, &read, &size), rows[i].rv);
    }
}

/* What a node does with what it is sent. */
struct heard {
    size_t pings;
    size_t texts;
};

static int take_message(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct heard *heard = context;
    heard->texts += opcode == RH_WEBSOCKET_TEXT && rh_bytes_equal_text(payload, "hello");
    return 0;
}

static void take_control(void *context, enum rh_websocket_opcode opcode,
                         struct rh_bytes payload RH_UNUSED)
{
    struct heard *heard = context;
    heard->pings += opcode == RH_WEBSOCKET_PING;
}

static void a_node_understands_what_is_appended(void **state RH_UNUSED)
{
    static const struct rh_websocket_handler handler = {.message = take_message,
                                                        .control = take_control};
    struct rh_websocket websocket;
    struct rh_websocket_pool pool = {0};
    struct rh_buffer input = {0};
    struct rh_buffer output = {0};
    struct heard heard = {0};
    assert_int_equal(rh_frame_append(&input, RH_WEBSOCKET_PING, rh_bytes(NULL, 0), 0x12345678), 0);
    assert_int_equal(rh_frame_append(&input, RH_WEBSOCKET_TEXT, rh_bytes_text("hello"), 0xdeadbeef),
                     0);
    assert_int_equal(rh_frame_append(&input, RH_WEBSOCKET_CLOSE, rh_bytes("\x03\xe8", 2), 7), 0);
    rh_websocket_init(&websocket, 1000);
    assert_int_equal(
        rh_websocket_feed(&websocket, &pool, rh_buffer_content(&input), &output, &handler, &heard),
        0);
    assert_int_equal(heard.pings, 1);
    assert_int_equal(heard.texts, 1);
    assert_int_equal(rh_websocket_state(&websocket), RH_WEBSOCKET_STATE_CLOSED);
    assert_int_equal(rh_websocket_code(&websocket), RH_WEBSOCKET_CODE_NORMAL);
    rh_websocket_finish(&websocket, &pool);
    rh_websocket_pool_finish(&pool);
    rh_buffer_finish(&input);
    rh_buffer_finish(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(what_a_node_encodes_is_read_wherever_it_is_cut),
        RH_TEST(a_close_frame_has_a_code),
        RH_TEST(what_no_node_sends_is_refused),
        RH_TEST(a_node_understands_what_is_appended),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
