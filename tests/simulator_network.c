/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_network.h"

#include "proto/peer_codec.h"
#include "tests/simulator_describe.h"
#include "tests/simulator_node.h"
#include "tests/simulator_truth.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Defaults of node/ev_peer.h. */
#define PING_MS          1000U
#define PONG_TIMEOUT_MS  4000U
#define HELLO_TIMEOUT_MS 5000U
#define BACKOFF_MIN_MS   20U
#define BACKOFF_MAX_MS   2000U
#define REFUSED_SPAN_MS  1000U
#define REFUSALS_MIN     3U
#define STOOD_MS         1000U
#define ASKED_MS         900U /* until an answer to all that were asked is given up */
#define STALL_MS         25U  /* how often a way that is cut is tried */

enum link_state { LINK_NONE, LINK_WAITING, LINK_DIALLING, LINK_UP };

enum frame_kind { FRAME_PING, FRAME_PONG, FRAME_MESSAGE };

/* What is on the way on a connection. */
struct frame {
    struct rh_list link;
    uint64_t arrive_ms;
    enum frame_kind kind;
    struct rh_epoch epoch;
    size_t size;
    char data[];
};

/* One direction of a connection. */
struct pipe {
    struct rh_list frames;
    bool pumping; /* an event for the first frame is queued */
};

/* From |from|, who dialled and sends messages on it, to |to|. */
struct connection {
    int from;
    int to;
    uint64_t from_instance;
    uint64_t to_instance;
    bool closed;      /* nothing more is sent */
    uint64_t lost_ms; /* what arrives later is lost */
    struct pipe there;
    struct pipe back;
};

struct link {
    enum link_state state;
    struct rh_node_ref node;
    uint64_t turn; /* of its timers: those of an earlier turn mean nothing */
    uint32_t connection;
    uint64_t backoff_ms;
    unsigned refusals;
    uint64_t refused_since_ms;
    bool lost_to_them;
    uint64_t up_since_ms;
    uint64_t silence_ms;
};

/* The highest epoch of a process that the daemon was told of. */
struct shown {
    uint64_t instance;
    struct rh_epoch epoch;
};

/* From one node to another, as the one that dials has it. */
struct way {
    struct link link;
    struct shown shown;
    uint64_t member;   /* of the view: instance */
    uint64_t awaited;  /* beside it: instance */
    uint64_t deceived; /* instance */
    int cut;
    int firewall;
};

struct sim_network {
    int nodes_count;
    struct way *ways;       /* one by one */
    struct rh_epoch *epoch; /* that frames carry, per node */
    struct connection **connections;
    uint32_t connections_count;
    uint32_t connections_capacity;
    struct rh_list held; /* struct held_frame */
    struct rh_buffer buffer;
    struct rh_peer_decoder *decoder;
};

static struct way *way(const struct sim_network *network, int from, int to)
{
    return &network->ways[(size_t)from * (size_t)network->nodes_count + (size_t)to];
}

void sim_network_address(int node, char *out, size_t size)
{
    (void)snprintf(out, size, "h:%d", 7200 + node);
}

static int node_of_address(const char *address)
{
    int node = atoi(address + 2) - 7200;
    assert(node >= 0);
    return node;
}

static bool is_cut(const struct sim_network *network, int a, int b)
{
    return way(network, a, b)->cut > 0 || way(network, b, a)->cut > 0;
}

/* ---- connections ---- */

static uint32_t connection_create(struct sim *sim, int from, int to)
{
    struct sim_network *network = sim->network;
    if (network->connections_count == network->connections_capacity) {
        network->connections_capacity += 64 + network->connections_capacity / 2;
        network->connections =
            realloc(network->connections, network->connections_capacity * sizeof(void *));
    }
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || network->connections == NULL) {
        abort();
    }
    *connection = (struct connection){.from = from,
                                      .to = to,
                                      .from_instance = sim->nodes[from]->instance,
                                      .to_instance = sim->nodes[to]->instance,
                                      .lost_ms = UINT64_MAX};
    rh_list_init(&connection->there.frames);
    rh_list_init(&connection->back.frames);
    network->connections[network->connections_count] = connection;
    return network->connections_count++;
}

struct pump {
    struct sim_event event;
    uint32_t connection;
    bool back;
};

static void run_pump(struct sim *sim, struct sim_event *event);

static void pump(struct sim *sim, uint32_t index, bool back, uint64_t delay_ms)
{
    struct pump *next = sim_event(sizeof(*next), run_pump);
    next->connection = index;
    next->back = back;
    sim_after(sim, delay_ms, &next->event);
}

static void send_frame(struct sim *sim, uint32_t index, bool back, enum frame_kind kind,
                       struct rh_bytes data)
{
    struct connection *connection = sim->network->connections[index];
    struct pipe *pipe = back ? &connection->back : &connection->there;
    if (connection->closed) {
        return;
    }
    if (kind == FRAME_PING) {
        sim_count_one(&sim->counts.pings, 0);
    }
    struct frame *frame = calloc(1, sizeof(*frame) + data.size);
    if (frame == NULL) {
        abort();
    }
    frame->kind = kind;
    frame->epoch = sim->network->epoch[back ? connection->to : connection->from];
    frame->arrive_ms = sim->now_ms + sim_delay_ms(sim);
    frame->size = data.size;
    if (data.size > 0) {
        memcpy(frame->data, data.data, data.size);
    }
    rh_list_push_back(&pipe->frames, &frame->link);
    if (!pipe->pumping) {
        pipe->pumping = true;
        pump(sim, index, back, frame->arrive_ms - sim->now_ms);
    }
}

/* |node| has a frame of |peer|. */
static void note_epoch(struct sim *sim, int node, int peer, uint64_t instance,
                       struct rh_epoch epoch)
{
    struct shown *shown = &way(sim->network, node, peer)->shown;
    if (shown->instance != instance) {
        *shown = (struct shown){.instance = instance};
    }
    if (rh_epoch_compare(epoch, shown->epoch) > 0) {
        shown->epoch = epoch;
        struct rh_node_ref from = {.instance = instance};
        memcpy(from.id, sim->nodes[peer]->id, sizeof(from.id));
        sim_node_peer_epoch(sim, node, &from, epoch);
    }
}

/* ---- frames that arrive ---- */

static void receive_message(struct sim *sim, int to, int from_node, uint64_t from_instance,
                            struct rh_bytes data)
{
    struct rh_peer_message message;
    struct rh_reason reason;
    int rv = rh_peer_decoder_feed(sim->network->decoder, data.data, data.size);
    if (rv == 0) {
        rv = rh_peer_decoder_next(sim->network->decoder, &message, &reason);
    }
    if (rv != 0) {
        sim_fail(sim, "a message of n%d does not decode: %s", from_node, reason.text);
        return;
    }
    struct rh_node_ref from = {.instance = from_instance};
    memcpy(from.id, sim->nodes[from_node]->id, sizeof(from.id));
    sim_node_peer_message(sim, to, &from, &message);
    rv = rh_peer_decoder_next(sim->network->decoder, &message, &reason);
    assert(rv == RH_ERR_AGAIN);
}

/* A frame in the hands of the kernel of the receiver: its process may be paused. */
struct arrival {
    struct sim_event event;
    uint32_t connection;
    bool back;
    _Alignas(struct frame) char frame[]; /* struct frame with its data */
};

static void receive(struct sim *sim, uint32_t index, bool back, const struct frame *frame)
{
    struct connection *connection = sim->network->connections[index];
    int node = back ? connection->from : connection->to;
    struct link *link = &way(sim->network, connection->from, connection->to)->link;
    if (back && (link->state != LINK_UP || link->connection != index)) {
        return;
    }
    note_epoch(sim, node, back ? connection->to : connection->from,
               back ? connection->to_instance : connection->from_instance, frame->epoch);
    switch (frame->kind) {
    case FRAME_PING:
        send_frame(sim, index, true, FRAME_PONG, rh_bytes(NULL, 0));
        return;
    case FRAME_PONG:
        link->silence_ms = 0;
        return;
    case FRAME_MESSAGE:
        receive_message(sim, connection->to, connection->from, connection->from_instance,
                        rh_bytes(frame->data, frame->size));
        return;
    }
}

static void run_arrival(struct sim *sim, struct sim_event *event)
{
    struct arrival *arrival = rh_container_of(event, struct arrival, event);
    const struct connection *connection = sim->network->connections[arrival->connection];
    int node = arrival->back ? connection->from : connection->to;
    uint64_t instance = arrival->back ? connection->from_instance : connection->to_instance;
    if (sim_node_takes(sim, node, instance, event)) {
        receive(sim, arrival->connection, arrival->back,
                (const struct frame *)(const void *)arrival->frame);
    }
}

static void arrive(struct sim *sim, uint32_t index, bool back, const struct frame *frame)
{
    struct arrival *arrival =
        sim_event(sizeof(*arrival) + sizeof(*frame) + frame->size, run_arrival);
    arrival->event.unread = true;
    arrival->connection = index;
    arrival->back = back;
    memcpy(arrival->frame, frame, sizeof(*frame) + frame->size);
    sim_run_event(sim, &arrival->event);
}

static void drop_frames(struct pipe *pipe)
{
    rh_list_each_safe (&pipe->frames, link) {
        rh_list_remove(link);
        free(rh_container_of(link, struct frame, link));
    }
}

static void run_pump(struct sim *sim, struct sim_event *event)
{
    struct pump *now = rh_container_of(event, struct pump, event);
    struct connection *connection = sim->network->connections[now->connection];
    struct pipe *pipe = now->back ? &connection->back : &connection->there;
    int from = now->back ? connection->to : connection->from;
    int to = now->back ? connection->from : connection->to;
    if (sim->now_ms > connection->lost_ms) {
        drop_frames(pipe);
        return;
    }
    if (way(sim->network, from, to)->cut > 0) {
        pump(sim, now->connection, now->back, STALL_MS);
        return;
    }
    struct rh_list *first = rh_list_first(&pipe->frames);
    if (first == NULL) {
        pipe->pumping = false;
        return;
    }
    rh_list_remove(first);
    struct frame *frame = rh_container_of(first, struct frame, link);
    struct rh_list *next = rh_list_first(&pipe->frames);
    pipe->pumping = next != NULL;
    if (next != NULL) {
        uint64_t at_ms = rh_container_of(next, struct frame, link)->arrive_ms;
        pump(sim, now->connection, now->back, at_ms > sim->now_ms ? at_ms - sim->now_ms : 0);
    }
    arrive(sim, now->connection, now->back, frame);
    free(frame);
}

/* ---- links ---- */

struct timer {
    struct sim_event event;
    int node;
    int peer;
    uint64_t instance; /* of the process whose link it is */
    uint64_t turn;
};

static struct link *link_of(struct sim *sim, const struct timer *timer)
{
    struct link *link = &way(sim->network, timer->node, timer->peer)->link;
    return link->turn == timer->turn ? link : NULL;
}

static void start_timer(struct sim *sim, int node, int peer, uint64_t delay_ms, sim_run *run)
{
    struct timer *timer = sim_event(sizeof(*timer), run);
    timer->node = node;
    timer->peer = peer;
    timer->instance = sim->nodes[node]->instance;
    timer->turn = way(sim->network, node, peer)->link.turn;
    sim_after(sim, delay_ms, &timer->event);
}

static void run_dial(struct sim *sim, struct sim_event *event);
static void run_round(struct sim *sim, struct sim_event *event);

static void wait_to_dial(struct sim *sim, int node, int peer, uint64_t pause_ms)
{
    struct link *link = &way(sim->network, node, peer)->link;
    link->state = LINK_WAITING;
    link->turn++;
    start_timer(sim, node, peer, pause_ms, run_dial);
}

static uint64_t next_backoff(struct sim *sim, struct link *link)
{
    uint64_t pause_ms = link->backoff_ms;
    link->backoff_ms = pause_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms * 2;
    return pause_ms - sim_below(sim, pause_ms / 2 + 1);
}

static void report_dead(struct sim *sim, int node, int peer)
{
    const struct link *link = &way(sim->network, node, peer)->link;
    const struct sim_node *process = sim->nodes[peer];
    if (process->running && process->instance == link->node.instance) {
        way(sim->network, node, peer)->deceived = link->node.instance;
    }
    sim_trace(sim, "n%d: link to n%d: dead", node, peer);
    struct rh_node_ref ref = link->node;
    sim_node_peer_dead(sim, node, &ref);
}

static void dial_failed(struct sim *sim, int node, int peer)
{
    struct link *link = &way(sim->network, node, peer)->link;
    wait_to_dial(sim, node, peer, next_backoff(sim, link));
}

static void dial_refused(struct sim *sim, int node, int peer)
{
    struct link *link = &way(sim->network, node, peer)->link;
    if (link->refusals == 0) {
        link->refused_since_ms = sim->now_ms;
    }
    link->refusals += link->refusals < REFUSALS_MIN;
    dial_failed(sim, node, peer);
    if (link->lost_to_them || (link->refusals >= REFUSALS_MIN &&
                               sim->now_ms - link->refused_since_ms >= REFUSED_SPAN_MS)) {
        report_dead(sim, node, peer);
    }
}

static void run_no_answer(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    if (sim_node_takes(sim, timer->node, timer->instance, event) && link_of(sim, timer) != NULL) {
        way(sim->network, timer->node, timer->peer)->link.refusals = 0;
        dial_failed(sim, timer->node, timer->peer);
    }
}

/* The process died while we waited for its hello. */
static void run_dial_broken(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    if (sim_node_takes(sim, timer->node, timer->instance, event) && link_of(sim, timer) != NULL) {
        dial_failed(sim, timer->node, timer->peer);
    }
}

static void lost(struct sim *sim, int node, int peer, bool to_them)
{
    struct link *link = &way(sim->network, node, peer)->link;
    struct connection *connection = sim->network->connections[link->connection];
    connection->closed = true;
    if (connection->lost_ms == UINT64_MAX) {
        connection->lost_ms = sim->now_ms + sim_delay_ms(sim); /* flushed by the kernel, or not */
    }
    uint64_t stood_ms = sim->now_ms - link->up_since_ms;
    link->lost_to_them = to_them;
    if (stood_ms >= STOOD_MS) {
        link->backoff_ms = BACKOFF_MIN_MS;
        wait_to_dial(sim, node, peer, 0);
    } else {
        wait_to_dial(sim, node, peer, next_backoff(sim, link));
    }
    sim_trace(sim, "n%d: link to n%d: down, %s", node, peer, to_them ? "closed" : "silent");
    struct rh_node_ref ref = link->node;
    sim_node_peer_down(sim, node, &ref);
    if (sim_mutates(sim, SIM_MUTATION_SILENCE_IS_DEATH) && sim->nodes[node]->running) {
        sim_node_peer_dead(sim, node, &ref);
    }
}

static void run_lost(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    if (sim_node_takes(sim, timer->node, timer->instance, event) && link_of(sim, timer) != NULL) {
        lost(sim, timer->node, timer->peer, true);
    }
}

static void run_ping(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    if (!sim_node_takes(sim, timer->node, timer->instance, event)) {
        return;
    }
    struct link *link = link_of(sim, timer);
    if (link == NULL) {
        return;
    }
    link->silence_ms += PING_MS;
    if (link->silence_ms > PONG_TIMEOUT_MS) {
        lost(sim, timer->node, timer->peer, false);
        return;
    }
    send_frame(sim, link->connection, false, FRAME_PING, rh_bytes(NULL, 0));
    start_timer(sim, timer->node, timer->peer, PING_MS, run_ping);
}

/* Whether the process at the other end of a link answers pings. */
static bool is_answering(const struct sim *sim, int node, int peer)
{
    const struct sim_node *process = sim->nodes[peer];
    const struct link *link = &way(sim->network, node, peer)->link;
    return process->running && !process->paused && process->instance == link->node.instance &&
           !is_cut(sim->network, node, peer) &&
           !sim->network->connections[link->connection]->closed;
}

/* With many nodes: the pings of all links of a node, answered in the same instant. */
static void run_round(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    int node = timer->node;
    if (!sim_node_takes(sim, node, timer->instance, event)) {
        return;
    }
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        struct link *link = &way(sim->network, node, peer)->link;
        if (link->state != LINK_UP) {
            continue;
        }
        sim_count_one(&sim->counts.pings, 0);
        link->silence_ms += PING_MS;
        if (is_answering(sim, node, peer)) {
            link->silence_ms = 0;
            note_epoch(sim, peer, node, timer->instance, sim->network->epoch[node]);
            note_epoch(sim, node, peer, link->node.instance, sim->network->epoch[peer]);
        } else if (link->silence_ms > PONG_TIMEOUT_MS) {
            lost(sim, node, peer, false);
        }
    }
    sim_keep(event);
    sim_after(sim, PING_MS, event);
}

/* ---- dialling ---- */

/* The hellos: ours at them, then theirs at us. */
struct hello {
    struct sim_event event;
    int node;
    int peer;
    uint64_t instance; /* who dials */
    uint64_t turn;
    uint64_t peer_instance; /* who answers */
    struct rh_epoch epoch;
    bool back;
};

static void came_up(struct sim *sim, const struct hello *hello)
{
    struct link *link = &way(sim->network, hello->node, hello->peer)->link;
    link->state = LINK_UP;
    link->turn++;
    link->connection = connection_create(sim, hello->node, hello->peer);
    link->silence_ms = 0;
    link->up_since_ms = sim->now_ms;
    link->lost_to_them = false;
    link->refusals = 0;
    if (!sim->wide) {
        start_timer(sim, hello->node, hello->peer, PING_MS, run_ping);
    }
    sim_trace(sim, "n%d: link to n%d: up", hello->node, hello->peer);
    struct rh_node_ref ref = link->node;
    sim_node_peer_up(sim, hello->node, &ref);
    if (ref.instance == way(sim->network, hello->node, hello->peer)->awaited) {
        sim_node_show_view(sim, hello->node, &ref);
    }
    note_epoch(sim, hello->node, hello->peer, hello->peer_instance, hello->epoch);
    const struct sim_node *peer = sim->nodes[hello->peer];
    if (!peer->running || peer->instance != hello->peer_instance) {
        /* It died while its hello was on the way: the end of the connection follows. */
        sim->network->connections[link->connection]->closed = true;
        start_timer(sim, hello->node, hello->peer, sim_delay_ms(sim), run_lost);
    }
}

static void run_hello(struct sim *sim, struct sim_event *event)
{
    struct hello *hello = rh_container_of(event, struct hello, event);
    struct sim_network *network = sim->network;
    if (!hello->back) {
        if (!sim_node_takes(sim, hello->peer, hello->peer_instance, event)) {
            return;
        }
        note_epoch(sim, hello->peer, hello->node, hello->instance, hello->epoch);
        hello->back = true;
        hello->epoch = network->epoch[hello->peer];
        sim_keep(event);
        sim_after(sim, sim_delay_ms(sim), event);
        return;
    }
    if (!sim_node_takes(sim, hello->node, hello->instance, event)) {
        return;
    }
    struct link *link = &way(network, hello->node, hello->peer)->link;
    if (link->turn != hello->turn || link->state != LINK_DIALLING) {
        return;
    }
    if (is_cut(network, hello->node, hello->peer)) {
        return; /* the timer ends it */
    }
    if (hello->peer_instance == link->node.instance) {
        came_up(sim, hello);
        return;
    }
    dial_failed(sim, hello->node, hello->peer);
    struct rh_node_ref replaced = link->node;
    report_dead(sim, hello->node, hello->peer);
    sim_node_peer_replaced(sim, hello->node, &replaced);
}

/* What the kernel of the other side says to a SYN. */
static void run_syn(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    int node = timer->node;
    int peer = timer->peer;
    if (!sim_node_takes(sim, node, timer->instance, event) || link_of(sim, timer) == NULL) {
        return;
    }
    struct sim_network *network = sim->network;
    if (way(network, node, peer)->firewall > 0) {
        dial_refused(sim, node, peer);
    } else if (is_cut(network, node, peer)) {
        return; /* nothing, until the timer ends it */
    } else if (!sim->nodes[peer]->running) {
        dial_refused(sim, node, peer);
    } else {
        way(network, node, peer)->link.refusals = 0;
        struct hello *hello = sim_event(sizeof(*hello), run_hello);
        hello->node = node;
        hello->peer = peer;
        hello->instance = timer->instance;
        hello->turn = timer->turn;
        hello->peer_instance = sim->nodes[peer]->instance;
        hello->epoch = network->epoch[node];
        sim_after(sim, sim_delay_ms(sim), &hello->event);
    }
}

static void run_dial(struct sim *sim, struct sim_event *event)
{
    struct timer *timer = rh_container_of(event, struct timer, event);
    if (!sim_node_takes(sim, timer->node, timer->instance, event)) {
        return;
    }
    struct link *link = link_of(sim, timer);
    if (link == NULL) {
        return;
    }
    link->state = LINK_DIALLING;
    link->turn++;
    start_timer(sim, timer->node, timer->peer, HELLO_TIMEOUT_MS, run_no_answer);
    start_timer(sim, timer->node, timer->peer, sim_delay_ms(sim), run_syn);
}

/* ---- what the daemon asks ---- */

static void drop_link(struct sim *sim, int node, int peer)
{
    struct link *link = &way(sim->network, node, peer)->link;
    if (link->state == LINK_UP) {
        sim->network->connections[link->connection]->closed = true; /* what is queued arrives */
    }
    *link = (struct link){.turn = link->turn + 1};
}

/* A link to each member of the view, and to who is awaited. */
static void set_link(struct sim *sim, int node, int peer)
{
    struct sim_network *network = sim->network;
    struct link *link = &way(network, node, peer)->link;
    uint64_t instance = way(network, node, peer)->member;
    instance = instance == 0 ? way(network, node, peer)->awaited : instance;
    if (link->state != LINK_NONE && link->node.instance != instance) {
        drop_link(sim, node, peer);
    }
    if (instance != 0 && link->state == LINK_NONE) {
        link->node.instance = instance;
        memcpy(link->node.id, sim->nodes[peer]->id, sizeof(link->node.id));
        link->backoff_ms = BACKOFF_MIN_MS;
        wait_to_dial(sim, node, peer, 0);
    } else if (link->state == LINK_UP) {
        send_frame(sim, link->connection, false, FRAME_PING, rh_bytes(NULL, 0));
    }
}

void sim_network_set_view(struct sim *sim, int node, const struct rh_view *view)
{
    struct sim_network *network = sim->network;
    network->epoch[node] = view->epoch;
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        uint32_t index = rh_view_find(view, sim->nodes[peer]->id);
        bool there = index != RH_RING_NONE && sim_node_of(&view->members[index]) == peer;
        way(network, node, peer)->member = there ? view->members[index].instance : 0;
        if (peer != node) {
            set_link(sim, node, peer);
        }
    }
}

void sim_network_set_awaited(struct sim *sim, int node, const struct rh_membership_awaited *awaited,
                             size_t count)
{
    struct sim_network *network = sim->network;
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        way(network, node, peer)->awaited = 0;
    }
    for (size_t i = 0; i < count; i++) {
        way(network, node, node_of_address(awaited[i].address))->awaited = awaited[i].node.instance;
    }
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        if (peer != node && way(network, node, peer)->member == 0) {
            set_link(sim, node, peer);
        }
    }
}

void sim_network_show_awaited(struct sim *sim, int node)
{
    struct sim_network *network = sim->network;
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        const struct link *link = &way(network, node, peer)->link;
        if (link->state == LINK_UP && link->node.instance == way(network, node, peer)->awaited) {
            struct rh_node_ref ref = link->node;
            sim_node_show_view(sim, node, &ref);
        }
    }
}

/* A question to a node of the config file, of which any process may run there. */
struct question {
    struct sim_event event;
    int node;
    uint64_t instance;
    int peer; /* -1: all have been asked */
    uint64_t asked_ms;
    bool back;
    uint64_t peer_instance;
    struct rh_epoch epoch;
};

static void run_question(struct sim *sim, struct sim_event *event)
{
    struct question *question = rh_container_of(event, struct question, event);
    if (question->back || question->peer < 0) {
        if (!sim_node_takes(sim, question->node, question->instance, event)) {
            return;
        }
        if (question->peer < 0) {
            sim_node_peers_asked(sim, question->node);
            return;
        }
        if (sim->replicated && question->epoch.generation != 0) {
            sim_truth_told(sim, question->node, question->asked_ms + ASKED_MS);
        }
        struct rh_node_ref from = {.instance = question->peer_instance};
        memcpy(from.id, sim->nodes[question->peer]->id, sizeof(from.id));
        sim_node_peer_epoch(sim, question->node, &from, question->epoch);
        return;
    }
    const struct sim_node *peer = sim->nodes[question->peer];
    if (!peer->running || peer->paused || is_cut(sim->network, question->node, question->peer) ||
        way(sim->network, question->node, question->peer)->firewall > 0) {
        return;
    }
    question->back = true;
    question->peer_instance = peer->instance;
    question->epoch = sim->network->epoch[question->peer];
    sim_keep(event);
    sim_after(sim, sim_delay_ms(sim), event);
}

void sim_network_ask_all(struct sim *sim, int node)
{
    if (sim->replicated) {
        sim_truth_asks(sim, node);
    }
    for (int peer = -1; peer < sim->nodes_count; peer++) {
        if (peer == node) {
            continue;
        }
        struct question *question = sim_event(sizeof(*question), run_question);
        question->node = node;
        question->instance = sim->nodes[node]->instance;
        question->peer = peer;
        question->asked_ms = sim->now_ms;
        sim_after(sim, peer < 0 ? ASKED_MS : sim_delay_ms(sim), &question->event);
    }
}

/* What a script holds back. */
struct held_frame {
    struct sim_event event;
    struct rh_list link;
    int from;
    uint64_t from_instance;
    int to;
    uint64_t to_instance;
    struct rh_epoch epoch;
    size_t size;
    char data[];
};

static void run_held(struct sim *sim, struct sim_event *event)
{
    struct held_frame *held = rh_container_of(event, struct held_frame, event);
    if (sim_node_takes(sim, held->to, held->to_instance, event)) {
        note_epoch(sim, held->to, held->from, held->from_instance, held->epoch);
        receive_message(sim, held->to, held->from, held->from_instance,
                        rh_bytes(held->data, held->size));
    }
}

static void hold(struct sim *sim, int from, const struct link *link, struct rh_bytes data)
{
    const struct connection *connection = sim->network->connections[link->connection];
    struct held_frame *held = sim_event(sizeof(*held) + data.size, run_held);
    held->event.unread = true;
    held->from = from;
    held->from_instance = connection->from_instance;
    held->to = connection->to;
    held->to_instance = connection->to_instance;
    held->epoch = sim->network->epoch[from];
    held->size = data.size;
    memcpy(held->data, data.data, data.size);
    rh_list_push_back(&sim->network->held, &held->link);
}

void sim_network_release(struct sim *sim, int from, int to)
{
    rh_list_each_safe (&sim->network->held, link) {
        struct held_frame *held = rh_container_of(link, struct held_frame, link);
        if ((from >= 0 && held->from != from) || (to >= 0 && held->to != to)) {
            continue;
        }
        rh_list_remove(link);
        sim_after(sim, sim_delay_ms(sim), &held->event);
    }
}

static enum sim_fate fate_of(struct sim *sim, int from, int to,
                             const struct rh_peer_message *message)
{
    static const char *const fates[] = {"", ", lost", ", held back"};
    enum sim_fate fate = sim->filter == NULL ? SIM_FATE_SENT : sim->filter(sim, from, to, message);
    if (sim->replicated && sim->options.trace != NULL) {
        char text[SIM_TEXT_SIZE];
        sim_describe_message(message, text);
        sim_trace(sim, "n%d > n%d %s%s", from, to, text, fates[fate]);
    }
    return fate;
}

bool sim_network_send(struct sim *sim, int node, const struct rh_node_ref *to,
                      const struct rh_peer_message *message)
{
    int peer = sim_place_of(sim, to->instance);
    struct link *link = peer < 0 ? NULL : &way(sim->network, node, peer)->link;
    if (link == NULL || link->state != LINK_UP || !rh_node_ref_equal(&link->node, to)) {
        return false;
    }
    enum sim_fate fate = fate_of(sim, node, peer, message);
    if (fate == SIM_FATE_LOST) {
        return true;
    }
    rh_buffer_clear(&sim->network->buffer);
    int rv = rh_peer_encode(message, RH_PEER_FRAME_SIZE_MAX, &sim->network->buffer);
    if (rv != 0) {
        sim_fail(sim, "n%d: a message cannot be encoded: %s", node, rh_error_text(rv));
        return false;
    }
    sim_count_one(&sim->counts.messages[message->kind],
                  rh_buffer_content(&sim->network->buffer).size);
    if (fate == SIM_FATE_HELD) {
        hold(sim, node, link, rh_buffer_content(&sim->network->buffer));
    } else {
        send_frame(sim, link->connection, false, FRAME_MESSAGE,
                   rh_buffer_content(&sim->network->buffer));
    }
    return true;
}

struct probe {
    struct sim_event event;
    int node;
    uint64_t instance;
    enum rh_membership_probe result;
};

static void run_probe(struct sim *sim, struct sim_event *event)
{
    struct probe *probe = rh_container_of(event, struct probe, event);
    if (sim_node_takes(sim, probe->node, probe->instance, event)) {
        sim_node_probed(sim, probe->node, probe->result);
    }
}

void sim_network_probe(struct sim *sim, int node, const struct rh_node_ref *probed,
                       const char *address)
{
    int peer = node_of_address(address);
    const struct sim_node *process = sim->nodes[peer];
    struct probe *probe = sim_event(sizeof(*probe), run_probe);
    probe->node = node;
    probe->instance = sim->nodes[node]->instance;
    uint64_t delay_ms = 2 * sim_delay_ms(sim);
    if (peer == node || !process->running || way(sim->network, node, peer)->firewall > 0) {
        probe->result = RH_MEMBERSHIP_PROBE_DEAD; /* only we listen there, or nobody does */
    } else if (process->paused || is_cut(sim->network, node, peer)) {
        probe->result = RH_MEMBERSHIP_PROBE_UNKNOWN;
        delay_ms = HELLO_TIMEOUT_MS;
    } else {
        probe->result = process->instance == probed->instance ? RH_MEMBERSHIP_PROBE_ANSWERS
                                                              : RH_MEMBERSHIP_PROBE_DEAD;
    }
    sim_after(sim, delay_ms, &probe->event);
}

bool sim_network_is_up(const struct sim *sim, int node, int peer)
{
    const struct link *link = &way(sim->network, node, peer)->link;
    return link->state == LINK_UP && link->node.instance == sim->nodes[peer]->instance;
}

bool sim_network_was_deceived(const struct sim *sim, int node, int peer, uint64_t instance)
{
    return way(sim->network, node, peer)->deceived == instance;
}

/* ---- what goes wrong ---- */

/* The connection ends for a reason on their side; the dialler learns of it unless the way is cut. */
static void end_connection(struct sim *sim, int from, int to)
{
    struct link *link = &way(sim->network, from, to)->link;
    if (link->state != LINK_UP) {
        return;
    }
    struct connection *connection = sim->network->connections[link->connection];
    connection->closed = true;
    connection->lost_ms = sim->now_ms + sim_delay_ms(sim);
    if (way(sim->network, to, from)->cut == 0) {
        start_timer(sim, from, to, sim_delay_ms(sim), run_lost);
    }
}

void sim_network_cut(struct sim *sim, int from, int to, bool cut)
{
    way(sim->network, from, to)->cut += cut ? 1 : -1;
    assert(way(sim->network, from, to)->cut >= 0);
}

void sim_network_firewall(struct sim *sim, int from, int to, bool on)
{
    way(sim->network, from, to)->firewall += on ? 1 : -1;
    if (on) {
        end_connection(sim, from, to);
    }
}

void sim_network_reset(struct sim *sim, int from, int to)
{
    end_connection(sim, from, to);
}

void sim_network_reset_from(struct sim *sim, int node, const struct rh_node_ref *peer)
{
    int from = sim_place_of(sim, peer->instance);
    if (from >= 0 && from != node && sim->nodes[from]->running &&
        sim->nodes[from]->instance == peer->instance) {
        end_connection(sim, from, node);
    }
}

/* ---- life ---- */

void sim_network_attach(struct sim *sim, int node)
{
    sim->network->epoch[node] = (struct rh_epoch){0};
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        struct way *fresh = way(sim->network, node, peer);
        *fresh = (struct way){
            .link.turn = fresh->link.turn + 1, .cut = fresh->cut, .firewall = fresh->firewall};
    }
    if (sim->wide) {
        start_timer(sim, node, node, PING_MS, run_round);
    }
}

void sim_network_detach(struct sim *sim, int node)
{
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        struct link *link = &way(sim->network, node, peer)->link;
        if (link->state == LINK_UP) {
            struct connection *connection = sim->network->connections[link->connection];
            connection->closed = true;
            connection->lost_ms = sim->now_ms + sim_delay_ms(sim);
        }
        *link = (struct link){.turn = link->turn + 1};
        end_connection(sim, peer, node);
        if (way(sim->network, peer, node)->link.state == LINK_DIALLING &&
            !is_cut(sim->network, peer, node)) {
            start_timer(sim, peer, node, sim_delay_ms(sim), run_dial_broken);
        }
    }
}

struct sim_network *sim_network_create(const struct sim *sim)
{
    struct sim_network *network = calloc(1, sizeof(*network));
    if (network == NULL || rh_peer_decoder_create(RH_PEER_FRAME_SIZE_MAX, &network->decoder) != 0) {
        abort();
    }
    size_t count = (size_t)sim->nodes_count;
    network->nodes_count = sim->nodes_count;
    network->ways = calloc(count * count, sizeof(*network->ways));
    network->epoch = calloc(count, sizeof(*network->epoch));
    if (network->ways == NULL || network->epoch == NULL) {
        abort();
    }
    rh_list_init(&network->held);
    return network;
}

void sim_network_destroy(struct sim_network *network)
{
    rh_list_each_safe (&network->held, link) {
        rh_list_remove(link);
        free(rh_container_of(link, struct held_frame, link));
    }
    for (uint32_t i = 0; i < network->connections_count; i++) {
        drop_frames(&network->connections[i]->there);
        drop_frames(&network->connections[i]->back);
        free(network->connections[i]);
    }
    free(network->connections);
    free(network->ways);
    free(network->epoch);
    rh_buffer_finish(&network->buffer);
    rh_peer_decoder_destroy(network->decoder);
    free(network);
}
