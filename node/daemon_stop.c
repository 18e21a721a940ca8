/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

/*
 * The ordered shutdown, one state of enum rh_daemon_state after the other. Each has a bound, so
 * that a node always stops: what did not go as it should is a log line, not a hang.
 */

#define LEAVING_MS       3000U /* for the view in which we have no weight */
#define LINGERING_MORE   500U  /* beyond moved_linger */
#define CLOSING_MS       6000U /* beyond the close timeout of a WebSocket */
#define DEREGISTERING_MS 2000U

static uint32_t channels_left(const struct rh_daemon *daemon)
{
    const struct rh_core_stats *stats = rh_core_stats(daemon->core);
    return daemon->replication ? stats->copies : stats->channels;
}

static void enter(struct rh_daemon *daemon, enum rh_daemon_state state)
{
    rh_machine_move(&daemon->machine, state);
    daemon->state_since_ms = rh_clock_monotonic_ms();
    rh_log(daemon->logger, RH_LOG_INFO,
           "stopping state=%s connections=%" PRIu32 " channels=%" PRIu32,
           rh_machine_name(&daemon->machine), daemon->clients_count, channels_left(daemon));
}

static void stop_now(struct rh_daemon *daemon)
{
    rh_machine_move(&daemon->machine, RH_DAEMON_STOPPED);
    ev_break(daemon->loop, EVBREAK_ALL);
}

void rh_daemon_stop(struct rh_daemon *daemon, int signal_number)
{
    if (rh_daemon_state(daemon) == RH_DAEMON_STOPPED) {
        return; /* several signals in the last turn of the loop */
    }
    if (rh_daemon_state(daemon) != RH_DAEMON_RUNNING) {
        rh_log(daemon->logger, RH_LOG_WARN, "stopped_at_once signal=%d", signal_number);
        stop_now(daemon);
        return;
    }
    rh_log(daemon->logger, RH_LOG_INFO, "signal_received signal=%d", signal_number);
    enter(daemon, RH_DAEMON_LEAVING);
    rh_zk_membership_leave(daemon->membership);
    rh_daemon_stop_tick(daemon);
}

/* Whether the ring goes on without us. */
static bool is_outside(const struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    if (view == NULL || !rh_view_has(view, daemon->node->id, daemon->instance)) {
        return true;
    }
    return view->members[rh_view_find(view, daemon->node->id)].weight_milli == 0;
}

/* Whether |daemon| may go on: |done|, or its time in this state is over. */
static bool may_go_on(const struct rh_daemon *daemon, bool done, uint32_t bound_ms)
{
    if (done) {
        return true;
    }
    if (rh_clock_monotonic_ms() - daemon->state_since_ms < bound_ms) {
        return false;
    }
    rh_log(daemon->logger, RH_LOG_WARN,
           "stopping_late state=%s after_ms=%" PRIu32 " channels=%" PRIu32,
           rh_machine_name(&daemon->machine), bound_ms, channels_left(daemon));
    return true;
}

static void leaving(struct rh_daemon *daemon)
{
    bool alone = rh_zk_membership_zookeeper_state(daemon->membership) != RH_ZK_CONNECTED;
    if (may_go_on(daemon, is_outside(daemon) || alone, LEAVING_MS)) {
        enter(daemon, daemon->replication ? RH_DAEMON_DRAINING : RH_DAEMON_LINGERING);
    }
}

/* Whether somebody could take what this node holds: others with weight, who know us as a member. */
static bool has_heirs(const struct rh_daemon *daemon)
{
    const struct rh_view *view = rh_core_view(daemon->core);
    return view != NULL && rh_view_has(view, daemon->node->id, daemon->instance) &&
           rh_ring_active_count(view->ring) > 0;
}

static void draining(struct rh_daemon *daemon)
{
    bool done = channels_left(daemon) == 0 || !has_heirs(daemon);
    if (may_go_on(daemon, done, daemon->config->rebalance.drain_timeout_ms)) {
        enter(daemon, RH_DAEMON_LINGERING);
    }
}

static void lingering(struct rh_daemon *daemon)
{
    bool done = daemon->lingering_count == 0 && !rh_core_is_sweeping(daemon->core);
    if (may_go_on(daemon, done, daemon->config->rebalance.moved_linger_ms + LINGERING_MORE)) {
        enter(daemon, RH_DAEMON_CLOSING);
        rh_daemon_clients_stop(daemon);
    }
}

static void closing(struct rh_daemon *daemon)
{
    if (may_go_on(daemon, daemon->clients_stopped, CLOSING_MS)) {
        enter(daemon, RH_DAEMON_DEREGISTERING);
        rh_zk_membership_leave_finish(daemon->membership);
    }
}

void rh_daemon_stop_tick(struct rh_daemon *daemon)
{
    switch (rh_daemon_state(daemon)) {
    case RH_DAEMON_LEAVING:
        leaving(daemon);
        return;
    case RH_DAEMON_DRAINING:
        draining(daemon);
        return;
    case RH_DAEMON_LINGERING:
        lingering(daemon);
        return;
    case RH_DAEMON_CLOSING:
        closing(daemon);
        return;
    case RH_DAEMON_DEREGISTERING:
        if (may_go_on(daemon, daemon->left, DEREGISTERING_MS)) {
            stop_now(daemon);
        }
        return;
    case RH_DAEMON_RUNNING:
    case RH_DAEMON_STOPPED:
        return;
    }
}
