/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_CONDITION_H
#define RH_ROUTER_CONDITION_H

/*
 * The conditions of a request (RFC 9110, 13.1). The entity tag of a state document is its version as
 * a decimal number, ETag: "7"; that of the answer to a poll is the position it comes to.
 */

#include "base/bytes.h"

enum rh_condition_kind {
    RH_CONDITION_NONE,    /* the field is not there */
    RH_CONDITION_VERSION, /* "7" */
    RH_CONDITION_ANY,     /* * */
};

struct rh_condition {
    enum rh_condition_kind kind;
    uint64_t version; /* 0: a tag that none of our documents has, so that it is never true */
};

/* The field If-Match, or If-None-Match of a write, as rh_http_request_field() gives it: `*`, or one
 * entity tag, of which the weak ones are never true. RH_ERR_INVALID: it is neither. */
RH_MUST_CHECK int rh_condition_parse(struct rh_bytes field, struct rh_condition *ret_condition);

/* Whether the field If-None-Match of a read, a list, names |tag| (without its quotes; weak or not is
 * the same here) or is `*`. */
bool rh_condition_lists(struct rh_bytes field, struct rh_bytes tag);

/* The same for the tag of |version|. */
bool rh_condition_names(struct rh_bytes field, uint64_t version);

#endif
