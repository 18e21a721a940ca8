/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_GROUP_H
#define RH_NODE_GROUP_H

/*
 * Processes, and groups of them, each held once: a million channels of ten nodes share ninety groups
 * of two. A group is a list of processes that hold copies of a channel, its acting owner first.
 */

#include "base/list.h"
#include "base/table.h"
#include "node/view.h"

#include <stdbool.h>
#include <stdint.h>

/* A process of a node, as the core knows it: its link, and what was agreed with it. */
struct rh_process {
    struct rh_table_link link; /* by instance */
    struct rh_node_ref ref;
    uint32_t groups;         /* that name it, and others that point here */
    uint32_t index;          /* in the present view, or RH_RING_NONE */
    bool was_lost;           /* and is back, since the view before */
    bool was_member;         /* of the view before */
    bool is_up;              /* its link */
    uint64_t down_ms;        /* since when it is not */
    uint64_t greet_ms;       /* while it is down: when it is told again, by a third node, what a */
    uint64_t greet_pause_ms; /* link that comes up is told */
    uint32_t relay;          /* third nodes that have failed */
    uint64_t asked_view_ms;  /* when it was last asked for a later view */
    bool wants_presence;     /* its link came up: it may lack lists of who is present */
    /* Of the present view: */
    bool reported;      /* its end marker is in */
    bool wants_reports; /* has not got ours, or the link broke since */
    uint32_t round;     /* in which it is told of our copies */
    uint32_t round_in;  /* in which it tells us of its own, and how many it has told of */
    uint64_t round_count;
    uint64_t reports;         /* copies that were reported to it */
    struct rh_list untold;    /* rh_channel::list_link: copies whose report waits for room */
    struct rh_list tell_link; /* rh_core::to_tell: there is some; or none */
    bool was_shown;           /* our view, because it was behind */
    /* The right to commit. */
    uint64_t proof_ms; /* own clock: when it was registered at the latest known; 0: not known */
    uint64_t lease_ms; /* its lease to us counts until then */
    uint64_t asked;    /* its number */
    /* Reports on its link, to it or by it to others, that may not be written yet: bytes, and of
     * those how many will be told of when they are. */
    uint64_t ahead;
    uint64_t ahead_asked;
    /* Syncs towards it. */
    uint32_t credit;       /* channels that may be on their way; */
    uint64_t credit_bytes; /* bytes likewise */
    uint32_t in_flight;
    uint64_t in_flight_bytes;
    uint32_t pause_ms;       /* after the last failure; 0: the last one went well */
    uint64_t pause_until_ms; /* before that time nothing goes that nobody waits for */
    /* Frames of a later epoch than ours. */
    struct rh_list held; /* core_frames.c */
    uint64_t held_bytes;
    struct rh_list
        release_link; /* rh_core::releasing: the first of them can be taken now; or none */
};

struct rh_group {
    struct rh_table_link link;
    uint32_t references;
    uint32_t count;
    struct rh_process **members; /* actor first, distinct */
    struct rh_node_ref *refs;    /* the same, as messages want them */
};

struct rh_groups {
    struct rh_table processes;
    struct rh_table groups;
};

RH_MUST_CHECK int rh_groups_init(struct rh_groups *groups);

/* Frees all processes and groups, whoever still points to them. */
void rh_groups_finish(struct rh_groups *groups);

/* The process of |ref|, made if need be; NULL when out of memory. */
struct rh_process *rh_groups_process(struct rh_groups *groups, const struct rh_node_ref *ref);

/* The process of |ref| if it is known. */
struct rh_process *rh_groups_find(const struct rh_groups *groups, const struct rh_node_ref *ref);

/* The group of |members|, with a reference; NULL when out of memory. */
struct rh_group *rh_groups_get(struct rh_groups *groups, struct rh_process *const *members,
                               uint32_t count);

struct rh_group *rh_group_take(struct rh_group *group); /* NULL is allowed */

/* Gives a reference back. The last one takes the group out; its memory, which messages may point
 * into, is then the caller's: free it with rh_group_free() when they are gone. Otherwise NULL. */
struct rh_group *rh_groups_give(struct rh_groups *groups, struct rh_group *group);
void rh_group_free(struct rh_group *group);

/* Whether |process| is in the group; NULL group: no. */
bool rh_group_has(const struct rh_group *group, const struct rh_process *process);

/* Forgets processes that no group names, that are not registered (index RH_RING_NONE) and have no
 * link, except |self|. */
void rh_groups_tidy(struct rh_groups *groups, const struct rh_process *self);

#endif
