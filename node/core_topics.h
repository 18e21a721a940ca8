/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_TOPICS_H
#define RH_NODE_CORE_TOPICS_H

/*
 * Channels that follow others: docs/topics.md has the states, messages and rules. Internal to the core.
 *
 *   core_topics.c    at the topic's owner: a reader for each node that has followers
 *   core_feeds.c     at the followers' owner: a feed for each topic that channels here follow
 *   core_follows.c   requests: follow, unfollow, list
 *   core_followers.c who follows a topic: asked of all nodes
 */

#include "base/list.h"
#include "base/table.h"
#include "node/core.h"

struct rh_core;
struct rh_channel;
struct rh_entry;
struct rh_follow;
struct rh_peer_topic_batch;
struct rh_pending;
struct rh_process;
struct rh_request_ref;
struct rh_core_route;

/* A node that wants what is published to a topic. Its list is its state. */
struct rh_topic_reader {
    struct rh_topic_reader *next; /* of the channel */
    struct rh_list link;          /* rh_topics::{due,sent,idle,held_readers} */
    struct rh_channel *channel;
    struct rh_process *process;
    uint64_t number;          /* of its ask */
    uint64_t heard_ms;        /* when it last said something */
    uint64_t sent_ms;         /* SENT */
    uint64_t incarnation;     /* 0: not started, `after` is where it wants to begin */
    uint64_t acked;           /* it has everything up to there */
    struct rh_position after; /* as asked */
    uint32_t followers;
    bool has_after;
    bool has_begun; /* knows where it begins */
};

enum rh_feed_state {
    RH_FEED_ASKING,    /* asks, or is about to */
    RH_FEED_STREAMING, /* is told what comes */
};

/* What the channels that this node serves want of one topic. */
struct rh_feed {
    struct rh_table_link table_link; /* rh_topics::feeds, by topic */
    struct rh_list link;             /* rh_topics::{asking,streaming} */
    struct rh_list lag_link;         /* rh_topics::lagging: somebody is behind; or none */
    struct rh_list give_link;        /* rh_topics::giving, with `giving` */
    struct rh_list in_step;          /* rh_follow::link */
    struct rh_list given;            /* rh_follow::link: in step, and have what is being given */
    struct rh_list behind;           /* rh_follow::link */
    struct rh_list waiting; /* rh_pending::channel_link: follows that wait to know the end */
    enum rh_feed_state state;
    struct rh_process *source;          /* who is, or was, asked; NULL: nobody yet */
    uint64_t number;                    /* of the ask */
    uint64_t ask_ms;                    /* ASKING: when to ask, or ask again */
    uint64_t heard_ms;                  /* STREAMING: last word in either direction */
    uint64_t incarnation;               /* of what was told last; 0: nothing was */
    uint64_t up_to;                     /* told up to there */
    struct rh_peer_topic_batch *giving; /* not all have it yet; owned, NULL: none */
    struct rh_position asked;           /* ASKING, with asked_after */
    bool asked_after;
    bool is_hinted; /* `source` was named by who was asked before */
    uint32_t followers_count;
    uint16_t topic_size;
    char topic[];
};

struct rh_topics {
    /* As an owner of topics. */
    struct rh_list due;          /* have something to be sent */
    struct rh_list sent;         /* one batch is on its way; by sent_ms */
    struct rh_list idle;         /* by heard_ms */
    struct rh_list held_readers; /* the channel is not served here yet; by heard_ms */
    /* As an owner of followers. */
    struct rh_table feeds;
    struct rh_list asking;
    struct rh_list streaming; /* by heard_ms */
    struct rh_list lagging;
    struct rh_list giving;
    uint64_t number;  /* of the last ask */
    uint64_t look_ms; /* when to look at what waits for time */
    uint64_t cursor;  /* of the scan */
    bool is_scanning; /* feeds whose source may be gone */
    /* For clients that ask who follows. */
    struct rh_list gatherings; /* by deadline */
    uint32_t gatherings_count;
    uint64_t gathering_number; /* of the last one */
};

RH_MUST_CHECK int rh_topics_init(struct rh_topics *topics);
void rh_topics_finish(struct rh_core *core);

/* The channel is served here from now on, or not any more. */
void rh_core_topics_role(struct rh_core *core, struct rh_channel *channel);

/* Does to the table of the channel what an operation says that is about to be appended. */
RH_MUST_CHECK int rh_core_follows_apply(struct rh_core *core, struct rh_channel *channel,
                                        const struct rh_entry *entry);

/* Time has passed: sends what is due, asks again. When it has to come next; UINT64_MAX: never. */
void rh_core_topics_tick(struct rh_core *core);
uint64_t rh_core_topics_ms(const struct rh_core *core);

/* ---- core_topics.c ---- */

/* Something was committed in a channel that has readers. */
void rh_core_readers_committed(struct rh_core *core, struct rh_channel *channel);

/* The channel is served here from now on; it is not any more. */
void rh_core_readers_wake(struct rh_core *core, struct rh_channel *channel);
void rh_core_readers_end(struct rh_core *core, struct rh_channel *channel);

/* A view was adopted, or a link came up. */
void rh_core_readers_retry(struct rh_core *core);
void rh_core_readers_peer_up(struct rh_core *core, const struct rh_process *process);

void rh_core_readers_tick(struct rh_core *core);
uint64_t rh_core_readers_ms(const struct rh_core *core);
void rh_core_readers_free(struct rh_core *core, struct rh_channel *channel);

void rh_core_on_topic_ask(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);
void rh_core_on_topic_ack(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);

/* At either end. */
void rh_core_on_topic_end(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message);

/* Nobody there wants it any more. */
void rh_core_reader_leave(struct rh_core *core, const struct rh_process *from,
                          const struct rh_peer_topic_end *end);

/* ---- core_feeds.c ---- */

/* The channel is served here from now on: what it follows is fed; it is not any more. */
void rh_core_feeds_attach(struct rh_core *core, struct rh_channel *channel);
void rh_core_feeds_detach(struct rh_core *core, struct rh_channel *channel);

/* One item of its table, just made; or about to go. */
void rh_core_feed_attach(struct rh_core *core, struct rh_channel *channel,
                         struct rh_follow *follow);
void rh_core_feed_detach(struct rh_core *core, struct rh_follow *follow);

/* The feed of a topic, made if need be; NULL when out of memory. */
struct rh_feed *rh_core_feed_get(struct rh_core *core, struct rh_bytes topic);

/* |pending|, which is in no list, waits for the feed to know where the topic's log ends. */
void rh_core_feed_wait(struct rh_core *core, struct rh_feed *feed, struct rh_pending *pending);

/* The keys of channels that this node serves and that follow |topic|, at most |limit| and about
 * RH_PEER_BATCH_SIZE bytes of them, in memory of this step; |ret_total|: how many there are. */
const struct rh_bytes *rh_core_feed_followers(struct rh_core *core, struct rh_bytes topic,
                                              uint32_t limit, size_t *ret_count,
                                              uint32_t *ret_total);

/* Feeds whose source may be gone are looked at, in small steps. */
void rh_core_feeds_scan(struct rh_core *core);

void rh_core_feeds_tick(struct rh_core *core);
uint64_t rh_core_feeds_ms(const struct rh_core *core);
void rh_core_feeds_finish(struct rh_core *core);

void rh_core_on_topic_batch(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message);
void rh_core_feed_ended(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_topic_end *end);

/* ---- core_follows.c ---- */

void rh_core_follow(struct rh_core *core, const struct rh_event *event);
void rh_core_on_follow_ask(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message);
void rh_core_on_follow_answer(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message);

/* As rh_core_serve(), of a request about what a channel follows. */
bool rh_core_serve_follow(struct rh_core *core, const struct rh_request_ref *request,
                          const struct rh_core_route *route, struct rh_pending *pending);

/* The operation that a request waited for is committed. */
void rh_core_follow_committed(struct rh_core *core, const struct rh_pending *pending,
                              const struct rh_channel *channel);

/* Sends a pending request to its target. */
void rh_core_follow_forward(struct rh_core *core, const struct rh_pending *pending,
                            const struct rh_request_ref *request);

void rh_core_follow_refuse(struct rh_core *core, const struct rh_request_ref *request,
                           enum rh_refusal refusal);
void rh_core_follow_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                              const char *owner);

/* The table of a channel as a message wants it, in memory of this step. */
const struct rh_peer_follow *
rh_core_follows_list(struct rh_core *core, const struct rh_channel *channel, size_t *ret_count);

/* ---- core_followers.c ---- */

void rh_core_followers(struct rh_core *core, const struct rh_event *event);
void rh_core_on_followers_ask(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message);
void rh_core_on_followers_answer(struct rh_core *core, struct rh_process *from,
                                 const struct rh_peer_message *message);

/* Questions whose time is over are answered with what there is. */
void rh_core_followers_tick(struct rh_core *core);
uint64_t rh_core_followers_ms(const struct rh_core *core);
void rh_core_followers_finish(struct rh_core *core);

#endif
