/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_message_internal.h"

/* Ranges of the messages about who is in a channel. */

int rh_peer_check_clients(const struct rh_peer_present *clients, size_t count, const char *name,
                          struct rh_reason *reason)
{
    if (count > RH_PEER_PRESENT_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.clients: more than %d", name,
                       RH_PEER_PRESENT_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (!rh_client_id_valid(clients[i].client)) {
            return rh_fail(reason, RH_ERR_INVALID, "%s.clients.client: not a client's name", name);
        }
        if (clients[i].meta.size > RH_CLIENT_META_SIZE_MAX || !rh_bytes_is_utf8(clients[i].meta)) {
            return rh_fail(reason, RH_ERR_INVALID, "%s.clients.meta: not UTF-8 of at most %d bytes",
                           name, RH_CLIENT_META_SIZE_MAX);
        }
    }
    return 0;
}

int rh_peer_check_presence_get(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return rh_peer_check_key(message->presence_get.key, "presence_get", reason);
}

int rh_peer_check_presence_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_presence_answer *answer = &message->presence_answer;
    int rv = rh_peer_check_answer(answer->result, answer->owner, answer->code, answer->detail,
                                  "presence_answer", reason);
    if (rv != 0) {
        return rv;
    }
    if (answer->clients_count > 0 && (answer->result != RH_PEER_OK || answer->incarnation == 0)) {
        return rh_fail(reason, RH_ERR_INVALID, "presence_answer.clients: of no channel");
    }
    return rh_peer_check_clients(answer->clients, answer->clients_count, "presence_answer", reason);
}

int rh_peer_check_presence(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_presence *presence = &message->presence;
    int rv = rh_peer_check_key(presence->key, "presence", reason);
    if (rv == 0) {
        rv = rh_peer_check_term(presence->term, "presence", "term", reason);
    }
    return rv != 0 ? rv
                   : rh_peer_check_clients(presence->clients, presence->clients_count, "presence",
                                           reason);
}
