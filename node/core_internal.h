/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_INTERNAL_H
#define RH_NODE_CORE_INTERNAL_H

/*
 * What the files of the core share. Nobody outside node/core*.c includes this.
 *
 *   core.c            the step, views and their sweep, time
 *   core_channels.c   the table of channels: find, create, reclaim, let go
 *   core_streams.c    subscriptions: streams and waiting reads
 *   core_requests.c   publish and inspect: served here, forwarded, or waiting
 *
 * Invariants, true between steps:
 *   - every channel is in `channels` and in exactly one of `swept` and `unswept`;
 *   - a subscription with a channel is in the list that its state names, and counted there;
 *   - a pending request is in `pending` (ordered by deadline) and in `pending_table`;
 *   - a channel is served only while the ring of the current view gives it to this process, also
 *     when the sweep has not reached it yet: every access asks rh_core_route() first.
 */

#include "node/channel.h"

#define RH_READ_SLOTS   256U /* wheel of waiting reads: 64 s, above the longest wait */
#define RH_READ_SLOT_MS 250U

struct rh_core_peer {
    struct rh_table_link link; /* rh_core::peers, by id */
    struct rh_node_ref ref;
};

struct rh_core {
    struct rh_core_options options;
    uint64_t random; /* state of the generator */
    uint64_t now_ms;
    int64_t time_ms;
    struct rh_actions *actions; /* of the step that runs; NULL between steps */

    /* What actions of the last step may point to; freed when the next one begins. */
    void **kept;
    size_t kept_count;
    size_t kept_capacity;
    struct rh_list dropped; /* rh_channel::list_link */
    struct rh_view *view_before;

    struct rh_view *view; /* NULL before the first */
    uint32_t self;        /* index of this process in the view, or RH_RING_NONE */
    uint64_t view_since_ms;

    uint64_t catch_up_ms; /* before that time the membership is not read again */
    bool catch_up_due;    /* but somebody asked */

    struct rh_table channels;
    struct rh_list swept;
    struct rh_list unswept;
    bool sweeping;           /* not all channels were held against the current view yet */
    uint64_t sweep_channels; /* of the sweep that runs */
    uint64_t sweep_connections;
    uint64_t scan_ms; /* last look at idle channels */

    struct rh_list catching_up;          /* rh_subscription::link, by deadline */
    struct rh_list reads[RH_READ_SLOTS]; /* rh_subscription::timer_link, by deadline */
    uint64_t reads_slot;                 /* next slot number (not index) to look at */

    struct rh_table peers;         /* links that are up */
    struct rh_list pending;        /* by deadline */
    struct rh_table pending_table; /* by number */
    uint64_t pending_number;
    uint64_t pending_bytes;
    uint64_t retry_ms; /* last look at pending requests that may have to be sent again */

    struct rh_core_stats stats;
};

/* Who serves a key in the current view. */
enum rh_core_route_kind {
    RH_CORE_ROUTE_NONE,  /* no view, or no node owns anything */
    RH_CORE_ROUTE_LOCAL, /* this process */
    RH_CORE_ROUTE_REMOTE,
};

struct rh_core_route {
    enum rh_core_route_kind kind;
    uint32_t owner; /* index in the view; of LOCAL and REMOTE */
    uint64_t hash;
};

struct rh_core_route rh_core_route(const struct rh_core *core, struct rh_bytes key);

/* Why nobody serves a key; of RH_CORE_ROUTE_NONE. */
enum rh_refusal rh_core_route_refusal(const struct rh_core *core);

/* A zeroed action at the end of the list; never NULL: when memory is short the process stops,
 * because an action that is lost would be a promise broken. */
struct rh_action *rh_core_act(struct rh_core *core, enum rh_action_kind kind);

uint64_t rh_core_random(struct rh_core *core);

/* Somebody knows a later view. The membership is read now, or in CATCH_UP_MS if that was just asked
 * for: strangers write the epochs of URLs. */
void rh_core_catch_up(struct rh_core *core);

/* Frees |memory| (may be NULL) when the next step begins: actions may point into it. */
void rh_core_keep(struct rh_core *core, void *memory);

/* Ends |subscription|'s wish with a refusal; it is FREE afterwards. */
void rh_core_refuse(struct rh_core *core, struct rh_subscription *subscription,
                    enum rh_refusal refusal);

static inline struct rh_id_window_limits rh_core_id_limits(const struct rh_core *core)
{
    return (struct rh_id_window_limits){.ids_max = core->options.dedup_ids_max,
                                        .age_ms_max = core->options.dedup_age_ms};
}

/* --- core_channels.c --- */

/* The channel of |key|, or NULL. */
struct rh_channel *rh_core_channel_find(const struct rh_core *core, struct rh_bytes key);

/* The channel of |key|, made (absent) if need be. */
enum rh_refusal rh_core_channel_get(struct rh_core *core, struct rh_bytes key, uint64_t hash,
                                    struct rh_channel **ret_channel);

/* Gives an absent channel its incarnation; a created one stays as it is. */
void rh_core_channel_bring_up(struct rh_core *core, struct rh_channel *channel);

/* Forgets message ids of the channel that are too old. */
void rh_core_channel_forget(struct rh_core *core, struct rh_channel *channel);

/* Takes a channel without subscriptions out of the core; its memory lives until the next step. */
void rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel);

/* An absent channel for which nobody waits any more is dropped. */
void rh_core_channel_settle(struct rh_core *core, struct rh_channel *channel);

/* Looks at a few channels: trims by age, forgets old ids, reclaims idle ones. */
void rh_core_channels_scan(struct rh_core *core);

/* --- core_streams.c --- */

void rh_core_subscribe(struct rh_core *core, const struct rh_event *event);
void rh_core_read(struct rh_core *core, const struct rh_event *event);
void rh_core_unsubscribe(struct rh_core *core, struct rh_subscription *subscription);
void rh_core_drained(struct rh_core *core, struct rh_subscription *subscription);

/* An entry was committed: to the live streams, and to the reads that waited for it. */
void rh_core_deliver(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry);

/* The channel belongs to |owner| now: everybody in it is told. */
void rh_core_streams_move(struct rh_core *core, struct rh_channel *channel, uint32_t owner);

/* A view was adopted: those that waited for it are tried again. */
void rh_core_streams_retry(struct rh_core *core);

/* Answers waiting reads whose time is over, and goes on with those that caught up in vain. */
void rh_core_streams_expire(struct rh_core *core);

/* --- core_requests.c --- */

void rh_core_publish(struct rh_core *core, const struct rh_event *event);
void rh_core_inspect(struct rh_core *core, const struct rh_event *event);
void rh_core_peer_message(struct rh_core *core, const struct rh_event *event);
void rh_core_peer_up(struct rh_core *core, const struct rh_node_ref *peer);
void rh_core_peer_down(struct rh_core *core, const struct rh_node_ref *peer);
void rh_core_requests_retry(struct rh_core *core);  /* a view was adopted */
void rh_core_requests_expire(struct rh_core *core); /* time has passed */
void rh_core_requests_finish(struct rh_core *core);

#endif
