/* SPDX-License-Identifier: Apache-2.0 */

/* One whole run, in its phases: start, faults, healing, the last messages. */

#include "tests/simulator_check.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_faults.h"
#include "tests/simulator_network.h"
#include "tests/simulator_relay.h"
#include "tests/simulator_rest.h"
#include "tests/simulator_scale.h"
#include "tests/simulator_states.h"
#include "tests/simulator_topics.h"
#include "tests/simulator_truth.h"
#include "tests/simulator_zookeeper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STARTED_MS 30000U  /* from nothing to a cluster at rest */
#define HEALED_MS  45000U  /* from the last fault to a cluster at rest */
#define MANY_MS    120000U /* likewise with many nodes and channels, which move at their pace */
#define LAST_MS    20000U  /* until everybody has the last messages */
#define LEFT_MS \
    (SIM_PRESENCE_MOVE_MS + SIM_PRESENCE_GRACE_MS) /* and from the last move to the last leave */
#define LOOK_MS     200U
#define SETTLED_MS  3000U  /* clients have found their nodes */
#define WEIGHTY_MS  10000U /* newcomers have their weight, and their channels */
#define ROUNDS_REST 2

typedef const char *unrest_function(struct sim *sim);

/* Runs until |unrest| has nothing to say, and again nothing a moment later. A network that is slower by
 * one time may take longer by a third. */
static void run_to_rest(struct sim *sim, unrest_function *unrest, uint64_t bound_ms,
                        const char *phase)
{
    bound_ms += bound_ms * (sim->slowness - 1) / 3;
    uint64_t until_ms = sim->now_ms + bound_ms;
    unsigned quiet = 0;
    while (!sim->failed && quiet < ROUNDS_REST) {
        sim_run_until(sim, sim->now_ms + LOOK_MS);
        const char *what = sim->failed ? NULL : unrest(sim);
        quiet = what == NULL ? quiet + 1 : 0;
        if (what != NULL && sim->now_ms >= until_ms) {
            sim_fail(sim, "no rest %s after %" PRIu64 " s: %s", phase, bound_ms / 1000, what);
        }
    }
    sim_trace(sim, "at rest %s", phase);
}

static const char *all_unrest(struct sim *sim)
{
    sim_faults_give_weight(sim);
    sim_faults_recover(sim);
    const char *what = sim_check_unrest(sim);
    what = what == NULL ? sim_clients_unrest(sim) : what;
    what = what == NULL ? sim_topics_unrest(sim) : what;
    return what == NULL ? sim_relay_unrest(sim) : what;
}

/* R is no random number of the run, so that a seed has the same plan whatever R is. */
static uint32_t replicas_of(const struct sim_options *options)
{
    static const uint32_t choice[] = {2, 1, 3, 2};
    return options->replicas == SIM_REPLICAS_ANY ? choice[options->seed / 7 % 4]
                                                 : (uint32_t)options->replicas;
}

void sim_create(struct sim *sim, const struct sim_options *options, int nodes_count)
{
    *sim = (struct sim){.options = *options,
                        .random = options->seed,
                        .scripted = nodes_count > 0,
                        .wide = options->nodes > 0,
                        .slowness = 1,
                        .nodes_count = nodes_count,
                        .replicas = replicas_of(options),
                        .present = options->present,
                        .watching = options->relay};
    sim->replicated = sim->replicas > 0;
    sim_places_create(sim);
    sim_faults_create(sim);
    sim->steady = sim_faults_are_apart(sim);
    sim->steady |= options->change != SIM_CHANGE_NONE;
    if (!sim->steady && sim_chance(sim, 250)) {
        sim->slowness = sim_between(sim, 2, 10);
    }
    sim->limits.log_messages = 1U << sim_between(sim, 2, 7);
    sim->limits.log_age_ms = sim_chance(sim, 200) ? 3000 : 3600000;
    sim->limits.pending_max = !sim->steady && sim_chance(sim, 100) ? 3 : 1000;
    unsigned crowd = sim->replicated ? 60 : 1500;
    sim->limits.crowd = sim_chance(sim, 20) ? crowd : 0;
    if (sim->replicated && sim_chance(sim, 60)) { /* syncs in several parts */
        sim->limits.padding = 900;
        sim->limits.log_messages = 256;
    }
    static const uint32_t batch_sizes[] = {64, 8192, 2000};
    sim->limits.batch_size = batch_sizes[options->relay ? sim_below(sim, 3) : 0];
    sim->limits.channel_idle_ms = sim_chance(sim, 200) ? 2000 : 3600000;
    if (sim->wide) {
        sim->limits.crowd = options->channels;
        sim->limits.padding = 0;
        sim->limits.channel_idle_ms = 3600000;
    }
    sim->nodes = calloc((size_t)sim->nodes_count, sizeof(*sim->nodes));
    if (sim->nodes == NULL) {
        abort();
    }
    for (int i = 0; i < sim->nodes_count; i++) {
        bool twin = !sim->steady && i > 1 && !sim->wide && sim_chance(sim, 60);
        int id = twin ? (int)sim_below(sim, (uint64_t)i) : i;
        sim_node_create(sim, i, id, sim_chance(sim, 200) ? 500 : 1000);
    }
    sim_check_create(sim);
    if (sim->replicated) {
        sim_truth_create(sim);
    }
    sim->zookeeper = sim_zookeeper_create(sim);
    sim->network = sim_network_create(sim);
    sim_clients_create(sim);
    sim_states_create(sim);
    sim_topics_create(sim);
}

void sim_destroy(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        sim_node_destroy(sim, i);
    }
    while (sim->queue_count > 0) {
        free(sim->queue[--sim->queue_count]);
    }
    free(sim->queue);
    sim_clients_destroy(sim);
    sim_states_destroy(sim);
    sim_topics_destroy(sim);
    sim_network_destroy(sim->network);
    sim_zookeeper_destroy(sim->zookeeper);
    sim_check_destroy(sim);
    sim_truth_destroy(sim);
    sim_faults_destroy(sim);
    free(sim->nodes);
    sim_places_destroy(sim);
}

void sim_rest(struct sim *sim, bool clients, uint64_t bound_ms, const char *phase)
{
    run_to_rest(sim, clients ? all_unrest : sim_check_unrest, bound_ms, phase);
}

static void run_phases(struct sim *sim, uint64_t *ret_rest_ms)
{
    /* In the mean half of the nodes are there from the beginning; START faults bring others. */
    for (int i = 0; i < sim->nodes_count; i++) {
        if (i < 2 || sim_faults_are_apart(sim) || sim_chance(sim, 700)) {
            sim_node_start(sim, i);
        }
    }
    sim_rest(sim, false, STARTED_MS, "at the start");
    uint64_t moves = sim_check_moves(sim);
    uint64_t settled_ms = sim->replicated ? WEIGHTY_MS : SETTLED_MS;
    sim_run_until(sim, sim->now_ms + (sim_faults_are_apart(sim) ? settled_ms : 0));
    if (sim->replicated ||
        sim->options.relay) { /* what those have who came first moves until then */
        moves = sim_check_moves(sim);
    }
    sim_clients_expect_calm(sim, sim_faults_is_calm(sim));
    sim_clients_crowd(sim);
    sim_states_begin(sim);
    sim_topics_begin(sim);
    uint64_t end_ms = sim_faults_begin(sim);
    sim_run_until(sim, end_ms);
    if (sim->failed) {
        return;
    }
    sim_trace(sim, "faults are over");
    sim_clients_expect_calm(sim, false);
    sim_faults_heal(sim);
    sim_clients_finish_publishing(sim);
    sim_states_end(sim);
    sim_rest(sim, true, sim->wide ? MANY_MS : HEALED_MS, "after the faults");
    *ret_rest_ms = sim->now_ms - end_ms;
    if (sim->failed) {
        return;
    }
    if (sim_faults_is_calm(sim) && sim_check_moves(sim) != moves) {
        sim_fail(sim, "%" PRIu64 " streams were moved for nothing", sim_check_moves(sim) - moves);
    }
    sim_clients_publish_last(sim);
    sim_rest(sim, true, sim->present ? LAST_MS + LEFT_MS : LAST_MS, "at the end");
    sim_topics_finish(sim);
}

void sim_run_once(const struct sim_options *options, struct sim_result *ret_result)
{
    struct sim sim;
    sim_create(&sim, options, 0);
    sim_trace(&sim, "seed %" PRIu64 ", profile %s, %d nodes, %zu faults", options->seed,
              sim_faults_profile(&sim), sim.nodes_count, sim_faults_count(&sim));
    uint64_t rest_ms = 0;
    if (options->change != SIM_CHANGE_NONE) {
        rest_ms = sim_scale_run(&sim);
    } else {
        run_phases(&sim, &rest_ms);
    }
    if (sim.failed && sim.replicated && sim.options.trace != NULL) {
        sim_rest_trace(&sim);
    }
    *ret_result = (struct sim_result){
        .rest_ms = rest_ms,
        .failed = sim.failed,
        .profile = sim_faults_profile(&sim),
        .faults = sim_faults_count(&sim),
        .steps = sim.steps,
        .virtual_ms = sim.now_ms,
        .messages = sim_clients_received(&sim),
    };
    memcpy(ret_result->failure, sim.failure, sizeof(ret_result->failure));
    sim_destroy(&sim);
}
