/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of proto/peer_replication.h: their ranges, and what becomes of their lists on the
 * wire. What holds for all kinds of messages is in peer_codec_test.c. */
#include "proto/peer.pb-c.h"
#include "proto/peer_codec.h"
#include "tests/allocation.h"
#include "tests/peer_samples.h"
#include "tests/random.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_SIZE_MAX (4U << 20)

static struct rh_bytes text(const char *value)
{
    return rh_bytes_text(value);
}

/* Feeds one frame with that body to a decoder; the result of the decoder, which is the caller's to
 * destroy and keeps what |ret_message| points to. */
static int decode_body(struct rh_bytes body, struct rh_peer_decoder **ret_decoder,
                       struct rh_peer_message *ret_message, struct rh_reason *reason)
{
    const uint8_t header[] = {(uint8_t)(body.size >> 24), (uint8_t)(body.size >> 16),
                              (uint8_t)(body.size >> 8), (uint8_t)body.size};
    assert_int_equal(rh_peer_decoder_create(FRAME_SIZE_MAX, ret_decoder), 0);
    assert_int_equal(rh_peer_decoder_feed(*ret_decoder, header, sizeof(header)), 0);
    assert_int_equal(rh_peer_decoder_feed(*ret_decoder, body.data, body.size), 0);
    return rh_peer_decoder_next(*ret_decoder, ret_message, reason);
}

static int decode(struct rh_bytes body, struct rh_reason *reason)
{
    struct rh_peer_decoder *decoder = NULL;
    struct rh_peer_message message;
    int rv = decode_body(body, &decoder, &message, reason);
    rh_peer_decoder_destroy(decoder);
    return rv;
}

/* ---- lists ---- */

/* The longest lists that there may be, of the shortest items. */
struct lists {
    struct rh_node_ref nodes[RH_PEER_GROUP_MAX + 1];
    struct rh_peer_term_from terms[RH_PEER_TERMS_MAX + 1];
    struct rh_peer_operation operations[RH_PEER_OPERATIONS_MAX + 1];
    struct rh_peer_id ids[RH_PEER_IDS_MAX + 1];
    struct rh_peer_copy copies[RH_PEER_COPIES_MAX + 1];
    struct rh_peer_view_member members[RH_PEER_VIEW_MEMBERS_MAX + 1];
};

static struct lists *lists_create(void)
{
    struct lists *lists = calloc(1, sizeof(*lists));
    assert_non_null(lists);
    for (unsigned i = 0; i <= RH_PEER_GROUP_MAX; i++) {
        lists->nodes[i] = (struct rh_node_ref){.id = "n", .instance = i + 1};
    }
    for (unsigned i = 0; i <= RH_PEER_TERMS_MAX; i++) {
        lists->terms[i] =
            (struct rh_peer_term_from){.first_op = i + 1, .term = {.generation = 1, .turn = i + 1}};
    }
    for (unsigned i = 0; i <= RH_PEER_OPERATIONS_MAX; i++) {
        lists->operations[i] = (struct rh_peer_operation){.seq = i + 1, .id = text("i")};
    }
    for (unsigned i = 0; i <= RH_PEER_IDS_MAX; i++) {
        lists->ids[i] = (struct rh_peer_id){.id = text("i"), .seq = i + 1, .op = i + 1};
    }
    for (unsigned i = 0; i <= RH_PEER_COPIES_MAX; i++) {
        lists->copies[i] = (struct rh_peer_copy){.key = text("k")};
    }
    for (unsigned i = 0; i <= RH_PEER_VIEW_MEMBERS_MAX; i++) {
        lists->members[i] = (struct rh_peer_view_member){.name = text("n")};
    }
    return lists;
}

static struct rh_peer_message longest_sync(const struct lists *lists)
{
    struct rh_peer_message message = peer_sample(RH_PEER_SYNC_BEGIN);
    struct rh_peer_sync_begin *begin = &message.sync_begin;
    begin->op = RH_PEER_OPERATIONS_MAX;
    begin->from_op = 0;
    begin->base_term = (struct rh_term){0};
    begin->group = (struct rh_peer_group){lists->nodes, RH_PEER_GROUP_MAX};
    begin->terms = lists->terms;
    begin->terms_count = RH_PEER_TERMS_MAX;
    begin->operations = (struct rh_peer_operations){1, lists->operations, RH_PEER_OPERATIONS_MAX};
    begin->ids = lists->ids;
    begin->ids_count = RH_PEER_IDS_MAX;
    return message;
}

static void the_longest_lists_come_back_as_sent(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    struct rh_peer_message message = longest_sync(lists);
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_APPEND);
    message.append.operations.items = lists->operations + 6;
    message.append.operations.count = RH_PEER_OPERATIONS_MAX - 6;
    message.append.group = (struct rh_peer_group){lists->nodes, RH_PEER_GROUP_MAX};
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_SYNC_CHUNK);
    message.sync_chunk.ids = lists->ids;
    message.sync_chunk.ids_count = RH_PEER_IDS_MAX;
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_REPORT);
    message.report = (struct rh_peer_report){lists->copies, RH_PEER_COPIES_MAX, 0, UINT32_MAX};
    assert_peer_message_round_trip(&message);
    for (unsigned i = 0; i < RH_PEER_COPIES_MAX; i++) {
        lists->copies[i].incarnation = 1;
        lists->copies[i].term = (struct rh_term){.generation = 1, .turn = 1};
        lists->copies[i].group = (struct rh_peer_group){lists->nodes, 2};
    }
    assert_peer_message_round_trip(&message);
    lists->copies[0].group.count = RH_PEER_GROUP_MAX;
    message.report.count = 1;
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_OWN);
    message.own.group = (struct rh_peer_group){lists->nodes, RH_PEER_GROUP_MAX};
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_VIEW);
    message.view.members = lists->members;
    message.view.members_count = RH_PEER_VIEW_MEMBERS_MAX;
    assert_peer_message_round_trip(&message);
    free(lists);
}

static void messages_without_anything_that_may_be_missing_come_back_as_sent(void **state RH_UNUSED)
{
    const struct rh_bytes key = text("k");
    const struct rh_term term = {.generation = 1, .turn = 1};
    const struct rh_node_ref node = {.id = "n", .instance = 1};
    struct rh_peer_message message = {.kind = RH_PEER_APPEND};
    message.append = (struct rh_peer_append){.key = key, .incarnation = 1, .term = term};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_APPEND_ACK;
    message.append_ack = (struct rh_peer_append_ack){
        .key = key, .incarnation = 1, .term = term, .proof_age_ms = RH_PEER_NO_PROOF};
    assert_peer_message_round_trip(&message);
    message.append_ack.proof_age_ms = 0;
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_SYNC_BEGIN;
    message.sync_begin = (struct rh_peer_sync_begin){
        .sync = 1, .key = key, .incarnation = 1, .term = term, .group = {&node, 1}};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_SYNC_CHUNK;
    message.sync_chunk = (struct rh_peer_sync_chunk){.sync = 1, .index = 1};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_SYNC_ACK;
    message.sync_ack =
        (struct rh_peer_sync_ack){.sync = 1, .key = key, .incarnation = 1, .term = term};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_CREDIT;
    message.credit = (struct rh_peer_credit){0};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_REFUSED;
    message.refused = (struct rh_peer_refused){.about = RH_PEER_SYNC_CHUNK, .sync = 1};
    assert_peer_message_round_trip(&message);
    message.refused = (struct rh_peer_refused){.about = RH_PEER_EXPEDITE, .key = key};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_REPORT;
    message.report = (struct rh_peer_report){0};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_FETCH;
    message.fetch = (struct rh_peer_fetch){.key = key, .incarnation = 1, .term = term};
    assert_peer_message_round_trip(&message);
    message.kind = RH_PEER_VIEW;
    message.view = (struct rh_peer_view){.epoch = {.generation = 1}};
    assert_peer_message_round_trip(&message);
}

static void numbers_survive_at_the_end_of_their_range(void **state RH_UNUSED)
{
    const struct rh_term last = {.pzxid = INT64_MAX, .generation = UINT32_MAX, .turn = UINT32_MAX};
    const struct rh_peer_operation operation = {
        .seq = INT64_MAX, .time_ms = INT64_MAX, .id = text("i")};
    const struct rh_peer_id id = {
        .id = text("i"), .seq = INT64_MAX, .op = INT64_MAX, .age_ms = UINT32_MAX};
    struct rh_peer_message message = peer_sample(RH_PEER_APPEND);
    message.append.incarnation = UINT64_MAX;
    message.append.term = last;
    message.append.prev_term = last;
    message.append.prev_op = INT64_MAX - 1;
    message.append.operations = (struct rh_peer_operations){INT64_MAX, &operation, 1};
    message.append.commit = INT64_MAX;
    message.append.sent_ms = UINT64_MAX;
    assert_peer_message_round_trip(&message);
    message.append.prev_op = INT64_MAX;
    message.append.operations = (struct rh_peer_operations){0};
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_SYNC_CHUNK);
    message.sync_chunk.sync = UINT64_MAX;
    message.sync_chunk.index = UINT32_MAX;
    message.sync_chunk.operations = (struct rh_peer_operations){INT64_MAX, &operation, 1};
    message.sync_chunk.ids = &id;
    message.sync_chunk.ids_count = 1;
    assert_peer_message_round_trip(&message);
    message = peer_sample(RH_PEER_SYNC_ACK);
    message.sync_ack.proof_age_ms = UINT32_MAX - 1;
    assert_peer_message_round_trip(&message);
}

/* ---- ranges ---- */

static const struct rh_term no_term;

static void what_names_a_copy_is_checked_in_every_message(void **state RH_UNUSED)
{
    char longest[RH_KEY_SIZE_MAX + 1];
    memset(longest, 'x', sizeof(longest));
#define KEYS(suffix, member)                                            \
    SAMPLE_REFUSED(suffix, member.key = text(""), #member ".key:");     \
    SAMPLE_REFUSED(suffix, member.key = text("a\n"), #member ".key:");  \
    SAMPLE_REFUSED(suffix, member.key = text("\xff"), #member ".key:"); \
    SAMPLE_REFUSED(suffix, member.key = rh_bytes(longest, sizeof(longest)), #member ".key:")
#define TERMS(suffix, member, name)                                            \
    SAMPLE_REFUSED(suffix, member.name = no_term, #member "." #name ":");      \
    SAMPLE_REFUSED(suffix, member.name.generation = 0, #member "." #name ":"); \
    SAMPLE_REFUSED(suffix, member.name.turn = 0, #member "." #name ":");       \
    SAMPLE_REFUSED(suffix, member.name.pzxid = -1, #member "." #name ":")
#define COPIES(suffix, member)   \
    KEYS(suffix, member);        \
    TERMS(suffix, member, term); \
    SAMPLE_REFUSED(suffix, member.incarnation = 0, #member ".incarnation:")
    COPIES(APPEND, append);
    COPIES(APPEND_ACK, append_ack);
    COPIES(SYNC_BEGIN, sync_begin);
    COPIES(SYNC_ACK, sync_ack);
    COPIES(FETCH, fetch);
    COPIES(OWN, own);
    COPIES(LEAVE, leave);
    KEYS(REFUSED, refused);
    KEYS(OWN_ACK, own_ack);
    KEYS(EXPEDITE, expedite);
    KEYS(LEAVE_ACK, leave_ack);
    TERMS(REFUSED, refused, term);
    TERMS(OWN_ACK, own_ack, term);
    TERMS(LEAVE_ACK, leave_ack, term);
    TERMS(APPEND, append, prev_term);
    TERMS(SYNC_BEGIN, sync_begin, base_term);
    TERMS(FETCH, fetch, base_term);
}

static void ops_end_below_2_to_the_63(void **state RH_UNUSED)
{
    const uint64_t beyond = (uint64_t)INT64_MAX + 1;
    SAMPLE_REFUSED(APPEND, append.prev_op = beyond, "append.prev_op:");
    SAMPLE_REFUSED(APPEND, append.commit = beyond, "append.commit:");
    SAMPLE_REFUSED(APPEND_ACK, append_ack.op = beyond, "append_ack.op:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.op = beyond, "sync_begin.op:");
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.operations.first_op = INT64_MAX, "sync_chunk.first_op:");
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.operations.first_op = UINT64_MAX, "sync_chunk.first_op:");
    SAMPLE_REFUSED(SYNC_ACK, sync_ack.op = UINT64_MAX, "sync_ack.op:");
    SAMPLE_REFUSED(REFUSED, refused.have_op = beyond, "refused.have_op:");
    SAMPLE_REFUSED(FETCH, fetch.op = beyond, "fetch.op:");
    SAMPLE_REFUSED(FETCH, fetch.from_op = beyond, "fetch.from_op:");
    SAMPLE_REFUSED(OWN, own.op = beyond, "own.op:");
}

static void groups_are_distinct_nodes_and_not_too_many(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    struct rh_node_ref *nodes = lists->nodes;
#define GROUPS(suffix, member)                                                                    \
    SAMPLE_REFUSED(suffix, member.group = ((struct rh_peer_group){nodes, RH_PEER_GROUP_MAX + 1}), \
                   #member ".group:");                                                            \
    nodes[RH_PEER_GROUP_MAX - 1] = nodes[0];                                                      \
    SAMPLE_REFUSED(suffix, member.group = ((struct rh_peer_group){nodes, RH_PEER_GROUP_MAX}),     \
                   #member ".group:");                                                            \
    nodes[RH_PEER_GROUP_MAX - 1] = (struct rh_node_ref){.id = "n"};                               \
    SAMPLE_REFUSED(suffix, member.group = ((struct rh_peer_group){nodes, RH_PEER_GROUP_MAX}),     \
                   #member ".group:");                                                            \
    nodes[RH_PEER_GROUP_MAX - 1] = (struct rh_node_ref){.id = "n 1", .instance = 99};             \
    SAMPLE_REFUSED(suffix, member.group = ((struct rh_peer_group){nodes, RH_PEER_GROUP_MAX}),     \
                   #member ".group:");                                                            \
    nodes[RH_PEER_GROUP_MAX - 1].id[0] = '\0';                                                    \
    SAMPLE_REFUSED(suffix, member.group = ((struct rh_peer_group){nodes, RH_PEER_GROUP_MAX}),     \
                   #member ".group:")
    GROUPS(APPEND, append);
    GROUPS(SYNC_BEGIN, sync_begin);
    GROUPS(OWN, own);
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.group.count = 0, "sync_begin.group:");
    SAMPLE_REFUSED(OWN, own.group.count = 0, "own.group:");
    free(lists);
}

/* A chunk of the sample's three operations, to be spoilt. */
static struct rh_peer_message chunk_of(struct rh_peer_operation operations[static 3])
{
    struct rh_peer_message message = peer_sample(RH_PEER_APPEND);
    memcpy(operations, message.append.operations.items, 3 * sizeof(*operations));
    message = peer_sample(RH_PEER_SYNC_CHUNK);
    message.sync_chunk.operations = (struct rh_peer_operations){7, operations, 3};
    return message;
}

#define REFUSED_OPERATION(index, change, field)                                            \
    do {                                                                                   \
        struct rh_peer_operation operations[3];                                            \
        struct rh_peer_message bad = chunk_of(operations);                                 \
        assert_int_equal(rh_peer_message_check(&bad, NULL), 0);                            \
        operations[index].change;                                                          \
        assert_peer_message_refused(&bad, "sync_chunk.operations[" #index "]." field ":"); \
    } while (0)

static void operations_are_consecutive_and_complete(void **state RH_UNUSED)
{
    char longest[RH_CONTENT_TYPE_SIZE_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    REFUSED_OPERATION(0, kind = RH_PEER_OPERATION_KINDS, "kind");
    REFUSED_OPERATION(0, kind = (enum rh_peer_operation_kind) - 1, "kind");
    REFUSED_OPERATION(0, seq = 0, "seq");
    REFUSED_OPERATION(0, seq = 8, "seq"); /* above its op */
    REFUSED_OPERATION(1, seq = 6, "seq");
    REFUSED_OPERATION(1, seq = 8, "seq");
    REFUSED_OPERATION(2, seq = 0, "seq");
    REFUSED_OPERATION(0, version = 1, "version");
    REFUSED_OPERATION(1, version = 0, "version");
    REFUSED_OPERATION(2, version = 0, "version");
    REFUSED_OPERATION(0, time_ms = -1, "time_ms");
    REFUSED_OPERATION(2, time_ms = INT64_MIN, "time_ms");
    REFUSED_OPERATION(0, id = text(""), "id");
    REFUSED_OPERATION(0, id = text("\xc3\xa9"), "id");
    REFUSED_OPERATION(0, id = rh_bytes(longest, RH_MESSAGE_ID_SIZE_MAX + 1), "id");
    REFUSED_OPERATION(0, content_type = text("a"), "content_type");
    REFUSED_OPERATION(1, content_type = text("a\nb"), "content_type");
    REFUSED_OPERATION(1, content_type = rh_bytes(longest, sizeof(longest)), "content_type");
    REFUSED_OPERATION(2, content_type = text("a"), "content_type");
    REFUSED_OPERATION(1, id = text(""), "id"); /* it is in the window */
    REFUSED_OPERATION(1, id = text("a\nb"), "id");
    REFUSED_OPERATION(2, in_window = true, "id");
    REFUSED_OPERATION(0, payload.kind = RH_PAYLOAD_BINARY + 1, "payload_kind");
    REFUSED_OPERATION(0, payload.bytes = text("\xff"), "payload");
    REFUSED_OPERATION(0, payload.bytes = text(""), "payload"); /* JSON */
    REFUSED_OPERATION(1, payload.kind = RH_PAYLOAD_TEXT, "payload_kind");
    REFUSED_OPERATION(2, payload.kind = RH_PAYLOAD_JSON, "payload_kind");
    REFUSED_OPERATION(2, payload.bytes = text("a"), "payload");

    struct rh_peer_operation operations[3];
    struct rh_peer_message message = chunk_of(operations);
    operations[1].content_type = rh_bytes(longest, RH_CONTENT_TYPE_SIZE_MAX);
    assert_peer_message_round_trip(&message);
    operations[1] = operations[0];
    assert_peer_message_refused(&message, "sync_chunk.operations[1].seq:");
    operations[1].seq = 8;
    operations[2].seq = 8;
    assert_peer_message_round_trip(&message);
    operations[1].seq = 9;
    operations[2].seq = 9;
    assert_peer_message_refused(&message, "sync_chunk.operations[1].seq:");
    message.sync_chunk.operations.items = operations + 2; /* a removal before any message */
    message.sync_chunk.operations.count = 1;
    operations[2].seq = 0;
    assert_peer_message_round_trip(&message);
}

static void lists_of_operations_begin_where_their_message_says(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    SAMPLE_REFUSED(APPEND, append.operations.first_op = 0, "append.first_op:");
    SAMPLE_REFUSED(APPEND, append.operations.first_op = 8, "append.first_op:");
    SAMPLE_REFUSED(APPEND, append.operations.count = 0, "append.first_op:");
    SAMPLE_REFUSED(APPEND, append.prev_op = 7, "append.first_op:");
    SAMPLE_REFUSED(APPEND, append.prev_op = 0, "append.prev_term:");
    SAMPLE_REFUSED(APPEND, append.prev_term.pzxid = 4712, "append.prev_term:"); /* above its term */
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.operations.first_op = 0, "sync_chunk.first_op:");
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.operations.count = 0, "sync_chunk.first_op:");
    SAMPLE_REFUSED(SYNC_CHUNK,
                   sync_chunk.operations = ((struct rh_peer_operations){
                       1, lists->operations, RH_PEER_OPERATIONS_MAX + 1}),
                   "sync_chunk.operations:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.operations.first_op = 0, "sync_begin.first_op:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.from_op = 7, "sync_begin.first_op:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.op = 8, "sync_begin.first_op:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.op = 10,
                   "sync_begin.first_op:"); /* the last, and short of op */
    struct rh_peer_message message = peer_sample(RH_PEER_SYNC_BEGIN);
    message.sync_begin.op = 10;
    message.sync_begin.last = false;
    assert_peer_message_round_trip(&message);
    free(lists);
}

static void the_numbers_of_a_sync_fit_each_other(void **state RH_UNUSED)
{
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.sync = 0, "sync_begin.sync:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.purpose = RH_PEER_SYNC_PURPOSES, "sync_begin.purpose:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.seq = 10, "sync_begin.seq:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.commit = 10, "sync_begin.commit:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.from_op = 10, "sync_begin.from_op:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.from_op = 0, "sync_begin.base_term:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.version = 0, "sync_begin.version:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.content_type = text("\x80"), "sync_begin.content_type:");
    SAMPLE_REFUSED(SYNC_BEGIN, sync_begin.has_state = false, "sync_begin.content_type:");
    struct rh_peer_message message = peer_sample(RH_PEER_SYNC_BEGIN);
    message.sync_begin.has_state = false;
    message.sync_begin.content_type = text("");
    assert_peer_message_refused(&message, "sync_begin.state:");
    message.sync_begin.state = text("");
    assert_peer_message_round_trip(&message); /* of a document that was removed */
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.sync = 0, "sync_chunk.sync:");
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.index = 0, "sync_chunk.index:");
    SAMPLE_REFUSED(SYNC_ACK, sync_ack.sync = 0, "sync_ack.sync:");
}

static void terms_and_ids_of_a_sync_are_in_order(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    struct rh_peer_message message = longest_sync(lists);
    assert_int_equal(rh_peer_message_check(&message, NULL), 0);
    message.sync_begin.terms_count++;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    message.sync_begin.terms_count = 3;
    lists->terms[1].first_op = 1;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    lists->terms[1].first_op = 0;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    lists->terms[1].first_op = UINT64_MAX;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    lists->terms[1].first_op = 2;
    lists->terms[1].term = lists->terms[0].term;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    lists->terms[1].term = no_term;
    assert_peer_message_refused(&message, "sync_begin.terms:");
    lists->terms[1].term = (struct rh_term){.generation = 1, .turn = 2};
    assert_int_equal(rh_peer_message_check(&message, NULL), 0);

    struct rh_peer_id *ids = lists->ids;
    message.sync_begin.ids_count++;
    assert_peer_message_refused(&message, "sync_begin.ids:");
    message.sync_begin.ids_count = 3;
    ids[1].id = text("");
    assert_peer_message_refused(&message, "sync_begin.ids[1].id:");
    ids[1].id = text("i");
    ids[1].op = 1;
    assert_peer_message_refused(&message, "sync_begin.ids[1].op:");
    ids[1].op = message.sync_begin.op + 1;
    assert_peer_message_refused(&message, "sync_begin.ids[1].op:");
    ids[1].op = 2;
    ids[1].seq = 1;
    assert_peer_message_refused(&message, "sync_begin.ids[1].seq:");
    ids[1].seq = 3;
    assert_peer_message_refused(&message, "sync_begin.ids[1].seq:");
    ids[1].seq = 2;
    ids[1].version = 2;
    assert_peer_message_refused(&message, "sync_begin.ids[1].seq:");
    ids[1].seq = 0;
    assert_int_equal(rh_peer_message_check(&message, NULL), 0);
    ids[1].version = 3;
    assert_peer_message_refused(&message, "sync_begin.ids[1].version:");
    ids[1].version = 0;
    ids[1].seq = 2;
    ids[0].seq = 0;
    assert_peer_message_refused(&message, "sync_begin.ids[0].seq:");
    ids[0].seq = 1;
    ids[0].op = 0;
    assert_peer_message_refused(&message, "sync_begin.ids[0].op:");
    ids[0].op = 1;
    assert_int_equal(rh_peer_message_check(&message, NULL), 0);
    message.sync_begin.from_op = 1;
    message.sync_begin.base_term = message.sync_begin.term;
    message.sync_begin.operations = (struct rh_peer_operations){0};
    assert_peer_message_refused(&message, "sync_begin.ids[0].op:");
    ids[0].op = UINT64_MAX;
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.ids = ids, "sync_chunk.ids[0].op:");
    SAMPLE_REFUSED(SYNC_CHUNK, sync_chunk.ids_count = RH_PEER_IDS_MAX + 1, "sync_chunk.ids:");
    free(lists);
}

static void a_refusal_says_of_what_and_why(void **state RH_UNUSED)
{
    static const enum rh_peer_message_kind may[] = {
        RH_PEER_APPEND, RH_PEER_SYNC_BEGIN, RH_PEER_SYNC_CHUNK, RH_PEER_FETCH,
        RH_PEER_OWN,    RH_PEER_EXPEDITE,   RH_PEER_LEAVE,
    };
    for (unsigned kind = 0; kind <= RH_PEER_MESSAGE_KINDS; kind++) {
        bool allowed = false;
        for (size_t i = 0; i < sizeof(may) / sizeof(may[0]); i++) {
            allowed = allowed || kind == may[i];
        }
        struct rh_peer_message message = peer_sample(RH_PEER_REFUSED);
        message.refused.about = kind;
        message.refused.sync = kind == RH_PEER_SYNC_BEGIN || kind == RH_PEER_SYNC_CHUNK ? 1 : 0;
        if (allowed) {
            assert_peer_message_round_trip(&message);
            message.refused.sync ^= 1;
            assert_peer_message_refused(&message, "refused.sync:");
        } else {
            assert_peer_message_refused(&message, "refused.about:");
        }
    }
    SAMPLE_REFUSED(REFUSED, refused.about = UINT32_MAX, "refused.about:");
    SAMPLE_REFUSED(REFUSED, refused.code = RH_PEER_REFUSED_CODES, "refused.code:");
    SAMPLE_REFUSED(REFUSED, refused.have_term = no_term, "refused.have_term:");
    SAMPLE_REFUSED(REFUSED, refused.have_term.turn = 0, "refused.have_term:");
    struct rh_peer_message message = peer_sample(RH_PEER_REFUSED);
    for (unsigned code = 0; code < RH_PEER_REFUSED_CODES; code++) {
        message.refused.code = (enum rh_peer_refused_code)code;
        assert_peer_message_round_trip(&message);
    }
}

#define REFUSED_COPY(index, change, field)                                         \
    do {                                                                           \
        struct rh_peer_message bad = peer_sample(RH_PEER_REPORT);                  \
        struct rh_peer_copy copies[3];                                             \
        memcpy(copies, bad.report.copies, sizeof(copies));                         \
        bad.report.copies = copies;                                                \
        copies[index].change;                                                      \
        assert_peer_message_refused(&bad, "report.copies[" #index "]." field ":"); \
    } while (0)

static void every_copy_of_a_report_is_checked(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    REFUSED_COPY(0, key = text(""), "key");
    REFUSED_COPY(2, key = text("\n"), "key");
    REFUSED_COPY(1, incarnation = 0, "incarnation");
    REFUSED_COPY(2, incarnation = 1, "incarnation");
    REFUSED_COPY(1, term.generation = 0, "term");
    REFUSED_COPY(0, op = UINT64_MAX, "op");
    REFUSED_COPY(2, state = RH_PEER_COPY_STATES, "state");
    REFUSED_COPY(1, group.count = 0, "group");
    REFUSED_COPY(2, group = ((struct rh_peer_group){lists->nodes, 1}), "group");
    REFUSED_COPY(1, group = ((struct rh_peer_group){lists->nodes, RH_PEER_GROUP_MAX + 1}), "group");
    REFUSED_COPY(0, passing_to = (struct rh_node_ref){0}, "passing_to");
    REFUSED_COPY(0, passing_to.instance = 0, "passing_to");
    REFUSED_COPY(0, state = RH_PEER_COPY_ACTING, "passing_to");
    REFUSED_COPY(1, passing_to.instance = 1, "passing_to");
    REFUSED_COPY(1, passing_to.id[0] = 'n', "passing_to");
    SAMPLE_REFUSED(REPORT,
                   report = ((struct rh_peer_report){lists->copies, RH_PEER_COPIES_MAX + 1, 1, 0}),
                   "report.copies:");
    free(lists);
}

static void views_and_relayed_frames_are_checked(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    struct rh_peer_view_member *members = lists->members;
    char *large = calloc(1, RH_PEER_VIEW_CONFIG_SIZE_MAX + 1);
    assert_non_null(large);
    SAMPLE_REFUSED(VIEW_ASK, view_ask.above.pzxid = -1, "view_ask.pzxid:");
    SAMPLE_REFUSED(VIEW, view.epoch.generation = 0, "view.generation:");
    SAMPLE_REFUSED(VIEW, view.epoch.pzxid = -1, "view.pzxid:");
    SAMPLE_REFUSED(VIEW, view.config = rh_bytes(large, RH_PEER_VIEW_CONFIG_SIZE_MAX + 1),
                   "view.config:");
    SAMPLE_REFUSED(VIEW, view.members_count = RH_PEER_VIEW_MEMBERS_MAX + 1, "view.members:");
    members[1].name = text("");
    SAMPLE_REFUSED(VIEW, view.members = members, "view.members[1].name:");
    members[1].name = text("n1\n");
    SAMPLE_REFUSED(VIEW, view.members = members, "view.members[1].name:");
    members[1].name = text("0123456789012345678901234567890123456789"
                           "012345678901234567890123456789012345");
    SAMPLE_REFUSED(VIEW, view.members = members, "view.members[1].name:");
    members[1] = (struct rh_peer_view_member){.name = text("n"), .czxid = -1};
    SAMPLE_REFUSED(VIEW, view.members = members, "view.members[1].czxid:");
    members[1] = (struct rh_peer_view_member){
        .name = text("n"), .data = rh_bytes(large, RH_PEER_VIEW_DATA_SIZE_MAX + 1)};
    SAMPLE_REFUSED(VIEW, view.members = members, "view.members[1].data:");
    free(large);
    free(lists);

    SAMPLE_REFUSED(RELAY, relay.frame = text(""), "relay.frame:");
    SAMPLE_REFUSED(RELAY, relay.from.instance = 0, "relay.from:");
    SAMPLE_REFUSED(RELAY, relay.from.id[0] = ' ', "relay.from:");
    SAMPLE_REFUSED(RELAY, relay.to.instance = 0, "relay.to:");
    SAMPLE_REFUSED(RELAY, relay.to.id[0] = '\0', "relay.to:");
    SAMPLE_REFUSED(RELAY_FAILED, relay_failed.to.instance = 0, "relay_failed.to:");
}

/* ---- bytes of others ---- */

static void assert_wire_refused(const Ringhop__Peer__Frame *frame, const char *field)
{
    size_t size = ringhop__peer__frame__get_packed_size(frame);
    uint8_t *body = malloc(size + 1);
    struct rh_reason reason = {0};
    assert_non_null(body);
    assert_int_equal(ringhop__peer__frame__pack(frame, body), size);
    assert_int_equal(decode(rh_bytes(body, size), &reason), RH_ERR_INVALID);
    if (strncmp(reason.text, field, strlen(field)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", reason.text, field);
    }
    free(body);
}

static void what_only_bytes_can_say_wrong_is_refused_too(void **state RH_UNUSED)
{
    Ringhop__Peer__Frame frame = RINGHOP__PEER__FRAME__INIT;
    Ringhop__Peer__OwnAck ack = RINGHOP__PEER__OWN_ACK__INIT;
    Ringhop__Peer__Term term = RINGHOP__PEER__TERM__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_OWN_ACK;
    frame.own_ack = &ack;
    ack.key = (ProtobufCBinaryData){.len = 1, .data = (uint8_t[]){'k'}};
    assert_wire_refused(&frame, "own_ack.term:");
    ack.term = &term;
    assert_wire_refused(&frame, "own_ack.term:");
    term = (Ringhop__Peer__Term){.base = term.base, .generation = 1ULL << 32 | 1, .turn = 1};
    assert_wire_refused(&frame, "own_ack.term:");
    term.generation = 1;
    term.turn = 1ULL << 32 | 1;
    assert_wire_refused(&frame, "own_ack.term:");

    Ringhop__Peer__SyncChunk chunk = RINGHOP__PEER__SYNC_CHUNK__INIT;
    Ringhop__Peer__Operation operation = RINGHOP__PEER__OPERATION__INIT;
    Ringhop__Peer__Operation *operations[] = {&operation};
    frame.body_case = RINGHOP__PEER__FRAME__BODY_SYNC_CHUNK;
    frame.sync_chunk = &chunk;
    chunk.sync = 1;
    chunk.index = 1;
    chunk.first_op = 1;
    assert_wire_refused(&frame, "sync_chunk.first_op:");
    chunk.n_operations = 1;
    chunk.operations = operations;
    operation.seq = 1;
    operation.id = ack.key;
    assert_wire_refused(&frame, "sync_chunk.operations[0].kind:");
    operation.kind = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_MESSAGE;
    assert_wire_refused(&frame, "sync_chunk.operations[0].payload_kind:");
    operation.kind = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_STATE;
    operation.version = 1;
    operation.payload_kind = RINGHOP__PEER__PAYLOAD_KIND__PAYLOAD_KIND_TEXT;
    assert_wire_refused(&frame, "sync_chunk.operations[0].payload_kind:");

    Ringhop__Peer__Report report = RINGHOP__PEER__REPORT__INIT;
    Ringhop__Peer__Copy copy = RINGHOP__PEER__COPY__INIT;
    Ringhop__Peer__Copy *copies[] = {&copy};
    Ringhop__Peer__Node node = RINGHOP__PEER__NODE__INIT;
    Ringhop__Peer__Node *nodes[] = {&node};
    frame.body_case = RINGHOP__PEER__FRAME__BODY_REPORT;
    frame.report = &report;
    report.n_copies = 1;
    report.copies = copies;
    copy.key = ack.key;
    assert_wire_refused(&frame, "report.copies[0].state:");
    copy.state = RINGHOP__PEER__COPY_STATE__COPY_STATE_IDLE;
    copy.incarnation = 1;
    copy.term = &term;
    assert_wire_refused(&frame, "report.copies.term:");
    term.turn = 1;
    copy.n_group = 1;
    copy.group = nodes;
    assert_wire_refused(&frame, "report.copies[0].group:");
    node.id = (ProtobufCBinaryData){.len = 2, .data = (uint8_t[]){'n', '\0'}};
    assert_wire_refused(&frame, "report.copies.group:");

    Ringhop__Peer__Refused refused = RINGHOP__PEER__REFUSED__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_REFUSED;
    frame.refused = &refused;
    static const uint32_t numbers[] = {0, 1, RINGHOP__PEER__FRAME__BODY_REFUSED,
                                       RINGHOP__PEER__FRAME__BODY_PUBLISH, UINT32_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        refused.about = numbers[i];
        assert_wire_refused(&frame, "refused.about:");
    }

    Ringhop__Peer__Relay relay = RINGHOP__PEER__RELAY__INIT;
    frame.body_case = RINGHOP__PEER__FRAME__BODY_RELAY;
    frame.relay = &relay;
    assert_wire_refused(&frame, "relay.from:");
}

/* |count| times the field |piece| in the message |field| of the frame. */
static struct rh_bytes repeated(unsigned field, struct rh_bytes piece, size_t count,
                                struct rh_buffer *body)
{
    size_t size = piece.size * count;
    const uint8_t head[] = {
        (uint8_t)(field << 3 | 2 | 0x80), (uint8_t)(field >> 4),        (uint8_t)(size | 0x80),
        (uint8_t)(size >> 7 | 0x80),      (uint8_t)(size >> 14 | 0x80), (uint8_t)(size >> 21),
    };
    assert_int_equal(rh_buffer_append(body, head, sizeof(head)), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rh_buffer_append_bytes(body, piece), 0);
    }
    return rh_buffer_content(body);
}

static void lists_of_countless_empty_items_do_not_eat_the_memory(void **state RH_UNUSED)
{
    enum { BYTES = 3 << 20 };
    static const struct {
        unsigned field;
        const char *piece;
    } frames[] = {
        {RINGHOP__PEER__FRAME__BODY_APPEND, "\x32"},     /* operations */
        {RINGHOP__PEER__FRAME__BODY_APPEND, "\x4a"},     /* nodes */
        {RINGHOP__PEER__FRAME__BODY_APPEND, "\x1a"},     /* the term, again and again */
        {RINGHOP__PEER__FRAME__BODY_SYNC_BEGIN, "\x3a"}, /* terms */
        {RINGHOP__PEER__FRAME__BODY_SYNC_CHUNK, "\x2a"}, /* ids */
        {RINGHOP__PEER__FRAME__BODY_REPORT, "\x0a"},     /* copies */
        {RINGHOP__PEER__FRAME__BODY_VIEW, "\x22"},       /* members */
    };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        const char piece[] = {frames[i].piece[0], 0};
        struct rh_buffer body = {0};
        struct rh_reason reason = {0};
        struct rh_bytes bytes = repeated(frames[i].field, rh_bytes(piece, 2), BYTES / 2, &body);
        assert_int_equal(decode(bytes, &reason), RH_ERR_INVALID);
        assert_string_equal(reason.text, "frame: too many fields for its size");
        rh_buffer_finish(&body);
    }
}

/* Each of them is merged into what was there before. */
static void a_message_that_comes_in_countless_parts_does_not_eat_the_memory(void **state RH_UNUSED)
{
    enum { PARTS = 200000 };
    static const char operation[] = "\x0a\x03\x32\x01x"; /* of an append, and broken within */
    static const char append[] = "\x82\x02\x04\x32\x02\x10\x01";
    struct rh_buffer body = {0};
    struct rh_reason reason = {0};
    for (unsigned i = 0; i < PARTS; i++) {
        assert_int_equal(rh_buffer_append(&body, append, sizeof(append) - 1), 0);
    }
    assert_int_equal(decode(rh_buffer_content(&body), &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "frame: too many fields for its size");
    rh_buffer_clear(&body);
    struct rh_bytes bytes = repeated(RINGHOP__PEER__FRAME__BODY_APPEND,
                                     rh_bytes(operation, sizeof(operation) - 1), 1000, &body);
    assert_int_equal(decode(bytes, NULL), RH_ERR_INVALID);
    rh_buffer_finish(&body);
}

/* As peer_codec_test.c does with whole streams, but the size in front fits, so that the damage
 * reaches the message; and one kind after the other. */
static void damaged_bodies_never_do_more_than_fail(void **state RH_UNUSED)
{
    enum { ROUNDS = 3000, SIZE_MAX_DAMAGED = 2048 };
    uint64_t random = rh_test_seed((uint64_t)time(NULL));
    for (unsigned kind = RH_PEER_APPEND; kind < RH_PEER_MESSAGE_KINDS; kind++) {
        struct rh_peer_message message = peer_sample((enum rh_peer_message_kind)kind);
        struct rh_buffer frame = {0};
        assert_int_equal(rh_peer_encode(&message, FRAME_SIZE_MAX, &frame), 0);
        rh_buffer_consume(&frame, RH_PEER_FRAME_HEADER_SIZE);
        struct rh_bytes good = rh_buffer_content(&frame);
        assert_true(2 * good.size < SIZE_MAX_DAMAGED);
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint8_t bad[SIZE_MAX_DAMAGED];
            size_t size = good.size;
            memcpy(bad, good.data, size);
            size_t at = rh_test_below(&random, size);
            switch (rh_test_below(&random, 4)) {
            case 0:
                bad[at] = (uint8_t)rh_test_random(&random);
                break;
            case 1:
                bad[at] = (uint8_t)(bad[at] ^ 1U << rh_test_below(&random, 8));
                break;
            case 2:
                size = at;
                break;
            default: /* a part of it, again */
                memmove(bad + size, bad + at, size - at);
                size += size - at;
                break;
            }
            struct rh_peer_decoder *decoder = NULL;
            struct rh_peer_message back;
            if (decode_body(rh_bytes(bad, size), &decoder, &back, NULL) == 0) {
                struct rh_buffer again = {0};
                assert_int_equal(rh_peer_encode(&back, FRAME_SIZE_MAX, &again), 0);
                rh_buffer_finish(&again);
            }
            rh_peer_decoder_destroy(decoder);
        }
        rh_buffer_finish(&frame);
    }
}

static void every_failed_allocation_of_long_lists_is_reported(void **state RH_UNUSED)
{
    struct lists *lists = lists_create();
    for (unsigned i = 0; i < RH_PEER_COPIES_MAX; i++) {
        lists->copies[i].incarnation = 1;
        lists->copies[i].term = (struct rh_term){.generation = 1, .turn = 1};
        lists->copies[i].group = (struct rh_peer_group){lists->nodes, 40};
    }
    struct rh_peer_message messages[] = {longest_sync(lists), peer_sample(RH_PEER_REPORT),
                                         peer_sample(RH_PEER_VIEW)};
    messages[0].sync_begin.operations = (struct rh_peer_operations){3997, lists->operations, 100};
    messages[0].sync_begin.ids_count = 100;
    messages[0].sync_begin.terms_count = 100;
    messages[1].report = (struct rh_peer_report){lists->copies, 20, 1, 0};
    messages[2].view.members = lists->members;
    messages[2].view.members_count = 200;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct rh_buffer frame = {0};
        bool failed = true;
        for (unsigned nth = 1; failed; nth++) {
            rh_test_allocation_fail(nth);
            int rv = rh_peer_encode(&messages[i], FRAME_SIZE_MAX, &frame);
            failed = rh_test_allocation_failed();
            assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        }
        failed = true;
        for (unsigned nth = 1; failed; nth++) {
            struct rh_peer_decoder *decoder = NULL;
            struct rh_peer_message back;
            struct rh_bytes bytes = rh_buffer_content(&frame);
            assert_int_equal(rh_peer_decoder_create(FRAME_SIZE_MAX, &decoder), 0);
            assert_int_equal(rh_peer_decoder_feed(decoder, bytes.data, bytes.size), 0);
            rh_test_allocation_fail(nth);
            int rv = rh_peer_decoder_next(decoder, &back, NULL);
            failed = rh_test_allocation_failed();
            assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
            rh_peer_decoder_destroy(decoder);
        }
        rh_buffer_finish(&frame);
    }
    free(lists);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_longest_lists_come_back_as_sent),
        RH_TEST(messages_without_anything_that_may_be_missing_come_back_as_sent),
        RH_TEST(numbers_survive_at_the_end_of_their_range),
        RH_TEST(what_names_a_copy_is_checked_in_every_message),
        RH_TEST(ops_end_below_2_to_the_63),
        RH_TEST(groups_are_distinct_nodes_and_not_too_many),
        RH_TEST(operations_are_consecutive_and_complete),
        RH_TEST(lists_of_operations_begin_where_their_message_says),
        RH_TEST(the_numbers_of_a_sync_fit_each_other),
        RH_TEST(terms_and_ids_of_a_sync_are_in_order),
        RH_TEST(a_refusal_says_of_what_and_why),
        RH_TEST(every_copy_of_a_report_is_checked),
        RH_TEST(views_and_relayed_frames_are_checked),
        RH_TEST(what_only_bytes_can_say_wrong_is_refused_too),
        RH_TEST(lists_of_countless_empty_items_do_not_eat_the_memory),
        RH_TEST(a_message_that_comes_in_countless_parts_does_not_eat_the_memory),
        RH_TEST(damaged_bodies_never_do_more_than_fail),
        RH_TEST(every_failed_allocation_of_long_lists_is_reported),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
