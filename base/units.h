/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_UNITS_H
#define RH_BASE_UNITS_H

/*
 * Amounts with units, as people write them in the config and on the command line:
 * durations `250ms 4s 5m 1h`, sizes `512B 64KiB 1MiB 2GiB`. A number without a unit is refused,
 * but for a plain 0. Weights are decimal numbers with at most three digits after the point.
 */

#include "base/bytes.h"

/* RH_ERR_INVALID: not of that form, or greater than UINT32_MAX milliseconds. */
RH_MUST_CHECK int rh_duration_parse(struct rh_bytes text, uint32_t *ret_duration_ms);

/* RH_ERR_INVALID: not of that form, or greater than INT64_MAX bytes. */
RH_MUST_CHECK int rh_size_parse(struct rh_bytes text, uint64_t *ret_size);

#define RH_WEIGHT_ONE 1000U
#define RH_WEIGHT_MAX (1000U * RH_WEIGHT_ONE)

/* "1", "0.5", "2.125", in thousandths. RH_ERR_INVALID: not of that form, or above 1000. */
RH_MUST_CHECK int rh_weight_parse(struct rh_bytes text, uint32_t *ret_weight_milli);

#define RH_WEIGHT_TEXT_SIZE 16

/* The shortest form that rh_weight_parse() reads back: also a JSON number. */
void rh_weight_format(uint32_t weight_milli, char out[static RH_WEIGHT_TEXT_SIZE]);

#endif
