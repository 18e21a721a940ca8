/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "drill/process.h"
#include "drill/report.h"
#include "drill/run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_CHANNELS = 256,
    OPTION_CONNECTIONS,
    OPTION_KEEP,
    OPTION_PAYLOAD,
    OPTION_RATE,
    OPTION_REPORT,
    OPTION_SETTLE,
    OPTION_WORKERS,
};

#define AMOUNTS     6
#define NUMBER_SIZE 32
#define NAME_SIZE   128 /* of the path of a scenario that came with the program */

struct options {
    const char *amounts[AMOUNTS]; /* as given; NULL: as the scenario has it */
    const char *report;
    bool keep;
};

static const struct option long_options[] = {
    {"channels", required_argument, NULL, OPTION_CHANNELS},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"keep", no_argument, NULL, OPTION_KEEP},
    {"payload", required_argument, NULL, OPTION_PAYLOAD},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"settle", required_argument, NULL, OPTION_SETTLE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {0},
};

/* Options that stand above a field of the scenario. */
static const struct {
    int option;
    const char *field; /* path in the scenario */
} overrides[AMOUNTS] = {
    {OPTION_CHANNELS, "load.channels"}, {OPTION_CONNECTIONS, "load.connections"},
    {OPTION_PAYLOAD, "load.payload"},   {OPTION_RATE, "load.rate"},
    {OPTION_SETTLE, "settle"},          {OPTION_WORKERS, "load.workers"},
};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct options *options = context;
    if (option == OPTION_KEEP) {
        options->keep = true;
        return 0;
    }
    if (option == OPTION_REPORT) {
        options->report = value;
        return 0;
    }
    for (size_t i = 0; i < AMOUNTS; i++) {
        if (overrides[i].option == option) {
            options->amounts[i] = value;
            return rh_scenario_check(overrides[i].field, value, reason);
        }
    }
    return 0;
}

/* ---- the result for people ---- */

static uint64_t count_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void format_ms(const json_t *times, const char *name, char out[static NUMBER_SIZE])
{
    if (count_of(times, "count") == 0) {
        out[0] = '\0';
        return;
    }
    (void)snprintf(out, NUMBER_SIZE, "%.1f", json_number_value(json_object_get(times, name)));
}

static void format_count(const json_t *value, char out[static NUMBER_SIZE])
{
    out[0] = '\0';
    if (json_is_integer(value)) {
        (void)snprintf(out, NUMBER_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

static void add_step(struct rh_output_table *table, const json_t *step)
{
    const json_t *gap = json_object_get(step, "gap");
    const json_t *settled = json_object_get(step, "settled_ms");
    char settle[NUMBER_SIZE] = "";
    char expected[NUMBER_SIZE];
    char moved[NUMBER_SIZE];
    char p50[NUMBER_SIZE];
    char p99[NUMBER_SIZE];
    char max[NUMBER_SIZE];
    if (json_is_integer(settled)) {
        (void)snprintf(
            settle, sizeof(settle), "%.1f",
            (double)(json_integer_value(settled) - (json_int_t)count_of(step, "started_ms")) /
                1000.0);
    }
    format_count(json_object_get(step, "expected_moved"), expected);
    format_count(json_object_get(step, "actual_moved"), moved);
    format_ms(gap, "p50_ms", p50);
    format_ms(gap, "p99_ms", p99);
    format_ms(gap, "max_ms", max);
    const char *const texts[] = {
        json_string_value(json_object_get(step, "name")), settle, expected, moved, p50, p99, max};
    rh_output_table_row(table, texts);
}

static enum rh_exit print_steps(const struct rh_cli *cli, const json_t *result)
{
    static const struct rh_output_column columns[] = {
        {"STEP", false},      {"SECONDS", true},    {"SHOULD MOVE", true}, {"MOVED", true},
        {"GAP P50 ms", true}, {"GAP P99 ms", true}, {"GAP MAX ms", true},
    };
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(result, "steps"), i, step)
    {
        add_step(table, step);
    }
    return rh_output_table_finish(cli, table);
}

static void print_totals(const json_t *result)
{
    const json_t *totals = json_object_get(result, "totals");
    const json_t *latency = json_object_get(result, "publish_latency");
    char p50[NUMBER_SIZE];
    char p99[NUMBER_SIZE];
    char max[NUMBER_SIZE];
    format_ms(latency, "p50_ms", p50);
    format_ms(latency, "p99_ms", p99);
    format_ms(latency, "max_ms", max);
    (void)printf("\n%" PRIu64 " messages acknowledged (%" PRIu64 " tries repeated), %" PRIu64
                 " delivered; publish p50 %s ms, p99 %s ms, max %s ms\n",
                 count_of(totals, "acknowledged"), count_of(totals, "retried"),
                 count_of(totals, "delivered"), p50, p99, max);
    (void)printf("%" PRIu64 " lost, %" PRIu64 " duplicated, %" PRIu64 " reordered, %" PRIu64
                 " gaps told, %" PRIu64 " unanswered\n",
                 count_of(totals, "lost") + count_of(totals, "missed"),
                 count_of(totals, "duplicated"), count_of(totals, "reordered"),
                 count_of(totals, "gaps_told"), count_of(totals, "unknown"));
    (void)printf("%" PRIu64 " connections moved; resets: %" PRIu64 " explained, %" PRIu64
                 " unexplained; %" PRIu64 " had to go without need\n\n",
                 count_of(totals, "moved"), count_of(totals, "resets_explained"),
                 count_of(totals, "resets_unexplained"),
                 count_of(totals, "disconnected_unaffected"));
}

static enum rh_exit print_result(const struct rh_cli *cli, const json_t *result)
{
    enum rh_exit code = print_steps(cli, result);
    size_t i;
    const json_t *problem;
    print_totals(result);
    json_array_foreach(json_object_get(result, "problems"), i, problem)
    {
        (void)printf("  ");
        rh_output_escaped(rh_bytes_text(json_string_value(problem)));
        (void)printf("\n");
    }
    bool ok = json_is_true(json_object_get(result, "ok"));
    (void)printf("%s: %s\n", json_string_value(json_object_get(result, "scenario")),
                 ok ? "the guarantees held" : "FAILED");
    return code;
}

/* ---- running it ---- */

/* A scenario is a file, or the name of one that came with the program: where a build has them, or
 * where they are installed. */
static void find_scenario(const char *operand, char out[static RH_PROCESS_PATH_SIZE])
{
    char relative[NAME_SIZE];
    bool is_file = strpbrk(operand, "./") != NULL || access(operand, R_OK) == 0;
    int size = snprintf(relative, sizeof(relative), "../../drills/%s.yaml", operand);
    if (is_file || size < 0 || size >= NAME_SIZE) {
        (void)snprintf(out, RH_PROCESS_PATH_SIZE, "%s", operand);
    } else if (!rh_process_beside(relative, R_OK, out)) {
        (void)snprintf(out, RH_PROCESS_PATH_SIZE, "%s/%s.yaml", RH_DRILLS_FOLDER, operand);
    }
}

static bool is_given(const struct options *options, int option)
{
    bool given = false;
    for (size_t i = 0; i < AMOUNTS; i++) {
        given = given || (overrides[i].option == option && options->amounts[i] != NULL);
    }
    return given;
}

static enum rh_exit load_scenario(const struct rh_cli *cli, const struct options *options,
                                  const char *operand, struct rh_scenario *scenario)
{
    char path[RH_PROCESS_PATH_SIZE];
    struct rh_reason reason;
    find_scenario(operand, path);
    int rv = rh_scenario_load(path, scenario, &reason);
    for (size_t i = 0; i < AMOUNTS && rv == 0; i++) {
        if (options->amounts[i] != NULL) {
            rv = rh_scenario_override(scenario, overrides[i].field, options->amounts[i], &reason);
        }
    }
    if (rv != 0) {
        return rh_cli_fail(cli, RH_EXIT_CONFIG, "%s", reason.text);
    }
    /* Fewer clients are meant to be a smaller drill, not one with channels that nobody listens to. */
    if (is_given(options, OPTION_CONNECTIONS) && !is_given(options, OPTION_CHANNELS) &&
        scenario->load.channels > scenario->load.connections) {
        scenario->load.channels = scenario->load.connections;
    }
    return RH_EXIT_DONE;
}

/* The report is written at the end of minutes: whether it can be is better known before. */
static enum rh_exit check_report(const struct rh_cli *cli, const char *path)
{
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (path != NULL && file == NULL) {
        return rh_cli_fail(cli, RH_EXIT_NO, "%s cannot be written: %s", path, strerror(errno));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return RH_EXIT_DONE;
}

static enum rh_exit tell_result(const struct rh_cli *cli, const struct options *options,
                                json_t *result)
{
    enum rh_exit code = json_is_true(json_object_get(result, "ok")) ? RH_EXIT_DONE : RH_EXIT_NO;
    struct rh_reason reason;
    if (options->report != NULL && rh_drill_report_write(options->report, result, &reason) != 0) {
        code = rh_cli_fail(cli, RH_EXIT_NO, "%s", reason.text);
    }
    enum rh_exit told =
        cli->json ? rh_output_json(cli, json_incref(result)) : print_result(cli, result);
    if (!cli->json && options->report != NULL && code != RH_EXIT_NO) {
        (void)printf("the report is in %s\n", options->report);
    }
    return told != RH_EXIT_DONE ? told : code;
}

static enum rh_exit run_scenario(struct rh_cli *cli, const struct options *options,
                                 const struct rh_scenario *scenario)
{
    struct rh_drill_options drill = {.scenario = scenario, .keep = options->keep};
    enum rh_exit code = check_report(cli, options->report);
    if (code == RH_EXIT_DONE && scenario->has_hooks) {
        code = rh_cli_load_config(cli);
        drill.config = &cli->config;
    }
    if (code != RH_EXIT_DONE) {
        return code;
    }
    json_t *result = NULL;
    struct rh_reason reason = {""};
    (void)signal(SIGPIPE, SIG_IGN); /* who reads our output may go; the cluster is still stopped */
    if (rh_drill_run(&drill, &result, &reason) != 0) {
        return rh_cli_fail(cli, RH_EXIT_NO, "%s", reason.text);
    }
    code = tell_result(cli, options, result);
    json_decref(result);
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct options *options = context;
    struct rh_scenario scenario = {0};
    enum rh_exit code = load_scenario(cli, options, operands[0], &scenario);
    if (code == RH_EXIT_DONE) {
        code = run_scenario(cli, options, &scenario);
    }
    rh_scenario_finish(&scenario);
    return code;
}

const struct rh_command rh_command_drill = {
    .name = "drill",
    .summary = "rehearse membership changes under load, and check every message",
    .synopsis = "drill [--connections N] [--channels N] [--rate N] [--payload SIZE] [--workers N]\n"
                "                     [--settle DURATION] [--report FILE] [--keep] SCENARIO",
    .help = "Runs a scenario: thousands of clients and publishers, and steps like `add n4` or "
            "`kill n3`\n"
            "while they are at work. Accounts for every message at every client. SCENARIO is a "
            "file, or\n"
            "the name of one that is installed (scale-out, scale-in, rolling-restart, node-crash,\n"
            "zookeeper-outage, pause). It starts its own ZooKeeper and nodes on this machine and "
            "needs no\n"
            "config, unless it has `hooks`: then it acts on the running cluster of the config.\n"
            "\n"
            "Options:\n"
            "      --connections N    clients, instead of what the scenario says; likewise:\n"
            "      --channels N       channels, to which the clients are dealt out; by default at\n"
            "                         most as many as --connections\n"
            "      --rate N           messages a second over all channels\n"
            "      --payload SIZE     of a message, like 128B\n"
            "      --workers N        processes that hold the clients; 0: as many as needed\n"
            "      --settle DURATION  how long the cluster may take after a step\n"
            "      --report FILE      write a page (HTML) with everything in pictures\n"
            "      --keep             keep the files of the cluster: config and logs\n"
            "\n"
            "Example:\n"
            "  ringhop drill scale-out --connections 2000 --report drill.html\n"
            "\n"
            "JSON: the whole result, see docs/drills.md.\n"
            "Exit code 0: the guarantees held; 1: they did not, or the drill could not be run.",
    .options = long_options,
    .state_size = sizeof(struct options),
    .option = take_option,
    .operands_min = 1,
    .operands_max = 1,
    .loads_config = true,
    .run = run,
};
