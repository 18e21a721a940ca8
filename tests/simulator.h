/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_H
#define RH_TESTS_SIMULATOR_H

/*
 * A whole cluster in one thread and no real time: the pure machines of several nodes on a virtual
 * ZooKeeper, a virtual network and virtual clients. docs/simulator.md tells what for and how.
 *
 *   simulator_main       seeds, replay, shrinking, whether injected faults are caught
 *   simulator_run        one run in its phases
 *   simulator_faults     what goes wrong, and when: planned from the seed before the run begins
 *   simulator_clients    subscribers, long polls, publishers, as they see the cluster
 *   simulator_check      the laws, and what the cluster must be like in the end
 *   simulator_truth      with replication: what was committed, who acted, who held what
 *   simulator_topics     with --topics: channels that follow others, and what they get
 *   simulator_relay      with --relay: clients that another node serves than the one they reached
 *   simulator_rest       with replication: what copies are like in the end
 *   simulator_describe   with replication: copies and messages as lines of the trace
 *   simulator_counts     messages, and what is asked of ZooKeeper, counted
 *   simulator_node       one process: membership and core, wired as in node/daemon_*.c
 *   simulator_zookeeper  sessions, znodes, watches; three servers, of which some lag behind
 *   simulator_network    links between nodes, with the evidence that node/ev_peer.h gives
 *   simulator_scale      many nodes, one change, and what it costs
 *   simulator_mutation   faults that are injected to prove that the laws are checked
 *   simulator            this: clock, queue of events, random numbers, trace, failure
 *
 * One generator, one clock, one queue whose ties are broken by the order of insertion: a seed is a
 * run, byte for byte. Nothing here reads a clock, an address or an uninitialised byte.
 */

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/table.h"
#include "tests/simulator_counts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_NODES_MAX    2000
#define SIM_NODES_USUAL  12 /* of a seed, unless told how many */
#define SIM_REPLICAS_ANY (-1)
#define SIM_EPOCH_MS     1764000000000 /* Unix time when the virtual clock shows 0 */
#define SIM_SHORT_AGE_MS 3600000       /* a log of less trims by age */

struct sim;
struct sim_event;
struct sim_node;

typedef void sim_run(struct sim *sim, struct sim_event *event);

/* Something that will happen. Embedded at the start of a block from sim_event(), which is freed
 * after it has run unless sim_keep() was called meanwhile. */
struct sim_event {
    sim_run *run;
    uint64_t at_ms;
    uint64_t number;
    struct rh_list link; /* while it is kept by a paused process */
    bool kept;
    bool unread; /* bytes in a socket of the process: lost if that is closed before they are read */
};

/* Injected faults, see simulator_mutation.c; 0 is none. */
enum sim_mutation {
    SIM_MUTATION_NONE,
/* Name, text, and the profile in which it is soon found, or NULL. */
#define SIM_MUTATION_MAP(X)                                                                     \
    X(TWICE, "a message reaches a client twice", NULL)                                          \
    X(LOSS, "a message does not reach a client", NULL)                                          \
    X(AFTER_MOVED, "a message follows `moved`", NULL)                                           \
    X(NO_GRACE, "views that lack live members are adopted at once", "calm")                     \
    X(SILENCE_IS_DEATH, "silence of a peer is taken for its death", NULL)                       \
    X(STALE_LIST, "the list of members and its pzxid are of two moments", NULL)                 \
    X(OLD_VIEW, "the core is handed the view before the present one", NULL)                     \
    X(LOST_ID, "a forwarded publish loses its id", NULL)                                        \
    X(NO_WINDOW, "the window of ids finds nothing", NULL)                                       \
    X(ALWAYS_RECOVERED, "a client is always told that it missed nothing", NULL)                 \
    X(OWN_EVERYTHING, "a node takes itself for the owner of every key", NULL)                   \
    X(SAME_INCARNATION, "incarnations repeat", NULL)                                            \
    X(KEEP_CHANNELS, "a channel that moved away is kept, and goes on when it comes back", NULL) \
    X(FORGET_SELF, "a node does not find itself in a view", NULL)                               \
    X(NO_GENERATION, "lost data of ZooKeeper goes unnoticed", NULL)                             \
    X(NO_REQUESTS, "requests of an operator are not seen", NULL)                                \
    X(DEAF, "watches of the list of members never fire", "lag")                                 \
    X(DOUBLE_REGISTRATION, "a new registration does not replace the one before", NULL)          \
    X(NO_ANSWERS, "answers to forwarded publishes are lost", NULL)                              \
    X(NO_EVICTION, "dead processes are left to their sessions", "deaths")                       \
    X(NO_SYNC, "a sync is answered at once", "lag")
#define SIM_MUTATION_ENUM(name, text, profile) SIM_MUTATION_##name,
    SIM_MUTATION_MAP(SIM_MUTATION_ENUM)
#undef SIM_MUTATION_ENUM
        SIM_MUTATIONS,
};

/* What a wide run is about, see simulator_scale.h: name and text. */
#define SIM_CHANGE_MAP(X)                                                              \
    X(IDLE, "idle", "nothing happens for ten seconds")                                 \
    X(JOIN, "join", "one more node starts, and takes its weight when it may")          \
    X(DRAIN, "drain", "an operator drains one node")                                   \
    X(CRASH, "crash", "the process of one node dies")                                  \
    X(STOP, "stop", "one node is stopped in order")                                    \
    X(OUTAGE, "outage", "ZooKeeper is away for twelve seconds: longer than a session") \
    X(EXPIRE, "expire", "the sessions of all nodes expire")

enum sim_change {
    SIM_CHANGE_NONE, /* a plan of faults instead */
#define SIM_CHANGE_ENUM(name, text, what) SIM_CHANGE_##name,
    SIM_CHANGE_MAP(SIM_CHANGE_ENUM)
#undef SIM_CHANGE_ENUM
        SIM_CHANGES,
};

struct sim_options {
    uint64_t seed;
    FILE *trace; /* NULL: no trace */
    enum sim_mutation mutation;
    const bool *faults_off; /* by number in the plan; NULL: all happen */
    size_t faults_off_count;
    const char *profile;    /* NULL: as the seed says */
    int replicas;           /* R; 0: no replication, SIM_REPLICAS_ANY: as the seed says */
    int nodes;              /* 0: as the seed says; otherwise the run is wide, see below */
    unsigned channels;      /* of a wide run, beside those that have clients */
    bool present;           /* subscribers name themselves, and watch who is there */
    enum sim_change change; /* of a wide run, in place of the faults; see simulator_scale.h */
    FILE *report;           /* NULL: none; of a change */
    bool topics;            /* channels follow others, see simulator_topics.h */
    bool relay;             /* some clients are relayed, see simulator_relay.h */
};

/* What becomes of a message between nodes. */
enum sim_fate {
    SIM_FATE_SENT,
    SIM_FATE_LOST,
    SIM_FATE_HELD, /* until sim_network_release(); others may overtake it */
};

struct rh_peer_message;
typedef enum sim_fate sim_filter(struct sim *sim, int from, int to,
                                 const struct rh_peer_message *message);

struct sim {
    struct sim_options options;
    uint64_t random;
    uint64_t now_ms;
    uint64_t steps;           /* of machines */
    struct sim_event **queue; /* a heap */
    size_t queue_count;
    size_t queue_capacity;
    uint64_t event_number;
    uint64_t slowness; /* what delays are multiplied by */
    bool steady;       /* delays have no tail */
    bool scripted;     /* nothing is random but identities: see simulator_scenario.h */
    bool replicated;   /* the cores replicate */
    bool present;      /* subscribers name themselves, and watch who is there */
    bool watching;     /* subscribers watch the state document */
    uint32_t replicas; /* R */
    struct {
        uint32_t log_messages;
        uint32_t log_age_ms;
        uint32_t channel_idle_ms;
        uint32_t pending_max;
        uint32_t padding;    /* bytes of a payload beside the number of its message */
        uint32_t batch_size; /* bytes that a client may have unread, as the core counts */
        unsigned crowd;      /* channels that nobody listens to: sweeps take several steps */
    } limits;                /* of all nodes of this run */
    bool failed;
    char failure[512];

    struct sim_node **nodes; /* nodes_count of them */
    int nodes_count;
    bool wide; /* so many nodes that what happens on each of their links all the time is made short:
                  the pings of a node are one event */
    struct sim_counts counts;
    struct rh_table places; /* which process is where, by its instance */
    struct sim_zookeeper *zookeeper;
    struct sim_network *network;
    struct sim_clients *clients;
    struct sim_states *states;
    struct sim_topics *topics;
    struct sim_check *check;
    struct sim_truth *truth; /* NULL without replication */
    struct sim_faults *faults;
    sim_filter *filter; /* of a script; NULL: all messages are sent */
    void *script;
};

/* What one run came to. */
struct sim_result {
    bool failed;
    char failure[512];
    const char *profile;
    size_t faults; /* in the plan */
    uint64_t steps;
    uint64_t virtual_ms;
    uint64_t messages; /* that reached a subscriber or a long poll */
    uint64_t rest_ms;  /* from the last fault to a cluster at rest */
};

/* One whole run: start, faults, healing, the end. In simulator_run.c. */
void sim_run_once(const struct sim_options *options, struct sim_result *ret_result);

/* A world with |nodes_count| nodes, none of which runs yet, and nothing planned; nodes_count 0: a
 * plan, and as many nodes as the seed says. */
void sim_create(struct sim *sim, const struct sim_options *options, int nodes_count);
void sim_destroy(struct sim *sim);

uint64_t sim_hash(struct rh_bytes bytes); /* FNV-1a, folded */

/* Which node a process is, or was, by its instance; -1: there was none. */
int sim_place_of(const struct sim *sim, uint64_t instance);
void sim_place_set(struct sim *sim, uint64_t instance, int node);
void sim_places_create(struct sim *sim);
void sim_places_destroy(struct sim *sim);

/* Runs until all agree, and with |clients| all of them are served too; fails after |bound_ms|. */
void sim_rest(struct sim *sim, bool clients, uint64_t bound_ms, const char *phase);

/* --- the engine --- */

/* Zeroed memory for an event of |size| bytes, whose first member is a struct sim_event. */
void *sim_event(size_t size, sim_run *run);

/* Queues |event| for |delay_ms| from now, behind all that is queued for that moment. */
void sim_after(struct sim *sim, uint64_t delay_ms, struct sim_event *event);

/* In its run function: the event is not freed, somebody else has it now. */
static inline void sim_keep(struct sim_event *event)
{
    event->kept = true;
}

/* Runs an event now and frees it, unless it is kept. */
void sim_run_event(struct sim *sim, struct sim_event *event);

/* Runs what is queued up to |until_ms|, or to a failure; the clock shows |until_ms| then. */
void sim_run_until(struct sim *sim, uint64_t until_ms);

uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t limit);                /* 0 to limit - 1 */
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high); /* both included */
bool sim_chance(struct sim *sim, unsigned permille);

/* A delay as networks have it: mostly a few milliseconds, now and then many. */
uint64_t sim_delay_ms(struct sim *sim);

/* Runs what is queued first; false: nothing is. */
bool sim_run_next(struct sim *sim);

/* Records the first failure; the run ends soon. */
void sim_fail(struct sim *sim, const char *format, ...) RH_PRINTF(2, 3);

void sim_trace_line(struct sim *sim, const char *format, ...) RH_PRINTF(2, 3);

/* A line of the trace; its arguments are not evaluated when nobody reads it. */
#define sim_trace(sim, ...)                     \
    do {                                        \
        if ((sim)->options.trace != NULL) {     \
            sim_trace_line((sim), __VA_ARGS__); \
        }                                       \
    } while (0)

static inline bool sim_mutates(const struct sim *sim, enum sim_mutation mutation)
{
    return sim->options.mutation == mutation;
}

const char *sim_mutation_name(enum sim_mutation mutation);
const char *sim_mutation_text(enum sim_mutation mutation);
const char *sim_mutation_profile(enum sim_mutation mutation); /* or NULL */

#endif
