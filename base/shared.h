/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_SHARED_H
#define RH_BASE_SHARED_H

/*
 * Immutable bytes with several owners, e.g. one encoded frame that waits in the send queues of a
 * thousand connections. Counted without atomics: a process has one thread.
 */

#include "base/bytes.h"

struct rh_shared {
    size_t references;
    size_t size;
    char data[]; /* written once by the creator, before it is shared */
};

/* |size| uninitialised bytes with one reference, or NULL when out of memory. */
struct rh_shared *rh_shared_create(size_t size);

/* A copy of |bytes| with one reference, or NULL when out of memory. */
struct rh_shared *rh_shared_copy(struct rh_bytes bytes);

/* One more reference; returns its argument. */
struct rh_shared *rh_shared_take(struct rh_shared *shared);

/* One reference less; the last one frees. NULL is allowed. */
void rh_shared_give(struct rh_shared *shared);

static inline struct rh_bytes rh_shared_bytes(const struct rh_shared *shared)
{
    return rh_bytes(shared->data, shared->size);
}

#endif
