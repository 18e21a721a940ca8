/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_inspect.h"

#include "node/core_internal.h"

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
