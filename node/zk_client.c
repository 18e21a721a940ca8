/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The session. Each turn of the loop:
 *
 *   prepare --> no handle?  make one (resolving names first if that has not succeeded yet)
 *           --> zookeeper_interest(): connects, pings, gives fd, events and deadline
 *           --> all servers tried?  pause        else re-arm io and timer
 *   io      --> zookeeper_process(): completions, watches, session events
 *   settle  --> after either: an expired handle is closed, a doomed client is freed
 *
 * Whatever the library calls back happens inside one of these two calls, or in zookeeper_close().
 */

#include "node/zk_client_private.h"
#include "node/zk_servers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MIN_S 0.1
#define PAUSE_MAX_S 0.5

/* A handle remembers the last transaction it saw, and a server that has less of a history closes
 * the connection at the handshake. If that goes on for this long, the servers will not catch up:
 * their data is another. A new handle for the same session then finds out what became of it. */
#define REFUSALS_MIN 3
#define REFUSED_S    1.0

/* The library waits two thirds of the session timeout for the answer to a handshake. A server that
 * has just started may accept a connection and never read from it (3.8.0 does), so that may be far
 * too long: after this time we knock again, for the same session. */
#define GREETING_S 3.0

static const char *const state_names[] = {[RH_ZK_CONNECTING] = "connecting",
                                          [RH_ZK_CONNECTED] = "connected",
                                          [RH_ZK_DISCONNECTED] = "disconnected"};

const char *rh_zk_state_name(enum rh_zk_state state)
{
    return state_names[state];
}

/* The client on whose behalf the library runs at the moment: its log callback gets a line and
 * nothing else. Set for the length of a call only. */
static struct rh_zk_client *library_client;

struct rh_zk_client *rh_zk_library_enter(struct rh_zk_client *client)
{
    struct rh_zk_client *before = library_client;
    library_client = client;
    return before;
}

void rh_zk_library_leave(struct rh_zk_client *before)
{
    library_client = before;
}

/* "Socket 127.0.0.1:2181 zk retcode=-4, errno=111(Connection refused): ..." becomes
 * "127.0.0.1:2181: Connection refused". An end of file is the library's EHOSTDOWN. False when
 * |text| is another line. */
static bool note_socket_error(struct rh_zk_client *client, const char *text)
{
    struct rh_bytes line = rh_bytes_text(text);
    struct rh_bytes prefix = rh_bytes_text("Socket ");
    if (line.size < prefix.size || memcmp(line.data, prefix.data, prefix.size) != 0) {
        return false;
    }
    const char *server = text + prefix.size;
    const char *error = strstr(text, "errno=");
    const char *open = error == NULL ? NULL : strchr(error, '(');
    const char *close = open == NULL ? NULL : strstr(open, "): ");
    if (close == NULL) {
        return false;
    }
    struct rh_bytes what = rh_bytes(open + 1, (size_t)(close - open - 1));
    if (rh_bytes_equal_text(what, strerror(EHOSTDOWN))) {
        what = rh_bytes_text("connection closed");
    }
    (void)rh_fail(&client->reason, RH_ERR_UNREACHABLE, "%.*s: %.*s", (int)strcspn(server, " "),
                  server, RH_BYTES_ARG(what));
    return true;
}

/* A line is "TIME:PID:ZOO_WARN@function@number: text". What happens to the connection is told by
 * our own callbacks, so lines about that, and about attempts to make one, are for debugging only. */
static void library_log(const char *line)
{
    struct rh_zk_client *client = library_client;
    if (client == NULL) {
        return;
    }
    const char *text = strstr(line, "@");
    text = text == NULL ? NULL : strstr(text, ": ");
    text = text == NULL ? line : text + 2;
    bool known = note_socket_error(client, text) || client->state != RH_ZK_CONNECTED;
    rh_log(client->logger, known ? RH_LOG_DEBUG : RH_LOG_WARN, "zookeeper_library text=\"%.*s\"",
           (int)strcspn(text, "\n"), text);
}

static void release(struct rh_zk_client *client)
{
    if (client->handle != NULL) {
        struct rh_zk_client *before = rh_zk_library_enter(client);
        (void)zookeeper_close(client->handle);
        rh_zk_library_leave(before);
    }
    rh_zk_operations_drop(client);
    free(client->servers);
    free(client->addresses);
    free(client);
}

static void stop_watchers(struct rh_zk_client *client)
{
    ev_io_stop(client->loop, &client->io);
    ev_timer_stop(client->loop, &client->timer);
    ev_prepare_stop(client->loop, &client->prepare);
}

/* Tells the owner; the client may be doomed afterwards, but is still there. */
static void tell(struct rh_zk_client *client, enum rh_zk_session_event event)
{
    assert(client->depth > 0);
    if (client->handler->session != NULL && !client->doomed) {
        client->handler->session(client->context, event);
    }
}

static void arm_timer(struct rh_zk_client *client, double delay_s)
{
    ev_timer_stop(client->loop, &client->timer);
    ev_timer_set(&client->timer, delay_s, 0.0);
    ev_timer_start(client->loop, &client->timer);
}

static void pause_attempts(struct rh_zk_client *client)
{
    client->paused = true;
    /* Many nodes lose the same server at the same moment. */
    arm_timer(client, client->pause_s * (0.5 + drand48() / 2));
    client->pause_s *= 2;
    if (client->pause_s > PAUSE_MAX_S) {
        client->pause_s = PAUSE_MAX_S;
    }
}

static void on_connected(struct rh_zk_client *client)
{
    client->state = RH_ZK_CONNECTED;
    client->id = *zoo_client_id(client->handle);
    client->granted_ms = (uint32_t)zoo_recv_timeout(client->handle);
    client->reason.text[0] = '\0';
    client->pause_s = PAUSE_MIN_S;
    client->refusals = 0;
    enum rh_zk_session_event event =
        client->handle_fresh ? RH_ZK_SESSION_NEW : RH_ZK_SESSION_CONNECTED;
    client->handle_fresh = false;
    tell(client, event);
}

/* Session events. Called from within the library, which is not done with the handle yet. */
static void on_session(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle;
    (void)path;
    struct rh_zk_client *client = context;
    if (type != ZOO_SESSION_EVENT || client->doomed) {
        return;
    }
    if (state == ZOO_CONNECTED_STATE) {
        on_connected(client);
    } else if (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE) {
        client->spent = true;
    } else if (client->state == RH_ZK_CONNECTED) {
        client->state = RH_ZK_DISCONNECTED;
        tell(client, RH_ZK_SESSION_DISCONNECTED);
    }
}

/* Closing a handle that is not connected does not block; operations in it end here. */
static void drop_handle(struct rh_zk_client *client)
{
    ev_io_stop(client->loop, &client->io);
    client->io_stale = true;
    zhandle_t *handle = client->handle;
    client->handle = NULL;
    struct rh_zk_client *before = rh_zk_library_enter(client);
    (void)zookeeper_close(handle);
    rh_zk_library_leave(before);
}

static void expire(struct rh_zk_client *client)
{
    client->spent = false;
    drop_handle(client);
    client->id = (clientid_t){0};
    client->state = RH_ZK_CONNECTING;
    (void)rh_fail(&client->reason, RH_ERR_CLOSED, "the session has expired");
    client->refusals = 0;
    tell(client, RH_ZK_SESSION_EXPIRED);
}

static void enter(struct rh_zk_client *client)
{
    client->depth++;
}

/* End of whatever may have run callbacks. The client may be gone afterwards. */
static void settle(struct rh_zk_client *client)
{
    if (client->depth == 1 && client->spent && !client->doomed) {
        expire(client);
    }
    client->depth--;
    if (client->depth == 0 && client->doomed) {
        release(client);
    }
}

/* Makes a handle, which connects to nothing yet. */
static int attach(struct rh_zk_client *client)
{
    if (client->addresses == NULL) {
        int rv = rh_zk_servers_resolve(client->servers, &client->addresses, &client->reason);
        if (rv != 0) {
            return rv;
        }
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    client->handle = zookeeper_init2(client->addresses, on_session, (int)client->session_timeout_ms,
                                     client->id.client_id == 0 ? NULL : &client->id, client,
                                     ZOO_NO_LOG_CLIENTENV, library_log);
    if (client->handle != NULL) {
        /* Else it would resolve anew in each turn of the loop. */
        (void)zoo_set_servers_resolution_delay(client->handle, -1);
    }
    rh_zk_library_leave(before);
    if (client->handle == NULL) {
        return rh_fail(&client->reason, RH_ERR_NO_MEMORY, "no handle for %s", client->addresses);
    }
    client->handle_fresh = true;
    client->io_stale = true;
    return 0;
}

static int events_of(int interest)
{
    return ((interest & ZOOKEEPER_READ) != 0 ? EV_READ : 0) |
           ((interest & ZOOKEEPER_WRITE) != 0 ? EV_WRITE : 0);
}

static void arm_io(struct rh_zk_client *client, int fd, int events)
{
    if (!client->io_stale && client->io.fd == fd && ev_is_active(&client->io) &&
        (client->io.events & (EV_READ | EV_WRITE)) == events) {
        return;
    }
    ev_io_stop(client->loop, &client->io);
    ev_io_set(&client->io, fd, events);
    ev_io_start(client->loop, &client->io);
    client->io_stale = false;
}

/* Whether the server has left our handshake unanswered for too long. Starts and stops the clock,
 * and shortens |delay_s|, after which we look again. */
static bool greeting_is_late(struct rh_zk_client *client, double *delay_s)
{
    if (zoo_state(client->handle) != ZOO_ASSOCIATING_STATE) {
        client->greeting_at = 0.0;
        return false;
    }
    ev_tstamp now = ev_now(client->loop);
    if (client->greeting_at <= 0.0) {
        client->greeting_at = now;
    }
    double left_s = client->greeting_at + GREETING_S - now;
    if (left_s > 0.0 && left_s < *delay_s) {
        *delay_s = left_s;
    }
    return left_s <= 0.0;
}

static void drive(struct rh_zk_client *client)
{
    if (client->handle == NULL && attach(client) != 0) {
        pause_attempts(client);
        return;
    }
    int fd = -1;
    int interest = 0;
    struct timeval delay = {0};
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zookeeper_interest(client->handle, &fd, &interest, &delay);
    rh_zk_library_leave(before);
    if (client->doomed) {
        return;
    }
    if (rc == ZINVALIDSTATE) {
        client->spent = true;
        return;
    }
    if (rc != ZOK) {
        /* The socket is closed; come round at once for the next server. */
        ev_io_stop(client->loop, &client->io);
        client->io_stale = true;
        arm_timer(client, 0.0);
        return;
    }
    if (fd < 0) {
        /* All servers were tried. The library's own pause is short, and ends with any event. */
        ev_io_stop(client->loop, &client->io);
        client->io_stale = true;
        pause_attempts(client);
        return;
    }
    double delay_s = (double)delay.tv_sec + (double)delay.tv_usec / 1e6;
    if (greeting_is_late(client, &delay_s)) {
        (void)rh_fail(&client->reason, RH_ERR_TIMEOUT, "%s: the server does not answer",
                      zoo_get_current_server(client->handle));
        client->greeting_at = 0.0;
        drop_handle(client);
        pause_attempts(client);
        return;
    }
    arm_io(client, fd, events_of(interest));
    arm_timer(client, delay_s);
}

static void on_prepare(struct ev_loop *loop, struct ev_prepare *watcher, int revents)
{
    (void)loop;
    (void)revents;
    struct rh_zk_client *client = watcher->data;
    if (client->paused) {
        return;
    }
    enter(client);
    drive(client);
    settle(client);
}

static void on_refused(struct rh_zk_client *client)
{
    (void)rh_fail(&client->reason, RH_ERR_UNREACHABLE, "%s: the server ends the handshake",
                  zoo_get_current_server(client->handle));
    if (client->refusals == 0) {
        client->refused_at = ev_now(client->loop);
    }
    client->refusals++;
    if (client->handle_fresh || client->refusals < REFUSALS_MIN ||
        ev_now(client->loop) - client->refused_at < REFUSED_S) {
        return;
    }
    client->refusals = 0;
    rh_log(client->logger, RH_LOG_WARN, "zookeeper_handle_replaced reason=\"%s\"",
           client->reason.text);
    drop_handle(client);
}

static void on_io(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
    (void)loop;
    struct rh_zk_client *client = watcher->data;
    int events = ((revents & EV_READ) != 0 ? ZOOKEEPER_READ : 0) |
                 ((revents & EV_WRITE) != 0 ? ZOOKEEPER_WRITE : 0);
    enter(client);
    bool greeting = zoo_state(client->handle) == ZOO_ASSOCIATING_STATE;
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zookeeper_process(client->handle, events);
    rh_zk_library_leave(before);
    if (rc != ZOK && rc != ZNOTHING && !client->doomed) {
        ev_io_stop(client->loop, &client->io);
        client->io_stale = true;
        if (greeting && !client->spent) {
            on_refused(client);
        }
    }
    settle(client);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
    (void)loop;
    (void)revents;
    struct rh_zk_client *client = watcher->data;
    client->paused = false; /* prepare does the rest */
}

int rh_zk_client_create(struct ev_loop *loop, const struct rh_zk_options *options,
                        struct rh_zk_client **ret_client, struct rh_reason *reason)
{
    int rv = rh_zk_servers_check(options->servers, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    client->servers = strdup(options->servers);
    if (client->servers == NULL) {
        free(client);
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    client->loop = loop;
    client->session_timeout_ms = options->session_timeout_ms;
    client->logger = options->logger;
    client->handler = options->handler;
    client->context = options->context;
    client->state = RH_ZK_CONNECTING;
    client->pause_s = PAUSE_MIN_S;
    client->io_stale = true;
    rh_list_init(&client->operations);

    ev_prepare_init(&client->prepare, on_prepare);
    ev_set_priority(&client->prepare, EV_MINPRI); /* after those that may write */
    ev_io_init(&client->io, on_io, -1, 0);
    ev_timer_init(&client->timer, on_timer, 0.0, 0.0);
    client->prepare.data = client->io.data = client->timer.data = client;
    ev_prepare_start(loop, &client->prepare);

    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    int attached = attach(client);
    if (attached != 0) {
        pause_attempts(client); /* prepare tries again */
    }
    *ret_client = client;
    return 0;
}

void rh_zk_client_destroy(struct rh_zk_client *client)
{
    if (client == NULL || client->doomed) {
        return;
    }
    stop_watchers(client);
    client->doomed = true;
    if (client->depth == 0) {
        release(client);
    }
}

enum rh_zk_state rh_zk_client_state(const struct rh_zk_client *client)
{
    return client->state;
}

int64_t rh_zk_client_session(const struct rh_zk_client *client)
{
    return client->id.client_id;
}

uint32_t rh_zk_client_session_timeout_ms(const struct rh_zk_client *client)
{
    return client->granted_ms;
}

const char *rh_zk_client_reason(const struct rh_zk_client *client)
{
    return client->reason.text;
}

/* Blocking use. */

static void on_deadline(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
    (void)loop;
    (void)revents;
    *(bool *)watcher->data = true;
}

/* Runs the loop until |done| says so. */
static int run_until(struct ev_loop *loop, bool (*done)(const void *), const void *argument,
                     uint32_t timeout_ms)
{
    bool late = false;
    struct ev_timer deadline;
    ev_now_update(loop);
    ev_timer_init(&deadline, on_deadline, timeout_ms / 1000.0, 0.0);
    deadline.data = &late;
    ev_timer_start(loop, &deadline);
    while (!done(argument) && !late) {
        ev_run(loop, EVRUN_ONCE);
    }
    ev_timer_stop(loop, &deadline);
    return done(argument) ? 0 : RH_ERR_TIMEOUT;
}

static bool flag_is_set(const void *argument)
{
    return *(const bool *)argument;
}

static bool client_is_connected(const void *argument)
{
    return rh_zk_client_state(argument) == RH_ZK_CONNECTED;
}

int rh_zk_client_wait(struct rh_zk_client *client, const bool *done, uint32_t timeout_ms)
{
    return run_until(client->loop, flag_is_set, done, timeout_ms);
}

int rh_zk_client_wait_connected(struct rh_zk_client *client, uint32_t timeout_ms,
                                struct rh_reason *reason)
{
    int rv = run_until(client->loop, client_is_connected, client, timeout_ms);
    if (rv == 0) {
        return 0;
    }
    return rh_fail(reason, RH_ERR_UNREACHABLE, "ZooKeeper at %s: %s", client->servers,
                   client->reason.text[0] == '\0' ? "no answer" : client->reason.text);
}
