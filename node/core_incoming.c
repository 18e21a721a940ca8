/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Syncs that come in. What has come is kept aside until all is there; then it becomes the copy in
 * one step, or, if it was fetched, the content of a claim. The rules of acceptance (S2) are asked at
 * the beginning and again at the end.
 */

#define INCOMING_MS 5000U /* a sync that comes in and does not go on is forgotten */

void rh_core_send_refused(struct rh_core *core, const struct rh_process *to,
                          enum rh_peer_message_kind about, struct rh_bytes key, struct rh_term term,
                          uint64_t sync, enum rh_peer_refused_code code)
{
    core->stats.frames_refused++;
    struct rh_channel *channel = rh_core_channel_find(core, key);
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_REFUSED);
    message->refused = (struct rh_peer_refused){
        .about = about,
        .key = key,
        .term = term,
        .sync = sync,
        .code = code,
    };
    if (channel != NULL && rh_role_holds_copy(channel->role)) {
        message->refused.have_term = rh_channel_term_at(channel, channel->op);
        message->refused.have_op = channel->op;
    }
    if (!core->options.trace) {
        return;
    }
    struct rh_core_trace trace = {.kind = RH_TRACE_REFUSED, .key = key};
    trace.op = message->refused.have_op;
    trace.from = channel == NULL ? RH_ROLE_ABSENT : (enum rh_role)channel->role;
    trace.to = trace.from;
    trace.term = term;
    trace.peer = to->ref;
    trace.about = about;
    trace.code = code;
    rh_core_act(core, RH_ACTION_TRACE)->trace = trace;
}

struct rh_entry *rh_core_entry_of(const struct rh_peer_operation *operation)
{
    return rh_entry_create(&(struct rh_entry_draft){
        .kind = (enum rh_entry_kind)operation->kind,
        .seq = operation->seq,
        .version = operation->version,
        .in_window = operation->in_window,
        .time_ms = operation->time_ms,
        .id = operation->id,
        .content_type = operation->content_type,
        .payload = operation->payload,
        .topic = operation->topic,
        .position = operation->position,
    });
}

/* ---- life ---- */

static void destroy(struct rh_core *core, struct rh_incoming *incoming)
{
    for (size_t i = 0; i < incoming->entries_count; i++) {
        rh_entry_give(incoming->entries[i]);
    }
    for (size_t i = 0; i < incoming->ids_count; i++) {
        free((void *)(uintptr_t)incoming->ids[i].id.data);
    }
    incoming->from->groups--;
    rh_core_give_group(core, incoming->group);
    rh_terms_destroy(incoming->terms);
    rh_entry_give(incoming->state);
    rh_follows_destroy(incoming->follows);
    rh_list_remove(&incoming->link);
    free(incoming->entries);
    free(incoming->ids);
    free(incoming);
}

void rh_core_incoming_free(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_incoming *incoming = rh_channel_incoming(channel);
    if (incoming != NULL) {
        channel->dealings->incoming = NULL;
        rh_core_dealings_settle(core, channel);
        destroy(core, incoming);
    }
}

void rh_core_incoming_expire(struct rh_core *core)
{
    for (struct rh_list *link = rh_list_first(&core->incoming); link != NULL;
         link = rh_list_first(&core->incoming)) {
        struct rh_incoming *incoming = rh_container_of(link, struct rh_incoming, link);
        if (core->now_ms - incoming->since_ms < INCOMING_MS) {
            return;
        }
        struct rh_channel *channel = incoming->channel;
        rh_core_incoming_free(core, channel);
        rh_core_channel_settle(core, channel);
    }
}

uint64_t rh_core_incoming_ms(const struct rh_core *core)
{
    if (rh_list_empty(&core->incoming)) {
        return UINT64_MAX;
    }
    const struct rh_incoming *first =
        rh_container_of(core->incoming.next, struct rh_incoming, link);
    return first->since_ms + INCOMING_MS;
}

/* ---- acceptance ---- */

static bool is_fetched_from(const struct rh_core *core, const struct rh_channel *channel,
                            const struct rh_process *from)
{
    const struct rh_reported *reported = channel == NULL ? NULL : rh_core_reported(core, channel);
    return reported != NULL && reported->fetching == from && !rh_role_is_actor(channel->role);
}

/* S2, but for the epoch. RH_PEER_REFUSED_CODES: accepted. */
static enum rh_peer_refused_code judge(const struct rh_core *core, const struct rh_channel *channel,
                                       const struct rh_process *from, struct rh_bytes key,
                                       enum rh_peer_sync_purpose purpose, struct rh_term term,
                                       const struct rh_process *actor)
{
    if (purpose == RH_PEER_SYNC_FETCH) {
        return is_fetched_from(core, channel, from) ? RH_PEER_REFUSED_CODES : RH_PEER_NO_OWNER;
    }
    if (actor != from) {
        return RH_PEER_NO_OWNER;
    }
    if (purpose != RH_PEER_SYNC_JOIN && rh_core_tomb_forbids(core, key, term)) {
        return RH_PEER_LEFT;
    }
    if (channel == NULL || !rh_role_holds_copy(channel->role)) {
        return core->stats.copies >= core->options.copies_max ? RH_PEER_FULL
                                                              : RH_PEER_REFUSED_CODES;
    }
    int order = rh_term_compare(term, channel->term);
    bool same_actor = channel->group->members[0] == from;
    bool accepted = order > 0 || (order == 0 && (same_actor || channel->suspect));
    return accepted ? RH_PEER_REFUSED_CODES : RH_PEER_STALE_TERM;
}

/* S5: whether the copy has what the sync builds on. */
static bool has_base(const struct rh_channel *channel, const struct rh_incoming *incoming)
{
    if (incoming->from_op == 0) {
        return true;
    }
    if (!rh_role_holds_copy(channel->role) || channel->op < incoming->from_op) {
        return false;
    }
    struct rh_term have = rh_channel_term_at(channel, incoming->from_op);
    return channel->incarnation == incoming->incarnation && have.turn != 0 &&
           rh_term_equal(have, incoming->base_term);
}

/* ---- what comes ---- */

static uint64_t seq_at(const struct rh_channel *channel, uint64_t op)
{
    if (op >= channel->op) {
        return channel->seq;
    }
    const struct rh_entry *entry = rh_channel_log_get(channel->log, op);
    return entry != NULL ? entry->seq : rh_channel_first_seq(channel) - 1;
}

/* Whether |operation| comes right after a message or state operation of seq |before|. */
static bool follows(const struct rh_peer_operation *operation, uint64_t before)
{
    return operation->seq == before + (operation->kind == RH_PEER_OPERATION_MESSAGE);
}

/* False: it does not fit what has come before, or there is no memory. */
static bool take_operations(struct rh_incoming *incoming,
                            const struct rh_peer_operations *operations)
{
    if (operations->count == 0) {
        return true;
    }
    if (incoming->next_op == 0) {
        incoming->next_op = operations->first_op;
    }
    if (operations->first_op != incoming->next_op) {
        return false;
    }
    size_t wanted = incoming->entries_count + operations->count;
    if (wanted > incoming->entries_capacity) {
        incoming->entries_capacity = wanted * 2;
        incoming->entries =
            rh_core_grow(incoming->entries, sizeof(struct rh_entry *), incoming->entries_capacity);
    }
    for (size_t i = 0; i < operations->count; i++) {
        const struct rh_peer_operation *operation = &operations->items[i];
        bool is_first = incoming->entries_count == 0 && incoming->from_op == 0;
        if (!is_first && !follows(operation, incoming->last_seq)) {
            return false;
        }
        struct rh_entry *entry = rh_core_entry_of(operation);
        if (entry == NULL) {
            return false;
        }
        incoming->entries[incoming->entries_count++] = entry;
        incoming->last_seq = operation->seq;
        incoming->next_op++;
        incoming->size += rh_entry_bytes(entry);
    }
    return true;
}

static bool take_ids(struct rh_core *core, struct rh_incoming *incoming,
                     const struct rh_peer_id *ids, size_t count)
{
    size_t wanted = incoming->ids_count + count;
    if (wanted > incoming->ids_capacity) {
        incoming->ids_capacity = wanted * 2;
        incoming->ids = rh_core_grow(incoming->ids, sizeof(*incoming->ids), incoming->ids_capacity);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t before = incoming->ids_count == 0 ? incoming->from_op
                                                   : incoming->ids[incoming->ids_count - 1].op;
        if (ids[i].op <= before || ids[i].op > incoming->op) {
            return false;
        }
        char *id = malloc(ids[i].id.size);
        if (id == NULL) {
            return false;
        }
        (void)rh_bytes_write(id, ids[i].id);
        incoming->ids[incoming->ids_count++] = (struct rh_incoming_id){
            .id = rh_bytes(id, ids[i].id.size),
            .seq = ids[i].version == 0 ? ids[i].seq : RH_ID_WINDOW_STATE | ids[i].version,
            .op = ids[i].op,
            .added_ms = core->now_ms - ids[i].age_ms,
        };
    }
    return true;
}

/* ---- becoming the copy ---- */

static void add_ids(struct rh_core *core, struct rh_channel *channel,
                    const struct rh_incoming *incoming, uint64_t above)
{
    if (rh_fault(RH_FAULT_LOST_WINDOW)) {
        return;
    }
    const struct rh_id_window_limits limits = rh_core_id_limits(core);
    for (size_t i = 0; i < incoming->ids_count; i++) {
        const struct rh_incoming_id *id = &incoming->ids[i];
        if (id->op <= above) {
            continue;
        }
        struct rh_id_window *window = rh_channel_ids_of(channel, core->options.secret);
        if (window == NULL ||
            rh_id_window_add(window, &limits, id->id, id->seq, id->op, id->added_ms) != 0) {
            abort();
        }
    }
}

/* Appends entries above |above| to the log, which ends there. */
static void add_entries(struct rh_channel *channel, const struct rh_incoming *incoming,
                        uint64_t above)
{
    uint64_t first_op = incoming->next_op - incoming->entries_count;
    for (size_t i = 0; i < incoming->entries_count; i++) {
        if (first_op + i <= above) {
            continue;
        }
        struct rh_channel_log *log = rh_channel_log_of(channel);
        if (log == NULL || rh_channel_log_append(log, incoming->entries[i]) != 0) {
            abort();
        }
        (void)rh_entry_take(incoming->entries[i]);
        channel->op = first_op + i;
        channel->seq = incoming->entries[i]->seq;
    }
}

static void set_terms(struct rh_channel *channel, const struct rh_terms *terms)
{
    rh_terms_destroy(channel->terms);
    channel->terms = NULL;
    if (rh_terms_copy(terms, &channel->terms) != 0) {
        abort();
    }
}

static void push_term(struct rh_channel *channel, uint64_t first_op, struct rh_term term)
{
    if (rh_terms_push(&channel->terms, first_op, term) != 0) {
        abort();
    }
}

/* The copy keeps what it had up to |op|, and the terms of it: the sender may have trimmed more, and
 * does not know those any longer. */
static void go_on_with_terms(struct rh_channel *channel, const struct rh_terms *terms, uint64_t op)
{
    if (channel->terms == NULL) {
        push_term(channel, 1, channel->term);
    }
    rh_terms_cut(&channel->terms, op);
    for (uint32_t i = 0; terms != NULL && i < terms->count; i++) {
        if (terms->items[i].first_op > op) {
            push_term(channel, terms->items[i].first_op, terms->items[i].term);
        }
    }
}

/* The copy, which knew |state| to be the document at |commit|, takes the sync's document if that is
 * later: both are true of the same life. What either does not know of yet is in the log. */
static void set_commit(struct rh_channel *channel, const struct rh_incoming *incoming,
                       uint64_t commit, struct rh_entry *state)
{
    bool keeps = commit >= incoming->commit && commit <= channel->op;
    struct rh_entry *known = keeps ? state : incoming->state;
    known = known == NULL ? NULL : rh_entry_take(known);
    rh_entry_give(channel->state);
    rh_entry_give(state);
    channel->state = known;
    channel->commit = keeps ? commit : incoming->commit;
}

/* S3, S5. A copy of the same life and term is never made shorter; anything else is replaced from
 * where the sync begins. */
static void replace_content(struct rh_core *core, struct rh_channel *channel,
                            struct rh_incoming *incoming)
{
    bool same_life =
        rh_role_holds_copy(channel->role) && channel->incarnation == incoming->incarnation;
    bool same_term = same_life && rh_term_equal(channel->term, incoming->term);
    bool knows = same_life || rh_fault(RH_FAULT_OLD_STATE);
    uint64_t commit = knows ? channel->commit : 0;
    bool has_state = knows && channel->state != NULL;
    struct rh_entry *state = has_state ? rh_entry_take(channel->state) : NULL;
    if (same_term && incoming->op <= channel->op) {
        if (incoming->commit > channel->commit) {
            rh_channel_commit_to(channel, incoming->commit);
        }
        rh_entry_give(state);
        return;
    }
    if (incoming->from_op == 0) {
        struct rh_term none = {0};
        rh_channel_clear(channel);
        channel->op = incoming->entries_count > 0 ? incoming->next_op - incoming->entries_count - 1
                                                  : incoming->op;
        channel->seq = incoming->seq;
        channel->term = none;
    } else if (!same_term && channel->op > incoming->from_op) {
        channel->seq = seq_at(channel, incoming->from_op);
        rh_channel_log_cut(channel->log, incoming->from_op);
        rh_id_window_cut(channel->ids, incoming->from_op);
        channel->op = incoming->from_op;
    }
    uint64_t above = channel->op;
    add_entries(channel, incoming, above);
    add_ids(core, channel, incoming, incoming->from_op == 0 ? 0 : above);
    rh_follows_destroy(channel->follows);
    channel->follows = incoming->follows;
    incoming->follows = NULL;
    channel->incarnation = incoming->incarnation;
    set_commit(channel, incoming, commit, state);
    if (incoming->from_op == 0 || rh_fault(RH_FAULT_WHOLE_TERMS)) {
        set_terms(channel, incoming->terms);
    } else {
        go_on_with_terms(channel, incoming->terms, above);
    }
    assert(channel->op == incoming->op);
}

void rh_core_incoming_install(struct rh_core *core, struct rh_channel *channel,
                              struct rh_incoming *incoming)
{
    bool is_new = !rh_role_holds_copy(channel->role) ||
                  !rh_term_equal(channel->term, incoming->term) ||
                  channel->incarnation != incoming->incarnation;
    if (is_new) {
        rh_core_requests_lose(core, channel); /* what they wait for may not be in it */
    }
    rh_core_channel_uncount(core, channel);
    replace_content(core, channel, incoming);
    rh_core_channel_count(core, channel);
    channel->term = incoming->term;
    channel->heard = incoming->stamp;
    rh_core_give_group(core, channel->group);
    channel->group = rh_group_take(incoming->group);
    channel->used_ms = core->now_ms;
    rh_core_channel_tidy(core, channel);
}

/* ---- the end of a sync ---- */

static void acknowledge(struct rh_core *core, const struct rh_incoming *incoming,
                        const struct rh_channel *channel, bool done)
{
    struct rh_peer_message *message = rh_core_send(core, incoming->from, RH_PEER_SYNC_ACK);
    message->sync_ack = (struct rh_peer_sync_ack){
        .sync = incoming->number,
        .key = rh_channel_key(channel),
        .incarnation = incoming->incarnation,
        .term = incoming->term,
        .op = done ? channel->op : 0,
        .confirmed = done && !channel->suspect,
        .done = done,
        .index = incoming->next_index - 1,
        .proof_age_ms = rh_core_proof_age(core),
        .sent_ms = incoming->stamp,
    };
}

static void refuse(struct rh_core *core, const struct rh_incoming *incoming,
                   const struct rh_channel *channel, enum rh_peer_refused_code code)
{
    rh_core_send_refused(core, incoming->from, RH_PEER_SYNC_BEGIN, rh_channel_key(channel),
                         incoming->term, incoming->number, code);
}

/* The copy is the sync's; its actor is another node (S4, S6). */
static void become_copy(struct rh_core *core, struct rh_channel *channel,
                        struct rh_incoming *incoming)
{
    bool acted = rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING;
    if (acted) {
        rh_core_acting_free(core, channel);
    }
    rh_core_queue_remove(core, channel);
    rh_core_incoming_install(core, channel, incoming);
    channel->suspect =
        !rh_group_has(channel->group, core->self_process) && !rh_fault(RH_FAULT_JOINED_AT_ONCE);
    channel->lacked = false;
    enum rh_role role = channel->suspect ? RH_ROLE_JOINING : RH_ROLE_REPLICA;
    if (acted) {
        rh_core_depose(core, channel, role);
    } else {
        rh_core_role_set(core, channel, role);
    }
    rh_core_report_again(core, channel);
    rh_core_let_clients_go(core, channel);
    rh_core_claims_add(core, channel); /* whoever waits here still wants it handed over */
    acknowledge(core, incoming, channel, true);
    rh_core_requests_retry_channel(core, channel);
}

static bool is_whole(const struct rh_incoming *incoming)
{
    return incoming->entries_count == 0
               ? incoming->from_op == 0 || incoming->from_op == incoming->op
               : incoming->next_op == incoming->op + 1 && incoming->last_seq == incoming->seq;
}

/* A sync that was sent again, or came by a longer way: its actor has been heard since. */
static bool is_outdated(const struct rh_channel *channel, const struct rh_incoming *incoming)
{
    return rh_role_holds_copy(channel->role) && rh_term_equal(channel->term, incoming->term) &&
           channel->incarnation == incoming->incarnation &&
           channel->group->members[0] == incoming->from && incoming->stamp <= channel->heard &&
           incoming->op <= channel->op;
}

static void complete(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_incoming *incoming = channel->dealings->incoming;
    const struct rh_process *actor = incoming->group->members[0];
    enum rh_peer_refused_code code = judge(core, channel, incoming->from, rh_channel_key(channel),
                                           incoming->purpose, incoming->term, actor);
    if (code == RH_PEER_REFUSED_CODES && (!has_base(channel, incoming) || !is_whole(incoming))) {
        code = RH_PEER_GAP;
    }
    core->stats.syncs_received++;
    core->stats.sync_bytes_received += incoming->size;
    if (code != RH_PEER_REFUSED_CODES) {
        refuse(core, incoming, channel, code);
        rh_core_incoming_free(core, channel);
        rh_core_channel_settle(core, channel);
        return;
    }
    if (incoming->purpose == RH_PEER_SYNC_FETCH) {
        acknowledge(core, incoming, channel, true);
        rh_core_fetched(core, channel, incoming); /* frees it */
        return;
    }
    channel->dealings->incoming = NULL;
    rh_core_dealings_settle(core, channel);
    if (is_outdated(channel, incoming) && !rh_fault(RH_FAULT_LATE_SYNC)) {
        acknowledge(core, incoming, channel, true);
    } else {
        become_copy(core, channel, incoming);
    }
    destroy(core, incoming);
}

static struct rh_incoming *create(struct rh_core *core, struct rh_channel *channel,
                                  struct rh_process *from, const struct rh_peer_sync_begin *begin,
                                  struct rh_group *group)
{
    struct rh_incoming *incoming = rh_core_alloc(1, sizeof(*incoming));
    *incoming = (struct rh_incoming){
        .channel = channel,
        .from = from,
        .number = begin->sync,
        .purpose = begin->purpose,
        .incarnation = begin->incarnation,
        .term = begin->term,
        .group = group,
        .op = begin->op,
        .seq = begin->seq,
        .commit = begin->commit,
        .from_op = begin->from_op,
        .base_term = begin->base_term,
        .stamp = begin->sent_ms,
        .since_ms = core->now_ms,
        .next_index = 1,
        .next_op = begin->from_op == 0 ? 0 : begin->from_op + 1,
        .last_seq = begin->from_op == 0 ? 0 : seq_at(channel, begin->from_op),
    };
    incoming->state = rh_core_state_of(begin);
    if (rh_follows_replace(&incoming->follows, begin->follows, begin->follows_count) != 0) {
        abort();
    }
    from->groups++;
    for (size_t i = 0; i < begin->terms_count; i++) {
        if (rh_terms_push(&incoming->terms, begin->terms[i].first_op, begin->terms[i].term) != 0) {
            abort();
        }
    }
    rh_list_push_back(&core->incoming, &incoming->link);
    rh_core_dealings(channel)->incoming = incoming;
    return incoming;
}

static void go_on(struct rh_core *core, struct rh_channel *channel, bool fits, bool last)
{
    struct rh_incoming *incoming = channel->dealings->incoming;
    incoming->since_ms = core->now_ms;
    rh_list_remove(&incoming->link);
    rh_list_push_back(&core->incoming, &incoming->link);
    if (!fits) {
        refuse(core, incoming, channel, RH_PEER_GAP);
        rh_core_incoming_free(core, channel);
        rh_core_channel_settle(core, channel);
    } else if (last) {
        complete(core, channel);
    } else {
        acknowledge(core, incoming, channel, false);
    }
}

void rh_core_on_sync_begin(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    const struct rh_peer_sync_begin *begin = &message->sync_begin;
    struct rh_channel *channel = rh_core_channel_find(core, begin->key);
    struct rh_group *group = rh_core_group_of(core, &begin->group);
    enum rh_peer_refused_code code =
        judge(core, channel, from, begin->key, begin->purpose, begin->term, group->members[0]);
    if (code == RH_PEER_REFUSED_CODES && channel == NULL) {
        channel = rh_core_channel_make(core, begin->key);
        code = channel == NULL ? RH_PEER_FULL : code;
    }
    if (code != RH_PEER_REFUSED_CODES) {
        rh_core_send_refused(core, from, RH_PEER_SYNC_BEGIN, begin->key, begin->term, begin->sync,
                             code);
        rh_core_give_group(core, group);
        return;
    }
    struct rh_incoming *present = rh_channel_incoming(channel);
    if (present != NULL && present->from == from && present->number == begin->sync) {
        acknowledge(core, present, channel, false); /* it was sent again */
        rh_core_give_group(core, group);
        return;
    }
    rh_core_incoming_free(core, channel);
    struct rh_incoming *incoming = create(core, channel, from, begin, group);
    bool fits = has_base(channel, incoming) && take_operations(incoming, &begin->operations) &&
                take_ids(core, incoming, begin->ids, begin->ids_count);
    go_on(core, channel, fits, begin->last || rh_fault(RH_FAULT_PART_IS_COPY));
}

static struct rh_incoming *find(const struct rh_core *core, const struct rh_process *from,
                                uint64_t number)
{
    rh_list_each ((struct rh_list *)(uintptr_t)&core->incoming, link) {
        struct rh_incoming *incoming = rh_container_of(link, struct rh_incoming, link);
        if (incoming->from == from && incoming->number == number) {
            return incoming;
        }
    }
    return NULL;
}

void rh_core_on_sync_chunk(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    const struct rh_peer_sync_chunk *chunk = &message->sync_chunk;
    struct rh_incoming *incoming = find(core, from, chunk->sync);
    if (incoming == NULL) {
        return; /* its begin was refused, or it was forgotten: the sender begins again */
    }
    struct rh_channel *channel = incoming->channel;
    if (!rh_core_walk(core, channel) || rh_channel_incoming(channel) != incoming) {
        return;
    }
    if (chunk->index != incoming->next_index) {
        acknowledge(core, incoming, channel, false); /* it was sent again */
        return;
    }
    incoming->next_index++;
    bool fits = take_operations(incoming, &chunk->operations) &&
                take_ids(core, incoming, chunk->ids, chunk->ids_count);
    go_on(core, channel, fits, chunk->last);
}
