/* SPDX-License-Identifier: Apache-2.0 */
#include "router/json_write.h"

/* The letter after the backslash for a byte that must be escaped, 'u' for the long form, 0 for a
 * byte that stands for itself (RFC 8259, 7). */
static char escape_letter(unsigned char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

#define EACH_BYTE(byte) (UINT64_MAX / 255 * (byte))

/* Whether a byte of |word| is below |limit| (at most 0x80). The carry of such a byte may reach
 * those above it, so the answer is about the word as a whole. */
static bool any_below(uint64_t word, uint64_t limit)
{
    return ((word - EACH_BYTE(limit)) & ~word & EACH_BYTE(0x80)) != 0;
}

/* Whether a byte of |word| is |byte|. */
static bool any_equal(uint64_t word, uint64_t byte)
{
    return any_below(word ^ EACH_BYTE(byte), 1);
}

size_t rh_json_plain_run(struct rh_bytes text)
{
    size_t size = 0;
    while (text.size - size >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text.data + size, sizeof(word));
        if (any_below(word, 0x20) || any_equal(word, '"') || any_equal(word, '\\')) {
            break;
        }
        size += sizeof(word);
    }
    while (size < text.size) {
        unsigned char c = (unsigned char)text.data[size];
        if (c < 0x20 || c == '"' || c == '\\') {
            break;
        }
        size++;
    }
    return size;
}

size_t rh_json_string_size(struct rh_bytes text)
{
    size_t size = 2;
    while (text.size > 0) {
        size_t run = rh_json_plain_run(text);
        size += run;
        text = rh_bytes(text.data + run, text.size - run);
        if (text.size > 0) {
            size += escape_letter((unsigned char)text.data[0]) == 'u' ? 6 : 2;
            text = rh_bytes(text.data + 1, text.size - 1);
        }
    }
    return size;
}

static char *write_escape(char *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char letter = escape_letter(c);
    *out++ = '\\';
    *out++ = letter;
    if (letter == 'u') {
        *out++ = '0';
        *out++ = '0';
        *out++ = digits[c >> 4];
        *out++ = digits[c & 15];
    }
    return out;
}

char *rh_json_string_write(char *out, struct rh_bytes text)
{
    *out++ = '"';
    while (text.size > 0) {
        size_t run = rh_json_plain_run(text);
        memcpy(out, text.data, run);
        out += run;
        text = rh_bytes(text.data + run, text.size - run);
        if (text.size > 0) {
            out = write_escape(out, (unsigned char)text.data[0]);
            text = rh_bytes(text.data + 1, text.size - 1);
        }
    }
    *out++ = '"';
    return out;
}

int rh_json_append_string(struct rh_buffer *buffer, struct rh_bytes text)
{
    size_t size = rh_json_string_size(text);
    char *out = rh_buffer_reserve(buffer, size);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    (void)rh_json_string_write(out, text);
    rh_buffer_commit(buffer, size);
    return 0;
}
