/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

/*
 * The right to commit (docs/protocol-cluster.md, section 7): proof that this process, or another
 * member of the group, was registered a short while ago; or, while ZooKeeper cannot be asked, a
 * lease from every other member of the view.
 */

#define PROVE_MS 100U /* between two wishes for proof */

static uint64_t proof_lasts_ms(const struct rh_core *core)
{
    return (uint64_t)core->options.session_timeout_ms * 2 / 3;
}

static bool is_fresh(const struct rh_core *core, uint64_t proof_ms)
{
    return proof_ms != 0 && core->now_ms - proof_ms < proof_lasts_ms(core);
}

static bool has_all_leases(const struct rh_core *core)
{
    for (size_t i = 0; i < core->view->members_count; i++) {
        const struct rh_process *process = core->members[i];
        bool excused = !process->is_up && rh_fault(RH_FAULT_DEAD_EXCUSED);
        if (process != core->self_process && process->lease_ms <= core->now_ms && !excused) {
            return false;
        }
    }
    return true; /* also of nobody: then the guard stands in (V7) */
}

static void ask_for_proof(struct rh_core *core)
{
    if (core->now_ms - core->prove_ms >= PROVE_MS || core->prove_ms == 0) {
        core->prove_ms = core->now_ms;
        (void)rh_core_act(core, RH_ACTION_PROVE);
    }
}

/* R2. */
bool rh_core_has_right(struct rh_core *core, const struct rh_channel *channel)
{
    if (!rh_core_is_registered(core)) {
        return false;
    }
    if (is_fresh(core, core->proof_ms) || rh_fault(RH_FAULT_NO_RIGHT)) {
        return true;
    }
    for (uint32_t i = 0; channel->group != NULL && i < channel->group->count; i++) {
        const struct rh_process *process = channel->group->members[i];
        if (process != core->self_process && rh_process_is_registered(process) &&
            is_fresh(core, process->proof_ms)) {
            return true;
        }
    }
    if (has_all_leases(core)) {
        return true;
    }
    ask_for_proof(core);
    return false;
}

bool rh_core_is_cut_off(const struct rh_core *core)
{
    if (!core->options.replication || core->view == NULL || core->view->members_count < 2) {
        return false;
    }
    uint64_t replaced_ms = (uint64_t)core->options.session_timeout_ms + core->options.grace_ms;
    if (core->now_ms - core->proof_ms < replaced_ms) {
        return false;
    }
    for (size_t i = 0; i < core->view->members_count; i++) {
        const struct rh_process *process = core->members[i];
        if (process != core->self_process &&
            (process->is_up || core->now_ms - process->down_ms < core->options.grace_ms)) {
            return false;
        }
    }
    return true;
}

uint32_t rh_core_proof_age(const struct rh_core *core)
{
    if (core->proof_ms == 0 || !rh_core_is_registered(core)) {
        return RH_PEER_NO_PROOF;
    }
    uint64_t age_ms = core->now_ms - core->proof_ms;
    return age_ms >= RH_PEER_NO_PROOF ? RH_PEER_NO_PROOF : (uint32_t)age_ms;
}

void rh_core_peer_proof(struct rh_core *core, struct rh_process *from, uint64_t stamp,
                        uint32_t proof_age_ms)
{
    uint64_t sent_ms = rh_core_stamp_ms(stamp);
    if (proof_age_ms == RH_PEER_NO_PROOF || proof_age_ms >= sent_ms || sent_ms > core->now_ms) {
        return;
    }
    uint64_t proof_ms = sent_ms - proof_age_ms; /* it was that old when it answered, or older */
    if (proof_ms > from->proof_ms) {
        from->proof_ms = proof_ms;
    }
}

static void go_on(struct rh_core *core, struct rh_acting *acting, const struct rh_process *process)
{
    (void)process;
    struct rh_channel *channel = acting->channel; /* the walk may end what is under way */
    bool waits = channel->role == RH_ROLE_CLAIMING || channel->commit < channel->op;
    if (waits && rh_core_walk(core, channel) && channel->acting == acting) {
        rh_core_try_commit(core, channel);
        rh_core_advance(core, channel);
    }
}

/* The right has come: channels that waited for it go on. */
static void right_changed(struct rh_core *core)
{
    rh_core_busy_each(core, go_on, NULL);
}

void rh_core_proof(struct rh_core *core, uint64_t at_ms)
{
    if (core->lost || at_ms <= core->proof_ms) {
        return;
    }
    bool had_right = is_fresh(core, core->proof_ms);
    core->proof_ms = at_ms;
    core->heard_ms = core->heard_ms > at_ms ? core->heard_ms : at_ms;
    if (!had_right) {
        right_changed(core);
    }
}

/* ---- leases ---- */

/* R6: leases are wanted before the proof has run out. */
static uint64_t wanted_from_ms(const struct rh_core *core)
{
    return core->proof_ms + core->options.session_timeout_ms / 3;
}

uint64_t rh_core_leases_ms(const struct rh_core *core)
{
    if (!rh_core_is_registered(core) || core->view->members_count < 2) {
        return UINT64_MAX;
    }
    uint64_t next_ms = core->leases_ms + core->options.grace_ms / 4;
    uint64_t wanted_ms = wanted_from_ms(core);
    return next_ms > wanted_ms ? next_ms : wanted_ms;
}

void rh_core_leases_tick(struct rh_core *core)
{
    if (core->now_ms < rh_core_leases_ms(core)) {
        return;
    }
    core->leases_ms = core->now_ms;
    for (size_t i = 0; i < core->view->members_count; i++) {
        struct rh_process *process = core->members[i];
        if (process == core->self_process) {
            continue;
        }
        process->asked = rh_core_stamp(core); /* says when, to whoever grants it late */
        struct rh_peer_message *message = rh_core_send(core, process, RH_PEER_LEASE_ASK);
        message->lease_ask.number = process->asked;
    }
}

/* R3. That the asker is registered in our view, and the epoch ours, was looked at before; whether a
 * later view without it is put off, only the membership knows. */
void rh_core_on_lease_ask(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    bool hears =
        core->heard_ms != 0 && core->now_ms - core->heard_ms < core->options.session_timeout_ms / 3;
    if (hears && !rh_fault(RH_FAULT_GRANT_HEARD)) {
        return; /* it must not hold up the change that leaves out whoever does not */
    }
    rh_core_act(core, RH_ACTION_PROMISE)->promise = (struct rh_promise){
        .to = from->ref,
        .epoch = core->view->epoch,
        .number = message->lease_ask.number,
        .until_ms = core->now_ms + core->options.grace_ms,
    };
}

void rh_core_promised(struct rh_core *core, const struct rh_promise *promise)
{
    const struct rh_process *to = rh_groups_find(&core->groups, &promise->to);
    if (core->view == NULL || rh_epoch_compare(core->view->epoch, promise->epoch) != 0 ||
        to == NULL) {
        return; /* it asks again in the view that we have now */
    }
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_LEASE_GRANT);
    message->lease_grant.number = promise->number;
}

/* R4. */
void rh_core_on_lease_grant(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message)
{
    uint64_t number = message->lease_grant.number;
    if (from->asked == 0 || number > from->asked) {
        return; /* nothing of the kind was asked in this epoch */
    }
    bool had_all = has_all_leases(core);
    uint64_t asked_ms =
        rh_fault(RH_FAULT_LEASE_FROM_GRANT) ? core->now_ms : rh_core_stamp_ms(number);
    uint64_t until_ms = asked_ms + (uint64_t)core->options.grace_ms * 9 / 10;
    from->lease_ms = until_ms > from->lease_ms ? until_ms : from->lease_ms;
    if (!had_all && has_all_leases(core)) {
        right_changed(core);
    }
}
