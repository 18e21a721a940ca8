/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ZK_CLIENT_H
#define RH_NODE_ZK_CLIENT_H

/*
 * A ZooKeeper session in a libev loop: no thread, no lock, nothing that blocks. It wraps
 * libzookeeper_st and knows nothing of ringhop's znodes; node/zk_membership.h (the node) and cli/
 * build on it. It is a library of its own (`zk_dep`) that needs base and libev only.
 *
 *      ev_prepare --> zookeeper_interest() --> re-arms one ev_io and one ev_timer
 *      ev_io      --> zookeeper_process()  --> completions and watches --> our callbacks
 *
 * The client keeps a session for as long as it lives. A lost connection is made again, to whatever
 * server of the list answers; a session that expired is thrown away with its handle and a new one
 * is made. A server list whose servers all turn the session away at the handshake (they have less
 * history than we have seen: the data was wiped) is also met with a new handle.
 *
 * Names in the server list are resolved once, when the client is created (this may block); when
 * none of them can be resolved it is tried again with growing pauses, until one is.
 *
 * Callbacks run from the loop only, never inside the call that asked for them. In a callback every
 * function here may be called, rh_zk_client_destroy() too.
 */

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_ZK_PATH_SIZE   1024 /* with terminator */
#define RH_ZK_OPS_MAX     64   /* operations in one transaction */
#define RH_ZK_VERSION_ANY (-1)
#define RH_ZK_DATA_MAX    (1024 * 1024)

struct rh_zk_client;

enum rh_zk_state {
    RH_ZK_CONNECTING,   /* no session yet, or the last one expired: a new one is being made */
    RH_ZK_CONNECTED,    /* the session stands and a server answers */
    RH_ZK_DISCONNECTED, /* the session may still stand, but no server answers */
};

/* What happened to the session. */
enum rh_zk_session_event {
    RH_ZK_SESSION_CONNECTED,    /* the same session as before, its watches still set */
    RH_ZK_SESSION_NEW,          /* another session, or another handle: no watch is set */
    RH_ZK_SESSION_DISCONNECTED, /* operations in flight end with RH_ERR_UNREACHABLE */
    RH_ZK_SESSION_EXPIRED,      /* its ephemeral znodes are gone; a new one is being made */
};

enum rh_zk_watch_event {
    RH_ZK_WATCH_CREATED,
    RH_ZK_WATCH_DELETED,
    RH_ZK_WATCH_CHANGED,  /* data */
    RH_ZK_WATCH_CHILDREN, /* list of children */
    RH_ZK_WATCH_LOST,     /* the server gave the watch up: read again */
};

struct rh_zk_stat {
    int64_t czxid;           /* transaction that created it */
    int64_t mzxid;           /* transaction that changed the data last */
    int64_t pzxid;           /* transaction that created or deleted a child last */
    int64_t ephemeral_owner; /* session id, 0 when persistent */
    int32_t version;         /* number of changes of the data */
    int32_t cversion;        /* number of children created and deleted, both together */
    int32_t children_count;
};

/* The answer to an operation; all of it is valid during the callback only. */
struct rh_zk_answer {
    struct rh_bytes data;        /* get */
    const char *const *children; /* children: names without the path, in no order */
    size_t children_count;       /* children */
    const char *path;            /* create, and multi with one create: the name it really got */
    struct rh_zk_stat stat;      /* get, children, exists, set */
    const int *multi_rv;         /* multi: result of each operation, RH_ERR_AGAIN for those
                                     * that were undone because another one failed */
    size_t multi_count;
};

/*
 * End of an operation; called exactly once for each that was accepted, unless the client is
 * destroyed first. |answer| is never NULL.
 *
 *  0                    done
 *  RH_ERR_NOT_FOUND     no such znode (create: no parent)
 *  RH_ERR_EXISTS        create: it is there already
 *  RH_ERR_CONFLICT      set, delete, check: another version; delete: it has children
 *  RH_ERR_UNREACHABLE   the connection broke: a write may or may not have happened
 *  RH_ERR_CLOSED        the session expired: a write may or may not have happened
 *  RH_ERR_REFUSED       no permission
 *  RH_ERR_IO            anything else that the server says
 */
typedef void rh_zk_done(void *context, int rv, const struct rh_zk_answer *answer);

struct rh_zk_handler {
    /* May be NULL. */
    void (*session)(void *context, enum rh_zk_session_event event);
    /* A watch fired; it is gone and must be set again by another read. |path| is valid during the
     * call. May be NULL if no watch is ever set. */
    void (*watch)(void *context, enum rh_zk_watch_event event, const char *path);
};

struct rh_zk_options {
    const char *servers;                 /* "host:port,[v6]:port,..."; copied */
    uint32_t session_timeout_ms;         /* asked; see rh_zk_client_session_timeout_ms() */
    const struct rh_logger *logger;      /* may be NULL; must outlive the client */
    const struct rh_zk_handler *handler; /* must outlive the client */
    void *context;                       /* handed to the handler */
};

/*
 * Starts to connect. Nothing needs to be reachable, or resolvable, for this to succeed.
 * RH_ERR_INVALID with a reason: the server list is not of the form above. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_zk_client_create(struct ev_loop *loop, const struct rh_zk_options *options,
                                      struct rh_zk_client **ret_client, struct rh_reason *reason);

/*
 * Ends the session and frees the client; NULL is allowed. Operations in flight are forgotten, no
 * callback comes any more. While connected this tells the server, which then deletes the ephemeral
 * znodes at once; that may take up to a few seconds when the server hangs.
 */
void rh_zk_client_destroy(struct rh_zk_client *client);

enum rh_zk_state rh_zk_client_state(const struct rh_zk_client *client);

const char *rh_zk_state_name(enum rh_zk_state state); /* "connecting", "connected", ... */

/* Id of the session, 0 when there is none. */
int64_t rh_zk_client_session(const struct rh_zk_client *client);

/* What the server granted, 0 before the first session. */
uint32_t rh_zk_client_session_timeout_ms(const struct rh_zk_client *client);

/* Why there is no connection, for people; "" when none was tried or one stands. Valid until the
 * loop runs again. */
const char *rh_zk_client_reason(const struct rh_zk_client *client);

/*
 * Operations. Each takes an absolute path and ends in |done|, which may be NULL. Data and paths are
 * copied. While there is no connection an operation waits for the one being made, and ends with
 * RH_ERR_UNREACHABLE when that attempt fails.
 * They return 0 when the operation was accepted, otherwise |done| is never called:
 * RH_ERR_INVALID (not a path, too large), RH_ERR_AGAIN (the session has just
 * expired: wait for RH_ZK_SESSION_NEW),
 * RH_ERR_NO_MEMORY.
 *
 * With |watch| the handler's watch callback is called on the next change of what was read: data or
 * existence for get (also when the znode is missing) and exists, names for children. A watch that
 * is set already is not set twice.
 */
RH_MUST_CHECK int rh_zk_client_get(struct rh_zk_client *client, const char *path, bool watch,
                                   rh_zk_done *done, void *context);
RH_MUST_CHECK int rh_zk_client_exists(struct rh_zk_client *client, const char *path, bool watch,
                                      rh_zk_done *done, void *context);
RH_MUST_CHECK int rh_zk_client_children(struct rh_zk_client *client, const char *path, bool watch,
                                        rh_zk_done *done, void *context);

enum rh_zk_create_mode {
    RH_ZK_PERSISTENT,
    RH_ZK_EPHEMERAL_SEQUENTIAL, /* the server appends ten digits to the path */
};

RH_MUST_CHECK int rh_zk_client_create_node(struct rh_zk_client *client, const char *path,
                                           struct rh_bytes data, enum rh_zk_create_mode mode,
                                           rh_zk_done *done, void *context);

/* |version| is the one to replace or delete, or RH_ZK_VERSION_ANY. */
RH_MUST_CHECK int rh_zk_client_set(struct rh_zk_client *client, const char *path,
                                   struct rh_bytes data, int32_t version, rh_zk_done *done,
                                   void *context);
RH_MUST_CHECK int rh_zk_client_delete(struct rh_zk_client *client, const char *path,
                                      int32_t version, rh_zk_done *done, void *context);

/* Brings the server we are connected to up to the leader, through the leader. */
RH_MUST_CHECK int rh_zk_client_sync(struct rh_zk_client *client, const char *path, rh_zk_done *done,
                                    void *context);

enum rh_zk_op_kind {
    RH_ZK_OP_CREATE,
    RH_ZK_OP_DELETE,
    RH_ZK_OP_SET,
    RH_ZK_OP_CHECK, /* exists, and at |version| unless that is RH_ZK_VERSION_ANY */
};

struct rh_zk_op {
    enum rh_zk_op_kind kind;
    const char *path;
    int32_t version;             /* delete, set, check */
    enum rh_zk_create_mode mode; /* create */
    struct rh_bytes data;        /* create, set */
};

/* One transaction: all of 1 to RH_ZK_OPS_MAX operations, at most one of them a create, or none.
 * |rv| of the end is that of the first operation that failed. */
RH_MUST_CHECK int rh_zk_client_multi(struct rh_zk_client *client, const struct rh_zk_op *ops,
                                     size_t ops_count, rh_zk_done *done, void *context);

/*
 * For programs that do one thing after the other (the CLI): runs the loop until |*done| is true.
 * Callbacks run meanwhile. RH_ERR_TIMEOUT: not within |timeout_ms|. Not for use in callbacks.
 */
RH_MUST_CHECK int rh_zk_client_wait(struct rh_zk_client *client, const bool *done,
                                    uint32_t timeout_ms);

/* Likewise, until the client is connected. RH_ERR_UNREACHABLE with a reason: not within
 * |timeout_ms|. */
RH_MUST_CHECK int rh_zk_client_wait_connected(struct rh_zk_client *client, uint32_t timeout_ms,
                                              struct rh_reason *reason);

#endif
