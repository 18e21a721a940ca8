/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

/*
 * Who comes into the group of a channel and who goes, and the handing over that follows: what the
 * actor does so that the nodes that should have a channel have it, and no other. All of it is one
 * function, rh_core_advance(), that looks at where the channel stands and takes the next step:
 *
 *   the preference list is not in the group      let them join: sync, then the group names them (G1)
 *   it is, confirmed, and the ring is ours       ask the others to leave (G3)
 *   it is, confirmed, the ring is another's,     close the gate, wait for what is under way, and
 *   and the epoch is recorded                    send `Own` (H1, H2)
 *
 * Channels that nobody waits for have their turn at a pace (H7), from the queue `moves`.
 */

#define PUMP_MAX      256U /* channels that have their turn in one step */
#define MISSES_MAX    256U /* of those at the front that cannot begin */
#define LOOK_MS       200U /* at channels that could not begin */
#define LEAVE_MS      500U
#define PACE_BURST_US 50000U
#define TOMB_MS       60000U /* nothing is on its way for so long (N9) */
#define TOMBS_MAX     4096U  /* let go in one step */

size_t rh_core_preference(const struct rh_core *core, const struct rh_channel *channel,
                          struct rh_process *ret_list[RH_RING_REPLICAS_MAX])
{
    uint32_t indices[RH_RING_REPLICAS_MAX];
    size_t count =
        rh_ring_preference(core->view->ring, channel->hash, core->view->config.replicas, indices);
    for (size_t i = 0; i < count; i++) {
        ret_list[i] = core->members[indices[i]];
    }
    return count;
}

struct rh_group *rh_core_group_get(struct rh_core *core, struct rh_process *const *members,
                                   uint32_t count)
{
    struct rh_group *group = rh_groups_get(&core->groups, members, count);
    if (group == NULL) {
        abort();
    }
    return group;
}

struct rh_group *rh_core_group_of(struct rh_core *core, const struct rh_peer_group *wanted)
{
    struct rh_process *members[RH_PEER_GROUP_MAX];
    assert(wanted->count > 0 && wanted->count <= RH_PEER_GROUP_MAX);
    for (size_t i = 0; i < wanted->count; i++) {
        members[i] = rh_groups_process(&core->groups, &wanted->members[i]);
        if (members[i] == NULL) {
            abort();
        }
    }
    return rh_core_group_get(core, members, (uint32_t)wanted->count);
}

static bool is_listed(struct rh_process *const *list, size_t count,
                      const struct rh_process *process)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == process) {
            return true;
        }
    }
    return false;
}

/* Whether the group is what the preference list says, the ring owner first. */
static bool is_as_listed(const struct rh_core *core, const struct rh_channel *channel,
                         struct rh_process *const *list, size_t count)
{
    if (count == 0) {
        return true; /* there is no place to be */
    }
    if (list[0] != core->self_process || channel->group->count != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!rh_group_has(channel->group, list[i])) {
            return false;
        }
    }
    return true;
}

/* Whether nothing is left to do for an acting channel in this view. */
static bool is_in_place(const struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t count = rh_core_preference(core, channel, list);
    return is_as_listed(core, channel, list, count);
}

static void note_short(struct rh_core *core, struct rh_channel *channel)
{
    bool is_short = rh_role_serves(channel->role) && !rh_core_is_large_enough(core, channel);
    core->stats.channels_short += is_short;
    core->stats.channels_short -= channel->is_short;
    channel->is_short = is_short;
}

/* ---- tombs ---- */

struct tomb {
    struct rh_table_link link; /* by key */
    struct rh_list age_link;   /* rh_core::tombs_by_age */
    uint64_t since_ms;
    uint32_t view; /* rh_core::view_number; one of an earlier view is none */
    struct rh_term term;
};

static uint64_t tomb_hash(const struct rh_core *core, struct rh_bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.size, core->options.secret ^ 0x746f6d62);
}

/* Two keys of one 64-bit hash share a tomb: then a sync is refused that need not be, and comes
 * again in the next view. */
static bool any_tomb(const struct rh_table_link *link, const void *key)
{
    (void)link;
    (void)key;
    return true;
}

static struct tomb *tomb_find(const struct rh_core *core, struct rh_bytes key)
{
    struct rh_table_link *link = rh_table_find(&core->tombs, tomb_hash(core, key), any_tomb, NULL);
    return link == NULL ? NULL : rh_container_of(link, struct tomb, link);
}

static void tomb_add(struct rh_core *core, struct rh_bytes key, struct rh_term term)
{
    struct tomb *tomb = tomb_find(core, key);
    if (tomb == NULL) {
        tomb = rh_core_alloc(1, sizeof(*tomb));
        rh_list_init(&tomb->age_link);
        rh_table_insert(&core->tombs, &tomb->link, tomb_hash(core, key));
    }
    if (tomb->view != core->view_number) {
        tomb->view = core->view_number;
        tomb->term = (struct rh_term){0};
    }
    tomb->since_ms = core->now_ms;
    rh_list_remove(&tomb->age_link);
    rh_list_push_back(&core->tombs_by_age, &tomb->age_link);
    if (rh_term_compare(term, tomb->term) > 0) {
        tomb->term = term;
    }
}

bool rh_core_tomb_forbids(const struct rh_core *core, struct rh_bytes key, struct rh_term term)
{
    const struct tomb *tomb = tomb_find(core, key);
    return tomb != NULL && tomb->view == core->view_number && !rh_fault(RH_FAULT_NO_TOMB) &&
           rh_term_compare(term, tomb->term) <= 0;
}

/* The oldest is ended; whether there was one. */
static bool tomb_end(struct rh_core *core, uint64_t age_ms)
{
    struct rh_list *link = rh_list_first(&core->tombs_by_age);
    struct tomb *tomb = link == NULL ? NULL : rh_container_of(link, struct tomb, age_link);
    if (tomb == NULL ||
        (tomb->view == core->view_number && core->now_ms - tomb->since_ms < age_ms)) {
        return false;
    }
    rh_list_remove(link);
    rh_table_remove(&core->tombs, &tomb->link);
    free(tomb);
    return true;
}

void rh_core_tombs_expire(struct rh_core *core)
{
    for (unsigned i = 0; i < TOMBS_MAX && tomb_end(core, TOMB_MS); i++) {
    }
}

void rh_core_tombs_finish(struct rh_core *core)
{
    while (tomb_end(core, 0)) {
    }
}

/* ---- the queue ---- */

void rh_core_queues_wake(struct rh_core *core)
{
    core->moves_ms = core->now_ms;
    core->claims_ms = core->now_ms;
}

void rh_core_queue_remove(struct rh_core *core, struct rh_channel *channel)
{
    core->stats.moves_waiting -= channel->queue == RH_QUEUE_MOVES;
    core->stats.claims_waiting -= channel->queue == RH_QUEUE_CLAIMS;
    if (channel->queue != RH_QUEUE_NONE) {
        channel->queue = RH_QUEUE_NONE;
        rh_list_remove(&channel->dealings->queue_link);
        rh_core_dealings_settle(core, channel);
    }
}

static void moves_push(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_queue_remove(core, channel);
    struct rh_dealings *dealings = rh_core_dealings(channel);
    channel->queue = RH_QUEUE_MOVES;
    core->stats.moves_waiting++;
    if (channel->urgent) {
        rh_list_push_front(&core->moves, &dealings->queue_link);
    } else {
        rh_list_push_back(&core->moves, &dealings->queue_link);
    }
}

void rh_core_moves_add(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->moving || channel->queue == RH_QUEUE_MOVES || !rh_role_is_actor(channel->role) ||
        is_in_place(core, channel)) {
        return;
    }
    moves_push(core, channel);
    core->moves_ms = core->now_ms;
}

bool rh_core_pace_allows(const struct rh_core *core)
{
    return core->pace_us <= core->now_ms * 1000;
}

void rh_core_pace_take(struct rh_core *core)
{
    uint64_t now_us = core->now_ms * 1000;
    uint64_t earliest = now_us > PACE_BURST_US ? now_us - PACE_BURST_US : 0;
    core->pace_us = core->pace_us > earliest ? core->pace_us : earliest;
    core->pace_us += 1000000 / core->options.rebalance_channels_per_second;
}

/* Whether anything can be done for the channel now, if it had its turn. */
static bool can_start(const struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t count = rh_core_preference(core, channel, list);
    bool joins = false;
    for (size_t i = 0; i < count; i++) {
        if (!rh_group_has(channel->group, list[i])) {
            joins = true;
            if (!rh_core_sync_may_begin(core, list[i], channel->urgent)) {
                return false;
            }
        }
    }
    return joins || core->recorded || (count > 0 && list[0] == core->self_process);
}

void rh_core_moves_pump(struct rh_core *core)
{
    if (rh_list_empty(&core->moves) || core->now_ms < core->moves_ms ||
        !rh_core_is_registered(core)) {
        return;
    }
    unsigned started = 0;
    unsigned misses = 0;
    uint32_t left = core->stats.moves_waiting;
    core->moves_ms = core->now_ms + LOOK_MS; /* or when credit comes, or the record */
    for (; left > 0 && misses < MISSES_MAX && started < PUMP_MAX; left--) {
        struct rh_list *link = rh_list_first(&core->moves);
        if (link == NULL) {
            break;
        }
        struct rh_channel *channel = rh_container_of(link, struct rh_dealings, queue_link)->channel;
        if (!channel->urgent && !rh_core_pace_allows(core)) {
            core->moves_ms = core->pace_us / 1000 + 1;
            return;
        }
        if (!can_start(core, channel)) {
            rh_list_remove(link); /* to the back: others may be luckier */
            rh_list_push_back(&core->moves, link);
            misses++;
            continue;
        }
        rh_core_queue_remove(core, channel);
        channel->moving = true;
        if (!channel->urgent) {
            rh_core_pace_take(core);
        }
        started++;
        rh_core_advance(core, channel);
    }
    if (started == PUMP_MAX || (misses == MISSES_MAX && left > 0)) {
        core->moves_ms = started > 0 ? core->now_ms : core->now_ms + 20;
    }
}

static void advance_busy(struct rh_core *core, struct rh_acting *acting,
                         const struct rh_process *process)
{
    (void)process;
    struct rh_channel *channel = acting->channel; /* the walk may end what is under way */
    if (rh_core_walk(core, channel) && channel->acting == acting) {
        rh_core_advance(core, channel);
    }
}

void rh_core_moves_recorded(struct rh_core *core)
{
    rh_core_busy_each(core, advance_busy, NULL);
}

/* ---- joining ---- */

static bool is_writing(const struct rh_core *core, const struct rh_channel *channel)
{
    return channel->commit < channel->op && !rh_core_is_large_enough(core, channel);
}

static void join_missing(struct rh_core *core, struct rh_channel *channel,
                         struct rh_process *const *list, size_t count)
{
    bool urgent = channel->urgent || is_writing(core, channel);
    if (!channel->moving && !urgent) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rh_group_has(channel->group, list[i])) {
            continue;
        }
        const struct rh_member *known = rh_core_member(channel, list[i]);
        bool is_coming = known != NULL &&
                         (known->sync != NULL || known->known || core->now_ms < known->pause_ms);
        if (is_coming) {
            continue;
        }
        if (!rh_core_sync_may_begin(core, list[i], urgent)) {
            channel->moving = false;
            moves_push(core, channel);
            return;
        }
        (void)rh_core_member_add(core, channel, list[i]);
        (void)rh_core_sync_begin(core, channel, list[i], RH_PEER_SYNC_JOIN, 0, urgent);
    }
}

/* G1: whoever has all that is committed is a member from now on: nothing more is without it. */
static void admit(struct rh_core *core, struct rh_channel *channel, struct rh_process *const *list,
                  size_t count)
{
    struct rh_process *members[RH_PEER_GROUP_MAX];
    uint32_t members_count = channel->group->count;
    for (uint32_t i = 0; i < members_count; i++) {
        members[i] = channel->group->members[i];
    }
    for (uint32_t i = 0; channel->acting != NULL && i < channel->acting->count; i++) {
        const struct rh_member *member = &channel->acting->members[i];
        bool joins = !member->in_group && member->known && member->sync == NULL &&
                     (member->acked >= channel->commit || rh_fault(RH_FAULT_ADMIT_EARLY)) &&
                     is_listed(list, count, member->process) && members_count < RH_PEER_GROUP_MAX;
        if (joins) {
            members[members_count++] = member->process;
        }
    }
    if (members_count == channel->group->count) {
        return;
    }
    rh_core_group_set(core, channel, rh_core_group_get(core, members, members_count));
    note_short(core, channel);
}

/* Whether every node of the list is a member and has said so. */
static bool is_list_confirmed(const struct rh_core *core, struct rh_channel *channel,
                              struct rh_process *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == core->self_process) {
            continue;
        }
        if (!rh_group_has(channel->group, list[i])) {
            return false;
        }
        const struct rh_member *member = rh_core_member(channel, list[i]);
        if (channel->acting != NULL && (member == NULL || !member->confirmed)) {
            return false;
        }
    }
    return true;
}

/* ---- leaving ---- */

void rh_core_send_leave(struct rh_core *core, struct rh_channel *channel,
                        const struct rh_process *to, bool reclaim)
{
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_LEAVE);
    message->leave = (struct rh_peer_leave){
        .key = rh_channel_key(channel),
        .incarnation = channel->incarnation,
        .term = channel->term,
        .reclaim = reclaim,
    };
}

static void ask_to_leave(struct rh_core *core, struct rh_channel *channel,
                         struct rh_process *const *list, size_t count)
{
    for (uint32_t i = 0; i < channel->group->count; i++) {
        struct rh_process *process = channel->group->members[i];
        if (process == core->self_process || is_listed(list, count, process)) {
            continue;
        }
        struct rh_member *member = rh_core_member_add(core, channel, process);
        if (!member->leaving) {
            member->leaving = true;
            rh_core_send_leave(core, channel, process, false);
        }
    }
}

/* The group without |process|. */
static void remove_from_group(struct rh_core *core, struct rh_channel *channel,
                              const struct rh_process *process)
{
    struct rh_process *members[RH_PEER_GROUP_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < channel->group->count; i++) {
        if (channel->group->members[i] != process) {
            members[count++] = channel->group->members[i];
        }
    }
    rh_core_group_set(core, channel, rh_core_group_get(core, members, count));
}

/* G7, G9: what others reported is dealt with, once this node acts. */
static void settle_reports(struct rh_core *core, struct rh_channel *channel,
                           struct rh_process *const *list, size_t count)
{
    struct rh_reported *reported = rh_core_reported(core, channel);
    for (uint32_t i = reported == NULL ? 0 : reported->count; i > 0; i--) {
        struct rh_reported_copy *copy = &reported->items[i - 1];
        bool belongs =
            rh_group_has(channel->group, copy->from) || is_listed(list, count, copy->from);
        if (belongs || !rh_process_is_registered(copy->from) || rh_fault(RH_FAULT_NO_STRAYS)) {
            bool is_last = reported->count == 1;
            rh_core_reported_remove(core, channel, copy->from);
            if (is_last) {
                return;
            }
        } else if (copy->leave_ms == 0 || core->now_ms - copy->leave_ms >= LEAVE_MS) {
            (void)rh_core_acting(core, channel); /* so that it is asked again */
            copy->leave_ms = core->now_ms;
            rh_core_send_leave(core, channel, copy->from, false);
        }
    }
}

void rh_core_let_clients_go(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_process *owner = rh_core_ring_owner(core, channel);
    if (owner != NULL && owner != core->self_process) {
        rh_core_streams_move(core, channel, owner->index);
    }
}

void rh_core_on_leave(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message)
{
    const struct rh_peer_leave *leave = &message->leave;
    struct rh_channel *channel = rh_core_channel_find(core, leave->key);
    bool holds = channel != NULL && rh_role_holds_copy(channel->role);
    if (holds && (rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING)) {
        rh_core_send_refused(core, from, RH_PEER_LEAVE, leave->key, leave->term, 0,
                             RH_PEER_NO_OWNER);
        return;
    }
    if (holds && rh_term_compare(channel->term, leave->term) <= 0) {
        rh_core_let_clients_go(core, channel);
        rh_core_channel_empty(core, channel);
        rh_core_role_set(core, channel,
                         rh_channel_is_used(channel) ? RH_ROLE_WAITING : RH_ROLE_ABSENT);
        rh_core_report_again(core, channel);
        rh_core_requests_retry_channel(core, channel);
    }
    tomb_add(core, leave->key, leave->term);
    struct rh_peer_message *answer = rh_core_send(core, from, RH_PEER_LEAVE_ACK);
    answer->leave_ack = (struct rh_peer_leave_ack){.key = leave->key, .term = leave->term};
    if (channel != NULL) {
        rh_core_channel_settle(core, channel);
    }
}

void rh_core_on_leave_ack(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rh_peer_leave_ack *ack = &message->leave_ack;
    struct rh_channel *channel = rh_core_channel_find(core, ack->key);
    if (channel == NULL || !rh_role_is_actor(channel->role) ||
        !rh_term_equal(ack->term, channel->term)) {
        return;
    }
    struct rh_member *member = rh_core_member(channel, from);
    if (member == NULL || !member->leaving) {
        rh_core_reported_remove(core, channel, from);
        rh_core_advance(core, channel);
        return;
    }
    rh_core_member_remove(core, channel, member);
    rh_core_reported_remove(core, channel, from);
    remove_from_group(core, channel, from);
    rh_core_try_commit(core, channel);
    rh_core_advance(core, channel);
}

/* ---- handing over ---- */

void rh_core_send_own(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_acting *acting = channel->acting;
    rh_core_presence_send(core, channel, acting->passing_to);
    struct rh_peer_message *message = rh_core_send(core, acting->passing_to, RH_PEER_OWN);
    /* Repeated as it was (H2), as the group still is. */
    message->epoch = rh_fault(RH_FAULT_OWN_ANEW) ? core->view->epoch : acting->own_epoch;
    message->own = (struct rh_peer_own){
        .key = rh_channel_key(channel),
        .incarnation = channel->incarnation,
        .term = channel->term,
        .op = channel->op,
        .group = {.members = channel->group->refs, .count = channel->group->count},
    };
}

static void pass(struct rh_core *core, struct rh_channel *channel, struct rh_process *to)
{
    struct rh_acting *acting = rh_core_acting(core, channel);
    acting->passing_to = to;
    to->groups++;
    acting->own_epoch = core->view->epoch;
    acting->looked_ms = core->now_ms;
    channel->moving = false;
    rh_core_role_set(core, channel, RH_ROLE_PASSING);
    note_short(core, channel);
    rh_core_send_own(core, channel);
    rh_core_report_again(core, channel);
    rh_core_requests_retry_channel(core, channel);
}

static void hand_over(struct rh_core *core, struct rh_channel *channel, struct rh_process *to)
{
    if (!channel->moving && !channel->urgent && channel->role != RH_ROLE_GATED) {
        rh_core_moves_add(core, channel);
        return;
    }
    if (!core->recorded && !rh_fault(RH_FAULT_UNRECORDED)) {
        channel->moving = false;
        moves_push(core, channel);
        return;
    }
    bool waits = rh_fault(RH_FAULT_NO_GATE) && channel->commit != channel->op;
    if (channel->role == RH_ROLE_ACTING && !waits) {
        rh_core_acting(core, channel)->gate_ms = core->now_ms;
        rh_core_role_set(core, channel, RH_ROLE_GATED);
    }
    if (channel->commit == channel->op) {
        pass(core, channel, to);
    }
}

/* H1: a gate that does not lead to a handover is opened. */
static void open_gate_if_late(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->role != RH_ROLE_GATED || rh_fault(RH_FAULT_GATE_STAYS) ||
        core->now_ms - rh_core_acting(core, channel)->gate_ms < RH_GATE_MS) {
        return;
    }
    channel->moving = false;
    rh_core_role_set(core, channel, RH_ROLE_ACTING);
    moves_push(core, channel);
    core->moves_ms = core->now_ms;
    rh_core_requests_retry_channel(core, channel);
}

void rh_core_on_own(struct rh_core *core, struct rh_process *from,
                    const struct rh_peer_message *message)
{
    const struct rh_peer_own *own = &message->own;
    struct rh_channel *channel = rh_core_channel_find(core, own->key);
    bool again = channel != NULL && rh_role_is_actor(channel->role) &&
                 rh_epoch_compare(rh_term_epoch(channel->term), message->epoch) == 0 &&
                 channel->incarnation == own->incarnation;
    bool is_now = core->view != NULL && rh_epoch_compare(core->view->epoch, message->epoch) == 0;
    bool accepted = !again && is_now && channel != NULL && channel->role == RH_ROLE_REPLICA &&
                    !channel->suspect && channel->group->members[0] == from &&
                    rh_term_equal(channel->term, own->term) &&
                    channel->incarnation == own->incarnation && channel->op >= own->op &&
                    rh_core_ring_owner(core, channel) == core->self_process;
    if (!again && !accepted) {
        rh_core_send_refused(core, from, RH_PEER_OWN, own->key, own->term, 0, RH_PEER_NO_OWNER);
        return;
    }
    struct rh_peer_message *answer = rh_core_send(core, from, RH_PEER_OWN_ACK);
    answer->own_ack = (struct rh_peer_own_ack){.key = own->key, .term = own->term};
    if (!accepted) {
        return;
    }
    core->stats.handoffs_in++;
    struct rh_process *members[RH_PEER_GROUP_MAX];
    size_t count = 0;
    for (size_t i = 0; i < own->group.count; i++) {
        struct rh_process *process = rh_groups_find(&core->groups, &own->group.members[i]);
        if (process != NULL && rh_process_is_registered(process)) {
            members[count++] = process;
        }
    }
    rh_core_claim(core, channel, members, count, channel->incarnation, channel->op);
}

static bool is_passing_to(const struct rh_channel *channel, const struct rh_process *process,
                          struct rh_term term)
{
    return channel != NULL && channel->role == RH_ROLE_PASSING &&
           channel->acting->passing_to == process && rh_term_equal(channel->term, term);
}

/* H3: whatever the answer is, this node is a replica from now on. */
static void passed(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_depose(core, channel, RH_ROLE_REPLICA);
    rh_core_report_again(core, channel);
    rh_core_let_clients_go(core, channel);
    rh_core_claims_add(core, channel);
    rh_core_requests_retry_channel(core, channel);
}

void rh_core_on_own_ack(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    struct rh_channel *channel = rh_core_channel_find(core, message->own_ack.key);
    if (is_passing_to(channel, from, message->own_ack.term)) {
        core->stats.handoffs_out++;
        passed(core, channel);
    }
}

void rh_core_own_refused(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_refused *refused)
{
    struct rh_channel *channel = rh_core_channel_find(core, refused->key);
    if (is_passing_to(channel, from, refused->term)) {
        rh_core_catch_up(core);
        if (rh_fault(RH_FAULT_ACT_AGAIN)) {
            rh_core_role_set(core, channel, RH_ROLE_ACTING);
            return;
        }
        passed(core, channel);
    }
}

void rh_core_on_expedite(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message)
{
    struct rh_channel *channel = rh_core_channel_find(core, message->expedite.key);
    if (channel == NULL || rh_core_ring_owner(core, channel) != from ||
        !rh_role_serves(channel->role)) {
        return; /* the re-report settles it */
    }
    rh_core_queue_remove(core, channel);
    channel->urgent = true;
    channel->moving = true;
    rh_core_advance(core, channel);
}

/* ---- giving up ---- */

void rh_core_depose(struct rh_core *core, struct rh_channel *channel, enum rh_role role)
{
    rh_core_queue_remove(core, channel);
    rh_core_acting_free(core, channel);
    channel->moving = false;
    channel->urgent = false;
    channel->suspect |= role == RH_ROLE_SUSPECT;
    rh_core_role_set(core, channel, role);
    note_short(core, channel);
}

/* ---- the end of a channel ---- */

static void close_on(struct rh_core *core, struct rh_channel *channel)
{
    for (uint32_t i = 0; i < channel->group->count; i++) {
        struct rh_process *process = channel->group->members[i];
        if (process == core->self_process) {
            continue;
        }
        struct rh_member *member = rh_core_member_add(core, channel, process);
        if (!member->leaving) {
            member->leaving = true;
            rh_core_send_leave(core, channel, process, true);
        }
    }
    if (channel->group->count > 1) {
        return;
    }
    core->stats.channels_reclaimed++;
    rh_core_channel_empty(core, channel);
    rh_core_role_set(core, channel, rh_channel_is_used(channel) ? RH_ROLE_WAITING : RH_ROLE_ABSENT);
    /* Views may have changed since it began: then another node waits to hear of this, and those who
     * wait here belong there. */
    rh_core_report_again(core, channel);
    rh_core_let_clients_go(core, channel);
    rh_core_claims_add(core, channel);
    rh_core_requests_retry_channel(core, channel);
    rh_core_channel_settle(core, channel);
}

void rh_core_close(struct rh_core *core, struct rh_channel *channel)
{
    if (!core->recorded || !rh_core_is_registered(core) || channel->acting != NULL ||
        rh_core_reported(core, channel) != NULL || !is_in_place(core, channel)) {
        return;
    }
    rh_core_role_set(core, channel, RH_ROLE_CLOSING);
    close_on(core, channel);
}

/* ---- the next step ---- */

static void move_on(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t count = rh_core_preference(core, channel, list);
    note_short(core, channel);
    if (count == 0) {
        return; /* nobody is to have anything: everybody keeps what it has */
    }
    bool is_owner = list[0] == core->self_process;
    if (is_owner) {
        settle_reports(core, channel, list, count);
    }
    if (is_as_listed(core, channel, list, count)) {
        channel->moving = false;
        channel->urgent = false;
        rh_core_queue_remove(core, channel);
        return;
    }
    join_missing(core, channel, list, count);
    admit(core, channel, list, count);
    bool excused = rh_fault(is_owner ? RH_FAULT_LEAVE_EARLY : RH_FAULT_OWN_EARLY);
    if (!is_list_confirmed(core, channel, list, count) && !excused) {
        open_gate_if_late(core, channel);
        rh_core_moves_add(core, channel);
    } else if (is_owner) {
        ask_to_leave(core, channel, list, count);
    } else {
        hand_over(core, channel, list[0]);
        open_gate_if_late(core, channel);
    }
}

void rh_core_advance(struct rh_core *core, struct rh_channel *channel)
{
    if (!rh_core_is_registered(core) || channel->walked != core->view_number) {
        return;
    }
    switch ((enum rh_role)channel->role) {
    case RH_ROLE_CLAIMING:
        rh_core_activate(core, channel);
        return;
    case RH_ROLE_ACTING:
    case RH_ROLE_GATED:
        move_on(core, channel);
        return;
    case RH_ROLE_CLOSING:
        close_on(core, channel);
        return;
    case RH_ROLE_ABSENT:
    case RH_ROLE_WAITING:
    case RH_ROLE_JOINING:
    case RH_ROLE_REPLICA:
    case RH_ROLE_SUSPECT:
    case RH_ROLE_PASSING:
    case RH_ROLES:
        return;
    }
}
