/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *resized(void *items, size_t size)
{
    void *more = realloc(items, size);
    if (more == NULL) {
        abort();
    }
    return more;
}

const struct sim_fact *sim_history_get(const struct sim_history *history, uint64_t number)
{
    return number == 0 || number > history->count ? NULL : &history->items[number - 1];
}

void sim_history_set(struct sim_history *history, uint64_t number, const struct sim_fact *fact)
{
    assert(number > 0);
    if (number > history->capacity) {
        history->capacity = 2 * (size_t)number;
        history->items = resized(history->items, history->capacity * sizeof(*history->items));
    }
    if (number > history->count) {
        memset(history->items + history->count, 0,
               ((size_t)number - history->count) * sizeof(*history->items));
        history->count = (size_t)number;
    }
    history->items[number - 1] = *fact;
}

void sim_history_cut(struct sim_history *history, uint64_t number)
{
    if (number < history->count) {
        history->count = (size_t)number;
    }
}

void sim_history_copy(struct sim_history *to, const struct sim_history *from)
{
    if (from->count > to->capacity) {
        to->capacity = from->count;
        to->items = resized(to->items, to->capacity * sizeof(*to->items));
    }
    to->count = from->count;
    if (from->count > 0) {
        memcpy(to->items, from->items, from->count * sizeof(*to->items));
    }
}

void sim_history_finish(struct sim_history *history)
{
    free(history->items);
    *history = (struct sim_history){0};
}

struct sim_line *sim_lines_at(struct sim_lines *lines, uint64_t op, struct rh_term term)
{
    if (op >= lines->heads_count) {
        size_t count = 2 * (size_t)op + 2;
        lines->heads = resized(lines->heads, count * sizeof(*lines->heads));
        memset(lines->heads + lines->heads_count, 0,
               (count - lines->heads_count) * sizeof(*lines->heads));
        lines->heads_count = count;
    }
    for (size_t at = lines->heads[op]; at != 0; at = lines->items[at - 1].next) {
        if (rh_term_equal(lines->items[at - 1].term, term)) {
            return &lines->items[at - 1];
        }
    }
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity == 0 ? 64 : 2 * lines->capacity;
        lines->items = resized(lines->items, lines->capacity * sizeof(*lines->items));
    }
    lines->items[lines->count] = (struct sim_line){.term = term, .next = lines->heads[op]};
    lines->heads[op] = ++lines->count;
    return &lines->items[lines->count - 1];
}

void sim_lines_finish(struct sim_lines *lines)
{
    free(lines->items);
    free(lines->heads);
    *lines = (struct sim_lines){0};
}
