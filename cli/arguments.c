/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/arguments.h"

#include "base/units.h"
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

#define OWN_OPTIONS_MAX 16

enum global_option {
    OPTION_CONFIG = 'c',
    OPTION_HELP = 'h',
    OPTION_JSON = 'j',
    OPTION_TIMEOUT = 't',
    OPTION_VERSION = 'V',
};

static const struct option global_options[] = {
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"help", no_argument, NULL, OPTION_HELP},
    {"json", no_argument, NULL, OPTION_JSON},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"version", no_argument, NULL, OPTION_VERSION},
};

#define GLOBAL_OPTIONS_COUNT (sizeof(global_options) / sizeof(global_options[0]))
#define GLOBAL_LETTERS       ":c:hjt:V"

/* The options of |command| (none: the global ones alone) as getopt_long() wants them. */
static void merge_options(const struct rh_command *command, struct option *out)
{
    memcpy(out, global_options, sizeof(global_options));
    size_t count = GLOBAL_OPTIONS_COUNT;
    const struct option *own = command != NULL ? command->options : NULL;
    for (; own != NULL && own->name != NULL; own++) {
        out[count] = *own;
        count++;
    }
    out[count] = (struct option){0};
}

static int set_timeout(struct rh_cli *cli, const char *value, struct rh_reason *reason)
{
    uint32_t timeout_ms;
    if (rh_duration_parse(rh_bytes_text(value), &timeout_ms) != 0 || timeout_ms == 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--timeout: `%s` is not a duration with a unit, like 500ms, 5s or 1m",
                       value);
    }
    cli->timeout_ms = timeout_ms;
    return 0;
}

/* What getopt_long() stumbled over: a long option stands in the argument before |optind|, a letter
 * may be one of several in an argument. */
static int fail_option(const struct rh_cli *cli, int found, char **argv, struct rh_reason *reason)
{
    char letter[3] = {'-', (char)optopt, '\0'};
    const char *last = argv[optind > 0 ? optind - 1 : 0];
    const char *name = strncmp(last, "--", 2) == 0 || optopt == 0 ? last : letter;
    const char *help = cli->command != NULL ? cli->command->name : "";
    return rh_fail(reason, RH_ERR_INVALID, "%s %s; see `ringhop %s%s--help`", name,
                   found == ':' ? "needs a value" : "is not an option here", help,
                   help[0] != '\0' ? " " : "");
}

/* Takes options until the first operand (before the command) or from everywhere (after it). */
static int parse_options(struct rh_cli *cli, int argc, char **argv, struct rh_arguments *arguments,
                         struct rh_reason *reason)
{
    struct option options[GLOBAL_OPTIONS_COUNT + OWN_OPTIONS_MAX + 1];
    merge_options(cli->command, options);
    const char *letters = cli->command == NULL ? "+" GLOBAL_LETTERS : GLOBAL_LETTERS;
    opterr = 0;
    optind = 0; /* a fresh start, also of what glibc remembers */
    int rv = 0;
    while (rv == 0) {
        int found = getopt_long(argc, argv, letters, options, NULL);
        switch (found) {
        case -1:
            return 0;
        case OPTION_CONFIG:
            cli->config_path = optarg;
            break;
        case OPTION_HELP:
            arguments->want = cli->command == NULL ? RH_ARGUMENTS_HELP : RH_ARGUMENTS_COMMAND_HELP;
            break;
        case OPTION_JSON:
            cli->json = true;
            break;
        case OPTION_TIMEOUT:
            rv = set_timeout(cli, optarg, reason);
            break;
        case OPTION_VERSION:
            arguments->want = RH_ARGUMENTS_VERSION;
            break;
        case '?':
        case ':':
            return fail_option(cli, found, argv, reason);
        default:
            rv = cli->command->option(arguments->state, found, optarg, reason);
            break;
        }
    }
    return rv;
}

static int check_operands(const struct rh_command *command, const struct rh_arguments *arguments,
                          struct rh_reason *reason)
{
    int count = arguments->operands_count;
    if (count >= command->operands_min &&
        (command->operands_max < 0 || count <= command->operands_max)) {
        return 0;
    }
    return rh_fail(reason, RH_ERR_INVALID, "%s; usage: ringhop %s",
                   count < command->operands_min ? "an argument is missing" : "too many arguments",
                   command->synopsis);
}

static int parse_command(struct rh_cli *cli, int argc, char **argv, struct rh_arguments *arguments,
                         struct rh_reason *reason)
{
    const struct rh_command *command = rh_command_find(argv[0]);
    if (command == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "`%s` is not a command; `ringhop --help` lists them",
                       argv[0]);
    }
    cli->command = command;
    if (command->state_size > 0) {
        arguments->state = calloc(1, command->state_size);
        if (arguments->state == NULL) {
            return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
        }
    }
    int rv = parse_options(cli, argc, argv, arguments, reason);
    if (rv != 0 || arguments->want != RH_ARGUMENTS_RUN) {
        return rv;
    }
    arguments->operands = argv + optind;
    arguments->operands_count = argc - optind;
    return check_operands(command, arguments, reason);
}

int rh_arguments_parse(struct rh_cli *cli, int argc, char **argv,
                       struct rh_arguments *ret_arguments, struct rh_reason *reason)
{
    struct rh_arguments arguments = {.want = RH_ARGUMENTS_RUN};
    int rv = parse_options(cli, argc, argv, &arguments, reason);
    if (rv == 0 && arguments.want == RH_ARGUMENTS_RUN) {
        int first = optind;
        if (first >= argc) {
            rv = rh_fail(reason, RH_ERR_INVALID,
                         "a command is missing; `ringhop --help` lists them");
        } else {
            rv = parse_command(cli, argc - first, argv + first, &arguments, reason);
        }
    }
    if (rv != 0) {
        rh_arguments_finish(cli, &arguments);
        return rv;
    }
    *ret_arguments = arguments;
    return 0;
}

void rh_arguments_finish(const struct rh_cli *cli, struct rh_arguments *arguments)
{
    if (arguments->state != NULL && cli->command->finish != NULL) {
        cli->command->finish(arguments->state);
    }
    free(arguments->state);
    *arguments = (struct rh_arguments){0};
}
