/* SPDX-License-Identifier: Apache-2.0 */
#include "router/http_head.h"
#include "router/http_request.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST "Host: a.example:7101\r\n"

static const struct rh_http_limits roomy = {
    .head_bytes = 4096, .target_bytes = 2048, .fields = 16, .body_bytes = 1000};

/* What a feed came to, with the request as one line of text. */
struct outcome {
    enum rh_http_feed feed;
    enum rh_problem problem;
    size_t consumed;
    char text[4096];
};

static void describe(const struct rh_http_parser *parser, struct outcome *outcome)
{
    const struct rh_http_request *request = rh_http_parser_request(parser);
    size_t at = (size_t)snprintf(outcome->text, sizeof(outcome->text),
                                 "%d path=%.*s query=%.*s host=%.*s 1.0=%d keep=%d up=%d",
                                 (int)request->method, RH_BYTES_ARG(request->path),
                                 RH_BYTES_ARG(request->query), RH_BYTES_ARG(request->host),
                                 request->http_1_0, request->keep_alive, request->upgrade);
    for (size_t i = 0; i < request->fields_count; i++) {
        at += (size_t)snprintf(outcome->text + at, sizeof(outcome->text) - at, " [%.*s|%.*s]",
                               RH_BYTES_ARG(request->fields[i].name),
                               RH_BYTES_ARG(request->fields[i].value));
    }
    (void)snprintf(outcome->text + at, sizeof(outcome->text) - at, " body=%.*s",
                   RH_BYTES_ARG(request->body));
}

/* Feeds |text| in two pieces, or byte by byte if |split| is SIZE_MAX. Each piece is its own
 * allocation, so that a sanitizer sees a read beyond it. */
static struct outcome feed_split(const struct rh_http_limits *limits, const char *text,
                                 size_t text_size, size_t split)
{
    struct rh_http_parser *parser = NULL;
    struct outcome outcome = {.feed = RH_HTTP_FEED_MORE};
    assert_int_equal(rh_http_parser_create(limits, &parser), 0);
    size_t at = 0;
    while (at < text_size && outcome.feed == RH_HTTP_FEED_MORE) {
        size_t size = split == SIZE_MAX ? 1 : at < split ? split - at : text_size - at;
        char *piece = malloc(size);
        memcpy(piece, text + at, size);
        size_t consumed = 0;
        outcome.feed = rh_http_parser_feed(parser, rh_bytes(piece, size), &consumed);
        assert_true(consumed <= size);
        assert_true(outcome.feed != RH_HTTP_FEED_MORE || consumed == size);
        at += consumed;
        free(piece);
    }
    outcome.consumed = at;
    if (outcome.feed == RH_HTTP_FEED_COMPLETE) {
        describe(parser, &outcome);
    } else if (outcome.feed == RH_HTTP_FEED_BAD) {
        outcome.problem = rh_http_parser_problem(parser);
        assert_non_null(rh_http_parser_problem_detail(parser));
    }
    rh_http_parser_destroy(parser);
    return outcome;
}

/* Feeds in every way and requires the same outcome each time. */
static struct outcome feed(const struct rh_http_limits *limits, const char *text, size_t text_size)
{
    struct outcome whole = feed_split(limits, text, text_size, text_size);
    for (size_t split = 0; split <= text_size; split++) {
        struct outcome outcome =
            feed_split(limits, text, text_size, split == text_size ? SIZE_MAX : split);
        assert_int_equal(outcome.feed, whole.feed);
        assert_int_equal(outcome.problem, whole.problem);
        assert_string_equal(outcome.text, whole.text);
        if (whole.feed == RH_HTTP_FEED_COMPLETE) {
            assert_int_equal(outcome.consumed, whole.consumed);
        }
    }
    return whole;
}

static void expect_request(const char *text, const char *expected)
{
    struct outcome outcome = feed(&roomy, text, strlen(text));
    assert_int_equal(outcome.feed, RH_HTTP_FEED_COMPLETE);
    assert_int_equal(outcome.consumed, strlen(text));
    assert_string_equal(outcome.text, expected);
}

static void expect_problem(const char *text, enum rh_problem problem)
{
    struct outcome outcome = feed(&roomy, text, strlen(text));
    if (outcome.feed != RH_HTTP_FEED_BAD || outcome.problem != problem) {
        print_error("%s: feed %d problem %d, expected problem %d\n", text, (int)outcome.feed,
                    (int)outcome.problem, (int)problem);
    }
    assert_int_equal(outcome.feed, RH_HTTP_FEED_BAD);
    assert_int_equal(outcome.problem, problem);
}

static void a_request_reads_the_same_wherever_the_stream_is_cut(void **state RH_UNUSED)
{
    expect_request("GET /v1/where?key=user%3A42&x HTTP/1.1\r\n" HOST
                   "Accept:\r\nX-Empty: \r\nX-Pad: \t a b \t\r\nX-Obs: \xc3\xa9\r\n\r\n",
                   "0 path=/v1/where query=key=user%3A42&x host=a.example:7101 1.0=0 keep=1 up=0"
                   " [Host|a.example:7101] [Accept|] [X-Empty|] [X-Pad|a b] [X-Obs|\xc3\xa9]"
                   " body=");
    expect_request("POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
                   "2 path=/p query= host=a.example:7101 1.0=0 keep=1 up=0 [Host|a.example:7101]"
                   " [Content-Length|5] body=hello");
    expect_request("POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
                   "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
                   "2 path=/p query= host=a.example:7101 1.0=0 keep=1 up=0 [Host|a.example:7101]"
                   " [Transfer-Encoding|Chunked] body=abc0123456789");
    expect_request("\r\n\r\nGET / HTTP/1.0\r\n\r\n",
                   "0 path=/ query= host= 1.0=1 keep=0 up=0 body=");
}

static void every_method_is_told_apart(void **state RH_UNUSED)
{
    static const char *const rows[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: h\r\n\r\n", rows[i]);
        struct outcome outcome = feed(&roomy, text, strlen(text));
        assert_int_equal(outcome.feed, RH_HTTP_FEED_COMPLETE);
        assert_int_equal(outcome.text[0], '0' + (int)i);
    }
    expect_problem("get / HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_NOT_IMPLEMENTED);
    expect_problem("GETS / HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_NOT_IMPLEMENTED);
    expect_problem("QUERY / HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_NOT_IMPLEMENTED);
    expect_problem("GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_REQUEST);
    expect_problem("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", RH_PROBLEM_NOT_IMPLEMENTED);
}

static void one_request_is_taken_and_the_rest_left(void **state RH_UNUSED)
{
    static const char first[] = "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab";
    static const char second[] = "GET /2 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    static const char third[] = "GET /3 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n"
                                "Connection: keep-alive, Upgrade\r\n\r\n";
    char text[512];
    (void)snprintf(text, sizeof(text), "%s%s%s\x81\x05", first, second, third);
    struct rh_http_parser *parser = NULL;
    assert_int_equal(rh_http_parser_create(&roomy, &parser), 0);
    const size_t sizes[] = {sizeof(first) - 1, sizeof(second) - 1, sizeof(third) - 1};
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t consumed = 0;
        struct rh_bytes rest = rh_bytes(text + at, strlen(text + at));
        assert_false(rh_http_parser_started(parser));
        assert_int_equal(rh_http_parser_feed(parser, rest, &consumed), RH_HTTP_FEED_COMPLETE);
        assert_int_equal(consumed, sizes[i]);
        const struct rh_http_request *request = rh_http_parser_request(parser);
        assert_int_equal(request->path.data[1], '1' + (int)i);
        assert_int_equal(request->keep_alive, i != 1);
        assert_int_equal(request->upgrade, i == 2);
        rh_http_parser_reset(parser);
        at += consumed;
    }
    assert_string_equal(text + at, "\x81\x05");
    rh_http_parser_destroy(parser);
}

static void an_upgrade_with_a_body_ends_after_the_body(void **state RH_UNUSED)
{
    expect_request("POST / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
                   "Content-Length: 3\r\n\r\nabc",
                   "2 path=/ query= host=h 1.0=0 keep=1 up=1 [Host|h] [Upgrade|h2c]"
                   " [Connection|Upgrade] [Content-Length|3] body=abc");
    expect_request("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                   "0 path=/ query= host= 1.0=1 keep=0 up=0 [Upgrade|websocket]"
                   " [Connection|Upgrade] body=");
}

static void all_forms_of_a_target_are_split(void **state RH_UNUSED)
{
    expect_request("GET http://b.example/x?y HTTP/1.1\r\nHost: other\r\n\r\n",
                   "0 path=/x query=y host=b.example 1.0=0 keep=1 up=0 [Host|other] body=");
    expect_request("GET HTTPS://b.example:1?y HTTP/1.1\r\nHost: other\r\n\r\n",
                   "0 path=/ query=y host=b.example:1 1.0=0 keep=1 up=0 [Host|other] body=");
    expect_request("GET http://b.example HTTP/1.1\r\nHost: other\r\n\r\n",
                   "0 path=/ query= host=b.example 1.0=0 keep=1 up=0 [Host|other] body=");
    expect_request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
                   "5 path=* query= host=h 1.0=0 keep=1 up=0 [Host|h] body=");
    expect_request("GET /a?b?c=/d HTTP/1.1\r\nHost: h\r\n\r\n",
                   "0 path=/a query=b?c=/d host=h 1.0=0 keep=1 up=0 [Host|h] body=");
    expect_problem("GET * HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_REQUEST);
    expect_problem("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_REQUEST);
    expect_problem("GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_REQUEST);
    expect_problem("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_REQUEST);
    expect_problem("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_HOST);
    expect_problem("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_HOST);
}

static void a_host_is_there_once_and_is_a_host(void **state RH_UNUSED)
{
    static const char *const good[] = {
        "h", "h:80", "127.0.0.1:7101", "[::1]:7101", "[fe80::1]", "a-b.c_d", "h:"};
    static const char *const bad[] = {"",    "a,b",  "a, b", "u@h", "h/p",     "h:80x", "h:1:2",
                                      "a b", "[::1", "[]",   "h?q", "h#f",     ":80",   "[::1]x",
                                      "h%4", "h%zz", "a\\b", "<h>", "h:800000"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rh_http_host_valid(rh_bytes_text(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        assert_false(rh_http_host_valid(rh_bytes_text(bad[i])));
        (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        expect_problem(text, RH_PROBLEM_BAD_HOST);
    }
    expect_problem("GET / HTTP/1.1\r\n\r\n", RH_PROBLEM_BAD_HOST);
    expect_problem("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", RH_PROBLEM_BAD_HOST);
    expect_problem("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", RH_PROBLEM_BAD_HOST);
}

static void what_two_servers_might_read_in_two_ways_is_refused(void **state RH_UNUSED)
{
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
    static const char *const rows[] = {
        POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        POST "Content-Length: 1, 1\r\n\r\na",
        POST "Content-Length: +1\r\n\r\na",
        POST "Content-Length: -1\r\n\r\na",
        POST "Content-Length: 0x1\r\n\r\na",
        POST "Content-Length: 1 1\r\n\r\na",
        POST "Content-Length: \r\n\r\n",
        POST "Content-Length: 99999999999999999999\r\n\r\na",
        POST "Content-Length : 1\r\n\r\na",
        POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: \r\n\r\n",
        POST "Transfer-Encoding:\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding:\x0b"
             "chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n1\nA\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n1\r\nAB0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n0x1\r\nA\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n-1\r\nA\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n fffffffffffffffff\r\nA\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: y\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: y\rZ: z\r\n\r\n",
        "GET / HTTP/1.1\rHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\rGET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX Y: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\x80: y\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / http/1.1\r\nHost: h\r\n\r\n",
        "GET /\r\n\r\n",
        "\x16\x03\x01\x02",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome outcome = feed(&roomy, rows[i], strlen(rows[i]));
        if (outcome.feed != RH_HTTP_FEED_BAD) {
            print_error("accepted: %s\n", rows[i]);
        }
        assert_int_equal(outcome.feed, RH_HTTP_FEED_BAD);
        assert_int_equal(rh_problem_status(outcome.problem) / 100 == 4 ||
                             outcome.problem == RH_PROBLEM_NOT_IMPLEMENTED,
                         1);
    }
    expect_problem(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                   RH_PROBLEM_NOT_IMPLEMENTED);
    /* A NUL cannot stand in the table above. */
    static const char nul[] = "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n";
    assert_int_equal(feed(&roomy, nul, sizeof(nul) - 1).problem, RH_PROBLEM_BAD_REQUEST);
}

static void other_versions_are_refused_as_such(void **state RH_UNUSED)
{
    expect_problem("GET / HTTP/0.9\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_VERSION);
    expect_problem("GET / HTTP/2.0\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_VERSION);
    expect_problem("GET / HTTP/1.2\r\nHost: h\r\n\r\n", RH_PROBLEM_BAD_VERSION);
    expect_problem("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RH_PROBLEM_BAD_VERSION);
}

static void limits_hold_to_the_byte(void **state RH_UNUSED)
{
    static const char text[] = "POST /12345 HTTP/1.1\r\nHost: h\r\nA: b\r\n"
                               "Content-Length: 10\r\n\r\n0123456789";
    const size_t head = sizeof(text) - 1 - 10;
    const struct rh_http_limits exact = {
        .head_bytes = head, .target_bytes = 6, .fields = 3, .body_bytes = 10};
    assert_int_equal(feed(&exact, text, sizeof(text) - 1).feed, RH_HTTP_FEED_COMPLETE);
    struct rh_http_limits less = exact;
    less.head_bytes--;
    assert_int_equal(feed(&less, text, sizeof(text) - 1).problem, RH_PROBLEM_HEADERS_TOO_LARGE);
    less = exact;
    less.target_bytes--;
    assert_int_equal(feed(&less, text, sizeof(text) - 1).problem, RH_PROBLEM_TARGET_TOO_LONG);
    less = exact;
    less.fields--;
    assert_int_equal(feed(&less, text, sizeof(text) - 1).problem, RH_PROBLEM_HEADERS_TOO_LARGE);
    less = exact;
    less.body_bytes--;
    assert_int_equal(feed(&less, text, sizeof(text) - 1).problem, RH_PROBLEM_TOO_LARGE);
    less = exact;
    less.head_bytes = 21; /* all but the LF of the request line */
    assert_int_equal(feed(&less, text, sizeof(text) - 1).problem, RH_PROBLEM_TARGET_TOO_LONG);
}

static void a_chunked_body_has_the_same_limit_and_one_for_its_wrapping(void **state RH_UNUSED)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct rh_http_limits limits = roomy;
    limits.body_bytes = 10;
    limits.head_bytes = 80;
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s6\r\nabcdef\r\n4\r\nghij\r\n0\r\n\r\n", head);
    assert_int_equal(feed(&limits, text, strlen(text)).feed, RH_HTTP_FEED_COMPLETE);
    (void)snprintf(text, sizeof(text), "%s6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n", head);
    assert_int_equal(feed(&limits, text, strlen(text)).problem, RH_PROBLEM_TOO_LARGE);
    char extension[400];
    memset(extension, 'x', sizeof(extension));
    extension[sizeof(extension) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "%s1;%s\r\na\r\n0\r\n\r\n", head, extension);
    assert_int_equal(feed(&limits, text, strlen(text)).problem, RH_PROBLEM_TOO_LARGE);
    (void)snprintf(text, sizeof(text), "%s0\r\nX: %s\r\n\r\n", head, extension);
    assert_int_equal(feed(&limits, text, strlen(text)).problem, RH_PROBLEM_TOO_LARGE);
}

static void a_body_that_is_too_large_is_refused_when_it_is_announced(void **state RH_UNUSED)
{
    expect_problem("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n",
                   RH_PROBLEM_TOO_LARGE);
    expect_problem("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
                   RH_PROBLEM_TOO_LARGE);
}

static bool wants_continue_after(const char *head, const char *body)
{
    struct rh_http_parser *parser = NULL;
    size_t consumed = 0;
    assert_int_equal(rh_http_parser_create(&roomy, &parser), 0);
    (void)rh_http_parser_feed(parser, rh_bytes_text(head), &consumed);
    if (body[0] != '\0') {
        (void)rh_http_parser_feed(parser, rh_bytes_text(body), &consumed);
    }
    bool wants = rh_http_parser_take_continue(parser);
    assert_false(rh_http_parser_take_continue(parser));
    rh_http_parser_destroy(parser);
    return wants;
}

static void a_client_that_waits_for_100_is_told_once(void **state RH_UNUSED)
{
#define EXPECT " / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
    assert_true(wants_continue_after("POST" EXPECT "Content-Length: 3\r\n\r\n", ""));
    assert_true(wants_continue_after("POST" EXPECT "Transfer-Encoding: chunked\r\n\r\n", ""));
    assert_false(wants_continue_after("POST" EXPECT "Content-Length: 3\r\n\r\n", "a"));
    assert_false(wants_continue_after("POST" EXPECT "Content-Length: 3\r\n\r\na", ""));
    assert_false(wants_continue_after("GET" EXPECT "\r\n", ""));
    assert_false(wants_continue_after("POST" EXPECT "Content-Length: 3\r\n", ""));
    assert_false(wants_continue_after(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", ""));
    expect_problem("POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na",
                   RH_PROBLEM_EXPECTATION_FAILED);
}

static void keep_alive_follows_version_and_connection_header(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome outcome = feed(&roomy, rows[i].text, strlen(rows[i].text));
        assert_int_equal(outcome.feed, RH_HTTP_FEED_COMPLETE);
        assert_int_equal(strstr(outcome.text, "keep=1") != NULL, rows[i].keep_alive);
    }
}

static void progress_says_which_time_limit_applies(void **state RH_UNUSED)
{
    static const char text[] = "\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";
    const size_t head_end = sizeof(text) - 1 - 2;
    struct rh_http_parser *parser = NULL;
    assert_int_equal(rh_http_parser_create(&roomy, &parser), 0);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_int_equal(rh_http_parser_started(parser), i > 2);
        assert_int_equal(rh_http_parser_head_complete(parser), i >= head_end);
        size_t consumed = 0;
        (void)rh_http_parser_feed(parser, rh_bytes(text + i, 1), &consumed);
    }
    rh_http_parser_destroy(parser);
}

static void a_field_is_found_whatever_its_case(void **state RH_UNUSED)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nuser-AGENT: x\r\nA: 1\r\nA: 2\r\n\r\n";
    struct rh_http_parser *parser = NULL;
    size_t consumed = 0;
    assert_int_equal(rh_http_parser_create(&roomy, &parser), 0);
    assert_int_equal(rh_http_parser_feed(parser, rh_bytes_text(text), &consumed),
                     RH_HTTP_FEED_COMPLETE);
    const struct rh_http_request *request = rh_http_parser_request(parser);
    assert_true(rh_bytes_equal_text(rh_http_request_field(request, "User-Agent"), "x"));
    assert_true(rh_bytes_equal_text(rh_http_request_field(request, "a"), "1"));
    assert_null(rh_http_request_field(request, "cookie").data);
    rh_http_parser_destroy(parser);
}

static void running_out_of_memory_is_a_problem_of_its_own(void **state RH_UNUSED)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n";
    char body[500];
    memset(body, 'b', sizeof(body));
    for (unsigned nth = 1;; nth++) {
        struct rh_http_parser *parser = NULL;
        enum rh_http_feed feed = RH_HTTP_FEED_BAD;
        size_t consumed = 0;
        rh_test_allocation_fail(nth);
        int rv = rh_http_parser_create(&roomy, &parser);
        if (rv == 0) {
            feed = rh_http_parser_feed(parser, rh_bytes_text(text), &consumed);
        }
        if (feed == RH_HTTP_FEED_MORE) {
            feed = rh_http_parser_feed(parser, rh_bytes(body, sizeof(body)), &consumed);
        }
        bool failed = rh_test_allocation_failed();
        if (!failed) {
            assert_int_equal(feed, RH_HTTP_FEED_COMPLETE);
            rh_http_parser_destroy(parser);
            assert_true(nth > 4);
            return;
        }
        if (rv == 0) {
            assert_int_equal(feed, RH_HTTP_FEED_BAD);
            assert_int_equal(rh_http_parser_problem(parser), RH_PROBLEM_NO_MEMORY);
        } else {
            assert_int_equal(rv, RH_ERR_NO_MEMORY);
        }
        rh_http_parser_destroy(parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_request_reads_the_same_wherever_the_stream_is_cut),
        RH_TEST(every_method_is_told_apart),
        RH_TEST(one_request_is_taken_and_the_rest_left),
        RH_TEST(an_upgrade_with_a_body_ends_after_the_body),
        RH_TEST(all_forms_of_a_target_are_split),
        RH_TEST(a_host_is_there_once_and_is_a_host),
        RH_TEST(what_two_servers_might_read_in_two_ways_is_refused),
        RH_TEST(other_versions_are_refused_as_such),
        RH_TEST(limits_hold_to_the_byte),
        RH_TEST(a_chunked_body_has_the_same_limit_and_one_for_its_wrapping),
        RH_TEST(a_body_that_is_too_large_is_refused_when_it_is_announced),
        RH_TEST(a_client_that_waits_for_100_is_told_once),
        RH_TEST(keep_alive_follows_version_and_connection_header),
        RH_TEST(progress_says_which_time_limit_applies),
        RH_TEST(a_field_is_found_whatever_its_case),
        RH_TEST(running_out_of_memory_is_a_problem_of_its_own),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
