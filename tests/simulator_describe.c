/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* A text that grows until its place is full. */
struct text {
    char *out;
    size_t used;
};

static void put(struct text *text, const char *format, ...) RH_PRINTF(2, 3);

static void put(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text->out + text->used, SIM_TEXT_SIZE - text->used, format, args);
    va_end(args);
    text->used += size < 0 ? 0 : (size_t)size;
    if (text->used >= SIM_TEXT_SIZE) {
        text->used = SIM_TEXT_SIZE - 1;
    }
}

static void put_key(struct text *text, struct rh_bytes key)
{
    put(text, " %.*s", (int)key.size, (const char *)key.data);
}

static void put_term(struct text *text, struct rh_term term)
{
    if (term.generation > 1) {
        put(text, " %" PRIu32 "/%" PRId64 ".%" PRIu32, term.generation, term.pzxid, term.turn);
    } else {
        put(text, " %" PRId64 ".%" PRIu32, term.pzxid, term.turn);
    }
}

static void put_group(struct text *text, const struct rh_node_ref *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(text, "%s%s", i == 0 ? " {" : " ", group[i].id);
    }
    put(text, "%s", count > 0 ? "}" : "");
}

void sim_describe_copy(const struct rh_copy_info *info, char out[static SIM_TEXT_SIZE])
{
    struct text text = {.out = out};
    put(&text, "%s", rh_role_name(info->role));
    if (!rh_role_holds_copy(info->role)) {
        put(&text, ", %" PRIu32 " wait", info->waiting);
        return;
    }
    put_term(&text, info->term);
    put(&text, " %016" PRIx64 " op %" PRIu64 " seq %" PRIu64 " commit %" PRIu64 " from %" PRIu64,
        info->incarnation, info->op, info->seq, info->commit, info->first_op);
    put_group(&text, info->group, info->group_count);
    put(&text, "%s%s, %" PRIu32 " streams, %" PRIu32 " wait", info->suspect ? " suspect" : "",
        info->lacked ? " lacked" : "", info->streams, info->waiting);
}

/* Of enum rh_peer_refused_code. */
static const char *refused_name(uint32_t code)
{
    static const char *const names[RH_PEER_REFUSED_CODES] = {
        [RH_PEER_STALE_EPOCH] = "stale_epoch",
        [RH_PEER_STALE_TERM] = "stale_term",
        [RH_PEER_GAP] = "gap",
        [RH_PEER_NO_COPY] = "no_copy",
        [RH_PEER_NO_OWNER] = "not_owner",
        [RH_PEER_LEFT] = "left",
        [RH_PEER_FULL] = "full",
    };
    return code < RH_PEER_REFUSED_CODES ? names[code] : "?";
}

void sim_describe_trace(const struct rh_core_trace *trace, char out[static SIM_TEXT_SIZE])
{
    struct text text = {.out = out};
    put(&text, "%.*s", (int)trace->key.size, (const char *)trace->key.data);
    switch (trace->kind) {
    case RH_TRACE_ROLE:
        put(&text, " %s -> %s", rh_role_name(trace->from), rh_role_name(trace->to));
        if (!rh_role_holds_copy(trace->to)) {
            return;
        }
        break;
    case RH_TRACE_COMMIT:
        put(&text, " commits %" PRIu64, trace->commit);
        return;
    case RH_TRACE_GROUP:
        put(&text, " group");
        put_group(&text, trace->group, trace->group_count);
        return;
    case RH_TRACE_REFUSED:
        put(&text, " refuses %s of %s: %s", rh_peer_message_name(trace->about), trace->peer.id,
            refused_name(trace->code));
        return;
    }
    put_term(&text, trace->term);
    put(&text, " op %" PRIu64 " commit %" PRIu64, trace->op, trace->commit);
    put_group(&text, trace->group, trace->group_count);
    put(&text, "%s", trace->suspect ? " suspect" : "");
}

/* ---- messages ---- */

static void put_append(struct text *text, const struct rh_peer_append *append)
{
    put_key(text, append->key);
    put_term(text, append->term);
    if (append->operations.count > 0) {
        put(text, " %" PRIu64 "..%" PRIu64, append->operations.first_op,
            append->operations.first_op + append->operations.count - 1);
    } else {
        put(text, " none after %" PRIu64, append->prev_op);
    }
    put(text, " commit %" PRIu64, append->commit);
    put_group(text, append->group.members, append->group.count);
}

static void put_sync(struct text *text, const struct rh_peer_sync_begin *sync)
{
    static const char *const purposes[RH_PEER_SYNC_PURPOSES] = {"join", "member", "fetch"};
    put(text, " %" PRIu64 " %s", sync->sync, purposes[sync->purpose]);
    put_key(text, sync->key);
    put_term(text, sync->term);
    put(text, " op %" PRIu64 " commit %" PRIu64 " after %" PRIu64, sync->op, sync->commit,
        sync->from_op);
    put_group(text, sync->group.members, sync->group.count);
    put(text, "%s", sync->last ? "" : ", more follows");
}

static void put_report(struct text *text, const struct rh_peer_report *report)
{
    static const char *const states[RH_PEER_COPY_STATES] = {"idle", "claiming", "acting",
                                                            "passing"};
    for (size_t i = 0; i < report->count; i++) {
        const struct rh_peer_copy *copy = &report->copies[i];
        put(text, "%s", i > 0 ? "," : "");
        put_key(text, copy->key);
        put_term(text, copy->term);
        put(text, " op %" PRIu64 " %s%s%s", copy->op, states[copy->state],
            copy->suspect ? " suspect" : "", copy->lacked ? " lacked" : "");
        put_group(text, copy->group.members, copy->group.count);
    }
}

static void put_refused(struct text *text, const struct rh_peer_refused *refused)
{
    put(text, " %s", rh_peer_message_name((enum rh_peer_message_kind)refused->about));
    put_key(text, refused->key);
    put_term(text, refused->term);
    put(text, " %s, has", refused_name(refused->code));
    put_term(text, refused->have_term);
    put(text, " op %" PRIu64, refused->have_op);
}

static void put_own(struct text *text, const struct rh_peer_own *own)
{
    put_key(text, own->key);
    put_term(text, own->term);
    put(text, " op %" PRIu64, own->op);
    put_group(text, own->group.members, own->group.count);
}

void sim_describe_message(const struct rh_peer_message *message, char out[static SIM_TEXT_SIZE])
{
    struct text text = {.out = out};
    put(&text, "%s", rh_peer_message_name(message->kind));
    switch ((unsigned)message->kind) {
    case RH_PEER_APPEND:
        put_append(&text, &message->append);
        break;
    case RH_PEER_APPEND_ACK:
        put_key(&text, message->append_ack.key);
        put_term(&text, message->append_ack.term);
        put(&text, " %" PRIu64 "%s", message->append_ack.op,
            message->append_ack.confirmed ? "" : ", not confirmed");
        break;
    case RH_PEER_SYNC_BEGIN:
        put_sync(&text, &message->sync_begin);
        break;
    case RH_PEER_SYNC_CHUNK:
        put(&text, " %" PRIu64 ".%" PRIu32 "%s", message->sync_chunk.sync,
            message->sync_chunk.index, message->sync_chunk.last ? ", the last" : "");
        break;
    case RH_PEER_SYNC_ACK:
        put(&text, " %" PRIu64, message->sync_ack.sync);
        put_key(&text, message->sync_ack.key);
        put_term(&text, message->sync_ack.term);
        put(&text, " %" PRIu64 "%s%s", message->sync_ack.op,
            message->sync_ack.confirmed ? "" : ", not confirmed",
            message->sync_ack.done ? "" : ", not done");
        break;
    case RH_PEER_CREDIT:
        put(&text, " %" PRIu32, message->credit.channels);
        break;
    case RH_PEER_REFUSED:
        put_refused(&text, &message->refused);
        break;
    case RH_PEER_REPORT:
        put_report(&text, &message->report);
        break;
    case RH_PEER_FETCH:
        put_key(&text, message->fetch.key);
        put_term(&text, message->fetch.term);
        put(&text, " op %" PRIu64, message->fetch.op);
        break;
    case RH_PEER_OWN:
        put_own(&text, &message->own);
        break;
    case RH_PEER_OWN_ACK:
        put_key(&text, message->own_ack.key);
        put_term(&text, message->own_ack.term);
        break;
    case RH_PEER_LEAVE:
        put_key(&text, message->leave.key);
        put_term(&text, message->leave.term);
        put(&text, "%s", message->leave.reclaim ? ", the end" : "");
        break;
    case RH_PEER_LEAVE_ACK:
        put_key(&text, message->leave_ack.key);
        put_term(&text, message->leave_ack.term);
        break;
    default:
        put_key(&text, sim_message_key(message));
    }
}

struct rh_bytes sim_message_key(const struct rh_peer_message *message)
{
    switch ((unsigned)message->kind) {
    case RH_PEER_PUBLISH:
        return message->publish.key;
    case RH_PEER_INSPECT:
        return message->inspect.key;
    case RH_PEER_PRESENCE:
        return message->presence.key;
    case RH_PEER_APPEND:
        return message->append.key;
    case RH_PEER_APPEND_ACK:
        return message->append_ack.key;
    case RH_PEER_SYNC_BEGIN:
        return message->sync_begin.key;
    case RH_PEER_SYNC_ACK:
        return message->sync_ack.key;
    case RH_PEER_REFUSED:
        return message->refused.key;
    case RH_PEER_REPORT: /* one, in the scripts; else the first */
        return message->report.count > 0 ? message->report.copies[0].key : rh_bytes("", 0);
    case RH_PEER_FETCH:
        return message->fetch.key;
    case RH_PEER_OWN:
        return message->own.key;
    case RH_PEER_OWN_ACK:
        return message->own_ack.key;
    case RH_PEER_EXPEDITE:
        return message->expedite.key;
    case RH_PEER_LEAVE:
        return message->leave.key;
    case RH_PEER_LEAVE_ACK:
        return message->leave_ack.key;
    default:
        return rh_bytes("", 0);
    }
}
