/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include <inttypes.h>
#include <stdlib.h>

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
        {"vnodes", own->vnodes, found->vnodes},
        {"replicas", own->replicas, found->replicas},
        {"seed", own->seed, found->seed},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].own != fields[i].found) {
            (void)rh_fail(reason, RH_ERR_CONFLICT,
                          "ring.%s is %" PRIu64 " in %s and %" PRIu64
                          " in the cluster's config in ZooKeeper",
                          fields[i].name, fields[i].own, membership->config_name, fields[i].found);
            return true;
        }
    }
    return false;
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
    }
    membership->generation = generation;
}

static void on_missing(struct rh_membership *membership)
{
    membership->config_missing = true;
    membership->generation_found = 0;
    if (membership->view != NULL) {
        membership_suspect_loss(membership, "config is missing");
    }
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
    struct rh_shared_config found;
    struct rh_reason reason = {0};
    int rv = rh_shared_config_decode(result->data, &found, &reason);
    if (rv == RH_ERR_NO_MEMORY) {
        membership->config_stale = true;
        membership_retry_later(membership);
        return;
    }
    bool bad = rv != 0 || differs(membership, &found, &reason);
    if (bad && !membership->config_known) {
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
    membership->generation_found = found.generation;
    if (membership->view != NULL && found.generation < membership->view->epoch.generation) {
        membership_suspect_loss(membership, "the generation in config went back");
    } else if (membership->view != NULL && found.generation == membership->view->epoch.generation &&
               result->czxid != membership->view_config_czxid) {
        membership_suspect_loss(membership, "config was made anew");
    } else {
        accept_generation(membership, found.generation);
    }
}

static uint64_t generation_above(const struct rh_membership *membership)
{
    uint64_t generation = membership->generation;
    if (generation < membership->generation_found) {
        generation = membership->generation_found;
    }
    if (membership->view != NULL && generation < membership->view->epoch.generation) {
        generation = membership->view->epoch.generation;
    }
    return generation + 1;
}

bool config_write(struct rh_membership *membership)
{
    bool first = membership->config_missing && membership->view == NULL;
    if (!first && membership->raise_reason == NULL) {
        return false;
    }
    struct rh_shared_config config = membership->own_config;
    config.generation = membership->raise_reason == NULL && membership->generation > 0
                            ? membership->generation
                            : generation_above(membership);
    char *text = rh_shared_config_encode(&config);
    if (text == NULL) {
        membership_retry_later(membership);
        return true;
    }
    membership->generation_written = config.generation;
    struct rh_membership_action *action =
        membership->config_missing
            ? membership_operate(membership, OPERATION_CREATE_CONFIG, RH_MEMBERSHIP_CREATE_CONFIG)
            : membership_operate(membership, OPERATION_SET_CONFIG, RH_MEMBERSHIP_SET_CONFIG);
    action->data = rh_bytes_text(membership_keep(membership, text));
    action->version = membership->config_version;
    return true;
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
    const struct rh_shared_config *own = &membership->own_config;
    if (membership->raise_reason != NULL && membership->view != NULL) {
        membership_note(membership, RH_NOTE_WARN,
                        "generation_raised from=%" PRIu64 " to=%" PRIu64 " reason=\"%s\"",
                        membership->view->epoch.generation, membership->generation_written,
                        membership->raise_reason);
    } else {
        membership_note(membership, RH_NOTE_INFO,
                        "config_written generation=%" PRIu64 " vnodes=%" PRIu32 " replicas=%" PRIu32
                        " seed=%" PRIu64,
                        membership->generation_written, own->vnodes, own->replicas, own->seed);
    }
    membership->raise_reason = NULL;
}
