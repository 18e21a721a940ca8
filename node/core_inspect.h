/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_INSPECT_H
#define RH_NODE_CORE_INSPECT_H

/*
 * Looks into a core without touching it: for tests, and for the checker of the simulator. Nothing
 * of the daemon needs it.
 */

#include "node/core.h"
#include "node/follows.h"

struct rh_copy_info {
    struct rh_bytes key;
    enum rh_role role;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;                      /* last operation held */
    uint64_t seq;                     /* last message held */
    uint64_t commit;                  /* last operation known to be committed */
    uint64_t first_op;                /* of the log; op + 1 when nothing is held */
    const struct rh_entry *state;     /* as rh_channel::state, of `commit` */
    const struct rh_follows *follows; /* NULL: nothing */
    bool suspect;
    bool lacked;
    const struct rh_node_ref *group; /* actor first; NULL without a copy */
    size_t group_count;
    uint32_t streams; /* that are served, or kept silent */
    uint32_t waiting; /* streams, reads and requests that wait */
};

/* Walks all channels that the core knows of, also those without a copy: NULL begins, NULL ends.
 * The information is valid until the next step. */
void *rh_core_copy_next(const struct rh_core *core, void *cursor, struct rh_copy_info *ret_info);

/* The channel of |key|; false: the core does not know it. */
bool rh_core_copy_find(const struct rh_core *core, struct rh_bytes key,
                       struct rh_copy_info *ret_info);

/* The operation |op| of a copy and its term; NULL when it is not held. */
const struct rh_entry *rh_core_copy_entry(const struct rh_core *core, struct rh_bytes key,
                                          uint64_t op, struct rh_term *ret_term);

/* Whether the id is in the copy's window, and what it got. */
bool rh_core_copy_id(const struct rh_core *core, struct rh_bytes key, struct rh_bytes id,
                     uint64_t *ret_seq, uint64_t *ret_op);

/* What must be empty when the cluster is at rest, and what is bounded always (I14). */
struct rh_core_inside {
    uint64_t held_bytes; /* frames of later epochs */
    uint64_t reports;    /* copies reported to this node that are kept */
    uint64_t tombs;
    uint64_t busy;   /* channels with something in flight */
    uint64_t moves;  /* channels queued for handoff, mending or leaving */
    uint64_t claims; /* channels queued for takeover */
    uint64_t syncs_out;
    uint64_t syncs_in;
    uint64_t tunnels_to;   /* other nodes; docs/relay.md */
    uint64_t tunnels_from; /* likewise */
    bool lost;
    bool complete; /* all end markers are in */
    bool recorded; /* and the epoch is recorded */
    bool sweeping;
};

void rh_core_inside(const struct rh_core *core, struct rh_core_inside *ret_inside);

/* ---- relayed connections: docs/relay.md ---- */

/* A connection of this node that another serves. */
struct rh_relayed_info {
    uint64_t instance; /* of the process that is asked; 0: none, it waits */
    uint64_t tunnel;
    uint64_t stream;  /* what names it there; 0: it is not asked yet */
    bool is_open;     /* messages come */
    uint64_t untaken; /* bytes for which there was no room yet */
};

/* false: no other node serves |subscription|. */
bool rh_core_relayed_look(const struct rh_subscription *subscription,
                          struct rh_relayed_info *ret_info);

/* A connection of another node that this one serves. */
struct rh_remote_info {
    const struct rh_subscription *subscription;
    struct rh_bytes key; /* empty while it is in no channel */
    uint64_t instance;   /* of the process that has it */
    uint64_t tunnel;
    uint64_t stream;
    uint64_t untaken; /* bytes that are on their way */
};

/* Walks them: NULL begins, NULL ends. The information is valid until the next step. */
void *rh_core_remote_next(const struct rh_core *core, void *cursor,
                          struct rh_remote_info *ret_info);

/* An end of a tunnel, as it has it. */
struct rh_tunnel_info {
    uint64_t tunnel;
    uint64_t bytes;   /* at the owner: on their way; at the relaying node: arrived, and not told */
    uint64_t streams; /* those that were opened in it, and reads */
    uint64_t silent_ms; /* since the last word of the other end */
};

/* The tunnel to that process, and that from it; false: there is none. rh_core_inside() counts them. */
bool rh_core_tunnel_to(const struct rh_core *core, uint64_t instance,
                       struct rh_tunnel_info *ret_info);
bool rh_core_tunnel_from(const struct rh_core *core, uint64_t instance,
                         struct rh_tunnel_info *ret_info);

#endif
