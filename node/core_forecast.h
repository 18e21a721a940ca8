/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_FORECAST_H
#define RH_NODE_CORE_FORECAST_H

/*
 * What a proposed change of membership would do to the channels of this node: whose they would be,
 * which copies would have to be made, and who would have them if one more node were lost. Looks into
 * the core without touching it. Pure.
 *
 * The channels are looked at in small steps between which the core goes on, so that nobody waits for
 * a forecast. A channel that is there all along counts exactly once; a view that changes meanwhile
 * ends it.
 *
 *     BEGUN --step--> WALKING --step...--> DONE
 *       +---------------+--(another view)--> STALE
 */

#include "node/core.h"
#include "node/proposal.h"

struct rh_forecast;

/* Above so many nodes with weight the loss of one more is not looked at: it takes a number for each
 * pair of them. */
#define RH_FORECAST_PAIRS_MAX 128

/* Channels, and what is in them. */
struct rh_forecast_load {
    uint64_t channels;
    uint64_t connections; /* streams, and reads that wait */
    uint64_t bytes;       /* ids and payloads in logs, and state documents */
};

/* One node of the ring to come, and what it would have of the channels for which this node acts. */
struct rh_forecast_target {
    struct rh_forecast_load owned;
    uint64_t joins; /* copies that it does not have and would be sent */
    uint64_t join_bytes;
    uint64_t leaves; /* copies that it has and would give up */

    /* Of `owned`, by index: who would own it if this node were lost as well. NULL: nothing is owned,
     * or there are more nodes than RH_FORECAST_PAIRS_MAX. */
    struct rh_forecast_load *next;
};

struct rh_forecast_result {
    struct rh_forecast_load acting; /* what this node acts for now */
    uint64_t elsewhere;             /* channels of that which the present ring gives to others */
    uint64_t turns;                 /* channels that take their turn at the pace of the rebalance */
    const struct rh_ring *ring;     /* to come; its members are in the order of `targets` */
    struct rh_forecast_target *targets; /* as many as the ring has members */
};

enum rh_forecast_state {
    RH_FORECAST_BEGUN,
    RH_FORECAST_WALKING,
    RH_FORECAST_DONE,
    RH_FORECAST_STALE, /* the view is another one, or lacks us: what was counted is worth nothing */
};

/*
 * |core| outlives the forecast. Takes as long as building a ring, and so does the first step.
 * RH_ERR_AGAIN with a reason: the core has no view. RH_ERR_CONFLICT with a reason: the proposal is not
 * about the present view, or does not fit it. RH_ERR_INVALID, RH_ERR_TOO_LARGE, RH_ERR_NO_MEMORY with
 * a reason.
 */
RH_MUST_CHECK int rh_forecast_create(const struct rh_core *core, const struct rh_proposal *proposal,
                                     struct rh_forecast **ret_forecast, struct rh_reason *reason);

/* NULL is allowed. */
void rh_forecast_destroy(struct rh_forecast *forecast);

/* Looks at about |channels| more channels. RH_ERR_NO_MEMORY: the forecast is of no use any more. */
RH_MUST_CHECK int rh_forecast_step(struct rh_forecast *forecast, size_t channels);

enum rh_forecast_state rh_forecast_state(const struct rh_forecast *forecast);

/* Of one that is DONE; valid as long as it. */
const struct rh_forecast_result *rh_forecast_result(const struct rh_forecast *forecast);

#endif
