/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/znode_json.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdlib.h>

/* Reading. */

int rh_znode_load(struct rh_bytes data, size_t size_max, json_t **ret_object,
                  struct rh_reason *reason)
{
    if (data.size > size_max) {
        return rh_fail(reason, RH_ERR_INVALID, "%zu bytes are more than %zu", data.size, size_max);
    }
    json_error_t error;
    json_t *object =
        json_loadb(data.data == NULL ? "" : data.data, data.size, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        /* jansson sets the code in some of its out-of-memory paths and says nothing in others. */
        if (json_error_code(&error) == json_error_out_of_memory || error.text[0] == '\0') {
            return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
        }
        return rh_fail(reason, RH_ERR_INVALID, "not JSON: %s at byte %d", error.text,
                       error.position);
    }
    if (!json_is_object(object)) {
        json_decref(object);
        return rh_fail(reason, RH_ERR_INVALID, "not a JSON object");
    }
    *ret_object = object;
    return 0;
}

int rh_znode_read_text(const json_t *object, const char *field, bool optional, char *ret_text,
                       size_t size, struct rh_reason *reason)
{
    const json_t *value = json_object_get(object, field);
    if (value == NULL && optional) {
        ret_text[0] = '\0';
        return 0;
    }
    if (value == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: missing", field);
    }
    if (!json_is_string(value)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not a string", field);
    }
    size_t length = json_string_length(value);
    if (length >= size) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: longer than %zu bytes", field, size - 1);
    }
    const char *text = json_string_value(value);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return rh_fail(reason, RH_ERR_INVALID, "%s: has a control character", field);
        }
    }
    memcpy(ret_text, text, length + 1);
    return 0;
}

int rh_znode_read_integer(const json_t *object, const char *field, bool optional, uint64_t min,
                          uint64_t max, uint64_t *ret_value, struct rh_reason *reason)
{
    const json_t *value = json_object_get(object, field);
    if (value == NULL && optional) {
        *ret_value = 0;
        return 0;
    }
    if (value == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: missing", field);
    }
    if (!json_is_integer(value)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not an integer", field);
    }
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number < min || (uint64_t)number > max) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: %" JSON_INTEGER_FORMAT " is not within %" PRIu64 " to %" PRIu64, field,
                       number, min, max);
    }
    *ret_value = (uint64_t)number;
    return 0;
}

int rh_znode_read_u32(const json_t *object, const char *field, uint32_t max, uint32_t *ret_value,
                      struct rh_reason *reason)
{
    uint64_t value = 0;
    int rv = rh_znode_read_integer(object, field, false, 1, max, &value, reason);
    if (rv == 0) {
        *ret_value = (uint32_t)value;
    }
    return rv;
}

int rh_znode_read_id64(const json_t *object, const char *field, uint64_t *ret_value,
                       struct rh_reason *reason)
{
    char text[RH_ID64_SIZE];
    int rv = rh_znode_read_text(object, field, false, text, sizeof(text), reason);
    if (rv != 0) {
        return rv;
    }
    uint64_t value = 0;
    rv = rh_bytes_to_id64(rh_bytes_text(text), &value);
    if (rv != 0) {
        return rh_fail(reason, rv, "%s: \"%s\" is not 16 hex digits", field, text);
    }
    *ret_value = value;
    return 0;
}

int rh_znode_read_instance(const json_t *object, uint64_t *ret_instance, struct rh_reason *reason)
{
    uint64_t instance = 0;
    int rv = rh_znode_read_id64(object, "instance", &instance, reason);
    if (rv != 0) {
        return rv;
    }
    if (instance == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "instance: is 0");
    }
    *ret_instance = instance;
    return 0;
}

bool rh_znode_is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strpbrk(text, " /@?#\"\\") != NULL) {
        return false;
    }
    if (text[0] == '[') {
        if (colon[-1] != ']' || colon - text < 4) {
            return false;
        }
    } else if (memchr(text, ':', (size_t)(colon - text)) != NULL) {
        return false;
    }
    uint64_t port = 0;
    return rh_bytes_to_u64(rh_bytes_text(colon + 1), UINT16_MAX, &port) == 0 && port > 0;
}

int rh_znode_read_address(const json_t *object, const char *field, bool optional,
                          char ret_text[static RH_ADDRESS_SIZE], struct rh_reason *reason)
{
    int rv = rh_znode_read_text(object, field, optional, ret_text, RH_ADDRESS_SIZE, reason);
    if (rv != 0 || (optional && ret_text[0] == '\0')) {
        return rv;
    }
    if (!rh_znode_is_address(ret_text)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: \"%s\" is not host:port", field, ret_text);
    }
    return 0;
}

int rh_znode_read_node_id(const json_t *object, char ret_id[static RH_NODE_ID_SIZE],
                          struct rh_reason *reason)
{
    int rv = rh_znode_read_text(object, "id", false, ret_id, RH_NODE_ID_SIZE, reason);
    if (rv == 0 && !rh_node_id_valid(rh_bytes_text(ret_id))) {
        return rh_fail(reason, RH_ERR_INVALID, "id: \"%s\" is not a node id", ret_id);
    }
    return rv;
}

int rh_znode_read_origin(const json_t *object, const char *id, bool optional,
                         char ret_name[static RH_REGISTRATION_NAME_SIZE], struct rh_reason *reason)
{
    int rv =
        rh_znode_read_text(object, "origin", optional, ret_name, RH_REGISTRATION_NAME_SIZE, reason);
    if (rv != 0 || (optional && ret_name[0] == '\0')) {
        return rv;
    }
    if (!rh_registration_name_valid(ret_name, id)) {
        return rh_fail(reason, RH_ERR_INVALID, "origin: \"%s\" is not a registration of %s",
                       ret_name, id);
    }
    return 0;
}

/* Writing. */

json_t *rh_znode_id64_value(uint64_t value)
{
    char text[RH_ID64_SIZE];
    rh_id64_format(value, text);
    return json_string(text);
}

json_t *rh_znode_text_value(const char *text)
{
    size_t length = strlen(text);
    while (!rh_bytes_is_utf8(rh_bytes(text, length))) {
        length--;
    }
    return json_stringn(text, length);
}

char *rh_znode_dump(json_t *object, int rv)
{
    char *text = rv == 0 ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(object);
    return text;
}
