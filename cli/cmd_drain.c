/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/request.h"

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct rh_request_options *options = context;
    return rh_request_run(cli, operands[0], RH_REQUEST_DRAIN, 0, options->wait);
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
        "Options:\n" RH_REQUEST_HELP "\n"
        "Example:\n"
        "  ringhop drain n2 --wait\n"
        "\n"
        "JSON: {\"node\":\"n2\",\"request\":\"drain\",\"state\":\"done\",\"channels_left\":0,"
        "\"connections_left\":0}\n"
        "Exit code 5: the node has not taken notice in time, or is gone; 6: it is not registered, "
        "or\n"
        "refuses.",
    .options = rh_request_long_options,
    .state_size = sizeof(struct rh_request_options),
    .option = rh_request_take_option,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
