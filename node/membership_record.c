/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The last complete view in config (docs/protocol-cluster.md, V6, V7):
 *
 *   COMPLETE --> is it still the adopted epoch, and above what is recorded?
 *            --> may anybody of the recorded view still act without having heard of this one?
 *                  yes: AWAITED, until each was heard of, is gone for certain, or was given up
 *                  no:  config is replaced by compare-and-set; who is slower reads it
 *   RECORDED <-- config has exactly the adopted epoch
 */

#include "node/fault.h"
#include "node/membership_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Records. */

static void copy_member(const struct rh_view *view, size_t index, struct rh_record_member *member)
{
    const struct rh_registration *registration = &view->members[index];
    *member = (struct rh_record_member){.instance = registration->instance};
    memcpy(member->id, registration->id, sizeof(member->id));
    memcpy(member->peer, registration->peer, sizeof(member->peer));
    (void)snprintf(member->origin, sizeof(member->origin), "%s", rh_view_chain(view, index));
}

static int copy_forgotten(const struct rh_record *from, struct rh_record *record)
{
    record->forgotten = calloc(from->forgotten_count + 1, sizeof(*record->forgotten));
    if (record->forgotten == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < from->forgotten_count; i++) {
        record->forgotten[i] = from->forgotten[i];
    }
    record->forgotten_count = from->forgotten_count;
    return 0;
}

int record_of_view(const struct rh_membership *membership, bool with_forgotten,
                   struct rh_record *ret_record)
{
    const struct rh_view *view = membership->view;
    struct rh_record record = {.last = view->epoch, .members_count = view->members_count};
    record.members = calloc(view->members_count + 1, sizeof(*record.members));
    int rv = record.members == NULL ? RH_ERR_NO_MEMORY : 0;
    if (rv == 0 && with_forgotten) {
        rv = copy_forgotten(&membership->record, &record);
    }
    if (rv != 0) {
        rh_record_finish(&record);
        return rv;
    }
    for (size_t i = 0; i < view->members_count; i++) {
        copy_member(view, i, &record.members[i]);
    }
    *ret_record = record;
    return 0;
}

int record_without_us(const struct rh_membership *membership, struct rh_record *ret_record)
{
    const struct rh_record *from = &membership->record;
    struct rh_record record = {.last = from->last};
    record.members = calloc(from->members_count + 1, sizeof(*record.members));
    if (record.members == NULL || copy_forgotten(from, &record) != 0) {
        rh_record_finish(&record);
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < from->members_count; i++) {
        if (from->members[i].instance != membership->own.instance) {
            record.members[record.members_count++] = from->members[i];
        }
    }
    *ret_record = record;
    return 0;
}

/* Another process has its place, or the operator gave it up. */
static bool is_gone(const struct rh_membership *membership, const struct rh_record_member *member)
{
    const struct rh_view *view = membership->view;
    const struct rh_node_ref node = rh_record_member_ref(member);
    uint32_t index = rh_view_find(view, member->id);
    return (index != RH_RING_NONE && view->members[index].instance != member->instance &&
            strcmp(view->members[index].peer, member->peer) == 0) ||
           rh_record_forgets(&membership->record, member->instance) ||
           ref_list_has(&membership->replaced, &node);
}

static void add_guards(const struct rh_membership *membership, const struct rh_record *from,
                       struct rh_record *record)
{
    for (size_t i = 0; i < from->members_count; i++) {
        const struct rh_record_member *member = &from->members[i];
        if (record->members_count < RH_RECORD_MEMBERS_MAX && !is_gone(membership, member) &&
            rh_record_find(record, member->instance) == record->members_count) {
            record->members[record->members_count++] = *member;
        }
    }
}

static int compare_members(const void *a, const void *b)
{
    const struct rh_record_member *first = a;
    const struct rh_record_member *second = b;
    return strcmp(first->id, second->id);
}

/* If no chain of it goes on in the adopted view, its members may still act. */
static bool is_of_others(const struct rh_membership *membership, const struct rh_record *record)
{
    return record->last.generation != 0 && !rh_view_shares_chain(membership->view, record) &&
           !rh_fault(RH_FAULT_FORGET_GUARD);
}

int record_of_known(const struct rh_membership *membership, struct rh_record *ret_record)
{
    struct rh_record record = {0};
    int rv = record_of_view(membership, true, &record);
    if (rv != 0) {
        return rv;
    }
    size_t most = record.members_count + membership->record.members_count +
                  membership->record_before.members_count;
    struct rh_record_member *members = realloc(record.members, (most + 1) * sizeof(*members));
    if (members == NULL) {
        rh_record_finish(&record);
        return RH_ERR_NO_MEMORY;
    }
    record.members = members;
    if (is_of_others(membership, &membership->record_before)) {
        add_guards(membership, &membership->record_before, &record);
    }
    /* In a config that was made anew names may come again. */
    if (membership->record_generation == 0 || is_of_others(membership, &membership->record)) {
        add_guards(membership, &membership->record, &record);
    }
    qsort(record.members, record.members_count, sizeof(*record.members), compare_members);
    *ret_record = record;
    return 0;
}

bool record_is_behind(const struct rh_membership *membership)
{
    return membership->view != NULL && membership->config_good && !membership->unknown_before &&
           membership->found.generation > membership->view->epoch.generation &&
           membership->record.last.generation < membership->found.generation &&
           rh_epoch_compare(membership->record.last, membership->view->epoch) < 0;
}

static void forget_before(struct rh_membership *membership)
{
    rh_record_finish(&membership->record_before);
    membership->unknown_before = false;
}

void record_keep(struct rh_membership *membership, bool anew, struct rh_record *record)
{
    const struct rh_view *view = membership->view;
    uint64_t generation = anew ? 0 : membership->found.generation;
    if (view == NULL || generation == view->epoch.generation) {
        forget_before(membership);
    } else if (membership->record_generation == view->epoch.generation) {
        forget_before(membership);
        membership->unknown_before = record_is_unknown(membership);
        membership->record_before = membership->record;
        membership->record = (struct rh_record){0};
    }
    rh_record_finish(&membership->record);
    membership->record = *record;
    membership->record_generation = generation;
}

bool record_can_be_raised(const struct rh_membership *membership)
{
    if (membership->view == NULL) {
        return false;
    }
    bool ours = membership->record_generation == membership->view->epoch.generation;
    bool unknown = ours ? record_is_unknown(membership) : membership->unknown_before;
    return !unknown && (membership->record_generation == 0 ||
                        rh_epoch_compare(membership->record.last, membership->view->epoch) < 0);
}

/* The guard. */

static struct shown *find_shown(const struct rh_membership *membership,
                                const struct rh_node_ref *node)
{
    for (size_t i = 0; i < membership->shown_count; i++) {
        if (rh_node_ref_equal(&membership->shown[i].node, node)) {
            return &membership->shown[i];
        }
    }
    return NULL;
}

/* Whether a member of the record, as that process, can act no more without us hearing of it. */
static bool is_settled(const struct rh_membership *membership,
                       const struct rh_record_member *member)
{
    const struct rh_view *view = membership->view;
    const struct rh_node_ref node = rh_record_member_ref(member);
    uint32_t index = rh_view_find(view, member->id);
    if (index != RH_RING_NONE && view->members[index].instance == member->instance) {
        return true; /* it has said that it adopted the view */
    }
    if (is_gone(membership, member)) {
        return true;
    }
    const struct shown *shown = find_shown(membership, &node);
    return shown != NULL && rh_epoch_compare(shown->epoch, view->epoch) >= 0;
}

bool record_is_unknown(const struct rh_membership *membership)
{
    return membership->record.last.generation == 0 && membership->view->epoch.generation > 1 &&
           !rh_record_forgets(&membership->record, RH_FORGOTTEN_UNKNOWN);
}

/* How many members of the record have to be heard of before the view can be recorded; they are put
 * into |list| unless it is NULL. */
static size_t list_awaited(const struct rh_membership *membership,
                           struct rh_membership_awaited *list)
{
    const struct rh_record *record = &membership->record;
    if (record->last.generation == 0 || record->members_count == 0 ||
        rh_view_shares_chain(membership->view, record) || rh_fault(RH_FAULT_NO_GUARD)) {
        return 0;
    }
    size_t count = 0;
    for (size_t i = 0; i < record->members_count; i++) {
        const struct rh_record_member *member = &record->members[i];
        if (is_settled(membership, member)) {
            continue;
        }
        if (list != NULL) {
            list[count].node = rh_record_member_ref(member);
            memcpy(list[count].address, member->peer, sizeof(list[count].address));
        }
        count++;
    }
    return count;
}

/* Whether the adopted view is later than the recorded one. */
static bool is_later(const struct rh_membership *membership)
{
    return membership->view != NULL && membership->config_good && !membership->finishing &&
           membership->found.generation == membership->view->epoch.generation &&
           rh_epoch_compare(membership->record.last, membership->view->epoch) < 0;
}

/* Whether the core wants it to be recorded, and it is not. */
static bool is_wanted(const struct rh_membership *membership)
{
    return is_later(membership) && membership->chain[0] != '\0' &&
           rh_epoch_compare(membership->complete, membership->view->epoch) == 0;
}

bool record_is_due(const struct rh_membership *membership)
{
    return is_wanted(membership) && membership->now_ms >= membership->record_ms &&
           list_awaited(membership, NULL) == 0 && !record_is_unknown(membership);
}

/* For the log: as many ids as fit. */
static void format_awaited(const struct rh_membership *membership, char *text, size_t size)
{
    size_t used = 0;
    (void)snprintf(text, size, "%s", "everyone who was there before");
    for (size_t i = 0; i < membership->awaited_count && used < size; i++) {
        int length = snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ",",
                              membership->awaited[i].node.id);
        used += length > 0 ? (size_t)length : 0;
    }
}

static void note_awaited(struct rh_membership *membership)
{
    if (membership->now_ms < membership->awaited_note_ms) {
        return;
    }
    membership->awaited_note_ms = membership->now_ms + AWAITED_NOTE_MS;
    char names[256];
    format_awaited(membership, names, sizeof(names));
    membership_note(membership, RH_NOTE_WARN,
                    "record_waits epoch=%" PRId64 " for=\"%s\" reason=\"they were members of the "
                    "last complete view and may still serve; if they do not run: ringhop recover\"",
                    membership->view->epoch.pzxid, names);
}

static bool is_awaited_the_same(const struct rh_membership *membership,
                                const struct rh_membership_awaited *list, size_t count)
{
    bool same = count == membership->awaited_count;
    for (size_t i = 0; i < count && same; i++) {
        same = rh_node_ref_equal(&list[i].node, &membership->awaited[i].node) &&
               strcmp(list[i].address, membership->awaited[i].address) == 0;
    }
    return same;
}

/* Makes `awaited` what it has to be. Who is listed stays so when another view is adopted meanwhile,
 * so that a link to it goes on. */
static void settle_awaited(struct rh_membership *membership)
{
    bool wanted = is_wanted(membership) || (membership->awaited_count > 0 && is_later(membership) &&
                                            membership->chain[0] != '\0');
    size_t count = wanted ? list_awaited(membership, NULL) : 0;
    if (count == 0 && membership->awaited_count == 0) {
        return;
    }
    struct rh_membership_awaited *list = calloc(count + 1, sizeof(*list));
    if (list == NULL) {
        return; /* after the next event; who may be recorded does not depend on it */
    }
    if (count > 0) {
        (void)list_awaited(membership, list);
    }
    if (is_awaited_the_same(membership, list, count)) {
        free(list);
        return;
    }
    free(membership->awaited);
    membership->awaited = list;
    membership->awaited_count = count;
    (void)membership_act(membership, RH_MEMBERSHIP_AWAITED);
}

static bool is_waiting(const struct rh_membership *membership)
{
    return is_wanted(membership) &&
           (list_awaited(membership, NULL) > 0 || record_is_unknown(membership));
}

static void tell_recorded(struct rh_membership *membership)
{
    if (membership->view == NULL ||
        membership->record_generation != membership->view->epoch.generation ||
        rh_epoch_compare(membership->record.last, membership->view->epoch) != 0 ||
        rh_epoch_compare(membership->recorded_told, membership->view->epoch) == 0) {
        return;
    }
    membership->recorded_told = membership->view->epoch;
    membership_act(membership, RH_MEMBERSHIP_RECORDED)->epoch = membership->view->epoch;
}

void record_settle(struct rh_membership *membership)
{
    tell_recorded(membership);
    settle_awaited(membership);
    if (is_waiting(membership)) {
        note_awaited(membership);
    }
}

uint64_t record_deadline_ms(const struct rh_membership *membership)
{
    if (is_waiting(membership)) {
        return membership->awaited_note_ms;
    }
    bool later = is_wanted(membership) && membership->record_ms > membership->now_ms;
    return later ? membership->record_ms : NEVER;
}

/* Events. */

/* Nodes have all they need at the same time. So that they do not all write, each lets those before
 * it in the view go first for a moment; two are soon enough. */
static uint64_t patience_ms(const struct rh_membership *membership)
{
    uint32_t index = rh_view_find(membership->view, membership->own.id);
    uint64_t steps = index == RH_RING_NONE || index < 2 ? 0 : index - 1;
    return RECORD_STEP_MS * (steps > RECORD_STEPS_MAX ? RECORD_STEPS_MAX : steps);
}

void record_on_complete(struct rh_membership *membership, struct rh_epoch epoch)
{
    if (membership->view == NULL || rh_epoch_compare(epoch, membership->view->epoch) != 0 ||
        rh_epoch_compare(epoch, membership->complete) == 0) {
        return;
    }
    membership->complete = epoch;
    membership->record_ms = membership->now_ms + patience_ms(membership);
    membership->awaited_note_ms = membership->now_ms + 1000;
}

static struct shown *add_shown(struct rh_membership *membership, const struct rh_node_ref *node)
{
    if (membership->shown_count >= RH_MEMBERSHIP_MEMBERS_MAX) {
        return NULL;
    }
    if (membership->shown_count == membership->shown_capacity) {
        size_t capacity = membership->shown_capacity == 0 ? 8 : 2 * membership->shown_capacity;
        struct shown *shown = realloc(membership->shown, capacity * sizeof(*shown));
        if (shown == NULL) {
            return NULL;
        }
        membership->shown = shown;
        membership->shown_capacity = capacity;
    }
    struct shown *shown = &membership->shown[membership->shown_count++];
    *shown = (struct shown){.node = *node};
    return shown;
}

void record_on_shown(struct rh_membership *membership, const struct rh_node_ref *node,
                     struct rh_epoch epoch)
{
    struct shown *shown = find_shown(membership, node);
    if (shown == NULL) {
        shown = add_shown(membership, node);
    }
    if (shown != NULL && rh_epoch_compare(epoch, shown->epoch) > 0) {
        shown->epoch = epoch;
    }
}

void record_on_replaced(struct rh_membership *membership, const struct rh_node_ref *node)
{
    ref_list_add(&membership->replaced, node);
}

void record_on_adopted(struct rh_membership *membership)
{
    size_t kept = 0;
    for (size_t i = 0; i < membership->shown_count; i++) {
        /* What was shown below this view says nothing any more. */
        if (rh_epoch_compare(membership->shown[i].epoch, membership->view->epoch) >= 0) {
            membership->shown[kept++] = membership->shown[i];
        }
    }
    membership->shown_count = kept;
    if (membership->view->epoch.generation == membership->record_generation) {
        forget_before(membership);
    }
    for (size_t i = membership->replaced.count; i > 0; i--) {
        const struct rh_node_ref node = membership->replaced.items[i - 1];
        if (rh_record_find(&membership->record, node.instance) ==
            membership->record.members_count) {
            ref_list_remove(&membership->replaced, &node);
        }
    }
}

const struct rh_membership_awaited *rh_membership_awaited(const struct rh_membership *membership,
                                                          size_t *ret_count)
{
    *ret_count = membership->awaited_count;
    return membership->awaited;
}
