/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_RESULT_H
#define RH_DRILL_RESULT_H

/*
 * What a drill found, collected while it runs, judged at the end, and told as JSON: docs/drills.md
 * has the shape, drill/report.h makes a page of it. Touches nothing outside.
 */

#include "base/error.h"
#include "drill/load.h"
#include "drill/scenario.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_RESULT_PROBLEMS_MAX 50

/* One step as it went. Times are those of the load's clock. */
struct rh_result_step {
    char name[RH_STEP_TEXT_SIZE];
    enum rh_step_kind kind;
    unsigned number;     /* of the load's step */
    uint64_t started_ms; /* when it was begun */
    bool ended;          /* it was done, and the cluster settled */
    uint64_t settled_ms; /* when that was */
    int64_t epoch_before;
    int64_t epoch_after;
    json_t *ring_before; /* NULL: it changed no ring */
    json_t *ring_after;
    uint64_t expected_moved;  /* when there are rings */
    struct rh_reason problem; /* "": none */
};

struct rh_result_sample;

struct rh_result {
    const struct rh_scenario *scenario;
    uint64_t started_at_ms; /* Unix time of the begin */
    uint64_t begin_ms;      /* of the load's clock: what is told counts from here */
    bool local;
    size_t nodes_count; /* at the begin */
    uint32_t replicas;
    struct rh_result_step *steps; /* room for all steps of the scenario */
    size_t steps_count;
    struct rh_result_sample *samples;
    size_t samples_count;
    size_t samples_room;
    char problems[RH_RESULT_PROBLEMS_MAX][RH_REASON_SIZE];
    size_t problems_count;
    bool no_memory; /* something could not be kept */
};

/* RH_ERR_NO_MEMORY. |scenario| must outlive the result. */
RH_MUST_CHECK int rh_result_init(struct rh_result *result, const struct rh_scenario *scenario);

/* A zeroed struct is allowed. */
void rh_result_finish(struct rh_result *result);

/* A guarantee that did not hold, or something that could not be done: the drill has failed. */
void rh_result_problem(struct rh_result *result, const char *format, ...) RH_PRINTF(2, 3);

/* A step begins; valid until rh_result_finish(). */
struct rh_result_step *rh_result_begin_step(struct rh_result *result, const struct rh_step *step);

void rh_result_sample(struct rh_result *result, const struct rh_load_sample *sample);

/* Judges, and tells all; the caller decrefs it. NULL: out of memory. */
json_t *rh_result_json(struct rh_result *result, const struct rh_load *load,
                       const struct rh_load_result *ledger);

#endif
