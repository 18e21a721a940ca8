/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What the other nodes have reported of the channels that this node owns in the present view: kept
 * with the channel until it is dealt with (core_takeover.c, core_group.c); and whether all of them
 * have, and that is recorded, so that channels may move (V6).
 */

struct rh_reported *rh_core_reported(const struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_reported *reported = rh_channel_reported(channel);
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
    struct rh_reported *reported = rh_channel_reported(channel);
    if (reported == NULL) {
        return;
    }
    for (uint32_t i = 0; i < reported->count; i++) {
        forget_copy(core, &reported->items[i]);
    }
    core->stats.arrivals_waiting -= reported->view == core->view_number;
    free(reported->items);
    free(reported);
    channel->dealings->reported = NULL;
    rh_core_dealings_settle(core, channel);
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

const struct rh_reported_copy *rh_core_reported_copy(const struct rh_core *core,
                                                     const struct rh_channel *channel,
                                                     const struct rh_process *from)
{
    return find_copy(rh_core_reported(core, channel), from);
}

void rh_core_reported_remove(struct rh_core *core, struct rh_channel *channel,
                             const struct rh_process *from)
{
    struct rh_reported *reported = rh_channel_reported(channel);
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
    struct rh_reported *reported = rh_channel_reported(channel);
    if (reported != NULL && reported->view == core->view_number) {
        return reported;
    }
    rh_core_reported_free(core, channel);
    reported = rh_core_alloc(1, sizeof(*reported));
    reported->view = core->view_number;
    rh_core_dealings(channel)->reported = reported;
    core->stats.arrivals_waiting++;
    return reported;
}

static void keep_copy(struct rh_core *core, struct rh_channel *channel, struct rh_process *from,
                      const struct rh_peer_copy *copy)
{
    struct rh_group *group = rh_core_group_of(core, &copy->group);
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
    rh_core_member_doubt(core, channel, member);
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
        return;
    }
    rh_core_claims_add(core, channel);
    if (copy->state == RH_PEER_COPY_ACTING) {
        rh_core_requests_retry_channel(core, channel); /* H6: they are served there */
    }
    rh_core_channel_settle(core, channel);
}

static void begin_round(struct rh_process *from, uint32_t round)
{
    if (round > from->round_in) {
        from->round_in = round;
        from->round_count = 0;
    }
}

/* How many of the copies are taken in this step; the others are held, as a report of their own. */
static size_t hold_most(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    size_t count = message->report.count;
    size_t max = core->options.steps.report_copies;
    if (count <= max) {
        return count;
    }
    struct rh_peer_message rest = *message;
    rest.report.copies += max;
    rest.report.count -= max;
    return rh_core_hold_rest(core, from, &rest) ? max : count;
}

void rh_core_on_report(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message)
{
    uint32_t round = message->report.round;
    uint32_t since = round == 0 ? message->report.since : round;
    if (since != 0 && since < from->round_in && !rh_fault(RH_FAULT_OLD_ROUND)) {
        return; /* overtaken, by another way, by a round in which all is told anew */
    }
    begin_round(from, round);
    size_t count = hold_most(core, from, message);
    if (round == from->round_in) {
        from->round_count += count;
    }
    for (size_t i = 0; i < count; i++) {
        take_copy(core, from, &message->report.copies[i]);
    }
    core->claims_ms = core->now_ms;
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
    begin_round(from, end->round);
    bool whole = from->round_count == end->copies || rh_fault(RH_FAULT_LOST_REPORTS);
    if (end->round < from->round_in || !whole) {
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
        rh_core_queues_wake(core);
        core->recorded = true;
        rh_core_moves_recorded(core);
    }
    core->recorded = recorded;
}
