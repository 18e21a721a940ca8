/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

struct rh_arena_chunk {
    struct rh_arena_chunk *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char data[];
};

void rh_arena_init(struct rh_arena *arena, size_t chunk_size)
{
    *arena = (struct rh_arena){.chunk_size = chunk_size};
}

void rh_arena_finish(struct rh_arena *arena)
{
    while (arena->chunks != NULL) {
        struct rh_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
}

void rh_arena_reset(struct rh_arena *arena, size_t size_max)
{
    while (arena->chunks != NULL &&
           (arena->chunks->next != NULL || arena->chunks->capacity > arena->chunk_size)) {
        struct rh_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    if (arena->chunks != NULL) {
        arena->chunks->used = 0;
    }
    arena->size = 0;
    arena->size_max = size_max;
    arena->failed = 0;
}

void *rh_arena_alloc(struct rh_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2) {
        arena->failed = RH_ERR_NO_MEMORY;
        return NULL;
    }
    size_t padded = (size + align - 1) / align * align;
    if (padded > arena->size_max || arena->size > arena->size_max - padded) {
        arena->failed = RH_ERR_FULL;
        return NULL;
    }
    struct rh_arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < padded) {
        size_t capacity = padded > arena->chunk_size ? padded : arena->chunk_size;
        chunk = malloc(sizeof(*chunk) + capacity);
        if (chunk == NULL) {
            arena->failed = RH_ERR_NO_MEMORY;
            return NULL;
        }
        chunk->next = arena->chunks;
        chunk->used = 0;
        chunk->capacity = capacity;
        arena->chunks = chunk;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += padded;
    arena->size += padded;
    return piece;
}
