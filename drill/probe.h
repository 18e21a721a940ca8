/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PROBE_H
#define RH_DRILL_PROBE_H

/*
 * Asks nodes how they are, all at the same time and without waiting: what ring each has adopted
 * (/v1/ring of its client listener) and how it stands (/v1/status of its admin listener).
 */

#include "base/error.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_PROBE_TIMEOUT_MS 2000U
#define RH_PROBE_NODES_MAX  64

struct rh_probe;

/* What one node said in a round. */
struct rh_probe_answer {
    const char *id;
    json_t *ring;   /* NULL: no answer */
    json_t *status; /* NULL: no answer, or not asked */
};

/* The end of a round; |answers| in the order of the questions, valid during the call. From the loop. */
typedef void rh_probe_done(void *context, const struct rh_probe_answer *answers,
                           size_t answers_count);

/* RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_probe_create(struct ev_loop *loop, rh_probe_done *done, void *context,
                                  struct rh_probe **ret_probe);

/* Ends what is under way; NULL is allowed. Not from within |done|. */
void rh_probe_destroy(struct rh_probe *probe);

/* Whether a round is under way. */
bool rh_probe_busy(const struct rh_probe *probe);

/* A question of the next round. |url| and |admin| begin with http://; "" is not asked. Texts are
 * copied. RH_ERR_NO_MEMORY, RH_ERR_FULL. */
RH_MUST_CHECK int rh_probe_ask(struct rh_probe *probe, const char *id, const char *url,
                               const char *admin);

/* Begins a round with the questions that were put since the last one. */
void rh_probe_begin(struct rh_probe *probe);

#endif
