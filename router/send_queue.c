/* SPDX-License-Identifier: Apache-2.0 */
#include "router/send_queue.h"

#include <assert.h>
#include <stdlib.h>

#define HEAP_MIN 8U

static uint32_t capacity_of(const struct rh_send_queue *queue)
{
    return queue->heap == NULL ? RH_SEND_QUEUE_INLINE : queue->capacity;
}

static struct rh_shared **slot(struct rh_send_queue *queue, uint32_t index)
{
    uint32_t place = (queue->first + index) & (capacity_of(queue) - 1);
    return queue->heap == NULL ? &queue->inplace[place] : &queue->heap[place];
}

static int grow(struct rh_send_queue *queue)
{
    uint32_t capacity = queue->heap == NULL ? HEAP_MIN : queue->capacity * 2;
    struct rh_shared **heap =
        queue->capacity > UINT32_MAX / 4 ? NULL : malloc(capacity * sizeof(struct rh_shared *));
    if (heap == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < queue->count; i++) {
        heap[i] = *slot(queue, i);
    }
    free(queue->heap);
    queue->heap = heap;
    queue->capacity = capacity;
    queue->first = 0;
    return 0;
}

static void release_if_empty(struct rh_send_queue *queue)
{
    if (queue->count == 0) {
        assert(queue->bytes == 0);
        free(queue->heap);
        *queue = (struct rh_send_queue){0};
    }
}

void rh_send_queue_finish(struct rh_send_queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        rh_shared_give(*slot(queue, i));
    }
    free(queue->heap);
    *queue = (struct rh_send_queue){0};
}

int rh_send_queue_push(struct rh_send_queue *queue, struct rh_shared *item)
{
    assert(item->size > 0);
    if (queue->count == capacity_of(queue)) {
        int rv = grow(queue);
        if (rv != 0) {
            return rv;
        }
    }
    *slot(queue, queue->count) = rh_shared_take(item);
    queue->count++;
    queue->bytes += item->size;
    return 0;
}

size_t rh_send_queue_peek(const struct rh_send_queue *queue, struct rh_bytes *ret_pieces,
                          size_t pieces_max)
{
    uint32_t mask = capacity_of(queue) - 1;
    struct rh_shared *const *items = queue->heap == NULL ? queue->inplace : queue->heap;
    size_t count = queue->count < pieces_max ? queue->count : pieces_max;
    for (size_t i = 0; i < count; i++) {
        const struct rh_shared *item = items[(queue->first + i) & mask];
        size_t skip = i == 0 ? queue->first_sent : 0;
        ret_pieces[i] = rh_bytes(item->data + skip, item->size - skip);
    }
    return count;
}

void rh_send_queue_consume(struct rh_send_queue *queue, size_t size)
{
    assert(size <= queue->bytes);
    queue->bytes -= size;
    while (size > 0) {
        struct rh_shared *item = *slot(queue, 0);
        size_t left = item->size - queue->first_sent;
        if (size < left) {
            queue->first_sent += size;
            return;
        }
        size -= left;
        rh_shared_give(item);
        queue->first_sent = 0;
        queue->first = (queue->first + 1) & (capacity_of(queue) - 1);
        queue->count--;
        queue->kept -= queue->kept > 0;
    }
    release_if_empty(queue);
}

void rh_send_queue_drop_unsent(struct rh_send_queue *queue)
{
    uint32_t kept = queue->kept;
    if (kept == 0 && queue->first_sent > 0) {
        kept = 1;
    }
    while (queue->count > kept) {
        struct rh_shared *item = *slot(queue, queue->count - 1);
        queue->bytes -= item->size;
        queue->count--;
        rh_shared_give(item);
    }
    release_if_empty(queue);
}
