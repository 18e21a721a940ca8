/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_H
#define RH_NODE_CORE_H

/*
 * The node as a function: events go in, actions come out. The core holds the channels of this
 * node, decides for every request whether it is served here or by another node, forwards what can
 * be forwarded, and tells the connections of a channel when it moves.
 *
 *   client edge --- SUBSCRIBE, READ, PUBLISH, INSPECT --->  +------+  --- WELCOME, DELIVER, MOVED,
 *                                                           |      |      REDIRECT, PUBLISHED ... -->
 *   peer links  --- PEER_UP, PEER_DOWN, PEER_MESSAGE ---->  | core |  --- SEND -------------------->
 *   membership  --- VIEW, LOST, PROOF, RECORDED, ... ---->  |      |  --- CATCH_UP, COMPLETE, ... >
 *   timer       --- TICK -------------------------------->  +------+
 *
 * No socket, no clock, no randomness, no log in here: an event carries the time, the options carry
 * a random seed, and what is worth a log line is an action. The daemon performs actions with libev;
 * a simulator can drive many cores.
 *
 * Rules. rh_core_step() never calls anybody. All actions of a step are performed before the next
 * step. Pointers in an action are valid until then, unless said otherwise.
 *
 * With replication a channel has copies on other nodes, and is handed over or taken over with its
 * content: docs/protocol-cluster.md. Without, it lives on one node and starts empty when it moves.
 */

#include "base/list.h"
#include "node/channel_log.h"
#include "node/role.h"
#include "node/view.h"
#include "proto/peer_message.h"
#include "proto/position.h"
#include "proto/term.h"

struct rh_core;
struct rh_channel;

/* How much is done in one step, so that none takes long; the rest is done in those that follow. Zero
 * takes the default. */
struct rh_core_steps {
    uint32_t sweep_channels; /* 256: held against a new view */
    uint32_t report_copies;  /* 512: taken of one report */
    uint64_t held_bytes;     /* 8 KiB: of frames that were held; one is always taken */
    uint64_t reports_ahead;  /* 512 KiB: of reports in a link that are not known to be written */
};

struct rh_core_options {
    char id[RH_NODE_ID_SIZE];
    uint64_t instance;
    uint64_t seed;   /* random: incarnations and message ids come from it, which everybody sees */
    uint64_t secret; /* random, independent of |seed|: of hashes over what strangers choose */
    struct rh_channel_log_limits log;
    uint32_t channels_max;
    uint32_t channel_idle_ms;
    uint32_t dedup_age_ms;
    uint32_t dedup_ids_max; /* per channel */
    uint64_t payload_size_max;
    uint64_t state_size_max;
    uint64_t batch_size_max; /* bytes towards a client of one batch of a replay, or of the answer of
                                     a read; one message is always taken */
    uint32_t forward_timeout_ms;  /* how long a forwarded request may take; below dedup_age_ms */
    uint32_t catch_up_timeout_ms; /* how long a request waits for a view its sender has already */
    uint32_t remotes_max;         /* connections of other nodes in channels of this one */
    uint32_t pending_max;         /* requests that wait for a view, a link or an answer */
    uint64_t pending_bytes_max;   /* keys, ids and payloads they hold */

    /* Who is in a channel: docs/presence.md. */
    uint32_t presence_grace_ms;
    uint32_t presence_move_ms;             /* beside the grace, after a move */
    uint32_t presence_clients_max;         /* in all channels, of which this node has a list */
    uint32_t presence_channel_clients_max; /* at most RH_PEER_PRESENT_MAX */

    /* Copies on several nodes, docs/protocol-cluster.md. Off: one copy, and a channel that moves
     * starts empty; then nothing below counts. How many copies, the view says. */
    bool replication;
    uint32_t session_timeout_ms;            /* S, of the cluster's config; at least 300 */
    uint32_t grace_ms;                      /* T_d */
    uint32_t rebalance_channels_per_second; /* that nobody waits for */
    uint32_t rebalance_in_flight;           /* channels on their way to this node */
    uint32_t copies_max;                    /* in all roles */
    uint32_t uncommitted_max;               /* operations of a channel */
    uint64_t uncommitted_bytes_max;         /* one operation is always taken */
    uint64_t held_bytes_max;                /* frames of later epochs, per peer */
    bool trace;                             /* somebody reads RH_ACTION_TRACE */
    struct rh_core_steps steps;
};

/*
 * A client's place in a channel: a stream (WebSocket) or one waiting read (long poll). The memory
 * is the caller's, inside whatever it keeps per connection; the core links it into its lists from
 * SUBSCRIBE or READ until the action that ends it or UNSUBSCRIBE, so it must stay put until then.
 *
 *                       +--> REPLAYING <--(caught up, behind)--> LIVE --+
 *   FREE --> (decide) --+--> LIVE ------------------------------------+--> MOVED --> FREE
 *      ^         ^      +--> WAITING (a read, for a message) -------------------> FREE
 *      |         +--------> CATCHING_UP (for a view)
 *      |         +--------> HELD (until the channel is served here)
 *      +------------- REDIRECT, REFUSED, READ_DONE ends it at once
 */
enum rh_subscription_state {
    RH_SUBSCRIPTION_FREE,        /* in no list of the core */
    RH_SUBSCRIPTION_CATCHING_UP, /* waits for the view that its URL knows of */
    RH_SUBSCRIPTION_HELD,        /* waits until its channel is served here */
    RH_SUBSCRIPTION_REPLAYING,   /* gets messages of the log, a batch each DRAINED */
    RH_SUBSCRIPTION_LIVE,        /* gets every message as it is committed */
    RH_SUBSCRIPTION_WAITING,     /* a read that waits for the next message */
    RH_SUBSCRIPTION_MOVED,       /* was told; gets nothing more */
    RH_SUBSCRIPTION_RELAYED,     /* another node serves it: docs/relay.md */
    RH_SUBSCRIPTION_REMOTE,      /* of another node: gets messages as it has credit */
};

/* Where a request comes from in a chain of redirects. */
struct rh_hop {
    uint32_t hops;  /* redirects so far */
    bool has_epoch; /* the URL names the epoch of who redirected */
    int64_t epoch;  /* its pzxid */
};

/* How a stream names itself, to be present in its channel. The memory is the caller's, as that of the
 * subscription, and stays as it is for as long. */
struct rh_attendee {
    struct rh_bytes client;     /* rh_client_id_valid() */
    struct rh_bytes meta;       /* JSON of at most RH_CLIENT_META_SIZE_MAX bytes, or empty */
    struct rh_present *present; /* the core's; NULL at first */
};

/* There are as many as connections, so its fields are packed. */
struct rh_subscription {
    struct rh_list link;       /* rh_audience::{replaying,live,remote}, rh_waiters::{reads,held}, or
                                   rh_core::catching_up */
    struct rh_list timer_link; /* of a waiting read: rh_core::reads; of HELD: rh_core::held */
    struct rh_channel *channel; /* NULL while in no channel */
    struct rh_position after;   /* as the client asked; for a read, also where it waits */
    uint64_t next_seq;          /* next message to deliver */
    union {
        uint64_t live_from;   /* LIVE: first message that DELIVER_ALL brings it */
        uint64_t deadline_ms; /* of a waiting read, of HELD, or of catching up */
    };
    struct rh_hop hop;
    union {
        char *key;                  /* owned; only while catching up */
        struct rh_relayed *relayed; /* RELAYED */
    };
    uint16_t key_size;
    uint16_t limit;   /* of a read: messages at most */
    uint16_t wait_ms; /* of a read */
    enum rh_subscription_state state : 4;
    bool is_read : 1; /* one waiting read; otherwise a stream */
    bool has_after : 1;
    bool after_is_ours : 1;       /* of a waiting read: the client gave none, it waits from there */
    bool may_relay : 1;           /* it is served by another node in place of being sent there */
    bool is_welcomed : 1;         /* a stream that is in its channel, wherever that is served */
    bool is_remote : 1;           /* of another node's client: rh_remote::subscription */
    bool wants_room : 1;          /* RELAYED: the next DRAINED is waited for */
    bool watches_state : 1;       /* a stream that is told of changes of the state document */
    bool watches_presence : 1;    /* and of who comes and goes */
    bool is_shown : 1;            /* of those: knows who is there */
    struct rh_attendee *attendee; /* of a stream that names itself; or NULL */
};

/* Makes |subscription| FREE. */
void rh_subscription_init(struct rh_subscription *subscription);

enum rh_event_kind {
    RH_EVENT_TICK,      /* time has passed: rh_core_deadline_ms() was reached */
    RH_EVENT_VIEW,      /* adopt a view */
    RH_EVENT_PEER_UP,   /* messages to that node can be sent */
    RH_EVENT_PEER_DOWN, /* what was sent to it may be lost */
    RH_EVENT_PEER_MESSAGE,
    RH_EVENT_SUBSCRIBE,   /* a stream wants a channel */
    RH_EVENT_READ,        /* a poll, or a long poll */
    RH_EVENT_UNSUBSCRIBE, /* the connection of a subscription is gone */
    RH_EVENT_DRAINED,     /* a stream that is replaying, or `wants_room`, has room for more */
    RH_EVENT_SHOW_STATE,  /* a stream that watches the state has room for it again */
    RH_EVENT_PUBLISH,
    RH_EVENT_INSPECT, /* channel info, from whichever node owns it */
    RH_EVENT_PRESENT, /* likewise: who is in the channel */
    RH_EVENT_STATE_GET,
    RH_EVENT_STATE_PUT,
    RH_EVENT_STATE_DELETE,
    RH_EVENT_FOLLOW,    /* what a channel follows: a list, one more, one less */
    RH_EVENT_FOLLOWERS, /* who follows a topic */

    /* With replication. */
    RH_EVENT_LOST,         /* the own registration is gone, by whatever road that was learnt */
    RH_EVENT_PROOF,        /* the own registration stood at some moment after `at_ms` (R1) */
    RH_EVENT_HEARD,        /* ZooKeeper answered something at `at_ms` (R3) */
    RH_EVENT_RECORDED,     /* the config records exactly `epoch` as complete (V6) */
    RH_EVENT_PEER_DRAINED, /* what was sent on that link up to the last TELL_DRAINED is written */
    RH_EVENT_PROMISED,     /* what was wanted by RH_ACTION_PROMISE is noted and will be kept (R3) */
};

struct rh_event {
    enum rh_event_kind kind;
    uint64_t now_ms; /* monotonic, never below that of the event before */
    int64_t time_ms; /* Unix time */
    union {
        struct {
            struct rh_view *view;               /* the core takes a reference of its own */
            struct rh_epoch registration_epoch; /* czxid of the first registration of this
                                                   process's chain; zeroed: not registered */
            uint64_t ignorant_until_ms; /* until then losses before our time count (V9); or 0 */
        };
        uint64_t at_ms;            /* PROOF, HEARD: monotonic */
        struct rh_epoch epoch;     /* RECORDED */
        struct rh_promise promise; /* PROMISED */
        struct rh_node_ref peer;
        struct {
            struct rh_node_ref from;
            const struct rh_peer_message *message;
        } peer_message;
        struct {
            struct rh_subscription *subscription; /* FREE */
            struct rh_bytes key;                  /* valid key */
            bool has_after;
            struct rh_position after;
            struct rh_hop hop;
            uint32_t limit;   /* READ: 1 or more */
            uint32_t wait_ms; /* READ: 0 answers at once */
            bool may_relay;   /* see struct rh_subscription, also the next one */
            bool after_is_ours;
            bool watches_state; /* SUBSCRIBE; these three */
            bool watches_presence;
            struct rh_attendee *attendee;     /* or NULL */
        } subscribe;                          /* SUBSCRIBE, READ */
        struct rh_subscription *subscription; /* UNSUBSCRIBE (in any state), DRAINED,
                                                 SHOW_STATE */
        struct {
            uint64_t request; /* the caller's number for the answer */
            struct rh_bytes key;
            struct rh_bytes id; /* empty: the core gives one */
            struct rh_payload payload;
        } publish;
        struct {
            uint64_t request;
            struct rh_bytes key;
        } inspect; /* INSPECT, PRESENT */
        struct {
            uint64_t request;
            struct rh_bytes key;
            bool may_redirect;                      /* GET: the client can be sent to the owner */
            enum rh_peer_state_condition condition; /* PUT, DELETE (not ABSENT) */
            uint64_t if_version;                    /* VERSION */
            struct rh_bytes content_type;           /* PUT: printable ASCII */
            struct rh_bytes state;                  /* PUT */
        } state;                                    /* STATE_GET, STATE_PUT, STATE_DELETE */
        struct {
            uint64_t request;
            struct rh_bytes key;
            enum rh_peer_follow_what what;
            struct rh_bytes topic; /* ADD, REMOVE: a valid key that is not |key| */
            bool has_after;        /* ADD: begin after that position, if it is not followed yet */
            struct rh_position after;
        } follow; /* FOLLOW */
        struct {
            uint64_t request;
            struct rh_bytes topic;
            uint32_t limit; /* of followers that are named; from 1 to RH_PEER_FOLLOWERS_MAX */
        } followers;        /* FOLLOWERS */
    };
};

/* Why a request was not served. The codes are stable: nodes tell them each other. What a client is
 * told is a code of router/problem.h, see rh_daemon_problem(). */
#define RH_REFUSAL_MAP(X)                                                                          \
    X(RH_REFUSAL_NONE, "none", "")                                                                 \
    X(RH_REFUSAL_NOT_READY, "not_ready", "this node has no view of the cluster yet")               \
    X(RH_REFUSAL_NO_OWNER, "no_owner", "no node of the cluster owns any key now")                  \
    X(RH_REFUSAL_TOO_LARGE, "too_large", "the payload is larger than the limit")                   \
    X(RH_REFUSAL_CHANNELS_FULL, "channels_full", "this node holds as many channels as it may")     \
    X(RH_REFUSAL_PRESENCE_FULL, "presence_full",                                                   \
      "the channel, or this node, has as many clients that name themselves as it may")             \
    X(RH_REFUSAL_OVERLOADED, "overloaded", "too many requests wait on this node")                  \
    X(RH_REFUSAL_NO_MEMORY, "no_memory", "the node is out of memory")                              \
    X(RH_REFUSAL_UNKNOWN, "unknown_outcome",                                                       \
      "the owner did not answer in time; the publish may have been accepted: retry with the same " \
      "id")                                                                                        \
    X(RH_REFUSAL_UNREACHABLE, "owner_unreachable", "the owner did not answer in time")             \
    X(RH_REFUSAL_FOLLOWS_FULL, "follows_full", "the channel follows as many topics as it may")     \
    X(RH_REFUSAL_MEMBER_FULL, "member_full",                                                       \
      "another node that has to hold a copy of the channel has no room now")                       \
    X(RH_REFUSAL_TOO_SLOW, "too_slow", "messages were trimmed before they could be sent; resume")

enum rh_refusal {
#define RH_REFUSAL_ENUM(name, code, text) name,
    RH_REFUSAL_MAP(RH_REFUSAL_ENUM)
#undef RH_REFUSAL_ENUM
};

const char *rh_refusal_code(enum rh_refusal refusal); /* "not_ready" */
const char *rh_refusal_text(enum rh_refusal refusal);

enum rh_action_kind {
    RH_ACTION_WELCOME,     /* a stream is in its channel */
    RH_ACTION_DELIVER,     /* one entry to one stream (replay, or relayed) */
    RH_ACTION_DELIVER_ALL, /* one entry to every live stream of a channel */
    RH_ACTION_MOVED,       /* a stream's channel has another owner now */
    RH_ACTION_GOES_ON,     /* a stream is served in another way, and sent nothing before DRAINED */
    RH_ACTION_REDIRECT,  /* a SUBSCRIBE or READ belongs to another node; the subscription is FREE */
    RH_ACTION_REFUSED,   /* likewise FREE, nobody can serve it now; or a stream fell behind */
    RH_ACTION_READ_DONE, /* answer of a READ; the subscription is FREE */
    RH_ACTION_PUBLISHED, /* answer of a PUBLISH */
    RH_ACTION_INSPECTED, /* answer of an INSPECT */
    RH_ACTION_STATE,     /* answer of a STATE_GET, STATE_PUT, STATE_DELETE */
    RH_ACTION_CHANGED,   /* the state document as it is now, to streams that watch it */
    RH_ACTION_PRESENCE,  /* who is there, or came and went, to streams that watch that */
    RH_ACTION_PRESENT,   /* answer of a PRESENT */
    RH_ACTION_FOLLOWED,  /* answer of a FOLLOW */
    RH_ACTION_FOLLOWERS, /* answer of a FOLLOWERS */
    RH_ACTION_SEND,      /* a message to a peer whose link is up */
    RH_ACTION_CATCH_UP,  /* somebody knows a later epoch: read the membership now */
    RH_ACTION_SWEPT,     /* all channels were checked against the view: worth a log line */

    /* With replication, to the membership: */
    RH_ACTION_COMPLETE,  /* all nodes have reported in `epoch`: record it */
    RH_ACTION_PROVE,     /* proof is wanted now */
    RH_ACTION_PROMISE,   /* make `promise`, if that can be; answered by PROMISED */
    RH_ACTION_PEER_VIEW, /* a peer shows a view: as if ZooKeeper had */
    RH_ACTION_SHOW_VIEW, /* send `peer` the view that this node has adopted */
    /* and to the links: */
    RH_ACTION_RESET_PEER,   /* close the connection on which `peer` sends */
    RH_ACTION_TELL_DRAINED, /* answer by PEER_DRAINED, unless the link of `peer` breaks before */
    /* For who watches: */
    RH_ACTION_TRACE,
};

/* What happened inside: for a log at its most talkative, and for the checker. */
enum rh_trace_kind {
    RH_TRACE_ROLE,    /* from -> to */
    RH_TRACE_COMMIT,  /* `commit` has risen, at the acting owner */
    RH_TRACE_GROUP,   /* the acting owner's group has changed */
    RH_TRACE_REFUSED, /* a message of `peer` about `about` was refused with `code` */
};

struct rh_core_trace {
    enum rh_trace_kind kind;
    struct rh_bytes key;
    enum rh_role from;
    enum rh_role to; /* the present one */
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;
    uint64_t commit;
    bool suspect;
    const struct rh_node_ref *group; /* actor first, or NULL */
    size_t group_count;
    struct rh_node_ref peer;
    enum rh_peer_message_kind about;
    uint32_t code; /* enum rh_peer_refused_code */
};

/* What a publish came to. */
struct rh_publish_result {
    enum rh_refusal refusal; /* NONE: acknowledged */
    uint64_t seq;
    uint64_t incarnation;
    char node[RH_NODE_ID_SIZE]; /* the owner */
    uint32_t connections;
    bool duplicate; /* a retry: seq is the first one's */
};

/* What a request for the state document came to. */
struct rh_state_result {
    enum rh_refusal refusal;
    const struct rh_registration *redirect; /* the client is to ask that node; or NULL */
    enum rh_peer_state_outcome outcome;     /* neither refused nor redirected */
    uint64_t version;                       /* as in struct rh_peer_state_answer */
    uint64_t incarnation;                   /* likewise */
    char node[RH_NODE_ID_SIZE];             /* the owner */
    struct rh_bytes content_type;           /* FOUND */
    struct rh_bytes state;                  /* FOUND */
};

/* Who is in a channel. */
struct rh_presence_result {
    enum rh_refusal refusal;
    uint64_t incarnation;       /* 0: no such channel */
    char node[RH_NODE_ID_SIZE]; /* the owner */
    struct rh_peer_present_list clients;
};

/* What a request about what a channel follows came to. */
struct rh_follow_result {
    enum rh_refusal refusal;
    char node[RH_NODE_ID_SIZE];           /* the owner */
    const struct rh_peer_follow *follows; /* all, as they are now */
    size_t follows_count;
};

/* Who follows a topic, as those nodes say that answered. */
struct rh_followers_node {
    char id[RH_NODE_ID_SIZE];
    uint32_t count;  /* of its followers */
    bool is_missing; /* it did not answer in time, or could not be asked */
};

struct rh_followers_result {
    enum rh_refusal refusal;
    uint64_t count;              /* of all followers, named or not */
    const struct rh_bytes *keys; /* of those that are named; sorted, each once */
    size_t keys_count;
    const struct rh_followers_node *nodes; /* all members, in the order of the view */
    size_t nodes_count;
};

/* What a channel looks like; of a channel that does not exist: incarnation 0, first_seq 1. */
struct rh_channel_info {
    uint64_t incarnation;
    uint64_t first_seq;
    uint64_t last_seq;
    uint32_t connections;
};

struct rh_action {
    enum rh_action_kind kind;
    union {
        struct {
            struct rh_subscription *subscription;
            struct rh_bytes key;
            uint64_t incarnation;
            uint64_t seq; /* last one that is not replayed: messages start at seq + 1 */
            bool recovered;
        } welcome;
        struct {
            struct rh_subscription *subscription; /* DELIVER */
            struct rh_channel *channel;           /* DELIVER_ALL: see rh_channel_live_next(); NULL
                                                     of a relayed stream */
            struct rh_entry *entry;               /* the action holds a reference */
            uint64_t incarnation;
        } deliver;
        struct {
            struct rh_subscription *subscription;
            const struct rh_registration *node; /* of the current view */
            struct rh_bytes key;
            bool has_position; /* MOVED: where the client is; REDIRECT: false */
            struct rh_position position;
        } moved; /* MOVED, REDIRECT */
        struct rh_subscription *goes_on;
        struct {
            struct rh_subscription *subscription;
            enum rh_refusal refusal;
        } refused;
        struct {
            struct rh_subscription *subscription;
            uint64_t incarnation;      /* 0: no such channel */
            struct rh_entry **entries; /* NULL for none; the action holds list and references */
            uint32_t count;
            struct rh_position position;
            bool recovered;
            bool more;
        } read;
        struct {
            uint64_t request;
            struct rh_publish_result result;
        } published;
        struct {
            uint64_t request;
            enum rh_refusal refusal;
            struct rh_channel_info info;
            uint32_t owner; /* index in the view, RH_RING_NONE with a refusal */
            uint64_t hash;
        } inspected;
        struct {
            uint64_t request;
            struct rh_state_result result;
        } state;
        struct {
            struct rh_subscription *subscription; /* which has just been welcomed; or NULL: all */
            struct rh_channel *channel;           /* see rh_channel_watcher_next() */
            struct rh_entry
                *state; /* its last change; NULL: none ever. Valid until the next step */
        } changed;
        struct {
            struct rh_subscription **streams; /* valid until the next step */
            size_t streams_count;
            uint64_t incarnation;
            bool is_whole;                    /* `joined` are all who are there */
            struct rh_peer_present_list left; /* before the others */
            struct rh_peer_present_list joined;
            struct rh_peer_present_list changed; /* their meta */
        } presence;
        struct {
            uint64_t request;
            struct rh_presence_result result;
        } present;
        struct {
            uint64_t request;
            struct rh_follow_result result;
        } followed;
        struct {
            uint64_t request;
            struct rh_followers_result result; /* valid until the next step */
        } followers;
        struct {
            struct rh_node_ref to;
            struct rh_peer_message message; /* its slices are valid until the next step */
        } send;
        struct rh_epoch epoch; /* COMPLETE */
        struct rh_promise promise;
        const struct rh_peer_message *peer_view; /* PEER_VIEW: the event's */
        struct rh_node_ref peer;                 /* SHOW_VIEW, RESET_PEER, TELL_DRAINED */
        struct rh_core_trace trace;
        struct {
            struct rh_epoch epoch;
            uint64_t channels;    /* that moved away */
            uint64_t connections; /* that were told */
        } swept;
    };
};

/* Grows as needed and is emptied by every step; zeroed memory is an empty list. */
struct rh_actions {
    struct rh_action *items;
    size_t count;
    size_t capacity;
};

void rh_actions_finish(struct rh_actions *actions);

/* Counters, from the start of the process; and sizes now. */
struct rh_core_stats {
    uint64_t publishes;
    uint64_t duplicates;
    uint64_t deliveries;
    uint64_t forwards_sent;
    uint64_t forwards_received;
    uint64_t redirects;
    uint64_t moved_connections;
    uint64_t moved_channels;
    uint64_t channels_created;
    uint64_t channels_reclaimed;
    uint64_t refusals;
    uint64_t log_bytes;   /* now: ids and payloads in all logs */
    uint64_t state_bytes; /* now: of all state documents */
    uint64_t state_writes;
    uint64_t state_conflicts;
    uint64_t ids;      /* now: message ids remembered in all channels */
    uint32_t channels; /* now */
    uint32_t streams;  /* now: subscriptions of streams in channels */
    uint32_t reads_waiting;
    uint32_t relayed;        /* now: connections of this node that another serves */
    uint32_t remotes;        /* now: connections of other nodes that this one serves */
    uint64_t relayed_begun;  /* of `relayed`, ever */
    uint64_t relayed_again;  /* that had to be opened anew, at the same owner or the next */
    uint64_t remotes_opened; /* of `remotes`, ever */
    uint64_t tunnels_broken; /* to owners: something was lost */
    uint32_t pending;        /* now: requests that wait for a view, a link or an answer */
    uint32_t presents;       /* now: clients in the lists of all channels */
    uint64_t presence_joins;
    uint64_t presence_leaves;
    uint64_t topic_batches;  /* sent to nodes that have followers */
    uint64_t topic_messages; /* taken by followers */
    uint32_t topic_readers;  /* now: nodes that want a topic of this one, for each topic */
    uint32_t topic_feeds;    /* now: topics that channels of this node follow */

    /* With replication. */
    uint64_t syncs_sent;
    uint64_t syncs_received;
    uint64_t sync_bytes_sent; /* ids and payloads */
    uint64_t sync_bytes_received;
    uint64_t handoffs_out;
    uint64_t handoffs_in;
    uint64_t takeovers;
    uint64_t takeovers_renewed; /* of those: under a new incarnation */
    uint64_t losses;            /* of the own registration */
    uint64_t frames_refused;
    uint64_t frames_held;
    uint64_t frames_relayed;
    uint32_t copies;           /* now, in all roles */
    uint32_t channels_acting;  /* now */
    uint32_t channels_short;   /* now: acting, with fewer copies than wanted */
    uint32_t channels_stalled; /* now: something is not committed for over a second */
    uint32_t moves_waiting;    /* now: channels to hand over, to mend, or to ask to leave */
    uint32_t claims_waiting;   /* now: channels to take over */
    uint32_t arrivals_waiting; /* now: channels owned, of which others have copies or act for yet */
};

RH_MUST_CHECK int rh_core_create(const struct rh_core_options *options, struct rh_core **ret_core);

/* Frees everything; subscriptions that are still linked become FREE. NULL is allowed. */
void rh_core_destroy(struct rh_core *core);

/*
 * Takes one event and appends what is to be done to |actions|, which is emptied first.
 * Cannot fail: when memory is short the request that needs it is refused.
 */
void rh_core_step(struct rh_core *core, const struct rh_event *event, struct rh_actions *actions);

/* Monotonic time at which a TICK is wanted; UINT64_MAX for never, 0 for at once: when the events at
 * hand have been stepped, and before the loop blocks. What is sent to peers in one turn is gathered
 * by this. */
uint64_t rh_core_deadline_ms(const struct rh_core *core);

const struct rh_core_stats *rh_core_stats(const struct rh_core *core);

/* The current view, or NULL before the first. Valid until the next VIEW is stepped. */
struct rh_view *rh_core_view(const struct rh_core *core);

/* Whether this node has heard neither ZooKeeper nor any other member for so long that others may long
 * have replaced it (R7): who is served here should look elsewhere. As of the last step. */
bool rh_core_is_cut_off(const struct rh_core *core);

/* Whether channels are left that have not been held against the current view. */
bool rh_core_is_sweeping(const struct rh_core *core);

/* Monotonic time at which the current view was adopted. */
uint64_t rh_core_view_since_ms(const struct rh_core *core);

/* Whether all nodes have reported in the current view, and that is recorded: only then channels move.
 * Without replication always true. */
bool rh_core_is_settled(const struct rh_core *core);

/* Walks the live streams of the channel of a DELIVER_ALL that get its |entry|: NULL gives the first,
 * the last gives NULL. Those that became live later in the same step are passed over. No step may
 * happen during the walk. */
struct rh_subscription *rh_channel_live_next(const struct rh_channel *channel,
                                             const struct rh_subscription *subscription,
                                             const struct rh_entry *entry);

/* Walks the streams of the channel of a CHANGED for all: NULL gives the first, the last gives NULL. No
 * step may happen during the walk. */
struct rh_subscription *rh_channel_watcher_next(const struct rh_channel *channel,
                                                const struct rh_subscription *subscription);

/* The key of a channel; valid as long as the channel. */
struct rh_bytes rh_channel_key(const struct rh_channel *channel);

#endif
