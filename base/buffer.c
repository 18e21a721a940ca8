/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256

void rh_buffer_init(struct rh_buffer *buffer)
{
    *buffer = (struct rh_buffer){0};
}

void rh_buffer_finish(struct rh_buffer *buffer)
{
    free(buffer->data);
    rh_buffer_init(buffer);
}

/* Moves the content to the front of the memory, so that consumed space is used again. */
static void compact(struct rh_buffer *buffer)
{
    size_t size = rh_buffer_size(buffer);
    if (buffer->start > 0 && size > 0) {
        memmove(buffer->data, buffer->data + buffer->start, size);
    }
    buffer->start = 0;
    buffer->end = size;
}

char *rh_buffer_reserve(struct rh_buffer *buffer, size_t size)
{
    assert(buffer->start <= buffer->end && buffer->end <= buffer->capacity);
    if (buffer->data != NULL && buffer->capacity - buffer->end >= size) {
        return buffer->data + buffer->end;
    }
    size_t content = rh_buffer_size(buffer);
    if (size > SIZE_MAX / 4 || content > SIZE_MAX / 4) {
        return NULL;
    }
    /* Moving pays only when at least half of the memory is free, or appending would be quadratic. */
    if (buffer->data != NULL && content + size <= buffer->capacity / 2) {
        compact(buffer);
        return buffer->data + buffer->end;
    }
    size_t capacity = buffer->capacity < CAPACITY_MIN ? CAPACITY_MIN : buffer->capacity;
    while (capacity < content + size) {
        capacity *= 2;
    }
    if (capacity == buffer->capacity) {
        compact(buffer);
        return buffer->data + buffer->end;
    }
    char *data = malloc(capacity);
    if (data == NULL) {
        return NULL;
    }
    if (content > 0) {
        memcpy(data, buffer->data + buffer->start, content);
    }
    free(buffer->data);
    *buffer = (struct rh_buffer){.data = data, .end = content, .capacity = capacity};
    return data + content;
}

void rh_buffer_commit(struct rh_buffer *buffer, size_t size)
{
    assert(size <= buffer->capacity - buffer->end);
    buffer->end += size;
}

int rh_buffer_append(struct rh_buffer *buffer, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    char *room = rh_buffer_reserve(buffer, size);
    if (room == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    memcpy(room, data, size);
    rh_buffer_commit(buffer, size);
    return 0;
}

int rh_buffer_append_text(struct rh_buffer *buffer, const char *text)
{
    return rh_buffer_append(buffer, text, strlen(text));
}

int rh_buffer_append_bytes(struct rh_buffer *buffer, struct rh_bytes bytes)
{
    return rh_buffer_append(buffer, bytes.data, bytes.size);
}

int rh_buffer_format(struct rh_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    char *room = rh_buffer_reserve(buffer, (size_t)length + 1);
    if (room != NULL) {
        (void)vsnprintf(room, (size_t)length + 1, format, again);
        rh_buffer_commit(buffer, (size_t)length);
    }
    va_end(again);
    return room == NULL ? RH_ERR_NO_MEMORY : 0;
}

void rh_buffer_consume(struct rh_buffer *buffer, size_t size)
{
    assert(size <= rh_buffer_size(buffer));
    buffer->start += size;
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
    }
}

void rh_buffer_truncate(struct rh_buffer *buffer, size_t size)
{
    assert(size <= rh_buffer_size(buffer));
    buffer->end = buffer->start + size;
}

void rh_buffer_clear(struct rh_buffer *buffer)
{
    buffer->start = 0;
    buffer->end = 0;
}

char *rh_buffer_take_text(struct rh_buffer *buffer)
{
    char *room = rh_buffer_reserve(buffer, 1);
    if (room == NULL) {
        return NULL;
    }
    *room = '\0';
    compact(buffer);
    buffer->data[buffer->end] = '\0';
    char *text = buffer->data;
    rh_buffer_init(buffer);
    return text;
}
