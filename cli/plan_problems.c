/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan_problems.h"

#include "node/core_forecast.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES      65536U /* of the hash space, at which the ring is read to see who holds copies */
#define BURDEN_MOST 1.5    /* copies of a zone, by what its weight is worth */

static int say(struct rh_plan_problems *problems, const char *code, const char *node,
               const char *format, ...) RH_PRINTF(4, 5);

static int say(struct rh_plan_problems *problems, const char *code, const char *node,
               const char *format, ...)
{
    struct rh_plan_problem *items =
        realloc(problems->items, (problems->count + 1) * sizeof(*problems->items));
    if (items == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    problems->items = items;
    struct rh_plan_problem *problem = &items[problems->count++];
    *problem = (struct rh_plan_problem){.code = code};
    (void)snprintf(problem->node, sizeof(problem->node), "%s", node);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
    va_end(arguments);
    return 0;
}

/* ---- zones ---- */

/* One zone of the ring to come. */
struct zone {
    const char *name;
    uint32_t nodes;
    uint64_t weight_milli;
    uint64_t copies; /* at the places looked at */
};

struct zones {
    struct zone *items;
    size_t count;
    uint32_t nodes; /* in all zones */
    uint64_t weight_milli;
    uint64_t copies;
};

static struct zone *zone_of(const struct zones *zones, const char *name)
{
    for (size_t i = 0; i < zones->count; i++) {
        if (strcmp(zones->items[i].name, name) == 0) {
            return &zones->items[i];
        }
    }
    return NULL;
}

/* Reads the ring at places that are as far from each other as they can be. */
static void count_copies(const struct rh_plan *plan, struct zones *zones)
{
    uint32_t list[RH_RING_REPLICAS_MAX];
    for (uint64_t place = 0; place < PLACES; place++) {
        uint64_t hash = place * (UINT64_MAX / PLACES);
        size_t count = rh_ring_preference(plan->ring, hash, plan->replicas, list);
        for (size_t i = 0; i < count; i++) {
            struct zone *zone = zone_of(zones, rh_ring_member(plan->ring, list[i])->zone);
            if (zone != NULL) { /* it is: who holds copies has weight */
                zone->copies++;
                zones->copies++;
            }
        }
    }
}

static int list_zones(const struct rh_plan *plan, struct zones *zones)
{
    zones->items = calloc(rh_ring_members_count(plan->ring) + 1, sizeof(*zones->items));
    if (zones->items == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < rh_ring_members_count(plan->ring); i++) {
        const struct rh_ring_member *member = rh_ring_member(plan->ring, i);
        if (member->weight_milli == 0) {
            continue;
        }
        struct zone *zone = zone_of(zones, member->zone);
        if (zone == NULL) {
            zone = &zones->items[zones->count++];
            zone->name = member->zone;
        }
        zone->nodes++;
        zone->weight_milli += member->weight_milli;
        zones->nodes++;
        zones->weight_milli += member->weight_milli;
    }
    count_copies(plan, zones);
    return 0;
}

static int check_number_of_zones(const struct rh_plan *plan, const struct zones *zones,
                                 struct rh_plan_problems *problems)
{
    uint32_t wanted = plan->replicas < zones->nodes ? plan->replicas : zones->nodes;
    if (zones->count >= wanted) {
        return 0;
    }
    if (zones->count == 1) {
        return say(problems, "one_zone", "",
                   "all copies of every channel would be in one zone, %s: what takes it down takes "
                   "them all",
                   zones->items[0].name);
    }
    return say(problems, "few_zones", "",
               "%zu zones for %" PRIu32 " copies: some copies of every channel would share one",
               zones->count, wanted);
}

/* A zone with less than its part of the weight holds more copies than that, since the others' have to
 * be elsewhere: somewhat more is what zones are for. */
static int check_zone_size(const struct zones *zones, const struct zone *zone,
                           struct rh_plan_problems *problems)
{
    double weight = (double)zone->weight_milli / (double)zones->weight_milli;
    double copies = (double)zone->copies / (double)zones->copies;
    if (copies <= weight * BURDEN_MOST) {
        return 0;
    }
    return say(problems, "zone_too_small", "",
               "zone %s has %.0f %% of the weight and would hold %.0f %% of the copies, %.1f times "
               "what its nodes are weighted for",
               zone->name, weight * 100, copies * 100, copies / weight);
}

static int check_no_zone(const struct rh_plan *plan, struct rh_plan_problems *problems)
{
    for (uint32_t i = 0; i < rh_ring_members_count(plan->ring); i++) {
        const struct rh_ring_member *member = rh_ring_member(plan->ring, i);
        if (member->weight_milli > 0 && member->zone[0] == '\0') {
            return say(problems, "no_zone", member->id,
                       "%s has no zone while others have one; nodes without are taken for one zone",
                       member->id);
        }
    }
    return 0;
}

/* A cluster in which no node has a zone does without. */
static int check_zones(const struct rh_plan *plan, const struct zones *zones,
                       struct rh_plan_problems *problems)
{
    if (zones->count == 0 || (zones->count == 1 && zones->items[0].name[0] == '\0')) {
        return 0;
    }
    int rv = check_no_zone(plan, problems);
    if (rv == 0) {
        rv = check_number_of_zones(plan, zones, problems);
    }
    for (size_t i = 0; i < zones->count && rv == 0 && zones->count > 1; i++) {
        rv = check_zone_size(zones, &zones->items[i], problems);
    }
    return rv;
}

static int check_ring(const struct rh_plan *plan, struct rh_plan_problems *problems)
{
    struct zones zones = {0};
    int rv = list_zones(plan, &zones);
    if (rv == 0 && zones.nodes < plan->replicas) {
        rv = say(problems, "few_nodes", "",
                 "%" PRIu32 " node%s with weight for %" PRIu32 " copies of each channel",
                 zones.nodes, zones.nodes == 1 ? "" : "s", plan->replicas);
    }
    if (rv == 0) {
        rv = check_zones(plan, &zones, problems);
    }
    free(zones.items);
    return rv;
}

/* ---- limits ---- */

static uint64_t channels_of(const struct rh_plan_load *load)
{
    return load->channels;
}

static uint64_t connections_of(const struct rh_plan_load *load)
{
    return load->connections;
}

static uint64_t copies_of(const struct rh_plan_load *load)
{
    return load->copies;
}

/* The things that are limited. */
static const struct limited {
    const char *name;
    const char *code;
    const char *code_on_loss; /* NULL: a loss is not looked at */
    uint64_t (*read)(const struct rh_plan_load *load);
} all_limited[] = {
    {"channels", "channels_limit", "channels_limit_on_loss", channels_of},
    {"connections", "connections_limit", "connections_limit_on_loss", connections_of},
    {"copies", "copies_limit", NULL, copies_of},
};

/* The most that |node| would get in addition if one more were lost, and by which. */
static uint64_t worst_loss(const struct rh_plan *plan, size_t node, const struct limited *limited,
                           size_t *ret_lost)
{
    uint64_t most = 0;
    for (size_t lost = 0; lost < plan->nodes_count; lost++) {
        uint64_t more = limited->read(&plan->losses[lost * plan->nodes_count + node]);
        if (more > most) {
            most = more;
            *ret_lost = lost;
        }
    }
    return most;
}

static int check_limit(const struct rh_plan *plan, size_t index, const struct limited *limited,
                       struct rh_plan_problems *problems)
{
    const struct rh_plan_node *node = &plan->nodes[index];
    uint64_t limit = limited->read(&node->limits);
    uint64_t has = limited->read(&node->load_after);
    if (limit == 0) {
        return 0;
    }
    if (has > limit) {
        return say(problems, limited->code, node->id,
                   "%s would have %" PRIu64 " %s, and may have %" PRIu64, node->id, has,
                   limited->name, limit);
    }
    size_t lost = index;
    uint64_t more = limited->code_on_loss != NULL && plan->losses != NULL
                        ? worst_loss(plan, index, limited, &lost)
                        : 0;
    if (has + more > limit) {
        return say(problems, limited->code_on_loss, node->id,
                   "%s would have %" PRIu64 " %s if %s were lost as well, and may have %" PRIu64,
                   node->id, has + more, limited->name, plan->nodes[lost].id, limit);
    }
    return 0;
}

static int check_limits(const struct rh_plan *plan, struct rh_plan_problems *problems)
{
    int rv = 0;
    for (size_t i = 0; i < plan->nodes_count; i++) {
        for (size_t k = 0; k < sizeof(all_limited) / sizeof(all_limited[0]) && rv == 0; k++) {
            bool stays = plan->nodes[i].weight_after_milli > 0;
            rv = stays ? check_limit(plan, i, &all_limited[k], problems) : 0;
        }
    }
    if (rv == 0 && rh_ring_active_count(plan->ring) > RH_FORECAST_PAIRS_MAX) {
        rv = say(problems, "loss_not_counted", "",
                 "with more than %d nodes the loss of one more is not looked at",
                 RH_FORECAST_PAIRS_MAX);
    }
    return rv;
}

/* ---- what is not known, or not as it should be before a change ---- */

static int check_node(const struct rh_plan_node *node, struct rh_plan_problems *problems)
{
    int rv = 0;
    if (!node->registered) {
        rv = say(problems, "not_running", node->id,
                 "%s is not running: `ringhop apply --wait` waits until it is started", node->id);
    } else if (!node->counted) {
        rv = say(problems, "not_counted", node->id,
                 "%s could not be asked: the numbers lack its channels", node->id);
    }
    if (rv == 0 && node->under_way > 0) {
        rv = say(problems, "under_way", node->id,
                 "%s is still busy with %" PRIu64 " channels of an earlier change", node->id,
                 node->under_way);
    }
    return rv;
}

int rh_plan_problems_find(const struct rh_plan *plan, bool offline,
                          struct rh_plan_problems *ret_problems)
{
    *ret_problems = (struct rh_plan_problems){0};
    int rv = check_ring(plan, ret_problems);
    for (size_t i = 0; i < plan->nodes_count && rv == 0 && !offline; i++) {
        rv = check_node(&plan->nodes[i], ret_problems);
    }
    if (rv == 0 && !offline) {
        rv = check_limits(plan, ret_problems);
    }
    return rv;
}

void rh_plan_problems_finish(struct rh_plan_problems *problems)
{
    free(problems->items);
    *problems = (struct rh_plan_problems){0};
}
