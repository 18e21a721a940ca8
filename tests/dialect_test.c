/* SPDX-License-Identifier: Apache-2.0 */

/* What the benchmark's clients say to the programs that are measured, and the mark of their messages. */

#include "bench/dialect.h"
#include "bench/mark.h"
#include "test.h"

#include <string.h>

static bool holds(const struct dialect_text *text, const char *words)
{
    return memmem(text->bytes, text->size, words, strlen(words)) != NULL;
}

static void every_dialect_opens_a_websocket_and_publishes_its_payload(void **state RH_UNUSED)
{
    static const char *const names[] = {"ringhop", "nchan", "plain", "nats", "mqtt"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct dialect *dialect = dialect_find(names[i]);
        struct dialect_text text;
        assert_non_null(dialect);
        dialect_upgrade(dialect, "a.key", &text);
        assert_true(holds(&text, "Upgrade: websocket\r\n"));
        assert_memory_equal(text.bytes + text.size - 4, "\r\n\r\n", 4);
        assert_int_equal(holds(&text, "a.key"), !dialect->binary);
        dialect_publish(dialect, "a.key", "payload", 7, &text);
        assert_true(holds(&text, "a.key"));
        assert_true(holds(&text, "payload"));
        assert_int_equal(dialect_answers(dialect), memcmp(text.bytes, "POST ", 5) == 0);
    }
    assert_null(dialect_find("none"));
}

static void a_ringhop_subscriber_is_ready_when_it_is_welcome(void **state RH_UNUSED)
{
    const struct dialect *dialect = dialect_find("ringhop");
    static const char welcome[] = "{\"type\":\"welcome\",\"channel\":\"k\"}";
    static const char moved[] = "{\"type\":\"moved\",\"node\":\"n2\"}";
    struct dialect_text out = {.size = 0};
    unsigned stage = 0;
    assert_int_equal(dialect->hear(&stage, NULL, 0, "k", &out), DIALECT_WAIT);
    assert_int_equal(dialect->hear(&stage, welcome, strlen(welcome), "k", &out), DIALECT_READY);
    assert_int_equal(dialect->hear(&stage, moved, strlen(moved), "k", &out), DIALECT_BROKEN);
}

static void a_nats_subscriber_subscribes_once_it_has_been_informed(void **state RH_UNUSED)
{
    const struct dialect *dialect = dialect_find("nats");
    struct dialect_text out = {.size = 0};
    unsigned stage = 0;
    assert_int_equal(dialect->hear(&stage, NULL, 0, "k", &out), DIALECT_WAIT);
    assert_int_equal(dialect->hear(&stage, "INFO {}\r\n", 9, "k", &out), DIALECT_SEND);
    assert_true(holds(&out, "SUB k 1\r\nPING\r\n"));
    assert_int_equal(dialect->hear(&stage, "PONG\r\n", 6, "k", &out), DIALECT_READY);
    stage = 0;
    assert_int_equal(dialect->hear(&stage, "-ERR 'no'\r\n", 11, "k", &out), DIALECT_BROKEN);
}

static void an_mqtt_subscriber_connects_and_then_subscribes(void **state RH_UNUSED)
{
    const struct dialect *dialect = dialect_find("mqtt");
    struct dialect_text out = {.size = 0};
    unsigned stage = 0;
    assert_int_equal(dialect->hear(&stage, NULL, 0, "k", &out), DIALECT_SEND);
    static const char connect[] = "\x10\x0c\0\4MQTT\4\2\0\0\0\0";
    assert_int_equal(out.size, sizeof(connect) - 1);
    assert_memory_equal(out.bytes, connect, out.size);
    out.size = 0;
    assert_int_equal(dialect->hear(&stage, "\x20\2\0\0", 4, "k", &out), DIALECT_SEND);
    static const char subscribe[] = "\x82\6\0\1\0\1k\0";
    assert_int_equal(out.size, sizeof(subscribe) - 1);
    assert_memory_equal(out.bytes, subscribe, out.size);
    assert_int_equal(dialect->hear(&stage, "\x90\3\0\1", 4, "k", &out), DIALECT_READY);

    /* A publisher has nothing to subscribe to; who is refused is told. */
    stage = 1;
    assert_int_equal(dialect->hear(&stage, "\x20\2\0\0", 4, NULL, &out), DIALECT_READY);
    assert_int_equal(dialect->hear(&stage, "\x20\2\0\5", 4, "k", &out), DIALECT_BROKEN);
}

static void an_mqtt_publish_of_more_than_127_bytes_has_two_bytes_of_length(void **state RH_UNUSED)
{
    char payload[200];
    struct dialect_text text;
    memset(payload, 'x', sizeof(payload));
    dialect_publish(dialect_find("mqtt"), "k", payload, sizeof(payload), &text);
    assert_int_equal(text.size, 1 + 2 + 2 + 1 + 200);
    assert_memory_equal(text.bytes, "\x30\xcb\x01\0\1k", 6);
}

static void every_mark_is_found_again_wherever_it_stands(void **state RH_UNUSED)
{
    char text[64];
    static const uint32_t numbers[] = {0, 1, 9, 10, 0x12abcdef, UINT32_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (size_t at = 0; at + 2 * LOAD_MARK_SIZE <= sizeof(text); at++) {
            memset(text, '@', sizeof(text));
            load_mark_write(text + at, numbers[i]);
            load_mark_write(text + at + LOAD_MARK_SIZE, 7);
            const char *bytes = text;
            size_t size = sizeof(text);
            uint32_t number = 1;
            assert_true(load_mark_next(&bytes, &size, &number));
            assert_int_equal(number, numbers[i]);
            assert_true(load_mark_next(&bytes, &size, &number));
            assert_int_equal(number, 7);
            assert_false(load_mark_next(&bytes, &size, &number));
        }
    }
}

static void half_a_mark_is_none(void **state RH_UNUSED)
{
    char mark[LOAD_MARK_SIZE];
    load_mark_write(mark, 42);
    for (size_t size = 0; size < sizeof(mark); size++) {
        const char *bytes = mark;
        size_t left = size;
        uint32_t number = 0;
        assert_false(load_mark_next(&bytes, &left, &number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(every_dialect_opens_a_websocket_and_publishes_its_payload),
        RH_TEST(a_ringhop_subscriber_is_ready_when_it_is_welcome),
        RH_TEST(a_nats_subscriber_subscribes_once_it_has_been_informed),
        RH_TEST(an_mqtt_subscriber_connects_and_then_subscribes),
        RH_TEST(an_mqtt_publish_of_more_than_127_bytes_has_two_bytes_of_length),
        RH_TEST(every_mark_is_found_again_wherever_it_stands),
        RH_TEST(half_a_mark_is_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
