/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/request.h"

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct rh_request_options *options = context;
    uint32_t weight_milli;
    if (rh_weight_parse(rh_bytes_text(operands[1]), &weight_milli) != 0) {
        return rh_cli_fail(
            cli, RH_EXIT_USAGE,
            "WEIGHT: `%s` is not a number from 0 to 1000 with at most three decimals", operands[1]);
    }
    return rh_request_run(cli, operands[0], RH_REQUEST_WEIGHT, weight_milli, options->wait);
}

const struct rh_command rh_command_weight = {
    .name = "weight",
    .summary = "give a node another weight",
    .synopsis = "weight [--wait] NODE WEIGHT",
    .help =
        "Asks NODE to take WEIGHT, a number from 0 to 1000 with at most three decimals: its share "
        "of\n"
        "the ring in proportion to the others. 0 takes it out, like `ringhop drain`. Only the\n"
        "difference moves.\n"
        "\n"
        "Options:\n" RH_REQUEST_HELP "\n"
        "Example:\n"
        "  ringhop weight n2 1.5\n"
        "\n"
        "JSON: {\"node\":\"n2\",\"request\":\"weight\",\"state\":\"done\",\"channels_left\":0,"
        "\"connections_left\":0}\n"
        "Exit code 5: the node has not taken notice in time, or is gone; 6: it is not registered, "
        "or\n"
        "refuses.",
    .options = rh_request_long_options,
    .state_size = sizeof(struct rh_request_options),
    .option = rh_request_take_option,
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
