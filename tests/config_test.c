/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/value.h"
#include "tests/allocation.h"
#include "tests/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Helpers ----------------------------------------------------------------------------------- */

#define HEAD "cluster: demo\nzookeeper: {servers: \"127.0.0.1:2181\"}\n"

static const char whole_file[] =
    "# as in the documentation\n"
    "cluster: demo\n"
    "zookeeper: {servers: \"127.0.0.1:2181\", session_timeout: 4s}\n"
    "ring: {vnodes: 512, replicas: 2, seed: 0}\n"
    "limits: {log_messages: 1000, log_bytes: 1MiB, log_age: 1h, channel_idle: 1h,\n"
    "  channels: 1000000, message_bytes: 64KiB, connections: 200000, dedup_age: 5m}\n"
    "heartbeat: {interval: 25s, timeout: 60s}\n"
    "rebalance: {channels_per_second: 2000, in_flight: 64, moved_linger: 5s}\n"
    "nodes:\n"
    "  - {id: n1, listen: \"127.0.0.1:7101\", peer: \"127.0.0.1:7201\", admin: \"127.0.0.1:7301\","
    " zone: a, weight: 1, advertise: \"ws://127.0.0.1:7101\"}\n"
    "  - id: n2\n"
    "    listen: '[::1]:7102'\n"
    "    peer: localhost:7202\n"
    "    admin: 127.0.0.1:7302\n"
    "    weight: 0.5\n";

static int parse(const char *text, struct rh_config *ret_config, struct rh_reason *reason)
{
    return rh_config_parse(text, strlen(text), "c.yaml", ret_config, reason);
}

/* Asserts that |text| is refused with exactly that reason. */
static void check_refused(const char *text, const char *expected)
{
    struct rh_config config;
    struct rh_reason reason = {""};
    memset(&config, 0x5a, sizeof(config));
    struct rh_config before = config;
    int rv = parse(text, &config, &reason);
    if (rv != RH_ERR_INVALID || strcmp(reason.text, expected) != 0) {
        print_error("for: %s\ngot: %s (%s)\nnot: %s\n", text, reason.text, rh_error_name(rv),
                    expected);
        fail();
    }
    assert_memory_equal(&config, &before, sizeof(config));
}

static void check_accepted(const char *text)
{
    struct rh_config config = {0};
    struct rh_reason reason = {""};
    if (parse(text, &config, &reason) != 0) {
        print_error("for: %s\ngot: %s\n", text, reason.text);
        fail();
    }
    rh_config_finish(&config);
}

/* --- What is read ------------------------------------------------------------------------------ */

static void the_example_is_read_as_it_says(void **state RH_UNUSED)
{
    struct rh_config config = {0};
    struct rh_reason reason = {""};
    assert_int_equal(parse(whole_file, &config, &reason), 0);
    assert_string_equal(config.path, "c.yaml");
    assert_string_equal(config.cluster, "demo");
    assert_string_equal(config.zookeeper.servers, "127.0.0.1:2181");
    assert_int_equal(config.zookeeper.session_timeout_ms, 4000);
    assert_int_equal(config.nodes_count, 2);
    const struct rh_config_node *n1 = rh_config_node_find(&config, "n1");
    const struct rh_config_node *n2 = rh_config_node_find(&config, "n2");
    assert_null(rh_config_node_find(&config, "n3"));
    assert_string_equal(n1->zone, "a");
    assert_string_equal(n1->admin, "127.0.0.1:7301");
    assert_string_equal(n1->advertise, "ws://127.0.0.1:7101");
    assert_int_equal(n1->weight_milli, 1000);
    assert_string_equal(n2->zone, "");
    assert_string_equal(n2->advertise, "ws://[::1]:7102");
    assert_string_equal(n2->peer_advertise, "localhost:7202");
    assert_int_equal(n2->weight_milli, 500);
    rh_config_finish(&config);
    rh_config_finish(&config);
}

static void what_is_not_given_has_the_value_of_the_example(void **state RH_UNUSED)
{
    struct rh_config whole = {0};
    struct rh_config bare = {0};
    struct rh_reason reason = {""};
    assert_int_equal(parse(whole_file, &whole, &reason), 0);
    assert_int_equal(parse(HEAD, &bare, &reason), 0);
    assert_memory_equal(&whole.ring, &bare.ring, sizeof(whole.ring));
    assert_memory_equal(&whole.limits, &bare.limits, sizeof(whole.limits));
    assert_memory_equal(&whole.heartbeat, &bare.heartbeat, sizeof(whole.heartbeat));
    assert_memory_equal(&whole.rebalance, &bare.rebalance, sizeof(whole.rebalance));
    assert_int_equal(bare.zookeeper.session_timeout_ms, 4000);
    assert_int_equal(bare.nodes_count, 0);
    assert_int_equal(bare.limits.header_timeout_ms, 10000);
    assert_int_equal(bare.presence.grace_ms, 10000);
    assert_int_equal(bare.presence.clients, 100000);
    assert_int_equal(bare.presence.channel_clients, 1000);
    assert_true(bare.limits.send_queue_bytes == 1024 * 1024);
    rh_config_finish(&whole);
    rh_config_finish(&bare);
}

static void copies_follow_from_channels_and_replicas_unless_given(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        uint32_t copies;
    } rows[] = {
        {HEAD "ring: {replicas: 3}\n", 3000000},
        {HEAD "limits: {channels: 10}\nring: {replicas: 1}\n", 10},
        {HEAD "limits: {channels: 100000000}\nring: {replicas: 16}\n", 1600000000},
        {HEAD "limits: {channels: 10, copies: 7}\nring: {replicas: 3}\n", 7},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_config config = {0};
        struct rh_reason reason = {""};
        assert_int_equal(parse(rows[i].text, &config, &reason), 0);
        assert_int_equal(config.limits.copies, rows[i].copies);
        rh_config_finish(&config);
    }
}

/* --- Every field, its default and its range ---------------------------------------------------- */

/* One amount of the file. |below| and |above| are the nearest values that are refused. */
struct amount {
    const char *section;
    const char *name;
    const char *fallback;
    const char *lowest;
    const char *highest;
    const char *below;
    const char *above;
};

static const struct amount amounts[] = {
    {"zookeeper", "session_timeout", "4s", "1s", "10m", "999ms", "600001ms"},
    {"ring", "vnodes", "512", "1", "65536", "0", "65537"},
    {"ring", "replicas", "2", "1", "16", "0", "17"},
    {"ring", "seed", "0", "0", "18446744073709551615", "-1", "18446744073709551616"},
    {"limits", "log_messages", "1000", "1", "1000000", "0", "1000001"},
    {"limits", "log_bytes", "1MiB", "1KiB", "1GiB", "1023B", "1073741825B"},
    {"limits", "log_age", "1h", "1s", "1000h", "999ms", "3600000001ms"},
    {"limits", "channel_idle", "1h", "1s", "1000h", "999ms", "3600000001ms"},
    {"limits", "channels", "1000000", "1", "100000000", "0", "100000001"},
    {"limits", "copies", "2000000", "1", "1600000000", "0", "1600000001"},
    {"limits", "message_bytes", "64KiB", "1B", "16MiB", "0B", "16777217B"},
    {"limits", "state_bytes", "64KiB", "1B", "16MiB", "0B", "16777217B"},
    {"limits", "connections", "200000", "1", "10000000", "0", "10000001"},
    {"limits", "relayed", "200000", "1", "10000000", "0", "10000001"},
    {"limits", "dedup_age", "5m", "60s", "1000h", "59999ms", "3600000001ms"},
    {"limits", "send_queue", "1MiB", "4KiB", "1GiB", "4095B", "1073741825B"},
    {"limits", "header_bytes", "16KiB", "4KiB", "1MiB", "4095B", "1048577B"},
    {"limits", "header_count", "64", "16", "1024", "15", "1025"},
    {"limits", "header_timeout", "10s", "100ms", "10m", "99ms", "600001ms"},
    {"limits", "body_timeout", "30s", "100ms", "10m", "99ms", "600001ms"},
    {"limits", "idle_timeout", "60s", "100ms", "24h", "99ms", "86400001ms"},
    {"heartbeat", "interval", "25s", "100ms", "24h", "99ms", "86400001ms"},
    {"heartbeat", "timeout", "60s", "100ms", "24h", "99ms", "86400001ms"},
    {"rebalance", "channels_per_second", "2000", "1", "1000000", "0", "1000001"},
    {"rebalance", "in_flight", "64", "1", "65536", "0", "65537"},
    {"rebalance", "moved_linger", "5s", "0", "10m", "-1s", "600001ms"},
    {"rebalance", "drain_timeout", "30s", "0", "24h", "-1s", "86400001ms"},
    {"presence", "grace", "10s", "1s", "1h", "999ms", "3600001ms"},
    {"presence", "clients", "100000", "1", "10000000", "0", "10000001"},
    {"presence", "channel_clients", "1000", "1", "1000", "0", "1001"},
};

#define AMOUNTS_COUNT (sizeof(amounts) / sizeof(amounts[0]))

/* A file in which |amount| has that value and no other rule is in the way. */
static void write_amount(const struct amount *amount, const char *value, char *out, size_t out_size)
{
    const char *beside = "";
    if (strcmp(amount->name, "log_bytes") == 0) {
        beside = ", message_bytes: 1B";
    } else if (strcmp(amount->name, "message_bytes") == 0) {
        beside = ", log_bytes: 1GiB, send_queue: 1GiB";
    } else if (strcmp(amount->name, "send_queue") == 0) {
        beside = ", message_bytes: 1B";
    } else if (strcmp(amount->name, "interval") == 0) {
        beside = strcmp(value, "24h") == 0 ? ", timeout: 24h" : ", timeout: 23h";
    } else if (strcmp(amount->name, "timeout") == 0) {
        beside = ", interval: 100ms";
    }
    if (strcmp(amount->section, "zookeeper") == 0) {
        (void)snprintf(out, out_size,
                       "cluster: a\nzookeeper: {servers: 'h:1', session_timeout: %s}\n", value);
    } else {
        (void)snprintf(out, out_size, HEAD "%s: {%s: %s%s}\n", amount->section, amount->name, value,
                       beside);
    }
}

static void every_amount_is_accepted_up_to_its_bounds_and_refused_beyond(void **state RH_UNUSED)
{
    for (size_t i = 0; i < AMOUNTS_COUNT; i++) {
        const struct amount *amount = &amounts[i];
        bool pair = strcmp(amount->section, "heartbeat") == 0;
        char text[256];
        write_amount(amount, amount->fallback, text, sizeof(text));
        check_accepted(text);
        /* The bounds of the pair exclude each other: timeout is above interval. */
        if (!pair || strcmp(amount->name, "interval") == 0) {
            write_amount(amount, amount->lowest, text, sizeof(text));
            check_accepted(text);
        }
        if (!pair || strcmp(amount->name, "timeout") == 0) {
            write_amount(amount, amount->highest, text, sizeof(text));
            check_accepted(text);
        }
        const char *const outside[] = {amount->below, amount->above};
        for (size_t j = 0; j < 2; j++) {
            struct rh_config config;
            struct rh_reason reason = {""};
            char place[64];
            write_amount(amount, outside[j], text, sizeof(text));
            assert_int_equal(parse(text, &config, &reason), RH_ERR_INVALID);
            (void)snprintf(place, sizeof(place), ": %s.%s: `%s` is not a", amount->section,
                           amount->name, outside[j]);
            if (strstr(reason.text, place) == NULL) {
                print_error("%s: %s\n", place, reason.text);
                fail();
            }
        }
    }
}

static void the_documentation_has_every_field_with_default_and_range(void **state RH_UNUSED)
{
    FILE *file = fopen("docs/operations.md", "r");
    assert_non_null(file);
    static char text[256 * 1024];
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    for (size_t i = 0; i < AMOUNTS_COUNT; i++) {
        char row[160];
        (void)snprintf(row, sizeof(row), "| `%s.%s` | `%s` | %s to %s |", amounts[i].section,
                       amounts[i].name, amounts[i].fallback, amounts[i].lowest, amounts[i].highest);
        if (strstr(text, row) == NULL) {
            print_error("not in docs/operations.md: %s\n", row);
            fail();
        }
    }
    static const char *const others[] = {"cluster",           "route",
                                         "zookeeper.servers", "nodes[].id",
                                         "nodes[].listen",    "nodes[].peer",
                                         "nodes[].admin",     "nodes[].zone",
                                         "nodes[].advertise", "nodes[].peer_advertise",
                                         "nodes[].weight"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char row[64];
        (void)snprintf(row, sizeof(row), "| `%s` | ", others[i]);
        if (strstr(text, row) == NULL) {
            print_error("not in docs/operations.md: %s\n", row);
            fail();
        }
    }
}

/* --- What is refused ---------------------------------------------------------------------------- */

#define NODE(id, port) \
    "{id: " id ", listen: 'a:1" port "', peer: 'a:2" port "', admin: 'a:3" port "'}"

static void what_is_wrong_is_named_with_file_line_and_field(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        /* syntax and shape */
        {"", "c.yaml:1: the file is empty"},
        {"# nothing\n", "c.yaml:1: the file is empty"},
        {"demo", "c.yaml:1: fields are expected: `cluster: demo` and so on"},
        {"- a\n", "c.yaml:1: fields are expected: `cluster: demo` and so on"},
        {"cluster: a\nring: {vnodes: 3\n",
         "c.yaml:3: not valid YAML: did not find expected ',' or '}' while parsing a flow mapping"},
        {"cluster: a\n\tring: 1\n",
         "c.yaml:2: not valid YAML: found a tab character that violates indentation while scanning "
         "a plain scalar"},
        {"cluster: a\n# \xff\n", "c.yaml:2: not valid YAML: invalid leading UTF-8 octet"},
        {"cluster: a\n\x01\n", "c.yaml:2: not valid YAML: control characters are not allowed"},
        {HEAD "---\ncluster: b\n", "c.yaml:3: a second document"},
        {"cluster: &a demo\n", "c.yaml:1: anchors, aliases and tags are not used here"},
        {"cluster: *a\n", "c.yaml:1: anchors, aliases and tags are not used here"},
        {"cluster: a\nring: !x {vnodes: 1}\n",
         "c.yaml:2: anchors, aliases and tags are not used here"},
        {"? [a]\n: b\n", "c.yaml:1: a field name must be plain text"},
        {"cluster: [[[[[[[[[[]]]]]]]]]]\n", "c.yaml:1: nested too deeply"},
        {"cluster: \"a\\0b\"\n", "c.yaml:1: a text must not contain NUL"},
        /* one of two words */
        {HEAD "route: direct\n", "c.yaml:3: route: `direct` is neither `redirect` nor `relay`"},
        {HEAD "route: [relay]\n", "c.yaml:3: route: a single value is expected here, not a list"},
        /* unknown and double fields */
        {HEAD "rings: {}\n", "c.yaml:3: rings: unknown field (do you mean `ring`?)"},
        {HEAD "what: 1\n", "c.yaml:3: what: unknown field"},
        {HEAD "\"\\x01\": 1\n", "c.yaml:3: ?: unknown field"},
        {HEAD "limits:\n  log_messages: 3\n  log_agee: 1h\n",
         "c.yaml:5: limits.log_agee: unknown field (do you mean `log_age`?)"},
        {HEAD "nodes:\n  - " NODE("a", "1") "\n  - {id: b, listn: 'a:1'}\n",
         "c.yaml:5: nodes[1].listn: unknown field (do you mean `listen`?)"},
        {HEAD "cluster: b\n", "c.yaml:3: cluster: given twice, first in line 1"},
        {HEAD "ring: {}\nring: {}\n", "c.yaml:4: ring: given twice, first in line 3"},
        {HEAD "ring:\n  vnodes: 1\n  vnodes: 1\n",
         "c.yaml:5: ring.vnodes: given twice, first in line 4"},
        /* missing fields */
        {"ring: {}\n", "c.yaml:1: cluster: must be given"},
        {"cluster: a\n", "c.yaml:1: zookeeper.servers: must be given"},
        {"cluster: a\nzookeeper: {}\n", "c.yaml:2: zookeeper.servers: must be given"},
        {HEAD "nodes:\n- {id: a, listen: 'a:1', peer: 'a:2'}\n",
         "c.yaml:4: nodes[0].admin: must be given"},
        /* wrong types */
        {"cluster:\n", "c.yaml:1: cluster: has no value; give it one or leave the field out"},
        {"cluster: null\n", "c.yaml:1: cluster: has no value; give it one or leave the field out"},
        {"cluster: [a]\n", "c.yaml:1: cluster: a single value is expected here, not a list"},
        {"cluster: {a: b}\n", "c.yaml:1: cluster: a single value is expected here, not a mapping"},
        {HEAD "ring: 3\n", "c.yaml:3: ring: fields are expected here: {vnodes: ...}"},
        {HEAD "ring: {vnodes: \"512\"}\n",
         "c.yaml:3: ring.vnodes: a number is expected here, without quotes"},
        {HEAD "ring: {vnodes: many}\n",
         "c.yaml:3: ring.vnodes: `many` is not a whole number from 1 to 65536"},
        {HEAD "ring: {vnodes: 0x10}\n",
         "c.yaml:3: ring.vnodes: `0x10` is not a whole number from 1 to 65536"},
        {HEAD "ring: {vnodes: 1.5}\n",
         "c.yaml:3: ring.vnodes: `1.5` is not a whole number from 1 to 65536"},
        {HEAD "limits: {log_age: 10}\n",
         "c.yaml:3: limits.log_age: `10` is not a duration from 1s to 1000h, with a unit: ms s m "
         "h"},
        {HEAD "limits: {log_bytes: 10MB}\n",
         "c.yaml:3: limits.log_bytes: `10MB` is not a size from 1KiB to 1GiB, with a unit: B KiB "
         "MiB GiB"},
        {HEAD "nodes: {id: a}\n", "c.yaml:3: nodes: a list of nodes is expected here"},
        {HEAD "nodes: [n1]\n",
         "c.yaml:3: nodes[0]: a node is expected here: {id: ..., listen: ..., peer: ..., admin: "
         "...}"},
        /* impossible values */
        {"cluster: a/b\n", "c.yaml:1: cluster: `a/b` is not 1 to 64 letters, digits, `_` or `-`"},
        {"cluster: \"a\\nb\"\n",
         "c.yaml:1: cluster: `a?b` is not 1 to 64 letters, digits, `_` or `-`"},
        {"cluster: \"\"\n", "c.yaml:1: cluster: `` is not 1 to 64 letters, digits, `_` or `-`"},
        {"cluster: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
         "c.yaml:1: cluster: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...` is not 1 to 64 letters, "
         "digits, `_` or `-`"},
        {"cluster: a\nzookeeper: {servers: \"h:1,h\"}\n",
         "c.yaml:2: zookeeper.servers: `h` is not host:port or [v6]:port with a port from 1 to "
         "65535"},
        {"cluster: a\nzookeeper: {servers: \"h:1, g:1\"}\n",
         "c.yaml:2: zookeeper.servers: ` g:1` is not host:port or [v6]:port with a port from 1 to "
         "65535"},
        {"cluster: a\nzookeeper: {servers: \"h:1/chroot\"}\n",
         "c.yaml:2: zookeeper.servers: `h:1/chroot` is not host:port or [v6]:port with a port from "
         "1 to 65535"},
        {"cluster: a\nzookeeper: {servers: \"0.0.0.0:1\"}\n",
         "c.yaml:2: zookeeper.servers: `0.0.0.0:1` is no address that others can connect to"},
        {HEAD "nodes: [{id: a b}]\n",
         "c.yaml:3: nodes[0].id: `a b` is not 1 to 64 letters, digits, `_` or `-`"},
        {HEAD "nodes: [{zone: a/b}]\n",
         "c.yaml:3: nodes[0].zone: `a/b` is not up to 64 letters, digits, `.`, `_` or `-`"},
        {HEAD "nodes: [{weight: 1000.001}]\n",
         "c.yaml:3: nodes[0].weight: `1000.001` is not a weight from 0 to 1000, with at most three "
         "decimals"},
        {HEAD "nodes: [{advertise: 'http://a:1'}]\n",
         "c.yaml:3: nodes[0].advertise: `http://a:1` is not ws://host:port or wss://host:port"},
        {HEAD "nodes: [{advertise: 'ws://a:1/x'}]\n",
         "c.yaml:3: nodes[0].advertise: `ws://a:1/x` is not host:port or [v6]:port with a port "
         "from "
         "1 to 65535"},
        {HEAD "nodes: [{advertise: 'ws://[::]:1'}]\n",
         "c.yaml:3: nodes[0].advertise: `ws://[::]:1` is no address that others can connect to"},
        {HEAD "nodes: [{id: a, listen: '0.0.0.0:1', peer: 'a:2', admin: 'a:3'}]\n",
         "c.yaml:3: nodes[0].advertise: must be given, since listen is 0.0.0.0:1, which nobody can "
         "connect to"},
        /* what no single field can tell */
        {HEAD "limits:\n  message_bytes: 2MiB\n",
         "c.yaml:4: limits.message_bytes: is larger than log_bytes (1048576 bytes), so a message "
         "would not fit in a log"},
        {HEAD "limits:\n  log_bytes: 2KiB\n", "c.yaml:3: limits.message_bytes: is larger than "
                                              "log_bytes (2048 bytes), so a message would "
                                              "not fit in a log"},
        {HEAD "limits: {send_queue: 64KiB}\n",
         "c.yaml:3: limits.send_queue: must be at least 394240B, so that a message of "
         "message_bytes fits in it in its longest JSON form"},
        {HEAD "heartbeat: {timeout: 25s}\n",
         "c.yaml:3: heartbeat.timeout: must be longer than interval (25000ms), or idle clients are "
         "dropped"},
        {HEAD "nodes:\n  - " NODE("a", "1") "\n  - " NODE("a", "2") "\n",
         "c.yaml:5: nodes[1].id: `a` is the id of another node already"},
        {HEAD "ring: {vnodes: 65536}\nnodes: [{id: a, listen: 'a:1', peer: 'a:2', admin: 'a:3', "
              "weight: 200}]\n",
         "c.yaml:4: nodes: the weights times ring.vnodes make 13107200 points, more than a ring "
         "can "
         "have (8388608); lower the weights"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_refused(rows[i].text, rows[i].reason);
    }
}

/* Two nodes, each as listen, peer, admin and the rest of the flow mapping. */
static void write_pair(const char *a, const char *b, char *out, size_t out_size)
{
    (void)snprintf(out, out_size, HEAD "nodes:\n  - {id: a, %s}\n  - {id: b, %s}\n", a, b);
}

static void an_address_is_bound_by_one_node_on_a_machine(void **state RH_UNUSED)
{
    static const struct {
        const char *a;
        const char *b;
        const char *reason; /* NULL: fine */
    } rows[] = {
        {"listen: 'h:1', peer: 'h:1', admin: 'h:3'", "listen: 'g:1', peer: 'g:2', admin: 'g:3'",
         "c.yaml:4: nodes[0].peer: h:1 is taken already: listen of a is h:1"},
        {"listen: 'h:1', peer: 'h:2', admin: '[::]:2'", "listen: 'g:1', peer: 'g:2', admin: 'g:3'",
         "c.yaml:4: nodes[0].admin: [::]:2 is taken already: peer of a is h:2"},
        {"listen: 'h:1', peer: 'h:2', admin: 'h:3'", "listen: 'h:4', peer: 'h:5', admin: 'H:2'",
         "c.yaml:5: nodes[1].admin: H:2 is taken already: peer of a is h:2"},
        {"listen: 'h:1', peer: 'h:2', admin: 'h:3'",
         "listen: 'h:1', peer: 'h:5', admin: 'h:6', advertise: 'ws://other:1'",
         "c.yaml:5: nodes[1].listen: h:1 is taken already: listen of a is h:1"},
        {"listen: 'h:1', peer: 'h:2', admin: 'h:3'",
         "listen: 'g:1', peer: 'g:2', admin: 'g:3', advertise: 'wss://H:1'",
         "c.yaml:5: nodes[1].advertise: wss://H:1 leads to a already"},
        {"listen: 'h:1', peer: 'h:2', admin: 'h:3'",
         "listen: 'g:1', peer: 'g:2', admin: 'g:3', peer_advertise: 'h:2'",
         "c.yaml:5: nodes[1].peer_advertise: h:2 leads to a already"},
        /* two nodes that reach each other by loopback are on one machine */
        {"listen: '127.0.0.1:1', peer: '127.0.0.1:2', admin: '127.0.0.1:3'",
         "listen: '127.0.0.1:4', peer: '127.0.0.1:5', admin: '127.0.0.1:3'",
         "c.yaml:5: nodes[1].admin: 127.0.0.1:3 is taken already: admin of a is 127.0.0.1:3"},
        {"listen: '127.0.0.1:1', peer: '127.0.0.1:2', admin: '0.0.0.0:3'",
         "listen: '127.0.0.1:4', peer: '127.0.0.1:5', admin: '127.0.0.1:3'",
         "c.yaml:5: nodes[1].admin: 127.0.0.1:3 is taken already: admin of a is 0.0.0.0:3"},
        /* on two machines the same wildcard and loopback addresses are fine */
        {"listen: '0.0.0.0:1', peer: '0.0.0.0:2', admin: '127.0.0.1:3', advertise: 'ws://h:1', "
         "peer_advertise: 'h:2'",
         "listen: '0.0.0.0:1', peer: '0.0.0.0:2', admin: '127.0.0.1:3', advertise: 'ws://g:1', "
         "peer_advertise: 'g:2'",
         NULL},
        {"listen: 'h:1', peer: 'h:2', admin: 'h:3'", "listen: 'g:1', peer: 'g:2', admin: 'g:3'",
         NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        write_pair(rows[i].a, rows[i].b, text, sizeof(text));
        if (rows[i].reason == NULL) {
            check_accepted(text);
        } else {
            check_refused(text, rows[i].reason);
        }
    }
}

static void a_file_that_is_too_large_is_refused_unread(void **state RH_UNUSED)
{
    size_t size = RH_CONFIG_FILE_SIZE_MAX + 1;
    char *text = test_malloc(size);
    struct rh_config config;
    struct rh_reason reason = {""};
    memset(text, '\n', size);
    memcpy(text, HEAD, strlen(HEAD));
    assert_int_equal(rh_config_parse(text, size, "c.yaml", &config, &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "c.yaml: larger than 1048576 bytes");
    assert_int_equal(rh_config_parse(text, size - 1, "c.yaml", &config, &reason), 0);
    rh_config_finish(&config);
    /* The same size in values: stopped at the number of them, not at the memory. */
    for (size_t i = 0; i + 1 < size; i += 2) {
        memcpy(text + i, i == 0 ? "[[" : "[,", 2);
        memcpy(text + i, i == 0 ? "[" : "1,", i == 0 ? 1 : 2);
    }
    text[1] = ' ';
    assert_int_equal(rh_config_parse(text, size - 1, "c.yaml", &config, &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "c.yaml:1: more values than a config can have");
    test_free(text);
}

static void more_nodes_than_a_ring_should_have_are_refused(void **state RH_UNUSED)
{
    static char text[256 * 1024];
    size_t size = (size_t)snprintf(text, sizeof(text), HEAD "nodes:\n");
    size_t before_last = 0;
    for (int i = 0; i <= RH_CONFIG_NODES_MAX; i++) {
        before_last = size;
        size += (size_t)snprintf(text + size, sizeof(text) - size,
                                 "  - {id: n%d, listen: 'h%d:1', peer: 'h%d:2', admin: 'h%d:3'}\n",
                                 i, i, i, i);
    }
    check_refused(text, "c.yaml:3: nodes: more than 1024 nodes");
    text[before_last] = '\0';
    check_accepted(text);
}

/* --- Files --------------------------------------------------------------------------------------- */

static void a_file_that_cannot_be_read_is_told_from_a_bad_one(void **state RH_UNUSED)
{
    struct rh_config config = {0};
    struct rh_reason reason = {""};
    assert_int_equal(rh_config_load("/nonexistent/c.yaml", &config, &reason), RH_ERR_NOT_FOUND);
    assert_string_equal(reason.text, "/nonexistent/c.yaml: cannot be read: No such file or "
                                     "directory");
    assert_int_equal(rh_config_load("/", &config, &reason), RH_ERR_IO);
    assert_string_equal(reason.text, "/: cannot be read: Is a directory");
    char path[] = "/tmp/ringhop-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, whole_file, strlen(whole_file)), (int)strlen(whole_file));
    assert_int_equal(rh_config_load(path, &config, &reason), 0);
    assert_string_equal(config.path, path);
    rh_config_finish(&config);
    assert_int_equal(write(fd, "what: 1\n", 8), 8);
    assert_int_equal(rh_config_load(path, &config, &reason), RH_ERR_INVALID);
    assert_non_null(strstr(reason.text, ":16: what: unknown field"));
    (void)close(fd);
    (void)unlink(path);
}

/* --- Nodes from the command line ----------------------------------------------------------------- */

/* Literals are read only, whatever the type of the field says. */
static char *unconst(const char *text)
{
    char *out;
    memcpy(&out, &text, sizeof(out));
    return out;
}

static struct rh_config_node node_of(const char *id, const char *listen, const char *peer,
                                     const char *admin)
{
    return (struct rh_config_node){.id = unconst(id),
                                   .listen = unconst(listen),
                                   .peer = unconst(peer),
                                   .admin = unconst(admin),
                                   .weight_milli = 1000};
}

static void a_node_from_the_command_line_is_checked_like_one_of_the_file(void **state RH_UNUSED)
{
    struct rh_config config = {0};
    struct rh_reason reason = {""};
    assert_int_equal(parse(whole_file, &config, &reason), 0);
    struct rh_config_node node = node_of("n9", "h:1", "h:2", "h:3");
    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), 0);
    const struct rh_config_node *added = rh_config_node_find(&config, "n9");
    assert_string_equal(added->advertise, "ws://h:1");
    assert_string_equal(added->peer_advertise, "h:2");
    assert_string_equal(added->zone, "");

    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), RH_ERR_EXISTS);
    assert_string_equal(reason.text, "command line: id: `n9` is in c.yaml already");
    node = node_of("n10", "h:1", "g:2", "g:3");
    node.advertise = unconst("ws://g:1");
    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text,
                        "command line: listen: h:1 is taken already: listen of n9 is h:1");
    node = node_of("n 10", "g:1", "g:2", "g:3");
    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text,
                        "command line: id: `n 10` is not 1 to 64 letters, digits, `_` or `-`");
    node = node_of("n10", "g:1", NULL, "g:3");
    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "command line: peer: must be given");
    node = node_of("n10", "g:1", "g:2", "g:3");
    node.weight_milli = 1000001;
    assert_int_equal(rh_config_node_add(&config, &node, "command line", &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "command line: weight: is above 1000");
    assert_int_equal(config.nodes_count, 3);
    rh_config_finish(&config);
}

static void addresses_are_split_at_the_last_colon(void **state RH_UNUSED)
{
    char host[256];
    uint16_t port;
    assert_int_equal(rh_address_split("h:1", host, &port), 0);
    assert_string_equal(host, "h");
    assert_int_equal(port, 1);
    assert_int_equal(rh_address_split("[::1]:65535", host, &port), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 65535);
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    strcpy(longest + 255, ":9");
    assert_int_equal(rh_address_split(longest, host, &port), 0);
    assert_int_equal(strlen(host), 255);
    strcpy(longest, "bbb");
    static const char *const bad[] = {"",     "h",    ":1",     "h:",   "h:0",   "h:65536",
                                      "h:-1", "h:1x", "::1:80", "[]:1", "[::1]", "h:+1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        strcpy(host, "same");
        port = 7;
        assert_int_equal(rh_address_split(bad[i], host, &port), RH_ERR_INVALID);
        assert_string_equal(host, "same");
        assert_int_equal(port, 7);
    }
    memset(longest, 'a', sizeof(longest));
    strcpy(longest + 256, ":9");
    assert_int_equal(rh_address_split(longest, host, &port), RH_ERR_INVALID);
}

static void hosts_are_told_apart_by_where_they_lead(void **state RH_UNUSED)
{
    assert_true(rh_host_is_wildcard("0.0.0.0"));
    assert_true(rh_host_is_wildcard("::"));
    assert_true(rh_host_is_wildcard("0:0::0"));
    assert_false(rh_host_is_wildcard("127.0.0.1"));
    assert_false(rh_host_is_wildcard("h"));
    assert_true(rh_host_is_loopback("127.9.9.9"));
    assert_true(rh_host_is_loopback("::1"));
    assert_true(rh_host_is_loopback("LocalHost"));
    assert_false(rh_host_is_loopback("128.0.0.1"));
    assert_false(rh_host_is_loopback("localhost.example"));
    struct rh_value_message message;
    static const char *const bad[] = {"999.0.0.1:1", "1.2.3:1", "[1.2.3.4]:1", "[x]:1",
                                      "h h:1",       "h/x:1",   "u@h:1",       "\xc3\xa9:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rh_value_check_address(bad[i], &message), RH_ERR_INVALID);
    }
    assert_int_equal(rh_value_check_address("a-b_c.example.org:1", &message), 0);
}

/* --- Trouble ------------------------------------------------------------------------------------- */

static void memory_may_run_out_at_any_point(void **state RH_UNUSED)
{
    struct rh_reason reason = {""};
    size_t failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_config config = {0};
        struct rh_config_node node = node_of("n9", "h:1", "h:2", "h:3");
        rh_test_allocation_fail(nth);
        int rv = parse(whole_file, &config, &reason);
        int add_rv = rv != 0 ? 0 : rh_config_node_add(&config, &node, "flags", &reason);
        if (!rh_test_allocation_failed()) {
            assert_int_equal(rv, 0);
            assert_int_equal(add_rv, 0);
            rh_config_finish(&config);
            break;
        }
        assert_int_equal(rv != 0 ? rv : add_rv, RH_ERR_NO_MEMORY);
        assert_string_equal(reason.text,
                            rv != 0 ? "c.yaml: out of memory" : "flags: out of memory");
        rh_config_finish(&config);
        failures++;
    }
    assert_true(failures > 60);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Changes, drops, doubles or moves a stretch of |text|; returns the new size. */
static size_t mutate(char *text, size_t size, size_t room, uint64_t *seed)
{
    static const char interesting[] = "{}[]:,-#&*!|>'\"%@`?\n\t \\0129~\xff\x80\x01";
    size_t at = next_random(seed) % (size + 1);
    size_t length = 1 + next_random(seed) % 8;
    if (length > size - at) {
        length = size - at;
    }
    switch (next_random(seed) % 4) {
    case 0:
        if (at < size) {
            text[at] = interesting[next_random(seed) % (sizeof(interesting) - 1)];
        }
        return size;
    case 1:
        memmove(text + at, text + at + length, size - at - length);
        return size - length;
    case 2:
        if (size + length > room) {
            return size;
        }
        memmove(text + at + length, text + at, size - at);
        return size + length;
    default:
        if (size == room) {
            return size;
        }
        memmove(text + at + 1, text + at, size - at);
        text[at] = interesting[next_random(seed) % (sizeof(interesting) - 1)];
        return size + 1;
    }
}

static void no_mutation_of_a_file_does_harm(void **state RH_UNUSED)
{
    const char *wanted = getenv("RINGHOP_TEST_SEED");
    uint64_t seed = (uint64_t)getpid();
    if (wanted != NULL) {
        seed = strtoull(wanted, NULL, 0);
    }
    print_message("# RINGHOP_TEST_SEED=%llu\n", (unsigned long long)seed);
    size_t accepted = 0;
    for (size_t round = 0; round < 20000; round++) {
        char text[2 * sizeof(whole_file)];
        size_t size = sizeof(whole_file) - 1;
        memcpy(text, whole_file, size);
        size_t changes = 1 + next_random(&seed) % 4;
        for (size_t i = 0; i < changes; i++) {
            size = mutate(text, size, sizeof(text), &seed);
        }
        struct rh_config config = {0};
        struct rh_reason reason = {""};
        int rv = rh_config_parse(text, size, "c.yaml", &config, &reason);
        if (rv == 0) {
            assert_non_null(config.cluster);
            assert_true(config.limits.message_bytes <= config.limits.log_bytes);
            accepted++;
        } else {
            assert_int_equal(rv, RH_ERR_INVALID);
            assert_memory_equal(reason.text, "c.yaml:", 7);
            assert_null(strpbrk(reason.text, "\n\t\x01"));
        }
        rh_config_finish(&config);
    }
    assert_true(accepted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(the_example_is_read_as_it_says),
        RH_TEST(what_is_not_given_has_the_value_of_the_example),
        RH_TEST(copies_follow_from_channels_and_replicas_unless_given),
        RH_TEST(every_amount_is_accepted_up_to_its_bounds_and_refused_beyond),
        RH_TEST(the_documentation_has_every_field_with_default_and_range),
        RH_TEST(what_is_wrong_is_named_with_file_line_and_field),
        RH_TEST(an_address_is_bound_by_one_node_on_a_machine),
        RH_TEST(a_file_that_is_too_large_is_refused_unread),
        RH_TEST(more_nodes_than_a_ring_should_have_are_refused),
        RH_TEST(a_file_that_cannot_be_read_is_told_from_a_bad_one),
        RH_TEST(a_node_from_the_command_line_is_checked_like_one_of_the_file),
        RH_TEST(addresses_are_split_at_the_last_colon),
        RH_TEST(hosts_are_told_apart_by_where_they_lead),
        RH_TEST(memory_may_run_out_at_any_point),
        RH_TEST(no_mutation_of_a_file_does_harm),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
