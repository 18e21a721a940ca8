/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of what proto/peer_streams.h declares. */
#include "proto/peer_message_internal.h"

/* What a message counts for beside its payloads, and each stream that it is for. */
#define WEIGHT_MESSAGE 64U
#define WEIGHT_STREAM  16U

static uint64_t weight_of(size_t streams_count, const struct rh_peer_operation *messages,
                          size_t messages_count)
{
    uint64_t weight = WEIGHT_MESSAGE + WEIGHT_STREAM * (uint64_t)streams_count;
    for (size_t i = 0; i < messages_count; i++) {
        weight += WEIGHT_MESSAGE + messages[i].id.size + messages[i].payload.bytes.size;
    }
    return weight;
}

uint64_t rh_peer_stream_batch_weight(const struct rh_peer_stream_batch *batch)
{
    return weight_of(batch->streams_count, batch->messages, batch->messages_count);
}

uint64_t rh_peer_stream_read_weight(const struct rh_peer_stream_read *read)
{
    return weight_of(1, read->messages, read->messages_count);
}

static int fail(const char *name, const char *field, const char *what, struct rh_reason *reason)
{
    return rh_fail(reason, RH_ERR_INVALID, "%s.%s: %s", name, field, what);
}

static int check_tunnel(uint64_t tunnel, uint64_t number, const char *name,
                        struct rh_reason *reason)
{
    if (tunnel == 0) {
        return fail(name, "tunnel", "is 0", reason);
    }
    return number != 0 ? 0 : fail(name, "number", "is 0", reason);
}

/* What all messages about one stream begin with. */
static int check_stream(uint64_t tunnel, uint64_t number, uint64_t stream, const char *name,
                        struct rh_reason *reason)
{
    int rv = check_tunnel(tunnel, number, name, reason);
    if (rv == 0 && stream == 0) {
        rv = fail(name, "stream", "is 0", reason);
    }
    return rv;
}

static int check_seq(uint64_t seq, const char *name, struct rh_reason *reason)
{
    return seq <= INT64_MAX ? 0 : fail(name, "seq", "2^63 or above", reason);
}

static int check_open_position(const struct rh_peer_stream_open *open, struct rh_reason *reason)
{
    bool is_zero = open->after.incarnation == 0 && open->after.seq == 0;
    if (!open->has_after && !is_zero) {
        return fail("stream_open", "has_after", "false beside a position", reason);
    }
    if (open->after.incarnation == 0 && open->after.seq != 0) {
        return fail("stream_open", "seq", "without an incarnation", reason);
    }
    return check_seq(open->after.seq, "stream_open", reason);
}

static int check_open_name(const struct rh_peer_stream_open *open, struct rh_reason *reason)
{
    const struct rh_peer_present named = {.client = open->client, .meta = open->meta};
    if (open->is_read && (open->client.size > 0 || open->watches_state || open->watches_presence)) {
        return fail("stream_open", "client", "of a read, or it watches", reason);
    }
    if (open->client.size == 0) {
        return open->meta.size == 0 ? 0 : fail("stream_open", "meta", "of nobody", reason);
    }
    return rh_peer_check_clients(&named, 1, "stream_open", reason);
}

int rh_peer_check_stream_open(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_open *open = &message->stream_open;
    int rv = check_stream(open->tunnel, open->number, open->stream, "stream_open", reason);
    if (rv == 0) {
        rv = rh_peer_check_key(open->key, "stream_open", reason);
    }
    if (rv == 0) {
        rv = check_open_position(open, reason);
    }
    if (rv != 0) {
        return rv;
    }
    if (open->is_anchored && !(open->is_read && open->has_after)) {
        return fail("stream_open", "is_anchored", "not of a read with a position", reason);
    }
    if (open->limit > RH_PEER_STREAM_LIMIT_MAX || (open->limit > 0) != open->is_read) {
        return fail("stream_open", "limit", "out of range", reason);
    }
    if (open->wait_ms > (open->is_read ? RH_PEER_STREAM_WAIT_MS_MAX : 0)) {
        return fail("stream_open", "wait_ms", "out of range", reason);
    }
    if ((open->window == 0) != open->is_read) {
        return fail("stream_open", "window", "of a read, or none", reason);
    }
    if (open->used != 0 && open->is_read) {
        return fail("stream_open", "used", "of a read", reason);
    }
    if (open->room_min > open->window || (open->room_min == 0) != open->is_read) {
        return fail("stream_open", "room_min", "out of range", reason);
    }
    return check_open_name(open, reason);
}

int rh_peer_check_stream_show(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_show *show = &message->stream_show;
    return check_stream(show->tunnel, show->number, show->stream, "stream_show", reason);
}

int rh_peer_check_stream_close(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_close *close = &message->stream_close;
    return check_stream(close->tunnel, close->number, close->stream, "stream_close", reason);
}

int rh_peer_check_stream_taken(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_taken *taken = &message->stream_taken;
    int rv = check_tunnel(taken->tunnel, taken->number, "stream_taken", reason);
    if (rv == 0 && taken->rooms_count > RH_PEER_STREAMS_MAX) {
        rv = fail("stream_taken", "rooms", "too many", reason);
    }
    for (size_t i = 0; rv == 0 && i < taken->rooms_count; i++) {
        if (taken->rooms[i].stream == 0 || taken->rooms[i].size == 0) {
            rv = fail("stream_taken", "rooms", "of no stream, or no room", reason);
        }
    }
    return rv;
}

int rh_peer_check_tunnel_check(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_tunnel_check *check = &message->tunnel_check;
    return check->tunnel != 0 ? 0 : fail("tunnel_check", "tunnel", "is 0", reason);
}

int rh_peer_check_stream_opened(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_opened *opened = &message->stream_opened;
    int rv = check_stream(opened->tunnel, opened->number, opened->stream, "stream_opened", reason);
    if (rv == 0 && opened->incarnation == 0 && opened->seq != 0) {
        rv = fail("stream_opened", "seq", "without an incarnation", reason);
    }
    return rv == 0 ? check_seq(opened->seq, "stream_opened", reason) : rv;
}

static int check_streams(const uint64_t *streams, size_t count, const char *name,
                         struct rh_reason *reason)
{
    if (count == 0 || count > RH_PEER_STREAMS_MAX) {
        return fail(name, "streams", "none, or too many", reason);
    }
    for (size_t i = 0; i < count; i++) {
        if (streams[i] == 0) {
            return fail(name, "streams", "one is 0", reason);
        }
    }
    return 0;
}

int rh_peer_check_stream_batch(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_batch *messages = &message->stream_batch;
    int rv = check_tunnel(messages->tunnel, messages->number, "stream_batch", reason);
    if (rv == 0) {
        rv = check_streams(messages->streams, messages->streams_count, "stream_batch", reason);
    }
    if (rv == 0 && messages->incarnation == 0) {
        rv = fail("stream_batch", "incarnation", "is 0", reason);
    }
    if (rv == 0 && messages->messages_count == 0) {
        rv = fail("stream_batch", "messages", "none", reason);
    }
    return rv == 0 ? rh_peer_check_messages(messages->messages, messages->messages_count,
                                            "stream_batch", reason)
                   : rv;
}

int rh_peer_check_stream_read(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_read *read = &message->stream_read;
    int rv = check_stream(read->tunnel, read->number, read->stream, "stream_read", reason);
    if (rv == 0) {
        rv = check_seq(read->seq, "stream_read", reason);
    }
    if (rv == 0) {
        rv = rh_peer_check_messages(read->messages, read->messages_count, "stream_read", reason);
    }
    if (rv == 0 && read->incarnation == 0 && (read->seq != 0 || read->messages_count > 0)) {
        rv = fail("stream_read", "incarnation", "is 0 beside messages or a seq", reason);
    }
    if (rv == 0 && read->messages_count > 0 &&
        read->messages[read->messages_count - 1].seq != read->seq) {
        rv = fail("stream_read", "seq", "not that of the last message", reason);
    }
    return rv;
}

uint64_t rh_peer_stream_state_weight(const struct rh_peer_stream_state *state)
{
    return weight_of(state->streams_count, state->state, state->state_count);
}

int rh_peer_check_stream_state(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_state *state = &message->stream_state;
    int rv = check_tunnel(state->tunnel, state->number, "stream_state", reason);
    if (rv == 0) {
        rv = check_streams(state->streams, state->streams_count, "stream_state", reason);
    }
    if (rv != 0 || state->state_count == 0) {
        return rv;
    }
    if (state->state_count > 1 || state->state[0].kind == RH_PEER_OPERATION_MESSAGE) {
        return fail("stream_state", "state", "more than one, or a message", reason);
    }
    return rh_peer_check_operation(&state->state[0], true, "stream_state", reason);
}

static uint64_t weight_of_clients(struct rh_peer_present_list list)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < list.count; i++) {
        weight += WEIGHT_MESSAGE + list.items[i].client.size + list.items[i].meta.size;
    }
    return weight;
}

uint64_t rh_peer_stream_presence_weight(const struct rh_peer_stream_presence *presence)
{
    return weight_of(presence->streams_count, NULL, 0) + weight_of_clients(presence->left) +
           weight_of_clients(presence->joined) + weight_of_clients(presence->changed);
}

int rh_peer_check_stream_presence(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_presence *presence = &message->stream_presence;
    int rv = check_tunnel(presence->tunnel, presence->number, "stream_presence", reason);
    if (rv == 0) {
        rv = check_streams(presence->streams, presence->streams_count, "stream_presence", reason);
    }
    if (rv == 0 && presence->incarnation == 0) {
        rv = fail("stream_presence", "incarnation", "is 0", reason);
    }
    if (rv == 0 && presence->is_whole &&
        (presence->left.count > 0 || presence->changed.count > 0)) {
        rv = fail("stream_presence", "is_whole", "beside changes", reason);
    }
    const struct rh_peer_present_list lists[] = {presence->left, presence->joined,
                                                 presence->changed};
    for (size_t i = 0; rv == 0 && i < sizeof(lists) / sizeof(lists[0]); i++) {
        rv = rh_peer_check_clients(lists[i].items, lists[i].count, "stream_presence", reason);
    }
    return rv;
}

int rh_peer_check_stream_ended(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_stream_ended *ended = &message->stream_ended;
    int rv = check_stream(ended->tunnel, ended->number, ended->stream, "stream_ended", reason);
    if (rv != 0) {
        return rv;
    }
    if (ended->owner[0] != '\0' && (ended->code.size > 0 || !rh_peer_node_id_valid(ended->owner))) {
        return fail("stream_ended", "owner", "not a node id, or of a refusal", reason);
    }
    if (!rh_peer_code_valid(ended->code)) {
        return fail("stream_ended", "code", "not an error code", reason);
    }
    return 0;
}

int rh_peer_check_tunnel_state(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_tunnel_state *state = &message->tunnel_state;
    if (state->tunnel == 0) {
        return fail("tunnel_state", "tunnel", "is 0", reason);
    }
    return state->is_broken && state->number != 0
               ? fail("tunnel_state", "number", "of a broken tunnel", reason)
               : 0;
}
