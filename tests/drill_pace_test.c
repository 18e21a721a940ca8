/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/pace.h"
#include "tests/test.h"

static void nothing_is_due_at_rest(void **state RH_UNUSED)
{
    struct rh_pace pace = {0};
    uint64_t due_us;
    assert_false(rh_pace_take(&pace, UINT64_MAX, &due_us));
    rh_pace_start(&pace, 10, 0);
    rh_pace_stop(&pace);
    assert_false(rh_pace_take(&pace, UINT64_MAX, &due_us));
}

static void as_many_are_due_as_the_rate_says_whenever_one_asks(void **state RH_UNUSED)
{
    static const double rates[] = {0.5, 3, 1000, 7777.7};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct rh_pace pace;
        uint64_t taken = 0;
        uint64_t due_us = 0;
        uint64_t last_us = 0;
        rh_pace_start(&pace, rates[i], 5000000);
        for (uint64_t now_us = 5000000; now_us < 15000000; now_us += 7919) {
            while (rh_pace_take(&pace, now_us, &due_us)) {
                assert_true(due_us >= last_us && due_us <= now_us);
                last_us = due_us;
                taken++;
            }
        }
        assert_true((double)taken >= 10 * rates[i] - rates[i] * 0.008 - 1);
        assert_true((double)taken <= 10 * rates[i] + 1);
    }
}

static void what_was_missed_in_a_pause_of_the_process_is_due_at_its_time(void **state RH_UNUSED)
{
    struct rh_pace pace;
    uint64_t due_us = 0;
    rh_pace_start(&pace, 1000, 0);
    for (uint64_t i = 0; i <= 2000; i++) {
        assert_true(rh_pace_take(&pace, 2000000, &due_us));
        assert_int_equal(due_us, i * 1000);
    }
    assert_false(rh_pace_take(&pace, 2000000, &due_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(nothing_is_due_at_rest),
        RH_TEST(as_many_are_due_as_the_rate_says_whenever_one_asks),
        RH_TEST(what_was_missed_in_a_pause_of_the_process_is_due_at_its_time),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
