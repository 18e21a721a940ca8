/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_EV_HTTP_PRIVATE_H
#define RH_ROUTER_EV_HTTP_PRIVATE_H

/*
 * What the files of the HTTP server share; nobody else includes this.
 *
 *   ev_http_server.c       listening, accepting, limits, timers, the end of a loop turn
 *   ev_http_connection.c   states of a connection, reading, writing
 *   ev_http_exchange.c     requests and responses
 *   ev_http_websocket.c    frames
 *   ev_http_events.c       Server-Sent Events
 *
 * A turn of the loop:
 *
 *   libev: readable, writable, timer        handler: respond, send, close, abort
 *            |                                        |
 *            +--> state changes, bytes in queues <----+
 *                             |
 *                     server->turn, once per connection
 *                             |
 *   end of the turn: write what is queued, call closed(), free the dead
 *
 * What must wait for the next turn, so that one connection cannot keep the loop to itself, is in
 * server->resume: input that was left over, drained() calls.
 */

#include "base/machine.h"
#include "router/deadline.h"
#include "router/ev_http_server.h"
#include "router/send_queue.h"

#include <ev.h>

#define RH_HTTP_LISTENERS_MAX     16U
#define RH_HTTP_SPARE_PARSERS     64U
#define RH_HTTP_READ_SIZE         65536U
#define RH_HTTP_INPUT_MAX         16384U  /* read ahead while a request waits for its answer */
#define RH_HTTP_OUTPUT_MAX        262144U /* unsent responses, beyond which no request is begun */
#define RH_HTTP_LINGER_TIMEOUT_MS 2000U

/* A few bytes that are deflated may stand for a thousand times as many. So they are read in pieces,
 * until this much has come of them; what is left waits for the next turn. */
#define RH_HTTP_INFLATE_PIECE 2048U
#define RH_HTTP_INFLATE_MAX   (1024U * 1024U)

/*
 *   READING <---> WAITING --+-> WEBSOCKET ---> CLOSING
 *      |             |      |       |             |
 *      |             |      +-> EVENTS            |
 *      |             |              |             |
 *      +-------------+------+-------+-------------+
 *                           v
 *                        FLUSHING ---> LINGERING       and from each: DEAD
 */
enum connection_state {
    CONNECTION_READING,   /* HTTP: between requests, or in one */
    CONNECTION_WAITING,   /* the handler has a request and owes the answer */
    CONNECTION_WEBSOCKET, /* accepted */
    CONNECTION_EVENTS,    /* likewise; what the client sends is not read */
    CONNECTION_CLOSING,   /* our close frame is queued, the client's has not come */
    CONNECTION_FLUSHING,  /* what is queued goes out, then the end */
    CONNECTION_LINGERING, /* we said the end; the client may still be sending (RFC 9112, 9.6) */
    CONNECTION_DEAD,      /* freed at the end of the turn */
    CONNECTION_STATES,
};

enum deadline_kind {
    DEADLINE_HEAD,
    DEADLINE_BODY, /* also: the last response, or close frame, gets out */
    DEADLINE_IDLE,
    DEADLINE_LINGER,
    DEADLINE_PING, /* a silent WebSocket is pinged, an event stream gets a comment */
    DEADLINE_PONG, /* it stayed silent, or nothing got out */
    DEADLINE_CLOSE,
    DEADLINE_KINDS,
    DEADLINE_NONE = DEADLINE_KINDS,
};

/* There are a million of these, nearly all idle: what only a busy one needs is a pointer. */
struct rh_http_connection {
    struct rh_http_server *server;
    ev_io io;                   /* its data is the handler's */
    struct rh_list link;        /* server->connections */
    struct rh_list turn_link;   /* server->turn */
    struct rh_list resume_link; /* server->resume */
    struct rh_deadline deadline;
    struct rh_send_queue queue;
    struct rh_buffer *input; /* read, not yet consumed; NULL: nothing */
    union {
        struct {
            struct rh_http_parser *parser;  /* NULL between requests */
            struct rh_handshake *handshake; /* the request that waits may become a WebSocket */
        } http;
        struct rh_websocket websocket; /* from accept_websocket() on */
    };
    uint8_t state;         /* enum connection_state */
    uint8_t deadline_kind; /* enum deadline_kind */
    bool accepted : 1;     /* a stream now: the union holds |websocket|, if only an unused one */
    bool keep_alive : 1;   /* of the request that waits, as the next three */
    bool unsafe : 1;       /* it may change something */
    bool http_1_0 : 1;
    bool head : 1;
    bool linger : 1;      /* FLUSHING ends in LINGERING */
    bool eof : 1;         /* the client sends no more */
    bool blocked : 1;     /* the socket takes no more for now */
    bool above_low : 1;   /* the queue grew above send_queue_low_bytes */
    bool drained_due : 1; /* drained() is to be called in the next turn */
    bool notice : 1;      /* closed() is to be called at the end of this turn */
    uint16_t code;        /* for it */
};

struct listener {
    struct rh_http_server *server;
    ev_io io;
};

struct rh_http_server {
    struct ev_loop *loop;
    struct rh_http_server_options options;
    const struct rh_http_handler *handler;
    void *handler_context;
    struct listener listeners[RH_HTTP_LISTENERS_MAX];
    size_t listeners_count;
    ev_timer accept_timer; /* accepting pauses after a failure */
    ev_timer deadline_timer;
    uint64_t deadline_timer_at_ms;
    ev_timer resume_timer; /* at once, but in the next turn */
    ev_prepare turn_end;   /* never started: its event is fed by hand */
    struct rh_list connections;
    struct rh_list turn;
    struct rh_list resume;
    struct rh_deadline_list deadlines[DEADLINE_KINDS];
    struct rh_http_parser *parsers[RH_HTTP_SPARE_PARSERS];
    size_t parsers_count;
    struct rh_websocket_pool websocket_pool;
    struct rh_deflater deflater;
    struct rh_shared *continue_response;
    struct rh_shared *ping_frame;
    struct rh_shared *comment; /* of an event stream */
    struct rh_buffer scratch;  /* contents never outlive a call */
    char *read_buffer;
    struct rh_http_server_stats stats;
    bool stopping;
    bool stopped_said;
    bool refusing; /* at connections_max: said in the log once */
};

/* ---- ev_http_server.c ---- */

uint64_t rh_http_now_ms(void);

/* The connection is looked after at the end of this turn, or in the next one. */
void rh_http_schedule_turn(struct rh_http_connection *connection);
void rh_http_schedule_resume(struct rh_http_connection *connection);

/* Sets the one time limit of the connection; DEADLINE_NONE takes it away. */
void rh_http_set_deadline(struct rh_http_connection *connection, enum deadline_kind kind);

/* ---- ev_http_connection.c ---- */

/* Takes over the socket. On failure the socket is closed. */
void rh_http_connection_create(struct rh_http_server *server, int fd);

/* Closes and frees, without a word to the handler. */
void rh_http_connection_destroy(struct rh_http_connection *connection);

static inline enum connection_state rh_http_state(const struct rh_http_connection *connection)
{
    return (enum connection_state)connection->state;
}

void rh_http_set_state(struct rh_http_connection *connection, enum connection_state state);

/* DEAD, if it is not already; if the handler holds it, it will hear |code|. */
void rh_http_connection_break(struct rh_http_connection *connection, uint16_t code);

/* The handler will hear that the connection is gone. */
void rh_http_connection_notify(struct rh_http_connection *connection, uint16_t code);

/* FLUSHING; |linger| says whether the client may still be sending. */
void rh_http_connection_flush_and_end(struct rh_http_connection *connection, bool linger);

/* Queues |item|, of which the caller keeps his reference; without memory the connection breaks.
 * Returns whether it was queued. */
bool rh_http_connection_push(struct rh_http_connection *connection, struct rh_shared *item);

/* Bytes that were read and not yet consumed. */
size_t rh_http_connection_input_size(const struct rh_http_connection *connection);

/* At the end of a turn: writes, tells the handler, frees. */
void rh_http_connection_turn(struct rh_http_connection *connection);

/* The request that waits becomes a stream: WEBSOCKET or EVENTS. |head|, the answer to it, goes first
 * and is never dropped; NULL: there was no memory for it. False: the client went away in this very
 * turn, as the handler will hear. */
bool rh_http_connection_begin_stream(struct rh_http_connection *connection,
                                     enum connection_state state, struct rh_shared *head);

/* In the next turn: goes on with input that was left. */
void rh_http_connection_resume(struct rh_http_connection *connection);

/* The server stops: ends the connection if it is between requests, and hurries one that ends. */
void rh_http_connection_stop(struct rh_http_connection *connection);

/* Whether the client has sent something that was not given to the handler, nor could be by now. */
bool rh_http_connection_has_unread(const struct rh_http_connection *connection);

/* Its time limit has passed. */
void rh_http_connection_expire(struct rh_http_connection *connection);

/* ---- ev_http_exchange.c ---- */

/* Reads requests, or one piece of one; returns how many bytes it took, at least one. */
size_t rh_http_exchange_read(struct rh_http_connection *connection, struct rh_bytes bytes);

/* Gives the parser back to the server, if there is one. */
void rh_http_exchange_release(struct rh_http_connection *connection);

/* The request takes too long: says so and ends. */
void rh_http_exchange_time_out(struct rh_http_connection *connection);

/* Whether the connection is between requests. */
bool rh_http_exchange_is_idle(const struct rh_http_connection *connection);

/* ---- ev_http_websocket.c ---- */

/* Returns how many of the bytes were taken; the rest waits for the next turn. */
size_t rh_http_websocket_read(struct rh_http_connection *connection, struct rh_bytes bytes);
void rh_http_websocket_ping(struct rh_http_connection *connection);

/* Frees what the codec holds. */
void rh_http_websocket_release(struct rh_http_connection *connection);

/* ---- ev_http_events.c ---- */

/* It is time for a comment. */
void rh_http_events_beat(struct rh_http_connection *connection);

#endif
