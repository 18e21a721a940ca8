/* SPDX-License-Identifier: Apache-2.0 */
#include "router/base64.h"
#include "router/client_json.h"
#include "router/json_scan.h"

#include <inttypes.h>

const char *rh_client_error_name(enum rh_client_error_code code)
{
    static const char *const names[] = {
#define NAME(code, text) [code] = (text),
        RH_CLIENT_ERROR_MAP(NAME)
#undef NAME
    };
    return names[code];
}

static int fail(struct rh_client_error *error, enum rh_client_error_code code, const char *text)
{
    error->code = code;
    return rh_fail(&error->reason, RH_ERR_INVALID, "%s", text);
}

uint32_t rh_client_json_text_max(const struct rh_client_limits *limits)
{
    uint64_t bytes =
        limits->message_bytes > limits->state_bytes ? limits->message_bytes : limits->state_bytes;
    return bytes > (UINT32_MAX - 4096) / 6 ? UINT32_MAX : (uint32_t)(bytes * 6 + 4096);
}

enum field {
    FIELD_TYPE,
    FIELD_ID,
    FIELD_DATA,
    FIELD_JSON,
    FIELD_BASE64,
    FIELD_CONTENT_TYPE,
    FIELD_IF_VERSION,
    FIELD_KEY,
    FIELDS_COUNT,
};

static const char *const field_names[FIELDS_COUNT] = {
    "type", "id", "data", "json", "base64", "content_type", "if_version", "key"};

/* One message being decoded. */
struct decoding {
    const struct rh_client_limits *limits;
    struct rh_buffer *scratch;
    struct rh_client_error *error;
    bool present[FIELDS_COUNT];
    struct rh_json_value values[FIELDS_COUNT];
};

/* Finds the members that we know. */
static int collect(struct decoding *decoding, struct rh_json_value object)
{
    struct rh_json_cursor cursor = rh_json_members(object);
    struct rh_json_member member;
    while (rh_json_next(&cursor, &member)) {
        for (size_t i = 0; i < FIELDS_COUNT; i++) {
            if (!rh_json_string_equal(member.key, field_names[i])) {
                continue;
            }
            if (decoding->present[i]) {
                decoding->error->code = RH_CLIENT_BAD_MESSAGE;
                return rh_fail(&decoding->error->reason, RH_ERR_INVALID, "%s occurs twice",
                               field_names[i]);
            }
            decoding->present[i] = true;
            decoding->values[i] = member.value;
        }
    }
    return 0;
}

static int decode_id(struct decoding *decoding, struct rh_bytes *ret_id)
{
    struct rh_bytes id = rh_bytes(NULL, 0);
    if (decoding->present[FIELD_ID]) {
        if (decoding->values[FIELD_ID].type != RH_JSON_STRING) {
            return fail(decoding->error, RH_CLIENT_BAD_MESSAGE_ID, "id must be a string");
        }
        int rv = rh_json_string_decode(decoding->values[FIELD_ID], decoding->scratch, &id);
        if (rv != 0) {
            return rv;
        }
        if (!rh_message_id_valid(id)) {
            return fail(decoding->error, RH_CLIENT_BAD_MESSAGE_ID,
                        "id must be 1 to 128 characters of printable ASCII");
        }
        memcpy(decoding->error->id, id.data, id.size);
        decoding->error->id_size = id.size;
    }
    *ret_id = id;
    return 0;
}

static int decode_base64(struct decoding *decoding, struct rh_bytes *ret_bytes)
{
    struct rh_bytes text;
    int rv = rh_json_string_decode(decoding->values[FIELD_BASE64], decoding->scratch, &text);
    if (rv != 0) {
        return rv;
    }
    char *out = rh_buffer_reserve(decoding->scratch, text.size / 4 * 3);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    size_t size;
    if (rh_base64_decode(text, out, &size) != 0) {
        return fail(decoding->error, RH_CLIENT_BAD_PAYLOAD, "base64 is not valid base64");
    }
    rh_buffer_commit(decoding->scratch, size);
    *ret_bytes = rh_bytes(out, size);
    return 0;
}

/* |what| it belongs to, of |bytes_max| at most. */
static int decode_payload(struct decoding *decoding, const char *what, uint64_t bytes_max,
                          struct rh_payload *ret_payload)
{
    const bool *present = decoding->present;
    struct rh_payload payload = {0};
    if (present[FIELD_JSON] + present[FIELD_DATA] + present[FIELD_BASE64] != 1) {
        decoding->error->code = RH_CLIENT_BAD_PAYLOAD;
        return rh_fail(&decoding->error->reason, RH_ERR_INVALID,
                       "a %s has exactly one of json, data and base64", what);
    }
    int rv = 0;
    if (present[FIELD_JSON]) {
        payload.kind = RH_PAYLOAD_JSON;
        payload.bytes = decoding->values[FIELD_JSON].raw;
    } else if (decoding->values[present[FIELD_DATA] ? FIELD_DATA : FIELD_BASE64].type !=
               RH_JSON_STRING) {
        return fail(decoding->error, RH_CLIENT_BAD_PAYLOAD, "data and base64 must be strings");
    } else if (present[FIELD_DATA]) {
        payload.kind = RH_PAYLOAD_TEXT;
        rv = rh_json_string_decode(decoding->values[FIELD_DATA], decoding->scratch, &payload.bytes);
    } else {
        payload.kind = RH_PAYLOAD_BINARY;
        rv = decode_base64(decoding, &payload.bytes);
    }
    if (rv != 0) {
        return rv;
    }
    if (payload.bytes.size > bytes_max) {
        decoding->error->code = RH_CLIENT_TOO_LARGE;
        return rh_fail(&decoding->error->reason, RH_ERR_INVALID,
                       "the payload is larger than %" PRIu64 " bytes", bytes_max);
    }
    *ret_payload = payload;
    return 0;
}

static int decode_publish(struct decoding *decoding, struct rh_client_request *ret_request)
{
    struct rh_client_request request = {.type = RH_CLIENT_PUBLISH};
    int rv = decode_id(decoding, &request.id);
    if (rv != 0) {
        return rv;
    }
    rv = decode_payload(decoding, "publish", decoding->limits->message_bytes, &request.payload);
    if (rv != 0) {
        return rv;
    }
    *ret_request = request;
    return 0;
}

static int decode_condition(struct decoding *decoding, struct rh_client_request *request)
{
    struct rh_json_value value = decoding->values[FIELD_IF_VERSION];
    bool is_put = request->type == RH_CLIENT_STATE_PUT;
    if (!decoding->present[FIELD_IF_VERSION]) {
        return 0;
    }
    if (rh_json_integer(value, INT64_MAX, &request->if_version) == 0) {
        request->condition = RH_CLIENT_VERSION;
    } else if (value.type == RH_JSON_STRING && rh_json_string_equal(value, "*")) {
        request->condition = RH_CLIENT_PRESENT;
    } else if (value.type == RH_JSON_NULL && is_put) {
        request->condition = RH_CLIENT_ABSENT;
    } else {
        return fail(decoding->error, RH_CLIENT_BAD_CONDITION,
                    is_put ? "if_version is a version, \"*\", or null"
                           : "if_version of a delete is a version or \"*\"");
    }
    return 0;
}

/* Without one, the form of the payload says what it is. */
static int decode_content_type(struct decoding *decoding, struct rh_client_request *request)
{
    if (!decoding->present[FIELD_CONTENT_TYPE]) {
        request->content_type =
            request->payload.kind == RH_PAYLOAD_JSON   ? rh_bytes_text("application/json")
            : request->payload.kind == RH_PAYLOAD_TEXT ? rh_bytes_text("text/plain; charset=utf-8")
                                                       : rh_bytes(NULL, 0);
        return 0;
    }
    if (decoding->values[FIELD_CONTENT_TYPE].type != RH_JSON_STRING) {
        return fail(decoding->error, RH_CLIENT_BAD_CONTENT_TYPE, "content_type must be a string");
    }
    int rv = rh_json_string_decode(decoding->values[FIELD_CONTENT_TYPE], decoding->scratch,
                                   &request->content_type);
    if (rv == 0 && !rh_content_type_valid(request->content_type)) {
        return fail(decoding->error, RH_CLIENT_BAD_CONTENT_TYPE,
                    "content_type is at most 255 printable ASCII characters");
    }
    return rv;
}

/* What is asked of the state, or for who is there, which has nothing but an id. */
static int decode_ask(struct decoding *decoding, enum rh_client_request_type type,
                      struct rh_client_request *ret_request)
{
    struct rh_client_request request = {.type = type};
    int rv = decode_id(decoding, &request.id);
    if (rv == 0 && (type == RH_CLIENT_STATE_PUT || type == RH_CLIENT_STATE_DELETE)) {
        rv = decode_condition(decoding, &request);
    }
    if (rv == 0 && type == RH_CLIENT_STATE_PUT) {
        rv = decode_payload(decoding, "state", decoding->limits->state_bytes, &request.payload);
    }
    if (rv == 0 && type == RH_CLIENT_STATE_PUT) {
        rv = decode_content_type(decoding, &request);
    }
    if (rv == 0) {
        *ret_request = request;
    }
    return rv;
}

static int decode_type(struct decoding *decoding, struct rh_client_request *ret_request)
{
    struct rh_json_value type = decoding->values[FIELD_TYPE];
    if (!decoding->present[FIELD_TYPE] || type.type != RH_JSON_STRING) {
        return fail(decoding->error, RH_CLIENT_BAD_MESSAGE,
                    "a message has a type, which is a string");
    }
    if (rh_json_string_equal(type, "publish")) {
        return decode_publish(decoding, ret_request);
    }
    if (rh_json_string_equal(type, "ping")) {
        *ret_request = (struct rh_client_request){.type = RH_CLIENT_PING};
        return 0;
    }
    if (rh_json_string_equal(type, "state_get")) {
        return decode_ask(decoding, RH_CLIENT_STATE_GET, ret_request);
    }
    if (rh_json_string_equal(type, "state_put")) {
        return decode_ask(decoding, RH_CLIENT_STATE_PUT, ret_request);
    }
    if (rh_json_string_equal(type, "state_delete")) {
        return decode_ask(decoding, RH_CLIENT_STATE_DELETE, ret_request);
    }
    if (rh_json_string_equal(type, "presence_get")) {
        return decode_ask(decoding, RH_CLIENT_PRESENCE_GET, ret_request);
    }
    return fail(decoding->error, RH_CLIENT_BAD_MESSAGE,
                "unknown type: send publish, ping, state_get, state_put, state_delete or "
                "presence_get");
}

/* Checks the text and finds the members of the object that it is. */
static int open_object(struct decoding *decoding, struct rh_bytes text)
{
    struct rh_json_value value;
    rh_buffer_clear(decoding->scratch);
    /* Strings without their escapes are smaller than the text, what base64 stands for smaller
     * still; and a buffer that need not grow keeps its content in place. */
    if (text.size > SIZE_MAX / 8 || rh_buffer_reserve(decoding->scratch, text.size * 2) == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    int rv = rh_json_check(text, RH_CLIENT_JSON_DEPTH_MAX + 1, &value, &decoding->error->reason);
    if (rv == 0 && value.type != RH_JSON_OBJECT) {
        rv = fail(decoding->error, RH_CLIENT_BAD_MESSAGE, "a message is a JSON object");
    }
    return rv == 0 ? collect(decoding, value) : rv;
}

/* |rv| as it is returned: what was nested too deep is invalid, too, and error.reason says so. */
static int tell_error(int rv, const struct rh_client_error *error,
                      struct rh_client_error *ret_error)
{
    if (rv != RH_ERR_INVALID && rv != RH_ERR_TOO_LARGE) {
        return rv;
    }
    *ret_error = *error;
    return RH_ERR_INVALID;
}

int rh_client_json_decode(struct rh_bytes text, const struct rh_client_limits *limits,
                          struct rh_buffer *scratch, struct rh_client_request *ret_request,
                          struct rh_client_error *ret_error)
{
    struct rh_client_error error = {.code = RH_CLIENT_BAD_MESSAGE};
    struct decoding decoding = {.limits = limits, .scratch = scratch, .error = &error};
    int rv = open_object(&decoding, text);
    if (rv == 0) {
        rv = decode_type(&decoding, ret_request);
    }
    return tell_error(rv, &error, ret_error);
}

int rh_client_json_decode_line(struct rh_bytes text, uint64_t message_bytes,
                               struct rh_buffer *scratch, struct rh_bytes *ret_key,
                               struct rh_client_request *ret_request,
                               struct rh_client_error *ret_error)
{
    struct rh_client_error error = {.code = RH_CLIENT_BAD_MESSAGE};
    const struct rh_client_limits limits = {.message_bytes = message_bytes};
    struct decoding decoding = {.limits = &limits, .scratch = scratch, .error = &error};
    struct rh_bytes key;
    int rv = open_object(&decoding, text);
    if (rv == 0 &&
        (!decoding.present[FIELD_KEY] || decoding.values[FIELD_KEY].type != RH_JSON_STRING)) {
        rv = fail(&error, RH_CLIENT_BAD_MESSAGE, "a line has a key, which is a string");
    }
    if (rv == 0) {
        rv = rh_json_string_decode(decoding.values[FIELD_KEY], scratch, &key);
    }
    if (rv == 0) {
        rv = decode_publish(&decoding, ret_request);
    }
    if (rv == 0) {
        *ret_key = key;
    }
    return tell_error(rv, &error, ret_error);
}

/* The media type in a Content-Type, without its parameters. */
static struct rh_bytes media_type(struct rh_bytes content_type)
{
    const char *semicolon =
        content_type.size == 0 ? NULL : memchr(content_type.data, ';', content_type.size);
    size_t size = semicolon == NULL ? content_type.size : (size_t)(semicolon - content_type.data);
    while (size > 0 &&
           (content_type.data[size - 1] == ' ' || content_type.data[size - 1] == '\t')) {
        size--;
    }
    return rh_bytes(content_type.data, size);
}

static bool is_text_type(struct rh_bytes type)
{
    return type.size > 5 && rh_bytes_equal_nocase(rh_bytes(type.data, 5), rh_bytes_text("text/"));
}

int rh_client_payload_from_body(struct rh_bytes content_type, struct rh_bytes body,
                                uint64_t message_bytes, struct rh_payload *ret_payload,
                                struct rh_client_error *ret_error)
{
    struct rh_bytes type = media_type(content_type);
    struct rh_client_error error = {.code = RH_CLIENT_BAD_PAYLOAD};
    struct rh_payload payload = {.kind = RH_PAYLOAD_BINARY, .bytes = body};
    int rv = 0;
    if (rh_bytes_equal_nocase(type, rh_bytes_text("application/json"))) {
        struct rh_json_value value;
        rv = rh_json_check(body, RH_CLIENT_JSON_DEPTH_MAX, &value, &error.reason);
        if (rv == 0) {
            payload = (struct rh_payload){.kind = RH_PAYLOAD_JSON, .bytes = value.raw};
        }
    } else if (!rh_bytes_equal_nocase(type, rh_bytes_text("application/octet-stream"))) {
        if (rh_bytes_is_utf8(body)) {
            payload.kind = RH_PAYLOAD_TEXT;
        } else if (is_text_type(type)) {
            rv = fail(&error, RH_CLIENT_BAD_PAYLOAD, "the body is not UTF-8, as text must be");
        }
    }
    if (rv == 0 && payload.bytes.size > message_bytes) {
        error.code = RH_CLIENT_TOO_LARGE;
        rv = rh_fail(&error.reason, RH_ERR_INVALID, "the payload is larger than %" PRIu64 " bytes",
                     message_bytes);
    }
    if (rv != 0) {
        *ret_error = error;
        return RH_ERR_INVALID;
    }
    *ret_payload = payload;
    return 0;
}

struct rh_payload rh_client_payload_of_state(struct rh_bytes content_type, struct rh_bytes body)
{
    struct rh_payload payload = {.kind = RH_PAYLOAD_BINARY, .bytes = body};
    struct rh_client_error error;
    if (content_type.size > 0 &&
        rh_client_payload_from_body(content_type, body, UINT64_MAX, &payload, &error) != 0 &&
        rh_bytes_is_utf8(body)) {
        payload.kind = RH_PAYLOAD_TEXT; /* what calls itself JSON, and is not */
    }
    return payload;
}
