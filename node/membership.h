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
 *   links    --- PEER_UP, PEER_DOWN, PEER_DEAD, PEER_EPOCH ->  | membership | --- ADOPT, LOST --->
 *   core     --- PROVE, COMPLETE, PROMISE, PEER_VIEW ------->  |            | --- PROOF, RECORDED ->
 *   daemon   --- PROBE_RESULT, PROGRESS, LEAVE, ... -------->  |            | --- PROBE, ... ---->
 *   timer    --- TICK -------------------------------------->  +------------+
 *
 * It does not know what a member does with its channels, and trusts nothing that it reads.
 *
 * What the replication of channels needs (docs/protocol-cluster.md, 7, 9 and 12):
 *
 *   LOST, ADOPT       The registration is gone: whatever this node held a right to, it holds no
 *                     more, until a view is adopted in which it is registered again. An adopted
 *                     view has this process in it exactly if `registration_epoch` is not zero.
 *   PROVE, PROOF      At the time of sending the registration was there (R1).
 *   COMPLETE, RECORDED   The epoch of the adopted view is written to config as the last complete
 *                     one (V6), as soon as nobody of the one before can still act unseen (V7).
 *   PROMISE           No view without that process is adopted for so long (R3).
 *   PEER_VIEW         A view that a peer has adopted, for when ZooKeeper does not show it.
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

    /* Whether the node keeps copies of channels. Then the proof is renewed each sixth of
     * config.session_timeout_ms, the node registers with weight 0 until losses before its time are
     * over, and ASK_PEERS, which will be answered, is asked before the first config is written and
     * before a first start is believed. */
    bool replication;
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
    RH_MEMBERSHIP_PROVE,       /* a proof is wanted now; at most one each 100 ms is sent */
    RH_MEMBERSHIP_COMPLETE,    /* every member of the view of `epoch` has told that it adopted it */
    RH_MEMBERSHIP_PROMISE,     /* `promise` is wanted: answered by PROMISED, unless a later view
                                * without that process is known and put off */
    RH_MEMBERSHIP_PEER_VIEW,   /* a peer has adopted `view` (rh_view_read() in node/view_shown.h) */
    RH_MEMBERSHIP_PEERS_ASKED, /* end of ASK_PEERS: who answers has been heard by PEER_EPOCH */
    RH_MEMBERSHIP_PEER_REPLACED, /* at the address of that process the same id answers with another
                                    instance: that process is gone for certain */
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
    int32_t cversion;         /* LIST */
    int32_t children_count;   /* LIST: as the server says, names_count or more */
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
        struct rh_node_ref peer; /* PEER_UP, PEER_DOWN, PEER_DEAD, PEER_REPLACED */
        struct {
            struct rh_epoch epoch;   /* zero: it answers, and has adopted nothing */
            struct rh_node_ref from; /* instance 0: nobody knows */
        } peer_epoch;
        struct rh_epoch epoch; /* COMPLETE */
        struct rh_promise promise;
        struct rh_view *view; /* PEER_VIEW; borrowed for the step, and a reference is taken if it
                                 is of use */
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
    RH_MEMBERSHIP_UNREGISTER,    /* delete the child `name`; with `data`, in one transaction with
                                  * config set to it in place of `version` */
    RH_MEMBERSHIP_CHECK,         /* one transaction: check the child `name` at version 0, nothing
                                  * else. Runs beside the others */
    /* For the daemon. */
    RH_MEMBERSHIP_ADOPT,    /* serve `view` from now on; also `registration_epoch`,
                             * `ignorant_until_ms` */
    RH_MEMBERSHIP_LOST,     /* our registration is gone */
    RH_MEMBERSHIP_PROOF,    /* it was there at some moment after `at_ms` */
    RH_MEMBERSHIP_RECORDED, /* config has `epoch`, which is the one of the adopted view, as the last
                             * complete one; told once, after ADOPT if it comes with it */
    RH_MEMBERSHIP_HEARD,    /* ZooKeeper has answered, at `at_ms` */
    RH_MEMBERSHIP_PROMISED, /* `promise` will be kept from now on */
    RH_MEMBERSHIP_ASK_PEERS, /* ask every other node of the own config file which epoch it is in:
                              * PEER_EPOCH for each that answers, also with epoch zero, and
                              * PEERS_ASKED when all have answered or some seconds are over */
    RH_MEMBERSHIP_AWAITED,   /* rh_membership_awaited() is another list now */
    RH_MEMBERSHIP_PROBE,     /* ask at `probe.address` whether `probe.node` still answers */
    RH_MEMBERSHIP_REQUEST,   /* `request` is worked on, progress is wanted; NULL: no more */
    RH_MEMBERSHIP_FATAL,     /* this node must not run, `text` says why; the last action ever */
    RH_MEMBERSHIP_LEFT,      /* end of LEAVE_FINISH */
    RH_MEMBERSHIP_NOTE,      /* worth a line in the log: `text` at `level` */
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
    /* ADOPT: (generation, czxid) of the first registration of our present chain; zero if the view is
     * without us. RECORDED: see there. */
    struct rh_epoch registration_epoch;
    struct rh_epoch epoch;
    uint64_t
        ignorant_until_ms; /* ADOPT: losses before our time may matter until then (V9); 0: none */
    uint64_t at_ms;        /* PROOF, HEARD */
    struct rh_promise promise;
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

/* The weight that this node has or wants to have, its ignorance apart. */
uint32_t rh_membership_weight_milli(const struct rh_membership *membership);

/* What config says of the last complete view, as far as it is known here. Valid until the next
 * step. */
const struct rh_record *rh_membership_record(const struct rh_membership *membership);

/*
 * Processes that are in no adopted view and have to be heard of before the adopted one can be
 * recorded (V7). While they are listed a link to each is wanted, or a try now and then: to tell
 * PEER_EPOCH of every frame that shows another epoch than the one before, to show them our view when
 * the link comes up and after each ADOPT, and to tell PEER_REPLACED. That nobody listens there means
 * nothing. Valid until the next step.
 */
struct rh_membership_awaited {
    struct rh_node_ref node;
    char address[RH_ADDRESS_SIZE]; /* where peers connect */
};

const struct rh_membership_awaited *rh_membership_awaited(const struct rh_membership *membership,
                                                          size_t *ret_count);

#endif
