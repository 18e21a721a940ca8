/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_ARGUMENTS_H
#define RH_CLI_ARGUMENTS_H

/*
 * From argv to a command with its options and operands:
 *
 *     ringhop [GLOBAL OPTION]... COMMAND [OPTION]... [OPERAND]...
 *
 * Global options may also stand after the command. `--` ends the options.
 */

#include "cli/cli.h"

enum rh_arguments_want {
    RH_ARGUMENTS_RUN,          /* the command */
    RH_ARGUMENTS_HELP,         /* about the program */
    RH_ARGUMENTS_COMMAND_HELP, /* about the command */
    RH_ARGUMENTS_VERSION,
};

struct rh_arguments {
    enum rh_arguments_want want;
    void *state; /* of the command, filled by its options; rh_arguments_finish() frees it */
    int operands_count;
    char **operands; /* part of argv */
};

/*
 * Fills |cli| (command, config_path, json, timeout_ms) and |ret_arguments|. |argv| is reordered.
 * RH_ERR_INVALID with a reason: what is wrong, and where help is. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_arguments_parse(struct rh_cli *cli, int argc, char **argv,
                                     struct rh_arguments *ret_arguments, struct rh_reason *reason);

void rh_arguments_finish(const struct rh_cli *cli, struct rh_arguments *arguments);

#endif
