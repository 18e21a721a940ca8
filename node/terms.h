/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_TERMS_H
#define RH_NODE_TERMS_H

/*
 * Which operations of a channel were given under which term: by whom they were numbered. Two copies
 * of an incarnation that agree on the term of one operation agree on everything up to it. Mostly one
 * entry; so it is one small allocation, and the empty list is NULL.
 */

#include "base/error.h"
#include "proto/peer_replication.h"

struct rh_terms {
    uint32_t count;                   /* 1 to RH_PEER_TERMS_MAX */
    uint32_t capacity;                /* of items */
    struct rh_peer_term_from items[]; /* ascending in op and in term */
};

/* The term under which |op| was given. Zero: op 0, or before the first entry, which is to say that
 * for an op above 0 it is not known. */
struct rh_term rh_terms_at(const struct rh_terms *terms, uint64_t op);

/*
 * From |first_op| on operations are given under |term|. Nothing is added if the last entry has that
 * term; otherwise both are above those of the last entry. A full list forgets its first entry.
 * RH_ERR_NO_MEMORY: nothing changed.
 */
RH_MUST_CHECK int rh_terms_push(struct rh_terms **terms, uint64_t first_op, struct rh_term term);

/* Forgets operations above |op|. */
void rh_terms_cut(struct rh_terms **terms, uint64_t op);

/* Forgets what is not needed while a log begins at |first_op|, from 1. The term of the operation
 * before that is kept, because a member may hold just as much; and so is the last entry. NULL is
 * allowed. */
void rh_terms_trim(struct rh_terms *terms, uint64_t first_op);

/* A list like |terms|. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_terms_copy(const struct rh_terms *terms, struct rh_terms **ret_terms);

void rh_terms_destroy(struct rh_terms *terms);

#endif
