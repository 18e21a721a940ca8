/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE     256
#define SEQUENCE_SIZE 10 /* digits that ZooKeeper appends to a name */

/* The registrations that are read so far. */
struct reading {
    struct rh_zookeeper *zookeeper;
    char members_path[PATH_SIZE];
    char config_path[PATH_SIZE];
    struct rh_registration *registrations;
    struct rh_registration_name *names; /* of the registrations */
    int64_t *czxids;
    size_t count;
    struct rh_buffer data;
    struct rh_reason *reason;
};

static int fail_read(const struct reading *reading, int rv, const char *path)
{
    return rh_fail(reading->reason, rv, "%s in ZooKeeper cannot be read: %s", path,
                   rh_error_text(rv));
}

static int read_config(struct reading *reading, struct rh_shared_config *ret_config)
{
    struct rh_zk_stat stat;
    struct rh_reason why;
    int rv = rh_zookeeper_get(reading->zookeeper, reading->config_path, &reading->data, &stat);
    if (rv == RH_ERR_NOT_FOUND) {
        return rh_fail(reading->reason, rv,
                       "no node of this cluster has ever registered (there is "
                       "no %s in ZooKeeper)",
                       reading->config_path);
    }
    if (rv != 0) {
        return fail_read(reading, rv, reading->config_path);
    }
    rv = rh_shared_config_decode(rh_buffer_content(&reading->data), ret_config, NULL, &why);
    if (rv != 0) {
        return rh_fail(reading->reason, rv, "%s in ZooKeeper is broken: %s", reading->config_path,
                       why.text);
    }
    return 0;
}

/* Whether a child called |name| may hold the registration of |id|. */
static bool name_fits(const char *name, const char *id)
{
    size_t size = strlen(id);
    return strlen(name) == size + 1 + SEQUENCE_SIZE && strncmp(name, id, size) == 0 &&
           name[size] == '.';
}

/* Reads the registration |name| of a list made at |pzxid|. RH_ERR_AGAIN: the list is stale. Anyone
 * can write nonsense there; for the nodes that is no member, so neither is it here. */
static int read_registration(struct reading *reading, const char *name, int64_t pzxid)
{
    char path[RH_ZK_PATH_SIZE];
    struct rh_zk_stat stat;
    struct rh_reason why;
    (void)snprintf(path, sizeof(path), "%s/%s", reading->members_path, name);
    int rv = rh_zookeeper_get(reading->zookeeper, path, &reading->data, &stat);
    if (rv == RH_ERR_NOT_FOUND || (rv == 0 && stat.czxid > pzxid)) {
        return RH_ERR_AGAIN;
    }
    if (rv != 0) {
        return fail_read(reading, rv, path);
    }
    struct rh_registration *registration = &reading->registrations[reading->count];
    rv = rh_registration_decode(rh_buffer_content(&reading->data), registration, &why);
    if (rv == RH_ERR_NO_MEMORY) {
        return rv;
    }
    if (rv == 0 && name_fits(name, registration->id) && stat.ephemeral_owner != 0) {
        (void)snprintf(reading->names[reading->count].text, RH_REGISTRATION_NAME_SIZE, "%s", name);
        reading->czxids[reading->count] = stat.czxid;
        reading->count++;
    }
    return 0;
}

static void free_list(struct reading *reading)
{
    free(reading->registrations);
    free(reading->names);
    free(reading->czxids);
}

static int read_list(struct reading *reading, const struct rh_zookeeper_names *names, int64_t pzxid)
{
    free_list(reading);
    reading->count = 0;
    reading->registrations = calloc(names->count + 1, sizeof(*reading->registrations));
    reading->names = calloc(names->count + 1, sizeof(*reading->names));
    reading->czxids = calloc(names->count + 1, sizeof(*reading->czxids));
    if (reading->registrations == NULL || reading->names == NULL || reading->czxids == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    int rv = 0;
    for (size_t i = 0; i < names->count && rv == 0; i++) {
        rv = read_registration(reading, names->names[i], pzxid);
    }
    return rv;
}

/* One try. RH_ERR_AGAIN: something changed meanwhile. */
static int read_once(struct reading *reading, struct rh_view **ret_view)
{
    struct rh_shared_config before;
    struct rh_shared_config after;
    int rv = read_config(reading, &before);
    if (rv != 0) {
        return rv;
    }
    struct rh_zookeeper_names names = {0};
    struct rh_zk_stat stat = {0};
    rv = rh_zookeeper_children(reading->zookeeper, reading->members_path, &names, &stat);
    if (rv != 0 && rv != RH_ERR_NOT_FOUND) {
        return fail_read(reading, rv, reading->members_path);
    }
    rv = read_list(reading, &names, stat.pzxid);
    rh_zookeeper_names_finish(&names);
    if (rv == 0) {
        rv = read_config(reading, &after);
    }
    if (rv != 0) {
        return rv;
    }
    if (before.generation != after.generation) {
        return RH_ERR_AGAIN;
    }
    const struct rh_view_source source = {
        .epoch = {.generation = after.generation, .pzxid = stat.pzxid},
        .config = &after,
        .members = reading->registrations,
        .czxids = reading->czxids,
        .names = reading->names,
        .members_count = reading->count,
    };
    rv = rh_view_build(&source, ret_view);
    if (rv != 0) {
        return rh_fail(reading->reason, rv, "the ring of %s cannot be built: %s",
                       reading->members_path, rh_error_text(rv));
    }
    return 0;
}

int rh_snapshot_read(struct rh_zookeeper *zookeeper, const char *cluster, struct rh_view **ret_view,
                     struct rh_reason *reason)
{
    struct reading reading = {.zookeeper = zookeeper, .reason = reason};
    (void)snprintf(reading.members_path, PATH_SIZE, "/ringhop/%s/members", cluster);
    (void)snprintf(reading.config_path, PATH_SIZE, "/ringhop/%s/config", cluster);
    /* The server that we happen to talk to may lag behind the others. */
    int rv = rh_zookeeper_sync(zookeeper, reading.config_path);
    if (rv != 0 && rv != RH_ERR_NOT_FOUND) {
        rv = fail_read(&reading, rv, reading.config_path);
    } else {
        do {
            rv = read_once(&reading, ret_view);
        } while (rv == RH_ERR_AGAIN);
    }
    free_list(&reading);
    rh_buffer_finish(&reading.data);
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_fail(reason, rv, "%s", rh_error_text(rv));
    }
    return rv;
}

int rh_snapshot_offline(const struct rh_config *config, struct rh_view **ret_view)
{
    struct rh_registration *registrations = calloc(config->nodes_count + 1, sizeof(*registrations));
    int64_t *czxids = calloc(config->nodes_count + 1, sizeof(*czxids));
    const struct rh_shared_config shared = {.format = RH_CONFIG_FORMAT,
                                            .vnodes = config->ring.vnodes,
                                            .replicas = config->ring.replicas,
                                            .seed = config->ring.seed};
    const struct rh_epoch epoch = {0};
    int rv = registrations == NULL || czxids == NULL ? RH_ERR_NO_MEMORY : 0;
    for (size_t i = 0; i < config->nodes_count && rv == 0; i++) {
        const struct rh_config_node *node = &config->nodes[i];
        struct rh_registration *registration = &registrations[i];
        registration->weight_milli = node->weight_milli;
        (void)snprintf(registration->id, sizeof(registration->id), "%s", node->id);
        (void)snprintf(registration->zone, sizeof(registration->zone), "%s", node->zone);
        (void)snprintf(registration->url, sizeof(registration->url), "%s", node->advertise);
        (void)snprintf(registration->peer, sizeof(registration->peer), "%s", node->peer_advertise);
        (void)snprintf(registration->admin, sizeof(registration->admin), "%s", node->admin);
    }
    if (rv == 0) {
        rv = rh_view_create(epoch, &shared, registrations, czxids, config->nodes_count, ret_view);
    }
    free(registrations);
    free(czxids);
    return rv;
}

static void warn_other_ring(const struct rh_cli *cli, const struct rh_shared_config *shared)
{
    const struct rh_config *config = &cli->config;
    const char *field = NULL;
    if (shared->vnodes != config->ring.vnodes) {
        field = "vnodes";
    } else if (shared->replicas != config->ring.replicas) {
        field = "replicas";
    } else if (shared->seed != config->ring.seed) {
        field = "seed";
    }
    if (field != NULL) {
        rh_cli_warn(cli,
                    "ring.%s of the cluster is not that of %s; what follows is by the cluster's",
                    field, config->path);
    }
}

enum rh_exit rh_snapshot_read_for(const struct rh_cli *cli, struct rh_zookeeper *zookeeper,
                                  struct rh_view **ret_view)
{
    struct rh_reason reason = {""};
    int rv = rh_snapshot_read(zookeeper, cli->config.cluster, ret_view, &reason);
    if (rv == RH_ERR_NOT_FOUND) {
        return rh_cli_fail(cli, RH_EXIT_NO, "%s; start one: ringhopd --config %s --node ID",
                           reason.text, cli->config.path);
    }
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(cli);
    }
    if (rv != 0) {
        return rh_cli_fail(cli, RH_EXIT_ZOOKEEPER, "%s", reason.text);
    }
    warn_other_ring(cli, &(*ret_view)->config);
    return RH_EXIT_DONE;
}

enum rh_exit rh_snapshot_for(const struct rh_cli *cli, bool offline, struct rh_view **ret_view)
{
    if (offline) {
        int rv = rh_snapshot_offline(&cli->config, ret_view);
        return rv == 0 ? RH_EXIT_DONE : rh_cli_fail_no_memory(cli);
    }
    struct rh_zookeeper *zookeeper;
    enum rh_exit code =
        rh_zookeeper_open_for(cli, rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS), &zookeeper);
    if (code == RH_EXIT_DONE) {
        code = rh_snapshot_read_for(cli, zookeeper, ret_view);
        rh_zookeeper_close(zookeeper);
    }
    return code;
}
