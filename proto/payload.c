/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/payload.h"

bool rh_key_valid(struct rh_bytes key)
{
    if (key.size == 0 || key.size > RH_KEY_SIZE_MAX || !rh_bytes_is_utf8(key)) {
        return false;
    }
    for (size_t i = 0; i < key.size; i++) {
        unsigned char c = (unsigned char)key.data[i];
        /* C1 controls are U+0080 to U+009F: 0xc2 followed by 0x80 to 0x9f. */
        bool c1 = c == 0xc2 && (unsigned char)key.data[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1) {
            return false;
        }
    }
    return true;
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
