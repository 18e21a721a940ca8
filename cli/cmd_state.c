/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/http.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/random.h"
#include "cli/targets.h"
#include "cli/url.h"
#include "proto/payload.h"
#include "router/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS     10000U
#define TRY_MS         7000U /* one node: it answers within 5 s that it does not know */
#define FIND_MS        2000U /* for ZooKeeper to say who the nodes are */
#define PAUSE_FIRST_MS 100U
#define PAUSE_MAX_MS   2000U

enum action { ACTION_GET, ACTION_SET, ACTION_DELETE };

struct state {
    const char *content_type; /* NULL: text */
    uint64_t if_version;      /* 0: not given */
    bool if_absent;
};

enum { OPTION_TYPE = 256, OPTION_IF_VERSION, OPTION_IF_ABSENT };

static const struct option options[] = {{"type", required_argument, NULL, OPTION_TYPE},
                                        {"if-version", required_argument, NULL, OPTION_IF_VERSION},
                                        {"if-absent", no_argument, NULL, OPTION_IF_ABSENT},
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
    bool fits = strchr(value, '/') != NULL && strlen(value) <= 200;
    for (const char *at = value; *at != '\0'; at++) {
        fits = fits && *at >= 0x20 && *at <= 0x7e;
    }
    if (!fits) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--type: `%s` is not text, json, binary or a content type", value);
    }
    state->content_type = value;
    return 0;
}

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_TYPE) {
        return take_type(state, value, reason);
    }
    if (option == OPTION_IF_ABSENT) {
        state->if_absent = true;
        return 0;
    }
    if (rh_bytes_to_u64(rh_bytes_text(value), INT64_MAX, &state->if_version) != 0 ||
        state->if_version == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "--if-version: `%s` is not a version", value);
    }
    return 0;
}

/* One request on its way to a node. */
struct ask {
    const struct rh_cli *cli;
    enum action action;
    struct rh_bytes key;
    char path[RH_CLI_HTTP_PATH_SIZE];
    struct rh_cli_http request;
    struct rh_targets targets;
    struct rh_reason last; /* why the last try failed */
    bool refused;          /* the last try was answered */
    bool settled;          /* |code| is what to end with */
    enum rh_exit code;
};

static void settle(struct ask *ask, enum rh_exit code)
{
    ask->settled = true;
    ask->code = code;
}

/* ---- answers ---- */

/* The document as `json`, `data` or `base64`, whichever it is. */
static int add_document(json_t *object, const char *content_type, struct rh_bytes body)
{
    json_t *value = strncmp(content_type, "application/json", 16) == 0
                        ? json_loadb(body.data, body.size, JSON_DECODE_ANY, NULL)
                        : NULL;
    if (value != NULL) {
        return json_object_set_new(object, "json", value);
    }
    value = json_stringn(body.size == 0 ? "" : body.data, body.size); /* NULL: not UTF-8 */
    if (value != NULL) {
        return json_object_set_new(object, "data", value);
    }
    char *text = malloc(rh_base64_size(body.size) + 1);
    if (text == NULL) {
        return -1;
    }
    (void)rh_base64_write(text, body);
    int rv = json_object_set_new(object, "base64", json_string(text));
    free(text);
    return rv;
}

static enum rh_exit print_document(const struct ask *ask)
{
    const struct rh_cli_http *request = &ask->request;
    struct rh_bytes body = rh_buffer_content(&request->answer);
    if (!ask->cli->json) {
        bool written = fwrite(body.data, 1, body.size, stdout) == body.size;
        return written ? RH_EXIT_DONE
                       : rh_cli_fail(ask->cli, RH_EXIT_USAGE, "the output cannot be written");
    }
    uint64_t version = 0;
    size_t size = strlen(request->etag);
    if (size < 3 ||
        rh_bytes_to_u64(rh_bytes(request->etag + 1, size - 2), INT64_MAX, &version) != 0) {
        return rh_cli_fail(ask->cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           request->url);
    }
    json_t *object = json_object();
    int rv = json_object_set_new(object, "key", json_stringn(ask->key.data, ask->key.size));
    rv |= json_object_set_new(object, "version", json_integer((json_int_t)version));
    rv |= json_object_set_new(object, "content_type", json_string(request->content_type));
    rv |= add_document(object, request->content_type, body);
    if (rv != 0) {
        json_decref(object);
        return rh_cli_fail_no_memory(ask->cli);
    }
    return rh_output_json(ask->cli, object);
}

static enum rh_exit print_written(const struct ask *ask)
{
    json_t *answer = rh_cli_http_json(&ask->request);
    if (answer == NULL) {
        return rh_cli_fail(ask->cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           ask->request.url);
    }
    if (ask->cli->json) {
        return rh_output_json(ask->cli, answer);
    }
    rh_output_escaped(ask->key);
    (void)printf(": %s, version %lld, at %s\n",
                 ask->action == ACTION_DELETE ? "deleted"
                 : ask->request.status == 201 ? "created"
                                              : "changed",
                 json_integer_value(json_object_get(answer, "version")),
                 json_string_value(json_object_get(answer, "node")));
    json_decref(answer);
    return RH_EXIT_DONE;
}

static enum rh_exit print_conflict(const struct ask *ask)
{
    json_t *problem = rh_cli_http_json(&ask->request);
    const json_t *version = json_object_get(problem, "version");
    enum rh_exit code = json_is_integer(version)
                            ? rh_cli_fail(ask->cli, RH_EXIT_REFUSED, "the state has version %lld",
                                          json_integer_value(version))
                            : rh_cli_fail(ask->cli, RH_EXIT_REFUSED, "the channel has no state");
    json_decref(problem);
    return code;
}

/* What an answer ends with; one that may come out otherwise elsewhere or later ends nothing. */
static void take_answer(struct ask *ask, const struct rh_target *target)
{
    unsigned status = ask->request.status;
    if (status == 200 || status == 201) {
        settle(ask, ask->action == ACTION_GET ? print_document(ask) : print_written(ask));
    } else if (status == 404) {
        settle(ask, rh_cli_fail(ask->cli, RH_EXIT_NO, "the channel has no state"));
    } else if (status == 412) {
        settle(ask, print_conflict(ask));
    } else {
        rh_cli_http_problem(&ask->request, &ask->last);
        bool is_unknown = status == 504 && ask->action != ACTION_GET;
        if (is_unknown || (status < 500 && status != 429)) {
            settle(ask, rh_cli_fail(ask->cli, RH_EXIT_REFUSED, "%s %s: %s", target->node,
                                    is_unknown ? "answers" : "refuses", ask->last.text));
        }
    }
}

/* ---- tries ---- */

static void try_node(struct ask *ask, const struct rh_target *target, uint32_t timeout_ms)
{
    struct rh_cli_http *request = &ask->request;
    rh_cli_http_url(target->url, ask->path, request->url);
    if (rh_cli_http_perform(request, 1, timeout_ms) != 0) {
        settle(ask, rh_cli_fail_no_memory(ask->cli));
        return;
    }
    ask->refused = request->answered;
    if (request->answered) {
        take_answer(ask, target);
        return;
    }
    (void)rh_fail(&ask->last, RH_ERR_UNREACHABLE, "%s: %s", target->node, request->reason.text);
    if (ask->action != ACTION_GET && !request->unsent) {
        /* A second one might meet the first one's version. */
        settle(ask, rh_cli_fail(ask->cli, RH_EXIT_NODE,
                                "%s; it may or may not be done: see `ringhop state get`",
                                ask->last.text));
    }
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Finds out who the nodes are. False: there is none. What was known stays when that fails. */
static bool find_targets(struct ask *ask, uint64_t deadline_ms)
{
    struct rh_targets targets;
    bool offline;
    uint32_t timeout_ms = smaller(rh_cli_left_ms(deadline_ms) / 2 + 1, FIND_MS);
    struct rh_reason reason = {""};
    int rv = rh_targets_find(&ask->cli->config, ask->key, timeout_ms, &targets, &offline, &reason);
    if (rv == 0) {
        rh_targets_finish(&ask->targets);
        ask->targets = targets;
    } else if (ask->targets.count == 0) {
        ask->last = reason;
    }
    return ask->targets.count > 0;
}

static enum rh_exit ask_until(struct ask *ask, uint64_t deadline_ms)
{
    for (uint32_t round = 0;; round++) {
        if (!ask->refused && !find_targets(ask, deadline_ms)) {
            return rh_cli_fail(ask->cli, RH_EXIT_NODE, "%s", ask->last.text);
        }
        for (size_t i = 0; i < ask->targets.count; i++) {
            uint32_t left_ms = rh_cli_left_ms(deadline_ms);
            if (left_ms > 0) {
                try_node(ask, &ask->targets.targets[i], smaller(left_ms, TRY_MS));
            }
            if (ask->settled) {
                return ask->code;
            }
        }
        uint32_t pause = rh_backoff_ms(round, PAUSE_FIRST_MS, PAUSE_MAX_MS, rh_random_number());
        if (rh_cli_left_ms(deadline_ms) <= pause) {
            break;
        }
        rh_cli_pause_ms(pause);
    }
    return rh_cli_fail(ask->cli, ask->refused ? RH_EXIT_REFUSED : RH_EXIT_NODE, "%s",
                       ask->last.text);
}

/* ---- the beginning ---- */

static enum rh_exit find_action(const struct rh_cli *cli, const struct state *state,
                                const char *name, int operands_count, enum action *ret_action)
{
    static const char *const names[] = {"get", "set", "delete"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_action = (enum action)i;
            bool is_set = *ret_action == ACTION_SET;
            if (!is_set &&
                (operands_count > 2 || state->content_type != NULL || state->if_absent)) {
                return rh_cli_fail(cli, RH_EXIT_USAGE, "DATA, --type and --if-absent are of `set`");
            }
            if (*ret_action == ACTION_GET && state->if_version != 0) {
                return rh_cli_fail(cli, RH_EXIT_USAGE, "--if-version is of `set` and `delete`");
            }
            if (state->if_absent && state->if_version != 0) {
                return rh_cli_fail(cli, RH_EXIT_USAGE,
                                   "--if-absent and --if-version exclude "
                                   "each other");
            }
            return RH_EXIT_DONE;
        }
    }
    return rh_cli_fail(cli, RH_EXIT_USAGE, "`%s` is not get, set or delete", name);
}

static void add_headers(struct rh_cli_http *request, enum action action, const struct state *state)
{
    size_t size = sizeof(request->headers[0]);
    if (action == ACTION_SET) {
        (void)snprintf(request->headers[request->headers_count++], size, "Content-Type: %s",
                       state->content_type != NULL ? state->content_type
                                                   : "text/plain; charset=utf-8");
    }
    if (state->if_absent) {
        (void)snprintf(request->headers[request->headers_count++], size, "If-None-Match: *");
    }
    if (state->if_version != 0) {
        (void)snprintf(request->headers[request->headers_count++], size,
                       "If-Match: \"%" PRIu64 "\"", state->if_version);
    }
}

static enum rh_exit prepare(struct ask *ask, const struct state *state)
{
    if (!rh_key_valid(ask->key)) {
        return rh_cli_fail(ask->cli, RH_EXIT_USAGE,
                           "KEY: a key is 1 to %d bytes of UTF-8 without control characters",
                           RH_KEY_SIZE_MAX);
    }
    int rv = rh_url_channel_path(ask->key, "state", ask->path, sizeof(ask->path));
    if (rv != 0) {
        return rh_cli_fail(ask->cli, RH_EXIT_USAGE, "KEY: %s", rh_error_text(rv));
    }
    add_headers(&ask->request, ask->action, state);
    ask->request.method = ask->action == ACTION_SET      ? "PUT"
                          : ask->action == ACTION_DELETE ? "DELETE"
                                                         : NULL;
    return RH_EXIT_DONE;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    uint64_t deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(cli, TIMEOUT_MS);
    struct ask ask = {.cli = cli, .key = rh_bytes_text(operands[1])};
    struct rh_buffer data = {0};
    enum rh_exit code = find_action(cli, context, operands[0], operands_count, &ask.action);
    if (code == RH_EXIT_DONE) {
        code = prepare(&ask, context);
    }
    bool reads = ask.action == ACTION_SET && (operands_count == 2 || strcmp(operands[2], "-") == 0);
    if (code == RH_EXIT_DONE && reads) {
        code = rh_cli_read_input(cli, &data);
        ask.request.body = rh_buffer_content(&data);
        deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(cli, TIMEOUT_MS);
    } else if (operands_count > 2) {
        ask.request.body = rh_bytes_text(operands[2]);
    }
    if (code == RH_EXIT_DONE) {
        code = ask_until(&ask, deadline_ms);
    }
    rh_targets_finish(&ask.targets);
    rh_cli_http_finish(&ask.request, 1);
    rh_buffer_finish(&data);
    return code;
}

const struct rh_command rh_command_state = {
    .name = "state",
    .summary = "read or write the state document of a channel",
    .synopsis = "state get|set|delete [--type TYPE] [--if-version N|--if-absent] KEY [DATA]",
    .help =
        "get prints the state document of the channel KEY as it is. set puts DATA, or all of the\n"
        "standard input (also for `-`), in its place. delete removes it.\n"
        "\n"
        "Every change makes a new version; with a condition it is made only if nobody was "
        "faster.\n"
        "\n"
        "Options:\n"
        "      --type TYPE      what DATA is: text (default), json, binary, or a content type\n"
        "      --if-version N   only if the state has version N now (set, delete)\n"
        "      --if-absent      only if there is no state now (set)\n"
        "\n"
        "Example:\n"
        "  ringhop state get doc:8f3\n"
        "  ringhop state set --type json --if-version 7 doc:8f3 '{\"title\":\"Plan\"}'\n"
        "  ringhop state delete --if-version 8 doc:8f3\n"
        "\n"
        "JSON: get {\"key\":\"doc:8f3\",\"version\":7,\"content_type\":\"...\",\"data\":\"...\"}, "
        "with json\n"
        "or base64 in place of data; set, delete "
        "{\"version\":8,\"incarnation\":\"...\",\"node\":\"n1\"}\n"
        "Exit code 1: there is no state (get, delete); 5: no node could be reached; 6: refused, or "
        "the\n"
        "condition does not hold.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 2,
    .operands_max = 3,
    .run = run,
};
