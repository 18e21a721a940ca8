/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_internal.h"

/*
 * A process that stood still (stopped, swapped out, starved) cannot say how old is what waits in its
 * sockets: a publish from before may be one whose publisher has long retried elsewhere,
 * and whose id nobody remembers any more. So what waits there is not read
 * (docs/protocol-cluster.md, N9): all connections with other nodes are closed, which dial again, and
 * those of clients that have said something.
 *
 * The clock is looked at when the loop comes round, before anything else, and in every step; the
 * loop comes round several times a second.
 */

#define STALL_MS 10000U

bool rh_daemon_stall_seen(struct rh_daemon *daemon, uint64_t now_ms)
{
    uint64_t still_ms = now_ms - daemon->alive_ms;
    daemon->alive_ms = now_ms;
    if (still_ms <= STALL_MS) {
        return false;
    }
    daemon->stalls++;
    rh_log(daemon->logger, RH_LOG_WARN, "stood_still for_ms=%" PRIu64, still_ms);
    return true;
}

void rh_daemon_stall_react(struct rh_daemon *daemon)
{
    rh_ev_peer_reset(daemon->peers);
    rh_http_server_drop_unread(daemon->client_server);
    /* What the core has waiting is late as well: nothing else may come before it knows. */
    struct rh_event event = {.kind = RH_EVENT_TICK};
    rh_daemon_step(daemon, &event);
}

static void on_check(struct ev_loop *loop RH_UNUSED, ev_check *watcher, int revents RH_UNUSED)
{
    struct rh_daemon *daemon = watcher->data;
    if (rh_daemon_stall_seen(daemon, rh_clock_monotonic_ms())) {
        rh_daemon_stall_react(daemon);
    }
}

void rh_daemon_stall_start(struct rh_daemon *daemon)
{
    daemon->alive_ms = rh_clock_monotonic_ms();
    ev_check_init(&daemon->stall_check, on_check);
    ev_set_priority(&daemon->stall_check, EV_MAXPRI);
    daemon->stall_check.data = daemon;
    ev_check_start(daemon->loop, &daemon->stall_check);
}

void rh_daemon_stall_stop(struct rh_daemon *daemon)
{
    ev_check_stop(daemon->loop, &daemon->stall_check);
}
