/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

#include <assert.h>
#include <stdlib.h>

/* What a frame may hold beside a payload that is larger than a batch: a state document, the batch
 * that was begun, and keys, message ids, groups, terms and numbers; or it is a view of a thousand
 * nodes. */
#define PEER_FRAME_MORE (1024U * 1024U)

/* ---- membership ---- */

static void peer_event(struct rh_daemon *daemon, enum rh_event_kind kind,
                       const struct rh_node_ref *node)
{
    struct rh_event event = {.kind = kind, .peer = *node};
    rh_daemon_step(daemon, &event);
}

/* The links of members that are gone are closed without a word: the core is told here. */
static void drop_lost_peers(struct rh_daemon *daemon, const struct rh_view *before,
                            const struct rh_view *view)
{
    for (size_t i = 0; before != NULL && i < before->members_count; i++) {
        const struct rh_registration *member = &before->members[i];
        if (!rh_view_has(view, member->id, member->instance)) {
            const struct rh_node_ref node = rh_registration_ref(member);
            peer_event(daemon, RH_EVENT_PEER_DOWN, &node);
        }
    }
}

/* V10: who has left, and lives, may hear it from nobody else. */
static void show_those_who_left(struct rh_daemon *daemon, const struct rh_view *before,
                                const struct rh_view *view)
{
    size_t count = before == NULL || !daemon->replication ? 0 : before->members_count;
    for (size_t i = 0; i < count; i++) {
        const struct rh_registration *member = &before->members[i];
        const struct rh_node_ref node = rh_registration_ref(member);
        if (!rh_view_has(view, member->id, member->instance) &&
            rh_view_is_next_to(view, member->id, daemon->node->id) &&
            rh_ev_peer_is_up(daemon->peers, &node)) {
            rh_daemon_replication_show(daemon, view, &node);
        }
    }
}

/* Those who come with the view and were awaited before: their links may be up by now. */
static void add_new_peers(struct rh_daemon *daemon, const struct rh_view *before,
                          const struct rh_view *view)
{
    for (size_t i = 0; i < view->members_count; i++) {
        const struct rh_registration *member = &view->members[i];
        const struct rh_node_ref node = rh_registration_ref(member);
        bool is_new = before == NULL || !rh_view_has(before, member->id, member->instance);
        if (is_new && rh_ev_peer_is_up(daemon->peers, &node)) {
            peer_event(daemon, RH_EVENT_PEER_UP, &node);
        }
    }
}

static void set_links(struct rh_daemon *daemon, const struct rh_view *view)
{
    size_t awaited_count;
    const struct rh_membership_awaited *awaited =
        rh_zk_membership_awaited(daemon->membership, &awaited_count);
    struct rh_ev_peer_member *links =
        calloc(view->members_count + awaited_count + 1, sizeof(*links));
    int rv = links == NULL ? RH_ERR_NO_MEMORY : 0;
    size_t count = 0;
    for (size_t i = 0; links != NULL && i < view->members_count; i++) {
        links[count].node = rh_registration_ref(&view->members[i]);
        links[count].address = view->members[i].peer;
        count++;
    }
    for (size_t i = 0; links != NULL && i < awaited_count; i++) {
        if (!rh_view_has(view, awaited[i].node.id, awaited[i].node.instance)) {
            links[count].node = awaited[i].node;
            links[count].address = awaited[i].address;
            count++;
        }
    }
    if (rv == 0) {
        rv = rh_ev_peer_set_members(daemon->peers, links, count);
    }
    free(links);
    if (rv != 0) {
        rh_log(daemon->logger, RH_LOG_ERROR, "peers_incomplete reason=\"%s\"", rh_error_text(rv));
    }
}

void rh_daemon_cluster_set_links(struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view != NULL) {
        set_links(daemon, view);
    }
}

static void on_view(void *context, struct rh_view *view, struct rh_epoch registration_epoch,
                    uint64_t ignorant_until_ms)
{
    struct rh_daemon *daemon = context;
    struct rh_view *before = rh_core_view(daemon->core);
    if (before != NULL) {
        before = rh_view_take(before);
    }
    daemon->epoch = view->epoch;
    rh_daemon_replication_forget_shown(daemon);
    rh_ev_peer_set_epoch(daemon->peers, view->epoch);
    show_those_who_left(daemon, before, view);
    set_links(daemon, view);
    drop_lost_peers(daemon, before, view);
    rh_daemon_requests_view(daemon);
    struct rh_event event = {.kind = RH_EVENT_VIEW,
                             .view = view,
                             .registration_epoch = registration_epoch,
                             .ignorant_until_ms = ignorant_until_ms};
    rh_daemon_step(daemon, &event);
    add_new_peers(daemon, before, view);
    rh_daemon_replication_show_awaited(daemon);
    rh_view_give(before);
}

static void on_fatal(void *context, const struct rh_reason *reason)
{
    rh_daemon_fail(context, RH_ERR_CONFLICT, reason->text);
}

/* A probe under way. The membership may have turned to another holder of our id by the time its answer
 * comes, so it is remembered whom it was about. */
struct probe {
    struct rh_list link; /* rh_daemon::probes */
    struct rh_daemon *daemon;
    struct rh_node_ref node;
};

static void on_probed(void *context, enum rh_ev_peer_probe_result result, uint64_t instance,
                      struct rh_epoch epoch RH_UNUSED, const char *detail)
{
    struct probe *probe = context;
    struct rh_daemon *daemon = probe->daemon;
    enum rh_membership_probe verdict = RH_MEMBERSHIP_PROBE_UNKNOWN;
    switch (result) {
    case RH_EV_PEER_PROBE_ANSWERS:
        verdict = instance == probe->node.instance ? RH_MEMBERSHIP_PROBE_ANSWERS
                                                   : RH_MEMBERSHIP_PROBE_DEAD;
        break;
    case RH_EV_PEER_PROBE_GONE:
        verdict = RH_MEMBERSHIP_PROBE_DEAD;
        break;
    case RH_EV_PEER_PROBE_UNKNOWN:
        break;
    }
    rh_log(daemon->logger, RH_LOG_DEBUG, "probe_done peer=%s result=%d detail=\"%s\"",
           probe->node.id, (int)verdict, detail);
    rh_zk_membership_probe_result(daemon->membership, &probe->node, verdict);
    rh_list_remove(&probe->link);
    free(probe);
}

static void on_probe(void *context, const struct rh_node_ref *node, const char *address)
{
    struct rh_daemon *daemon = context;
    struct probe *probe = calloc(1, sizeof(*probe));
    int rv = RH_ERR_NO_MEMORY;
    if (probe != NULL) {
        probe->daemon = daemon;
        probe->node = *node;
        rh_list_push_back(&daemon->probes, &probe->link);
        rv = rh_ev_peer_probe(daemon->peers, address, node->id, on_probed, probe);
    }
    if (rv != 0) {
        if (probe != NULL) {
            rh_list_remove(&probe->link);
            free(probe);
        }
        /* An address that is none can hide nobody who answers. */
        rh_zk_membership_probe_result(daemon->membership, node,
                                      rv == RH_ERR_INVALID ? RH_MEMBERSHIP_PROBE_DEAD
                                                           : RH_MEMBERSHIP_PROBE_UNKNOWN);
    }
}

static void on_operator_request(void *context, const struct rh_request *request)
{
    struct rh_daemon *daemon = context;
    daemon->request_active = request != NULL;
    if (request != NULL) {
        daemon->request_kind = request->kind;
    }
}

static void on_left(void *context)
{
    struct rh_daemon *daemon = context;
    daemon->left = true;
}

static const struct rh_zk_membership_handler plain_handler = {
    .view = on_view,
    .fatal = on_fatal,
    .probe = on_probe,
    .request = on_operator_request,
    .left = on_left,
};

static const struct rh_zk_membership_handler replication_handler = {
    .view = on_view,
    .fatal = on_fatal,
    .probe = on_probe,
    .request = on_operator_request,
    .left = on_left,
    .lost = rh_daemon_replication_lost,
    .proof = rh_daemon_replication_proof,
    .recorded = rh_daemon_replication_recorded,
    .heard = rh_daemon_replication_heard,
    .promised = rh_daemon_replication_promised,
    .ask_peers = rh_daemon_replication_ask_peers,
    .awaited = rh_daemon_replication_awaited,
};

void rh_daemon_cluster_tick(struct rh_daemon *daemon)
{
    if (!daemon->request_active) {
        return;
    }
    const struct rh_core_stats *stats = rh_core_stats(daemon->core);
    bool sweeping = rh_core_is_sweeping(daemon->core);
    if (daemon->request_kind == RH_REQUEST_DRAIN) {
        /* Drained means empty: no copy of a channel, be it our own or another's, and nobody who was in
         * one. Others come and are turned away at any time. */
        rh_zk_membership_progress(
            daemon->membership, daemon->replication ? stats->copies : stats->channels,
            stats->streams + stats->reads_waiting + stats->relayed + daemon->moved_count);
    } else if (!daemon->replication) {
        rh_zk_membership_progress(daemon->membership, sweeping ? stats->channels : 0,
                                  daemon->lingering_count);
    } else if (!sweeping && rh_core_is_settled(daemon->core)) {
        /* What is to go, to be mended, to be taken over, and to come. */
        uint64_t left =
            (uint64_t)stats->moves_waiting + stats->claims_waiting + stats->arrivals_waiting;
        rh_zk_membership_progress(daemon->membership, left, daemon->lingering_count);
    }
}

/* ---- peers ---- */

static void on_message(void *context, const struct rh_node_ref *from,
                       const struct rh_peer_message *message)
{
    if (rh_daemon_dashboard_message(context, from, message)) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_PEER_MESSAGE,
        .peer_message = {.from = *from, .message = message},
    };
    rh_daemon_step(context, &event);
}

/* Links also go to processes that are in no view: the core has to do with members only. */
static bool is_member(const struct rh_daemon *daemon, const struct rh_node_ref *node)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    return view != NULL && rh_view_has(view, node->id, node->instance);
}

static void on_up(void *context, const struct rh_node_ref *node)
{
    struct rh_daemon *daemon = context;
    rh_zk_membership_peer_up(daemon->membership, node);
    if (is_member(daemon, node)) {
        peer_event(daemon, RH_EVENT_PEER_UP, node);
    }
    rh_daemon_replication_up(daemon, node);
}

static void on_down(void *context, const struct rh_node_ref *node, const char *reason RH_UNUSED)
{
    struct rh_daemon *daemon = context;
    rh_zk_membership_peer_down(daemon->membership, node);
    if (is_member(daemon, node)) {
        peer_event(daemon, RH_EVENT_PEER_DOWN, node);
    }
}

static void on_drained(void *context, const struct rh_node_ref *node)
{
    peer_event(context, RH_EVENT_PEER_DRAINED, node);
}

static void on_dead(void *context, const struct rh_node_ref *node, enum rh_ev_peer_death death,
                    const char *reason RH_UNUSED)
{
    struct rh_daemon *daemon = context;
    if (death == RH_EV_PEER_REPLACED) {
        rh_zk_membership_peer_replaced(daemon->membership, node);
    }
    rh_zk_membership_peer_dead(daemon->membership, node);
}

static void on_epoch(void *context, const struct rh_node_ref *node, struct rh_epoch epoch)
{
    struct rh_daemon *daemon = context;
    rh_zk_membership_peer_epoch(daemon->membership, node, epoch);
}

static const struct rh_ev_peer_handler peer_handler = {
    .message = on_message,
    .up = on_up,
    .down = on_down,
    .drained = on_drained,
    .dead = on_dead,
    .epoch = on_epoch,
};

void rh_daemon_cluster_send(struct rh_daemon *daemon, const struct rh_node_ref *to,
                            const struct rh_peer_message *message)
{
    int rv = rh_ev_peer_send(daemon->peers, to, message);
    if (rv != 0 && rv != RH_ERR_UNREACHABLE) {
        /* Requests are sent again; an answer that is lost makes the asker send its request again. */
        rh_log(daemon->logger, RH_LOG_WARN, "peer_send_failed peer=%s message=%s reason=\"%s\"",
               to->id, rh_peer_message_name(message->kind), rh_error_text(rv));
    }
}

/* ---- life ---- */

/* A sync may carry a state document beside an operation, which may be another. */
static size_t frame_size_max(const struct rh_config *config)
{
    uint64_t state = config->limits.state_bytes;
    uint64_t message = config->limits.message_bytes;
    return (size_t)(state + (state > message ? state : message) + PEER_FRAME_MORE);
}

static int start_peers(struct rh_daemon *daemon, struct rh_reason *reason)
{
    struct rh_ev_peer_options options = {
        .cluster = daemon->config->cluster,
        .self = {.instance = daemon->instance},
        .listen = daemon->node->peer,
        .frame_size_max = frame_size_max(daemon->config),
        .handler = &peer_handler,
        .context = daemon,
        .logger = daemon->logger,
    };
    (void)snprintf(options.self.id, sizeof(options.self.id), "%s", daemon->node->id);
    return rh_ev_peer_start(daemon->loop, &options, &daemon->peers, reason);
}

static void describe(const struct rh_daemon *daemon, struct rh_registration *registration)
{
    const struct rh_config_node *node = daemon->node;
    *registration = (struct rh_registration){
        .instance = daemon->instance,
        .weight_milli = node->weight_milli,
    };
    (void)snprintf(registration->id, sizeof(registration->id), "%s", node->id);
    (void)snprintf(registration->zone, sizeof(registration->zone), "%s", node->zone);
    (void)snprintf(registration->url, sizeof(registration->url), "%s", node->advertise);
    (void)snprintf(registration->peer, sizeof(registration->peer), "%s", node->peer_advertise);
    (void)snprintf(registration->admin, sizeof(registration->admin), "%s", node->admin);
    (void)snprintf(registration->version, sizeof(registration->version), "%s", RH_VERSION);
}

int rh_daemon_cluster_start(struct rh_daemon *daemon, struct rh_reason *reason)
{
    const struct rh_config *config = daemon->config;
    int rv = start_peers(daemon, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_membership_options options = {
        .cluster = config->cluster,
        .servers = config->zookeeper.servers,
        .session_timeout_ms = config->zookeeper.session_timeout_ms,
        .config = {.format = RH_CONFIG_FORMAT,
                   .vnodes = config->ring.vnodes,
                   .replicas = config->ring.replicas,
                   .seed = config->ring.seed,
                   .session_timeout_ms = config->zookeeper.session_timeout_ms},
        .config_name = config->path,
        .logger = daemon->logger,
        .replication = daemon->replication,
        .handler = daemon->replication ? &replication_handler : &plain_handler,
        .context = daemon,
    };
    describe(daemon, &options.registration);
    return rh_zk_membership_create(daemon->loop, &options, &daemon->membership, reason);
}

void rh_daemon_cluster_finish(struct rh_daemon *daemon)
{
    /* The registration goes first: a link that breaks while it stands looks like a crash. */
    rh_zk_membership_destroy(daemon->membership);
    rh_ev_peer_stop(daemon->peers);
    rh_daemon_replication_finish(daemon);
    rh_list_each_safe (&daemon->probes, link) {
        rh_list_remove(link);
        free(rh_container_of(link, struct probe, link));
    }
}
