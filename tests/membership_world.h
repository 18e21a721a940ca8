/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_MEMBERSHIP_WORLD_H
#define RH_TESTS_MEMBERSHIP_WORLD_H

/*
 * A small world for tests of node/membership.h: one clock, one ZooKeeper in memory, a few nodes.
 * Whatever happens that is worth reading becomes a line of the trace, which is the oracle:
 *
 *     n1: register weight=1                  a transaction that is sent
 *     n1: adopt 1/5 n1 n2:0.5                a view, with weights other than 1
 *     n1: view_held epoch=6 missing=n2 ...   a line for the log
 *
 * Reads are not traced, unless `trace_reads` is set, nor is what replication needs, unless
 * `trace_more` is. Laws are checked at each adoption: the epochs of one process ascend, all who
 * adopt an epoch adopt the same members, and a process is in its view exactly if it has a
 * registration epoch, which changes only when it was lost.
 *
 * With `replicate` set before a process starts, it proves, asks and waits as one that replicates. The
 * world plays its core: a view that all its members have adopted is complete. It plays the links to
 * those who are awaited. And it checks the law for which the guard is there: when a view is recorded,
 * nobody of the record before can be left who has neither adopted it nor stands in it.
 *
 * Links between nodes come up by themselves when a view is adopted, and break as the test says.
 */

#include "node/membership.h"
#include "tests/test.h"

#define WORLD_NODES    6
#define WORLD_ZNODES   64
#define WORLD_TRACE    16384
#define WORLD_OPS      64
#define WORLD_GRACE_MS 2000

/* The generation after the first, by who raises it: each has a number of its own. */
#define WORLD_RAISED_BY_N1 "23747"
#define WORLD_RAISED_BY_N2 "22224"
#define WORLD_RAISED_BY_N3 "36847"

struct world_znode {
    char path[128]; /* "" is a free place */
    char data[4096];
    size_t size;
    int64_t czxid;
    int64_t pzxid;
    int32_t children;
    int32_t cversion;
    int64_t owner;
    int32_t version;
};

struct world_tree {
    struct world_znode znodes[WORLD_ZNODES];
    int64_t zxid;
    unsigned sequence;
};

/* An operation on its way, deep enough a copy of the action. */
struct world_op {
    enum rh_membership_action_kind kind;
    uint64_t number;
    int32_t version;
    char name[RH_MEMBERSHIP_NAME_SIZE];
    char names[RH_MEMBERSHIP_DELETES_MAX][RH_MEMBERSHIP_NAME_SIZE];
    size_t names_count;
    char data[4096];
};

struct world_node {
    struct rh_membership *machine; /* NULL: no process */
    struct rh_registration registration;
    int64_t session;
    bool connected;
    bool watches[3];
    struct world_op ops[WORLD_OPS];
    size_t ops_count;
    uint64_t linked[WORLD_NODES]; /* instance of the process that our link goes to, 0: none */
    struct world_tree *stale;     /* the server lags: what it shows until it is asked to sync */
    struct rh_epoch epoch;
    struct rh_node_ref probed;
    bool deaf;              /* operations are taken and never answered */
    bool dark;              /* those who await it do not reach it */
    bool leader_is_deposed; /* its server answers reads and syncs, and no transaction */
    struct rh_epoch registration_epoch;
    bool lost;
    uint64_t proof_ms; /* of the last PROOF; 0: none */
    struct rh_epoch recorded;
    struct rh_membership_awaited awaited[WORLD_NODES];
    size_t awaited_count;
};

struct world {
    uint64_t now_ms;
    struct world_tree tree;
    struct world_node nodes[WORLD_NODES];
    struct rh_shared_config config;
    int64_t last_session;
    uint64_t last_instance;
    bool trace_reads;
    bool trace_more;
    bool replicate;
    bool no_answers_to_newcomers; /* nobody is there when they ask */
    bool mute;                    /* no trace at all */
    uint64_t seed;                /* of a random test, for messages */
    uint64_t random;
    int fail_writes; /* what each write is answered with instead of being done */
    char trace[WORLD_TRACE];
    size_t trace_size;
    struct {
        struct rh_epoch epoch;
        char members[512];
    } seen[512]; /* what was adopted, by epoch */
    size_t seen_count;
};

struct world *world_create(void);
void world_destroy(struct world *world);

/* Node i is n<i>. Starts a process (another instance each time), not connected yet. */
void world_start(struct world *world, int node);
void world_start_weight(struct world *world, int node, uint32_t weight_milli);

/* The process is gone: links break and report it dead. Its session stands until it expires. */
void world_kill(struct world *world, int node);

/* The machine is gone without any link noticing. */
void world_vanish(struct world *world, int node);

/* A new session, or the one it had. */
void world_connect(struct world *world, int node);
void world_disconnect(struct world *world, int node);

/* ZooKeeper gives the session of |node| up; the node hears of it if it is connected, or when it
 * connects. */
void world_expire(struct world *world, int node);

/* ZooKeeper gives up the sessions of processes that are gone. */
void world_expire_orphans(struct world *world);

/* All data is lost; all sessions are. Nobody is connected. */
void world_wipe(struct world *world);

/* Starts and connects nodes 1 to |count|, and runs until all is quiet; forgets the trace. */
void world_settle(struct world *world, int count);

/* Answers operations until there are none; time stands still. */
void world_run(struct world *world);

/* Answers the first operation of |node| only. */
void world_run_one(struct world *world, int node);

/* Time passes, with ticks where machines want them, and operations are answered. */
void world_pass(struct world *world, uint64_t ms);

/* What others tell |node|. */
void world_event(struct world *world, int node, const struct rh_membership_event *event);
void world_link(struct world *world, int node, int peer, bool up);
void world_dead(struct world *world, int node, int peer);
void world_peer_epoch(struct world *world, int node, uint64_t generation, int64_t pzxid);
void world_probed(struct world *world, int node, enum rh_membership_probe result);
/* |node| hears what the processes whom it awaits are in; those are shown its view. */
void world_meet(struct world *world, int node);
void world_event_kind(struct world *world, int node, enum rh_membership_event_kind kind);
void world_promise(struct world *world, int node, int peer, uint64_t ms);
/* |node| is shown the view of |peer|. */
void world_show(struct world *world, int node, int peer);
void world_progress(struct world *world, int node, uint64_t channels, uint64_t connections);

/* Somebody else writes into ZooKeeper; |data| NULL deletes. Owner 0 is persistent. */
void world_write(struct world *world, const char *path, const char *data, int64_t owner);
const char *world_read(struct world *world, const char *path); /* NULL: not there */
size_t world_members_count(struct world *world);

/* From now on the server of |node| shows what is there now, until it is asked to sync. */
void world_lag(struct world *world, int node);
void world_catch_up(struct world *world, int node);

/* Compares the trace with |lines| and forgets it. */
#define world_expect(world, lines) world_expect_at(world, lines, __FILE__, __LINE__)
void world_expect_at(struct world *world, const char *lines, const char *file, int line);

/* Whether a line of the trace contains |text|; the trace stays. */
bool world_traced(const struct world *world, const char *text);
void world_forget(struct world *world);

/* 0 to |limit| - 1, by the seed of world_trouble(). */
unsigned world_random(struct world *world, unsigned limit);

/* Calls |disturb| |steps| times. In step |wipe_at| all that stands in ZooKeeper is lost; -1: in none. */
void world_trouble(struct world *world, uint64_t seed, int steps, int wipe_at,
                   void (*disturb)(struct world *world));

#endif
