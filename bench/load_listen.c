/* SPDX-License-Identifier: Apache-2.0 */

/*
 * load_listen [PORT...]: many WebSockets in one process. Each follows `moved`, and comes back with
 * its position when its connection breaks, at once and at each of the given ports in turn. Commands
 * on stdin:
 *
 *     open               then lines "PORT KEY", one connection each, up to an empty one
 *     touch              likewise, but each is closed as soon as it is welcome: makes channels
 *     publish            from now on a client that is back after a break publishes at once
 *     kill PID           sends SIGKILL; breaks are counted from here
 *     wait COUNT MS      until that many are back after a move or a break, or so long; prints
 *     quit
 *
 * Each command but `publish` and `kill` is answered by one line of JSON. `moves`: from `moved` to
 * `welcome` at the new owner. `breaks`: from the end of the connection to `welcome`. `deliveries`:
 * from `kill` to the first message that came by the new owner.
 */

#include "drill/frame.h"
#include "load.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPENING_MAX   256 /* handshakes under way at the same time */
#define PORTS_MAX     16
#define KEY_SIZE      64
#define POSITION_SIZE 48
#define BUFFER_SIZE   1536
#define OLDS_MAX      8000 /* connections that wait for their successor: descriptors are few */
#define RETRY_S       0.01

enum state { IDLE, OPENING, WELCOME, GONE };

/* One client, whatever connections it has in turn. */
struct client {
    ev_io io;
    ev_timer retry;
    enum state state;
    bool touch;
    bool upgraded;
    bool broken;   /* rather than moved, when since_us is set */
    bool awaiting; /* its own message, after a break */
    int old;       /* the connection that was told moved, until the new one is welcome */
    unsigned turn; /* of the ports */
    uint16_t port;
    uint64_t since_us;
    char key[KEY_SIZE];
    char position[POSITION_SIZE]; /* "incarnation:seq" */
    char incarnation[20];
    char *buffer;
    size_t size;
};

static struct {
    struct ev_loop *loop;
    struct client **clients;
    size_t count;
    size_t next; /* to be opened */
    size_t opening;
    size_t welcome;
    size_t gone; /* touched */
    size_t back; /* after a move or a break */
    size_t not_recovered;
    size_t failures;
    size_t olds;
    bool publish;
    uint64_t killed_us;
    uint16_t ports[PORTS_MAX];
    unsigned ports_count;
    struct load_times moves;
    struct load_times breaks;
    struct load_times deliveries;
} all;

static void client_open(struct client *client, const char *path);
static void open_more(void);

static void drop(struct client *client)
{
    ev_io_stop(all.loop, &client->io);
    (void)close(client->io.fd);
    free(client->buffer);
    client->buffer = NULL;
    client->upgraded = false;
    client->size = 0;
}

static void drop_old(struct client *client)
{
    if (client->old != -1) {
        (void)close(client->old);
        client->old = -1;
        all.olds--;
    }
}

/* The value of "name": in one of the node's own messages; it is not escaped there. */
static bool field(const char *text, const char *name, char *out, size_t space)
{
    char pattern[40];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":", name);
    const char *from = strstr(text, pattern);
    if (from == NULL) {
        return false;
    }
    from += strlen(pattern);
    from += *from == '"';
    size_t size = strcspn(from, "\",}");
    if (size >= space) {
        return false;
    }
    memcpy(out, from, size);
    out[size] = '\0';
    return true;
}

static void send_text(struct client *client, const char *text)
{
    const size_t size = strlen(text);
    unsigned char frame[160] = {0x81, (unsigned char)(0x80U | size), 0, 0, 0, 0};
    memcpy(frame + 6, text, size); /* masked with zero */
    if (size > 125 || write(client->io.fd, frame, size + 6) != (ssize_t)(size + 6)) {
        all.failures++;
    }
}

/* Goes to another node, with its position. */
static void come_back(struct client *client)
{
    char path[256];
    client->port = all.ports[client->turn++ % all.ports_count];
    (void)snprintf(path, sizeof(path), "/v1/channels/%s/ws%s%s", client->key,
                   client->position[0] != '\0' ? "?after=" : "", client->position);
    client_open(client, path);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    come_back(timer->data);
}

static void broken(struct client *client)
{
    drop(client);
    drop_old(client);
    if (all.ports_count == 0) {
        load_die("a connection broke");
    }
    if (client->state == WELCOME) {
        client->state = OPENING;
        client->since_us = load_now_us();
        client->broken = true;
        client->turn = (unsigned)random();
        all.welcome--;
        come_back(client);
        return;
    }
    all.failures++;
    client->retry.data = client;
    ev_timer_init(&client->retry, on_retry, RETRY_S, 0.0);
    ev_timer_start(all.loop, &client->retry);
}

static void on_welcome(struct client *client, const char *text)
{
    char seq[24];
    char recovered[8];
    if (!field(text, "incarnation", client->incarnation, sizeof(client->incarnation)) ||
        !field(text, "seq", seq, sizeof(seq)) ||
        !field(text, "recovered", recovered, sizeof(recovered))) {
        load_die(text);
    }
    (void)snprintf(client->position, sizeof(client->position), "%s:%s", client->incarnation, seq);
    drop_old(client);
    if (client->state == OPENING && client->since_us == 0) {
        all.opening--;
    }
    if (client->touch) {
        drop(client);
        client->state = GONE;
        all.gone++;
        open_more();
        return;
    }
    client->state = WELCOME;
    all.welcome++;
    if (client->since_us != 0) {
        load_times_add(client->broken ? &all.breaks : &all.moves, load_now_us() - client->since_us);
        all.not_recovered += strcmp(recovered, "true") != 0;
        client->since_us = 0;
        all.back++;
        if (client->broken && all.publish) {
            client->awaiting = true;
            send_text(client, "{\"type\":\"publish\",\"data\":\"I am back\"}");
        }
        client->broken = false;
    }
    open_more();
}

static void on_moved(struct client *client, const char *text)
{
    char url[512];
    unsigned port = 0;
    int at = 0;
    if (!field(text, "url", url, sizeof(url)) ||
        sscanf(url, "ws://127.0.0.1:%u%n", &port, &at) != 1) {
        load_die(text);
    }
    if (client->state == WELCOME) {
        client->since_us = load_now_us();
        client->state = OPENING;
        all.welcome--;
    }
    drop_old(client);
    ev_io_stop(all.loop, &client->io);
    client->old = client->io.fd;
    all.olds++;
    if (all.olds > OLDS_MAX) {
        drop_old(client);
    }
    client->upgraded = false;
    client->size = 0;
    client->port = (uint16_t)port;
    client_open(client, url + at);
}

static void on_text(struct client *client, const char *text)
{
    char type[16];
    char seq[24];
    if (!field(text, "type", type, sizeof(type))) {
        load_die(text);
    }
    if (strcmp(type, "welcome") == 0) {
        on_welcome(client, text);
    } else if (strcmp(type, "moved") == 0) {
        on_moved(client, text);
    } else if (strcmp(type, "message") == 0 && field(text, "seq", seq, sizeof(seq))) {
        (void)snprintf(client->position, sizeof(client->position), "%s:%s", client->incarnation,
                       seq);
        if (client->awaiting) {
            client->awaiting = false;
            load_times_add(&all.deliveries, load_now_us() - all.killed_us);
        }
    }
}

static void take_frames(struct client *client)
{
    struct rh_frame frame;
    size_t frame_size = 0;
    while (client->upgraded) {
        int rv = rh_frame_read(rh_bytes(client->buffer, client->size), BUFFER_SIZE - 8, &frame,
                               &frame_size);
        if (rv == RH_ERR_AGAIN) {
            return;
        }
        if (rv != 0) {
            load_die(rh_error_text(rv));
        }
        char text[BUFFER_SIZE];
        (void)snprintf(text, sizeof(text), "%.*s", (int)frame.payload.size, frame.payload.data);
        client->size -= frame_size;
        memmove(client->buffer, client->buffer + frame_size, client->size);
        if (frame.opcode == RH_WEBSOCKET_TEXT) {
            on_text(client, text);
        } else if (frame.opcode == RH_WEBSOCKET_CLOSE) {
            broken(client);
            return;
        }
    }
}

static void take_answer(struct client *client)
{
    client->buffer[client->size] = '\0';
    const char *end = strstr(client->buffer, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    if (strncmp(client->buffer, "HTTP/1.1 101", 12) != 0) {
        broken(client);
        return;
    }
    const size_t used = (size_t)(end + 4 - client->buffer);
    client->size -= used;
    memmove(client->buffer, client->buffer + used, client->size);
    client->upgraded = true;
    take_frames(client);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct client *client = (struct client *)watcher;
    if (client->buffer == NULL && (client->buffer = malloc(BUFFER_SIZE)) == NULL) {
        load_die("malloc");
    }
    ssize_t size = read(watcher->fd, client->buffer + client->size, BUFFER_SIZE - 1 - client->size);
    if (size == -1 && errno == EAGAIN) {
        return;
    }
    if (size <= 0) {
        broken(client);
        return;
    }
    client->size += (size_t)size;
    if (client->upgraded) {
        take_frames(client);
    } else {
        take_answer(client);
    }
    if (client->upgraded && client->size == 0) { /* most are idle most of the time */
        free(client->buffer);
        client->buffer = NULL;
    }
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct client *client = (struct client *)watcher;
    int error = 0;
    socklen_t size = sizeof(error);
    (void)getsockopt(watcher->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        broken(client);
        return;
    }
    const size_t length = strlen(client->buffer);
    if (write(watcher->fd, client->buffer, length) != (ssize_t)length) {
        broken(client);
        return;
    }
    free(client->buffer);
    client->buffer = NULL;
    ev_io_stop(loop, watcher);
    ev_io_init(watcher, on_readable, watcher->fd, EV_READ);
    ev_io_start(loop, watcher);
}

static void client_open(struct client *client, const char *path)
{
    free(client->buffer);
    client->buffer = malloc(BUFFER_SIZE);
    if (client->buffer == NULL) {
        load_die("malloc");
    }
    (void)snprintf(client->buffer, BUFFER_SIZE,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Protocol: ringhop.v1\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                   path, (unsigned)client->port);
    ev_io_init(&client->io, on_connected, load_connect(client->port), EV_WRITE);
    ev_io_start(all.loop, &client->io);
}

static void open_more(void)
{
    while (all.next < all.count && all.opening < OPENING_MAX) {
        struct client *client = all.clients[all.next++];
        char path[160];
        (void)snprintf(path, sizeof(path), "/v1/channels/%s/ws", client->key);
        client->state = OPENING;
        all.opening++;
        client_open(client, path);
    }
    if (all.next == all.count && all.opening == 0) {
        ev_break(all.loop, EVBREAK_ALL); /* for whoever waits for it */
    }
}

static void report(void)
{
    printf("{\"clients\": %zu, \"welcome\": %zu, \"touched\": %zu, \"back\": %zu, "
           "\"not_recovered\": %zu, \"failures\": %zu, \"now_us\": %" PRIu64 ", ",
           all.count, all.welcome, all.gone, all.back, all.not_recovered, all.failures,
           load_now_us());
    load_times_print(&all.moves, "moves", stdout);
    printf(", ");
    load_times_print(&all.breaks, "breaks", stdout);
    printf(", ");
    load_times_print(&all.deliveries, "deliveries", stdout);
    printf("}\n");
}

static void command_open(bool touch)
{
    struct load_lines lines;
    load_lines_read(&lines);
    all.clients = realloc(all.clients, (all.count + lines.count) * sizeof(*all.clients));
    struct client *fresh = calloc(lines.count, sizeof(*fresh));
    if (all.clients == NULL || fresh == NULL) {
        load_die("too many");
    }
    for (size_t i = 0; i < lines.count; i++) {
        unsigned port = 0;
        if (sscanf(lines.line[i], "%u %63s", &port, fresh[i].key) != 2) {
            load_die(lines.line[i]);
        }
        fresh[i].port = (uint16_t)port;
        fresh[i].touch = touch;
        fresh[i].old = -1;
        all.clients[all.count++] = &fresh[i];
    }
    load_lines_free(&lines);
    open_more();
    ev_run(all.loop, 0);
    report();
}

static void on_wait(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    const ev_tstamp *end = timer->data;
    if (ev_now(loop) >= *end) {
        ev_break(loop, EVBREAK_ALL);
    }
}

/* Nothing is read meanwhile but sockets. */
static void command_wait(size_t count, unsigned ms)
{
    ev_timer tick;
    ev_now_update(all.loop);
    ev_tstamp end = ev_now(all.loop) + ms / 1000.0;
    ev_timer_init(&tick, on_wait, 0.001, 0.001);
    tick.data = &end;
    ev_timer_start(all.loop, &tick);
    while (ev_now(all.loop) < end &&
           (all.back < count || (all.publish && all.deliveries.count < all.breaks.count))) {
        ev_run(all.loop, EVRUN_ONCE);
    }
    ev_timer_stop(all.loop, &tick);
    report();
}

int main(int argc, char **argv)
{
    char line[128];
    size_t count = 0;
    unsigned ms = 0;
    int pid = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdin, NULL, _IOFBF, 1 << 16);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc && i <= PORTS_MAX; i++) {
        all.ports[all.ports_count++] = (uint16_t)strtoul(argv[i], NULL, 10);
    }
    all.loop = ev_default_loop(0);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "open\n") == 0 || strcmp(line, "touch\n") == 0) {
            command_open(line[0] == 't');
        } else if (strcmp(line, "publish\n") == 0) {
            all.publish = true;
        } else if (sscanf(line, "kill %d", &pid) == 1) {
            all.killed_us = load_now_us();
            (void)kill(pid, SIGKILL);
        } else if (sscanf(line, "wait %zu %u", &count, &ms) == 2) {
            command_wait(count, ms);
        } else {
            break;
        }
    }
    return 0;
}
