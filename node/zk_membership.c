/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Callbacks only translate: what ZooKeeper, the daemon or the timer says becomes an event, the
 * machine takes it, and its actions become operations and calls to the handler.
 *
 *   daemon ------> queue --(next turn)--+
 *                    ^                  v
 *                    | busy           step --> perform each action --> the rest of the queue
 *                    |                  ^
 *   client, timer ---+------------------+
 *
 * So the handler is never called inside a call into this module. It may call back while actions
 * are performed, and may destroy the membership; then nothing more is performed, and the memory is
 * freed at the end of deliver().
 */

#include "node/zk_membership.h"

#include "base/list.h"
#include "node/clock.h"
#include "node/view_shown.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_SIZE        300
#define CLUSTER_SIZE_MAX 255
#define WAITING_LOG_S    1.0

struct rh_zk_membership {
    struct ev_loop *loop;
    struct ev_timer timer;   /* the machine's deadline */
    struct ev_timer waiting; /* for the log line that says so */
    struct ev_timer wakeup;  /* never started, only fed: the queue is not empty */
    struct rh_zk_client *client;
    struct rh_membership *machine;
    struct rh_membership_actions actions;
    const struct rh_logger *logger;
    const struct rh_zk_membership_handler *handler;
    void *context;
    char *servers;
    uint32_t session_timeout_ms; /* asked */
    char id[RH_NODE_ID_SIZE];
    char root[ROOT_SIZE]; /* /ringhop/<cluster> */
    char config_path[ROOT_SIZE + 16];
    char members_path[ROOT_SIZE + 16];
    char request_path[ROOT_SIZE + 16 + RH_NODE_ID_SIZE];

    bool busy;            /* actions are being performed */
    bool doomed;          /* destroyed meanwhile */
    struct rh_list queue; /* struct queued */
    struct rh_list calls; /* struct call: operations in flight */

    /* What `changed` was last called for. */
    enum rh_zk_state told_state;
    bool told_registered;
    uint32_t told_weight_milli;
    uint32_t told_timeout_ms;
};

/* An event that has to wait for its turn. */
struct queued {
    struct rh_list link;
    struct rh_membership_event event; /* without data; a view is a reference of its own */
};

static void free_queued(struct queued *queued)
{
    if (queued->event.kind == RH_MEMBERSHIP_PEER_VIEW) {
        rh_view_give(queued->event.view);
    }
    free(queued);
}

/* An operation in flight. */
struct call {
    struct rh_list link;
    struct rh_zk_membership *membership;
    uint64_t number;
    unsigned answers_left; /* OPEN makes several znodes */
    int rv;                /* of them */
    char name[RH_MEMBERSHIP_NAME_SIZE];
};

/* Paths. */

static void child_path(const struct rh_zk_membership *membership, const char *name,
                       char path[static RH_ZK_PATH_SIZE])
{
    (void)snprintf(path, RH_ZK_PATH_SIZE, "%s/%s", membership->members_path, name);
}

static int make_paths(struct rh_zk_membership *membership, const char *cluster,
                      struct rh_reason *reason)
{
    size_t size = strlen(cluster);
    if (size == 0 || size > CLUSTER_SIZE_MAX || strchr(cluster, '/') != NULL || cluster[0] == '.') {
        return rh_fail(reason, RH_ERR_INVALID, "\"%s\" cannot be the name of a cluster", cluster);
    }
    (void)snprintf(membership->root, sizeof(membership->root), "/ringhop/%s", cluster);
    (void)snprintf(membership->config_path, sizeof(membership->config_path), "%s/config",
                   membership->root);
    (void)snprintf(membership->members_path, sizeof(membership->members_path), "%s/members",
                   membership->root);
    (void)snprintf(membership->request_path, sizeof(membership->request_path), "%s/requests/%s",
                   membership->root, membership->id);
    return 0;
}

/* Operations. */

static void deliver(struct rh_zk_membership *membership, struct rh_membership_event *event);

static void end_call(struct call *call)
{
    rh_list_remove(&call->link);
    free(call);
}

/* One znode of OPEN. */
static void on_opened(void *context, int rv, const struct rh_zk_answer *answer)
{
    (void)answer;
    struct call *call = context;
    if (rv != 0 && rv != RH_ERR_EXISTS) {
        call->rv = rv;
    }
    call->answers_left--;
    if (call->answers_left > 0) {
        return;
    }
    struct rh_zk_membership *membership = call->membership;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT,
                                        .result = {.number = call->number, .rv = call->rv}};
    end_call(call);
    deliver(membership, &event);
}

static const char *last_part(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void on_answer(void *context, int rv, const struct rh_zk_answer *answer)
{
    struct call *call = context;
    struct rh_zk_membership *membership = call->membership;
    char name[RH_MEMBERSHIP_NAME_SIZE];
    memcpy(name, call->name, sizeof(name));
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_RESULT,
        .result =
            {
                .number = call->number,
                .rv = rv,
                .data = answer->data,
                .version = answer->stat.version,
                .czxid = answer->stat.czxid,
                .ephemeral_owner = answer->stat.ephemeral_owner,
                .pzxid = answer->stat.pzxid,
                .cversion = answer->stat.cversion,
                .children_count = answer->stat.children_count,
                .names = answer->children,
                .names_count = answer->children_count,
                .name = answer->path == NULL ? name : last_part(answer->path),
            },
    };
    end_call(call);
    deliver(membership, &event);
}

static int open_parents(struct rh_zk_membership *membership, struct call *call)
{
    char requests_path[ROOT_SIZE + 16];
    (void)snprintf(requests_path, sizeof(requests_path), "%s/requests", membership->root);
    const char *const paths[] = {"/ringhop", membership->root, membership->members_path,
                                 requests_path};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int rv = rh_zk_client_create_node(membership->client, paths[i], rh_bytes(NULL, 0),
                                          RH_ZK_PERSISTENT, on_opened, call);
        if (rv != 0 && call->answers_left == 0) {
            return rv;
        }
        if (rv != 0) {
            call->rv = rv; /* told when those that were sent have been answered */
            return 0;
        }
        call->answers_left++;
    }
    return 0;
}

static int do_register(struct rh_zk_membership *membership,
                       const struct rh_membership_action *action, struct call *call)
{
    struct rh_zk_op ops[RH_MEMBERSHIP_DELETES_MAX + 1];
    char paths[RH_MEMBERSHIP_DELETES_MAX][RH_ZK_PATH_SIZE];
    assert(action->names_count <= RH_MEMBERSHIP_DELETES_MAX);
    for (size_t i = 0; i < action->names_count; i++) {
        child_path(membership, action->names[i], paths[i]);
        ops[i] = (struct rh_zk_op){
            .kind = RH_ZK_OP_DELETE, .path = paths[i], .version = RH_ZK_VERSION_ANY};
    }
    char own[RH_MEMBERSHIP_NAME_SIZE];
    char own_path[RH_ZK_PATH_SIZE];
    (void)snprintf(own, sizeof(own), "%s.", membership->id);
    child_path(membership, own, own_path);
    ops[action->names_count] = (struct rh_zk_op){.kind = RH_ZK_OP_CREATE,
                                                 .path = own_path,
                                                 .mode = RH_ZK_EPHEMERAL_SEQUENTIAL,
                                                 .data = action->data};
    return rh_zk_client_multi(membership->client, ops, action->names_count + 1, on_answer, call);
}

static int do_evict(struct rh_zk_membership *membership, const struct rh_membership_action *action,
                    struct call *call)
{
    char own_path[RH_ZK_PATH_SIZE];
    char victim_path[RH_ZK_PATH_SIZE];
    child_path(membership, action->name, own_path);
    child_path(membership, action->names[0], victim_path);
    const struct rh_zk_op ops[] = {
        {.kind = RH_ZK_OP_CHECK, .path = own_path, .version = 0},
        {.kind = RH_ZK_OP_DELETE, .path = victim_path, .version = RH_ZK_VERSION_ANY},
    };
    return rh_zk_client_multi(membership->client, ops, sizeof(ops) / sizeof(ops[0]), on_answer,
                              call);
}

static int do_check(struct rh_zk_membership *membership, const struct rh_membership_action *action,
                    struct call *call)
{
    char path[RH_ZK_PATH_SIZE];
    child_path(membership, action->name, path);
    const struct rh_zk_op op = {.kind = RH_ZK_OP_CHECK, .path = path, .version = 0};
    return rh_zk_client_multi(membership->client, &op, 1, on_answer, call);
}

static int do_unregister(struct rh_zk_membership *membership,
                         const struct rh_membership_action *action, struct call *call)
{
    char path[RH_ZK_PATH_SIZE];
    child_path(membership, action->name, path);
    if (action->data.size == 0) {
        return rh_zk_client_delete(membership->client, path, RH_ZK_VERSION_ANY, on_answer, call);
    }
    const struct rh_zk_op ops[] = {
        {.kind = RH_ZK_OP_DELETE, .path = path, .version = RH_ZK_VERSION_ANY},
        {.kind = RH_ZK_OP_SET,
         .path = membership->config_path,
         .version = action->version,
         .data = action->data},
    };
    return rh_zk_client_multi(membership->client, ops, sizeof(ops) / sizeof(ops[0]), on_answer,
                              call);
}

static int start_operation(struct rh_zk_membership *membership,
                           const struct rh_membership_action *action, struct call *call)
{
    struct rh_zk_client *client = membership->client;
    char path[RH_ZK_PATH_SIZE];
    switch (action->kind) {
    case RH_MEMBERSHIP_OPEN:
        return open_parents(membership, call);
    case RH_MEMBERSHIP_SYNC:
        return rh_zk_client_sync(client, membership->root, on_answer, call);
    case RH_MEMBERSHIP_READ_CONFIG:
        return rh_zk_client_get(client, membership->config_path, true, on_answer, call);
    case RH_MEMBERSHIP_CREATE_CONFIG:
        return rh_zk_client_create_node(client, membership->config_path, action->data,
                                        RH_ZK_PERSISTENT, on_answer, call);
    case RH_MEMBERSHIP_SET_CONFIG:
        return rh_zk_client_set(client, membership->config_path, action->data, action->version,
                                on_answer, call);
    case RH_MEMBERSHIP_READ_REQUEST:
        return rh_zk_client_get(client, membership->request_path, true, on_answer, call);
    case RH_MEMBERSHIP_SET_REQUEST:
        return rh_zk_client_set(client, membership->request_path, action->data, action->version,
                                on_answer, call);
    case RH_MEMBERSHIP_LIST:
        return rh_zk_client_children(client, membership->members_path, true, on_answer, call);
    case RH_MEMBERSHIP_READ_MEMBER:
        (void)snprintf(call->name, sizeof(call->name), "%s", action->name);
        child_path(membership, action->name, path);
        return rh_zk_client_get(client, path, false, on_answer, call);
    case RH_MEMBERSHIP_REGISTER:
        return do_register(membership, action, call);
    case RH_MEMBERSHIP_EVICT:
        return do_evict(membership, action, call);
    case RH_MEMBERSHIP_UNREGISTER:
        return do_unregister(membership, action, call);
    case RH_MEMBERSHIP_CHECK:
        return do_check(membership, action, call);
    case RH_MEMBERSHIP_ADOPT:
    case RH_MEMBERSHIP_LOST:
    case RH_MEMBERSHIP_PROOF:
    case RH_MEMBERSHIP_RECORDED:
    case RH_MEMBERSHIP_HEARD:
    case RH_MEMBERSHIP_PROMISED:
    case RH_MEMBERSHIP_ASK_PEERS:
    case RH_MEMBERSHIP_AWAITED:
    case RH_MEMBERSHIP_PROBE:
    case RH_MEMBERSHIP_REQUEST:
    case RH_MEMBERSHIP_FATAL:
    case RH_MEMBERSHIP_LEFT:
    case RH_MEMBERSHIP_NOTE:
        break;
    }
    assert(false && "kind of operation");
    return RH_ERR_INVALID;
}

static void operate(struct rh_zk_membership *membership, const struct rh_membership_action *action)
{
    struct call *call = calloc(1, sizeof(*call));
    int rv = RH_ERR_NO_MEMORY;
    if (call != NULL) {
        call->membership = membership;
        call->number = action->number;
        rh_list_push_back(&membership->calls, &call->link);
        rv = start_operation(membership, action, call);
    }
    if (rv == 0) {
        return;
    }
    if (call != NULL) {
        end_call(call);
    }
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT,
                                        .result = {.number = action->number, .rv = rv}};
    deliver(membership, &event); /* busy, so this only queues it */
}

/* Actions. */

static void say_fatal(struct rh_zk_membership *membership, const char *text)
{
    struct rh_reason reason;
    (void)rh_fail(&reason, RH_ERR_CONFLICT, "%s", text);
    membership->handler->fatal(membership->context, &reason);
}

static enum rh_log_level log_level(enum rh_note_level level)
{
    switch (level) {
    case RH_NOTE_ERROR:
        return RH_LOG_ERROR;
    case RH_NOTE_WARN:
        return RH_LOG_WARN;
    case RH_NOTE_INFO:
        break;
    }
    return RH_LOG_INFO;
}

/* What only a daemon that replicates channels has an ear for. */
static void perform_replication(struct rh_zk_membership *membership,
                                const struct rh_membership_action *action)
{
    const struct rh_zk_membership_handler *handler = membership->handler;
    if (action->kind == RH_MEMBERSHIP_LOST && handler->lost != NULL) {
        handler->lost(membership->context);
    } else if (action->kind == RH_MEMBERSHIP_PROOF && handler->proof != NULL) {
        handler->proof(membership->context, action->at_ms);
    } else if (action->kind == RH_MEMBERSHIP_RECORDED && handler->recorded != NULL) {
        handler->recorded(membership->context, action->epoch);
    } else if (action->kind == RH_MEMBERSHIP_HEARD && handler->heard != NULL) {
        handler->heard(membership->context, action->at_ms);
    } else if (action->kind == RH_MEMBERSHIP_PROMISED && handler->promised != NULL) {
        handler->promised(membership->context, &action->promise);
    } else if (action->kind == RH_MEMBERSHIP_ASK_PEERS && handler->ask_peers != NULL) {
        handler->ask_peers(membership->context);
    } else if (action->kind == RH_MEMBERSHIP_AWAITED && handler->awaited != NULL) {
        handler->awaited(membership->context);
    }
}

static void perform(struct rh_zk_membership *membership, const struct rh_membership_action *action)
{
    switch (action->kind) {
    case RH_MEMBERSHIP_OPEN:
    case RH_MEMBERSHIP_SYNC:
    case RH_MEMBERSHIP_READ_CONFIG:
    case RH_MEMBERSHIP_CREATE_CONFIG:
    case RH_MEMBERSHIP_SET_CONFIG:
    case RH_MEMBERSHIP_READ_REQUEST:
    case RH_MEMBERSHIP_SET_REQUEST:
    case RH_MEMBERSHIP_LIST:
    case RH_MEMBERSHIP_READ_MEMBER:
    case RH_MEMBERSHIP_REGISTER:
    case RH_MEMBERSHIP_EVICT:
    case RH_MEMBERSHIP_UNREGISTER:
    case RH_MEMBERSHIP_CHECK:
        operate(membership, action);
        return;
    case RH_MEMBERSHIP_ADOPT:
        membership->handler->view(membership->context, action->view, action->registration_epoch,
                                  action->ignorant_until_ms);
        return;
    case RH_MEMBERSHIP_LOST:
    case RH_MEMBERSHIP_PROOF:
    case RH_MEMBERSHIP_RECORDED:
    case RH_MEMBERSHIP_HEARD:
    case RH_MEMBERSHIP_PROMISED:
    case RH_MEMBERSHIP_ASK_PEERS:
    case RH_MEMBERSHIP_AWAITED:
        perform_replication(membership, action);
        return;
    case RH_MEMBERSHIP_PROBE:
        membership->handler->probe(membership->context, &action->probe.node, action->probe.address);
        return;
    case RH_MEMBERSHIP_REQUEST:
        if (membership->handler->request != NULL) {
            membership->handler->request(membership->context, action->request);
        }
        return;
    case RH_MEMBERSHIP_FATAL:
        say_fatal(membership, action->text);
        return;
    case RH_MEMBERSHIP_LEFT:
        if (membership->handler->left != NULL) {
            membership->handler->left(membership->context);
        }
        return;
    case RH_MEMBERSHIP_NOTE:
        rh_log(membership->logger, log_level(action->level), "%s", action->text);
        return;
    }
    assert(false && "kind of action");
}

static void release(struct rh_zk_membership *membership)
{
    rh_list_each_safe (&membership->queue, link) {
        rh_list_remove(link);
        free_queued(rh_container_of(link, struct queued, link));
    }
    rh_list_each_safe (&membership->calls, link) {
        end_call(rh_container_of(link, struct call, link));
    }
    rh_membership_destroy(membership->machine);
    free(membership->servers);
    free(membership);
}

static void step(struct rh_zk_membership *membership, struct rh_membership_event *event)
{
    event->now_ms = rh_clock_monotonic_ms();
    rh_membership_step(membership->machine, event, &membership->actions);
    for (size_t i = 0; i < membership->actions.count && !membership->doomed; i++) {
        perform(membership, &membership->actions.items[i]);
    }
}

/* False: out of memory, the event is lost. A view that it has passes on. */
static bool enqueue(struct rh_zk_membership *membership, const struct rh_membership_event *event)
{
    struct queued *queued = calloc(1, sizeof(*queued));
    if (queued == NULL) {
        rh_log(membership->logger, RH_LOG_ERROR, "membership_event_lost reason=\"out of memory\"");
        return false;
    }
    queued->event = *event;
    rh_list_push_back(&membership->queue, &queued->link);
    return true;
}

static void arm_timer(struct rh_zk_membership *membership)
{
    ev_timer_stop(membership->loop, &membership->timer);
    uint64_t deadline_ms = rh_membership_deadline_ms(membership->machine);
    if (deadline_ms == UINT64_MAX) {
        return;
    }
    uint64_t now_ms = rh_clock_monotonic_ms();
    double delay_s = deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000.0 : 0.0;
    ev_now_update(membership->loop); /* the delay counts from now, not from when the turn began */
    ev_timer_set(&membership->timer, delay_s, 0.0);
    ev_timer_start(membership->loop, &membership->timer);
}

static void tell_changes(struct rh_zk_membership *membership)
{
    enum rh_zk_state state = rh_zk_membership_zookeeper_state(membership);
    bool registered = rh_zk_membership_registered(membership);
    uint32_t weight_milli = rh_zk_membership_weight_milli(membership);
    uint32_t timeout_ms = rh_zk_membership_session_timeout_ms(membership);
    if (state == membership->told_state && registered == membership->told_registered &&
        weight_milli == membership->told_weight_milli &&
        timeout_ms == membership->told_timeout_ms) {
        return;
    }
    membership->told_state = state;
    membership->told_registered = registered;
    membership->told_weight_milli = weight_milli;
    membership->told_timeout_ms = timeout_ms;
    if (membership->handler->changed != NULL) {
        membership->handler->changed(membership->context);
    }
}

/* Takes the events that wait, those that are added meanwhile too. */
static void drain(struct rh_zk_membership *membership)
{
    while (!membership->doomed && !rh_list_empty(&membership->queue)) {
        struct rh_list *link = rh_list_first(&membership->queue);
        struct queued *queued = rh_container_of(link, struct queued, link);
        rh_list_remove(link);
        step(membership, &queued->event);
        free_queued(queued);
    }
}

/* From the loop. Events that wait are older, so they go first. */
static void deliver(struct rh_zk_membership *membership, struct rh_membership_event *event)
{
    if (membership->doomed) {
        return;
    }
    if (membership->busy) {
        (void)enqueue(membership, event);
        return;
    }
    membership->busy = true;
    drain(membership);
    if (!membership->doomed) {
        step(membership, event);
    }
    drain(membership);
    if (!membership->doomed) {
        tell_changes(membership);
    }
    drain(membership);
    membership->busy = false;
    if (membership->doomed) {
        release(membership);
    } else {
        arm_timer(membership);
    }
}

/* From the daemon: for when it is out of its own call. */
static bool deliver_later(struct rh_zk_membership *membership,
                          const struct rh_membership_event *event)
{
    assert(!membership->doomed);
    bool queued = enqueue(membership, event);
    if (!membership->busy) {
        ev_feed_event(membership->loop, &membership->wakeup, EV_CUSTOM);
    }
    return queued;
}

/* The session. */

static void log_connected(struct rh_zk_membership *membership)
{
    uint32_t granted_ms = rh_zk_client_session_timeout_ms(membership->client);
    rh_log(membership->logger, RH_LOG_INFO,
           "zookeeper_connected servers=%s session=%016" PRIx64 " timeout_ms=%" PRIu32,
           membership->servers, (uint64_t)rh_zk_client_session(membership->client), granted_ms);
    if (granted_ms != membership->session_timeout_ms && granted_ms != membership->told_timeout_ms) {
        rh_log(membership->logger, RH_LOG_WARN,
               "zookeeper_timeout_differs asked_ms=%" PRIu32 " granted_ms=%" PRIu32,
               membership->session_timeout_ms, granted_ms);
    }
}

/* If that lasts, it is worth a line. */
static void start_waiting(struct rh_zk_membership *membership)
{
    if (!ev_is_active(&membership->waiting)) {
        ev_timer_set(&membership->waiting, WAITING_LOG_S, 0.0);
        ev_timer_start(membership->loop, &membership->waiting);
    }
}

static void on_waiting(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
    (void)loop;
    (void)revents;
    struct rh_zk_membership *membership = watcher->data;
    rh_log(membership->logger, RH_LOG_WARN, "zookeeper_waiting servers=%s reason=\"%s\"",
           membership->servers, rh_zk_client_reason(membership->client));
}

static void on_session(void *context, enum rh_zk_session_event session_event)
{
    struct rh_zk_membership *membership = context;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_CONNECTED};
    switch (session_event) {
    case RH_ZK_SESSION_CONNECTED:
    case RH_ZK_SESSION_NEW:
        ev_timer_stop(membership->loop, &membership->waiting);
        log_connected(membership);
        event.connected.session = rh_zk_client_session(membership->client);
        event.connected.fresh = session_event == RH_ZK_SESSION_NEW;
        break;
    case RH_ZK_SESSION_DISCONNECTED:
        start_waiting(membership);
        rh_log(membership->logger, RH_LOG_WARN, "zookeeper_disconnected reason=\"%s\"",
               rh_zk_client_reason(membership->client));
        event.kind = RH_MEMBERSHIP_DISCONNECTED;
        break;
    case RH_ZK_SESSION_EXPIRED:
        start_waiting(membership);
        rh_log(membership->logger, RH_LOG_WARN, "session_expired");
        event.kind = RH_MEMBERSHIP_EXPIRED;
        break;
    }
    deliver(membership, &event);
}

static void on_watch(void *context, enum rh_zk_watch_event watch_event, const char *path)
{
    (void)watch_event; /* whatever it was, it is read again */
    struct rh_zk_membership *membership = context;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_WATCH};
    if (strcmp(path, membership->members_path) == 0) {
        event.watch = RH_MEMBERSHIP_WATCH_MEMBERS;
    } else if (strcmp(path, membership->config_path) == 0) {
        event.watch = RH_MEMBERSHIP_WATCH_CONFIG;
    } else if (strcmp(path, membership->request_path) == 0) {
        event.watch = RH_MEMBERSHIP_WATCH_REQUEST;
    } else {
        return;
    }
    deliver(membership, &event);
}

static const struct rh_zk_handler client_handler = {.session = on_session, .watch = on_watch};

static void on_timer(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
    (void)loop;
    (void)revents;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_TICK};
    deliver(watcher->data, &event);
}

/* Life. */

static int create_machine(struct rh_zk_membership *membership,
                          const struct rh_zk_membership_options *options)
{
    const struct rh_membership_options machine_options = {
        .config = options->config,
        .config_name = options->config_name,
        .registration = options->registration,
        .grace_ms = options->grace_ms == 0 ? RH_ZK_MEMBERSHIP_GRACE_MS : options->grace_ms,
        .replication = options->replication,
    };
    return rh_membership_create(&machine_options, &membership->machine);
}

static int create_client(struct rh_zk_membership *membership,
                         const struct rh_zk_membership_options *options, struct rh_reason *reason)
{
    const struct rh_zk_options client_options = {
        .servers = options->servers,
        .session_timeout_ms = options->session_timeout_ms,
        .logger = options->logger,
        .handler = &client_handler,
        .context = membership,
    };
    return rh_zk_client_create(membership->loop, &client_options, &membership->client, reason);
}

int rh_zk_membership_create(struct ev_loop *loop, const struct rh_zk_membership_options *options,
                            struct rh_zk_membership **ret_membership, struct rh_reason *reason)
{
    struct rh_zk_membership *membership = calloc(1, sizeof(*membership));
    if (membership == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    membership->loop = loop;
    membership->logger = options->logger;
    membership->handler = options->handler;
    membership->context = options->context;
    membership->session_timeout_ms = options->session_timeout_ms;
    memcpy(membership->id, options->registration.id, sizeof(membership->id));
    rh_list_init(&membership->queue);
    rh_list_init(&membership->calls);
    ev_timer_init(&membership->timer, on_timer, 0.0, 0.0);
    ev_timer_init(&membership->waiting, on_waiting, 0.0, 0.0);
    ev_timer_init(&membership->wakeup, on_timer, 0.0, 0.0);
    membership->timer.data = membership->waiting.data = membership->wakeup.data = membership;
    membership->servers = strdup(options->servers);

    int rv = membership->servers == NULL ? RH_ERR_NO_MEMORY : create_machine(membership, options);
    if (rv != 0) {
        (void)rh_fail(reason, rv, "%s", rh_error_text(rv));
    } else {
        rv = make_paths(membership, options->cluster, reason);
    }
    if (rv == 0) {
        rv = create_client(membership, options, reason);
    }
    if (rv != 0) {
        release(membership);
        return rv;
    }
    membership->told_weight_milli = rh_membership_weight_milli(membership->machine);
    start_waiting(membership);
    *ret_membership = membership;
    return 0;
}

void rh_zk_membership_destroy(struct rh_zk_membership *membership)
{
    if (membership == NULL || membership->doomed) {
        return;
    }
    membership->doomed = true;
    ev_timer_stop(membership->loop, &membership->timer);
    ev_timer_stop(membership->loop, &membership->waiting);
    (void)ev_clear_pending(membership->loop, &membership->wakeup);
    rh_zk_client_destroy(membership->client);
    if (!membership->busy) {
        release(membership);
    }
}

/* What the daemon says. */

static void deliver_peer(struct rh_zk_membership *membership, enum rh_membership_event_kind kind,
                         const struct rh_node_ref *peer)
{
    const struct rh_membership_event event = {.kind = kind, .peer = *peer};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_peer_up(struct rh_zk_membership *membership, const struct rh_node_ref *peer)
{
    deliver_peer(membership, RH_MEMBERSHIP_PEER_UP, peer);
}

void rh_zk_membership_peer_down(struct rh_zk_membership *membership, const struct rh_node_ref *peer)
{
    deliver_peer(membership, RH_MEMBERSHIP_PEER_DOWN, peer);
}

void rh_zk_membership_peer_dead(struct rh_zk_membership *membership, const struct rh_node_ref *peer)
{
    deliver_peer(membership, RH_MEMBERSHIP_PEER_DEAD, peer);
}

void rh_zk_membership_peer_replaced(struct rh_zk_membership *membership,
                                    const struct rh_node_ref *peer)
{
    deliver_peer(membership, RH_MEMBERSHIP_PEER_REPLACED, peer);
}

void rh_zk_membership_peer_epoch(struct rh_zk_membership *membership,
                                 const struct rh_node_ref *from, struct rh_epoch epoch)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_EPOCH,
                                              .peer_epoch = {.from = *from, .epoch = epoch}};
    (void)deliver_later(membership, &event);
}

int rh_zk_membership_peer_view(struct rh_zk_membership *membership,
                               const struct rh_peer_view *shown, struct rh_reason *reason)
{
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_VIEW};
    int rv = rh_view_read(shown, &event.view, reason);
    if (rv == 0 && !deliver_later(membership, &event)) {
        rh_view_give(event.view);
    }
    return rv;
}

void rh_zk_membership_peers_asked(struct rh_zk_membership *membership)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEERS_ASKED};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_prove(struct rh_zk_membership *membership)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PROVE};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_complete(struct rh_zk_membership *membership, struct rh_epoch epoch)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_COMPLETE, .epoch = epoch};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_promise(struct rh_zk_membership *membership, const struct rh_promise *promise)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PROMISE, .promise = *promise};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_catch_up(struct rh_zk_membership *membership)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_CATCH_UP};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_probe_result(struct rh_zk_membership *membership,
                                   const struct rh_node_ref *node, enum rh_membership_probe result)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PROBE_RESULT,
                                              .probe = {.node = *node, .result = result}};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_progress(struct rh_zk_membership *membership, uint64_t channels_left,
                               uint64_t connections_left)
{
    const struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PROGRESS,
        .progress = {.channels_left = channels_left, .connections_left = connections_left}};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_leave(struct rh_zk_membership *membership)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE};
    (void)deliver_later(membership, &event);
}

void rh_zk_membership_leave_finish(struct rh_zk_membership *membership)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_LEAVE_FINISH};
    (void)deliver_later(membership, &event);
}

/* Status. */

enum rh_zk_state rh_zk_membership_zookeeper_state(const struct rh_zk_membership *membership)
{
    return rh_zk_client_state(membership->client);
}

bool rh_zk_membership_registered(const struct rh_zk_membership *membership)
{
    return rh_membership_registration_state(membership->machine) == RH_MEMBERSHIP_REGISTERED;
}

uint32_t rh_zk_membership_session_timeout_ms(const struct rh_zk_membership *membership)
{
    return rh_zk_client_session_timeout_ms(membership->client);
}

uint32_t rh_zk_membership_weight_milli(const struct rh_zk_membership *membership)
{
    return rh_membership_weight_milli(membership->machine);
}

struct rh_view *rh_zk_membership_view(const struct rh_zk_membership *membership)
{
    return rh_membership_view(membership->machine);
}

const struct rh_membership_awaited *
rh_zk_membership_awaited(const struct rh_zk_membership *membership, size_t *ret_count)
{
    return rh_membership_awaited(membership->machine, ret_count);
}
