/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

static struct rh_buffer scratch;

static void feed(struct rh_lines *lines, struct rh_bytes input)
{
    char *room = rh_lines_reserve(lines, input.size + 1);
    assert_non_null(room);
    (void)rh_bytes_write(room, input);
    rh_lines_commit(lines, input.size);
}

/* Appends what comes out, as "N:text;" or "N:long;". Returns what ended it. */
static int drain(struct rh_lines *lines, char *out)
{
    for (;;) {
        struct rh_bytes line;
        int rv = rh_lines_next(lines, &line);
        char *end = out + strlen(out);
        if (rv == 0) {
            (void)sprintf(end, "%u:%.*s;", (unsigned)lines->number, RH_BYTES_ARG(line));
        } else if (rv == RH_ERR_TOO_LARGE) {
            (void)sprintf(end, "%u:long;", (unsigned)lines->number);
        } else {
            return rv;
        }
    }
}

static void lines_come_out_however_the_input_is_split(void **state RH_UNUSED)
{
    static const char input[] = "one\n\n123456789\n12345678\ntoo long by far\nx";
    static const char expected[] = "1:one;2:;3:long;4:12345678;5:long;6:x;";
    size_t size = strlen(input);
    for (size_t first = 1; first < size; first++) {
        for (size_t second = first; second < size; second++) {
            struct rh_lines lines;
            char out[128] = "";
            rh_lines_init(&lines, 8);
            feed(&lines, rh_bytes(input, first));
            assert_int_equal(drain(&lines, out), RH_ERR_AGAIN);
            if (second > first) {
                feed(&lines, rh_bytes(input + first, second - first));
                assert_int_equal(drain(&lines, out), RH_ERR_AGAIN);
            }
            feed(&lines, rh_bytes(input + second, size - second));
            assert_int_equal(drain(&lines, out), RH_ERR_AGAIN);
            feed(&lines, rh_bytes(NULL, 0));
            assert_int_equal(drain(&lines, out), RH_ERR_CLOSED);
            assert_string_equal(out, expected);
            rh_lines_finish(&lines);
        }
    }
}

static void an_endless_line_takes_no_memory(void **state RH_UNUSED)
{
    struct rh_lines lines;
    char out[64] = "";
    rh_lines_init(&lines, 8);
    for (int i = 0; i < 10000; i++) {
        feed(&lines, rh_bytes_text("abcdefghij"));
        assert_int_equal(drain(&lines, out), RH_ERR_AGAIN);
        assert_true(lines.input.capacity < 4096);
    }
    feed(&lines, rh_bytes_text("\nk\n"));
    assert_int_equal(drain(&lines, out), RH_ERR_AGAIN);
    assert_string_equal(out, "1:long;2:k;");
    rh_lines_finish(&lines);
}

static void lines_say_what_to_publish(void **state RH_UNUSED)
{
    static const char text[] = "text/plain; charset=utf-8";
    static const struct {
        enum rh_line_format format;
        const char *line;
        const char *key;
        const char *id;
        const char *payload;
        const char *content_type;
    } rows[] = {
        {RH_LINE_TAB, "k\tpay\tload", "k", "", "pay\tload", text},
        {RH_LINE_TAB, "k\t", "k", "", "", text},
        {RH_LINE_DATA, "a\tb", "one", "", "a\tb", text},
        {RH_LINE_DATA, "", "one", "", "", text},
        {RH_LINE_JSON, "{\"key\":\"k\\u0031\",\"id\":\"i\",\"data\":\"a\\nb\"}", "k1", "i", "a\nb",
         text},
        {RH_LINE_JSON, " {\"json\": [1, 2] ,\"key\":\"k\", \"other\":1}\r", "k", "", "[1, 2]",
         "application/json"},
        {RH_LINE_JSON, "{\"key\":\"k\",\"base64\":\"aGk=\"}", "k", "", "hi",
         "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_line_rules rules = {.format = rows[i].format,
                                            .key = rh_bytes_text("one"),
                                            .content_type = text,
                                            .message_bytes = 100};
        struct rh_line_message message;
        struct rh_reason reason;
        assert_int_equal(
            rh_line_parse(&rules, rh_bytes_text(rows[i].line), &scratch, &message, &reason), 0);
        assert_true(rh_bytes_equal_text(message.key, rows[i].key));
        assert_true(rh_bytes_equal_text(message.id, rows[i].id));
        assert_true(rh_bytes_equal_text(message.payload, rows[i].payload));
        assert_string_equal(message.content_type, rows[i].content_type);
    }
}

static void what_is_wrong_with_a_line_is_said(void **state RH_UNUSED)
{
    static const struct {
        enum rh_line_format format;
        int rv;
        const char *line;
        const char *reason;
    } rows[] = {
        {RH_LINE_TAB, RH_ERR_INVALID, "no tab", "no TAB"},
        {RH_LINE_TAB, RH_ERR_INVALID, "\tx", "a key is 1 to 512 bytes"},
        {RH_LINE_TAB, RH_ERR_INVALID, "k\x01\tx", "a key is 1 to 512 bytes"},
        {RH_LINE_TAB, RH_ERR_INVALID, "k\t12345678901", "larger than 10 bytes"},
        {RH_LINE_TAB, RH_ERR_NOT_FOUND, "", ""},
        {RH_LINE_JSON, RH_ERR_NOT_FOUND, "", ""},
        {RH_LINE_JSON, RH_ERR_INVALID, "x", "byte"},
        {RH_LINE_JSON, RH_ERR_INVALID, "[]", "a message is a JSON object"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"data\":\"x\"}", "a line has a key"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":1,\"data\":\"x\"}", "a line has a key"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"k\",\"key\":\"k\",\"data\":\"x\"}",
         "key occurs twice"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"\",\"data\":\"x\"}", "a key is 1 to 512 bytes"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"k\"}", "exactly one of"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"k\",\"data\":\"x\",\"json\":1}",
         "exactly one of"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"k\",\"data\":\"12345678901\"}",
         "larger than 10 bytes"},
        {RH_LINE_JSON, RH_ERR_INVALID, "{\"key\":\"k\",\"id\":\"\",\"data\":\"x\"}", "id must be"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_line_rules rules = {
            .format = rows[i].format, .content_type = "text/plain", .message_bytes = 10};
        struct rh_line_message message;
        struct rh_reason reason = {""};
        assert_int_equal(
            rh_line_parse(&rules, rh_bytes_text(rows[i].line), &scratch, &message, &reason),
            rows[i].rv);
        if (strstr(reason.text, rows[i].reason) == NULL) {
            fail_msg("row %zu: %s", i, reason.text);
        }
    }
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    const struct rh_line_rules rules = {.format = RH_LINE_JSON, .message_bytes = 100};
    for (unsigned nth = 1;; nth++) {
        struct rh_buffer fresh = {0};
        struct rh_line_message message;
        struct rh_reason reason;
        rh_test_allocation_fail(nth);
        int rv = rh_line_parse(&rules, rh_bytes_text("{\"key\":\"\\u0061\",\"base64\":\"aGk=\"}"),
                               &fresh, &message, &reason);
        bool failed = rh_test_allocation_failed();
        rh_buffer_finish(&fresh);
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        if (!failed) {
            break;
        }
    }
}

static int free_scratch(void **state RH_UNUSED)
{
    rh_buffer_finish(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(lines_come_out_however_the_input_is_split),
        RH_TEST(an_endless_line_takes_no_memory),
        RH_TEST(lines_say_what_to_publish),
        RH_TEST(what_is_wrong_with_a_line_is_said),
        RH_TEST(memory_may_run_out_at_any_point),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, free_scratch);
}
