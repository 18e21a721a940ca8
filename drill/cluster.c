/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/cluster.h"

#include "base/units.h"
#include "cli/url.h"
#include "drill/local.h"
#include "drill/process.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS_LOG "commands.log"

/* A command that is part of the step under way. */
struct command {
    struct rh_cluster *cluster;
    char name[RH_STEP_NODE_SIZE + 32]; /* "drain n2" */
    struct rh_process *process;
};

struct rh_cluster {
    struct ev_loop *loop;
    struct rh_cluster_options options;
    char folder[RH_LOCAL_PATH_SIZE];
    char self[RH_PROCESS_PATH_SIZE]; /* this program */
    struct rh_local *local;          /* NULL: a running cluster */
    struct rh_cluster_node nodes[RH_PLOT_NODES_MAX];
    size_t nodes_count;
    bool zookeeper_stopped;

    /* The step under way. */
    struct rh_step step;
    bool performing;
    struct command commands[RH_STEP_NODES_MAX];
    size_t commands_count;
    size_t pending; /* commands and stops that are not done yet */
    struct rh_reason failed;
    ev_timer
        timer; /* end of a pause or of a cut; end of a step, so that on_done() comes from the loop */
};

static void begin(struct rh_cluster *cluster, enum rh_step_kind kind);

/* ---- nodes ---- */

size_t rh_cluster_nodes_count(const struct rh_cluster *cluster)
{
    return cluster->nodes_count;
}

const struct rh_cluster_node *rh_cluster_node(const struct rh_cluster *cluster, size_t index)
{
    return &cluster->nodes[index];
}

/* nodes_count: there is none. */
static size_t index_of(const struct rh_cluster *cluster, const char *id)
{
    size_t i = 0;
    while (i < cluster->nodes_count && strcmp(cluster->nodes[i].id, id) != 0) {
        i++;
    }
    return i;
}

static struct rh_cluster_node *find(struct rh_cluster *cluster, const char *id)
{
    size_t index = index_of(cluster, id);
    return index < cluster->nodes_count ? &cluster->nodes[index] : NULL;
}

static struct rh_cluster_node *announced(struct rh_cluster *cluster, const char *id)
{
    struct rh_cluster_node *node = find(cluster, id);
    assert(node != NULL);
    return node;
}

const struct rh_cluster_node *rh_cluster_find(const struct rh_cluster *cluster, const char *id)
{
    size_t index = index_of(cluster, id);
    return index < cluster->nodes_count ? &cluster->nodes[index] : NULL;
}

static struct rh_cluster_node *add(struct rh_cluster *cluster, const char *id)
{
    if (cluster->nodes_count == RH_PLOT_NODES_MAX) {
        return NULL;
    }
    struct rh_cluster_node *node = &cluster->nodes[cluster->nodes_count];
    cluster->nodes_count++;
    *node = (struct rh_cluster_node){.running = false};
    (void)snprintf(node->id, sizeof(node->id), "%.64s", id);
    return node;
}

static void set_url(char out[static RH_CLUSTER_URL_SIZE], const char *address)
{
    (void)snprintf(out, RH_CLUSTER_URL_SIZE, "http://%s", address);
}

int rh_cluster_learn(struct rh_cluster *cluster, const char *id, const char *url, bool drained)
{
    struct rh_cluster_node *node = find(cluster, id);
    if (node == NULL) {
        node = add(cluster, id);
    }
    if (node == NULL) {
        return RH_ERR_FULL;
    }
    node->running = true;
    node->drained = drained;
    return rh_url_to_http(url, node->url, sizeof(node->url));
}

bool rh_cluster_zookeeper_stopped(const struct rh_cluster *cluster)
{
    return cluster->zookeeper_stopped;
}

bool rh_cluster_is_local(const struct rh_cluster *cluster)
{
    return cluster->local != NULL;
}

const char *rh_cluster_folder(const struct rh_cluster *cluster)
{
    return cluster->folder;
}

/* ---- the end of a step ---- */

static void on_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int events RH_UNUSED)
{
    struct rh_cluster *cluster = timer->data;
    bool failed = cluster->failed.text[0] != '\0';
    if (!failed && cluster->step.kind == RH_STEP_PAUSE && cluster->step.duration_ms > 0) {
        cluster->step.kind = RH_STEP_RESUME; /* the rest of the step */
        begin(cluster, RH_STEP_RESUME);
        return;
    }
    cluster->performing = false;
    cluster->options.on_done(cluster->options.context, failed ? &cluster->failed : NULL);
}

/* All parts are done: what remains is to let some time pass, or nothing. */
static void conclude(struct rh_cluster *cluster)
{
    bool pauses = cluster->step.kind == RH_STEP_PAUSE && cluster->failed.text[0] == '\0';
    uint32_t after_ms = pauses ? cluster->step.duration_ms : 0;
    ev_timer_set(&cluster->timer, (double)after_ms / 1000.0, 0.0);
    ev_timer_start(cluster->loop, &cluster->timer);
}

/* One part of the step is done. */
static void finish_part(struct rh_cluster *cluster)
{
    assert(cluster->pending > 0);
    cluster->pending--;
    if (cluster->pending == 0) {
        conclude(cluster);
    }
}

/* ---- commands ---- */

static void on_command_end(void *context, struct rh_process *process)
{
    struct command *command = context;
    struct rh_cluster *cluster = command->cluster;
    if (!rh_process_succeeded(process) && cluster->failed.text[0] == '\0') {
        char end[RH_PROCESS_END_SIZE];
        char path[RH_LOCAL_PATH_SIZE + sizeof(COMMANDS_LOG)];
        char line[160];
        (void)snprintf(path, sizeof(path), "%s/" COMMANDS_LOG, cluster->folder);
        rh_local_last_line(path, line, sizeof(line));
        rh_process_end_text(process, end);
        (void)rh_fail(&cluster->failed, RH_ERR_REFUSED, "%s: %s%s%s", command->name, end,
                      line[0] != '\0' ? ": " : "", line);
    }
    rh_process_destroy(process);
    command->process = NULL;
    finish_part(cluster);
}

/* The command for |node| ("": for none). Gives its environment what a hook may want to know. */
static int run_command(struct rh_cluster *cluster, enum rh_step_kind kind, const char *node,
                       const char *const *arguments, struct rh_reason *reason)
{
    struct command *command = &cluster->commands[cluster->commands_count];
    char log[RH_LOCAL_PATH_SIZE + sizeof(COMMANDS_LOG)];
    char step_text[64];
    char node_text[RH_STEP_NODE_SIZE + 32];
    char weight[RH_WEIGHT_TEXT_SIZE];
    char weight_text[64];
    char seconds_text[64];
    (void)snprintf(log, sizeof(log), "%s/" COMMANDS_LOG, cluster->folder);
    (void)snprintf(step_text, sizeof(step_text), "RINGHOP_DRILL_STEP=%s", rh_step_kind_name(kind));
    (void)snprintf(node_text, sizeof(node_text), "RINGHOP_DRILL_NODE=%s", node);
    rh_weight_format(cluster->step.weight_milli, weight);
    (void)snprintf(weight_text, sizeof(weight_text), "RINGHOP_DRILL_WEIGHT=%s", weight);
    (void)snprintf(seconds_text, sizeof(seconds_text), "RINGHOP_DRILL_MS=%u",
                   cluster->step.duration_ms);
    const char *const environment[] = {step_text, node_text, weight_text, seconds_text, NULL};
    const struct rh_process_options options = {.arguments = arguments,
                                               .environment = environment,
                                               .log_path = log,
                                               .on_end = on_command_end,
                                               .context = command};
    *command = (struct command){.cluster = cluster};
    (void)snprintf(command->name, sizeof(command->name), "%s%s%s", rh_step_kind_name(kind),
                   node[0] != '\0' ? " " : "", node);
    int rv = rh_process_start(cluster->loop, &options, &command->process, reason);
    if (rv == 0) {
        cluster->commands_count++;
        cluster->pending++;
    }
    return rv;
}

static int run_hook(struct rh_cluster *cluster, enum rh_step_kind kind, const char *node,
                    struct rh_reason *reason)
{
    const char *const arguments[] = {"/bin/sh", "-c", cluster->options.scenario->hooks[kind], NULL};
    return run_command(cluster, kind, node, arguments, reason);
}

/* drain, join and weight, by a request in ZooKeeper: `ringhop drain n2 --wait`. */
static int run_request(struct rh_cluster *cluster, enum rh_step_kind kind, const char *node,
                       struct rh_reason *reason)
{
    char weight[RH_WEIGHT_TEXT_SIZE];
    char timeout[32];
    rh_weight_format(cluster->step.weight_milli, weight);
    (void)snprintf(timeout, sizeof(timeout), "%ums", cluster->options.scenario->settle_ms);
    const char *config = cluster->local != NULL ? rh_local_config_path(cluster->local)
                                                : cluster->options.config->path;
    const char *const arguments[] = {
        cluster->self, "--config", config,
        "--timeout",   timeout,    rh_step_kind_name(kind),
        "--wait",      node,       kind == RH_STEP_WEIGHT ? weight : NULL,
        NULL};
    return run_command(cluster, kind, node, arguments, reason);
}

/* ---- steps ---- */

static void on_lost(void *context, const struct rh_reason *reason)
{
    struct rh_cluster *cluster = context;
    cluster->options.on_lost(cluster->options.context, reason);
}

/* A node has stopped, or its session is over: is that what the step waits for? */
static void finish_node(struct rh_cluster *cluster, enum rh_step_kind kind)
{
    if (cluster->performing && cluster->step.kind == kind && cluster->pending > 0) {
        finish_part(cluster);
    }
}

static void on_stopped(void *context, const char *id RH_UNUSED)
{
    finish_node(context, RH_STEP_REMOVE);
}

static void on_expired(void *context, const char *id RH_UNUSED)
{
    finish_node(context, RH_STEP_EXPIRE);
}

/* Takes down what the step makes of a node. */
static void note(struct rh_cluster_node *node, enum rh_step_kind kind)
{
    switch (kind) {
    case RH_STEP_ADD:
    case RH_STEP_START:
        node->running = true;
        node->paused = false;
        break;
    case RH_STEP_REMOVE:
    case RH_STEP_KILL:
        node->running = false;
        node->paused = false;
        break;
    case RH_STEP_DRAIN:
    case RH_STEP_JOIN:
        node->drained = kind == RH_STEP_DRAIN;
        break;
    case RH_STEP_PAUSE:
    case RH_STEP_RESUME:
        node->paused = kind == RH_STEP_PAUSE;
        break;
    case RH_STEP_WEIGHT:
    case RH_STEP_EXPIRE:
    case RH_STEP_WAIT:
    case RH_STEP_ZOOKEEPER_STOP:
    case RH_STEP_ZOOKEEPER_START:
        break;
    }
}

static int act_local(struct rh_cluster *cluster, enum rh_step_kind kind, const char *id,
                     struct rh_reason *reason)
{
    switch (kind) {
    case RH_STEP_ADD:
    case RH_STEP_START:
        return rh_local_start(cluster->local, id, reason);
    case RH_STEP_REMOVE:
        cluster->pending++;
        rh_local_stop(cluster->local, id);
        return 0;
    case RH_STEP_KILL:
        rh_local_kill(cluster->local, id);
        return 0;
    case RH_STEP_PAUSE:
        rh_local_pause(cluster->local, id);
        return 0;
    case RH_STEP_RESUME:
        rh_local_resume(cluster->local, id);
        return 0;
    case RH_STEP_EXPIRE:
        cluster->pending++;
        rh_local_expire(cluster->local, id);
        return 0;
    case RH_STEP_DRAIN:
    case RH_STEP_JOIN:
    case RH_STEP_WEIGHT:
        return run_request(cluster, kind, id, reason);
    case RH_STEP_ZOOKEEPER_STOP:
        rh_local_zookeeper_stop(cluster->local);
        return 0;
    case RH_STEP_ZOOKEEPER_START:
        return rh_local_zookeeper_start(cluster->local, reason);
    case RH_STEP_WAIT:
        break;
    }
    return 0;
}

/* Does |kind| to one node, or to ZooKeeper (""). */
static int act(struct rh_cluster *cluster, enum rh_step_kind kind, const char *id,
               struct rh_reason *reason)
{
    if (cluster->options.scenario->hooks[kind] != NULL) {
        return run_hook(cluster, kind, id, reason);
    }
    return cluster->local != NULL ? act_local(cluster, kind, id, reason)
                                  : run_request(cluster, kind, id, reason);
}

/* Begins |kind| with the nodes of the step under way. */
static void begin(struct rh_cluster *cluster, enum rh_step_kind kind)
{
    const struct rh_step *step = &cluster->step;
    struct rh_reason reason;
    int rv = 0;
    cluster->commands_count = 0;
    cluster->pending = 1; /* this function, so that nothing ends before it does */
    cluster->failed.text[0] = '\0';
    if (step->nodes_count == 0) {
        cluster->zookeeper_stopped = kind == RH_STEP_ZOOKEEPER_STOP;
        rv = act(cluster, kind, "", &reason);
    }
    for (size_t i = 0; i < step->nodes_count && rv == 0; i++) {
        struct rh_cluster_node *node = announced(cluster, step->nodes[i]);
        note(node, kind);
        if (kind == RH_STEP_WEIGHT) {
            node->weight_milli = step->weight_milli;
        }
        rv = act(cluster, kind, step->nodes[i], &reason);
    }
    if (rv != 0) {
        cluster->failed = reason;
    }
    finish_part(cluster);
}

int rh_cluster_announce(struct rh_cluster *cluster, const struct rh_step *step,
                        struct rh_reason *reason)
{
    for (size_t i = 0; i < step->nodes_count; i++) {
        const char *id = step->nodes[i];
        struct rh_cluster_node *node = find(cluster, id);
        if (node == NULL && step->kind == RH_STEP_ADD) {
            node = add(cluster, id);
        }
        if (node == NULL) {
            return rh_fail(reason, RH_ERR_INVALID, "there is no node %s%s", id,
                           step->kind == RH_STEP_ADD ? ", and no room for more" : "");
        }
        int rv = 0;
        if (step->kind == RH_STEP_ADD && cluster->local != NULL) {
            rv = rh_local_prepare(cluster->local, id, reason);
        }
        if (rv != 0) {
            return rv;
        }
        if (cluster->local != NULL && node->url[0] == '\0') {
            char listen[RH_LOCAL_ADDRESS_SIZE];
            char admin[RH_LOCAL_ADDRESS_SIZE];
            rh_local_addresses(cluster->local, id, listen, admin);
            set_url(node->url, listen);
            set_url(node->admin, admin);
        }
    }
    return 0;
}

void rh_cluster_perform(struct rh_cluster *cluster, const struct rh_step *step)
{
    assert(!cluster->performing && step->kind != RH_STEP_WAIT);
    cluster->step = *step;
    cluster->performing = true;
    begin(cluster, step->kind);
}

/* ---- the whole ---- */

static int make_folder(struct rh_cluster *cluster, struct rh_reason *reason)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(cluster->folder, sizeof(cluster->folder), "%.900s/ringhop-drill-XXXXXX",
                   base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(cluster->folder) == NULL) {
        int rv =
            rh_fail(reason, RH_ERR_IO, "%s cannot be made: %s", cluster->folder, strerror(errno));
        cluster->folder[0] = '\0';
        return rv;
    }
    return 0;
}

static int start_local(struct rh_cluster *cluster, struct rh_reason *reason)
{
    const struct rh_local_options options = {.scenario = cluster->options.scenario,
                                             .folder = cluster->folder,
                                             .on_lost = on_lost,
                                             .on_stopped = on_stopped,
                                             .on_expired = on_expired,
                                             .context = cluster};
    int rv = rh_local_create(cluster->loop, &options, &cluster->local, reason);
    for (uint32_t i = 1; i <= cluster->options.scenario->cluster.nodes && rv == 0; i++) {
        struct rh_step step = {.kind = RH_STEP_ADD, .nodes_count = 1};
        (void)snprintf(step.nodes[0], sizeof(step.nodes[0]), "n%u", i);
        rv = rh_cluster_announce(cluster, &step, reason);
        if (rv == 0) {
            note(announced(cluster, step.nodes[0]), RH_STEP_ADD);
            rv = rh_local_start(cluster->local, step.nodes[0], reason);
        }
    }
    return rv;
}

/* The nodes of the file; which of them run, the cluster itself will tell. */
static int take_config(struct rh_cluster *cluster, struct rh_reason *reason)
{
    const struct rh_config *config = cluster->options.config;
    for (size_t i = 0; i < config->nodes_count; i++) {
        struct rh_cluster_node *node = add(cluster, config->nodes[i].id);
        if (node == NULL) {
            return rh_fail(reason, RH_ERR_FULL, "%s: a drill has at most %d nodes", config->path,
                           RH_PLOT_NODES_MAX);
        }
        int rv = rh_url_to_http(config->nodes[i].advertise, node->url, sizeof(node->url));
        if (rv != 0) {
            return rh_fail(reason, rv, "%s: the URL of %s is too long", config->path, node->id);
        }
        set_url(node->admin, config->nodes[i].admin);
    }
    return 0;
}

int rh_cluster_create(struct ev_loop *loop, const struct rh_cluster_options *options,
                      struct rh_cluster **ret_cluster, struct rh_reason *reason)
{
    struct rh_cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    cluster->loop = loop;
    cluster->options = *options;
    ev_timer_init(&cluster->timer, on_timer, 0.0, 0.0);
    cluster->timer.data = cluster;
    int rv = rh_process_self(cluster->self);
    if (rv != 0) {
        (void)rh_fail(reason, rv, "the path of this program cannot be read");
    }
    if (rv == 0) {
        rv = make_folder(cluster, reason);
    }
    if (rv == 0) {
        rv = options->config != NULL ? take_config(cluster, reason) : start_local(cluster, reason);
    }
    if (rv != 0) {
        rh_cluster_destroy(cluster, false);
        return rv;
    }
    *ret_cluster = cluster;
    return 0;
}

static int remove_entry(const char *path, const struct stat *stat RH_UNUSED, int type RH_UNUSED,
                        struct FTW *place RH_UNUSED)
{
    (void)remove(path);
    return 0;
}

void rh_cluster_destroy(struct rh_cluster *cluster, bool keep)
{
    if (cluster == NULL) {
        return;
    }
    ev_timer_stop(cluster->loop, &cluster->timer);
    for (size_t i = 0; i < cluster->commands_count; i++) {
        rh_process_destroy(cluster->commands[i].process);
    }
    rh_local_destroy(cluster->local);
    if (cluster->folder[0] != '\0' && !keep) {
        (void)nftw(cluster->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(cluster);
}
