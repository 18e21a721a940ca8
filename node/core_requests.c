/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Publish, inspect, and what is done with the state document: where they go. A request that this node
 * can serve at once is answered within the step that brought it and leaves no trace here. Any other
 * becomes *pending*:
 *
 *             +--------------------- a view was adopted ---------------------+
 *             v                                                              |
 *   (dispatch) --owner's link down--> LINK --link up--> SENT --not_owner--> VIEW
 *      |    \--owner's link up------------------------>  |  \
 *      |    |\--no view, or an older one--> VIEW         |   +--link down--> LINK
 *      |    | \--ours, and nobody acts yet--> CHANNEL    |
 *      v    v         (any change of it: dispatch)       v
 *    served here --> COMMITTING, by a group --> answered, or deadline
 *
 * A request that was sent and lost is sent again: a publish or a write of the state carries its id,
 * so the owner recognises it, and an inspect changes nothing. One that came from a peer is never forwarded
 * again: it is served, it waits, or it is answered not_owner. A request for a channel of ours that is still
 * to be handed over goes to who acts meanwhile, as if that one were its owner (go_to_actor()).
 */

/* How long a request that was sent stays without answer before it is sent again; doubled each time,
 * because an owner that is slow is not helped by hearing everything again and again. */
#define RESEND_MS 500U

static bool peer_is_up(const struct rh_core *core, const struct rh_node_ref *ref)
{
    const struct rh_process *process = rh_groups_find(&core->groups, ref);
    return process != NULL && rh_core_is_reachable(core, process);
}

/* ---- pending ---- */

static struct rh_pending *pending_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_pending, link);
}

static size_t pending_bytes(const struct rh_pending *pending)
{
    return sizeof(*pending) + pending->key_size + pending->id_size + pending->payload_size +
           pending->content_type_size;
}

struct rh_request_ref rh_core_pending_request(const struct rh_pending *pending)
{
    const char *data = pending->data;
    return (struct rh_request_ref){
        .ask = pending->ask,
        .from_peer = pending->from_peer,
        .may_redirect = pending->may_redirect,
        .id_is_ours = pending->id_is_ours,
        .maybe_done = pending->unanswered > 0 || pending->state == RH_PENDING_COMMITTING,
        .request = pending->request,
        .from = pending->from,
        .key = rh_bytes(data, pending->key_size),
        .id = rh_bytes(data + pending->key_size, pending->id_size),
        .payload = {.kind = pending->kind,
                    .bytes = rh_bytes(data + pending->key_size + pending->id_size,
                                      pending->payload_size)},
        .content_type =
            rh_bytes(data + pending->key_size + pending->id_size + pending->payload_size,
                     pending->content_type_size),
        .condition = pending->condition,
        .if_version = pending->if_version,
        .deadline_ms = pending->deadline_ms,
    };
}

static void insert_by_deadline(struct rh_core *core, struct rh_pending *pending)
{
    struct rh_list *place = core->pending.prev;
    while (place != &core->pending && pending_of(place)->deadline_ms > pending->deadline_ms) {
        place = place->prev;
    }
    rh_list_insert_after(place, &pending->link);
}

/* Out of the lists of the channel that it waits for. */
static void leave_channel(struct rh_pending *pending)
{
    pending->channel->waiters->requests_count--;
    rh_list_remove(&pending->channel_link);
    pending->channel = NULL;
}

/* Takes the request out of the core. Its memory lives until the next step, because actions may
 * point into it. */
void rh_core_pending_remove(struct rh_core *core, struct rh_pending *pending)
{
    core->pending_bytes -= pending_bytes(pending);
    core->stats.pending--;
    if (core->pending_next == &pending->link) {
        core->pending_next = pending->link.next;
    }
    rh_list_remove(&pending->link);
    rh_table_remove(&core->pending_table, &pending->table_link);
    rh_core_keep(core, pending);
    struct rh_channel *channel = pending->channel;
    if (channel == NULL) {
        rh_list_remove(&pending->channel_link);
        return;
    }
    leave_channel(pending);
    rh_core_channel_settle(core, channel);
}

/* What tells pending requests apart: the process that numbered it (instance 0: we), and its number.
 * So what a peer sends again is recognised. */
struct pending_name {
    uint64_t instance;
    uint64_t number;
};

static struct pending_name name_of(const struct rh_pending *pending)
{
    return (struct pending_name){.instance = pending->from.instance, .number = pending->number};
}

static uint64_t name_hash(const struct pending_name *name)
{
    return name->instance ^ name->number;
}

static struct rh_pending *pending_in_table(const struct rh_table_link *link)
{
    return (struct rh_pending *)((uintptr_t)link - offsetof(struct rh_pending, table_link));
}

static bool name_equal(const struct rh_table_link *link, const void *key)
{
    const struct pending_name *wanted = key;
    const struct pending_name name = name_of(pending_in_table(link));
    return name.instance == wanted->instance && name.number == wanted->number;
}

static struct rh_pending *pending_find(const struct rh_core *core, uint64_t instance,
                                       uint64_t number)
{
    const struct pending_name name = {.instance = instance, .number = number};
    struct rh_table_link *link =
        rh_table_find(&core->pending_table, name_hash(&name), name_equal, &name);
    return link == NULL ? NULL : pending_in_table(link);
}

static struct rh_pending *pending_create(struct rh_core *core, const struct rh_request_ref *request)
{
    size_t data_size = request->key.size + request->id.size + request->payload.bytes.size +
                       request->content_type.size;
    if (core->stats.pending == 0) {
        core->retry_ms = core->now_ms; /* nobody had to be looked at before */
    }
    struct rh_pending *pending = malloc(sizeof(*pending) + data_size);
    if (pending == NULL) {
        return NULL;
    }
    *pending = (struct rh_pending){
        .state = RH_PENDING_VIEW,
        .ask = request->ask,
        .from_peer = request->from_peer,
        .may_redirect = request->may_redirect,
        .id_is_ours = request->id_is_ours,
        .number = request->from_peer ? request->request : ++core->pending_number,
        .request = request->request,
        .from = request->from,
        .deadline_ms = request->deadline_ms,
        .kind = request->payload.kind,
        .key_size = (uint32_t)request->key.size,
        .id_size = (uint32_t)request->id.size,
        .payload_size = (uint32_t)request->payload.bytes.size,
        .content_type_size = (uint32_t)request->content_type.size,
        .condition = request->condition,
        .if_version = request->if_version,
    };
    rh_list_init(&pending->channel_link);
    char *out = rh_bytes_write(pending->data, request->key);
    out = rh_bytes_write(out, request->id);
    out = rh_bytes_write(out, request->payload.bytes);
    (void)rh_bytes_write(out, request->content_type);
    insert_by_deadline(core, pending);
    const struct pending_name name = name_of(pending);
    rh_table_insert(&core->pending_table, &pending->table_link, name_hash(&name));
    core->pending_bytes += pending_bytes(pending);
    core->stats.pending++;
    return pending;
}

/* ---- answers ---- */

enum rh_peer_result rh_core_peer_result(enum rh_refusal refusal)
{
    switch (refusal) {
    case RH_REFUSAL_NONE:
        return RH_PEER_OK;
    case RH_REFUSAL_UNKNOWN:
    case RH_REFUSAL_UNREACHABLE:
    case RH_REFUSAL_NOT_READY:
    case RH_REFUSAL_NO_OWNER:
        return RH_PEER_UNKNOWN;
    case RH_REFUSAL_TOO_LARGE:
    case RH_REFUSAL_CHANNELS_FULL:
    case RH_REFUSAL_PRESENCE_FULL:
    case RH_REFUSAL_OVERLOADED:
    case RH_REFUSAL_NO_MEMORY:
    case RH_REFUSAL_FOLLOWS_FULL:
    case RH_REFUSAL_MEMBER_FULL:
    case RH_REFUSAL_TOO_SLOW:
        return RH_PEER_RESULT_REFUSED;
    }
    assert(false && "not a refusal");
    return RH_PEER_UNKNOWN;
}

struct rh_bytes rh_core_peer_code(enum rh_refusal refusal)
{
    return rh_core_peer_result(refusal) == RH_PEER_RESULT_REFUSED
               ? rh_bytes_text(rh_refusal_code(refusal))
               : rh_bytes(NULL, 0);
}

void rh_core_answer_publish(struct rh_core *core, const struct rh_request_ref *request,
                            const struct rh_publish_result *result)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_PUBLISHED);
        action->published.request = request->request;
        action->published.result = *result;
        return;
    }
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_PUBLISH_ANSWER);
    message->publish_answer = (struct rh_peer_publish_answer){
        .request = request->request,
        .result = rh_core_peer_result(result->refusal),
        .code = rh_core_peer_code(result->refusal),
    };
    if (result->refusal == RH_REFUSAL_NONE) {
        message->publish_answer.seq = result->seq;
        message->publish_answer.incarnation = result->incarnation;
        message->publish_answer.connections = result->connections;
        message->publish_answer.duplicate = result->duplicate;
        memcpy(message->publish_answer.owner, result->node, RH_NODE_ID_SIZE);
    }
}

void rh_core_answer_inspect(struct rh_core *core, const struct rh_request_ref *request,
                            enum rh_refusal refusal, const struct rh_channel_info *info)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_INSPECTED);
        action->inspected.request = request->request;
        action->inspected.refusal = refusal;
        action->inspected.info = *info;
        action->inspected.owner = RH_RING_NONE;
        if (core->view != NULL) {
            const struct rh_ring *ring = core->view->ring;
            action->inspected.hash = rh_ring_hash(ring, request->key.data, request->key.size);
            action->inspected.owner = rh_ring_owner(ring, action->inspected.hash);
        }
        return;
    }
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_INSPECT_ANSWER);
    message->inspect_answer = (struct rh_peer_inspect_answer){
        .request = request->request,
        .result = rh_core_peer_result(refusal),
        .code = rh_core_peer_code(refusal),
    };
    if (refusal == RH_REFUSAL_NONE) {
        memcpy(message->inspect_answer.owner, core->options.id, RH_NODE_ID_SIZE);
        message->inspect_answer.exists = info->incarnation != 0;
        message->inspect_answer.connections = info->connections;
        if (info->incarnation != 0) {
            message->inspect_answer.incarnation = info->incarnation;
            message->inspect_answer.first_seq = info->first_seq;
            message->inspect_answer.last_seq = info->last_seq;
        }
    }
}

void rh_core_request_refuse(struct rh_core *core, const struct rh_request_ref *request,
                            enum rh_refusal refusal)
{
    core->stats.refusals++;
    if (request->maybe_done) {
        refusal = rh_ask_changes(request->ask) ? RH_REFUSAL_UNKNOWN : RH_REFUSAL_UNREACHABLE;
    }
    if (request->ask == RH_ASK_PRESENCE) {
        rh_core_presence_refuse(core, request, refusal);
    } else if (request->ask == RH_ASK_INSPECT) {
        const struct rh_channel_info info = {.first_seq = 1};
        rh_core_answer_inspect(core, request, refusal, &info);
    } else if (request->ask == RH_ASK_PUBLISH) {
        const struct rh_publish_result result = {.refusal = refusal};
        rh_core_answer_publish(core, request, &result);
    } else if (rh_ask_is_follow(request->ask)) {
        rh_core_follow_refuse(core, request, refusal);
    } else {
        rh_core_state_refuse(core, request, refusal);
    }
}

static void answer_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                             uint32_t owner)
{
    const char *id = owner == RH_RING_NONE ? "" : core->view->members[owner].id;
    if (request->ask == RH_ASK_PRESENCE) {
        rh_core_presence_not_owner(core, request, id);
    } else if (request->ask == RH_ASK_INSPECT) {
        struct rh_peer_message *message =
            rh_core_send_to(core, &request->from, RH_PEER_INSPECT_ANSWER);
        message->inspect_answer.request = request->request;
        message->inspect_answer.result = RH_PEER_NOT_OWNER;
        memcpy(message->inspect_answer.owner, id, strlen(id) + 1);
    } else if (request->ask == RH_ASK_PUBLISH) {
        struct rh_peer_message *message =
            rh_core_send_to(core, &request->from, RH_PEER_PUBLISH_ANSWER);
        message->publish_answer.request = request->request;
        message->publish_answer.result = RH_PEER_NOT_OWNER;
        memcpy(message->publish_answer.owner, id, strlen(id) + 1);
    } else if (rh_ask_is_follow(request->ask)) {
        rh_core_follow_not_owner(core, request, id);
    } else {
        rh_core_state_not_owner(core, request, id);
    }
}

/* ---- sending on ---- */

static void send_pending(struct rh_core *core, struct rh_pending *pending)
{
    struct rh_request_ref request = rh_core_pending_request(pending);
    assert(!request.from_peer);
    if (pending->deadline_ms <= core->now_ms) {
        return; /* its time is over, and the tick that says so is late */
    }
    pending->state = RH_PENDING_SENT;
    pending->sent_ms = core->now_ms;
    pending->unanswered++;
    core->stats.forwards_sent++;
    if (request.ask == RH_ASK_PRESENCE) {
        rh_core_presence_forward(core, pending, &request);
        return;
    }
    if (rh_ask_is_follow(request.ask)) {
        rh_core_follow_forward(core, pending, &request);
        return;
    }
    if (request.ask != RH_ASK_PUBLISH && request.ask != RH_ASK_INSPECT) {
        rh_core_state_forward(core, pending, &request);
        return;
    }
    if (request.ask == RH_ASK_INSPECT) {
        struct rh_peer_message *message = rh_core_send_to(core, &pending->target, RH_PEER_INSPECT);
        message->inspect = (struct rh_peer_inspect){.request = pending->number, .key = request.key};
        return;
    }
    struct rh_peer_message *message = rh_core_send_to(core, &pending->target, RH_PEER_PUBLISH);
    message->publish = (struct rh_peer_publish){
        .request = pending->number,
        .key = request.key,
        .id = request.id,
        .payload = request.payload,
        .deadline_ms = (uint32_t)(pending->deadline_ms - core->now_ms),
    };
}

static void wait_for_view(struct rh_core *core, struct rh_pending *pending, struct rh_epoch epoch)
{
    pending->state = RH_PENDING_VIEW;
    pending->epoch = epoch;
    rh_core_catch_up(core);
}

/* Ends a pending request whose time is over; returns whether it was. Ticks are late by up to
 * RETRY_MS, so whoever would go on with a request asks here first: nothing may begin after the
 * deadline, when the publisher was told that the outcome is not known. */
static bool expire(struct rh_core *core, struct rh_pending *pending)
{
    if (pending->deadline_ms > core->now_ms) {
        return false;
    }
    struct rh_request_ref request = rh_core_pending_request(pending);
    enum rh_refusal refusal =
        rh_ask_changes(request.ask) ? RH_REFUSAL_UNKNOWN : RH_REFUSAL_UNREACHABLE;
    if (pending->state == RH_PENDING_CHANNEL || pending->state == RH_PENDING_TOPIC) {
        refusal = RH_REFUSAL_NOT_READY; /* nothing was begun; maybe_done has the last word */
    }
    rh_core_request_refuse(core, &request, refusal);
    rh_core_pending_remove(core, pending);
    return true;
}

/* Sends |pending| to |node| now, or once its link is up. */
static void forward(struct rh_core *core, struct rh_pending *pending, uint32_t node)
{
    const struct rh_process *target = core->members[node];
    if (pending->state == RH_PENDING_SENT && rh_node_ref_equal(&pending->target, &target->ref)) {
        return;
    }
    pending->target = target->ref;
    pending->state = RH_PENDING_LINK;
    pending->pause_ms = RESEND_MS;
    if (rh_core_is_reachable(core, target) && !expire(core, pending)) {
        send_pending(core, pending);
    }
}

/* ---- waiting for a channel ---- */

static void wait_for_channel(struct rh_core *core, struct rh_pending *pending,
                             const struct rh_request_ref *request, uint64_t hash)
{
    struct rh_channel *channel = NULL;
    enum rh_refusal refusal = rh_core_channel_get(core, request->key, hash, &channel);
    if (refusal == RH_REFUSAL_NONE && rh_channel_waiters(channel) == NULL) {
        refusal = RH_REFUSAL_NO_MEMORY;
    }
    if (refusal == RH_REFUSAL_NONE && rh_ask_changes(request->ask) &&
        rh_core_lacks_room(core, channel)) {
        refusal = RH_REFUSAL_MEMBER_FULL;
    }
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_request_refuse(core, request, refusal);
        rh_core_pending_remove(core, pending);
        return;
    }
    pending->state = RH_PENDING_CHANNEL;
    pending->channel = channel;
    rh_list_push_back(&channel->waiters->requests, &pending->channel_link);
    channel->waiters->requests_count++;
    if (channel->role == RH_ROLE_ABSENT) {
        rh_core_role_set(core, channel, RH_ROLE_WAITING);
    }
    rh_core_hurry(core, channel);
}

/* Who acts for a channel that waits to be handed to this node, and is not here yet. */
const struct rh_process *rh_core_who_acts(const struct rh_core *core,
                                          const struct rh_channel *channel)
{
    const struct rh_reported *reported = rh_core_reported(core, channel);
    for (uint32_t i = 0; reported != NULL && i < reported->count; i++) {
        const struct rh_reported_copy *copy = &reported->items[i];
        if (copy->state == RH_PEER_COPY_ACTING && rh_process_is_registered(copy->from)) {
            return copy->from;
        }
    }
    return NULL;
}

/* Whether the request was sent on to who acts, and comes again: what is known here of who acts is older
 * than what that one has answered. */
static bool has_been_there(const struct rh_core *core, const struct rh_pending *pending,
                           const struct rh_reported *reported)
{
    if (!pending->from_peer) {
        return pending->named_view == core->view_number;
    }
    return reported->sent_on_of == pending->from.instance &&
           pending->number <= reported->sent_on_number;
}

/* H6: what is for a channel of this node for which another acts meanwhile goes there at once. Whether the
 * request is gone from here. */
static bool go_to_actor(struct rh_core *core, struct rh_pending *pending,
                        const struct rh_request_ref *request, struct rh_channel *channel)
{
    bool may = channel != NULL && !rh_role_is_actor(channel->role);
    const struct rh_process *actor = may ? rh_core_who_acts(core, channel) : NULL;
    struct rh_reported *reported = actor == NULL ? NULL : rh_core_reported(core, channel);
    if (reported == NULL || rh_node_ref_equal(&actor->ref, &request->from) ||
        has_been_there(core, pending, reported)) {
        return false;
    }
    if (request->from_peer) {
        reported->sent_on_of = pending->from.instance;
        reported->sent_on_number = pending->number;
        answer_not_owner(core, request, actor->index);
        rh_core_pending_remove(core, pending);
    } else {
        pending->named_view = core->view_number;
        forward(core, pending, actor->index);
    }
    rh_core_expedite(core, channel);
    return true;
}

/* Whether the request has to wait although the channel is this node's. */
static bool has_to_wait(const struct rh_core *core, const struct rh_request_ref *request,
                        const struct rh_core_route *route)
{
    if (route->place == RH_CORE_PLACE_WAIT) {
        return rh_request_creates(request) || !rh_core_is_known_absent(core, route->channel);
    }
    return rh_ask_changes(request->ask) && route->channel != NULL &&
           route->channel->role == RH_ROLE_GATED;
}

/* Tries a pending request in the present view. */
void rh_core_pending_dispatch(struct rh_core *core, struct rh_pending *pending)
{
    if (pending->state == RH_PENDING_TOPIC) {
        rh_list_remove(&pending->channel_link);
        pending->state = RH_PENDING_LINK;
    }
    if (expire(core, pending)) {
        return;
    }
    struct rh_request_ref request = rh_core_pending_request(pending);
    if (pending->state == RH_PENDING_VIEW &&
        (core->view == NULL || rh_epoch_compare(core->view->epoch, pending->epoch) < 0)) {
        return;
    }
    struct rh_core_route route = rh_core_route(core, request.key);
    if (route.place == RH_CORE_PLACE_NONE) {
        wait_for_view(core, pending, (struct rh_epoch){0});
    } else if (route.place == RH_CORE_PLACE_REMOTE && request.from_peer) {
        answer_not_owner(core, &request, route.owner);
        rh_core_pending_remove(core, pending);
    } else if (route.place == RH_CORE_PLACE_REMOTE && request.may_redirect) {
        rh_core_state_redirect(core, &request, route.owner);
        rh_core_pending_remove(core, pending);
    } else if (route.place == RH_CORE_PLACE_REMOTE) {
        forward(core, pending, route.owner);
    } else if (has_to_wait(core, &request, &route)) {
        if (!go_to_actor(core, pending, &request, route.channel)) {
            wait_for_channel(core, pending, &request, route.hash);
        }
    } else if (rh_core_serve(core, &request, &route, pending)) {
        rh_core_pending_remove(core, pending);
    }
}

void rh_core_requests_retry_channel(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->waiters == NULL) {
        return;
    }
    struct rh_list again;
    rh_list_init(&again);
    for (struct rh_list *link = rh_list_first(&channel->waiters->requests); link != NULL;
         link = rh_list_first(&channel->waiters->requests)) {
        leave_channel(rh_container_of(link, struct rh_pending, channel_link));
        rh_list_push_back(&again, link);
    }
    for (struct rh_list *link = rh_list_first(&again); link != NULL; link = rh_list_first(&again)) {
        rh_list_remove(link);
        rh_core_pending_dispatch(core, rh_container_of(link, struct rh_pending, channel_link));
    }
}

void rh_core_requests_committed(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->waiters == NULL) {
        return;
    }
    uint32_t connections = rh_channel_connections(channel);
    rh_list_each_safe (&channel->waiters->committing, link) {
        struct rh_pending *pending = rh_container_of(link, struct rh_pending, channel_link);
        if (pending->op > channel->commit) {
            continue; /* and not the end: a duplicate of an older operation comes after it */
        }
        if (rh_ask_is_follow(pending->ask)) {
            rh_core_follow_committed(core, pending, channel);
            rh_core_pending_remove(core, pending);
            continue;
        }
        if (pending->ask != RH_ASK_PUBLISH) {
            rh_core_state_committed(core, pending, channel);
            rh_core_pending_remove(core, pending);
            continue;
        }
        struct rh_request_ref request = rh_core_pending_request(pending);
        rh_core_serve_acknowledge(core, &request, channel, pending->seq, pending->is_duplicate,
                                  connections);
        rh_core_pending_remove(core, pending);
    }
}

void rh_core_requests_lose(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->waiters == NULL) {
        return;
    }
    struct rh_list lost;
    rh_list_init(&lost);
    for (struct rh_list *link = rh_list_first(&channel->waiters->committing); link != NULL;
         link = rh_list_first(&channel->waiters->committing)) {
        leave_channel(rh_container_of(link, struct rh_pending, channel_link));
        rh_list_push_back(&lost, link);
    }
    for (struct rh_list *link = rh_list_first(&lost); link != NULL; link = rh_list_first(&lost)) {
        struct rh_pending *pending = rh_container_of(link, struct rh_pending, channel_link);
        rh_list_remove(link);
        struct rh_request_ref request = rh_core_pending_request(pending);
        rh_core_request_refuse(core, &request, RH_REFUSAL_UNKNOWN);
        rh_core_pending_remove(core, pending);
    }
}

/* ---- the beginning ---- */

bool rh_core_pending_has_room(const struct rh_core *core)
{
    return core->stats.pending < core->options.pending_max &&
           core->pending_bytes < core->options.pending_bytes_max;
}

struct rh_pending *rh_core_pending_keep(struct rh_core *core, const struct rh_request_ref *request)
{
    if (!rh_core_pending_has_room(core)) {
        rh_core_request_refuse(core, request, RH_REFUSAL_OVERLOADED);
        return NULL;
    }
    struct rh_pending *pending = pending_create(core, request);
    if (pending == NULL) {
        rh_core_request_refuse(core, request, RH_REFUSAL_NO_MEMORY);
    }
    return pending;
}

static void keep_and_dispatch(struct rh_core *core, const struct rh_request_ref *request)
{
    struct rh_pending *pending = rh_core_pending_keep(core, request);
    if (pending != NULL) {
        pending->epoch = core->view->epoch;
        rh_core_pending_dispatch(core, pending);
    }
}

/* A request of a client of this node. */
void rh_core_request_begin(struct rh_core *core, const struct rh_request_ref *request)
{
    struct rh_core_route route = rh_core_route(core, request->key);
    if (route.place == RH_CORE_PLACE_NONE) {
        rh_core_request_refuse(core, request, rh_core_route_refusal(core));
        return;
    }
    uint64_t size_max = request->ask == RH_ASK_STATE_PUT ? core->options.state_size_max
                                                         : core->options.payload_size_max;
    if (request->payload.bytes.size > size_max && !rh_ask_is_follow(request->ask)) {
        rh_core_request_refuse(core, request, RH_REFUSAL_TOO_LARGE);
        return;
    }
    if (route.place == RH_CORE_PLACE_REMOTE && request->may_redirect) {
        rh_core_state_redirect(core, request, route.owner);
        return;
    }
    if (route.place == RH_CORE_PLACE_REMOTE || has_to_wait(core, request, &route)) {
        keep_and_dispatch(core, request);
        return;
    }
    (void)rh_core_serve(core, request, &route, NULL);
}

struct rh_bytes rh_core_auto_id(struct rh_core *core, char text[static RH_AUTO_ID_SIZE])
{
    char hex[RH_ID64_SIZE];
    rh_id64_format(rh_core_random(core), hex);
    (void)snprintf(text, RH_AUTO_ID_SIZE, "auto-%s", hex);
    return rh_bytes_text(text);
}

void rh_core_publish(struct rh_core *core, const struct rh_event *event)
{
    char auto_id[RH_AUTO_ID_SIZE];
    struct rh_request_ref request = {
        .request = event->publish.request,
        .key = event->publish.key,
        .id = event->publish.id,
        .payload = event->publish.payload,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    if (request.id.size == 0) {
        request.id = rh_core_auto_id(core, auto_id);
        request.id_is_ours = true;
    }
    rh_core_request_begin(core, &request);
}

void rh_core_inspect(struct rh_core *core, const struct rh_event *event)
{
    const struct rh_request_ref request = {
        .ask = RH_ASK_INSPECT,
        .request = event->inspect.request,
        .key = event->inspect.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_begin(core, &request);
}

/* ---- messages of peers ---- */

uint64_t rh_core_request_deadline(const struct rh_core *core, uint32_t deadline_ms)
{
    uint32_t longest = core->options.forward_timeout_ms;
    return core->now_ms + (deadline_ms < longest ? deadline_ms : longest);
}

void rh_core_request_take(struct rh_core *core, const struct rh_request_ref *request,
                          struct rh_epoch epoch)
{
    core->stats.forwards_received++;
    if (pending_find(core, request->from.instance, request->request) != NULL) {
        return; /* it was sent again, and the first is still here */
    }
    if (core->view == NULL || rh_epoch_compare(core->view->epoch, epoch) < 0) {
        struct rh_pending *pending = rh_core_pending_keep(core, request);
        if (pending != NULL) {
            wait_for_view(core, pending, epoch);
        }
        return;
    }
    struct rh_core_route route = rh_core_route(core, request->key);
    if (route.place == RH_CORE_PLACE_NONE || route.place == RH_CORE_PLACE_REMOTE) {
        answer_not_owner(core, request, route.owner);
    } else if (has_to_wait(core, request, &route)) {
        keep_and_dispatch(core, request);
    } else {
        (void)rh_core_serve(core, request, &route, NULL);
    }
}

enum rh_refusal rh_core_peer_refusal(enum rh_peer_result result, struct rh_bytes code)
{
    if (result != RH_PEER_RESULT_REFUSED) {
        return RH_REFUSAL_UNKNOWN;
    }
    for (int refusal = RH_REFUSAL_NOT_READY; refusal <= RH_REFUSAL_TOO_SLOW; refusal++) {
        if (rh_bytes_equal_text(code, rh_refusal_code((enum rh_refusal)refusal))) {
            return (enum rh_refusal)refusal;
        }
    }
    return RH_REFUSAL_OVERLOADED;
}

/* The pending request that an answer belongs to, or NULL: it was late, or answered before. */
static struct rh_pending *take_answer(const struct rh_core *core, const struct rh_node_ref *from,
                                      uint64_t number, bool (*fits)(enum rh_ask ask))
{
    struct rh_pending *pending = pending_find(core, 0, number);
    if (pending == NULL || !fits(pending->ask) || pending->state != RH_PENDING_SENT ||
        !rh_node_ref_equal(&pending->target, from)) {
        return NULL;
    }
    assert(pending->unanswered > 0);
    pending->unanswered--;
    return pending;
}

/* Whether the node that was asked is to have the channel. If it names another one again, it does not know
 * yet that this one does not act any more, and is asked again a little later. */
static bool is_rings_owner(struct rh_core *core, const struct rh_pending *pending)
{
    const struct rh_core_route route = rh_core_route(core, rh_core_pending_request(pending).key);
    return route.place == RH_CORE_PLACE_REMOTE &&
           rh_node_ref_equal(&core->members[route.owner]->ref, &pending->target);
}

/* The asked node does not serve the key; |named| is who does, as far as it knows. */
static void not_owner(struct rh_core *core, struct rh_pending *pending, struct rh_epoch epoch,
                      const char *named)
{
    int order = rh_epoch_compare(epoch, core->view->epoch);
    if (order < 0) {
        /* We moved on while it answered; asked again, it catches up first. */
        pending->state = RH_PENDING_LINK;
        rh_core_pending_dispatch(core, pending);
        return;
    }
    if (order == 0 && core->options.replication) {
        /* It has not come to the ring's owner yet, or is there by now (H6). */
        uint32_t node = rh_view_find(core->view, named);
        pending->state = RH_PENDING_LINK;
        if (node != RH_RING_NONE && node != core->self &&
            pending->named_view != core->view_number) {
            pending->named_view = core->view_number;
            forward(core, pending, node);
        } else if (!is_rings_owner(core, pending)) {
            rh_core_pending_dispatch(core, pending);
        }
        return;
    }
    if (order == 0) {
        epoch.pzxid++; /* two nodes of one view differ: only another view can help */
    }
    wait_for_view(core, pending, epoch);
}

struct rh_pending *rh_core_answer_take(struct rh_core *core, struct rh_process *from,
                                       const struct rh_peer_message *message, uint64_t request,
                                       bool (*fits)(enum rh_ask ask), enum rh_peer_result result,
                                       const char *owner)
{
    struct rh_pending *pending = take_answer(core, &from->ref, request, fits);
    if (pending != NULL && result == RH_PEER_NOT_OWNER) {
        not_owner(core, pending, message->epoch, owner);
        return NULL;
    }
    return pending;
}

static bool is_publish(enum rh_ask ask)
{
    return ask == RH_ASK_PUBLISH;
}

void rh_core_on_publish_answer(struct rh_core *core, struct rh_process *from,
                               const struct rh_peer_message *message)
{
    const struct rh_peer_publish_answer *answer = &message->publish_answer;
    struct rh_pending *pending = rh_core_answer_take(core, from, message, answer->request,
                                                     is_publish, answer->result, answer->owner);
    if (pending == NULL) {
        return;
    }
    struct rh_request_ref request = rh_core_pending_request(pending);
    if (answer->result != RH_PEER_OK) {
        rh_core_request_refuse(core, &request, rh_core_peer_refusal(answer->result, answer->code));
        rh_core_pending_remove(core, pending);
        return;
    }
    struct rh_publish_result result = {
        .seq = answer->seq,
        .incarnation = answer->incarnation,
        .connections = answer->connections,
        .duplicate = answer->duplicate,
    };
    memcpy(result.node, answer->owner, RH_NODE_ID_SIZE);
    rh_core_answer_publish(core, &request, &result);
    rh_core_pending_remove(core, pending);
}

static bool is_inspect(enum rh_ask ask)
{
    return ask == RH_ASK_INSPECT;
}

void rh_core_on_inspect_answer(struct rh_core *core, struct rh_process *from,
                               const struct rh_peer_message *message)
{
    const struct rh_peer_inspect_answer *answer = &message->inspect_answer;
    struct rh_pending *pending = rh_core_answer_take(core, from, message, answer->request,
                                                     is_inspect, answer->result, answer->owner);
    if (pending == NULL) {
        return;
    }
    struct rh_request_ref request = rh_core_pending_request(pending);
    struct rh_channel_info info = {.first_seq = 1, .connections = answer->connections};
    if (answer->result == RH_PEER_OK && answer->exists) {
        info.incarnation = answer->incarnation;
        info.first_seq = answer->first_seq;
        info.last_seq = answer->last_seq;
    }
    enum rh_refusal refusal =
        answer->result == RH_PEER_OK ? RH_REFUSAL_NONE : RH_REFUSAL_UNREACHABLE;
    rh_core_answer_inspect(core, &request, refusal, &info);
    rh_core_pending_remove(core, pending);
}

void rh_core_on_publish(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    const struct rh_request_ref request = {
        .from_peer = true,
        .from = from->ref,
        .request = message->publish.request,
        .key = message->publish.key,
        .id = message->publish.id,
        .payload = message->publish.payload,
        .deadline_ms = rh_core_request_deadline(core, message->publish.deadline_ms),
    };
    rh_core_request_take(core, &request, message->epoch);
}

void rh_core_on_inspect(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    const struct rh_request_ref request = {
        .ask = RH_ASK_INSPECT,
        .from_peer = true,
        .from = from->ref,
        .request = message->inspect.request,
        .key = message->inspect.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_take(core, &request, message->epoch);
}

/* ---- links and time ---- */

void rh_core_requests_peer_up(struct rh_core *core, const struct rh_process *process)
{
    rh_list_each_safe (&core->pending, link) {
        struct rh_pending *pending = pending_of(link);
        if (pending->state == RH_PENDING_LINK &&
            rh_node_ref_equal(&pending->target, &process->ref) && !expire(core, pending)) {
            send_pending(core, pending);
        }
    }
}

void rh_core_requests_peer_down(struct rh_core *core, const struct rh_process *process)
{
    rh_list_each (&core->pending, link) {
        struct rh_pending *pending = pending_of(link);
        if (pending->state == RH_PENDING_SENT &&
            rh_node_ref_equal(&pending->target, &process->ref)) {
            pending->state = RH_PENDING_LINK;
        }
    }
}

/* Calls |look| for each pending request. It may end any of them: what one publish commits answers
 * others. */
static void each_pending(struct rh_core *core,
                         void (*look)(struct rh_core *core, struct rh_pending *pending))
{
    core->pending_next = core->pending.next;
    while (core->pending_next != &core->pending) {
        struct rh_pending *pending = pending_of(core->pending_next);
        core->pending_next = pending->link.next;
        look(core, pending);
    }
    core->pending_next = NULL;
}

static void try_again(struct rh_core *core, struct rh_pending *pending)
{
    /* What waits for a channel is tried again by what happens to the channel. */
    if (pending->channel == NULL) {
        rh_core_pending_dispatch(core, pending);
    }
}

void rh_core_requests_retry(struct rh_core *core)
{
    each_pending(core, try_again);
}

static void look_again(struct rh_core *core, struct rh_pending *pending)
{
    if (expire(core, pending)) {
        return;
    }
    if (pending->state == RH_PENDING_SENT && core->now_ms - pending->sent_ms >= pending->pause_ms) {
        pending->pause_ms *= 2;
        send_pending(core, pending);
    } else if (pending->state == RH_PENDING_LINK && peer_is_up(core, &pending->target)) {
        send_pending(core, pending); /* there is a way by a third node */
    }
}

void rh_core_requests_expire(struct rh_core *core)
{
    core->retry_ms = core->now_ms;
    each_pending(core, look_again);
}

void rh_core_requests_finish(struct rh_core *core)
{
    rh_list_each_safe (&core->pending, link) {
        struct rh_pending *pending = pending_of(link);
        if (pending->channel != NULL) {
            leave_channel(pending);
        }
        free(pending);
    }
    rh_table_finish(&core->pending_table);
}
