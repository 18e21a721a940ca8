/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_WORKER_H
#define RH_DRILL_WORKER_H

/*
 * One worker process of a load: its loop, its part of the channels, the orders it gets and the
 * reports it sends. What its clients and publishers share is in here too: the nodes, the counts.
 */

#include "cli/follower.h"
#include "drill/address.h"
#include "drill/ledger.h"
#include "drill/load.h"
#include "drill/messages.h"

#include <ev.h>

#define RH_WORKER_NODE_NONE \
    RH_LOAD_NODES_MAX /* the index of no node, or of one we were not told of */

struct rh_clients;
struct rh_publisher;

struct rh_worker_settings {
    struct rh_load_settings load; /* without zeros */
    uint32_t number;              /* of the worker, from 0 */
    uint32_t workers_count;
    uint32_t descriptors_max;
};

/* The n-th channel of worker w is channel n * workers + w of the load. */
struct rh_worker_channel {
    uint32_t number; /* of the load */
    char *key;
    struct rh_ledger ledger;
};

struct rh_worker_node {
    char name[RH_LOAD_NODE_SIZE];
    char url[RH_LOAD_URL_SIZE]; /* without a path */
    char host[RH_LOAD_URL_SIZE];
    enum rh_load_node_state state;
    bool known;
    uint64_t disturbed_from_ms; /* the last time; 0: never */
    uint64_t disturbed_to_ms;   /* until then, if it is UP */
    uint32_t connections;       /* of our clients */
};

struct rh_worker {
    const struct rh_worker_settings *settings;
    struct ev_loop *loop;
    int fd; /* to the load */
    ev_io orders;
    ev_timer tick;

    struct rh_worker_channel *channels;
    uint32_t channels_count;
    struct rh_worker_node nodes[RH_LOAD_NODES_MAX];
    struct rh_addresses addresses;
    struct rh_clients *clients;
    struct rh_publisher *publisher;
    uint64_t random; /* state of the generator */
    char *input;     /* RH_WORKER_INPUT_SIZE bytes for whoever reads */
    struct rh_buffer scratch;

    struct rh_load_step *steps[RH_LOAD_STEPS_MAX]; /* NULL: nothing was counted */
    bool steps_changed[RH_LOAD_STEPS_MAX];
    uint32_t step; /* that is under way */
    struct rh_problems problems;
    char failure[RH_LOAD_FAILURE_SIZE]; /* of a try to connect, since the last sample */
    struct rh_load_counts reported;     /* the sums of the last sample */
    struct rh_histogram latency_us;     /* since the last sample */
    struct rh_histogram latency_all_us;

    bool publishing;
    uint64_t finish_ms; /* until when all has to have arrived; 0: not ending */
    bool settled;
    bool closed; /* the ledgers */
    struct rh_load_counts final;
};

#define RH_WORKER_INPUT_SIZE 65536U

/* Does the work of a worker until |fd| ends; called in the child. */
_Noreturn void rh_worker_run(const struct rh_worker_settings *settings, int fd);

/* Tells the load why, and ends the process. */
_Noreturn void rh_worker_fail(struct rh_worker *worker, const char *format, ...) RH_PRINTF(2, 3);

/* Fails unless |rv| is 0. A worker that is out of memory is of no use. */
void rh_worker_check(struct rh_worker *worker, int rv);

/* Monotonic time. */
uint64_t rh_worker_now_us(void);
uint64_t rh_worker_now_ms(void);

/* Has |io| wait for |events| from now on. */
void rh_worker_watch(struct rh_worker *worker, ev_io *io, int events);

/* A number that is good enough to spread load. */
uint64_t rh_worker_random(struct rh_worker *worker);

/* A node where one may go, at random; RH_WORKER_NODE_NONE: there is none. */
uint32_t rh_worker_pick_node(struct rh_worker *worker);

/* The index of the node of that name, or RH_WORKER_NODE_NONE. */
uint32_t rh_worker_find_node(const struct rh_worker *worker, struct rh_bytes name);

const char *rh_worker_node_name(const struct rh_worker *worker, uint32_t node);

/* Whether the node was disturbed or down at any time from |since_ms| until now. */
bool rh_worker_node_disturbed(const struct rh_worker *worker, uint32_t node, uint64_t since_ms);

/* What is counted of a step; valid until the next call. */
struct rh_load_step *rh_worker_step(struct rh_worker *worker, uint32_t step);

/* The same of the step that is under way. */
struct rh_load_counts *rh_worker_counts(struct rh_worker *worker);

/* For entries in ledgers. */
struct rh_ledger_book rh_worker_book(struct rh_worker *worker);

#endif
