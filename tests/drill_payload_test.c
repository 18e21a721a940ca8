/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/load.h"
#include "drill/payload.h"
#include "tests/test.h"

static void what_is_written_is_read(void **state RH_UNUSED)
{
    static const uint32_t numbers[] = {0, 1, 4711, UINT32_MAX};
    static const size_t sizes[] = {RH_LOAD_PAYLOAD_MIN, 128, RH_LOAD_PAYLOAD_MAX};
    struct rh_buffer buffer = {0};
    for (size_t i = 0; i < 4 * 3; i++) {
        uint32_t number = numbers[i % 4];
        size_t size = sizes[i / 4];
        uint32_t read = number + 1;
        rh_buffer_clear(&buffer);
        assert_int_equal(rh_payload_append(&buffer, UINT32_MAX, number, size), 0);
        struct rh_bytes payload = rh_buffer_content(&buffer);
        assert_int_equal(payload.size, size);
        assert_int_equal(rh_payload_read(payload, UINT32_MAX, size, &read), 0);
        assert_int_equal(read, number);
    }
    rh_buffer_finish(&buffer);
}

static void a_payload_with_any_byte_changed_is_not_taken_for_the_same(void **state RH_UNUSED)
{
    struct rh_buffer buffer = {0};
    assert_int_equal(rh_payload_append(&buffer, 12, 345, 64), 0);
    for (size_t i = 0; i < 64; i++) {
        uint32_t number = 345;
        buffer.data[i] = (char)(buffer.data[i] ^ 1);
        int rv = rh_payload_read(rh_buffer_content(&buffer), 12, 64, &number);
        assert_true(rv == RH_ERR_INVALID || number != 345);
        buffer.data[i] = (char)(buffer.data[i] ^ 1);
    }
    rh_buffer_finish(&buffer);
}

static void what_belongs_elsewhere_is_refused(void **state RH_UNUSED)
{
    static const char *const texts[] = {
        "",    "12",     "12:",     "12:3",  "12:3x",          "13:3 ",
        ":3 ", "12:-3 ", "12:3  x", "12: 3", "12:99999999999 "};
    uint32_t number;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rh_bytes text = rh_bytes_text(texts[i]);
        assert_int_equal(rh_payload_read(text, 12, text.size, &number), RH_ERR_INVALID);
    }
    assert_int_equal(rh_payload_read(rh_bytes_text("12:3 xx"), 12, 8, &number), RH_ERR_INVALID);
    assert_int_equal(rh_payload_read(rh_bytes_text("12:3 xx"), 12, 7, &number), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(what_is_written_is_read),
        RH_TEST(a_payload_with_any_byte_changed_is_not_taken_for_the_same),
        RH_TEST(what_belongs_elsewhere_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
