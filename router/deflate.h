/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_DEFLATE_H
#define RH_ROUTER_DEFLATE_H

/*
 * Compression of WebSocket messages (permessage-deflate, RFC 7692): which offer of a client is
 * taken, and payloads to deflated payloads and back. Pure; frames are router/websocket.h.
 *
 *   Sec-WebSocket-Extensions -> rh_deflate_negotiate -> terms -> rh_deflate_answer
 *
 *   payload -> rh_deflater_run -> deflated payload   (one deflater for all connections)
 *   deflated payload -> rh_inflater_run -> payload   (likewise)
 *
 * No side keeps its window from one message to the next ("no context takeover", 7.1.1): that is
 * agreed with every client. So a connection holds no memory of zlib, a message for many is
 * compressed once for all who have agreed on the same window, and a message that comes in pieces
 * costs what it has sent and no window of its own. The price is that a message cannot refer to the
 * ones before it.
 */

#include "base/buffer.h"

/* Windows that zlib makes raw deflate with, as powers of two. RFC 7692 knows 8 too. */
#define RH_DEFLATE_BITS_MIN   9
#define RH_DEFLATE_BITS_MAX   15
#define RH_DEFLATE_BITS_COUNT (RH_DEFLATE_BITS_MAX - RH_DEFLATE_BITS_MIN + 1)
#define RH_DEFLATE_LEVEL_MAX  9

/* ---- Negotiation ---- */

/* What was agreed with one client. Zeroed: no compression. */
struct rh_deflate_terms {
    uint8_t server_bits;    /* window of what we send, RH_DEFLATE_BITS_MIN or more */
    uint8_t client_bits;    /* window of what the client sends; 0: it cannot be told */
    bool server_bits_named; /* the client has asked for a window, so the answer names it */
};

/*
 * Takes the first offer in |offers|, the value of a Sec-WebSocket-Extensions header, that can be
 * met with windows of at most |bits_max|. False: there is none. Other extensions, parameters that
 * are unknown, double or have an impossible value, and a window of 2^8, decline an offer and never
 * the handshake (7.1); a value that is no list of extensions has no offers.
 */
bool rh_deflate_negotiate(struct rh_bytes offers, uint8_t bits_max,
                          struct rh_deflate_terms *ret_terms);

/* Appends the value of the header that answers. RH_ERR_NO_MEMORY: nothing was appended. */
RH_MUST_CHECK int rh_deflate_answer(const struct rh_deflate_terms *terms, struct rh_buffer *output);

/* ---- Payloads ---- */

struct z_stream_s;

/* Zeroed but for |level| (1 to RH_DEFLATE_LEVEL_MAX) it is ready. What it holds is made when it is
 * first needed and kept: up to 262 KiB a window, 570 KiB for all, below 64 KiB of output. */
struct rh_deflater {
    uint8_t level;
    struct z_stream_s *streams[RH_DEFLATE_BITS_COUNT];
    struct rh_buffer output;
};

/* A zeroed struct is ready; it holds 40 KiB once it has been used, and below 64 KiB of output. */
struct rh_inflater {
    struct z_stream_s *stream;
    struct rh_buffer output;
};

void rh_deflater_finish(struct rh_deflater *deflater);
void rh_inflater_finish(struct rh_inflater *inflater);

/*
 * Deflates a payload with a window of 2^|bits| or less. |ret_deflated| is valid until the next call.
 * RH_ERR_FULL: it does not become smaller. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_deflater_run(struct rh_deflater *deflater, uint8_t bits,
                                  struct rh_bytes payload, struct rh_bytes *ret_deflated);

/*
 * Inflates a payload of any window. |ret_payload| is valid until the next call; memory and time
 * grow with it and stop at |size_max|, whatever the deflated bytes promise.
 * RH_ERR_TOO_LARGE: more than |size_max| bytes come out. RH_ERR_INVALID: this is no deflated
 * payload, or it ends too early. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_inflater_run(struct rh_inflater *inflater, struct rh_bytes deflated,
                                  size_t size_max, struct rh_bytes *ret_payload);

/* How many bytes a client may need to say |size| bytes deflated: a literal of the fixed code has
 * at most nine bits, and a message some blocks. What is longer was made longer on purpose. */
static inline uint64_t rh_deflate_size_max(uint64_t size)
{
    return size + size / 8 + 64;
}

#endif
