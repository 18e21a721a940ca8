/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SEQUENCE_SIZE 10 /* digits that ZooKeeper appends to a name */
#define NOTES_MAX     16 /* names without sense that one list is worth telling of */

/* The snapshot. */

void snapshot_forget(struct rh_membership *membership)
{
    free(membership->snapshot.members);
    membership->snapshot = (struct snapshot){.inconsistent_pzxid = -1};
}

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static struct member *find(const struct snapshot *snapshot, const char *name)
{
    size_t low = 0;
    size_t high = snapshot->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(snapshot->members[middle].name, name);
        if (order == 0) {
            return &snapshot->members[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static void note_ignored(struct rh_membership *membership, const char *name, const char *reason)
{
    membership_note(membership, RH_NOTE_WARN, "registration_ignored name=\"%.*s\" reason=\"%s\"",
                    RH_MEMBERSHIP_NAME_SIZE, name, reason);
}

/* Whether |name| has the form `<id>.<ten digits>`: ZooKeeper appends the digits, somebody else may
 * have written anything. */
static bool name_valid(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && rh_node_id_valid(rh_bytes(name, (size_t)(dot - name))) &&
           strlen(dot + 1) == SEQUENCE_SIZE && strspn(dot + 1, "0123456789") == SEQUENCE_SIZE;
}

/* A child that was not listed before. Its name says whether it is worth reading. */
static struct member make_member(struct rh_membership *membership, const char *name)
{
    struct member member = {.state = MEMBER_UNREAD};
    (void)snprintf(member.name, sizeof(member.name), "%s", name);
    if (!name_valid(name)) {
        member.state = MEMBER_IGNORED;
        if (membership->actions->count < NOTES_MAX) {
            note_ignored(membership, member.name, "the name is not <id>.<ten digits>");
        }
    }
    return member;
}

/* One entry per name, with what was known before. Names that are longer than an id and a sequence
 * can be are left out. */
static size_t fill(struct rh_membership *membership, struct member *members,
                   const struct rh_membership_result *result)
{
    size_t count = 0;
    for (size_t i = 0; i < result->names_count && count < RH_MEMBERSHIP_MEMBERS_MAX; i++) {
        const char *name = result->names[i];
        if (strlen(name) < RH_MEMBERSHIP_NAME_SIZE) {
            const struct member *known = find(&membership->snapshot, name);
            members[count++] = known != NULL ? *known : make_member(membership, name);
        }
    }
    qsort(members, count, sizeof(*members), compare_members);
    return count;
}

void snapshot_on_list(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if (result->rv == RH_ERR_NOT_FOUND) {
        membership->parents_missing = true;
        membership->sync_wanted = true;
        membership->list_stale = true;
        membership_retry_later(membership); /* created and gone: not in a hurry again */
        return;
    }
    size_t room = result->names_count;
    room = room > RH_MEMBERSHIP_MEMBERS_MAX ? RH_MEMBERSHIP_MEMBERS_MAX : room;
    struct member *members = calloc(room + 1, sizeof(*members));
    if (members == NULL) {
        membership->list_stale = true;
        membership_retry_later(membership);
        return;
    }
    size_t count = fill(membership, members, result);
    if (count != result->names_count) {
        membership_note(membership, RH_NOTE_ERROR,
                        "registrations_ignored listed=%zu looked_at=%zu limit=%d name_size_max=%d",
                        result->names_count, count, RH_MEMBERSHIP_MEMBERS_MAX,
                        RH_MEMBERSHIP_NAME_SIZE - 1);
    }
    free(membership->snapshot.members);
    membership->snapshot.members = members;
    membership->snapshot.count = count;
    membership->snapshot.pzxid = result->pzxid;
    membership->snapshot.complete = false;
    snapshot_end_of_reads(membership);
}

static bool name_fits(const char *name, const char *id)
{
    size_t size = strlen(id);
    return strlen(name) == size + 1 + SEQUENCE_SIZE && strncmp(name, id, size) == 0;
}

void snapshot_on_member(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if (result->rv == RH_ERR_NOT_FOUND) {
        membership->list_stale = true; /* gone since it was listed */
        return;
    }
    struct member *member = find(&membership->snapshot, result->name);
    if (member == NULL) {
        return;
    }
    struct rh_reason reason = {0};
    int rv = rh_registration_decode(result->data, &member->registration, &reason);
    if (rv == RH_ERR_NO_MEMORY) {
        membership->list_stale = true;
        membership_retry_later(membership);
        return;
    }
    if (rv == 0 && !name_fits(member->name, member->registration.id)) {
        rv = rh_fail(&reason, RH_ERR_INVALID, "id: \"%s\" does not fit the name",
                     member->registration.id);
    }
    if (rv == 0 && result->ephemeral_owner == 0) {
        rv = rh_fail(&reason, RH_ERR_INVALID, "not ephemeral");
    }
    member->czxid = result->czxid;
    member->owner = result->ephemeral_owner;
    member->state = rv == 0 ? MEMBER_GOOD : MEMBER_IGNORED;
    if (rv != 0) {
        note_ignored(membership, member->name, reason.text);
    }
}

/* Whether a child was created after the list was made. */
static bool is_stale(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct member *member = &snapshot->members[i];
        if (member->state != MEMBER_UNREAD && member->czxid > snapshot->pzxid) {
            return true;
        }
    }
    return false;
}

void snapshot_end_of_reads(struct rh_membership *membership)
{
    struct snapshot *snapshot = &membership->snapshot;
    for (size_t i = 0; i < snapshot->count; i++) {
        if (snapshot->members[i].state == MEMBER_UNREAD) {
            return; /* more to read, or list_stale is set */
        }
    }
    if (is_stale(snapshot)) {
        if (snapshot->inconsistent_pzxid == snapshot->pzxid) {
            /* Twice the same: not a matter of time. What we know may be of other data. */
            int64_t pzxid = snapshot->pzxid;
            snapshot_forget(membership);
            membership->snapshot.inconsistent_pzxid = pzxid;
            membership->sync_wanted = true;
            membership_retry_later(membership);
        } else {
            snapshot->inconsistent_pzxid = snapshot->pzxid;
        }
        membership->list_stale = true;
        return;
    }
    snapshot->complete = true;
    if (membership->session.state == RH_MEMBERSHIP_PREPARING) {
        rh_machine_move(&membership->session, RH_MEMBERSHIP_FOLLOWING);
    }
}

bool snapshot_read(struct rh_membership *membership)
{
    struct snapshot *snapshot = &membership->snapshot;
    for (size_t i = 0; i < snapshot->count && membership->reads_left < READS_MAX; i++) {
        if (snapshot->members[i].state == MEMBER_UNREAD) {
            membership_operate(membership, OPERATION_READ_MEMBERS, RH_MEMBERSHIP_READ_MEMBER)
                ->name = snapshot->members[i].name;
            membership->reads_left++;
        }
    }
    return membership->reads_left > 0;
}

const struct member *snapshot_newest(const struct rh_membership *membership, const char *id)
{
    const struct member *newest = NULL;
    for (size_t i = 0; i < membership->snapshot.count; i++) {
        const struct member *member = &membership->snapshot.members[i];
        if (member->state == MEMBER_GOOD && strcmp(member->registration.id, id) == 0 &&
            (newest == NULL || newest->czxid < member->czxid)) {
            newest = member;
        }
    }
    return newest;
}

/* Views. */

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

/* Finds the members of the view that the snapshot lacks although they answer; those that were
 * missing before keep their deadline. Returns how many. */
static size_t find_missing(struct rh_membership *membership)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->view->members_count; i++) {
        struct rh_node_ref node = {.instance = membership->view->members[i].instance};
        memcpy(node.id, membership->view->members[i].id, sizeof(node.id));
        if (snapshot_newest(membership, node.id) != NULL || !answers(membership, &node)) {
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

static bool must_wait(struct rh_membership *membership, struct rh_epoch epoch)
{
    if (find_missing(membership) == 0) {
        return false;
    }
    if (is_away(membership)) {
        /* They cannot come back; but if a peer has gone on to this very view, so do we. */
        return rh_epoch_compare(epoch, membership->heard) > 0;
    }
    return !peer_is_ahead(membership) && missing_until_ms(membership) > membership->now_ms;
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

static void hold(struct rh_membership *membership)
{
    if (membership->view_machine.state == RH_MEMBERSHIP_HELD) {
        return;
    }
    rh_machine_move(&membership->view_machine, RH_MEMBERSHIP_HELD);
    char missing[256];
    format_missing(membership, missing, sizeof(missing));
    membership_note(membership, RH_NOTE_INFO,
                    "view_held epoch=%" PRId64 " missing=%s grace_ms=%" PRIu32,
                    membership->snapshot.pzxid, missing, membership->grace_ms);
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

static int make_view(struct rh_membership *membership, struct rh_epoch epoch,
                     struct rh_view **ret_view)
{
    const struct snapshot *snapshot = &membership->snapshot;
    struct rh_registration *members = calloc(snapshot->count + 1, sizeof(*members));
    int64_t *czxids = calloc(snapshot->count + 1, sizeof(*czxids));
    if (members == NULL || czxids == NULL) {
        free(members);
        free(czxids);
        return RH_ERR_NO_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        if (snapshot->members[i].state == MEMBER_GOOD) {
            members[count] = snapshot->members[i].registration;
            czxids[count++] = snapshot->members[i].czxid;
        }
    }
    struct rh_shared_config config = membership->own_config;
    config.generation = membership->generation;
    int rv = rh_view_create(epoch, &config, members, czxids, count, ret_view);
    free(members);
    free(czxids);
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

static void adopt(struct rh_membership *membership, struct rh_epoch epoch)
{
    struct rh_view *view = NULL;
    int rv = make_view(membership, epoch, &view);
    uint64_t *missing_ms = rv == 0 ? calloc(view->members_count + 1, sizeof(*missing_ms)) : NULL;
    if (rv == RH_ERR_NO_MEMORY || (rv == 0 && missing_ms == NULL)) {
        rh_view_give(view);
        membership->view_retry_ms = membership->now_ms + RETRY_MS;
        return;
    }
    if (rv != 0) {
        membership->unusable_pzxid = epoch.pzxid;
        membership_note(membership, RH_NOTE_ERROR,
                        "view_refused epoch=%" PRId64 " reason=\"its members make no ring: too "
                        "many points\"",
                        epoch.pzxid);
        return;
    }
    rh_view_give(membership->view);
    free(membership->missing_ms);
    membership->view = view;
    membership->missing_ms = missing_ms;
    membership->view_config_czxid = membership->config_czxid;
    rh_machine_move(&membership->view_machine, RH_MEMBERSHIP_CURRENT);
    forget_links(membership);
    note_adopted(membership);
    membership_act(membership, RH_MEMBERSHIP_ADOPT)->view = view;
}

/* Whether what is listed may be looked at as a view at all. */
static bool is_settled(const struct rh_membership *membership)
{
    return membership->snapshot.complete && membership->generation != 0 &&
           membership->raise_reason == NULL &&
           membership->snapshot.pzxid != membership->unusable_pzxid &&
           membership->now_ms >= membership->view_retry_ms;
}

void view_settle(struct rh_membership *membership)
{
    if (!is_settled(membership)) {
        return;
    }
    const struct rh_epoch epoch = {.generation = membership->generation,
                                   .pzxid = membership->snapshot.pzxid};
    if (membership->view == NULL) {
        if (membership->registration.state == RH_MEMBERSHIP_REGISTERED) {
            adopt(membership, epoch);
        }
        return;
    }
    int order = rh_epoch_compare(epoch, membership->view->epoch);
    if (order < 0 && !is_away(membership)) {
        membership->snapshot.complete = false;
        membership->list_stale = true;
        membership_suspect_loss(membership, "the epoch went back");
        return;
    }
    if (order <= 0) {
        release_hold(membership);
        return;
    }
    bool reading = membership->sync_wanted || membership->config_stale || membership->list_stale;
    if (peer_is_ahead(membership) && !is_away(membership) && reading) {
        return; /* the newest there is, not the one before */
    }
    if (must_wait(membership, epoch)) {
        hold(membership);
        return;
    }
    adopt(membership, epoch);
}

uint64_t view_deadline_ms(const struct rh_membership *membership)
{
    if (membership->view_retry_ms > membership->now_ms) {
        return membership->view_retry_ms;
    }
    if (membership->view_machine.state != RH_MEMBERSHIP_HELD || is_away(membership) ||
        !membership->snapshot.complete) {
        return NEVER;
    }
    /* Once it has passed only an answer is missing, which comes by itself. */
    uint64_t until_ms = missing_until_ms(membership);
    return until_ms <= membership->now_ms ? NEVER : until_ms;
}
