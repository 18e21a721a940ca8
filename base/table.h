/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_TABLE_H
#define RH_BASE_TABLE_H

/*
 * Intrusive hash table: elements embed a `struct rh_table_link`, the caller computes the hash and
 * says what equal means. The table owns its buckets and never the elements.
 *
 * It grows with each element and never shrinks (linear hashing: Litwin, 1980): one bucket after the
 * other is split in two, so that no insertion among a million takes longer than another. When memory
 * for growing is short, chains only get longer; so inserting cannot fail once init has succeeded.
 *
 *      0 ......... split ......... base ......... base + split ......... 2 * base
 *      | was split | is not yet    | the other halves | not used yet     |
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_table_link {
    struct rh_table_link *next;
    uint64_t hash;
};

struct rh_table {
    struct rh_table_link **buckets;
    size_t base;  /* a power of two */
    size_t split; /* less than base */
    size_t count; /* elements */
};

/* Whether |link| is the element that |key| names; called for links of the same hash only. */
typedef bool rh_table_equal(const struct rh_table_link *link, const void *key);

RH_MUST_CHECK int rh_table_init(struct rh_table *table);

/* Frees the buckets. Elements that are still in the table are simply forgotten. */
void rh_table_finish(struct rh_table *table);

/* Adds |link| under |hash|. The caller has made sure that no equal element is there. */
void rh_table_insert(struct rh_table *table, struct rh_table_link *link, uint64_t hash);

/* The element of that hash and key, or NULL. */
struct rh_table_link *rh_table_find(const struct rh_table *table, uint64_t hash,
                                    rh_table_equal *equal, const void *key);

/* Takes out |link|, which must be in the table. */
void rh_table_remove(struct rh_table *table, struct rh_table_link *link);

/*
 * Walks all elements: start with NULL, stop at NULL. Nothing may be inserted during the walk; to
 * remove the current element, ask for the next one first.
 */
struct rh_table_link *rh_table_next(const struct rh_table *table, const struct rh_table_link *link);

/*
 * Walks all elements in small pieces, between which elements may come and go: |cursor| 0 begins, and
 * 0 comes back at the end. Each call looks at the few elements of one bucket. What is in the table
 * all along is looked at exactly once, also when the table grows meanwhile; what comes or goes is
 * looked at once or not at all.
 */
uint64_t rh_table_scan(const struct rh_table *table, uint64_t cursor,
                       void (*look)(void *context, struct rh_table_link *link), void *context);

#endif
