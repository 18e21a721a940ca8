/* SPDX-License-Identifier: Apache-2.0 */
#include "router/deflate.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define EXTENSION          "permessage-deflate"
#define WINDOW_BITS_MIN    8     /* of RFC 7692, 7.1.2 */
#define SPARE_SIZE_MAX     65536 /* what is kept from one message to the next */
#define INFLATE_SIZE_FIRST 1024

/* A deflated payload is sent without the empty stored block that ends it (RFC 7692, 7.2.1). */
static const unsigned char tail[] = {0x00, 0x00, 0xff, 0xff};

/* ---- The header: extension *( ";" name [ "=" value ] ), with commas between (RFC 6455, 9.1) ---- */

struct reader {
    const char *at;
    const char *end;
    bool broken; /* this is no list of extensions */
};

/* What stands before the next `;` or `,`. */
struct parameter {
    struct rh_bytes name;
    bool has_value;
    char value[8]; /* terminated; one that is longer is none that we know: "" */
};

/* One offer, as far as it has been read. */
struct offer {
    bool possible;
    bool server_no_context_takeover; /* these four: has been named */
    bool client_no_context_takeover;
    bool server_max_window_bits;
    bool client_max_window_bits;
    uint8_t server_bits; /* 0: not said */
    uint8_t client_bits;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t')) {
        reader->at++;
    }
}

/* Takes |c| and the blanks around it, if it is next. */
static bool take(struct reader *reader, char c)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != c) {
        return false;
    }
    reader->at++;
    skip_blanks(reader);
    return true;
}

/* RFC 9110, 5.6.2. */
static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static struct rh_bytes take_token(struct reader *reader)
{
    const char *start = reader->at;
    while (reader->at < reader->end && is_token_character(*reader->at)) {
        reader->at++;
    }
    reader->broken |= reader->at == start;
    return rh_bytes(start, (size_t)(reader->at - start));
}

static void add_to_value(struct parameter *parameter, size_t *size, char c)
{
    if (*size < sizeof(parameter->value) - 1) {
        parameter->value[*size] = c;
    }
    (*size)++;
}

/* A value is a token, or a token in quotes (RFC 6455, 9.1). */
static void take_value(struct reader *reader, struct parameter *parameter)
{
    size_t size = 0;
    parameter->has_value = true;
    if (reader->at < reader->end && *reader->at == '"') {
        reader->at++;
        while (reader->at < reader->end && *reader->at != '"') {
            reader->at += *reader->at == '\\';
            reader->broken |= reader->at == reader->end || !is_token_character(*reader->at);
            if (reader->broken) {
                return;
            }
            add_to_value(parameter, &size, *reader->at++);
        }
        reader->broken |= size == 0 || !take(reader, '"');
    } else {
        struct rh_bytes token = take_token(reader);
        for (size_t i = 0; i < token.size; i++) {
            add_to_value(parameter, &size, token.data[i]);
        }
    }
    if (size >= sizeof(parameter->value)) {
        parameter->value[0] = '\0';
    }
}

static struct parameter take_parameter(struct reader *reader)
{
    struct parameter parameter = {.name = take_token(reader)};
    if (!reader->broken && take(reader, '=')) {
        take_value(reader, &parameter);
    }
    return parameter;
}

/* 8 to 15, without a leading zero (RFC 7692, 7.1.2); else 0. */
static uint8_t window_of(const char *value)
{
    uint64_t bits;
    if (value[0] == '0' || rh_bytes_to_u64(rh_bytes_text(value), MAX_WBITS, &bits) != 0 ||
        bits < WINDOW_BITS_MIN) {
        return 0;
    }
    return (uint8_t)bits;
}

/* Whether a flag is named for the first time and without a value. */
static bool take_flag(const struct parameter *parameter, bool *named)
{
    bool good = !*named && !parameter->has_value;
    *named = true;
    return good;
}

/* Whether a window is named for the first time and is possible. */
static bool take_window(const struct parameter *parameter, bool *named, uint8_t *bits)
{
    bool good = !*named;
    *named = true;
    if (parameter->has_value) {
        *bits = window_of(parameter->value);
        good &= *bits != 0;
    }
    return good;
}

/* Whether the offer can still be met with this parameter. */
static bool judge(struct offer *offer, const struct parameter *parameter)
{
    if (rh_bytes_equal_text(parameter->name, "server_no_context_takeover")) {
        return take_flag(parameter, &offer->server_no_context_takeover);
    }
    if (rh_bytes_equal_text(parameter->name, "client_no_context_takeover")) {
        return take_flag(parameter, &offer->client_no_context_takeover);
    }
    if (rh_bytes_equal_text(parameter->name, "server_max_window_bits")) {
        return take_window(parameter, &offer->server_max_window_bits, &offer->server_bits) &&
               offer->server_bits >= RH_DEFLATE_BITS_MIN;
    }
    if (rh_bytes_equal_text(parameter->name, "client_max_window_bits")) {
        return take_window(parameter, &offer->client_max_window_bits, &offer->client_bits);
    }
    return false;
}

/* Reads one element of the list. */
static struct offer take_offer(struct reader *reader)
{
    struct offer offer = {0};
    struct rh_bytes name = take_token(reader);
    offer.possible = rh_bytes_equal_text(name, EXTENSION);
    while (!reader->broken && take(reader, ';')) {
        struct parameter parameter = take_parameter(reader);
        offer.possible = offer.possible && judge(&offer, &parameter);
    }
    offer.possible &= !reader->broken;
    return offer;
}

static uint8_t least(uint8_t wanted, uint8_t bits_max)
{
    return wanted == 0 || wanted > bits_max ? bits_max : wanted;
}

bool rh_deflate_negotiate(struct rh_bytes offers, uint8_t bits_max,
                          struct rh_deflate_terms *ret_terms)
{
    assert(bits_max >= RH_DEFLATE_BITS_MIN && bits_max <= RH_DEFLATE_BITS_MAX);
    struct reader reader = {.at = offers.data, .end = offers.data + offers.size};
    struct rh_deflate_terms terms = {0};
    skip_blanks(&reader);
    while (reader.at < reader.end) {
        if (take(&reader, ',')) {
            continue; /* empty elements count for nothing (RFC 9110, 5.6.1.2) */
        }
        struct offer offer = take_offer(&reader);
        skip_blanks(&reader);
        if (reader.broken || (reader.at < reader.end && *reader.at != ',')) {
            return false;
        }
        if (offer.possible && terms.server_bits == 0) {
            terms.server_bits = least(offer.server_bits, bits_max);
            terms.server_bits_named = offer.server_max_window_bits;
            terms.client_bits =
                offer.client_max_window_bits ? least(offer.client_bits, bits_max) : 0;
        }
    }
    if (terms.server_bits == 0) {
        return false;
    }
    *ret_terms = terms;
    return true;
}

int rh_deflate_answer(const struct rh_deflate_terms *terms, struct rh_buffer *output)
{
    char server[40] = "";
    char client[40] = "";
    /* Some clients fail a handshake that names a window they have not named. */
    if (terms->server_bits_named) {
        (void)snprintf(server, sizeof(server), "; server_max_window_bits=%u", terms->server_bits);
    }
    if (terms->client_bits != 0) {
        (void)snprintf(client, sizeof(client), "; client_max_window_bits=%u", terms->client_bits);
    }
    return rh_buffer_format(
        output, EXTENSION "; server_no_context_takeover; client_no_context_takeover%s%s", server,
        client);
}

/* ---- Payloads ---- */

static void *allocate(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return calloc(count, size);
}

static void release(void *opaque, void *memory)
{
    (void)opaque;
    free(memory);
}

static z_stream *stream_create(void)
{
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream != NULL) {
        stream->zalloc = allocate;
        stream->zfree = release;
    }
    return stream;
}

/* zlib reads only; its struct has no const form. */
static void set_input(z_stream *stream, const void *data, size_t size)
{
    assert(size <= UINT_MAX);
    stream->next_in = (Bytef *)(uintptr_t)data;
    stream->avail_in = (unsigned)size;
}

static void spare(struct rh_buffer *output)
{
    if (output->capacity > SPARE_SIZE_MAX) {
        rh_buffer_finish(output);
    }
    rh_buffer_clear(output);
}

void rh_deflater_finish(struct rh_deflater *deflater)
{
    for (size_t i = 0; i < RH_DEFLATE_BITS_COUNT; i++) {
        if (deflater->streams[i] != NULL) {
            (void)deflateEnd(deflater->streams[i]);
            free(deflater->streams[i]);
            deflater->streams[i] = NULL;
        }
    }
    rh_buffer_finish(&deflater->output);
}

void rh_inflater_finish(struct rh_inflater *inflater)
{
    if (inflater->stream != NULL) {
        (void)inflateEnd(inflater->stream);
        free(inflater->stream);
        inflater->stream = NULL;
    }
    rh_buffer_finish(&inflater->output);
}

static z_stream *deflate_stream(struct rh_deflater *deflater, uint8_t bits)
{
    assert(bits >= RH_DEFLATE_BITS_MIN && bits <= RH_DEFLATE_BITS_MAX);
    z_stream **slot = &deflater->streams[bits - RH_DEFLATE_BITS_MIN];
    if (*slot != NULL) {
        return *slot;
    }
    z_stream *stream = stream_create();
    if (stream == NULL) {
        return NULL;
    }
    /* The table of zlib's search as large as the window: one that is larger has to be cleared for
     * each message and finds no more. */
    if (deflateInit2(stream, deflater->level, Z_DEFLATED, -bits, bits - 7, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(stream);
        return NULL;
    }
    *slot = stream;
    return stream;
}

/* A smaller window, where the payload needs no larger one, is less to clear. It is twice as large as
 * the payload, so that zlib's room for symbols, half of that, takes the whole. */
static uint8_t window_for(size_t size, uint8_t bits)
{
    while (bits > RH_DEFLATE_BITS_MIN && size <= (size_t)1 << (bits - 2)) {
        bits--;
    }
    return bits;
}

int rh_deflater_run(struct rh_deflater *deflater, uint8_t bits, struct rh_bytes payload,
                    struct rh_bytes *ret_deflated)
{
    spare(&deflater->output);
    if (payload.size == 0 || payload.size > UINT_MAX - sizeof(tail)) {
        return RH_ERR_FULL;
    }
    size_t room = payload.size - 1 + sizeof(tail);
    char *out = rh_buffer_reserve(&deflater->output, room);
    z_stream *stream =
        out == NULL ? NULL : deflate_stream(deflater, window_for(payload.size, bits));
    if (stream == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    set_input(stream, payload.data, payload.size);
    stream->next_out = (Bytef *)out;
    stream->avail_out = (unsigned)room;
    int rv = deflate(stream, Z_SYNC_FLUSH);
    size_t size = room - stream->avail_out;
    /* With no room left zlib may have more to say. */
    bool whole = rv == Z_OK && stream->avail_in == 0 && stream->avail_out > 0;
    (void)deflateReset(stream);
    if (!whole) {
        return RH_ERR_FULL;
    }
    assert(size >= sizeof(tail) && memcmp(out + size - sizeof(tail), tail, sizeof(tail)) == 0);
    rh_buffer_commit(&deflater->output, size - sizeof(tail));
    *ret_deflated = rh_buffer_content(&deflater->output);
    return 0;
}

static int inflate_stream(struct rh_inflater *inflater)
{
    if (inflater->stream != NULL) {
        return inflateReset(inflater->stream) == Z_OK ? 0 : RH_ERR_NO_MEMORY;
    }
    z_stream *stream = stream_create();
    if (stream == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    if (inflateInit2(stream, -MAX_WBITS) != Z_OK) {
        free(stream);
        return RH_ERR_NO_MEMORY;
    }
    inflater->stream = stream;
    return 0;
}

/* One call of zlib, with room for what it may say. |size_max| is one more than is allowed. */
static int inflate_some(struct rh_inflater *inflater, size_t size_max)
{
    z_stream *stream = inflater->stream;
    size_t size = rh_buffer_size(&inflater->output);
    size_t room = size < INFLATE_SIZE_FIRST ? INFLATE_SIZE_FIRST : size;
    room = room > size_max - size ? size_max - size : room;
    char *out = rh_buffer_reserve(&inflater->output, room);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    stream->next_out = (Bytef *)out;
    stream->avail_out = (unsigned)room;
    int rv = inflate(stream, Z_SYNC_FLUSH);
    rh_buffer_commit(&inflater->output, room - stream->avail_out);
    if (rv == Z_STREAM_END) {
        /* A block may say that it is the last (RFC 7692, 7.2.3.4); others may follow it. */
        return inflateReset(stream) == Z_OK ? 0 : RH_ERR_INVALID;
    }
    if (rv == Z_MEM_ERROR) {
        return RH_ERR_NO_MEMORY;
    }
    return rv == Z_OK || rv == Z_BUF_ERROR ? 0 : RH_ERR_INVALID;
}

/* All of |input|. */
static int inflate_all(struct rh_inflater *inflater, const void *input, size_t input_size,
                       size_t size_max)
{
    z_stream *stream = inflater->stream;
    set_input(stream, input, input_size);
    do {
        int rv = inflate_some(inflater, size_max + 1);
        if (rv != 0) {
            return rv;
        }
        if (rh_buffer_size(&inflater->output) > size_max) {
            return RH_ERR_TOO_LARGE;
        }
        /* What filled the room may be followed by more, though all input is taken. */
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return 0;
}

/* Whether a block has just ended, so that nothing is missing: zlib.h, inflate(), data_type. */
static bool between_blocks(const z_stream *stream)
{
    return (stream->data_type & 128) != 0;
}

int rh_inflater_run(struct rh_inflater *inflater, struct rh_bytes deflated, size_t size_max,
                    struct rh_bytes *ret_payload)
{
    spare(&inflater->output);
    if (deflated.size > UINT_MAX || size_max >= UINT_MAX) {
        return RH_ERR_TOO_LARGE;
    }
    int rv = inflate_stream(inflater);
    if (rv == 0) {
        rv = inflate_all(inflater, deflated.data, deflated.size, size_max);
    }
    if (rv == 0) {
        rv = inflate_all(inflater, tail, sizeof(tail), size_max);
    }
    if (rv != 0) {
        return rv;
    }
    if (!between_blocks(inflater->stream)) {
        return RH_ERR_INVALID;
    }
    *ret_payload = rh_buffer_content(&inflater->output);
    return 0;
}
