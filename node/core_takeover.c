/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What a ring owner does for a channel that nobody acts for here: it waits for who still acts (T1),
 * or takes over from the best copy that there is (T2 to T7), or creates the channel (T9). Nothing of
 * it before all have reported and that is recorded (V6).
 */

#define PUMP_MAX   256U /* channels that have their turn in one step */
#define MISSES_MAX 64U  /* of those at the front that cannot have it yet */
#define FETCH_MS   500U /* without progress a Fetch is sent again */

#define LOOK_MS 200U /* at channels for which nothing tells when they can have their turn */

/* Looks that a channel is worth: */
#define LOOK_NEVER UINT64_MAX /* something will happen to it before */
#define LOOK_DONE  0U         /* it is out of the queue */

/* ---- what is known ---- */

/* T3: when losses that nobody may have survived cannot matter any more. */
static uint64_t losses_over_ms(const struct rh_core *core)
{
    uint64_t over_ms = core->lost_ms == 0 ? 0 : core->lost_ms + core->options.session_timeout_ms;
    return over_ms > core->ignorant_until_ms ? over_ms : core->ignorant_until_ms;
}

bool rh_core_is_known_absent(const struct rh_core *core, const struct rh_channel *channel)
{
    bool has_something = channel != NULL && (rh_role_holds_copy(channel->role) ||
                                             rh_channel_incoming(channel) != NULL ||
                                             rh_core_reported(core, channel) != NULL);
    return !has_something && rh_core_is_registered(core) && core->recorded && core->complete &&
           core->now_ms >= losses_over_ms(core);
}

/* A candidate of T2: a reported copy, or the own one (from is NULL). */
struct candidate {
    struct rh_process *from;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;
    bool suspect;
    const struct rh_group *group;
};

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    int order = rh_term_compare(a->term, b->term);
    if (order != 0 && !rh_fault(RH_FAULT_LONGEST)) {
        return order > 0;
    }
    return a->suspect != b->suspect ? !a->suspect : a->op > b->op;
}

/* T2. False: there is none. */
static bool best_copy(const struct rh_core *core, const struct rh_channel *channel,
                      struct candidate *ret_best)
{
    bool found = rh_role_holds_copy(channel->role);
    if (found) {
        *ret_best = (struct candidate){
            .incarnation = channel->incarnation,
            .term = channel->term,
            .op = channel->op,
            .suspect = channel->suspect,
            .group = channel->group,
        };
    }
    const struct rh_reported *reported = rh_core_reported(core, channel);
    for (uint32_t i = 0; reported != NULL && i < reported->count; i++) {
        const struct rh_reported_copy *copy = &reported->items[i];
        const struct candidate other = {
            .from = copy->from,
            .incarnation = copy->incarnation,
            .term = copy->term,
            .op = copy->op,
            .suspect = copy->suspect,
            .group = copy->group,
        };
        if (!found || is_better(&other, ret_best)) {
            *ret_best = other;
            found = true;
        }
    }
    return found;
}

/* Whether |process| has a copy of |term| here and was never without its actor. */
static bool has_kept(const struct rh_core *core, const struct rh_channel *channel,
                     const struct rh_process *process, struct rh_term term)
{
    if (process == core->self_process) {
        return rh_role_holds_copy(channel->role) && rh_term_equal(channel->term, term) &&
               !channel->lacked;
    }
    const struct rh_reported_copy *copy = rh_core_reported_copy(core, channel, process);
    return copy != NULL && rh_term_equal(copy->term, term) && !copy->lacked;
}

/* T4: whether what was acknowledged under the incarnation of |best| is surely in it. */
static bool keeps_incarnation(const struct rh_core *core, const struct rh_channel *channel,
                              const struct candidate *best)
{
    if (!best->suspect || rh_fault(RH_FAULT_KEEP_INCARNATION)) {
        return true;
    }
    for (uint32_t i = 0; i < best->group->count; i++) {
        if (!has_kept(core, channel, best->group->members[i], best->term)) {
            return false;
        }
    }
    return true;
}

static uint64_t new_incarnation(struct rh_core *core)
{
    uint64_t incarnation = 0;
    while (incarnation == 0) {
        incarnation = rh_core_random(core);
    }
    return incarnation;
}

/* ---- claim ---- */

static void add_member(struct rh_process **members, uint32_t *count, struct rh_process *process)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (members[i] == process) {
            return;
        }
    }
    if (*count < RH_PEER_GROUP_MAX) {
        members[(*count)++] = process;
    }
}

/* What a member is believed to hold of the content that is claimed. */
static uint64_t guess(const struct rh_core *core, const struct rh_channel *channel,
                      const struct rh_process *process, uint64_t guess_op)
{
    const struct rh_reported_copy *copy = rh_core_reported_copy(core, channel, process);
    if (copy == NULL) {
        return guess_op;
    }
    bool same = copy->incarnation == channel->incarnation;
    return !same ? 0 : copy->op < channel->op ? copy->op : channel->op;
}

static void sync_members(struct rh_core *core, struct rh_channel *channel, uint64_t guess_op)
{
    struct rh_acting *acting = rh_core_acting(core, channel);
    for (uint32_t i = 0; i < acting->count; i++) {
        struct rh_member *member = &acting->members[i];
        member->confirmed = false;
        member->sent = 0;
        (void)rh_core_sync_begin(core, channel, member->process, RH_PEER_SYNC_MEMBER,
                                 guess(core, channel, member->process, guess_op), true);
    }
}

void rh_core_claim(struct rh_core *core, struct rh_channel *channel,
                   struct rh_process *const *members, size_t members_count, uint64_t incarnation,
                   uint64_t guess_op)
{
    struct rh_process *group[RH_PEER_GROUP_MAX] = {core->self_process};
    uint32_t count = 1;
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t listed = rh_core_preference(core, channel, list);
    for (size_t i = 0; i < listed; i++) {
        add_member(group, &count, list[i]);
    }
    for (size_t i = 0; i < members_count; i++) {
        add_member(group, &count, members[i]);
    }
    rh_core_queue_remove(core, channel);
    rh_core_acting_free(core, channel);
    rh_core_fetches_end(core, channel, NULL);
    if (channel->terms == NULL && channel->op > 0 &&
        rh_terms_push(&channel->terms, 1, channel->term) != 0) {
        abort();
    }
    core->turn = rh_fault(RH_FAULT_ONE_TURN) ? 1 : core->turn + 1;
    channel->term = rh_term_make(core->view->epoch, core->turn);
    channel->heard = 0;
    channel->incarnation = incarnation;
    channel->suspect = false;
    channel->lacked = false;
    rh_core_give_group(core, channel->group);
    channel->group = rh_core_group_get(core, group, count);
    rh_core_role_set(core, channel, RH_ROLE_CLAIMING);
    sync_members(core, channel, guess_op);
    rh_core_activate(core, channel);
}

static bool is_confirmed_by_all(const struct rh_channel *channel)
{
    for (uint32_t i = 0; i < channel->acting->count; i++) {
        const struct rh_member *member = &channel->acting->members[i];
        if (!member->confirmed || member->acked != channel->op) {
            return false;
        }
    }
    return true;
}

/* T7. */
void rh_core_activate(struct rh_core *core, struct rh_channel *channel)
{
    assert(channel->role == RH_ROLE_CLAIMING);
    (void)rh_core_acting(core, channel);
    bool confirmed = is_confirmed_by_all(channel) || rh_fault(RH_FAULT_CLAIM_ACTS);
    if (!confirmed || !rh_core_has_right(core, channel)) {
        return;
    }
    channel->used_ms = core->now_ms;
    rh_core_role_set(core, channel, RH_ROLE_ACTING);
    rh_core_streams_wake(core, channel);
    rh_core_try_commit(core, channel);
    rh_core_mark_dirty(core, channel);
    rh_core_streams_committed(core, channel); /* not before: they are shown what is committed */
    rh_core_requests_retry_channel(core, channel);
    if (channel->role == RH_ROLE_ACTING) {
        rh_core_moves_add(core, channel);
        rh_core_advance(core, channel);
    }
}

/* All that have reported a copy: T6. */
static size_t reporters(const struct rh_core *core, const struct rh_channel *channel,
                        struct rh_process **ret_members)
{
    const struct rh_reported *reported = rh_core_reported(core, channel);
    size_t count = 0;
    for (uint32_t i = 0; reported != NULL && i < reported->count; i++) {
        if (count < RH_PEER_GROUP_MAX && rh_process_is_registered(reported->items[i].from)) {
            ret_members[count++] = reported->items[i].from;
        }
    }
    return count;
}

static void take_over(struct rh_core *core, struct rh_channel *channel, bool keeps)
{
    struct rh_process *members[RH_PEER_GROUP_MAX];
    size_t count = rh_fault(RH_FAULT_LIST_ONLY) ? 0 : reporters(core, channel, members);
    core->stats.takeovers++;
    core->stats.takeovers_renewed += !keeps;
    rh_core_claim(core, channel, members, count,
                  keeps ? channel->incarnation : new_incarnation(core), 0);
}

/* ---- fetch ---- */

static void fetch(struct rh_core *core, struct rh_channel *channel, const struct candidate *best)
{
    struct rh_reported *reported = rh_core_reported(core, channel);
    bool again = reported->fetching == best->from;
    const struct rh_incoming *incoming = rh_channel_incoming(channel);
    if (again && incoming != NULL && incoming->from == best->from &&
        incoming->since_ms > reported->fetch_ms) {
        reported->fetch_ms = incoming->since_ms; /* it gets on */
    }
    if (again && core->now_ms - reported->fetch_ms < FETCH_MS) {
        return;
    }
    reported->fetching = best->from;
    reported->fetch_ms = core->now_ms;
    struct rh_peer_message *message = rh_core_send(core, best->from, RH_PEER_FETCH);
    message->fetch = (struct rh_peer_fetch){
        .key = rh_channel_key(channel),
        .incarnation = best->incarnation,
        .term = best->term,
        .op = best->op,
    };
    bool has_base = rh_role_holds_copy(channel->role) && channel->op > 0 &&
                    channel->incarnation == best->incarnation;
    if (has_base) {
        message->fetch.from_op = channel->op;
        message->fetch.base_term = rh_channel_term_at(channel, channel->op);
    }
}

void rh_core_fetched(struct rh_core *core, struct rh_channel *channel, struct rh_incoming *incoming)
{
    struct candidate best;
    bool fits = best_copy(core, channel, &best) && best.from == incoming->from &&
                best.incarnation == incoming->incarnation &&
                rh_term_equal(best.term, incoming->term) && incoming->op >= best.op;
    struct rh_reported *reported = rh_core_reported(core, channel);
    if (reported != NULL) {
        reported->fetching = NULL;
    }
    if (!fits) {
        rh_core_incoming_free(core, channel);
        rh_core_claims_add(core, channel);
        return;
    }
    bool keeps = keeps_incarnation(core, channel, &best);
    rh_core_incoming_install(core, channel, incoming);
    rh_core_incoming_free(core, channel);
    take_over(core, channel, keeps);
}

void rh_core_fetch_refused(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_refused *refused)
{
    struct rh_channel *channel = rh_core_channel_find(core, refused->key);
    struct rh_reported *reported = channel == NULL ? NULL : rh_core_reported(core, channel);
    if (reported == NULL || reported->fetching != from) {
        return;
    }
    if (refused->code == RH_PEER_NO_COPY && !rh_fault(RH_FAULT_FETCH_AGAIN)) {
        rh_core_reported_remove(core, channel, from);
    }
    /* Otherwise it has another copy by now, and reports it: T5. */
    rh_core_claims_add(core, channel);
}

/* ---- what to do with a channel ---- */

/* Whether somebody waits for whom a channel is created. */
static bool is_wanted(const struct rh_channel *channel)
{
    if (rh_channel_readers(channel) != NULL) {
        return true;
    }
    if (channel->waiters == NULL) {
        return false;
    }
    rh_list_each (&channel->waiters->held, link) {
        if (!rh_container_of(link, struct rh_subscription, link)->is_read) {
            return true;
        }
    }
    rh_list_each (&channel->waiters->requests, link) {
        const struct rh_request_ref request =
            rh_core_pending_request(rh_container_of(link, struct rh_pending, channel_link));
        if (rh_request_creates(&request)) {
            return true;
        }
    }
    return false;
}

/* H9. Returns when it may be sent again. */
static uint64_t send_expedite(struct rh_core *core, struct rh_channel *channel,
                              const struct rh_process *actor)
{
    struct rh_reported *reported = rh_core_reported(core, channel);
    if (reported->expedite_ms == 0 || core->now_ms - reported->expedite_ms >= RH_EXPEDITE_MS) {
        reported->expedite_ms = core->now_ms;
        struct rh_peer_message *message = rh_core_send(core, actor, RH_PEER_EXPEDITE);
        message->expedite = (struct rh_peer_expedite){
            .key = rh_channel_key(channel), .deadline_ms = core->options.catch_up_timeout_ms};
    }
    return reported->expedite_ms + RH_EXPEDITE_MS;
}

void rh_core_expedite(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_process *actor = rh_core_who_acts(core, channel);
    if (actor != NULL && core->complete && core->recorded) {
        (void)send_expedite(core, channel, actor);
    }
}

/* T1. LOOK_DONE: nobody acts, and none is on its way. */
static uint64_t wait_for_actor(struct rh_core *core, struct rh_channel *channel)
{
    const struct rh_reported *reported = rh_core_reported(core, channel);
    for (uint32_t i = 0; reported != NULL && i < reported->count; i++) {
        const struct rh_reported_copy *copy = &reported->items[i];
        if (!rh_process_is_registered(copy->from)) {
            continue;
        }
        bool acts = copy->state == RH_PEER_COPY_ACTING || copy->state == RH_PEER_COPY_CLAIMING;
        if (acts && !rh_fault(RH_FAULT_ACTOR_IGNORED)) {
            return rh_channel_is_awaited(channel) ? send_expedite(core, channel, copy->from)
                                                  : LOOK_NEVER;
        }
        if (copy->state == RH_PEER_COPY_PASSING && rh_process_is_registered(copy->passing_to)) {
            return LOOK_NEVER;
        }
    }
    return LOOK_DONE;
}

static uint64_t create_or_leave(struct rh_core *core, struct rh_channel *channel)
{
    if (core->now_ms < losses_over_ms(core)) {
        return losses_over_ms(core);
    }
    if (rh_channel_incoming(channel) != NULL) {
        return core->now_ms + LOOK_MS; /* a copy is coming, or it is given up */
    }
    if (is_wanted(channel)) {
        core->stats.channels_created++;
        rh_core_claim(core, channel, NULL, 0, new_incarnation(core), 0);
        return LOOK_DONE;
    }
    rh_core_queue_remove(core, channel);
    rh_core_streams_retry_held(core, channel); /* there is no such channel, and now they know */
    rh_core_requests_retry_channel(core, channel);
    return LOOK_DONE;
}

static bool has_credit(const struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t count = rh_core_preference(core, channel, list);
    for (size_t i = 0; i < count; i++) {
        if (list[i] != core->self_process && rh_process_is_registered(list[i]) &&
            !rh_core_sync_may_begin(core, list[i], channel->urgent)) {
            return false;
        }
    }
    return true;
}

/* Looks at a channel that this node owns and nobody acts for here: waits, asks, fetches, claims or
 * creates. When to look at it again. */
static uint64_t look(struct rh_core *core, struct rh_channel *channel)
{
    bool may = (core->complete && core->recorded) || rh_fault(RH_FAULT_CREATE_EARLY);
    if (!rh_core_is_registered(core) || !may) {
        return LOOK_NEVER;
    }
    uint64_t again_ms = wait_for_actor(core, channel);
    if (again_ms != LOOK_DONE) {
        return again_ms;
    }
    struct candidate best;
    if (!best_copy(core, channel, &best)) {
        return create_or_leave(core, channel);
    }
    if (best.suspect && core->now_ms < losses_over_ms(core) && !rh_fault(RH_FAULT_NO_WAIT)) {
        return losses_over_ms(core);
    }
    if (best.from != NULL && rh_core_reported(core, channel)->fetching == best.from) {
        fetch(core, channel, &best); /* again, if it takes long */
        return rh_core_reported(core, channel)->fetch_ms + FETCH_MS;
    }
    if (!channel->urgent && !rh_core_pace_allows(core)) {
        return core->pace_us / 1000 + 1;
    }
    if (!channel->urgent && !has_credit(core, channel)) {
        return core->now_ms + RH_RETRY_MS; /* a pause after a failure ends by itself */
    }
    if (!channel->urgent) {
        rh_core_pace_take(core);
    }
    if (best.from == NULL) {
        take_over(core, channel, keeps_incarnation(core, channel, &best));
        return LOOK_DONE;
    }
    fetch(core, channel, &best);
    return rh_core_reported(core, channel)->fetch_ms + FETCH_MS;
}

static bool is_ours_to_claim(const struct rh_core *core, const struct rh_channel *channel)
{
    return channel->walked == core->view_number && !rh_role_is_actor(channel->role) &&
           channel->role != RH_ROLE_PASSING &&
           rh_core_ring_owner(core, channel) == core->self_process;
}

static void note_look(struct rh_core *core, uint64_t again_ms)
{
    if (again_ms < core->claims_ms) {
        core->claims_ms = again_ms;
    }
}

void rh_core_claims_add(struct rh_core *core, struct rh_channel *channel)
{
    bool has_something = rh_role_holds_copy(channel->role) || rh_channel_is_awaited(channel) ||
                         rh_core_reported(core, channel) != NULL;
    if (!is_ours_to_claim(core, channel) || !has_something) {
        return;
    }
    rh_core_queue_remove(core, channel);
    struct rh_dealings *dealings = rh_core_dealings(channel);
    channel->queue = RH_QUEUE_CLAIMS;
    core->stats.claims_waiting++;
    channel->urgent |= rh_channel_is_awaited(channel) && !rh_fault(RH_FAULT_NO_HURRY);
    if (channel->urgent) {
        rh_list_push_front(&core->claims, &dealings->queue_link);
    } else {
        rh_list_push_back(&core->claims, &dealings->queue_link);
    }
    core->claims_ms = core->now_ms;
}

void rh_core_hurry(struct rh_core *core, struct rh_channel *channel)
{
    if (!is_ours_to_claim(core, channel)) {
        return;
    }
    rh_core_claims_add(core, channel);
    uint64_t again_ms = look(core, channel);
    if (again_ms != LOOK_DONE) {
        note_look(core, again_ms);
    }
}

void rh_core_claims_pump(struct rh_core *core)
{
    if (rh_list_empty(&core->claims) || core->now_ms < core->claims_ms) {
        return;
    }
    unsigned turns = 0;
    unsigned misses = 0;
    core->claims_ms = core->now_ms + LOOK_MS;
    for (uint32_t left = core->stats.claims_waiting;
         left > 0 && turns < PUMP_MAX && misses < MISSES_MAX; left--) {
        struct rh_list *link = rh_list_first(&core->claims);
        if (link == NULL) {
            return;
        }
        struct rh_channel *channel = rh_container_of(link, struct rh_dealings, queue_link)->channel;
        uint64_t again_ms = look(core, channel);
        turns++;
        if (again_ms == LOOK_DONE) {
            continue;
        }
        misses++;
        note_look(core, again_ms);
        if (channel->queue == RH_QUEUE_CLAIMS) {
            link = &channel->dealings->queue_link;
            rh_list_remove(link); /* others may be luckier */
            rh_list_push_back(&core->claims, link);
        }
    }
    if (turns == PUMP_MAX) {
        core->claims_ms = core->now_ms;
    } else if (misses == MISSES_MAX) {
        note_look(core, core->now_ms + 5);
    }
}
