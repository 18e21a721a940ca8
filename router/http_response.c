/* SPDX-License-Identifier: Apache-2.0 */
#include "router/http_response.h"

#include <assert.h>

#define NUMBER_SIZE 20 /* digits of the largest size_t */

static const char no_store[] = "Cache-Control: no-store\r\n";
static const char cors[] =
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Expose-Headers: Location, Ringhop-Node, Ringhop-Epoch, ETag, Retry-After\r\n";
static const char connection_close[] = "Connection: close\r\n";
static const char connection_keep_alive[] = "Connection: keep-alive\r\n";

const char *rh_http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {307, "Temporary Redirect"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].status == status) {
            return rows[i].text;
        }
    }
    return "";
}

static bool name_valid(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        bool alnum =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (!alnum && *at != '-') {
            return false;
        }
    }
    return *name != '\0';
}

static bool value_valid(struct rh_bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Fields that the encoder writes itself: the same field twice would be read in two ways. */
static bool name_reserved(const char *name)
{
    struct rh_bytes bytes = rh_bytes_text(name);
    return rh_bytes_equal_nocase(bytes, rh_bytes_text("content-length")) ||
           rh_bytes_equal_nocase(bytes, rh_bytes_text("transfer-encoding")) ||
           rh_bytes_equal_nocase(bytes, rh_bytes_text("connection"));
}

static char *put(char *at, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(at, data, size);
    }
    return at + size;
}

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_number(char *at, size_t number)
{
    char digits[NUMBER_SIZE];
    size_t first = sizeof(digits);
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + first, sizeof(digits) - first);
}

/* RFC 9110, 8.6: a 204 has neither body nor Content-Length; of a 304 that would be the length of what
 * is not sent. */
static bool has_length(const struct rh_http_response *response,
                       const struct rh_http_response_context *context)
{
    return response->status != 204 && response->status != 304 && !context->endless;
}

static const char *connection_header(const struct rh_http_response_context *context)
{
    if (!context->keep_alive) {
        return connection_close;
    }
    return context->http_1_0 ? connection_keep_alive : "";
}

/* An upper bound of what put_response() writes, exact but for the digits of the length. */
static size_t response_size(const struct rh_http_response *response,
                            const struct rh_http_response_context *context)
{
    size_t size = strlen("HTTP/1.1 200 \r\n") + strlen(rh_http_status_text(response->status)) +
                  strlen(no_store) + strlen(connection_header(context)) + strlen("\r\n");
    if (has_length(response, context)) {
        size += strlen("Content-Length: \r\n") + NUMBER_SIZE + response->body.size;
    }
    if (response->content_type != NULL) {
        size += strlen("Content-Type: \r\n") + strlen(response->content_type);
    }
    if (context->cors) {
        size += strlen(cors);
    }
    for (size_t i = 0; i < response->headers_count; i++) {
        size += strlen(response->headers[i].name) + response->headers[i].value.size + 4;
    }
    return size;
}

static char *put_response(char *at, const struct rh_http_response *response,
                          const struct rh_http_response_context *context)
{
    at = put_text(at, "HTTP/1.1 ");
    at = put_number(at, response->status);
    at = put_text(at, " ");
    at = put_text(at, rh_http_status_text(response->status));
    at = put_text(at, "\r\n");
    if (response->content_type != NULL) {
        at = put_text(at, "Content-Type: ");
        at = put_text(at, response->content_type);
        at = put_text(at, "\r\n");
    }
    if (has_length(response, context)) {
        at = put_text(at, "Content-Length: ");
        at = put_number(at, response->body.size);
        at = put_text(at, "\r\n");
    }
    at = put_text(at, connection_header(context));
    at = put_text(at, no_store);
    if (context->cors) {
        at = put(at, cors, sizeof(cors) - 1);
    }
    for (size_t i = 0; i < response->headers_count; i++) {
        at = put_text(at, response->headers[i].name);
        at = put_text(at, ": ");
        at = put(at, response->headers[i].value.data, response->headers[i].value.size);
        at = put_text(at, "\r\n");
    }
    at = put_text(at, "\r\n");
    if (has_length(response, context) && !context->head) {
        at = put(at, response->body.data, response->body.size);
    }
    return at;
}

int rh_http_response_encode(const struct rh_http_response *response,
                            const struct rh_http_response_context *context,
                            struct rh_shared **ret_shared)
{
    assert(response->status >= 200 && response->status <= 599);
    for (size_t i = 0; i < response->headers_count; i++) {
        const struct rh_http_header *header = &response->headers[i];
        if (!name_valid(header->name) || name_reserved(header->name) ||
            !value_valid(header->value)) {
            return RH_ERR_INVALID;
        }
    }
    if (response->content_type != NULL && !value_valid(rh_bytes_text(response->content_type))) {
        return RH_ERR_INVALID;
    }
    size_t size = response_size(response, context);
    struct rh_shared *shared = rh_shared_create(size);
    if (shared == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    char *end = put_response(shared->data, response, context);
    assert(end <= shared->data + size);
    shared->size = (size_t)(end - shared->data);
    *ret_shared = shared;
    return 0;
}
