/* SPDX-License-Identifier: Apache-2.0 */
#include "node/core_internal.h"

#include "base/buffer.h"
#include "node/fault.h"
#include "proto/peer_codec.h"

#include <assert.h>
#include <stdlib.h>

#define GREET_MIN_MS 1000U
#define GREET_MAX_MS 30000U

/*
 * Two things for which a message is turned into bytes and back within the core: one of an epoch
 * that was not adopted yet is held until it is (M1), and one for a node that cannot be reached goes
 * by a third (section 12.8).
 */

struct held {
    struct rh_list link; /* rh_process::held */
    struct rh_epoch epoch;
    struct rh_buffer frame;
};

static void held_free(struct rh_process *process, struct held *held)
{
    process->held_bytes -= rh_buffer_size(&held->frame) + sizeof(*held);
    rh_list_remove(&held->link);
    rh_buffer_finish(&held->frame);
    free(held);
}

void rh_core_drop_held(struct rh_core *core, struct rh_process *process)
{
    (void)core;
    rh_list_each_safe (&process->held, link) {
        held_free(process, rh_container_of(link, struct held, link));
    }
}

void rh_core_hold(struct rh_core *core, struct rh_process *from,
                  const struct rh_peer_message *message)
{
    rh_core_catch_up(core);
    rh_core_ask_for_view(core, from);
    struct held *held = rh_core_alloc(1, sizeof(*held));
    held->epoch = message->epoch;
    rh_list_init(&held->link);
    if (rh_peer_encode(message, RH_PEER_FRAME_SIZE_MAX, &held->frame) != 0) {
        rh_buffer_finish(&held->frame);
        free(held);
        return; /* as if it had been lost: whoever waits for an answer sends again (M5) */
    }
    rh_list_push_back(&from->held, &held->link);
    from->held_bytes += rh_buffer_size(&held->frame) + sizeof(*held);
    core->stats.frames_held++;
    if (from->held_bytes > core->options.held_bytes_max) {
        rh_core_drop_held(core, from);
        struct rh_action *action = rh_core_act(core, RH_ACTION_RESET_PEER);
        action->peer = from->ref;
    }
}

/* Takes one frame as if it came now from |from|. */
static void take_frame(struct rh_core *core, struct rh_process *from, struct rh_bytes frame)
{
    struct rh_peer_decoder *decoder;
    struct rh_reason reason;
    /* As the decoder: actions may point to it. */
    struct rh_peer_message *message = rh_core_scratch(core, 1, sizeof(*message));
    if (rh_peer_decoder_create(RH_PEER_FRAME_SIZE_MAX, &decoder) != 0) {
        return;
    }
    if (rh_peer_decoder_feed(decoder, frame.data, frame.size) == 0 &&
        rh_peer_decoder_next(decoder, message, &reason) == 0) {
        rh_core_take_message(core, from, message);
    }
    rh_core_keep_decoder(core, decoder); /* actions may point into it */
}

/* The frames of one peer, in order, up to the first that is still early. */
static void release(struct rh_core *core, struct rh_process *process)
{
    for (struct rh_list *link = rh_list_first(&process->held); link != NULL;
         link = rh_list_first(&process->held)) {
        struct held *held = rh_container_of(link, struct held, link);
        if (rh_epoch_compare(held->epoch, core->view->epoch) > 0) {
            return;
        }
        take_frame(core, process, rh_buffer_content(&held->frame));
        held_free(process, held);
    }
}

/* Whether another process has its place in the view. */
static bool is_replaced(const struct rh_core *core, const struct rh_process *process)
{
    return !process->is_up && !rh_process_is_registered(process) &&
           rh_view_find(core->view, process->ref.id) != RH_RING_NONE;
}

void rh_core_release_held(struct rh_core *core)
{
    struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL);
    while (link != NULL) {
        struct rh_process *process = rh_container_of(link, struct rh_process, link);
        if (is_replaced(core, process) && !rh_fault(RH_FAULT_HOLD_FOREVER)) {
            rh_core_drop_held(core, process); /* the epoch that it knew may be lost with it */
        }
        if (!rh_list_empty(&process->held)) {
            release(core, process);
            /* What was taken may have made processes known, and the table may have grown. */
            link = rh_list_empty(&process->held) ? rh_table_next(&core->groups.processes, NULL)
                                                 : rh_table_next(&core->groups.processes, link);
        } else {
            link = rh_table_next(&core->groups.processes, link);
        }
    }
}

/* ---- by a third node ---- */

struct rh_process *rh_core_relay_for(const struct rh_core *core, const struct rh_process *to)
{
    if (!core->options.replication || core->view == NULL || !rh_process_is_registered(to) ||
        to->is_up || core->now_ms - to->down_ms < RH_UNREACHABLE_MS) {
        return NULL;
    }
    size_t count = core->view->members_count;
    for (size_t i = 0; i < count; i++) {
        /* Another one each time the one before has failed. */
        struct rh_process *third = core->members[(i + to->relay) % count];
        if (third != to && third != core->self_process && third->is_up) {
            return third;
        }
    }
    return NULL;
}

bool rh_core_is_reachable(const struct rh_core *core, const struct rh_process *process)
{
    return process->is_up || rh_core_relay_for(core, process) != NULL;
}

static void wrap(struct rh_core *core, struct rh_action *action, const struct rh_process *to,
                 const struct rh_process *third)
{
    struct rh_buffer frame = {0};
    if (rh_peer_encode(&action->send.message, RH_PEER_FRAME_SIZE_MAX, &frame) != 0) {
        rh_buffer_finish(&frame);
        return;
    }
    struct rh_bytes bytes = rh_buffer_content(&frame);
    rh_core_keep(core, frame.data);
    action->send.to = third->ref;
    action->send.message = (struct rh_peer_message){
        .kind = RH_PEER_RELAY,
        .epoch = core->view->epoch,
        .relay = {.from = core->self_process->ref,
                  .to = to->ref,
                  .frame = rh_bytes(bytes.data + RH_PEER_FRAME_HEADER_SIZE,
                                    bytes.size - RH_PEER_FRAME_HEADER_SIZE)},
    };
    core->stats.frames_relayed++;
}

void rh_core_relay_sends(struct rh_core *core)
{
    struct rh_actions *actions = core->actions;
    size_t kept = 0;
    if (!core->options.replication) {
        return;
    }
    for (size_t i = 0; i < actions->count; i++) {
        struct rh_action *action = &actions->items[i];
        if (action->kind == RH_ACTION_SEND) {
            const struct rh_process *to = rh_groups_find(&core->groups, &action->send.to);
            if (to == NULL || !to->is_up) {
                const struct rh_process *third =
                    to == NULL || action->send.message.kind == RH_PEER_RELAY
                        ? NULL
                        : rh_core_relay_for(core, to);
                if (third == NULL) {
                    continue; /* it is lost, as on a link that breaks */
                }
                wrap(core, action, to, third);
            }
        }
        if (kept != i) {
            actions->items[kept] = *action;
        }
        kept++;
    }
    actions->count = kept;
}

void rh_core_on_relay(struct rh_core *core, struct rh_process *from,
                      const struct rh_peer_message *message)
{
    const struct rh_peer_relay *relay = &message->relay;
    if (rh_node_ref_equal(&relay->to, &core->self_process->ref)) {
        struct rh_process *origin = rh_groups_process(&core->groups, &relay->from);
        struct rh_bytes frame = relay->frame;
        char *bytes = rh_core_scratch(core, frame.size + RH_PEER_FRAME_HEADER_SIZE, 1);
        for (unsigned i = 0; i < RH_PEER_FRAME_HEADER_SIZE; i++) {
            bytes[i] = (char)(frame.size >> 8 * (RH_PEER_FRAME_HEADER_SIZE - 1 - i) & 0xff);
        }
        (void)rh_bytes_write(bytes + RH_PEER_FRAME_HEADER_SIZE, frame);
        if (origin != NULL) {
            take_frame(core, origin, rh_bytes(bytes, frame.size + RH_PEER_FRAME_HEADER_SIZE));
        }
        return;
    }
    const struct rh_process *to = rh_groups_find(&core->groups, &relay->to);
    if (to != NULL && to->is_up) {
        rh_core_send(core, to, RH_PEER_RELAY)->relay = *relay;
        return;
    }
    rh_core_send(core, from, RH_PEER_RELAY_FAILED)->relay_failed.to = relay->to;
}

void rh_core_on_relay_failed(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message)
{
    (void)from;
    struct rh_process *to = rh_groups_find(&core->groups, &message->relay_failed.to);
    if (to != NULL) {
        to->relay++;
        if (to->greet_ms > core->now_ms + GREET_MIN_MS) {
            to->greet_ms = core->now_ms + GREET_MIN_MS; /* what was told may be what was lost */
        }
    }
}

/* A registered node whose link is down for so long is spoken to by a third from now on: it wants
 * what it would want of a link that came up. Reports that are lost on such a way are not missed by
 * anybody who could ask for them, so they are told again, at growing intervals. */
void rh_core_relays_tick(struct rh_core *core)
{
    for (size_t i = 0; core->members_down > 0 && i < core->view->members_count; i++) {
        struct rh_process *process = core->members[i];
        if (process == core->self_process || process->is_up || core->now_ms < process->greet_ms ||
            rh_core_relay_for(core, process) == NULL) {
            continue;
        }
        process->greet_pause_ms =
            process->greet_pause_ms == 0 ? GREET_MIN_MS : process->greet_pause_ms * 2;
        if (process->greet_pause_ms > GREET_MAX_MS) {
            process->greet_pause_ms = GREET_MAX_MS;
        }
        process->greet_ms = core->now_ms + process->greet_pause_ms;
        rh_core_greet(core, process);
    }
}

void rh_core_relays_begin(const struct rh_core *core, struct rh_process *process)
{
    process->greet_ms = core->now_ms;
    process->greet_pause_ms = 0;
}

uint64_t rh_core_relays_ms(const struct rh_core *core)
{
    uint64_t deadline_ms = UINT64_MAX;
    for (size_t i = 0; core->members_down > 0 && i < core->view->members_count; i++) {
        const struct rh_process *process = core->members[i];
        if (process == core->self_process || process->is_up) {
            continue;
        }
        uint64_t at_ms = process->down_ms + RH_UNREACHABLE_MS;
        at_ms = at_ms > process->greet_ms ? at_ms : process->greet_ms;
        if (at_ms <= core->now_ms) {
            at_ms = core->now_ms + RH_UNREACHABLE_MS; /* nobody to go by, yet */
        }
        deadline_ms = at_ms < deadline_ms ? at_ms : deadline_ms;
    }
    return deadline_ms;
}
