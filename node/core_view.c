/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Views: adopting one, holding every channel against it in small steps, and telling each ring owner
 * which copies it will find here. The opposite direction, what others report, is kept with the
 * channel until it is dealt with (core_takeover.c, core_group.c).
 */

#define SWEEP_CHANNELS 512 /* channels looked at in one step of a sweep */

/* ---- reports: what was told to us ---- */

struct rh_reported *rh_core_reported(const struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_reported *reported = channel->reported;
    return reported != NULL && reported->view == core->view_number && reported->count > 0 ? reported
                                                                                          : NULL;
}

static void forget_copy(struct rh_core *core, struct rh_reported_copy *copy)
{
    copy->from->groups--;
    if (copy->passing_to != NULL) {
        copy->passing_to->groups--;
    }
    rh_core_give_group(core, copy->group);
}

void rh_core_reported_free(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_reported *reported = channel->reported;
    if (reported == NULL) {
        return;
    }
    for (uint32_t i = 0; i < reported->count; i++) {
        forget_copy(core, &reported->items[i]);
    }
    core->stats.arrivals_waiting -= reported->view == core->view_number;
    free(reported->items);
    free(reported);
    channel->reported = NULL;
}

static struct rh_reported_copy *find_copy(struct rh_reported *reported,
                                          const struct rh_process *from)
{
    for (uint32_t i = 0; reported != NULL && i < reported->count; i++) {
        if (reported->items[i].from == from) {
            return &reported->items[i];
        }
    }
    return NULL;
}

void rh_core_reported_remove(struct rh_core *core, struct rh_channel *channel,
                             const struct rh_process *from)
{
    struct rh_reported *reported = channel->reported;
    struct rh_reported_copy *copy = find_copy(reported, from);
    if (copy == NULL) {
        return;
    }
    forget_copy(core, copy);
    *copy = reported->items[--reported->count];
    if (reported->fetching == from) {
        reported->fetching = NULL;
    }
    if (reported->count == 0) {
        rh_core_reported_free(core, channel);
    }
}

static struct rh_reported *reported_of(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->reported != NULL && channel->reported->view != core->view_number) {
        rh_core_reported_free(core, channel);
    }
    if (channel->reported == NULL) {
        channel->reported = rh_core_alloc(1, sizeof(*channel->reported));
        channel->reported->view = core->view_number;
        core->stats.arrivals_waiting++;
    }
    return channel->reported;
}

/* The group of a message, with a reference; NULL: it is empty, or out of memory. */
static struct rh_group *group_of(struct rh_core *core, const struct rh_peer_group *group)
{
    struct rh_process *members[RH_PEER_GROUP_MAX];
    for (size_t i = 0; i < group->count; i++) {
        members[i] = rh_groups_process(&core->groups, &group->members[i]);
        if (members[i] == NULL) {
            return NULL;
        }
    }
    return group->count == 0 ? NULL : rh_groups_get(&core->groups, members, (uint32_t)group->count);
}

static void keep_copy(struct rh_core *core, struct rh_channel *channel, struct rh_process *from,
                      const struct rh_peer_copy *copy)
{
    struct rh_group *group = group_of(core, &copy->group);
    if (group == NULL) {
        abort(); /* what was reported must not be forgotten */
    }
    rh_core_reported_remove(core, channel, from);
    struct rh_reported *reported = reported_of(core, channel);
    if (reported->count == reported->capacity) {
        reported->capacity = reported->capacity == 0 ? 2 : reported->capacity * 2;
        reported->items =
            rh_core_grow(reported->items, sizeof(*reported->items), reported->capacity);
    }
    struct rh_process *passing_to = NULL;
    if (copy->state == RH_PEER_COPY_PASSING) {
        passing_to = rh_groups_process(&core->groups, &copy->passing_to);
        if (passing_to == NULL) {
            abort();
        }
        passing_to->groups++;
    }
    from->groups++;
    reported->items[reported->count++] = (struct rh_reported_copy){
        .from = from,
        .incarnation = copy->incarnation,
        .term = copy->term,
        .op = copy->op,
        .state = copy->state,
        .suspect = copy->suspect,
        .lacked = copy->lacked,
        .group = group,
        .passing_to = passing_to,
    };
}

/* It is asked by an append that names the group whether it still has what it said. */
static void doubt(struct rh_core *core, struct rh_channel *channel, struct rh_member *member)
{
    member->confirmed = false;
    member->informed = false;
    member->told = 0;
    rh_core_mark_dirty(core, channel);
}

/* G9: what a member of the group reports may say that it is not what we took it for. */
static void judge_member(struct rh_core *core, struct rh_channel *channel, struct rh_process *from,
                         const struct rh_peer_copy *copy)
{
    struct rh_member *member = rh_core_member(channel, from);
    if (member == NULL && !rh_group_has(channel->group, from)) {
        return;
    }
    bool is_gone = rh_term_equal(copy->term, (struct rh_term){0});
    bool is_fine = !is_gone && !copy->suspect && rh_term_equal(copy->term, channel->term) &&
                   copy->op >= channel->commit;
    if (is_fine) {
        return;
    }
    (void)rh_core_acting(core, channel);
    member = rh_core_member(channel, from);
    if (member == NULL) {
        return;
    }
    doubt(core, channel, member);
    if (is_gone || !rh_term_equal(copy->term, channel->term)) {
        member->known = false;
        member->acked = 0;
    } else if (copy->op < member->acked) {
        member->acked = copy->op;
    }
    member->sent = member->acked;
}

static void take_copy(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_copy *copy)
{
    struct rh_channel *channel = rh_core_channel_find(core, copy->key);
    bool is_gone = rh_term_equal(copy->term, (struct rh_term){0});
    if (channel == NULL && is_gone) {
        return;
    }
    if (channel == NULL) {
        channel = rh_core_channel_make(core, copy->key);
        if (channel == NULL) {
            abort();
        }
    }
    if (rh_core_ring_owner(core, channel) != core->self_process) {
        rh_core_channel_settle(core, channel);
        return; /* a mistake of the sender's: in one epoch all have one ring */
    }
    if (is_gone) {
        rh_core_reported_remove(core, channel, from);
    } else {
        keep_copy(core, channel, from, copy);
    }
    if (rh_role_is_actor(channel->role)) {
        judge_member(core, channel, from, copy);
        rh_core_advance(core, channel);
    } else {
        rh_core_claims_add(core, channel);
        rh_core_channel_settle(core, channel);
    }
}

void rh_core_on_report(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message)
{
    if (message->report.round > from->round_in) {
        from->round_in = message->report.round;
        from->round_count = 0;
    }
    if (message->report.round == from->round_in) {
        from->round_count += message->report.count;
    }
    for (size_t i = 0; i < message->report.count; i++) {
        take_copy(core, from, &message->report.copies[i]);
    }
    core->claims_ms = core->now_ms;
}

/* ---- reports: what we tell ---- */

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

static void send_report(struct rh_core *core, struct rh_process *to, struct rh_peer_copy *copies,
                        size_t count, uint32_t round)
{
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_REPORT);
    message->report.round = round;
    message->report.copies = copies;
    message->report.count = count;
}

void rh_core_report_again(struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    if (!channel->told_whole || owner == NULL || owner == core->self_process ||
        !rh_core_is_registered(core)) {
        return;
    }
    struct rh_peer_copy *copy = rh_core_scratch(core, 1, sizeof(*copy));
    *copy = copy_of(channel);
    send_report(core, owner, copy, 1, 0);
}

/* All copies are told anew. */
static void begin_round(struct rh_core *core, struct rh_process *process)
{
    process->wants_reports = true;
    process->reports = 0;
    process->round = ++core->round;
}

/* ---- the walk ---- */

/* Whether this node is done with the channel's clients: it does not serve it, and another node is
 * where they belong (H5). */
static void move_clients(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    bool is_served = rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING;
    if (is_served || owner == NULL || owner == core->self_process || channel->audience == NULL) {
        return;
    }
    core->sweep_connections += rh_channel_streams(channel);
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
    core->sweep_connections += rh_channel_streams(channel);
    rh_core_streams_move(core, channel, owner);
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

/* It may have dropped its copy: it is a member, and counts for nothing until it has said what it
 * holds. */
static void distrust(struct rh_core *core, struct rh_member *member)
{
    /* What it acknowledged before it left may still be on its way. */
    member->not_before = rh_core_stamp(core);
    member->leaving = false;
    member->known = false;
    member->confirmed = false;
    member->informed = false;
    member->told = 0;
    member->acked = 0;
    member->sent = 0;
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
        if (member->leaving) { /* void from now on (G4), and perhaps done before */
            distrust(core, member);
        } else if (member->process->was_lost) {
            doubt(core, channel, member);
        }
        if (!rh_process_is_registered(member->process)) {
            rh_core_member_remove(core, channel, member);
        } else if (!member->in_group) {
            rh_core_member_remove(core, channel, member); /* joins anew (S2: of this epoch) */
        }
    }
    if (count < group->count || rh_fault(RH_FAULT_KEEP_ROLE)) {
        struct rh_group *smaller = rh_groups_get(&core->groups, left, count);
        if (smaller == NULL) {
            abort();
        }
        rh_core_group_set(core, channel, smaller);
    }
}

static void walk_copy(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_incoming_free(core, channel);
    rh_core_queue_remove(core, channel);
    if (channel->reported != NULL && channel->reported->view != core->view_number) {
        rh_core_reported_free(core, channel);
    }
    put_role_right(core, channel);
    if (core->self == RH_RING_NONE || core->lost) {
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
        channel->reported != NULL) {
        return true;
    }
    rh_core_channel_settle(core, channel);
    return false;
}

/* ---- the sweep ---- */

/* Copies on their way into a report, per receiver: an array as long as the view. */
struct batch {
    struct rh_peer_copy *copies;
    size_t count;
    size_t capacity;
};

static void add_to_report(struct rh_core *core, struct batch *batches, struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    if (owner == NULL || owner == core->self_process || !owner->wants_reports ||
        !rh_role_holds_copy(channel->role)) {
        channel->told_whole = true;
        return;
    }
    struct batch *batch = &batches[owner->index];
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 64 : batch->capacity * 2;
        batch->copies = rh_core_grow(batch->copies, sizeof(*batch->copies), batch->capacity);
    }
    batch->copies[batch->count++] = copy_of(channel);
    owner->reports++;
    channel->told_whole = true;
}

static size_t copy_size(const struct rh_peer_copy *copy)
{
    return 64 + copy->key.size + copy->group.count * 24;
}

static void send_batch(struct rh_core *core, struct rh_process *to, struct batch *batch)
{
    size_t begin = 0;
    size_t size = 0;
    for (size_t i = 0; i < batch->count; i++) {
        size_t more = copy_size(&batch->copies[i]);
        if (i > begin && (size + more > RH_PEER_BATCH_SIZE || i - begin == RH_PEER_COPIES_MAX)) {
            send_report(core, to, batch->copies + begin, i - begin, to->round);
            begin = i;
            size = 0;
        }
        size += more;
    }
    if (batch->count > begin) {
        send_report(core, to, batch->copies + begin, batch->count - begin, to->round);
    }
    rh_core_keep(core, batch->copies);
}

static void end_reports(struct rh_core *core)
{
    for (size_t i = 0; i < core->view->members_count; i++) {
        struct rh_process *process = core->members[i];
        if (process == core->self_process || !process->wants_reports) {
            continue;
        }
        process->wants_reports = false;
        struct rh_peer_message *message = rh_core_send(core, process, RH_PEER_REPORT_END);
        message->report_end.copies = process->reports;
        message->report_end.round = process->round;
    }
}

static void end_sweep(struct rh_core *core)
{
    core->sweeping = false;
    if (core->options.replication && rh_core_is_registered(core)) {
        end_reports(core);
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
    bool reports = core->options.replication && rh_core_is_registered(core);
    struct batch *batches =
        reports ? rh_core_scratch(core, core->view->members_count, sizeof(*batches)) : NULL;
    for (unsigned n = 0; n < SWEEP_CHANNELS; n++) {
        struct rh_list *link = rh_list_first(&core->unswept);
        if (link == NULL) {
            break;
        }
        struct rh_channel *channel = rh_container_of(link, struct rh_channel, list_link);
        rh_list_remove(link);
        rh_list_push_back(&core->swept, link);
        if (rh_core_walk(core, channel) && reports) {
            add_to_report(core, batches, channel);
        }
    }
    for (size_t i = 0; reports && i < core->view->members_count; i++) {
        send_batch(core, core->members[i], &batches[i]);
    }
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
    begin_round(core, process);
    begin_sweep(core);
}

/* ---- complete ---- */

void rh_core_check_complete(struct rh_core *core)
{
    if (core->complete || core->sweeping || !rh_core_is_registered(core)) {
        return;
    }
    for (size_t i = 0; i < core->view->members_count; i++) {
        if (core->members[i] != core->self_process && !core->members[i]->reported) {
            return;
        }
    }
    core->complete = true;
    struct rh_action *action = rh_core_act(core, RH_ACTION_COMPLETE);
    action->epoch = core->view->epoch;
    core->claims_ms = core->now_ms;
}

void rh_core_on_report_end(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    const struct rh_peer_report_end *end = &message->report_end;
    uint64_t told = end->round == from->round_in ? from->round_count : 0;
    if (end->round < from->round_in || told != end->copies) {
        return; /* reports were lost on the way by a third node; they come again */
    }
    from->reported = true;
    rh_core_check_complete(core);
}

void rh_core_recorded(struct rh_core *core, struct rh_epoch epoch)
{
    core->recorded_epoch = epoch;
    bool recorded = core->view != NULL && rh_epoch_compare(epoch, core->view->epoch) == 0;
    if (recorded && !core->recorded) {
        core->claims_ms = core->now_ms;
        core->moves_ms = core->now_ms;
        core->recorded = true;
        rh_core_moves_recorded(core);
    }
    core->recorded = recorded;
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
        process->lease_ms = 0; /* a lease is of one epoch (R4) */
        process->asked = 0;
    }
    free(core->members);
    core->members = rh_core_alloc(core->view->members_count + 1, sizeof(struct rh_process *));
    for (size_t i = 0; i < core->view->members_count; i++) {
        struct rh_node_ref ref = {.instance = core->view->members[i].instance};
        memcpy(ref.id, core->view->members[i].id, RH_NODE_ID_SIZE);
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
            begin_round(core, process);
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
    if (core->self == RH_RING_NONE) {
        rh_core_lose(core);
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
    rh_core_tombs_clear(core);
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
    rh_core_requests_retry(core);
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
    core->lost = true;
    core->standing++;
    core->stats.losses++;
    core->proof_ms = 0;
    core->complete = false;
    begin_sweep(core);
    rh_core_sweep(core);
}
