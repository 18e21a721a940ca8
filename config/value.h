/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CONFIG_VALUE_H
#define RH_CONFIG_VALUE_H

/*
 * Values of config fields: what a text may be, how it becomes a number, and the sentence for a
 * person when it is not acceptable. Pure.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_VALUE_MESSAGE_SIZE 192

/* A sentence about a value, without the place where it stands. */
struct rh_value_message {
    char text[RH_VALUE_MESSAGE_SIZE];
};

enum rh_value_kind {
    RH_VALUE_COUNT,    /* whole number, in a uint32_t */
    RH_VALUE_NUMBER,   /* whole number, in a uint64_t */
    RH_VALUE_DURATION, /* `4s`, in a uint32_t of milliseconds */
    RH_VALUE_SIZE,     /* `64KiB`, in a uint64_t of bytes */
    RH_VALUE_SIZE_32,  /* `16KiB`, in a uint32_t of bytes */
    RH_VALUE_WEIGHT,   /* `1.5`, in a uint32_t of thousandths */
};

/*
 * Reads |text| as a value from |min| to |max| (in the unit that is stored) into |ret_value|.
 * RH_ERR_INVALID: |message| names the form and the range that are expected.
 */
RH_MUST_CHECK int rh_value_parse(enum rh_value_kind kind, const char *text, uint64_t min,
                                 uint64_t max, uint64_t *ret_value,
                                 struct rh_value_message *message);

/* Checks of texts: 0, or RH_ERR_INVALID and a |message|. */
typedef int rh_value_check(const char *text, struct rh_value_message *message);

rh_value_check rh_value_check_name;      /* [A-Za-z0-9_-]{1,64} */
rh_value_check rh_value_check_route;     /* redirect or relay */
rh_value_check rh_value_check_zone;      /* up to 64 bytes of [A-Za-z0-9._-] */
rh_value_check rh_value_check_address;   /* host:port or [v6]:port */
rh_value_check rh_value_check_reachable; /* the same, and no wildcard like 0.0.0.0 */
rh_value_check rh_value_check_url;       /* ws:// or wss:// and what is reachable, no path */
rh_value_check rh_value_check_servers;   /* reachable addresses with commas between them */

/* Whether |host|, as rh_address_split() gives it, stands for all addresses of a machine. */
bool rh_host_is_wildcard(const char *host);

#endif
