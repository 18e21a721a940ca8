/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"
#include "node/fault.h"

#include <assert.h>

/*
 * Messages of peers: which function takes which, and what is asked of all of them before (M1 to M4).
 */

/* How many peers are asked for a later view within RH_RETRY_MS: a view is as long as the cluster is
 * large, and all who are ahead have it. */
#define VIEWS_ASKED_MAX 4U

/* Which epochs of a frame, compared with ours, are acted on. Above: held, but for those that are
 * good in any. */
enum epochs {
    ANY,        /* it says itself what it needs */
    EQUAL,      /* refused or ignored below */
    NOT_BEFORE, /* at or above the epoch of our registration; of a member only (M4) */
};

struct rule {
    void (*take)(struct rh_core *core, struct rh_process *from,
                 const struct rh_peer_message *message);
    enum epochs epochs;
    bool from_member; /* the sender is registered in our view (M3), and so are we (M4) */
    bool is_refused;  /* below: it is told, so that it catches up (M2) */
    bool always;      /* without replication as well */
};

static void on_view_ask(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    if (core->view != NULL && rh_epoch_compare(core->view->epoch, message->view_ask.above) > 0) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_SHOW_VIEW);
        action->peer = from->ref;
    }
}

static void on_view(struct rh_core *core, struct rh_process *from,
                    const struct rh_peer_message *message)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_PEER_VIEW);
    action->peer_view = message;
    (void)rh_core_send(core, from, RH_PEER_VIEW_ACK);
}

static void on_view_ack(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    (void)core; /* the epoch of its frame is the answer, and the membership has seen it */
    (void)from;
    (void)message;
}

static const struct rule rules[RH_PEER_MESSAGE_KINDS] = {
    [RH_PEER_PUBLISH] = {.take = rh_core_on_publish, .epochs = ANY, .always = true},
    [RH_PEER_PUBLISH_ANSWER] = {.take = rh_core_on_publish_answer, .epochs = ANY, .always = true},
    [RH_PEER_INSPECT] = {.take = rh_core_on_inspect, .epochs = ANY, .always = true},
    [RH_PEER_INSPECT_ANSWER] = {.take = rh_core_on_inspect_answer, .epochs = ANY, .always = true},
    [RH_PEER_STATE_GET] = {.take = rh_core_on_state_get, .epochs = ANY, .always = true},
    [RH_PEER_STATE_PUT] = {.take = rh_core_on_state_put, .epochs = ANY, .always = true},
    [RH_PEER_STATE_DELETE] = {.take = rh_core_on_state_delete, .epochs = ANY, .always = true},
    [RH_PEER_STATE_ANSWER] = {.take = rh_core_on_state_answer, .epochs = ANY, .always = true},
    [RH_PEER_PRESENCE_GET] = {.take = rh_core_on_presence_get, .epochs = ANY, .always = true},
    [RH_PEER_PRESENCE_ANSWER] = {.take = rh_core_on_presence_answer, .epochs = ANY, .always = true},
    [RH_PEER_PRESENCE] = {.take = rh_core_on_presence, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_FOLLOW_ASK] = {.take = rh_core_on_follow_ask, .epochs = ANY, .always = true},
    [RH_PEER_FOLLOW_ANSWER] = {.take = rh_core_on_follow_answer, .epochs = ANY, .always = true},
    [RH_PEER_FOLLOWERS_ASK] = {.take = rh_core_on_followers_ask, .epochs = ANY, .always = true},
    [RH_PEER_FOLLOWERS_ANSWER] = {.take = rh_core_on_followers_answer,
                                  .epochs = ANY,
                                  .always = true},
    [RH_PEER_TOPIC_ASK] = {.take = rh_core_on_topic_ask, .epochs = ANY, .always = true},
    [RH_PEER_TOPIC_BATCH] = {.take = rh_core_on_topic_batch, .epochs = ANY, .always = true},
    [RH_PEER_TOPIC_ACK] = {.take = rh_core_on_topic_ack, .epochs = ANY, .always = true},
    [RH_PEER_TOPIC_END] = {.take = rh_core_on_topic_end, .epochs = ANY, .always = true},
    [RH_PEER_APPEND] = {.take = rh_core_on_append, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_APPEND_ACK] = {.take = rh_core_on_append_ack,
                            .epochs = NOT_BEFORE,
                            .from_member = true},
    [RH_PEER_SYNC_BEGIN] = {.take = rh_core_on_sync_begin,
                            .epochs = EQUAL,
                            .from_member = true,
                            .is_refused = true},
    [RH_PEER_SYNC_CHUNK] = {.take = rh_core_on_sync_chunk, .epochs = EQUAL, .from_member = true},
    [RH_PEER_SYNC_ACK] = {.take = rh_core_on_sync_ack, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_CREDIT] = {.take = rh_core_on_credit, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_REFUSED] = {.take = rh_core_on_refused, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_REPORT] = {.take = rh_core_on_report, .epochs = EQUAL, .from_member = true},
    [RH_PEER_REPORT_END] = {.take = rh_core_on_report_end, .epochs = EQUAL, .from_member = true},
    [RH_PEER_FETCH] = {.take = rh_core_on_fetch,
                       .epochs = EQUAL,
                       .from_member = true,
                       .is_refused = true},
    [RH_PEER_OWN] = {.take = rh_core_on_own,
                     .epochs = NOT_BEFORE,
                     .from_member = true,
                     .is_refused = true},
    [RH_PEER_OWN_ACK] = {.take = rh_core_on_own_ack, .epochs = NOT_BEFORE, .from_member = true},
    [RH_PEER_EXPEDITE] = {.take = rh_core_on_expedite,
                          .epochs = EQUAL,
                          .from_member = true,
                          .is_refused = true},
    [RH_PEER_LEAVE] = {.take = rh_core_on_leave,
                       .epochs = EQUAL,
                       .from_member = true,
                       .is_refused = true},
    [RH_PEER_LEAVE_ACK] = {.take = rh_core_on_leave_ack, .epochs = EQUAL, .from_member = true},
    [RH_PEER_VIEW_ASK] = {.take = on_view_ask, .epochs = ANY},
    [RH_PEER_VIEW] = {.take = on_view, .epochs = ANY},
    [RH_PEER_VIEW_ACK] = {.take = on_view_ack, .epochs = ANY},
    [RH_PEER_LEASE_ASK] = {.take = rh_core_on_lease_ask, .epochs = EQUAL, .from_member = true},
    [RH_PEER_LEASE_GRANT] = {.take = rh_core_on_lease_grant, .epochs = EQUAL, .from_member = true},
    [RH_PEER_RELAY] = {.take = rh_core_on_relay, .epochs = ANY},
    [RH_PEER_RELAY_FAILED] = {.take = rh_core_on_relay_failed, .epochs = ANY},
    [RH_PEER_STREAM_OPEN] = {.take = rh_core_on_stream_open, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_CLOSE] = {.take = rh_core_on_stream_close, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_SHOW] = {.take = rh_core_on_stream_show, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_STATE] = {.take = rh_core_on_stream_state, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_PRESENCE] = {.take = rh_core_on_stream_presence, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_TAKEN] = {.take = rh_core_on_stream_taken, .epochs = ANY, .always = true},
    [RH_PEER_TUNNEL_CHECK] = {.take = rh_core_on_tunnel_check, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_OPENED] = {.take = rh_core_on_stream_opened, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_BATCH] = {.take = rh_core_on_stream_batch, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_READ] = {.take = rh_core_on_stream_read, .epochs = ANY, .always = true},
    [RH_PEER_STREAM_ENDED] = {.take = rh_core_on_stream_ended, .epochs = ANY, .always = true},
    [RH_PEER_TUNNEL_STATE] = {.take = rh_core_on_tunnel_state, .epochs = ANY, .always = true},
};

/* What is sent back to who is behind: which message, and of what. */
static void refuse_stale(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message)
{
    if (!from->was_shown) {
        from->was_shown = true;
        struct rh_action *action = rh_core_act(core, RH_ACTION_SHOW_VIEW);
        action->peer = from->ref;
    }
    struct rh_bytes key = message->expedite.key;
    struct rh_term term = {0};
    uint64_t sync = 0;
    if (message->kind == RH_PEER_SYNC_BEGIN) {
        key = message->sync_begin.key;
        term = message->sync_begin.term;
        sync = message->sync_begin.sync;
    } else if (message->kind == RH_PEER_FETCH) {
        key = message->fetch.key;
        term = message->fetch.term;
    } else if (message->kind == RH_PEER_LEAVE) {
        key = message->leave.key;
        term = message->leave.term;
    } else if (message->kind == RH_PEER_OWN) {
        /* From before this node was lost: whatever came of it then is over (H3). */
        rh_core_send_refused(core, from, RH_PEER_OWN, message->own.key, message->own.term, 0,
                             RH_PEER_NO_OWNER);
        return;
    } else {
        assert(message->kind == RH_PEER_EXPEDITE);
    }
    rh_core_send_refused(core, from, message->kind, key, term, sync, RH_PEER_STALE_EPOCH);
}

static bool is_stale(const struct rh_core *core, const struct rule *rule, struct rh_epoch epoch)
{
    if (rh_fault(RH_FAULT_OLD_SYNC) && rule->take == rh_core_on_sync_begin) {
        return false;
    }
    if (rh_fault(RH_FAULT_OLD_LEAVE) && rule->take == rh_core_on_leave) {
        return false;
    }
    if (rh_fault(RH_FAULT_NO_REGISTRATION_EPOCH) && rule->epochs == NOT_BEFORE) {
        return false;
    }
    if (rule->epochs == EQUAL) {
        return rh_epoch_compare(epoch, core->view->epoch) < 0;
    }
    return rule->epochs == NOT_BEFORE && rh_epoch_compare(epoch, core->registration_epoch) < 0;
}

void rh_core_take_message(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rule *rule = &rules[message->kind];
    if (rule->take == NULL) {
        return; /* not one for the core, and none that a relay should carry */
    }
    if (rule->always) {
        rule->take(core, from, message);
        return;
    }
    if (!core->options.replication) {
        return;
    }
    bool is_early = core->view == NULL || rh_epoch_compare(message->epoch, core->view->epoch) > 0;
    if (rule->epochs != ANY && is_early) {
        rh_core_hold(core, from, message);
    } else if (rule->epochs != ANY && !rh_list_empty(&from->release_link)) {
        rh_core_hold_behind(core, from, message);
    } else {
        rh_core_take_released(core, from, message);
    }
}

void rh_core_take_released(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    const struct rule *rule = &rules[message->kind];
    if (rule->from_member && (!rh_core_is_registered(core) || !rh_process_is_registered(from))) {
        return;
    }
    if (!is_stale(core, rule, message->epoch)) {
        rule->take(core, from, message);
    } else if (rule->is_refused) {
        refuse_stale(core, from, message);
    }
}

void rh_core_peer_message(struct rh_core *core, const struct rh_event *event)
{
    struct rh_process *from = rh_groups_process(&core->groups, &event->peer_message.from);
    if (from == NULL) {
        return; /* as if it had been lost */
    }
    rh_core_take_message(core, from, event->peer_message.message);
}

/* ---- links ---- */

void rh_core_ask_for_view(struct rh_core *core, struct rh_process *from)
{
    if (core->now_ms - from->asked_view_ms < RH_RETRY_MS && from->asked_view_ms != 0) {
        return;
    }
    if (core->now_ms - core->view_asked_ms >= RH_RETRY_MS) {
        core->view_asked_ms = core->now_ms;
        core->views_asked = 0;
    }
    if (core->views_asked == VIEWS_ASKED_MAX) {
        return; /* of so many who are ahead one will answer; if not, later frames ask again */
    }
    core->views_asked++;
    from->asked_view_ms = core->now_ms;
    struct rh_peer_message *message = rh_core_send(core, from, RH_PEER_VIEW_ASK);
    if (core->view != NULL) {
        message->view_ask.above = core->view->epoch;
    }
}

/* What a node is told as soon as there is a way to it (M5). */
void rh_core_greet(struct rh_core *core, struct rh_process *process)
{
    if (!core->options.replication || !rh_core_is_registered(core) ||
        !rh_process_is_registered(process)) {
        return;
    }
    rh_core_send_credit(core, process);
    rh_core_reports_peer_up(core, process);
    rh_core_busy_peer_up(core, process);
    rh_core_presence_peer_up(core, process);
    rh_core_queues_wake(core);
}

void rh_core_peer_up(struct rh_core *core, const struct rh_node_ref *ref)
{
    struct rh_process *process = rh_groups_process(&core->groups, ref);
    if (process == NULL) {
        return; /* requests for it wait until it comes up again, or their deadline */
    }
    core->members_down -= !process->is_up && rh_process_is_registered(process);
    process->is_up = true;
    rh_core_reports_link(core, process);
    rh_core_relays_begin(core, process);
    rh_core_requests_peer_up(core, process);
    rh_core_readers_peer_up(core, process);
    rh_core_greet(core, process);
}

void rh_core_peer_down(struct rh_core *core, const struct rh_node_ref *ref)
{
    struct rh_process *process = rh_groups_find(&core->groups, ref);
    if (process == NULL || !process->is_up) {
        return;
    }
    core->members_down += rh_process_is_registered(process);
    process->is_up = false;
    rh_core_reports_link(core, process);
    process->down_ms = core->now_ms;
    rh_core_requests_peer_down(core, process);
    rh_core_relayed_peer_down(core, process);
    rh_core_feeds_scan(core);
}
