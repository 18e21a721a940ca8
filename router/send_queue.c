/* SPDX-License-Identifier: Apache-2.0 */
#include "router/send_queue.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 2U

struct rh_send_ring {
    uint32_t capacity; /* a power of two */
    uint32_t first;
    uint32_t count;    /* at least one */
    uint32_t kept;     /* items from the front that may not be dropped */
    size_t first_sent; /* bytes of the first item that are gone already */
    size_t bytes;      /* that are not */
    struct rh_shared *items[];
};

static struct rh_shared **slot(struct rh_send_ring *ring, uint32_t index)
{
    return &ring->items[(ring->first + index) & (ring->capacity - 1)];
}

static struct rh_send_ring *create(uint32_t capacity)
{
    struct rh_send_ring *ring = malloc(sizeof(*ring) + capacity * sizeof(ring->items[0]));
    if (ring != NULL) {
        *ring = (struct rh_send_ring){.capacity = capacity};
    }
    return ring;
}

/* Room for one more. */
static int make_room(struct rh_send_queue *queue)
{
    struct rh_send_ring *before = queue->ring;
    if (before != NULL && before->count < before->capacity) {
        return 0;
    }
    if (before != NULL && before->capacity > UINT32_MAX / 4) {
        return RH_ERR_NO_MEMORY;
    }
    struct rh_send_ring *ring = create(before == NULL ? CAPACITY_MIN : before->capacity * 2);
    if (ring == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    if (before != NULL) {
        ring->count = before->count;
        ring->kept = before->kept;
        ring->first_sent = before->first_sent;
        ring->bytes = before->bytes;
        for (uint32_t i = 0; i < before->count; i++) {
            ring->items[i] = *slot(before, i);
        }
        free(before);
    }
    queue->ring = ring;
    return 0;
}

static void free_if_empty(struct rh_send_queue *queue)
{
    if (queue->ring->count == 0) {
        assert(queue->ring->bytes == 0);
        free(queue->ring);
        queue->ring = NULL;
    }
}

void rh_send_queue_finish(struct rh_send_queue *queue)
{
    for (uint32_t i = 0; queue->ring != NULL && i < queue->ring->count; i++) {
        rh_shared_give(*slot(queue->ring, i));
    }
    free(queue->ring);
    queue->ring = NULL;
}

size_t rh_send_queue_bytes(const struct rh_send_queue *queue)
{
    return queue->ring == NULL ? 0 : queue->ring->bytes;
}

int rh_send_queue_push(struct rh_send_queue *queue, struct rh_shared *item)
{
    assert(item->size > 0);
    int rv = make_room(queue);
    if (rv != 0) {
        return rv;
    }
    struct rh_send_ring *ring = queue->ring;
    *slot(ring, ring->count) = rh_shared_take(item);
    ring->count++;
    ring->bytes += item->size;
    return 0;
}

size_t rh_send_queue_peek(const struct rh_send_queue *queue, struct rh_bytes *ret_pieces,
                          size_t pieces_max)
{
    struct rh_send_ring *ring = queue->ring;
    size_t count = 0;
    for (; ring != NULL && count < ring->count && count < pieces_max; count++) {
        const struct rh_shared *item = *slot(ring, (uint32_t)count);
        size_t skip = count == 0 ? ring->first_sent : 0;
        ret_pieces[count] = rh_bytes(item->data + skip, item->size - skip);
    }
    return count;
}

void rh_send_queue_consume(struct rh_send_queue *queue, size_t size)
{
    struct rh_send_ring *ring = queue->ring;
    assert(size <= rh_send_queue_bytes(queue));
    if (size == 0) {
        return;
    }
    ring->bytes -= size;
    while (size > 0) {
        struct rh_shared *item = *slot(ring, 0);
        size_t left = item->size - ring->first_sent;
        if (size < left) {
            ring->first_sent += size;
            return;
        }
        size -= left;
        rh_shared_give(item);
        ring->first_sent = 0;
        ring->first = (ring->first + 1) & (ring->capacity - 1);
        ring->count--;
        ring->kept -= ring->kept > 0;
    }
    free_if_empty(queue);
}

void rh_send_queue_keep(struct rh_send_queue *queue)
{
    if (queue->ring != NULL) {
        queue->ring->kept = queue->ring->count;
    }
}

void rh_send_queue_drop_unsent(struct rh_send_queue *queue)
{
    struct rh_send_ring *ring = queue->ring;
    if (ring == NULL) {
        return;
    }
    uint32_t kept = ring->kept;
    if (kept == 0 && ring->first_sent > 0) {
        kept = 1;
    }
    while (ring->count > kept) {
        struct rh_shared *item = *slot(ring, ring->count - 1);
        ring->bytes -= item->size;
        ring->count--;
        rh_shared_give(item);
    }
    free_if_empty(queue);
}
