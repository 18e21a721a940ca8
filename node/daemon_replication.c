/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What the core needs of ZooKeeper for copies of channels, and of others for a view: translated
 * between core, membership and links (docs/protocol-cluster.md, sections 7, 9 and 12). Nothing of it
 * is set up without replication.
 *
 *   core --- COMPLETE, PROVE, PROMISE, PEER_VIEW ----> membership
 *        <-- LOST, PROOF, HEARD, PROMISED, RECORDED --
 *        --- SHOW_VIEW, RESET_PEER, TELL_DRAINED ----> links
 *        <-- PEER_DRAINED ----------------------------
 *
 *   membership --- awaited: who has to be heard of before a view can be recorded --> links to them
 *              --- ask_peers: which epoch are others in? --> a question to each node of the file
 */

/* ---- showing the view ---- */

void rh_daemon_replication_forget_shown(struct rh_daemon *daemon)
{
    rh_view_shown_destroy(daemon->view_shown);
    daemon->view_shown = NULL;
}

void rh_daemon_replication_show(struct rh_daemon *daemon, const struct rh_view *view,
                                const struct rh_node_ref *peer)
{
    if (daemon->view_shown == NULL && rh_view_show(view, &daemon->view_shown) != 0) {
        rh_log(daemon->logger, RH_LOG_WARN, "peer_send_failed peer=%s message=view reason=\"%s\"",
               peer->id, rh_error_text(RH_ERR_NO_MEMORY));
        return;
    }
    const struct rh_peer_message message = {
        .kind = RH_PEER_VIEW,
        .epoch = view->epoch,
        .view = *rh_view_shown_message(daemon->view_shown),
    };
    rh_daemon_cluster_send(daemon, peer, &message);
}

static void show_view_to(struct rh_daemon *daemon, const struct rh_node_ref *peer)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view != NULL) {
        rh_daemon_replication_show(daemon, view, peer);
    }
}

/* ---- actions of the core ---- */

static void take_peer_view(struct rh_daemon *daemon, const struct rh_peer_message *message)
{
    struct rh_reason reason;
    int rv = rh_zk_membership_peer_view(daemon->membership, &message->view, &reason);
    if (rv != 0) {
        rh_log(daemon->logger, RH_LOG_WARN, "peer_view_refused reason=\"%s\"",
               rv == RH_ERR_INVALID ? reason.text : rh_error_text(rv));
    }
}

static const char *trace_name(enum rh_trace_kind kind)
{
    switch (kind) {
    case RH_TRACE_ROLE:
        return "role";
    case RH_TRACE_COMMIT:
        return "commit";
    case RH_TRACE_GROUP:
        return "group";
    case RH_TRACE_REFUSED:
        return "refused";
    }
    return "unknown";
}

static void log_trace(struct rh_daemon *daemon, const struct rh_core_trace *trace)
{
    bool refusal = trace->kind == RH_TRACE_REFUSED;
    rh_log(daemon->logger, RH_LOG_DEBUG,
           "trace what=%s key=\"%.*s\" from=%s to=%s incarnation=%016" PRIx64 " term=%" PRIu32
           ".%" PRId64 ".%" PRIu32 " op=%" PRIu64 " commit=%" PRIu64
           " suspect=%d members=%zu peer=%s about=%s code=%" PRIu32,
           trace_name(trace->kind), RH_BYTES_ARG(trace->key), rh_role_name(trace->from),
           rh_role_name(trace->to), trace->incarnation, trace->term.generation, trace->term.pzxid,
           trace->term.turn, trace->op, trace->commit, (int)trace->suspect, trace->group_count,
           trace->peer.id, refusal ? rh_peer_message_name(trace->about) : "", trace->code);
}

void rh_daemon_replication_perform(struct rh_daemon *daemon, const struct rh_action *action)
{
    switch (action->kind) {
    case RH_ACTION_COMPLETE:
        rh_log(daemon->logger, RH_LOG_DEBUG, "view_complete generation=%" PRIu64 " epoch=%" PRId64,
               action->epoch.generation, action->epoch.pzxid);
        rh_zk_membership_complete(daemon->membership, action->epoch);
        return;
    case RH_ACTION_PROVE:
        rh_zk_membership_prove(daemon->membership);
        return;
    case RH_ACTION_PROMISE:
        rh_zk_membership_promise(daemon->membership, &action->promise);
        return;
    case RH_ACTION_PEER_VIEW:
        take_peer_view(daemon, action->peer_view);
        return;
    case RH_ACTION_SHOW_VIEW:
        show_view_to(daemon, &action->peer);
        return;
    case RH_ACTION_RESET_PEER:
        rh_ev_peer_reset_from(daemon->peers, &action->peer);
        return;
    case RH_ACTION_TELL_DRAINED:
        rh_ev_peer_tell_drained(daemon->peers, &action->peer);
        return;
    case RH_ACTION_TRACE:
        log_trace(daemon, &action->trace);
        return;
    case RH_ACTION_WELCOME:
    case RH_ACTION_DELIVER:
    case RH_ACTION_DELIVER_ALL:
    case RH_ACTION_MOVED:
    case RH_ACTION_GOES_ON:
    case RH_ACTION_REDIRECT:
    case RH_ACTION_REFUSED:
    case RH_ACTION_READ_DONE:
    case RH_ACTION_PUBLISHED:
    case RH_ACTION_INSPECTED:
    case RH_ACTION_STATE:
    case RH_ACTION_CHANGED:
    case RH_ACTION_PRESENCE:
    case RH_ACTION_PRESENT:
    case RH_ACTION_FOLLOWED:
    case RH_ACTION_FOLLOWERS:
    case RH_ACTION_SEND:
    case RH_ACTION_CATCH_UP:
    case RH_ACTION_SWEPT:
        break;
    }
    assert(false && "not an action of replication");
}

/* ---- what the membership tells ---- */

void rh_daemon_replication_lost(void *context)
{
    struct rh_daemon *daemon = context;
    struct rh_event event = {.kind = RH_EVENT_LOST};
    daemon->proof_ms = 0;
    rh_daemon_step(daemon, &event);
}

void rh_daemon_replication_proof(void *context, uint64_t sent_ms)
{
    struct rh_daemon *daemon = context;
    struct rh_event event = {.kind = RH_EVENT_PROOF, .at_ms = sent_ms};
    daemon->proof_ms = sent_ms;
    rh_daemon_step(daemon, &event);
}

void rh_daemon_replication_heard(void *context, uint64_t at_ms)
{
    struct rh_event event = {.kind = RH_EVENT_HEARD, .at_ms = at_ms};
    rh_daemon_step(context, &event);
}

void rh_daemon_replication_promised(void *context, const struct rh_promise *promise)
{
    struct rh_event event = {.kind = RH_EVENT_PROMISED, .promise = *promise};
    rh_daemon_step(context, &event);
}

void rh_daemon_replication_recorded(void *context, struct rh_epoch epoch)
{
    struct rh_daemon *daemon = context;
    struct rh_event event = {.kind = RH_EVENT_RECORDED, .epoch = epoch};
    rh_log(daemon->logger, RH_LOG_DEBUG, "view_settled generation=%" PRIu64 " epoch=%" PRId64,
           epoch.generation, epoch.pzxid);
    rh_daemon_step(daemon, &event);
}

/* ---- who has to be heard of (V7) ---- */

static bool is_awaited(const struct rh_daemon *daemon, const struct rh_node_ref *node)
{
    size_t count;
    const struct rh_membership_awaited *awaited =
        rh_zk_membership_awaited(daemon->membership, &count);
    for (size_t i = 0; i < count; i++) {
        if (rh_node_ref_equal(&awaited[i].node, node)) {
            return true;
        }
    }
    return false;
}

void rh_daemon_replication_up(struct rh_daemon *daemon, const struct rh_node_ref *node)
{
    if (is_awaited(daemon, node)) {
        show_view_to(daemon, node);
    }
}

void rh_daemon_replication_show_awaited(struct rh_daemon *daemon)
{
    size_t count;
    const struct rh_membership_awaited *awaited =
        rh_zk_membership_awaited(daemon->membership, &count);
    for (size_t i = 0; i < count; i++) {
        if (rh_ev_peer_is_up(daemon->peers, &awaited[i].node)) {
            show_view_to(daemon, &awaited[i].node);
        }
    }
}

void rh_daemon_replication_awaited(void *context)
{
    struct rh_daemon *daemon = context;
    size_t count;
    const struct rh_membership_awaited *awaited =
        rh_zk_membership_awaited(daemon->membership, &count);
    rh_daemon_cluster_set_links(daemon);
    for (size_t i = 0; i < count; i++) {
        /* What it has shown before anybody asked. */
        struct rh_epoch epoch = rh_ev_peer_epoch_of(daemon->peers, &awaited[i].node);
        if (epoch.generation != 0) {
            rh_zk_membership_peer_epoch(daemon->membership, &awaited[i].node, epoch);
        }
    }
    rh_daemon_replication_show_awaited(daemon);
}

/* ---- which epoch others are in (V9, 12.9) ---- */

struct question {
    struct rh_list link; /* rh_daemon::questions */
    struct rh_daemon *daemon;
    const struct rh_config_node *node; /* who is asked */
};

static void tell_if_asked(struct rh_daemon *daemon)
{
    if (rh_list_empty(&daemon->questions)) {
        rh_zk_membership_peers_asked(daemon->membership);
    }
}

static void end_question(struct question *question)
{
    rh_list_remove(&question->link);
    free(question);
}

static void on_answer(void *context, enum rh_ev_peer_probe_result result, uint64_t instance,
                      struct rh_epoch epoch, const char *detail RH_UNUSED)
{
    struct question *question = context;
    struct rh_daemon *daemon = question->daemon;
    if (result == RH_EV_PEER_PROBE_ANSWERS) {
        struct rh_node_ref from = {.instance = instance};
        (void)snprintf(from.id, sizeof(from.id), "%s", question->node->id);
        rh_zk_membership_peer_epoch(daemon->membership, &from, epoch);
    }
    end_question(question);
    tell_if_asked(daemon);
}

static void ask(struct rh_daemon *daemon, const struct rh_config_node *node)
{
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL) {
        return;
    }
    question->daemon = daemon;
    question->node = node;
    rh_list_push_back(&daemon->questions, &question->link);
    if (rh_ev_peer_probe(daemon->peers, node->peer_advertise, node->id, on_answer, question) != 0) {
        end_question(question);
    }
}

void rh_daemon_replication_ask_peers(void *context)
{
    struct rh_daemon *daemon = context;
    for (size_t i = 0; i < daemon->config->nodes_count; i++) {
        if (strcmp(daemon->config->nodes[i].id, daemon->node->id) != 0) {
            ask(daemon, &daemon->config->nodes[i]);
        }
    }
    tell_if_asked(daemon);
}

void rh_daemon_replication_finish(struct rh_daemon *daemon)
{
    rh_daemon_replication_forget_shown(daemon);
    rh_list_each_safe (&daemon->questions, link) {
        end_question(rh_container_of(link, struct question, link));
    }
}
