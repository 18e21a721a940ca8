/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_node.h"

#include "node/view_shown.h"
#include "router/redirect.h"
#include "tests/simulator_check.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_describe.h"
#include "tests/simulator_network.h"
#include "tests/simulator_relay.h"
#include "tests/simulator_states.h"
#include "tests/simulator_topics.h"
#include "tests/simulator_truth.h"
#include "tests/simulator_zookeeper.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_MS        100U
#define STALL_MS       10000U /* as in node/daemon_stall.c */
#define LEAVING_MS     3000U  /* as in node/daemon_stop.c */
#define LINGERING_MORE 500U
#define DEREGISTER_MS  2000U
#define CLIENT_PORT    7100 /* of node 0 */
#define PAYLOAD_MAX    1000
#define TICKS_MAX      400 /* in one millisecond: more are a loop for nothing */

const char *sim_node_operation_name(enum rh_membership_action_kind kind)
{
    static const char *const names[] = {
        [RH_MEMBERSHIP_OPEN] = "open",
        [RH_MEMBERSHIP_SYNC] = "sync",
        [RH_MEMBERSHIP_READ_CONFIG] = "read_config",
        [RH_MEMBERSHIP_CREATE_CONFIG] = "create_config",
        [RH_MEMBERSHIP_SET_CONFIG] = "set_config",
        [RH_MEMBERSHIP_READ_REQUEST] = "read_request",
        [RH_MEMBERSHIP_SET_REQUEST] = "set_request",
        [RH_MEMBERSHIP_LIST] = "list",
        [RH_MEMBERSHIP_READ_MEMBER] = "read_member",
        [RH_MEMBERSHIP_REGISTER] = "register",
        [RH_MEMBERSHIP_EVICT] = "evict",
        [RH_MEMBERSHIP_UNREGISTER] = "unregister",
        [RH_MEMBERSHIP_CHECK] = "check",
    };
    return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

/* ---- who is there ---- */

bool sim_node_takes(struct sim *sim, int index, uint64_t instance, struct sim_event *event)
{
    struct sim_node *node = sim->nodes[index];
    if (!node->running || node->instance != instance) {
        return false;
    }
    if (node->paused) {
        sim_keep(event);
        rh_list_push_back(&node->deferred, &event->link);
        return false;
    }
    return true;
}

int sim_node_of(const struct rh_registration *registration)
{
    return atoi(strrchr(registration->url, ':') + 1) - CLIENT_PORT;
}

int sim_node_owner(const struct sim *sim, const struct rh_view *view, const char *key)
{
    (void)sim;
    if (view == NULL) {
        return -1;
    }
    uint32_t owner = rh_ring_owner(view->ring, rh_ring_hash(view->ring, key, strlen(key)));
    return owner == RH_RING_NONE ? -1 : sim_node_of(&view->members[owner]);
}

struct sim_connection *sim_node_connection(const struct sim *sim, int index, uint64_t number)
{
    struct sim_node *node = sim->nodes[index];
    rh_list_each (&node->connections, link) {
        struct sim_connection *connection = rh_container_of(link, struct sim_connection, link);
        if (connection->number == number) {
            return connection;
        }
    }
    return NULL;
}

/* ---- timers ---- */

struct tick {
    struct sim_event event;
    int node;
    uint64_t instance;
    uint64_t connection; /* it is about; 0: none */
};

static void queue_tick_of(struct sim *sim, const struct sim_node *node, uint64_t connection,
                          uint64_t at_ms, sim_run *run)
{
    struct tick *tick = sim_event(sizeof(*tick), run);
    tick->node = node->index;
    tick->instance = node->instance;
    tick->connection = connection;
    sim_after(sim, at_ms > sim->now_ms ? at_ms - sim->now_ms : 0, &tick->event);
}

static void queue_tick(struct sim *sim, const struct sim_node *node, uint64_t at_ms, sim_run *run)
{
    queue_tick_of(sim, node, 0, at_ms, run);
}

static void count_tick(struct sim *sim, struct sim_node *node, const char *machine)
{
    if (node->ticks_ms != sim->now_ms) {
        node->ticks_ms = sim->now_ms;
        node->ticks = 0;
    }
    if (++node->ticks > TICKS_MAX) {
        sim_fail(sim, "%s: the %s wants ticks for nothing, again and again", node->id, machine);
    }
}

/* ---- the core ---- */

static void step_core(struct sim *sim, struct sim_node *node, struct rh_event *event);
static void arm_core(struct sim *sim, struct sim_node *node);
static void want_slow_ticks(struct sim *sim, struct sim_node *node);
static void end_process(struct sim *sim, struct sim_node *node, bool close_session);

static void run_core_tick(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    struct sim_node *node = sim->nodes[tick->node];
    if (!sim_node_takes(sim, tick->node, tick->instance, event) ||
        node->core_tick_ms > sim->now_ms) {
        return;
    }
    node->core_tick_ms = UINT64_MAX;
    if (rh_core_deadline_ms(node->core) > sim->now_ms) {
        arm_core(sim, node);
        return;
    }
    count_tick(sim, node, "core");
    struct rh_event core_event = {.kind = RH_EVENT_TICK};
    step_core(sim, node, &core_event);
}

/* When the tick comes. What is wanted at the end of the turn comes then, whatever else is late. */
static uint64_t tick_at_ms(struct sim *sim, const struct sim_node *node, uint64_t deadline_ms)
{
    uint64_t at_ms = deadline_ms < sim->now_ms ? sim->now_ms : deadline_ms;
    bool on_time = deadline_ms == 0 || node->late_ms == 0;
    return on_time ? at_ms : at_ms + sim_below(sim, node->late_ms);
}

static void arm_core(struct sim *sim, struct sim_node *node)
{
    uint64_t deadline_ms = rh_core_deadline_ms(node->core);
    if (deadline_ms == UINT64_MAX ||
        (node->late_ms > 0 && node->core_tick_ms != UINT64_MAX && deadline_ms != 0)) {
        return;
    }
    deadline_ms = tick_at_ms(sim, node, deadline_ms);
    if (deadline_ms < node->core_tick_ms) {
        node->core_tick_ms = deadline_ms;
        queue_tick(sim, node, deadline_ms, run_core_tick);
    }
}

static void close_connection(struct sim_node *node, struct sim_connection *connection)
{
    assert(connection->subscription.state == RH_SUBSCRIPTION_FREE);
    rh_list_remove(&connection->link);
    node->lingering -= connection->moved;
    free(connection);
}

/* Ends a connection that the core may still know of. */
static void drop_connection(struct sim *sim, struct sim_node *node,
                            struct sim_connection *connection)
{
    if (connection->subscription.state != RH_SUBSCRIPTION_FREE) {
        struct rh_event event = {.kind = RH_EVENT_UNSUBSCRIBE,
                                 .subscription = &connection->subscription};
        step_core(sim, node, &event);
    }
    close_connection(node, connection);
}

/* Says it in order. */
static void say(struct sim *sim, struct sim_node *node, struct sim_connection *connection,
                struct sim_said *said)
{
    uint64_t at_ms = sim->now_ms + sim_delay_ms(sim);
    connection->fifo_ms = connection->fifo_ms < at_ms ? at_ms : connection->fifo_ms;
    said->client = connection->client;
    said->connection = connection->number;
    if (said->kind != SIM_SAID_MOVED && said->kind != SIM_SAID_REDIRECT) {
        said->node = node->index;
    }
    sim_clients_say(sim, said, connection->fifo_ms - sim->now_ms);
}

static struct sim_connection *connection_of(struct rh_subscription *subscription)
{
    return rh_container_of(subscription, struct sim_connection, subscription);
}

void sim_node_check_served(struct sim *sim, int index, const char *key, uint64_t incarnation,
                           const struct rh_entry *entry, const char *what)
{
    if (sim->replicated) {
        sim_truth_served(sim, index, key, incarnation, entry, what);
    } else {
        sim_check_served(sim, index, key, incarnation);
    }
}

/* Whether the client of |connection| may be told that, by this node or by who serves it. */
static void check_told(struct sim *sim, const struct sim_node *node,
                       const struct sim_connection *connection, uint64_t incarnation,
                       const struct rh_entry *entry, const char *what)
{
    const struct rh_subscription *subscription = &connection->subscription;
    bool is_relayed = subscription->state == RH_SUBSCRIPTION_RELAYED ||
                      (subscription->state == RH_SUBSCRIPTION_FREE && subscription->may_relay);
    if (is_relayed) {
        sim_relay_told(sim, connection, incarnation, entry);
    } else {
        sim_node_check_served(sim, node->index, connection->key, incarnation, entry, what);
    }
}

static void on_welcome(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->welcome.subscription);
    check_told(sim, node, connection, action->welcome.incarnation, NULL, "a welcome");
    connection->welcomed = true;
    connection->incarnation = action->welcome.incarnation;
    struct sim_said *said = sim_said(SIM_SAID_WELCOME, 0);
    said->incarnation = action->welcome.incarnation;
    said->seq = action->welcome.seq;
    said->recovered = action->welcome.recovered;
    if (sim_mutates(sim, SIM_MUTATION_ALWAYS_RECOVERED)) {
        said->recovered = true;
    }
    say(sim, node, connection, said);
}

/* The state document, for which there was no room, if the connection is still there. */
static void show_again(struct sim *sim, int index, uint64_t number)
{
    struct sim_connection *connection = sim_node_connection(sim, index, number);
    if (connection != NULL && connection->wants_state &&
        connection->subscription.state != RH_SUBSCRIPTION_FREE) {
        connection->wants_state = false;
        struct rh_event show = {.kind = RH_EVENT_SHOW_STATE,
                                .subscription = &connection->subscription};
        step_core(sim, sim->nodes[index], &show);
    }
}

static void run_drained(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    struct sim_node *node = sim->nodes[tick->node];
    if (!sim_node_takes(sim, tick->node, tick->instance, event)) {
        return;
    }
    struct sim_connection *connection = sim_node_connection(sim, tick->node, tick->connection);
    if (connection == NULL) {
        return;
    }
    bool asks = connection->subscription.may_relay || connection->wants_state;
    if (asks && connection->read_all_ms > sim->now_ms) {
        queue_tick_of(sim, node, connection->number, connection->read_all_ms, run_drained);
        return; /* more has come since */
    }
    connection->hungry = false;
    connection->waits = false;
    connection->queued = 0;
    if (connection->subscription.state != RH_SUBSCRIPTION_FREE) {
        struct rh_event drained = {.kind = RH_EVENT_DRAINED,
                                   .subscription = &connection->subscription};
        step_core(sim, node, &drained);
    }
    show_again(sim, tick->node, tick->connection);
}

static void feed(struct sim *sim, struct sim_node *node, struct sim_connection *connection)
{
    if (!connection->hungry) {
        connection->hungry = true;
        queue_tick_of(sim, node, connection->number, connection->read_all_ms, run_drained);
    }
}

/* A replay goes on when what was sent is out. So does a relay that waits for room. */
static void feed_again(struct sim *sim, struct sim_node *node, struct sim_connection *connection)
{
    const struct rh_subscription *subscription = &connection->subscription;
    if (subscription->state == RH_SUBSCRIPTION_REPLAYING || subscription->wants_room) {
        feed(sim, node, connection);
    }
}

static void show_state(struct sim *sim, struct sim_node *node, struct sim_connection *connection,
                       const struct rh_entry *state)
{
    if (connection->read_all_ms > sim->now_ms) {
        connection->wants_state = true;
        feed(sim, node, connection);
        return;
    }
    sim_relay_shown(sim, node->index, connection, state);
}

static void on_changed(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    const struct rh_channel *channel = action->changed.channel;
    struct rh_subscription *at = action->changed.subscription;
    if (at != NULL) {
        show_state(sim, node, connection_of(at), action->changed.state);
        return;
    }
    for (at = rh_channel_watcher_next(channel, NULL); at != NULL;
         at = rh_channel_watcher_next(channel, at)) {
        show_state(sim, node, connection_of(at), action->changed.state);
    }
}

/* Nothing may come before there is room, as if all that may be unread were. */
static void on_goes_on(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->goes_on);
    bool is_relayed = connection->subscription.state == RH_SUBSCRIPTION_RELAYED;
    sim_trace(sim, "n%d: client %d of %s is served %s from now on", node->index, connection->client,
              connection->key, is_relayed ? "elsewhere" : "here");
    connection->waits = !is_relayed;
    connection->queued = sim->limits.batch_size;
    feed(sim, node, connection);
}

static void run_hang_up(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    if (sim_node_takes(sim, tick->node, tick->instance, event)) {
        sim_node_hang_up(sim, tick->node, tick->connection);
    }
}

/* Too far behind: what is queued is dropped, and the client is told to resume. The core learns of
 * it when the connection is closed, in a later turn. */
static void close_slow(struct sim *sim, struct sim_node *node, struct sim_connection *connection)
{
    struct sim_said *said = sim_said(SIM_SAID_CLOSED, 0);
    said->text = "too slow";
    say(sim, node, connection, said);
    connection->pace_ms = 0;
    queue_tick_of(sim, node, connection->number, sim->now_ms + 1, run_hang_up);
}

static void send_message(struct sim *sim, struct sim_node *node, struct sim_connection *connection,
                         const struct rh_action *action)
{
    const struct rh_entry *entry = action->deliver.entry;
    if (connection->subscription.may_relay) {
        sim_relay_queued(sim, node->index, connection, entry);
    }
    uint64_t base_ms =
        connection->read_all_ms > sim->now_ms ? connection->read_all_ms : sim->now_ms;
    connection->read_all_ms = base_ms + connection->pace_ms;
    if (connection->read_all_ms > sim->now_ms + SIM_SEND_QUEUE_MAX * (connection->pace_ms + 1) &&
        action->kind == RH_ACTION_DELIVER_ALL) {
        close_slow(sim, node, connection);
        return;
    }
    if (sim_mutates(sim, SIM_MUTATION_LOSS) && sim_chance(sim, 20)) {
        return;
    }
    unsigned copies = sim_mutates(sim, SIM_MUTATION_TWICE) && sim_chance(sim, 20) ? 2 : 1;
    for (; copies > 0; copies--) {
        struct sim_said *said = sim_said(SIM_SAID_MESSAGE, 1);
        said->incarnation = action->deliver.incarnation;
        said->count = 1;
        said->messages[0] =
            (struct sim_message){.seq = entry->seq, .message = sim_truth_message(entry)};
        say(sim, node, connection, said);
    }
}

static void on_deliver(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    const struct rh_entry *entry = action->deliver.entry;
    sim_check_message(sim, action->deliver.incarnation, entry->seq, sim_truth_message(entry));
    if (action->kind == RH_ACTION_DELIVER) {
        struct sim_connection *connection = connection_of(action->deliver.subscription);
        check_told(sim, node, connection, action->deliver.incarnation, entry, "a replay");
        send_message(sim, node, connection, action);
        feed_again(sim, node, connection);
        return;
    }
    const struct rh_channel *channel = action->deliver.channel;
    for (struct rh_subscription *at = rh_channel_live_next(channel, NULL, entry); at != NULL;
         at = rh_channel_live_next(channel, at, entry)) {
        struct sim_connection *connection = connection_of(at);
        check_told(sim, node, connection, action->deliver.incarnation, entry, "a message");
        send_message(sim, node, connection, action);
    }
}

static void on_moved(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->moved.subscription);
    if (connection->subscription.may_relay) {
        sim_check_moves_on(sim);
        sim_relay_sent_away(sim, node->index, connection, sim_node_of(action->moved.node),
                            &action->moved.position);
    } else {
        sim_check_moved(sim, node->index, connection->key, action->moved.position.incarnation);
    }
    struct sim_said *said = sim_said(SIM_SAID_MOVED, 0);
    said->node = sim_node_of(action->moved.node);
    said->position = action->moved.position;
    said->hop = (struct rh_hop){.hops = 1, .has_epoch = true, .epoch = node->epoch.pzxid};
    say(sim, node, connection, said);
    if (sim_mutates(sim, SIM_MUTATION_AFTER_MOVED)) {
        struct sim_said *more = sim_said(SIM_SAID_MESSAGE, 1);
        more->incarnation = action->moved.position.incarnation;
        more->count = 1;
        more->messages[0].seq = action->moved.position.seq + 1;
        say(sim, node, connection, more);
    }
    connection->moved = true;
    connection->linger_until_ms = sim->now_ms + SIM_LINGER_MS;
    node->lingering++;
    want_slow_ticks(sim, node);
}

/* The number behind |name| in a query. */
static uint64_t query_number(const char *url, const char *name)
{
    const char *at = strstr(url, name);
    assert(at != NULL);
    return strtoull(at + strlen(name), NULL, 10);
}

static void on_redirect(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->moved.subscription);
    const struct rh_subscription *subscription = &connection->subscription;
    if (subscription->may_relay) {
        sim_relay_sent_away(sim, node->index, connection, sim_node_of(action->moved.node), NULL);
    }
    struct rh_route route = {
        .kind = subscription->is_read ? RH_ROUTE_MESSAGES_GET : RH_ROUTE_WEBSOCKET,
        .key_size = strlen(connection->key),
        .has_epoch = subscription->hop.has_epoch,
        .epoch = (uint64_t)subscription->hop.epoch,
        .hops = subscription->hop.hops,
    };
    memcpy(route.key_data, connection->key, route.key_size);
    const struct rh_redirect_request request = {.route = &route,
                                                .websocket = !subscription->is_read,
                                                .offers_ringhop = connection->offers_ringhop};
    const struct rh_redirect_target target = {
        .epoch = (uint64_t)node->epoch.pzxid,
        .epoch_age_ms = sim->now_ms - rh_core_view_since_ms(node->core),
        .url = action->moved.node->url,
    };
    enum rh_redirect redirect;
    struct rh_buffer url = {0};
    int rv = rh_redirect_decide(&request, &target, &redirect, &url);
    assert(rv == 0);
    if (redirect == RH_REDIRECT_MOVED || redirect == RH_REDIRECT_307) {
        rv = rh_buffer_append(&url, "", 1);
        assert(rv == 0);
        const char *text = rh_buffer_content(&url).data;
        struct sim_said *said = sim_said(SIM_SAID_REDIRECT, 0);
        said->node = sim_node_of(action->moved.node);
        said->hop = (struct rh_hop){.hops = (uint32_t)query_number(text, "hops="),
                                    .has_epoch = true,
                                    .epoch = (int64_t)query_number(text, "epoch=")};
        say(sim, node, connection, said);
    } else {
        struct sim_said *said = sim_said(SIM_SAID_REFUSED, 0);
        said->text = "redirect_limit";
        say(sim, node, connection, said);
    }
    (void)rv;
    rh_buffer_finish(&url);
    close_connection(node, connection);
}

static void on_refused(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->refused.subscription);
    if (connection->subscription.may_relay) {
        sim_relay_refused(sim, node->index, connection, action->refused.refusal);
    }
    struct sim_said *said = sim_said(SIM_SAID_REFUSED, 0);
    said->text = rh_refusal_code(action->refused.refusal);
    say(sim, node, connection, said);
    close_connection(node, connection);
}

static void on_read_done(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct sim_connection *connection = connection_of(action->read.subscription);
    struct sim_said *said = sim_said(SIM_SAID_READ, action->read.count);
    /* That nothing has come is true wherever it was waited for. */
    bool nothing = sim->replicated && action->read.count == 0 && action->read.recovered;
    if (action->read.incarnation != 0 && !nothing) {
        check_told(sim, node, connection, action->read.incarnation, NULL, "an answer");
    }
    said->incarnation = action->read.incarnation;
    said->recovered = action->read.recovered;
    said->position = action->read.position;
    said->count = action->read.count;
    for (uint32_t i = 0; i < action->read.count; i++) {
        const struct rh_entry *entry = action->read.entries[i];
        assert(entry != NULL);
        uint64_t message = sim_truth_message(entry);
        check_told(sim, node, connection, action->read.incarnation, entry, "an answer");
        sim_check_message(sim, action->read.incarnation, entry->seq, message);
        said->messages[i] = (struct sim_message){.seq = entry->seq, .message = message};
    }
    say(sim, node, connection, said);
    close_connection(node, connection);
}

/* A publish that this step has brought was served here. */
static void check_publish(struct sim *sim, struct sim_node *node, uint64_t incarnation)
{
    if (node->publish_key[0] != '\0' && incarnation != 0) {
        sim_node_check_served(sim, node->index, node->publish_key, incarnation, NULL, "a seq");
    }
}

static void on_published(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    const struct rh_publish_result *result = &action->published.result;
    bool done = result->refusal == RH_REFUSAL_NONE;
    if (!sim->replicated) {
        check_publish(sim, node, result->incarnation);
    }
    struct sim_said *said = sim_said(done ? SIM_SAID_ACK : SIM_SAID_NOT_ACKED, 0);
    said->node = node->index;
    said->connection = action->published.request;
    said->incarnation = result->incarnation;
    said->seq = result->seq;
    said->duplicate = result->duplicate;
    said->text = rh_refusal_code(result->refusal);
    sim_clients_say(sim, said, sim_delay_ms(sim));
}

static void on_inspected(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    bool done = action->inspected.refusal == RH_REFUSAL_NONE;
    struct sim_said *said = sim_said(done ? SIM_SAID_ACK : SIM_SAID_NOT_ACKED, 0);
    said->node = node->index;
    said->connection = action->inspected.request;
    said->incarnation = action->inspected.info.incarnation;
    said->seq = action->inspected.info.last_seq;
    said->text = rh_refusal_code(action->inspected.refusal);
    sim_clients_say(sim, said, sim_delay_ms(sim));
}

static void on_state(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    sim_states_answered(sim, node->index, action);
}

static void enqueue(struct sim *sim, struct sim_node *node,
                    const struct rh_membership_event *event);

static void send_to_peer(struct sim *sim, struct sim_node *node, struct rh_action *action)
{
    if (sim_mutates(sim, SIM_MUTATION_NO_ANSWERS) &&
        action->send.message.kind == RH_PEER_PUBLISH_ANSWER) {
        return;
    }
    if (sim_mutates(sim, SIM_MUTATION_LOST_ID) && action->send.message.kind == RH_PEER_PUBLISH &&
        sim_chance(sim, 300)) {
        action->send.message.publish.id = rh_bytes_text("another-id");
    }
    if (action->send.message.kind == RH_PEER_PUBLISH_ANSWER && !sim->replicated) {
        check_publish(sim, node, action->send.message.publish_answer.incarnation);
    }
    sim_relay_sent(sim, node->index, &action->send.message);
    (void)sim_network_send(sim, node->index, &action->send.to, &action->send.message);
}

static void on_trace(struct sim *sim, const struct sim_node *node,
                     const struct rh_core_trace *trace)
{
    if (sim->options.trace != NULL) {
        char text[SIM_TEXT_SIZE];
        sim_describe_trace(trace, text);
        sim_trace(sim, "n%d: %s", node->index, text);
    }
}

/* A view that a peer has shown, to the membership when it has its turn. */
static void on_peer_view(struct sim *sim, struct sim_node *node,
                         const struct rh_peer_message *message)
{
    struct rh_reason reason;
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_VIEW};
    if (rh_view_read(&message->view, &event.view, &reason) != 0) {
        sim_fail(sim, "n%d: a view of a peer cannot be read: %s", node->index, reason.text);
        return;
    }
    enqueue(sim, node, &event); /* which gives the view back */
}

static void show(struct sim *sim, const struct sim_node *node, const struct rh_view *view,
                 const struct rh_node_ref *peer)
{
    struct rh_view_shown *shown = NULL;
    if (rh_view_show(view, &shown) != 0) {
        abort();
    }
    const struct rh_peer_message message = {
        .kind = RH_PEER_VIEW, .epoch = view->epoch, .view = *rh_view_shown_message(shown)};
    (void)sim_network_send(sim, node->index, peer, &message);
    rh_view_shown_destroy(shown);
}

void sim_node_show_view(struct sim *sim, int index, const struct rh_node_ref *peer)
{
    struct sim_node *node = sim->nodes[index];
    const struct rh_view *view = rh_core_view(node->core);
    if (view != NULL) {
        show(sim, node, view, peer);
    }
}

struct peer_drained {
    struct sim_event event;
    int node;
    uint64_t instance;
    struct rh_node_ref peer;
};

static void run_peer_drained(struct sim *sim, struct sim_event *event)
{
    struct peer_drained *drained = rh_container_of(event, struct peer_drained, event);
    int peer = sim_place_of(sim, drained->peer.instance);
    if (sim_node_takes(sim, drained->node, drained->instance, event) &&
        sim_network_is_up(sim, drained->node, peer)) {
        struct rh_event core_event = {.kind = RH_EVENT_PEER_DRAINED, .peer = drained->peer};
        step_core(sim, sim->nodes[drained->node], &core_event);
    }
}

static void tell_drained(struct sim *sim, struct sim_node *node, const struct rh_node_ref *peer)
{
    struct peer_drained *drained = sim_event(sizeof(*drained), run_peer_drained);
    drained->node = node->index;
    drained->instance = node->instance;
    drained->peer = *peer;
    sim_after(sim, sim_delay_ms(sim), &drained->event);
}

static void promise(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PROMISE, .promise = action->promise};
    enqueue(sim, node, &event);
}

/* What a connection is told of others fits to what it knows: who leaves was there, who joins was not. */
static void hear_of(struct sim *sim, const struct sim_node *node, struct sim_connection *connection,
                    const char *what, struct rh_peer_present_list list, bool there)
{
    for (size_t i = 0; i < list.count; i++) {
        const struct rh_bytes name = list.items[i].client;
        uint64_t number = 0;
        assert(rh_bytes_to_u64(rh_bytes(name.data + 1, name.size - 1), 31, &number) == 0);
        uint32_t bit = UINT32_C(1) << number;
        sim_trace(sim, "n%d: %s is told that %.*s %s", node->index, connection->name,
                  RH_BYTES_ARG(name), what);
        if (((connection->known & bit) != 0) == there) {
            sim_fail(sim, "n%d tells %s for the second time that %.*s %s", node->index,
                     connection->name, RH_BYTES_ARG(name), what);
        }
        connection->known ^= bit;
    }
}

static void on_presence(struct sim *sim, struct sim_node *node, const struct rh_action *action)
{
    for (size_t i = 0; i < action->presence.streams_count; i++) {
        struct sim_connection *connection =
            rh_container_of(action->presence.streams[i], struct sim_connection, subscription);
        if (action->presence.is_whole) {
            connection->known = 0;
        }
        hear_of(sim, node, connection, "left", action->presence.left, false);
        hear_of(sim, node, connection, action->presence.is_whole ? "is there" : "joined",
                action->presence.joined, true);
    }
}

static void perform_core(struct sim *sim, struct sim_node *node, struct rh_action *action)
{
    const struct rh_membership_event catch_up = {.kind = RH_MEMBERSHIP_CATCH_UP};
    switch (action->kind) {
    case RH_ACTION_WELCOME:
        on_welcome(sim, node, action);
        return;
    case RH_ACTION_DELIVER:
    case RH_ACTION_DELIVER_ALL:
        on_deliver(sim, node, action);
        return;
    case RH_ACTION_MOVED:
        on_moved(sim, node, action);
        return;
    case RH_ACTION_GOES_ON:
        on_goes_on(sim, node, action);
        return;
    case RH_ACTION_REDIRECT:
        on_redirect(sim, node, action);
        return;
    case RH_ACTION_REFUSED:
        on_refused(sim, node, action);
        return;
    case RH_ACTION_READ_DONE:
        on_read_done(sim, node, action);
        return;
    case RH_ACTION_PUBLISHED:
        on_published(sim, node, action);
        return;
    case RH_ACTION_INSPECTED:
        on_inspected(sim, node, action);
        return;
    case RH_ACTION_STATE:
        on_state(sim, node, action);
        return;
    case RH_ACTION_PRESENCE:
        on_presence(sim, node, action);
        return;
    case RH_ACTION_CHANGED:
        on_changed(sim, node, action);
        return;
    case RH_ACTION_PRESENT:
    case RH_ACTION_FOLLOWERS:
        return; /* no client of a simulated cluster asks for it */
    case RH_ACTION_FOLLOWED:
        sim_topics_answered(sim, node->index, action);
        return;
    case RH_ACTION_SEND:
        send_to_peer(sim, node, action);
        return;
    case RH_ACTION_CATCH_UP:
        enqueue(sim, node, &catch_up);
        return;
    case RH_ACTION_SWEPT:
        sim_check_swept(sim, node->index);
        return;
    case RH_ACTION_RESET_PEER:
        sim_network_reset_from(sim, node->index, &action->peer);
        return;
    case RH_ACTION_TELL_DRAINED:
        tell_drained(sim, node, &action->peer);
        return;
    case RH_ACTION_TRACE:
        on_trace(sim, node, &action->trace);
        return;
    case RH_ACTION_COMPLETE:
        enqueue(
            sim, node,
            &(struct rh_membership_event){.kind = RH_MEMBERSHIP_COMPLETE, .epoch = action->epoch});
        return;
    case RH_ACTION_PROVE:
        enqueue(sim, node, &(struct rh_membership_event){.kind = RH_MEMBERSHIP_PROVE});
        return;
    case RH_ACTION_PROMISE:
        promise(sim, node, action);
        return;
    case RH_ACTION_PEER_VIEW:
        on_peer_view(sim, node, action->peer_view);
        return;
    case RH_ACTION_SHOW_VIEW:
        sim_node_show_view(sim, node->index, &action->peer);
        return;
    }
    assert(false && "kind of action");
}

/* Remembers for what channel an acknowledgement in this step will be. */
static void note_publish(struct sim_node *node, const struct rh_event *event)
{
    struct rh_bytes key = {0};
    if (event->kind == RH_EVENT_PUBLISH) {
        key = event->publish.key;
    } else if (event->kind == RH_EVENT_PEER_MESSAGE &&
               event->peer_message.message->kind == RH_PEER_PUBLISH) {
        key = event->peer_message.message->publish.key;
    }
    assert(key.size < sizeof(node->publish_key));
    if (key.size > 0) {
        memcpy(node->publish_key, key.data, key.size);
    }
    node->publish_key[key.size] = '\0';
}

/* Joins and leaves are lines of the trace also when nobody watches. */
static void note_presence(struct sim *sim, struct sim_node *node)
{
    const struct rh_core_stats *stats = rh_core_stats(node->core);
    if (sim->present && stats->presence_joins + stats->presence_leaves != node->presence_changes) {
        node->presence_changes = stats->presence_joins + stats->presence_leaves;
        sim_trace(sim, "n%d: joins %" PRIu64 " leaves %" PRIu64, node->index, stats->presence_joins,
                  stats->presence_leaves);
    }
}

static void step_core(struct sim *sim, struct sim_node *node, struct rh_event *event)
{
    event->now_ms = sim->now_ms;
    event->time_ms = SIM_EPOCH_MS + (int64_t)sim->now_ms + node->skew_ms;
    sim->steps++;
    note_publish(node, event);
    rh_core_step(node->core, event, &node->core_actions);
    if (sim->replicated) {
        sim_truth_stepped(sim, node->index, event);
    }
    for (size_t i = 0; i < node->core_actions.count; i++) {
        perform_core(sim, node, &node->core_actions.items[i]);
    }
    note_presence(sim, node);
    if (sim->options.relay) {
        sim_relay_stepped(sim, node->index);
    }
    node->publish_key[0] = '\0';
    arm_core(sim, node);
}

/* ---- the membership ---- */

struct queued {
    struct rh_list link;
    struct rh_membership_event event; /* without data; a view is its own */
};

static void deliver(struct sim *sim, struct sim_node *node,
                    const struct rh_membership_event *event);

static void arm_machine(struct sim *sim, struct sim_node *node);

static void run_machine_tick(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    struct sim_node *node = sim->nodes[tick->node];
    if (!sim_node_takes(sim, tick->node, tick->instance, event)) {
        return;
    }
    if (node->machine_tick_ms <= sim->now_ms) {
        node->machine_tick_ms = UINT64_MAX;
    }
    if (rh_membership_deadline_ms(node->machine) > sim->now_ms && rh_list_empty(&node->queue)) {
        arm_machine(sim, node);
        return;
    }
    count_tick(sim, node, "membership");
    const struct rh_membership_event machine_event = {.kind = RH_MEMBERSHIP_TICK};
    deliver(sim, node, &machine_event);
}

static void arm_machine(struct sim *sim, struct sim_node *node)
{
    uint64_t deadline_ms = rh_membership_deadline_ms(node->machine);
    if (deadline_ms == UINT64_MAX) {
        return;
    }
    deadline_ms = deadline_ms < sim->now_ms ? sim->now_ms : deadline_ms;
    if (deadline_ms < node->machine_tick_ms) {
        node->machine_tick_ms = deadline_ms;
        queue_tick(sim, node, deadline_ms, run_machine_tick);
    }
}

/* Links of members that are gone are closed without a word: the core is told here. */
static void drop_lost_peers(struct sim *sim, struct sim_node *node, const struct rh_view *before,
                            const struct rh_view *view)
{
    for (size_t i = 0; before != NULL && i < before->members_count; i++) {
        const struct rh_registration *member = &before->members[i];
        if (!rh_view_has(view, member->id, member->instance)) {
            struct rh_event event = {.kind = RH_EVENT_PEER_DOWN,
                                     .peer = {.instance = member->instance}};
            memcpy(event.peer.id, member->id, RH_NODE_ID_SIZE);
            step_core(sim, node, &event);
        }
    }
}

/* V10 */
static void show_those_who_left(struct sim *sim, struct sim_node *node,
                                const struct rh_view *before, const struct rh_view *view)
{
    size_t count = before == NULL || !sim->replicated ? 0 : before->members_count;
    for (size_t i = 0; i < count; i++) {
        const struct rh_registration *member = &before->members[i];
        const struct rh_node_ref peer = rh_registration_ref(member);
        if (!rh_view_has(view, member->id, member->instance) &&
            rh_view_is_next_to(view, member->id, node->id)) {
            show(sim, node, view, &peer);
        }
    }
}

static void on_view(struct sim *sim, struct sim_node *node,
                    const struct rh_membership_action *action)
{
    struct rh_view *view = action->view;
    struct rh_view *before = rh_core_view(node->core);
    before = before == NULL ? NULL : rh_view_take(before);
    if (before != NULL && sim_mutates(sim, SIM_MUTATION_OLD_VIEW) && sim_chance(sim, 300)) {
        view = before;
    }
    sim_check_adopted(sim, node->index, view);
    if (sim->replicated) {
        sim_truth_adopted(sim, node->index, view);
    }
    if (sim->failed) {
        rh_view_give(before);
        return;
    }
    node->epoch = view->epoch;
    sim_count_one(&sim->counts.views, 0);
    show_those_who_left(sim, node, before, view);
    sim_network_set_view(sim, node->index, view);
    drop_lost_peers(sim, node, before, view);
    rh_view_give(before);
    struct rh_event event = {.kind = RH_EVENT_VIEW,
                             .view = view,
                             .registration_epoch = action->registration_epoch,
                             .ignorant_until_ms = action->ignorant_until_ms};
    step_core(sim, node, &event);
    if (sim->replicated) {
        sim_network_show_awaited(sim, node->index);
    }
}

/* What only nodes that replicate are told. */
static void tell_core(struct sim *sim, struct sim_node *node,
                      const struct rh_membership_action *action)
{
    struct rh_event event = {.kind = RH_EVENT_LOST};
    switch ((unsigned)action->kind) {
    case RH_MEMBERSHIP_LOST:
        sim_trace(sim, "n%d: is lost", node->index);
        break;
    case RH_MEMBERSHIP_RECORDED:
        event.kind = RH_EVENT_RECORDED;
        event.epoch = action->epoch;
        sim_trace(sim, "n%d: %" PRIu64 "/%" PRId64 " is recorded", node->index,
                  action->epoch.generation, action->epoch.pzxid);
        break;
    case RH_MEMBERSHIP_PROMISED:
        event.kind = RH_EVENT_PROMISED;
        event.promise = action->promise;
        break;
    default:
        event.kind = action->kind == RH_MEMBERSHIP_PROOF ? RH_EVENT_PROOF : RH_EVENT_HEARD;
        event.at_ms = action->at_ms;
    }
    if (sim->replicated) {
        step_core(sim, node, &event);
    }
}

static void run_exit(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    if (sim_node_takes(sim, tick->node, tick->instance, event)) {
        end_process(sim, sim->nodes[tick->node], true);
    }
}

/* The process ends. There is but one good reason: another one with its id. */
static void on_fatal(struct sim *sim, struct sim_node *node, const char *text)
{
    bool reason = false;
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *other = sim->nodes[i];
        reason |= i != node->index && other->starts > 0 && strcmp(other->id, node->id) == 0;
    }
    sim_trace(sim, "n%d: must not run: %s", node->index, text);
    if (!reason) {
        sim_fail(sim, "%s: must not run: %s", node->id, text);
    }
    queue_tick(sim, node, sim->now_ms, run_exit);
}

static void perform_machine(struct sim *sim, struct sim_node *node,
                            const struct rh_membership_action *action)
{
    switch ((unsigned)action->kind) {
    case RH_MEMBERSHIP_ADOPT:
        on_view(sim, node, action);
        return;
    case RH_MEMBERSHIP_PROBE:
        node->probed = action->probe.node;
        sim_network_probe(sim, node->index, &node->probed, action->probe.address);
        return;
    case RH_MEMBERSHIP_REQUEST:
        node->request_active = action->request != NULL;
        if (action->request != NULL) {
            node->request_kind = action->request->kind;
            want_slow_ticks(sim, node);
        }
        return;
    case RH_MEMBERSHIP_FATAL:
        on_fatal(sim, node, action->text);
        return;
    case RH_MEMBERSHIP_LEFT:
        node->left = true;
        return;
    case RH_MEMBERSHIP_NOTE:
        sim_trace(sim, "n%d: %s", node->index, action->text);
        return;
    case RH_MEMBERSHIP_LOST:
    case RH_MEMBERSHIP_PROOF:
    case RH_MEMBERSHIP_RECORDED:
    case RH_MEMBERSHIP_HEARD:
    case RH_MEMBERSHIP_PROMISED:
        tell_core(sim, node, action);
        return;
    case RH_MEMBERSHIP_ASK_PEERS:
        sim_network_ask_all(sim, node->index);
        return;
    case RH_MEMBERSHIP_AWAITED: {
        size_t count = 0;
        const struct rh_membership_awaited *awaited = rh_membership_awaited(node->machine, &count);
        sim_network_set_awaited(sim, node->index, awaited, count);
        return;
    }
    default:
        sim_zookeeper_operate(sim, node->index, action);
    }
}

static void step_machine(struct sim *sim, struct sim_node *node,
                         const struct rh_membership_event *event)
{
    struct rh_membership_event now = *event;
    now.now_ms = sim->now_ms;
    sim->steps++;
    rh_membership_step(node->machine, &now, &node->actions);
    for (size_t i = 0; i < node->actions.count; i++) {
        perform_machine(sim, node, &node->actions.items[i]);
    }
}

static void queued_free(struct queued *queued)
{
    if (queued->event.kind == RH_MEMBERSHIP_PEER_VIEW) {
        rh_view_give(queued->event.view);
    }
    free(queued);
}

static void drain(struct sim *sim, struct sim_node *node)
{
    while (!rh_list_empty(&node->queue)) {
        struct rh_list *link = rh_list_first(&node->queue);
        struct queued *queued = rh_container_of(link, struct queued, link);
        rh_list_remove(link);
        step_machine(sim, node, &queued->event);
        queued_free(queued);
    }
}

/* As in node/zk_membership.c: events that wait are older, so they go first. */
static void deliver(struct sim *sim, struct sim_node *node, const struct rh_membership_event *event)
{
    assert(!node->busy);
    node->busy = true;
    drain(sim, node);
    step_machine(sim, node, event);
    drain(sim, node);
    node->busy = false;
    arm_machine(sim, node);
}

/* For when the caller is out of its own call. */
static void enqueue(struct sim *sim, struct sim_node *node, const struct rh_membership_event *event)
{
    struct queued *queued = calloc(1, sizeof(*queued));
    if (queued == NULL) {
        abort();
    }
    queued->event = *event;
    rh_list_push_back(&node->queue, &queued->link);
    if (!node->busy) {
        queue_tick(sim, node, sim->now_ms, run_machine_tick);
    }
}

void sim_node_membership(struct sim *sim, int index, const struct rh_membership_event *event)
{
    deliver(sim, sim->nodes[index], event);
}

/* ---- peers ---- */

/* The answer of a node that has no room for |message|; false: there is nothing in it to hold. */
static bool refuse_full(struct sim *sim, const struct sim_node *node,
                        const struct rh_node_ref *from, const struct rh_peer_message *message)
{
    bool is_append = message->kind == RH_PEER_APPEND;
    bool is_sync = message->kind == RH_PEER_SYNC_BEGIN;
    if (!is_sync && (!is_append || message->append.operations.count == 0)) {
        return false;
    }
    const struct rh_peer_append *append = &message->append;
    const struct rh_peer_sync_begin *begin = &message->sync_begin;
    struct rh_peer_message answer = {.kind = RH_PEER_REFUSED, .epoch = message->epoch};
    answer.refused = (struct rh_peer_refused){
        .about = (uint32_t)message->kind,
        .key = is_append ? append->key : begin->key,
        .term = is_append ? append->term : begin->term,
        .sync = is_append ? 0 : begin->sync,
        .code = RH_PEER_FULL,
        .have_op = is_append ? append->prev_op : 0,
        .have_term = is_append ? append->prev_term : (struct rh_term){0},
    };
    (void)sim_network_send(sim, node->index, from, &answer);
    return true;
}

void sim_node_peer_message(struct sim *sim, int index, const struct rh_node_ref *from,
                           const struct rh_peer_message *message)
{
    if (sim->nodes[index]->is_full && refuse_full(sim, sim->nodes[index], from, message)) {
        return;
    }
    struct rh_event event = {.kind = RH_EVENT_PEER_MESSAGE,
                             .peer_message = {.from = *from, .message = message}};
    step_core(sim, sim->nodes[index], &event);
}

static void peer_event(struct sim *sim, int index, enum rh_membership_event_kind kind,
                       const struct rh_node_ref *peer)
{
    const struct rh_membership_event event = {.kind = kind, .peer = *peer};
    enqueue(sim, sim->nodes[index], &event);
}

void sim_node_peer_up(struct sim *sim, int index, const struct rh_node_ref *peer)
{
    struct rh_event event = {.kind = RH_EVENT_PEER_UP, .peer = *peer};
    peer_event(sim, index, RH_MEMBERSHIP_PEER_UP, peer);
    step_core(sim, sim->nodes[index], &event);
}

void sim_node_peer_down(struct sim *sim, int index, const struct rh_node_ref *peer)
{
    struct rh_event event = {.kind = RH_EVENT_PEER_DOWN, .peer = *peer};
    peer_event(sim, index, RH_MEMBERSHIP_PEER_DOWN, peer);
    step_core(sim, sim->nodes[index], &event);
}

void sim_node_peer_dead(struct sim *sim, int index, const struct rh_node_ref *peer)
{
    if (!sim_mutates(sim, SIM_MUTATION_NO_EVICTION)) {
        peer_event(sim, index, RH_MEMBERSHIP_PEER_DEAD, peer);
    }
}

void sim_node_peer_epoch(struct sim *sim, int index, const struct rh_node_ref *from,
                         struct rh_epoch epoch)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEER_EPOCH,
                                              .peer_epoch = {.from = *from, .epoch = epoch}};
    enqueue(sim, sim->nodes[index], &event);
}

void sim_node_peer_replaced(struct sim *sim, int index, const struct rh_node_ref *peer)
{
    peer_event(sim, index, RH_MEMBERSHIP_PEER_REPLACED, peer);
}

void sim_node_peers_asked(struct sim *sim, int index)
{
    const struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PEERS_ASKED};
    enqueue(sim, sim->nodes[index], &event);
}

void sim_node_probed(struct sim *sim, int index, enum rh_membership_probe result)
{
    const struct rh_membership_event event = {
        .kind = RH_MEMBERSHIP_PROBE_RESULT,
        .probe = {.node = sim->nodes[index]->probed, .result = result}};
    enqueue(sim, sim->nodes[index], &event);
}

/* ---- clients ---- */

void sim_node_ask(struct sim *sim, int index, const struct sim_ask *ask)
{
    struct sim_node *node = sim->nodes[index];
    struct sim_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        abort();
    }
    connection->number = ask->connection;
    connection->client = ask->client;
    connection->offers_ringhop = ask->offers_ringhop;
    connection->pace_ms = ask->pace_ms;
    connection->served_ms = sim->now_ms;
    memcpy(connection->key, ask->key, sizeof(connection->key));
    rh_subscription_init(&connection->subscription);
    rh_list_push_back(&node->connections, &connection->link);
    struct rh_event event = {
        .kind = ask->is_read ? RH_EVENT_READ : RH_EVENT_SUBSCRIBE,
        .subscribe = {.subscription = &connection->subscription,
                      .key = rh_bytes_text(connection->key),
                      .may_relay = ask->may_relay,
                      .has_after = ask->has_after,
                      .after = ask->after,
                      .hop = ask->hop,
                      .limit = ask->is_read ? 8 : 0,
                      .wait_ms = ask->wait_ms},
    };
    if (sim->present && !ask->is_read) {
        /* In random runs a client comes back under one of two names, so that there are leaves. */
        connection->name_number =
            ask->client + (sim->scripted ? 0 : 16 * (int)(ask->connection & 1));
        (void)snprintf(connection->name, sizeof(connection->name), "c%d", connection->name_number);
        connection->attendee.client = rh_bytes_text(connection->name);
        event.subscribe.attendee = &connection->attendee;
        event.subscribe.watches_presence = true;
    }
    event.subscribe.watches_state = sim->watching && !ask->is_read;
    step_core(sim, node, &event);
}

void sim_node_hang_up(struct sim *sim, int index, uint64_t number)
{
    struct sim_connection *connection = sim_node_connection(sim, index, number);
    if (connection != NULL) {
        drop_connection(sim, sim->nodes[index], connection);
    }
}

void sim_node_publish(struct sim *sim, int index, uint64_t request, const char *key,
                      uint64_t message, bool nameless)
{
    char text[PAYLOAD_MAX];
    int id_size = snprintf(text, sizeof(text), "m%" PRIu64, message);
    size_t size = (size_t)id_size + sim->limits.padding;
    assert(size <= sizeof(text));
    memset(text + id_size, ' ', sim->limits.padding);
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request,
                    .key = rh_bytes_text(key),
                    .id = nameless ? rh_bytes(NULL, 0) : rh_bytes(text, (size_t)id_size),
                    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes(text, size)}},
    };
    step_core(sim, sim->nodes[index], &event);
}

void sim_node_inspect(struct sim *sim, int index, uint64_t request, const char *key)
{
    struct rh_event event = {.kind = RH_EVENT_INSPECT,
                             .inspect = {.request = request, .key = rh_bytes_text(key)}};
    step_core(sim, sim->nodes[index], &event);
}

void sim_node_request(struct sim *sim, int index, const struct rh_event *event)
{
    struct rh_event asked = *event;
    step_core(sim, sim->nodes[index], &asked);
}

/* ---- the slow timer: linger, progress, shutdown ---- */

static void end_lingering(struct sim *sim, struct sim_node *node, bool all)
{
    rh_list_each_safe (&node->connections, link) {
        struct sim_connection *connection = rh_container_of(link, struct sim_connection, link);
        if (all || (connection->moved && connection->linger_until_ms <= sim->now_ms)) {
            struct sim_said *said = sim_said(SIM_SAID_CLOSED, 0);
            said->text = all ? "the node is shutting down" : "moved";
            say(sim, node, connection, said);
            drop_connection(sim, node, connection);
        }
    }
}

static void report_progress(struct sim *sim, struct sim_node *node)
{
    const struct rh_core_stats *stats = rh_core_stats(node->core);
    struct rh_membership_event event = {.kind = RH_MEMBERSHIP_PROGRESS};
    if (node->request_kind == RH_REQUEST_DRAIN) {
        event.progress.channels_left = stats->channels;
        event.progress.connections_left = stats->streams + stats->reads_waiting + node->lingering;
    } else {
        event.progress.channels_left = rh_core_is_sweeping(node->core) ? stats->channels : 0;
        event.progress.connections_left = node->lingering;
    }
    enqueue(sim, node, &event);
}

static void enter(struct sim *sim, struct sim_node *node, enum sim_stop stop)
{
    static const char *const names[] = {"running", "leaving", "lingering", "closing",
                                        "deregistering"};
    node->stop = stop;
    node->stop_since_ms = sim->now_ms;
    sim_trace(sim, "n%d: stopping: %s", node->index, names[stop]);
}

static bool may_go_on(struct sim *sim, const struct sim_node *node, bool done, uint64_t bound_ms)
{
    return done || sim->now_ms - node->stop_since_ms >= bound_ms;
}

static bool is_outside(const struct sim_node *node)
{
    const struct rh_view *view = rh_core_view(node->core);
    if (view == NULL || !rh_view_has(view, node->id, node->instance)) {
        return true;
    }
    return view->members[rh_view_find(view, node->id)].weight_milli == 0;
}

/* Returns false when the process has ended. */
static bool stop_tick(struct sim *sim, struct sim_node *node)
{
    const struct rh_membership_event finish = {.kind = RH_MEMBERSHIP_LEAVE_FINISH};
    switch (node->stop) {
    case SIM_NOT_STOPPING:
        return true;
    case SIM_LEAVING: {
        bool alone = !sim_zookeeper_is_connected(sim, node->index);
        if (may_go_on(sim, node, is_outside(node) || alone, LEAVING_MS)) {
            enter(sim, node, SIM_LINGERING);
        }
        return true;
    }
    case SIM_LINGERING:
        if (may_go_on(sim, node, node->lingering == 0 && !rh_core_is_sweeping(node->core),
                      SIM_LINGER_MS + LINGERING_MORE)) {
            enter(sim, node, SIM_CLOSING);
            end_lingering(sim, node, true);
        }
        return true;
    case SIM_CLOSING:
        enter(sim, node, SIM_DEREGISTERING);
        enqueue(sim, node, &finish);
        return true;
    case SIM_DEREGISTERING:
        if (may_go_on(sim, node, node->left, DEREGISTER_MS)) {
            end_process(sim, node, true);
            return false;
        }
        return true;
    }
    return true;
}

static void run_slow_tick(struct sim *sim, struct sim_event *event)
{
    struct tick *tick = rh_container_of(event, struct tick, event);
    struct sim_node *node = sim->nodes[tick->node];
    if (!sim_node_takes(sim, tick->node, tick->instance, event)) {
        return;
    }
    node->slow_ticking = false;
    end_lingering(sim, node, false);
    if (node->request_active) {
        report_progress(sim, node);
    }
    if (stop_tick(sim, node)) {
        want_slow_ticks(sim, node);
    }
}

static void want_slow_ticks(struct sim *sim, struct sim_node *node)
{
    bool wanted = node->request_active || node->lingering > 0 || node->stop != SIM_NOT_STOPPING;
    if (wanted && !node->slow_ticking) {
        node->slow_ticking = true;
        queue_tick(sim, node, sim->now_ms + SLOW_MS, run_slow_tick);
    }
}

/* ---- life ---- */

/* In every other run so little is done in one step that also few channels take many. */
static struct rh_core_steps steps_of(const struct sim *sim)
{
    if (sim->scripted || sim->options.nodes != 0 || sim->options.seed / 3 % 2 == 0) {
        return (struct rh_core_steps){0};
    }
    return (struct rh_core_steps){
        .sweep_channels = 16, .report_copies = 2, .held_bytes = 1, .reports_ahead = 300};
}

static void create_machines(struct sim *sim, struct sim_node *node)
{
    struct rh_membership_options options = {
        .config = {.format = RH_CONFIG_FORMAT,
                   .vnodes = SIM_VNODES,
                   .replicas = sim->replicated ? sim->replicas : 2},
        .config_name = "cluster.yaml",
        .registration = {.instance = node->instance, .weight_milli = node->weight_milli},
        .grace_ms = sim_mutates(sim, SIM_MUTATION_NO_GRACE) ? 0 : SIM_GRACE_MS,
        .replication = sim->replicated,
    };
    options.config.session_timeout_ms = SIM_SESSION_TIMEOUT_MS;
    struct rh_registration *registration = &options.registration;
    (void)snprintf(registration->id, sizeof(registration->id), "%s", node->id);
    (void)snprintf(registration->url, sizeof(registration->url), "ws://h:%d",
                   CLIENT_PORT + node->index);
    (void)snprintf(registration->version, sizeof(registration->version), "1");
    sim_network_address(node->index, registration->peer, sizeof(registration->peer));
    struct rh_core_options core_options = {
        .instance = node->instance,
        .seed = sim_random(sim),
        .log = {.messages_max = sim->limits.log_messages,
                .bytes_max = 1 << 20,
                .age_ms_max = sim->limits.log_age_ms},
        .channels_max = 5000,
        .channel_idle_ms = sim->limits.channel_idle_ms,
        .dedup_age_ms = 300000,
        .dedup_ids_max = 10000,
        .payload_size_max = PAYLOAD_MAX,
        .state_size_max = PAYLOAD_MAX,
        .batch_size_max = sim->limits.batch_size,
        .forward_timeout_ms = 5000,
        .catch_up_timeout_ms = 5000,
        .pending_max = sim->limits.pending_max,
        .pending_bytes_max = 1 << 20,
        .presence_grace_ms = SIM_PRESENCE_GRACE_MS,
        .presence_move_ms = SIM_PRESENCE_MOVE_MS,
        .presence_clients_max = 10000,
        .presence_channel_clients_max = RH_PEER_PRESENT_MAX,
        .replication = sim->replicated,
        .trace = true,
        .session_timeout_ms = SIM_SESSION_TIMEOUT_MS,
        .grace_ms = SIM_GRACE_MS,
        .remotes_max = 1000,
        .rebalance_channels_per_second = 100,
        .rebalance_in_flight = 8,
        .copies_max = 10000,
        .uncommitted_max = 64,
        .uncommitted_bytes_max = 1 << 20,
        .held_bytes_max = SIM_HELD_BYTES_MAX,
        .steps = steps_of(sim),
    };
    memcpy(core_options.id, node->id, sizeof(core_options.id));
    if (rh_membership_create(&options, &node->machine) != 0 ||
        rh_core_create(&core_options, &node->core) != 0) {
        abort();
    }
}

void sim_node_start(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    assert(!node->running);
    node->running = true;
    node->paused = false;
    node->starts++;
    node->instance = sim->scripted ? 100 * node->starts + (uint64_t)index : sim_random(sim) | 1;
    node->machine_tick_ms = UINT64_MAX;
    node->core_tick_ms = UINT64_MAX;
    node->presence_changes = 0;
    node->epoch = (struct rh_epoch){0};
    node->request_active = false;
    node->stop = SIM_NOT_STOPPING;
    node->left = false;
    node->slow_ticking = false;
    node->lingering = 0;
    node->skew_ms = (int64_t)sim_below(sim, 2000) - 1000;
    sim_place_set(sim, node->instance, index);
    sim_trace(sim, "n%d: starts as %s, instance %016" PRIx64, node->index, node->id,
              node->instance);
    create_machines(sim, node);
    sim_check_started(sim, index);
    if (sim->replicated) {
        sim_truth_started(sim, index);
    }
    sim_network_attach(sim, index);
    sim_zookeeper_attach(sim, index);
}

static void end_process(struct sim *sim, struct sim_node *node, bool close_session)
{
    sim_zookeeper_detach(sim, node->index, close_session);
    if (sim->replicated) {
        sim_truth_ended(sim, node->index);
    }
    node->running = false;
    node->paused = false;
    sim_network_detach(sim, node->index);
    sim_clients_gone(sim, node->index);
    rh_list_each_safe (&node->deferred, link) {
        rh_list_remove(link);
        free(rh_container_of(link, struct sim_event, link));
    }
    rh_list_each_safe (&node->queue, link) {
        rh_list_remove(link);
        queued_free(rh_container_of(link, struct queued, link));
    }
    rh_actions_finish(&node->core_actions);
    rh_core_destroy(node->core);
    node->core = NULL;
    rh_membership_destroy(node->machine);
    node->machine = NULL;
    rh_list_each_safe (&node->connections, link) {
        struct sim_connection *connection = rh_container_of(link, struct sim_connection, link);
        rh_list_remove(link);
        free(connection);
    }
}

void sim_node_crash(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    if (node->running) {
        sim_trace(sim, "n%d: crashes", node->index);
        end_process(sim, node, false);
    }
}

void sim_node_pause(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    if (node->running && !node->paused) {
        sim_trace(sim, "n%d: is paused", node->index);
        node->paused = true;
        node->paused_ms = sim->now_ms;
        sim_zookeeper_silence(sim, index, true);
    }
}

/* Nobody can say how old it is: what waits in sockets is not read, as in node/daemon_stall.c. */
static void drop_unread(struct sim *sim, struct sim_node *node)
{
    rh_list_each_safe (&node->deferred, link) {
        struct sim_event *event = rh_container_of(link, struct sim_event, link);
        if (event->unread) {
            rh_list_remove(link);
            free(event);
        }
    }
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        if (peer != node->index) {
            sim_network_reset(sim, node->index, peer);
            sim_network_reset(sim, peer, node->index);
        }
    }
    struct rh_event event = {.kind = RH_EVENT_TICK};
    step_core(sim, node, &event);
}

void sim_node_resume(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    if (!node->running || !node->paused) {
        return;
    }
    sim_trace(sim, "n%d: goes on", node->index);
    node->paused = false;
    sim_zookeeper_silence(sim, index, false);
    if (sim->now_ms - node->paused_ms > STALL_MS) {
        drop_unread(sim, node);
    }
    uint64_t instance = node->instance;
    while (node->running && node->instance == instance && !rh_list_empty(&node->deferred)) {
        struct rh_list *link = rh_list_first(&node->deferred);
        rh_list_remove(link);
        sim_run_event(sim, rh_container_of(link, struct sim_event, link));
    }
}

void sim_node_terminate(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    const struct rh_membership_event leave = {.kind = RH_MEMBERSHIP_LEAVE};
    if (!node->running || node->paused || node->stop != SIM_NOT_STOPPING) {
        return;
    }
    enter(sim, node, SIM_LEAVING);
    enqueue(sim, node, &leave);
    want_slow_ticks(sim, node);
}

void sim_node_create(struct sim *sim, int index, int id, uint32_t weight_milli)
{
    struct sim_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        abort();
    }
    node->index = index;
    node->weight_milli = weight_milli;
    (void)snprintf(node->id, sizeof(node->id), "n%d", id);
    rh_list_init(&node->deferred);
    rh_list_init(&node->queue);
    rh_list_init(&node->connections);
    sim->nodes[index] = node;
}

void sim_node_destroy(struct sim *sim, int index)
{
    struct sim_node *node = sim->nodes[index];
    if (node->running) {
        end_process(sim, node, false);
    }
    free(node);
    sim->nodes[index] = NULL;
}
