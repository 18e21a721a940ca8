/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_SEND_QUEUE_H
#define RH_ROUTER_SEND_QUEUE_H

/*
 * What a connection has yet to send: references to encoded bytes, in order. Most connections send
 * nothing most of the time, so a queue that is empty is one pointer and owns no memory.
 */

#include "base/shared.h"

#include <stdbool.h>

/* The references, as long as there are any; only the functions of this module look inside. */
struct rh_send_ring;

/* A zeroed struct is an empty queue. */
struct rh_send_queue {
    struct rh_send_ring *ring; /* NULL: empty */
};

/* Gives all references back and leaves an empty queue. */
void rh_send_queue_finish(struct rh_send_queue *queue);

static inline bool rh_send_queue_is_empty(const struct rh_send_queue *queue)
{
    return queue->ring == NULL;
}

/* Bytes that are not sent. */
size_t rh_send_queue_bytes(const struct rh_send_queue *queue);

/* Adds |item|, which has at least one byte, and takes a reference. RH_ERR_NO_MEMORY: nothing was
 * taken. */
RH_MUST_CHECK int rh_send_queue_push(struct rh_send_queue *queue, struct rh_shared *item);

/* Describes up to |pieces_max| pieces from the front; returns how many. They are valid until the
 * queue changes. */
size_t rh_send_queue_peek(const struct rh_send_queue *queue, struct rh_bytes *ret_pieces,
                          size_t pieces_max);

/* |size| bytes from the front were sent; at most rh_send_queue_bytes(). */
void rh_send_queue_consume(struct rh_send_queue *queue, size_t size);

/* What is in the queue now will be sent whatever is dropped. */
void rh_send_queue_keep(struct rh_send_queue *queue);

/* Gives back all items of which no byte was sent and that need not be kept. */
void rh_send_queue_drop_unsent(struct rh_send_queue *queue);

#endif
