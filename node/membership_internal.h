/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_MEMBERSHIP_INTERNAL_H
#define RH_NODE_MEMBERSHIP_INTERNAL_H

/*
 * What the files of the membership share. Nobody outside node/membership*.c includes this.
 *
 *   membership.c               the step, and which operation is next
 *   membership_config.c        the config znode and the generation
 *   membership_snapshot.c      listing members/, views, and waiting for lost members
 *   membership_registration.c  our registration, who else has our id, evictions, leaving
 *   membership_request.c       what an operator asks of us
 *
 * The machine is level-triggered: handlers of events only note what is known and what is stale;
 * then the same chain of questions is asked after every event (settle() in membership.c), and at
 * most one operation starts. So no order of events needs a case of its own.
 */

#include "base/machine.h"
#include "base/units.h"
#include "node/membership.h"

#define READS_MAX 32U /* children read at once */

#define RETRY_MS         500U /* after an answer that should not be */
#define PROBE_TIMEOUT_MS 10000U
#define PROBE_AGAIN_MS   1000U
#define PAUSE_MIN_MS     100U /* before registering again after an eviction */
#define PAUSE_MAX_MS     30000U
#define PAUSE_FORGET_MS  60000U /* registered for so long: the evictions before do not count */
#define REQUEST_WRITE_MS 500U   /* at most so often */
#define NEVER            UINT64_MAX

/* A child of members/ as far as it is known. */
struct member {
    char name[RH_MEMBERSHIP_NAME_SIZE];
    enum { MEMBER_UNREAD, MEMBER_GOOD, MEMBER_IGNORED } state;
    int64_t czxid;
    int64_t owner; /* session */
    struct rh_registration registration;
};

/* The last list, sorted by name; also the cache for the next. */
struct snapshot {
    struct member *members;
    size_t count;
    int64_t pzxid;
    bool complete;              /* all read, and consistent */
    int64_t inconsistent_pzxid; /* of the last list that turned out to be stale */
};

struct ref_list {
    struct rh_node_ref *items;
    size_t count;
    size_t capacity;
};

enum operation {
    OPERATION_NONE,
    OPERATION_OPEN,
    OPERATION_SYNC,
    OPERATION_READ_CONFIG,
    OPERATION_CREATE_CONFIG,
    OPERATION_SET_CONFIG,
    OPERATION_READ_REQUEST,
    OPERATION_SET_REQUEST,
    OPERATION_LIST,
    OPERATION_READ_MEMBERS,
    OPERATION_REGISTER,
    OPERATION_EVICT,
    OPERATION_UNREGISTER,
};

struct rh_membership {
    struct rh_registration own; /* `weight_milli` is the one of the file */
    struct rh_shared_config own_config;
    char *config_name;
    uint32_t grace_ms;
    uint64_t jitter; /* state of a generator that starts from the instance */
    uint64_t now_ms;
    struct rh_membership_actions *actions; /* of the step that runs; NULL between steps */
    char *kept[RH_MEMBERSHIP_ACTIONS_MAX]; /* what they point to; freed by the next step */
    size_t kept_count;

    struct rh_machine session; /* enum rh_membership_session_state */
    int64_t session_id;

    /* The operation in flight. */
    enum operation operation;
    uint64_t number;        /* of the last operation */
    uint64_t number_first;  /* READ_MEMBERS: the first of the batch */
    size_t reads_left;      /* READ_MEMBERS */
    uint64_t retry_ms;      /* none starts before */
    unsigned refused_noted; /* bit per operation that the server last said no to: was logged */

    /* What has to be read again. */
    bool parents_missing;
    bool sync_wanted;
    bool config_stale;
    bool request_stale;
    bool list_stale;

    /* config */
    bool config_known;   /* a good one was read once */
    bool config_missing; /* as of the last reading */
    int32_t config_version;
    int64_t config_czxid;
    uint64_t generation;            /* as accepted; 0 before */
    uint64_t generation_found;      /* in the znode, if it is good */
    uint64_t generation_written;    /* by the write in flight */
    int64_t view_config_czxid;      /* of the config under which the view was adopted */
    bool synced;                    /* what is read now is what the leader has */
    const char *raise_reason;       /* static; NULL: nothing to raise */
    int32_t config_ignored_version; /* logged for that version */

    /* members/ */
    struct snapshot snapshot;
    struct rh_machine view_machine; /* enum rh_membership_view_state */
    struct rh_view *view;
    uint64_t *missing_ms;  /* by member of the view: missed, and waited for until then; 0: not */
    struct rh_epoch heard; /* highest that a peer has shown */
    struct ref_list up;
    int64_t unusable_pzxid; /* a snapshot that makes no ring */
    uint64_t view_retry_ms; /* out of memory for a view: not before */

    /* Our registration. */
    struct rh_machine registration; /* enum rh_membership_registration_state */
    struct rh_node_ref holder;      /* PROBING: who has our id */
    uint64_t probe_ms;              /* PROBING: when the next probe starts, or this one is over */
    bool probe_out;                 /* PROBING: an answer is awaited */
    struct rh_node_ref dead_holder; /* a probe has found it dead; instance 0: none */
    uint64_t pause_until_ms;        /* PAUSED */
    unsigned evictions;             /* in a row */
    uint64_t registered_ms;
    struct ref_list dead;                            /* to be evicted */
    struct rh_node_ref victim;                       /* of the eviction in flight */
    const char *replaced[RH_MEMBERSHIP_DELETES_MAX]; /* names in the snapshot, for the operation */
    size_t replaced_count;
    uint32_t weight_registering;
    bool leaving;
    bool finishing;
    struct rh_reason fatal;

    /* requests/<id> */
    bool request_known; /* was looked up once */
    bool request_active;
    struct rh_request request;
    int32_t request_version;
    char *request_text;        /* to be written; NULL: nothing */
    bool request_dirty;        /* `request` is to be written */
    uint64_t request_write_ms; /* not before */
    bool weight_asked;         /* by a request */
    uint32_t weight_milli;     /* that one */
};

/* membership.c */

/* The next action of this step, zeroed but for its kind. */
struct rh_membership_action *membership_act(struct rh_membership *membership,
                                            enum rh_membership_action_kind kind);

/* Starts an operation: gives its action a number. */
struct rh_membership_action *membership_operate(struct rh_membership *membership,
                                                enum operation operation,
                                                enum rh_membership_action_kind kind);

/* Gives |text| to the step, which frees it; returns it. */
char *membership_keep(struct rh_membership *membership, char *text);

/* Nothing more is started for RETRY_MS. */
void membership_retry_later(struct rh_membership *membership);

void membership_note(struct rh_membership *membership, enum rh_note_level level, const char *format,
                     ...) RH_PRINTF(3, 4);

void membership_fatal(struct rh_membership *membership, const char *format, ...) RH_PRINTF(2, 3);

/* Something looks as if ZooKeeper had lost its data: asks the leader first, and raises the
 * generation when it says the same. */
void membership_suspect_loss(struct rh_membership *membership, const char *reason);

/* Reads the membership again, through the leader. */
void membership_catch_up(struct rh_membership *membership);

bool ref_list_has(const struct ref_list *list, const struct rh_node_ref *ref);
void ref_list_add(struct ref_list *list, const struct rh_node_ref *ref); /* or not, if no memory */
void ref_list_remove(struct ref_list *list, const struct rh_node_ref *ref);

/* membership_config.c: results, and starting the operation that is wanted, if any. */
void config_on_read(struct rh_membership *membership, const struct rh_membership_result *result);
void config_on_written(struct rh_membership *membership, const struct rh_membership_result *result);
bool config_write(struct rh_membership *membership);

/* membership_snapshot.c */
void snapshot_forget(struct rh_membership *membership);
void snapshot_on_list(struct rh_membership *membership, const struct rh_membership_result *result);
void snapshot_on_member(struct rh_membership *membership,
                        const struct rh_membership_result *result);
void snapshot_end_of_reads(struct rh_membership *membership);
bool snapshot_read(struct rh_membership *membership);
/* The newest registration of |id| in a complete snapshot, or NULL. */
const struct member *snapshot_newest(const struct rh_membership *membership, const char *id);
void view_settle(struct rh_membership *membership);
void view_forget_missing(struct rh_membership *membership);
uint64_t view_deadline_ms(const struct rh_membership *membership);

/* membership_registration.c */
void registration_settle(struct rh_membership *membership);
uint64_t registration_deadline_ms(const struct rh_membership *membership);
bool registration_operate(struct rh_membership *membership);
void registration_on_registered(struct rh_membership *membership,
                                const struct rh_membership_result *result);
void registration_on_evicted(struct rh_membership *membership,
                             const struct rh_membership_result *result);
void registration_on_unregistered(struct rh_membership *membership);
void registration_on_probe(struct rh_membership *membership, const struct rh_node_ref *node,
                           enum rh_membership_probe result);
/* Hard evidence that a peer is gone. */
void registration_on_dead(struct rh_membership *membership, const struct rh_node_ref *peer);
void registration_on_session_lost(struct rh_membership *membership);

/* membership_request.c */
void request_on_read(struct rh_membership *membership, const struct rh_membership_result *result);
void request_on_written(struct rh_membership *membership,
                        const struct rh_membership_result *result);
void request_on_progress(struct rh_membership *membership, uint64_t channels_left,
                         uint64_t connections_left);
bool request_write(struct rh_membership *membership);
uint64_t request_deadline_ms(const struct rh_membership *membership);

#endif
