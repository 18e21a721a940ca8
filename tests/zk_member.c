/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The membership edge alone, as a program: registers a node that has no listeners, says on stdout
 * what happens, and takes on stdin what the daemon would say. For trying the edge on a real
 * ZooKeeper, and for integration/test_membership_edge.py.
 *
 *     zk_member SERVERS CLUSTER ID INSTANCE [timeout=MS] [grace=MS] [vnodes=N] [weight=MILLI]
 *               [peer=HOST:PORT] [probe=answers|dead|unknown] [replication=1]
 *
 *     up|down|dead|replaced ID INSTANCE      epoch GENERATION PZXID      catch_up
 *     shows ID INSTANCE GENERATION PZXID     prove     complete
 *     progress CHANNELS CONNECTIONS      leave      leave_finish      status      quit
 */

#include "node/clock.h"
#include "node/zk_membership.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program {
    struct ev_loop *loop;
    struct ev_io input;
    struct rh_zk_membership *membership;
    enum rh_membership_probe probe;
    char line[256];
    size_t line_size;
};

static void write_log(void *context, enum rh_log_level level, const char *line)
{
    (void)context;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    printf("log %s %s\n", names[level], line);
}

static void on_view(void *context, struct rh_view *view, struct rh_epoch registration_epoch,
                    uint64_t ignorant_until_ms)
{
    (void)context;
    printf("registration %" PRIu64 "/%" PRId64 " deletions=%" PRIu64 " ignorant=%d\n",
           registration_epoch.generation, registration_epoch.pzxid, view->deletions,
           ignorant_until_ms != 0);
    printf("view %" PRIu64 "/%" PRId64, view->epoch.generation, view->epoch.pzxid);
    for (size_t i = 0; i < view->members_count; i++) {
        printf(" %s:%016" PRIx64 ":%" PRIu32, view->members[i].id, view->members[i].instance,
               view->members[i].weight_milli);
    }
    printf("\n");
}

static void on_fatal(void *context, const struct rh_reason *reason)
{
    struct program *program = context;
    printf("fatal %s\n", reason->text);
    ev_break(program->loop, EVBREAK_ALL);
}

static void on_probe(void *context, const struct rh_node_ref *node, const char *address)
{
    struct program *program = context;
    printf("probe %s:%016" PRIx64 " %s\n", node->id, node->instance, address);
    rh_zk_membership_probe_result(program->membership, node, program->probe);
}

static void on_changed(void *context)
{
    struct program *program = context;
    printf("changed %s registered=%d weight=%" PRIu32 " timeout=%" PRIu32 "\n",
           rh_zk_state_name(rh_zk_membership_zookeeper_state(program->membership)),
           rh_zk_membership_registered(program->membership),
           rh_zk_membership_weight_milli(program->membership),
           rh_zk_membership_session_timeout_ms(program->membership));
}

static void on_request(void *context, const struct rh_request *request)
{
    (void)context;
    if (request == NULL) {
        printf("request none\n");
        return;
    }
    printf("request %s %s\n", rh_request_kind_name(request->kind),
           rh_request_state_name(request->state));
}

static void on_left(void *context)
{
    struct program *program = context;
    printf("left\n");
    ev_break(program->loop, EVBREAK_ALL);
}

static void on_lost(void *context)
{
    (void)context;
    printf("lost\n");
}

static void on_proof(void *context, uint64_t sent_ms)
{
    (void)context;
    printf("proof age=%" PRIu64 "\n", rh_clock_monotonic_ms() - sent_ms);
}

static void on_recorded(void *context, struct rh_epoch epoch)
{
    (void)context;
    printf("recorded %" PRIu64 "/%" PRId64 "\n", epoch.generation, epoch.pzxid);
}

static void on_ask_peers(void *context)
{
    struct program *program = context;
    printf("ask_peers\n");
    rh_zk_membership_peers_asked(program->membership); /* there are none */
}

static void on_awaited(void *context)
{
    struct program *program = context;
    size_t count = 0;
    const struct rh_membership_awaited *awaited =
        rh_zk_membership_awaited(program->membership, &count);
    printf("awaited");
    for (size_t i = 0; i < count; i++) {
        printf(" %s:%016" PRIx64 "@%s", awaited[i].node.id, awaited[i].node.instance,
               awaited[i].address);
    }
    printf("\n");
}

static const struct rh_zk_membership_handler handler = {
    .view = on_view,
    .lost = on_lost,
    .proof = on_proof,
    .recorded = on_recorded,
    .ask_peers = on_ask_peers,
    .awaited = on_awaited,
    .fatal = on_fatal,
    .probe = on_probe,
    .changed = on_changed,
    .request = on_request,
    .left = on_left,
};

static void obey(struct program *program, const char *line)
{
    struct rh_zk_membership *membership = program->membership;
    struct rh_node_ref peer = {0};
    struct rh_epoch epoch = {0};
    uint64_t channels = 0;
    uint64_t connections = 0;
    if (sscanf(line, "up %64s %" SCNx64, peer.id, &peer.instance) == 2) {
        rh_zk_membership_peer_up(membership, &peer);
    } else if (sscanf(line, "down %64s %" SCNx64, peer.id, &peer.instance) == 2) {
        rh_zk_membership_peer_down(membership, &peer);
    } else if (sscanf(line, "dead %64s %" SCNx64, peer.id, &peer.instance) == 2) {
        rh_zk_membership_peer_dead(membership, &peer);
    } else if (sscanf(line, "epoch %" SCNu64 " %" SCNd64, &epoch.generation, &epoch.pzxid) == 2) {
        rh_zk_membership_peer_epoch(membership, &peer, epoch);
    } else if (sscanf(line, "shows %64s %" SCNx64 " %" SCNu64 " %" SCNd64, peer.id, &peer.instance,
                      &epoch.generation, &epoch.pzxid) == 4) {
        rh_zk_membership_peer_epoch(membership, &peer, epoch);
    } else if (sscanf(line, "replaced %64s %" SCNx64, peer.id, &peer.instance) == 2) {
        rh_zk_membership_peer_replaced(membership, &peer);
    } else if (strcmp(line, "prove") == 0) {
        rh_zk_membership_prove(membership);
    } else if (strcmp(line, "complete") == 0) {
        rh_zk_membership_complete(membership, rh_zk_membership_view(membership)->epoch);
    } else if (sscanf(line, "progress %" SCNu64 " %" SCNu64, &channels, &connections) == 2) {
        rh_zk_membership_progress(membership, channels, connections);
    } else if (strcmp(line, "catch_up") == 0) {
        rh_zk_membership_catch_up(membership);
    } else if (strcmp(line, "leave") == 0) {
        rh_zk_membership_leave(membership);
    } else if (strcmp(line, "leave_finish") == 0) {
        rh_zk_membership_leave_finish(membership);
    } else if (strcmp(line, "status") == 0) {
        on_changed(program);
    } else if (strcmp(line, "quit") == 0) {
        ev_break(program->loop, EVBREAK_ALL);
    } else {
        printf("unknown command: %s\n", line);
    }
}

static void on_input(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
    (void)revents;
    struct program *program = watcher->data;
    char bytes[256];
    ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (size <= 0) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    for (ssize_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            program->line[program->line_size] = '\0';
            program->line_size = 0;
            obey(program, program->line);
        } else if (program->line_size + 1 < sizeof(program->line)) {
            program->line[program->line_size++] = bytes[i];
        }
    }
}

/* As a daemon has it that replicates channels. */
static void replicate(struct rh_zk_membership_options *options)
{
    options->replication = true;
    options->config.session_timeout_ms = options->session_timeout_ms;
}

static bool take_option(const char *argument, struct rh_zk_membership_options *options,
                        struct program *program)
{
    char probe[16];
    if (sscanf(argument, "probe=%15s", probe) == 1) {
        program->probe = strcmp(probe, "answers") == 0 ? RH_MEMBERSHIP_PROBE_ANSWERS
                         : strcmp(probe, "dead") == 0  ? RH_MEMBERSHIP_PROBE_DEAD
                                                       : RH_MEMBERSHIP_PROBE_UNKNOWN;
        return true;
    }
    if (strcmp(argument, "replication=1") == 0) {
        replicate(options);
        return true;
    }
    return sscanf(argument, "timeout=%" SCNu32, &options->session_timeout_ms) == 1 ||
           sscanf(argument, "grace=%" SCNu32, &options->grace_ms) == 1 ||
           sscanf(argument, "vnodes=%" SCNu32, &options->config.vnodes) == 1 ||
           sscanf(argument, "weight=%" SCNu32, &options->registration.weight_milli) == 1 ||
           sscanf(argument, "peer=%261s", options->registration.peer) == 1;
}

int main(int argc, char **argv)
{
    struct program program = {.probe = RH_MEMBERSHIP_PROBE_DEAD};
    const struct rh_logger logger = {.write = write_log, .level_max = RH_LOG_INFO};
    struct rh_zk_membership_options options = {
        .session_timeout_ms = 4000,
        .config = {.format = RH_CONFIG_FORMAT, .vnodes = 64, .replicas = 2},
        .config_name = "the test",
        .registration = {.weight_milli = 1000,
                         .url = "ws://127.0.0.1:1",
                         .peer = "127.0.0.1:1",
                         .version = "test"},
        .logger = &logger,
        .handler = &handler,
        .context = &program,
    };
    if (argc < 5) {
        (void)fprintf(stderr, "usage: zk_member SERVERS CLUSTER ID INSTANCE [NAME=VALUE...]\n");
        return 2;
    }
    options.servers = argv[1];
    options.cluster = argv[2];
    (void)snprintf(options.registration.id, sizeof(options.registration.id), "%s", argv[3]);
    options.registration.instance = strtoull(argv[4], NULL, 16);
    for (int i = 5; i < argc; i++) {
        if (!take_option(argv[i], &options, &program)) {
            (void)fprintf(stderr, "zk_member: %s?\n", argv[i]);
            return 2;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    program.loop = ev_default_loop(0);
    struct rh_reason reason = {0};
    int rv = rh_zk_membership_create(program.loop, &options, &program.membership, &reason);
    if (rv != 0) {
        printf("fatal %s\n", reason.text);
        return 1;
    }
    ev_io_init(&program.input, on_input, STDIN_FILENO, EV_READ);
    program.input.data = &program;
    ev_io_start(program.loop, &program.input);
    ev_run(program.loop, 0);
    rh_zk_membership_destroy(program.membership);
    ev_loop_destroy(program.loop);
    printf("bye\n");
    return 0;
}
