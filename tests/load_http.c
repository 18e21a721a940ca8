/* SPDX-License-Identifier: Apache-2.0 */

/*
 * load_http PORT [NAME=VALUE...]: publishes to a node on this machine and says how long it took.
 *
 *     connections=64   one publish under way on each
 *     seconds=5        how long, after `warm` (1) seconds that do not count
 *     rate=0           publishes a second, at even times; 0: as fast as answers come
 *     count=0          instead of `seconds`: that many of each key
 *     bytes=200        of payload
 *
 * The keys come on stdin, one a line, and are taken in turn. Prints one JSON object: with `rate`,
 * times are counted from when a publish was due, so a node that stalls cannot hide it.
 */

#include "load.h"

#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define REQUEST_MAX     4096
#define ANSWER_MAX      2048

struct connection {
    ev_io io;
    bool busy;
    uint64_t due_us;
    char answer[ANSWER_MAX];
    size_t answer_size;
};

static struct {
    struct ev_loop *loop;
    struct load_lines keys;
    size_t next_key;
    uint16_t port;
    unsigned connections_count;
    unsigned seconds;
    unsigned warm;
    unsigned rate;
    unsigned count;
    unsigned bytes;
    char payload[REQUEST_MAX / 2];
    struct connection *connections;
    size_t idle[CONNECTIONS_MAX]; /* with rate */
    size_t idle_count;
    uint64_t began_us;
    uint64_t counted_us; /* from when on answers count */
    uint64_t sent;
    uint64_t answered;
    uint64_t done; /* that count */
    uint64_t errors;
    struct load_times times;
} load;

static void publish(struct connection *connection, uint64_t due_us)
{
    const char *key = load.keys.line[load.next_key];
    load.next_key = load.next_key + 1 == load.keys.count ? 0 : load.next_key + 1;
    char request[REQUEST_MAX];
    int size = snprintf(request, sizeof(request),
                        "POST /v1/channels/%s/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                        "Content-Type: text/plain\r\nContent-Length: %u\r\n\r\n%.*s",
                        key, load.bytes, (int)load.bytes, load.payload);
    connection->busy = true;
    connection->due_us = due_us;
    connection->answer_size = 0;
    load.sent++;
    if (write(connection->io.fd, request, (size_t)size) != size) {
        load_die("write");
    }
}

static bool wants_more(void)
{
    return load.count == 0 || load.sent < (uint64_t)load.count * load.keys.count;
}

static void answered(struct connection *connection)
{
    const uint64_t now = load_now_us();
    connection->busy = false;
    load.answered++;
    if (strncmp(connection->answer, "HTTP/1.1 201", 12) != 0) {
        if (load.errors++ == 0) {
            (void)fprintf(stderr, "%s\n", connection->answer);
        }
    } else if (now >= load.counted_us) {
        load.done++;
        load_times_add(&load.times, now - connection->due_us);
    }
    if (load.rate != 0) {
        load.idle[load.idle_count++] = (size_t)(connection - load.connections);
    } else if (wants_more()) {
        publish(connection, now);
    } else if (load.answered == load.sent) {
        ev_break(load.loop, EVBREAK_ALL);
    }
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct connection *connection = (struct connection *)watcher;
    ssize_t size = read(watcher->fd, connection->answer + connection->answer_size,
                        ANSWER_MAX - 1 - connection->answer_size);
    if (size == -1 && errno == EAGAIN) {
        return;
    }
    if (size <= 0) {
        load_die("the node closed a connection");
    }
    connection->answer_size += (size_t)size;
    connection->answer[connection->answer_size] = '\0';
    const char *end = strstr(connection->answer, "\r\n\r\n");
    const char *length = strcasestr(connection->answer, "content-length: ");
    if (end == NULL || length == NULL) {
        return;
    }
    if ((size_t)(end + 4 - connection->answer) + strtoul(length + 16, NULL, 10) <=
        connection->answer_size) {
        answered(connection);
    }
}

/* Sends what is due by now, as far as there are idle connections; the rest is late, and counts so. */
static void on_tick(struct ev_loop *loop, ev_io *timer, int events)
{
    (void)loop;
    (void)events;
    load_timer_take(timer->fd);
    const uint64_t now = load_now_us();
    while (load.idle_count > 0) {
        const uint64_t due = load.began_us + load.sent * 1000000U / load.rate;
        if (due > now) {
            return;
        }
        publish(&load.connections[load.idle[--load.idle_count]], due);
    }
}

static void on_end(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void take_option(const char *argument)
{
    if (sscanf(argument, "connections=%u", &load.connections_count) != 1 &&
        sscanf(argument, "seconds=%u", &load.seconds) != 1 &&
        sscanf(argument, "warm=%u", &load.warm) != 1 &&
        sscanf(argument, "rate=%u", &load.rate) != 1 &&
        sscanf(argument, "count=%u", &load.count) != 1 &&
        sscanf(argument, "bytes=%u", &load.bytes) != 1) {
        errno = EINVAL;
        load_die(argument);
    }
    if (load.connections_count == 0 || load.connections_count > CONNECTIONS_MAX ||
        load.bytes > sizeof(load.payload)) {
        errno = ERANGE;
        load_die(argument);
    }
}

static void connections_open(void)
{
    load.connections = calloc(load.connections_count, sizeof(*load.connections));
    if (load.connections == NULL) {
        load_die("calloc");
    }
    for (size_t i = 0; i < load.connections_count; i++) {
        struct connection *connection = &load.connections[i];
        int link = load_connect(load.port);
        ev_io_init(&connection->io, on_readable, link, EV_READ);
        ev_io_start(load.loop, &connection->io);
        load.idle[load.idle_count++] = i;
    }
}

static void run(void)
{
    ev_io tick;
    ev_timer end;
    (void)usleep(100000); /* all are connected by then */
    load.began_us = load_now_us();
    load.counted_us = load.count != 0 ? load.began_us : load.began_us + load.warm * 1000000ULL;
    if (load.rate != 0) {
        ev_io_init(&tick, on_tick, load_timer(load.rate), EV_READ);
        ev_io_start(load.loop, &tick);
    } else {
        for (size_t i = 0; i < load.connections_count && wants_more(); i++) {
            publish(&load.connections[i], load_now_us());
        }
    }
    if (load.count == 0) {
        ev_timer_init(&end, on_end, (double)(load.warm + load.seconds), 0.0);
        ev_timer_start(load.loop, &end);
    }
    ev_run(load.loop, 0);
}

int main(int argc, char **argv)
{
    load.connections_count = 64;
    load.seconds = 5;
    load.warm = 1;
    load.bytes = 200;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: load_http PORT [NAME=VALUE...] < KEYS\n");
        return 2;
    }
    load.port = (uint16_t)strtoul(argv[1], NULL, 10);
    for (int i = 2; i < argc; i++) {
        take_option(argv[i]);
    }
    memset(load.payload, 'x', sizeof(load.payload));
    load_keys_read(&load.keys);
    load.loop = ev_default_loop(0);
    connections_open();
    run();
    const struct load_result result = {
        .done = load.done,
        .all = load.answered,
        .errors = load.errors,
        .took_us = load_now_us() - load.counted_us,
        .cpu_us = load_cpu_us(),
    };
    load_result_print(&result, &load.times);
    load_times_free(&load.times);
    load_lines_free(&load.keys);
    free(load.connections);
    return 0;
}
