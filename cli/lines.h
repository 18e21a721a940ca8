/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_LINES_H
#define RH_CLI_LINES_H

/*
 * Messages to publish, one a line, out of a stream of bytes. Pure.
 *
 *      RH_LINE_TAB     key <TAB> payload
 *      RH_LINE_JSON    {"key":"user:42","id":"order-17","data":"hi"}    or "json": any, or "base64"
 *      RH_LINE_DATA    payload; all go to one key
 */

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- lines ---- */

struct rh_lines {
    size_t size_max; /* of a line, without its end */
    uint64_t number; /* of the line that came last, from 1 */
    struct rh_buffer input;
    size_t looked;  /* bytes of |input| that are known to have no end of a line */
    bool discarded; /* the line was too long, and what is left of it is passed over */
    bool ended;
};

void rh_lines_init(struct rh_lines *lines, size_t size_max);
void rh_lines_finish(struct rh_lines *lines);

/* Room for |size| bytes of input, or NULL; rh_lines_commit() says how many came, 0: the end. */
char *rh_lines_reserve(struct rh_lines *lines, size_t size);
void rh_lines_commit(struct rh_lines *lines, size_t size);

/*
 * Takes the next whole line, without its line feed; at the end of the input the rest is one, too.
 * |ret_line| is valid until more is reserved. RH_ERR_AGAIN: more has to come. RH_ERR_CLOSED: that
 * was all. RH_ERR_TOO_LARGE: the line, which has its number, is passed over.
 */
RH_MUST_CHECK int rh_lines_next(struct rh_lines *lines, struct rh_bytes *ret_line);

/* ---- what a line says ---- */

enum rh_line_format {
    RH_LINE_TAB,
    RH_LINE_JSON,
    RH_LINE_DATA,
};

struct rh_line_rules {
    enum rh_line_format format;
    struct rh_bytes key;      /* of RH_LINE_DATA */
    const char *content_type; /* of the payloads, but for RH_LINE_JSON */
    uint64_t message_bytes;   /* largest payload */
};

struct rh_line_message {
    struct rh_bytes key;
    struct rh_bytes id; /* size 0: none */
    struct rh_bytes payload;
    const char *content_type; /* static */
};

/* The longest line that can be a message. */
size_t rh_line_size_max(const struct rh_line_rules *rules);

/*
 * Reads one line. Slices point into it or into |scratch|, which is cleared first.
 * RH_ERR_NOT_FOUND: it is empty and means nothing (of RH_LINE_DATA it is an empty message).
 * RH_ERR_INVALID with a reason. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_line_parse(const struct rh_line_rules *rules, struct rh_bytes line,
                                struct rh_buffer *scratch, struct rh_line_message *ret_message,
                                struct rh_reason *reason);

#endif
