/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_CONNECTION_H
#define RH_DRILL_CONNECTION_H

/*
 * One WebSocket of a client: the socket, the handshake, frames. An idle one holds no buffer and no
 * parser. What its texts mean is the client's matter (drill/clients.c).
 *
 *      DIALLING --> SHAKING --> OPEN --quiet--> QUIET
 *          |           |          |
 *          +-----------+----------+--> ended: told to the client once, which destroys it
 */

#include "drill/worker.h"

enum rh_connection_state {
    RH_CONNECTION_DIALLING,
    RH_CONNECTION_SHAKING,
    RH_CONNECTION_OPEN,
    RH_CONNECTION_QUIET, /* nothing is read any more */
};

struct rh_shake;

/* Read only. */
struct rh_connection {
    ev_io io;
    struct rh_worker *worker;
    struct rh_client *client;
    struct rh_shake *shake; /* until the handshake is over */
    struct rh_buffer input; /* a frame that is not complete */
    struct rh_buffer output;
    uint64_t heard_ms; /* when bytes came last; when it was begun, before that */
    uint8_t state;
    bool pinged; /* since then */
};

/* How a connection, or the try to make one, came to its end. */
enum rh_connection_end {
    RH_CONNECTION_UNREACHABLE,
    RH_CONNECTION_REFUSED,    /* an answer that is no 101 */
    RH_CONNECTION_REDIRECTED, /* 307: go to |location| */
    RH_CONNECTION_CLOSED,     /* with a close frame */
    RH_CONNECTION_BROKEN,     /* end of file or reset, or not what the protocol says */
};

struct rh_connection_ended {
    enum rh_connection_end how;
    unsigned code;        /* of the answer, or of the close frame */
    const char *location; /* valid during the call; absolute */
};

/* Both are called from the loop. */
struct rh_connection_handler {
    /* A text message. False: the connection has been destroyed or made quiet. */
    bool (*text)(struct rh_connection *connection, struct rh_bytes text);
    /* It is over; the handler destroys it. */
    void (*ended)(struct rh_connection *connection, const struct rh_connection_ended *ended);
};

/*
 * Begins to connect to a ws URL. |attempt| and |source| are those of rh_address_connect().
 * RH_ERR_FULL: no descriptor or port is left. Other errors: it cannot be reached. Being out of
 * memory ends the worker.
 */
RH_MUST_CHECK int rh_connection_open(struct rh_worker *worker,
                                     const struct rh_connection_handler *handler,
                                     struct rh_client *client, const char *url, uint32_t attempt,
                                     uint32_t source, struct rh_connection **ret_connection);

/* Says goodbye if it is open, and frees; NULL is allowed. */
void rh_connection_destroy(struct rh_connection *connection);

/* Reads nothing any more, and says nothing either. */
void rh_connection_quiet(struct rh_connection *connection);

void rh_connection_ping(struct rh_connection *connection);

#endif
