/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in messages of several kinds. */
#include "proto/peer_codec_internal.h"

void *rh_wire_take(struct rh_wire_writer *writer, size_t size)
{
    size_t align = alignof(max_align_t);
    size_t padded = (size + align - 1) / align * align;
    if (padded > sizeof(writer->lists) - writer->lists_used) {
        return rh_arena_alloc(&writer->more, size);
    }
    void *piece = writer->lists + writer->lists_used;
    writer->lists_used += padded;
    return piece;
}

int rh_wire_no_room(const struct rh_wire_reader *reader)
{
    if (reader->arena->failed == RH_ERR_NO_MEMORY) {
        return rh_fail(reader->reason, RH_ERR_NO_MEMORY, "frame: out of memory");
    }
    return rh_fail(reader->reason, RH_ERR_INVALID, "frame: too many fields for its size");
}

int rh_wire_to_id(ProtobufCBinaryData data, const char *name, char ret_id[static RH_NODE_ID_SIZE],
                  struct rh_reason *reason)
{
    if (data.len > 0 && !rh_node_id_valid(rh_wire_to_bytes(data))) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not a node id", name);
    }
    if (data.len > 0) {
        memcpy(ret_id, data.data, data.len);
    }
    ret_id[data.len] = '\0';
    return 0;
}

Ringhop__Peer__Node *rh_wire_node(const struct rh_node_ref *node, Ringhop__Peer__Node *out)
{
    ringhop__peer__node__init(out);
    out->id = rh_wire_text(node->id);
    out->instance = node->instance;
    return out;
}

int rh_wire_to_node(const Ringhop__Peer__Node *wire, const char *name, struct rh_node_ref *ret_node,
                    struct rh_reason *reason)
{
    if (wire == NULL) {
        *ret_node = (struct rh_node_ref){0};
        return 0;
    }
    ret_node->instance = wire->instance;
    return rh_wire_to_id(wire->id, name, ret_node->id, reason);
}

Ringhop__Peer__Term *rh_wire_term(struct rh_term term, Ringhop__Peer__Term *out)
{
    if (rh_term_equal(term, (struct rh_term){0})) {
        return NULL;
    }
    ringhop__peer__term__init(out);
    out->generation = term.generation;
    out->pzxid = term.pzxid;
    out->turn = term.turn;
    return out;
}

int rh_wire_to_term(const Ringhop__Peer__Term *wire, const char *name, struct rh_term *ret_term,
                    struct rh_reason *reason)
{
    if (wire == NULL) {
        *ret_term = (struct rh_term){0};
        return 0;
    }
    if (wire->generation > UINT32_MAX || wire->turn > UINT32_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: a number above 2^32", name);
    }
    *ret_term = (struct rh_term){.pzxid = wire->pzxid,
                                 .generation = (uint32_t)wire->generation,
                                 .turn = (uint32_t)wire->turn};
    return 0;
}

int rh_wire_group(const struct rh_peer_group *group, struct rh_wire_writer *writer,
                  size_t *ret_count, Ringhop__Peer__Node ***ret_list)
{
    size_t count = group->count;
    Ringhop__Peer__Node **list = rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__Node *nodes = (Ringhop__Peer__Node *)(list + count);
    for (size_t i = 0; i < count; i++) {
        list[i] = rh_wire_node(&group->members[i], &nodes[i]);
    }
    *ret_count = count;
    *ret_list = list;
    return 0;
}

int rh_wire_to_group(size_t count, Ringhop__Peer__Node *const *list, const char *name,
                     struct rh_peer_group *ret_group, struct rh_wire_reader *reader)
{
    struct rh_node_ref *members = rh_arena_alloc(reader->arena, count * sizeof(*members));
    if (members == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        int rv = rh_wire_to_node(list[i], name, &members[i], reader->reason);
        if (rv != 0) {
            return rv;
        }
    }
    *ret_group = (struct rh_peer_group){.members = members, .count = count};
    return 0;
}

static const Ringhop__Peer__OperationKind operation_kinds[RH_PEER_OPERATION_KINDS] = {
    [RH_PEER_OPERATION_MESSAGE] = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_MESSAGE,
    [RH_PEER_OPERATION_STATE] = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_STATE,
    [RH_PEER_OPERATION_STATE_DELETE] = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_STATE_DELETE,
    [RH_PEER_OPERATION_FOLLOW] = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_FOLLOW,
    [RH_PEER_OPERATION_UNFOLLOW] = RINGHOP__PEER__OPERATION_KIND__OPERATION_KIND_UNFOLLOW,
};

static void pack_operation(const struct rh_peer_operation *operation, Ringhop__Peer__Operation *out)
{
    ringhop__peer__operation__init(out);
    out->kind = operation_kinds[operation->kind];
    out->seq = operation->seq;
    out->version = operation->version;
    out->time_ms = operation->time_ms;
    out->in_window = operation->in_window;
    out->id = rh_wire_bytes(operation->id);
    if (operation->kind == RH_PEER_OPERATION_MESSAGE) {
        int kind = rh_wire_enum((int)operation->payload.kind);
        out->payload_kind = (Ringhop__Peer__PayloadKind)kind;
    }
    out->payload = rh_wire_bytes(operation->payload.bytes);
    out->content_type = rh_wire_bytes(operation->content_type);
    out->topic = rh_wire_bytes(operation->topic);
    out->topic_incarnation = operation->position.incarnation;
    out->topic_seq = operation->position.seq;
}

static void unpack_operation(const Ringhop__Peer__Operation *wire,
                             struct rh_peer_operation *ret_operation)
{
    int kind = 0;
    while (kind < RH_PEER_OPERATION_KINDS && operation_kinds[kind] != wire->kind) {
        kind++;
    }
    int payload_kind = rh_wire_to_enum((int)wire->payload_kind, RH_PAYLOAD_BINARY + 1);
    if (kind != RH_PEER_OPERATION_MESSAGE && wire->payload_kind == 0) {
        payload_kind = RH_PAYLOAD_BINARY;
    }
    *ret_operation = (struct rh_peer_operation){
        .kind = (enum rh_peer_operation_kind)kind,
        .seq = wire->seq,
        .version = wire->version,
        .time_ms = wire->time_ms,
        .in_window = wire->in_window,
        .id = rh_wire_to_bytes(wire->id),
        .content_type = rh_wire_to_bytes(wire->content_type),
        .payload = {.kind = (enum rh_payload_kind)payload_kind,
                    .bytes = rh_wire_to_bytes(wire->payload)},
        .topic = rh_wire_to_bytes(wire->topic),
        .position = {.incarnation = wire->topic_incarnation, .seq = wire->topic_seq},
    };
}

int rh_wire_operations(const struct rh_peer_operations *operations, struct rh_wire_writer *writer,
                       size_t *ret_count, Ringhop__Peer__Operation ***ret_list)
{
    size_t count = operations->count;
    Ringhop__Peer__Operation **list =
        rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__Operation *items = (Ringhop__Peer__Operation *)(list + count);
    for (size_t i = 0; i < count; i++) {
        pack_operation(&operations->items[i], &items[i]);
        list[i] = &items[i];
    }
    *ret_count = count;
    *ret_list = list;
    return 0;
}

int rh_wire_to_operations(uint64_t first_op, size_t count, Ringhop__Peer__Operation *const *list,
                          struct rh_peer_operations *ret_operations, struct rh_wire_reader *reader)
{
    struct rh_peer_operation *items = rh_arena_alloc(reader->arena, count * sizeof(*items));
    if (items == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        unpack_operation(list[i], &items[i]);
    }
    *ret_operations =
        (struct rh_peer_operations){.first_op = first_op, .items = items, .count = count};
    return 0;
}

int rh_wire_follows(const struct rh_peer_follow *follows, size_t follows_count,
                    struct rh_wire_writer *writer, size_t *ret_count,
                    Ringhop__Peer__Follow ***ret_list)
{
    Ringhop__Peer__Follow **list =
        rh_wire_take(writer, follows_count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__Follow *items = (Ringhop__Peer__Follow *)(list + follows_count);
    for (size_t i = 0; i < follows_count; i++) {
        ringhop__peer__follow__init(&items[i]);
        items[i].topic = rh_wire_bytes(follows[i].topic);
        items[i].incarnation = follows[i].position.incarnation;
        items[i].seq = follows[i].position.seq;
        list[i] = &items[i];
    }
    *ret_count = follows_count;
    *ret_list = list;
    return 0;
}

int rh_wire_to_follows(size_t count, Ringhop__Peer__Follow *const *list,
                       const struct rh_peer_follow **ret_follows, size_t *ret_count,
                       struct rh_wire_reader *reader)
{
    struct rh_peer_follow *follows = rh_arena_alloc(reader->arena, count * sizeof(*follows));
    if (follows == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        follows[i] = (struct rh_peer_follow){
            .topic = rh_wire_to_bytes(list[i]->topic),
            .position = {.incarnation = list[i]->incarnation, .seq = list[i]->seq},
        };
    }
    *ret_follows = follows;
    *ret_count = count;
    return 0;
}
