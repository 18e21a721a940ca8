/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ZK_CLIENT_PRIVATE_H
#define RH_NODE_ZK_CLIENT_PRIVATE_H

/* What zk_client.c (the session) and zk_operation.c (reads and writes in it) share; for no one
 * else. */

#include "base/list.h"
#include "node/zk_client.h"

#include <zookeeper/zookeeper.h>

struct rh_zk_client {
    struct ev_loop *loop;
    struct ev_prepare prepare;
    struct ev_io io;
    struct ev_timer timer; /* the library's next deadline, or the end of a pause */

    char *servers;   /* as people wrote it */
    char *addresses; /* resolved; NULL until then */
    uint32_t session_timeout_ms;
    const struct rh_logger *logger;
    const struct rh_zk_handler *handler;
    void *context;

    zhandle_t *handle; /* NULL: none, prepare makes one */
    clientid_t id;     /* of the session that stands or may stand; client_id 0: none */
    uint32_t granted_ms;
    enum rh_zk_state state;
    struct rh_reason reason;

    bool handle_fresh; /* this handle was never connected */
    bool io_stale;     /* the library may have closed its socket and opened another */
    bool paused;       /* nothing is tried until the timer fires */
    bool spent;        /* the session expired: the handle has to go */
    bool doomed;       /* destroyed within a callback: freed when that returns */
    unsigned depth;    /* nested calls that may run callbacks */
    double pause_s;
    unsigned refusals;     /* handshakes in a row that a server ended */
    ev_tstamp refused_at;  /* the first of them */
    ev_tstamp greeting_at; /* since when a handshake is unanswered; 0: none is under way */

    struct rh_list operations; /* in flight; the library calls each exactly once */
    size_t operations_count;
};

/* Brackets every call into the library, so that its log lines reach our logger: it hands no
 * context to a log callback. Returns what to hand to rh_zk_library_leave(). */
struct rh_zk_client *rh_zk_library_enter(struct rh_zk_client *client);
void rh_zk_library_leave(struct rh_zk_client *before);

/* Forgets the operations; those that the library did not call back will never be. */
void rh_zk_operations_drop(struct rh_zk_client *client);

/* Watcher for reads; the context is the client. */
void rh_zk_watcher(zhandle_t *handle, int type, int state, const char *path, void *context);

#endif
