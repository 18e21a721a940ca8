/* SPDX-License-Identifier: Apache-2.0 */
#include "node/zk_servers.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void lists_of_servers_are_told_from_other_texts(void **state RH_UNUSED)
{
    static const char *const good[] = {"a:1", "zk1:2181,zk2:2181,zk3:2181", "127.0.0.1:65535",
                                       "[::1]:2181,[fe80::1]:2181"};
    static const struct {
        const char *text;
        const char *entry;
    } bad[] = {
        {"", "\"\""},
        {"a", "\"a\""},
        {"a:", "\"a:\""},
        {":1", "\":1\""},
        {"a:0", "\"a:0\""},
        {"a:65536", "\"a:65536\""},
        {"a:1x", "\"a:1x\""},
        {"a:1,", "\"\""},
        {",a:1", "\"\""},
        {"a:1,,b:1", "\"\""},
        {"a:1, b:1", "\" b:1\""},
        {"a:1/root", "\"a:1/root\""},
        {"a/b:1", "\"a/b:1\""},
        {"::1:2181", "\"::1:2181\""},
        {"[]:1", "\"[]:1\""},
        {"[::1:2181", "\"[::1:2181\""},
        {"[::1]", "\"[::1]\""},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(rh_zk_servers_check(good[i], NULL), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rh_reason reason = {0};
        assert_int_equal(rh_zk_servers_check(bad[i].text, &reason), RH_ERR_INVALID);
        assert_non_null(strstr(reason.text, bad[i].entry));
    }
}

static void a_host_of_absurd_length_is_refused(void **state RH_UNUSED)
{
    char text[400];
    memset(text, 'a', sizeof(text));
    memcpy(text + 300, ":1", 3);
    assert_int_equal(rh_zk_servers_check(text, NULL), RH_ERR_INVALID);
}

/* Numeric addresses need no network. */
static void addresses_come_out_as_the_library_wants_them(void **state RH_UNUSED)
{
    char *addresses = NULL;
    assert_int_equal(
        rh_zk_servers_resolve("127.0.0.1:2181,[::1]:2182,10.0.0.1:02183", &addresses, NULL), 0);
    assert_string_equal(addresses, "127.0.0.1:2181,::1:2182,10.0.0.1:2183");
    free(addresses);
}

static void no_more_addresses_than_the_limit_come_out(void **state RH_UNUSED)
{
    char text[1024] = "";
    for (int i = 0; i < 50; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%s127.0.0.1:%d", i == 0 ? "" : ",",
                       1000 + i);
    }
    char *addresses = NULL;
    assert_int_equal(rh_zk_servers_resolve(text, &addresses, NULL), 0);
    assert_non_null(strstr(addresses, ":1031"));
    assert_null(strstr(addresses, ":1032"));
    free(addresses);
}

static void memory_that_is_short_is_told(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        char *addresses = NULL;
        rh_test_allocation_fail(nth);
        int rv = rh_zk_servers_resolve("127.0.0.1:2181,127.0.0.2:2181", &addresses, NULL);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            free(addresses);
            return;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_null(addresses);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(lists_of_servers_are_told_from_other_texts),
        RH_TEST(a_host_of_absurd_length_is_refused),
        RH_TEST(addresses_come_out_as_the_library_wants_them),
        RH_TEST(no_more_addresses_than_the_limit_come_out),
        RH_TEST(memory_that_is_short_is_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
