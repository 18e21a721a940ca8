/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_CLIENTS_H
#define RH_TESTS_SIMULATOR_CLIENTS_H

/*
 * Clients by the rules of docs/protocol.md. A subscriber connects anywhere, follows redirects (the
 * URL carries hops and epoch) and `moved`, comes back with its position after any break, and holds
 * every message against what it was told before. A reader does the same with long polls. A
 * publisher sends each message until it is acknowledged, with the same id, through any node.
 */

#include "tests/simulator_node.h"

#define SIM_CHANNELS 6

enum sim_said_kind {
    SIM_SAID_WELCOME,
    SIM_SAID_MESSAGE,
    SIM_SAID_MOVED,    /* and the connection stays for a while */
    SIM_SAID_REDIRECT, /* the connection is closed with it, as with the ones below */
    SIM_SAID_REFUSED,
    SIM_SAID_READ,
    SIM_SAID_CLOSED,
    SIM_SAID_ACK, /* answer to a publish, or to an inspect */
    SIM_SAID_NOT_ACKED,
};

struct sim_message {
    uint64_t seq;
    uint64_t message; /* its number */
};

/* What a node says to a client. */
struct sim_said {
    enum sim_said_kind kind;
    int client;
    uint64_t connection; /* ACK, NOT_ACKED: the request */
    int node;            /* who says it; MOVED, REDIRECT: where to go */
    uint64_t incarnation;
    uint64_t seq; /* WELCOME, ACK */
    bool recovered;
    bool duplicate;
    struct rh_position position; /* MOVED, READ: where the client is */
    struct rh_hop hop;           /* of the URL: MOVED, REDIRECT */
    const char *text;            /* REFUSED, NOT_ACKED: why; static */
    size_t count;                /* messages: MESSAGE 1, READ any */
    struct sim_message messages[];
};

struct sim_clients;

void sim_clients_create(struct sim *sim);
void sim_clients_destroy(struct sim *sim);

/* Zeroed, with room for |count| messages; to be filled and given to sim_clients_say(). */
struct sim_said *sim_said(enum sim_said_kind kind, size_t count);

/* Takes |said| over. It arrives after |delay_ms|. */
void sim_clients_say(struct sim *sim, struct sim_said *said, uint64_t delay_ms);

/* The process of that node is gone: its connections break. */
void sim_clients_gone(struct sim *sim, int node);

/* --- what goes wrong --- */

/* Some subscriber's connection breaks; its node learns of it, or keeps its end for good. */
void sim_clients_disconnect(struct sim *sim, uint64_t pick);

/* One is slow from its next connection on. */
void sim_clients_slow(struct sim *sim, uint64_t pick);

/* For scripts: publishes |message|, or a new one if it is 0, at that node, and once. The answer is
 * a line of the trace. Returns its number. */
uint64_t sim_clients_publish(struct sim *sim, int node, const char *key, uint64_t message);

/* For scripts: that subscriber hangs up, and connects to that node. */
void sim_clients_connect(struct sim *sim, int index, int node);

/* For scripts: that subscriber goes away for good. */
void sim_clients_leave(struct sim *sim, int index);

/* Publishes to as many other channels as `limits.crowd` says, which then are there and idle. */
void sim_clients_crowd(struct sim *sim);

/* Channel |index| of those: its owner, or -1; and the copy that |node| has of it, false: none. */
int sim_clients_crowd_owner(const struct sim *sim, unsigned index);
struct rh_copy_info;
bool sim_clients_crowd_copy(const struct sim *sim, int node, unsigned index,
                            struct rh_copy_info *ret_info);

/* From now on no connection breaks and no publish fails, but by the faults above. */
void sim_clients_expect_calm(struct sim *sim, bool calm);

/* --- the end --- */

/* Nobody publishes anything new from now on. */
void sim_clients_finish_publishing(struct sim *sim);

bool sim_clients_have_finished(const struct sim *sim);

/* Publishes one last message per channel. */
void sim_clients_publish_last(struct sim *sim);

/* NULL: every publisher has its acknowledgements, every subscriber is live at the owner of its key
 * and, if the last messages were published, has got that of its channel. Otherwise what is not so;
 * valid until the next call. */
const char *sim_clients_unrest(struct sim *sim);

uint64_t sim_clients_received(const struct sim *sim);

#endif
