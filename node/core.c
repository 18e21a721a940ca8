/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"

#include "proto/peer_codec.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#define ACTIONS_MIN 64
#define KEPT_MIN    16
#define RETRY_MS    100U
#define CATCH_UP_MS 100U

/* Of one step: rh_core_steps. */
#define SWEEP_CHANNELS 256U
#define REPORT_COPIES  512U
#define HELD_BYTES     (8U * 1024U)
#define REPORTS_AHEAD  (512U * 1024U)

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

void *rh_core_grow(void *items, size_t size, size_t capacity)
{
    void *grown = reallocarray(items, capacity, size);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

void *rh_core_alloc(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct rh_action *rh_core_act(struct rh_core *core, enum rh_action_kind kind)
{
    struct rh_actions *actions = core->actions;
    assert(actions != NULL);
    if (actions->count == actions->capacity) {
        actions->capacity = actions->capacity == 0 ? ACTIONS_MIN : actions->capacity * 2;
        actions->items = rh_core_grow(actions->items, sizeof(*actions->items), actions->capacity);
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

static void keep(struct rh_kept *kept, void *item)
{
    if (kept->count == kept->capacity) {
        kept->capacity = kept->capacity == 0 ? KEPT_MIN : kept->capacity * 2;
        kept->items = rh_core_grow(kept->items, sizeof(*kept->items), kept->capacity);
    }
    kept->items[kept->count++] = item;
}

void rh_core_keep(struct rh_core *core, void *memory)
{
    keep(&core->kept, memory);
}

void *rh_core_scratch(struct rh_core *core, size_t count, size_t size)
{
    void *memory = rh_core_alloc(count, size);
    rh_core_keep(core, memory);
    return memory;
}

struct rh_bytes rh_core_scratch_bytes(struct rh_core *core, struct rh_bytes bytes)
{
    char *copy = rh_core_scratch(core, bytes.size, 1);
    (void)rh_bytes_write(copy, bytes);
    return rh_bytes(copy, bytes.size);
}

void rh_core_keep_entry(struct rh_core *core, struct rh_entry *entry)
{
    keep(&core->kept_entries, entry);
}

void rh_core_give_group(struct rh_core *core, struct rh_group *group)
{
    group = rh_groups_give(&core->groups, group);
    if (group != NULL) {
        keep(&core->kept_groups, group);
    }
}

void rh_core_keep_decoder(struct rh_core *core, struct rh_peer_decoder *decoder)
{
    keep(&core->kept_decoders, decoder);
}

/* Frees what actions of the last step may have pointed to. */
static void let_go(struct rh_core *core)
{
    for (size_t i = 0; i < core->kept.count; i++) {
        free(core->kept.items[i]);
    }
    core->kept.count = 0;
    for (size_t i = 0; i < core->kept_entries.count; i++) {
        rh_entry_give(core->kept_entries.items[i]);
    }
    core->kept_entries.count = 0;
    for (size_t i = 0; i < core->kept_groups.count; i++) {
        rh_group_free(core->kept_groups.items[i]);
    }
    core->kept_groups.count = 0;
    for (size_t i = 0; i < core->kept_decoders.count; i++) {
        rh_peer_decoder_destroy(core->kept_decoders.items[i]);
    }
    core->kept_decoders.count = 0;
    for (struct rh_list *link = rh_list_first(&core->dropped); link != NULL;
         link = rh_list_first(&core->dropped)) {
        rh_list_remove(link);
        rh_channel_destroy(rh_container_of(link, struct rh_channel, list_link));
    }
    rh_view_give(core->view_before);
    core->view_before = NULL;
}

/* ---- small things ---- */

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

uint64_t rh_core_stamp(struct rh_core *core)
{
    uint64_t stamp = core->now_ms << 20;
    core->stamp = stamp > core->stamp ? stamp : core->stamp + 1;
    return core->stamp;
}

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

struct rh_peer_message *rh_core_send_to(struct rh_core *core, const struct rh_node_ref *to,
                                        enum rh_peer_message_kind kind)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_SEND);
    action->send.to = *to;
    action->send.message.kind = kind;
    if (core->view != NULL) {
        action->send.message.epoch = core->view->epoch;
    }
    return &action->send.message;
}

struct rh_peer_message *rh_core_send(struct rh_core *core, const struct rh_process *to,
                                     enum rh_peer_message_kind kind)
{
    return rh_core_send_to(core, &to->ref, kind);
}

/* ---- time ---- */

static void tick(struct rh_core *core)
{
    rh_core_flush(core);
    if (!rh_core_release_more(core) && !rh_core_reports_more(core)) {
        rh_core_sweep(core); /* one piece of work in a step */
    }
    catch_up_if_due(core);
    rh_core_streams_expire(core);
    rh_core_presence_expire(core);
    if (core->now_ms - core->retry_ms >= RETRY_MS) {
        rh_core_requests_expire(core);
    }
    rh_core_topics_tick(core);
    if (core->options.replication) {
        rh_core_busy_retry(core);
        rh_core_incoming_expire(core);
        rh_core_fetches_expire(core);
        rh_core_leases_tick(core);
        rh_core_relays_tick(core);
        rh_core_claims_pump(core);
        rh_core_moves_pump(core);
        rh_core_flush(core);
    }
    if (core->now_ms - core->scan_ms >= rh_core_scan_pause_ms(core)) {
        core->scan_ms = core->now_ms;
        rh_core_channels_scan(core);
        rh_core_tombs_expire(core);
    }
    rh_core_watches_flush(core);
    rh_core_presence_flush(core);
    rh_core_relayed_tick(core);
    rh_core_remotes_tick(core);
    rh_core_relayed_flush(core);
    rh_core_remotes_flush(core);
}

static uint64_t replication_deadline_ms(const struct rh_core *core)
{
    uint64_t deadline = rh_core_busy_ms(core);
    deadline = rh_core_earlier(deadline, rh_core_leases_ms(core));
    deadline = rh_core_earlier(deadline, rh_core_relays_ms(core));
    if (!rh_list_empty(&core->claims)) {
        deadline = rh_core_earlier(deadline, core->claims_ms);
    }
    if (!rh_list_empty(&core->moves)) {
        deadline = rh_core_earlier(deadline, core->moves_ms);
    }
    deadline = rh_core_earlier(deadline, rh_core_incoming_ms(core));
    return rh_core_earlier(deadline, rh_core_fetches_ms(core));
}

/* When the first of those that are held has waited long enough. */
static uint64_t held_ms(const struct rh_list *held)
{
    const struct rh_list *first = rh_list_first(held);
    if (first == NULL) {
        return UINT64_MAX;
    }
    const struct rh_subscription *waiting =
        (const struct rh_subscription *)((uintptr_t)first -
                                         offsetof(struct rh_subscription, timer_link));
    return waiting->deadline_ms;
}

uint64_t rh_core_deadline_ms(const struct rh_core *core)
{
    uint64_t deadline = UINT64_MAX;
    if (core->sweeping || !rh_list_empty(&core->to_tell) || !rh_list_empty(&core->releasing) ||
        !rh_list_empty(&core->dirty) || rh_core_relayed_is_due(core) ||
        rh_core_remotes_is_due(core) || !rh_list_empty(&core->watches_to_tell)) {
        return 0;
    }
    deadline = rh_core_earlier(rh_core_relayed_ms(core), rh_core_remotes_ms(core));
    if (core->catch_up_due) {
        deadline = rh_core_earlier(deadline, core->catch_up_ms);
    }
    if (core->channels.count > 0 || core->tombs.count > 0) {
        deadline = rh_core_earlier(deadline, core->scan_ms + rh_core_scan_pause_ms(core));
    }
    if (core->stats.pending > 0) {
        deadline = rh_core_earlier(deadline, core->retry_ms + RETRY_MS);
    }
    deadline = rh_core_earlier(deadline, rh_core_topics_ms(core));
    if (core->stats.reads_waiting > 0) {
        deadline = rh_core_earlier(deadline, core->reads_slot * RH_READ_SLOT_MS);
    }
    const struct rh_list *first = rh_list_first(&core->catching_up);
    if (first != NULL) {
        const struct rh_subscription *waiting =
            (const struct rh_subscription *)((uintptr_t)first -
                                             offsetof(struct rh_subscription, link));
        deadline = rh_core_earlier(deadline, waiting->deadline_ms);
    }
    deadline = rh_core_earlier(deadline, held_ms(&core->held));
    deadline = rh_core_earlier(deadline, held_ms(&core->held_welcomed));
    deadline = rh_core_earlier(deadline, rh_core_presence_ms(core));
    if (core->options.replication) {
        deadline = rh_core_earlier(deadline, replication_deadline_ms(core));
    }
    return deadline;
}

/* ---- life ---- */

static int init_tables(struct rh_core *core)
{
    int rv = rh_table_init(&core->channels);
    if (rv == 0) {
        rv = rh_groups_init(&core->groups);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->pending_table);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->tombs);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->syncs);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->relayed);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->remotes);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->watches);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->presences);
    }
    if (rv == 0) {
        rv = rh_table_init(&core->presents);
    }
    if (rv == 0) {
        rv = rh_topics_init(&core->topics);
    }
    return rv;
}

static void finish_tables(struct rh_core *core)
{
    rh_topics_finish(core);
    rh_table_finish(&core->channels);
    rh_groups_finish(&core->groups);
    rh_table_finish(&core->pending_table);
    rh_table_finish(&core->tombs);
    rh_table_finish(&core->syncs);
    rh_table_finish(&core->relayed);
    rh_table_finish(&core->remotes);
    rh_table_finish(&core->watches);
    rh_table_finish(&core->presences);
    rh_table_finish(&core->presents);
}

static void init_lists(struct rh_core *core)
{
    struct rh_list *lists[] = {&core->swept,
                               &core->unswept,
                               &core->to_tell,
                               &core->dropped,
                               &core->catching_up,
                               &core->held,
                               &core->pending,
                               &core->busy,
                               &core->dirty,
                               &core->moves,
                               &core->claims,
                               &core->incoming,
                               &core->fetches,
                               &core->releasing,
                               &core->tombs_by_age,
                               &core->held_welcomed,
                               &core->tunnels_out,
                               &core->tunnels_in,
                               &core->relayed_waiting,
                               &core->watches_to_tell,
                               &core->presences_to_tell,
                               &core->presences_to_copy,
                               &core->gone,
                               &core->gone_moved};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_init(lists[i]);
    }
    for (size_t i = 0; i < RH_READ_SLOTS; i++) {
        rh_list_init(&core->reads[i]);
    }
}

static int make_self(struct rh_core *core)
{
    struct rh_node_ref self = {.instance = core->options.instance};
    memcpy(self.id, core->options.id, RH_NODE_ID_SIZE);
    core->self_process = rh_groups_process(&core->groups, &self);
    return core->self_process == NULL ? RH_ERR_NO_MEMORY : 0;
}

static void set_steps(struct rh_core_steps *steps)
{
    steps->sweep_channels = steps->sweep_channels == 0 ? SWEEP_CHANNELS : steps->sweep_channels;
    steps->report_copies = steps->report_copies == 0 ? REPORT_COPIES : steps->report_copies;
    steps->held_bytes = steps->held_bytes == 0 ? HELD_BYTES : steps->held_bytes;
    steps->reports_ahead = steps->reports_ahead == 0 ? REPORTS_AHEAD : steps->reports_ahead;
}

int rh_core_create(const struct rh_core_options *options, struct rh_core **ret_core)
{
    assert(options->log.messages_max > 0 && options->instance != 0);
    struct rh_core *core = calloc(1, sizeof(*core));
    if (core == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    core->options = *options;
    set_steps(&core->options.steps);
    core->random = options->seed;
    core->self = RH_RING_NONE;
    core->lost = true;
    core->standing = 1;
    core->presence_copy_ms = UINT64_MAX;
    init_lists(core);
    int rv = init_tables(core);
    if (rv == 0) {
        rv = make_self(core);
    }
    if (rv != 0) {
        finish_tables(core);
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

static void destroy_channels(struct rh_core *core, struct rh_list *channels)
{
    rh_list_each_safe (channels, link) {
        struct rh_channel *channel = rh_container_of(link, struct rh_channel, list_link);
        if (channel->audience != NULL) {
            free_subscriptions(&channel->audience->replaying);
            free_subscriptions(&channel->audience->live);
            channel->streams_count = 0;
        }
        if (channel->waiters != NULL) {
            free_subscriptions(&channel->waiters->reads);
            free_subscriptions(&channel->waiters->held);
            *channel->waiters = (struct rh_waiters){0};
        }
        rh_core_incoming_free(core, channel);
        rh_core_acting_free(core, channel);
        rh_core_reported_free(core, channel);
        rh_core_feeds_detach(core, channel);
        rh_core_readers_free(core, channel);
        rh_core_give_group(core, channel->group);
        channel->group = NULL;
        rh_list_remove(link);
        rh_core_queue_remove(core, channel);
        rh_channel_destroy(channel);
    }
}

static void abort_syncs(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->syncs, NULL); link != NULL;
         link = rh_table_next(&core->syncs, NULL)) {
        rh_core_sync_abort(core, rh_container_of(link, struct rh_sync, link), false);
    }
}

void rh_core_destroy(struct rh_core *core)
{
    if (core == NULL) {
        return;
    }
    let_go(core);
    abort_syncs(core);
    rh_core_relayed_finish(core);
    rh_core_remotes_finish(core);
    rh_core_requests_finish(core);
    rh_core_watches_finish(core);
    rh_core_presence_finish(core);
    rh_core_reports_stop(core);
    destroy_channels(core, &core->swept);
    destroy_channels(core, &core->unswept);
    free_subscriptions(&core->catching_up);
    rh_core_tombs_finish(core);
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        rh_core_drop_held(core, rh_container_of(link, struct rh_process, link));
    }
    let_go(core);
    finish_tables(core);
    rh_view_give(core->view);
    free(core->members);
    free(core->kept.items);
    free(core->kept_entries.items);
    free(core->kept_groups.items);
    free(core->kept_decoders.items);
    free(core);
}

/* ---- the step ---- */

static void step(struct rh_core *core, const struct rh_event *event)
{
    switch (event->kind) {
    case RH_EVENT_TICK:
        tick(core);
        return;
    case RH_EVENT_VIEW:
        rh_core_adopt(core, event);
        return;
    case RH_EVENT_LOST:
        rh_core_lose(core);
        return;
    case RH_EVENT_PROOF:
        rh_core_proof(core, event->at_ms);
        return;
    case RH_EVENT_HEARD:
        core->heard_ms = event->at_ms;
        return;
    case RH_EVENT_RECORDED:
        rh_core_recorded(core, event->epoch);
        return;
    case RH_EVENT_PROMISED:
        rh_core_promised(core, &event->promise);
        return;
    case RH_EVENT_PEER_UP:
        rh_core_peer_up(core, &event->peer);
        return;
    case RH_EVENT_PEER_DOWN:
        rh_core_peer_down(core, &event->peer);
        return;
    case RH_EVENT_PEER_DRAINED:
        rh_core_reports_drained(core, &event->peer);
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
    case RH_EVENT_SHOW_STATE:
        rh_core_watch_show(core, event->subscription);
        return;
    case RH_EVENT_PUBLISH:
        rh_core_publish(core, event);
        return;
    case RH_EVENT_INSPECT:
        rh_core_inspect(core, event);
        return;
    case RH_EVENT_PRESENT:
        rh_core_presence_ask(core, event);
        return;
    case RH_EVENT_STATE_GET:
    case RH_EVENT_STATE_PUT:
    case RH_EVENT_STATE_DELETE:
        rh_core_state(core, event);
        return;
    case RH_EVENT_FOLLOW:
        rh_core_follow(core, event);
        return;
    case RH_EVENT_FOLLOWERS:
        rh_core_followers(core, event);
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
    rh_core_relay_sends(core);
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
    return core->view != NULL && (!core->options.replication || core->recorded);
}
