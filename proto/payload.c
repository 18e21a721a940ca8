/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/payload.h"

/* 1 to |size_max| bytes of UTF-8 without control characters. */
static bool is_name(struct rh_bytes text, size_t size_max)
{
    if (text.size == 0 || text.size > size_max || !rh_bytes_is_utf8(text)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        /* C1 controls are U+0080 to U+009F: 0xc2 followed by 0x80 to 0x9f. */
        bool c1 = c == 0xc2 && (unsigned char)text.data[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1) {
            return false;
        }
    }
    return true;
}

bool rh_key_valid(struct rh_bytes key)
{
    return is_name(key, RH_KEY_SIZE_MAX);
}

bool rh_client_id_valid(struct rh_bytes client)
{
    return is_name(client, RH_CLIENT_ID_SIZE_MAX);
}

static bool is_printable_ascii(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

bool rh_message_id_valid(struct rh_bytes id)
{
    return id.size > 0 && id.size <= RH_MESSAGE_ID_SIZE_MAX && is_printable_ascii(id);
}

bool rh_content_type_valid(struct rh_bytes text)
{
    return text.size <= RH_CONTENT_TYPE_SIZE_MAX && is_printable_ascii(text);
}
