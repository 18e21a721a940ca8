/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/http.h"
#include "cli/output.h"
#include "cli/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_TIMEOUT_MS 1000U /* a node that is slower is shown without numbers */

/* One line: a registration, or a node that is in the file and not registered. */
struct line {
    const char *node;
    uint64_t instance; /* 0: not registered */
    const char *state;
    uint32_t weight_milli;
    const char *zone;
    const char *url;
    const char *peer;
    bool counted; /* it answered */
    json_int_t channels;
    json_int_t connections;
};

struct lines {
    struct line *lines;
    struct rh_cli_http *requests; /* of the first |registered| lines */
    size_t count;
    size_t registered;
};

static void add_registered(struct lines *lines, const struct rh_view *view)
{
    for (size_t i = 0; i < view->members_count; i++) {
        const struct rh_registration *member = &view->members[i];
        lines->lines[i] = (struct line){
            .node = member->id,
            .instance = member->instance,
            .state = member->weight_milli > 0 ? "member" : "outside",
            .weight_milli = member->weight_milli,
            .zone = member->zone,
            .url = member->url,
            .peer = member->peer,
        };
        rh_cli_http_admin_url(member, "/v1/status", lines->requests[i].url);
    }
    lines->count = view->members_count;
    lines->registered = view->members_count;
}

static void add_absent(struct lines *lines, const struct rh_config *config,
                       const struct rh_view *view)
{
    for (size_t i = 0; i < config->nodes_count; i++) {
        const struct rh_config_node *node = &config->nodes[i];
        if (rh_view_find(view, node->id) != RH_RING_NONE) {
            continue;
        }
        lines->lines[lines->count] = (struct line){
            .node = node->id,
            .state = "absent",
            .weight_milli = node->weight_milli,
            .zone = node->zone,
            .url = node->advertise,
            .peer = node->peer_advertise,
        };
        lines->count++;
    }
}

static void count(struct lines *lines)
{
    for (size_t i = 0; i < lines->registered; i++) {
        const struct rh_cli_http *request = &lines->requests[i];
        json_t *status =
            request->answered && request->status == 200 ? rh_cli_http_json(request) : NULL;
        const char *node = json_string_value(json_object_get(status, "node"));
        const json_t *channels = json_object_get(status, "channels");
        const json_t *connections = json_object_get(status, "connections");
        struct line *line = &lines->lines[i];
        /* The port may belong to somebody else by now. */
        if (node != NULL && strcmp(node, line->node) == 0 && json_is_integer(channels) &&
            json_is_integer(connections)) {
            line->counted = true;
            line->channels = json_integer_value(channels);
            line->connections = json_integer_value(connections);
        }
        json_decref(status);
    }
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *left = a;
    const struct line *right = b;
    return strcmp(left->node, right->node);
}

static json_t *line_json(const struct line *line)
{
    char url[RH_CLI_HTTP_URL_SIZE];
    rh_cli_http_url(line->url, "", url);
    return json_pack("{s:s, s:o, s:s, s:o, s:s, s:s, s:s, s:o, s:o}", "node", line->node,
                     "instance", rh_output_id64(line->instance), "state", line->state, "weight",
                     rh_output_weight(line->weight_milli), "zone", line->zone, "url", url, "peer",
                     line->peer, "channels",
                     line->counted ? json_integer(line->channels) : json_null(), "connections",
                     line->counted ? json_integer(line->connections) : json_null());
}

static enum rh_exit print_json(const struct rh_cli *cli, const struct lines *lines,
                               const struct rh_view *view)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < lines->count; i++) {
        rh_output_append(&nodes, line_json(&lines->lines[i]));
    }
    return rh_output_json(
        cli, json_pack("{s:I, s:o}", "epoch", (json_int_t)view->epoch.pzxid, "nodes", nodes));
}

static void add_row(struct rh_output_table *table, const struct line *line)
{
    char weight[RH_WEIGHT_TEXT_SIZE];
    char channels[24] = "";
    char connections[24] = "";
    char instance[RH_ID64_SIZE] = "";
    rh_weight_format(line->weight_milli, weight);
    if (line->counted) {
        (void)snprintf(channels, sizeof(channels), "%lld", (long long)line->channels);
        (void)snprintf(connections, sizeof(connections), "%lld", (long long)line->connections);
    }
    if (line->instance != 0) {
        rh_id64_format(line->instance, instance);
    }
    const char *const texts[] = {line->node,  line->state, weight,     line->zone, channels,
                                 connections, line->url,   line->peer, instance};
    rh_output_table_row(table, texts);
}

static enum rh_exit print_table(const struct rh_cli *cli, const struct lines *lines)
{
    static const struct rh_output_column columns[] = {
        {"NODE", false}, {"STATE", false},   {"WEIGHT", true},
        {"ZONE", false}, {"CHANNELS", true}, {"CONNECTIONS", true},
        {"URL", false},  {"PEER", false},    {"INSTANCE", false}};
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < lines->count; i++) {
        add_row(table, &lines->lines[i]);
    }
    return rh_output_table_finish(cli, table);
}

static enum rh_exit collect(const struct rh_cli *cli, const struct rh_view *view,
                            struct lines *lines)
{
    lines->lines = calloc(view->members_count + cli->config.nodes_count + 1, sizeof(*lines->lines));
    lines->requests = calloc(view->members_count + 1, sizeof(*lines->requests));
    if (lines->lines == NULL || lines->requests == NULL) {
        return rh_cli_fail_no_memory(cli);
    }
    add_registered(lines, view);
    if (rh_cli_http_perform(lines->requests, lines->registered,
                            rh_cli_timeout_ms(cli, STATUS_TIMEOUT_MS)) != 0) {
        return rh_cli_fail_no_memory(cli);
    }
    count(lines);
    add_absent(lines, &cli->config, view);
    qsort(lines->lines, lines->count, sizeof(lines->lines[0]), compare_lines);
    return RH_EXIT_DONE;
}

static enum rh_exit run(struct rh_cli *cli, void *state, int operands_count, char **operands)
{
    (void)state;
    (void)operands_count;
    (void)operands;
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_for(cli, false, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    struct lines lines = {0};
    code = collect(cli, view, &lines);
    if (code == RH_EXIT_DONE) {
        code = cli->json ? print_json(cli, &lines, view) : print_table(cli, &lines);
    }
    if (lines.requests != NULL) {
        rh_cli_http_finish(lines.requests, lines.registered);
    }
    free(lines.requests);
    free(lines.lines);
    rh_view_give(view);
    return code;
}

const struct rh_command rh_command_nodes = {
    .name = "nodes",
    .summary = "the nodes: registered or not, and how busy",
    .synopsis = "nodes",
    .help =
        "Lists the registered nodes, and those of the config file that are not registered. A\n"
        "registered node is asked at its admin address how many channels and connections it has;\n"
        "`-` (null in JSON): it cannot be reached from here.\n"
        "\n"
        "States:\n"
        "  member    takes part in the ring\n"
        "  outside   alive, with weight 0: drained, or has not joined yet\n"
        "  absent    in the config file, but not registered: it does not run, or cannot reach\n"
        "            ZooKeeper\n"
        "\n"
        "Example:\n"
        "  ringhop nodes\n"
        "\n"
        "JSON: {\"epoch\":57,\"nodes\":[{\"node\":\"n1\",\"instance\":\"...\",\"state\":\"member\","
        "\"weight\":1,\n"
        "      \"zone\":\"a\",\"url\":\"...\",\"peer\":\"...\",\"channels\":12,"
        "\"connections\":34}]}",
    .run = run,
};
