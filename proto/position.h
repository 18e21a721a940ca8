/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_POSITION_H
#define RH_PROTO_POSITION_H

/*
 * A resume position: which message a client saw last. Written `incarnation:seq`, or `0` for
 * "before all that the log holds". What a position means for a channel is node/channel.h's matter.
 */

#include "base/bytes.h"

struct rh_position {
    uint64_t incarnation; /* 0: the position `0` */
    uint64_t seq;
};

#define RH_POSITION_TEXT_SIZE 40

/* RH_ERR_INVALID: not `0`, and not 16 hex digits that are not all 0, a colon and a decimal number
 * below 2^63. */
RH_MUST_CHECK int rh_position_parse(struct rh_bytes text, struct rh_position *ret_position);

void rh_position_format(struct rh_position position, char out[static RH_POSITION_TEXT_SIZE]);

#endif
