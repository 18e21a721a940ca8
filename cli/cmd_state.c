/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "proto/payload.h"
#include "router/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    state->content_type = rh_ask_content_type(value);
    if (state->content_type != NULL) {
        return 0;
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
struct call {
    struct rh_ask ask;
    enum action action;
};

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

static enum rh_exit print_document(const struct rh_ask *ask)
{
    const struct rh_cli_http *request = &ask->request;
    struct rh_bytes body = rh_buffer_content(&request->answer);
    if (!ask->cli->json) {
        bool written = body.size == 0 || fwrite(body.data, 1, body.size, stdout) == body.size;
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

static enum rh_exit print_written(const struct call *call)
{
    const struct rh_ask *ask = &call->ask;
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
                 call->action == ACTION_DELETE ? "deleted"
                 : ask->request.status == 201  ? "created"
                                               : "changed",
                 json_integer_value(json_object_get(answer, "version")),
                 json_string_value(json_object_get(answer, "node")));
    json_decref(answer);
    return RH_EXIT_DONE;
}

static enum rh_exit print_conflict(const struct rh_ask *ask)
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

/* What an answer ends with; one that may come out otherwise elsewhere or later ends nothing. A write
 * whose outcome is unknown ends it: a second one might meet the first one's version. */
static void take(struct rh_ask *ask, const struct rh_target *target)
{
    const struct rh_cli_http *request = &ask->request;
    const struct call *call = rh_container_of(ask, struct call, ask);
    bool writes = call->action != ACTION_GET;
    if (!request->answered) {
        if (writes && !request->unsent) {
            rh_ask_settle(ask, rh_cli_fail(ask->cli, RH_EXIT_NODE,
                                           "%s; it may or may not be done: see `ringhop state get`",
                                           ask->last.text));
        }
    } else if (request->status == 200 || request->status == 201) {
        rh_ask_settle(ask, writes ? print_written(call) : print_document(ask));
    } else if (request->status == 404) {
        rh_ask_settle(ask, rh_cli_fail(ask->cli, RH_EXIT_NO, "the channel has no state"));
    } else if (request->status == 412) {
        rh_ask_settle(ask, print_conflict(ask));
    } else {
        rh_ask_take_problem(ask, target);
        if (request->status == 504 && writes) {
            rh_ask_settle(ask, rh_cli_fail(ask->cli, RH_EXIT_REFUSED, "%s answers: %s",
                                           target->node, ask->last.text));
        }
    }
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

static void fill(struct call *call, const struct state *state)
{
    static const char *const methods[] = {
        [ACTION_GET] = NULL, [ACTION_SET] = "PUT", [ACTION_DELETE] = "DELETE"};
    struct rh_ask *ask = &call->ask;
    ask->request.method = methods[call->action];
    if (call->action == ACTION_SET) {
        rh_ask_header(ask, "Content-Type: %s",
                      state->content_type != NULL ? state->content_type
                                                  : rh_ask_content_type("text"));
    }
    if (state->if_absent) {
        rh_ask_header(ask, "If-None-Match: *");
    }
    if (state->if_version != 0) {
        rh_ask_header(ask, "If-Match: \"%" PRIu64 "\"", state->if_version);
    }
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    struct call call = {.ask = {.cli = cli, .key = rh_bytes_text(operands[1]), .take = take}};
    enum rh_exit code = find_action(cli, context, operands[0], operands_count, &call.action);
    if (code == RH_EXIT_DONE) {
        code = rh_ask_begin(&call.ask, "state");
    }
    if (code == RH_EXIT_DONE) {
        fill(&call, context);
        if (call.action == ACTION_SET && (operands_count == 2 || strcmp(operands[2], "-") == 0)) {
            code = rh_ask_read_body(&call.ask);
        } else if (operands_count > 2) {
            call.ask.request.body = rh_bytes_text(operands[2]);
        }
    }
    if (code == RH_EXIT_DONE) {
        code = rh_ask_run(&call.ask, "");
    }
    rh_ask_finish(&call.ask);
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
