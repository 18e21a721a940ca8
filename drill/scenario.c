/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/scenario.h"

#include "base/buffer.h"
#include "config/config.h"
#include "config/reader.h"
#include "drill/load.h"
#include "ring/ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define AMOUNT(label, member, value_kind, low, high, otherwise)                                \
    {                                                                                          \
        .name = (label), .offset = offsetof(struct rh_scenario, member), .kind = (value_kind), \
        .min = (low), .max = (high), .fallback = (otherwise)                                   \
    }

static rh_value_check check_text;

static const struct rh_field top_fields[] = {
    {.name = "scenario",
     .offset = offsetof(struct rh_scenario, name),
     .check = rh_value_check_name,
     .required = true},
    {.name = "description",
     .offset = offsetof(struct rh_scenario, description),
     .check = check_text},
    AMOUNT("settle", settle_ms, RH_VALUE_DURATION, 1000, 3600000, 60000),
};

static const struct rh_field load_fields[] = {
    AMOUNT("channels", load.channels, RH_VALUE_COUNT, 1, RH_LOAD_CHANNELS_MAX, 1000),
    AMOUNT("connections", load.connections, RH_VALUE_COUNT, 1, RH_LOAD_CONNECTIONS_MAX, 10000),
    AMOUNT("rate", load.rate, RH_VALUE_COUNT, 0, RH_LOAD_RATE_MAX, 500),
    AMOUNT("payload", load.payload_size, RH_VALUE_SIZE_32, RH_LOAD_PAYLOAD_MIN, RH_LOAD_PAYLOAD_MAX,
           128),
    AMOUNT("workers", load.workers, RH_VALUE_COUNT, 0, 64, 0),
};

static const struct rh_field cluster_fields[] = {
    AMOUNT("nodes", cluster.nodes, RH_VALUE_COUNT, 1, 32, 3),
    AMOUNT("replicas", cluster.replicas, RH_VALUE_COUNT, 1, RH_RING_REPLICAS_MAX, 2),
    AMOUNT("vnodes", cluster.vnodes, RH_VALUE_COUNT, 1, RH_RING_VNODES_MAX, 512),
    AMOUNT("session_timeout", cluster.session_timeout_ms, RH_VALUE_DURATION, 1000, 60000, 4000),
    AMOUNT("channels_per_second", cluster.channels_per_second, RH_VALUE_COUNT, 0, 1000000, 0),
};

#define HOOK(step_kind, label)                                                                \
    {                                                                                         \
        .name = (label),                                                                      \
        .offset = offsetof(struct rh_scenario, hooks) + (size_t)(step_kind) * sizeof(char *), \
        .check = check_text                                                                   \
    }

static const struct rh_field hook_fields[] = {
    HOOK(RH_STEP_ADD, "add"),
    HOOK(RH_STEP_REMOVE, "remove"),
    HOOK(RH_STEP_DRAIN, "drain"),
    HOOK(RH_STEP_JOIN, "join"),
    HOOK(RH_STEP_KILL, "kill"),
    HOOK(RH_STEP_START, "start"),
    HOOK(RH_STEP_PAUSE, "pause"),
    HOOK(RH_STEP_RESUME, "resume"),
    HOOK(RH_STEP_WEIGHT, "weight"),
    HOOK(RH_STEP_EXPIRE, "expire"),
    HOOK(RH_STEP_ZOOKEEPER_STOP, "zookeeper-stop"),
    HOOK(RH_STEP_ZOOKEEPER_START, "zookeeper-start"),
};

static const struct rh_fields top = {top_fields, COUNT_OF(top_fields)};

static const struct section {
    const char *name;
    struct rh_fields fields;
} sections[] = {
    {"load", {load_fields, COUNT_OF(load_fields)}},
    {"cluster", {cluster_fields, COUNT_OF(cluster_fields)}},
    {"hooks", {hook_fields, COUNT_OF(hook_fields)}},
};

static int check_text(const char *text, struct rh_value_message *message)
{
    if (text[0] == '\0') {
        (void)snprintf(message->text, sizeof(message->text), "a text is expected");
        return RH_ERR_INVALID;
    }
    return 0;
}

static int read_section(const struct rh_place *file, const struct section *section,
                        const struct rh_yaml *child, struct rh_scenario *scenario)
{
    if (child->kind != RH_YAML_MAPPING) {
        return rh_place_fail(file, child->key, "fields are expected here: {%s: ...}",
                             section->fields.fields[0].name);
    }
    struct rh_place place = *file;
    place.yaml = child;
    (void)snprintf(place.prefix, sizeof(place.prefix), "%s.", section->name);
    return rh_fields_read(&place, section->fields, scenario);
}

static int fail_step(const struct rh_place *file, const struct rh_yaml *item, const char *why)
{
    return rh_fail(file->reason, RH_ERR_INVALID, "%s:%u: steps: %s", file->origin, item->line, why);
}

static int read_step(const struct rh_place *file, const struct rh_yaml *item,
                     struct rh_scenario *scenario)
{
    struct rh_reason why;
    if (item->kind != RH_YAML_SCALAR) {
        return fail_step(file, item, "a step is one line of text, like `add n4`");
    }
    struct rh_scenario_step *step = &scenario->steps[scenario->steps_count];
    step->line = item->line;
    if (rh_step_parse(item->text, &step->step, &why) != 0) {
        return fail_step(file, item, why.text);
    }
    scenario->steps_count++;
    return 0;
}

static int read_steps(const struct rh_place *file, const struct rh_yaml *list,
                      struct rh_scenario *scenario)
{
    if (list->kind != RH_YAML_SEQUENCE || list->children == NULL) {
        return rh_place_fail(file, "steps", "a list of steps is expected, like `- add n4`");
    }
    size_t count = 0;
    for (const struct rh_yaml *item = list->children; item != NULL; item = item->next) {
        count++;
    }
    if (count > RH_SCENARIO_STEPS_MAX) {
        return rh_place_fail(file, "steps", "at most %d steps", RH_SCENARIO_STEPS_MAX);
    }
    scenario->steps = calloc(count, sizeof(*scenario->steps));
    if (scenario->steps == NULL) {
        return rh_place_fail_no_memory(file);
    }
    int rv = 0;
    for (const struct rh_yaml *item = list->children; item != NULL && rv == 0; item = item->next) {
        rv = read_step(file, item, scenario);
    }
    return rv;
}

static int fail_unknown(const struct rh_place *file, const char *name)
{
    const char *known[COUNT_OF(top_fields) + COUNT_OF(sections) + 1] = {"steps"};
    size_t count = 1;
    for (size_t i = 0; i < COUNT_OF(top_fields); i++) {
        known[count++] = top_fields[i].name;
    }
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        known[count++] = sections[i].name;
    }
    return rh_place_fail_unknown(file, name, known, count);
}

static int read_top(const struct rh_place *file, const struct rh_yaml *child,
                    struct rh_scenario *scenario)
{
    const struct rh_field *field = rh_fields_find(top, child->key);
    if (field != NULL) {
        return rh_field_read(file, field, child, scenario);
    }
    if (strcmp(child->key, "steps") == 0) {
        return read_steps(file, child, scenario);
    }
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        if (strcmp(sections[i].name, child->key) == 0) {
            return read_section(file, &sections[i], child, scenario);
        }
    }
    return fail_unknown(file, child->key);
}

/* Does the steps in thought, on a local cluster: is there each time what they are done to? */
static int check_steps(const struct rh_place *file, const struct rh_scenario *scenario)
{
    struct rh_plot plot = {.nodes_count = 0};
    struct rh_reason why;
    for (uint32_t i = 1; i <= scenario->cluster.nodes; i++) {
        char id[RH_STEP_NODE_SIZE];
        (void)snprintf(id, sizeof(id), "n%u", i);
        if (rh_plot_add(&plot, id, &why) != 0) {
            return rh_place_fail(file, "cluster", "%s", why.text);
        }
    }
    for (size_t i = 0; i < scenario->steps_count; i++) {
        if (rh_plot_step(&plot, &scenario->steps[i].step, &why) != 0) {
            return rh_fail(file->reason, RH_ERR_INVALID, "%s:%u: steps: %s", file->origin,
                           scenario->steps[i].line, why.text);
        }
    }
    return 0;
}

/* On a running cluster each step needs its command, but for those that ZooKeeper takes requests for. */
static int check_hooks(const struct rh_place *file, const struct rh_scenario *scenario)
{
    if (rh_yaml_find(file->yaml, "cluster") != NULL) {
        return rh_place_fail(file, "cluster",
                             "describes a local cluster, and `hooks` act on a running one; leave "
                             "one of them out");
    }
    for (size_t i = 0; i < scenario->steps_count; i++) {
        const struct rh_step *step = &scenario->steps[i].step;
        bool asked = step->kind == RH_STEP_WAIT || step->kind == RH_STEP_DRAIN ||
                     step->kind == RH_STEP_JOIN || step->kind == RH_STEP_WEIGHT;
        bool resumes = step->kind == RH_STEP_PAUSE && step->duration_ms > 0;
        const char *missing = NULL;
        if (!asked && scenario->hooks[step->kind] == NULL) {
            missing = rh_step_kind_name(step->kind);
        } else if (resumes && scenario->hooks[RH_STEP_RESUME] == NULL) {
            missing = rh_step_kind_name(RH_STEP_RESUME);
        }
        if (missing != NULL) {
            return rh_fail(file->reason, RH_ERR_INVALID,
                           "%s:%u: steps: %s: `hooks` has no command for `%s`", file->origin,
                           scenario->steps[i].line, step->text, missing);
        }
    }
    return 0;
}

static int read_file(const struct rh_place *file, struct rh_scenario *scenario)
{
    if (file->yaml->kind != RH_YAML_MAPPING) {
        return rh_fail(file->reason, RH_ERR_INVALID,
                       "%s:%u: fields are expected: `scenario: scale-out` and so on", file->origin,
                       file->yaml->line);
    }
    rh_fields_init(top, scenario);
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        rh_fields_init(sections[i].fields, scenario);
    }
    int rv = 0;
    for (const struct rh_yaml *child = file->yaml->children; child != NULL && rv == 0;
         child = child->next) {
        rv = rh_place_check_single(file, child);
        if (rv == 0) {
            rv = read_top(file, child, scenario);
        }
    }
    if (rv == 0) {
        rv = rh_fields_check_required(file, top, scenario);
    }
    if (rv == 0 && scenario->steps == NULL) {
        rv = rh_place_fail(file, "steps", "must be given");
    }
    if (rv == 0 && scenario->description == NULL) {
        scenario->description = strdup("");
        rv = scenario->description == NULL ? rh_place_fail_no_memory(file) : 0;
    }
    if (rv == 0) {
        scenario->has_hooks = rh_yaml_find(file->yaml, "hooks") != NULL;
        rv = scenario->has_hooks ? check_hooks(file, scenario) : check_steps(file, scenario);
    }
    return rv;
}

int rh_scenario_parse(const char *text, size_t text_size, const char *name,
                      struct rh_scenario *ret_scenario, struct rh_reason *reason)
{
    struct rh_place file = {.origin = name, .reason = reason};
    struct rh_yaml *root;
    int rv = rh_yaml_parse(rh_bytes(text, text_size), name, &root, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_scenario scenario = {0};
    file.yaml = root;
    rv = read_file(&file, &scenario);
    rh_yaml_destroy(root);
    if (rv != 0) {
        rh_scenario_finish(&scenario);
        return rv;
    }
    *ret_scenario = scenario;
    return 0;
}

int rh_scenario_load(const char *path, struct rh_scenario *ret_scenario, struct rh_reason *reason)
{
    struct rh_buffer buffer = {0};
    int rv = rh_config_read_file(path, RH_SCENARIO_FILE_SIZE_MAX, &buffer, reason);
    if (rv == 0) {
        struct rh_bytes text = rh_buffer_content(&buffer);
        rv = rh_scenario_parse(text.data, text.size, path, ret_scenario, reason);
    }
    rh_buffer_finish(&buffer);
    return rv;
}

/* The amount that is called |name| ("load.rate") in the file. */
static const struct rh_field *find_amount(const char *name)
{
    const char *dot = strchr(name, '.');
    const struct rh_field *field = rh_fields_find(top, name);
    for (size_t i = 0; i < COUNT_OF(sections) && dot != NULL && field == NULL; i++) {
        size_t size = (size_t)(dot - name);
        if (strlen(sections[i].name) == size && strncmp(sections[i].name, name, size) == 0) {
            field = rh_fields_find(sections[i].fields, dot + 1);
        }
    }
    assert(field != NULL && field->check == NULL);
    return field;
}

int rh_scenario_override(struct rh_scenario *scenario, const char *field, const char *text,
                         struct rh_reason *reason)
{
    const struct rh_field *amount = find_amount(field);
    struct rh_value_message message;
    uint64_t value;
    if (rh_value_parse(amount->kind, text, amount->min, amount->max, &value, &message) != 0) {
        return rh_fail(reason, RH_ERR_INVALID, "--%s: %s", amount->name, message.text);
    }
    uint32_t small = (uint32_t)value; /* all of them are stored so */
    memcpy((char *)scenario + amount->offset, &small, sizeof(small));
    return 0;
}

int rh_scenario_check(const char *field, const char *text, struct rh_reason *reason)
{
    struct rh_scenario nowhere = {0};
    return rh_scenario_override(&nowhere, field, text, reason);
}

void rh_scenario_finish(struct rh_scenario *scenario)
{
    rh_fields_finish(top, scenario);
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        rh_fields_finish(sections[i].fields, scenario);
    }
    free(scenario->steps);
    *scenario = (struct rh_scenario){0};
}
