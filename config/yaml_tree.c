/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml_tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/*
 * libyaml gives events; the builder hangs them into a tree:
 *
 *      stack[0]  the root
 *      stack[1]  the collection in it that is open, ...
 *      key       the key that waits for its value, when the top of the stack is a mapping
 */
struct builder {
    yaml_parser_t parser;
    const char *name;
    struct rh_reason *reason;
    struct rh_yaml *root;
    struct rh_yaml *stack[RH_YAML_DEPTH_MAX];
    struct rh_yaml *last[RH_YAML_DEPTH_MAX]; /* newest child of stack[i] */
    size_t depth;
    char *key;
    unsigned key_line;
    size_t nodes_count;
};

static void destroy_children(struct rh_yaml *node);

static void destroy_one(struct rh_yaml *node)
{
    free(node->key);
    free(node->text);
    free(node);
}

/* Depth is bounded by the builder, so is this recursion. */
static void destroy_children(struct rh_yaml *node)
{
    struct rh_yaml *child = node->children;
    while (child != NULL) {
        struct rh_yaml *next = child->next;
        destroy_children(child);
        destroy_one(child);
        child = next;
    }
}

void rh_yaml_destroy(struct rh_yaml *root)
{
    if (root != NULL) {
        destroy_children(root);
        destroy_one(root);
    }
}

const struct rh_yaml *rh_yaml_find(const struct rh_yaml *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != RH_YAML_MAPPING) {
        return NULL;
    }
    const struct rh_yaml *child = mapping->children;
    while (child != NULL && strcmp(child->key, key) != 0) {
        child = child->next;
    }
    return child;
}

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static int refuse(const struct builder *builder, unsigned line, const char *what)
{
    return rh_fail(builder->reason, RH_ERR_INVALID, "%s:%u: %s", builder->name, line, what);
}

/* What libyaml says about a broken file. It knows no line for bytes that it could not decode. */
static int refuse_syntax(const struct builder *builder, struct rh_bytes text)
{
    const yaml_parser_t *parser = &builder->parser;
    unsigned line = line_of(parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR) {
        return rh_fail(builder->reason, RH_ERR_NO_MEMORY, "%s: %s", builder->name,
                       rh_error_text(RH_ERR_NO_MEMORY));
    }
    if (parser->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < text.size && i < parser->problem_offset; i++) {
            line += text.data[i] == '\n';
        }
    }
    return rh_fail(builder->reason, RH_ERR_INVALID, "%s:%u: not valid YAML: %s%s%s", builder->name,
                   line, parser->problem != NULL ? parser->problem : "broken",
                   parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
}

/* A terminated copy, or NULL when out of memory. The caller has refused NUL bytes. */
static char *copy_text(const yaml_event_t *event)
{
    size_t size = event->data.scalar.length;
    char *text = malloc(size + 1);
    if (text != NULL) {
        memcpy(text, event->data.scalar.value, size);
        text[size] = '\0';
    }
    return text;
}

/* Hangs |node| where the file has it and takes the waiting key. */
static void attach(struct builder *builder, struct rh_yaml *node)
{
    if (builder->key != NULL) {
        node->key = builder->key;
        node->line = builder->key_line;
        builder->key = NULL;
    }
    if (builder->depth == 0) {
        builder->root = node;
        return;
    }
    size_t top = builder->depth - 1;
    if (builder->last[top] == NULL) {
        builder->stack[top]->children = node;
    } else {
        builder->last[top]->next = node;
    }
    builder->last[top] = node;
}

static int add_node(struct builder *builder, enum rh_yaml_kind kind, unsigned line,
                    struct rh_yaml **ret_node)
{
    if (builder->nodes_count == RH_YAML_NODES_MAX) {
        return refuse(builder, line, "more values than a config can have");
    }
    struct rh_yaml *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    builder->nodes_count++;
    node->kind = kind;
    node->line = line;
    attach(builder, node);
    *ret_node = node;
    return 0;
}

/* Whether the next event is a key rather than a value. */
static bool wants_key(const struct builder *builder)
{
    return builder->depth > 0 && builder->stack[builder->depth - 1]->kind == RH_YAML_MAPPING &&
           builder->key == NULL;
}

static int open_collection(struct builder *builder, enum rh_yaml_kind kind, unsigned line)
{
    if (wants_key(builder)) {
        return refuse(builder, line, "a field name must be plain text");
    }
    if (builder->depth == RH_YAML_DEPTH_MAX) {
        return refuse(builder, line, "nested too deeply");
    }
    struct rh_yaml *node = NULL;
    int rv = add_node(builder, kind, line, &node);
    if (rv == 0) {
        builder->stack[builder->depth] = node;
        builder->last[builder->depth] = NULL;
        builder->depth++;
    }
    return rv;
}

static int add_scalar(struct builder *builder, const yaml_event_t *event, unsigned line)
{
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL) {
        return refuse(builder, line, "a text must not contain NUL");
    }
    if (wants_key(builder)) {
        builder->key = copy_text(event);
        builder->key_line = line;
        return builder->key == NULL ? RH_ERR_NO_MEMORY : 0;
    }
    struct rh_yaml *node = NULL;
    int rv = add_node(builder, RH_YAML_SCALAR, line, &node);
    if (rv == 0) {
        assert(node != NULL);
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = copy_text(event);
        rv = node->text == NULL ? RH_ERR_NO_MEMORY : 0;
    }
    return rv;
}

/* Anchors and tags come with three kinds of event, each in its own struct. */
static bool is_decorated(const yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT) {
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    }
    if (event->type == YAML_MAPPING_START_EVENT) {
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    }
    return event->type == YAML_ALIAS_EVENT;
}

static int take_event(struct builder *builder, const yaml_event_t *event)
{
    unsigned line = line_of(event->start_mark);
    if (is_decorated(event)) {
        return refuse(builder, line, "anchors, aliases and tags are not used here");
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return builder->root == NULL ? 0 : refuse(builder, line, "a second document");
    case YAML_MAPPING_START_EVENT:
        return open_collection(builder, RH_YAML_MAPPING, line);
    case YAML_SEQUENCE_START_EVENT:
        return open_collection(builder, RH_YAML_SEQUENCE, line);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        builder->depth--;
        return 0;
    case YAML_SCALAR_EVENT:
        return add_scalar(builder, event, line);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT:
        break;
    }
    return 0;
}

static int build(struct builder *builder, struct rh_bytes text)
{
    for (;;) {
        yaml_event_t event;
        if (yaml_parser_parse(&builder->parser, &event) == 0) {
            return refuse_syntax(builder, text);
        }
        bool end = event.type == YAML_STREAM_END_EVENT;
        int rv = take_event(builder, &event);
        yaml_event_delete(&event);
        if (rv != 0) {
            return rv;
        }
        if (end) {
            return builder->root != NULL ? 0 : refuse(builder, 1, "the file is empty");
        }
    }
}

int rh_yaml_parse(struct rh_bytes text, const char *name, struct rh_yaml **ret_root,
                  struct rh_reason *reason)
{
    struct builder builder = {.name = name, .reason = reason};
    if (yaml_parser_initialize(&builder.parser) == 0) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s: %s", name, rh_error_text(RH_ERR_NO_MEMORY));
    }
    const char *data = text.data != NULL ? text.data : "";
    yaml_parser_set_input_string(&builder.parser, (const unsigned char *)data, text.size);
    int rv = build(&builder, text);
    yaml_parser_delete(&builder.parser);
    free(builder.key);
    if (rv != 0) {
        rh_yaml_destroy(builder.root);
        if (rv == RH_ERR_NO_MEMORY) {
            return rh_fail(reason, rv, "%s: %s", name, rh_error_text(rv));
        }
        return rv;
    }
    *ret_root = builder.root;
    return 0;
}
