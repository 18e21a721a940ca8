/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follower.h"
#include "cli/random.h"
#include "cli/url.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INCARNATION "c0ffee0123456789"

static struct rh_buffer scratch;
static struct rh_follower_item item; /* of the last take */

static enum rh_follower_event take(struct rh_follower *follower, const char *text)
{
    enum rh_follower_event event;
    assert_int_equal(rh_follower_take(follower, rh_bytes_text(text), &scratch, &event, &item), 0);
    return event;
}

static enum rh_follower_event take_welcome(struct rh_follower *follower, const char *incarnation,
                                           unsigned seq, bool recovered)
{
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"welcome\",\"channel\":\"k\",\"node\":\"n1\",\"epoch\":5,"
                   "\"incarnation\":\"%s\",\"seq\":%u,\"recovered\":%s}",
                   incarnation, seq, recovered ? "true" : "false");
    return take(follower, text);
}

static enum rh_follower_event take_message(struct rh_follower *follower, unsigned seq)
{
    char text[128];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"message\",\"seq\":%u,\"time\":1764000000123,\"data\":\"m%u\"}", seq,
                   seq);
    return take(follower, text);
}

static void check_position(const struct rh_follower *follower, const char *expected)
{
    char text[RH_POSITION_TEXT_SIZE];
    assert_true(follower->has_position);
    rh_position_format(follower->position, text);
    assert_string_equal(text, expected);
}

static void messages_are_shown_and_move_the_position(void **state RH_UNUSED)
{
    struct rh_follower follower;
    rh_follower_init(&follower, NULL);
    rh_follower_connect(&follower);
    assert_false(follower.has_position);
    assert_int_equal(take_welcome(&follower, INCARNATION, 9, true), RH_FOLLOWER_WELCOME);
    assert_true(rh_bytes_equal_text(item.node, "n1"));
    assert_true(item.recovered);
    assert_int_equal(item.start.seq, 9);
    check_position(&follower, INCARNATION ":9");
    assert_int_equal(take_message(&follower, 10), RH_FOLLOWER_MESSAGE);
    assert_int_equal(item.seq, 10);
    assert_true(rh_bytes_equal_text(item.payload, "m10"));
    check_position(&follower, INCARNATION ":10");
}

static void payloads_of_all_kinds_are_found(void **state RH_UNUSED)
{
    static const struct {
        const char *member;
        int kind;
        const char *payload;
    } rows[] = {
        {"\"data\":\"a\\n\\u00e9\"", RH_FOLLOWER_DATA, "a\n\xc3\xa9"},
        {"\"data\":\"\"", RH_FOLLOWER_DATA, ""},
        {"\"json\": {\"a\" : [1,\n2]} ", RH_FOLLOWER_JSON, "{\"a\" : [1,\n2]}"},
        {"\"json\":null", RH_FOLLOWER_JSON, "null"},
        {"\"base64\":\"AAE=\"", RH_FOLLOWER_BASE64, "AAE="},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128];
        struct rh_follower follower;
        rh_follower_init(&follower, NULL);
        rh_follower_connect(&follower);
        assert_int_equal(take_welcome(&follower, INCARNATION, 0, true), RH_FOLLOWER_WELCOME);
        (void)snprintf(text, sizeof(text), "{\"seq\":1,%s,\"type\":\"message\",\"new\":[]}",
                       rows[i].member);
        assert_int_equal(take(&follower, text), RH_FOLLOWER_MESSAGE);
        assert_int_equal(item.payload_kind, rows[i].kind);
        assert_true(rh_bytes_equal_text(item.payload, rows[i].payload));
    }
}

static void what_was_seen_before_is_not_shown_again(void **state RH_UNUSED)
{
    struct rh_follower follower;
    const struct rh_position after = {.incarnation = UINT64_C(0xc0ffee0123456789), .seq = 12};
    rh_follower_init(&follower, &after);
    rh_follower_connect(&follower);
    assert_int_equal(take_welcome(&follower, INCARNATION, 10, true), RH_FOLLOWER_WELCOME);
    assert_int_equal(take_message(&follower, 11), RH_FOLLOWER_NOTHING);
    assert_int_equal(take_message(&follower, 12), RH_FOLLOWER_NOTHING);
    check_position(&follower, INCARNATION ":12");
    assert_int_equal(take_message(&follower, 13), RH_FOLLOWER_MESSAGE);
}

static void what_comes_out_of_order_is_named(void **state RH_UNUSED)
{
    static const unsigned wrong[] = {12, 10, 9};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rh_follower follower;
        rh_follower_init(&follower, NULL);
        rh_follower_connect(&follower);
        assert_int_equal(take_welcome(&follower, INCARNATION, 10, true), RH_FOLLOWER_WELCOME);
        assert_int_equal(take_message(&follower, wrong[i]), RH_FOLLOWER_BROKEN);
        assert_int_equal(item.seq, wrong[i]);
        assert_true(item.payload.size > 0);
        assert_int_equal(take_message(&follower, 11), RH_FOLLOWER_MESSAGE);
    }
}

static void a_gap_is_told_whoever_notices_it(void **state RH_UNUSED)
{
    static const struct {
        const char *incarnation;
        unsigned seq;
        bool recovered;
        enum rh_follower_event event;
    } rows[] = {
        {INCARNATION, 12, true, RH_FOLLOWER_WELCOME},
        {INCARNATION, 20, false, RH_FOLLOWER_GAP},
        {INCARNATION, 13, true, RH_FOLLOWER_GAP},        /* the node is mistaken */
        {"1111111111111111", 0, false, RH_FOLLOWER_GAP}, /* another channel of that name */
        {"1111111111111111", 12, true, RH_FOLLOWER_GAP},
        {INCARNATION, 3, false, RH_FOLLOWER_GAP}, /* the position was never reached */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_follower follower;
        const struct rh_position after = {.incarnation = UINT64_C(0xc0ffee0123456789), .seq = 12};
        char position[64];
        rh_follower_init(&follower, &after);
        rh_follower_connect(&follower);
        assert_int_equal(
            take_welcome(&follower, rows[i].incarnation, rows[i].seq, rows[i].recovered),
            rows[i].event);
        (void)snprintf(position, sizeof(position), "%s:%u", rows[i].incarnation, rows[i].seq);
        check_position(&follower, position);
        assert_int_equal(take_message(&follower, rows[i].seq + 1), RH_FOLLOWER_MESSAGE);
    }
}

static void the_position_0_takes_whatever_the_log_holds(void **state RH_UNUSED)
{
    struct rh_follower follower;
    const struct rh_position after = {0};
    rh_follower_init(&follower, &after);
    check_position(&follower, "0");
    rh_follower_connect(&follower);
    assert_int_equal(take_welcome(&follower, INCARNATION, 7, true), RH_FOLLOWER_WELCOME);
    assert_int_equal(take_message(&follower, 8), RH_FOLLOWER_MESSAGE);
    check_position(&follower, INCARNATION ":8");
}

static void moved_before_the_welcome_is_a_redirect(void **state RH_UNUSED)
{
    struct rh_follower follower;
    rh_follower_init(&follower, NULL);
    rh_follower_connect(&follower);
    assert_int_equal(
        take(&follower, "{\"type\":\"moved\",\"node\":\"n4\",\"url\":\"ws:\\/\\/h:1\\/x\"}"),
        RH_FOLLOWER_REDIRECTED);
    assert_true(rh_bytes_equal_text(item.url, "ws://h:1/x"));
    assert_true(rh_bytes_equal_text(item.node, "n4"));
    rh_follower_connect(&follower);
    assert_int_equal(take_welcome(&follower, INCARNATION, 0, true), RH_FOLLOWER_WELCOME);
    assert_int_equal(take(&follower, "{\"type\":\"moved\",\"url\":\"ws://h:2/y\",\"seq\":9}"),
                     RH_FOLLOWER_MOVED);
    assert_true(rh_bytes_equal_text(item.url, "ws://h:2/y"));
    assert_int_equal(item.node.size, 0);
}

static void unknown_types_and_complaints_change_nothing(void **state RH_UNUSED)
{
    struct rh_follower follower;
    rh_follower_init(&follower, NULL);
    rh_follower_connect(&follower);
    assert_int_equal(take(&follower, "{\"type\":\"presence\"}"), RH_FOLLOWER_NOTHING);
    assert_int_equal(take(&follower, "{\"type\":\"pong\"}"), RH_FOLLOWER_NOTHING);
    assert_int_equal(take(&follower, "{\"type\":\"error\",\"code\":\"x\",\"message\":\"why\"}"),
                     RH_FOLLOWER_ERROR);
    assert_true(rh_bytes_equal_text(item.text, "why"));
    assert_int_equal(take(&follower, "{\"type\":\"error\"}"), RH_FOLLOWER_ERROR);
    assert_false(follower.has_position);
}

static void what_breaks_the_protocol_is_never_shown(void **state RH_UNUSED)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"type\":1}",
        "{\"type\":\"message\",\"seq\":12,\"data\":\"a\"}", /* one is missing */
        "{\"type\":\"message\",\"seq\":10,\"data\":\"a\"}", /* twice on one connection */
        "{\"type\":\"message\",\"seq\":-11,\"data\":\"a\"}",
        "{\"type\":\"message\",\"data\":\"a\"}",
        "{\"type\":\"message\",\"seq\":11}",
        "{\"type\":\"message\",\"seq\":11,\"data\":3}",
        "{\"type\":\"welcome\",\"incarnation\":\"" INCARNATION "\",\"seq\":10,\"recovered\":true}",
        "{\"type\":\"moved\",\"node\":\"n4\"}",
        "{\"type\":\"moved\",\"url\":\"\"}",
        "{\"type\":\"moved\",\"url\":\"ws:\\u0000\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rh_follower follower;
        rh_follower_init(&follower, NULL);
        rh_follower_connect(&follower);
        assert_int_equal(take_welcome(&follower, INCARNATION, 10, true), RH_FOLLOWER_WELCOME);
        assert_int_equal(take(&follower, texts[i]), RH_FOLLOWER_BROKEN);
        assert_true(item.text.size > 0);
        check_position(&follower, INCARNATION ":10");
    }
    struct rh_follower follower;
    rh_follower_init(&follower, NULL);
    rh_follower_connect(&follower);
    assert_int_equal(take_message(&follower, 1), RH_FOLLOWER_BROKEN);
    assert_int_equal(take_welcome(&follower, "xyz", 1, true), RH_FOLLOWER_BROKEN);
}

/* --- A channel that loses connections, history and itself --------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *seed >> 33;
}

/* The channel as its node has it. */
struct channel {
    unsigned incarnation;
    unsigned first; /* of the log */
    unsigned last;
};

/* What was shown, and whether a gap was told since the last message. */
struct shown {
    unsigned incarnation;
    unsigned seq;
    bool any;
    bool gap;
};

static void check_shown(struct shown *shown, unsigned incarnation, unsigned seq)
{
    if (shown->any && !shown->gap) {
        assert_int_equal(incarnation, shown->incarnation);
        assert_int_equal(seq, shown->seq + 1);
    }
    if (shown->any && incarnation == shown->incarnation) {
        assert_true(seq > shown->seq);
    }
    *shown = (struct shown){.incarnation = incarnation, .seq = seq, .any = true};
}

/* One connection: the node replays what is wanted, from a little earlier now and then, and breaks
 * off somewhere. */
static void connect_once(struct rh_follower *follower, const struct channel *channel,
                         struct shown *shown, uint64_t *seed)
{
    char incarnation[17];
    unsigned start = channel->last;
    bool recovered = true;
    rh_follower_connect(follower);
    if (follower->has_position) {
        unsigned wanted = (unsigned)follower->position.seq;
        recovered = follower->position.incarnation == channel->incarnation &&
                    wanted + 1 >= channel->first && wanted <= channel->last;
        start = recovered ? wanted : channel->first - 1;
        if (recovered && start >= channel->first && next_random(seed) % 4 == 0) {
            start--;
        }
    }
    (void)snprintf(incarnation, sizeof(incarnation), "%016x", channel->incarnation);
    enum rh_follower_event event = take_welcome(follower, incarnation, start, recovered);
    assert_int_equal(event, recovered ? RH_FOLLOWER_WELCOME : RH_FOLLOWER_GAP);
    shown->gap = shown->gap || !recovered;
    for (unsigned seq = start + 1; seq <= channel->last; seq++) {
        if (next_random(seed) % 8 == 0) {
            return;
        }
        event = take_message(follower, seq);
        if (event == RH_FOLLOWER_MESSAGE) {
            check_shown(shown, channel->incarnation, seq);
        } else {
            assert_int_equal(event, RH_FOLLOWER_NOTHING);
        }
    }
}

static void each_message_is_shown_once_in_order_or_a_gap_is_told(void **state RH_UNUSED)
{
    const char *wanted = getenv("RINGHOP_TEST_SEED");
    uint64_t seed = (uint64_t)getpid();
    if (wanted != NULL) {
        seed = strtoull(wanted, NULL, 0);
    }
    print_message("# RINGHOP_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (size_t round = 0; round < 200; round++) {
        struct rh_follower follower;
        struct channel channel = {.incarnation = 1, .first = 1};
        struct shown shown = {0};
        rh_follower_init(&follower, NULL);
        for (size_t step = 0; step < 60; step++) {
            channel.last += (unsigned)next_random(&seed) % 6;
            if (next_random(&seed) % 8 == 0 && channel.last > 0) {
                channel.first = channel.last; /* trimmed to one */
            }
            if (next_random(&seed) % 30 == 0) {
                channel = (struct channel){.incarnation = channel.incarnation + 1, .first = 1};
            }
            connect_once(&follower, &channel, &shown, &seed);
        }
    }
}

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rh_follower follower;
    rh_follower_init(&follower, NULL);
    rh_follower_connect(&follower);
    assert_int_equal(take_welcome(&follower, INCARNATION, 0, true), RH_FOLLOWER_WELCOME);
    rh_buffer_finish(&scratch);
    enum rh_follower_event event;
    struct rh_bytes text =
        rh_bytes_text("{\"type\":\"message\",\"seq\":1,\"data\":\"\\n\"}"); /* needs scratch */
    rh_test_allocation_fail(1);
    assert_int_equal(rh_follower_take(&follower, text, &scratch, &event, &item), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    check_position(&follower, INCARNATION ":0");
    assert_int_equal(take(&follower, "{\"type\":\"message\",\"seq\":1,\"data\":\"\\n\"}"),
                     RH_FOLLOWER_MESSAGE);
}

/* --- URLs and pauses ----------------------------------------------------------------------------- */

static void keys_are_escaped_into_one_segment(void **state RH_UNUSED)
{
    char out[64];
    assert_int_equal(rh_url_channel_path(rh_bytes_text("user:42"), "ws", out, sizeof(out)), 0);
    assert_string_equal(out, "/v1/channels/user%3A42/ws");
    assert_int_equal(rh_url_escape(rh_bytes_text("a/b?c%\xc3\xa9 -._~"), out, sizeof(out)), 0);
    assert_string_equal(out, "a%2Fb%3Fc%25%C3%A9%20-._~");
    assert_int_equal(rh_url_escape(rh_bytes("\0", 1), out, sizeof(out)), 0);
    assert_string_equal(out, "%00");
    assert_int_equal(rh_url_escape(rh_bytes_text("abc"), out, 3), RH_ERR_TOO_LARGE);
    assert_int_equal(rh_url_escape(rh_bytes_text("a/"), out, 4), RH_ERR_TOO_LARGE);
    assert_int_equal(rh_url_escape(rh_bytes_text("a/"), out, 5), 0);
    char longest[RH_URL_TEXT_SIZE];
    char key[512];
    memset(key, ':', sizeof(key));
    assert_int_equal(
        rh_url_channel_path(rh_bytes(key, sizeof(key)), "messages", longest, sizeof(longest)), 0);
}

static void the_position_is_set_where_it_stands_or_added(void **state RH_UNUSED)
{
    static const struct {
        const char *url;
        const char *expected;
    } rows[] = {
        {"ws://h:1/x", "ws://h:1/x?after=0"},
        {"ws://h:1/x?", "ws://h:1/x?after=0"},
        {"ws://h:1/x?hops=1", "ws://h:1/x?hops=1&after=0"},
        {"ws://h:1/x?after=c0ffee0123456789:9", "ws://h:1/x?after=0"},
        {"ws://h:1/x?after=", "ws://h:1/x?after=0"},
        {"ws://h:1/x?hops=1&after=1:2&epoch=3", "ws://h:1/x?hops=1&after=0&epoch=3"},
        {"ws://h:1/x?rafter=1&after=7", "ws://h:1/x?rafter=1&after=0"},
        {"ws://h:1/x?after", "ws://h:1/x?after&after=0"},
    };
    char out[128];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rh_url_set_query(rows[i].url, "after", "0", out, sizeof(out)), 0);
        assert_string_equal(out, rows[i].expected);
    }
    assert_int_equal(rh_url_set_query("ws://h:1/x", "after", "0", out, 18), RH_ERR_TOO_LARGE);
}

static void redirects_lead_where_they_say(void **state RH_UNUSED)
{
    static const struct {
        const char *base;
        const char *location;
        const char *expected; /* NULL: nowhere */
    } rows[] = {
        {"ws://h:1/x?y", "ws://g:2/z", "ws://g:2/z"},
        {"ws://h:1/x", "http://g:2/z?a=b", "ws://g:2/z?a=b"},
        {"ws://h:1/x", "https://g/z", "wss://g/z"},
        {"ws://h:1/x", "//g:2/z", "ws://g:2/z"},
        {"wss://h:1/x", "//g:2/z", "wss://g:2/z"},
        {"wss://h:1?q=/x", "/z", "wss://h:1/z"},
        {"http://h:1/x", "/z", "ws://h:1/z"},
        {"ws://h:1/x", "z", NULL},
        {"ws://h:1/x", "", NULL},
        {"ws://h:1/x", "ftp://g/z", NULL},
        {"ws://h:1/x", "ws://g/z\r\nX: y", NULL},
        {"ws://h:1/x", "ws://g/a b", NULL},
    };
    char out[128];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rv = rh_url_resolve(rows[i].base, rows[i].location, out, sizeof(out));
        assert_int_equal(rv, rows[i].expected == NULL ? RH_ERR_INVALID : 0);
        if (rows[i].expected != NULL) {
            assert_string_equal(out, rows[i].expected);
        }
    }
    assert_int_equal(rh_url_to_http("ws://h:1/x", out, sizeof(out)), 0);
    assert_string_equal(out, "http://h:1/x");
    assert_int_equal(rh_url_to_http("wss://h:1", out, sizeof(out)), 0);
    assert_string_equal(out, "https://h:1");
    assert_int_equal(rh_url_to_http("http://h:1", out, sizeof(out)), 0);
    assert_string_equal(out, "http://h:1");
}

static void the_host_of_a_url_has_a_port(void **state RH_UNUSED)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        const char *path;
    } rows[] = {
        {"ws://h:7101", "h:7101", ""},     {"http://h/a?b", "h:80", "/a?b"},
        {"ws://[::1]:1/", "[::1]:1", "/"}, {"ws://[::1]", "[::1]:80", ""},
        {"wss://h:7101", NULL, NULL},      {"http://", NULL, NULL},
        {"http://u@h:1", NULL, NULL},      {"h:7101", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char host[RH_URL_HOST_SIZE];
        const char *path;
        int rv = rh_url_host(rows[i].url, host, &path, NULL);
        assert_int_equal(rv, rows[i].host == NULL ? RH_ERR_INVALID : 0);
        if (rv == 0) {
            assert_string_equal(host, rows[i].host);
            assert_string_equal(path, rows[i].path);
        }
    }
}

static void pauses_grow_to_their_bound_and_never_beyond(void **state RH_UNUSED)
{
    assert_int_equal(rh_backoff_ms(0, 100, 5000, 100), 100);
    assert_int_equal(rh_backoff_ms(0, 100, 5000, 101), 0);
    assert_int_equal(rh_backoff_ms(3, 100, 5000, 800), 800);
    assert_int_equal(rh_backoff_ms(UINT32_MAX, 100, 5000, 5000), 5000);
    for (uint32_t failures = 0; failures < 64; failures++) {
        for (uint64_t random = 0; random < 20000; random += 977) {
            assert_true(rh_backoff_ms(failures, 100, 5000, random) <= 5000);
        }
    }
    assert_true(rh_random_number() != rh_random_number());
}

static int free_scratch(void **state RH_UNUSED)
{
    rh_buffer_finish(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(messages_are_shown_and_move_the_position),
        RH_TEST(payloads_of_all_kinds_are_found),
        RH_TEST(what_was_seen_before_is_not_shown_again),
        RH_TEST(what_comes_out_of_order_is_named),
        RH_TEST(a_gap_is_told_whoever_notices_it),
        RH_TEST(the_position_0_takes_whatever_the_log_holds),
        RH_TEST(moved_before_the_welcome_is_a_redirect),
        RH_TEST(unknown_types_and_complaints_change_nothing),
        RH_TEST(what_breaks_the_protocol_is_never_shown),
        RH_TEST(each_message_is_shown_once_in_order_or_a_gap_is_told),
        RH_TEST(memory_may_run_out_at_any_point),
        RH_TEST(keys_are_escaped_into_one_segment),
        RH_TEST(the_position_is_set_where_it_stands_or_added),
        RH_TEST(redirects_lead_where_they_say),
        RH_TEST(the_host_of_a_url_has_a_port),
        RH_TEST(pauses_grow_to_their_bound_and_never_beyond),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, free_scratch);
}
