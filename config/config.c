/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/buffer.h"
#include "config/nodes.h"
#include "config/reader.h"
#include "ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The file as tables. docs/operations.md says the same in words, and a test compares the two.
 */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

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

#define CHANNELS_MAX        UINT64_C(100000000)
#define CHANNEL_CLIENTS_MAX 1000 /* a list is one message between nodes: RH_PEER_PRESENT_MAX */
#define COPIES_MAX          (CHANNELS_MAX * RH_RING_REPLICAS_MAX)

/* The first line of each group is what must be given, if anything. */
static const struct rh_field top_fields[] = {
    {.name = "cluster",
     .offset = offsetof(struct rh_config, cluster),
     .check = rh_value_check_name,
     .required = true},
    {.name = "route", .offset = offsetof(struct rh_config, route), .check = rh_value_check_route},
};

static const struct rh_field zookeeper_fields[] = {
    {.name = "servers",
     .offset = offsetof(struct rh_config, zookeeper.servers),
     .check = rh_value_check_servers,
     .required = true},
    AMOUNT("session_timeout", zookeeper.session_timeout_ms, RH_VALUE_DURATION, SECONDS(1),
           MINUTES(10), SECONDS(4)),
};

static const struct rh_field ring_fields[] = {
    AMOUNT("vnodes", ring.vnodes, RH_VALUE_COUNT, 1, RH_RING_VNODES_MAX, 512),
    AMOUNT("replicas", ring.replicas, RH_VALUE_COUNT, 1, RH_RING_REPLICAS_MAX, 2),
    AMOUNT("seed", ring.seed, RH_VALUE_NUMBER, 0, UINT64_MAX, 0),
};

static const struct rh_field limits_fields[] = {
    AMOUNT("log_messages", limits.log_messages, RH_VALUE_COUNT, 1, 1000000, 1000),
    AMOUNT("log_bytes", limits.log_bytes, RH_VALUE_SIZE, KIB(1), GIB(1), MIB(1)),
    AMOUNT("log_age", limits.log_age_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1000), HOURS(1)),
    AMOUNT("channel_idle", limits.channel_idle_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1000),
           HOURS(1)),
    AMOUNT("channels", limits.channels, RH_VALUE_COUNT, 1, CHANNELS_MAX, 1000000),
    AMOUNT("copies", limits.copies, RH_VALUE_COUNT, 1, COPIES_MAX, 0),
    AMOUNT("message_bytes", limits.message_bytes, RH_VALUE_SIZE, 1, MIB(16), KIB(64)),
    AMOUNT("state_bytes", limits.state_bytes, RH_VALUE_SIZE, 1, MIB(16), KIB(64)),
    AMOUNT("connections", limits.connections, RH_VALUE_COUNT, 1, 10000000, 200000),
    AMOUNT("relayed", limits.relayed, RH_VALUE_COUNT, 1, 10000000, 0),
    AMOUNT("dedup_age", limits.dedup_age_ms, RH_VALUE_DURATION, SECONDS(60), HOURS(1000),
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

static const struct rh_field heartbeat_fields[] = {
    AMOUNT("interval", heartbeat.interval_ms, RH_VALUE_DURATION, 100, HOURS(24), SECONDS(25)),
    AMOUNT("timeout", heartbeat.timeout_ms, RH_VALUE_DURATION, 100, HOURS(24), SECONDS(60)),
};

static const struct rh_field compression_fields[] = {
    AMOUNT("level", compression.level, RH_VALUE_COUNT, 0, 9, 0),
    AMOUNT("window_bits", compression.window_bits, RH_VALUE_COUNT, 9, 15, 15),
    AMOUNT("threshold", compression.threshold, RH_VALUE_SIZE_32, 0, MIB(16), 256),
};

static const struct rh_field rebalance_fields[] = {
    AMOUNT("channels_per_second", rebalance.channels_per_second, RH_VALUE_COUNT, 1, 1000000, 2000),
    AMOUNT("in_flight", rebalance.in_flight, RH_VALUE_COUNT, 1, 65536, 64),
    AMOUNT("moved_linger", rebalance.moved_linger_ms, RH_VALUE_DURATION, 0, MINUTES(10),
           SECONDS(5)),
    AMOUNT("drain_timeout", rebalance.drain_timeout_ms, RH_VALUE_DURATION, 0, HOURS(24),
           SECONDS(30)),
};

static const struct rh_field presence_fields[] = {
    AMOUNT("grace", presence.grace_ms, RH_VALUE_DURATION, SECONDS(1), HOURS(1), SECONDS(10)),
    AMOUNT("clients", presence.clients, RH_VALUE_COUNT, 1, 10000000, 100000),
    AMOUNT("channel_clients", presence.channel_clients, RH_VALUE_COUNT, 1, CHANNEL_CLIENTS_MAX,
           CHANNEL_CLIENTS_MAX),
};

static const struct rh_fields top = {top_fields, COUNT_OF(top_fields)};

static const struct section {
    const char *name;
    struct rh_fields fields;
} sections[] = {
    {"zookeeper", {zookeeper_fields, COUNT_OF(zookeeper_fields)}},
    {"ring", {ring_fields, COUNT_OF(ring_fields)}},
    {"limits", {limits_fields, COUNT_OF(limits_fields)}},
    {"heartbeat", {heartbeat_fields, COUNT_OF(heartbeat_fields)}},
    {"compression", {compression_fields, COUNT_OF(compression_fields)}},
    {"rebalance", {rebalance_fields, COUNT_OF(rebalance_fields)}},
    {"presence", {presence_fields, COUNT_OF(presence_fields)}},
};

/* The place of a section; of the whole file when the section is not there. */
static struct rh_place section_place(const struct rh_place *file, const char *name)
{
    struct rh_place place = *file;
    place.yaml = rh_yaml_find(file->yaml, name);
    if (place.yaml == NULL) {
        place.yaml = file->yaml;
    }
    (void)snprintf(place.prefix, sizeof(place.prefix), "%s.", name);
    return place;
}

static int fail_unknown_section(const struct rh_place *file, const char *name)
{
    const char *known[COUNT_OF(sections) + 3] = {"cluster", "route", "nodes"};
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        known[i + 3] = sections[i].name;
    }
    return rh_place_fail_unknown(file, name, known, COUNT_OF(known));
}

/* Reads one thing at the top of the file: a field, a section or the list of nodes. */
static int read_top(const struct rh_place *file, const struct rh_yaml *child,
                    struct rh_config *config)
{
    const struct rh_field *field = rh_fields_find(top, child->key);
    if (field != NULL) {
        return rh_field_read(file, field, child, config);
    }
    if (strcmp(child->key, "nodes") == 0) {
        return rh_nodes_read(file, child, config);
    }
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        if (strcmp(sections[i].name, child->key) != 0) {
            continue;
        }
        if (child->kind != RH_YAML_MAPPING) {
            return rh_place_fail(file, child->key, "fields are expected here: {%s: ...}",
                                 sections[i].fields.fields[0].name);
        }
        struct rh_place place = section_place(file, child->key);
        return rh_fields_read(&place, sections[i].fields, config);
    }
    return fail_unknown_section(file, child->key);
}

static int check_required(const struct rh_place *file, struct rh_config *config)
{
    int rv = rh_fields_check_required(file, top, config);
    for (size_t i = 0; i < COUNT_OF(sections) && rv == 0; i++) {
        struct rh_place place = section_place(file, sections[i].name);
        rv = rh_fields_check_required(&place, sections[i].fields, config);
    }
    return rv;
}

/* Defaults that follow from other fields. */
static int complete(const struct rh_place *file, struct rh_config *config)
{
    if (config->limits.relayed == 0) {
        config->limits.relayed = config->limits.connections;
    }
    if (config->limits.copies == 0) {
        config->limits.copies = config->limits.channels * config->ring.replicas;
    }
    if (config->route == NULL) {
        config->route = strdup("redirect");
    }
    return config->route == NULL ? rh_place_fail_no_memory(file) : 0;
}

/* What no single field can tell. */
static int check_together(const struct rh_place *file, const struct rh_config *config)
{
    struct rh_place limits = section_place(file, "limits");
    struct rh_place heartbeat = section_place(file, "heartbeat");
    if (config->limits.message_bytes > config->limits.log_bytes) {
        return rh_place_fail(
            &limits, "message_bytes",
            "is larger than log_bytes (%llu bytes), so a message would not fit in a log",
            (unsigned long long)config->limits.log_bytes);
    }
    uint64_t largest = rh_config_message_size_max(config);
    if (config->limits.send_queue_bytes < largest) {
        return rh_place_fail(
            &limits, "send_queue",
            "must be at least %lluB, so that a message of message_bytes fits in it in its "
            "longest JSON form",
            (unsigned long long)largest);
    }
    if (config->heartbeat.timeout_ms <= config->heartbeat.interval_ms) {
        return rh_place_fail(&heartbeat, "timeout",
                             "must be longer than interval (%ums), or idle clients are dropped",
                             config->heartbeat.interval_ms);
    }
    return 0;
}

static int read_file(const struct rh_place *file, struct rh_config *config)
{
    if (file->yaml->kind != RH_YAML_MAPPING) {
        return rh_fail(file->reason, RH_ERR_INVALID,
                       "%s:%u: fields are expected: `cluster: demo` and so on", file->origin,
                       file->yaml->line);
    }
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        rh_fields_init(sections[i].fields, config);
    }
    int rv = 0;
    for (const struct rh_yaml *child = file->yaml->children; child != NULL && rv == 0;
         child = child->next) {
        rv = rh_place_check_single(file, child);
        if (rv == 0) {
            rv = read_top(file, child, config);
        }
    }
    if (rv == 0) {
        rv = check_required(file, config);
    }
    if (rv == 0) {
        rv = complete(file, config);
    }
    if (rv == 0) {
        rv = check_together(file, config);
    }
    return rv != 0 ? rv : rh_nodes_check(file, config, 0);
}

static int fail_too_large(const char *name, size_t size_max, struct rh_reason *reason)
{
    return rh_fail(reason, RH_ERR_INVALID, "%s: larger than %zu bytes", name, size_max);
}

int rh_config_parse(const char *text, size_t text_size, const char *name,
                    struct rh_config *ret_config, struct rh_reason *reason)
{
    struct rh_place file = {.origin = name, .reason = reason};
    if (text_size > RH_CONFIG_FILE_SIZE_MAX) {
        return fail_too_large(name, RH_CONFIG_FILE_SIZE_MAX, reason);
    }
    struct rh_yaml *root;
    int rv = rh_yaml_parse(rh_bytes(text, text_size), name, &root, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_config config = {.path = strdup(name)};
    file.yaml = root;
    rv = config.path == NULL ? rh_place_fail_no_memory(&file) : read_file(&file, &config);
    rh_yaml_destroy(root);
    if (rv != 0) {
        rh_config_finish(&config);
        return rv;
    }
    *ret_config = config;
    return 0;
}

/* Reads |fd| to its end, or to beyond the limit. */
static int read_all(int fd, size_t size_max, struct rh_buffer *buffer)
{
    while (rh_buffer_size(buffer) <= size_max) {
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
    return RH_ERR_TOO_LARGE;
}

int rh_config_read_file(const char *path, size_t size_max, struct rh_buffer *buffer,
                        struct rh_reason *reason)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int code = errno == ENOENT ? RH_ERR_NOT_FOUND : RH_ERR_IO;
        return rh_fail(reason, code, "%s: cannot be read: %s", path, strerror(errno));
    }
    int rv = read_all(fd, size_max, buffer);
    if (rv == RH_ERR_IO) {
        (void)rh_fail(reason, rv, "%s: cannot be read: %s", path, strerror(errno));
    } else if (rv == RH_ERR_TOO_LARGE) {
        rv = fail_too_large(path, size_max, reason);
    } else if (rv != 0) {
        (void)rh_fail(reason, rv, "%s: %s", path, rh_error_text(rv));
    }
    (void)close(fd);
    return rv;
}

int rh_config_load(const char *path, struct rh_config *ret_config, struct rh_reason *reason)
{
    struct rh_buffer buffer = {0};
    int rv = rh_config_read_file(path, RH_CONFIG_FILE_SIZE_MAX, &buffer, reason);
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
    rh_nodes_finish(config);
    rh_fields_finish(top, config);
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        rh_fields_finish(sections[i].fields, config);
    }
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

bool rh_config_relays(const struct rh_config *config)
{
    return strcmp(config->route, "relay") == 0;
}

uint64_t rh_config_message_size_max(const struct rh_config *config)
{
    return 6 * config->limits.message_bytes + KIB(1);
}
