/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#define SWITCHING                               \
    "HTTP/1.1 101 Switching Protocols\r\n"      \
    "Upgrade: websocket\r\n"                    \
    "Connection: Upgrade\r\n"                   \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9k=\r\n" \
    "Sec-WebSocket-Protocol: ringhop.v1\r\n\r\n"
#define CREATED                          \
    "HTTP/1.1 201 Created\r\n"           \
    "Content-Type: application/json\r\n" \
    "Content-Length: 7\r\n\r\n"          \
    "{\"a\":1}"
#define REDIRECT                                     \
    "HTTP/1.1 307 Temporary Redirect\r\n"            \
    "LOCATION: //h:7102/v1/channels/k/ws?hops=1\r\n" \
    "Content-Length: 0\r\n\r\n"
#define CHUNKED                            \
    "HTTP/1.1 503 Service Unavailable\r\n" \
    "Transfer-Encoding: chunked\r\n"       \
    "Connection: close\r\n\r\n"            \
    "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

static const struct {
    const char *text;
    unsigned status;
    bool keep_alive;
    const char *location;
    const char *accept;
    const char *body;
} rows[] = {
    {SWITCHING, 101, true, "", "s3pPLMBiTxaQ9k=", ""},
    {CREATED, 201, true, "", "", "{\"a\":1}"},
    {REDIRECT, 307, true, "//h:7102/v1/channels/k/ws?hops=1", "", ""},
    {CHUNKED, 503, false, "", "", "abcde"},
};

static void check_row(const struct rh_answer *answer, size_t row)
{
    assert_int_equal(answer->status, rows[row].status);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&answer->location), rows[row].location));
    assert_true(rh_bytes_equal_text(rh_buffer_content(&answer->accept), rows[row].accept));
    assert_true(rh_bytes_equal_text(rh_buffer_content(&answer->body), rows[row].body));
    assert_true(answer->keep_alive == rows[row].keep_alive || answer->status == 101);
}

static void answers_are_read_wherever_they_are_split(void **state RH_UNUSED)
{
    struct rh_answer answer;
    rh_answer_init(&answer);
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct rh_bytes text = rh_bytes_text(rows[row].text);
        for (size_t split = 1; split < text.size; split++) {
            size_t consumed = 0;
            rh_answer_reset(&answer);
            assert_int_equal(rh_answer_feed(&answer, rh_bytes(text.data, split), &consumed),
                             RH_ERR_AGAIN);
            assert_int_equal(
                rh_answer_feed(&answer, rh_bytes(text.data + split, text.size - split), &consumed),
                0);
            assert_int_equal(consumed, text.size - split);
            check_row(&answer, row);
        }
    }
    rh_answer_finish(&answer);
}

static void what_comes_after_an_answer_is_left(void **state RH_UNUSED)
{
    static const char *const after[] = {"\x81\x02hi", "HTTP/1.1 201 Created\r\n", "\x89"};
    struct rh_answer answer;
    rh_answer_init(&answer);
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
            char text[512];
            size_t consumed = 0;
            (void)snprintf(text, sizeof(text), "%s%s", rows[row].text, after[i]);
            rh_answer_reset(&answer);
            assert_int_equal(rh_answer_feed(&answer, rh_bytes_text(text), &consumed), 0);
            assert_int_equal(consumed, strlen(rows[row].text));
            check_row(&answer, row);
        }
    }
    rh_answer_finish(&answer);
}

static void what_is_no_answer_is_refused(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        int rv;
    } bad[] = {
        {"SSH-2.0-OpenSSH\r\n", RH_ERR_INVALID},
        {"HTTP/1.1 abc\r\n\r\n", RH_ERR_INVALID},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", RH_ERR_INVALID},
        {"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", RH_ERR_AGAIN},
    };
    struct rh_answer answer;
    size_t consumed;
    rh_answer_init(&answer);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rh_answer_reset(&answer);
        assert_int_equal(rh_answer_feed(&answer, rh_bytes_text(bad[i].text), &consumed), bad[i].rv);
    }
    static const char zeros[RH_ANSWER_BODY_SIZE_MAX + 1];
    assert_int_equal(rh_answer_feed(&answer, rh_bytes(zeros, sizeof(zeros)), &consumed),
                     RH_ERR_TOO_LARGE);
    rh_answer_finish(&answer);
}

static void out_of_memory_is_said(void **state RH_UNUSED)
{
    struct rh_answer answer;
    size_t consumed;
    rh_answer_init(&answer);
    rh_test_allocation_fail(1);
    assert_int_equal(rh_answer_feed(&answer, rh_bytes_text(CREATED), &consumed), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    rh_answer_finish(&answer);
}

static void the_answer_to_a_publish_is_read(void **state RH_UNUSED)
{
    uint64_t incarnation = 0;
    uint64_t seq = 0;
    assert_int_equal(
        rh_answer_published(rh_bytes_text("{\"seq\":9,\"incarnation\":\"c0ffee0123456789\","
                                          "\"node\":\"n1\",\"connections\":3,"
                                          "\"duplicate\":false}"),
                            &incarnation, &seq),
        0);
    assert_int_equal(seq, 9);
    assert_true(incarnation == UINT64_C(0xc0ffee0123456789));
    static const char *const bad[] = {
        "",
        "[]",
        "{\"seq\":9}",
        "{\"seq\":-9,\"incarnation\":\"c0ffee0123456789\"}",
        "{\"seq\":9,\"incarnation\":\"c0ffee\"}",
        "{\"seq\":9,\"incarnation\":1}",
        "{\"seq\":0,\"incarnation\":\"c0ffee0123456789\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rh_answer_published(rh_bytes_text(bad[i]), &incarnation, &seq),
                         RH_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(answers_are_read_wherever_they_are_split),
        RH_TEST(what_comes_after_an_answer_is_left),
        RH_TEST(what_is_no_answer_is_refused),
        RH_TEST(out_of_memory_is_said),
        RH_TEST(the_answer_to_a_publish_is_read),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
