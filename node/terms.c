/* SPDX-License-Identifier: Apache-2.0 */
#include "node/terms.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* How many entries begin at |op| or before. */
static uint32_t count_until(const struct rh_terms *terms, uint64_t op)
{
    uint32_t low = 0;
    uint32_t high = terms == NULL ? 0 : terms->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (terms->items[middle].first_op <= op) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void drop_first(struct rh_terms *terms, uint32_t count)
{
    terms->count -= count;
    memmove(terms->items, terms->items + count, terms->count * sizeof(terms->items[0]));
}

static size_t size_of(uint32_t capacity)
{
    return sizeof(struct rh_terms) + capacity * sizeof(struct rh_peer_term_from);
}

struct rh_term rh_terms_at(const struct rh_terms *terms, uint64_t op)
{
    uint32_t count = count_until(terms, op);
    return count == 0 ? (struct rh_term){0} : terms->items[count - 1].term;
}

int rh_terms_push(struct rh_terms **terms, uint64_t first_op, struct rh_term term)
{
    struct rh_terms *list = *terms;
    uint32_t count = list == NULL ? 0 : list->count;
    assert(first_op > 0);
    if (count > 0) {
        const struct rh_peer_term_from *last = &list->items[count - 1];
        if (rh_term_equal(last->term, term)) {
            return 0;
        }
        assert(first_op > last->first_op && rh_term_compare(term, last->term) > 0);
    }
    if (count == RH_PEER_TERMS_MAX) {
        drop_first(list, 1);
    } else if (list == NULL || count == list->capacity) {
        uint32_t capacity = count == 0 ? 1 : count * 2;
        list = realloc(list, size_of(capacity));
        if (list == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        list->capacity = capacity;
        list->count = count;
        *terms = list;
    }
    list->items[list->count++] = (struct rh_peer_term_from){.first_op = first_op, .term = term};
    return 0;
}

void rh_terms_cut(struct rh_terms **terms, uint64_t op)
{
    uint32_t count = count_until(*terms, op);
    if (count > 0) {
        (*terms)->count = count;
        return;
    }
    rh_terms_destroy(*terms);
    *terms = NULL;
}

void rh_terms_trim(struct rh_terms *terms, uint64_t first_op)
{
    assert(first_op > 0);
    uint32_t count = count_until(terms, first_op - 1);
    if (count > 1) {
        drop_first(terms, count - 1);
    }
}

int rh_terms_copy(const struct rh_terms *terms, struct rh_terms **ret_terms)
{
    struct rh_terms *copy = NULL;
    if (terms != NULL) {
        copy = malloc(size_of(terms->count));
        if (copy == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        copy->count = terms->count;
        copy->capacity = terms->count;
        memcpy(copy->items, terms->items, terms->count * sizeof(terms->items[0]));
    }
    *ret_terms = copy;
    return 0;
}

void rh_terms_destroy(struct rh_terms *terms)
{
    free(terms);
}
