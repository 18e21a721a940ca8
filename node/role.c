/* SPDX-License-Identifier: Apache-2.0 */
#include "node/role.h"

#include <assert.h>
#include <stddef.h>

#define TO(role) (1U << (role))

static const struct {
    const char *name;
    bool holds_copy;
    unsigned moves; /* roles it may become */
} roles[RH_ROLES] = {
    [RH_ROLE_ABSENT] = {"absent", false,
                        TO(RH_ROLE_WAITING) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_REPLICA) |
                            TO(RH_ROLE_CLAIMING)},
    [RH_ROLE_WAITING] = {"waiting", false,
                         TO(RH_ROLE_ABSENT) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_REPLICA) |
                             TO(RH_ROLE_CLAIMING)},
    [RH_ROLE_JOINING] = {"joining", true,
                         TO(RH_ROLE_ABSENT) | TO(RH_ROLE_WAITING) | TO(RH_ROLE_REPLICA) |
                             TO(RH_ROLE_SUSPECT) | TO(RH_ROLE_CLAIMING)},
    [RH_ROLE_REPLICA] = {"replica", true,
                         TO(RH_ROLE_ABSENT) | TO(RH_ROLE_WAITING) | TO(RH_ROLE_JOINING) |
                             TO(RH_ROLE_SUSPECT) | TO(RH_ROLE_CLAIMING)},
    [RH_ROLE_SUSPECT] = {"suspect", true,
                         TO(RH_ROLE_ABSENT) | TO(RH_ROLE_WAITING) | TO(RH_ROLE_JOINING) |
                             TO(RH_ROLE_REPLICA) | TO(RH_ROLE_CLAIMING)},
    [RH_ROLE_CLAIMING] = {"claiming", true,
                          TO(RH_ROLE_REPLICA) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_SUSPECT) |
                              TO(RH_ROLE_ACTING)},
    [RH_ROLE_ACTING] = {"acting", true,
                        TO(RH_ROLE_REPLICA) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_SUSPECT) |
                            TO(RH_ROLE_GATED) | TO(RH_ROLE_CLOSING)},
    [RH_ROLE_GATED] = {"gated", true,
                       TO(RH_ROLE_REPLICA) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_SUSPECT) |
                           TO(RH_ROLE_ACTING) | TO(RH_ROLE_PASSING)},
    [RH_ROLE_PASSING] = {"passing", true,
                         TO(RH_ROLE_REPLICA) | TO(RH_ROLE_JOINING) | TO(RH_ROLE_SUSPECT)},
    [RH_ROLE_CLOSING] = {"closing", true,
                         TO(RH_ROLE_ABSENT) | TO(RH_ROLE_WAITING) | TO(RH_ROLE_REPLICA) |
                             TO(RH_ROLE_JOINING) | TO(RH_ROLE_SUSPECT) | TO(RH_ROLE_ACTING)},
};

const char *rh_role_name(enum rh_role role)
{
    assert(role < RH_ROLES);
    return roles[role].name;
}

bool rh_role_may_become(enum rh_role from, enum rh_role to)
{
    assert(from < RH_ROLES && to < RH_ROLES);
    return (roles[from].moves & TO(to)) != 0;
}

bool rh_role_holds_copy(enum rh_role role)
{
    assert(role < RH_ROLES);
    return roles[role].holds_copy;
}
