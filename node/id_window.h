/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ID_WINDOW_H
#define RH_NODE_ID_WINDOW_H

/*
 * The message ids a channel has seen lately, each with the seq it got: what makes a retried
 * publish return the first one's seq. Independent of the log: an id is remembered for its age even
 * when its message was trimmed.
 */

#include "base/bytes.h"
#include "base/list.h"
#include "base/table.h"

struct rh_id_window {
    struct rh_table records; /* by id; no buckets while nothing was added */
    struct rh_list order;    /* oldest first */
    uint64_t secret;         /* seed of the hash: strangers choose ids */
};

struct rh_id_window_limits {
    uint32_t ids_max;    /* the oldest are forgotten above it */
    uint32_t age_ms_max; /* an older id is forgotten */
};

/* Makes an empty window; owns no memory until the first add. |secret| is a random number that
 * publishers do not know, so that they cannot choose ids that collide. */
void rh_id_window_init(struct rh_id_window *window, uint64_t secret);
void rh_id_window_finish(struct rh_id_window *window);

/* Whether |id| was seen; then |ret_seq| is its seq. */
bool rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id, uint64_t *ret_seq);

/* Forgets ids that are too old at the monotonic time |now_ms|. */
void rh_id_window_expire(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                         uint64_t now_ms);

/* Remembers |id|, which is not in the window, and keeps the window within |limits|.
 * RH_ERR_NO_MEMORY: nothing changed. */
RH_MUST_CHECK int rh_id_window_add(struct rh_id_window *window,
                                   const struct rh_id_window_limits *limits, struct rh_bytes id,
                                   uint64_t seq, uint64_t now_ms);

/* Takes back the id that was added last, if any is held. */
void rh_id_window_remove_newest(struct rh_id_window *window);

#endif
