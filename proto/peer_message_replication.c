/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of what proto/peer_replication.h declares. */
#include "proto/peer_message_internal.h"

#include <stdio.h>

#define VIEW_NAME_SIZE_MAX 75 /* a node id, a dot and ten digits */

static int fail(const char *name, const char *field, const char *what, struct rh_reason *reason)
{
    return rh_fail(reason, RH_ERR_INVALID, "%s.%s: %s", name, field, what);
}

/*
 * Items of lists are checked without a reason first, and again for it with their name when they
 * fail: to write it beforehand would cost more than the checks.
 */
#define ITEM_NAME_SIZE 64

static void item_name(char out[static ITEM_NAME_SIZE], const char *name, const char *field,
                      size_t index)
{
    (void)snprintf(out, ITEM_NAME_SIZE, "%s.%s[%zu]", name, field, index);
}

/* ---- parts ---- */

/* An op or a seq. */
static int check_number(uint64_t number, const char *name, const char *field,
                        struct rh_reason *reason)
{
    return number <= INT64_MAX ? 0 : fail(name, field, "2^63 or above", reason);
}

static bool term_is_none(struct rh_term term)
{
    return rh_term_equal(term, (struct rh_term){0});
}

int rh_peer_check_term(struct rh_term term, const char *name, const char *field,
                       struct rh_reason *reason)
{
    if (term.generation == 0 || term.turn == 0 || term.pzxid < 0) {
        return fail(name, field, "not a term", reason);
    }
    return 0;
}

static int check_term_or_none(struct rh_term term, const char *name, const char *field,
                              struct rh_reason *reason)
{
    return term_is_none(term) ? 0 : rh_peer_check_term(term, name, field, reason);
}

/* A term of an operation: none if and only if |op|, which there is beside it, is 0. */
static int check_term_of(struct rh_term term, uint64_t op, const char *name, const char *field,
                         struct rh_reason *reason)
{
    if (op == 0) {
        return term_is_none(term) ? 0 : fail(name, field, "of operation 0", reason);
    }
    return rh_peer_check_term(term, name, field, reason);
}

static int check_node(const struct rh_node_ref *node, const char *name, const char *field,
                      struct rh_reason *reason)
{
    if (node->instance == 0 || !rh_peer_node_id_valid(node->id)) {
        return fail(name, field, "not a node", reason);
    }
    return 0;
}

static int check_group(const struct rh_peer_group *group, const char *name,
                       struct rh_reason *reason)
{
    if (group->count > RH_PEER_GROUP_MAX) {
        return fail(name, "group", "too many members", reason);
    }
    for (size_t i = 0; i < group->count; i++) {
        int rv = check_node(&group->members[i], name, "group", reason);
        if (rv != 0) {
            return rv;
        }
        for (size_t other = 0; other < i; other++) {
            if (rh_node_ref_equal(&group->members[i], &group->members[other])) {
                return fail(name, "group", "a member stands in it twice", reason);
            }
        }
    }
    return 0;
}

static int check_group_not_empty(const struct rh_peer_group *group, const char *name,
                                 struct rh_reason *reason)
{
    return group->count > 0 ? check_group(group, name, reason)
                            : fail(name, "group", "is empty", reason);
}

/* What names a copy. */
static int check_copy(struct rh_bytes key, uint64_t incarnation, struct rh_term term,
                      const char *name, struct rh_reason *reason)
{
    int rv = rh_peer_check_key(key, name, reason);
    if (rv == 0 && incarnation == 0) {
        rv = fail(name, "incarnation", "is 0", reason);
    }
    return rv == 0 ? rh_peer_check_term(term, name, "term", reason) : rv;
}

/* ---- operations and ids ---- */

static int check_message(const struct rh_peer_operation *operation, const char *name,
                         struct rh_reason *reason)
{
    if (operation->version != 0) {
        return fail(name, "version", "of a message", reason);
    }
    if (operation->content_type.size > 0) {
        return fail(name, "content_type", "of a message", reason);
    }
    if (!rh_message_id_valid(operation->id)) {
        return fail(name, "id", "not a message id", reason);
    }
    bool has_topic = operation->topic.size > 0;
    bool has_place = operation->position.incarnation != 0 && operation->position.seq != 0;
    if (has_topic && (!rh_key_valid(operation->topic) || operation->in_window)) {
        return fail(name, "topic", "not a key, or of a message with an id to be remembered",
                    reason);
    }
    if (has_topic ? !has_place || operation->position.seq > INT64_MAX
                  : operation->position.incarnation != 0 || operation->position.seq != 0) {
        return fail(name, "topic_seq", "no position, or one without a topic", reason);
    }
    return rh_peer_check_payload(&operation->payload, name, reason);
}

static int check_state(const struct rh_peer_operation *operation, const char *name,
                       struct rh_reason *reason)
{
    bool is_removal = operation->kind == RH_PEER_OPERATION_STATE_DELETE;
    if (is_removal && operation->content_type.size > 0) {
        return fail(name, "content_type", "of a removal", reason);
    }
    if (!rh_content_type_valid(operation->content_type)) {
        return fail(name, "content_type", "not one", reason);
    }
    if (is_removal && operation->payload.bytes.size > 0) {
        return fail(name, "payload", "of a removal", reason);
    }
    if (operation->version == 0) {
        return fail(name, "version", "is 0", reason);
    }
    if (operation->id.size == 0 ? operation->in_window : !rh_message_id_valid(operation->id)) {
        return fail(name, "id", "not an id of a write", reason);
    }
    if (operation->payload.kind != RH_PAYLOAD_BINARY) {
        return fail(name, "payload_kind", "of a state document", reason);
    }
    if (operation->topic.size > 0) {
        return fail(name, "topic", "of a state document", reason);
    }
    return 0;
}

/* A position to begin after: incarnation 0 is all that there is. */
static bool is_beginning(struct rh_position position)
{
    return position.seq <= (position.incarnation == 0 ? 0 : (uint64_t)INT64_MAX);
}

static int check_follow(const struct rh_peer_operation *operation, const char *name,
                        struct rh_reason *reason)
{
    if (!rh_key_valid(operation->topic)) {
        return fail(name, "topic", "not a key", reason);
    }
    bool has_position = operation->position.incarnation != 0 || operation->position.seq != 0;
    if (!is_beginning(operation->position) ||
        (has_position && operation->kind == RH_PEER_OPERATION_UNFOLLOW)) {
        return fail(name, "topic_seq", "no position", reason);
    }
    if (operation->version != 0 || operation->in_window || operation->id.size > 0 ||
        operation->content_type.size > 0 || operation->payload.bytes.size > 0 ||
        operation->payload.kind != RH_PAYLOAD_BINARY) {
        return fail(name, "topic", "beside what has no place there", reason);
    }
    return 0;
}

/* |in_order|: whether its seq fits its place. */
int rh_peer_check_operation(const struct rh_peer_operation *operation, bool in_order,
                            const char *name, struct rh_reason *reason)
{
    if ((unsigned)operation->kind >= RH_PEER_OPERATION_KINDS) {
        return fail(name, "kind", "unknown", reason);
    }
    if (!in_order) {
        return fail(name, "seq", "out of order", reason);
    }
    if (operation->time_ms < 0) {
        return fail(name, "time_ms", "negative", reason);
    }
    switch (operation->kind) {
    case RH_PEER_OPERATION_MESSAGE:
        return check_message(operation, name, reason);
    case RH_PEER_OPERATION_STATE:
    case RH_PEER_OPERATION_STATE_DELETE:
        return check_state(operation, name, reason);
    case RH_PEER_OPERATION_FOLLOW:
    case RH_PEER_OPERATION_UNFOLLOW:
        return check_follow(operation, name, reason);
    case RH_PEER_OPERATION_KINDS:
        break;
    }
    return 0;
}

int rh_peer_check_follows(const struct rh_peer_follow *follows, size_t count, const char *name,
                          struct rh_reason *reason)
{
    if (count > RH_PEER_FOLLOWS_MAX) {
        return fail(name, "follows", "too many", reason);
    }
    for (size_t i = 0; i < count; i++) {
        if (!rh_key_valid(follows[i].topic)) {
            return fail(name, "follows", "not a key", reason);
        }
        if (!is_beginning(follows[i].position)) {
            return fail(name, "follows", "no position", reason);
        }
        for (size_t other = 0; other < i; other++) {
            if (rh_bytes_equal(follows[i].topic, follows[other].topic)) {
                return fail(name, "follows", "a topic stands in it twice", reason);
            }
        }
    }
    return 0;
}

static int check_operations(const struct rh_peer_operations *operations, const char *name,
                            struct rh_reason *reason)
{
    size_t count = operations->count;
    if (count > RH_PEER_OPERATIONS_MAX) {
        return fail(name, "operations", "too many", reason);
    }
    if ((operations->first_op == 0) != (count == 0)) {
        return fail(name, "first_op", "0 beside operations, or without any not 0", reason);
    }
    int rv = check_number(operations->first_op, name, "first_op", reason);
    if (rv == 0 && count > 0) {
        rv = check_number(operations->first_op + count - 1, name, "first_op", reason);
    }
    for (size_t i = 0; rv == 0 && i < count; i++) {
        const struct rh_peer_operation *operation = &operations->items[i];
        uint64_t step = operation->kind == RH_PEER_OPERATION_MESSAGE ? 1 : 0;
        bool in_order = operation->seq >= step && operation->seq <= operations->first_op + i &&
                        (i == 0 || operation->seq == operation[-1].seq + step);
        rv = rh_peer_check_operation(operation, in_order, name, NULL);
        if (rv != 0) {
            char item[ITEM_NAME_SIZE];
            item_name(item, name, "operations", i);
            return rh_peer_check_operation(operation, in_order, item, reason);
        }
    }
    return rv;
}

int rh_peer_check_messages(const struct rh_peer_operation *messages, size_t count, const char *name,
                           struct rh_reason *reason)
{
    if (count > RH_PEER_OPERATIONS_MAX) {
        return fail(name, "messages", "too many", reason);
    }
    for (size_t i = 0; i < count; i++) {
        const struct rh_peer_operation *message = &messages[i];
        bool in_order = message->seq >= 1 && message->seq <= INT64_MAX &&
                        (i == 0 || message->seq == message[-1].seq + 1);
        bool is_message = message->kind == RH_PEER_OPERATION_MESSAGE;
        if (!is_message || rh_peer_check_operation(message, in_order, name, NULL) != 0) {
            char item[ITEM_NAME_SIZE];
            item_name(item, name, "messages", i);
            return is_message ? rh_peer_check_operation(message, in_order, item, reason)
                              : fail(item, "kind", "not a message", reason);
        }
    }
    return 0;
}

/* Which number of an id is out of range: one that comes after the message |seq|. NULL: none. */
static const char *wrong_number(const struct rh_peer_id *id, uint64_t seq)
{
    if (id->version != 0) {
        return id->version > id->op ? "version" : id->seq != 0 ? "seq" : NULL;
    }
    return id->seq <= seq || id->seq > id->op ? "seq" : NULL;
}

/* |above_op|, |op_max|: between which the operations of the ids are. */
static int check_ids(const struct rh_peer_id *ids, size_t count, uint64_t above_op, uint64_t op_max,
                     const char *name, struct rh_reason *reason)
{
    if (count > RH_PEER_IDS_MAX) {
        return fail(name, "ids", "too many", reason);
    }
    uint64_t seq = 0;
    for (size_t i = 0; i < count; i++) {
        const char *what = !rh_message_id_valid(ids[i].id) ? "id"
                           : ids[i].op <= above_op || ids[i].op > op_max
                               ? "op"
                               : wrong_number(&ids[i], seq);
        if (what != NULL) {
            return rh_fail(reason, RH_ERR_INVALID, "%s.ids[%zu].%s: out of range or order", name, i,
                           what);
        }
        above_op = ids[i].op;
        seq = ids[i].version == 0 ? ids[i].seq : seq;
    }
    return 0;
}

/* ---- appends ---- */

int rh_peer_check_append(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_append *append = &message->append;
    int rv = check_copy(append->key, append->incarnation, append->term, "append", reason);
    if (rv == 0) {
        rv = check_number(append->prev_op, "append", "prev_op", reason);
    }
    if (rv == 0) {
        rv = check_term_of(append->prev_term, append->prev_op, "append", "prev_term", reason);
    }
    if (rv == 0 && rh_term_compare(append->prev_term, append->term) > 0) {
        rv = fail("append", "prev_term", "above the term", reason);
    }
    if (rv == 0) {
        rv = check_operations(&append->operations, "append", reason);
    }
    if (rv == 0 && append->operations.count > 0 &&
        append->operations.first_op != append->prev_op + 1) {
        rv = fail("append", "first_op", "does not follow prev_op", reason);
    }
    if (rv == 0) {
        rv = check_number(append->commit, "append", "commit", reason);
    }
    return rv == 0 ? check_group(&append->group, "append", reason) : rv;
}

int rh_peer_check_append_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_append_ack *ack = &message->append_ack;
    int rv = check_copy(ack->key, ack->incarnation, ack->term, "append_ack", reason);
    return rv == 0 ? check_number(ack->op, "append_ack", "op", reason) : rv;
}

/* ---- syncs ---- */

static int check_terms(const struct rh_peer_sync_begin *begin, struct rh_reason *reason)
{
    if (begin->terms_count > RH_PEER_TERMS_MAX) {
        return fail("sync_begin", "terms", "too many", reason);
    }
    struct rh_peer_term_from last = {0};
    for (size_t i = 0; i < begin->terms_count; i++) {
        const struct rh_peer_term_from *from = &begin->terms[i];
        int rv = rh_peer_check_term(from->term, "sync_begin", "terms", reason);
        if (rv == 0) {
            rv = check_number(from->first_op, "sync_begin", "terms", reason);
        }
        if (rv == 0 &&
            (from->first_op <= last.first_op || rh_term_compare(from->term, last.term) <= 0)) {
            rv = fail("sync_begin", "terms", "not in order", reason);
        }
        if (rv != 0) {
            return rv;
        }
        last = *from;
    }
    return 0;
}

/* The numbers of a sync against each other. */
static int check_sync_numbers(const struct rh_peer_sync_begin *begin, struct rh_reason *reason)
{
    const struct rh_peer_operations *operations = &begin->operations;
    int rv = check_number(begin->op, "sync_begin", "op", reason);
    if (rv != 0) {
        return rv;
    }
    if (begin->seq > begin->op) {
        return fail("sync_begin", "seq", "above op", reason);
    }
    if (begin->commit > begin->op) {
        return fail("sync_begin", "commit", "above op", reason);
    }
    if (begin->from_op > begin->op) {
        return fail("sync_begin", "from_op", "above op", reason);
    }
    if (operations->count == 0) {
        return 0;
    }
    uint64_t last_op = operations->first_op + operations->count - 1;
    if (operations->first_op <= begin->from_op || last_op > begin->op ||
        (begin->last && last_op != begin->op)) {
        return fail("sync_begin", "first_op", "not between from_op and op", reason);
    }
    return 0;
}

static int check_sync_state(const struct rh_peer_sync_begin *begin, struct rh_reason *reason)
{
    if (begin->has_state && begin->version == 0) {
        return fail("sync_begin", "version", "is 0", reason);
    }
    if (!rh_content_type_valid(begin->content_type) ||
        (begin->content_type.size > 0 && !begin->has_state)) {
        return fail("sync_begin", "content_type", "not one, or without a document", reason);
    }
    if (begin->state.size > 0 && !begin->has_state) {
        return fail("sync_begin", "state", "without has_state", reason);
    }
    return 0;
}

int rh_peer_check_sync_begin(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_sync_begin *begin = &message->sync_begin;
    if (begin->sync == 0) {
        return fail("sync_begin", "sync", "is 0", reason);
    }
    if ((unsigned)begin->purpose >= RH_PEER_SYNC_PURPOSES) {
        return fail("sync_begin", "purpose", "unknown", reason);
    }
    int rv = check_copy(begin->key, begin->incarnation, begin->term, "sync_begin", reason);
    if (rv == 0) {
        rv = check_group_not_empty(&begin->group, "sync_begin", reason);
    }
    if (rv == 0) {
        rv = check_terms(begin, reason);
    }
    if (rv == 0) {
        rv = check_operations(&begin->operations, "sync_begin", reason);
    }
    if (rv == 0) {
        rv = check_sync_numbers(begin, reason);
    }
    if (rv == 0) {
        rv = check_term_of(begin->base_term, begin->from_op, "sync_begin", "base_term", reason);
    }
    if (rv == 0) {
        rv = check_sync_state(begin, reason);
    }
    if (rv == 0) {
        rv = rh_peer_check_follows(begin->follows, begin->follows_count, "sync_begin", reason);
    }
    return rv == 0 ? check_ids(begin->ids, begin->ids_count, begin->from_op, begin->op,
                               "sync_begin", reason)
                   : rv;
}

int rh_peer_check_sync_chunk(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_sync_chunk *chunk = &message->sync_chunk;
    if (chunk->sync == 0) {
        return fail("sync_chunk", "sync", "is 0", reason);
    }
    if (chunk->index == 0) {
        return fail("sync_chunk", "index", "is 0", reason);
    }
    int rv = check_operations(&chunk->operations, "sync_chunk", reason);
    return rv == 0 ? check_ids(chunk->ids, chunk->ids_count, 0, INT64_MAX, "sync_chunk", reason)
                   : rv;
}

int rh_peer_check_sync_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_sync_ack *ack = &message->sync_ack;
    if (ack->sync == 0) {
        return fail("sync_ack", "sync", "is 0", reason);
    }
    int rv = check_copy(ack->key, ack->incarnation, ack->term, "sync_ack", reason);
    return rv == 0 ? check_number(ack->op, "sync_ack", "op", reason) : rv;
}

int rh_peer_check_credit(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

/* ---- refusals ---- */

/* The two are no copy's name where a message had none to refuse. */
static int check_refused_copy(const struct rh_peer_refused *refused, struct rh_reason *reason)
{
    bool chunk = refused->about == RH_PEER_SYNC_CHUNK;
    if (refused->key.size > 0 || !chunk) {
        int rv = rh_peer_check_key(refused->key, "refused", reason);
        if (rv != 0) {
            return rv;
        }
    }
    if (chunk || refused->about == RH_PEER_EXPEDITE) {
        return check_term_or_none(refused->term, "refused", "term", reason);
    }
    return rh_peer_check_term(refused->term, "refused", "term", reason);
}

int rh_peer_check_refused(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_refused *refused = &message->refused;
    switch (refused->about) {
    case RH_PEER_APPEND:
    case RH_PEER_SYNC_BEGIN:
    case RH_PEER_SYNC_CHUNK:
    case RH_PEER_FETCH:
    case RH_PEER_OWN:
    case RH_PEER_EXPEDITE:
    case RH_PEER_LEAVE:
        break;
    default:
        return fail("refused", "about", "not a message that is refused", reason);
    }
    int rv = check_refused_copy(refused, reason);
    if (rv != 0) {
        return rv;
    }
    bool sync = refused->about == RH_PEER_SYNC_BEGIN || refused->about == RH_PEER_SYNC_CHUNK;
    if (sync != (refused->sync != 0)) {
        return fail("refused", "sync", "0 about a sync, or about another message not 0", reason);
    }
    if ((unsigned)refused->code >= RH_PEER_REFUSED_CODES) {
        return fail("refused", "code", "unknown", reason);
    }
    rv = check_number(refused->have_op, "refused", "have_op", reason);
    if (rv != 0) {
        return rv;
    }
    return refused->have_op == 0
               ? check_term_or_none(refused->have_term, "refused", "have_term", reason)
               : rh_peer_check_term(refused->have_term, "refused", "have_term", reason);
}

/* ---- view change ---- */

static int check_reported(const struct rh_peer_copy *copy, const char *name,
                          struct rh_reason *reason)
{
    bool gone = term_is_none(copy->term);
    int rv = gone ? rh_peer_check_key(copy->key, name, reason)
                  : check_copy(copy->key, copy->incarnation, copy->term, name, reason);
    if (rv == 0) {
        rv = check_number(copy->op, name, "op", reason);
    }
    if (rv != 0) {
        return rv;
    }
    if ((unsigned)copy->state >= RH_PEER_COPY_STATES) {
        return fail(name, "state", "unknown", reason);
    }
    if (gone && copy->incarnation != 0) {
        return fail(name, "incarnation", "of a copy that is gone", reason);
    }
    if (gone && copy->group.count > 0) {
        return fail(name, "group", "of a copy that is gone", reason);
    }
    if (!gone) {
        rv = check_group_not_empty(&copy->group, name, reason);
    }
    if (rv == 0 && copy->state == RH_PEER_COPY_PASSING) {
        rv = check_node(&copy->passing_to, name, "passing_to", reason);
    } else if (rv == 0 && (copy->passing_to.instance != 0 || copy->passing_to.id[0] != '\0')) {
        rv = fail(name, "passing_to", "of a copy that is not passed on", reason);
    }
    return rv;
}

int rh_peer_check_report(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_report *report = &message->report;
    if (report->count > RH_PEER_COPIES_MAX) {
        return fail("report", "copies", "too many", reason);
    }
    for (size_t i = 0; i < report->count; i++) {
        if (check_reported(&report->copies[i], "report", NULL) != 0) {
            char item[ITEM_NAME_SIZE];
            item_name(item, "report", "copies", i);
            return check_reported(&report->copies[i], item, reason);
        }
    }
    return 0;
}

int rh_peer_check_report_end(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_fetch(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_fetch *fetch = &message->fetch;
    int rv = check_copy(fetch->key, fetch->incarnation, fetch->term, "fetch", reason);
    if (rv == 0) {
        rv = check_number(fetch->op, "fetch", "op", reason);
    }
    if (rv == 0) {
        rv = check_number(fetch->from_op, "fetch", "from_op", reason);
    }
    return rv == 0 ? check_term_of(fetch->base_term, fetch->from_op, "fetch", "base_term", reason)
                   : rv;
}

/* ---- handoff and groups ---- */

int rh_peer_check_own(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_own *own = &message->own;
    int rv = check_copy(own->key, own->incarnation, own->term, "own", reason);
    if (rv == 0) {
        rv = check_number(own->op, "own", "op", reason);
    }
    return rv == 0 ? check_group_not_empty(&own->group, "own", reason) : rv;
}

int rh_peer_check_own_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    int rv = rh_peer_check_key(message->own_ack.key, "own_ack", reason);
    return rv == 0 ? rh_peer_check_term(message->own_ack.term, "own_ack", "term", reason) : rv;
}

int rh_peer_check_expedite(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return rh_peer_check_key(message->expedite.key, "expedite", reason);
}

int rh_peer_check_leave(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_leave *leave = &message->leave;
    return check_copy(leave->key, leave->incarnation, leave->term, "leave", reason);
}

int rh_peer_check_leave_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    int rv = rh_peer_check_key(message->leave_ack.key, "leave_ack", reason);
    return rv == 0 ? rh_peer_check_term(message->leave_ack.term, "leave_ack", "term", reason) : rv;
}

/* ---- views, leases, relay ---- */

int rh_peer_check_view_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return message->view_ask.above.pzxid >= 0 ? 0 : fail("view_ask", "pzxid", "negative", reason);
}

/* The form of the name is the membership's matter; here it only may stand in a log line. */
static bool view_name_valid(struct rh_bytes name)
{
    return name.size <= VIEW_NAME_SIZE_MAX && rh_message_id_valid(name);
}

int rh_peer_check_view(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_view *view = &message->view;
    if (view->epoch.generation == 0) {
        return fail("view", "generation", "is 0", reason);
    }
    if (view->epoch.pzxid < 0) {
        return fail("view", "pzxid", "negative", reason);
    }
    if (view->config.size > RH_PEER_VIEW_CONFIG_SIZE_MAX) {
        return fail("view", "config", "too large", reason);
    }
    if (view->members_count > RH_PEER_VIEW_MEMBERS_MAX) {
        return fail("view", "members", "too many", reason);
    }
    for (size_t i = 0; i < view->members_count; i++) {
        const struct rh_peer_view_member *member = &view->members[i];
        const char *what = !view_name_valid(member->name)                   ? "name"
                           : member->czxid < 0                              ? "czxid"
                           : member->data.size > RH_PEER_VIEW_DATA_SIZE_MAX ? "data"
                                                                            : NULL;
        if (what != NULL) {
            return rh_fail(reason, RH_ERR_INVALID, "view.members[%zu].%s: out of range", i, what);
        }
    }
    return 0;
}

int rh_peer_check_view_ack(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_lease_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_lease_grant(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_relay(const struct rh_peer_message *message, struct rh_reason *reason)
{
    int rv = check_node(&message->relay.from, "relay", "from", reason);
    if (rv == 0) {
        rv = check_node(&message->relay.to, "relay", "to", reason);
    }
    if (rv == 0 && message->relay.frame.size == 0) {
        rv = fail("relay", "frame", "is empty", reason);
    }
    return rv;
}

int rh_peer_check_relay_failed(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return check_node(&message->relay_failed.to, "relay_failed", "to", reason);
}
