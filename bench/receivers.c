/* SPDX-License-Identifier: Apache-2.0 */
#include "receivers.h"

#include "drill/frame.h"
#include "mark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (256U << 10)

enum state { CONNECTING, UPGRADING, GREETING, READY };

struct receiver {
    ev_io io;
    struct receivers *all;
    char *held; /* the begin of a frame or an answer, NULL: nothing */
    uint32_t held_size;
    uint32_t key;
    uint32_t began_us; /* the low half is enough for what a handshake takes */
    uint8_t state;     /* enum state */
    unsigned stage;    /* of the dialect's way to READY */
};

struct receivers {
    struct receivers_options options;
    struct receiver *each;
    size_t next; /* to be opened */
    size_t opening;
    size_t ready;
    struct load_times *times;
    char buffer[BUFFER_SIZE];
};

static void open_more(struct receivers *all);

static void say(struct receiver *receiver, const char *bytes, size_t size)
{
    if (write(receiver->io.fd, bytes, size) != (ssize_t)size) {
        load_die("a receiver cannot write");
    }
}

static void say_frame(struct receiver *receiver, enum rh_websocket_opcode opcode, const char *bytes,
                      size_t size)
{
    char frame[DIALECT_TEXT_MAX + 8] = {(char)(0x80U | opcode)};
    size_t head = 2;
    if (size < 126) {
        frame[1] = (char)(0x80U | size);
    } else {
        frame[1] = (char)(0x80U | 126U);
        frame[2] = (char)(size >> 8);
        frame[3] = (char)(size & 0xFFU);
        head = 4;
    }
    memset(frame + head, 0, 4); /* masked, with zero */
    memcpy(frame + head + 4, bytes, size);
    say(receiver, frame, head + 4 + size);
}

static void ready(struct receiver *receiver)
{
    struct receivers *all = receiver->all;
    receiver->state = READY;
    load_times_add(all->times, (uint32_t)load_now_us() - receiver->began_us);
    all->ready++;
    all->opening--;
    if (all->ready == all->options.count) {
        ev_break(all->options.loop, EVBREAK_ALL);
    }
    open_more(all);
}

static void greet(struct receiver *receiver, const char *heard, size_t heard_size)
{
    const struct receivers_options *options = &receiver->all->options;
    if (options->dialect->hear == NULL) {
        ready(receiver);
        return;
    }
    struct dialect_text out = {.size = 0};
    switch (options->dialect->hear(&receiver->stage, heard, heard_size,
                                   options->keys->line[receiver->key], &out)) {
    case DIALECT_WAIT:
        return;
    case DIALECT_SEND:
        say_frame(receiver, options->dialect->binary ? RH_WEBSOCKET_BINARY : RH_WEBSOCKET_TEXT,
                  out.bytes, out.size);
        return;
    case DIALECT_READY:
        ready(receiver);
        return;
    case DIALECT_BROKEN:
        break;
    }
    (void)fprintf(stderr, "%.*s\n", (int)heard_size, heard);
    errno = EPROTO;
    load_die("a receiver was not welcome");
}

static void on_marks(struct receiver *receiver, const char *bytes, size_t size)
{
    const struct receivers_options *options = &receiver->all->options;
    uint32_t number = 0;
    while (load_mark_next(&bytes, &size, &number)) {
        options->on_message(options->context, number);
    }
}

static void on_frame(struct receiver *receiver, const struct rh_frame *frame)
{
    const struct rh_bytes payload = frame->payload;
    if (frame->opcode == RH_WEBSOCKET_PING) {
        say_frame(receiver, RH_WEBSOCKET_PONG, payload.data, payload.size);
    } else if (frame->opcode == RH_WEBSOCKET_CLOSE) {
        errno = ECONNRESET;
        load_die("the server closed a receiver");
    } else if (receiver->state == GREETING) {
        greet(receiver, payload.data, payload.size);
    } else {
        on_marks(receiver, payload.data, payload.size);
    }
}

/* How many bytes of the begin were used. */
static size_t take_answer(struct receiver *receiver, const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    if (size < 12 || memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        (void)fprintf(stderr, "%.*s\n", (int)size, bytes);
        errno = EPROTO;
        load_die("no WebSocket");
    }
    receiver->state = GREETING;
    greet(receiver, NULL, 0);
    return (size_t)(end + 4 - bytes);
}

static size_t take(struct receiver *receiver, const char *bytes, size_t size)
{
    size_t used = 0;
    if (receiver->state == UPGRADING) {
        used = take_answer(receiver, bytes, size);
    }
    struct rh_frame frame;
    size_t frame_size = 0;
    int rv = 0;
    while (receiver->state >= GREETING &&
           (rv = rh_frame_read(rh_bytes(bytes + used, size - used), BUFFER_SIZE / 2, &frame,
                               &frame_size)) == 0) {
        on_frame(receiver, &frame);
        used += frame_size;
    }
    if (rv != 0 && rv != RH_ERR_AGAIN) {
        errno = EPROTO;
        load_die(rh_error_text(rv));
    }
    return used;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct receiver *receiver = (struct receiver *)watcher;
    char *buffer = receiver->all->buffer;
    size_t size = receiver->held_size;
    if (size > 0) {
        memcpy(buffer, receiver->held, size);
        free(receiver->held);
        receiver->held = NULL;
        receiver->held_size = 0;
    }
    ssize_t got = read(watcher->fd, buffer + size, BUFFER_SIZE - size);
    if (got <= 0 && errno != EAGAIN) {
        load_die("a receiver lost its connection");
    }
    size += got > 0 ? (size_t)got : 0;
    size_t used = take(receiver, buffer, size);
    if (used < size) {
        receiver->held_size = (uint32_t)(size - used);
        receiver->held = malloc(receiver->held_size);
        if (receiver->held == NULL) {
            load_die("malloc");
        }
        memcpy(receiver->held, buffer + used, receiver->held_size);
    }
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct receiver *receiver = (struct receiver *)watcher;
    const struct receivers_options *options = &receiver->all->options;
    struct dialect_text request;
    dialect_upgrade(options->dialect, options->keys->line[receiver->key], &request);
    say(receiver, request.bytes, request.size);
    receiver->state = UPGRADING;
    ev_io_stop(loop, watcher);
    ev_io_set(watcher, watcher->fd, EV_READ);
    ev_set_cb(watcher, on_readable);
    ev_io_start(loop, watcher);
}

static void open_more(struct receivers *all)
{
    const struct receivers_options *options = &all->options;
    while (all->next < options->count && all->opening < options->opening_max) {
        struct receiver *receiver = &all->each[all->next];
        receiver->all = all;
        receiver->key = (uint32_t)(all->next % options->keys->count);
        receiver->began_us = (uint32_t)load_now_us();
        ev_io_init(&receiver->io, on_connected, load_connect(options->port), EV_WRITE);
        ev_io_start(options->loop, &receiver->io);
        all->next++;
        all->opening++;
    }
}

struct receivers *receivers_create(const struct receivers_options *options,
                                   struct load_times *ret_times)
{
    struct receivers *all = calloc(1, sizeof(*all));
    struct receiver *each = calloc(options->count, sizeof(*each));
    if (all == NULL || each == NULL) {
        load_die("too many receivers");
    }
    all->options = *options;
    all->each = each;
    all->times = ret_times;
    open_more(all);
    if (options->count > 0) {
        ev_run(options->loop, 0);
    }
    return all;
}

size_t receivers_of(const struct receivers *receivers, size_t key)
{
    if (receivers == NULL) {
        return 0;
    }
    const size_t keys_count = receivers->options.keys->count;
    return receivers->options.count / keys_count + (key < receivers->options.count % keys_count);
}

void receivers_destroy(struct receivers *receivers)
{
    if (receivers == NULL) {
        return;
    }
    for (size_t i = 0; i < receivers->next; i++) {
        ev_io_stop(receivers->options.loop, &receivers->each[i].io);
        (void)close(receivers->each[i].io.fd);
        free(receivers->each[i].held);
    }
    free(receivers->each);
    free(receivers);
}
