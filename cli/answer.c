/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"

#include "router/json_scan.h"

#include <string.h>

#define DEPTH_MAX 4U

static int on_field(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_answer *answer = llhttp->data;
    if (answer->value != NULL) { /* the header before this one is over */
        answer->value = NULL;
        answer->name_size = 0;
    }
    for (size_t i = 0; i < size && answer->name_size < sizeof(answer->name); i++) {
        answer->name[answer->name_size++] = at[i];
    }
    return 0;
}

static int on_field_complete(llhttp_t *llhttp)
{
    struct rh_answer *answer = llhttp->data;
    struct rh_bytes name = rh_bytes(answer->name, answer->name_size);
    answer->name_size = 0;
    answer->value = NULL;
    if (rh_bytes_equal_nocase(name, rh_bytes_text("Location"))) {
        answer->value = &answer->location;
    } else if (rh_bytes_equal_nocase(name, rh_bytes_text("Sec-WebSocket-Accept"))) {
        answer->value = &answer->accept;
    }
    return 0;
}

/* Appends within a limit; -1 stops llhttp. */
static int take(struct rh_answer *answer, struct rh_buffer *buffer, struct rh_bytes bytes,
                size_t size_max)
{
    answer->error = rh_buffer_size(buffer) + bytes.size > size_max
                        ? RH_ERR_TOO_LARGE
                        : rh_buffer_append_bytes(buffer, bytes);
    return answer->error == 0 ? 0 : -1;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_answer *answer = llhttp->data;
    if (answer->value == NULL) {
        return 0;
    }
    size_t size_max = answer->value == &answer->location ? RH_ANSWER_LOCATION_SIZE_MAX
                                                         : RH_ANSWER_ACCEPT_SIZE_MAX;
    return take(answer, answer->value, rh_bytes(at, size), size_max);
}

static int on_head(llhttp_t *llhttp)
{
    struct rh_answer *answer = llhttp->data;
    answer->status = llhttp->status_code;
    answer->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct rh_answer *answer = llhttp->data;
    return take(answer, &answer->body, rh_bytes(at, size), RH_ANSWER_BODY_SIZE_MAX);
}

static int on_complete(llhttp_t *llhttp)
{
    struct rh_answer *answer = llhttp->data;
    answer->complete = true;
    return HPE_PAUSED;
}

void rh_answer_init(struct rh_answer *answer)
{
    *answer = (struct rh_answer){0};
    rh_answer_reset(answer);
}

void rh_answer_finish(struct rh_answer *answer)
{
    rh_buffer_finish(&answer->location);
    rh_buffer_finish(&answer->accept);
    rh_buffer_finish(&answer->body);
}

void rh_answer_reset(struct rh_answer *answer)
{
    static const llhttp_settings_t settings = {
        .on_header_field = on_field,
        .on_header_field_complete = on_field_complete,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };
    rh_buffer_clear(&answer->location);
    rh_buffer_clear(&answer->accept);
    rh_buffer_clear(&answer->body);
    answer->status = 0;
    answer->keep_alive = false;
    answer->value = NULL;
    answer->name_size = 0;
    answer->complete = false;
    answer->error = 0;
    llhttp_init(&answer->llhttp, HTTP_RESPONSE, &settings);
    answer->llhttp.data = answer;
}

int rh_answer_feed(struct rh_answer *answer, struct rh_bytes bytes, size_t *ret_consumed)
{
    llhttp_errno_t failed = llhttp_execute(&answer->llhttp, bytes.data, bytes.size);
    if (answer->complete) {
        const char *end = llhttp_get_error_pos(&answer->llhttp);
        *ret_consumed = (size_t)(end - bytes.data);
        return 0;
    }
    if (failed != HPE_OK) {
        return answer->error != 0 ? answer->error : RH_ERR_INVALID;
    }
    if (answer->status != 0 && llhttp_message_needs_eof(&answer->llhttp) != 0) {
        return RH_ERR_INVALID;
    }
    return RH_ERR_AGAIN;
}

int rh_answer_published(struct rh_bytes body, uint64_t *ret_incarnation, uint64_t *ret_seq)
{
    struct rh_json_value object;
    if (rh_json_check(body, DEPTH_MAX, &object, NULL) != 0 || object.type != RH_JSON_OBJECT) {
        return RH_ERR_INVALID;
    }
    struct rh_json_cursor cursor = rh_json_members(object);
    struct rh_json_member member;
    uint64_t seq = 0;
    uint64_t incarnation = 0;
    while (rh_json_next(&cursor, &member)) {
        struct rh_bytes raw = member.value.raw;
        int rv = 0;
        if (rh_json_string_equal(member.key, "seq")) {
            rv = rh_json_integer(member.value, INT64_MAX, &seq);
        } else if (rh_json_string_equal(member.key, "incarnation")) {
            rv = raw.size < 2
                     ? RH_ERR_INVALID
                     : rh_bytes_to_id64(rh_bytes(raw.data + 1, raw.size - 2), &incarnation);
        }
        if (rv != 0) {
            return rv;
        }
    }
    if (seq == 0 || incarnation == 0) {
        return RH_ERR_INVALID;
    }
    *ret_seq = seq;
    *ret_incarnation = incarnation;
    return 0;
}
