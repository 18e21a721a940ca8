/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_HTTP_REQUEST_H
#define RH_ROUTER_HTTP_REQUEST_H

/*
 * Reads HTTP/1.1 requests (RFC 9112) from a stream of bytes, one at a time, with limits. It is
 * strict: what two servers on one path might read in two ways is refused. llhttp does the
 * grammar; this module adds limits and refuses what llhttp lets through. What a request means is
 * router/route.h's matter.
 *
 *      bytes --> rh_http_parser_feed() --> MORE      all bytes consumed, feed again
 *                                      --> COMPLETE  the request is there; the bytes after it are
 *                                                    not consumed (pipelining, or another protocol)
 *                                      --> BAD       answer with the problem and close
 *
 * A parser is needed only while a request is being read, so an idle connection has none. It keeps
 * its memory across requests: whoever owns several lends them out again.
 */

#include "base/bytes.h"
#include "router/problem.h"

#include <stdint.h>

enum rh_http_method {
    RH_HTTP_GET,
    RH_HTTP_HEAD,
    RH_HTTP_POST,
    RH_HTTP_PUT,
    RH_HTTP_DELETE,
    RH_HTTP_OPTIONS,
    RH_HTTP_OTHER, /* known to HTTP, unknown to all our paths */
};

/* One header field. The value is without surrounding whitespace, the name as it was sent. */
struct rh_http_field {
    struct rh_bytes name;
    struct rh_bytes value;
};

/* A whole request. All slices are valid until the parser is fed, reset or destroyed. */
struct rh_http_request {
    enum rh_http_method method;
    struct rh_bytes target; /* as it was sent: origin form, absolute form, or `*` of OPTIONS */
    struct rh_bytes path;   /* starts with '/', or is `*`; still percent-encoded */
    struct rh_bytes query;  /* without '?'; empty when there is none */
    struct rh_bytes host;   /* host[:port]; of an absolute target, or the Host header; may be empty
                               in HTTP/1.0 only */
    const struct rh_http_field *fields;
    size_t fields_count;
    struct rh_bytes body;
    bool http_1_0;
    bool keep_alive; /* the client wants the connection to stay open */
    bool upgrade;    /* HTTP/1.1 with an Upgrade header: router/handshake.h judges it */
};

struct rh_http_limits {
    size_t head_bytes;   /* request line and headers together, with their line ends */
    size_t target_bytes; /* at most what head_bytes leaves */
    size_t fields;       /* number of header fields */
    size_t body_bytes;   /* after chunks were put together */
};

enum rh_http_feed {
    RH_HTTP_FEED_MORE,
    RH_HTTP_FEED_COMPLETE,
    RH_HTTP_FEED_BAD,
};

struct rh_http_parser;

/* |limits| is copied. RH_ERR_NO_MEMORY. The caller owns the parser. */
RH_MUST_CHECK int rh_http_parser_create(const struct rh_http_limits *limits,
                                        struct rh_http_parser **ret_parser);

/* NULL is allowed. */
void rh_http_parser_destroy(struct rh_http_parser *parser);

/* Ready for a new request. Keeps buffers for heads and small bodies, frees a large one. */
void rh_http_parser_reset(struct rh_http_parser *parser);

/*
 * Reads up to the end of one request and says in |ret_consumed| how far it came. The bytes are
 * copied. After COMPLETE and BAD the parser must be reset before it is fed again.
 *
 * Out of memory is BAD with RH_PROBLEM_NO_MEMORY.
 */
enum rh_http_feed rh_http_parser_feed(struct rh_http_parser *parser, struct rh_bytes bytes,
                                      size_t *ret_consumed);

/* After COMPLETE: the request; valid until the parser is fed, reset or destroyed. */
const struct rh_http_request *rh_http_parser_request(const struct rh_http_parser *parser);

/* After BAD: what to answer, and a static sentence that says what is wrong. */
enum rh_problem rh_http_parser_problem(const struct rh_http_parser *parser);
const char *rh_http_parser_problem_detail(const struct rh_http_parser *parser);

/* Whether a byte of a request was read, and whether its head is complete: they say which time
 * limit applies. Line ends before a request do not count (RFC 9112, 2.2). */
bool rh_http_parser_started(const struct rh_http_parser *parser);
bool rh_http_parser_head_complete(const struct rh_http_parser *parser);

/*
 * True once, after MORE, for a request that waits for `100 Continue` before it sends its body
 * (RFC 9110, 10.1.1): send it.
 */
bool rh_http_parser_take_continue(struct rh_http_parser *parser);

/*
 * The value of the first field of that name (compared without case); its data is NULL when there
 * is none. Same validity as the request.
 */
struct rh_bytes rh_http_request_field(const struct rh_http_request *request, const char *name);

#endif
