/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_forecast.h"

#include "node/core_internal.h"

#include <stdlib.h>

struct rh_forecast {
    const struct rh_core *core;
    enum rh_forecast_state state;
    struct rh_epoch epoch;
    uint32_t replicas;
    uint64_t cursor;
    bool failed; /* memory was short */
    struct rh_ring *ring;
    struct rh_ring *plain; /* the same, each node in a zone of its own: a list of it says who owns a
                              key, and who does when the one before is gone. NULL: too many nodes */
    uint32_t *members;     /* index in the present view -> index in `ring` */
    struct rh_forecast_result result;
};

static int make_members(struct rh_forecast *forecast, const struct rh_view *view)
{
    forecast->members = calloc(view->members_count + 1, sizeof(*forecast->members));
    forecast->result.targets =
        calloc(rh_ring_members_count(forecast->ring) + 1, sizeof(*forecast->result.targets));
    if (forecast->members == NULL || forecast->result.targets == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < view->members_count; i++) {
        forecast->members[i] = rh_ring_find(forecast->ring, view->members[i].id);
    }
    return 0;
}

int rh_forecast_create(const struct rh_core *core, const struct rh_proposal *proposal,
                       struct rh_forecast **ret_forecast, struct rh_reason *reason)
{
    if (core->view == NULL) {
        return rh_fail(reason, RH_ERR_AGAIN, "this node has no view of the cluster yet");
    }
    int rv = rh_proposal_check(proposal, core->view, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_forecast *forecast = calloc(1, sizeof(*forecast));
    if (forecast == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    forecast->core = core;
    forecast->epoch = core->view->epoch;
    forecast->replicas = core->options.replication ? core->view->config.replicas : 1;
    rv = rh_changes_apply(core->view, proposal->changes, proposal->changes_count, &forecast->ring,
                          reason);
    if (rv == 0) {
        forecast->result.ring = forecast->ring;
        rv = make_members(forecast, core->view);
    }
    if (rv != 0) {
        rh_forecast_destroy(forecast);
        return rv == RH_ERR_NO_MEMORY ? rh_fail(reason, rv, "%s", rh_error_text(rv)) : rv;
    }
    *ret_forecast = forecast;
    return 0;
}

void rh_forecast_destroy(struct rh_forecast *forecast)
{
    if (forecast == NULL) {
        return;
    }
    for (size_t i = 0;
         forecast->result.targets != NULL && i < rh_ring_members_count(forecast->ring); i++) {
        free(forecast->result.targets[i].next);
    }
    free(forecast->result.targets);
    free(forecast->members);
    rh_ring_destroy(forecast->plain);
    rh_ring_destroy(forecast->ring);
    free(forecast);
}

/* ---- one channel ---- */

static void add(struct rh_forecast_load *to, const struct rh_forecast_load *load)
{
    to->channels += load->channels;
    to->connections += load->connections;
    to->bytes += load->bytes;
}

static void count_next(struct rh_forecast *forecast, const struct rh_channel *channel,
                       const struct rh_forecast_load *load)
{
    uint32_t list[2];
    if (forecast->plain == NULL ||
        rh_ring_preference(forecast->plain, channel->hash, 2, list) < 2) {
        return;
    }
    struct rh_forecast_target *owner = &forecast->result.targets[list[0]];
    if (owner->next == NULL) {
        owner->next = calloc(rh_ring_members_count(forecast->ring), sizeof(*owner->next));
    }
    if (owner->next == NULL) {
        forecast->failed = true;
        return;
    }
    add(&owner->next[list[1]], load);
}

static bool is_listed(const uint32_t *list, size_t count, uint32_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == index) {
            return true;
        }
    }
    return false;
}

/* Who has a copy of |channel| now, by index in the ring to come; whoever is not in the view has none
 * that counts. */
static size_t holders_of(const struct rh_forecast *forecast, const struct rh_channel *channel,
                         uint32_t ret_list[static RH_PEER_GROUP_MAX])
{
    size_t count = 0;
    if (channel->group == NULL) {
        ret_list[count++] = forecast->members[forecast->core->self];
    }
    for (uint32_t i = 0; channel->group != NULL && i < channel->group->count; i++) {
        if (rh_process_is_registered(channel->group->members[i])) {
            ret_list[count++] = forecast->members[channel->group->members[i]->index];
        }
    }
    return count;
}

/* Which copies come and go; whether the channel has its turn in the rebalance for that. */
static bool count_copies(struct rh_forecast *forecast, const struct rh_channel *channel,
                         const struct rh_forecast_load *load, const uint32_t *list, size_t count)
{
    uint32_t holders[RH_PEER_GROUP_MAX];
    size_t holders_count = holders_of(forecast, channel, holders);
    bool moves = list[0] != forecast->members[forecast->core->self] || holders_count != count;
    for (size_t i = 0; i < count; i++) {
        if (!is_listed(holders, holders_count, list[i])) {
            forecast->result.targets[list[i]].joins++;
            forecast->result.targets[list[i]].join_bytes += load->bytes;
            moves = true;
        }
    }
    for (size_t i = 0; i < holders_count; i++) {
        forecast->result.targets[holders[i]].leaves += !is_listed(list, count, holders[i]);
    }
    return moves;
}

static void look(void *context, struct rh_table_link *link)
{
    struct rh_forecast *forecast = context;
    const struct rh_core *core = forecast->core;
    const struct rh_channel *channel = rh_container_of(link, struct rh_channel, table_link);
    if (!rh_role_is_actor(channel->role)) {
        return;
    }
    const struct rh_forecast_load load = {
        .channels = 1,
        .connections = rh_channel_connections(channel),
        .bytes = (channel->log == NULL ? 0 : channel->log->bytes) +
                 (channel->state == NULL ? 0 : channel->state->payload_size),
    };
    add(&forecast->result.acting, &load);
    forecast->result.elsewhere += rh_ring_owner(core->view->ring, channel->hash) != core->self;
    uint32_t list[RH_RING_REPLICAS_MAX];
    size_t count = rh_ring_preference(forecast->ring, channel->hash, forecast->replicas, list);
    if (count == 0) {
        return; /* nobody would own anything: it stays where it is */
    }
    add(&forecast->result.targets[list[0]].owned, &load);
    forecast->result.turns += count_copies(forecast, channel, &load, list, count);
    count_next(forecast, channel, &load);
}

/* ---- steps ---- */

static int make_plain(struct rh_forecast *forecast)
{
    size_t count = rh_ring_members_count(forecast->ring);
    if (rh_ring_active_count(forecast->ring) > RH_FORECAST_PAIRS_MAX) {
        return 0;
    }
    const struct rh_shared_config *config = &forecast->core->view->config;
    const struct rh_ring_options options = {.seed = config->seed, .vnodes = config->vnodes};
    struct rh_ring_member *members = calloc(count + 1, sizeof(*members));
    if (members == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        members[i] = *rh_ring_member(forecast->ring, i);
        members[i].zone = members[i].id;
    }
    int rv = rh_ring_create(&options, members, count, &forecast->plain);
    free(members);
    return rv;
}

/* Whether the view is still that of the proposal, and names us. */
static bool is_current(const struct rh_forecast *forecast)
{
    const struct rh_core *core = forecast->core;
    bool is_member =
        core->options.replication ? rh_core_is_registered(core) : core->self != RH_RING_NONE;
    return is_member && rh_epoch_compare(core->view->epoch, forecast->epoch) == 0;
}

int rh_forecast_step(struct rh_forecast *forecast, size_t channels)
{
    const struct rh_core *core = forecast->core;
    if (forecast->state == RH_FORECAST_DONE || forecast->state == RH_FORECAST_STALE) {
        return 0;
    }
    if (!is_current(forecast)) {
        forecast->state = RH_FORECAST_STALE;
        return 0;
    }
    if (forecast->state == RH_FORECAST_BEGUN) {
        forecast->state = RH_FORECAST_WALKING;
        return make_plain(forecast);
    }
    for (size_t i = 0; i < channels; i++) { /* a bucket has about one */
        forecast->cursor = rh_table_scan(&core->channels, forecast->cursor, look, forecast);
        if (forecast->failed) {
            return RH_ERR_NO_MEMORY;
        }
        if (forecast->cursor == 0) {
            forecast->state = RH_FORECAST_DONE;
            break;
        }
    }
    return 0;
}

enum rh_forecast_state rh_forecast_state(const struct rh_forecast *forecast)
{
    return forecast->state;
}

const struct rh_forecast_result *rh_forecast_result(const struct rh_forecast *forecast)
{
    return &forecast->result;
}
