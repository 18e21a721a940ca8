/* SPDX-License-Identifier: Apache-2.0 */
#include "router/websocket.h"

#include <assert.h>
#include <stdlib.h>
#include <wslay/wslay.h>

/*
 * wslay's frame layer reads headers and takes off the mask; messages, text checks, close codes and
 * answers are made here. Its event layer is not used: an event context is twice as large, takes
 * the memory of a whole frame on the word of its header, allocates per ping, and in 1.1.1 checks
 * the reason of a close frame wrongly when the frame comes in pieces.
 */

#define MASK_SIZE              4
#define RSV1                   0x40  /* of the first byte: the message is deflated */
#define SPARE_MESSAGE_SIZE_MAX 65536 /* a spare context does not keep a larger message buffer */

/* What a codec needs while a frame or message is incomplete. */
struct rh_websocket_context {
    wslay_frame_context_ptr frame_context;
    struct rh_bytes input; /* rest of the input of the feed in progress */
    uint64_t unparsed;     /* bytes taken from input that do not belong to a complete frame */

    bool frame_begun; /* its header has been judged */
    uint64_t frame_received;

    uint8_t message_opcode; /* of the data message in progress; CONTINUATION: there is none */
    bool message_deflated;
    struct rh_utf8 message_utf8;
    struct rh_buffer message; /* its payload so far */

    size_t control_size; /* of the control frame in progress */
    char control[RH_WEBSOCKET_CONTROL_SIZE_MAX];
};

/* One call of rh_websocket_feed(). */
struct feed {
    struct rh_websocket *websocket;
    struct rh_websocket_pool *pool;
    struct rh_websocket_context *parser;
    struct rh_buffer *output;
    const struct rh_websocket_handler *handler;
    void *handler_context;
    unsigned pongs; /* already answered */
    bool pong_owed; /* there were more pings: the last one is answered at the end */
    size_t owed_size;
    char owed[RH_WEBSOCKET_CONTROL_SIZE_MAX];
};

/* ---- State ---- */

#define BIT(state) (1U << RH_WEBSOCKET_STATE_##state)

static void set_state(struct rh_websocket *websocket, enum rh_websocket_state state, uint16_t code)
{
    /* FAILED comes after CLOSED when there was no memory for the answer. */
    static const unsigned allowed[] = {
        [RH_WEBSOCKET_STATE_OPEN] = BIT(CLOSING) | BIT(CLOSED) | BIT(FAILED) | BIT(STOPPED),
        [RH_WEBSOCKET_STATE_CLOSING] = BIT(CLOSED) | BIT(FAILED) | BIT(STOPPED),
        [RH_WEBSOCKET_STATE_CLOSED] = BIT(FAILED),
        [RH_WEBSOCKET_STATE_FAILED] = BIT(FAILED),
        [RH_WEBSOCKET_STATE_STOPPED] = 0,
    };
    assert((allowed[websocket->state] & (1U << state)) != 0);
    websocket->state = (uint8_t)state;
    websocket->code = code;
}

/* Whether input is still read. */
static bool reading(const struct rh_websocket *websocket)
{
    return websocket->state == RH_WEBSOCKET_STATE_OPEN ||
           websocket->state == RH_WEBSOCKET_STATE_CLOSING;
}

static bool open(const struct rh_websocket *websocket)
{
    return websocket->state == RH_WEBSOCKET_STATE_OPEN;
}

void rh_websocket_init(struct rh_websocket *websocket, uint32_t message_size_max)
{
    *websocket = (struct rh_websocket){.message_size_max = message_size_max,
                                       .state = RH_WEBSOCKET_STATE_OPEN};
}

void rh_websocket_agree_deflate(struct rh_websocket *websocket, uint8_t bits)
{
    assert(websocket->context == NULL && bits <= RH_DEFLATE_BITS_MAX);
    websocket->deflate_bits = bits;
}

void rh_websocket_closing(struct rh_websocket *websocket)
{
    if (open(websocket)) {
        set_state(websocket, RH_WEBSOCKET_STATE_CLOSING, 0);
    }
}

/* ---- Contexts ---- */

/* wslay asks for bytes. */
static ssize_t give_input(uint8_t *out, size_t size, int flags, void *user_data)
{
    (void)flags;
    struct rh_websocket_context *parser = user_data;
    if (size > parser->input.size) {
        size = parser->input.size;
    }
    if (size == 0) {
        return -1; /* nothing now; wslay_frame_recv() says WSLAY_ERR_WANT_READ */
    }
    memcpy(out, parser->input.data, size);
    parser->input = rh_bytes(parser->input.data + size, parser->input.size - size);
    parser->unparsed += size;
    return (ssize_t)size;
}

static void parser_destroy(struct rh_websocket_context *parser)
{
    if (parser != NULL) {
        wslay_frame_context_free(parser->frame_context);
        rh_buffer_finish(&parser->message);
        free(parser);
    }
}

static struct rh_websocket_context *parser_create(void)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = give_input};
    struct rh_websocket_context *parser = calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return NULL;
    }
    if (wslay_frame_context_init(&parser->frame_context, &callbacks, parser) != 0) {
        free(parser);
        return NULL;
    }
    return parser;
}

/* Gives the codec a context if it has none. */
static int parser_acquire(struct rh_websocket *websocket, struct rh_websocket_pool *pool)
{
    if (websocket->context != NULL) {
        return 0;
    }
    if (pool->spare != NULL) {
        websocket->context = pool->spare;
        pool->spare = NULL;
    } else {
        websocket->context = parser_create();
        if (websocket->context == NULL) {
            return RH_ERR_NO_MEMORY;
        }
    }
    pool->contexts_count++;
    return 0;
}

/* Takes the context away. |reusable|: it stands between two messages. */
static void parser_release(struct rh_websocket *websocket, struct rh_websocket_pool *pool,
                           bool reusable)
{
    struct rh_websocket_context *parser = websocket->context;
    if (parser == NULL) {
        return;
    }
    websocket->context = NULL;
    assert(pool->contexts_count > 0);
    pool->contexts_count--;
    if (!reusable || pool->spare != NULL) {
        parser_destroy(parser);
        return;
    }
    if (parser->message.capacity > SPARE_MESSAGE_SIZE_MAX) {
        rh_buffer_finish(&parser->message);
    }
    pool->spare = parser;
}

/* Whether nothing is pending in it: no byte of a next frame, no fragment. */
static bool parser_idle(const struct rh_websocket_context *parser)
{
    return parser->unparsed == 0 && parser->message_opcode == RH_WEBSOCKET_CONTINUATION;
}

void rh_websocket_finish(struct rh_websocket *websocket, struct rh_websocket_pool *pool)
{
    parser_release(websocket, pool, false);
}

void rh_websocket_pool_finish(struct rh_websocket_pool *pool)
{
    assert(pool->contexts_count == 0);
    parser_destroy(pool->spare);
    pool->spare = NULL;
    rh_inflater_finish(&pool->inflater);
}

/* ---- Answers ---- */

/* The client broke the protocol: FAILED, with a close frame unless one was sent before. */
static int fail(struct feed *feed, uint16_t code)
{
    bool answer = open(feed->websocket);
    set_state(feed->websocket, RH_WEBSOCKET_STATE_FAILED, code);
    return answer ? rh_websocket_append_close(feed->output, code, rh_bytes(NULL, 0)) : 0;
}

static int answer_ping(struct feed *feed, struct rh_bytes payload)
{
    if (!open(feed->websocket)) {
        return 0;
    }
    if (feed->pongs < RH_WEBSOCKET_PONGS_MAX) {
        feed->pongs++;
        return rh_websocket_append(feed->output, RH_WEBSOCKET_PONG, payload);
    }
    feed->pong_owed = true;
    feed->owed_size = payload.size;
    if (payload.size > 0) {
        memcpy(feed->owed, payload.data, payload.size);
    }
    return 0;
}

static int answer_owed(struct feed *feed)
{
    if (!feed->pong_owed || !open(feed->websocket)) {
        return 0;
    }
    return rh_websocket_append(feed->output, RH_WEBSOCKET_PONG,
                               rh_bytes(feed->owed, feed->owed_size));
}

/* RFC 6455, 7.4, with the codes 1012 to 1014 that IANA registered later. */
static bool close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int take_close(struct feed *feed, struct rh_bytes payload, struct rh_bytes *ret_reason)
{
    uint16_t code = RH_WEBSOCKET_CODE_NONE;
    *ret_reason = rh_bytes(NULL, 0);
    if (payload.size == 1) {
        return fail(feed, RH_WEBSOCKET_CODE_PROTOCOL);
    }
    if (payload.size >= 2) {
        code = (uint16_t)((unsigned char)payload.data[0] << 8 | (unsigned char)payload.data[1]);
        *ret_reason = rh_bytes(payload.data + 2, payload.size - 2);
        if (!close_code_valid(code)) {
            return fail(feed, RH_WEBSOCKET_CODE_PROTOCOL);
        }
        if (!rh_bytes_is_utf8(*ret_reason)) {
            return fail(feed, RH_WEBSOCKET_CODE_BAD_TEXT);
        }
    }
    bool answer = open(feed->websocket);
    set_state(feed->websocket, RH_WEBSOCKET_STATE_CLOSED, code);
    /* The answer says what the client said (RFC 6455, 5.5.1). */
    return !answer ? 0
           : code == RH_WEBSOCKET_CODE_NONE
               ? rh_websocket_append(feed->output, RH_WEBSOCKET_CLOSE, rh_bytes(NULL, 0))
               : rh_websocket_append_close(feed->output, code, rh_bytes(NULL, 0));
}

/* ---- Frames ---- */

static bool is_control(uint8_t opcode)
{
    return (opcode & 8) != 0;
}

/* The first frame of a message says whether it is deflated (RFC 7692, 6). */
static bool rsv_allowed(const struct rh_websocket *websocket, const struct wslay_frame_iocb *frame)
{
    bool begins = frame->opcode == RH_WEBSOCKET_TEXT || frame->opcode == RH_WEBSOCKET_BINARY;
    return frame->rsv == 0 ||
           (frame->rsv == WSLAY_RSV1_BIT && begins && websocket->deflate_bits != 0);
}

/* Judges a header (RFC 6455, 5.2 and 5.4). wslay has refused lengths that are not minimal, and
 * control frames that are long or fragmented. Returns the code to fail with, or 0. */
static uint16_t judge_header(const struct rh_websocket *websocket,
                             const struct rh_websocket_context *parser,
                             const struct wslay_frame_iocb *frame)
{
    if (!rsv_allowed(websocket, frame) || !frame->mask) {
        return RH_WEBSOCKET_CODE_PROTOCOL;
    }
    bool in_message = parser->message_opcode != RH_WEBSOCKET_CONTINUATION;
    switch (frame->opcode) {
    case RH_WEBSOCKET_CONTINUATION:
        if (!in_message) {
            return RH_WEBSOCKET_CODE_PROTOCOL;
        }
        break;
    case RH_WEBSOCKET_TEXT:
    case RH_WEBSOCKET_BINARY:
        if (in_message) {
            return RH_WEBSOCKET_CODE_PROTOCOL;
        }
        break;
    case RH_WEBSOCKET_CLOSE:
    case RH_WEBSOCKET_PING:
    case RH_WEBSOCKET_PONG:
        return 0;
    default:
        return RH_WEBSOCKET_CODE_PROTOCOL;
    }
    size_t held = rh_buffer_size(&parser->message);
    bool deflated = in_message ? parser->message_deflated : frame->rsv != 0;
    uint64_t size_max =
        deflated ? rh_deflate_size_max(websocket->message_size_max) : websocket->message_size_max;
    return frame->payload_length > size_max - held ? RH_WEBSOCKET_CODE_TOO_LARGE : 0;
}

static int begin_frame(struct feed *feed, const struct wslay_frame_iocb *frame)
{
    struct rh_websocket_context *parser = feed->parser;
    uint16_t code = judge_header(feed->websocket, parser, frame);
    if (code != 0) {
        return fail(feed, code);
    }
    parser->frame_begun = true;
    parser->frame_received = 0;
    parser->control_size = 0;
    if (frame->opcode == RH_WEBSOCKET_TEXT || frame->opcode == RH_WEBSOCKET_BINARY) {
        parser->message_opcode = frame->opcode;
        parser->message_deflated = frame->rsv != 0;
        parser->message_utf8 = (struct rh_utf8){0};
    }
    return 0;
}

/* The code to fail with, 0, or RH_ERR_NO_MEMORY. */
static int inflate_message(struct feed *feed, struct rh_bytes *payload)
{
    struct rh_websocket_pool *pool = feed->pool;
    struct rh_websocket_context *parser = feed->parser;
    size_t size_before = payload->size;
    int rv = rh_inflater_run(&pool->inflater, *payload, feed->websocket->message_size_max, payload);
    if (rv != 0) {
        return rv == RH_ERR_NO_MEMORY   ? rv
               : rv == RH_ERR_TOO_LARGE ? RH_WEBSOCKET_CODE_TOO_LARGE
                                        : RH_WEBSOCKET_CODE_BAD_TEXT;
    }
    pool->inflated_in += size_before;
    pool->inflated_out += payload->size;
    return parser->message_opcode != RH_WEBSOCKET_TEXT || rh_bytes_is_utf8(*payload)
               ? 0
               : RH_WEBSOCKET_CODE_BAD_TEXT;
}

/* The message is whole: its last piece is |last|, the others are in the buffer. */
static int end_message(struct feed *feed, struct rh_bytes last)
{
    struct rh_websocket_context *parser = feed->parser;
    enum rh_websocket_opcode opcode = parser->message_opcode;
    struct rh_bytes payload = last;
    if (opcode == RH_WEBSOCKET_TEXT && !rh_utf8_complete(&parser->message_utf8)) {
        return fail(feed, RH_WEBSOCKET_CODE_BAD_TEXT);
    }
    /* A message of one piece is handed on where it lies; others are put together. */
    if (rh_buffer_size(&parser->message) > 0) {
        int rv = rh_buffer_append_bytes(&parser->message, last);
        if (rv != 0) {
            return rv;
        }
        payload = rh_buffer_content(&parser->message);
    }
    if (parser->message_deflated) {
        int rv = inflate_message(feed, &payload);
        if (rv != 0) {
            return rv < 0 ? rv : fail(feed, (uint16_t)rv);
        }
    }
    int stop = feed->handler->message(feed->handler_context, opcode, payload);
    rh_buffer_clear(&parser->message);
    parser->message_opcode = RH_WEBSOCKET_CONTINUATION;
    if (stop != 0) {
        set_state(feed->websocket, RH_WEBSOCKET_STATE_STOPPED, 0);
    }
    return 0;
}

static int take_data(struct feed *feed, const struct wslay_frame_iocb *frame, bool frame_ends)
{
    struct rh_websocket_context *parser = feed->parser;
    struct rh_bytes piece = rh_bytes(frame->data, frame->data_length);
    bool message_ends = frame_ends && frame->fin;
    if (!open(feed->websocket)) {
        /* Closing: only the close frame is waited for. */
        rh_buffer_clear(&parser->message);
        if (message_ends) {
            parser->message_opcode = RH_WEBSOCKET_CONTINUATION;
        }
        return 0;
    }
    if (parser->message_opcode == RH_WEBSOCKET_TEXT && !parser->message_deflated &&
        !rh_utf8_feed(&parser->message_utf8, piece)) {
        return fail(feed, RH_WEBSOCKET_CODE_BAD_TEXT);
    }
    return message_ends ? end_message(feed, piece)
                        : rh_buffer_append_bytes(&parser->message, piece);
}

static int take_control(struct feed *feed, const struct wslay_frame_iocb *frame, bool frame_ends)
{
    struct rh_websocket_context *parser = feed->parser;
    assert(frame->data_length <= sizeof(parser->control) - parser->control_size);
    if (frame->data_length > 0) {
        memcpy(parser->control + parser->control_size, frame->data, frame->data_length);
        parser->control_size += frame->data_length;
    }
    if (!frame_ends) {
        return 0;
    }
    struct rh_bytes payload = rh_bytes(parser->control, parser->control_size);
    int rv = 0;
    if (frame->opcode == RH_WEBSOCKET_CLOSE) {
        rv = take_close(feed, payload, &payload);
    } else if (frame->opcode == RH_WEBSOCKET_PING) {
        rv = answer_ping(feed, payload);
    }
    if (rv == 0 && feed->websocket->state != RH_WEBSOCKET_STATE_FAILED &&
        feed->handler->control != NULL) {
        feed->handler->control(feed->handler_context, frame->opcode, payload);
    }
    return rv;
}

/* A frame, or a piece of one, as wslay gives it. */
static int take_piece(struct feed *feed, const struct wslay_frame_iocb *frame)
{
    struct rh_websocket_context *parser = feed->parser;
    if (!parser->frame_begun) {
        int rv = begin_frame(feed, frame);
        if (rv != 0 || !reading(feed->websocket)) {
            return rv;
        }
    }
    parser->frame_received += frame->data_length;
    bool frame_ends = parser->frame_received == frame->payload_length;
    if (frame_ends) {
        parser->frame_begun = false;
        parser->unparsed -=
            rh_websocket_header_size(frame->payload_length) + MASK_SIZE + frame->payload_length;
    }
    return is_control(frame->opcode) ? take_control(feed, frame, frame_ends)
                                     : take_data(feed, frame, frame_ends);
}

static int take_input(struct feed *feed)
{
    struct rh_websocket_context *parser = feed->parser;
    while (reading(feed->websocket)) {
        struct wslay_frame_iocb frame = {0};
        ssize_t size = wslay_frame_recv(parser->frame_context, &frame);
        int rv = 0;
        if (size >= 0) {
            rv = take_piece(feed, &frame);
        } else if (size != WSLAY_ERR_WANT_READ) {
            rv = fail(feed, RH_WEBSOCKET_CODE_PROTOCOL);
        } else if (parser->input.size == 0) {
            break;
        }
        if (rv != 0) {
            return rv;
        }
    }
    return answer_owed(feed);
}

int rh_websocket_feed(struct rh_websocket *websocket, struct rh_websocket_pool *pool,
                      struct rh_bytes input, struct rh_buffer *output,
                      const struct rh_websocket_handler *handler, void *context)
{
    if (input.size == 0 || !reading(websocket)) {
        return 0;
    }
    int rv = parser_acquire(websocket, pool);
    if (rv == 0) {
        struct feed feed = {.websocket = websocket,
                            .pool = pool,
                            .parser = websocket->context,
                            .output = output,
                            .handler = handler,
                            .handler_context = context};
        websocket->context->input = input;
        rv = take_input(&feed);
        websocket->context->input = rh_bytes(NULL, 0);
    }
    if (rv != 0) {
        parser_release(websocket, pool, false);
        set_state(websocket, RH_WEBSOCKET_STATE_FAILED, RH_WEBSOCKET_CODE_INTERNAL);
        return rv;
    }
    if (!reading(websocket)) {
        parser_release(websocket, pool, false);
    } else if (parser_idle(websocket->context)) {
        parser_release(websocket, pool, true);
    }
    return 0;
}

/* ---- Encoding ---- */

size_t rh_websocket_header_size(uint64_t payload_size)
{
    return payload_size < 126 ? 2 : payload_size < 65536 ? 4 : 10;
}

size_t rh_websocket_header_write(char *out, enum rh_websocket_opcode opcode, uint64_t payload_size)
{
    size_t size = rh_websocket_header_size(payload_size);
    uint8_t length = size == 2 ? (uint8_t)payload_size : size == 4 ? 126 : 127;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)length;
    for (size_t i = size; i > 2; i--) {
        out[i - 1] = (char)(payload_size & 0xff);
        payload_size >>= 8;
    }
    return size;
}

/* Of a frame that is not masked. */
static size_t frame_header_size(struct rh_bytes frame)
{
    unsigned char length = (unsigned char)frame.data[1];
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static size_t frame_write(char *out, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    assert(!is_control((uint8_t)opcode) || payload.size <= RH_WEBSOCKET_CONTROL_SIZE_MAX);
    size_t size = rh_websocket_header_write(out, opcode, payload.size);
    if (payload.size > 0) {
        memcpy(out + size, payload.data, payload.size);
    }
    return size + payload.size;
}

struct rh_shared *rh_websocket_encode(enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    if (payload.size > SIZE_MAX / 2) {
        return NULL;
    }
    struct rh_shared *frame =
        rh_shared_create(rh_websocket_header_size(payload.size) + payload.size);
    if (frame != NULL) {
        (void)frame_write(frame->data, opcode, payload);
    }
    return frame;
}

struct rh_shared *rh_websocket_deflate(const struct rh_shared *frame, uint8_t bits,
                                       struct rh_deflater *deflater)
{
    struct rh_bytes whole = rh_shared_bytes(frame);
    size_t header_size = frame_header_size(whole);
    struct rh_bytes payload = rh_bytes(whole.data + header_size, whole.size - header_size);
    enum rh_websocket_opcode opcode = whole.data[0] & 0x0f;
    assert((whole.data[0] & 0x70) == 0 && !is_control((uint8_t)opcode));
    struct rh_bytes deflated;
    if (rh_deflater_run(deflater, bits, payload, &deflated) != 0) {
        return NULL;
    }
    struct rh_shared *result = rh_websocket_encode(opcode, deflated);
    if (result != NULL) {
        result->data[0] = (char)(result->data[0] | RSV1);
    }
    return result;
}

int rh_websocket_append(struct rh_buffer *output, enum rh_websocket_opcode opcode,
                        struct rh_bytes payload)
{
    if (payload.size > SIZE_MAX / 2) {
        return RH_ERR_NO_MEMORY;
    }
    char *out = rh_buffer_reserve(output, rh_websocket_header_size(payload.size) + payload.size);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    rh_buffer_commit(output, frame_write(out, opcode, payload));
    return 0;
}

/* The payload of a close frame; |out| has room for RH_WEBSOCKET_CONTROL_SIZE_MAX. */
static struct rh_bytes close_payload(char *out, uint16_t code, struct rh_bytes reason)
{
    assert(close_code_valid(code));
    size_t size = reason.size;
    if (size > RH_WEBSOCKET_REASON_SIZE_MAX) {
        size = RH_WEBSOCKET_REASON_SIZE_MAX;
        while (size > 0 && ((unsigned char)reason.data[size] & 0xc0) == 0x80) {
            size--; /* never inside a character */
        }
    }
    out[0] = (char)(code >> 8);
    out[1] = (char)(code & 0xff);
    if (size > 0) {
        memcpy(out + 2, reason.data, size);
    }
    return rh_bytes(out, size + 2);
}

struct rh_shared *rh_websocket_encode_close(uint16_t code, struct rh_bytes reason)
{
    char payload[RH_WEBSOCKET_CONTROL_SIZE_MAX];
    return rh_websocket_encode(RH_WEBSOCKET_CLOSE, close_payload(payload, code, reason));
}

int rh_websocket_append_close(struct rh_buffer *output, uint16_t code, struct rh_bytes reason)
{
    char payload[RH_WEBSOCKET_CONTROL_SIZE_MAX];
    return rh_websocket_append(output, RH_WEBSOCKET_CLOSE, close_payload(payload, code, reason));
}
