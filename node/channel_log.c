/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4

static struct rh_entry *entry_create(struct rh_bytes id, struct rh_payload payload)
{
    if (id.size > UINT32_MAX || payload.bytes.size > UINT32_MAX) {
        return NULL;
    }
    struct rh_entry *entry = malloc(sizeof(*entry) + id.size + payload.bytes.size);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct rh_entry){
        .references = 1,
        .kind = payload.kind,
        .id_size = (uint32_t)id.size,
        .payload_size = (uint32_t)payload.bytes.size,
    };
    if (id.size > 0) {
        memcpy(entry->data, id.data, id.size);
    }
    if (payload.bytes.size > 0) {
        memcpy(entry->data + id.size, payload.bytes.data, payload.bytes.size);
    }
    return entry;
}

struct rh_entry *rh_entry_take(struct rh_entry *entry)
{
    entry->references++;
    return entry;
}

void rh_entry_give(struct rh_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    assert(entry->references > 0);
    entry->references--;
    if (entry->references == 0) {
        free(entry);
    }
}

void rh_channel_log_init(struct rh_channel_log *log)
{
    *log = (struct rh_channel_log){.first_seq = 1};
}

static uint64_t entry_bytes(const struct rh_entry *entry)
{
    return (uint64_t)entry->id_size + entry->payload_size;
}

static void drop_first(struct rh_channel_log *log)
{
    assert(log->count > 0);
    struct rh_entry *entry = log->slots[log->head];
    assert(entry->seq == log->first_seq);
    log->bytes -= entry_bytes(entry);
    log->head = (log->head + 1) & (log->capacity - 1);
    log->count--;
    log->first_seq++;
    rh_entry_give(entry);
}

void rh_channel_log_finish(struct rh_channel_log *log)
{
    while (log->count > 0) {
        drop_first(log);
    }
    free(log->slots);
    rh_channel_log_init(log);
}

static int grow(struct rh_channel_log *log)
{
    size_t capacity = log->capacity == 0 ? CAPACITY_MIN : log->capacity * 2;
    struct rh_entry **slots = calloc(capacity, sizeof(struct rh_entry *));
    if (slots == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < log->count; i++) {
        slots[i] = log->slots[(log->head + i) & (log->capacity - 1)];
    }
    free(log->slots);
    log->slots = slots;
    log->capacity = capacity;
    log->head = 0;
    return 0;
}

static void trim(struct rh_channel_log *log, const struct rh_channel_log_limits *limits)
{
    while (log->count > limits->messages_max) {
        drop_first(log);
    }
    while (log->count > 1 && log->bytes > limits->bytes_max) {
        drop_first(log);
    }
}

int rh_channel_log_append(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                          struct rh_bytes id, struct rh_payload payload, int64_t time_ms,
                          struct rh_entry **ret_entry)
{
    assert(limits->messages_max > 0);
    rh_channel_log_expire(log, limits, time_ms);
    if (log->count == log->capacity) {
        int rv = grow(log);
        if (rv != 0) {
            return rv;
        }
    }
    struct rh_entry *entry = entry_create(id, payload);
    if (entry == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    entry->seq = log->first_seq + log->count;
    entry->time_ms = time_ms;
    log->slots[(log->head + log->count) & (log->capacity - 1)] = entry;
    log->count++;
    log->bytes += entry_bytes(entry);
    trim(log, limits);
    assert(log->count > 0);
    *ret_entry = entry;
    return 0;
}

struct rh_entry *rh_channel_log_get(const struct rh_channel_log *log, uint64_t seq)
{
    if (seq < log->first_seq || seq - log->first_seq >= log->count) {
        return NULL;
    }
    size_t offset = (size_t)(seq - log->first_seq);
    return log->slots[(log->head + offset) & (log->capacity - 1)];
}

void rh_channel_log_expire(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                           int64_t time_ms)
{
    while (log->count > 0 &&
           time_ms - log->slots[log->head]->time_ms > (int64_t)limits->age_ms_max) {
        drop_first(log);
    }
}
