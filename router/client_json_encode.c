/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "router/base64.h"
#include "router/client_json.h"
#include "router/json_write.h"
#include "router/websocket.h"

#include <assert.h>
#include <stdio.h>

/* ---- Messages of a channel: measured, then written in one go ---- */

#define U64_TEXT_SIZE 21

/* The lengths and texts that a message needs twice. */
struct measured {
    const struct rh_client_message *message;
    const char *opening; /* what comes before the number */
    char seq[U64_TEXT_SIZE];
    char time[U64_TEXT_SIZE];
    char position[RH_POSITION_TEXT_SIZE]; /* with a topic */
    size_t size;
};

static size_t format_u64(char out[static U64_TEXT_SIZE], uint64_t value)
{
    char digits[U64_TEXT_SIZE];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    size_t size = sizeof(digits) - at;
    memcpy(out, digits + at, size);
    out[size] = '\0';
    return size;
}

static const char *payload_key(enum rh_payload_kind kind)
{
    switch (kind) {
    case RH_PAYLOAD_JSON:
        return ",\"json\":";
    case RH_PAYLOAD_BINARY:
        return ",\"base64\":";
    case RH_PAYLOAD_TEXT:
        break;
    }
    return ",\"data\":";
}

static size_t payload_size(const struct rh_payload *payload)
{
    switch (payload->kind) {
    case RH_PAYLOAD_JSON:
        return payload->bytes.size;
    case RH_PAYLOAD_BINARY:
        return rh_base64_size(payload->bytes.size) + 2;
    case RH_PAYLOAD_TEXT:
        break;
    }
    return rh_json_string_size(payload->bytes);
}

static char *write_bytes(char *out, struct rh_bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(out, bytes.data, bytes.size);
    }
    return out + bytes.size;
}

static char *write_text(char *out, const char *text)
{
    return write_bytes(out, rh_bytes_text(text));
}

static char *write_payload(char *out, const struct rh_payload *payload)
{
    switch (payload->kind) {
    case RH_PAYLOAD_JSON:
        return write_bytes(out, payload->bytes);
    case RH_PAYLOAD_BINARY:
        *out++ = '"';
        out = rh_base64_write(out, payload->bytes); /* its terminator is overwritten: */
        *out++ = '"';
        return out;
    case RH_PAYLOAD_TEXT:
        break;
    }
    return rh_json_string_write(out, payload->bytes);
}

#define TIME_KEY     ",\"time\":"
#define ID_KEY       ",\"id\":"
#define TOPIC_KEY    ",\"topic\":"
#define POSITION_KEY ",\"topic_position\":\""

static struct measured measure(const struct rh_client_message *message, const char *opening)
{
    struct measured measured = {.message = message, .opening = opening};
    measured.size = strlen(opening) + format_u64(measured.seq, message->seq) + strlen(TIME_KEY) +
                    format_u64(measured.time, message->time_ms) +
                    strlen(payload_key(message->payload.kind)) + payload_size(&message->payload) +
                    strlen("}");
    if (message->id.size > 0) {
        measured.size += strlen(ID_KEY) + rh_json_string_size(message->id);
    }
    if (message->topic.size > 0) {
        rh_position_format(message->position, measured.position);
        measured.size += strlen(TOPIC_KEY) + rh_json_string_size(message->topic) +
                         strlen(POSITION_KEY) + strlen(measured.position) + strlen("\"");
    }
    return measured;
}

/* Writes exactly |measured->size| bytes. */
static void write_message(char *out, const struct measured *measured)
{
    const struct rh_client_message *message = measured->message;
    const char *end = out + measured->size;
    out = write_text(out, measured->opening);
    out = write_text(out, measured->seq);
    if (message->id.size > 0) {
        out = write_text(out, ID_KEY);
        out = rh_json_string_write(out, message->id);
    }
    out = write_text(out, TIME_KEY);
    out = write_text(out, measured->time);
    if (message->topic.size > 0) {
        out = write_text(out, TOPIC_KEY);
        out = rh_json_string_write(out, message->topic);
        out = write_text(out, POSITION_KEY);
        out = write_text(out, measured->position);
        *out++ = '"';
    }
    out = write_text(out, payload_key(message->payload.kind));
    out = write_payload(out, &message->payload);
    *out++ = '}';
    assert(out == end);
}

static int append_message(struct rh_buffer *output, const char *opening,
                          const struct rh_client_message *message)
{
    struct measured measured = measure(message, opening);
    char *out = rh_buffer_reserve(output, measured.size);
    if (out == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    write_message(out, &measured);
    rh_buffer_commit(output, measured.size);
    return 0;
}

#define MESSAGE_OPENING "{\"type\":\"message\",\"seq\":"

int rh_client_json_message(struct rh_buffer *output, const struct rh_client_message *message)
{
    return append_message(output, MESSAGE_OPENING, message);
}

struct rh_shared *rh_client_json_message_frame(const struct rh_client_message *message)
{
    struct measured measured = measure(message, MESSAGE_OPENING);
    size_t header_size = rh_websocket_header_size(measured.size);
    struct rh_shared *frame = rh_shared_create(header_size + measured.size);
    if (frame != NULL) {
        (void)rh_websocket_header_write(frame->data, RH_WEBSOCKET_TEXT, measured.size);
        write_message(frame->data + header_size, &measured);
    }
    return frame;
}

/* ---- All other objects: appended piece by piece, taken back as a whole on failure ---- */

struct writer {
    struct rh_buffer *output;
    size_t size_before;
    int rv;
};

static struct writer begin(struct rh_buffer *output)
{
    return (struct writer){.output = output, .size_before = rh_buffer_size(output)};
}

static int end(struct writer *writer)
{
    if (writer->rv != 0) {
        rh_buffer_truncate(writer->output, writer->size_before);
    }
    return writer->rv;
}

/* Text as it is. */
static void put(struct writer *writer, const char *text)
{
    if (writer->rv == 0) {
        writer->rv = rh_buffer_append_text(writer->output, text);
    }
}

static void put_bytes(struct writer *writer, struct rh_bytes bytes)
{
    if (writer->rv == 0) {
        writer->rv = rh_buffer_append_bytes(writer->output, bytes);
    }
}

static void put_string(struct writer *writer, const char *before, struct rh_bytes text)
{
    put(writer, before);
    if (writer->rv == 0) {
        writer->rv = rh_json_append_string(writer->output, text);
    }
}

static void put_text(struct writer *writer, const char *before, const char *text)
{
    put_string(writer, before, rh_bytes_text(text));
}

static void put_u64(struct writer *writer, const char *before, uint64_t value)
{
    char text[U64_TEXT_SIZE];
    (void)format_u64(text, value);
    put(writer, before);
    put(writer, text);
}

static void put_i64(struct writer *writer, const char *before, int64_t value)
{
    put(writer, before);
    put_u64(writer, value < 0 ? "-" : "", value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_bool(struct writer *writer, const char *before, bool value)
{
    put(writer, before);
    put(writer, value ? "true" : "false");
}

/* 16 hex digits; with |null_if_zero|, 0 is null. */
static void put_id(struct writer *writer, const char *before, uint64_t id, bool null_if_zero)
{
    char text[RH_ID64_SIZE];
    if (null_if_zero && id == 0) {
        put(writer, before);
        put(writer, "null");
        return;
    }
    rh_id64_format(id, text);
    put_text(writer, before, text);
}

int rh_client_json_welcome(struct rh_buffer *output, const struct rh_client_welcome *welcome)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"type\":\"welcome\",\"channel\":", welcome->channel);
    put_text(&writer, ",\"node\":", welcome->node);
    put_i64(&writer, ",\"epoch\":", welcome->epoch);
    put_id(&writer, ",\"incarnation\":", welcome->incarnation, false);
    put_u64(&writer, ",\"seq\":", welcome->seq);
    put_bool(&writer, ",\"recovered\":", welcome->recovered);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_ack(struct rh_buffer *output, struct rh_bytes id, uint64_t seq)
{
    struct writer writer = begin(output);
    put(&writer, "{\"type\":\"ack\"");
    if (id.size > 0) {
        put_string(&writer, ID_KEY, id);
    }
    put_u64(&writer, ",\"seq\":", seq);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_pong(struct rh_buffer *output)
{
    return rh_buffer_append_text(output, "{\"type\":\"pong\"}");
}

int rh_client_json_moved(struct rh_buffer *output, const struct rh_client_moved *moved)
{
    struct writer writer = begin(output);
    put_text(&writer, "{\"type\":\"moved\",\"node\":", moved->node);
    put_text(&writer, ",\"url\":", moved->url);
    if (moved->seq_known) {
        put_u64(&writer, ",\"seq\":", moved->seq);
    }
    put(&writer, "}");
    return end(&writer);
}

/* An error without its end. */
static struct writer begin_error(struct rh_buffer *output, const char *code, const char *text,
                                 struct rh_bytes id)
{
    struct writer writer = begin(output);
    put_text(&writer, "{\"type\":\"error\",\"code\":", code);
    put_text(&writer, ",\"message\":", text);
    if (id.size > 0) {
        put_string(&writer, ID_KEY, id);
    }
    return writer;
}

int rh_client_json_error(struct rh_buffer *output, const char *code, const char *text,
                         struct rh_bytes id)
{
    struct writer writer = begin_error(output, code, text, id);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_state_ack(struct rh_buffer *output, struct rh_bytes id, uint64_t version)
{
    struct writer writer = begin(output);
    put(&writer, "{\"type\":\"ack\"");
    if (id.size > 0) {
        put_string(&writer, ID_KEY, id);
    }
    put_u64(&writer, ",\"version\":", version);
    put(&writer, "}");
    return end(&writer);
}

static void put_payload(struct writer *writer, const struct rh_payload *payload)
{
    put(writer, payload_key(payload->kind));
    size_t size = payload_size(payload);
    char *out = writer->rv == 0 ? rh_buffer_reserve(writer->output, size) : NULL;
    if (out != NULL) {
        (void)write_payload(out, payload);
        rh_buffer_commit(writer->output, size);
    } else if (writer->rv == 0) {
        writer->rv = RH_ERR_NO_MEMORY;
    }
}

int rh_client_json_document(struct rh_buffer *output, const struct rh_client_document *document)
{
    struct writer writer = begin(output);
    put(&writer, "{\"type\":\"state\"");
    if (document->id.size > 0) {
        put_string(&writer, ID_KEY, document->id);
    }
    put_u64(&writer, ",\"version\":", document->version);
    put_bool(&writer, ",\"exists\":", document->exists);
    if (document->exists) {
        struct rh_payload payload =
            rh_client_payload_of_state(document->content_type, document->state);
        put_string(&writer, ",\"content_type\":",
                   document->content_type.size > 0 ? document->content_type
                                                   : rh_bytes_text("application/octet-stream"));
        put_payload(&writer, &payload);
    }
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_conflict(struct rh_buffer *output, const char *code, const char *text,
                            struct rh_bytes id, uint64_t version)
{
    struct writer writer = begin_error(output, code, text, id);
    if (version == 0) {
        put(&writer, ",\"version\":null}");
    } else {
        put_u64(&writer, ",\"version\":", version);
        put(&writer, "}");
    }
    return end(&writer);
}

int rh_client_json_poll_begin(struct rh_buffer *output, struct rh_bytes channel,
                              uint64_t incarnation, bool recovered)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"channel\":", channel);
    put_id(&writer, ",\"incarnation\":", incarnation, true);
    put_bool(&writer, ",\"recovered\":", recovered);
    put(&writer, ",\"messages\":[");
    return end(&writer);
}

int rh_client_json_poll_message(struct rh_buffer *output, bool first,
                                const struct rh_client_message *message)
{
    return append_message(output, first ? "{\"seq\":" : ",{\"seq\":", message);
}

int rh_client_json_poll_end(struct rh_buffer *output, struct rh_position position, bool more)
{
    char text[RH_POSITION_TEXT_SIZE];
    struct writer writer = begin(output);
    rh_position_format(position, text);
    put_text(&writer, "],\"position\":", text);
    put_bool(&writer, ",\"more\":", more);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_follows(struct rh_buffer *output, struct rh_bytes channel,
                           const struct rh_client_follow *follows, size_t count)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"key\":", channel);
    put(&writer, ",\"follows\":[");
    for (size_t i = 0; i < count; i++) {
        put_string(&writer, i == 0 ? "{\"topic\":" : ",{\"topic\":", follows[i].topic);
        char position[RH_POSITION_TEXT_SIZE];
        rh_position_format(follows[i].position, position);
        put_text(&writer, ",\"position\":", position);
        put(&writer, "}");
    }
    put(&writer, "]}");
    return end(&writer);
}

static void put_followers_nodes(struct writer *writer, const struct rh_client_followers *followers)
{
    bool is_first = true;
    put(writer, ",\"nodes\":[");
    for (size_t i = 0; i < followers->nodes_count; i++) {
        if (followers->nodes[i].count > 0) {
            put_text(writer, is_first ? "{\"node\":" : ",{\"node\":", followers->nodes[i].node);
            put_u64(writer, ",\"count\":", followers->nodes[i].count);
            put(writer, "}");
            is_first = false;
        }
    }
    is_first = true;
    put(writer, "],\"missing\":[");
    for (size_t i = 0; i < followers->nodes_count; i++) {
        if (followers->nodes[i].is_missing) {
            put_text(writer, is_first ? "" : ",", followers->nodes[i].node);
            is_first = false;
        }
    }
    put(writer, "]");
}

int rh_client_json_followers(struct rh_buffer *output, const struct rh_client_followers *followers)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"key\":", followers->topic);
    put_u64(&writer, ",\"count\":", followers->count);
    put(&writer, ",\"followers\":[");
    for (size_t i = 0; i < followers->keys_count; i++) {
        put_string(&writer, i == 0 ? "" : ",", followers->keys[i]);
    }
    put_bool(&writer, "],\"truncated\":", followers->keys_count < followers->count);
    put_followers_nodes(&writer, followers);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_published(struct rh_buffer *output, const struct rh_client_published *published)
{
    struct writer writer = begin(output);
    put_u64(&writer, "{\"seq\":", published->seq);
    put_id(&writer, ",\"incarnation\":", published->incarnation, false);
    put_text(&writer, ",\"node\":", published->node);
    put_u64(&writer, ",\"connections\":", published->connections);
    put_bool(&writer, ",\"duplicate\":", published->duplicate);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_state(struct rh_buffer *output, const struct rh_client_state *state)
{
    struct writer writer = begin(output);
    put_u64(&writer, "{\"version\":", state->version);
    put_id(&writer, ",\"incarnation\":", state->incarnation, false);
    put_text(&writer, ",\"node\":", state->node);
    put(&writer, "}");
    return end(&writer);
}

/* |before|, then an array. */
static void put_clients(struct writer *writer, const char *before, struct rh_peer_present_list list,
                        bool has_connections)
{
    put(writer, before);
    put(writer, "[");
    for (size_t i = 0; i < list.count; i++) {
        const struct rh_peer_present *present = &list.items[i];
        put_string(writer, i == 0 ? "{\"client\":" : ",{\"client\":", present->client);
        if (present->meta.size > 0) {
            put(writer, ",\"meta\":");
            put_bytes(writer, present->meta);
        }
        if (has_connections) {
            put_u64(writer, ",\"connections\":", present->connections);
        }
        put(writer, "}");
    }
    put(writer, "]");
}

int rh_client_json_presence(struct rh_buffer *output, const struct rh_client_presence *presence)
{
    struct writer writer = begin(output);
    put(&writer, "{\"type\":\"presence\"");
    if (presence->id.size > 0) {
        put_string(&writer, ID_KEY, presence->id);
    }
    if (presence->is_whole) {
        put_clients(&writer, ",\"clients\":", presence->joined, true);
    } else {
        put_clients(&writer, ",\"left\":", presence->left, false);
        put_clients(&writer, ",\"joined\":", presence->joined, false);
        put_clients(&writer, ",\"changed\":", presence->changed, false);
    }
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_presence_body(struct rh_buffer *output, struct rh_bytes channel,
                                 const char *node, uint64_t incarnation,
                                 struct rh_peer_present_list clients)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"channel\":", channel);
    put_text(&writer, ",\"node\":", node);
    put_id(&writer, ",\"incarnation\":", incarnation, true);
    put_clients(&writer, ",\"clients\":", clients, true);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_channel(struct rh_buffer *output, const struct rh_client_channel *channel)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"key\":", channel->key);
    put_i64(&writer, ",\"epoch\":", channel->epoch);
    if (channel->owner == NULL) {
        put(&writer, ",\"owner\":null");
    } else {
        put_text(&writer, ",\"owner\":", channel->owner);
    }
    put(&writer, ",\"replicas\":[");
    for (size_t i = 0; i < channel->replicas_count; i++) {
        put_text(&writer, i == 0 ? "" : ",", channel->replicas[i]);
    }
    put_id(&writer, "],\"incarnation\":", channel->incarnation, true);
    put_u64(&writer, ",\"first_seq\":", channel->first_seq);
    put_u64(&writer, ",\"last_seq\":", channel->last_seq);
    put_u64(&writer, ",\"connections\":", channel->connections);
    put(&writer, "}");
    return end(&writer);
}

int rh_client_json_where(struct rh_buffer *output, const struct rh_client_where *where)
{
    struct writer writer = begin(output);
    put_string(&writer, "{\"key\":", where->key);
    put_text(&writer, ",\"node\":", where->node);
    put_i64(&writer, ",\"epoch\":", where->epoch);
    put_text(&writer, ",\"ws\":", where->ws);
    put_text(&writer, ",\"events\":", where->events);
    put_text(&writer, ",\"messages\":", where->messages);
    put(&writer, "}");
    return end(&writer);
}

/* A share as a decimal number of at most six digits, by integers: printf follows the locale. */
static void put_share(struct writer *writer, const char *before, double share)
{
    char text[U64_TEXT_SIZE];
    assert(share >= 0.0 && share <= 1.0 + 1e-9);
    unsigned micro = (unsigned)(share * 1e6 + 0.5);
    (void)snprintf(text, sizeof(text), "%u.%06u", micro / 1000000, micro % 1000000);
    size_t size = strlen(text);
    while (text[size - 1] == '0') {
        size--;
    }
    text[text[size - 1] == '.' ? size - 1 : size] = '\0';
    put(writer, before);
    put(writer, text);
}

static void put_ring_member(struct writer *writer, const struct rh_client_ring_member *member)
{
    char weight[RH_WEIGHT_TEXT_SIZE];
    rh_weight_format(member->weight_milli, weight);
    put_text(writer, "{\"node\":", member->node);
    put_id(writer, ",\"instance\":", member->instance, false);
    put(writer, ",\"weight\":");
    put(writer, weight);
    put_text(writer, ",\"zone\":", member->zone);
    put_share(writer, ",\"share\":", member->share);
    put_text(writer, ",\"url\":", member->url);
    put(writer, "}");
}

int rh_client_json_ring(struct rh_buffer *output, const struct rh_client_ring *ring)
{
    struct writer writer = begin(output);
    put_text(&writer, "{\"cluster\":", ring->cluster);
    put_u64(&writer, ",\"generation\":", ring->generation);
    put_i64(&writer, ",\"epoch\":", ring->epoch);
    put_id(&writer, ",\"digest\":", ring->digest, false);
    put_u64(&writer, ",\"vnodes\":", ring->vnodes);
    put_u64(&writer, ",\"replicas\":", ring->replicas);
    put(&writer, ",\"members\":[");
    for (size_t i = 0; i < ring->members_count; i++) {
        put(&writer, i == 0 ? "" : ",");
        put_ring_member(&writer, &ring->members[i]);
    }
    put(&writer, "]}");
    return end(&writer);
}
