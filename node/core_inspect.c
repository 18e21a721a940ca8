/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_inspect.h"

#include "node/core_internal.h"
#include "node/core_tunnel.h"

static void describe(const struct rh_channel *channel, struct rh_copy_info *ret_info)
{
    const struct rh_waiters *waiters = channel->waiters;
    *ret_info = (struct rh_copy_info){
        .key = rh_channel_key(channel),
        .role = (enum rh_role)channel->role,
        .incarnation = channel->incarnation,
        .term = channel->term,
        .op = channel->op,
        .seq = channel->seq,
        .commit = channel->commit,
        .state = channel->state,
        .follows = channel->follows,
        .first_op = rh_channel_first_op(channel),
        .suspect = channel->suspect,
        .lacked = channel->lacked,
        .streams = channel->streams_count,
    };
    if (channel->group != NULL) {
        ret_info->group = channel->group->refs;
        ret_info->group_count = channel->group->count;
    }
    if (waiters != NULL) {
        ret_info->waiting = waiters->reads_count + waiters->held_count + waiters->requests_count;
    }
}

static struct rh_channel *channel_of(const struct rh_table_link *link)
{
    return (struct rh_channel *)((uintptr_t)link - offsetof(struct rh_channel, table_link));
}

void *rh_core_copy_next(const struct rh_core *core, void *cursor, struct rh_copy_info *ret_info)
{
    struct rh_table_link *link = rh_table_next(&core->channels, cursor);
    if (link != NULL) {
        describe(channel_of(link), ret_info);
    }
    return link;
}

/* Without the walk that every access within a step begins with. */
static const struct rh_channel *find(const struct rh_core *core, struct rh_bytes key)
{
    for (struct rh_table_link *link = rh_table_next(&core->channels, NULL); link != NULL;
         link = rh_table_next(&core->channels, link)) {
        if (rh_bytes_equal(rh_channel_key(channel_of(link)), key)) {
            return channel_of(link);
        }
    }
    return NULL;
}

bool rh_core_copy_find(const struct rh_core *core, struct rh_bytes key,
                       struct rh_copy_info *ret_info)
{
    const struct rh_channel *channel = find(core, key);
    if (channel != NULL) {
        describe(channel, ret_info);
    }
    return channel != NULL;
}

const struct rh_entry *rh_core_copy_entry(const struct rh_core *core, struct rh_bytes key,
                                          uint64_t op, struct rh_term *ret_term)
{
    const struct rh_channel *channel = find(core, key);
    if (channel == NULL) {
        return NULL;
    }
    *ret_term = rh_channel_term_at(channel, op);
    return rh_channel_log_get(channel->log, op);
}

bool rh_core_copy_id(const struct rh_core *core, struct rh_bytes key, struct rh_bytes id,
                     uint64_t *ret_seq, uint64_t *ret_op)
{
    const struct rh_channel *channel = find(core, key);
    return channel != NULL && rh_id_window_find(channel->ids, id, ret_seq, ret_op);
}

static uint64_t length(const struct rh_list *list)
{
    uint64_t count = 0;
    for (const struct rh_list *link = list->next; link != list; link = link->next) {
        count++;
    }
    return count;
}

void rh_core_inside(const struct rh_core *core, struct rh_core_inside *ret_inside)
{
    *ret_inside = (struct rh_core_inside){
        .tombs = core->tombs.count,
        .busy = length(&core->busy),
        .moves = core->stats.moves_waiting,
        .claims = core->stats.claims_waiting,
        .syncs_out = core->syncs.count,
        .syncs_in = length(&core->incoming),
        .tunnels_to = length(&core->tunnels_out),
        .tunnels_from = length(&core->tunnels_in),
        .lost = core->lost,
        .complete = core->complete,
        .recorded = core->recorded,
        .sweeping = core->sweeping,
    };
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        ret_inside->held_bytes += rh_container_of(link, struct rh_process, link)->held_bytes;
    }
    for (struct rh_table_link *link = rh_table_next(&core->channels, NULL); link != NULL;
         link = rh_table_next(&core->channels, link)) {
        const struct rh_reported *reported = rh_core_reported(core, channel_of(link));
        ret_inside->reports += reported == NULL ? 0 : reported->count;
    }
}

/* ---- relayed connections ---- */

bool rh_core_relayed_look(const struct rh_subscription *subscription,
                          struct rh_relayed_info *ret_info)
{
    if (subscription->state != RH_SUBSCRIPTION_RELAYED) {
        return false;
    }
    const struct rh_relayed *relayed = subscription->relayed;
    bool is_asked = relayed->state == RH_RELAYED_ASKED || relayed->state == RH_RELAYED_OPEN;
    *ret_info = (struct rh_relayed_info){
        .stream = is_asked ? relayed->number : 0,
        .is_open = relayed->state == RH_RELAYED_OPEN,
        .untaken = relayed->untaken,
    };
    if (relayed->tunnel != NULL) {
        ret_info->instance = relayed->tunnel->process->ref.instance;
        ret_info->tunnel = relayed->tunnel->id;
    }
    return true;
}

void *rh_core_remote_next(const struct rh_core *core, void *cursor, struct rh_remote_info *ret_info)
{
    struct rh_table_link *link = rh_table_next(&core->remotes, cursor);
    if (link != NULL) {
        const struct rh_remote *remote =
            (struct rh_remote *)((uintptr_t)link - offsetof(struct rh_remote, table_link));
        const struct rh_channel *channel = remote->subscription.channel;
        *ret_info = (struct rh_remote_info){
            .subscription = &remote->subscription,
            .key = channel == NULL ? rh_bytes(NULL, 0) : rh_channel_key(channel),
            .instance = remote->tunnel->process->ref.instance,
            .tunnel = remote->tunnel->id,
            .stream = remote->number,
            .untaken = remote->untaken,
        };
    }
    return link;
}

bool rh_core_tunnel_to(const struct rh_core *core, uint64_t instance,
                       struct rh_tunnel_info *ret_info)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_out, link) {
        const struct rh_tunnel_out *tunnel = rh_container_of(link, struct rh_tunnel_out, link);
        if (tunnel->process->ref.instance == instance) {
            *ret_info = (struct rh_tunnel_info){
                .tunnel = tunnel->id,
                .bytes = tunnel->arrived,
                .streams = length(&tunnel->asked) + length(&tunnel->open),
                .silent_ms = core->now_ms - tunnel->heard_ms,
            };
            return true;
        }
    }
    return false;
}

bool rh_core_tunnel_from(const struct rh_core *core, uint64_t instance,
                         struct rh_tunnel_info *ret_info)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->tunnels_in, link) {
        const struct rh_tunnel_in *tunnel = rh_container_of(link, struct rh_tunnel_in, link);
        if (tunnel->process->ref.instance == instance) {
            *ret_info = (struct rh_tunnel_info){
                .tunnel = tunnel->id,
                .bytes = tunnel->on_the_way,
                .streams = length(&tunnel->remotes),
                .silent_ms = core->now_ms - tunnel->heard_ms,
            };
            return true;
        }
    }
    return false;
}
