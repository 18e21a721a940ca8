/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proof that our registration stands (docs/protocol-cluster.md, R1): a transaction that checks it
 * and does nothing else. It runs beside the other operations, since it must not wait for them; only
 * a transaction that replaces the registration excludes it, or nobody could say what a refusal
 * means.
 */

#include "node/fault.h"
#include "node/membership_internal.h"

#include <string.h>

/* So that no answer is taken for that of another operation. */
#define NUMBER_BIT (UINT64_C(1) << 63)

static bool can_prove(const struct rh_membership *membership)
{
    return membership->chain[0] != '\0' && !membership->proof_out &&
           membership->session.state != RH_MEMBERSHIP_AWAY && !membership->replacing &&
           membership->operation != OPERATION_REGISTER;
}

/* When the next one is sent, if nothing hinders. */
static uint64_t due_ms(const struct rh_membership *membership)
{
    uint64_t due_ms = NEVER;
    uint64_t period_ms = membership->own_config.session_timeout_ms / 6;
    if (membership->replication && period_ms > 0) {
        due_ms = membership->proof_sent_ms + period_ms;
    }
    if (membership->proof_wanted || due_ms < membership->proof_next_ms) {
        due_ms = membership->proof_next_ms;
    }
    return due_ms;
}

void proof_settle(struct rh_membership *membership)
{
    if (!can_prove(membership) || membership->now_ms < due_ms(membership)) {
        return;
    }
    membership->proof_out = true;
    membership->proof_wanted = false;
    membership->proof_sent_ms = membership->now_ms;
    membership->proof_next_ms = membership->now_ms + PROOF_GAP_MS;
    membership->proof_number++;
    struct rh_membership_action *action = membership_act(
        membership, rh_fault(RH_FAULT_SESSION_PROOF) ? RH_MEMBERSHIP_SYNC : RH_MEMBERSHIP_CHECK);
    action->number = membership->proof_number | NUMBER_BIT;
    action->name = membership->own_name;
}

uint64_t proof_deadline_ms(const struct rh_membership *membership)
{
    return can_prove(membership) ? due_ms(membership) : NEVER;
}

bool proof_on_result(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if ((result->number & NUMBER_BIT) == 0) {
        return false;
    }
    if (!membership->proof_out || result->number != (membership->proof_number | NUMBER_BIT)) {
        return true; /* of a registration or a session before this one */
    }
    membership->proof_out = false;
    if (result->rv == 0) {
        membership_act(membership, RH_MEMBERSHIP_PROOF)->at_ms = membership->proof_sent_ms;
        return true;
    }
    if (result->rv == RH_ERR_NOT_FOUND || result->rv == RH_ERR_CONFLICT) {
        registration_on_gone(membership);
        return true;
    }
    membership->proof_wanted = true;
    membership->proof_next_ms = membership->now_ms + RETRY_MS;
    return true;
}

void proof_begin(struct rh_membership *membership)
{
    membership->proof_wanted |= membership->replication && membership->chain[0] != '\0';
}

void proof_end(struct rh_membership *membership)
{
    membership->proof_out = false;
}
