/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_CLIENTS_H
#define RH_DRILL_CLIENTS_H

/*
 * The WebSocket clients of a worker, which behave as good clients do: connect to a random node, go
 * where they are sent, keep the old connection until the new one stands, come back with their
 * position at once and then with growing random pauses, and ask a silent connection whether it
 * lives.
 *
 *                 pump                  welcome
 *      WAITING ---------> CONNECTING ----------------> CONNECTED
 *       ^   ^              |     ^                       |   |
 *       |   | the first    |     | redirect        moved |   | the connection ends: the first
 *       |   | time         |     +-----+                 |   | time, if it lasted
 *       |   +--------------+ in vain                     |   |
 *       |                  v                             |   |
 *       +---------------- PAUSING <----------------------|---+
 *       +------------------------------------------------+---+
 */

#include "drill/worker.h"

/* Makes the clients of all channels. They begin to connect when there is a node. */
struct rh_clients *rh_clients_create(struct rh_worker *worker);

/* A node can be reached now: those who wait may go on. */
void rh_clients_wake(struct rh_clients *clients);

/* Looks for connections that are silent, and for handshakes that take too long; to be called
 * every RH_LOAD_SAMPLE_MS. */
void rh_clients_tick(struct rh_clients *clients);

/* How many are welcome somewhere, in all and at nodes that we were not told of. */
uint32_t rh_clients_connected(const struct rh_clients *clients);
uint32_t rh_clients_elsewhere(const struct rh_clients *clients);

/* Whether all are connected and have all that they should have. */
bool rh_clients_settled(const struct rh_clients *clients);

/* The end: closes the ledger for each. */
void rh_clients_close_ledgers(struct rh_clients *clients, struct rh_ledger_book book);

#endif
