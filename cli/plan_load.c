/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* Whole numbers of one object; |ok| remembers that one was none. */
struct reader {
    const json_t *object;
    bool ok;
};

static uint64_t number(struct reader *reader, const char *name)
{
    const json_t *value = json_object_get(reader->object, name);
    json_int_t found = json_integer_value(value);
    reader->ok = reader->ok && json_is_integer(value) && found >= 0;
    return (uint64_t)found;
}

static struct rh_plan_load load_of(struct reader *reader)
{
    return (struct rh_plan_load){.channels = number(reader, "channels"),
                                 .connections = number(reader, "connections"),
                                 .bytes = number(reader, "bytes")};
}

static void add(struct rh_plan_load *to, const struct rh_plan_load *load)
{
    to->channels += load->channels;
    to->connections += load->connections;
    to->bytes += load->bytes;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

/* ---- one answer ---- */

/* An answer, checked before anything of it counts. */
struct answer {
    struct rh_plan_node node; /* what it says of the node itself */
    bool one_copy;
    const json_t *targets;
};

static bool targets_are_good(const struct rh_plan *plan, const json_t *targets)
{
    size_t index;
    json_t *target;
    json_t *next;
    size_t next_index;
    bool good = json_is_array(targets);
    json_array_foreach(targets, index, target)
    {
        struct reader reader = {.object = target, .ok = true};
        (void)load_of(&reader);
        (void)(number(&reader, "joins") + number(&reader, "join_bytes") +
               number(&reader, "leaves"));
        /* Who only gives copies up may be outside of both rings. */
        bool is_known = rh_plan_find(plan, text_of(target, "node")) != NULL ||
                        json_integer_value(json_object_get(target, "channels")) == 0;
        good = good && reader.ok && is_known;
        json_array_foreach(json_object_get(target, "next"), next_index, next)
        {
            struct reader inner = {.object = next, .ok = true};
            (void)(number(&inner, "channels") + number(&inner, "connections"));
            good = good && inner.ok && rh_plan_find(plan, text_of(next, "node")) != NULL;
        }
    }
    return good;
}

static bool read_answer(const struct rh_plan *plan, const json_t *object, struct answer *answer)
{
    struct reader top = {.object = object, .ok = true};
    struct reader acting = {.object = json_object_get(object, "acting"), .ok = true};
    struct reader limits = {.object = json_object_get(object, "limits"), .ok = true};
    struct reader pace = {.object = json_object_get(object, "rebalance"), .ok = true};
    struct rh_plan_node *node = &answer->node;
    node->load_before = load_of(&acting);
    node->load_before.copies = number(&top, "copies");
    node->turns = number(&top, "turns");
    node->under_way = number(&top, "under_way");
    node->limits = (struct rh_plan_load){.channels = number(&limits, "channels"),
                                         .connections = number(&limits, "connections"),
                                         .copies = number(&limits, "copies")};
    node->channels_per_second = (uint32_t)number(&pace, "channels_per_second");
    node->in_flight = (uint32_t)number(&pace, "in_flight");
    answer->one_copy = json_is_false(json_object_get(object, "replication"));
    answer->targets = json_object_get(object, "targets");
    return top.ok && acting.ok && limits.ok && pace.ok && node->channels_per_second > 0 &&
           targets_are_good(plan, answer->targets);
}

static int add_move(struct rh_plan *plan, const char *from, const char *to,
                    const struct rh_plan_load *load, uint64_t copies)
{
    struct rh_plan_move *moves =
        realloc(plan->moves, (plan->moves_count + 1) * sizeof(*plan->moves));
    if (moves == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    plan->moves = moves;
    struct rh_plan_move *move = &moves[plan->moves_count];
    *move = (struct rh_plan_move){.load = *load};
    move->load.copies = copies;
    (void)snprintf(move->from, sizeof(move->from), "%s", from);
    (void)snprintf(move->to, sizeof(move->to), "%s", to);
    plan->moves_count++;
    add(&plan->total, load);
    plan->total.copies += copies;
    return 0;
}

static int add_losses(struct rh_plan *plan, const struct rh_plan_node *owner, const json_t *list)
{
    size_t index;
    json_t *next;
    if (list != NULL && plan->losses == NULL) {
        plan->losses = calloc(plan->nodes_count * plan->nodes_count, sizeof(*plan->losses));
        if (plan->losses == NULL) {
            return RH_ERR_NO_MEMORY;
        }
    }
    json_array_foreach(list, index, next)
    {
        struct reader reader = {.object = next, .ok = true};
        const struct rh_plan_node *heir = rh_plan_find(plan, text_of(next, "node"));
        struct rh_plan_load *loss =
            &plan->losses[(size_t)(owner - plan->nodes) * plan->nodes_count +
                          (size_t)(heir - plan->nodes)];
        loss->channels += number(&reader, "channels");
        loss->connections += number(&reader, "connections");
    }
    return 0;
}

/* What |id| would do for one node: hand channels over, send copies, have copies dropped. */
static int take_target(struct rh_plan *plan, const char *id, struct rh_plan_node *sender,
                       const json_t *target)
{
    struct reader reader = {.object = target, .ok = true};
    const struct rh_plan_load load = load_of(&reader);
    struct rh_plan_node *node = rh_plan_find(plan, text_of(target, "node"));
    uint64_t joins = number(&reader, "joins");
    uint64_t join_bytes = number(&reader, "join_bytes");
    sender->sent += joins;
    sender->sent_bytes += join_bytes;
    plan->sent_bytes += join_bytes;
    if (node == NULL) {
        return 0;
    }
    add(&node->load_after, &load);
    /* Below zero in between, perhaps: what it has comes with its own answer. */
    node->load_after.copies += joins - number(&reader, "leaves");
    int rv = add_losses(plan, node, json_object_get(target, "next"));
    if (rv == 0 && strcmp(id, node->id) != 0 && (load.channels > 0 || joins > 0)) {
        rv = add_move(plan, id, node->id, &load, joins);
    }
    return rv;
}

int rh_plan_take(struct rh_plan *plan, const char *id, struct rh_epoch epoch, const json_t *answer,
                 struct rh_reason *reason)
{
    struct answer read = {.node = {.counted = true}};
    struct reader top = {.object = answer, .ok = true};
    bool is_current = number(&top, "generation") == epoch.generation &&
                      number(&top, "epoch") == (uint64_t)epoch.pzxid;
    const char *who = text_of(answer, "node");
    if (strcmp(who, id) != 0 && rh_node_id_valid(rh_bytes_text(who))) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s cannot be asked: %s answers at its admin address", id, who);
    }
    if (strcmp(who, id) != 0 || !read_answer(plan, answer, &read)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s cannot be asked: this is not what a node answers", id);
    }
    if (!is_current) {
        return rh_fail(reason, RH_ERR_INVALID, "%s cannot be asked: the answer is of another epoch",
                       id);
    }
    struct rh_plan_node stranger = {.counted = true};
    struct rh_plan_node *node = rh_plan_find(plan, id);
    if (node == NULL) {
        node = &stranger;
    }
    node->counted = true;
    node->load_before = read.node.load_before;
    node->load_after.copies += read.node.load_before.copies;
    node->turns = read.node.turns;
    node->under_way = read.node.under_way;
    node->limits = read.node.limits;
    node->channels_per_second = read.node.channels_per_second;
    node->in_flight = read.node.in_flight;
    plan->one_copy = plan->one_copy || read.one_copy;
    plan->under_way += read.node.under_way;
    size_t index;
    json_t *target;
    json_array_foreach(read.targets, index, target)
    {
        int rv = take_target(plan, id, node, target);
        if (rv != 0) {
            return rh_fail(reason, rv, "%s", rh_error_text(rv));
        }
    }
    return 0;
}

/* ---- all of them ---- */

/* How many copies may be on their way from one node to another (docs/protocol-cluster.md, H7): a
 * quarter of the credit is for those that somebody waits for. */
static double in_flight_of(const struct rh_plan *plan, const struct rh_plan_node *receiver)
{
    uint32_t senders = plan->registered_count > 1 ? (uint32_t)plan->registered_count - 1 : 1;
    uint32_t credit = receiver->in_flight / senders;
    credit = credit < 4 ? 4 : credit;
    return credit - (credit + 3) / 4;
}

/* What the rate of each sender allows, and what may be on its way at a time. */
static void estimate(struct rh_plan *plan)
{
    for (size_t i = 0; i < plan->nodes_count; i++) {
        struct rh_plan_node *node = &plan->nodes[i];
        node->seconds =
            node->turns == 0 ? 0.0 : (double)node->turns / (double)node->channels_per_second;
    }
    for (size_t i = 0; i < plan->moves_count; i++) {
        const struct rh_plan_move *move = &plan->moves[i];
        struct rh_plan_node *sender = rh_plan_find(plan, move->from);
        const struct rh_plan_node *receiver = rh_plan_find(plan, move->to);
        double seconds =
            (double)move->load.copies / in_flight_of(plan, receiver) * RH_PLAN_TRANSFER_MS / 1000.0;
        if (sender != NULL && seconds > sender->seconds) {
            sender->seconds = seconds;
        }
    }
    for (size_t i = 0; i < plan->nodes_count; i++) {
        bool is_longest = plan->nodes[i].seconds > plan->seconds;
        plan->seconds = is_longest ? plan->nodes[i].seconds : plan->seconds;
    }
}

void rh_plan_complete(struct rh_plan *plan, bool all, const struct rh_plan_load *limits,
                      uint32_t in_flight)
{
    plan->counted = all;
    for (size_t i = 0; i < plan->nodes_count; i++) {
        struct rh_plan_node *node = &plan->nodes[i];
        if (!node->registered) {
            node->counted = true;
            node->limits = *limits;
            node->in_flight = in_flight;
        }
    }
    if (!plan->one_copy) { /* otherwise nothing is handed over */
        estimate(plan);
    }
}
