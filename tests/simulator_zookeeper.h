/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_ZOOKEEPER_H
#define RH_TESTS_SIMULATOR_ZOOKEEPER_H

/*
 * ZooKeeper as node/membership.h and node/zk_client.h see it: an ensemble of three servers whose
 * leader orders all transactions, while each server applies them a little later, in order.
 *
 *   process --op--> server --read-----------------> answer from what that server has applied
 *                      |
 *                      +--write, sync--> leader --transaction, marker--> all servers --> answer
 *
 * What is promised is what ZooKeeper promises: one zxid per transaction, order per session, a
 * one-shot watch that arrives before an answer that shows the change, ephemeral znodes that end
 * with their session. What is not promised does not hold: answers get lost with the connection, a
 * write may happen after its connection broke, a server may lag far behind.
 *
 * The client half plays node/zk_client.c: it connects again to whatever server answers, replaces a
 * handle that is turned away for a second, and says CONNECTED, DISCONNECTED, EXPIRED.
 */

#include "node/membership.h"
#include "tests/simulator.h"

#define SIM_SERVERS            3
#define SIM_SESSION_TIMEOUT_MS 4000

struct sim_zookeeper;

struct sim_zookeeper *sim_zookeeper_create(struct sim *sim);
void sim_zookeeper_destroy(struct sim_zookeeper *zookeeper);

/* A process starts: it connects. It ends: by closing its session, or without a word. */
void sim_zookeeper_attach(struct sim *sim, int node);
void sim_zookeeper_detach(struct sim *sim, int node, bool close_session);

/* An operation of the membership of |node|; what it points to is copied. */
void sim_zookeeper_operate(struct sim *sim, int node, const struct rh_membership_action *action);

/* Whether its process has a session that a server answers, as far as it knows. */
bool sim_zookeeper_is_connected(const struct sim *sim, int node);

/* Nothing is heard of the process any more (it is paused or cut off), or it is again. */
void sim_zookeeper_silence(struct sim *sim, int node, bool silent);

/* Registrations of the next |ms| are made and seen all at once: so many nodes start in one epoch. */
void sim_zookeeper_gather(struct sim *sim, uint64_t ms);

/* --- what goes wrong --- */

/* The connection of |node| breaks, and cannot be made again while it is cut. */
void sim_zookeeper_cut(struct sim *sim, int node, bool cut);
void sim_zookeeper_disconnect(struct sim *sim, int node);
void sim_zookeeper_expire(struct sim *sim, int node);
void sim_zookeeper_stop_server(struct sim *sim, int server);
void sim_zookeeper_start_server(struct sim *sim, int server);
void sim_zookeeper_stop(struct sim *sim);  /* the whole ensemble */
void sim_zookeeper_start(struct sim *sim); /* sessions have their full time again */
void sim_zookeeper_wipe(struct sim *sim);  /* while stopped: all data and sessions are lost */
void sim_zookeeper_lag(struct sim *sim, int server, uint64_t ms); /* applies nothing for so long */

/* The process is connected to a leader that was deposed and does not know it: that one answers sync
 * and shows what it has, but no transaction comes to an end, and nobody else hears of the process. */
void sim_zookeeper_strand(struct sim *sim, int node, bool stranded);

/* --- as an operator with a client of her own sees it: through the leader, at once --- */

/* False: the ensemble is down, or there is no parent. */
bool sim_zookeeper_put(struct sim *sim, const char *path, const char *data);

/* Text of a znode, or NULL. Valid until anything happens. Paths are below the cluster's folder. */
const char *sim_zookeeper_get(const struct sim *sim, const char *path);

/* Children of members/, decoded, with their czxids: at most |max|. Returns how many. */
size_t sim_zookeeper_members(const struct sim *sim, struct rh_registration *ret_members,
                             int64_t *ret_czxids, size_t max);
int64_t sim_zookeeper_pzxid(const struct sim *sim);

/* How many times the data was lost. */
unsigned sim_zookeeper_era(const struct sim *sim);

/* How often a generation was written to its config that is above all before. */
unsigned sim_zookeeper_raised(const struct sim *sim);

#endif
