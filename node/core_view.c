/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Views: adopting one, and holding every channel against it in small steps. Telling each ring owner
 * which copies it will find here is in core_reports.c, what others report in core_reported.c.
 */

/* ---- the walk ---- */

/* Whether this node is done with the channel's clients: it does not serve it, and another node is
 * where they belong (H5). */
static void move_clients(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    bool is_served = rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING;
    bool is_empty = channel->audience == NULL && channel->waiters == NULL;
    if (is_served || owner == NULL || owner == core->self_process || is_empty) {
        return;
    }
    core->sweep_connections += channel->streams_count;
    rh_core_streams_move(core, channel, owner->index);
    rh_core_requests_retry_channel(core, channel);
}

/* One copy, as today: a channel that belongs to another node is dropped. False: it was. */
static bool walk_alone(struct rh_core *core, struct rh_channel *channel)
{
    uint32_t owner = rh_ring_owner(core->view->ring, channel->hash);
    if (owner == core->self || owner == RH_RING_NONE) {
        return true;
    }
    core->sweep_channels += channel->incarnation != 0;
    core->sweep_connections += channel->streams_count;
    rh_core_streams_move(core, channel, owner);
    rh_core_readers_end(core, channel);
    rh_core_channel_drop(core, channel);
    return false;
}

/* V3, and what a lost registration does to a copy. */
static void put_role_right(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->standing != core->standing) {
        channel->standing = core->standing;
        if (rh_role_holds_copy(channel->role)) {
            rh_core_depose(core, channel, RH_ROLE_SUSPECT);
        }
    }
    switch ((enum rh_role)channel->role) {
    case RH_ROLE_CLAIMING:
        rh_core_depose(core, channel, RH_ROLE_REPLICA);
        return;
    case RH_ROLE_PASSING:
        if (!rh_process_is_registered(channel->acting->passing_to)) {
            rh_core_depose(core, channel, RH_ROLE_REPLICA);
        }
        return;
    case RH_ROLE_GATED:
        rh_core_role_set(core, channel, RH_ROLE_ACTING);
        return;
    case RH_ROLE_ABSENT:
    case RH_ROLE_WAITING:
    case RH_ROLE_JOINING:
    case RH_ROLE_REPLICA:
    case RH_ROLE_SUSPECT:
    case RH_ROLE_ACTING:
    case RH_ROLE_CLOSING:
    case RH_ROLES:
        return;
    }
}

/* The process that has the id of a dead one now: nobody may be taken for another (a fault). */
static struct rh_process *successor(const struct rh_core *core, const struct rh_process *process)
{
    uint32_t index = rh_view_find(core->view, process->ref.id);
    return index == RH_RING_NONE ? NULL : core->members[index];
}

/* G6, and `lacked`. */
static void put_group_right(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_group *group = channel->group;
    if (!rh_role_is_actor(channel->role)) {
        channel->lacked |= !rh_process_is_registered(group->members[0]);
        return;
    }
    struct rh_process *left[RH_PEER_GROUP_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        if (rh_process_is_registered(group->members[i])) {
            left[count++] = group->members[i];
        } else if (rh_fault(RH_FAULT_KEEP_ROLE) && successor(core, group->members[i]) != NULL) {
            left[count++] = successor(core, group->members[i]);
        }
    }
    assert(count > 0 && left[0] == core->self_process);
    for (uint32_t i = 0; i < group->count; i++) {
        struct rh_process *process = group->members[i];
        if (!rh_process_is_registered(process) || process->was_lost) {
            (void)rh_core_acting(core, channel); /* so that it is found among the members */
        }
    }
    for (uint32_t i = channel->acting == NULL ? 0 : channel->acting->count; i > 0; i--) {
        struct rh_member *member = &channel->acting->members[i - 1];
        if (member->leaving && rh_fault(RH_FAULT_TRUST_LEAVERS)) {
            member->leaving = false;
        } else if (member->leaving) { /* void from now on (G4), and perhaps done before */
            rh_core_member_distrust(core, member);
        } else if (member->process->was_lost && !rh_fault(RH_FAULT_TRUST_LOST)) {
            rh_core_member_doubt(core, channel, member);
        }
        if (!rh_process_is_registered(member->process) || !member->in_group) {
            rh_core_member_remove(core, channel, member); /* or joins anew (S2: of this epoch) */
        }
    }
    if (count < group->count || rh_fault(RH_FAULT_KEEP_ROLE)) {
        rh_core_group_set(core, channel, rh_core_group_get(core, left, count));
    }
}

static void walk_copy(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_incoming_free(core, channel);
    rh_core_queue_remove(core, channel);
    const struct rh_reported *reported = rh_channel_reported(channel);
    if (reported != NULL && reported->view != core->view_number) {
        rh_core_reported_free(core, channel);
    }
    put_role_right(core, channel);
    if (!rh_core_is_registered(core)) {
        move_clients(core, channel);
        return;
    }
    if (rh_role_holds_copy(channel->role)) {
        put_group_right(core, channel);
    }
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    core->sweep_channels += owner != core->self_process && rh_role_is_actor(channel->role);
    move_clients(core, channel);
    if (rh_role_is_actor(channel->role)) {
        rh_core_try_commit(core, channel); /* whoever was waited for may be gone */
        rh_core_advance(core, channel);
        rh_core_moves_add(core, channel);
        rh_core_requests_retry_channel(core, channel); /* the gate, if there was one, is open */
    } else if (channel->role == RH_ROLE_PASSING) {
        rh_core_send_own(core, channel);
    } else if (owner == core->self_process) {
        rh_core_claims_add(core, channel);
    }
}

bool rh_core_walk(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->walked == core->view_number && channel->standing == core->standing) {
        return true;
    }
    channel->walked = core->view_number;
    if (!core->options.replication) {
        channel->standing = core->standing;
        return core->view == NULL || walk_alone(core, channel);
    }
    channel->told_whole = false;
    if (core->view != NULL) {
        walk_copy(core, channel);
    }
    if (rh_role_holds_copy(channel->role) || rh_channel_is_used(channel) ||
        rh_channel_reported(channel) != NULL) {
        return true;
    }
    rh_core_channel_settle(core, channel);
    return false;
}

/* ---- the sweep ---- */

static void end_sweep(struct rh_core *core)
{
    core->sweeping = false;
    if (core->options.replication && rh_core_is_registered(core)) {
        rh_core_reports_end(core);
        rh_core_check_complete(core);
    }
    if (core->sweep_is_told) {
        return; /* it was only for a link that came up again */
    }
    core->sweep_is_told = true;
    core->stats.moved_channels += core->sweep_channels;
    struct rh_action *action = rh_core_act(core, RH_ACTION_SWEPT);
    action->swept.epoch = core->view->epoch;
    action->swept.channels = core->sweep_channels;
    action->swept.connections = core->sweep_connections;
    core->sweep_channels = 0;
    core->sweep_connections = 0;
}

void rh_core_sweep(struct rh_core *core)
{
    if (!core->sweeping) {
        return;
    }
    struct rh_report_batch *batches = rh_core_reports_begin(core);
    for (uint32_t n = 0; n < core->options.steps.sweep_channels; n++) {
        struct rh_list *link = rh_list_first(&core->unswept);
        if (link == NULL) {
            break;
        }
        struct rh_channel *channel = rh_container_of(link, struct rh_channel, list_link);
        rh_list_remove(link);
        rh_list_push_back(&core->swept, link);
        if (rh_core_walk(core, channel) && batches != NULL) {
            rh_core_reports_add(core, batches, channel);
        }
    }
    rh_core_reports_send(core, batches);
    if (rh_list_empty(&core->unswept)) {
        end_sweep(core);
    }
}

static void begin_sweep(struct rh_core *core)
{
    rh_list_splice(&core->unswept, &core->swept);
    core->sweeping = core->view != NULL;
}

void rh_core_reports_peer_up(struct rh_core *core, struct rh_process *process)
{
    if (!rh_core_is_registered(core) || !rh_process_is_registered(process)) {
        return;
    }
    rh_core_reports_round(core, process);
    begin_sweep(core);
}

/* ---- adopting ---- */

/* Whether a member is the same process as in the view before, and was lost in between: what it holds
 * is suspect, also where it does not say so yet. */
static bool began_anew(const struct rh_view *before, const struct rh_view *view, size_t index)
{
    const struct rh_registration *member = &view->members[index];
    if (before == NULL || !rh_view_has(before, member->id, member->instance)) {
        return false;
    }
    return before->epoch.generation != view->epoch.generation ||
           strcmp(rh_view_chain(before, rh_view_find(before, member->id)),
                  rh_view_chain(view, index)) != 0;
}

static void find_members(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        struct rh_process *process = rh_container_of(link, struct rh_process, link);
        process->was_member = process->index != RH_RING_NONE;
        process->index = RH_RING_NONE;
        process->reported = false;
        process->wants_reports = false;
        process->was_shown = false;
        process->reports = 0;
        rh_core_reports_forget(core, process);
        process->lease_ms = 0; /* a lease is of one epoch (R4) */
        process->asked = 0;
    }
    free(core->members);
    core->members = rh_core_alloc(core->view->members_count + 1, sizeof(struct rh_process *));
    core->members_down = 0;
    for (size_t i = 0; i < core->view->members_count; i++) {
        const struct rh_node_ref ref = rh_registration_ref(&core->view->members[i]);
        struct rh_process *process = rh_groups_process(&core->groups, &ref);
        if (process == NULL) {
            abort();
        }
        process->index = (uint32_t)i;
        process->was_lost = began_anew(core->view_before, core->view, i);
        if (!process->was_member && !process->is_up) {
            process->down_ms = core->now_ms; /* its link has to be made first */
        }
        rh_core_relays_begin(core, process);
        if (process != core->self_process) {
            core->members_down += !process->is_up;
            rh_core_reports_round(core, process);
        }
        core->members[i] = process;
    }
    core->self = core->self_process->index;
    rh_groups_tidy(&core->groups, core->self_process);
}

static void note_standing(struct rh_core *core, const struct rh_event *event)
{
    core->registration_epoch = event->registration_epoch;
    if (core->view_number == 1) {
        core->ignorant_until_ms = event->ignorant_until_ms;
    }
    if (core->self == RH_RING_NONE || event->registration_epoch.generation == 0) {
        rh_core_lose(core); /* a view from before it was lost may name it still */
        return;
    }
    core->lost = false;
}

void rh_core_adopt(struct rh_core *core, const struct rh_event *event)
{
    struct rh_view *view = event->view;
    assert(core->view == NULL || rh_epoch_compare(view->epoch, core->view->epoch) > 0);
    core->view_before = core->view;
    core->view = rh_view_take(view);
    core->view_number++;
    core->stats.arrivals_waiting = 0; /* what was reported was of the view before */
    core->view_since_ms = core->now_ms;
    core->complete = false;
    core->recorded = rh_epoch_compare(core->recorded_epoch, view->epoch) == 0;
    core->turn = 0;
    rh_core_tombs_expire(core); /* all of them count for nothing from now on */
    find_members(core);
    if (core->view_before != NULL && rh_view_lost(core->view_before, view)) {
        core->lost_ms = core->now_ms;
    }
    if (core->options.replication) {
        note_standing(core, event);
        rh_core_credits_renew(core);
    }
    core->sweep_is_told = false;
    begin_sweep(core);
    rh_core_sweep(core);
    rh_core_streams_retry(core);
    rh_core_remotes_view(core);
    rh_core_relayed_view(core);
    rh_core_requests_retry(core);
    rh_core_readers_retry(core);
    rh_core_feeds_scan(core);
    if (core->options.replication) {
        rh_core_release_held(core);
        rh_core_check_complete(core);
    }
}

void rh_core_lose(struct rh_core *core)
{
    if (!core->options.replication || core->lost) {
        return;
    }
    if (rh_fault(RH_FAULT_LOST_ACTS)) {
        return;
    }
    core->lost = true;
    core->standing++;
    core->stats.losses++;
    core->proof_ms = 0;
    core->complete = false;
    rh_core_reports_stop(core);
    begin_sweep(core);
    rh_core_sweep(core);
}
