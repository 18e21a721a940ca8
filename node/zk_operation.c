/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads and writes in a session. One heap object per operation; the library calls it back exactly
 * once, with what the server said or with why there is no answer.
 */

#include "node/zk_client_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* More than that in flight is a bug or a server that does not answer. */
#define OPERATIONS_MAX 10000

struct operation {
    struct rh_list link; /* in client->operations */
    struct rh_zk_client *client;
    rh_zk_done *done;
    void *context;
    bool watch;
    char path[RH_ZK_PATH_SIZE]; /* get: to try again; multi: the name that was created */
    size_t results_count;       /* multi */
    zoo_op_result_t results[];
};

static int code_of(int rc)
{
    switch (rc) {
    case ZOK:
        return 0;
    case ZNONODE:
        return RH_ERR_NOT_FOUND;
    case ZNODEEXISTS:
        return RH_ERR_EXISTS;
    case ZBADVERSION:
    case ZNOTEMPTY:
        return RH_ERR_CONFLICT;
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZSESSIONMOVED:
    case ZCLOSING:
        return RH_ERR_UNREACHABLE;
    case ZSESSIONEXPIRED:
        return RH_ERR_CLOSED;
    case ZNOAUTH:
    case ZINVALIDACL:
    case ZAUTHFAILED:
        return RH_ERR_REFUSED;
    case ZBADARGUMENTS:
        return RH_ERR_INVALID;
    case ZINVALIDSTATE:
        return RH_ERR_AGAIN;
    case ZMARSHALLINGERROR:
        return RH_ERR_NO_MEMORY; /* of the calls that send */
    case ZRUNTIMEINCONSISTENCY:
        return RH_ERR_AGAIN; /* undone, because another one of the transaction failed */
    default:
        return RH_ERR_IO;
    }
}

static struct rh_zk_stat stat_of(const struct Stat *stat)
{
    if (stat == NULL) {
        return (struct rh_zk_stat){0};
    }
    return (struct rh_zk_stat){.czxid = stat->czxid,
                               .mzxid = stat->mzxid,
                               .pzxid = stat->pzxid,
                               .ephemeral_owner = stat->ephemeralOwner,
                               .version = stat->version,
                               .cversion = stat->cversion,
                               .children_count = stat->numChildren};
}

static void forget(struct operation *operation)
{
    rh_list_remove(&operation->link);
    operation->client->operations_count--;
    free(operation);
}

static void end(struct operation *operation, int rc, const struct rh_zk_answer *answer)
{
    if (operation->done != NULL && !operation->client->doomed) {
        operation->done(operation->context, code_of(rc), answer);
    }
    forget(operation);
}

void rh_zk_operations_drop(struct rh_zk_client *client)
{
    rh_list_each_safe (&client->operations, link) {
        forget(rh_container_of(link, struct operation, link));
    }
}

void rh_zk_watcher(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle;
    (void)state;
    struct rh_zk_client *client = context;
    if (type == ZOO_SESSION_EVENT || client->doomed || client->handler->watch == NULL) {
        return; /* session events come to every watch as well */
    }
    enum rh_zk_watch_event event = RH_ZK_WATCH_LOST;
    if (type == ZOO_CREATED_EVENT) {
        event = RH_ZK_WATCH_CREATED;
    } else if (type == ZOO_DELETED_EVENT) {
        event = RH_ZK_WATCH_DELETED;
    } else if (type == ZOO_CHANGED_EVENT) {
        event = RH_ZK_WATCH_CHANGED;
    } else if (type == ZOO_CHILD_EVENT) {
        event = RH_ZK_WATCH_CHILDREN;
    }
    client->handler->watch(client->context, event, path);
}

static bool path_valid(const char *path)
{
    size_t size = strlen(path);
    if (size == 0 || size >= RH_ZK_PATH_SIZE || path[0] != '/') {
        return false;
    }
    if (size > 1 && path[size - 1] == '/') {
        return false;
    }
    for (const char *at = path; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f || (at[0] == '/' && at[1] == '/')) {
            return false;
        }
        if (at[0] == '/' && at[1] == '.') {
            return false; /* "." and ".." mean something; we have no use for hidden names */
        }
    }
    return rh_bytes_is_utf8(rh_bytes(path, size));
}

/* The object for one operation, linked. */
static int begin(struct rh_zk_client *client, const char *path, size_t results_count,
                 rh_zk_done *done, void *context, struct operation **ret_operation)
{
    assert(!client->doomed);
    if (!path_valid(path)) {
        return RH_ERR_INVALID;
    }
    if (client->handle == NULL || client->spent) {
        return RH_ERR_AGAIN;
    }
    if (client->operations_count >= OPERATIONS_MAX) {
        return RH_ERR_NO_MEMORY;
    }
    struct operation *operation =
        calloc(1, sizeof(*operation) + results_count * sizeof(operation->results[0]));
    if (operation == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    operation->client = client;
    operation->done = done;
    operation->context = context;
    operation->results_count = results_count;
    memcpy(operation->path, path, strlen(path) + 1);
    rh_list_push_back(&client->operations, &operation->link);
    client->operations_count++;
    *ret_operation = operation;
    return 0;
}

/* What a call that sends has returned: when it failed, the library will not call back. */
static int sent(struct operation *operation, int rc)
{
    if (rc != ZOK) {
        forget(operation);
    }
    return code_of(rc);
}

/* Completions. */

static void on_void(int rc, const void *data)
{
    end((struct operation *)(uintptr_t)data, rc, &(struct rh_zk_answer){0});
}

static void on_string(int rc, const char *value, const void *data)
{
    end((struct operation *)(uintptr_t)data, rc, &(struct rh_zk_answer){.path = value});
}

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
    end((struct operation *)(uintptr_t)data, rc, &(struct rh_zk_answer){.stat = stat_of(stat)});
}

static void on_children(int rc, const struct String_vector *names, const struct Stat *stat,
                        const void *data)
{
    struct rh_zk_answer answer = {.stat = stat_of(stat)};
    if (names != NULL) {
        answer.children = (const char *const *)names->data;
        answer.children_count = (size_t)names->count;
    }
    end((struct operation *)(uintptr_t)data, rc, &answer);
}

static int send_get(struct operation *operation);

/* A get that found nothing and wants to know when that changes. */
static void on_missing(int rc, const struct Stat *stat, const void *data)
{
    (void)stat;
    struct operation *operation = (struct operation *)(uintptr_t)data;
    if (rc == ZOK && !operation->client->doomed) {
        rc = send_get(operation); /* created in between */
        if (rc == ZOK) {
            return;
        }
    }
    end(operation, rc, &(struct rh_zk_answer){0});
}

static void on_data(int rc, const char *value, int size, const struct Stat *stat, const void *data)
{
    struct operation *operation = (struct operation *)(uintptr_t)data;
    if (rc == ZNONODE && operation->watch && !operation->client->doomed) {
        rc = zoo_awexists(operation->client->handle, operation->path, rh_zk_watcher,
                          operation->client, on_missing, operation);
        if (rc == ZOK) {
            return;
        }
    }
    const struct rh_zk_answer answer = {
        .data = rh_bytes(value, size > 0 ? (size_t)size : 0),
        .stat = stat_of(stat),
    };
    end(operation, rc, &answer);
}

static void on_multi(int rc, const void *data)
{
    struct operation *operation = (struct operation *)(uintptr_t)data;
    int results[RH_ZK_OPS_MAX];
    const char *created = NULL;
    for (size_t i = 0; i < operation->results_count; i++) {
        const zoo_op_result_t *result = &operation->results[i];
        results[i] = code_of(result->err);
        if (rc != ZOK && result->err == ZOK) {
            results[i] = RH_ERR_AGAIN;
        }
        if (rc == ZOK && result->value == operation->path) {
            created = operation->path;
        }
    }
    const struct rh_zk_answer answer = {
        .path = created, .multi_rv = results, .multi_count = operation->results_count};
    end(operation, rc, &answer);
}

/* Calls that send. */

static watcher_fn watcher_if(bool watch)
{
    return watch ? rh_zk_watcher : NULL;
}

static int send_get(struct operation *operation)
{
    return zoo_awget(operation->client->handle, operation->path, watcher_if(operation->watch),
                     operation->client, on_data, operation);
}

int rh_zk_client_get(struct rh_zk_client *client, const char *path, bool watch, rh_zk_done *done,
                     void *context)
{
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    operation->watch = watch;
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = send_get(operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

int rh_zk_client_exists(struct rh_zk_client *client, const char *path, bool watch, rh_zk_done *done,
                        void *context)
{
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_awexists(client->handle, path, watcher_if(watch), client, on_stat, operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

int rh_zk_client_children(struct rh_zk_client *client, const char *path, bool watch,
                          rh_zk_done *done, void *context)
{
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_awget_children2(client->handle, path, watcher_if(watch), client, on_children,
                                 operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

/* The library takes NULL with a size of -1 for "no data"; we always write some, if empty. */
static const char *data_of(struct rh_bytes data)
{
    return data.data == NULL ? "" : data.data;
}

static int mode_of(enum rh_zk_create_mode mode)
{
    return mode == RH_ZK_PERSISTENT ? ZOO_PERSISTENT : ZOO_EPHEMERAL_SEQUENTIAL;
}

int rh_zk_client_create_node(struct rh_zk_client *client, const char *path, struct rh_bytes data,
                             enum rh_zk_create_mode mode, rh_zk_done *done, void *context)
{
    if (data.size > RH_ZK_DATA_MAX) {
        return RH_ERR_INVALID;
    }
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_acreate(client->handle, path, data_of(data), (int)data.size, &ZOO_OPEN_ACL_UNSAFE,
                         mode_of(mode), on_string, operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

int rh_zk_client_set(struct rh_zk_client *client, const char *path, struct rh_bytes data,
                     int32_t version, rh_zk_done *done, void *context)
{
    if (data.size > RH_ZK_DATA_MAX) {
        return RH_ERR_INVALID;
    }
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc =
        zoo_aset(client->handle, path, data_of(data), (int)data.size, version, on_stat, operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

int rh_zk_client_delete(struct rh_zk_client *client, const char *path, int32_t version,
                        rh_zk_done *done, void *context)
{
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_adelete(client->handle, path, version, on_void, operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

int rh_zk_client_sync(struct rh_zk_client *client, const char *path, rh_zk_done *done,
                      void *context)
{
    struct operation *operation = NULL;
    int rv = begin(client, path, 0, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_async(client->handle, path, on_string, operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}

static void init_op(zoo_op_t *op, const struct rh_zk_op *from, struct operation *operation)
{
    switch (from->kind) {
    case RH_ZK_OP_CREATE:
        zoo_create_op_init(op, from->path, data_of(from->data), (int)from->data.size,
                           &ZOO_OPEN_ACL_UNSAFE, mode_of(from->mode), operation->path,
                           (int)sizeof(operation->path));
        return;
    case RH_ZK_OP_DELETE:
        zoo_delete_op_init(op, from->path, from->version);
        return;
    case RH_ZK_OP_SET:
        zoo_set_op_init(op, from->path, data_of(from->data), (int)from->data.size, from->version,
                        NULL);
        return;
    case RH_ZK_OP_CHECK:
        zoo_check_op_init(op, from->path, from->version);
        return;
    }
    assert(false && "kind of operation");
}

int rh_zk_client_multi(struct rh_zk_client *client, const struct rh_zk_op *ops, size_t ops_count,
                       rh_zk_done *done, void *context)
{
    if (ops_count == 0 || ops_count > RH_ZK_OPS_MAX) {
        return RH_ERR_INVALID;
    }
    size_t creates = 0;
    for (size_t i = 0; i < ops_count; i++) {
        if (!path_valid(ops[i].path) || ops[i].data.size > RH_ZK_DATA_MAX) {
            return RH_ERR_INVALID;
        }
        creates += ops[i].kind == RH_ZK_OP_CREATE;
    }
    if (creates > 1) {
        return RH_ERR_INVALID;
    }
    struct operation *operation = NULL;
    int rv = begin(client, ops[0].path, ops_count, done, context, &operation);
    if (rv != 0) {
        return rv;
    }
    zoo_op_t zoo_ops[RH_ZK_OPS_MAX];
    for (size_t i = 0; i < ops_count; i++) {
        init_op(&zoo_ops[i], &ops[i], operation);
    }
    struct rh_zk_client *before = rh_zk_library_enter(client);
    int rc = zoo_amulti(client->handle, (int)ops_count, zoo_ops, operation->results, on_multi,
                        operation);
    rh_zk_library_leave(before);
    return sent(operation, rc);
}
