/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

/* /metrics of the admin listener. docs/operations.md explains each; a test compares the two. */

/* One line of the exposition format, with its head. */
static int metric(struct rh_buffer *out, const char *type, const char *name, const char *help,
                  uint64_t value)
{
    return rh_buffer_format(out,
                            "# HELP ringhop_%s %s\n# TYPE ringhop_%s %s\nringhop_%s %" PRIu64 "\n",
                            name, help, name, type, name, value);
}

struct metric_row {
    const char *type;
    const char *name;
    const char *help;
    uint64_t value;
};

static int metrics(struct rh_buffer *out, const struct metric_row *rows, size_t rows_count)
{
    for (size_t i = 0; i < rows_count; i++) {
        int rv = metric(out, rows[i].type, rows[i].name, rows[i].help, rows[i].value);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

#define METRICS(out, rows) metrics(out, rows, sizeof(rows) / sizeof((rows)[0]))

static int core_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    const struct metric_row rows[] = {
        {"gauge", "channels", "Channels held by this node", core->channels},
        {"gauge", "streams",
         "WebSockets and event streams in channels of this node, also those relayed here",
         core->streams},
        {"gauge", "reads_waiting", "Long polls that wait for a message", core->reads_waiting},
        {"gauge", "relayed_connections", "Connections of this node that others serve",
         core->relayed},
        {"gauge", "remote_connections", "Connections of other nodes that this one serves",
         core->remotes},
        {"gauge", "requests_pending", "Requests that wait for a view, a link or an answer",
         core->pending},
        {"gauge", "log_bytes", "Message ids and payloads in all logs", core->log_bytes},
        {"gauge", "state_bytes", "All state documents", core->state_bytes},
        {"gauge", "message_ids", "Message ids remembered in all channels", core->ids},
        {"counter", "publishes_total", "Messages taken as the owner", core->publishes},
        {"counter", "publishes_duplicate_total", "Retries answered with the first seq",
         core->duplicates},
        {"counter", "state_writes_total", "Changes of a state document taken as the owner",
         core->state_writes},
        {"counter", "state_conflicts_total", "Writes whose condition did not hold",
         core->state_conflicts},
        {"gauge", "presence_clients", "Clients in the lists of all channels", core->presents},
        {"counter", "presence_joins_total", "Clients that came into a channel",
         core->presence_joins},
        {"counter", "presence_leaves_total", "Clients that left one", core->presence_leaves},
        {"counter", "deliveries_total", "Messages handed to streams", core->deliveries},
        {"gauge", "topic_readers", "Nodes that want a topic of this one, for each topic",
         core->topic_readers},
        {"gauge", "topic_feeds", "Topics that channels of this node follow", core->topic_feeds},
        {"counter", "topic_batches_total", "Messages to nodes that have followers, or to itself",
         core->topic_batches},
        {"counter", "topic_messages_total", "Messages that channels got by following",
         core->topic_messages},
        {"counter", "forwards_sent_total", "Requests sent to their owner", core->forwards_sent},
        {"counter", "forwards_received_total", "Requests of other nodes", core->forwards_received},
        {"counter", "relayed_connections_total", "Connections that were relayed to an owner",
         core->relayed_begun},
        {"counter", "relayed_reopened_total", "Relays that went on at another owner, or anew",
         core->relayed_again},
        {"counter", "remote_connections_total", "Connections that other nodes relayed here",
         core->remotes_opened},
        {"counter", "tunnels_broken_total", "Times that what was relayed had to be begun anew",
         core->tunnels_broken},
        {"counter", "redirects_total", "Connections sent to their owner", core->redirects},
        {"counter", "moved_connections_total", "Streams told `moved` on a view change",
         core->moved_connections},
        {"counter", "moved_channels_total", "Channels that went to another owner",
         core->moved_channels},
        {"counter", "channels_created_total", "Channels created", core->channels_created},
        {"counter", "channels_reclaimed_total", "Idle channels given up", core->channels_reclaimed},
        {"counter", "refusals_total", "Requests that could not be served", core->refusals},
        {"counter", "slow_consumers_total", "WebSockets closed with 4408", daemon->slow_consumers},
        {"gauge", "lingering", "Streams told `moved` that are still connected",
         daemon->lingering_count},
    };
    return METRICS(out, rows);
}

static int replication_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_core_stats *core = rh_core_stats(daemon->core);
    const struct metric_row rows[] = {
        {"gauge", "replication", "Whether channels are copied to several nodes",
         daemon->replication},
        {"gauge", "copies", "Copies of channels held, its own and those for others", core->copies},
        {"gauge", "channels_acting", "Channels that this node serves", core->channels_acting},
        {"gauge", "channels_short", "Of them with fewer copies than wanted", core->channels_short},
        {"gauge", "channels_stalled", "Channels with something uncommitted for over a second",
         core->channels_stalled},
        {"gauge", "moves_waiting", "Channels to hand over, to mend, or to ask to leave",
         core->moves_waiting},
        {"gauge", "claims_waiting", "Channels to take over", core->claims_waiting},
        {"gauge", "arrivals_waiting", "Channels that others have to hand over, or to let go",
         core->arrivals_waiting},
        {"gauge", "settled", "Whether the present view is recorded as complete",
         rh_core_is_settled(daemon->core)},
        {"counter", "handoffs_out_total", "Channels handed to another node", core->handoffs_out},
        {"counter", "handoffs_in_total", "Channels handed to this node", core->handoffs_in},
        {"counter", "takeovers_total", "Channels taken over after a loss", core->takeovers},
        {"counter", "takeovers_renewed_total", "Of them under a new incarnation",
         core->takeovers_renewed},
        {"counter", "syncs_sent_total", "Copies sent to other nodes", core->syncs_sent},
        {"counter", "syncs_received_total", "Copies received", core->syncs_received},
        {"counter", "sync_bytes_sent_total", "Ids and payloads in them", core->sync_bytes_sent},
        {"counter", "sync_bytes_received_total", "Ids and payloads in them",
         core->sync_bytes_received},
        {"counter", "registration_losses_total", "Times that the own registration was lost",
         core->losses},
        {"counter", "replication_refused_total", "Messages about copies that were refused",
         core->frames_refused},
        {"counter", "replication_held_total", "Messages kept for a later view", core->frames_held},
        {"counter", "replication_relayed_total", "Messages passed on for others",
         core->frames_relayed},
    };
    return METRICS(out, rows);
}

static int http_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_http_server_stats *http = rh_http_server_stats(daemon->client_server);
    const struct metric_row rows[] = {
        {"gauge", "connections", "Open connections of the client listener", http->connections},
        {"gauge", "websockets", "Of them WebSockets", http->websockets},
        {"gauge", "event_streams", "Of them Server-Sent Events", http->event_streams},
        {"gauge", "connections_max", "Most connections taken", daemon->connections_max},
        {"counter", "connections_accepted_total", "Connections accepted", http->accepted},
        {"counter", "connections_refused_total", "Turned away at the limit", http->refused},
        {"counter", "accept_errors_total", "Failed to accept", http->accept_errors},
        {"counter", "http_requests_total", "Whole requests", http->requests},
        {"counter", "http_bad_requests_total", "Requests refused as malformed", http->bad_requests},
        {"counter", "http_responses_2xx_total", "Responses", http->responses[2]},
        {"counter", "http_responses_3xx_total", "Responses", http->responses[3]},
        {"counter", "http_responses_4xx_total", "Responses", http->responses[4]},
        {"counter", "http_responses_5xx_total", "Responses", http->responses[5]},
        {"counter", "http_timeouts_total", "Connections closed for being slow or idle",
         http->timeouts},
        {"counter", "bytes_in_total", "Bytes from clients", http->bytes_in},
        {"counter", "bytes_out_total", "Bytes to clients", http->bytes_out},
        {"counter", "websockets_accepted_total", "WebSockets accepted", http->websockets_accepted},
        {"counter", "websockets_compressed_total", "Of them with compression agreed on",
         http->websockets_deflating},
        {"counter", "messages_deflated_total", "Messages compressed, each once for many receivers",
         http->messages_deflated},
        {"counter", "deflate_bytes_in_total", "Bytes of their frames before", http->deflated_in},
        {"counter", "deflate_bytes_out_total", "Bytes of their frames after", http->deflated_out},
        {"counter", "inflate_bytes_in_total", "Bytes of messages that clients sent compressed",
         http->inflated_in},
        {"counter", "inflate_bytes_out_total", "Bytes of them after", http->inflated_out},
        {"counter", "websocket_messages_in_total", "Messages from clients", http->messages_in},
        {"counter", "websocket_heartbeat_timeouts_total", "WebSockets closed for silence",
         http->heartbeat_timeouts},
        {"counter", "websocket_protocol_errors_total", "WebSockets closed with 1002, 1007, 1009",
         http->protocol_errors},
        {"counter", "dropped_unread_total", "Closed unread after the process stood still",
         http->dropped_unread},
    };
    return METRICS(out, rows);
}

static int cluster_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    const struct rh_zk_membership *membership = daemon->membership;
    struct rh_ev_peer_stats peers;
    rh_ev_peer_stats(daemon->peers, &peers);
    bool connected = rh_zk_membership_zookeeper_state(membership) == RH_ZK_CONNECTED;
    const struct metric_row rows[] = {
        {"gauge", "ready", "Whether /readyz says so", rh_daemon_not_ready(daemon) == NULL},
        {"gauge", "generation", "Of the adopted view", view == NULL ? 0 : view->epoch.generation},
        {"gauge", "epoch", "Of the adopted view", view == NULL ? 0 : (uint64_t)view->epoch.pzxid},
        {"gauge", "members", "Registered nodes", view == NULL ? 0 : view->members_count},
        {"gauge", "zookeeper_connected", "Whether a ZooKeeper server answers", connected},
        {"gauge", "registered", "Whether this node's registration stands",
         rh_zk_membership_registered(membership)},
        {"gauge", "peer_links", "Links to other members", peers.links},
        {"gauge", "peer_links_up", "Of them up", peers.links_up},
        {"gauge", "peer_queued_bytes", "Not yet written to peers", peers.queued_bytes},
        {"counter", "peer_messages_sent_total", "Messages to peers", peers.messages_sent},
        {"counter", "peer_messages_received_total", "Messages from peers", peers.messages_received},
        {"counter", "peer_links_lost_total", "Links that broke", peers.links_lost},
        {"counter", "peer_dead_total", "Hard evidence that a peer is dead", peers.dead_reported},
        {"counter", "peer_frames_refused_total", "Malformed frames", peers.frames_refused},
        {"counter", "stalls_total", "Times that the process did not run for more than 10 s",
         daemon->stalls},
    };
    return METRICS(out, rows);
}

int rh_daemon_metrics(const struct rh_daemon *daemon, struct rh_buffer *out)
{
    int (*const parts[])(const struct rh_daemon *, struct rh_buffer *) = {
        core_metrics, replication_metrics, http_metrics, cluster_metrics};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int rv = parts[i](daemon, out);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}
