/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/local.h"

#include "base/buffer.h"
#include "cli/random.h"
#include "drill/process.h"
#include "drill/relay.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define JAVA_FOLDER  "/usr/share/java"
#define TICK_MS      500   /* of ZooKeeper: session timeouts from twice that */
#define PORT_FIRST   20000 /* below those that the kernel takes for outgoing connections */
#define PORT_LAST    32000
#define PORT_TRIES   1000
#define LISTEN_HOST  "127.0.0.1"
#define TAIL_SIZE    2048 /* of a log that is looked at for its last line */
#define ADDRESS_SIZE RH_LOCAL_ADDRESS_SIZE

struct node {
    struct rh_local *local;
    char id[RH_STEP_NODE_SIZE];
    uint16_t listen;
    uint16_t peer;
    uint16_t admin;
    bool listed;   /* in the config */
    bool stopping; /* was told to */
    struct rh_relay *relay;
    struct rh_process *process; /* NULL: does not run */
};

struct rh_local {
    struct ev_loop *loop;
    struct rh_local_options options;
    char folder[RH_LOCAL_PATH_SIZE];
    char config_path[RH_LOCAL_PATH_SIZE];
    char ringhopd[RH_PROCESS_PATH_SIZE];
    uint16_t zookeeper_port;
    struct rh_process *zookeeper; /* NULL: does not run */
    struct node *nodes[RH_PLOT_NODES_MAX];
    size_t nodes_count;
};

/* ---- ports, files, programs ---- */

static bool port_is_free(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1; /* what only lingers in TIME_WAIT is in nobody's way */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool is_free = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_free;
}

static bool port_is_taken_by_us(const struct rh_local *local, uint16_t port)
{
    bool taken = local->zookeeper_port == port;
    for (size_t i = 0; i < local->nodes_count; i++) {
        const struct node *node = local->nodes[i];
        taken = taken || node->listen == port || node->peer == port || node->admin == port;
    }
    return taken;
}

static int choose_port(const struct rh_local *local, uint16_t *ret_port, struct rh_reason *reason)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + rh_random_number() % (PORT_LAST - PORT_FIRST));
        if (!port_is_taken_by_us(local, port) && port_is_free(port)) {
            *ret_port = port;
            return 0;
        }
    }
    return rh_fail(reason, RH_ERR_FULL, "no free port from %d to %d on %s", PORT_FIRST, PORT_LAST,
                   LISTEN_HOST);
}

static void path_in(const struct rh_local *local, const char *name,
                    char out[static RH_LOCAL_PATH_SIZE])
{
    (void)snprintf(out, RH_LOCAL_PATH_SIZE, "%.900s/%.100s", local->folder, name);
}

static int write_file(const char *path, const char *text, struct rh_reason *reason)
{
    FILE *file = fopen(path, "we");
    bool written = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    return written ? 0
                   : rh_fail(reason, RH_ERR_IO, "%s cannot be written: %s", path, strerror(errno));
}

/* Beside this program, where a build has it, or else whatever PATH says. */
static void find_ringhopd(char out[static RH_PROCESS_PATH_SIZE])
{
    if (!rh_process_beside("ringhopd", X_OK, out) &&
        !rh_process_beside("../node/ringhopd", X_OK, out)) {
        (void)snprintf(out, RH_PROCESS_PATH_SIZE, "ringhopd");
    }
}

void rh_local_last_line(const char *path, char *out, size_t out_size)
{
    char tail[TAIL_SIZE + 1];
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fseek(file, -TAIL_SIZE, SEEK_END) != 0) {
        rewind(file);
    }
    size_t size = fread(tail, 1, TAIL_SIZE, file);
    (void)fclose(file);
    while (size > 0 && (tail[size - 1] == '\n' || tail[size - 1] == '\r')) {
        size--;
    }
    tail[size] = '\0';
    const char *line = strrchr(tail, '\n');
    (void)snprintf(out, out_size, "%s", line != NULL ? line + 1 : tail);
}

/* "X: ended with exit code 1 (the last line of its log)" */
static void tell_end(struct rh_local *local, const char *name, const struct rh_process *process)
{
    struct rh_reason reason;
    char end[RH_PROCESS_END_SIZE];
    char file[RH_STEP_NODE_SIZE + 4];
    char path[RH_LOCAL_PATH_SIZE];
    char line[160];
    (void)snprintf(file, sizeof(file), "%s.log", name);
    path_in(local, file, path);
    rh_local_last_line(path, line, sizeof(line));
    rh_process_end_text(process, end);
    (void)rh_fail(&reason, RH_ERR_CLOSED, "%s ended of itself: %s%s%s%s", name, end,
                  line[0] != '\0' ? " (" : "", line, line[0] != '\0' ? ")" : "");
    local->options.on_lost(local->options.context, &reason);
}

/* ---- the config ---- */

/* All nodes share it, but for where they find ZooKeeper. */
static int write_config(const struct rh_local *local, const char *path, uint16_t zookeeper_port,
                        struct rh_reason *reason)
{
    const struct rh_scenario *scenario = local->options.scenario;
    struct rh_buffer text = {0};
    int rv =
        rh_buffer_format(&text,
                         "cluster: drill\n"
                         "zookeeper: {servers: \"" LISTEN_HOST ":%u\", session_timeout: %ums}\n"
                         "ring: {vnodes: %u, replicas: %u, seed: 0}\n",
                         zookeeper_port, scenario->cluster.session_timeout_ms,
                         scenario->cluster.vnodes, scenario->cluster.replicas);
    if (rv == 0 && scenario->cluster.channels_per_second > 0) {
        rv = rh_buffer_format(&text, "rebalance: {channels_per_second: %u}\n",
                              scenario->cluster.channels_per_second);
    }
    if (rv == 0) {
        rv = rh_buffer_append_text(&text, "nodes:\n");
    }
    for (size_t i = 0; i < local->nodes_count && rv == 0; i++) {
        const struct node *node = local->nodes[i];
        if (node->listed) {
            rv =
                rh_buffer_format(&text,
                                 "  - {id: %s, listen: \"" LISTEN_HOST ":%u\", peer: \"" LISTEN_HOST
                                 ":%u\", admin: \"" LISTEN_HOST ":%u\"}\n",
                                 node->id, node->listen, node->peer, node->admin);
        }
    }
    char *whole = rv == 0 ? rh_buffer_take_text(&text) : NULL;
    rh_buffer_finish(&text);
    if (whole == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    rv = write_file(path, whole, reason);
    free(whole);
    return rv;
}

/* ---- ZooKeeper ---- */

static void on_zookeeper_end(void *context, struct rh_process *process)
{
    struct rh_local *local = context;
    tell_end(local, "zookeeper", process);
}

int rh_local_zookeeper_start(struct rh_local *local, struct rh_reason *reason)
{
    char config[RH_LOCAL_PATH_SIZE];
    char log[RH_LOCAL_PATH_SIZE];
    char classes[RH_LOCAL_PATH_SIZE + 256];
    path_in(local, "zoo.cfg", config);
    path_in(local, "zookeeper.log", log);
    (void)snprintf(classes, sizeof(classes),
                   JAVA_FOLDER "/zookeeper.jar:" JAVA_FOLDER "/slf4j-log4j12.jar:" JAVA_FOLDER
                               "/log4j-1.2.jar:%s",
                   local->folder);
    const char *const arguments[] = {"java",
                                     "-Xmx256m",
                                     "-XX:+UseSerialGC",
                                     "-XX:TieredStopAtLevel=1",
                                     "-cp",
                                     classes,
                                     "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                     config,
                                     NULL};
    const struct rh_process_options options = {
        .arguments = arguments, .log_path = log, .on_end = on_zookeeper_end, .context = local};
    rh_local_zookeeper_stop(local);
    return rh_process_start(local->loop, &options, &local->zookeeper, reason);
}

/* At once: the harder case, and its data stays. */
void rh_local_zookeeper_stop(struct rh_local *local)
{
    rh_process_destroy(local->zookeeper);
    local->zookeeper = NULL;
}

static int write_zookeeper_config(struct rh_local *local, struct rh_reason *reason)
{
    char path[RH_LOCAL_PATH_SIZE];
    char text[RH_LOCAL_PATH_SIZE + 512];
    (void)snprintf(text, sizeof(text),
                   "tickTime=%d\nmaxSessionTimeout=60000\ndataDir=%s/zookeeper\nclientPort=%u\n"
                   "clientPortAddress=" LISTEN_HOST "\nmaxClientCnxns=0\nadmin.enableServer=false\n"
                   "forceSync=no\n", /* nothing here has to survive a power cut */
                   TICK_MS, local->folder, local->zookeeper_port);
    path_in(local, "zoo.cfg", path);
    int rv = write_file(path, text, reason);
    if (rv == 0) {
        path_in(local, "log4j.properties", path);
        rv = write_file(path,
                        "log4j.rootLogger=WARN, out\n"
                        "log4j.appender.out=org.apache.log4j.ConsoleAppender\n"
                        "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
                        "log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n",
                        reason);
    }
    return rv;
}

/* ---- nodes ---- */

static struct node *find(const struct rh_local *local, const char *id)
{
    for (size_t i = 0; i < local->nodes_count; i++) {
        if (strcmp(local->nodes[i]->id, id) == 0) {
            return local->nodes[i];
        }
    }
    return NULL;
}

static struct node *known(const struct rh_local *local, const char *id)
{
    struct node *node = find(local, id);
    assert(node != NULL);
    return node;
}

/* A node with ports of its own; it does not run yet. */
static int add_node(struct rh_local *local, const char *id, bool listed, struct rh_reason *reason)
{
    if (local->nodes_count == RH_PLOT_NODES_MAX) {
        return rh_fail(reason, RH_ERR_FULL, "a drill has at most %d nodes", RH_PLOT_NODES_MAX);
    }
    struct node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    node->local = local;
    node->listed = listed;
    (void)snprintf(node->id, sizeof(node->id), "%s", id);
    local->nodes[local->nodes_count] = node;
    local->nodes_count++;
    int rv = choose_port(local, &node->listen, reason);
    if (rv == 0) {
        rv = choose_port(local, &node->peer, reason);
    }
    if (rv == 0) {
        rv = choose_port(local, &node->admin, reason);
    }
    return rv;
}

static void on_node_end(void *context, struct rh_process *process)
{
    struct node *node = context;
    if (!node->stopping || !rh_process_succeeded(process)) {
        tell_end(node->local, node->id, process);
        return;
    }
    rh_process_destroy(process);
    node->process = NULL;
    node->local->options.on_stopped(node->local->options.context, node->id);
}

static void format_address(uint16_t port, char out[static ADDRESS_SIZE])
{
    (void)snprintf(out, ADDRESS_SIZE, LISTEN_HOST ":%u", port);
}

static int spawn_node(struct rh_local *local, struct node *node, struct rh_reason *reason)
{
    char name[RH_STEP_NODE_SIZE + 8];
    char config[RH_LOCAL_PATH_SIZE];
    char log[RH_LOCAL_PATH_SIZE];
    char listen[ADDRESS_SIZE];
    char peer[ADDRESS_SIZE];
    char admin[ADDRESS_SIZE];
    (void)snprintf(name, sizeof(name), "%s.yaml", node->id);
    path_in(local, name, config);
    (void)snprintf(name, sizeof(name), "%s.log", node->id);
    path_in(local, name, log);
    format_address(node->listen, listen);
    format_address(node->peer, peer);
    format_address(node->admin, admin);
    /* What the file lists needs no flags: there the arguments end. */
    const char *const flags = node->listed ? NULL : "--listen";
    const char *const arguments[] = {local->ringhopd, "--config", config,   "--node", node->id,
                                     flags,           listen,     "--peer", peer,     "--admin",
                                     admin,           NULL};
    const struct rh_process_options options = {
        .arguments = arguments, .log_path = log, .on_end = on_node_end, .context = node};
    int rv = write_config(local, config, rh_relay_port(node->relay), reason);
    return rv != 0 ? rv : rh_process_start(local->loop, &options, &node->process, reason);
}

/* ZooKeeper closes the connection of a session that it lets expire. */
static void on_given_up(void *context)
{
    struct node *node = context;
    rh_relay_restore(node->relay);
    node->local->options.on_expired(node->local->options.context, node->id);
}

int rh_local_prepare(struct rh_local *local, const char *id, struct rh_reason *reason)
{
    return find(local, id) != NULL ? 0 : add_node(local, id, false, reason);
}

int rh_local_start(struct rh_local *local, const char *id, struct rh_reason *reason)
{
    struct node *node = known(local, id);
    int rv = 0;
    if (node->relay == NULL) {
        rv = rh_relay_start(local->loop, local->zookeeper_port, on_given_up, node, &node->relay,
                            reason);
    }
    if (rv == 0) {
        assert(!rh_process_running(node->process));
        rh_process_destroy(node->process);
        node->process = NULL;
        node->stopping = false;
        rv = spawn_node(local, node, reason);
    }
    return rv;
}

void rh_local_stop(struct rh_local *local, const char *id)
{
    struct node *node = known(local, id);
    node->stopping = true;
    if (rh_process_running(node->process)) {
        rh_process_signal(node->process, SIGTERM);
    }
}

void rh_local_kill(struct rh_local *local, const char *id)
{
    struct node *node = known(local, id);
    rh_process_destroy(node->process);
    node->process = NULL;
}

void rh_local_pause(struct rh_local *local, const char *id)
{
    rh_process_signal(known(local, id)->process, SIGSTOP);
}

void rh_local_resume(struct rh_local *local, const char *id)
{
    rh_process_signal(known(local, id)->process, SIGCONT);
}

void rh_local_expire(struct rh_local *local, const char *id)
{
    rh_relay_cut(known(local, id)->relay);
}

void rh_local_addresses(const struct rh_local *local, const char *id,
                        char ret_listen[static RH_LOCAL_ADDRESS_SIZE],
                        char ret_admin[static RH_LOCAL_ADDRESS_SIZE])
{
    const struct node *node = known(local, id);
    format_address(node->listen, ret_listen);
    format_address(node->admin, ret_admin);
}

/* ---- the whole ---- */

static int check_installed(struct rh_reason *reason)
{
    if (access(JAVA_FOLDER "/zookeeper.jar", R_OK) != 0) {
        return rh_fail(reason, RH_ERR_NOT_FOUND,
                       "a local cluster needs ZooKeeper, and there is no " JAVA_FOLDER
                       "/zookeeper.jar; on Debian: apt-get install zookeeper");
    }
    return 0;
}

static int prepare(struct rh_local *local, struct rh_reason *reason)
{
    char path[RH_LOCAL_PATH_SIZE];
    int rv = check_installed(reason);
    if (rv == 0) {
        rv = choose_port(local, &local->zookeeper_port, reason);
    }
    for (uint32_t i = 1; i <= local->options.scenario->cluster.nodes && rv == 0; i++) {
        char id[RH_STEP_NODE_SIZE];
        (void)snprintf(id, sizeof(id), "n%" PRIu32, i);
        rv = add_node(local, id, true, reason);
    }
    path_in(local, "zookeeper", path);
    if (rv == 0 && mkdir(path, 0700) != 0) {
        rv = rh_fail(reason, RH_ERR_IO, "%s: %s", path, strerror(errno));
    }
    if (rv == 0) {
        rv = write_zookeeper_config(local, reason);
    }
    if (rv == 0) {
        rv = write_config(local, local->config_path, local->zookeeper_port, reason);
    }
    return rv != 0 ? rv : rh_local_zookeeper_start(local, reason);
}

int rh_local_create(struct ev_loop *loop, const struct rh_local_options *options,
                    struct rh_local **ret_local, struct rh_reason *reason)
{
    struct rh_local *local = calloc(1, sizeof(*local));
    if (local == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    local->loop = loop;
    local->options = *options;
    (void)snprintf(local->folder, sizeof(local->folder), "%.900s", options->folder);
    path_in(local, "cluster.yaml", local->config_path);
    find_ringhopd(local->ringhopd);
    int rv = prepare(local, reason);
    if (rv != 0) {
        rh_local_destroy(local);
        return rv;
    }
    *ret_local = local;
    return 0;
}

void rh_local_destroy(struct rh_local *local)
{
    if (local == NULL) {
        return;
    }
    for (size_t i = 0; i < local->nodes_count; i++) {
        rh_process_destroy(local->nodes[i]->process);
        rh_relay_stop(local->nodes[i]->relay);
        free(local->nodes[i]);
    }
    rh_local_zookeeper_stop(local);
    free(local);
}

const char *rh_local_config_path(const struct rh_local *local)
{
    return local->config_path;
}
