/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

/* Keep alphabetized: it is searched by halves. */
const struct rh_command *const rh_commands[] = {
    &rh_command_apply,    &rh_command_check,     &rh_command_drain,    &rh_command_drill,
    &rh_command_follow,   &rh_command_followers, &rh_command_follows,  &rh_command_join,
    &rh_command_listen,   &rh_command_nodes,     &rh_command_owner,    &rh_command_plan,
    &rh_command_presence, &rh_command_publish,   &rh_command_recover,  &rh_command_ring,
    &rh_command_state,    &rh_command_turn,      &rh_command_unfollow, &rh_command_weight,
};

const size_t rh_commands_count = sizeof(rh_commands) / sizeof(rh_commands[0]);

static int compare(const void *name, const void *entry)
{
    const struct rh_command *const *command = entry;
    return strcmp(name, (*command)->name);
}

const struct rh_command *rh_command_find(const char *name)
{
    const struct rh_command *const *found =
        bsearch(name, rh_commands, rh_commands_count, sizeof(rh_commands[0]), compare);
    return found == NULL ? NULL : *found;
}
