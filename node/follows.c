/* SPDX-License-Identifier: Apache-2.0 */
#include "node/follows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4U

static uint32_t index_of(const struct rh_follows *follows, struct rh_bytes topic)
{
    for (uint32_t i = 0; i < rh_follows_count(follows); i++) {
        if (rh_bytes_equal(rh_follow_topic(follows->items[i]), topic)) {
            return i;
        }
    }
    return rh_follows_count(follows);
}

struct rh_follow *rh_follows_find(const struct rh_follows *follows, struct rh_bytes topic)
{
    uint32_t index = index_of(follows, topic);
    return index == rh_follows_count(follows) ? NULL : follows->items[index];
}

static int add(struct rh_follows **follows, struct rh_bytes topic, struct rh_position position)
{
    struct rh_follows *table = *follows == NULL ? calloc(1, sizeof(*table)) : *follows;
    struct rh_follow *follow = malloc(sizeof(*follow) + topic.size);
    if (table != NULL && table->count == table->capacity) {
        uint32_t capacity = table->capacity == 0 ? CAPACITY_MIN : table->capacity * 2;
        struct rh_follow **items = reallocarray(table->items, capacity, sizeof(*items));
        if (items != NULL) {
            table->items = items;
            table->capacity = capacity;
        }
    }
    if (follow == NULL || table == NULL || table->count == table->capacity) {
        free(follow);
        if (*follows == NULL) {
            rh_follows_destroy(table);
        }
        return RH_ERR_NO_MEMORY;
    }
    *follow = (struct rh_follow){.position = position, .topic_size = (uint16_t)topic.size};
    rh_list_init(&follow->link);
    (void)rh_bytes_write(follow->topic, topic);
    table->items[table->count++] = follow;
    *follows = table;
    return 0;
}

static void free_item(struct rh_follow *follow)
{
    assert(follow->feed == NULL);
    free(follow);
}

static void remove_at(struct rh_follows **follows, uint32_t index)
{
    struct rh_follows *table = *follows;
    free_item(table->items[index]);
    table->count--;
    memmove(&table->items[index], &table->items[index + 1],
            (table->count - index) * sizeof(struct rh_follow *));
    if (table->count == 0) {
        rh_follows_destroy(table);
        *follows = NULL;
    }
}

int rh_follows_apply(struct rh_follows **follows, const struct rh_entry *entry)
{
    struct rh_bytes topic = rh_entry_topic(entry);
    uint32_t index = index_of(*follows, topic);
    bool is_there = index < rh_follows_count(*follows);
    if (topic.size == 0) {
        return 0;
    }
    if (entry->entry_kind == RH_ENTRY_UNFOLLOW) {
        if (is_there) {
            remove_at(follows, index);
        }
        return 0;
    }
    if (is_there) {
        (*follows)->items[index]->position = rh_entry_position(entry);
        return 0;
    }
    return entry->entry_kind == RH_ENTRY_FOLLOW ? add(follows, topic, rh_entry_position(entry)) : 0;
}

int rh_follows_replace(struct rh_follows **follows, const struct rh_peer_follow *items,
                       size_t count)
{
    rh_follows_destroy(*follows);
    *follows = NULL;
    for (size_t i = 0; i < count; i++) {
        if (add(follows, items[i].topic, items[i].position) != 0) {
            rh_follows_destroy(*follows);
            *follows = NULL;
            return RH_ERR_NO_MEMORY;
        }
    }
    return 0;
}

void rh_follows_destroy(struct rh_follows *follows)
{
    if (follows == NULL) {
        return;
    }
    for (uint32_t i = 0; i < follows->count; i++) {
        free_item(follows->items[i]);
    }
    free(follows->items);
    free(follows);
}
