/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_JSON_WRITE_H
#define RH_ROUTER_JSON_WRITE_H

/*
 * Writing JSON strings. Texts are UTF-8 already; what RFC 8259 demands is escaped, and nothing else.
 */

#include "base/buffer.h"

#include <stddef.h>

/* Length of the run of bytes at the start of |text| that stand for themselves in a JSON string: it
 * ends at a quote, a backslash or a control character. */
size_t rh_json_plain_run(struct rh_bytes text);

/* Bytes of |text| as a JSON string, quotes included. */
size_t rh_json_string_size(struct rh_bytes text);

/* Writes the string, exactly rh_json_string_size() bytes, and returns the place after it. */
char *rh_json_string_write(char *out, struct rh_bytes text);

/* Appends the string. RH_ERR_NO_MEMORY: nothing was appended. */
RH_MUST_CHECK int rh_json_append_string(struct rh_buffer *buffer, struct rh_bytes text);

#endif
