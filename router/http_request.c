/* SPDX-License-Identifier: Apache-2.0 */
#include "router/http_request.h"

#include "router/http_head.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

/* A body buffer that grew larger is not kept for the next request. */
#define BODY_KEPT_SIZE 16384U

/* Bytes that a chunked body may take on the wire per byte of its limit: one-byte chunks need six. */
#define CHUNKED_FACTOR 8U

enum state {
    STATE_BEFORE, /* no byte of a request yet, perhaps line ends */
    STATE_HEAD,
    STATE_BODY,
    STATE_COMPLETE,
    STATE_BAD,
};

/* Where a field stands in the head buffer, which may move while it grows. */
struct span {
    size_t name_at;
    size_t name_size;
    size_t value_at;
    size_t value_size;
};

struct rh_http_parser {
    llhttp_t llhttp;
    struct rh_http_limits limits;
    enum state state;
    enum rh_problem problem;
    const char *detail;
    struct rh_buffer head; /* raw; never consumed from the front, so an offset stays an offset */
    struct rh_buffer body;
    size_t body_wire_bytes; /* of the body with its chunk headers and trailers */
    size_t lines_count;     /* complete lines of the head */
    size_t target_at;
    size_t target_size;
    size_t spans_count;
    bool in_name;
    bool headers_complete; /* as llhttp said */
    bool message_complete; /* likewise */
    bool blank_cr;         /* in STATE_BEFORE: the last byte was a CR */
    bool wants_continue;
    struct rh_http_request request;
    struct rh_http_field *fields;
    struct span *spans;
};

/* ---- What llhttp tells us. A callback returns -1 to stop, with the problem noted. ---- */

static int stop(struct rh_http_parser *parser, enum rh_problem problem, const char *detail)
{
    parser->problem = problem;
    parser->detail = detail;
    return -1;
}

static size_t head_offset(const struct rh_http_parser *parser, const char *at)
{
    return (size_t)(at - parser->head.data);
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_http_parser *parser = llhttp->data;
    if (parser->target_size == 0) {
        parser->target_at = head_offset(parser, at);
    }
    parser->target_size += size;
    if (parser->target_size > parser->limits.target_bytes) {
        return stop(parser, RH_PROBLEM_TARGET_TOO_LONG, "the URL is longer than the limit");
    }
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_http_parser *parser = llhttp->data;
    if (parser->headers_complete) {
        return 0; /* a trailer: read and forgotten (RFC 9110, 6.5.1) */
    }
    if (!parser->in_name) {
        if (parser->spans_count == parser->limits.fields) {
            return stop(parser, RH_PROBLEM_HEADERS_TOO_LARGE, "more header fields than the limit");
        }
        parser->spans[parser->spans_count++] = (struct span){.name_at = head_offset(parser, at)};
        parser->in_name = true;
    }
    parser->spans[parser->spans_count - 1].name_size += size;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_http_parser *parser = llhttp->data;
    if (parser->headers_complete) {
        return 0;
    }
    if (parser->spans_count == 0) {
        return stop(parser, RH_PROBLEM_BAD_REQUEST, "a header field has no name");
    }
    struct span *span = &parser->spans[parser->spans_count - 1];
    if (span->value_size == 0) {
        span->value_at = head_offset(parser, at);
    }
    span->value_size = head_offset(parser, at) + size - span->value_at;
    parser->in_name = false;
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct rh_http_parser *parser = llhttp->data;
    parser->in_name = false;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct rh_http_parser *parser = llhttp->data;
    parser->headers_complete = true;
    parser->request.keep_alive = llhttp_should_keep_alive(llhttp) != 0;
    return 0;
}

static int on_chunk_header(llhttp_t *llhttp)
{
    struct rh_http_parser *parser = llhttp->data;
    if (llhttp->content_length > parser->limits.body_bytes - rh_buffer_size(&parser->body)) {
        return stop(parser, RH_PROBLEM_TOO_LARGE, "the body is larger than the limit");
    }
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_http_parser *parser = llhttp->data;
    assert(size <= parser->limits.body_bytes - rh_buffer_size(&parser->body));
    if (rh_buffer_append(&parser->body, at, size) != 0) {
        return stop(parser, RH_PROBLEM_NO_MEMORY, "out of memory");
    }
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct rh_http_parser *parser = llhttp->data;
    parser->message_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- Life ---- */

int rh_http_parser_create(const struct rh_http_limits *limits, struct rh_http_parser **ret_parser)
{
    struct rh_http_parser *parser = calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    parser->limits = *limits;
    parser->fields = calloc(limits->fields + 1, sizeof(*parser->fields));
    parser->spans = calloc(limits->fields + 1, sizeof(*parser->spans));
    if (parser->fields == NULL || parser->spans == NULL) {
        rh_http_parser_destroy(parser);
        return RH_ERR_NO_MEMORY;
    }
    rh_http_parser_reset(parser);
    *ret_parser = parser;
    return 0;
}

void rh_http_parser_destroy(struct rh_http_parser *parser)
{
    if (parser == NULL) {
        return;
    }
    rh_buffer_finish(&parser->head);
    rh_buffer_finish(&parser->body);
    free(parser->fields);
    free(parser->spans);
    free(parser);
}

void rh_http_parser_reset(struct rh_http_parser *parser)
{
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->llhttp.data = parser;
    parser->state = STATE_BEFORE;
    parser->problem = RH_PROBLEM_NONE;
    parser->detail = NULL;
    rh_buffer_clear(&parser->head);
    rh_buffer_clear(&parser->body);
    if (parser->body.capacity > BODY_KEPT_SIZE) {
        rh_buffer_finish(&parser->body);
    }
    parser->body_wire_bytes = 0;
    parser->lines_count = 0;
    parser->target_size = 0;
    parser->spans_count = 0;
    parser->in_name = false;
    parser->headers_complete = false;
    parser->message_complete = false;
    parser->blank_cr = false;
    parser->wants_continue = false;
    parser->request = (struct rh_http_request){.fields = parser->fields};
}

/* ---- Feeding ---- */

static enum rh_http_feed fail(struct rh_http_parser *parser, enum rh_problem problem,
                              const char *detail)
{
    parser->state = STATE_BAD;
    parser->problem = problem;
    parser->detail = detail;
    return RH_HTTP_FEED_BAD;
}

/* Hands |size| bytes at |data| to llhttp. MORE: all were read. COMPLETE: |ret_read| of them. */
static enum rh_http_feed execute(struct rh_http_parser *parser, const char *data, size_t size,
                                 size_t *ret_read)
{
    llhttp_errno_t error = llhttp_execute(&parser->llhttp, data, size);
    if (error == HPE_OK) {
        *ret_read = size;
        return RH_HTTP_FEED_MORE;
    }
    if (error == HPE_PAUSED && parser->message_complete) {
        *ret_read = (size_t)(llhttp_get_error_pos(&parser->llhttp) - data);
        assert(*ret_read <= size);
        return RH_HTTP_FEED_COMPLETE;
    }
    if (parser->problem != RH_PROBLEM_NONE) {
        return fail(parser, parser->problem, parser->detail);
    }
    /* RFC 9110, 9.1: 501 for a method that we do not know; what is no method at all is a bad line. */
    if (error == HPE_INVALID_METHOD && rh_http_token_char(*llhttp_get_error_pos(&parser->llhttp))) {
        return fail(parser, RH_PROBLEM_NOT_IMPLEMENTED, "this method is not known here");
    }
    if (error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE) {
        return fail(parser, RH_PROBLEM_BAD_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    return fail(parser, RH_PROBLEM_BAD_REQUEST, llhttp_get_error_reason(&parser->llhttp));
}

/* Line ends before a request are skipped (RFC 9112, 2.2); they do not start it. */
static enum rh_http_feed feed_before(struct rh_http_parser *parser, struct rh_bytes bytes,
                                     size_t *ret_read)
{
    size_t at = 0;
    while (at < bytes.size) {
        char c = bytes.data[at];
        if (parser->blank_cr != (c == '\n')) {
            return fail(parser, RH_PROBLEM_BAD_REQUEST, "a line end is not CR LF");
        }
        if (c != '\r' && c != '\n') {
            parser->state = STATE_HEAD;
            break;
        }
        parser->blank_cr = c == '\r';
        at++;
    }
    *ret_read = at;
    return RH_HTTP_FEED_MORE;
}

/* What llhttp lets through, or lets through in some versions: said before it sees the bytes.
 * |line| is a piece of one line, up to its LF if that is there. */
static const char *find_line_fault(const struct rh_http_parser *parser, struct rh_bytes line)
{
    size_t before = rh_buffer_size(&parser->head);
    char last = before == 0 ? '\0' : parser->head.data[before - 1];
    bool line_begins = parser->lines_count > 0 && last == '\n';
    if (line_begins && (line.data[0] == ' ' || line.data[0] == '\t')) {
        return "folded header lines are obsolete (RFC 9112, 5.2)";
    }
    if (line_begins && line.data[0] == ':') {
        return "a header field has no name";
    }
    const char *cr = memchr(line.data, '\r', line.size);
    bool lone_cr = last == '\r' && line.data[0] != '\n';
    lone_cr |= cr != NULL && cr + 1 < line.data + line.size && cr[1] != '\n';
    char before_end = line.size > 1 ? line.data[line.size - 2] : last;
    bool lone_lf = line.data[line.size - 1] == '\n' && before_end != '\r';
    return lone_cr || lone_lf ? "a line end is not CR LF" : NULL;
}

/* RFC 9112, 3: one space between method, target and version, and nothing after it. llhttp takes
 * several. */
static bool request_line_is_strict(const struct rh_http_parser *parser)
{
    const char *data = parser->head.data;
    size_t target_end = parser->target_at + parser->target_size;
    return parser->target_at >= 2 && data[parser->target_at - 2] != ' ' &&
           target_end + strlen(" HTTP/1.1\r\n") == rh_buffer_size(&parser->head);
}

static enum rh_http_method method_of(const llhttp_t *llhttp)
{
    switch (llhttp->method) {
    case HTTP_GET:
        return RH_HTTP_GET;
    case HTTP_HEAD:
        return RH_HTTP_HEAD;
    case HTTP_POST:
        return RH_HTTP_POST;
    case HTTP_PUT:
        return RH_HTTP_PUT;
    case HTTP_DELETE:
        return RH_HTTP_DELETE;
    case HTTP_OPTIONS:
        return RH_HTTP_OPTIONS;
    default:
        return RH_HTTP_OTHER;
    }
}

static struct rh_bytes head_slice(const struct rh_http_parser *parser, size_t at, size_t size)
{
    return rh_bytes(parser->head.data + at, size);
}

/* From here on the head buffer does not move any more: offsets become slices. */
static void slice_head(struct rh_http_parser *parser)
{
    struct rh_http_request *request = &parser->request;
    request->method = method_of(&parser->llhttp);
    request->http_1_0 = parser->llhttp.http_minor == 0;
    request->target = head_slice(parser, parser->target_at, parser->target_size);
    for (size_t i = 0; i < parser->spans_count; i++) {
        const struct span *span = &parser->spans[i];
        struct rh_bytes value = head_slice(parser, span->value_at, span->value_size);
        while (value.size > 0 &&
               (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) {
            value.size--;
        }
        parser->fields[i] = (struct rh_http_field){
            .name = head_slice(parser, span->name_at, span->name_size), .value = value};
    }
    request->fields_count = parser->spans_count;
}

/* The head is there: MORE if it is good (a body may follow), or BAD. */
static enum rh_http_feed finish_head(struct rh_http_parser *parser)
{
    if (parser->llhttp.http_major != 1) {
        return fail(parser, RH_PROBLEM_BAD_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    if (parser->llhttp.method == HTTP_CONNECT) {
        return fail(parser, RH_PROBLEM_NOT_IMPLEMENTED, "this is not a proxy");
    }
    slice_head(parser);
    struct rh_http_framing framing;
    const char *detail = NULL;
    enum rh_problem problem = rh_http_head_check(&parser->request, &framing, &detail);
    if (problem != RH_PROBLEM_NONE) {
        return fail(parser, problem, detail);
    }
    if (framing.has_content_length && parser->llhttp.content_length > parser->limits.body_bytes) {
        return fail(parser, RH_PROBLEM_TOO_LARGE, "the body is larger than the limit");
    }
    parser->state = STATE_BODY;
    parser->wants_continue = framing.expect_continue && !parser->message_complete;
    return RH_HTTP_FEED_MORE;
}

static enum rh_http_feed head_too_large(struct rh_http_parser *parser)
{
    if (parser->lines_count == 0) {
        return fail(parser, RH_PROBLEM_TARGET_TOO_LONG,
                    "the request line is longer than the limit");
    }
    return fail(parser, RH_PROBLEM_HEADERS_TOO_LARGE, "the headers are larger than the limit");
}

/* Reads at most one line of the head. */
static enum rh_http_feed feed_head(struct rh_http_parser *parser, struct rh_bytes bytes,
                                   size_t *ret_read)
{
    size_t before = rh_buffer_size(&parser->head);
    if (before == parser->limits.head_bytes) {
        return head_too_large(parser);
    }
    const char *lf = memchr(bytes.data, '\n', bytes.size);
    struct rh_bytes line = bytes;
    if (lf != NULL) {
        line.size = (size_t)(lf - bytes.data) + 1;
    }
    if (line.size > parser->limits.head_bytes - before) {
        line.size = parser->limits.head_bytes - before;
        lf = NULL;
    }
    const char *fault = find_line_fault(parser, line);
    if (fault != NULL) {
        return fail(parser, RH_PROBLEM_BAD_REQUEST, fault);
    }
    if (rh_buffer_append_bytes(&parser->head, line) != 0) {
        return fail(parser, RH_PROBLEM_NO_MEMORY, "out of memory");
    }
    size_t read;
    enum rh_http_feed rv = execute(parser, parser->head.data + before, line.size, &read);
    if (rv == RH_HTTP_FEED_BAD) {
        return rv;
    }
    *ret_read = line.size;
    parser->lines_count += lf != NULL;
    if (lf != NULL && parser->lines_count == 1 && !request_line_is_strict(parser)) {
        return fail(parser, RH_PROBLEM_BAD_REQUEST, "the request line is not three words");
    }
    if (!parser->headers_complete) {
        return RH_HTTP_FEED_MORE;
    }
    assert(rv == RH_HTTP_FEED_MORE || read == line.size);
    enum rh_http_feed head = finish_head(parser);
    return head == RH_HTTP_FEED_BAD ? head : rv;
}

static enum rh_http_feed feed_body(struct rh_http_parser *parser, struct rh_bytes bytes,
                                   size_t *ret_read)
{
    parser->wants_continue = false;
    size_t wire_max = CHUNKED_FACTOR * parser->limits.body_bytes + parser->limits.head_bytes;
    size_t left = wire_max - parser->body_wire_bytes;
    if (left == 0) {
        return fail(parser, RH_PROBLEM_TOO_LARGE, "the body takes too many chunks or trailers");
    }
    size_t size = bytes.size < left ? bytes.size : left;
    size_t read;
    enum rh_http_feed rv = execute(parser, bytes.data, size, &read);
    if (rv != RH_HTTP_FEED_BAD) {
        parser->body_wire_bytes += read;
        *ret_read = read;
    }
    return rv;
}

static enum rh_http_feed feed_some(struct rh_http_parser *parser, struct rh_bytes bytes,
                                   size_t *ret_read)
{
    switch (parser->state) {
    case STATE_BEFORE:
        return feed_before(parser, bytes, ret_read);
    case STATE_HEAD:
        return feed_head(parser, bytes, ret_read);
    case STATE_BODY:
        return feed_body(parser, bytes, ret_read);
    case STATE_COMPLETE:
    case STATE_BAD:
    default:
        assert(false && "reset the parser first");
        return RH_HTTP_FEED_BAD;
    }
}

enum rh_http_feed rh_http_parser_feed(struct rh_http_parser *parser, struct rh_bytes bytes,
                                      size_t *ret_consumed)
{
    assert(parser->state != STATE_COMPLETE && parser->state != STATE_BAD);
    size_t consumed = 0;
    enum rh_http_feed rv = RH_HTTP_FEED_MORE;
    while (rv == RH_HTTP_FEED_MORE && consumed < bytes.size) {
        size_t read = 0;
        rv = feed_some(parser, rh_bytes(bytes.data + consumed, bytes.size - consumed), &read);
        consumed += read;
    }
    if (rv == RH_HTTP_FEED_COMPLETE) {
        parser->state = STATE_COMPLETE;
        parser->request.body = rh_buffer_content(&parser->body);
    }
    *ret_consumed = consumed;
    return rv;
}

const struct rh_http_request *rh_http_parser_request(const struct rh_http_parser *parser)
{
    assert(parser->state == STATE_COMPLETE);
    return &parser->request;
}

enum rh_problem rh_http_parser_problem(const struct rh_http_parser *parser)
{
    assert(parser->state == STATE_BAD);
    return parser->problem;
}

const char *rh_http_parser_problem_detail(const struct rh_http_parser *parser)
{
    assert(parser->state == STATE_BAD);
    return parser->detail;
}

bool rh_http_parser_started(const struct rh_http_parser *parser)
{
    return parser->state != STATE_BEFORE;
}

bool rh_http_parser_head_complete(const struct rh_http_parser *parser)
{
    return parser->state == STATE_BODY || parser->state == STATE_COMPLETE;
}

bool rh_http_parser_take_continue(struct rh_http_parser *parser)
{
    bool wants = parser->wants_continue;
    parser->wants_continue = false;
    return wants;
}

struct rh_bytes rh_http_request_field(const struct rh_http_request *request, const char *name)
{
    struct rh_bytes wanted = rh_bytes_text(name);
    for (size_t i = 0; i < request->fields_count; i++) {
        if (rh_bytes_equal_nocase(request->fields[i].name, wanted)) {
            return request->fields[i].value;
        }
    }
    return rh_bytes(NULL, 0);
}
