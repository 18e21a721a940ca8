/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_zookeeper.h"

#include "tests/simulator_check.h"
#include "tests/simulator_node.h"
#include "tests/simulator_truth.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE         112
#define CONFIG            "/config"
#define MEMBERS           "/members"
#define REQUESTS          "/requests"
#define CHANGES_MAX       (RH_MEMBERSHIP_DELETES_MAX + 2)
#define VERSIONS_KEPT     96
#define HANDLE_REPLACE_MS 1000 /* turned away for so long: another handle */
#define WATCHES           3
#define OPS_MAX           64
#define FIRST_SESSION     1001
#define GATHERED_MS       200 /* the leader has ordered all of them by then */

/* A znode from one transaction to another: what a server shows that is between the two. */
struct version {
    char path[PATH_SIZE];
    char *data;
    size_t size;
    int64_t czxid;
    int64_t pzxid;
    int64_t owner;
    int32_t version;
    int32_t children;
    int32_t cversion;
    int64_t from; /* zxid */
    int64_t to;   /* INT64_MAX: it is the present one */
    uint64_t hash;
    size_t before; /* number, from 1, of the one before in its bucket; 0: there is none */
};

struct session {
    int64_t id;
    bool alive;
    int node;
    int server;
    uint64_t connection; /* 0: none */
    uint64_t timer;      /* of its expiry; another number means another one, or none */
};

/* What zk_client keeps, one per process. */
struct handle {
    bool attached;
    int64_t session;
    int64_t last_zxid;
    bool fresh;
    bool connected; /* as the process knows */
    uint64_t connection;
    int server;
    uint64_t fifo_ms;
    bool armed[WATCHES];     /* at the server */
    bool confirmed[WATCHES]; /* the client library knows of it */
    uint64_t turned_away_ms; /* since; 0: not */
    bool cut;
    bool silent;
    bool stranded;
    uint64_t ops[OPS_MAX]; /* numbers of those in flight */
    size_t ops_count;
};

struct server {
    bool up;
    int64_t applied;
    uint64_t run; /* number of its life: what was on the way to an earlier one is lost */
    uint64_t stream_ms;
    uint64_t lag_until_ms;
};

struct sim_zookeeper {
    struct version *versions;
    size_t versions_count;
    size_t versions_capacity;
    size_t versions_kept; /* when it is time to forget some */
    size_t *buckets;      /* versions by hash of their path: number of the latest */
    size_t buckets_count; /* a power of two */
    int64_t zxid;
    uint64_t gather_until_ms; /* registrations wait until then */
    unsigned sequence;
    unsigned era;
    uint64_t generation; /* the highest that was written, */
    unsigned raised;     /* and how often a higher one was */
    bool down;
    struct session *sessions;
    size_t sessions_count;
    uint64_t connections;
    uint64_t timers;
    struct handle *handles; /* per node */
    struct server servers[SIM_SERVERS];

    /* The transaction that is made. */
    char changes[CHANGES_MAX][PATH_SIZE];
    size_t changes_count;
};

static const char *const watch_names[WATCHES] = {"config", "members", "request"};

/* ---- the tree ---- */

static struct version *find(struct sim_zookeeper *zookeeper, const char *path, int64_t zxid)
{
    uint64_t hash = sim_hash(rh_bytes_text(path));
    size_t number = zookeeper->buckets_count == 0
                        ? 0
                        : zookeeper->buckets[hash & (zookeeper->buckets_count - 1)];
    while (number > 0) {
        struct version *version = &zookeeper->versions[number - 1];
        if (version->hash == hash && version->from <= zxid && zxid < version->to &&
            strcmp(version->path, path) == 0) {
            return version;
        }
        number = version->before;
    }
    return NULL;
}

static void add_to_bucket(struct sim_zookeeper *zookeeper, size_t number)
{
    struct version *version = &zookeeper->versions[number - 1];
    size_t *bucket = &zookeeper->buckets[version->hash & (zookeeper->buckets_count - 1)];
    version->before = *bucket;
    *bucket = number;
}

static void fill_buckets(struct sim_zookeeper *zookeeper)
{
    free(zookeeper->buckets);
    zookeeper->buckets_count = 256;
    while (zookeeper->buckets_count < zookeeper->versions_capacity) {
        zookeeper->buckets_count *= 2;
    }
    zookeeper->buckets = calloc(zookeeper->buckets_count, sizeof(*zookeeper->buckets));
    if (zookeeper->buckets == NULL) {
        abort();
    }
    for (size_t i = 0; i < zookeeper->versions_count; i++) {
        add_to_bucket(zookeeper, i + 1);
    }
}

static struct version *present(struct sim_zookeeper *zookeeper, const char *path)
{
    return find(zookeeper, path, zookeeper->zxid);
}

static bool is_child(const char *path, const char *parent)
{
    size_t size = strlen(parent);
    return strncmp(path, parent, size) == 0 && path[size] == '/';
}

/* Forgets versions that no server shows any more. */
static void prune(struct sim_zookeeper *zookeeper)
{
    int64_t oldest = zookeeper->zxid;
    for (int i = 0; i < SIM_SERVERS; i++) {
        if (zookeeper->servers[i].up && zookeeper->servers[i].applied < oldest) {
            oldest = zookeeper->servers[i].applied;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < zookeeper->versions_count; i++) {
        if (zookeeper->versions[i].to <= oldest) {
            free(zookeeper->versions[i].data);
        } else {
            zookeeper->versions[kept++] = zookeeper->versions[i];
        }
    }
    zookeeper->versions_count = kept;
    zookeeper->versions_kept = 2 * kept < VERSIONS_KEPT ? VERSIONS_KEPT : 2 * kept;
    fill_buckets(zookeeper);
}

static struct version *push(struct sim_zookeeper *zookeeper, const struct version *version)
{
    if (zookeeper->versions_count == zookeeper->versions_capacity) {
        zookeeper->versions_capacity += VERSIONS_KEPT + zookeeper->versions_capacity;
        zookeeper->versions = realloc(zookeeper->versions,
                                      zookeeper->versions_capacity * sizeof(*zookeeper->versions));
        if (zookeeper->versions == NULL) {
            abort();
        }
        fill_buckets(zookeeper);
    }
    struct version *pushed = &zookeeper->versions[zookeeper->versions_count++];
    *pushed = *version;
    add_to_bucket(zookeeper, zookeeper->versions_count);
    return pushed;
}

static void begin(struct sim_zookeeper *zookeeper)
{
    if (zookeeper->versions_count >= zookeeper->versions_kept) {
        prune(zookeeper);
    }
    zookeeper->zxid++;
    zookeeper->changes_count = 0;
}

/* The present version of |path| ends; a copy of it is returned, to go on from or to free. */
static struct version end_version(struct sim_zookeeper *zookeeper, const char *path)
{
    struct version *version = present(zookeeper, path);
    assert(version != NULL);
    version->to = zookeeper->zxid;
    struct version copy = *version;
    copy.data = NULL;
    copy.from = zookeeper->zxid;
    copy.to = INT64_MAX;
    return copy;
}

static void touch_parent(struct sim_zookeeper *zookeeper, const char *path, int32_t more)
{
    char parent[PATH_SIZE];
    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
    if (parent[0] == '\0' || present(zookeeper, parent) == NULL) {
        return;
    }
    struct version next = end_version(zookeeper, parent);
    next.pzxid = zookeeper->zxid;
    next.children += more;
    next.cversion++;
    (void)push(zookeeper, &next);
}

static void note_change(struct sim_zookeeper *zookeeper, const char *path)
{
    assert(zookeeper->changes_count < CHANGES_MAX);
    size_t size = strlen(path) + 1;
    assert(size <= PATH_SIZE);
    memcpy(zookeeper->changes[zookeeper->changes_count++], path, size);
}

static void set_data(struct version *version, const char *data, size_t size)
{
    version->data = malloc(size + 1);
    if (version->data == NULL) {
        abort();
    }
    memcpy(version->data, data, size);
    version->data[size] = '\0';
    version->size = size;
}

static void add(struct sim_zookeeper *zookeeper, const char *path, struct rh_bytes data,
                int64_t owner)
{
    assert(present(zookeeper, path) == NULL);
    struct version version = {.czxid = zookeeper->zxid,
                              .pzxid = zookeeper->zxid,
                              .owner = owner,
                              .from = zookeeper->zxid,
                              .to = INT64_MAX,
                              .hash = sim_hash(rh_bytes_text(path))};
    (void)snprintf(version.path, sizeof(version.path), "%s", path);
    set_data(&version, data.data == NULL ? "" : data.data, data.size);
    (void)push(zookeeper, &version);
    note_change(zookeeper, path);
    touch_parent(zookeeper, path, 1);
}

static void change(struct sim_zookeeper *zookeeper, const char *path, struct rh_bytes data)
{
    struct version next = end_version(zookeeper, path);
    next.version++;
    set_data(&next, data.data, data.size);
    (void)push(zookeeper, &next);
    note_change(zookeeper, path);
}

static void take(struct sim_zookeeper *zookeeper, const char *path)
{
    (void)end_version(zookeeper, path);
    note_change(zookeeper, path);
    touch_parent(zookeeper, path, -1);
}

/* ---- sessions ---- */

static struct session *session_find(struct sim_zookeeper *zookeeper, int64_t id)
{
    size_t index = (size_t)(id - FIRST_SESSION);
    bool alive = id >= FIRST_SESSION && index < zookeeper->sessions_count &&
                 zookeeper->sessions[index].alive;
    return alive ? &zookeeper->sessions[index] : NULL;
}

/* Whether the connection stands on both sides. */
static bool is_open(struct sim_zookeeper *zookeeper, const struct handle *handle)
{
    const struct session *session = session_find(zookeeper, handle->session);
    return handle->connection != 0 && session != NULL && session->connection == handle->connection;
}

/* ---- to the process ---- */

/* Anything that a server says to a process. */
struct answer {
    struct sim_event event;
    int node;
    uint64_t instance;
    uint64_t connection;
    int64_t zxid;
    int watch; /* -1: none; armed by this answer, or the one that has fired */
    unsigned era;
    struct rh_membership_event said;
    struct rh_membership_result *result; /* of `said` */
    char name[RH_MEMBERSHIP_NAME_SIZE];
    _Alignas(const char *) char memory[]; /* data; or pointers to names, and the names */
};

static void forget_op(struct handle *handle, uint64_t number)
{
    for (size_t i = 0; i < handle->ops_count; i++) {
        if (handle->ops[i] == number) {
            handle->ops[i] = handle->ops[--handle->ops_count];
            return;
        }
    }
}

static void run_answer(struct sim *sim, struct sim_event *event)
{
    struct answer *answer = rh_container_of(event, struct answer, event);
    struct handle *handle = &sim->zookeeper->handles[answer->node];
    if (!sim_node_takes(sim, answer->node, answer->instance, event)) {
        return;
    }
    if (answer->connection != handle->connection || !handle->connected) {
        return; /* lost with its connection */
    }
    if (answer->zxid > handle->last_zxid) {
        handle->last_zxid = answer->zxid;
    }
    if (answer->said.kind == RH_MEMBERSHIP_WATCH) {
        handle->confirmed[answer->watch] = false;
    } else {
        forget_op(handle, answer->said.result.number);
        if (answer->watch >= 0) {
            handle->confirmed[answer->watch] = true;
        }
        if (answer->said.result.names != NULL) {
            sim_check_listed(sim, answer->node, answer->era);
        }
    }
    sim_node_membership(sim, answer->node, &answer->said);
}

static struct answer *answer_create(struct sim *sim, int node, size_t memory)
{
    struct answer *answer = sim_event(sizeof(*answer) + memory, run_answer);
    answer->node = node;
    answer->instance = sim->nodes[node]->instance;
    answer->connection = sim->zookeeper->handles[node].connection;
    answer->watch = -1;
    answer->era = sim->zookeeper->era;
    return answer;
}

/* In order, on the connection of |node|. */
static void deliver(struct sim *sim, int node, struct sim_event *event)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    uint64_t at_ms = sim->now_ms + sim_delay_ms(sim);
    if (at_ms < handle->fifo_ms) {
        at_ms = handle->fifo_ms;
    }
    handle->fifo_ms = at_ms;
    sim_after(sim, at_ms - sim->now_ms, event);
}

static void fire(struct sim *sim, int node, int watch, int64_t zxid)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    handle->armed[watch] = false;
    if (sim_mutates(sim, SIM_MUTATION_DEAF) && watch == RH_MEMBERSHIP_WATCH_MEMBERS) {
        return;
    }
    sim_count_one(&sim->counts.watches, 0);
    struct answer *answer = answer_create(sim, node, 0);
    answer->zxid = zxid;
    answer->watch = watch;
    answer->said.kind = RH_MEMBERSHIP_WATCH;
    answer->said.watch = (enum rh_membership_watch)watch;
    deliver(sim, node, &answer->event);
}

/* Which watch of |node| a change of |path| is for; -1: none. */
static int watch_of(const char *path, const char *id)
{
    if (strcmp(path, CONFIG) == 0) {
        return RH_MEMBERSHIP_WATCH_CONFIG;
    }
    if (is_child(path, MEMBERS)) {
        return RH_MEMBERSHIP_WATCH_MEMBERS;
    }
    bool own = is_child(path, REQUESTS) && strcmp(path + sizeof(REQUESTS "/") - 1, id) == 0;
    return own ? RH_MEMBERSHIP_WATCH_REQUEST : -1;
}

/* ---- servers ---- */

/* A transaction on its way to a server. */
struct apply {
    struct sim_event event;
    int server;
    uint64_t run;
    int64_t zxid;
    size_t changes_count;
    char changes[][PATH_SIZE];
};

static void run_apply(struct sim *sim, struct sim_event *event)
{
    struct apply *apply = rh_container_of(event, struct apply, event);
    struct server *server = &sim->zookeeper->servers[apply->server];
    if (server->run != apply->run) {
        return;
    }
    assert(apply->zxid > server->applied);
    server->applied = apply->zxid;
    for (size_t i = 0; i < apply->changes_count; i++) {
        for (int node = 0; node < sim->nodes_count; node++) {
            struct handle *handle = &sim->zookeeper->handles[node];
            int watch = watch_of(apply->changes[i], sim->nodes[node]->id);
            if (watch >= 0 && handle->armed[watch] && !handle->stranded &&
                handle->server == apply->server && is_open(sim->zookeeper, handle)) {
                fire(sim, node, watch, apply->zxid);
            }
        }
    }
}

/* When what the leader says now reaches |server|: in order. */
static uint64_t stream_delay_ms(struct sim *sim, struct server *server)
{
    uint64_t at_ms = sim->now_ms + sim_delay_ms(sim);
    at_ms = at_ms < server->stream_ms ? server->stream_ms : at_ms;
    at_ms = at_ms < server->lag_until_ms ? server->lag_until_ms : at_ms;
    server->stream_ms = at_ms;
    return at_ms - sim->now_ms;
}

/* The end of begin(): the transaction goes to all. */
static void commit(struct sim *sim)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    for (int i = 0; i < SIM_SERVERS; i++) {
        struct server *server = &zookeeper->servers[i];
        if (!server->up) {
            continue;
        }
        struct apply *apply =
            sim_event(sizeof(*apply) + zookeeper->changes_count * PATH_SIZE, run_apply);
        apply->server = i;
        apply->run = server->run;
        apply->zxid = zookeeper->zxid;
        apply->changes_count = zookeeper->changes_count;
        memcpy(apply->changes, zookeeper->changes, zookeeper->changes_count * PATH_SIZE);
        sim_after(sim, stream_delay_ms(sim, server), &apply->event);
    }
}

/* ---- operations ---- */

struct op {
    struct sim_event event;
    int node;
    char id[RH_NODE_ID_SIZE];
    uint64_t instance;
    int64_t session;
    uint64_t connection;
    int server;
    uint64_t run;
    bool late; /* goes on even if its connection breaks */
    enum rh_membership_action_kind kind;
    uint64_t number;
    int32_t version;
    int rv;
    char name[RH_MEMBERSHIP_NAME_SIZE]; /* asked for, or made */
    char names[RH_MEMBERSHIP_DELETES_MAX][RH_MEMBERSHIP_NAME_SIZE];
    size_t names_count;
    size_t data_size;
    char data[];
};

static void member_path(const char *name, char path[static PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, MEMBERS "/%s", name);
}

static void op_path(const struct op *op, char path[static PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, CONFIG);
    if (op->kind == RH_MEMBERSHIP_READ_REQUEST || op->kind == RH_MEMBERSHIP_SET_REQUEST) {
        (void)snprintf(path, PATH_SIZE, REQUESTS "/%.64s", op->id);
    } else if (op->kind == RH_MEMBERSHIP_READ_MEMBER || op->kind == RH_MEMBERSHIP_UNREGISTER ||
               op->kind == RH_MEMBERSHIP_CHECK) {
        member_path(op->name, path);
    }
}

/* Sends the outcome of a write, a sync or a failed read; a read that found something says more. */
static struct answer *op_answer(struct sim *sim, const struct op *op, size_t memory)
{
    struct answer *answer = answer_create(sim, op->node, memory);
    answer->connection = op->connection;
    answer->zxid = sim->zookeeper->servers[op->server].applied;
    memcpy(answer->name, op->name, sizeof(answer->name));
    answer->said.kind = RH_MEMBERSHIP_RESULT;
    answer->said.result = (struct rh_membership_result){
        .number = op->number, .rv = op->rv, .version = op->version, .name = answer->name};
    return answer;
}

/* Whether somebody still waits for the answer at the server that has it. */
static bool is_awaited(struct sim *sim, const struct op *op)
{
    const struct session *session = session_find(sim->zookeeper, op->session);
    return sim->nodes[op->node]->running && sim->nodes[op->node]->instance == op->instance &&
           sim->zookeeper->servers[op->server].run == op->run && session != NULL &&
           session->connection == op->connection;
}

static void serve_get(struct sim *sim, struct op *op, int watch)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    char path[PATH_SIZE];
    op_path(op, path);
    const struct version *version = find(zookeeper, path, zookeeper->servers[op->server].applied);
    op->rv = version == NULL ? RH_ERR_NOT_FOUND : 0;
    struct answer *answer = op_answer(sim, op, version == NULL ? 0 : version->size + 1);
    if (version != NULL) {
        memcpy(answer->memory, version->data, version->size + 1);
        answer->said.result.data = rh_bytes(answer->memory, version->size);
        answer->said.result.version = version->version;
        answer->said.result.czxid = version->czxid;
        answer->said.result.ephemeral_owner = version->owner;
        sim->counts.operations[op->kind].bytes += version->size;
    }
    if (watch >= 0) {
        zookeeper->handles[op->node].armed[watch] = true;
        answer->watch = watch;
    }
    deliver(sim, op->node, &answer->event);
}

static void serve_list(struct sim *sim, struct op *op)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    int64_t applied = zookeeper->servers[op->server].applied;
    const struct version *parent = find(zookeeper, MEMBERS, applied);
    op->rv = parent == NULL ? RH_ERR_NOT_FOUND : 0;
    if (parent == NULL) {
        deliver(sim, op->node, &op_answer(sim, op, 0)->event);
        return;
    }
    int64_t listed = applied;
    if (sim_mutates(sim, SIM_MUTATION_STALE_LIST) && sim_chance(sim, 300)) {
        listed = parent->pzxid - 1;
    }
    size_t most = zookeeper->versions_count;
    struct answer *answer =
        op_answer(sim, op, most * (sizeof(const char *) + RH_MEMBERSHIP_NAME_SIZE));
    const char **names = (const char **)(void *)answer->memory;
    size_t count = 0;
    size_t bytes = 0;
    for (size_t i = most; i > 0; i--) {
        const struct version *version = &zookeeper->versions[i - 1];
        if (version->from <= listed && listed < version->to && is_child(version->path, MEMBERS)) {
            char *name = (char *)(names + most) + count * RH_MEMBERSHIP_NAME_SIZE;
            bytes += (size_t)snprintf(name, RH_MEMBERSHIP_NAME_SIZE, "%s",
                                      version->path + sizeof(MEMBERS "/") - 1);
            names[count++] = name;
        }
    }
    sim->counts.operations[RH_MEMBERSHIP_LIST].bytes += bytes;
    answer->said.result.names = names;
    answer->said.result.names_count = count;
    answer->said.result.pzxid = parent->pzxid;
    answer->said.result.cversion = parent->cversion;
    answer->said.result.children_count = parent->children;
    answer->watch = RH_MEMBERSHIP_WATCH_MEMBERS;
    zookeeper->handles[op->node].armed[RH_MEMBERSHIP_WATCH_MEMBERS] = true;
    deliver(sim, op->node, &answer->event);
}

static void open_parents(struct sim *sim)
{
    static const char *const paths[] = {MEMBERS, REQUESTS};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (present(sim->zookeeper, paths[i]) == NULL) {
            begin(sim->zookeeper);
            add(sim->zookeeper, paths[i], rh_bytes("", 0), 0);
            commit(sim);
        }
    }
}

static void note_config(struct sim *sim, const struct op *op)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    struct rh_shared_config config;
    struct rh_reason reason;
    if (rh_shared_config_decode(rh_bytes(op->data, op->data_size), &config, NULL, &reason) != 0) {
        return;
    }
    if (config.generation > zookeeper->generation) {
        zookeeper->generation = config.generation;
        zookeeper->raised++;
    }
    if (sim->replicated && op->kind == RH_MEMBERSHIP_CREATE_CONFIG) {
        sim_truth_began(sim, op->node, config.generation);
    }
}

static int write_znode(struct sim *sim, struct op *op)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    char path[PATH_SIZE];
    op_path(op, path);
    const struct version *version = present(zookeeper, path);
    struct rh_bytes data = rh_bytes(op->data, op->data_size);
    if (op->kind == RH_MEMBERSHIP_CREATE_CONFIG) {
        if (version != NULL) {
            return RH_ERR_EXISTS;
        }
        begin(zookeeper);
        add(zookeeper, path, data, 0);
        op->version = 0;
    } else if (version == NULL) {
        return RH_ERR_NOT_FOUND;
    } else if (version->version != op->version) {
        return RH_ERR_CONFLICT;
    } else {
        begin(zookeeper);
        change(zookeeper, path, data);
        op->version++;
    }
    if (op->kind != RH_MEMBERSHIP_SET_REQUEST) {
        note_config(sim, op);
    }
    commit(sim);
    return 0;
}

/* The registration at |path| is about to be deleted, and no successor is made with it. */
static void note_loss(struct sim *sim, const char *path, uint64_t successor)
{
    const struct version *version = present(sim->zookeeper, path);
    struct rh_registration registration;
    struct rh_reason reason;
    if (sim->replicated && is_child(path, MEMBERS) &&
        rh_registration_decode(rh_bytes(version->data, version->size), &registration, &reason) ==
            0 &&
        registration.instance != successor) {
        sim_truth_lost(sim, registration.instance);
    }
}

static int make_registration(struct sim *sim, struct op *op)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    char path[PATH_SIZE];
    for (size_t i = 0; i < op->names_count; i++) {
        member_path(op->names[i], path);
        if (present(zookeeper, path) == NULL) {
            return RH_ERR_NOT_FOUND;
        }
    }
    if (present(zookeeper, MEMBERS) == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    begin(zookeeper);
    for (size_t i = 0; i < op->names_count; i++) {
        if (!sim_mutates(sim, SIM_MUTATION_DOUBLE_REGISTRATION)) {
            member_path(op->names[i], path);
            note_loss(sim, path, op->instance);
            take(zookeeper, path);
        }
    }
    (void)snprintf(op->name, sizeof(op->name), "%.64s.%010u", op->id, zookeeper->sequence++);
    member_path(op->name, path);
    add(zookeeper, path, rh_bytes(op->data, op->data_size), op->session);
    if (sim->replicated) {
        sim_truth_registered(sim, op->instance, op->name);
    }
    commit(sim);
    return 0;
}

static int evict(struct sim *sim, const struct op *op)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    char own[PATH_SIZE];
    char victim[PATH_SIZE];
    member_path(op->name, own);
    member_path(op->names[0], victim);
    const struct version *version = present(zookeeper, victim);
    if (present(zookeeper, own) == NULL || version == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    sim_check_evicted(sim, op->node, rh_bytes(version->data, version->size));
    note_loss(sim, victim, 0);
    begin(zookeeper);
    take(zookeeper, victim);
    commit(sim);
    return 0;
}

static int unregister(struct sim *sim, const struct op *op)
{
    char path[PATH_SIZE];
    op_path(op, path);
    if (present(sim->zookeeper, path) == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    struct rh_bytes data = rh_bytes(op->data, op->data_size);
    const struct version *config = present(sim->zookeeper, CONFIG);
    if (data.size > 0 && (config == NULL || config->version != op->version)) {
        return config == NULL ? RH_ERR_NOT_FOUND : RH_ERR_CONFLICT;
    }
    note_loss(sim, path, 0);
    begin(sim->zookeeper);
    take(sim->zookeeper, path);
    if (data.size > 0) {
        change(sim->zookeeper, CONFIG, data);
    }
    commit(sim);
    return 0;
}

/* A transaction like any other, though it changes nothing. */
static int check(struct sim *sim, const struct op *op)
{
    char path[PATH_SIZE];
    op_path(op, path);
    const struct version *version = present(sim->zookeeper, path);
    if (version == NULL || version->version != 0) {
        return version == NULL ? RH_ERR_NOT_FOUND : RH_ERR_CONFLICT;
    }
    begin(sim->zookeeper);
    commit(sim);
    return 0;
}

static int write_at_leader(struct sim *sim, struct op *op)
{
    switch ((unsigned)op->kind) {
    case RH_MEMBERSHIP_OPEN:
        open_parents(sim);
        return 0;
    case RH_MEMBERSHIP_CREATE_CONFIG:
    case RH_MEMBERSHIP_SET_CONFIG:
    case RH_MEMBERSHIP_SET_REQUEST:
        return write_znode(sim, op);
    case RH_MEMBERSHIP_REGISTER:
        return make_registration(sim, op);
    case RH_MEMBERSHIP_EVICT:
        return evict(sim, op);
    case RH_MEMBERSHIP_UNREGISTER:
        return unregister(sim, op);
    case RH_MEMBERSHIP_CHECK:
        return check(sim, op);
    default:
        assert(op->kind == RH_MEMBERSHIP_SYNC);
        return 0;
    }
}

/* The server has applied all that came before the outcome. */
static void run_op_back(struct sim *sim, struct sim_event *event)
{
    struct op *op = rh_container_of(event, struct op, event);
    if (is_awaited(sim, op)) {
        deliver(sim, op->node, &op_answer(sim, op, 0)->event);
    }
}

static void run_op_at_leader(struct sim *sim, struct sim_event *event)
{
    struct op *op = rh_container_of(event, struct op, event);
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    struct server *server = &zookeeper->servers[op->server];
    const struct session *session = session_find(zookeeper, op->session);
    bool moved =
        session != NULL && session->connection != 0 && session->connection != op->connection;
    bool broken = session == NULL || session->connection == 0;
    if (zookeeper->down || session == NULL || moved || (broken && !op->late)) {
        return;
    }
    op->rv = write_at_leader(sim, op);
    if (op->rv != 0) {
        sim_count_one(&sim->counts.refused, 0);
    }
    sim_trace(sim, "zookeeper: %s of n%d: %s, zxid %" PRId64 "%s",
              sim_node_operation_name(op->kind), op->node, rh_error_name(op->rv), zookeeper->zxid,
              broken ? ", late" : "");
    if (server->run != op->run) {
        return;
    }
    op->event.run = run_op_back;
    sim_keep(event);
    bool skips = op->kind == RH_MEMBERSHIP_SYNC && sim_mutates(sim, SIM_MUTATION_NO_SYNC);
    sim_after(sim, skips ? 0 : stream_delay_ms(sim, server), event);
}

/* Whether the operation ends at a leader that was deposed. */
static bool zookeeper_strands(struct sim *sim, struct op *op)
{
    if (!sim->zookeeper->handles[op->node].stranded) {
        return false;
    }
    if (op->kind == RH_MEMBERSHIP_SYNC) {
        deliver(sim, op->node, &op_answer(sim, op, 0)->event);
    }
    return true;
}

static void run_op(struct sim *sim, struct sim_event *event)
{
    struct op *op = rh_container_of(event, struct op, event);
    bool awaited = is_awaited(sim, op);
    if (!awaited && !op->late) {
        return;
    }
    switch ((unsigned)op->kind) {
    case RH_MEMBERSHIP_READ_CONFIG:
    case RH_MEMBERSHIP_READ_REQUEST:
    case RH_MEMBERSHIP_READ_MEMBER:
    case RH_MEMBERSHIP_LIST:
        if (!awaited) {
            return;
        }
        if (op->kind == RH_MEMBERSHIP_LIST) {
            serve_list(sim, op);
        } else if (op->kind == RH_MEMBERSHIP_READ_CONFIG) {
            serve_get(sim, op, RH_MEMBERSHIP_WATCH_CONFIG);
        } else {
            serve_get(sim, op,
                      op->kind == RH_MEMBERSHIP_READ_REQUEST ? RH_MEMBERSHIP_WATCH_REQUEST : -1);
        }
        return;
    default:
        if (zookeeper_strands(sim, op)) {
            return;
        }
        if (op->kind == RH_MEMBERSHIP_REGISTER && sim->now_ms < sim->zookeeper->gather_until_ms) {
            sim_keep(event);
            sim_after(sim, sim->zookeeper->gather_until_ms - sim->now_ms, event);
            return;
        }
        op->event.run = run_op_at_leader;
        sim_keep(event);
        sim_after(sim, sim_delay_ms(sim), event);
    }
}

void sim_zookeeper_operate(struct sim *sim, int node, const struct rh_membership_action *action)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    assert(handle->attached && handle->ops_count < OPS_MAX);
    handle->ops[handle->ops_count++] = action->number;
    sim_count_one(&sim->counts.operations[action->kind], action->data.size);
    if (!is_open(sim->zookeeper, handle) || handle->cut) {
        return; /* ends when the process learns that the connection is broken */
    }
    struct op *op = sim_event(sizeof(*op) + action->data.size + 1, run_op);
    op->node = node;
    memcpy(op->id, sim->nodes[node]->id, sizeof(op->id));
    op->instance = sim->nodes[node]->instance;
    op->session = handle->session;
    op->connection = handle->connection;
    op->server = handle->server;
    op->run = sim->zookeeper->servers[handle->server].run;
    op->late = sim_chance(sim, 500);
    op->kind = action->kind;
    op->number = action->number;
    op->version = action->version;
    if (action->name != NULL) {
        (void)snprintf(op->name, sizeof(op->name), "%s", action->name);
    }
    op->names_count = action->names_count;
    for (size_t i = 0; i < action->names_count; i++) {
        (void)snprintf(op->names[i], sizeof(op->names[i]), "%s", action->names[i]);
    }
    op->data_size = action->data.size;
    if (action->data.size > 0) {
        memcpy(op->data, action->data.data, action->data.size);
    }
    sim_after(sim, sim_delay_ms(sim), &op->event);
}

/* ---- expiry ---- */

struct expiry {
    struct sim_event event;
    int64_t session;
    uint64_t timer;
};

/* Deletes what the session owns, in one transaction. */
static void end_session(struct sim *sim, struct session *session)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    char paths[CHANGES_MAX][PATH_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < zookeeper->versions_count; i++) {
        const struct version *version = &zookeeper->versions[i];
        if (version->to == INT64_MAX && version->owner == session->id && count < CHANGES_MAX) {
            memcpy(paths[count++], version->path, PATH_SIZE);
        }
    }
    session->alive = false;
    begin(zookeeper);
    for (size_t i = 0; i < count; i++) {
        note_loss(sim, paths[i], 0);
        take(zookeeper, paths[i]);
    }
    commit(sim);
}

static void break_connection(struct sim *sim, int node, uint64_t delay_ms);

static void expire(struct sim *sim, struct session *session)
{
    sim_trace(sim, "zookeeper: session %" PRId64 " of n%d expires", session->id, session->node);
    uint64_t connection = session->connection;
    session->connection = 0;
    int node = session->node;
    end_session(sim, session);
    if (connection != 0 && !sim->zookeeper->handles[node].stranded &&
        sim->zookeeper->handles[node].connection == connection) {
        break_connection(sim, node, sim_delay_ms(sim));
    }
}

static void run_expiry(struct sim *sim, struct sim_event *event)
{
    struct expiry *expiry = rh_container_of(event, struct expiry, event);
    struct session *session = session_find(sim->zookeeper, expiry->session);
    if (session != NULL && session->timer == expiry->timer && !sim->zookeeper->down) {
        expire(sim, session);
    }
}

/* From now on nothing is heard of it. The server counts in ticks. */
static void start_expiry(struct sim *sim, struct session *session)
{
    if (sim->zookeeper->down) {
        return; /* begins when there is a leader again */
    }
    struct expiry *expiry = sim_event(sizeof(*expiry), run_expiry);
    session->timer = ++sim->zookeeper->timers;
    expiry->session = session->id;
    expiry->timer = session->timer;
    sim_after(sim, SIM_SESSION_TIMEOUT_MS + sim_below(sim, 500), &expiry->event);
}

void sim_zookeeper_silence(struct sim *sim, int node, bool silent)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    struct session *session = session_find(sim->zookeeper, handle->session);
    silent |= handle->stranded;
    handle->silent = silent;
    if (session == NULL || session->connection == 0) {
        return; /* counted already */
    }
    if (silent) {
        start_expiry(sim, session);
    } else {
        session->timer = 0;
    }
}

void sim_zookeeper_expire(struct sim *sim, int node)
{
    struct session *session = session_find(sim->zookeeper, sim->zookeeper->handles[node].session);
    if (session != NULL && !sim->zookeeper->down) {
        expire(sim, session);
    }
}

/* ---- connections ---- */

/* What the process does about its connection, or learns of it. */
struct news {
    struct sim_event event;
    int node;
    uint64_t instance;
    uint64_t connection;
    enum rh_membership_event_kind kind;
    unsigned missed; /* CONNECTED: watches that fired meanwhile, as bits */
};

static void try_later(struct sim *sim, int node, uint64_t delay_ms);

static void tell(struct sim *sim, int node, const struct rh_membership_event *event)
{
    sim_node_membership(sim, node, event);
}

/* Operations in flight end; nobody knows how they went. */
static void fail_ops(struct sim *sim, int node)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    while (handle->ops_count > 0) {
        struct rh_membership_event event = {
            .kind = RH_MEMBERSHIP_RESULT,
            .result = {.number = handle->ops[--handle->ops_count], .rv = RH_ERR_UNREACHABLE}};
        tell(sim, node, &event);
    }
}

static void disconnected(struct sim *sim, int node)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    handle->connection = 0;
    handle->connected = false;
    for (int i = 0; i < WATCHES; i++) {
        handle->armed[i] = handle->armed[i] && handle->confirmed[i];
    }
    bool before = sim_chance(sim, 500);
    if (before) {
        fail_ops(sim, node);
    }
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_DISCONNECTED};
    tell(sim, node, &event);
    fail_ops(sim, node);
    try_later(sim, node, sim_between(sim, 5, 60));
}

static void replace_handle(struct handle *handle)
{
    handle->fresh = true;
    handle->last_zxid = 0;
    handle->turned_away_ms = 0;
    memset(handle->armed, 0, sizeof(handle->armed));
    memset(handle->confirmed, 0, sizeof(handle->confirmed));
}

static void connected(struct sim *sim, const struct news *news)
{
    struct handle *handle = &sim->zookeeper->handles[news->node];
    handle->connected = true;
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_CONNECTED,
        .connected = {.session = handle->session, .fresh = handle->fresh}};
    handle->fresh = false;
    tell(sim, news->node, &event);
    for (int i = 0; i < WATCHES; i++) {
        if ((news->missed & 1U << i) != 0) {
            handle->confirmed[i] = false;
            struct rh_membership_event watch = {.kind = RH_MEMBERSHIP_WATCH,
                                                .watch = (enum rh_membership_watch)i};
            tell(sim, news->node, &watch);
        }
    }
}

static void run_news(struct sim *sim, struct sim_event *event)
{
    struct news *news = rh_container_of(event, struct news, event);
    struct handle *handle = &sim->zookeeper->handles[news->node];
    if (!sim_node_takes(sim, news->node, news->instance, event) ||
        news->connection != handle->connection) {
        return;
    }
    switch ((unsigned)news->kind) {
    case RH_MEMBERSHIP_CONNECTED:
        connected(sim, news);
        return;
    case RH_MEMBERSHIP_DISCONNECTED:
        if (handle->connected) {
            disconnected(sim, news->node);
        } else { /* broken in the handshake */
            handle->connection = 0;
            try_later(sim, news->node, sim_between(sim, 5, 60));
        }
        return;
    default: {
        struct rh_membership_event expired = {.kind = RH_MEMBERSHIP_EXPIRED};
        handle->connection = 0;
        handle->session = 0;
        replace_handle(handle);
        tell(sim, news->node, &expired);
        try_later(sim, news->node, sim_between(sim, 5, 60));
    }
    }
}

static struct news *news_create(struct sim *sim, int node, enum rh_membership_event_kind kind)
{
    struct news *news = sim_event(sizeof(*news), run_news);
    news->node = node;
    news->instance = sim->nodes[node]->instance;
    news->connection = sim->zookeeper->handles[node].connection;
    news->kind = kind;
    return news;
}

/* The server's end is closed; the process learns of it after |delay_ms|, and after all that was
 * said to it before. */
static void break_connection(struct sim *sim, int node, uint64_t delay_ms)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    struct session *session = session_find(sim->zookeeper, handle->session);
    if (handle->connection == 0) {
        return;
    }
    if (session != NULL && session->connection == handle->connection) {
        session->connection = 0;
        start_expiry(sim, session);
    }
    uint64_t at_ms = sim->now_ms + delay_ms;
    handle->fifo_ms = handle->fifo_ms < at_ms ? at_ms : handle->fifo_ms;
    sim_after(sim, handle->fifo_ms - sim->now_ms,
              &news_create(sim, node, RH_MEMBERSHIP_DISCONNECTED)->event);
}

/* What of the watches has changed between the last zxid of the client and what the server has. */
static unsigned missed_watches(struct sim *sim, int node, int64_t applied)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    unsigned missed = 0;
    for (int i = 0; i < WATCHES; i++) {
        static const char *const paths[WATCHES] = {CONFIG, MEMBERS, NULL};
        char request[PATH_SIZE];
        (void)snprintf(request, sizeof(request), REQUESTS "/%.64s", sim->nodes[node]->id);
        const char *path = paths[i] == NULL ? request : paths[i];
        const struct version *before = find(sim->zookeeper, path, handle->last_zxid);
        const struct version *after = find(sim->zookeeper, path, applied);
        if (handle->armed[i] && before != after) {
            handle->armed[i] = false;
            missed |= 1U << i;
            sim_trace(sim, "zookeeper: n%d missed a change of %s", node, watch_names[i]);
        }
    }
    return missed;
}

static struct session *session_create(struct sim *sim, int node)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    zookeeper->sessions = realloc(zookeeper->sessions,
                                  (zookeeper->sessions_count + 1) * sizeof(*zookeeper->sessions));
    if (zookeeper->sessions == NULL) {
        abort();
    }
    begin(zookeeper);
    commit(sim);
    struct session *session = &zookeeper->sessions[zookeeper->sessions_count++];
    *session = (struct session){
        .id = FIRST_SESSION + (int64_t)zookeeper->sessions_count - 1, .alive = true, .node = node};
    return session;
}

/* A server that answers has been found. */
static void greet(struct sim *sim, int node, int index)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    struct handle *handle = &zookeeper->handles[node];
    handle->connection = ++zookeeper->connections;
    handle->stranded = false;
    handle->server = index;
    handle->turned_away_ms = 0;
    struct session *session =
        handle->session == 0 ? session_create(sim, node) : session_find(zookeeper, handle->session);
    if (session == NULL) {
        deliver(sim, node, &news_create(sim, node, RH_MEMBERSHIP_EXPIRED)->event);
        return;
    }
    sim_trace(sim, "zookeeper: n%d connects to server %d, session %" PRId64, node, index,
              session->id);
    handle->session = session->id;
    session->connection = handle->connection;
    session->server = index;
    session->timer = 0;
    struct news *news = news_create(sim, node, RH_MEMBERSHIP_CONNECTED);
    news->missed = missed_watches(sim, node, zookeeper->servers[index].applied);
    deliver(sim, node, &news->event);
}

static void run_attempt(struct sim *sim, struct sim_event *event)
{
    struct news *news = rh_container_of(event, struct news, event);
    int node = news->node;
    struct handle *handle = &sim->zookeeper->handles[node];
    if (!sim_node_takes(sim, node, news->instance, event) || handle->connection != 0) {
        return;
    }
    int index = (int)sim_below(sim, SIM_SERVERS);
    const struct server *server = &sim->zookeeper->servers[index];
    if (handle->cut || sim->zookeeper->down || !server->up) {
        try_later(sim, node, sim_between(sim, 20, 200));
        return;
    }
    if (server->applied < handle->last_zxid) {
        if (handle->turned_away_ms == 0) {
            handle->turned_away_ms = sim->now_ms;
        } else if (sim->now_ms - handle->turned_away_ms >= HANDLE_REPLACE_MS) {
            replace_handle(handle);
        }
        try_later(sim, node, sim_between(sim, 20, 200));
        return;
    }
    greet(sim, node, index);
}

static void try_later(struct sim *sim, int node, uint64_t delay_ms)
{
    struct news *news = news_create(sim, node, RH_MEMBERSHIP_TICK);
    news->event.run = run_attempt;
    sim_after(sim, delay_ms, &news->event);
}

void sim_zookeeper_attach(struct sim *sim, int node)
{
    bool cut = sim->zookeeper->handles[node].cut;
    sim->zookeeper->handles[node] = (struct handle){.attached = true, .fresh = true, .cut = cut};
    try_later(sim, node, sim_between(sim, 1, 30));
}

void sim_zookeeper_detach(struct sim *sim, int node, bool close_session)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    struct session *session = session_find(sim->zookeeper, handle->session);
    bool heard = is_open(sim->zookeeper, handle) && !handle->cut && !sim->zookeeper->down;
    if (session != NULL && close_session && heard) {
        sim_trace(sim, "zookeeper: n%d closes its session", node);
        end_session(sim, session);
    } else if (session != NULL && session->connection != 0) {
        session->connection = 0;
        start_expiry(sim, session);
    }
    *handle = (struct handle){.cut = handle->cut};
}

bool sim_zookeeper_is_connected(const struct sim *sim, int node)
{
    return sim->zookeeper->handles[node].connected;
}

/* ---- what goes wrong ---- */

void sim_zookeeper_cut(struct sim *sim, int node, bool cut)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    handle->cut = cut;
    if (cut) {
        /* The client library notices after two thirds of the timeout at the latest. */
        break_connection(sim, node, sim_below(sim, SIM_SESSION_TIMEOUT_MS * 2 / 3));
    }
}

void sim_zookeeper_strand(struct sim *sim, int node, bool stranded)
{
    struct handle *handle = &sim->zookeeper->handles[node];
    if (handle->stranded == stranded || (stranded && !is_open(sim->zookeeper, handle))) {
        return; /* it ends too when the connection breaks */
    }
    handle->stranded = stranded;
    sim_zookeeper_silence(sim, node, stranded || sim->nodes[node]->paused);
    if (!stranded) {
        break_connection(sim, node, sim_delay_ms(sim));
    }
}

void sim_zookeeper_disconnect(struct sim *sim, int node)
{
    break_connection(sim, node, sim_delay_ms(sim));
}

static void break_server(struct sim *sim, int index)
{
    for (int node = 0; node < sim->nodes_count; node++) {
        if (sim->zookeeper->handles[node].server == index) {
            break_connection(sim, node, sim_delay_ms(sim));
        }
    }
}

void sim_zookeeper_stop_server(struct sim *sim, int index)
{
    struct server *server = &sim->zookeeper->servers[index];
    if (server->up) {
        server->up = false;
        server->run++;
        break_server(sim, index);
    }
}

void sim_zookeeper_start_server(struct sim *sim, int index)
{
    struct server *server = &sim->zookeeper->servers[index];
    if (!server->up && !sim->zookeeper->down) {
        uint64_t run = server->run + 1;
        *server = (struct server){.up = true, .applied = sim->zookeeper->zxid, .run = run};
    }
}

void sim_zookeeper_stop(struct sim *sim)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    zookeeper->down = true;
    for (int i = 0; i < SIM_SERVERS; i++) {
        sim_zookeeper_stop_server(sim, i);
    }
    for (size_t i = 0; i < zookeeper->sessions_count; i++) {
        zookeeper->sessions[i].timer = 0;
    }
}

void sim_zookeeper_start(struct sim *sim)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    zookeeper->down = false;
    for (int i = 0; i < SIM_SERVERS; i++) {
        sim_zookeeper_start_server(sim, i);
    }
    for (size_t i = 0; i < zookeeper->sessions_count; i++) {
        if (zookeeper->sessions[i].alive && zookeeper->sessions[i].connection == 0) {
            start_expiry(sim, &zookeeper->sessions[i]);
        }
    }
}

void sim_zookeeper_wipe(struct sim *sim)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    assert(zookeeper->down);
    for (size_t i = 0; i < zookeeper->versions_count; i++) {
        free(zookeeper->versions[i].data);
    }
    zookeeper->versions_count = 0;
    fill_buckets(zookeeper);
    for (size_t i = 0; i < zookeeper->sessions_count; i++) {
        zookeeper->sessions[i].alive = false;
    }
    if (sim->replicated) {
        sim_truth_all_lost(sim);
    }
    zookeeper->sequence = 0;
    zookeeper->era++;
    /* Mostly a low zxid, but it may also be one that nodes take for a later one. */
    zookeeper->zxid = (int64_t)sim_below(sim, sim_chance(sim, 500) ? 20 : 2000);
}

void sim_zookeeper_lag(struct sim *sim, int index, uint64_t ms)
{
    sim->zookeeper->servers[index].lag_until_ms = sim->now_ms + ms;
}

static void run_gathered(struct sim *sim, struct sim_event *event)
{
    (void)event;
    for (int i = 0; i < SIM_SERVERS; i++) {
        sim_zookeeper_lag(sim, i, GATHERED_MS);
    }
}

void sim_zookeeper_gather(struct sim *sim, uint64_t ms)
{
    sim->zookeeper->gather_until_ms = sim->now_ms + ms;
    sim_after(sim, ms, sim_event(sizeof(struct sim_event), run_gathered));
}

/* ---- the operator ---- */

bool sim_zookeeper_put(struct sim *sim, const char *path, const char *data)
{
    struct sim_zookeeper *zookeeper = sim->zookeeper;
    if (zookeeper->down || present(zookeeper, REQUESTS) == NULL) {
        return false;
    }
    begin(zookeeper);
    if (present(zookeeper, path) == NULL) {
        add(zookeeper, path, rh_bytes_text(data), 0);
    } else {
        change(zookeeper, path, rh_bytes_text(data));
    }
    commit(sim);
    return true;
}

const char *sim_zookeeper_get(const struct sim *sim, const char *path)
{
    const struct version *version = present(sim->zookeeper, path);
    return version == NULL ? NULL : version->data;
}

size_t sim_zookeeper_members(const struct sim *sim, struct rh_registration *ret_members,
                             int64_t *ret_czxids, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < sim->zookeeper->versions_count && count < max; i++) {
        const struct version *version = &sim->zookeeper->versions[i];
        if (version->to != INT64_MAX || !is_child(version->path, MEMBERS)) {
            continue;
        }
        struct rh_reason reason;
        int rv = rh_registration_decode(rh_bytes(version->data, version->size), &ret_members[count],
                                        &reason);
        assert(rv == 0);
        (void)rv;
        ret_czxids[count++] = version->czxid;
    }
    return count;
}

int64_t sim_zookeeper_pzxid(const struct sim *sim)
{
    const struct version *version = present(sim->zookeeper, MEMBERS);
    return version == NULL ? 0 : version->pzxid;
}

unsigned sim_zookeeper_raised(const struct sim *sim)
{
    return sim->zookeeper->raised;
}

unsigned sim_zookeeper_era(const struct sim *sim)
{
    return sim->zookeeper->era;
}

/* ---- life ---- */

struct sim_zookeeper *sim_zookeeper_create(struct sim *sim)
{
    struct sim_zookeeper *zookeeper = calloc(1, sizeof(*zookeeper));
    if (zookeeper == NULL || (zookeeper->handles = calloc((size_t)sim->nodes_count,
                                                          sizeof(*zookeeper->handles))) == NULL) {
        abort();
    }
    zookeeper->versions_kept = VERSIONS_KEPT;
    zookeeper->zxid = (int64_t)sim_below(sim, 1000);
    for (int i = 0; i < SIM_SERVERS; i++) {
        zookeeper->servers[i] = (struct server){.up = true, .applied = zookeeper->zxid};
    }
    return zookeeper;
}

void sim_zookeeper_destroy(struct sim_zookeeper *zookeeper)
{
    for (size_t i = 0; i < zookeeper->versions_count; i++) {
        free(zookeeper->versions[i].data);
    }
    free(zookeeper->versions);
    free(zookeeper->buckets);
    free(zookeeper->handles);
    free(zookeeper->sessions);
    free(zookeeper);
}
