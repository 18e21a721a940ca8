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
    return rh_request_run(cli, operands[0], RH_REQUEST_DRAIN, 0, state->wait);
}

const struct rh_command rh_command_drain = {
    .name = "drain",
    .summary = "take a node out of the ring; it stays alive",
    .synopsis = "drain [--wait] NODE",
    .help =
        "Asks NODE to take weight 0 and hand over all channels and connections. It stays "
        "registered,\n"
        "outside the ring, and also comes back so after a restart, until `ringhop join`.\n"
        "\n"
        "Options:\n"
        "      --wait   wait until it is done, however long it takes (--timeout bounds it), and\n"
        "               show how much is left. Without it the command waits for 10 s (--timeout)\n"
        "               and is content when the node works on the request by then\n"
        "\n"
        "The request stands in ZooKeeper, so the node need not be reachable from here.\n"
        "\n"
        "Example:\n"
        "  ringhop drain n2 --wait\n"
        "\n"
        "JSON: {\"node\":\"n2\",\"request\":\"drain\",\"state\":\"done\",\"channels_left\":0,"
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
