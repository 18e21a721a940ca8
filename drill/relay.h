/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_RELAY_H
#define RH_DRILL_RELAY_H

/*
 * A TCP relay on loopback that can be cut, as by a firewall that drops packets: stands between one
 * node and ZooKeeper, so that the session of that node expires and no other.
 */

#include "base/error.h"

#include <ev.h>
#include <stdint.h>

struct rh_relay;

/* The far side has closed a connection during a cut. From the loop; the relay must not be stopped in
 * it. */
typedef void rh_relay_given_up(void *context);

/* Listens on a port that the kernel picks and relays to |port|, both on 127.0.0.1. RH_ERR_IO with a
 * reason, RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_relay_start(struct ev_loop *loop, uint16_t port, rh_relay_given_up *given_up,
                                 void *context, struct rh_relay **ret_relay,
                                 struct rh_reason *reason);

/* Drops all connections; NULL is allowed. */
void rh_relay_stop(struct rh_relay *relay);

uint16_t rh_relay_port(const struct rh_relay *relay);

/* What is connected hears nothing more, and who connects anew gets no answer. */
void rh_relay_cut(struct rh_relay *relay);

/* Ends a cut: what was connected is reset. */
void rh_relay_restore(struct rh_relay *relay);

#endif
