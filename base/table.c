/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <assert.h>
#include <stdlib.h>

#define BUCKETS_MIN 16

/* Hashes that callers hand in may be small numbers: spread them (the finaliser of splitmix64). */
static size_t bucket_of(const struct rh_table *table, uint64_t hash)
{
    hash ^= hash >> 30;
    hash *= 0xbf58476d1ce4e5b9U;
    hash ^= hash >> 27;
    return (size_t)hash & (table->buckets_count - 1);
}

int rh_table_init(struct rh_table *table)
{
    struct rh_table_link **buckets = calloc(BUCKETS_MIN, sizeof(*buckets));
    if (buckets == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    *table = (struct rh_table){.buckets = buckets, .buckets_count = BUCKETS_MIN};
    return 0;
}

void rh_table_finish(struct rh_table *table)
{
    free(table->buckets);
    *table = (struct rh_table){0};
}

static void put(struct rh_table *table, struct rh_table_link *link)
{
    struct rh_table_link **bucket = &table->buckets[bucket_of(table, link->hash)];
    link->next = *bucket;
    *bucket = link;
}

static void grow(struct rh_table *table)
{
    struct rh_table old = *table;
    struct rh_table_link **buckets = calloc(old.buckets_count * 2, sizeof(*buckets));
    if (buckets == NULL) {
        return;
    }
    table->buckets = buckets;
    table->buckets_count = old.buckets_count * 2;
    for (size_t i = 0; i < old.buckets_count; i++) {
        struct rh_table_link *link = old.buckets[i];
        while (link != NULL) {
            struct rh_table_link *next = link->next;
            put(table, link);
            link = next;
        }
    }
    free(old.buckets);
}

void rh_table_insert(struct rh_table *table, struct rh_table_link *link, uint64_t hash)
{
    if (table->count >= table->buckets_count) {
        grow(table);
    }
    link->hash = hash;
    put(table, link);
    table->count++;
}

struct rh_table_link *rh_table_find(const struct rh_table *table, uint64_t hash,
                                    rh_table_equal *equal, const void *key)
{
    struct rh_table_link *link = table->buckets[bucket_of(table, hash)];
    for (; link != NULL; link = link->next) {
        if (link->hash == hash && equal(link, key)) {
            return link;
        }
    }
    return NULL;
}

void rh_table_remove(struct rh_table *table, struct rh_table_link *link)
{
    struct rh_table_link **at = &table->buckets[bucket_of(table, link->hash)];
    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    table->count--;
}

struct rh_table_link *rh_table_next(const struct rh_table *table, const struct rh_table_link *link)
{
    if (link != NULL && link->next != NULL) {
        return link->next;
    }
    size_t bucket = link == NULL ? 0 : bucket_of(table, link->hash) + 1;
    for (; bucket < table->buckets_count; bucket++) {
        if (table->buckets[bucket] != NULL) {
            return table->buckets[bucket];
        }
    }
    return NULL;
}

/*
 * A bucket of a small table becomes those of a table of twice its size that end in the same bits. So
 * the highest bit is counted first: all that a bucket can become lies together, and what was passed
 * in the small table is passed in the large one.
 */
uint64_t rh_table_scan(const struct rh_table *table, uint64_t cursor,
                       void (*look)(void *context, struct rh_table_link *link), void *context)
{
    struct rh_table_link *link = table->buckets[cursor & (table->buckets_count - 1)];
    for (; link != NULL; link = link->next) {
        look(context, link);
    }
    uint64_t bit = table->buckets_count / 2;
    for (; (cursor & bit) != 0; bit /= 2) {
        cursor -= bit;
    }
    return cursor | bit;
}
