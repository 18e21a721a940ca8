/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Whole channels on their way to another node. The content is what the copy held when the sync
 * began, by reference, so what is published meanwhile costs nothing and follows as appends. A small
 * channel is one frame; of a large one a few frames are on their way at a time, and what did not
 * arrive is sent again from there (H8).
 */

#define CREDIT_DEFAULT   8U /* channels, towards a node that has not said */
#define CREDIT_BYTES     (4U << 20)
#define PAUSE_MIN_MS     20U   /* after a transfer that failed; doubled each time, */
#define PAUSE_MAX_MS     1000U /* up to this */
#define FULL_PAUSE_MS    1000U
#define REFUSED_PAUSE_MS 100U
#define RETRIES_MAX      3U    /* then the receiver has forgotten it, or has it all */
#define FETCH_MS         5000U /* an answer to a Fetch that does not get on is given up */

static struct rh_sync *sync_of(const struct rh_table_link *link)
{
    return (struct rh_sync *)((uintptr_t)link - offsetof(struct rh_sync, link));
}

static bool number_equal(const struct rh_table_link *link, const void *key)
{
    return sync_of(link)->number == *(const uint64_t *)key;
}

static struct rh_sync *find(const struct rh_core *core, uint64_t number)
{
    struct rh_table_link *link = rh_table_find(&core->syncs, number, number_equal, &number);
    return link == NULL ? NULL : sync_of(link);
}

/* ---- credit and pace ---- */

bool rh_core_sync_may_begin(const struct rh_core *core, const struct rh_process *to, bool urgent)
{
    uint32_t credit = to->credit == 0 ? CREDIT_DEFAULT : to->credit;
    uint64_t bytes = to->credit == 0 ? CREDIT_BYTES : to->credit_bytes;
    /* A quarter is for those that somebody waits for. */
    if (!urgent && !rh_fault(RH_FAULT_NO_RESERVE)) {
        credit -= (credit + 3) / 4;
        bytes -= bytes / 4;
    }
    return rh_core_is_reachable(core, to) && to->in_flight < credit &&
           to->in_flight_bytes < bytes && (urgent || core->now_ms >= to->pause_until_ms);
}

void rh_core_send_credit(struct rh_core *core, const struct rh_process *to)
{
    size_t senders = core->view->members_count > 1 ? core->view->members_count - 1 : 1;
    uint32_t channels = core->options.rebalance_in_flight / (uint32_t)senders;
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_CREDIT);
    message->credit.channels = channels < 4 ? 4 : channels;
    message->credit.bytes = CREDIT_BYTES;
}

void rh_core_credits_renew(struct rh_core *core)
{
    for (size_t i = 0; rh_core_is_registered(core) && i < core->view->members_count; i++) {
        if (core->members[i] != core->self_process) {
            rh_core_send_credit(core, core->members[i]);
        }
    }
}

void rh_core_on_credit(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message)
{
    from->credit = message->credit.channels;
    from->credit_bytes = message->credit.bytes;
    rh_core_queues_wake(core);
}

static void note_failure(struct rh_core *core, struct rh_process *process)
{
    process->pause_ms = process->pause_ms == 0 ? PAUSE_MIN_MS : process->pause_ms * 2;
    if (process->pause_ms > PAUSE_MAX_MS) {
        process->pause_ms = PAUSE_MAX_MS;
    }
    process->pause_until_ms = core->now_ms + process->pause_ms;
}

/* ---- life of one ---- */

static void sync_free(struct rh_core *core, struct rh_sync *sync)
{
    sync->to->in_flight--;
    sync->to->in_flight_bytes -= sync->size;
    sync->to->groups--;
    rh_table_remove(&core->syncs, &sync->link);
    rh_list_remove(&sync->fetch_link);
    for (size_t i = 0; i < sync->entries_count; i++) {
        rh_entry_give(sync->entries[i]);
    }
    rh_entry_give(sync->state);
    free(sync->follows);
    free(sync->entries);
    free(sync->terms);
    free(sync);
    rh_core_queues_wake(core);
}

void rh_core_sync_abort(struct rh_core *core, struct rh_sync *sync, bool failed)
{
    struct rh_member *member = rh_core_member(sync->channel, sync->to);
    if (member != NULL && member->sync == sync) {
        member->sync = NULL;
        member->known = false;
    }
    if (failed) {
        note_failure(core, sync->to);
    }
    sync_free(core, sync);
}

/* Whether the receiver can go on after |op|, as far as this side can tell. */
static bool can_go_on_after(const struct rh_channel *channel, uint64_t op)
{
    return op > 0 && op <= channel->op && op + 1 >= rh_channel_first_op(channel) &&
           rh_channel_term_at(channel, op).turn != 0;
}

/* The table with its topics, in one piece. */
static void take_follows(struct rh_sync *sync, const struct rh_follows *follows)
{
    size_t size = rh_follows_count(follows) * sizeof(*sync->follows);
    for (uint32_t i = 0; i < rh_follows_count(follows); i++) {
        size += follows->items[i]->topic_size;
    }
    if (size == 0) {
        return;
    }
    sync->follows_count = follows->count;
    sync->follows = rh_core_alloc(size, 1);
    sync->size += size;
    char *text = (char *)(sync->follows + follows->count);
    for (uint32_t i = 0; i < follows->count; i++) {
        const struct rh_follow *follow = follows->items[i];
        sync->follows[i] = (struct rh_peer_follow){.topic = rh_bytes(text, follow->topic_size),
                                                   .position = follow->position};
        text = rh_bytes_write(text, rh_follow_topic(follow));
    }
}

static void take_snapshot(struct rh_sync *sync, const struct rh_channel *channel)
{
    sync->first_op = sync->from_op == 0 ? rh_channel_first_op(channel) : sync->from_op + 1;
    sync->entries_count = (size_t)(channel->op + 1 - sync->first_op);
    sync->entries = rh_core_alloc(sync->entries_count, sizeof(struct rh_entry *));
    for (size_t i = 0; i < sync->entries_count; i++) {
        sync->entries[i] = rh_entry_take(rh_channel_log_get(channel->log, sync->first_op + i));
        sync->size += rh_entry_bytes(sync->entries[i]) + 32;
    }
    /* The channel's list forgets with its log, and the begin may be sent again later. */
    sync->terms_count = channel->terms != NULL ? channel->terms->count : channel->op > 0;
    sync->terms = rh_core_alloc(sync->terms_count, sizeof(*sync->terms));
    if (channel->terms != NULL) {
        memcpy(sync->terms, channel->terms->items, sync->terms_count * sizeof(*sync->terms));
    } else if (channel->op > 0) {
        sync->terms[0] = (struct rh_peer_term_from){.first_op = 1, .term = channel->term};
    }
    take_follows(sync, channel->follows);
    sync->next.id_op = sync->from_op;
    sync->size += rh_channel_key(channel).size + 128;
}

static struct rh_sync *create(struct rh_core *core, struct rh_channel *channel,
                              struct rh_process *to, enum rh_peer_sync_purpose purpose,
                              uint64_t from_op)
{
    struct rh_sync *sync = rh_core_alloc(1, sizeof(*sync));
    sync->number = ++core->sync_number;
    sync->to = to;
    sync->channel = channel;
    sync->purpose = purpose;
    sync->incarnation = channel->incarnation;
    sync->term = channel->term;
    sync->op = channel->op;
    sync->commit = channel->commit;
    sync->state = channel->state == NULL ? NULL : rh_entry_take(channel->state);
    sync->size = sync->state == NULL ? 0 : rh_entry_bytes(sync->state);
    sync->from_op = can_go_on_after(channel, from_op) ? from_op : 0;
    sync->base_term = rh_channel_term_at(channel, sync->from_op);
    sync->sent_ms = core->now_ms;
    rh_list_init(&sync->fetch_link);
    take_snapshot(sync, channel);
    to->groups++;
    to->in_flight++;
    to->in_flight_bytes += sync->size;
    rh_table_insert(&core->syncs, &sync->link, sync->number);
    core->stats.syncs_sent++;
    core->stats.sync_bytes_sent += sync->size;
    return sync;
}

/* ---- frames ---- */

static size_t count_entries(const struct rh_sync *sync, size_t *size)
{
    size_t count = 0;
    for (size_t i = sync->next.entry; i < sync->entries_count && count < RH_PEER_OPERATIONS_MAX;
         i++) {
        size_t more = rh_entry_bytes(sync->entries[i]) + 32;
        if (count > 0 && *size + more > RH_PEER_BATCH_SIZE) {
            break;
        }
        *size += more;
        count++;
    }
    return count;
}

static void fill_entries(struct rh_core *core, struct rh_sync *sync, size_t *size,
                         struct rh_peer_operations *ret_operations)
{
    size_t count = count_entries(sync, size);
    if (count == 0) {
        return;
    }
    struct rh_peer_operation *items = rh_core_scratch(core, count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = rh_core_operation(core, sync->entries[sync->next.entry + i]);
    }
    ret_operations->first_op = sync->first_op + sync->next.entry;
    ret_operations->items = items;
    ret_operations->count = count;
    sync->next.entry += count;
}

/* Ids are copied: the window may change in this very step. */
static size_t fill_ids(struct rh_core *core, struct rh_sync *sync, size_t *size,
                       const struct rh_peer_id **ret_ids)
{
    const struct rh_id_window *window = sync->channel->ids;
    size_t begin = rh_id_window_after(window, sync->next.id_op);
    size_t count = 0;
    size_t bytes = 0;
    for (size_t i = begin; i < rh_id_window_count(window) && count < RH_PEER_IDS_MAX; i++) {
        struct rh_id_window_item item = rh_id_window_get(window, i);
        if (item.op > sync->op || *size + bytes > RH_PEER_BATCH_SIZE) {
            break;
        }
        bytes += item.id.size + 16;
        count++;
    }
    if (count == 0) {
        return 0;
    }
    struct rh_peer_id *ids = rh_core_scratch(core, count, sizeof(*ids));
    char *text = rh_core_scratch(core, bytes, 1);
    for (size_t i = 0; i < count; i++) {
        struct rh_id_window_item item = rh_id_window_get(window, begin + i);
        uint64_t age_ms = core->now_ms - item.added_ms;
        bool is_state = (item.seq & RH_ID_WINDOW_STATE) != 0;
        ids[i] = (struct rh_peer_id){
            .id = rh_bytes(text, item.id.size),
            .seq = is_state ? 0 : item.seq,
            .version = is_state ? item.seq & ~RH_ID_WINDOW_STATE : 0,
            .op = item.op,
            .age_ms = age_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)age_ms,
        };
        text = rh_bytes_write(text, item.id);
        sync->next.id_op = item.op;
    }
    *size += bytes;
    *ret_ids = ids;
    return count;
}

/* Whether nothing is left but ids that do not exist. */
static bool is_exhausted(const struct rh_sync *sync)
{
    if (sync->next.entry < sync->entries_count) {
        return false;
    }
    const struct rh_id_window *window = sync->channel->ids;
    size_t next = rh_id_window_after(window, sync->next.id_op);
    return next >= rh_id_window_count(window) || rh_id_window_get(window, next).op > sync->op;
}

static void mark(struct rh_sync *sync)
{
    sync->marks[sync->next.index % RH_SYNC_FRAMES_MAX] = sync->next;
}

/* The document as of the sync's `commit`, whole. */
static void fill_state(struct rh_core *core, const struct rh_sync *sync,
                       struct rh_peer_sync_begin *begin)
{
    if (sync->state == NULL) {
        return;
    }
    begin->version = rh_entry_version(sync->state);
    begin->has_state = sync->state->entry_kind == RH_ENTRY_STATE;
    if (begin->has_state) {
        rh_core_keep_entry(core, rh_entry_take(sync->state));
        begin->content_type = rh_entry_content_type(sync->state);
        begin->state = rh_entry_payload(sync->state).bytes;
    }
}

/* The sync may end before the message is encoded, so it is copied. */
static void fill_follows(struct rh_core *core, const struct rh_sync *sync,
                         struct rh_peer_sync_begin *begin)
{
    if (sync->follows_count == 0) {
        return;
    }
    struct rh_peer_follow *follows = rh_core_scratch(core, sync->follows_count, sizeof(*follows));
    size_t size = 0;
    for (size_t i = 0; i < sync->follows_count; i++) {
        size += sync->follows[i].topic.size;
    }
    char *text = rh_core_scratch(core, size, 1);
    for (size_t i = 0; i < sync->follows_count; i++) {
        struct rh_bytes topic = sync->follows[i].topic;
        follows[i] = (struct rh_peer_follow){.topic = rh_bytes(text, topic.size),
                                             .position = sync->follows[i].position};
        text = rh_bytes_write(text, topic);
    }
    begin->follows = follows;
    begin->follows_count = sync->follows_count;
}

static void send_begin(struct rh_core *core, struct rh_sync *sync)
{
    const struct rh_channel *channel = sync->channel;
    struct rh_peer_message *message = rh_core_send(core, sync->to, RH_PEER_SYNC_BEGIN);
    struct rh_peer_sync_begin *begin = &message->sync_begin;
    size_t size = 0;
    mark(sync);
    begin->sync = sync->number;
    begin->purpose = sync->purpose;
    begin->key = rh_channel_key(channel);
    begin->incarnation = channel->incarnation;
    begin->term = channel->term;
    begin->group =
        (struct rh_peer_group){.members = channel->group->refs, .count = channel->group->count};
    begin->op = sync->op;
    begin->seq = sync->entries_count > 0 ? sync->entries[sync->entries_count - 1]->seq : sync->seq;
    begin->commit = sync->commit;
    begin->from_op = sync->from_op;
    begin->base_term = sync->base_term;
    begin->sent_ms = sync->stamp;
    struct rh_peer_term_from *terms = rh_core_scratch(core, sync->terms_count, sizeof(*terms));
    if (sync->terms_count > 0) {
        memcpy(terms, sync->terms, sync->terms_count * sizeof(*terms));
    }
    begin->terms = terms;
    begin->terms_count = sync->terms_count;
    fill_state(core, sync, begin);
    fill_follows(core, sync, begin);
    fill_entries(core, sync, &size, &begin->operations);
    if (sync->next.entry == sync->entries_count) {
        begin->ids_count = fill_ids(core, sync, &size, &begin->ids);
    }
    sync->all_sent = is_exhausted(sync);
    begin->last = sync->all_sent;
    sync->next.index++;
}

static void send_chunk(struct rh_core *core, struct rh_sync *sync)
{
    struct rh_peer_message *message = rh_core_send(core, sync->to, RH_PEER_SYNC_CHUNK);
    struct rh_peer_sync_chunk *chunk = &message->sync_chunk;
    size_t size = 0;
    mark(sync);
    chunk->sync = sync->number;
    chunk->index = sync->next.index;
    fill_entries(core, sync, &size, &chunk->operations);
    if (sync->next.entry == sync->entries_count) {
        chunk->ids_count = fill_ids(core, sync, &size, &chunk->ids);
    }
    sync->all_sent = is_exhausted(sync);
    chunk->last = sync->all_sent;
    sync->next.index++;
}

static void send_more(struct rh_core *core, struct rh_sync *sync)
{
    sync->sent_ms = core->now_ms;
    while (!sync->all_sent && sync->next.index - sync->acked < RH_SYNC_FRAMES_MAX) {
        if (sync->next.index == 0) {
            send_begin(core, sync);
        } else {
            send_chunk(core, sync);
        }
    }
}

struct rh_sync *rh_core_sync_begin(struct rh_core *core, struct rh_channel *channel,
                                   struct rh_process *to, enum rh_peer_sync_purpose purpose,
                                   uint64_t from_op, bool urgent)
{
    struct rh_sync *sync = create(core, channel, to, purpose, from_op);
    sync->stamp = rh_core_stamp(core);
    sync->seq = channel->seq;
    sync->is_urgent = urgent;
    struct rh_member *member = purpose == RH_PEER_SYNC_FETCH ? NULL : rh_core_member(channel, to);
    if (member != NULL) {
        assert(member->sync == NULL);
        member->sync = sync;
        member->known = false;
        member->acked = 0;
        if (member->in_group) {
            member->informed = false;
            member->told = member->told == 0 ? sync->stamp : member->told;
        }
    }
    send_more(core, sync);
    return sync;
}

/* Whether the channel is still what the sync is of. */
static bool is_valid(const struct rh_sync *sync)
{
    return sync->channel->incarnation == sync->incarnation &&
           rh_term_equal(sync->channel->term, sync->term);
}

/* From the last frame that has arrived on. */
static void go_back(struct rh_core *core, struct rh_sync *sync)
{
    if (sync->acked < sync->next.index) {
        sync->next = sync->marks[sync->acked % RH_SYNC_FRAMES_MAX];
        sync->all_sent = false;
    }
    send_more(core, sync);
}

void rh_core_sync_retry(struct rh_core *core, struct rh_sync *sync)
{
    if (core->now_ms - sync->sent_ms < RH_RETRY_MS) {
        return;
    }
    if (!is_valid(sync) || !rh_core_is_reachable(core, sync->to) || sync->retries == RETRIES_MAX) {
        rh_core_sync_abort(core, sync, true);
        return;
    }
    sync->retries++;
    note_failure(core, sync->to);
    go_back(core, sync);
}

/* ---- answers to Fetch ---- */

void rh_core_fetches_end(struct rh_core *core, struct rh_channel *channel,
                         const struct rh_process *to)
{
    if (!channel->is_fetched) {
        return;
    }
    bool left = false;
    rh_list_each_safe (&core->fetches, link) {
        struct rh_sync *sync = rh_container_of(link, struct rh_sync, fetch_link);
        if (sync->channel == channel && (to == NULL || sync->to == to)) {
            rh_core_sync_abort(core, sync, false);
        } else {
            left |= sync->channel == channel;
        }
    }
    channel->is_fetched = left;
}

void rh_core_fetches_expire(struct rh_core *core)
{
    for (struct rh_list *link = rh_list_first(&core->fetches); link != NULL;
         link = rh_list_first(&core->fetches)) {
        struct rh_sync *sync = rh_container_of(link, struct rh_sync, fetch_link);
        if (core->now_ms - sync->sent_ms < FETCH_MS) {
            return;
        }
        rh_core_sync_abort(core, sync, true);
    }
}

uint64_t rh_core_fetches_ms(const struct rh_core *core)
{
    if (rh_list_empty(&core->fetches)) {
        return UINT64_MAX;
    }
    const struct rh_sync *first = rh_container_of(core->fetches.next, struct rh_sync, fetch_link);
    return first->sent_ms + FETCH_MS;
}

void rh_core_on_fetch(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message)
{
    const struct rh_peer_fetch *fetch = &message->fetch;
    struct rh_channel *channel = rh_core_channel_find(core, fetch->key);
    bool holds = channel != NULL && rh_role_holds_copy(channel->role);
    bool fits = holds && !rh_role_is_actor(channel->role) &&
                channel->incarnation == fetch->incarnation &&
                rh_term_equal(channel->term, fetch->term) && channel->op >= fetch->op;
    if (!fits && !(holds && rh_fault(RH_FAULT_FETCH_ANY))) {
        rh_core_send_refused(core, from, RH_PEER_FETCH, fetch->key, fetch->term, 0,
                             holds ? RH_PEER_STALE_TERM : RH_PEER_NO_COPY);
        return;
    }
    rh_core_fetches_end(core, channel, from);
    rh_core_presence_send(core, channel, from);
    bool has_base = fetch->from_op > 0 && fetch->from_op <= channel->op &&
                    fetch->base_term.turn != 0 &&
                    rh_term_equal(rh_channel_term_at(channel, fetch->from_op), fetch->base_term);
    struct rh_sync *sync = rh_core_sync_begin(core, channel, from, RH_PEER_SYNC_FETCH,
                                              has_base ? fetch->from_op : 0, true);
    rh_list_push_back(&core->fetches, &sync->fetch_link);
    channel->is_fetched = true;
}

/* ---- answers ---- */

/* The receiver holds what it says, also if the sync was given up meanwhile. */
static void held(struct rh_core *core, struct rh_process *from, const struct rh_peer_sync_ack *ack)
{
    struct rh_channel *channel = rh_core_channel_find(core, ack->key);
    if (channel == NULL || !rh_role_is_actor(channel->role) ||
        ack->incarnation != channel->incarnation || !rh_term_equal(ack->term, channel->term)) {
        return;
    }
    struct rh_member *member = rh_core_member(channel, from);
    if (member == NULL || member->leaving || ack->sent_ms < member->not_before) {
        return;
    }
    if (member->sync != NULL) {
        rh_core_sync_abort(core, member->sync, false);
    }
    rh_core_mark_dirty(core, channel);
    rh_core_member_acked(core, channel, member, ack->op, ack->confirmed, ack->sent_ms);
}

static void finish(struct rh_core *core, struct rh_sync *sync)
{
    struct rh_member *member = rh_core_member(sync->channel, sync->to);
    if (member != NULL && member->sync == sync) {
        member->sync = NULL;
        member->sent = 0; /* what it holds, its answer says */
    }
    sync->to->pause_ms = 0;
    sync_free(core, sync);
}

void rh_core_on_sync_ack(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message)
{
    const struct rh_peer_sync_ack *ack = &message->sync_ack;
    rh_core_peer_proof(core, from, ack->sent_ms, ack->proof_age_ms);
    struct rh_sync *sync = find(core, ack->sync);
    if (sync == NULL && ack->done) {
        held(core, from, ack);
        return;
    }
    if (sync == NULL || sync->to != from || !rh_core_walk(core, sync->channel)) {
        return;
    }
    sync = find(core, ack->sync); /* the walk may have ended it */
    if (sync == NULL) {
        return;
    }
    if (ack->done) {
        finish(core, sync);
        held(core, from, ack);
        return;
    }
    if (ack->index + 1 > sync->acked && ack->index < sync->next.index) {
        sync->acked = ack->index + 1;
        sync->retries = 0;
        if (is_valid(sync)) {
            send_more(core, sync);
        } else {
            rh_core_sync_abort(core, sync, false);
        }
    }
}

/* N12: it is asked again after a pause; who waits for the channel to take writes is told at once. */
static void lacks_room(struct rh_core *core, struct rh_channel *channel, struct rh_member *member)
{
    member->is_full = true;
    member->pause_ms = core->now_ms + FULL_PAUSE_MS;
    rh_core_requests_retry_channel(core, channel);
}

static void sync_refused(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_refused *refused)
{
    struct rh_sync *sync = find(core, refused->sync);
    if (sync == NULL || sync->to != from || !rh_core_walk(core, sync->channel)) {
        return;
    }
    sync = find(core, refused->sync);
    if (sync == NULL) {
        return;
    }
    struct rh_channel *channel = sync->channel;
    enum rh_peer_sync_purpose purpose = sync->purpose;
    bool had_base = sync->from_op > 0;
    bool urgent = sync->is_urgent;
    rh_core_sync_abort(core, sync, refused->code != RH_PEER_GAP);
    struct rh_member *member = rh_core_member(channel, from);
    if (member == NULL) {
        return;
    }
    if (refused->code == RH_PEER_GAP && had_base && rh_role_is_actor(channel->role)) {
        (void)rh_core_sync_begin(core, channel, from, purpose, 0, urgent);
        return;
    }
    if (refused->code == RH_PEER_FULL) {
        lacks_room(core, channel, member);
        return;
    }
    member->pause_ms = core->now_ms + REFUSED_PAUSE_MS;
    if (refused->code == RH_PEER_STALE_EPOCH || refused->code == RH_PEER_STALE_TERM) {
        rh_core_catch_up(core);
    }
}

static void append_refused(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_refused *refused)
{
    struct rh_channel *channel = rh_core_channel_find(core, refused->key);
    if (channel == NULL || !rh_role_is_actor(channel->role) ||
        !rh_term_equal(channel->term, refused->term)) {
        return;
    }
    struct rh_member *member = rh_core_member(channel, from);
    if (member == NULL || member->sync != NULL || member->leaving) {
        return;
    }
    bool fits = refused->code == RH_PEER_GAP && refused->have_op <= channel->op &&
                refused->have_term.turn != 0 &&
                rh_term_equal(rh_channel_term_at(channel, refused->have_op), refused->have_term);
    member->told = 0;
    if (fits) {
        member->acked = refused->have_op;
        member->sent = refused->have_op;
        rh_core_mark_dirty(core, channel);
    } else if (refused->code == RH_PEER_FULL) {
        member->sent = member->acked;
        lacks_room(core, channel, member);
    } else if (refused->code == RH_PEER_STALE_TERM) {
        rh_core_catch_up(core);
    } else {
        member->known = false;
        member->acked = 0;
        bool informed = member->informed && rh_fault(RH_FAULT_REFUSED_INFORMED);
        rh_core_member_doubt(core, channel, member); /* asked again, whatever it says meanwhile */
        member->informed = informed;
    }
}

void rh_core_on_refused(struct rh_core *core, struct rh_process *from,
                        const struct rh_peer_message *message)
{
    const struct rh_peer_refused *refused = &message->refused;
    switch (refused->about) {
    case RH_PEER_SYNC_BEGIN:
    case RH_PEER_SYNC_CHUNK:
        sync_refused(core, from, refused);
        return;
    case RH_PEER_APPEND:
        append_refused(core, from, refused);
        return;
    case RH_PEER_OWN:
        rh_core_own_refused(core, from, refused);
        return;
    case RH_PEER_FETCH:
        rh_core_fetch_refused(core, from, refused);
        return;
    default: /* Leave, Expedite: the view that this node lacks settles it */
        if (refused->code == RH_PEER_STALE_EPOCH) {
            rh_core_catch_up(core);
        }
        return;
    }
}
