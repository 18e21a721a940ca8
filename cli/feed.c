/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/feed.h"

#include <stdlib.h>

static struct rh_feed_message *message_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_feed_message, link);
}

static struct rh_feed_key *key_of(struct rh_list *link)
{
    return rh_container_of(link, struct rh_feed_key, link);
}

/* ---- keys and messages ---- */

static bool is_key(const struct rh_table_link *link, const void *name)
{
    const struct rh_feed_key *key =
        rh_container_of((struct rh_table_link *)(uintptr_t)link, struct rh_feed_key, table_link);
    return rh_bytes_equal(key->name, *(const struct rh_bytes *)name);
}

static struct rh_feed_key *add_key(struct rh_feed *feed, struct rh_bytes name, uint64_t hash)
{
    struct rh_feed_key *key = calloc(1, sizeof(*key) + name.size);
    if (key != NULL) {
        char *at = (char *)(key + 1);
        (void)rh_bytes_write(at, name);
        key->name = rh_bytes(at, name.size);
        key->hash = hash;
        rh_list_init(&key->waiting);
        rh_list_push_back(&feed->free, &key->link);
        rh_table_insert(&feed->keys, &key->table_link, hash);
        feed->held_bytes += sizeof(*key) + name.size;
    }
    return key;
}

static void drop_key_if_done(struct rh_feed *feed, struct rh_feed_key *key)
{
    if (rh_list_empty(&key->waiting) && key->flying_count == 0) {
        feed->held_bytes -= sizeof(*key) + key->name.size;
        rh_list_remove(&key->link);
        rh_table_remove(&feed->keys, &key->table_link);
        free(key);
    }
}

static size_t message_size(const struct rh_feed_message *message)
{
    return sizeof(*message) + message->id.size + message->payload.size;
}

static void drop_message(struct rh_feed *feed, struct rh_feed_message *message)
{
    feed->held_count--;
    feed->held_bytes -= message_size(message);
    rh_list_remove(&message->link);
    free(message);
}

int rh_feed_init(struct rh_feed *feed)
{
    *feed = (struct rh_feed){0};
    rh_list_init(&feed->free);
    return rh_table_init(&feed->keys);
}

void rh_feed_lane_init(struct rh_feed_lane *lane)
{
    rh_list_init(&lane->ready);
    rh_list_init(&lane->flying);
    lane->flying_count = 0;
}

static struct rh_feed_message *make_message(struct rh_feed_key *key,
                                            const struct rh_feed_source *source)
{
    struct rh_feed_message *message =
        calloc(1, sizeof(*message) + source->id.size + source->payload.size);
    if (message != NULL) {
        char *id = (char *)(message + 1);
        char *payload = rh_bytes_write(id, source->id);
        (void)rh_bytes_write(payload, source->payload);
        message->key = key;
        message->line = source->line;
        message->content_type = source->content_type;
        message->id = rh_bytes(id, source->id.size);
        message->payload = rh_bytes(payload, source->payload.size);
    }
    return message;
}

int rh_feed_add(struct rh_feed *feed, const struct rh_feed_source *source)
{
    struct rh_table_link *link = rh_table_find(&feed->keys, source->hash, is_key, &source->key);
    struct rh_feed_key *key = link == NULL ? add_key(feed, source->key, source->hash)
                                           : rh_container_of(link, struct rh_feed_key, table_link);
    if (key == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    struct rh_feed_message *message = make_message(key, source);
    if (message == NULL) {
        drop_key_if_done(feed, key);
        return RH_ERR_NO_MEMORY;
    }
    if (key->lane != NULL && rh_list_empty(&key->waiting)) {
        rh_list_push_back(&key->lane->ready, &key->link);
    }
    rh_list_push_back(&key->waiting, &message->link);
    feed->held_count++;
    feed->held_bytes += message_size(message);
    return 0;
}

/* ---- lanes ---- */

struct rh_feed_key *rh_feed_free_key(struct rh_feed *feed)
{
    return rh_list_empty(&feed->free) ? NULL : key_of(feed->free.next);
}

void rh_feed_bind(struct rh_feed_key *key, struct rh_feed_lane *lane)
{
    key->lane = lane;
    rh_list_remove(&key->link);
    rh_list_push_back(&lane->ready, &key->link);
}

void rh_feed_postpone(struct rh_feed *feed, struct rh_feed_key *key)
{
    rh_list_remove(&key->link);
    rh_list_push_back(&feed->free, &key->link);
}

struct rh_feed_message *rh_feed_take(struct rh_feed_lane *lane)
{
    if (rh_list_empty(&lane->ready)) {
        return NULL;
    }
    struct rh_feed_key *key = key_of(lane->ready.next);
    struct rh_feed_message *message = rh_feed_next(key);
    rh_list_remove(&message->link);
    rh_list_push_back(&lane->flying, &message->link);
    lane->flying_count++;
    key->flying_count++;
    rh_list_remove(&key->link);
    if (!rh_list_empty(&key->waiting)) {
        rh_list_push_back(&lane->ready, &key->link);
    }
    return message;
}

struct rh_feed_message *rh_feed_oldest(const struct rh_feed_lane *lane)
{
    return rh_list_empty(&lane->flying) ? NULL : message_of(lane->flying.next);
}

void rh_feed_landed(struct rh_feed *feed, struct rh_feed_lane *lane)
{
    struct rh_feed_message *message = message_of(lane->flying.next);
    struct rh_feed_key *key = message->key;
    lane->flying_count--;
    key->flying_count--;
    drop_message(feed, message);
    drop_key_if_done(feed, key);
}

struct rh_feed_message *rh_feed_next(const struct rh_feed_key *key)
{
    return message_of(key->waiting.next);
}

void rh_feed_give_up(struct rh_feed *feed, struct rh_feed_key *key)
{
    drop_message(feed, rh_feed_next(key));
    drop_key_if_done(feed, key);
}

/* The key has no lane any more. */
static void set_free(struct rh_feed *feed, struct rh_feed_key *key)
{
    key->lane = NULL;
    rh_list_remove(&key->link);
    rh_list_push_back(&feed->free, &key->link);
}

void rh_feed_break(struct rh_feed *feed, struct rh_feed_lane *lane)
{
    rh_list_each_safe (&lane->ready, link) {
        set_free(feed, key_of(link));
    }
    /* From the youngest to the oldest, each to the front of its key. */
    while (!rh_list_empty(&lane->flying)) {
        struct rh_feed_message *message = message_of(lane->flying.prev);
        struct rh_feed_key *key = message->key;
        rh_list_remove(&message->link);
        rh_list_push_front(&key->waiting, &message->link);
        key->flying_count--;
        set_free(feed, key);
    }
    lane->flying_count = 0;
}

void rh_feed_finish(struct rh_feed *feed)
{
    struct rh_table_link *link = rh_table_next(&feed->keys, NULL);
    while (link != NULL) {
        struct rh_feed_key *key = rh_container_of(link, struct rh_feed_key, table_link);
        link = rh_table_next(&feed->keys, link);
        rh_list_each_safe (&key->waiting, message) {
            free(message_of(message));
        }
        free(key);
    }
    rh_table_finish(&feed->keys);
}
