/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_MEMBERSHIP_INTERNAL_H
#define RH_NODE_MEMBERSHIP_INTERNAL_H

/*
 * What the files of the membership share. Nobody outside node/membership*.c includes this.
 *
 *   membership.c               the step, and which operation is next
 *   membership_config.c        the config znode and the generation
 *   membership_record.c        the last complete view in config, and the guard before another
 *   membership_snapshot.c      listing members/
 *   membership_view.c          adopting views, and waiting for lost members
 *   membership_registration.c  our registration, who else has our id, evictions, leaving
 *   membership_proof.c         showing that our registration stands
 *   membership_newcomer.c      what a process must not believe that has adopted nothing yet
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
#define PROOF_GAP_MS     100U   /* proofs are not sent more often than that */
#define RECORD_STEP_MS   50U /* by so much each node lets the one before it in the view go first */
#define RECORD_STEPS_MAX 20U
#define AWAITED_NOTE_MS  10000U /* how often it is said who is waited for */
#define ASK_TIMEOUT_MS   10000U /* peers that were asked: nothing more comes */
#define ASK_AGAIN_MS     1000U
#define LEAVE_TRIES_MAX  3U /* to leave `last` and members/ in one transaction */
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
    uint64_t deletions;         /* as of the list */
    bool complete;              /* all read, and consistent */
    int64_t inconsistent_pzxid; /* of the last list that turned out to be stale */
};

struct ref_list {
    struct rh_node_ref *items;
    size_t count;
    size_t capacity;
};

/* The highest epoch that a process has shown. */
struct shown {
    struct rh_node_ref node;
    struct rh_epoch epoch;
};

struct promise {
    struct rh_node_ref peer;
    uint64_t until_ms;
};

enum config_purpose {
    CONFIG_FIRST,    /* there was none */
    CONFIG_RAISE,    /* the generation */
    CONFIG_COMPLETE, /* a field that an earlier version did not write */
    CONFIG_KNOWN,    /* `last`, in a generation in which nothing is recorded yet */
    CONFIG_RECORD,   /* `last` */
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
    bool replication;
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
    bool catching_up;    /* all of it, from the leader on: until a snapshot is complete */
    bool catch_up_again; /* once more after that */

    /* config */
    bool config_known;   /* a good one was read once */
    bool config_missing; /* as of the last reading */
    int32_t config_version;
    int64_t config_czxid;
    uint64_t generation;                /* as accepted; 0 before */
    uint64_t generation_found;          /* in the znode, if it is good */
    bool config_good;                   /* what was read last is good, and no other than ours */
    struct rh_shared_config found;      /* then: what stands there */
    struct rh_record record;            /* of the last good one */
    uint64_t record_generation;         /* of its config; 0: that is not the one of the view */
    struct rh_record record_before;     /* the last of the view's, while there is another config */
    bool unknown_before;                /* then: that one had none, and should have */
    enum config_purpose config_purpose; /* of the write in flight */
    uint64_t generation_written;        /* by it */
    struct rh_record record_written;    /* by it */
    int64_t view_config_czxid;          /* of the config under which the view was adopted */
    bool synced;                        /* what is read now is what the leader has */
    bool sync_is_late;                  /* the one in flight may be from before the adopted view */
    const char *raise_reason;           /* static; NULL: nothing to raise */
    int32_t config_ignored_version;     /* logged for that version */

    /* members/ */
    struct snapshot snapshot;
    struct rh_machine view_machine; /* enum rh_membership_view_state */
    struct rh_view *view;
    uint64_t *missing_ms;  /* by member of the view: missed, and waited for until then; 0: not */
    struct rh_epoch heard; /* highest that a peer has shown */
    struct ref_list up;
    int64_t unusable_pzxid;  /* a snapshot that makes no ring */
    uint64_t view_retry_ms;  /* out of memory for a view: not before */
    struct rh_view *offered; /* the latest that a peer has shown, if it is above ours; or NULL */
    uint64_t held_until_ms;  /* HELD: as things stand */
    struct promise *promises;
    size_t promises_count;
    size_t promises_capacity;
    uint64_t promised_all_ms; /* no place for another promise: nothing is adopted until then */

    /* Recording the adopted view. */
    struct rh_epoch complete;      /* the core has said so of this epoch */
    uint64_t record_ms;            /* not before */
    struct rh_epoch recorded_told; /* RECORDED was told of it */
    struct shown *shown;           /* who showed what; those in the view are forgotten with it */
    size_t shown_count;
    size_t shown_capacity;
    struct ref_list replaced; /* processes that are gone for certain */
    struct rh_membership_awaited *awaited;
    size_t awaited_count;
    uint64_t awaited_note_ms;

    /* As long as nothing was adopted. */
    enum { PEERS_NOT_ASKED, PEERS_BEING_ASKED, PEERS_ASKED } peers;
    bool peers_know;   /* one of them has adopted a view */
    uint64_t peers_ms; /* asked again, or given up */
    uint64_t ignorant_until_ms;
    bool weight_taken; /* not to be given back for want of knowledge */

    /* Our registration. */
    struct rh_machine registration; /* enum rh_membership_registration_state */
    struct rh_node_ref holder;      /* PROBING: who has our id */
    uint64_t probe_ms;              /* PROBING: when the next probe starts, or this one is over */
    bool probe_out;                 /* PROBING: an answer is awaited */
    struct rh_node_ref dead_holder; /* a probe has found it dead; instance 0: none */
    uint64_t pause_until_ms;        /* PAUSED */
    unsigned evictions;             /* in a row */
    uint64_t registered_ms;
    char own_name[RH_REGISTRATION_NAME_SIZE]; /* of the one that stands */
    char chain[RH_REGISTRATION_NAME_SIZE];    /* of its first; "": we are not registered, or lost */
    char lost_chain[RH_REGISTRATION_NAME_SIZE]; /* the last one that was lost in this session */
    int64_t chain_czxid;
    int64_t own_czxid;         /* of the latest of ours, of this generation */
    int64_t lost_czxid;        /* what was made up to there is lost */
    bool replacing;            /* whether own_name still stands is not known: an answer was lost */
    struct ref_list dead;      /* to be evicted */
    struct rh_node_ref victim; /* of the eviction in flight */
    const char
        *replaced_names[RH_MEMBERSHIP_DELETES_MAX]; /* names in the snapshot, for the operation */
    size_t replaced_count;
    uint32_t weight_registering;
    bool leaving;
    bool finishing;
    bool unregistering; /* LOST was told for it */
    bool leaves_record; /* the UNREGISTER in flight takes us out of `last` as well */
    unsigned leave_tries;
    struct rh_reason fatal;

    /* The proof of it. */
    bool proof_out;
    bool proof_wanted;
    uint64_t proof_number; /* of CHECK; these are numbered apart from the operations */
    uint64_t proof_sent_ms;
    uint64_t proof_next_ms; /* none is sent before */

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

/* The next number of a generator (splitmix64) in which no two processes agree. */
uint64_t membership_random(struct rh_membership *membership);

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

/* |name| is that of a registration: one that is longer cannot be. */
void membership_copy_name(char out[static RH_REGISTRATION_NAME_SIZE], const char *name);

bool ref_list_has(const struct ref_list *list, const struct rh_node_ref *ref);
void ref_list_add(struct ref_list *list, const struct rh_node_ref *ref); /* or not, if no memory */
void ref_list_remove(struct ref_list *list, const struct rh_node_ref *ref);

/* membership_config.c: results, and starting the operation that is wanted, if any. */
void config_on_read(struct rh_membership *membership, const struct rh_membership_result *result);
void config_on_written(struct rh_membership *membership, const struct rh_membership_result *result);
bool config_write(struct rh_membership *membership);
/* Whether what is shared by all is the same there as in our own file. */
bool config_fits(const struct rh_membership *membership, const struct rh_shared_config *found);

/* membership_record.c */
/* The members of the adopted view as a record. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int record_of_view(const struct rh_membership *membership, bool with_forgotten,
                                 struct rh_record *ret_record);
/* For another generation: the members of the adopted view, and with them those of the record whom
 * the guard waits for, as nobody might know of them any more. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int record_of_known(const struct rh_membership *membership,
                                  struct rh_record *ret_record);
/* Whether nobody knows who may still act. */
bool record_is_unknown(const struct rh_membership *membership);
/* |record| stands in the config that was `found`, which was made |anew| without the generation being
 * raised, or not; takes it. */
void record_keep(struct rh_membership *membership, bool anew, struct rh_record *record);
/* Whether another generation is to begin with what we know: it is not in the record already. */
bool record_can_be_raised(const struct rh_membership *membership);
/* Without ourselves. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int record_without_us(const struct rh_membership *membership,
                                    struct rh_record *ret_record);
/* In a generation in which nothing is recorded yet: we know later members than config does. */
bool record_is_behind(const struct rh_membership *membership);
/* Whether the adopted view is to be recorded now. */
bool record_is_due(const struct rh_membership *membership);
void record_settle(struct rh_membership *membership);
uint64_t record_deadline_ms(const struct rh_membership *membership);
void record_on_complete(struct rh_membership *membership, struct rh_epoch epoch);
void record_on_shown(struct rh_membership *membership, const struct rh_node_ref *node,
                     struct rh_epoch epoch);
void record_on_replaced(struct rh_membership *membership, const struct rh_node_ref *node);
void record_on_adopted(struct rh_membership *membership);

/* membership_snapshot.c */
void snapshot_forget(struct rh_membership *membership);
void snapshot_on_list(struct rh_membership *membership, const struct rh_membership_result *result);
void snapshot_on_member(struct rh_membership *membership,
                        const struct rh_membership_result *result);
void snapshot_end_of_reads(struct rh_membership *membership);
bool snapshot_read(struct rh_membership *membership);
/* The newest registration of |id| in a complete snapshot, or NULL. */
const struct member *snapshot_newest(const struct rh_membership *membership, const char *id);

/* membership_view.c */
void view_settle(struct rh_membership *membership);
void view_forget_missing(struct rh_membership *membership);
uint64_t view_deadline_ms(const struct rh_membership *membership);
void view_on_offered(struct rh_membership *membership, struct rh_view *view);
void view_promise(struct rh_membership *membership, const struct rh_promise *promise);

/* membership_proof.c */
void proof_settle(struct rh_membership *membership);
uint64_t proof_deadline_ms(const struct rh_membership *membership);
/* Whether |result| is that of a CHECK, which is then dealt with. */
bool proof_on_result(struct rh_membership *membership, const struct rh_membership_result *result);
/* There is something new to prove, or nothing any more. */
void proof_begin(struct rh_membership *membership);
void proof_end(struct rh_membership *membership);

/* membership_newcomer.c */
/* No config may be written before the peers have been asked. Asks them. */
bool newcomer_waits(struct rh_membership *membership);
/* It looks like the first start of a cluster: the peers have to be asked before that is believed.
 * Asks them. */
bool newcomer_doubts(struct rh_membership *membership);
uint64_t newcomer_deadline_ms(const struct rh_membership *membership);
void newcomer_on_shown(struct rh_membership *membership, struct rh_epoch epoch);
void newcomer_on_asked(struct rh_membership *membership);
void newcomer_on_adopted(struct rh_membership *membership); /* the first view */
/* Whether weight 0 is all that we may have for now. */
bool newcomer_is_ignorant(const struct rh_membership *membership);

/* membership_registration.c */
void registration_settle(struct rh_membership *membership);
uint64_t registration_deadline_ms(const struct rh_membership *membership);
bool registration_operate(struct rh_membership *membership);
void registration_on_registered(struct rh_membership *membership,
                                const struct rh_membership_result *result);
void registration_on_evicted(struct rh_membership *membership,
                             const struct rh_membership_result *result);
void registration_on_unregistered(struct rh_membership *membership,
                                  const struct rh_membership_result *result);
/* What is known of our registration says that it is gone, though the session stands. */
void registration_on_gone(struct rh_membership *membership);
void registration_on_generation(struct rh_membership *membership);
/* Whether a registration of our id and instance belongs to our present chain. */
bool registration_is_present(const struct rh_membership *membership, const char *name,
                             const char *origin);
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
