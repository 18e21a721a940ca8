/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/plan_ask.h"
#include "cli/plan_problems.h"
#include "cli/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

struct state {
    bool offline;
    struct rh_proposal proposal; /* its changes */
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
    struct rh_proposal *proposal = &state->proposal;
    if (option == OPTION_OFFLINE) {
        state->offline = true;
        return 0;
    }
    if (proposal->changes_count == RH_PROPOSAL_CHANGES_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "more than %d changes in one plan",
                       RH_PROPOSAL_CHANGES_MAX);
    }
    enum rh_change_kind kind = RH_CHANGE_ADD;
    if (option != OPTION_ADD) {
        kind = option == OPTION_REMOVE ? RH_CHANGE_REMOVE : RH_CHANGE_WEIGHT;
    }
    int rv = rh_change_parse(kind, rh_bytes_text(value),
                             &proposal->changes[proposal->changes_count], reason);
    proposal->changes_count += rv == 0;
    return rv;
}

/* What an --add left open: a registered node has a zone; one of the file has a zone and a weight. */
static void complete_change(struct rh_change *change, const struct rh_view *view,
                            const struct rh_config *config)
{
    const struct rh_config_node *listed = rh_config_node_find(config, change->id);
    uint32_t index = rh_view_find(view, change->id);
    if (change->kind != RH_CHANGE_ADD) {
        return;
    }
    if (index != RH_RING_NONE) {
        (void)snprintf(change->zone, sizeof(change->zone), "%s", view->members[index].zone);
    } else if (listed != NULL && change->zone[0] == '\0') {
        (void)snprintf(change->zone, sizeof(change->zone), "%s", listed->zone);
    }
    if (change->weight_milli == 0) {
        bool has_weight = listed != NULL && listed->weight_milli > 0;
        change->weight_milli = has_weight ? listed->weight_milli : RH_WEIGHT_ONE;
    }
}

/* ---- JSON ---- */

/* NULL stands for what is not known. */
static json_t *count_json(bool known, uint64_t count)
{
    return known ? json_integer((json_int_t)count) : json_null();
}

static json_t *load_json(bool known, const struct rh_plan_load *load)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "channels", count_json(known, load->channels),
                     "connections", count_json(known, load->connections), "bytes",
                     count_json(known, load->bytes), "copies", count_json(known, load->copies));
}

static json_t *node_json(const struct rh_plan *plan, const struct rh_plan_node *node)
{
    const struct rh_plan_load *limits = &node->limits;
    return json_pack("{s:s, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "node", node->id,
                     "before", rh_output_share(node->before), "after", rh_output_share(node->after),
                     "zone", node->zone, "registered", (int)node->registered, "weight_before",
                     rh_output_weight(node->weight_before_milli), "weight_after",
                     rh_output_weight(node->weight_after_milli), "load_before",
                     load_json(node->counted, &node->load_before), "load_after",
                     load_json(plan->counted, &node->load_after), "limits",
                     json_pack("{s:o, s:o, s:o}", "channels",
                               count_json(limits->channels > 0, limits->channels), "connections",
                               count_json(limits->connections > 0, limits->connections), "copies",
                               count_json(limits->copies > 0, limits->copies)),
                     "seconds", node->counted ? json_real(node->seconds) : json_null());
}

static json_t *move_json(const struct rh_plan_move *move)
{
    json_t *item = json_pack("{s:s, s:s}", "from", move->from, "to", move->to);
    json_t *load = load_json(true, &move->load);
    if (json_object_update(item, load) != 0) {
        json_decref(item);
        item = NULL;
    }
    json_decref(load);
    return item;
}

static json_t *problem_json(const struct rh_plan_problem *problem)
{
    return json_pack("{s:s, s:o, s:s}", "code", problem->code, "node",
                     rh_output_text(problem->node[0] == '\0' ? NULL : problem->node), "text",
                     problem->text);
}

/* A plan, as it is told. */
struct told {
    const struct rh_cli *cli;
    const struct rh_view *view;
    const struct rh_plan *plan;
    const struct rh_plan_problems *problems;
    const char *id; /* NULL: offline */
};

static enum rh_exit print_json(const struct told *told)
{
    const struct rh_plan *plan = told->plan;
    json_t *nodes = json_array();
    json_t *moves = json_array();
    json_t *problems = json_array();
    for (size_t i = 0; i < plan->nodes_count; i++) {
        rh_output_append(&nodes, node_json(plan, &plan->nodes[i]));
    }
    for (size_t i = 0; i < plan->moves_count; i++) {
        rh_output_append(&moves, move_json(&plan->moves[i]));
    }
    for (size_t i = 0; i < told->problems->count; i++) {
        rh_output_append(&problems, problem_json(&told->problems->items[i]));
    }
    bool online = told->id != NULL;
    return rh_output_json(
        told->cli,
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "epoch",
                  online ? json_integer(told->view->epoch.pzxid) : json_null(), "moved",
                  rh_output_share(plan->moved), "modulo_moved", rh_output_share(plan->modulo_moved),
                  "nodes", nodes, "plan", rh_output_text(told->id), "generation",
                  online ? json_integer((json_int_t)told->view->epoch.generation) : json_null(),
                  "counted", (int)plan->counted, "total", load_json(plan->counted, &plan->total),
                  "sent_bytes", count_json(plan->counted, plan->sent_bytes), "seconds",
                  plan->counted ? json_real(plan->seconds) : json_null(), "moves", moves,
                  "problems", problems));
}

/* ---- for people ---- */

#define CELL_SIZE 64

static void format_bytes(uint64_t bytes, char out[static CELL_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, CELL_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* "12 > 9", or "12" where nothing changes; empty where it is not known. */
static void format_change(bool known, uint64_t before, uint64_t after, char out[static CELL_SIZE])
{
    if (!known) {
        out[0] = '\0';
    } else if (before == after) {
        (void)snprintf(out, CELL_SIZE, "%" PRIu64, before);
    } else {
        (void)snprintf(out, CELL_SIZE, "%" PRIu64 " > %" PRIu64, before, after);
    }
}

static void add_row(struct rh_output_table *table, const struct told *told,
                    const struct rh_plan_node *node)
{
    char before[RH_OUTPUT_SHARE_SIZE];
    char after[RH_OUTPUT_SHARE_SIZE];
    char change[RH_OUTPUT_SHARE_SIZE];
    char channels[CELL_SIZE];
    char connections[CELL_SIZE];
    char copies[CELL_SIZE];
    char bytes_before[CELL_SIZE];
    char bytes[2 * CELL_SIZE + 4] = "";
    bool known = told->plan->counted;
    const struct rh_plan_load *old = &node->load_before;
    const struct rh_plan_load *new = &node->load_after;
    rh_output_share_format(node->before, before);
    rh_output_share_format(node->after, after);
    (void)snprintf(change, sizeof(change), "%+.1f %%", (node->after - node->before) * 100);
    format_change(known, old->channels, new->channels, channels);
    format_change(known, old->connections, new->connections, connections);
    format_change(known, old->copies, new->copies, copies);
    if (known) {
        char bytes_after[CELL_SIZE];
        format_bytes(old->bytes, bytes_before);
        format_bytes(new->bytes, bytes_after);
        bool same = old->bytes == new->bytes;
        (void)snprintf(bytes, sizeof(bytes), "%s%s%s", bytes_before, same ? "" : " > ",
                       same ? "" : bytes_after);
    }
    const char *const texts[] = {node->id, node->zone,  before, after, change,
                                 channels, connections, bytes,  copies};
    rh_output_table_row(table, texts);
}

static void print_total(const struct told *told)
{
    const struct rh_plan *plan = told->plan;
    char bytes[CELL_SIZE];
    char sent[CELL_SIZE];
    format_bytes(plan->total.bytes, bytes);
    format_bytes(plan->sent_bytes, sent);
    (void)printf("%" PRIu64 " channels with %" PRIu64 " connections and %s would go to another "
                 "node.\n",
                 plan->total.channels, plan->total.connections, bytes);
    if (plan->one_copy) {
        (void)printf("They would start empty there: these nodes keep one copy.\n");
        return;
    }
    (void)printf("For that, and to have %" PRIu32 " copies of each, %" PRIu64
                 " copies would be sent (%s): about %.1f s at the set pace.\n",
                 plan->replicas, plan->total.copies, sent, plan->seconds);
}

static enum rh_exit print_table(const struct told *told)
{
    static const struct rh_output_column columns[] = {
        {"NODE", false},       {"ZONE", false},  {"BEFORE", true},
        {"AFTER", true},       {"CHANGE", true}, {"CHANNELS", true},
        {"CONNECTIONS", true}, {"BYTES", true},  {"COPIES", true}};
    const struct rh_plan *plan = told->plan;
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    char moved[RH_OUTPUT_SHARE_SIZE];
    char modulo[RH_OUTPUT_SHARE_SIZE];
    for (size_t i = 0; i < plan->nodes_count; i++) {
        add_row(table, told, &plan->nodes[i]);
    }
    enum rh_exit code = rh_output_table_finish(told->cli, table);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    rh_output_share_format(plan->moved, moved);
    rh_output_share_format(plan->modulo_moved, modulo);
    (void)printf("\n%s of the keys would get another owner.\n"
                 "Placed by hash modulo the number of nodes, %s would.\n",
                 moved, modulo);
    if (plan->counted) {
        print_total(told);
    }
    for (size_t i = 0; i < told->problems->count; i++) {
        const struct rh_plan_problem *problem = &told->problems->items[i];
        (void)printf("%s%s: %s\n", i == 0 ? "\n" : "", problem->code, problem->text);
    }
    if (told->id != NULL) {
        (void)printf("\nTo do this, as long as nothing else changes:\n"
                     "  ringhop apply --wait %s\n",
                     told->id);
    }
    return RH_EXIT_DONE;
}

/* ---- the command ---- */

static enum rh_exit fail_plan(const struct rh_cli *cli, int rv, const struct rh_reason *reason)
{
    return rv == RH_ERR_NO_MEMORY ? rh_cli_fail_no_memory(cli)
                                  : rh_cli_fail(cli, RH_EXIT_REFUSED, "%s", reason->text);
}

static enum rh_exit ask_and_print(struct told *told, const struct state *state,
                                  struct rh_plan *plan)
{
    char id[RH_PROPOSAL_TEXT_SIZE];
    struct rh_reason reason = {""};
    enum rh_exit code = RH_EXIT_DONE;
    if (!state->offline) {
        int rv = rh_proposal_format(&state->proposal, id, &reason);
        if (rv != 0) {
            return fail_plan(told->cli, rv, &reason);
        }
        told->id = id;
        code = rh_plan_ask(told->cli, told->view, id, plan);
    }
    if (code != RH_EXIT_DONE) {
        return code;
    }
    struct rh_plan_problems problems;
    told->problems = &problems;
    if (rh_plan_problems_find(plan, state->offline, &problems) != 0) {
        code = rh_cli_fail_no_memory(told->cli);
    } else {
        code = told->cli->json ? print_json(told) : print_table(told);
    }
    rh_plan_problems_finish(&problems);
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    (void)operands;
    struct state *state = context;
    struct rh_proposal *proposal = &state->proposal;
    if (proposal->changes_count == 0) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "what to plan is missing: --add, --remove or --weight; see `ringhop "
                           "plan --help`");
    }
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_for(cli, state->offline, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    proposal->epoch = view->epoch;
    proposal->digest = rh_ring_digest(view->ring);
    for (size_t i = 0; i < proposal->changes_count; i++) {
        complete_change(&proposal->changes[i], view, &cli->config);
    }
    struct rh_plan plan;
    struct rh_reason reason = {""};
    int rv = rh_plan_create(view, proposal->changes, proposal->changes_count, &plan, &reason);
    if (rv != 0) {
        code = fail_plan(cli, rv, &reason);
    } else {
        struct told told = {.cli = cli, .view = view, .plan = &plan};
        code = ask_and_print(&told, state, &plan);
        rh_plan_finish(&plan);
    }
    rh_view_give(view);
    return code;
}

const struct rh_command rh_command_plan = {
    .name = "plan",
    .summary = "what a change of membership would move; nothing is done",
    .synopsis = "plan [--add ID[:WEIGHT[:ZONE]]]... [--remove ID]... [--weight ID:WEIGHT]... "
                "[--offline]",
    .help =
        "Computes the ring as it would be after the changes, and asks the nodes at their admin\n"
        "listeners what that would do to their channels: the share of each node before and after,\n"
        "its channels, connections, bytes and copies, what would be sent, and how long that takes\n"
        "at the set pace. Says what speaks against it: zones, limits, also if one more node were\n"
        "lost. Nothing is changed, and the nodes to add need not exist.\n"
        "\n"
        "The last line has the id of the plan, for `ringhop apply`. It carries the plan, and is "
        "of\n"
        "use as long as the epoch of the cluster is the same.\n"
        "\n"
        "Options:\n"
        "      --add ID[:WEIGHT[:ZONE]]   a node that is not in the ring joins it. What is not\n"
        "                           said is as it registered, or as the config file has it; else\n"
        "                           weight 1, no zone\n"
        "      --remove ID          a node leaves the ring\n"
        "      --weight ID:WEIGHT   a node gets another weight\n"
        "      --offline            ask nobody: go by the nodes of the config file, and say what\n"
        "                           the ring alone says\n"
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
        "      \"nodes\":[{\"node\":\"n4\",\"before\":0,\"after\":0.249,...}],"
        "\"plan\":\"1:57:...\",...};\n"
        "docs/operations.md has all of it. What is not known is null.\n"
        "Exit code 6: a change does not fit the ring, such as removing a node that is not in it,\n"
        "or the cluster changed while the nodes were asked.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .run = run,
};
