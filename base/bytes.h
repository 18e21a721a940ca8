/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_BYTES_H
#define RH_BASE_BYTES_H

/*
 * A slice of bytes that somebody else owns, and small questions about such slices.
 * A slice is a value; how long what it points to is valid is said where a slice is handed out.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rh_bytes {
    const char *data; /* not terminated; may be NULL when size is 0 */
    size_t size;
};

/* printf arguments for "%.*s". */
#define RH_BYTES_ARG(bytes) (int)(bytes).size, ((bytes).data == NULL ? "" : (bytes).data)

static inline struct rh_bytes rh_bytes(const void *data, size_t size)
{
    return (struct rh_bytes){.data = data, .size = size};
}

static inline struct rh_bytes rh_bytes_text(const char *text)
{
    return rh_bytes(text, strlen(text));
}

static inline bool rh_bytes_equal(struct rh_bytes a, struct rh_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool rh_bytes_equal_text(struct rh_bytes a, const char *text)
{
    return rh_bytes_equal(a, rh_bytes_text(text));
}

/* Copies |bytes| to |out| and returns where they end there. */
static inline char *rh_bytes_write(char *out, struct rh_bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(out, bytes.data, bytes.size);
    }
    return out + bytes.size;
}

/* Equal when ASCII letters are compared without case. */
bool rh_bytes_equal_nocase(struct rh_bytes a, struct rh_bytes b);

/* Whether the whole slice is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool rh_bytes_is_utf8(struct rh_bytes bytes);

/* The same question about a text that comes in pieces. A zeroed struct is the start of a text. */
struct rh_utf8 {
    uint8_t left; /* bytes that the sequence which has begun still needs */
    uint8_t low;  /* range of the next one of them */
    uint8_t high;
};

/* Takes the next piece. False, for ever: no continuation can make this text well-formed. */
bool rh_utf8_feed(struct rh_utf8 *utf8, struct rh_bytes piece);

/* Whether the text may end here, i.e. not inside a sequence. */
static inline bool rh_utf8_complete(const struct rh_utf8 *utf8)
{
    return utf8->left == 0;
}

/* A decimal number without sign, at most |max|. RH_ERR_INVALID: empty, another character, or
 * greater than |max|. */
RH_MUST_CHECK int rh_bytes_to_u64(struct rh_bytes bytes, uint64_t max, uint64_t *ret_value);

/* Exactly 16 hex digits, in either case. RH_ERR_INVALID otherwise. */
RH_MUST_CHECK int rh_bytes_to_id64(struct rh_bytes bytes, uint64_t *ret_value);

#define RH_ID64_SIZE 17

/* Writes 16 lower-case hex digits and a terminator: the form of instances, incarnations, digests. */
void rh_id64_format(uint64_t value, char out[static RH_ID64_SIZE]);

#endif
