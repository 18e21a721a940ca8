/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_INTERNAL_H
#define RH_NODE_CORE_INTERNAL_H

/*
 * What the files of the core share. Nobody outside node/core*.c includes this.
 *
 *   core.c              the step, time
 *   core_channels.c     the table of channels: find, create, roles, let go
 *   core_streams.c      subscriptions: streams and waiting reads
 *   core_relayed.c      those that another node serves (node/core_tunnel.h)
 *   core_remote.c       those of other nodes that this one serves
 *   core_requests.c     publish and inspect: where they go, and those that wait
 *   core_serve.c        publish and inspect: done here
 *   core_state.c        the state document: asked for, written, answered
 *   core_watch.c        who is told of its changes
 *   core_presence.c     who is in a channel
 *   core_view.c         views, their walk over the channels
 *   core_reports.c      reports of our copies to their ring owners
 *   core_reported.c     reports of others, end markers, complete and recorded epochs
 *   core_replication.c  appends, acknowledgements, commit
 *   core_group.c        who comes into a group and who goes, handoff, the order of all that
 *   core_sync.c         whole channels on their way out
 *   core_incoming.c     and in
 *   core_takeover.c     the best copy, fetch, claim, creation
 *   core_lease.c        the right to commit
 *   core_frames.c       frames of later epochs, and those that go by a third node
 *   core_messages.c     messages of peers: which function takes which
 *
 * Numbers like (T6) are rules of docs/protocol-cluster.md.
 *
 * Invariants, true between steps:
 *   - every channel is in `channels` and in exactly one of `swept`, `unswept` and the `untold` of its
 *     ring owner;
 *   - a subscription with a channel is in the list that its state names, and counted there;
 *   - a pending request is in `pending` (ordered by deadline) and in `pending_table`;
 *   - a channel is served only after it was held against the current view: every access goes by
 *     rh_core_channel_find(), which does that first;
 *   - `watches` has a channel if, and only if, streams that watch something are in it;
 *   - a channel with `acting` is in a role of an actor, or PASSING, and in `busy`.
 */

#include "node/channel.h"
#include "node/core_topics.h"

#define RH_READ_SLOTS   256U /* wheel of waiting reads: 64 s, above the longest wait */
#define RH_READ_SLOT_MS 250U

#define RH_RETRY_MS       400U /* without progress everything in flight of a channel is sent again */
#define RH_EXPEDITE_MS    200U /* between two questions for one channel */
#define RH_GATE_MS        250U /* a gate that has no effect is opened again */
#define RH_UNREACHABLE_MS 500U /* a link that is down for so long: by a third node */

/* ---- what is under way for one channel ---- */

struct rh_sync;
struct rh_peer_decoder;

/* Another node, as the actor of a channel sees it. */
struct rh_member {
    struct rh_process *process;
    uint64_t acked; /* operations that it holds, as far as it has said */
    uint64_t sent;  /* that were sent to it */
    uint64_t told;  /* stamp of the first append or sync with the present group; 0: none yet */
    uint64_t commit_told; /* stamp of the first append that said so; 0: none yet */
    struct rh_sync *sync; /* on its way to it, or NULL */
    uint64_t not_before;  /* answers to what has a lower stamp count for nothing; or 0 */
    uint64_t progress_ms; /* when it last answered, or was sent something after all was answered */
    uint64_t pause_ms;    /* it refused: not before that time */
    bool in_group;
    bool is_full;    /* refused for want of room, and has not taken what it lacks since (N12) */
    bool known;      /* `acked` is true of it: appends can follow */
    bool confirmed;  /* has acknowledged something whose group names it, and is not in doubt */
    bool informed;   /* has acknowledged the present group */
    bool is_current; /* knows that all is committed */
    bool leaving;    /* was asked to leave */
    bool ask_again;  /* what it was told last may be lost */
};

/* What the actor of a channel keeps while not all members have all, or something is to change. */
struct rh_acting {
    struct rh_list busy_link;  /* rh_core::busy, by looked_ms */
    struct rh_list dirty_link; /* rh_core::dirty, or none */
    struct rh_channel *channel;
    uint64_t since_ms;  /* when the oldest operation that is not committed was numbered; 0: none */
    uint64_t looked_ms; /* when it was last looked at for what makes no progress */
    uint64_t numbered_ms;          /* last operation */
    uint64_t gate_ms;              /* when the gate was closed */
    struct rh_process *passing_to; /* PASSING: who was sent `Own`; else NULL */
    struct rh_epoch own_epoch;     /* PASSING: of that `Own`, which is repeated as it was */
    bool is_stalled;               /* counted in stats */
    bool is_quiet; /* nothing new for a while: what is committed is told by itself */
    uint32_t count;
    uint32_t capacity;
    struct rh_member *members;
};

/* A copy that another node has reported for the present view. */
struct rh_reported_copy {
    struct rh_process *from;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;
    enum rh_peer_copy_state state;
    bool suspect;
    bool lacked;
    struct rh_group *group;
    struct rh_process *passing_to; /* or NULL */
    uint64_t leave_ms;             /* a stray that was asked to leave then; 0: not */
};

struct rh_reported {
    uint32_t view; /* rh_core::view_number that they are of */
    uint32_t count;
    uint32_t capacity;
    struct rh_process *fetching; /* from whom, or NULL */
    uint64_t fetch_ms;           /* when asked */
    uint64_t expedite_ms;        /* when asked */
    uint64_t sent_on_of;         /* the peer whose request was last sent on to who acts (H6) ... */
    uint64_t sent_on_number;     /* ... and its number */
    struct rh_reported_copy *items;
};

#define RH_SYNC_FRAMES_MAX 4U /* of one sync, on their way */

struct rh_sync_cursor {
    uint32_t index; /* of the frame: 0 is the begin */
    size_t entry;   /* first of rh_sync::entries that is left */
    uint64_t id_op; /* ids above it are left */
};

/* A sync on its way out. */
struct rh_sync {
    struct rh_table_link link; /* rh_core::syncs, by number */
    struct rh_list fetch_link; /* rh_core::fetches, or none */
    uint64_t number;
    struct rh_process *to;
    struct rh_channel *channel;
    enum rh_peer_sync_purpose purpose;
    uint64_t incarnation; /* of the channel when it began; with the term */
    struct rh_term term;
    uint64_t stamp; /* of its begin */
    uint64_t op;    /* what the receiver has at the end */
    uint64_t seq;   /* likewise */
    uint64_t commit;
    struct rh_entry *state; /* the document as of `commit`, as rh_channel::state */
    struct rh_peer_follow
        *follows; /* what it followed as of `op`; one piece of memory with the topics */
    size_t follows_count;
    uint64_t from_op;
    struct rh_term base_term;
    struct rh_peer_term_from *terms;
    size_t terms_count;
    struct rh_entry **entries; /* those that are sent, with a reference each */
    uint64_t first_op;         /* of entries[0] */
    size_t entries_count;
    struct rh_sync_cursor next;                      /* what goes into the next frame */
    struct rh_sync_cursor marks[RH_SYNC_FRAMES_MAX]; /* where recent frames began, by index */
    uint32_t acked;                                  /* frames that have arrived */
    uint32_t retries;                                /* since the last of them did */
    bool all_sent;
    bool is_urgent;
    uint64_t size; /* in the receiver's credit */
    uint64_t sent_ms;
};

/* A sync that is coming in: kept aside until it is whole. */
struct rh_incoming_id {
    struct rh_bytes id; /* owned */
    uint64_t seq;
    uint64_t op;
    uint64_t added_ms;
};

struct rh_incoming {
    struct rh_list link; /* rh_core::incoming, by since_ms */
    struct rh_channel *channel;
    struct rh_process *from;
    uint64_t number;
    enum rh_peer_sync_purpose purpose;
    uint64_t incarnation;
    struct rh_term term;
    struct rh_group *group;
    struct rh_terms *terms;
    uint64_t op;
    uint64_t seq;
    uint64_t commit;
    struct rh_entry *state;     /* likewise */
    struct rh_follows *follows; /* as of `op` */
    uint64_t from_op;
    struct rh_term base_term;
    uint64_t stamp;
    uint64_t since_ms; /* last progress */
    uint32_t next_index;
    uint64_t next_op;  /* of the next operation that comes; 0: any */
    uint64_t last_seq; /* of what has come, or of from_op */
    struct rh_entry **entries;
    size_t entries_count;
    size_t entries_capacity;
    struct rh_incoming_id *ids;
    size_t ids_count;
    size_t ids_capacity;
    uint64_t size;
};

/* Things that are let go when the next step begins. */
struct rh_kept {
    void **items;
    size_t count;
    size_t capacity;
};

struct rh_core {
    struct rh_core_options options;
    uint64_t random; /* state of the generator */
    uint64_t now_ms;
    int64_t time_ms;
    struct rh_actions *actions; /* of the step that runs; NULL between steps */

    /* What actions of the last step may point to; freed when the next one begins. */
    struct rh_kept kept;          /* memory */
    struct rh_kept kept_entries;  /* struct rh_entry: a reference each */
    struct rh_kept kept_groups;   /* struct rh_group */
    struct rh_kept kept_decoders; /* struct rh_peer_decoder */
    struct rh_list dropped;       /* rh_channel::list_link */
    struct rh_view *view_before;

    struct rh_view *view; /* NULL before the first */
    uint32_t self;        /* index of this process in the view, or RH_RING_NONE */
    uint64_t view_since_ms;
    uint64_t view_asked_ms; /* since when `views_asked` peers were asked for a later view */
    unsigned views_asked;
    size_t members_down;  /* members of the view whose link is not up, this node excepted */
    uint32_t view_number; /* of adoptions, from 1 */
    uint32_t standing;    /* times that the own registration was lost */

    uint64_t catch_up_ms; /* before that time the membership is not read again */
    bool catch_up_due;    /* but somebody asked */

    struct rh_table channels;
    struct rh_list swept;
    struct rh_list unswept;
    struct rh_list to_tell;  /* rh_process::tell_link: have untold copies, and room for some */
    bool sweeping;           /* not all channels were held against the current view yet */
    bool sweep_is_told;      /* the view's: later ones are for links that come up */
    uint64_t sweep_channels; /* of the sweep that runs */
    uint64_t sweep_connections;
    uint64_t scan_ms; /* last look at idle channels */

    struct rh_list catching_up;          /* rh_subscription::link, by deadline */
    struct rh_list held;                 /* rh_subscription::timer_link, by deadline */
    struct rh_list held_welcomed;        /* likewise: those that are relayed, with more patience */
    struct rh_list reads[RH_READ_SLOTS]; /* rh_subscription::timer_link, by deadline */
    uint64_t reads_slot;                 /* next slot number (not index) to look at */

    struct rh_groups groups; /* links that are up are processes with is_up */
    struct rh_process *self_process;
    struct rh_process **members;   /* of the view, by index */
    struct rh_list pending;        /* by deadline */
    struct rh_list *pending_next;  /* of the walk over them that runs, or NULL */
    struct rh_table pending_table; /* by number */
    uint64_t pending_number;
    uint64_t pending_bytes;
    uint64_t retry_ms; /* last look at pending requests that may have to be sent again */

    /* Relayed connections: node/core_tunnel.h. */
    struct rh_list tunnels_out;     /* rh_tunnel_out::link */
    struct rh_list tunnels_in;      /* rh_tunnel_in::link */
    struct rh_list relayed_waiting; /* rh_relayed::link */
    struct rh_table relayed;        /* by number */
    struct rh_table remotes;        /* by relaying process and number */
    uint64_t stream_number;
    uint64_t relayed_ms;            /* last look at those that wait */
    struct rh_table watches;        /* rh_watch::table_link, by channel */
    struct rh_list watches_to_tell; /* rh_watch::link */

    struct rh_table presences;        /* rh_presence::table_link, by channel */
    struct rh_table presents;         /* rh_present::table_link, by channel and name */
    struct rh_list presences_to_tell; /* rh_presence::tell_link */
    struct rh_list presences_to_copy; /* rh_presence::copy_link */
    uint64_t presence_copy_ms;        /* when the first of those has its time, or before */
    bool presence_is_scanning;        /* lists go to those whose link came up; */
    uint64_t presence_cursor;         /* up to here they did */
    struct rh_list gone;              /* rh_present::gone_link, by time; these two */
    struct rh_list gone_moved;        /* since this node began to act */

    /* With replication. */
    bool lost; /* own registration is not there, or not known to be */
    struct rh_epoch registration_epoch;
    uint64_t proof_ms; /* when the last proof was sent; 0: none */
    uint64_t prove_ms; /* when it was last asked for */
    uint64_t heard_ms; /* when ZooKeeper last answered; 0: never */
    uint64_t lost_ms;  /* when a view showed a loss (V8); 0: never */
    uint64_t ignorant_until_ms;
    bool complete; /* all end markers of the view are in */
    bool recorded; /* and `config` records it */
    struct rh_epoch recorded_epoch;
    uint32_t turn;
    uint32_t round;     /* of reports, ever */
    uint64_t stamp;     /* last one given, see rh_core_stamp() */
    uint64_t leases_ms; /* when leases were last asked for */
    struct rh_table tombs;
    struct rh_list tombs_by_age;
    struct rh_list busy;   /* rh_acting::busy_link */
    struct rh_list dirty;  /* rh_acting::dirty_link */
    struct rh_list moves;  /* rh_dealings::queue_link: to hand over, to mend; urgent ones first */
    struct rh_list claims; /* rh_dealings::queue_link: to take over, or wait for; likewise */
    uint64_t claims_ms;    /* when the claims are worth another look; UINT64_MAX: an event tells */
    uint64_t moves_ms;
    struct rh_table syncs;    /* out */
    struct rh_list fetches;   /* rh_sync::fetch_link: answers to Fetch, by age */
    struct rh_list incoming;  /* rh_incoming::link */
    struct rh_list releasing; /* rh_process::release_link */
    uint64_t sync_number;
    struct rh_topics topics;
    uint64_t pace_us; /* when the next channel that nobody waits for may be moved, or taken over */

    struct rh_core_stats stats;
};

/* ---- core.c ---- */

/* A zeroed action at the end of the list; never NULL: when memory is short the process stops,
 * because an action that is lost would be a promise broken. */
struct rh_action *rh_core_act(struct rh_core *core, enum rh_action_kind kind);

/* Zeroed memory for what must not be forgotten; likewise. */
void *rh_core_alloc(size_t count, size_t size);
void *rh_core_grow(void *items, size_t size, size_t capacity);

/* Zeroed memory for a message of this step, freed when the next one begins. */
void *rh_core_scratch(struct rh_core *core, size_t count, size_t size);

/* A copy of |bytes| that lives as long. */
struct rh_bytes rh_core_scratch_bytes(struct rh_core *core, struct rh_bytes bytes);

uint64_t rh_core_random(struct rh_core *core);

/* Somebody knows a later view. The membership is read now, or in CATCH_UP_MS if that was just asked
 * for: strangers write the epochs of URLs. */
void rh_core_catch_up(struct rh_core *core);

/* Frees |memory| (may be NULL), or gives back |entry|, |group|, when the next step begins: actions
 * may point into it. */
void rh_core_keep(struct rh_core *core, void *memory);
void rh_core_keep_entry(struct rh_core *core, struct rh_entry *entry);
void rh_core_give_group(struct rh_core *core, struct rh_group *group);
void rh_core_keep_decoder(struct rh_core *core, struct rh_peer_decoder *decoder);

/* A number that rises with each call and says the time: rh_core_stamp_ms(). Messages carry it and
 * answers bring it back. */
uint64_t rh_core_stamp(struct rh_core *core);

static inline uint64_t rh_core_stamp_ms(uint64_t stamp)
{
    return stamp >> 20;
}

static inline struct rh_id_window_limits rh_core_id_limits(const struct rh_core *core)
{
    return (struct rh_id_window_limits){.ids_max = core->options.dedup_ids_max,
                                        .age_ms_max = core->options.dedup_age_ms};
}

/* Whether this process is a member of its view, as far as it knows. */
static inline bool rh_core_is_registered(const struct rh_core *core)
{
    return core->self != RH_RING_NONE && !core->lost;
}

static inline uint64_t rh_core_earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static inline bool rh_process_is_registered(const struct rh_process *process)
{
    return process->index != RH_RING_NONE;
}

/* A message to a process, in the present epoch, if there is one; also by a third node, if there is a
 * way. */
struct rh_peer_message *rh_core_send(struct rh_core *core, const struct rh_process *to,
                                     enum rh_peer_message_kind kind);

/* Likewise to whoever sent a request, or is to get it, also if it is not known any more. */
struct rh_peer_message *rh_core_send_to(struct rh_core *core, const struct rh_node_ref *to,
                                        enum rh_peer_message_kind kind);

/* ---- core_channels.c ---- */

/* Where what a key needs is done. */
enum rh_core_place {
    RH_CORE_PLACE_NONE,   /* no view, or no node owns anything */
    RH_CORE_PLACE_HERE,   /* this node serves it now */
    RH_CORE_PLACE_WAIT,   /* it is this node's, but cannot be served yet */
    RH_CORE_PLACE_REMOTE, /* `owner` serves it, or will */
};

struct rh_core_route {
    enum rh_core_place place;
    uint32_t owner; /* index in the view: the ring's owner; of REMOTE where to go */
    uint64_t hash;
    struct rh_channel *channel; /* or NULL */
};

/* Looks the key up, holds its channel against the current view, and says where to go. */
struct rh_core_route rh_core_route(struct rh_core *core, struct rh_bytes key);

/* Why nobody serves a key; of RH_CORE_PLACE_NONE. */
enum rh_refusal rh_core_route_refusal(const struct rh_core *core);

/* Of a key in a table. Not the ring's hash: that one has a public seed, and strangers choose keys. */
uint64_t rh_core_key_hash(const struct rh_core *core, struct rh_bytes key);

/* The channel of |key|, held against the current view, or NULL. */
struct rh_channel *rh_core_channel_find(struct rh_core *core, struct rh_bytes key);

/* The channel of |key|, made (without a copy) if need be and if there is room for one more. */
enum rh_refusal rh_core_channel_get(struct rh_core *core, struct rh_bytes key, uint64_t hash,
                                    struct rh_channel **ret_channel);

/* Likewise for what peers bring; NULL when out of memory. */
struct rh_channel *rh_core_channel_make(struct rh_core *core, struct rh_bytes key);

/* What is under way for the channel with other nodes, made if need be; never NULL, as rh_core_alloc(). */
struct rh_dealings *rh_core_dealings(struct rh_channel *channel);

/* Frees it, if that is nothing any more, when the next step begins. */
void rh_core_dealings_settle(struct rh_core *core, struct rh_channel *channel);

/* The only way in which a role changes. Same role: nothing happens. */
void rh_core_role_set(struct rh_core *core, struct rh_channel *channel, enum rh_role role);

/* Who owns the channel in the current ring: a process, or NULL. */
struct rh_process *rh_core_ring_owner(const struct rh_core *core, const struct rh_channel *channel);

/* Forgets message ids of the channel that are too old; trims the log. */
void rh_core_channel_tidy(struct rh_core *core, struct rh_channel *channel);

/* Takes the content out of the stats, and back in: around whatever changes it. */
void rh_core_channel_uncount(struct rh_core *core, const struct rh_channel *channel);
void rh_core_channel_count(struct rh_core *core, const struct rh_channel *channel);

/* Drops the copy, if there is one, and what was under way for it. */
void rh_core_channel_empty(struct rh_core *core, struct rh_channel *channel);

/* Takes a channel that nobody is in out of the core; its memory lives until the next step. */
void rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel);

/* A channel without a copy, in which nobody is or waits, is dropped. */
void rh_core_channel_settle(struct rh_core *core, struct rh_channel *channel);

/* The channel begins to exist at this node alone: without replication. */
void rh_core_channel_bring_up(struct rh_core *core, struct rh_channel *channel);

/* Looks at a few channels: trims by age, forgets old ids, reclaims idle ones. */
void rh_core_channels_scan(struct rh_core *core);

/* Between two such looks. */
uint64_t rh_core_scan_pause_ms(const struct rh_core *core);

void rh_core_trace(struct rh_core *core, const struct rh_channel *channel, enum rh_trace_kind kind,
                   enum rh_role from);

/* ---- core_streams.c ---- */

void rh_core_subscribe(struct rh_core *core, const struct rh_event *event);
void rh_core_read(struct rh_core *core, const struct rh_event *event);
void rh_core_unsubscribe(struct rh_core *core, struct rh_subscription *subscription);
void rh_core_drained(struct rh_core *core, struct rh_subscription *subscription);

/* An entry was committed: to the live streams. */
void rh_core_deliver(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry);

/* Messages were committed: reads that waited are answered, and who was ahead gets in. */
void rh_core_streams_committed(struct rh_core *core, struct rh_channel *channel);

/* The channel belongs to |owner| now: everybody in it is told. */
void rh_core_streams_move(struct rh_core *core, struct rh_channel *channel, uint32_t owner);

/* The channel is served here again: those who stayed get what they missed, or, if it goes on under
 * another incarnation, are told `moved` to here (T12). */
void rh_core_streams_wake(struct rh_core *core, struct rh_channel *channel);

/* Those who wait for the channel try again. */
void rh_core_streams_retry_held(struct rh_core *core, struct rh_channel *channel);

/* A view was adopted: those that waited for it are tried again. */
void rh_core_streams_retry(struct rh_core *core);

/* Answers waiting reads whose time is over, and goes on with those that caught up in vain. */
void rh_core_streams_expire(struct rh_core *core);

/* ---- core_requests.c, core_serve.c ---- */

enum rh_pending_state {
    RH_PENDING_VIEW,       /* waits for a view in which somebody owns the key */
    RH_PENDING_LINK,       /* waits for the link to `target` */
    RH_PENDING_SENT,       /* waits for the answer of `target` */
    RH_PENDING_CHANNEL,    /* waits for the channel to be served here */
    RH_PENDING_COMMITTING, /* has an operation that is not committed */
    RH_PENDING_TOPIC,      /* a follow that waits to know where the topic's log ends */
};

enum rh_ask {
    RH_ASK_PUBLISH,
    RH_ASK_INSPECT,
    RH_ASK_PRESENCE,
    RH_ASK_STATE_GET,
    RH_ASK_STATE_PUT,
    RH_ASK_STATE_DELETE,
    RH_ASK_FOLLOWS,
    RH_ASK_FOLLOW,
    RH_ASK_UNFOLLOW,
};

static inline bool rh_ask_is_follow(enum rh_ask ask)
{
    return ask == RH_ASK_FOLLOWS || ask == RH_ASK_FOLLOW || ask == RH_ASK_UNFOLLOW;
}

/* Whether what is asked for changes a channel: then an outcome may be unknown. */
static inline bool rh_ask_changes(enum rh_ask ask)
{
    return ask != RH_ASK_INSPECT && ask != RH_ASK_PRESENCE && ask != RH_ASK_STATE_GET &&
           ask != RH_ASK_FOLLOWS;
}

/* A request as it is served or kept: slices of the event, of a peer message, or of a pending. */
struct rh_request_ref {
    enum rh_ask ask;
    bool from_peer;
    bool may_redirect;
    bool id_is_ours; /* the publisher gave none; a write of the state never has one */
    bool maybe_done; /* it was sent to an owner who has not answered */
    uint64_t request;
    struct rh_node_ref from;
    struct rh_bytes key;
    struct rh_bytes id;
    struct rh_payload payload; /* of a state: binary */
    struct rh_bytes content_type;
    enum rh_peer_state_condition condition;
    uint64_t if_version;
    uint64_t deadline_ms;
};

/* Whether the request brings its channel into being, if there is none. */
static inline bool rh_request_creates(const struct rh_request_ref *request)
{
    bool needs_state =
        request->condition == RH_PEER_STATE_VERSION || request->condition == RH_PEER_STATE_PRESENT;
    return request->ask == RH_ASK_PUBLISH || request->ask == RH_ASK_FOLLOW ||
           (request->ask == RH_ASK_STATE_PUT && !needs_state);
}

struct rh_pending {
    struct rh_list link;         /* rh_core::pending */
    struct rh_list channel_link; /* rh_waiters::{requests,committing}, rh_feed::waiting, or none */
    struct rh_table_link table_link; /* rh_core::pending_table */
    enum rh_pending_state state;
    enum rh_ask ask;
    bool from_peer;
    bool may_redirect;
    bool id_is_ours;
    bool is_duplicate;          /* COMMITTING: its operation was another request's */
    uint32_t unanswered;        /* times it was sent and not answered: those may have been served */
    uint32_t pause_ms;          /* without answer before it is sent again */
    uint64_t number;            /* on the wire: ours, or of the peer that it is from */
    uint64_t request;           /* the asker's */
    struct rh_node_ref from;    /* from_peer; else zeroed */
    struct rh_epoch epoch;      /* wait for a view at least as late: VIEW */
    struct rh_node_ref target;  /* LINK, SENT */
    struct rh_channel *channel; /* CHANNEL, COMMITTING */
    uint64_t op;                /* COMMITTING */
    uint64_t seq;               /* of that; of a write of the state its version */
    enum rh_peer_state_outcome outcome; /* COMMITTING, of a write of the state */
    enum rh_peer_state_condition condition;
    uint64_t if_version;
    uint32_t named_view; /* view in which another than the ring's owner was tried */
    uint64_t sent_ms;
    uint64_t deadline_ms;
    enum rh_payload_kind kind;
    uint32_t key_size;
    uint32_t id_size;
    uint32_t payload_size;
    uint32_t content_type_size;
    char data[]; /* key, id, payload, content type */
};

void rh_core_publish(struct rh_core *core, const struct rh_event *event);
void rh_core_inspect(struct rh_core *core, const struct rh_event *event);
void rh_core_on_publish(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message);
void rh_core_on_inspect(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message);
void rh_core_on_publish_answer(struct rh_core *core, struct rh_process *from,
                               const struct rh_peer_message *message);
void rh_core_on_inspect_answer(struct rh_core *core, struct rh_process *from,
                               const struct rh_peer_message *message);
void rh_core_requests_peer_up(struct rh_core *core, const struct rh_process *process);
void rh_core_requests_peer_down(struct rh_core *core, const struct rh_process *process);
void rh_core_requests_retry(struct rh_core *core);  /* a view was adopted */
void rh_core_requests_expire(struct rh_core *core); /* time has passed */
void rh_core_requests_finish(struct rh_core *core);

/* Tries a pending request, which is in no list of a channel or feed, in the present view. */
void rh_core_pending_dispatch(struct rh_core *core, struct rh_pending *pending);

/* Who acts, as was reported, for a channel that this node owns and does not serve yet; or NULL. */
const struct rh_process *rh_core_who_acts(const struct rh_core *core,
                                          const struct rh_channel *channel);

/* Those who wait for the channel try again, whatever has become of it. */
void rh_core_requests_retry_channel(struct rh_core *core, struct rh_channel *channel);

/* Operations up to `commit` are committed: their publishers are answered. */
void rh_core_requests_committed(struct rh_core *core, struct rh_channel *channel);

/* What was not committed is gone: their publishers are told that nobody knows. */
void rh_core_requests_lose(struct rh_core *core, struct rh_channel *channel);

/* Serves a request at its place HERE. |pending|: the kept one, or NULL. True: it is done with;
 * false: it waits, as a pending one, for its operation to be committed or the channel to be open. */
bool rh_core_serve(struct rh_core *core, const struct rh_request_ref *request,
                   const struct rh_core_route *route, struct rh_pending *pending);

/* Keeps a request that cannot be served at once. NULL: it was refused. */
struct rh_pending *rh_core_pending_keep(struct rh_core *core, const struct rh_request_ref *request);
void rh_core_pending_remove(struct rh_core *core, struct rh_pending *pending);
struct rh_request_ref rh_core_pending_request(const struct rh_pending *pending);

/* Room for one more pending request of this size. */
bool rh_core_pending_has_room(const struct rh_core *core);

/* Answers. */
void rh_core_answer_publish(struct rh_core *core, const struct rh_request_ref *request,
                            const struct rh_publish_result *result);
void rh_core_answer_inspect(struct rh_core *core, const struct rh_request_ref *request,
                            enum rh_refusal refusal, const struct rh_channel_info *info);
void rh_core_request_refuse(struct rh_core *core, const struct rh_request_ref *request,
                            enum rh_refusal refusal);

/* A request of a client of this node: served, kept, or answered at once. */
void rh_core_request_begin(struct rh_core *core, const struct rh_request_ref *request);

/* When a request that a peer sent has to be answered: in |deadline_ms|, or earlier, if that is longer
 * than requests may take here. */
uint64_t rh_core_request_deadline(const struct rh_core *core, uint32_t deadline_ms);

/* A request that a peer of |epoch| sent here because in its view this node owns the key, or serves
 * it. */
void rh_core_request_take(struct rh_core *core, const struct rh_request_ref *request,
                          struct rh_epoch epoch);

/* The pending request that an answer of a peer belongs to; NULL: it was late, or answered before, or
 * the peer does not serve the key and the request goes on. */
struct rh_pending *rh_core_answer_take(struct rh_core *core, struct rh_process *from,
                                       const struct rh_peer_message *message, uint64_t request,
                                       bool (*fits)(enum rh_ask ask), enum rh_peer_result result,
                                       const char *owner);

enum rh_peer_result rh_core_peer_result(enum rh_refusal refusal);
struct rh_bytes rh_core_peer_code(enum rh_refusal refusal);
enum rh_refusal rh_core_peer_refusal(enum rh_peer_result result, struct rh_bytes code);

/* The id of a request that has none: makes |text| one. */
#define RH_AUTO_ID_SIZE (sizeof("auto-") + RH_ID64_SIZE - 1)
struct rh_bytes rh_core_auto_id(struct rh_core *core, char text[static RH_AUTO_ID_SIZE]);

/* Numbers |entry|, which is given away (NULL: no memory), and commits it if nothing is to be waited
 * for. False: the request was refused. */
bool rh_core_serve_number(struct rh_core *core, const struct rh_request_ref *request,
                          struct rh_channel *channel, struct rh_entry *entry);

/* The publish is answered: it is message |seq|, and |connections| were in the channel. */
void rh_core_serve_acknowledge(struct rh_core *core, const struct rh_request_ref *request,
                               const struct rh_channel *channel, uint64_t seq, bool duplicate,
                               uint32_t connections);

/* The request waits for |op|, which is message |seq|, or version |seq| of the state, to be
 * committed. |pending|: the kept one, or NULL: it is kept now. Returns that; NULL: it was refused. */
struct rh_pending *rh_core_serve_wait(struct rh_core *core, const struct rh_request_ref *request,
                                      struct rh_channel *channel, struct rh_pending *pending,
                                      uint64_t op, uint64_t seq, bool duplicate);

/* What speaks against numbering the operation of a request: see core_serve.c. */
enum rh_refusal rh_core_serve_refusal(const struct rh_core *core,
                                      const struct rh_request_ref *request,
                                      const struct rh_channel *channel, bool is_kept);

/* ---- core_state.c ---- */

void rh_core_state(struct rh_core *core, const struct rh_event *event);
void rh_core_on_state_get(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
void rh_core_on_state_put(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
void rh_core_on_state_delete(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_state_answer(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);

/* As rh_core_serve(), of a request for the state document. */
bool rh_core_serve_state(struct rh_core *core, const struct rh_request_ref *request,
                         const struct rh_core_route *route, struct rh_pending *pending);

/* The operation that a write waited for is committed. */
void rh_core_state_committed(struct rh_core *core, const struct rh_pending *pending,
                             const struct rh_channel *channel);

/* Sends a pending request for the state document to its target. */
void rh_core_state_forward(struct rh_core *core, const struct rh_pending *pending,
                           const struct rh_request_ref *request);

void rh_core_state_refuse(struct rh_core *core, const struct rh_request_ref *request,
                          enum rh_refusal refusal);
void rh_core_state_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                             const char *owner);

/* The client is to ask the owner itself. */
void rh_core_state_redirect(struct rh_core *core, const struct rh_request_ref *request,
                            uint32_t owner);

/* What a sync says of the state document, as rh_channel::state. */
struct rh_entry *rh_core_state_of(const struct rh_peer_sync_begin *begin);

/* ---- core_watch.c ---- */

/* Memory for a stream that comes into |channel| next. False: there is none. */
bool rh_core_watch_prepare(struct rh_core *core, const struct rh_subscription *subscription,
                           struct rh_channel *channel);

/* It does not come. */
void rh_core_watch_abort(struct rh_core *core, struct rh_channel *channel);

/* The stream is in its channel, and was welcomed; or is about to leave it. */
void rh_core_watch_begin(struct rh_core *core, struct rh_subscription *subscription);
void rh_core_watch_end(struct rh_core *core, struct rh_subscription *subscription);

/* It has room, and did not have when it was to be shown the document. */
void rh_core_watch_show(struct rh_core *core, struct rh_subscription *subscription);

/* The committed state document of |channel| may be another one: those who watch it are told at the end
 * of the turn. */
void rh_core_watch_changed(struct rh_core *core, struct rh_channel *channel);
void rh_core_watches_flush(struct rh_core *core);
void rh_core_watches_finish(struct rh_core *core);

/* The streams of a channel that were welcomed: NULL gives the first, the last gives NULL. */
struct rh_subscription *rh_core_stream_next(const struct rh_channel *channel,
                                            const struct rh_subscription *subscription);

/* ---- core_presence.c ---- */

/* A stream comes into |channel|, or has left the one it was in: counts if it names itself. */
enum rh_refusal rh_core_presence_enter(struct rh_core *core,
                                       const struct rh_subscription *subscription,
                                       struct rh_channel *channel);
void rh_core_presence_exit(struct rh_core *core, const struct rh_subscription *subscription);

/* A stream that watches: memory for it (false: there is none), it is in its channel, it leaves. */
bool rh_core_presence_watch(struct rh_core *core, struct rh_channel *channel);
void rh_core_presence_watch_begin(struct rh_core *core, struct rh_subscription *subscription);
void rh_core_presence_watch_end(struct rh_core *core, struct rh_subscription *subscription);

/* Frees what is kept of a channel in which nobody is any more. */
void rh_core_presence_settle(struct rh_core *core, struct rh_channel *channel);

/* This node begins to act for the channel. */
void rh_core_presence_begin(struct rh_core *core, struct rh_channel *channel);

/* The copy is dropped, and the list with it, but for who is connected here; or the channel is. */
void rh_core_presence_clear(struct rh_core *core, struct rh_channel *channel);
void rh_core_presence_drop(struct rh_core *core, struct rh_channel *channel);

/* The list goes to |to|. */
void rh_core_presence_send(struct rh_core *core, const struct rh_channel *channel,
                           const struct rh_process *to);

/* A member has got its copy, or may have lost what was sent to it: it is sent the list. */
void rh_core_presence_wanted(struct rh_core *core, const struct rh_channel *channel);
void rh_core_presence_peer_up(struct rh_core *core, struct rh_process *process);

/* Who did not come back leaves; the rest of a turn. */
void rh_core_presence_expire(struct rh_core *core);
void rh_core_presence_flush(struct rh_core *core);
uint64_t rh_core_presence_ms(const struct rh_core *core);
void rh_core_presence_finish(struct rh_core *core);

void rh_core_on_presence(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message);

/* A request for the list, as in core_state.c. */
void rh_core_presence_ask(struct rh_core *core, const struct rh_event *event);
void rh_core_serve_presence(struct rh_core *core, const struct rh_request_ref *request,
                            const struct rh_channel *channel);
void rh_core_presence_refuse(struct rh_core *core, const struct rh_request_ref *request,
                             enum rh_refusal refusal);
void rh_core_presence_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                                const char *owner);
void rh_core_presence_forward(struct rh_core *core, const struct rh_pending *pending,
                              const struct rh_request_ref *request);
void rh_core_on_presence_get(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_presence_answer(struct rh_core *core, struct rh_process *from,
                                const struct rh_peer_message *message);

/* ---- core_view.c ---- */

void rh_core_adopt(struct rh_core *core, const struct rh_event *event);
void rh_core_lose(struct rh_core *core);
void rh_core_recorded(struct rh_core *core, struct rh_epoch epoch);

/* Looks at some of the channels that the current view has not been held against yet. */
void rh_core_sweep(struct rh_core *core);

/* Holds one channel against the current view and the own standing, if that was not done yet. False:
 * the channel is gone. */
bool rh_core_walk(struct rh_core *core, struct rh_channel *channel);

/* All have reported and so have we: the membership is asked to record it. */
void rh_core_check_complete(struct rh_core *core);

/* A link came up: it wants all reports. */
void rh_core_reports_peer_up(struct rh_core *core, struct rh_process *process);

void rh_core_on_report(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message);
void rh_core_on_report_end(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message);

/* Reports of the present view on a channel, or NULL. */
struct rh_reported *rh_core_reported(const struct rh_core *core, const struct rh_channel *channel);

/* The copy of it that |from| has reported for the present view, or NULL. */
const struct rh_reported_copy *rh_core_reported_copy(const struct rh_core *core,
                                                     const struct rh_channel *channel,
                                                     const struct rh_process *from);

void rh_core_reported_free(struct rh_core *core, struct rh_channel *channel);
void rh_core_reported_remove(struct rh_core *core, struct rh_channel *channel,
                             const struct rh_process *from);

/* ---- core_reports.c ---- */

/* The copy has changed: its ring owner hears of it, if it had heard of it in this view (V5). */
void rh_core_report_again(struct rh_core *core, const struct rh_channel *channel);

/* Copies that are told in this step. NULL: nobody is told anything. */
struct rh_report_batch;
struct rh_report_batch *rh_core_reports_begin(struct rh_core *core);

/* The copy, if there is one, is told in this step or, for lack of room, later. */
void rh_core_reports_add(struct rh_core *core, struct rh_report_batch *batches,
                         struct rh_channel *channel);

/* |batches|, NULL or from rh_core_reports_begin(), are sent. */
void rh_core_reports_send(struct rh_core *core, struct rh_report_batch *batches);

/* The walk is over: end markers to all for whom nothing is untold. */
void rh_core_reports_end(struct rh_core *core);

/* Tells some of what had no room before. Whether there was any. */
bool rh_core_reports_more(struct rh_core *core);

/* |process| is told all anew: its round begins with the sweep that the caller begins. */
void rh_core_reports_round(struct rh_core *core, struct rh_process *process);

/* What is untold is to be swept again: of one process, or of all. */
void rh_core_reports_forget(struct rh_core *core, struct rh_process *process);
void rh_core_reports_stop(struct rh_core *core);

/* The link of |process| has come up or gone down: what was sent on it is gone. */
void rh_core_reports_link(struct rh_core *core, struct rh_process *process);

/* RH_EVENT_PEER_DRAINED. */
void rh_core_reports_drained(struct rh_core *core, const struct rh_node_ref *peer);

/* ---- core_replication.c ---- */

/* What the actor keeps; made from the group if need be, with all members in step. */
struct rh_acting *rh_core_acting(struct rh_core *core, struct rh_channel *channel);
void rh_core_acting_free(struct rh_core *core, struct rh_channel *channel);
struct rh_member *rh_core_member(struct rh_channel *channel, const struct rh_process *process);
struct rh_member *rh_core_member_add(struct rh_core *core, struct rh_channel *channel,
                                     struct rh_process *process);
void rh_core_member_remove(struct rh_core *core, struct rh_channel *channel,
                           struct rh_member *member);

/* Whether nobody else has to hold what is published. */
static inline bool rh_core_is_alone(const struct rh_channel *channel)
{
    return channel->group == NULL || channel->group->count == 1;
}

/* The member may not have what it said: it is asked again, by an append that names the group. */
void rh_core_member_doubt(struct rh_core *core, struct rh_channel *channel,
                          struct rh_member *member);

/* It may have dropped its copy: it counts for nothing until it has said what it holds. */
void rh_core_member_distrust(struct rh_core *core, struct rh_member *member);

/* Makes |group| (a reference, given away) the channel's; members are informed by the next append. */
void rh_core_group_set(struct rh_core *core, struct rh_channel *channel, struct rh_group *group);

/* Numbers an operation: appends |entry| (a reference, given away on success) to the copy.
 * RH_ERR_NO_MEMORY: nothing changed. */
RH_MUST_CHECK int rh_core_number(struct rh_core *core, struct rh_channel *channel,
                                 struct rh_entry *entry);

/* Something was numbered: commits it, if nobody has to be waited for, or sees that it is waited for. */
void rh_core_numbered(struct rh_core *core, struct rh_channel *channel);

/* Whether another operation of that size may be numbered now (N7). */
bool rh_core_may_number(const struct rh_core *core, const struct rh_channel *channel,
                        uint64_t size);

/* Whether what is numbered now would wait for a node that has no room (N12). */
bool rh_core_lacks_room(const struct rh_core *core, const struct rh_channel *channel);

/* The operation as a message wants it; a reference to |entry| is kept until the next step. */
struct rh_peer_operation rh_core_operation(struct rh_core *core, struct rh_entry *entry);

/* To be flushed at the end of the turn: appends to members that lack something. */
void rh_core_mark_dirty(struct rh_core *core, struct rh_channel *channel);
void rh_core_flush(struct rh_core *core);

/* Raises `commit` as far as the rules allow (N3). */
void rh_core_try_commit(struct rh_core *core, struct rh_channel *channel);

/* A member has said what it holds. */
void rh_core_member_acked(struct rh_core *core, struct rh_channel *channel,
                          struct rh_member *member, uint64_t op, bool confirmed, uint64_t stamp);

/* Calls |look| for each channel with something under way, which it may end for any of them. If there
 * are very many, only for some: the others are looked at when it is time to send again. */
typedef void rh_core_busy_look(struct rh_core *core, struct rh_acting *acting,
                               const struct rh_process *process);
void rh_core_busy_each(struct rh_core *core, rh_core_busy_look *look,
                       const struct rh_process *process);

/* Sends again what a channel waits for; of all whose time has come. */
void rh_core_busy_retry(struct rh_core *core);
uint64_t rh_core_busy_ms(const struct rh_core *core);
void rh_core_busy_peer_up(struct rh_core *core, const struct rh_process *process);

void rh_core_on_append(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message);
void rh_core_on_append_ack(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message);

/* ---- core_group.c ---- */

/* The group of a message, which names at least one, with a reference. */
struct rh_group *rh_core_group_of(struct rh_core *core, const struct rh_peer_group *wanted);

/* The group of |members|, the actor first, with a reference. */
struct rh_group *rh_core_group_get(struct rh_core *core, struct rh_process *const *members,
                                   uint32_t count);

/* Does for a channel that this node acts for, or claims, whatever can be done next: lets nodes join,
 * asks others to leave, hands over, activates. Called whenever something has changed. */
void rh_core_advance(struct rh_core *core, struct rh_channel *channel);

/* Puts the channel into the queue of those that have to move, if it has to. */
void rh_core_moves_add(struct rh_core *core, struct rh_channel *channel);
void rh_core_moves_pump(struct rh_core *core);

/* The epoch is recorded: what waited for that goes on. */
void rh_core_moves_recorded(struct rh_core *core);

/* Both queues are worth a look now: there is credit, or a way, or the record. */
void rh_core_queues_wake(struct rh_core *core);

/* Out of whichever queue it is in. */
void rh_core_queue_remove(struct rh_core *core, struct rh_channel *channel);

/* Somebody waits for it: to the front of its queue, outside the pace. */
void rh_core_hurry(struct rh_core *core, struct rh_channel *channel);

/* This node does not have the channel any more: its connections are told, if another node is where
 * they belong (H5). */
void rh_core_let_clients_go(struct rh_core *core, struct rh_channel *channel);

/* The actor gives up: a view, or a copy of a higher term, says so (V3, S6). */
void rh_core_depose(struct rh_core *core, struct rh_channel *channel, enum rh_role role);

/* Whether a channel that nobody waits for may have its turn now (H7), and that it had it. */
bool rh_core_pace_allows(const struct rh_core *core);
void rh_core_pace_take(struct rh_core *core);

/* N3: whether the group has as many copies as are wanted. */
bool rh_core_is_large_enough(const struct rh_core *core, const struct rh_channel *channel);

/* Begins to reclaim an idle channel (G8). */
void rh_core_close(struct rh_core *core, struct rh_channel *channel);

void rh_core_on_own(struct rh_core *core, struct rh_process *from,
                    const struct rh_peer_message *message);
void rh_core_on_own_ack(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message);
void rh_core_own_refused(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_refused *refused);
void rh_core_on_leave(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message);
void rh_core_on_leave_ack(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
void rh_core_on_expedite(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message);
void rh_core_send_own(struct rh_core *core, struct rh_channel *channel);
void rh_core_send_leave(struct rh_core *core, struct rh_channel *channel,
                        const struct rh_process *to, bool reclaim);

/* Tombs of this view (G5). Those of others are let go a piece at a time. */
bool rh_core_tomb_forbids(const struct rh_core *core, struct rh_bytes key, struct rh_term term);
void rh_core_tombs_expire(struct rh_core *core);
void rh_core_tombs_finish(struct rh_core *core);

/* The preference list of a channel in the current view: processes, the ring owner first. */
size_t rh_core_preference(const struct rh_core *core, const struct rh_channel *channel,
                          struct rh_process *ret_list[RH_RING_REPLICAS_MAX]);

/* ---- core_sync.c ---- */

/* Whether a sync to |to| may begin now: its credit, and, if nobody waits, the pace (H7). */
bool rh_core_sync_may_begin(const struct rh_core *core, const struct rh_process *to, bool urgent);

/* Begins a sync. |from_op|: what the receiver is believed to hold already. */
struct rh_sync *rh_core_sync_begin(struct rh_core *core, struct rh_channel *channel,
                                   struct rh_process *to, enum rh_peer_sync_purpose purpose,
                                   uint64_t from_op, bool urgent);
void rh_core_sync_abort(struct rh_core *core, struct rh_sync *sync, bool failed);

/* Sends what the receiver has not acknowledged of a sync again. */
void rh_core_sync_retry(struct rh_core *core, struct rh_sync *sync);

/* Ends answers to Fetch that are on their way: of |channel| to |to|, NULL: to anybody. */
void rh_core_fetches_end(struct rh_core *core, struct rh_channel *channel,
                         const struct rh_process *to);

/* Gives up those that do not get on; when the next one has its time. UINT64_MAX: there is none. */
void rh_core_fetches_expire(struct rh_core *core);
uint64_t rh_core_fetches_ms(const struct rh_core *core);

void rh_core_on_sync_ack(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message);
void rh_core_on_refused(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message);
void rh_core_on_credit(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message);
void rh_core_send_credit(struct rh_core *core, const struct rh_process *to);

/* A view was adopted: other senders share what may be on its way to this node. */
void rh_core_credits_renew(struct rh_core *core);

/* ---- core_incoming.c ---- */

void rh_core_on_sync_begin(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message);
void rh_core_on_sync_chunk(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message);
void rh_core_incoming_free(struct rh_core *core, struct rh_channel *channel);

/* Forgets those that do not go on; when the next one has its time. UINT64_MAX: there is none. */
void rh_core_incoming_expire(struct rh_core *core);
uint64_t rh_core_incoming_ms(const struct rh_core *core);

/* Makes what came in the content of |channel|, with its term and group; the role stays. */
void rh_core_incoming_install(struct rh_core *core, struct rh_channel *channel,
                              struct rh_incoming *incoming);

/* An entry from a message; NULL when out of memory. */
struct rh_entry *rh_core_entry_of(const struct rh_peer_operation *operation);

void rh_core_send_refused(struct rh_core *core, const struct rh_process *to,
                          enum rh_peer_message_kind about, struct rh_bytes key, struct rh_term term,
                          uint64_t sync, enum rh_peer_refused_code code);

/* ---- core_takeover.c ---- */

/* Asks who acts for the channel, as was reported, to hand it over soon; for somebody who does not wait
 * here for it. */
void rh_core_expedite(struct rh_core *core, struct rh_channel *channel);

/* Puts the channel into the queue of those that this node has to take over, if it is one. */
void rh_core_claims_add(struct rh_core *core, struct rh_channel *channel);
void rh_core_claims_pump(struct rh_core *core);

/* Whether it is known that the channel, which this node owns, does not exist; |channel| may be
 * NULL. */
bool rh_core_is_known_absent(const struct rh_core *core, const struct rh_channel *channel);

/* What was fetched is whole. */
void rh_core_fetched(struct rh_core *core, struct rh_channel *channel,
                     struct rh_incoming *incoming);

/* Claims with the present content. The group becomes this node, the preference list, and |members|
 * beside. |guess_op|: what members that have not reported are believed to hold. */
void rh_core_claim(struct rh_core *core, struct rh_channel *channel,
                   struct rh_process *const *members, size_t members_count, uint64_t incarnation,
                   uint64_t guess_op);

/* All of the group have it: acts from now on, if it has the right. */
void rh_core_activate(struct rh_core *core, struct rh_channel *channel);

void rh_core_fetch_refused(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_refused *refused);
void rh_core_on_fetch(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message);

/* ---- core_lease.c ---- */

bool rh_core_has_right(struct rh_core *core, const struct rh_channel *channel);
void rh_core_proof(struct rh_core *core, uint64_t at_ms);
void rh_core_peer_proof(struct rh_core *core, struct rh_process *from, uint64_t stamp,
                        uint32_t proof_age_ms);
uint32_t rh_core_proof_age(const struct rh_core *core);
void rh_core_leases_tick(struct rh_core *core);
uint64_t rh_core_leases_ms(const struct rh_core *core);
void rh_core_on_lease_ask(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
void rh_core_promised(struct rh_core *core, const struct rh_promise *promise);
void rh_core_on_lease_grant(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message);

/* ---- core_frames.c ---- */

/* Holds a message of an epoch that was not adopted yet (M1). */
void rh_core_hold(struct rh_core *core, struct rh_process *from,
                  const struct rh_peer_message *message);

/* Holds it because what came before from |from| (in rh_core::releasing) was not all taken yet, and
 * takes as much of that as comes with it. */
void rh_core_hold_behind(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message);

/* Holds it before all else of |from|: what is left of the message that is being taken. False: out of
 * memory. */
RH_MUST_CHECK bool rh_core_hold_rest(struct rh_core *core, struct rh_process *from,
                                     const struct rh_peer_message *message);

/* A view was adopted: begins to take what was held for it. */
void rh_core_release_held(struct rh_core *core);

/* Takes the next piece of it. Whether there was any. */
bool rh_core_release_more(struct rh_core *core);
void rh_core_drop_held(struct rh_core *core, struct rh_process *process);

/* A third node that has a link to |to| as well, or NULL. */
struct rh_process *rh_core_relay_for(const struct rh_core *core, const struct rh_process *to);

/* Whether there is a way to |process|: its link, or by a third node. */
bool rh_core_is_reachable(const struct rh_core *core, const struct rh_process *process);

/* Wraps the sends of this step whose receiver cannot be reached. */
void rh_core_relay_sends(struct rh_core *core);
void rh_core_relays_tick(struct rh_core *core);
void rh_core_relays_begin(const struct rh_core *core, struct rh_process *process);
uint64_t rh_core_relays_ms(const struct rh_core *core);
void rh_core_on_relay(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message);
void rh_core_on_relay_failed(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);

/* ---- core_messages.c ---- */

void rh_core_peer_message(struct rh_core *core, const struct rh_event *event);
typedef void rh_core_take(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
rh_core_take rh_core_take_message;

/* One of an epoch that was adopted, when nothing else of |from| comes before it. */
rh_core_take rh_core_take_released;
void rh_core_ask_for_view(struct rh_core *core, struct rh_process *from);
void rh_core_greet(struct rh_core *core, struct rh_process *process);
void rh_core_peer_up(struct rh_core *core, const struct rh_node_ref *peer);
void rh_core_peer_down(struct rh_core *core, const struct rh_node_ref *peer);

#endif
