/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_SCENARIO_H
#define RH_DRILL_SCENARIO_H

/*
 * A drill as a file: the load, the cluster it runs on, and the steps. docs/drills.md lists all
 * fields; drills/ has some scenarios. Touches nothing but the file.
 */

#include "base/error.h"
#include "drill/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_SCENARIO_STEPS_MAX     200
#define RH_SCENARIO_FILE_SIZE_MAX (256 * 1024) /* bytes */

struct rh_scenario_step {
    struct rh_step step;
    unsigned line; /* in the file */
};

struct rh_scenario {
    char *name;        /* `scenario` */
    char *description; /* "" when not given */
    struct {
        uint32_t channels;
        uint32_t connections;
        uint32_t rate; /* messages a second over all channels */
        uint32_t payload_size;
        uint32_t workers; /* 0: as many as needed */
    } load;
    struct {
        uint32_t nodes; /* n1, n2 ... */
        uint32_t replicas;
        uint32_t vnodes;
        uint32_t session_timeout_ms;
        uint32_t channels_per_second; /* that a node hands over; 0: not given */
    } cluster;                        /* of a local one */
    char *hooks[RH_STEP_KINDS];       /* commands; NULL where there is none */
    bool has_hooks;                   /* it acts on a running cluster */
    uint32_t settle_ms;               /* how long the cluster may take after a step */
    struct rh_scenario_step *steps;   /* at least one */
    size_t steps_count;
};

/*
 * Reads and checks a scenario; rh_scenario_finish() frees it. On failure |ret_scenario| is untouched
 * and |reason| reads "FILE:LINE: what is wrong". RH_ERR_NOT_FOUND, RH_ERR_IO: the file cannot be
 * read. RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_scenario_load(const char *path, struct rh_scenario *ret_scenario,
                                   struct rh_reason *reason);

/* The same from memory; |name| stands for the file in messages. */
RH_MUST_CHECK int rh_scenario_parse(const char *text, size_t text_size, const char *name,
                                    struct rh_scenario *ret_scenario, struct rh_reason *reason);

/*
 * Sets one amount, called as in the file ("load.rate", "settle"), which must be one. RH_ERR_INVALID with
 * a reason that names it like an option: "--rate: ...".
 */
RH_MUST_CHECK int rh_scenario_override(struct rh_scenario *scenario, const char *field,
                                       const char *text, struct rh_reason *reason);

/* Whether rh_scenario_override() would do; the same errors. */
RH_MUST_CHECK int rh_scenario_check(const char *field, const char *text, struct rh_reason *reason);

/* A zeroed struct is allowed. */
void rh_scenario_finish(struct rh_scenario *scenario);

#endif
