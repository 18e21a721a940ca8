/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_NODE_H
#define RH_TESTS_SIMULATOR_NODE_H

/*
 * One process: node/membership.h and node/core.h, wired as node/zk_membership.c and
 * node/daemon_*.c wire them, and nothing else of the daemon. Events come from the other modules of
 * the simulator; while the process is paused they wait, in order, as in the buffers of its kernel.
 *
 * It plays the listener too: a connection is a place for a subscription, with a number that both
 * sides know. What the node says on it reaches the client in order and later.
 */

#include "node/core.h"
#include "node/membership.h"
#include "tests/simulator.h"

#define SIM_KEY_SIZE       24
#define SIM_VNODES         16
#define SIM_GRACE_MS       2000
#define SIM_LINGER_MS      5000
#define SIM_HELD_BYTES_MAX (1U << 20)
#define SIM_SEND_QUEUE_MAX 24 /* messages that a client may be behind */

#define SIM_PRESENCE_GRACE_MS 10000
#define SIM_PRESENCE_MOVE_MS  5000

/* A client's connection as its node has it. */
struct sim_connection {
    struct rh_list link; /* sim_node::connections */
    uint64_t number;
    int client;
    bool offers_ringhop;
    bool moved; /* was told; closed when it has lingered */
    bool hungry;
    uint64_t linger_until_ms;
    uint64_t fifo_ms;
    unsigned pace_ms;     /* how long the client takes for a message */
    uint64_t read_all_ms; /* when it will have read what it was sent */
    uint64_t queued;      /* relayed: bytes since there was room, as the core counts */
    uint64_t served_ms;   /* it may be relayed: when it was served last, or came */
    bool welcomed;
    uint64_t incarnation;   /* of its channel when it was */
    bool waits;             /* is served in another way, and there was no room yet */
    uint64_t shown_version; /* of the state document; 0: none */
    bool wants_state;       /* there was no room for it */
    char key[SIM_KEY_SIZE];
    char name[16]; /* of the client, where they have names */
    int name_number;
    uint32_t known; /* names that it knows to be there, a bit each, by number */
    struct rh_attendee attendee;
    struct rh_subscription subscription;
};

enum sim_stop { SIM_NOT_STOPPING, SIM_LEAVING, SIM_LINGERING, SIM_CLOSING, SIM_DEREGISTERING };

struct sim_node {
    int index;
    char id[RH_NODE_ID_SIZE];
    uint32_t weight_milli;     /* of its file */
    uint64_t presence_changes; /* joins and leaves of the process, as far as they were traced */
    bool running;
    bool paused;
    bool is_full;            /* out of memory: operations and copies that peers send are refused */
    struct rh_list deferred; /* struct sim_event: what waits for the end of the pause */
    uint64_t paused_ms;      /* when it began */
    uint64_t instance;
    uint64_t starts; /* of processes */
    struct rh_membership *machine;
    struct rh_core *core;
    struct rh_membership_actions actions;
    struct rh_actions core_actions;
    struct rh_list queue; /* events for the machine that wait for its turn */
    bool busy;
    uint64_t machine_tick_ms; /* UINT64_MAX: none is queued */
    uint64_t core_tick_ms;
    unsigned late_ms; /* by so much at most its ticks are late */
    unsigned ticks;   /* in this millisecond */
    uint64_t ticks_ms;
    struct rh_epoch epoch;
    struct rh_node_ref probed;
    bool request_active;
    enum rh_request_kind request_kind;
    enum sim_stop stop;
    uint64_t stop_since_ms;
    bool left;
    bool slow_ticking;
    struct rh_list connections;
    unsigned lingering;
    int64_t skew_ms;                /* of its Unix clock */
    char publish_key[SIM_KEY_SIZE]; /* of the publish that the step has brought */
};

/* |id| n is "n<id>": mostly the index, and another node's for one that is its twin. */
void sim_node_create(struct sim *sim, int index, int id, uint32_t weight_milli);
void sim_node_destroy(struct sim *sim, int index);

/* Life of a process. */
void sim_node_start(struct sim *sim, int index);
void sim_node_crash(struct sim *sim, int index);
void sim_node_pause(struct sim *sim, int index);
void sim_node_resume(struct sim *sim, int index);
void sim_node_terminate(struct sim *sim, int index); /* SIGTERM: an ordered shutdown begins */

/*
 * To be asked first by an event for the process |instance| of node |index|: whether it can be taken
 * now. If not it is forgotten, or kept until the pause is over and run then.
 */
bool sim_node_takes(struct sim *sim, int index, uint64_t instance, struct sim_event *event);

/* --- from ZooKeeper and the network --- */

void sim_node_membership(struct sim *sim, int index, const struct rh_membership_event *event);
void sim_node_peer_message(struct sim *sim, int index, const struct rh_node_ref *from,
                           const struct rh_peer_message *message);
void sim_node_peer_up(struct sim *sim, int index, const struct rh_node_ref *peer);
void sim_node_peer_down(struct sim *sim, int index, const struct rh_node_ref *peer);
void sim_node_peer_dead(struct sim *sim, int index, const struct rh_node_ref *peer);
void sim_node_peer_epoch(struct sim *sim, int index, const struct rh_node_ref *from,
                         struct rh_epoch epoch);
void sim_node_peer_replaced(struct sim *sim, int index, const struct rh_node_ref *peer);
void sim_node_peers_asked(struct sim *sim, int index);
void sim_node_probed(struct sim *sim, int index, enum rh_membership_probe result);

/* --- from clients; called when the bytes have arrived and the process takes them --- */

struct sim_ask {
    uint64_t connection;
    int client;
    bool is_read;
    bool offers_ringhop;
    bool may_relay;
    bool has_after;
    struct rh_position after;
    struct rh_hop hop;
    uint32_t wait_ms;
    unsigned pace_ms;
    char key[SIM_KEY_SIZE];
};

void sim_node_ask(struct sim *sim, int index, const struct sim_ask *ask);
void sim_node_hang_up(struct sim *sim, int index, uint64_t connection);
void sim_node_publish(struct sim *sim, int index, uint64_t request, const char *key,
                      uint64_t message, bool nameless);
/* A request for a state document, or about follows; its answer goes to sim_states_answered(), or to
 * sim_topics_answered(). */
void sim_node_request(struct sim *sim, int index, const struct rh_event *event);
void sim_node_inspect(struct sim *sim, int index, uint64_t request, const char *key);

/* Sends |peer| the adopted view, if there is one. */
void sim_node_show_view(struct sim *sim, int index, const struct rh_node_ref *peer);

/* The connection of that number, or NULL. */
struct sim_connection *sim_node_connection(const struct sim *sim, int index, uint64_t number);

/* The node that has registered so, by its address. */
int sim_node_of(const struct rh_registration *registration);

/* Who owns |key| in the view that the node has adopted: index of a node, or -1. */
int sim_node_owner(const struct sim *sim, const struct rh_view *view, const char *key);

/* Whether the node may serve |entry| (or NULL) of a channel: if not, the run fails. */
void sim_node_check_served(struct sim *sim, int index, const char *key, uint64_t incarnation,
                           const struct rh_entry *entry, const char *what);

const char *sim_node_operation_name(enum rh_membership_action_kind kind);

#endif
