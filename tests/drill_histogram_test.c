/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/histogram.h"
#include "tests/test.h"

static void an_empty_one_has_no_times(void **state RH_UNUSED)
{
    struct rh_histogram histogram = {0};
    assert_int_equal(rh_histogram_percentile_us(&histogram, 50), 0);
    assert_int_equal(rh_histogram_between(&histogram, 0, UINT64_MAX), 0);
}

static void percentiles_are_right_to_a_sixteenth(void **state RH_UNUSED)
{
    struct rh_histogram histogram = {0};
    for (uint64_t time = 1; time <= 100000; time++) {
        rh_histogram_add(&histogram, time);
    }
    for (uint64_t percent = 1; percent <= 100; percent++) {
        uint64_t exact = percent * 1000;
        uint64_t shown = rh_histogram_percentile_us(&histogram, (double)percent);
        assert_true(shown >= exact && shown <= exact + exact / 16 + 1);
    }
    assert_int_equal(rh_histogram_percentile_us(&histogram, 100), 100000);
    assert_int_equal(histogram.max_us, 100000);
}

static void every_time_has_a_place(void **state RH_UNUSED)
{
    static const uint64_t times[] = {0, 1, 15, 16, 17, 31, 32, UINT32_MAX, 1ULL << 32, UINT64_MAX};
    struct rh_histogram histogram = {0};
    const uint64_t count = sizeof(times) / sizeof(times[0]);
    for (size_t i = 0; i < count; i++) {
        rh_histogram_add(&histogram, times[i]);
    }
    assert_int_equal(rh_histogram_between(&histogram, 0, UINT64_MAX), count);
    assert_int_equal(rh_histogram_percentile_us(&histogram, 10), 0);
    assert_true(histogram.max_us == UINT64_MAX);
}

static void powers_of_two_are_exact_bounds(void **state RH_UNUSED)
{
    struct rh_histogram histogram = {0};
    for (uint64_t time = 0; time < 5000; time++) {
        rh_histogram_add(&histogram, time);
    }
    assert_int_equal(rh_histogram_between(&histogram, 0, 1), 1);
    assert_int_equal(rh_histogram_between(&histogram, 0, 1024), 1024);
    for (uint64_t from = 1; from <= 2048; from *= 2) {
        assert_int_equal(rh_histogram_between(&histogram, from, 2 * from), from);
    }
    assert_int_equal(rh_histogram_between(&histogram, 4096, UINT64_MAX), 5000 - 4096);
}

static void merging_is_as_adding_all_to_one(void **state RH_UNUSED)
{
    struct rh_histogram parts[2] = {{0}};
    struct rh_histogram whole = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        rh_histogram_add(&parts[i % 2], i * i);
        rh_histogram_add(&whole, i * i);
    }
    rh_histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &whole, sizeof(whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(an_empty_one_has_no_times),       RH_TEST(percentiles_are_right_to_a_sixteenth),
        RH_TEST(every_time_has_a_place),          RH_TEST(powers_of_two_are_exact_bounds),
        RH_TEST(merging_is_as_adding_all_to_one),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
