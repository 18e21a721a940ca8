/* SPDX-License-Identifier: Apache-2.0 */
#include "publishers.h"

#include "mark.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX 4096
#define STALL_US   5000000U /* an operation that takes longer is given up */

struct publisher {
    ev_io io;
    struct publishers *all;
    bool ready;
    unsigned stage; /* of the dialect's way to READY */

    /* The operation under way. */
    bool busy;
    bool answered;
    uint32_t number;
    size_t receivers; /* that do not have the message yet */
    uint64_t due_us;

    char answer[ANSWER_MAX];
    size_t answer_size;
};

struct publishers {
    struct publishers_options options;
    struct publisher *each;
    size_t *idle; /* with a rate */
    size_t idle_count;
    size_t ready_count;
    size_t busy_count;
    size_t next_key;
    bool ending;
    uint64_t sent;
    uint64_t began_us;
    uint64_t counted_us; /* from when on operations count */
    uint64_t ends_us;    /* until when; UINT64_MAX: by count */
    uint64_t progress_us;
    struct publishers_result result;
    ev_io tick;
    ev_timer clock;
};

static void say(struct publisher *publisher, const struct dialect_text *text)
{
    if (write(publisher->io.fd, text->bytes, text->size) != (ssize_t)text->size) {
        load_die("a publisher cannot write");
    }
}

static void ask(const struct publishers_options *options, struct dialect_text *out)
{
    int size = snprintf(out->bytes, sizeof(out->bytes),
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", options->get);
    assert(size > 0 && (size_t)size < sizeof(out->bytes));
    out->size = (size_t)size;
}

static void begin(struct publisher *publisher, uint64_t due_us)
{
    struct publishers *all = publisher->all;
    const struct publishers_options *options = &all->options;
    struct dialect_text text;
    publisher->busy = true;
    publisher->answered = options->get == NULL && !dialect_answers(options->dialect);
    publisher->answer_size = 0;
    publisher->due_us = due_us;
    publisher->receivers = 0;
    publisher->number += options->window; /* so that a message finds its publisher */
    all->sent++;
    all->busy_count++;
    if (options->get != NULL) {
        ask(options, &text);
    } else {
        char payload[DIALECT_TEXT_MAX / 2];
        memset(payload, 'x', options->bytes);
        load_mark_write(payload, publisher->number);
        const size_t key = all->next_key;
        all->next_key = key + 1 == options->keys->count ? 0 : key + 1;
        publisher->receivers = options->receivers_of(options->context, key);
        dialect_publish(options->dialect, options->keys->line[key], payload, options->bytes, &text);
    }
    say(publisher, &text);
}

static bool wants_more(const struct publishers *all)
{
    return !all->ending && (all->options.count == 0 || all->sent < all->options.count);
}

static void done(struct publisher *publisher, uint64_t now)
{
    struct publishers *all = publisher->all;
    publisher->busy = false;
    all->busy_count--;
    all->progress_us = now;
    all->result.all++;
    if (now >= all->counted_us && now < all->ends_us) {
        all->result.done++;
        if (all->options.get == NULL) {
            load_times_add(&all->result.received, now - publisher->due_us);
        }
    }
    if (all->options.rate != 0) {
        all->idle[all->idle_count++] = (size_t)(publisher - all->each);
    } else if (wants_more(all)) {
        begin(publisher, now);
    }
    if (all->busy_count == 0 && !wants_more(all)) {
        ev_break(all->options.loop, EVBREAK_ALL);
    }
}

void publishers_on_message(struct publishers *all, uint32_t number)
{
    const struct publishers_options *options = &all->options;
    struct publisher *publisher = &all->each[(number - options->number) % options->window];
    all->result.deliveries++;
    if (!publisher->busy || publisher->number != number || publisher->receivers == 0) {
        all->result.strays++;
        return;
    }
    publisher->receivers--;
    if (publisher->receivers == 0 && publisher->answered) {
        done(publisher, load_now_us());
    }
}

static void on_answer(struct publisher *publisher)
{
    struct publishers *all = publisher->all;
    const uint64_t now = load_now_us();
    publisher->answer_size = 0;
    publisher->answered = true;
    if (strtoul(publisher->answer + 9, NULL, 10) / 100 != all->options.status / 100 &&
        all->result.errors++ == 0) {
        (void)fprintf(stderr, "%s\n", publisher->answer);
    }
    if (now >= all->counted_us && now < all->ends_us) {
        load_times_add(&all->result.answered, now - publisher->due_us);
    }
    if (publisher->receivers == 0) {
        done(publisher, now);
    }
}

static void hear(struct publisher *publisher, const char *heard, size_t heard_size)
{
    struct publishers *all = publisher->all;
    const struct dialect *dialect = all->options.dialect;
    struct dialect_text out = {.size = 0};
    enum dialect_step step = DIALECT_READY;
    if (dialect->hear != NULL && all->options.get == NULL) {
        step = dialect->hear(&publisher->stage, heard, heard_size, NULL, &out);
    }
    if (step == DIALECT_SEND) {
        say(publisher, &out);
    } else if (step == DIALECT_BROKEN) {
        errno = EPROTO;
        load_die("a publisher was not welcome");
    } else if (step == DIALECT_READY) {
        publisher->ready = true;
        all->ready_count++;
        if (all->ready_count == all->options.window) {
            ev_break(all->options.loop, EVBREAK_ALL);
        }
    }
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct publisher *publisher = (struct publisher *)watcher;
    char *answer = publisher->answer;
    ssize_t got =
        read(watcher->fd, answer + publisher->answer_size, ANSWER_MAX - 1 - publisher->answer_size);
    if (got == -1 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        load_die("a publisher lost its connection");
    }
    publisher->answer_size += (size_t)got;
    answer[publisher->answer_size] = '\0';
    if (!publisher->ready || publisher->all->options.dialect->publish != NULL) {
        hear(publisher, answer, publisher->answer_size); /* the rest it says is of no interest */
        publisher->answer_size = 0;
        return;
    }
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "content-length: ");
    if (end == NULL || length == NULL || length > end) {
        return;
    }
    if ((size_t)(end + 4 - answer) + strtoul(length + 16, NULL, 10) <= publisher->answer_size) {
        on_answer(publisher);
    }
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct publisher *publisher = (struct publisher *)watcher;
    ev_io_stop(loop, watcher);
    ev_io_set(watcher, watcher->fd, EV_READ);
    ev_set_cb(watcher, on_readable);
    ev_io_start(loop, watcher);
    hear(publisher, NULL, 0);
}

/* Sends what is due by now, as far as there are idle connections; the rest is late, and counts so. */
static void on_tick(struct ev_loop *loop, ev_io *timer, int events)
{
    (void)loop;
    (void)events;
    struct publishers *all = timer->data;
    load_timer_take(timer->fd);
    const uint64_t now = load_now_us();
    while (all->idle_count > 0 && wants_more(all)) {
        const uint64_t due_us = all->began_us + all->sent * 1000000U / all->options.rate;
        if (due_us > now) {
            return;
        }
        begin(&all->each[all->idle[--all->idle_count]], due_us);
    }
}

static void on_clock(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct publishers *all = timer->data;
    const uint64_t now = load_now_us();
    all->ending = all->ending || now >= all->ends_us;
    const bool stalled = all->busy_count > 0 && now > all->progress_us + STALL_US;
    if (stalled || (all->busy_count == 0 && !wants_more(all))) {
        ev_break(loop, EVBREAK_ALL);
    }
}

struct publishers *publishers_create(const struct publishers_options *options)
{
    struct publishers *all = calloc(1, sizeof(*all));
    if (all == NULL || (all->each = calloc(options->window, sizeof(*all->each))) == NULL ||
        (all->idle = calloc(options->window, sizeof(*all->idle))) == NULL) {
        load_die("calloc");
    }
    all->options = *options;
    for (unsigned i = 0; i < options->window; i++) {
        struct publisher *publisher = &all->each[i];
        publisher->all = all;
        publisher->number = options->number + i;
        ev_io_init(&publisher->io, on_connected, load_connect(options->port), EV_WRITE);
        ev_io_start(options->loop, &publisher->io);
    }
    ev_run(options->loop, 0);
    return all;
}

static void start(struct publishers *all)
{
    const struct publishers_options *options = &all->options;
    all->began_us = all->progress_us = load_now_us();
    all->counted_us = all->began_us + options->warm * 1000000ULL;
    all->ends_us =
        options->count != 0 ? UINT64_MAX : all->counted_us + options->seconds * 1000000ULL;
    ev_timer_init(&all->clock, on_clock, 0.005, 0.005);
    all->clock.data = all;
    ev_timer_start(options->loop, &all->clock);
    if (options->rate != 0) {
        for (size_t i = 0; i < options->window; i++) {
            all->idle[all->idle_count++] = i;
        }
        ev_io_init(&all->tick, on_tick, load_timer(options->rate), EV_READ);
        all->tick.data = all;
        ev_io_start(options->loop, &all->tick);
        return;
    }
    for (unsigned i = 0; i < options->window && wants_more(all); i++) {
        begin(&all->each[i], load_now_us());
    }
}

void publishers_run(struct publishers *all, struct publishers_result *ret_result)
{
    start(all);
    ev_run(all->options.loop, 0);
    const uint64_t now = load_now_us();
    all->result.took_us = (now < all->ends_us ? now : all->ends_us) - all->counted_us;
    all->result.missing = all->busy_count;
    *ret_result = all->result;
    all->result = (struct publishers_result){0};
}

uint32_t publishers_next_number(const struct publishers *all)
{
    uint32_t number = all->options.number;
    for (unsigned i = 0; i < all->options.window; i++) {
        if (all->each[i].number > number) {
            number = all->each[i].number;
        }
    }
    return number + all->options.window + 1;
}

void publishers_result_finish(struct publishers_result *result)
{
    load_times_free(&result->answered);
    load_times_free(&result->received);
}

void publishers_destroy(struct publishers *all)
{
    if (all == NULL) {
        return;
    }
    struct ev_loop *loop = all->options.loop;
    ev_timer_stop(loop, &all->clock);
    if (ev_is_active(&all->tick)) {
        ev_io_stop(loop, &all->tick);
        (void)close(all->tick.fd);
    }
    for (unsigned i = 0; i < all->options.window; i++) {
        ev_io_stop(loop, &all->each[i].io);
        (void)close(all->each[i].io.fd);
    }
    free(all->idle);
    free(all->each);
    free(all);
}
