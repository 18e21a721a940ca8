/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_PEER_SAMPLES_H
#define RH_TESTS_PEER_SAMPLES_H

/* Peer messages to test with, and the question whether two are equal. */

#include "proto/peer_message.h"

/* One message of each kind, with every field in use and different from every other. What it points
 * to is static. */
struct rh_peer_message peer_sample(enum rh_peer_message_kind kind);

/* Fails the test unless every field is equal. */
void assert_peer_message_equal(const struct rh_peer_message *a, const struct rh_peer_message *b);

#endif
