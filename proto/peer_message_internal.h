/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_MESSAGE_INTERNAL_H
#define RH_PROTO_PEER_MESSAGE_INTERNAL_H

/* What the two files share that check the ranges of messages. */

#include "proto/peer_message.h"

/* Per kind: RH_ERR_INVALID with a reason that names the field. */
#define RH_PEER_CHECK(suffix, member, name)                                         \
    RH_MUST_CHECK int rh_peer_check_##member(const struct rh_peer_message *message, \
                                             struct rh_reason *reason);
RH_PEER_MESSAGE_MAP(RH_PEER_CHECK)
#undef RH_PEER_CHECK

/* |id| is terminated, or it is our own bug. */
bool rh_peer_node_id_valid(const char id[RH_NODE_ID_SIZE]);

/* |name| is that of the message, or the path to what the key or payload stands in. */
RH_MUST_CHECK int rh_peer_check_key(struct rh_bytes key, const char *name,
                                    struct rh_reason *reason);

/* What all answers have. */
RH_MUST_CHECK int rh_peer_check_answer(enum rh_peer_result result,
                                       const char owner[RH_NODE_ID_SIZE], struct rh_bytes code,
                                       struct rh_bytes detail, const char *name,
                                       struct rh_reason *reason);

/* A term that must be there, in |field| of the message. */
RH_MUST_CHECK int rh_peer_check_term(struct rh_term term, const char *name, const char *field,
                                     struct rh_reason *reason);

/* One operation; |in_order|: its numbers follow those before it. */
RH_MUST_CHECK int rh_peer_check_operation(const struct rh_peer_operation *operation, bool in_order,
                                          const char *name, struct rh_reason *reason);

/* Clients of a channel. */
RH_MUST_CHECK int rh_peer_check_clients(const struct rh_peer_present *clients, size_t count,
                                        const char *name, struct rh_reason *reason);

/* JSON is checked by the node that a publisher reached; here only for what could break others. */
RH_MUST_CHECK int rh_peer_check_payload(const struct rh_payload *payload, const char *name,
                                        struct rh_reason *reason);

/* Whether |messages| are messages, consecutive by seq. */
RH_MUST_CHECK int rh_peer_check_messages(const struct rh_peer_operation *messages, size_t count,
                                         const char *name, struct rh_reason *reason);

/* An error code of a peer: printable ASCII without spaces, or empty. */
bool rh_peer_code_valid(struct rh_bytes code);

/* What all answers about a channel begin with. */
RH_MUST_CHECK int rh_peer_check_answer(enum rh_peer_result result,
                                       const char owner[RH_NODE_ID_SIZE], struct rh_bytes code,
                                       struct rh_bytes detail, const char *name,
                                       struct rh_reason *reason);

/* One operation; |in_order|: whether its seq fits its place. */
RH_MUST_CHECK int rh_peer_check_operation(const struct rh_peer_operation *operation, bool in_order,
                                          const char *name, struct rh_reason *reason);

/* What a channel follows. */
RH_MUST_CHECK int rh_peer_check_follows(const struct rh_peer_follow *follows, size_t count,
                                        const char *name, struct rh_reason *reason);

#endif
