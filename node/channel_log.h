/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CHANNEL_LOG_H
#define RH_NODE_CHANNEL_LOG_H

/*
 * The log of a channel: its recent operations, by consecutive op from 1, kept within limits of
 * count, bytes and age. An operation is a message, which also takes the next seq, or a change of the
 * state document, which has no seq of its own. Not for: who gets them (node/channel.h), what they
 * mean, which term gave them (node/terms.h).
 *
 *      op   1 ... first_op-1     first_op ................. last_op
 *           trimmed, gone        held: `count` entries, `messages` of them messages
 *
 * An empty log has first_op == last_op + 1. A channel that holds nothing need not have a log:
 * whoever only looks, trims or cuts may pass NULL for one. The channel itself knows its last op and
 * its last seq.
 */

#include "proto/payload.h"
#include "proto/position.h"

#include <stddef.h>
#include <stdint.h>

#define RH_ENTRY_ID_SIZE_MAX 255 /* bytes of an id, or of a content type */

enum rh_entry_kind {
    RH_ENTRY_MESSAGE,
    RH_ENTRY_STATE,        /* the state document is the payload from now on */
    RH_ENTRY_STATE_DELETE, /* there is no state document any more */
    RH_ENTRY_FOLLOW,       /* the topic is followed, from after the position */
    RH_ENTRY_UNFOLLOW,     /* the topic is not followed any more */
};

/* One operation. Immutable; shared by reference, so that a delivery may outlive a trim. There is one
 * of each message, so it is no larger than need be. */
struct rh_entry {
    unsigned references;
    uint8_t kind;       /* enum rh_payload_kind: of the payload */
    uint8_t entry_kind; /* enum rh_entry_kind */
    bool in_window : 1; /* its id is to be remembered: somebody may publish it again */
    bool has_topic : 1; /* a follow or unfollow, or a message that came by a topic */
    uint8_t id_size;
    uint64_t seq;    /* of a message its own; otherwise that of the last message, or 0 */
    int64_t time_ms; /* Unix time at which the acting owner took it */
    uint32_t payload_size;
    char
        data[]; /* id, payload, and of a state operation version and content type; or, with a topic,
                    that and a position in it */
};

/* What makes an entry; fields as in struct rh_entry. Slices are copied. */
struct rh_entry_draft {
    enum rh_entry_kind kind;
    uint64_t seq;
    uint64_t version; /* of the state document; of anything else 0 */
    bool in_window;
    int64_t time_ms;
    struct rh_bytes id; /* of the message, or of the write; at most RH_ENTRY_ID_SIZE_MAX */
    struct rh_bytes content_type; /* STATE; at most RH_ENTRY_ID_SIZE_MAX */
    struct rh_payload payload;    /* at most UINT32_MAX bytes */
    struct rh_bytes topic; /* FOLLOW, UNFOLLOW; MESSAGE: where it came from, or empty. A key */
    struct rh_position position; /* in the topic */
};

/* An entry with one reference, the caller's; NULL when out of memory. */
struct rh_entry *rh_entry_create(const struct rh_entry_draft *draft);

struct rh_entry *rh_entry_take(struct rh_entry *entry);
void rh_entry_give(struct rh_entry *entry); /* NULL is allowed */

static inline struct rh_bytes rh_entry_id(const struct rh_entry *entry)
{
    return rh_bytes(entry->data, entry->id_size);
}

static inline struct rh_payload rh_entry_payload(const struct rh_entry *entry)
{
    return (struct rh_payload){
        .kind = (enum rh_payload_kind)entry->kind,
        .bytes = rh_bytes(entry->data + entry->id_size, entry->payload_size),
    };
}

/* Version of the state document that a state operation made; 0 of a message. */
uint64_t rh_entry_version(const struct rh_entry *entry);

/* Content type of the state document that a STATE made; empty of anything else. */
struct rh_bytes rh_entry_content_type(const struct rh_entry *entry);

/* The topic of a follow or an unfollow, or by which a message came; empty of anything else. */
struct rh_bytes rh_entry_topic(const struct rh_entry *entry);

/* The position in it; zeroed without. */
struct rh_position rh_entry_position(const struct rh_entry *entry);

/* What the entry counts for in `bytes` of a log: id and payload. */
static inline uint64_t rh_entry_bytes(const struct rh_entry *entry)
{
    return (uint64_t)entry->id_size + entry->payload_size;
}

/* Bytes that the entry takes towards a client at most: each of a text may be an escape of six in
 * JSON, each of an id one of two, base64 makes four of three; and the names around them. */
static inline uint64_t rh_entry_client_size_max(const struct rh_entry *entry)
{
    uint64_t payload = entry->kind == RH_PAYLOAD_TEXT ? 6 * (uint64_t)entry->payload_size
                       : entry->kind == RH_PAYLOAD_BINARY
                           ? (uint64_t)entry->payload_size / 3 * 4 + 4
                           : entry->payload_size;
    return payload + 2 * ((uint64_t)entry->id_size + rh_entry_topic(entry).size) +
           (entry->has_topic ? 256 : 128);
}

struct rh_channel_log_limits {
    uint32_t messages_max; /* at least 1; operations of all kinds: twice that */
    uint64_t bytes_max;    /* ids and payloads together */
    uint32_t age_ms_max;
};

struct rh_channel_log {
    struct rh_entry **slots; /* circular; NULL while nothing was appended */
    uint64_t first_op;
    uint64_t bytes;    /* ids and payloads of the entries held */
    uint32_t capacity; /* of slots: 0 or a power of two */
    uint32_t head;     /* slot of first_op */
    uint32_t count;
    uint32_t messages;
};

/* Makes an empty log whose first operation will be |next_op|, from 1; owns no memory until the first
 * append. */
void rh_channel_log_init(struct rh_channel_log *log, uint64_t next_op);
void rh_channel_log_finish(struct rh_channel_log *log);

/* The same in memory of its own; NULL when that is short. */
struct rh_channel_log *rh_channel_log_create(uint64_t next_op);
void rh_channel_log_destroy(struct rh_channel_log *log);

static inline uint64_t rh_channel_log_last_op(const struct rh_channel_log *log)
{
    return log->first_op + log->count - 1;
}

/*
 * Appends |entry| as last_op + 1 and takes over the caller's reference; nothing is trimmed. Its seq
 * must fit that of the entry before it, if there is one: whoever got it from elsewhere has checked.
 * RH_ERR_NO_MEMORY: nothing changed, the reference stays the caller's.
 */
RH_MUST_CHECK int rh_channel_log_append(struct rh_channel_log *log, struct rh_entry *entry);

/*
 * Drops from the front, never anything above |commit|:
 *   - messages, while there are too many of them, or of all operations;
 *   - messages, while all operations have too many bytes, but not the newest one up to |commit|;
 *   - messages that are too old at the Unix time |time_ms|;
 *   - operations on state that no message is before: the document itself says what they did.
 */
void rh_channel_log_trim(struct rh_channel_log *log, const struct rh_channel_log_limits *limits,
                         uint64_t commit, int64_t time_ms);

/* Drops everything above |op|. The next operation is |op| + 1, or remains what it was if that is
 * lower. */
void rh_channel_log_cut(struct rh_channel_log *log, uint64_t op);

/* The operation |op|, or NULL when it is not held. Valid until the next trim or cut. */
struct rh_entry *rh_channel_log_get(const struct rh_channel_log *log, uint64_t op);

/* The message |seq|, or NULL when it is not held; |ret_op| (may be NULL) is its op. */
struct rh_entry *rh_channel_log_find_seq(const struct rh_channel_log *log, uint64_t seq,
                                         uint64_t *ret_op);

/* The seq of the first message that is held; |next_seq| if there is none. */
uint64_t rh_channel_log_first_seq(const struct rh_channel_log *log, uint64_t next_seq);

#endif
