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
 *
 * What is held may be much by the time it can be taken: it is, a piece in each step, and what comes
 * from that peer meanwhile queues behind it. So does what is left of a report that is too long for
 * one step.
 *
 *   of a later epoch --> [ held ........ ] --adopted--> [ releasing ] --a piece a step--> taken
 *                              behind it: what comes meanwhile ---^
 */

struct held {
    struct rh_list link; /* rh_process::held */
    struct rh_epoch epoch;
    struct rh_buffer frame;
};

static struct held *first_held(const struct rh_process *process)
{
    struct rh_list *link = rh_list_first(&process->held);
    return link == NULL ? NULL : rh_container_of(link, struct held, link);
}

static uint64_t held_size(const struct held *held)
{
    return rh_buffer_size(&held->frame) + sizeof(*held);
}

static void unlink_held(struct rh_process *process, struct held *held)
{
    process->held_bytes -= held_size(held);
    rh_list_remove(&held->link);
}

static void free_held(struct held *held)
{
    rh_buffer_finish(&held->frame);
    free(held);
}

void rh_core_drop_held(struct rh_core *core, struct rh_process *process)
{
    (void)core;
    rh_list_each_safe (&process->held, link) {
        struct held *held = rh_container_of(link, struct held, link);
        unlink_held(process, held);
        free_held(held);
    }
    rh_list_remove(&process->release_link);
}

/* The message as bytes, in no list yet; NULL when out of memory. */
static struct held *make_held(const struct rh_peer_message *message)
{
    struct held *held = rh_core_alloc(1, sizeof(*held));
    held->epoch = message->epoch;
    rh_list_init(&held->link);
    if (rh_peer_encode(message, RH_PEER_FRAME_SIZE_MAX, &held->frame) != 0) {
        free_held(held);
        return NULL;
    }
    return held;
}

/* What is held cannot be kept: as on a link that breaks, the sender starts over. */
static void give_up_held(struct rh_core *core, struct rh_process *process)
{
    rh_core_drop_held(core, process);
    struct rh_action *action = rh_core_act(core, RH_ACTION_RESET_PEER);
    action->peer = process->ref;
}

/* Behind what is held of |from| already. Its bytes; 0: it was given up. */
static uint64_t hold_last(struct rh_core *core, struct rh_process *from,
                          const struct rh_peer_message *message)
{
    struct held *held = make_held(message);
    if (held == NULL) {
        give_up_held(core, from);
        return 0;
    }
    rh_list_push_back(&from->held, &held->link);
    from->held_bytes += held_size(held);
    return held_size(held);
}

void rh_core_hold(struct rh_core *core, struct rh_process *from,
                  const struct rh_peer_message *message)
{
    rh_core_catch_up(core);
    rh_core_ask_for_view(core, from);
    (void)hold_last(core, from, message);
    core->stats.frames_held++;
    if (from->held_bytes > core->options.held_bytes_max) {
        give_up_held(core, from);
    }
}

/* Takes one frame as if it came now from |from|. */
static void take_frame(struct rh_core *core, struct rh_process *from, struct rh_bytes frame,
                       rh_core_take *take)
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
        take(core, from, message);
    }
    rh_core_keep_decoder(core, decoder); /* actions may point into it */
}

/* ---- those whose time has come ---- */

/* Whether the first of them is of an epoch that was adopted. */
static bool is_due(const struct rh_core *core, const struct rh_process *process)
{
    const struct held *held = first_held(process);
    return held != NULL && rh_epoch_compare(held->epoch, core->view->epoch) <= 0;
}

static void note_due(struct rh_core *core, struct rh_process *process)
{
    if (!is_due(core, process)) {
        rh_list_remove(&process->release_link);
    } else if (rh_list_empty(&process->release_link)) {
        rh_list_push_back(&core->releasing, &process->release_link);
    }
}

/* Takes the frames of one peer, in order, up to the first that is still early or until |bytes| of
 * them were taken. How many were; one that was not taken whole is enough. */
static uint64_t release(struct rh_core *core, struct rh_process *process, uint64_t bytes)
{
    uint64_t taken = 0;
    while (taken < bytes && is_due(core, process)) {
        struct held *held = first_held(process);
        taken += held_size(held);
        unlink_held(process, held);
        const struct held *next = first_held(process);
        take_frame(core, process, rh_buffer_content(&held->frame), rh_core_take_released);
        free_held(held);
        if (first_held(process) != next) {
            taken = bytes;
        }
    }
    note_due(core, process);
    return taken;
}

bool rh_core_release_more(struct rh_core *core)
{
    uint64_t left = core->options.steps.held_bytes;
    bool any = !rh_list_empty(&core->releasing);
    for (struct rh_list *link = rh_list_first(&core->releasing); left > 0 && link != NULL;
         link = rh_list_first(&core->releasing)) {
        uint64_t taken =
            release(core, rh_container_of(link, struct rh_process, release_link), left);
        left -= taken < left ? taken : left;
    }
    return any;
}

void rh_core_hold_behind(struct rh_core *core, struct rh_process *from,
                         const struct rh_peer_message *message)
{
    uint64_t bytes = hold_last(core, from, message);
    do {
        (void)release(core, from, bytes); /* so that no more is held than there was */
    } while (from->held_bytes > core->options.held_bytes_max && is_due(core, from));
}

bool rh_core_hold_rest(struct rh_core *core, struct rh_process *from,
                       const struct rh_peer_message *message)
{
    struct held *held = make_held(message);
    if (held == NULL) {
        return false;
    }
    rh_list_push_front(&from->held, &held->link);
    from->held_bytes += held_size(held);
    note_due(core, from);
    return true;
}

/* Whether another process has its place in the view. */
static bool is_replaced(const struct rh_core *core, const struct rh_process *process)
{
    return !process->is_up && !rh_process_is_registered(process) &&
           rh_view_find(core->view, process->ref.id) != RH_RING_NONE;
}

void rh_core_release_held(struct rh_core *core)
{
    for (struct rh_table_link *link = rh_table_next(&core->groups.processes, NULL); link != NULL;
         link = rh_table_next(&core->groups.processes, link)) {
        struct rh_process *process = rh_container_of(link, struct rh_process, link);
        bool is_dropped = !rh_list_empty(&process->held) && is_replaced(core, process);
        if (is_dropped && !rh_fault(RH_FAULT_HOLD_FOREVER)) {
            /* The epoch that it knew may be lost with it. Or it lives, and this view is the older one:
             * then it has to say all that again. */
            give_up_held(core, process);
        }
        note_due(core, process);
    }
    (void)rh_core_release_more(core);
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
            take_frame(core, origin, rh_bytes(bytes, frame.size + RH_PEER_FRAME_HEADER_SIZE),
                       rh_core_take_message);
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
