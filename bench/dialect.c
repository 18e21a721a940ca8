/* SPDX-License-Identifier: Apache-2.0 */
#include "dialect.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void add(struct dialect_text *out, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(out->bytes + out->size, sizeof(out->bytes) - out->size, format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof(out->bytes) - out->size);
    out->size += (size_t)size;
}

static void add_bytes(struct dialect_text *out, const void *bytes, size_t size)
{
    assert(size <= sizeof(out->bytes) - out->size);
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}

static bool says(const char *heard, size_t heard_size, const char *word)
{
    return heard_size > 0 && memmem(heard, heard_size, word, strlen(word)) != NULL;
}

static enum dialect_step ringhop_hear(unsigned *stage, const char *heard, size_t heard_size,
                                      const char *key, struct dialect_text *out)
{
    (void)stage;
    (void)out;
    if (key == NULL || says(heard, heard_size, "\"type\":\"welcome\"")) {
        return DIALECT_READY;
    }
    return heard_size == 0 ? DIALECT_WAIT : DIALECT_BROKEN;
}

static enum dialect_step nats_hear(unsigned *stage, const char *heard, size_t heard_size,
                                   const char *key, struct dialect_text *out)
{
    if (*stage == 0 && says(heard, heard_size, "INFO ")) {
        *stage = 1;
        add(out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true}\r\n");
        if (key != NULL) {
            add(out, "SUB %s 1\r\n", key);
        }
        add(out, "PING\r\n");
        return DIALECT_SEND;
    }
    if (*stage == 1 && says(heard, heard_size, "PONG")) {
        return DIALECT_READY;
    }
    return says(heard, heard_size, "-ERR") ? DIALECT_BROKEN : DIALECT_WAIT;
}

static void nats_publish(const char *key, const char *payload, size_t payload_size,
                         struct dialect_text *out)
{
    add(out, "PUB %s %zu\r\n", key, payload_size);
    add_bytes(out, payload, payload_size);
    add(out, "\r\n");
}

/* MQTT 3.1.1, 2.2.3: the length of what follows, in groups of seven bits. */
static void mqtt_head(struct dialect_text *out, unsigned char type, size_t size)
{
    add_bytes(out, &type, 1);
    do {
        unsigned char digit = (unsigned char)(size % 128 | (size >= 128 ? 128U : 0U));
        add_bytes(out, &digit, 1);
        size /= 128;
    } while (size > 0);
}

static void mqtt_string(struct dialect_text *out, const char *text)
{
    const size_t size = strlen(text);
    const unsigned char length[] = {(unsigned char)(size >> 8), (unsigned char)(size & 0xFFU)};
    add_bytes(out, length, sizeof(length));
    add_bytes(out, text, size);
}

static void mqtt_connect(struct dialect_text *out)
{
    /* Level 4, clean session, no keep alive, no name of its own. */
    static const unsigned char rest[] = {4, 2, 0, 0, 0, 0};
    mqtt_head(out, 0x10, 6 + sizeof(rest));
    mqtt_string(out, "MQTT");
    add_bytes(out, rest, sizeof(rest));
}

static void mqtt_subscribe(struct dialect_text *out, const char *key)
{
    static const unsigned char packet_id[] = {0, 1};
    static const unsigned char quality[] = {0};
    mqtt_head(out, 0x82, sizeof(packet_id) + 2 + strlen(key) + sizeof(quality));
    add_bytes(out, packet_id, sizeof(packet_id));
    mqtt_string(out, key);
    add_bytes(out, quality, sizeof(quality));
}

static enum dialect_step mqtt_hear(unsigned *stage, const char *heard, size_t heard_size,
                                   const char *key, struct dialect_text *out)
{
    if (*stage == 0) {
        *stage = 1;
        mqtt_connect(out);
        return DIALECT_SEND;
    }
    if (heard_size < 4) {
        return DIALECT_WAIT;
    }
    const unsigned char type = (unsigned char)heard[0] & 0xF0U;
    if (*stage == 1 && type == 0x20 && heard[3] == 0) {
        if (key == NULL) {
            return DIALECT_READY;
        }
        *stage = 2;
        mqtt_subscribe(out, key);
        return DIALECT_SEND;
    }
    return *stage == 2 && type == 0x90 ? DIALECT_READY : DIALECT_BROKEN;
}

static void mqtt_publish(const char *key, const char *payload, size_t payload_size,
                         struct dialect_text *out)
{
    mqtt_head(out, 0x30, 2 + strlen(key) + payload_size);
    mqtt_string(out, key);
    add_bytes(out, payload, payload_size);
}

static const struct dialect dialects[] = {
    {.name = "ringhop",
     .subscribe_prefix = "/v1/channels/",
     .subscribe_suffix = "/ws",
     .publish_prefix = "/v1/channels/",
     .publish_suffix = "/messages",
     .subprotocol = "ringhop.v1",
     .hear = ringhop_hear},
    {.name = "nchan",
     .subscribe_prefix = "/sub/",
     .subscribe_suffix = "",
     .publish_prefix = "/pub/",
     .publish_suffix = ""},
    {.name = "plain",
     .subscribe_prefix = "/",
     .subscribe_suffix = "",
     .publish_prefix = "/",
     .publish_suffix = ""},
    {.name = "nats",
     .subscribe_prefix = "/",
     .subscribe_suffix = "",
     .binary = true,
     .hear = nats_hear,
     .publish = nats_publish},
    {.name = "mqtt",
     .subscribe_prefix = "/",
     .subscribe_suffix = "",
     .subprotocol = "mqtt",
     .binary = true,
     .hear = mqtt_hear,
     .publish = mqtt_publish},
};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            return &dialects[i];
        }
    }
    return NULL;
}

void dialect_upgrade(const struct dialect *dialect, const char *key, struct dialect_text *out)
{
    /* NATS has one path for all; what it subscribes to is said later. */
    out->size = 0;
    add(out, "GET %s%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n", dialect->subscribe_prefix,
        dialect->binary ? "" : key, dialect->subscribe_suffix);
    add(out, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
    if (dialect->subprotocol != NULL) {
        add(out, "Sec-WebSocket-Protocol: %s\r\n", dialect->subprotocol);
    }
    add(out, "\r\n");
}

void dialect_publish(const struct dialect *dialect, const char *key, const char *payload,
                     size_t payload_size, struct dialect_text *out)
{
    out->size = 0;
    if (dialect->publish != NULL) {
        dialect->publish(key, payload, payload_size, out);
        return;
    }
    add(out,
        "POST %s%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        "Content-Length: %zu\r\n\r\n",
        dialect->publish_prefix, key, dialect->publish_suffix, payload_size);
    add_bytes(out, payload, payload_size);
}

bool dialect_answers(const struct dialect *dialect)
{
    return dialect->publish == NULL;
}
