/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_scale.h"

#include "node/core_inspect.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_faults.h"
#include "tests/simulator_node.h"
#include "tests/simulator_zookeeper.h"

#include <inttypes.h>
#include <string.h>

#define VIEWS_SHOWN_MAX 6U
#define STARTED_MS      120000U /* from nothing to a cluster at rest */
#define WEIGHTY_MS      10000U /* as long as a newcomer may have to wait for its weight, and more */
#define FILLED_MS       60000U
#define CHANGED_MS      600000U
#define IDLE_MS         10000U
#define OUTAGE_MS       12000U
#define LOOK_MS         10U
#define GATHER_MS       1500U /* by then all are about to register */

static const struct {
    const char *name;
    const char *text;
} changes[] = {[SIM_CHANGE_NONE] = {"none", "a plan of faults"},
#define SIM_CHANGE_ROW(name, text, what) [SIM_CHANGE_##name] = {text, what},
               SIM_CHANGE_MAP(SIM_CHANGE_ROW)
#undef SIM_CHANGE_ROW
};

enum sim_change sim_change_find(const char *name)
{
    for (int i = SIM_CHANGE_NONE + 1; i < SIM_CHANGES; i++) {
        if (strcmp(changes[i].name, name) == 0) {
            return (enum sim_change)i;
        }
    }
    return SIM_CHANGE_NONE;
}

const char *sim_change_name(enum sim_change change)
{
    return changes[change].name;
}

const char *sim_change_text(enum sim_change change)
{
    return changes[change].text;
}

/* ---- the change ---- */

/* Whom it is about: the last one, which for a join does not run before. */
static int subject(const struct sim *sim)
{
    return sim->nodes_count - 1;
}

static bool has_weight(const struct sim *sim, int index)
{
    const struct sim_node *node = sim->nodes[index];
    const struct rh_view *view = node->running ? rh_core_view(node->core) : NULL;
    uint32_t at = view == NULL ? RH_RING_NONE : rh_view_find(view, node->id);
    return at != RH_RING_NONE && view->members[at].weight_milli > 0;
}

static void begin(struct sim *sim)
{
    switch (sim->options.change) {
    case SIM_CHANGE_JOIN:
        sim_node_start(sim, subject(sim));
        return;
    case SIM_CHANGE_DRAIN:
        sim_faults_drain(sim, subject(sim));
        return;
    case SIM_CHANGE_CRASH:
        sim_node_crash(sim, subject(sim));
        return;
    case SIM_CHANGE_STOP:
        sim_node_terminate(sim, subject(sim));
        return;
    case SIM_CHANGE_OUTAGE:
        sim_zookeeper_stop(sim);
        sim_run_until(sim, sim->now_ms + OUTAGE_MS);
        sim_zookeeper_start(sim);
        return;
    case SIM_CHANGE_EXPIRE:
        for (int i = 0; i < sim->nodes_count; i++) {
            sim_zookeeper_expire(sim, i);
        }
        return;
    case SIM_CHANGE_IDLE:
        sim_run_until(sim, sim->now_ms + IDLE_MS);
        return;
    case SIM_CHANGE_NONE:
    case SIM_CHANGES:
        return;
    }
}

/* Whether what comes after the beginning has come: rest before that means nothing. |pzxid| is that of
 * the beginning. */
static bool is_done(const struct sim *sim, int64_t pzxid)
{
    const struct sim_node *node = sim->nodes[subject(sim)];
    switch (sim->options.change) {
    case SIM_CHANGE_JOIN:
        return has_weight(sim, node->index);
    case SIM_CHANGE_DRAIN:
        return !has_weight(sim, node->index);
    case SIM_CHANGE_STOP:
        return !node->running;
    case SIM_CHANGE_CRASH:
        return sim_zookeeper_pzxid(sim) != pzxid;
    case SIM_CHANGE_NONE:
    case SIM_CHANGE_IDLE:
    case SIM_CHANGE_OUTAGE:
    case SIM_CHANGE_EXPIRE:
    case SIM_CHANGES:
        return true;
    }
    return true;
}

/* ---- what it took ---- */

static bool all_adopted(const struct sim *sim, int64_t begin_pzxid)
{
    (void)begin_pzxid;
    int64_t pzxid = sim_zookeeper_pzxid(sim);
    for (int i = 0; i < sim->nodes_count; i++) {
        if (sim->nodes[i]->running && sim->nodes[i]->epoch.pzxid != pzxid) {
            return false;
        }
    }
    return true;
}

/* Every node is in the epoch that it will stay in, and that is recorded. */
static bool all_recorded(const struct sim *sim, int64_t begin_pzxid)
{
    (void)begin_pzxid;
    for (int i = 0; i < sim->nodes_count; i++) {
        struct rh_core_inside inside;
        if (sim->nodes[i]->running) {
            rh_core_inside(sim->nodes[i]->core, &inside);
            if (!inside.recorded) {
                return false;
            }
        }
    }
    return true;
}

typedef bool sim_question(const struct sim *sim, int64_t begin_pzxid);

static uint64_t run_until(struct sim *sim, sim_question *is_so, int64_t pzxid, const char *what)
{
    uint64_t begin_ms = sim->now_ms;
    while (!sim->failed && !is_so(sim, pzxid)) {
        sim_run_until(sim, sim->now_ms + LOOK_MS);
        if (!sim->failed && sim->now_ms - begin_ms > CHANGED_MS) {
            sim_fail(sim, "%s: not after %u s", what, CHANGED_MS / 1000);
        }
    }
    return sim->now_ms;
}

/* Every channel that was filled acts at its ring owner; sim_rest() has seen to all else. */
static void check_filled(struct sim *sim)
{
    for (unsigned i = 0; i < sim->limits.crowd; i++) {
        struct rh_copy_info info;
        int owner = sim_clients_crowd_owner(sim, i);
        if (owner < 0 || !sim_clients_crowd_copy(sim, owner, i, &info) ||
            info.role != RH_ROLE_ACTING || info.group_count != sim->replicas || info.commit == 0) {
            sim_fail(sim, "channel %u of the crowd is not at its owner with %u copies", i,
                     sim->replicas);
            return;
        }
    }
}

/* A view is as long as the cluster is large: a node is shown a few for each that it adopts, however
 * many peers have adopted it before. */
static void check_counts(struct sim *sim)
{
    uint64_t shown = sim->counts.messages[RH_PEER_VIEW].times;
    if (shown > VIEWS_SHOWN_MAX * sim->counts.views.times) {
        sim_fail(sim, "%" PRIu64 " views are shown, and %" PRIu64 " adopted", shown,
                 sim->counts.views.times);
    }
}

uint64_t sim_scale_run(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        sim_node_start(sim, i);
    }
    sim_zookeeper_gather(sim, GATHER_MS);
    sim_rest(sim, false, STARTED_MS, "at the start");
    if (sim->options.change == SIM_CHANGE_JOIN) { /* into a cluster that has seen others go */
        sim_node_terminate(sim, subject(sim));
    }
    sim_run_until(sim, sim->now_ms + WEIGHTY_MS);
    sim_clients_finish_publishing(sim);
    sim_clients_crowd(sim);
    sim_rest(sim, true, FILLED_MS, "with its channels");
    sim->counts = (struct sim_counts){0};
    uint64_t begin_ms = sim->now_ms;
    sim_trace(sim, "change: %s", sim_change_name(sim->options.change));
    int64_t pzxid = sim_zookeeper_pzxid(sim);
    begin(sim);
    (void)run_until(sim, is_done, pzxid, "the change");
    uint64_t adopted_ms = run_until(sim, all_adopted, pzxid, "the view");
    uint64_t recorded_ms = run_until(sim, all_recorded, pzxid, "the record");
    sim_rest(sim, true, CHANGED_MS, "after the change");
    uint64_t rest_ms = sim->now_ms - begin_ms;
    if (sim->options.report != NULL && !sim->failed) {
        FILE *out = sim->options.report;
        (void)fprintf(out,
                      "%s, %d nodes, %u channels, %u copies: %s\n"
                      "adopted by all after %" PRIu64 " ms, recorded %" PRIu64
                      " ms, at rest %" PRIu64 " ms\n",
                      sim_change_name(sim->options.change), sim->nodes_count, sim->limits.crowd,
                      sim->replicas, sim_change_text(sim->options.change), adopted_ms - begin_ms,
                      recorded_ms - begin_ms, rest_ms);
        sim_counts_print(&sim->counts, sim->nodes_count, out);
    }
    if (!sim->failed) {
        check_counts(sim);
        check_filled(sim);
    }
    sim_clients_publish_last(sim);
    sim_rest(sim, true, FILLED_MS, "at the end");
    return rest_ms;
}
