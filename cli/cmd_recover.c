/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/recovery.h"
#include "cli/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_YES = 256 };

#define PATH_SIZE 256

struct options {
    bool yes;
};

/* One look at the cluster, and what comes of it. */
struct run {
    const struct rh_cli *cli;
    struct rh_zookeeper *zookeeper;
    char path[PATH_SIZE]; /* of config */
    struct rh_buffer data;
    struct rh_shared_config config;
    int32_t version;
    struct rh_record record;
    struct rh_view *view;
    struct rh_recovery recovery;
};

static void finish(struct run *run)
{
    rh_recovery_finish(&run->recovery);
    rh_record_finish(&run->record);
    rh_view_give(run->view);
    run->view = NULL;
}

static enum rh_exit fail_zookeeper(const struct run *run, int rv)
{
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(run->cli);
    }
    return rh_cli_fail(run->cli, RH_EXIT_ZOOKEEPER, "%s in ZooKeeper: %s", run->path,
                       rh_error_text(rv));
}

/* Who is registered, and then what is recorded: a record that was replaced meanwhile is a later one,
 * and the write will be by the version of this one. */
static enum rh_exit look(struct run *run)
{
    struct rh_zk_stat stat;
    struct rh_reason why = {""};
    enum rh_exit code = rh_snapshot_read_for(run->cli, run->zookeeper, &run->view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    int rv = rh_zookeeper_get(run->zookeeper, run->path, &run->data, &stat);
    if (rv != 0) {
        return fail_zookeeper(run, rv);
    }
    run->version = stat.version;
    rv = rh_shared_config_decode(rh_buffer_content(&run->data), &run->config, &run->record, &why);
    if (rv != 0) {
        return rh_cli_fail(run->cli, RH_EXIT_ZOOKEEPER, "%s in ZooKeeper is broken: %s", run->path,
                           why.text);
    }
    rv = rh_recovery_judge(run->view, &run->record, &run->recovery);
    return rv == 0 ? RH_EXIT_DONE : rh_cli_fail_no_memory(run->cli);
}

static bool is_wanted(const struct run *run)
{
    return run->recovery.state == RH_RECOVERY_MISSING || run->recovery.state == RH_RECOVERY_UNKNOWN;
}

/* ---- what is seen ---- */

static const char *state_name(enum rh_recovery_state state)
{
    switch (state) {
    case RH_RECOVERY_UNRECORDED:
        return "unrecorded";
    case RH_RECOVERY_STOPPED:
        return "stopped";
    case RH_RECOVERY_ALIVE:
        return "alive";
    case RH_RECOVERY_SETTLED:
        return "settled";
    case RH_RECOVERY_MISSING:
        return "missing";
    case RH_RECOVERY_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

static const char *nothing_text(enum rh_recovery_state state)
{
    switch (state) {
    case RH_RECOVERY_UNRECORDED:
        return "no view of this cluster was ever recorded";
    case RH_RECOVERY_STOPPED:
        return "the last node stopped in order";
    case RH_RECOVERY_ALIVE:
        return "a node of the last recorded view is still registered, so the cluster goes on by "
               "itself";
    case RH_RECOVERY_SETTLED:
        return "every node of the last recorded view is registered, replaced or given up";
    case RH_RECOVERY_MISSING:
    case RH_RECOVERY_UNKNOWN:
        break;
    }
    return "";
}

static enum rh_exit print_missing(const struct run *run)
{
    static const struct rh_output_column columns[] = {
        {"NODE", false}, {"INSTANCE", false}, {"PEER", false}};
    const struct rh_record *record = &run->record;
    if (run->recovery.state == RH_RECOVERY_UNKNOWN) {
        (void)puts("ZooKeeper's data was lost, and with it who the nodes of the last recorded view "
                   "were.\n");
        return RH_EXIT_DONE;
    }
    (void)printf("The last recorded view (generation %" PRIu64 ", epoch %" PRId64
                 ") had %zu nodes. Not heard of:\n\n",
                 record->last.generation, record->last.pzxid, record->members_count);
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < run->recovery.missing_count; i++) {
        const struct rh_record_member *member = &record->members[run->recovery.missing[i]];
        char instance[RH_ID64_SIZE];
        rh_id64_format(member->instance, instance);
        const char *const texts[] = {member->id, instance, member->peer};
        rh_output_table_row(table, texts);
    }
    enum rh_exit code = rh_output_table_finish(run->cli, table);
    (void)putchar('\n');
    return code;
}

static enum rh_exit print_json(const struct run *run, bool recovered)
{
    const struct rh_record *record = &run->record;
    json_t *missing = json_array();
    for (size_t i = 0; i < run->recovery.missing_count; i++) {
        const struct rh_record_member *member = &record->members[run->recovery.missing[i]];
        (void)json_array_append_new(missing, json_pack("{s:s, s:o, s:s}", "node", member->id,
                                                       "instance", rh_output_id64(member->instance),
                                                       "peer", member->peer));
    }
    return rh_output_json(run->cli, json_pack("{s:s, s:I, s:I, s:o, s:b}", "state",
                                              state_name(run->recovery.state), "generation",
                                              (json_int_t)record->last.generation, "epoch",
                                              (json_int_t)record->last.pzxid, "missing", missing,
                                              "recovered", (int)recovered));
}

/* ---- what is done ---- */

/* Asks whoever sits there. */
static bool is_confirmed(const struct run *run)
{
    char answer[16] = "";
    if (isatty(STDIN_FILENO) != 1) {
        rh_cli_warn(run->cli, "nobody to ask: --yes gives them up");
        return false;
    }
    (void)fflush(stdout);
    (void)fputs("Give them up? They do not run any more, or what they still do may be lost. [y/N] ",
                stderr);
    return fgets(answer, sizeof(answer), stdin) != NULL &&
           (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
}

static enum rh_exit give_up(struct run *run)
{
    int rv = rh_recovery_forget(&run->recovery, &run->record);
    if (rv == RH_ERR_TOO_LARGE) {
        return rh_cli_fail(run->cli, RH_EXIT_REFUSED, "%s has no room for more instances",
                           run->path);
    }
    char *text = rv == 0 ? rh_shared_config_encode(&run->config, &run->record) : NULL;
    if (text == NULL) {
        return rh_cli_fail_no_memory(run->cli);
    }
    /* The question may have stood there for long. */
    rh_zookeeper_extend(run->zookeeper, rh_cli_timeout_ms(run->cli, RH_CLI_TIMEOUT_MS));
    rv = rh_zookeeper_set(run->zookeeper, run->path, rh_bytes_text(text), run->version);
    free(text);
    if (rv == RH_ERR_CONFLICT) {
        return rh_cli_fail(run->cli, RH_EXIT_REFUSED,
                           "the cluster has recorded something else meanwhile: look again");
    }
    return rv == 0 ? RH_EXIT_DONE : fail_zookeeper(run, rv);
}

static enum rh_exit finish_text(struct run *run, bool yes)
{
    if (!is_wanted(run)) {
        (void)printf("nothing to recover: %s\n", nothing_text(run->recovery.state));
        return RH_EXIT_DONE;
    }
    enum rh_exit code = print_missing(run);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    if (!yes && !is_confirmed(run)) {
        return RH_EXIT_NO;
    }
    code = give_up(run);
    if (code == RH_EXIT_DONE) {
        (void)puts("given up: the nodes that are registered go on without them");
    }
    return code;
}

static enum rh_exit finish_json(struct run *run, bool yes)
{
    bool wanted = is_wanted(run);
    enum rh_exit code = wanted && yes ? give_up(run) : RH_EXIT_DONE;
    if (code == RH_EXIT_DONE) {
        code = print_json(run, wanted && yes);
    }
    return code == RH_EXIT_DONE && wanted && !yes ? RH_EXIT_NO : code;
}

static enum rh_exit run(struct rh_cli *cli, void *state, int operands_count, char **operands)
{
    (void)operands_count;
    (void)operands;
    const struct options *options = state;
    struct run run = {.cli = cli};
    (void)snprintf(run.path, sizeof(run.path), "/ringhop/%s/config", cli->config.cluster);
    enum rh_exit code =
        rh_zookeeper_open_for(cli, rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS), &run.zookeeper);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    code = look(&run);
    if (code == RH_EXIT_DONE) {
        code = cli->json ? finish_json(&run, options->yes) : finish_text(&run, options->yes);
    }
    finish(&run);
    rh_buffer_finish(&run.data);
    rh_zookeeper_close(run.zookeeper);
    return code;
}

static int take_option(void *state, int option, const char *value, struct rh_reason *reason)
{
    (void)option;
    (void)value;
    (void)reason;
    struct options *options = state;
    options->yes = true;
    return 0;
}

static const struct option long_options[] = {{"yes", no_argument, NULL, OPTION_YES}, {0}};

const struct rh_command rh_command_recover = {
    .name = "recover",
    .summary = "go on without nodes that nobody can hear",
    .synopsis = "recover [--yes]",
    .help =
        "When all nodes of the last recorded view are gone, those that come after cannot know "
        "whether\n"
        "they still serve somewhere, and wait for them (`record_waits` in their logs). This shows "
        "who is\n"
        "missing, asks, and gives them up: they do not run any more, or what they still do may be "
        "lost.\n"
        "\n"
        "Options:\n"
        "      --yes    do not ask\n"
        "\n"
        "Example:\n"
        "  ringhop recover\n"
        "\n"
        "JSON: {\"state\":\"missing\",\"generation\":1,\"epoch\":57,\n"
        "      \"missing\":[{\"node\":\"n1\",\"instance\":\"...\",\"peer\":\"...\"}],"
        "\"recovered\":true}\n"
        "state: missing or unknown (ZooKeeper's data was lost), or nothing is to be done: "
        "unrecorded,\n"
        "stopped, alive, settled.\n"
        "Exit code 1: somebody is missing and was not given up; 6: the cluster changed meanwhile.",
    .options = long_options,
    .state_size = sizeof(struct options),
    .option = take_option,
    .run = run,
};
