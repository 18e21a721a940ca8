/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_REQUEST_H
#define RH_CLI_REQUEST_H

/*
 * Asking a node for something through ZooKeeper: drain, join, weight. The request is written to
 * /ringhop/<cluster>/requests/<id>; the node acts on it and reports there.
 */

#include "base/buffer.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/zookeeper.h"
#include "proto/registration.h"

#include <jansson.h>

/* What the commands that ask have in common: their options, and how those are explained. */
struct rh_request_options {
    bool wait; /* --wait */
};

extern const struct option rh_request_long_options[];

/* For rh_command::option; the context is a struct rh_request_options. */
int rh_request_take_option(void *context, int option, const char *value, struct rh_reason *reason);

#define RH_REQUEST_HELP                                                                         \
    "      --wait   wait until it is done, however long it takes (--timeout bounds it), and\n"  \
    "               show how much is left. Without it the command waits for 10 s (--timeout)\n" \
    "               and is content when the node works on the request by then\n"                \
    "\n"                                                                                        \
    "The request stands in ZooKeeper, so the node need not be reachable from here.\n"

/* One request on its way. */
struct rh_request_task {
    /* Results. */
    struct rh_request request; /* as last seen */
    bool done;                 /* otherwise the node is at work, and goes on by itself */

    /* Private. */
    const struct rh_cli *cli;
    struct rh_zookeeper *zookeeper;
    char id[RH_NODE_ID_SIZE];
    char path[256];
    struct rh_buffer data; /* of the znode */
    uint64_t started_ms;
    uint64_t registration_at_ms; /* when to look next at whether the node is registered */
    struct rh_progress progress;
};

/*
 * Writes the request to the node |id|, which is a valid one. Call rh_request_finish() in any case.
 * RH_EXIT_REFUSED: the node is not registered, or was asked for something else at the same moment.
 */
enum rh_exit rh_request_begin(struct rh_request_task *task, const struct rh_cli *cli,
                              struct rh_zookeeper *zookeeper, const char *id,
                              enum rh_request_kind kind, uint32_t weight_milli);

/*
 * Waits for the node. With |wait|: until it is done, showing progress. Without: until it is done, or
 * --timeout has passed since the request was written and the node works on it (that is success).
 * RH_EXIT_REFUSED: it refused, or got another request meanwhile.
 * RH_EXIT_NODE: it has not taken notice within --timeout, or is gone.
 */
enum rh_exit rh_request_wait(struct rh_request_task *task, bool wait);

/* What it came to, for people on stdout, or as JSON (NULL: out of memory). */
void rh_request_tell(const struct rh_request_task *task);
json_t *rh_request_json(const struct rh_request_task *task);

void rh_request_finish(struct rh_request_task *task);

/* All of that for one request, with a connection of its own. RH_EXIT_USAGE: |id| is none. */
enum rh_exit rh_request_run(const struct rh_cli *cli, const char *id, enum rh_request_kind kind,
                            uint32_t weight_milli, bool wait);

#endif
