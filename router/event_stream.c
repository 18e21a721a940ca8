/* SPDX-License-Identifier: Apache-2.0 */
#include "router/event_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_SIZE 160 /* of what is not data, with terminator */

/* Takes the next line of |rest|, which ends with \r\n, \n, \r or the end. Whether there was one. */
static bool next_line(struct rh_bytes *rest, struct rh_bytes *ret_line)
{
    if (rest->data == NULL) {
        return false;
    }
    size_t size = 0;
    while (size < rest->size && rest->data[size] != '\n' && rest->data[size] != '\r') {
        size++;
    }
    *ret_line = rh_bytes(rest->data, size);
    if (size == rest->size) {
        *rest = rh_bytes(NULL, 0);
        return true;
    }
    size_t end = size + 1;
    if (rest->data[size] == '\r' && end < rest->size && rest->data[end] == '\n') {
        end++;
    }
    *rest = rh_bytes(rest->data + end, rest->size - end);
    return true;
}

static size_t data_size(struct rh_bytes data)
{
    size_t size = 0;
    for (struct rh_bytes line; next_line(&data, &line);) {
        size += strlen("data: \n") + line.size;
    }
    return size;
}

/* The lines before the data; returns their size. */
static size_t format_head(const struct rh_event_stream_event *event, char out[static HEAD_SIZE])
{
    char retry[32] = "";
    char id[RH_POSITION_TEXT_SIZE + 8] = "";
    if (event->retry_ms > 0) {
        (void)snprintf(retry, sizeof(retry), "retry: %" PRIu32 "\n", event->retry_ms);
    }
    if (event->has_id) {
        char position[RH_POSITION_TEXT_SIZE];
        rh_position_format(event->id, position);
        (void)snprintf(id, sizeof(id), "id: %s\n", position);
    }
    int size = snprintf(out, HEAD_SIZE, "%s%sevent: %.40s\n", retry, id, event->name);
    return (size_t)size;
}

struct rh_shared *rh_event_stream_encode(const struct rh_event_stream_event *event)
{
    char head[HEAD_SIZE];
    size_t head_size = format_head(event, head);
    struct rh_shared *shared = rh_shared_create(head_size + data_size(event->data) + 1);
    if (shared == NULL) {
        return NULL;
    }
    char *out = rh_bytes_write(shared->data, rh_bytes(head, head_size));
    struct rh_bytes rest = event->data;
    for (struct rh_bytes line; next_line(&rest, &line);) {
        out = rh_bytes_write(out, rh_bytes_text("data: "));
        out = rh_bytes_write(out, line);
        out = rh_bytes_write(out, rh_bytes_text("\n"));
    }
    *out = '\n';
    return shared;
}
