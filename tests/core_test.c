/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core.h"
#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Cores in a small virtual cluster. Actions become lines of a trace, and the trace is the oracle:
 *
 *     n1 > welcome s1 seq=0 recovered
 *
 * Messages between cores wait in one queue until deliver() hands them over, so that a test decides
 * what arrives, when, and whether. Incarnations are random and left out of the trace.
 */

#define NODES 4
#define QUEUE 64

struct envelope {
    unsigned from;
    unsigned to;
    struct rh_peer_message message;
    char bytes[1024]; /* what the slices of the message point to */
};

struct world {
    struct rh_core *cores[NODES];
    struct rh_node_ref refs[NODES];
    struct rh_actions actions;
    struct rh_view *view;
    int64_t epoch;
    uint64_t now_ms;
    struct rh_subscription subs[8];
    struct envelope *queue[QUEUE];
    size_t queue_count;
    char trace[8192];
    char keys[NODES][32]; /* one key that each node owns while all are members */
};

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

/* The trace since the last call is |expected|. */
static void expect(struct world *world, const char *expected)
{
    assert_string_equal(world->trace, expected);
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

static void enqueue(struct world *world, unsigned from, const struct rh_action *action)
{
    assert_true(world->queue_count < QUEUE);
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
    case RH_PEER_HELLO:
    case RH_PEER_PING:
    case RH_PEER_PONG:
    case RH_PEER_MESSAGE_KINDS:
        fail_msg("a message of the link came out of the core");
    }
}

static void trace_read(struct world *world, const char *id, const struct rh_action *action)
{
    line(world, "%s > read s%u", id, sub_number(world, action->read.subscription));
    for (uint32_t i = 0; i < action->read.count; i++) {
        const struct rh_entry *entry =
            rh_channel_entry(action->read.channel, action->read.first_seq + i);
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
    for (struct rh_subscription *at = rh_channel_live_next(action->deliver.channel, NULL);
         at != NULL; at = rh_channel_live_next(action->deliver.channel, at)) {
        line(world, " s%u", sub_number(world, at));
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
    }
    fail_msg("unknown action");
}

static void step(struct world *world, unsigned node, struct rh_event *event)
{
    event->now_ms = world->now_ms;
    event->time_ms = (int64_t)(1000000 + world->now_ms);
    rh_core_step(world->cores[node], event, &world->actions);
    for (size_t i = 0; i < world->actions.count; i++) {
        trace_action(world, node, &world->actions.items[i]);
    }
}

/* ---- what happens to a world ---- */

/* Gives the bits of |members| (n1 is bit 0) weight 1, registers all, and shows |node| the view. */
static void make_view(struct world *world, unsigned members)
{
    struct rh_registration registrations[NODES];
    int64_t czxids[NODES];
    const struct rh_shared_config config = {
        .generation = 1, .format = 1, .vnodes = 64, .replicas = 2, .seed = 0};
    for (unsigned i = 0; i < NODES; i++) {
        registrations[i] = (struct rh_registration){
            .instance = world->refs[i].instance,
            .weight_milli = (members >> i & 1U) != 0 ? RH_RING_WEIGHT_ONE : 0,
        };
        memcpy(registrations[i].id, world->refs[i].id, RH_NODE_ID_SIZE);
        czxids[i] = i + 1;
    }
    const struct rh_epoch epoch = {.generation = 1, .pzxid = ++world->epoch};
    rh_view_give(world->view);
    assert_int_equal(rh_view_create(epoch, &config, registrations, czxids, NODES, &world->view), 0);
}

static void adopt(struct world *world, unsigned node)
{
    struct rh_event event = {.kind = RH_EVENT_VIEW, .view = world->view};
    step(world, node, &event);
}

static void adopt_all(struct world *world, unsigned members)
{
    make_view(world, members);
    for (unsigned i = 0; i < NODES; i++) {
        adopt(world, i);
    }
}

static void peer(struct world *world, enum rh_event_kind kind, unsigned node, unsigned other)
{
    struct rh_event event = {.kind = kind, .peer = world->refs[other]};
    step(world, node, &event);
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

static struct rh_core_options options_of(unsigned node)
{
    struct rh_core_options options = {
        .instance = 100 + node,
        .seed = 42 + node,
        .log = {.messages_max = 5, .bytes_max = 1000, .age_ms_max = 60000},
        .channels_max = 100,
        .channel_idle_ms = 10000,
        .dedup_age_ms = 5000,
        .dedup_ids_max = 100,
        .payload_size_max = 100,
        .forward_timeout_ms = 3000,
        .catch_up_timeout_ms = 2000,
        .pending_max = 4,
        .pending_bytes_max = 100000,
    };
    (void)snprintf(options.id, sizeof(options.id), "n%u", node + 1);
    return options;
}

/* All nodes up, linked, in one view in which n1 to n3 have weight; the trace is empty. */
static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->now_ms = 1000;
    for (unsigned i = 0; i < NODES; i++) {
        struct rh_core_options options = options_of(i);
        memcpy(world->refs[i].id, options.id, RH_NODE_ID_SIZE);
        world->refs[i].instance = options.instance;
        assert_int_equal(rh_core_create(&options, &world->cores[i]), 0);
    }
    for (size_t i = 0; i < sizeof(world->subs) / sizeof(world->subs[0]); i++) {
        rh_subscription_init(&world->subs[i]);
    }
    make_view(world, 15);
    find_keys(world);
    adopt_all(world, 7);
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned j = 0; j < NODES; j++) {
            if (i != j) {
                peer(world, RH_EVENT_PEER_UP, i, j);
            }
        }
    }
    world->trace[0] = '\0';
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    rh_actions_finish(&world->actions);
    for (size_t i = 0; i < world->queue_count; i++) {
        free(world->queue[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        rh_core_destroy(world->cores[i]);
    }
    rh_view_give(world->view);
    free(world);
    return 0;
}

static void subscribe_at(struct world *world, unsigned node, unsigned sub, const char *key,
                         const struct rh_position *after, struct rh_hop hop)
{
    struct rh_event event = {
        .kind = RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .hop = hop},
    };
    step(world, node, &event);
}

static void subscribe(struct world *world, unsigned node, unsigned sub, const char *key,
                      const struct rh_position *after)
{
    subscribe_at(world, node, sub, key, after, (struct rh_hop){0});
}

static void unsubscribe(struct world *world, unsigned node, unsigned sub)
{
    struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE, .subscription = &world->subs[sub]};
    step(world, node, &event);
    assert_int_equal(world->subs[sub].state, RH_SUBSCRIPTION_FREE);
}

static void read_from(struct world *world, unsigned node, unsigned sub, const char *key,
                      const struct rh_position *after, uint32_t limit, uint32_t wait_ms)
{
    struct rh_event event = {
        .kind = RH_EVENT_READ,
        .subscribe = {.subscription = &world->subs[sub],
                      .key = rh_bytes_text(key),
                      .has_after = after != NULL,
                      .after = after == NULL ? (struct rh_position){0} : *after,
                      .limit = limit,
                      .wait_ms = wait_ms},
    };
    step(world, node, &event);
}

static void publish(struct world *world, unsigned node, uint64_t request, const char *key,
                    const char *id, const char *data)
{
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request,
                    .key = rh_bytes_text(key),
                    .id = rh_bytes_text(id),
                    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text(data)}},
    };
    step(world, node, &event);
}

static void inspect(struct world *world, unsigned node, uint64_t request, const char *key)
{
    struct rh_event event = {
        .kind = RH_EVENT_INSPECT,
        .inspect = {.request = request, .key = rh_bytes_text(key)},
    };
    step(world, node, &event);
}

/* Hands over the oldest message that is under way; or loses it. */
static void deliver(struct world *world, bool lose)
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
        step(world, first->to, &event);
    }
    free(first);
}

static void pass(struct world *world, unsigned node, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;
    while (world->now_ms < end_ms) {
        uint64_t next_ms = rh_core_deadline_ms(world->cores[node]);
        next_ms = next_ms < world->now_ms + 1 ? world->now_ms + 1 : next_ms;
        world->now_ms = next_ms < end_ms ? next_ms : end_ms;
        struct rh_event event = {.kind = RH_EVENT_TICK};
        step(world, node, &event);
    }
}

static const struct rh_position start = {0, 0};

static struct rh_position position(struct world *world, unsigned node, const char *key,
                                   uint64_t seq)
{
    inspect(world, node, 999, key);
    struct rh_position at = {.incarnation = world->actions.items[0].inspected.info.incarnation,
                             .seq = seq};
    world->trace[0] = '\0';
    return at;
}

/* ---- streams ---- */

static void a_stream_gets_what_is_published_after_it_came(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    publish(world, 0, 1, key, "a", "before");
    subscribe(world, 0, 1, key, NULL);
    publish(world, 0, 2, key, "b", "after");
    unsubscribe(world, 0, 1);
    publish(world, 0, 3, key, "c", "gone");
    expect(world, "n1 > published #1 seq=1 by n1 to 0\n"
                  "n1 > welcome s1 seq=1\n"
                  "n1 > message 2:after to s1\n"
                  "n1 > published #2 seq=2 by n1 to 1\n"
                  "n1 > published #3 seq=3 by n1 to 0\n");
}

static void a_stream_resumes_where_it_was(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    publish(world, 0, 1, key, "a", "one");
    publish(world, 0, 2, key, "b", "two");
    publish(world, 0, 3, key, "c", "three");
    struct rh_position after = position(world, 0, key, 1);
    subscribe(world, 0, 1, key, &after);
    subscribe(world, 0, 2, key, &start);
    publish(world, 0, 4, key, "d", "four");
    expect(world, "n1 > welcome s1 seq=1\n"
                  "n1 > message 2:two to s1\n"
                  "n1 > message 3:three to s1\n"
                  "n1 > welcome s2 seq=0\n"
                  "n1 > message 1:one to s2\n"
                  "n1 > message 2:two to s2\n"
                  "n1 > message 3:three to s2\n"
                  "n1 > message 4:four to s1 s2\n"
                  "n1 > published #4 seq=4 by n1 to 2\n");
}

static void a_position_that_is_lost_is_said_so_and_all_there_is_follows(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    for (uint64_t i = 1; i <= 7; i++) {
        char text[8];
        (void)snprintf(text, sizeof(text), "m%" PRIu64, i);
        publish(world, 0, i, key, text, text); /* the log keeps five: 3 to 7 */
    }
    struct rh_position trimmed = position(world, 0, key, 1);
    struct rh_position edge = position(world, 0, key, 2);
    struct rh_position ahead = position(world, 0, key, 8);
    struct rh_position foreign = {.incarnation = 77, .seq = 7};
    subscribe(world, 0, 0, key, &trimmed);
    unsubscribe(world, 0, 0);
    assert_non_null(strstr(world->trace, "n1 > welcome s0 seq=2 unrecovered\n"
                                         "n1 > message 3:m3 to s0\n"));
    world->trace[0] = '\0';
    subscribe(world, 0, 1, key, &edge);
    unsubscribe(world, 0, 1);
    assert_non_null(strstr(world->trace, "n1 > welcome s1 seq=2\n"
                                         "n1 > message 3:m3 to s1\n"));
    world->trace[0] = '\0';
    subscribe(world, 0, 2, key, &ahead);
    subscribe(world, 0, 3, key, &foreign);
    assert_non_null(strstr(world->trace, "n1 > welcome s2 seq=2 unrecovered\n"));
    assert_non_null(strstr(world->trace, "n1 > welcome s3 seq=2 unrecovered\n"));
}

static void a_long_replay_comes_in_batches_and_misses_nothing_published_meanwhile(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = options_of(0);
    options.log.messages_max = 1000;
    options.log.bytes_max = 1000000;
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    adopt(world, 0);
    for (uint64_t i = 1; i <= 150; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        publish(world, 0, i, key, id, "x");
        world->trace[0] = '\0';
    }
    subscribe(world, 0, 1, key, &start);
    uint64_t got = world->actions.count - 1;
    assert_int_equal(got, 64);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_REPLAYING);
    world->trace[0] = '\0';
    publish(world, 0, 151, key, "late", "x");
    expect(world, "n1 > published #151 seq=151 by n1 to 1\n");
    while (world->subs[1].state == RH_SUBSCRIPTION_REPLAYING) {
        struct rh_event event = {.kind = RH_EVENT_DRAINED, .subscription = &world->subs[1]};
        step(world, 0, &event);
        for (size_t i = 0; i < world->actions.count; i++) {
            got++;
            assert_int_equal(world->actions.items[i].deliver.entry->seq, got);
        }
        world->trace[0] = '\0';
    }
    assert_int_equal(got, 151);
    publish(world, 0, 152, key, "live", "x");
    expect(world, "n1 > message 152:x to s1\n"
                  "n1 > published #152 seq=152 by n1 to 1\n");
}

static void a_replay_that_the_log_outruns_ends_with_too_slow(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    struct rh_core_options options = options_of(0);
    options.log.messages_max = 70;
    options.log.bytes_max = 1000000;
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    adopt(world, 0);
    for (uint64_t i = 1; i <= 200; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        publish(world, 0, i, key, id, "x");
        world->trace[0] = '\0';
        if (i == 70) {
            subscribe(world, 0, 1, key, &start);
        }
    }
    world->trace[0] = '\0';
    struct rh_event event = {.kind = RH_EVENT_DRAINED, .subscription = &world->subs[1]};
    step(world, 0, &event);
    expect(world, "n1 > refused s1 too_slow\n");
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

static void a_stream_at_the_wrong_node_is_sent_to_the_owner(void **state)
{
    struct world *world = *state;
    subscribe(world, 0, 1, world->keys[1], NULL);
    subscribe(world, 3, 2, world->keys[2], NULL);
    expect(world, "n1 > redirect s1 to n2\n"
                  "n4 > redirect s2 to n3\n");
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

static void a_node_without_a_view_says_so(void **state)
{
    struct world *world = *state;
    struct rh_core_options options = options_of(0);
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    subscribe(world, 0, 1, "k", NULL);
    publish(world, 0, 1, "k", "a", "x");
    inspect(world, 0, 2, "k");
    read_from(world, 0, 2, "k", NULL, 10, 1000);
    expect(world, "n1 > refused s1 not_ready\n"
                  "n1 > published #1 not_ready\n"
                  "n1 > inspected #2 not_ready first=1 last=0 to 0\n"
                  "n1 > refused s2 not_ready\n");
}

static void a_view_without_weight_has_no_owner(void **state)
{
    struct world *world = *state;
    adopt_all(world, 0);
    world->trace[0] = '\0';
    subscribe(world, 0, 1, "k", NULL);
    publish(world, 0, 1, "k", "a", "x");
    expect(world, "n1 > refused s1 no_owner\n"
                  "n1 > published #1 no_owner\n");
}

/* ---- view changes ---- */

static void only_the_streams_whose_owner_changed_are_moved(void **state)
{
    struct world *world = *state;
    /* n1 serves its own key, and that of n4 while n4 has no weight. */
    uint32_t interim = rh_ring_owner(
        world->view->ring, rh_ring_hash(world->view->ring, world->keys[3], strlen(world->keys[3])));
    subscribe(world, interim, 0, world->keys[interim], NULL);
    subscribe(world, interim, 1, world->keys[3], NULL);
    subscribe(world, interim, 2, world->keys[3], NULL);
    publish(world, interim, 1, world->keys[3], "a", "x");
    world->trace[0] = '\0';
    make_view(world, 15);
    adopt(world, interim);
    const char *id = world->refs[interim].id;
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "%s > moved s1 to n4 at=1\n"
                   "%s > moved s2 to n4 at=1\n"
                   "%s > swept channels=1 connections=2\n",
                   id, id, id);
    expect(world, expected);
    assert_int_equal(world->subs[0].state, RH_SUBSCRIPTION_LIVE);
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_MOVED);
    assert_int_equal(rh_core_stats(world->cores[interim])->channels, 1);
    unsubscribe(world, interim, 1);
    unsubscribe(world, interim, 2);
}

static void a_moved_stream_finds_an_empty_log_and_is_told(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    subscribe(world, 0, 1, key, NULL);
    publish(world, 0, 1, key, "a", "x");
    struct rh_position at = position(world, 0, key, 1);
    make_view(world, 6); /* n1 has no weight any more */
    adopt(world, 0);
    unsubscribe(world, 0, 1);
    for (unsigned i = 1; i < NODES; i++) {
        adopt(world, i);
    }
    uint32_t owner =
        rh_ring_owner(world->view->ring, rh_ring_hash(world->view->ring, key, strlen(key)));
    world->trace[0] = '\0';
    subscribe(world, owner, 1, key, &at);
    publish(world, owner, 2, key, "b", "y");
    char expected[256];
    const char *id = world->refs[owner].id;
    (void)snprintf(expected, sizeof(expected),
                   "%s > welcome s1 seq=0 unrecovered\n"
                   "%s > message 1:y to s1\n"
                   "%s > published #2 seq=1 by %s to 1\n",
                   id, id, id, id);
    expect(world, expected);
}

static void a_sweep_takes_bounded_steps_and_stale_channels_are_not_served(void **state)
{
    struct world *world = *state;
    enum { CHANNELS = 1500 };
    struct rh_core_options options = options_of(0);
    options.channels_max = 10 * CHANNELS;
    rh_core_destroy(world->cores[0]);
    assert_int_equal(rh_core_create(&options, &world->cores[0]), 0);
    adopt_all(world, 1);
    char last[32] = "";
    for (unsigned i = 0; i < CHANNELS; i++) {
        (void)snprintf(last, sizeof(last), "c%u", i);
        publish(world, 0, i, last, "a", "x");
        world->trace[0] = '\0';
    }
    make_view(world, 2);
    adopt(world, 0);
    expect(world, "");
    assert_true(rh_core_is_sweeping(world->cores[0]));
    assert_int_equal(rh_core_deadline_ms(world->cores[0]), 0);
    read_from(world, 0, 1, last, &start, 10, 0);
    expect(world, "n1 > redirect s1 to n2\n");
    pass(world, 0, 2);
    expect(world, "n1 > swept channels=1500 connections=0\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, 0);
}

static void a_client_sent_by_a_later_view_waits_until_we_have_it(void **state)
{
    struct world *world = *state;
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1};
    subscribe_at(world, 3, 1, world->keys[3], NULL, later);
    subscribe_at(world, 3, 2, world->keys[0], NULL, later);
    expect(world, "n4 > catch up\n"
                  "n4 > catch up\n");
    make_view(world, 15);
    adopt(world, 3);
    expect(world, "n4 > swept channels=0 connections=0\n"
                  "n4 > welcome s1 seq=0\n"
                  "n4 > redirect s2 to n1\n");
}

static void a_client_does_not_wait_for_ever_for_a_view(void **state)
{
    struct world *world = *state;
    const struct rh_hop later = {.hops = 1, .has_epoch = true, .epoch = world->epoch + 1};
    subscribe_at(world, 3, 1, world->keys[3], NULL, later);
    subscribe_at(world, 3, 2, world->keys[3], NULL, later);
    unsubscribe(world, 3, 2);
    world->trace[0] = '\0';
    pass(world, 3, 1999);
    expect(world, "");
    pass(world, 3, 1);
    expect(world, "n4 > refused s1 catching_up\n");
}

/* ---- reads ---- */

static void a_read_gets_what_is_there_and_its_place(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    read_from(world, 0, 1, key, &start, 10, 0);
    read_from(world, 0, 1, key, NULL, 10, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    publish(world, 0, 1, key, "a", "one");
    publish(world, 0, 2, key, "b", "two");
    publish(world, 0, 3, key, "c", "three");
    world->trace[0] = '\0';
    read_from(world, 0, 1, key, &start, 2, 0);
    read_from(world, 0, 1, key, NULL, 2, 0);
    expect(world, "n1 > read s1 1:one 2:two at=2 more\n"
                  "n1 > read s1 at=3\n");
    struct rh_position after = position(world, 0, key, 2);
    read_from(world, 0, 1, key, &after, 2, 5000);
    expect(world, "n1 > read s1 3:three at=3\n");
}

static void a_read_of_no_channel_creates_none(void **state)
{
    struct world *world = *state;
    const struct rh_position lost = {.incarnation = 5, .seq = 5};
    read_from(world, 0, 1, world->keys[0], &start, 10, 0);
    read_from(world, 0, 1, world->keys[0], &lost, 10, 5000);
    expect(world, "n1 > read s1 at=0 absent\n"
                  "n1 > read s1 at=0 absent unrecovered\n");
    read_from(world, 0, 1, world->keys[0], &start, 10, 5000);
    inspect(world, 0, 1, world->keys[0]);
    unsubscribe(world, 0, 1);
    expect(world, "n1 > inspected #1 absent first=1 last=0 to 1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->channels_created, 0);
}

static void a_waiting_read_ends_with_the_message_it_waited_for(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    read_from(world, 0, 1, key, &start, 10, 5000);
    read_from(world, 0, 2, key, NULL, 10, 5000);
    publish(world, 0, 1, key, "a", "one");
    read_from(world, 0, 3, key, NULL, 10, 5000);
    publish(world, 0, 2, key, "b", "two");
    expect(world, "n1 > read s1 1:one at=1\n"
                  "n1 > read s2 1:one at=1\n"
                  "n1 > published #1 seq=1 by n1 to 2\n"
                  "n1 > read s3 2:two at=2\n"
                  "n1 > published #2 seq=2 by n1 to 1\n");
}

static void a_waiting_read_ends_empty_when_its_time_is_over(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    read_from(world, 0, 1, key, &start, 10, 3000);
    read_from(world, 0, 2, key, &start, 10, 60000);
    pass(world, 0, 2900);
    expect(world, "");
    pass(world, 0, 400);
    expect(world, "n1 > read s1 at=0 absent\n");
    pass(world, 0, 57000);
    expect(world, "n1 > read s2 at=0 absent\n");
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
    assert_int_equal(rh_core_stats(world->cores[0])->reads_waiting, 0);
}

static void a_waiting_read_is_redirected_when_its_channel_moves(void **state)
{
    struct world *world = *state;
    read_from(world, 0, 1, world->keys[0], &start, 10, 5000);
    adopt_all(world, 2);
    assert_non_null(strstr(world->trace, "n1 > redirect s1 to n2\n"));
    assert_int_equal(world->subs[1].state, RH_SUBSCRIPTION_FREE);
}

/* ---- publish ---- */

static void a_publish_with_the_same_id_is_answered_with_the_first_seq(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    subscribe(world, 0, 1, key, NULL);
    publish(world, 0, 1, key, "a", "x");
    publish(world, 0, 2, key, "b", "y");
    publish(world, 0, 3, key, "a", "x");
    expect(world, "n1 > welcome s1 seq=0\n"
                  "n1 > message 1:x to s1\n"
                  "n1 > published #1 seq=1 by n1 to 1\n"
                  "n1 > message 2:y to s1\n"
                  "n1 > published #2 seq=2 by n1 to 1\n"
                  "n1 > published #3 seq=1 by n1 to 1 duplicate\n");
}

static void an_id_is_recognised_after_its_message_was_trimmed(void **state)
{
    struct world *world = *state;
    const char *key = world->keys[0];
    for (uint64_t i = 1; i <= 9; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%" PRIu64, i);
        publish(world, 0, i, key, id, "x");
    }
    world->trace[0] = '\0';
    publish(world, 0, 10, key, "1", "x");
    expect(world, "n1 > published #10 seq=1 by n1 to 0 duplicate\n");
    world->now_ms += 5001;
    publish(world, 0, 11, key, "1", "x");
    expect(world, "n1 > published #11 seq=10 by n1 to 0\n");
}

static void publishes_without_id_are_each_a_message(void **state)
{
    struct world *world = *state;
    publish(world, 0, 1, world->keys[0], "", "x");
    publish(world, 0, 2, world->keys[0], "", "x");
    expect(world, "n1 > published #1 seq=1 by n1 to 0\n"
                  "n1 > published #2 seq=2 by n1 to 0\n");
}

static void a_publish_at_the_wrong_node_reaches_the_owners_streams(void **state)
{
    struct world *world = *state;
    subscribe(world, 1, 1, world->keys[1], NULL);
    publish(world, 0, 7, world->keys[1], "a", "x");
    deliver(world, false);
    deliver(world, false);
    expect(world, "n2 > welcome s1 seq=0\n"
                  "n1 > send publish to n2\n"
                  "n2 > message 1:x to s1\n"
                  "n2 > send publish_answer to n1\n"
                  "n1 > published #7 seq=1 by n2 to 1\n");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 0);
}

static void a_lost_answer_makes_the_request_be_sent_again_and_published_once(void **state)
{
    struct world *world = *state;
    publish(world, 0, 7, world->keys[1], "a", "x");
    deliver(world, false);
    deliver(world, true);
    world->trace[0] = '\0';
    pass(world, 0, 1100);
    expect(world, "n1 > send publish to n2\n");
    deliver(world, false);
    deliver(world, false);
    expect(world, "n2 > send publish_answer to n1\n"
                  "n1 > published #7 seq=1 by n2 to 0 duplicate\n");
}

static void a_request_waits_for_the_link_and_goes_when_it_is_up(void **state)
{
    struct world *world = *state;
    peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    publish(world, 0, 7, world->keys[1], "a", "x");
    expect(world, "");
    peer(world, RH_EVENT_PEER_UP, 0, 1);
    expect(world, "n1 > send publish to n2\n");
    peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    deliver(world, true);
    peer(world, RH_EVENT_PEER_UP, 0, 1);
    expect(world, "n1 > send publish to n2\n");
}

static void a_request_goes_to_the_next_owner_when_the_first_is_gone(void **state)
{
    struct world *world = *state;
    publish(world, 0, 7, world->keys[1], "a", "x");
    deliver(world, true);
    world->trace[0] = '\0';
    make_view(world, 1); /* only n1 has weight */
    adopt(world, 0);
    expect(world, "n1 > swept channels=0 connections=0\n"
                  "n1 > published #7 seq=1 by n1 to 0\n");
}

static void a_request_without_answer_is_unknown_and_not_refused(void **state)
{
    struct world *world = *state;
    peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    publish(world, 0, 7, world->keys[1], "a", "x");
    inspect(world, 0, 8, world->keys[1]);
    pass(world, 0, 2999);
    expect(world, "");
    pass(world, 0, 101);
    expect(world, "n1 > published #7 unknown_outcome\n"
                  "n1 > inspected #8 owner_unreachable first=1 last=0 to 0\n");
}

static void a_peer_with_a_later_view_waits_until_we_have_it(void **state)
{
    struct world *world = *state;
    make_view(world, 8); /* n4 owns everything; n4 does not know yet */
    adopt(world, 0);
    publish(world, 0, 7, world->keys[0], "a", "x");
    world->trace[0] = '\0';
    deliver(world, false);
    expect(world, "n4 > catch up\n");
    adopt(world, 3);
    expect(world, "n4 > swept channels=0 connections=0\n"
                  "n4 > send publish_answer to n1\n");
    deliver(world, false);
    expect(world, "n1 > published #7 seq=1 by n4 to 0\n");
}

static void a_peer_with_an_older_view_is_told_and_asks_the_right_node(void **state)
{
    struct world *world = *state;
    make_view(world, 5); /* without n2, which n1 does not know */
    adopt(world, 1);
    adopt(world, 2);
    publish(world, 0, 7, world->keys[1], "a", "x");
    world->trace[0] = '\0';
    deliver(world, false);
    deliver(world, false);
    expect(world, "n2 > send publish_answer to n1\n"
                  "n1 > catch up\n");
    adopt(world, 0);
    assert_non_null(strstr(world->trace, "n1 > "));
    bool local = strstr(world->trace, "published #7 seq=1 by n1") != NULL;
    if (!local) {
        deliver(world, false);
        deliver(world, false);
        assert_non_null(strstr(world->trace, "published #7 seq=1 by n3"));
    }
}

static void an_answer_of_an_older_view_is_asked_again(void **state)
{
    struct world *world = *state;
    publish(world, 0, 7, world->keys[3], "a", "x"); /* n4 has no weight: to somebody else */
    if (world->queue_count == 0) {
        return; /* n1 owns it itself: nothing to test with these keys */
    }
    unsigned owner = world->queue[0]->to;
    make_view(world, 15 & ~(1U << owner));
    adopt(world, owner); /* it has moved on, and is owner no more */
    deliver(world, false);
    make_view(world, 15 & ~8U);
    for (unsigned i = 0; i < NODES; i++) {
        adopt(world, i); /* and by now owns it again */
    }
    world->trace[0] = '\0';
    deliver(world, false); /* the old answer */
    deliver(world, false);
    deliver(world, false);
    assert_non_null(strstr(world->trace, "published #7 seq=1"));
}

static void an_answer_from_another_process_is_no_answer(void **state)
{
    struct world *world = *state;
    publish(world, 0, 7, world->keys[1], "a", "x");
    deliver(world, false);
    world->trace[0] = '\0';
    world->refs[1].instance++;
    deliver(world, false);
    expect(world, "");
    assert_int_equal(rh_core_stats(world->cores[0])->pending, 1);
}

static void an_inspect_is_answered_by_any_node(void **state)
{
    struct world *world = *state;
    subscribe(world, 1, 1, world->keys[1], NULL);
    publish(world, 1, 1, world->keys[1], "a", "x");
    world->trace[0] = '\0';
    inspect(world, 0, 5, world->keys[1]);
    inspect(world, 1, 6, world->keys[1]);
    deliver(world, false);
    deliver(world, false);
    expect(world, "n1 > send inspect to n2\n"
                  "n2 > inspected #6 exists first=1 last=1 to 1\n"
                  "n2 > send inspect_answer to n1\n"
                  "n1 > inspected #5 exists first=1 last=1 to 1\n");
}

static void limits_refuse_and_name_themselves(void **state)
{
    struct world *world = *state;
    char large[102];
    memset(large, 'x', sizeof(large));
    large[101] = '\0';
    publish(world, 0, 1, world->keys[0], "a", large);
    publish(world, 0, 2, world->keys[1], "a", large);
    large[100] = '\0';
    publish(world, 0, 3, world->keys[0], "a", large);
    expect(world, "n1 > published #1 too_large\n"
                  "n1 > published #2 too_large\n"
                  "n1 > published #3 seq=1 by n1 to 0\n");
    peer(world, RH_EVENT_PEER_DOWN, 0, 1);
    for (uint64_t i = 0; i < 5; i++) {
        publish(world, 0, 10 + i, world->keys[1], "", "x");
    }
    expect(world, "n1 > published #14 overloaded\n");
    adopt_all(world, 8);
    world->trace[0] = '\0';
    for (uint64_t i = 0; i < 101; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%" PRIu64, i);
        world->trace[0] = '\0';
        publish(world, 3, i, key, "a", "x");
    }
    expect(world, "n4 > published #100 channels_full\n");
}

static void an_idle_channel_is_reclaimed_and_one_in_use_is_not(void **state)
{
    struct world *world = *state;
    subscribe(world, 0, 1, world->keys[0], NULL);
    adopt_all(world, 1);
    publish(world, 0, 1, "idle", "a", "x");
    pass(world, 0, 9000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 2);
    pass(world, 0, 3000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 1);
    assert_int_equal(rh_core_stats(world->cores[0])->channels_reclaimed, 1);
    assert_int_equal(rh_core_stats(world->cores[0])->log_bytes, 0);
    unsubscribe(world, 0, 1);
    pass(world, 0, 12000);
    assert_int_equal(rh_core_stats(world->cores[0])->channels, 0);
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(a_stream_gets_what_is_published_after_it_came),
        CORE_TEST(a_stream_resumes_where_it_was),
        CORE_TEST(a_position_that_is_lost_is_said_so_and_all_there_is_follows),
        CORE_TEST(a_long_replay_comes_in_batches_and_misses_nothing_published_meanwhile),
        CORE_TEST(a_replay_that_the_log_outruns_ends_with_too_slow),
        CORE_TEST(a_stream_at_the_wrong_node_is_sent_to_the_owner),
        CORE_TEST(a_node_without_a_view_says_so),
        CORE_TEST(a_view_without_weight_has_no_owner),
        CORE_TEST(only_the_streams_whose_owner_changed_are_moved),
        CORE_TEST(a_moved_stream_finds_an_empty_log_and_is_told),
        CORE_TEST(a_sweep_takes_bounded_steps_and_stale_channels_are_not_served),
        CORE_TEST(a_client_sent_by_a_later_view_waits_until_we_have_it),
        CORE_TEST(a_client_does_not_wait_for_ever_for_a_view),
        CORE_TEST(a_read_gets_what_is_there_and_its_place),
        CORE_TEST(a_read_of_no_channel_creates_none),
        CORE_TEST(a_waiting_read_ends_with_the_message_it_waited_for),
        CORE_TEST(a_waiting_read_ends_empty_when_its_time_is_over),
        CORE_TEST(a_waiting_read_is_redirected_when_its_channel_moves),
        CORE_TEST(a_publish_with_the_same_id_is_answered_with_the_first_seq),
        CORE_TEST(an_id_is_recognised_after_its_message_was_trimmed),
        CORE_TEST(publishes_without_id_are_each_a_message),
        CORE_TEST(a_publish_at_the_wrong_node_reaches_the_owners_streams),
        CORE_TEST(a_lost_answer_makes_the_request_be_sent_again_and_published_once),
        CORE_TEST(a_request_waits_for_the_link_and_goes_when_it_is_up),
        CORE_TEST(a_request_goes_to_the_next_owner_when_the_first_is_gone),
        CORE_TEST(a_request_without_answer_is_unknown_and_not_refused),
        CORE_TEST(a_peer_with_a_later_view_waits_until_we_have_it),
        CORE_TEST(a_peer_with_an_older_view_is_told_and_asks_the_right_node),
        CORE_TEST(an_answer_of_an_older_view_is_asked_again),
        CORE_TEST(an_answer_from_another_process_is_no_answer),
        CORE_TEST(an_inspect_is_answered_by_any_node),
        CORE_TEST(limits_refuse_and_name_themselves),
        CORE_TEST(an_idle_channel_is_reclaimed_and_one_in_use_is_not),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
