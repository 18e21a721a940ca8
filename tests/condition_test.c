/* SPDX-License-Identifier: Apache-2.0 */
#include "router/condition.h"

#include "tests/test.h"

#include <string.h>

static void a_condition_is_a_star_or_one_tag(void **state RH_UNUSED)
{
    static const struct {
        const char *field;
        enum rh_condition_kind kind;
        uint64_t version;
    } rows[] = {
        {"*", RH_CONDITION_ANY, 0},
        {" * ", RH_CONDITION_ANY, 0},
        {"\"7\"", RH_CONDITION_VERSION, 7},
        {"\t\"9223372036854775807\" ", RH_CONDITION_VERSION, INT64_MAX},
        {"\"9223372036854775808\"", RH_CONDITION_VERSION, 0},
        {"\"07\"", RH_CONDITION_VERSION, 0},
        {"\"0\"", RH_CONDITION_VERSION, 0},
        {"\"\"", RH_CONDITION_VERSION, 0},
        {"\"abc\"", RH_CONDITION_VERSION, 0},
        {"W/\"7\"", RH_CONDITION_VERSION, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_condition condition;
        assert_int_equal(rh_condition_parse(rh_bytes_text(rows[i].field), &condition), 0);
        assert_int_equal(condition.kind, rows[i].kind);
        assert_true(condition.version == rows[i].version);
    }
    struct rh_condition none;
    assert_int_equal(rh_condition_parse(rh_bytes(NULL, 0), &none), 0);
    assert_int_equal(none.kind, RH_CONDITION_NONE);
}

static void anything_else_is_no_condition(void **state RH_UNUSED)
{
    static const char *const rows[] = {
        "", "7", "\"7", "7\"", "\"7\", \"8\"", "**", "w/\"7\"", "W/7", "W/", "\"", "\"a b\"", "'7'",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_condition condition;
        struct rh_bytes field = rh_bytes(rows[i], strlen(rows[i]));
        assert_int_equal(rh_condition_parse(field, &condition), RH_ERR_INVALID);
    }
}

static void a_list_names_versions(void **state RH_UNUSED)
{
    assert_true(rh_condition_names(rh_bytes_text("*"), 7));
    assert_true(rh_condition_names(rh_bytes_text("\"7\""), 7));
    assert_true(rh_condition_names(rh_bytes_text("W/\"7\""), 7));
    assert_true(rh_condition_names(rh_bytes_text("\"a\" , \"8\",W/\"7\""), 7));
    assert_false(rh_condition_names(rh_bytes_text("\"8\", \"77\""), 7));
    assert_false(rh_condition_names(rh_bytes_text("\"8\" \"7\""), 7));
    assert_false(rh_condition_names(rh_bytes_text("7"), 7));
    assert_false(rh_condition_names(rh_bytes_text(""), 7));
    assert_false(rh_condition_names(rh_bytes(NULL, 0), 7));
}

static void a_list_names_tags_of_any_kind(void **state RH_UNUSED)
{
    struct rh_bytes tag = rh_bytes_text("c0ffee0123456789:9");
    assert_true(rh_condition_lists(rh_bytes_text("*"), tag));
    assert_true(rh_condition_lists(rh_bytes_text("W/\"c0ffee0123456789:9\""), tag));
    assert_true(rh_condition_lists(rh_bytes_text("\"x\", \"c0ffee0123456789:9\""), tag));
    assert_false(rh_condition_lists(rh_bytes_text("\"c0ffee0123456789:90\""), tag));
    assert_false(rh_condition_lists(rh_bytes_text("c0ffee0123456789:9"), tag));
    assert_false(rh_condition_lists(rh_bytes(NULL, 0), tag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_condition_is_a_star_or_one_tag),
        RH_TEST(anything_else_is_no_condition),
        RH_TEST(a_list_names_versions),
        RH_TEST(a_list_names_tags_of_any_kind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
