/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a view change and a handoff, of leases and of relay. */
#include "proto/peer_codec_internal.h"

/* report and its end */

/* One copy with all that it points to but the group. */
struct copy_parts {
    Ringhop__Peer__Copy copy;
    Ringhop__Peer__Term term;
    Ringhop__Peer__Node passing_to;
};

static int pack_copy(const struct rh_peer_copy *copy, struct copy_parts *out,
                     struct rh_wire_writer *writer)
{
    Ringhop__Peer__Copy *wire = &out->copy;
    ringhop__peer__copy__init(wire);
    wire->key = rh_wire_bytes(copy->key);
    wire->incarnation = copy->incarnation;
    wire->term = rh_wire_term(copy->term, &out->term);
    wire->op = copy->op;
    wire->state = (Ringhop__Peer__CopyState)rh_wire_enum((int)copy->state);
    wire->suspect = copy->suspect;
    wire->lacked = copy->lacked;
    if (copy->state == RH_PEER_COPY_PASSING) {
        wire->passing_to = rh_wire_node(&copy->passing_to, &out->passing_to);
    }
    return rh_wire_group(&copy->group, writer, &wire->n_group, &wire->group);
}

static int unpack_copy(const Ringhop__Peer__Copy *wire, struct rh_peer_copy *ret_copy,
                       struct rh_wire_reader *reader)
{
    *ret_copy = (struct rh_peer_copy){
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .op = wire->op,
        .state = (enum rh_peer_copy_state)rh_wire_to_enum((int)wire->state, RH_PEER_COPY_STATES),
        .suspect = wire->suspect,
        .lacked = wire->lacked,
    };
    int rv = rh_wire_to_term(wire->term, "report.copies.term", &ret_copy->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_group(wire->n_group, wire->group, "report.copies.group", &ret_copy->group,
                              reader);
    }
    if (rv == 0) {
        rv = rh_wire_to_node(wire->passing_to, "report.copies.passing_to", &ret_copy->passing_to,
                             reader->reason);
    }
    return rv;
}

int rh_wire_pack_report(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                        rh_wire_frame *frame)
{
    const struct rh_peer_report *report = &message->report;
    size_t count = report->count;
    Ringhop__Peer__Copy **list =
        rh_wire_take(writer, count * (sizeof(*list) + sizeof(struct copy_parts)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    struct copy_parts *parts = (struct copy_parts *)(list + count);
    for (size_t i = 0; i < count; i++) {
        int rv = pack_copy(&report->copies[i], &parts[i], writer);
        if (rv != 0) {
            return rv;
        }
        list[i] = &parts[i].copy;
    }
    ringhop__peer__report__init(&writer->report);
    writer->report.n_copies = count;
    writer->report.copies = list;
    writer->report.round = report->round;
    writer->report.since = report->since;
    frame->report = &writer->report;
    return 0;
}

int rh_wire_unpack_report(const rh_wire_frame *frame, struct rh_peer_message *message,
                          struct rh_wire_reader *reader)
{
    size_t count = frame->report->n_copies;
    struct rh_peer_copy *copies = rh_arena_alloc(reader->arena, count * sizeof(*copies));
    if (copies == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        int rv = unpack_copy(frame->report->copies[i], &copies[i], reader);
        if (rv != 0) {
            return rv;
        }
    }
    message->report = (struct rh_peer_report){.copies = copies,
                                              .count = count,
                                              .round = frame->report->round,
                                              .since = frame->report->since};
    return 0;
}

int rh_wire_pack_report_end(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                            rh_wire_frame *frame)
{
    ringhop__peer__report_end__init(&writer->report_end);
    writer->report_end.copies = message->report_end.copies;
    writer->report_end.round = message->report_end.round;
    frame->report_end = &writer->report_end;
    return 0;
}

int rh_wire_unpack_report_end(const rh_wire_frame *frame, struct rh_peer_message *message,
                              struct rh_wire_reader *reader)
{
    (void)reader;
    message->report_end.copies = frame->report_end->copies;
    message->report_end.round = frame->report_end->round;
    return 0;
}

/* fetch */

int rh_wire_pack_fetch(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                       rh_wire_frame *frame)
{
    const struct rh_peer_fetch *fetch = &message->fetch;
    Ringhop__Peer__Fetch *wire = &writer->fetch;
    ringhop__peer__fetch__init(wire);
    wire->key = rh_wire_bytes(fetch->key);
    wire->incarnation = fetch->incarnation;
    wire->term = rh_wire_term(fetch->term, &writer->terms[0]);
    wire->op = fetch->op;
    wire->from_op = fetch->from_op;
    wire->base_term = rh_wire_term(fetch->base_term, &writer->terms[1]);
    frame->fetch = wire;
    return 0;
}

int rh_wire_unpack_fetch(const rh_wire_frame *frame, struct rh_peer_message *message,
                         struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Fetch *wire = frame->fetch;
    struct rh_peer_fetch *fetch = &message->fetch;
    *fetch = (struct rh_peer_fetch){
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .op = wire->op,
        .from_op = wire->from_op,
    };
    int rv = rh_wire_to_term(wire->term, "fetch.term", &fetch->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_term(wire->base_term, "fetch.base_term", &fetch->base_term, reader->reason);
    }
    return rv;
}

/* own, its answer, expedite */

int rh_wire_pack_own(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                     rh_wire_frame *frame)
{
    const struct rh_peer_own *own = &message->own;
    Ringhop__Peer__Own *wire = &writer->own;
    ringhop__peer__own__init(wire);
    wire->key = rh_wire_bytes(own->key);
    wire->incarnation = own->incarnation;
    wire->term = rh_wire_term(own->term, &writer->terms[0]);
    wire->op = own->op;
    frame->own = wire;
    return rh_wire_group(&own->group, writer, &wire->n_group, &wire->group);
}

int rh_wire_unpack_own(const rh_wire_frame *frame, struct rh_peer_message *message,
                       struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Own *wire = frame->own;
    struct rh_peer_own *own = &message->own;
    *own = (struct rh_peer_own){
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .op = wire->op,
    };
    int rv = rh_wire_to_term(wire->term, "own.term", &own->term, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_group(wire->n_group, wire->group, "own.group", &own->group, reader);
    }
    return rv;
}

int rh_wire_pack_own_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                         rh_wire_frame *frame)
{
    Ringhop__Peer__OwnAck *wire = &writer->own_ack;
    ringhop__peer__own_ack__init(wire);
    wire->key = rh_wire_bytes(message->own_ack.key);
    wire->term = rh_wire_term(message->own_ack.term, &writer->terms[0]);
    frame->own_ack = wire;
    return 0;
}

int rh_wire_unpack_own_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                           struct rh_wire_reader *reader)
{
    const Ringhop__Peer__OwnAck *wire = frame->own_ack;
    message->own_ack.key = rh_wire_to_bytes(wire->key);
    return rh_wire_to_term(wire->term, "own_ack.term", &message->own_ack.term, reader->reason);
}

int rh_wire_pack_expedite(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                          rh_wire_frame *frame)
{
    Ringhop__Peer__Expedite *wire = &writer->expedite;
    ringhop__peer__expedite__init(wire);
    wire->key = rh_wire_bytes(message->expedite.key);
    wire->deadline_ms = message->expedite.deadline_ms;
    frame->expedite = wire;
    return 0;
}

int rh_wire_unpack_expedite(const rh_wire_frame *frame, struct rh_peer_message *message,
                            struct rh_wire_reader *reader)
{
    (void)reader;
    message->expedite.key = rh_wire_to_bytes(frame->expedite->key);
    message->expedite.deadline_ms = frame->expedite->deadline_ms;
    return 0;
}

/* leave and its answer */

int rh_wire_pack_leave(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                       rh_wire_frame *frame)
{
    const struct rh_peer_leave *leave = &message->leave;
    Ringhop__Peer__Leave *wire = &writer->leave;
    ringhop__peer__leave__init(wire);
    wire->key = rh_wire_bytes(leave->key);
    wire->incarnation = leave->incarnation;
    wire->term = rh_wire_term(leave->term, &writer->terms[0]);
    wire->reclaim = leave->reclaim;
    frame->leave = wire;
    return 0;
}

int rh_wire_unpack_leave(const rh_wire_frame *frame, struct rh_peer_message *message,
                         struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Leave *wire = frame->leave;
    message->leave = (struct rh_peer_leave){
        .key = rh_wire_to_bytes(wire->key),
        .incarnation = wire->incarnation,
        .reclaim = wire->reclaim,
    };
    return rh_wire_to_term(wire->term, "leave.term", &message->leave.term, reader->reason);
}

int rh_wire_pack_leave_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    Ringhop__Peer__LeaveAck *wire = &writer->leave_ack;
    ringhop__peer__leave_ack__init(wire);
    wire->key = rh_wire_bytes(message->leave_ack.key);
    wire->term = rh_wire_term(message->leave_ack.term, &writer->terms[0]);
    frame->leave_ack = wire;
    return 0;
}

int rh_wire_unpack_leave_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    const Ringhop__Peer__LeaveAck *wire = frame->leave_ack;
    message->leave_ack.key = rh_wire_to_bytes(wire->key);
    return rh_wire_to_term(wire->term, "leave_ack.term", &message->leave_ack.term, reader->reason);
}

/* views */

int rh_wire_pack_view_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                          rh_wire_frame *frame)
{
    ringhop__peer__view_ask__init(&writer->view_ask);
    writer->view_ask.generation = message->view_ask.above.generation;
    writer->view_ask.pzxid = message->view_ask.above.pzxid;
    frame->view_ask = &writer->view_ask;
    return 0;
}

int rh_wire_unpack_view_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                            struct rh_wire_reader *reader)
{
    (void)reader;
    message->view_ask.above = (struct rh_epoch){.generation = frame->view_ask->generation,
                                                .pzxid = frame->view_ask->pzxid};
    return 0;
}

int rh_wire_pack_view(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                      rh_wire_frame *frame)
{
    const struct rh_peer_view *view = &message->view;
    size_t count = view->members_count;
    Ringhop__Peer__ViewMember **list =
        rh_wire_take(writer, count * (sizeof(*list) + sizeof(**list)));
    if (list == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    Ringhop__Peer__ViewMember *members = (Ringhop__Peer__ViewMember *)(list + count);
    for (size_t i = 0; i < count; i++) {
        ringhop__peer__view_member__init(&members[i]);
        members[i].name = rh_wire_bytes(view->members[i].name);
        members[i].czxid = view->members[i].czxid;
        members[i].data = rh_wire_bytes(view->members[i].data);
        list[i] = &members[i];
    }
    Ringhop__Peer__View *wire = &writer->view;
    ringhop__peer__view__init(wire);
    wire->generation = view->epoch.generation;
    wire->pzxid = view->epoch.pzxid;
    wire->config = rh_wire_bytes(view->config);
    wire->n_members = count;
    wire->members = list;
    wire->deletions = view->deletions;
    frame->view = wire;
    return 0;
}

int rh_wire_unpack_view(const rh_wire_frame *frame, struct rh_peer_message *message,
                        struct rh_wire_reader *reader)
{
    const Ringhop__Peer__View *wire = frame->view;
    size_t count = wire->n_members;
    struct rh_peer_view_member *members = rh_arena_alloc(reader->arena, count * sizeof(*members));
    if (members == NULL) {
        return rh_wire_no_room(reader);
    }
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct rh_peer_view_member){
            .name = rh_wire_to_bytes(wire->members[i]->name),
            .czxid = wire->members[i]->czxid,
            .data = rh_wire_to_bytes(wire->members[i]->data),
        };
    }
    message->view = (struct rh_peer_view){
        .epoch = {.generation = wire->generation, .pzxid = wire->pzxid},
        .config = rh_wire_to_bytes(wire->config),
        .members = members,
        .members_count = count,
        .deletions = wire->deletions,
    };
    return 0;
}

int rh_wire_pack_view_ack(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                          rh_wire_frame *frame)
{
    (void)message;
    ringhop__peer__view_ack__init(&writer->view_ack);
    frame->view_ack = &writer->view_ack;
    return 0;
}

int rh_wire_unpack_view_ack(const rh_wire_frame *frame, struct rh_peer_message *message,
                            struct rh_wire_reader *reader)
{
    (void)frame;
    (void)reader;
    message->view_ack.unused = 0;
    return 0;
}

/* leases */

int rh_wire_pack_lease_ask(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                           rh_wire_frame *frame)
{
    ringhop__peer__lease_ask__init(&writer->lease_ask);
    writer->lease_ask.number = message->lease_ask.number;
    frame->lease_ask = &writer->lease_ask;
    return 0;
}

int rh_wire_unpack_lease_ask(const rh_wire_frame *frame, struct rh_peer_message *message,
                             struct rh_wire_reader *reader)
{
    (void)reader;
    message->lease_ask.number = frame->lease_ask->number;
    return 0;
}

int rh_wire_pack_lease_grant(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                             rh_wire_frame *frame)
{
    ringhop__peer__lease_grant__init(&writer->lease_grant);
    writer->lease_grant.number = message->lease_grant.number;
    frame->lease_grant = &writer->lease_grant;
    return 0;
}

int rh_wire_unpack_lease_grant(const rh_wire_frame *frame, struct rh_peer_message *message,
                               struct rh_wire_reader *reader)
{
    (void)reader;
    message->lease_grant.number = frame->lease_grant->number;
    return 0;
}

/* relay */

int rh_wire_pack_relay(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                       rh_wire_frame *frame)
{
    Ringhop__Peer__Relay *wire = &writer->relay;
    ringhop__peer__relay__init(wire);
    wire->from = rh_wire_node(&message->relay.from, &writer->nodes[0]);
    wire->to = rh_wire_node(&message->relay.to, &writer->nodes[1]);
    wire->frame = rh_wire_bytes(message->relay.frame);
    frame->relay = wire;
    return 0;
}

int rh_wire_unpack_relay(const rh_wire_frame *frame, struct rh_peer_message *message,
                         struct rh_wire_reader *reader)
{
    const Ringhop__Peer__Relay *wire = frame->relay;
    struct rh_peer_relay *relay = &message->relay;
    relay->frame = rh_wire_to_bytes(wire->frame);
    int rv = rh_wire_to_node(wire->from, "relay.from", &relay->from, reader->reason);
    if (rv == 0) {
        rv = rh_wire_to_node(wire->to, "relay.to", &relay->to, reader->reason);
    }
    return rv;
}

int rh_wire_pack_relay_failed(const struct rh_peer_message *message, struct rh_wire_writer *writer,
                              rh_wire_frame *frame)
{
    ringhop__peer__relay_failed__init(&writer->relay_failed);
    writer->relay_failed.to = rh_wire_node(&message->relay_failed.to, &writer->nodes[0]);
    frame->relay_failed = &writer->relay_failed;
    return 0;
}

int rh_wire_unpack_relay_failed(const rh_wire_frame *frame, struct rh_peer_message *message,
                                struct rh_wire_reader *reader)
{
    return rh_wire_to_node(frame->relay_failed->to, "relay_failed.to", &message->relay_failed.to,
                           reader->reason);
}
