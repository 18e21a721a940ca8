/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_CLI_H
#define RH_CLI_CLI_H

/*
 * What all commands of `ringhop` share: exit codes, global options, the loaded config, and how an
 * error is told. Each command is a file cmd_<name>.c with one `struct rh_command`; commands.c is
 * the table of them, main.c the way from argv to a command.
 */

#include "base/error.h"
#include "config/config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes, for scripts. docs/operations.md lists them. */
enum rh_exit {
    RH_EXIT_DONE = 0,      /* yes, or done */
    RH_EXIT_NO = 1,        /* no: check found a difference, there is no owner; or out of memory */
    RH_EXIT_USAGE = 2,     /* unknown command, option or value */
    RH_EXIT_CONFIG = 3,    /* the config file cannot be used */
    RH_EXIT_ZOOKEEPER = 4, /* ZooKeeper is not reachable, or what stands there is broken */
    RH_EXIT_NODE = 5,      /* a node is not reachable */
    RH_EXIT_REFUSED = 6,   /* refused, or in conflict with what is there */
};

struct rh_command;

/* One run of the program. */
struct rh_cli {
    const struct rh_command *command; /* NULL before one is chosen */
    const char *config_path;          /* NULL: not given */
    bool json;
    uint32_t timeout_ms; /* of --timeout; 0: not given */
    struct rh_config config;
};

/* One command. All texts are static. */
struct rh_command {
    const char *name;
    const char *summary;  /* half a line for the list of commands */
    const char *synopsis; /* "owner [OPTION]... KEY..." */
    const char *help;     /* what it does, its own options, an example */

    const struct option *options; /* own long options, closed by a zeroed entry; NULL: none */
    size_t state_size;            /* of the struct below; 0: none */

    /* Takes an own option into |state|. RH_ERR_INVALID with a reason. NULL when there are none. */
    int (*option)(void *state, int option, const char *value, struct rh_reason *reason);

    /* Frees what the options put into |state|; may be NULL. */
    void (*finish)(void *state);

    bool loads_config; /* itself, by rh_cli_load_config(), when it needs it */
    int operands_min;
    int operands_max; /* -1: any number */

    /* |state| is zeroed memory that the options have filled. Operands belong to argv. */
    enum rh_exit (*run)(struct rh_cli *cli, void *state, int operands_count, char **operands);
};

/* Prints "ringhop COMMAND: ..." on stderr and returns |code|. */
enum rh_exit rh_cli_fail(const struct rh_cli *cli, enum rh_exit code, const char *format, ...)
    RH_PRINTF(3, 4);

/* The same for a notice that does not end the command. */
void rh_cli_warn(const struct rh_cli *cli, const char *format, ...) RH_PRINTF(2, 3);

/* Loads the config: --config, $RINGHOP_CONFIG or ./cluster.yaml. The exit code to end with, after the
 * message, or RH_EXIT_DONE. */
enum rh_exit rh_cli_load_config(struct rh_cli *cli);

/* "out of memory", with RH_EXIT_NO. */
enum rh_exit rh_cli_fail_no_memory(const struct rh_cli *cli);

/* --timeout, or |otherwise_ms| when it was not given. */
uint32_t rh_cli_timeout_ms(const struct rh_cli *cli, uint32_t otherwise_ms);

/* Milliseconds of a clock that never goes back. */
uint64_t rh_cli_now_ms(void);

/* What is left until |deadline_ms|, 0 when it has passed. */
uint32_t rh_cli_left_ms(uint64_t deadline_ms);

/* Sleeps. */
void rh_cli_pause_ms(uint32_t duration_ms);

#define RH_CLI_TIMEOUT_MS 5000U /* for most commands */

#endif
