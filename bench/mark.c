/* SPDX-License-Identifier: Apache-2.0 */
#include "mark.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void load_mark_write(char out[LOAD_MARK_SIZE], uint32_t number)
{
    out[0] = '@';
    out[1] = '#';
    for (size_t i = LOAD_MARK_SIZE; i > 2; i--) {
        out[i - 1] = digits[number & 0xFU];
        number >>= 4;
    }
}

bool load_mark_next(const char **bytes, size_t *size, uint32_t *ret_number)
{
    const char *found = memmem(*bytes, *size, "@#", 2);
    if (found == NULL || (size_t)(*bytes + *size - found) < LOAD_MARK_SIZE) {
        return false;
    }
    uint32_t number = 0;
    for (size_t i = 2; i < LOAD_MARK_SIZE; i++) {
        const char digit = found[i];
        number = number << 4 | (uint32_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    *size -= (size_t)(found + LOAD_MARK_SIZE - *bytes);
    *bytes = found + LOAD_MARK_SIZE;
    *ret_number = number;
    return true;
}
