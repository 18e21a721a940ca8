/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/membership_world.h"

#include "base/units.h"
#include "node/view_shown.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG  "/config"
#define MEMBERS "/members"

/* The trace. */

static void trace(struct world *world, const char *format, ...) RH_PRINTF(2, 3);

static void trace(struct world *world, const char *format, ...)
{
    if (world->mute) {
        return;
    }
    va_list args;
    va_start(args, format);
    int size = vsnprintf(world->trace + world->trace_size, WORLD_TRACE - world->trace_size - 2,
                         format, args);
    va_end(args);
    if (size < 0 || world->trace_size + (size_t)size + 2 >= WORLD_TRACE) {
        (void)fputs(world->trace, stderr);
        fail_msg("the trace is full");
    }
    world->trace_size += (size_t)size;
    world->trace[world->trace_size++] = '\n';
    world->trace[world->trace_size] = '\0';
}

void world_forget(struct world *world)
{
    world->trace_size = 0;
    world->trace[0] = '\0';
}

void world_expect_at(struct world *world, const char *lines, const char *file, int line)
{
    if (strcmp(world->trace, lines) != 0) {
        (void)fprintf(stderr, "%s:%d: expected\n%s--- but the trace is\n%s---\n", file, line, lines,
                      world->trace);
        fail();
    }
    world_forget(world);
}

bool world_traced(const struct world *world, const char *text)
{
    return strstr(world->trace, text) != NULL;
}

/* ZooKeeper. */

static struct world_znode *find(struct world_tree *tree, const char *path)
{
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        if (tree->znodes[i].path[0] != '\0' && strcmp(tree->znodes[i].path, path) == 0) {
            return &tree->znodes[i];
        }
    }
    return NULL;
}

static bool is_child(const struct world_znode *znode, const char *parent)
{
    size_t size = strlen(parent);
    return strncmp(znode->path, parent, size) == 0 && znode->path[size] == '/';
}

static void touch_parent(struct world_tree *tree, const char *path, int32_t more)
{
    char parent[128];
    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
    struct world_znode *znode = find(tree, parent);
    if (znode != NULL) {
        znode->pzxid = tree->zxid;
        znode->children += more;
        znode->cversion++;
    }
}

static void add(struct world_tree *tree, const char *path, const char *data, int64_t owner)
{
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        struct world_znode *znode = &tree->znodes[i];
        if (znode->path[0] == '\0') {
            *znode = (struct world_znode){
                .czxid = tree->zxid, .pzxid = tree->zxid, .owner = owner, .size = strlen(data)};
            (void)snprintf(znode->path, sizeof(znode->path), "%s", path);
            (void)snprintf(znode->data, sizeof(znode->data), "%s", data);
            touch_parent(tree, path, 1);
            return;
        }
    }
    fail_msg("no place for another znode");
}

static void take(struct world_tree *tree, struct world_znode *znode)
{
    assert(znode != NULL);
    char path[128];
    memcpy(path, znode->path, sizeof(path));
    znode->path[0] = '\0';
    touch_parent(tree, path, -1);
}

/* Tells who watches |path|, or its list of children. */
static void fire(struct world *world, const char *path)
{
    for (int i = 1; i < WORLD_NODES; i++) {
        struct world_node *node = &world->nodes[i];
        if (!node->connected || node->stale != NULL) {
            continue;
        }
        char request[128];
        (void)snprintf(request, sizeof(request), "/requests/n%d", i);
        struct rh_membership_event event = {.kind = RH_MEMBERSHIP_WATCH};
        if (strcmp(path, CONFIG) == 0) {
            event.watch = RH_MEMBERSHIP_WATCH_CONFIG;
        } else if (strncmp(path, MEMBERS "/", strlen(MEMBERS "/")) == 0) {
            event.watch = RH_MEMBERSHIP_WATCH_MEMBERS;
        } else if (strcmp(path, request) == 0) {
            event.watch = RH_MEMBERSHIP_WATCH_REQUEST;
        } else {
            continue;
        }
        if (node->watches[event.watch]) {
            node->watches[event.watch] = false;
            world_event(world, i, &event);
        }
    }
}

void world_write(struct world *world, const char *path, const char *data, int64_t owner)
{
    struct world_znode *znode = find(&world->tree, path);
    world->tree.zxid++;
    if (data == NULL) {
        assert_non_null(znode);
        take(&world->tree, znode);
    } else if (znode == NULL) {
        add(&world->tree, path, data, owner);
    } else {
        (void)snprintf(znode->data, sizeof(znode->data), "%s", data);
        znode->size = strlen(data);
        znode->version++;
    }
    fire(world, path);
}

const char *world_read(struct world *world, const char *path)
{
    const struct world_znode *znode = find(&world->tree, path);
    return znode == NULL ? NULL : znode->data;
}

size_t world_members_count(struct world *world)
{
    size_t count = 0;
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        count += world->tree.znodes[i].path[0] != '\0' && is_child(&world->tree.znodes[i], MEMBERS);
    }
    return count;
}

void world_lag(struct world *world, int node)
{
    free(world->nodes[node].stale);
    world->nodes[node].stale = malloc(sizeof(struct world_tree));
    assert_non_null(world->nodes[node].stale);
    *world->nodes[node].stale = world->tree;
}

/* The server has what the leader has, and tells what is watched. */
void world_catch_up(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    if (node->stale == NULL) {
        return;
    }
    free(node->stale);
    node->stale = NULL;
    for (unsigned watch = 0; watch < 3; watch++) {
        if (node->watches[watch] && node->connected) {
            node->watches[watch] = false;
            struct rh_membership_event event = {.kind = RH_MEMBERSHIP_WATCH,
                                                .watch = (enum rh_membership_watch)watch};
            world_event(world, index, &event);
        }
    }
}

/* Operations. */

static void open_parents(struct world *world)
{
    static const char *const paths[] = {MEMBERS, "/requests"};
    for (size_t i = 0; i < 2; i++) {
        if (find(&world->tree, paths[i]) == NULL) {
            world->tree.zxid++;
            add(&world->tree, paths[i], "", 0);
        }
    }
}

static int read_znode(struct world_tree *tree, const char *path,
                      struct rh_membership_result *result)
{
    const struct world_znode *znode = find(tree, path);
    if (znode == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    result->data = rh_bytes(znode->data, znode->size);
    result->version = znode->version;
    result->czxid = znode->czxid;
    result->ephemeral_owner = znode->owner;
    return 0;
}

static bool is_alive(const struct world *world, uint64_t instance, struct rh_epoch *ret_epoch)
{
    for (int i = 1; i < WORLD_NODES; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->machine != NULL && node->registration.instance == instance) {
            *ret_epoch = node->epoch;
            return true;
        }
    }
    return false;
}

static bool shares_chain(const struct rh_record *a, const struct rh_record *b)
{
    for (size_t i = 0; i < a->members_count; i++) {
        for (size_t j = 0; j < b->members_count; j++) {
            if (a->last.generation == b->last.generation &&
                strcmp(a->members[i].origin, b->members[j].origin) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Nobody is left behind who could still act: V7. */
static void check_record(struct world *world, const char *before_text, const char *after_text)
{
    struct rh_shared_config config;
    struct rh_record before;
    struct rh_record after;
    if (rh_shared_config_decode(rh_bytes_text(after_text), &config, &after, NULL) != 0) {
        return; /* no memory */
    }
    struct rh_shared_config other;
    if (rh_shared_config_decode(rh_bytes_text(before_text), &other, &before, NULL) != 0) {
        rh_record_finish(&after);
        return;
    }
    bool recorded = after.last.generation == config.generation &&
                    rh_epoch_compare(after.last, before.last) != 0;
    if (recorded) {
        assert_true(rh_epoch_compare(after.last, before.last) > 0);
    }
    for (size_t i = 0; recorded && !shares_chain(&before, &after) && i < before.members_count;
         i++) {
        const struct rh_record_member *member = &before.members[i];
        struct rh_epoch epoch;
        if (is_alive(world, member->instance, &epoch) && rh_epoch_compare(epoch, after.last) < 0 &&
            !rh_record_forgets(&before, member->instance)) {
            (void)fputs(world->trace, stderr);
            fail_msg("seed %" PRIu64 ": %s was left behind by a record", world->seed, member->id);
        }
    }
    rh_record_finish(&before);
    rh_record_finish(&after);
}

static int write_znode(struct world *world, const char *path, const struct world_op *op,
                       struct rh_membership_result *result)
{
    struct world_znode *znode = find(&world->tree, path);
    if (op->kind == RH_MEMBERSHIP_CREATE_CONFIG) {
        if (znode != NULL) {
            return RH_ERR_EXISTS;
        }
    } else if (znode == NULL) {
        return RH_ERR_NOT_FOUND;
    } else if (znode->version != op->version) {
        return RH_ERR_CONFLICT;
    }
    result->version = znode == NULL ? 0 : znode->version + 1;
    if (op->kind == RH_MEMBERSHIP_SET_CONFIG) {
        check_record(world, znode->data, op->data);
    }
    world_write(world, path, op->data, 0);
    return 0;
}

static void member_path(const char *name, char path[static 128])
{
    (void)snprintf(path, 128, MEMBERS "/%.100s", name);
}

static int register_node(struct world *world, int index, const struct world_op *op,
                         char name[static RH_MEMBERSHIP_NAME_SIZE])
{
    char path[128];
    for (size_t i = 0; i < op->names_count; i++) {
        member_path(op->names[i], path);
        if (find(&world->tree, path) == NULL) {
            return RH_ERR_NOT_FOUND;
        }
    }
    if (find(&world->tree, MEMBERS) == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    world->tree.zxid++;
    for (size_t i = 0; i < op->names_count; i++) {
        member_path(op->names[i], path);
        take(&world->tree, find(&world->tree, path));
    }
    (void)snprintf(name, RH_MEMBERSHIP_NAME_SIZE, "n%d.%010u", index, world->tree.sequence++);
    member_path(name, path);
    add(&world->tree, path, op->data, world->nodes[index].session);
    fire(world, path);
    return 0;
}

static int evict(struct world *world, const struct world_op *op)
{
    char own[128];
    char victim[128];
    member_path(op->name, own);
    member_path(op->names[0], victim);
    if (find(&world->tree, own) == NULL || find(&world->tree, victim) == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    world_write(world, victim, NULL, 0);
    return 0;
}

static int unregister(struct world *world, const struct world_op *op)
{
    char path[128];
    member_path(op->name, path);
    if (find(&world->tree, path) == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    if (op->data[0] != '\0') {
        struct world_znode *config = find(&world->tree, CONFIG);
        if (config == NULL || config->version != op->version) {
            return config == NULL ? RH_ERR_NOT_FOUND : RH_ERR_CONFLICT;
        }
        world_write(world, CONFIG, op->data, 0);
        world->tree.zxid--; /* one transaction */
    }
    world_write(world, path, NULL, 0);
    return 0;
}

/* The leader asks a quorum, unlike for a sync. */
static int check(struct world *world, const struct world_op *op)
{
    char path[128];
    member_path(op->name, path);
    const struct world_znode *znode = find(&world->tree, path);
    if (znode == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    return znode->version == 0 ? 0 : RH_ERR_CONFLICT;
}

static int list(struct world_tree *tree, const char **names, struct rh_membership_result *result)
{
    const struct world_znode *parent = find(tree, MEMBERS);
    if (parent == NULL) {
        return RH_ERR_NOT_FOUND;
    }
    for (size_t i = WORLD_ZNODES; i > 0; i--) { /* in no order that anyone could rely on */
        const struct world_znode *znode = &tree->znodes[i - 1];
        if (znode->path[0] != '\0' && is_child(znode, MEMBERS)) {
            names[result->names_count++] = znode->path + strlen(MEMBERS "/");
        }
    }
    result->names = names;
    result->pzxid = parent->pzxid;
    result->cversion = parent->cversion;
    result->children_count = parent->children;
    return 0;
}

static bool is_write(enum rh_membership_action_kind kind)
{
    return kind == RH_MEMBERSHIP_OPEN || kind == RH_MEMBERSHIP_CREATE_CONFIG ||
           kind == RH_MEMBERSHIP_SET_CONFIG || kind == RH_MEMBERSHIP_SET_REQUEST ||
           kind == RH_MEMBERSHIP_REGISTER || kind == RH_MEMBERSHIP_EVICT ||
           kind == RH_MEMBERSHIP_UNREGISTER || kind == RH_MEMBERSHIP_CHECK;
}

static int execute(struct world *world, int index, const struct world_op *op, const char **names,
                   char *name, struct rh_membership_result *result)
{
    struct world_node *node = &world->nodes[index];
    char path[128];
    (void)snprintf(path, sizeof(path), "/requests/n%d", index);
    if (is_write(op->kind)) {
        world_catch_up(world, index); /* a write is answered when the server has all before it */
        if (world->fail_writes != 0 && op->kind != RH_MEMBERSHIP_OPEN &&
            op->kind != RH_MEMBERSHIP_UNREGISTER) {
            return world->fail_writes;
        }
    }
    struct world_tree *tree = node->stale != NULL ? node->stale : &world->tree;
    switch (op->kind) {
    case RH_MEMBERSHIP_OPEN:
        open_parents(world);
        return 0;
    case RH_MEMBERSHIP_SYNC:
        world_catch_up(world, index);
        return 0;
    case RH_MEMBERSHIP_READ_CONFIG:
        node->watches[RH_MEMBERSHIP_WATCH_CONFIG] = true;
        return read_znode(tree, CONFIG, result);
    case RH_MEMBERSHIP_CREATE_CONFIG:
    case RH_MEMBERSHIP_SET_CONFIG:
        return write_znode(world, CONFIG, op, result);
    case RH_MEMBERSHIP_READ_REQUEST:
        node->watches[RH_MEMBERSHIP_WATCH_REQUEST] = true;
        return read_znode(tree, path, result);
    case RH_MEMBERSHIP_SET_REQUEST:
        return write_znode(world, path, op, result);
    case RH_MEMBERSHIP_LIST:
        node->watches[RH_MEMBERSHIP_WATCH_MEMBERS] = true;
        return list(tree, names, result);
    case RH_MEMBERSHIP_READ_MEMBER:
        member_path(op->name, path);
        result->name = op->name;
        return read_znode(tree, path, result);
    case RH_MEMBERSHIP_REGISTER:
        result->name = name;
        return register_node(world, index, op, name);
    case RH_MEMBERSHIP_EVICT:
        return evict(world, op);
    case RH_MEMBERSHIP_UNREGISTER:
        return unregister(world, op);
    case RH_MEMBERSHIP_CHECK:
        return check(world, op);
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
    fail_msg("no operation");
    return 0;
}

void world_run_one(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    assert_true(node->ops_count > 0);
    const struct world_op op = node->ops[0];
    node->ops_count--;
    memmove(&node->ops[0], &node->ops[1], node->ops_count * sizeof(node->ops[0]));
    if (node->leader_is_deposed && is_write(op.kind)) {
        return; /* it waits for a quorum that it does not have */
    }
    const char *names[WORLD_ZNODES];
    char name[RH_MEMBERSHIP_NAME_SIZE] = "";
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_RESULT,
                                        .result = {.number = op.number}};
    event.result.rv = execute(world, index, &op, names, name, &event.result);
    if (node->machine != NULL && node->connected) {
        world_event(world, index, &event);
    }
}

void world_run(struct world *world)
{
    for (int turns = 0; turns < 10000; turns++) {
        bool quiet = true;
        for (int i = 1; i < WORLD_NODES; i++) {
            if (world->nodes[i].ops_count > 0 && !world->nodes[i].deaf) {
                world_run_one(world, i);
                quiet = false;
            }
        }
        if (quiet) {
            return;
        }
    }
    (void)fputs(world->trace, stderr);
    fail_msg("seed %" PRIu64 ": the nodes do not come to rest", world->seed);
}

/* Actions. */

static void push_op(struct world_node *node, const struct rh_membership_action *action)
{
    assert_true(node->ops_count < WORLD_OPS);
    struct world_op *op = &node->ops[node->ops_count++];
    *op = (struct world_op){.kind = action->kind,
                            .number = action->number,
                            .version = action->version,
                            .names_count = action->names_count};
    if (action->name != NULL) {
        (void)snprintf(op->name, sizeof(op->name), "%s", action->name);
    }
    for (size_t i = 0; i < action->names_count; i++) {
        (void)snprintf(op->names[i], sizeof(op->names[i]), "%s", action->names[i]);
    }
    (void)snprintf(op->data, sizeof(op->data), "%.*s", RH_BYTES_ARG(action->data));
}

static void trace_register(struct world *world, int index,
                           const struct rh_membership_action *action)
{
    if (world->mute) {
        return;
    }
    struct rh_registration registration;
    assert_int_equal(rh_registration_decode(action->data, &registration, NULL), 0);
    char weight[RH_WEIGHT_TEXT_SIZE];
    rh_weight_format(registration.weight_milli, weight);
    char replaced[256] = "";
    for (size_t i = 0; i < action->names_count; i++) {
        size_t used = strlen(replaced);
        (void)snprintf(replaced + used, sizeof(replaced) - used, "%s%s",
                       i == 0 ? " replaces=" : ",", action->names[i]);
    }
    trace(world, "n%d: register weight=%s%s", index, weight, replaced);
}

static void format_members(const struct rh_view *view, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < view->members_count; i++) {
        char weight[RH_WEIGHT_TEXT_SIZE];
        rh_weight_format(view->members[i].weight_milli, weight);
        bool one = view->members[i].weight_milli == RH_WEIGHT_ONE;
        used += (size_t)snprintf(text + used, size - used, " %s%s%s", view->members[i].id,
                                 one ? "" : ":", one ? "" : weight);
        assert_true(used < size);
    }
}

/* The same epoch is the same members for everyone; instances count too. */
static void check_laws(struct world *world, struct world_node *node,
                       const struct rh_membership_action *action)
{
    const struct rh_view *view = action->view;
    assert_true(rh_epoch_compare(view->epoch, node->epoch) > 0);
    node->epoch = view->epoch;
    bool present = rh_view_has(view, node->registration.id, node->registration.instance);
    assert_int_equal(present, action->registration_epoch.generation != 0);
    int order = rh_epoch_compare(action->registration_epoch, node->registration_epoch);
    if (present) {
        assert_true(order >= 0 && rh_epoch_compare(action->registration_epoch, view->epoch) <= 0);
        assert_true(order == 0 || node->lost || node->registration_epoch.generation == 0);
        node->registration_epoch = action->registration_epoch;
        node->lost = false;
    } else {
        assert_true(node->lost);
    }
    char members[512];
    format_members(view, members, sizeof(members));
    size_t used = strlen(members);
    for (size_t i = 0; i < view->members_count; i++) {
        used += (size_t)snprintf(members + used, sizeof(members) - used, " %" PRIx64,
                                 view->members[i].instance);
        assert_true(used < sizeof(members));
    }
    for (size_t i = 0; i < world->seen_count; i++) {
        if (rh_epoch_compare(world->seen[i].epoch, view->epoch) == 0) {
            assert_string_equal(world->seen[i].members, members);
            return;
        }
    }
    assert_true(world->seen_count < sizeof(world->seen) / sizeof(world->seen[0]));
    world->seen[world->seen_count].epoch = view->epoch;
    memcpy(world->seen[world->seen_count++].members, members, sizeof(members));
}

static int index_of(const char *id)
{
    return id[1] - '0';
}

/* Links follow the view. */
static void connect_links(struct world *world, int index, const struct rh_view *view)
{
    struct world_node *node = &world->nodes[index];
    uint64_t wanted[WORLD_NODES] = {0};
    for (size_t i = 0; i < view->members_count; i++) {
        int peer = index_of(view->members[i].id);
        if (peer > 0 && peer < WORLD_NODES) {
            wanted[peer] = view->members[i].instance;
        }
    }
    for (int peer = 1; peer < WORLD_NODES; peer++) {
        if (wanted[peer] != node->linked[peer]) {
            node->linked[peer] = 0; /* closed without a word */
        }
        const struct world_node *other = &world->nodes[peer];
        if (peer != index && node->linked[peer] == 0 && wanted[peer] != 0 &&
            other->machine != NULL && other->registration.instance == wanted[peer]) {
            world_link(world, index, peer, true);
        }
    }
}

static void trace_config(struct world *world, int index, const struct rh_membership_action *action)
{
    if (world->mute) {
        return; /* memory may be short */
    }
    struct rh_shared_config config;
    assert_int_equal(rh_shared_config_decode(action->data, &config, NULL, NULL), 0);
    trace(world, "n%d: %s config generation=%" PRIu64, index,
          action->kind == RH_MEMBERSHIP_CREATE_CONFIG ? "create" : "set", config.generation);
}

static void trace_request(struct world *world, int index, const struct rh_membership_action *action)
{
    struct rh_request request;
    if (rh_request_decode(action->data, &request, NULL) != 0) {
        trace(world, "n%d: set request %.*s", index, RH_BYTES_ARG(action->data));
        return;
    }
    trace(world, "n%d: set request %s %s %" PRIu64 " %" PRIu64 "%s%s", index,
          rh_request_kind_name(request.kind), rh_request_state_name(request.state),
          request.channels_left, request.connections_left,
          request.reason[0] == '\0' ? "" : " reason=", request.reason);
}

static void trace_view(struct world *world, int index, const struct rh_membership_action *action)
{
    const struct rh_view *view = action->view;
    char members[512];
    char more[128] = "";
    format_members(view, members, sizeof(members));
    if (world->trace_more) {
        (void)snprintf(more, sizeof(more), " since=%" PRId64 " deletions=%" PRIu64 "%s",
                       action->registration_epoch.pzxid, view->deletions,
                       action->ignorant_until_ms > world->now_ms ? " ignorant" : "");
    }
    trace(world, "n%d: adopt %" PRIu64 "/%" PRId64 "%s%s", index, view->epoch.generation,
          view->epoch.pzxid, members, more);
}

static void trace_note(struct world *world, int index, const char *text)
{
    /* What the actions have told already. */
    if (strncmp(text, "view_adopted", 12) != 0 && strncmp(text, "registered ", 11) != 0) {
        trace(world, "n%d: %s", index, text);
    }
}

static void trace_read(struct world *world, int index, const struct rh_membership_action *action)
{
    static const char *const names[] = {
        [RH_MEMBERSHIP_OPEN] = "open",
        [RH_MEMBERSHIP_SYNC] = "sync",
        [RH_MEMBERSHIP_READ_CONFIG] = "read config",
        [RH_MEMBERSHIP_READ_REQUEST] = "read request",
        [RH_MEMBERSHIP_LIST] = "list",
        [RH_MEMBERSHIP_READ_MEMBER] = "read",
    };
    if (world->trace_reads) {
        trace(world, "n%d: %s%s%s", index, names[action->kind], action->name ? " " : "",
              action->name ? action->name : "");
    }
}

static void trace_awaited(struct world *world, int index)
{
    size_t count = 0;
    const struct rh_membership_awaited *awaited =
        rh_membership_awaited(world->nodes[index].machine, &count);
    char text[256] = "nobody";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s at %s",
                                 used == 0 ? "" : ", ", awaited[i].node.id, awaited[i].address);
        assert_true(used < sizeof(text));
    }
    trace(world, "n%d: awaits %s", index, text);
}

/* What replication needs. Proofs are not told; tests look at them. */
static void trace_more(struct world *world, int index, const struct rh_membership_action *action)
{
    switch ((unsigned)action->kind) {
    case RH_MEMBERSHIP_LOST:
        trace(world, "n%d: lost", index);
        return;
    case RH_MEMBERSHIP_RECORDED:
        trace(world, "n%d: recorded %" PRIu64 "/%" PRId64, index, action->epoch.generation,
              action->epoch.pzxid);
        return;
    case RH_MEMBERSHIP_PROMISED:
        trace(world, "n%d: promised %s", index, action->promise.to.id);
        return;
    case RH_MEMBERSHIP_ASK_PEERS:
        trace(world, "n%d: asks its peers", index);
        return;
    case RH_MEMBERSHIP_AWAITED:
        trace_awaited(world, index);
        return;
    default:
        return;
    }
}

static void trace_action(struct world *world, int index, const struct rh_membership_action *action)
{
    switch (action->kind) {
    case RH_MEMBERSHIP_REGISTER:
        trace_register(world, index, action);
        return;
    case RH_MEMBERSHIP_EVICT:
        trace(world, "n%d: evict %s as %s", index, action->names[0], action->name);
        return;
    case RH_MEMBERSHIP_UNREGISTER:
        trace(world, "n%d: unregister %s", index, action->name);
        return;
    case RH_MEMBERSHIP_CREATE_CONFIG:
    case RH_MEMBERSHIP_SET_CONFIG:
        trace_config(world, index, action);
        return;
    case RH_MEMBERSHIP_SET_REQUEST:
        trace_request(world, index, action);
        return;
    case RH_MEMBERSHIP_ADOPT:
        trace_view(world, index, action);
        return;
    case RH_MEMBERSHIP_PROBE:
        trace(world, "n%d: probe %s at %s", index, action->probe.node.id, action->probe.address);
        return;
    case RH_MEMBERSHIP_REQUEST:
        trace(world, "n%d: request %s", index,
              action->request == NULL ? "none" : rh_request_kind_name(action->request->kind));
        return;
    case RH_MEMBERSHIP_FATAL:
        trace(world, "n%d: fatal %s", index, action->text);
        return;
    case RH_MEMBERSHIP_LEFT:
        trace(world, "n%d: left", index);
        return;
    case RH_MEMBERSHIP_NOTE:
        trace_note(world, index, action->text);
        return;
    case RH_MEMBERSHIP_OPEN:
    case RH_MEMBERSHIP_SYNC:
    case RH_MEMBERSHIP_READ_CONFIG:
    case RH_MEMBERSHIP_READ_REQUEST:
    case RH_MEMBERSHIP_LIST:
    case RH_MEMBERSHIP_READ_MEMBER:
        trace_read(world, index, action);
        return;
    case RH_MEMBERSHIP_CHECK:
    case RH_MEMBERSHIP_LOST:
    case RH_MEMBERSHIP_PROOF:
    case RH_MEMBERSHIP_RECORDED:
    case RH_MEMBERSHIP_HEARD:
    case RH_MEMBERSHIP_PROMISED:
    case RH_MEMBERSHIP_ASK_PEERS:
    case RH_MEMBERSHIP_AWAITED:
        if (world->trace_more) {
            trace_more(world, index, action);
        }
        return;
    }
}

static void note_awaited(struct world_node *node)
{
    size_t count = 0;
    const struct rh_membership_awaited *awaited = rh_membership_awaited(node->machine, &count);
    assert_true(count <= WORLD_NODES);
    for (size_t i = 0; i < count; i++) {
        node->awaited[i] = awaited[i];
    }
    node->awaited_count = count;
}

/* Which of the others answer, and to which epoch they say that they have come. */
static void answer_newcomer(struct world *world, int index)
{
    for (int i = 1; i < WORLD_NODES && !world->no_answers_to_newcomers; i++) {
        const struct world_node *peer = &world->nodes[i];
        if (i == index || peer->machine == NULL) {
            continue;
        }
        struct rh_membership_event event = {
            .kind = RH_MEMBERSHIP_PEER_EPOCH,
            .peer_epoch = {.epoch = peer->epoch,
                           .from = {.instance = peer->registration.instance}}};
        (void)snprintf(event.peer_epoch.from.id, RH_NODE_ID_SIZE, "n%d", i);
        world_event(world, index, &event);
    }
    world_event_kind(world, index, RH_MEMBERSHIP_PEERS_ASKED);
}

/* Whether all who are in the view of |node| have adopted it. */
static bool is_complete(const struct world *world, const struct world_node *node)
{
    const struct rh_view *view = rh_membership_view(node->machine);
    for (size_t i = 0; view != NULL && i < view->members_count; i++) {
        struct rh_epoch epoch;
        if (!is_alive(world, view->members[i].instance, &epoch) ||
            rh_epoch_compare(epoch, view->epoch) != 0) {
            return false;
        }
    }
    return view != NULL;
}

/* What the cores would say. */
static void tell_complete(struct world *world)
{
    for (int i = 1; i < WORLD_NODES; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->machine != NULL && !node->lost && world->replicate && is_complete(world, node)) {
            const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_COMPLETE,
                                                      .epoch = node->epoch};
            world_event(world, i, &event);
        }
    }
}

static void perform(struct world *world, int index, const struct rh_membership_action *action)
{
    struct world_node *node = &world->nodes[index];
    trace_action(world, index, action);
    switch ((unsigned)action->kind) {
    case RH_MEMBERSHIP_ADOPT:
        check_laws(world, node, action);
        return;
    case RH_MEMBERSHIP_LOST:
        node->lost = true;
        node->proof_ms = 0;
        return;
    case RH_MEMBERSHIP_PROOF:
        assert_true(action->at_ms <= world->now_ms);
        node->proof_ms = action->at_ms;
        return;
    case RH_MEMBERSHIP_RECORDED:
        assert_true(rh_epoch_compare(action->epoch, node->epoch) == 0);
        assert_true(rh_epoch_compare(action->epoch, node->recorded) > 0);
        node->recorded = action->epoch;
        return;
    case RH_MEMBERSHIP_AWAITED:
        note_awaited(node);
        return;
    case RH_MEMBERSHIP_PROBE:
        node->probed = action->probe.node;
        return;
    default:
        if (action->number != 0) {
            push_op(node, action);
        }
    }
}

static bool has_action(const struct rh_membership_actions *actions,
                       enum rh_membership_action_kind kind)
{
    for (size_t i = 0; i < actions->count; i++) {
        if (actions->items[i].kind == kind) {
            return true;
        }
    }
    return false;
}

void world_event(struct world *world, int index, const struct rh_membership_event *event)
{
    struct world_node *node = &world->nodes[index];
    if (node->machine == NULL) {
        return;
    }
    struct rh_membership_event now = *event;
    now.now_ms = world->now_ms;
    struct rh_membership_actions actions;
    rh_membership_step(node->machine, &now, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        perform(world, index, &actions.items[i]);
    }
    if (has_action(&actions, RH_MEMBERSHIP_ADOPT)) {
        struct rh_view *adopted = rh_view_take(rh_membership_view(node->machine));
        connect_links(world, index, adopted);
        rh_view_give(adopted);
        tell_complete(world);
    }
    if (has_action(&actions, RH_MEMBERSHIP_ASK_PEERS)) {
        answer_newcomer(world, index);
    }
}

/* Events. */

void world_link(struct world *world, int index, int peer, bool up)
{
    struct world_node *node = &world->nodes[index];
    struct rh_membership_event event = {
        .kind = up ? RH_MEMBERSHIP_PEER_UP : RH_MEMBERSHIP_PEER_DOWN,
        .peer = {.instance = world->nodes[peer].registration.instance}};
    if (!up && node->linked[peer] != 0) {
        event.peer.instance = node->linked[peer];
    }
    (void)snprintf(event.peer.id, sizeof(event.peer.id), "n%d", peer);
    node->linked[peer] = up ? event.peer.instance : 0;
    world_event(world, index, &event);
}

void world_dead(struct world *world, int index, int peer)
{
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PEER_DEAD,
        .peer = {.instance = world->nodes[peer].registration.instance}};
    (void)snprintf(event.peer.id, sizeof(event.peer.id), "n%d", peer);
    world->nodes[index].linked[peer] = 0;
    world_event(world, index, &event);
}

void world_peer_epoch(struct world *world, int index, uint64_t generation, int64_t pzxid)
{
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PEER_EPOCH,
        .peer_epoch = {.epoch = {.generation = generation, .pzxid = pzxid}}};
    world_event(world, index, &event);
}

void world_probed(struct world *world, int index, enum rh_membership_probe result)
{
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PROBE_RESULT,
        .probe = {.node = world->nodes[index].probed, .result = result}};
    world_event(world, index, &event);
}

void world_event_kind(struct world *world, int index, enum rh_membership_event_kind kind)
{
    const struct rh_membership_event event = {.kind = kind};
    world_event(world, index, &event);
}

void world_promise(struct world *world, int index, int peer, uint64_t ms)
{
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PROMISE,
        .promise = {.to = {.instance = world->nodes[peer].registration.instance},
                    .until_ms = world->now_ms + ms}};
    (void)snprintf(event.promise.to.id, RH_NODE_ID_SIZE, "n%d", peer);
    world_event(world, index, &event);
}

void world_show(struct world *world, int index, int peer)
{
    struct rh_view_shown *shown = NULL;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_VIEW};
    if (rh_view_show(rh_membership_view(world->nodes[peer].machine), &shown) != 0 ||
        rh_view_read(rh_view_shown_message(shown), &event.view, NULL) != 0) {
        rh_view_shown_destroy(shown);
        return; /* out of memory */
    }
    rh_view_shown_destroy(shown);
    world_event(world, index, &event);
    rh_view_give(event.view);
}

/* Another process than the one that is awaited may answer at its address. */
static void meet(struct world *world, int index, const struct rh_node_ref *awaited, int peer)
{
    const struct world_node *node = &world->nodes[peer];
    if (node->machine == NULL || node->dark) {
        return;
    }
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_REPLACED, .peer = *awaited};
    if (node->registration.instance == awaited->instance) {
        world_peer_epoch(world, peer, world->nodes[index].epoch.generation,
                         world->nodes[index].epoch.pzxid);
        world_show(world, peer, index);
        event =
            (struct rh_membership_event){.kind = RH_MEMBERSHIP_PEER_EPOCH,
                                         .peer_epoch = {.epoch = node->epoch, .from = *awaited}};
    }
    world_event(world, index, &event);
}

void world_meet(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    for (size_t i = 0; i < node->awaited_count; i++) {
        struct rh_node_ref awaited = node->awaited[i].node;
        const char *address = node->awaited[i].address;
        meet(world, index, &awaited, address[strlen(address) - 1] - '0');
    }
}

void world_progress(struct world *world, int index, uint64_t channels, uint64_t connections)
{
    struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PROGRESS,
        .progress = {.channels_left = channels, .connections_left = connections}};
    world_event(world, index, &event);
}

void world_connect(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    bool fresh = node->session == 0;
    if (fresh) {
        node->session = ++world->last_session;
        memset(node->watches, 0, sizeof(node->watches));
    }
    node->connected = true;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_CONNECTED,
                                        .connected = {.session = node->session, .fresh = fresh}};
    world_event(world, index, &event);
}

void world_disconnect(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    node->connected = false;
    node->ops_count = 0;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_DISCONNECTED};
    world_event(world, index, &event);
}

/* ZooKeeper deletes what the session owns: one transaction. */
static void end_session(struct world *world, int64_t session)
{
    world->tree.zxid++;
    char paths[WORLD_ZNODES][128];
    size_t count = 0;
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        struct world_znode *znode = &world->tree.znodes[i];
        if (znode->path[0] != '\0' && znode->owner == session) {
            memcpy(paths[count++], znode->path, sizeof(znode->path));
            take(&world->tree, znode);
        }
    }
    for (size_t i = 0; i < count; i++) {
        fire(world, paths[i]);
    }
}

void world_expire(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    int64_t session = node->session;
    node->session = 0;
    node->connected = false;
    node->ops_count = 0;
    end_session(world, session);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_EXPIRED};
    world_event(world, index, &event);
}

void world_expire_orphans(struct world *world)
{
    for (size_t i = 0; i < WORLD_ZNODES; i++) {
        const struct world_znode *znode = &world->tree.znodes[i];
        if (znode->path[0] == '\0' || znode->owner == 0) {
            continue;
        }
        bool alive = false;
        for (int n = 1; n < WORLD_NODES; n++) {
            alive |= world->nodes[n].machine != NULL && world->nodes[n].session == znode->owner;
        }
        if (!alive) {
            end_session(world, znode->owner);
        }
    }
}

void world_wipe(struct world *world)
{
    memset(&world->tree, 0, sizeof(world->tree));
    for (int i = 1; i < WORLD_NODES; i++) {
        struct world_node *node = &world->nodes[i];
        if (node->connected) {
            world_disconnect(world, i);
        }
        node->session = 0;
        struct rh_membership_event event = {.kind = RH_MEMBERSHIP_EXPIRED};
        world_event(world, i, &event);
    }
}

/* Life. */

void world_start_weight(struct world *world, int index, uint32_t weight_milli)
{
    struct world_node *node = &world->nodes[index];
    assert_null(node->machine);
    node->registration = (struct rh_registration){
        .instance = ++world->last_instance, .weight_milli = weight_milli, .url = "ws://h:1"};
    (void)snprintf(node->registration.id, sizeof(node->registration.id), "n%d", index);
    (void)snprintf(node->registration.peer, sizeof(node->registration.peer), "h:720%d", index);
    const struct rh_membership_options options = {
        .config = world->config,
        .config_name = "cluster.yaml",
        .registration = node->registration,
        .grace_ms = WORLD_GRACE_MS,
        .replication = world->replicate,
    };
    node->registration_epoch = (struct rh_epoch){0};
    node->recorded = (struct rh_epoch){0};
    node->lost = false;
    node->proof_ms = 0;
    node->awaited_count = 0;
    node->epoch = (struct rh_epoch){0};
    node->session = 0;
    assert_int_equal(rh_membership_create(&options, &node->machine), 0);
}

void world_start(struct world *world, int index)
{
    world_start_weight(world, index, RH_WEIGHT_ONE);
}

static void end_process(struct world *world, int index)
{
    struct world_node *node = &world->nodes[index];
    rh_membership_destroy(node->machine);
    node->machine = NULL;
    node->connected = false;
    node->ops_count = 0;
    free(node->stale);
    node->stale = NULL;
    memset(node->linked, 0, sizeof(node->linked));
}

void world_vanish(struct world *world, int index)
{
    end_process(world, index);
}

void world_kill(struct world *world, int index)
{
    uint64_t instance = world->nodes[index].registration.instance;
    end_process(world, index);
    for (int i = 1; i < WORLD_NODES; i++) {
        if (world->nodes[i].linked[index] == instance) {
            world_link(world, i, index, false);
            world_dead(world, i, index);
        }
    }
}

void world_settle(struct world *world, int count)
{
    for (int i = 1; i <= count; i++) {
        world_start(world, i);
        world_connect(world, i);
        world_run(world);
    }
    world_forget(world);
}

void world_pass(struct world *world, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;
    for (;;) {
        world_run(world);
        uint64_t next_ms = UINT64_MAX;
        int next = 0;
        for (int i = 1; i < WORLD_NODES; i++) {
            if (world->nodes[i].machine != NULL) {
                uint64_t deadline_ms = rh_membership_deadline_ms(world->nodes[i].machine);
                if (deadline_ms < next_ms) {
                    next_ms = deadline_ms;
                    next = i;
                }
            }
        }
        if (next_ms > end_ms) {
            break;
        }
        if (next_ms > world->now_ms) {
            world->now_ms = next_ms;
        }
        struct rh_membership_event event = {.kind = RH_MEMBERSHIP_TICK};
        world_event(world, next, &event);
        uint64_t after_ms = rh_membership_deadline_ms(world->nodes[next].machine);
        if (after_ms <= world->now_ms && world->nodes[next].ops_count == 0) {
            (void)fputs(world->trace, stderr);
            fail_msg("seed %" PRIu64 ": n%d wants a tick for nothing, again and again", world->seed,
                     next);
        }
    }
    world->now_ms = end_ms;
}

struct world *world_create(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->now_ms = 1000;
    world->tree.zxid = 100; /* as after some history */
    world->config =
        (struct rh_shared_config){.format = RH_CONFIG_FORMAT, .vnodes = 8, .replicas = 2};
    return world;
}

void world_destroy(struct world *world)
{
    for (int i = 1; i < WORLD_NODES; i++) {
        end_process(world, i);
    }
    free(world);
}

/* ---- random tests ---- */

unsigned world_random(struct world *world, unsigned limit)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (unsigned)(world->random % limit);
}

static void lose_data(struct world *world)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        free(world->nodes[i].stale);
        world->nodes[i].stale = NULL;
    }
    world_wipe(world);
    world->seen_count = 0; /* newcomers may meet old epochs in new data */
}

void world_trouble(struct world *world, uint64_t seed, int steps, int wipe_at,
                   void (*disturb)(struct world *world))
{
    world->seed = seed;
    world->random = seed * 0x9e3779b97f4a7c15;
    for (int i = 0; i < steps; i++) {
        disturb(world);
        if (i == wipe_at) {
            lose_data(world);
        }
        if (world->seen_count > 400 || world->trace_size > WORLD_TRACE / 2) {
            world->seen_count = 0;
            world_forget(world);
        }
    }
}
