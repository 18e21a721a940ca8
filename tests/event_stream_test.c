/* SPDX-License-Identifier: Apache-2.0 */
#include "router/event_stream.h"

#include "tests/allocation.h"
#include "tests/test.h"

static void expect(const struct rh_event_stream_event *event, const char *expected)
{
    struct rh_shared *shared = rh_event_stream_encode(event);
    assert_non_null(shared);
    assert_true(rh_bytes_equal_text(rh_bytes(shared->data, shared->size), expected));
    rh_shared_give(shared);
}

static void an_event_is_a_few_lines_and_an_empty_one(void **state RH_UNUSED)
{
    struct rh_event_stream_event event = {.name = "message", .data = rh_bytes_text("{\"a\":1}")};
    expect(&event, "event: message\ndata: {\"a\":1}\n\n");
    event.has_id = true;
    event.id = (struct rh_position){.incarnation = 0x1234, .seq = 9};
    expect(&event, "id: 0000000000001234:9\nevent: message\ndata: {\"a\":1}\n\n");
    event.retry_ms = UINT32_MAX;
    expect(&event,
           "retry: 4294967295\nid: 0000000000001234:9\nevent: message\ndata: {\"a\":1}\n\n");
    event.id = (struct rh_position){.incarnation = UINT64_MAX, .seq = INT64_MAX};
    expect(&event, "retry: 4294967295\nid: ffffffffffffffff:9223372036854775807\nevent: message\n"
                   "data: {\"a\":1}\n\n");
}

/* JSON that was published as such is passed on as it is, with the line ends between its tokens: any
 * of the three that a client takes for one must not end the data. */
static void each_line_of_the_data_is_a_field(void **state RH_UNUSED)
{
    static const struct {
        const char *data;
        const char *expected;
    } rows[] = {
        {"a\nb", "event: e\ndata: a\ndata: b\n\n"},
        {"a\r\nb", "event: e\ndata: a\ndata: b\n\n"},
        {"a\rb", "event: e\ndata: a\ndata: b\n\n"},
        {"a\n\nb", "event: e\ndata: a\ndata: \ndata: b\n\n"},
        {"a\n\rb", "event: e\ndata: a\ndata: \ndata: b\n\n"},
        {"\r", "event: e\ndata: \ndata: \n\n"},
        {"", "event: e\ndata: \n\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rh_event_stream_event event = {.name = "e",
                                                    .data = rh_bytes_text(rows[i].data)};
        expect(&event, rows[i].expected);
    }
}

static void without_memory_there_is_no_event(void **state RH_UNUSED)
{
    const struct rh_event_stream_event event = {.name = "e", .data = rh_bytes_text("x")};
    rh_test_allocation_fail(1);
    assert_null(rh_event_stream_encode(&event));
    assert_true(rh_test_allocation_failed());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(an_event_is_a_few_lines_and_an_empty_one),
        RH_TEST(each_line_of_the_data_is_a_field),
        RH_TEST(without_memory_there_is_no_event),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
