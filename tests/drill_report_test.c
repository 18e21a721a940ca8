/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/report.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE_BEFORE "<script type=\"application/json\" id=\"result\">"
#define PLACE_AFTER  "</script>"

static int with_file(void **state)
{
    static char path[sizeof("/tmp/ringhop-report-XXXXXX")];
    strcpy(path, "/tmp/ringhop-report-XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    *state = path;
    return 0;
}

static int without_file(void **state)
{
    unlink(*state);
    return 0;
}

/* What stands in the file; the caller frees it. */
static char *read_all(const char *path)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size > 0);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

/* The JSON between the tags of its element, cut out of |page|. */
static char *cut_result(char *page)
{
    char *start = strstr(page, PLACE_BEFORE);
    assert_non_null(start);
    start += strlen(PLACE_BEFORE);
    char *end = strstr(start, PLACE_AFTER);
    assert_non_null(end);
    *end = '\0';
    return start;
}

static void check_survives(const char *path, const char *text)
{
    json_t *result = json_pack("{s:s, s:[s]}", "scenario", text, text, text);
    assert_non_null(result);
    assert_int_equal(rh_drill_report_write(path, result, NULL), 0);
    char *page = read_all(path);
    char *json = cut_result(page);
    assert_null(strchr(json, '<'));
    json_error_t error;
    json_t *back = json_loads(json, 0, &error);
    assert_true(json_equal(result, back));
    json_decref(back);
    json_decref(result);
    free(page);
}

static void the_result_stands_in_the_page_as_it_was(void **state)
{
    check_survives(*state, "scale-out");
    check_survives(*state, "\"quoted\" \\ back\nline & 'more' \xe2\x80\xa8 \xf0\x9f\x98\x80 \x7f");
}

static void no_text_ends_the_element_that_it_stands_in(void **state)
{
    static const char *const texts[] = {
        "</script><script>alert(1)</script>", "<!--<script>", "<", "<<<", "a</SCRIPT >b", "]]>-->",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        check_survives(*state, texts[i]);
    }
}

static void the_page_asks_for_no_other_file(void **state)
{
    json_t *result = json_object();
    assert_int_equal(rh_drill_report_write(*state, result, NULL), 0);
    json_decref(result);
    char *page = read_all(*state);
    assert_memory_equal(page, "<!DOCTYPE html>", 15);
    assert_non_null(strstr(page, "</html>"));
    assert_null(strstr(page, "<script src"));
    assert_null(strstr(page, "rel=\"stylesheet\""));
    assert_null(strstr(page, "https://"));
    free(page);
}

static void a_report_takes_the_place_of_a_longer_one(void **state)
{
    json_t *result = json_object();
    assert_int_equal(rh_drill_report_write(*state, result, NULL), 0);
    char *first = read_all(*state);
    json_object_set_new(result, "scenario", json_string("a longer one"));
    assert_int_equal(rh_drill_report_write(*state, result, NULL), 0);
    json_object_clear(result);
    assert_int_equal(rh_drill_report_write(*state, result, NULL), 0);
    char *again = read_all(*state);
    assert_string_equal(first, again);
    free(first);
    free(again);
    json_decref(result);
}

static void what_cannot_be_written_is_named_with_the_reason(void **state RH_UNUSED)
{
    json_t *result = json_object();
    struct rh_reason reason = {0};
    assert_int_equal(rh_drill_report_write("/no/such/folder/a.html", result, &reason), RH_ERR_IO);
    assert_string_equal(reason.text, "/no/such/folder/a.html: No such file or directory");
    assert_int_equal(rh_drill_report_write("/dev/full", result, &reason), RH_ERR_IO);
    assert_string_equal(reason.text, "/dev/full: cannot write the report: No space left on device");
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_result_stands_in_the_page_as_it_was, with_file,
                                        without_file),
        cmocka_unit_test_setup_teardown(no_text_ends_the_element_that_it_stands_in, with_file,
                                        without_file),
        cmocka_unit_test_setup_teardown(the_page_asks_for_no_other_file, with_file, without_file),
        cmocka_unit_test_setup_teardown(a_report_takes_the_place_of_a_longer_one, with_file,
                                        without_file),
        RH_TEST(what_cannot_be_written_is_named_with_the_reason),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
