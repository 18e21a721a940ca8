/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_JSON_SCAN_H
#define RH_ROUTER_JSON_SCAN_H

/*
 * Reading JSON (RFC 8259) without building trees: check a text once, then walk the members of an
 * object as slices of it. Nothing here allocates but for decoding strings that have escapes.
 *
 * Strict: the text is UTF-8 without a byte order mark; \u escapes of surrogates come in pairs, so
 * that every string has a UTF-8 form; nesting is bounded. Not judged: the size of numbers, and
 * whether a key occurs twice (the reader of an object refuses doubles of the keys it knows).
 */

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and objects inside one another; the largest |depth_max| there is. */
#define RH_JSON_DEPTH_LIMIT 512

enum rh_json_type {
    RH_JSON_NULL,
    RH_JSON_FALSE,
    RH_JSON_TRUE,
    RH_JSON_NUMBER,
    RH_JSON_STRING,
    RH_JSON_ARRAY,
    RH_JSON_OBJECT,
};

/* A value inside a checked text: a slice of it, without the blanks around. */
struct rh_json_value {
    enum rh_json_type type;
    struct rh_bytes raw; /* strings with their quotes */
};

struct rh_json_member {
    struct rh_json_value key; /* always a STRING */
    struct rh_json_value value;
};

/* Where a walk over an object is; see rh_json_members(). */
struct rh_json_cursor {
    struct rh_bytes rest;
};

/*
 * Checks that |text| is exactly one JSON value, blanks around it allowed, in which arrays and
 * objects nest at most |depth_max| deep (0: scalars only). The value is valid as long as |text|.
 * RH_ERR_INVALID: not JSON; |reason| (may be NULL) says what and at which byte.
 * RH_ERR_TOO_LARGE: nested deeper.
 */
RH_MUST_CHECK int rh_json_check(struct rh_bytes text, unsigned depth_max,
                                struct rh_json_value *ret_value, struct rh_reason *reason);

/* Starts a walk over the members of |object|, a value of type OBJECT of a checked text. */
struct rh_json_cursor rh_json_members(struct rh_json_value object);

/* The next member in text order; false at the end. Each call costs the size of the member. */
bool rh_json_next(struct rh_json_cursor *cursor, struct rh_json_member *ret_member);

/* Whether the decoded |string| (a STRING of a checked text) is |text|. */
bool rh_json_string_equal(struct rh_json_value string, const char *text);

/*
 * The decoded text of |string| (a STRING of a checked text). Without escapes it is a slice of the
 * checked text; otherwise it is appended to |scratch|, never longer than the raw form, and valid
 * until |scratch| changes. May contain U+0000. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_json_string_decode(struct rh_json_value string, struct rh_buffer *scratch,
                                        struct rh_bytes *ret_text);

/* A NUMBER of a checked text as an integer. RH_ERR_INVALID: another type, a sign, a fraction, an
 * exponent, or greater than |max|. */
RH_MUST_CHECK int rh_json_integer(struct rh_json_value value, uint64_t max, uint64_t *ret_integer);

#endif
