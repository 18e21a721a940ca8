/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a link, and those by which a node asks another on behalf of a client. */
#include "proto/peer_codec_internal.h"

/* hello */

int rh_wire_pack_hello(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                       rh_wire_frame *frame)
{
    const struct rh_peer_hello *hello = &message->hello;
    ringhop__peer__hello__init(&writer->hello);
    writer->hello.version = hello->version;
    writer->hello.cluster = rh_wire_bytes(hello->cluster);
    writer->hello.from = rh_wire_node(&hello->from, &writer->nodes[0]);
    writer->hello.to = rh_wire_node(&hello->to, &writer->nodes[1]);
    writer->hello.refusal = rh_wire_bytes(hello->refusal);
    frame->hello = &writer->hello;
    return 0;
}

int rh_wire_unpack_hello(const rh_wire_frame *frame, struct rh_peer_message *message,
                         struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Hello *wire = frame->hello;
    struct rh_peer_hello *hello = &message->hello;
    hello->version = wire->version;
    hello->cluster = rh_wire_to_bytes(wire->cluster);
    hello->refusal = rh_wire_to_bytes(wire->refusal);
    int rv = rh_wire_to_node(wire->from, "hello.from.id", &hello->from, reader->reason);
    if (rv != 0) {
        return rv;
    }
    return rh_wire_to_node(wire->to, "hello.to.id", &hello->to, reader->reason);
}

/* ping, pong */

int rh_wire_pack_ping(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                      rh_wire_frame *frame)
{
    ringhop__peer__ping__init(&writer->ping);
    writer->ping.number = message->ping.number;
    frame->ping = &writer->ping;
    return 0;
}

int rh_wire_unpack_ping(const rh_wire_frame *frame, struct rh_peer_message *message,
                        struct rh_wire_reader *reader)
{
    (void)reader;
    message->ping.number = frame->ping->number;
    return 0;
}

int rh_wire_pack_pong(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                      rh_wire_frame *frame)
{
    ringhop__peer__pong__init(&writer->pong);
    writer->pong.number = message->pong.number;
    frame->pong = &writer->pong;
    return 0;
}

int rh_wire_unpack_pong(const rh_wire_frame *frame, struct rh_peer_message *message,
                        struct rh_wire_reader *reader)
{
    (void)reader;
    message->pong.number = frame->pong->number;
    return 0;
}

/* status_ask, status */

int rh_wire_pack_status_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    (void)message;
    ringhop__peer__status_ask__init(&writer->status_ask);
    frame->status_ask = &writer->status_ask;
    return 0;
}

int rh_wire_unpack_status_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    (void)frame;
    (void)message;
    (void)reader;
    return 0;
}

int rh_wire_pack_status(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                        rh_wire_frame *frame)
{
    ringhop__peer__status__init(&writer->status);
    writer->status.json = rh_wire_bytes(message->status.json);
    frame->status = &writer->status;
    return 0;
}

int rh_wire_unpack_status(const rh_wire_frame *frame, struct rh_peer_message *message,
                          struct rh_wire_reader *reader)
{
    (void)reader;
    message->status.json = rh_wire_to_bytes(frame->status->json);
    return 0;
}

/* publish and its answer */

int rh_wire_pack_publish(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                         rh_wire_frame *frame)
{
    const struct rh_peer_publish *publish = &message->publish;
    Ringhop__Peer__Publish *wire = &writer->publish;
    ringhop__peer__publish__init(wire);
    wire->request = publish->request;
    wire->key = rh_wire_bytes(publish->key);
    wire->id = rh_wire_bytes(publish->id);
    wire->payload_kind = (Ringhop__Peer__PayloadKind)rh_wire_enum((int)publish->payload.kind);
    wire->payload = rh_wire_bytes(publish->payload.bytes);
    wire->deadline_ms = publish->deadline_ms;
    frame->publish = wire;
    return 0;
}

int rh_wire_unpack_publish(const rh_wire_frame *frame, struct rh_peer_message *message,
                           struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__Publish *wire = frame->publish;
    int kind = rh_wire_to_enum((int)wire->payload_kind, RH_PAYLOAD_BINARY + 1);
    message->publish = (struct rh_peer_publish){
        .request = wire->request,
        .key = rh_wire_to_bytes(wire->key),
        .id = rh_wire_to_bytes(wire->id),
        .payload = {.kind = (enum rh_payload_kind)kind, .bytes = rh_wire_to_bytes(wire->payload)},
        .deadline_ms = wire->deadline_ms,
    };
    return 0;
}

int rh_wire_pack_publish_answer(const struct rh_peer_message *message,
                                struct rh_wire_writer *writer, rh_wire_frame *frame)
{
    const struct rh_peer_publish_answer *answer = &message->publish_answer;
    Ringhop__Peer__PublishAnswer *wire = &writer->publish_answer;
    ringhop__peer__publish_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)rh_wire_enum((int)answer->result);
    wire->owner = rh_wire_text(answer->owner);
    wire->code = rh_wire_bytes(answer->code);
    wire->detail = rh_wire_bytes(answer->detail);
    wire->seq = answer->seq;
    wire->incarnation = answer->incarnation;
    wire->connections = answer->connections;
    wire->duplicate = answer->duplicate;
    frame->publish_answer = wire;
    return 0;
}

int rh_wire_unpack_publish_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                  struct rh_wire_reader *reader)
{
    const Ringhop__Peer__PublishAnswer *wire = frame->publish_answer;
    message->publish_answer = (struct rh_peer_publish_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)rh_wire_to_enum((int)wire->result, RH_PEER_RESULTS),
        .code = rh_wire_to_bytes(wire->code),
        .detail = rh_wire_to_bytes(wire->detail),
        .seq = wire->seq,
        .incarnation = wire->incarnation,
        .connections = wire->connections,
        .duplicate = wire->duplicate,
    };
    return rh_wire_to_id(wire->owner, "publish_answer.owner", message->publish_answer.owner,
                         reader->reason);
}

/* inspect and its answer */

int rh_wire_pack_inspect(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                         rh_wire_frame *frame)
{
    ringhop__peer__inspect__init(&writer->inspect);
    writer->inspect.request = message->inspect.request;
    writer->inspect.key = rh_wire_bytes(message->inspect.key);
    frame->inspect = &writer->inspect;
    return 0;
}

int rh_wire_unpack_inspect(const rh_wire_frame *frame, struct rh_peer_message *message,
                           struct rh_wire_reader *reader)
{
    (void)reader;
    message->inspect = (struct rh_peer_inspect){
        .request = frame->inspect->request,
        .key = rh_wire_to_bytes(frame->inspect->key),
    };
    return 0;
}

int rh_wire_pack_inspect_answer(const struct rh_peer_message *message,
                                struct rh_wire_writer *writer, rh_wire_frame *frame)
{
    const struct rh_peer_inspect_answer *answer = &message->inspect_answer;
    Ringhop__Peer__InspectAnswer *wire = &writer->inspect_answer;
    ringhop__peer__inspect_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)rh_wire_enum((int)answer->result);
    wire->owner = rh_wire_text(answer->owner);
    wire->code = rh_wire_bytes(answer->code);
    wire->detail = rh_wire_bytes(answer->detail);
    wire->exists = answer->exists;
    wire->incarnation = answer->incarnation;
    wire->first_seq = answer->first_seq;
    wire->last_seq = answer->last_seq;
    wire->connections = answer->connections;
    frame->inspect_answer = wire;
    return 0;
}

int rh_wire_unpack_inspect_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                  struct rh_wire_reader *reader)
{
    const Ringhop__Peer__InspectAnswer *wire = frame->inspect_answer;
    message->inspect_answer = (struct rh_peer_inspect_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)rh_wire_to_enum((int)wire->result, RH_PEER_RESULTS),
        .code = rh_wire_to_bytes(wire->code),
        .detail = rh_wire_to_bytes(wire->detail),
        .exists = wire->exists,
        .incarnation = wire->incarnation,
        .first_seq = wire->first_seq,
        .last_seq = wire->last_seq,
        .connections = wire->connections,
    };
    return rh_wire_to_id(wire->owner, "inspect_answer.owner", message->inspect_answer.owner,
                         reader->reason);
}

/* the state document: asked for, written, and the answer */

int rh_wire_pack_state_get(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    ringhop__peer__state_get__init(&writer->state_get);
    writer->state_get.request = message->state_get.request;
    writer->state_get.key = rh_wire_bytes(message->state_get.key);
    frame->state_get = &writer->state_get;
    return 0;
}

int rh_wire_unpack_state_get(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    (void)reader;
    message->state_get = (struct rh_peer_state_get){
        .request = frame->state_get->request,
        .key = rh_wire_to_bytes(frame->state_get->key),
    };
    return 0;
}

int rh_wire_pack_state_put(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    const struct rh_peer_state_put *put = &message->state_put;
    Ringhop__Peer__StatePut *wire = &writer->state_put;
    ringhop__peer__state_put__init(wire);
    wire->request = put->request;
    wire->key = rh_wire_bytes(put->key);
    wire->id = rh_wire_bytes(put->id);
    wire->condition = (Ringhop__Peer__StateCondition)rh_wire_enum((int)put->condition);
    wire->if_version = put->if_version;
    wire->content_type = rh_wire_bytes(put->content_type);
    wire->state = rh_wire_bytes(put->state);
    wire->deadline_ms = put->deadline_ms;
    frame->state_put = wire;
    return 0;
}

int rh_wire_unpack_state_put(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StatePut *wire = frame->state_put;
    int condition = rh_wire_to_enum((int)wire->condition, RH_PEER_STATE_CONDITIONS);
    message->state_put = (struct rh_peer_state_put){
        .request = wire->request,
        .key = rh_wire_to_bytes(wire->key),
        .id = rh_wire_to_bytes(wire->id),
        .condition = (enum rh_peer_state_condition)condition,
        .if_version = wire->if_version,
        .content_type = rh_wire_to_bytes(wire->content_type),
        .state = rh_wire_to_bytes(wire->state),
        .deadline_ms = wire->deadline_ms,
    };
    return 0;
}

int rh_wire_pack_state_delete(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_state_delete *remove = &message->state_delete;
    Ringhop__Peer__StateDelete *wire = &writer->state_delete;
    ringhop__peer__state_delete__init(wire);
    wire->request = remove->request;
    wire->key = rh_wire_bytes(remove->key);
    wire->id = rh_wire_bytes(remove->id);
    wire->condition = (Ringhop__Peer__StateCondition)rh_wire_enum((int)remove->condition);
    wire->if_version = remove->if_version;
    wire->deadline_ms = remove->deadline_ms;
    frame->state_delete = wire;
    return 0;
}

int rh_wire_unpack_state_delete(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StateDelete *wire = frame->state_delete;
    int condition = rh_wire_to_enum((int)wire->condition, RH_PEER_STATE_CONDITIONS);
    message->state_delete = (struct rh_peer_state_delete){
        .request = wire->request,
        .key = rh_wire_to_bytes(wire->key),
        .id = rh_wire_to_bytes(wire->id),
        .condition = (enum rh_peer_state_condition)condition,
        .if_version = wire->if_version,
        .deadline_ms = wire->deadline_ms,
    };
    return 0;
}

int rh_wire_pack_state_answer(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_state_answer *answer = &message->state_answer;
    Ringhop__Peer__StateAnswer *wire = &writer->state_answer;
    ringhop__peer__state_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)rh_wire_enum((int)answer->result);
    wire->owner = rh_wire_text(answer->owner);
    wire->code = rh_wire_bytes(answer->code);
    wire->detail = rh_wire_bytes(answer->detail);
    if (answer->result == RH_PEER_OK) {
        wire->outcome = (Ringhop__Peer__StateOutcome)rh_wire_enum((int)answer->outcome);
    }
    wire->version = answer->version;
    wire->incarnation = answer->incarnation;
    wire->content_type = rh_wire_bytes(answer->content_type);
    wire->state = rh_wire_bytes(answer->state);
    frame->state_answer = wire;
    return 0;
}

int rh_wire_unpack_state_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StateAnswer *wire = frame->state_answer;
    int result = rh_wire_to_enum((int)wire->result, RH_PEER_RESULTS);
    int outcome = rh_wire_to_enum((int)wire->outcome, RH_PEER_STATE_OUTCOMES);
    if (result != RH_PEER_OK && wire->outcome == 0) {
        outcome = RH_PEER_STATE_FOUND;
    }
    message->state_answer = (struct rh_peer_state_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)result,
        .code = rh_wire_to_bytes(wire->code),
        .detail = rh_wire_to_bytes(wire->detail),
        .outcome = (enum rh_peer_state_outcome)outcome,
        .version = wire->version,
        .incarnation = wire->incarnation,
        .content_type = rh_wire_to_bytes(wire->content_type),
        .state = rh_wire_to_bytes(wire->state),
    };
    return rh_wire_to_id(wire->owner, "state_answer.owner", message->state_answer.owner,
                         reader->reason);
}
