/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include "node/fault.h"

#include <inttypes.h>
#include <stdlib.h>

#define GENERATIONS_AHEAD 65536U

/* Names the first field in which |found| differs from our own file. */
static bool differs(const struct rh_membership *membership, const struct rh_shared_config *found,
                    struct rh_reason *reason)
{
    const struct rh_shared_config *own = &membership->own_config;
    const struct {
        const char *name;
        uint64_t own;
        uint64_t found;
    } fields[] = {
        {"ring.vnodes", own->vnodes, found->vnodes},
        {"ring.replicas", own->replicas, found->replicas},
        {"ring.seed", own->seed, found->seed},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].own != fields[i].found) {
            (void)rh_fail(reason, RH_ERR_CONFLICT,
                          "%s is %" PRIu64 " in %s and %" PRIu64
                          " in the cluster's config in ZooKeeper",
                          fields[i].name, fields[i].own, membership->config_name, fields[i].found);
            return true;
        }
    }
    if (own->session_timeout_ms != 0 && found->session_timeout_ms != 0 &&
        own->session_timeout_ms != found->session_timeout_ms) {
        (void)rh_fail(reason, RH_ERR_CONFLICT,
                      "zookeeper.session_timeout is %" PRIu32 "ms in %s and %" PRIu32
                      "ms in the cluster's config in ZooKeeper",
                      own->session_timeout_ms, membership->config_name, found->session_timeout_ms);
        return true;
    }
    return false;
}

bool config_fits(const struct rh_membership *membership, const struct rh_shared_config *found)
{
    struct rh_reason reason;
    return !differs(membership, found, &reason);
}

static void ignore(struct rh_membership *membership, const struct rh_reason *reason)
{
    if (membership->config_ignored_version == membership->config_version) {
        return;
    }
    membership->config_ignored_version = membership->config_version;
    membership_note(membership, RH_NOTE_ERROR, "config_ignored reason=\"%s\"", reason->text);
}

static void accept_generation(struct rh_membership *membership, uint64_t generation)
{
    membership->config_known = true;
    membership->raise_reason = NULL;
    if (membership->generation == generation) {
        return;
    }
    if (membership->generation != 0) {
        /* The same names may stand for other data now. */
        snapshot_forget(membership);
        membership->list_stale = true;
        registration_on_generation(membership);
    }
    membership->generation = generation;
}

static void on_missing(struct rh_membership *membership)
{
    membership->config_missing = true;
    membership->config_good = false;
    membership->generation_found = 0;
    if (membership->view != NULL) {
        membership_suspect_loss(membership, "config is missing");
    }
}

/* The config that was read is not the one of the adopted view, nor one of a later generation. */
static bool is_anew(const struct rh_membership *membership)
{
    return membership->view != NULL &&
           (membership->found.generation < membership->view->epoch.generation ||
            (membership->found.generation == membership->view->epoch.generation &&
             membership->view_config_czxid != 0 &&
             membership->config_czxid != membership->view_config_czxid));
}

/* What is there now. Takes |record|. */
static void keep(struct rh_membership *membership, bool good, const struct rh_shared_config *found,
                 struct rh_record *record)
{
    membership->config_good = good;
    membership->found = *found;
    record_keep(membership, is_anew(membership), record);
}

void config_on_read(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if (result->rv == RH_ERR_NOT_FOUND) {
        on_missing(membership);
        return;
    }
    membership->config_missing = false;
    membership->config_version = result->version;
    membership->config_czxid = result->czxid;
    membership->config_good = false;
    struct rh_shared_config found;
    struct rh_record record = {0};
    struct rh_reason reason = {0};
    int rv = rh_shared_config_decode(result->data, &found, &record, &reason);
    if (rv == RH_ERR_NO_MEMORY) {
        membership->config_stale = true;
        membership_retry_later(membership);
        return;
    }
    bool bad = rv != 0 || differs(membership, &found, &reason);
    if (bad && !membership->config_known) {
        rh_record_finish(&record);
        membership_fatal(membership, rv != 0 ? "the cluster's config in ZooKeeper: %s" : "%s",
                         reason.text);
        return;
    }
    if (bad) {
        ignore(membership, &reason);
    }
    if (rv != 0) {
        return; /* no generation to be had */
    }
    keep(membership, !bad, &found, &record);
    membership->generation_found = found.generation;
    if (is_anew(membership)) {
        membership_suspect_loss(membership, found.generation < membership->view->epoch.generation
                                                ? "the generation in config went back"
                                                : "config was made anew");
    } else {
        if (membership->view_config_czxid == 0) {
            membership->view_config_czxid = result->czxid;
        }
        accept_generation(membership, found.generation);
    }
}

/* The first generation is 1. Who lost the data of one takes not the next number, but one of many above:
 * when data is lost twice, and nobody has seen both, two processes that raise the same generation
 * must not come to the same one. */
static uint64_t generation_above(struct rh_membership *membership)
{
    uint64_t generation = membership->generation;
    if (generation < membership->generation_found) {
        generation = membership->generation_found;
    }
    if (membership->view != NULL && generation < membership->view->epoch.generation) {
        generation = membership->view->epoch.generation;
    }
    if (generation == 0 || rh_fault(RH_FAULT_NEXT_GENERATION)) {
        return generation + 1;
    }
    return generation + 1 + membership_random(membership) % GENERATIONS_AHEAD;
}

/* What is to be written, if anything. */
static bool find_purpose(const struct rh_membership *membership, enum config_purpose *ret_purpose)
{
    if (membership->raise_reason != NULL) {
        *ret_purpose = CONFIG_RAISE;
        return true;
    }
    if (membership->config_missing) {
        *ret_purpose = CONFIG_FIRST;
        return membership->view == NULL;
    }
    if (!membership->config_good) {
        return false;
    }
    if (membership->found.session_timeout_ms == 0 &&
        membership->own_config.session_timeout_ms != 0) {
        *ret_purpose = CONFIG_COMPLETE;
        return true;
    }
    *ret_purpose = record_is_behind(membership) ? CONFIG_KNOWN : CONFIG_RECORD;
    return *ret_purpose == CONFIG_KNOWN || record_is_due(membership);
}

/* The record that goes with |purpose|. |*ret_record| borrows from the machine or is its
 * `record_written`. */
static int find_record(struct rh_membership *membership, enum config_purpose purpose,
                       const struct rh_record **ret_record)
{
    bool raise = purpose == CONFIG_RAISE && record_can_be_raised(membership);
    if (!raise && purpose != CONFIG_KNOWN && purpose != CONFIG_RECORD) {
        *ret_record = &membership->record;
        return 0;
    }
    rh_record_finish(&membership->record_written);
    *ret_record = &membership->record_written;
    /* Once a view is recorded, those of the one before need not be forgotten any more. */
    return purpose == CONFIG_RECORD ? record_of_view(membership, false, &membership->record_written)
                                    : record_of_known(membership, &membership->record_written);
}

bool config_write(struct rh_membership *membership)
{
    enum config_purpose purpose;
    if (!find_purpose(membership, &purpose)) {
        return false;
    }
    struct rh_shared_config config = membership->own_config;
    /* If there was one, and we have seen it, the first is that of the next generation. */
    config.generation = purpose == CONFIG_RAISE || purpose == CONFIG_FIRST
                            ? generation_above(membership)
                            : membership->generation;
    if (config.session_timeout_ms == 0) {
        config.session_timeout_ms = membership->found.session_timeout_ms;
    }
    const struct rh_record *record = NULL;
    char *text = find_record(membership, purpose, &record) == 0
                     ? rh_shared_config_encode(&config, record)
                     : NULL;
    if (text == NULL) {
        membership_retry_later(membership);
        return true;
    }
    membership->config_purpose = purpose;
    membership->generation_written = config.generation;
    struct rh_membership_action *action =
        membership->config_missing
            ? membership_operate(membership, OPERATION_CREATE_CONFIG, RH_MEMBERSHIP_CREATE_CONFIG)
            : membership_operate(membership, OPERATION_SET_CONFIG, RH_MEMBERSHIP_SET_CONFIG);
    action->data = rh_bytes_text(membership_keep(membership, text));
    action->version = membership->config_version;
    return true;
}

static void note_written(struct rh_membership *membership)
{
    const struct rh_shared_config *own = &membership->own_config;
    switch (membership->config_purpose) {
    case CONFIG_FIRST:
        membership_note(membership, RH_NOTE_INFO,
                        "config_written generation=%" PRIu64 " vnodes=%" PRIu32 " replicas=%" PRIu32
                        " seed=%" PRIu64,
                        membership->generation_written, own->vnodes, own->replicas, own->seed);
        return;
    case CONFIG_RAISE:
        membership_note(membership, RH_NOTE_WARN,
                        "generation_raised from=%" PRIu64 " to=%" PRIu64 " reason=\"%s\"",
                        membership->view->epoch.generation, membership->generation_written,
                        membership->raise_reason == NULL ? "" : membership->raise_reason);
        return;
    case CONFIG_COMPLETE:
        membership_note(membership, RH_NOTE_INFO, "config_completed session_timeout_ms=%" PRIu32,
                        own->session_timeout_ms);
        return;
    case CONFIG_KNOWN:
    case CONFIG_RECORD:
        membership_note(
            membership, RH_NOTE_INFO, "%s generation=%" PRIu64 " epoch=%" PRId64 " members=%zu",
            membership->config_purpose == CONFIG_RECORD ? "view_recorded" : "members_written",
            membership->record_written.last.generation, membership->record_written.last.pzxid,
            membership->record_written.members_count);
        return;
    }
}

void config_on_written(struct rh_membership *membership, const struct rh_membership_result *result)
{
    /* Ours or somebody else's: see what is there now. */
    membership->config_stale = true;
    if (result->rv == RH_ERR_NOT_FOUND) {
        membership->parents_missing = true;
    }
    if (result->rv != 0) {
        membership->sync_wanted = true; /* what was read before may not be the latest */
        return;
    }
    note_written(membership);
    membership->raise_reason = NULL;
    if (membership->config_purpose == CONFIG_RECORD) {
        /* No need to read it first. */
        rh_record_finish(&membership->record);
        membership->record = membership->record_written;
        membership->record_written = (struct rh_record){0};
        membership->config_version = result->version;
    }
}
