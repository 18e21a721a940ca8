/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_topics.h"

#include "node/core_internal.h"

#include <stdlib.h>

/*
 * What is published to a topic, for the nodes that have followers of it: a cursor into the log for
 * each node, and one batch on its way at a time. Nothing of this is part of the copy; who has
 * followers asks again (docs/topics.md).
 *
 *      ask --> HELD --served here--> DUE --sent--> SENT --acknowledged--> IDLE --committed--> DUE
 *                                     ^              |
 *                                     +-- 400 ms ----+
 */

#define SILENT_MS         30000U /* a reader that says nothing for so long is forgotten */
#define BATCHES_MAX       64U    /* sent in one tick */
#define SCANNED_MAX       4096U  /* messages looked at for one batch */
#define DELIVERIES_WANTED 1024U /* of one batch, by all followers of a node: one message at least */

static struct rh_topic_reader *reader_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_topic_reader, link);
}

static void set_list(struct rh_topic_reader *reader, struct rh_list *list)
{
    rh_list_remove(&reader->link);
    rh_list_push_back(list, &reader->link);
}

/* ---- life ---- */

static struct rh_topic_reader *find(const struct rh_channel *channel,
                                    const struct rh_process *process)
{
    struct rh_topic_reader *reader = channel == NULL ? NULL : rh_channel_readers(channel);
    while (reader != NULL && reader->process != process) {
        reader = reader->next;
    }
    return reader;
}

/* The channel is left to settle. */
static void drop(struct rh_core *core, struct rh_topic_reader *reader)
{
    struct rh_topic_reader **place = &reader->channel->dealings->readers;
    while (*place != reader) {
        place = &(*place)->next;
    }
    *place = reader->next;
    rh_core_dealings_settle(core, reader->channel);
    reader->channel->used_ms = core->now_ms;
    reader->process->groups--;
    rh_list_remove(&reader->link);
    core->stats.topic_readers--;
    free(reader);
}

void rh_core_readers_free(struct rh_core *core, struct rh_channel *channel)
{
    while (rh_channel_readers(channel) != NULL) {
        drop(core, rh_channel_readers(channel));
    }
}

static void send_end(struct rh_core *core, struct rh_process *to, struct rh_bytes topic,
                     uint64_t number, const char *owner)
{
    struct rh_peer_topic_end end = {.topic = topic, .number = number};
    memcpy(end.owner, owner, strlen(owner) + 1);
    if (to == core->self_process) {
        rh_core_feed_ended(core, to, &end);
        return;
    }
    if (!rh_core_is_reachable(core, to)) {
        return; /* it asks again */
    }
    end.topic = rh_core_scratch_bytes(core, topic);
    rh_core_send(core, to, RH_PEER_TOPIC_END)->topic_end = end;
}

/* Who is to be asked in place of this node. */
static const char *other_owner(const struct rh_core *core, const struct rh_channel *channel)
{
    if (channel->role == RH_ROLE_PASSING) {
        return channel->acting->passing_to->ref.id;
    }
    const struct rh_process *owner = rh_core_ring_owner(core, channel);
    return owner == NULL || owner == core->self_process ? "" : owner->ref.id;
}

/* Ends a reader that this node has nothing for. */
static void end(struct rh_core *core, struct rh_topic_reader *reader, const char *owner)
{
    struct rh_channel *channel = reader->channel;
    struct rh_process *process = reader->process;
    uint64_t number = reader->number;
    drop(core, reader);
    send_end(core, process, rh_channel_key(channel), number, owner);
}

void rh_core_readers_end(struct rh_core *core, struct rh_channel *channel)
{
    const char *owner = rh_channel_readers(channel) == NULL ? "" : other_owner(core, channel);
    while (rh_channel_readers(channel) != NULL) {
        end(core, rh_channel_readers(channel), owner);
    }
}

/* ---- where it begins ---- */

static bool is_served(const struct rh_core *core, const struct rh_channel *channel)
{
    return channel->incarnation != 0 &&
           (!core->options.replication || rh_role_serves((enum rh_role)channel->role));
}

/* Begins, if the channel is served here and knows as much as the reader (rule 1). */
static void begin(struct rh_core *core, struct rh_topic_reader *reader)
{
    const struct rh_channel *channel = reader->channel;
    if (!is_served(core, channel)) {
        return;
    }
    struct rh_resume resume = rh_channel_resume(channel, reader->has_after, reader->after);
    if (resume.is_ahead) {
        return;
    }
    reader->incarnation = channel->incarnation;
    reader->acked = resume.next_seq - 1;
    set_list(reader, &core->topics.due);
}

void rh_core_readers_wake(struct rh_core *core, struct rh_channel *channel)
{
    for (struct rh_topic_reader *reader = rh_channel_readers(channel); reader != NULL;
         reader = reader->next) {
        if (reader->incarnation == 0) {
            begin(core, reader);
        }
    }
}

void rh_core_readers_committed(struct rh_core *core, struct rh_channel *channel)
{
    for (struct rh_topic_reader *reader = rh_channel_readers(channel); reader != NULL;
         reader = reader->next) {
        if (reader->incarnation == 0) {
            begin(core, reader);
        } else if (reader->sent_ms == 0) {
            set_list(reader, &core->topics.due);
        }
    }
}

/* ---- batches ---- */

/* Messages from |seq| on for one batch; |*seq| is the last one that was looked at. */
static size_t collect(struct rh_core *core, const struct rh_topic_reader *reader, uint64_t *seq,
                      struct rh_peer_operation **ret_messages)
{
    const struct rh_channel *channel = reader->channel;
    uint64_t last = rh_channel_commit_seq(channel);
    uint64_t first = rh_channel_first_seq(channel);
    size_t max = reader->followers == 0 ? DELIVERIES_WANTED : DELIVERIES_WANTED / reader->followers;
    size_t count = 0;
    size_t size = 0;
    size_t capacity = 0;
    *seq = *seq + 1 < first ? first - 1 : *seq; /* trimmed before it could be sent */
    for (uint32_t looked = 0; *seq < last && looked < SCANNED_MAX; looked++) {
        struct rh_entry *entry = rh_channel_message(channel, *seq + 1);
        if (!entry->has_topic) {
            size += rh_entry_bytes(entry) + 32;
            if (count > 0 && (count >= max || size > RH_PEER_BATCH_SIZE)) {
                break;
            }
            if (count == capacity) {
                size_t wanted = capacity == 0 ? 8 : capacity * 4;
                struct rh_peer_operation *more = rh_core_scratch(core, wanted, sizeof(*more));
                if (count > 0) {
                    memcpy(more, *ret_messages, count * sizeof(*more));
                }
                *ret_messages = more;
                capacity = wanted;
            }
            (*ret_messages)[count] = rh_core_operation(core, entry);
            (*ret_messages)[count].in_window = false;
            count++;
        }
        (*seq)++;
    }
    return count;
}

static void send_batch(struct rh_core *core, struct rh_topic_reader *reader)
{
    struct rh_peer_operation *messages = NULL;
    uint64_t up_to = reader->acked;
    size_t count = collect(core, reader, &up_to, &messages);
    if (reader->has_begun && up_to == reader->acked) {
        reader->sent_ms = 0;
        set_list(reader, &core->topics.idle);
        return;
    }
    struct rh_peer_topic_batch batch = {
        .topic = rh_channel_key(reader->channel),
        .number = reader->number,
        .incarnation = reader->incarnation,
        .after = reader->acked,
        .up_to = up_to,
        .messages = messages,
        .messages_count = count,
    };
    reader->sent_ms = core->now_ms;
    set_list(reader, &core->topics.sent);
    core->stats.topic_batches++;
    if (reader->process == core->self_process) {
        const struct rh_peer_message message = {.kind = RH_PEER_TOPIC_BATCH, .topic_batch = batch};
        rh_core_on_topic_batch(core, core->self_process, &message);
        return;
    }
    if (rh_core_is_reachable(core, reader->process)) {
        rh_core_send(core, reader->process, RH_PEER_TOPIC_BATCH)->topic_batch = batch;
    }
}

/* ---- what is asked ---- */

/* Who acts for a channel that this node owns by the ring and does not serve yet, or NULL. */
static const struct rh_process *acting_elsewhere(const struct rh_core *core,
                                                 const struct rh_channel *channel)
{
    const struct rh_process *actor = channel == NULL ? NULL : rh_core_who_acts(core, channel);
    return actor == core->self_process ? NULL : actor;
}

static void hold(struct rh_core *core, struct rh_topic_reader *reader)
{
    struct rh_channel *channel = reader->channel;
    set_list(reader, &core->topics.held_readers);
    if (channel->role == RH_ROLE_ABSENT && core->options.replication) {
        rh_core_role_set(core, channel, RH_ROLE_WAITING);
    } else if (!core->options.replication) {
        rh_core_channel_bring_up(core, channel);
    }
    begin(core, reader);
    if (reader->incarnation == 0) {
        rh_core_hurry(core, channel);
    }
}

static void add(struct rh_core *core, struct rh_channel *channel, struct rh_process *from,
                const struct rh_peer_topic_ask *ask)
{
    struct rh_topic_reader *reader = rh_core_alloc(1, sizeof(*reader));
    *reader = (struct rh_topic_reader){
        .next = rh_channel_readers(channel),
        .channel = channel,
        .process = from,
        .number = ask->number,
        .heard_ms = core->now_ms,
        .has_after = ask->has_after,
        .after = ask->after,
        .followers = ask->followers,
    };
    rh_list_init(&reader->link);
    rh_core_dealings(channel)->readers = reader;
    from->groups++;
    core->stats.topic_readers++;
    hold(core, reader);
}

void rh_core_on_topic_ask(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rh_peer_topic_ask *ask = &message->topic_ask;
    struct rh_core_route route = rh_core_route(core, ask->topic);
    struct rh_topic_reader *reader = find(route.channel, from);
    if (reader != NULL && reader->number > ask->number) {
        return; /* overtaken */
    }
    if (reader != NULL && reader->number == ask->number) {
        reader->heard_ms = core->now_ms;
        return; /* sent again, and what is sent to it is as well */
    }
    if (reader != NULL) {
        drop(core, reader);
    }
    if (route.place == RH_CORE_PLACE_NONE) {
        send_end(core, from, ask->topic, ask->number, "");
        return;
    }
    if (route.place == RH_CORE_PLACE_REMOTE) {
        send_end(core, from, ask->topic, ask->number, core->view->members[route.owner].id);
        return;
    }
    if (route.place == RH_CORE_PLACE_WAIT && acting_elsewhere(core, route.channel) != NULL) {
        send_end(core, from, ask->topic, ask->number,
                 acting_elsewhere(core, route.channel)->ref.id);
        return;
    }
    struct rh_channel *channel;
    if (rh_core_channel_get(core, ask->topic, route.hash, &channel) != RH_REFUSAL_NONE) {
        send_end(core, from, ask->topic, ask->number, "");
        return;
    }
    add(core, channel, from, ask);
}

void rh_core_on_topic_ack(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    const struct rh_peer_topic_ack *ack = &message->topic_ack;
    struct rh_channel *channel = rh_core_channel_find(core, ack->topic);
    struct rh_topic_reader *reader = find(channel, from);
    if (reader == NULL || reader->number < ack->number) {
        send_end(core, from, ack->topic, ack->number, "");
        return;
    }
    if (reader->number > ack->number || reader->incarnation == 0) {
        return;
    }
    reader->heard_ms = core->now_ms;
    if (ack->incarnation != reader->incarnation) {
        return; /* it has not heard where it begins */
    }
    reader->has_begun = true;
    if (ack->up_to > reader->acked) {
        reader->acked = ack->up_to < rh_channel_commit_seq(channel)
                            ? ack->up_to
                            : rh_channel_commit_seq(channel);
    }
    reader->sent_ms = 0;
    set_list(reader, reader->acked < rh_channel_commit_seq(channel) ? &core->topics.due
                                                                    : &core->topics.idle);
}

void rh_core_reader_leave(struct rh_core *core, const struct rh_process *from,
                          const struct rh_peer_topic_end *end)
{
    struct rh_channel *channel = rh_core_channel_find(core, end->topic);
    struct rh_topic_reader *reader = find(channel, from);
    if (reader != NULL && reader->number <= end->number) {
        drop(core, reader);
        rh_core_channel_settle(core, channel);
    }
}

void rh_core_on_topic_end(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    /* Asks are numbered by who follows; a feed of that number is ours, a reader of it theirs. */
    rh_core_feed_ended(core, from, &message->topic_end);
    rh_core_reader_leave(core, from, &message->topic_end);
}

/* ---- views, links and time ---- */

/* Whoever may wait for nothing, or for somebody else, is sent there. */
void rh_core_readers_retry(struct rh_core *core)
{
    struct rh_list held;
    rh_list_init(&held);
    rh_list_splice(&held, &core->topics.held_readers);
    while (!rh_list_empty(&held)) {
        struct rh_topic_reader *reader = reader_of(held.next);
        struct rh_channel *channel = reader->channel;
        const struct rh_process *process = reader->process;
        set_list(reader, &core->topics.held_readers);
        struct rh_core_route route = rh_core_route(core, rh_channel_key(channel));
        if (find(channel, process) != reader) {
            continue; /* the channel went to another node just now */
        }
        if (route.place == RH_CORE_PLACE_REMOTE) {
            end(core, reader, core->view->members[route.owner].id);
            rh_core_channel_settle(core, channel);
        } else {
            begin(core, reader);
        }
    }
}

void rh_core_readers_peer_up(struct rh_core *core, const struct rh_process *process)
{
    rh_list_each_safe (&core->topics.sent, link) {
        if (reader_of(link)->process == process) {
            set_list(reader_of(link), &core->topics.due);
        }
    }
}

static void forget_silent(struct rh_core *core, struct rh_list *list)
{
    while (!rh_list_empty(list)) {
        struct rh_topic_reader *reader = reader_of(list->next);
        if (core->now_ms - reader->heard_ms < SILENT_MS) {
            return;
        }
        struct rh_channel *channel = reader->channel;
        drop(core, reader);
        rh_core_channel_settle(core, channel);
    }
}

void rh_core_readers_tick(struct rh_core *core)
{
    rh_list_each_safe (&core->topics.sent, link) {
        struct rh_topic_reader *reader = reader_of(link);
        if (core->now_ms - reader->sent_ms < RH_RETRY_MS) {
            break;
        }
        struct rh_channel *channel = reader->channel;
        if (core->now_ms - reader->heard_ms >= SILENT_MS ||
            (core->options.replication && !rh_process_is_registered(reader->process))) {
            drop(core, reader);
            rh_core_channel_settle(core, channel);
        } else if (rh_core_is_reachable(core, reader->process)) {
            set_list(reader, &core->topics.due);
        } else {
            reader->sent_ms = core->now_ms;
            set_list(reader, &core->topics.sent);
        }
    }
    forget_silent(core, &core->topics.idle);
    forget_silent(core, &core->topics.held_readers);
    for (unsigned i = 0; i < BATCHES_MAX && !rh_list_empty(&core->topics.due); i++) {
        send_batch(core, reader_of(core->topics.due.next));
    }
}

uint64_t rh_core_readers_ms(const struct rh_core *core)
{
    const struct rh_topics *topics = &core->topics;
    uint64_t next = UINT64_MAX;
    if (!rh_list_empty(&topics->due)) {
        return 0;
    }
    if (!rh_list_empty(&topics->sent)) {
        next = reader_of(topics->sent.next)->sent_ms + RH_RETRY_MS;
    }
    if (!rh_list_empty(&topics->idle)) {
        next = rh_core_earlier(next, reader_of(topics->idle.next)->heard_ms + SILENT_MS);
    }
    if (!rh_list_empty(&topics->held_readers)) {
        next = rh_core_earlier(next, reader_of(topics->held_readers.next)->heard_ms + SILENT_MS);
    }
    return next;
}

/* ---- both sides ---- */

int rh_topics_init(struct rh_topics *topics)
{
    struct rh_list *lists[] = {&topics->due,          &topics->sent,      &topics->idle,
                               &topics->asking,       &topics->streaming, &topics->lagging,
                               &topics->held_readers, &topics->giving,    &topics->gatherings};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_init(lists[i]);
    }
    topics->look_ms = UINT64_MAX;
    return rh_table_init(&topics->feeds);
}

void rh_topics_finish(struct rh_core *core)
{
    if (core->topics.feeds.buckets != NULL) {
        rh_core_feeds_finish(core);
        rh_core_followers_finish(core);
    }
}

void rh_core_topics_role(struct rh_core *core, struct rh_channel *channel)
{
    if (rh_role_serves((enum rh_role)channel->role)) {
        rh_core_feeds_attach(core, channel);
        rh_core_readers_wake(core, channel);
    } else {
        rh_core_feeds_detach(core, channel);
        rh_core_readers_end(core, channel);
    }
}

void rh_core_topics_tick(struct rh_core *core)
{
    rh_core_feeds_tick(core);
    rh_core_readers_tick(core);
    rh_core_followers_tick(core);
}

uint64_t rh_core_topics_ms(const struct rh_core *core)
{
    uint64_t next = rh_core_earlier(rh_core_feeds_ms(core), rh_core_readers_ms(core));
    return rh_core_earlier(next, rh_core_followers_ms(core));
}
