/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include "cli/ask.h"
#include "proto/payload.h"
#include "router/client_json.h"

#include <inttypes.h>

/* ---- lines ---- */

void rh_lines_init(struct rh_lines *lines, size_t size_max)
{
    *lines = (struct rh_lines){.size_max = size_max};
}

void rh_lines_finish(struct rh_lines *lines)
{
    rh_buffer_finish(&lines->input);
}

char *rh_lines_reserve(struct rh_lines *lines, size_t size)
{
    return rh_buffer_reserve(&lines->input, size);
}

void rh_lines_commit(struct rh_lines *lines, size_t size)
{
    rh_buffer_commit(&lines->input, size);
    lines->ended = size == 0;
}

static void consume(struct rh_lines *lines, size_t size)
{
    rh_buffer_consume(&lines->input, size);
    lines->looked = 0;
}

/* There is no end of a line in what has come. */
static int take_rest(struct rh_lines *lines, struct rh_bytes *ret_line)
{
    struct rh_bytes rest = rh_buffer_content(&lines->input);
    bool discarded = lines->discarded;
    lines->looked = rest.size;
    if (rest.size > lines->size_max || (discarded && !lines->ended)) {
        consume(lines, rest.size);
        lines->discarded = true;
        lines->number += !discarded;
        return discarded ? RH_ERR_AGAIN : RH_ERR_TOO_LARGE;
    }
    if (!lines->ended) {
        return RH_ERR_AGAIN;
    }
    consume(lines, rest.size);
    if (discarded || rest.size == 0) {
        return RH_ERR_CLOSED;
    }
    lines->number++;
    *ret_line = rest;
    return 0;
}

int rh_lines_next(struct rh_lines *lines, struct rh_bytes *ret_line)
{
    for (;;) {
        struct rh_bytes input = rh_buffer_content(&lines->input);
        const char *end = input.size == lines->looked ? NULL
                                                      : memchr(input.data + lines->looked, '\n',
                                                               input.size - lines->looked);
        if (end == NULL) {
            return take_rest(lines, ret_line);
        }
        size_t size = (size_t)(end - input.data);
        bool discarded = lines->discarded;
        consume(lines, size + 1);
        lines->discarded = false;
        if (discarded) {
            continue;
        }
        lines->number++;
        if (size > lines->size_max) {
            return RH_ERR_TOO_LARGE;
        }
        *ret_line = rh_bytes(input.data, size);
        return 0;
    }
}

/* ---- what a line says ---- */

size_t rh_line_size_max(const struct rh_line_rules *rules)
{
    const struct rh_client_limits limits = {.message_bytes = rules->message_bytes};
    return rules->format == RH_LINE_JSON ? rh_client_json_text_max(&limits) + 6U * RH_KEY_SIZE_MAX
                                         : (size_t)rules->message_bytes + RH_KEY_SIZE_MAX + 1;
}

static int parse_json(const struct rh_line_rules *rules, struct rh_bytes line,
                      struct rh_buffer *scratch, struct rh_line_message *ret_message,
                      struct rh_reason *reason)
{
    static const char *const types[] = {
        [RH_PAYLOAD_TEXT] = "text", [RH_PAYLOAD_JSON] = "json", [RH_PAYLOAD_BINARY] = "binary"};
    struct rh_client_request request;
    struct rh_client_error error;
    struct rh_bytes key;
    int rv =
        rh_client_json_decode_line(line, rules->message_bytes, scratch, &key, &request, &error);
    if (rv != 0) {
        return rv == RH_ERR_INVALID ? rh_fail(reason, rv, "%s", error.reason.text) : rv;
    }
    *ret_message = (struct rh_line_message){
        .key = key,
        .id = request.id,
        .payload = request.payload.bytes,
        .content_type = rh_ask_content_type(types[request.payload.kind]),
    };
    return 0;
}

static int parse_tab(struct rh_bytes line, struct rh_line_message *message,
                     struct rh_reason *reason)
{
    const char *tab = memchr(line.data, '\t', line.size);
    if (tab == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "no TAB between a key and its payload");
    }
    size_t key_size = (size_t)(tab - line.data);
    message->key = rh_bytes(line.data, key_size);
    message->payload = rh_bytes(tab + 1, line.size - key_size - 1);
    return 0;
}

int rh_line_parse(const struct rh_line_rules *rules, struct rh_bytes line,
                  struct rh_buffer *scratch, struct rh_line_message *ret_message,
                  struct rh_reason *reason)
{
    struct rh_line_message message = {
        .key = rules->key, .payload = line, .content_type = rules->content_type};
    int rv = 0;
    if (rules->format != RH_LINE_DATA && line.size == 0) {
        return RH_ERR_NOT_FOUND;
    }
    if (rules->format == RH_LINE_JSON) {
        rv = parse_json(rules, line, scratch, &message, reason);
    } else if (rules->format == RH_LINE_TAB) {
        rv = parse_tab(line, &message, reason);
    }
    if (rv != 0) {
        return rv;
    }
    if (!rh_key_valid(message.key)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "a key is 1 to %d bytes of UTF-8 without control characters",
                       RH_KEY_SIZE_MAX);
    }
    if (message.payload.size > rules->message_bytes) {
        return rh_fail(reason, RH_ERR_INVALID, "the payload is larger than %" PRIu64 " bytes",
                       rules->message_bytes);
    }
    *ret_message = message;
    return 0;
}
