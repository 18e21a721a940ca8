/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/registration.h"

#include "base/units.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* A znode of ours has a few hundred bytes; a parse tree is much larger than its text. */
#define DATA_SIZE_MAX (64U * 1024U)

/* Those of the ring (docs/ring.md), which this layer does not know. */
#define VNODES_MAX   65536U
#define REPLICAS_MAX 16U

static const char *const kind_names[] = {
    [RH_REQUEST_DRAIN] = "drain", [RH_REQUEST_JOIN] = "join", [RH_REQUEST_WEIGHT] = "weight"};

static const char *const state_names[] = {[RH_REQUEST_ASKED] = "asked",
                                          [RH_REQUEST_WORKING] = "working",
                                          [RH_REQUEST_DONE] = "done",
                                          [RH_REQUEST_FAILED] = "failed"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *rh_request_kind_name(enum rh_request_kind kind)
{
    return kind_names[kind];
}

const char *rh_request_state_name(enum rh_request_state state)
{
    return state_names[state];
}

/* Reading: one object and what is wrong with it. */

static int load(struct rh_bytes data, json_t **ret_object, struct rh_reason *reason)
{
    if (data.size > DATA_SIZE_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "%zu bytes are more than %u", data.size,
                       DATA_SIZE_MAX);
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

/* Copies a string field of at most |size| - 1 bytes. A missing optional field becomes "". */
static int read_text(const json_t *object, const char *field, bool optional, char *ret_text,
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

static int read_integer(const json_t *object, const char *field, bool optional, uint64_t min,
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

static int read_u32(const json_t *object, const char *field, uint32_t max, uint32_t *ret_value,
                    struct rh_reason *reason)
{
    uint64_t value = 0;
    int rv = read_integer(object, field, false, 1, max, &value, reason);
    if (rv == 0) {
        *ret_value = (uint32_t)value;
    }
    return rv;
}

static int read_id64(const json_t *object, const char *field, uint64_t *ret_value,
                     struct rh_reason *reason)
{
    char text[RH_ID64_SIZE];
    int rv = read_text(object, field, false, text, sizeof(text), reason);
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

/* A weight is a JSON number with at most three digits after the point. */
static int read_weight(const json_t *object, uint32_t *ret_weight_milli, struct rh_reason *reason)
{
    const json_t *value = json_object_get(object, "weight");
    if (value == NULL) {
        return rh_fail(reason, RH_ERR_INVALID, "weight: missing");
    }
    if (!json_is_number(value)) {
        return rh_fail(reason, RH_ERR_INVALID, "weight: not a number");
    }
    double milli = json_number_value(value) * RH_WEIGHT_ONE;
    uint32_t rounded = milli >= 0.0 && milli <= RH_WEIGHT_MAX ? (uint32_t)(milli + 0.5) : 0;
    /* A decimal fraction that a double cannot hold is off by a few times 1e-13 here. */
    if (milli - rounded > 1e-6 || milli - rounded < -1e-6) {
        return rh_fail(reason, RH_ERR_INVALID, "weight: %g is not within 0 to %u in steps of 0.001",
                       json_number_value(value), RH_WEIGHT_MAX / RH_WEIGHT_ONE);
    }
    *ret_weight_milli = rounded;
    return 0;
}

/* Whether |text| is "host:port" or "[v6]:port". */
static bool is_address(const char *text)
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

static int read_address(const json_t *object, const char *field, bool optional,
                        char ret_text[static RH_ADDRESS_SIZE], struct rh_reason *reason)
{
    int rv = read_text(object, field, optional, ret_text, RH_ADDRESS_SIZE, reason);
    if (rv != 0 || (optional && ret_text[0] == '\0')) {
        return rv;
    }
    if (!is_address(ret_text)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: \"%s\" is not host:port", field, ret_text);
    }
    return 0;
}

static int read_url(const json_t *object, char ret_url[static RH_URL_SIZE],
                    struct rh_reason *reason)
{
    int rv = read_text(object, "url", false, ret_url, RH_URL_SIZE, reason);
    if (rv != 0) {
        return rv;
    }
    const char *address = NULL;
    if (strncmp(ret_url, "ws://", 5) == 0) {
        address = ret_url + 5;
    } else if (strncmp(ret_url, "wss://", 6) == 0) {
        address = ret_url + 6;
    }
    if (address == NULL || !is_address(address)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "url: \"%s\" is not ws://host:port or wss://host:port", ret_url);
    }
    return 0;
}

static int read_registration(const json_t *object, struct rh_registration *registration,
                             struct rh_reason *reason)
{
    int rv = read_text(object, "id", false, registration->id, sizeof(registration->id), reason);
    if (rv != 0) {
        return rv;
    }
    if (!rh_node_id_valid(rh_bytes_text(registration->id))) {
        return rh_fail(reason, RH_ERR_INVALID, "id: \"%s\" is not a node id", registration->id);
    }
    rv = read_id64(object, "instance", &registration->instance, reason);
    if (rv != 0) {
        return rv;
    }
    if (registration->instance == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "instance: is 0");
    }
    rv = read_weight(object, &registration->weight_milli, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_text(object, "zone", true, registration->zone, sizeof(registration->zone), reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_url(object, registration->url, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_address(object, "peer", false, registration->peer, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_address(object, "admin", true, registration->admin, reason);
    if (rv != 0) {
        return rv;
    }
    return read_text(object, "version", true, registration->version, sizeof(registration->version),
                     reason);
}

int rh_registration_decode(struct rh_bytes data, struct rh_registration *ret_registration,
                           struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = load(data, &object, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_registration registration = {0};
    rv = read_registration(object, &registration, reason);
    json_decref(object);
    if (rv == 0) {
        *ret_registration = registration;
    }
    return rv;
}

static int read_shared_config(const json_t *object, struct rh_shared_config *config,
                              struct rh_reason *reason)
{
    int rv = read_u32(object, "format", UINT32_MAX, &config->format, reason);
    if (rv != 0) {
        return rv;
    }
    if (config->format != RH_CONFIG_FORMAT) {
        /* What else stands there means something that this software does not know. */
        return rh_fail(reason, RH_ERR_INVALID, "format: is %" PRIu32 ", this software knows %d",
                       config->format, RH_CONFIG_FORMAT);
    }
    rv = read_integer(object, "generation", false, 1, INT64_MAX, &config->generation, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_u32(object, "vnodes", VNODES_MAX, &config->vnodes, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_u32(object, "replicas", REPLICAS_MAX, &config->replicas, reason);
    if (rv != 0) {
        return rv;
    }
    return read_id64(object, "seed", &config->seed, reason);
}

int rh_shared_config_decode(struct rh_bytes data, struct rh_shared_config *ret_config,
                            struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = load(data, &object, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_shared_config config = {0};
    rv = read_shared_config(object, &config, reason);
    json_decref(object);
    if (rv == 0) {
        *ret_config = config;
    }
    return rv;
}

/* Index of the field's value in |names|. */
static int read_name(const json_t *object, const char *field, const char *const *names,
                     size_t names_count, unsigned *ret_index, struct rh_reason *reason)
{
    char text[16];
    int rv = read_text(object, field, false, text, sizeof(text), reason);
    if (rv != 0) {
        return rv;
    }
    for (unsigned i = 0; i < names_count; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    return rh_fail(reason, RH_ERR_INVALID, "%s: \"%s\" is unknown", field, text);
}

static int read_request(const json_t *object, struct rh_request *request, struct rh_reason *reason)
{
    int rv = read_id64(object, "number", &request->number, reason);
    if (rv != 0) {
        return rv;
    }
    if (request->number == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "number: is 0");
    }
    unsigned kind = 0;
    rv = read_name(object, "kind", kind_names, COUNT(kind_names), &kind, reason);
    if (rv != 0) {
        return rv;
    }
    request->kind = (enum rh_request_kind)kind;
    if (request->kind == RH_REQUEST_WEIGHT) {
        rv = read_weight(object, &request->weight_milli, reason);
        if (rv != 0) {
            return rv;
        }
    }
    unsigned state = 0;
    rv = read_name(object, "state", state_names, COUNT(state_names), &state, reason);
    if (rv != 0) {
        return rv;
    }
    request->state = (enum rh_request_state)state;
    rv = read_integer(object, "channels_left", true, 0, INT64_MAX, &request->channels_left, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_integer(object, "connections_left", true, 0, INT64_MAX, &request->connections_left,
                      reason);
    if (rv != 0) {
        return rv;
    }
    return read_text(object, "reason", true, request->reason, sizeof(request->reason), reason);
}

int rh_request_decode(struct rh_bytes data, struct rh_request *ret_request,
                      struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = load(data, &object, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_request request = {0};
    rv = read_request(object, &request, reason);
    json_decref(object);
    if (rv == 0) {
        *ret_request = request;
    }
    return rv;
}

/* Writing. jansson's setters take NULL for a value and then fail, so one check at the end of a
 * chain is enough. */

static json_t *weight_value(uint32_t weight_milli)
{
    if (weight_milli % RH_WEIGHT_ONE == 0) {
        return json_integer(weight_milli / RH_WEIGHT_ONE);
    }
    return json_real((double)weight_milli / RH_WEIGHT_ONE);
}

static json_t *id64_value(uint64_t value)
{
    char text[RH_ID64_SIZE];
    rh_id64_format(value, text);
    return json_string(text);
}

/* |text| up to where it stops being UTF-8: a reason may have been cut within a character. */
static json_t *text_value(const char *text)
{
    size_t length = strlen(text);
    while (!rh_bytes_is_utf8(rh_bytes(text, length))) {
        length--;
    }
    return json_stringn(text, length);
}

/* Fields in the order in which they were set, so that equal values give equal bytes. Seven digits
 * hold every weight exactly. Takes |object|. */
static char *dump(json_t *object, int rv)
{
    char *text = rv == 0 ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(object);
    return text;
}

char *rh_registration_encode(const struct rh_registration *registration)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "id", text_value(registration->id));
    rv |= json_object_set_new(object, "instance", id64_value(registration->instance));
    rv |= json_object_set_new(object, "weight", weight_value(registration->weight_milli));
    rv |= json_object_set_new(object, "zone", text_value(registration->zone));
    rv |= json_object_set_new(object, "url", text_value(registration->url));
    rv |= json_object_set_new(object, "peer", text_value(registration->peer));
    rv |= json_object_set_new(object, "admin", text_value(registration->admin));
    rv |= json_object_set_new(object, "version", text_value(registration->version));
    return dump(object, rv);
}

char *rh_shared_config_encode(const struct rh_shared_config *config)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "format", json_integer(config->format));
    rv |= json_object_set_new(object, "generation", json_integer((json_int_t)config->generation));
    rv |= json_object_set_new(object, "vnodes", json_integer(config->vnodes));
    rv |= json_object_set_new(object, "replicas", json_integer(config->replicas));
    rv |= json_object_set_new(object, "seed", id64_value(config->seed));
    return dump(object, rv);
}

char *rh_request_encode(const struct rh_request *request)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "number", id64_value(request->number));
    rv |= json_object_set_new(object, "kind", json_string(kind_names[request->kind]));
    if (request->kind == RH_REQUEST_WEIGHT) {
        rv |= json_object_set_new(object, "weight", weight_value(request->weight_milli));
    }
    rv |= json_object_set_new(object, "state", json_string(state_names[request->state]));
    rv |= json_object_set_new(object, "channels_left",
                              json_integer((json_int_t)request->channels_left));
    rv |= json_object_set_new(object, "connections_left",
                              json_integer((json_int_t)request->connections_left));
    rv |= json_object_set_new(object, "reason", text_value(request->reason));
    return dump(object, rv);
}

char *rh_request_refuse(struct rh_bytes data, const char *why)
{
    json_t *object = NULL;
    if (load(data, &object, NULL) != 0) {
        return NULL;
    }
    int rv = json_object_set_new(object, "state", json_string(state_names[RH_REQUEST_FAILED]));
    rv |= json_object_set_new(object, "reason", text_value(why));
    return dump(object, rv);
}
