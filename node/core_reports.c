/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What this node tells each ring owner of its copies (V5): as the sweep walks over them, and again when
 * one has changed since. Of very many no more is on its way than a link takes: the sweep goes on, and
 * copies whose report has no room wait in a list of their own until what was sent before is written.
 *
 *   unswept --walked--> told, swept          there is room on the way to their ring owner
 *              |
 *              +------> rh_process::untold --PEER_DRAINED, link down--> told, swept
 *
 * The end marker follows when the walk is over and nothing is untold.
 */

static enum rh_peer_copy_state copy_state(const struct rh_channel *channel)
{
    switch ((enum rh_role)channel->role) {
    case RH_ROLE_CLAIMING:
        return RH_PEER_COPY_CLAIMING;
    case RH_ROLE_ACTING:
    case RH_ROLE_GATED:
    case RH_ROLE_CLOSING:
        return RH_PEER_COPY_ACTING;
    case RH_ROLE_PASSING:
        return RH_PEER_COPY_PASSING;
    case RH_ROLE_ABSENT:
    case RH_ROLE_WAITING:
    case RH_ROLE_JOINING:
    case RH_ROLE_REPLICA:
    case RH_ROLE_SUSPECT:
    case RH_ROLES:
        break;
    }
    return RH_PEER_COPY_IDLE;
}

static struct rh_peer_copy copy_of(const struct rh_channel *channel)
{
    struct rh_peer_copy copy = {.key = rh_channel_key(channel)};
    if (!rh_role_holds_copy(channel->role)) {
        return copy; /* it is gone */
    }
    copy.incarnation = channel->incarnation;
    copy.term = channel->term;
    copy.op = channel->op;
    copy.state = copy_state(channel);
    copy.suspect = channel->suspect;
    copy.lacked = channel->lacked;
    copy.group =
        (struct rh_peer_group){.members = channel->group->refs, .count = channel->group->count};
    if (channel->role == RH_ROLE_PASSING) {
        copy.passing_to = channel->acting->passing_to->ref;
    }
    return copy;
}

static struct rh_peer_report *send_report(struct rh_core *core, struct rh_process *to,
                                          struct rh_peer_copy *copies, size_t count)
{
    struct rh_peer_report *report = &rh_core_send(core, to, RH_PEER_REPORT)->report;
    report->copies = copies;
    report->count = count;
    return report;
}

void rh_core_report_again(struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    if (rh_fault(RH_FAULT_REPORT_ONCE) || !channel->told_whole || owner == NULL ||
        owner == core->self_process || !rh_core_is_registered(core)) {
        return;
    }
    struct rh_peer_copy *copy = rh_core_scratch(core, 1, sizeof(*copy));
    *copy = copy_of(channel);
    send_report(core, owner, copy, 1)->since = owner->round;
}

static size_t copy_size(const struct rh_peer_copy *copy)
{
    return 64 + copy->key.size + copy->group.count * 24;
}

/* ---- room ---- */

/* On whose link it goes to |to|: by a third node, or NULL: on none, it is lost. */
static struct rh_process *way_to(const struct rh_core *core, struct rh_process *to)
{
    return to->is_up ? to : rh_core_relay_for(core, to);
}

static bool has_room(const struct rh_core *core, struct rh_process *to)
{
    const struct rh_process *way = way_to(core, to);
    return way == NULL || way->ahead < core->options.steps.reports_ahead;
}

/* Asks to be told when what was sent is written, in time for the next to follow at once. */
static void ask_if_far_ahead(struct rh_core *core, struct rh_process *way)
{
    if (way->ahead_asked == 0 && way->ahead >= (core->options.steps.reports_ahead + 1) / 2) {
        way->ahead_asked = way->ahead;
        rh_core_act(core, RH_ACTION_TELL_DRAINED)->peer = way->ref;
    }
}

static bool is_told_all(const struct rh_core *core, const struct rh_process *process)
{
    return !core->sweeping && rh_list_empty(&process->untold);
}

/* Those for whom there may be room now have their turn in the ticks to come. */
static void wake(struct rh_core *core)
{
    bool reports = core->options.replication && rh_core_is_registered(core);
    for (size_t i = 0; reports && i < core->view->members_count; i++) {
        struct rh_process *process = core->members[i];
        bool waits = process->wants_reports && rh_list_empty(&process->tell_link) &&
                     (!rh_list_empty(&process->untold) || is_told_all(core, process));
        if (waits && has_room(core, process)) {
            rh_list_push_back(&core->to_tell, &process->tell_link);
        }
    }
}

void rh_core_reports_drained(struct rh_core *core, const struct rh_node_ref *peer)
{
    struct rh_process *way = rh_groups_find(&core->groups, peer);
    if (way == NULL) {
        return;
    }
    way->ahead -= way->ahead_asked;
    way->ahead_asked = 0;
    ask_if_far_ahead(core, way);
    wake(core);
}

void rh_core_reports_link(struct rh_core *core, struct rh_process *process)
{
    process->ahead = 0;
    process->ahead_asked = 0;
    wake(core);
}

/* ---- a step of them ---- */

/* Copies on their way into a report, per receiver: an array as long as the view. */
struct rh_report_batch {
    struct rh_peer_copy *copies;
    size_t count;
    size_t capacity;
};

static void add_to_batch(struct rh_report_batch *batch, const struct rh_channel *channel)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 64 : batch->capacity * 2;
        batch->copies = rh_core_grow(batch->copies, sizeof(*batch->copies), batch->capacity);
    }
    batch->copies[batch->count++] = copy_of(channel);
}

struct rh_report_batch *rh_core_reports_begin(struct rh_core *core)
{
    bool reports = core->options.replication && rh_core_is_registered(core);
    return reports
               ? rh_core_scratch(core, core->view->members_count, sizeof(struct rh_report_batch))
               : NULL;
}

static bool is_to_be_told(const struct rh_core *core, const struct rh_channel *channel,
                          const struct rh_process *owner)
{
    return owner != NULL && owner != core->self_process && owner->wants_reports &&
           rh_role_holds_copy(channel->role);
}

void rh_core_reports_add(struct rh_core *core, struct rh_report_batch *batches,
                         struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    bool is_told = is_to_be_told(core, channel, owner);
    if (is_told && (!rh_list_empty(&owner->untold) || !has_room(core, owner))) {
        rh_list_remove(&channel->list_link);
        rh_list_push_back(&owner->untold, &channel->list_link);
        return;
    }
    if (is_told) {
        add_to_batch(&batches[owner->index], channel);
        owner->reports++;
    }
    channel->told_whole = true;
}

static void send_part(struct rh_core *core, struct rh_process *to, struct rh_peer_copy *copies,
                      size_t count, size_t size)
{
    send_report(core, to, copies, count)->round = to->round;
    struct rh_process *way = way_to(core, to);
    if (way != NULL) {
        way->ahead += size;
        ask_if_far_ahead(core, way);
    }
}

static void send_batch(struct rh_core *core, struct rh_process *to, struct rh_report_batch *batch)
{
    size_t begin = 0;
    size_t size = 0;
    for (size_t i = 0; i < batch->count; i++) {
        size_t more = copy_size(&batch->copies[i]);
        if (i > begin && (size + more > RH_PEER_BATCH_SIZE || i - begin == RH_PEER_COPIES_MAX)) {
            send_part(core, to, batch->copies + begin, i - begin, size);
            begin = i;
            size = 0;
        }
        size += more;
    }
    if (batch->count > begin) {
        send_part(core, to, batch->copies + begin, batch->count - begin, size);
    }
    rh_core_keep(core, batch->copies);
}

void rh_core_reports_send(struct rh_core *core, struct rh_report_batch *batches)
{
    for (size_t i = 0; batches != NULL && i < core->view->members_count; i++) {
        send_batch(core, core->members[i], &batches[i]);
    }
}

/* ---- rounds ---- */

void rh_core_reports_forget(struct rh_core *core, struct rh_process *process)
{
    rh_list_splice(&core->unswept, &process->untold);
    rh_list_remove(&process->tell_link);
}

void rh_core_reports_stop(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        rh_core_reports_forget(core, rh_container_of(link, struct rh_process, link));
    }
}

void rh_core_reports_round(struct rh_core *core, struct rh_process *process)
{
    rh_core_reports_forget(core, process);
    process->wants_reports = true;
    process->reports = 0;
    process->round = ++core->round;
}

static void end_if_told_all(struct rh_core *core, struct rh_process *process)
{
    if (process == core->self_process || !process->wants_reports || !is_told_all(core, process)) {
        return;
    }
    process->wants_reports = false;
    struct rh_peer_message *message = rh_core_send(core, process, RH_PEER_REPORT_END);
    message->report_end.copies = process->reports;
    message->report_end.round = process->round;
}

void rh_core_reports_end(struct rh_core *core)
{
    for (size_t i = 0; i < core->view->members_count; i++) {
        end_if_told_all(core, core->members[i]);
    }
}

bool rh_core_reports_more(struct rh_core *core)
{
    struct rh_list *link = rh_list_first(&core->to_tell);
    if (link == NULL || !rh_core_is_registered(core)) {
        return false;
    }
    struct rh_process *process = rh_container_of(link, struct rh_process, tell_link);
    struct rh_report_batch *batch = rh_core_scratch(core, 1, sizeof(*batch));
    rh_list_remove(link);
    for (uint32_t n = 0; n < core->options.steps.sweep_channels; n++) {
        struct rh_list *first = rh_list_first(&process->untold);
        if (first == NULL) {
            break;
        }
        struct rh_channel *channel = rh_container_of(first, struct rh_channel, list_link);
        rh_list_remove(first);
        rh_list_push_back(&core->swept, first);
        if (is_to_be_told(core, channel, process)) {
            add_to_batch(batch, channel);
            process->reports++;
        }
        channel->told_whole = true;
    }
    send_batch(core, process, batch);
    end_if_told_all(core, process);
    if (!rh_list_empty(&process->untold) && has_room(core, process)) {
        rh_list_push_back(&core->to_tell, link);
    }
    return true;
}
