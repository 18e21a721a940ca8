/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/http.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/random.h"
#include "cli/targets.h"
#include "cli/url.h"
#include "proto/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS     10000U
#define TRY_MS         7000U /* one node: it answers within 5 s that it does not know */
#define FIND_MS        2000U /* for ZooKeeper to say who the nodes are */
#define PAUSE_FIRST_MS 100U
#define PAUSE_MAX_MS   2000U

struct state {
    const char *id;
    const char *content_type; /* NULL: text */
};

enum { OPTION_ID = 256, OPTION_TYPE };

static const struct option options[] = {{"id", required_argument, NULL, OPTION_ID},
                                        {"type", required_argument, NULL, OPTION_TYPE},
                                        {0}};

static int take_type(struct state *state, const char *value, struct rh_reason *reason)
{
    static const struct {
        const char *name;
        const char *content_type;
    } types[] = {{"binary", "application/octet-stream"},
                 {"json", "application/json"},
                 {"text", "text/plain; charset=utf-8"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, value) == 0) {
            state->content_type = types[i].content_type;
            return 0;
        }
    }
    return rh_fail(reason, RH_ERR_INVALID, "--type: `%s` is not text, json or binary", value);
}

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_TYPE) {
        return take_type(state, value, reason);
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
    const struct rh_cli *cli;
    struct rh_bytes key;
    char path[RH_CLI_HTTP_PATH_SIZE];
    char id[RH_MESSAGE_ID_SIZE_MAX + 1];
    struct rh_cli_http request;
    struct rh_targets targets;
    struct rh_reason last; /* why the last try failed */
    bool refused;          /* the last try was answered */
    bool settled;          /* |code| is what to end with */
    enum rh_exit code;
};

static enum rh_exit print_result(const struct publish *publish)
{
    json_t *answer = rh_cli_http_json(&publish->request);
    if (answer == NULL) {
        return rh_cli_fail(publish->cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           publish->request.url);
    }
    if (publish->cli->json) {
        return rh_output_json(publish->cli, answer);
    }
    rh_output_escaped(publish->key);
    (void)printf(": seq %lld at %s, %lld connections, id %s%s\n",
                 json_integer_value(json_object_get(answer, "seq")),
                 json_string_value(json_object_get(answer, "node")),
                 json_integer_value(json_object_get(answer, "connections")), publish->id,
                 json_is_true(json_object_get(answer, "duplicate")) ? " (published before)" : "");
    json_decref(answer);
    return RH_EXIT_DONE;
}

static void settle(struct publish *publish, enum rh_exit code)
{
    publish->settled = true;
    publish->code = code;
}

/* Tries one node. What may succeed elsewhere or later is left for another try. */
static void try_node(struct publish *publish, const struct rh_target *target, uint32_t timeout_ms)
{
    struct rh_cli_http *request = &publish->request;
    rh_cli_http_url(target->url, publish->path, request->url);
    if (rh_cli_http_perform(request, 1, timeout_ms) != 0) {
        settle(publish, rh_cli_fail_no_memory(publish->cli));
        return;
    }
    publish->refused = request->answered;
    if (!request->answered) {
        (void)rh_fail(&publish->last, RH_ERR_UNREACHABLE, "%s: %s", target->node,
                      request->reason.text);
        return;
    }
    if (request->status == 201) {
        settle(publish, print_result(publish));
        return;
    }
    rh_cli_http_problem(request, &publish->last);
    if (request->status < 500 && request->status != 429) {
        settle(publish, rh_cli_fail(publish->cli, RH_EXIT_REFUSED, "%s refuses: %s", target->node,
                                    publish->last.text));
    }
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Finds out who the nodes are. False: there is none. What was known stays when that fails. */
static bool find_targets(struct publish *publish, uint64_t deadline_ms)
{
    struct rh_targets targets;
    bool offline;
    uint32_t timeout_ms = smaller(rh_cli_left_ms(deadline_ms) / 2 + 1, FIND_MS);
    struct rh_reason reason = {""};
    int rv = rh_targets_find(&publish->cli->config, publish->key, timeout_ms, &targets, &offline,
                             &reason);
    if (rv == 0) {
        rh_targets_finish(&publish->targets);
        publish->targets = targets;
    } else if (publish->targets.count == 0) {
        publish->last = reason;
    }
    return publish->targets.count > 0;
}

/* Tries all nodes once, the owner first. */
static void try_all(struct publish *publish, uint64_t deadline_ms)
{
    for (size_t i = 0; i < publish->targets.count && !publish->settled; i++) {
        uint32_t left_ms = rh_cli_left_ms(deadline_ms);
        if (left_ms == 0) {
            return;
        }
        try_node(publish, &publish->targets.targets[i], smaller(left_ms, TRY_MS));
    }
}

static enum rh_exit publish_until(struct publish *publish, uint64_t deadline_ms)
{
    for (uint32_t round = 0;; round++) {
        /* Nodes that answered are there; asking ZooKeeper again would only take time. */
        if (!publish->refused && !find_targets(publish, deadline_ms)) {
            return rh_cli_fail(publish->cli, RH_EXIT_NODE, "%s", publish->last.text);
        }
        try_all(publish, deadline_ms);
        if (publish->settled) {
            return publish->code;
        }
        uint32_t pause = rh_backoff_ms(round, PAUSE_FIRST_MS, PAUSE_MAX_MS, rh_random_number());
        if (rh_cli_left_ms(deadline_ms) <= pause) {
            break;
        }
        rh_cli_pause_ms(pause);
    }
    return rh_cli_fail(publish->cli, publish->refused ? RH_EXIT_REFUSED : RH_EXIT_NODE,
                       "%s; it may or may not be published: try again with --id '%s'",
                       publish->last.text, publish->id);
}

static enum rh_exit prepare(struct publish *publish, const struct state *state)
{
    if (!rh_key_valid(publish->key)) {
        return rh_cli_fail(publish->cli, RH_EXIT_USAGE,
                           "KEY: a key is 1 to %d bytes of UTF-8 without control characters",
                           RH_KEY_SIZE_MAX);
    }
    int rv = rh_url_channel_path(publish->key, "messages", publish->path, sizeof(publish->path));
    if (rv != 0) {
        return rh_cli_fail(publish->cli, RH_EXIT_USAGE, "KEY: %s", rh_error_text(rv));
    }
    if (state->id != NULL) {
        (void)snprintf(publish->id, sizeof(publish->id), "%s", state->id);
    } else {
        rh_id64_format(rh_random_number(), publish->id);
    }
    struct rh_cli_http *request = &publish->request;
    request->post = true;
    (void)snprintf(request->headers[0], sizeof(request->headers[0]), "Idempotency-Key: %s",
                   publish->id);
    (void)snprintf(request->headers[1], sizeof(request->headers[1]), "Content-Type: %s",
                   state->content_type != NULL ? state->content_type : "text/plain; charset=utf-8");
    request->headers_count = 2;
    return RH_EXIT_DONE;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    uint64_t deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(cli, TIMEOUT_MS);
    struct publish publish = {.cli = cli, .key = rh_bytes_text(operands[0])};
    struct rh_buffer data = {0};
    enum rh_exit code = prepare(&publish, context);
    if (code == RH_EXIT_DONE && operands_count == 1) {
        code = rh_cli_read_input(cli, &data);
        publish.request.body = rh_buffer_content(&data);
        deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(cli, TIMEOUT_MS);
    } else if (code == RH_EXIT_DONE) {
        publish.request.body = rh_bytes_text(operands[1]);
    }
    if (code == RH_EXIT_DONE) {
        code = publish_until(&publish, deadline_ms);
    }
    rh_targets_finish(&publish.targets);
    rh_cli_http_finish(&publish.request, 1);
    rh_buffer_finish(&data);
    return code;
}

const struct rh_command rh_command_publish = {
    .name = "publish",
    .summary = "publish a message to a channel",
    .synopsis = "publish [--id ID] [--type text|json|binary] KEY [DATA]",
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
            "Options:\n"
            "      --id ID       message id: 1 to 128 printable ASCII characters; random when not "
            "given\n"
            "      --type TYPE   what DATA is: text (default), json (one JSON value) or binary\n"
            "\n"
            "Example:\n"
            "  ringhop publish user:42 'hello'\n"
            "  jq -c .payload order.json | ringhop publish --type json --id order-17 user:42\n"
            "\n"
            "JSON: {\"seq\":9,\"incarnation\":\"...\",\"node\":\"n1\",\"connections\":3,"
            "\"duplicate\":false}\n"
            "Exit code 5: no node could be reached; 6: refused.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
