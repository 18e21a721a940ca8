/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_PEER_SAMPLES_H
#define RH_TESTS_PEER_SAMPLES_H

/* Peer messages to test with, and the questions whether two are equal and whether one is refused. */

#include "proto/peer_message.h"

/* One message of each kind, with every field in use and different from every other. What it points
 * to is static. */
struct rh_peer_message peer_sample(enum rh_peer_message_kind kind);

/* Fails the test unless every field is equal. */
void assert_peer_message_equal(const struct rh_peer_message *a, const struct rh_peer_message *b);

/* Fails the test unless the other end reads what this one writes. */
void assert_peer_message_round_trip(const struct rh_peer_message *message);

/* Fails the test unless neither end lets it pass, for a reason that begins with |field|. */
void assert_peer_message_refused(const struct rh_peer_message *message, const char *field);

/* A sample with one change is refused for the field of that name. */
#define SAMPLE_REFUSED(suffix, change, field)                       \
    do {                                                            \
        struct rh_peer_message bad = peer_sample(RH_PEER_##suffix); \
        bad.change;                                                 \
        assert_peer_message_refused(&bad, field);                   \
    } while (0)

#endif
