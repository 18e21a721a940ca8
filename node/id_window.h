/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ID_WINDOW_H
#define RH_NODE_ID_WINDOW_H

/*
 * The message ids a channel has seen lately, each with the seq and the op it got: what makes a
 * retried publish return the first one's seq. Independent of the log: an id is remembered for its
 * age even when its message was trimmed.
 *
 * The ids of writes of the state document are in it as well, see RH_ID_WINDOW_STATE.
 *
 * A channel that remembers nothing need not have a window: whoever only looks, expires or cuts may
 * pass NULL for one.
 */

#include "base/bytes.h"
#include "base/table.h"

#define RH_ID_WINDOW_ID_SIZE_MAX 255 /* bytes */

/* In the place of a seq: the id is that of a write of the state document, the rest is the version
 * which that made. */
#define RH_ID_WINDOW_STATE (UINT64_C(1) << 63)

struct rh_id_record; /* one id; private */

struct rh_id_window {
    struct rh_table records;     /* by id; no buckets while nothing was added */
    struct rh_id_record **order; /* circular, by op: as many as records has elements */
    uint32_t capacity;           /* of order: 0 or a power of two */
    uint32_t head;               /* slot of the lowest op */
    uint64_t secret;             /* seed of the hash: strangers choose ids */
};

struct rh_id_window_limits {
    uint32_t ids_max;    /* those of the lowest op are forgotten above it */
    uint32_t age_ms_max; /* an older id is forgotten */
};

/* An id as the window has it. */
struct rh_id_window_item {
    struct rh_bytes id; /* valid until the window changes */
    uint64_t seq;
    uint64_t op;
    uint64_t added_ms;
};

/* Makes an empty window; owns no memory until the first add. |secret| is a random number that
 * publishers do not know, so that they cannot choose ids that collide. */
void rh_id_window_init(struct rh_id_window *window, uint64_t secret);
void rh_id_window_finish(struct rh_id_window *window);

/* The same in memory of its own; NULL when that is short. */
struct rh_id_window *rh_id_window_create(uint64_t secret);
void rh_id_window_destroy(struct rh_id_window *window);

static inline size_t rh_id_window_count(const struct rh_id_window *window)
{
    return window == NULL ? 0 : window->records.count;
}

/*
 * Remembers |id|, 1 to RH_ID_WINDOW_ID_SIZE_MAX bytes, and keeps the window within |limits.ids_max|.
 * |op| is above all that are held. If the id is held already, what it got now counts: who numbers
 * operations may have forgotten it a little earlier than who is told. |added_ms| is monotonic and
 * may lie in the past, also before the clock's zero (modulo 2^64): now less the age of the id.
 * RH_ERR_NO_MEMORY: nothing changed.
 */
RH_MUST_CHECK int rh_id_window_add(struct rh_id_window *window,
                                   const struct rh_id_window_limits *limits, struct rh_bytes id,
                                   uint64_t seq, uint64_t op, uint64_t added_ms);

/* Whether |id| was seen; then |ret_seq| and |ret_op| are what it got. */
bool rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id, uint64_t *ret_seq,
                       uint64_t *ret_op);

/* Forgets ids that are too old at the monotonic time |now_ms|, in order of op: an id waits for those
 * before it. */
void rh_id_window_expire(struct rh_id_window *window, const struct rh_id_window_limits *limits,
                         uint64_t now_ms);

/* Forgets all ids with an op above |op|. */
void rh_id_window_cut(struct rh_id_window *window, uint64_t op);

/*
 * The ids in order of op, by index from 0 to rh_id_window_count() - 1; an index is valid until the
 * window changes:
 *
 *     for (size_t i = rh_id_window_after(window, op); i < rh_id_window_count(window); i++) {
 *         struct rh_id_window_item item = rh_id_window_get(window, i);
 */

/* Index of the first id with an op above |op|; the count if there is none. */
size_t rh_id_window_after(const struct rh_id_window *window, uint64_t op);

struct rh_id_window_item rh_id_window_get(const struct rh_id_window *window, size_t index);

#endif
