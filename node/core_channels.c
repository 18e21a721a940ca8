/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <xxhash.h>

/* A full round over all channels takes about so many seconds. Of a few channels all are looked at more
 * often; of very many, a part of a second's share at a time. */
#define SCAN_ROUNDS 64U
#define SCAN_MS     1000U
#define SCAN_MIN    64U
#define SCAN_MAX    256U

static struct rh_channel *channel_of(const struct rh_table_link *link)
{
    return (struct rh_channel *)((uintptr_t)link - offsetof(struct rh_channel, table_link));
}

static bool channel_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_bytes *wanted = key;
    return rh_bytes_equal(rh_channel_key(channel_of(link)), *wanted);
}

uint64_t rh_core_key_hash(const struct rh_core *core, struct rh_bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.size, core->options.secret);
}

struct rh_channel *rh_core_channel_find(struct rh_core *core, struct rh_bytes key)
{
    struct rh_table_link *link =
        rh_table_find(&core->channels, rh_core_key_hash(core, key), channel_equal, &key);
    if (link == NULL) {
        return NULL;
    }
    struct rh_channel *channel = channel_of(link);
    return rh_core_walk(core, channel) ? channel : NULL;
}

static struct rh_channel *make(struct rh_core *core, struct rh_bytes key, uint64_t hash)
{
    struct rh_channel *channel = rh_channel_create(key, hash);
    if (channel == NULL) {
        return NULL;
    }
    channel->used_ms = core->now_ms;
    channel->walked = core->view_number;
    channel->standing = core->standing;
    channel->told_whole = !core->sweeping; /* what comes of it is news to its ring owner */
    if (core->channels.count == 0) {
        core->scan_ms = core->now_ms; /* nobody had to be looked at before */
    }
    rh_table_insert(&core->channels, &channel->table_link, rh_core_key_hash(core, key));
    rh_list_push_back(&core->swept, &channel->list_link);
    return channel;
}

struct rh_channel *rh_core_channel_make(struct rh_core *core, struct rh_bytes key)
{
    assert(core->view != NULL);
    struct rh_channel *channel = rh_core_channel_find(core, key);
    return channel != NULL ? channel
                           : make(core, key, rh_ring_hash(core->view->ring, key.data, key.size));
}

static bool is_full(const struct rh_core *core)
{
    if (!core->options.replication) {
        return core->channels.count >= core->options.channels_max;
    }
    return core->stats.channels_acting >= core->options.channels_max ||
           core->channels.count >= core->options.copies_max;
}

enum rh_refusal rh_core_channel_get(struct rh_core *core, struct rh_bytes key, uint64_t hash,
                                    struct rh_channel **ret_channel)
{
    struct rh_channel *channel = rh_core_channel_find(core, key);
    if (channel == NULL) {
        if (is_full(core)) {
            return RH_REFUSAL_CHANNELS_FULL;
        }
        channel = make(core, key, hash);
        if (channel == NULL) {
            return RH_REFUSAL_NO_MEMORY;
        }
    }
    *ret_channel = channel;
    return RH_REFUSAL_NONE;
}

struct rh_dealings *rh_core_dealings(struct rh_channel *channel)
{
    if (channel->dealings == NULL) {
        channel->dealings = rh_core_alloc(1, sizeof(*channel->dealings));
        channel->dealings->channel = channel;
        rh_list_init(&channel->dealings->queue_link);
    }
    return channel->dealings;
}

void rh_core_dealings_settle(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_dealings *dealings = channel->dealings;
    if (dealings != NULL && channel->queue == RH_QUEUE_NONE && dealings->readers == NULL &&
        dealings->reported == NULL && dealings->incoming == NULL) {
        rh_core_keep(core, channel->dealings); /* a walk over a queue may stand on its link */
        channel->dealings = NULL;
    }
}

/* ---- where things are done ---- */

static struct rh_core_route by_ring(const struct rh_core *core, struct rh_core_route route)
{
    if (route.owner == RH_RING_NONE) {
        route.place = RH_CORE_PLACE_NONE;
    } else if (route.owner != core->self) {
        route.place = RH_CORE_PLACE_REMOTE;
    } else {
        route.place = core->options.replication ? RH_CORE_PLACE_WAIT : RH_CORE_PLACE_HERE;
    }
    return route;
}

/* H6: who acts serves whatever reaches it; who has passed a channel on knows where it went; the
 * rest is the ring's. */
static struct rh_core_route by_role(const struct rh_core *core, struct rh_core_route route)
{
    const struct rh_channel *channel = route.channel;
    switch ((enum rh_role)channel->role) {
    case RH_ROLE_ACTING:
    case RH_ROLE_GATED:
        route.place = RH_CORE_PLACE_HERE;
        return route;
    case RH_ROLE_CLAIMING:
    case RH_ROLE_CLOSING:
        route.place = RH_CORE_PLACE_WAIT;
        return route;
    case RH_ROLE_PASSING:
        if (rh_process_is_registered(channel->acting->passing_to)) {
            route.place = RH_CORE_PLACE_REMOTE;
            route.owner = channel->acting->passing_to->index;
            return route;
        }
        break;
    case RH_ROLE_ABSENT:
    case RH_ROLE_WAITING:
    case RH_ROLE_JOINING:
    case RH_ROLE_REPLICA:
    case RH_ROLE_SUSPECT:
    case RH_ROLES:
        break;
    }
    return by_ring(core, route);
}

struct rh_core_route rh_core_route(struct rh_core *core, struct rh_bytes key)
{
    struct rh_core_route route = {.place = RH_CORE_PLACE_NONE, .owner = RH_RING_NONE};
    if (core->view == NULL) {
        return route;
    }
    route.hash = rh_ring_hash(core->view->ring, key.data, key.size);
    route.owner = rh_ring_owner(core->view->ring, route.hash);
    route.channel = rh_core_channel_find(core, key);
    bool by_copy = core->options.replication && route.channel != NULL;
    return by_copy ? by_role(core, route) : by_ring(core, route);
}

enum rh_refusal rh_core_route_refusal(const struct rh_core *core)
{
    return core->view == NULL ? RH_REFUSAL_NOT_READY : RH_REFUSAL_NO_OWNER;
}

struct rh_process *rh_core_ring_owner(const struct rh_core *core, const struct rh_channel *channel)
{
    if (core->view == NULL) {
        return NULL;
    }
    uint32_t owner = rh_ring_owner(core->view->ring, channel->hash);
    return owner == RH_RING_NONE ? NULL : core->members[owner];
}

/* ---- roles ---- */

void rh_core_trace(struct rh_core *core, const struct rh_channel *channel, enum rh_trace_kind kind,
                   enum rh_role from)
{
    if (!core->options.replication || !core->options.trace) {
        return;
    }
    struct rh_core_trace *trace = &rh_core_act(core, RH_ACTION_TRACE)->trace;
    trace->kind = kind;
    trace->key = rh_channel_key(channel);
    trace->from = from;
    trace->to = channel->role;
    trace->incarnation = channel->incarnation;
    trace->term = channel->term;
    trace->op = channel->op;
    trace->commit = channel->commit;
    trace->suspect = channel->suspect;
    if (channel->group != NULL) {
        trace->group = channel->group->refs;
        trace->group_count = channel->group->count;
    }
}

void rh_core_role_set(struct rh_core *core, struct rh_channel *channel, enum rh_role role)
{
    enum rh_role from = channel->role;
    if (from == role) {
        return;
    }
    assert(rh_role_may_become(from, role));
    core->stats.copies += rh_role_holds_copy(role);
    core->stats.copies -= rh_role_holds_copy(from);
    core->stats.channels_acting += rh_role_serves(role);
    core->stats.channels_acting -= rh_role_serves(from);
    channel->role = (uint8_t)role;
    if (rh_role_serves(from) != rh_role_serves(role)) {
        rh_core_topics_role(core, channel);
    }
    rh_core_trace(core, channel, RH_TRACE_ROLE, from);
    if (rh_role_serves(role) && !rh_role_serves(from)) {
        rh_core_presence_begin(core, channel);
    }
}

/* ---- content ---- */

static uint64_t state_bytes(const struct rh_channel *channel)
{
    return channel->state == NULL ? 0 : channel->state->payload_size;
}

void rh_core_channel_uncount(struct rh_core *core, const struct rh_channel *channel)
{
    core->stats.log_bytes -= channel->log == NULL ? 0 : channel->log->bytes;
    core->stats.state_bytes -= state_bytes(channel);
    core->stats.ids -= rh_id_window_count(channel->ids);
}

void rh_core_channel_count(struct rh_core *core, const struct rh_channel *channel)
{
    core->stats.log_bytes += channel->log == NULL ? 0 : channel->log->bytes;
    core->stats.state_bytes += state_bytes(channel);
    core->stats.ids += rh_id_window_count(channel->ids);
}

void rh_core_channel_tidy(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_id_window_limits limits = rh_core_id_limits(core);
    rh_core_channel_uncount(core, channel);
    if (channel->log != NULL) {
        uint64_t last = rh_fault(RH_FAULT_TRIM_UNCOMMITTED) ? channel->op : channel->commit;
        rh_channel_log_trim(channel->log, &core->options.log, last, core->time_ms);
        rh_terms_trim(channel->terms, channel->log->first_op);
    }
    rh_id_window_expire(channel->ids, &limits, core->now_ms);
    rh_core_channel_count(core, channel);
}

void rh_core_channel_bring_up(struct rh_core *core, struct rh_channel *channel)
{
    assert(!core->options.replication);
    channel->used_ms = core->now_ms;
    while (channel->incarnation == 0) {
        channel->incarnation = rh_core_random(core);
        core->stats.channels_created++;
    }
    if (channel->role != RH_ROLE_ACTING) {
        rh_core_role_set(core, channel, RH_ROLE_CLAIMING);
        rh_core_role_set(core, channel, RH_ROLE_ACTING);
    }
}

void rh_core_channel_empty(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_queue_remove(core, channel);
    rh_core_fetches_end(core, channel, NULL);
    rh_core_acting_free(core, channel);
    rh_core_requests_lose(core, channel);
    rh_core_feeds_detach(core, channel);
    rh_core_channel_uncount(core, channel);
    rh_channel_clear(channel);
    rh_core_give_group(core, channel->group);
    channel->group = NULL;
    rh_core_presence_clear(core, channel);
}

void rh_core_channel_drop(struct rh_core *core, struct rh_channel *channel)
{
    assert(!rh_channel_is_used(channel) && !channel->is_dropped);
    channel->is_dropped = true;
    rh_core_channel_empty(core, channel);
    rh_core_presence_drop(core, channel);
    rh_core_incoming_free(core, channel);
    rh_core_reported_free(core, channel);
    assert(!core->options.replication || !rh_role_holds_copy(channel->role));
    core->stats.channels_acting -= rh_role_serves(channel->role);
    core->stats.copies -= rh_role_holds_copy(channel->role);
    rh_table_remove(&core->channels, &channel->table_link);
    rh_list_remove(&channel->list_link);
    rh_list_push_back(&core->dropped, &channel->list_link);
}

void rh_core_channel_settle(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->is_dropped || rh_role_holds_copy(channel->role) || rh_channel_is_used(channel)) {
        return;
    }
    if (rh_channel_incoming(channel) != NULL || rh_core_reported(core, channel) != NULL) {
        rh_core_role_set(core, channel, RH_ROLE_ABSENT);
        return;
    }
    rh_core_channel_drop(core, channel);
}

/* ---- idle ones ---- */

static void look(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_channel_tidy(core, channel);
    rh_channel_shrink(channel);
    /* An id that is remembered is a promise to recognise a retry. */
    bool in_use = rh_channel_is_used(channel) || channel->ids != NULL;
    if (in_use || core->now_ms - channel->used_ms < core->options.channel_idle_ms) {
        return;
    }
    if (!core->options.replication) {
        core->stats.channels_reclaimed++;
        rh_core_channel_drop(core, channel);
    } else if (channel->role == RH_ROLE_ACTING) {
        rh_core_close(core, channel);
    } else {
        rh_core_channel_settle(core, channel);
    }
}

uint64_t rh_core_scan_pause_ms(const struct rh_core *core)
{
    size_t pieces = core->channels.count / (SCAN_ROUNDS * SCAN_MAX) + 1;
    return pieces < SCAN_MS ? SCAN_MS / pieces : 1;
}

void rh_core_channels_scan(struct rh_core *core)
{
    size_t looks = core->channels.count / SCAN_ROUNDS;
    if (looks < SCAN_MIN) {
        looks = SCAN_MIN;
    }
    if (looks > SCAN_MAX) {
        looks = SCAN_MAX;
    }
    if (looks > core->channels.count) {
        looks = core->channels.count;
    }
    for (; looks > 0; looks--) {
        struct rh_list *first = rh_list_first(&core->swept);
        if (first == NULL) {
            return;
        }
        /* To the back first: the list is also the order in which channels are looked at. */
        rh_list_remove(first);
        rh_list_push_back(&core->swept, first);
        look(core, rh_container_of(first, struct rh_channel, list_link));
    }
}
