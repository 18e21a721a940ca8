/* SPDX-License-Identifier: Apache-2.0 */
#include "router/base64.h"

#include <assert.h>
#include <openssl/evp.h>

/* OpenSSL counts in int: long texts go through it in pieces of this many groups. */
#define PIECE_GROUPS ((size_t)1 << 20)

size_t rh_base64_size(size_t size)
{
    return (size / 3 + (size % 3 != 0)) * 4;
}

char *rh_base64_write(char *out, struct rh_bytes bytes)
{
    while (bytes.size > 0) {
        size_t size = bytes.size;
        if (size > PIECE_GROUPS * 3) {
            size = PIECE_GROUPS * 3;
        }
        int written =
            EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)bytes.data, (int)size);
        assert((size_t)written == rh_base64_size(size));
        out += written;
        bytes = rh_bytes(bytes.data + size, bytes.size - size);
    }
    return out;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* OpenSSL itself would skip blanks. */
static bool base64_valid(struct rh_bytes text, size_t *ret_padding)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=') {
        padding++;
    }
    for (size_t i = 0; i < text.size - padding; i++) {
        if (!is_base64(text.data[i])) {
            return false;
        }
    }
    *ret_padding = padding;
    return text.size % 4 == 0;
}

int rh_base64_decode(struct rh_bytes text, char *out, size_t *ret_size)
{
    size_t padding;
    if (!base64_valid(text, &padding)) {
        return RH_ERR_INVALID;
    }
    size_t decoded = text.size / 4 * 3 - padding;
    while (text.size > 0) {
        size_t size = text.size;
        if (size > PIECE_GROUPS * 4) {
            size = PIECE_GROUPS * 4;
        }
        int written =
            EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text.data, (int)size);
        assert((size_t)written == size / 4 * 3);
        out += written;
        text = rh_bytes(text.data + size, text.size - size);
    }
    *ret_size = decoded;
    return 0;
}
