/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/url.h"

#include "base/buffer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int format(char *out, size_t out_size, const char *format_text, ...) RH_PRINTF(3, 4);

static int format(char *out, size_t out_size, const char *format_text, ...)
{
    va_list args;
    va_start(args, format_text);
    int length = vsnprintf(out, out_size, format_text, args);
    va_end(args);
    return length < 0 || (size_t)length >= out_size ? RH_ERR_TOO_LARGE : 0;
}

/* RFC 3986, 2.3: these mean the same with and without an escape. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

int rh_url_escape(struct rh_bytes key, char *out, size_t out_size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < key.size; i++) {
        unsigned char byte = (unsigned char)key.data[i];
        bool plain = is_unreserved(key.data[i]);
        if (size + (plain ? 1 : 3) >= out_size) {
            return RH_ERR_TOO_LARGE;
        }
        if (plain) {
            out[size++] = key.data[i];
        } else {
            out[size++] = '%';
            out[size++] = digits[byte >> 4];
            out[size++] = digits[byte & 15];
        }
    }
    out[size] = '\0';
    return 0;
}

int rh_url_channel_path(struct rh_bytes key, const char *what, char *out, size_t out_size)
{
    char escaped[RH_URL_TEXT_SIZE];
    int rv = rh_url_escape(key, escaped, sizeof(escaped));
    return rv != 0 ? rv : format(out, out_size, "/v1/channels/%s/%s", escaped, what);
}

/* The parameter |name| in the query |query| (after the '?'), with its name, or an empty slice. */
static struct rh_bytes find_query(const char *query, const char *name)
{
    size_t name_size = strlen(name);
    const char *at = query;
    while (*at != '\0') {
        size_t size = strcspn(at, "&");
        if (size > name_size && strncmp(at, name, name_size) == 0 && at[name_size] == '=') {
            return rh_bytes(at, size);
        }
        at += size + (at[size] == '&');
    }
    return rh_bytes(NULL, 0);
}

int rh_url_set_query(const char *url, const char *name, const char *value, char *out,
                     size_t out_size)
{
    const char *query = strchr(url, '?');
    if (query == NULL) {
        return format(out, out_size, "%s?%s=%s", url, name, value);
    }
    struct rh_bytes old = find_query(query + 1, name);
    if (old.size == 0) {
        return format(out, out_size, "%s%s%s=%s", url, query[1] == '\0' ? "" : "&", name, value);
    }
    return format(out, out_size, "%.*s%s=%s%s", (int)(old.data - url), url, name, value,
                  old.data + old.size);
}

static bool has_scheme(const char *url, const char *scheme)
{
    size_t size = strlen(scheme);
    return strncmp(url, scheme, size) == 0 && strncmp(url + size, "://", 3) == 0;
}

static bool is_secure(const char *url)
{
    return has_scheme(url, "wss") || has_scheme(url, "https");
}

static bool is_absolute(const char *url)
{
    return is_secure(url) || has_scheme(url, "ws") || has_scheme(url, "http");
}

int rh_url_resolve(const char *base, const char *location, char *out, size_t out_size)
{
    for (const char *at = location; *at != '\0'; at++) {
        if ((unsigned char)*at <= 0x20 || *at == 0x7f) {
            return RH_ERR_INVALID;
        }
    }
    if (is_absolute(location)) {
        return format(out, out_size, "%s%s", is_secure(location) ? "wss" : "ws",
                      strchr(location, ':'));
    }
    const char *scheme = is_secure(base) ? "wss" : "ws";
    if (!is_absolute(base) || location[0] != '/') {
        return RH_ERR_INVALID;
    }
    if (location[1] == '/') {
        return format(out, out_size, "%s:%s", scheme, location);
    }
    const char *host = strstr(base, "://") + 3;
    return format(out, out_size, "%s://%.*s%s", scheme, (int)strcspn(host, "/?"), host, location);
}

int rh_url_to_http(const char *url, char *out, size_t out_size)
{
    bool websocket = has_scheme(url, "ws") || has_scheme(url, "wss");
    return format(out, out_size, "%s%s", websocket ? "http" : "", url + (websocket ? 2 : 0));
}

int rh_url_host(const char *url, char ret_host[static RH_URL_HOST_SIZE], const char **ret_path,
                struct rh_reason *reason)
{
    const char *colon = strstr(url, "://");
    size_t scheme_size = colon == NULL ? 0 : (size_t)(colon - url);
    if (!rh_bytes_equal_text(rh_bytes(url, scheme_size), "ws") &&
        !rh_bytes_equal_text(rh_bytes(url, scheme_size), "http")) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: a URL begins with http:// or ws:// here", url);
    }
    const char *host = colon + 3;
    size_t host_size = strcspn(host, "/?#");
    const char *bracket = memchr(host, ']', host_size);
    const char *port_from = bracket == NULL ? host : bracket;
    bool has_port = memchr(port_from, ':', host_size - (size_t)(port_from - host)) != NULL;
    if (host_size == 0 || memchr(host, '@', host_size) != NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: no host", url);
    }
    if (format(ret_host, RH_URL_HOST_SIZE, "%.*s%s", (int)host_size, host, has_port ? "" : ":80") !=
        0) {
        return rh_fail(reason, RH_ERR_TOO_LARGE, "%s: the host is too long", url);
    }
    if (ret_path != NULL) {
        *ret_path = host + host_size;
    }
    return 0;
}
