/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_NETWORK_H
#define RH_TESTS_SIMULATOR_NETWORK_H

/*
 * Links between nodes as node/ev_peer.h has them: each process dials every other member, sends on
 * that connection and is told up, down, dead and epoch, on the evidence and with the timers that
 * node/ev_peer_link.c goes by. Messages are encoded and decoded with the real codec.
 *
 * A connection keeps the order and loses nothing but its end. While a way is cut its messages
 * wait, as TCP would send them again; a connection that breaks loses what has not arrived.
 */

#include "node/membership.h"
#include "proto/peer_message.h"
#include "tests/simulator.h"

struct sim_network;

struct sim_network *sim_network_create(const struct sim *sim);
void sim_network_destroy(struct sim_network *network);

/* The process of |node| has begun to listen, or is gone: its connections are closed. */
void sim_network_attach(struct sim *sim, int node);
void sim_network_detach(struct sim *sim, int node);

/* What the daemon does on adopting a view: rh_ev_peer_set_epoch() and rh_ev_peer_set_members(). */
void sim_network_set_view(struct sim *sim, int node, const struct rh_view *view);

/* Who must be heard of beside the members of the view; where a link to one is up, it is shown our
 * view: when it comes up, and by sim_network_show_awaited(). */
void sim_network_set_awaited(struct sim *sim, int node, const struct rh_membership_awaited *awaited,
                             size_t count);
void sim_network_show_awaited(struct sim *sim, int node);

/* Asks all other nodes which epoch they are in. */
void sim_network_ask_all(struct sim *sim, int node);

/* rh_ev_peer_send(): false when the link is not up. */
bool sim_network_send(struct sim *sim, int node, const struct rh_node_ref *to,
                      const struct rh_peer_message *message);

/* Lets go what a script holds back: all of it from |from| to |to|, or -1 for any. */
void sim_network_release(struct sim *sim, int from, int to);

/* rh_ev_peer_probe(): the node learns by sim_node_probed(). */
void sim_network_probe(struct sim *sim, int node, const struct rh_node_ref *probed,
                       const char *address);

/* Whether the link of |node| to the process that |peer| is now is up. */
bool sim_network_is_up(const struct sim *sim, int node, int peer);

/* Whether |node| has had evidence of a firewall that |peer|'s |instance| is dead. */
bool sim_network_was_deceived(const struct sim *sim, int node, int peer, uint64_t instance);

/* Closes the connection on which that process sends messages to |node|. */
void sim_network_reset_from(struct sim *sim, int node, const struct rh_node_ref *peer);

/* --- what goes wrong; cuts and firewalls are counted --- */

void sim_network_cut(struct sim *sim, int from, int to, bool cut); /* one way */
/* Connections from |from| to |to| are reset, new ones refused. */
void sim_network_firewall(struct sim *sim, int from, int to, bool on);
void sim_network_reset(struct sim *sim, int from, int to);

/* The address that |node| registers. */
void sim_network_address(int node, char *out, size_t size);

#endif
