/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/url.h"
#include "proto/payload.h"
#include "proto/position.h"

#include <stdio.h>

/* `follow`, `unfollow` and `follows`: what a channel follows. */

struct state {
    char after[RH_POSITION_TEXT_SIZE]; /* "": not given */
};

enum { OPTION_AFTER = 256 };

static const struct option options[] = {{"after", required_argument, NULL, OPTION_AFTER}, {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    struct rh_position after;
    (void)option;
    if (rh_position_parse(rh_bytes_text(value), &after) != 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--after: `%s` is not a position: 0, or incarnation:seq like "
                       "c0ffee0123456789:9",
                       value);
    }
    rh_position_format(after, state->after);
    return 0;
}

static enum rh_exit print_list(const struct rh_ask *ask)
{
    const struct rh_cli *cli = ask->cli;
    json_t *answer = rh_cli_http_json(&ask->request);
    json_t *follows = json_object_get(answer, "follows");
    if (!json_is_array(follows)) {
        json_decref(answer);
        return rh_cli_fail(cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           ask->request.url);
    }
    if (cli->json) {
        return rh_output_json(cli, answer);
    }
    for (size_t i = 0; i < json_array_size(follows); i++) {
        const json_t *follow = json_array_get(follows, i);
        const json_t *topic = json_object_get(follow, "topic");
        rh_output_escaped(rh_bytes(json_string_value(topic), json_string_length(topic)));
        (void)printf("\t%s\n", json_string_value(json_object_get(follow, "position")));
    }
    json_decref(answer);
    return RH_EXIT_DONE;
}

/* |method| NULL: the list. |topic| and |after| may be NULL. */
static enum rh_exit run_ask(struct rh_cli *cli, const char *method, const char *key,
                            const char *topic, const char *after)
{
    struct rh_ask ask = {
        .cli = cli, .key = rh_bytes_text(key), .take = rh_ask_take_answer, .print = print_list};
    char escaped[RH_CLI_HTTP_PATH_SIZE] = "";
    char what[RH_CLI_HTTP_PATH_SIZE + RH_POSITION_TEXT_SIZE + 16];
    if (topic != NULL && (!rh_key_valid(rh_bytes_text(topic)) ||
                          rh_url_escape(rh_bytes_text(topic), escaped, sizeof(escaped)) != 0)) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "TOPIC: a key is 1 to %d bytes of UTF-8 without control characters",
                           RH_KEY_SIZE_MAX);
    }
    bool has_after = after != NULL && after[0] != '\0';
    (void)snprintf(what, sizeof(what), "follows%s%s%s%s", topic == NULL ? "" : "/", escaped,
                   has_after ? "?after=" : "", has_after ? after : "");
    enum rh_exit code = rh_ask_begin(&ask, what);
    ask.request.method = method;
    if (code == RH_EXIT_DONE) {
        code = rh_ask_run(&ask, method == NULL ? "" : "; it may or may not be done: try again");
    }
    rh_ask_finish(&ask);
    return code;
}

static enum rh_exit run_follow(struct rh_cli *cli, void *context, int operands_count,
                               char **operands)
{
    const struct state *state = context;
    (void)operands_count;
    return run_ask(cli, "PUT", operands[0], operands[1], state->after);
}

static enum rh_exit run_unfollow(struct rh_cli *cli, void *context, int operands_count,
                                 char **operands)
{
    (void)context;
    (void)operands_count;
    return run_ask(cli, "DELETE", operands[0], operands[1], NULL);
}

static enum rh_exit run_follows(struct rh_cli *cli, void *context, int operands_count,
                                char **operands)
{
    (void)context;
    (void)operands_count;
    return run_ask(cli, NULL, operands[0], NULL, NULL);
}

#define HELP_END                                                                              \
    "Shows what KEY follows then: topic, TAB, position of the last message that was taken.\n" \
    "\n"                                                                                      \
    "JSON: {\"key\":\"user:42\",\"follows\":[{\"topic\":\"room:7\",\"position\":"             \
    "\"c0ffee0123456789:9\"}]}\n"                                                             \
    "Exit code 5: no node could be reached; 6: refused."

const struct rh_command rh_command_follow = {
    .name = "follow",
    .summary = "have a channel follow another",
    .synopsis = "follow [--after POS] KEY TOPIC",
    .help = "What is published to the channel TOPIC reaches those who are connected to the channel "
            "KEY, too.\n"
            "\n"
            "Options:\n"
            "      --after POS   begin after that position, `0` with all that the log of TOPIC "
            "holds; else\n"
            "                    with what is published from now on. Counts only if KEY does not "
            "follow it yet\n"
            "\n"
            "Example:\n"
            "  ringhop follow user:42 room:7\n"
            "\n" HELP_END,
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 2,
    .operands_max = 2,
    .run = run_follow,
};

const struct rh_command rh_command_unfollow = {
    .name = "unfollow",
    .summary = "end that a channel follows another",
    .synopsis = "unfollow KEY TOPIC",
    .help = "What is published to the channel TOPIC does not reach KEY any more.\n"
            "\n"
            "Example:\n"
            "  ringhop unfollow user:42 room:7\n"
            "\n" HELP_END,
    .operands_min = 2,
    .operands_max = 2,
    .run = run_unfollow,
};

const struct rh_command rh_command_follows = {
    .name = "follows",
    .summary = "what a channel follows",
    .synopsis = "follows KEY",
    .help = "Prints the channels whose messages reach KEY as well.\n"
            "\n"
            "Example:\n"
            "  ringhop follows user:42\n"
            "\n" HELP_END,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_follows,
};
