/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_EVENT_STREAM_H
#define RH_ROUTER_EVENT_STREAM_H

/*
 * Writes Server-Sent Events (WHATWG HTML, 9.2.6, "Interpreting an event stream"): text/event-stream
 * of which each event is a few lines and an empty one. Pure; the connection that carries it is
 * router/ev_http_server.h.
 */

#include "base/bytes.h"
#include "base/shared.h"
#include "proto/position.h"

#include <stdbool.h>
#include <stdint.h>

struct rh_event_stream_event {
    const char *name;      /* `event:`, a word of ours */
    bool has_id;           /* `id:`, what the client sends as Last-Event-ID to go on from */
    struct rh_position id; /* here */
    uint32_t retry_ms;     /* `retry:`, how long it waits before it connects again; 0: not said */
    struct rh_bytes data;  /* `data:`, UTF-8; a line each, and the client joins them by \n */
};

/* The event with one reference, to be sent to any number of clients; NULL when out of memory. */
struct rh_shared *rh_event_stream_encode(const struct rh_event_stream_event *event);

/* A comment, which clients ignore: it shows that the connection lives. */
#define RH_EVENT_STREAM_COMMENT ":\n\n"

#endif
