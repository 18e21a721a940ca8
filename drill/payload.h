/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PAYLOAD_H
#define RH_DRILL_PAYLOAD_H

/* What a drill publishes: text that names the message, `channel:number `, and is filled up. Pure. */

#include "base/buffer.h"

/* Appends the payload of a message, |size| bytes, at least 32. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_payload_append(struct rh_buffer *output, uint32_t channel, uint32_t number,
                                    size_t size);

/* The number of a message of that channel. RH_ERR_INVALID: it is not what was published there. */
RH_MUST_CHECK int rh_payload_read(struct rh_bytes payload, uint32_t channel, size_t size,
                                  uint32_t *ret_number);

#endif
