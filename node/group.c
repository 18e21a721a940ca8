/* SPDX-License-Identifier: Apache-2.0 */
#include "node/group.h"

#include "ring/ring.h"

#include <assert.h>
#include <stdlib.h>

int rh_groups_init(struct rh_groups *groups)
{
    *groups = (struct rh_groups){0};
    int rv = rh_table_init(&groups->processes);
    if (rv == 0) {
        rv = rh_table_init(&groups->groups);
    }
    if (rv != 0) {
        rh_table_finish(&groups->processes);
    }
    return rv;
}

void rh_group_free(struct rh_group *group)
{
    if (group == NULL) {
        return;
    }
    free(group->members);
    free(group->refs);
    free(group);
}

static struct rh_process *process_of(const struct rh_table_link *link)
{
    return (struct rh_process *)((uintptr_t)link - offsetof(struct rh_process, link));
}

static struct rh_group *group_of(const struct rh_table_link *link)
{
    return (struct rh_group *)((uintptr_t)link - offsetof(struct rh_group, link));
}

void rh_groups_finish(struct rh_groups *groups)
{
    for (struct rh_table_link *link = rh_table_next(&groups->groups, NULL); link != NULL;) {
        struct rh_table_link *next = rh_table_next(&groups->groups, link);
        rh_group_free(group_of(link));
        link = next;
    }
    for (struct rh_table_link *link = rh_table_next(&groups->processes, NULL); link != NULL;) {
        struct rh_table_link *next = rh_table_next(&groups->processes, link);
        free(process_of(link));
        link = next;
    }
    rh_table_finish(&groups->groups);
    rh_table_finish(&groups->processes);
}

static bool process_equal(const struct rh_table_link *link, const void *key)
{
    return rh_node_ref_equal(&process_of(link)->ref, key);
}

struct rh_process *rh_groups_find(const struct rh_groups *groups, const struct rh_node_ref *ref)
{
    struct rh_table_link *link =
        rh_table_find(&groups->processes, ref->instance, process_equal, ref);
    return link == NULL ? NULL : process_of(link);
}

struct rh_process *rh_groups_process(struct rh_groups *groups, const struct rh_node_ref *ref)
{
    struct rh_process *process = rh_groups_find(groups, ref);
    if (process != NULL) {
        return process;
    }
    process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return NULL;
    }
    process->ref = *ref;
    process->index = RH_RING_NONE;
    rh_list_init(&process->held);
    rh_list_init(&process->release_link);
    rh_list_init(&process->untold);
    rh_list_init(&process->tell_link);
    rh_table_insert(&groups->processes, &process->link, ref->instance);
    return process;
}

struct wanted {
    struct rh_process *const *members;
    uint32_t count;
};

static uint64_t members_hash(const struct wanted *wanted)
{
    uint64_t hash = wanted->count;
    for (uint32_t i = 0; i < wanted->count; i++) {
        hash = (hash ^ wanted->members[i]->ref.instance) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool group_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_group *group = group_of(link);
    const struct wanted *wanted = key;
    if (group->count != wanted->count) {
        return false;
    }
    for (uint32_t i = 0; i < wanted->count; i++) {
        if (group->members[i] != wanted->members[i]) {
            return false;
        }
    }
    return true;
}

static struct rh_group *group_create(const struct wanted *wanted)
{
    struct rh_group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return NULL;
    }
    group->count = wanted->count;
    group->members = calloc(wanted->count, sizeof(struct rh_process *));
    group->refs = calloc(wanted->count, sizeof(*group->refs));
    if (group->members == NULL || group->refs == NULL) {
        rh_group_free(group);
        return NULL;
    }
    for (uint32_t i = 0; i < wanted->count; i++) {
        group->members[i] = wanted->members[i];
        group->refs[i] = wanted->members[i]->ref;
    }
    return group;
}

struct rh_group *rh_groups_get(struct rh_groups *groups, struct rh_process *const *members,
                               uint32_t count)
{
    assert(count > 0);
    const struct wanted wanted = {.members = members, .count = count};
    uint64_t hash = members_hash(&wanted);
    struct rh_table_link *link = rh_table_find(&groups->groups, hash, group_equal, &wanted);
    if (link != NULL) {
        return rh_group_take(group_of(link));
    }
    struct rh_group *group = group_create(&wanted);
    if (group == NULL) {
        return NULL;
    }
    group->references = 1;
    for (uint32_t i = 0; i < count; i++) {
        group->members[i]->groups++;
    }
    rh_table_insert(&groups->groups, &group->link, hash);
    return group;
}

struct rh_group *rh_group_take(struct rh_group *group)
{
    if (group != NULL) {
        group->references++;
    }
    return group;
}

struct rh_group *rh_groups_give(struct rh_groups *groups, struct rh_group *group)
{
    if (group == NULL) {
        return NULL;
    }
    assert(group->references > 0);
    group->references--;
    if (group->references > 0) {
        return NULL;
    }
    rh_table_remove(&groups->groups, &group->link);
    for (uint32_t i = 0; i < group->count; i++) {
        group->members[i]->groups--;
    }
    return group;
}

bool rh_group_has(const struct rh_group *group, const struct rh_process *process)
{
    for (uint32_t i = 0; group != NULL && i < group->count; i++) {
        if (group->members[i] == process) {
            return true;
        }
    }
    return false;
}

void rh_groups_tidy(struct rh_groups *groups, const struct rh_process *self)
{
    for (struct rh_table_link *link = rh_table_next(&groups->processes, NULL); link != NULL;) {
        struct rh_table_link *next = rh_table_next(&groups->processes, link);
        struct rh_process *process = process_of(link);
        if (process != self && process->groups == 0 && process->index == RH_RING_NONE &&
            !process->is_up && rh_list_empty(&process->held)) {
            rh_table_remove(&groups->processes, link);
            free(process);
        }
        link = next;
    }
}
