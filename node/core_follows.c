/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include <assert.h>

/*
 * What a channel follows: asked for, and changed, on behalf of clients. A change is an operation of
 * the follower, like a write of its state, and has the same road; a follow that names no position
 * waits first until the feed of the topic knows where its log ends.
 *
 * Of a kept request the payload is the topic, and the content type its position as text, or nothing.
 */

static struct rh_bytes topic_of(const struct rh_request_ref *request)
{
    return request->payload.bytes;
}

/* ---- answers ---- */

const struct rh_peer_follow *
rh_core_follows_list(struct rh_core *core, const struct rh_channel *channel, size_t *ret_count)
{
    const struct rh_follows *follows = channel == NULL ? NULL : channel->follows;
    size_t count = rh_follows_count(follows);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += follows->items[i]->topic_size;
    }
    struct rh_peer_follow *list = rh_core_scratch(core, count, sizeof(*list));
    char *text = rh_core_scratch(core, size, 1);
    for (size_t i = 0; i < count; i++) {
        const struct rh_follow *follow = follows->items[i];
        list[i] = (struct rh_peer_follow){.topic = rh_bytes(text, follow->topic_size),
                                          .position = follow->position};
        text = rh_bytes_write(text, rh_follow_topic(follow));
    }
    *ret_count = count;
    return list;
}

static void answer(struct rh_core *core, const struct rh_request_ref *request,
                   const struct rh_follow_result *result)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_FOLLOWED);
        action->followed.request = request->request;
        action->followed.result = *result;
        return;
    }
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_FOLLOW_ANSWER);
    message->follow_answer.request = request->request;
    if (result->refusal != RH_REFUSAL_NONE) {
        message->follow_answer.result = rh_core_peer_result(result->refusal);
        message->follow_answer.code = rh_core_peer_code(result->refusal);
        return;
    }
    message->follow_answer.result = RH_PEER_OK;
    memcpy(message->follow_answer.owner, result->node, RH_NODE_ID_SIZE);
    message->follow_answer.follows = result->follows;
    message->follow_answer.follows_count = result->follows_count;
}

static void answer_here(struct rh_core *core, const struct rh_request_ref *request,
                        const struct rh_channel *channel)
{
    struct rh_follow_result result = {0};
    memcpy(result.node, core->options.id, RH_NODE_ID_SIZE);
    result.follows = rh_core_follows_list(core, channel, &result.follows_count);
    answer(core, request, &result);
}

void rh_core_follow_refuse(struct rh_core *core, const struct rh_request_ref *request,
                           enum rh_refusal refusal)
{
    const struct rh_follow_result result = {.refusal = refusal};
    answer(core, request, &result);
}

void rh_core_follow_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                              const char *owner)
{
    struct rh_peer_message *message = rh_core_send_to(core, &request->from, RH_PEER_FOLLOW_ANSWER);
    message->follow_answer.request = request->request;
    message->follow_answer.result = RH_PEER_NOT_OWNER;
    memcpy(message->follow_answer.owner, owner, strlen(owner) + 1);
}

void rh_core_follow_committed(struct rh_core *core, const struct rh_pending *pending,
                              const struct rh_channel *channel)
{
    const struct rh_request_ref request = rh_core_pending_request(pending);
    answer_here(core, &request, channel);
}

/* ---- serving ---- */

/* Answered when all that was numbered up to now is committed. */
static bool settle(struct rh_core *core, const struct rh_request_ref *request,
                   struct rh_channel *channel, struct rh_pending *pending)
{
    if (channel->commit >= channel->op) {
        answer_here(core, request, channel);
        return true;
    }
    struct rh_request_ref numbered = *request;
    numbered.maybe_done = true; /* it cannot be refused any more, only be unknown */
    return rh_core_serve_wait(core, &numbered, channel, pending, channel->op, 0, false) == NULL;
}

static bool number(struct rh_core *core, const struct rh_request_ref *request,
                   struct rh_channel *channel, struct rh_pending *pending, enum rh_entry_kind kind,
                   struct rh_position position)
{
    enum rh_refusal refusal = rh_core_serve_refusal(core, request, channel, pending != NULL);
    if (refusal != RH_REFUSAL_NONE) {
        rh_core_request_refuse(core, request, refusal);
        return true;
    }
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = kind,
        .seq = channel->seq,
        .time_ms = core->time_ms,
        .payload = {.kind = RH_PAYLOAD_BINARY},
        .topic = topic_of(request),
        .position = position,
    });
    if (!rh_core_serve_number(core, request, channel, entry)) {
        return true;
    }
    return settle(core, request, channel, pending);
}

/* The follow begins at the end of the topic's log: that has to be known. */
static bool wait_for_end(struct rh_core *core, const struct rh_request_ref *request,
                         struct rh_feed *feed, struct rh_pending *pending)
{
    pending = pending != NULL ? pending : rh_core_pending_keep(core, request);
    if (pending == NULL) {
        return true;
    }
    rh_core_feed_wait(core, feed, pending);
    return false;
}

static bool serve_add(struct rh_core *core, const struct rh_request_ref *request,
                      struct rh_channel *channel, struct rh_pending *pending)
{
    struct rh_position position;
    if (rh_follows_find(channel->follows, topic_of(request)) != NULL) {
        return settle(core, request, channel, pending); /* it goes on from where it is */
    }
    if (rh_follows_count(channel->follows) >= RH_FOLLOWS_MAX) {
        rh_core_request_refuse(core, request, RH_REFUSAL_FOLLOWS_FULL);
        rh_core_channel_settle(core, channel);
        return true;
    }
    if (rh_position_parse(request->content_type, &position) == 0) {
        return number(core, request, channel, pending, RH_ENTRY_FOLLOW, position);
    }
    struct rh_feed *feed = rh_core_feed_get(core, topic_of(request));
    if (feed == NULL) {
        rh_core_request_refuse(core, request, RH_REFUSAL_NO_MEMORY);
        return true;
    }
    if (feed->state != RH_FEED_STREAMING) {
        return wait_for_end(core, request, feed, pending);
    }
    position = (struct rh_position){.incarnation = feed->incarnation, .seq = feed->up_to};
    return number(core, request, channel, pending, RH_ENTRY_FOLLOW, position);
}

bool rh_core_serve_follow(struct rh_core *core, const struct rh_request_ref *request,
                          const struct rh_core_route *route, struct rh_pending *pending)
{
    struct rh_channel *channel = route->channel;
    bool exists = channel != NULL && rh_role_holds_copy((enum rh_role)channel->role);
    if (request->ask == RH_ASK_FOLLOWS || (!exists && request->ask == RH_ASK_UNFOLLOW)) {
        answer_here(core, request, exists ? channel : NULL);
        return true;
    }
    if (!exists) {
        assert(!core->options.replication);
        enum rh_refusal refusal = rh_core_channel_get(core, request->key, route->hash, &channel);
        if (refusal != RH_REFUSAL_NONE) {
            rh_core_request_refuse(core, request, refusal);
            return true;
        }
        rh_core_channel_bring_up(core, channel);
    }
    rh_core_channel_tidy(core, channel);
    channel->used_ms = core->now_ms;
    if (request->ask == RH_ASK_FOLLOW) {
        return serve_add(core, request, channel, pending);
    }
    if (rh_follows_find(channel->follows, topic_of(request)) == NULL) {
        return settle(core, request, channel, pending);
    }
    return number(core, request, channel, pending, RH_ENTRY_UNFOLLOW, (struct rh_position){0});
}

/* ---- requests of clients ---- */

static enum rh_ask ask_of(enum rh_peer_follow_what what)
{
    return what == RH_PEER_FOLLOW_ADD      ? RH_ASK_FOLLOW
           : what == RH_PEER_FOLLOW_REMOVE ? RH_ASK_UNFOLLOW
                                           : RH_ASK_FOLLOWS;
}

/* Text of a position, or nothing; |text| has room for it. */
static struct rh_bytes position_text(bool has_after, struct rh_position after,
                                     char text[static RH_POSITION_TEXT_SIZE])
{
    if (!has_after) {
        return rh_bytes(NULL, 0);
    }
    rh_position_format(after, text);
    return rh_bytes_text(text);
}

void rh_core_follow(struct rh_core *core, const struct rh_event *event)
{
    char after[RH_POSITION_TEXT_SIZE];
    const struct rh_request_ref request = {
        .ask = ask_of(event->follow.what),
        .request = event->follow.request,
        .key = event->follow.key,
        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = event->follow.topic},
        .content_type = position_text(event->follow.has_after, event->follow.after, after),
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_begin(core, &request);
}

/* ---- from node to node ---- */

void rh_core_follow_forward(struct rh_core *core, const struct rh_pending *pending,
                            const struct rh_request_ref *request)
{
    struct rh_peer_message *message = rh_core_send_to(core, &pending->target, RH_PEER_FOLLOW_ASK);
    struct rh_peer_follow_ask *ask = &message->follow_ask;
    *ask = (struct rh_peer_follow_ask){
        .request = pending->number,
        .key = request->key,
        .what = request->ask == RH_ASK_FOLLOW     ? RH_PEER_FOLLOW_ADD
                : request->ask == RH_ASK_UNFOLLOW ? RH_PEER_FOLLOW_REMOVE
                                                  : RH_PEER_FOLLOW_LIST,
        .topic = topic_of(request),
        .deadline_ms = (uint32_t)(pending->deadline_ms - core->now_ms),
    };
    ask->has_after = rh_position_parse(request->content_type, &ask->after) == 0;
}

void rh_core_on_follow_ask(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    char after[RH_POSITION_TEXT_SIZE];
    const struct rh_peer_follow_ask *ask = &message->follow_ask;
    const struct rh_request_ref request = {
        .ask = ask_of(ask->what),
        .from_peer = true,
        .from = from->ref,
        .request = ask->request,
        .key = ask->key,
        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = ask->topic},
        .content_type = position_text(ask->has_after, ask->after, after),
        .deadline_ms = rh_core_request_deadline(core, ask->deadline_ms),
    };
    rh_core_request_take(core, &request, message->epoch);
}

static bool is_follow(enum rh_ask ask)
{
    return rh_ask_is_follow(ask);
}

void rh_core_on_follow_answer(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message)
{
    const struct rh_peer_follow_answer *said = &message->follow_answer;
    struct rh_pending *pending = rh_core_answer_take(core, from, message, said->request, is_follow,
                                                     said->result, said->owner);
    if (pending == NULL) {
        return;
    }
    const struct rh_request_ref request = rh_core_pending_request(pending);
    if (said->result != RH_PEER_OK) {
        rh_core_request_refuse(core, &request, rh_core_peer_refusal(said->result, said->code));
    } else {
        struct rh_follow_result result = {.follows = said->follows,
                                          .follows_count = said->follows_count};
        memcpy(result.node, said->owner, RH_NODE_ID_SIZE);
        answer(core, &request, &result);
    }
    rh_core_pending_remove(core, pending);
}
