/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_forecast.h"
#include "node/daemon_internal.h"
#include "router/route.h"

#include <stdlib.h>

/*
 * GET /v1/forecast?plan=ID on the admin listener: what the plan would do to the channels of this node.
 * They are looked at, and told, in steps of a timer, one in a turn of the loop, so that nobody else
 * waits for it. One forecast at a time: it takes memory.
 */

#define STEP_CHANNELS 512U  /* a step takes less than a millisecond */
#define PAUSE_S       0.001 /* between two steps, for everybody else */

struct rh_daemon_forecast {
    struct rh_daemon *daemon;
    struct rh_http_connection *connection;
    struct rh_forecast *forecast;
    struct rh_buffer out;
    uint32_t row; /* next target to tell */
    bool has_rows;
    ev_timer timer;
};

static void end(struct rh_daemon *daemon)
{
    struct rh_daemon_forecast *job = daemon->forecast;
    ev_timer_stop(daemon->loop, &job->timer);
    rh_forecast_destroy(job->forecast);
    rh_buffer_finish(&job->out);
    free(job);
    daemon->forecast = NULL;
}

static void fail(struct rh_daemon *daemon, enum rh_problem problem, const char *detail)
{
    rh_http_connection_respond_problem(daemon->forecast->connection, problem, detail, NULL);
    end(daemon);
}

/* ---- the answer ---- */

static int tell_load(struct rh_buffer *out, const struct rh_forecast_load *load)
{
    return rh_buffer_format(
        out, "\"channels\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"bytes\":%" PRIu64,
        load->channels, load->connections, load->bytes);
}

/* All but the targets. */
static int tell_head(struct rh_daemon_forecast *job)
{
    const struct rh_daemon *daemon = job->daemon;
    const struct rh_config *config = daemon->config;
    const struct rh_core_stats *stats = rh_core_stats(daemon->core);
    const struct rh_view *view = rh_core_view(daemon->core);
    const struct rh_forecast_result *result = rh_forecast_result(job->forecast);
    uint64_t to_go = result->elsewhere > stats->moves_waiting ? result->elsewhere /* on their way */
                                                              : stats->moves_waiting;
    uint64_t under_way = to_go + stats->claims_waiting + stats->arrivals_waiting;
    char instance[RH_ID64_SIZE];
    rh_id64_format(daemon->instance, instance);
    int rv = rh_buffer_format(&job->out,
                              "{\"node\":\"%s\",\"instance\":\"%s\",\"generation\":%" PRIu64
                              ",\"epoch\":%" PRId64 ",\"replication\":%s,\"copies\":%" PRIu32
                              ",\"under_way\":%" PRIu64 ",\"settled\":%s,\"limits\":{\"channels\":"
                              "%" PRIu32 ",\"copies\":%" PRIu32 ",\"connections\":%" PRIu32
                              "},\"rebalance\":{\"channels_per_second\":%" PRIu32
                              ",\"in_flight\":%" PRIu32 "},\"turns\":%" PRIu64 ",\"acting\":{",
                              daemon->node->id, instance, view->epoch.generation, view->epoch.pzxid,
                              daemon->replication ? "true" : "false",
                              daemon->replication ? stats->copies : stats->channels, under_way,
                              rh_core_is_settled(daemon->core) ? "true" : "false",
                              config->limits.channels, config->limits.copies,
                              daemon->connections_max, config->rebalance.channels_per_second,
                              config->rebalance.in_flight, result->turns);
    if (rv == 0) {
        rv = tell_load(&job->out, &result->acting);
    }
    return rv == 0 ? rh_buffer_append_text(&job->out, "},\"targets\":[") : rv;
}

static int tell_next(struct rh_buffer *out, const struct rh_ring *ring,
                     const struct rh_forecast_load *next)
{
    bool has_one = false;
    int rv = rh_buffer_append_text(out, ",\"next\":[");
    for (uint32_t i = 0; i < rh_ring_members_count(ring) && rv == 0; i++) {
        if (next[i].channels == 0) {
            continue;
        }
        rv = rh_buffer_format(
            out, "%s{\"node\":\"%s\",\"channels\":%" PRIu64 ",\"connections\":%" PRIu64 "}",
            has_one ? "," : "", rh_ring_member(ring, i)->id, next[i].channels, next[i].connections);
        has_one = true;
    }
    return rv == 0 ? rh_buffer_append_text(out, "]") : rv;
}

/* One target, if there is anything to say of it. */
static int tell_row(struct rh_daemon_forecast *job, uint32_t index)
{
    const struct rh_forecast_result *result = rh_forecast_result(job->forecast);
    const struct rh_forecast_target *target = &result->targets[index];
    if (target->owned.channels == 0 && target->joins == 0 && target->leaves == 0) {
        return 0;
    }
    int rv = rh_buffer_format(&job->out, "%s{\"node\":\"%s\",", job->has_rows ? "," : "",
                              rh_ring_member(result->ring, index)->id);
    job->has_rows = true;
    if (rv == 0) {
        rv = tell_load(&job->out, &target->owned);
    }
    if (rv == 0) {
        rv = rh_buffer_format(
            &job->out, ",\"joins\":%" PRIu64 ",\"join_bytes\":%" PRIu64 ",\"leaves\":%" PRIu64,
            target->joins, target->join_bytes, target->leaves);
    }
    if (rv == 0 && target->next != NULL) {
        rv = tell_next(&job->out, result->ring, target->next);
    }
    return rv == 0 ? rh_buffer_append_text(&job->out, "}") : rv;
}

/* ---- steps ---- */

/* Tells the next piece of what was found: a target that has something. */
static int tell_step(struct rh_daemon_forecast *job, bool *ret_done)
{
    uint32_t count = (uint32_t)rh_ring_members_count(rh_forecast_result(job->forecast)->ring);
    int rv = rh_buffer_size(&job->out) == 0 ? tell_head(job) : 0;
    size_t size = rh_buffer_size(&job->out);
    while (rv == 0 && job->row < count && rh_buffer_size(&job->out) == size) {
        rv = tell_row(job, job->row);
        job->row++;
    }
    *ret_done = job->row == count;
    return rv == 0 && *ret_done ? rh_buffer_append_text(&job->out, "]}") : rv;
}

static void respond(struct rh_daemon *daemon)
{
    const struct rh_http_response response = {.status = 200,
                                              .content_type = "application/json",
                                              .body = rh_buffer_content(&daemon->forecast->out)};
    rh_http_connection_respond(daemon->forecast->connection, &response);
    end(daemon);
}

static void on_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int revents RH_UNUSED)
{
    struct rh_daemon *daemon = timer->data;
    struct rh_daemon_forecast *job = daemon->forecast;
    bool done = false;
    int rv = rh_forecast_step(job->forecast, STEP_CHANNELS);
    if (rv == 0 && rh_forecast_state(job->forecast) == RH_FORECAST_STALE) {
        fail(daemon, RH_PROBLEM_CONFLICT, "the view of the cluster has changed meanwhile");
        return;
    }
    if (rv == 0 && rh_forecast_state(job->forecast) == RH_FORECAST_DONE) {
        rv = tell_step(job, &done);
    }
    if (rv != 0) {
        fail(daemon, RH_PROBLEM_NO_MEMORY, NULL);
    } else if (done) {
        respond(daemon);
    } else {
        ev_timer_set(timer, PAUSE_S, 0.0);
        ev_timer_start(daemon->loop, timer);
    }
}

/* ---- the request ---- */

static int parse(const struct rh_http_request *request, struct rh_proposal *ret_proposal,
                 struct rh_reason *reason)
{
    static const char name[] = "plan=";
    char text[RH_PROPOSAL_TEXT_SIZE];
    size_t size;
    struct rh_bytes query = request->query;
    if (query.size < sizeof(name) - 1 || memcmp(query.data, name, sizeof(name) - 1) != 0) {
        return rh_fail(reason, RH_ERR_INVALID, "plan: the id of a plan is missing");
    }
    query = rh_bytes(query.data + sizeof(name) - 1, query.size - (sizeof(name) - 1));
    if (rh_percent_decode(query, false, text, sizeof(text), &size) != 0) {
        return rh_fail(reason, RH_ERR_INVALID, "plan: a broken escape, or longer than any id");
    }
    return rh_proposal_parse(rh_bytes(text, size), ret_proposal, reason);
}

static enum rh_problem problem_of(int rv)
{
    switch (rv) {
    case RH_ERR_AGAIN:
        return RH_PROBLEM_NOT_READY;
    case RH_ERR_CONFLICT:
        return RH_PROBLEM_CONFLICT;
    case RH_ERR_NO_MEMORY:
        return RH_PROBLEM_NO_MEMORY;
    default:
        return RH_PROBLEM_BAD_QUERY;
    }
}

void rh_daemon_forecast_serve(struct rh_daemon *daemon, struct rh_http_connection *connection,
                              const struct rh_http_request *request)
{
    struct rh_proposal proposal;
    struct rh_reason reason = {""};
    struct rh_forecast *forecast = NULL;
    if (daemon->forecast != NULL) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_LIMIT_REACHED,
                                           "another forecast is being made: try again", NULL);
        return;
    }
    int rv = parse(request, &proposal, &reason);
    if (rv == 0) {
        rv = rh_forecast_create(daemon->core, &proposal, &forecast, &reason);
    }
    struct rh_daemon_forecast *job = rv == 0 ? calloc(1, sizeof(*job)) : NULL;
    if (job == NULL) {
        rh_forecast_destroy(forecast);
        rh_http_connection_respond_problem(connection, problem_of(rv == 0 ? RH_ERR_NO_MEMORY : rv),
                                           reason.text, NULL);
        return;
    }
    *job = (struct rh_daemon_forecast){
        .daemon = daemon, .connection = connection, .forecast = forecast};
    daemon->forecast = job;
    ev_timer_init(&job->timer, on_timer, 0.0, 0.0);
    job->timer.data = daemon;
    ev_timer_start(daemon->loop, &job->timer);
}

void rh_daemon_forecast_closed(struct rh_daemon *daemon,
                               const struct rh_http_connection *connection)
{
    if (daemon->forecast != NULL && daemon->forecast->connection == connection) {
        end(daemon);
    }
}

void rh_daemon_forecast_finish(struct rh_daemon *daemon)
{
    if (daemon->forecast != NULL) {
        end(daemon);
    }
}
