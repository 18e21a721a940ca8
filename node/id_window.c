/* SPDX-License-Identifier: Apache-2.0 */
#include "node/id_window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CAPACITY_MIN 4

struct rh_id_record {
    struct rh_table_link link;
    uint64_t seq;
    uint64_t op;
    uint64_t added_ms;
    uint8_t id_size;
    char id[];
};

static bool record_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_id_record *record = (const struct rh_id_record *)(const void *)link;
    const struct rh_bytes *id = key;
    return rh_bytes_equal(rh_bytes(record->id, record->id_size), *id);
}

static uint64_t hash_of(const struct rh_id_window *window, struct rh_bytes id)
{
    return XXH3_64bits_withSeed(id.data, id.size, window->secret);
}

void rh_id_window_init(struct rh_id_window *window, uint64_t secret)
{
    *window = (struct rh_id_window){.secret = secret};
}

static struct rh_id_record **slot(const struct rh_id_window *window, size_t index)
{
    return &window->order[(window->head + index) & (window->capacity - 1)];
}

/* Takes the record at |index| out of the order: those before it move up, for it is the oldest ones
 * that go. */
static void forget(struct rh_id_window *window, size_t index)
{
    struct rh_id_record *record = *slot(window, index);
    for (; index > 0; index--) {
        *slot(window, index) = *slot(window, index - 1);
    }
    window->head = (window->head + 1) & (window->capacity - 1);
    rh_table_remove(&window->records, &record->link);
    free(record);
}

void rh_id_window_finish(struct rh_id_window *window)
{
    if (window == NULL) {
        return;
    }
    rh_id_window_cut(window, 0);
    rh_table_finish(&window->records);
    free(window->order);
    rh_id_window_init(window, window->secret);
}

struct rh_id_window *rh_id_window_create(uint64_t secret)
{
    struct rh_id_window *window = malloc(sizeof(*window));
    if (window != NULL) {
        rh_id_window_init(window, secret);
    }
    return window;
}

void rh_id_window_destroy(struct rh_id_window *window)
{
    rh_id_window_finish(window);
    free(window);
}

static const struct rh_id_record *find(const struct rh_id_window *window, struct rh_bytes id)
{
    if (window == NULL || window->records.buckets == NULL) {
        return NULL;
    }
    return (const struct rh_id_record *)(const void *)rh_table_find(
        &window->records, hash_of(window, id), record_equal, &id);
}

bool rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id, uint64_t *ret_seq,
                       uint64_t *ret_op)
{
    const struct rh_id_record *record = find(window, id);
    if (record == NULL) {
        return false;
    }
    *ret_seq = record->seq;
    *ret_op = record->op;
    return true;
}

void rh_id_window_expire(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                         uint64_t now_ms)
{
    while (rh_id_window_count(window) > 0 &&
           now_ms - (*slot(window, 0))->added_ms > limits->age_ms_max) {
        forget(window, 0);
    }
}

/* Makes room for one more. */
static int reserve(struct rh_id_window *window)
{
    if (window->records.buckets == NULL) {
        int rv = rh_table_init(&window->records);
        if (rv != 0) {
            return rv;
        }
    }
    size_t count = window->records.count;
    if (count < window->capacity) {
        return 0;
    }
    if (window->capacity > UINT32_MAX / 2) {
        return RH_ERR_NO_MEMORY;
    }
    uint32_t capacity = window->capacity == 0 ? CAPACITY_MIN : window->capacity * 2;
    struct rh_id_record **order = calloc(capacity, sizeof(struct rh_id_record *));
    if (order == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = *slot(window, i);
    }
    free(window->order);
    window->order = order;
    window->capacity = capacity;
    window->head = 0;
    return 0;
}

static struct rh_id_record *record_create(struct rh_bytes id)
{
    size_t size = offsetof(struct rh_id_record, id) + id.size;
    struct rh_id_record *record =
        calloc(1, size < sizeof(struct rh_id_record) ? sizeof(struct rh_id_record) : size);
    if (record != NULL) {
        record->id_size = (uint8_t)id.size;
        memcpy(record->id, id.data, id.size);
    }
    return record;
}

int rh_id_window_add(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                     struct rh_bytes id, uint64_t seq, uint64_t op, uint64_t added_ms)
{
    size_t count = window->records.count;
    assert(id.size > 0 && id.size <= RH_ID_WINDOW_ID_SIZE_MAX);
    assert(op > (count == 0 ? 0 : (*slot(window, count - 1))->op));
    int rv = reserve(window);
    if (rv != 0) {
        return rv;
    }
    struct rh_id_record *record = record_create(id);
    if (record == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    record->seq = seq;
    record->op = op;
    record->added_ms = added_ms;
    const struct rh_id_record *before = find(window, id);
    if (before != NULL) {
        forget(window, rh_id_window_after(window, before->op - 1));
    }
    *slot(window, window->records.count) = record;
    rh_table_insert(&window->records, &record->link, hash_of(window, id));
    while (window->records.count > limits->ids_max) {
        forget(window, 0);
    }
    return 0;
}

void rh_id_window_cut(struct rh_id_window *window, uint64_t op)
{
    for (size_t count = rh_id_window_count(window); count > 0; count--) {
        struct rh_id_record *record = *slot(window, count - 1);
        if (record->op <= op) {
            return;
        }
        rh_table_remove(&window->records, &record->link);
        free(record);
    }
}

size_t rh_id_window_after(const struct rh_id_window *window, uint64_t op)
{
    size_t low = 0;
    size_t high = rh_id_window_count(window);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((*slot(window, middle))->op <= op) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct rh_id_window_item rh_id_window_get(const struct rh_id_window *window, size_t index)
{
    assert(index < rh_id_window_count(window));
    const struct rh_id_record *record = *slot(window, index);
    return (struct rh_id_window_item){
        .id = rh_bytes(record->id, record->id_size),
        .seq = record->seq,
        .op = record->op,
        .added_ms = record->added_ms,
    };
}
