/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_check.h"

#include "tests/simulator_clients.h"
#include "tests/simulator_network.h"
#include "tests/simulator_rest.h"
#include "tests/simulator_truth.h"
#include "tests/simulator_zookeeper.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* From two numbers to one. Only grows; 0 as a value means not there. */
struct pair_map {
    struct pair {
        uint64_t a;
        uint64_t b;
        uint64_t value;
    } * slots;
    size_t capacity; /* a power of two */
    size_t count;
};

/* One life of a channel. */
struct incarnation {
    uint64_t number;
    int node;
    uint64_t instance;
    char key[SIM_KEY_SIZE];
    bool ended; /* given away */
};

struct adopted {
    unsigned era;
    struct rh_epoch epoch;
    uint64_t members; /* hash */
    int node;         /* who was first */
};

struct sim_check {
    struct pair_map messages; /* incarnation, seq -> message + 1 */
    struct pair_map seqs;     /* incarnation, message -> seq */
    struct pair_map numbers;  /* incarnation, 0 -> index + 1 */
    struct incarnation *incarnations;
    size_t incarnations_count;
    size_t incarnations_capacity;
    struct adopted *adopted;
    size_t adopted_count;
    size_t adopted_capacity;
    unsigned *era;          /* per node */
    struct rh_epoch *epoch; /* likewise */
    uint64_t moves;
    char unrest[200];
};

/* ---- a map ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a ^ (b * 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static struct pair *map_slot(const struct pair_map *map, uint64_t a, uint64_t b)
{
    size_t at = mix(a, b) & (map->capacity - 1);
    while (map->slots[at].value != 0 && (map->slots[at].a != a || map->slots[at].b != b)) {
        at = (at + 1) & (map->capacity - 1);
    }
    return &map->slots[at];
}

/* The value that stands there, after |value| was put where nothing did. */
static uint64_t map_put(struct pair_map *map, uint64_t a, uint64_t b, uint64_t value)
{
    if (map->count * 2 >= map->capacity) {
        struct pair_map grown = {.capacity = map->capacity == 0 ? 256 : map->capacity * 2,
                                 .count = map->count};
        grown.slots = calloc(grown.capacity, sizeof(*grown.slots));
        if (grown.slots == NULL) {
            abort();
        }
        for (size_t i = 0; i < map->capacity; i++) {
            if (map->slots[i].value != 0) {
                *map_slot(&grown, map->slots[i].a, map->slots[i].b) = map->slots[i];
            }
        }
        free(map->slots);
        *map = grown;
    }
    struct pair *slot = map_slot(map, a, b);
    if (slot->value == 0) {
        *slot = (struct pair){.a = a, .b = b, .value = value};
        map->count++;
    }
    return slot->value;
}

static uint64_t map_get(const struct pair_map *map, uint64_t a, uint64_t b)
{
    return map->capacity == 0 ? 0 : map_slot(map, a, b)->value;
}

/* ---- views ---- */

void sim_check_started(struct sim *sim, int node)
{
    sim->check->epoch[node] = (struct rh_epoch){0};
    sim->check->era[node] = sim_zookeeper_era(sim);
}

void sim_check_listed(struct sim *sim, int node, unsigned era)
{
    sim->check->era[node] = era;
}

static uint64_t hash_members(const struct rh_view *view)
{
    uint64_t hash = rh_ring_digest(view->ring);
    for (size_t i = 0; i < view->members_count; i++) {
        hash = mix(hash, view->members[i].instance);
        hash = mix(hash, view->members[i].weight_milli);
    }
    return hash;
}

static void trace_view(struct sim *sim, int node, const struct rh_view *view)
{
    char text[256];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < view->members_count && used < sizeof(text); i++) {
        int length = snprintf(text + used, sizeof(text) - used, " %s%s", view->members[i].id,
                              view->members[i].weight_milli == 0 ? ":0" : "");
        used += length > 0 ? (size_t)length : 0;
    }
    sim_trace(sim, "n%d: adopts %" PRIu64 "/%" PRId64 ":%s", node, view->epoch.generation,
              view->epoch.pzxid, text);
}

void sim_check_adopted(struct sim *sim, int node, const struct rh_view *view)
{
    struct sim_check *check = sim->check;
    if (sim->options.trace != NULL) {
        trace_view(sim, node, view);
    }
    if (rh_epoch_compare(view->epoch, check->epoch[node]) <= 0) {
        sim_fail(sim, "n%d: adopts %" PRIu64 "/%" PRId64 " after %" PRIu64 "/%" PRId64, node,
                 view->epoch.generation, view->epoch.pzxid, check->epoch[node].generation,
                 check->epoch[node].pzxid);
    }
    check->epoch[node] = view->epoch;
    uint64_t members = hash_members(view);
    for (size_t i = 0; i < check->adopted_count; i++) {
        const struct adopted *other = &check->adopted[i];
        if (other->era == check->era[node] && rh_epoch_compare(other->epoch, view->epoch) == 0) {
            if (other->members != members) {
                sim_fail(sim, "n%d: epoch %" PRIu64 "/%" PRId64 " has other members than at n%d",
                         node, view->epoch.generation, view->epoch.pzxid, other->node);
            }
            return;
        }
    }
    if (check->adopted_count == check->adopted_capacity) {
        check->adopted_capacity += 64;
        check->adopted = realloc(check->adopted, check->adopted_capacity * sizeof(*check->adopted));
        if (check->adopted == NULL) {
            abort();
        }
    }
    check->adopted[check->adopted_count++] = (struct adopted){
        .era = check->era[node], .epoch = view->epoch, .members = members, .node = node};
}

void sim_check_evicted(struct sim *sim, int node, struct rh_bytes data)
{
    struct rh_registration victim;
    struct rh_reason reason;
    if (rh_registration_decode(data, &victim, &reason) != 0) {
        return;
    }
    int index = sim_node_of(&victim);
    const struct sim_node *process = sim->nodes[index];
    bool alive = process->running && process->instance == victim.instance;
    if (alive && !sim_network_was_deceived(sim, node, index, victim.instance)) {
        sim_fail(sim, "n%d evicts n%d, which is alive", node, index);
    }
}

void sim_check_forgotten(struct sim *sim, int node)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *process = sim->nodes[i];
        const struct rh_view *view = process->running ? rh_core_view(process->core) : NULL;
        if (i != node && view != NULL && sim->nodes[node]->starts > 0 &&
            rh_view_has(view, sim->nodes[node]->id, sim->nodes[node]->instance)) {
            sim_fail(sim, "%s still has n%d in its view, which died a while ago", process->id,
                     node);
        }
    }
}

/* ---- channels ---- */

/* Whether |node|'s process owns |key| in the view of its core. While nobody has a weight nobody
 * owns anything, and who has a channel keeps it. */
static bool owns(const struct sim *sim, int node, const char *key)
{
    const struct sim_node *process = sim->nodes[node];
    const struct rh_view *view = rh_core_view(process->core);
    int owner = sim_node_owner(sim, view, key);
    if (owner != node) {
        return view != NULL && owner < 0;
    }
    return view->members[rh_view_find(view, process->id)].instance == process->instance;
}

static struct incarnation *incarnation_get(struct sim_check *check, uint64_t number)
{
    uint64_t index = map_get(&check->numbers, number, 0);
    return index == 0 ? NULL : &check->incarnations[index - 1];
}

static void incarnation_add(struct sim *sim, int node, const char *key, uint64_t number)
{
    struct sim_check *check = sim->check;
    if (check->incarnations_count == check->incarnations_capacity) {
        check->incarnations_capacity += 64;
        check->incarnations = realloc(check->incarnations,
                                      check->incarnations_capacity * sizeof(*check->incarnations));
        if (check->incarnations == NULL) {
            abort();
        }
    }
    /* While a node keeps a channel, it keeps its incarnation. */
    bool reclaims = sim->limits.channel_idle_ms < 60000;
    for (size_t i = 0; i < check->incarnations_count; i++) {
        const struct incarnation *other = &check->incarnations[i];
        if (!reclaims && other->node == node && other->instance == sim->nodes[node]->instance &&
            !other->ended && strcmp(other->key, key) == 0) {
            sim_fail(sim, "n%d: %s has another incarnation though it was not given away", node,
                     key);
        }
    }
    struct incarnation *incarnation = &check->incarnations[check->incarnations_count++];
    *incarnation = (struct incarnation){
        .number = number, .node = node, .instance = sim->nodes[node]->instance};
    (void)snprintf(incarnation->key, sizeof(incarnation->key), "%s", key);
    (void)map_put(&check->numbers, number, 0, check->incarnations_count);
}

void sim_check_served(struct sim *sim, int node, const char *key, uint64_t number)
{
    if (!owns(sim, node, key)) {
        sim_fail(sim, "n%d serves %s, which it does not own in its view", node, key);
    }
    const struct incarnation *incarnation = incarnation_get(sim->check, number);
    if (incarnation == NULL) {
        incarnation_add(sim, node, key, number);
        return;
    }
    if (incarnation->node != node || incarnation->instance != sim->nodes[node]->instance ||
        strcmp(incarnation->key, key) != 0) {
        sim_fail(sim, "incarnation %016" PRIx64 " of %s at n%d is also that of %s at n%d", number,
                 key, node, incarnation->key, incarnation->node);
    } else if (incarnation->ended) {
        sim_fail(sim, "incarnation %016" PRIx64 " of %s goes on at n%d, which gave it away", number,
                 key, node);
    }
}

void sim_check_moves_on(struct sim *sim)
{
    sim->check->moves++;
}

void sim_check_moved(struct sim *sim, int node, const char *key, uint64_t number)
{
    sim_check_moves_on(sim);
    if (sim->replicated) {
        sim_truth_moved(sim, node, key, number);
        return;
    }
    if (owns(sim, node, key)) {
        sim_fail(sim, "n%d gives %s away, which it still owns", node, key);
    }
    struct incarnation *incarnation = incarnation_get(sim->check, number);
    if (incarnation != NULL) {
        incarnation->ended = true;
    }
}

void sim_check_swept(struct sim *sim, int node)
{
    struct sim_check *check = sim->check;
    const struct sim_node *process = sim->nodes[node];
    if (sim->replicated || sim_node_owner(sim, rh_core_view(process->core), "any") < 0) {
        return; /* nobody owns anything: what is here stays */
    }
    for (size_t i = 0; i < check->incarnations_count; i++) {
        struct incarnation *incarnation = &check->incarnations[i];
        if (incarnation->node == node && incarnation->instance == process->instance &&
            !incarnation->ended && !owns(sim, node, incarnation->key)) {
            incarnation->ended = true;
        }
    }
    rh_list_each (&process->connections, link) {
        const struct sim_connection *connection =
            rh_container_of(link, struct sim_connection, link);
        enum rh_subscription_state state = connection->subscription.state;
        bool served = state == RH_SUBSCRIPTION_LIVE || state == RH_SUBSCRIPTION_REPLAYING ||
                      state == RH_SUBSCRIPTION_WAITING;
        if (served && !owns(sim, node, connection->key)) {
            sim_fail(sim, "n%d keeps a stream of %s, which it does not own", node, connection->key);
        }
    }
}

void sim_check_message(struct sim *sim, uint64_t number, uint64_t seq, uint64_t message)
{
    struct sim_check *check = sim->check;
    uint64_t there = map_put(&check->messages, number, seq, message + 1) - 1;
    if (there != message) {
        sim_fail(sim, "%016" PRIx64 ":%" PRIu64 " is m%" PRIu64 " and m%" PRIu64, number, seq,
                 there, message);
    }
    there = map_put(&check->seqs, number, message, seq);
    if (there != seq) {
        sim_fail(sim, "m%" PRIu64 " is %016" PRIx64 ":%" PRIu64 " and :%" PRIu64, message, number,
                 there, seq);
    }
}

/* ---- rest ---- */

static const char *unrest(struct sim *sim, const char *format, ...) RH_PRINTF(2, 3);

static const char *unrest(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sim->check->unrest, sizeof(sim->check->unrest), format, args);
    va_end(args);
    return sim->check->unrest;
}

static const char *members_unrest(struct sim *sim, const struct rh_registration *members,
                                  size_t count)
{
    size_t running = 0;
    for (int i = 0; i < sim->nodes_count; i++) {
        running += sim->nodes[i]->running;
    }
    for (size_t i = 0; i < count; i++) {
        const struct sim_node *node = sim->nodes[sim_node_of(&members[i])];
        if (!node->running || node->instance != members[i].instance) {
            return unrest(sim, "a registration of %s is left over", members[i].id);
        }
    }
    return count == running ? NULL
                            : unrest(sim, "%zu registrations of %zu processes", count, running);
}

static const char *node_unrest(struct sim *sim, const struct sim_node *node,
                               const struct rh_epoch *epoch, uint64_t members)
{
    const struct rh_view *view = rh_core_view(node->core);
    if (rh_membership_registration_state(node->machine) != RH_MEMBERSHIP_REGISTERED) {
        return unrest(sim, "%s is not registered", node->id);
    }
    if (view == NULL || rh_epoch_compare(view->epoch, *epoch) != 0) {
        return unrest(sim,
                      "%s is in epoch %" PRIu64 "/%" PRId64 ", ZooKeeper in %" PRIu64 "/%" PRId64,
                      node->id, view == NULL ? 0 : view->epoch.generation,
                      view == NULL ? 0 : view->epoch.pzxid, epoch->generation, epoch->pzxid);
    }
    if (hash_members(view) != members) {
        return unrest(sim, "%s has other members than ZooKeeper", node->id);
    }
    bool busy = sim->replicated && !sim_clients_have_finished(sim); /* something always waits */
    if (rh_core_is_sweeping(node->core) || (!busy && rh_core_stats(node->core)->pending > 0)) {
        return unrest(sim, "something is pending at %s", node->id);
    }
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        if (peer != node->index && sim->nodes[peer]->running &&
            !sim_network_is_up(sim, node->index, peer)) {
            return unrest(sim, "the link from %s to n%d is not up", node->id, peer);
        }
    }
    return NULL;
}

static const char *request_unrest(struct sim *sim, const struct sim_node *node)
{
    char path[48];
    struct rh_request request;
    struct rh_reason reason;
    (void)snprintf(path, sizeof(path), "/requests/%.16s", node->id);
    const char *data = sim_zookeeper_get(sim, path);
    if (data == NULL) {
        return NULL;
    }
    if (rh_request_decode(rh_bytes_text(data), &request, &reason) != 0) {
        return unrest(sim, "the request to %s is malformed: %s", node->id, reason.text);
    }
    if (request.state != RH_REQUEST_DONE && request.state != RH_REQUEST_FAILED) {
        return unrest(sim, "the request to %s is still %s", node->id,
                      rh_request_state_name(request.state));
    }
    return NULL;
}

static const char *nodes_unrest(struct sim *sim, const struct rh_view *truth)
{
    uint64_t members = hash_members(truth);
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        const char *what = NULL;
        if (node->running) {
            what = node_unrest(sim, node, &truth->epoch, members);
            what = what == NULL ? request_unrest(sim, node) : what;
        }
        if (what != NULL) {
            return what;
        }
    }
    return NULL;
}

/* Whether all nodes have the view that ZooKeeper has. */
static const char *views_unrest(struct sim *sim, const struct rh_shared_config *config,
                                const struct rh_registration *members, const int64_t *czxids,
                                size_t count)
{
    const struct rh_epoch epoch = {.generation = config->generation,
                                   .pzxid = sim_zookeeper_pzxid(sim)};
    struct rh_view *truth = NULL;
    if (rh_view_create(epoch, config, members, czxids, count, &truth) != 0) {
        abort();
    }
    const char *what = nodes_unrest(sim, truth);
    rh_view_give(truth);
    return what;
}

const char *sim_check_unrest(struct sim *sim)
{
    struct rh_shared_config config;
    struct rh_reason reason;
    const char *data = sim_zookeeper_get(sim, "/config");
    if (data == NULL || rh_shared_config_decode(rh_bytes_text(data), &config, NULL, &reason) != 0) {
        return "there is no config";
    }
    if (sim_zookeeper_raised(sim) > 1 + sim_zookeeper_era(sim)) {
        sim_fail(sim, "generation %" PRIu64 ", raised %u times though the data was lost %u times",
                 config.generation, sim_zookeeper_raised(sim), sim_zookeeper_era(sim));
    }
    size_t most = 2 * (size_t)sim->nodes_count + 8; /* some may be left over */
    struct rh_registration *members = calloc(most, sizeof(*members));
    int64_t *czxids = calloc(most, sizeof(*czxids));
    if (members == NULL || czxids == NULL) {
        abort();
    }
    size_t count = sim_zookeeper_members(sim, members, czxids, most);
    const char *what = members_unrest(sim, members, count);
    what = what == NULL ? views_unrest(sim, &config, members, czxids, count) : what;
    free(members);
    free(czxids);
    bool copies = sim->replicated && sim_clients_have_finished(sim);
    return what == NULL && copies ? sim_rest_unrest(sim) : what;
}

unsigned sim_check_era(const struct sim *sim, int node)
{
    return sim->check->era[node];
}

uint64_t sim_check_moves(const struct sim *sim)
{
    return sim->check->moves;
}

/* ---- life ---- */

void sim_check_create(struct sim *sim)
{
    size_t count = (size_t)sim->nodes_count;
    sim->check = calloc(1, sizeof(*sim->check));
    if (sim->check == NULL || (sim->check->era = calloc(count, sizeof(*sim->check->era))) == NULL ||
        (sim->check->epoch = calloc(count, sizeof(*sim->check->epoch))) == NULL) {
        abort();
    }
}

void sim_check_destroy(struct sim *sim)
{
    free(sim->check->messages.slots);
    free(sim->check->seqs.slots);
    free(sim->check->numbers.slots);
    free(sim->check->incarnations);
    free(sim->check->adopted);
    free(sim->check->era);
    free(sim->check->epoch);
    free(sim->check);
}
