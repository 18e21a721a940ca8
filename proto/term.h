/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_TERM_H
#define RH_PROTO_TERM_H

/*
 * The term of an acting owner: the epoch in which it came to act for a channel, and how many times
 * it had come to act for any channel in that epoch. No two acting owners ever have the same one.
 * docs/protocol-cluster.md, section 2, has the rules; this is only the value.
 */

#include "proto/identity.h"

#include <stdbool.h>
#include <stdint.h>

/* Half the size of an epoch and a number, since each copy of a channel keeps one. */
struct rh_term {
    int64_t pzxid;
    uint32_t generation;
    uint32_t turn; /* from 1; all three 0: no term, before all others */
};

static inline struct rh_term rh_term_make(struct rh_epoch epoch, uint32_t turn)
{
    return (struct rh_term){
        .pzxid = epoch.pzxid, .generation = (uint32_t)epoch.generation, .turn = turn};
}

static inline struct rh_epoch rh_term_epoch(struct rh_term term)
{
    return (struct rh_epoch){.generation = term.generation, .pzxid = term.pzxid};
}

/* < 0, 0, > 0 as |a| is before, equal to, or after |b|. */
static inline int rh_term_compare(struct rh_term a, struct rh_term b)
{
    int order = rh_epoch_compare(rh_term_epoch(a), rh_term_epoch(b));
    return order != 0 ? order : (a.turn > b.turn) - (a.turn < b.turn);
}

static inline bool rh_term_equal(struct rh_term a, struct rh_term b)
{
    return rh_term_compare(a, b) == 0;
}

#endif
