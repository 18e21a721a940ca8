/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_clients.h"

#include "node/core_inspect.h"
#include "router/redirect.h"
#include "tests/simulator_check.h"
#include "tests/simulator_relay.h"
#include "tests/simulator_truth.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIBERS_MAX   12
#define PUBLISHERS        3
#define SENDERS           (PUBLISHERS + SIM_CHANNELS) /* those at the end send the last messages */
#define CONNECT_MS        7000U /* no answer for so long: another node is tried */
#define ANSWER_MS         7000U
#define LAST_AGE_MS       60000U /* messages that live shorter may be gone before a reader is back */
#define SCRIPT_MESSAGES   1000   /* in one script */
#define ATTEMPTS          2      /* of one publish, at the same time */
#define REQUEST_SCRIPT    14U
#define REQUEST_INSPECTOR 15U

/* Someone who wants to see all messages of a channel. */
struct subscriber {
    int channel;
    char key[SIM_KEY_SIZE];
    bool is_read;
    bool may_relay;
    bool offers_ringhop;
    bool has_after;
    struct rh_position position; /* of the last message seen; incarnation 0: `0` */
    uint64_t connection;         /* present one; 0: none */
    int node;
    bool live; /* welcomed on it */
    uint64_t connected_ms;
    uint64_t old_connection; /* was told `moved` on it */
    int old_node;
    unsigned redirects; /* in this chain */
    unsigned failures;  /* in a row */
    unsigned pace_ms;
    bool lacks;           /* relayed: was told to come back, and that something is missing */
    bool has_last;        /* the last message of its channel */
    bool gone;            /* it has left for good */
    uint64_t *to_node_ms; /* per node */
};

/* Someone who has one message to publish at a time. */
struct sender {
    uint64_t message; /* 0: none */
    int channel;
    uint64_t attempts[ATTEMPTS]; /* requests that wait for an answer; 0: free */
    int nodes[ATTEMPTS];
    bool acked;
    bool nameless; /* without an id: it is not tried again */
    bool waiting;  /* an event to try again is queued */
};

struct sim_clients {
    struct subscriber subscribers[SUBSCRIBERS_MAX];
    int subscribers_count;
    struct sender senders[SENDERS];
    uint64_t connections;
    uint64_t requests;
    uint64_t messages;
    bool calm;
    bool finishing;
    bool last_sent;
    uint64_t last[SIM_CHANNELS];
    uint64_t received;
    char unrest[160];
};

static void key_of(int channel, char out[static SIM_KEY_SIZE])
{
    (void)snprintf(out, SIM_KEY_SIZE, "room:%d", channel);
}

/* ---- what arrives ---- */

struct saying {
    struct sim_event event;
    _Alignas(struct sim_said) char memory[];
};

static void hear(struct sim *sim, const struct sim_said *said);

static void run_saying(struct sim *sim, struct sim_event *event)
{
    struct saying *saying = rh_container_of(event, struct saying, event);
    hear(sim, (const struct sim_said *)(const void *)saying->memory);
}

struct sim_said *sim_said(enum sim_said_kind kind, size_t count)
{
    struct saying *saying = sim_event(
        sizeof(*saying) + sizeof(struct sim_said) + count * sizeof(struct sim_message), run_saying);
    struct sim_said *said = (struct sim_said *)(void *)saying->memory;
    said->kind = kind;
    return said;
}

void sim_clients_say(struct sim *sim, struct sim_said *said, uint64_t delay_ms)
{
    struct saying *saying = rh_container_of((void *)said, struct saying, memory);
    sim_after(sim, delay_ms, &saying->event);
}

/* ---- towards a node ---- */

/* A request on its way. */
struct asking {
    struct sim_event event;
    int node;
    uint64_t instance; /* that had the address when it was sent; 0: nobody */
    bool hang_up;
    struct sim_ask ask;
};

static void run_asking(struct sim *sim, struct sim_event *event)
{
    struct asking *asking = rh_container_of(event, struct asking, event);
    const struct sim_node *node = sim->nodes[asking->node];
    if (!node->running || node->instance != asking->instance) {
        if (!asking->hang_up) {
            struct sim_said *said = sim_said(SIM_SAID_CLOSED, 0);
            said->client = asking->ask.client;
            said->connection = asking->ask.connection;
            said->text = "nobody listens there";
            sim_clients_say(sim, said, sim_delay_ms(sim));
        }
        return;
    }
    if (!sim_node_takes(sim, asking->node, asking->instance, event)) {
        return;
    }
    if (asking->hang_up) {
        sim_node_hang_up(sim, asking->node, asking->ask.connection);
    } else {
        sim_node_ask(sim, asking->node, &asking->ask);
    }
}

static struct asking *asking_create(struct sim *sim, int index, int node, uint64_t connection)
{
    struct asking *asking = sim_event(sizeof(*asking), run_asking);
    asking->event.unread = true;
    asking->node = node;
    asking->instance = sim->nodes[node]->running ? sim->nodes[node]->instance : 0;
    asking->ask.client = index;
    asking->ask.connection = connection;
    return asking;
}

/* Keeps the order of what one client sends to one node. */
static void send_asking(struct sim *sim, int index, struct asking *asking)
{
    uint64_t *fifo_ms = &sim->clients->subscribers[index].to_node_ms[asking->node];
    uint64_t at_ms = sim->now_ms + sim_delay_ms(sim);
    *fifo_ms = *fifo_ms < at_ms ? at_ms : *fifo_ms;
    sim_after(sim, *fifo_ms - sim->now_ms, &asking->event);
}

static void hang_up(struct sim *sim, int index, int node, uint64_t connection)
{
    struct asking *asking = asking_create(sim, index, node, connection);
    asking->hang_up = true;
    send_asking(sim, index, asking);
}

/* ---- subscribers ---- */

struct turn {
    struct sim_event event;
    int client;
    uint64_t connection; /* it is about; 0: none stands */
};

static void queue_turn(struct sim *sim, int client, uint64_t connection, uint64_t delay_ms,
                       sim_run *run)
{
    struct turn *turn = sim_event(sizeof(*turn), run);
    turn->client = client;
    turn->connection = connection;
    sim_after(sim, delay_ms, &turn->event);
}

static void retry(struct sim *sim, int index);

/* No answer in time. */
static void run_give_up(struct sim *sim, struct sim_event *event)
{
    struct turn *turn = rh_container_of(event, struct turn, event);
    struct subscriber *subscriber = &sim->clients->subscribers[turn->client];
    if (subscriber->connection == turn->connection && !subscriber->live) {
        sim_trace(sim, "client %d: gives up on n%d", turn->client, subscriber->node);
        hang_up(sim, turn->client, subscriber->node, subscriber->connection);
        retry(sim, turn->client);
    }
}

static void connect_to(struct sim *sim, int index, int node, struct rh_hop hop)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    subscriber->connection = ++sim->clients->connections;
    subscriber->node = node;
    subscriber->live = false;
    subscriber->connected_ms = sim->now_ms;
    struct asking *asking = asking_create(sim, index, node, subscriber->connection);
    struct sim_ask *ask = &asking->ask;
    ask->is_read = subscriber->is_read;
    ask->offers_ringhop = subscriber->offers_ringhop;
    ask->may_relay = subscriber->may_relay;
    ask->has_after = subscriber->has_after;
    ask->after = subscriber->position;
    ask->hop = hop;
    ask->wait_ms = subscriber->is_read ? (uint32_t)sim_below(sim, 4) * 1000 : 0;
    ask->pace_ms = subscriber->pace_ms;
    memcpy(ask->key, subscriber->key, sizeof(ask->key));
    send_asking(sim, index, asking);
    queue_turn(sim, index, subscriber->connection, CONNECT_MS + ask->wait_ms, run_give_up);
}

/* Any, running or not; in a script the first that runs. */
static int any_node(struct sim *sim)
{
    int node = (int)sim_below(sim, (uint64_t)sim->nodes_count);
    while (sim->scripted && sim->replicated && !sim->nodes[node]->running &&
           node + 1 < sim->nodes_count) {
        node++;
    }
    return node;
}

static void run_connect(struct sim *sim, struct sim_event *event)
{
    struct turn *turn = rh_container_of(event, struct turn, event);
    if (sim->clients->subscribers[turn->client].connection == 0 &&
        !sim->clients->subscribers[turn->client].gone) {
        connect_to(sim, turn->client, any_node(sim), (struct rh_hop){0});
    }
}

/* Back to any node, after a pause. */
static void retry(struct sim *sim, int index)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    subscriber->connection = 0;
    subscriber->live = false;
    subscriber->redirects = 0;
    uint64_t pause_ms = sim_between(sim, 1, 20U << subscriber->failures);
    subscriber->failures += subscriber->failures < 4;
    queue_turn(sim, index, 0, pause_ms, run_connect);
}

/* A read that was answered is followed by the next, at the same node. */
static void run_read_on(struct sim *sim, struct sim_event *event)
{
    struct turn *turn = rh_container_of(event, struct turn, event);
    struct subscriber *subscriber = &sim->clients->subscribers[turn->client];
    if (subscriber->connection == 0) {
        connect_to(sim, turn->client, subscriber->node, (struct rh_hop){0});
    }
}

static void take_message(struct sim *sim, int index, uint64_t incarnation,
                         const struct sim_message *message)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    if (incarnation != subscriber->position.incarnation ||
        message->seq != subscriber->position.seq + 1) {
        sim_fail(sim,
                 "client %d of %s: message %016" PRIx64 ":%" PRIu64 " comes after %016" PRIx64
                 ":%" PRIu64,
                 index, subscriber->key, incarnation, message->seq,
                 subscriber->position.incarnation, subscriber->position.seq);
    }
    subscriber->position.seq = message->seq;
    sim->clients->received++;
    sim_check_message(sim, incarnation, message->seq, message->message);
    if (message->message == sim->clients->last[subscriber->channel] && message->message != 0) {
        subscriber->has_last = true;
    }
}

/* A welcome, or the answer to a read: messages go on after |seq| of |incarnation|. */
static void resume(struct sim *sim, int index, uint64_t incarnation, uint64_t seq, bool recovered)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    bool had = subscriber->has_after && subscriber->position.incarnation != 0;
    bool same = subscriber->position.incarnation == incarnation;
    if (had && recovered && (!same || subscriber->position.seq != seq)) {
        sim_fail(sim,
                 "client %d of %s: recovered at %016" PRIx64 ":%" PRIu64 " but was at %016" PRIx64
                 ":%" PRIu64,
                 index, subscriber->key, incarnation, seq, subscriber->position.incarnation,
                 subscriber->position.seq);
    }
    if (had && !recovered && same && subscriber->position.seq >= seq) {
        sim_fail(sim,
                 "client %d of %s: not recovered at %016" PRIx64 ":%" PRIu64 " though it was there",
                 index, subscriber->key, incarnation, seq);
    }
    /* A poll that waits from now on, and then its channel begins anew, is told so. */
    if (!had && !recovered && !(sim->replicated && subscriber->is_read)) {
        sim_fail(sim, "client %d of %s: not recovered, without a position", index, subscriber->key);
    }
    subscriber->has_after = true;
    subscriber->position = (struct rh_position){.incarnation = incarnation, .seq = seq};
    subscriber->failures = 0;
    subscriber->redirects = 0;
}

static void on_welcome(struct sim *sim, int index, const struct sim_said *said)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    if (subscriber->live) {
        sim_fail(sim, "client %d: a second welcome", index);
    }
    resume(sim, index, said->incarnation, said->seq, said->recovered);
    bool aged = sim->limits.log_age_ms < LAST_AGE_MS; /* clocks differ */
    if (subscriber->lacks && said->recovered && sim->replicated && !aged) {
        sim_truth_fail(sim, "R4", subscriber->key,
                       "client %d was told to come back, and has missed nothing", index);
    }
    subscriber->lacks = false;
    subscriber->has_last |= aged && !said->recovered && sim->clients->last_sent;
    subscriber->live = true;
    if (subscriber->old_connection != 0) {
        hang_up(sim, index, subscriber->old_node, subscriber->old_connection);
        subscriber->old_connection = 0;
    }
    sim_trace(sim, "client %d: welcome at n%d, %s:%" PRIu64 "%s", index, said->node,
              subscriber->key, said->seq, said->recovered ? "" : ", not recovered");
}

static void on_moved(struct sim *sim, int index, const struct sim_said *said)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    if (!subscriber->live || said->position.incarnation != subscriber->position.incarnation ||
        said->position.seq != subscriber->position.seq) {
        sim_fail(sim, "client %d of %s: moved at %" PRIu64 " but was at %" PRIu64, index,
                 subscriber->key, said->position.seq, subscriber->position.seq);
    }
    sim_trace(sim, "client %d: moved from n%d to n%d", index, subscriber->node, said->node);
    if (subscriber->old_connection != 0) {
        hang_up(sim, index, subscriber->old_node, subscriber->old_connection);
    }
    subscriber->lacks = subscriber->may_relay && said->node == subscriber->node;
    subscriber->old_connection = subscriber->connection;
    subscriber->old_node = subscriber->node;
    subscriber->redirects = 0;
    connect_to(sim, index, said->node, said->hop);
}

static void on_redirect(struct sim *sim, int index, const struct sim_said *said)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    subscriber->redirects++;
    if (subscriber->redirects > RH_REDIRECT_HOPS_MAX || said->hop.hops > RH_REDIRECT_HOPS_MAX) {
        sim_fail(sim, "client %d: redirected %u times", index, subscriber->redirects);
    }
    connect_to(sim, index, said->node, said->hop);
}

static void on_read(struct sim *sim, int index, const struct sim_said *said)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    bool had = subscriber->has_after && subscriber->position.incarnation != 0;
    /* Told that it missed it, or it asked for what there is, and that was gone already. */
    bool missed = !said->recovered || (!had && said->incarnation != 0);
    bool aged = sim->limits.log_age_ms < LAST_AGE_MS && missed;
    subscriber->has_last |= aged && sim->clients->last_sent;
    if (said->incarnation == 0) { /* no such channel */
        if (had && said->recovered) {
            sim_fail(sim, "client %d of %s: recovered without a channel", index, subscriber->key);
        }
        subscriber->has_after = true;
        subscriber->position = (struct rh_position){0};
    } else {
        uint64_t before = said->position.seq - said->count;
        resume(sim, index, said->incarnation, before, said->recovered);
    }
    for (size_t i = 0; i < said->count; i++) {
        take_message(sim, index, said->incarnation, &said->messages[i]);
    }
    subscriber->connection = 0;
    subscriber->redirects = 0;
    if (said->count > 0 || !said->recovered) {
        sim_trace(sim, "client %d: reads %zu at n%d, now at %016" PRIx64 ":%" PRIu64 "%s", index,
                  said->count, said->node, subscriber->position.incarnation,
                  subscriber->position.seq, said->recovered ? "" : ", not recovered");
    }
    queue_turn(sim, index, 0, sim_between(sim, 1, 300), run_read_on);
}

static void hear_subscriber(struct sim *sim, const struct sim_said *said)
{
    struct subscriber *subscriber = &sim->clients->subscribers[said->client];
    if (said->connection == subscriber->old_connection && said->connection != 0) {
        if (said->kind == SIM_SAID_MESSAGE) {
            sim_fail(sim, "client %d: a message after `moved`", said->client);
        }
        if (said->kind == SIM_SAID_CLOSED) {
            subscriber->old_connection = 0;
        }
        return;
    }
    if (said->connection != subscriber->connection) {
        return; /* it has hung up there */
    }
    switch (said->kind) {
    case SIM_SAID_WELCOME:
        on_welcome(sim, said->client, said);
        return;
    case SIM_SAID_MESSAGE:
        if (!subscriber->live) {
            sim_fail(sim, "client %d: a message before its welcome", said->client);
        }
        take_message(sim, said->client, said->incarnation, &said->messages[0]);
        return;
    case SIM_SAID_MOVED:
        on_moved(sim, said->client, said);
        return;
    case SIM_SAID_REDIRECT:
        on_redirect(sim, said->client, said);
        return;
    case SIM_SAID_READ:
        on_read(sim, said->client, said);
        return;
    case SIM_SAID_REFUSED:
    case SIM_SAID_CLOSED:
        if (sim->clients->calm && strcmp(said->text, "too slow") != 0) {
            sim_fail(sim, "client %d: loses its connection: %s", said->client, said->text);
        }
        sim_trace(sim, "client %d: n%d says: %s", said->client, subscriber->node, said->text);
        retry(sim, said->client);
        return;
    case SIM_SAID_ACK:
    case SIM_SAID_NOT_ACKED:
        break;
    }
    assert(false && "not for a subscriber");
}

/* ---- publishers ---- */

struct publish {
    struct sim_event event;
    int sender;
    int node;
    uint64_t instance;
    uint64_t request;
    char key[SIM_KEY_SIZE];
    bool nameless;
    uint64_t message; /* 0: inspect */
};

static void run_publish(struct sim *sim, struct sim_event *event)
{
    struct publish *publish = rh_container_of(event, struct publish, event);
    const struct sim_node *node = sim->nodes[publish->node];
    if (!node->running || node->instance != publish->instance) {
        struct sim_said *said = sim_said(SIM_SAID_NOT_ACKED, 0);
        said->connection = publish->request;
        said->text = "nobody listens there";
        sim_clients_say(sim, said, sim_delay_ms(sim));
        return;
    }
    if (!sim_node_takes(sim, publish->node, publish->instance, event)) {
        return;
    }
    if (publish->message == 0) {
        sim_node_inspect(sim, publish->node, publish->request, publish->key);
    } else {
        sim_node_publish(sim, publish->node, publish->request, publish->key, publish->message,
                         publish->nameless);
    }
}

static void run_no_answer(struct sim *sim, struct sim_event *event)
{
    struct turn *turn = rh_container_of(event, struct turn, event);
    struct sim_said said = {
        .kind = SIM_SAID_NOT_ACKED, .connection = turn->connection, .text = "no answer"};
    hear(sim, &said);
}

static void publish_to(const struct sim *sim, struct publish *publish, int node)
{
    publish->node = node;
    publish->instance = sim->nodes[node]->running ? sim->nodes[node]->instance : 0;
}

static struct publish *publish_create(struct sim *sim, int index, uint64_t request)
{
    struct publish *publish = sim_event(sizeof(*publish), run_publish);
    publish->event.unread = true;
    publish->sender = index;
    publish->request = request;
    publish_to(sim, publish, (int)sim_below(sim, (uint64_t)sim->nodes_count));
    key_of((int)sim_below(sim, SIM_CHANNELS), publish->key);
    return publish;
}

static void attempt(struct sim *sim, int index)
{
    struct sender *sender = &sim->clients->senders[index];
    for (int i = 0; i < ATTEMPTS; i++) {
        if (sender->attempts[i] != 0) {
            continue;
        }
        uint64_t request = ++sim->clients->requests * 16 + (uint64_t)index;
        struct publish *publish = publish_create(sim, index, request);
        key_of(sender->channel, publish->key);
        publish->message = sender->message;
        publish->nameless = sender->nameless;
        sender->attempts[i] = request;
        sender->nodes[i] = publish->node;
        sim_after(sim, sim_delay_ms(sim), &publish->event);
        queue_turn(sim, index, request, ANSWER_MS, run_no_answer);
        return;
    }
}

static void run_sender(struct sim *sim, struct sim_event *event);

static void send_later(struct sim *sim, int index, uint64_t delay_ms)
{
    struct sender *sender = &sim->clients->senders[index];
    if (!sender->waiting) {
        sender->waiting = true;
        queue_turn(sim, index, 0, delay_ms, run_sender);
    }
}

static void inspect(struct sim *sim)
{
    uint64_t request = ++sim->clients->requests * 16 + REQUEST_INSPECTOR;
    struct publish *publish = publish_create(sim, 0, request);
    sim_after(sim, sim_delay_ms(sim), &publish->event);
}

static void run_sender(struct sim *sim, struct sim_event *event)
{
    struct turn *turn = rh_container_of(event, struct turn, event);
    struct sender *sender = &sim->clients->senders[turn->client];
    sender->waiting = false;
    if (sender->message != 0 && !sender->acked) {
        attempt(sim, turn->client);
        return;
    }
    if (turn->client >= PUBLISHERS || sim->clients->finishing) {
        return;
    }
    if (sender->attempts[0] != 0 || sender->attempts[1] != 0) {
        send_later(sim, turn->client, 20); /* one id at a time */
        return;
    }
    sender->message = ++sim->clients->messages;
    sender->channel = (int)sim_below(sim, SIM_CHANNELS);
    sender->acked = false;
    sender->nameless = sim_chance(sim, 100);
    attempt(sim, turn->client);
    if (!sender->nameless &&
        sim_chance(sim, 100)) { /* impatient: the same message through another node at once */
        attempt(sim, turn->client);
    }
    if (sim_chance(sim, 50)) {
        inspect(sim);
    }
}

static void check_acknowledged(struct sim *sim, const struct sim_said *said, uint64_t message)
{
    sim_check_message(sim, said->incarnation, said->seq, message);
    if (sim->replicated) {
        sim_truth_acknowledged(sim, said->incarnation, said->seq, message);
    }
}

static void hear_script(struct sim *sim, const struct sim_said *said)
{
    uint64_t message = said->connection / 16 % SCRIPT_MESSAGES;
    if (said->kind == SIM_SAID_ACK) {
        check_acknowledged(sim, said, message);
        sim_trace(sim, "publish m%" PRIu64 " at n%d: seq %" PRIu64 "%s", message, said->node,
                  said->seq, said->duplicate ? ", duplicate" : "");
    } else {
        sim_trace(sim, "publish m%" PRIu64 " at n%d: %s", message, said->node, said->text);
    }
}

static void hear_sender(struct sim *sim, const struct sim_said *said)
{
    int index = (int)(said->connection % 16);
    if (index == REQUEST_INSPECTOR) {
        return;
    }
    if (index == REQUEST_SCRIPT) {
        hear_script(sim, said);
        return;
    }
    struct sender *sender = &sim->clients->senders[index];
    for (int i = 0; i < ATTEMPTS; i++) {
        if (sender->attempts[i] != said->connection) {
            continue;
        }
        sender->attempts[i] = 0;
        if (said->kind == SIM_SAID_ACK) {
            sender->acked = true;
            check_acknowledged(sim, said, sender->message);
            send_later(sim, index, sim_between(sim, 50, 600));
        } else {
            if (sim->clients->calm) {
                sim_fail(sim, "publisher %d: m%" PRIu64 " fails: %s", index, sender->message,
                         said->text);
            }
            sim_trace(sim, "publisher %d: m%" PRIu64 " at n%d: %s", index, sender->message,
                      sender->nodes[i], said->text);
            sender->acked |= sender->nameless; /* given up: it may be there or not */
            send_later(sim, index, sim_between(sim, 10, 400));
        }
        return;
    }
}

static void hear(struct sim *sim, const struct sim_said *said)
{
    if (said->kind == SIM_SAID_ACK || said->kind == SIM_SAID_NOT_ACKED) {
        hear_sender(sim, said);
    } else {
        hear_subscriber(sim, said);
    }
}

/* ---- what goes wrong ---- */

static void say_closed(struct sim *sim, int client, uint64_t connection, const char *text)
{
    struct sim_said *said = sim_said(SIM_SAID_CLOSED, 0);
    said->client = client;
    said->connection = connection;
    said->text = text;
    sim_clients_say(sim, said, sim_delay_ms(sim));
}

void sim_clients_gone(struct sim *sim, int node)
{
    struct sim_clients *clients = sim->clients;
    for (int i = 0; i < clients->subscribers_count; i++) {
        struct subscriber *subscriber = &clients->subscribers[i];
        if (subscriber->connection != 0 && subscriber->node == node) {
            say_closed(sim, i, subscriber->connection, "connection reset");
        }
        if (subscriber->old_connection != 0 && subscriber->old_node == node) {
            say_closed(sim, i, subscriber->old_connection, "connection reset");
        }
    }
    for (int i = 0; i < SENDERS; i++) {
        for (int k = 0; k < ATTEMPTS; k++) {
            if (clients->senders[i].attempts[k] != 0 && clients->senders[i].nodes[k] == node) {
                struct sim_said *said = sim_said(SIM_SAID_NOT_ACKED, 0);
                said->connection = clients->senders[i].attempts[k];
                said->text = "connection reset";
                sim_clients_say(sim, said, sim_delay_ms(sim));
            }
        }
    }
}

void sim_clients_disconnect(struct sim *sim, uint64_t pick)
{
    int index = (int)(pick % (uint64_t)sim->clients->subscribers_count);
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    if (subscriber->connection != 0) {
        bool told = pick >> 32 & 1;
        sim_trace(sim, "client %d: its connection breaks%s", index, told ? "" : ", unseen");
        if (told) {
            hang_up(sim, index, subscriber->node, subscriber->connection);
        }
        retry(sim, index);
    }
}

void sim_clients_slow(struct sim *sim, uint64_t pick)
{
    int index = (int)(pick % (uint64_t)sim->clients->subscribers_count);
    sim->clients->subscribers[index].pace_ms = (unsigned)sim_between(sim, 10, 400);
}

uint64_t sim_clients_publish(struct sim *sim, int node, const char *key, uint64_t message)
{
    message = message == 0 ? ++sim->clients->messages : message;
    uint64_t request = ++sim->clients->requests * SCRIPT_MESSAGES + message;
    struct publish *publish = publish_create(sim, 0, request * 16 + REQUEST_SCRIPT);
    publish_to(sim, publish, node);
    (void)snprintf(publish->key, sizeof(publish->key), "%s", key);
    publish->message = message;
    sim_after(sim, sim_delay_ms(sim), &publish->event);
    return message;
}

void sim_clients_connect(struct sim *sim, int index, int node)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    hang_up(sim, index, subscriber->node, subscriber->connection);
    connect_to(sim, index, node, (struct rh_hop){0});
}

void sim_clients_leave(struct sim *sim, int index)
{
    struct subscriber *subscriber = &sim->clients->subscribers[index];
    subscriber->gone = true;
    hang_up(sim, index, subscriber->node, subscriber->connection);
    subscriber->connection = 0;
}

static void crowd_key(unsigned index, char out[static SIM_KEY_SIZE])
{
    (void)snprintf(out, SIM_KEY_SIZE, "crowd:%u", index);
}

int sim_clients_crowd_owner(const struct sim *sim, unsigned index)
{
    char key[SIM_KEY_SIZE];
    crowd_key(index, key);
    int any = 0;
    while (!sim->nodes[any]->running) {
        any++; /* the cluster is at rest: some node runs, and all agree */
    }
    return sim_node_owner(sim, rh_core_view(sim->nodes[any]->core), key);
}

bool sim_clients_crowd_copy(const struct sim *sim, int node, unsigned index,
                            struct rh_copy_info *ret_info)
{
    char key[SIM_KEY_SIZE];
    crowd_key(index, key);
    return rh_core_copy_find(sim->nodes[node]->core, rh_bytes_text(key), ret_info);
}

void sim_clients_crowd(struct sim *sim)
{
    for (unsigned i = 0; i < sim->limits.crowd; i++) {
        char key[SIM_KEY_SIZE];
        crowd_key(i, key);
        int owner = sim_clients_crowd_owner(sim, i);
        if (owner >= 0) {
            sim_node_publish(sim, owner, REQUEST_INSPECTOR, key, ++sim->clients->messages, false);
        }
    }
}

void sim_clients_expect_calm(struct sim *sim, bool calm)
{
    sim->clients->calm = calm;
}

/* ---- the end ---- */

void sim_clients_finish_publishing(struct sim *sim)
{
    sim->clients->finishing = true;
    for (int i = 0; i < sim->clients->subscribers_count; i++) {
        sim->clients->subscribers[i].pace_ms = 0;
    }
}

bool sim_clients_have_finished(const struct sim *sim)
{
    return sim->clients->finishing;
}

void sim_clients_publish_last(struct sim *sim)
{
    struct sim_clients *clients = sim->clients;
    clients->last_sent = true;
    for (int i = 0; i < SIM_CHANNELS; i++) {
        struct sender *sender = &clients->senders[PUBLISHERS + i];
        sender->message = ++clients->messages;
        sender->channel = i;
        clients->last[i] = sender->message;
        attempt(sim, PUBLISHERS + i);
    }
}

static const char *subscriber_unrest(struct sim *sim, int index)
{
    struct sim_clients *clients = sim->clients;
    const struct subscriber *subscriber = &clients->subscribers[index];
    if (subscriber->gone) {
        return NULL;
    }
    if (clients->last_sent && !subscriber->has_last) {
        (void)snprintf(clients->unrest, sizeof(clients->unrest),
                       "client %d has not got the last message of %s", index, subscriber->key);
        return clients->unrest;
    }
    if (subscriber->is_read) {
        (void)snprintf(clients->unrest, sizeof(clients->unrest), "client %d was never answered",
                       index);
        return subscriber->has_after ? NULL : clients->unrest;
    }
    const struct sim_node *node = sim->nodes[subscriber->node];
    const struct sim_connection *relayed =
        subscriber->live && node->running && subscriber->may_relay
            ? sim_node_connection(sim, node->index, subscriber->connection)
            : NULL;
    if (relayed != NULL && relayed->subscription.state == RH_SUBSCRIPTION_RELAYED) {
        return sim_relay_connection_unrest(sim, node->index, relayed);
    }
    bool at_owner = subscriber->live && node->running &&
                    sim_node_owner(sim, rh_core_view(node->core), subscriber->key) == node->index;
    const struct sim_connection *connection =
        at_owner ? sim_node_connection(sim, node->index, subscriber->connection) : NULL;
    if (connection == NULL || connection->subscription.state != RH_SUBSCRIPTION_LIVE) {
        (void)snprintf(clients->unrest, sizeof(clients->unrest),
                       "client %d of %s is not live at the owner", index, subscriber->key);
        return clients->unrest;
    }
    return NULL;
}

const char *sim_clients_unrest(struct sim *sim)
{
    struct sim_clients *clients = sim->clients;
    for (int i = 0; i < SENDERS; i++) {
        const struct sender *sender = &clients->senders[i];
        if ((sender->message != 0 && !sender->acked) || sender->attempts[0] != 0 ||
            sender->attempts[1] != 0) {
            (void)snprintf(clients->unrest, sizeof(clients->unrest),
                           "publisher %d waits for an answer to m%" PRIu64, i, sender->message);
            return clients->unrest;
        }
    }
    for (int i = 0; i < clients->subscribers_count; i++) {
        const char *unrest = subscriber_unrest(sim, i);
        if (unrest != NULL) {
            return unrest;
        }
    }
    return NULL;
}

uint64_t sim_clients_received(const struct sim *sim)
{
    return sim->clients->received;
}

/* ---- life ---- */

/* One for each channel; nobody publishes by himself. */
static void create_scripted(struct sim *sim)
{
    struct sim_clients *clients = sim->clients;
    clients->subscribers_count = SIM_CHANNELS;
    clients->finishing = true;
    for (int i = 0; i < SIM_CHANNELS; i++) {
        clients->subscribers[i].channel = i;
        key_of(i, clients->subscribers[i].key);
        queue_turn(sim, i, 0, 1000, run_connect);
    }
}

void sim_clients_create(struct sim *sim)
{
    struct sim_clients *clients = calloc(1, sizeof(*clients));
    if (clients == NULL) {
        abort();
    }
    sim->clients = clients;
    for (int i = 0; i < SUBSCRIBERS_MAX; i++) {
        clients->subscribers[i].to_node_ms = calloc((size_t)sim->nodes_count, sizeof(uint64_t));
        if (clients->subscribers[i].to_node_ms == NULL) {
            abort();
        }
    }
    if (sim->scripted) {
        create_scripted(sim);
        return;
    }
    clients->subscribers_count = (int)sim_between(sim, 4, SUBSCRIBERS_MAX);
    for (int i = 0; i < clients->subscribers_count; i++) {
        struct subscriber *subscriber = &clients->subscribers[i];
        subscriber->channel = (int)sim_below(sim, SIM_CHANNELS);
        key_of(subscriber->channel, subscriber->key);
        subscriber->is_read = sim_chance(sim, 250);
        subscriber->offers_ringhop = sim_chance(sim, 500);
        subscriber->has_after = sim_chance(sim, 300);
        subscriber->may_relay = sim->options.relay && sim_chance(sim, 700);
        unsigned slow = sim->options.relay ? 300 : 100;
        subscriber->pace_ms = sim_chance(sim, slow) ? (unsigned)sim_between(sim, 5, 60) : 0;
        queue_turn(sim, i, 0, sim_below(sim, 1000), run_connect);
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        send_later(sim, i, sim_below(sim, 1000));
    }
}

void sim_clients_destroy(struct sim *sim)
{
    for (int i = 0; i < SUBSCRIBERS_MAX; i++) {
        free(sim->clients->subscribers[i].to_node_ms);
    }
    free(sim->clients);
}
