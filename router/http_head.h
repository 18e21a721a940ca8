/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_HTTP_HEAD_H
#define RH_ROUTER_HTTP_HEAD_H

/*
 * The rules for a complete request head that a grammar does not express: which fields must be
 * there, which may not occur twice, what a target and a Host look like. Part of the request
 * parser; others use router/http_request.h.
 */

#include "router/http_request.h"

/* What the head says about the body. */
struct rh_http_framing {
    bool chunked;
    bool has_content_length;
    bool expect_continue;
};

/*
 * Checks method, target and fields of |request| and fills in path, query, host and upgrade.
 * Returns RH_PROBLEM_NONE, or what to answer with a static sentence in |ret_detail|.
 */
enum rh_problem rh_http_head_check(struct rh_http_request *request,
                                   struct rh_http_framing *ret_framing, const char **ret_detail);

/* Whether |host| is host[:port] as a Host field has it (RFC 9112, 3.2; RFC 3986, 3.2.2): not empty,
 * without userinfo, path or list. */
bool rh_http_host_valid(struct rh_bytes host);

/* Whether |c| may stand in a token, such as a method or a field's name (RFC 9110, 5.6.2). */
bool rh_http_token_char(char c);

#endif
