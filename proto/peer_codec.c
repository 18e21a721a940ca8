/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_codec.h"

#include "proto/peer_codec_internal.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Two halves and a table between them. Per kind there is one function that lays a message out as
 * the generated struct and one that reads it back, in peer_codec_*.c; everything else, framing,
 * memory and checks, is the same for all kinds and stands here.
 *
 * The outermost message has a field for each kind, and one of them is set. The generated code looks at all,
 * several times a frame, so that each frame takes the longer the more kinds there are. Its three fields are
 * therefore written and read here; a frame that another program has laid out differently is left to
 * the generated code.
 */

#define ARENA_CHUNK_SIZE  4096
#define SIZE_FACTOR       4
#define SIZE_FACTOR_SHORT 64
#define SIZE_MORE         (4U << 20)
#define WRITER_CHUNK_SIZE (16U * 1024)
#define INPUT_KEPT_SIZE   (256U * 1024) /* input memory that an idle decoder may hold */

/* Of the outermost message. */
#define VARINT_SIZE_MAX  10U
#define GENERATION       1U
#define PZXID            2U
#define WIRE_VARINT      0U /* the lowest three bits of a tag */
#define WIRE_SIZED       2U
#define TAG(field, wire) ((uint64_t)(field) << 3 | (wire))

/* The table of kinds. */

struct kind {
    Ringhop__Peer__Frame__BodyCase body_case; /* the number of its field */
    const ProtobufCMessageDescriptor *descriptor;
    int (*pack)(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                rh_wire_frame *frame);
    int (*unpack)(const rh_wire_frame *frame, struct rh_peer_message *message,
                  struct rh_wire_reader *reader);
};

static const struct kind kinds[RH_PEER_MESSAGE_KINDS] = {
#define KIND(suffix, member, name)                                                       \
    [RH_PEER_##suffix] = {RINGHOP__PEER__FRAME__BODY_##suffix,                           \
                          &ringhop__peer__##member##__descriptor, rh_wire_pack_##member, \
                          rh_wire_unpack_##member},
    RH_PEER_MESSAGE_MAP(KIND)
#undef KIND
};

/* The kind of a field, and one more; 0 where there is none. */
static const uint8_t kinds_by_field[] = {
#define KIND(suffix, member, name) [RINGHOP__PEER__FRAME__BODY_##suffix] = RH_PEER_##suffix + 1,
    RH_PEER_MESSAGE_MAP(KIND)
#undef KIND
};

static enum rh_peer_message_kind kind_of_field(uint64_t field)
{
    bool known = field < sizeof(kinds_by_field) && kinds_by_field[field] != 0;
    return known ? (enum rh_peer_message_kind)(kinds_by_field[field] - 1) : RH_PEER_MESSAGE_KINDS;
}

/* Writing. */

static uint8_t *write_varint(uint8_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        *out++ = (uint8_t)(value | 0x80);
    }
    *out++ = (uint8_t)value;
    return out;
}

/* A field that is zero is not sent (proto3). */
static uint8_t *write_number(uint8_t *out, unsigned field, uint64_t value)
{
    return value == 0 ? out : write_varint(write_varint(out, TAG(field, WIRE_VARINT)), value);
}

/* Appends |frame| if it is no larger than |frame_size_max|. */
static int append_frame(const rh_wire_frame *frame, size_t frame_size_max, struct rh_buffer *buffer)
{
    const ProtobufCMessage *body = &frame->hello->base; /* each kind begins with it */
    size_t body_size = protobuf_c_message_get_packed_size(body);
    uint8_t head[6 * VARINT_SIZE_MAX];
    uint8_t *end = write_number(head, GENERATION, frame->generation);
    end = write_number(end, PZXID, (uint64_t)frame->pzxid);
    end = write_varint(end, TAG(frame->body_case, WIRE_SIZED));
    end = write_varint(end, body_size);
    size_t head_size = (size_t)(end - head);
    size_t size = head_size + body_size;
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
    memcpy(bytes + RH_PEER_FRAME_HEADER_SIZE, head, head_size);
    size_t packed = protobuf_c_message_pack(body, bytes + RH_PEER_FRAME_HEADER_SIZE + head_size);
    assert(packed == body_size);
    rh_buffer_commit(buffer, RH_PEER_FRAME_HEADER_SIZE + head_size + packed);
    return 0;
}

int rh_peer_encode(const struct rh_peer_message *message, size_t frame_size_max,
                   struct rh_buffer *buffer)
{
    int rv = rh_peer_message_check(message, NULL);
    if (rv != 0) {
        return rv;
    }
    struct rh_wire_writer writer; /* large, and filled in only as far as this kind needs */
    writer.lists_used = 0;
    rh_arena_init(&writer.more, WRITER_CHUNK_SIZE);
    rh_arena_reset(&writer.more, SIZE_MAX);
    rh_wire_frame frame;
    ringhop__peer__frame__init(&frame);
    frame.generation = message->epoch.generation;
    frame.pzxid = message->epoch.pzxid;
    frame.body_case = kinds[message->kind].body_case;
    rv = kinds[message->kind].pack(message, &writer, &frame);
    if (rv == 0) {
        rv = append_frame(&frame, frame_size_max, buffer);
    }
    rh_arena_finish(&writer.more);
    return rv;
}

/* Reading. */

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

/*
 * The memory that a frame of |size| may unpack to: the bytes again, and beside them a struct for
 * each part. For the shortest items of a list these are fifty times the item, but a message has few
 * such: its sender ends a list at RH_PEER_BATCH_SIZE.
 */
static size_t arena_size_max(size_t size)
{
    size_t dense = SIZE_FACTOR_SHORT * size;
    size_t sparse = SIZE_FACTOR * size + SIZE_MORE;
    return (dense < sparse ? dense : sparse) + ARENA_CHUNK_SIZE;
}

/* Takes a number from the front of |bytes|; false if there is none. */
static bool read_varint(struct rh_bytes *bytes, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes->size && i < VARINT_SIZE_MAX; i++) {
        uint8_t byte = (uint8_t)bytes->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret_value = value;
            *bytes = rh_bytes(bytes->data + i + 1, bytes->size - i - 1);
            return true;
        }
    }
    return false;
}

/* Fills in |frame| but for the body, which is returned. False: it is not laid out as append_frame() does. */
static bool read_head(struct rh_bytes bytes, rh_wire_frame *frame, struct rh_bytes *ret_body)
{
    uint64_t tag = 0;
    uint64_t number = 0;
    while (read_varint(&bytes, &tag) && read_varint(&bytes, &number)) {
        if (tag == TAG(GENERATION, WIRE_VARINT)) {
            frame->generation = number;
        } else if (tag == TAG(PZXID, WIRE_VARINT)) {
            frame->pzxid = (int64_t)number;
        } else {
            uint64_t field = tag >> 3;
            frame->body_case = (Ringhop__Peer__Frame__BodyCase)field;
            *ret_body = bytes;
            return tag == TAG(field, WIRE_SIZED) && number == bytes.size &&
                   kind_of_field(field) != RH_PEER_MESSAGE_KINDS;
        }
    }
    return false;
}

/* Reads a frame into the arena, or |room|. NULL: it is none, or there is no memory. */
static const rh_wire_frame *read_frame(struct rh_peer_decoder *decoder, struct rh_bytes bytes,
                                       rh_wire_frame *room)
{
    struct rh_bytes body = {0};
    ringhop__peer__frame__init(room);
    if (!read_head(bytes, room, &body)) {
        return ringhop__peer__frame__unpack(&decoder->allocator, bytes.size,
                                            (const uint8_t *)bytes.data);
    }
    ProtobufCMessage *message =
        protobuf_c_message_unpack(kinds[kind_of_field(room->body_case)].descriptor,
                                  &decoder->allocator, body.size, (const uint8_t *)body.data);
    room->hello = (Ringhop__Peer__Hello *)message; /* or whichever kind it is: all are pointers */
    return message == NULL ? NULL : room;
}

/* Reads one frame's body. On success |ret_message| points into the arena only. */
static int unpack(struct rh_peer_decoder *decoder, struct rh_bytes body,
                  struct rh_peer_message *ret_message, struct rh_reason *reason)
{
    rh_arena_reset(&decoder->arena, arena_size_max(body.size));
    struct rh_wire_reader reader = {.arena = &decoder->arena, .reason = reason};
    rh_wire_frame room;
    const rh_wire_frame *frame = read_frame(decoder, body, &room);
    if (frame == NULL) {
        return decoder->arena.failed != 0 ? rh_wire_no_room(&reader)
                                          : rh_fail(reason, RH_ERR_INVALID, "frame: not protobuf");
    }
    struct rh_peer_message message = {
        .kind = kind_of_field(frame->body_case),
        .epoch = {.generation = frame->generation, .pzxid = frame->pzxid},
    };
    if (message.kind == RH_PEER_MESSAGE_KINDS) {
        return rh_fail(reason, RH_ERR_INVALID, "frame.body: missing or unknown");
    }
    int rv = kinds[message.kind].unpack(frame, &message, &reader);
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
