/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/step.h"

#include "base/units.h"
#include "config/config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WORD_SIZE 80 /* with terminator; longer than any word that is right */

/* What follows the word of a step. */
enum operands {
    OPERANDS_DURATION,
    OPERANDS_NODES,
    OPERANDS_NODE,
    OPERANDS_NODE_DURATION, /* the latter may be left out */
    OPERANDS_NODE_WEIGHT,
    OPERANDS_NONE,
};

static const struct kind {
    const char *name; /* of the hook */
    const char *word; /* in the text */
    enum operands operands;
    bool changes_ring;
    const char *example;
} kinds[] = {
    [RH_STEP_WAIT] = {"wait", "wait", OPERANDS_DURATION, false, "wait 5s"},
    [RH_STEP_ADD] = {"add", "add", OPERANDS_NODES, true, "add n4"},
    [RH_STEP_REMOVE] = {"remove", "remove", OPERANDS_NODES, true, "remove n2"},
    [RH_STEP_DRAIN] = {"drain", "drain", OPERANDS_NODES, true, "drain n2"},
    [RH_STEP_JOIN] = {"join", "join", OPERANDS_NODES, true, "join n2"},
    [RH_STEP_KILL] = {"kill", "kill", OPERANDS_NODES, true, "kill n3"},
    [RH_STEP_START] = {"start", "start", OPERANDS_NODES, true, "start n3"},
    [RH_STEP_PAUSE] = {"pause", "pause", OPERANDS_NODE_DURATION, false, "pause n1 10s"},
    [RH_STEP_RESUME] = {"resume", "resume", OPERANDS_NODE, true, "resume n1"},
    [RH_STEP_WEIGHT] = {"weight", "weight", OPERANDS_NODE_WEIGHT, true, "weight n1 2"},
    [RH_STEP_EXPIRE] = {"expire", "expire", OPERANDS_NODES, false, "expire n2"},
    [RH_STEP_ZOOKEEPER_STOP] = {"zookeeper-stop", "zookeeper stop", OPERANDS_NONE, false,
                                "zookeeper stop"},
    [RH_STEP_ZOOKEEPER_START] = {"zookeeper-start", "zookeeper start", OPERANDS_NONE, false,
                                 "zookeeper start"},
};

_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == RH_STEP_KINDS, "one for each kind");

const char *rh_step_kind_name(enum rh_step_kind kind)
{
    return kinds[kind].name;
}

bool rh_step_changes_ring(enum rh_step_kind kind)
{
    return kinds[kind].changes_ring;
}

/* Copies |text| without blanks at the ends and with single ones inside. */
static int normalise(const char *text, char out[static RH_STEP_TEXT_SIZE], struct rh_reason *reason)
{
    size_t size = 0;
    bool blank = false;
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == ' ' || byte == '\t') {
            blank = size > 0;
            continue;
        }
        if (byte < 0x20 || byte >= 0x7f) {
            return rh_fail(reason, RH_ERR_INVALID, "a step is plain text, like `%s`",
                           kinds[RH_STEP_ADD].example);
        }
        if (size + 3 > RH_STEP_TEXT_SIZE) {
            return rh_fail(reason, RH_ERR_INVALID, "a step has at most %d characters",
                           RH_STEP_TEXT_SIZE - 1);
        }
        if (blank) {
            out[size++] = ' ';
            blank = false;
        }
        out[size++] = *at;
    }
    out[size] = '\0';
    return 0;
}

/* The kind whose word |text| begins with; moves |rest| behind it. */
static const struct kind *find_kind(const char *text, const char **rest)
{
    for (size_t i = 0; i < RH_STEP_KINDS; i++) {
        size_t size = strlen(kinds[i].word);
        if (strncmp(text, kinds[i].word, size) == 0 && (text[size] == ' ' || text[size] == '\0')) {
            *rest = text + size;
            return &kinds[i];
        }
    }
    return NULL;
}

/* Takes the next word of |rest|, cut to fit; false at the end. */
static bool next_word(const char **rest, char word[static WORD_SIZE])
{
    const char *at = *rest;
    size_t size = 0;
    while (*at == ' ') {
        at++;
    }
    for (; *at != ' ' && *at != '\0'; at++) {
        if (size + 1 < WORD_SIZE) {
            word[size++] = *at;
        }
    }
    word[size] = '\0';
    *rest = at;
    return size > 0;
}

static int fail_form(const struct kind *kind, struct rh_reason *reason)
{
    return rh_fail(reason, RH_ERR_INVALID, "%s: expected is `%s`", kind->word, kind->example);
}

static int take_node(const struct kind *kind, const char *word, struct rh_step *step,
                     struct rh_reason *reason)
{
    if (!rh_config_node_id_valid(word)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: `%s`: a node id is 1 to 64 letters, digits, _ or -", kind->word, word);
    }
    if (step->nodes_count == RH_STEP_NODES_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: at most %d nodes at once", kind->word,
                       RH_STEP_NODES_MAX);
    }
    for (size_t i = 0; i < step->nodes_count; i++) {
        if (strcmp(step->nodes[i], word) == 0) {
            return rh_fail(reason, RH_ERR_INVALID, "%s: %s is named twice", kind->word, word);
        }
    }
    (void)snprintf(step->nodes[step->nodes_count], RH_STEP_NODE_SIZE, "%.64s", word);
    step->nodes_count++;
    return 0;
}

static int take_duration(const struct kind *kind, const char *word, struct rh_step *step,
                         struct rh_reason *reason)
{
    if (rh_duration_parse(rh_bytes_text(word), &step->duration_ms) != 0 || step->duration_ms == 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: `%s` is not a duration with a unit, like 500ms, 5s or 1m", kind->word,
                       word);
    }
    return 0;
}

static int take_weight(const struct kind *kind, const char *word, struct rh_step *step,
                       struct rh_reason *reason)
{
    if (rh_weight_parse(rh_bytes_text(word), &step->weight_milli) != 0 || step->weight_milli == 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: `%s`: a weight is a number above 0, at most 1000, with at most three "
                       "decimals",
                       kind->word, word);
    }
    return 0;
}

/* Takes the |index|-th operand. */
static int take_operand(const struct kind *kind, size_t index, const char *word,
                        struct rh_step *step, struct rh_reason *reason)
{
    switch (kind->operands) {
    case OPERANDS_DURATION:
        return index == 0 ? take_duration(kind, word, step, reason) : fail_form(kind, reason);
    case OPERANDS_NODES:
        return take_node(kind, word, step, reason);
    case OPERANDS_NODE:
        return index == 0 ? take_node(kind, word, step, reason) : fail_form(kind, reason);
    case OPERANDS_NODE_DURATION:
        if (index == 1) {
            return take_duration(kind, word, step, reason);
        }
        return index == 0 ? take_node(kind, word, step, reason) : fail_form(kind, reason);
    case OPERANDS_NODE_WEIGHT:
        if (index == 1) {
            return take_weight(kind, word, step, reason);
        }
        return index == 0 ? take_node(kind, word, step, reason) : fail_form(kind, reason);
    case OPERANDS_NONE:
        break;
    }
    return fail_form(kind, reason);
}

static size_t operands_min(const struct kind *kind)
{
    if (kind->operands == OPERANDS_NONE) {
        return 0;
    }
    return kind->operands == OPERANDS_NODE_WEIGHT ? 2 : 1;
}

int rh_step_parse(const char *text, struct rh_step *ret_step, struct rh_reason *reason)
{
    struct rh_step step = {0};
    int rv = normalise(text, step.text, reason);
    if (rv != 0) {
        return rv;
    }
    const char *rest = NULL;
    const struct kind *kind = find_kind(step.text, &rest);
    if (kind == NULL) {
        return rh_fail(
            reason, RH_ERR_INVALID,
            "`%.60s` is no step; there are: wait, add, remove, drain, join, kill, start, "
            "pause, resume, weight, expire, zookeeper stop, zookeeper start",
            step.text);
    }
    step.kind = (enum rh_step_kind)(kind - kinds);
    char word[WORD_SIZE];
    size_t count = 0;
    while (rv == 0 && next_word(&rest, word)) {
        rv = take_operand(kind, count, word, &step, reason);
        count++;
    }
    if (rv == 0 && count < operands_min(kind)) {
        rv = fail_form(kind, reason);
    }
    if (rv == 0) {
        *ret_step = step;
    }
    return rv;
}

/* ---- in thought ---- */

static size_t plot_find(const struct rh_plot *plot, const char *id)
{
    size_t i = 0;
    while (i < plot->nodes_count && strcmp(plot->nodes[i].id, id) != 0) {
        i++;
    }
    return i;
}

int rh_plot_add(struct rh_plot *plot, const char *id, struct rh_reason *reason)
{
    size_t at = plot_find(plot, id);
    if (at < plot->nodes_count) {
        return rh_fail(reason, RH_ERR_EXISTS, "%s is there already%s", id,
                       plot->nodes[at].state == RH_PLOT_STOPPED ? "; `start` starts it again" : "");
    }
    if (at == RH_PLOT_NODES_MAX) {
        return rh_fail(reason, RH_ERR_FULL, "a drill has at most %d nodes", RH_PLOT_NODES_MAX);
    }
    (void)snprintf(plot->nodes[at].id, sizeof(plot->nodes[at].id), "%s", id);
    plot->nodes[at].state = RH_PLOT_RUNNING;
    plot->nodes_count++;
    return 0;
}

static const char *state_text(enum rh_plot_state state)
{
    switch (state) {
    case RH_PLOT_RUNNING:
        return "runs";
    case RH_PLOT_DRAINED:
        return "is drained";
    case RH_PLOT_PAUSED:
        return "is paused";
    case RH_PLOT_STOPPED:
        break;
    }
    return "does not run";
}

/* Which states a node may have for a step, as bits, and which it has afterwards. */
static const struct {
    unsigned from;
    enum rh_plot_state to;
} moves[] = {
    [RH_STEP_REMOVE] = {1U << RH_PLOT_RUNNING | 1U << RH_PLOT_DRAINED, RH_PLOT_STOPPED},
    [RH_STEP_DRAIN] = {1U << RH_PLOT_RUNNING, RH_PLOT_DRAINED},
    [RH_STEP_JOIN] = {1U << RH_PLOT_DRAINED, RH_PLOT_RUNNING},
    [RH_STEP_KILL] = {1U << RH_PLOT_RUNNING | 1U << RH_PLOT_DRAINED | 1U << RH_PLOT_PAUSED,
                      RH_PLOT_STOPPED},
    [RH_STEP_START] = {1U << RH_PLOT_STOPPED, RH_PLOT_RUNNING},
    [RH_STEP_PAUSE] = {1U << RH_PLOT_RUNNING, RH_PLOT_PAUSED},
    [RH_STEP_RESUME] = {1U << RH_PLOT_PAUSED, RH_PLOT_RUNNING},
    [RH_STEP_WEIGHT] = {1U << RH_PLOT_RUNNING, RH_PLOT_RUNNING},
    [RH_STEP_EXPIRE] = {1U << RH_PLOT_RUNNING, RH_PLOT_RUNNING},
};

static int plot_node(struct rh_plot *plot, const struct rh_step *step, const char *id,
                     struct rh_reason *reason)
{
    size_t at = plot_find(plot, id);
    if (at == plot->nodes_count) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: there is no node %s; `add` brings a new one",
                       step->text, id);
    }
    enum rh_plot_state *state = &plot->nodes[at].state;
    if ((moves[step->kind].from & 1U << *state) == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: %s %s then", step->text, id,
                       state_text(*state));
    }
    bool goes_on = step->kind == RH_STEP_PAUSE && step->duration_ms > 0;
    *state = goes_on ? RH_PLOT_RUNNING : moves[step->kind].to;
    return 0;
}

static int plot_zookeeper(struct rh_plot *plot, const struct rh_step *step,
                          struct rh_reason *reason)
{
    bool stop = step->kind == RH_STEP_ZOOKEEPER_STOP;
    if (plot->zookeeper_stopped == stop) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: ZooKeeper %s then", step->text,
                       stop ? "does not run" : "runs");
    }
    plot->zookeeper_stopped = stop;
    return 0;
}

static int count_running(const struct rh_plot *plot)
{
    int count = 0;
    for (size_t i = 0; i < plot->nodes_count; i++) {
        count += plot->nodes[i].state == RH_PLOT_RUNNING;
    }
    return count;
}

int rh_plot_step(struct rh_plot *plot, const struct rh_step *step, struct rh_reason *reason)
{
    if (step->kind == RH_STEP_WAIT) {
        return 0;
    }
    if (step->kind == RH_STEP_ZOOKEEPER_STOP || step->kind == RH_STEP_ZOOKEEPER_START) {
        return plot_zookeeper(plot, step, reason);
    }
    if (plot->zookeeper_stopped && rh_step_changes_ring(step->kind)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: the ring cannot change while ZooKeeper does not run", step->text);
    }
    int rv = 0;
    for (size_t i = 0; i < step->nodes_count && rv == 0; i++) {
        if (step->kind == RH_STEP_ADD) {
            rv = rh_plot_add(plot, step->nodes[i], reason) == 0 ? 0 : RH_ERR_INVALID;
        } else {
            rv = plot_node(plot, step, step->nodes[i], reason);
        }
    }
    if (rv == 0 && count_running(plot) == 0) {
        rv = rh_fail(reason, RH_ERR_INVALID, "%s: no node would serve any more", step->text);
    }
    return rv;
}
