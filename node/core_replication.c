/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"
#include "node/fault.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What the actor of a channel knows of the other members; appends to them, their acknowledgements,
 * and the commit that follows from these. A channel whose members all have all is *in step* and
 * needs none of it.
 */

#define STALLED_MS 1000U
#define LOOKS_MAX  256U /* at channels with something under way, in one step */

/* ---- members ---- */

struct rh_member *rh_core_member(struct rh_channel *channel, const struct rh_process *process)
{
    struct rh_acting *acting = channel->acting;
    for (uint32_t i = 0; acting != NULL && i < acting->count; i++) {
        if (acting->members[i].process == process) {
            return &acting->members[i];
        }
    }
    return NULL;
}

static struct rh_member *add(struct rh_acting *acting, struct rh_process *process)
{
    if (acting->count == acting->capacity) {
        acting->capacity = acting->capacity == 0 ? 2 : acting->capacity * 2;
        acting->members = rh_core_grow(acting->members, sizeof(*acting->members), acting->capacity);
    }
    process->groups++;
    struct rh_member *member = &acting->members[acting->count++];
    *member = (struct rh_member){.process = process};
    return member;
}

struct rh_acting *rh_core_acting(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_acting *acting = channel->acting;
    if (acting != NULL) {
        return acting;
    }
    acting = rh_core_alloc(1, sizeof(*acting));
    acting->channel = channel;
    acting->looked_ms = core->now_ms;
    rh_list_init(&acting->dirty_link);
    rh_list_push_back(&core->busy, &acting->busy_link);
    channel->acting = acting;
    for (uint32_t i = 0; i < channel->group->count; i++) {
        struct rh_process *process = channel->group->members[i];
        if (process == core->self_process) {
            continue;
        }
        struct rh_member *member = add(acting, process);
        member->in_group = true;
        member->known = true;
        member->confirmed = true;
        member->informed = true;
        member->is_current = true;
        member->acked = channel->op;
        member->sent = channel->op;
    }
    return acting;
}

static void member_finish(struct rh_core *core, struct rh_member *member)
{
    if (member->sync != NULL) {
        rh_core_sync_abort(core, member->sync, false);
    }
    member->process->groups--;
}

void rh_core_acting_free(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_acting *acting = channel->acting;
    if (acting == NULL) {
        return;
    }
    for (uint32_t i = 0; i < acting->count; i++) {
        member_finish(core, &acting->members[i]);
    }
    core->stats.channels_stalled -= acting->is_stalled;
    if (acting->passing_to != NULL) {
        acting->passing_to->groups--;
    }
    rh_list_remove(&acting->busy_link);
    rh_list_remove(&acting->dirty_link);
    free(acting->members);
    free(acting);
    channel->acting = NULL;
}

struct rh_member *rh_core_member_add(struct rh_core *core, struct rh_channel *channel,
                                     struct rh_process *process)
{
    struct rh_acting *acting = rh_core_acting(core, channel);
    struct rh_member *member = rh_core_member(channel, process);
    return member != NULL ? member : add(acting, process);
}

void rh_core_member_remove(struct rh_core *core, struct rh_channel *channel,
                           struct rh_member *member)
{
    struct rh_acting *acting = channel->acting;
    member_finish(core, member);
    *member = acting->members[--acting->count];
}

/* It is asked by an append that names the group whether it still has what it said. */
void rh_core_member_doubt(struct rh_core *core, struct rh_channel *channel,
                          struct rh_member *member)
{
    member->confirmed = false;
    member->informed = false;
    member->told = 0;
    rh_core_mark_dirty(core, channel);
}

/* It may have dropped its copy: it is a member, and counts for nothing until it has said what it
 * holds. */
void rh_core_member_distrust(struct rh_core *core, struct rh_member *member)
{
    /* What it acknowledged before it left may still be on its way. */
    member->not_before = rh_core_stamp(core);
    member->leaving = false;
    member->known = false;
    member->confirmed = false;
    member->informed = false;
    member->told = 0;
    member->acked = 0;
    member->sent = 0;
}

void rh_core_group_set(struct rh_core *core, struct rh_channel *channel, struct rh_group *group)
{
    assert(group->members[0] == core->self_process);
    struct rh_acting *acting = rh_core_acting(core, channel);
    rh_core_give_group(core, channel->group);
    channel->group = group;
    for (uint32_t i = 0; i < acting->count; i++) {
        struct rh_member *member = &acting->members[i];
        member->in_group = rh_group_has(group, member->process);
        member->informed = false;
        member->told = 0;
    }
    rh_core_trace(core, channel, RH_TRACE_GROUP, channel->role);
    rh_core_mark_dirty(core, channel);
}

/* Whether nothing is left to say or to hear about the channel. */
static bool is_in_step(const struct rh_core *core, const struct rh_channel *channel)
{
    const struct rh_acting *acting = channel->acting;
    if (channel->commit < channel->op || channel->role != RH_ROLE_ACTING ||
        rh_core_reported(core, channel) != NULL) {
        return false;
    }
    for (uint32_t i = 0; i < acting->count; i++) {
        const struct rh_member *member = &acting->members[i];
        if (!member->in_group || !member->confirmed || !member->informed || !member->is_current ||
            member->acked < channel->op || member->leaving || member->sync != NULL) {
            return false;
        }
    }
    return true;
}

static void free_if_in_step(struct rh_core *core, struct rh_channel *channel)
{
    if (channel->acting != NULL && rh_list_empty(&channel->acting->dirty_link) &&
        is_in_step(core, channel)) {
        rh_core_acting_free(core, channel);
    }
}

/* ---- numbering ---- */

bool rh_core_may_number(const struct rh_core *core, const struct rh_channel *channel, uint64_t size)
{
    uint64_t uncommitted = channel->op - channel->commit;
    if (!core->options.replication || uncommitted == 0) {
        return true;
    }
    if (uncommitted >= core->options.uncommitted_max) {
        return false;
    }
    if (size + channel->log->bytes <= core->options.uncommitted_bytes_max) {
        return true; /* all that is not committed is in the log */
    }
    for (uint64_t op = channel->commit + 1; op <= channel->op; op++) {
        size += rh_entry_bytes(rh_channel_log_get(channel->log, op));
    }
    return size <= core->options.uncommitted_bytes_max;
}

/* One that is to join is waited for only if there are too few copies without it (N3). */
bool rh_core_lacks_room(const struct rh_core *core, const struct rh_channel *channel)
{
    for (uint32_t i = 0; channel->acting != NULL && i < channel->acting->count; i++) {
        const struct rh_member *member = &channel->acting->members[i];
        if (member->is_full && (member->in_group || !rh_core_is_large_enough(core, channel))) {
            return true;
        }
    }
    return false;
}

static int append(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry)
{
    const struct rh_id_window_limits limits = rh_core_id_limits(core);
    uint64_t op = channel->op + 1;
    struct rh_channel_log *log = rh_channel_log_of(channel);
    if (log == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    int rv = channel->terms == NULL ? 0 : rh_terms_push(&channel->terms, op, channel->term);
    if (rv == 0 && entry->in_window) {
        uint64_t number = entry->entry_kind == RH_ENTRY_MESSAGE
                              ? entry->seq
                              : RH_ID_WINDOW_STATE | rh_entry_version(entry);
        rv = rh_channel_ids_of(channel, core->options.secret) == NULL
                 ? RH_ERR_NO_MEMORY
                 : rh_id_window_add(channel->ids, &limits, rh_entry_id(entry), number, op,
                                    core->now_ms);
    }
    if (rv == 0) {
        rv = rh_channel_log_append(log, entry);
        if (rv == 0 && rh_core_follows_apply(core, channel, entry) != 0) {
            rv = RH_ERR_NO_MEMORY;
            (void)rh_entry_take(entry); /* the log's reference goes, the caller's remains */
            rh_channel_log_cut(log, op - 1);
        }
    }
    if (rv != 0) {
        rh_id_window_cut(channel->ids, op - 1);
        rh_terms_cut(&channel->terms, op - 1);
        return rv;
    }
    channel->op = op;
    channel->seq = entry->seq;
    return 0;
}

int rh_core_number(struct rh_core *core, struct rh_channel *channel, struct rh_entry *entry)
{
    if (!rh_core_is_alone(channel)) {
        (void)rh_core_acting(core, channel); /* before: the members are in step with what was */
    }
    rh_core_channel_uncount(core, channel);
    int rv = append(core, channel, entry);
    rh_core_channel_count(core, channel);
    if (rv != 0) {
        return rv;
    }
    channel->used_ms = core->now_ms;
    if (rh_fault(RH_FAULT_DELIVER_EARLY)) {
        rh_core_deliver(core, channel, entry);
    }
    struct rh_acting *acting = channel->acting;
    if (acting != NULL) {
        acting->since_ms = acting->since_ms == 0 ? core->now_ms : acting->since_ms;
        acting->is_quiet = false;
        acting->numbered_ms = core->now_ms;
        rh_core_mark_dirty(core, channel);
    }
    return 0;
}

void rh_core_numbered(struct rh_core *core, struct rh_channel *channel)
{
    if (!core->options.replication) {
        rh_core_channel_bring_up(core, channel);
    }
    uint64_t op = channel->op;
    rh_core_try_commit(core, channel);
    if (channel->commit < op) {
        (void)rh_core_acting(core, channel); /* so that it is looked at again */
    }
}

/* ---- appends ---- */

void rh_core_mark_dirty(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_acting *acting = rh_core_acting(core, channel);
    if (rh_list_empty(&acting->dirty_link)) {
        rh_list_push_back(&core->dirty, &acting->dirty_link);
    }
}

struct rh_peer_operation rh_core_operation(struct rh_core *core, struct rh_entry *entry)
{
    rh_core_keep_entry(core, rh_entry_take(entry));
    return (struct rh_peer_operation){
        .kind = (enum rh_peer_operation_kind)entry->entry_kind,
        .seq = entry->seq,
        .version = rh_entry_version(entry),
        .time_ms = entry->time_ms,
        .in_window = entry->in_window,
        .id = rh_entry_id(entry),
        .content_type = rh_entry_content_type(entry),
        .payload = rh_entry_payload(entry),
        .topic = rh_entry_topic(entry),
        .position = rh_entry_position(entry),
    };
}

/* How many operations after |op| make one message. */
static size_t batch_after(const struct rh_channel *channel, uint64_t op)
{
    size_t size = 0;
    size_t count = 0;
    for (uint64_t next = op + 1; next <= channel->op && count < RH_PEER_OPERATIONS_MAX; next++) {
        const struct rh_entry *entry = rh_channel_log_get(channel->log, next);
        size += entry == NULL ? 0 : rh_entry_bytes(entry) + 32;
        if (entry == NULL || (count > 0 && size > RH_PEER_BATCH_SIZE)) {
            break;
        }
        count++;
    }
    return count;
}

static void fill_operations(struct rh_core *core, const struct rh_channel *channel, uint64_t after,
                            size_t count, struct rh_peer_operations *ret_operations)
{
    if (count == 0) {
        return;
    }
    struct rh_peer_operation *items = rh_core_scratch(core, count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = rh_core_operation(core, rh_channel_log_get(channel->log, after + 1 + i));
    }
    ret_operations->first_op = after + 1;
    ret_operations->items = items;
    ret_operations->count = count;
}

/* One append: what comes after what was sent, and the group if the member does not know it. */
static void send_append(struct rh_core *core, const struct rh_channel *channel,
                        struct rh_member *member, size_t count)
{
    struct rh_peer_message *message = rh_core_send(core, member->process, RH_PEER_APPEND);
    struct rh_peer_append *append = &message->append;
    append->key = rh_channel_key(channel);
    append->incarnation = channel->incarnation;
    append->term = channel->term;
    append->prev_op = member->sent;
    append->prev_term = rh_channel_term_at(channel, member->sent);
    append->commit = channel->commit;
    append->sent_ms = rh_core_stamp(core);
    if (member->acked == member->sent) {
        member->progress_ms = core->now_ms; /* nothing was awaited before */
    }
    if (!member->informed && member->in_group) {
        append->group =
            (struct rh_peer_group){.members = channel->group->refs, .count = channel->group->count};
        if (member->told == 0) {
            member->told = append->sent_ms;
        }
    }
    fill_operations(core, channel, member->sent, count, &append->operations);
    member->sent += count;
    if (channel->commit == channel->op && member->sent == channel->op && member->commit_told == 0) {
        member->commit_told = append->sent_ms;
    }
}

/* Whether the operations after |op| can still be appended at a member that has that much. */
static bool can_follow(const struct rh_channel *channel, uint64_t op)
{
    return (op == channel->op || op + 1 >= rh_channel_first_op(channel)) &&
           (op == 0 || rh_channel_term_at(channel, op).turn != 0);
}

/* Sends a member what it lacks; one that cannot be helped by appends gets a sync. */
static void bring_up_to_date(struct rh_core *core, struct rh_channel *channel,
                             struct rh_member *member)
{
    if (member->leaving || member->sync != NULL || core->now_ms < member->pause_ms) {
        return;
    }
    if (!member->known || !can_follow(channel, member->sent)) {
        if (member->in_group) {
            enum rh_peer_sync_purpose purpose = RH_PEER_SYNC_MEMBER;
            (void)rh_core_sync_begin(core, channel, member->process, purpose,
                                     member->known ? member->acked : 0, true);
        } else if (member->known) { /* it was joining: anew, as what it lacks was trimmed */
            member->known = false;
            channel->moving = false;
            rh_core_moves_add(core, channel);
        }
        return;
    }
    bool must_tell =
        member->in_group && !member->informed && (member->told == 0 || member->ask_again);
    bool must_say = channel->acting->is_quiet && channel->commit == channel->op &&
                    !member->is_current && (member->commit_told == 0 || member->ask_again);
    member->ask_again = false;
    while (member->sent < channel->op || must_tell || must_say) {
        send_append(core, channel, member, batch_after(channel, member->sent));
        must_tell = false;
        must_say = false;
    }
}

static void flush(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_acting *acting = channel->acting;
    if (channel->role == RH_ROLE_PASSING || !rh_core_is_registered(core)) {
        return;
    }
    for (uint32_t i = 0; i < acting->count; i++) {
        bring_up_to_date(core, channel, &acting->members[i]);
    }
    if (channel->is_short && channel->commit < channel->op) {
        rh_core_advance(core, channel); /* N4: the first write mends it */
    }
    free_if_in_step(core, channel);
}

void rh_core_flush(struct rh_core *core)
{
    for (struct rh_list *link = rh_list_first(&core->dirty); link != NULL;
         link = rh_list_first(&core->dirty)) {
        struct rh_acting *acting = rh_container_of(link, struct rh_acting, dirty_link);
        struct rh_channel *channel = acting->channel;
        rh_list_remove(link);
        if (rh_core_walk(core, channel) && channel->acting == acting) {
            flush(core, channel);
        }
    }
}

/* ---- commit ---- */

/* Raises `commit` to |commit|, and the state document with it. */
static void commit_to(struct rh_core *core, struct rh_channel *channel, uint64_t commit)
{
    const struct rh_entry *before = channel->state;
    rh_core_channel_uncount(core, channel);
    rh_channel_commit_to(channel, commit);
    rh_core_channel_count(core, channel);
    if (channel->state != before) {
        rh_core_watch_changed(core, channel);
    }
}

static uint64_t lowest_acked(const struct rh_channel *channel)
{
    uint64_t lowest = channel->op;
    for (uint32_t i = 0; channel->acting != NULL && i < channel->acting->count; i++) {
        const struct rh_member *member = &channel->acting->members[i];
        if (member->in_group && member->acked < lowest) {
            lowest = member->acked;
        }
    }
    return lowest;
}

static bool is_leave_unanswered(const struct rh_channel *channel)
{
    for (uint32_t i = 0; channel->acting != NULL && i < channel->acting->count; i++) {
        if (channel->acting->members[i].leaving) {
            return true;
        }
    }
    return false;
}

/* N3: min(R, members with weight) copies, or the whole preference list. */
bool rh_core_is_large_enough(const struct rh_core *core, const struct rh_channel *channel)
{
    if (channel->group->count >= core->view->config.replicas) {
        return true; /* without a look at the ring: this is asked at each commit */
    }
    struct rh_process *list[RH_RING_REPLICAS_MAX];
    size_t wanted = rh_core_preference(core, channel, list);
    if (channel->group->count >= wanted) {
        return true;
    }
    for (size_t i = 0; i < wanted; i++) {
        if (!rh_group_has(channel->group, list[i])) {
            return false;
        }
    }
    return true;
}

static bool may_commit(struct rh_core *core, const struct rh_channel *channel)
{
    if (!core->options.replication) {
        return true;
    }
    return rh_role_serves(channel->role) && rh_core_is_registered(core) &&
           (!is_leave_unanswered(channel) || rh_fault(RH_FAULT_LEAVE_OPEN)) &&
           (rh_core_is_large_enough(core, channel) || rh_fault(RH_FAULT_SMALL_GROUP)) &&
           rh_core_has_right(core, channel);
}

/* In one step with the commit: to live streams, and then to those who waited. */
static void deliver(struct rh_core *core, struct rh_channel *channel, uint64_t from)
{
    for (uint64_t op = from + 1; op <= channel->commit; op++) {
        struct rh_entry *entry = rh_channel_log_get(channel->log, op);
        if (entry != NULL && entry->entry_kind == RH_ENTRY_MESSAGE) {
            rh_core_deliver(core, channel, entry);
        }
    }
    rh_core_readers_committed(core, channel);
    rh_core_requests_committed(core, channel);
    rh_core_streams_committed(core, channel);
    rh_core_channel_tidy(core, channel);
}

void rh_core_try_commit(struct rh_core *core, struct rh_channel *channel)
{
    uint64_t lowest = lowest_acked(channel);
    if (lowest <= channel->commit || !may_commit(core, channel)) {
        return;
    }
    uint64_t before = channel->commit;
    commit_to(core, channel, lowest);
    struct rh_acting *acting = channel->acting;
    if (acting != NULL) {
        acting->since_ms = channel->commit == channel->op ? 0 : core->now_ms;
        core->stats.channels_stalled -= acting->is_stalled;
        acting->is_stalled = false;
    }
    for (uint32_t i = 0; acting != NULL && i < acting->count; i++) {
        acting->members[i].is_current = false;
        acting->members[i].commit_told = 0;
    }
    rh_core_trace(core, channel, RH_TRACE_COMMIT, channel->role);
    if (acting != NULL) {
        rh_core_mark_dirty(core, channel); /* it may be in step now, however this came */
    }
    deliver(core, channel, before);
}

void rh_core_member_acked(struct rh_core *core, struct rh_channel *channel,
                          struct rh_member *member, uint64_t op, bool confirmed, uint64_t stamp)
{
    if (stamp < member->not_before && !rh_fault(RH_FAULT_LATE_ACK)) {
        return; /* it may have dropped its copy since */
    }
    if (op > channel->op) {
        return; /* of another life of the channel: a bug, or a lie */
    }
    member->progress_ms = core->now_ms;
    member->known = true;
    if (op > member->acked || op == channel->op) {
        member->is_full = false;
    }
    if (op > member->acked) {
        member->acked = op;
    }
    if (member->sent < member->acked) {
        member->sent = member->acked;
    }
    if (member->told != 0 && stamp >= member->told) {
        if (confirmed && !member->confirmed) {
            rh_core_presence_wanted(core, channel);
        }
        member->informed = true;
        member->confirmed = confirmed;
    }
    if (member->commit_told != 0 && stamp >= member->commit_told) {
        member->is_current = true;
    }
    rh_core_try_commit(core, channel);
    rh_core_advance(core, channel);
    free_if_in_step(core, channel);
}

/* ---- again, when there is no progress ---- */

static void note_stalled(struct rh_core *core, struct rh_acting *acting)
{
    bool stalled = acting->since_ms != 0 && core->now_ms - acting->since_ms > STALLED_MS &&
                   acting->channel->commit < acting->channel->op;
    core->stats.channels_stalled += stalled;
    core->stats.channels_stalled -= acting->is_stalled;
    acting->is_stalled = stalled;
}

static void send_again(struct rh_core *core, struct rh_channel *channel)
{
    struct rh_acting *acting = channel->acting;
    note_stalled(core, acting);
    if (channel->role == RH_ROLE_PASSING) {
        rh_core_send_own(core, channel);
        return;
    }
    acting->is_quiet = core->now_ms - acting->numbered_ms >= RH_RETRY_MS;
    for (uint32_t i = 0; i < acting->count; i++) {
        struct rh_member *member = &acting->members[i];
        if (member->leaving) {
            rh_core_send_leave(core, channel, member->process, channel->role == RH_ROLE_CLOSING);
        } else if (member->sync != NULL) {
            rh_core_sync_retry(core, member->sync);
        } else if (core->now_ms - member->progress_ms >= RH_RETRY_MS) {
            member->progress_ms = core->now_ms;
            member->sent = member->acked;
            member->ask_again = true;
            rh_core_mark_dirty(core, channel);
        }
    }
    rh_core_try_commit(core, channel);
    rh_core_advance(core, channel);
    free_if_in_step(core, channel);
}

static void retry(struct rh_core *core, struct rh_acting *acting)
{
    struct rh_channel *channel = acting->channel;
    acting->looked_ms = core->now_ms;
    rh_list_remove(&acting->busy_link);
    rh_list_push_back(&core->busy, &acting->busy_link);
    if (rh_core_walk(core, channel) && channel->acting == acting && rh_core_is_registered(core)) {
        send_again(core, channel);
    }
}

void rh_core_busy_retry(struct rh_core *core)
{
    unsigned looks = 0;
    for (struct rh_list *link = rh_list_first(&core->busy); link != NULL && looks < LOOKS_MAX;
         link = rh_list_first(&core->busy), looks++) {
        struct rh_acting *acting = rh_container_of(link, struct rh_acting, busy_link);
        if (core->now_ms - acting->looked_ms < RH_RETRY_MS) {
            return;
        }
        retry(core, acting);
    }
}

uint64_t rh_core_busy_ms(const struct rh_core *core)
{
    if (rh_list_empty(&core->busy)) {
        return UINT64_MAX;
    }
    const struct rh_acting *first = rh_container_of(core->busy.next, struct rh_acting, busy_link);
    return first->looked_ms + RH_RETRY_MS;
}

void rh_core_busy_each(struct rh_core *core, rh_core_busy_look *look,
                       const struct rh_process *process)
{
    struct rh_list again;
    rh_list_init(&again);
    rh_list_splice(&again, &core->busy);
    unsigned looks = 0;
    for (struct rh_list *link = rh_list_first(&again); link != NULL && looks < LOOKS_MAX;
         link = rh_list_first(&again), looks++) {
        rh_list_remove(link);
        rh_list_push_back(&core->busy, link);
        look(core, rh_container_of(link, struct rh_acting, busy_link), process);
    }
    rh_list_splice(&again, &core->busy);
    rh_list_splice(&core->busy, &again);
}

static void retry_if_concerned(struct rh_core *core, struct rh_acting *acting,
                               const struct rh_process *process)
{
    struct rh_member *member = rh_core_member(acting->channel, process);
    if (member != NULL) {
        member->progress_ms = 0; /* whatever was sent may be lost */
        if (member->sync != NULL) {
            member->sync->sent_ms = 0;
        }
    }
    if (member != NULL || acting->passing_to == process) {
        retry(core, acting);
    }
}

void rh_core_busy_peer_up(struct rh_core *core, const struct rh_process *process)
{
    rh_core_busy_each(core, retry_if_concerned, process);
}

/* ---- the other side ---- */

static void acknowledge(struct rh_core *core, const struct rh_process *to,
                        const struct rh_channel *channel, uint64_t stamp)
{
    struct rh_peer_message *message = rh_core_send(core, to, RH_PEER_APPEND_ACK);
    message->append_ack = (struct rh_peer_append_ack){
        .key = rh_channel_key(channel),
        .incarnation = channel->incarnation,
        .term = channel->term,
        .op = channel->op,
        .confirmed = !channel->suspect,
        .proof_age_ms = rh_core_proof_age(core),
        .sent_ms = stamp,
    };
}

/* S1: whether the end of the copy is where the append wants to go on, or beyond it. */
static bool fits(const struct rh_channel *channel, const struct rh_peer_append *append)
{
    if (channel->incarnation != append->incarnation || channel->op < append->prev_op) {
        return false;
    }
    if (append->prev_op == 0) {
        return true;
    }
    struct rh_term have = rh_channel_term_at(channel, append->prev_op);
    return have.turn != 0 && rh_term_equal(have, append->prev_term);
}

/* Appends what is not held yet. False: out of memory; what fitted is held. */
static bool take_operations(struct rh_core *core, struct rh_channel *channel,
                            const struct rh_peer_operations *operations)
{
    for (size_t i = 0; i < operations->count; i++) {
        if (operations->first_op + i <= channel->op) {
            continue;
        }
        struct rh_entry *entry = rh_core_entry_of(&operations->items[i]);
        if (entry == NULL || append(core, channel, entry) != 0) {
            rh_entry_give(entry);
            return false;
        }
    }
    return true;
}

static void take_group(struct rh_core *core, struct rh_channel *channel,
                       const struct rh_peer_group *wanted)
{
    struct rh_group *group = rh_core_group_of(core, wanted);
    rh_core_give_group(core, channel->group);
    channel->group = group;
}

/* The copy is good again once a group names this node. */
static void confirm(struct rh_core *core, struct rh_channel *channel)
{
    if (!rh_group_has(channel->group, core->self_process)) {
        return;
    }
    bool was_suspect = channel->suspect;
    channel->suspect = false;
    channel->lacked = false;
    if (channel->role == RH_ROLE_JOINING || channel->role == RH_ROLE_SUSPECT) {
        rh_core_role_set(core, channel, RH_ROLE_REPLICA);
    }
    if (was_suspect) {
        rh_core_report_again(core, channel);
    }
}

static void accept(struct rh_core *core, struct rh_process *from, struct rh_channel *channel,
                   const struct rh_peer_append *append)
{
    rh_core_channel_uncount(core, channel);
    bool whole = take_operations(core, channel, &append->operations);
    rh_core_channel_count(core, channel);
    uint64_t commit = append->commit < channel->op ? append->commit : channel->op;
    commit_to(core, channel, commit);
    rh_core_channel_tidy(core, channel);
    /* By two ways, an older one may come later. */
    if (append->sent_ms >= channel->heard || rh_fault(RH_FAULT_LATE_GROUP)) {
        channel->heard = append->sent_ms;
        if (append->group.count > 0) {
            take_group(core, channel, &append->group);
        }
    }
    confirm(core, channel);
    channel->used_ms = core->now_ms;
    if (whole) {
        acknowledge(core, from, channel, append->sent_ms);
    } else {
        rh_core_send_refused(core, from, RH_PEER_APPEND, append->key, append->term, 0,
                             RH_PEER_FULL);
    }
}

void rh_core_on_append(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message)
{
    const struct rh_peer_append *append = &message->append;
    struct rh_channel *channel = rh_core_channel_find(core, append->key);
    enum rh_peer_refused_code code = RH_PEER_STALE_TERM;
    if (channel == NULL || !rh_role_holds_copy(channel->role)) {
        code = RH_PEER_NO_COPY;
    } else if (rh_role_is_actor(channel->role) || channel->role == RH_ROLE_PASSING) {
        code = RH_PEER_STALE_TERM;
    } else if (rh_term_compare(append->term, channel->term) > 0) {
        code = RH_PEER_GAP; /* its sync has not come */
    } else if ((rh_term_equal(append->term, channel->term) && channel->group->members[0] == from) ||
               rh_fault(RH_FAULT_LOWER_TERM)) {
        if (fits(channel, append)) {
            accept(core, from, channel, append);
            return;
        }
        code = RH_PEER_GAP;
    }
    rh_core_send_refused(core, from, RH_PEER_APPEND, append->key, append->term, 0, code);
}

void rh_core_on_append_ack(struct rh_core *core, struct rh_process *from,
                           const struct rh_peer_message *message)
{
    const struct rh_peer_append_ack *ack = &message->append_ack;
    rh_core_peer_proof(core, from, ack->sent_ms, ack->proof_age_ms);
    struct rh_channel *channel = rh_core_channel_find(core, ack->key);
    if (channel == NULL || !rh_role_is_actor(channel->role) ||
        ack->incarnation != channel->incarnation || !rh_term_equal(ack->term, channel->term)) {
        return; /* M6 */
    }
    struct rh_member *member = rh_core_member(channel, from);
    if (member != NULL && !member->leaving) {
        rh_core_member_acked(core, channel, member, ack->op, ack->confirmed, ack->sent_ms);
    }
}
