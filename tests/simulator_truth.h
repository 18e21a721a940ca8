/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_TRUTH_H
#define RH_TESTS_SIMULATOR_TRUTH_H

/*
 * What really happened to the channels of a run with replication: which operations were committed,
 * who acted under which term, who held what when. Built from the copies of all nodes as they are
 * after each step, so it knows nothing of how the core comes to what it does. The invariants that
 * docs/protocol-cluster.md names I1 to I10 and I14 are held against it; section 14 says why they
 * matter. The rest, I12, is in simulator_rest.c.
 *
 * When one fails, the failure begins with its number and the key, and the copies of that channel on
 * all nodes stand in the trace before it.
 */

#include "tests/simulator_node.h"

struct sim_truth;

void sim_truth_create(struct sim *sim);
void sim_truth_destroy(struct sim *sim);

/* The core of |node| has made a step for |event|, and nothing of what it wants is done yet. */
void sim_truth_stepped(struct sim *sim, int node, const struct rh_event *event);

/* A process has begun; it has ended, and all that it held is gone. */
void sim_truth_started(struct sim *sim, int node);
void sim_truth_ended(struct sim *sim, int node);

/* The registration of that process stands, under that |name|; it was deleted, and not in the
 * transaction that made its successor. */
void sim_truth_registered(struct sim *sim, uint64_t instance, const char *name);
void sim_truth_lost(struct sim *sim, uint64_t instance);
void sim_truth_all_lost(struct sim *sim);

/* A process without a view asks all nodes which epoch they are in; one answers that it is in one, in
 * time if that is before |until_ms|. Then a process adopts a view; it has written the config of that generation to ZooKeeper, which
 * had none. */
void sim_truth_asks(struct sim *sim, int node);
void sim_truth_told(struct sim *sim, int node, uint64_t until_ms);
void sim_truth_adopted(struct sim *sim, int node, struct rh_view *view);
void sim_truth_began(struct sim *sim, int node, uint64_t generation);

/* A client is served: |what| it is, for the failure; and if it is a message, |entry|. */
void sim_truth_served(struct sim *sim, int node, const char *key, uint64_t incarnation,
                      const struct rh_entry *entry, const char *what);

/* A publisher is told that its message is committed. */
void sim_truth_acknowledged(struct sim *sim, uint64_t incarnation, uint64_t seq, uint64_t message);

/* A relayed client of |key| is sent that message by its owner, or by the node that it reached. */
void sim_truth_relayed(struct sim *sim, const char *key, uint64_t incarnation, uint64_t seq,
                       uint64_t message);

/* Whether a client of |key| that was in that incarnation (0: any) may find that something is missing:
 * there was another one, or its log was trimmed. */
bool sim_truth_may_lack(struct sim *sim, const char *key, uint64_t incarnation);

/* A connection was told that its channel has moved. */
void sim_truth_moved(struct sim *sim, int node, const char *key, uint64_t incarnation);

/* The number in the payload of a message, which is "m" and that; 0: it is no message. */
uint64_t sim_truth_message(const struct rh_entry *entry);
uint64_t sim_truth_number(struct rh_bytes payload);

/* Fails by the invariant |name|, after the copies of |key| were traced. */
void sim_truth_fail(struct sim *sim, const char *name, const char *key, const char *format, ...)
    RH_PRINTF(4, 5);

#endif
