/* SPDX-License-Identifier: Apache-2.0 */
#include "router/http_head.h"

/* Fields that decide where a message ends and whom it is for: nobody may read them in two ways. */
struct special {
    const struct rh_http_field *host;
    const struct rh_http_field *transfer_encoding;
    const struct rh_http_field *content_length;
    const struct rh_http_field *expect;
    bool upgrade;
};

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool rh_http_token_char(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!rh_http_token_char(text.data[i])) {
            return false;
        }
    }
    return text.size > 0;
}

/* field-content of RFC 9110, 5.5: no control character but the tab. */
static bool is_field_value(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_port(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.size <= 5;
}

/* What stands between the brackets of "[::1]". */
static bool is_ip_literal(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_hex(text.data[i]) && text.data[i] != ':' && text.data[i] != '.') {
            return false;
        }
    }
    return text.size >= 2;
}

static bool is_reg_name(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.size - i < 3 || !is_hex(text.data[i + 1]) || !is_hex(text.data[i + 2])) {
                return false;
            }
            i += 2;
            continue;
        }
        /* Without the comma of RFC 3986: two Host fields that somebody joined. */
        if (!is_alnum(c) && memchr("-._~!$&'()*+;=", c, 14) == NULL) {
            return false;
        }
    }
    return text.size > 0;
}

bool rh_http_host_valid(struct rh_bytes host)
{
    size_t name_size;
    if (host.size > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.size);
        if (end == NULL || !is_ip_literal(rh_bytes(host.data + 1, (size_t)(end - host.data) - 1))) {
            return false;
        }
        name_size = (size_t)(end - host.data) + 1;
    } else {
        const char *colon = host.size == 0 ? NULL : memchr(host.data, ':', host.size);
        name_size = colon == NULL ? host.size : (size_t)(colon - host.data);
        if (!is_reg_name(rh_bytes(host.data, name_size))) {
            return false;
        }
    }
    if (name_size == host.size) {
        return true;
    }
    return host.data[name_size] == ':' &&
           is_port(rh_bytes(host.data + name_size + 1, host.size - name_size - 1));
}

/* Remembers the field; false if there was one already. */
static bool take_once(const struct rh_http_field **place, const struct rh_http_field *field)
{
    bool first = *place == NULL;
    *place = field;
    return first;
}

static enum rh_problem collect(const struct rh_http_request *request, struct special *special,
                               const char **ret_detail)
{
    for (size_t i = 0; i < request->fields_count; i++) {
        const struct rh_http_field *field = &request->fields[i];
        if (!is_token(field->name) || !is_field_value(field->value)) {
            *ret_detail = "a header field is not valid";
            return RH_PROBLEM_BAD_REQUEST;
        }
        bool once = true;
        switch (field->name.size) {
        case 4:
            if (rh_bytes_equal_nocase(field->name, rh_bytes_text("host")) &&
                !take_once(&special->host, field)) {
                *ret_detail = "the Host header occurs twice";
                return RH_PROBLEM_BAD_HOST;
            }
            break;
        case 6:
            if (rh_bytes_equal_nocase(field->name, rh_bytes_text("expect"))) {
                once = take_once(&special->expect, field);
            }
            break;
        case 7:
            special->upgrade |= rh_bytes_equal_nocase(field->name, rh_bytes_text("upgrade"));
            break;
        case 14:
            if (rh_bytes_equal_nocase(field->name, rh_bytes_text("content-length"))) {
                once = take_once(&special->content_length, field);
            }
            break;
        case 17:
            if (rh_bytes_equal_nocase(field->name, rh_bytes_text("transfer-encoding"))) {
                once = take_once(&special->transfer_encoding, field);
            }
            break;
        default:
            break;
        }
        if (!once) {
            *ret_detail = "Content-Length, Transfer-Encoding or Expect occurs twice";
            return RH_PROBLEM_BAD_REQUEST;
        }
    }
    return RH_PROBLEM_NONE;
}

static enum rh_problem check_host(struct rh_http_request *request, const struct special *special,
                                  const char **ret_detail)
{
    if (special->host == NULL) {
        if (request->http_1_0) {
            return RH_PROBLEM_NONE;
        }
        *ret_detail = "a request needs a Host header";
        return RH_PROBLEM_BAD_HOST;
    }
    if (!rh_http_host_valid(special->host->value)) {
        *ret_detail = "the Host header is not host:port";
        return RH_PROBLEM_BAD_HOST;
    }
    request->host = special->host->value;
    return RH_PROBLEM_NONE;
}

static enum rh_problem check_framing(const struct rh_http_request *request,
                                     const struct special *special,
                                     struct rh_http_framing *ret_framing, const char **ret_detail)
{
    struct rh_http_framing framing = {.has_content_length = special->content_length != NULL};
    if (special->transfer_encoding != NULL) {
        struct rh_bytes coding = special->transfer_encoding->value;
        /* RFC 9112, 6.1: an HTTP/1.0 client cannot mean it, and both together is an attack. */
        if (coding.size == 0 || request->http_1_0 || framing.has_content_length) {
            *ret_detail = "Transfer-Encoding is empty, or not allowed here";
            return RH_PROBLEM_BAD_REQUEST;
        }
        if (!rh_bytes_equal_nocase(coding, rh_bytes_text("chunked"))) {
            *ret_detail = "the only transfer coding known here is chunked";
            return RH_PROBLEM_NOT_IMPLEMENTED;
        }
        framing.chunked = true;
    }
    if (special->expect != NULL && !request->http_1_0) {
        if (!rh_bytes_equal_nocase(special->expect->value, rh_bytes_text("100-continue"))) {
            *ret_detail = "the only expectation known here is 100-continue";
            return RH_PROBLEM_EXPECTATION_FAILED;
        }
        framing.expect_continue = true;
    }
    *ret_framing = framing;
    return RH_PROBLEM_NONE;
}

/* Splits path and query; |target| starts with '/'. */
static void split_target(struct rh_http_request *request, struct rh_bytes target)
{
    const char *mark = memchr(target.data, '?', target.size);
    size_t path_size = mark == NULL ? target.size : (size_t)(mark - target.data);
    request->path = rh_bytes(target.data, path_size);
    if (mark != NULL) {
        request->query = rh_bytes(mark + 1, target.size - path_size - 1);
    }
}

static bool starts_with_nocase(struct rh_bytes text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size &&
           rh_bytes_equal_nocase(rh_bytes(text.data, size), rh_bytes_text(prefix));
}

/* http://host:port/path: the host in it goes before the Host header (RFC 9112, 3.2.2). */
static bool take_absolute(struct rh_http_request *request)
{
    struct rh_bytes rest = request->target;
    size_t skip = starts_with_nocase(rest, "https://") ? 8 : 7;
    rest = rh_bytes(rest.data + skip, rest.size - skip);
    size_t host_size = 0;
    while (host_size < rest.size && rest.data[host_size] != '/' && rest.data[host_size] != '?') {
        host_size++;
    }
    request->host = rh_bytes(rest.data, host_size);
    rest = rh_bytes(rest.data + host_size, rest.size - host_size);
    if (rest.size > 0 && rest.data[0] == '/') {
        split_target(request, rest);
    } else {
        request->path = rh_bytes_text("/");
        request->query = rest.size > 0 ? rh_bytes(rest.data + 1, rest.size - 1) : rest;
    }
    return rh_http_host_valid(request->host);
}

static enum rh_problem check_target(struct rh_http_request *request, const char **ret_detail)
{
    struct rh_bytes target = request->target;
    for (size_t i = 0; i < target.size; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f || target.data[i] == '#') {
            *ret_detail = "the target holds a character that must be percent-encoded";
            return RH_PROBLEM_BAD_REQUEST;
        }
    }
    if (target.size > 0 && target.data[0] == '/') {
        split_target(request, target);
        return RH_PROBLEM_NONE;
    }
    if (starts_with_nocase(target, "http://") || starts_with_nocase(target, "https://")) {
        if (take_absolute(request)) {
            return RH_PROBLEM_NONE;
        }
        *ret_detail = "the target's host is not host:port";
        return RH_PROBLEM_BAD_HOST;
    }
    if (rh_bytes_equal_text(target, "*") && request->method == RH_HTTP_OPTIONS) {
        request->path = target;
        return RH_PROBLEM_NONE;
    }
    *ret_detail = "the target is neither a path nor a URL";
    return RH_PROBLEM_BAD_REQUEST;
}

enum rh_problem rh_http_head_check(struct rh_http_request *request,
                                   struct rh_http_framing *ret_framing, const char **ret_detail)
{
    struct special special = {0};
    enum rh_problem problem = collect(request, &special, ret_detail);
    if (problem != RH_PROBLEM_NONE) {
        return problem;
    }
    problem = check_host(request, &special, ret_detail);
    if (problem != RH_PROBLEM_NONE) {
        return problem;
    }
    problem = check_target(request, ret_detail);
    if (problem != RH_PROBLEM_NONE) {
        return problem;
    }
    /* RFC 9110, 7.8: an Upgrade of an HTTP/1.0 client is ignored. */
    request->upgrade = special.upgrade && !request->http_1_0;
    return check_framing(request, &special, ret_framing, ret_detail);
}
