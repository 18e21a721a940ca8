/* SPDX-License-Identifier: Apache-2.0 */

/* Stands in for node/core_inspect.c as long as that is not there: no node has copies. */

#include "node/core_inspect.h"

void *rh_core_copy_next(const struct rh_core *core RH_UNUSED, void *cursor RH_UNUSED,
                        struct rh_copy_info *ret_info RH_UNUSED)
{
    return NULL;
}

bool rh_core_copy_find(const struct rh_core *core RH_UNUSED, struct rh_bytes key RH_UNUSED,
                       struct rh_copy_info *ret_info RH_UNUSED)
{
    return false;
}

const struct rh_entry *rh_core_copy_entry(const struct rh_core *core RH_UNUSED,
                                          struct rh_bytes key RH_UNUSED, uint64_t op RH_UNUSED,
                                          struct rh_term *ret_term RH_UNUSED)
{
    return NULL;
}

bool rh_core_copy_id(const struct rh_core *core RH_UNUSED, struct rh_bytes key RH_UNUSED,
                     struct rh_bytes id RH_UNUSED, uint64_t *ret_seq RH_UNUSED,
                     uint64_t *ret_op RH_UNUSED)
{
    return false;
}

void rh_core_inside(const struct rh_core *core RH_UNUSED, struct rh_core_inside *ret_inside)
{
    *ret_inside = (struct rh_core_inside){.complete = true, .recorded = true};
}
