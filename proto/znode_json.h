/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_ZNODE_JSON_H
#define RH_PROTO_ZNODE_JSON_H

/*
 * What the codecs of znodes share: one JSON object, and a reason that names the field in which it
 * is wrong. For registration.c and shared_config.c only.
 */

#include "proto/registration.h"

#include <jansson.h>

/* |*ret_object| is the caller's. RH_ERR_INVALID, RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_znode_load(struct rh_bytes data, size_t size_max, json_t **ret_object,
                                struct rh_reason *reason);

/* Each reads one field. RH_ERR_INVALID with a reason. */

/* A string of at most |size| - 1 bytes. A missing optional field becomes "". */
RH_MUST_CHECK int rh_znode_read_text(const json_t *object, const char *field, bool optional,
                                     char *ret_text, size_t size, struct rh_reason *reason);
/* A missing optional field becomes 0. */
RH_MUST_CHECK int rh_znode_read_integer(const json_t *object, const char *field, bool optional,
                                        uint64_t min, uint64_t max, uint64_t *ret_value,
                                        struct rh_reason *reason);
/* From 1. */
RH_MUST_CHECK int rh_znode_read_u32(const json_t *object, const char *field, uint32_t max,
                                    uint32_t *ret_value, struct rh_reason *reason);
RH_MUST_CHECK int rh_znode_read_id64(const json_t *object, const char *field, uint64_t *ret_value,
                                     struct rh_reason *reason);
/* "instance", which is not 0. */
RH_MUST_CHECK int rh_znode_read_instance(const json_t *object, uint64_t *ret_instance,
                                         struct rh_reason *reason);
/* Whether |text| is "host:port" or "[v6]:port". */
bool rh_znode_is_address(const char *text);
RH_MUST_CHECK int rh_znode_read_address(const json_t *object, const char *field, bool optional,
                                        char ret_text[static RH_ADDRESS_SIZE],
                                        struct rh_reason *reason);
RH_MUST_CHECK int rh_znode_read_node_id(const json_t *object, char ret_id[static RH_NODE_ID_SIZE],
                                        struct rh_reason *reason);
/* The name of a registration of |id|. */
RH_MUST_CHECK int rh_znode_read_origin(const json_t *object, const char *id, bool optional,
                                       char ret_name[static RH_REGISTRATION_NAME_SIZE],
                                       struct rh_reason *reason);

/* Writing. jansson's setters take NULL for a value and then fail, so one check at the end of a
 * chain is enough. */
json_t *rh_znode_id64_value(uint64_t value);
/* |text| up to where it stops being UTF-8: a reason may have been cut within a character. */
json_t *rh_znode_text_value(const char *text);

/* Fields in the order in which they were set, so that equal values give equal bytes. Seven digits
 * hold every weight exactly. Takes |object|; NULL if |rv| is not 0, or out of memory. */
char *rh_znode_dump(json_t *object, int rv);

#endif
