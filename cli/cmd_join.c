/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/request.h"

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct rh_request_options *options = context;
    return rh_request_run(cli, operands[0], RH_REQUEST_JOIN, 0, options->wait);
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
        "Options:\n" RH_REQUEST_HELP "\n"
        "Example:\n"
        "  ringhop join n2\n"
        "\n"
        "JSON: {\"node\":\"n2\",\"request\":\"join\",\"state\":\"done\",\"channels_left\":0,"
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
