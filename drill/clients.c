/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/clients.h"

#include "base/list.h"
#include "cli/random.h"
#include "cli/url.h"
#include "drill/connection.h"
#include "drill/payload.h"
#include "drill/settings.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HOPS_MAX       8U /* redirects of one try */
#define PAUSE_FIRST_MS 100U
#define PAUSE_MAX_MS   5000U
#define STARTS_MAX     64U    /* in one turn of the loop */
#define AGAIN_FACTOR   8U     /* of connecting_max, for those who come back */
#define SOURCE_CLIENTS 16384U /* of one worker share a loopback address */
#define SOURCES        64U    /* of one worker */
#define SCAN_PARTS     4U     /* clients are looked at once in so many ticks */
#define STABLE_MS      1000U  /* a connection that lasted so long was a good one */

enum client_state {
    CLIENT_WAITING, /* for its turn, or for a node */
    CLIENT_CONNECTING,
    CLIENT_CONNECTED,
    CLIENT_PAUSING, /* before the next try */
};

/* One client, whatever connections it has in turn. */
struct rh_client {
    struct rh_list link; /* WAITING: in a queue */
    struct rh_clients *clients;
    struct rh_worker_channel *channel;
    struct rh_follower follower;
    struct rh_ledger_client ledger;
    struct rh_connection *current; /* that was welcome; quiet once `moved` was told */
    struct rh_connection *next;    /* CONNECTING */
    char *next_url;                /* where it was sent; NULL: to any node */
    ev_timer pause;
    uint64_t gap_from_us; /* since when it has no good connection; 0: it has one */
    uint64_t welcome_ms;  /* when it was welcome last */
    uint16_t gap_step;
    uint8_t state;
    uint8_t node;     /* of the last welcome */
    uint8_t failures; /* tries in vain since there was a connection that lasted */
    uint8_t hops;     /* since the last try at a node of its own choice */
    bool ever;        /* welcome at least once */
    bool explained;   /* what made the gap */
};

struct rh_clients {
    struct rh_worker *worker;
    struct rh_client *all;
    uint32_t count;
    struct rh_list first; /* WAITING, never welcome yet */
    struct rh_list again; /* WAITING, the others */
    uint32_t first_connecting;
    uint32_t again_connecting;
    uint32_t connected;
    uint32_t elsewhere;
    uint32_t quiet;   /* old connections that are still there */
    uint32_t scanned; /* where the next scan goes on */
    ev_timer pump;
    struct rh_buffer scratch;
};

static void wait_in_line(struct rh_client *client);

/* --- State -------------------------------------------------------------------------------------- */

static void count_state(struct rh_client *client, uint32_t by)
{
    struct rh_clients *clients = client->clients;
    if (client->state == CLIENT_CONNECTED) {
        clients->connected += by;
        if (client->node == RH_WORKER_NODE_NONE) {
            clients->elsewhere += by;
        } else {
            clients->worker->nodes[client->node].connections += by;
        }
    } else if (client->state == CLIENT_CONNECTING) {
        *(client->ever ? &clients->again_connecting : &clients->first_connecting) += by;
    }
}

/* The counts by state follow from here; |node| and |ever| are changed through it, too. */
static void set_state(struct rh_client *client, enum client_state state, uint32_t node)
{
    static const unsigned allowed[] = {
        [CLIENT_WAITING] = 1U << CLIENT_CONNECTING | 1U << CLIENT_PAUSING,
        [CLIENT_CONNECTING] = 1U << CLIENT_CONNECTED | 1U << CLIENT_PAUSING | 1U << CLIENT_WAITING,
        [CLIENT_CONNECTED] = 1U << CLIENT_WAITING | 1U << CLIENT_PAUSING,
        [CLIENT_PAUSING] = 1U << CLIENT_WAITING,
    };
    assert((allowed[client->state] & (1U << state)) != 0);
    count_state(client, UINT32_MAX); /* minus one */
    client->state = (uint8_t)state;
    client->node = (uint8_t)node;
    client->ever = client->ever || state == CLIENT_CONNECTED;
    count_state(client, 1);
}

/* The step to which what happens to the client now is counted. */
static struct rh_load_step *step_of(const struct rh_client *client)
{
    struct rh_worker *worker = client->clients->worker;
    return rh_worker_step(worker, client->gap_from_us != 0 ? client->gap_step : worker->step);
}

static void begin_gap(struct rh_client *client, uint64_t from_us, bool explained)
{
    if (client->gap_from_us == 0) {
        client->gap_from_us = from_us;
        client->gap_step = (uint16_t)client->clients->worker->step;
        client->explained = explained;
    }
}

static void drop_current(struct rh_client *client)
{
    if (client->current != NULL) {
        client->clients->quiet -= client->current->state == RH_CONNECTION_QUIET;
        rh_connection_destroy(client->current);
        client->current = NULL;
    }
}

/* --- Connecting --------------------------------------------------------------------------------- */

static void go_to(struct rh_client *client, const char *url)
{
    free(client->next_url);
    client->next_url = strdup(url);
    if (client->next_url == NULL) {
        rh_worker_fail(client->clients->worker, "out of memory");
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    wait_in_line(timer->data);
}

/* Tries again: the first time at once, then after pauses that grow. */
static void try_again(struct rh_client *client)
{
    struct rh_worker *worker = client->clients->worker;
    client->failures = (uint8_t)(client->failures + (client->failures < UINT8_MAX));
    if (client->failures == 1) {
        wait_in_line(client);
        return;
    }
    uint32_t pause_ms = rh_backoff_ms(client->failures - 2U, PAUSE_FIRST_MS, PAUSE_MAX_MS,
                                      rh_worker_random(worker));
    set_state(client, CLIENT_PAUSING, client->node);
    client->pause.data = client;
    ev_timer_init(&client->pause, on_pause_over, pause_ms / 1e3, 0.0);
    ev_timer_start(worker->loop, &client->pause);
}

static void tried_in_vain(struct rh_client *client, const char *format, ...) RH_PRINTF(2, 3);

/* A try has come to nothing, and that is why; the next one is at any node. */
static void tried_in_vain(struct rh_client *client, const char *format, ...)
{
    char *failure = client->clients->worker->failure;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(failure, RH_LOAD_FAILURE_SIZE, format, args);
    va_end(args);
    step_of(client)->counts.failed++;
    rh_connection_destroy(client->next);
    client->next = NULL;
    free(client->next_url);
    client->next_url = NULL;
    client->hops = 0;
    try_again(client);
}

static bool take_text(struct rh_connection *connection, struct rh_bytes text);
static void take_end(struct rh_connection *connection, const struct rh_connection_ended *ended);

static const struct rh_connection_handler handler = {.text = take_text, .ended = take_end};

/* The URL of the next try, with the position of the client. */
static void choose_url(struct rh_client *client, uint32_t node, char url[static RH_URL_TEXT_SIZE])
{
    struct rh_worker *worker = client->clients->worker;
    char base[RH_URL_TEXT_SIZE];
    char path[RH_URL_TEXT_SIZE];
    char position[RH_POSITION_TEXT_SIZE];
    int rv = 0;
    if (client->next_url != NULL) {
        (void)snprintf(base, sizeof(base), "%s", client->next_url);
    } else {
        rv = rh_url_channel_path(rh_bytes_text(client->channel->key), "ws", path, sizeof(path));
        int length = snprintf(base, sizeof(base), "ws://%s%s", worker->nodes[node].host,
                              rv == 0 ? path : "");
        rv = rv == 0 && (size_t)length >= sizeof(base) ? RH_ERR_TOO_LARGE : rv;
    }
    if (rv == 0 && client->follower.has_position) {
        rh_position_format(client->follower.position, position);
        rv = rh_url_set_query(base, "after", position, url, RH_URL_TEXT_SIZE);
    } else {
        (void)memcpy(url, base, RH_URL_TEXT_SIZE);
    }
    rh_worker_check(worker, rv);
}

/* Begins a try. The client is in CONNECTING. */
static void start(struct rh_client *client, uint32_t node)
{
    struct rh_clients *clients = client->clients;
    char url[RH_URL_TEXT_SIZE];
    uint32_t number = (uint32_t)(client - clients->all);
    uint32_t source =
        clients->worker->settings->number * SOURCES + number / SOURCE_CLIENTS % SOURCES;
    choose_url(client, node, url);
    rh_follower_connect(&client->follower);
    int rv = rh_connection_open(clients->worker, &handler, client, url, client->failures, source,
                                &client->next);
    if (rv == RH_ERR_FULL && client->current != NULL) {
        drop_current(client); /* what is left of it is its descriptor */
        rv = rh_connection_open(clients->worker, &handler, client, url, client->failures, source,
                                &client->next);
    }
    if (rv != 0) {
        tried_in_vain(client, "%s", rh_error_text(rv));
    }
}

/* Lets those who wait connect, a bounded number at the same time. */
static bool pump_queue(struct rh_clients *clients, struct rh_list *queue,
                       const uint32_t *connecting, uint32_t connecting_max)
{
    for (uint32_t i = 0; *connecting < connecting_max && !rh_list_empty(queue); i++) {
        struct rh_client *client = rh_container_of(rh_list_first(queue), struct rh_client, link);
        uint32_t node =
            client->next_url != NULL ? RH_WORKER_NODE_NONE : rh_worker_pick_node(clients->worker);
        if (node == RH_WORKER_NODE_NONE && client->next_url == NULL) {
            return false; /* set_node will wake us */
        }
        if (i == STARTS_MAX) {
            return true;
        }
        rh_list_remove(&client->link);
        set_state(client, CLIENT_CONNECTING, client->node);
        start(client, node);
    }
    return false;
}

static void on_pump(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct rh_clients *clients = timer->data;
    const struct rh_worker_settings *settings = clients->worker->settings;
    uint32_t max = settings->load.connecting_max / settings->workers_count;
    max = max == 0 ? 1 : max;
    bool more =
        pump_queue(clients, &clients->again, &clients->again_connecting, AGAIN_FACTOR * max);
    more = pump_queue(clients, &clients->first, &clients->first_connecting, max) || more;
    if (more) {
        rh_clients_wake(clients);
    }
}

void rh_clients_wake(struct rh_clients *clients)
{
    if (!ev_is_active(&clients->pump)) {
        ev_timer_set(&clients->pump, 0.0, 0.0);
        ev_timer_start(clients->worker->loop, &clients->pump);
    }
}

static void wait_in_line(struct rh_client *client)
{
    set_state(client, CLIENT_WAITING, client->node);
    rh_list_push_back(client->ever ? &client->clients->again : &client->clients->first,
                      &client->link);
    rh_clients_wake(client->clients);
}

/* Goes on with the same try elsewhere, unless it has become a chain without end. */
static void follow(struct rh_client *client, const char *url)
{
    step_of(client)->counts.redirected++;
    client->hops++;
    if (client->hops > HOPS_MAX) {
        tried_in_vain(client, "redirected without end");
        return;
    }
    go_to(client, url);
    rh_connection_destroy(client->next);
    client->next = NULL;
    start(client, RH_WORKER_NODE_NONE);
}

/* --- What a connection brings ------------------------------------------------------------------- */

static void judge_return(struct rh_client *client, uint32_t node)
{
    struct rh_worker *worker = client->clients->worker;
    struct rh_load_step *step = step_of(client);
    step->counts.moved += client->ever && node != client->node;
    if (client->gap_from_us == 0) {
        return;
    }
    rh_histogram_add(&step->gap_us, rh_worker_now_us() - client->gap_from_us);
    if (node == client->node && !client->explained) {
        step->counts.disconnected_unaffected++;
        rh_problems_add(&worker->problems,
                        "%s: client %u had to connect to %s again, which owned the channel all "
                        "the time",
                        client->channel->key, client->ledger.number,
                        rh_worker_node_name(worker, node));
    }
}

static void take_welcome(struct rh_client *client, struct rh_connection *connection,
                         const struct rh_follower_item *item)
{
    struct rh_worker *worker = client->clients->worker;
    uint32_t node = rh_worker_find_node(worker, item->node);
    judge_return(client, node);
    step_of(client)->counts.connects++;
    const struct rh_ledger_book book = {.counts = &step_of(client)->counts,
                                        .problems = &worker->problems};
    rh_worker_check(worker,
                    rh_ledger_welcome(&client->channel->ledger, book, &client->ledger,
                                      item->start.incarnation, item->start.seq, item->recovered));
    drop_current(client);
    client->current = connection;
    client->next = NULL;
    free(client->next_url);
    client->next_url = NULL;
    client->hops = 0;
    client->gap_from_us = 0;
    client->welcome_ms = rh_worker_now_ms();
    set_state(client, CLIENT_CONNECTED, node);
    rh_clients_wake(client->clients);
}

/* A message, whatever the follower thinks of it. */
static void take_message(struct rh_client *client, const struct rh_follower_item *item)
{
    struct rh_worker *worker = client->clients->worker;
    uint32_t number = 0;
    if (client->ledger.incarnation == 0) {
        return; /* before a welcome: the follower will say so */
    }
    if (rh_payload_read(item->payload, client->channel->number, worker->settings->load.payload_size,
                        &number) != 0) {
        number = UINT32_MAX; /* none that was published: the ledger says so */
    }
    rh_worker_check(worker, rh_ledger_receive(&client->channel->ledger, rh_worker_book(worker),
                                              &client->ledger, item->seq, number));
}

/* The connection is over. If it lasted, what was before it is forgotten. */
static void forget_failures(struct rh_client *client)
{
    if (rh_worker_now_ms() - client->welcome_ms >= STABLE_MS) {
        client->failures = 0;
    }
}

/* The node that serves us says where the channel goes: the old connection stays until the new one
 * stands, but nothing more comes by it. */
static void take_moved(struct rh_client *client, struct rh_connection *connection, const char *url)
{
    struct rh_clients *clients = client->clients;
    const struct rh_worker *worker = clients->worker;
    begin_gap(client, rh_worker_now_us(),
              rh_worker_node_disturbed(worker, client->node, connection->heard_ms));
    step_of(client)->counts.told_moved++;
    forget_failures(client);
    go_to(client, url);
    rh_connection_quiet(connection);
    clients->quiet++;
    uint32_t spare = worker->settings->descriptors_max / 8;
    if (clients->count + clients->quiet > worker->settings->descriptors_max - spare) {
        drop_current(client);
    }
    wait_in_line(client);
}

/* The connection that served us is over, and nobody announced it. */
static void lost(struct rh_client *client, uint64_t from_us, const char *why)
{
    struct rh_worker *worker = client->clients->worker;
    bool explained = rh_worker_node_disturbed(worker, client->node, client->current->heard_ms);
    begin_gap(client, from_us, explained);
    if (explained) {
        step_of(client)->counts.resets_explained++;
    } else {
        step_of(client)->counts.resets_unexplained++;
        rh_problems_add(&worker->problems, "%s: client %u lost its connection to %s (%s)",
                        client->channel->key, client->ledger.number,
                        rh_worker_node_name(worker, client->node), why);
    }
    drop_current(client);
    forget_failures(client);
    try_again(client);
}

static void describe(const struct rh_connection_ended *ended,
                     char text[static RH_LOAD_FAILURE_SIZE])
{
    static const char *const texts[] = {
        [RH_CONNECTION_UNREACHABLE] = "not reachable",
        [RH_CONNECTION_REFUSED] = "answered with HTTP",
        [RH_CONNECTION_REDIRECTED] = "redirected with HTTP",
        [RH_CONNECTION_CLOSED] = "closed with code",
        [RH_CONNECTION_BROKEN] = "broken off",
    };
    if (ended->code == 0) {
        (void)snprintf(text, RH_LOAD_FAILURE_SIZE, "%s", texts[ended->how]);
    } else {
        (void)snprintf(text, RH_LOAD_FAILURE_SIZE, "%s %u", texts[ended->how], ended->code);
    }
}

static void take_end(struct rh_connection *connection, const struct rh_connection_ended *ended)
{
    struct rh_client *client = connection->client;
    char why[RH_LOAD_FAILURE_SIZE];
    describe(ended, why);
    if (connection == client->current) {
        lost(client, rh_worker_now_us(), why);
    } else if (ended->how == RH_CONNECTION_REDIRECTED) {
        follow(client, ended->location);
    } else {
        tried_in_vain(client, "%s", why);
        rh_clients_wake(client->clients);
    }
}

/* The URL of `moved`; false: it is none that can be gone to. */
static bool read_url(const struct rh_client *client, const struct rh_follower_item *item,
                     char url[static RH_URL_TEXT_SIZE])
{
    char text[RH_URL_TEXT_SIZE];
    const struct rh_worker *worker = client->clients->worker;
    const char *base =
        client->node == RH_WORKER_NODE_NONE ? "ws:" : worker->nodes[client->node].url;
    *rh_bytes_write(text, item->url) = '\0';
    return rh_url_resolve(base, text, url, RH_URL_TEXT_SIZE) == 0;
}

static bool take_text(struct rh_connection *connection, struct rh_bytes text)
{
    struct rh_client *client = connection->client;
    const struct rh_connection_ended broken = {.how = RH_CONNECTION_BROKEN};
    struct rh_follower_item item;
    enum rh_follower_event event;
    char url[RH_URL_TEXT_SIZE];
    rh_worker_check(
        client->clients->worker,
        rh_follower_take(&client->follower, text, &client->clients->scratch, &event, &item));
    if (item.seq != 0) {
        take_message(client, &item);
    }
    switch (event) {
    case RH_FOLLOWER_WELCOME:
    case RH_FOLLOWER_GAP:
        take_welcome(client, connection, &item);
        return true;
    case RH_FOLLOWER_MESSAGE:
    case RH_FOLLOWER_NOTHING:
    case RH_FOLLOWER_ERROR: /* the node closes after it, if it must */
        return true;
    case RH_FOLLOWER_MOVED:
    case RH_FOLLOWER_REDIRECTED:
        if (!read_url(client, &item, url)) {
            break;
        }
        if (event == RH_FOLLOWER_MOVED) {
            take_moved(client, connection, url);
        } else {
            follow(client, url);
        }
        return false;
    case RH_FOLLOWER_BROKEN:
        break;
    }
    take_end(connection, &broken);
    return false;
}

/* --- Silence ------------------------------------------------------------------------------------ */

/* From the last sign of life, or from when its node was disturbed if that was later. */
static uint64_t silent_since_us(const struct rh_client *client)
{
    const struct rh_worker *worker = client->clients->worker;
    uint64_t since_ms = client->current->heard_ms;
    if (client->node != RH_WORKER_NODE_NONE &&
        worker->nodes[client->node].disturbed_from_ms > since_ms) {
        since_ms = worker->nodes[client->node].disturbed_from_ms;
    }
    return since_ms * 1000U;
}

static void look_at(struct rh_client *client, uint64_t now_ms)
{
    const struct rh_load_settings *settings = &client->clients->worker->settings->load;
    if (client->state == CLIENT_CONNECTED) {
        uint64_t silence_ms = now_ms - client->current->heard_ms;
        if (silence_ms >= settings->silence_max_ms) {
            lost(client, silent_since_us(client), "not a sign of life");
        } else if (silence_ms >= settings->silence_ms && !client->current->pinged) {
            rh_connection_ping(client->current);
        }
    } else if (client->state == CLIENT_CONNECTING &&
               now_ms - client->next->heard_ms >= settings->connect_ms) {
        tried_in_vain(client, "no answer within %u ms", (unsigned)settings->connect_ms);
        rh_clients_wake(client->clients);
    }
}

void rh_clients_tick(struct rh_clients *clients)
{
    uint64_t now_ms = rh_worker_now_ms();
    uint32_t part = clients->count / SCAN_PARTS + 1;
    for (uint32_t i = 0; i < part && i < clients->count; i++) {
        clients->scanned = clients->scanned + 1 < clients->count ? clients->scanned + 1 : 0;
        look_at(&clients->all[clients->scanned], now_ms);
    }
}

/* --- All of them -------------------------------------------------------------------------------- */

static void add_clients(struct rh_clients *clients, struct rh_worker_channel *channel,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct rh_client *client = &clients->all[clients->count++];
        client->clients = clients;
        client->channel = channel;
        client->ledger.number = i;
        client->node = RH_WORKER_NODE_NONE;
        rh_follower_init(&client->follower, NULL);
        rh_list_push_back(&clients->first, &client->link);
    }
}

struct rh_clients *rh_clients_create(struct rh_worker *worker)
{
    const struct rh_load_settings *settings = &worker->settings->load;
    struct rh_clients *clients = calloc(1, sizeof(*clients));
    uint32_t count = 0;
    for (uint32_t i = 0; i < worker->channels_count; i++) {
        count += rh_settings_clients(settings, worker->channels[i].number);
    }
    struct rh_client *all = calloc(count + 1U, sizeof(*all));
    if (clients == NULL || all == NULL) {
        rh_worker_fail(worker, "out of memory");
    }
    clients->worker = worker;
    clients->all = all;
    rh_list_init(&clients->first);
    rh_list_init(&clients->again);
    ev_timer_init(&clients->pump, on_pump, 0.0, 0.0);
    clients->pump.data = clients;
    for (uint32_t i = 0; i < worker->channels_count; i++) {
        add_clients(clients, &worker->channels[i],
                    rh_settings_clients(settings, worker->channels[i].number));
    }
    return clients;
}

uint32_t rh_clients_connected(const struct rh_clients *clients)
{
    return clients->connected;
}

uint32_t rh_clients_elsewhere(const struct rh_clients *clients)
{
    return clients->elsewhere;
}

bool rh_clients_settled(const struct rh_clients *clients)
{
    if (clients->connected < clients->count) {
        return false;
    }
    for (uint32_t i = 0; i < clients->count; i++) {
        const struct rh_client *client = &clients->all[i];
        if (!rh_ledger_settled(&client->channel->ledger, &client->ledger)) {
            return false;
        }
    }
    return true;
}

void rh_clients_close_ledgers(struct rh_clients *clients, struct rh_ledger_book book)
{
    book.counts->not_connected += clients->count - clients->connected;
    for (uint32_t i = 0; i < clients->count; i++) {
        struct rh_client *client = &clients->all[i];
        rh_ledger_close(&client->channel->ledger, book, &client->ledger);
    }
}
