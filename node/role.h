/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ROLE_H
#define RH_NODE_ROLE_H

/*
 * What a node is to a channel. docs/protocol-cluster.md, section 5, has the picture and says what
 * each role means; here are the names and the table of moves.
 */

#include <stdbool.h>

enum rh_role {
    RH_ROLE_ABSENT,   /* no copy, and nobody waits */
    RH_ROLE_WAITING,  /* no copy; requests wait at the ring owner */
    RH_ROLE_JOINING,  /* a copy, suspect, until a group names this node */
    RH_ROLE_REPLICA,  /* a copy of somebody who acts, or acted */
    RH_ROLE_SUSPECT,  /* a copy from before the own registration was lost */
    RH_ROLE_CLAIMING, /* takes over, creates, or was handed it: the group does not have it all yet */
    RH_ROLE_ACTING,   /* serves it */
    RH_ROLE_GATED,    /* serves it, and takes nothing new: about to hand it over */
    RH_ROLE_PASSING,  /* has handed it over, and does not know yet whether that was accepted */
    RH_ROLE_CLOSING,  /* idle for long: asks the others to drop their copies */
    RH_ROLES,
};

/* "absent", "acting", ...; static. */
const char *rh_role_name(enum rh_role role);

/* Whether the protocol knows the move; staying is none. */
bool rh_role_may_become(enum rh_role from, enum rh_role to);

/* Whether a node in that role holds a copy. */
bool rh_role_holds_copy(enum rh_role role);

/* Whether a node in that role is the actor of its copy, and has not passed it on. */
static inline bool rh_role_is_actor(enum rh_role role)
{
    return role == RH_ROLE_CLAIMING || role == RH_ROLE_ACTING || role == RH_ROLE_GATED ||
           role == RH_ROLE_CLOSING;
}

/* Whether a node in that role serves the channel. */
static inline bool rh_role_serves(enum rh_role role)
{
    return role == RH_ROLE_ACTING || role == RH_ROLE_GATED;
}

#endif
