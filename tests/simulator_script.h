/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_SCRIPT_H
#define RH_TESTS_SIMULATOR_SCRIPT_H

/*
 * Schedules of docs/protocol-cluster.md on a replicated scenario. All about one channel, room:0,
 * and the nodes in the order in which they stand on the ring behind its key: A is its owner when all
 * have weight, B the first replica, and so on; with any of them away the others move up. So a
 * script says A to F, and the trace and what is expected of it are about whichever nodes these are.
 *
 *     script_until(script, "B: * replica -> claiming");
 *
 * runs until that line stands in the trace. A capital letter alone is a node, `*` is the key, and
 * a line is found by any part of it.
 */

#include "proto/peer_message.h"
#include "tests/simulator_scenario.h"

#define SCRIPT_KEY   "room:0"
#define SCRIPT_NODES 6

enum { A, B, C, D, E, F, SCRIPT_ANY = -1 };

struct script {
    struct scenario *scenario;
    struct sim *sim;
    int nodes[SCRIPT_NODES]; /* of A, B ... */
    struct script_rule {
        enum sim_fate fate; /* SENT: there is no such rule */
        int from;
        int to;
        int kind; /* enum rh_peer_message_kind, or SCRIPT_ANY */
        unsigned times;
        bool is_of_others; /* about other keys, and only these */
    } rules[16];
};

/* What the environment asks for: RINGHOP_TEST, the name of the only test to run; RINGHOP_FAULT, a
 * fault of node/fault.h. */
void script_environment(void);

/* |nodes| nodes with R |replicas|; those of |letters| ("AB") run and are at rest, in a view in which
 * each has weight. */
struct script *script_create(int nodes, int replicas, const char *letters);

/* The same in steps, for what has to be set before: nobody runs yet; then those of |letters|. */
struct script *script_prepare(int nodes, int replicas);
void script_begin(struct script *script, const char *letters);

/* Comes to rest first. */
void script_end(struct script *script);

/* Ends without rest: for what is wrong in the end on purpose. */
void script_abandon(struct script *script);

int script_node(const struct script *script, int letter);

/* What becomes of messages of |kind| from |from| to |to|, of which any may be SCRIPT_ANY, |times| of
 * them. Only those about the key, unless they are about none. */
void script_hold(struct script *script, int kind, int from, int to, unsigned times);
void script_lose(struct script *script, int kind, int from, int to, unsigned times);

/* Those about any key but this are lost. */
void script_lose_of_others(struct script *script, int kind, int from, int to);

/* Ends all rules. */
void script_let(struct script *script);

/* What is held back arrives now. */
void script_release(struct script *script, int from, int to);

/* --- what happens --- */

void script_start(struct script *script, int letter);
void script_crash(struct script *script, int letter);
void script_pause(struct script *script, int letter);
void script_resume(struct script *script, int letter);

/* Whether the node is out of memory: it takes no operation and no copy that it is sent. */
void script_full(struct script *script, int letter, bool full);
void script_expire(struct script *script, int letter);
void script_weight(struct script *script, int letter, uint32_t weight_milli);

/* Both ways. */
void script_cut(struct script *script, int a, int b, bool cut);

/* One way: to |from| it seems that |to| is dead. */
void script_firewall(struct script *script, int from, int to, bool on);
/* The way of one node to ZooKeeper; ZooKeeper itself. */
void script_zookeeper(struct script *script, bool on);
void script_wipe(struct script *script); /* while it is off: its data is lost */
void script_cut_zookeeper(struct script *script, int letter, bool cut);

/* The subscriber of the channel hangs up, and connects to that node. */
void script_connect(struct script *script, int letter);

/* The subscriber of the channel goes away for good. */
void script_silence_clients(struct script *script);

/* A publish of a new message to that node, once; its answer is a line "publish m1 at A: ...". */
uint64_t script_publish(struct script *script, int letter);

/* The same message again. */
void script_publish_again(struct script *script, int letter, uint64_t message);

/* Publishes and waits until it is acknowledged. */
uint64_t script_commit(struct script *script, int letter);

/* Requests for the state document; see tests/simulator_states.h. |if_version| 0: no condition. */
uint64_t script_put(struct script *script, int letter, uint64_t if_version);
uint64_t script_delete(struct script *script, int letter, uint64_t if_version);
uint64_t script_get(struct script *script, int letter);

/* --- what is expected --- */

/* Runs until a line of the trace contains |text|, from where the last search ended; fails after a
 * minute. */
void script_until(struct script *script, const char *text);

/* Likewise until all nodes of |letters| have adopted a view, in any order. */
void script_adopt(struct script *script, const char *letters);

/* Runs for |ms|, in which no line contains any of the texts, which end with NULL. */
void script_never(struct script *script, uint64_t ms, ...) __attribute__((sentinel));

/* Runs for |ms|. */
void script_pass(struct script *script, uint64_t ms);

/* Whether a line since script_forget() contains |text|. */
bool script_has(struct script *script, const char *text);
void script_expect(struct script *script, const char *text);
/* The line that was found last goes on with |text| in it. */
void script_expect_line(struct script *script, const char *text);
void script_expect_not(struct script *script, const char *text);
void script_forget(struct script *script);

#endif
