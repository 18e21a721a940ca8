/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_DESCRIBE_H
#define RH_TESTS_SIMULATOR_DESCRIBE_H

/*
 * Copies, their moves and the messages about them as short texts, for the trace of the simulator:
 *
 *     room:2 replica -> claiming 14.1 op 7 commit 5 {n1 n2}
 *     n0 > n1 append room:2 12.1 7..8 commit 6 {n0 n1}
 *
 * A term is its pzxid and its turn, with the generation in front if that is above 1.
 */

#include "node/core_inspect.h"
#include "proto/peer_message.h"

#include <stddef.h>

#define SIM_TEXT_SIZE 512

void sim_describe_copy(const struct rh_copy_info *info, char out[static SIM_TEXT_SIZE]);
void sim_describe_trace(const struct rh_core_trace *trace, char out[static SIM_TEXT_SIZE]);
void sim_describe_message(const struct rh_peer_message *message, char out[static SIM_TEXT_SIZE]);

/* The key that a message is about; empty when it is about none, or many. */
struct rh_bytes sim_message_key(const struct rh_peer_message *message);

#endif
