/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_mutation.h"

#include "node/core_internal.h"
#include "node/membership_internal.h"

static enum sim_mutation current;
static unsigned calls; /* so that what is wrong is so at times only, and in every run alike */

void sim_mutate(enum sim_mutation mutation)
{
    current = mutation;
    calls = 0;
}

static bool now_and_then(enum sim_mutation mutation, unsigned every)
{
    return current == mutation && ++calls % every == 0;
}

/* Names that the linker makes; nobody else may call them. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
bool __real_rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id,
                              uint64_t *ret_seq, uint64_t *ret_op);
bool __wrap_rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id,
                              uint64_t *ret_seq, uint64_t *ret_op);
struct rh_core_route __real_rh_core_route(struct rh_core *core, struct rh_bytes key);
struct rh_core_route __wrap_rh_core_route(struct rh_core *core, struct rh_bytes key);
uint64_t __real_rh_core_random(struct rh_core *core);
uint64_t __wrap_rh_core_random(struct rh_core *core);
void __real_rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel);
void __wrap_rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel);
bool __real_rh_view_has(const struct rh_view *view, const char *id, uint64_t instance);
bool __wrap_rh_view_has(const struct rh_view *view, const char *id, uint64_t instance);
void __real_membership_suspect_loss(struct rh_membership *membership, const char *reason);
void __wrap_membership_suspect_loss(struct rh_membership *membership, const char *reason);
void __real_request_on_read(struct rh_membership *membership,
                            const struct rh_membership_result *result);
void __wrap_request_on_read(struct rh_membership *membership,
                            const struct rh_membership_result *result);

bool __wrap_rh_id_window_find(const struct rh_id_window *window, struct rh_bytes id,
                              uint64_t *ret_seq, uint64_t *ret_op)
{
    bool found = __real_rh_id_window_find(window, id, ret_seq, ret_op);
    return current == SIM_MUTATION_NO_WINDOW ? false : found;
}

struct rh_core_route __wrap_rh_core_route(struct rh_core *core, struct rh_bytes key)
{
    struct rh_core_route route = __real_rh_core_route(core, key);
    if (route.place == RH_CORE_PLACE_REMOTE && now_and_then(SIM_MUTATION_OWN_EVERYTHING, 50)) {
        route.place = RH_CORE_PLACE_HERE;
    }
    return route;
}

uint64_t __wrap_rh_core_random(struct rh_core *core)
{
    uint64_t random = __real_rh_core_random(core);
    return current == SIM_MUTATION_SAME_INCARNATION ? 1 + random % 5 : random;
}

void __wrap_rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel)
{
    if (current != SIM_MUTATION_KEEP_CHANNELS) {
        __real_rh_core_channel_drop(core, channel);
    }
}

bool __wrap_rh_view_has(const struct rh_view *view, const char *id, uint64_t instance)
{
    bool has = __real_rh_view_has(view, id, instance);
    return now_and_then(SIM_MUTATION_FORGET_SELF, 20) ? false : has;
}

void __wrap_membership_suspect_loss(struct rh_membership *membership, const char *reason)
{
    if (current != SIM_MUTATION_NO_GENERATION) {
        __real_membership_suspect_loss(membership, reason);
    }
}

void __wrap_request_on_read(struct rh_membership *membership,
                            const struct rh_membership_result *result)
{
    if (current != SIM_MUTATION_NO_REQUESTS) {
        __real_request_on_read(membership, result);
    }
}
/* NOLINTEND(bugprone-reserved-identifier) */
