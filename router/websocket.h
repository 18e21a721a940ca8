/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_WEBSOCKET_H
#define RH_ROUTER_WEBSOCKET_H

/*
 * The server side of WebSocket framing (RFC 6455, 5 to 7): bytes from a client become messages,
 * messages become frames. Pure: the caller owns the socket, the send queue and every timer. The
 * handshake is router/handshake.h.
 *
 *      bytes of the client -> rh_websocket_feed -> handler: message, control
 *                                   |
 *                                   +-> output: pong and close frames, in order
 *
 *      encode: message -> one unmasked frame in a struct rh_shared, made once for all connections
 *
 *              rh_websocket_closing()            close frame received
 *      OPEN -------------------------> CLOSING -----------------------> CLOSED
 *       |  close frame received (answered)        |                        ^
 *       +-----------------------------------------|------------------------+
 *       |  protocol error, or stopped by handler  |
 *       +-----------------------------------------+-----------------> FAILED, STOPPED
 *
 * A connection embeds a struct rh_websocket of a few words. What parsing needs (about 4.5 KiB, and
 * the fragments of a message) exists only during a feed and while a frame or a fragmented message
 * is incomplete; one such context is kept for reuse in a pool that belongs to the server.
 *
 * Extensions: permessage-deflate (RFC 7692), if it was agreed on in the handshake. Then a message may
 * come deflated; it is kept as it came until it is whole, and inflated by the one inflater of the
 * pool, up to the limit. Any other reserved bit is a protocol error.
 */

#include "base/buffer.h"
#include "base/shared.h"
#include "router/deflate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rh_websocket_opcode {
    RH_WEBSOCKET_CONTINUATION = 0,
    RH_WEBSOCKET_TEXT = 1,
    RH_WEBSOCKET_BINARY = 2,
    RH_WEBSOCKET_CLOSE = 8,
    RH_WEBSOCKET_PING = 9,
    RH_WEBSOCKET_PONG = 10,
};

/* Close codes: RFC 6455, 7.4.1, and our own in the range 4000 to 4999. */
enum rh_websocket_code {
    RH_WEBSOCKET_CODE_NORMAL = 1000,
    RH_WEBSOCKET_CODE_GOING_AWAY = 1001,
    RH_WEBSOCKET_CODE_PROTOCOL = 1002,
    RH_WEBSOCKET_CODE_UNSUPPORTED = 1003,
    RH_WEBSOCKET_CODE_NONE = 1005, /* never sent: the close frame had no code */
    RH_WEBSOCKET_CODE_BAD_TEXT = 1007,
    RH_WEBSOCKET_CODE_TOO_LARGE = 1009,
    RH_WEBSOCKET_CODE_INTERNAL = 1011,
    RH_WEBSOCKET_CODE_TRY_AGAIN = 1013,
    RH_WEBSOCKET_CODE_MOVED = 4307,
    RH_WEBSOCKET_CODE_NOT_ALLOWED = 4401,
    RH_WEBSOCKET_CODE_TOO_SLOW = 4408,
};

enum rh_websocket_state {
    RH_WEBSOCKET_STATE_OPEN,
    RH_WEBSOCKET_STATE_CLOSING, /* our close frame is on its way, the client's has not come */
    RH_WEBSOCKET_STATE_CLOSED,  /* the client's close frame has come, ours is sent or in output */
    RH_WEBSOCKET_STATE_FAILED,  /* the client broke the protocol; ours is sent or in output */
    RH_WEBSOCKET_STATE_STOPPED, /* the handler said stop; nothing was added to output */
};

struct rh_websocket_context;

/* Embed it; only the functions below touch it. */
struct rh_websocket {
    struct rh_websocket_context *context; /* NULL between messages */
    uint32_t message_size_max;
    uint16_t code;        /* see rh_websocket_code() */
    uint8_t state;        /* enum rh_websocket_state */
    uint8_t deflate_bits; /* see rh_websocket_deflate_bits() */
};

/* One per server: keeps at most one idle context. A zeroed struct is an empty pool. */
struct rh_websocket_pool {
    struct rh_websocket_context *spare;
    size_t contexts_count; /* contexts in use by connections: frames or messages that are partial */
    struct rh_inflater inflater;
    uint64_t inflated_in;  /* payload bytes of the messages that came deflated, as they came */
    uint64_t inflated_out; /* and inflated */
};

/* What a feed calls. |payload| is valid during the call only. Neither may call feed or finish on
 * the same codec; both may append to |output| (order is kept) and call rh_websocket_closing(). */
struct rh_websocket_handler {
    /* A whole message, |opcode| TEXT (checked UTF-8) or BINARY. 0: go on. Anything else: stop here,
     * drop the rest of the input and deliver nothing more. */
    int (*message)(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload);

    /* A PING or PONG, or a CLOSE (then |payload| is the reason, UTF-8). It has been answered
     * already where an answer is due. May be NULL. */
    void (*control)(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload);
};

/* Most bytes one feed adds to |output| by itself (a handler may add more): of a flood of pings only
 * so many, and the last one, are answered (RFC 6455, 5.5.3). */
#define RH_WEBSOCKET_PONGS_MAX        32
#define RH_WEBSOCKET_ANSWERS_SIZE_MAX ((RH_WEBSOCKET_PONGS_MAX + 2) * 127)

/* |message_size_max|: payload bytes of a message, all fragments together; of one that comes deflated,
 * when it is inflated. Allocates nothing. */
void rh_websocket_init(struct rh_websocket *websocket, uint32_t message_size_max);

/* Before the first feed: permessage-deflate was agreed on, with a window of 2^|bits| for what we send. */
void rh_websocket_agree_deflate(struct rh_websocket *websocket, uint8_t bits);

/* That window; 0: messages are not deflated, in either direction. */
static inline uint8_t rh_websocket_deflate_bits(const struct rh_websocket *websocket)
{
    return websocket->deflate_bits;
}

/* Frees what a partial message holds. A zeroed |websocket| is allowed. */
void rh_websocket_finish(struct rh_websocket *websocket, struct rh_websocket_pool *pool);

/* Frees the spare context and the inflater; all codecs that used the pool are finished. */
void rh_websocket_pool_finish(struct rh_websocket_pool *pool);

/*
 * Takes all of |input|, calls |handler| with |context| for what is complete in it, and appends the
 * answers that the protocol asks for to |output|. Then look at rh_websocket_state(): in every state
 * but OPEN no message is delivered any more, and in CLOSED, FAILED and STOPPED input is discarded:
 * flush |output| and close the connection.
 *
 * A client that breaks the protocol is no error of this function, but leads to FAILED: 1002, text
 * that is not UTF-8 (as soon as seen) 1007, a message above the limit (as soon as announced) 1009;
 * the close frame is in |output| unless one was sent before. A deflated message is judged when it is
 * whole: 1007 if it cannot be inflated, 1009 if it becomes larger than the limit; one that is larger
 * than any compressor makes a message of the limit (rh_deflate_size_max()) is refused as announced.
 *
 * RH_ERR_NO_MEMORY: the codec is FAILED with 1011, no close frame in |output|; drop the connection.
 */
RH_MUST_CHECK int rh_websocket_feed(struct rh_websocket *websocket, struct rh_websocket_pool *pool,
                                    struct rh_bytes input, struct rh_buffer *output,
                                    const struct rh_websocket_handler *handler, void *context);

/* Tells the codec that the caller sends a close frame: OPEN becomes CLOSING, in which a feed only
 * waits for the client's close frame and answers nothing. In any other state nothing happens. */
void rh_websocket_closing(struct rh_websocket *websocket);

static inline enum rh_websocket_state rh_websocket_state(const struct rh_websocket *websocket)
{
    return (enum rh_websocket_state)websocket->state;
}

/* CLOSED: the code of the client's close frame, 1005 if it had none. FAILED: the code that we
 * answered with. 0 in other states. */
static inline uint16_t rh_websocket_code(const struct rh_websocket *websocket)
{
    return websocket->code;
}

/* Whether a frame or a fragmented message is incomplete: the client owes us bytes. */
static inline bool rh_websocket_partial(const struct rh_websocket *websocket)
{
    return websocket->context != NULL;
}

/* ---- Encoding. Every frame is final and unmasked (RFC 6455, 5.1). ---- */

#define RH_WEBSOCKET_HEADER_SIZE_MAX  10
#define RH_WEBSOCKET_CONTROL_SIZE_MAX 125 /* payload of a control frame (RFC 6455, 5.5) */
#define RH_WEBSOCKET_REASON_SIZE_MAX  123 /* bytes of UTF-8 after the code in a close frame */

/* Bytes of the header of a frame with |payload_size| bytes: 2, 4 or 10. */
size_t rh_websocket_header_size(uint64_t payload_size);

/* Writes that header and returns its size. For those who write a payload straight into a frame. */
size_t rh_websocket_header_write(char *out, enum rh_websocket_opcode opcode, uint64_t payload_size);

/* One frame with one reference, or NULL when out of memory. The payload of a control frame (ping,
 * pong) has at most RH_WEBSOCKET_CONTROL_SIZE_MAX bytes; text is UTF-8. */
struct rh_shared *rh_websocket_encode(enum rh_websocket_opcode opcode, struct rh_bytes payload);

/*
 * The same message as |frame|, which has no reserved bit, deflated with a window of 2^|bits|: a frame
 * with one reference. NULL: it would not be smaller, or there is no memory for it; send |frame|.
 */
struct rh_shared *rh_websocket_deflate(const struct rh_shared *frame, uint8_t bits,
                                       struct rh_deflater *deflater);

/* A close frame. |code| is one that may be sent; |reason| is UTF-8 and is cut to fit, between
 * characters. NULL when out of memory. Do not forget rh_websocket_closing(). */
struct rh_shared *rh_websocket_encode_close(uint16_t code, struct rh_bytes reason);

/* The same two, appended to a buffer. RH_ERR_NO_MEMORY: nothing was appended. */
RH_MUST_CHECK int rh_websocket_append(struct rh_buffer *output, enum rh_websocket_opcode opcode,
                                      struct rh_bytes payload);
RH_MUST_CHECK int rh_websocket_append_close(struct rh_buffer *output, uint16_t code,
                                            struct rh_bytes reason);

#endif
