/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#define ACTIONS_MIN    64
#define KEPT_MIN       16
#define SWEEP_CHANNELS 512 /* channels looked at in one step of a sweep */
#define SCAN_MS        1000U
#define RETRY_MS       100U
#define CATCH_UP_MS    100U

const char *rh_refusal_code(enum rh_refusal refusal)
{
    switch (refusal) {
#define RH_REFUSAL_CODE(name, code, text) \
    case name:                            \
        return code;
        RH_REFUSAL_MAP(RH_REFUSAL_CODE)
#undef RH_REFUSAL_CODE
    }
    return "unknown";
}

const char *rh_refusal_text(enum rh_refusal refusal)
{
    switch (refusal) {
#define RH_REFUSAL_TEXT(name, code, text) \
    case name:                            \
        return text;
        RH_REFUSAL_MAP(RH_REFUSAL_TEXT)
#undef RH_REFUSAL_TEXT
    }
    return "unknown";
}

/* ---- what a step leaves behind ---- */

/* Doubles an array. A core that cannot say what is to be done cannot keep its promises: stop. */
static void *grow(void *items, size_t item_size, size_t capacity)
{
    void *grown = realloc(items, item_size * capacity);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

struct rh_action *rh_core_act(struct rh_core *core, enum rh_action_kind kind)
{
    struct rh_actions *actions = core->actions;
    assert(actions != NULL);
    if (actions->count == actions->capacity) {
        actions->capacity = actions->capacity == 0 ? ACTIONS_MIN : actions->capacity * 2;
        actions->items = grow(actions->items, sizeof(*actions->items), actions->capacity);
    }
    struct rh_action *action = &actions->items[actions->count++];
    *action = (struct rh_action){.kind = kind};
    return action;
}

static void action_clear(struct rh_action *action)
{
    if (action->kind == RH_ACTION_DELIVER || action->kind == RH_ACTION_DELIVER_ALL) {
        rh_entry_give(action->deliver.entry);
    } else if (action->kind == RH_ACTION_READ_DONE) {
        for (uint32_t i = 0; i < action->read.count; i++) {
            rh_entry_give(action->read.entries[i]);
        }
        free(action->read.entries);
    }
}

static void actions_clear(struct rh_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        action_clear(&actions->items[i]);
    }
    actions->count = 0;
}

void rh_actions_finish(struct rh_actions *actions)
{
    actions_clear(actions);
    free(actions->items);
    *actions = (struct rh_actions){0};
}

void rh_core_keep(struct rh_core *core, void *memory)
{
    if (core->kept_count == core->kept_capacity) {
        core->kept_capacity = core->kept_capacity == 0 ? KEPT_MIN : core->kept_capacity * 2;
        core->kept = grow(core->kept, sizeof(*core->kept), core->kept_capacity);
    }
    core->kept[core->kept_count++] = memory;
}

/* Frees what actions of the last step may have pointed to. */
static void let_go(struct rh_core *core)
{
    for (size_t i = 0; i < core->kept_count; i++) {
        free(core->kept[i]);
    }
    core->kept_count = 0;
    for (struct rh_list *link = rh_list_first(&core->dropped); link != NULL;
         link = rh_list_first(&core->dropped)) {
        rh_list_remove(link);
        rh_channel_destroy(rh_container_of(link, struct rh_channel, list_link));
    }
    rh_view_give(core->view_before);
    core->view_before = NULL;
}

/* ---- small questions ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), twice with
 * the secret between: alone it can be run backwards, and who sees one message id would know the
 * next, and could publish under it first. */
uint64_t rh_core_random(struct rh_core *core)
{
    core->random += 0x9e3779b97f4a7c15U;
    return mix(mix(core->random) ^ core->options.secret);
}

struct rh_core_route rh_core_route(const struct rh_core *core, struct rh_bytes key)
{
    struct rh_core_route route = {.kind = RH_CORE_ROUTE_NONE, .owner = RH_RING_NONE};
    if (core->view == NULL) {
        return route;
    }
    route.hash = rh_ring_hash(core->view->ring, key.data, key.size);
    route.owner = rh_ring_owner(core->view->ring, route.hash);
    if (route.owner != RH_RING_NONE) {
        route.kind = route.owner == core->self ? RH_CORE_ROUTE_LOCAL : RH_CORE_ROUTE_REMOTE;
    }
    return route;
}

enum rh_refusal rh_core_route_refusal(const struct rh_core *core)
{
    return core->view == NULL ? RH_REFUSAL_NOT_READY : RH_REFUSAL_NO_OWNER;
}

/* ---- views ---- */

static void catch_up_if_due(struct rh_core *core)
{
    if (core->catch_up_due && core->now_ms >= core->catch_up_ms) {
        core->catch_up_due = false;
        core->catch_up_ms = core->now_ms + CATCH_UP_MS;
        (void)rh_core_act(core, RH_ACTION_CATCH_UP);
    }
}

void rh_core_catch_up(struct rh_core *core)
{
    core->catch_up_due = true;
    catch_up_if_due(core);
}

static uint32_t find_self(const struct rh_core *core, const struct rh_view *view)
{
    return rh_view_has(view, core->options.id, core->options.instance)
               ? rh_view_find(view, core->options.id)
               : RH_RING_NONE;
}

/* Looks at some of the channels that the current view has not been held against yet. */
static void sweep(struct rh_core *core)
{
    if (!core->sweeping) {
        return;
    }
    for (unsigned n = 0; n < SWEEP_CHANNELS; n++) {
        struct rh_list *link = rh_list_first(&core->unswept);
        if (link == NULL) {
            break;
        }
        struct rh_channel *channel = rh_container_of(link, struct rh_channel, list_link);
        uint32_t owner = rh_ring_owner(core->view->ring, channel->hash);
        rh_list_remove(link);
        rh_list_push_back(&core->swept, link);
        if (owner == core->self || owner == RH_RING_NONE) {
            continue;
        }
        core->sweep_channels += channel->incarnation != 0;
        core->sweep_connections += channel->streams_count;
        rh_core_streams_move(core, channel, owner);
        rh_core_channel_drop(core, channel);
    }
    if (rh_list_empty(&core->unswept)) {
        core->sweeping = false;
        core->stats.moved_channels += core->sweep_channels;
        struct rh_action *action = rh_core_act(core, RH_ACTION_SWEPT);
        action->swept.epoch = core->view->epoch;
        action->swept.channels = core->sweep_channels;
        action->swept.connections = core->sweep_connections;
        core->sweep_channels = 0;
        core->sweep_connections = 0;
    }
}

static void adopt(struct rh_core *core, struct rh_view *view)
{
    assert(core->view == NULL || rh_epoch_compare(view->epoch, core->view->epoch) > 0);
    core->view_before = core->view;
    core->view = rh_view_take(view);
    core->self = find_self(core, view);
    core->view_since_ms = core->now_ms;
    rh_list_splice(&core->unswept, &core->swept);
    core->sweeping = true;
    sweep(core);
    rh_core_streams_retry(core);
    rh_core_requests_retry(core);
}

/* ---- time ---- */

static void tick(struct rh_core *core)
{
    catch_up_if_due(core);
    rh_core_streams_expire(core);
    if (core->now_ms - core->retry_ms >= RETRY_MS) {
        rh_core_requests_expire(core);
    }
    if (core->now_ms - core->scan_ms >= SCAN_MS) {
        core->scan_ms = core->now_ms;
        rh_core_channels_scan(core);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t rh_core_deadline_ms(const struct rh_core *core)
{
    uint64_t deadline = UINT64_MAX;
    if (core->sweeping) {
        return 0;
    }
    if (core->catch_up_due) {
        deadline = core->catch_up_ms;
    }
    if (core->channels.count > 0) {
        deadline = earlier(deadline, core->scan_ms + SCAN_MS);
    }
    if (core->stats.pending > 0) {
        deadline = earlier(deadline, core->retry_ms + RETRY_MS);
    }
    if (core->stats.reads_waiting > 0) {
        deadline = earlier(deadline, core->reads_slot * RH_READ_SLOT_MS);
    }
    const struct rh_list *first = rh_list_first(&core->catching_up);
    if (first != NULL) {
        const struct rh_subscription *waiting =
            (const struct rh_subscription *)((uintptr_t)first -
                                             offsetof(struct rh_subscription, link));
        deadline = earlier(deadline, waiting->deadline_ms);
    }
    return deadline;
}

/* ---- life ---- */

static int init_tables(struct rh_core *core)
{
    int rv = rh_table_init(&core->channels);
    if (rv == 0) {
        rv = rh_table_init(&core->peers);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->pending_table);
    }
    return rv;
}

int rh_core_create(const struct rh_core_options *options, struct rh_core **ret_core)
{
    assert(options->log.messages_max > 0 && options->instance != 0);
    struct rh_core *core = calloc(1, sizeof(*core));
    if (core == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    core->options = *options;
    core->random = options->seed;
    core->self = RH_RING_NONE;
    rh_list_init(&core->swept);
    rh_list_init(&core->unswept);
    rh_list_init(&core->dropped);
    rh_list_init(&core->catching_up);
    rh_list_init(&core->pending);
    for (size_t i = 0; i < RH_READ_SLOTS; i++) {
        rh_list_init(&core->reads[i]);
    }
    int rv = init_tables(core);
    if (rv != 0) {
        rh_table_finish(&core->channels);
        rh_table_finish(&core->peers);
        rh_table_finish(&core->pending_table);
        free(core);
        return rv;
    }
    *ret_core = core;
    return 0;
}

static void free_subscriptions(struct rh_list *list)
{
    rh_list_each_safe (list, link) {
        struct rh_subscription *subscription = rh_container_of(link, struct rh_subscription, link);
        free(subscription->key);
        rh_list_remove(&subscription->timer_link);
        rh_list_remove(link);
        rh_subscription_init(subscription);
    }
}

static void destroy_channels(struct rh_list *channels)
{
    rh_list_each_safe (channels, link) {
        struct rh_channel *channel = rh_container_of(link, struct rh_channel, list_link);
        free_subscriptions(&channel->replaying);
        free_subscriptions(&channel->live);
        free_subscriptions(&channel->waiting);
        channel->streams_count = 0;
        channel->reads_count = 0;
        rh_list_remove(link);
        rh_channel_destroy(channel);
    }
}

void rh_core_destroy(struct rh_core *core)
{
    if (core == NULL) {
        return;
    }
    let_go(core);
    destroy_channels(&core->swept);
    destroy_channels(&core->unswept);
    free_subscriptions(&core->catching_up);
    rh_core_requests_finish(core);
    rh_table_finish(&core->channels);
    rh_view_give(core->view);
    free(core->kept);
    free(core);
}

/* ---- the step ---- */

static void step(struct rh_core *core, const struct rh_event *event)
{
    switch (event->kind) {
    case RH_EVENT_TICK:
        sweep(core);
        tick(core);
        return;
    case RH_EVENT_VIEW:
        adopt(core, event->view);
        return;
    case RH_EVENT_PEER_UP:
        rh_core_peer_up(core, &event->peer);
        return;
    case RH_EVENT_PEER_DOWN:
        rh_core_peer_down(core, &event->peer);
        return;
    case RH_EVENT_PEER_MESSAGE:
        rh_core_peer_message(core, event);
        return;
    case RH_EVENT_SUBSCRIBE:
        rh_core_subscribe(core, event);
        return;
    case RH_EVENT_READ:
        rh_core_read(core, event);
        return;
    case RH_EVENT_UNSUBSCRIBE:
        rh_core_unsubscribe(core, event->subscription);
        return;
    case RH_EVENT_DRAINED:
        rh_core_drained(core, event->subscription);
        return;
    case RH_EVENT_PUBLISH:
        rh_core_publish(core, event);
        return;
    case RH_EVENT_INSPECT:
        rh_core_inspect(core, event);
        return;
    case RH_EVENT_LOST:
    case RH_EVENT_PROOF:
    case RH_EVENT_HEARD:
    case RH_EVENT_RECORDED:
        return;
    }
    assert(false && "unknown event");
}

void rh_core_step(struct rh_core *core, const struct rh_event *event, struct rh_actions *actions)
{
    assert(core->actions == NULL);
    assert(event->now_ms >= core->now_ms);
    actions_clear(actions);
    let_go(core);
    core->now_ms = event->now_ms;
    core->time_ms = event->time_ms;
    core->actions = actions;
    step(core, event);
    core->actions = NULL;
    core->stats.channels = (uint32_t)core->channels.count;
}

const struct rh_core_stats *rh_core_stats(const struct rh_core *core)
{
    return &core->stats;
}

struct rh_view *rh_core_view(const struct rh_core *core)
{
    return core->view;
}

uint64_t rh_core_view_since_ms(const struct rh_core *core)
{
    return core->view_since_ms;
}

bool rh_core_is_sweeping(const struct rh_core *core)
{
    return core->sweeping;
}

bool rh_core_is_settled(const struct rh_core *core)
{
    return core->view != NULL;
}
