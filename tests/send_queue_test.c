/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include "router/send_queue.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sends up to |size| bytes: what writev() would take. */
static void drain(struct rh_send_queue *queue, size_t size, struct rh_buffer *out)
{
    struct rh_bytes pieces[3];
    size_t taken = 0;
    size_t count = rh_send_queue_peek(queue, pieces, 3);
    for (size_t i = 0; i < count && taken < size; i++) {
        size_t part = pieces[i].size < size - taken ? pieces[i].size : size - taken;
        assert_int_equal(rh_buffer_append(out, pieces[i].data, part), 0);
        taken += part;
    }
    rh_send_queue_consume(queue, taken);
}

static void bytes_come_out_in_order_however_they_are_taken(void **state RH_UNUSED)
{
    for (size_t step = 1; step < 40; step++) {
        struct rh_send_queue queue = {0};
        struct rh_buffer in = {0};
        struct rh_buffer out = {0};
        for (unsigned i = 0; i < 200; i++) {
            char text[16];
            int size = snprintf(text, sizeof(text), "<%u>", i * 37);
            struct rh_shared *item = rh_shared_copy(rh_bytes(text, (size_t)size));
            assert_int_equal(rh_send_queue_push(&queue, item), 0);
            rh_shared_give(item);
            assert_int_equal(rh_buffer_append(&in, text, (size_t)size), 0);
            if (i % 3 == 0) {
                drain(&queue, step, &out);
            }
            assert_int_equal(rh_send_queue_bytes(&queue),
                             rh_buffer_size(&in) - rh_buffer_size(&out));
        }
        while (!rh_send_queue_is_empty(&queue)) {
            drain(&queue, step, &out);
        }
        assert_true(rh_bytes_equal(rh_buffer_content(&in), rh_buffer_content(&out)));
        assert_null(queue.ring);
        rh_buffer_finish(&in);
        rh_buffer_finish(&out);
    }
}

static void one_item_waits_in_many_queues(void **state RH_UNUSED)
{
    struct rh_send_queue queues[5] = {0};
    struct rh_shared *item = rh_shared_copy(rh_bytes_text("frame"));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rh_send_queue_push(&queues[i], item), 0);
    }
    assert_int_equal(item->references, 6);
    rh_send_queue_consume(&queues[0], 5);
    rh_send_queue_finish(&queues[1]);
    rh_send_queue_drop_unsent(&queues[2]);
    rh_send_queue_consume(&queues[3], 2);
    assert_int_equal(item->references, 3);
    rh_send_queue_finish(&queues[3]);
    rh_send_queue_finish(&queues[4]);
    assert_int_equal(item->references, 1);
    rh_shared_give(item);
}

static void dropping_keeps_what_was_begun(void **state RH_UNUSED)
{
    struct rh_send_queue queue = {0};
    struct rh_shared *item = rh_shared_copy(rh_bytes_text("0123456789"));
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(rh_send_queue_push(&queue, item), 0);
    }
    rh_send_queue_consume(&queue, 13);
    rh_send_queue_drop_unsent(&queue);
    assert_int_equal(rh_send_queue_bytes(&queue), 7);
    struct rh_buffer out = {0};
    drain(&queue, 100, &out);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&out), "3456789"));
    rh_buffer_finish(&out);
    assert_int_equal(rh_send_queue_push(&queue, item), 0);
    rh_send_queue_drop_unsent(&queue);
    assert_int_equal(rh_send_queue_bytes(&queue), 0);
    assert_int_equal(item->references, 1);
    rh_shared_give(item);
}

static void dropping_keeps_what_must_be_kept(void **state RH_UNUSED)
{
    struct rh_send_queue queue = {0};
    struct rh_shared *item = rh_shared_copy(rh_bytes_text("0123456789"));
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(rh_send_queue_push(&queue, item), 0);
        if (i == 2) {
            rh_send_queue_keep(&queue);
        }
    }
    rh_send_queue_consume(&queue, 15);
    rh_send_queue_drop_unsent(&queue);
    assert_int_equal(rh_send_queue_bytes(&queue), 15);
    rh_send_queue_consume(&queue, 15);
    assert_int_equal(rh_send_queue_push(&queue, item), 0);
    rh_send_queue_drop_unsent(&queue);
    assert_int_equal(rh_send_queue_bytes(&queue), 0);
    assert_int_equal(item->references, 1);
    rh_shared_give(item);
}

static void a_push_that_fails_takes_nothing(void **state RH_UNUSED)
{
    struct rh_shared *item = rh_shared_copy(rh_bytes_text("x"));
    for (uint32_t before = 0; before <= 8; before += before == 0 ? 2 : before) {
        struct rh_send_queue queue = {0};
        for (size_t i = 0; i < before; i++) {
            assert_int_equal(rh_send_queue_push(&queue, item), 0);
        }
        rh_test_allocation_fail(1);
        int rv = rh_send_queue_push(&queue, item);
        assert_true(rh_test_allocation_failed());
        assert_int_equal(rv, RH_ERR_NO_MEMORY);
        assert_int_equal(item->references, 1 + before);
        assert_int_equal(rh_send_queue_bytes(&queue), before);
        rh_send_queue_finish(&queue);
    }
    rh_shared_give(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(bytes_come_out_in_order_however_they_are_taken),
        RH_TEST(one_item_waits_in_many_queues),
        RH_TEST(dropping_keeps_what_was_begun),
        RH_TEST(dropping_keeps_what_must_be_kept),
        RH_TEST(a_push_that_fails_takes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
