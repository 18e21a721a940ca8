/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_ERROR_H
#define RH_BASE_ERROR_H

/*
 * Errors: one list of codes for the whole project, and a human reason beside a code.
 *
 * A function that can fail returns 0 or one of the negative codes below. Where a person will
 * have to act on the failure, the function also takes a `struct rh_reason *` and writes one
 * sentence there that names the place and the cause ("cluster.yaml:12: ...").
 */

/* Name, value, text. Values are stable: they may be logged and compared across versions. */
#define RH_ERROR_MAP(X)                                    \
    X(RH_ERR_NO_MEMORY, -1, "out of memory")               \
    X(RH_ERR_INVALID, -2, "invalid value")                 \
    X(RH_ERR_TOO_LARGE, -3, "larger than the limit")       \
    X(RH_ERR_TRUNCATED, -4, "ends too early")              \
    X(RH_ERR_NOT_FOUND, -5, "not found")                   \
    X(RH_ERR_EXISTS, -6, "exists already")                 \
    X(RH_ERR_CONFLICT, -7, "conflicts with what is there") \
    X(RH_ERR_UNREACHABLE, -8, "not reachable")             \
    X(RH_ERR_TIMEOUT, -9, "timed out")                     \
    X(RH_ERR_AGAIN, -10, "not possible now, try again")    \
    X(RH_ERR_CLOSED, -11, "closed")                        \
    X(RH_ERR_REFUSED, -12, "refused")                      \
    X(RH_ERR_IO, -13, "input/output error")                \
    X(RH_ERR_FULL, -14, "a limit is reached")

enum rh_error {
#define RH_ERROR_ENUM(name, value, text) name = (value),
    RH_ERROR_MAP(RH_ERROR_ENUM)
#undef RH_ERROR_ENUM
};

#define RH_MUST_CHECK       __attribute__((warn_unused_result))
#define RH_UNUSED           __attribute__((unused))
#define RH_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))

#define RH_REASON_SIZE 256

/* One sentence for a person; empty when nothing was said. */
struct rh_reason {
    char text[RH_REASON_SIZE];
};

/* Text of a code, static; "success" for 0, "unknown error" for a code that is not in the list. */
const char *rh_error_text(int code);

/* Name of a code ("RH_ERR_INVALID"), static; "0" for 0. */
const char *rh_error_name(int code);

/* Writes the sentence (cut to fit, with "..." at the end) and returns |code|, so that a failing
 * path reads `return rh_fail(reason, RH_ERR_INVALID, "%s:%d: ...", ...)`. |reason| may be NULL. */
int rh_fail(struct rh_reason *reason, int code, const char *format, ...) RH_PRINTF(3, 4);

#endif
