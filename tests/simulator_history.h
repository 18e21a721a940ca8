/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_HISTORY_H
#define RH_TESTS_SIMULATOR_HISTORY_H

/*
 * Lists of operations as the checker of the simulator keeps them: by number, from 1, each with what
 * it was. No memory means abort().
 */

#include "proto/term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One operation. */
struct sim_fact {
    uint64_t hash; /* of all of it; 0: not known, it was trimmed before it was seen */
    uint64_t seq;
    uint64_t message; /* its number; 0: it is none */
    struct rh_term term;
};

struct sim_history {
    struct sim_fact *items;
    size_t count; /* the highest number */
    size_t capacity;
};

/* NULL: there is none of that number, or the number is 0. Valid until the next change. */
const struct sim_fact *sim_history_get(const struct sim_history *history, uint64_t number);

/* Sets one; those between the highest so far and it are not known. */
void sim_history_set(struct sim_history *history, uint64_t number, const struct sim_fact *fact);

/* Forgets those above |number|. */
void sim_history_cut(struct sim_history *history, uint64_t number);

void sim_history_copy(struct sim_history *to, const struct sim_history *from);
void sim_history_finish(struct sim_history *history);

/* What anybody ever held at an op with a term, and the term of the operation before it. */
struct sim_line {
    struct rh_term term;
    uint64_t hash;
    bool has_before;
    struct rh_term before;
    int node; /* who was the first */
    size_t next;
};

struct sim_lines {
    struct sim_line *items;
    size_t count;
    size_t capacity;
    size_t *heads; /* by op: index + 1 of the first line */
    size_t heads_count;
};

/* The line of (op, term), made if need be. Valid until the next call. */
struct sim_line *sim_lines_at(struct sim_lines *lines, uint64_t op, struct rh_term term);
void sim_lines_finish(struct sim_lines *lines);

#endif
