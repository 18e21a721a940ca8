/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_IDENTITY_H
#define RH_PROTO_IDENTITY_H

/*
 * Who a node is and which view it is in: the two values that stand in peer messages, registrations
 * and roles alike.
 */

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define RH_NODE_ID_SIZE 65 /* with terminator */

/* Total order of views: first by generation, then by pzxid of members/. */
struct rh_epoch {
    uint64_t generation; /* from 1; 0 with pzxid 0 is "no view yet", before all others */
    int64_t pzxid;
};

/* < 0, 0, > 0 as |a| is before, equal to, or after |b|. */
static inline int rh_epoch_compare(struct rh_epoch a, struct rh_epoch b)
{
    if (a.generation != b.generation) {
        return a.generation < b.generation ? -1 : 1;
    }
    return (a.pzxid > b.pzxid) - (a.pzxid < b.pzxid);
}

/* A node as messages and roles name it: a restarted process is another one. */
struct rh_node_ref {
    char id[RH_NODE_ID_SIZE];
    uint64_t instance; /* random, never 0 */
};

static inline bool rh_node_ref_equal(const struct rh_node_ref *a, const struct rh_node_ref *b)
{
    return a->instance == b->instance && strcmp(a->id, b->id) == 0;
}

/* Whether |text| matches [A-Za-z0-9_-]{1,64}: the form of a node id. */
bool rh_node_id_valid(struct rh_bytes text);

#endif
