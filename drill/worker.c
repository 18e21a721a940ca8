/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/worker.h"

#include "cli/random.h"
#include "cli/url.h"
#include "drill/clients.h"
#include "drill/publisher.h"
#include "drill/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- What clients and publishers share -------------------------------------------------------- */

uint64_t rh_worker_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

uint64_t rh_worker_now_ms(void)
{
    return rh_worker_now_us() / 1000U;
}

void rh_worker_watch(struct rh_worker *worker, ev_io *io, int events)
{
    if (io->events != events) {
        ev_io_stop(worker->loop, io);
        ev_io_set(io, io->fd, events);
        ev_io_start(worker->loop, io);
    }
}

uint64_t rh_worker_random(struct rh_worker *worker)
{
    worker->random ^= worker->random << 13; /* Marsaglia's xorshift64 */
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return worker->random;
}

uint32_t rh_worker_pick_node(struct rh_worker *worker)
{
    uint32_t usable[RH_LOAD_NODES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < RH_LOAD_NODES_MAX; i++) {
        if (worker->nodes[i].known && worker->nodes[i].state != RH_LOAD_NODE_DOWN) {
            usable[count++] = i;
        }
    }
    return count == 0 ? RH_WORKER_NODE_NONE : usable[rh_worker_random(worker) % count];
}

uint32_t rh_worker_find_node(const struct rh_worker *worker, struct rh_bytes name)
{
    for (uint32_t i = 0; i < RH_LOAD_NODES_MAX && worker->nodes[i].known; i++) {
        if (rh_bytes_equal_text(name, worker->nodes[i].name)) {
            return i;
        }
    }
    return RH_WORKER_NODE_NONE;
}

const char *rh_worker_node_name(const struct rh_worker *worker, uint32_t node)
{
    return node == RH_WORKER_NODE_NONE ? "an unknown node" : worker->nodes[node].name;
}

bool rh_worker_node_disturbed(const struct rh_worker *worker, uint32_t node, uint64_t since_ms)
{
    if (node == RH_WORKER_NODE_NONE) {
        return false;
    }
    const struct rh_worker_node *at = &worker->nodes[node];
    return at->state != RH_LOAD_NODE_UP ||
           (at->disturbed_to_ms != 0 && at->disturbed_to_ms >= since_ms);
}

struct rh_load_step *rh_worker_step(struct rh_worker *worker, uint32_t step)
{
    if (worker->steps[step] == NULL) {
        worker->steps[step] = calloc(1, sizeof(*worker->steps[step]));
        rh_worker_check(worker, worker->steps[step] == NULL ? RH_ERR_NO_MEMORY : 0);
    }
    worker->steps_changed[step] = true;
    return worker->steps[step];
}

struct rh_load_counts *rh_worker_counts(struct rh_worker *worker)
{
    return &rh_worker_step(worker, worker->step)->counts;
}

struct rh_ledger_book rh_worker_book(struct rh_worker *worker)
{
    return (struct rh_ledger_book){.counts = rh_worker_counts(worker),
                                   .problems = &worker->problems};
}

/* --- Reports ---------------------------------------------------------------------------------- */

/* False: the load does not listen just now; say it again later. */
static bool send_report(struct rh_worker *worker, const struct rh_report *report, size_t size,
                        int flags)
{
    size += offsetof(struct rh_report, sample);
    ssize_t sent = send(worker->fd, report, size, flags | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
        _exit(1); /* nobody is there any more */
    }
    return sent >= 0;
}

_Noreturn void rh_worker_fail(struct rh_worker *worker, const char *format, ...)
{
    struct rh_report report = {.kind = RH_REPORT_FAILED};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report.text.text, sizeof(report.text.text), format, args);
    va_end(args);
    (void)send_report(worker, &report, sizeof(report.text), 0);
    _exit(1);
}

void rh_worker_check(struct rh_worker *worker, int rv)
{
    if (rv != 0) {
        rh_worker_fail(worker, "%s", rh_error_text(rv));
    }
}

static bool send_steps(struct rh_worker *worker)
{
    for (uint32_t i = 0; i < RH_LOAD_STEPS_MAX; i++) {
        if (worker->steps_changed[i]) {
            struct rh_report report = {
                .kind = RH_REPORT_STEP,
                .step = {.number = i, .step = *worker->steps[i]},
            };
            if (!send_report(worker, &report, sizeof(report.step), MSG_DONTWAIT)) {
                return false;
            }
            worker->steps_changed[i] = false;
        }
    }
    return true;
}

static void sum_steps(const struct rh_worker *worker, struct rh_load_counts *ret_counts)
{
    *ret_counts = (struct rh_load_counts){0};
    for (uint32_t i = 0; i < RH_LOAD_STEPS_MAX; i++) {
        if (worker->steps[i] != NULL) {
            rh_load_counts_add(ret_counts, &worker->steps[i]->counts);
        }
    }
}

static bool send_sample(struct rh_worker *worker)
{
    struct rh_load_counts counts;
    sum_steps(worker, &counts);
    struct rh_report report = {
        .kind = RH_REPORT_SAMPLE,
        .sample =
            {
                .at_ms = rh_worker_now_ms(),
                .publishing = worker->publishing,
                .connected = rh_clients_connected(worker->clients),
                .elsewhere = rh_clients_elsewhere(worker->clients),
                .acknowledged = counts.acknowledged - worker->reported.acknowledged,
                .delivered = counts.delivered - worker->reported.delivered,
                .moved = counts.moved - worker->reported.moved,
                .latency_us = worker->latency_us,
            },
    };
    for (uint32_t i = 0; i < RH_LOAD_NODES_MAX; i++) {
        report.sample.connections[i] = worker->nodes[i].connections;
    }
    memcpy(report.sample.failure, worker->failure, sizeof(worker->failure));
    if (!send_report(worker, &report, sizeof(report.sample), MSG_DONTWAIT)) {
        return false;
    }
    worker->reported = counts;
    rh_histogram_merge(&worker->latency_all_us, &worker->latency_us);
    worker->latency_us = (struct rh_histogram){0};
    worker->failure[0] = '\0';
    return true;
}

/* --- The end ---------------------------------------------------------------------------------- */

static void close_ledgers(struct rh_worker *worker)
{
    struct rh_ledger_book book = {.counts = &worker->final, .problems = &worker->problems};
    uint32_t pending = rh_publisher_pending(worker->publisher);
    rh_worker_counts(worker)->unknown += pending;
    rh_clients_close_ledgers(worker->clients, book);
    if (worker->final.not_connected > 0) {
        rh_problems_add(&worker->problems, "%llu clients had no connection at the end",
                        (unsigned long long)worker->final.not_connected);
    }
    if (pending > 0) {
        rh_problems_add(&worker->problems, "%u messages were not answered when all ended",
                        (unsigned)pending);
    }
    worker->closed = true;
}

static void send_result(struct rh_worker *worker)
{
    struct rh_report *report = calloc(1, sizeof(*report));
    rh_worker_check(worker, report == NULL ? RH_ERR_NO_MEMORY : 0);
    report->kind = RH_REPORT_RESULT;
    report->result.settled = worker->settled;
    report->result.counts = worker->final;
    report->result.latency_us = worker->latency_all_us;
    report->result.problems = worker->problems;
    if (send_report(worker, report, sizeof(report->result), MSG_DONTWAIT)) {
        ev_timer_stop(worker->loop, &worker->tick); /* all is said */
    }
    free(report);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct rh_worker *worker = timer->data;
    if (!worker->closed) {
        rh_publisher_tick(worker->publisher);
        rh_clients_tick(worker->clients);
    }
    if (worker->finish_ms != 0 && !worker->closed) {
        worker->settled =
            rh_publisher_pending(worker->publisher) == 0 && rh_clients_settled(worker->clients);
        if (worker->settled || rh_worker_now_ms() >= worker->finish_ms) {
            close_ledgers(worker);
        }
    }
    if (send_steps(worker) && send_sample(worker) && worker->closed) {
        send_result(worker);
    }
}

/* --- Orders ----------------------------------------------------------------------------------- */

static void take_node(struct rh_worker *worker, const struct rh_order *order)
{
    struct rh_worker_node *node = &worker->nodes[order->node.index];
    const struct rh_address *address;
    struct rh_reason reason;
    if (node->known && node->state != RH_LOAD_NODE_UP && order->node.state == RH_LOAD_NODE_UP) {
        node->disturbed_to_ms = rh_worker_now_ms();
    }
    if (node->state == RH_LOAD_NODE_UP && order->node.state != RH_LOAD_NODE_UP) {
        node->disturbed_from_ms = rh_worker_now_ms();
    }
    node->known = true;
    node->state = order->node.state;
    memcpy(node->name, order->node.name, sizeof(node->name));
    memcpy(node->url, order->node.url, sizeof(node->url));
    if (rh_url_host(node->url, node->host, NULL, &reason) != 0 ||
        rh_addresses_find(&worker->addresses, node->host, &address, &reason) != 0) {
        rh_worker_fail(worker, "node %s: %.200s", node->name, reason.text);
    }
    rh_clients_wake(worker->clients);
}

static void take_order(struct rh_worker *worker, const struct rh_order *order)
{
    switch (order->kind) {
    case RH_ORDER_NODE:
        take_node(worker, order);
        return;
    case RH_ORDER_PUBLISH:
        worker->publishing = order->on;
        rh_publisher_set(worker->publisher, order->on);
        return;
    case RH_ORDER_STEP:
        worker->step = order->number;
        return;
    case RH_ORDER_FINISH:
        worker->publishing = false;
        rh_publisher_set(worker->publisher, false);
        worker->finish_ms = rh_worker_now_ms() + worker->settings->load.settle_ms;
        return;
    }
}

static void on_orders(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct rh_worker *worker = io->data;
    struct rh_order order;
    for (;;) {
        ssize_t size = recv(worker->fd, &order, sizeof(order), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (size != (ssize_t)sizeof(order)) {
            ev_break(loop, EVBREAK_ALL); /* the load is gone */
            return;
        }
        take_order(worker, &order);
    }
}

/* --- The process ------------------------------------------------------------------------------ */

/* The channels that are ours, with their keys. */
static void make_channels(struct rh_worker *worker)
{
    const struct rh_worker_settings *settings = worker->settings;
    uint32_t all = settings->load.channels_count;
    worker->channels_count =
        (all - settings->number + settings->workers_count - 1) / settings->workers_count;
    worker->channels = calloc(worker->channels_count, sizeof(*worker->channels));
    rh_worker_check(worker, worker->channels == NULL ? RH_ERR_NO_MEMORY : 0);
    for (uint32_t i = 0; i < worker->channels_count; i++) {
        struct rh_worker_channel *channel = &worker->channels[i];
        char key[RH_LOAD_KEY_SIZE];
        channel->number = i * settings->workers_count + settings->number;
        rh_settings_key(&settings->load, channel->number, key);
        channel->key = strdup(key);
        rh_worker_check(worker, channel->key == NULL ? RH_ERR_NO_MEMORY : 0);
        channel->ledger.key = channel->key;
    }
}

_Noreturn void rh_worker_run(const struct rh_worker_settings *settings, int fd)
{
    struct rh_worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        _exit(1);
    }
    worker->settings = settings;
    worker->fd = fd;
    worker->loop = ev_loop_new(EVFLAG_AUTO);
    worker->input = malloc(RH_WORKER_INPUT_SIZE);
    worker->random = rh_random_number();
    if (worker->loop == NULL || worker->input == NULL) {
        rh_worker_fail(worker, "no event loop");
    }
    make_channels(worker);
    worker->clients = rh_clients_create(worker);
    worker->publisher = rh_publisher_create(worker);

    ev_io_init(&worker->orders, on_orders, fd, EV_READ);
    worker->orders.data = worker;
    ev_io_start(worker->loop, &worker->orders);
    ev_timer_init(&worker->tick, on_tick, RH_LOAD_SAMPLE_MS / 1e3, RH_LOAD_SAMPLE_MS / 1e3);
    worker->tick.data = worker;
    ev_timer_start(worker->loop, &worker->tick);
    ev_run(worker->loop, 0);
    _exit(0); /* nothing of the parent's is to be flushed or ended here */
}
