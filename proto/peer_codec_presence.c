/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in a channel: asked for, answered, and told to those who hold copies. */
#include "proto/peer_codec_internal.h"

int rh_wire_clients(struct rh_peer_present_list clients, struct rh_wire_writer *writer,
                    size_t *ret_count, Ringhop__Peer__PresentClient ***ret_list)
{
    Ringhop__Peer__PresentClient **list =
        rh_wire_take(writer, clients.count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__PresentClient *items = (Ringhop__Peer__PresentClient *)(list + clients.count);
    for (size_t i = 0; i < clients.count; i++) {
        ringhop__peer__present_client__init(&items[i]);
        items[i].client = rh_wire_bytes(clients.items[i].client);
        items[i].meta = rh_wire_bytes(clients.items[i].meta);
        items[i].connections = clients.items[i].connections;
        list[i] = &items[i];
    }
    *ret_count = clients.count;
    *ret_list = list;
    return 0;
}

int rh_wire_to_clients(size_t count, Ringhop__Peer__PresentClient *const *list,
                       struct rh_wire_reader *reader, struct rh_peer_present_list *ret_clients)
{
    struct rh_peer_present *items = rh_arena_alloc(reader->arena, count * sizeof(*items));
    if (items == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct rh_peer_present){
            .client = rh_wire_to_bytes(list[i]->client),
            .meta = rh_wire_to_bytes(list[i]->meta),
            .connections = list[i]->connections,
        };
    }
    *ret_clients = (struct rh_peer_present_list){.items = items, .count = count};
    return 0;
}

int rh_wire_pack_presence_get(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    ringhop__peer__presence_get__init(&writer->presence_get);
    writer->presence_get.request = message->presence_get.request;
    writer->presence_get.key = rh_wire_bytes(message->presence_get.key);
    frame->presence_get = &writer->presence_get;
    return 0;
}

int rh_wire_unpack_presence_get(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    (void)reader;
    message->presence_get = (struct rh_peer_presence_get){
        .request = frame->presence_get->request,
        .key = rh_wire_to_bytes(frame->presence_get->key),
    };
    return 0;
}

int rh_wire_pack_presence_answer(const struct rh_peer_message *message,
                                 struct rh_wire_writer *writer, rh_wire_frame *frame)
{
    const struct rh_peer_presence_answer *answer = &message->presence_answer;
    Ringhop__Peer__PresenceAnswer *wire = &writer->presence_answer;
    ringhop__peer__presence_answer__init(wire);
    wire->request = answer->request;
    wire->result = (Ringhop__Peer__Result)rh_wire_enum((int)answer->result);
    wire->owner = rh_wire_text(answer->owner);
    wire->code = rh_wire_bytes(answer->code);
    wire->detail = rh_wire_bytes(answer->detail);
    wire->incarnation = answer->incarnation;
    frame->presence_answer = wire;
    return rh_wire_clients((struct rh_peer_present_list){answer->clients, answer->clients_count},
                           writer, &wire->n_clients, &wire->clients);
}

int rh_wire_unpack_presence_answer(const rh_wire_frame *frame, struct rh_peer_message *message,
                                   struct rh_wire_reader *reader)
{
    const Ringhop__Peer__PresenceAnswer *wire = frame->presence_answer;
    struct rh_peer_presence_answer *answer = &message->presence_answer;
    *answer = (struct rh_peer_presence_answer){
        .request = wire->request,
        .result = (enum rh_peer_result)rh_wire_to_enum((int)wire->result, RH_PEER_RESULTS),
        .code = rh_wire_to_bytes(wire->code),
        .detail = rh_wire_to_bytes(wire->detail),
        .incarnation = wire->incarnation,
    };
    struct rh_peer_present_list clients = {0};
    int rv = rh_wire_to_clients(wire->n_clients, wire->clients, reader, &clients);
    answer->clients = clients.items;
    answer->clients_count = clients.count;
    return rv != 0
               ? rv
               : rh_wire_to_id(wire->owner, "presence_answer.owner", answer->owner, reader->reason);
}

int rh_wire_pack_presence(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                          rh_wire_frame *frame)
{
    const struct rh_peer_presence *presence = &message->presence;
    Ringhop__Peer__Presence *wire = &writer->presence;
    ringhop__peer__presence__init(wire);
    wire->key = rh_wire_bytes(presence->key);
    wire->term = rh_wire_term(presence->term, &writer->terms[0]);
    wire->version = presence->version;
    frame->presence = wire;
    return rh_wire_clients(
        (struct rh_peer_present_list){presence->clients, presence->clients_count}, writer,
        &wire->n_clients, &wire->clients);
}

int rh_wire_unpack_presence(const rh_wire_frame *frame, struct rh_peer_message *message,
                            struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Presence *wire = frame->presence;
    struct rh_peer_presence *presence = &message->presence;
    presence->key = rh_wire_to_bytes(wire->key);
    presence->version = wire->version;
    struct rh_peer_present_list clients = {0};
    int rv = rh_wire_to_term(wire->term, "presence.term", &presence->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_clients(wire->n_clients, wire->clients, reader, &clients);
    }
    presence->clients = clients.items;
    presence->clients_count = clients.count;
    return rv;
}
