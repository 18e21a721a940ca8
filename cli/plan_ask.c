/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan_ask.h"

#include "cli/http.h"
#include "cli/plan_load.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 30000U /* a node with millions of channels takes seconds */
#define AGAIN_MS   200U   /* a node makes one forecast at a time */
#define BEHIND_MS  3000U  /* for a node to adopt the view that stands in ZooKeeper */

/* The nodes of a view, and what was asked of each. */
struct asking {
    const struct rh_cli *cli;
    const struct rh_view *view;
    struct rh_plan *plan;
    struct rh_cli_http *requests; /* one for each member of the view */
    uint64_t deadline_ms;
    uint64_t behind_ms;
    size_t counted;
};

/* Whether asking again can help: it makes a forecast for somebody else, or is behind. */
static bool may_answer_later(const struct asking *asking, const struct rh_cli_http *request)
{
    bool is_behind = request->status == 409 && rh_cli_left_ms(asking->behind_ms) > 0;
    return request->answered && (request->status == 503 || is_behind);
}

/* Asks one node again, as long as that can help. */
static enum rh_exit ask_again(const struct asking *asking, struct rh_cli_http *request)
{
    while (may_answer_later(asking, request) && rh_cli_left_ms(asking->deadline_ms) > AGAIN_MS) {
        rh_cli_pause_ms(AGAIN_MS);
        if (rh_cli_http_perform(request, 1, rh_cli_left_ms(asking->deadline_ms)) != 0) {
            return rh_cli_fail_no_memory(asking->cli);
        }
    }
    return RH_EXIT_DONE;
}

static enum rh_exit take(struct asking *asking, size_t index)
{
    const struct rh_cli_http *request = &asking->requests[index];
    const char *id = asking->view->members[index].id;
    struct rh_reason reason = request->reason;
    if (request->answered && request->status == 409) {
        rh_cli_http_problem(request, &reason);
        return rh_cli_fail(asking->cli, RH_EXIT_REFUSED, "%s: %s; try again", id, reason.text);
    }
    if (!request->answered || request->status != 200) {
        if (request->answered) {
            rh_cli_http_problem(request, &reason);
        }
        rh_cli_warn(asking->cli, "%s cannot be asked: %s", id, reason.text);
        return RH_EXIT_DONE;
    }
    json_t *answer = rh_cli_http_json(request);
    int rv = rh_plan_take(asking->plan, id, asking->view->epoch, answer, &reason);
    json_decref(answer);
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(asking->cli);
    }
    if (rv != 0) {
        rh_cli_warn(asking->cli, "%s", reason.text);
    }
    asking->counted += rv == 0;
    return RH_EXIT_DONE;
}

static enum rh_exit ask(struct asking *asking, const char *text)
{
    size_t count = asking->view->members_count;
    char path[RH_PROPOSAL_TEXT_SIZE + 32];
    (void)snprintf(path, sizeof(path), "/v1/forecast?plan=%s", text);
    for (size_t i = 0; i < count; i++) {
        rh_cli_http_admin_url(&asking->view->members[i], path, asking->requests[i].url);
    }
    if (rh_cli_http_perform(asking->requests, count, rh_cli_left_ms(asking->deadline_ms)) != 0) {
        return rh_cli_fail_no_memory(asking->cli);
    }
    enum rh_exit code = RH_EXIT_DONE;
    for (size_t i = 0; i < count && code == RH_EXIT_DONE; i++) {
        code = ask_again(asking, &asking->requests[i]);
        if (code == RH_EXIT_DONE) {
            code = take(asking, i);
        }
    }
    return code;
}

enum rh_exit rh_plan_ask(const struct rh_cli *cli, const struct rh_view *view, const char *text,
                         struct rh_plan *plan)
{
    struct asking asking = {
        .cli = cli,
        .view = view,
        .plan = plan,
        .requests = calloc(view->members_count + 1, sizeof(*asking.requests)),
        .deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(cli, TIMEOUT_MS),
        .behind_ms = rh_cli_now_ms() + BEHIND_MS,
    };
    if (asking.requests == NULL) {
        return rh_cli_fail_no_memory(cli);
    }
    enum rh_exit code = ask(&asking, text);
    if (code == RH_EXIT_DONE) {
        const struct rh_plan_load limits = {.channels = cli->config.limits.channels,
                                            .connections = cli->config.limits.connections,
                                            .copies = cli->config.limits.copies};
        rh_plan_complete(plan, asking.counted == view->members_count, &limits,
                         cli->config.rebalance.in_flight);
    }
    rh_cli_http_finish(asking.requests, view->members_count);
    free(asking.requests);
    return code;
}
