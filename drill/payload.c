/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/payload.h"

#include <assert.h>
#include <stdio.h>

#define NAME_SIZE 32 /* with terminator: two numbers, a colon and a blank */
#define FILL      'x'

int rh_payload_append(struct rh_buffer *output, uint32_t channel, uint32_t number, size_t size)
{
    char name[NAME_SIZE];
    int length = snprintf(name, sizeof(name), "%u:%u ", (unsigned)channel, (unsigned)number);
    assert(length > 0 && (size_t)length <= size);
    char *room = rh_buffer_reserve(output, size);
    if (room == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    memset(room, FILL, size);
    memcpy(room, name, (size_t)length);
    rh_buffer_commit(output, size);
    return 0;
}

/* A number at the start of |payload| that ends with |end|; both are cut off. */
static int read_number(struct rh_bytes *payload, char end, uint32_t *ret_number)
{
    const char *at = payload->size == 0 ? NULL : memchr(payload->data, end, payload->size);
    uint64_t number = 0;
    if (at == NULL || rh_bytes_to_u64(rh_bytes(payload->data, (size_t)(at - payload->data)),
                                      UINT32_MAX, &number) != 0) {
        return RH_ERR_INVALID;
    }
    *payload = rh_bytes(at + 1, payload->size - (size_t)(at - payload->data) - 1);
    *ret_number = (uint32_t)number;
    return 0;
}

int rh_payload_read(struct rh_bytes payload, uint32_t channel, size_t size, uint32_t *ret_number)
{
    uint32_t named = 0;
    uint32_t number = 0;
    struct rh_bytes rest = payload;
    if (payload.size != size || read_number(&rest, ':', &named) != 0 ||
        read_number(&rest, ' ', &number) != 0 || named != channel) {
        return RH_ERR_INVALID;
    }
    for (size_t i = 0; i < rest.size; i++) {
        if (rest.data[i] != FILL) {
            return RH_ERR_INVALID;
        }
    }
    *ret_number = number;
    return 0;
}
