/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel_log.h"
#include "node/id_window.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>

static const struct rh_channel_log_limits wide = {
    .messages_max = 1000, .bytes_max = 1U << 20, .age_ms_max = 3600000};

static struct rh_payload text(const char *bytes)
{
    return (struct rh_payload){.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text(bytes)};
}

static void append(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                   const char *payload, int64_t time_ms)
{
    struct rh_entry *entry = NULL;
    assert_int_equal(
        rh_channel_log_append(log, limits, rh_bytes_text("id"), text(payload), time_ms, &entry), 0);
    assert_non_null(entry);
    assert_int_equal(entry->seq, rh_channel_log_last_seq(log));
}

static void an_empty_log_begins_at_one(void **state RH_UNUSED)
{
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    assert_int_equal(log.first_seq, 1);
    assert_int_equal(rh_channel_log_last_seq(&log), 0);
    assert_null(rh_channel_log_get(&log, 0));
    assert_null(rh_channel_log_get(&log, 1));
    rh_channel_log_finish(&log);
}

static void entries_are_numbered_without_gap_and_kept_as_they_came(void **state RH_UNUSED)
{
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    for (int i = 1; i <= 300; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof(payload), "m%d", i);
        append(&log, &wide, payload, i);
    }
    for (int i = 1; i <= 300; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof(payload), "m%d", i);
        const struct rh_entry *entry = rh_channel_log_get(&log, (uint64_t)i);
        assert_non_null(entry);
        assert_int_equal(entry->seq, i);
        assert_true(rh_bytes_equal_text(rh_entry_payload(entry).bytes, payload));
        assert_true(rh_bytes_equal_text(rh_entry_id(entry), "id"));
    }
    assert_null(rh_channel_log_get(&log, 301));
    rh_channel_log_finish(&log);
}

static void the_oldest_go_when_there_are_too_many(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits three = {
        .messages_max = 3, .bytes_max = 1U << 20, .age_ms_max = 1000};
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    for (int i = 1; i <= 100; i++) {
        append(&log, &three, "x", i);
        assert_int_equal(log.count, i < 3 ? i : 3);
        assert_int_equal(rh_channel_log_last_seq(&log), i);
        assert_int_equal(log.first_seq, i < 3 ? 1 : i - 2);
        assert_int_equal(log.bytes, 3 * log.count);
    }
    rh_channel_log_finish(&log);
}

static void the_oldest_go_when_they_are_too_large_but_the_newest_stays(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits ten = {
        .messages_max = 100, .bytes_max = 10, .age_ms_max = 1000};
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    append(&log, &ten, "123", 1); /* 5 with its id */
    append(&log, &ten, "123", 1);
    assert_int_equal(log.count, 2);
    append(&log, &ten, "1", 1);
    assert_int_equal(log.first_seq, 2);
    append(&log, &ten, "12345678901234567890", 1);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.first_seq, 4);
    rh_channel_log_finish(&log);
}

static void old_entries_expire_and_numbers_go_on(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits limits = {
        .messages_max = 100, .bytes_max = 1000, .age_ms_max = 50};
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    append(&log, &limits, "a", 0);
    append(&log, &limits, "b", 30);
    rh_channel_log_expire(&log, &limits, 50);
    assert_int_equal(log.count, 2);
    rh_channel_log_expire(&log, &limits, 51);
    assert_int_equal(log.first_seq, 2);
    rh_channel_log_expire(&log, &limits, 1000);
    assert_int_equal(log.count, 0);
    assert_int_equal(log.first_seq, 3);
    assert_int_equal(rh_channel_log_last_seq(&log), 2);
    append(&log, &limits, "c", 1000);
    assert_int_equal(rh_channel_log_last_seq(&log), 3);
    rh_channel_log_finish(&log);
}

static void an_entry_that_is_held_outlives_its_place_in_the_log(void **state RH_UNUSED)
{
    const struct rh_channel_log_limits one = {
        .messages_max = 1, .bytes_max = 1000, .age_ms_max = 1000};
    struct rh_channel_log log;
    rh_channel_log_init(&log);
    append(&log, &one, "first", 0);
    struct rh_entry *held = rh_entry_take(rh_channel_log_get(&log, 1));
    append(&log, &one, "second", 0);
    assert_null(rh_channel_log_get(&log, 1));
    assert_true(rh_bytes_equal_text(rh_entry_payload(held).bytes, "first"));
    rh_entry_give(held);
    rh_channel_log_finish(&log);
}

static void a_log_that_gets_no_memory_is_as_before(void **state RH_UNUSED)
{
    for (unsigned nth = 1;; nth++) {
        struct rh_channel_log log;
        struct rh_entry *entry = NULL;
        rh_channel_log_init(&log);
        rh_test_allocation_fail(nth);
        int rv = rh_channel_log_append(&log, &wide, rh_bytes_text("i"), text("x"), 0, &entry);
        bool failed = rh_test_allocation_failed();
        if (rv == 0) {
            assert_false(failed);
            rh_channel_log_finish(&log);
            assert_true(nth > 1);
            return;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_null(entry);
        assert_int_equal(log.count, 0);
        assert_int_equal(rh_channel_log_last_seq(&log), 0);
        rh_channel_log_finish(&log);
    }
}

static void an_id_is_found_with_its_seq_until_it_is_too_old(void **state RH_UNUSED)
{
    const struct rh_id_window_limits limits = {.ids_max = 100, .age_ms_max = 50};
    struct rh_id_window window;
    uint64_t seq = 0;
    rh_id_window_init(&window, 7);
    assert_false(rh_id_window_find(&window, rh_bytes_text("a"), &seq));
    assert_int_equal(rh_id_window_add(&window, &limits, rh_bytes_text("a"), 1, 0), 0);
    assert_int_equal(rh_id_window_add(&window, &limits, rh_bytes_text("b"), 2, 10), 0);
    rh_id_window_expire(&window, &limits, 50);
    assert_true(rh_id_window_find(&window, rh_bytes_text("a"), &seq));
    assert_int_equal(seq, 1);
    rh_id_window_expire(&window, &limits, 51);
    assert_false(rh_id_window_find(&window, rh_bytes_text("a"), &seq));
    assert_true(rh_id_window_find(&window, rh_bytes_text("b"), &seq));
    assert_int_equal(seq, 2);
    rh_id_window_remove_newest(&window);
    assert_false(rh_id_window_find(&window, rh_bytes_text("b"), &seq));
    rh_id_window_remove_newest(&window);
    rh_id_window_finish(&window);
}

static void the_oldest_ids_go_when_there_are_too_many(void **state RH_UNUSED)
{
    const struct rh_id_window_limits limits = {.ids_max = 10, .age_ms_max = 50};
    struct rh_id_window window;
    uint64_t seq = 0;
    rh_id_window_init(&window, 7);
    for (unsigned i = 0; i < 100; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%u", i);
        assert_int_equal(rh_id_window_add(&window, &limits, rh_bytes_text(id), i + 1, 0), 0);
    }
    assert_false(rh_id_window_find(&window, rh_bytes_text("89"), &seq));
    assert_true(rh_id_window_find(&window, rh_bytes_text("90"), &seq));
    assert_int_equal(seq, 91);
    assert_int_equal(window.records.count, 10);
    rh_id_window_finish(&window);
}

static void a_window_that_gets_no_memory_is_as_before(void **state RH_UNUSED)
{
    const struct rh_id_window_limits limits = {.ids_max = 10, .age_ms_max = 50};
    for (unsigned nth = 1;; nth++) {
        struct rh_id_window window;
        uint64_t seq = 0;
        rh_id_window_init(&window, 7);
        rh_test_allocation_fail(nth);
        int rv = rh_id_window_add(&window, &limits, rh_bytes_text("a"), 1, 0);
        (void)rh_test_allocation_failed();
        assert_int_equal(rh_id_window_find(&window, rh_bytes_text("a"), &seq), rv == 0);
        rh_id_window_finish(&window);
        if (rv == 0) {
            assert_true(nth > 1);
            return;
        }
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(an_empty_log_begins_at_one),
        RH_TEST(entries_are_numbered_without_gap_and_kept_as_they_came),
        RH_TEST(the_oldest_go_when_there_are_too_many),
        RH_TEST(the_oldest_go_when_they_are_too_large_but_the_newest_stays),
        RH_TEST(old_entries_expire_and_numbers_go_on),
        RH_TEST(an_entry_that_is_held_outlives_its_place_in_the_log),
        RH_TEST(a_log_that_gets_no_memory_is_as_before),
        RH_TEST(an_id_is_found_with_its_seq_until_it_is_too_old),
        RH_TEST(the_oldest_ids_go_when_there_are_too_many),
        RH_TEST(a_window_that_gets_no_memory_is_as_before),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
