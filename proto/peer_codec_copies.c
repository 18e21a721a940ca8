/* SPDX-License-Identifier: Apache-2.0 */
/* The messages by which copies of channels are kept equal: appends, syncs, and their answers. */
#include "proto/peer_codec_internal.h"

/* An age on the wire is one higher, so that RH_PEER_NO_PROOF becomes 0 and is left out. */

static uint32_t wire_proof(uint32_t age_ms)
{
    return age_ms + 1;
}

static uint32_t wire_to_proof(uint32_t wire)
{
    return wire - 1;
}

static int pack_terms(const struct rh_peer_term_from *terms, size_t count,
                      struct rh_wire_writer *writer, size_t *ret_count,
                      Ringhop__Peer__TermFrom ***ret_list)
{
    Ringhop__Peer__TermFrom **list = rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__TermFrom *items = (Ringhop__Peer__TermFrom *)(list + count);
    for (size_t i = 0; i < count; i++) {
        ringhop__peer__term_from__init(&items[i]);
        items[i].first_op = terms[i].first_op;
        items[i].generation = terms[i].term.generation;
        items[i].pzxid = terms[i].term.pzxid;
        items[i].turn = terms[i].term.turn;
        list[i] = &items[i];
    }
    *ret_count = count;
    *ret_list = list;
    return 0;
}

static int unpack_terms(size_t count, Ringhop__Peer__TermFrom *const *list,
                        const struct rh_peer_term_from **ret_terms, size_t *ret_count,
                        struct rh_wire_reader *reader)
{
    struct rh_peer_term_from *terms = rh_arena_alloc(reader->arena, count * sizeof(*terms));
    if (terms == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        const Ringhop__Peer__TermFrom *wire = list[i];
        if (wire->generation > UINT32_MAX || wire->turn > UINT32_MAX) {
            return rh_fail(reader->reason, RH_ERR_INVALID, "sync_begin.terms: a number above 2^32");
        }
        terms[i] = (struct rh_peer_term_from){
            .first_op = wire->first_op,
            .term = {.pzxid = wire->pzxid,
                     .generation = (uint32_t)wire->generation,
                     .turn = (uint32_t)wire->turn},
        };
    }
    *ret_terms = terms;
    *ret_count = count;
    return 0;
}

static int pack_ids(const struct rh_peer_id *ids, size_t count, struct rh_wire_writer *writer,
                    size_t *ret_count, Ringhop__Peer__Id ***ret_list)
{
    Ringhop__Peer__Id **list = rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__Id *items = (Ringhop__Peer__Id *)(list + count);
    for (size_t i = 0; i < count; i++) {
        ringhop__peer__id__init(&items[i]);
        items[i].id = rh_wire_bytes(ids[i].id);
        items[i].seq = ids[i].seq;
        items[i].op = ids[i].op;
        items[i].age_ms = ids[i].age_ms;
        items[i].version = ids[i].version;
        list[i] = &items[i];
    }
    *ret_count = count;
    *ret_list = list;
    return 0;
}

static int unpack_ids(size_t count, Ringhop__Peer__Id *const *list,
                      const struct rh_peer_id **ret_ids, size_t *ret_count,
                      struct rh_wire_reader *reader)
{
    struct rh_peer_id *ids = rh_arena_alloc(reader->arena, count * sizeof(*ids));
    if (ids == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] = (struct rh_peer_id){
            .id = rh_wire_to_bytes(list[i]->id),
            .seq = list[i]->seq,
            .op = list[i]->op,
            .age_ms = list[i]->age_ms,
            .version = list[i]->version,
        };
    }
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}

/* append and its answer */

int rh_wire_pack_append(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                        rh_wire_frame *frame)
{
    const struct rh_peer_append *append = &message->append;
    Ringhop__Peer__Append *wire = &writer->append;
    ringhop__peer__append__init(wire);
    wire->key = rh_wire_bytes(append->key);
    wire->incarnation = append->incarnation;
    wire->term = rh_wire_term(append->term, &writer->terms[0]);
    wire->prev_term = rh_wire_term(append->prev_term, &writer->terms[1]);
    wire->prev_op = append->prev_op;
    wire->commit = append->commit;
    wire->sent_ms = append->sent_ms;
    frame->append = wire;
    int rv =
        rh_wire_operations(&append->operations, writer, &wire->n_operations, &wire->operations);
    if (rv == 0) {
        rv = rh_wire_group(&append->group, writer, &wire->n_group, &wire->group);
    }
    return rv;
}

int rh_wire_unpack_append(const rh_wire_frame *frame, struct rh_peer_message *message,
                          struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Append *wire = frame->append;
    struct rh_peer_append *append = &message->append;
    append->key = rh_wire_to_bytes(wire->key);
    append->incarnation = wire->incarnation;
    append->prev_op = wire->prev_op;
    append->commit = wire->commit;
    append->sent_ms = wire->sent_ms;
    int rv = rh_wire_to_term(wire->term, "append.term", &append->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_term(wire->prev_term, "append.prev_term", &append->prev_term,
                             reader->reason);
    }
    if (rv == 0) {
        uint64_t first_op = wire->n_operations > 0 ? wire->prev_op + 1 : 0;
        rv = rh_wire_to_operations(first_op, wire->n_operations, wire->operations,
                                   &append->operations, reader);
    }
    if (rv == 0) {
        rv = rh_wire_to_group(wire->n_group, wire->group, "append.group", &append->group, reader);
    }
    return rv;
}

int rh_wire_pack_append_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    const struct rh_peer_append_ack *ack = &message->append_ack;
    Ringhop__Peer__AppendAck *wire = &writer->append_ack;
    ringhop__peer__append_ack__init(wire);
    wire->key = rh_wire_bytes(ack->key);
    wire->incarnation = ack->incarnation;
    wire->term = rh_wire_term(ack->term, &writer->terms[0]);
    wire->op = ack->op;
    wire->confirmed = ack->confirmed;
    wire->proof = wire_proof(ack->proof_age_ms);
    wire->sent_ms = ack->sent_ms;
    frame->append_ack = wire;
    return 0;
}

int rh_wire_unpack_append_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    const Ringhop__Peer__AppendAck *wire = frame->append_ack;
    message->append_ack = (struct rh_peer_append_ack){
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .op = wire->op,
        .confirmed = wire->confirmed,
        .proof_age_ms = wire_to_proof(wire->proof),
        .sent_ms = wire->sent_ms,
    };
    return rh_wire_to_term(wire->term, "append_ack.term", &message->append_ack.term,
                           reader->reason);
}

/* sync_begin, sync_chunk and their answer */

int rh_wire_pack_sync_begin(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    const struct rh_peer_sync_begin *begin = &message->sync_begin;
    Ringhop__Peer__SyncBegin *wire = &writer->sync_begin;
    ringhop__peer__sync_begin__init(wire);
    wire->sync = begin->sync;
    wire->purpose = (Ringhop__Peer__SyncPurpose)rh_wire_enum((int)begin->purpose);
    wire->key = rh_wire_bytes(begin->key);
    wire->incarnation = begin->incarnation;
    wire->term = rh_wire_term(begin->term, &writer->terms[0]);
    wire->op = begin->op;
    wire->seq = begin->seq;
    wire->commit = begin->commit;
    wire->from_op = begin->from_op;
    wire->base_term = rh_wire_term(begin->base_term, &writer->terms[1]);
    wire->version = begin->version;
    wire->has_state = begin->has_state;
    wire->content_type = rh_wire_bytes(begin->content_type);
    wire->state = rh_wire_bytes(begin->state);
    wire->sent_ms = begin->sent_ms;
    wire->first_op = begin->operations.first_op;
    wire->last = begin->last;
    frame->sync_begin = wire;
    int rv = rh_wire_group(&begin->group, writer, &wire->n_group, &wire->group);
    if (rv == 0) {
        rv = pack_terms(begin->terms, begin->terms_count, writer, &wire->n_terms, &wire->terms);
    }
    if (rv == 0) {
        rv = rh_wire_operations(&begin->operations, writer, &wire->n_operations, &wire->operations);
    }
    if (rv == 0) {
        rv = pack_ids(begin->ids, begin->ids_count, writer, &wire->n_ids, &wire->ids);
    }
    if (rv == 0) {
        rv = rh_wire_follows(begin->follows, begin->follows_count, writer, &wire->n_follows,
                             &wire->follows);
    }
    return rv;
}

int rh_wire_unpack_sync_begin(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    const Ringhop__Peer__SyncBegin *wire = frame->sync_begin;
    struct rh_peer_sync_begin *begin = &message->sync_begin;
    begin->sync = wire->sync;
    begin->purpose =
        (enum rh_peer_sync_purpose)rh_wire_to_enum((int)wire->purpose, RH_PEER_SYNC_PURPOSES);
    begin->key = rh_wire_to_bytes(wire->key);
    begin->incarnation = wire->incarnation;
    begin->op = wire->op;
    begin->seq = wire->seq;
    begin->commit = wire->commit;
    begin->from_op = wire->from_op;
    begin->version = wire->version;
    begin->has_state = wire->has_state;
    begin->content_type = rh_wire_to_bytes(wire->content_type);
    begin->state = rh_wire_to_bytes(wire->state);
    begin->sent_ms = wire->sent_ms;
    begin->last = wire->last;
    int rv = rh_wire_to_term(wire->term, "sync_begin.term", &begin->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_term(wire->base_term, "sync_begin.base_term", &begin->base_term,
                             reader->reason);
    }
    if (rv == 0) {
        rv =
            rh_wire_to_group(wire->n_group, wire->group, "sync_begin.group", &begin->group, reader);
    }
    if (rv == 0) {
        rv = unpack_terms(wire->n_terms, wire->terms, &begin->terms, &begin->terms_count, reader);
    }
    if (rv == 0) {
        rv = rh_wire_to_operations(wire->first_op, wire->n_operations, wire->operations,
                                   &begin->operations, reader);
    }
    if (rv == 0) {
        rv = unpack_ids(wire->n_ids, wire->ids, &begin->ids, &begin->ids_count, reader);
    }
    if (rv == 0) {
        rv = rh_wire_to_follows(wire->n_follows, wire->follows, &begin->follows,
                                &begin->follows_count, reader);
    }
    return rv;
}

int rh_wire_pack_sync_chunk(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    const struct rh_peer_sync_chunk *chunk = &message->sync_chunk;
    Ringhop__Peer__SyncChunk *wire = &writer->sync_chunk;
    ringhop__peer__sync_chunk__init(wire);
    wire->sync = chunk->sync;
    wire->index = chunk->index;
    wire->first_op = chunk->operations.first_op;
    wire->last = chunk->last;
    frame->sync_chunk = wire;
    int rv = rh_wire_operations(&chunk->operations, writer, &wire->n_operations, &wire->operations);
    if (rv == 0) {
        rv = pack_ids(chunk->ids, chunk->ids_count, writer, &wire->n_ids, &wire->ids);
    }
    return rv;
}

int rh_wire_unpack_sync_chunk(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    const Ringhop__Peer__SyncChunk *wire = frame->sync_chunk;
    struct rh_peer_sync_chunk *chunk = &message->sync_chunk;
    chunk->sync = wire->sync;
    chunk->index = wire->index;
    chunk->last = wire->last;
    int rv = rh_wire_to_operations(wire->first_op, wire->n_operations, wire->operations,
                                   &chunk->operations, reader);
    if (rv == 0) {
        rv = unpack_ids(wire->n_ids, wire->ids, &chunk->ids, &chunk->ids_count, reader);
    }
    return rv;
}

int rh_wire_pack_sync_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                          rh_wire_frame *frame)
{
    const struct rh_peer_sync_ack *ack = &message->sync_ack;
    Ringhop__Peer__SyncAck *wire = &writer->sync_ack;
    ringhop__peer__sync_ack__init(wire);
    wire->sync = ack->sync;
    wire->key = rh_wire_bytes(ack->key);
    wire->incarnation = ack->incarnation;
    wire->term = rh_wire_term(ack->term, &writer->terms[0]);
    wire->op = ack->op;
    wire->confirmed = ack->confirmed;
    wire->done = ack->done;
    wire->index = ack->index;
    wire->proof = wire_proof(ack->proof_age_ms);
    wire->sent_ms = ack->sent_ms;
    frame->sync_ack = wire;
    return 0;
}

int rh_wire_unpack_sync_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                            struct rh_wire_reader *reader)
{
    const Ringhop__Peer__SyncAck *wire = frame->sync_ack;
    message->sync_ack = (struct rh_peer_sync_ack){
        .sync = wire->sync,
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .op = wire->op,
        .confirmed = wire->confirmed,
        .done = wire->done,
        .index = wire->index,
        .proof_age_ms = wire_to_proof(wire->proof),
        .sent_ms = wire->sent_ms,
    };
    return rh_wire_to_term(wire->term, "sync_ack.term", &message->sync_ack.term, reader->reason);
}

/* credit */

int rh_wire_pack_credit(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                        rh_wire_frame *frame)
{
    ringhop__peer__credit__init(&writer->credit);
    writer->credit.channels = message->credit.channels;
    writer->credit.bytes = message->credit.bytes;
    frame->credit = &writer->credit;
    return 0;
}

int rh_wire_unpack_credit(const rh_wire_frame *frame, struct rh_peer_message *message,
                          struct rh_wire_reader *reader)
{
    (void)reader;
    message->credit.channels = frame->credit->channels;
    message->credit.bytes = frame->credit->bytes;
    return 0;
}

/* refused */

/* The message that is refused goes by its number in the frame, which never changes. */
static const uint32_t about_numbers[RH_PEER_MESSAGE_KINDS] = {
    [RH_PEER_APPEND] = RINGHOP__PEER__FRAME__BODY_APPEND,
    [RH_PEER_SYNC_BEGIN] = RINGHOP__PEER__FRAME__BODY_SYNC_BEGIN,
    [RH_PEER_SYNC_CHUNK] = RINGHOP__PEER__FRAME__BODY_SYNC_CHUNK,
    [RH_PEER_FETCH] = RINGHOP__PEER__FRAME__BODY_FETCH,
    [RH_PEER_OWN] = RINGHOP__PEER__FRAME__BODY_OWN,
    [RH_PEER_EXPEDITE] = RINGHOP__PEER__FRAME__BODY_EXPEDITE,
    [RH_PEER_LEAVE] = RINGHOP__PEER__FRAME__BODY_LEAVE,
};

static uint32_t unpack_about(uint32_t number)
{
    for (uint32_t kind = 0; kind < RH_PEER_MESSAGE_KINDS; kind++) {
        if (about_numbers[kind] != 0 && about_numbers[kind] == number) {
            return kind;
        }
    }
    return RH_PEER_MESSAGE_KINDS;
}

int rh_wire_pack_refused(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                         rh_wire_frame *frame)
{
    const struct rh_peer_refused *refused = &message->refused;
    Ringhop__Peer__Refused *wire = &writer->refused;
    ringhop__peer__refused__init(wire);
    wire->about = about_numbers[refused->about];
    wire->key = rh_wire_bytes(refused->key);
    wire->term = rh_wire_term(refused->term, &writer->terms[0]);
    wire->sync = refused->sync;
    wire->code = (Ringhop__Peer__RefusedCode)rh_wire_enum((int)refused->code);
    wire->have_term = rh_wire_term(refused->have_term, &writer->terms[1]);
    wire->have_op = refused->have_op;
    frame->refused = wire;
    return 0;
}

int rh_wire_unpack_refused(const rh_wire_frame *frame, struct rh_peer_message *message,
                           struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Refused *wire = frame->refused;
    struct rh_peer_refused *refused = &message->refused;
    *refused = (struct rh_peer_refused){
        .about = unpack_about(wire->about),
        .key = rh_wire_to_bytes(wire->key),
        .sync = wire->sync,
        .code = (enum rh_peer_refused_code)rh_wire_to_enum((int)wire->code, RH_PEER_REFUSED_CODES),
        .have_op = wire->have_op,
    };
    int rv = rh_wire_to_term(wire->term, "refused.term", &refused->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_term(wire->have_term, "refused.have_term", &refused->have_term,
                             reader->reason);
    }
    return rv;
}
