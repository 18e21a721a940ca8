/* SPDX-License-Identifier: Apache-2.0 */
/* The messages by which a node carries connections to the owners of their channels. */
#include "proto/peer_codec_internal.h"

static int pack_messages(const struct rh_peer_operation *messages, size_t count,
                         struct rh_wire_writer *writer, size_t *ret_count,
                         Ringhop__Peer__Operation ***ret_list)
{
    const struct rh_peer_operations operations = {.items = messages, .count = count};
    return rh_wire_operations(&operations, writer, ret_count, ret_list);
}

static int unpack_messages(size_t count, Ringhop__Peer__Operation *const *list,
                           const struct rh_peer_operation **ret_messages, size_t *ret_count,
                           struct rh_wire_reader *reader)
{
    struct rh_peer_operations operations;
    int rv = rh_wire_to_operations(0, count, list, &operations, reader);
    if (rv == 0) {
        *ret_messages = operations.items;
        *ret_count = operations.count;
    }
    return rv;
}

/* to the owner */

int rh_wire_pack_stream_open(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                             rh_wire_frame *frame)
{
    const struct rh_peer_stream_open *open = &message->stream_open;
    Ringhop__Peer__StreamOpen *wire = &writer->stream_open;
    ringhop__peer__stream_open__init(wire);
    wire->tunnel = open->tunnel;
    wire->number = open->number;
    wire->stream = open->stream;
    wire->key = rh_wire_bytes(open->key);
    wire->has_after = open->has_after;
    wire->incarnation = open->after.incarnation;
    wire->seq = open->after.seq;
    wire->is_read = open->is_read;
    wire->is_anchored = open->is_anchored;
    wire->limit = open->limit;
    wire->wait_ms = open->wait_ms;
    wire->window = open->window;
    wire->used = open->used;
    wire->room_min = open->room_min;
    wire->client = rh_wire_bytes(open->client);
    wire->meta = rh_wire_bytes(open->meta);
    wire->watches_state = open->watches_state;
    wire->watches_presence = open->watches_presence;
    frame->stream_open = wire;
    return 0;
}

int rh_wire_unpack_stream_open(const rh_wire_frame *frame, struct rh_peer_message *message,
                               struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StreamOpen *wire = frame->stream_open;
    message->stream_open = (struct rh_peer_stream_open){
        .tunnel = wire->tunnel,
        .number = wire->number,
        .stream = wire->stream,
        .key = rh_wire_to_bytes(wire->key),
        .has_after = wire->has_after,
        .after = {.incarnation = wire->incarnation, .seq = wire->seq},
        .is_read = wire->is_read,
        .is_anchored = wire->is_anchored,
        .limit = wire->limit,
        .wait_ms = wire->wait_ms,
        .window = wire->window,
        .used = wire->used,
        .room_min = wire->room_min,
        .client = rh_wire_to_bytes(wire->client),
        .meta = rh_wire_to_bytes(wire->meta),
        .watches_state = wire->watches_state,
        .watches_presence = wire->watches_presence,
    };
    return 0;
}

int rh_wire_pack_stream_close(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_stream_close *close = &message->stream_close;
    Ringhop__Peer__StreamClose *wire = &writer->stream_close;
    ringhop__peer__stream_close__init(wire);
    wire->tunnel = close->tunnel;
    wire->number = close->number;
    wire->stream = close->stream;
    frame->stream_close = wire;
    return 0;
}

int rh_wire_unpack_stream_close(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StreamClose *wire = frame->stream_close;
    message->stream_close = (struct rh_peer_stream_close){
        .tunnel = wire->tunnel, .number = wire->number, .stream = wire->stream};
    return 0;
}

int rh_wire_pack_stream_taken(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_stream_taken *taken = &message->stream_taken;
    Ringhop__Peer__StreamTaken *wire = &writer->stream_taken;
    size_t count = taken->rooms_count;
    Ringhop__Peer__StreamRoom **list =
        rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__StreamRoom *rooms = (Ringhop__Peer__StreamRoom *)(list + count);
    for (size_t i = 0; i < count; i++) {
        ringhop__peer__stream_room__init(&rooms[i]);
        rooms[i].stream = taken->rooms[i].stream;
        rooms[i].size = taken->rooms[i].size;
        list[i] = &rooms[i];
    }
    ringhop__peer__stream_taken__init(wire);
    wire->tunnel = taken->tunnel;
    wire->number = taken->number;
    wire->arrived = taken->arrived;
    wire->rooms = list;
    wire->n_rooms = count;
    frame->stream_taken = wire;
    return 0;
}

int rh_wire_unpack_stream_taken(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamTaken *wire = frame->stream_taken;
    struct rh_peer_stream_room *rooms =
        rh_arena_alloc(reader->arena, wire->n_rooms * sizeof(*rooms));
    if (rooms == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < wire->n_rooms; i++) {
        rooms[i] = (struct rh_peer_stream_room){.stream = wire->rooms[i]->stream,
                                                .size = wire->rooms[i]->size};
    }
    message->stream_taken = (struct rh_peer_stream_taken){
        .tunnel = wire->tunnel,
        .number = wire->number,
        .arrived = wire->arrived,
        .rooms = rooms,
        .rooms_count = wire->n_rooms,
    };
    return 0;
}

int rh_wire_pack_tunnel_check(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    ringhop__peer__tunnel_check__init(&writer->tunnel_check);
    writer->tunnel_check.tunnel = message->tunnel_check.tunnel;
    writer->tunnel_check.number = message->tunnel_check.number;
    frame->tunnel_check = &writer->tunnel_check;
    return 0;
}

int rh_wire_unpack_tunnel_check(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    (void)reader;
    message->tunnel_check = (struct rh_peer_tunnel_check){.tunnel = frame->tunnel_check->tunnel,
                                                          .number = frame->tunnel_check->number};
    return 0;
}

/* to the relaying node */

int rh_wire_pack_stream_opened(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                               rh_wire_frame *frame)
{
    const struct rh_peer_stream_opened *opened = &message->stream_opened;
    Ringhop__Peer__StreamOpened *wire = &writer->stream_opened;
    ringhop__peer__stream_opened__init(wire);
    wire->tunnel = opened->tunnel;
    wire->number = opened->number;
    wire->stream = opened->stream;
    wire->incarnation = opened->incarnation;
    wire->seq = opened->seq;
    wire->recovered = opened->recovered;
    frame->stream_opened = wire;
    return 0;
}

int rh_wire_unpack_stream_opened(const rh_wire_frame *frame, struct rh_peer_message *message,
                                 struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StreamOpened *wire = frame->stream_opened;
    message->stream_opened = (struct rh_peer_stream_opened){
        .tunnel = wire->tunnel,
        .number = wire->number,
        .stream = wire->stream,
        .incarnation = wire->incarnation,
        .seq = wire->seq,
        .recovered = wire->recovered,
    };
    return 0;
}

int rh_wire_pack_stream_batch(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_stream_batch *messages = &message->stream_batch;
    Ringhop__Peer__StreamBatch *wire = &writer->stream_batch;
    ringhop__peer__stream_batch__init(wire);
    wire->tunnel = messages->tunnel;
    wire->number = messages->number;
    wire->streams = (uint64_t *)(uintptr_t)messages->streams; /* not written to */
    wire->n_streams = messages->streams_count;
    wire->incarnation = messages->incarnation;
    wire->size = messages->size;
    frame->stream_batch = wire;
    return pack_messages(messages->messages, messages->messages_count, writer, &wire->n_messages,
                         &wire->messages);
}

int rh_wire_unpack_stream_batch(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamBatch *wire = frame->stream_batch;
    struct rh_peer_stream_batch *messages = &message->stream_batch;
    messages->tunnel = wire->tunnel;
    messages->number = wire->number;
    messages->streams = wire->streams;
    messages->streams_count = wire->n_streams;
    messages->incarnation = wire->incarnation;
    messages->size = wire->size;
    return unpack_messages(wire->n_messages, wire->messages, &messages->messages,
                           &messages->messages_count, reader);
}

int rh_wire_pack_stream_state(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_stream_state *state = &message->stream_state;
    Ringhop__Peer__StreamState *wire = &writer->stream_state;
    ringhop__peer__stream_state__init(wire);
    wire->tunnel = state->tunnel;
    wire->number = state->number;
    wire->streams = (uint64_t *)(uintptr_t)state->streams; /* not written to */
    wire->n_streams = state->streams_count;
    frame->stream_state = wire;
    return pack_messages(state->state, state->state_count, writer, &wire->n_state, &wire->state);
}

int rh_wire_unpack_stream_state(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamState *wire = frame->stream_state;
    struct rh_peer_stream_state *state = &message->stream_state;
    state->tunnel = wire->tunnel;
    state->number = wire->number;
    state->streams = wire->streams;
    state->streams_count = wire->n_streams;
    return unpack_messages(wire->n_state, wire->state, &state->state, &state->state_count, reader);
}

int rh_wire_pack_stream_presence(const struct rh_peer_message *message,
                                 struct rh_wire_writer *writer, rh_wire_frame *frame)
{
    const struct rh_peer_stream_presence *presence = &message->stream_presence;
    Ringhop__Peer__StreamPresence *wire = &writer->stream_presence;
    ringhop__peer__stream_presence__init(wire);
    wire->tunnel = presence->tunnel;
    wire->number = presence->number;
    wire->streams = (uint64_t *)(uintptr_t)presence->streams; /* not written to */
    wire->n_streams = presence->streams_count;
    wire->incarnation = presence->incarnation;
    wire->is_whole = presence->is_whole;
    frame->stream_presence = wire;
    int rv = rh_wire_clients(presence->left, writer, &wire->n_left, &wire->left);
    if (rv == 0) {
        rv = rh_wire_clients(presence->joined, writer, &wire->n_joined, &wire->joined);
    }
    return rv != 0 ? rv
                   : rh_wire_clients(presence->changed, writer, &wire->n_changed, &wire->changed);
}

int rh_wire_unpack_stream_presence(const rh_wire_frame *frame, struct rh_peer_message *message,
                                   struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamPresence *wire = frame->stream_presence;
    struct rh_peer_stream_presence *presence = &message->stream_presence;
    presence->tunnel = wire->tunnel;
    presence->number = wire->number;
    presence->streams = wire->streams;
    presence->streams_count = wire->n_streams;
    presence->incarnation = wire->incarnation;
    presence->is_whole = wire->is_whole;
    int rv = rh_wire_to_clients(wire->n_left, wire->left, reader, &presence->left);
    if (rv == 0) {
        rv = rh_wire_to_clients(wire->n_joined, wire->joined, reader, &presence->joined);
    }
    return rv != 0 ? rv
                   : rh_wire_to_clients(wire->n_changed, wire->changed, reader, &presence->changed);
}

int rh_wire_pack_stream_show(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                             rh_wire_frame *frame)
{
    const struct rh_peer_stream_show *show = &message->stream_show;
    Ringhop__Peer__StreamShow *wire = &writer->stream_show;
    ringhop__peer__stream_show__init(wire);
    wire->tunnel = show->tunnel;
    wire->number = show->number;
    wire->stream = show->stream;
    frame->stream_show = wire;
    return 0;
}

int rh_wire_unpack_stream_show(const rh_wire_frame *frame, struct rh_peer_message *message,
                               struct rh_wire_reader *reader)
{
    (void)reader;
    const Ringhop__Peer__StreamShow *wire = frame->stream_show;
    message->stream_show = (struct rh_peer_stream_show){
        .tunnel = wire->tunnel, .number = wire->number, .stream = wire->stream};
    return 0;
}

int rh_wire_pack_stream_read(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                             rh_wire_frame *frame)
{
    const struct rh_peer_stream_read *read = &message->stream_read;
    Ringhop__Peer__StreamRead *wire = &writer->stream_read;
    ringhop__peer__stream_read__init(wire);
    wire->tunnel = read->tunnel;
    wire->number = read->number;
    wire->stream = read->stream;
    wire->incarnation = read->incarnation;
    wire->seq = read->seq;
    wire->recovered = read->recovered;
    wire->more = read->more;
    frame->stream_read = wire;
    return pack_messages(read->messages, read->messages_count, writer, &wire->n_messages,
                         &wire->messages);
}

int rh_wire_unpack_stream_read(const rh_wire_frame *frame, struct rh_peer_message *message,
                               struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamRead *wire = frame->stream_read;
    struct rh_peer_stream_read *read = &message->stream_read;
    read->tunnel = wire->tunnel;
    read->number = wire->number;
    read->stream = wire->stream;
    read->incarnation = wire->incarnation;
    read->seq = wire->seq;
    read->recovered = wire->recovered;
    read->more = wire->more;
    return unpack_messages(wire->n_messages, wire->messages, &read->messages, &read->messages_count,
                           reader);
}

int rh_wire_pack_stream_ended(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    const struct rh_peer_stream_ended *ended = &message->stream_ended;
    Ringhop__Peer__StreamEnded *wire = &writer->stream_ended;
    ringhop__peer__stream_ended__init(wire);
    wire->tunnel = ended->tunnel;
    wire->number = ended->number;
    wire->stream = ended->stream;
    wire->owner = rh_wire_text(ended->owner);
    wire->code = rh_wire_bytes(ended->code);
    frame->stream_ended = wire;
    return 0;
}

int rh_wire_unpack_stream_ended(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    const Ringhop__Peer__StreamEnded *wire = frame->stream_ended;
    struct rh_peer_stream_ended *ended = &message->stream_ended;
    ended->tunnel = wire->tunnel;
    ended->number = wire->number;
    ended->stream = wire->stream;
    ended->code = rh_wire_to_bytes(wire->code);
    return rh_wire_to_id(wire->owner, "stream_ended.owner", ended->owner, reader->reason);
}

int rh_wire_pack_tunnel_state(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    ringhop__peer__tunnel_state__init(&writer->tunnel_state);
    writer->tunnel_state.tunnel = message->tunnel_state.tunnel;
    writer->tunnel_state.number = message->tunnel_state.number;
    writer->tunnel_state.is_broken = message->tunnel_state.is_broken;
    frame->tunnel_state = &writer->tunnel_state;
    return 0;
}

int rh_wire_unpack_tunnel_state(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    (void)reader;
    message->tunnel_state = (struct rh_peer_tunnel_state){
        .tunnel = frame->tunnel_state->tunnel,
        .number = frame->tunnel_state->number,
        .is_broken = frame->tunnel_state->is_broken,
    };
    return 0;
}
