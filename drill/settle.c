/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/settle.h"

#include "base/units.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool not_yet(struct rh_reason *reason, const char *format, ...) RH_PRINTF(2, 3);

static bool not_yet(struct rh_reason *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason->text, sizeof(reason->text), format, args);
    va_end(args);
    return false;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static const json_t *find_member(const json_t *ring, const char *id)
{
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(ring, "members"), i, member)
    {
        if (strcmp(text_of(member, "node"), id) == 0) {
            return member;
        }
    }
    return NULL;
}

static uint32_t weight_of(const json_t *member)
{
    return (uint32_t)lround(json_number_value(json_object_get(member, "weight")) * RH_WEIGHT_ONE);
}

/* Does the ring have exactly these nodes, each with its weight? */
static bool members_are_right(const struct rh_settle_node *nodes, size_t count, const json_t *ring,
                              struct rh_reason *reason)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *member = find_member(ring, nodes[i].id);
        if (member == NULL) {
            return not_yet(reason, "%s is not in the ring", nodes[i].id);
        }
        uint32_t weight = weight_of(member);
        if (nodes[i].drained != (weight == 0)) {
            return not_yet(reason, "%s has %s weight", nodes[i].id,
                           nodes[i].drained ? "still" : "no");
        }
        if (weight > 0 && nodes[i].weight_milli > 0 && weight != nodes[i].weight_milli) {
            return not_yet(reason, "%s has another weight", nodes[i].id);
        }
    }
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(ring, "members"), i, member)
    {
        bool known = false;
        for (size_t k = 0; k < count; k++) {
            known = known || strcmp(nodes[k].id, text_of(member, "node")) == 0;
        }
        if (!known) {
            return not_yet(reason, "%s is still in the ring", text_of(member, "node"));
        }
    }
    return true;
}

/* What must be 0 in `copies` of a status, and what it is. */
static const struct {
    const char *name;
    const char *text;
} nothing_left[] = {
    {"moving", "channels to hand over"},         {"claiming", "channels to take over"},
    {"arriving", "channels that are to arrive"}, {"short", "channels short of copies"},
    {"stalled", "channels that cannot commit"},
};

static bool copies_are_right(const char *id, const json_t *status, struct rh_reason *reason)
{
    if (json_is_true(json_object_get(status, "sweeping"))) {
        return not_yet(reason, "%s still looks through its channels", id);
    }
    if (!json_is_true(json_object_get(status, "replication"))) {
        return true;
    }
    const json_t *copies = json_object_get(status, "copies");
    if (!json_is_true(json_object_get(copies, "settled"))) {
        return not_yet(reason, "%s waits for reports in this view", id);
    }
    for (size_t i = 0; i < sizeof(nothing_left) / sizeof(nothing_left[0]); i++) {
        json_int_t left = json_integer_value(json_object_get(copies, nothing_left[i].name));
        if (left != 0) {
            return not_yet(reason, "%s has %lld %s", id, (long long)left, nothing_left[i].text);
        }
    }
    return true;
}

static bool status_is_right(const struct rh_settle_node *node, const json_t *status,
                            bool without_zookeeper, struct rh_reason *reason)
{
    const char *state = text_of(status, "state");
    if (strcmp(state, node->drained ? "outside" : "member") != 0) {
        return not_yet(reason, "%s is %s", node->id, state);
    }
    if (!without_zookeeper) {
        if (strcmp(text_of(json_object_get(status, "zookeeper"), "state"), "connected") != 0) {
            return not_yet(reason, "%s does not reach ZooKeeper", node->id);
        }
        if (!json_is_true(json_object_get(status, "registered"))) {
            return not_yet(reason, "%s is not registered", node->id);
        }
    }
    return copies_are_right(node->id, status, reason);
}

static bool same_view(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "generation"), json_object_get(b, "generation")) != 0 &&
           json_equal(json_object_get(a, "epoch"), json_object_get(b, "epoch")) != 0 &&
           json_equal(json_object_get(a, "digest"), json_object_get(b, "digest")) != 0;
}

bool rh_settled(const struct rh_settle_node *nodes, const struct rh_probe_answer *answers,
                size_t count, bool without_zookeeper, struct rh_reason *reason)
{
    if (count == 0) {
        return not_yet(reason, "no node runs");
    }
    for (size_t i = 0; i < count; i++) {
        if (answers[i].ring == NULL || (nodes[i].has_admin && answers[i].status == NULL)) {
            return not_yet(reason, "%s does not answer", nodes[i].id);
        }
        if (!same_view(answers[i].ring, answers[0].ring)) {
            return not_yet(reason, "%s and %s hold different views", nodes[0].id, nodes[i].id);
        }
    }
    if (!members_are_right(nodes, count, answers[0].ring, reason)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].has_admin &&
            !status_is_right(&nodes[i], answers[i].status, without_zookeeper, reason)) {
            return false;
        }
    }
    return true;
}
