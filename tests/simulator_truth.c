/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_truth.h"

#include "tests/simulator_check.h"
#include "tests/simulator_describe.h"
#include "tests/simulator_history.h"
#include "tests/simulator_topics.h"
#include "tests/simulator_zookeeper.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCES_MAX 64 /* of a group */

/* A copy as it was after the last step of its node. */
struct seen {
    bool there;
    enum rh_role role;
    uint64_t incarnation;
    struct rh_term term;
    uint64_t op;
    uint64_t commit;
    bool suspect;
    struct rh_node_ref *group;
    size_t group_count;
    uint64_t confirmed; /* moment at which it was last confirmed */
    uint64_t visit;
    struct sim_history held; /* by op */
};

/* One life of a channel. */
struct life {
    uint64_t incarnation;
    struct sim_history committed; /* by op */
    struct sim_history messages;  /* the committed ones by seq */
    struct sim_lines lines;       /* what anybody ever held at (op, term) */
    uint64_t blurred;             /* up to that op something was trimmed before it was seen */
};

struct activation {
    struct rh_term term;
    uint64_t instance;
    uint64_t incarnation;
    unsigned era;            /* of ZooKeeper's data */
    struct sim_history held; /* the copy that was activated */
};

struct actor {
    struct rh_term term;
    uint64_t instance;
};

struct truth_channel {
    struct rh_table_link link; /* truth->by_key */
    char key[SIM_KEY_SIZE];
    bool is_torn;      /* see tear() */
    struct seen *seen; /* per node */
    struct life *lives;
    size_t lives_count;
    struct activation *activations;
    size_t activations_count;
    struct actor *actors; /* whoever gave operations, or claimed, under a term */
    size_t actors_count;
    struct sim_history alive;      /* by op: what must not be lost */
    uint64_t group[INSTANCES_MAX]; /* the last one that had it all: those in good standing */
    size_t group_count;
    uint64_t group_moment;
};

/*
 * ZooKeeper lost its data, and a process that began after that asked all others and heard of no
 * cluster, so it took itself for the first of a new one. There was none, or it was cut off or stood
 * still, and nothing in the protocol could know better (docs/protocol-cluster.md, 12.9).
 */
enum side { SIDE_OLD, SIDE_NEW, SIDE_BESIDE };

/* A generation that came of that. */
struct beginning {
    unsigned era;
    uint64_t generation;
    enum side side;
};

struct process {
    uint64_t instance;
    int node;
    bool alive;
    bool adopted;         /* a view */
    struct rh_view *view; /* the latest of them; a reference */
    bool asks;            /* other nodes which epoch they are in */
    bool told;            /* by one of them that there is a cluster */
    enum side side;       /* of its view */
    bool registered;
    char chain[RH_REGISTRATION_NAME_SIZE]; /* then: its first registration since it was lost */
    uint64_t failed; /* moment at which it crashed, or its registration was lost; 0: never */
};

/* Channels of which a node has a copy, as far as is seen. */
struct held {
    struct truth_channel **channels;
    size_t count;
};

struct sim_truth {
    uint64_t moment;
    struct beginning *beginnings;
    size_t beginnings_count;
    uint64_t visits;
    struct truth_channel **channels;
    size_t channels_count;
    struct rh_table by_key; /* the channels */
    struct held *held;      /* per node: what it has a copy of */
    struct process *processes;
    size_t processes_count;
};

/* ---- small things ---- */

static void *grown(void *items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) { /* it has room up to the next power of two */
        return items;
    }
    void *more = realloc(items, (count == 0 ? 1 : 2 * count) * size);
    if (more == NULL) {
        abort();
    }
    return more;
}

static bool is_acting(enum rh_role role)
{
    return role == RH_ROLE_ACTING || role == RH_ROLE_GATED || role == RH_ROLE_PASSING ||
           role == RH_ROLE_CLOSING;
}

static struct process *process_find(const struct sim_truth *truth, uint64_t instance)
{
    for (size_t i = truth->processes_count; i > 0; i--) {
        if (truth->processes[i - 1].instance == instance) {
            return &truth->processes[i - 1];
        }
    }
    return NULL;
}

static struct truth_channel *channel_in_table(const struct rh_table_link *link)
{
    return (struct truth_channel *)((uintptr_t)link - offsetof(struct truth_channel, link));
}

static bool has_key(const struct rh_table_link *link, const void *key)
{
    const struct rh_bytes *wanted = key;
    return rh_bytes_equal(rh_bytes_text(channel_in_table(link)->key), *wanted);
}

static struct truth_channel *channel_of(const struct sim *sim, struct rh_bytes key)
{
    struct sim_truth *truth = sim->truth;
    uint64_t hash = sim_hash(key);
    struct rh_table_link *link = rh_table_find(&truth->by_key, hash, has_key, &key);
    if (link != NULL) {
        return channel_in_table(link);
    }
    struct truth_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL ||
        (channel->seen = calloc((size_t)sim->nodes_count, sizeof(*channel->seen))) == NULL) {
        abort();
    }
    assert(key.size < sizeof(channel->key));
    memcpy(channel->key, key.data, key.size);
    rh_table_insert(&truth->by_key, &channel->link, hash);
    truth->channels = grown(truth->channels, truth->channels_count, sizeof(*truth->channels));
    truth->channels[truth->channels_count++] = channel;
    return channel;
}

static struct life *life_find(const struct truth_channel *channel, uint64_t incarnation)
{
    for (size_t i = channel->lives_count; i > 0; i--) {
        if (channel->lives[i - 1].incarnation == incarnation) {
            return &channel->lives[i - 1];
        }
    }
    return NULL;
}

static struct life *life_of(struct truth_channel *channel, uint64_t incarnation)
{
    struct life *life = life_find(channel, incarnation);
    if (life != NULL) {
        return life;
    }
    channel->lives = grown(channel->lives, channel->lives_count, sizeof(*channel->lives));
    life = &channel->lives[channel->lives_count++];
    *life = (struct life){.incarnation = incarnation};
    return life;
}

/* The activation of the highest term, or NULL. */
static struct activation *highest(const struct truth_channel *channel)
{
    struct activation *found = NULL;
    for (size_t i = 0; i < channel->activations_count; i++) {
        struct activation *other = &channel->activations[i];
        if (found == NULL || rh_term_compare(other->term, found->term) > 0) {
            found = other;
        }
    }
    return found;
}

/* The activation of the lowest term above |term|, or NULL. */
static const struct activation *next_above(const struct truth_channel *channel, struct rh_term term)
{
    const struct activation *found = NULL;
    for (size_t i = 0; i < channel->activations_count; i++) {
        const struct activation *other = &channel->activations[i];
        if (rh_term_compare(other->term, term) > 0 &&
            (found == NULL || rh_term_compare(other->term, found->term) < 0)) {
            found = other;
        }
    }
    return found;
}

static int node_of(const struct sim *sim, const struct rh_node_ref *ref)
{
    int place = sim_place_of(sim, ref->instance);
    bool there =
        place >= 0 && sim->nodes[place]->running && sim->nodes[place]->instance == ref->instance;
    return there ? place : -1;
}

/* ---- failure ---- */

static void trace_copies(struct sim *sim, const char *key)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        struct rh_copy_info info;
        if (node->running && rh_core_copy_find(node->core, rh_bytes_text(key), &info)) {
            char text[SIM_TEXT_SIZE];
            sim_describe_copy(&info, text);
            sim_trace(sim, "  n%d: %s", i, text);
        } else {
            sim_trace(sim, "  n%d: %s", i, node->running ? "nothing" : "is not there");
        }
    }
}

void sim_truth_fail(struct sim *sim, const char *name, const char *key, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (channel_of(sim, rh_bytes_text(key))->is_torn) {
        return;
    }
    if (!sim->failed) {
        trace_copies(sim, key);
    }
    sim_fail(sim, "%s: %s: %s", name, key, text);
}

/* ---- the log of a copy ---- */

uint64_t sim_truth_number(struct rh_bytes payload)
{
    char text[32] = {0}; /* what follows the number is a space */
    if (payload.size == 0) {
        return 0;
    }
    size_t size = payload.size < sizeof(text) ? payload.size : sizeof(text) - 1;
    memcpy(text, payload.data, size);
    return strtoull(text + 1, NULL, 10);
}

uint64_t sim_truth_message(const struct rh_entry *entry)
{
    return entry->entry_kind == RH_ENTRY_MESSAGE ? sim_truth_number(rh_entry_payload(entry).bytes)
                                                 : 0;
}

static uint64_t entry_hash(const struct rh_entry *entry)
{
    uint64_t hash = 0xcbf29ce484222325U ^ entry->seq ^ ((uint64_t)entry->kind << 40) ^
                    ((uint64_t)entry->id_size << 48) ^ ((uint64_t)entry->entry_kind << 56);
    hash = (hash ^ (uint64_t)entry->time_ms) * 0x100000001b3U;
    hash = (hash ^ rh_entry_version(entry)) * 0x100000001b3U;
    hash = (hash ^ entry->in_window) * 0x100000001b3U;
    for (size_t i = 0; i < (size_t)entry->id_size + entry->payload_size; i++) {
        hash = (hash ^ (unsigned char)entry->data[i]) * 0x100000001b3U;
    }
    if (entry->has_topic) {
        struct rh_position position = rh_entry_position(entry);
        hash = (hash ^ position.incarnation ^ position.seq) * 0x100000001b3U;
        hash = (hash ^ rh_entry_topic(entry).size) * 0x100000001b3U;
    }
    return hash == 0 ? 1 : hash;
}

/* Log matching: what stands at (op, term) is one thing everywhere, and so is what is before it. */
static void check_line(struct sim *sim, int node, struct truth_channel *channel, struct life *life,
                       const struct sim_history *held, uint64_t op)
{
    const struct sim_fact *fact = sim_history_get(held, op);
    const struct sim_fact *before = sim_history_get(held, op - 1);
    struct sim_line *line = sim_lines_at(&life->lines, op, fact->term);
    if (line->hash != 0 && line->hash != fact->hash) {
        sim_truth_fail(sim, "I4", channel->key,
                       "n%d holds another operation %" PRIu64 " of one term than n%d", node, op,
                       line->node);
    }
    if (line->hash == 0) {
        line->hash = fact->hash;
        line->node = node;
    }
    if (before == NULL || before->hash == 0) {
        return;
    }
    if (line->has_before && !rh_term_equal(line->before, before->term)) {
        sim_truth_fail(sim, "I4", channel->key,
                       "n%d agrees with n%d about operation %" PRIu64
                       ", and not about the one before",
                       node, line->node, op);
    }
    line->has_before = true;
    line->before = before->term;
}

static void read_log(struct sim *sim, int node, struct truth_channel *channel,
                     const struct rh_copy_info *info, uint64_t from)
{
    struct sim_history *held = &channel->seen[node].held;
    struct life *life = life_of(channel, info->incarnation);
    for (uint64_t op = from; op <= info->op; op++) {
        struct rh_term term = {0};
        const struct rh_entry *entry =
            rh_core_copy_entry(sim->nodes[node]->core, info->key, op, &term);
        struct sim_fact fact = {0};
        if (entry != NULL) {
            fact = (struct sim_fact){.hash = entry_hash(entry),
                                     .seq = entry->seq,
                                     .message = sim_truth_message(entry),
                                     .term = term};
        }
        sim_history_set(held, op, &fact);
        if (entry != NULL) {
            check_line(sim, node, channel, life, held, op);
            sim_topics_entry(sim, node, info, op, entry);
        } else if (op >= info->first_op) {
            sim_truth_fail(sim, "I1", channel->key, "n%d lacks operation %" PRIu64 " in its log",
                           node, op);
        }
    }
}

/* What was trimmed is known still if the copy goes on from what it was. */
static void forget_log(struct seen *seen, const struct rh_copy_info *info, struct sim *sim,
                       int node)
{
    struct rh_term term = {0};
    const struct rh_entry *first =
        rh_core_copy_entry(sim->nodes[node]->core, info->key, info->first_op, &term);
    const struct sim_fact *before = sim_history_get(&seen->held, info->first_op);
    bool goes_on = first != NULL && before != NULL && before->hash == entry_hash(first) &&
                   rh_term_equal(before->term, term);
    sim_history_cut(&seen->held, goes_on ? info->first_op - 1 : 0);
}

static void look_at_log(struct sim *sim, int node, struct truth_channel *channel,
                        const struct rh_copy_info *info)
{
    struct seen *seen = &channel->seen[node];
    bool grows = seen->there && seen->incarnation == info->incarnation &&
                 rh_term_equal(seen->term, info->term) && info->op >= seen->op;
    uint64_t from = seen->op + 1;
    if (!grows) {
        forget_log(seen, info, sim, node);
        from = info->first_op == 0 ? 1 : info->first_op;
        for (uint64_t op = 1; op < from && op <= info->op; op++) {
            if (sim_history_get(&seen->held, op) == NULL) {
                const struct sim_fact unknown = {0};
                sim_history_set(&seen->held, op, &unknown);
            }
        }
    }
    read_log(sim, node, channel, info, from);
}

/* Whether two facts, of which each may be NULL, are known to be of different operations. */
static bool differ(const struct sim_fact *a, const struct sim_fact *b)
{
    return a != NULL && b != NULL && a->hash != 0 && b->hash != 0 && a->hash != b->hash;
}

/* ---- groups ---- */

/* Registered, and never lost since its copy was last confirmed. */
static bool is_in_good_standing(const struct sim_truth *truth, const struct truth_channel *channel,
                                int node, uint64_t instance)
{
    const struct process *process = process_find(truth, instance);
    const struct seen *seen = &channel->seen[node];
    return process != NULL && process->alive && process->registered && seen->there &&
           !seen->suspect && seen->confirmed > process->failed;
}

static void check_member(struct sim *sim, struct truth_channel *channel, int node, int member,
                         uint64_t from)
{
    const struct seen *actor = &channel->seen[node];
    const struct seen *seen = &channel->seen[member];
    if (rh_term_compare(seen->term, actor->term) > 0) {
        return; /* it is somebody else's by now */
    }
    if (seen->incarnation != actor->incarnation || seen->op < actor->commit) {
        sim_truth_fail(sim, "I1", channel->key,
                       "n%d of the group of n%d lacks what is committed up to %" PRIu64, member,
                       node, actor->commit);
        return;
    }
    for (uint64_t op = from; op <= actor->commit; op++) {
        const struct sim_fact *mine = sim_history_get(&actor->held, op);
        const struct sim_fact *theirs = sim_history_get(&seen->held, op);
        if (differ(mine, theirs)) {
            sim_truth_fail(sim, "I1", channel->key,
                           "n%d of the group of n%d has another operation %" PRIu64, member, node,
                           op);
        }
    }
}

/* I1: whoever is in the group and in good standing has all that is committed, from |from| on. */
static void check_group(struct sim *sim, struct truth_channel *channel, int node, uint64_t from)
{
    const struct seen *actor = &channel->seen[node];
    const struct activation *top = highest(channel);
    if (top != NULL && rh_term_compare(top->term, actor->term) > 0) {
        return; /* deposed, and does not know it */
    }
    for (size_t i = 0; i < actor->group_count; i++) {
        int member = node_of(sim, &actor->group[i]);
        const struct process *process = process_find(sim->truth, actor->group[i].instance);
        if (member >= 0 && process != NULL && process->registered && process->failed == 0 &&
            !channel->seen[member].there && from > 1) {
            sim_truth_fail(sim, "I1", channel->key, "n%d of the group of n%d has no copy at all",
                           member, node);
        }
        if (member >= 0 && member != node &&
            is_in_good_standing(sim->truth, channel, member, actor->group[i].instance)) {
            check_member(sim, channel, node, member, from);
        }
    }
}

/* Who must all fail before anything may be lost. */
static void note_group(struct sim *sim, struct truth_channel *channel, int node)
{
    struct sim_truth *truth = sim->truth;
    const struct seen *actor = &channel->seen[node];
    const struct activation *top = highest(channel);
    if (top == NULL || !rh_term_equal(top->term, actor->term)) {
        return;
    }
    channel->group_count = 0;
    channel->group_moment = truth->moment;
    for (size_t i = 0; i < actor->group_count && i < INSTANCES_MAX; i++) {
        int member = node_of(sim, &actor->group[i]);
        if (member >= 0 && is_in_good_standing(truth, channel, member, actor->group[i].instance)) {
            channel->group[channel->group_count++] = actor->group[i].instance;
        }
    }
}

/* A member of the last group that has all and has not failed since; -1: there is none. */
static int survivor(const struct sim *sim, const struct truth_channel *channel)
{
    for (size_t i = 0; i < channel->group_count; i++) {
        const struct process *process = process_find(sim->truth, channel->group[i]);
        if (process != NULL && process->alive && process->registered &&
            process->failed <= channel->group_moment) {
            return process->node;
        }
    }
    return -1;
}

/* N3: enough copies, or all that there can be. */
static void check_size(struct sim *sim, struct truth_channel *channel, int node)
{
    const struct rh_view *view = rh_core_view(sim->nodes[node]->core);
    const struct seen *actor = &channel->seen[node];
    uint32_t list[RH_RING_REPLICAS_MAX];
    size_t active = rh_ring_active_count(view->ring);
    size_t wanted = view->config.replicas < active ? view->config.replicas : active;
    if (actor->group_count >= wanted) {
        return;
    }
    uint64_t hash = rh_ring_hash(view->ring, channel->key, strlen(channel->key));
    size_t count = rh_ring_preference(view->ring, hash, view->config.replicas, list);
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < actor->group_count; k++) {
            found |= actor->group[k].instance == view->members[list[i]].instance;
        }
        if (!found) {
            sim_truth_fail(sim, "N3", channel->key, "n%d commits with a group of %zu", node,
                           actor->group_count);
            return;
        }
    }
}

/* ---- commits and activations ---- */

/* I7: who commits below the term of another activation commits what was found by it. */
static bool check_late(struct sim *sim, struct truth_channel *channel, int node, uint64_t op)
{
    const struct seen *seen = &channel->seen[node];
    const struct activation *above = next_above(channel, seen->term);
    if (above == NULL) {
        return false;
    }
    const struct sim_fact *mine = sim_history_get(&seen->held, op);
    const struct sim_fact *theirs = sim_history_get(&above->held, op);
    if (theirs == NULL || differ(mine, theirs)) {
        sim_truth_fail(sim, "I7", channel->key,
                       "n%d commits operation %" PRIu64
                       " under a term below that of another activation, which had not found it",
                       node, op);
    }
    return true;
}

static void note_commit(struct sim *sim, struct truth_channel *channel, int node, struct life *life,
                        uint64_t op)
{
    const struct sim_fact *fact = sim_history_get(&channel->seen[node].held, op);
    const struct sim_fact *there = sim_history_get(&life->committed, op);
    if (differ(there, fact)) {
        sim_truth_fail(sim, "I4", channel->key,
                       "n%d commits another operation %" PRIu64 " than was committed before", node,
                       op);
    }
    if (fact->hash == 0 && op > life->blurred) {
        life->blurred = op;
    }
    if (there == NULL || there->hash == 0) {
        sim_history_set(&life->committed, op, fact);
        if (fact->hash != 0 && fact->message != 0) {
            sim_history_set(&life->messages, fact->seq, fact);
        }
    }
    if (!check_late(sim, channel, node, op)) {
        sim_history_set(&channel->alive, op, fact);
    }
}

static void check_commit(struct sim *sim, int node, struct truth_channel *channel, uint64_t from,
                         uint64_t to)
{
    struct life *life = life_of(channel, channel->seen[node].incarnation);
    for (uint64_t op = from; op <= to; op++) {
        note_commit(sim, channel, node, life, op);
    }
    check_size(sim, channel, node);
    check_group(sim, channel, node, from);
    note_group(sim, channel, node);
}

/* Where |held| stops to agree with |wanted|; 0: it has it all. */
static uint64_t first_missing(const struct sim_history *held, const struct sim_history *wanted)
{
    for (uint64_t op = 1; op <= wanted->count; op++) {
        const struct sim_fact *mine = sim_history_get(held, op);
        const struct sim_fact *theirs = sim_history_get(wanted, op);
        if (mine == NULL || differ(mine, theirs)) {
            return op;
        }
    }
    return 0;
}

static void check_loss(struct sim *sim, int node, struct truth_channel *channel)
{
    const struct seen *seen = &channel->seen[node];
    uint64_t missing = first_missing(&seen->held, &channel->alive);
    if (missing != 0) {
        int who = survivor(sim, channel);
        if (who >= 0) {
            sim_truth_fail(sim, "I2", channel->key,
                           "n%d activates without operation %" PRIu64 ", which n%d has kept", node,
                           missing, who);
        }
        sim_trace(sim, "truth: %s loses what was committed from %" PRIu64 " on", channel->key,
                  missing);
    }
    const struct life *life = life_find(channel, seen->incarnation);
    missing = life == NULL ? 0 : first_missing(&seen->held, &life->committed);
    if (missing != 0) {
        sim_truth_fail(sim, "I5", channel->key,
                       "n%d keeps the incarnation without its operation %" PRIu64, node, missing);
    }
}

static enum side side_of(const struct sim_truth *truth, unsigned era, uint64_t generation)
{
    for (size_t i = 0; i < truth->beginnings_count; i++) {
        if (truth->beginnings[i].era == era && truth->beginnings[i].generation == generation) {
            return truth->beginnings[i].side;
        }
    }
    return SIDE_OLD;
}

/* Whether a process that lives has been in |epoch|, or in a later one. */
static bool is_known(const struct sim_truth *truth, struct rh_epoch epoch)
{
    for (size_t i = 0; i < truth->processes_count; i++) {
        const struct process *process = &truth->processes[i];
        if (process->alive && process->view != NULL &&
            rh_epoch_compare(process->view->epoch, epoch) >= 0) {
            return true;
        }
    }
    return false;
}

/* Whether |node| acts beside one that did before it, and one of them could not know of the other. */
static bool is_beside(const struct sim *sim, int node, const struct truth_channel *channel)
{
    const struct activation *top = highest(channel);
    struct rh_term term = channel->seen[node].term;
    unsigned era = sim_check_era(sim, node);
    enum side side = side_of(sim->truth, era, term.generation);
    if (top != NULL && top->era < era && rh_term_compare(top->term, term) >= 0 &&
        (side == SIDE_NEW || !is_known(sim->truth, rh_term_epoch(top->term)))) {
        return true; /* nobody was left of those before: terms begin anew */
    }
    for (size_t i = 0; i < channel->activations_count; i++) {
        const struct activation *other = &channel->activations[i];
        enum side others = side_of(sim->truth, other->era, other->term.generation);
        if ((other->era < era && side == SIDE_BESIDE) ||
            (other->era > era && others == SIDE_BESIDE)) {
            return true;
        }
    }
    return false;
}

/* Nothing can be asked of such a channel any more. */
static void tear(struct sim *sim, struct truth_channel *channel)
{
    if (!channel->is_torn) {
        sim_trace(sim, "truth: %s began anew with the data of ZooKeeper", channel->key);
    }
    channel->is_torn = true;
}

/* The first time that the copy is seen to act under its term is checked and kept. */
static void check_activation(struct sim *sim, int node, struct truth_channel *channel)
{
    const struct seen *seen = &channel->seen[node];
    uint64_t instance = sim->nodes[node]->instance;
    for (size_t i = 0; i < channel->activations_count; i++) {
        const struct activation *other = &channel->activations[i];
        if (!rh_term_equal(other->term, seen->term)) {
            continue;
        }
        if (other->instance != instance || other->incarnation != seen->incarnation) {
            sim_truth_fail(sim, "I8", channel->key, "n%d activates under a term that was used",
                           node);
        }
        return;
    }
    const struct activation *top = highest(channel);
    bool late = top != NULL && rh_term_compare(top->term, seen->term) > 0;
    if (is_beside(sim, node, channel)) {
        tear(sim, channel);
    }
    if (!late) {
        check_loss(sim, node, channel);
    }
    channel->activations =
        grown(channel->activations, channel->activations_count, sizeof(*channel->activations));
    struct activation *activation = &channel->activations[channel->activations_count++];
    *activation = (struct activation){.term = seen->term,
                                      .instance = instance,
                                      .incarnation = seen->incarnation,
                                      .era = sim_check_era(sim, node)};
    sim_history_copy(&activation->held, &seen->held);
    if (!late) {
        sim_history_copy(&channel->alive, &seen->held);
        sim_history_cut(&channel->alive, seen->commit);
        note_group(sim, channel, node);
    }
}

/* I8: a term names one actor. */
static void check_actor(struct sim *sim, int node, struct truth_channel *channel)
{
    const struct seen *seen = &channel->seen[node];
    if (seen->group_count == 0) {
        return;
    }
    for (size_t i = channel->actors_count; i > 0; i--) {
        const struct actor *actor = &channel->actors[i - 1];
        if (rh_term_equal(actor->term, seen->term)) {
            if (actor->instance != seen->group[0].instance && is_beside(sim, node, channel)) {
                tear(sim, channel);
            } else if (actor->instance != seen->group[0].instance) {
                sim_truth_fail(sim, "I8", channel->key, "n%d has another actor of its term", node);
            }
            return;
        }
    }
    channel->actors = grown(channel->actors, channel->actors_count, sizeof(*channel->actors));
    channel->actors[channel->actors_count++] =
        (struct actor){.term = seen->term, .instance = seen->group[0].instance};
}

/* ---- a copy that was touched ---- */

static bool group_is(const struct seen *seen, const struct rh_copy_info *info)
{
    if (seen->group_count != info->group_count) {
        return false;
    }
    for (size_t i = 0; i < seen->group_count; i++) {
        if (!rh_node_ref_equal(&seen->group[i], &info->group[i])) {
            return false;
        }
    }
    return true;
}

static bool is_as_seen(const struct seen *seen, const struct rh_copy_info *info)
{
    return seen->there && seen->role == info->role && seen->incarnation == info->incarnation &&
           rh_term_equal(seen->term, info->term) && seen->op == info->op &&
           seen->commit == info->commit && seen->suspect == info->suspect && group_is(seen, info);
}

static void take_group(struct seen *seen, const struct rh_copy_info *info)
{
    seen->group = realloc(seen->group, (info->group_count + 1) * sizeof(*seen->group));
    if (seen->group == NULL) {
        abort();
    }
    for (size_t i = 0; i < info->group_count; i++) {
        seen->group[i] = info->group[i];
    }
    seen->group_count = info->group_count;
}

/* A node of the preference list in |view| that should have a copy and has none that counts; -1: there
 * is none. Excused is one that was lost since, which nobody who has that view need know. */
static int without_copy(const struct sim *sim, const struct truth_channel *channel,
                        const struct rh_view *view)
{
    uint32_t list[RH_RING_REPLICAS_MAX];
    uint64_t hash = rh_ring_hash(view->ring, channel->key, strlen(channel->key));
    size_t count = rh_ring_preference(view->ring, hash, view->config.replicas, list);
    for (size_t i = 0; i < count; i++) {
        uint64_t instance = view->members[list[i]].instance;
        const struct process *process = process_find(sim->truth, instance);
        bool failed = process == NULL || !process->alive || !process->registered ||
                      process->failed > channel->group_moment ||
                      strcmp(process->chain, rh_view_chain(view, list[i])) != 0;
        if (!failed && !is_in_good_standing(sim->truth, channel, process->node, instance)) {
            return process->node;
        }
    }
    return -1;
}

/* G3: who drops its copy has been asked to by one who knew that all who are to have one do, in the
 * view of then, or of now, or in the last that it had before it died. |node| drops it. */
static void check_left(struct sim *sim, struct truth_channel *channel, int node)
{
    size_t kept = 0;
    for (size_t i = 0; i < channel->group_count; i++) {
        if (channel->group[i] != sim->nodes[node]->instance) {
            channel->group[kept++] = channel->group[i];
        }
    }
    if (kept == channel->group_count || channel->alive.count == 0) {
        return;
    }
    channel->group_count = kept;
    const struct activation *top = highest(channel);
    const struct process *actor = top == NULL ? NULL : process_find(sim->truth, top->instance);
    if (actor != NULL && channel->seen[actor->node].role == RH_ROLE_CLOSING) {
        return; /* nobody is to have one (G8), whatever view has come meanwhile */
    }
    int who = without_copy(sim, channel, rh_core_view(sim->nodes[node]->core));
    if (who >= 0 && actor != NULL && actor->view != NULL) {
        who = without_copy(sim, channel, actor->view);
    }
    if (who >= 0) {
        sim_truth_fail(sim, "I2", channel->key, "n%d drops its copy while n%d has none that counts",
                       node, who);
    }
}

static void note_gone(struct sim *sim, struct truth_channel *channel, int node)
{
    struct seen *seen = &channel->seen[node];
    if (seen->there) {
        check_left(sim, channel, node);
    }
    seen->there = false;
    seen->op = 0;
    sim_history_cut(&seen->held, 0);
}

static void look(struct sim *sim, int node, struct truth_channel *channel,
                 const struct rh_copy_info *info)
{
    struct seen *seen = &channel->seen[node];
    seen->visit = sim->truth->visits;
    if (!rh_role_holds_copy(info->role)) {
        note_gone(sim, channel, node);
        return;
    }
    if (is_as_seen(seen, info)) {
        return;
    }
    look_at_log(sim, node, channel, info);
    bool same_term = seen->there && rh_term_equal(seen->term, info->term);
    bool other_group = same_term && !group_is(seen, info);
    if (!info->suspect && (!same_term || seen->suspect)) {
        seen->confirmed = sim->truth->moment;
    }
    uint64_t commit = same_term && is_acting(seen->role) ? seen->commit : 0;
    if (!seen->there) {
        struct held *held = &sim->truth->held[node];
        held->channels = grown(held->channels, held->count, sizeof(*held->channels));
        held->channels[held->count++] = channel;
    }
    seen->there = true;
    seen->role = info->role;
    seen->incarnation = info->incarnation;
    seen->term = info->term;
    seen->op = info->op;
    seen->commit = info->commit;
    seen->suspect = info->suspect;
    take_group(seen, info);
    check_actor(sim, node, channel);
    if (info->commit > info->op) {
        sim_truth_fail(sim, "I1", channel->key, "n%d takes for committed what it does not hold",
                       node);
    }
    if (!is_acting(info->role)) {
        return;
    }
    check_activation(sim, node, channel);
    if (info->commit > commit) {
        check_commit(sim, node, channel, commit + 1, info->commit);
    } else if (other_group) {
        check_group(sim, channel, node, 1);
        note_group(sim, channel, node);
    }
}

/* Channels that have come to their end in order: nothing of them has to be found again. */
static void note_ends(struct sim *sim, int node)
{
    const struct rh_actions *actions = &sim->nodes[node]->core_actions;
    for (size_t i = 0; i < actions->count; i++) {
        const struct rh_core_trace *trace = &actions->items[i].trace;
        if (actions->items[i].kind == RH_ACTION_TRACE && trace->kind == RH_TRACE_ROLE &&
            trace->from == RH_ROLE_CLOSING && !rh_role_holds_copy(trace->to)) {
            sim_history_cut(&channel_of(sim, trace->key)->alive, 0);
        }
    }
}

/* I14: what is bounded. */
static void check_bounds(struct sim *sim, int node)
{
    struct rh_core_inside inside;
    rh_core_inside(sim->nodes[node]->core, &inside);
    if (inside.held_bytes > (uint64_t)sim->nodes_count * SIM_HELD_BYTES_MAX) {
        sim_fail(sim, "I14: n%d holds %" PRIu64 " bytes of frames", node, inside.held_bytes);
    }
}

void sim_truth_stepped(struct sim *sim, int node, const struct rh_event *event)
{
    struct sim_truth *truth = sim->truth;
    const struct rh_core *core = sim->nodes[node]->core;
    truth->moment++;
    truth->visits++;
    if (event->kind == RH_EVENT_LOST) {
        sim_truth_lost(sim, sim->nodes[node]->instance);
    }
    note_ends(sim, node);
    struct rh_copy_info info;
    for (void *at = rh_core_copy_next(core, NULL, &info); at != NULL;
         at = rh_core_copy_next(core, at, &info)) {
        look(sim, node, channel_of(sim, info.key), &info);
    }
    struct held *held = &truth->held[node];
    for (size_t i = held->count; i > 0; i--) {
        struct truth_channel *channel = held->channels[i - 1];
        if (channel->seen[node].there && channel->seen[node].visit != truth->visits) {
            note_gone(sim, channel, node);
        }
        if (!channel->seen[node].there) {
            held->channels[i - 1] = held->channels[--held->count];
        }
    }
    if (!sim->wide || truth->moment % (uint64_t)sim->nodes_count == 0) {
        check_bounds(sim, node);
    }
}

/* ---- processes ---- */

void sim_truth_started(struct sim *sim, int node)
{
    struct sim_truth *truth = sim->truth;
    truth->processes = grown(truth->processes, truth->processes_count, sizeof(*truth->processes));
    truth->processes[truth->processes_count++] =
        (struct process){.instance = sim->nodes[node]->instance, .node = node, .alive = true};
}

void sim_truth_ended(struct sim *sim, int node)
{
    struct sim_truth *truth = sim->truth;
    struct process *process = process_find(truth, sim->nodes[node]->instance);
    if (process != NULL) {
        process->alive = false;
        process->failed = ++truth->moment;
    }
    struct held *held = &truth->held[node];
    for (size_t i = 0; i < held->count; i++) {
        struct seen *seen = &held->channels[i]->seen[node];
        seen->there = false;
        seen->op = 0;
        sim_history_cut(&seen->held, 0);
    }
    held->count = 0;
}

void sim_truth_registered(struct sim *sim, uint64_t instance, const char *name)
{
    struct process *process = process_find(sim->truth, instance);
    if (process != NULL && !process->registered) {
        process->registered = true;
        (void)snprintf(process->chain, sizeof(process->chain), "%s", name);
    }
}

void sim_truth_lost(struct sim *sim, uint64_t instance)
{
    struct process *process = process_find(sim->truth, instance);
    if (process != NULL && process->registered) {
        process->registered = false;
        process->failed = ++sim->truth->moment;
    }
}

static struct process *process_at(const struct sim *sim, int node)
{
    struct process *process = process_find(sim->truth, sim->nodes[node]->instance);
    assert(process != NULL); /* it was told of when it began */
    return process;
}

void sim_truth_asks(struct sim *sim, int node)
{
    struct process *process = process_at(sim, node);
    process->asks = true;
    process->told = false;
}

void sim_truth_told(struct sim *sim, int node, uint64_t until_ms)
{
    process_at(sim, node)->told |= sim->now_ms < until_ms;
}

void sim_truth_adopted(struct sim *sim, int node, struct rh_view *view)
{
    struct process *process = process_at(sim, node);
    process->adopted = true;
    rh_view_give(process->view);
    process->view = rh_view_take(view);
    process->side = side_of(sim->truth, sim_check_era(sim, node), view->epoch.generation);
}

static bool is_another_there(const struct sim_truth *truth, const struct process *process)
{
    for (size_t i = 0; i < truth->processes_count; i++) {
        const struct process *other = &truth->processes[i];
        if (other != process && other->alive && other->adopted) {
            return true;
        }
    }
    return false;
}

void sim_truth_began(struct sim *sim, int node, uint64_t generation)
{
    struct sim_truth *truth = sim->truth;
    const struct process *process = process_at(sim, node);
    enum side side = process->side;
    if (!process->adopted && process->asks && !process->told) {
        side = is_another_there(truth, process) ? SIDE_BESIDE : SIDE_NEW;
    }
    if (side == SIDE_OLD || sim_zookeeper_era(sim) == 0) {
        return;
    }
    sim_trace(sim, "truth: n%d begins %s", node,
              side == SIDE_NEW ? "a new cluster" : "a cluster beside another");
    truth->beginnings =
        grown(truth->beginnings, truth->beginnings_count, sizeof(*truth->beginnings));
    truth->beginnings[truth->beginnings_count++] =
        (struct beginning){.era = sim_zookeeper_era(sim), .generation = generation, .side = side};
}

void sim_truth_all_lost(struct sim *sim)
{
    for (size_t i = 0; i < sim->truth->processes_count; i++) {
        sim_truth_lost(sim, sim->truth->processes[i].instance);
    }
}

/* ---- clients ---- */

static const struct life *life_anywhere(const struct sim_truth *truth, uint64_t incarnation)
{
    for (size_t i = 0; i < truth->channels_count; i++) {
        const struct life *life = life_find(truth->channels[i], incarnation);
        if (life != NULL) {
            return life;
        }
    }
    return NULL;
}

/* What is wrong with that message of a life, or NULL: it is the one that was committed. */
static const char *doubt(const struct life *life, uint64_t seq, uint64_t message)
{
    const struct sim_fact *fact = life == NULL ? NULL : sim_history_get(&life->messages, seq);
    bool known = fact != NULL && fact->hash != 0;
    if (life == NULL || (!known && seq > life->blurred)) {
        return "not committed";
    }
    return known && fact->message != message ? "another message" : NULL;
}

void sim_truth_served(struct sim *sim, int node, const char *key, uint64_t incarnation,
                      const struct rh_entry *entry, const char *what)
{
    struct truth_channel *channel = channel_of(sim, rh_bytes_text(key));
    const struct seen *seen = &channel->seen[node];
    if (!seen->there || !is_acting(seen->role) || seen->incarnation != incarnation) {
        sim_truth_fail(sim, "I6", key, "n%d gives %s, and does not act", node, what);
        return;
    }
    if (entry == NULL) {
        return;
    }
    uint64_t message = sim_truth_message(entry);
    const char *what_is = doubt(life_of(channel, incarnation), entry->seq, message);
    if (what_is != NULL) {
        sim_truth_fail(sim, "I6", key, "n%d delivers m%" PRIu64 " as %" PRIu64 ", which is %s",
                       node, message, entry->seq, what_is);
    }
}

void sim_truth_relayed(struct sim *sim, const char *key, uint64_t incarnation, uint64_t seq,
                       uint64_t message)
{
    struct truth_channel *channel = channel_of(sim, rh_bytes_text(key));
    const char *what_is = doubt(life_find(channel, incarnation), seq, message);
    if (what_is != NULL) {
        sim_truth_fail(sim, "I6", key, "m%" PRIu64 " is relayed as %" PRIu64 ", which is %s",
                       message, seq, what_is);
    }
}

bool sim_truth_may_lack(struct sim *sim, const char *key, uint64_t incarnation)
{
    struct truth_channel *channel = channel_of(sim, rh_bytes_text(key));
    if (channel->is_torn || channel->lives_count > 1 || sim->limits.log_age_ms < SIM_SHORT_AGE_MS) {
        return true;
    }
    const struct life *life = incarnation == 0 && channel->lives_count > 0
                                  ? &channel->lives[0]
                                  : life_find(channel, incarnation);
    return life == NULL || life->committed.count > sim->limits.log_messages;
}

void sim_truth_acknowledged(struct sim *sim, uint64_t incarnation, uint64_t seq, uint64_t message)
{
    const char *what_is = doubt(life_anywhere(sim->truth, incarnation), seq, message);
    if (what_is != NULL) {
        sim_fail(sim, "I3: m%" PRIu64 " is acknowledged as %016" PRIx64 ":%" PRIu64 ", which is %s",
                 message, incarnation, seq, what_is);
    }
}

void sim_truth_moved(struct sim *sim, int node, const char *key, uint64_t incarnation)
{
    const struct sim_node *process = sim->nodes[node];
    const struct truth_channel *channel = channel_of(sim, rh_bytes_text(key));
    const struct seen *seen = &channel->seen[node];
    if (sim_node_owner(sim, rh_core_view(process->core), key) == node && seen->there &&
        seen->incarnation == incarnation) {
        sim_truth_fail(sim, "I9", key, "n%d sends its clients away, and owns and holds it", node);
    }
}

/* ---- life ---- */

void sim_truth_create(struct sim *sim)
{
    sim->truth = calloc(1, sizeof(*sim->truth));
    if (sim->truth == NULL ||
        (sim->truth->held = calloc((size_t)sim->nodes_count, sizeof(*sim->truth->held))) == NULL ||
        rh_table_init(&sim->truth->by_key) != 0) {
        abort();
    }
}

static void channel_destroy(struct truth_channel *channel, int nodes_count)
{
    for (int i = 0; i < nodes_count; i++) {
        free(channel->seen[i].group);
        sim_history_finish(&channel->seen[i].held);
    }
    for (size_t i = 0; i < channel->lives_count; i++) {
        sim_history_finish(&channel->lives[i].committed);
        sim_history_finish(&channel->lives[i].messages);
        sim_lines_finish(&channel->lives[i].lines);
    }
    for (size_t i = 0; i < channel->activations_count; i++) {
        sim_history_finish(&channel->activations[i].held);
    }
    free(channel->seen);
    sim_history_finish(&channel->alive);
    free(channel->lives);
    free(channel->activations);
    free(channel->actors);
    free(channel);
}

void sim_truth_destroy(struct sim *sim)
{
    struct sim_truth *truth = sim->truth;
    if (truth == NULL) {
        return;
    }
    for (size_t i = 0; i < truth->channels_count; i++) {
        channel_destroy(truth->channels[i], sim->nodes_count);
    }
    for (int i = 0; i < sim->nodes_count; i++) {
        free(truth->held[i].channels);
    }
    free(truth->held);
    rh_table_finish(&truth->by_key);
    free(truth->channels);
    for (size_t i = 0; i < truth->processes_count; i++) {
        rh_view_give(truth->processes[i].view);
    }
    free(truth->processes);
    free(truth->beginnings);
    free(truth);
}
