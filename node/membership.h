/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_MEMBERSHIP_H
#define RH_NODE_MEMBERSHIP_H

/*
 * Who is a member of the cluster, and are we: the rules of docs/membership.md as a state machine.
 * Events go in, actions come out. No ZooKeeper, no clock, no randomness, no log in here: an event
 * carries the time, and what is worth a log line is an action.
 *
 *   session  --- CONNECTED, DISCONNECTED, EXPIRED, WATCH --->  +------------+
 *            --- RESULT of an operation -------------------->  |            | --- operations --->
 *   links    --- PEER_UP, PEER_DOWN, PEER_DEAD, PEER_EPOCH ->  | membership | --- ADOPT -------->
 *   daemon   --- PROBE_RESULT, PROGRESS, LEAVE, ... -------->  |            | --- PROBE, ... ---->
 *   timer    --- TICK -------------------------------------->  +------------+
 *
 * It does not know what a member does with its channels, and trusts nothing that it reads.
 *
 * Rules. rh_membership_step() never calls anybody. All actions of a step are performed, in order,
 * before the next step; what they point to is valid until then. Results may come in any later
 * step; one whose number is not that of an operation in flight is ignored, so late answers of an
 * old session do no harm.
 */

#include "node/view.h"
#include "proto/identity.h"
#include "proto/registration.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_membership;

#define RH_MEMBERSHIP_NAME_SIZE   96   /* name of a child of members/, with terminator */
#define RH_MEMBERSHIP_MEMBERS_MAX 4096 /* more children than that are not looked at */
#define RH_MEMBERSHIP_DELETES_MAX 16   /* registrations replaced in one transaction */

struct rh_membership_options {
    struct rh_shared_config config; /* own file's; `generation` is not looked at */
    const char *config_name;        /* of that file, in messages; copied */
    /* What to register; `weight_milli` is that of the file, which requests override. */
    struct rh_registration registration;
    uint32_t grace_ms; /* T_d */
};

enum rh_membership_watch {
    RH_MEMBERSHIP_WATCH_CONFIG,
    RH_MEMBERSHIP_WATCH_MEMBERS, /* list of children */
    RH_MEMBERSHIP_WATCH_REQUEST, /* ours */
};

enum rh_membership_probe {
    RH_MEMBERSHIP_PROBE_ANSWERS, /* exactly that instance answers */
    RH_MEMBERSHIP_PROBE_DEAD,    /* nobody listens there, or another instance */
    RH_MEMBERSHIP_PROBE_UNKNOWN, /* no answer in time */
};

enum rh_membership_event_kind {
    RH_MEMBERSHIP_TICK,         /* rh_membership_deadline_ms() was reached */
    RH_MEMBERSHIP_CONNECTED,    /* to ZooKeeper */
    RH_MEMBERSHIP_DISCONNECTED, /* the session may still stand */
    RH_MEMBERSHIP_EXPIRED,      /* the session is gone, and our registration with it */
    RH_MEMBERSHIP_WATCH,        /* something that was read has changed */
    RH_MEMBERSHIP_RESULT,       /* of an operation */
    RH_MEMBERSHIP_PEER_UP,      /* the link to that process answers */
    RH_MEMBERSHIP_PEER_DOWN,
    RH_MEMBERSHIP_PEER_DEAD,  /* hard evidence that the process is gone */
    RH_MEMBERSHIP_PEER_EPOCH, /* a peer is in that epoch */
    RH_MEMBERSHIP_CATCH_UP,   /* read the membership again, through the leader */
    RH_MEMBERSHIP_PROBE_RESULT,
    RH_MEMBERSHIP_PROGRESS, /* of the request that is worked on */
    RH_MEMBERSHIP_LEAVE,
    RH_MEMBERSHIP_LEAVE_FINISH,
};

/* What ZooKeeper answered; the pointers are not kept. */
struct rh_membership_result {
    uint64_t number;          /* of the action */
    int rv;                   /* 0, or as rh_zk_done says */
    struct rh_bytes data;     /* READ_CONFIG, READ_REQUEST, READ_MEMBER */
    int32_t version;          /* READ_CONFIG, READ_REQUEST, SET_CONFIG, SET_REQUEST */
    int64_t czxid;            /* READ_CONFIG, READ_MEMBER */
    int64_t ephemeral_owner;  /* READ_MEMBER */
    int64_t pzxid;            /* LIST */
    const char *const *names; /* LIST */
    size_t names_count;       /* LIST */
    const char *name;         /* READ_MEMBER: as asked; REGISTER: what was made, without path */
};

struct rh_membership_event {
    enum rh_membership_event_kind kind;
    uint64_t now_ms; /* monotonic, never below that of the event before */
    union {
        struct {
            int64_t session;
            bool fresh; /* no watch of ours is set there: a new session, or a new handle */
        } connected;
        enum rh_membership_watch watch;
        struct rh_membership_result result;
        struct rh_node_ref peer; /* PEER_UP, PEER_DOWN, PEER_DEAD */
        struct rh_epoch epoch;   /* PEER_EPOCH */
        struct {
            struct rh_node_ref node;
            enum rh_membership_probe result;
        } probe;
        struct {
            uint64_t channels_left;
            uint64_t connections_left;
        } progress;
    };
};

enum rh_note_level {
    RH_NOTE_ERROR, /* an operator must act */
    RH_NOTE_WARN,  /* something was given up */
    RH_NOTE_INFO,  /* the life of the node */
};

enum rh_membership_action_kind {
    /* Operations. Each is answered by one RESULT, unless the session breaks before. */
    RH_MEMBERSHIP_OPEN,          /* create the parent znodes; those that exist are fine */
    RH_MEMBERSHIP_SYNC,          /* bring the server up to the leader */
    RH_MEMBERSHIP_READ_CONFIG,   /* and watch it, also when it is missing */
    RH_MEMBERSHIP_CREATE_CONFIG, /* with `data` */
    RH_MEMBERSHIP_SET_CONFIG,    /* `data` in place of `version` */
    RH_MEMBERSHIP_READ_REQUEST,  /* requests/<id>; watched likewise */
    RH_MEMBERSHIP_SET_REQUEST,   /* `data` in place of `version` */
    RH_MEMBERSHIP_LIST,          /* children of members/, watched */
    RH_MEMBERSHIP_READ_MEMBER,   /* the child `name` */
    RH_MEMBERSHIP_REGISTER,      /* one transaction: delete `names`, create <id>. with `data`,
                                  * ephemeral and sequential */
    RH_MEMBERSHIP_EVICT,         /* one transaction: check `name` (ours) at version 0, delete
                                  * names[0] */
    RH_MEMBERSHIP_UNREGISTER,    /* delete the child `name` */
    /* For the daemon. */
    RH_MEMBERSHIP_ADOPT,   /* serve `view` from now on */
    RH_MEMBERSHIP_PROBE,   /* ask at `probe.address` whether `probe.node` still answers */
    RH_MEMBERSHIP_REQUEST, /* `request` is worked on, progress is wanted; NULL: no more */
    RH_MEMBERSHIP_FATAL,   /* this node must not run, `text` says why; the last action ever */
    RH_MEMBERSHIP_LEFT,    /* end of LEAVE_FINISH */
    RH_MEMBERSHIP_NOTE,    /* worth a line in the log: `text` at `level` */
};

struct rh_membership_action {
    enum rh_membership_action_kind kind;
    uint64_t number; /* operations: for the RESULT */
    struct rh_bytes data;
    int32_t version;
    const char *name;
    const char *const *names;
    size_t names_count;
    struct rh_view *view; /* the reference is the machine's */
    struct {
        struct rh_node_ref node;
        const char *address;
    } probe;
    const struct rh_request *request;
    enum rh_note_level level;
    const char *text;
};

#define RH_MEMBERSHIP_ACTIONS_MAX 64

/* Emptied by every step. */
struct rh_membership_actions {
    size_t count;
    struct rh_membership_action items[RH_MEMBERSHIP_ACTIONS_MAX];
};

enum rh_membership_session_state {
    RH_MEMBERSHIP_AWAY,
    RH_MEMBERSHIP_PREPARING,
    RH_MEMBERSHIP_FOLLOWING,
};

enum rh_membership_registration_state {
    RH_MEMBERSHIP_OUTSIDE,
    RH_MEMBERSHIP_PROBING,
    RH_MEMBERSHIP_PAUSED,
    RH_MEMBERSHIP_REGISTERED,
    RH_MEMBERSHIP_HAS_LEFT,
    RH_MEMBERSHIP_REFUSED,
};

enum rh_membership_view_state {
    RH_MEMBERSHIP_EMPTY,
    RH_MEMBERSHIP_CURRENT,
    RH_MEMBERSHIP_HELD, /* a later snapshot waits for members that it lacks */
};

/* Strings of |options| are copied. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_membership_create(const struct rh_membership_options *options,
                                       struct rh_membership **ret_membership);

/* Gives its view back and frees. NULL is allowed. */
void rh_membership_destroy(struct rh_membership *membership);

/* Takes one event and says what is to be done. Cannot fail: what memory is short for is tried
 * again later. */
void rh_membership_step(struct rh_membership *membership, const struct rh_membership_event *event,
                        struct rh_membership_actions *actions);

/* Monotonic time at which a TICK is wanted; UINT64_MAX for never. May lie in the past. */
uint64_t rh_membership_deadline_ms(const struct rh_membership *membership);

/* The adopted view, borrowed until the next ADOPT; NULL before the first. */
struct rh_view *rh_membership_view(const struct rh_membership *membership);

enum rh_membership_session_state
rh_membership_session_state(const struct rh_membership *membership);
enum rh_membership_registration_state
rh_membership_registration_state(const struct rh_membership *membership);
enum rh_membership_view_state rh_membership_view_state(const struct rh_membership *membership);

/* The weight that this node has or wants to have. */
uint32_t rh_membership_weight_milli(const struct rh_membership *membership);

#endif
