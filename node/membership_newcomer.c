/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process that has adopted nothing yet does not know what was before it. There may be a cluster
 * whose ZooKeeper has lost its data, so it asks the other nodes of its config file before it writes
 * a config (docs/protocol-cluster.md, 12.9); and there may be nodes that were left out a moment
 * ago and still act, so it reckons with them for a while (V9).
 */

#include "node/fault.h"
#include "node/membership_internal.h"

/* Every chain ever begun still stands, as far as this ZooKeeper knows: each registration that has an
 * origin stands for one, at least, that was replaced. One that stands beside a later one of its id is no
 * member any more, though nobody has deleted it yet. */
static bool nothing_was_lost(const struct rh_membership *membership)
{
    uint64_t replaced = 0;
    for (size_t i = 0; i < membership->snapshot.count; i++) {
        const struct member *member = &membership->snapshot.members[i];
        if (member->state == MEMBER_GOOD && !rh_fault(RH_FAULT_NO_TWINS) &&
            snapshot_newest(membership, member->registration.id) != member) {
            return false;
        }
        replaced += member->state == MEMBER_GOOD && member->registration.origin[0] != '\0';
    }
    return membership->generation == 1 && membership->snapshot.deletions <= replaced;
}

static bool is_again_due(const struct rh_membership *membership)
{
    return membership->peers == PEERS_ASKED && membership->peers_know &&
           membership->config_missing && membership->now_ms >= membership->peers_ms;
}

/* Asks, unless that was done; false: the answers are in. */
static bool is_asking(struct rh_membership *membership)
{
    if (membership->peers == PEERS_BEING_ASKED && membership->now_ms >= membership->peers_ms) {
        newcomer_on_asked(membership);
    }
    if (membership->peers == PEERS_NOT_ASKED || is_again_due(membership)) {
        membership->peers = PEERS_BEING_ASKED;
        membership->peers_know = false;
        membership->peers_ms = membership->now_ms + ASK_TIMEOUT_MS;
        (void)membership_act(membership, RH_MEMBERSHIP_ASK_PEERS);
    }
    return membership->peers == PEERS_BEING_ASKED;
}

bool newcomer_waits(struct rh_membership *membership)
{
    if (!membership->replication || membership->view != NULL || !membership->config_missing) {
        return false;
    }
    /* Whoever knows of a cluster will write the config. */
    return is_asking(membership) || membership->peers_know;
}

bool newcomer_doubts(struct rh_membership *membership)
{
    return membership->replication && membership->view == NULL && nothing_was_lost(membership) &&
           is_asking(membership);
}

uint64_t newcomer_deadline_ms(const struct rh_membership *membership)
{
    if (membership->view != NULL) {
        bool waits = membership->replication && !membership->weight_taken &&
                     membership->ignorant_until_ms > membership->now_ms;
        return waits ? membership->ignorant_until_ms : NEVER;
    }
    bool asks =
        membership->peers == PEERS_BEING_ASKED ||
        (membership->peers == PEERS_ASKED && membership->peers_know && membership->config_missing);
    return asks ? membership->peers_ms : NEVER;
}

void newcomer_on_shown(struct rh_membership *membership, struct rh_epoch epoch)
{
    if (membership->peers == PEERS_BEING_ASKED && epoch.generation != 0) {
        membership->peers_know = true;
    }
}

void newcomer_on_asked(struct rh_membership *membership)
{
    if (membership->peers == PEERS_BEING_ASKED) {
        membership->peers = PEERS_ASKED;
        membership->peers_ms = membership->now_ms + ASK_AGAIN_MS;
    }
}

/* Somebody has adopted a view, and is not registered: of another time. */
static bool knows_stranger(const struct rh_membership *membership)
{
    for (size_t i = 0; i < membership->shown_count; i++) {
        const struct shown *shown = &membership->shown[i];
        const struct member *member = snapshot_newest(membership, shown->node.id);
        if (shown->epoch.generation != 0 &&
            (member == NULL || member->registration.instance != shown->node.instance)) {
            return true;
        }
    }
    return false;
}

static bool is_first_start(const struct rh_membership *membership)
{
    return nothing_was_lost(membership) && !knows_stranger(membership);
}

void newcomer_on_adopted(struct rh_membership *membership)
{
    membership->ignorant_until_ms =
        is_first_start(membership) || rh_fault(RH_FAULT_NO_IGNORANCE)
            ? 0
            : membership->now_ms + membership->own_config.session_timeout_ms + membership->grace_ms;
}

bool newcomer_is_ignorant(const struct rh_membership *membership)
{
    if (!membership->replication || membership->weight_taken) {
        return false;
    }
    if (membership->view == NULL) {
        return !is_first_start(membership);
    }
    return membership->now_ms < membership->ignorant_until_ms;
}
