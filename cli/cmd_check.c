/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/http.h"
#include "cli/output.h"
#include "cli/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS        50U   /* between two rounds */
#define ANSWER_MS       2000U /* for one node to answer */
#define LAST_ANSWER_MS  200U  /* at least that long, when --timeout is nearly over */
#define PEER_ERROR_SIZE 320

/* What one node says of itself. */
struct verdict {
    bool answered; /* with a ring */
    json_int_t generation;
    json_int_t epoch;
    char digest[RH_ID64_SIZE];
    char error[PEER_ERROR_SIZE]; /* "" when it holds the view of ZooKeeper */
};

/* One round: the view of ZooKeeper, and what all its members say. */
struct round {
    const struct rh_cli *cli;
    struct rh_zookeeper *zookeeper;
    struct rh_view *view;
    char digest[RH_ID64_SIZE];
    struct rh_cli_http *requests;
    struct verdict *verdicts;
    bool ok;
};

static void finish_round(struct round *round)
{
    if (round->requests != NULL) {
        rh_cli_http_finish(round->requests, round->view->members_count);
    }
    free(round->requests);
    free(round->verdicts);
    rh_view_give(round->view);
    round->requests = NULL;
    round->verdicts = NULL;
    round->view = NULL;
}

/* Reads the ring object of an answer. False when it is none. */
static bool read_ring(const struct rh_cli_http *request, struct verdict *verdict)
{
    json_t *ring = rh_cli_http_json(request);
    const json_t *generation = json_object_get(ring, "generation");
    const json_t *epoch = json_object_get(ring, "epoch");
    const char *digest = json_string_value(json_object_get(ring, "digest"));
    if (json_is_integer(generation) && json_is_integer(epoch) && digest != NULL &&
        strlen(digest) == RH_ID64_SIZE - 1) {
        verdict->answered = true;
        verdict->generation = json_integer_value(generation);
        verdict->epoch = json_integer_value(epoch);
        memcpy(verdict->digest, digest, RH_ID64_SIZE);
    }
    json_decref(ring);
    return verdict->answered;
}

static void judge(const struct round *round, const struct rh_cli_http *request,
                  struct verdict *verdict)
{
    const struct rh_view *view = round->view;
    struct rh_reason reason;
    char *error = verdict->error;
    if (!request->answered) {
        (void)snprintf(error, PEER_ERROR_SIZE, "not reachable: %s", request->reason.text);
    } else if (request->status != 200) {
        rh_cli_http_problem(request, &reason);
        (void)snprintf(error, PEER_ERROR_SIZE, "%s", reason.text);
    } else if (!read_ring(request, verdict)) {
        (void)snprintf(error, PEER_ERROR_SIZE, "what answers there is no ringhop node");
    } else if (verdict->generation != (json_int_t)view->epoch.generation) {
        (void)snprintf(error, PEER_ERROR_SIZE, "holds generation %lld, ZooKeeper has %llu",
                       (long long)verdict->generation, (unsigned long long)view->epoch.generation);
    } else if (verdict->epoch != view->epoch.pzxid) {
        (void)snprintf(error, PEER_ERROR_SIZE, "holds epoch %lld, ZooKeeper has %lld",
                       (long long)verdict->epoch, (long long)view->epoch.pzxid);
    } else if (strcmp(verdict->digest, round->digest) != 0) {
        (void)snprintf(error, PEER_ERROR_SIZE, "has digest %s, computed is %s", verdict->digest,
                       round->digest);
    }
}

/* How long the nodes may take: a node that hangs must not eat the time for another round. */
static uint32_t answer_ms(uint64_t deadline_ms)
{
    uint32_t left_ms = rh_cli_left_ms(deadline_ms);
    if (left_ms < LAST_ANSWER_MS) {
        return LAST_ANSWER_MS;
    }
    return left_ms < ANSWER_MS ? left_ms : ANSWER_MS;
}

static enum rh_exit make_round(struct round *round, uint64_t deadline_ms)
{
    enum rh_exit code = rh_snapshot_read_for(round->cli, round->zookeeper, &round->view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    size_t count = round->view->members_count;
    rh_id64_format(rh_ring_digest(round->view->ring), round->digest);
    round->requests = calloc(count + 1, sizeof(*round->requests));
    round->verdicts = calloc(count + 1, sizeof(*round->verdicts));
    if (round->requests == NULL || round->verdicts == NULL) {
        return rh_cli_fail_no_memory(round->cli);
    }
    for (size_t i = 0; i < count; i++) {
        rh_cli_http_url(round->view->members[i].url, "/v1/ring", round->requests[i].url);
    }
    if (rh_cli_http_perform(round->requests, count, answer_ms(deadline_ms)) != 0) {
        return rh_cli_fail_no_memory(round->cli);
    }
    round->ok = count > 0;
    for (size_t i = 0; i < count; i++) {
        judge(round, &round->requests[i], &round->verdicts[i]);
        round->ok = round->ok && round->verdicts[i].error[0] == '\0';
    }
    return RH_EXIT_DONE;
}

static json_t *verdict_json(const char *node, const struct verdict *verdict)
{
    json_t *epoch = verdict->answered ? json_integer(verdict->epoch) : json_null();
    return json_pack("{s:s, s:o, s:s?, s:s?}", "node", node, "epoch", epoch, "digest",
                     verdict->answered ? verdict->digest : NULL, "error",
                     verdict->error[0] != '\0' ? verdict->error : NULL);
}

static enum rh_exit print_json(const struct round *round)
{
    const struct rh_view *view = round->view;
    json_t *nodes = json_array();
    for (size_t i = 0; i < view->members_count; i++) {
        rh_output_append(&nodes, verdict_json(view->members[i].id, &round->verdicts[i]));
    }
    return rh_output_json(round->cli, json_pack("{s:b, s:I, s:I, s:s, s:o}", "ok", (int)round->ok,
                                                "generation", (json_int_t)view->epoch.generation,
                                                "epoch", (json_int_t)view->epoch.pzxid, "digest",
                                                round->digest, "nodes", nodes));
}

static enum rh_exit print_text(const struct round *round)
{
    static const struct rh_output_column columns[] = {
        {"NODE", false}, {"EPOCH", true}, {"DIGEST", false}, {"VERDICT", false}};
    const struct rh_view *view = round->view;
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < view->members_count; i++) {
        const struct verdict *verdict = &round->verdicts[i];
        char epoch[24] = "";
        if (verdict->answered) {
            (void)snprintf(epoch, sizeof(epoch), "%lld", (long long)verdict->epoch);
        }
        const char *const texts[] = {view->members[i].id, epoch, verdict->digest,
                                     verdict->error[0] != '\0' ? verdict->error : "ok"};
        rh_output_table_row(table, texts);
    }
    enum rh_exit code = rh_output_table_finish(round->cli, table);
    if (code == RH_EXIT_DONE && view->members_count > 0) {
        (void)printf("\n%s: generation %llu, epoch %lld, digest %s\n",
                     round->ok ? "all nodes hold the view of ZooKeeper"
                               : "not all nodes hold the view of ZooKeeper",
                     (unsigned long long)view->epoch.generation, (long long)view->epoch.pzxid,
                     round->digest);
    }
    return code;
}

static enum rh_exit check(struct round *round, uint64_t deadline_ms)
{
    enum rh_exit code = make_round(round, deadline_ms);
    while (code == RH_EXIT_DONE && !round->ok && rh_cli_left_ms(deadline_ms) > PAUSE_MS) {
        finish_round(round);
        rh_zookeeper_pause(round->zookeeper, PAUSE_MS);
        code = make_round(round, deadline_ms);
    }
    if (code == RH_EXIT_DONE) {
        code = round->cli->json ? print_json(round) : print_text(round);
    }
    if (code != RH_EXIT_DONE) {
        return code;
    }
    if (round->view->members_count == 0) {
        return rh_cli_fail(round->cli, RH_EXIT_NO, "no node is registered");
    }
    return round->ok ? RH_EXIT_DONE : RH_EXIT_NO;
}

static enum rh_exit run(struct rh_cli *cli, void *state, int operands_count, char **operands)
{
    (void)state;
    (void)operands_count;
    (void)operands;
    uint32_t timeout_ms = rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS);
    uint64_t deadline_ms = rh_cli_now_ms() + timeout_ms;
    struct round round = {.cli = cli};
    enum rh_exit code = rh_zookeeper_open_for(cli, timeout_ms, &round.zookeeper);
    if (code == RH_EXIT_DONE) {
        code = check(&round, deadline_ms);
        finish_round(&round);
        rh_zookeeper_close(round.zookeeper);
    }
    return code;
}

const struct rh_command rh_command_check = {
    .name = "check",
    .summary = "do all nodes hold the same view?",
    .synopsis = "check",
    .help = "Asks every registered node for its view (GET /v1/ring at its client listener) and "
            "compares\n"
            "generation, epoch and digest with what stands in ZooKeeper. Nodes that are catching "
            "up get\n"
            "until --timeout (5 s).\n"
            "\n"
            "Example:\n"
            "  ringhop check && echo all agree\n"
            "\n"
            "JSON: {\"ok\":true,\"generation\":1,\"epoch\":57,\"digest\":\"...\",\n"
            "      \"nodes\":[{\"node\":\"n1\",\"epoch\":57,\"digest\":\"...\",\"error\":null}]}\n"
            "Exit code 1: a node holds another view, or cannot be reached.",
    .run = run,
};
