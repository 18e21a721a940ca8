/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/run.h"

#include "base/units.h"
#include "drill/cluster.h"
#include "drill/load.h"
#include "drill/probe.h"
#include "drill/result.h"
#include "drill/rings.h"
#include "drill/settle.h"
#include "drill/show.h"

#include <assert.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBE_S       0.2    /* between rounds of questions */
#define TELL_S        0.1    /* from telling the load of a disturbance to making it */
#define START_MS      60000U /* for the cluster to settle at first */
#define CONNECT_MS    60000U /* for the clients to connect, and on top of it */
#define CONNECT_PER_S 500U   /* one second for so many */
#define SIGNALS       2
#define QUIET_SAMPLES 2 /* before it is believed that nobody moves any more */

/*
 *      starting --settled--> connecting --ready--> telling --> performing --> settling --> arriving
 *                                                     ^   \                                   |
 *                                                     |    `--> waiting ----------------------|
 *                                                     `------ next step ----------------------'
 *                                                                \-- none left, or a problem
 *                                                                 `--> finishing --> over
 */
enum phase {
    PHASE_STARTING,
    PHASE_CONNECTING,
    PHASE_TELLING,
    PHASE_PERFORMING,
    PHASE_WAITING,
    PHASE_SETTLING,
    PHASE_ARRIVING,
    PHASE_FINISHING,
    PHASE_OVER,
};

struct run {
    const struct rh_scenario *scenario;
    struct ev_loop *loop;
    struct rh_load *load;
    struct rh_cluster *cluster;
    struct rh_probe *probe;
    struct rh_rings rings;
    struct rh_result result;
    struct rh_show show;
    struct rh_histogram gaps; /* so far, for the show */
    enum phase phase;
    ev_timer timer;       /* of the phase: its end, or its bound */
    ev_timer probe_timer; /* begins rounds */
    ev_signal signals[SIGNALS];
    uint64_t rounds;          /* begun */
    uint64_t settle_round;    /* the first one that counts for settling */
    struct rh_reason missing; /* why it has not settled */
    unsigned quiet;           /* samples in a row in which all clients were where they should be */
    struct rh_result_step *step;
    uint64_t moved_before; /* rings.moved when the step began */
    uint64_t digest_before;
    json_t *ring_before;
    json_t *json;            /* the result */
    int rv;                  /* why there is none */
    struct rh_reason reason; /* likewise */
};

static void begin_step(struct run *run);

static void set_timer(struct run *run, double after_s)
{
    ev_timer_stop(run->loop, &run->timer);
    ev_timer_set(&run->timer, after_s, 0.0);
    ev_timer_start(run->loop, &run->timer);
}

/* It cannot go on. */
static void abandon(struct run *run, int rv, const char *why)
{
    if (run->phase != PHASE_OVER) {
        run->phase = PHASE_OVER;
        run->rv = rh_fail(&run->reason, rv, "%s", why);
        ev_break(run->loop, EVBREAK_ALL);
    }
}

static void finish(struct run *run)
{
    run->phase = PHASE_FINISHING;
    ev_timer_stop(run->loop, &run->timer);
    rh_show_doing(&run->show, "waiting for the last messages");
    rh_load_finish(run->load);
}

/* ---- what the load is told ---- */

static void tell_state(struct run *run, const char *id, enum rh_load_node_state state)
{
    const struct rh_cluster_node *node = rh_cluster_find(run->cluster, id);
    struct rh_reason reason;
    if (node->url[0] == '\0') {
        return; /* of a running cluster, and not seen yet */
    }
    int rv = rh_load_set_node(run->load, id, node->url, state, &reason);
    if (rv != 0) {
        abandon(run, rv, reason.text);
    }
}

/* All nodes as they are when nothing is under way. */
static void tell_rest(struct run *run)
{
    for (size_t i = 0; i < rh_cluster_nodes_count(run->cluster); i++) {
        const struct rh_cluster_node *node = rh_cluster_node(run->cluster, i);
        enum rh_load_node_state state = RH_LOAD_NODE_DOWN;
        if (node->running) {
            state = node->paused ? RH_LOAD_NODE_DISTURBED : RH_LOAD_NODE_UP;
        }
        tell_state(run, node->id, state);
    }
}

/* What a step may do to the nodes it is about. */
static void tell_step(struct run *run, const struct rh_step *step)
{
    for (size_t i = 0; i < step->nodes_count; i++) {
        switch (step->kind) {
        case RH_STEP_ADD:
        case RH_STEP_START:
        case RH_STEP_KILL:
        case RH_STEP_REMOVE:
            tell_state(run, step->nodes[i], RH_LOAD_NODE_DOWN);
            break;
        case RH_STEP_PAUSE:
        case RH_STEP_RESUME:
            tell_state(run, step->nodes[i], RH_LOAD_NODE_DISTURBED);
            break;
        case RH_STEP_WAIT:
        case RH_STEP_DRAIN:
        case RH_STEP_JOIN:
        case RH_STEP_WEIGHT:
        case RH_STEP_EXPIRE:
        case RH_STEP_ZOOKEEPER_STOP:
        case RH_STEP_ZOOKEEPER_START:
            break;
        }
    }
}

/* ---- steps ---- */

static const struct rh_step *current_step(const struct run *run)
{
    return &run->scenario->steps[run->result.steps_count - 1].step;
}

/* The end of a step, good or bad. */
static void end_step(struct run *run)
{
    struct rh_result_step *step = run->step;
    struct rh_load_step counted;
    bool changed = rh_ring_digest(run->rings.ring) != run->digest_before;
    step->epoch_after = run->rings.epoch;
    step->expected_moved = run->rings.moved - run->moved_before;
    if (changed || step->expected_moved > 0 || rh_step_changes_ring(step->kind)) {
        step->ring_before = run->ring_before;
        step->ring_after = rh_rings_json(&run->rings);
        run->ring_before = NULL;
    }
    json_decref(run->ring_before);
    run->ring_before = NULL;
    rh_load_step(run->load, step->number, &counted);
    rh_histogram_merge(&run->gaps, &counted.gap_us);
    rh_show_step(&run->show, step, &counted);
    if (step->problem.text[0] != '\0' || run->result.steps_count == run->scenario->steps_count) {
        finish(run);
    } else {
        begin_step(run);
    }
}

static void end_step_well(struct run *run)
{
    if (!run->step->ended) {
        run->step->ended = true;
        run->step->settled_ms = rh_load_now_ms(run->load);
    }
    tell_rest(run);
    if (run->phase != PHASE_OVER) {
        end_step(run);
    }
}

/* The cluster has settled. The clients may still be on their way, and what becomes of them is of this
 * step. */
static void await_clients(struct run *run)
{
    run->step->ended = true;
    run->step->settled_ms = rh_load_now_ms(run->load);
    run->phase = PHASE_ARRIVING;
    run->quiet = 0;
    set_timer(run, (double)run->scenario->settle_ms / 1000.0);
}

static void fail_step(struct run *run, const char *why)
{
    (void)rh_fail(&run->step->problem, RH_ERR_INVALID, "%s", why);
    end_step(run);
}

static bool needs_settling(const struct rh_step *step)
{
    return rh_step_changes_ring(step->kind) || step->kind == RH_STEP_EXPIRE ||
           step->kind == RH_STEP_ZOOKEEPER_START ||
           (step->kind == RH_STEP_PAUSE && step->duration_ms > 0);
}

static void settle(struct run *run, enum phase phase, uint32_t bound_ms)
{
    run->phase = phase;
    run->settle_round = run->rounds + 1;
    (void)snprintf(run->missing.text, sizeof(run->missing.text), "no node has answered yet");
    set_timer(run, (double)bound_ms / 1000.0);
}

/* The load knows what may happen: now it does. */
static void perform_step(struct run *run)
{
    const struct rh_step *step = current_step(run);
    if (step->kind == RH_STEP_WAIT) {
        run->phase = PHASE_WAITING;
        set_timer(run, (double)step->duration_ms / 1000.0);
        return;
    }
    run->phase = PHASE_PERFORMING;
    /* Somebody may never be done: a hook, a node that does not stop. */
    set_timer(run, (double)(run->scenario->settle_ms + step->duration_ms) / 1000.0);
    rh_cluster_perform(run->cluster, step);
}

static void begin_step(struct run *run)
{
    const struct rh_step *step = &run->scenario->steps[run->result.steps_count].step;
    struct rh_reason reason;
    run->step = rh_result_begin_step(&run->result, step);
    run->step->started_ms = rh_load_now_ms(run->load);
    run->step->number = rh_load_begin_step(run->load);
    run->step->epoch_before = run->rings.epoch;
    run->moved_before = run->rings.moved;
    run->digest_before = rh_ring_digest(run->rings.ring);
    run->ring_before = rh_rings_json(&run->rings);
    rh_show_doing(&run->show, "%s", step->text);
    if (rh_cluster_announce(run->cluster, step, &reason) != 0) {
        fail_step(run, reason.text);
        return;
    }
    run->phase = PHASE_TELLING;
    tell_step(run, step);
    if (run->phase != PHASE_OVER) {
        set_timer(run, step->kind == RH_STEP_WAIT ? 0.0 : TELL_S);
    }
}

static void on_performed(void *context, const struct rh_reason *failed)
{
    struct run *run = context;
    if (run->phase != PHASE_PERFORMING) {
        return;
    }
    if (failed != NULL) {
        fail_step(run, failed->text);
    } else if (needs_settling(current_step(run))) {
        settle(run, PHASE_SETTLING, run->scenario->settle_ms);
    } else {
        end_step_well(run);
    }
}

/* A process of ours ended. */
static void on_lost(void *context, const struct rh_reason *reason)
{
    struct run *run = context;
    if (run->phase == PHASE_STARTING || run->phase == PHASE_CONNECTING) {
        abandon(run, RH_ERR_CLOSED, reason->text);
        return;
    }
    rh_result_problem(&run->result, "%s", reason->text);
    if (run->phase != PHASE_FINISHING && run->phase != PHASE_OVER) {
        fail_step(run, reason->text);
    }
}

/* ---- phases ---- */

static void connect_all(struct run *run)
{
    uint32_t connections = run->scenario->load.connections;
    run->result.begin_ms = rh_load_now_ms(run->load);
    run->result.started_at_ms = (uint64_t)time(NULL) * 1000;
    run->result.nodes_count = rh_cluster_nodes_count(run->cluster);
    run->result.replicas = run->rings.replicas;
    run->show.begin_ms = run->result.begin_ms;
    run->phase = PHASE_CONNECTING;
    rh_show_line(&run->show, "%zu nodes are ready; %u clients connect to %u channels",
                 run->result.nodes_count, connections, run->scenario->load.channels);
    rh_show_doing(&run->show, "connecting");
    set_timer(run, CONNECT_MS / 1000.0 + (double)connections / CONNECT_PER_S);
    tell_rest(run);
}

static void on_ready(void *context)
{
    struct run *run = context;
    if (run->phase == PHASE_CONNECTING) {
        rh_show_line(&run->show, "%6.1f s  all are connected; publishers begin",
                     (double)(rh_load_now_ms(run->load) - run->show.begin_ms) / 1000.0);
        rh_load_publish(run->load, true);
        begin_step(run);
    }
}

/* The end of a wait, or of the patience with something. */
static void on_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int events RH_UNUSED)
{
    struct run *run = timer->data;
    struct rh_reason why;
    switch (run->phase) {
    case PHASE_STARTING:
        (void)rh_fail(&why, RH_ERR_TIMEOUT, "the cluster is not ready after %u s: %s",
                      START_MS / 1000, run->missing.text);
        abandon(run, RH_ERR_TIMEOUT, why.text);
        break;
    case PHASE_CONNECTING:
        (void)rh_fail(&why, RH_ERR_TIMEOUT, "not all clients could connect in time: %s",
                      rh_load_last_failure(run->load));
        abandon(run, RH_ERR_TIMEOUT, why.text);
        break;
    case PHASE_TELLING:
        perform_step(run);
        break;
    case PHASE_PERFORMING:
        fail_step(run, "it was not done in time");
        break;
    case PHASE_WAITING:
    case PHASE_ARRIVING: /* those who never do are counted at the end */
        end_step_well(run);
        break;
    case PHASE_SETTLING:
        (void)rh_fail(&why, RH_ERR_TIMEOUT, "not settled after %.0f s: %s",
                      (double)run->scenario->settle_ms / 1000.0, run->missing.text);
        fail_step(run, why.text);
        break;
    case PHASE_FINISHING:
    case PHASE_OVER:
        break;
    }
}

/* ---- questions to the nodes ---- */

/* Of a running cluster: its members, as it tells them. */
static void learn_members(struct run *run, const json_t *ring)
{
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(ring, "members"), i, member)
    {
        const char *id = json_string_value(json_object_get(member, "node"));
        const char *url = json_string_value(json_object_get(member, "url"));
        bool drained = json_number_value(json_object_get(member, "weight")) <= 0;
        const struct rh_cluster_node *known = id != NULL ? rh_cluster_find(run->cluster, id) : NULL;
        bool is_news = known == NULL || run->phase == PHASE_STARTING ||
                       (known->running && known->url[0] == '\0');
        int rv = 0;
        if (id != NULL && url != NULL && is_news) {
            rv = rh_cluster_learn(run->cluster, id, url, drained);
        }
        if (rv != 0) {
            abandon(run, rv,
                    rv == RH_ERR_FULL ? "the cluster has more nodes than a drill can have"
                                      : "the URL of a node is too long");
        }
    }
}

static void take_rings(struct run *run, const struct rh_probe_answer *answers, size_t count)
{
    struct rh_reason reason;
    for (size_t i = 0; i < count && run->phase != PHASE_OVER; i++) {
        if (answers[i].ring == NULL) {
            continue;
        }
        int rv = rh_rings_take(&run->rings, answers[i].ring, &reason);
        if (rv != 0) {
            abandon(run, rv, reason.text);
        } else if (!rh_cluster_is_local(run->cluster)) {
            learn_members(run, answers[i].ring);
        }
    }
}

static bool is_asked(const struct rh_cluster_node *node)
{
    return node->running && !node->paused;
}

/* Whether the round shows a cluster at rest. Its answers are about those who were asked, in order. */
static bool round_is_settled(struct run *run, const struct rh_probe_answer *answers, size_t count)
{
    struct rh_settle_node nodes[RH_PROBE_NODES_MAX];
    size_t nodes_count = 0;
    for (size_t i = 0; i < rh_cluster_nodes_count(run->cluster); i++) {
        const struct rh_cluster_node *node = rh_cluster_node(run->cluster, i);
        if (is_asked(node)) {
            nodes[nodes_count] = (struct rh_settle_node){.id = node->id,
                                                         .drained = node->drained,
                                                         .weight_milli = node->weight_milli,
                                                         .has_admin = node->admin[0] != '\0'};
            nodes_count++;
        }
    }
    bool same = nodes_count == count;
    for (size_t i = 0; i < count && same; i++) {
        same = strcmp(nodes[i].id, answers[i].id) == 0;
    }
    return same && rh_settled(nodes, answers, count, rh_cluster_zookeeper_stopped(run->cluster),
                              &run->missing);
}

static void on_round(void *context, const struct rh_probe_answer *answers, size_t count)
{
    struct run *run = context;
    take_rings(run, answers, count);
    bool waits = run->phase == PHASE_STARTING || run->phase == PHASE_SETTLING;
    if (!waits || run->rounds < run->settle_round || !round_is_settled(run, answers, count)) {
        return;
    }
    if (run->phase == PHASE_STARTING) {
        connect_all(run);
    } else {
        await_clients(run);
    }
}

static void on_probe_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int events RH_UNUSED)
{
    struct run *run = timer->data;
    /* Which nodes of a file run, is not known before one of them has told. */
    bool all = run->phase == PHASE_STARTING && !rh_cluster_is_local(run->cluster) &&
               run->rings.ring == NULL;
    if (rh_probe_busy(run->probe)) {
        return;
    }
    int rv = 0;
    for (size_t i = 0; i < rh_cluster_nodes_count(run->cluster) && rv == 0; i++) {
        const struct rh_cluster_node *node = rh_cluster_node(run->cluster, i);
        if (all || is_asked(node)) {
            rv = rh_probe_ask(run->probe, node->id, node->url, node->admin);
        }
    }
    if (rv != 0) {
        abandon(run, rv, rh_error_text(rv));
        return;
    }
    run->rounds++;
    rh_probe_begin(run->probe);
}

/* ---- what the load tells ---- */

static void on_notice(void *context, const char *text)
{
    struct run *run = context;
    rh_show_line(&run->show, "%s", text);
}

static void on_sample(void *context, const struct rh_load_sample *sample)
{
    struct run *run = context;
    if (run->phase < PHASE_CONNECTING) {
        return;
    }
    rh_result_sample(&run->result, sample);
    rh_show_sample(&run->show, run->load, sample, &run->gaps);
    if (run->phase == PHASE_ARRIVING) {
        bool quiet = sample->moved == 0 && sample->connected >= run->scenario->load.connections;
        run->quiet = quiet ? run->quiet + 1 : 0;
        if (run->quiet == QUIET_SAMPLES) {
            end_step_well(run);
        }
    }
}

static void on_finished(void *context, const struct rh_load_result *ledger)
{
    struct run *run = context;
    if (run->phase == PHASE_OVER) {
        return;
    }
    run->phase = PHASE_OVER;
    run->json = rh_result_json(&run->result, run->load, ledger);
    if (run->json == NULL) {
        run->rv = rh_fail(&run->reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    ev_break(run->loop, EVBREAK_ALL);
}

static void on_failed(void *context, const struct rh_reason *reason)
{
    abandon(context, RH_ERR_CLOSED, reason->text);
}

static const struct rh_load_callbacks load_callbacks = {
    .on_notice = on_notice,
    .on_ready = on_ready,
    .on_sample = on_sample,
    .on_finished = on_finished,
    .on_failed = on_failed,
};

/* ---- the whole ---- */

static void on_signal(struct ev_loop *loop RH_UNUSED, ev_signal *watcher, int events RH_UNUSED)
{
    abandon(watcher->data, RH_ERR_CLOSED, "interrupted, so nothing was judged");
}

/* The channels, so that rings can tell who should move. */
static int list_channels(struct run *run)
{
    uint32_t count = run->scenario->load.channels;
    run->rings.channels = calloc(count, sizeof(*run->rings.channels));
    if (run->rings.channels == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        char key[RH_LOAD_KEY_PREFIX + 16];
        struct rh_rings_channel *channel = &run->rings.channels[i];
        rh_load_key(run->load, i, key);
        channel->clients = rh_load_channel_clients(run->load, i);
        channel->key = strdup(key);
        if (channel->key == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        run->rings.channels_count++;
    }
    return 0;
}

/* The workers first: what they inherit is nothing yet. */
static int start_load(struct run *run)
{
    const struct rh_scenario *scenario = run->scenario;
    const struct rh_load_settings settings = {
        .channels_count = scenario->load.channels,
        .connections_count = scenario->load.connections,
        .rate = scenario->load.rate,
        .payload_size = scenario->load.payload_size,
        .workers_count = scenario->load.workers,
        .settle_ms = scenario->settle_ms,
    };
    int rv = rh_load_start(run->loop, &settings, &load_callbacks, run, &run->load, &run->reason);
    if (rv == 0 && list_channels(run) != 0) {
        rv = rh_fail(&run->reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    return rv;
}

static int start_cluster(struct run *run, const struct rh_config *config)
{
    const struct rh_cluster_options options = {.scenario = run->scenario,
                                               .config = config,
                                               .on_done = on_performed,
                                               .on_lost = on_lost,
                                               .context = run};
    int rv = rh_cluster_create(run->loop, &options, &run->cluster, &run->reason);
    if (rv == 0) {
        run->result.local = rh_cluster_is_local(run->cluster);
        rv = rh_probe_create(run->loop, on_round, run, &run->probe);
    }
    return rv;
}

static void watch(struct run *run)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < SIGNALS; i++) {
        ev_signal_init(&run->signals[i], on_signal, numbers[i]);
        run->signals[i].data = run;
        ev_signal_start(run->loop, &run->signals[i]);
    }
    ev_timer_init(&run->timer, on_timer, 0.0, 0.0);
    run->timer.data = run;
    ev_timer_init(&run->probe_timer, on_probe_timer, 0.0, PROBE_S);
    run->probe_timer.data = run;
}

static int start(struct run *run, const struct rh_drill_options *options)
{
    int rv = rh_result_init(&run->result, run->scenario);
    if (rv != 0) {
        return rh_fail(&run->reason, rv, "%s", rh_error_text(rv));
    }
    run->rings.seed = options->config != NULL ? options->config->ring.seed : 0;
    rv = start_load(run);
    if (rv == 0) {
        rv = start_cluster(run, options->config);
    }
    if (rv == 0) {
        ev_timer_start(run->loop, &run->probe_timer);
        rh_show_doing(&run->show, "starting");
        settle(run, PHASE_STARTING, START_MS);
    }
    return rv;
}

static void stop(struct run *run, bool keep)
{
    rh_show_finish(&run->show);
    rh_load_stop(run->load);
    rh_probe_destroy(run->probe);
    if (keep && run->cluster != NULL) {
        rh_show_line(&run->show, "the files of the cluster are in %s",
                     rh_cluster_folder(run->cluster));
    }
    rh_cluster_destroy(run->cluster, keep);
    json_decref(run->ring_before);
    rh_rings_finish(&run->rings);
    rh_result_finish(&run->result);
    ev_timer_stop(run->loop, &run->timer);
    ev_timer_stop(run->loop, &run->probe_timer);
    for (size_t i = 0; i < SIGNALS; i++) {
        ev_signal_stop(run->loop, &run->signals[i]);
    }
    ev_loop_destroy(run->loop);
}

int rh_drill_run(const struct rh_drill_options *options, json_t **ret_result,
                 struct rh_reason *reason)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    run->scenario = options->scenario;
    /* Not the default loop, which would take the ends of all children for itself. */
    run->loop = ev_loop_new(EVFLAG_AUTO);
    if (run->loop == NULL) {
        free(run);
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    rh_show_init(&run->show);
    watch(run);
    int rv = start(run, options);
    if (rv == 0) {
        ev_run(run->loop, 0);
        rv = run->rv;
    }
    stop(run, options->keep);
    if (rv == 0) {
        *ret_result = run->json;
    } else {
        json_decref(run->json);
        *reason = run->reason;
    }
    free(run);
    return rv;
}
