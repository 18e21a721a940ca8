/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_relay.h"

#include "node/core_inspect.h"
#include "tests/simulator_check.h"
#include "tests/simulator_rest.h"
#include "tests/simulator_states.h"
#include "tests/simulator_truth.h"

#include <inttypes.h>
#include <string.h>

/* As in docs/relay.md. */
#define OPEN_MS     10000U
#define READ_MS     5000U
#define PATIENCE_MS 30000U
#define IDLE_MS     15000U

/* ---- what is told ---- */

void sim_relay_told(struct sim *sim, const struct sim_connection *connection, uint64_t incarnation,
                    const struct rh_entry *entry)
{
    if (sim->replicated && entry != NULL) {
        sim_truth_relayed(sim, connection->key, incarnation, entry->seq, sim_truth_message(entry));
    }
}

/* The channel that |node| has under that incarnation. */
static bool find_channel(const struct sim_node *node, uint64_t incarnation,
                         char ret_key[static SIM_KEY_SIZE])
{
    struct rh_copy_info info;
    for (void *at = rh_core_copy_next(node->core, NULL, &info); at != NULL;
         at = rh_core_copy_next(node->core, at, &info)) {
        if (info.incarnation == incarnation) {
            (void)snprintf(ret_key, SIM_KEY_SIZE, "%.*s", RH_BYTES_ARG(info.key));
            return true;
        }
    }
    return false;
}

/* Whether the node may tell another one of that channel. */
static void check_sent(struct sim *sim, int index, uint64_t incarnation,
                       const struct rh_peer_operation *messages, size_t count)
{
    char key[SIM_KEY_SIZE];
    if (!find_channel(sim->nodes[index], incarnation, key)) {
        sim_fail(sim, "n%d sends streams something of %016" PRIx64 ", which it has not", index,
                 incarnation);
        return;
    }
    sim_node_check_served(sim, index, key, incarnation, NULL, "what is relayed");
    for (size_t i = 0; i < count; i++) {
        uint64_t message = sim_truth_number(messages[i].payload.bytes);
        sim_check_message(sim, incarnation, messages[i].seq, message);
        if (sim->replicated) {
            sim_truth_relayed(sim, key, incarnation, messages[i].seq, message);
        }
    }
}

static bool find_remote(const struct sim_node *node, uint64_t instance, uint64_t stream,
                        struct rh_remote_info *ret_info)
{
    for (void *at = rh_core_remote_next(node->core, NULL, ret_info); at != NULL;
         at = rh_core_remote_next(node->core, at, ret_info)) {
        if (ret_info->instance == instance && ret_info->stream == stream) {
            return true;
        }
    }
    return false;
}

void sim_relay_sent(struct sim *sim, int node, const struct rh_peer_message *message)
{
    if (message->kind == RH_PEER_STREAM_BATCH) {
        check_sent(sim, node, message->stream_batch.incarnation, message->stream_batch.messages,
                   message->stream_batch.messages_count);
    } else if (message->kind == RH_PEER_STREAM_READ) {
        const struct rh_peer_stream_read *read = &message->stream_read;
        if (read->messages_count > 0 || (!read->recovered && read->incarnation != 0)) {
            check_sent(sim, node, read->incarnation, read->messages, read->messages_count);
        }
    }
}

/* ---- room ---- */

void sim_relay_queued(struct sim *sim, int node, struct sim_connection *connection,
                      const struct rh_entry *entry)
{
    if (connection->waits) {
        sim_fail(sim, "n%d sends client %d a message before there is room, once it is served anew",
                 node, connection->client);
    }
    if (connection->subscription.state != RH_SUBSCRIPTION_RELAYED) {
        return;
    }
    if (connection->queued >= sim->limits.batch_size) {
        sim_fail(sim, "n%d: a message for client %d, whose queue is full of %" PRIu64 " bytes",
                 node, connection->client, connection->queued);
    }
    connection->queued += rh_entry_client_size_max(entry);
}

/* ---- the state document ---- */

void sim_relay_shown(struct sim *sim, int node, struct sim_connection *connection,
                     const struct rh_entry *state)
{
    uint64_t version = state == NULL ? 0 : rh_entry_version(state);
    sim_trace(sim, "n%d: c%d is shown v%" PRIu64, node, connection->client, version);
    if (version < connection->shown_version) {
        sim_fail(sim,
                 "n%d shows client %d version %" PRIu64
                 " of the state of %s after version %" PRIu64,
                 node, connection->client, version, connection->key, connection->shown_version);
    }
    connection->shown_version = version;
    if (state != NULL) {
        sim_states_shown(sim, connection->incarnation, state);
    }
}

/* Who watches has been shown what the owner has. */
static const char *state_unrest(struct sim *sim, const struct sim_node *node,
                                const struct sim_connection *connection)
{
    struct rh_copy_info copy;
    int owner = sim_node_owner(sim, rh_core_view(node->core), connection->key);
    if (owner < 0 || !sim->nodes[owner]->running ||
        !rh_core_copy_find(sim->nodes[owner]->core, rh_bytes_text(connection->key), &copy)) {
        return NULL;
    }
    uint64_t version = copy.state == NULL ? 0 : rh_entry_version(copy.state);
    return version == connection->shown_version
               ? NULL
               : sim_unrest(
                     "client %d was shown version %" PRIu64 " of the state of %s, which is at "
                     "%" PRIu64,
                     connection->client, connection->shown_version, connection->key, version);
}

/* ---- the end ---- */

/* Whether the node relays at all (rule 9). */
static bool relays(const struct sim_node *node)
{
    const struct rh_view *view = rh_core_view(node->core);
    if (view == NULL || !rh_view_has(view, node->id, node->instance)) {
        return view != NULL;
    }
    return view->members[rh_view_find(view, node->id)].weight_milli > 0;
}

static bool is_member(const struct sim_node *node)
{
    const struct rh_view *view = rh_core_view(node->core);
    return view != NULL && rh_view_has(view, node->id, node->instance);
}

void sim_relay_sent_away(struct sim *sim, int node, const struct sim_connection *connection, int to,
                         const struct rh_position *position)
{
    const struct sim_node *process = sim->nodes[node];
    if (!relays(process)) {
        return;
    }
    if (position == NULL || (to != node && is_member(process))) {
        sim_fail(sim, "n%d sends client %d, which it could relay, to n%d", node, connection->client,
                 to);
    } else if (sim->replicated &&
               !sim_truth_may_lack(sim, connection->key, position->incarnation)) {
        sim_fail(sim,
                 "n%d tells client %d to come back to %s at %016" PRIx64 ":%" PRIu64
                 ", of which nothing was lost",
                 node, connection->client, connection->key, position->incarnation, position->seq);
    }
}

void sim_relay_refused(struct sim *sim, int node, const struct sim_connection *connection,
                       enum rh_refusal refusal)
{
    uint64_t waited_ms = sim->now_ms - connection->served_ms;
    bool is_read = connection->subscription.is_read;
    bool is_allowed = true;
    if (connection->welcomed && refusal == RH_REFUSAL_TOO_SLOW) {
        is_allowed = !sim->replicated || sim_truth_may_lack(sim, connection->key, 0);
    } else if (connection->welcomed) {
        is_allowed = refusal == RH_REFUSAL_NOT_READY &&
                     (waited_ms >= PATIENCE_MS || !is_member(sim->nodes[node]));
    } else if (refusal == RH_REFUSAL_UNREACHABLE) {
        is_allowed = waited_ms >= (is_read ? READ_MS : OPEN_MS);
    }
    if (!is_allowed) {
        sim_fail(sim, "n%d closes client %d of %s%s after %" PRIu64 " ms: %s", node,
                 connection->client, connection->key, connection->welcomed ? ", welcomed," : "",
                 waited_ms, rh_refusal_code(refusal));
    }
}

bool sim_relay_is_open(const struct sim_connection *connection)
{
    struct rh_relayed_info info;
    return rh_core_relayed_look(&connection->subscription, &info) && info.is_open;
}

void sim_relay_stepped(struct sim *sim, int node)
{
    rh_list_each (&sim->nodes[node]->connections, link) {
        struct sim_connection *connection = rh_container_of(link, struct sim_connection, link);
        enum rh_subscription_state state = connection->subscription.state;
        if (state == RH_SUBSCRIPTION_LIVE || state == RH_SUBSCRIPTION_REPLAYING ||
            sim_relay_is_open(connection)) {
            connection->served_ms = sim->now_ms;
        }
    }
}

/* ---- at rest ---- */

static const struct sim_node *running(const struct sim *sim, uint64_t instance)
{
    int place = sim_place_of(sim, instance);
    const struct sim_node *node = place < 0 ? NULL : sim->nodes[place];
    return node != NULL && node->running && node->instance == instance ? node : NULL;
}

/* The stream of |connection| at its owner, which has sent it all. */
static const char *owner_unrest(const struct sim_node *owner,
                                const struct sim_connection *connection,
                                const struct rh_relayed_info *info,
                                const struct rh_remote_info *remote)
{
    struct rh_copy_info copy;
    const struct rh_subscription *here = &connection->subscription;
    if (remote->subscription->state != RH_SUBSCRIPTION_REMOTE ||
        !rh_bytes_equal(remote->key, rh_bytes_text(connection->key)) ||
        !rh_core_copy_find(owner->core, remote->key, &copy)) {
        return sim_unrest("the stream of client %d waits at n%d", connection->client, owner->index);
    }
    if (copy.incarnation != here->after.incarnation || copy.seq + 1 != here->next_seq ||
        remote->subscription->next_seq != here->next_seq) {
        return sim_unrest("client %d is at %" PRIu64 " of %s, was sent %" PRIu64 " of %" PRIu64
                          " by n%d",
                          connection->client, here->next_seq - 1, connection->key,
                          remote->subscription->next_seq - 1, copy.seq, owner->index);
    }
    if (remote->untaken != info->untaken) {
        return sim_unrest("client %d has %" PRIu64 " bytes to read, for n%d it has %" PRIu64,
                          connection->client, info->untaken, owner->index, remote->untaken);
    }
    return NULL;
}

const char *sim_relay_connection_unrest(struct sim *sim, int node,
                                        const struct sim_connection *connection)
{
    struct rh_relayed_info info;
    struct rh_remote_info remote;
    const struct sim_node *process = sim->nodes[node];
    if (!rh_core_relayed_look(&connection->subscription, &info) || !info.is_open) {
        return sim_unrest("client %d of %s is not served", connection->client, connection->key);
    }
    const struct sim_node *owner = running(sim, info.instance);
    int place = sim_node_owner(sim, rh_core_view(process->core), connection->key);
    if (owner == NULL || owner->index != place) {
        return sim_unrest("client %d of %s is relayed to n%d, the owner is n%d", connection->client,
                          connection->key, owner == NULL ? -1 : owner->index, place);
    }
    if (!find_remote(owner, process->instance, info.stream, &remote) ||
        remote.tunnel != info.tunnel) {
        return sim_unrest("n%d does not know the stream of client %d", owner->index,
                          connection->client);
    }
    return owner_unrest(owner, connection, &info, &remote);
}

/* Whether |node| has that stream, or read, still. */
static bool has_stream(const struct sim_node *node, const struct rh_remote_info *remote)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&node->connections, link) {
        struct rh_relayed_info info;
        const struct sim_connection *connection =
            rh_container_of(link, struct sim_connection, link);
        if (rh_core_relayed_look(&connection->subscription, &info) &&
            info.stream == remote->stream && info.tunnel == remote->tunnel) {
            return true;
        }
    }
    return false;
}

static const char *streams_unrest(struct sim *sim, const struct sim_node *node)
{
    struct rh_remote_info remote;
    uint32_t count = 0;
    for (void *at = rh_core_remote_next(node->core, NULL, &remote); at != NULL;
         at = rh_core_remote_next(node->core, at, &remote)) {
        const struct sim_node *other = running(sim, remote.instance);
        if (other == NULL || !has_stream(other, &remote)) {
            return sim_unrest("n%d serves stream %" PRIu64 " of a node that has it no more",
                              node->index, remote.stream);
        }
        count++;
    }
    uint32_t relayed = 0;
    rh_list_each ((struct rh_list *)(uintptr_t)&node->connections, link) {
        const struct sim_connection *connection =
            rh_container_of(link, struct sim_connection, link);
        const struct rh_subscription *subscription = &connection->subscription;
        bool is_relayed = subscription->state == RH_SUBSCRIPTION_RELAYED;
        relayed += is_relayed;
        const char *what = is_relayed && !subscription->is_read
                               ? sim_relay_connection_unrest(sim, node->index, connection)
                               : NULL;
        if (what == NULL && subscription->watches_state &&
            (is_relayed || subscription->state == RH_SUBSCRIPTION_LIVE)) {
            what = state_unrest(sim, node, connection);
        }
        if (what != NULL) {
            return what;
        }
    }
    const struct rh_core_stats *stats = rh_core_stats(node->core);
    return stats->relayed == relayed && stats->remotes == count
               ? NULL
               : sim_unrest("n%d counts %" PRIu32 " and %" PRIu32 " streams, and has %" PRIu32
                            " and %" PRIu32,
                            node->index, stats->relayed, stats->remotes, relayed, count);
}

/* The tunnel from |from| to |to|, as both have it. */
static const char *tunnel_unrest(const struct sim_node *from, const struct sim_node *to,
                                 size_t *tunnels_to, size_t *tunnels_from)
{
    struct rh_tunnel_info here = {0};
    struct rh_tunnel_info there = {0};
    bool begins = rh_core_tunnel_to(from->core, to->instance, &here);
    bool ends = rh_core_tunnel_from(to->core, from->instance, &there);
    *tunnels_to += begins;
    *tunnels_from += ends;
    bool is_same = begins && ends && here.tunnel == there.tunnel;
    if ((!is_same && (here.streams > 0 || there.streams > 0)) ||
        (is_same && there.streams > here.streams)) {
        return sim_unrest("n%d has %" PRIu64 " streams in its tunnel to n%d, which has %" PRIu64,
                          from->index, here.streams, to->index, there.streams);
    }
    if (is_same && here.bytes != there.bytes) {
        return sim_unrest("%" PRIu64 " bytes have come to n%d, for n%d %" PRIu64
                          " are on their way",
                          here.bytes, from->index, to->index, there.bytes);
    }
    if (ends && there.silent_ms > 2 * IDLE_MS) {
        return sim_unrest("n%d keeps a tunnel of n%d, which says nothing", to->index, from->index);
    }
    return NULL;
}

const char *sim_relay_unrest(struct sim *sim)
{
    size_t tunnels_to = 0;
    size_t tunnels_from = 0;
    uint64_t known = 0;
    for (int i = 0; sim->options.relay && i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        if (!node->running) {
            continue;
        }
        struct rh_core_inside inside;
        rh_core_inside(node->core, &inside);
        known += inside.tunnels_to + inside.tunnels_from;
        const char *what = streams_unrest(sim, node);
        for (int k = 0; what == NULL && k < sim->nodes_count; k++) {
            if (k != i && sim->nodes[k]->running) {
                what = tunnel_unrest(node, sim->nodes[k], &tunnels_to, &tunnels_from);
            }
        }
        if (what != NULL) {
            return what;
        }
    }
    return known == tunnels_to + tunnels_from
               ? NULL
               : sim_unrest("%" PRIu64 " ends of tunnels, %zu of them between nodes that are there",
                            known, tunnels_to + tunnels_from);
}
