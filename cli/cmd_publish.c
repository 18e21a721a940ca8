/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/publish_lines.h"
#include "cli/random.h"
#include "proto/payload.h"

#include <stdio.h>
#include <string.h>

struct state {
    const char *id;
    const char *content_type; /* NULL: text */
    bool lines;               /* --stdin */
    bool lines_are_json;      /* --format json */
    bool has_format;
};

#define LINE_NUMBER_SIZE 21U /* with the hyphen before it */

enum { OPTION_ID = 256, OPTION_TYPE, OPTION_STDIN, OPTION_FORMAT };

static const struct option options[] = {{"id", required_argument, NULL, OPTION_ID},
                                        {"type", required_argument, NULL, OPTION_TYPE},
                                        {"stdin", no_argument, NULL, OPTION_STDIN},
                                        {"format", required_argument, NULL, OPTION_FORMAT},
                                        {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_STDIN) {
        state->lines = true;
        return 0;
    }
    if (option == OPTION_FORMAT) {
        state->has_format = true;
        state->lines_are_json = strcmp(value, "json") == 0;
        return state->lines_are_json || strcmp(value, "tab") == 0
                   ? 0
                   : rh_fail(reason, RH_ERR_INVALID, "--format: `%s` is not tab or json", value);
    }
    if (option == OPTION_TYPE) {
        state->content_type = rh_ask_content_type(value);
        return state->content_type != NULL
                   ? 0
                   : rh_fail(reason, RH_ERR_INVALID, "--type: `%s` is not text, json or binary",
                             value);
    }
    if (!rh_message_id_valid(rh_bytes_text(value))) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--id: a message id is 1 to %d printable ASCII "
                       "characters",
                       RH_MESSAGE_ID_SIZE_MAX);
    }
    state->id = value;
    return 0;
}

/* One message on its way to a node. */
struct publish {
    struct rh_ask ask;
    char id[RH_MESSAGE_ID_SIZE_MAX + 1];
};

static enum rh_exit print_result(const struct publish *publish)
{
    const struct rh_cli *cli = publish->ask.cli;
    json_t *answer = rh_cli_http_json(&publish->ask.request);
    if (answer == NULL) {
        return rh_cli_fail(cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           publish->ask.request.url);
    }
    if (cli->json) {
        return rh_output_json(cli, answer);
    }
    rh_output_escaped(publish->ask.key);
    (void)printf(": seq %lld at %s, %lld connections, id %s%s\n",
                 json_integer_value(json_object_get(answer, "seq")),
                 json_string_value(json_object_get(answer, "node")),
                 json_integer_value(json_object_get(answer, "connections")), publish->id,
                 json_is_true(json_object_get(answer, "duplicate")) ? " (published before)" : "");
    json_decref(answer);
    return RH_EXIT_DONE;
}

/* Nothing is lost by trying again: the id makes it one message. */
static void take(struct rh_ask *ask, const struct rh_target *target)
{
    if (!ask->request.answered) {
        return;
    }
    if (ask->request.status == 201) {
        rh_ask_settle(ask, print_result(rh_container_of(ask, struct publish, ask)));
    } else {
        rh_ask_take_problem(ask, target);
    }
}

static void fill(struct publish *publish, const struct state *state)
{
    struct rh_ask *ask = &publish->ask;
    if (state->id != NULL) {
        (void)snprintf(publish->id, sizeof(publish->id), "%s", state->id);
    } else {
        rh_id64_format(rh_random_number(), publish->id);
    }
    ask->request.method = "POST";
    rh_ask_header(ask, "Idempotency-Key: %s", publish->id);
    rh_ask_header(ask, "Content-Type: %s",
                  state->content_type != NULL ? state->content_type : rh_ask_content_type("text"));
}

/* What is wrong with the options together, or NULL. */
static const char *judge(const struct state *state, int operands_count)
{
    if (!state->lines) {
        if (state->has_format) {
            return "--format goes with --stdin";
        }
        return operands_count == 0 ? "KEY is missing" : NULL;
    }
    if (operands_count == 2) {
        return "with --stdin there is no DATA";
    }
    if (state->lines_are_json && operands_count == 1) {
        return "with --format json the lines name their keys";
    }
    if (state->lines_are_json && state->content_type != NULL) {
        return "with --format json the lines say what type they are";
    }
    if (state->has_format && operands_count == 1) {
        return "with KEY each line is one payload, and has no --format";
    }
    return state->id != NULL && strlen(state->id) > RH_MESSAGE_ID_SIZE_MAX - LINE_NUMBER_SIZE
               ? "--id is too long for the number of a line behind it"
               : NULL;
}

static enum rh_exit run_lines(struct rh_cli *cli, const struct state *state, const char *key)
{
    struct rh_publish_lines lines = {
        .rules = {.format = state->lines_are_json ? RH_LINE_JSON : RH_LINE_TAB,
                  .content_type = state->content_type != NULL ? state->content_type
                                                              : rh_ask_content_type("text"),
                  .message_bytes = cli->config.limits.message_bytes},
        .id = state->id,
    };
    if (key != NULL) {
        lines.rules.format = RH_LINE_DATA;
        lines.rules.key = rh_bytes_text(key);
    }
    return rh_publish_lines_run(cli, &lines);
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    const struct state *state = context;
    const char *wrong = judge(state, operands_count);
    if (wrong != NULL) {
        return rh_cli_fail(cli, RH_EXIT_USAGE, "%s; see `ringhop publish --help`", wrong);
    }
    enum rh_exit code = rh_cli_load_config(cli);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    if (state->lines) {
        return run_lines(cli, state, operands_count == 1 ? operands[0] : NULL);
    }
    struct publish publish = {.ask = {.cli = cli, .key = rh_bytes_text(operands[0]), .take = take}};
    code = rh_ask_begin(&publish.ask, "messages");
    if (code == RH_EXIT_DONE) {
        fill(&publish, state);
        if (operands_count == 1) {
            code = rh_ask_read_body(&publish.ask);
        } else {
            publish.ask.request.body = rh_bytes_text(operands[1]);
        }
    }
    if (code == RH_EXIT_DONE) {
        char hint[RH_MESSAGE_ID_SIZE_MAX + 100];
        (void)snprintf(hint, sizeof(hint),
                       "; it may or may not be published: try again with --id '%s'", publish.id);
        code = rh_ask_run(&publish.ask, hint);
    }
    rh_ask_finish(&publish.ask);
    return code;
}

const struct rh_command rh_command_publish = {
    .name = "publish",
    .summary = "publish a message to a channel",
    .synopsis = "publish [--id ID] [--type text|json|binary] KEY [DATA]\n"
                "       ringhop publish --stdin [--format tab|json] [--id ID] [--type TYPE] [KEY]",
    .help = "Publishes DATA, or all of the standard input, to the channel KEY. It goes to the "
            "owner, or\n"
            "through any other node when the owner cannot be reached from here.\n"
            "\n"
            "The message always has an id, and is tried again with the same id until --timeout (10 "
            "s),\n"
            "so that it is published once. If the outcome stays unknown, run it again with the "
            "--id that\n"
            "is printed.\n"
            "\n"
            "With --stdin every line of the standard input is a message: KEY, a TAB, the payload. "
            "With\n"
            "--format json a line is {\"key\":\"user:42\",\"id\":\"order-17\",\"data\":\"hi\"}, "
            "with \"json\" or \"base64\"\n"
            "in place of \"data\"; \"id\" may be left out. With KEY each line is a payload for it. "
            "The order of a\n"
            "key is kept. Lines that cannot be published are told, with their numbers, and the "
            "rest goes on.\n"
            "\n"
            "Options:\n"
            "      --id ID       message id: 1 to 128 printable ASCII characters; random when not "
            "given.\n"
            "                    With --stdin line N has the id ID-N, unless it has one itself\n"
            "      --type TYPE   what DATA is: text (default), json (one JSON value) or binary\n"
            "      --stdin       publish lines, at full speed\n"
            "      --format F    of lines: tab (default) or json\n"
            "\n"
            "Example:\n"
            "  ringhop publish user:42 'hello'\n"
            "  jq -c .payload order.json | ringhop publish --type json --id order-17 user:42\n"
            "  redis-cli ... | ringhop publish --stdin     (docs/sources.md has the dots)\n"
            "\n"
            "JSON: {\"seq\":9,\"incarnation\":\"...\",\"node\":\"n1\",\"connections\":3,"
            "\"duplicate\":false}\n"
            "with --stdin: "
            "{\"lines\":9,\"published\":8,\"duplicates\":0,\"refused\":1,\"unknown\":0,"
            "\"seconds\":0.1}\n"
            "Exit code 5: no node could be reached; 6: refused, with --stdin at least one line.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .loads_config = true,
    .operands_min = 0,
    .operands_max = 2,
    .run = run,
};
