/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_BUFFER_H
#define RH_BASE_BUFFER_H

/*
 * A growing byte buffer: bytes are added at the end and consumed from the front.
 *
 *      data      data + start           data + end       data + capacity
 *       |  consumed  |       content         |     free      |
 *
 * 0 <= start <= end <= capacity. An empty buffer owns no memory until the first append.
 */

#include "base/bytes.h"

#include <stddef.h>

struct rh_buffer {
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
};

/* A zeroed struct is an initialised, empty buffer; init exists for memory that is not zeroed. */
void rh_buffer_init(struct rh_buffer *buffer);

/* Frees the memory and leaves an empty, usable buffer. */
void rh_buffer_finish(struct rh_buffer *buffer);

/* The content; valid until the next call that appends, reserves, clears or finishes. */
static inline struct rh_bytes rh_buffer_content(const struct rh_buffer *buffer)
{
    return rh_bytes(buffer->data == NULL ? NULL : buffer->data + buffer->start,
                    buffer->end - buffer->start);
}

static inline size_t rh_buffer_size(const struct rh_buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* Makes room for |size| more bytes and returns where they go, or NULL when out of memory (the
 * content is untouched). Call rh_buffer_commit() with what was really written. */
char *rh_buffer_reserve(struct rh_buffer *buffer, size_t size);
void rh_buffer_commit(struct rh_buffer *buffer, size_t size);

/* Appends. RH_ERR_NO_MEMORY: nothing was appended. */
RH_MUST_CHECK int rh_buffer_append(struct rh_buffer *buffer, const void *data, size_t size);
RH_MUST_CHECK int rh_buffer_append_text(struct rh_buffer *buffer, const char *text);
RH_MUST_CHECK int rh_buffer_append_bytes(struct rh_buffer *buffer, struct rh_bytes bytes);
RH_MUST_CHECK int rh_buffer_format(struct rh_buffer *buffer, const char *format, ...)
    RH_PRINTF(2, 3);

/* Drops |size| bytes from the front; |size| is at most the content's. */
void rh_buffer_consume(struct rh_buffer *buffer, size_t size);

/* Cuts the content to its first |size| bytes. */
void rh_buffer_truncate(struct rh_buffer *buffer, size_t size);

/* Drops the content and keeps the memory. */
void rh_buffer_clear(struct rh_buffer *buffer);

/* The content as a terminated string that the caller frees; the buffer is empty afterwards.
 * NULL when out of memory (the buffer is untouched). */
char *rh_buffer_take_text(struct rh_buffer *buffer);

#endif
