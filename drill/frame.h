/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_FRAME_H
#define RH_DRILL_FRAME_H

/*
 * WebSocket frames (RFC 6455, 5) as a client of ours sees them, without any memory of their own: a
 * hundred thousand clients cannot each have a context of 9 KiB. It reads what ringhop's nodes send,
 * whole messages in one frame; a fragmented message is refused. Pure. The side of the nodes is
 * router/websocket.h.
 */

#include "base/buffer.h"
#include "router/websocket.h"

struct rh_frame {
    enum rh_websocket_opcode opcode;
    struct rh_bytes payload; /* a slice of what was read */
};

/*
 * Reads the frame at the start of |input|. |ret_size|: how many bytes it takes.
 * RH_ERR_AGAIN: it is not complete. RH_ERR_INVALID: fragmented, masked, reserved bits, or an opcode
 * that nobody knows. RH_ERR_TOO_LARGE: above |payload_size_max|, as soon as announced.
 */
RH_MUST_CHECK int rh_frame_read(struct rh_bytes input, size_t payload_size_max,
                                struct rh_frame *ret_frame, size_t *ret_size);

/* Appends a frame with at most RH_WEBSOCKET_CONTROL_SIZE_MAX bytes of payload, masked with |mask|
 * (RFC 6455, 5.3). RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_frame_append(struct rh_buffer *output, enum rh_websocket_opcode opcode,
                                  struct rh_bytes payload, uint32_t mask);

/* The code of a close frame, RH_WEBSOCKET_CODE_NONE if it has none. */
uint16_t rh_frame_close_code(const struct rh_frame *frame);

#endif
