/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "node/clock.h"
#include <assert.h>

/* Publishes of one WebSocket that are not answered yet; more are refused, not queued. */
#define REQUESTS_MAX 1024U

/* How long an EventSource waits before it comes back, so that many do not come at once. */
#define RETRY_MIN_MS 500U
#define RETRY_MAX_MS 3000U

void rh_daemon_stream_close(struct rh_daemon_client *client, uint16_t code, const char *reason)
{
    if (client->kind == RH_DAEMON_EVENTS) {
        rh_http_connection_end_events(client->connection);
    } else {
        rh_http_connection_close_websocket(client->connection, code, reason);
    }
}

static void accept(struct rh_daemon_client *client)
{
    if (client->accepted) {
        return;
    }
    if (client->kind == RH_DAEMON_EVENTS) {
        rh_http_connection_accept_events(client->connection);
    } else {
        rh_http_connection_accept_websocket(client->connection);
    }
    client->accepted = true;
}

/* For who gets events. Without a random number all come at the same time, which is better than not at
 * all. */
static uint32_t retry_ms(uint8_t kind)
{
    uint64_t random = 0;
    if (kind != RH_DAEMON_EVENTS) {
        return 0;
    }
    if (rh_clock_random(&random) != 0) {
        random = 0;
    }
    return RETRY_MIN_MS + (uint32_t)(random % (RETRY_MAX_MS - RETRY_MIN_MS));
}

/* A consumer that cannot follow is told to resume: what it did not get is in the log. */
static void close_slow(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    if (client->is_slow) {
        return;
    }
    client->is_slow = true;
    daemon->slow_consumers++;
    rh_http_connection_drop_send_queue(client->connection);
    rh_daemon_stream_close(client, RH_WEBSOCKET_CODE_TOO_SLOW,
                           "too slow: resume from your last message");
}

/* Queues a frame. Whatever is wrong with the connection, its end follows as closed(). */
static void send_frame(struct rh_daemon *daemon, struct rh_daemon_client *client,
                       struct rh_shared *frame)
{
    if (frame == NULL) {
        rh_http_connection_abort(client->connection);
        return;
    }
    int rv = rh_http_connection_send(client->connection, frame);
    if (rv == RH_ERR_FULL) {
        close_slow(daemon, client);
    } else if (rv == RH_ERR_NO_MEMORY) {
        rh_http_connection_abort(client->connection);
    }
}

/* The frame as this connection is to get it: deflated, if that was agreed on and is worth it. Takes the
 * reference to |frame|, which may be NULL, and gives one back. */
static struct rh_shared *deflate(struct rh_daemon *daemon, const struct rh_daemon_client *client,
                                 struct rh_shared *frame)
{
    uint8_t bits = rh_http_connection_deflate_bits(client->connection);
    if (frame == NULL || bits == 0) {
        return frame;
    }
    struct rh_shared *deflated = rh_http_server_deflate(daemon->client_server, frame, bits);
    rh_shared_give(frame);
    return deflated;
}

/* An event with what an encoder left in `scratch`; NULL if it could not. */
static struct rh_shared *take_event(struct rh_daemon *daemon, struct rh_event_stream_event event,
                                    int rv)
{
    event.data = rh_buffer_content(&daemon->scratch);
    struct rh_shared *frame = rv == 0 ? rh_event_stream_encode(&event) : NULL;
    rh_buffer_clear(&daemon->scratch);
    return frame;
}

void rh_daemon_stream_send(struct rh_daemon *daemon, struct rh_daemon_client *client,
                           struct rh_event_stream_event event, int rv)
{
    struct rh_shared *frame = NULL;
    if (client->kind == RH_DAEMON_EVENTS) {
        frame = take_event(daemon, event, rv);
    } else if (rv == 0) {
        frame = rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_buffer_content(&daemon->scratch));
    }
    rh_buffer_clear(&daemon->scratch);
    frame = deflate(daemon, client, frame);
    send_frame(daemon, client, frame);
    rh_shared_give(frame);
}

void rh_daemon_stream_say(struct rh_daemon *daemon, struct rh_daemon_client *client, int rv)
{
    rh_daemon_stream_send(daemon, client, (struct rh_event_stream_event){0}, rv);
}

void rh_daemon_stream_error(struct rh_daemon *daemon, struct rh_daemon_client *client,
                            const char *code, const char *text, struct rh_bytes id)
{
    const struct rh_event_stream_event event = {
        .name = "error",
        .retry_ms = retry_ms(client->kind),
    };
    int rv = rh_client_json_error(&daemon->scratch, code, text, id);
    rh_daemon_stream_send(daemon, client, event, rv);
}

void rh_daemon_stream_refuse(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                             enum rh_problem problem, const char *text)
{
    rh_daemon_stream_error(daemon, request->client, rh_problem_code(problem), text,
                           rh_bytes(request->text, request->text_size));
}

/* ---- what a client says ---- */

struct rh_client_limits rh_daemon_client_limits(const struct rh_daemon *daemon)
{
    return (struct rh_client_limits){.message_bytes = daemon->config->limits.message_bytes,
                                     .state_bytes = daemon->config->limits.state_bytes};
}

struct rh_daemon_request *rh_daemon_stream_request(struct rh_daemon *daemon,
                                                   struct rh_daemon_client *client,
                                                   struct rh_bytes id)
{
    if (client->requests_count >= REQUESTS_MAX) {
        rh_daemon_stream_error(daemon, client, rh_problem_code(RH_PROBLEM_LIMIT_REACHED),
                               "too many requests of this connection are not answered yet", id);
        return NULL;
    }
    struct rh_daemon_request *request = rh_daemon_request_create(daemon, id);
    if (request == NULL) {
        rh_daemon_stream_error(daemon, client, rh_problem_code(RH_PROBLEM_NO_MEMORY),
                               rh_refusal_text(RH_REFUSAL_NO_MEMORY), id);
        return NULL;
    }
    request->client = client;
    request->connection = client->connection;
    rh_list_push_back(&client->requests, &request->link);
    client->requests_count++;
    return request;
}

static void publish(struct rh_daemon *daemon, struct rh_daemon_client *client,
                    const struct rh_client_request *said)
{
    struct rh_daemon_request *request = rh_daemon_stream_request(daemon, client, said->id);
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_PUBLISH,
        .publish = {.request = request->number,
                    .key = rh_daemon_client_key(client),
                    .id = said->id,
                    .payload = said->payload},
    };
    rh_daemon_step(daemon, &event);
}

void rh_daemon_stream_message(struct rh_daemon *daemon, struct rh_daemon_client *client,
                              enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct rh_client_request said;
    struct rh_client_error error;
    if (opcode != RH_WEBSOCKET_TEXT) {
        rh_daemon_stream_error(daemon, client, rh_problem_code(RH_PROBLEM_BAD_MESSAGE),
                               "a message is JSON text, not a binary frame", rh_bytes(NULL, 0));
        return;
    }
    const struct rh_client_limits limits = rh_daemon_client_limits(daemon);
    int rv = rh_client_json_decode(payload, &limits, &daemon->decoded, &said, &error);
    if (rv == RH_ERR_NO_MEMORY) {
        rh_daemon_stream_error(daemon, client, rh_problem_code(RH_PROBLEM_NO_MEMORY),
                               rh_refusal_text(RH_REFUSAL_NO_MEMORY), rh_bytes(NULL, 0));
        return;
    }
    if (rv != 0) {
        rh_daemon_stream_error(daemon, client, rh_client_error_name(error.code), error.reason.text,
                               rh_bytes(error.id, error.id_size));
        return;
    }
    switch (said.type) {
    case RH_CLIENT_PUBLISH:
        publish(daemon, client, &said);
        return;
    case RH_CLIENT_PING:
        rv = rh_client_json_pong(&daemon->scratch);
        rh_daemon_stream_say(daemon, client, rv);
        return;
    case RH_CLIENT_STATE_GET:
    case RH_CLIENT_STATE_PUT:
    case RH_CLIENT_STATE_DELETE:
        rh_daemon_stream_state(daemon, client, &said);
        return;
    case RH_CLIENT_PRESENCE_GET:
        rh_daemon_stream_presence(daemon, client, said.id);
        return;
    }
    assert(false && "unknown message type");
}

void rh_daemon_stream_published(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                                const struct rh_publish_result *result)
{
    if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_stream_refuse(daemon, request, rh_daemon_problem(result->refusal),
                                rh_refusal_text(result->refusal));
        return;
    }
    struct rh_bytes id = rh_bytes(request->text, request->text_size);
    int rv = rh_client_json_ack(&daemon->scratch, id, result->seq);
    rh_daemon_stream_say(daemon, request->client, rv);
}

/* ---- what a client is told ---- */

void rh_daemon_stream_welcome(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = rh_daemon_client_of(action->welcome.subscription);
    const struct rh_client_welcome welcome = {
        .channel = action->welcome.key,
        .node = daemon->node->id,
        .epoch = daemon->epoch.pzxid,
        .incarnation = action->welcome.incarnation,
        .seq = action->welcome.seq,
        .recovered = action->welcome.recovered,
    };
    accept(client);
    const struct rh_event_stream_event event = {
        .name = "welcome",
        .has_id = true,
        .id = {.incarnation = welcome.incarnation, .seq = welcome.seq},
        .retry_ms = retry_ms(client->kind),
    };
    int rv = rh_client_json_welcome(&daemon->scratch, &welcome);
    rh_daemon_stream_send(daemon, client, event, rv);
}

void rh_daemon_feed_soon(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    if (rh_list_empty(&client->queue_link)) {
        rh_list_push_back(&daemon->hungry, &client->queue_link);
        if (!ev_is_active(&daemon->hungry_timer)) {
            ev_timer_set(&daemon->hungry_timer, 0.0, 0.0);
            ev_timer_start(daemon->loop, &daemon->hungry_timer);
        }
    }
}

/* A replay goes on when its last batch is out: by drained(), or soon if there was room anyway. So does
 * a relay that waits for room. */
static void feed_again(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    const struct rh_subscription *subscription = &client->subscription;
    if (subscription->state == RH_SUBSCRIPTION_REPLAYING || subscription->wants_room) {
        rh_daemon_feed_soon(daemon, client);
    }
}

static struct rh_shared *encode_event(struct rh_daemon *daemon, uint64_t incarnation,
                                      const struct rh_client_message *message)
{
    int rv = rh_client_json_message(&daemon->scratch, message);
    const struct rh_event_stream_event event = {
        .name = "message",
        .has_id = true,
        .id = {.incarnation = incarnation, .seq = message->seq},
    };
    return take_event(daemon, event, rv);
}

void rh_daemon_stream_send_shared(struct rh_daemon *daemon, struct rh_daemon_client *client,
                                  struct rh_daemon_frames *frames,
                                  struct rh_event_stream_event event,
                                  int (*encode)(struct rh_buffer *out, const void *what),
                                  const void *what)
{
    bool events = client->kind == RH_DAEMON_EVENTS;
    struct rh_shared **frame = events ? &frames->event : &frames->websocket;
    if (*frame == NULL && events) {
        *frame = take_event(daemon, event, encode(&daemon->scratch, what));
    } else if (*frame == NULL && encode(&daemon->scratch, what) == 0) {
        *frame = rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_buffer_content(&daemon->scratch));
        rh_buffer_clear(&daemon->scratch);
    }
    send_frame(daemon, client, *frame);
}

void rh_daemon_frames_give(struct rh_daemon_frames *frames)
{
    rh_shared_give(frames->websocket);
    rh_shared_give(frames->event);
}

void rh_daemon_streams_forget(struct rh_daemon *daemon)
{
    struct rh_daemon_encoded *encoded = &daemon->encoded;
    if (encoded->entry != NULL) {
        rh_shared_give(encoded->websocket);
        rh_shared_give(encoded->event);
        for (size_t i = 0; i < RH_DEFLATE_BITS_COUNT; i++) {
            rh_shared_give(encoded->deflated[i]);
        }
        *encoded = (struct rh_daemon_encoded){0};
    }
}

/* What this connection is to get of `encoded`, encoded when the first of its kind is sent it; NULL when
 * out of memory. */
static struct rh_shared *frame_for(struct rh_daemon *daemon, const struct rh_daemon_client *client)
{
    struct rh_daemon_encoded *encoded = &daemon->encoded;
    bool events = client->kind == RH_DAEMON_EVENTS;
    struct rh_shared **frame = events ? &encoded->event : &encoded->websocket;
    if (*frame == NULL) {
        struct rh_client_message message;
        rh_daemon_entry_message(encoded->entry, &message);
        *frame = events ? encode_event(daemon, encoded->incarnation, &message)
                        : rh_client_json_message_frame(&message);
    }
    uint8_t bits = rh_http_connection_deflate_bits(client->connection);
    if (bits == 0 || *frame == NULL) {
        return *frame;
    }
    struct rh_shared **deflated = &encoded->deflated[bits - RH_DEFLATE_BITS_MIN];
    if (*deflated == NULL) {
        *deflated = rh_http_server_deflate(daemon->client_server, *frame, bits);
    }
    return *deflated;
}

static void send_encoded(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    send_frame(daemon, client, frame_for(daemon, client));
}

void rh_daemon_stream_deliver(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_entry *entry = action->deliver.entry;
    if (daemon->encoded.entry != entry ||
        daemon->encoded.incarnation != action->deliver.incarnation) {
        rh_daemon_streams_forget(daemon);
        daemon->encoded.entry = entry;
        daemon->encoded.incarnation = action->deliver.incarnation;
    }
    if (action->kind == RH_ACTION_DELIVER) {
        struct rh_daemon_client *client = rh_daemon_client_of(action->deliver.subscription);
        send_encoded(daemon, client);
        feed_again(daemon, client);
        return;
    }
    const struct rh_channel *channel = action->deliver.channel;
    for (struct rh_subscription *at = rh_channel_live_next(channel, NULL, entry); at != NULL;
         at = rh_channel_live_next(channel, at, entry)) {
        send_encoded(daemon, rh_daemon_client_of(at));
    }
}

void rh_daemon_stream_drained(struct rh_daemon *daemon, struct rh_daemon_client *client)
{
    feed_again(daemon, client);
    if (client->wants_state) {
        client->wants_state = false;
        struct rh_event event = {.kind = RH_EVENT_SHOW_STATE,
                                 .subscription = &client->subscription};
        rh_daemon_step(daemon, &event);
    }
}

bool rh_daemon_stream_has_room(const struct rh_daemon_client *client)
{
    return !rh_http_connection_is_closing(client->connection) &&
           rh_http_connection_send_queue_bytes(client->connection) <= RH_DAEMON_SEND_QUEUE_LOW;
}

void rh_daemon_clients_feed(struct rh_daemon *daemon)
{
    struct rh_list now;
    rh_list_init(&now);
    rh_list_splice(&now, &daemon->hungry);
    for (struct rh_list *link = rh_list_first(&now); link != NULL; link = rh_list_first(&now)) {
        struct rh_daemon_client *client =
            rh_container_of(link, struct rh_daemon_client, queue_link);
        rh_list_remove(link);
        if (client->has_to_relay) {
            rh_daemon_client_relay(daemon, client);
            continue;
        }
        if (!rh_daemon_stream_has_room(client)) {
            continue; /* drained() comes */
        }
        struct rh_event event = {.kind = RH_EVENT_DRAINED, .subscription = &client->subscription};
        rh_daemon_step(daemon, &event);
    }
}

static int encode_moved(struct rh_daemon *daemon, const struct rh_daemon_client *client,
                        const struct rh_action *action)
{
    const struct rh_daemon_sent sent = rh_daemon_client_sent(client);
    const struct rh_url url = {
        .scheme = client->kind == RH_DAEMON_EVENTS ? RH_URL_HTTP : RH_URL_WS,
        .node_url = action->moved.node->url,
        .key = action->moved.key,
        .endpoint = client->kind == RH_DAEMON_EVENTS ? "events" : "ws",
        .has_after = true,
        .after = action->moved.position,
        .has_chain = true,
        .hops = 1,
        .epoch = (uint64_t)daemon->epoch.pzxid,
        .relay = client->asks_relay,
        .redirect = client->asks_redirect,
        .ticket = sent.ticket,
        .token = sent.token,
        .client = sent.client,
        .meta = sent.meta,
        .watch = client->watch,
    };
    rh_buffer_clear(&daemon->url);
    int rv = rh_url_build(&url, &daemon->url);
    if (rv == 0) {
        rv = rh_buffer_append(&daemon->url, "", 1);
    }
    if (rv != 0) {
        return rv;
    }
    const struct rh_client_moved moved = {
        .node = action->moved.node->id,
        .url = rh_buffer_content(&daemon->url).data,
        .seq_known = true,
        .seq = action->moved.position.seq,
    };
    return rh_client_json_moved(&daemon->scratch, &moved);
}

void rh_daemon_stream_moved(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_client *client = rh_daemon_client_of(action->moved.subscription);
    rh_list_remove(&client->queue_link);
    int rv = encode_moved(daemon, client, action);
    rh_daemon_stream_send(daemon, client, (struct rh_event_stream_event){.name = "moved"}, rv);
    client->is_moved = true;
    daemon->moved_count++;
    client->linger_ms = rh_clock_monotonic_ms() + daemon->config->rebalance.moved_linger_ms;
    client->lingers = true;
    rh_list_push_back(&daemon->lingering, &client->queue_link);
    daemon->lingering_count++;
}

void rh_daemon_stream_turned_away(struct rh_daemon *daemon, struct rh_daemon_client *client,
                                  const struct rh_registration *node, const char *url)
{
    const struct rh_client_moved moved = {.node = node->id, .url = url};
    accept(client);
    int rv = rh_client_json_moved(&daemon->scratch, &moved);
    rh_daemon_stream_say(daemon, client, rv);
    rh_http_connection_close_websocket(client->connection, RH_WEBSOCKET_CODE_MOVED, "moved");
}

void rh_daemon_stream_refused(struct rh_daemon *daemon, struct rh_daemon_client *client,
                              enum rh_refusal refusal)
{
    if (refusal == RH_REFUSAL_TOO_SLOW) {
        close_slow(daemon, client);
        return;
    }
    accept(client);
    rh_daemon_stream_error(daemon, client, rh_problem_code(rh_daemon_problem(refusal)),
                           rh_refusal_text(refusal), rh_bytes(NULL, 0));
    rh_daemon_stream_close(client, RH_WEBSOCKET_CODE_TRY_AGAIN, rh_refusal_text(refusal));
}

void rh_daemon_events_refuse(struct rh_daemon *daemon, struct rh_http_connection *connection,
                             enum rh_problem problem, const char *text)
{
    int rv =
        rh_client_json_error(&daemon->scratch, rh_problem_code(problem),
                             text != NULL ? text : rh_problem_title(problem), rh_bytes(NULL, 0));
    const struct rh_event_stream_event event = {
        .name = "error",
        .retry_ms = retry_ms(RH_DAEMON_EVENTS),
    };
    struct rh_shared *frame = take_event(daemon, event, rv);
    rh_http_connection_set_data(connection, NULL); /* nobody has to hear of its end */
    rh_http_connection_accept_events(connection);
    if (frame == NULL || rh_http_connection_send(connection, frame) != 0) {
        rh_http_connection_abort(connection);
    }
    rh_shared_give(frame);
    rh_http_connection_end_events(connection);
}
