/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/registration.h"

#include "base/units.h"
#include "proto/znode_json.h"

#include <inttypes.h>
#include <stdlib.h>

/* These znodes have a few hundred bytes; a parse tree is much larger than its text. */
#define DATA_SIZE_MAX (64U * 1024U)

#define SEQUENCE_SIZE 10 /* digits that ZooKeeper appends to a name */

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

bool rh_registration_name_valid(const char *name, const char *id)
{
    const char *dot = strrchr(name, '.');
    if (dot == NULL || strlen(dot + 1) != SEQUENCE_SIZE ||
        strspn(dot + 1, "0123456789") != SEQUENCE_SIZE) {
        return false;
    }
    const struct rh_bytes prefix = rh_bytes(name, (size_t)(dot - name));
    return id == NULL ? rh_node_id_valid(prefix) : rh_bytes_equal_text(prefix, id);
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

static int read_url(const json_t *object, char ret_url[static RH_URL_SIZE],
                    struct rh_reason *reason)
{
    int rv = rh_znode_read_text(object, "url", false, ret_url, RH_URL_SIZE, reason);
    if (rv != 0) {
        return rv;
    }
    const char *address = NULL;
    if (strncmp(ret_url, "ws://", 5) == 0) {
        address = ret_url + 5;
    } else if (strncmp(ret_url, "wss://", 6) == 0) {
        address = ret_url + 6;
    }
    if (address == NULL || !rh_znode_is_address(address)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "url: \"%s\" is not ws://host:port or wss://host:port", ret_url);
    }
    return 0;
}

static int read_registration(const json_t *object, struct rh_registration *registration,
                             struct rh_reason *reason)
{
    int rv = rh_znode_read_node_id(object, registration->id, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_instance(object, &registration->instance, reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_weight(object, &registration->weight_milli, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_text(object, "zone", true, registration->zone, sizeof(registration->zone),
                            reason);
    if (rv != 0) {
        return rv;
    }
    rv = read_url(object, registration->url, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_address(object, "peer", false, registration->peer, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_address(object, "admin", true, registration->admin, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_text(object, "version", true, registration->version,
                            sizeof(registration->version), reason);
    if (rv != 0) {
        return rv;
    }
    return rh_znode_read_origin(object, registration->id, true, registration->origin, reason);
}

int rh_registration_decode(struct rh_bytes data, struct rh_registration *ret_registration,
                           struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = rh_znode_load(data, DATA_SIZE_MAX, &object, reason);
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

/* Index of the field's value in |names|. */
static int read_name(const json_t *object, const char *field, const char *const *names,
                     size_t names_count, unsigned *ret_index, struct rh_reason *reason)
{
    char text[16];
    int rv = rh_znode_read_text(object, field, false, text, sizeof(text), reason);
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
    int rv = rh_znode_read_id64(object, "number", &request->number, reason);
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
    rv = rh_znode_read_integer(object, "channels_left", true, 0, INT64_MAX, &request->channels_left,
                               reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_integer(object, "connections_left", true, 0, INT64_MAX,
                               &request->connections_left, reason);
    if (rv != 0) {
        return rv;
    }
    return rh_znode_read_text(object, "reason", true, request->reason, sizeof(request->reason),
                              reason);
}

int rh_request_decode(struct rh_bytes data, struct rh_request *ret_request,
                      struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = rh_znode_load(data, DATA_SIZE_MAX, &object, reason);
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

static json_t *weight_value(uint32_t weight_milli)
{
    if (weight_milli % RH_WEIGHT_ONE == 0) {
        return json_integer(weight_milli / RH_WEIGHT_ONE);
    }
    return json_real((double)weight_milli / RH_WEIGHT_ONE);
}

char *rh_registration_encode(const struct rh_registration *registration)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "id", rh_znode_text_value(registration->id));
    rv |= json_object_set_new(object, "instance", rh_znode_id64_value(registration->instance));
    rv |= json_object_set_new(object, "weight", weight_value(registration->weight_milli));
    rv |= json_object_set_new(object, "zone", rh_znode_text_value(registration->zone));
    rv |= json_object_set_new(object, "url", rh_znode_text_value(registration->url));
    rv |= json_object_set_new(object, "peer", rh_znode_text_value(registration->peer));
    rv |= json_object_set_new(object, "admin", rh_znode_text_value(registration->admin));
    rv |= json_object_set_new(object, "version", rh_znode_text_value(registration->version));
    if (registration->origin[0] != '\0') {
        rv |= json_object_set_new(object, "origin", rh_znode_text_value(registration->origin));
    }
    return rh_znode_dump(object, rv);
}

char *rh_request_encode(const struct rh_request *request)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "number", rh_znode_id64_value(request->number));
    rv |= json_object_set_new(object, "kind", json_string(kind_names[request->kind]));
    if (request->kind == RH_REQUEST_WEIGHT) {
        rv |= json_object_set_new(object, "weight", weight_value(request->weight_milli));
    }
    rv |= json_object_set_new(object, "state", json_string(state_names[request->state]));
    rv |= json_object_set_new(object, "channels_left",
                              json_integer((json_int_t)request->channels_left));
    rv |= json_object_set_new(object, "connections_left",
                              json_integer((json_int_t)request->connections_left));
    rv |= json_object_set_new(object, "reason", rh_znode_text_value(request->reason));
    return rh_znode_dump(object, rv);
}

char *rh_request_refuse(struct rh_bytes data, const char *why)
{
    json_t *object = NULL;
    if (rh_znode_load(data, DATA_SIZE_MAX, &object, NULL) != 0) {
        return NULL;
    }
    int rv = json_object_set_new(object, "state", json_string(state_names[RH_REQUEST_FAILED]));
    rv |= json_object_set_new(object, "reason", rh_znode_text_value(why));
    return rh_znode_dump(object, rv);
}
