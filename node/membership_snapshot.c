/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES_MAX 16 /* names without sense that one list is worth telling of */

void snapshot_forget(struct rh_membership *membership)
{
    free(membership->snapshot.members);
    membership->snapshot = (struct snapshot){.inconsistent_pzxid = -1};
}

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

/* Index of the first member whose name is not below |name|. */
static size_t lower_bound(const struct snapshot *snapshot, const char *name)
{
    size_t low = 0;
    size_t high = snapshot->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(snapshot->members[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct member *find(const struct snapshot *snapshot, const char *name)
{
    size_t at = lower_bound(snapshot, name);
    bool there = at < snapshot->count && strcmp(snapshot->members[at].name, name) == 0;
    return there ? &snapshot->members[at] : NULL;
}

static void note_ignored(struct rh_membership *membership, const char *name, const char *reason)
{
    membership_note(membership, RH_NOTE_WARN, "registration_ignored name=\"%.*s\" reason=\"%s\"",
                    RH_MEMBERSHIP_NAME_SIZE, name, reason);
}

/* A child that was not listed before. Its name says whether it is worth reading. */
static struct member make_member(struct rh_membership *membership, const char *name)
{
    struct member member = {.state = MEMBER_UNREAD};
    (void)snprintf(member.name, sizeof(member.name), "%s", name);
    if (!rh_registration_name_valid(name, NULL)) {
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
    /* The server counts creations and deletions together, and what is left. */
    int64_t twice = (int64_t)result->cversion - result->children_count;
    membership->snapshot.deletions = twice > 0 ? (uint64_t)twice / 2 : 0;
    membership->snapshot.complete = false;
    snapshot_end_of_reads(membership);
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
    if (rv == 0 && !rh_registration_name_valid(member->name, member->registration.id)) {
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

static void end_catching_up(struct rh_membership *membership)
{
    membership->catching_up = false;
    if (membership->catch_up_again) {
        membership->catch_up_again = false;
        membership_catch_up(membership);
    }
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
    membership->replacing = false;
    end_catching_up(membership);
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
    const struct snapshot *snapshot = &membership->snapshot;
    char prefix[RH_NODE_ID_SIZE + 1];
    size_t size = (size_t)snprintf(prefix, sizeof(prefix), "%s.", id);
    const struct member *newest = NULL;
    for (size_t i = lower_bound(snapshot, prefix); i < snapshot->count; i++) {
        const struct member *member = &snapshot->members[i];
        if (strncmp(member->name, prefix, size) != 0) {
            break; /* they are sorted by name: those of one id stand together */
        }
        if (member->state == MEMBER_GOOD && (newest == NULL || newest->czxid < member->czxid)) {
            newest = member;
        }
    }
    return newest;
}
