/* SPDX-License-Identifier: Apache-2.0 */
#include "router/route.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rh_route parsed;
static struct rh_reason reason;

static enum rh_problem parse(enum rh_http_method method, const char *path, const char *query)
{
    const struct rh_http_request request = {
        .method = method, .path = rh_bytes_text(path), .query = rh_bytes_text(query)};
    reason.text[0] = '\0';
    return rh_route_parse(&request, &parsed, &reason);
}

static void expect_kind(enum rh_http_method method, const char *path, enum rh_route_kind kind,
                        const char *key)
{
    assert_int_equal(parse(method, path, kind == RH_ROUTE_WHERE ? "key=k" : ""), RH_PROBLEM_NONE);
    assert_int_equal(parsed.kind, kind);
    assert_true(rh_bytes_equal_text(rh_route_key(&parsed), key));
}

static void every_path_of_the_table_is_found(void **state RH_UNUSED)
{
    expect_kind(RH_HTTP_GET, "/v1/where", RH_ROUTE_WHERE, "k");
    expect_kind(RH_HTTP_HEAD, "/v1/where", RH_ROUTE_WHERE, "k");
    expect_kind(RH_HTTP_GET, "/v1/ring", RH_ROUTE_RING, "");
    expect_kind(RH_HTTP_GET, "/v1/channels/a", RH_ROUTE_CHANNEL, "a");
    expect_kind(RH_HTTP_GET, "/v1/channels/a/ws", RH_ROUTE_WEBSOCKET, "a");
    expect_kind(RH_HTTP_GET, "/v1/channels/a/events", RH_ROUTE_EVENTS, "a");
    expect_kind(RH_HTTP_GET, "/v1/channels/a/messages", RH_ROUTE_MESSAGES_GET, "a");
    expect_kind(RH_HTTP_POST, "/v1/channels/a/messages", RH_ROUTE_MESSAGES_POST, "a");
    expect_kind(RH_HTTP_GET, "/v1/channels/a/state", RH_ROUTE_STATE_GET, "a");
    expect_kind(RH_HTTP_PUT, "/v1/channels/a/state", RH_ROUTE_STATE_PUT, "a");
    expect_kind(RH_HTTP_DELETE, "/v1/channels/a/state", RH_ROUTE_STATE_DELETE, "a");
    expect_kind(RH_HTTP_OPTIONS, "/v1/channels/a/state", RH_ROUTE_PREFLIGHT, "");
    assert_string_equal(parsed.allow, "GET, HEAD, PUT, DELETE, OPTIONS");
    expect_kind(RH_HTTP_OPTIONS, "*", RH_ROUTE_PREFLIGHT, "");
    for (unsigned kind = RH_ROUTE_WHERE; kind <= RH_ROUTE_PREFLIGHT; kind++) {
        assert_non_null(rh_route_kind_name((enum rh_route_kind)kind));
    }
}

static void all_other_paths_are_not_there(void **state RH_UNUSED)
{
    static const char *const rows[] = {"/",
                                       "/v1",
                                       "/v1/",
                                       "/v1/where/",
                                       "/v1/wherever",
                                       "/v2/ring",
                                       "/v1/channels",
                                       "/v1/channels/a/",
                                       "/v1/channels/a/wsx",
                                       "/v1/channels/a/ws/",
                                       "/v1/channels/a/b/ws",
                                       "/V1/ring",
                                       "//v1/ring",
                                       "/v1/./ring"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(RH_HTTP_GET, rows[i], "key=k"), RH_PROBLEM_NOT_FOUND);
        assert_int_equal(parse(RH_HTTP_OPTIONS, rows[i], ""), RH_PROBLEM_NOT_FOUND);
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state RH_UNUSED)
{
    assert_int_equal(parse(RH_HTTP_POST, "/v1/where", ""), RH_PROBLEM_METHOD_NOT_ALLOWED);
    assert_string_equal(parsed.allow, "GET, HEAD, OPTIONS");
    assert_int_equal(parse(RH_HTTP_PUT, "/v1/channels/a/messages", ""),
                     RH_PROBLEM_METHOD_NOT_ALLOWED);
    assert_string_equal(parsed.allow, "GET, HEAD, POST, OPTIONS");
    assert_int_equal(parse(RH_HTTP_HEAD, "/v1/channels/a/ws", ""), RH_PROBLEM_METHOD_NOT_ALLOWED);
    assert_string_equal(parsed.allow, "GET, OPTIONS");
    assert_int_equal(parse(RH_HTTP_OTHER, "/v1/ring", ""), RH_PROBLEM_METHOD_NOT_ALLOWED);
}

static void a_key_is_one_segment_and_any_text(void **state RH_UNUSED)
{
    expect_kind(RH_HTTP_GET, "/v1/channels/user%3a42/ws", RH_ROUTE_WEBSOCKET, "user:42");
    expect_kind(RH_HTTP_GET, "/v1/channels/user:42/ws", RH_ROUTE_WEBSOCKET, "user:42");
    expect_kind(RH_HTTP_GET, "/v1/channels/a%2Fb/ws", RH_ROUTE_WEBSOCKET, "a/b");
    expect_kind(RH_HTTP_GET, "/v1/channels/a+b/ws", RH_ROUTE_WEBSOCKET, "a+b");
    expect_kind(RH_HTTP_GET, "/v1/channels/%2e%2E/ws", RH_ROUTE_WEBSOCKET, "..");
    expect_kind(RH_HTTP_GET, "/v1/channels/%C3%A9%20", RH_ROUTE_CHANNEL, "\xc3\xa9 ");
    assert_int_equal(parse(RH_HTTP_GET, "/v1/where", "key=a%20b+c%2Bd"), RH_PROBLEM_NONE);
    assert_true(rh_bytes_equal_text(rh_route_key(&parsed), "a b c+d"));
    static const char *const bad[] = {"",    "%",   "a%2", "a%zz",   "%00",      "%0a",
                                      "%7f", "%ff", "%c3", "%C2%80", "%ED%A0%80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/v1/channels/%s/ws", bad[i]);
        assert_int_equal(parse(RH_HTTP_GET, path, ""), RH_PROBLEM_BAD_KEY);
        (void)snprintf(path, sizeof(path), "key=%s", bad[i]);
        assert_int_equal(parse(RH_HTTP_GET, "/v1/where", path), RH_PROBLEM_BAD_KEY);
    }
    assert_int_equal(parse(RH_HTTP_GET, "/v1/where", ""), RH_PROBLEM_BAD_KEY);
    assert_int_equal(parse(RH_HTTP_GET, "/v1/where", "Key=a"), RH_PROBLEM_BAD_KEY);
}

static void a_key_of_512_bytes_is_the_longest(void **state RH_UNUSED)
{
    char path[sizeof("/v1/channels/") + 3 * 513];
    strcpy(path, "/v1/channels/");
    for (size_t i = 0; i < 512; i++) {
        strcat(path, "%41");
    }
    assert_int_equal(parse(RH_HTTP_GET, path, ""), RH_PROBLEM_NONE);
    assert_int_equal(parsed.key_size, 512);
    strcat(path, "B");
    assert_int_equal(parse(RH_HTTP_GET, path, ""), RH_PROBLEM_BAD_KEY);
}

static void the_query_has_defaults_and_values(void **state RH_UNUSED)
{
    assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/messages", ""), RH_PROBLEM_NONE);
    assert_false(parsed.has_after || parsed.has_limit || parsed.has_wait || parsed.has_epoch);
    assert_int_equal(parsed.limit, 100);
    assert_int_equal(parsed.wait_s, 0);
    assert_int_equal(parsed.hops, 0);
    assert_false(parsed.relay || parsed.redirect);
    assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/messages",
                           "after=00000000000000ab%3A7&limit=1000&wait=60&hops=2&epoch=57&&"
                           "ticket=t.%41&token=a=b&route=relay&client=lib/"
                           "1.0&meta=%7B%7D&watch=presence%2Cstate&other=1&key=x&=&x"),
                     RH_PROBLEM_NONE);
    assert_true(parsed.has_after && parsed.has_limit && parsed.has_wait && parsed.has_epoch);
    assert_true(parsed.after.incarnation == 0xab && parsed.after.seq == 7);
    assert_int_equal(parsed.limit, 1000);
    assert_int_equal(parsed.wait_s, 60);
    assert_int_equal(parsed.hops, 2);
    assert_true(parsed.epoch == 57);
    assert_true(parsed.relay && !parsed.redirect);
    assert_true(rh_bytes_equal_text(parsed.ticket, "t.%41"));
    assert_true(rh_bytes_equal_text(parsed.token, "a=b"));
    assert_true(rh_bytes_equal_text(parsed.client, "lib/1.0"));
    assert_true(rh_bytes_equal_text(parsed.meta, "%7B%7D"));
    assert_int_equal(parsed.watch, RH_ROUTE_WATCH_STATE | RH_ROUTE_WATCH_PRESENCE);
    assert_true(rh_bytes_equal_text(rh_route_key(&parsed), "a"));
    assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/ws", "route=redirect"), RH_PROBLEM_NONE);
    assert_true(parsed.redirect && !parsed.relay);
}

static void a_client_names_itself_or_is_told_what_is_wrong(void **state RH_UNUSED)
{
    static const struct {
        const char *query;
        const char *client; /* NULL: refused */
        const char *meta;   /* or the reason */
    } rows[] = {
        {"", "", ""},
        {"client=", "", ""},
        {"client=a%20b+c", "a b c", ""},
        {"client=%C3%A9&meta=+%7B%22a%22:%5B1%5D%7D+", "\xc3\xa9", "{\"a\":[1]}"},
        {"client=a&meta=null", "a", "null"},
        {"meta=1", NULL, "meta needs a client whose it is"},
        {"client=a%0A", NULL, "client must be 1 to 128 bytes of UTF-8 without control characters"},
        {"client=%ff", NULL, "client must be 1 to 128 bytes of UTF-8 without control characters"},
        {"client=a&meta=%7B", NULL,
         "meta must be JSON of at most 512 bytes, nested at most 16 deep"},
        {"client=a&meta=%ff", NULL,
         "meta must be JSON of at most 512 bytes, nested at most 16 deep"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_route_client client;
        assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/ws", rows[i].query), RH_PROBLEM_NONE);
        int rv = rh_route_client(&parsed, &client, &reason);
        assert_int_equal(rv, rows[i].client == NULL ? RH_ERR_INVALID : 0);
        if (rv != 0) {
            assert_string_equal(reason.text, rows[i].meta);
            continue;
        }
        assert_true(rh_bytes_equal_text(client.client, rows[i].client));
        assert_true(rh_bytes_equal_text(client.meta, rows[i].meta));
    }
}

static void names_and_meta_have_their_longest(void **state RH_UNUSED)
{
    char query[1024];
    struct rh_route_client client;
    for (int more = 0; more <= 1; more++) {
        (void)snprintf(query, sizeof(query), "client=%0*d", RH_CLIENT_ID_SIZE_MAX + more, 0);
        assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/ws", query), RH_PROBLEM_NONE);
        assert_int_equal(rh_route_client(&parsed, &client, &reason), more ? RH_ERR_INVALID : 0);
        (void)snprintf(query, sizeof(query), "client=a&meta=1%0*d",
                       RH_CLIENT_META_SIZE_MAX - 1 + more, 0);
        assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/ws", query), RH_PROBLEM_NONE);
        assert_int_equal(rh_route_client(&parsed, &client, &reason), more ? RH_ERR_INVALID : 0);
    }
}

static void a_bad_value_is_refused_by_name(void **state RH_UNUSED)
{
    static const struct {
        const char *query;
        enum rh_problem problem;
    } rows[] = {
        {"after=", RH_PROBLEM_BAD_POSITION},
        {"after=1", RH_PROBLEM_BAD_POSITION},
        {"after=ab:1", RH_PROBLEM_BAD_POSITION},
        {"after=%zz", RH_PROBLEM_BAD_POSITION},
        {"limit=0", RH_PROBLEM_BAD_QUERY},
        {"watch=", RH_PROBLEM_BAD_QUERY},
        {"watch=State", RH_PROBLEM_BAD_QUERY},
        {"watch=state,", RH_PROBLEM_BAD_QUERY},
        {"watch=presence,states", RH_PROBLEM_BAD_QUERY},
        {"meta=%2", RH_PROBLEM_BAD_QUERY},
        {"watch=state,state", RH_PROBLEM_BAD_QUERY},
        {"watch=state%2", RH_PROBLEM_BAD_QUERY},
        {"watch=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", RH_PROBLEM_BAD_QUERY},
        {"limit=1001", RH_PROBLEM_BAD_QUERY},
        {"limit=", RH_PROBLEM_BAD_QUERY},
        {"limit=-1", RH_PROBLEM_BAD_QUERY},
        {"limit", RH_PROBLEM_BAD_QUERY},
        {"wait=61", RH_PROBLEM_BAD_QUERY},
        {"wait=1.5", RH_PROBLEM_BAD_QUERY},
        {"hops=100", RH_PROBLEM_BAD_QUERY},
        {"epoch=x", RH_PROBLEM_BAD_QUERY},
        {"epoch=9223372036854775808", RH_PROBLEM_BAD_QUERY},
        {"route=direct", RH_PROBLEM_BAD_QUERY},
        {"route=", RH_PROBLEM_BAD_QUERY},
        {"client=a%2", RH_PROBLEM_BAD_QUERY},
        {"ticket=\"", RH_PROBLEM_BAD_QUERY},
        {"token=a|b", RH_PROBLEM_BAD_QUERY},
        {"wait=1&wait=1", RH_PROBLEM_BAD_QUERY},
        {"client=a&limit=1&client=b", RH_PROBLEM_BAD_QUERY},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(RH_HTTP_GET, "/v1/channels/a/messages", rows[i].query),
                         rows[i].problem);
        char name[16];
        size_t size = strcspn(rows[i].query, "=");
        memcpy(name, rows[i].query, size);
        name[size] = '\0';
        assert_non_null(strstr(reason.text, name));
    }
    assert_int_equal(parse(RH_HTTP_GET, "/v1/where", "key=a&key=a"), RH_PROBLEM_BAD_QUERY);
}

static void what_is_encoded_decodes_to_itself(void **state RH_UNUSED)
{
    char all[256];
    char back[256];
    size_t size = 0;
    for (unsigned i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    struct rh_buffer buffer = {0};
    assert_int_equal(rh_percent_encode(rh_bytes(all, sizeof(all)), &buffer), 0);
    struct rh_bytes text = rh_buffer_content(&buffer);
    for (size_t i = 0; i < text.size; i++) {
        assert_null(memchr("/?#&=+ \"<>\\^`{|}", text.data[i], 16));
    }
    assert_int_equal(rh_percent_decode(text, true, back, sizeof(back), &size), 0);
    assert_int_equal(size, sizeof(all));
    assert_memory_equal(back, all, sizeof(all));
    assert_int_equal(rh_percent_decode(text, true, back, sizeof(back) - 1, &size),
                     RH_ERR_TOO_LARGE);
    rh_buffer_clear(&buffer);
    assert_int_equal(rh_percent_encode(rh_bytes_text(".."), &buffer), 0);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&buffer), "%2E%2E"));
    rh_buffer_finish(&buffer);
    rh_test_allocation_fail(1);
    int rv = rh_percent_encode(rh_bytes_text("a"), &buffer);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(rv, RH_ERR_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(every_path_of_the_table_is_found),
        RH_TEST(all_other_paths_are_not_there),
        RH_TEST(a_wrong_method_is_told_the_right_ones),
        RH_TEST(a_key_is_one_segment_and_any_text),
        RH_TEST(a_key_of_512_bytes_is_the_longest),
        RH_TEST(the_query_has_defaults_and_values),
        RH_TEST(a_client_names_itself_or_is_told_what_is_wrong),
        RH_TEST(names_and_meta_have_their_longest),
        RH_TEST(a_bad_value_is_refused_by_name),
        RH_TEST(what_is_encoded_decodes_to_itself),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
