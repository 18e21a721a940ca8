/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/snapshot.h"
#include "proto/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
    bool offline;
};

enum { OPTION_OFFLINE = 256 };

static const struct option options[] = {{"offline", no_argument, NULL, OPTION_OFFLINE}, {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    (void)option;
    (void)value;
    (void)reason;
    struct state *state = context;
    state->offline = true;
    return 0;
}

/* The answers of one run; |table| is NULL with --json. */
struct answers {
    const struct rh_cli *cli;
    const struct rh_view *view;
    struct rh_output_table *table;
    bool offline;
};

static json_t *replicas_json(const struct rh_view *view, const uint32_t *indices, size_t count)
{
    json_t *replicas = json_array();
    for (size_t i = 1; i < count; i++) {
        rh_output_append(&replicas, json_string(view->members[indices[i]].id));
    }
    return replicas;
}

static enum rh_exit print_json(const struct answers *answers, const char *key, uint64_t hash,
                               const uint32_t *indices, size_t count)
{
    const struct rh_view *view = answers->view;
    char hash_text[RH_ID64_SIZE];
    rh_id64_format(hash, hash_text);
    json_t *epoch = answers->offline ? json_null() : json_integer(view->epoch.pzxid);
    return rh_output_json(
        answers->cli, json_pack("{s:s, s:s, s:s?, s:o, s:o}", "key", key, "hash", hash_text,
                                "owner", count > 0 ? view->members[indices[0]].id : NULL,
                                "replicas", replicas_json(view, indices, count), "epoch", epoch));
}

static void add_row(const struct answers *answers, const char *key, uint64_t hash,
                    const uint32_t *indices, size_t count)
{
    const struct rh_view *view = answers->view;
    char hash_text[RH_ID64_SIZE];
    char replicas[RH_RING_REPLICAS_MAX * (RH_NODE_ID_SIZE + 1)] = "";
    size_t size = 0;
    rh_id64_format(hash, hash_text);
    for (size_t i = 1; i < count; i++) {
        size += (size_t)snprintf(replicas + size, sizeof(replicas) - size, "%s%s", i > 1 ? " " : "",
                                 view->members[indices[i]].id);
    }
    const char *const texts[] = {key, count > 0 ? view->members[indices[0]].id : NULL, replicas,
                                 hash_text, count > 0 ? view->members[indices[0]].url : NULL};
    rh_output_table_row(answers->table, texts);
}

static enum rh_exit answer(const struct answers *answers, const char *key, const char *place)
{
    if (!rh_key_valid(rh_bytes_text(key))) {
        return rh_cli_fail(answers->cli, RH_EXIT_USAGE,
                           "%s: a key is 1 to %d bytes of UTF-8 without control characters", place,
                           RH_KEY_SIZE_MAX);
    }
    uint32_t indices[RH_RING_REPLICAS_MAX];
    const struct rh_view *view = answers->view;
    uint64_t hash = rh_ring_hash(view->ring, key, strlen(key));
    size_t count = rh_ring_preference(view->ring, hash, view->config.replicas, indices);
    if (answers->cli->json) {
        return print_json(answers, key, hash, indices, count);
    }
    add_row(answers, key, hash, indices, count);
    return RH_EXIT_DONE;
}

static enum rh_exit answer_lines(const struct answers *answers)
{
    char *line = NULL;
    size_t room = 0;
    size_t number = 0;
    enum rh_exit code = RH_EXIT_DONE;
    ssize_t size = getline(&line, &room, stdin);
    while (code == RH_EXIT_DONE && size >= 0) {
        char place[48];
        number++;
        (void)snprintf(place, sizeof(place), "line %zu of the input", number);
        if (size > 0 && line[size - 1] == '\n') {
            size--;
            line[size] = '\0';
        }
        if (memchr(line, '\0', (size_t)size) != NULL) {
            line[0] = '\0'; /* so that it is refused like any other control character */
        }
        code = answer(answers, line, place);
        size = getline(&line, &room, stdin);
    }
    free(line);
    return code != RH_EXIT_DONE ? code : rh_cli_input_ended(answers->cli);
}

static enum rh_exit answer_all(const struct answers *answers, int keys_count, char **keys)
{
    if (keys_count == 0) {
        return answer_lines(answers);
    }
    enum rh_exit code = RH_EXIT_DONE;
    for (int i = 0; i < keys_count && code == RH_EXIT_DONE; i++) {
        code = answer(answers, keys[i], "KEY");
    }
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int keys_count, char **keys)
{
    static const struct rh_output_column columns[] = {
        {"KEY", false}, {"OWNER", false}, {"REPLICAS", false}, {"HASH", false}, {"URL", false}};
    const struct state *state = context;
    if (keys_count == 0 && isatty(STDIN_FILENO) == 1) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "a key is missing; name keys, or pipe them in, one a line");
    }
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_for(cli, state->offline, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    struct answers answers = {.cli = cli, .view = view, .offline = state->offline};
    if (!cli->json) {
        answers.table = rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    }
    code = answer_all(&answers, keys_count, keys);
    if (!cli->json) {
        enum rh_exit printed = rh_output_table_finish(cli, answers.table);
        code = code == RH_EXIT_DONE ? printed : code;
    }
    if (code == RH_EXIT_DONE && rh_ring_active_count(view->ring) == 0) {
        code = rh_cli_fail(cli, RH_EXIT_NO, "no node is in the ring, so no key has an owner");
    }
    rh_view_give(view);
    return code;
}

const struct rh_command rh_command_owner = {
    .name = "owner",
    .summary = "which node owns a key, and which hold its copies",
    .synopsis = "owner [--offline] [KEY]...",
    .help =
        "Computes the owner of each KEY, with the ring that the nodes use. Without KEY, keys are\n"
        "read from the standard input, one a line.\n"
        "\n"
        "Options:\n"
        "      --offline   ask no ZooKeeper: go by the nodes of the config file\n"
        "\n"
        "Example:\n"
        "  ringhop owner user:42 doc:8f3\n"
        "  cut -d, -f1 users.csv | ringhop owner --json\n"
        "\n"
        "JSON: {\"key\":\"user:42\",\"hash\":\"...\",\"owner\":\"n1\",\"replicas\":[\"n2\"],"
        "\"epoch\":57}\n"
        "Exit code 1: no node is in the ring, or none has ever registered.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_max = -1,
    .run = run,
};
