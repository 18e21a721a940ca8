/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_RING_HASH_H
#define RH_RING_HASH_H

/*
 * The one hash of the ring, XXH3-64, compiled into the caller: a call through the shared libxxhash
 * would cost as much as the hash itself.
 */

#define XXH_INLINE_ALL
#include <xxhash.h>

#endif
