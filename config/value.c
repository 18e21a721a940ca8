/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include "base/bytes.h"
#include "base/units.h"
#include "config/config.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_SIZE        256
#define SERVERS_SIZE_MAX 1024
#define QUOTE_SIZE       41 /* of a value that is repeated in a message */
#define AMOUNT_SIZE      32

static int refuse(struct rh_value_message *message, const char *format, ...) RH_PRINTF(2, 3);

static int refuse(struct rh_value_message *message, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message->text, sizeof(message->text), format, args);
    va_end(args);
    return RH_ERR_INVALID;
}

/* |text| in a form that fits in a one-line message. */
static const char *quote(const char *text, char out[static QUOTE_SIZE])
{
    size_t size = strlen(text);
    size_t kept = size < QUOTE_SIZE ? size : QUOTE_SIZE - 4;
    for (size_t i = 0; i < kept; i++) {
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    }
    memcpy(out + kept, size > kept ? "..." : "", size > kept ? sizeof("...") : 1);
    return out;
}

static const char *format_unit(uint64_t value, const char *const names[], const uint64_t factors[],
                               size_t count, char out[static AMOUNT_SIZE])
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (value != 0 && value % factors[i] == 0) {
            best = i;
        }
    }
    (void)snprintf(out, AMOUNT_SIZE, "%llu%s", (unsigned long long)(value / factors[best]),
                   names[best]);
    return out;
}

static const char *format_amount(enum rh_value_kind kind, uint64_t value,
                                 char out[static AMOUNT_SIZE])
{
    static const char *const duration_names[] = {"ms", "s", "m", "h"};
    static const uint64_t duration_factors[] = {1, 1000, 60000, 3600000};
    static const char *const size_names[] = {"B", "KiB", "MiB", "GiB"};
    static const uint64_t size_factors[] = {1, 1U << 10, 1U << 20, 1U << 30};
    switch (kind) {
    case RH_VALUE_DURATION:
        return format_unit(value, duration_names, duration_factors, 4, out);
    case RH_VALUE_SIZE:
    case RH_VALUE_SIZE_32:
        return format_unit(value, size_names, size_factors, 4, out);
    case RH_VALUE_WEIGHT:
        rh_weight_format((uint32_t)value, out);
        return out;
    case RH_VALUE_COUNT:
    case RH_VALUE_NUMBER:
        break;
    }
    (void)snprintf(out, AMOUNT_SIZE, "%llu", (unsigned long long)value);
    return out;
}

static int parse_amount(enum rh_value_kind kind, struct rh_bytes text, uint64_t *ret_value)
{
    uint32_t small = 0;
    int rv;
    switch (kind) {
    case RH_VALUE_DURATION:
        rv = rh_duration_parse(text, &small);
        *ret_value = small;
        return rv;
    case RH_VALUE_WEIGHT:
        rv = rh_weight_parse(text, &small);
        *ret_value = small;
        return rv;
    case RH_VALUE_SIZE:
    case RH_VALUE_SIZE_32:
        return rh_size_parse(text, ret_value);
    case RH_VALUE_COUNT:
    case RH_VALUE_NUMBER:
        break;
    }
    return rh_bytes_to_u64(text, UINT64_MAX, ret_value);
}

int rh_value_parse(enum rh_value_kind kind, const char *text, uint64_t min, uint64_t max,
                   uint64_t *ret_value, struct rh_value_message *message)
{
    static const struct {
        const char *noun;
        const char *hint;
    } forms[] = {
        [RH_VALUE_COUNT] = {"a whole number", ""},
        [RH_VALUE_NUMBER] = {"a whole number", ""},
        [RH_VALUE_DURATION] = {"a duration", ", with a unit: ms s m h"},
        [RH_VALUE_SIZE] = {"a size", ", with a unit: B KiB MiB GiB"},
        [RH_VALUE_SIZE_32] = {"a size", ", with a unit: B KiB MiB GiB"},
        [RH_VALUE_WEIGHT] = {"a weight", ", with at most three decimals"},
    };
    uint64_t value = 0;
    if (parse_amount(kind, rh_bytes_text(text), &value) == 0 && value >= min && value <= max) {
        *ret_value = value;
        return 0;
    }
    char quoted[QUOTE_SIZE];
    char low[AMOUNT_SIZE];
    char high[AMOUNT_SIZE];
    return refuse(message, "`%s` is not %s from %s to %s%s", quote(text, quoted), forms[kind].noun,
                  format_amount(kind, min, low), format_amount(kind, max, high), forms[kind].hint);
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether |text| has |min| to |max| letters, digits and characters of |others|. */
static bool is_word(const char *text, size_t min, size_t max, const char *others)
{
    size_t size = 0;
    while (size <= max && text[size] != '\0') {
        if (!is_alphanumeric(text[size]) && strchr(others, text[size]) == NULL) {
            return false;
        }
        size++;
    }
    return size >= min && size <= max;
}

bool rh_config_node_id_valid(const char *id)
{
    return is_word(id, 1, RH_CONFIG_NODE_ID_SIZE_MAX, "_-");
}

int rh_value_check_name(const char *text, struct rh_value_message *message)
{
    if (rh_config_node_id_valid(text)) {
        return 0;
    }
    char quoted[QUOTE_SIZE];
    return refuse(message, "`%s` is not 1 to %d letters, digits, `_` or `-`", quote(text, quoted),
                  RH_CONFIG_NODE_ID_SIZE_MAX);
}

int rh_value_check_route(const char *text, struct rh_value_message *message)
{
    if (strcmp(text, "redirect") == 0 || strcmp(text, "relay") == 0) {
        return 0;
    }
    char quoted[QUOTE_SIZE];
    return refuse(message, "`%s` is neither `redirect` nor `relay`", quote(text, quoted));
}

int rh_value_check_zone(const char *text, struct rh_value_message *message)
{
    if (is_word(text, 0, RH_CONFIG_ZONE_SIZE_MAX, "._-")) {
        return 0;
    }
    char quoted[QUOTE_SIZE];
    return refuse(message, "`%s` is not up to %d letters, digits, `.`, `_` or `-`",
                  quote(text, quoted), RH_CONFIG_ZONE_SIZE_MAX);
}

int rh_address_split(const char *address, char *ret_host, uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL) {
        return RH_ERR_INVALID;
    }
    const char *host = address;
    size_t host_size = (size_t)(colon - address);
    uint64_t port;
    if (rh_bytes_to_u64(rh_bytes_text(colon + 1), UINT16_MAX, &port) != 0 || port == 0) {
        return RH_ERR_INVALID;
    }
    if (host_size >= 2 && host[0] == '[' && host[host_size - 1] == ']') {
        host++;
        host_size -= 2;
    } else if (memchr(host, ':', host_size) != NULL) {
        return RH_ERR_INVALID; /* an IPv6 address without brackets: where does the port begin? */
    }
    if (host_size == 0 || host_size >= HOST_SIZE) {
        return RH_ERR_INVALID;
    }
    memcpy(ret_host, host, host_size);
    ret_host[host_size] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

bool rh_host_is_wildcard(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return v4.s_addr == INADDR_ANY;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool rh_host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcasecmp(host, "localhost") == 0;
}

/* A name or a numeric address. What looks like an IPv4 address must be one. */
static bool is_host(const char *host, bool bracketed)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (bracketed) {
        return inet_pton(AF_INET6, host, &v6) == 1;
    }
    if (strspn(host, "0123456789.") == strlen(host)) {
        return inet_pton(AF_INET, host, &v4) == 1;
    }
    return is_word(host, 1, HOST_SIZE - 1, "._-");
}

/* Checks |address|; what is quoted in a message is |whole|, of which it may be a part. */
static int check_address(const char *address, const char *whole, bool reachable,
                         struct rh_value_message *message)
{
    char host[HOST_SIZE];
    uint16_t port;
    char quoted[QUOTE_SIZE];
    if (rh_address_split(address, host, &port) != 0 || !is_host(host, address[0] == '[')) {
        return refuse(message, "`%s` is not host:port or [v6]:port with a port from 1 to 65535",
                      quote(whole, quoted));
    }
    if (reachable && rh_host_is_wildcard(host)) {
        return refuse(message, "`%s` is no address that others can connect to",
                      quote(whole, quoted));
    }
    return 0;
}

int rh_value_check_address(const char *text, struct rh_value_message *message)
{
    return check_address(text, text, false, message);
}

int rh_value_check_reachable(const char *text, struct rh_value_message *message)
{
    return check_address(text, text, true, message);
}

int rh_value_check_url(const char *text, struct rh_value_message *message)
{
    size_t scheme = strncmp(text, "ws://", 5) == 0 ? 5 : 0;
    if (strncmp(text, "wss://", 6) == 0) {
        scheme = 6;
    }
    if (scheme == 0) {
        char quoted[QUOTE_SIZE];
        return refuse(message, "`%s` is not ws://host:port or wss://host:port",
                      quote(text, quoted));
    }
    return check_address(text + scheme, text, true, message);
}

int rh_value_check_servers(const char *text, struct rh_value_message *message)
{
    if (strlen(text) > SERVERS_SIZE_MAX) {
        return refuse(message, "longer than %d bytes", SERVERS_SIZE_MAX);
    }
    const char *at = text;
    for (;;) {
        size_t size = strcspn(at, ",");
        char server[SERVERS_SIZE_MAX + 1];
        memcpy(server, at, size);
        server[size] = '\0';
        int rv = check_address(server, server, true, message);
        if (rv != 0) {
            return rv;
        }
        if (at[size] == '\0') {
            return 0;
        }
        at += size + 1;
    }
}
