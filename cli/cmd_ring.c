/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/http.h"
#include "cli/output.h"
#include "cli/snapshot.h"

#include <stdio.h>

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

/* As a node's /v1/ring: URLs are those for HTTP. */
static json_t *member_json(const struct rh_view *view, uint32_t index)
{
    const struct rh_registration *member = &view->members[index];
    char url[RH_CLI_HTTP_URL_SIZE];
    rh_cli_http_url(member->url, "", url);
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:s}", "node", member->id, "instance",
                     rh_output_id64(member->instance), "weight",
                     rh_output_weight(member->weight_milli), "zone", member->zone, "share",
                     rh_output_share(rh_ring_share(view->ring, index)), "url", url);
}

static enum rh_exit print_json(const struct rh_cli *cli, const struct rh_view *view, bool offline)
{
    char digest[RH_ID64_SIZE];
    rh_id64_format(rh_ring_digest(view->ring), digest);
    json_t *members = json_array();
    for (uint32_t i = 0; i < view->members_count; i++) {
        rh_output_append(&members, member_json(view, i));
    }
    json_t *generation = offline ? json_null() : json_integer((json_int_t)view->epoch.generation);
    json_t *epoch = offline ? json_null() : json_integer(view->epoch.pzxid);
    return rh_output_json(cli,
                          json_pack("{s:s, s:o, s:o, s:s, s:i, s:i, s:o}", "cluster",
                                    cli->config.cluster, "generation", generation, "epoch", epoch,
                                    "digest", digest, "vnodes", (int)view->config.vnodes,
                                    "replicas", (int)view->config.replicas, "members", members));
}

static void add_row(struct rh_output_table *table, const struct rh_view *view, uint32_t index)
{
    const struct rh_registration *member = &view->members[index];
    char weight[RH_WEIGHT_TEXT_SIZE];
    char share[RH_OUTPUT_SHARE_SIZE];
    char instance[RH_ID64_SIZE] = "";
    rh_weight_format(member->weight_milli, weight);
    rh_output_share_format(rh_ring_share(view->ring, index), share);
    if (member->instance != 0) {
        rh_id64_format(member->instance, instance);
    }
    const char *const texts[] = {member->id, weight, share, member->zone, member->url, instance};
    rh_output_table_row(table, texts);
}

static enum rh_exit print_table(const struct rh_cli *cli, const struct rh_view *view, bool offline)
{
    static const struct rh_output_column columns[] = {{"NODE", false}, {"WEIGHT", true},
                                                      {"SHARE", true}, {"ZONE", false},
                                                      {"URL", false},  {"INSTANCE", false}};
    char digest[RH_ID64_SIZE];
    rh_id64_format(rh_ring_digest(view->ring), digest);
    (void)printf("cluster %s, ", cli->config.cluster);
    if (offline) {
        (void)printf("as the config file has it");
    } else {
        (void)printf("epoch %lld of generation %llu", (long long)view->epoch.pzxid,
                     (unsigned long long)view->epoch.generation);
    }
    (void)printf(", digest %s, %u virtual nodes, %u replicas\n", digest, view->config.vnodes,
                 view->config.replicas);
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    for (uint32_t i = 0; i < view->members_count; i++) {
        add_row(table, view, i);
    }
    return rh_output_table_finish(cli, table);
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    (void)operands;
    const struct state *state = context;
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_for(cli, state->offline, &view);
    if (code == RH_EXIT_DONE) {
        code = cli->json ? print_json(cli, view, state->offline)
                         : print_table(cli, view, state->offline);
        rh_view_give(view);
    }
    return code;
}

const struct rh_command rh_command_ring = {
    .name = "ring",
    .summary = "the ring: members, weights and shares",
    .synopsis = "ring [--offline]",
    .help =
        "Shows the registered nodes, their weights, and the share of all keys that each owns. The\n"
        "digest stands for all that decides where keys go: two rings with the same digest place\n"
        "every key alike.\n"
        "\n"
        "Options:\n"
        "      --offline   ask no ZooKeeper: go by the nodes of the config file\n"
        "\n"
        "Example:\n"
        "  ringhop ring\n"
        "\n"
        "JSON: the same object as GET /v1/ring of a node; with --offline, generation, epoch and\n"
        "instance are null.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .run = run,
};
