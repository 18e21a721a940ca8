/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The state document of a channel (N10). A write is an operation like a message, and has the same
 * road: numbered, appended at the group, committed. Conditions look at the document as of the last
 * operation that was *numbered*, so that of two writes in flight one fails; a get shows the document
 * as of the last that was *committed*, and a write is answered when it is.
 *
 *      op   ... commit ..................... op
 *               |  rh_channel::state         |  rh_channel_state_numbered()
 *               get                          If-Match, next version
 *
 * A document is the entry of the operation that made it; a removal is one as well, since versions
 * count on after it.
 */

/* ---- answers ---- */

static bool is_document(const struct rh_entry *state)
{
    return state != NULL && state->entry_kind == RH_ENTRY_STATE;
}

static void answer(struct rh_core *core, const struct rh_request_ref *request,
                   const struct rh_state_result *result)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_STATE);
        action->state.request = request->request;
        action->state.result = *result;
        return;
    }
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_STATE_ANSWER);
    message->state_answer = (struct rh_peer_state_answer){
        .request = request->request,
        .result = rh_core_peer_result(result->refusal),
        .code = rh_core_peer_code(result->refusal),
    };
    if (result->refusal == RH_REFUSAL_NONE) {
        message->state_answer.outcome = result->outcome;
        message->state_answer.version = result->version;
        message->state_answer.incarnation = result->incarnation;
        message->state_answer.content_type = result->content_type;
        message->state_answer.state = result->state;
        memcpy(message->state_answer.owner, result->node, RH_NODE_ID_SIZE);
    }
}

/* |channel| may be NULL: there is no such channel. */
static void answer_here(struct rh_core *core, const struct rh_request_ref *request,
                        const struct rh_channel *channel, enum rh_peer_state_outcome outcome,
                        uint64_t version)
{
    struct rh_state_result result = {
        .outcome = outcome,
        .version = version,
        .incarnation = channel == NULL ? 0 : channel->incarnation,
    };
    memcpy(result.node, core->options.id, RH_NODE_ID_SIZE);
    if (outcome == RH_PEER_STATE_FOUND) {
        rh_core_keep_entry(core, rh_entry_take(channel->state));
        result.content_type = rh_entry_content_type(channel->state);
        result.state = rh_entry_payload(channel->state).bytes;
    }
    answer(core, request, &result);
}

void rh_core_state_refuse(struct rh_core *core, const struct rh_request_ref *request,
                          enum rh_refusal refusal)
{
    const struct rh_state_result result = {.refusal = refusal};
    answer(core, request, &result);
}

void rh_core_state_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                             const char *owner)
{
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_STATE_ANSWER);
    message->state_answer.request = request->request;
    message->state_answer.result = RH_PEER_NOT_OWNER;
    memcpy(message->state_answer.owner, owner, strlen(owner) + 1);
}

void rh_core_state_redirect(struct rh_core *core, const struct rh_request_ref *request,
                            uint32_t owner)
{
    assert(!request->from_peer);
    core->stats.redirects++;
    const struct rh_state_result result = {.redirect = &core->view->members[owner]};
    answer(core, request, &result);
}

void rh_core_state_committed(struct rh_core *core, const struct rh_pending *pending,
                             const struct rh_channel *channel)
{
    const struct rh_request_ref request = rh_core_pending_request(pending);
    answer_here(core, &request, channel, pending->outcome, pending->seq);
}

/* ---- serving ---- */

static bool holds(const struct rh_request_ref *request, const struct rh_entry *present)
{
    switch (request->condition) {
    case RH_PEER_STATE_VERSION:
        return is_document(present) && rh_entry_version(present) == request->if_version;
    case RH_PEER_STATE_ABSENT:
        return !is_document(present);
    case RH_PEER_STATE_PRESENT:
        return is_document(present);
    case RH_PEER_STATE_ANY:
    case RH_PEER_STATE_CONDITIONS:
        break;
    }
    return true;
}

/* Whether the write is answered without being done, and that it was. */
static bool is_settled(struct rh_core *core, const struct rh_request_ref *request,
                       const struct rh_channel *channel, const struct rh_entry *present)
{
    if (request->ask == RH_ASK_STATE_DELETE && !is_document(present)) {
        answer_here(core, request, channel, RH_PEER_STATE_NONE, 0);
        return true;
    }
    if (!holds(request, present)) {
        core->stats.state_conflicts++;
        answer_here(core, request, channel, RH_PEER_STATE_CONFLICT,
                    is_document(present) ? rh_entry_version(present) : 0);
        return true;
    }
    return false;
}

static bool wait_for_commit(struct rh_core *core, const struct rh_request_ref *request,
                            struct rh_channel *channel, struct rh_pending *pending, uint64_t op,
                            uint64_t version, enum rh_peer_state_outcome outcome)
{
    pending = rh_core_serve_wait(core, request, channel, pending, op, version, false);
    if (pending == NULL) {
        return true;
    }
    pending->outcome = outcome;
    return false;
}

/* The write was done before. What it came to is remembered but for whether it made the document. */
static bool serve_duplicate(struct rh_core *core, const struct rh_request_ref *request,
                            struct rh_channel *channel, struct rh_pending *pending, uint64_t op,
                            uint64_t version)
{
    enum rh_peer_state_outcome outcome =
        request->ask == RH_ASK_STATE_PUT ? RH_PEER_STATE_CHANGED : RH_PEER_STATE_DELETED;
    core->stats.duplicates++;
    channel->used_ms = core->now_ms;
    if (op > channel->commit) {
        return wait_for_commit(core, request, channel, pending, op, version, outcome);
    }
    answer_here(core, request, channel, outcome, version);
    return true;
}

static struct rh_entry *entry_of(const struct rh_core *core, const struct rh_request_ref *request,
                                 const struct rh_channel *channel, uint64_t version)
{
    bool in_window = !request->id_is_ours || request->maybe_done;
    return rh_entry_create(&(struct rh_entry_draft){
        .kind = request->ask == RH_ASK_STATE_PUT ? RH_ENTRY_STATE : RH_ENTRY_STATE_DELETE,
        .seq = channel->seq,
        .version = version,
        .in_window = in_window,
        .time_ms = core->time_ms,
        .id = in_window ? request->id : rh_bytes(NULL, 0),
        .content_type = request->content_type,
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = request->payload.bytes},
    });
}

static bool number(struct rh_core *core, const struct rh_request_ref *request,
                   struct rh_channel *channel, struct rh_pending *pending,
                   enum rh_peer_state_outcome outcome, uint64_t version)
{
    struct rh_entry *entry = entry_of(core, request, channel, version);
    if (!rh_core_serve_number(core, request, channel, entry)) {
        return true;
    }
    core->stats.state_writes++;
    uint64_t op = channel->op;
    if (channel->commit >= op) {
        answer_here(core, request, channel, outcome, version);
        return true;
    }
    struct rh_request_ref numbered = *request;
    numbered.maybe_done = true; /* it cannot be refused any more, only be unknown */
    return wait_for_commit(core, &numbered, channel, pending, op, version, outcome);
}

static bool serve_write(struct rh_core *core, const struct rh_request_ref *request,
                        struct rh_channel *channel, struct rh_pending *pending)
{
    uint64_t found;
    uint64_t op;
    rh_core_channel_tidy(core, channel);
    if (rh_id_window_find(channel->ids, request->id, &found, &op) &&
        (found & RH_ID_WINDOW_STATE) != 0) {
        return serve_duplicate(core, request, channel, pending, op, found & ~RH_ID_WINDOW_STATE);
    }
    const struct rh_entry *present = rh_fault(RH_FAULT_COMMITTED_CONDITION)
                                         ? channel->state
                                         : rh_channel_state_numbered(channel);
    if (is_settled(core, request, channel, present)) {
        rh_core_channel_settle(core, channel); /* it may have been made for this */
        return true;
    }
    enum rh_refusal refusal = rh_core_serve_refusal(core, request, channel, pending != NULL);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_request_refuse(core, request, refusal);
        return true;
    }
    enum rh_peer_state_outcome outcome = request->ask == RH_ASK_STATE_DELETE ? RH_PEER_STATE_DELETED
                                         : is_document(present)              ? RH_PEER_STATE_CHANGED
                                                                : RH_PEER_STATE_CREATED;
    return number(core, request, channel, pending, outcome,
                  present == NULL ? 1 : rh_entry_version(present) + 1);
}

static void serve_get(struct rh_core *core, const struct rh_request_ref *request,
                      const struct rh_channel *channel)
{
    if (channel != NULL && is_document(channel->state)) {
        answer_here(core, request, channel, RH_PEER_STATE_FOUND, rh_entry_version(channel->state));
    } else {
        answer_here(core, request, channel, RH_PEER_STATE_NONE, 0);
    }
}

bool rh_core_serve_state(struct rh_core *core, const struct rh_request_ref *request,
                         const struct rh_core_route *route, struct rh_pending *pending)
{
    struct rh_channel *channel = route->channel;
    if (request->ask == RH_ASK_STATE_GET) {
        serve_get(core, request, channel);
        return true;
    }
    if (request->payload.bytes.size > core->options.state_size_max) {
        rh_core_request_refuse(core, request, RH_REFUSAL_TOO_LARGE);
        return true;
    }
    if (channel == NULL || !rh_role_holds_copy(channel->role)) {
        if (is_settled(core, request, NULL, NULL)) {
            return true;
        }
        assert(!core->options.replication);
        enum rh_refusal refusal = rh_core_channel_get(core, request->key, route->hash, &channel);
        if (refusal != RH_REFUSAL_NONE) {
            rh_core_request_refuse(core, request, refusal);
            return true;
        }
    }
    return serve_write(core, request, channel, pending);
}

/* ---- requests of clients ---- */

void rh_core_state(struct rh_core *core, const struct rh_event *event)
{
    char auto_id[RH_AUTO_ID_SIZE];
    struct rh_request_ref request = {
        .request = event->state.request,
        .key = event->state.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    if (event->kind == RH_EVENT_STATE_GET) {
        request.ask = RH_ASK_STATE_GET;
        request.may_redirect = event->state.may_redirect;
        rh_core_request_begin(core, &request);
        return;
    }
    request.ask = event->kind == RH_EVENT_STATE_PUT ? RH_ASK_STATE_PUT : RH_ASK_STATE_DELETE;
    request.id = rh_core_auto_id(core, auto_id);
    request.id_is_ours = true;
    request.condition = event->state.condition;
    request.if_version = event->state.if_version;
    request.payload.kind = RH_PAYLOAD_BINARY;
    if (event->kind == RH_EVENT_STATE_PUT) {
        request.content_type = event->state.content_type;
        request.payload.bytes = event->state.state;
    }
    rh_core_request_begin(core, &request);
}

/* ---- from node to node ---- */

void rh_core_state_forward(struct rh_core *core, const struct rh_pending *pending,
                           const struct rh_request_ref *request)
{
    uint32_t deadline_ms = (uint32_t)(pending->deadline_ms - core->now_ms);
    if (request->ask == RH_ASK_STATE_GET) {
        struct rh_peer_message *message =
            rh_core_send_to(core, &pending->target, RH_PEER_STATE_GET);
        message->state_get =
            (struct rh_peer_state_get){.request = pending->number, .key = request->key};
    } else if (request->ask == RH_ASK_STATE_PUT) {
        struct rh_peer_message *message =
            rh_core_send_to(core, &pending->target, RH_PEER_STATE_PUT);
        message->state_put = (struct rh_peer_state_put){
            .request = pending->number,
            .key = request->key,
            .id = request->id,
            .condition = request->condition,
            .if_version = request->if_version,
            .content_type = request->content_type,
            .state = request->payload.bytes,
            .deadline_ms = deadline_ms,
        };
    } else {
        struct rh_peer_message *message =
            rh_core_send_to(core, &pending->target, RH_PEER_STATE_DELETE);
        message->state_delete = (struct rh_peer_state_delete){
            .request = pending->number,
            .key = request->key,
            .id = request->id,
            .condition = request->condition,
            .if_version = request->if_version,
            .deadline_ms = deadline_ms,
        };
    }
}

void rh_core_on_state_get(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rh_request_ref request = {
        .ask = RH_ASK_STATE_GET,
        .from_peer = true,
        .from = from->ref,
        .request = message->state_get.request,
        .key = message->state_get.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_take(core, &request, message->epoch);
}

void rh_core_on_state_put(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rh_peer_state_put *put = &message->state_put;
    const struct rh_request_ref request = {
        .ask = RH_ASK_STATE_PUT,
        .from_peer = true,
        .from = from->ref,
        .request = put->request,
        .key = put->key,
        .id = put->id,
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = put->state},
        .content_type = put->content_type,
        .condition = put->condition,
        .if_version = put->if_version,
        .deadline_ms = rh_core_request_deadline(core, put->deadline_ms),
    };
    rh_core_request_take(core, &request, message->epoch);
}

void rh_core_on_state_delete(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_state_delete *remove = &message->state_delete;
    const struct rh_request_ref request = {
        .ask = RH_ASK_STATE_DELETE,
        .from_peer = true,
        .from = from->ref,
        .request = remove->request,
        .key = remove->key,
        .id = remove->id,
        .payload = {.kind = RH_PAYLOAD_BINARY},
        .condition = remove->condition,
        .if_version = remove->if_version,
        .deadline_ms = rh_core_request_deadline(core, remove->deadline_ms),
    };
    rh_core_request_take(core, &request, message->epoch);
}

static bool is_state(enum rh_ask ask)
{
    return ask == RH_ASK_STATE_GET || ask == RH_ASK_STATE_PUT || ask == RH_ASK_STATE_DELETE;
}

void rh_core_on_state_answer(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_peer_state_answer *said = &message->state_answer;
    struct rh_pending *pending = rh_core_answer_take(core, from, message, said->request, is_state,
                                                     said->result, said->owner);
    if (pending == NULL) {
        return;
    }
    const struct rh_request_ref request = rh_core_pending_request(pending);
    if (said->result != RH_PEER_OK) {
        rh_core_request_refuse(core, &request, rh_core_peer_refusal(said->result, said->code));
        rh_core_pending_remove(core, pending);
        return;
    }
    struct rh_state_result result = {
        .outcome = said->outcome,
        .version = said->version,
        .incarnation = said->incarnation,
        .content_type = said->content_type,
        .state = said->state,
    };
    memcpy(result.node, said->owner, RH_NODE_ID_SIZE);
    answer(core, &request, &result);
    rh_core_pending_remove(core, pending);
}

/* ---- syncs ---- */

struct rh_entry *rh_core_state_of(const struct rh_peer_sync_begin *begin)
{
    if (begin->version == 0) {
        return NULL;
    }
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = begin->has_state ? RH_ENTRY_STATE : RH_ENTRY_STATE_DELETE,
        .version = begin->version,
        .content_type = begin->content_type,
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = begin->state},
    });
    if (entry == NULL) {
        abort();
    }
    return entry;
}
