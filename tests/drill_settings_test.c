/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/settings.h"
#include "tests/test.h"

#include <string.h>

static struct rh_load_settings settings_of(uint32_t connections_count, uint32_t channels_count)
{
    struct rh_load_settings settings = {.connections_count = connections_count,
                                        .channels_count = channels_count};
    struct rh_reason reason;
    assert_int_equal(rh_settings_complete(&settings, 0x12345678, &reason), 0);
    return settings;
}

static void zeros_become_defaults_and_the_rest_stays(void **state RH_UNUSED)
{
    struct rh_load_settings settings = settings_of(100, 10);
    char key[RH_LOAD_KEY_SIZE];
    assert_int_equal(settings.payload_size, 128);
    assert_int_equal(settings.rate, 0);
    rh_settings_key(&settings, 7, key);
    assert_string_equal(key, "drill:12345678:7");
    struct rh_load_settings own = {.channels_count = 1, .payload_size = 32, .key_prefix = "k"};
    struct rh_reason reason;
    assert_int_equal(rh_settings_complete(&own, 1, &reason), 0);
    assert_int_equal(own.payload_size, 32);
    rh_settings_key(&own, 0, key);
    assert_string_equal(key, "k0");
}

static void what_is_out_of_range_is_named(void **state RH_UNUSED)
{
    static const struct {
        struct rh_load_settings settings;
        const char *name;
    } rows[] = {
        {{.channels_count = 0}, "channels"},
        {{.channels_count = RH_LOAD_CHANNELS_MAX + 1}, "channels"},
        {{.channels_count = 1, .rate = RH_LOAD_RATE_MAX + 1}, "rate"},
        {{.channels_count = 1, .payload_size = RH_LOAD_PAYLOAD_MIN - 1}, "payload"},
        {{.channels_count = 1, .payload_size = RH_LOAD_PAYLOAD_MAX + 1}, "payload"},
        {{.channels_count = 1, .workers_count = 1000}, "workers"},
        {{.channels_count = 1, .silence_ms = 500, .silence_max_ms = 500}, "silent"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_load_settings settings = rows[i].settings;
        struct rh_reason reason = {""};
        assert_int_equal(rh_settings_complete(&settings, 1, &reason), RH_ERR_INVALID);
        assert_non_null(strstr(reason.text, rows[i].name));
    }
}

static void each_client_has_one_channel_and_the_shares_are_even(void **state RH_UNUSED)
{
    static const uint32_t counts[][2] = {{0, 5}, {3, 5}, {5, 5}, {17, 5}, {45000, 7}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct rh_load_settings settings = settings_of(counts[i][0], counts[i][1]);
        uint32_t sum = 0;
        for (uint32_t channel = 0; channel < counts[i][1]; channel++) {
            uint32_t clients = rh_settings_clients(&settings, channel);
            assert_true(clients >= counts[i][0] / counts[i][1]);
            assert_true(clients <= counts[i][0] / counts[i][1] + 1);
            sum += clients;
        }
        assert_int_equal(sum, counts[i][0]);
    }
}

/* Connections of the worker that has most. */
static uint32_t greatest(const struct rh_load_settings *settings, uint32_t workers_count)
{
    uint32_t most = 0;
    for (uint32_t worker = 0; worker < workers_count; worker++) {
        uint32_t sum = 0;
        for (uint32_t i = worker; i < settings->channels_count; i += workers_count) {
            sum += rh_settings_clients(settings, i);
        }
        most = sum > most ? sum : most;
    }
    return most;
}

static void there_are_as_many_workers_as_the_limit_of_files_asks_for(void **state RH_UNUSED)
{
    static const struct {
        uint32_t connections, channels, wanted, descriptors, workers;
        bool forced;
    } rows[] = {
        {100, 100, 0, 20000, 1, false},    {10000, 5000, 0, 20000, 2, false},
        {10000, 5000, 3, 20000, 3, false}, {45000, 22500, 0, 20000, 4, true},
        {100000, 1000, 0, 20000, 8, true}, {45000, 22500, 2, 1000000, 2, false},
        {10000, 1, 8, 20000, 1, false},    {1000, 500, 0, 256, 9, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_load_settings settings = settings_of(rows[i].connections, rows[i].channels);
        struct rh_reason reason;
        uint32_t count = 0;
        bool forced = !rows[i].forced;
        settings.workers_count = rows[i].wanted;
        assert_int_equal(
            rh_settings_workers(&settings, rows[i].descriptors, &count, &forced, &reason), 0);
        assert_int_equal(count, rows[i].workers);
        assert_true(forced == rows[i].forced);
        assert_true(greatest(&settings, count) <= rh_settings_clients_max(rows[i].descriptors));
        assert_true(rh_settings_clients_max(rows[i].descriptors) < rows[i].descriptors);
    }
}

static void a_channel_that_no_process_can_hold_is_refused(void **state RH_UNUSED)
{
    static const uint32_t counts[][3] = {{45000, 2, 20000}, {100, 3, 20}, {10000000, 1000, 1024}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct rh_load_settings settings = settings_of(counts[i][0], counts[i][1]);
        struct rh_reason reason = {""};
        uint32_t count;
        bool forced;
        assert_int_equal(rh_settings_workers(&settings, counts[i][2], &count, &forced, &reason),
                         RH_ERR_INVALID);
        assert_non_null(strstr(reason.text, "more channels"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(zeros_become_defaults_and_the_rest_stays),
        RH_TEST(what_is_out_of_range_is_named),
        RH_TEST(each_client_has_one_channel_and_the_shares_are_even),
        RH_TEST(there_are_as_many_workers_as_the_limit_of_files_asks_for),
        RH_TEST(a_channel_that_no_process_can_hold_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
