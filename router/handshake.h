/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_HANDSHAKE_H
#define RH_ROUTER_HANDSHAKE_H

/*
 * The server side of the WebSocket opening handshake (RFC 6455, 4.2): is this request an upgrade,
 * is it a valid one, which subprotocol, is it compressed, and the head of the 101 answer. Pure; who may connect, and
 * to which channel, is not decided here.
 */

#include "base/buffer.h"
#include "router/deflate.h"
#include "router/http_request.h"

/* Our subprotocol: the client understands `moved` in place of a redirect. */
#define RH_HANDSHAKE_PROTOCOL "ringhop.v1"

enum rh_handshake_verdict {
    RH_HANDSHAKE_ACCEPT,
    RH_HANDSHAKE_PLAIN,   /* not a WebSocket upgrade: an ordinary request, or another protocol */
    RH_HANDSHAKE_BAD,     /* 400 */
    RH_HANDSHAKE_VERSION, /* 426 with the header line `Sec-WebSocket-Version: 13` */
};

enum rh_handshake_protocol {
    RH_HANDSHAKE_PROTOCOL_NONE,    /* nothing that we know was offered: JSON, redirect by 307 */
    RH_HANDSHAKE_PROTOCOL_JSON_V1, /* RH_HANDSHAKE_PROTOCOL */
};

#define RH_HANDSHAKE_KEY_SIZE    25 /* 24 characters of base64 and a terminator */
#define RH_HANDSHAKE_ACCEPT_SIZE 29 /* 28 characters and a terminator */

/* A valid handshake. */
struct rh_handshake {
    enum rh_handshake_protocol protocol;
    char key[RH_HANDSHAKE_KEY_SIZE]; /* Sec-WebSocket-Key */
    struct rh_deflate_terms deflate; /* see rh_handshake_negotiate() */
};

/*
 * Judges the request. ACCEPT: |ret_handshake| is filled. BAD and VERSION: |reason| (may be NULL)
 * says what is wrong in words fit for the answer.
 *
 * A request is an upgrade when an Upgrade header lists `websocket` (in any case); so clients that
 * merely ask for h2c are PLAIN. An upgrade needs GET, HTTP/1.1, `upgrade` in Connection, exactly
 * one Sec-WebSocket-Version, which is 13, and exactly one Sec-WebSocket-Key of 16 bytes in base64.
 * HTTP/1.0 has no upgrades, so such a request is PLAIN (RFC 9110, 7.8). Offered extensions are
 * declined by silence, unless rh_handshake_negotiate() takes one.
 */
enum rh_handshake_verdict rh_handshake_judge(const struct rh_http_request *request,
                                             struct rh_handshake *ret_handshake,
                                             struct rh_reason *reason);

/* Of a request that was accepted: takes the first offer of compression that can be met with windows of
 * at most |bits_max|; 0: none. See rh_deflate_negotiate(). */
void rh_handshake_negotiate(const struct rh_http_request *request, uint8_t bits_max,
                            struct rh_handshake *handshake);

/* Appends the whole head of the 101 answer with its empty line. RH_ERR_NO_MEMORY: nothing was
 * appended. */
RH_MUST_CHECK int rh_handshake_answer(const struct rh_handshake *handshake,
                                      struct rh_buffer *output);

/* Value of Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2, 5.4).
 * RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_handshake_accept(const char *key,
                                      char ret_accept[static RH_HANDSHAKE_ACCEPT_SIZE]);

#endif
