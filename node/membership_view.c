/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From one view to the next. What may be adopted is either what was listed or what a peer has
 * shown, whichever is later; both go the same way:
 *
 *   candidate --> is it above ours, and consistent with what we know of our own registration?
 *             --> does it lack members that answer, or to whom something was promised? HELD
 *             --> ADOPT
 */

#include "node/fault.h"
#include "node/membership_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What could be adopted. */
struct candidate {
    struct rh_epoch epoch;
    struct rh_view *shown; /* by a peer; NULL: what was listed */
};

/* A member of a candidate. */
struct seat {
    uint64_t instance;
    const char *name;
    const char *origin;
};

static bool is_away(const struct rh_membership *membership)
{
    return membership->session.state == RH_MEMBERSHIP_AWAY;
}

static bool peer_is_ahead(const struct rh_membership *membership)
{
    return rh_epoch_compare(membership->heard, membership->view->epoch) > 0;
}

/* Whether the link to a member of the view answers; our own does, as it were. */
static bool answers(const struct rh_membership *membership, const struct rh_node_ref *node)
{
    return strcmp(node->id, membership->own.id) == 0 || ref_list_has(&membership->up, node);
}

static bool find_seat(const struct rh_membership *membership, const struct candidate *candidate,
                      const char *id, struct seat *ret_seat)
{
    if (candidate->shown == NULL) {
        const struct member *member = snapshot_newest(membership, id);
        if (member == NULL) {
            return false;
        }
        *ret_seat = (struct seat){.instance = member->registration.instance,
                                  .name = member->name,
                                  .origin = member->registration.origin};
        return true;
    }
    const struct rh_view *view = candidate->shown;
    uint32_t index = rh_view_find(view, id);
    if (index == RH_RING_NONE) {
        return false;
    }
    *ret_seat = (struct seat){.instance = view->members[index].instance,
                              .name = view->names[index].text,
                              .origin = view->members[index].origin};
    return true;
}

static bool has_process(const struct rh_membership *membership, const struct candidate *candidate,
                        const struct rh_node_ref *node)
{
    struct seat seat;
    return find_seat(membership, candidate, node->id, &seat) && seat.instance == node->instance;
}

/* Finds the members of the view that the candidate lacks although they answer; those that were
 * missing before keep their deadline. Returns how many. */
static size_t find_missing(struct rh_membership *membership, const struct candidate *candidate)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->view->members_count; i++) {
        const struct rh_node_ref node = rh_registration_ref(&membership->view->members[i]);
        struct seat seat;
        if (find_seat(membership, candidate, node.id, &seat) || !answers(membership, &node)) {
            membership->missing_ms[i] = 0;
            continue;
        }
        if (membership->missing_ms[i] == 0) {
            membership->missing_ms[i] = membership->now_ms + membership->grace_ms;
        }
        count++;
    }
    return count;
}

/* When waiting for the missing ends. */
static uint64_t missing_until_ms(const struct rh_membership *membership)
{
    uint64_t until_ms = 0;
    for (size_t i = 0; i < membership->view->members_count; i++) {
        if (until_ms < membership->missing_ms[i]) {
            until_ms = membership->missing_ms[i];
        }
    }
    return until_ms;
}

/* Until when something was promised to a process that the candidate lacks; 0: nothing. */
static uint64_t promised_until_ms(const struct rh_membership *membership,
                                  const struct candidate *candidate)
{
    uint64_t until_ms =
        membership->promised_all_ms > membership->now_ms ? membership->promised_all_ms : 0;
    for (size_t i = 0; i < membership->promises_count; i++) {
        const struct promise *promise = &membership->promises[i];
        if (promise->until_ms > until_ms && promise->until_ms > membership->now_ms &&
            !rh_fault(RH_FAULT_NO_PROMISE) && !has_process(membership, candidate, &promise->peer)) {
            until_ms = promise->until_ms;
        }
    }
    return until_ms;
}

/* Until when the candidate has to wait for members that it lacks, as things stand; 0: not. */
static uint64_t graced_until_ms(struct rh_membership *membership, const struct candidate *candidate)
{
    if (find_missing(membership, candidate) == 0) {
        return 0;
    }
    if (is_away(membership)) {
        /* They cannot come back; but if a peer has gone on to this very view, so do we. */
        return rh_epoch_compare(candidate->epoch, membership->heard) > 0 ? NEVER : 0;
    }
    return peer_is_ahead(membership) ? 0 : missing_until_ms(membership);
}

/* For the log: the ids that are waited for, as many as fit. */
static void format_missing(const struct rh_membership *membership, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < membership->view->members_count && used < size; i++) {
        if (membership->missing_ms[i] != 0) {
            int length = snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ",",
                                  membership->view->members[i].id);
            used += length > 0 ? (size_t)length : 0;
        }
    }
}

/* Puts the candidate off, if it has to wait. */
static bool hold(struct rh_membership *membership, const struct candidate *candidate)
{
    uint64_t graced_ms = graced_until_ms(membership, candidate);
    uint64_t promised_ms = promised_until_ms(membership, candidate);
    membership->held_until_ms = graced_ms < promised_ms ? promised_ms : graced_ms;
    if (membership->held_until_ms <= membership->now_ms) {
        return false;
    }
    if (membership->view_machine.state == RH_MEMBERSHIP_HELD) {
        return true;
    }
    rh_machine_move(&membership->view_machine, RH_MEMBERSHIP_HELD);
    if (graced_ms <= membership->now_ms) {
        membership_note(membership, RH_NOTE_INFO,
                        "view_held epoch=%" PRId64 " promised_ms=%" PRIu64, candidate->epoch.pzxid,
                        promised_ms - membership->now_ms);
        return true;
    }
    char missing[256];
    format_missing(membership, missing, sizeof(missing));
    membership_note(membership, RH_NOTE_INFO,
                    "view_held epoch=%" PRId64 " missing=%s grace_ms=%" PRIu32,
                    candidate->epoch.pzxid, missing, membership->grace_ms);
    return true;
}

void view_forget_missing(struct rh_membership *membership)
{
    for (size_t i = 0; membership->view != NULL && i < membership->view->members_count; i++) {
        membership->missing_ms[i] = 0;
    }
}

static void release_hold(struct rh_membership *membership)
{
    view_forget_missing(membership);
    if (membership->view_machine.state == RH_MEMBERSHIP_HELD) {
        rh_machine_move(&membership->view_machine, RH_MEMBERSHIP_CURRENT);
    }
}

static int make_view(struct rh_membership *membership, const struct candidate *candidate,
                     struct rh_view **ret_view)
{
    if (candidate->shown != NULL) {
        *ret_view = rh_view_take(candidate->shown);
        return 0;
    }
    const struct snapshot *snapshot = &membership->snapshot;
    struct rh_registration *members = calloc(snapshot->count + 1, sizeof(*members));
    int64_t *czxids = calloc(snapshot->count + 1, sizeof(*czxids));
    struct rh_registration_name *names = calloc(snapshot->count + 1, sizeof(*names));
    if (members == NULL || czxids == NULL || names == NULL) {
        free(members);
        free(czxids);
        free(names);
        return RH_ERR_NO_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct member *member = &snapshot->members[i];
        if (member->state == MEMBER_GOOD) {
            members[count] = member->registration;
            czxids[count] = member->czxid;
            membership_copy_name(names[count++].text, member->name);
        }
    }
    struct rh_shared_config config = membership->own_config;
    config.generation = membership->generation;
    const struct rh_view_source source = {.epoch = candidate->epoch,
                                          .config = &config,
                                          .members = members,
                                          .czxids = czxids,
                                          .names = names,
                                          .members_count = count,
                                          .deletions = snapshot->deletions};
    int rv = rh_view_build(&source, ret_view);
    free(members);
    free(czxids);
    free(names);
    return rv;
}

/* Links that the view has no use for are closed without a word. */
static void forget_links(struct rh_membership *membership)
{
    for (size_t i = membership->up.count; i > 0; i--) {
        const struct rh_node_ref ref = membership->up.items[i - 1];
        if (!rh_view_has(membership->view, ref.id, ref.instance)) {
            ref_list_remove(&membership->up, &ref);
        }
    }
}

static void note_adopted(struct rh_membership *membership)
{
    const struct rh_view *view = membership->view;
    char digest[RH_ID64_SIZE];
    rh_id64_format(rh_ring_digest(view->ring), digest);
    bool present = rh_view_has(view, membership->own.id, membership->own.instance);
    membership_note(membership, RH_NOTE_INFO,
                    "view_adopted generation=%" PRIu64 " epoch=%" PRId64
                    " members=%zu active=%zu digest=%s%s",
                    view->epoch.generation, view->epoch.pzxid, view->members_count,
                    rh_ring_active_count(view->ring), digest, present ? "" : " missing_self=1");
}

/* What it takes beside memory for the view itself. */
static int make_room(struct rh_membership *membership, struct rh_view *view)
{
    uint64_t *missing_ms = calloc(view->members_count + 1, sizeof(*missing_ms));
    if (missing_ms == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    free(membership->missing_ms);
    membership->missing_ms = missing_ms;
    return 0;
}

static void tell_adopted(struct rh_membership *membership)
{
    struct rh_view *view = membership->view;
    struct rh_membership_action *action = membership_act(membership, RH_MEMBERSHIP_ADOPT);
    action->view = view;
    action->ignorant_until_ms = membership->ignorant_until_ms;
    if (rh_view_has(view, membership->own.id, membership->own.instance)) {
        action->registration_epoch = (struct rh_epoch){.generation = view->epoch.generation,
                                                       .pzxid = membership->chain_czxid};
    }
}

/* A view that our server need not have yet is about to be adopted. */
static void on_shown(struct rh_membership *membership, const struct rh_view *view)
{
    if (membership->view->epoch.generation != view->epoch.generation) {
        membership->view_config_czxid = 0; /* of that one we have not seen the config yet */
    }
    membership->synced = false;
    membership->sync_is_late = membership->operation == OPERATION_SYNC;
}

static void adopt(struct rh_membership *membership, const struct candidate *candidate)
{
    struct rh_view *view = NULL;
    int rv = make_view(membership, candidate, &view);
    if (rv == 0) {
        rv = make_room(membership, view);
    }
    if (rv == RH_ERR_NO_MEMORY) {
        rh_view_give(view);
        membership->view_retry_ms = membership->now_ms + RETRY_MS;
        return;
    }
    if (rv != 0) {
        membership->unusable_pzxid = candidate->epoch.pzxid;
        membership_note(membership, RH_NOTE_ERROR,
                        "view_refused epoch=%" PRId64 " reason=\"its members make no ring: too "
                        "many points\"",
                        candidate->epoch.pzxid);
        return;
    }
    bool first = membership->view == NULL;
    if (candidate->shown == NULL) {
        membership->view_config_czxid = membership->config_czxid;
    } else {
        on_shown(membership, view);
    }
    rh_view_give(membership->view);
    membership->view = view;
    rh_machine_move(&membership->view_machine, RH_MEMBERSHIP_CURRENT);
    forget_links(membership);
    if (first) {
        newcomer_on_adopted(membership);
    }
    note_adopted(membership);
    tell_adopted(membership);
    record_on_adopted(membership);
}

/* Whether what is listed may be looked at as a view at all. */
static bool is_settled(const struct rh_membership *membership)
{
    return membership->snapshot.complete && membership->generation != 0 &&
           membership->raise_reason == NULL && !record_is_behind(membership) &&
           membership->snapshot.pzxid != membership->unusable_pzxid &&
           membership->now_ms >= membership->view_retry_ms;
}

/* Gives a shown view back that is of no use any more. */
static void drop_offered(struct rh_membership *membership)
{
    const struct rh_view *offered = membership->offered;
    if (offered != NULL && membership->view != NULL &&
        rh_epoch_compare(offered->epoch, membership->view->epoch) <= 0) {
        rh_view_give(membership->offered);
        membership->offered = NULL;
    }
}

/* The latest of what could be adopted; false: there is nothing. */
static bool find_candidate(const struct rh_membership *membership, struct candidate *ret_candidate)
{
    struct rh_view *offered = membership->offered;
    const struct rh_epoch listed = {.generation = membership->generation,
                                    .pzxid = membership->snapshot.pzxid};
    bool settled = is_settled(membership);
    if (membership->view != NULL && offered != NULL &&
        (!settled || rh_epoch_compare(offered->epoch, listed) > 0)) {
        *ret_candidate = (struct candidate){.epoch = offered->epoch, .shown = offered};
        return membership->raise_reason == NULL && membership->now_ms >= membership->view_retry_ms;
    }
    *ret_candidate = (struct candidate){.epoch = listed};
    return settled;
}

/* Whether the candidate says of our own registration what we know of it. */
static bool is_consistent(struct rh_membership *membership, const struct candidate *candidate)
{
    struct seat seat;
    if (find_seat(membership, candidate, membership->own.id, &seat) &&
        seat.instance == membership->own.instance) {
        /* If one that we lost is still there, something later is on its way to us. */
        return candidate->epoch.generation == membership->generation &&
               registration_is_present(membership, seat.name, seat.origin);
    }
    if (membership->chain[0] == '\0') {
        return true;
    }
    if (candidate->epoch.generation == membership->generation &&
        candidate->epoch.pzxid < membership->own_czxid) {
        return false; /* from before we registered */
    }
    registration_on_gone(membership);
    return true;
}

/* Something earlier than the adopted view, or the same, is listed. True: it was dealt with. */
static bool settle_earlier(struct rh_membership *membership, const struct candidate *candidate)
{
    int order = rh_epoch_compare(candidate->epoch, membership->view->epoch);
    if (order > 0) {
        return false;
    }
    if (order < 0 && !is_away(membership)) {
        membership->snapshot.complete = false;
        membership->list_stale = true;
        membership_suspect_loss(membership, "the epoch went back");
        return true;
    }
    release_hold(membership);
    return true;
}

/* Whether a peer has shown something later, and we are about to read it: the newest there is counts,
 * not the one before. */
static bool is_outdated(const struct rh_membership *membership, const struct candidate *candidate)
{
    bool reading = membership->sync_wanted || membership->config_stale || membership->list_stale;
    return reading && !is_away(membership) &&
           rh_epoch_compare(candidate->epoch, membership->heard) < 0;
}

void view_settle(struct rh_membership *membership)
{
    drop_offered(membership);
    struct candidate candidate;
    if (membership->finishing || !find_candidate(membership, &candidate)) {
        return;
    }
    if (membership->view == NULL) {
        if (membership->registration.state == RH_MEMBERSHIP_REGISTERED &&
            !is_outdated(membership, &candidate)) {
            adopt(membership, &candidate);
        }
        return;
    }
    if (settle_earlier(membership, &candidate)) {
        return;
    }
    if (is_outdated(membership, &candidate)) {
        return;
    }
    if (!is_consistent(membership, &candidate)) {
        return;
    }
    if (!hold(membership, &candidate)) {
        adopt(membership, &candidate);
    }
}

uint64_t view_deadline_ms(const struct rh_membership *membership)
{
    if (membership->view_retry_ms > membership->now_ms) {
        return membership->view_retry_ms;
    }
    if (membership->view_machine.state != RH_MEMBERSHIP_HELD) {
        return NEVER;
    }
    /* Once it has passed only an answer is missing, which comes by itself. */
    return membership->held_until_ms <= membership->now_ms ? NEVER : membership->held_until_ms;
}

/* Whether a later view that lacks this process is known, and put off. */
static bool holds_without(const struct rh_membership *membership, const struct rh_node_ref *peer)
{
    struct candidate candidate;
    return membership->view_machine.state == RH_MEMBERSHIP_HELD &&
           find_candidate(membership, &candidate) && !has_process(membership, &candidate, peer);
}

/* From outside. */

static void note_promise(struct rh_membership *membership, const struct rh_node_ref *peer,
                         uint64_t until_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < membership->promises_count; i++) {
        struct promise *promise = &membership->promises[i];
        if (rh_node_ref_equal(&promise->peer, peer)) {
            until_ms = until_ms < promise->until_ms ? promise->until_ms : until_ms;
        } else if (promise->until_ms > membership->now_ms) {
            membership->promises[kept++] = *promise;
        }
    }
    membership->promises_count = kept;
    if (kept == membership->promises_capacity) {
        size_t capacity = kept == 0 ? 8 : 2 * kept;
        struct promise *promises =
            kept >= RH_MEMBERSHIP_MEMBERS_MAX
                ? NULL
                : realloc(membership->promises, capacity * sizeof(*promises));
        if (promises == NULL) {
            /* A promise must be kept, so this one is kept to all. */
            if (membership->promised_all_ms < until_ms) {
                membership->promised_all_ms = until_ms;
            }
            return;
        }
        membership->promises = promises;
        membership->promises_capacity = capacity;
    }
    membership->promises[membership->promises_count++] =
        (struct promise){.peer = *peer, .until_ms = until_ms};
}

void view_promise(struct rh_membership *membership, const struct rh_promise *promise)
{
    if (holds_without(membership, &promise->to) && !rh_fault(RH_FAULT_GRANT_HELD)) {
        return; /* asked for again and again, it would never end */
    }
    note_promise(membership, &promise->to, promise->until_ms);
    membership_act(membership, RH_MEMBERSHIP_PROMISED)->promise = *promise;
}

void view_on_offered(struct rh_membership *membership, struct rh_view *view)
{
    const struct rh_view *above =
        membership->offered != NULL ? membership->offered : membership->view;
    if (above == NULL || rh_epoch_compare(view->epoch, above->epoch) <= 0 ||
        !config_fits(membership, &view->config)) {
        return;
    }
    rh_view_give(membership->offered);
    membership->offered = rh_view_take(view);
}
