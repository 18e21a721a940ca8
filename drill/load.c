/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/load.h"

#include "cli/random.h"
#include "cli/url.h"
#include "drill/address.h"
#include "drill/messages.h"
#include "drill/settings.h"
#include "drill/worker.h"
#include "proto/identity.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORDER_TIMEOUT_S 10 /* a worker that takes no order for so long is dead */
#define WORKER_FD       3  /* of the socket pair, in the worker */

/* One worker process, as the load sees it. */
struct member {
    struct rh_load *load;
    uint32_t number;
    pid_t pid;
    int fd;
    ev_io io;
    bool sampled;                 /* since the last sample was passed on */
    struct rh_load_sample sample; /* what it said since then */
    struct rh_load_step *steps[RH_LOAD_STEPS_MAX];
    struct rh_report_result *result; /* NULL: not ended yet */
};

struct node {
    char name[RH_LOAD_NODE_SIZE];
    char url[RH_LOAD_URL_SIZE];
};

struct rh_load {
    struct ev_loop *loop;
    struct rh_load_settings settings;
    const struct rh_load_callbacks *callbacks;
    void *context;
    uint64_t started_ms;
    uint32_t descriptors_max;
    struct member *members;
    uint32_t members_count;
    struct node nodes[RH_LOAD_NODES_MAX];
    size_t nodes_count;
    struct rh_addresses addresses;
    uint32_t step;
    char failure[RH_LOAD_FAILURE_SIZE]; /* of the last try that came to nothing */
    bool ready;
    bool finished;
    bool failed; /* on_failed() was called, or will be: |why| */
    bool *gone;  /* set if a callback ends the load while we are at work */
    ev_timer failing;
    struct rh_reason why;
    struct rh_report report; /* that is being read */
};

/* --- Failing ------------------------------------------------------------------------------------ */

static void on_failing(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct rh_load *load = timer->data;
    load->callbacks->on_failed(load->context, &load->why);
}

/* Told from the loop, once, whatever else happens. */
static void fail(struct rh_load *load, const struct member *member, const char *why)
{
    if (load->failed || load->finished) {
        return;
    }
    load->failed = true;
    for (uint32_t i = 0; i < load->members_count; i++) {
        ev_io_stop(load->loop, &load->members[i].io);
    }
    (void)rh_fail(&load->why, RH_ERR_CLOSED, "worker %u of the load: %s", member->number + 1, why);
    ev_timer_init(&load->failing, on_failing, 0.0, 0.0);
    load->failing.data = load;
    ev_timer_start(load->loop, &load->failing);
}

/* The other end of the pair is closed: why? */
static void died(struct member *member)
{
    char why[64] = "it ended";
    int status = 0;
    /* Its end of the pair closes while it dies, and libev may have buried it already. */
    if (waitpid(member->pid, &status, WNOHANG) == member->pid) {
        member->pid = 0;
        if (WIFSIGNALED(status)) {
            (void)snprintf(why, sizeof(why), "it was ended by signal %d", WTERMSIG(status));
        }
    }
    fail(member->load, member, why);
}

/* --- Orders ------------------------------------------------------------------------------------- */

static void order(struct rh_load *load, const struct rh_order *order)
{
    for (uint32_t i = 0; i < load->members_count; i++) {
        struct member *member = &load->members[i];
        ssize_t sent = load->failed ? (ssize_t)sizeof(*order)
                                    : send(member->fd, order, sizeof(*order), MSG_NOSIGNAL);
        if (sent != (ssize_t)sizeof(*order)) {
            fail(load, member, "it takes no orders");
        }
    }
}

static struct node *find_node(struct rh_load *load, const char *name)
{
    for (size_t i = 0; i < load->nodes_count; i++) {
        if (strcmp(load->nodes[i].name, name) == 0) {
            return &load->nodes[i];
        }
    }
    return NULL;
}

static void order_node(struct rh_load *load, const struct node *node, enum rh_load_node_state state)
{
    struct rh_order message = {.kind = RH_ORDER_NODE};
    message.node.index = (uint32_t)(node - load->nodes);
    message.node.state = state;
    memcpy(message.node.name, node->name, sizeof(node->name));
    memcpy(message.node.url, node->url, sizeof(node->url));
    order(load, &message);
}

int rh_load_set_node(struct rh_load *load, const char *name, const char *url,
                     enum rh_load_node_state state, struct rh_reason *reason)
{
    char host[RH_LOAD_URL_SIZE];
    const struct rh_address *address;
    struct node *node = find_node(load, name);
    if (!rh_node_id_valid(rh_bytes_text(name))) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not the name of a node", name);
    }
    if (strlen(url) >= sizeof(node->url)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: the URL is too long", name);
    }
    int rv = rh_url_host(url, host, NULL, reason);
    if (rv == 0) {
        rv = rh_addresses_find(&load->addresses, host, &address, reason);
    }
    if (rv != 0) {
        return rv;
    }
    if (node == NULL && load->nodes_count == RH_LOAD_NODES_MAX) {
        return rh_fail(reason, RH_ERR_FULL, "more than %d nodes", RH_LOAD_NODES_MAX);
    }
    if (node == NULL) {
        node = &load->nodes[load->nodes_count++];
        (void)snprintf(node->name, sizeof(node->name), "%s", name);
    }
    (void)snprintf(node->url, sizeof(node->url), "%s", url);
    order_node(load, node, state);
    return 0;
}

void rh_load_publish(struct rh_load *load, bool on)
{
    order(load, &(struct rh_order){.kind = RH_ORDER_PUBLISH, .on = on});
}

unsigned rh_load_begin_step(struct rh_load *load)
{
    if (load->step + 1 < RH_LOAD_STEPS_MAX) {
        load->step++;
        order(load, &(struct rh_order){.kind = RH_ORDER_STEP, .number = load->step});
    }
    return load->step;
}

void rh_load_finish(struct rh_load *load)
{
    order(load, &(struct rh_order){.kind = RH_ORDER_FINISH});
}

/* --- Reports ------------------------------------------------------------------------------------ */

static void add_sample(struct rh_load_sample *sample, const struct rh_load_sample *other)
{
    sample->at_ms = other->at_ms > sample->at_ms ? other->at_ms : sample->at_ms;
    sample->publishing = sample->publishing || other->publishing;
    if (other->failure[0] != '\0') {
        memcpy(sample->failure, other->failure, sizeof(sample->failure));
    }
    sample->connected += other->connected;
    sample->elsewhere += other->elsewhere;
    for (size_t i = 0; i < RH_LOAD_NODES_MAX; i++) {
        sample->connections[i] += other->connections[i];
    }
    sample->acknowledged += other->acknowledged;
    sample->delivered += other->delivered;
    sample->moved += other->moved;
    rh_histogram_merge(&sample->latency_us, &other->latency_us);
}

/* A worker may say more than once before the others have: what is as it is now replaces what was,
 * what happened is added. */
static void take_sample(struct member *member, const struct rh_load_sample *said)
{
    struct rh_load_sample sample = member->sample;
    if (!member->sampled) {
        sample = (struct rh_load_sample){0};
    }
    sample.publishing = false;
    sample.connected = 0;
    sample.elsewhere = 0;
    memset(sample.connections, 0, sizeof(sample.connections));
    add_sample(&sample, said);
    member->sample = sample;
    member->sampled = true;
}

static void pass_sample(struct rh_load *load)
{
    struct rh_load_sample sample = {0};
    for (uint32_t i = 0; i < load->members_count; i++) {
        if (!load->members[i].sampled) {
            return;
        }
    }
    for (uint32_t i = 0; i < load->members_count; i++) {
        add_sample(&sample, &load->members[i].sample);
        load->members[i].sampled = false;
    }
    sample.at_ms -= load->started_ms;
    if (sample.failure[0] != '\0') {
        memcpy(load->failure, sample.failure, sizeof(load->failure));
    }
    bool gone = false;
    bool ready = !load->ready && load->nodes_count > 0 &&
                 sample.connected == load->settings.connections_count;
    load->gone = &gone;
    load->ready = load->ready || ready;
    load->callbacks->on_sample(load->context, &sample);
    if (!gone && ready) {
        load->callbacks->on_ready(load->context);
    }
    if (!gone) {
        load->gone = NULL;
    }
}

static void pass_result(struct rh_load *load)
{
    for (uint32_t i = 0; i < load->members_count; i++) {
        if (load->members[i].result == NULL) {
            return;
        }
    }
    struct rh_load_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        fail(load, &load->members[0], rh_error_text(RH_ERR_NO_MEMORY));
        return;
    }
    rh_load_counts(load, &result->counts);
    result->settled = true;
    for (uint32_t i = 0; i < load->members_count; i++) {
        const struct rh_report_result *part = load->members[i].result;
        rh_histogram_merge(&result->latency_us, &part->latency_us);
        result->settled = result->settled && part->settled;
        rh_problems_merge(&result->problems, &part->problems);
        ev_io_stop(load->loop, &load->members[i].io);
    }
    for (unsigned i = 0; i <= load->step; i++) {
        struct rh_load_step step;
        rh_load_step(load, i, &step);
        rh_histogram_merge(&result->gap_us, &step.gap_us);
    }
    load->finished = true;
    load->callbacks->on_finished(load->context, result);
    free(result);
}

static int take_step(struct member *member, const struct rh_report_step *report)
{
    struct rh_load_step **step = &member->steps[report->number];
    if (*step == NULL) {
        *step = malloc(sizeof(**step));
    }
    if (*step == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    **step = report->step;
    return 0;
}

static int take_result(struct member *member, const struct rh_report_result *result)
{
    member->result = malloc(sizeof(*member->result));
    if (member->result == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    *member->result = *result;
    return 0;
}

static void take_report(struct member *member, const struct rh_report *report)
{
    struct rh_load *load = member->load;
    int rv = 0;
    switch (report->kind) {
    case RH_REPORT_SAMPLE:
        take_sample(member, &report->sample);
        pass_sample(load);
        return;
    case RH_REPORT_STEP:
        rv = take_step(member, &report->step);
        break;
    case RH_REPORT_RESULT:
        rv = take_result(member, &report->result);
        if (rv == 0) {
            pass_result(load);
            return;
        }
        break;
    case RH_REPORT_FAILED:
        fail(load, member, report->text.text);
        return;
    }
    if (rv != 0) {
        fail(load, member, rh_error_text(rv));
    }
}

/* One report a turn: what a callback does to the load is seen before the next. */
static void on_report(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct member *member = io->data;
    struct rh_report *report = &member->load->report;
    ssize_t size = recv(member->fd, report, sizeof(*report), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        died(member);
        return;
    }
    take_report(member, report);
}

/* --- Processes ---------------------------------------------------------------------------------- */

/* In the child: nothing of the parent's stays but memory and standard streams. */
static _Noreturn void become_worker(struct rh_load *load, uint32_t number, int fd, pid_t parent)
{
    static struct rh_worker_settings settings;
    (void)signal(SIGINT, SIG_IGN); /* a ^C goes to all of us; the load decides */
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || (fd != WORKER_FD && dup2(fd, WORKER_FD) < 0) ||
        close_range(WORKER_FD + 1, ~0U, 0) != 0) {
        _exit(1);
    }
    settings = (struct rh_worker_settings){
        .load = load->settings,
        .number = number,
        .workers_count = load->settings.workers_count,
        .descriptors_max = load->descriptors_max,
    };
    rh_worker_run(&settings, WORKER_FD);
}

static int start_member(struct rh_load *load, uint32_t number, struct rh_reason *reason)
{
    struct member *member = &load->members[number];
    const struct timeval timeout = {.tv_sec = ORDER_TIMEOUT_S};
    pid_t parent = getpid();
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return rh_fail(reason, RH_ERR_IO, "socketpair: %s", strerror(errno));
    }
    member->pid = fork();
    if (member->pid == 0) {
        become_worker(load, number, pair[1], parent);
    }
    (void)close(pair[1]);
    if (member->pid < 0) {
        int error = errno;
        (void)close(pair[0]);
        member->pid = 0;
        return rh_fail(reason, RH_ERR_IO, "fork: %s", strerror(error));
    }
    member->load = load;
    member->number = number;
    member->fd = pair[0];
    (void)setsockopt(member->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    ev_io_init(&member->io, on_report, member->fd, EV_READ);
    member->io.data = member;
    ev_io_start(load->loop, &member->io);
    load->members_count++;
    return 0;
}

static void stop_member(struct member *member)
{
    ev_io_stop(member->load->loop, &member->io);
    (void)close(member->fd);
    if (member->pid > 0) {
        (void)kill(member->pid, SIGKILL); /* it has nothing that would be lost */
        while (waitpid(member->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    for (size_t i = 0; i < RH_LOAD_STEPS_MAX; i++) {
        free(member->steps[i]);
    }
    free(member->result);
}

static uint32_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        limit = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised : limit;
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (uint32_t)limit.rlim_cur;
}

static int decide_workers(struct rh_load *load, struct rh_reason *reason)
{
    uint32_t count = 0;
    bool forced = false;
    int rv = rh_settings_workers(&load->settings, load->descriptors_max, &count, &forced, reason);
    if (rv != 0) {
        return rv;
    }
    load->settings.workers_count = count;
    if (forced) {
        char text[160];
        (void)snprintf(text, sizeof(text),
                       "one process may open %u files, and no more: %u processes share the %u "
                       "connections",
                       (unsigned)load->descriptors_max, (unsigned)count,
                       (unsigned)load->settings.connections_count);
        load->callbacks->on_notice(load->context, text);
    }
    return 0;
}

int rh_load_start(struct ev_loop *loop, const struct rh_load_settings *settings,
                  const struct rh_load_callbacks *callbacks, void *context,
                  struct rh_load **ret_load, struct rh_reason *reason)
{
    struct rh_load *load = calloc(1, sizeof(*load));
    if (load == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    load->loop = loop;
    load->settings = *settings;
    load->callbacks = callbacks;
    load->context = context;
    load->started_ms = rh_worker_now_ms();
    load->descriptors_max = raise_descriptors();
    int rv = rh_settings_complete(&load->settings, rh_random_number(), reason);
    if (rv == 0) {
        rv = decide_workers(load, reason);
    }
    if (rv == 0) {
        load->members = calloc(load->settings.workers_count, sizeof(*load->members));
        rv = load->members == NULL ? rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory") : 0;
    }
    (void)fflush(NULL); /* so that no worker has text to write that is ours */
    for (uint32_t i = 0; rv == 0 && i < load->settings.workers_count; i++) {
        rv = start_member(load, i, reason);
    }
    if (rv != 0) {
        rh_load_stop(load);
        return rv;
    }
    *ret_load = load;
    return 0;
}

void rh_load_stop(struct rh_load *load)
{
    if (load == NULL) {
        return;
    }
    if (load->gone != NULL) {
        *load->gone = true;
    }
    ev_timer_stop(load->loop, &load->failing);
    for (uint32_t i = 0; i < load->members_count; i++) {
        stop_member(&load->members[i]);
    }
    free(load->members);
    free(load);
}

/* --- Questions ---------------------------------------------------------------------------------- */

size_t rh_load_nodes_count(const struct rh_load *load)
{
    return load->nodes_count;
}

const char *rh_load_node_name(const struct rh_load *load, size_t index)
{
    assert(index < load->nodes_count);
    return load->nodes[index].name;
}

void rh_load_step(const struct rh_load *load, unsigned number, struct rh_load_step *ret_step)
{
    *ret_step = (struct rh_load_step){0};
    for (uint32_t i = 0; number < RH_LOAD_STEPS_MAX && i < load->members_count; i++) {
        const struct rh_load_step *step = load->members[i].steps[number];
        if (step != NULL) {
            rh_load_counts_add(&ret_step->counts, &step->counts);
            rh_histogram_merge(&ret_step->gap_us, &step->gap_us);
        }
    }
}

void rh_load_counts(const struct rh_load *load, struct rh_load_counts *ret_counts)
{
    *ret_counts = (struct rh_load_counts){0};
    for (uint32_t i = 0; i < load->members_count; i++) {
        const struct member *member = &load->members[i];
        for (size_t j = 0; j < RH_LOAD_STEPS_MAX; j++) {
            if (member->steps[j] != NULL) {
                rh_load_counts_add(ret_counts, &member->steps[j]->counts);
            }
        }
        if (member->result != NULL) {
            rh_load_counts_add(ret_counts, &member->result->counts);
        }
    }
}

uint64_t rh_load_now_ms(const struct rh_load *load)
{
    return rh_worker_now_ms() - load->started_ms;
}

uint32_t rh_load_workers_count(const struct rh_load *load)
{
    return load->members_count;
}

void rh_load_key(const struct rh_load *load, uint32_t channel,
                 char ret_key[static RH_LOAD_KEY_SIZE])
{
    rh_settings_key(&load->settings, channel, ret_key);
}

uint32_t rh_load_channel_clients(const struct rh_load *load, uint32_t channel)
{
    return rh_settings_clients(&load->settings, channel);
}

const char *rh_load_last_failure(const struct rh_load *load)
{
    return load->failure;
}
