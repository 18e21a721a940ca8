/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_peer_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * An outgoing link. The drawing is in ev_peer.h; the timer of each state is:
 *
 *   WAITING      to the next dial: at once for a new link and after the loss of one that stood for
 *                a while, or else a growing pause
 *   CONNECTING   hello_timeout_ms for both, from the dial
 *   GREETING
 *   UP           every ping_interval_ms: one ping
 *   BROKEN       at once: it was closed inside a call of the daemon, who is told from the loop
 *   LEAVING      pong_timeout_ms: what is not written by then is lost
 *
 * Evidence. A refusal says that no process listens, and members listen. One alone could be a slip
 * of the network, so it counts only beside a connection that the other side ended, or when there is
 * nothing but refusals for a while. Everything that is not a refusal breaks the row.
 */

#define REFUSALS_MIN 3    /* in a row, over refused_span_ms, where no connection was lost */
#define STOOD_MS     1000 /* a link that stood that long is dialled again at once */

enum link_state { WAITING, CONNECTING, GREETING, UP, BROKEN, LEAVING, BURIED };

static const struct rh_machine_state link_states[] = {
    [WAITING] = {"waiting", RH_STATE_BIT(CONNECTING) | RH_STATE_BIT(BURIED)},
    [CONNECTING] = {"connecting",
                    RH_STATE_BIT(WAITING) | RH_STATE_BIT(GREETING) | RH_STATE_BIT(BURIED)},
    [GREETING] = {"greeting", RH_STATE_BIT(WAITING) | RH_STATE_BIT(UP) | RH_STATE_BIT(BURIED)},
    [UP] = {"up", RH_STATE_BIT(WAITING) | RH_STATE_BIT(BROKEN) | RH_STATE_BIT(LEAVING) |
                      RH_STATE_BIT(BURIED)},
    [BROKEN] = {"broken", RH_STATE_BIT(WAITING) | RH_STATE_BIT(BURIED)},
    [LEAVING] = {"leaving", RH_STATE_BIT(BURIED)},
    [BURIED] = {"buried", 0},
};

static enum link_state state_of(const struct rh_peer_link *link)
{
    return (enum link_state)link->machine.state;
}

static struct rh_peer_link *link_of(struct rh_peer_stream *stream)
{
    return rh_container_of(stream, struct rh_peer_link, stream);
}

bool rh_peer_link_is_up(const struct rh_peer_link *link)
{
    return state_of(link) == UP;
}

/* The next pause, and doubles the one after it. A random part keeps nodes from dialling in step. */
static uint64_t next_backoff(struct rh_peer_link *link)
{
    uint64_t pause_ms = link->backoff_ms;
    uint64_t max_ms = link->peers->options.backoff_max_ms;
    link->backoff_ms = pause_ms * 2 > max_ms ? max_ms : pause_ms * 2;
    return pause_ms - rh_peer_random(link->peers, pause_ms / 2 + 1);
}

static void wait_to_dial(struct rh_peer_link *link, uint64_t pause_ms)
{
    rh_ev_dial_stop(&link->dial);
    rh_peer_stream_close(&link->stream);
    rh_machine_move(&link->machine, WAITING);
    rh_peer_timer(link->peers, &link->timer, pause_ms, 0);
}

/* A link that was not up did not come up. Logged when the reason is a new one. */
static void dial_failed(struct rh_peer_link *link, const char *reason)
{
    struct rh_ev_peer *peers = link->peers;
    bool same = strcmp(link->reason, reason) == 0;
    peers->stats.dials_failed++;
    rh_log(peers->options.logger, same ? RH_LOG_DEBUG : RH_LOG_WARN,
           "peer_not_reached peer=%s instance=%016" PRIx64 " address=%s reason=\"%s\"",
           link->node.id, link->node.instance, link->address, reason);
    if (!same) {
        (void)snprintf(link->reason, sizeof(link->reason), "%s", reason);
    }
    wait_to_dial(link, next_backoff(link));
}

/* A link that was up no longer is. */
static void lost(struct rh_peer_link *link, enum rh_peer_end end, const char *reason)
{
    struct rh_ev_peer *peers = link->peers;
    uint64_t stood_ms = rh_peer_now_ms() - link->up_since_ms;
    peers->stats.links_lost++;
    link->lost_to_them = end == RH_PEER_END_REMOTE;
    (void)snprintf(link->reason, sizeof(link->reason), "%s", reason);
    rh_log(peers->options.logger, RH_LOG_WARN,
           "peer_down peer=%s instance=%016" PRIx64 " reason=\"%s\"", link->node.id,
           link->node.instance, link->reason);
    if (stood_ms >= STOOD_MS) {
        link->backoff_ms = peers->options.backoff_min_ms;
        wait_to_dial(link, 0);
    } else {
        wait_to_dial(link, next_backoff(link));
    }
    peers->options.handler->down(peers->options.context, &link->node, link->reason);
}

/* Says that there is evidence. The handler may take the link out of the members in the call. */
static void report_dead(struct rh_peer_link *link, enum rh_ev_peer_death death, const char *reason)
{
    struct rh_ev_peer *peers = link->peers;
    peers->stats.dead_reported++;
    rh_log(peers->options.logger, link->dead_logged ? RH_LOG_DEBUG : RH_LOG_WARN,
           "peer_dead peer=%s instance=%016" PRIx64 " address=%s reason=\"%s\"", link->node.id,
           link->node.instance, link->address, reason);
    link->dead_logged = true;
    peers->options.handler->dead(peers->options.context, &link->node, death, reason);
}

static void dial_refused(struct rh_peer_link *link, const char *reason)
{
    uint64_t now_ms = rh_peer_now_ms();
    if (link->refusals == 0) {
        link->refused_since_ms = now_ms;
    }
    link->refusals += link->refusals < REFUSALS_MIN;
    dial_failed(link, reason);
    if (link->lost_to_them) {
        report_dead(link, RH_EV_PEER_REFUSED,
                    "the connection was closed, and dialling is refused since");
    } else if (link->refusals >= REFUSALS_MIN &&
               now_ms - link->refused_since_ms >= link->peers->options.refused_span_ms) {
        report_dead(link, RH_EV_PEER_REFUSED, "every dial is refused");
    }
}

static void on_dialled(void *context, enum rh_ev_dial_result result, int fd, const char *reason)
{
    struct rh_peer_link *link = context;
    if (result == RH_EV_DIAL_REFUSED) {
        dial_refused(link, reason);
        return;
    }
    link->refusals = 0;
    if (result == RH_EV_DIAL_FAILED) {
        dial_failed(link, reason);
        return;
    }
    struct rh_peer_message hello = rh_peer_hello(link->peers, &link->node, NULL);
    int rv = rh_peer_stream_open(&link->stream, fd, RH_PEER_SMALL_FRAME_SIZE_MAX);
    if (rv == 0) {
        rv = rh_peer_stream_send(&link->stream, &hello);
    }
    if (rv != 0) {
        dial_failed(link, rh_error_text(rv));
        return;
    }
    rh_machine_move(&link->machine, GREETING);
}

static void came_up(struct rh_peer_link *link)
{
    struct rh_ev_peer *peers = link->peers;
    uint64_t interval_ms = peers->options.ping_interval_ms;
    rh_machine_move(&link->machine, UP);
    rh_peer_timer(peers, &link->timer, interval_ms, interval_ms);
    link->silence_ms = 0;
    link->epoch = (struct rh_epoch){0};
    link->up_since_ms = rh_peer_now_ms();
    link->lost_to_them = false;
    link->dead_logged = false;
    link->reason[0] = '\0';
    rh_log(peers->options.logger, RH_LOG_INFO, "peer_up peer=%s instance=%016" PRIx64 " address=%s",
           link->node.id, link->node.instance, link->address);
    peers->options.handler->up(peers->options.context, &link->node);
}

/* Their answer to our hello: is it the process that we want? */
static void on_hello(struct rh_peer_link *link, const struct rh_peer_message *message)
{
    const struct rh_peer_hello *hello = &message->hello;
    struct rh_ev_peer *peers = link->peers;
    struct rh_reason reason;
    bool cluster = rh_bytes_equal_text(hello->cluster, peers->cluster);
    bool id = cluster && strcmp(hello->from.id, link->node.id) == 0;
    if (id && hello->from.instance == link->node.instance && hello->refusal.size == 0 &&
        hello->version == RH_PEER_VERSION) {
        came_up(link);
        rh_peer_note_epoch(peers, &link->node, &link->epoch, message->epoch);
        return;
    }
    peers->stats.hellos_refused++;
    if (!cluster) {
        (void)rh_fail(&reason, 0, "cluster %.*s answers there", RH_BYTES_ARG(hello->cluster));
    } else if (!id) {
        (void)rh_fail(&reason, 0, "node %s answers there", hello->from.id);
    } else if (hello->from.instance != link->node.instance) {
        (void)rh_fail(&reason, 0, "instance %016" PRIx64 " answers there", hello->from.instance);
        dial_failed(link, reason.text);
        report_dead(link, RH_EV_PEER_REPLACED, reason.text);
        return;
    } else if (hello->refusal.size > 0) {
        (void)rh_fail(&reason, 0, "refused: %.*s", RH_BYTES_ARG(hello->refusal));
    } else {
        (void)rh_fail(&reason, 0, "speaks version %" PRIu32 ", we speak %d", hello->version,
                      RH_PEER_VERSION);
    }
    dial_failed(link, reason.text);
}

static void on_ended(struct rh_peer_stream *stream, enum rh_peer_end end, const char *reason)
{
    struct rh_peer_link *link = link_of(stream);
    if (end == RH_PEER_END_FRAME) {
        link->peers->stats.frames_refused++;
    }
    if (state_of(link) == GREETING) {
        dial_failed(link, reason);
    } else if (state_of(link) == UP) {
        lost(link, end, reason);
    } else {
        assert(state_of(link) == LEAVING);
        rh_peer_link_bury(link);
    }
}

/* Besides the hello there are only pongs on this connection: answers come on the other one. */
static void on_message(struct rh_peer_stream *stream, const struct rh_peer_message *message)
{
    struct rh_peer_link *link = link_of(stream);
    enum link_state state = state_of(link);
    struct rh_reason reason;
    if (state == GREETING && message->kind == RH_PEER_HELLO) {
        on_hello(link, message);
    } else if (state == LEAVING) {
        return;
    } else if (state == UP && message->kind == RH_PEER_PONG) {
        link->silence_ms = 0;
        rh_peer_note_epoch(link->peers, &link->node, &link->epoch, message->epoch);
    } else {
        (void)rh_fail(&reason, 0, "sent a %s out of place", rh_peer_message_name(message->kind));
        on_ended(stream, RH_PEER_END_FRAME, reason.text);
    }
}

static void on_drained(struct rh_peer_stream *stream)
{
    struct rh_peer_link *link = link_of(stream);
    if (state_of(link) == UP) {
        link->peers->options.handler->drained(link->peers->options.context, &link->node);
    }
}

static const struct rh_peer_stream_owner stream_owner = {
    .message = on_message,
    .drained = on_drained,
    .ended = on_ended,
};

static void dial(struct rh_peer_link *link)
{
    rh_machine_move(&link->machine, CONNECTING);
    rh_peer_timer(link->peers, &link->timer, link->peers->options.hello_timeout_ms, 0);
    link->peers->stats.dials++;
    rh_ev_dial_start(&link->dial);
}

/*
 * Time without a pong is counted in pings sent, not by a clock: when this process itself was
 * stopped for a while, the pongs that wait in the socket are read before a second ping is due.
 */
static void on_ping_due(struct rh_peer_link *link)
{
    link->silence_ms += link->peers->options.ping_interval_ms;
    if (link->silence_ms > link->peers->options.pong_timeout_ms) {
        struct rh_reason reason;
        link->peers->stats.pong_timeouts++;
        (void)rh_fail(&reason, 0, "no pong for %" PRIu32 " ms",
                      link->peers->options.pong_timeout_ms);
        lost(link, RH_PEER_END_NETWORK, reason.text);
        return;
    }
    rh_peer_link_ping(link);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_peer_link *link = watcher->data;
    switch (state_of(link)) {
    case WAITING:
        dial(link);
        break;
    case CONNECTING:
        link->refusals = 0;
        dial_failed(link, "no connection in time");
        break;
    case GREETING:
        dial_failed(link, "no hello in time");
        break;
    case UP:
        on_ping_due(link);
        break;
    case BROKEN:
        lost(link, RH_PEER_END_LOCAL, link->broken_reason);
        break;
    case LEAVING:
        rh_peer_link_bury(link);
        break;
    case BURIED:
    default:
        assert(false && "a buried link has no timer");
    }
}

static void free_link(struct rh_peer_grave *grave)
{
    struct rh_peer_link *link = rh_container_of(grave, struct rh_peer_link, grave);
    rh_peer_stream_free(&link->stream);
    free(link->address);
    free(link);
}

struct rh_peer_link *rh_peer_link_create(struct rh_ev_peer *peers,
                                         const struct rh_ev_peer_member *member)
{
    struct rh_peer_link *link = calloc(1, sizeof(*link));
    char *address = strdup(member->address);
    if (link == NULL || address == NULL) {
        free(link);
        free(address);
        return NULL;
    }
    link->peers = peers;
    link->node = member->node;
    link->address = address;
    link->backoff_ms = peers->options.backoff_min_ms;
    rh_list_init(&link->list_link);
    rh_list_init(&link->grave.link);
    rh_machine_init(&link->machine, link_states, sizeof(link_states) / sizeof(link_states[0]),
                    WAITING);
    rh_ev_dial_init(&link->dial, peers->loop, address, on_dialled, link);
    rh_peer_stream_init(&link->stream, peers, &stream_owner);
    ev_init(&link->timer, on_timer);
    link->timer.data = link;
    rh_peer_timer(peers, &link->timer, 0, 0);
    rh_table_insert(&peers->members, &link->table_link, link->node.instance);
    return link;
}

/* UP no more, which is told from the loop. */
static void break_up(struct rh_peer_link *link, const char *reason)
{
    rh_peer_stream_close(&link->stream);
    rh_machine_move(&link->machine, BROKEN);
    link->broken_reason = reason;
    rh_peer_timer(link->peers, &link->timer, 0, 0);
}

int rh_peer_link_send(struct rh_peer_link *link, const struct rh_peer_message *message)
{
    assert(state_of(link) == UP);
    int rv = rh_peer_stream_send(&link->stream, message);
    if (rv == 0) {
        link->peers->stats.messages_sent++;
    } else if (rv == RH_ERR_FULL) {
        link->peers->stats.queue_overflows++;
        break_up(link, "more is queued than its limit");
    }
    return rv;
}

void rh_peer_link_ping(struct rh_peer_link *link)
{
    link->ping_number++;
    rh_peer_stream_send_number(&link->stream, RH_PEER_PING, link->ping_number);
}

void rh_peer_link_leave(struct rh_peer_link *link)
{
    struct rh_ev_peer *peers = link->peers;
    if (state_of(link) != UP) {
        rh_peer_link_bury(link);
        return;
    }
    rh_table_remove(&peers->members, &link->table_link);
    rh_list_push_back(&peers->leaving, &link->list_link);
    rh_machine_move(&link->machine, LEAVING);
    rh_peer_timer(peers, &link->timer, peers->options.pong_timeout_ms, 0);
    rh_peer_stream_finish(&link->stream);
}

void rh_peer_link_reset(struct rh_peer_link *link)
{
    if (state_of(link) == UP) {
        link->peers->stats.resets++;
        break_up(link, "reset");
    } else if (state_of(link) == LEAVING) {
        rh_peer_link_bury(link);
    }
}

void rh_peer_link_bury(struct rh_peer_link *link)
{
    if (state_of(link) == LEAVING) {
        rh_list_remove(&link->list_link);
    } else {
        rh_table_remove(&link->peers->members, &link->table_link);
    }
    rh_machine_move(&link->machine, BURIED);
    ev_timer_stop(link->peers->loop, &link->timer);
    rh_ev_dial_stop(&link->dial);
    rh_peer_stream_close(&link->stream);
    rh_peer_bury(link->peers, &link->grave, free_link);
}
