/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_REQUEST_H
#define RH_CLI_REQUEST_H

/*
 * Asking a node for something through ZooKeeper: drain, join, weight. The request is written to
 * /ringhop/<cluster>/requests/<id>; the node acts on it and reports there.
 */

#include "cli/cli.h"
#include "proto/registration.h"

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

/*
 * Writes the request and waits for the node. With |wait|: until it is done, showing progress.
 * Without: until it is done, or --timeout has passed and the node works on it (that is success).
 * RH_EXIT_REFUSED: the node is not registered, refused, or got another request meanwhile.
 * RH_EXIT_NODE: the node has not taken notice within --timeout, or is gone.
 */
enum rh_exit rh_request_run(const struct rh_cli *cli, const char *id, enum rh_request_kind kind,
                            uint32_t weight_milli, bool wait);

#endif
