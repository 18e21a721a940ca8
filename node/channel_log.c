/* SPDX-License-Identifier: Apache-2.0 */
#include "node/channel_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4

/* What follows the payload of a state operation; unaligned. The content type comes after it. */
struct state_part {
    uint64_t version;
    uint8_t content_type_size;
};

/* Likewise of an entry with a topic, which comes after it. */
struct topic_part {
    struct rh_position position;
    uint16_t topic_size;
};

static bool is_state_kind(enum rh_entry_kind kind)
{
    return kind == RH_ENTRY_STATE || kind == RH_ENTRY_STATE_DELETE;
}

static bool is_message(const struct rh_entry *entry)
{
    return entry->entry_kind == RH_ENTRY_MESSAGE;
}

struct rh_entry *rh_entry_create(const struct rh_entry_draft *draft)
{
    struct rh_bytes id = draft->id;
    struct rh_bytes payload = draft->payload.bytes;
    assert(id.size <= RH_ENTRY_ID_SIZE_MAX);
    assert(is_state_kind(draft->kind) == (draft->version != 0));
    assert(!is_state_kind(draft->kind) || draft->topic.size == 0);
    assert(draft->kind == RH_ENTRY_STATE || draft->content_type.size == 0);
    assert(draft->content_type.size <= RH_ENTRY_ID_SIZE_MAX);
    if (payload.size > UINT32_MAX) {
        return NULL;
    }
    struct state_part state = {
        .version = draft->version,
        .content_type_size = (uint8_t)draft->content_type.size,
    };
    size_t state_size = is_state_kind(draft->kind) ? sizeof(state) : 0;
    const struct topic_part topic = {
        .position = draft->position,
        .topic_size = (uint16_t)draft->topic.size,
    };
    size_t topic_size = draft->topic.size == 0 ? 0 : sizeof(topic) + draft->topic.size;
    /* Not less than the struct: what is assigned as a whole may be written with its padding. */
    size_t size = offsetof(struct rh_entry, data) + id.size + payload.size + state_size +
                  draft->content_type.size + topic_size;
    struct rh_entry *entry = malloc(size < sizeof(*entry) ? sizeof(*entry) : size);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct rh_entry){
        .references = 1,
        .kind = (uint8_t)draft->payload.kind,
        .entry_kind = (uint8_t)draft->kind,
        .in_window = draft->in_window,
        .has_topic = draft->topic.size > 0,
        .id_size = (uint8_t)id.size,
        .seq = draft->seq,
        .time_ms = draft->time_ms,
        .payload_size = (uint32_t)payload.size,
    };
    char *out = rh_bytes_write(entry->data, id);
    out = rh_bytes_write(out, payload);
    memcpy(out, &state, state_size);
    out = rh_bytes_write(out + state_size, draft->content_type);
    if (topic_size > 0) {
        memcpy(out, &topic, sizeof(topic));
        (void)rh_bytes_write(out + sizeof(topic), draft->topic);
    }
    return entry;
}

struct rh_entry *rh_entry_take(struct rh_entry *entry)
{
    entry->references++;
    return entry;
}

void rh_entry_give(struct rh_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    assert(entry->references > 0);
    entry->references--;
    if (entry->references == 0) {
        free(entry);
    }
}

uint64_t rh_entry_version(const struct rh_entry *entry)
{
    struct state_part state = {0};
    if (is_state_kind((enum rh_entry_kind)entry->entry_kind)) {
        memcpy(&state, entry->data + rh_entry_bytes(entry), sizeof(state));
    }
    return state.version;
}

struct rh_bytes rh_entry_content_type(const struct rh_entry *entry)
{
    struct state_part state = {0};
    if (!is_state_kind((enum rh_entry_kind)entry->entry_kind)) {
        return rh_bytes(NULL, 0);
    }
    const char *part = entry->data + rh_entry_bytes(entry);
    memcpy(&state, part, sizeof(state));
    return rh_bytes(part + sizeof(state), state.content_type_size);
}

struct rh_bytes rh_entry_topic(const struct rh_entry *entry)
{
    struct topic_part topic;
    if (!entry->has_topic) {
        return rh_bytes(NULL, 0);
    }
    const char *part = entry->data + rh_entry_bytes(entry);
    memcpy(&topic, part, sizeof(topic));
    return rh_bytes(part + sizeof(topic), topic.topic_size);
}

struct rh_position rh_entry_position(const struct rh_entry *entry)
{
    struct topic_part topic = {0};
    if (entry->has_topic) {
        memcpy(&topic, entry->data + rh_entry_bytes(entry), sizeof(topic));
    }
    return topic.position;
}

void rh_channel_log_init(struct rh_channel_log *log, uint64_t next_op)
{
    assert(next_op > 0);
    *log = (struct rh_channel_log){.first_op = next_op};
}

static struct rh_entry *at(const struct rh_channel_log *log, uint32_t index)
{
    return log->slots[(log->head + index) & (log->capacity - 1)];
}

/* What |entry| counted for, now that it leaves the log; and its reference. */
static void let_go(struct rh_channel_log *log, struct rh_entry *entry)
{
    log->bytes -= rh_entry_bytes(entry);
    log->messages -= is_message(entry) ? 1 : 0;
    log->count--;
    rh_entry_give(entry);
}

static void drop_first(struct rh_channel_log *log)
{
    struct rh_entry *entry = at(log, 0);
    log->head = (log->head + 1) & (log->capacity - 1);
    log->first_op++;
    let_go(log, entry);
}

void rh_channel_log_finish(struct rh_channel_log *log)
{
    if (log == NULL) {
        return;
    }
    while (log->count > 0) {
        drop_first(log);
    }
    free(log->slots);
    *log = (struct rh_channel_log){.first_op = log->first_op};
}

struct rh_channel_log *rh_channel_log_create(uint64_t next_op)
{
    struct rh_channel_log *log = malloc(sizeof(*log));
    if (log != NULL) {
        rh_channel_log_init(log, next_op);
    }
    return log;
}

void rh_channel_log_destroy(struct rh_channel_log *log)
{
    rh_channel_log_finish(log);
    free(log);
}

static int grow(struct rh_channel_log *log)
{
    if (log->capacity > UINT32_MAX / 2) {
        return RH_ERR_NO_MEMORY;
    }
    uint32_t capacity = log->capacity == 0 ? CAPACITY_MIN : log->capacity * 2;
    struct rh_entry **slots = calloc(capacity, sizeof(struct rh_entry *));
    if (slots == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < log->count; i++) {
        slots[i] = at(log, i);
    }
    free(log->slots);
    log->slots = slots;
    log->capacity = capacity;
    log->head = 0;
    return 0;
}

int rh_channel_log_append(struct rh_channel_log *log, struct rh_entry *entry)
{
    assert(log->count == 0 ||
           entry->seq == at(log, log->count - 1)->seq + (is_message(entry) ? 1 : 0));
    if (log->count == log->capacity) {
        int rv = grow(log);
        if (rv != 0) {
            return rv;
        }
    }
    log->slots[(log->head + log->count) & (log->capacity - 1)] = entry;
    log->count++;
    log->messages += is_message(entry) ? 1 : 0;
    log->bytes += rh_entry_bytes(entry);
    return 0;
}

/* Whether the first entry, which is committed, has to go. */
static bool first_must_go(const struct rh_channel_log *log,
                          const struct rh_channel_log_limits *limits, uint64_t commit,
                          int64_t time_ms)
{
    const struct rh_entry *first = at(log, 0);
    if (!is_message(first) || log->messages > limits->messages_max ||
        log->count > 2 * (uint64_t)limits->messages_max ||
        time_ms - first->time_ms > (int64_t)limits->age_ms_max) {
        return true;
    }
    uint64_t last_op = rh_channel_log_last_op(log);
    const struct rh_entry *committed = rh_channel_log_get(log, commit < last_op ? commit : last_op);
    return log->bytes > limits->bytes_max && committed->seq != first->seq;
}

void rh_channel_log_trim(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                         uint64_t commit, int64_t time_ms)
{
    assert(limits->messages_max > 0);
    while (log != NULL && log->count > 0 && log->first_op <= commit &&
           first_must_go(log, limits, commit, time_ms)) {
        drop_first(log);
    }
}

void rh_channel_log_cut(struct rh_channel_log *log, uint64_t op)
{
    if (log == NULL) {
        return;
    }
    while (log->count > 0 && rh_channel_log_last_op(log) > op) {
        let_go(log, at(log, log->count - 1));
    }
    if (log->first_op > op + 1) {
        log->first_op = op + 1;
    }
}

struct rh_entry *rh_channel_log_get(const struct rh_channel_log *log, uint64_t op)
{
    if (log == NULL || op < log->first_op || op - log->first_op >= log->count) {
        return NULL;
    }
    return at(log, (uint32_t)(op - log->first_op));
}

/* Index of the first entry with that seq or a later one; `count` if there is none. */
static uint32_t index_of_seq(const struct rh_channel_log *log, uint64_t seq)
{
    uint64_t first_seq = at(log, 0)->seq;
    if (log->messages == log->count && seq >= first_seq) {
        return seq - first_seq < log->count ? (uint32_t)(seq - first_seq) : log->count;
    }
    uint32_t low = 0;
    uint32_t high = log->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (at(log, middle)->seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct rh_entry *rh_channel_log_find_seq(const struct rh_channel_log *log, uint64_t seq,
                                         uint64_t *ret_op)
{
    if (log == NULL || log->count == 0) {
        return NULL;
    }
    uint32_t index = index_of_seq(log, seq);
    if (index == log->count) {
        return NULL;
    }
    /* Of the entries with one seq the message is the first; state operations follow it. */
    struct rh_entry *entry = at(log, index);
    if (entry->seq != seq || !is_message(entry)) {
        return NULL;
    }
    if (ret_op != NULL) {
        *ret_op = log->first_op + index;
    }
    return entry;
}

uint64_t rh_channel_log_first_seq(const struct rh_channel_log *log, uint64_t next_seq)
{
    if (log == NULL || log->messages == 0) {
        return next_seq;
    }
    const struct rh_entry *first = at(log, 0);
    return is_message(first) ? first->seq : first->seq + 1;
}
