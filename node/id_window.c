/* SPDX-License-Identifier: Apache-2.0 */
#include "node/id_window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct record {
    struct rh_table_link link;
    struct rh_list order;
    uint64_t seq;
    uint64_t added_ms;
    uint32_t id_size;
    char id[];
};

static bool record_equal(const struct rh_table_link *link, const void *key)
{
    const struct record *record = (const struct record *)(const void *)link;
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
    rh_list_init(&window->order);
}

static void forget(struct rh_id_window *window, struct record *record)
{
    rh_list_remove(&record->order);
    rh_table_remove(&window->records, &record->link);
    free(record);
}

static struct record *oldest(const struct rh_id_window *window)
{
    struct rh_list *link = rh_list_first(&window->order);
    return link == NULL ? NULL : rh_container_of(link, struct record, order);
}

void rh_id_window_finish(struct rh_id_window *window)
{
    for (struct record *record = oldest(window); record != NULL; record = oldest(window)) {
        forget(window, record);
    }
    rh_table_finish(&window->records);
    rh_id_window_init(window, window->secret);
}

bool rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id, uint64_t *ret_seq)
{
    if (window->records.buckets == NULL) {
        return false;
    }
    const struct rh_table_link *link =
        rh_table_find(&window->records, hash_of(window, id), record_equal, &id);
    if (link == NULL) {
        return false;
    }
    *ret_seq = ((const struct record *)(const void *)link)->seq;
    return true;
}

void rh_id_window_expire(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                         uint64_t now_ms)
{
    for (struct record *record = oldest(window); record != NULL; record = oldest(window)) {
        if (now_ms - record->added_ms <= limits->age_ms_max) {
            return;
        }
        forget(window, record);
    }
}

int rh_id_window_add(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                     struct rh_bytes id, uint64_t seq, uint64_t now_ms)
{
    assert(id.size > 0 && id.size <= UINT32_MAX);
    if (window->records.buckets == NULL) {
        int rv = rh_table_init(&window->records);
        if (rv != 0) {
            return rv;
        }
    }
    struct record *record = malloc(sizeof(*record) + id.size);
    if (record == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    *record = (struct record){.seq = seq, .added_ms = now_ms, .id_size = (uint32_t)id.size};
    memcpy(record->id, id.data, id.size);
    rh_list_push_back(&window->order, &record->order);
    rh_table_insert(&window->records, &record->link, hash_of(window, id));
    while (window->records.count > limits->ids_max) {
        struct record *first = oldest(window);
        assert(first != NULL);
        forget(window, first);
    }
    return 0;
}

void rh_id_window_remove_newest(struct rh_id_window *window)
{
    if (!rh_list_empty(&window->order)) {
        forget(window, rh_container_of(window->order.prev, struct record, order));
    }
}
