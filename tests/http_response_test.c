/* SPDX-License-Identifier: Apache-2.0 */
#include "router/http_response.h"
#include "router/problem.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static const struct rh_http_response_context plain = {.keep_alive = true};

static void expect_encoded(const struct rh_http_response *response,
                           const struct rh_http_response_context *context, const char *expected)
{
    struct rh_shared *shared = NULL;
    assert_int_equal(rh_http_response_encode(response, context, &shared), 0);
    assert_int_equal(shared->size, strlen(expected));
    assert_memory_equal(shared->data, expected, shared->size);
    rh_shared_give(shared);
}

static void a_response_says_its_length_and_may_not_be_stored(void **state RH_UNUSED)
{
    const struct rh_http_response response = {
        .status = 200, .content_type = "application/json", .body = rh_bytes_text("{}")};
    expect_encoded(&response, &plain,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                   "Cache-Control: no-store\r\n\r\n{}");
}

static void pages_of_any_origin_may_read_a_redirect(void **state RH_UNUSED)
{
    const struct rh_http_header headers[] = {{"Location", rh_bytes_text("//h:1/x")},
                                             {"Ringhop-Epoch", rh_bytes_text("57")}};
    const struct rh_http_response response = {
        .status = 307, .headers = headers, .headers_count = 2};
    const struct rh_http_response_context context = {.keep_alive = true, .cors = true};
    expect_encoded(&response, &context,
                   "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
                   "Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n"
                   "Access-Control-Expose-Headers: Location, Ringhop-Node, Ringhop-Epoch, ETag, "
                   "Retry-After\r\nLocation: //h:1/x\r\nRinghop-Epoch: 57\r\n\r\n");
}

static void the_end_of_a_connection_is_said_in_the_clients_version(void **state RH_UNUSED)
{
    const struct rh_http_response response = {.status = 200, .body = rh_bytes_text("x")};
    struct rh_http_response_context context = {.keep_alive = false};
    expect_encoded(&response, &context,
                   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n"
                   "Cache-Control: no-store\r\n\r\nx");
    context = (struct rh_http_response_context){.keep_alive = true, .http_1_0 = true};
    expect_encoded(&response, &context,
                   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n"
                   "Cache-Control: no-store\r\n\r\nx");
}

static void a_head_is_answered_with_the_length_and_no_body(void **state RH_UNUSED)
{
    const struct rh_http_response response = {.status = 200, .body = rh_bytes_text("12345")};
    const struct rh_http_response_context context = {.keep_alive = true, .head = true};
    expect_encoded(&response, &context,
                   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\n");
}

static void a_204_has_neither_body_nor_length(void **state RH_UNUSED)
{
    const struct rh_http_response response = {.status = 204};
    expect_encoded(&response, &plain, "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n");
}

static void nobody_writes_headers_of_his_own(void **state RH_UNUSED)
{
    static const struct rh_http_header rows[] = {
        {"Location", {"a\r\nSet-Cookie: x", 16}},
        {"Location", {"a\nb", 3}},
        {"X", {"a\rb", 3}},
        {"X", {"a\0b", 3}},
        {"X", {"a\x7f", 2}},
        {"", {"a", 1}},
        {"A B", {"a", 1}},
        {"A:", {"a", 1}},
        {"A\r\nB", {"a", 1}},
        {"content-length", {"5", 1}},
        {"Connection", {"x", 1}},
        {"Transfer-Encoding", {"chunked", 7}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_http_response response = {
            .status = 200, .headers = &rows[i], .headers_count = 1};
        struct rh_shared *shared = NULL;
        assert_int_equal(rh_http_response_encode(&response, &plain, &shared), RH_ERR_INVALID);
        assert_null(shared);
    }
    const struct rh_http_response response = {.status = 200, .content_type = "a\r\nb: c"};
    struct rh_shared *shared = NULL;
    assert_int_equal(rh_http_response_encode(&response, &plain, &shared), RH_ERR_INVALID);
}

static void every_problem_has_a_status_text_and_a_code_of_its_own(void **state RH_UNUSED)
{
    static const enum rh_problem problems[] = {
#define PROBLEM(name, status, code, title) name,
        RH_PROBLEM_MAP(PROBLEM)
#undef PROBLEM
    };
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        unsigned status = rh_problem_status(problems[i]);
        assert_in_range(status, 400, 599);
        assert_string_not_equal(rh_http_status_text(status), "");
        for (const char *at = rh_problem_code(problems[i]); *at != '\0'; at++) {
            assert_true((*at >= 'a' && *at <= 'z') || *at == '_');
        }
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(rh_problem_code(problems[i]), rh_problem_code(problems[j]));
        }
    }
}

static void expect_problem(enum rh_problem problem, const char *detail, const char *expected)
{
    struct rh_buffer buffer = {0};
    assert_int_equal(rh_problem_encode(problem, detail, &buffer), 0);
    char *text = rh_buffer_take_text(&buffer);
    assert_string_equal(text, expected);
    free(text);
}

static void a_problem_is_one_json_object_whatever_it_quotes(void **state RH_UNUSED)
{
    expect_problem(
        RH_PROBLEM_BAD_KEY, "say \"why\"\n\xc3\xa9",
        "{\"type\":\"about:blank\",\"title\":\"The channel key is not valid\","
        "\"status\":400,\"detail\":\"say \\\"why\\\"\\n\xc3\xa9\",\"code\":\"bad_key\"}");
    expect_problem(RH_PROBLEM_NOT_FOUND, NULL,
                   "{\"type\":\"about:blank\",\"title\":\"There is nothing at this path\","
                   "\"status\":404,\"detail\":\"There is nothing at this path\","
                   "\"code\":\"not_found\"}");
    expect_problem(RH_PROBLEM_NOT_FOUND, "cut \xc3",
                   "{\"type\":\"about:blank\",\"title\":\"There is nothing at this path\","
                   "\"status\":404,\"detail\":\"cut ?\",\"code\":\"not_found\"}");
}

static void running_out_of_memory_leaves_nothing_behind(void **state RH_UNUSED)
{
    struct rh_shared *shared = NULL;
    rh_test_allocation_fail(1);
    const struct rh_http_response response = {.status = 200, .body = rh_bytes_text("x")};
    int rv = rh_http_response_encode(&response, &plain, &shared);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(rv, RH_ERR_NO_MEMORY);
    for (unsigned nth = 1;; nth++) {
        struct rh_buffer buffer = {0};
        assert_int_equal(rh_buffer_append_text(&buffer, "before"), 0);
        rh_test_allocation_fail(nth);
        rv = rh_problem_encode(RH_PROBLEM_BAD_KEY,
                               "a detail that is long enough \xff to make the "
                               "buffer grow more than once, which it does "
                               "when it is longer than two hundred bytes and "
                               "then some more, so it is",
                               &buffer);
        bool failed = rh_test_allocation_failed();
        if (failed) {
            assert_int_equal(rv, RH_ERR_NO_MEMORY);
            assert_true(rh_bytes_equal_text(rh_buffer_content(&buffer), "before"));
        }
        rh_buffer_finish(&buffer);
        if (!failed) {
            assert_int_equal(rv, 0);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_response_says_its_length_and_may_not_be_stored),
        RH_TEST(pages_of_any_origin_may_read_a_redirect),
        RH_TEST(the_end_of_a_connection_is_said_in_the_clients_version),
        RH_TEST(a_head_is_answered_with_the_length_and_no_body),
        RH_TEST(a_204_has_neither_body_nor_length),
        RH_TEST(nobody_writes_headers_of_his_own),
        RH_TEST(every_problem_has_a_status_text_and_a_code_of_its_own),
        RH_TEST(a_problem_is_one_json_object_whatever_it_quotes),
        RH_TEST(running_out_of_memory_leaves_nothing_behind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
