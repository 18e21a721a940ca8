/* SPDX-License-Identifier: Apache-2.0 */
#include "router/websocket.h"

#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE_MAX 1000

/* ---- A client: masked frames ---- */

#define FIN  0x80
#define RSV1 0x40
#define RSV2 0x20
#define RSV3 0x10

static void add(struct rh_buffer *stream, const void *data, size_t size)
{
    assert_int_equal(rh_buffer_append(stream, data, size), 0);
}

/* Appends a frame; |length_size| 0 takes the smallest form, else 2, 4 or 10 bytes of header. */
static void add_raw_frame(struct rh_buffer *stream, unsigned first, bool mask, size_t header_size,
                          uint64_t announced, struct rh_bytes payload)
{
    static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned char header[10] = {(unsigned char)first};
    if (header_size == 0) {
        header_size = rh_websocket_header_size(announced);
    }
    header[1] = (unsigned char)(header_size == 2 ? announced : header_size == 4 ? 126 : 127);
    for (size_t i = header_size; i > 2; i--) {
        header[i - 1] = (unsigned char)(announced & 0xff);
        announced >>= 8;
    }
    header[1] |= mask ? 0x80 : 0;
    add(stream, header, header_size);
    if (!mask) {
        add(stream, payload.data, payload.size);
        return;
    }
    add(stream, key, sizeof(key));
    char *out = rh_buffer_reserve(stream, payload.size);
    for (size_t i = 0; i < payload.size; i++) {
        out[i] = (char)((unsigned char)payload.data[i] ^ key[i % 4]);
    }
    rh_buffer_commit(stream, payload.size);
}

static void add_frame(struct rh_buffer *stream, unsigned first, struct rh_bytes payload)
{
    add_raw_frame(stream, first, true, 0, payload.size, payload);
}

static void add_text_frame(struct rh_buffer *stream, unsigned first, const char *payload)
{
    add_frame(stream, first, rh_bytes_text(payload));
}

/* ---- A server: writes down what it is told ---- */

struct server {
    struct rh_websocket websocket;
    struct rh_websocket_pool pool;
    struct rh_buffer output;
    struct rh_buffer trace; /* "text(hello) ping(x) " */
    unsigned messages;
    unsigned stop_at;  /* the message that says stop; 0: none */
    unsigned close_at; /* the message that says close; 0: none */
};

static const char *name_of(enum rh_websocket_opcode opcode)
{
    return opcode == RH_WEBSOCKET_TEXT     ? "text"
           : opcode == RH_WEBSOCKET_BINARY ? "binary"
           : opcode == RH_WEBSOCKET_CLOSE  ? "close"
           : opcode == RH_WEBSOCKET_PING   ? "ping"
                                           : "pong";
}

static void note(struct server *server, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    assert_int_equal(rh_buffer_format(&server->trace, "%s(", name_of(opcode)), 0);
    assert_int_equal(rh_buffer_append_bytes(&server->trace, payload), 0);
    assert_int_equal(rh_buffer_append_text(&server->trace, ") "), 0);
}

static int on_message(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct server *server = context;
    note(server, opcode, payload);
    server->messages++;
    if (server->messages == server->close_at) {
        rh_websocket_closing(&server->websocket);
    }
    return server->messages == server->stop_at ? 1 : 0;
}

static void on_control(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    note(context, opcode, payload);
}

static const struct rh_websocket_handler handler = {.message = on_message, .control = on_control};

static void server_init(struct server *server, uint32_t message_size_max)
{
    *server = (struct server){0};
    rh_websocket_init(&server->websocket, message_size_max);
}

static void server_finish(struct server *server)
{
    rh_websocket_finish(&server->websocket, &server->pool);
    rh_websocket_pool_finish(&server->pool);
    rh_buffer_finish(&server->output);
    rh_buffer_finish(&server->trace);
}

/* Feeds and returns the state after it. */
static enum rh_websocket_state feed_codec(struct rh_websocket *websocket,
                                          struct rh_websocket_pool *pool, struct rh_bytes input,
                                          struct server *server)
{
    assert_int_equal(rh_websocket_feed(websocket, pool, input, &server->output, &handler, server),
                     0);
    return rh_websocket_state(websocket);
}

static enum rh_websocket_state feed(struct server *server, struct rh_bytes input)
{
    return feed_codec(&server->websocket, &server->pool, input, server);
}

static void assert_trace(const struct server *server, const char *expected)
{
    struct rh_bytes trace = rh_buffer_content(&server->trace);
    if (!rh_bytes_equal_text(trace, expected)) {
        fail_msg("trace is <%.*s>, expected <%s>", RH_BYTES_ARG(trace), expected);
    }
}

static void assert_outcome(const struct server *server, const char *trace,
                           enum rh_websocket_state state, uint16_t code)
{
    assert_trace(server, trace);
    assert_int_equal(server->websocket.state, state);
    assert_int_equal(server->websocket.code, code);
}

static void assert_same(const struct server *a, const struct server *b, const char *what)
{
    if (a->websocket.state != b->websocket.state || a->websocket.code != b->websocket.code) {
        fail_msg("%s: state %d code %d, expected state %d code %d", what, b->websocket.state,
                 b->websocket.code, a->websocket.state, a->websocket.code);
    }
    struct rh_bytes trace = rh_buffer_content(&b->trace);
    if (!rh_bytes_equal(rh_buffer_content(&a->trace), trace)) {
        fail_msg("%s: trace is <%.*s>, expected <%.*s>", what, RH_BYTES_ARG(trace),
                 RH_BYTES_ARG(rh_buffer_content(&a->trace)));
    }
    if (!rh_bytes_equal(rh_buffer_content(&a->output), rh_buffer_content(&b->output))) {
        fail_msg("%s: another output", what);
    }
    assert_int_equal(a->websocket.context == NULL, b->websocket.context == NULL);
}

/* Feeds |stream| whole, then in two pieces cut at every place, then byte by byte, and demands the
 * same each time. |deflate_bits|: as agreed, or 0. What the whole gave is left in |server|, which the
 * caller finishes. */
static void feed_in_all_ways(struct rh_bytes stream, uint32_t message_size_max,
                             uint8_t deflate_bits, struct server *server)
{
    server_init(server, message_size_max);
    rh_websocket_agree_deflate(&server->websocket, deflate_bits);
    (void)feed(server, stream);
    for (size_t cut = 0; cut <= stream.size; cut++) {
        struct server split;
        char what[64];
        (void)snprintf(what, sizeof(what), "cut at %zu", cut);
        server_init(&split, message_size_max);
        rh_websocket_agree_deflate(&split.websocket, deflate_bits);
        (void)feed(&split, rh_bytes(stream.data, cut));
        (void)feed(&split, rh_bytes(stream.data + cut, stream.size - cut));
        assert_same(server, &split, what);
        server_finish(&split);
    }
    struct server slow;
    server_init(&slow, message_size_max);
    rh_websocket_agree_deflate(&slow.websocket, deflate_bits);
    for (size_t i = 0; i < stream.size; i++) {
        (void)feed(&slow, rh_bytes(stream.data + i, 1));
    }
    assert_same(server, &slow, "byte by byte");
    server_finish(&slow);
}

/* ---- Streams ---- */

struct frame {
    unsigned first;
    const char *payload;
};

#define FRAMES_MAX 8

struct stream {
    const char *name;
    struct frame frames[FRAMES_MAX]; /* up to the first without payload */
    const char *trace;
    enum rh_websocket_state state;
    uint16_t code;
    const char *output; /* bytes; a close frame with code C is "\x88\x02" and two bytes */
    size_t output_size;
};

#define OUTPUT(text)   .output = (text), .output_size = sizeof(text) - 1
#define TEXT           (FIN | RH_WEBSOCKET_TEXT)
#define BINARY         (FIN | RH_WEBSOCKET_BINARY)
#define PING           (FIN | RH_WEBSOCKET_PING)
#define PONG           (FIN | RH_WEBSOCKET_PONG)
#define CLOSE          (FIN | RH_WEBSOCKET_CLOSE)
#define OPEN           .state = RH_WEBSOCKET_STATE_OPEN
#define CLOSED(number) .state = RH_WEBSOCKET_STATE_CLOSED, .code = (number)
#define FAILED_1002    .state = RH_WEBSOCKET_STATE_FAILED, .code = 1002, OUTPUT("\x88\x02\x03\xea")
#define FAILED_1007    .state = RH_WEBSOCKET_STATE_FAILED, .code = 1007, OUTPUT("\x88\x02\x03\xef")

static const struct stream streams[] = {
    {"one text", {{TEXT, "hello"}}, "text(hello) ", OPEN, OUTPUT("")},
    {"empty messages", {{TEXT, ""}, {BINARY, ""}}, "text() binary() ", OPEN, OUTPUT("")},
    {"a binary that is no text", {{BINARY, "\xff\xfe"}}, "binary(\xff\xfe) ", OPEN, OUTPUT("")},
    {"two messages", {{TEXT, "a"}, {TEXT, "b"}}, "text(a) text(b) ", OPEN, OUTPUT("")},
    {"fragments, one empty",
     {{RH_WEBSOCKET_TEXT, "he"}, {0, ""}, {0, "l"}, {FIN, "lo"}},
     "text(hello) ",
     OPEN,
     OUTPUT("")},
    {"a character cut by fragments",
     {{RH_WEBSOCKET_TEXT, "\xe2"}, {0, "\x82"}, {FIN, "\xac"}},
     "text(\xe2\x82\xac) ",
     OPEN,
     OUTPUT("")},
    {"empty fragments", {{RH_WEBSOCKET_BINARY, ""}, {FIN, ""}}, "binary() ", OPEN, OUTPUT("")},
    {"a ping", {{PING, "x"}}, "ping(x) ", OPEN, OUTPUT("\x8a\x01x")},
    {"a ping without payload", {{PING, ""}}, "ping() ", OPEN, OUTPUT("\x8a\x00")},
    {"a pong nobody asked for", {{PONG, "y"}}, "pong(y) ", OPEN, OUTPUT("")},
    {"control frames between fragments",
     {{RH_WEBSOCKET_TEXT, "a"}, {PING, "p"}, {0, "b"}, {PONG, ""}, {FIN, "c"}, {TEXT, "d"}},
     "ping(p) pong() text(abc) text(d) ",
     OPEN,
     OUTPUT("\x8a\x01p")},
    {"an unfinished message",
     {{RH_WEBSOCKET_TEXT, "a"}, {PING, ""}},
     "ping() ",
     OPEN,
     OUTPUT("\x8a\x00")},
    {"close without code",
     {{CLOSE, ""}, {TEXT, "late"}},
     "close() ",
     CLOSED(1005),
     OUTPUT("\x88\x00")},
    {"close with code and reason",
     {{TEXT, "a"},
      {CLOSE, "\x03\xe8"
              "bye \xe2\x82\xac"},
      {PING, "late"}},
     "text(a) close(bye \xe2\x82\xac) ",
     CLOSED(1000),
     OUTPUT("\x88\x02\x03\xe8")},
    {"close in the middle of a message",
     {{RH_WEBSOCKET_TEXT, "a"}, {CLOSE, "\x0f\xa0"}, {FIN, "b"}},
     "close() ",
     CLOSED(4000),
     OUTPUT("\x88\x02\x0f\xa0")},
    {"close with half a code", {{CLOSE, "\x03"}}, "", FAILED_1002},
    {"close with a bad reason",
     {{CLOSE, "\x03\xe8"
              "ab\xff"}},
     "",
     FAILED_1007},
    {"close with a reason that ends too early",
     {{CLOSE, "\x03\xe8"
              "ab\xe2\x82"}},
     "",
     FAILED_1007},
    {"bad text", {{TEXT, "a"}, {TEXT, "b\xc0\xaf"}, {TEXT, "late"}}, "text(a) ", FAILED_1007},
    {"text that ends too early", {{TEXT, "ab\xe2\x82"}}, "", FAILED_1007},
    {"bad text in a fragment", {{RH_WEBSOCKET_TEXT, "\xe2"}, {FIN, "("}}, "", FAILED_1007},
    {"a surrogate", {{TEXT, "\xed\xa0\x80"}}, "", FAILED_1007},
    {"RSV1", {{TEXT, "a"}, {TEXT | RSV1, "b"}}, "text(a) ", FAILED_1002},
    {"RSV2", {{PING | RSV2, ""}}, "", FAILED_1002},
    {"RSV3 on a continuation", {{RH_WEBSOCKET_TEXT, "a"}, {FIN | RSV3, "b"}}, "", FAILED_1002},
    {"reserved data opcode", {{FIN | 3, "a"}}, "", FAILED_1002},
    {"reserved data opcode 7", {{FIN | 7, ""}}, "", FAILED_1002},
    {"reserved control opcode", {{FIN | 11, "a"}}, "", FAILED_1002},
    {"reserved control opcode 15", {{RH_WEBSOCKET_TEXT, "a"}, {FIN | 15, ""}}, "", FAILED_1002},
    {"a continuation of nothing", {{FIN, "a"}}, "", FAILED_1002},
    {"a continuation after the end", {{TEXT, "a"}, {0, "b"}}, "text(a) ", FAILED_1002},
    {"a message inside a message", {{RH_WEBSOCKET_TEXT, "a"}, {TEXT, "b"}}, "", FAILED_1002},
    {"a fragmented ping", {{RH_WEBSOCKET_PING, "a"}, {FIN, "b"}}, "", FAILED_1002},
    {"a ping and then a failure",
     {{PING, "x"}, {FIN | 4, "a"}},
     "ping(x) ",
     .state = RH_WEBSOCKET_STATE_FAILED,
     .code = 1002,
     OUTPUT("\x8a\x01x\x88\x02\x03\xea")},
};

static void every_stream_means_the_same_in_whatever_pieces_it_comes(void **state RH_UNUSED)
{
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        const struct stream *row = &streams[i];
        struct rh_buffer bytes = {0};
        for (size_t j = 0; j < FRAMES_MAX && row->frames[j].payload != NULL; j++) {
            add_text_frame(&bytes, row->frames[j].first, row->frames[j].payload);
        }
        struct server server;
        print_message("# %s\n", row->name);
        feed_in_all_ways(rh_buffer_content(&bytes), MESSAGE_SIZE_MAX, 0, &server);
        assert_outcome(&server, row->trace, row->state, row->code);
        struct rh_bytes output = rh_buffer_content(&server.output);
        assert_true(rh_bytes_equal(output, rh_bytes(row->output, row->output_size)));
        server_finish(&server);
        rh_buffer_finish(&bytes);
    }
}

static void assert_fails(struct rh_buffer *stream, uint16_t code)
{
    struct server server;
    feed_in_all_ways(rh_buffer_content(stream), MESSAGE_SIZE_MAX, 0, &server);
    assert_int_equal(server.websocket.state, RH_WEBSOCKET_STATE_FAILED);
    assert_int_equal(server.websocket.code, code);
    assert_trace(&server, "");
    server_finish(&server);
    rh_buffer_finish(stream);
}

static void frames_that_no_client_may_send_are_refused(void **state RH_UNUSED)
{
    char zeros[200] = {0};
    struct rh_buffer stream = {0};
    add_raw_frame(&stream, TEXT, false, 0, 2, rh_bytes_text("no")); /* not masked */
    assert_fails(&stream, 1002);
    add_raw_frame(&stream, PING, true, 0, 126, rh_bytes(zeros, 126)); /* long control frame */
    assert_fails(&stream, 1002);
    add_raw_frame(&stream, TEXT, true, 4, 125, rh_bytes(zeros, 125)); /* length not minimal */
    assert_fails(&stream, 1002);
    add_raw_frame(&stream, TEXT, true, 10, 200, rh_bytes(zeros, 200));
    assert_fails(&stream, 1002);
    add_raw_frame(&stream, TEXT, true, 10, UINT64_MAX, rh_bytes(zeros, 1)); /* topmost bit set */
    assert_fails(&stream, 1002);
}

static void close_codes_are_answered_or_refused_as_the_standard_says(void **state RH_UNUSED)
{
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
                                    1012, 1013, 1014, 3000, 3999, 4000, 4307, 4999};
    static const uint16_t bad[] = {0,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]) + sizeof(bad) / sizeof(bad[0]); i++) {
        bool is_good = i < sizeof(good) / sizeof(good[0]);
        uint16_t code = is_good ? good[i] : bad[i - sizeof(good) / sizeof(good[0])];
        char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};
        struct rh_buffer stream = {0};
        struct server server;
        server_init(&server, MESSAGE_SIZE_MAX);
        add_frame(&stream, CLOSE, rh_bytes(payload, 2));
        assert_int_equal(feed(&server, rh_buffer_content(&stream)),
                         is_good ? RH_WEBSOCKET_STATE_CLOSED : RH_WEBSOCKET_STATE_FAILED);
        assert_int_equal(rh_websocket_code(&server.websocket), is_good ? code : 1002);
        struct rh_bytes output = rh_buffer_content(&server.output);
        assert_int_equal(output.size, 4);
        assert_memory_equal(output.data + 2, is_good ? payload : "\x03\xea", 2);
        server_finish(&server);
        rh_buffer_finish(&stream);
    }
}

static void text_fails_at_the_first_byte_that_cannot_be_right(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        size_t bad; /* index of the byte that settles it */
    } rows[] = {{"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
                 "edited",
                 12},
                {"\xce\xba\xf4\x90\x80\x80"
                 "edited",
                 3},
                {"\x80", 0},
                {"abc\xff", 3},
                {"abcdefgh\xc1\x81", 8},
                {"\xe0\x9f\xbf", 1},
                {"\xf0\x8f\xbf\xbf", 1},
                {"\xf8\x88\x80\x80\x80", 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_buffer stream = {0};
        struct server server;
        size_t size = strlen(rows[i].text);
        server_init(&server, MESSAGE_SIZE_MAX);
        add_frame(&stream, RH_WEBSOCKET_TEXT, rh_bytes(rows[i].text, size));
        struct rh_bytes bytes = rh_buffer_content(&stream);
        size_t header = bytes.size - size;
        for (size_t at = 0; at < bytes.size; at++) {
            enum rh_websocket_state now = feed(&server, rh_bytes(bytes.data + at, 1));
            assert_int_equal(now, at < header + rows[i].bad ? RH_WEBSOCKET_STATE_OPEN
                                                            : RH_WEBSOCKET_STATE_FAILED);
        }
        assert_int_equal(server.websocket.code, 1007);
        server_finish(&server);
        rh_buffer_finish(&stream);
    }
}

static void a_message_at_the_limit_is_taken_and_a_byte_more_is_refused(void **state RH_UNUSED)
{
    char *payload = malloc(MESSAGE_SIZE_MAX + 1);
    memset(payload, 'x', MESSAGE_SIZE_MAX + 1);
    for (size_t first = 0; first <= MESSAGE_SIZE_MAX; first += MESSAGE_SIZE_MAX / 4) {
        for (size_t extra = 0; extra < 2; extra++) {
            struct rh_buffer stream = {0};
            struct server server;
            server_init(&server, MESSAGE_SIZE_MAX);
            add_frame(&stream, RH_WEBSOCKET_TEXT, rh_bytes(payload, first));
            size_t rest = MESSAGE_SIZE_MAX - first + extra;
            add_frame(&stream, FIN, rh_bytes(payload, rest));
            assert_int_equal(feed(&server, rh_buffer_content(&stream)),
                             extra == 0 ? RH_WEBSOCKET_STATE_OPEN : RH_WEBSOCKET_STATE_FAILED);
            assert_int_equal(server.messages, extra == 0 ? 1 : 0);
            assert_int_equal(server.websocket.code, extra == 0 ? 0 : 1009);
            server_finish(&server);
            rh_buffer_finish(&stream);
        }
    }
    free(payload);
}

static void an_announced_size_alone_takes_no_memory(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server server;
    server_init(&server, UINT32_MAX);
    add_raw_frame(&stream, BINARY, true, 0, (uint64_t)1 << 31, rh_bytes_text("only a bit of it"));
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_OPEN);
    assert_true(rh_websocket_partial(&server.websocket));
    server_finish(&server);
    server_init(&server, MESSAGE_SIZE_MAX);
    rh_buffer_clear(&stream);
    add_raw_frame(&stream, BINARY, true, 0, (uint64_t)1 << 39, rh_bytes_text("x"));
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_FAILED);
    assert_int_equal(rh_websocket_code(&server.websocket), 1009);
    server_finish(&server);
    rh_buffer_finish(&stream);
}

/* ---- Long and random ---- */

struct expected_message {
    struct rh_bytes payload;
    unsigned seen;
};

static int expect_message(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    struct expected_message *expected = context;
    assert_int_equal(opcode, RH_WEBSOCKET_TEXT);
    assert_true(rh_bytes_equal(payload, expected->payload));
    expected->seen++;
    return 0;
}

/* Bytes that malloc() has given out; 0 under a sanitizer. */
static size_t heap_size(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void a_million_bytes_arrive_whole_in_pieces_of_any_size(void **state RH_UNUSED)
{
    static const struct rh_websocket_handler expecting = {.message = expect_message};
    static const char euro[] = "\xe2\x82\xac.";
    uint64_t seed = rh_test_seed(20231);
    struct rh_buffer text = {0};
    struct rh_buffer stream = {0};
    struct rh_buffer output = {0};
    struct rh_websocket websocket;
    struct rh_websocket_pool pool = {0};
    while (rh_buffer_size(&text) < 1000000) {
        add(&text, euro, sizeof(euro) - 1);
    }
    struct expected_message expected = {.payload = rh_buffer_content(&text)};
    add_frame(&stream, TEXT, expected.payload);
    for (size_t at = 0, size; at < expected.payload.size; at += size) {
        size = 1 + rh_test_below(&seed, 20000);
        size = size < expected.payload.size - at ? size : expected.payload.size - at;
        unsigned first =
            (at == 0 ? RH_WEBSOCKET_TEXT : 0) | (at + size == expected.payload.size ? FIN : 0);
        add_frame(&stream, first, rh_bytes(expected.payload.data + at, size));
        add_text_frame(&stream, PING, "still there?");
    }
    size_t heap = heap_size();
    rh_websocket_init(&websocket, (uint32_t)expected.payload.size);
    for (struct rh_bytes rest = rh_buffer_content(&stream); rest.size > 0;) {
        size_t size = 1 + rh_test_below(&seed, rh_test_below(&seed, 2) == 0 ? 10 : 70000);
        size = size < rest.size ? size : rest.size;
        assert_int_equal(rh_websocket_feed(&websocket, &pool, rh_bytes(rest.data, size), &output,
                                           &expecting, &expected),
                         0);
        assert_int_equal(rh_websocket_state(&websocket), RH_WEBSOCKET_STATE_OPEN);
        rest = rh_bytes(rest.data + size, rest.size - size);
    }
    assert_int_equal(expected.seen, 2);
    assert_false(rh_websocket_partial(&websocket));
    rh_buffer_finish(&output);
    assert_true(heap_size() < heap + 100000); /* the spare context has let go of the message */
    rh_websocket_finish(&websocket, &pool);
    rh_websocket_pool_finish(&pool);
    rh_buffer_finish(&text);
    rh_buffer_finish(&stream);
}

/* Streams that are nearly right: valid frames with some bytes changed. */
static void broken_streams_end_alike_in_whatever_pieces_they_come(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(20231);
    unsigned failed = 0;
    for (unsigned round = 0; round < 300; round++) {
        struct rh_buffer stream = {0};
        for (unsigned i = 0; i < 4; i++) {
            static const unsigned firsts[] = {TEXT, BINARY, PING, PONG,  RH_WEBSOCKET_TEXT,
                                              FIN,  0,      TEXT, BINARY};
            char payload[140];
            size_t size = rh_test_below(&seed, rh_test_below(&seed, 8) == 0 ? sizeof(payload) : 12);
            memset(payload, 'a', sizeof(payload));
            add_frame(&stream, firsts[rh_test_below(&seed, sizeof(firsts) / sizeof(firsts[0]))],
                      rh_bytes(payload, size));
        }
        for (size_t changes = rh_test_below(&seed, 3); changes > 0; changes--) {
            stream.data[stream.start + rh_test_below(&seed, rh_buffer_size(&stream))] =
                (char)rh_test_random(&seed);
        }
        struct server server;
        feed_in_all_ways(rh_buffer_content(&stream), 100, 0, &server);
        failed += server.websocket.state == RH_WEBSOCKET_STATE_FAILED;
        server_finish(&server);
        rh_buffer_finish(&stream);
    }
    print_message("# %u of 300 streams failed\n", failed);
    assert_true(failed > 50 && failed < 300);
}

/* ---- Closing ---- */

static void a_handler_that_says_stop_hears_nothing_more(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server server;
    server_init(&server, MESSAGE_SIZE_MAX);
    server.stop_at = 2;
    add_text_frame(&stream, TEXT, "a");
    add_text_frame(&stream, TEXT, "b");
    add_text_frame(&stream, PING, "");
    add_text_frame(&stream, TEXT, "c");
    add_text_frame(&stream, CLOSE, "");
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_STOPPED);
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_STOPPED);
    assert_trace(&server, "text(a) text(b) ");
    assert_int_equal(rh_buffer_size(&server.output), 0);
    assert_false(rh_websocket_partial(&server.websocket));
    server_finish(&server);
    rh_buffer_finish(&stream);
}

static void after_our_close_only_theirs_is_waited_for(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server server;
    server_init(&server, MESSAGE_SIZE_MAX);
    server.close_at = 1;
    add_text_frame(&stream, TEXT, "a");
    add_text_frame(&stream, TEXT, "b");
    add_text_frame(&stream, PING, "p");
    add_text_frame(&stream, RH_WEBSOCKET_TEXT, "c\xff");
    struct rh_bytes bytes = rh_buffer_content(&stream);
    assert_int_equal(feed(&server, rh_bytes(bytes.data, bytes.size)), RH_WEBSOCKET_STATE_CLOSING);
    rh_websocket_closing(&server.websocket);
    rh_buffer_clear(&stream);
    add_text_frame(&stream, FIN, "d");
    add_text_frame(&stream, CLOSE, "\x03\xe9");
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_CLOSED);
    assert_int_equal(rh_websocket_code(&server.websocket), 1001);
    assert_trace(&server, "text(a) ping(p) close() ");
    assert_int_equal(rh_buffer_size(&server.output), 0);
    rh_websocket_closing(&server.websocket);
    assert_int_equal(rh_websocket_state(&server.websocket), RH_WEBSOCKET_STATE_CLOSED);
    server_finish(&server);

    server_init(&server, MESSAGE_SIZE_MAX);
    rh_websocket_closing(&server.websocket);
    rh_buffer_clear(&stream);
    add_text_frame(&stream, FIN | 3, "broken");
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_FAILED);
    assert_int_equal(rh_buffer_size(&server.output), 0);
    server_finish(&server);
    rh_buffer_finish(&stream);
}

static void closing_forgets_the_fragments_that_were_there(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server server;
    char payload[600] = {0};
    server_init(&server, MESSAGE_SIZE_MAX);
    add_frame(&stream, RH_WEBSOCKET_BINARY, rh_bytes(payload, sizeof(payload)));
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_OPEN);
    rh_websocket_closing(&server.websocket);
    rh_buffer_clear(&stream);
    add_frame(&stream, 0, rh_bytes(payload, 300));
    add_frame(&stream, FIN, rh_bytes(payload, sizeof(payload)));
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_CLOSING);
    assert_false(rh_websocket_partial(&server.websocket));
    assert_trace(&server, "");
    server_finish(&server);
    rh_buffer_finish(&stream);
}

/* ---- Limits and memory ---- */

static void a_flood_of_pings_is_answered_within_bounds(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server server;
    char last[126];
    server_init(&server, MESSAGE_SIZE_MAX);
    memset(last, 'z', sizeof(last));
    for (unsigned i = 0; i < 10000; i++) {
        add_frame(&stream, PING, rh_bytes(last, 125));
    }
    last[0] = 'L';
    add_frame(&stream, PING, rh_bytes(last, 125));
    assert_int_equal(feed(&server, rh_buffer_content(&stream)), RH_WEBSOCKET_STATE_OPEN);
    struct rh_bytes output = rh_buffer_content(&server.output);
    assert_true(output.size <= RH_WEBSOCKET_ANSWERS_SIZE_MAX);
    assert_int_equal(output.size, (RH_WEBSOCKET_PONGS_MAX + 1) * 127);
    assert_memory_equal(output.data + output.size - 125, last, 125);
    server_finish(&server);
    rh_buffer_finish(&stream);
}

static void ten_thousand_idle_codecs_cost_nothing_but_themselves(void **state RH_UNUSED)
{
    enum { COUNT = 10000 };
    struct rh_buffer stream = {0};
    struct server server;
    struct rh_websocket *websockets = calloc(COUNT, sizeof(*websockets));
    server_init(&server, MESSAGE_SIZE_MAX);
    add_text_frame(&stream, RH_WEBSOCKET_TEXT, "hel");
    add_text_frame(&stream, PING, "p");
    add_text_frame(&stream, FIN, "lo");
    assert_true(sizeof(struct rh_websocket) <= 64);
    size_t before = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        rh_websocket_init(&websockets[i], MESSAGE_SIZE_MAX);
        assert_int_equal(rh_websocket_feed(&websockets[i], &server.pool, rh_buffer_content(&stream),
                                           &server.output, &handler, &server),
                         RH_WEBSOCKET_STATE_OPEN);
        assert_false(rh_websocket_partial(&websockets[i]));
        rh_buffer_clear(&server.output);
        rh_buffer_clear(&server.trace);
        before = i == 0 ? heap_size() : before;
    }
    size_t heap = heap_size() - before;
    print_message("# an idle codec: %zu bytes, and %zu of heap for all %d\n",
                  sizeof(struct rh_websocket), heap, COUNT);
    assert_true(heap < 1000);
    assert_int_equal(server.pool.contexts_count, 0);
    assert_non_null(server.pool.spare);
    for (unsigned i = 0; i < COUNT; i++) {
        rh_websocket_finish(&websockets[i], &server.pool);
    }
    free(websockets);
    server_finish(&server);
    rh_buffer_finish(&stream);
}

static void contexts_are_counted_and_one_is_kept_for_the_next(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct rh_buffer rest = {0};
    struct server servers[3];
    struct rh_websocket_pool pool = {0};
    add_text_frame(&stream, RH_WEBSOCKET_TEXT, "a");
    add_text_frame(&rest, FIN, "b");
    for (unsigned i = 0; i < 3; i++) {
        server_init(&servers[i], MESSAGE_SIZE_MAX);
        assert_int_equal(
            feed_codec(&servers[i].websocket, &pool, rh_buffer_content(&stream), &servers[i]),
            RH_WEBSOCKET_STATE_OPEN);
        assert_int_equal(pool.contexts_count, i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct rh_websocket_context *context = servers[i].websocket.context;
        assert_int_equal(
            feed_codec(&servers[i].websocket, &pool, rh_buffer_content(&rest), &servers[i]),
            RH_WEBSOCKET_STATE_OPEN);
        assert_trace(&servers[i], "text(ab) ");
        assert_ptr_equal(pool.spare, i == 0 ? context : pool.spare);
        assert_int_equal(pool.contexts_count, 2 - i);
    }
    rh_websocket_pool_finish(&pool);
    for (unsigned i = 0; i < 3; i++) {
        server_finish(&servers[i]);
    }
    rh_buffer_finish(&stream);
    rh_buffer_finish(&rest);
}

static void connections_that_share_a_pool_do_not_share_bytes(void **state RH_UNUSED)
{
    enum { COUNT = 5 };
    struct rh_buffer inputs[COUNT] = {0};
    struct server servers[COUNT];
    struct rh_websocket_pool pool = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        char payload[] = {(char)('a' + i), '\0'};
        server_init(&servers[i], MESSAGE_SIZE_MAX);
        add_text_frame(&inputs[i], TEXT, payload);
        add_text_frame(&inputs[i], RH_WEBSOCKET_TEXT, payload);
        add_text_frame(&inputs[i], PING, payload);
        add_text_frame(&inputs[i], FIN, payload);
    }
    for (size_t at = 0; at < rh_buffer_size(&inputs[0]); at++) {
        for (unsigned i = 0; i < COUNT; i++) {
            (void)feed_codec(&servers[i].websocket, &pool,
                             rh_bytes(rh_buffer_content(&inputs[i]).data + at, 1), &servers[i]);
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        char trace[64];
        char c = (char)('a' + i);
        (void)snprintf(trace, sizeof(trace), "text(%c) ping(%c) text(%c%c) ", c, c, c, c);
        assert_trace(&servers[i], trace);
        server_finish(&servers[i]);
        rh_buffer_finish(&inputs[i]);
    }
    rh_websocket_pool_finish(&pool);
}

int __real_wslay_frame_context_init(void *ret_context, const void *callbacks, void *user_data);
int __wrap_wslay_frame_context_init(void *ret_context, const void *callbacks, void *user_data);

/* The library's own allocation fails like ours. */
int __wrap_wslay_frame_context_init(void *ret_context, const void *callbacks, void *user_data)
{
    void *memory = malloc(1);
    free(memory);
    return memory == NULL ? -1 : __real_wslay_frame_context_init(ret_context, callbacks, user_data);
}

static int echo(void *context, enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    return rh_websocket_append(context, opcode, payload);
}

static void want_of_memory_fails_the_codec_and_loses_nothing(void **state RH_UNUSED)
{
    static const struct rh_websocket_handler echoing = {.message = echo};
    static const char *const ends[] = {"\x03\xe8", "\x03", ""};
    for (size_t end = 0; end < 3; end++) {
        struct rh_buffer stream = {0};
        char payload[500];
        unsigned failures = 0;
        memset(payload, 'a', sizeof(payload));
        add_frame(&stream, RH_WEBSOCKET_TEXT, rh_bytes(payload, sizeof(payload)));
        add_frame(&stream, PING, rh_bytes(payload, 125));
        add_frame(&stream, FIN, rh_bytes(payload, 400));
        add_text_frame(&stream, CLOSE, ends[end]);
        for (unsigned nth = 1;; nth++) {
            struct rh_websocket websocket;
            struct rh_websocket_pool pool = {0};
            struct rh_buffer output = {0};
            rh_websocket_init(&websocket, MESSAGE_SIZE_MAX);
            rh_test_allocation_fail(nth);
            int rv = rh_websocket_feed(&websocket, &pool, rh_buffer_content(&stream), &output,
                                       &echoing, &output);
            bool failed = rh_test_allocation_failed();
            if (rv == RH_ERR_NO_MEMORY) {
                assert_int_equal(websocket.state, RH_WEBSOCKET_STATE_FAILED);
                assert_int_equal(websocket.code, RH_WEBSOCKET_CODE_INTERNAL);
            } else {
                /* Or the echo failed, and the handler said stop. */
                assert_int_equal(rv, 0);
                assert_int_equal(websocket.state, failed     ? RH_WEBSOCKET_STATE_STOPPED
                                                  : end == 1 ? RH_WEBSOCKET_STATE_FAILED
                                                             : RH_WEBSOCKET_STATE_CLOSED);
            }
            failures += failed;
            assert_null(websocket.context);
            assert_int_equal(pool.contexts_count, 0);
            rh_websocket_finish(&websocket, &pool);
            rh_websocket_pool_finish(&pool);
            rh_buffer_finish(&output);
            if (!failed) {
                break;
            }
        }
        assert_true(failures >= 4);
        rh_buffer_finish(&stream);
    }
}

/* ---- Compression ---- */

/* "Hello", as RFC 7692, 7.2.3.1 has it, and 2,000 bytes of `a`. */
#define HELLO       "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define MANY_A      "\x4a\x4c\x1c\x05\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\xc1\x50\x07\x00\x00"
#define MANY_A_SIZE 2000

struct deflated_frame {
    unsigned first;
    const char *payload;
    size_t size;
};

#define BYTES(text) (text), sizeof(text) - 1

struct deflated_stream {
    const char *name;
    struct deflated_frame frames[FRAMES_MAX];
    const char *trace;
    enum rh_websocket_state state;
    uint16_t code;
};

#define FAILS_WITH(number) RH_WEBSOCKET_STATE_FAILED, (number)
#define STAYS_OPEN         RH_WEBSOCKET_STATE_OPEN, 0

static const struct deflated_stream deflated_streams[] = {
    {"a text", {{TEXT | RSV1, BYTES(HELLO)}}, "text(Hello) ", STAYS_OPEN},
    {"a text that is not deflated", {{TEXT, BYTES("Hello")}}, "text(Hello) ", STAYS_OPEN},
    {"both, and an empty one",
     {{TEXT | RSV1, BYTES(HELLO)},
      {BINARY, BYTES("x")},
      {BINARY | RSV1, BYTES("\x00")},
      {TEXT | RSV1, BYTES(HELLO)}},
     "text(Hello) binary(x) binary() text(Hello) ",
     STAYS_OPEN},
    {"fragments, with a ping between",
     {{RH_WEBSOCKET_TEXT | RSV1, BYTES("\xf2\x48\xcd")},
      {PING, BYTES("p")},
      {0, BYTES("")},
      {FIN, BYTES("\xc9\xc9\x07\x00")},
      {TEXT, BYTES("next")}},
     "ping(p) text(Hello) text(next) ",
     STAYS_OPEN},
    {"a bad character in what comes out",
     {{TEXT | RSV1, BYTES("\xfa\x0f\x00")}},
     "",
     FAILS_WITH(1007)},
    {"the same as binary", {{BINARY | RSV1, BYTES("\xfa\x0f\x00")}}, "binary(\xff) ", STAYS_OPEN},
    {"bytes that are bad text until they are inflated",
     {{RH_WEBSOCKET_TEXT | RSV1, BYTES("\xf2\x48")}, {FIN, BYTES("\xcd\xc9\xc9\x07\x00")}},
     "text(Hello) ",
     STAYS_OPEN},
    {"what cannot be inflated",
     {{TEXT | RSV1, BYTES(HELLO)}, {TEXT | RSV1, BYTES("\xff\xff")}, {TEXT, BYTES("late")}},
     "text(Hello) ",
     FAILS_WITH(1007)},
    {"what refers to the message before it",
     {{TEXT | RSV1, BYTES(HELLO)}, {TEXT | RSV1, BYTES("\xf2\x00\x11\x00\x00")}},
     "text(Hello) ",
     FAILS_WITH(1007)},
    {"what ends too early", {{TEXT | RSV1, BYTES("\xf2\x48\xcd")}}, "", FAILS_WITH(1007)},
    {"more than the limit", {{TEXT | RSV1, BYTES(MANY_A)}}, "", FAILS_WITH(1009)},
    {"RSV1 on a continuation",
     {{RH_WEBSOCKET_TEXT | RSV1, BYTES("\xf2")}, {FIN | RSV1, BYTES("\x48")}},
     "",
     FAILS_WITH(1002)},
    {"RSV1 on the continuation of a message that is not deflated",
     {{RH_WEBSOCKET_TEXT, BYTES("a")}, {FIN | RSV1, BYTES("b")}},
     "",
     FAILS_WITH(1002)},
    {"RSV1 on a ping", {{PING | RSV1, BYTES("")}}, "", FAILS_WITH(1002)},
    {"RSV1 on a close", {{CLOSE | RSV1, BYTES("\x03\xe8")}}, "", FAILS_WITH(1002)},
    {"RSV2", {{TEXT | RSV2, BYTES(HELLO)}}, "", FAILS_WITH(1002)},
    {"RSV1 and RSV3", {{TEXT | RSV1 | RSV3, BYTES(HELLO)}}, "", FAILS_WITH(1002)},
};

static void a_deflated_message_is_judged_by_what_comes_out_of_it(void **state RH_UNUSED)
{
    for (size_t i = 0; i < sizeof(deflated_streams) / sizeof(deflated_streams[0]); i++) {
        const struct deflated_stream *row = &deflated_streams[i];
        struct rh_buffer bytes = {0};
        for (size_t j = 0; j < FRAMES_MAX && row->frames[j].payload != NULL; j++) {
            add_frame(&bytes, row->frames[j].first,
                      rh_bytes(row->frames[j].payload, row->frames[j].size));
        }
        struct server server;
        print_message("# %s\n", row->name);
        feed_in_all_ways(rh_buffer_content(&bytes), MESSAGE_SIZE_MAX, 15, &server);
        assert_outcome(&server, row->trace, row->state, row->code);
        server_finish(&server);
        rh_buffer_finish(&bytes);
    }
}

static void the_limit_is_that_of_the_inflated_message(void **state RH_UNUSED)
{
    for (uint32_t less = 0; less < 2; less++) {
        struct rh_buffer stream = {0};
        struct server server;
        add_frame(&stream, BINARY | RSV1, rh_bytes(BYTES(MANY_A)));
        server_init(&server, MANY_A_SIZE - less);
        rh_websocket_agree_deflate(&server.websocket, 15);
        assert_int_equal(feed(&server, rh_buffer_content(&stream)),
                         less ? RH_WEBSOCKET_STATE_FAILED : RH_WEBSOCKET_STATE_OPEN);
        assert_int_equal(server.messages, 1 - less);
        assert_int_equal(server.pool.inflated_out, less ? 0 : MANY_A_SIZE);
        server_finish(&server);
        rh_buffer_finish(&stream);
    }
    /* More than anybody needs to say so much is refused as announced, in one frame or in several. */
    size_t needed = (size_t)rh_deflate_size_max(MESSAGE_SIZE_MAX);
    for (size_t more = 0; more < 2; more++) {
        struct rh_buffer stream = {0};
        struct server server;
        server_init(&server, MESSAGE_SIZE_MAX);
        rh_websocket_agree_deflate(&server.websocket, 15);
        add_frame(&stream, RH_WEBSOCKET_BINARY | RSV1, rh_bytes("", 1));
        add_raw_frame(&stream, 0, true, 0, needed - 1 + more, rh_bytes("", 1));
        assert_int_equal(feed(&server, rh_buffer_content(&stream)),
                         more ? RH_WEBSOCKET_STATE_FAILED : RH_WEBSOCKET_STATE_OPEN);
        assert_int_equal(server.websocket.code, more ? 1009 : 0);
        server_finish(&server);
        rh_buffer_finish(&stream);
    }
}

static void no_connection_holds_memory_of_zlib(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    struct server first;
    add_frame(&stream, TEXT | RSV1, rh_bytes(BYTES(HELLO)));
    server_init(&first, MESSAGE_SIZE_MAX);
    rh_websocket_agree_deflate(&first.websocket, 15);
    (void)feed(&first, rh_buffer_content(&stream)); /* the pool has what it needs */
    size_t before = mallinfo2().uordblks;
    struct rh_websocket *idle = calloc(1000, sizeof(*idle));
    for (size_t i = 0; i < 1000; i++) {
        rh_websocket_init(&idle[i], MESSAGE_SIZE_MAX);
        rh_websocket_agree_deflate(&idle[i], 15);
        rh_buffer_clear(&first.trace);
        (void)feed_codec(&idle[i], &first.pool, rh_buffer_content(&stream), &first);
        assert_null(idle[i].context);
    }
    size_t grown = mallinfo2().uordblks - before;
    assert_true(grown <= 1000 * sizeof(*idle) + 64);
    free(idle);
    server_finish(&first);
    rh_buffer_finish(&stream);
}

static void want_of_memory_to_inflate_fails_the_codec(void **state RH_UNUSED)
{
    struct rh_buffer stream = {0};
    add_frame(&stream, RH_WEBSOCKET_BINARY | RSV1, rh_bytes("\xf2\x48", 2));
    add_frame(&stream, FIN, rh_bytes("\xcd\xc9\xc9\x07\x00", 5));
    for (unsigned nth = 1;; nth++) {
        struct server server;
        server_init(&server, MESSAGE_SIZE_MAX);
        rh_websocket_agree_deflate(&server.websocket, 15);
        assert_non_null(rh_buffer_reserve(&server.trace, 100));
        rh_test_allocation_fail(nth);
        int rv = rh_websocket_feed(&server.websocket, &server.pool, rh_buffer_content(&stream),
                                   &server.output, &handler, &server);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        assert_int_equal(server.websocket.code, failed ? RH_WEBSOCKET_CODE_INTERNAL : 0);
        assert_trace(&server, failed ? "" : "binary(Hello) ");
        assert_null(server.websocket.context);
        server_finish(&server);
        if (!failed) {
            assert_true(nth > 5);
            break;
        }
    }
    rh_buffer_finish(&stream);
}

static void a_frame_is_deflated_if_that_makes_it_smaller(void **state RH_UNUSED)
{
    static const size_t sizes[] = {0, 1, 5, 100, 125, 126, 500, 65535, 65536, 100000};
    struct rh_deflater deflater = {.level = 6};
    char *text = malloc(100000);
    memset(text, 'a', 100000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rh_bytes payload = rh_bytes(text, sizes[i]);
        struct rh_shared *plain = rh_websocket_encode(RH_WEBSOCKET_TEXT, payload);
        struct rh_shared *deflated = rh_websocket_deflate(plain, 15, &deflater);
        assert_int_equal(deflated != NULL, sizes[i] > 5);
        if (deflated != NULL) {
            assert_int_equal((unsigned char)deflated->data[0], TEXT | RSV1);
            assert_true(deflated->size < plain->size);
            struct rh_inflater inflater = {0};
            size_t header_size = deflated->data[1] < 126 ? 2 : 4;
            struct rh_bytes back;
            assert_int_equal(rh_inflater_run(&inflater,
                                             rh_bytes(deflated->data + header_size,
                                                      deflated->size - header_size),
                                             sizes[i], &back),
                             0);
            assert_true(rh_bytes_equal(back, payload));
            rh_inflater_finish(&inflater);
        }
        rh_shared_give(deflated);
        rh_shared_give(plain);
    }
    free(text);
    rh_deflater_finish(&deflater);
}

/* ---- Encoding ---- */

static void a_frame_is_a_header_of_the_smallest_size_and_the_payload(void **state RH_UNUSED)
{
    static const struct {
        size_t size;
        const char *header;
        size_t header_size;
    } rows[] = {{0, "\x82\x00", 2},
                {125, "\x82\x7d", 2},
                {126, "\x82\x7e\x00\x7e", 4},
                {65535, "\x82\x7e\xff\xff", 4},
                {65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10}};
    char *payload = malloc(65536);
    memset(payload, 'p', 65536);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_bytes bytes = rh_bytes(payload, rows[i].size);
        struct rh_shared *frame = rh_websocket_encode(RH_WEBSOCKET_BINARY, bytes);
        struct rh_buffer buffer = {0};
        assert_int_equal(rh_websocket_header_size(rows[i].size), rows[i].header_size);
        assert_int_equal(frame->size, rows[i].header_size + rows[i].size);
        assert_memory_equal(frame->data, rows[i].header, rows[i].header_size);
        assert_memory_equal(frame->data + rows[i].header_size, payload, rows[i].size);
        assert_int_equal(rh_websocket_append(&buffer, RH_WEBSOCKET_BINARY, bytes), 0);
        assert_true(rh_bytes_equal(rh_buffer_content(&buffer), rh_shared_bytes(frame)));
        rh_buffer_finish(&buffer);
        rh_shared_give(frame);
    }
    free(payload);
}

static void a_close_reason_is_cut_between_characters(void **state RH_UNUSED)
{
    char reason[200];
    for (size_t lead = 0; lead < 3; lead++) {
        size_t size = 0;
        memset(reason, 'a', lead);
        for (size = lead; size + 3 <= sizeof(reason); size += 3) {
            memcpy(reason + size, "\xe2\x82\xac", 3);
        }
        struct rh_shared *frame = rh_websocket_encode_close(4408, rh_bytes(reason, size));
        size_t kept = frame->size - 4;
        assert_true(kept <= RH_WEBSOCKET_REASON_SIZE_MAX &&
                    kept > RH_WEBSOCKET_REASON_SIZE_MAX - 3);
        assert_int_equal((unsigned char)frame->data[1], kept + 2);
        assert_memory_equal(frame->data + 2, "\x11\x38", 2);
        assert_memory_equal(frame->data + 4, reason, kept);
        assert_true(rh_bytes_is_utf8(rh_bytes(frame->data + 4, kept)));
        rh_shared_give(frame);
    }
    struct rh_shared *frame = rh_websocket_encode_close(1001, rh_bytes_text("bye"));
    assert_true(rh_bytes_equal_text(rh_shared_bytes(frame), "\x88\x05\x03\xe9"
                                                            "bye"));
    rh_shared_give(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(every_stream_means_the_same_in_whatever_pieces_it_comes),
        RH_TEST(frames_that_no_client_may_send_are_refused),
        RH_TEST(close_codes_are_answered_or_refused_as_the_standard_says),
        RH_TEST(text_fails_at_the_first_byte_that_cannot_be_right),
        RH_TEST(a_message_at_the_limit_is_taken_and_a_byte_more_is_refused),
        RH_TEST(an_announced_size_alone_takes_no_memory),
        RH_TEST(a_million_bytes_arrive_whole_in_pieces_of_any_size),
        RH_TEST(broken_streams_end_alike_in_whatever_pieces_they_come),
        RH_TEST(a_handler_that_says_stop_hears_nothing_more),
        RH_TEST(after_our_close_only_theirs_is_waited_for),
        RH_TEST(closing_forgets_the_fragments_that_were_there),
        RH_TEST(a_flood_of_pings_is_answered_within_bounds),
        RH_TEST(ten_thousand_idle_codecs_cost_nothing_but_themselves),
        RH_TEST(contexts_are_counted_and_one_is_kept_for_the_next),
        RH_TEST(connections_that_share_a_pool_do_not_share_bytes),
        RH_TEST(want_of_memory_fails_the_codec_and_loses_nothing),
        RH_TEST(a_deflated_message_is_judged_by_what_comes_out_of_it),
        RH_TEST(the_limit_is_that_of_the_inflated_message),
        RH_TEST(no_connection_holds_memory_of_zlib),
        RH_TEST(want_of_memory_to_inflate_fails_the_codec),
        RH_TEST(a_frame_is_deflated_if_that_makes_it_smaller),
        RH_TEST(a_frame_is_a_header_of_the_smallest_size_and_the_payload),
        RH_TEST(a_close_reason_is_cut_between_characters),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
