/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_CODEC_INTERNAL_H
#define RH_PROTO_PEER_CODEC_INTERNAL_H

/*
 * What the files of the codec share. Per kind there is one function that lays a message out as the
 * generated struct and one that reads it back; peer_codec.c has their table, the frames, and the
 * memory.
 *
 * Nothing here checks ranges of values that have a place in the message: that is
 * rh_peer_message_check()'s matter. Only what has no place there is refused while reading.
 */

#include "base/arena.h"
#include "proto/peer.pb-c.h"
#include "proto/peer_message.h"

#include <stdalign.h>

typedef Ringhop__Peer__Frame rh_wire_frame;

#define RH_WIRE_LISTS_SIZE 4096 /* of lists that need no malloc to be sent */

/* Room for the generated structs of one message. */
struct rh_wire_writer {
    union {
        Ringhop__Peer__Hello hello;
        Ringhop__Peer__Ping ping;
        Ringhop__Peer__Pong pong;
        Ringhop__Peer__StatusAsk status_ask;
        Ringhop__Peer__Status status;
        Ringhop__Peer__Publish publish;
        Ringhop__Peer__PublishAnswer publish_answer;
        Ringhop__Peer__Inspect inspect;
        Ringhop__Peer__InspectAnswer inspect_answer;
        Ringhop__Peer__StateGet state_get;
        Ringhop__Peer__StatePut state_put;
        Ringhop__Peer__StateDelete state_delete;
        Ringhop__Peer__StateAnswer state_answer;
        Ringhop__Peer__PresenceGet presence_get;
        Ringhop__Peer__PresenceAnswer presence_answer;
        Ringhop__Peer__Presence presence;
        Ringhop__Peer__StreamState stream_state;
        Ringhop__Peer__StreamPresence stream_presence;
        Ringhop__Peer__StreamShow stream_show;
        Ringhop__Peer__Append append;
        Ringhop__Peer__AppendAck append_ack;
        Ringhop__Peer__SyncBegin sync_begin;
        Ringhop__Peer__SyncChunk sync_chunk;
        Ringhop__Peer__SyncAck sync_ack;
        Ringhop__Peer__Credit credit;
        Ringhop__Peer__Refused refused;
        Ringhop__Peer__Report report;
        Ringhop__Peer__ReportEnd report_end;
        Ringhop__Peer__Fetch fetch;
        Ringhop__Peer__Own own;
        Ringhop__Peer__OwnAck own_ack;
        Ringhop__Peer__Expedite expedite;
        Ringhop__Peer__Leave leave;
        Ringhop__Peer__LeaveAck leave_ack;
        Ringhop__Peer__ViewAsk view_ask;
        Ringhop__Peer__View view;
        Ringhop__Peer__ViewAck view_ack;
        Ringhop__Peer__LeaseAsk lease_ask;
        Ringhop__Peer__LeaseGrant lease_grant;
        Ringhop__Peer__Relay relay;
        Ringhop__Peer__RelayFailed relay_failed;
        Ringhop__Peer__StreamOpen stream_open;
        Ringhop__Peer__StreamClose stream_close;
        Ringhop__Peer__StreamTaken stream_taken;
        Ringhop__Peer__TunnelCheck tunnel_check;
        Ringhop__Peer__StreamOpened stream_opened;
        Ringhop__Peer__StreamBatch stream_batch;
        Ringhop__Peer__StreamRead stream_read;
        Ringhop__Peer__StreamEnded stream_ended;
        Ringhop__Peer__TunnelState tunnel_state;
        Ringhop__Peer__FollowAsk follow_ask;
        Ringhop__Peer__FollowAnswer follow_answer;
        Ringhop__Peer__TopicAsk topic_ask;
        Ringhop__Peer__TopicBatch topic_batch;
        Ringhop__Peer__TopicAck topic_ack;
        Ringhop__Peer__TopicEnd topic_end;
        Ringhop__Peer__FollowersAsk followers_ask;
        Ringhop__Peer__FollowersAnswer followers_answer;
    };
    Ringhop__Peer__Node nodes[2];
    Ringhop__Peer__Term terms[2];
    struct rh_arena more; /* for lists that do not fit below */
    size_t lists_used;
    alignas(max_align_t) char lists[RH_WIRE_LISTS_SIZE];
};

/* Uninitialised memory that lives as long as |writer|; NULL when out of memory. */
void *rh_wire_take(struct rh_wire_writer *writer, size_t size);

/* Where a message that is read keeps its lists. */
struct rh_wire_reader {
    struct rh_arena *arena;
    struct rh_reason *reason;
};

/* What a reader returns that got no memory of the arena. */
int rh_wire_no_room(const struct rh_wire_reader *reader);

/* pack: fills in |writer| and lets |frame| point to it; RH_ERR_NO_MEMORY.
 * unpack: fills in the member of the union; RH_ERR_INVALID, RH_ERR_NO_MEMORY. */
#define RH_WIRE_KIND(suffix, member, name)                                                        \
    RH_MUST_CHECK int rh_wire_pack_##member(const struct rh_peer_message *message,                \
                                            struct rh_wire_writer *writer, rh_wire_frame *frame); \
    RH_MUST_CHECK int rh_wire_unpack_##member(const rh_wire_frame *frame,                         \
                                              struct rh_peer_message *message,                    \
                                              struct rh_wire_reader *reader);
RH_PEER_MESSAGE_MAP(RH_WIRE_KIND)
#undef RH_WIRE_KIND

/* Between slices and the generated code's, which has no const but writes nothing either. */

static inline ProtobufCBinaryData rh_wire_bytes(struct rh_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data};
}

static inline ProtobufCBinaryData rh_wire_text(const char *text)
{
    return rh_wire_bytes(rh_bytes_text(text));
}

static inline struct rh_bytes rh_wire_to_bytes(ProtobufCBinaryData data)
{
    return rh_bytes(data.data, data.len);
}

/* Enums are one higher on the wire, where 0 means that the field is missing. */

static inline int rh_wire_enum(int value)
{
    return value + 1;
}

/* |count|, which is none of the enum's, when the number is unknown. */
static inline int rh_wire_to_enum(int wire, int count)
{
    return wire >= 1 && wire <= count ? wire - 1 : count;
}

/* A node id, or "" where none stands. |name| is that of the field. */
RH_MUST_CHECK int rh_wire_to_id(ProtobufCBinaryData data, const char *name,
                                char ret_id[static RH_NODE_ID_SIZE], struct rh_reason *reason);

/* A node, or zeroes where none stands. */
Ringhop__Peer__Node *rh_wire_node(const struct rh_node_ref *node, Ringhop__Peer__Node *out);
RH_MUST_CHECK int rh_wire_to_node(const Ringhop__Peer__Node *wire, const char *name,
                                  struct rh_node_ref *ret_node, struct rh_reason *reason);

/* A term, or NULL and zero where there is none. */
Ringhop__Peer__Term *rh_wire_term(struct rh_term term, Ringhop__Peer__Term *out);
RH_MUST_CHECK int rh_wire_to_term(const Ringhop__Peer__Term *wire, const char *name,
                                  struct rh_term *ret_term, struct rh_reason *reason);

/* Lists. */

RH_MUST_CHECK int rh_wire_group(const struct rh_peer_group *group, struct rh_wire_writer *writer,
                                size_t *ret_count, Ringhop__Peer__Node ***ret_list);
RH_MUST_CHECK int rh_wire_to_group(size_t count, Ringhop__Peer__Node *const *list, const char *name,
                                   struct rh_peer_group *ret_group, struct rh_wire_reader *reader);

RH_MUST_CHECK int rh_wire_operations(const struct rh_peer_operations *operations,
                                     struct rh_wire_writer *writer, size_t *ret_count,
                                     Ringhop__Peer__Operation ***ret_list);
RH_MUST_CHECK int rh_wire_to_operations(uint64_t first_op, size_t count,
                                        Ringhop__Peer__Operation *const *list,
                                        struct rh_peer_operations *ret_operations,
                                        struct rh_wire_reader *reader);

RH_MUST_CHECK int rh_wire_clients(struct rh_peer_present_list clients,
                                  struct rh_wire_writer *writer, size_t *ret_count,
                                  Ringhop__Peer__PresentClient ***ret_list);
RH_MUST_CHECK int rh_wire_to_clients(size_t count, Ringhop__Peer__PresentClient *const *list,
                                     struct rh_wire_reader *reader,
                                     struct rh_peer_present_list *ret_clients);
RH_MUST_CHECK int rh_wire_follows(const struct rh_peer_follow *follows, size_t follows_count,
                                  struct rh_wire_writer *writer, size_t *ret_count,
                                  Ringhop__Peer__Follow ***ret_list);
RH_MUST_CHECK int rh_wire_to_follows(size_t count, Ringhop__Peer__Follow *const *list,
                                     const struct rh_peer_follow **ret_follows, size_t *ret_count,
                                     struct rh_wire_reader *reader);

#endif
