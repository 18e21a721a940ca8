/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/zookeeper.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 20U /* before an operation is tried again while there is no session handle */

enum operation_kind {
    OPERATION_SYNC,
    OPERATION_GET,
    OPERATION_CHILDREN,
    OPERATION_CREATE,
    OPERATION_SET,
};

/* One operation and where its answer goes. */
struct operation {
    enum operation_kind kind;
    const char *path;
    struct rh_bytes data;
    int32_t version;

    bool done;
    int rv;
    struct rh_buffer *ret_data;
    struct rh_zookeeper_names *ret_names;
    struct rh_zk_stat stat;
};

struct rh_zookeeper {
    struct ev_loop *loop;
    struct rh_zk_client *client;
    uint64_t deadline_ms;
    struct operation *operation; /* the one in flight, or NULL */
    size_t abandoned;            /* operations before it that nobody waits for any more */
};

static const struct rh_zk_handler handler = {0};

int rh_zookeeper_open(const struct rh_config *config, uint32_t timeout_ms,
                      struct rh_zookeeper **ret_zookeeper, struct rh_reason *reason)
{
    struct rh_zookeeper *zookeeper = calloc(1, sizeof(*zookeeper));
    if (zookeeper == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    const struct rh_zk_options options = {
        .servers = config->zookeeper.servers,
        .session_timeout_ms = config->zookeeper.session_timeout_ms,
        .handler = &handler,
    };
    int rv = RH_ERR_NO_MEMORY;
    rh_zookeeper_extend(zookeeper, timeout_ms);
    zookeeper->loop = ev_loop_new(EVFLAG_AUTO);
    if (zookeeper->loop != NULL) {
        rv = rh_zk_client_create(zookeeper->loop, &options, &zookeeper->client, reason);
    }
    if (rv == 0) {
        rv = rh_zk_client_wait_connected(zookeeper->client, timeout_ms, reason);
    }
    if (rv == RH_ERR_UNREACHABLE) {
        const char *why = rh_zk_client_reason(zookeeper->client);
        (void)rh_fail(reason, rv, "ZooKeeper at %s is not reachable within %u ms%s%s%s",
                      config->zookeeper.servers, timeout_ms, why[0] != '\0' ? " (" : "", why,
                      why[0] != '\0' ? ")" : "");
    }
    if (rv != 0) {
        rh_zookeeper_close(zookeeper);
        return rv;
    }
    *ret_zookeeper = zookeeper;
    return 0;
}

enum rh_exit rh_zookeeper_open_for(const struct rh_cli *cli, uint32_t timeout_ms,
                                   struct rh_zookeeper **ret_zookeeper)
{
    struct rh_reason reason = {""};
    int rv = rh_zookeeper_open(&cli->config, timeout_ms, ret_zookeeper, &reason);
    if (rv == 0) {
        return RH_EXIT_DONE;
    }
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(cli);
    }
    return rh_cli_fail(cli, RH_EXIT_ZOOKEEPER, "%s; is it running?", reason.text);
}

void rh_zookeeper_close(struct rh_zookeeper *zookeeper)
{
    if (zookeeper == NULL) {
        return;
    }
    rh_zk_client_destroy(zookeeper->client);
    if (zookeeper->loop != NULL) {
        ev_loop_destroy(zookeeper->loop);
    }
    free(zookeeper);
}

void rh_zookeeper_extend(struct rh_zookeeper *zookeeper, uint32_t timeout_ms)
{
    zookeeper->deadline_ms = rh_cli_now_ms() + timeout_ms;
}

void rh_zookeeper_pause(struct rh_zookeeper *zookeeper, uint32_t pause_ms)
{
    const bool never = false;
    if (rh_zk_client_wait(zookeeper->client, &never, pause_ms) == 0) {
        assert(false && "nothing sets it");
    }
}

static int copy_names(const struct rh_zk_answer *answer, struct rh_zookeeper_names *ret_names)
{
    struct rh_zookeeper_names names = {0};
    names.names = calloc(answer->children_count + 1, sizeof(*names.names));
    if (names.names == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < answer->children_count; i++) {
        names.names[i] = strdup(answer->children[i]);
        if (names.names[i] == NULL) {
            rh_zookeeper_names_finish(&names);
            return RH_ERR_NO_MEMORY;
        }
        names.count++;
    }
    *ret_names = names;
    return 0;
}

/* Answers come in the order in which they were asked for. */
static void on_done(void *context, int rv, const struct rh_zk_answer *answer)
{
    struct rh_zookeeper *zookeeper = context;
    if (zookeeper->abandoned > 0) {
        zookeeper->abandoned--;
        return;
    }
    struct operation *operation = zookeeper->operation;
    operation->done = true;
    operation->rv = rv;
    operation->stat = answer->stat;
    if (rv == 0 && operation->ret_data != NULL) {
        rh_buffer_clear(operation->ret_data);
        operation->rv = rh_buffer_append_bytes(operation->ret_data, answer->data);
    }
    if (rv == 0 && operation->ret_names != NULL) {
        operation->rv = copy_names(answer, operation->ret_names);
    }
}

static int start(struct rh_zookeeper *zookeeper, const struct operation *operation)
{
    struct rh_zk_client *client = zookeeper->client;
    switch (operation->kind) {
    case OPERATION_SYNC:
        return rh_zk_client_sync(client, operation->path, on_done, zookeeper);
    case OPERATION_GET:
        return rh_zk_client_get(client, operation->path, false, on_done, zookeeper);
    case OPERATION_CHILDREN:
        return rh_zk_client_children(client, operation->path, false, on_done, zookeeper);
    case OPERATION_CREATE:
        return rh_zk_client_create_node(client, operation->path, operation->data, RH_ZK_PERSISTENT,
                                        on_done, zookeeper);
    case OPERATION_SET:
        return rh_zk_client_set(client, operation->path, operation->data, operation->version,
                                on_done, zookeeper);
    }
    return RH_ERR_INVALID;
}

/* One try: RH_ERR_AGAIN when it is worth another one. */
static int attempt(struct rh_zookeeper *zookeeper, struct operation *operation)
{
    uint32_t left_ms = rh_cli_left_ms(zookeeper->deadline_ms);
    if (left_ms == 0) {
        return RH_ERR_UNREACHABLE;
    }
    operation->done = false;
    int rv = start(zookeeper, operation);
    if (rv == RH_ERR_AGAIN) {
        rh_zookeeper_pause(zookeeper, left_ms < PAUSE_MS ? left_ms : PAUSE_MS);
    }
    if (rv != 0) {
        return rv;
    }
    zookeeper->operation = operation;
    rv = rh_zk_client_wait(zookeeper->client, &operation->done, left_ms);
    zookeeper->operation = NULL;
    if (rv != 0) {
        zookeeper->abandoned++;
        return RH_ERR_UNREACHABLE;
    }
    bool broken = operation->rv == RH_ERR_UNREACHABLE || operation->rv == RH_ERR_CLOSED;
    return broken ? RH_ERR_AGAIN : operation->rv;
}

static int perform(struct rh_zookeeper *zookeeper, struct operation *operation)
{
    int rv;
    do {
        rv = attempt(zookeeper, operation);
    } while (rv == RH_ERR_AGAIN);
    return rv;
}

int rh_zookeeper_sync(struct rh_zookeeper *zookeeper, const char *path)
{
    struct operation operation = {.kind = OPERATION_SYNC, .path = path};
    return perform(zookeeper, &operation);
}

int rh_zookeeper_get(struct rh_zookeeper *zookeeper, const char *path, struct rh_buffer *ret_data,
                     struct rh_zk_stat *ret_stat)
{
    struct operation operation = {.kind = OPERATION_GET, .path = path, .ret_data = ret_data};
    int rv = perform(zookeeper, &operation);
    if (rv == 0) {
        *ret_stat = operation.stat;
    }
    return rv;
}

int rh_zookeeper_create_node(struct rh_zookeeper *zookeeper, const char *path, struct rh_bytes data)
{
    struct operation operation = {.kind = OPERATION_CREATE, .path = path, .data = data};
    return perform(zookeeper, &operation);
}

int rh_zookeeper_set(struct rh_zookeeper *zookeeper, const char *path, struct rh_bytes data,
                     int32_t version)
{
    struct operation operation = {
        .kind = OPERATION_SET, .path = path, .data = data, .version = version};
    return perform(zookeeper, &operation);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

int rh_zookeeper_children(struct rh_zookeeper *zookeeper, const char *path,
                          struct rh_zookeeper_names *ret_names, struct rh_zk_stat *ret_stat)
{
    struct operation operation = {.kind = OPERATION_CHILDREN, .path = path, .ret_names = ret_names};
    int rv = perform(zookeeper, &operation);
    if (rv == 0) {
        qsort(ret_names->names, ret_names->count, sizeof(ret_names->names[0]), compare_names);
        *ret_stat = operation.stat;
    }
    return rv;
}

void rh_zookeeper_names_finish(struct rh_zookeeper_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->names[i]);
    }
    free(names->names);
    *names = (struct rh_zookeeper_names){0};
}
