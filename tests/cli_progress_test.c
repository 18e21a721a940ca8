/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"
#include "tests/test.h"

#include <string.h>

static char line[RH_PROGRESS_SIZE];

static const char *format(struct rh_progress *progress, uint64_t channels, uint64_t connections)
{
    rh_progress_format(progress, channels, connections, line);
    return line;
}

static void a_line_says_what_is_left_and_of_how_much(void **state RH_UNUSED)
{
    struct rh_progress progress = {.id = "n2"};
    assert_string_equal(format(&progress, 0, 0), "n2: at work");
    assert_string_equal(format(&progress, 12, 34), "n2: 12 channels and 34 connections left");
    assert_string_equal(format(&progress, 8, 1), "n2: 8 of 12 channels and 1 connection left");
    assert_string_equal(format(&progress, 20, 0), "n2: 20 channels and 0 connections left");
    assert_string_equal(format(&progress, 1, 0), "n2: 1 of 20 channels and 0 connections left");
    assert_string_equal(format(&progress, 0, 0), "n2: 0 of 20 channels and 0 connections left");
}

static void one_is_one(void **state RH_UNUSED)
{
    struct rh_progress progress = {.id = "n2"};
    assert_string_equal(format(&progress, 1, 1), "n2: 1 channel and 1 connection left");
}

static void a_bar_fills_from_left_to_right(void **state RH_UNUSED)
{
    struct rh_progress progress = {.id = "n2", .terminal = true};
    assert_string_equal(format(&progress, 0, 0), "n2: at work");
    assert_string_equal(format(&progress, 12000, 40),
                        "n2 [..............................] 12000 channels, 40 connections left");
    assert_string_equal(
        format(&progress, 8000, 40),
        "n2 [##########....................] 8000 of 12000 channels, 40 connections left");
    assert_string_equal(
        format(&progress, 1, 0),
        "n2 [#############################.] 1 of 12000 channels, 0 connections left");
    assert_string_equal(
        format(&progress, 0, 0),
        "n2 [##############################] 0 of 12000 channels, 0 connections left");
}

static void the_largest_numbers_fit(void **state RH_UNUSED)
{
    char id[65];
    memset(id, 'n', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    for (int terminal = 0; terminal < 2; terminal++) {
        struct rh_progress progress = {.id = id, .terminal = terminal != 0};
        (void)format(&progress, UINT64_MAX, UINT64_MAX);
        (void)format(&progress, UINT64_MAX - 1, UINT64_MAX);
        assert_string_equal(line + strlen(line) - strlen(" connections left"), " connections left");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_line_says_what_is_left_and_of_how_much),
        RH_TEST(one_is_one),
        RH_TEST(a_bar_fills_from_left_to_right),
        RH_TEST(the_largest_numbers_fit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
