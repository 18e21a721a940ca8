/* SPDX-License-Identifier: Apache-2.0 */
#include "router/json_scan.h"
#include "router/json_write.h"

#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 100

static int check(struct rh_bytes text)
{
    struct rh_json_value value;
    return rh_json_check(text, DEPTH_MAX, &value, NULL);
}

/* Literals with their size, so that they may contain a NUL. */
#define TEXT(literal)                                  \
    {                                                  \
        .data = (literal), .size = sizeof(literal) - 1 \
    }

/* After the names and ideas of JSONTestSuite (Nicolas Seriot): y must, n must not be accepted. */
static const struct rh_bytes good_texts[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT("0"),
    TEXT("-0"),
    TEXT("-1"),
    TEXT("10"),
    TEXT("123.456e78"),
    TEXT("0e+1"),
    TEXT("0e1"),
    TEXT("1E22"),
    TEXT("1E-2"),
    TEXT("-0.000000000000000000000000000000000000000000000000000000000000000001"),
    TEXT("123456789012345678901234567890"),
    TEXT("1e999999"),
    TEXT("\"\""),
    TEXT("\" \""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0060\\u012a\\u12AB\""),
    TEXT("\"\\uD801\\udc37\""),
    TEXT("\"\\ud83d\\ude39\\ud83d\\udc8d\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\uFFFF \\uDBFF\\uDFFE\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xe2\x80\xa8 \xe2\x80\xa9 \xef\xbf\xbf \xf4\x8f\xbf\xbf\""),
    TEXT("\"a/*b*/c\""),
    TEXT("[]"),
    TEXT("[[]   ]"),
    TEXT("[1,null,\"a\",{}]"),
    TEXT("{}"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":\"b\",\"a\":\"b\"}"),
    TEXT("{\"a\" : [ ] , \"b\"\t:\n{\r} }"),
    TEXT("{\"foo\\u0000bar\": 42}"),
    TEXT(" \t\r\n[] \n"),
    TEXT("{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\"}"),
};

static const struct rh_bytes bad_texts[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("True"),
    TEXT("tru\0"),
    TEXT("NaN"),
    TEXT("-Infinity"),
    TEXT("-"),
    TEXT("--1"),
    TEXT("+1"),
    TEXT("01"),
    TEXT("-01"),
    TEXT("1."),
    TEXT(".5"),
    TEXT("1.e1"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("1ee2"),
    TEXT("1e1.5"),
    TEXT("0x1"),
    TEXT("1 2"),
    TEXT("1a"),
    TEXT("\""),
    TEXT("\"\\\""),
    TEXT("\"\\"),
    TEXT("\"\\a\""),
    TEXT("\"\\x00\""),
    TEXT("\"\\\0\""),
    TEXT("\"\\u\""),
    TEXT("\"\\u12\""),
    TEXT("\"\\u123g\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\\ud800\""),
    TEXT("\"\\ud800x\""),
    TEXT("\"\\ud800\\n\""),
    TEXT("\"\\ud800\\u0041\""),
    TEXT("\"\\ud800\\ud800\""),
    TEXT("\"\\ud800\\u\""),
    TEXT("\"\\ud800\\udc0"),
    TEXT("\"\\udc00\""),
    TEXT("\"\\udc00\\ud800\""),
    TEXT("\"a\nb\""),
    TEXT("\"\t\""),
    TEXT("\"\0\""),
    TEXT("\"\x1f\""),
    TEXT("\"\xff\""),
    TEXT("\"\xc0\xaf\""),
    TEXT("\"\xed\xa0\x80\""),
    TEXT("\"\xe2\x82\""),
    TEXT("'a'"),
    TEXT("abc"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\xe2\x80\x8b[]"),
    TEXT("\f[]"),
    TEXT("["),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[1,,2]"),
    TEXT("[1 2]"),
    TEXT("[1}"),
    TEXT("[:1]"),
    TEXT("[\"a\":1]"),
    TEXT("]"),
    TEXT("[]]"),
    TEXT("[][]"),
    TEXT("[1]x"),
    TEXT("{"),
    TEXT("}"),
    TEXT("{]"),
    TEXT("{\"a\""),
    TEXT("{\"a\":"),
    TEXT("{\"a\":1"),
    TEXT("{\"a\":1,"),
    TEXT("{\"a\":1,}"),
    TEXT("{,\"a\":1}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\",1}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1:2}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{a:1}"),
    TEXT("{1:1}"),
    TEXT("{'a':1}"),
    TEXT("{null:1}"),
    TEXT("{[]:1}"),
    TEXT("{\"a\":1}/**/"),
    TEXT("/* */ 1"),
    TEXT("{\"a\":1}#"),
    TEXT("[1]\0"),
    TEXT("<html>"),
};

static void texts_are_taken_or_refused_as_rfc_8259_says(void **state RH_UNUSED)
{
    for (size_t i = 0; i < sizeof(good_texts) / sizeof(good_texts[0]); i++) {
        if (check(good_texts[i]) != 0) {
            fail_msg("refused: %.*s", RH_BYTES_ARG(good_texts[i]));
        }
    }
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++) {
        if (check(bad_texts[i]) != RH_ERR_INVALID) {
            fail_msg("taken: %.*s", RH_BYTES_ARG(bad_texts[i]));
        }
    }
}

/* The scanner must not look behind the end: a copy of exact size lets the sanitizer see it. */
static void a_text_that_ends_anywhere_is_refused_and_not_read_past(void **state RH_UNUSED)
{
    static const char text[] =
        "{\"k\\u00e9y\":[1.5e+3,\"\\ud83d\\ude39\",{\"a\":null}],\"b\":true}";
    for (size_t size = 0; size <= strlen(text); size++) {
        char *copy = malloc(size + 1);
        memcpy(copy + 1, text, size);
        assert_int_equal(check(rh_bytes(copy + 1, size)),
                         size == strlen(text) ? 0 : RH_ERR_INVALID);
        free(copy);
    }
}

static void a_reason_names_the_place_and_the_fault(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"", "not JSON: empty"},
        {"\"\xff\"", "not JSON: not UTF-8"},
        {"{\"a\" 1}", "not JSON at byte 5: colon expected"},
        {"[1, 2", "not JSON at byte 5: comma or closing bracket expected"},
        {"[1,]", "not JSON at byte 3: value expected"},
        {"{\"a\":1,}", "not JSON at byte 7: key expected"},
        {"[1] x", "not JSON at byte 4: something follows the value"},
        {"\"\\ud800\"", "not JSON at byte 7: lone surrogate"},
        {"1.x", "not JSON at byte 2: digit expected"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_json_value value;
        struct rh_reason reason = {0};
        assert_int_equal(rh_json_check(rh_bytes_text(rows[i].text), 9, &value, &reason),
                         RH_ERR_INVALID);
        assert_string_equal(reason.text, rows[i].reason);
    }
}

static void nesting_is_bounded(void **state RH_UNUSED)
{
    static const unsigned limits[] = {0, 1, 63, 64, 65, 128, RH_JSON_DEPTH_LIMIT};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (unsigned depth = limits[i]; depth <= limits[i] + 1; depth++) {
            struct rh_buffer text = {0};
            struct rh_json_value value;
            for (unsigned level = 0; level < depth; level++) {
                assert_int_equal(rh_buffer_append_text(&text, level % 3 == 0 ? "{\"\":" : "["), 0);
            }
            assert_int_equal(rh_buffer_append_text(&text, "1"), 0);
            for (unsigned level = depth; level > 0; level--) {
                assert_int_equal(rh_buffer_append_text(&text, (level - 1) % 3 == 0 ? "}" : "]"), 0);
            }
            assert_int_equal(rh_json_check(rh_buffer_content(&text), limits[i], &value, NULL),
                             depth <= limits[i] ? 0 : RH_ERR_TOO_LARGE);
            rh_buffer_finish(&text);
        }
    }
}

/* ---- Walking ---- */

static void members_are_slices_of_the_text(void **state RH_UNUSED)
{
    static const char text[] =
        " { \"n\" : null,\"t\":true , \"f\":false,\"i\": -1.5e3 ,\"s\":\"a\\\"}]\\\\\" ,"
        "\"a\":[1,[\"]\",{\"x\":\"}\"}], 2] ,\"o\":{ \"y\" : {} }, \"\":0 } ";
    static const struct {
        const char *key;
        enum rh_json_type type;
        const char *raw;
    } rows[] = {{"n", RH_JSON_NULL, "null"},
                {"t", RH_JSON_TRUE, "true"},
                {"f", RH_JSON_FALSE, "false"},
                {"i", RH_JSON_NUMBER, "-1.5e3"},
                {"s", RH_JSON_STRING, "\"a\\\"}]\\\\\""},
                {"a", RH_JSON_ARRAY, "[1,[\"]\",{\"x\":\"}\"}], 2]"},
                {"o", RH_JSON_OBJECT, "{ \"y\" : {} }"},
                {"", RH_JSON_NUMBER, "0"}};
    struct rh_json_value value;
    struct rh_json_member member;
    assert_int_equal(rh_json_check(rh_bytes_text(text), 9, &value, NULL), 0);
    assert_int_equal(value.type, RH_JSON_OBJECT);
    assert_int_equal(value.raw.size, strlen(text) - 2);
    struct rh_json_cursor cursor = rh_json_members(value);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(rh_json_next(&cursor, &member));
        assert_true(rh_json_string_equal(member.key, rows[i].key));
        assert_int_equal(member.value.type, rows[i].type);
        assert_true(rh_bytes_equal_text(member.value.raw, rows[i].raw));
    }
    assert_false(rh_json_next(&cursor, &member));
    assert_false(rh_json_next(&cursor, &member));
    assert_int_equal(rh_json_check(rh_bytes_text("{ }"), 9, &value, NULL), 0);
    cursor = rh_json_members(value);
    assert_false(rh_json_next(&cursor, &member));
}

static struct rh_json_value checked(struct rh_bytes text)
{
    struct rh_json_value value;
    assert_int_equal(rh_json_check(text, 9, &value, NULL), 0);
    return value;
}

static void strings_are_compared_and_decoded_without_their_escapes(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        const char *decoded;
    } rows[] = {
        {"\"\"", ""},
        {"\"plain \xe2\x82\xac\"", "plain \xe2\x82\xac"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20ac\\uD83D\\uDE39\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xb9"},
        {"\"\\uFFFF\\u007f\\u0080\\u07ff\\u0800\"", "\xef\xbf\xbf\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"},
        {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf"},
        {"\"a\\u0062c\"", "abc"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_json_value value = checked(rh_bytes_text(rows[i].text));
        struct rh_buffer scratch = {0};
        struct rh_bytes decoded;
        assert_int_equal(rh_json_string_decode(value, &scratch, &decoded), 0);
        assert_true(rh_bytes_equal_text(decoded, rows[i].decoded));
        assert_true(decoded.size <= value.raw.size - 2);
        assert_true(rh_json_string_equal(value, rows[i].decoded));
        assert_false(rh_json_string_equal(value, "other"));
        char longer[64];
        (void)snprintf(longer, sizeof(longer), "%sx", rows[i].decoded);
        assert_false(rh_json_string_equal(value, longer));
        if (decoded.size > 0) {
            longer[decoded.size - 1] = '\0';
            assert_false(rh_json_string_equal(value, longer));
        }
        rh_buffer_finish(&scratch);
    }
    struct rh_buffer scratch = {0};
    struct rh_bytes first;
    struct rh_bytes second;
    assert_int_equal(
        rh_json_string_decode(checked(rh_bytes_text("\"a\\u0000b\"")), &scratch, &first), 0);
    assert_int_equal(rh_json_string_decode(checked(rh_bytes_text("\"\\n\"")), &scratch, &second),
                     0);
    assert_true(rh_bytes_equal(first, rh_bytes("a\0b", 3)));
    assert_true(rh_bytes_equal_text(second, "\n"));
    rh_buffer_finish(&scratch);
}

static void integers_are_read_when_they_are_integers(void **state RH_UNUSED)
{
    uint64_t integer = 7;
    assert_int_equal(rh_json_integer(checked(rh_bytes_text(" 60 ")), 60, &integer), 0);
    assert_true(integer == 60);
    static const char *const bad[] = {"61", "-1", "1.0", "1e1", "\"1\"", "null", "-0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rh_json_integer(checked(rh_bytes_text(bad[i])), 60, &integer),
                         RH_ERR_INVALID);
    }
    assert_true(integer == 60);
}

/* ---- Beside another reader ---- */

/* jansson's answer; |ret_judged| false where it has limits that we do not have. */
static json_t *jansson_load(struct rh_bytes text, bool *ret_judged)
{
    json_error_t error;
    json_t *tree = json_loadb(text.data == NULL ? "" : text.data, text.size,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    *ret_judged = tree != NULL || (json_error_code(&error) != json_error_numeric_overflow &&
                                   json_error_code(&error) != json_error_null_byte_in_key);
    return tree;
}

/* Walks an object as we see it and looks every member up in jansson's tree. */
static void compare_object(struct rh_json_value object, const json_t *tree)
{
    struct rh_json_cursor cursor = rh_json_members(object);
    struct rh_json_member member;
    struct rh_buffer scratch = {0};
    while (rh_json_next(&cursor, &member)) {
        struct rh_bytes key;
        bool judged;
        assert_int_equal(rh_json_string_decode(member.key, &scratch, &key), 0);
        json_t *value = jansson_load(member.value.raw, &judged);
        assert_true(value != NULL || !judged);
        char name[64] = "";
        if (key.size < sizeof(name) && memchr(key.data, '\0', key.size) == NULL) {
            memcpy(name, key.data, key.size);
            assert_non_null(json_object_get(tree, name));
        }
        if (member.value.type == RH_JSON_STRING && value != NULL) {
            struct rh_bytes decoded;
            assert_int_equal(rh_json_string_decode(member.value, &scratch, &decoded), 0);
            assert_true(rh_bytes_equal(
                decoded, rh_bytes(json_string_value(value), json_string_length(value))));
        }
        json_decref(value);
    }
    rh_buffer_finish(&scratch);
}

static bool compare(struct rh_bytes text)
{
    struct rh_json_value value;
    bool judged;
    int rv = rh_json_check(text, RH_JSON_DEPTH_LIMIT, &value, NULL);
    json_t *tree = jansson_load(text, &judged);
    if (judged && (rv == 0) != (tree != NULL)) {
        fail_msg("%s by us, %s by jansson: %.*s", rv == 0 ? "taken" : "refused",
                 tree != NULL ? "taken" : "refused", RH_BYTES_ARG(text));
    }
    if (rv == 0 && tree != NULL && value.type == RH_JSON_OBJECT) {
        compare_object(value, tree);
    }
    json_decref(tree);
    return rv == 0;
}

static void a_tree_builder_agrees_on_texts_that_are_nearly_right(void **state RH_UNUSED)
{
    static const char *const texts[] = {
        "{\"type\":\"publish\",\"id\":\"a-1\",\"data\":\"hi \\u20ac "
        "\\ud83d\\ude39\",\"x\":[1,-2.5e3]}",
        "{\"type\":\"publish\",\"json\":{\"a\":[true,false,null,{\"b\":\"\\\"\\\\\\/"
        "\"}]},\"y\":0.1}",
        "[1,2,{\"a\":\"b\"},[[],{}],\"\xe2\x82\xac\",-0,1E+2]",
        "\"\\b\\f\\n\\r\\t\xf0\x9f\x98\xb9\"",
    };
    static const char bits[] = "{}[]:,\"\\/ntrfabu0123456789eE+-. \n\t\x01\x7f\x80\xc3\xed\xa0\xff";
    uint64_t seed = rh_test_seed(4711);
    unsigned taken = 0;
    for (unsigned round = 0; round < 100000; round++) {
        char text[128];
        const char *origin = texts[rh_test_below(&seed, sizeof(texts) / sizeof(texts[0]))];
        size_t size = strlen(origin);
        memcpy(text, origin, size);
        for (size_t changes = 1 + rh_test_below(&seed, 3); changes > 0 && size > 1; changes--) {
            size_t at = rh_test_below(&seed, size);
            switch (rh_test_below(&seed, 4)) {
            case 0:
                text[at] = bits[rh_test_below(&seed, sizeof(bits) - 1)];
                break;
            case 1:
                memmove(text + at, text + at + 1, size - at - 1);
                size--;
                break;
            case 2:
                memmove(text + at + 1, text + at, size - at);
                text[at] = bits[rh_test_below(&seed, sizeof(bits) - 1)];
                size++;
                break;
            default:
                text[at] = text[rh_test_below(&seed, size)];
                break;
            }
        }
        taken += compare(rh_bytes(text, size));
    }
    print_message("# %u of 100000 were taken\n", taken);
    assert_true(taken > 5000 && taken < 95000);
    for (size_t i = 0; i < sizeof(good_texts) / sizeof(good_texts[0]); i++) {
        (void)compare(good_texts[i]);
    }
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++) {
        (void)compare(bad_texts[i]);
    }
}

/* ---- Writing ---- */

static void a_string_is_read_back_as_it_was_written(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(4711);
    for (unsigned round = 0; round < 2000; round++) {
        char text[100];
        size_t size = 0;
        for (size_t pieces = rh_test_below(&seed, 20); pieces > 0; pieces--) {
            static const char *const bits[] = {"a", "\xe2\x82\xac", "\xf0\x9f\x98\xb9", "\"", "\\"};
            size_t pick = rh_test_below(&seed, 8);
            if (pick < 5) {
                memcpy(text + size, bits[pick], strlen(bits[pick]));
                size += strlen(bits[pick]);
            } else {
                text[size++] = (char)rh_test_below(&seed, 0x80);
            }
        }
        struct rh_buffer written = {0};
        struct rh_buffer scratch = {0};
        struct rh_bytes read;
        assert_int_equal(rh_json_append_string(&written, rh_bytes(text, size)), 0);
        struct rh_json_value value = checked(rh_buffer_content(&written));
        assert_int_equal(value.type, RH_JSON_STRING);
        assert_int_equal(value.raw.size, rh_json_string_size(rh_bytes(text, size)));
        assert_int_equal(rh_json_string_decode(value, &scratch, &read), 0);
        assert_true(rh_bytes_equal(read, rh_bytes(text, size)));
        rh_buffer_finish(&written);
        rh_buffer_finish(&scratch);
    }
    struct rh_buffer written = {0};
    assert_int_equal(
        rh_json_append_string(&written, rh_bytes("\"\\/\b\f\n\r\t\x1f\x7f\xc3\xa9\0", 13)), 0);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&written),
                                    "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f\xc3\xa9\\u0000\""));
    rh_buffer_finish(&written);
}

static void want_of_memory_is_reported(void **state RH_UNUSED)
{
    struct rh_buffer buffer = {0};
    struct rh_bytes decoded = rh_bytes_text("untouched");
    struct rh_json_value value = checked(rh_bytes_text("\"\\n\""));
    rh_test_allocation_fail(1);
    assert_int_equal(rh_json_append_string(&buffer, rh_bytes_text("a")), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    rh_test_allocation_fail(1);
    assert_int_equal(rh_json_string_decode(value, &buffer, &decoded), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_true(rh_bytes_equal_text(decoded, "untouched"));
    assert_int_equal(rh_buffer_size(&buffer), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(texts_are_taken_or_refused_as_rfc_8259_says),
        RH_TEST(a_text_that_ends_anywhere_is_refused_and_not_read_past),
        RH_TEST(a_reason_names_the_place_and_the_fault),
        RH_TEST(nesting_is_bounded),
        RH_TEST(members_are_slices_of_the_text),
        RH_TEST(strings_are_compared_and_decoded_without_their_escapes),
        RH_TEST(integers_are_read_when_they_are_integers),
        RH_TEST(a_tree_builder_agrees_on_texts_that_are_nearly_right),
        RH_TEST(a_string_is_read_back_as_it_was_written),
        RH_TEST(want_of_memory_is_reported),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
