/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/identity.h"

static bool id_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool rh_node_id_valid(struct rh_bytes text)
{
    if (text.size == 0 || text.size >= RH_NODE_ID_SIZE) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!id_character(text.data[i])) {
            return false;
        }
    }
    return true;
}
