/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_SEND_QUEUE_H
#define RH_ROUTER_SEND_QUEUE_H

/*
 * What a connection has yet to send: references to encoded bytes, in order. Empty, it owns no
 * memory beside itself; a few items need none either.
 */

#include "base/shared.h"

#define RH_SEND_QUEUE_INLINE 2U

/* A ring of references. A zeroed struct is an empty queue. */
struct rh_send_queue {
    struct rh_shared **heap; /* NULL: the items are in |inplace| */
    uint32_t capacity;       /* of heap, a power of two */
    uint32_t first;
    uint32_t count;
    uint32_t kept;     /* items from the front that may not be dropped */
    size_t first_sent; /* bytes of the first item that are gone already */
    size_t bytes;      /* that are not */
    struct rh_shared *inplace[RH_SEND_QUEUE_INLINE];
};

/* Gives all references back and leaves an empty queue. */
void rh_send_queue_finish(struct rh_send_queue *queue);

/* Adds |item|, which has at least one byte, and takes a reference. RH_ERR_NO_MEMORY: nothing was
 * taken. */
RH_MUST_CHECK int rh_send_queue_push(struct rh_send_queue *queue, struct rh_shared *item);

/* Describes up to |pieces_max| pieces from the front; returns how many. They are valid until the
 * queue changes. */
size_t rh_send_queue_peek(const struct rh_send_queue *queue, struct rh_bytes *ret_pieces,
                          size_t pieces_max);

/* |size| bytes from the front were sent; at most queue->bytes. */
void rh_send_queue_consume(struct rh_send_queue *queue, size_t size);

/* What is in the queue now will be sent whatever is dropped. */
static inline void rh_send_queue_keep(struct rh_send_queue *queue)
{
    queue->kept = queue->count;
}

/* Gives back all items of which no byte was sent and that need not be kept. */
void rh_send_queue_drop_unsent(struct rh_send_queue *queue);

#endif
