/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The step. After every event the same questions are asked, in this order:
 *
 *   what does the snapshot say of our registration?        registration_settle()
 *   is the snapshot a view to adopt, or to hold?           view_settle()
 *   no operation in flight: which one is next?             start_operation()
 *
 * The drawings of the states are in docs/membership.md.
 */

#include "node/membership_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct rh_machine_state session_states[] = {
    [RH_MEMBERSHIP_AWAY] = {"away", RH_STATE_BIT(RH_MEMBERSHIP_PREPARING) |
                                        RH_STATE_BIT(RH_MEMBERSHIP_AWAY)},
    [RH_MEMBERSHIP_PREPARING] = {"preparing", RH_STATE_BIT(RH_MEMBERSHIP_FOLLOWING) |
                                                  RH_STATE_BIT(RH_MEMBERSHIP_AWAY)},
    [RH_MEMBERSHIP_FOLLOWING] = {"following", RH_STATE_BIT(RH_MEMBERSHIP_AWAY)},
};

static const struct rh_machine_state registration_states[] = {
    [RH_MEMBERSHIP_OUTSIDE] = {"outside", RH_STATE_BIT(RH_MEMBERSHIP_REGISTERED) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_PROBING) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_HAS_LEFT) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_REFUSED)},
    [RH_MEMBERSHIP_PROBING] = {"probing", RH_STATE_BIT(RH_MEMBERSHIP_OUTSIDE) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_REGISTERED) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_HAS_LEFT) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_REFUSED)},
    [RH_MEMBERSHIP_PAUSED] = {"paused", RH_STATE_BIT(RH_MEMBERSHIP_OUTSIDE) |
                                            RH_STATE_BIT(RH_MEMBERSHIP_REGISTERED) |
                                            RH_STATE_BIT(RH_MEMBERSHIP_HAS_LEFT) |
                                            RH_STATE_BIT(RH_MEMBERSHIP_REFUSED)},
    [RH_MEMBERSHIP_REGISTERED] = {"registered", RH_STATE_BIT(RH_MEMBERSHIP_OUTSIDE) |
                                                    RH_STATE_BIT(RH_MEMBERSHIP_PAUSED) |
                                                    RH_STATE_BIT(RH_MEMBERSHIP_HAS_LEFT) |
                                                    RH_STATE_BIT(RH_MEMBERSHIP_REFUSED)},
    [RH_MEMBERSHIP_HAS_LEFT] = {"left", 0},
    [RH_MEMBERSHIP_REFUSED] = {"refused", 0},
};

static const struct rh_machine_state view_states[] = {
    [RH_MEMBERSHIP_EMPTY] = {"empty", RH_STATE_BIT(RH_MEMBERSHIP_CURRENT)},
    [RH_MEMBERSHIP_CURRENT] = {"current", RH_STATE_BIT(RH_MEMBERSHIP_CURRENT) |
                                              RH_STATE_BIT(RH_MEMBERSHIP_HELD)},
    [RH_MEMBERSHIP_HELD] = {"held", RH_STATE_BIT(RH_MEMBERSHIP_CURRENT)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

uint64_t membership_random(struct rh_membership *membership)
{
    membership->jitter += 0x9e3779b97f4a7c15;
    uint64_t mixed = membership->jitter;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

int rh_membership_create(const struct rh_membership_options *options,
                         struct rh_membership **ret_membership)
{
    struct rh_membership *membership = calloc(1, sizeof(*membership));
    if (membership == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    membership->config_name = strdup(options->config_name);
    if (membership->config_name == NULL) {
        free(membership);
        return RH_ERR_NO_MEMORY;
    }
    membership->own = options->registration;
    membership->own_config = options->config;
    membership->grace_ms = options->grace_ms;
    membership->replication = options->replication;
    membership->jitter = options->registration.instance;
    membership->config_ignored_version = -1;
    membership->snapshot.inconsistent_pzxid = -1;
    membership->unusable_pzxid = -1;
    rh_machine_init(&membership->session, session_states, COUNT(session_states),
                    RH_MEMBERSHIP_AWAY);
    rh_machine_init(&membership->registration, registration_states, COUNT(registration_states),
                    RH_MEMBERSHIP_OUTSIDE);
    rh_machine_init(&membership->view_machine, view_states, COUNT(view_states),
                    RH_MEMBERSHIP_EMPTY);
    *ret_membership = membership;
    return 0;
}

static void free_kept(struct rh_membership *membership)
{
    for (size_t i = 0; i < membership->kept_count; i++) {
        free(membership->kept[i]);
    }
    membership->kept_count = 0;
}

void rh_membership_destroy(struct rh_membership *membership)
{
    if (membership == NULL) {
        return;
    }
    free_kept(membership);
    rh_view_give(membership->view);
    free(membership->snapshot.members);
    free(membership->missing_ms);
    free(membership->up.items);
    free(membership->dead.items);
    free(membership->replaced.items);
    free(membership->shown);
    free(membership->awaited);
    free(membership->promises);
    rh_view_give(membership->offered);
    rh_record_finish(&membership->record);
    rh_record_finish(&membership->record_before);
    rh_record_finish(&membership->record_written);
    free(membership->request_text);
    free(membership->config_name);
    free(membership);
}

/* Actions. */

struct rh_membership_action *membership_act(struct rh_membership *membership,
                                            enum rh_membership_action_kind kind)
{
    struct rh_membership_actions *actions = membership->actions;
    assert(actions->count < RH_MEMBERSHIP_ACTIONS_MAX);
    struct rh_membership_action *action = &actions->items[actions->count++];
    *action = (struct rh_membership_action){.kind = kind};
    return action;
}

struct rh_membership_action *membership_operate(struct rh_membership *membership,
                                                enum operation operation,
                                                enum rh_membership_action_kind kind)
{
    assert(membership->operation == OPERATION_NONE || operation == OPERATION_READ_MEMBERS);
    membership->operation = operation;
    membership->number++;
    struct rh_membership_action *action = membership_act(membership, kind);
    action->number = membership->number;
    return action;
}

char *membership_keep(struct rh_membership *membership, char *text)
{
    assert(membership->kept_count < COUNT(membership->kept));
    membership->kept[membership->kept_count++] = text;
    return text;
}

void membership_note(struct rh_membership *membership, enum rh_note_level level, const char *format,
                     ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        return; /* out of memory: a line less in the log */
    }
    struct rh_membership_action *action = membership_act(membership, RH_MEMBERSHIP_NOTE);
    action->level = level;
    action->text = membership_keep(membership, text);
}

void membership_fatal(struct rh_membership *membership, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(membership->fatal.text, sizeof(membership->fatal.text), format, args);
    va_end(args);
    rh_machine_move(&membership->registration, RH_MEMBERSHIP_REFUSED);
    membership_act(membership, RH_MEMBERSHIP_FATAL)->text = membership->fatal.text;
}

void membership_retry_later(struct rh_membership *membership)
{
    membership->retry_ms = membership->now_ms + RETRY_MS;
}

void membership_copy_name(char out[static RH_REGISTRATION_NAME_SIZE], const char *name)
{
    (void)snprintf(out, RH_REGISTRATION_NAME_SIZE, "%.*s", RH_REGISTRATION_NAME_SIZE - 1, name);
}

/* Lists of nodes. They have as many entries as there are peers. */

bool ref_list_has(const struct ref_list *list, const struct rh_node_ref *ref)
{
    for (size_t i = 0; i < list->count; i++) {
        if (rh_node_ref_equal(&list->items[i], ref)) {
            return true;
        }
    }
    return false;
}

void ref_list_add(struct ref_list *list, const struct rh_node_ref *ref)
{
    if (ref_list_has(list, ref) || list->count >= RH_MEMBERSHIP_MEMBERS_MAX) {
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        struct rh_node_ref *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL) {
            return;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *ref;
}

void ref_list_remove(struct ref_list *list, const struct rh_node_ref *ref)
{
    for (size_t i = 0; i < list->count; i++) {
        if (rh_node_ref_equal(&list->items[i], ref)) {
            list->items[i] = list->items[--list->count];
            return;
        }
    }
}

/* The session. */

static bool is_connected(const struct rh_membership *membership)
{
    return membership->session.state != RH_MEMBERSHIP_AWAY;
}

static bool is_over(const struct rh_membership *membership)
{
    return membership->registration.state == RH_MEMBERSHIP_HAS_LEFT ||
           membership->registration.state == RH_MEMBERSHIP_REFUSED;
}

static void on_disconnected(struct rh_membership *membership)
{
    rh_machine_move(&membership->session, RH_MEMBERSHIP_AWAY);
    if (membership->operation == OPERATION_SET_REQUEST) {
        membership->request_dirty = membership->request.number != 0; /* who knows */
    }
    membership->operation = OPERATION_NONE;
    membership->reads_left = 0;
    membership->retry_ms = 0;
    membership->synced = false;
    membership->sync_is_late = false;
    membership->catching_up = false;
    membership->catch_up_again = false;
    membership->raise_reason = NULL;
    membership->dead.count = 0;
    proof_end(membership);
    /* Who is missing could not come back in the meantime: the wait begins anew. */
    view_forget_missing(membership);
}

static void on_connected(struct rh_membership *membership, int64_t session, bool fresh)
{
    on_disconnected(membership);
    rh_machine_move(&membership->session, RH_MEMBERSHIP_PREPARING);
    if (session != membership->session_id) {
        membership->session_id = session;
        registration_on_session_lost(membership);
    }
    if (fresh) {
        membership->parents_missing = true;
        snapshot_forget(membership);
    }
    membership->snapshot.complete = false;
    membership->config_stale = true;
    membership->request_stale = true;
    membership->list_stale = true;
    proof_begin(membership);
}

static void on_expired(struct rh_membership *membership)
{
    on_disconnected(membership);
    membership->session_id = 0;
    registration_on_session_lost(membership);
}

void membership_catch_up(struct rh_membership *membership)
{
    if (membership->catching_up) {
        /* Not at once: whoever is asked all the time would never come to an end. */
        membership->catch_up_again = true;
        return;
    }
    membership->catching_up = true;
    membership->sync_wanted = true;
    membership->config_stale = true;
    membership->list_stale = true;
}

void membership_suspect_loss(struct rh_membership *membership, const char *reason)
{
    if (membership->synced) {
        membership->raise_reason = reason;
        return;
    }
    membership_catch_up(membership);
}

static void on_peer_epoch(struct rh_membership *membership, const struct rh_node_ref *from,
                          struct rh_epoch epoch)
{
    newcomer_on_shown(membership, epoch);
    if (from->instance != 0) {
        record_on_shown(membership, from, epoch);
    }
    if (rh_epoch_compare(epoch, membership->heard) <= 0) {
        return;
    }
    membership->heard = epoch;
    const struct rh_epoch listed = {.generation = membership->generation,
                                    .pzxid = membership->snapshot.pzxid};
    bool known = membership->snapshot.complete && rh_epoch_compare(epoch, listed) <= 0;
    if (is_connected(membership) && !known) {
        membership_catch_up(membership);
    }
}

static void on_watch(struct rh_membership *membership, enum rh_membership_watch watch)
{
    switch (watch) {
    case RH_MEMBERSHIP_WATCH_CONFIG:
        membership->config_stale = true;
        return;
    case RH_MEMBERSHIP_WATCH_MEMBERS:
        membership->list_stale = true;
        return;
    case RH_MEMBERSHIP_WATCH_REQUEST:
        membership->request_stale = true;
        return;
    }
    assert(false && "kind of watch");
}

/* Results. */

static const char *const operation_names[] = {
    [OPERATION_NONE] = "none",
    [OPERATION_OPEN] = "create_parents",
    [OPERATION_SYNC] = "sync",
    [OPERATION_READ_CONFIG] = "read_config",
    [OPERATION_CREATE_CONFIG] = "create_config",
    [OPERATION_SET_CONFIG] = "set_config",
    [OPERATION_READ_REQUEST] = "read_request",
    [OPERATION_SET_REQUEST] = "set_request",
    [OPERATION_LIST] = "list_members",
    [OPERATION_READ_MEMBERS] = "read_member",
    [OPERATION_REGISTER] = "register",
    [OPERATION_EVICT] = "evict",
    [OPERATION_UNREGISTER] = "unregister",
};

/* An answer that no handler has a use for. What it was about is still wanted: later. */
static void on_failed(struct rh_membership *membership, enum operation operation, int rv)
{
    membership->parents_missing |= operation == OPERATION_OPEN;
    membership->sync_wanted |= operation == OPERATION_SYNC;
    membership->config_stale |= operation == OPERATION_READ_CONFIG ||
                                operation == OPERATION_CREATE_CONFIG ||
                                operation == OPERATION_SET_CONFIG;
    membership->request_stale |= operation == OPERATION_READ_REQUEST;
    membership->request_dirty |=
        operation == OPERATION_SET_REQUEST && membership->request.number != 0;
    membership->list_stale |= operation == OPERATION_LIST || operation == OPERATION_READ_MEMBERS ||
                              operation == OPERATION_REGISTER || operation == OPERATION_EVICT;
    membership_retry_later(membership);
    bool broken = rv == RH_ERR_UNREACHABLE || rv == RH_ERR_CLOSED || rv == RH_ERR_AGAIN;
    if (!broken && (membership->refused_noted & RH_STATE_BIT(operation)) == 0) {
        membership->refused_noted |= RH_STATE_BIT(operation);
        membership_note(membership, RH_NOTE_ERROR, "zookeeper_refused operation=%s reason=\"%s\"",
                        operation_names[operation], rh_error_text(rv));
    }
}

/* Whether |rv| is an answer that the handler of |operation| deals with. */
static bool is_expected(enum operation operation, int rv)
{
    if (rv == 0) {
        return true;
    }
    switch (operation) {
    case OPERATION_READ_CONFIG:
    case OPERATION_READ_REQUEST:
    case OPERATION_LIST:
    case OPERATION_READ_MEMBERS:
        return rv == RH_ERR_NOT_FOUND;
    case OPERATION_CREATE_CONFIG:
        return rv == RH_ERR_EXISTS || rv == RH_ERR_NOT_FOUND;
    case OPERATION_SET_CONFIG:
    case OPERATION_SET_REQUEST:
    case OPERATION_REGISTER:
    case OPERATION_EVICT:
        return rv == RH_ERR_CONFLICT || rv == RH_ERR_NOT_FOUND;
    case OPERATION_UNREGISTER:
        return true;
    case OPERATION_NONE:
    case OPERATION_OPEN:
    case OPERATION_SYNC:
        return false;
    }
    assert(false && "kind of operation");
    return false;
}

static void handle_result(struct rh_membership *membership, enum operation operation,
                          const struct rh_membership_result *result)
{
    switch (operation) {
    case OPERATION_OPEN:
        return;
    case OPERATION_SYNC:
        membership->synced = !membership->sync_is_late;
        membership->sync_is_late = false;
        return;
    case OPERATION_READ_CONFIG:
        config_on_read(membership, result);
        return;
    case OPERATION_CREATE_CONFIG:
    case OPERATION_SET_CONFIG:
        config_on_written(membership, result);
        return;
    case OPERATION_READ_REQUEST:
        request_on_read(membership, result);
        return;
    case OPERATION_SET_REQUEST:
        request_on_written(membership, result);
        return;
    case OPERATION_LIST:
        snapshot_on_list(membership, result);
        return;
    case OPERATION_READ_MEMBERS:
        snapshot_on_member(membership, result);
        return;
    case OPERATION_REGISTER:
        registration_on_registered(membership, result);
        return;
    case OPERATION_EVICT:
        registration_on_evicted(membership, result);
        return;
    case OPERATION_UNREGISTER:
        registration_on_unregistered(membership, result);
        return;
    case OPERATION_NONE:
        break;
    }
    assert(false && "kind of operation");
}

/* Whether that is what a server says, not what becomes of an operation without it. */
static bool is_answer(int rv)
{
    return rv != RH_ERR_UNREACHABLE && rv != RH_ERR_CLOSED && rv != RH_ERR_AGAIN &&
           rv != RH_ERR_INVALID && rv != RH_ERR_NO_MEMORY;
}

static void on_result(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if (is_answer(result->rv)) {
        membership_act(membership, RH_MEMBERSHIP_HEARD)->at_ms = membership->now_ms;
    }
    if (proof_on_result(membership, result)) {
        return;
    }
    enum operation operation = membership->operation;
    if (operation == OPERATION_NONE || result->number > membership->number ||
        result->number < membership->number_first) {
        return; /* of a session before this one */
    }
    if (operation == OPERATION_READ_MEMBERS) {
        membership->reads_left--;
    }
    bool last = operation != OPERATION_READ_MEMBERS || membership->reads_left == 0;
    if (last) {
        membership->operation = OPERATION_NONE;
    }
    if (is_expected(operation, result->rv)) {
        membership->refused_noted &= ~RH_STATE_BIT(operation);
        handle_result(membership, operation, result);
    } else {
        on_failed(membership, operation, result->rv);
    }
    if (last && operation == OPERATION_READ_MEMBERS) {
        snapshot_end_of_reads(membership);
    }
}

/* The next operation. */

/* Starts |kind| if |*wanted|, which is then answered for. */
static bool operate_if(struct rh_membership *membership, bool *wanted, enum operation operation,
                       enum rh_membership_action_kind kind)
{
    if (!*wanted) {
        return false;
    }
    *wanted = false;
    membership_operate(membership, operation, kind);
    return true;
}

static bool start_list(struct rh_membership *membership)
{
    if (!operate_if(membership, &membership->list_stale, OPERATION_LIST, RH_MEMBERSHIP_LIST)) {
        return false;
    }
    membership->snapshot.complete = false;
    return true;
}

static bool start_operation(struct rh_membership *membership)
{
    return operate_if(membership, &membership->parents_missing, OPERATION_OPEN,
                      RH_MEMBERSHIP_OPEN) ||
           operate_if(membership, &membership->sync_wanted, OPERATION_SYNC, RH_MEMBERSHIP_SYNC) ||
           operate_if(membership, &membership->config_stale, OPERATION_READ_CONFIG,
                      RH_MEMBERSHIP_READ_CONFIG) ||
           newcomer_waits(membership) || config_write(membership) ||
           operate_if(membership, &membership->request_stale, OPERATION_READ_REQUEST,
                      RH_MEMBERSHIP_READ_REQUEST) ||
           start_list(membership) || snapshot_read(membership) ||
           registration_operate(membership) || request_write(membership);
}

static void settle(struct rh_membership *membership)
{
    if (!is_over(membership)) {
        registration_settle(membership);
    }
    if (!is_over(membership)) {
        view_settle(membership);
        record_settle(membership);
        proof_settle(membership);
    }
    if (is_over(membership) || !is_connected(membership) ||
        membership->operation != OPERATION_NONE || membership->now_ms < membership->retry_ms) {
        return;
    }
    membership->number_first = membership->number + 1;
    (void)start_operation(membership);
}

static void handle_event(struct rh_membership *membership, const struct rh_membership_event *event)
{
    switch (event->kind) {
    case RH_MEMBERSHIP_TICK:
        return;
    case RH_MEMBERSHIP_CONNECTED:
        on_connected(membership, event->connected.session, event->connected.fresh);
        return;
    case RH_MEMBERSHIP_DISCONNECTED:
        on_disconnected(membership);
        return;
    case RH_MEMBERSHIP_EXPIRED:
        on_expired(membership);
        return;
    case RH_MEMBERSHIP_WATCH:
        on_watch(membership, event->watch);
        return;
    case RH_MEMBERSHIP_RESULT:
        on_result(membership, &event->result);
        return;
    case RH_MEMBERSHIP_PEER_UP:
        ref_list_remove(&membership->dead, &event->peer);
        ref_list_add(&membership->up, &event->peer);
        return;
    case RH_MEMBERSHIP_PEER_DOWN:
        ref_list_remove(&membership->up, &event->peer);
        return;
    case RH_MEMBERSHIP_PEER_DEAD:
        ref_list_remove(&membership->up, &event->peer);
        registration_on_dead(membership, &event->peer);
        return;
    case RH_MEMBERSHIP_PEER_EPOCH:
        on_peer_epoch(membership, &event->peer_epoch.from, event->peer_epoch.epoch);
        return;
    case RH_MEMBERSHIP_CATCH_UP:
        if (is_connected(membership)) {
            membership_catch_up(membership);
        }
        return;
    case RH_MEMBERSHIP_PROBE_RESULT:
        registration_on_probe(membership, &event->probe.node, event->probe.result);
        return;
    case RH_MEMBERSHIP_PROGRESS:
        request_on_progress(membership, event->progress.channels_left,
                            event->progress.connections_left);
        return;
    case RH_MEMBERSHIP_LEAVE:
        membership->leaving = true;
        return;
    case RH_MEMBERSHIP_LEAVE_FINISH:
        membership->leaving = true;
        membership->finishing = true;
        return;
    case RH_MEMBERSHIP_PROVE:
        membership->proof_wanted = true;
        return;
    case RH_MEMBERSHIP_COMPLETE:
        record_on_complete(membership, event->epoch);
        return;
    case RH_MEMBERSHIP_PROMISE:
        view_promise(membership, &event->promise);
        return;
    case RH_MEMBERSHIP_PEER_VIEW:
        view_on_offered(membership, event->view);
        return;
    case RH_MEMBERSHIP_PEERS_ASKED:
        newcomer_on_asked(membership);
        return;
    case RH_MEMBERSHIP_PEER_REPLACED:
        record_on_replaced(membership, &event->peer);
        return;
    }
    assert(false && "kind of event");
}

void rh_membership_step(struct rh_membership *membership, const struct rh_membership_event *event,
                        struct rh_membership_actions *actions)
{
    free_kept(membership);
    actions->count = 0;
    if (is_over(membership)) {
        return;
    }
    assert(event->now_ms >= membership->now_ms);
    membership->now_ms = event->now_ms;
    membership->actions = actions;
    handle_event(membership, event);
    settle(membership);
    membership->actions = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t rh_membership_deadline_ms(const struct rh_membership *membership)
{
    if (is_over(membership)) {
        return NEVER;
    }
    uint64_t deadline_ms =
        earlier(registration_deadline_ms(membership), view_deadline_ms(membership));
    deadline_ms = earlier(deadline_ms, proof_deadline_ms(membership));
    deadline_ms = earlier(deadline_ms, record_deadline_ms(membership));
    if (!is_connected(membership) || membership->operation != OPERATION_NONE) {
        return deadline_ms; /* no operation can start now */
    }
    if (membership->retry_ms > membership->now_ms) {
        return earlier(deadline_ms, membership->retry_ms);
    }
    deadline_ms = earlier(deadline_ms, newcomer_deadline_ms(membership));
    return earlier(deadline_ms, request_deadline_ms(membership));
}

struct rh_view *rh_membership_view(const struct rh_membership *membership)
{
    return membership->view;
}

enum rh_membership_session_state rh_membership_session_state(const struct rh_membership *membership)
{
    return (enum rh_membership_session_state)membership->session.state;
}

enum rh_membership_registration_state
rh_membership_registration_state(const struct rh_membership *membership)
{
    return (enum rh_membership_registration_state)membership->registration.state;
}

enum rh_membership_view_state rh_membership_view_state(const struct rh_membership *membership)
{
    return (enum rh_membership_view_state)membership->view_machine.state;
}

const struct rh_record *rh_membership_record(const struct rh_membership *membership)
{
    return &membership->record;
}

uint32_t rh_membership_weight_milli(const struct rh_membership *membership)
{
    if (membership->leaving) {
        return 0;
    }
    return membership->weight_asked ? membership->weight_milli : membership->own.weight_milli;
}
