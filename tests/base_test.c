/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/shared.h"
#include "base/table.h"
#include "base/units.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static void every_error_has_a_text_and_a_name(void **state RH_UNUSED)
{
#define CHECK(name, value, text)                    \
    assert_string_equal(rh_error_text(name), text); \
    assert_string_equal(rh_error_name(name), #name);
    RH_ERROR_MAP(CHECK)
#undef CHECK
    assert_string_equal(rh_error_text(0), "success");
    assert_string_equal(rh_error_text(-9999), "unknown error");
}

static void a_reason_that_is_too_long_is_cut_with_dots(void **state RH_UNUSED)
{
    struct rh_reason reason;
    char text[2 * RH_REASON_SIZE];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(rh_fail(&reason, RH_ERR_INVALID, "%s", text), RH_ERR_INVALID);
    assert_int_equal(strlen(reason.text), RH_REASON_SIZE - 1);
    assert_string_equal(reason.text + RH_REASON_SIZE - 4, "...");
    assert_int_equal(rh_fail(NULL, RH_ERR_IO, "nobody listens"), RH_ERR_IO);
}

/* The answer for a text that comes in two pieces, wherever it is cut: always the same. */
static bool utf8_in_pieces(const char *text)
{
    bool answer = rh_bytes_is_utf8(rh_bytes_text(text));
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct rh_utf8 utf8 = {0};
        bool first = rh_utf8_feed(&utf8, rh_bytes(text, cut));
        bool second = rh_utf8_feed(&utf8, rh_bytes_text(text + cut));
        assert_true(first || !second); /* what is broken stays broken */
        assert_int_equal(second && rh_utf8_complete(&utf8), answer);
    }
    return answer;
}

static void utf8_is_accepted_and_its_broken_forms_are_not(void **state RH_UNUSED)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3",         "\xe2\x82",         "\xf0\x9f\x98",     "a\xff",
        "\xc3("};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rh_bytes_is_utf8(rh_bytes_text(good[i])));
        assert_true(utf8_in_pieces(good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rh_bytes_is_utf8(rh_bytes_text(bad[i])));
        assert_false(utf8_in_pieces(bad[i]));
    }
}

static void numbers_are_read_up_to_their_limit_and_no_further(void **state RH_UNUSED)
{
    uint64_t value = 7;
    assert_int_equal(rh_bytes_to_u64(rh_bytes_text("18446744073709551615"), UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(rh_bytes_to_u64(rh_bytes_text("60"), 60, &value), 0);
    assert_true(value == 60);
    static const char *const bad[] = {"",   "-1",  "+1", " 1",
                                      "1 ", "0x1", "61", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = 7;
        assert_int_equal(rh_bytes_to_u64(rh_bytes_text(bad[i]), 60, &value), RH_ERR_INVALID);
        assert_true(value == 7);
    }
    assert_int_equal(rh_bytes_to_u64(rh_bytes_text("18446744073709551616"), UINT64_MAX, &value),
                     RH_ERR_INVALID);
    assert_int_equal(rh_bytes_to_u64(rh_bytes_text("7"), 3, &value), RH_ERR_INVALID);
}

static void ids_are_sixteen_hex_digits(void **state RH_UNUSED)
{
    char text[RH_ID64_SIZE];
    uint64_t value = 0;
    rh_id64_format(0x0123456789abcdefU, text);
    assert_string_equal(text, "0123456789abcdef");
    assert_int_equal(rh_bytes_to_id64(rh_bytes_text("0123456789ABCDEF"), &value), 0);
    assert_true(value == 0x0123456789abcdefU);
    assert_int_equal(rh_bytes_to_id64(rh_bytes_text("123"), &value), RH_ERR_INVALID);
    assert_int_equal(rh_bytes_to_id64(rh_bytes_text("0123456789abcdeg"), &value), RH_ERR_INVALID);
}

static void amounts_need_a_unit_that_fits(void **state RH_UNUSED)
{
    uint32_t duration = 0;
    uint64_t size = 0;
    assert_int_equal(rh_duration_parse(rh_bytes_text("250ms"), &duration), 0);
    assert_int_equal(duration, 250);
    assert_int_equal(rh_duration_parse(rh_bytes_text("1h"), &duration), 0);
    assert_int_equal(duration, 3600000);
    assert_int_equal(rh_duration_parse(rh_bytes_text("0"), &duration), 0);
    assert_int_equal(duration, 0);
    assert_int_equal(rh_size_parse(rh_bytes_text("64KiB"), &size), 0);
    assert_true(size == 65536);
    static const char *const bad[] = {"", "5", "s", "-1s", "1 s", "1.5s", "1d", "2000h", "1KiB"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rh_duration_parse(rh_bytes_text(bad[i]), &duration), RH_ERR_INVALID);
    }
    assert_int_equal(rh_size_parse(rh_bytes_text("9999999999GiB"), &size), RH_ERR_INVALID);
}

static void weights_are_read_back_as_written(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        uint32_t milli;
    } rows[] = {{"0", 0},        {"1", 1000},       {"0.5", 500},
                {"2.125", 2125}, {"1000", 1000000}, {"10", 10000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t milli = 7;
        char text[RH_WEIGHT_TEXT_SIZE];
        assert_int_equal(rh_weight_parse(rh_bytes_text(rows[i].text), &milli), 0);
        assert_int_equal(milli, rows[i].milli);
        rh_weight_format(milli, text);
        assert_string_equal(text, rows[i].text);
    }
    static const char *const bad[] = {"", ".5", "1.", "1.2345", "-1", "1000.001", "1e3", "1,5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t milli;
        assert_int_equal(rh_weight_parse(rh_bytes_text(bad[i]), &milli), RH_ERR_INVALID);
    }
}

static void a_buffer_gives_back_what_went_in(void **state RH_UNUSED)
{
    struct rh_buffer buffer = {0};
    char expected[4096];
    size_t put = 0;
    size_t got = 0;
    for (unsigned round = 0; round < 500; round++) {
        char chunk[37];
        memset(chunk, (int)('a' + round % 26), sizeof(chunk));
        assert_int_equal(rh_buffer_append(&buffer, chunk, sizeof(chunk)), 0);
        put += sizeof(chunk);
        size_t take = round % 3 == 0 ? 90 : 7;
        if (take > rh_buffer_size(&buffer)) {
            take = rh_buffer_size(&buffer);
        }
        for (size_t i = 0; i < take; i++) {
            expected[i] = (char)('a' + ((got + i) / sizeof(chunk)) % 26);
        }
        assert_memory_equal(rh_buffer_content(&buffer).data, expected, take);
        rh_buffer_consume(&buffer, take);
        got += take;
        assert_int_equal(rh_buffer_size(&buffer), put - got);
    }
    rh_buffer_clear(&buffer);
    assert_int_equal(rh_buffer_format(&buffer, "%s-%d", "seq", 9), 0);
    char *text = rh_buffer_take_text(&buffer);
    assert_string_equal(text, "seq-9");
    free(text);
    rh_buffer_finish(&buffer);
}

static void shared_bytes_live_until_the_last_owner(void **state RH_UNUSED)
{
    struct rh_shared *shared = rh_shared_copy(rh_bytes_text("frame"));
    assert_ptr_equal(rh_shared_take(shared), shared);
    rh_shared_give(shared);
    assert_true(rh_bytes_equal_text(rh_shared_bytes(shared), "frame"));
    rh_shared_give(shared);
    rh_shared_give(NULL);
}

struct item {
    struct rh_list link;
    struct rh_table_link table_link;
    unsigned number;
};

static bool item_equal(const struct rh_table_link *link, const void *key)
{
    const unsigned *number = key;
    return ((const struct item *)(const void *)((const char *)link -
                                                offsetof(struct item, table_link)))
               ->number == *number;
}

static void a_list_keeps_order_and_forgets_what_is_removed(void **state RH_UNUSED)
{
    struct rh_list head;
    struct rh_list other;
    struct item items[4];
    rh_list_init(&head);
    rh_list_init(&other);
    for (unsigned i = 0; i < 4; i++) {
        items[i].number = i;
        rh_list_push_back(i < 2 ? &head : &other, &items[i].link);
    }
    rh_list_splice(&head, &other);
    assert_true(rh_list_empty(&other));
    unsigned expected = 0;
    rh_list_each_safe (&head, link) {
        assert_int_equal(rh_container_of(link, struct item, link)->number, expected);
        expected++;
        rh_list_remove(link);
        rh_list_remove(link);
    }
    assert_int_equal(expected, 4);
    assert_null(rh_list_first(&head));
}

static void a_table_finds_what_it_holds_even_when_hashes_collide(void **state RH_UNUSED)
{
    enum { ITEMS = 1000 };
    struct rh_table table;
    struct item *items = calloc(ITEMS, sizeof(*items));
    assert_int_equal(rh_table_init(&table), 0);
    for (unsigned i = 0; i < ITEMS; i++) {
        items[i].number = i;
        rh_table_insert(&table, &items[i].table_link, i % 10);
    }
    for (unsigned i = 0; i < ITEMS; i += 2) {
        rh_table_remove(&table, &items[i].table_link);
    }
    assert_int_equal(table.count, ITEMS / 2);
    for (unsigned i = 0; i < ITEMS; i++) {
        struct rh_table_link *found = rh_table_find(&table, i % 10, item_equal, &i);
        assert_ptr_equal(found, i % 2 == 0 ? NULL : &items[i].table_link);
    }
    size_t walked = 0;
    for (struct rh_table_link *link = rh_table_next(&table, NULL); link != NULL;
         link = rh_table_next(&table, link)) {
        walked++;
    }
    assert_int_equal(walked, ITEMS / 2);
    rh_table_finish(&table);
    free(items);
}

static void a_table_grows_by_a_bucket_for_an_element_unless_memory_is_short(void **state RH_UNUSED)
{
    enum { ITEMS = 5000 };
    struct rh_table table;
    struct item *items = calloc(ITEMS, sizeof(*items));
    assert_int_equal(rh_table_init(&table), 0);
    size_t least = table.base + table.split;
    for (unsigned i = 0; i < ITEMS; i++) {
        bool is_short = i > 200 && i < 300;
        if (is_short) {
            rh_test_allocation_fail(1);
        }
        items[i].number = i;
        rh_table_insert(&table, &items[i].table_link, i);
        (void)rh_test_allocation_failed();
        size_t buckets = table.base + table.split;
        size_t wanted = table.count > least ? table.count : least;
        assert_true(buckets == wanted || (buckets < wanted && i > 200 && i < 400));
        for (unsigned known = i > 40 ? i - 40 : 0; known <= i; known++) {
            assert_ptr_equal(rh_table_find(&table, known, item_equal, &known),
                             &items[known].table_link);
        }
    }
    rh_table_finish(&table);
    free(items);
}

struct visits {
    unsigned *counts; /* by number */
};

static void count_visit(void *context, struct rh_table_link *link)
{
    const struct visits *visits = context;
    visits->counts[rh_container_of(link, struct item, table_link)->number]++;
}

static void a_scan_sees_what_stays_once_however_the_table_changes_meanwhile(void **state RH_UNUSED)
{
    enum { STAY = 100, COME = 2000, ALL = STAY + COME };
    struct item *items = calloc(ALL, sizeof(*items));
    unsigned *counts = calloc(ALL, sizeof(*counts));
    struct visits visits = {.counts = counts};
    for (unsigned begin = 0; begin < 140; begin++) { /* calls before the others come */
        struct rh_table table;
        assert_int_equal(rh_table_init(&table), 0);
        memset(counts, 0, ALL * sizeof(*counts));
        for (unsigned i = 0; i < STAY; i++) {
            items[i].number = i;
            rh_table_insert(&table, &items[i].table_link, i);
        }
        uint64_t cursor = 0;
        unsigned calls = 0;
        do {
            cursor = rh_table_scan(&table, cursor, count_visit, &visits);
            calls++;
            for (unsigned i = STAY; calls == begin && i < ALL; i++) {
                items[i].number = i;
                rh_table_insert(&table, &items[i].table_link, i);
            }
            for (unsigned i = STAY; calls == begin + 9 && table.count > ALL / 2; i++) {
                rh_table_remove(&table, &items[i].table_link);
            }
        } while (cursor != 0);
        for (unsigned i = 0; i < ALL; i++) {
            assert_true(i < STAY ? counts[i] == 1 : counts[i] <= 1);
        }
        rh_table_finish(&table);
    }
    free(counts);
    free(items);
}

static void a_machine_says_where_it_is(void **state RH_UNUSED)
{
    static const struct rh_machine_state states[] = {
        {"idle", RH_STATE_BIT(1)}, {"busy", RH_STATE_BIT(0) | RH_STATE_BIT(2)}, {"done", 0}};
    struct rh_machine machine;
    rh_machine_init(&machine, states, 3, 0);
    rh_machine_move(&machine, 1);
    assert_string_equal(rh_machine_name(&machine), "busy");
    rh_machine_move(&machine, 2);
    assert_string_equal(rh_machine_name(&machine), "done");
}

static void keep_line(void *context, enum rh_log_level level RH_UNUSED, const char *line)
{
    char *kept = context;
    strcpy(kept, line);
}

static void a_log_line_stays_one_line_whatever_it_quotes(void **state RH_UNUSED)
{
    char kept[2048] = "";
    struct rh_logger logger = {.write = keep_line, .context = kept, .level_max = RH_LOG_INFO};
    rh_log(&logger, RH_LOG_DEBUG, "unseen");
    assert_string_equal(kept, "");
    rh_log(&logger, RH_LOG_WARN, "bad_key key=\"%s\"", "a\nb");
    assert_string_equal(kept, "bad_key key=\"a?b\"");
    rh_log(NULL, RH_LOG_ERROR, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(every_error_has_a_text_and_a_name),
        RH_TEST(a_reason_that_is_too_long_is_cut_with_dots),
        RH_TEST(utf8_is_accepted_and_its_broken_forms_are_not),
        RH_TEST(numbers_are_read_up_to_their_limit_and_no_further),
        RH_TEST(ids_are_sixteen_hex_digits),
        RH_TEST(amounts_need_a_unit_that_fits),
        RH_TEST(weights_are_read_back_as_written),
        RH_TEST(a_buffer_gives_back_what_went_in),
        RH_TEST(shared_bytes_live_until_the_last_owner),
        RH_TEST(a_list_keeps_order_and_forgets_what_is_removed),
        RH_TEST(a_table_finds_what_it_holds_even_when_hashes_collide),
        RH_TEST(a_table_grows_by_a_bucket_for_an_element_unless_memory_is_short),
        RH_TEST(a_scan_sees_what_stays_once_however_the_table_changes_meanwhile),
        RH_TEST(a_machine_says_where_it_is),
        RH_TEST(a_log_line_stays_one_line_whatever_it_quotes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
