/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Four cores, clients, lossy links and changing views in a random order, and laws that are checked
 * after every step:
 *
 *   - a stream gets consecutive seqs of one incarnation, and a seq of an incarnation is always the
 *     same message;
 *   - a message id has one seq in an incarnation; what was refused is in none;
 *   - every request is answered, once, and in time;
 *   - the counters of a core are what its lists hold, and after a sweep it holds only what it owns.
 *
 *   core_random_test           many seeds, a few seconds
 *   core_random_test SEED      that one again
 */

#define NODES        4
#define SUBS         24
#define VIEWS_MAX    256
#define KEYS_MAX     4000
#define QUEUE_MAX    64
#define REQUESTS_MAX 16384
#define HISTORIES    16384 /* a power of two, above the incarnations of a run */
#define SEQS_MAX     1024

#define FORWARD_TIMEOUT_MS  3000
#define CATCH_UP_TIMEOUT_MS 2000
#define DEDUP_AGE_MS        12000
#define CHANNEL_IDLE_MS     5000
#define TICK_LATE_MS        400
#define MESSAGE_AGE_MS      2000 /* a link that holds one longer is taken for dead */
/* A publish may be retried for so long that its last sending still finds its id. */
#define RETRY_AGE_MS (DEDUP_AGE_MS - 2 * FORWARD_TIMEOUT_MS - MESSAGE_AGE_MS - TICK_LATE_MS)

struct envelope {
    uint64_t sent_ms;
    struct rh_node_ref from;
    struct rh_node_ref to;
    struct rh_peer_message message;
    char bytes[512];
};

/* Messages from one node to another, in order. */
struct pipe {
    bool up; /* as the sender knows it */
    size_t count;
    struct envelope *queue[QUEUE_MAX];
};

/* A message that somebody publishes, maybe several times. */
struct publication {
    char id[16];
    unsigned key;
    uint64_t first_ms;
    unsigned waiting; /* attempts without answer */
    bool maybe;       /* an attempt was acknowledged, or its outcome is not known */
};

struct request {
    bool answered;
    bool is_inspect;
    unsigned node;
    size_t publication;
    uint64_t begun_ms;
};

/* What was seen of one incarnation: which publication each seq is. */
struct history {
    uint64_t incarnation;
    uint64_t seq_max;
    uint16_t *publications; /* by seq, 0: not seen, else index + 1 */
};

struct client {
    struct rh_subscription subscription;
    unsigned node;
    unsigned key;
    bool has_after;
    struct rh_position after;
    uint64_t incarnation; /* of a stream that was welcomed */
    uint64_t seq;         /* last one it got, or was told it will not get */
    uint64_t late_ms;     /* when a read, or one that catches up, must be over */
};

struct node {
    struct rh_core *core;
    struct rh_core_options options;
    struct rh_node_ref ref;
    size_t view; /* adopted: index + 1, 0: none */
};

struct run {
    uint64_t seed;
    uint64_t random;
    unsigned steps;
    uint64_t now_ms;
    unsigned keys_count;
    struct node nodes[NODES];
    struct pipe pipes[NODES][NODES];
    struct client clients[SUBS];
    struct rh_actions actions;
    struct rh_view *views[VIEWS_MAX];
    size_t views_count;
    struct request requests[REQUESTS_MAX];
    uint64_t requests_count;
    struct publication publications[REQUESTS_MAX];
    size_t publications_count;
    struct history histories[HISTORIES];
    uint64_t acknowledged; /* to see that something happened */
    uint64_t delivered;
    uint64_t moved;
};

static uint64_t only_seed;

#define LAW(run, condition)                                                                   \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fail_msg("seed %" PRIu64 ", step %u: %s", (run)->seed, (run)->steps, #condition); \
        }                                                                                     \
    } while (0)

/* splitmix64 */
static uint64_t draw(struct run *run)
{
    run->random += 0x9e3779b97f4a7c15U;
    uint64_t z = run->random;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static unsigned below(struct run *run, unsigned bound)
{
    return (unsigned)(draw(run) % bound);
}

static bool chance(struct run *run, unsigned percent)
{
    return below(run, 100) < percent;
}

static struct rh_bytes key_text(unsigned key, char out[static 16])
{
    return rh_bytes(out, (size_t)snprintf(out, 16, "key:%u", key));
}

/* ---- what was seen of channels ---- */

static struct history *history_of(struct run *run, uint64_t incarnation)
{
    size_t at = (size_t)incarnation & (HISTORIES - 1);
    while (run->histories[at].incarnation != 0 && run->histories[at].incarnation != incarnation) {
        at = (at + 1) & (HISTORIES - 1);
    }
    struct history *history = &run->histories[at];
    if (history->incarnation == 0) {
        history->incarnation = incarnation;
        history->publications = calloc(SEQS_MAX, sizeof(history->publications[0]));
        assert_non_null(history->publications);
    }
    return history;
}

/* Message |seq| of the incarnation is the publication of that index. */
static void saw(struct run *run, uint64_t incarnation, uint64_t seq, size_t publication)
{
    struct history *history = history_of(run, incarnation);
    LAW(run, incarnation != 0);
    LAW(run, seq >= 1 && seq < SEQS_MAX);
    uint16_t *place = &history->publications[seq];
    if (*place != 0) {
        LAW(run, *place == publication + 1);
        return;
    }
    const struct publication *seen = &run->publications[publication];
    LAW(run, seen->maybe || seen->waiting > 0); /* else all who asked for it were refused */
    for (uint64_t other = 1; other <= history->seq_max; other++) {
        LAW(run, history->publications[other] != publication + 1);
    }
    *place = (uint16_t)(publication + 1);
    history->seq_max = seq > history->seq_max ? seq : history->seq_max;
}

static void saw_entry(struct run *run, unsigned key, uint64_t incarnation,
                      const struct rh_entry *entry)
{
    char id[16] = "";
    LAW(run, entry->id_size < sizeof(id));
    memcpy(id, entry->data, entry->id_size);
    size_t publication = (size_t)strtoul(id + 1, NULL, 10);
    LAW(run, publication < run->publications_count);
    LAW(run, run->publications[publication].key == key);
    LAW(run, strcmp(run->publications[publication].id, id) == 0);
    LAW(run, rh_bytes_equal(rh_entry_id(entry), rh_entry_payload(entry).bytes));
    saw(run, incarnation, entry->seq, publication);
}

/* ---- what comes out of cores ---- */

static struct client *client_of(struct rh_subscription *subscription)
{
    return rh_container_of(subscription, struct client, subscription);
}

/* Whether the view that |node| is in gives the key to it. */
static bool owns(const struct run *run, unsigned node, unsigned key)
{
    char text[16];
    const struct rh_core *core = run->nodes[node].core;
    struct rh_bytes bytes = key_text(key, text);
    uint64_t hash = rh_ring_hash(core->view->ring, bytes.data, bytes.size);
    return core->self != RH_RING_NONE && rh_ring_owner(core->view->ring, hash) == core->self;
}

static void on_welcome(struct run *run, const struct rh_action *action)
{
    struct client *client = client_of(action->welcome.subscription);
    LAW(run, owns(run, client->node, client->key));
    client->incarnation = action->welcome.incarnation;
    client->seq = action->welcome.seq;
    LAW(run, client->incarnation != 0);
    if (client->has_after && client->after.incarnation != 0 && action->welcome.recovered) {
        LAW(run, client->after.incarnation == client->incarnation);
        LAW(run, client->after.seq == client->seq);
    }
}

static void on_entry(struct run *run, struct client *client, const struct rh_action *action)
{
    LAW(run, action->deliver.incarnation == client->incarnation);
    LAW(run, action->deliver.entry->seq == client->seq + 1);
    client->seq++;
    run->delivered++;
    saw_entry(run, client->key, client->incarnation, action->deliver.entry);
}

static void on_deliver_all(struct run *run, const struct rh_action *action)
{
    const struct rh_channel *channel = action->deliver.channel;
    for (struct rh_subscription *at = rh_channel_live_next(channel, NULL, action->deliver.entry);
         at != NULL; at = rh_channel_live_next(channel, at, action->deliver.entry)) {
        on_entry(run, client_of(at), action);
    }
}

static void on_moved(struct run *run, const struct rh_action *action)
{
    struct client *client = client_of(action->moved.subscription);
    LAW(run, client->subscription.state == RH_SUBSCRIPTION_MOVED);
    LAW(run, action->moved.position.incarnation == client->incarnation);
    LAW(run, action->moved.position.seq == client->seq);
    LAW(run, strcmp(action->moved.node->id, run->nodes[client->node].ref.id) != 0 ||
                 action->moved.node->instance != run->nodes[client->node].ref.instance);
    run->moved++;
}

static void on_read(struct run *run, const struct rh_action *action)
{
    const struct client *client = client_of(action->read.subscription);
    uint64_t incarnation = action->read.incarnation;
    LAW(run, client->subscription.state == RH_SUBSCRIPTION_FREE);
    LAW(run, action->read.count <= client->subscription.limit);
    LAW(run, !action->read.more || action->read.count > 0);
    LAW(run, action->read.position.incarnation == incarnation);
    for (uint32_t i = 0; i < action->read.count; i++) {
        const struct rh_entry *entry = action->read.entries[i];
        LAW(run, entry->seq == action->read.position.seq - action->read.count + 1 + i);
        saw_entry(run, client->key, incarnation, entry);
    }
    if (client->has_after && client->after.incarnation != 0 && action->read.recovered) {
        LAW(run, client->after.incarnation == incarnation);
        LAW(run, client->after.seq == action->read.position.seq - action->read.count);
    }
}

static struct request *take_answer(struct run *run, unsigned node, uint64_t number, bool is_inspect)
{
    LAW(run, number < run->requests_count);
    struct request *request = &run->requests[number];
    LAW(run, request->node == node);
    LAW(run, request->is_inspect == is_inspect);
    LAW(run, !request->answered);
    LAW(run, run->now_ms - request->begun_ms <= FORWARD_TIMEOUT_MS + 2 * TICK_LATE_MS);
    request->answered = true;
    return request;
}

static void on_published(struct run *run, unsigned node, const struct rh_action *action)
{
    struct request *request = take_answer(run, node, action->published.request, false);
    struct publication *publication = &run->publications[request->publication];
    const struct rh_publish_result *result = &action->published.result;
    publication->waiting--;
    publication->maybe |=
        result->refusal == RH_REFUSAL_NONE || result->refusal == RH_REFUSAL_UNKNOWN;
    if (result->refusal == RH_REFUSAL_NONE) {
        run->acknowledged++;
        saw(run, result->incarnation, result->seq, request->publication);
    }
}

static char *put_bytes(char *out, struct rh_bytes *bytes)
{
    if (bytes->size > 0) {
        memcpy(out, bytes->data, bytes->size);
        bytes->data = out;
    }
    return out + bytes->size;
}

static struct envelope *enclose(const struct rh_node_ref *from, const struct rh_action *action)
{
    struct envelope *envelope = calloc(1, sizeof(*envelope));
    assert_non_null(envelope);
    envelope->from = *from;
    envelope->to = action->send.to;
    envelope->message = action->send.message;
    struct rh_peer_message *message = &envelope->message;
    char *out = envelope->bytes;
    if (message->kind == RH_PEER_PUBLISH) {
        out = put_bytes(out, &message->publish.key);
        out = put_bytes(out, &message->publish.id);
        (void)put_bytes(out, &message->publish.payload.bytes);
        assert_true(message->publish.deadline_ms <= FORWARD_TIMEOUT_MS);
    } else if (message->kind == RH_PEER_INSPECT) {
        (void)put_bytes(out, &message->inspect.key);
    } else if (message->kind == RH_PEER_PUBLISH_ANSWER) {
        (void)put_bytes(out, &message->publish_answer.code);
    } else {
        (void)put_bytes(out, &message->inspect_answer.code);
    }
    return envelope;
}

static void on_send(struct run *run, unsigned node, const struct rh_action *action)
{
    unsigned to = (unsigned)(action->send.to.id[1] - '1');
    struct pipe *pipe = &run->pipes[node][to];
    bool stands = pipe->up && action->send.to.instance == run->nodes[to].ref.instance;
    if (stands && pipe->count < QUEUE_MAX) {
        struct envelope *envelope = enclose(&run->nodes[node].ref, action);
        envelope->sent_ms = run->now_ms;
        pipe->queue[pipe->count++] = envelope;
    }
}

static void perform(struct run *run, unsigned node, const struct rh_action *action)
{
    switch (action->kind) {
    case RH_ACTION_WELCOME:
        on_welcome(run, action);
        return;
    case RH_ACTION_DELIVER:
        on_entry(run, client_of(action->deliver.subscription), action);
        return;
    case RH_ACTION_DELIVER_ALL:
        on_deliver_all(run, action);
        return;
    case RH_ACTION_MOVED:
        on_moved(run, action);
        return;
    case RH_ACTION_REDIRECT:
        LAW(run, action->moved.subscription->state == RH_SUBSCRIPTION_FREE);
        return;
    case RH_ACTION_REFUSED:
        LAW(run, action->refused.subscription->state == RH_SUBSCRIPTION_FREE);
        return;
    case RH_ACTION_READ_DONE:
        on_read(run, action);
        return;
    case RH_ACTION_PUBLISHED:
        on_published(run, node, action);
        return;
    case RH_ACTION_INSPECTED:
        (void)take_answer(run, node, action->inspected.request, true);
        return;
    case RH_ACTION_STATE:
    case RH_ACTION_CHANGED:
    case RH_ACTION_PRESENCE:
    case RH_ACTION_PRESENT:
    case RH_ACTION_FOLLOWED:
    case RH_ACTION_FOLLOWERS:
        fail_msg("nobody asked for that");
        return;
    case RH_ACTION_GOES_ON:
        fail_msg("nobody is relayed");
        return;
    case RH_ACTION_SEND:
        on_send(run, node, action);
        return;
    case RH_ACTION_CATCH_UP:
    case RH_ACTION_SWEPT:
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

/* ---- laws about a core between steps ---- */

static size_t length(const struct rh_list *list)
{
    size_t count = 0;
    rh_list_each ((struct rh_list *)(uintptr_t)list, link) {
        count++;
    }
    return count;
}

struct totals {
    size_t channels;
    size_t streams;
    size_t reads;
    uint64_t log_bytes;
    uint64_t ids;
};

static void check_audience(struct run *run, const struct rh_channel *channel)
{
    rh_list_each (&channel->audience->live, link) {
        const struct client *live = client_of(rh_container_of(link, struct rh_subscription, link));
        LAW(run, live->subscription.state == RH_SUBSCRIPTION_LIVE);
        LAW(run, live->subscription.next_seq == channel->seq + 1);
        LAW(run, live->seq == channel->seq);
    }
}

static void check_waiters(struct run *run, const struct rh_channel *channel)
{
    rh_list_each (&channel->waiters->reads, link) {
        const struct rh_subscription *waiting = rh_container_of(link, struct rh_subscription, link);
        struct rh_resume resume = rh_channel_resume(channel, waiting->has_after, waiting->after);
        LAW(run, channel->incarnation == 0 || (resume.recovered && resume.next_seq > channel->seq));
    }
}

static void check_channel(struct run *run, const struct node *node,
                          const struct rh_channel *channel, struct totals *totals)
{
    const struct rh_core *core = node->core;
    const struct rh_audience *audience = channel->audience;
    const struct rh_waiters *waiters = channel->waiters;
    size_t streams = 0;
    size_t reads = 0;
    if (audience != NULL) {
        streams = length(&audience->replaying) + length(&audience->live);
        check_audience(run, channel);
    }
    LAW(run, channel->streams_count == streams);
    if (waiters != NULL) {
        reads = length(&waiters->reads);
        LAW(run, waiters->reads_count == reads);
        LAW(run, waiters->held_count == 0 && waiters->requests_count == 0);
        check_waiters(run, channel);
    }
    LAW(run, channel->incarnation != 0 || (streams == 0 && reads > 0));
    LAW(run, channel->log == NULL || channel->log->messages <= node->options.log.messages_max);
    LAW(run, channel->commit == channel->op);
    if (!core->sweeping && core->view != NULL) {
        uint32_t owner = rh_ring_owner(core->view->ring, channel->hash);
        LAW(run, owner == core->self || owner == RH_RING_NONE);
    }
    totals->channels++;
    totals->streams += streams;
    totals->reads += reads;
    totals->log_bytes += channel->log == NULL ? 0 : channel->log->bytes;
    totals->ids += rh_id_window_count(channel->ids);
}

static void check_core(struct run *run, const struct node *node)
{
    struct rh_core *core = node->core;
    struct totals totals = {0};
    rh_list_each (&core->swept, link) {
        check_channel(run, node, rh_container_of(link, struct rh_channel, list_link), &totals);
    }
    rh_list_each (&core->unswept, link) {
        check_channel(run, node, rh_container_of(link, struct rh_channel, list_link), &totals);
    }
    const struct rh_core_stats *stats = rh_core_stats(core);
    LAW(run, core->channels.count == totals.channels);
    LAW(run, stats->channels == totals.channels);
    LAW(run, stats->channels <= node->options.channels_max);
    LAW(run, stats->streams == totals.streams);
    LAW(run, stats->reads_waiting == totals.reads);
    LAW(run, stats->log_bytes == totals.log_bytes);
    LAW(run, stats->ids == totals.ids);
    LAW(run, stats->pending == length(&core->pending));
    LAW(run, stats->pending == core->pending_table.count);
    LAW(run, stats->pending <= node->options.pending_max);
    LAW(run, (stats->pending == 0) == (core->pending_bytes == 0));
    LAW(run, core->sweeping || rh_list_empty(&core->unswept));
}

static void check_time(struct run *run)
{
    for (size_t i = 0; i < SUBS; i++) {
        const struct client *client = &run->clients[i];
        bool waits = client->subscription.state == RH_SUBSCRIPTION_WAITING ||
                     client->subscription.state == RH_SUBSCRIPTION_CATCHING_UP;
        LAW(run, !waits || run->now_ms <= client->late_ms);
    }
}

/* ---- what happens ---- */

static void step(struct run *run, unsigned node, struct rh_event *event)
{
    event->now_ms = run->now_ms;
    event->time_ms = (int64_t)run->now_ms;
    rh_core_step(run->nodes[node].core, event, &run->actions);
    for (size_t i = 0; i < run->actions.count; i++) {
        perform(run, node, &run->actions.items[i]);
    }
    if (run->keys_count < 100 || run->steps % 64 == 0) {
        check_core(run, &run->nodes[node]);
    }
}

static void tick(struct run *run, unsigned node)
{
    struct rh_event event = {.kind = RH_EVENT_TICK};
    step(run, node, &event);
}

/* The first message of a pipe arrives, or is lost. */
static void pass_on(struct run *run, unsigned from, unsigned to, bool lose)
{
    struct pipe *pipe = &run->pipes[from][to];
    struct envelope *first = pipe->queue[0];
    pipe->count--;
    memmove(&pipe->queue[0], &pipe->queue[1], pipe->count * sizeof(pipe->queue[0]));
    lose |= run->now_ms - first->sent_ms > MESSAGE_AGE_MS;
    if (!lose && rh_node_ref_equal(&first->to, &run->nodes[to].ref)) {
        struct rh_event event = {
            .kind = RH_EVENT_PEER_MESSAGE,
            .peer_message = {.from = first->from, .message = &first->message},
        };
        step(run, to, &event);
    }
    free(first);
}

static void set_link(struct run *run, unsigned from, unsigned to, bool up)
{
    struct pipe *pipe = &run->pipes[from][to];
    if (pipe->up == up || from == to) {
        return;
    }
    pipe->up = up;
    while (!up && pipe->count > 0) {
        pass_on(run, from, to, chance(run, 50));
    }
    struct rh_event event = {.kind = up ? RH_EVENT_PEER_UP : RH_EVENT_PEER_DOWN,
                             .peer = run->nodes[to].ref};
    step(run, from, &event);
}

static void make_view(struct run *run, bool all)
{
    struct rh_registration members[NODES];
    int64_t czxids[NODES];
    size_t count = 0;
    const struct rh_shared_config config = {
        .generation = 1, .format = 1, .vnodes = 16, .replicas = 2, .seed = run->seed};
    if (run->views_count == VIEWS_MAX) {
        return;
    }
    for (unsigned i = 0; i < NODES; i++) {
        if (!all && chance(run, 15)) {
            continue;
        }
        members[count] = (struct rh_registration){
            .instance = run->nodes[i].ref.instance,
            .weight_milli = !all && chance(run, 25) ? 0 : RH_RING_WEIGHT_ONE,
        };
        memcpy(members[count].id, run->nodes[i].ref.id, RH_NODE_ID_SIZE);
        czxids[count] = (int64_t)count + 1;
        count++;
    }
    const struct rh_epoch epoch = {.generation = 1, .pzxid = (int64_t)run->views_count + 1};
    assert_int_equal(
        rh_view_create(epoch, &config, members, czxids, count, &run->views[run->views_count]), 0);
    run->views_count++;
}

/* |node| adopts the view of that index, if it is later than its own. */
static void adopt(struct run *run, unsigned node, size_t index)
{
    if (index + 1 <= run->nodes[node].view) {
        return;
    }
    run->nodes[node].view = index + 1;
    struct rh_event event = {.kind = RH_EVENT_VIEW, .view = run->views[index]};
    step(run, node, &event);
}

static void create_core(struct run *run, unsigned index)
{
    struct node *node = &run->nodes[index];
    node->options.instance = draw(run) | 1;
    node->options.seed = draw(run);
    node->options.secret = draw(run);
    node->ref.instance = node->options.instance;
    node->view = 0;
    assert_int_equal(rh_core_create(&node->options, &node->core), 0);
}

/* The process dies, with its clients and requests, and comes back knowing nothing. */
static void restart(struct run *run, unsigned index)
{
    for (unsigned other = 0; other < NODES; other++) {
        set_link(run, other, index, false);
        run->pipes[index][other].up = false;
    }
    for (size_t i = 0; i < SUBS; i++) {
        struct client *client = &run->clients[i];
        if (client->node == index && client->subscription.state != RH_SUBSCRIPTION_FREE) {
            struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                     .subscription = &client->subscription};
            step(run, index, &event);
        }
    }
    for (uint64_t i = 0; i < run->requests_count; i++) {
        struct request *request = &run->requests[i];
        if (request->node == index && !request->answered) {
            request->answered = true;
            if (!request->is_inspect) {
                run->publications[request->publication].waiting--;
                run->publications[request->publication].maybe = true;
            }
        }
    }
    rh_actions_finish(&run->actions);
    rh_core_destroy(run->nodes[index].core);
    create_core(run, index);
}

static struct rh_position some_position(struct run *run, const struct client *client)
{
    switch (below(run, 4)) {
    case 0:
        return (struct rh_position){0};
    case 1:
        return (struct rh_position){.incarnation = draw(run) | 1, .seq = below(run, 20)};
    default:
        return (struct rh_position){.incarnation = client->incarnation, .seq = client->seq};
    }
}

/* A stream or read of a client that is free; mostly it comes back to its key, with its position. */
static void come(struct run *run, bool is_read)
{
    struct client *client = &run->clients[below(run, SUBS)];
    char text[16];
    if (client->subscription.state != RH_SUBSCRIPTION_FREE) {
        return;
    }
    client->node = below(run, NODES);
    if (chance(run, 30)) {
        client->key = below(run, run->keys_count);
    }
    client->has_after = chance(run, 70);
    client->after = some_position(run, client);
    uint32_t wait_ms = chance(run, 50) ? 0 : below(run, 5000);
    bool sent = chance(run, 30);
    struct rh_event event = {
        .kind = is_read ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &client->subscription,
                      .key = key_text(client->key, text),
                      .has_after = client->has_after,
                      .after = client->after,
                      .hop = {.hops = sent, .has_epoch = sent, .epoch = (int64_t)run->views_count},
                      .limit = 1 + below(run, 8),
                      .wait_ms = is_read ? wait_ms : 0},
    };
    client->late_ms = run->now_ms + CATCH_UP_TIMEOUT_MS + wait_ms + 2 * TICK_LATE_MS;
    step(run, client->node, &event);
}

static void leave(struct run *run)
{
    struct client *client = &run->clients[below(run, SUBS)];
    if (client->subscription.state != RH_SUBSCRIPTION_FREE) {
        struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                 .subscription = &client->subscription};
        step(run, client->node, &event);
        LAW(run, client->subscription.state == RH_SUBSCRIPTION_FREE);
    }
}

static void drain(struct run *run, struct client *client)
{
    if (client->subscription.state == RH_SUBSCRIPTION_REPLAYING) {
        struct rh_event event = {.kind = RH_EVENT_DRAINED, .subscription = &client->subscription};
        step(run, client->node, &event);
    }
}

/* A new request of |node|; NULL when there were enough. */
static struct request *ask(struct run *run, unsigned node, bool is_inspect)
{
    if (run->requests_count == REQUESTS_MAX) {
        return NULL;
    }
    struct request *request = &run->requests[run->requests_count++];
    *request = (struct request){.is_inspect = is_inspect, .node = node, .begun_ms = run->now_ms};
    return request;
}

/* Publishes something new, or what was published lately once more. */
static void publish(struct run *run, unsigned node, unsigned key)
{
    char text[16];
    size_t index = run->publications_count;
    struct publication *publication = &run->publications[index];
    if (index > 0 && chance(run, 40)) {
        index -= 1 + below(run, index < 10 ? (unsigned)index : 10);
        struct publication *before = &run->publications[index];
        if (run->now_ms - before->first_ms < RETRY_AGE_MS) {
            publication = before;
        }
    }
    struct request *request = ask(run, node, false);
    if (request == NULL) {
        return;
    }
    if (publication == &run->publications[run->publications_count]) {
        index = run->publications_count++;
        publication->key = key;
        publication->first_ms = run->now_ms;
        (void)snprintf(publication->id, sizeof(publication->id), "p%zu", index);
    }
    request->publication = index;
    publication->waiting++;
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = run->requests_count - 1,
                    .key = key_text(publication->key, text),
                    .id = rh_bytes_text(publication->id),
                    .payload = {.bytes = rh_bytes_text(publication->id)}},
    };
    step(run, request->node, &event);
}

static void inspect(struct run *run)
{
    char text[16];
    struct request *request = ask(run, below(run, NODES), true);
    if (request != NULL) {
        struct rh_event event = {
            .kind = RH_EVENT_INSPECT,
            .inspect = {.request = run->requests_count - 1,
                        .key = key_text(below(run, run->keys_count), text)},
        };
        step(run, request->node, &event);
    }
}

/* Time passes, and each core gets the ticks that it wants, a little late. */
static void pass_time(struct run *run, unsigned ms)
{
    run->now_ms += ms;
    for (unsigned i = 0; i < NODES; i++) {
        if (rh_core_deadline_ms(run->nodes[i].core) <= run->now_ms) {
            tick(run, i);
        }
    }
    check_time(run);
}

static void some_message(struct run *run)
{
    unsigned from = below(run, NODES);
    unsigned to = below(run, NODES);
    if (run->pipes[from][to].count > 0) {
        pass_on(run, from, to, chance(run, 10));
    }
}

static void some_view(struct run *run)
{
    if (chance(run, 25)) {
        make_view(run, chance(run, 30));
    }
    size_t back = chance(run, 70) ? 0 : below(run, 3);
    size_t last = run->views_count - 1;
    adopt(run, below(run, NODES), back > last ? 0 : last - back);
}

static void something(struct run *run)
{
    unsigned dice = below(run, 100);
    if (dice < 30) {
        some_message(run);
    } else if (dice < 50) {
        publish(run, below(run, NODES), below(run, run->keys_count));
    } else if (dice < 62) {
        come(run, false);
    } else if (dice < 70) {
        come(run, true);
    } else if (dice < 74) {
        leave(run);
    } else if (dice < 80) {
        drain(run, &run->clients[below(run, SUBS)]);
    } else if (dice < 83) {
        inspect(run);
    } else if (dice < 88) {
        some_view(run);
    } else if (dice < 92) {
        set_link(run, below(run, NODES), below(run, NODES), chance(run, 75));
    } else if (dice < 98) {
        pass_time(run, below(run, TICK_LATE_MS));
    } else if (chance(run, 10)) {
        restart(run, below(run, NODES));
    }
}

/* ---- a run ---- */

static struct rh_core_options options_of(const struct run *run, unsigned index)
{
    struct rh_core_options options = {
        .log = {.messages_max = 6, .bytes_max = 40, .age_ms_max = 9000},
        .channels_max = run->keys_count / 2 + 1,
        .channel_idle_ms = CHANNEL_IDLE_MS,
        .dedup_age_ms = DEDUP_AGE_MS,
        .dedup_ids_max = 100000,
        .payload_size_max = 100,
        .batch_size_max = 500,
        .forward_timeout_ms = FORWARD_TIMEOUT_MS,
        .catch_up_timeout_ms = CATCH_UP_TIMEOUT_MS,
        .pending_max = 6,
        .pending_bytes_max = 100000,
    };
    (void)snprintf(options.id, sizeof(options.id), "n%u", index + 1);
    return options;
}

static void begin(struct run *run, uint64_t seed)
{
    run->seed = seed;
    run->random = seed;
    run->now_ms = 1000;
    /* Sweeps take more than one step when there are many channels. */
    run->keys_count = seed % 8 == 0 ? KEYS_MAX : 3 + below(run, 12);
    for (size_t i = 0; i < SUBS; i++) {
        rh_subscription_init(&run->clients[i].subscription);
    }
    for (unsigned i = 0; i < NODES; i++) {
        run->nodes[i].options = options_of(run, i);
        memcpy(run->nodes[i].ref.id, run->nodes[i].options.id, RH_NODE_ID_SIZE);
        create_core(run, i);
    }
    make_view(run, true);
    if (run->keys_count == KEYS_MAX) {
        for (unsigned i = 0; i < NODES; i++) {
            adopt(run, i, 0);
        }
        for (unsigned key = 0; key < KEYS_MAX; key++) {
            for (unsigned i = 0; i < NODES; i++) {
                if (owns(run, i, key)) {
                    publish(run, i, key);
                }
            }
        }
    }
}

/* Everybody can talk, has the last view, and is given the time that any request may take. */
static void calm_down(struct run *run)
{
    make_view(run, true);
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned j = 0; j < NODES; j++) {
            set_link(run, i, j, true);
        }
        adopt(run, i, run->views_count - 1);
    }
    for (unsigned ms = 0; ms < 2 * FORWARD_TIMEOUT_MS + 5000; ms += 100) {
        for (unsigned i = 0; i < NODES * NODES; i++) {
            while (run->pipes[i / NODES][i % NODES].count > 0) {
                pass_on(run, i / NODES, i % NODES, false);
            }
        }
        pass_time(run, 100);
    }
    for (size_t i = 0; i < SUBS; i++) {
        while (run->clients[i].subscription.state == RH_SUBSCRIPTION_REPLAYING) {
            drain(run, &run->clients[i]);
        }
    }
}

static void check_calm(struct run *run)
{
    for (uint64_t i = 0; i < run->requests_count; i++) {
        LAW(run, run->requests[i].answered);
    }
    for (unsigned i = 0; i < NODES; i++) {
        const struct rh_core_stats *stats = rh_core_stats(run->nodes[i].core);
        LAW(run, !rh_core_is_sweeping(run->nodes[i].core));
        LAW(run, stats->pending == 0);
        LAW(run, stats->reads_waiting == 0);
        check_core(run, &run->nodes[i]);
    }
    for (size_t i = 0; i < SUBS; i++) {
        enum rh_subscription_state state = run->clients[i].subscription.state;
        LAW(run, state == RH_SUBSCRIPTION_FREE || state == RH_SUBSCRIPTION_LIVE ||
                     state == RH_SUBSCRIPTION_MOVED);
    }
}

/* Nobody is left, and after a while nothing is. */
static void check_empty(struct run *run)
{
    for (size_t i = 0; i < SUBS; i++) {
        struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                 .subscription = &run->clients[i].subscription};
        step(run, run->clients[i].node, &event);
    }
    for (unsigned s = 0; s < 64 + (CHANNEL_IDLE_MS + DEDUP_AGE_MS) / 1000; s++) {
        pass_time(run, 1001);
    }
    for (unsigned i = 0; i < NODES; i++) {
        LAW(run, rh_core_stats(run->nodes[i].core)->channels == 0);
        LAW(run, rh_core_stats(run->nodes[i].core)->log_bytes == 0);
        LAW(run, rh_core_deadline_ms(run->nodes[i].core) == UINT64_MAX);
    }
}

static void end(struct run *run)
{
    rh_actions_finish(&run->actions);
    for (unsigned i = 0; i < NODES; i++) {
        rh_core_destroy(run->nodes[i].core);
        for (unsigned j = 0; j < NODES; j++) {
            for (size_t k = 0; k < run->pipes[i][j].count; k++) {
                free(run->pipes[i][j].queue[k]);
            }
        }
    }
    for (size_t i = 0; i < run->views_count; i++) {
        rh_view_give(run->views[i]);
    }
    for (size_t i = 0; i < HISTORIES; i++) {
        free(run->histories[i].publications);
    }
    free(run);
}

static void run_seed(uint64_t seed, unsigned steps, uint64_t sums[3])
{
    struct run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    begin(run, seed);
    for (run->steps = 1; run->steps <= steps; run->steps++) {
        something(run);
    }
    calm_down(run);
    check_calm(run);
    check_empty(run);
    sums[0] += run->acknowledged;
    sums[1] += run->delivered;
    sums[2] += run->moved;
    end(run);
}

static void any_order_of_events_keeps_the_laws(void **state)
{
    (void)state;
    uint64_t sums[3] = {0};
    uint64_t first = only_seed == 0 ? 1 : only_seed;
    uint64_t last = only_seed == 0 ? 400 : only_seed;
    for (uint64_t seed = first; seed <= last; seed++) {
        run_seed(seed, 5000, sums);
    }
    print_message("# seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " acknowledged, %" PRIu64
                  " delivered, %" PRIu64 " moved\n",
                  first, last, sums[0], sums[1], sums[2]);
    /* A run in which nothing happens proves nothing. */
    assert_true(only_seed != 0 || (sums[0] > 0 && sums[1] > 0 && sums[2] > 0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_events_keeps_the_laws),
    };
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
