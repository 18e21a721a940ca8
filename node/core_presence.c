/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_tunnel.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

/*
 * Who is in a channel: docs/presence.md.
 *
 *   (unknown) --connection--> PRESENT --last connection ends--> GONE --grace over--> (left)
 *                 joined         ^                                |                   left
 *                                +---------- connection ----------+
 *
 * A client of a channel that this node acts for is in a list of those who are gone if, and only if, it
 * has no connection. At other nodes it is only known. What a turn of the loop brings is told at its
 * end: `joined`, `changed` and `left` hold it until then.
 *
 * Few channels have clients that name themselves: the others cost a bit, the lists are in a table.
 */

#define LEAVES_MAX 4096U /* that are told of in one tick */
#define COPIES_MAX 512U  /* lists that are sent in one step */

/* A client of a channel. */
struct rh_present {
    struct rh_table_link table_link; /* rh_core::presents */
    struct rh_list link;             /* rh_presence::clients */
    struct rh_list gone_link;        /* rh_core::gone or ::gone_moved, or none */
    struct rh_list told_link;        /* rh_presence::{joined,changed,left}, or none */
    struct rh_presence *presence;
    uint64_t gone_ms; /* when it leaves */
    uint32_t connections;
    bool is_new;  /* in `joined` */
    bool is_seen; /* while a list is taken over */
    uint16_t client_size;
    uint16_t meta_size;
    char *meta; /* owned; NULL: none */
    char client[];
};

struct rh_presence {
    struct rh_table_link table_link; /* rh_core::presences */
    struct rh_list tell_link;        /* rh_core::presences_to_tell, or none */
    struct rh_list copy_link;        /* rh_core::presences_to_copy, or none */
    struct rh_channel *channel;
    struct rh_list clients; /* rh_present::link */
    struct rh_list joined;  /* rh_present::told_link; these three */
    struct rh_list changed;
    struct rh_list left;
    uint32_t clients_count;
    uint32_t watchers_count;
    struct rh_term term; /* of whoever sent the list; of this node where it acts */
    uint64_t version;    /* rises with each change */
    uint64_t copy_ms;    /* not before */
};

/* ---- tables ---- */

static struct rh_presence *presence_in_table(const struct rh_table_link *link)
{
    return (struct rh_presence *)((uintptr_t)link - offsetof(struct rh_presence, table_link));
}

static bool presence_equal(const struct rh_table_link *link, const void *key)
{
    return presence_in_table(link)->channel == key;
}

static struct rh_presence *find(const struct rh_core *core, const struct rh_channel *channel)
{
    if (!channel->has_presence) {
        return NULL;
    }
    struct rh_table_link *link =
        rh_table_find(&core->presences, channel->table_link.hash, presence_equal, channel);
    assert(link != NULL);
    return presence_in_table(link);
}

static struct rh_presence *get(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->has_presence) {
        return find(core, channel);
    }
    struct rh_presence *presence = calloc(1, sizeof(*presence));
    if (presence == NULL) {
        return NULL;
    }
    presence->channel = channel;
    struct rh_list *lists[] = {&presence->tell_link, &presence->copy_link, &presence->clients,
                               &presence->joined,    &presence->changed,   &presence->left};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_init(lists[i]);
    }
    rh_table_insert(&core->presences, &presence->table_link, channel->table_link.hash);
    channel->has_presence = true;
    return presence;
}

struct name {
    const struct rh_presence *presence;
    struct rh_bytes client;
};

static struct rh_present *present_in_table(const struct rh_table_link *link)
{
    return (struct rh_present *)((uintptr_t)link - offsetof(struct rh_present, table_link));
}

static struct rh_bytes client_of(const struct rh_present *present)
{
    return rh_bytes(present->client, present->client_size);
}

static bool name_equal(const struct rh_table_link *link, const void *key)
{
    const struct rh_present *present = present_in_table(link);
    const struct name *name = key;
    return present->presence == name->presence && rh_bytes_equal(client_of(present), name->client);
}

static uint64_t name_hash(const struct rh_core *core, const struct name *name)
{
    return name->presence->channel->table_link.hash ^
           XXH3_64bits_withSeed(name->client.data, name->client.size, core->options.secret);
}

static struct rh_present *find_client(const struct rh_core *core,
                                      const struct rh_presence *presence, struct rh_bytes client)
{
    const struct name name = {.presence = presence, .client = client};
    struct rh_table_link *link =
        rh_table_find(&core->presents, name_hash(core, &name), name_equal, &name);
    return link == NULL ? NULL : present_in_table(link);
}

/* ---- clients ---- */

static void tell(struct rh_core *core, struct rh_presence *presence)
{
    if (rh_list_empty(&presence->tell_link)) {
        rh_list_push_back(&core->presences_to_tell, &presence->tell_link);
    }
}

/* The list is another one: the copies want it. */
static void copy(struct rh_core *core, struct rh_presence *presence)
{
    if (!core->options.replication) {
        return;
    }
    if (rh_list_empty(&presence->copy_link)) {
        rh_list_push_back(&core->presences_to_copy, &presence->copy_link);
    }
    if (presence->copy_ms < core->presence_copy_ms) {
        core->presence_copy_ms = presence->copy_ms;
    }
}

static void changed(struct rh_core *core, struct rh_presence *presence)
{
    presence->term = presence->channel->term;
    presence->version++;
    tell(core, presence);
    copy(core, presence);
}

/* |meta| takes the place of what the client had; whether it is another one. */
static bool set_meta(struct rh_core *core, struct rh_present *present, struct rh_bytes meta)
{
    if (rh_bytes_equal(rh_bytes(present->meta, present->meta_size), meta)) {
        return false;
    }
    char *copied = meta.size == 0 ? NULL : malloc(meta.size);
    if (meta.size > 0 && copied == NULL) {
        return false; /* it keeps the old one */
    }
    if (meta.size > 0) {
        memcpy(copied, meta.data, meta.size);
    }
    rh_core_keep(core, present->meta);
    present->meta = copied;
    present->meta_size = (uint16_t)meta.size;
    return true;
}

static struct rh_present *create(struct rh_core *core, struct rh_presence *presence,
                                 struct rh_bytes client)
{
    struct rh_present *present = calloc(1, sizeof(*present) + client.size);
    if (present == NULL) {
        return NULL;
    }
    present->presence = presence;
    present->client_size = (uint16_t)client.size;
    (void)rh_bytes_write(present->client, client);
    rh_list_init(&present->gone_link);
    rh_list_init(&present->told_link);
    rh_list_push_back(&presence->clients, &present->link);
    presence->clients_count++;
    core->stats.presents++;
    const struct name name = {.presence = presence, .client = client};
    rh_table_insert(&core->presents, &present->table_link, name_hash(core, &name));
    return present;
}

/* Out of the list; its memory is the caller's. */
static void unlink_client(struct rh_core *core, struct rh_present *present)
{
    rh_table_remove(&core->presents, &present->table_link);
    rh_list_remove(&present->link);
    rh_list_remove(&present->gone_link);
    rh_list_remove(&present->told_link);
    present->presence->clients_count--;
    core->stats.presents--;
}

/* Actions may point to it. */
static void forget(struct rh_core *core, struct rh_present *present)
{
    rh_core_keep(core, present->meta);
    rh_core_keep(core, present);
}

static void destroy(struct rh_core *core, struct rh_presence *presence)
{
    presence->channel->has_presence = false;
    rh_list_remove(&presence->tell_link);
    rh_list_remove(&presence->copy_link);
    rh_table_remove(&core->presences, &presence->table_link);
    free(presence);
}

static void settle(struct rh_core *core, struct rh_presence *presence)
{
    if (presence->clients_count == 0 && presence->watchers_count == 0 &&
        rh_list_empty(&presence->tell_link) && rh_list_empty(&presence->copy_link)) {
        destroy(core, presence);
    }
}

/* ---- connections ---- */

static enum rh_refusal limit(const struct rh_core *core, const struct rh_presence *presence)
{
    if (presence != NULL && presence->clients_count >= core->options.presence_channel_clients_max) {
        return RH_REFUSAL_PRESENCE_FULL;
    }
    return core->stats.presents >= core->options.presence_clients_max ? RH_REFUSAL_PRESENCE_FULL
                                                                      : RH_REFUSAL_NONE;
}

static struct rh_present *join(struct rh_core *core, struct rh_presence *presence,
                               const struct rh_attendee *attendee)
{
    struct rh_present *present = create(core, presence, attendee->client);
    if (present == NULL) {
        return NULL;
    }
    (void)set_meta(core, present, attendee->meta);
    present->is_new = true;
    rh_list_push_back(&presence->joined, &present->told_link);
    core->stats.presence_joins++;
    changed(core, presence);
    return present;
}

static void come_back(struct rh_core *core, struct rh_present *present,
                      const struct rh_attendee *attendee)
{
    rh_list_remove(&present->gone_link);
    if (set_meta(core, present, attendee->meta)) {
        if (rh_list_empty(&present->told_link)) {
            rh_list_push_back(&present->presence->changed, &present->told_link);
        }
        changed(core, present->presence);
    }
}

enum rh_refusal rh_core_presence_enter(struct rh_core *core,
                                       const struct rh_subscription *subscription,
                                       struct rh_channel *channel)
{
    struct rh_attendee *attendee = subscription->attendee;
    if (attendee == NULL) {
        return RH_REFUSAL_NONE;
    }
    struct rh_presence *presence = find(core, channel);
    struct rh_present *present =
        presence == NULL ? NULL : find_client(core, presence, attendee->client);
    if (present == NULL) {
        enum rh_refusal refusal = limit(core, presence);
        if (refusal != RH_REFUSAL_NONE) {
            return refusal;
        }
        presence = get(core, channel);
        present = presence == NULL ? NULL : join(core, presence, attendee);
        if (present == NULL) {
            if (presence != NULL) {
                settle(core, presence);
            }
            return RH_REFUSAL_NO_MEMORY;
        }
    } else {
        come_back(core, present, attendee);
    }
    present->connections++;
    attendee->present = present;
    return RH_REFUSAL_NONE;
}

static void go(struct rh_core *core, struct rh_present *present, struct rh_list *list,
               uint32_t after_ms)
{
    assert(present->connections == 0);
    present->gone_ms = core->now_ms + after_ms;
    rh_list_remove(&present->gone_link);
    rh_list_push_back(list, &present->gone_link);
}

void rh_core_presence_exit(struct rh_core *core, const struct rh_subscription *subscription)
{
    struct rh_attendee *attendee = subscription->attendee;
    if (attendee == NULL || attendee->present == NULL) {
        return;
    }
    struct rh_present *present = attendee->present;
    attendee->present = NULL;
    present->connections--;
    if (present->connections == 0) {
        go(core, present, &core->gone, core->options.presence_grace_ms);
    }
}

/* ---- time ---- */

static bool is_served(const struct rh_presence *presence)
{
    return rh_role_serves(presence->channel->role);
}

/* Its time is over. Where another node acts, that one counts. */
static void leave(struct rh_core *core, struct rh_present *present)
{
    struct rh_presence *presence = present->presence;
    if (!is_served(presence)) {
        rh_list_remove(&present->gone_link);
        return;
    }
    bool was_told = !present->is_new || rh_list_empty(&present->told_link);
    unlink_client(core, present);
    core->stats.presence_leaves++;
    if (was_told) {
        rh_list_push_back(&presence->left, &present->told_link);
    } else {
        forget(core, present);
    }
    changed(core, presence);
}

static void expire(struct rh_core *core, struct rh_list *list)
{
    unsigned leaves = 0;
    for (struct rh_list *link = rh_list_first(list); link != NULL && leaves < LEAVES_MAX;
         link = rh_list_first(list)) {
        struct rh_present *present = rh_container_of(link, struct rh_present, gone_link);
        if (present->gone_ms > core->now_ms) {
            return;
        }
        leave(core, present);
        leaves++;
    }
}

void rh_core_presence_expire(struct rh_core *core)
{
    expire(core, &core->gone);
    expire(core, &core->gone_moved);
}

static uint64_t first_ms(const struct rh_list *list)
{
    return rh_list_empty(list) ? UINT64_MAX
                               : rh_container_of(list->next, struct rh_present, gone_link)->gone_ms;
}

uint64_t rh_core_presence_ms(const struct rh_core *core)
{
    if (!rh_list_empty(&core->presences_to_tell) || core->presence_is_scanning) {
        return 0;
    }
    uint64_t deadline_ms = rh_core_earlier(first_ms(&core->gone), first_ms(&core->gone_moved));
    return rh_list_empty(&core->presences_to_copy)
               ? deadline_ms
               : rh_core_earlier(deadline_ms, core->presence_copy_ms);
}

/* ---- telling ---- */

static struct rh_peer_present shown(const struct rh_present *present)
{
    return (struct rh_peer_present){.client = client_of(present),
                                    .meta = rh_bytes(present->meta, present->meta_size),
                                    .connections = present->connections};
}

static struct rh_present *present_of(struct rh_list *link, bool told)
{
    return told ? rh_container_of(link, struct rh_present, told_link)
                : rh_container_of(link, struct rh_present, link);
}

/* The clients of |list| as messages and actions have them, valid until the next step. |told|: the list
 * is one of those who are told of. */
static struct rh_peer_present_list list_of(struct rh_core *core, const struct rh_list *list,
                                           bool told)
{
    struct rh_peer_present_list out = {0};
    rh_list_each ((struct rh_list *)(uintptr_t)list, link) {
        out.count++;
    }
    struct rh_peer_present *items =
        out.count == 0 ? NULL : rh_core_scratch(core, out.count, sizeof(*items));
    size_t i = 0;
    rh_list_each ((struct rh_list *)(uintptr_t)list, link) {
        items[i++] = shown(present_of(link, told));
    }
    out.items = items;
    return out;
}

/* |streams| are told |what|. */
static void say(struct rh_core *core, struct rh_subscription **streams, size_t count,
                const struct rh_peer_stream_presence *what)
{
    count = rh_core_remotes_tell(core, streams, count, what);
    if (count == 0) {
        return;
    }
    struct rh_action *action = rh_core_act(core, RH_ACTION_PRESENCE);
    action->presence.streams = streams;
    action->presence.streams_count = count;
    action->presence.incarnation = what->incarnation;
    action->presence.is_whole = what->is_whole;
    action->presence.left = what->left;
    action->presence.joined = what->joined;
    action->presence.changed = what->changed;
}

/* Those who watch: who was shown the whole list is told what is new, the others are shown it now. */
static void tell_watchers(struct rh_core *core, struct rh_presence *presence)
{
    if (presence->watchers_count == 0) {
        return;
    }
    struct rh_subscription **told =
        rh_core_scratch(core, presence->watchers_count, sizeof(struct rh_subscription *));
    struct rh_subscription **whole =
        rh_core_scratch(core, presence->watchers_count, sizeof(struct rh_subscription *));
    size_t told_count = 0;
    size_t whole_count = 0;
    for (struct rh_subscription *at = rh_core_stream_next(presence->channel, NULL); at != NULL;
         at = rh_core_stream_next(presence->channel, at)) {
        if (at->watches_presence && at->is_shown) {
            told[told_count++] = at;
        } else if (at->watches_presence) {
            at->is_shown = true;
            whole[whole_count++] = at;
        }
    }
    bool is_new = !rh_list_empty(&presence->joined) || !rh_list_empty(&presence->changed) ||
                  !rh_list_empty(&presence->left);
    if (told_count > 0 && is_new) {
        const struct rh_peer_stream_presence news = {
            .incarnation = presence->channel->incarnation,
            .left = list_of(core, &presence->left, true),
            .joined = list_of(core, &presence->joined, true),
            .changed = list_of(core, &presence->changed, true),
        };
        say(core, told, told_count, &news);
    }
    if (whole_count > 0) {
        const struct rh_peer_stream_presence all = {
            .incarnation = presence->channel->incarnation,
            .is_whole = true,
            .joined = list_of(core, &presence->clients, false),
        };
        say(core, whole, whole_count, &all);
    }
}

static void forget_told(struct rh_core *core, struct rh_presence *presence)
{
    struct rh_list *lists[] = {&presence->joined, &presence->changed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        rh_list_each_safe (lists[i], link) {
            present_of(link, true)->is_new = false;
            rh_list_remove(link);
        }
    }
    rh_list_each_safe (&presence->left, link) {
        rh_list_remove(link);
        forget(core, present_of(link, true));
    }
}

/* ---- copies ---- */

void rh_core_presence_send(struct rh_core *core, const struct rh_channel *channel,
                           const struct rh_process *to)
{
    struct rh_presence *presence = find(core, channel);
    if (presence == NULL) {
        return;
    }
    bool is_actor = rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING;
    if (!is_actor && rh_term_equal(presence->term, (struct rh_term){0})) {
        return; /* there are watchers, who wait, and no list */
    }
    struct rh_peer_present_list all = list_of(core, &presence->clients, false);
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_PRESENCE);
    message->presence = (struct rh_peer_presence){
        .key = rh_channel_key(channel),
        .term = is_actor ? channel->term : presence->term,
        .version = presence->version,
        .clients = all.items,
        .clients_count = all.count,
    };
}

static bool has_copy(const struct rh_core *core, struct rh_channel *channel,
                     const struct rh_process *process)
{
    const struct rh_member *member = rh_core_member(channel, process);
    return process != core->self_process &&
           (member == NULL || (member->confirmed && !member->leaving));
}

static void send_copies(struct rh_core *core, struct rh_presence *presence)
{
    struct rh_channel *channel = presence->channel;
    presence->copy_ms = core->now_ms + presence->clients_count;
    for (uint32_t i = 0; channel->group != NULL && i < channel->group->count; i++) {
        if (has_copy(core, channel, channel->group->members[i])) {
            rh_core_presence_send(core, channel, channel->group->members[i]);
        }
    }
}

static void copy_due(struct rh_core *core)
{
    if (rh_list_empty(&core->presences_to_copy) || core->now_ms < core->presence_copy_ms) {
        return;
    }
    unsigned copies = 0;
    core->presence_copy_ms = UINT64_MAX;
    rh_list_each_safe (&core->presences_to_copy, link) {
        struct rh_presence *presence = rh_container_of(link, struct rh_presence, copy_link);
        bool waits = is_served(presence) && presence->copy_ms > core->now_ms;
        if (waits) {
            if (presence->copy_ms < core->presence_copy_ms) {
                core->presence_copy_ms = presence->copy_ms;
            }
            continue;
        }
        if (copies++ == COPIES_MAX) {
            core->presence_copy_ms = core->now_ms;
            return;
        }
        rh_list_remove(link);
        if (is_served(presence)) {
            send_copies(core, presence);
        }
        settle(core, presence);
    }
}

/* ---- links that come up ---- */

/* Who has a copy of the channel, and may lack its list. */
static void send_to_newcomers(void *context, struct rh_table_link *link)
{
    struct rh_core *core = context;
    const struct rh_presence *presence = presence_in_table(link);
    struct rh_channel *channel = presence->channel;
    if (!is_served(presence) || channel->group == NULL) {
        return;
    }
    for (uint32_t i = 0; i < channel->group->count; i++) {
        const struct rh_process *process = channel->group->members[i];
        if (process->wants_presence && has_copy(core, channel, process)) {
            rh_core_presence_send(core, channel, process);
        }
    }
}

static void end_scan(struct rh_core *core)
{
    core->presence_is_scanning = false;
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        rh_container_of(link, struct rh_process, link)->wants_presence = false;
    }
}

static void scan(struct rh_core *core)
{
    for (unsigned i = 0; core->presence_is_scanning && i < COPIES_MAX; i++) {
        core->presence_cursor =
            rh_table_scan(&core->presences, core->presence_cursor, send_to_newcomers, core);
        if (core->presence_cursor == 0) {
            end_scan(core);
        }
    }
}

void rh_core_presence_peer_up(struct rh_core *core, struct rh_process *process)
{
    if (core->presences.count == 0) {
        return;
    }
    process->wants_presence = true;
    core->presence_is_scanning = true;
    core->presence_cursor = 0;
}

/* ---- the end of a step ---- */

/* Who is welcomed in this step is in the channel. */
void rh_core_presence_flush(struct rh_core *core)
{
    for (struct rh_list *link = rh_list_first(&core->presences_to_tell); link != NULL;
         link = rh_list_first(&core->presences_to_tell)) {
        struct rh_presence *presence = rh_container_of(link, struct rh_presence, tell_link);
        rh_list_remove(link);
        tell_watchers(core, presence);
        forget_told(core, presence);
        settle(core, presence);
    }
    copy_due(core);
    scan(core);
}

void rh_core_presence_wanted(struct rh_core *core, const struct rh_channel *channel)
{
    struct rh_presence *presence = find(core, channel);
    if (presence != NULL && is_served(presence)) {
        presence->copy_ms = 0;
        copy(core, presence);
    }
}

/* Whether this node wants the list from |from|: it holds a copy of what that acts for, or fetches the
 * channel from it. */
static bool takes_from(const struct rh_core *core, const struct rh_channel *channel,
                       const struct rh_process *from)
{
    const struct rh_reported *reported = rh_core_reported(core, channel);
    bool acts = rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING;
    if (acts) {
        return false;
    }
    return (reported != NULL && reported->fetching == from) ||
           (rh_role_holds_copy(channel->role) && channel->group != NULL &&
            channel->group->members[0] == from);
}

/* Streams that stayed while another node counted are shown the whole again, when this one does. */
static void show_again(const struct rh_presence *presence)
{
    for (struct rh_subscription *at = rh_core_stream_next(presence->channel, NULL); at != NULL;
         at = rh_core_stream_next(presence->channel, at)) {
        at->is_shown = false;
    }
}

static void forget_unseen(struct rh_core *core, struct rh_presence *presence)
{
    rh_list_each_safe (&presence->clients, link) {
        struct rh_present *present = present_of(link, false);
        if (!present->is_seen && present->connections == 0) {
            unlink_client(core, present);
            forget(core, present);
            show_again(presence);
        }
        present->is_seen = false;
    }
}

/* One more of a list that another node has sent, or one that it has as well. */
static void take_present(struct rh_core *core, struct rh_presence *presence,
                         const struct rh_peer_present *from)
{
    struct rh_present *present = find_client(core, presence, from->client);
    bool is_known = present != NULL;
    present = is_known ? present : create(core, presence, from->client);
    if (present == NULL) {
        return;
    }
    if (set_meta(core, present, from->meta) || !is_known) {
        show_again(presence);
    }
    present->is_seen = true;
}

void rh_core_on_presence(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message)
{
    const struct rh_peer_presence *list = &message->presence;
    struct rh_channel *channel = rh_core_channel_find(core, list->key);
    if (channel == NULL || !takes_from(core, channel, from)) {
        return;
    }
    struct rh_presence *presence =
        list->clients_count > 0 ? get(core, channel) : find(core, channel);
    if (presence == NULL) {
        return;
    }
    int order = rh_term_compare(list->term, presence->term);
    if (order < 0 || (order == 0 && list->version < presence->version)) {
        return;
    }
    for (size_t i = 0; i < list->clients_count; i++) {
        take_present(core, presence, &list->clients[i]);
    }
    forget_unseen(core, presence);
    presence->term = list->term;
    presence->version = list->version;
    settle(core, presence);
}

/* ---- channels ---- */

void rh_core_presence_begin(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_presence *presence = find(core, channel);
    if (presence == NULL) {
        return;
    }
    rh_list_each (&presence->clients, link) {
        struct rh_present *present = present_of(link, false);
        if (present->connections == 0) {
            go(core, present, &core->gone_moved,
               core->options.presence_move_ms + core->options.presence_grace_ms);
        }
    }
    presence->term = channel->term;
    if (presence->watchers_count > 0) {
        tell(core, presence); /* what they have missed, if they have */
    }
    presence->copy_ms = 0;
    copy(core, presence);
}

void rh_core_presence_clear(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_presence *presence = find(core, channel);
    if (presence == NULL) {
        return;
    }
    rh_list_remove(&presence->copy_link);
    forget_unseen(core, presence);
    presence->term = (struct rh_term){0};
    presence->version = 0;
    settle(core, presence);
}

void rh_core_presence_settle(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_presence *presence = find(core, channel);
    if (presence != NULL) {
        settle(core, presence);
    }
}

bool rh_core_presence_watch(struct rh_core *core, struct rh_channel *channel)
{
    return get(core, channel) != NULL;
}

void rh_core_presence_watch_begin(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_presence *presence = find(core, subscription->channel);
    assert(presence != NULL);
    presence->watchers_count++;
    subscription->is_shown = false;
    tell(core, presence);
}

void rh_core_presence_watch_end(struct rh_core *core, struct rh_subscription *subscription)
{
    struct rh_presence *presence = find(core, subscription->channel);
    assert(presence != NULL);
    presence->watchers_count--;
    settle(core, presence);
}

void rh_core_presence_drop(struct rh_core *core, struct rh_channel *channel)
{
    rh_core_presence_clear(core, channel);
    struct rh_presence *presence = find(core, channel);
    if (presence != NULL) {
        assert(presence->clients_count == 0 && presence->watchers_count == 0);
        forget_told(core, presence);
        destroy(core, presence);
    }
}

void rh_core_presence_finish(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->presences, NULL); link != NULL;
         link = rh_table_next(&core->presences, NULL)) {
        struct rh_presence *presence = presence_in_table(link);
        rh_list_each_safe (&presence->clients, client) {
            struct rh_present *present = present_of(client, false);
            unlink_client(core, present);
            forget(core, present);
        }
        forget_told(core, presence);
        destroy(core, presence);
    }
}

/* ---- asked for ---- */

static void answer(struct rh_core *core, const struct rh_request_ref *request,
                   const struct rh_presence_result *result)
{
    if (!request->from_peer) {
        struct rh_action *action = rh_core_act(core, RH_ACTION_PRESENT);
        action->present.request = request->request;
        action->present.result = *result;
        return;
    }
    struct rh_peer_message *message =
        rh_core_send_to(core, &request->from, RH_PEER_PRESENCE_ANSWER);
    message->presence_answer = (struct rh_peer_presence_answer){
        .request = request->request,
        .result = rh_core_peer_result(result->refusal),
        .code = rh_core_peer_code(result->refusal),
    };
    if (result->refusal == RH_REFUSAL_NONE) {
        message->presence_answer.incarnation = result->incarnation;
        message->presence_answer.clients = result->clients.items;
        message->presence_answer.clients_count = result->clients.count;
        memcpy(message->presence_answer.owner, result->node, RH_NODE_ID_SIZE);
    }
}

void rh_core_presence_ask(struct rh_core *core, const struct rh_event *event)
{
    const struct rh_request_ref request = {
        .ask = RH_ASK_PRESENCE,
        .request = event->inspect.request,
        .key = event->inspect.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_begin(core, &request);
}

void rh_core_serve_presence(struct rh_core *core, const struct rh_request_ref *request,
                            const struct rh_channel *channel)
{
    struct rh_presence_result result = {0};
    memcpy(result.node, core->options.id, RH_NODE_ID_SIZE);
    const struct rh_presence *presence = channel == NULL ? NULL : find(core, channel);
    if (channel != NULL) {
        result.incarnation = channel->incarnation;
    }
    if (presence != NULL && channel->incarnation != 0) {
        result.clients = list_of(core, &presence->clients, false);
    }
    answer(core, request, &result);
}

void rh_core_presence_refuse(struct rh_core *core, const struct rh_request_ref *request,
                             enum rh_refusal refusal)
{
    const struct rh_presence_result result = {.refusal = refusal};
    answer(core, request, &result);
}

void rh_core_presence_not_owner(struct rh_core *core, const struct rh_request_ref *request,
                                const char *owner)
{
    struct rh_peer_message *message =
        rh_core_send_to(core, &request->from, RH_PEER_PRESENCE_ANSWER);
    message->presence_answer.request = request->request;
    message->presence_answer.result = RH_PEER_NOT_OWNER;
    memcpy(message->presence_answer.owner, owner, strlen(owner) + 1);
}

void rh_core_presence_forward(struct rh_core *core, const struct rh_pending *pending,
                              const struct rh_request_ref *request)
{
    struct rh_peer_message *message = rh_core_send_to(core, &pending->target, RH_PEER_PRESENCE_GET);
    message->presence_get =
        (struct rh_peer_presence_get){.request = pending->number, .key = request->key};
}

void rh_core_on_presence_get(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    const struct rh_request_ref request = {
        .ask = RH_ASK_PRESENCE,
        .from_peer = true,
        .from = from->ref,
        .request = message->presence_get.request,
        .key = message->presence_get.key,
        .deadline_ms = core->now_ms + core->options.forward_timeout_ms,
    };
    rh_core_request_take(core, &request, message->epoch);
}

static bool is_presence(enum rh_ask ask)
{
    return ask == RH_ASK_PRESENCE;
}

void rh_core_on_presence_answer(struct rh_core *core, struct rh_process *from,
                                const struct rh_peer_message *message)
{
    const struct rh_peer_presence_answer *said = &message->presence_answer;
    struct rh_pending *pending = rh_core_answer_take(core, from, message, said->request,
                                                     is_presence, said->result, said->owner);
    if (pending == NULL) {
        return;
    }
    const struct rh_request_ref request = rh_core_pending_request(pending);
    struct rh_presence_result result = {
        .refusal = said->result == RH_PEER_OK ? RH_REFUSAL_NONE : RH_REFUSAL_UNREACHABLE,
        .incarnation = said->incarnation,
        .clients = {.items = said->clients, .count = said->clients_count},
    };
    memcpy(result.node, said->owner, RH_NODE_ID_SIZE);
    answer(core, &request, &result);
    rh_core_pending_remove(core, pending);
}
