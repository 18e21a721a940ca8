/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

/*
 * Publish and inspect. A request that this node can serve is answered within the step that brought
 * it and leaves no trace here. Any other becomes *pending*:
 *
 *             +--------------------- a view was adopted ---------------------+
 *             v                                                              |
 *   (dispatch) --owner's link down--> LINK --link up--> SENT --not_owner--> VIEW
 *      |    \--owner's link up------------------------>  |  \
 *      |     \--no view, or an older one--> VIEW         |   +--link down--> LINK
 *      v                                                 v
 *    served here                             answered, or deadline
 *
 * A request that was sent and lost is sent again: a publish carries its message id, so the owner
 * recognises it, and an inspect changes nothing. One that came from a peer is never forwarded
 * again: it is served, it waits for a view, or it is answered not_owner.
 */
enum pending_state {
    PENDING_VIEW, /* waits for a view in which somebody owns the key */
    PENDING_LINK, /* waits for the link to `target` */
    PENDING_SENT, /* waits for the answer of `target` */
};

struct pending {
    struct rh_list link;             /* rh_core::pending */
    struct rh_table_link table_link; /* rh_core::pending_table */
    enum pending_state state;
    bool is_inspect;
    bool from_peer;
    bool id_is_ours;
    uint32_t unanswered;       /* times it was sent and not answered: those may have been served */
    uint32_t pause_ms;         /* without answer before it is sent again */
    uint64_t number;           /* on the wire: ours, or of the peer that it is from */
    uint64_t request;          /* the asker's */
    struct rh_node_ref from;   /* from_peer; else zeroed */
    struct rh_epoch epoch;     /* wait for a view at least as late: PENDING_VIEW */
    struct rh_node_ref target; /* LINK, SENT */
    uint64_t sent_ms;
    uint64_t deadline_ms;
    enum rh_payload_kind kind;
    uint32_t key_size;
    uint32_t id_size;
    uint32_t payload_size;
    char data[]; /* key, id, payload */
};

/* A request as it is served or kept: slices of the event, of a peer message, or of a pending. */
struct request {
    bool is_inspect;
    bool from_peer;
    bool id_is_ours; /* the publisher gave none */
    bool maybe_done; /* it was sent to an owner who has not answered */
    uint64_t request;
    struct rh_node_ref from;
    struct rh_bytes key;
    struct rh_bytes id;
    struct rh_payload payload;
    uint64_t deadline_ms;
};

/* How long a request that was sent stays without answer before it is sent again; doubled each time,
 * because an owner that is slow is not helped by hearing everything again and again. */
#define RESEND_MS 500U

/* Text of a generated message id: "auto-" and 16 hex digits. */
#define AUTO_ID_SIZE (sizeof("auto-") + RH_ID64_SIZE - 1)

/* ---- links ---- */

static bool peer_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_core_peer *peer = (const struct rh_core_peer *)(const void *)link;
    return strcmp(peer->ref.id, key) == 0;
}

static struct rh_core_peer *peer_find(const struct rh_core *core, const char *id)
{
    struct rh_table_link *link =
        rh_table_find(&core->peers, XXH3_64bits(id, strlen(id)), peer_equal, id);
    return (struct rh_core_peer *)(void *)link;
}

static bool peer_is_up(const struct rh_core *core, const struct rh_node_ref *ref)
{
    const struct rh_core_peer *peer = peer_find(core, ref->id);
    return peer != NULL && peer->ref.instance == ref->instance;
}

/* ---- pending ---- */

static struct pending *pending_of(struct rh_list *link)
{
    return rh_container_of(link, struct pending, link);
}

static size_t pending_bytes(const struct pending *pending)
{
    return sizeof(*pending) + pending->key_size + pending->id_size + pending->payload_size;
}

static struct request pending_request(const struct pending *pending)
{
    const char *data = pending->data;
    return (struct request){
        .is_inspect = pending->is_inspect,
        .from_peer = pending->from_peer,
        .id_is_ours = pending->id_is_ours,
        .maybe_done = pending->unanswered > 0,
        .request = pending->request,
        .from = pending->from,
        .key = rh_bytes(data, pending->key_size),
        .id = rh_bytes(data + pending->key_size, pending->id_size),
        .payload = {.kind = pending->kind,
                    .bytes = rh_bytes(data + pending->key_size + pending->id_size,
                                      pending->payload_size)},
        .deadline_ms = pending->deadline_ms,
    };
}

static void insert_by_deadline(struct rh_core *core, struct pending *pending)
{
    struct rh_list *place = core->pending.prev;
    while (place != &core->pending && pending_of(place)->deadline_ms > pending->deadline_ms) {
        place = place->prev;
    }
    rh_list_insert_after(place, &pending->link);
}

/* Takes the request out of the core. Its memory lives until the next step, because actions may
 * point into it. */
static void pending_remove(struct rh_core *core, struct pending *pending)
{
    core->pending_bytes -= pending_bytes(pending);
    core->stats.pending--;
    rh_list_remove(&pending->link);
    rh_table_remove(&core->pending_table, &pending->table_link);
    rh_core_keep(core, pending);
}

/* What tells pending requests apart: the process that numbered it (instance 0: we), and its number.
 * So what a peer sends again is recognised. */
struct pending_name {
    uint64_t instance;
    uint64_t number;
};

static struct pending_name name_of(const struct pending *pending)
{
    return (struct pending_name){.instance = pending->from.instance, .number = pending->number};
}

static uint64_t name_hash(const struct pending_name *name)
{
    return name->instance ^ name->number;
}

static struct pending *pending_in_table(const struct rh_table_link *link)
{
    return (struct pending *)((uintptr_t)link - offsetof(struct pending, table_link));
}

static bool name_equal(const struct rh_table_link *link, const void *key)
{
    const struct pending_name *wanted = key;
    const struct pending_name name = name_of(pending_in_table(link));
    return name.instance == wanted->instance && name.number == wanted->number;
}

static struct pending *pending_find(const struct rh_core *core, uint64_t instance, uint64_t number)
{
    const struct pending_name name = {.instance = instance, .number = number};
    struct rh_table_link *link =
        rh_table_find(&core->pending_table, name_hash(&name), name_equal, &name);
    return link == NULL ? NULL : pending_in_table(link);
}

static struct pending *pending_create(struct rh_core *core, const struct request *request)
{
    size_t data_size = request->key.size + request->id.size + request->payload.bytes.size;
    if (core->stats.pending == 0) {
        core->retry_ms = core->now_ms; /* nobody had to be looked at before */
    }
    struct pending *pending = malloc(sizeof(*pending) + data_size);
    if (pending == NULL) {
        return NULL;
    }
    *pending = (struct pending){
        .state = PENDING_VIEW,
        .is_inspect = request->is_inspect,
        .from_peer = request->from_peer,
        .id_is_ours = request->id_is_ours,
        .number = request->from_peer ? request->request : ++core->pending_number,
        .request = request->request,
        .from = request->from,
        .deadline_ms = request->deadline_ms,
        .kind = request->payload.kind,
        .key_size = (uint32_t)request->key.size,
        .id_size = (uint32_t)request->id.size,
        .payload_size = (uint32_t)request->payload.bytes.size,
    };
    char *out = rh_bytes_write(pending->data, request->key);
    out = rh_bytes_write(out, request->id);
    (void)rh_bytes_write(out, request->payload.bytes);
    insert_by_deadline(core, pending);
    const struct pending_name name = name_of(pending);
    rh_table_insert(&core->pending_table, &pending->table_link, name_hash(&name));
    core->pending_bytes += pending_bytes(pending);
    core->stats.pending++;
    return pending;
}

/* ---- answers ---- */

static struct rh_peer_message *send_to(struct rh_core *core, const struct rh_node_ref *to,
                                       enum rh_peer_message_kind kind)
{
    struct rh_action *action = rh_core_act(core, RH_ACTION_SEND);
    action->send.to = *to;
    action->send.message.kind = kind;
    if (core->view != NULL) {
        action->send.message.epoch = core->view->epoch;
    }
    return &action->send.message;
}

static enum rh_peer_result peer_result(enum rh_refusal refusal)
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
    case RH_REFUSAL_OVERLOADED:
    case RH_REFUSAL_NO_MEMORY:
    case RH_REFUSAL_TOO_SLOW:
        return RH_PEER_RESULT_REFUSED;
    }
    assert(false && "not a refusal");
    return RH_PEER_UNKNOWN;
}

static struct rh_bytes refusal_code(enum rh_refusal refusal)
{
    return peer_result(refusal) == RH_PEER_RESULT_REFUSED ? rh_bytes_text(rh_refusal_code(refusal))
                                                          : rh_bytes(NULL, 0);
}

static void answer_publish(struct rh_core *core, const struct request *request,
                           const struct rh_publish_result *result)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_PUBLISHED);
        action->published.request = request->request;
        action->published.result = *result;
        return;
    }
    struct rh_peer_message *message = send_to(core, &request->from, RH_PEER_PUBLISH_ANSWER);
    message->publish_answer = (struct rh_peer_publish_answer){
        .request = request->request,
        .result = peer_result(result->refusal),
        .code = refusal_code(result->refusal),
    };
    if (result->refusal == RH_REFUSAL_NONE) {
        message->publish_answer.seq = result->seq;
        message->publish_answer.incarnation = result->incarnation;
        message->publish_answer.connections = result->connections;
        message->publish_answer.duplicate = result->duplicate;
        memcpy(message->publish_answer.owner, result->node, RH_NODE_ID_SIZE);
    }
}

static void answer_inspect(struct rh_core *core, const struct request *request,
                           enum rh_refusal refusal, const struct rh_channel_info *info)
{
    if (!request->from_peer) {
        struct rh_core_route route = rh_core_route(core, request->key);
        struct rh_action *action = rh_core_act(core, RH_ACTION_INSPECTED);
        action->inspected.request = request->request;
        action->inspected.refusal = refusal;
        action->inspected.info = *info;
        action->inspected.owner = route.owner;
        action->inspected.hash = route.hash;
        return;
    }
    struct rh_peer_message *message = send_to(core, &request->from, RH_PEER_INSPECT_ANSWER);
    message->inspect_answer = (struct rh_peer_inspect_answer){
        .request = request->request,
        .result = peer_result(refusal),
        .code = refusal_code(refusal),
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

static void refuse(struct rh_core *core, const struct request *request, enum rh_refusal refusal)
{
    core->stats.refusals++;
    if (request->maybe_done) {
        refusal = request->is_inspect ? RH_REFUSAL_UNREACHABLE : RH_REFUSAL_UNKNOWN;
    }
    if (request->is_inspect) {
        const struct rh_channel_info info = {.first_seq = 1};
        answer_inspect(core, request, refusal, &info);
    } else {
        const struct rh_publish_result result = {.refusal = refusal};
        answer_publish(core, request, &result);
    }
}

static void answer_not_owner(struct rh_core *core, const struct request *request, uint32_t owner)
{
    const char *id = owner == RH_RING_NONE ? "" : core->view->members[owner].id;
    if (request->is_inspect) {
        struct rh_peer_message *message = send_to(core, &request->from, RH_PEER_INSPECT_ANSWER);
        message->inspect_answer.request = request->request;
        message->inspect_answer.result = RH_PEER_NOT_OWNER;
        memcpy(message->inspect_answer.owner, id, strlen(id) + 1);
    } else {
        struct rh_peer_message *message = send_to(core, &request->from, RH_PEER_PUBLISH_ANSWER);
        message->publish_answer.request = request->request;
        message->publish_answer.result = RH_PEER_NOT_OWNER;
        memcpy(message->publish_answer.owner, id, strlen(id) + 1);
    }
}

/* ---- serving here ---- */

/* Appends the message to the ids and to the log; or to neither. */
static int append_entry(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry)
{
    const struct rh_id_window_limits limits = rh_core_id_limits(core);
    uint64_t op = rh_channel_log_last_op(&channel->log) + 1;
    if (entry->in_window) {
        int rv = rh_id_window_add(&channel->ids, &limits, rh_entry_id(entry), entry->seq, op,
                                  core->now_ms);
        if (rv != 0) {
            return rv;
        }
    }
    int rv = rh_channel_log_append(&channel->log, entry);
    if (rv != 0) {
        rh_id_window_cut(&channel->ids, op - 1);
        return rv;
    }
    channel->seq = entry->seq;
    rh_channel_log_trim(&channel->log, &core->options.log, op, core->time_ms);
    return 0;
}

static int append(struct rh_core *core, const struct request *request, struct rh_channel *channel,
                  struct rh_entry **ret_entry)
{
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = RH_ENTRY_MESSAGE,
        .seq = channel->seq + 1,
        /* Nobody can retry with an id that was made here, and that no other node was told. */
        .in_window = !request->id_is_ours || request->maybe_done,
        .time_ms = core->time_ms,
        .id = request->id,
        .payload = request->payload,
    });
    if (entry == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    core->stats.ids -= channel->ids.records.count;
    core->stats.log_bytes -= channel->log.bytes;
    int rv = append_entry(core, channel, entry);
    core->stats.ids += channel->ids.records.count;
    core->stats.log_bytes += channel->log.bytes;
    if (rv != 0) {
        rh_entry_give(entry);
        return rv;
    }
    *ret_entry = entry;
    return 0;
}

static enum rh_refusal commit(struct rh_core *core, const struct request *request,
                              struct rh_channel *channel, struct rh_publish_result *result)
{
    rh_core_channel_forget(core, channel);
    uint64_t op;
    result->duplicate = rh_id_window_find(&channel->ids, request->id, &result->seq, &op);
    if (result->duplicate) {
        core->stats.duplicates++;
        rh_core_channel_bring_up(core, channel);
        result->incarnation = channel->incarnation;
        return RH_REFUSAL_NONE;
    }
    struct rh_entry *entry;
    if (append(core, request, channel, &entry) != 0) {
        return RH_REFUSAL_NO_MEMORY;
    }
    core->stats.publishes++;
    rh_core_channel_bring_up(core, channel);
    result->incarnation = channel->incarnation;
    result->seq = entry->seq;
    rh_core_deliver(core, channel, entry);
    return RH_REFUSAL_NONE;
}

static void serve_publish(struct rh_core *core, const struct request *request, uint64_t hash)
{
    struct rh_publish_result result = {0};
    struct rh_channel *channel = NULL;
    if (request->payload.bytes.size > core->options.payload_size_max) {
        refuse(core, request, RH_REFUSAL_TOO_LARGE);
        return;
    }
    enum rh_refusal refusal = rh_core_channel_get(core, request->key, hash, &channel);
    if (refusal != RH_REFUSAL_NONE) {
        refuse(core, request, refusal);
        return;
    }
    result.connections = channel->streams_count + channel->reads_count;
    refusal = commit(core, request, channel, &result);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_channel_settle(core, channel);
        refuse(core, request, refusal);
        return;
    }
    memcpy(result.node, core->options.id, RH_NODE_ID_SIZE);
    answer_publish(core, request, &result);
}

static void serve_inspect(struct rh_core *core, const struct request *request)
{
    struct rh_channel_info info = {.first_seq = 1};
    const struct rh_channel *channel = rh_core_channel_find(core, request->key);
    if (channel != NULL) {
        info.incarnation = channel->incarnation;
        info.first_seq = rh_channel_first_seq(channel);
        info.last_seq = channel->seq;
        info.connections = channel->streams_count + channel->reads_count;
    }
    answer_inspect(core, request, RH_REFUSAL_NONE, &info);
}

static void serve(struct rh_core *core, const struct request *request, uint64_t hash)
{
    if (request->is_inspect) {
        serve_inspect(core, request);
    } else {
        serve_publish(core, request, hash);
    }
}

/* ---- sending on ---- */

static void send_pending(struct rh_core *core, struct pending *pending)
{
    struct request request = pending_request(pending);
    assert(!request.from_peer);
    assert(pending->deadline_ms > core->now_ms);
    pending->state = PENDING_SENT;
    pending->sent_ms = core->now_ms;
    pending->unanswered++;
    core->stats.forwards_sent++;
    if (request.is_inspect) {
        struct rh_peer_message *message = send_to(core, &pending->target, RH_PEER_INSPECT);
        message->inspect = (struct rh_peer_inspect){.request = pending->number, .key = request.key};
        return;
    }
    struct rh_peer_message *message = send_to(core, &pending->target, RH_PEER_PUBLISH);
    message->publish = (struct rh_peer_publish){
        .request = pending->number,
        .key = request.key,
        .id = request.id,
        .payload = request.payload,
        .deadline_ms = (uint32_t)(pending->deadline_ms - core->now_ms),
    };
}

static void wait_for_view(struct rh_core *core, struct pending *pending, struct rh_epoch epoch)
{
    pending->state = PENDING_VIEW;
    pending->epoch = epoch;
    rh_core_catch_up(core);
}

/* Sends |pending| to |owner| now, or once its link is up. */
static void forward(struct rh_core *core, struct pending *pending, uint32_t owner)
{
    const struct rh_registration *node = &core->view->members[owner];
    struct rh_node_ref target = {.instance = node->instance};
    memcpy(target.id, node->id, RH_NODE_ID_SIZE);
    if (pending->state == PENDING_SENT && rh_node_ref_equal(&pending->target, &target)) {
        return;
    }
    pending->target = target;
    pending->state = PENDING_LINK;
    pending->pause_ms = RESEND_MS;
    if (peer_is_up(core, &target)) {
        send_pending(core, pending);
    }
}

/* Ends a pending request whose time is over; returns whether it was. Ticks are late by up to
 * RETRY_MS, so whoever would go on with a request asks here first: nothing may begin after the
 * deadline, when the publisher was told that the outcome is not known. */
static bool expire(struct rh_core *core, struct pending *pending)
{
    if (pending->deadline_ms > core->now_ms) {
        return false;
    }
    struct request request = pending_request(pending);
    refuse(core, &request, request.is_inspect ? RH_REFUSAL_UNREACHABLE : RH_REFUSAL_UNKNOWN);
    pending_remove(core, pending);
    return true;
}

/* Tries a pending request in the current view. */
static void dispatch(struct rh_core *core, struct pending *pending)
{
    if (expire(core, pending)) {
        return;
    }
    struct request request = pending_request(pending);
    struct rh_core_route route = rh_core_route(core, request.key);
    if (pending->state == PENDING_VIEW &&
        (core->view == NULL || rh_epoch_compare(core->view->epoch, pending->epoch) < 0)) {
        return;
    }
    switch (route.kind) {
    case RH_CORE_ROUTE_NONE:
        wait_for_view(core, pending, (struct rh_epoch){0});
        return;
    case RH_CORE_ROUTE_LOCAL:
        serve(core, &request, route.hash);
        pending_remove(core, pending);
        return;
    case RH_CORE_ROUTE_REMOTE:
        if (request.from_peer) {
            answer_not_owner(core, &request, route.owner);
            pending_remove(core, pending);
            return;
        }
        forward(core, pending, route.owner);
        return;
    }
}

/* Keeps a request that cannot be served at once. NULL: it was refused. */
static struct pending *keep(struct rh_core *core, const struct request *request)
{
    if (core->stats.pending >= core->options.pending_max ||
        core->pending_bytes >= core->options.pending_bytes_max) {
        refuse(core, request, RH_REFUSAL_OVERLOADED);
        return NULL;
    }
    struct pending *pending = pending_create(core, request);
    if (pending == NULL) {
        refuse(core, request, RH_REFUSAL_NO_MEMORY);
    }
    return pending;
}

/* A request of a client of this node. */
static void begin(struct rh_core *core, const struct request *request)
{
    struct rh_core_route route = rh_core_route(core, request->key);
    if (route.kind == RH_CORE_ROUTE_LOCAL) {
        serve(core, request, route.hash);
        return;
    }
    if (route.kind == RH_CORE_ROUTE_NONE) {
        refuse(core, request, rh_core_route_refusal(core));
        return;
    }
    if (request->payload.bytes.size > core->options.payload_size_max) {
        refuse(core, request, RH_REFUSAL_TOO_LARGE);
        return;
    }
    struct pending *pending = keep(core, request);
    if (pending != NULL) {
        pending->epoch = core->view->epoch;
        dispatch(core, pending);
    }
}

void rh_core_publish(struct rh_core *core, const struct rh_event *event)
{
    char auto_id[AUTO_ID_SIZE] = "auto-";
    struct request request = {
        .request = event->publish.request,
        .key = event->publish.key,
        .id = event->publish.id,
        .payload = event->publish.payload,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    if (request.id.size == 0) {
        rh_id64_format(rh_core_random(core), auto_id + sizeof("auto-") - 1);
        request.id = rh_bytes_text(auto_id);
        request.id_is_ours = true;
    }
    begin(core, &request);
}

void rh_core_inspect(struct rh_core *core, const struct rh_event *event)
{
    const struct request request = {
        .is_inspect = true,
        .request = event->inspect.request,
        .key = event->inspect.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    begin(core, &request);
}

/* ---- messages of peers ---- */

/* A request that a peer sent here because in its view this node owns the key. */
static void serve_peer(struct rh_core *core, const struct request *request, struct rh_epoch epoch)
{
    core->stats.forwards_received++;
    bool behind = core->view == NULL || rh_epoch_compare(core->view->epoch, epoch) < 0;
    if (behind) {
        if (pending_find(core, request->from.instance, request->request) != NULL) {
            return; /* it was sent again, and the first is still here */
        }
        struct pending *pending = keep(core, request);
        if (pending != NULL) {
            wait_for_view(core, pending, epoch);
        }
        return;
    }
    struct rh_core_route route = rh_core_route(core, request->key);
    if (route.kind == RH_CORE_ROUTE_LOCAL) {
        serve(core, request, route.hash);
    } else {
        answer_not_owner(core, request, route.owner);
    }
}

static enum rh_refusal refusal_of_answer(enum rh_peer_result result, struct rh_bytes code)
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
static struct pending *take_answer(const struct rh_core *core, const struct rh_node_ref *from,
                                   uint64_t number, bool is_inspect)
{
    struct pending *pending = pending_find(core, 0, number);
    if (pending == NULL || pending->is_inspect != is_inspect || pending->state != PENDING_SENT ||
        !rh_node_ref_equal(&pending->target, from)) {
        return NULL;
    }
    assert(pending->unanswered > 0);
    pending->unanswered--;
    return pending;
}

/* The asked node does not own the key in its view. */
static void not_owner(struct rh_core *core, struct pending *pending, struct rh_epoch epoch)
{
    int order = rh_epoch_compare(epoch, core->view->epoch);
    if (order < 0) {
        /* We moved on while it answered; asked again, it catches up first. */
        pending->state = PENDING_LINK;
        dispatch(core, pending);
        return;
    }
    if (order == 0) {
        epoch.pzxid++; /* two nodes of one view differ: only another view can help */
    }
    wait_for_view(core, pending, epoch);
}

static void publish_answered(struct rh_core *core, const struct rh_node_ref *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_publish_answer *answer = &message->publish_answer;
    struct pending *pending = take_answer(core, from, answer->request, false);
    if (pending == NULL) {
        return;
    }
    if (answer->result == RH_PEER_NOT_OWNER) {
        not_owner(core, pending, message->epoch);
        return;
    }
    struct request request = pending_request(pending);
    if (answer->result != RH_PEER_OK) {
        refuse(core, &request, refusal_of_answer(answer->result, answer->code));
        pending_remove(core, pending);
        return;
    }
    struct rh_publish_result result = {
        .seq = answer->seq,
        .incarnation = answer->incarnation,
        .connections = answer->connections,
        .duplicate = answer->duplicate,
    };
    memcpy(result.node, answer->owner, RH_NODE_ID_SIZE);
    answer_publish(core, &request, &result);
    pending_remove(core, pending);
}

static void inspect_answered(struct rh_core *core, const struct rh_node_ref *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_inspect_answer *answer = &message->inspect_answer;
    struct pending *pending = take_answer(core, from, answer->request, true);
    if (pending == NULL) {
        return;
    }
    if (answer->result == RH_PEER_NOT_OWNER) {
        not_owner(core, pending, message->epoch);
        return;
    }
    struct request request = pending_request(pending);
    struct rh_channel_info info = {.first_seq = 1, .connections = answer->connections};
    if (answer->result == RH_PEER_OK && answer->exists) {
        info.incarnation = answer->incarnation;
        info.first_seq = answer->first_seq;
        info.last_seq = answer->last_seq;
    }
    enum rh_refusal refusal =
        answer->result == RH_PEER_OK ? RH_REFUSAL_NONE : RH_REFUSAL_UNREACHABLE;
    answer_inspect(core, &request, refusal, &info);
    pending_remove(core, pending);
}

void rh_core_peer_message(struct rh_core *core, const struct rh_event *event)
{
    const struct rh_peer_message *message = event->peer_message.message;
    const struct rh_node_ref *from = &event->peer_message.from;
    struct request request = {.from_peer = true, .from = *from};
    switch (message->kind) {
    case RH_PEER_PUBLISH:
        request.request = message->publish.request;
        request.key = message->publish.key;
        request.id = message->publish.id;
        request.payload = message->publish.payload;
        request.deadline_ms = core->now_ms + message->publish.deadline_ms;
        if (message->publish.deadline_ms > core->options.forward_timeout_ms) {
            request.deadline_ms = core->now_ms + core->options.forward_timeout_ms;
        }
        serve_peer(core, &request, message->epoch);
        return;
    case RH_PEER_INSPECT:
        request.is_inspect = true;
        request.request = message->inspect.request;
        request.key = message->inspect.key;
        request.deadline_ms = core->now_ms + core->options.forward_timeout_ms;
        serve_peer(core, &request, message->epoch);
        return;
    case RH_PEER_PUBLISH_ANSWER:
        publish_answered(core, from, message);
        return;
    case RH_PEER_INSPECT_ANSWER:
        inspect_answered(core, from, message);
        return;
    case RH_PEER_APPEND:
    case RH_PEER_APPEND_ACK:
    case RH_PEER_SYNC_BEGIN:
    case RH_PEER_SYNC_CHUNK:
    case RH_PEER_SYNC_ACK:
    case RH_PEER_CREDIT:
    case RH_PEER_REFUSED:
    case RH_PEER_REPORT:
    case RH_PEER_REPORT_END:
    case RH_PEER_FETCH:
    case RH_PEER_OWN:
    case RH_PEER_OWN_ACK:
    case RH_PEER_EXPEDITE:
    case RH_PEER_LEAVE:
    case RH_PEER_LEAVE_ACK:
    case RH_PEER_VIEW_ASK:
    case RH_PEER_VIEW:
    case RH_PEER_VIEW_ACK:
    case RH_PEER_LEASE_ASK:
    case RH_PEER_LEASE_GRANT:
    case RH_PEER_RELAY:
    case RH_PEER_RELAY_FAILED:
        return; /* of copies, of which this core keeps none: nobody waits for an answer */
    case RH_PEER_HELLO:
    case RH_PEER_PING:
    case RH_PEER_PONG:
    case RH_PEER_MESSAGE_KINDS:
        break; /* of the link, not of the core */
    }
    assert(false && "not a message for the core");
}

/* ---- links and time ---- */

void rh_core_peer_up(struct rh_core *core, const struct rh_node_ref *ref)
{
    struct rh_core_peer *peer = peer_find(core, ref->id);
    if (peer == NULL) {
        peer = calloc(1, sizeof(*peer));
        if (peer == NULL) {
            return; /* requests for it wait until it comes up again, or their deadline */
        }
        rh_table_insert(&core->peers, &peer->link, XXH3_64bits(ref->id, strlen(ref->id)));
    }
    peer->ref = *ref;
    rh_list_each_safe (&core->pending, link) {
        struct pending *pending = pending_of(link);
        if (pending->state == PENDING_LINK && rh_node_ref_equal(&pending->target, ref) &&
            !expire(core, pending)) {
            send_pending(core, pending);
        }
    }
}

void rh_core_peer_down(struct rh_core *core, const struct rh_node_ref *ref)
{
    struct rh_core_peer *peer = peer_find(core, ref->id);
    if (peer == NULL || peer->ref.instance != ref->instance) {
        return;
    }
    rh_table_remove(&core->peers, &peer->link);
    free(peer);
    rh_list_each (&core->pending, link) {
        struct pending *pending = pending_of(link);
        if (pending->state == PENDING_SENT && rh_node_ref_equal(&pending->target, ref)) {
            pending->state = PENDING_LINK;
        }
    }
}

void rh_core_requests_retry(struct rh_core *core)
{
    rh_list_each_safe (&core->pending, link) {
        dispatch(core, pending_of(link));
    }
}

void rh_core_requests_expire(struct rh_core *core)
{
    core->retry_ms = core->now_ms;
    rh_list_each_safe (&core->pending, link) {
        struct pending *pending = pending_of(link);
        if (!expire(core, pending) && pending->state == PENDING_SENT &&
            core->now_ms - pending->sent_ms >= pending->pause_ms) {
            pending->pause_ms *= 2;
            send_pending(core, pending);
        }
    }
}

void rh_core_requests_finish(struct rh_core *core)
{
    rh_list_each_safe (&core->pending, link) {
        free(pending_of(link));
    }
    rh_table_finish(&core->pending_table);
    for (struct rh_table_link *link = rh_table_next(&core->peers, NULL); link != NULL;) {
        struct rh_table_link *next = rh_table_next(&core->peers, link);
        free(link);
        link = next;
    }
    rh_table_finish(&core->peers);
}
