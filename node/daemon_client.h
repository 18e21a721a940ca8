/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_DAEMON_CLIENT_H
#define RH_NODE_DAEMON_CLIENT_H

/*
 * What the daemon keeps per connection of the client listener while it means something to the
 * core. Shared by daemon_clients.c (the listener, streams and reads), daemon_streams.c (what
 * WebSockets say and are told) and daemon_requests.c (what is asked once).
 *
 * The data pointer of a connection is NULL, or a struct rh_daemon_client (a stream or a waiting
 * read), or a struct rh_daemon_request (a publish or inspect over HTTP); both begin with a holder.
 */

#include "node/daemon_internal.h"
#include "router/client_json.h"
#include "router/event_stream.h"
#include "router/redirect.h"
#include "router/route.h"

enum rh_daemon_client_kind {
    RH_DAEMON_WEBSOCKET,
    RH_DAEMON_EVENTS, /* Server-Sent Events */
    RH_DAEMON_READ,   /* a poll, or a long poll */
};

enum rh_daemon_holder {
    RH_DAEMON_HOLDER_CLIENT,
    RH_DAEMON_HOLDER_REQUEST,
};

struct rh_daemon_client {
    uint8_t holder; /* enum rh_daemon_holder: CLIENT */
    uint8_t kind;   /* enum rh_daemon_client_kind */
    bool accepted;  /* the connection is a stream; before that it is a request */
    bool offers_ringhop;
    bool has_user_agent;
    bool has_limit;
    bool has_wait;
    uint8_t watch;      /* bits of enum rh_route_watch */
    bool wants_state;   /* there was no room when it was to be shown */
    bool is_slow;       /* being closed with 4408 */
    bool is_moved;      /* was in its channel and told `moved` */
    bool lingers;       /* so it is in rh_daemon::lingering */
    bool asks_relay;    /* route=relay; goes into the URLs that it is given, as the next one */
    bool asks_redirect; /* route=redirect */
    bool has_to_relay;  /* redirected too often, it begins again: it is in rh_daemon::hungry */
    union {
        uint32_t requests_count; /* of a stream */
        uint32_t tags_size;      /* of a read */
    };
    uint16_t key_size;
    uint16_t ticket_size; /* these four as they were sent, to be passed on */
    uint16_t token_size;
    uint16_t client_size;
    uint16_t meta_size;
    struct rh_list link;       /* rh_daemon::clients */
    struct rh_list queue_link; /* rh_daemon::hungry, or ::lingering, or none */
    struct rh_list requests;   /* rh_daemon_request::link: publishes in flight */
    uint64_t linger_ms;        /* when to close a stream that was told `moved` */
    struct rh_http_connection *connection;
    struct rh_subscription subscription;
    char data[]; /* key, ticket, token, client, meta; of a read also If-None-Match; of a stream that
                    names itself also struct rh_attendee and what that points to */
};

/* A request that the core has not answered yet. */
struct rh_daemon_request {
    uint8_t holder;                  /* enum rh_daemon_holder: REQUEST */
    struct rh_table_link table_link; /* rh_daemon::requests */
    uint64_t number;
    struct rh_list link;             /* rh_daemon_client::requests, of a WebSocket */
    struct rh_daemon_client *client; /* over a WebSocket, or NULL */
    struct rh_http_connection *connection;
    bool is_read; /* of the state; these and what follows: of the state only */
    bool has_epoch;
    uint32_t hops;
    uint64_t epoch;
    uint32_t key_size; /* these four are the beginning of the text, in this order */
    uint32_t ticket_size;
    uint32_t token_size;
    uint32_t client_size;
    uint32_t text_size;
    char text[]; /* inspect: the key; over a WebSocket: the client's id; state over HTTP: see above,
                    then If-None-Match */
};

static inline struct rh_bytes rh_daemon_client_key(const struct rh_daemon_client *client)
{
    return rh_bytes(client->data, client->key_size);
}

/* What stands in `data` after the key. */
struct rh_daemon_sent {
    struct rh_bytes ticket;
    struct rh_bytes token;
    struct rh_bytes client;
    struct rh_bytes meta;
    struct rh_bytes tags; /* of a read: If-None-Match */
};

static inline struct rh_daemon_sent rh_daemon_client_sent(const struct rh_daemon_client *client)
{
    const char *ticket = client->data + client->key_size;
    const char *token = ticket + client->ticket_size;
    const char *name = token + client->token_size;
    const char *meta = name + client->client_size;
    bool is_read = client->kind == RH_DAEMON_READ;
    return (struct rh_daemon_sent){
        .ticket = rh_bytes(ticket, client->ticket_size),
        .token = rh_bytes(token, client->token_size),
        .client = rh_bytes(name, client->client_size),
        .meta = rh_bytes(meta, client->meta_size),
        .tags = rh_bytes(meta + client->meta_size, is_read ? client->tags_size : 0),
    };
}

static inline struct rh_daemon_client *rh_daemon_client_of(struct rh_subscription *subscription)
{
    return rh_container_of(subscription, struct rh_daemon_client, subscription);
}

/* ---- daemon_requests.c ---- */

void rh_daemon_requests_where(struct rh_daemon *daemon, struct rh_http_connection *connection,
                              const struct rh_route *route);
void rh_daemon_requests_ring(struct rh_daemon *daemon, struct rh_http_connection *connection);
void rh_daemon_requests_channel(struct rh_daemon *daemon, struct rh_http_connection *connection,
                                const struct rh_route *route);
void rh_daemon_requests_publish(struct rh_daemon *daemon, struct rh_http_connection *connection,
                                const struct rh_http_request *http, const struct rh_route *route);

/* The core has answered. */
void rh_daemon_requests_inspected(struct rh_daemon *daemon, const struct rh_action *action);
void rh_daemon_requests_published(struct rh_daemon *daemon, const struct rh_action *action);

/* Frees all that are not answered; their connections are gone. */
void rh_daemon_requests_finish(struct rh_daemon *daemon);

/* What a refusal of the core is called towards clients. */
enum rh_problem rh_daemon_problem(enum rh_refusal refusal);

void rh_daemon_respond_problem(struct rh_http_connection *connection, enum rh_problem problem,
                               const char *detail);
void rh_daemon_respond_refusal(struct rh_http_connection *connection, enum rh_refusal refusal);

/* Answers a read of what has an entity tag, its first header: with |response|, a 200, or with 304 and
 * nothing but that if the client |has_it| already. */
void rh_daemon_respond_unless(struct rh_http_connection *connection,
                              struct rh_http_response *response, bool has_it);

/* Answers with what an encoder left in `scratch`, if it could: |rv|. */
void rh_daemon_respond_scratch(struct rh_daemon *daemon, struct rh_http_connection *connection,
                               unsigned status, int rv);

/* A request, known to the core by its number, with a copy of |text|. NULL when out of memory. */
struct rh_daemon_request *rh_daemon_request_find(const struct rh_daemon *daemon, uint64_t number);
struct rh_daemon_request *rh_daemon_request_create(struct rh_daemon *daemon, struct rh_bytes text);

/* The same for a request over HTTP; NULL: it was refused. */
struct rh_daemon_request *rh_daemon_request_begin(struct rh_daemon *daemon,
                                                  struct rh_http_connection *connection,
                                                  struct rh_bytes text);
void rh_daemon_request_destroy(struct rh_daemon *daemon, struct rh_daemon_request *request);

/* ---- daemon_state.c ---- */

void rh_daemon_state_get(struct rh_daemon *daemon, struct rh_http_connection *connection,
                         const struct rh_http_request *http, const struct rh_route *route);
void rh_daemon_state_write(struct rh_daemon *daemon, struct rh_http_connection *connection,
                           const struct rh_http_request *http, const struct rh_route *route);
void rh_daemon_state_answered(struct rh_daemon *daemon, const struct rh_action *action);

/* For people: why a request for the state was refused, and that the state has |version|, 0: that there
 * is none. */
const char *rh_daemon_state_refusal_text(enum rh_refusal refusal);
const char *rh_daemon_state_conflict_text(uint64_t version);

/* Whether it answers the request: an answer of a peer may be of the wrong kind, and what was asked
 * decides what can be said. */
bool rh_daemon_state_fits(const struct rh_daemon_request *request,
                          const struct rh_state_result *result);

/* ---- daemon_stream_state.c: the state document over WebSockets, and who watches it ---- */

/* A state_get, state_put or state_delete. */
void rh_daemon_stream_state(struct rh_daemon *daemon, struct rh_daemon_client *client,
                            const struct rh_client_request *said);
void rh_daemon_stream_state_answered(struct rh_daemon *daemon,
                                     const struct rh_daemon_request *request,
                                     const struct rh_state_result *result);
void rh_daemon_stream_changed(struct rh_daemon *daemon, const struct rh_action *action);

/* ---- daemon_presence.c: who is in a channel ---- */

void rh_daemon_presence_get(struct rh_daemon *daemon, struct rh_http_connection *connection,
                            const struct rh_route *route);
void rh_daemon_stream_presence(struct rh_daemon *daemon, struct rh_daemon_client *client,
                               struct rh_bytes id);
void rh_daemon_presence_answered(struct rh_daemon *daemon, const struct rh_action *action);
void rh_daemon_presence_tell(struct rh_daemon *daemon, const struct rh_action *action);

/* ---- daemon_follows.c: what a channel follows, and who follows it ---- */

void rh_daemon_follows_ask(struct rh_daemon *daemon, struct rh_http_connection *connection,
                           const struct rh_route *route);
void rh_daemon_follows_answered(struct rh_daemon *daemon, const struct rh_action *action);
void rh_daemon_followers_ask(struct rh_daemon *daemon, struct rh_http_connection *connection,
                             const struct rh_route *route);
void rh_daemon_followers_answered(struct rh_daemon *daemon, const struct rh_action *action);

/* ---- daemon_clients.c ---- */

/* How to send a request to |node|; its URL is put into `url`. Errors of rh_redirect_decide(). */
RH_MUST_CHECK int rh_daemon_redirect(struct rh_daemon *daemon,
                                     const struct rh_redirect_request *request,
                                     const struct rh_registration *node,
                                     enum rh_redirect *ret_redirect);

/* Sends the client to |node|, at the URL in `url`. */
void rh_daemon_respond_307(struct rh_daemon *daemon, struct rh_http_connection *connection,
                           const struct rh_registration *node);

/* Begins again with a client that is to be relayed; its subscription is FREE. */
void rh_daemon_client_relay(struct rh_daemon *daemon, struct rh_daemon_client *client);

/* Frees a client whose connection is answered or gone; its subscription is FREE. */
void rh_daemon_client_destroy(struct rh_daemon *daemon, struct rh_daemon_client *client);

/* ---- daemon_streams.c: what a WebSocket says and is told ---- */

void rh_daemon_stream_message(struct rh_daemon *daemon, struct rh_daemon_client *client,
                              enum rh_websocket_opcode opcode, struct rh_bytes payload);
void rh_daemon_stream_published(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                                const struct rh_publish_result *result);
void rh_daemon_stream_welcome(struct rh_daemon *daemon, const struct rh_action *action);
void rh_daemon_stream_deliver(struct rh_daemon *daemon, const struct rh_action *action);
void rh_daemon_stream_moved(struct rh_daemon *daemon, const struct rh_action *action);

/* A WebSocket that never was in its channel here: told where it is, and closed. |url| is complete. */
void rh_daemon_stream_turned_away(struct rh_daemon *daemon, struct rh_daemon_client *client,
                                  const struct rh_registration *node, const char *url);

/* Tells a stream (accepted first if it is not) why, and closes it: a WebSocket with 1013, try again;
 * events end, and the client comes back after the time that it is told. */
void rh_daemon_stream_refused(struct rh_daemon *daemon, struct rh_daemon_client *client,
                              enum rh_refusal refusal);

/* The same for a request for events, which no status but 200 may answer: an EventSource that gets
 * another gives up for good. */
void rh_daemon_events_refuse(struct rh_daemon *daemon, struct rh_http_connection *connection,
                             enum rh_problem problem, const char *text);

/* Closes a stream: a WebSocket with |code|. */
void rh_daemon_stream_close(struct rh_daemon_client *client, uint16_t code, const char *reason);

/* Looks at the client at once, but after what is under way: a replay or relay that can go on, or one
 * that has to begin again. */
void rh_daemon_feed_soon(struct rh_daemon *daemon, struct rh_daemon_client *client);
/* What clients may send, as configured. */
struct rh_client_limits rh_daemon_client_limits(const struct rh_daemon *daemon);

/* A request that a WebSocket made, which is not answered yet, and was named |id|. NULL: it was told
 * that there are too many. */
struct rh_daemon_request *rh_daemon_stream_request(struct rh_daemon *daemon,
                                                   struct rh_daemon_client *client,
                                                   struct rh_bytes id);

/* Sends what an encoder left in `scratch`, if it could: |rv|; as the data of |event| to who gets
 * events. */
void rh_daemon_stream_send(struct rh_daemon *daemon, struct rh_daemon_client *client,
                           struct rh_event_stream_event event, int rv);
/* The same without an event: what only WebSockets are told. */
void rh_daemon_stream_say(struct rh_daemon *daemon, struct rh_daemon_client *client, int rv);

void rh_daemon_stream_error(struct rh_daemon *daemon, struct rh_daemon_client *client,
                            const char *code, const char *text, struct rh_bytes id);

/* Answers a request that came over a WebSocket with an error. */
void rh_daemon_stream_refuse(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                             enum rh_problem problem, const char *text);

/* What is sent to many, encoded when the first of its kind is sent it. */
struct rh_daemon_frames {
    struct rh_shared *websocket;
    struct rh_shared *event;
};

/* Sends the frame of |client|'s kind: made now, if it was not, of what |encode| puts into `scratch` and,
 * for events, of |event|. */
void rh_daemon_stream_send_shared(struct rh_daemon *daemon, struct rh_daemon_client *client,
                                  struct rh_daemon_frames *frames,
                                  struct rh_event_stream_event event,
                                  int (*encode)(struct rh_buffer *out, const void *what),
                                  const void *what);
void rh_daemon_frames_give(struct rh_daemon_frames *frames);

/* Whether the send queue is at or below its low mark. When it is not, drained() comes. One that is being
 * closed hears nothing more. */
bool rh_daemon_stream_has_room(const struct rh_daemon_client *client);

/* There is room again in the send queue. */
void rh_daemon_stream_drained(struct rh_daemon *daemon, struct rh_daemon_client *client);

/* The message object of an entry. */
struct rh_client_message;
void rh_daemon_entry_message(const struct rh_entry *entry, struct rh_client_message *ret_message);

#endif
