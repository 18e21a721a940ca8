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
    size_t bucket = (size_t)hash & (table->base - 1);
    return bucket < table->split ? (size_t)hash & (2 * table->base - 1) : bucket;
}

static size_t buckets_count(const struct rh_table *table)
{
    return table->base + table->split;
}

int rh_table_init(struct rh_table *table)
{
    struct rh_table_link **buckets = calloc(BUCKETS_MIN, sizeof(*buckets));
    if (buckets == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    *table = (struct rh_table){.buckets = buckets, .base = BUCKETS_MIN};
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

/* Splits one bucket, unless memory is short. */
static void grow(struct rh_table *table)
{
    if (table->split == 0) {
        struct rh_table_link **buckets =
            realloc(table->buckets, 2 * table->base * sizeof(*buckets));
        if (buckets == NULL) {
            return;
        }
        table->buckets = buckets;
    }
    struct rh_table_link *link = table->buckets[table->split];
    table->buckets[table->split] = NULL;
    table->buckets[table->base + table->split] = NULL;
    table->split++;
    while (link != NULL) {
        struct rh_table_link *next = link->next;
        put(table, link);
        link = next;
    }
    if (table->split == table->base) {
        table->base *= 2;
        table->split = 0;
    }
}

void rh_table_insert(struct rh_table *table, struct rh_table_link *link, uint64_t hash)
{
    /* Twice, so that it catches up once there is memory again. */
    for (unsigned i = 0; i < 2 && table->count >= buckets_count(table); i++) {
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
    for (; bucket < buckets_count(table); bucket++) {
        if (table->buckets[bucket] != NULL) {
            return table->buckets[bucket];
        }
    }
    return NULL;
}

/*
 * A bucket is what ends in the same bits, and splitting it takes one bit more. So the highest bit is
 * counted first: all that a bucket can become lies together, and what was passed before a split is
 * passed after it.
 */
uint64_t rh_table_scan(const struct rh_table *table, uint64_t cursor,
                       void (*look)(void *context, struct rh_table_link *link), void *context)
{
    size_t bucket = cursor & (table->base - 1);
    uint64_t bit = table->base / 2;
    if (bucket < table->split) {
        bucket = cursor & (2 * table->base - 1);
        bit = table->base;
    }
    for (struct rh_table_link *link = table->buckets[bucket]; link != NULL; link = link->next) {
        look(context, link);
    }
    for (; (cursor & bit) != 0; bit /= 2) {
        cursor -= bit;
    }
    return cursor | bit;
}
