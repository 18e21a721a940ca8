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
static size_t utf8_sequence(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
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

bool rh_bytes_is_utf8(struct rh_bytes bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    size_t left = bytes.size;
    while (left > 0) {
        if (*at < 0x80) {
            at++;
            left--;
            continue;
        }
        unsigned char low;
        unsigned char high;
        size_t length = utf8_sequence(*at, &low, &high);
        if (length == 0 || length > left || at[1] < low || at[1] > high) {
            return false;
        }
        for (size_t i = 2; i < length; i++) {
            if (at[i] < 0x80 || at[i] > 0xbf) {
                return false;
            }
        }
        at += length;
        left -= length;
    }
    return true;
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
