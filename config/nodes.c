/* SPDX-License-Identifier: Apache-2.0 */
#include "config/nodes.h"

#include "base/units.h"
#include "ring/ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT(member, text_check, must)                                                             \
    {                                                                                              \
        .name = #member, .offset = offsetof(struct rh_config_node, member), .check = (text_check), \
        .required = (must)                                                                         \
    }

static const struct rh_field fields_of_node[] = {
    TEXT(id, rh_value_check_name, true),
    TEXT(listen, rh_value_check_address, true),
    TEXT(peer, rh_value_check_address, true),
    TEXT(admin, rh_value_check_address, true),
    TEXT(zone, rh_value_check_zone, false),
    TEXT(advertise, rh_value_check_url, false),
    TEXT(peer_advertise, rh_value_check_reachable, false),
    {.name = "weight",
     .offset = offsetof(struct rh_config_node, weight_milli),
     .kind = RH_VALUE_WEIGHT,
     .max = RH_WEIGHT_MAX,
     .fallback = RH_WEIGHT_ONE},
};

static const struct rh_fields node_fields = {fields_of_node,
                                             sizeof(fields_of_node) / sizeof(fields_of_node[0])};

/* Gives |*text| the value |head| + |bound| unless it has one; what others are told must lead
 * somewhere, so a wildcard that is bound is no default. */
static int default_address(const struct rh_place *place, const char *name, const char *head,
                           const char *bound_name, const char *bound, char **text)
{
    struct rh_value_message message;
    if (*text != NULL) {
        return 0;
    }
    if (rh_value_check_reachable(bound, &message) != 0) {
        return rh_place_fail(place, name,
                             "must be given, since %s is %s, which nobody can connect to",
                             bound_name, bound);
    }
    size_t size = strlen(head) + strlen(bound) + 1;
    char *made = malloc(size);
    if (made == NULL) {
        return rh_place_fail_no_memory(place);
    }
    (void)snprintf(made, size, "%s%s", head, bound);
    *text = made;
    return 0;
}

static int complete_node(const struct rh_place *place, struct rh_config_node *node)
{
    int rv = rh_fields_check_required(place, node_fields, node);
    if (rv == 0 && node->zone == NULL) {
        node->zone = strdup("");
        rv = node->zone == NULL ? rh_place_fail_no_memory(place) : 0;
    }
    if (rv == 0) {
        rv = default_address(place, "advertise", "ws://", "listen", node->listen, &node->advertise);
    }
    if (rv == 0) {
        rv =
            default_address(place, "peer_advertise", "", "peer", node->peer, &node->peer_advertise);
    }
    return rv;
}

/* What a node binds, split once. */
struct endpoints {
    struct {
        const char *name;
        const char *text;
        char host[256];
        uint16_t port;
        bool wildcard;
        bool loopback;
    } bound[3];
    bool local; /* peers reach it by loopback: it is on the same machine as all such */
};

/* |node| has been checked field by field, so its addresses can be split. */
static void split_endpoints(const struct rh_config_node *node, struct endpoints *endpoints)
{
    const char *const texts[] = {node->listen, node->peer, node->admin};
    static const char *const names[] = {"listen", "peer", "admin"};
    for (size_t i = 0; i < 3; i++) {
        endpoints->bound[i].name = names[i];
        endpoints->bound[i].text = texts[i];
        int rv = rh_address_split(texts[i], endpoints->bound[i].host, &endpoints->bound[i].port);
        assert(rv == 0);
        endpoints->bound[i].wildcard = rh_host_is_wildcard(endpoints->bound[i].host);
        endpoints->bound[i].loopback = rh_host_is_loopback(endpoints->bound[i].host);
    }
    char host[256];
    uint16_t port;
    int rv = rh_address_split(node->peer_advertise, host, &port);
    assert(rv == 0);
    endpoints->local = rh_host_is_loopback(host);
}

/* Whether both addresses cannot be bound. On two machines, the same wildcard or loopback address
 * is as good as two. */
static bool endpoints_clash(const struct endpoints *a, size_t i, const struct endpoints *b,
                            size_t j, bool same_machine)
{
    if (a->bound[i].port != b->bound[j].port) {
        return false;
    }
    bool equal = strcasecmp(a->bound[i].host, b->bound[j].host) == 0;
    bool wildcard = a->bound[i].wildcard || b->bound[j].wildcard;
    if (same_machine) {
        return equal || wildcard;
    }
    return equal && !wildcard && !a->bound[i].loopback;
}

static int check_bound(const struct rh_place *place, const struct endpoints *own,
                       const struct endpoints *other, const char *other_id)
{
    bool same = own == other;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < (same ? i : 3); j++) {
            if (endpoints_clash(own, i, other, j, same || (own->local && other->local))) {
                return rh_place_fail(place, own->bound[i].name,
                                     "%s is taken already: %s of %s is %s", own->bound[i].text,
                                     other->bound[j].name, other_id, other->bound[j].text);
            }
        }
    }
    return 0;
}

/* Checks |node| against |other|, which stands before it. */
static int check_pair(const struct rh_place *place, const struct rh_config_node *node,
                      const struct rh_config_node *other)
{
    if (strcmp(node->id, other->id) == 0) {
        return rh_place_fail(place, "id", "`%s` is the id of another node already", node->id);
    }
    if (strcasecmp(strchr(node->advertise, '/'), strchr(other->advertise, '/')) == 0) {
        return rh_place_fail(place, "advertise", "%s leads to %s already", node->advertise,
                             other->id);
    }
    if (strcasecmp(node->peer_advertise, other->peer_advertise) == 0) {
        return rh_place_fail(place, "peer_advertise", "%s leads to %s already",
                             node->peer_advertise, other->id);
    }
    return 0;
}

static void node_place(const struct rh_place *file, const struct rh_yaml *yaml, size_t index,
                       struct rh_place *ret_place)
{
    *ret_place = *file;
    ret_place->yaml = yaml;
    (void)snprintf(ret_place->prefix, sizeof(ret_place->prefix), "nodes[%zu].", index);
}

/* The ring of all nodes must be one that can be built. */
static int check_points(const struct rh_place *file, const struct rh_config *config)
{
    uint64_t points = 0;
    for (size_t i = 0; i < config->nodes_count; i++) {
        points += ((uint64_t)config->nodes[i].weight_milli * config->ring.vnodes) / RH_WEIGHT_ONE;
    }
    if (points <= RH_RING_POINTS_MAX) {
        return 0;
    }
    return rh_place_fail(file, "nodes",
                         "the weights times ring.vnodes make %llu points, more than a ring can "
                         "have (%d); lower the weights",
                         (unsigned long long)points, RH_RING_POINTS_MAX);
}

/* Checks node |index| against itself and those before it. */
static int check_node(const struct rh_place *place, const struct rh_config *config, size_t index,
                      const struct endpoints *endpoints)
{
    const struct rh_config_node *nodes = config->nodes;
    int rv = check_bound(place, &endpoints[index], &endpoints[index], nodes[index].id);
    for (size_t i = 0; i < index && rv == 0; i++) {
        rv = check_pair(place, &nodes[index], &nodes[i]);
        if (rv == 0) {
            rv = check_bound(place, &endpoints[index], &endpoints[i], nodes[i].id);
        }
    }
    return rv;
}

int rh_nodes_check(const struct rh_place *file, const struct rh_config *config, size_t first)
{
    struct endpoints *endpoints = calloc(config->nodes_count + 1, sizeof(*endpoints));
    if (endpoints == NULL) {
        return rh_place_fail_no_memory(file);
    }
    for (size_t i = 0; i < config->nodes_count; i++) {
        split_endpoints(&config->nodes[i], &endpoints[i]);
    }
    const struct rh_yaml *list = rh_yaml_find(file->yaml, "nodes");
    const struct rh_yaml *yaml = list != NULL ? list->children : NULL;
    int rv = 0;
    for (size_t i = first; i < config->nodes_count && rv == 0; i++) {
        struct rh_place place = *file;
        if (yaml != NULL) {
            node_place(file, yaml, i, &place);
            yaml = yaml->next;
        }
        rv = check_node(&place, config, i, endpoints);
    }
    free(endpoints);
    return rv != 0 ? rv : check_points(file, config);
}

static int read_node(const struct rh_place *file, const struct rh_yaml *yaml,
                     struct rh_config *config)
{
    struct rh_place place;
    node_place(file, yaml, config->nodes_count, &place);
    if (yaml->kind != RH_YAML_MAPPING) {
        return rh_fail(file->reason, RH_ERR_INVALID,
                       "%s:%u: nodes[%zu]: a node is expected here: {id: ..., listen: ..., "
                       "peer: ..., admin: ...}",
                       file->origin, yaml->line, config->nodes_count);
    }
    struct rh_config_node *node = &config->nodes[config->nodes_count];
    config->nodes_count++;
    rh_fields_init(node_fields, node);
    int rv = rh_fields_read(&place, node_fields, node);
    return rv != 0 ? rv : complete_node(&place, node);
}

int rh_nodes_read(const struct rh_place *file, const struct rh_yaml *yaml, struct rh_config *config)
{
    size_t count = 0;
    if (yaml->kind != RH_YAML_SEQUENCE) {
        return rh_place_fail(file, yaml->key, "a list of nodes is expected here");
    }
    for (const struct rh_yaml *at = yaml->children; at != NULL; at = at->next) {
        count++;
    }
    if (count > RH_CONFIG_NODES_MAX) {
        return rh_place_fail(file, yaml->key, "more than %d nodes", RH_CONFIG_NODES_MAX);
    }
    config->nodes = calloc(count + 1, sizeof(*config->nodes));
    if (config->nodes == NULL) {
        return rh_place_fail_no_memory(file);
    }
    int rv = 0;
    for (const struct rh_yaml *at = yaml->children; at != NULL && rv == 0; at = at->next) {
        rv = read_node(file, at, config);
    }
    return rv;
}

void rh_nodes_finish(struct rh_config *config)
{
    for (size_t i = 0; i < config->nodes_count; i++) {
        rh_fields_finish(node_fields, &config->nodes[i]);
    }
    free(config->nodes);
    config->nodes = NULL;
    config->nodes_count = 0;
}

/* Copies |from| field by field, with the checks that a value in the file gets. */
static int copy_node(const struct rh_place *place, const struct rh_config_node *from,
                     struct rh_config_node *to)
{
    struct rh_config_node source = *from;
    for (size_t i = 0; i < node_fields.count; i++) {
        const struct rh_field *field = &node_fields.fields[i];
        const char *text = field->check == NULL ? NULL : *rh_field_text(field, &source);
        int rv = text == NULL ? 0 : rh_field_set_text(place, field, text, to);
        if (rv != 0) {
            return rv;
        }
    }
    to->weight_milli = from->weight_milli;
    if (to->weight_milli > RH_WEIGHT_MAX) {
        return rh_place_fail(place, "weight", "is above %u", RH_WEIGHT_MAX / RH_WEIGHT_ONE);
    }
    return complete_node(place, to);
}

int rh_config_node_add(struct rh_config *config, const struct rh_config_node *node,
                       const char *origin, struct rh_reason *reason)
{
    struct rh_place place = {.origin = origin, .reason = reason};
    struct rh_config_node copy = {0};
    if (config->nodes_count >= RH_CONFIG_NODES_MAX) {
        return rh_place_fail(&place, "id", "more than %d nodes", RH_CONFIG_NODES_MAX);
    }
    int rv = copy_node(&place, node, &copy);
    if (rv == 0 && rh_config_node_find(config, copy.id) != NULL) {
        rv = rh_fail(reason, RH_ERR_EXISTS, "%s: id: `%s` is in %s already", origin, copy.id,
                     config->path);
    }
    if (rv != 0) {
        rh_fields_finish(node_fields, &copy);
        return rv;
    }
    struct rh_config_node *nodes =
        realloc(config->nodes, (config->nodes_count + 1) * sizeof(*nodes));
    if (nodes == NULL) {
        rh_fields_finish(node_fields, &copy);
        return rh_place_fail_no_memory(&place);
    }
    config->nodes = nodes;
    nodes[config->nodes_count] = copy;
    config->nodes_count++;
    rv = rh_nodes_check(&place, config, config->nodes_count - 1);
    if (rv != 0) {
        config->nodes_count--;
        rh_fields_finish(node_fields, &copy);
    }
    return rv;
}

static char *first_of(char *flag, char *listed)
{
    return flag != NULL ? flag : listed;
}

int rh_config_node_override(struct rh_config *config, const struct rh_config_node *flags,
                            bool has_weight, const char *origin, struct rh_reason *reason)
{
    size_t index = 0;
    while (index < config->nodes_count && strcmp(config->nodes[index].id, flags->id) != 0) {
        index++;
    }
    if (index == config->nodes_count) {
        return rh_fail(reason, RH_ERR_NOT_FOUND, "%s: there is no node %s", config->path,
                       flags->id);
    }
    struct rh_config_node listed = config->nodes[index];
    const struct rh_config_node merged = {
        .id = listed.id,
        .listen = first_of(flags->listen, listed.listen),
        .peer = first_of(flags->peer, listed.peer),
        .admin = first_of(flags->admin, listed.admin),
        .zone = first_of(flags->zone, listed.zone),
        .advertise = first_of(flags->advertise, flags->listen == NULL ? listed.advertise : NULL),
        .peer_advertise =
            first_of(flags->peer_advertise, flags->peer == NULL ? listed.peer_advertise : NULL),
        .weight_milli = has_weight ? flags->weight_milli : listed.weight_milli,
    };
    /* The entry steps aside, so that the new one is checked against all others but not it. */
    config->nodes_count--;
    config->nodes[index] = config->nodes[config->nodes_count];
    int rv = rh_config_node_add(config, &merged, origin, reason);
    if (rv != 0) {
        config->nodes[config->nodes_count] = listed;
        config->nodes_count++;
        return rv;
    }
    rh_fields_finish(node_fields, &listed);
    return 0;
}
