/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>

/* Publish and inspect, done by the node that serves the channel; and what serving a write of any
 * kind takes. */

/* An entry of a publish that may be numbered, or NULL when out of memory. */
static struct rh_entry *entry_of(const struct rh_core *core, const struct rh_request_ref *request,
                                 const struct rh_channel *channel)
{
    return rh_entry_create(&(struct rh_entry_draft){
        .kind = RH_ENTRY_MESSAGE,
        .seq = channel->seq + 1,
        /* Nobody can retry with an id that was made here, and that no other node was told. */
        .in_window = !request->id_is_ours || request->maybe_done,
        .time_ms = core->time_ms,
        .id = request->id,
        .payload = request->payload,
    });
}

void rh_core_serve_acknowledge(struct rh_core *core, const struct rh_request_ref *request,
                               const struct rh_channel *channel, uint64_t seq, bool duplicate,
                               uint32_t connections)
{
    struct rh_publish_result result = {
        .seq = seq,
        .incarnation = channel->incarnation,
        .connections = connections,
        .duplicate = duplicate,
    };
    memcpy(result.node, core->options.id, RH_NODE_ID_SIZE);
    rh_core_answer_publish(core, request, &result);
}

/* The kept request, kept now if it was not; NULL: it was refused. */
static struct rh_pending *keep(struct rh_core *core, const struct rh_request_ref *request,
                               struct rh_channel *channel, struct rh_pending *pending)
{
    if (rh_channel_waiters(channel) == NULL) {
        rh_core_request_refuse(core, request, RH_REFUSAL_NO_MEMORY);
        return NULL;
    }
    return pending != NULL ? pending : rh_core_pending_keep(core, request);
}

struct rh_pending *rh_core_serve_wait(struct rh_core *core, const struct rh_request_ref *request,
                                      struct rh_channel *channel, struct rh_pending *pending,
                                      uint64_t op, uint64_t seq, bool duplicate)
{
    pending = keep(core, request, channel, pending);
    if (pending == NULL) {
        return NULL;
    }
    pending->state = RH_PENDING_COMMITTING;
    pending->channel = channel;
    pending->op = op;
    pending->seq = seq;
    pending->is_duplicate = duplicate;
    rh_list_push_back(&channel->waiters->committing, &pending->channel_link);
    channel->waiters->requests_count++;
    return pending;
}

static bool serve_duplicate(struct rh_core *core, const struct rh_request_ref *request,
                            struct rh_channel *channel, struct rh_pending *pending, uint64_t seq,
                            uint64_t op)
{
    core->stats.duplicates++;
    channel->used_ms = core->now_ms;
    if (op <= channel->commit || rh_fault(RH_FAULT_KNOWN_IS_DONE)) {
        rh_core_serve_acknowledge(core, request, channel, seq, true,
                                  rh_channel_connections(channel));
        return true;
    }
    return rh_core_serve_wait(core, request, channel, pending, op, seq, true) == NULL;
}

/* N1: everything that can speak against a publish speaks before it gets a number. */
enum rh_refusal rh_core_serve_refusal(const struct rh_core *core,
                                      const struct rh_request_ref *request,
                                      const struct rh_channel *channel, bool is_kept)
{
    uint64_t size = request->id.size + request->payload.bytes.size;
    if (!rh_core_may_number(core, channel, size)) {
        return RH_REFUSAL_OVERLOADED;
    }
    if (rh_core_lacks_room(core, channel)) {
        return RH_REFUSAL_MEMBER_FULL;
    }
    if (!is_kept && !rh_core_is_alone(channel) && !rh_core_pending_has_room(core)) {
        return RH_REFUSAL_OVERLOADED;
    }
    return RH_REFUSAL_NONE;
}

bool rh_core_serve_number(struct rh_core *core, const struct rh_request_ref *request,
                          struct rh_channel *channel, struct rh_entry *entry)
{
    if (entry == NULL || rh_core_number(core, channel, entry) != 0) {
        rh_entry_give(entry);
        rh_core_request_refuse(core, request, RH_REFUSAL_NO_MEMORY);
        rh_core_channel_settle(core, channel);
        return false;
    }
    rh_core_numbered(core, channel);
    return true;
}

static bool number(struct rh_core *core, const struct rh_request_ref *request,
                   struct rh_channel *channel, struct rh_pending *pending)
{
    uint32_t connections = rh_channel_connections(channel);
    if (!rh_core_serve_number(core, request, channel, entry_of(core, request, channel))) {
        return true;
    }
    core->stats.publishes++;
    uint64_t op = channel->op;
    uint64_t seq = channel->seq;
    if (channel->commit >= op) {
        rh_core_serve_acknowledge(core, request, channel, seq, false, connections);
        return true;
    }
    struct rh_request_ref numbered = *request;
    numbered.maybe_done = true; /* it cannot be refused any more, only be unknown */
    return rh_core_serve_wait(core, &numbered, channel, pending, op, seq, false) == NULL;
}

static bool serve_publish(struct rh_core *core, const struct rh_request_ref *request,
                          struct rh_channel *channel, struct rh_pending *pending)
{
    uint64_t seq;
    uint64_t op;
    rh_core_channel_tidy(core, channel);
    if (rh_id_window_find(channel->ids, request->id, &seq, &op) &&
        (seq & RH_ID_WINDOW_STATE) == 0) {
        return serve_duplicate(core, request, channel, pending, seq, op);
    }
    enum rh_refusal refusal = rh_core_serve_refusal(core, request, channel, pending != NULL);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_request_refuse(core, request, refusal);
        return true;
    }
    return number(core, request, channel, pending);
}

static void serve_inspect(struct rh_core *core, const struct rh_request_ref *request,
                          const struct rh_channel *channel)
{
    struct rh_channel_info info = {.first_seq = 1};
    if (channel != NULL) {
        info.incarnation = channel->incarnation;
        info.first_seq = rh_channel_first_seq(channel);
        info.last_seq = rh_channel_commit_seq(channel);
        info.connections = rh_channel_connections(channel);
    }
    rh_core_answer_inspect(core, request, RH_REFUSAL_NONE, &info);
}

bool rh_core_serve(struct rh_core *core, const struct rh_request_ref *request,
                   const struct rh_core_route *route, struct rh_pending *pending)
{
    struct rh_channel *channel = route->channel;
    if (request->ask == RH_ASK_PRESENCE) {
        rh_core_serve_presence(core, request, channel);
        return true;
    }
    if (request->ask == RH_ASK_INSPECT) {
        serve_inspect(core, request, channel);
        return true;
    }
    if (rh_ask_is_follow(request->ask)) {
        return rh_core_serve_follow(core, request, route, pending);
    }
    if (request->ask != RH_ASK_PUBLISH) {
        return rh_core_serve_state(core, request, route, pending);
    }
    if (request->payload.bytes.size > core->options.payload_size_max) {
        rh_core_request_refuse(core, request, RH_REFUSAL_TOO_LARGE);
        return true;
    }
    if (channel == NULL || !rh_role_holds_copy(channel->role)) {
        assert(!core->options.replication);
        enum rh_refusal refusal = rh_core_channel_get(core, request->key, route->hash, &channel);
        if (refusal != RH_REFUSAL_NONE) {
            rh_core_request_refuse(core, request, refusal);
            return true;
        }
    }
    return serve_publish(core, request, channel, pending);
}
