/* SPDX-License-Identifier: Apache-2.0 */
#include "router/redirect.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rh_route route_of(enum rh_http_method method, const char *path, const char *query)
{
    const struct rh_http_request request = {
        .method = method, .path = rh_bytes_text(path), .query = rh_bytes_text(query)};
    struct rh_route route;
    assert_int_equal(rh_route_parse(&request, &route, NULL), RH_PROBLEM_NONE);
    return route;
}

static void expect(const struct rh_redirect_request *request,
                   const struct rh_redirect_target *target, enum rh_redirect redirect,
                   const char *url)
{
    struct rh_buffer buffer = {0};
    enum rh_redirect decided = RH_REDIRECT_LIMIT;
    assert_int_equal(rh_redirect_decide(request, target, &decided, &buffer), 0);
    assert_int_equal(decided, redirect);
    char *text = rh_buffer_take_text(&buffer);
    assert_string_equal(text, url);
    free(text);
}

static const struct rh_redirect_target plain = {
    .epoch = 57, .epoch_age_ms = 100, .url = "ws://h:1"};
static const struct rh_redirect_target secure = {
    .epoch = 57, .epoch_age_ms = 100, .url = "wss://h:1"};

static void each_kind_of_client_gets_the_form_it_follows(void **state RH_UNUSED)
{
    const struct rh_route ws = route_of(RH_HTTP_GET, "/v1/channels/user%3A42/ws", "");
    struct rh_redirect_request request = {.route = &ws, .websocket = true, .has_user_agent = true};
    expect(&request, &plain, RH_REDIRECT_307, "//h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    expect(&request, &secure, RH_REDIRECT_307,
           "wss://h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    request.secure = true;
    expect(&request, &secure, RH_REDIRECT_307, "//h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    expect(&request, &plain, RH_REDIRECT_307, "ws://h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    request.secure = false;
    request.has_user_agent = false;
    expect(&request, &plain, RH_REDIRECT_307, "ws://h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    request.offers_ringhop = true;
    expect(&request, &plain, RH_REDIRECT_MOVED,
           "ws://h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");
    expect(&request, &secure, RH_REDIRECT_MOVED,
           "wss://h:1/v1/channels/user%3A42/ws?hops=1&epoch=57");

    const struct rh_route events = route_of(RH_HTTP_GET, "/v1/channels/a/events", "");
    request = (struct rh_redirect_request){.route = &events};
    expect(&request, &plain, RH_REDIRECT_307, "//h:1/v1/channels/a/events?hops=1&epoch=57");
    expect(&request, &secure, RH_REDIRECT_307, "https://h:1/v1/channels/a/events?hops=1&epoch=57");

    const struct rh_route poll = route_of(RH_HTTP_GET, "/v1/channels/a/messages", "");
    request = (struct rh_redirect_request){.route = &poll, .has_user_agent = true};
    expect(&request, &plain, RH_REDIRECT_307, "http://h:1/v1/channels/a/messages?hops=1&epoch=57");
    expect(&request, &secure, RH_REDIRECT_307,
           "https://h:1/v1/channels/a/messages?hops=1&epoch=57");
    const struct rh_route state_put = route_of(RH_HTTP_PUT, "/v1/channels/a/state", "");
    request = (struct rh_redirect_request){.route = &state_put};
    expect(&request, &plain, RH_REDIRECT_307, "http://h:1/v1/channels/a/state?hops=1&epoch=57");
    const struct rh_route channel = route_of(RH_HTTP_GET, "/v1/channels/a", "");
    request = (struct rh_redirect_request){.route = &channel};
    expect(&request, &plain, RH_REDIRECT_307, "http://h:1/v1/channels/a?hops=1&epoch=57");
}

static void what_the_client_said_goes_with_it(void **state RH_UNUSED)
{
    const struct rh_route route =
        route_of(RH_HTTP_GET, "/v1/channels/a%20b/messages",
                 "token=T%3D&x=y&ticket=K&watch=state&meta=1&client=c&wait=5&"
                 "limit=7&after=00000000000000ab:9&hops=1&epoch=50");
    struct rh_redirect_request request = {.route = &route};
    expect(&request, &plain, RH_REDIRECT_307,
           "http://h:1/v1/channels/a%20b/messages?after=00000000000000ab:9&limit=7&wait=5&client=c"
           "&meta=1&ticket=K&token=T%3D&watch=state&hops=2&epoch=57");
    request.has_position = true;
    request.position = (struct rh_position){.incarnation = 0xcd, .seq = 12};
    expect(&request, &plain, RH_REDIRECT_307,
           "http://h:1/v1/channels/a%20b/messages?after=00000000000000cd:12&limit=7&wait=5&client=c"
           "&meta=1&ticket=K&token=T%3D&watch=state&hops=2&epoch=57");
    const struct rh_route zero = route_of(RH_HTTP_GET, "/v1/channels/a/ws", "after=0");
    request =
        (struct rh_redirect_request){.route = &zero, .websocket = true, .offers_ringhop = true};
    expect(&request, &plain, RH_REDIRECT_MOVED,
           "ws://h:1/v1/channels/a/ws?after=0&hops=1&epoch=57");
}

static void the_route_that_was_asked_for_goes_with_the_client(void **state RH_UNUSED)
{
    const struct rh_route relay = route_of(RH_HTTP_GET, "/v1/channels/a/events", "route=relay");
    struct rh_redirect_request request = {.route = &relay};
    expect(&request, &plain, RH_REDIRECT_307,
           "//h:1/v1/channels/a/events?route=relay&hops=1&epoch=57");
    const struct rh_route redirect =
        route_of(RH_HTTP_GET, "/v1/channels/a/events", "route=redirect&client=c");
    request = (struct rh_redirect_request){.route = &redirect};
    expect(&request, &plain, RH_REDIRECT_307,
           "//h:1/v1/channels/a/events?route=redirect&client=c&hops=1&epoch=57");
}

static void who_asks_for_it_and_a_browser_on_its_own_is_relayed(void **state RH_UNUSED)
{
    static const struct {
        const char *path;
        const char *query;
        const char *field;  /* that the request has, or NULL */
        const char *accept; /* likewise */
        bool relays;        /* where clients are redirected by default */
        bool by_default;    /* where they are relayed by default */
    } rows[] = {
        {"ws", "", NULL, NULL, false, true},
        {"ws", "", "origin", "text/event-stream", false, true},
        {"ws", "route=relay", NULL, NULL, true, true},
        {"ws", "route=redirect", NULL, NULL, false, false},
        {"messages", "route=relay", NULL, NULL, true, true},
        {"messages", "", "sec-fetch-mode", "text/event-stream", false, true},
        {"events", "", NULL, NULL, false, true},
        {"events", "", NULL, "text/event-stream", false, true},
        {"events", "", "origin", NULL, false, true},
        {"events", "", "origin", "*/*", false, true},
        {"events", "", "origin", "text/event-stream", true, true},
        {"events", "", "sec-fetch-mode", "text/event-stream", true, true},
        {"events", "client=mine", "origin", "text/event-stream", true, true},
        {"events", "route=relay", "origin", "*/*", true, true},
        {"events", "route=redirect", "origin", "text/event-stream", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/v1/channels/a/%s", rows[i].path);
        const struct rh_route route = route_of(RH_HTTP_GET, path, rows[i].query);
        struct rh_http_field fields[2];
        struct rh_http_request request = {.fields = fields};
        if (rows[i].field != NULL) {
            fields[request.fields_count++] = (struct rh_http_field){
                .name = rh_bytes_text(rows[i].field), .value = rh_bytes_text("x")};
        }
        if (rows[i].accept != NULL) {
            fields[request.fields_count++] = (struct rh_http_field){
                .name = rh_bytes_text("accept"), .value = rh_bytes_text(rows[i].accept)};
        }
        assert_int_equal(rh_redirect_relays(&route, &request, false), rows[i].relays);
        assert_int_equal(rh_redirect_relays(&route, &request, true), rows[i].by_default);
    }
}

static enum rh_redirect decide(const char *query, uint64_t epoch, uint64_t epoch_age_ms)
{
    const struct rh_route route = route_of(RH_HTTP_GET, "/v1/channels/a/ws", query);
    const struct rh_redirect_request request = {.route = &route, .websocket = true};
    const struct rh_redirect_target target = {
        .epoch = epoch, .epoch_age_ms = epoch_age_ms, .url = "ws://h:1"};
    struct rh_buffer buffer = {0};
    enum rh_redirect redirect = RH_REDIRECT_MOVED;
    assert_int_equal(rh_redirect_decide(&request, &target, &redirect, &buffer), 0);
    assert_int_equal(rh_buffer_size(&buffer) > 0, redirect == RH_REDIRECT_307);
    rh_buffer_finish(&buffer);
    return redirect;
}

static void a_chain_has_one_redirect_per_epoch_and_three_in_all(void **state RH_UNUSED)
{
    assert_int_equal(decide("", 57, 0), RH_REDIRECT_307);
    assert_int_equal(decide("hops=1&epoch=56", 57, 0), RH_REDIRECT_307);
    assert_int_equal(decide("hops=2&epoch=56", 57, 0), RH_REDIRECT_307);
    assert_int_equal(decide("hops=3&epoch=56", 57, 0), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=99&epoch=56", 57, 0), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=3", 57, 0), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=1&epoch=57", 57, 0), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=1&epoch=57", 57, 1000000), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=0&epoch=57", 57, 0), RH_REDIRECT_307);
}

static void a_bookmark_of_an_old_epoch_is_not_a_loop(void **state RH_UNUSED)
{
    assert_int_equal(decide("hops=3&epoch=56", 57, RH_REDIRECT_CHAIN_AGE_MS), RH_REDIRECT_LIMIT);
    assert_int_equal(decide("hops=3&epoch=56", 57, RH_REDIRECT_CHAIN_AGE_MS + 1), RH_REDIRECT_307);
    const struct rh_route route = route_of(RH_HTTP_GET, "/v1/channels/a/ws", "hops=3&epoch=5");
    const struct rh_redirect_request request = {
        .route = &route, .websocket = true, .has_user_agent = true};
    const struct rh_redirect_target target = {
        .epoch = 57, .epoch_age_ms = 3600000, .url = "ws://h:1"};
    expect(&request, &target, RH_REDIRECT_307, "//h:1/v1/channels/a/ws?hops=1&epoch=57");
}

static void an_epoch_ahead_of_ours_is_caught_up_with_first(void **state RH_UNUSED)
{
    assert_int_equal(decide("hops=1&epoch=58", 57, 0), RH_REDIRECT_CATCH_UP);
    assert_int_equal(decide("hops=3&epoch=58", 57, 1000000), RH_REDIRECT_CATCH_UP);
    const struct rh_route route = route_of(RH_HTTP_GET, "/v1/channels/a/ws", "epoch=58");
    assert_true(rh_redirect_is_behind(&route, 57));
    assert_false(rh_redirect_is_behind(&route, 58));
}

static void three_redirects_end_even_the_worst_chain(void **state RH_UNUSED)
{
    /* Every node is one epoch ahead of the last and sends the client on: the worst there is. */
    char query[64] = "";
    unsigned redirects = 0;
    for (uint64_t epoch = 1; redirects < 10; epoch++) {
        if (decide(query, epoch, 0) == RH_REDIRECT_LIMIT) {
            break;
        }
        redirects++;
        (void)snprintf(query, sizeof(query), "hops=%u&epoch=%u", redirects, (unsigned)epoch);
    }
    assert_int_equal(redirects, RH_REDIRECT_HOPS_MAX);
}

static void the_urls_of_where_have_no_query(void **state RH_UNUSED)
{
    static const struct {
        enum rh_url_scheme scheme;
        const char *node_url;
        const char *endpoint;
        const char *expected;
    } rows[] = {
        {RH_URL_WS, "ws://h:1", "ws", "ws://h:1/v1/channels/user%3A42/ws"},
        {RH_URL_WS, "wss://h:1", "ws", "wss://h:1/v1/channels/user%3A42/ws"},
        {RH_URL_HTTP, "ws://h:1", "events", "http://h:1/v1/channels/user%3A42/events"},
        {RH_URL_HTTP, "wss://[::1]:1", "messages",
         "https://[::1]:1/v1/channels/user%3A42/messages"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_url url = {.scheme = rows[i].scheme,
                                   .node_url = rows[i].node_url,
                                   .key = rh_bytes_text("user:42"),
                                   .endpoint = rows[i].endpoint};
        struct rh_buffer buffer = {0};
        assert_int_equal(rh_url_build(&url, &buffer), 0);
        assert_true(rh_bytes_equal_text(rh_buffer_content(&buffer), rows[i].expected));
        rh_buffer_finish(&buffer);
    }
}

static void a_node_url_of_another_form_is_refused(void **state RH_UNUSED)
{
    static const char *const rows[] = {"", "ws://", "wss://", "http://h:1", "h:1", "//h:1"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_url url = {.node_url = rows[i], .key = rh_bytes_text("a")};
        struct rh_buffer buffer = {0};
        assert_int_equal(rh_url_build(&url, &buffer), RH_ERR_INVALID);
        assert_int_equal(rh_buffer_size(&buffer), 0);
    }
}

static void running_out_of_memory_leaves_the_buffer_as_it_was(void **state RH_UNUSED)
{
    char key[400];
    memset(key, ' ', sizeof(key));
    const struct rh_url url = {.node_url = "ws://h:1",
                               .key = rh_bytes(key, sizeof(key)),
                               .endpoint = "ws",
                               .has_chain = true};
    for (unsigned nth = 1;; nth++) {
        struct rh_buffer buffer = {0};
        assert_int_equal(rh_buffer_append_text(&buffer, "x"), 0);
        rh_test_allocation_fail(nth);
        int rv = rh_url_build(&url, &buffer);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        assert_int_equal(rh_buffer_size(&buffer) == 1, failed);
        rh_buffer_finish(&buffer);
        if (!failed) {
            assert_true(nth > 1);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(each_kind_of_client_gets_the_form_it_follows),
        RH_TEST(what_the_client_said_goes_with_it),
        RH_TEST(the_route_that_was_asked_for_goes_with_the_client),
        RH_TEST(who_asks_for_it_and_a_browser_on_its_own_is_relayed),
        RH_TEST(a_chain_has_one_redirect_per_epoch_and_three_in_all),
        RH_TEST(a_bookmark_of_an_old_epoch_is_not_a_loop),
        RH_TEST(an_epoch_ahead_of_ours_is_caught_up_with_first),
        RH_TEST(three_redirects_end_even_the_worst_chain),
        RH_TEST(the_urls_of_where_have_no_query),
        RH_TEST(a_node_url_of_another_form_is_refused),
        RH_TEST(running_out_of_memory_leaves_the_buffer_as_it_was),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
