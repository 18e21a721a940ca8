/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool rh_bytes_equal_nocase(struct rh_bytes a, struct rh_bytes b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* Length of the sequence that |lead| begins and the allowed range of its second byte
 * (RFC 3629, 4); 0 for a byte that begins none. */
static uint8_t utf8_sequence(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *ret_low = lead == 0xe0 ? 0xa0 : 0x80;
        *ret_high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *ret_low = lead == 0xf0 ? 0x90 : 0x80;
        *ret_high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

/* How many bytes of |text| from its start are ASCII, found eight at a time: a lower bound. */
static size_t ascii_prefix(const unsigned char *text, size_t size)
{
    size_t at = 0;
    while (size - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof(word));
        if ((word & 0x8080808080808080U) != 0) {
            break;
        }
        at += sizeof(word);
    }
    return at;
}

/* An empty range for the next byte marks a text that is broken for ever. */
static bool utf8_break(struct rh_utf8 *utf8)
{
    *utf8 = (struct rh_utf8){.left = 1, .low = 0xff, .high = 0};
    return false;
}

bool rh_utf8_feed(struct rh_utf8 *utf8, struct rh_bytes piece)
{
    const unsigned char *text = (const unsigned char *)piece.data;
    size_t at = 0;
    if (utf8->low > utf8->high) {
        return false;
    }
    while (at < piece.size) {
        uint8_t c = text[at];
        if (utf8->left > 0) {
            if (c < utf8->low || c > utf8->high) {
                return utf8_break(utf8);
            }
            utf8->left--;
            utf8->low = 0x80;
            utf8->high = 0xbf;
            at++;
        } else if (c < 0x80) {
            size_t ascii = ascii_prefix(text + at, piece.size - at);
            at += ascii > 0 ? ascii : 1;
        } else {
            uint8_t length = utf8_sequence(c, &utf8->low, &utf8->high);
            if (length == 0) {
                return utf8_break(utf8);
            }
            utf8->left = (uint8_t)(length - 1);
            at++;
        }
    }
    return true;
}

bool rh_bytes_is_utf8(struct rh_bytes bytes)
{
    struct rh_utf8 utf8 = {0};
    return rh_utf8_feed(&utf8, bytes) && rh_utf8_complete(&utf8);
}

int rh_bytes_to_u64(struct rh_bytes bytes, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (bytes.size == 0) {
        return RH_ERR_INVALID;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        char c = bytes.data[i];
        if (c < '0' || c > '9') {
            return RH_ERR_INVALID;
        }
        uint64_t digit = (uint64_t)(c - '0');
        if (digit > max || value > (max - digit) / 10) {
            return RH_ERR_INVALID;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    unsigned char l = lower(c);
    if (l >= 'a' && l <= 'f') {
        return l - 'a' + 10;
    }
    return -1;
}

int rh_bytes_to_id64(struct rh_bytes bytes, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (bytes.size != RH_ID64_SIZE - 1) {
        return RH_ERR_INVALID;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        int digit = hex_digit(bytes.data[i]);
        if (digit < 0) {
            return RH_ERR_INVALID;
        }
        value = value << 4 | (uint64_t)digit;
    }
    *ret_value = value;
    return 0;
}

void rh_id64_format(uint64_t value, char out[static RH_ID64_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < RH_ID64_SIZE - 1; i++) {
        out[i] = digits[(value >> (60 - 4 * i)) & 15];
    }
    out[RH_ID64_SIZE - 1] = '\0';
}
