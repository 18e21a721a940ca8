/* SPDX-License-Identifier: Apache-2.0 */
#include "router/json_scan.h"

#include "router/json_write.h"

#include <assert.h>

/* ---- Checking ---- */

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_KEY,          /* after ',' in an object */
    EXPECT_KEY_OR_END,   /* after '{' */
    EXPECT_COMMA_OR_END, /* after an element or member */
    EXPECT_NOTHING,      /* the value is complete */
};

struct scan {
    const char *at;
    const char *end;
    const char *error; /* set by the function that returns false; |at| is the place */
    enum expect expect;
    unsigned depth;
    unsigned depth_max;
    uint64_t objects[RH_JSON_DEPTH_LIMIT / 64]; /* bit per level: an object, not an array */
};

static bool fail(struct scan *scan, const char *error)
{
    scan->error = error;
    return false;
}

/* The byte at hand, or 0 at the end (0 is allowed nowhere). */
static char peek(const struct scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at)) {
        at++;
    }
    return at;
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* The four digits of a \u escape at |at|; -1: there are not four. */
static int32_t hex4(const char *at, const char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(int32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* An escape, |at| behind its backslash. */
static bool scan_escape(struct scan *scan)
{
    char letter = peek(scan);
    if (letter == '\0' || strchr("\"\\/bfnrtu", letter) == NULL) {
        return fail(scan, "no such escape");
    }
    scan->at++;
    if (letter != 'u') {
        return true;
    }
    int32_t unit = hex4(scan->at, scan->end);
    if (unit < 0) {
        return fail(scan, "\\u needs four hex digits");
    }
    if (is_low_surrogate(unit)) {
        return fail(scan, "lone surrogate");
    }
    scan->at += 4;
    if (!is_high_surrogate(unit)) {
        return true;
    }
    if (scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u' ||
        !is_low_surrogate(hex4(scan->at + 2, scan->end))) {
        return fail(scan, "lone surrogate");
    }
    scan->at += 6;
    return true;
}

static bool scan_string(struct scan *scan)
{
    scan->at++;
    for (;;) {
        scan->at += rh_json_plain_run(rh_bytes(scan->at, (size_t)(scan->end - scan->at)));
        switch (peek(scan)) {
        case '"':
            scan->at++;
            return true;
        case '\\':
            scan->at++;
            if (!scan_escape(scan)) {
                return false;
            }
            break;
        default:
            return fail(scan, scan->at == scan->end ? "string without end"
                                                    : "control character in a string");
        }
    }
}

/* At least one digit. */
static bool scan_digits(struct scan *scan)
{
    if (!is_digit(peek(scan))) {
        return fail(scan, "digit expected");
    }
    while (is_digit(peek(scan))) {
        scan->at++;
    }
    return true;
}

static bool scan_number(struct scan *scan)
{
    if (peek(scan) == '-') {
        scan->at++;
    }
    if (peek(scan) == '0') {
        scan->at++; /* and no further digit: that would be a leading zero */
    } else if (!scan_digits(scan)) {
        return false;
    }
    if (peek(scan) == '.') {
        scan->at++;
        if (!scan_digits(scan)) {
            return false;
        }
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-') {
            scan->at++;
        }
        return scan_digits(scan);
    }
    return true;
}

static bool scan_word(struct scan *scan, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0) {
        return fail(scan, "value expected");
    }
    scan->at += size;
    return true;
}

static bool in_object(const struct scan *scan)
{
    unsigned level = scan->depth - 1;
    return (scan->objects[level / 64] >> (level % 64) & 1) != 0;
}

/* What comes after a value that is complete. */
static void after_value(struct scan *scan)
{
    scan->expect = scan->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static bool open_container(struct scan *scan, bool object)
{
    if (scan->depth == scan->depth_max) {
        return fail(scan, NULL);
    }
    uint64_t bit = (uint64_t)1 << (scan->depth % 64);
    uint64_t *word = &scan->objects[scan->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    scan->depth++;
    scan->at++;
    scan->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return true;
}

static void close_container(struct scan *scan)
{
    scan->depth--;
    scan->at++;
    after_value(scan);
}

static bool scan_value(struct scan *scan)
{
    bool good;
    switch (peek(scan)) {
    case '{':
        return open_container(scan, true);
    case '[':
        return open_container(scan, false);
    case '"':
        good = scan_string(scan);
        break;
    case 't':
        good = scan_word(scan, "true");
        break;
    case 'f':
        good = scan_word(scan, "false");
        break;
    case 'n':
        good = scan_word(scan, "null");
        break;
    default:
        if (peek(scan) != '-' && !is_digit(peek(scan))) {
            return fail(scan, "value expected");
        }
        good = scan_number(scan);
        break;
    }
    after_value(scan);
    return good;
}

static bool scan_key(struct scan *scan)
{
    if (peek(scan) != '"') {
        return fail(scan, "key expected");
    }
    if (!scan_string(scan)) {
        return false;
    }
    scan->at = skip_blanks(scan->at, scan->end);
    if (peek(scan) != ':') {
        return fail(scan, "colon expected");
    }
    scan->at++;
    scan->expect = EXPECT_VALUE;
    return true;
}

static bool scan_comma_or_end(struct scan *scan)
{
    bool object = in_object(scan);
    if (peek(scan) == ',') {
        scan->at++;
        scan->expect = object ? EXPECT_KEY : EXPECT_VALUE;
        return true;
    }
    if (peek(scan) != (object ? '}' : ']')) {
        return fail(scan, "comma or closing bracket expected");
    }
    close_container(scan);
    return true;
}

static bool scan_token(struct scan *scan)
{
    switch (scan->expect) {
    case EXPECT_VALUE_OR_END:
        if (peek(scan) == ']') {
            close_container(scan);
            return true;
        }
        return scan_value(scan);
    case EXPECT_VALUE:
        return scan_value(scan);
    case EXPECT_KEY_OR_END:
        if (peek(scan) == '}') {
            close_container(scan);
            return true;
        }
        return scan_key(scan);
    case EXPECT_KEY:
        return scan_key(scan);
    case EXPECT_COMMA_OR_END:
        return scan_comma_or_end(scan);
    case EXPECT_NOTHING:
        break;
    }
    assert(false && "nothing is expected any more");
    return false;
}

static enum rh_json_type type_of(char first)
{
    switch (first) {
    case 'n':
        return RH_JSON_NULL;
    case 'f':
        return RH_JSON_FALSE;
    case 't':
        return RH_JSON_TRUE;
    case '"':
        return RH_JSON_STRING;
    case '[':
        return RH_JSON_ARRAY;
    case '{':
        return RH_JSON_OBJECT;
    default:
        return RH_JSON_NUMBER;
    }
}

int rh_json_check(struct rh_bytes text, unsigned depth_max, struct rh_json_value *ret_value,
                  struct rh_reason *reason)
{
    assert(depth_max <= RH_JSON_DEPTH_LIMIT);
    if (text.size == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "not JSON: empty");
    }
    if (!rh_bytes_is_utf8(text)) {
        return rh_fail(reason, RH_ERR_INVALID, "not JSON: not UTF-8");
    }
    struct scan scan = {.end = text.data + text.size, .depth_max = depth_max};
    const char *begin = skip_blanks(text.data, scan.end);
    scan.at = begin;
    while (scan.expect != EXPECT_NOTHING) {
        scan.at = skip_blanks(scan.at, scan.end);
        if (scan_token(&scan)) {
            continue;
        }
        if (scan.error == NULL) {
            return rh_fail(reason, RH_ERR_TOO_LARGE, "JSON nested deeper than %u", depth_max);
        }
        return rh_fail(reason, RH_ERR_INVALID, "not JSON at byte %zu: %s",
                       (size_t)(scan.at - text.data), scan.error);
    }
    const char *rest = skip_blanks(scan.at, scan.end);
    if (rest != scan.end) {
        return rh_fail(reason, RH_ERR_INVALID, "not JSON at byte %zu: something follows the value",
                       (size_t)(rest - text.data));
    }
    *ret_value = (struct rh_json_value){.type = type_of(*begin),
                                        .raw = rh_bytes(begin, (size_t)(scan.at - begin))};
    return 0;
}

/* ---- Walking: the text is known to be good, so these look for ends only. ---- */

/* Behind the string that begins at |at|. */
static const char *skip_string(const char *at, const char *end)
{
    at++;
    for (;;) {
        at += rh_json_plain_run(rh_bytes(at, (size_t)(end - at)));
        if (*at == '"') {
            return at + 1;
        }
        at += 2; /* the backslash and what it escapes */
    }
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
        } else if (depth == 0) {
            while (at < end && *at != ',' && *at != '}' && *at != ']' && !is_blank(*at)) {
                at++;
            }
            return at;
        }
        at++;
    } while (depth > 0);
    return at;
}

struct rh_json_cursor rh_json_members(struct rh_json_value object)
{
    assert(object.type == RH_JSON_OBJECT);
    return (struct rh_json_cursor){.rest = rh_bytes(object.raw.data + 1, object.raw.size - 2)};
}

bool rh_json_next(struct rh_json_cursor *cursor, struct rh_json_member *ret_member)
{
    const char *end = cursor->rest.data + cursor->rest.size;
    const char *key = skip_blanks(cursor->rest.data, end);
    if (key == end) {
        return false;
    }
    const char *key_end = skip_string(key, end);
    const char *value = skip_blanks(skip_blanks(key_end, end) + 1, end); /* 1: the colon */
    const char *value_end = skip_value(value, end);
    const char *next = skip_blanks(value_end, end);
    if (next < end) {
        next++; /* the comma */
    }
    cursor->rest = rh_bytes(next, (size_t)(end - next));
    ret_member->key = (struct rh_json_value){.type = RH_JSON_STRING,
                                             .raw = rh_bytes(key, (size_t)(key_end - key))};
    ret_member->value = (struct rh_json_value){.type = type_of(*value),
                                               .raw = rh_bytes(value, (size_t)(value_end - value))};
    return true;
}

/* ---- Strings and numbers ---- */

static size_t write_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Decodes the escape at |*at| (its backslash), moves |*at| behind it and returns the number of
 * bytes written, at most 4. */
static size_t decode_escape(const char **at, const char *end, char *out)
{
    static const char letters[] = "bfnrt";
    static const char controls[] = "\b\f\n\r\t";
    char letter = (*at)[1];
    *at += 2;
    if (letter != 'u') {
        const char *found = strchr(letters, letter);
        out[0] = found == NULL ? letter : controls[found - letters];
        return 1;
    }
    uint32_t code = (uint32_t)hex4(*at, end);
    *at += 4;
    if (is_high_surrogate((int32_t)code)) {
        uint32_t low = (uint32_t)hex4(*at + 2, end);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *at += 6;
    }
    return write_utf8(out, code);
}

/* What is between the quotes. */
static struct rh_bytes inside(struct rh_json_value string)
{
    assert(string.type == RH_JSON_STRING);
    return rh_bytes(string.raw.data + 1, string.raw.size - 2);
}

bool rh_json_string_equal(struct rh_json_value string, const char *text)
{
    struct rh_bytes raw = inside(string);
    const char *at = raw.data;
    const char *end = at + raw.size;
    size_t left = strlen(text);
    if (memchr(at, '\\', raw.size) == NULL) {
        return raw.size == left && memcmp(at, text, left) == 0;
    }
    while (at < end) {
        char decoded[4];
        size_t size = 1;
        if (*at == '\\') {
            size = decode_escape(&at, end, decoded);
        } else {
            decoded[0] = *at++;
        }
        if (size > left || memcmp(decoded, text, size) != 0) {
            return false;
        }
        text += size;
        left -= size;
    }
    return left == 0;
}

int rh_json_string_decode(struct rh_json_value string, struct rh_buffer *scratch,
                          struct rh_bytes *ret_text)
{
    struct rh_bytes raw = inside(string);
    const char *at = raw.data;
    const char *end = at + raw.size;
    const char *escape = memchr(at, '\\', raw.size);
    if (escape == NULL) {
        *ret_text = raw;
        return 0;
    }
    char *out = rh_buffer_reserve(scratch, raw.size);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    size_t size = 0;
    while (escape != NULL) {
        size_t run = (size_t)(escape - at);
        memcpy(out + size, at, run);
        size += run;
        at = escape;
        size += decode_escape(&at, end, out + size);
        escape = memchr(at, '\\', (size_t)(end - at));
    }
    memcpy(out + size, at, (size_t)(end - at));
    size += (size_t)(end - at);
    rh_buffer_commit(scratch, size);
    *ret_text = rh_bytes(out, size);
    return 0;
}

int rh_json_integer(struct rh_json_value value, uint64_t max, uint64_t *ret_integer)
{
    return value.type == RH_JSON_NUMBER ? rh_bytes_to_u64(value.raw, max, ret_integer)
                                        : RH_ERR_INVALID;
}
