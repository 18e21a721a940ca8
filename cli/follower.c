/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follower.h"

#include "router/json_scan.h"

#include <string.h>

#define DEPTH_MAX 160 /* the envelope around what may be published */

/* The members of an object that this module looks at; type NULL where one is not there. */
struct members {
    struct rh_json_value type;
    struct rh_json_value seq;
    struct rh_json_value node;
    struct rh_json_value url;
    struct rh_json_value incarnation;
    struct rh_json_value recovered;
    struct rh_json_value data;
    struct rh_json_value json;
    struct rh_json_value base64;
    struct rh_json_value message;
    bool has_json;
};

void rh_follower_init(struct rh_follower *follower, const struct rh_position *after)
{
    *follower = (struct rh_follower){0};
    if (after != NULL) {
        follower->has_position = true;
        follower->position = *after;
    }
}

void rh_follower_connect(struct rh_follower *follower)
{
    follower->welcomed = false;
}

static void read_members(struct rh_json_value object, struct members *members)
{
    const struct {
        const char *name;
        struct rh_json_value *value;
    } wanted[] = {
        {"type", &members->type},
        {"seq", &members->seq},
        {"node", &members->node},
        {"url", &members->url},
        {"incarnation", &members->incarnation},
        {"recovered", &members->recovered},
        {"data", &members->data},
        {"json", &members->json},
        {"base64", &members->base64},
        {"message", &members->message},
    };
    *members = (struct members){0};
    struct rh_json_cursor cursor = rh_json_members(object);
    struct rh_json_member member;
    while (rh_json_next(&cursor, &member)) {
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
            if (rh_json_string_equal(member.key, wanted[i].name)) {
                *wanted[i].value = member.value;
                members->has_json = members->has_json || wanted[i].value == &members->json;
            }
        }
    }
}

/* Decodes a string without NUL that is shorter than |size_max|. False when it is none. What was
 * decoded before stays where it is. */
static bool read_text(struct rh_json_value value, struct rh_buffer *scratch, size_t size_max,
                      struct rh_bytes *ret_text, int *ret_rv)
{
    struct rh_bytes text;
    if (value.type != RH_JSON_STRING) {
        return false;
    }
    *ret_rv = rh_json_string_decode(value, scratch, &text);
    if (*ret_rv != 0 || text.size == 0 || text.size >= size_max ||
        memchr(text.data, '\0', text.size) != NULL) {
        return false;
    }
    *ret_text = text;
    return true;
}

/* The node, and the url if |has_url|, of a welcome or moved. False: there is no such url. */
static bool read_place(const struct members *members, bool has_url, struct rh_buffer *scratch,
                       struct rh_follower_item *item, int *ret_rv)
{
    /* Room for both at once, so that the second does not move the first. */
    if (rh_buffer_reserve(scratch, members->url.raw.size + members->node.raw.size + 1) == NULL) {
        *ret_rv = RH_ERR_NO_MEMORY;
        return false;
    }
    bool url =
        !has_url || read_text(members->url, scratch, RH_FOLLOWER_URL_SIZE, &item->url, ret_rv);
    if (url && *ret_rv == 0) {
        (void)read_text(members->node, scratch, RH_FOLLOWER_NODE_SIZE, &item->node, ret_rv);
    }
    return url;
}

static enum rh_follower_event broken(struct rh_follower_item *item, const char *what)
{
    item->text = rh_bytes_text(what);
    return RH_FOLLOWER_BROKEN;
}

static bool read_position(const struct members *members, struct rh_position *ret_position)
{
    struct rh_bytes raw = members->incarnation.raw;
    uint64_t seq;
    if (members->incarnation.type != RH_JSON_STRING || raw.size < 2 ||
        rh_json_integer(members->seq, INT64_MAX, &seq) != 0) {
        return false;
    }
    uint64_t incarnation;
    if (rh_bytes_to_id64(rh_bytes(raw.data + 1, raw.size - 2), &incarnation) != 0) {
        return false;
    }
    *ret_position = (struct rh_position){.incarnation = incarnation, .seq = seq};
    return true;
}

/*
 * The messages of this connection start at seq + 1. With the position of before, that must be the
 * next one; it may be an earlier one (then some are seen twice, and shown once), but a later one,
 * or another incarnation, is a gap. The position `0` asks for all that the log holds, whichever
 * channel that is.
 */
static enum rh_follower_event take_welcome(struct rh_follower *follower,
                                           const struct members *members,
                                           struct rh_follower_item *item)
{
    struct rh_position start;
    if (follower->welcomed) {
        return broken(item, "a second welcome");
    }
    if (!read_position(members, &start)) {
        return broken(item, "a welcome without position");
    }
    bool asked = follower->has_position;
    bool whole = asked && follower->position.incarnation == 0;
    bool same = asked && follower->position.incarnation == start.incarnation;
    bool gap = members->recovered.type == RH_JSON_FALSE ||
               (asked && !whole && (!same || start.seq > follower->position.seq));
    follower->welcomed = true;
    follower->next_seq = start.seq + 1;
    if (gap || !same) {
        follower->position = start;
    }
    follower->has_position = true;
    item->start = start;
    item->recovered = members->recovered.type != RH_JSON_FALSE;
    return gap ? RH_FOLLOWER_GAP : RH_FOLLOWER_WELCOME;
}

static bool read_payload(const struct members *members, struct rh_buffer *scratch,
                         struct rh_follower_item *item, int *ret_rv)
{
    if (members->has_json) {
        item->payload_kind = RH_FOLLOWER_JSON;
        item->payload = members->json.raw;
        return true;
    }
    bool text = members->data.type == RH_JSON_STRING;
    struct rh_json_value value = text ? members->data : members->base64;
    item->payload_kind = text ? RH_FOLLOWER_DATA : RH_FOLLOWER_BASE64;
    if (value.type != RH_JSON_STRING) {
        return false;
    }
    *ret_rv = rh_json_string_decode(value, scratch, &item->payload);
    return *ret_rv == 0;
}

static enum rh_follower_event take_message(struct rh_follower *follower,
                                           const struct members *members, struct rh_buffer *scratch,
                                           struct rh_follower_item *item, int *ret_rv)
{
    uint64_t seq;
    if (!follower->welcomed || rh_json_integer(members->seq, INT64_MAX, &seq) != 0) {
        return broken(item, "a message before the welcome, or without seq");
    }
    if (!read_payload(members, scratch, item, ret_rv)) {
        return broken(item, "a message without payload");
    }
    item->seq = seq;
    if (seq != follower->next_seq) {
        return broken(item, "a message out of order");
    }
    follower->next_seq++;
    if (seq <= follower->position.seq) {
        return RH_FOLLOWER_NOTHING;
    }
    follower->position.seq = seq;
    return RH_FOLLOWER_MESSAGE;
}

static enum rh_follower_event take_moved(const struct rh_follower *follower,
                                         const struct members *members, struct rh_buffer *scratch,
                                         struct rh_follower_item *item, int *ret_rv)
{
    if (!read_place(members, true, scratch, item, ret_rv)) {
        return broken(item, "moved without url");
    }
    return follower->welcomed ? RH_FOLLOWER_MOVED : RH_FOLLOWER_REDIRECTED;
}

static enum rh_follower_event take_object(struct rh_follower *follower,
                                          const struct members *members, struct rh_buffer *scratch,
                                          struct rh_follower_item *item, int *ret_rv)
{
    if (members->type.type != RH_JSON_STRING) {
        return broken(item, "a message without type");
    }
    if (rh_json_string_equal(members->type, "message")) {
        return take_message(follower, members, scratch, item, ret_rv);
    }
    if (rh_json_string_equal(members->type, "welcome")) {
        (void)read_place(members, false, scratch, item, ret_rv);
        return take_welcome(follower, members, item);
    }
    if (rh_json_string_equal(members->type, "moved")) {
        return take_moved(follower, members, scratch, item, ret_rv);
    }
    if (rh_json_string_equal(members->type, "error")) {
        if (members->message.type == RH_JSON_STRING) {
            *ret_rv = rh_json_string_decode(members->message, scratch, &item->text);
        }
        return RH_FOLLOWER_ERROR;
    }
    return RH_FOLLOWER_NOTHING;
}

int rh_follower_take(struct rh_follower *follower, struct rh_bytes text, struct rh_buffer *scratch,
                     enum rh_follower_event *ret_event, struct rh_follower_item *ret_item)
{
    struct rh_json_value object;
    struct rh_follower_item item = {0};
    rh_buffer_clear(scratch);
    if (rh_json_check(text, DEPTH_MAX, &object, NULL) != 0 || object.type != RH_JSON_OBJECT) {
        *ret_event = broken(&item, "a message that is no JSON object");
        *ret_item = item;
        return 0;
    }
    struct members members;
    int rv = 0;
    read_members(object, &members);
    struct rh_follower before = *follower;
    enum rh_follower_event event = take_object(follower, &members, scratch, &item, &rv);
    if (rv != 0) {
        *follower = before;
        return rv;
    }
    *ret_event = event;
    *ret_item = item;
    return 0;
}
