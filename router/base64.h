/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_ROUTER_BASE64_H
#define RH_ROUTER_BASE64_H

/* base64 as in RFC 4648, 4: padded, one line. Strict when reading. */

#include "base/bytes.h"

/* Characters for |size| bytes. */
size_t rh_base64_size(size_t size);

/* Writes rh_base64_size() characters *and a terminator behind them*; returns the terminator's
 * place. */
char *rh_base64_write(char *out, struct rh_bytes bytes);

/* Decodes to |out|, which has room for 3 bytes per 4 characters, and says how many they were.
 * RH_ERR_INVALID: another character, or not padded to groups of four; |out| is untouched. */
RH_MUST_CHECK int rh_base64_decode(struct rh_bytes text, char *out, size_t *ret_size);

#endif
