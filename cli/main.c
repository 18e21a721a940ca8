/* SPDX-License-Identifier: Apache-2.0 */

/*
 *      argv --> arguments.c --> a command of commands.c, its options, its operands
 *                                 |
 *      config file --> config/ ---+--> cmd_<name>.c --> snapshot.c (ZooKeeper), http.c (nodes)
 *                                                   --> table.c or JSON on stdout
 */

#include "base/ev_files.h"
#include "cli/arguments.h"
#include "cli/commands.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

static void print_program_help(void)
{
    (void)fputs("Usage: ringhop [OPTION]... COMMAND [ARGUMENT]...\n"
                "Looks at a ringhop cluster, changes it, and talks to its channels.\n"
                "\n"
                "Commands:\n",
                stdout);
    for (size_t i = 0; i < rh_commands_count; i++) {
        (void)printf("  %-10s %s\n", rh_commands[i]->name, rh_commands[i]->summary);
    }
    (void)fputs("\n"
                "Options, before or after the command:\n"
                "  -c, --config FILE       cluster config; default $RINGHOP_CONFIG, then "
                "./cluster.yaml\n"
                "  -j, --json              for programs: JSON, one object a line\n"
                "  -t, --timeout DURATION  how long to wait for ZooKeeper and nodes, like 500ms or "
                "5s\n"
                "  -h, --help              this text, or that of a command: ringhop owner --help\n"
                "  -V, --version           version\n"
                "\n"
                "Exit codes: 0 yes or done, 1 no, 2 usage, 3 config, 4 ZooKeeper not reachable,\n"
                "5 node not reachable, 6 refused or conflict.\n"
                "\n"
                "Example:\n"
                "  ringhop --config cluster.yaml owner user:42\n",
                stdout);
}

static void print_command_help(const struct rh_command *command)
{
    (void)printf("Usage: ringhop %s\n%s\n", command->synopsis, command->help);
    (void)fputs("\nGlobal options (--config, --json, --timeout) are listed by `ringhop --help`.\n",
                stdout);
}

static enum rh_exit run(struct rh_cli *cli, const struct rh_arguments *arguments)
{
    enum rh_exit code = cli->command->loads_config ? RH_EXIT_DONE : rh_cli_load_config(cli);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    return cli->command->run(cli, arguments->state, arguments->operands_count, arguments->operands);
}

static enum rh_exit dispatch(struct rh_cli *cli, const struct rh_arguments *arguments)
{
    switch (arguments->want) {
    case RH_ARGUMENTS_HELP:
        print_program_help();
        return RH_EXIT_DONE;
    case RH_ARGUMENTS_COMMAND_HELP:
        print_command_help(cli->command);
        return RH_EXIT_DONE;
    case RH_ARGUMENTS_VERSION:
        (void)printf("ringhop %s\n", RH_VERSION);
        return RH_EXIT_DONE;
    case RH_ARGUMENTS_RUN:
        break;
    }
    return run(cli, arguments);
}

static enum rh_exit run_program(struct rh_cli *cli, int argc, char **argv)
{
    struct rh_arguments arguments;
    struct rh_reason reason;
    if (rh_arguments_parse(cli, argc, argv, &arguments, &reason) != 0) {
        return rh_cli_fail(cli, RH_EXIT_USAGE, "%s", reason.text);
    }
    enum rh_exit code = dispatch(cli, &arguments);
    rh_arguments_finish(cli, &arguments);
    rh_config_finish(&cli->config);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        code = rh_cli_fail(cli, RH_EXIT_NO, "the output cannot be written");
    }
    return code;
}

int main(int argc, char **argv)
{
    rh_ev_hold_standard_files();
    struct rh_cli cli = {0};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return (int)rh_cli_fail_no_memory(&cli);
    }
    enum rh_exit code = run_program(&cli, argc, argv);
    curl_global_cleanup();
    return (int)code;
}
