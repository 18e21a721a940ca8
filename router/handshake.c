/* SPDX-License-Identifier: Apache-2.0 */
#include "router/handshake.h"

#include <openssl/evp.h>
#include <stdio.h>

#define VERSION     "13"
#define KEY_SIZE    (RH_HANDSHAKE_KEY_SIZE - 1)
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct rh_bytes strip(struct rh_bytes text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text = rh_bytes(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* Takes the first element off a comma-separated list; false at its end. */
static bool next_element(struct rh_bytes *list, struct rh_bytes *ret_element)
{
    if (list->size == 0) {
        return false;
    }
    const char *comma = memchr(list->data, ',', list->size);
    size_t size = comma == NULL ? list->size : (size_t)(comma - list->data);
    *ret_element = strip(rh_bytes(list->data, size));
    size_t taken = comma == NULL ? size : size + 1;
    *list = rh_bytes(list->data + taken, list->size - taken);
    return true;
}

static bool field_is(const struct rh_http_field *field, const char *name)
{
    return rh_bytes_equal_nocase(field->name, rh_bytes_text(name));
}

/* Whether any field of that name lists |element|. */
static bool lists(const struct rh_http_request *request, const char *name, const char *element,
                  bool (*equal)(struct rh_bytes a, struct rh_bytes b))
{
    for (size_t i = 0; i < request->fields_count; i++) {
        if (!field_is(&request->fields[i], name)) {
            continue;
        }
        struct rh_bytes list = request->fields[i].value;
        struct rh_bytes found;
        while (next_element(&list, &found)) {
            if (equal(found, rh_bytes_text(element))) {
                return true;
            }
        }
    }
    return false;
}

/* The value of the only field of that name. False: there is none, or more than one. */
static bool single_field(const struct rh_http_request *request, const char *name,
                         struct rh_bytes *ret_value)
{
    size_t count = 0;
    for (size_t i = 0; i < request->fields_count; i++) {
        if (field_is(&request->fields[i], name)) {
            *ret_value = request->fields[i].value;
            count++;
        }
    }
    return count == 1;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* 16 bytes in base64: 22 characters and two of padding. */
static bool key_valid(struct rh_bytes key)
{
    if (key.size != KEY_SIZE || key.data[KEY_SIZE - 1] != '=' || key.data[KEY_SIZE - 2] != '=') {
        return false;
    }
    for (size_t i = 0; i < KEY_SIZE - 2; i++) {
        if (!is_base64(key.data[i])) {
            return false;
        }
    }
    return true;
}

static enum rh_handshake_verdict bad(struct rh_reason *reason, const char *text)
{
    (void)rh_fail(reason, RH_ERR_INVALID, "%s", text);
    return RH_HANDSHAKE_BAD;
}

enum rh_handshake_verdict rh_handshake_judge(const struct rh_http_request *request,
                                             struct rh_handshake *ret_handshake,
                                             struct rh_reason *reason)
{
    if (request->http_1_0 || !lists(request, "upgrade", "websocket", rh_bytes_equal_nocase)) {
        return RH_HANDSHAKE_PLAIN;
    }
    if (request->method != RH_HTTP_GET) {
        return bad(reason, "a WebSocket handshake is a GET");
    }
    if (!lists(request, "connection", "upgrade", rh_bytes_equal_nocase)) {
        return bad(reason, "the Connection header of a WebSocket handshake lists upgrade");
    }
    struct rh_bytes version;
    if (!single_field(request, "sec-websocket-version", &version)) {
        return bad(reason, "a WebSocket handshake has exactly one Sec-WebSocket-Version header");
    }
    if (!rh_bytes_equal_text(version, VERSION)) {
        (void)rh_fail(reason, RH_ERR_INVALID, "only WebSocket version " VERSION " is spoken here");
        return RH_HANDSHAKE_VERSION;
    }
    struct rh_bytes key = rh_bytes(NULL, 0);
    if (!single_field(request, "sec-websocket-key", &key) || !key_valid(key)) {
        return bad(reason, "a WebSocket handshake has exactly one Sec-WebSocket-Key header, "
                           "16 bytes in base64");
    }
    memcpy(ret_handshake->key, key.data, KEY_SIZE);
    ret_handshake->key[KEY_SIZE] = '\0';
    ret_handshake->deflate = (struct rh_deflate_terms){0};
    /* Names of subprotocols are compared with case (RFC 6455, 4.1). */
    ret_handshake->protocol =
        lists(request, "sec-websocket-protocol", RH_HANDSHAKE_PROTOCOL, rh_bytes_equal)
            ? RH_HANDSHAKE_PROTOCOL_JSON_V1
            : RH_HANDSHAKE_PROTOCOL_NONE;
    return RH_HANDSHAKE_ACCEPT;
}

void rh_handshake_negotiate(const struct rh_http_request *request, uint8_t bits_max,
                            struct rh_handshake *handshake)
{
    for (size_t i = 0; i < request->fields_count && bits_max != 0; i++) {
        if (field_is(&request->fields[i], "sec-websocket-extensions") &&
            rh_deflate_negotiate(request->fields[i].value, bits_max, &handshake->deflate)) {
            return;
        }
    }
}

int rh_handshake_accept(const char *key, char ret_accept[static RH_HANDSHAKE_ACCEPT_SIZE])
{
    char text[RH_HANDSHAKE_KEY_SIZE + sizeof(ACCEPT_GUID)];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    int length = snprintf(text, sizeof(text), "%s" ACCEPT_GUID, key);
    if (EVP_Digest(text, (size_t)length, digest, &digest_size, EVP_sha1(), NULL) != 1) {
        return RH_ERR_NO_MEMORY;
    }
    (void)EVP_EncodeBlock((unsigned char *)ret_accept, digest, (int)digest_size);
    return 0;
}

static int append_extensions(const struct rh_handshake *handshake, struct rh_buffer *output)
{
    if (handshake->deflate.server_bits == 0) {
        return 0;
    }
    int rv = rh_buffer_append_text(output, "Sec-WebSocket-Extensions: ");
    if (rv == 0) {
        rv = rh_deflate_answer(&handshake->deflate, output);
    }
    return rv == 0 ? rh_buffer_append_text(output, "\r\n") : rv;
}

static int append_head(const struct rh_handshake *handshake, const char *accept,
                       struct rh_buffer *output)
{
    const char *protocol = handshake->protocol == RH_HANDSHAKE_PROTOCOL_JSON_V1
                               ? "Sec-WebSocket-Protocol: " RH_HANDSHAKE_PROTOCOL "\r\n"
                               : "";
    int rv = rh_buffer_format(output,
                              "HTTP/1.1 101 Switching Protocols\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: %s\r\n"
                              "%s",
                              accept, protocol);
    if (rv == 0) {
        rv = append_extensions(handshake, output);
    }
    return rv == 0 ? rh_buffer_append_text(output, "\r\n") : rv;
}

int rh_handshake_answer(const struct rh_handshake *handshake, struct rh_buffer *output)
{
    char accept[RH_HANDSHAKE_ACCEPT_SIZE];
    size_t size_before = rh_buffer_size(output);
    int rv = rh_handshake_accept(handshake->key, accept);
    if (rv == 0) {
        rv = append_head(handshake, accept, output);
    }
    if (rv != 0) {
        rh_buffer_truncate(output, size_before);
    }
    return rv;
}
