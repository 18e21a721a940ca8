/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Does what a plan says, through the same requests as join, weight and drain:
 *
 *   1  the cluster is in the epoch of the plan, to the last registration
 *   2  nodes to add that do not run are waited for (--wait)
 *   3  nodes to add are asked for their weight; when others follow, they have to take it first: what
 *      leaves a node that goes is then to go to them, and not to somebody else in between
 *   4  all others are asked, at once
 *   5  progress, until all are done
 *
 * Between the steps the epochs are those that the plan itself makes: whoever is not in the plan has
 * to stay as it was.
 */

#define ANSWER_MS 10000U /* for the nodes to add, before the others are asked */
#define LOOK_MS   200U
#define CALL_MS   5000U /* for one look at ZooKeeper */

struct applying {
    const struct rh_cli *cli;
    struct rh_zookeeper *zookeeper;
    const struct rh_proposal *proposal;
    bool wait;
    uint64_t started_ms;
    struct rh_view *base;          /* the view of the plan */
    struct rh_ring *ring;          /* that the plan makes of it */
    struct rh_request_task *tasks; /* in order of the changes */
    size_t begun;                  /* requests written */
};

/* ---- looking ---- */

static enum rh_exit read_view(const struct applying *applying, struct rh_view **ret_view)
{
    rh_zookeeper_extend(applying->zookeeper, CALL_MS);
    return rh_snapshot_read_for(applying->cli, applying->zookeeper, ret_view);
}

static enum rh_exit refuse(const struct applying *applying, const struct rh_reason *reason)
{
    return rh_cli_fail(applying->cli, RH_EXIT_REFUSED, "%s; %s", reason->text,
                       applying->begun == 0
                           ? "nothing was done: make a new plan with `ringhop plan`"
                           : "what was asked of nodes until now stands: look at `ringhop nodes`");
}

/* The plan is about the cluster as it is. */
static enum rh_exit begin(struct applying *applying)
{
    struct rh_reason reason = {""};
    enum rh_exit code = read_view(applying, &applying->base);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    const struct rh_proposal *proposal = applying->proposal;
    int rv = rh_proposal_check(proposal, applying->base, &reason);
    if (rv == 0) {
        rv = rh_changes_apply(applying->base, proposal->changes, proposal->changes_count,
                              &applying->ring, &reason);
    }
    applying->tasks = calloc(proposal->changes_count, sizeof(*applying->tasks));
    if (rv == RH_ERR_NO_MEMORY || applying->tasks == NULL) {
        return rh_cli_fail_no_memory(applying->cli);
    }
    return rv == 0 ? RH_EXIT_DONE : refuse(applying, &reason);
}

/* Looks until |is_there| says that all nodes to add are as far. */
static enum rh_exit wait_for_added(const struct applying *applying,
                                   bool (*is_there)(const struct rh_view *view,
                                                    const struct rh_change *change),
                                   uint64_t deadline_ms, const char *what)
{
    for (;;) {
        struct rh_view *view;
        struct rh_reason reason = {""};
        enum rh_exit code = read_view(applying, &view);
        if (code != RH_EXIT_DONE) {
            return code;
        }
        int rv = rh_apply_check(applying->proposal, applying->base, view, &reason);
        const struct rh_change *missing = rh_apply_missing(applying->proposal, view, is_there);
        rh_view_give(view);
        if (rv != 0) {
            return refuse(applying, &reason);
        }
        if (missing == NULL) {
            return RH_EXIT_DONE;
        }
        if (rh_cli_now_ms() >= deadline_ms) {
            return rh_cli_fail(applying->cli, RH_EXIT_NODE,
                               "%s %s; the rest of the plan was not begun", missing->id, what);
        }
        rh_zookeeper_pause(applying->zookeeper, LOOK_MS);
    }
}

/* When to stop waiting: --timeout, or |otherwise_ms|, or never with --wait. */
static uint64_t deadline(const struct applying *applying, uint32_t otherwise_ms)
{
    if (applying->wait && applying->cli->timeout_ms == 0) {
        return UINT64_MAX;
    }
    return applying->started_ms + rh_cli_timeout_ms(applying->cli, otherwise_ms);
}

/* ---- steps ---- */

static enum rh_exit wait_for_start(const struct applying *applying)
{
    const struct rh_cli *cli = applying->cli;
    const struct rh_change *missing =
        rh_apply_missing(applying->proposal, applying->base, rh_apply_is_registered);
    if (missing == NULL) {
        return RH_EXIT_DONE;
    }
    if (!applying->wait) {
        return rh_cli_fail(
            cli, RH_EXIT_REFUSED,
            "%s is not running; run this with --wait and start it then, or start it "
            "first, outside the ring, and make a new plan: ringhopd --config %s --node "
            "%s --weight 0",
            missing->id, cli->config.path, missing->id);
    }
    for (size_t i = 0; i < applying->proposal->changes_count; i++) {
        const struct rh_change *change = &applying->proposal->changes[i];
        if (change->kind == RH_CHANGE_ADD && !rh_apply_is_registered(applying->base, change)) {
            rh_cli_warn(cli, "waiting for %s; start it now: ringhopd --config %s --node %s",
                        change->id, cli->config.path, change->id);
        }
    }
    return wait_for_added(applying, rh_apply_is_registered, deadline(applying, ANSWER_MS),
                          "was not started in time");
}

static enum rh_exit ask(struct applying *applying, bool adds)
{
    const struct rh_proposal *proposal = applying->proposal;
    enum rh_exit code = RH_EXIT_DONE;
    for (size_t i = 0; i < proposal->changes_count && code == RH_EXIT_DONE; i++) {
        const struct rh_change *change = &proposal->changes[i];
        if ((change->kind == RH_CHANGE_ADD) != adds) {
            continue;
        }
        bool leaves = change->kind == RH_CHANGE_REMOVE;
        rh_zookeeper_extend(applying->zookeeper, CALL_MS);
        code =
            rh_request_begin(&applying->tasks[i], applying->cli, applying->zookeeper, change->id,
                             leaves ? RH_REQUEST_DRAIN : RH_REQUEST_WEIGHT, change->weight_milli);
        applying->begun += code == RH_EXIT_DONE;
    }
    return code;
}

static enum rh_exit ask_all(struct applying *applying)
{
    size_t adds = rh_apply_count_adds(applying->proposal);
    enum rh_exit code = ask(applying, true);
    if (code == RH_EXIT_DONE && adds > 0 && adds < applying->proposal->changes_count) {
        code = wait_for_added(applying, rh_apply_has_weight, deadline(applying, ANSWER_MS),
                              "has not taken its weight in time");
    }
    return code == RH_EXIT_DONE ? ask(applying, false) : code;
}

static enum rh_exit follow(struct applying *applying)
{
    enum rh_exit code = RH_EXIT_DONE;
    for (size_t i = 0; i < applying->proposal->changes_count && code == RH_EXIT_DONE; i++) {
        code = rh_request_wait(&applying->tasks[i], applying->wait);
        if (code == RH_EXIT_DONE && !applying->cli->json) {
            rh_request_tell(&applying->tasks[i]);
        }
    }
    return code;
}

/* ---- the end ---- */

static bool all_done(const struct applying *applying)
{
    bool done = true;
    for (size_t i = 0; i < applying->proposal->changes_count; i++) {
        done = done && applying->tasks[i].done;
    }
    return done;
}

static enum rh_exit print_json(const struct applying *applying, const struct rh_view *view,
                               const char *id)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < applying->proposal->changes_count; i++) {
        rh_output_append(&nodes, rh_request_json(&applying->tasks[i]));
    }
    return rh_output_json(applying->cli,
                          json_pack("{s:s, s:s, s:I, s:o, s:o}", "plan", id, "state",
                                    all_done(applying) ? "done" : "working", "epoch",
                                    (json_int_t)view->epoch.pzxid, "digest",
                                    rh_output_id64(rh_ring_digest(view->ring)), "nodes", nodes));
}

/* Whether the cluster has become what was planned. */
static enum rh_exit finish(const struct applying *applying, const char *id)
{
    struct rh_view *view;
    enum rh_exit code = read_view(applying, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    bool is_as_planned = rh_ring_digest(view->ring) == rh_ring_digest(applying->ring);
    if (all_done(applying) && !is_as_planned) {
        code = rh_cli_fail(applying->cli, RH_EXIT_REFUSED,
                           "all nodes did what was asked, and the ring is not the planned one: "
                           "somebody else changed it meanwhile; look at `ringhop nodes`");
    } else if (applying->cli->json) {
        code = print_json(applying, view, id);
    }
    rh_view_give(view);
    return code;
}

static enum rh_exit apply(struct applying *applying, const char *id)
{
    enum rh_exit code = begin(applying);
    if (code == RH_EXIT_DONE) {
        code = wait_for_start(applying);
    }
    if (code == RH_EXIT_DONE) {
        code = ask_all(applying);
    }
    if (code == RH_EXIT_DONE) {
        code = follow(applying);
    }
    return code == RH_EXIT_DONE ? finish(applying, id) : code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct rh_request_options *options = context;
    struct rh_proposal proposal;
    struct rh_reason reason = {""};
    if (rh_proposal_parse(rh_bytes_text(operands[0]), &proposal, &reason) != 0) {
        return rh_cli_fail(cli, RH_EXIT_USAGE, "PLAN: %s", reason.text);
    }
    struct applying applying = {
        .cli = cli, .proposal = &proposal, .wait = options->wait, .started_ms = rh_cli_now_ms()};
    enum rh_exit code =
        rh_zookeeper_open_for(cli, rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS), &applying.zookeeper);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    code = apply(&applying, operands[0]);
    for (size_t i = 0; applying.tasks != NULL && i < proposal.changes_count; i++) {
        rh_request_finish(&applying.tasks[i]);
    }
    free(applying.tasks);
    rh_ring_destroy(applying.ring);
    rh_view_give(applying.base);
    rh_zookeeper_close(applying.zookeeper);
    return code;
}

const struct rh_command rh_command_apply = {
    .name = "apply",
    .summary = "do what a plan says",
    .synopsis = "apply [--wait] PLAN",
    .help =
        "Does what PLAN says, the id that `ringhop plan` printed, if the cluster is still in the\n"
        "epoch that it was made in: nodes join, take other weights, or are drained, as by\n"
        "`ringhop weight` and `ringhop drain`. Nodes to add come first. Whoever is not in the "
        "plan\n"
        "has to stay as it was meanwhile; otherwise the command asks no more, and says so.\n"
        "\n"
        "A node to add that does not run is waited for with --wait: start it then. It takes its\n"
        "weight the session timeout and 2 s later.\n"
        "\n"
        "Options:\n" RH_REQUEST_HELP "\n"
        "Example:\n"
        "  ringhop apply --wait 1:57:9f86d081884c7d65/remove:n2/5a0bd64c4a2e19c1\n"
        "\n"
        "JSON: {\"plan\":\"1:57:...\",\"state\":\"done\",\"epoch\":60,\"digest\":\"...\",\n"
        "      \"nodes\":[{\"node\":\"n2\",\"request\":\"drain\",\"state\":\"done\",\n"
        "                \"channels_left\":0,\"connections_left\":0}]}\n"
        "Exit code 2: PLAN is damaged; 5: a node has not done its part in time; 6: the epoch has\n"
        "changed, a node to add does not run, or a node refuses.",
    .options = rh_request_long_options,
    .state_size = sizeof(struct rh_request_options),
    .option = rh_request_take_option,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
