/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_peer_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A connection that another node opened:
 *
 *   GREETING --hello, fits--> OPEN       messages and pings come, pongs go
 *       |-----hello, asks---> ANSWERED   got our hello; the other side closes
 *       +-----hello, wrong--> REFUSED    got our hello with the reason; we shut down, they close
 *
 * All but OPEN end hello_timeout_ms after the accept. OPEN ends when the other side has been
 * silent for SILENCE_LOOKS quarters of our pong timeout (16 s): its host is gone or its process
 * stands still, for a dialler pings. With the connection goes what it had queued, which would be
 * old by the time it came (docs/protocol-cluster.md, N9). Silence is counted in looks, not by a
 * clock: when this process itself stood still, what waits in the socket is heard before the next.
 */

#define ACCEPTS_MAX   16 /* a turn */
#define PAUSE_MS      100
#define SILENCE_LOOKS 16
#define ADDRESS_SIZE  80

enum incoming_state { GREETING, OPEN, ANSWERED, REFUSED, BURIED };

static const struct rh_machine_state incoming_states[] = {
    [GREETING] = {"greeting", RH_STATE_BIT(OPEN) | RH_STATE_BIT(ANSWERED) | RH_STATE_BIT(REFUSED) |
                                  RH_STATE_BIT(BURIED)},
    [OPEN] = {"open", RH_STATE_BIT(BURIED)},
    [ANSWERED] = {"answered", RH_STATE_BIT(BURIED)},
    [REFUSED] = {"refused", RH_STATE_BIT(BURIED)},
    [BURIED] = {"buried", 0},
};

struct rh_peer_incoming {
    struct rh_list list_link; /* rh_ev_peer::incoming */
    struct rh_peer_grave grave;
    struct rh_ev_peer *peers;
    struct rh_machine machine;
    struct rh_peer_stream stream;
    ev_timer timer;
    bool heard;              /* OPEN: something came since the last look */
    unsigned silent_looks;   /* OPEN: in a row, without anything */
    struct rh_node_ref from; /* OPEN */
    struct rh_epoch epoch;   /* OPEN: the highest that it has shown */
    char address[ADDRESS_SIZE];
};

static struct rh_peer_incoming *incoming_of(struct rh_peer_stream *stream)
{
    return rh_container_of(stream, struct rh_peer_incoming, stream);
}

static enum incoming_state state_of(const struct rh_peer_incoming *incoming)
{
    return (enum incoming_state)incoming->machine.state;
}

static void free_incoming(struct rh_peer_grave *grave)
{
    struct rh_peer_incoming *incoming = rh_container_of(grave, struct rh_peer_incoming, grave);
    rh_peer_stream_free(&incoming->stream);
    free(incoming);
}

static void bury(struct rh_peer_incoming *incoming)
{
    struct rh_ev_peer *peers = incoming->peers;
    rh_machine_move(&incoming->machine, BURIED);
    rh_list_remove(&incoming->list_link);
    peers->incoming_count--;
    peers->incoming_full = false;
    ev_timer_stop(peers->loop, &incoming->timer);
    rh_peer_stream_close(&incoming->stream);
    rh_peer_bury(peers, &incoming->grave, free_incoming);
}

/* Says why we close what the other side would not have closed. */
static void log_closed(const struct rh_peer_incoming *incoming, const char *reason)
{
    rh_log(incoming->peers->options.logger, RH_LOG_WARN,
           "peer_closed address=%s peer=%s reason=\"%s\"", incoming->address, incoming->from.id,
           reason);
}

static void on_ended(struct rh_peer_stream *stream, enum rh_peer_end end, const char *reason)
{
    struct rh_peer_incoming *incoming = incoming_of(stream);
    if (end == RH_PEER_END_FRAME) {
        incoming->peers->stats.frames_refused++;
    }
    if (end == RH_PEER_END_FRAME || end == RH_PEER_END_LOCAL) {
        log_closed(incoming, reason);
    }
    bury(incoming);
}

/* Whether we are what the other side looks for. */
static bool fits(const struct rh_ev_peer *peers, const struct rh_peer_hello *hello,
                 struct rh_reason *reason)
{
    const struct rh_node_ref *self = &peers->self;
    if (!rh_bytes_equal_text(hello->cluster, peers->cluster)) {
        (void)rh_fail(reason, 0, "this is cluster %s, not %.*s", peers->cluster,
                      RH_BYTES_ARG(hello->cluster));
        return false;
    }
    if (hello->version != RH_PEER_VERSION) {
        (void)rh_fail(reason, 0, "this node speaks version %d, not %" PRIu32, RH_PEER_VERSION,
                      hello->version);
        return false;
    }
    if (hello->to.id[0] != '\0' && strcmp(hello->to.id, self->id) != 0) {
        (void)rh_fail(reason, 0, "this is node %s, not %s", self->id, hello->to.id);
        return false;
    }
    if (hello->to.instance != 0 && hello->to.instance != self->instance) {
        (void)rh_fail(reason, 0, "this is instance %016" PRIx64 " of %s, not %016" PRIx64,
                      self->instance, self->id, hello->to.instance);
        return false;
    }
    return true;
}

/* A process has one connection to us: a newer one means that it has given up the older, and
 * nothing that is still in there may come after what the newer brings. */
static void replace_older(struct rh_peer_incoming *incoming)
{
    rh_list_each_safe (&incoming->peers->incoming, link) {
        struct rh_peer_incoming *other = rh_container_of(link, struct rh_peer_incoming, list_link);
        if (other != incoming && state_of(other) == OPEN &&
            rh_node_ref_equal(&other->from, &incoming->from)) {
            bury(other);
        }
    }
}

static void on_hello(struct rh_peer_incoming *incoming, const struct rh_peer_message *message)
{
    const struct rh_peer_hello *hello = &message->hello;
    struct rh_ev_peer *peers = incoming->peers;
    struct rh_reason reason = {0};
    bool fit = fits(peers, hello, &reason);
    incoming->from = hello->from;
    struct rh_peer_message answer = rh_peer_hello(peers, &hello->from, reason.text);
    if (rh_peer_stream_send(&incoming->stream, &answer) != 0) {
        bury(incoming);
        return;
    }
    if (!fit) {
        peers->stats.hellos_refused++;
        log_closed(incoming, reason.text);
        rh_machine_move(&incoming->machine, REFUSED);
        rh_peer_stream_finish(&incoming->stream);
        return;
    }
    if (hello->to.instance == 0) {
        rh_machine_move(&incoming->machine, ANSWERED);
        return;
    }
    rh_machine_move(&incoming->machine, OPEN);
    replace_older(incoming);
    uint64_t look_ms = peers->options.pong_timeout_ms / 4 + 1;
    rh_peer_timer(peers, &incoming->timer, look_ms, look_ms);
    rh_log(peers->options.logger, RH_LOG_DEBUG,
           "peer_connected address=%s peer=%s instance=%016" PRIx64, incoming->address,
           incoming->from.id, incoming->from.instance);
    rh_peer_note_epoch(peers, &incoming->from, &incoming->epoch, message->epoch);
}

static void on_open_message(struct rh_peer_incoming *incoming,
                            const struct rh_peer_message *message)
{
    struct rh_ev_peer *peers = incoming->peers;
    incoming->heard = true;
    rh_peer_note_epoch(peers, &incoming->from, &incoming->epoch, message->epoch);
    if (message->kind == RH_PEER_PING) {
        rh_peer_stream_send_number(&incoming->stream, RH_PEER_PONG, message->ping.number);
        return;
    }
    peers->stats.messages_received++;
    peers->options.handler->message(peers->options.context, &incoming->from, message);
}

static void on_message(struct rh_peer_stream *stream, const struct rh_peer_message *message)
{
    struct rh_peer_incoming *incoming = incoming_of(stream);
    enum incoming_state state = state_of(incoming);
    bool hello = message->kind == RH_PEER_HELLO;
    struct rh_reason reason;
    if (state == GREETING && hello) {
        on_hello(incoming, message);
    } else if (state == REFUSED) {
        return; /* sent before our refusal could arrive */
    } else if (state == OPEN && !hello && message->kind != RH_PEER_PONG) {
        on_open_message(incoming, message);
    } else {
        (void)rh_fail(&reason, 0, "sent a %s out of place", rh_peer_message_name(message->kind));
        on_ended(stream, RH_PEER_END_FRAME, reason.text);
    }
}

static const struct rh_peer_stream_owner stream_owner = {
    .message = on_message,
    .ended = on_ended,
};

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_peer_incoming *incoming = watcher->data;
    if (state_of(incoming) == OPEN) {
        incoming->silent_looks = incoming->heard ? 0 : incoming->silent_looks + 1;
        incoming->heard = false;
        if (incoming->silent_looks < SILENCE_LOOKS) {
            return;
        }
    }
    incoming->peers->stats.incoming_timed_out++;
    log_closed(incoming, state_of(incoming) == OPEN ? "silent for too long" : "no hello in time");
    bury(incoming);
}

static void format_address(const struct sockaddr_storage *address, socklen_t size,
                           char out[static ADDRESS_SIZE])
{
    char host[64];
    char service[8];
    if (getnameinfo((const struct sockaddr *)address, size, host, sizeof(host), service,
                    sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(out, ADDRESS_SIZE, "unknown");
        return;
    }
    bool v6 = strchr(host, ':') != NULL;
    (void)snprintf(out, ADDRESS_SIZE, v6 ? "[%s]:%s" : "%s:%s", host, service);
}

static void accepted(struct rh_ev_peer *peers, int fd, const struct sockaddr_storage *address,
                     socklen_t address_size)
{
    if (peers->incoming_count >= peers->options.incoming_max) {
        if (!peers->incoming_full) {
            rh_log(peers->options.logger, RH_LOG_WARN, "peer_connections_full count=%zu",
                   peers->incoming_count);
        }
        peers->incoming_full = true;
        peers->stats.incoming_refused++;
        (void)close(fd);
        return;
    }
    struct rh_peer_incoming *incoming = calloc(1, sizeof(*incoming));
    if (incoming == NULL) {
        (void)close(fd);
        return;
    }
    incoming->peers = peers;
    format_address(address, address_size, incoming->address);
    rh_list_init(&incoming->grave.link);
    rh_machine_init(&incoming->machine, incoming_states,
                    sizeof(incoming_states) / sizeof(incoming_states[0]), GREETING);
    rh_peer_stream_init(&incoming->stream, peers, &stream_owner);
    ev_init(&incoming->timer, on_timer);
    incoming->timer.data = incoming;
    if (rh_peer_stream_open(&incoming->stream, fd, peers->options.frame_size_max) != 0) {
        free(incoming);
        return;
    }
    rh_list_push_back(&peers->incoming, &incoming->list_link);
    peers->incoming_count++;
    rh_peer_timer(peers, &incoming->timer, peers->options.hello_timeout_ms, 0);
}

/* Out of descriptors or memory: the socket stays readable, so look away for a moment. */
static void pause_accepting(struct rh_ev_peer *peers, int error)
{
    rh_log(peers->options.logger, RH_LOG_WARN, "peer_accept_failed reason=\"%s\"", strerror(error));
    ev_io_stop(peers->loop, &peers->listen_io);
    rh_peer_timer(peers, &peers->listen_pause, PAUSE_MS, 0);
}

static void on_listen_pause(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct rh_ev_peer *peers = watcher->data;
    ev_io_start(loop, &peers->listen_io);
}

static void on_connection(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_ev_peer *peers = watcher->data;
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address = {0};
        socklen_t address_size = sizeof(address);
        int fd = accept4(peers->listen_fd, (struct sockaddr *)&address, &address_size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(peers, fd, &address, address_size);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(peers, errno);
            return;
        }
        /* Anything else is the end of that one connection (accept(2)). */
    }
}

int rh_peer_listen(struct rh_ev_peer *peers, struct rh_reason *reason)
{
    int rv = rh_ev_listen(peers->options.listen, &peers->listen_fd, &peers->port, reason);
    if (rv != 0) {
        return rv == RH_ERR_NOT_FOUND ? RH_ERR_INVALID : rv;
    }
    ev_init(&peers->listen_pause, on_listen_pause);
    peers->listen_pause.data = peers;
    ev_io_init(&peers->listen_io, on_connection, peers->listen_fd, EV_READ);
    peers->listen_io.data = peers;
    ev_io_start(peers->loop, &peers->listen_io);
    return 0;
}

void rh_peer_listen_stop(struct rh_ev_peer *peers)
{
    ev_io_stop(peers->loop, &peers->listen_io);
    ev_timer_stop(peers->loop, &peers->listen_pause);
    (void)close(peers->listen_fd);
}

struct rh_epoch rh_peer_incoming_epoch(const struct rh_ev_peer *peers,
                                       const struct rh_node_ref *from)
{
    rh_list_each (&peers->incoming, link) {
        const struct rh_peer_incoming *incoming =
            rh_container_of(link, struct rh_peer_incoming, list_link);
        if (state_of(incoming) == OPEN && rh_node_ref_equal(&incoming->from, from)) {
            return incoming->epoch;
        }
    }
    return (struct rh_epoch){0};
}

void rh_peer_incoming_reset(struct rh_ev_peer *peers, const struct rh_node_ref *from)
{
    rh_list_each_safe (&peers->incoming, link) {
        struct rh_peer_incoming *incoming =
            rh_container_of(link, struct rh_peer_incoming, list_link);
        bool theirs = from == NULL ||
                      (state_of(incoming) == OPEN && rh_node_ref_equal(&incoming->from, from));
        if (theirs) {
            peers->stats.resets++;
            log_closed(incoming, "reset");
            bury(incoming);
        }
    }
}

void rh_peer_incoming_bury_all(struct rh_ev_peer *peers)
{
    rh_list_each_safe (&peers->incoming, link) {
        bury(rh_container_of(link, struct rh_peer_incoming, list_link));
    }
}
