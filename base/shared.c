/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shared.h"

#include <assert.h>
#include <stdlib.h>

struct rh_shared *rh_shared_create(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct rh_shared)) {
        return NULL;
    }
    struct rh_shared *shared = malloc(sizeof(*shared) + size);
    if (shared != NULL) {
        shared->references = 1;
        shared->size = size;
    }
    return shared;
}

struct rh_shared *rh_shared_copy(struct rh_bytes bytes)
{
    struct rh_shared *shared = rh_shared_create(bytes.size);
    if (shared != NULL && bytes.size > 0) {
        memcpy(shared->data, bytes.data, bytes.size);
    }
    return shared;
}

struct rh_shared *rh_shared_take(struct rh_shared *shared)
{
    assert(shared->references > 0);
    shared->references++;
    return shared;
}

void rh_shared_give(struct rh_shared *shared)
{
    if (shared == NULL) {
        return;
    }
    assert(shared->references > 0);
    shared->references--;
    if (shared->references == 0) {
        free(shared);
    }
}
