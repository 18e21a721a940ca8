/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_DAEMON_INTERNAL_H
#define RH_NODE_DAEMON_INTERNAL_H

/*
 * What the files of the daemon share. Each translates between one edge and the core and decides
 * nothing that could be decided elsewhere.
 *
 *      client listener   peer links   ZooKeeper        admin listener
 *            |               |            |                  |
 *     daemon_clients.c       +--- daemon_cluster.c      daemon_admin.c
 *     daemon_streams.c       |            |                  |
 *     daemon_requests.c      |            |           daemon_forecast.c
 *            |               +----------- | ------- daemon_dashboard.c
 *            |               |            |                  |
 *            +------- daemon.c: rh_daemon_step() ----> reads only
 *                            |
 *                        node/core.h
 *
 * An edge calls its handler; the handler makes one event and steps the core; the actions of that
 * step are performed at once, which only queues output. No edge calls a handler from inside a call
 * of ours, so steps never nest.
 *
 * A turn of the loop, in order of libev's priorities:
 *
 *     whatever came in  --->  TICK, if the core wants one  --->  what is queued is written
 *     (0)                     (EV_MINPRI + 1)                    (EV_MINPRI: clients and peers)
 *
 * None of the three is a watcher that the loop polls: each is fed by what comes before it, also by
 * what comes late, so nothing is left when the loop blocks.
 */

#include "base/machine.h"
#include "base/table.h"
#include "node/clock.h"
#include "node/core.h"
#include "node/daemon.h"
#include "node/ev_peer.h"
#include "node/view_shown.h"
#include "node/zk_membership.h"
#include "router/ev_http_server.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>

/*
 *   RUNNING --SIGTERM--> LEAVING --outside, or time--> DRAINING --no copy left, or time-->
 *       LINGERING --clients gone, or time--> CLOSING --listeners closed-->
 *       DEREGISTERING --registration gone, or time--> STOPPED
 *
 * Any of them goes to STOPPED at a second signal or a fatal error.
 */
enum rh_daemon_state {
    RH_DAEMON_RUNNING,
    RH_DAEMON_LEAVING,       /* asked for weight 0, until a view shows it */
    RH_DAEMON_DRAINING,      /* channels are being handed over */
    RH_DAEMON_LINGERING,     /* channels are elsewhere, clients are on their way */
    RH_DAEMON_CLOSING,       /* sockets of clients are being closed */
    RH_DAEMON_DEREGISTERING, /* the registration is being deleted */
    RH_DAEMON_STOPPED,
};

/* A send queue at or below this has room for another batch of a replay: so this is what a queue may
 * hold beside `limits.send_queue`, which such a batch may take up alone. */
#define RH_DAEMON_SEND_QUEUE_LOW (32U * 1024U)

/* Why a node that reaches nobody serves nobody: in answers, in /readyz, in the log. */
#define RH_DAEMON_CUT_OFF_TEXT "cut off from ZooKeeper and from all other nodes"

/* A client of the client listener that means something to the core: see daemon_client.h. */
struct rh_daemon_client;

struct rh_daemon_forecast;  /* daemon_forecast.c */
struct rh_daemon_dashboard; /* daemon_dashboard.c */
struct rh_shared;

/* The message that was delivered last in the step whose actions are performed, encoded once for all
 * WebSockets and once for all who get events; and deflated once for all WebSockets with the same
 * window. */
struct rh_daemon_encoded {
    const struct rh_entry *entry; /* an action's; NULL: none */
    uint64_t incarnation;
    struct rh_shared *websocket; /* NULL until somebody is sent it */
    struct rh_shared *event;
    struct rh_shared *deflated[RH_DEFLATE_BITS_COUNT]; /* may be |websocket| itself */
};

struct rh_daemon {
    const struct rh_config *config;
    const struct rh_config_node *node;
    const struct rh_logger *logger;
    struct rh_machine machine; /* enum rh_daemon_state */
    int exit_code;
    struct rh_reason exit_reason;

    struct ev_loop *loop;
    ev_timer core_timer;   /* rh_core_deadline_ms() */
    ev_prepare turn_end;   /* never started: fed by hand when a TICK is due */
    ev_timer slow_timer;   /* a few times a second: lingering, progress, shutdown */
    ev_timer hungry_timer; /* at once: replays that can go on */
    ev_check stall_check;  /* before anything else in a turn */
    ev_signal sigterm;
    ev_signal sigint;

    struct rh_core *core;
    bool replication;          /* as built: see meson_options.txt */
    uint64_t instance;         /* random id of this process run */
    uint64_t core_deadline_ms; /* for which core_timer is armed */
    struct rh_actions actions;
    struct rh_epoch epoch; /* of the view that the core has */

    struct rh_http_server *client_server;
    struct rh_http_server *admin_server;
    struct rh_ev_peer *peers;
    struct rh_zk_membership *membership;
    struct rh_daemon_forecast *forecast;   /* that is being made, or NULL */
    struct rh_daemon_dashboard *dashboard; /* NULL: nobody looks at it */

    /* clients */
    struct rh_list clients;   /* rh_daemon_client::link: streams and waiting reads */
    struct rh_list lingering; /* rh_daemon_client::queue_link: told `moved`, in order of deadline */
    struct rh_list hungry;    /* rh_daemon_client::queue_link: a replay that can go on */
    uint32_t clients_count;
    uint32_t lingering_count;
    uint32_t moved_count;     /* clients that were told `moved` and are still connected */
    struct rh_table requests; /* by number: what the core has not answered yet */
    uint64_t request_number;
    struct rh_daemon_encoded encoded;
    struct rh_buffer scratch; /* for encoding: valid within one callback */
    struct rh_buffer url;     /* likewise */
    struct rh_buffer decoded; /* for decoding a client's message */
    char *ring_body;          /* JSON of /v1/ring for the present view */
    size_t ring_body_size;
    uint64_t slow_consumers;  /* closed with 4408 */
    uint32_t connections_max; /* as the file-descriptor limit allows */

    /* cluster */
    uint64_t proof_ms;   /* when the last proof of the own registration was sent; 0: none holds */
    bool request_active; /* an operator's request wants progress */
    enum rh_request_kind request_kind;
    struct rh_view_shown *view_shown; /* the adopted view as a message; NULL until it is wanted */
    struct rh_list questions;         /* of daemon_replication.c: not answered yet */
    struct rh_list probes;            /* of daemon_cluster.c: under way */
    uint64_t state_since_ms;
    bool left;            /* the registration is gone */
    bool clients_stopped; /* the client listener is closed, its connections gone */
    bool is_cut_off;      /* rh_core_is_cut_off() at the last tick */
    uint64_t started_ms;
    uint64_t alive_ms; /* when the process last looked at the clock */
    uint64_t stalls;   /* how often it had stood still */
};

/* ---- daemon.c ---- */

/* Gives |event| (its times are filled in here) to the core and performs what comes out. */
void rh_daemon_step(struct rh_daemon *daemon, struct rh_event *event);

/* Ends the loop with an error. */
void rh_daemon_fail(struct rh_daemon *daemon, int code, const char *text);

static inline enum rh_daemon_state rh_daemon_state(const struct rh_daemon *daemon)
{
    return (enum rh_daemon_state)daemon->machine.state;
}

/* Whether clients are turned away by now, and not sent elsewhere. */
static inline bool rh_daemon_is_closing(const struct rh_daemon *daemon)
{
    return rh_daemon_state(daemon) >= RH_DAEMON_CLOSING;
}

/* ---- daemon_stall.c ---- */

void rh_daemon_stall_start(struct rh_daemon *daemon);
void rh_daemon_stall_stop(struct rh_daemon *daemon);

/* Whether the process stood still until now, so long that what it holds unread may be too old. Once
 * for each time: the caller reacts. */
bool rh_daemon_stall_seen(struct rh_daemon *daemon, uint64_t now_ms);

/* Closes what may be too old. Outside of a step. */
void rh_daemon_stall_react(struct rh_daemon *daemon);

/* ---- daemon_clients.c ---- */

RH_MUST_CHECK int rh_daemon_clients_start(struct rh_daemon *daemon, struct rh_reason *reason);
void rh_daemon_clients_finish(struct rh_daemon *daemon);

/* Ends all connections: requests that wait are refused, WebSockets closed with 1001, and what still
 * arrives is turned away. */
void rh_daemon_clients_stop(struct rh_daemon *daemon);

/* Performs an action that concerns clients. */
void rh_daemon_clients_perform(struct rh_daemon *daemon, const struct rh_action *action);

/* Closes those whose linger time is over. */
void rh_daemon_clients_tick(struct rh_daemon *daemon);

/* Replays that can go on. */
void rh_daemon_clients_feed(struct rh_daemon *daemon);

/* ---- daemon_streams.c ---- */

/* The actions of the step are performed. */
void rh_daemon_streams_forget(struct rh_daemon *daemon);

/* ---- daemon_requests.c ---- */

/* A view was adopted: /v1/ring changes. */
void rh_daemon_requests_view(struct rh_daemon *daemon);

/* Drops a request that the core has not seen, and its connection with it. */
void rh_daemon_requests_drop(struct rh_daemon *daemon, uint64_t number);

/* ---- daemon_cluster.c ---- */

RH_MUST_CHECK int rh_daemon_cluster_start(struct rh_daemon *daemon, struct rh_reason *reason);
void rh_daemon_cluster_finish(struct rh_daemon *daemon);
/* Sends a message; that it could not be made is worth a line, that there is no link is not. */
void rh_daemon_cluster_send(struct rh_daemon *daemon, const struct rh_node_ref *to,
                            const struct rh_peer_message *message);

/* Has links to the members of the adopted view, and to whom else the membership awaits. */
void rh_daemon_cluster_set_links(struct rh_daemon *daemon);

/* Tells the membership how far an operator's request has come. */
void rh_daemon_cluster_tick(struct rh_daemon *daemon);

/* ---- daemon_replication.c ---- */

/* Performs an action that only a core with replication has. */
void rh_daemon_replication_perform(struct rh_daemon *daemon, const struct rh_action *action);

/* For struct rh_zk_membership_handler. */
void rh_daemon_replication_lost(void *context);
void rh_daemon_replication_proof(void *context, uint64_t sent_ms);
void rh_daemon_replication_heard(void *context, uint64_t at_ms);
void rh_daemon_replication_promised(void *context, const struct rh_promise *promise);
void rh_daemon_replication_recorded(void *context, struct rh_epoch epoch);
void rh_daemon_replication_awaited(void *context);
void rh_daemon_replication_ask_peers(void *context);

/* The link to |node| has come up. */
void rh_daemon_replication_up(struct rh_daemon *daemon, const struct rh_node_ref *node);

/* Shows |view|, which is or is about to be that of the core, to |peer|, whose link is up. */
void rh_daemon_replication_show(struct rh_daemon *daemon, const struct rh_view *view,
                                const struct rh_node_ref *peer);

/* A view was adopted: shows it to those who are awaited and can be reached. */
void rh_daemon_replication_show_awaited(struct rh_daemon *daemon);

/* The view is another one. */
void rh_daemon_replication_forget_shown(struct rh_daemon *daemon);

/* After the links are gone. */
void rh_daemon_replication_finish(struct rh_daemon *daemon);

/* ---- daemon_stop.c ---- */

/* SIGTERM or SIGINT: the first one leaves in order, the second at once. */
void rh_daemon_stop(struct rh_daemon *daemon, int signal_number);

/* Goes on with the shutdown, if one is under way. */
void rh_daemon_stop_tick(struct rh_daemon *daemon);

/* ---- daemon_admin.c ---- */

RH_MUST_CHECK int rh_daemon_admin_start(struct rh_daemon *daemon, struct rh_reason *reason);

/* Why clients should not be sent here, or NULL. */
const char *rh_daemon_not_ready(const struct rh_daemon *daemon);

/* What /v1/status answers; the caller frees it. NULL: out of memory. */
char *rh_daemon_status_text(const struct rh_daemon *daemon);

/* ---- daemon_dashboard.c ---- */

/* Answer GET /, /v1/owner and /v1/watch. */
void rh_daemon_dashboard_page(struct rh_daemon *daemon, struct rh_http_connection *connection,
                              const struct rh_http_request *request);
void rh_daemon_dashboard_owner(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               const struct rh_http_request *request);
void rh_daemon_dashboard_watch(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               const struct rh_http_request *request);

/* A connection of the admin listener is gone: somebody may look no more. */
void rh_daemon_dashboard_closed(struct rh_daemon *daemon,
                                const struct rh_http_connection *connection);

/* Takes a message that is about a dashboard, here or at |from|; whether it is one. */
bool rh_daemon_dashboard_message(struct rh_daemon *daemon, const struct rh_node_ref *from,
                                 const struct rh_peer_message *message);
void rh_daemon_dashboard_finish(struct rh_daemon *daemon);

/* ---- daemon_forecast.c ---- */

/* Answers GET /v1/forecast, later. */
void rh_daemon_forecast_serve(struct rh_daemon *daemon, struct rh_http_connection *connection,
                              const struct rh_http_request *request);

/* A connection of the admin listener is gone: the forecast for it, if there is one, is given up. */
void rh_daemon_forecast_closed(struct rh_daemon *daemon,
                               const struct rh_http_connection *connection);
void rh_daemon_forecast_finish(struct rh_daemon *daemon);

/* ---- daemon_metrics.c ---- */

/* Appends all metrics in Prometheus' text format. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_daemon_metrics(const struct rh_daemon *daemon, struct rh_buffer *out);

#endif
