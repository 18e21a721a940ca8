/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_message_internal.h"

/* Ranges of the messages by which channels follow others. */

static int check_topic(struct rh_bytes topic, const char *name, struct rh_reason *reason)
{
    return rh_key_valid(topic) ? 0 : rh_fail(reason, RH_ERR_INVALID, "%s.topic: not a key", name);
}

static int check_after(bool has_after, struct rh_position after, const char *name,
                       struct rh_reason *reason)
{
    bool is_none = after.incarnation == 0 && after.seq == 0;
    if (!has_after ? !is_none : after.seq > (after.incarnation == 0 ? 0 : (uint64_t)INT64_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.seq: no position, or one without has_after",
                       name);
    }
    return 0;
}

int rh_peer_check_follow_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_follow_ask *ask = &message->follow_ask;
    int rv = rh_peer_check_key(ask->key, "follow_ask", reason);
    if (rv != 0) {
        return rv;
    }
    if ((unsigned)ask->what >= RH_PEER_FOLLOW_WHATS) {
        return rh_fail(reason, RH_ERR_INVALID, "follow_ask.what: unknown");
    }
    if (ask->what == RH_PEER_FOLLOW_LIST && ask->topic.size > 0) {
        return rh_fail(reason, RH_ERR_INVALID, "follow_ask.topic: of a list");
    }
    if (ask->what != RH_PEER_FOLLOW_LIST) {
        rv = check_topic(ask->topic, "follow_ask", reason);
    }
    if (rv == 0 && rh_bytes_equal(ask->topic, ask->key)) {
        return rh_fail(reason, RH_ERR_INVALID, "follow_ask.topic: is the key");
    }
    if (rv == 0 && ask->what != RH_PEER_FOLLOW_ADD && ask->has_after) {
        return rh_fail(reason, RH_ERR_INVALID, "follow_ask.has_after: not of a follow");
    }
    return rv == 0 ? check_after(ask->has_after, ask->after, "follow_ask", reason) : rv;
}

int rh_peer_check_follow_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_follow_answer *answer = &message->follow_answer;
    int rv = rh_peer_check_answer(answer->result, answer->owner, answer->code, answer->detail,
                                  "follow_answer", reason);
    if (rv == 0 && answer->result != RH_PEER_OK && answer->follows_count > 0) {
        return rh_fail(reason, RH_ERR_INVALID, "follow_answer.follows: without result");
    }
    return rv == 0 ? rh_peer_check_follows(answer->follows, answer->follows_count, "follow_answer",
                                           reason)
                   : rv;
}

static int check_number(struct rh_bytes topic, uint64_t number, const char *name,
                        struct rh_reason *reason)
{
    int rv = check_topic(topic, name, reason);
    return rv == 0 && number == 0 ? rh_fail(reason, RH_ERR_INVALID, "%s.number: is 0", name) : rv;
}

int rh_peer_check_topic_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_topic_ask *ask = &message->topic_ask;
    int rv = check_number(ask->topic, ask->number, "topic_ask", reason);
    return rv == 0 ? check_after(ask->has_after, ask->after, "topic_ask", reason) : rv;
}

int rh_peer_check_topic_batch(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_topic_batch *batch = &message->topic_batch;
    int rv = check_number(batch->topic, batch->number, "topic_batch", reason);
    if (rv != 0) {
        return rv;
    }
    if (batch->incarnation == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "topic_batch.incarnation: is 0");
    }
    if (batch->after > batch->up_to || batch->up_to > INT64_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "topic_batch.up_to: out of range");
    }
    if (batch->messages_count > RH_PEER_OPERATIONS_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "topic_batch.messages: too many");
    }
    uint64_t seq = batch->after;
    for (size_t i = 0; i < batch->messages_count; i++) {
        const struct rh_peer_operation *operation = &batch->messages[i];
        if (operation->kind != RH_PEER_OPERATION_MESSAGE || operation->topic.size > 0) {
            return rh_fail(reason, RH_ERR_INVALID,
                           "topic_batch.messages: not a message that was published there");
        }
        bool in_order = operation->seq > seq && operation->seq <= batch->up_to;
        rv = rh_peer_check_operation(operation, in_order, "topic_batch.messages", reason);
        if (rv != 0) {
            return rv;
        }
        seq = operation->seq;
    }
    return 0;
}

int rh_peer_check_topic_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_topic_ack *ack = &message->topic_ack;
    int rv = check_number(ack->topic, ack->number, "topic_ack", reason);
    if (rv == 0 && ack->up_to > (ack->incarnation == 0 ? 0 : (uint64_t)INT64_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "topic_ack.up_to: out of range");
    }
    return rv;
}

int rh_peer_check_topic_end(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_topic_end *end = &message->topic_end;
    int rv = check_number(end->topic, end->number, "topic_end", reason);
    if (rv == 0 && end->owner[0] != '\0' && !rh_peer_node_id_valid(end->owner)) {
        return rh_fail(reason, RH_ERR_INVALID, "topic_end.owner: not a node id");
    }
    return rv;
}

int rh_peer_check_followers_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_followers_ask *ask = &message->followers_ask;
    int rv = check_topic(ask->topic, "followers_ask", reason);
    if (rv == 0 && (ask->limit == 0 || ask->limit > RH_PEER_FOLLOWERS_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "followers_ask.limit: out of range");
    }
    return rv;
}

int rh_peer_check_followers_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_followers_answer *answer = &message->followers_answer;
    if (answer->followers_count > RH_PEER_FOLLOWERS_MAX ||
        answer->followers_count > answer->count) {
        return rh_fail(reason, RH_ERR_INVALID, "followers_answer.followers: too many");
    }
    for (size_t i = 0; i < answer->followers_count; i++) {
        if (!rh_key_valid(answer->followers[i])) {
            return rh_fail(reason, RH_ERR_INVALID, "followers_answer.followers: not a key");
        }
    }
    return 0;
}
