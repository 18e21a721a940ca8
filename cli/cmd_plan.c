/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/plan.h"
#include "cli/snapshot.h"

#include <stdio.h>

#define CHANGES_MAX 256

struct state {
    bool offline;
    struct rh_plan_change changes[CHANGES_MAX];
    size_t changes_count;
};

enum { OPTION_ADD = 256, OPTION_REMOVE, OPTION_WEIGHT, OPTION_OFFLINE };

static const struct option options[] = {
    {"add", required_argument, NULL, OPTION_ADD},
    {"remove", required_argument, NULL, OPTION_REMOVE},
    {"weight", required_argument, NULL, OPTION_WEIGHT},
    {"offline", no_argument, NULL, OPTION_OFFLINE},
    {0},
};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_OFFLINE) {
        state->offline = true;
        return 0;
    }
    if (state->changes_count == CHANGES_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "more than %d changes in one plan", CHANGES_MAX);
    }
    enum rh_plan_kind kind = RH_PLAN_ADD;
    if (option != OPTION_ADD) {
        kind = option == OPTION_REMOVE ? RH_PLAN_REMOVE : RH_PLAN_WEIGHT;
    }
    int rv = rh_plan_change_parse(kind, value, &state->changes[state->changes_count], reason);
    state->changes_count += rv == 0;
    return rv;
}

static enum rh_exit print_json(const struct rh_cli *cli, const struct rh_plan *plan,
                               const struct rh_view *view, bool offline)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < plan->nodes_count && nodes != NULL; i++) {
        const struct rh_plan_node *node = &plan->nodes[i];
        json_t *item =
            json_pack("{s:s, s:o, s:o}", "node", node->id, "before", rh_output_share(node->before),
                      "after", rh_output_share(node->after));
        if (json_array_append_new(nodes, item) != 0) {
            json_decref(nodes);
            nodes = NULL;
        }
    }
    json_t *epoch = offline ? json_null() : json_integer(view->epoch.pzxid);
    return rh_output_json(cli, json_pack("{s:o, s:o, s:o, s:o}", "epoch", epoch, "moved",
                                         rh_output_share(plan->moved), "modulo_moved",
                                         rh_output_share(plan->modulo_moved), "nodes", nodes));
}

static enum rh_exit print_table(const struct rh_cli *cli, const struct rh_plan *plan)
{
    static const struct rh_output_column columns[] = {
        {"NODE", false}, {"BEFORE", true}, {"AFTER", true}, {"CHANGE", true}};
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    char before[RH_OUTPUT_SHARE_SIZE];
    char after[RH_OUTPUT_SHARE_SIZE];
    for (size_t i = 0; i < plan->nodes_count; i++) {
        const struct rh_plan_node *node = &plan->nodes[i];
        char change[RH_OUTPUT_SHARE_SIZE];
        rh_output_share_format(node->before, before);
        rh_output_share_format(node->after, after);
        (void)snprintf(change, sizeof(change), "%+.1f %%", (node->after - node->before) * 100);
        const char *const texts[] = {node->id, before, after, change};
        rh_output_table_row(table, texts);
    }
    enum rh_exit code = rh_output_table_finish(cli, table);
    if (code == RH_EXIT_DONE) {
        rh_output_share_format(plan->moved, before);
        rh_output_share_format(plan->modulo_moved, after);
        (void)printf("\n%s of the keys would get another owner.\n"
                     "Placed by hash modulo the number of nodes, %s would.\n",
                     before, after);
    }
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    (void)operands;
    const struct state *state = context;
    if (state->changes_count == 0) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "what to plan is missing: --add, --remove or --weight; see `ringhop "
                           "plan --help`");
    }
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_for(cli, state->offline, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    struct rh_plan plan;
    struct rh_reason reason = {""};
    int rv = rh_plan_create(view, state->changes, state->changes_count, &plan, &reason);
    if (rv == RH_ERR_NO_MEMORY) {
        code = rh_cli_fail_no_memory(cli);
    } else if (rv != 0) {
        code = rh_cli_fail(cli, RH_EXIT_REFUSED, "%s", reason.text);
    } else {
        code = cli->json ? print_json(cli, &plan, view, state->offline) : print_table(cli, &plan);
        rh_plan_finish(&plan);
    }
    rh_view_give(view);
    return code;
}

const struct rh_command rh_command_plan = {
    .name = "plan",
    .summary = "what a change of membership would move; nothing is done",
    .synopsis = "plan [--add ID[:WEIGHT]]... [--remove ID]... [--weight ID:WEIGHT]... [--offline]",
    .help =
        "Computes the ring as it would be after the changes: the share of each node before and\n"
        "after, and the share of all keys that would get another owner. Nothing is changed, and\n"
        "the nodes to add need not exist.\n"
        "\n"
        "Options:\n"
        "      --add ID[:WEIGHT]    a node that is not in the ring joins it (weight 1)\n"
        "      --remove ID          a node leaves the ring\n"
        "      --weight ID:WEIGHT   a node gets another weight\n"
        "      --offline            ask no ZooKeeper: go by the nodes of the config file\n"
        "\n"
        "For comparison it says what simple hashing would move, where a key belongs to the node\n"
        "at place hash modulo N in the list of N nodes sorted by name. That number is exact, not\n"
        "sampled: over one period of both moduli, the share of hashes whose node differs before\n"
        "and after. Simple hashing knows no weights.\n"
        "\n"
        "Example:\n"
        "  ringhop plan --add n4\n"
        "  ringhop plan --add n4:2 --remove n1\n"
        "\n"
        "JSON: {\"epoch\":57,\"moved\":0.249,\"modulo_moved\":0.75,\n"
        "      \"nodes\":[{\"node\":\"n4\",\"before\":0,\"after\":0.249}]}\n"
        "Exit code 6: a change does not fit the ring, such as removing a node that is not in it.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .run = run,
};
