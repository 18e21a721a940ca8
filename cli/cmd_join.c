/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/request.h"

struct state {
    bool wait;
};

enum { OPTION_WAIT = 256 };

static const struct option options[] = {{"wait", no_argument, NULL, OPTION_WAIT}, {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    (void)option;
    (void)value;
    (void)reason;
    struct state *state = context;
    state->wait = true;
    return 0;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct state *state = context;
    return rh_request_run(cli, operands[0], RH_REQUEST_JOIN, 0, state->wait);
}

const struct rh_command rh_command_join = {
    .name = "join",
    .summary = "bring a node into the ring, with the weight of its config",
    .synopsis = "join [--wait] NODE",
    .help =
        "Asks NODE to take part in the ring with the weight that its config says: after a drain, "
        "a\n"
        "`ringhop weight`, or when it started with weight 0.\n"
        "\n"
        "Options:\n"
        "      --wait   wait until it is done, however long it takes (--timeout bounds it), and\n"
        "               show how much is left. Without it the command waits for 10 s (--timeout)\n"
        "               and is content when the node works on the request by then\n"
        "\n"
        "The request stands in ZooKeeper, so the node need not be reachable from here.\n"
        "\n"
        "Example:\n"
        "  ringhop join n2\n"
        "\n"
        "JSON: {\"node\":\"n2\",\"request\":\"join\",\"state\":\"done\",\"channels_left\":0,"
        "\"connections_left\":0}\n"
        "Exit code 5: the node has not taken notice in time, or is gone; 6: it is not registered, "
        "or\n"
        "refuses.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
