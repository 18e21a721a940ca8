/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_LOAD_H
#define RH_DRILL_LOAD_H

/*
 * The load of a drill: many WebSocket clients, publishers, and a ledger of what was promised to
 * them. Not the scenario, not the cluster, not the verdict: whoever drives says which nodes there
 * are and what is being done to them, and judges the numbers.
 *
 *      driver --nodes, steps, publish, finish--> load ==socket pairs==> worker processes
 *      driver <--ready, samples, result--------- load <================ clients, publishers, ledger
 *
 * A worker is a fork of this process with its own loop; it has whole channels: their clients, their
 * publisher, and their part of the ledger. There are as many as the limit of open files asks for.
 *
 *      rh_load_start()               workers start; no node is known, so nothing happens
 *      rh_load_set_node() ...        clients begin to connect, a bounded number at a time
 *         on_ready()                 all clients are connected
 *      rh_load_publish(true)         publishers begin
 *      rh_load_begin_step() ...      what happens from here on is counted for the next step
 *      rh_load_finish()              publishers end; all that was acknowledged is waited for
 *         on_finished()              the ledger is final
 *      rh_load_stop()                the workers end; frees everything
 *
 * Callbacks come from the loop, never from inside a function of this header, but for on_notice(),
 * which also comes from rh_load_start(). In any callback every function may be called, also
 * rh_load_stop().
 */

#include "base/error.h"
#include "cli/url.h"
#include "drill/counts.h"
#include "drill/histogram.h"
#include "drill/problems.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_LOAD_NODES_MAX       64
#define RH_LOAD_NODE_SIZE       65               /* of a name, with terminator */
#define RH_LOAD_URL_SIZE        RH_URL_HOST_SIZE /* of a node's URL, with terminator */
#define RH_LOAD_STEPS_MAX       256
#define RH_LOAD_SAMPLE_MS       250
#define RH_LOAD_KEY_PREFIX      64 /* with terminator */
#define RH_LOAD_KEY_SIZE        (RH_LOAD_KEY_PREFIX + 16)
#define RH_LOAD_PAYLOAD_MIN     32U /* bytes: what the ledger writes into a payload fits */
#define RH_LOAD_PAYLOAD_MAX     65536U
#define RH_LOAD_CHANNELS_MAX    1000000U
#define RH_LOAD_CONNECTIONS_MAX 10000000U
#define RH_LOAD_FAILURE_SIZE    96 /* with terminator */
#define RH_LOAD_RATE_MAX        200000U

struct rh_load;

/* Zero in a field that says "0: ..." takes that; the others have to be given. */
struct rh_load_settings {
    uint32_t channels_count;    /* 1 to RH_LOAD_CHANNELS_MAX */
    uint32_t connections_count; /* dealt out: the i-th client listens to channel i % channels */
    uint32_t rate;              /* messages a second, over all channels; 0: none */
    uint32_t payload_size;      /* bytes, RH_LOAD_PAYLOAD_MIN to RH_LOAD_PAYLOAD_MAX; 0: 128 */
    uint32_t workers_count;     /* 0: as many as needed, at least 2 from 2,000 connections on */
    uint32_t connecting_max;    /* clients that connect for the first time at the same time, and an
                                   eighth of those that may come back at the same time; 0: 256 */
    uint32_t connect_ms;        /* a handshake that takes longer has failed; 0: 10,000 */
    uint32_t silence_ms;        /* a connection silent for so long is pinged; 0: 10,000 */
    uint32_t silence_max_ms;    /* and given up after this; 0: 15,000 */
    uint32_t publish_ms;        /* a publish not answered for so long is tried again; 0: 7,000 */
    uint32_t publish_max_ms;    /* tried again until this, then unknown: below the cluster's
                                   dedup_age, or a retry could publish twice; 0: 120,000 */
    uint32_t settle_ms;         /* rh_load_finish() waits for so long; 0: 60,000 */
    char key_prefix[RH_LOAD_KEY_PREFIX]; /* keys are |prefix||number|; "": drill:RANDOM: */
};

/* What a driver says of a node. A connection's end that was not announced by `moved` is explained
 * if its node was DISTURBED or DOWN at any time since something was last heard on it. */
enum rh_load_node_state {
    RH_LOAD_NODE_UP,        /* clients and publishers go there; it should reset nobody */
    RH_LOAD_NODE_DISTURBED, /* they go there; it may reset them (about to be killed, paused ...) */
    RH_LOAD_NODE_DOWN,      /* nobody goes there of himself; it may reset those who are there */
};

/* One step, numbered from 0; 0 is what was before the first rh_load_begin_step(). What begins in a
 * step and ends in a later one (a gap) is counted for the former. */
struct rh_load_step {
    struct rh_load_counts counts;
    struct rh_histogram gap_us; /* from `moved`, or the last sign of the old connection, to the
                                   next welcome */
};

/* Every RH_LOAD_SAMPLE_MS, over all workers, once each of them has reported. */
struct rh_load_sample {
    uint64_t at_ms; /* since rh_load_start() */
    bool publishing;
    uint32_t connected;                      /* clients that are welcome somewhere */
    uint32_t connections[RH_LOAD_NODES_MAX]; /* of these, by node, see rh_load_node_name() */
    uint32_t elsewhere;                      /* at nodes that nobody told us of */
    char failure[RH_LOAD_FAILURE_SIZE]; /* why a try to connect came to nothing; "": none did */
    uint64_t acknowledged;              /* since the sample before, like the rest of these */
    uint64_t delivered;
    uint64_t moved;
    struct rh_histogram latency_us; /* of the publishes that were acknowledged in it, from when
                                       each was due to its answer, retries included */
};

/* The final ledger. */
struct rh_load_result {
    struct rh_load_counts counts; /* over all steps */
    struct rh_histogram latency_us;
    struct rh_histogram gap_us;
    bool settled; /* false: settle_ms passed before all had arrived */
    struct rh_problems problems;
};

struct rh_load_callbacks {
    /* Something that a person should know, e.g. that one process may not open enough files. */
    void (*on_notice)(void *context, const char *text);
    void (*on_ready)(void *context); /* once */
    void (*on_sample)(void *context, const struct rh_load_sample *sample);
    void (*on_finished)(void *context, const struct rh_load_result *result); /* once */
    /* A worker died or cannot go on; nothing else is called after it. */
    void (*on_failed)(void *context, const struct rh_reason *reason);
};

/*
 * Starts the workers. |loop|, |callbacks| and |context| must outlive the load; |settings| is
 * copied. Call it before there are threads. Raises the soft limit of open files to the hard one.
 * RH_ERR_INVALID: a setting is out of its range, or one channel has more connections than a process
 * can open; |reason| names it. RH_ERR_IO: fork or socketpair failed. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_load_start(struct ev_loop *loop, const struct rh_load_settings *settings,
                                const struct rh_load_callbacks *callbacks, void *context,
                                struct rh_load **ret_load, struct rh_reason *reason);

/* Ends the workers, waits for that, and frees; NULL is allowed. */
void rh_load_stop(struct rh_load *load);

/*
 * Tells of a node, or that its state or URL is another now. |url| is what its clients use
 * (http://host:port or ws://host:port); a name is looked up at once, which may block. Tell of a
 * node before it is started, and that it will be disturbed before that is done.
 * RH_ERR_INVALID: no URL of that form, TLS, or a bad name. RH_ERR_NOT_FOUND: the host has no
 * address. RH_ERR_FULL: RH_LOAD_NODES_MAX.
 */
RH_MUST_CHECK int rh_load_set_node(struct rh_load *load, const char *name, const char *url,
                                   enum rh_load_node_state state, struct rh_reason *reason);

/* Publishers begin or pause. What is under way is still answered. */
void rh_load_publish(struct rh_load *load, bool on);

/* From here on, counts are for the next step. Returns its number, from 1.
 * At RH_LOAD_STEPS_MAX the last one goes on. */
unsigned rh_load_begin_step(struct rh_load *load);

/* Publishing ends; what is under way is answered, what was acknowledged arrives, or settle_ms
 * passes: on_finished(). */
void rh_load_finish(struct rh_load *load);

/* Nodes in the order in which they were told; the index is that of rh_load_sample.connections. */
size_t rh_load_nodes_count(const struct rh_load *load);
const char *rh_load_node_name(const struct rh_load *load, size_t index); /* valid until stop */

/* Sums over all workers, as of the last sample; exact from on_finished() on. */
void rh_load_counts(const struct rh_load *load, struct rh_load_counts *ret_counts);
void rh_load_step(const struct rh_load *load, unsigned number, struct rh_load_step *ret_step);

/* Milliseconds since rh_load_start(), as in the samples. */
uint64_t rh_load_now_ms(const struct rh_load *load);

uint32_t rh_load_workers_count(const struct rh_load *load);

/* Why a client could not connect, as of the last sample in which that happened; "" if none. Valid
 * until the loop runs again. */
const char *rh_load_last_failure(const struct rh_load *load);

/* How many connections there are to be, and how many channels have them: for rings. The key of
 * channel |channel| is written to |ret_key|; its clients are
 * connections / channels, one more for the first connections % channels. */
void rh_load_key(const struct rh_load *load, uint32_t channel,
                 char ret_key[static RH_LOAD_KEY_SIZE]);
uint32_t rh_load_channel_clients(const struct rh_load *load, uint32_t channel);

#endif
