/* SPDX-License-Identifier: Apache-2.0 */
#include "config/reader.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN_SIZE 41 /* of a field that nobody knows */

int rh_place_fail(const struct rh_place *place, const char *name, const char *format, ...)
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

int rh_place_fail_no_memory(const struct rh_place *place)
{
    return rh_fail(place->reason, RH_ERR_NO_MEMORY, "%s: %s", place->origin,
                   rh_error_text(RH_ERR_NO_MEMORY));
}

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
    if (b_size >= sizeof(row) / sizeof(row[0]) || a_size >= sizeof(row) / sizeof(row[0])) {
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

int rh_place_fail_unknown(const struct rh_place *place, const char *name, const char *const known[],
                          size_t known_count)
{
    size_t best = 3; /* with that many letters wrong it is another word */
    const char *meant = NULL;
    for (size_t i = 0; i < known_count; i++) {
        size_t distance = edit_distance(name, known[i]);
        if (distance < best) {
            best = distance;
            meant = known[i];
        }
    }
    char shown[NAME_SHOWN_SIZE];
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

int rh_place_check_single(const struct rh_place *place, const struct rh_yaml *child)
{
    const struct rh_yaml *first = rh_yaml_find(place->yaml, child->key);
    if (first == child) {
        return 0;
    }
    return rh_fail(place->reason, RH_ERR_INVALID, "%s:%u: %s%s: given twice, first in line %u",
                   place->origin, child->line, place->prefix, child->key, first->line);
}

char **rh_field_text(const struct rh_field *field, void *target)
{
    assert(field->check != NULL);
    return (char **)(void *)((char *)target + field->offset);
}

static void store_amount(const struct rh_field *field, void *target, uint64_t value)
{
    char *at = (char *)target + field->offset;
    if (field->kind == RH_VALUE_NUMBER || field->kind == RH_VALUE_SIZE) {
        memcpy(at, &value, sizeof(value));
    } else {
        uint32_t small = (uint32_t)value;
        memcpy(at, &small, sizeof(small));
    }
}

void rh_fields_init(struct rh_fields fields, void *target)
{
    for (size_t i = 0; i < fields.count; i++) {
        if (fields.fields[i].check == NULL) {
            store_amount(&fields.fields[i], target, fields.fields[i].fallback);
        }
    }
}

void rh_fields_finish(struct rh_fields fields, void *target)
{
    for (size_t i = 0; i < fields.count; i++) {
        if (fields.fields[i].check != NULL) {
            free(*rh_field_text(&fields.fields[i], target));
            *rh_field_text(&fields.fields[i], target) = NULL;
        }
    }
}

const struct rh_field *rh_fields_find(struct rh_fields fields, const char *name)
{
    for (size_t i = 0; i < fields.count; i++) {
        if (strcmp(fields.fields[i].name, name) == 0) {
            return &fields.fields[i];
        }
    }
    return NULL;
}

int rh_field_set_text(const struct rh_place *place, const struct rh_field *field, const char *text,
                      void *target)
{
    struct rh_value_message message;
    if (field->check(text, &message) != 0) {
        return rh_place_fail(place, field->name, "%s", message.text);
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return rh_place_fail_no_memory(place);
    }
    *rh_field_text(field, target) = copy;
    return 0;
}

/* Refuses what is no scalar, or one without a value. */
static int check_scalar(const struct rh_place *place, const struct rh_yaml *yaml)
{
    if (yaml->kind != RH_YAML_SCALAR) {
        return rh_place_fail(place, yaml->key, "a single value is expected here, not a %s",
                             yaml->kind == RH_YAML_MAPPING ? "mapping" : "list");
    }
    if (yaml->plain && (yaml->text[0] == '\0' || strcmp(yaml->text, "~") == 0 ||
                        strcmp(yaml->text, "null") == 0)) {
        return rh_place_fail(place, yaml->key, "has no value; give it one or leave the field out");
    }
    return 0;
}

static bool has_unit(enum rh_value_kind kind)
{
    return kind == RH_VALUE_DURATION || kind == RH_VALUE_SIZE || kind == RH_VALUE_SIZE_32;
}

int rh_field_read(const struct rh_place *place, const struct rh_field *field,
                  const struct rh_yaml *yaml, void *target)
{
    int rv = check_scalar(place, yaml);
    if (rv != 0) {
        return rv;
    }
    if (field->check != NULL) {
        return rh_field_set_text(place, field, yaml->text, target);
    }
    if (!yaml->plain && !has_unit(field->kind)) {
        return rh_place_fail(place, field->name, "a number is expected here, without quotes");
    }
    struct rh_value_message message;
    uint64_t value;
    if (rh_value_parse(field->kind, yaml->text, field->min, field->max, &value, &message) != 0) {
        return rh_place_fail(place, field->name, "%s", message.text);
    }
    store_amount(field, target, value);
    return 0;
}

static int fail_unknown_field(const struct rh_place *place, struct rh_fields fields,
                              const char *name)
{
    const char *known[RH_FIELDS_MAX];
    assert(fields.count <= RH_FIELDS_MAX);
    for (size_t i = 0; i < fields.count; i++) {
        known[i] = fields.fields[i].name;
    }
    return rh_place_fail_unknown(place, name, known, fields.count);
}

int rh_fields_read(const struct rh_place *place, struct rh_fields fields, void *target)
{
    for (const struct rh_yaml *child = place->yaml->children; child != NULL; child = child->next) {
        const struct rh_field *field = rh_fields_find(fields, child->key);
        if (field == NULL) {
            return fail_unknown_field(place, fields, child->key);
        }
        int rv = rh_place_check_single(place, child);
        if (rv == 0) {
            rv = rh_field_read(place, field, child, target);
        }
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

int rh_fields_check_required(const struct rh_place *place, struct rh_fields fields, void *target)
{
    for (size_t i = 0; i < fields.count; i++) {
        const struct rh_field *field = &fields.fields[i];
        if (field->required && *rh_field_text(field, target) == NULL) {
            return rh_place_fail(place, field->name, "must be given");
        }
    }
    return 0;
}
