/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_PROBLEM_H
#define RH_ROUTER_PROBLEM_H

/*
 * What we answer when we do not do what was asked: a status, a stable `code` for programs and a
 * title for people, in one list. The body is `application/problem+json` (RFC 9457):
 *
 *   {"type":"about:blank","title":"...","status":400,"detail":"...","code":"bad_key"}
 *
 * Codes are part of the protocol: add, never rename. docs/protocol.md lists them.
 */

#include "base/buffer.h"

/* Name, status, code, title. */
#define RH_PROBLEM_MAP(X)                                                                        \
    X(RH_PROBLEM_BAD_REQUEST, 400, "bad_request", "The request is not valid HTTP/1.1")           \
    X(RH_PROBLEM_BAD_HOST, 400, "bad_host", "The Host header is missing or not valid")           \
    X(RH_PROBLEM_BAD_KEY, 400, "bad_key", "The channel key is not valid")                        \
    X(RH_PROBLEM_BAD_POSITION, 400, "bad_position", "The position is not valid")                 \
    X(RH_PROBLEM_BAD_QUERY, 400, "bad_query", "A query parameter is not valid")                  \
    X(RH_PROBLEM_BAD_MESSAGE, 400, "bad_message", "The message is not valid")                    \
    X(RH_PROBLEM_BAD_PAYLOAD, 400, "bad_payload", "The payload is not valid")                    \
    X(RH_PROBLEM_BAD_MESSAGE_ID, 400, "bad_message_id", "The Idempotency-Key is not valid")      \
    X(RH_PROBLEM_BAD_CONDITION, 400, "bad_condition", "The condition is not valid")              \
    X(RH_PROBLEM_BAD_CONTENT_TYPE, 400, "bad_content_type", "The Content-Type is not valid")     \
    X(RH_PROBLEM_BAD_HANDSHAKE, 400, "bad_handshake", "The WebSocket handshake is not valid")    \
    X(RH_PROBLEM_NOT_ALLOWED, 401, "not_allowed", "Not allowed")                                 \
    X(RH_PROBLEM_NOT_FOUND, 404, "not_found", "There is nothing at this path")                   \
    X(RH_PROBLEM_NO_STATE, 404, "no_state", "The channel has no state")                          \
    X(RH_PROBLEM_METHOD_NOT_ALLOWED, 405, "method_not_allowed", "This path has no such method")  \
    X(RH_PROBLEM_REQUEST_TIMEOUT, 408, "request_timeout", "The request took too long to arrive") \
    X(RH_PROBLEM_CONFLICT, 409, "conflict", "In conflict with what is there")                    \
    X(RH_PROBLEM_VERSION_CONFLICT, 412, "version_conflict",                                      \
      "The state is not as the condition says")                                                  \
    X(RH_PROBLEM_TOO_LARGE, 413, "too_large", "The body is larger than the limit")               \
    X(RH_PROBLEM_TARGET_TOO_LONG, 414, "target_too_long", "The URL is longer than the limit")    \
    X(RH_PROBLEM_EXPECTATION_FAILED, 417, "expectation_failed",                                  \
      "Only the expectation 100-continue is known")                                              \
    X(RH_PROBLEM_UPGRADE_REQUIRED, 426, "upgrade_required", "This path speaks WebSocket only")   \
    X(RH_PROBLEM_HEADERS_TOO_LARGE, 431, "headers_too_large",                                    \
      "The headers are more or larger than the limit")                                           \
    X(RH_PROBLEM_INTERNAL, 500, "internal", "The node failed to answer")                         \
    X(RH_PROBLEM_NOT_IMPLEMENTED, 501, "not_implemented", "Not implemented")                     \
    X(RH_PROBLEM_NO_MEMORY, 503, "no_memory", "The node is out of memory")                       \
    X(RH_PROBLEM_NOT_READY, 503, "not_ready", "The node has no view of the cluster yet")         \
    X(RH_PROBLEM_NO_OWNER, 503, "no_owner", "No node of the cluster has weight")                 \
    X(RH_PROBLEM_LIMIT_REACHED, 503, "limit_reached", "The node is at a limit")                  \
    X(RH_PROBLEM_SHUTTING_DOWN, 503, "shutting_down", "The node is shutting down")               \
    X(RH_PROBLEM_REDIRECT_LIMIT, 503, "redirect_limit", "Redirected too often")                  \
    X(RH_PROBLEM_OWNER_UNREACHABLE, 503, "owner_unreachable", "The owner cannot be reached")     \
    X(RH_PROBLEM_UNKNOWN_OUTCOME, 504, "unknown_outcome",                                        \
      "Not known whether it was done: retry with the same id")                                   \
    X(RH_PROBLEM_BAD_VERSION, 505, "bad_version", "Only HTTP/1.1 and 1.0 are spoken here")

enum rh_problem {
    RH_PROBLEM_NONE,
#define RH_PROBLEM_ENUM(name, status, code, title) name,
    RH_PROBLEM_MAP(RH_PROBLEM_ENUM)
#undef RH_PROBLEM_ENUM
};

#define RH_PROBLEM_CONTENT_TYPE "application/problem+json"

/* Static texts and the HTTP status; |problem| is not RH_PROBLEM_NONE. */
unsigned rh_problem_status(enum rh_problem problem);
const char *rh_problem_code(enum rh_problem problem);
const char *rh_problem_title(enum rh_problem problem);

/*
 * Appends the body. |detail| is any text for a person: escaped as JSON needs, what is not UTF-8
 * replaced; NULL or "" repeats the title. RH_ERR_NO_MEMORY: nothing was appended.
 */
RH_MUST_CHECK int rh_problem_encode(enum rh_problem problem, const char *detail,
                                    struct rh_buffer *buffer);

#endif
