/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_ARENA_H
#define RH_BASE_ARENA_H

/*
 * Memory that is handed out in small pieces and taken back all at once, e.g. for what one frame
 * unpacks to. Pieces come from chunks; the first chunk is kept across resets, so a small message
 * costs no malloc. A limit bounds what a stranger's bytes can make of it.
 */

#include "base/error.h"

#include <stddef.h>

struct rh_arena_chunk;

struct rh_arena {
    struct rh_arena_chunk *chunks; /* newest first; the last one is kept by reset */
    size_t chunk_size;             /* of a chunk, unless a piece needs a larger one */
    size_t size;                   /* handed out since the last reset, padding included */
    size_t size_max;
    int failed; /* since the last reset: 0, RH_ERR_FULL (size_max) or RH_ERR_NO_MEMORY */
};

/* Allocates nothing yet. |chunk_size| is also what reset keeps, at most. */
void rh_arena_init(struct rh_arena *arena, size_t chunk_size);

/* Frees everything; a zeroed struct is allowed. */
void rh_arena_finish(struct rh_arena *arena);

/* Takes back all pieces, and allows |size_max| bytes of new ones, padding included. */
void rh_arena_reset(struct rh_arena *arena, size_t size_max);

/* |size| uninitialised bytes, aligned for anything, valid until reset or finish. NULL: out of
 * memory, or above the limit; `failed` says which. */
void *rh_arena_alloc(struct rh_arena *arena, size_t size);

#endif
