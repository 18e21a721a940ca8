/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <stdio.h>

enum rh_exit rh_cli_input_ended(const struct rh_cli *cli)
{
    return ferror(stdin) == 0
               ? RH_EXIT_DONE
               : rh_cli_fail(cli, RH_EXIT_USAGE, "the standard input cannot be read");
}

enum rh_exit rh_cli_read_input(const struct rh_cli *cli, struct rh_buffer *data)
{
    for (;;) {
        char *room = rh_buffer_reserve(data, 65536);
        if (room == NULL) {
            return rh_cli_fail_no_memory(cli);
        }
        size_t size = fread(room, 1, 65536, stdin);
        rh_buffer_commit(data, size);
        if (rh_buffer_size(data) > RH_CLI_INPUT_MAX) {
            return rh_cli_fail(cli, RH_EXIT_REFUSED,
                               "DATA is larger than %d bytes, which no node takes",
                               RH_CLI_INPUT_MAX);
        }
        if (size == 0) {
            return rh_cli_input_ended(cli);
        }
    }
}
