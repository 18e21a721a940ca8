/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_instance(const struct rh_membership *membership, const struct member *member)
{
    return member->registration.instance == membership->own.instance;
}

static const char *chain_of(const char *name, const char *origin)
{
    return origin[0] != '\0' ? origin : name;
}

/* Ours, of this session, and not lost: it stands as long as we do. */
static bool is_ours(const struct rh_membership *membership, const struct member *member)
{
    return member != NULL && is_instance(membership, member) &&
           member->owner == membership->session_id && member->czxid > membership->lost_czxid &&
           strcmp(chain_of(member->name, member->registration.origin), membership->lost_chain) != 0;
}

bool registration_is_present(const struct rh_membership *membership, const char *name,
                             const char *origin)
{
    return membership->chain[0] != '\0' && strcmp(chain_of(name, origin), membership->chain) == 0;
}

/* Whatever we held by our registration is void. What becomes of it next is the caller's matter. */
static void lose(struct rh_membership *membership)
{
    if (membership->chain[0] == '\0') {
        return;
    }
    memcpy(membership->lost_chain, membership->chain, sizeof(membership->lost_chain));
    membership->lost_czxid = membership->own_czxid;
    membership->chain[0] = '\0';
    membership->replacing = false;
    proof_end(membership);
    (void)membership_act(membership, RH_MEMBERSHIP_LOST);
}

/* What was lost cannot come again: the names and numbers of what comes now are others. */
static void forget_lost(struct rh_membership *membership)
{
    membership->lost_chain[0] = '\0';
    membership->lost_czxid = 0;
    membership->own_czxid = 0;
}

/* The registration that stands is |own|. */
static void follow_chain(struct rh_membership *membership, const struct member *own)
{
    const char *chain = chain_of(own->name, own->registration.origin);
    membership->own_czxid = own->czxid;
    membership_copy_name(membership->own_name, own->name);
    if (strcmp(chain, membership->chain) == 0) {
        return;
    }
    lose(membership); /* it was replaced by one that does not follow it */
    membership->chain_czxid = own->czxid;
    membership_copy_name(membership->chain, chain);
    proof_begin(membership);
}

/* Deleted while our session stands: somebody holds us for dead. */
static void on_evicted(struct rh_membership *membership)
{
    lose(membership);
    if (membership->now_ms - membership->registered_ms >= PAUSE_FORGET_MS) {
        membership->evictions = 0;
    }
    uint64_t pause_ms = PAUSE_MAX_MS;
    if (membership->evictions < 16 && (PAUSE_MIN_MS << membership->evictions) < PAUSE_MAX_MS) {
        pause_ms = PAUSE_MIN_MS << membership->evictions;
    }
    membership->evictions++;
    pause_ms = pause_ms / 2 + membership_random(membership) % (pause_ms / 2);
    membership->pause_until_ms = membership->now_ms + pause_ms;
    rh_machine_move(&membership->registration, RH_MEMBERSHIP_PAUSED);
    membership_note(membership, RH_NOTE_WARN, "registration_lost pause_ms=%" PRIu64, pause_ms);
}

static void start_probe(struct rh_membership *membership, const struct member *holder)
{
    membership->probe_out = true;
    membership->probe_ms = membership->now_ms + PROBE_TIMEOUT_MS;
    struct rh_membership_action *action = membership_act(membership, RH_MEMBERSHIP_PROBE);
    action->probe.node = membership->holder;
    action->probe.address = holder->registration.peer;
}

/* Another instance has our id: is it alive? */
static void on_held(struct rh_membership *membership, const struct member *holder)
{
    const struct rh_node_ref ref = rh_registration_ref(&holder->registration);
    if (rh_node_ref_equal(&membership->dead_holder, &ref)) {
        return; /* it is not, and makes place in our transaction */
    }
    bool same = membership->registration.state == RH_MEMBERSHIP_PROBING &&
                rh_node_ref_equal(&membership->holder, &ref);
    if (membership->registration.state != RH_MEMBERSHIP_PROBING) {
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_PROBING);
    }
    if (!same) {
        membership->holder = ref;
        start_probe(membership, holder);
        return;
    }
    if (membership->now_ms < membership->probe_ms) {
        return;
    }
    if (membership->probe_out) {
        registration_on_probe(membership, &ref, RH_MEMBERSHIP_PROBE_UNKNOWN);
    } else {
        start_probe(membership, holder);
    }
}

/* Not registered, as the snapshot says: what now? */
static void settle_outside(struct rh_membership *membership, const struct member *newest)
{
    unsigned state = membership->registration.state;
    if (state == RH_MEMBERSHIP_PAUSED) {
        if (membership->now_ms < membership->pause_until_ms) {
            return;
        }
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_OUTSIDE);
    }
    if (membership->leaving) {
        return;
    }
    if (newest != NULL && !is_instance(membership, newest)) {
        on_held(membership, newest);
    } else if (state == RH_MEMBERSHIP_PROBING) {
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_OUTSIDE);
    }
}

/* LEAVE_FINISH when there is nothing to delete, or nobody to ask. */
static void finish(struct rh_membership *membership)
{
    rh_machine_move(&membership->registration, RH_MEMBERSHIP_HAS_LEFT);
    (void)membership_act(membership, RH_MEMBERSHIP_LEFT);
}

void registration_settle(struct rh_membership *membership)
{
    bool away = membership->session.state == RH_MEMBERSHIP_AWAY;
    if (membership->finishing &&
        (away || membership->registration.state != RH_MEMBERSHIP_REGISTERED)) {
        finish(membership);
        return;
    }
    if (away || !membership->snapshot.complete) {
        return;
    }
    const struct member *newest = snapshot_newest(membership, membership->own.id);
    if (membership->registration.state == RH_MEMBERSHIP_REGISTERED) {
        if (!is_ours(membership, newest)) {
            on_evicted(membership);
        } else if (!membership->finishing) {
            follow_chain(membership, newest);
        }
        return;
    }
    if (is_ours(membership, newest)) {
        follow_chain(membership, newest);
        membership->registered_ms = membership->now_ms;
        membership->dead_holder = (struct rh_node_ref){0};
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_REGISTERED);
        return;
    }
    settle_outside(membership, newest);
}

uint64_t registration_deadline_ms(const struct rh_membership *membership)
{
    if (membership->session.state == RH_MEMBERSHIP_AWAY || !membership->snapshot.complete) {
        return NEVER; /* nothing is decided before the next list */
    }
    if (membership->leaving) {
        return NEVER; /* it does not come back */
    }
    if (membership->registration.state == RH_MEMBERSHIP_PAUSED) {
        return membership->pause_until_ms;
    }
    if (membership->registration.state == RH_MEMBERSHIP_PROBING) {
        return membership->probe_ms;
    }
    return NEVER;
}

static const char *const probe_names[] = {[RH_MEMBERSHIP_PROBE_ANSWERS] = "answers",
                                          [RH_MEMBERSHIP_PROBE_DEAD] = "dead",
                                          [RH_MEMBERSHIP_PROBE_UNKNOWN] = "unknown"};

/* Where the holder said that it listens, as long as it is listed. */
static const char *holder_address(const struct rh_membership *membership)
{
    const struct member *newest = snapshot_newest(membership, membership->own.id);
    return newest == NULL ? "?" : newest->registration.peer;
}

void registration_on_probe(struct rh_membership *membership, const struct rh_node_ref *node,
                           enum rh_membership_probe result)
{
    if (membership->registration.state != RH_MEMBERSHIP_PROBING || !membership->probe_out ||
        !rh_node_ref_equal(&membership->holder, node)) {
        return;
    }
    membership->probe_out = false;
    membership->probe_ms = membership->now_ms + PROBE_AGAIN_MS;
    membership_note(membership, RH_NOTE_WARN,
                    "id_held id=%s instance=%016" PRIx64 " peer=%s probe=%s", node->id,
                    node->instance, holder_address(membership), probe_names[result]);
    switch (result) {
    case RH_MEMBERSHIP_PROBE_ANSWERS:
        membership_fatal(membership, "id %s is held by a live node at %s (instance %016" PRIx64 ")",
                         node->id, holder_address(membership), node->instance);
        return;
    case RH_MEMBERSHIP_PROBE_DEAD:
        membership->dead_holder = *node;
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_OUTSIDE);
        return;
    case RH_MEMBERSHIP_PROBE_UNKNOWN:
        return; /* its session decides: asked again until the registration is gone */
    }
    assert(false && "result of a probe");
}

void registration_on_session_lost(struct rh_membership *membership)
{
    if (membership->registration.state == RH_MEMBERSHIP_REGISTERED ||
        membership->registration.state == RH_MEMBERSHIP_PROBING) {
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_OUTSIDE);
    }
    lose(membership);
    forget_lost(membership); /* those of another session are none of ours anyway */
}

void registration_on_gone(struct rh_membership *membership)
{
    if (membership->registration.state == RH_MEMBERSHIP_REGISTERED) {
        on_evicted(membership);
        membership->snapshot.complete = false;
        membership_catch_up(membership);
    }
}

void registration_on_generation(struct rh_membership *membership)
{
    /* Who knows what else was lost with the data. If it stands, it begins a new chain. */
    if (membership->registration.state == RH_MEMBERSHIP_REGISTERED) {
        rh_machine_move(&membership->registration, RH_MEMBERSHIP_OUTSIDE);
    }
    lose(membership);
    forget_lost(membership);
}

void registration_on_dead(struct rh_membership *membership, const struct rh_node_ref *peer)
{
    /* While we are not registered we have no say; the evidence comes again as long as it holds. */
    if (membership->registration.state == RH_MEMBERSHIP_REGISTERED &&
        membership->session.state != RH_MEMBERSHIP_AWAY &&
        strcmp(peer->id, membership->own.id) != 0) {
        ref_list_add(&membership->dead, peer);
    }
}

/* Operations. */

/* That of the registration. */
static uint32_t weight_now(const struct rh_membership *membership)
{
    return newcomer_is_ignorant(membership) ? 0 : rh_membership_weight_milli(membership);
}

/* One transaction: what stands under our id goes, ours comes. */
static bool start_register(struct rh_membership *membership)
{
    struct rh_registration registration = membership->own;
    registration.weight_milli = weight_now(membership);
    memcpy(registration.origin, membership->chain, sizeof(registration.origin));
    char *text = rh_registration_encode(&registration);
    if (text == NULL) {
        membership_retry_later(membership);
        return true;
    }
    /* The newest first: if it is ours, it has to go in this transaction. */
    const struct member *newest = snapshot_newest(membership, membership->own.id);
    size_t count = 0;
    if (newest != NULL) {
        membership->replaced_names[count++] = newest->name;
    }
    for (size_t i = 0; i < membership->snapshot.count; i++) {
        const struct member *member = &membership->snapshot.members[i];
        if (member->state == MEMBER_GOOD && count < RH_MEMBERSHIP_DELETES_MAX && member != newest &&
            strcmp(member->registration.id, membership->own.id) == 0) {
            membership->replaced_names[count++] = member->name;
        }
    }
    membership->replacing = membership->chain[0] != '\0';
    membership->weight_taken |= registration.weight_milli > 0;
    membership->replaced_count = count;
    struct rh_membership_action *action =
        membership_operate(membership, OPERATION_REGISTER, RH_MEMBERSHIP_REGISTER);
    action->data = rh_bytes_text(membership_keep(membership, text));
    action->names = membership->replaced_names;
    action->names_count = count;
    membership->weight_registering = registration.weight_milli;
    return true;
}

void registration_on_registered(struct rh_membership *membership,
                                const struct rh_membership_result *result)
{
    membership->list_stale = true;
    membership->snapshot.complete = false; /* it is of before */
    membership->replacing = false;
    if (result->rv == RH_ERR_NOT_FOUND) {
        membership->parents_missing = true; /* or what was to be replaced is gone */
        return;
    }
    if (result->rv != 0) {
        membership_retry_later(membership);
        return;
    }
    if (membership->chain[0] != '\0' && result->name != NULL &&
        rh_registration_name_valid(result->name, membership->own.id)) {
        membership_copy_name(membership->own_name, result->name);
    }
    char weight[RH_WEIGHT_TEXT_SIZE];
    rh_weight_format(membership->weight_registering, weight);
    membership_note(membership, RH_NOTE_INFO, "registered name=%s weight=%s replaced=%zu",
                    result->name == NULL ? "?" : result->name, weight, membership->replaced_count);
}

/* A registration of exactly that process. */
static const struct member *find_victim(const struct rh_membership *membership,
                                        const struct rh_node_ref *victim)
{
    for (size_t i = 0; i < membership->snapshot.count; i++) {
        const struct member *member = &membership->snapshot.members[i];
        if (member->state == MEMBER_GOOD && member->registration.instance == victim->instance &&
            strcmp(member->registration.id, victim->id) == 0) {
            return member;
        }
    }
    return NULL;
}

static bool start_eviction(struct rh_membership *membership, const struct member *own)
{
    while (membership->dead.count > 0) {
        membership->victim = membership->dead.items[0];
        ref_list_remove(&membership->dead, &membership->victim);
        const struct member *member = find_victim(membership, &membership->victim);
        if (member == NULL) {
            continue; /* gone already */
        }
        struct rh_membership_action *action =
            membership_operate(membership, OPERATION_EVICT, RH_MEMBERSHIP_EVICT);
        membership->replaced_names[0] = member->name;
        action->name = own->name;
        action->names = membership->replaced_names;
        action->names_count = 1;
        return true;
    }
    return false;
}

void registration_on_evicted(struct rh_membership *membership,
                             const struct rh_membership_result *result)
{
    membership->list_stale = true;
    if (result->rv == 0) {
        membership_note(membership, RH_NOTE_INFO, "peer_evicted peer=%s instance=%016" PRIx64,
                        membership->victim.id, membership->victim.instance);
        return;
    }
    membership_note(membership, RH_NOTE_WARN,
                    "eviction_failed peer=%s instance=%016" PRIx64
                    " reason=\"its registration or ours is gone\"",
                    membership->victim.id, membership->victim.instance);
}

/* Deletes our registration, and us from `last` with it: who stopped in order need not be heard of
 * any more. From here on we act no more. */
static bool start_unregister(struct rh_membership *membership, const struct member *own)
{
    if (!membership->unregistering) {
        membership->unregistering = true;
        membership->chain[0] = '\0';
        proof_end(membership);
        (void)membership_act(membership, RH_MEMBERSHIP_LOST);
    }
    struct rh_record without = {0};
    char *text = NULL;
    if (membership->config_good && membership->leave_tries < LEAVE_TRIES_MAX &&
        rh_record_find(&membership->record, membership->own.instance) !=
            membership->record.members_count &&
        record_without_us(membership, &without) == 0) {
        text = rh_shared_config_encode(&membership->found, &without);
        rh_record_finish(&without);
    }
    struct rh_membership_action *action =
        membership_operate(membership, OPERATION_UNREGISTER, RH_MEMBERSHIP_UNREGISTER);
    action->name = own->name;
    membership->leaves_record = text != NULL;
    if (text != NULL) {
        membership->leave_tries++;
        action->data = rh_bytes_text(membership_keep(membership, text));
        action->version = membership->config_version;
    }
    return true;
}

void registration_on_unregistered(struct rh_membership *membership,
                                  const struct rh_membership_result *result)
{
    if (membership->leaves_record && result->rv != 0) {
        membership->config_stale = true; /* it was another by then */
        return;
    }
    finish(membership);
}

/* Whether another one stands under our id, made before |own|: the answer to a transaction was lost
 * with its connection, and the next server, which lagged behind, did not show what it had done. */
static bool has_leftover(const struct rh_membership *membership, const struct member *own)
{
    for (size_t i = 0; i < membership->snapshot.count; i++) {
        const struct member *member = &membership->snapshot.members[i];
        if (member != own && member->state == MEMBER_GOOD &&
            strcmp(member->registration.id, membership->own.id) == 0) {
            return true;
        }
    }
    return false;
}

bool registration_operate(struct rh_membership *membership)
{
    if (!membership->snapshot.complete) {
        return false;
    }
    if (membership->registration.state == RH_MEMBERSHIP_OUTSIDE) {
        return !membership->leaving && !newcomer_doubts(membership) && start_register(membership);
    }
    if (membership->registration.state != RH_MEMBERSHIP_REGISTERED) {
        return false;
    }
    const struct member *own = snapshot_newest(membership, membership->own.id);
    assert(own != NULL);
    if (membership->finishing) {
        return start_unregister(membership, own);
    }
    if (own->registration.weight_milli != weight_now(membership) || has_leftover(membership, own)) {
        /* What a proof says is clear only if no transaction of ours overtakes it. */
        return !membership->proof_out && start_register(membership);
    }
    return start_eviction(membership, own);
}
