/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_rest.h"

#include "node/core_inspect.h"
#include "tests/simulator_describe.h"
#include "tests/simulator_node.h"
#include "tests/simulator_relay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define COPIES_SHOWN 10

static char said[200];

const char *sim_unrest(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(said, sizeof(said), format, args);
    va_end(args);
    return said;
}

/* The nodes that should have copies of a key, owner first. */
struct list {
    int nodes[RH_RING_REPLICAS_MAX];
    size_t count;
};

static struct list list_of(const struct rh_view *view, struct rh_bytes key)
{
    struct list list = {0};
    uint32_t indices[RH_RING_REPLICAS_MAX];
    uint64_t hash = rh_ring_hash(view->ring, key.data, key.size);
    list.count = rh_ring_preference(view->ring, hash, view->config.replicas, indices);
    for (size_t i = 0; i < list.count; i++) {
        list.nodes[i] = sim_node_of(&view->members[indices[i]]);
    }
    return list;
}

static bool is_in(const struct list *list, int node)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

static const char *log_unrest(const struct sim *sim, int a, int b, const struct rh_copy_info *info,
                              uint64_t first)
{
    for (uint64_t op = first; op <= info->op; op++) {
        struct rh_term terms[2];
        const struct rh_entry *mine =
            rh_core_copy_entry(sim->nodes[a]->core, info->key, op, &terms[0]);
        const struct rh_entry *theirs =
            rh_core_copy_entry(sim->nodes[b]->core, info->key, op, &terms[1]);
        if (mine == NULL || theirs == NULL) {
            return sim_unrest("n%d or n%d lacks operation %" PRIu64, a, b, op);
        }
        uint64_t seqs[2] = {0};
        uint64_t ops[2] = {0};
        bool has_mine =
            rh_core_copy_id(sim->nodes[a]->core, info->key, rh_entry_id(mine), &seqs[0], &ops[0]);
        bool has_theirs =
            rh_core_copy_id(sim->nodes[b]->core, info->key, rh_entry_id(mine), &seqs[1], &ops[1]);
        if (!rh_bytes_equal(rh_entry_id(mine), rh_entry_id(theirs)) ||
            !rh_term_equal(terms[0], terms[1]) || has_mine != has_theirs || seqs[0] != seqs[1] ||
            ops[0] != ops[1]) {
            return sim_unrest("n%d and n%d differ in operation %" PRIu64 " of %.*s", a, b, op,
                              (int)info->key.size, (const char *)info->key.data);
        }
    }
    return NULL;
}

static bool is_same_state(const struct rh_entry *a, const struct rh_entry *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->entry_kind == b->entry_kind && rh_entry_version(a) == rh_entry_version(b) &&
           rh_bytes_equal(rh_entry_content_type(a), rh_entry_content_type(b)) &&
           rh_bytes_equal(rh_entry_payload(a).bytes, rh_entry_payload(b).bytes);
}

static const char *replica_unrest(const struct sim *sim, int owner, int node,
                                  const struct rh_copy_info *acting)
{
    struct rh_copy_info info;
    int size = (int)acting->key.size;
    const char *key = acting->key.data;
    if (!rh_core_copy_find(sim->nodes[node]->core, acting->key, &info) ||
        info.role != RH_ROLE_REPLICA) {
        return sim_unrest("n%d is not a replica of %.*s", node, size, key);
    }
    if (info.suspect || info.incarnation != acting->incarnation ||
        !rh_term_equal(info.term, acting->term) || info.op != acting->op ||
        info.seq != acting->seq || info.commit != acting->commit) {
        return sim_unrest("n%d has another copy of %.*s than its owner n%d: op %" PRIu64
                          " and %" PRIu64 ", commit %" PRIu64 " and %" PRIu64 "%s",
                          node, size, key, owner, info.op, acting->op, info.commit, acting->commit,
                          info.suspect ? ", suspect" : "");
    }
    if (!is_same_state(info.state, acting->state)) {
        return sim_unrest("n%d and n%d differ in the state of %.*s", node, owner, size, key);
    }
    uint64_t first = info.first_op > acting->first_op ? info.first_op : acting->first_op;
    return log_unrest(sim, owner, node, &info, first);
}

static const char *group_unrest(const struct sim *sim, const struct list *list,
                                const struct rh_copy_info *info)
{
    bool equal = info->group_count == list->count;
    for (size_t i = 0; equal && i < info->group_count; i++) {
        bool found = false;
        for (size_t k = 0; k < list->count; k++) {
            found |= sim->nodes[list->nodes[k]]->instance == info->group[i].instance;
        }
        equal = found;
    }
    return equal ? NULL
                 : sim_unrest("the group of %.*s is not its preference list", (int)info->key.size,
                              (const char *)info->key.data);
}

/* The channel as the node holds it; each is looked at from its owner. */
static const char *channel_unrest(const struct sim *sim, int node, const struct rh_view *view,
                                  const struct rh_copy_info *info)
{
    int size = (int)info->key.size;
    const char *key = info->key.data;
    struct list list = list_of(view, info->key);
    if (!is_in(&list, node)) {
        return sim_unrest("n%d knows %.*s, and is not in its list", node, size, key);
    }
    struct rh_copy_info acting;
    int owner = list.nodes[0];
    if (info->role == RH_ROLE_WAITING && node == owner) {
        return NULL; /* readers of a channel that does not exist, or the owner's own is missed below */
    }
    if (!rh_core_copy_find(sim->nodes[owner]->core, info->key, &acting) ||
        acting.role != RH_ROLE_ACTING) {
        return sim_unrest("n%d does not act for %.*s", owner, size, key);
    }
    if (acting.commit != acting.op) {
        return sim_unrest("%.*s is not committed at n%d", size, key, owner);
    }
    return node == owner ? group_unrest(sim, &list, &acting)
                         : replica_unrest(sim, owner, node, &acting);
}

static const char *inside_unrest(const struct sim_node *node)
{
    struct rh_core_inside inside;
    rh_core_inside(node->core, &inside);
    if (inside.lost || !inside.complete || !inside.recorded || inside.sweeping) {
        return sim_unrest("n%d is %s", node->index,
                          inside.lost        ? "lost"
                          : !inside.complete ? "without all reports"
                          : inside.sweeping  ? "walking its channels"
                                             : "in an epoch that is not recorded");
    }
    if (inside.held_bytes + inside.reports + inside.busy + inside.moves + inside.claims +
            inside.syncs_out + inside.syncs_in >
        0) {
        return sim_unrest("n%d: held %" PRIu64 ", reports %" PRIu64 ", busy %" PRIu64
                          ", moves %" PRIu64 ", claims %" PRIu64 ", syncs %" PRIu64 " and %" PRIu64,
                          node->index, inside.held_bytes, inside.reports, inside.busy, inside.moves,
                          inside.claims, inside.syncs_out, inside.syncs_in);
    }
    return NULL;
}

static bool is_in_channel(const struct sim_connection *connection)
{
    return sim_relay_is_open(connection) ||
           connection->subscription.state == RH_SUBSCRIPTION_LIVE ||
           connection->subscription.state == RH_SUBSCRIPTION_REPLAYING;
}

static uint32_t bit_of(const struct sim_connection *connection)
{
    return UINT32_C(1) << (unsigned)connection->name_number;
}

/* The clients with a connection in that channel, at any node. */
static uint32_t clients_in(const struct sim *sim, const char *key)
{
    uint32_t clients = 0;
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        if (!node->running) {
            continue;
        }
        rh_list_each ((struct rh_list *)(uintptr_t)&node->connections, link) {
            const struct sim_connection *connection =
                rh_container_of(link, struct sim_connection, link);
            if (is_in_channel(connection) && strcmp(connection->key, key) == 0) {
                clients |= bit_of(connection);
            }
        }
    }
    return clients;
}

/* Who watches knows all who are there, and no ghost. */
static const char *presence_unrest(const struct sim *sim, const struct sim_node *node)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&node->connections, link) {
        const struct sim_connection *connection =
            rh_container_of(link, struct sim_connection, link);
        if (sim->present && is_in_channel(connection) &&
            connection->known != clients_in(sim, connection->key)) {
            return sim_unrest("n%d: %s knows %x to be there, and there are %x", node->index,
                              connection->name, connection->known,
                              clients_in(sim, connection->key));
        }
    }
    return NULL;
}

static const char *node_unrest(const struct sim *sim, const struct sim_node *node)
{
    const struct rh_view *view = rh_core_view(node->core);
    const char *what = inside_unrest(node);
    what = what != NULL ? what : presence_unrest(sim, node);
    if (view == NULL || rh_ring_active_count(view->ring) == 0) {
        return what;
    }
    struct rh_copy_info info;
    for (void *at = rh_core_copy_next(node->core, NULL, &info); at != NULL && what == NULL;
         at = rh_core_copy_next(node->core, at, &info)) {
        if (info.role != RH_ROLE_ABSENT) {
            what = channel_unrest(sim, node->index, view, &info);
        }
    }
    return what;
}

static void trace_copies(struct sim *sim, const struct sim_node *node)
{
    struct rh_copy_info info;
    unsigned count = 0;
    for (void *at = rh_core_copy_next(node->core, NULL, &info); at != NULL && count < COPIES_SHOWN;
         at = rh_core_copy_next(node->core, at, &info)) {
        char text[SIM_TEXT_SIZE];
        sim_describe_copy(&info, text);
        sim_trace(sim, "    %.*s %s", (int)info.key.size, (const char *)info.key.data, text);
        count++;
    }
}

void sim_rest_trace(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        struct rh_core_inside inside;
        if (!node->running) {
            continue;
        }
        rh_core_inside(node->core, &inside);
        sim_trace(sim,
                  "  n%d:%s%s%s%s held %" PRIu64 ", reports %" PRIu64 ", busy %" PRIu64
                  ", moves %" PRIu64 ", claims %" PRIu64 ", syncs %" PRIu64 " and %" PRIu64,
                  i, inside.lost ? " lost" : "", inside.complete ? " complete" : "",
                  inside.recorded ? " recorded" : "", inside.sweeping ? " walking" : "",
                  inside.held_bytes, inside.reports, inside.busy, inside.moves, inside.claims,
                  inside.syncs_out, inside.syncs_in);
        trace_copies(sim, node);
    }
}

const char *sim_rest_unrest(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const char *what = sim->nodes[i]->running ? node_unrest(sim, sim->nodes[i]) : NULL;
        if (what != NULL) {
            return what;
        }
    }
    return NULL;
}
