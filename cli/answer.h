/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_ANSWER_H
#define RH_CLI_ANSWER_H

/*
 * Reads HTTP/1.1 answers (RFC 9112) from a stream of bytes, one at a time: what a handshake or a
 * publish was answered. llhttp does the grammar. Pure.
 */

#include "base/buffer.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

#define RH_ANSWER_LOCATION_SIZE_MAX 4095U
#define RH_ANSWER_ACCEPT_SIZE_MAX   64U
#define RH_ANSWER_BODY_SIZE_MAX     16384U

struct rh_answer {
    unsigned status;           /* 0 before the head is complete */
    bool keep_alive;           /* another answer may follow on the connection */
    struct rh_buffer location; /* value of Location */
    struct rh_buffer accept;   /* value of Sec-WebSocket-Accept */
    struct rh_buffer body;

    /* Of the reading. */
    llhttp_t llhttp;
    struct rh_buffer *value; /* of the header that is being read, if it is wanted */
    size_t name_size;
    char name[24]; /* of the header that is being read, as far as it fits */
    bool complete;
    int error;
};

void rh_answer_init(struct rh_answer *answer);
void rh_answer_finish(struct rh_answer *answer);

/* Ready for the next answer; keeps memory. The answer must not be copied or moved from here on. */
void rh_answer_reset(struct rh_answer *answer);

/*
 * Reads up to the end of one answer: 0, with how many bytes that took in |ret_consumed|. A 101 ends
 * with its head. Reset it before it is fed again.
 * RH_ERR_AGAIN: not complete, all was consumed. RH_ERR_INVALID: not HTTP, or an answer that ends
 * only with the connection. RH_ERR_TOO_LARGE, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_answer_feed(struct rh_answer *answer, struct rh_bytes bytes,
                                 size_t *ret_consumed);

/* What the body of a 201 to a publish says. RH_ERR_INVALID: it does not say it. */
RH_MUST_CHECK int rh_answer_published(struct rh_bytes body, uint64_t *ret_incarnation,
                                      uint64_t *ret_seq);

#endif
