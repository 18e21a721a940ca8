/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_HTTP_RESPONSE_H
#define RH_ROUTER_HTTP_RESPONSE_H

/*
 * Writes HTTP/1.1 responses of known length, and the head of one that goes on until the end of the
 * connection. On the client listener every response carries the CORS
 * headers that let a page of any origin read it, the 307 included (an EventSource follows a redirect
 * across origins only if the redirect itself allows it). No response may be stored by a cache.
 */

#include "base/bytes.h"
#include "base/shared.h"
#include "router/problem.h"

/* The name is one of ours; the value may come from a stranger: it is checked. */
struct rh_http_header {
    const char *name;
    struct rh_bytes value;
};

struct rh_http_response {
    unsigned status;                      /* 200 to 599 */
    const char *content_type;             /* NULL: no Content-Type */
    const struct rh_http_header *headers; /* further ones; Content-Length, Connection and CORS are
                                             added by the encoder */
    size_t headers_count;
    struct rh_bytes body;
};

/* What the encoder must know about the request and the connection. */
struct rh_http_response_context {
    bool keep_alive; /* false: says `Connection: close` */
    bool http_1_0;   /* the client's version: keep-alive must then be said */
    bool head;       /* the request was a HEAD: no body, but its length */
    bool cors;       /* let pages of any origin read it */
    bool endless;    /* what follows has no known length: it ends with the connection */
};

/*
 * Encodes the whole response, with one reference for the caller.
 * RH_ERR_INVALID: a header's name is not a token, or its value holds a control character (which
 * would let a stranger write headers of his own). RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_http_response_encode(const struct rh_http_response *response,
                                          const struct rh_http_response_context *context,
                                          struct rh_shared **ret_shared);

/* The reason phrase of a status we use, static; "" for others. */
const char *rh_http_status_text(unsigned status);

#endif
