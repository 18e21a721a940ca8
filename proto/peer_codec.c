/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_codec.h"

#include "proto/peer_codec_internal.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Two halves and a table between them. Per kind there is one function that lays a message out as
 * the generated struct and one that reads it back, in peer_codec_*.c; everything else, framing,
 * memory and checks, is the same for all kinds and stands here.
 */

#define ARENA_CHUNK_SIZE  4096
#define SIZE_FACTOR       4
#define SIZE_FACTOR_SHORT 64
#define SIZE_MORE         (4U << 20)
#define WRITER_CHUNK_SIZE (16U * 1024)
#define INPUT_KEPT_SIZE   (256U * 1024) /* input memory that an idle decoder may hold */

/* The table of kinds. */

struct kind {
    Ringhop__Peer__Frame__BodyCase body_case;
    int (*pack)(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                rh_wire_frame *frame);
    int (*unpack)(const rh_wire_frame *frame, struct rh_peer_message *message,
                  struct rh_wire_reader *reader);
};

static const struct kind kinds[RH_PEER_MESSAGE_KINDS] = {
#define KIND(suffix, member, name)                                                    \
    [RH_PEER_##suffix] = {RINGHOP__PEER__FRAME__BODY_##suffix, rh_wire_pack_##member, \
                          rh_wire_unpack_##member},
    RH_PEER_MESSAGE_MAP(KIND)
#undef KIND
};

/* Appends |frame| if it is no larger than |frame_size_max|. */
static int append_frame(const rh_wire_frame *frame, size_t frame_size_max, struct rh_buffer *buffer)
{
    size_t size = ringhop__peer__frame__get_packed_size(frame);
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
    size_t packed = ringhop__peer__frame__pack(frame, bytes + RH_PEER_FRAME_HEADER_SIZE);
    assert(packed == size);
    rh_buffer_commit(buffer, RH_PEER_FRAME_HEADER_SIZE + packed);
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

/* Reads one frame's body. On success |ret_message| points into the arena only. */
static int unpack(struct rh_peer_decoder *decoder, struct rh_bytes body,
                  struct rh_peer_message *ret_message, struct rh_reason *reason)
{
    rh_arena_reset(&decoder->arena, arena_size_max(body.size));
    struct rh_wire_reader reader = {.arena = &decoder->arena, .reason = reason};
    rh_wire_frame *frame =
        ringhop__peer__frame__unpack(&decoder->allocator, body.size, (const uint8_t *)body.data);
    if (frame == NULL) {
        return decoder->arena.failed != 0 ? rh_wire_no_room(&reader)
                                          : rh_fail(reason, RH_ERR_INVALID, "frame: not protobuf");
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
