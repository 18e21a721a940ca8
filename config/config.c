/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/buffer.h"
#include "base/units.h"
#include "config/value.h"
#include "config/yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/*
 * The file as tables: what a field is called, where its value goes, what it may be.
 * docs/operations.md says the same in words; a test compares the two.
 */
struct field {
    const char *name;
    size_t offset;         /* in the struct that the section fills */
    rh_value_check *check; /* of a text (a char *); NULL for an amount */
    enum rh_value_kind kind;
    uint64_t min;
    uint64_t max;
    uint64_t fallback; /* of an amount that is not given */
    bool required;
};

struct section {
    const char *name;
    const struct field *fields;
    size_t fields_count;
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define TEXT(type, member, text_check, must)                                      \
    {                                                                             \
        .name = #member, .offset = offsetof(type, member), .check = (text_check), \
        .required = (must)                                                        \
    }

#define AMOUNT(label, member, value_kind, low, high, otherwise)                              \
    {                                                                                        \
        .name = (label), .offset = offsetof(struct rh_config, member), .kind = (value_kind), \
        .min = (low), .max = (high), .fallback = (otherwise)                                 \
    }

#define SECONDS(n) ((n)*UINT64_C(1000))
#define MINUTES(n) SECONDS((n)*UINT64_C(60))
#define HOURS(n)   MINUTES((n)*UINT64_C(60))
#define KIB(n)     ((n)*UINT64_C(1024))
#define MIB(n)     KIB((n)*UINT64_C(1024))
#define GIB(n)     MIB((n)*UINT64_C(1024))

static const struct field top_fields[] = {
    TEXT(struct rh_config, cluster, rh_value_check_name, true),
};

static const struct field zookeeper_fields[] = {
    {.name = "servers",
     .offset = offsetof(struct rh_config, zookeeper.servers),
     .check = rh_value_check_servers,
     .required = true},
    AMOUNT("session_timeout", zookeeper.session_timeout_ms, RH_VALUE_DURATION, SECONDS(1),
           MINUTES(10), SECONDS(4)),
};

static const struct field ring_fields[] = {
    AMOUNT("vnodes", ring.vnodes, RH_VALUE_COUNT, 1, 65536, 512),
    AMOUNT("replicas", ring.replicas, RH_VALUE_COUNT, 1, 16, 2),
    AMOUNT("seed", ring.seed, RH_VALUE_NUMBER, 0, UINT64_MAX, 0),
};

static const struct field limits_fields[] = {
    AMOUNT("log_messages", limits.log_messages, RH_VALUE_COUNT, 1, 1000000, 1000),
    AMOUNT("log_bytes", limits.log_bytes, RH_VALUE_SIZE, KIB(1), GIB(1), MIB(1)),
    AMOUNT("log_age", limits.log_age_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1000), HOURS(1)),
    AMOUNT("channel_idle", limits.channel_idle_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1000),
           HOURS(1)),
    AMOUNT("channels", limits.channels, RH_VALUE_COUNT, 1, 100000000, 1000000),
    AMOUNT("message_bytes", limits.message_bytes, RH_VALUE_SIZE, 1, MIB(16), KIB(64)),
    AMOUNT("connections", limits.connections, RH_VALUE_COUNT, 1, 10000000, 200000),
    AMOUNT("dedup_age", limits.dedup_age_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1000),
           MINUTES(5)),
    AMOUNT("send_queue", limits.send_queue_bytes, RH_VALUE_SIZE, KIB(4), GIB(1), MIB(1)),
    AMOUNT("header_bytes", limits.header_bytes, RH_VALUE_SIZE_32, KIB(4), MIB(1), KIB(16)),
    AMOUNT("header_count", limits.header_count, RH_VALUE_COUNT, 16, 1024, 64),
    AMOUNT("header_timeout", limits.header_timeout_ms, RH_VALUE_DURATION, 100, MINUTES(10),
           SECONDS(10)),
    AMOUNT("body_timeout", limits.body_timeout_ms, RH_VALUE_DURATION, 100, MINUTES(10),
           SECONDS(30)),
    AMOUNT("idle_timeout", limits.idle_timeout_ms, RH_VALUE_DURATION, 100, HOURS(24), SECONDS(60)),
};

static const struct field heartbeat_fields[] = {
    AMOUNT("interval", heartbeat.interval_ms, RH_VALUE_DURATION, 100, HOURS(24), SECONDS(25)),
    AMOUNT("timeout", heartbeat.timeout_ms, RH_VALUE_DURATION, 100, HOURS(24), SECONDS(60)),
};

static const struct field rebalance_fields[] = {
    AMOUNT("channels_per_second", rebalance.channels_per_second, RH_VALUE_COUNT, 1, 1000000, 2000),
    AMOUNT("in_flight", rebalance.in_flight, RH_VALUE_COUNT, 1, 65536, 64),
    AMOUNT("moved_linger", rebalance.moved_linger_ms, RH_VALUE_DURATION, 0, MINUTES(10),
           SECONDS(5)),
};

static const struct section sections[] = {
    {"zookeeper", zookeeper_fields, COUNT_OF(zookeeper_fields)},
    {"ring", ring_fields, COUNT_OF(ring_fields)},
    {"limits", limits_fields, COUNT_OF(limits_fields)},
    {"heartbeat", heartbeat_fields, COUNT_OF(heartbeat_fields)},
    {"rebalance", rebalance_fields, COUNT_OF(rebalance_fields)},
};

static const struct field node_fields[] = {
    TEXT(struct rh_config_node, id, rh_value_check_name, true),
    TEXT(struct rh_config_node, listen, rh_value_check_address, true),
    TEXT(struct rh_config_node, peer, rh_value_check_address, true),
    TEXT(struct rh_config_node, admin, rh_value_check_address, true),
    TEXT(struct rh_config_node, zone, rh_value_check_zone, false),
    TEXT(struct rh_config_node, advertise, rh_value_check_url, false),
    TEXT(struct rh_config_node, peer_advertise, rh_value_check_reachable, false),
    {.name = "weight",
     .offset = offsetof(struct rh_config_node, weight_milli),
     .kind = RH_VALUE_WEIGHT,
     .max = RH_WEIGHT_MAX,
     .fallback = RH_WEIGHT_ONE},
};

/* Where a group of fields stands, for messages. */
struct place {
    const char *origin;         /* file, or what stands for it */
    const struct rh_yaml *yaml; /* the group in the file; NULL when it is not from one */
    char prefix[32];            /* "limits.", "nodes[3].", "" */
    struct rh_reason *reason;
};

static int fail(const struct place *place, const char *name, const char *format, ...)
    RH_PRINTF(3, 4);

/* "FILE:LINE: field: ...", with the line of the field, or of its group when it is not there. */
static int fail(const struct place *place, const char *name, const char *format, ...)
{
    char text[RH_REASON_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct rh_yaml *yaml = rh_yaml_find(place->yaml, name);
    if (yaml == NULL) {
        yaml = place->yaml;
    }
    char line[16] = "";
    if (yaml != NULL) {
        (void)snprintf(line, sizeof(line), ":%u", yaml->line);
    }
    return rh_fail(place->reason, RH_ERR_INVALID, "%s%s: %s%s: %s", place->origin, line,
                   place->prefix, name, text);
}

static int fail_no_memory(const struct place *place)
{
    return rh_fail(place->reason, RH_ERR_NO_MEMORY, "%s: %s", place->origin,
                   rh_error_text(RH_ERR_NO_MEMORY));
}

/* --- Storing ---------------------------------------------------------------------------------- */

static char **text_at(const struct field *field, void *target)
{
    return (char **)(void *)((char *)target + field->offset);
}

static void store_amount(const struct field *field, void *target, uint64_t value)
{
    char *at = (char *)target + field->offset;
    if (field->kind == RH_VALUE_NUMBER || field->kind == RH_VALUE_SIZE) {
        memcpy(at, &value, sizeof(value));
    } else {
        uint32_t small = (uint32_t)value;
        memcpy(at, &small, sizeof(small));
    }
}

static void store_fallbacks(const struct field *fields, size_t count, void *target)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].check == NULL) {
            store_amount(&fields[i], target, fields[i].fallback);
        }
    }
}

/* --- Reading ---------------------------------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to add, drop or change to make |b| of |a|; SIZE_MAX for long names. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[32];
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    if (a_size >= COUNT_OF(row) || b_size >= COUNT_OF(row)) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_size; j++) {
            size_t changed = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = smaller(changed, smaller(row[j], row[j + 1]) + 1);
        }
    }
    return row[b_size];
}

/* Tells of a field that nobody knows, and of the one that was probably meant. */
static int fail_unknown(const struct place *place, const char *name, const char *const known[],
                        size_t known_count)
{
    size_t best = 3; /* more letters wrong than that is another word */
    const char *meant = NULL;
    for (size_t i = 0; i < known_count; i++) {
        size_t distance = edit_distance(name, known[i]);
        if (distance < best) {
            best = distance;
            meant = known[i];
        }
    }
    char shown[41];
    (void)snprintf(shown, sizeof(shown), "%s", name);
    for (char *at = shown; *at != '\0'; at++) {
        *at = *at >= 0x20 && *at < 0x7f ? *at : '?';
    }
    const struct rh_yaml *yaml = rh_yaml_find(place->yaml, name);
    return rh_fail(place->reason, RH_ERR_INVALID, "%s:%u: %s%s: unknown field%s%s%s", place->origin,
                   yaml != NULL ? yaml->line : 1, place->prefix, shown,
                   meant != NULL ? " (do you mean `" : "", meant != NULL ? meant : "",
                   meant != NULL ? "`?)" : "");
}

/* The scalar of a field, or NULL after telling what is wrong with it. */
static const char *scalar_text(const struct place *place, const struct rh_yaml *yaml)
{
    if (yaml->kind != RH_YAML_SCALAR) {
        (void)fail(place, yaml->key, "a single value is expected here, not a %s",
                   yaml->kind == RH_YAML_MAPPING ? "mapping" : "list");
        return NULL;
    }
    if (yaml->plain && (yaml->text[0] == '\0' || strcmp(yaml->text, "~") == 0 ||
                        strcmp(yaml->text, "null") == 0)) {
        (void)fail(place, yaml->key, "has no value; give it one or leave the field out");
        return NULL;
    }
    return yaml->text;
}

static int read_field(const struct place *place, const struct field *field,
                      const struct rh_yaml *yaml, void *target)
{
    const char *text = scalar_text(place, yaml);
    if (text == NULL) {
        return RH_ERR_INVALID;
    }
    struct rh_value_message message;
    if (field->check != NULL) {
        if (field->check(text, &message) != 0) {
            return fail(place, field->name, "%s", message.text);
        }
        char *copy = strdup(text);
        if (copy == NULL) {
            return fail_no_memory(place);
        }
        *text_at(field, target) = copy;
        return 0;
    }
    bool unit = field->kind == RH_VALUE_DURATION || field->kind == RH_VALUE_SIZE ||
                field->kind == RH_VALUE_SIZE_32;
    if (!unit && !yaml->plain) {
        return fail(place, field->name, "a number is expected here, without quotes");
    }
    uint64_t value;
    if (rh_value_parse(field->kind, text, field->min, field->max, &value, &message) != 0) {
        return fail(place, field->name, "%s", message.text);
    }
    store_amount(field, target, value);
    return 0;
}

/* Refuses a second |child->key| in the same mapping. */
static int check_single(const struct place *place, const struct rh_yaml *child)
{
    const struct rh_yaml *first = rh_yaml_find(place->yaml, child->key);
    if (first == child) {
        return 0;
    }
    return rh_fail(place->reason, RH_ERR_INVALID, "%s:%u: %s%s: given twice, first in line %u",
                   place->origin, child->line, place->prefix, child->key, first->line);
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static int fail_unknown_field(const struct place *place, const char *name,
                              const struct field *fields, size_t count)
{
    const char *known[COUNT_OF(limits_fields)]; /* the longest table */
    for (size_t i = 0; i < count; i++) {
        known[i] = fields[i].name;
    }
    return fail_unknown(place, name, known, count);
}

/* Reads the mapping at |place| into |target|. Sections within sections do not occur. */
static int read_fields(const struct place *place, const struct field *fields, size_t count,
                       void *target)
{
    for (const struct rh_yaml *child = place->yaml->children; child != NULL; child = child->next) {
        const struct field *field = find_field(fields, count, child->key);
        if (field == NULL) {
            return fail_unknown_field(place, child->key, fields, count);
        }
        int rv = check_single(place, child);
        if (rv == 0) {
            rv = read_field(place, field, child, target);
        }
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

static int check_required(const struct place *place, const struct field *fields, size_t count,
                          void *target)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required && *text_at(&fields[i], target) == NULL) {
            return fail(place, fields[i].name, "must be given");
        }
    }
    return 0;
}

/* --- Nodes ------------------------------------------------------------------------------------ */

static void finish_node(struct rh_config_node *node)
{
    for (size_t i = 0; i < COUNT_OF(node_fields); i++) {
        if (node_fields[i].check != NULL) {
            free(*text_at(&node_fields[i], node));
        }
    }
}

/* Gives |*text| the value |head| + |tail| unless it has one; what others are told must lead
 * somewhere, so a wildcard that was bound is no default. */
static int default_address(const struct place *place, const char *name, const char *head,
                           const char *bound_name, const char *bound, char **text)
{
    struct rh_value_message message;
    if (*text != NULL) {
        return 0;
    }
    if (rh_value_check_reachable(bound, &message) != 0) {
        return fail(place, name, "must be given, since %s is %s, which nobody can connect to",
                    bound_name, bound);
    }
    return asprintf(text, "%s%s", head, bound) < 0 ? (*text = NULL, fail_no_memory(place)) : 0;
}

static int complete_node(const struct place *place, struct rh_config_node *node)
{
    int rv = check_required(place, node_fields, COUNT_OF(node_fields), node);
    if (rv == 0 && node->zone == NULL) {
        node->zone = strdup("");
        rv = node->zone == NULL ? fail_no_memory(place) : 0;
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

static int split_endpoints(const struct rh_config_node *node, struct endpoints *endpoints)
{
    char host[256];
    uint16_t port;
    const char *const texts[] = {node->listen, node->peer, node->admin};
    static const char *const names[] = {"listen", "peer", "admin"};
    for (size_t i = 0; i < 3; i++) {
        endpoints->bound[i].name = names[i];
        endpoints->bound[i].text = texts[i];
        int rv = rh_address_split(texts[i], endpoints->bound[i].host, &endpoints->bound[i].port);
        if (rv != 0) {
            return rv;
        }
        endpoints->bound[i].wildcard = rh_host_is_wildcard(endpoints->bound[i].host);
        endpoints->bound[i].loopback = rh_host_is_loopback(endpoints->bound[i].host);
    }
    int rv = rh_address_split(node->peer_advertise, host, &port);
    endpoints->local = rv == 0 && rh_host_is_loopback(host);
    return rv;
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

static int check_bound(const struct place *place, const struct endpoints *own,
                       const struct endpoints *other, const char *other_id)
{
    bool same = own == other;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < (same ? i : 3); j++) {
            if (endpoints_clash(own, i, other, j, same || (own->local && other->local))) {
                return fail(place, own->bound[i].name, "%s is taken already: %s of %s is %s",
                            own->bound[i].text, other->bound[j].name, other_id,
                            other->bound[j].text);
            }
        }
    }
    return 0;
}

/* Checks |node| against |other|, which stands before it. */
static int check_pair(const struct place *place, const struct rh_config_node *node,
                      const struct rh_config_node *other)
{
    if (strcmp(node->id, other->id) == 0) {
        return fail(place, "id", "`%s` is the id of another node already", node->id);
    }
    if (strcasecmp(strchr(node->advertise, '/'), strchr(other->advertise, '/')) == 0) {
        return fail(place, "advertise", "%s leads to %s already", node->advertise, other->id);
    }
    if (strcasecmp(node->peer_advertise, other->peer_advertise) == 0) {
        return fail(place, "peer_advertise", "%s leads to %s already", node->peer_advertise,
                    other->id);
    }
    return 0;
}

static void node_place(const struct place *top, const struct rh_yaml *yaml, size_t index,
                       struct place *ret_place)
{
    *ret_place = *top;
    ret_place->yaml = yaml;
    (void)snprintf(ret_place->prefix, sizeof(ret_place->prefix), "nodes[%zu].", index);
}

/* Checks the nodes from |first| on against those before them. |top| is the place of the file. */
static int check_nodes(const struct place *top, const struct rh_config *config, size_t first)
{
    struct endpoints *endpoints = calloc(config->nodes_count + 1, sizeof(*endpoints));
    if (endpoints == NULL) {
        return fail_no_memory(top);
    }
    int rv = 0;
    for (size_t i = 0; i < config->nodes_count && rv == 0; i++) {
        rv = split_endpoints(&config->nodes[i], &endpoints[i]);
    }
    const struct rh_yaml *nodes = rh_yaml_find(top->yaml, "nodes");
    const struct rh_yaml *yaml = nodes != NULL ? nodes->children : NULL;
    for (size_t i = first; i < config->nodes_count && rv == 0; i++) {
        struct place place = *top;
        if (nodes != NULL) {
            node_place(top, yaml, i, &place);
            yaml = yaml->next;
        }
        rv = check_bound(&place, &endpoints[i], &endpoints[i], config->nodes[i].id);
        for (size_t j = 0; j < i && rv == 0; j++) {
            rv = check_pair(&place, &config->nodes[i], &config->nodes[j]);
            if (rv == 0) {
                rv = check_bound(&place, &endpoints[i], &endpoints[j], config->nodes[j].id);
            }
        }
    }
    free(endpoints);
    return rv;
}

static int read_nodes(const struct place *top, const struct rh_yaml *nodes,
                      struct rh_config *config)
{
    size_t count = 0;
    if (nodes->kind != RH_YAML_SEQUENCE) {
        return fail(top, "nodes", "a list of nodes is expected here");
    }
    for (const struct rh_yaml *at = nodes->children; at != NULL; at = at->next) {
        count++;
    }
    if (count > RH_CONFIG_NODES_MAX) {
        return fail(top, "nodes", "more than %d nodes", RH_CONFIG_NODES_MAX);
    }
    config->nodes = calloc(count + 1, sizeof(*config->nodes));
    if (config->nodes == NULL) {
        return fail_no_memory(top);
    }
    for (const struct rh_yaml *at = nodes->children; at != NULL; at = at->next) {
        struct place place;
        node_place(top, at, config->nodes_count, &place);
        if (at->kind != RH_YAML_MAPPING) {
            return rh_fail(top->reason, RH_ERR_INVALID,
                           "%s:%u: nodes[%zu]: a node is expected here: {id: ..., listen: ..., "
                           "peer: ..., admin: ...}",
                           top->origin, at->line, config->nodes_count);
        }
        struct rh_config_node *node = &config->nodes[config->nodes_count];
        config->nodes_count++;
        store_fallbacks(node_fields, COUNT_OF(node_fields), node);
        int rv = read_fields(&place, node_fields, COUNT_OF(node_fields), node);
        if (rv == 0) {
            rv = complete_node(&place, node);
        }
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

/* --- The whole file --------------------------------------------------------------------------- */

static struct place section_place(const struct place *top, const char *name)
{
    struct place place = *top;
    place.yaml = rh_yaml_find(top->yaml, name);
    if (place.yaml == NULL) {
        place.yaml = top->yaml;
    }
    (void)snprintf(place.prefix, sizeof(place.prefix), "%s.", name);
    return place;
}

static const struct section *find_section(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        if (strcmp(sections[i].name, name) == 0) {
            return &sections[i];
        }
    }
    return NULL;
}

static int fail_unknown_section(const struct place *top, const char *name)
{
    const char *known[COUNT_OF(sections) + 2] = {"cluster", "nodes"};
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        known[i + 2] = sections[i].name;
    }
    return fail_unknown(top, name, known, COUNT_OF(known));
}

static int read_top(const struct place *top, const struct rh_yaml *child, struct rh_config *config)
{
    const struct field *field = find_field(top_fields, COUNT_OF(top_fields), child->key);
    if (field != NULL) {
        return read_field(top, field, child, config);
    }
    if (strcmp(child->key, "nodes") == 0) {
        return read_nodes(top, child, config);
    }
    const struct section *section = find_section(child->key);
    if (section == NULL) {
        return fail_unknown_section(top, child->key);
    }
    if (child->kind != RH_YAML_MAPPING) {
        return fail(top, child->key, "fields with values are expected here: {%s: ...}",
                    section->fields[0].name);
    }
    struct place place = section_place(top, section->name);
    return read_fields(&place, section->fields, section->fields_count, config);
}

/* What no single field can tell. */
static int check_together(const struct place *top, const struct rh_config *config)
{
    struct place limits = section_place(top, "limits");
    struct place heartbeat = section_place(top, "heartbeat");
    if (config->limits.message_bytes > config->limits.log_bytes) {
        return fail(&limits, "message_bytes",
                    "is larger than log_bytes (%llu bytes), so a message would not fit in a log",
                    (unsigned long long)config->limits.log_bytes);
    }
    uint64_t largest = rh_config_message_size_max(config);
    if (config->limits.send_queue_bytes < largest) {
        return fail(&limits, "send_queue",
                    "must be at least %llu B, so that a message of message_bytes fits in it in its "
                    "longest JSON form",
                    (unsigned long long)largest);
    }
    if (config->heartbeat.timeout_ms <= config->heartbeat.interval_ms) {
        return fail(&heartbeat, "timeout",
                    "must be longer than interval (%u ms), or idle clients are dropped",
                    config->heartbeat.interval_ms);
    }
    return 0;
}

static int read_file(const struct place *top, struct rh_config *config)
{
    if (top->yaml->kind != RH_YAML_MAPPING) {
        return rh_fail(top->reason, RH_ERR_INVALID,
                       "%s:%u: fields with values are expected: `cluster: demo` and so on",
                       top->origin, top->yaml->line);
    }
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        store_fallbacks(sections[i].fields, sections[i].fields_count, config);
    }
    int rv = 0;
    for (const struct rh_yaml *child = top->yaml->children; child != NULL && rv == 0;
         child = child->next) {
        rv = check_single(top, child);
        if (rv == 0) {
            rv = read_top(top, child, config);
        }
    }
    if (rv == 0) {
        rv = check_required(top, top_fields, COUNT_OF(top_fields), config);
    }
    if (rv == 0) {
        struct place zookeeper = section_place(top, "zookeeper");
        rv = check_required(&zookeeper, zookeeper_fields, 1, config);
    }
    if (rv == 0) {
        rv = check_together(top, config);
    }
    return rv != 0 ? rv : check_nodes(top, config, 0);
}

int rh_config_parse(const char *text, size_t text_size, const char *name,
                    struct rh_config *ret_config, struct rh_reason *reason)
{
    struct place top = {.origin = name, .reason = reason};
    if (text_size > RH_CONFIG_FILE_SIZE_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: larger than %d bytes", name,
                       RH_CONFIG_FILE_SIZE_MAX);
    }
    struct rh_yaml *root;
    int rv = rh_yaml_parse(rh_bytes(text, text_size), name, &root, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_config config = {.path = strdup(name)};
    top.yaml = root;
    rv = config.path == NULL ? fail_no_memory(&top) : read_file(&top, &config);
    rh_yaml_destroy(root);
    if (rv != 0) {
        rh_config_finish(&config);
        return rv;
    }
    *ret_config = config;
    return 0;
}

/* Reads |fd| to its end, or one byte beyond the limit. */
static int read_all(int fd, struct rh_buffer *buffer)
{
    while (rh_buffer_size(buffer) <= RH_CONFIG_FILE_SIZE_MAX) {
        size_t room_size = 16384;
        char *room = rh_buffer_reserve(buffer, room_size);
        if (room == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        ssize_t size = read(fd, room, room_size);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return RH_ERR_IO;
        }
        if (size == 0) {
            return 0;
        }
        rh_buffer_commit(buffer, (size_t)size);
    }
    return 0;
}

int rh_config_load(const char *path, struct rh_config *ret_config, struct rh_reason *reason)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int code = errno == ENOENT ? RH_ERR_NOT_FOUND : RH_ERR_IO;
        return rh_fail(reason, code, "%s: cannot be read: %s", path, strerror(errno));
    }
    struct rh_buffer buffer = {0};
    int rv = read_all(fd, &buffer);
    if (rv == RH_ERR_IO) {
        (void)rh_fail(reason, rv, "%s: cannot be read: %s", path, strerror(errno));
    } else if (rv != 0) {
        (void)rh_fail(reason, rv, "%s: %s", path, rh_error_text(rv));
    }
    (void)close(fd);
    if (rv == 0) {
        struct rh_bytes text = rh_buffer_content(&buffer);
        rv = rh_config_parse(text.data, text.size, path, ret_config, reason);
    }
    rh_buffer_finish(&buffer);
    return rv;
}

void rh_config_finish(struct rh_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->nodes_count; i++) {
        finish_node(&config->nodes[i]);
    }
    free(config->nodes);
    free(config->cluster);
    free(config->zookeeper.servers);
    free(config->path);
    *config = (struct rh_config){0};
}

const struct rh_config_node *rh_config_node_find(const struct rh_config *config, const char *id)
{
    for (size_t i = 0; i < config->nodes_count; i++) {
        if (strcmp(config->nodes[i].id, id) == 0) {
            return &config->nodes[i];
        }
    }
    return NULL;
}

uint64_t rh_config_message_size_max(const struct rh_config *config)
{
    return 6 * config->limits.message_bytes + KIB(1);
}

/* Copies |from| field by field, with the checks that a value in the file gets. */
static int copy_node(const struct place *place, const struct rh_config_node *from,
                     struct rh_config_node *to)
{
    struct rh_config_node source = *from;
    for (size_t i = 0; i < COUNT_OF(node_fields); i++) {
        const struct field *field = &node_fields[i];
        if (field->check == NULL) {
            continue;
        }
        const char *text = *text_at(field, &source);
        if (text == NULL) {
            continue;
        }
        struct rh_value_message message;
        if (field->check(text, &message) != 0) {
            return fail(place, field->name, "%s", message.text);
        }
        char *copy = strdup(text);
        if (copy == NULL) {
            return fail_no_memory(place);
        }
        *text_at(field, to) = copy;
    }
    to->weight_milli = from->weight_milli;
    if (to->weight_milli > RH_WEIGHT_MAX) {
        return fail(place, "weight", "is above %u", RH_WEIGHT_MAX / RH_WEIGHT_ONE);
    }
    return complete_node(place, to);
}

int rh_config_node_add(struct rh_config *config, const struct rh_config_node *node,
                       const char *origin, struct rh_reason *reason)
{
    struct place place = {.origin = origin, .reason = reason};
    struct rh_config_node copy = {0};
    if (config->nodes_count >= RH_CONFIG_NODES_MAX) {
        return fail(&place, "id", "more than %d nodes", RH_CONFIG_NODES_MAX);
    }
    int rv = copy_node(&place, node, &copy);
    if (rv == 0 && rh_config_node_find(config, copy.id) != NULL) {
        rv = rh_fail(reason, RH_ERR_EXISTS, "%s: id: `%s` is in %s already", origin, copy.id,
                     config->path);
    }
    if (rv != 0) {
        finish_node(&copy);
        return rv;
    }
    struct rh_config_node *nodes =
        realloc(config->nodes, (config->nodes_count + 1) * sizeof(*nodes));
    if (nodes == NULL) {
        finish_node(&copy);
        return fail_no_memory(&place);
    }
    config->nodes = nodes;
    nodes[config->nodes_count] = copy;
    config->nodes_count++;
    rv = check_nodes(&place, config, config->nodes_count - 1);
    if (rv != 0) {
        config->nodes_count--;
        finish_node(&copy);
    }
    return rv;
}
