/* SPDX-License-Identifier: Apache-2.0 */
/* Channels that follow others: what is asked of a follower, and what a topic's owner sends. */
#include "proto/peer_codec_internal.h"

/* follow_ask and its answer */

int rh_wire_pack_follow_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    const struct rh_peer_follow_ask *ask = &message->follow_ask;
    Ringhop__Peer__FollowAsk *wire = &writer->follow_ask;
    ringhop__peer__follow_ask__init(wire);
    wire->request = ask->request;
    wire->key = rh_wire_bytes(ask->key);
    wire->what = (Ringhop__Peer__FollowWhat)rh_wire_enum((int)ask->what);
    wire->topic = rh_wire_bytes(ask->topic);
    wire->has_after = ask->has_after;
    wire->incarnation = ask->after.incarnation;
    wire->seq = ask->after.seq;
    wire->deadline_ms = ask->deadline_ms;
    frame->follow_ask = wire;
    return 0;
}

int rh_wire_unpack_follow_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__FollowAsk *wire = frame->follow_ask;
    message->follow_ask = (struct rh_peer_follow_ask){
        .request = wire->request,
        .key = rh_wire_to_bytes(wire->key),
        .what = (enum rh_peer_follow_what)rh_wire_to_enum((int)wire->what, RH_PEER_FOLLOW_WHATS),
        .topic = rh_wire_to_bytes(wire->topic),
        .has_after = wire->has_after,
        .after = {.incarnation = wire->incarnation, .seq = wire->seq},
        .deadline_ms = wire->deadline_ms,
    };
    return 0;
}

int rh_wire_pack_follow_answer(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                               rh_wire_frame *frame)
{
    const struct rh_peer_follow_answer *answer = &message->follow_answer;
    Ringhop__Peer__FollowAnswer *wire = &writer->follow_answer;
    ringhop__peer__follow_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)rh_wire_enum((int)answer->result);
    wire->owner = rh_wire_text(answer->owner);
    wire->code = rh_wire_bytes(answer->code);
    wire->detail = rh_wire_bytes(answer->detail);
    frame->follow_answer = wire;
    return rh_wire_follows(answer->follows, answer->follows_count, writer, &wire->n_follows,
                           &wire->follows);
}

int rh_wire_unpack_follow_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                 struct rh_wire_reader *reader)
{
    const Ringhop__Peer__FollowAnswer *wire = frame->follow_answer;
    struct rh_peer_follow_answer *answer = &message->follow_answer;
    *answer = (struct rh_peer_follow_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)rh_wire_to_enum((int)wire->result, RH_PEER_RESULTS),
        .code = rh_wire_to_bytes(wire->code),
        .detail = rh_wire_to_bytes(wire->detail),
    };
    int rv = rh_wire_to_id(wire->owner, "follow_answer.owner", answer->owner, reader->reason);
    return rv == 0 ? rh_wire_to_follows(wire->n_follows, wire->follows, &answer->follows,
                                        &answer->follows_count, reader)
                   : rv;
}

/* between a topic's owner and those of its followers */

int rh_wire_pack_topic_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    const struct rh_peer_topic_ask *ask = &message->topic_ask;
    Ringhop__Peer__TopicAsk *wire = &writer->topic_ask;
    ringhop__peer__topic_ask__init(wire);
    wire->topic = rh_wire_bytes(ask->topic);
    wire->number = ask->number;
    wire->has_after = ask->has_after;
    wire->incarnation = ask->after.incarnation;
    wire->seq = ask->after.seq;
    wire->followers = ask->followers;
    frame->topic_ask = wire;
    return 0;
}

int rh_wire_unpack_topic_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__TopicAsk *wire = frame->topic_ask;
    message->topic_ask = (struct rh_peer_topic_ask){
        .topic = rh_wire_to_bytes(wire->topic),
        .number = wire->number,
        .has_after = wire->has_after,
        .after = {.incarnation = wire->incarnation, .seq = wire->seq},
        .followers = wire->followers,
    };
    return 0;
}

int rh_wire_pack_topic_batch(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                             rh_wire_frame *frame)
{
    const struct rh_peer_topic_batch *batch = &message->topic_batch;
    Ringhop__Peer__TopicBatch *wire = &writer->topic_batch;
    ringhop__peer__topic_batch__init(wire);
    wire->topic = rh_wire_bytes(batch->topic);
    wire->number = batch->number;
    wire->incarnation = batch->incarnation;
    wire->after = batch->after;
    wire->up_to = batch->up_to;
    frame->topic_batch = wire;
    const struct rh_peer_operations messages = {.items = batch->messages,
                                                .count = batch->messages_count};
    return rh_wire_operations(&messages, writer, &wire->n_messages, &wire->messages);
}

int rh_wire_unpack_topic_batch(const rh_wire_frame *frame, struct rh_peer_message *message,
                               struct rh_wire_reader *reader)
{
    const Ringhop__Peer__TopicBatch *wire = frame->topic_batch;
    struct rh_peer_topic_batch *batch = &message->topic_batch;
    struct rh_peer_operations messages = {0};
    int rv = rh_wire_to_operations(0, wire->n_messages, wire->messages, &messages, reader);
    *batch = (struct rh_peer_topic_batch){
        .topic = rh_wire_to_bytes(wire->topic),
        .number = wire->number,
        .incarnation = wire->incarnation,
        .after = wire->after,
        .up_to = wire->up_to,
        .messages = messages.items,
        .messages_count = messages.count,
    };
    return rv;
}

int rh_wire_pack_topic_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    const struct rh_peer_topic_ack *ack = &message->topic_ack;
    Ringhop__Peer__TopicAck *wire = &writer->topic_ack;
    ringhop__peer__topic_ack__init(wire);
    wire->topic = rh_wire_bytes(ack->topic);
    wire->number = ack->number;
    wire->incarnation = ack->incarnation;
    wire->up_to = ack->up_to;
    frame->topic_ack = wire;
    return 0;
}

int rh_wire_unpack_topic_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__TopicAck *wire = frame->topic_ack;
    message->topic_ack = (struct rh_peer_topic_ack){
        .topic = rh_wire_to_bytes(wire->topic),
        .number = wire->number,
        .incarnation = wire->incarnation,
        .up_to = wire->up_to,
    };
    return 0;
}

int rh_wire_pack_topic_end(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    const struct rh_peer_topic_end *end = &message->topic_end;
    Ringhop__Peer__TopicEnd *wire = &writer->topic_end;
    ringhop__peer__topic_end__init(wire);
    wire->topic = rh_wire_bytes(end->topic);
    wire->number = end->number;
    wire->owner = rh_wire_text(end->owner);
    frame->topic_end = wire;
    return 0;
}

int rh_wire_unpack_topic_end(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    const Ringhop__Peer__TopicEnd *wire = frame->topic_end;
    message->topic_end = (struct rh_peer_topic_end){
        .topic = rh_wire_to_bytes(wire->topic),
        .number = wire->number,
    };
    return rh_wire_to_id(wire->owner, "topic_end.owner", message->topic_end.owner, reader->reason);
}

/* between a node that is asked who follows, and all others */

int rh_wire_pack_followers_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                               rh_wire_frame *frame)
{
    const struct rh_peer_followers_ask *ask = &message->followers_ask;
    Ringhop__Peer__FollowersAsk *wire = &writer->followers_ask;
    ringhop__peer__followers_ask__init(wire);
    wire->request = ask->request;
    wire->topic = rh_wire_bytes(ask->topic);
    wire->limit = ask->limit;
    frame->followers_ask = wire;
    return 0;
}

int rh_wire_unpack_followers_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                                 struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__FollowersAsk *wire = frame->followers_ask;
    message->followers_ask = (struct rh_peer_followers_ask){
        .request = wire->request,
        .topic = rh_wire_to_bytes(wire->topic),
        .limit = wire->limit,
    };
    return 0;
}

int rh_wire_pack_followers_answer(const struct rh_peer_message *message,
                                  struct rh_wire_writer *writer, rh_wire_frame *frame)
{
    const struct rh_peer_followers_answer *answer = &message->followers_answer;
    Ringhop__Peer__FollowersAnswer *wire = &writer->followers_answer;
    ringhop__peer__followers_answer__init(wire);
    wire->request = answer->request;
    wire->count = answer->count;
    wire->followers = rh_wire_take(writer, answer->followers_count * sizeof(*wire->followers));
    if (wire->followers == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    wire->n_followers = answer->followers_count;
    for (size_t i = 0; i < answer->followers_count; i++) {
        wire->followers[i] = rh_wire_bytes(answer->followers[i]);
    }
    frame->followers_answer = wire;
    return 0;
}

int rh_wire_unpack_followers_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                    struct rh_wire_reader *reader)
{
    const Ringhop__Peer__FollowersAnswer *wire = frame->followers_answer;
    struct rh_bytes *followers =
        rh_arena_alloc(reader->arena, wire->n_followers * sizeof(*followers));
    if (followers == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < wire->n_followers; i++) {
        followers[i] = rh_wire_to_bytes(wire->followers[i]);
    }
    message->followers_answer = (struct rh_peer_followers_answer){
        .request = wire->request,
        .count = wire->count,
        .followers = followers,
        .followers_count = wire->n_followers,
    };
    return 0;
}
