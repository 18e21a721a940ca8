/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core_world.h"

#include "proto/peer_codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- trace ---- */

static void line(struct world *world, const char *format, ...) RH_PRINTF(2, 3);

static void line(struct world *world, const char *format, ...)
{
    size_t used = strlen(world->trace);
    va_list args;
    va_start(args, format);
    int length = vsnprintf(world->trace + used, sizeof(world->trace) - used, format, args);
    va_end(args);
    assert_true(length >= 0 && (size_t)length < sizeof(world->trace) - used);
}

void world_expect(struct world *world, const char *expected)
{
    assert_string_equal(world->trace, expected);
    world_forget(world);
}

void world_forget(struct world *world)
{
    world->trace[0] = '\0';
}

static unsigned sub_number(const struct world *world, const struct rh_subscription *subscription)
{
    return (unsigned)(subscription - world->subs);
}

static char *copy_bytes(char *out, struct rh_bytes *bytes)
{
    if (bytes->size > 0) {
        memcpy(out, bytes->data, bytes->size);
        bytes->data = out;
    }
    return out + bytes->size;
}

/* Messages with lists are copied as they travel. */
static void copy_message(struct envelope *envelope)
{
    struct rh_buffer frame = {0};
    struct rh_reason reason;
    assert_int_equal(rh_peer_encode(&envelope->message, RH_PEER_FRAME_SIZE_MAX, &frame), 0);
    assert_int_equal(rh_peer_decoder_create(RH_PEER_FRAME_SIZE_MAX, &envelope->decoder), 0);
    const struct rh_bytes bytes = rh_buffer_content(&frame);
    assert_int_equal(rh_peer_decoder_feed(envelope->decoder, bytes.data, bytes.size), 0);
    assert_int_equal(rh_peer_decoder_next(envelope->decoder, &envelope->message, &reason), 0);
    rh_buffer_finish(&frame);
}

static void envelope_free(struct envelope *envelope)
{
    rh_peer_decoder_destroy(envelope->decoder);
    free(envelope);
}

static void enqueue(struct world *world, unsigned from, const struct rh_action *action)
{
    assert_true(world->queue_count < WORLD_QUEUE);
    struct envelope *envelope = calloc(1, sizeof(*envelope));
    assert_non_null(envelope);
    world->queue[world->queue_count++] = envelope;
    envelope->from = from;
    envelope->to = (unsigned)(action->send.to.id[1] - '1');
    envelope->message = action->send.message;
    char *out = envelope->bytes;
    switch (envelope->message.kind) {
    case RH_PEER_PUBLISH:
        out = copy_bytes(out, &envelope->message.publish.key);
        out = copy_bytes(out, &envelope->message.publish.id);
        (void)copy_bytes(out, &envelope->message.publish.payload.bytes);
        break;
    case RH_PEER_INSPECT:
        (void)copy_bytes(out, &envelope->message.inspect.key);
        break;
    case RH_PEER_PUBLISH_ANSWER:
        (void)copy_bytes(out, &envelope->message.publish_answer.code);
        break;
    case RH_PEER_INSPECT_ANSWER:
        (void)copy_bytes(out, &envelope->message.inspect_answer.code);
        break;
    case RH_PEER_STATE_GET:
        (void)copy_bytes(out, &envelope->message.state_get.key);
        break;
    case RH_PEER_STATE_PUT:
        out = copy_bytes(out, &envelope->message.state_put.key);
        out = copy_bytes(out, &envelope->message.state_put.id);
        out = copy_bytes(out, &envelope->message.state_put.content_type);
        (void)copy_bytes(out, &envelope->message.state_put.state);
        break;
    case RH_PEER_STATE_DELETE:
        out = copy_bytes(out, &envelope->message.state_delete.key);
        (void)copy_bytes(out, &envelope->message.state_delete.id);
        break;
    case RH_PEER_PRESENCE_GET:
        (void)copy_bytes(out, &envelope->message.presence_get.key);
        break;
    case RH_PEER_STATE_ANSWER:
        out = copy_bytes(out, &envelope->message.state_answer.code);
        out = copy_bytes(out, &envelope->message.state_answer.content_type);
        (void)copy_bytes(out, &envelope->message.state_answer.state);
        break;
    case RH_PEER_STREAM_OPEN:
    case RH_PEER_STREAM_CLOSE:
    case RH_PEER_STREAM_TAKEN:
    case RH_PEER_TUNNEL_CHECK:
    case RH_PEER_STREAM_OPENED:
    case RH_PEER_PRESENCE_ANSWER:
    case RH_PEER_STREAM_SHOW:
    case RH_PEER_STREAM_STATE:
    case RH_PEER_STREAM_PRESENCE:
    case RH_PEER_STREAM_BATCH:
    case RH_PEER_STREAM_READ:
    case RH_PEER_STREAM_ENDED:
    case RH_PEER_TUNNEL_STATE:
    case RH_PEER_FOLLOW_ASK:
    case RH_PEER_FOLLOW_ANSWER:
    case RH_PEER_TOPIC_ASK:
    case RH_PEER_TOPIC_BATCH:
    case RH_PEER_TOPIC_ACK:
    case RH_PEER_TOPIC_END:
    case RH_PEER_FOLLOWERS_ASK:
    case RH_PEER_FOLLOWERS_ANSWER:
        copy_message(envelope);
        break;
    case RH_PEER_HELLO:
    case RH_PEER_PING:
    case RH_PEER_PONG:
    case RH_PEER_STATUS_ASK:
    case RH_PEER_STATUS:
    case RH_PEER_MESSAGE_KINDS:
        fail_msg("a message of the link came out of the core");
        break;
    case RH_PEER_PRESENCE:
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
        fail_msg("a message of replication came out of a core without it");
    }
}

static void trace_read(struct world *world, const char *id, const struct rh_action *action)
{
    line(world, "%s > read s%u", id, sub_number(world, action->read.subscription));
    for (uint32_t i = 0; i < action->read.count; i++) {
        const struct rh_entry *entry = action->read.entries[i];
        line(world, " %" PRIu64 ":%.*s", entry->seq, RH_BYTES_ARG(rh_entry_payload(entry).bytes));
    }
    line(world, " at=%" PRIu64 "%s%s%s\n", action->read.position.seq,
         action->read.incarnation == 0 ? " absent" : "",
         action->read.recovered ? "" : " unrecovered", action->read.more ? " more" : "");
}

static void trace_deliver(struct world *world, const char *id, const struct rh_action *action)
{
    const struct rh_entry *entry = action->deliver.entry;
    line(world, "%s > message %" PRIu64 ":%.*s to", id, entry->seq,
         RH_BYTES_ARG(rh_entry_payload(entry).bytes));
    if (action->kind == RH_ACTION_DELIVER) {
        line(world, " s%u\n", sub_number(world, action->deliver.subscription));
        return;
    }
    const struct rh_channel *channel = action->deliver.channel;
    for (struct rh_subscription *at = rh_channel_live_next(channel, NULL, action->deliver.entry);
         at != NULL; at = rh_channel_live_next(channel, at, action->deliver.entry)) {
        line(world, " s%u", sub_number(world, at));
    }
    line(world, "\n");
}

static void trace_state(struct world *world, const char *id, const struct rh_action *action)
{
    static const char *const outcomes[] = {"found",   "none",    "created",
                                           "changed", "deleted", "conflict"};
    const struct rh_state_result *result = &action->state.result;
    line(world, "%s > state #%" PRIu64, id, action->state.request);
    if (result->refusal != RH_REFUSAL_NONE) {
        line(world, " %s\n", rh_refusal_code(result->refusal));
    } else if (result->redirect != NULL) {
        line(world, " redirect to %s\n", result->redirect->id);
    } else {
        line(world, " %s v%" PRIu64 " by %s", outcomes[result->outcome], result->version,
             result->node);
        if (result->outcome == RH_PEER_STATE_FOUND) {
            line(world, " %.*s:%.*s", RH_BYTES_ARG(result->content_type),
                 RH_BYTES_ARG(result->state));
        }
        line(world, "\n");
    }
}

static void trace_changed(struct world *world, const char *id, const struct rh_action *action)
{
    const struct rh_entry *state = action->changed.state;
    struct rh_subscription *at = action->changed.subscription;
    if (at == NULL) {
        at = rh_channel_watcher_next(action->changed.channel, NULL);
    }
    line(world, "%s > show", id);
    if (state == NULL) {
        line(world, " v0");
    } else {
        struct rh_bytes bytes = rh_entry_payload(state).bytes;
        line(world, " v%" PRIu64 "%s%.*s", rh_entry_version(state),
             state->entry_kind == RH_ENTRY_STATE ? ":" : " deleted", RH_BYTES_ARG(bytes));
    }
    line(world, " to");
    while (at != NULL) {
        line(world, " s%u", sub_number(world, at));
        at = action->changed.subscription != NULL
                 ? NULL
                 : rh_channel_watcher_next(action->changed.channel, at);
    }
    line(world, "\n");
}

static void trace_clients(struct world *world, const char *what, struct rh_peer_present_list list)
{
    for (size_t i = 0; i < list.count; i++) {
        const struct rh_peer_present *present = &list.items[i];
        line(world, "%s%.*s", i == 0 ? what : ",", RH_BYTES_ARG(present->client));
        if (present->meta.size > 0) {
            line(world, "=%.*s", RH_BYTES_ARG(present->meta));
        }
    }
}

static void trace_presence(struct world *world, const char *id, const struct rh_action *action)
{
    line(world, "%s > presence", id);
    trace_clients(world, " left ", action->presence.left);
    if (action->presence.is_whole) {
        trace_clients(world, " all ", action->presence.joined);
    } else {
        trace_clients(world, " joined ", action->presence.joined);
    }
    trace_clients(world, " changed ", action->presence.changed);
    line(world, " to");
    for (size_t i = 0; i < action->presence.streams_count; i++) {
        line(world, " s%u", sub_number(world, action->presence.streams[i]));
    }
    line(world, "\n");
}

static void trace_present(struct world *world, const char *id, const struct rh_action *action)
{
    const struct rh_presence_result *result = &action->present.result;
    line(world, "%s > present #%" PRIu64, id, action->present.request);
    if (result->refusal != RH_REFUSAL_NONE) {
        line(world, " %s\n", rh_refusal_code(result->refusal));
        return;
    }
    line(world, " by %s%s", result->node, result->incarnation == 0 ? " absent" : "");
    for (size_t i = 0; i < result->clients.count; i++) {
        line(world, " %.*s:%u", RH_BYTES_ARG(result->clients.items[i].client),
             result->clients.items[i].connections);
    }
    line(world, "\n");
}

static void trace_followed(struct world *world, const char *id, const struct rh_action *action)
{
    const struct rh_follow_result *result = &action->followed.result;
    line(world, "%s > followed #%" PRIu64, id, action->followed.request);
    if (result->refusal != RH_REFUSAL_NONE) {
        line(world, " %s\n", rh_refusal_code(result->refusal));
        return;
    }
    line(world, " by %s", result->node);
    for (size_t i = 0; i < result->follows_count; i++) {
        line(world, " %.*s@%" PRIu64, RH_BYTES_ARG(result->follows[i].topic),
             result->follows[i].position.seq);
    }
    line(world, "\n");
}

static void trace_followers(struct world *world, const char *id, const struct rh_action *action)
{
    const struct rh_followers_result *result = &action->followers.result;
    line(world, "%s > followers #%" PRIu64, id, action->followers.request);
    if (result->refusal != RH_REFUSAL_NONE) {
        line(world, " %s\n", rh_refusal_code(result->refusal));
        return;
    }
    line(world, " %" PRIu64 ":", result->count);
    for (size_t i = 0; i < result->keys_count; i++) {
        line(world, " %.*s", RH_BYTES_ARG(result->keys[i]));
    }
    for (size_t i = 0; i < result->nodes_count; i++) {
        if (result->nodes[i].is_missing) {
            line(world, " without %s", result->nodes[i].id);
        } else if (result->nodes[i].count > 0) {
            line(world, " %s has %u", result->nodes[i].id, result->nodes[i].count);
        }
    }
    line(world, "\n");
}

static void trace_requests(struct world *world, const char *id, const struct rh_action *action)
{
    if (action->kind == RH_ACTION_PUBLISHED) {
        const struct rh_publish_result *result = &action->published.result;
        if (result->refusal != RH_REFUSAL_NONE) {
            line(world, "%s > published #%" PRIu64 " %s\n", id, action->published.request,
                 rh_refusal_code(result->refusal));
            return;
        }
        line(world, "%s > published #%" PRIu64 " seq=%" PRIu64 " by %s to %u%s\n", id,
             action->published.request, result->seq, result->node, result->connections,
             result->duplicate ? " duplicate" : "");
        return;
    }
    const struct rh_channel_info *info = &action->inspected.info;
    line(world, "%s > inspected #%" PRIu64 " %s first=%" PRIu64 " last=%" PRIu64 " to %u\n", id,
         action->inspected.request,
         action->inspected.refusal != RH_REFUSAL_NONE ? rh_refusal_code(action->inspected.refusal)
         : info->incarnation != 0                     ? "exists"
                                                      : "absent",
         info->first_seq, info->last_seq, info->connections);
}

static void trace_action(struct world *world, unsigned node, const struct rh_action *action)
{
    const char *id = world->refs[node].id;
    switch (action->kind) {
    case RH_ACTION_WELCOME:
        line(world, "%s > welcome s%u seq=%" PRIu64 "%s\n", id,
             sub_number(world, action->welcome.subscription), action->welcome.seq,
             action->welcome.recovered ? "" : " unrecovered");
        return;
    case RH_ACTION_DELIVER:
    case RH_ACTION_DELIVER_ALL:
        trace_deliver(world, id, action);
        return;
    case RH_ACTION_MOVED:
        line(world, "%s > moved s%u to %s at=%" PRIu64 "\n", id,
             sub_number(world, action->moved.subscription), action->moved.node->id,
             action->moved.position.seq);
        return;
    case RH_ACTION_GOES_ON:
        line(world, "%s > s%u goes on\n", id, sub_number(world, action->goes_on));
        return;
    case RH_ACTION_REDIRECT:
        line(world, "%s > redirect s%u to %s\n", id, sub_number(world, action->moved.subscription),
             action->moved.node->id);
        return;
    case RH_ACTION_REFUSED:
        line(world, "%s > refused s%u %s\n", id, sub_number(world, action->refused.subscription),
             rh_refusal_code(action->refused.refusal));
        return;
    case RH_ACTION_READ_DONE:
        trace_read(world, id, action);
        return;
    case RH_ACTION_STATE:
        trace_state(world, id, action);
        return;
    case RH_ACTION_CHANGED:
        trace_changed(world, id, action);
        return;
    case RH_ACTION_PRESENCE:
        trace_presence(world, id, action);
        return;
    case RH_ACTION_PRESENT:
        trace_present(world, id, action);
        return;
    case RH_ACTION_FOLLOWED:
        trace_followed(world, id, action);
        return;
    case RH_ACTION_FOLLOWERS:
        trace_followers(world, id, action);
        return;
    case RH_ACTION_PUBLISHED:
    case RH_ACTION_INSPECTED:
        trace_requests(world, id, action);
        return;
    case RH_ACTION_SEND:
        line(world, "%s > send %s to %s\n", id, rh_peer_message_name(action->send.message.kind),
             action->send.to.id);
        enqueue(world, node, action);
        return;
    case RH_ACTION_CATCH_UP:
        line(world, "%s > catch up\n", id);
        return;
    case RH_ACTION_SWEPT:
        line(world, "%s > swept channels=%" PRIu64 " connections=%" PRIu64 "\n", id,
             action->swept.channels, action->swept.connections);
        return;
    case RH_ACTION_COMPLETE:
    case RH_ACTION_PROVE:
    case RH_ACTION_PROMISE:
    case RH_ACTION_PEER_VIEW:
    case RH_ACTION_SHOW_VIEW:
    case RH_ACTION_RESET_PEER:
    case RH_ACTION_TELL_DRAINED:
    case RH_ACTION_TRACE:
        break; /* of replication, which is off */
    }
    fail_msg("unknown action");
}

void world_step(struct world *world, unsigned node, struct rh_event *event)
{
    event->now_ms = world->now_ms;
    event->time_ms = (int64_t)(1000000 + world->now_ms);
    rh_core_step(world->cores[node], event, &world->actions);
    for (size_t i = 0; i < world->actions.count; i++) {
        trace_action(world, node, &world->actions.items[i]);
    }
}

/* ---- what happens to a world ---- */

void world_make_view(struct world *world, unsigned members)
{
    struct rh_registration registrations[WORLD_NODES];
    int64_t czxids[WORLD_NODES];
    const struct rh_shared_config config = {
        .generation = 1, .format = 1, .vnodes = 64, .replicas = 2, .seed = 0};
    for (unsigned i = 0; i < WORLD_NODES; i++) {
        registrations[i] = (struct rh_registration){
            .instance = world->refs[i].instance,
            .weight_milli = (members >> i & 1U) != 0 ? RH_RING_WEIGHT_ONE : 0,
        };
        memcpy(registrations[i].id, world->refs[i].id, RH_NODE_ID_SIZE);
        czxids[i] = i + 1;
    }
    const struct rh_epoch epoch = {.generation = 1, .pzxid = ++world->epoch};
    rh_view_give(world->view);
    assert_int_equal(
        rh_view_create(epoch, &config, registrations, czxids, WORLD_NODES, &world->view), 0);
}

void world_adopt(struct world *world, unsigned node)
{
    struct rh_event event = {.kind = RH_EVENT_VIEW, .view = world->view};
    world_step(world, node, &event);
}

void world_adopt_all(struct world *world, unsigned members)
{
    world_make_view(world, members);
    for (unsigned i = 0; i < WORLD_NODES; i++) {
        world_adopt(world, i);
    }
}

void world_peer(struct world *world, enum rh_event_kind kind, unsigned node, unsigned other)
{
    struct rh_event event = {.kind = kind, .peer = world->refs[other]};
    world_step(world, node, &event);
}

static void find_keys(struct world *world)
{
    for (unsigned number = 0; number < 100000; number++) {
        char key[32];
        int size = snprintf(key, sizeof(key), "key:%u", number);
        uint64_t hash = rh_ring_hash(world->view->ring, key, (size_t)size);
        char *place = world->keys[rh_ring_owner(world->view->ring, hash)];
        if (place[0] == '\0') {
            memcpy(place, key, sizeof(key));
        }
    }
}

struct rh_core_options world_options_of(unsigned node)
{
    struct rh_core_options options = {
        .instance = 100 + node,
        .seed = 42 + node,
        .secret = 77 + node,
        .log = {.messages_max = 5, .bytes_max = 1000, .age_ms_max = 60000},
        .channels_max = 100,
        .channel_idle_ms = 10000,
        .dedup_age_ms = 5000,
        .dedup_ids_max = 100,
        .payload_size_max = 100,
        .state_size_max = 200,
        .batch_size_max = 100000,
        .forward_timeout_ms = 3000,
        .catch_up_timeout_ms = 2000,
        .remotes_max = 100,
        .pending_max = 4,
        .pending_bytes_max = 100000,
        .presence_grace_ms = 5000,
        .presence_move_ms = 2000,
        .presence_clients_max = 8,
        .presence_channel_clients_max = 5,
    };
    (void)snprintf(options.id, sizeof(options.id), "n%u", node + 1);
    return options;
}

int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->now_ms = 1000;
    for (unsigned i = 0; i < WORLD_NODES; i++) {
        struct rh_core_options options = world_options_of(i);
        memcpy(world->refs[i].id, options.id, RH_NODE_ID_SIZE);
        world->refs[i].instance = options.instance;
        assert_int_equal(rh_core_create(&options, &world->cores[i]), 0);
    }
    for (size_t i = 0; i < sizeof(world->subs) / sizeof(world->subs[0]); i++) {
        rh_subscription_init(&world->subs[i]);
    }
    world_make_view(world, 15);
    find_keys(world);
    world_adopt_all(world, 7);
    for (unsigned i = 0; i < WORLD_NODES; i++) {
        for (unsigned j = 0; j < WORLD_NODES; j++) {
            if (i != j) {
                world_peer(world, RH_EVENT_PEER_UP, i, j);
            }
        }
    }
    world_forget(world);
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    rh_actions_finish(&world->actions);
    for (size_t i = 0; i < world->queue_count; i++) {
        envelope_free(world->queue[i]);
    }
    for (unsigned i = 0; i < WORLD_NODES; i++) {
        rh_core_destroy(world->cores[i]);
    }
    rh_view_give(world->view);
    free(world);
    return 0;
}

void world_restart(struct world *world, unsigned node, const struct rh_core_options *options)
{
    rh_core_destroy(world->cores[node]);
    assert_int_equal(rh_core_create(options, &world->cores[node]), 0);
    world_adopt(world, node);
    world_forget(world);
}

static void subscribe(struct world *world, unsigned node, unsigned sub, const char *key,
                      const struct rh_position *after, struct rh_hop hop, bool watches_state)
{
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .hop = hop,
                      .watches_state = watches_state},
    };
    world_step(world, node, &event);
}

void world_subscribe_at(struct world *world, unsigned node, unsigned sub, const char *key,
                        const struct rh_position *after, struct rh_hop hop)
{
    subscribe(world, node, sub, key, after, hop, false);
}

void world_subscribe(struct world *world, unsigned node, unsigned sub, const char *key,
                     const struct rh_position *after)
{
    world_subscribe_at(world, node, sub, key, after, (struct rh_hop){0});
}

void world_watch(struct world *world, unsigned node, unsigned sub, const char *key,
                 const struct rh_position *after)
{
    subscribe(world, node, sub, key, after, (struct rh_hop){0}, true);
}

void world_attend(struct world *world, unsigned node, unsigned sub, const char *key,
                  const char *client, const char *meta, bool watches)
{
    struct rh_attendee *attendee = client == NULL ? NULL : &world->attendees[sub];
    if (attendee != NULL) {
        *attendee =
            (struct rh_attendee){.client = rh_bytes_text(client), .meta = rh_bytes_text(meta)};
    }
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .watches_presence = watches,
                      .attendee = attendee},
    };
    world_step(world, node, &event);
}

void world_present(struct world *world, unsigned node, uint64_t request, const char *key)
{
    struct rh_event event = {.kind = RH_EVENT_PRESENT,
                             .inspect = {.request = request, .key = rh_bytes_text(key)}};
    world_step(world, node, &event);
}

void world_turn(struct world *world, unsigned node)
{
    while (rh_core_deadline_ms(world->cores[node]) == 0) {
        struct rh_event event = {.kind = RH_EVENT_TICK};
        world_step(world, node, &event);
    }
}

void world_unsubscribe(struct world *world, unsigned node, unsigned sub)
{
    struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE, .subscription = &world->subs[sub]};
    world_step(world, node, &event);
    assert_int_equal(world->subs[sub].state, RH_SUBSCRIPTION_FREE);
}

void world_drained(struct world *world, unsigned node, unsigned sub)
{
    struct rh_event event = {.kind = RH_EVENT_DRAINED, .subscription = &world->subs[sub]};
    world_step(world, node, &event);
}

void world_read_at(struct world *world, unsigned node, unsigned sub, const char *key,
                   const struct rh_position *after, uint32_t limit, uint32_t wait_ms,
                   struct rh_hop hop)
{
    struct rh_event event = {
        .kind = RH_EVENT_READ,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .hop = hop,
                      .limit = limit,
                      .wait_ms = wait_ms},
    };
    world_step(world, node, &event);
}

void world_read_from(struct world *world, unsigned node, unsigned sub, const char *key,
                     const struct rh_position *after, uint32_t limit, uint32_t wait_ms)
{
    world_read_at(world, node, sub, key, after, limit, wait_ms, (struct rh_hop){0});
}

void world_publish(struct world *world, unsigned node, uint64_t request, const char *key,
                   const char *id, const char *data)
{
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request,
                    .key = rh_bytes_text(key),
                    .id = rh_bytes_text(id),
                    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text(data)}},
    };
    world_step(world, node, &event);
}

void world_inspect(struct world *world, unsigned node, uint64_t request, const char *key)
{
    struct rh_event event = {
        .kind = RH_EVENT_INSPECT,
        .inspect = {.request = request, .key = rh_bytes_text(key)},
    };
    world_step(world, node, &event);
}

void world_state_get(struct world *world, unsigned node, uint64_t request, const char *key)
{
    struct rh_event event = {
        .kind = RH_EVENT_STATE_GET,
        .state = {.request = request, .key = rh_bytes_text(key)},
    };
    world_step(world, node, &event);
}

void world_state_put(struct world *world, unsigned node, uint64_t request, const char *key,
                     const char *data, enum rh_peer_state_condition condition, uint64_t version)
{
    struct rh_event event = {
        .kind = RH_EVENT_STATE_PUT,
        .state = {.request = request,
                  .key = rh_bytes_text(key),
                  .condition = condition,
                  .if_version = version,
                  .content_type = rh_bytes_text("text/plain"),
                  .state = rh_bytes_text(data)},
    };
    world_step(world, node, &event);
}

void world_state_delete(struct world *world, unsigned node, uint64_t request, const char *key,
                        enum rh_peer_state_condition condition, uint64_t version)
{
    struct rh_event event = {
        .kind = RH_EVENT_STATE_DELETE,
        .state = {.request = request,
                  .key = rh_bytes_text(key),
                  .condition = condition,
                  .if_version = version},
    };
    world_step(world, node, &event);
}

void world_deliver(struct world *world, bool lose)
{
    assert_true(world->queue_count > 0);
    struct envelope *first = world->queue[0];
    world->queue_count--;
    memmove(&world->queue[0], &world->queue[1], world->queue_count * sizeof(first));
    if (!lose) {
        struct rh_event event = {
            .kind = RH_EVENT_PEER_MESSAGE,
            .peer_message = {.from = world->refs[first->from], .message = &first->message},
        };
        world_step(world, first->to, &event);
    }
    envelope_free(first);
}

void world_pass(struct world *world, unsigned node, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;
    while (world->now_ms < end_ms) {
        uint64_t next_ms = rh_core_deadline_ms(world->cores[node]);
        next_ms = next_ms < world->now_ms + 1 ? world->now_ms + 1 : next_ms;
        world->now_ms = next_ms < end_ms ? next_ms : end_ms;
        struct rh_event event = {.kind = RH_EVENT_TICK};
        world_step(world, node, &event);
    }
}

const struct rh_position world_start = {0, 0};

struct rh_position world_position(struct world *world, unsigned node, const char *key, uint64_t seq)
{
    world_inspect(world, node, 999, key);
    struct rh_position at = {.incarnation = world->actions.items[0].inspected.info.incarnation,
                             .seq = seq};
    world->trace[0] = '\0';
    return at;
}

static void follow(struct world *world, unsigned node, uint64_t request, const char *key,
                   enum rh_peer_follow_what what, const char *topic,
                   const struct rh_position *after)
{
    struct rh_event event = {
        .kind = RH_EVENT_FOLLOW,
        .follow = {.request = request,
                   .key = rh_bytes_text(key),
                   .what = what,
                   .topic = rh_bytes_text(topic),
                   .has_after = after != NULL},
    };
    if (after != NULL) {
        event.follow.after = *after;
    }
    world_step(world, node, &event);
}

void world_follow(struct world *world, unsigned node, uint64_t request, const char *key,
                  const char *topic, const struct rh_position *after)
{
    follow(world, node, request, key, RH_PEER_FOLLOW_ADD, topic, after);
}

void world_unfollow(struct world *world, unsigned node, uint64_t request, const char *key,
                    const char *topic)
{
    follow(world, node, request, key, RH_PEER_FOLLOW_REMOVE, topic, NULL);
}

void world_follows(struct world *world, unsigned node, uint64_t request, const char *key)
{
    follow(world, node, request, key, RH_PEER_FOLLOW_LIST, "", NULL);
}

void world_followers(struct world *world, unsigned node, uint64_t request, const char *topic,
                     uint32_t limit)
{
    struct rh_event event = {
        .kind = RH_EVENT_FOLLOWERS,
        .followers = {.request = request, .topic = rh_bytes_text(topic), .limit = limit},
    };
    world_step(world, node, &event);
}
