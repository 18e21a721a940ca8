/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CHANNEL_LOG_H
#define RH_NODE_CHANNEL_LOG_H

/*
 * The log of a channel: its recent messages, numbered by consecutive seq from 1, kept within
 * limits of count, bytes and age. Not for: who gets them (node/channel.h).
 *
 *      1 ... first_seq-1      first_seq ................. last_seq
 *      trimmed, gone          held: `count` entries
 *
 * An empty log has first_seq == last_seq + 1; a new one has first_seq 1, last_seq 0.
 */

#include "proto/payload.h"

#include <stddef.h>
#include <stdint.h>

/* One message. Immutable; shared by reference, so that a delivery may outlive a trim. */
struct rh_entry {
    unsigned references;
    enum rh_payload_kind kind;
    uint64_t seq;
    int64_t time_ms; /* Unix time at which the owner took it */
    uint32_t id_size;
    uint32_t payload_size;
    char data[]; /* message id, then payload */
};

static inline struct rh_bytes rh_entry_id(const struct rh_entry *entry)
{
    return rh_bytes(entry->data, entry->id_size);
}

static inline struct rh_payload rh_entry_payload(const struct rh_entry *entry)
{
    return (struct rh_payload){
        .kind = entry->kind,
        .bytes = rh_bytes(entry->data + entry->id_size, entry->payload_size),
    };
}

/* Bytes that the entry takes towards a client at most: each of a text may be an escape of six in
 * JSON, each of an id one of two, base64 makes four of three; and the names around them. */
static inline uint64_t rh_entry_client_size_max(const struct rh_entry *entry)
{
    uint64_t payload = entry->kind == RH_PAYLOAD_TEXT ? 6 * (uint64_t)entry->payload_size
                       : entry->kind == RH_PAYLOAD_BINARY
                           ? (uint64_t)entry->payload_size / 3 * 4 + 4
                           : entry->payload_size;
    return payload + 2 * (uint64_t)entry->id_size + 128;
}

struct rh_entry *rh_entry_take(struct rh_entry *entry);
void rh_entry_give(struct rh_entry *entry); /* NULL is allowed */

struct rh_channel_log_limits {
    uint32_t messages_max; /* at least 1 */
    uint64_t bytes_max;    /* ids and payloads together; the newest entry is kept in any case */
    uint32_t age_ms_max;
};

struct rh_channel_log {
    struct rh_entry *
        *slots; /* circular, capacity a power of two; NULL while nothing was appended */
    size_t capacity;
    size_t head; /* slot of first_seq */
    size_t count;
    uint64_t first_seq;
    uint64_t bytes; /* ids and payloads of the entries held */
};

/* Makes an empty log; owns no memory until the first append. */
void rh_channel_log_init(struct rh_channel_log *log);
void rh_channel_log_finish(struct rh_channel_log *log);

static inline uint64_t rh_channel_log_last_seq(const struct rh_channel_log *log)
{
    return log->first_seq + log->count - 1;
}

/*
 * Appends a message as last_seq + 1 and trims to |limits|. |ret_entry| stays the log's: take a
 * reference to keep it. RH_ERR_NO_MEMORY: nothing changed.
 */
RH_MUST_CHECK int rh_channel_log_append(struct rh_channel_log *log,
                                        const struct rh_channel_log_limits *limits,
                                        struct rh_bytes id, struct rh_payload payload,
                                        int64_t time_ms, struct rh_entry **ret_entry);

/* The entry of |seq|, or NULL when it is not held. Valid until the next append or trim. */
struct rh_entry *rh_channel_log_get(const struct rh_channel_log *log, uint64_t seq);

/* Drops entries older than the age limit, at the Unix time |time_ms|. */
void rh_channel_log_expire(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                           int64_t time_ms);

#endif
