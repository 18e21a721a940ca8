/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_peer_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t rh_peer_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* splitmix64: pauses only need to differ between nodes. */
uint64_t rh_peer_random(struct rh_ev_peer *peers, uint64_t bound)
{
    uint64_t z = (peers->random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % bound;
}

struct rh_peer_message rh_peer_hello(const struct rh_ev_peer *peers, const struct rh_node_ref *to,
                                     const char *refusal)
{
    return (struct rh_peer_message){
        .kind = RH_PEER_HELLO,
        .epoch = peers->epoch,
        .hello =
            {
                .version = RH_PEER_VERSION,
                .cluster = rh_bytes_text(peers->cluster),
                .from = peers->self,
                .to = *to,
                .refusal = rh_bytes_text(refusal == NULL ? "" : refusal),
            },
    };
}

void rh_peer_note_epoch(struct rh_ev_peer *peers, const struct rh_node_ref *node,
                        struct rh_epoch *shown, struct rh_epoch epoch)
{
    if (rh_epoch_compare(epoch, *shown) <= 0) {
        return;
    }
    *shown = epoch;
    peers->options.handler->epoch(peers->options.context, node, epoch);
}

void rh_peer_bury(struct rh_ev_peer *peers, struct rh_peer_grave *grave,
                  void (*free)(struct rh_peer_grave *grave))
{
    grave->free = free;
    rh_list_push_back(&peers->graves, &grave->link);
    rh_peer_schedule_turn_end(peers);
}

static void free_graves(struct rh_ev_peer *peers)
{
    rh_list_each_safe (&peers->graves, link) {
        struct rh_peer_grave *grave = rh_container_of(link, struct rh_peer_grave, link);
        rh_list_remove(link);
        grave->free(grave);
    }
}

void rh_peer_schedule_turn_end(struct rh_ev_peer *peers)
{
    ev_feed_event(peers->loop, &peers->turn_end, EV_CUSTOM);
}

void rh_peer_timer(struct rh_ev_peer *peers, ev_timer *timer, uint64_t after_ms, uint64_t repeat_ms)
{
    ev_timer_stop(peers->loop, timer);
    ev_timer_set(timer, (double)after_ms / 1000., (double)repeat_ms / 1000.);
    ev_timer_start(peers->loop, timer);
}

/* Before the loop looks for input again: writes what was queued in this turn, frees what died in it. A stream that
 * breaks here is reported from here, and what the handler then sends is written too. */
static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rh_ev_peer *peers = watcher->data;
    struct rh_list *link;
    while ((link = rh_list_first(&peers->dirty)) != NULL) {
        rh_peer_stream_flush(rh_container_of(link, struct rh_peer_stream, dirty_link));
    }
    free_graves(peers);
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static void fill_in(struct rh_ev_peer_options *options)
{
    options->ping_interval_ms = or_default(options->ping_interval_ms, 1000);
    options->pong_timeout_ms = or_default(options->pong_timeout_ms, 4000);
    options->hello_timeout_ms = or_default(options->hello_timeout_ms, 5000);
    options->backoff_min_ms = or_default(options->backoff_min_ms, 20);
    options->backoff_max_ms = or_default(options->backoff_max_ms, 2000);
    options->refused_span_ms = or_default(options->refused_span_ms, 1000);
    if (options->frame_size_max == 0) {
        options->frame_size_max = RH_PEER_FRAME_SIZE_MAX;
    }
    if (options->queue_size_max == 0) {
        options->queue_size_max = 64U << 20;
    }
    if (options->incoming_max == 0) {
        options->incoming_max = 4096;
    }
}

/* Whether we can introduce ourselves with these. */
static int check(const struct rh_ev_peer_options *options, struct rh_reason *reason)
{
    const struct rh_peer_message hello = {
        .kind = RH_PEER_HELLO,
        .hello = {.version = RH_PEER_VERSION,
                  .cluster = rh_bytes_text(options->cluster),
                  .from = options->self},
    };
    if (options->pong_timeout_ms < options->ping_interval_ms) {
        return rh_fail(reason, RH_ERR_INVALID, "the pong timeout is below the ping interval");
    }
    return rh_peer_message_check(&hello, reason);
}

/* Everything but the listener. On failure the caller frees. */
static int init(struct rh_ev_peer *peers, struct ev_loop *loop,
                const struct rh_ev_peer_options *options)
{
    peers->loop = loop;
    peers->options = *options;
    peers->self = options->self;
    peers->listen_fd = -1;
    rh_list_init(&peers->leaving);
    rh_list_init(&peers->incoming);
    rh_list_init(&peers->probes);
    rh_list_init(&peers->graves);
    rh_list_init(&peers->dirty);
    ev_prepare_init(&peers->turn_end, on_turn_end);
    ev_set_priority(&peers->turn_end, EV_MINPRI);
    peers->turn_end.data = peers;
    if (getrandom(&peers->random, sizeof(peers->random), GRND_NONBLOCK) < 0) {
        peers->random = options->self.instance;
    }
    peers->cluster = strdup(options->cluster);
    peers->scratch = malloc(RH_PEER_SCRATCH_SIZE);
    if (peers->cluster == NULL || peers->scratch == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    return rh_table_init(&peers->members);
}

static void free_all(struct rh_ev_peer *peers)
{
    rh_table_finish(&peers->members);
    free(peers->cluster);
    free(peers->scratch);
    free(peers);
}

int rh_ev_peer_start(struct ev_loop *loop, const struct rh_ev_peer_options *options,
                     struct rh_ev_peer **ret_peers, struct rh_reason *reason)
{
    struct rh_ev_peer_options filled = *options;
    fill_in(&filled);
    int rv = check(&filled, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_ev_peer *peers = calloc(1, sizeof(*peers));
    if (peers == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    rv = init(peers, loop, &filled);
    if (rv == 0) {
        rv = rh_peer_listen(peers, reason);
    } else {
        (void)rh_fail(reason, rv, "out of memory");
    }
    if (rv != 0) {
        free_all(peers);
        return rv;
    }
    peers->options.cluster = peers->cluster;
    peers->options.listen = NULL;
    *ret_peers = peers;
    return 0;
}

static struct rh_peer_link *link_of(struct rh_table_link *link)
{
    return rh_container_of(link, struct rh_peer_link, table_link);
}

void rh_ev_peer_stop(struct rh_ev_peer *peers)
{
    if (peers == NULL) {
        return;
    }
    rh_peer_listen_stop(peers);
    rh_peer_incoming_bury_all(peers);
    rh_peer_probe_bury_all(peers);
    struct rh_table_link *link;
    while ((link = rh_table_next(&peers->members, NULL)) != NULL) {
        rh_peer_link_bury(link_of(link));
    }
    rh_list_each_safe (&peers->leaving, leaving) {
        rh_peer_link_bury(rh_container_of(leaving, struct rh_peer_link, list_link));
    }
    free_graves(peers);
    (void)ev_clear_pending(peers->loop, &peers->turn_end);
    free_all(peers);
}

uint16_t rh_ev_peer_port(const struct rh_ev_peer *peers)
{
    return peers->port;
}

static bool link_is_to(const struct rh_table_link *link, const void *key)
{
    const struct rh_peer_link *candidate =
        (const struct rh_peer_link *)(const void *)((const char *)link -
                                                    offsetof(struct rh_peer_link, table_link));
    return rh_node_ref_equal(&candidate->node, key);
}

static struct rh_peer_link *find(const struct rh_ev_peer *peers, const struct rh_node_ref *node)
{
    struct rh_table_link *link = rh_table_find(&peers->members, node->instance, link_is_to, node);
    return link == NULL ? NULL : link_of(link);
}

/* Takes out the links that are not marked; clears the marks of the others. */
static void sweep(struct rh_ev_peer *peers)
{
    struct rh_table_link *next;
    for (struct rh_table_link *at = rh_table_next(&peers->members, NULL); at != NULL; at = next) {
        struct rh_peer_link *link = link_of(at);
        next = rh_table_next(&peers->members, at);
        if (!link->wanted) {
            rh_peer_link_leave(link);
        } else {
            link->wanted = false;
        }
    }
}

int rh_ev_peer_set_members(struct rh_ev_peer *peers, const struct rh_ev_peer_member *members,
                           size_t members_count)
{
    int rv = 0;
    for (size_t i = 0; i < members_count; i++) {
        if (rh_node_ref_equal(&members[i].node, &peers->self)) {
            continue;
        }
        struct rh_peer_link *link = find(peers, &members[i].node);
        if (link != NULL && strcmp(link->address, members[i].address) != 0) {
            rh_peer_link_leave(link);
            link = NULL;
        }
        if (link == NULL) {
            link = rh_peer_link_create(peers, &members[i]);
        }
        if (link == NULL) {
            rv = RH_ERR_NO_MEMORY;
        } else {
            link->wanted = true;
        }
    }
    sweep(peers);
    return rv;
}

void rh_ev_peer_set_epoch(struct rh_ev_peer *peers, struct rh_epoch epoch)
{
    peers->epoch = epoch;
    for (struct rh_table_link *at = rh_table_next(&peers->members, NULL); at != NULL;
         at = rh_table_next(&peers->members, at)) {
        if (rh_peer_link_is_up(link_of(at))) {
            rh_peer_link_ping(link_of(at));
        }
    }
}

int rh_ev_peer_send(struct rh_ev_peer *peers, const struct rh_node_ref *to,
                    const struct rh_peer_message *message)
{
    struct rh_peer_link *link = find(peers, to);
    if (link == NULL || !rh_peer_link_is_up(link)) {
        return RH_ERR_UNREACHABLE;
    }
    return rh_peer_link_send(link, message);
}

void rh_ev_peer_tell_drained(struct rh_ev_peer *peers, const struct rh_node_ref *to)
{
    struct rh_peer_link *link = find(peers, to);
    if (link != NULL && rh_peer_link_is_up(link)) {
        rh_peer_stream_tell_drained(&link->stream);
    }
}

void rh_ev_peer_reset(struct rh_ev_peer *peers)
{
    struct rh_table_link *next;
    rh_peer_incoming_reset(peers, NULL);
    for (struct rh_table_link *at = rh_table_next(&peers->members, NULL); at != NULL; at = next) {
        next = rh_table_next(&peers->members, at);
        rh_peer_link_reset(link_of(at));
    }
    rh_list_each_safe (&peers->leaving, leaving) {
        rh_peer_link_reset(rh_container_of(leaving, struct rh_peer_link, list_link));
    }
}

void rh_ev_peer_reset_from(struct rh_ev_peer *peers, const struct rh_node_ref *node)
{
    rh_peer_incoming_reset(peers, node);
}

bool rh_ev_peer_is_up(const struct rh_ev_peer *peers, const struct rh_node_ref *node)
{
    const struct rh_peer_link *link = find(peers, node);
    return link != NULL && rh_peer_link_is_up(link);
}

struct rh_epoch rh_ev_peer_epoch_of(const struct rh_ev_peer *peers, const struct rh_node_ref *node)
{
    const struct rh_peer_link *link = find(peers, node);
    struct rh_epoch incoming = rh_peer_incoming_epoch(peers, node);
    bool later =
        link != NULL && rh_peer_link_is_up(link) && rh_epoch_compare(link->epoch, incoming) > 0;
    return later ? link->epoch : incoming;
}

void rh_ev_peer_stats(const struct rh_ev_peer *peers, struct rh_ev_peer_stats *ret_stats)
{
    struct rh_ev_peer_stats stats = peers->stats;
    stats.links = peers->members.count;
    stats.incoming = peers->incoming_count;
    for (struct rh_table_link *at = rh_table_next(&peers->members, NULL); at != NULL;
         at = rh_table_next(&peers->members, at)) {
        stats.links_up += rh_peer_link_is_up(link_of(at)) ? 1 : 0;
        stats.queued_bytes += rh_buffer_size(&link_of(at)->stream.output);
    }
    *ret_stats = stats;
}
