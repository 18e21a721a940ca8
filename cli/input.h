/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_INPUT_H
#define RH_CLI_INPUT_H

/* What commands read from the standard input. */

#include "base/buffer.h"
#include "cli/cli.h"

#define RH_CLI_INPUT_MAX (16 * 1024 * 1024) /* bytes: the most that a node can be set to take */

/* Says so if reading the standard input has failed, when nothing more came. */
enum rh_exit rh_cli_input_ended(const struct rh_cli *cli);

/* Appends all of the standard input to |data|, which the caller finishes. Says what fails. */
enum rh_exit rh_cli_read_input(const struct rh_cli *cli, struct rh_buffer *data);

#endif
