/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_topics.h"

#include "node/core_internal.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What the channels that this node serves want of a topic. Positions are the channels' (follows.h);
 * a feed asks for what comes after the lowest of those that are behind, and gives each message to
 * whoever does not have it (docs/topics.md).
 *
 *      in step: the next batch fits      behind: has just come, or could not take a batch
 */

#define ASK_AGAIN_MS  500U
#define LATER_MS      200U /* the topic's owner is not known, or not there yet */
#define LAG_MS        100U /* before who is behind is looked at again */
#define KEEP_ALIVE_MS 10000U
#define SCANNED       256U  /* buckets of the table looked at in one tick */
#define GIVEN_MAX     1024U /* messages given to followers in one step, and followers */

static struct rh_feed *feed_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_feed, link);
}

static struct rh_follow *follow_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_follow, link);
}

static struct rh_bytes topic_of(const struct rh_feed *feed)
{
    return rh_bytes(feed->topic, feed->topic_size);
}

static bool can_send(const struct rh_core *core, const struct rh_process *to)
{
    return to == core->self_process || rh_core_is_reachable(core, to);
}

static void look_at(struct rh_core *core, uint64_t at_ms)
{
    if (at_ms < core->topics.look_ms) {
        core->topics.look_ms = at_ms;
    }
}

/* ---- life ---- */

static bool is_feed(const struct rh_table_link *link, const void *topic)
{
    const struct rh_feed *feed =
        rh_container_of((struct rh_table_link *)(uintptr_t)link, struct rh_feed, table_link);
    return rh_bytes_equal(topic_of(feed), *(const struct rh_bytes *)topic);
}

static struct rh_feed *find(const struct rh_core *core, struct rh_bytes topic)
{
    struct rh_table_link *link =
        rh_table_find(&core->topics.feeds, rh_core_key_hash(core, topic), is_feed, &topic);
    return link == NULL ? NULL : rh_container_of(link, struct rh_feed, table_link);
}

static void set_source(struct rh_feed *feed, struct rh_process *source)
{
    if (feed->source != NULL) {
        feed->source->groups--;
    }
    if (source != NULL) {
        source->groups++;
    }
    feed->source = source;
}

static void set_state(struct rh_core *core, struct rh_feed *feed, enum rh_feed_state state)
{
    feed->state = state;
    rh_list_remove(&feed->link);
    rh_list_push_back(state == RH_FEED_ASKING ? &core->topics.asking : &core->topics.streaming,
                      &feed->link);
}

static void stop_giving(struct rh_feed *feed)
{
    rh_list_splice(&feed->in_step, &feed->given);
    rh_list_remove(&feed->give_link);
    free(feed->giving);
    feed->giving = NULL;
}

/* Begins to ask again, from a position that is decided when it is sent. */
static void restart(struct rh_core *core, struct rh_feed *feed, uint64_t at_ms)
{
    stop_giving(feed);
    rh_list_splice(&feed->behind, &feed->in_step);
    rh_list_remove(&feed->lag_link);
    feed->number = 0;
    feed->ask_ms = at_ms;
    set_state(core, feed, RH_FEED_ASKING);
    look_at(core, at_ms);
}

struct rh_feed *rh_core_feed_get(struct rh_core *core, struct rh_bytes topic)
{
    struct rh_feed *feed = find(core, topic);
    if (feed != NULL) {
        return feed;
    }
    feed = calloc(1, sizeof(*feed) + topic.size);
    if (feed == NULL) {
        return NULL;
    }
    feed->topic_size = (uint16_t)topic.size;
    (void)rh_bytes_write(feed->topic, topic);
    rh_list_init(&feed->link);
    struct rh_list *lists[] = {&feed->lag_link, &feed->give_link, &feed->in_step,
                               &feed->given,    &feed->behind,    &feed->waiting};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_init(lists[i]);
    }
    rh_table_insert(&core->topics.feeds, &feed->table_link, rh_core_key_hash(core, topic));
    core->stats.topic_feeds++;
    restart(core, feed, core->now_ms);
    return feed;
}

static void destroy(struct rh_core *core, struct rh_feed *feed)
{
    set_source(feed, NULL);
    stop_giving(feed);
    rh_list_remove(&feed->link);
    rh_list_remove(&feed->lag_link);
    rh_table_remove(&core->topics.feeds, &feed->table_link);
    core->stats.topic_feeds--;
    free(feed);
}

static bool is_needed(const struct rh_feed *feed)
{
    return feed->followers_count > 0 || !rh_list_empty(&feed->waiting);
}

/* A feed that nobody needs any more goes with the next tick: somebody may be looking at it now. */
static void let_go_unneeded(struct rh_core *core, struct rh_feed *feed)
{
    if (is_needed(feed)) {
        return;
    }
    look_at(core, core->now_ms);
    if (rh_list_empty(&feed->lag_link)) {
        rh_list_push_back(&core->topics.lagging, &feed->lag_link);
    }
}

/* Nobody wants it any more: the topic's owner is told. */
static void leave(struct rh_core *core, struct rh_feed *feed)
{
    struct rh_bytes topic = topic_of(feed);
    struct rh_peer_topic_end end = {.topic = topic, .number = feed->number};
    struct rh_process *source = feed->number == 0 ? NULL : feed->source;
    if (source == core->self_process) {
        rh_core_reader_leave(core, source, &end);
    } else if (source != NULL && can_send(core, source)) {
        end.topic = rh_core_scratch_bytes(core, topic);
        rh_core_send(core, source, RH_PEER_TOPIC_END)->topic_end = end;
    }
    destroy(core, feed);
}

/* ---- who follows ---- */

static void set_behind(struct rh_core *core, struct rh_follow *follow)
{
    struct rh_feed *feed = follow->feed;
    rh_list_remove(&follow->link);
    rh_list_push_back(&feed->behind, &follow->link);
    if (rh_list_empty(&feed->lag_link)) {
        rh_list_push_back(&core->topics.lagging, &feed->lag_link);
    }
}

void rh_core_feed_attach(struct rh_core *core, struct rh_channel *channel, struct rh_follow *follow)
{
    struct rh_feed *feed = rh_core_feed_get(core, rh_follow_topic(follow));
    if (feed == NULL) {
        abort();
    }
    assert(follow->feed == NULL);
    follow->feed = feed;
    follow->channel = channel;
    follow->heard = 0;
    feed->followers_count++;
    bool in_step = feed->state == RH_FEED_STREAMING &&
                   follow->position.incarnation == feed->incarnation &&
                   follow->position.seq == feed->up_to;
    if (in_step) {
        rh_list_push_back(&feed->in_step, &follow->link);
        follow->heard = feed->up_to;
        return;
    }
    set_behind(core, follow);
    look_at(core, core->now_ms);
}

void rh_core_feed_detach(struct rh_core *core, struct rh_follow *follow)
{
    struct rh_feed *feed = follow->feed;
    if (feed == NULL) {
        return;
    }
    rh_list_remove(&follow->link);
    follow->feed = NULL;
    follow->channel = NULL;
    feed->followers_count--;
    let_go_unneeded(core, feed);
}

void rh_core_feeds_attach(struct rh_core *core, struct rh_channel *channel)
{
    for (uint32_t i = 0; i < rh_follows_count(channel->follows); i++) {
        if (channel->follows->items[i]->feed == NULL) {
            rh_core_feed_attach(core, channel, channel->follows->items[i]);
        }
    }
}

void rh_core_feeds_detach(struct rh_core *core, struct rh_channel *channel)
{
    for (uint32_t i = 0; i < rh_follows_count(channel->follows); i++) {
        rh_core_feed_detach(core, channel->follows->items[i]);
    }
}

void rh_core_feed_wait(struct rh_core *core, struct rh_feed *feed, struct rh_pending *pending)
{
    pending->state = RH_PENDING_TOPIC;
    rh_list_push_back(&feed->waiting, &pending->channel_link);
    look_at(core, feed->state == RH_FEED_ASKING ? feed->ask_ms : core->now_ms);
}

int rh_core_follows_apply(struct rh_core *core, struct rh_channel *channel,
                          const struct rh_entry *entry)
{
    struct rh_follow *follow = rh_follows_find(channel->follows, rh_entry_topic(entry));
    if (follow != NULL && entry->entry_kind == RH_ENTRY_UNFOLLOW) {
        rh_core_feed_detach(core, follow);
    }
    int rv = rh_follows_apply(&channel->follows, entry);
    if (rv == 0 && entry->entry_kind == RH_ENTRY_FOLLOW &&
        rh_role_serves((enum rh_role)channel->role)) {
        follow = rh_follows_find(channel->follows, rh_entry_topic(entry));
        if (follow->feed == NULL) {
            rh_core_feed_attach(core, channel, follow);
        }
    }
    return rv;
}

const struct rh_bytes *rh_core_feed_followers(struct rh_core *core, struct rh_bytes topic,
                                              uint32_t limit, size_t *ret_count,
                                              uint32_t *ret_total)
{
    struct rh_feed *feed = find(core, topic);
    *ret_count = 0;
    *ret_total = 0;
    if (feed == NULL) {
        return NULL;
    }
    uint32_t total = feed->followers_count;
    struct rh_bytes *keys = rh_core_scratch(core, total < limit ? total : limit, sizeof(*keys));
    struct rh_list *const lists[] = {&feed->in_step, &feed->given, &feed->behind};
    size_t count = 0;
    size_t size = 0;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (struct rh_list *link = lists[i]->next;
             link != lists[i] && count < limit && size <= RH_PEER_BATCH_SIZE; link = link->next) {
            keys[count] = rh_core_scratch_bytes(core, rh_channel_key(follow_of(link)->channel));
            size += keys[count++].size;
        }
    }
    *ret_count = count;
    *ret_total = total;
    return keys;
}

/* ---- asking ---- */

/* Whether the channel takes messages now; |size|: of one. */
static bool can_take(const struct rh_core *core, const struct rh_follow *follow, uint64_t size)
{
    const struct rh_channel *channel = follow->channel;
    return channel->role == RH_ROLE_ACTING && rh_core_may_number(core, channel, size);
}

/* From where a follower goes on. */
static struct rh_position place_of(const struct rh_feed *feed, const struct rh_follow *follow)
{
    struct rh_position place = follow->position;
    if (place.incarnation == feed->incarnation && follow->heard > place.seq) {
        place.seq = follow->heard;
    }
    return place;
}

/* The lowest place of those who are behind and can go on, within one incarnation. */
static bool lowest_place(const struct rh_core *core, struct rh_feed *feed,
                         struct rh_position *ret_place)
{
    bool found = false;
    rh_list_each (&feed->behind, link) {
        const struct rh_follow *follow = follow_of(link);
        if (!can_take(core, follow, 0)) {
            continue;
        }
        struct rh_position place = place_of(feed, follow);
        if (!found || (place.incarnation == ret_place->incarnation && place.seq < ret_place->seq)) {
            *ret_place = place;
            found = true;
        }
    }
    return found;
}

/* Who owns the topic as far as this node knows, and can be asked; or NULL. */
static struct rh_process *choose_source(const struct rh_core *core, const struct rh_feed *feed)
{
    const struct rh_ring *ring = core->view->ring;
    uint32_t owner = rh_ring_owner(ring, rh_ring_hash(ring, feed->topic, feed->topic_size));
    struct rh_process *process = owner == RH_RING_NONE ? NULL : core->members[owner];
    return process != NULL && can_send(core, process) ? process : NULL;
}

static void ask(struct rh_core *core, struct rh_feed *feed)
{
    struct rh_position place = {0};
    bool has_place = lowest_place(core, feed, &place);
    if (feed->number != 0 && !can_send(core, feed->source)) {
        feed->number = 0;
        feed->is_hinted = false;
    }
    if (feed->number == 0) { /* not a repetition */
        if (!has_place && rh_list_empty(&feed->waiting)) {
            feed->ask_ms = core->now_ms + LAG_MS; /* nobody can take anything */
            return;
        }
        struct rh_process *source = feed->is_hinted ? feed->source : choose_source(core, feed);
        if (source == NULL || !can_send(core, source)) {
            feed->is_hinted = false;
            feed->ask_ms = core->now_ms + LATER_MS;
            return;
        }
        set_source(feed, source);
        feed->number = ++core->topics.number;
        feed->asked = place;
        feed->asked_after = has_place;
    }
    feed->heard_ms = core->now_ms;
    feed->ask_ms = core->now_ms + ASK_AGAIN_MS;
    struct rh_peer_topic_ask wanted = {
        .topic = topic_of(feed),
        .number = feed->number,
        .has_after = feed->asked_after,
        .after = feed->asked,
        .followers = feed->followers_count,
    };
    if (feed->source == core->self_process) {
        const struct rh_peer_message message = {.kind = RH_PEER_TOPIC_ASK, .topic_ask = wanted};
        rh_core_on_topic_ask(core, core->self_process, &message);
        return;
    }
    wanted.topic = rh_core_scratch_bytes(core, wanted.topic);
    rh_core_send(core, feed->source, RH_PEER_TOPIC_ASK)->topic_ask = wanted;
}

/* The asked node has nothing for this feed: another is asked, or the same later (rule 5). */
void rh_core_feed_ended(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_topic_end *end)
{
    struct rh_feed *feed = find(core, end->topic);
    if (feed == NULL || feed->source != from || feed->number != end->number) {
        return;
    }
    uint32_t named = end->owner[0] == '\0' ? RH_RING_NONE : rh_view_find(core->view, end->owner);
    bool is_known = named != RH_RING_NONE && core->members[named] != from;
    bool was_hint = feed->is_hinted;
    restart(core, feed, core->now_ms + (is_known && !was_hint ? 0 : LATER_MS));
    feed->is_hinted = is_known && !was_hint;
    if (feed->is_hinted) {
        set_source(feed, core->members[named]);
    }
}

/* ---- batches ---- */

/* Puts those who are behind in step whom the stream that begins with |batch| fits. */
static void begin_stream(struct rh_core *core, struct rh_feed *feed,
                         const struct rh_peer_topic_batch *batch)
{
    bool is_reset = feed->asked_after && (feed->asked.incarnation != batch->incarnation ||
                                          feed->asked.seq != batch->after);
    struct rh_list behind;
    rh_list_init(&behind);
    rh_list_splice(&behind, &feed->behind);
    while (!rh_list_empty(&behind)) {
        struct rh_follow *follow = follow_of(behind.next);
        struct rh_position place = place_of(feed, follow);
        bool is_same = place.incarnation == batch->incarnation;
        bool fits = is_same ? place.seq >= batch->after || is_reset : is_reset;
        rh_list_remove(&follow->link);
        if (fits && can_take(core, follow, 0)) {
            follow->heard = is_same && place.seq > batch->after ? place.seq : batch->after;
            rh_list_push_back(&feed->in_step, &follow->link);
        } else {
            rh_list_push_back(&feed->behind, &follow->link);
        }
    }
    feed->incarnation = batch->incarnation;
    feed->up_to = batch->after;
    feed->is_hinted = false;
    set_state(core, feed, RH_FEED_STREAMING);
    rh_list_remove(&feed->lag_link);
    if (!rh_list_empty(&feed->behind)) {
        rh_list_push_back(&core->topics.lagging, &feed->lag_link);
    }
}

/* The message as an operation of the follower. False: it cannot be taken now. */
static bool number(struct rh_core *core, const struct rh_feed *feed, struct rh_follow *follow,
                   const struct rh_peer_operation *message)
{
    struct rh_channel *channel = follow->channel;
    if (!can_take(core, follow, message->id.size + message->payload.bytes.size)) {
        return false;
    }
    struct rh_entry *entry = rh_entry_create(&(struct rh_entry_draft){
        .kind = RH_ENTRY_MESSAGE,
        .seq = channel->seq + 1,
        .time_ms = message->time_ms,
        .id = message->id,
        .payload = message->payload,
        .topic = topic_of(feed),
        .position = {.incarnation = feed->incarnation, .seq = message->seq},
    });
    if (entry == NULL || rh_core_number(core, channel, entry) != 0) {
        rh_entry_give(entry);
        return false;
    }
    core->stats.topic_messages++;
    return true;
}

/* Gives |follow| what it does not have yet of |batch|. */
static void give(struct rh_core *core, const struct rh_feed *feed, struct rh_follow *follow,
                 const struct rh_peer_topic_batch *batch)
{
    struct rh_channel *channel = follow->channel;
    uint64_t has = place_of(feed, follow).incarnation == batch->incarnation
                       ? place_of(feed, follow).seq
                       : follow->heard;
    bool has_numbered = false;
    bool is_whole = true;
    for (size_t i = 0; i < batch->messages_count && is_whole; i++) {
        if (batch->messages[i].seq > has) {
            is_whole = number(core, feed, follow, &batch->messages[i]);
            has_numbered = has_numbered || is_whole;
        }
    }
    if (is_whole) {
        follow->heard = batch->up_to > follow->heard ? batch->up_to : follow->heard;
    } else {
        set_behind(core, follow);
        look_at(core, core->now_ms + LAG_MS);
    }
    if (has_numbered) {
        rh_core_numbered(core, channel);
    }
}

static void retry_waiting(struct rh_core *core, struct rh_feed *feed)
{
    struct rh_list waiting;
    rh_list_init(&waiting);
    rh_list_splice(&waiting, &feed->waiting);
    while (!rh_list_empty(&waiting)) {
        struct rh_list *link = waiting.next;
        rh_list_remove(link);
        rh_core_pending_dispatch(core, rh_container_of(link, struct rh_pending, channel_link));
    }
}

static void acknowledge(struct rh_core *core, struct rh_feed *feed)
{
    struct rh_peer_topic_ack ack = {
        .topic = topic_of(feed),
        .number = feed->number,
        .incarnation = feed->incarnation,
        .up_to = feed->up_to,
    };
    feed->heard_ms = core->now_ms;
    set_state(core, feed, RH_FEED_STREAMING); /* to the end of the list, which is by heard_ms */
    if (feed->source == core->self_process) {
        const struct rh_peer_message message = {.kind = RH_PEER_TOPIC_ACK, .topic_ack = ack};
        rh_core_on_topic_ack(core, core->self_process, &message);
        return;
    }
    if (!can_send(core, feed->source)) {
        return; /* it is asked anew when that is known */
    }
    ack.topic = rh_core_scratch_bytes(core, ack.topic);
    rh_core_send(core, feed->source, RH_PEER_TOPIC_ACK)->topic_ack = ack;
}

/* Gives |batch| to those who do not have it, as far as one step goes. True: all have it. */
static bool give_all(struct rh_core *core, struct rh_feed *feed,
                     const struct rh_peer_topic_batch *batch)
{
    struct rh_list *link = rh_list_first(&feed->in_step);
    for (size_t given = 0; link != NULL && given < GIVEN_MAX; given += batch->messages_count + 1) {
        rh_list_remove(link);
        rh_list_push_back(&feed->given, link);
        give(core, feed, follow_of(link), batch);
        link = rh_list_first(&feed->in_step);
    }
    return link == NULL;
}

static struct rh_bytes put_bytes(char **place, struct rh_bytes bytes)
{
    struct rh_bytes copy = rh_bytes(*place, bytes.size);
    *place = rh_bytes_write(*place, bytes);
    return copy;
}

/* What a feed wants of |batch|, in one piece of memory; NULL when there is none. */
static struct rh_peer_topic_batch *copy_batch(const struct rh_peer_topic_batch *batch)
{
    size_t size = sizeof(*batch) + batch->messages_count * sizeof(*batch->messages);
    size_t text = 0;
    for (size_t i = 0; i < batch->messages_count; i++) {
        text += batch->messages[i].id.size + batch->messages[i].payload.bytes.size;
    }
    struct rh_peer_topic_batch *copy = malloc(size + text);
    if (copy == NULL) {
        return NULL;
    }
    struct rh_peer_operation *messages = (struct rh_peer_operation *)(copy + 1);
    char *place = (char *)copy + size;
    for (size_t i = 0; i < batch->messages_count; i++) {
        messages[i] = (struct rh_peer_operation){
            .seq = batch->messages[i].seq,
            .time_ms = batch->messages[i].time_ms,
            .id = put_bytes(&place, batch->messages[i].id),
            .payload = {.kind = batch->messages[i].payload.kind,
                        .bytes = put_bytes(&place, batch->messages[i].payload.bytes)},
        };
    }
    *copy = *batch;
    copy->topic = rh_bytes(NULL, 0);
    copy->messages = messages;
    return copy;
}

/* All have it. */
static void end_batch(struct rh_core *core, struct rh_feed *feed, uint64_t up_to)
{
    stop_giving(feed);
    feed->up_to = up_to > feed->up_to ? up_to : feed->up_to;
    retry_waiting(core, feed);
    acknowledge(core, feed);
    let_go_unneeded(core, feed);
}

static void begin_batch(struct rh_core *core, struct rh_feed *feed,
                        const struct rh_peer_topic_batch *batch)
{
    if (give_all(core, feed, batch)) {
        end_batch(core, feed, batch->up_to);
        return;
    }
    feed->giving = copy_batch(batch);
    if (feed->giving == NULL) {
        restart(core, feed, core->now_ms + LATER_MS);
        return;
    }
    rh_list_push_back(&core->topics.giving, &feed->give_link);
    look_at(core, core->now_ms);
}

/* Each feed in turn: those of other topics do not wait for one with very many followers. */
static void go_on_giving(struct rh_core *core)
{
    struct rh_list *link = rh_list_first(&core->topics.giving);
    if (link == NULL) {
        return;
    }
    struct rh_feed *feed = rh_container_of(link, struct rh_feed, give_link);
    rh_list_remove(link);
    rh_list_push_back(&core->topics.giving, link);
    if (give_all(core, feed, feed->giving)) {
        end_batch(core, feed, feed->giving->up_to);
    }
}

void rh_core_on_topic_batch(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message)
{
    const struct rh_peer_topic_batch *batch = &message->topic_batch;
    struct rh_feed *feed = find(core, batch->topic);
    if (feed == NULL || feed->source != from || feed->number != batch->number) {
        return; /* of an ask that is over; who sent it will hear so from the next */
    }
    if (feed->state == RH_FEED_ASKING) {
        begin_stream(core, feed, batch);
    }
    if (batch->incarnation != feed->incarnation) {
        restart(core, feed, core->now_ms);
        return;
    }
    if (feed->giving != NULL) {
        return; /* it was sent again, and is acknowledged when all have it */
    }
    if (batch->after <= feed->up_to) {
        begin_batch(core, feed, batch);
    } else {
        end_batch(core, feed, feed->up_to);
    }
}

/* ---- time ---- */

static void look_at_lagging(struct rh_core *core)
{
    struct rh_list lagging;
    rh_list_init(&lagging);
    rh_list_splice(&lagging, &core->topics.lagging);
    while (!rh_list_empty(&lagging)) {
        struct rh_feed *feed = rh_container_of(lagging.next, struct rh_feed, lag_link);
        struct rh_position place;
        rh_list_remove(&feed->lag_link);
        if (!is_needed(feed)) {
            leave(core, feed);
        } else if (feed->state == RH_FEED_STREAMING && feed->giving == NULL &&
                   lowest_place(core, feed, &place)) {
            restart(core, feed, core->now_ms);
        } else if (!rh_list_empty(&feed->behind)) {
            rh_list_push_back(&core->topics.lagging, &feed->lag_link);
        }
    }
}

static void look_at_asking(struct rh_core *core)
{
    struct rh_list asking;
    rh_list_init(&asking);
    rh_list_splice(&asking, &core->topics.asking);
    while (!rh_list_empty(&asking)) {
        struct rh_feed *feed = feed_of(asking.next);
        rh_list_remove(&feed->link);
        rh_list_push_back(&core->topics.asking, &feed->link);
        if (!is_needed(feed)) {
            leave(core, feed);
        } else if (feed->ask_ms <= core->now_ms) {
            ask(core, feed);
        }
    }
}

static void keep_alive(struct rh_core *core)
{
    while (!rh_list_empty(&core->topics.streaming)) {
        struct rh_feed *feed = feed_of(core->topics.streaming.next);
        if (core->now_ms - feed->heard_ms < KEEP_ALIVE_MS) {
            return;
        }
        acknowledge(core, feed);
    }
}

static void scan_one(void *context, struct rh_table_link *link)
{
    struct rh_core *core = context;
    struct rh_feed *feed = rh_container_of(link, struct rh_feed, table_link);
    bool is_gone = feed->source != NULL && feed->source != core->self_process &&
                   (!rh_process_is_registered(feed->source) || !can_send(core, feed->source));
    if (is_gone) {
        feed->is_hinted = false;
        restart(core, feed, core->now_ms);
    }
}

void rh_core_feeds_scan(struct rh_core *core)
{
    if (core->topics.feeds.count > 0) {
        core->topics.is_scanning = true;
        core->topics.cursor = 0;
        look_at(core, core->now_ms);
    }
}

static void scan(struct rh_core *core)
{
    for (unsigned i = 0; core->topics.is_scanning && i < SCANNED; i++) {
        core->topics.cursor =
            rh_table_scan(&core->topics.feeds, core->topics.cursor, scan_one, core);
        core->topics.is_scanning = core->topics.cursor != 0;
    }
}

static uint64_t next_look_ms(const struct rh_core *core)
{
    const struct rh_topics *topics = &core->topics;
    uint64_t next = UINT64_MAX;
    if (topics->is_scanning || !rh_list_empty(&topics->giving)) {
        return core->now_ms;
    }
    if (!rh_list_empty(&topics->lagging)) {
        next = core->now_ms + LAG_MS;
    }
    rh_list_each (&topics->asking, link) {
        next = rh_core_earlier(next, feed_of(link)->ask_ms);
    }
    if (!rh_list_empty(&topics->streaming)) {
        next = rh_core_earlier(next, feed_of(topics->streaming.next)->heard_ms + KEEP_ALIVE_MS);
    }
    return next;
}

void rh_core_feeds_tick(struct rh_core *core)
{
    if (core->view == NULL || core->now_ms < core->topics.look_ms) {
        return;
    }
    scan(core);
    go_on_giving(core);
    look_at_lagging(core);
    look_at_asking(core);
    keep_alive(core);
    core->topics.look_ms = next_look_ms(core);
}

uint64_t rh_core_feeds_ms(const struct rh_core *core)
{
    return core->topics.feeds.count == 0 ? UINT64_MAX : core->topics.look_ms;
}

void rh_core_feeds_finish(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->topics.feeds, NULL); link != NULL;
         link = rh_table_next(&core->topics.feeds, NULL)) {
        destroy(core, rh_container_of(link, struct rh_feed, table_link));
    }
    rh_table_finish(&core->topics.feeds);
}
