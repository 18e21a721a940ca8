/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_EV_HTTP_SERVER_H
#define RH_ROUTER_EV_HTTP_SERVER_H

/*
 * An HTTP/1.1, WebSocket and Server-Sent Events server in a libev loop: listening sockets, connections, time limits,
 * send queues. It knows nothing of paths and channels; a handler does. The same code serves the
 * client listener and the admin listener.
 *
 *            request()                     respond()
 *   READING -----------> WAITING (handler) -----------> READING ...   (keep-alive, pipelining)
 *                            |
 *                            | accept_websocket()
 *                            v
 *                        WEBSOCKET  message(), drained() / send(), close_websocket()
 *
 * With accept_events() the answer is a stream of events (router/event_stream.h) until end_events():
 * it is treated like a WebSocket on which the client says nothing.
 *
 * Whose is a connection? The server's, always. A handler may use the pointer
 *   - from request() until it has responded, or closed() was called;
 *   - after accept_websocket() or accept_events() until closed() was called.
 * After respond() the next request on the same connection is a new one, with data NULL. There is none
 * after a 5xx to a request that may change something: what a client has pipelined behind it is not done.
 *
 * Every call to the handler comes from the event loop, never from inside a function below, so a
 * handler may call any of them from anywhere (but not destroy the server from a handler's call).
 * Output is gathered and written once at the end of the loop turn, at libev priority EV_MINPRI; a
 * connection that died is freed there too.
 */

#include "base/log.h"
#include "base/shared.h"
#include "router/handshake.h"
#include "router/http_request.h"
#include "router/http_response.h"
#include "router/websocket.h"

#include <stdint.h>

/* There was no closing handshake, or it was not answered (RFC 6455, 7.4.1: never sent). */
#define RH_HTTP_CLOSE_BROKEN 1006U

struct ev_loop;
struct rh_http_server;
struct rh_http_connection;

struct rh_http_server_options {
    struct rh_http_limits limits;
    uint32_t connections_max;    /* beyond it a newcomer gets 503 and is closed */
    uint32_t head_timeout_ms;    /* from the first byte of a request to the end of its head */
    uint32_t body_timeout_ms;    /* from there to the end of its body; also how long a response
                                         or close frame may wait for a client that does not read */
    uint32_t idle_timeout_ms;    /* between requests, and before the first */
    size_t send_queue_bytes;     /* unsent bytes of one WebSocket, see send() */
    size_t send_queue_low_bytes; /* see drained() */
    uint32_t message_bytes;      /* largest WebSocket message taken from a client */
    struct {
        uint8_t level;      /* of zlib; 0: permessage-deflate is declined */
        uint8_t bits_max;   /* largest window, RH_DEFLATE_BITS_MIN to _MAX */
        uint32_t threshold; /* frames of fewer bytes are not deflated */
    } deflate;
    uint32_t heartbeat_interval_ms; /* ping a WebSocket that was silent so long; 0: never. An
                                         event stream gets a comment that often */
    uint32_t heartbeat_timeout_ms;  /* close one that was silent so long; more than the interval */
    uint32_t close_timeout_ms;      /* for the answer to our close frame */
    bool cors; /* let pages of any origin read responses: the client listener does */
    const struct rh_logger *logger; /* may be NULL; else outlives the server */
    const char *name;               /* in log lines: "client", "admin"; outlives the server */
};

struct rh_http_handler {
    /*
     * A whole request came. Respond, accept or abort it exactly once, now or later. |request| is
     * valid during the call only. |handshake| is not NULL if it is a valid WebSocket handshake
     * (one that is not valid is answered by the server); its `protocol` says whether the client
     * offered ours.
     */
    void (*request)(void *context, struct rh_http_connection *connection,
                    const struct rh_http_request *request, const struct rh_handshake *handshake);

    /* A whole message of an accepted WebSocket, TEXT (checked UTF-8) or BINARY. |payload| is valid
     * during the call only. Not called any more after close_websocket() or abort(). NULL if the
     * handler accepts none. */
    void (*message)(void *context, struct rh_http_connection *connection,
                    enum rh_websocket_opcode opcode, struct rh_bytes payload);

    /* The send queue of a stream had grown above send_queue_low_bytes and has fallen to that or
     * less: there is room again. May be NULL. */
    void (*drained)(void *context, struct rh_http_connection *connection);

    /*
     * The connection is gone: called once if a request was not answered yet, and once for every
     * accepted stream, whoever closed it. Its data is still there. |code| is 0 for a request;
     * for a WebSocket the one in the client's close frame (1005 if that had none), the one that we
     * answered a broken protocol with, or RH_HTTP_CLOSE_BROKEN.
     */
    void (*closed)(void *context, struct rh_http_connection *connection, uint16_t code);

    /* After rh_http_server_stop(): the last connection is gone. May be NULL. */
    void (*stopped)(void *context);
};

/* Everything since the server was created. */
struct rh_http_server_stats {
    uint64_t accepted;      /* connections */
    uint64_t refused;       /* connections turned away at connections_max */
    uint64_t accept_errors; /* accept() failed, e.g. for want of file descriptors */
    uint64_t requests;      /* whole requests that reached the handler */
    uint64_t bad_requests;  /* refused by the parser or the handshake */
    uint64_t responses[6];  /* by class of status: [2] is 2xx */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t timeouts; /* closed because a request or its reader was too slow, or idle */
    uint64_t websockets_accepted;
    uint64_t websockets_deflating; /* of them with permessage-deflate */
    uint64_t messages_deflated; /* by rh_http_server_deflate(), each once for all its receivers */
    uint64_t deflated_in;       /* bytes of their frames before */
    uint64_t deflated_out;      /* and after */
    uint64_t inflated_in;       /* bytes of the payloads that clients sent deflated */
    uint64_t inflated_out;      /* and inflated */
    uint64_t messages_in;
    uint64_t pings_sent;
    uint64_t heartbeat_timeouts; /* WebSockets closed because nothing was heard */
    uint64_t protocol_errors;    /* WebSockets closed with 1002, 1007 or 1009 */
    uint64_t send_queue_full;    /* send() returned RH_ERR_FULL */
    uint64_t close_timeouts;     /* our close frame was not answered in time */
    uint64_t dropped_unread;     /* by rh_http_server_drop_unread() */
    uint32_t connections;        /* open now, WebSockets included */
    uint32_t websockets;         /* open now */
    uint32_t event_streams;      /* likewise */
};

/*
 * |options| is copied; |handler| and |context| outlive the server. It listens on nothing yet.
 * RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_http_server_create(struct ev_loop *loop,
                                        const struct rh_http_server_options *options,
                                        const struct rh_http_handler *handler, void *context,
                                        struct rh_http_server **ret_server);

/* Closes all sockets at once and frees everything, without any call to the handler. NULL is
 * allowed. */
void rh_http_server_destroy(struct rh_http_server *server);

/*
 * Listens on "host:port" or "[v6]:port", on every address that host has; port 0 takes a free one.
 * May be called several times. Resolves names, so it may block: call it at start.
 * RH_ERR_INVALID, RH_ERR_NOT_FOUND (no such host), RH_ERR_EXISTS (address in use), RH_ERR_IO,
 * RH_ERR_NO_MEMORY, with a reason.
 */
RH_MUST_CHECK int rh_http_server_listen(struct rh_http_server *server, const char *address,
                                        struct rh_reason *reason);

/* The port of the first listening socket; 0 if there is none. */
uint16_t rh_http_server_port(const struct rh_http_server *server);

/*
 * Ordered end: stops listening, closes connections between requests, answers what is under way
 * with `Connection: close`. WebSockets stay until the handler closes them. handler->stopped() is
 * called when the last connection is gone. May be called again.
 */
void rh_http_server_stop(struct rh_http_server *server);

/*
 * Drops, unread and without an answer, every connection on which a client has sent something that
 * the handler has not seen yet, also those that wait to be accepted: for a process that stood still
 * and cannot say how old that is. Those that were silent stay.
 */
void rh_http_server_drop_unread(struct rh_http_server *server);

/* close_websocket() or end_events() for all streams. */
void rh_http_server_close_streams(struct rh_http_server *server, uint16_t code, const char *reason);

/* Valid as long as the server; always current. */
const struct rh_http_server_stats *rh_http_server_stats(const struct rh_http_server *server);

/* What the handler keeps with a connection; NULL at every request(), kept when a stream is accepted. */
void rh_http_connection_set_data(struct rh_http_connection *connection, void *data);
void *rh_http_connection_data(const struct rh_http_connection *connection);

#define RH_HTTP_PEER_SIZE 64 /* "[v6]:port" with terminator */

/* Address of the other side, for log lines; "-" when it is gone. */
void rh_http_connection_peer(const struct rh_http_connection *connection,
                             char out[static RH_HTTP_PEER_SIZE]);

/* ---- Answering a request: exactly one of these. ----
 * None can fail for the caller: what cannot be encoded becomes a 500, and a connection for which
 * there is no memory is closed (without closed(), the request counts as answered). */

/* |response| is copied. */
void rh_http_connection_respond(struct rh_http_connection *connection,
                                const struct rh_http_response *response);

/* Problem body, with |detail| for a person (NULL: the title again) and up to one further header
 * (NULL: none), e.g. Allow, Retry-After. */
void rh_http_connection_respond_problem(struct rh_http_connection *connection,
                                        enum rh_problem problem, const char *detail,
                                        const struct rh_http_header *header);

/* 204 to a preflight request: |allow| are the methods of the path, see struct rh_route. */
void rh_http_connection_respond_preflight(struct rh_http_connection *connection, const char *allow);

/* 101: the connection is a WebSocket from now on. Its handshake was given to request(). */
void rh_http_connection_accept_websocket(struct rh_http_connection *connection);

/* 200: the answer is text/event-stream from now on, and goes on with send(). */
void rh_http_connection_accept_events(struct rh_http_connection *connection);

/* Drops the connection without an answer; for a request and for a stream. closed() is called for a
 * stream only. */
void rh_http_connection_abort(struct rh_http_connection *connection);

/* ---- Streams: WebSockets and events. ---- */

/*
 * Queues an encoded frame (router/websocket.h) or event (router/event_stream.h) and takes a reference of
 * its own; the same frame can wait on many connections. RH_ERR_FULL: the queue would exceed
 * send_queue_bytes; close with 4408. (A frame is always taken when the queue is at or below
 * send_queue_low_bytes.) RH_ERR_CLOSED: close_websocket() or end_events() was called, or the client is
 * gone and closed() is on its way. RH_ERR_NO_MEMORY. On failure nothing is queued.
 */
RH_MUST_CHECK int rh_http_connection_send(struct rh_http_connection *connection,
                                          struct rh_shared *frame);

/* The window (a power of two) that the messages of this WebSocket may be deflated with; 0: they may
 * not. */
uint8_t rh_http_connection_deflate_bits(const struct rh_http_connection *connection);

/*
 * The frame of a text or binary message, deflated with a window of 2^|bits|, for all connections with
 * rh_http_connection_deflate_bits() of |bits|. If that is not worth it (below the threshold, not
 * smaller, no memory) it is |frame| itself. The caller gets a reference and keeps his own.
 */
struct rh_shared *rh_http_server_deflate(struct rh_http_server *server, struct rh_shared *frame,
                                         uint8_t bits);

/* Bytes that wait to be sent. */
size_t rh_http_connection_send_queue_bytes(const struct rh_http_connection *connection);

/* Forgets the queued frames that no byte was sent of: before closing a consumer that is too slow,
 * so that the close frame is not behind all it did not read. */
void rh_http_connection_drop_send_queue(struct rh_http_connection *connection);

/*
 * Sends a close frame after what is queued and starts the closing handshake. closed() follows, at
 * the latest when what is queued took body_timeout_ms to get out and the answer close_timeout_ms; a
 * server that stops gives close_timeout_ms for both. A second call does nothing. |reason| is UTF-8,
 * cut to fit.
 */
void rh_http_connection_close_websocket(struct rh_http_connection *connection, uint16_t code,
                                        const char *reason);

/* Sends what is queued and ends the stream of events; closed() follows at the end of this turn. A
 * second call does nothing. */
void rh_http_connection_end_events(struct rh_http_connection *connection);

/* Whether close_websocket() or end_events() was called or the client's close frame has come. */
bool rh_http_connection_is_closing(const struct rh_http_connection *connection);

#endif
