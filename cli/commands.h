/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_COMMANDS_H
#define RH_CLI_COMMANDS_H

/* The table of commands, in order of their names. */

#include "cli/cli.h"

extern const struct rh_command *const rh_commands[];
extern const size_t rh_commands_count;

/* The command called |name|, or NULL. */
const struct rh_command *rh_command_find(const char *name);

extern const struct rh_command rh_command_apply;
extern const struct rh_command rh_command_check;
extern const struct rh_command rh_command_drain;
extern const struct rh_command rh_command_drill;
extern const struct rh_command rh_command_follow;
extern const struct rh_command rh_command_followers;
extern const struct rh_command rh_command_follows;
extern const struct rh_command rh_command_join;
extern const struct rh_command rh_command_listen;
extern const struct rh_command rh_command_nodes;
extern const struct rh_command rh_command_owner;
extern const struct rh_command rh_command_plan;
extern const struct rh_command rh_command_presence;
extern const struct rh_command rh_command_publish;
extern const struct rh_command rh_command_recover;
extern const struct rh_command rh_command_ring;
extern const struct rh_command rh_command_state;
extern const struct rh_command rh_command_turn;
extern const struct rh_command rh_command_unfollow;
extern const struct rh_command rh_command_weight;

#endif
