/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BENCH_DIALECT_H
#define RH_BENCH_DIALECT_H

/*
 * How one subscribes and publishes at ringhop and at each program it is compared with: the bytes to
 * say and what is to be heard before the next ones. Only texts; sockets are elsewhere.
 *
 * All subscribers are WebSockets. Publishers speak HTTP where the program has it, and its own
 * protocol over TCP where it has not (NATS, MQTT).
 */

#include <stdbool.h>
#include <stddef.h>

#define DIALECT_TEXT_MAX 4096

enum dialect_step {
    DIALECT_WAIT,   /* for more */
    DIALECT_SEND,   /* what is in the text; then wait */
    DIALECT_READY,  /* subscribed, or able to publish */
    DIALECT_BROKEN, /* it said something else */
};

struct dialect_text {
    char bytes[DIALECT_TEXT_MAX];
    size_t size;
};

struct dialect {
    const char *name;
    const char *subscribe_prefix; /* of the path, before the key */
    const char *subscribe_suffix;
    const char *publish_prefix; /* NULL: not by HTTP */
    const char *publish_suffix;
    const char *subprotocol; /* or NULL */
    bool binary;             /* rather than text messages */

    /* The way to READY. First called with nothing heard, when the WebSocket is open or the
     * publisher's connection stands, with |*stage| 0; then with each message. |key| is NULL for a
     * publisher. NULL: ready at once. */
    enum dialect_step (*hear)(unsigned *stage, const char *heard, size_t heard_size,
                              const char *key, struct dialect_text *out);

    /* Without HTTP: writes a publish. */
    void (*publish)(const char *key, const char *payload, size_t payload_size,
                    struct dialect_text *out);
};

/* NULL if there is none of that name. */
const struct dialect *dialect_find(const char *name);

/* The request that opens the WebSocket of a subscriber. */
void dialect_upgrade(const struct dialect *dialect, const char *key, struct dialect_text *out);

/* A publish, as a publisher sends it. */
void dialect_publish(const struct dialect *dialect, const char *key, const char *payload,
                     size_t payload_size, struct dialect_text *out);

/* Whether a publish is answered. If not, it counts as done when all subscribers have it. */
bool dialect_answers(const struct dialect *dialect);

#endif
