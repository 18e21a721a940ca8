/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SLOW_S 0.1

/* How long a forwarded request may take at most (far below what `dedup_age` may be, so that the owner
 * still knows the id when its publisher retries), and how long one waits for a view. */
#define FORWARD_TIMEOUT_MS  5000U
#define CATCH_UP_TIMEOUT_MS 5000U
#define PENDING_MAX         65536U
#define PENDING_BYTES_MAX   (64U * 1024U * 1024U)
#define DEDUP_IDS_MAX       100000U

/* Of a channel: not committed; and of a peer: frames of views that are not adopted yet. */
#define UNCOMMITTED_MAX       256U
#define UNCOMMITTED_BYTES_MAX (1024U * 1024U)
#define HELD_BYTES_MAX        (1024U * 1024U)

/* File descriptors that are not clients: listeners, ZooKeeper, peers, the admin listener. */
#define FDS_RESERVED 1024U

static const struct rh_machine_state states[] = {
    [RH_DAEMON_RUNNING] = {"running",
                           RH_STATE_BIT(RH_DAEMON_LEAVING) | RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_LEAVING] = {"leaving", RH_STATE_BIT(RH_DAEMON_DRAINING) |
                                          RH_STATE_BIT(RH_DAEMON_LINGERING) |
                                          RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_DRAINING] = {"draining",
                            RH_STATE_BIT(RH_DAEMON_LINGERING) | RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_LINGERING] = {"lingering",
                             RH_STATE_BIT(RH_DAEMON_CLOSING) | RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_CLOSING] = {"closing",
                           RH_STATE_BIT(RH_DAEMON_DEREGISTERING) | RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_DEREGISTERING] = {"deregistering", RH_STATE_BIT(RH_DAEMON_STOPPED)},
    [RH_DAEMON_STOPPED] = {"stopped", 0},
};

/* ---- the step ---- */

static void perform(struct rh_daemon *daemon, const struct rh_action *action)
{
    switch (action->kind) {
    case RH_ACTION_SEND:
        rh_daemon_cluster_send(daemon, &action->send.to, &action->send.message);
        return;
    case RH_ACTION_CATCH_UP:
        rh_zk_membership_catch_up(daemon->membership);
        return;
    case RH_ACTION_SWEPT:
        rh_log(daemon->logger, RH_LOG_INFO,
               "channels_swept generation=%" PRIu64 " epoch=%" PRId64 " channels_moved=%" PRIu64
               " connections_moved=%" PRIu64,
               action->swept.epoch.generation, action->swept.epoch.pzxid, action->swept.channels,
               action->swept.connections);
        return;
    case RH_ACTION_COMPLETE:
    case RH_ACTION_PROVE:
    case RH_ACTION_PROMISE:
    case RH_ACTION_PEER_VIEW:
    case RH_ACTION_SHOW_VIEW:
    case RH_ACTION_RESET_PEER:
    case RH_ACTION_TELL_DRAINED:
    case RH_ACTION_TRACE:
        rh_daemon_replication_perform(daemon, action);
        return;
    case RH_ACTION_WELCOME:
    case RH_ACTION_DELIVER:
    case RH_ACTION_DELIVER_ALL:
    case RH_ACTION_MOVED:
    case RH_ACTION_GOES_ON:
    case RH_ACTION_REDIRECT:
    case RH_ACTION_REFUSED:
    case RH_ACTION_READ_DONE:
    case RH_ACTION_PUBLISHED:
    case RH_ACTION_INSPECTED:
    case RH_ACTION_STATE:
    case RH_ACTION_CHANGED:
    case RH_ACTION_PRESENCE:
    case RH_ACTION_PRESENT:
    case RH_ACTION_FOLLOWED:
    case RH_ACTION_FOLLOWERS:
        rh_daemon_clients_perform(daemon, action);
        return;
    }
    assert(false && "unknown action");
}

static void arm_core_timer(struct rh_daemon *daemon, uint64_t deadline_ms, uint64_t now_ms)
{
    ev_timer_stop(daemon->loop, &daemon->core_timer);
    if (deadline_ms == UINT64_MAX) {
        return;
    }
    double after_s = deadline_ms <= now_ms ? 0.0 : (double)(deadline_ms - now_ms) / 1e3;
    ev_timer_set(&daemon->core_timer, after_s, 0.0);
    ev_timer_start(daemon->loop, &daemon->core_timer);
}

/* At once means: when everything that came in this turn was stepped, and before anything is written,
 * so that what the core gathered leaves with it. A tick after which another one is wanted at once lets
 * the loop look for input in between. */
static void schedule_tick(struct rh_daemon *daemon, enum rh_event_kind stepped, uint64_t now_ms)
{
    uint64_t deadline_ms = rh_core_deadline_ms(daemon->core);
    if (deadline_ms == 0 && stepped != RH_EVENT_TICK) {
        ev_feed_event(daemon->loop, &daemon->turn_end, EV_CUSTOM);
        return;
    }
    if (deadline_ms != daemon->core_deadline_ms || !ev_is_active(&daemon->core_timer)) {
        daemon->core_deadline_ms = deadline_ms;
        arm_core_timer(daemon, deadline_ms, now_ms);
    }
}

/* The process stood still after it had read what |event| is made of. Whether that may be too old. */
static bool drop_stale(struct rh_daemon *daemon, const struct rh_event *event)
{
    bool is_publish = event->kind == RH_EVENT_PUBLISH;
    bool is_write = event->kind == RH_EVENT_STATE_PUT || event->kind == RH_EVENT_STATE_DELETE;
    bool is_follow = event->kind == RH_EVENT_FOLLOW;
    if (is_publish || is_write || is_follow) {
        rh_daemon_requests_drop(daemon, is_publish  ? event->publish.request
                                        : is_follow ? event->follow.request
                                                    : event->state.request);
    }
    rh_daemon_stall_react(daemon);
    return is_publish || is_write || is_follow || event->kind == RH_EVENT_PEER_MESSAGE;
}

void rh_daemon_step(struct rh_daemon *daemon, struct rh_event *event)
{
    event->now_ms = rh_clock_monotonic_ms();
    event->time_ms = rh_clock_unix_ms();
    if (rh_daemon_stall_seen(daemon, event->now_ms) && drop_stale(daemon, event)) {
        return;
    }
    rh_core_step(daemon->core, event, &daemon->actions);
    for (size_t i = 0; i < daemon->actions.count; i++) {
        perform(daemon, &daemon->actions.items[i]);
    }
    rh_daemon_streams_forget(daemon);
    schedule_tick(daemon, event->kind, event->now_ms);
}

void rh_daemon_fail(struct rh_daemon *daemon, int code, const char *text)
{
    if (rh_daemon_state(daemon) == RH_DAEMON_STOPPED) {
        return;
    }
    daemon->exit_code = rh_fail(&daemon->exit_reason, code, "%s", text);
    rh_machine_move(&daemon->machine, RH_DAEMON_STOPPED);
    ev_break(daemon->loop, EVBREAK_ALL);
}

/* ---- timers and signals ---- */

static void on_core_timer(struct ev_loop *loop, ev_timer *timer, int revents RH_UNUSED)
{
    struct rh_daemon *daemon = timer->data;
    ev_feed_event(loop, &daemon->turn_end, EV_CUSTOM);
}

static void on_turn_end(struct ev_loop *loop RH_UNUSED, ev_prepare *watcher, int revents RH_UNUSED)
{
    struct rh_event event = {.kind = RH_EVENT_TICK};
    rh_daemon_step(watcher->data, &event);
}

static void on_slow_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int revents RH_UNUSED)
{
    struct rh_daemon *daemon = timer->data;
    rh_daemon_clients_tick(daemon);
    rh_daemon_cluster_tick(daemon);
    rh_daemon_stop_tick(daemon);
}

static void on_hungry_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int revents RH_UNUSED)
{
    rh_daemon_clients_feed(timer->data);
}

static void on_signal(struct ev_loop *loop RH_UNUSED, ev_signal *watcher, int revents RH_UNUSED)
{
    rh_daemon_stop(watcher->data, watcher->signum);
}

static void start_watchers(struct rh_daemon *daemon)
{
    ev_timer_init(&daemon->core_timer, on_core_timer, 0.0, 0.0);
    ev_prepare_init(&daemon->turn_end, on_turn_end);
    ev_set_priority(&daemon->turn_end, EV_MINPRI + 1);
    ev_timer_init(&daemon->slow_timer, on_slow_timer, SLOW_S, SLOW_S);
    ev_timer_init(&daemon->hungry_timer, on_hungry_timer, 0.0, 0.0);
    ev_signal_init(&daemon->sigterm, on_signal, SIGTERM);
    ev_signal_init(&daemon->sigint, on_signal, SIGINT);
    daemon->core_timer.data = daemon;
    daemon->turn_end.data = daemon;
    daemon->slow_timer.data = daemon;
    daemon->hungry_timer.data = daemon;
    daemon->sigterm.data = daemon;
    daemon->sigint.data = daemon;
    rh_daemon_stall_start(daemon);
    ev_timer_start(daemon->loop, &daemon->slow_timer);
    ev_signal_start(daemon->loop, &daemon->sigterm);
    ev_signal_start(daemon->loop, &daemon->sigint);
}

static void stop_watchers(struct rh_daemon *daemon)
{
    ev_timer_stop(daemon->loop, &daemon->core_timer);
    (void)ev_clear_pending(daemon->loop, &daemon->turn_end);
    rh_daemon_stall_stop(daemon);
    ev_timer_stop(daemon->loop, &daemon->slow_timer);
    ev_timer_stop(daemon->loop, &daemon->hungry_timer);
    ev_signal_stop(daemon->loop, &daemon->sigterm);
    ev_signal_stop(daemon->loop, &daemon->sigint);
}

/* ---- life ---- */

/* Raises the soft limit of file descriptors as far as it goes and fits `connections` to it. */
static void fit_connections(struct rh_daemon *daemon)
{
    struct rlimit limit;
    daemon->connections_max = daemon->config->limits.connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return;
        }
    }
    rlim_t reserved = limit.rlim_cur > 2 * FDS_RESERVED ? FDS_RESERVED : limit.rlim_cur / 2;
    rlim_t possible = limit.rlim_cur - reserved;
    if (possible < daemon->connections_max) {
        rh_log(daemon->logger, RH_LOG_WARN,
               "connections_lowered configured=%" PRIu32 " possible=%" PRIu64
               " file_descriptors=%" PRIu64 " hint=\"raise the limit of open files\"",
               daemon->connections_max, (uint64_t)possible, (uint64_t)limit.rlim_cur);
        daemon->connections_max = (uint32_t)possible;
    }
}

static int create_core(struct rh_daemon *daemon, uint64_t instance)
{
    const struct rh_config *config = daemon->config;
    struct rh_core_options options = {
        .instance = instance,
        .log = {.messages_max = config->limits.log_messages,
                .bytes_max = config->limits.log_bytes,
                .age_ms_max = config->limits.log_age_ms},
        .channels_max = config->limits.channels,
        .channel_idle_ms = config->limits.channel_idle_ms,
        .dedup_age_ms = config->limits.dedup_age_ms,
        .dedup_ids_max = DEDUP_IDS_MAX,
        .payload_size_max = config->limits.message_bytes,
        .state_size_max = config->limits.state_bytes,
        .batch_size_max = config->limits.send_queue_bytes,
        .forward_timeout_ms = FORWARD_TIMEOUT_MS,
        .catch_up_timeout_ms = CATCH_UP_TIMEOUT_MS,
        .remotes_max = config->limits.relayed,
        .pending_max = PENDING_MAX,
        .pending_bytes_max = PENDING_BYTES_MAX,
        .presence_grace_ms = config->presence.grace_ms,
        .presence_move_ms = config->rebalance.moved_linger_ms,
        .presence_clients_max = config->presence.clients,
        .presence_channel_clients_max = config->presence.channel_clients,
        .replication = daemon->replication,
        .trace = daemon->logger->level_max >= RH_LOG_DEBUG,
        .session_timeout_ms = config->zookeeper.session_timeout_ms,
        .grace_ms = RH_ZK_MEMBERSHIP_GRACE_MS,
        .rebalance_channels_per_second = config->rebalance.channels_per_second,
        .rebalance_in_flight = config->rebalance.in_flight,
        .copies_max = config->limits.copies,
        .uncommitted_max = UNCOMMITTED_MAX,
        .uncommitted_bytes_max = UNCOMMITTED_BYTES_MAX,
        .held_bytes_max = HELD_BYTES_MAX,
    };
    (void)snprintf(options.id, sizeof(options.id), "%s", daemon->node->id);
    int rv = rh_clock_random(&options.seed);
    if (rv == 0) {
        rv = rh_clock_random(&options.secret);
    }
    if (rv != 0) {
        return rv;
    }
    return rh_core_create(&options, &daemon->core);
}

static int init(struct rh_daemon *daemon, struct rh_reason *reason)
{
    daemon->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (daemon->loop == NULL) {
        return rh_fail(reason, RH_ERR_IO, "no event loop");
    }
    rh_list_init(&daemon->clients);
    rh_list_init(&daemon->lingering);
    rh_list_init(&daemon->hungry);
    rh_list_init(&daemon->probes);
    rh_list_init(&daemon->questions);
    rh_machine_init(&daemon->machine, states, sizeof(states) / sizeof(states[0]),
                    RH_DAEMON_RUNNING);
    int rv = rh_table_init(&daemon->requests);
    if (rv == 0) {
        rv = rh_clock_random(&daemon->instance);
    }
    if (rv == 0) {
        rv = create_core(daemon, daemon->instance);
    }
    if (rv != 0) {
        return rh_fail(reason, rv, "%s", rh_error_text(rv));
    }
    start_watchers(daemon);
    daemon->started_ms = rh_clock_monotonic_ms();
    return 0;
}

/* Until there are TLS and tokens, somebody has to know what a reachable listener means. */
static void warn_if_reachable(const struct rh_daemon *daemon, const char *name, const char *address,
                              const char *risk)
{
    char host[RH_HOST_SIZE];
    uint16_t port;
    if (rh_address_split(address, host, &port) == 0 && !rh_host_is_loopback(host)) {
        rh_log(daemon->logger, RH_LOG_WARN, "listener_reachable listener=%s address=%s risk=\"%s\"",
               name, address, risk);
    }
}

static void warn_of_reachable(const struct rh_daemon *daemon)
{
    const struct rh_config_node *node = daemon->node;
    warn_if_reachable(daemon, "client", node->listen,
                      "anyone who reaches it can connect and publish");
    warn_if_reachable(daemon, "peer", node->peer, "anyone who reaches it can act as a node");
    warn_if_reachable(daemon, "admin", node->admin, "anyone who reaches it can read the status");
}

static void log_started(const struct rh_daemon *daemon)
{
    const struct rh_config_node *node = daemon->node;
    rh_log(daemon->logger, RH_LOG_INFO,
           "started version=" RH_VERSION " cluster=%s instance=%016" PRIx64
           " listen=%s peer=%s admin=%s advertise=%s",
           daemon->config->cluster, daemon->instance, node->listen, node->peer, node->admin,
           node->advertise);
}

static int start(struct rh_daemon *daemon, struct rh_reason *reason)
{
    int rv = init(daemon, reason);
    if (rv != 0) {
        return rv;
    }
    warn_of_reachable(daemon);
    fit_connections(daemon);
    rv = rh_daemon_clients_start(daemon, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_daemon_admin_start(daemon, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_daemon_cluster_start(daemon, reason);
    if (rv == 0) {
        log_started(daemon);
    }
    return rv;
}

static void finish(struct rh_daemon *daemon)
{
    if (daemon->loop == NULL) {
        return;
    }
    stop_watchers(daemon);
    rh_daemon_forecast_finish(daemon);
    rh_daemon_dashboard_finish(daemon);
    rh_daemon_cluster_finish(daemon);
    rh_http_server_destroy(daemon->client_server);
    rh_http_server_destroy(daemon->admin_server);
    rh_daemon_clients_finish(daemon);
    rh_actions_finish(&daemon->actions);
    rh_core_destroy(daemon->core);
    ev_loop_destroy(daemon->loop);
}

int rh_daemon_run(const struct rh_daemon_options *options, struct rh_reason *reason)
{
    struct rh_daemon daemon = {
        .config = options->config,
        .node = options->node,
        .logger = options->logger,
        .replication = RH_REPLICATION != 0,
    };
    (void)signal(SIGPIPE, SIG_IGN);
    int rv = start(&daemon, reason);
    if (rv == 0) {
        (void)ev_run(daemon.loop, 0);
        rv = daemon.exit_code;
        if (rv != 0) {
            *reason = daemon.exit_reason;
        }
    }
    finish(&daemon);
    return rv;
}
