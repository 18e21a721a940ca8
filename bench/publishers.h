/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BENCH_PUBLISHERS_H
#define RH_BENCH_PUBLISHERS_H

/*
 * Connections that publish, or ask by HTTP for one and the same thing, in any dialect. Each has one
 * operation under way. An operation is done when it was answered (if the dialect answers) and all
 * receivers of its channel have the message: so nobody gains by being early with the answer.
 */

#include "dialect.h"
#include "load.h"

#include <ev.h>

struct publishers;

struct publishers_options {
    struct ev_loop *loop;
    const struct dialect *dialect;
    uint16_t port;
    const struct load_lines *keys; /* taken in turn */

    /* How many receivers that key has. */
    size_t (*receivers_of)(void *context, size_t key);
    void *context;

    const char *get;  /* instead of publishing: the path to ask for */
    unsigned status;  /* of a good answer */
    unsigned window;  /* connections */
    unsigned rate;    /* operations a second, at even times; 0: as fast as they are done */
    unsigned seconds; /* how long, after |warm| seconds that do not count */
    unsigned warm;
    uint64_t count;  /* instead of |seconds|: so many operations, 0: no such limit */
    unsigned bytes;  /* of payload */
    uint32_t number; /* of the messages: greater than all before */
};

struct publishers_result {
    uint64_t done;    /* in the time that counts */
    uint64_t all;     /* also before and after */
    uint64_t errors;  /* answers with another status */
    uint64_t missing; /* operations that were not done by the end */
    uint64_t strays;  /* messages that came too often, or after the operation was given up */
    uint64_t deliveries;
    uint64_t took_us;
    struct load_times answered; /* from when it was due to the answer */
    struct load_times received; /* to when it was done, all receivers having it */
};

/* Takes note that a receiver has that message; called from within publishers_run(). */
void publishers_on_message(struct publishers *publishers, uint32_t number);

/* Connects them, and returns when all are ready. */
struct publishers *publishers_create(const struct publishers_options *options);

/* Once, to the end; the result is to be freed with publishers_result_finish(). */
void publishers_run(struct publishers *publishers, struct publishers_result *ret_result);

/* Greater than that of any message so far. */
uint32_t publishers_next_number(const struct publishers *publishers);

void publishers_result_finish(struct publishers_result *result);
void publishers_destroy(struct publishers *publishers);

#endif
