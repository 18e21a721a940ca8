/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/result.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP_CLASSES 17 /* up to 1, 2, 4 ... 65,536 ms */

struct rh_result_sample {
    uint64_t at_ms;
    uint32_t connections[RH_LOAD_NODES_MAX];
    uint64_t acknowledged;
    uint64_t delivered;
    uint64_t moved;
    uint64_t latency_count;
    uint64_t latency_p50_us;
    uint64_t latency_p99_us;
};

int rh_result_init(struct rh_result *result, const struct rh_scenario *scenario)
{
    *result = (struct rh_result){.scenario = scenario};
    result->steps = calloc(scenario->steps_count, sizeof(*result->steps));
    return result->steps == NULL ? RH_ERR_NO_MEMORY : 0;
}

void rh_result_finish(struct rh_result *result)
{
    for (size_t i = 0; i < result->steps_count; i++) {
        json_decref(result->steps[i].ring_before);
        json_decref(result->steps[i].ring_after);
    }
    free(result->steps);
    free(result->samples);
    *result = (struct rh_result){0};
}

void rh_result_problem(struct rh_result *result, const char *format, ...)
{
    if (result->problems_count == RH_RESULT_PROBLEMS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(result->problems[result->problems_count], RH_REASON_SIZE, format, args);
    va_end(args);
    result->problems_count++;
}

struct rh_result_step *rh_result_begin_step(struct rh_result *result, const struct rh_step *step)
{
    struct rh_result_step *entry = &result->steps[result->steps_count];
    result->steps_count++;
    *entry = (struct rh_result_step){.kind = step->kind};
    (void)snprintf(entry->name, sizeof(entry->name), "%s", step->text);
    return entry;
}

void rh_result_sample(struct rh_result *result, const struct rh_load_sample *sample)
{
    if (result->samples_count == result->samples_room) {
        size_t room = result->samples_room == 0 ? 256 : result->samples_room * 2;
        struct rh_result_sample *samples =
            realloc(result->samples, room * sizeof(*result->samples));
        if (samples == NULL) {
            result->no_memory = true;
            return;
        }
        result->samples = samples;
        result->samples_room = room;
    }
    struct rh_result_sample *kept = &result->samples[result->samples_count];
    result->samples_count++;
    *kept = (struct rh_result_sample){
        .at_ms = sample->at_ms,
        .acknowledged = sample->acknowledged,
        .delivered = sample->delivered,
        .moved = sample->moved,
        .latency_count = sample->latency_us.count,
        .latency_p50_us = rh_histogram_percentile_us(&sample->latency_us, 50),
        .latency_p99_us = rh_histogram_percentile_us(&sample->latency_us, 99),
    };
    memcpy(kept->connections, sample->connections, sizeof(kept->connections));
}

/* ---- the verdict ---- */

/* What must be 0, and what so many are when it is not. */
static const struct {
    size_t offset;
    const char *text;
} guarantees[] = {
    {offsetof(struct rh_load_counts, lost),
     "acknowledged messages did not reach a client that was not told of a gap"},
    {offsetof(struct rh_load_counts, missed),
     "acknowledged messages were lost in gaps that clients were told of"},
    {offsetof(struct rh_load_counts, skipped),
     "numbers were left out at clients that were not told of a gap"},
    {offsetof(struct rh_load_counts, duplicated), "messages arrived twice"},
    {offsetof(struct rh_load_counts, reordered), "messages arrived out of order"},
    {offsetof(struct rh_load_counts, contradicted),
     "times two messages had one number, or one message two"},
    {offsetof(struct rh_load_counts, gaps_told), "times a client was told recovered: false"},
    {offsetof(struct rh_load_counts, resets_unexplained),
     "connections were reset though nothing was done to their node"},
    {offsetof(struct rh_load_counts, disconnected_unaffected),
     "connections had to go though their owner did not change"},
    {offsetof(struct rh_load_counts, unknown), "publishes were never answered"},
    {offsetof(struct rh_load_counts, refused), "publishes were refused"},
    {offsetof(struct rh_load_counts, not_connected), "clients had no connection at the end"},
};

static uint64_t count_at(const struct rh_load_counts *counts, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)counts + offset, sizeof(value));
    return value;
}

static void judge_ledger(struct rh_result *result, const struct rh_load_result *ledger)
{
    for (size_t i = 0; i < sizeof(guarantees) / sizeof(guarantees[0]); i++) {
        uint64_t value = count_at(&ledger->counts, guarantees[i].offset);
        if (value > 0) {
            rh_result_problem(result, "%llu %s", (unsigned long long)value, guarantees[i].text);
        }
    }
    if (!ledger->settled) {
        rh_result_problem(result, "not all that was acknowledged had arrived in time");
    }
    if (result->scenario->load.rate > 0 && ledger->counts.acknowledged == 0) {
        rh_result_problem(result, "not one message was acknowledged");
    } else if (result->scenario->load.rate > 0 && ledger->counts.delivered == 0) {
        rh_result_problem(result, "not one message reached a client, so nothing was checked");
    }
    for (size_t i = 0; i < ledger->problems.count; i++) {
        rh_result_problem(result, "%s", ledger->problems.texts[i]);
    }
}

/* More than the ring says may not move. */
static void judge_steps(struct rh_result *result, const struct rh_load *load)
{
    for (size_t i = 0; i < result->steps_count; i++) {
        struct rh_result_step *step = &result->steps[i];
        struct rh_load_step counted;
        rh_load_step(load, step->number, &counted);
        if (step->problem.text[0] == '\0' && step->ring_after != NULL &&
            counted.counts.moved > step->expected_moved) {
            (void)rh_fail(&step->problem, 0, "%llu connections moved, %llu should have",
                          (unsigned long long)counted.counts.moved,
                          (unsigned long long)step->expected_moved);
        }
        if (step->problem.text[0] != '\0') {
            rh_result_problem(result, "%s: %s", step->name, step->problem.text);
        }
    }
    if (result->steps_count < result->scenario->steps_count) {
        rh_result_problem(result, "%zu of %zu steps were not done",
                          result->scenario->steps_count - result->steps_count,
                          result->scenario->steps_count);
    }
}

/* ---- JSON ---- */

static json_t *count_json(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Microseconds as milliseconds. */
static json_t *ms_json(uint64_t time_us)
{
    return json_real((double)time_us / 1000.0);
}

static json_t *times_json(const struct rh_histogram *histogram)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "count", count_json(histogram->count), "p50_ms",
                     ms_json(rh_histogram_percentile_us(histogram, 50)), "p99_ms",
                     ms_json(rh_histogram_percentile_us(histogram, 99)), "max_ms",
                     ms_json(histogram->max_us));
}

static json_t *gaps_json(const struct rh_histogram *histogram)
{
    json_t *gaps = times_json(histogram);
    json_t *classes = json_array();
    uint64_t from_us = 0;
    for (unsigned i = 0; i < GAP_CLASSES; i++) {
        uint64_t to_ms = UINT64_C(1) << i;
        (void)json_array_append_new(
            classes, json_pack("{s:I, s:o}", "up_to_ms", (json_int_t)to_ms, "count",
                               count_json(rh_histogram_between(histogram, from_us, to_ms * 1000))));
        from_us = to_ms * 1000;
    }
    (void)json_array_append_new(
        classes, json_pack("{s:n, s:o}", "up_to_ms", "count",
                           count_json(rh_histogram_between(histogram, from_us, UINT64_MAX))));
    (void)json_object_set_new(gaps, "histogram", classes);
    return gaps;
}

static json_t *totals_json(const struct rh_load_counts *counts)
{
    const struct {
        const char *name;
        uint64_t value;
    } totals[] = {
        {"published", counts->published},
        {"acknowledged", counts->acknowledged},
        {"unknown", counts->unknown},
        {"refused", counts->refused},
        {"retried", counts->retried},
        {"delivered", counts->delivered},
        {"replayed", counts->replayed},
        {"lost", counts->lost},
        {"missed", counts->missed},
        {"skipped", counts->skipped},
        {"duplicated", counts->duplicated},
        {"reordered", counts->reordered},
        {"contradicted", counts->contradicted},
        {"gaps_told", counts->gaps_told},
        {"resets_explained", counts->resets_explained},
        {"resets_unexplained", counts->resets_unexplained},
        {"disconnected_unaffected", counts->disconnected_unaffected},
        {"not_connected", counts->not_connected},
        {"moved", counts->moved},
        {"redirected", counts->redirected},
        {"connects", counts->connects},
        {"failed_connects", counts->failed},
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        (void)json_object_set_new(json, totals[i].name, count_json(totals[i].value));
    }
    return json;
}

static json_t *time_json(const struct rh_result *result, uint64_t at_ms)
{
    return count_json(at_ms > result->begin_ms ? at_ms - result->begin_ms : 0);
}

static json_t *ring_json(json_t *ring)
{
    return ring != NULL ? json_incref(ring) : json_null();
}

static json_t *step_json(const struct rh_result *result, const struct rh_load *load,
                         const struct rh_result_step *step)
{
    struct rh_load_step counted;
    rh_load_step(load, step->number, &counted);
    bool has_ring = step->ring_after != NULL;
    return json_pack(
        "{s:s, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", step->name,
        "started_ms", time_json(result, step->started_ms), "settled_ms",
        step->ended ? time_json(result, step->settled_ms) : json_null(), "epoch_before",
        (json_int_t)step->epoch_before, "epoch_after", (json_int_t)step->epoch_after, "ring_before",
        ring_json(step->ring_before), "ring_after", ring_json(step->ring_after), "expected_moved",
        has_ring ? count_json(step->expected_moved) : json_null(), "actual_moved",
        count_json(counted.counts.moved), "disconnected_unaffected",
        count_json(counted.counts.disconnected_unaffected), "gap", times_json(&counted.gap_us),
        "problem", step->problem.text[0] != '\0' ? json_string(step->problem.text) : json_null());
}

static json_t *steps_json(const struct rh_result *result, const struct rh_load *load)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < result->steps_count; i++) {
        (void)json_array_append_new(steps, step_json(result, load, &result->steps[i]));
    }
    return steps;
}

static json_t *connections_json(const struct rh_result *result, size_t node)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->samples_count; i++) {
        (void)json_array_append_new(list, count_json(result->samples[i].connections[node]));
    }
    return list;
}

static json_t *series_json(const struct rh_result *result, const struct rh_load *load)
{
    json_t *nodes = json_array();
    json_t *connections = json_object();
    json_t *lists[6]; /* at_ms, published, delivered, p50, p99, moves */
    for (size_t i = 0; i < 6; i++) {
        lists[i] = json_array();
    }
    for (size_t i = 0; i < rh_load_nodes_count(load); i++) {
        const char *name = rh_load_node_name(load, i);
        (void)json_array_append_new(nodes, json_string(name));
        (void)json_object_set_new(connections, name, connections_json(result, i));
    }
    for (size_t i = 0; i < result->samples_count; i++) {
        const struct rh_result_sample *sample = &result->samples[i];
        bool timed = sample->latency_count > 0;
        (void)json_array_append_new(lists[0], time_json(result, sample->at_ms));
        (void)json_array_append_new(lists[1], count_json(sample->acknowledged));
        (void)json_array_append_new(lists[2], count_json(sample->delivered));
        (void)json_array_append_new(lists[3],
                                    timed ? ms_json(sample->latency_p50_us) : json_null());
        (void)json_array_append_new(lists[4],
                                    timed ? ms_json(sample->latency_p99_us) : json_null());
        (void)json_array_append_new(lists[5], count_json(sample->moved));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "interval_ms",
                     RH_LOAD_SAMPLE_MS, "nodes", nodes, "at_ms", lists[0], "connections",
                     connections, "published", lists[1], "delivered", lists[2], "latency_p50_ms",
                     lists[3], "latency_p99_ms", lists[4], "moves", lists[5]);
}

static json_t *problems_json(const struct rh_result *result)
{
    json_t *problems = json_array();
    for (size_t i = 0; i < result->problems_count; i++) {
        (void)json_array_append_new(problems, json_string(result->problems[i]));
    }
    return problems;
}

static json_t *machine_json(const struct rh_result *result)
{
    if (!result->local) {
        return json_string("a running cluster");
    }
    return json_sprintf("%zu nodes on this machine", result->nodes_count);
}

json_t *rh_result_json(struct rh_result *result, const struct rh_load *load,
                       const struct rh_load_result *ledger)
{
    const struct rh_scenario *scenario = result->scenario;
    judge_ledger(result, ledger);
    judge_steps(result, load);
    if (result->no_memory) {
        return NULL;
    }
    json_t *settings =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "channels", (json_int_t)scenario->load.channels,
                  "connections", (json_int_t)scenario->load.connections, "workers",
                  (json_int_t)rh_load_workers_count(load), "rate", (json_int_t)scenario->load.rate,
                  "payload_bytes", (json_int_t)scenario->load.payload_size);
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:o, s:b, s:o, s:s, s:o, s:o, s:I}", "scenario", scenario->name,
        "description", scenario->description, "started_at", count_json(result->started_at_ms),
        "duration_ms", time_json(result, rh_load_now_ms(load)), "ok", result->problems_count == 0,
        "problems", problems_json(result), "version", RH_VERSION, "machine", machine_json(result),
        "load", settings, "replicas", (json_int_t)result->replicas);
    (void)json_object_set_new(json, "totals", totals_json(&ledger->counts));
    (void)json_object_set_new(json, "publish_latency", times_json(&ledger->latency_us));
    (void)json_object_set_new(json, "gap", gaps_json(&ledger->gap_us));
    (void)json_object_set_new(json, "steps", steps_json(result, load));
    (void)json_object_set_new(json, "series", series_json(result, load));
    return json;
}
