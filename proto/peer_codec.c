/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_codec.h"

#include "base/arena.h"
#include "proto/peer.pb-c.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Two halves and a table between them. Per kind there is one function that lays a message out as
 * the generated struct (pack_*) and one that reads it back (unpack_*); everything else, framing,
 * memory and checks, is the same for all kinds.
 */

#define ARENA_CHUNK_SIZE 4096
#define INPUT_KEPT_SIZE  (256U * 1024) /* input memory that an idle decoder may hold */

typedef Ringhop__Peer__Frame wire_frame;

/* Room for the generated structs of one message of any kind. */
union wire_body {
    struct {
        Ringhop__Peer__Hello hello;
        Ringhop__Peer__Node from;
        Ringhop__Peer__Node to;
    };
    Ringhop__Peer__Ping ping;
    Ringhop__Peer__Pong pong;
    Ringhop__Peer__Publish publish;
    Ringhop__Peer__PublishAnswer publish_answer;
    Ringhop__Peer__Inspect inspect;
    Ringhop__Peer__InspectAnswer inspect_answer;
};

/* Between slices and the generated code's, which has no const but writes nothing either. */

static ProtobufCBinaryData wire_bytes(struct rh_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data};
}

static ProtobufCBinaryData wire_text(const char *text)
{
    return wire_bytes(rh_bytes_text(text));
}

static struct rh_bytes bytes_of(ProtobufCBinaryData data)
{
    return rh_bytes(data.data, data.len);
}

/* Enums are one higher on the wire, where 0 means that the field is missing. */

static int wire_enum(int value)
{
    return value + 1;
}

/* |count|, which is none of the enum's, when the number is unknown. */
static int enum_of(int wire, int count)
{
    return wire >= 1 && wire <= count ? wire - 1 : count;
}

/* A node id, or "" where none stands. */
static int read_id(ProtobufCBinaryData data, const char *name, char ret_id[static RH_NODE_ID_SIZE],
                   struct rh_reason *reason)
{
    if (data.len > 0 && !rh_node_id_valid(bytes_of(data))) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not a node id", name);
    }
    if (data.len > 0) {
        memcpy(ret_id, data.data, data.len);
    }
    ret_id[data.len] = '\0';
    return 0;
}

static int read_node(const Ringhop__Peer__Node *node, const char *name,
                     struct rh_node_ref *ret_node, struct rh_reason *reason)
{
    if (node == NULL) {
        *ret_node = (struct rh_node_ref){0};
        return 0;
    }
    ret_node->instance = node->instance;
    return read_id(node->id, name, ret_node->id, reason);
}

/* hello */

static void pack_hello(const struct rh_peer_message *message, union wire_body *body,
                       wire_frame *frame)
{
    const struct rh_peer_hello *hello = &message->hello;
    ringhop__peer__node__init(&body->from);
    body->from.id = wire_text(hello->from.id);
    body->from.instance = hello->from.instance;
    ringhop__peer__node__init(&body->to);
    body->to.id = wire_text(hello->to.id);
    body->to.instance = hello->to.instance;
    ringhop__peer__hello__init(&body->hello);
    body->hello.version = hello->version;
    body->hello.cluster = wire_bytes(hello->cluster);
    body->hello.from = &body->from;
    body->hello.to = &body->to;
    body->hello.refusal = wire_bytes(hello->refusal);
    frame->hello = &body->hello;
}

static int unpack_hello(const wire_frame *frame, struct rh_peer_message *message,
                        struct rh_reason *reason)
{
    const Ringhop__Peer__Hello *wire = frame->hello;
    struct rh_peer_hello *hello = &message->hello;
    hello->version = wire->version;
    hello->cluster = bytes_of(wire->cluster);
    hello->refusal = bytes_of(wire->refusal);
    int rv = read_node(wire->from, "hello.from.id", &hello->from, reason);
    if (rv != 0) {
        return rv;
    }
    return read_node(wire->to, "hello.to.id", &hello->to, reason);
}

/* ping, pong */

static void pack_ping(const struct rh_peer_message *message, union wire_body *body,
                      wire_frame *frame)
{
    ringhop__peer__ping__init(&body->ping);
    body->ping.number = message->ping.number;
    frame->ping = &body->ping;
}

static int unpack_ping(const wire_frame *frame, struct rh_peer_message *message,
                       struct rh_reason *reason)
{
    (void)reason;
    message->ping.number = frame->ping->number;
    return 0;
}

static void pack_pong(const struct rh_peer_message *message, union wire_body *body,
                      wire_frame *frame)
{
    ringhop__peer__pong__init(&body->pong);
    body->pong.number = message->pong.number;
    frame->pong = &body->pong;
}

static int unpack_pong(const wire_frame *frame, struct rh_peer_message *message,
                       struct rh_reason *reason)
{
    (void)reason;
    message->pong.number = frame->pong->number;
    return 0;
}

/* publish and its answer */

static void pack_publish(const struct rh_peer_message *message, union wire_body *body,
                         wire_frame *frame)
{
    const struct rh_peer_publish *publish = &message->publish;
    Ringhop__Peer__Publish *wire = &body->publish;
    ringhop__peer__publish__init(wire);
    wire->request = publish->request;
    wire->key = wire_bytes(publish->key);
    wire->id = wire_bytes(publish->id);
    wire->payload_kind = (Ringhop__Peer__PayloadKind)wire_enum((int)publish->payload.kind);
    wire->payload = wire_bytes(publish->payload.bytes);
    wire->deadline_ms = publish->deadline_ms;
    frame->publish = wire;
}

static int unpack_publish(const wire_frame *frame, struct rh_peer_message *message,
                          struct rh_reason *reason)
{
    (void)reason;
    const Ringhop__Peer__Publish *wire = frame->publish;
    int kind = enum_of((int)wire->payload_kind, RH_PAYLOAD_BINARY + 1);
    message->publish = (struct rh_peer_publish){
        .request = wire->request,
        .key = bytes_of(wire->key),
        .id = bytes_of(wire->id),
        .payload = {.kind = (enum rh_payload_kind)kind, .bytes = bytes_of(wire->payload)},
        .deadline_ms = wire->deadline_ms,
    };
    return 0;
}

static void pack_publish_answer(const struct rh_peer_message *message, union wire_body *body,
                                wire_frame *frame)
{
    const struct rh_peer_publish_answer *answer = &message->publish_answer;
    Ringhop__Peer__PublishAnswer *wire = &body->publish_answer;
    ringhop__peer__publish_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)wire_enum((int)answer->result);
    wire->owner = wire_text(answer->owner);
    wire->code = wire_bytes(answer->code);
    wire->detail = wire_bytes(answer->detail);
    wire->seq = answer->seq;
    wire->incarnation = answer->incarnation;
    wire->connections = answer->connections;
    wire->duplicate = answer->duplicate;
    frame->publish_answer = wire;
}

static int unpack_publish_answer(const wire_frame *frame, struct rh_peer_message *message,
                                 struct rh_reason *reason)
{
    const Ringhop__Peer__PublishAnswer *wire = frame->publish_answer;
    message->publish_answer = (struct rh_peer_publish_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)enum_of((int)wire->result, RH_PEER_RESULTS),
        .code = bytes_of(wire->code),
        .detail = bytes_of(wire->detail),
        .seq = wire->seq,
        .incarnation = wire->incarnation,
        .connections = wire->connections,
        .duplicate = wire->duplicate,
    };
    return read_id(wire->owner, "publish_answer.owner", message->publish_answer.owner, reason);
}

/* inspect and its answer */

static void pack_inspect(const struct rh_peer_message *message, union wire_body *body,
                         wire_frame *frame)
{
    ringhop__peer__inspect__init(&body->inspect);
    body->inspect.request = message->inspect.request;
    body->inspect.key = wire_bytes(message->inspect.key);
    frame->inspect = &body->inspect;
}

static int unpack_inspect(const wire_frame *frame, struct rh_peer_message *message,
                          struct rh_reason *reason)
{
    (void)reason;
    message->inspect = (struct rh_peer_inspect){
        .request = frame->inspect->request,
        .key = bytes_of(frame->inspect->key),
    };
    return 0;
}

static void pack_inspect_answer(const struct rh_peer_message *message, union wire_body *body,
                                wire_frame *frame)
{
    const struct rh_peer_inspect_answer *answer = &message->inspect_answer;
    Ringhop__Peer__InspectAnswer *wire = &body->inspect_answer;
    ringhop__peer__inspect_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)wire_enum((int)answer->result);
    wire->owner = wire_text(answer->owner);
    wire->code = wire_bytes(answer->code);
    wire->detail = wire_bytes(answer->detail);
    wire->exists = answer->exists;
    wire->incarnation = answer->incarnation;
    wire->first_seq = answer->first_seq;
    wire->last_seq = answer->last_seq;
    wire->connections = answer->connections;
    frame->inspect_answer = wire;
}

static int unpack_inspect_answer(const wire_frame *frame, struct rh_peer_message *message,
                                 struct rh_reason *reason)
{
    const Ringhop__Peer__InspectAnswer *wire = frame->inspect_answer;
    message->inspect_answer = (struct rh_peer_inspect_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)enum_of((int)wire->result, RH_PEER_RESULTS),
        .code = bytes_of(wire->code),
        .detail = bytes_of(wire->detail),
        .exists = wire->exists,
        .incarnation = wire->incarnation,
        .first_seq = wire->first_seq,
        .last_seq = wire->last_seq,
        .connections = wire->connections,
    };
    return read_id(wire->owner, "inspect_answer.owner", message->inspect_answer.owner, reason);
}

/* The table of kinds. */

struct kind {
    Ringhop__Peer__Frame__BodyCase body_case;
    void (*pack)(const struct rh_peer_message *message, union wire_body *body, wire_frame *frame);
    /* Fills in the member of the union; ranges are rh_peer_message_check()'s matter. */
    int (*unpack)(const wire_frame *frame, struct rh_peer_message *message,
                  struct rh_reason *reason);
};

static const struct kind kinds[RH_PEER_MESSAGE_KINDS] = {
#define KIND(suffix, member, name) \
    [RH_PEER_##suffix] = {RINGHOP__PEER__FRAME__BODY_##suffix, pack_##member, unpack_##member},
    RH_PEER_MESSAGE_MAP(KIND)
#undef KIND
};

int rh_peer_encode(const struct rh_peer_message *message, size_t frame_size_max,
                   struct rh_buffer *buffer)
{
    int rv = rh_peer_message_check(message, NULL);
    if (rv != 0) {
        return rv;
    }
    union wire_body body;
    wire_frame frame;
    ringhop__peer__frame__init(&frame);
    frame.generation = message->epoch.generation;
    frame.pzxid = message->epoch.pzxid;
    frame.body_case = kinds[message->kind].body_case;
    kinds[message->kind].pack(message, &body, &frame);

    size_t size = ringhop__peer__frame__get_packed_size(&frame);
    if (size > frame_size_max || size > UINT32_MAX) {
        return RH_ERR_TOO_LARGE;
    }
    char *room = rh_buffer_reserve(buffer, RH_PEER_FRAME_HEADER_SIZE + size);
    if (room == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    uint8_t *bytes = (uint8_t *)room;
    for (unsigned i = 0; i < RH_PEER_FRAME_HEADER_SIZE; i++) {
        bytes[i] = (uint8_t)(size >> (8 * (RH_PEER_FRAME_HEADER_SIZE - 1 - i)));
    }
    size_t packed = ringhop__peer__frame__pack(&frame, bytes + RH_PEER_FRAME_HEADER_SIZE);
    assert(packed == size);
    rh_buffer_commit(buffer, RH_PEER_FRAME_HEADER_SIZE + packed);
    return 0;
}

struct rh_peer_decoder {
    size_t frame_size_max;
    struct rh_buffer input;
    struct rh_arena arena;
    ProtobufCAllocator allocator; /* on the arena */
    int failed;                   /* the final error, or 0 */
};

static void *arena_alloc(void *arena, size_t size)
{
    return rh_arena_alloc(arena, size);
}

static void arena_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

int rh_peer_decoder_create(size_t frame_size_max, struct rh_peer_decoder **ret_decoder)
{
    struct rh_peer_decoder *decoder = calloc(1, sizeof(*decoder));
    if (decoder == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    decoder->frame_size_max = frame_size_max;
    rh_buffer_init(&decoder->input);
    rh_arena_init(&decoder->arena, ARENA_CHUNK_SIZE);
    decoder->allocator = (ProtobufCAllocator){
        .alloc = arena_alloc, .free = arena_free, .allocator_data = &decoder->arena};
    *ret_decoder = decoder;
    return 0;
}

void rh_peer_decoder_destroy(struct rh_peer_decoder *decoder)
{
    if (decoder != NULL) {
        rh_buffer_finish(&decoder->input);
        rh_arena_finish(&decoder->arena);
        free(decoder);
    }
}

int rh_peer_decoder_feed(struct rh_peer_decoder *decoder, const void *data, size_t size)
{
    return rh_buffer_append(&decoder->input, data, size);
}

bool rh_peer_decoder_partial(const struct rh_peer_decoder *decoder)
{
    return rh_buffer_size(&decoder->input) > 0;
}

/* The body of the frame at the front of the input, still in place. */
static int next_frame(struct rh_peer_decoder *decoder, struct rh_bytes *ret_body,
                      struct rh_reason *reason)
{
    struct rh_bytes input = rh_buffer_content(&decoder->input);
    if (input.size < RH_PEER_FRAME_HEADER_SIZE) {
        return RH_ERR_AGAIN;
    }
    size_t size = 0;
    for (unsigned i = 0; i < RH_PEER_FRAME_HEADER_SIZE; i++) {
        size = size << 8 | (uint8_t)input.data[i];
    }
    if (size > decoder->frame_size_max) {
        return rh_fail(reason, RH_ERR_TOO_LARGE, "frame: announces %zu bytes, at most %zu allowed",
                       size, decoder->frame_size_max);
    }
    if (input.size - RH_PEER_FRAME_HEADER_SIZE < size) {
        return RH_ERR_AGAIN;
    }
    *ret_body = rh_bytes(input.data + RH_PEER_FRAME_HEADER_SIZE, size);
    return 0;
}

/* Reads one frame's body. On success |ret_message| points into the arena only. */
static int unpack(struct rh_peer_decoder *decoder, struct rh_bytes body,
                  struct rh_peer_message *ret_message, struct rh_reason *reason)
{
    rh_arena_reset(&decoder->arena, 4 * body.size + ARENA_CHUNK_SIZE);
    wire_frame *frame =
        ringhop__peer__frame__unpack(&decoder->allocator, body.size, (const uint8_t *)body.data);
    if (decoder->arena.failed == RH_ERR_NO_MEMORY) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "frame: out of memory");
    }
    if (frame == NULL) {
        bool full = decoder->arena.failed == RH_ERR_FULL;
        return rh_fail(reason, RH_ERR_INVALID, "frame: %s",
                       full ? "too many fields for its size" : "not protobuf");
    }
    struct rh_peer_message message = {
        .kind = RH_PEER_MESSAGE_KINDS,
        .epoch = {.generation = frame->generation, .pzxid = frame->pzxid},
    };
    for (unsigned i = 0; i < RH_PEER_MESSAGE_KINDS; i++) {
        if (kinds[i].body_case == frame->body_case) {
            message.kind = (enum rh_peer_message_kind)i;
        }
    }
    if (message.kind == RH_PEER_MESSAGE_KINDS) {
        return rh_fail(reason, RH_ERR_INVALID, "frame.body: missing or unknown");
    }
    int rv = kinds[message.kind].unpack(frame, &message, reason);
    if (rv == 0) {
        rv = rh_peer_message_check(&message, reason);
    }
    if (rv == 0) {
        *ret_message = message;
    }
    return rv;
}

int rh_peer_decoder_next(struct rh_peer_decoder *decoder, struct rh_peer_message *ret_message,
                         struct rh_reason *reason)
{
    if (decoder->failed != 0) {
        return rh_fail(reason, decoder->failed, "frame: an earlier one was refused");
    }
    struct rh_bytes body = {0};
    int rv = next_frame(decoder, &body, reason);
    if (rv == 0) {
        rv = unpack(decoder, body, ret_message, reason);
    }
    if (rv == 0) {
        rh_buffer_consume(&decoder->input, RH_PEER_FRAME_HEADER_SIZE + body.size);
    } else if (rv != RH_ERR_AGAIN) {
        decoder->failed = rv;
    }
    if (decoder->input.capacity > INPUT_KEPT_SIZE && rh_buffer_size(&decoder->input) == 0) {
        rh_buffer_finish(&decoder->input);
    }
    return rv;
}
