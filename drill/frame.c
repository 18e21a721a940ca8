/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/frame.h"

#include <assert.h>

#define FINAL    0x80U
#define RESERVED 0x70U
#define MASKED   0x80U

static uint64_t read_number(const unsigned char *at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

static bool is_known(unsigned opcode)
{
    return opcode == RH_WEBSOCKET_TEXT || opcode == RH_WEBSOCKET_BINARY ||
           opcode == RH_WEBSOCKET_CLOSE || opcode == RH_WEBSOCKET_PING ||
           opcode == RH_WEBSOCKET_PONG;
}

int rh_frame_read(struct rh_bytes input, size_t payload_size_max, struct rh_frame *ret_frame,
                  size_t *ret_size)
{
    const unsigned char *at = (const unsigned char *)input.data;
    if (input.size < 2) {
        return RH_ERR_AGAIN;
    }
    unsigned opcode = at[0] & 0x0fU;
    if ((at[0] & (FINAL | RESERVED)) != FINAL || (at[1] & MASKED) != 0 || !is_known(opcode)) {
        return RH_ERR_INVALID;
    }
    uint64_t size = at[1];
    size_t header_size = size == 126 ? 4 : size == 127 ? 10 : 2;
    if (input.size < header_size) {
        return RH_ERR_AGAIN;
    }
    if (header_size > 2) {
        size = read_number(at + 2, header_size - 2);
    }
    if (size > payload_size_max) {
        return RH_ERR_TOO_LARGE;
    }
    if (input.size - header_size < size) {
        return RH_ERR_AGAIN;
    }
    ret_frame->opcode = (enum rh_websocket_opcode)opcode;
    ret_frame->payload = rh_bytes(input.data + header_size, size);
    *ret_size = header_size + size;
    return 0;
}

int rh_frame_append(struct rh_buffer *output, enum rh_websocket_opcode opcode,
                    struct rh_bytes payload, uint32_t mask)
{
    assert(payload.size <= RH_WEBSOCKET_CONTROL_SIZE_MAX);
    unsigned char frame[6 + RH_WEBSOCKET_CONTROL_SIZE_MAX];
    frame[0] = (unsigned char)(FINAL | (unsigned)opcode);
    frame[1] = (unsigned char)(MASKED | payload.size);
    memcpy(frame + 2, &mask, sizeof(mask));
    for (size_t i = 0; i < payload.size; i++) {
        frame[6 + i] = (unsigned char)payload.data[i] ^ frame[2 + i % 4];
    }
    return rh_buffer_append(output, frame, 6 + payload.size);
}

uint16_t rh_frame_close_code(const struct rh_frame *frame)
{
    if (frame->payload.size < 2) {
        return RH_WEBSOCKET_CODE_NONE;
    }
    return (uint16_t)read_number((const unsigned char *)frame->payload.data, 2);
}
