/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BENCH_RECEIVERS_H
#define RH_BENCH_RECEIVERS_H

/*
 * Many WebSockets, each subscribed to one channel, in any dialect. They tell which message has come,
 * by the mark that load_pubsub puts into each payload. A connection that breaks ends the process:
 * nothing here is supposed to break.
 */

#include "dialect.h"
#include "load.h"

#include <ev.h>

struct receivers;

struct receivers_options {
    struct ev_loop *loop;
    const struct dialect *dialect;
    uint16_t port;
    const struct load_lines *keys; /* stays valid as long as the receivers do */
    size_t count;                  /* number i subscribes to key i modulo their count */
    size_t opening_max;            /* handshakes under way at the same time */

    /* A message has come by one of them. */
    void (*on_message)(void *context, uint32_t number);
    void *context;
};

/* Connects them all, and returns when all are subscribed. How long each took is added to
 * |ret_times|. */
struct receivers *receivers_create(const struct receivers_options *options,
                                   struct load_times *ret_times);

/* How many are subscribed to that key. */
size_t receivers_of(const struct receivers *receivers, size_t key);

/* Closes them. Takes NULL. */
void receivers_destroy(struct receivers *receivers);

#endif
