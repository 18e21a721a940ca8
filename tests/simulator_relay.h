/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_RELAY_H
#define RH_TESTS_SIMULATOR_RELAY_H

/*
 * Clients that are relayed, with --relay, and the laws of docs/relay.md: what they hear is committed,
 * and was sent by who serves the channel; they are sent away or closed only for what that page says;
 * their queue is never sent more than there is room for; at rest both ends of each tunnel know the
 * same streams, each of which is at the end of its channel's log, at its owner.
 */

#include "tests/simulator_node.h"

/* A connection that another node serves has been told |entry| (or NULL) of a channel. */
void sim_relay_told(struct sim *sim, const struct sim_connection *connection, uint64_t incarnation,
                    const struct rh_entry *entry);

/* The node sends |message|, maybe about streams of another node that it serves. */
void sim_relay_sent(struct sim *sim, int node, const struct rh_peer_message *message);

/* A message for a connection that may be relayed: whether there is room for it. */
void sim_relay_queued(struct sim *sim, int node, struct sim_connection *connection,
                      const struct rh_entry *entry);

/* The client of such a connection is sent away, to |to|; after its welcome it knows where it is. */
void sim_relay_sent_away(struct sim *sim, int node, const struct sim_connection *connection, int to,
                         const struct rh_position *position);
void sim_relay_refused(struct sim *sim, int node, const struct sim_connection *connection,
                       enum rh_refusal refusal);

/* A stream that watches is shown the state document of its channel (NULL: there never was one). */
void sim_relay_shown(struct sim *sim, int node, struct sim_connection *connection,
                     const struct rh_entry *state);

/* The core of |node| has made a step, and all that it wants is done. */
void sim_relay_stepped(struct sim *sim, int node);

/* Whether another node serves the connection, and messages come. */
bool sim_relay_is_open(const struct sim_connection *connection);

/* What is not as it should be of a connection that another node serves, or NULL. */
const char *sim_relay_connection_unrest(struct sim *sim, int node,
                                        const struct sim_connection *connection);

/* Likewise of all tunnels, and the streams in them. */
const char *sim_relay_unrest(struct sim *sim);

#endif
