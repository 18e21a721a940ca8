/* SPDX-License-Identifier: Apache-2.0 */

/*
 * load_peer ZOOKEEPER CLUSTER TARGET [NAME=VALUE...]: publishes to the node TARGET as another node
 * would, by the peer protocol, and says how long it took. To be heard it registers as a member
 * with weight 0 under the id `load`, holds nothing, and says so in every view.
 *
 *     window=64          publishes under way at the same time
 *     seconds=5          how long, after `warm` (1) seconds that do not count
 *     rate=0             publishes a second, at even times; 0: as fast as answers come
 *     bytes=200          of payload
 *     vnodes=512 replicas=2 timeout=4000 (ms): as in the config of the cluster
 *
 * The keys come on stdin, one a line, and are taken in turn; TARGET has to own them. Prints one
 * JSON object; `cpu_us` in it is what this end cost while it counted.
 */

#include "load.h"
#include "node/ev_peer.h"
#include "node/zk_membership.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_MAX   4096
#define BYTES_MAX    4096
#define MEMBERS_MAX  64
#define DEADLINE_MS  5000
#define START_S      15.0 /* to be a member with a link to the target */
#define PAUSE_S      0.5  /* until the target has a link to us as well, for its answers */
#define INSTANCE_MIN 0x1000

static struct {
    struct ev_loop *loop;
    struct rh_ev_peer *peers;
    struct rh_zk_membership *membership;
    struct rh_view *view;
    struct rh_node_ref self;
    struct rh_node_ref target;
    const char *target_id;
    struct load_lines keys;
    unsigned window;
    unsigned seconds;
    unsigned warm;
    unsigned rate;
    unsigned bytes;
    char payload[BYTES_MAX];
    bool began;
    ev_timer clock;
    ev_io tick;
    uint64_t began_us;
    uint64_t counted_us;
    uint64_t cpu_us;
    uint64_t sent;
    uint64_t answered;
    uint64_t done;
    uint64_t errors;
    uint64_t due_us[WINDOW_MAX]; /* of request number modulo that */
    struct load_times times;
} load;

static void publish(uint64_t due_us)
{
    char id[64];
    const char *key = load.keys.line[load.sent % load.keys.count];
    (void)snprintf(id, sizeof(id), "%" PRIx64 "-%" PRIu64, load.self.instance, load.sent);
    const struct rh_peer_message message = {
        .kind = RH_PEER_PUBLISH,
        .epoch = load.view->epoch,
        .publish =
            {
                .request = load.sent,
                .key = rh_bytes_text(key),
                .id = rh_bytes_text(id),
                .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes(load.payload, load.bytes)},
                .deadline_ms = DEADLINE_MS,
            },
    };
    load.due_us[load.sent % WINDOW_MAX] = due_us;
    load.sent++;
    if (rh_ev_peer_send(load.peers, &load.target, &message) != 0) {
        load_die("the link to the target is gone");
    }
}

static void on_answer(const struct rh_peer_publish_answer *answer)
{
    const uint64_t now = load_now_us();
    load.answered++;
    if (answer->result != RH_PEER_OK) {
        if (load.errors++ == 0) {
            (void)fprintf(stderr, "%s %.*s\n", rh_peer_result_name(answer->result),
                          RH_BYTES_ARG(answer->code));
        }
    } else if (now >= load.counted_us) {
        load.done++;
        load_times_add(&load.times, now - load.due_us[answer->request % WINDOW_MAX]);
    }
    if (load.rate == 0) {
        publish(now);
    }
}

static void on_message(void *context, const struct rh_node_ref *from,
                       const struct rh_peer_message *message)
{
    (void)context;
    (void)from;
    if (message->kind == RH_PEER_PUBLISH_ANSWER) {
        on_answer(&message->publish_answer);
    }
}

static void on_tick(struct ev_loop *loop, ev_io *timer, int events)
{
    (void)loop;
    (void)events;
    load_timer_take(timer->fd);
    const uint64_t now = load_now_us();
    while (load.sent - load.answered < load.window) {
        const uint64_t due = load.began_us + load.sent * 1000000U / load.rate;
        if (due > now) {
            return;
        }
        publish(due);
    }
}

static void on_clock(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    if (!load.began) {
        errno = ETIMEDOUT;
        load_die("no link to the target");
    }
    if (load.counted_us == UINT64_MAX) { /* warm */
        load.counted_us = load_now_us();
        load.cpu_us = load_cpu_us();
        ev_timer_set(&load.clock, (double)load.seconds, 0.0);
        ev_timer_start(loop, &load.clock);
        return;
    }
    ev_break(loop, EVBREAK_ALL);
}

static void on_begin(struct ev_loop *loop, ev_timer *timer, int events);

/* A member that holds nothing: others wait for its end marker in every view. */
static void tell_end(const struct rh_node_ref *to)
{
    const struct rh_peer_message message = {.kind = RH_PEER_REPORT_END, .epoch = load.view->epoch};
    (void)!rh_ev_peer_send(load.peers, to, &message);
}

static void on_up(void *context, const struct rh_node_ref *node)
{
    (void)context;
    rh_zk_membership_peer_up(load.membership, node);
    tell_end(node);
    if (strcmp(node->id, load.target_id) != 0 || load.began) {
        return;
    }
    load.began = true;
    load.target = *node;
    ev_timer_stop(load.loop, &load.clock);
    ev_timer_init(&load.clock, on_begin, PAUSE_S, 0.0);
    ev_timer_start(load.loop, &load.clock);
}

static void on_begin(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    load.began_us = load_now_us();
    load.counted_us = UINT64_MAX;
    ev_timer_init(timer, on_clock, (double)load.warm, 0.0);
    ev_timer_start(loop, timer);
    if (load.rate != 0) {
        ev_io_init(&load.tick, on_tick, load_timer(load.rate), EV_READ);
        ev_io_start(load.loop, &load.tick);
    } else {
        for (unsigned i = 0; i < load.window; i++) {
            publish(load.began_us);
        }
    }
}

static void on_down(void *context, const struct rh_node_ref *node, const char *reason)
{
    (void)context;
    (void)reason;
    rh_zk_membership_peer_down(load.membership, node);
}

static void on_dead(void *context, const struct rh_node_ref *node, enum rh_ev_peer_death death,
                    const char *reason)
{
    (void)context;
    (void)node;
    (void)death;
    (void)reason;
}

static void on_epoch(void *context, const struct rh_node_ref *node, struct rh_epoch epoch)
{
    (void)context;
    rh_zk_membership_peer_epoch(load.membership, node, epoch);
}

static void on_view(void *context, struct rh_view *view, struct rh_epoch registration_epoch,
                    uint64_t ignorant_until_ms)
{
    (void)context;
    (void)registration_epoch;
    (void)ignorant_until_ms;
    struct rh_ev_peer_member members[MEMBERS_MAX] = {0};
    rh_view_give(load.view);
    load.view = rh_view_take(view);
    size_t count = 0;
    for (; count < view->members_count && count < MEMBERS_MAX; count++) {
        (void)snprintf(members[count].node.id, sizeof(members[count].node.id), "%s",
                       view->members[count].id);
        members[count].node.instance = view->members[count].instance;
        members[count].address = view->members[count].peer;
    }
    rh_ev_peer_set_epoch(load.peers, view->epoch);
    if (rh_ev_peer_set_members(load.peers, members, count) != 0) {
        load_die("members");
    }
    for (size_t i = 0; i < count; i++) {
        tell_end(&members[i].node);
    }
}

static void on_fatal(void *context, const struct rh_reason *reason)
{
    (void)context;
    (void)fprintf(stderr, "%s\n", reason->text);
    exit(1);
}

static void on_probe(void *context, const struct rh_node_ref *node, const char *address)
{
    (void)context;
    (void)address;
    rh_zk_membership_probe_result(load.membership, node, RH_MEMBERSHIP_PROBE_DEAD);
}

static void on_left(void *context)
{
    (void)context;
    ev_break(load.loop, EVBREAK_ALL);
}

static void on_drained(void *context, const struct rh_node_ref *node)
{
    (void)context;
    (void)node;
}

static const struct rh_ev_peer_handler peer_handler = {.message = on_message,
                                                       .up = on_up,
                                                       .down = on_down,
                                                       .drained = on_drained,
                                                       .dead = on_dead,
                                                       .epoch = on_epoch};

static const struct rh_zk_membership_handler membership_handler = {
    .view = on_view, .fatal = on_fatal, .probe = on_probe, .left = on_left};

static void take_option(const char *argument, struct rh_zk_membership_options *membership)
{
    if (sscanf(argument, "window=%u", &load.window) != 1 &&
        sscanf(argument, "seconds=%u", &load.seconds) != 1 &&
        sscanf(argument, "warm=%u", &load.warm) != 1 &&
        sscanf(argument, "rate=%u", &load.rate) != 1 &&
        sscanf(argument, "bytes=%u", &load.bytes) != 1 &&
        sscanf(argument, "vnodes=%" SCNu32, &membership->config.vnodes) != 1 &&
        sscanf(argument, "replicas=%" SCNu32, &membership->config.replicas) != 1 &&
        sscanf(argument, "timeout=%" SCNu32, &membership->session_timeout_ms) != 1) {
        errno = EINVAL;
        load_die(argument);
    }
    if (load.window == 0 || load.window > WINDOW_MAX || load.bytes > BYTES_MAX) {
        errno = ERANGE;
        load_die(argument);
    }
}

static void start(struct rh_zk_membership_options *membership)
{
    struct rh_reason reason = {0};
    (void)snprintf(load.self.id, sizeof(load.self.id), "load");
    load.self.instance = INSTANCE_MIN + load_now_us();
    const struct rh_ev_peer_options peer = {
        .cluster = membership->cluster,
        .self = load.self,
        .listen = "127.0.0.1:0",
        .handler = &peer_handler,
    };
    if (rh_ev_peer_start(load.loop, &peer, &load.peers, &reason) != 0) {
        load_die(reason.text);
    }
    struct rh_registration *registration = &membership->registration;
    (void)snprintf(registration->id, sizeof(registration->id), "%s", load.self.id);
    registration->instance = load.self.instance;
    (void)snprintf(registration->peer, sizeof(registration->peer), "127.0.0.1:%u",
                   (unsigned)rh_ev_peer_port(load.peers));
    if (rh_zk_membership_create(load.loop, membership, &load.membership, &reason) != 0) {
        load_die(reason.text);
    }
}

static void stop(void)
{
    ev_io_stop(load.loop, &load.tick);
    load.rate = 1; /* nothing follows an answer any more */
    rh_zk_membership_leave_finish(load.membership);
    ev_run(load.loop, 0);
    rh_zk_membership_destroy(load.membership);
    rh_ev_peer_stop(load.peers);
    rh_view_give(load.view);
    load_times_free(&load.times);
    load_lines_free(&load.keys);
}

int main(int argc, char **argv)
{
    struct rh_zk_membership_options membership = {
        .session_timeout_ms = 4000,
        .config = {.format = RH_CONFIG_FORMAT, .vnodes = 512, .replicas = 2},
        .config_name = "load_peer",
        .registration = {.url = "ws://127.0.0.1:1", .version = "load"},
        .handler = &membership_handler,
    };
    load.window = 64;
    load.seconds = 5;
    load.warm = 1;
    load.bytes = 200;
    if (argc < 4) {
        (void)fprintf(stderr, "usage: load_peer ZOOKEEPER CLUSTER TARGET [NAME=VALUE...] < KEYS\n");
        return 2;
    }
    membership.servers = argv[1];
    membership.cluster = argv[2];
    load.target_id = argv[3];
    for (int i = 4; i < argc; i++) {
        take_option(argv[i], &membership);
    }
    memset(load.payload, 'x', sizeof(load.payload));
    load_keys_read(&load.keys);
    load.loop = ev_default_loop(0);
    start(&membership);
    ev_timer_init(&load.clock, on_clock, START_S, 0.0);
    ev_timer_start(load.loop, &load.clock);
    ev_run(load.loop, 0);
    const struct load_result result = {
        .done = load.done,
        .all = load.answered,
        .errors = load.errors,
        .took_us = load_now_us() - load.counted_us,
        .cpu_us = load_cpu_us() - load.cpu_us,
    };
    load_result_print(&result, &load.times);
    stop();
    return 0;
}
