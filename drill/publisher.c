/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/publisher.h"

#include "base/list.h"
#include "cli/answer.h"
#include "cli/random.h"
#include "cli/url.h"
#include "drill/pace.h"
#include "drill/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PAUSE_FIRST_MS 50U
#define PAUSE_MAX_MS   2000U
#define DUE_MAX        1024U /* begun in one turn of the loop */
#define SOURCE         63U   /* see drill/clients.c: an address that few clients use */

/* A message on its way to its acknowledgement. */
struct publication {
    struct rh_list link; /* waiting or flying; in none while it pauses */
    struct rh_publisher *publisher;
    struct rh_worker_channel *channel;
    struct exchange *exchange; /* flying */
    ev_timer pause;
    uint64_t due_us;
    uint64_t sent_ms; /* flying */
    uint32_t number;
    uint32_t tries;
};

/* An HTTP connection, with at most one request under way. */
struct exchange {
    ev_io io;
    struct rh_list link; /* idle */
    struct rh_publisher *publisher;
    struct publication *publication; /* NULL: idle */
    struct rh_buffer output;
    struct rh_answer answer;
    uint32_t node;
    bool dialling;
};

struct rh_publisher {
    struct rh_worker *worker;
    struct rh_pace pace;
    int timer; /* when the next one is due; what waits in epoll has the grain of a millisecond */
    ev_io due;
    struct rh_list waiting;                 /* publications, for a connection */
    struct rh_list flying;                  /* in the order in which they were sent */
    struct rh_list idle[RH_LOAD_NODES_MAX]; /* exchanges */
    uint32_t idle_count;
    uint32_t exchanges_count;
    uint32_t pending;
    uint32_t next_channel;
};

static void dispatch(struct rh_publisher *publisher);

/* --- Publications ------------------------------------------------------------------------------- */

static void drop_publication(struct publication *publication)
{
    rh_list_remove(&publication->link);
    ev_timer_stop(publication->publisher->worker->loop, &publication->pause);
    publication->publisher->pending--;
    free(publication);
}

static void give_up(struct publication *publication, const char *why)
{
    struct rh_worker *worker = publication->publisher->worker;
    rh_problems_add(&worker->problems, "%s: message %u %s", publication->channel->key,
                    (unsigned)publication->number, why);
    drop_publication(publication);
}

/* Whether another try could publish it a second time. */
static bool is_too_late(const struct publication *publication)
{
    uint64_t age_us = rh_worker_now_us() - publication->due_us;
    return age_us / 1000U >= publication->publisher->worker->settings->load.publish_max_ms;
}

static void give_up_unknown(struct publication *publication)
{
    rh_worker_counts(publication->publisher->worker)->unknown++;
    give_up(publication, "was not answered in time");
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct publication *publication = timer->data;
    rh_list_push_back(&publication->publisher->waiting, &publication->link);
    dispatch(publication->publisher);
}

/* Not acknowledged: again with the same id, the first time at once. */
static void try_again(struct publication *publication)
{
    struct rh_publisher *publisher = publication->publisher;
    struct rh_worker *worker = publisher->worker;
    publication->exchange = NULL;
    rh_list_remove(&publication->link);
    if (is_too_late(publication)) {
        give_up_unknown(publication);
        return;
    }
    rh_worker_counts(worker)->retried++;
    if (publication->tries == 1) {
        rh_list_push_back(&publisher->waiting, &publication->link);
        return;
    }
    uint32_t pause_ms = rh_backoff_ms(publication->tries - 2, PAUSE_FIRST_MS, PAUSE_MAX_MS,
                                      rh_worker_random(worker));
    ev_timer_init(&publication->pause, on_pause_over, pause_ms / 1e3, 0.0);
    publication->pause.data = publication;
    ev_timer_start(worker->loop, &publication->pause);
}

static void acknowledged(struct publication *publication, uint64_t incarnation, uint64_t seq)
{
    struct rh_worker *worker = publication->publisher->worker;
    rh_worker_counts(worker)->acknowledged++;
    rh_histogram_add(&worker->latency_us, rh_worker_now_us() - publication->due_us);
    rh_worker_check(worker,
                    rh_ledger_acknowledged(&publication->channel->ledger, rh_worker_book(worker),
                                           publication->number, incarnation, seq));
    drop_publication(publication);
}

/* --- Connections -------------------------------------------------------------------------------- */

static void destroy_exchange(struct exchange *exchange)
{
    struct rh_publisher *publisher = exchange->publisher;
    ev_io_stop(publisher->worker->loop, &exchange->io);
    (void)close(exchange->io.fd);
    publisher->idle_count -= !rh_list_empty(&exchange->link);
    rh_list_remove(&exchange->link);
    rh_answer_finish(&exchange->answer);
    rh_buffer_finish(&exchange->output);
    publisher->exchanges_count--;
    free(exchange);
}

/* The connection is of no use any more; whatever it carried has another try. */
static void broken(struct exchange *exchange)
{
    struct rh_publisher *publisher = exchange->publisher;
    if (exchange->publication != NULL) {
        try_again(exchange->publication);
    }
    destroy_exchange(exchange);
    dispatch(publisher);
}

/* Sends what there is; what breaks here is noticed when reading. */
static void flush(struct exchange *exchange)
{
    struct rh_bytes output = rh_buffer_content(&exchange->output);
    ssize_t sent = send(exchange->io.fd, output.data, output.size, MSG_NOSIGNAL);
    rh_buffer_consume(&exchange->output, sent > 0 ? (size_t)sent : 0);
    bool more = sent < 0 ? errno == EAGAIN : (size_t)sent < output.size;
    rh_worker_watch(exchange->publisher->worker, &exchange->io,
                    more ? EV_READ | EV_WRITE : EV_READ);
}

/* The answer is complete. */
static void take_answer(struct exchange *exchange, bool rest)
{
    struct rh_publisher *publisher = exchange->publisher;
    struct rh_load_counts *counts = rh_worker_counts(publisher->worker);
    struct publication *publication = exchange->publication;
    struct rh_bytes body = rh_buffer_content(&exchange->answer.body);
    unsigned status = exchange->answer.status;
    uint64_t incarnation = 0;
    uint64_t seq = 0;
    exchange->publication = NULL;
    if (status == 201 && rh_answer_published(body, &incarnation, &seq) == 0) {
        acknowledged(publication, incarnation, seq);
    } else if (status / 100 == 4 && status != 408 && status != 429) {
        char why[64];
        (void)snprintf(why, sizeof(why), "was refused with HTTP %u", status);
        counts->refused++;
        give_up(publication, why);
    } else {
        try_again(publication);
    }
    if (!exchange->answer.keep_alive || rest) {
        destroy_exchange(exchange);
    } else {
        rh_answer_reset(&exchange->answer);
        rh_list_push_front(&publisher->idle[exchange->node], &exchange->link);
        publisher->idle_count++;
    }
    dispatch(publisher);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct exchange *exchange = rh_container_of(io, struct exchange, io);
    int error = 0;
    socklen_t error_size = sizeof(error);
    if (exchange->dialling &&
        (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 || error != 0)) {
        broken(exchange);
        return;
    }
    exchange->dialling = false;
    if ((events & EV_WRITE) != 0) {
        flush(exchange);
    }
    if ((events & EV_READ) == 0) {
        return;
    }
    char *input = exchange->publisher->worker->input;
    size_t consumed = 0;
    ssize_t size = recv(io->fd, input, RH_WORKER_INPUT_SIZE, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0 || exchange->publication == NULL) {
        broken(exchange);
        return;
    }
    int rv = rh_answer_feed(&exchange->answer, rh_bytes(input, (size_t)size), &consumed);
    if (rv == 0) {
        take_answer(exchange, consumed < (size_t)size);
    } else if (rv == RH_ERR_NO_MEMORY) {
        rh_worker_check(exchange->publisher->worker, rv);
    } else if (rv != RH_ERR_AGAIN) {
        broken(exchange);
    }
}

static uint32_t exchanges_max(const struct rh_publisher *publisher)
{
    return publisher->worker->settings->descriptors_max / 10;
}

/* A new connection to the node. RH_ERR_FULL: there cannot be more. RH_ERR_UNREACHABLE. */
static int open_exchange(struct rh_publisher *publisher, uint32_t node, uint32_t attempt,
                         struct exchange **ret_exchange)
{
    struct rh_worker *worker = publisher->worker;
    const struct rh_address *address;
    int fd = -1;
    uint32_t source = worker->settings->number * (SOURCE + 1) + SOURCE;
    if (publisher->exchanges_count >= exchanges_max(publisher)) {
        return RH_ERR_FULL;
    }
    int rv = rh_addresses_find(&worker->addresses, worker->nodes[node].host, &address, NULL);
    if (rv == 0) {
        rv = rh_address_connect(address, attempt, source, &fd);
    }
    if (rv != 0) {
        return rv;
    }
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        rh_worker_fail(worker, "out of memory");
    }
    exchange->publisher = publisher;
    exchange->node = node;
    exchange->dialling = true;
    rh_list_init(&exchange->link);
    rh_answer_init(&exchange->answer);
    ev_io_init(&exchange->io, on_io, fd, EV_WRITE);
    ev_io_start(worker->loop, &exchange->io);
    publisher->exchanges_count++;
    *ret_exchange = exchange;
    return 0;
}

/* --- Sending ------------------------------------------------------------------------------------ */

/* An idle connection of the node; of any other node, if there cannot be more. */
static struct exchange *take_idle(struct rh_publisher *publisher, uint32_t node)
{
    bool any = publisher->exchanges_count >= exchanges_max(publisher);
    for (uint32_t i = 0; publisher->idle_count > 0 && i < RH_LOAD_NODES_MAX; i++) {
        uint32_t at = (node + i) % RH_LOAD_NODES_MAX;
        struct rh_list *link = rh_list_first(&publisher->idle[at]);
        if (link != NULL) {
            rh_list_remove(link);
            publisher->idle_count--;
            return rh_container_of(link, struct exchange, link);
        }
        if (!any) {
            break;
        }
    }
    return NULL;
}

static void write_request(struct exchange *exchange, const struct publication *publication)
{
    struct rh_worker *worker = exchange->publisher->worker;
    uint32_t payload_size = worker->settings->load.payload_size;
    char path[RH_URL_TEXT_SIZE];
    rh_buffer_clear(&exchange->output);
    int rv = rh_url_channel_path(rh_bytes_text(publication->channel->key), "messages", path,
                                 sizeof(path));
    if (rv == 0) {
        rv = rh_buffer_format(&exchange->output,
                              "POST %s HTTP/1.1\r\n"
                              "Host: %s\r\n"
                              "Content-Type: text/plain\r\n"
                              "Content-Length: %u\r\n"
                              "Idempotency-Key: %u\r\n"
                              "\r\n",
                              path, worker->nodes[exchange->node].host, (unsigned)payload_size,
                              (unsigned)publication->number);
    }
    if (rv == 0) {
        rv = rh_payload_append(&exchange->output, publication->channel->number, publication->number,
                               payload_size);
    }
    rh_worker_check(worker, rv);
}

/* False: no connection can be had just now. */
static bool send_publication(struct rh_publisher *publisher, struct publication *publication)
{
    uint32_t node = rh_worker_pick_node(publisher->worker);
    if (node == RH_WORKER_NODE_NONE) {
        return false;
    }
    struct exchange *exchange = take_idle(publisher, node);
    int rv = exchange != NULL ? 0 : open_exchange(publisher, node, publication->tries, &exchange);
    if (rv == RH_ERR_FULL) {
        return false;
    }
    publication->tries++;
    if (rv != 0) {
        try_again(publication);
        return true;
    }
    publication->exchange = exchange;
    publication->sent_ms = rh_worker_now_ms();
    exchange->publication = publication;
    rh_list_remove(&publication->link);
    rh_list_push_back(&publisher->flying, &publication->link);
    write_request(exchange, publication);
    if (!exchange->dialling) {
        flush(exchange);
    }
    return true;
}

static void dispatch(struct rh_publisher *publisher)
{
    struct rh_list *link = rh_list_first(&publisher->waiting);
    while (link != NULL &&
           send_publication(publisher, rh_container_of(link, struct publication, link))) {
        link = rh_list_first(&publisher->waiting);
    }
}

/* --- The pace ----------------------------------------------------------------------------------- */

static void begin_publication(struct rh_publisher *publisher, uint64_t due_us)
{
    struct rh_worker *worker = publisher->worker;
    struct publication *publication = calloc(1, sizeof(*publication));
    if (publication == NULL) {
        rh_worker_fail(worker, "out of memory");
    }
    publication->publisher = publisher;
    publication->channel = &worker->channels[publisher->next_channel];
    publication->due_us = due_us;
    publisher->next_channel = (publisher->next_channel + 1) % worker->channels_count;
    rh_worker_check(worker, rh_ledger_publish(&publication->channel->ledger, &publication->number));
    rh_worker_counts(worker)->published++;
    publisher->pending++;
    rh_list_push_back(&publisher->waiting, &publication->link);
}

/* When the next one is due, or never. */
static void set_timer(struct rh_publisher *publisher, uint64_t at_us)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at_us / 1000000U),
                     .tv_nsec = (long)(at_us % 1000000U) * 1000L},
    };
    if (timerfd_settime(publisher->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0) {
        rh_worker_fail(publisher->worker, "timerfd: %s", strerror(errno));
    }
}

static void on_due(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct rh_publisher *publisher = io->data;
    uint64_t expirations;
    uint64_t due_us = 0;
    uint64_t now_us = rh_worker_now_us();
    (void)!read(publisher->timer, &expirations, sizeof(expirations)); /* EAGAIN at worst */
    for (uint32_t i = 0; i < DUE_MAX && rh_pace_take(&publisher->pace, now_us, &due_us); i++) {
        begin_publication(publisher, due_us);
    }
    set_timer(publisher, rh_pace_next_us(&publisher->pace));
    dispatch(publisher);
}

void rh_publisher_set(struct rh_publisher *publisher, bool on)
{
    struct rh_worker *worker = publisher->worker;
    const struct rh_load_settings *settings = &worker->settings->load;
    double share = (double)worker->channels_count / (double)settings->channels_count;
    if (!on || settings->rate == 0 || worker->channels_count == 0) {
        rh_pace_stop(&publisher->pace);
    } else {
        rh_pace_start(&publisher->pace, settings->rate * share, rh_worker_now_us());
    }
    set_timer(publisher, rh_pace_next_us(&publisher->pace));
}

void rh_publisher_tick(struct rh_publisher *publisher)
{
    const struct rh_load_settings *settings = &publisher->worker->settings->load;
    uint64_t now_ms = rh_worker_now_ms();
    rh_list_each_safe (&publisher->waiting, link) {
        struct publication *publication = rh_container_of(link, struct publication, link);
        if (is_too_late(publication)) {
            give_up_unknown(publication);
        }
    }
    for (;;) {
        struct rh_list *link = rh_list_first(&publisher->flying);
        struct publication *oldest =
            link == NULL ? NULL : rh_container_of(link, struct publication, link);
        if (oldest == NULL || now_ms - oldest->sent_ms < settings->publish_ms) {
            break;
        }
        broken(oldest->exchange);
    }
    dispatch(publisher);
}

uint32_t rh_publisher_pending(const struct rh_publisher *publisher)
{
    return publisher->pending;
}

struct rh_publisher *rh_publisher_create(struct rh_worker *worker)
{
    struct rh_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) {
        rh_worker_fail(worker, "out of memory");
    }
    publisher->worker = worker;
    rh_list_init(&publisher->waiting);
    rh_list_init(&publisher->flying);
    for (uint32_t i = 0; i < RH_LOAD_NODES_MAX; i++) {
        rh_list_init(&publisher->idle[i]);
    }
    publisher->next_channel = worker->channels_count == 0
                                  ? 0
                                  : (uint32_t)(rh_worker_random(worker) % worker->channels_count);
    publisher->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (publisher->timer < 0) {
        rh_worker_fail(worker, "timerfd: %s", strerror(errno));
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    ev_io_init(&publisher->due, on_due, publisher->timer, EV_READ);
    publisher->due.data = publisher;
    ev_io_start(worker->loop, &publisher->due);
    return publisher;
}
