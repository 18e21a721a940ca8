/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_topics.h"

#include "node/core_inspect.h"
#include "node/follows.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_node.h"
#include "tests/simulator_truth.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FANS         6
#define TOPICS       4 /* room:0 to room:3, as the clients call them */
#define FOLLOWS      3 /* of each fan */
#define ASK_AGAIN_MS 700
#define GAPS_MAX     64
#define ANSWERED     UINT64_MAX

/* Between two messages of a topic in the log of a fan; to be explained by what the topic trimmed. */
struct gap {
    int fan;
    int topic;
    uint64_t incarnation;
    uint64_t before;
    uint64_t after;
};

struct sim_topics {
    uint64_t asked[FANS][FOLLOWS]; /* number of the request; ANSWERED */
    uint64_t number;
    uint64_t taken;
    struct gap gaps[GAPS_MAX];
    size_t gaps_count;
    char text[256];
};

void sim_topics_create(struct sim *sim)
{
    sim->topics = calloc(1, sizeof(*sim->topics));
    if (sim->topics == NULL) {
        abort();
    }
}

void sim_topics_destroy(struct sim *sim)
{
    free(sim->topics);
}

static void fan_key(int fan, char out[static SIM_KEY_SIZE])
{
    (void)snprintf(out, SIM_KEY_SIZE, "fan:%d", fan);
}

static void topic_key(int topic, char out[static SIM_KEY_SIZE])
{
    (void)snprintf(out, SIM_KEY_SIZE, "room:%d", topic);
}

/* ---- asking ---- */

struct request {
    struct sim_event event;
    int node;
    uint64_t instance;
    uint64_t number;
    int fan;
    int follow;
};

static void run_request(struct sim *sim, struct sim_event *event)
{
    struct request *request = rh_container_of(event, struct request, event);
    if (!sim_node_takes(sim, request->node, request->instance, event)) {
        return;
    }
    char key[SIM_KEY_SIZE];
    char topic[SIM_KEY_SIZE];
    fan_key(request->fan, key);
    topic_key((request->fan + request->follow) % TOPICS, topic);
    struct rh_event asked = {
        .kind = RH_EVENT_FOLLOW,
        .follow = {.request = request->number,
                   .key = rh_bytes_text(key),
                   .what = RH_PEER_FOLLOW_ADD,
                   .topic = rh_bytes_text(topic),
                   .has_after = request->fan % 2 == 0}, /* all that the log holds */
    };
    sim_node_request(sim, request->node, &asked);
}

static void run_asker(struct sim *sim, struct sim_event *event)
{
    struct sim_topics *topics = sim->topics;
    bool again = false;
    (void)event;
    for (int fan = 0; fan < FANS; fan++) {
        for (int follow = 0; follow < FOLLOWS; follow++) {
            if (topics->asked[fan][follow] == ANSWERED) {
                continue;
            }
            struct request *request = sim_event(sizeof(*request), run_request);
            request->event.unread = true;
            request->node = (int)sim_below(sim, (uint64_t)sim->nodes_count);
            request->instance =
                sim->nodes[request->node]->running ? sim->nodes[request->node]->instance : 0;
            request->number = ++topics->number;
            request->fan = fan;
            request->follow = follow;
            topics->asked[fan][follow] = request->number;
            sim_after(sim, sim_delay_ms(sim), &request->event);
            again = true;
        }
    }
    if (again) {
        sim_after(sim, ASK_AGAIN_MS, sim_event(sizeof(struct sim_event), run_asker));
    }
}

void sim_topics_begin(struct sim *sim)
{
    if (sim->options.topics) {
        sim_after(sim, 1, sim_event(sizeof(struct sim_event), run_asker));
    }
}

void sim_topics_answered(struct sim *sim, int node, const struct rh_action *action)
{
    const struct rh_follow_result *result = &action->followed.result;
    sim_trace(sim, "follow f%" PRIu64 " at n%d: %s", action->followed.request, node,
              result->refusal == RH_REFUSAL_NONE ? "done" : rh_refusal_code(result->refusal));
    for (int i = 0; i < FANS * FOLLOWS; i++) {
        uint64_t *asked = &sim->topics->asked[i / FOLLOWS][i % FOLLOWS];
        if (*asked == action->followed.request && result->refusal == RH_REFUSAL_NONE) {
            *asked = ANSWERED;
        }
    }
}

/* ---- what has come ---- */

static int number_of(struct rh_bytes key, const char *prefix)
{
    uint64_t number = 0;
    size_t size = strlen(prefix);
    bool fits = key.size > size && memcmp(key.data, prefix, size) == 0 &&
                rh_bytes_to_u64(rh_bytes(key.data + size, key.size - size), 1000, &number) == 0;
    return fits ? (int)number : -1;
}

static void note_gap(struct sim *sim, const struct gap *gap)
{
    struct sim_topics *topics = sim->topics;
    if (topics->gaps_count < GAPS_MAX) {
        topics->gaps[topics->gaps_count++] = *gap;
    }
}

void sim_topics_entry(struct sim *sim, int node, const struct rh_copy_info *info, uint64_t op,
                      const struct rh_entry *entry)
{
    if (!entry->has_topic || entry->entry_kind != RH_ENTRY_MESSAGE) {
        return;
    }
    struct rh_position position = rh_entry_position(entry);
    sim->topics->taken++;
    for (uint64_t before = op - 1; before >= info->first_op && before > 0; before--) {
        struct rh_term term;
        const struct rh_entry *other =
            rh_core_copy_entry(sim->nodes[node]->core, info->key, before, &term);
        if (other == NULL) {
            return;
        }
        if (other->entry_kind != RH_ENTRY_MESSAGE ||
            !rh_bytes_equal(rh_entry_topic(other), rh_entry_topic(entry))) {
            continue;
        }
        struct rh_position last = rh_entry_position(other);
        if (last.incarnation == position.incarnation && last.seq >= position.seq) {
            sim_fail(sim,
                     "T-once: %.*s at n%d has message %" PRIu64 " of %.*s in operation %" PRIu64
                     ", after %" PRIu64 " in operation %" PRIu64,
                     RH_BYTES_ARG(info->key), node, position.seq,
                     RH_BYTES_ARG(rh_entry_topic(entry)), op, last.seq, before);
        } else if (last.incarnation == position.incarnation && last.seq + 1 != position.seq) {
            note_gap(sim, &(struct gap){.fan = number_of(info->key, "fan:"),
                                        .topic = number_of(rh_entry_topic(entry), "room:"),
                                        .incarnation = position.incarnation,
                                        .before = last.seq,
                                        .after = position.seq});
        }
        return;
    }
}

/* ---- at rest ---- */

/* Who acts for a channel, or NULL. */
static const struct rh_core *actor_of(const struct sim *sim, const char *key,
                                      struct rh_copy_info *ret_info)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        if (node->running && rh_core_copy_find(node->core, rh_bytes_text(key), ret_info) &&
            ret_info->role == RH_ROLE_ACTING) {
            return node->core;
        }
    }
    return NULL;
}

/* Whether a copy knows what the actor knows. */
static bool is_same_table(const struct rh_follows *a, const struct rh_follows *b)
{
    if (rh_follows_count(a) != rh_follows_count(b)) {
        return false;
    }
    for (uint32_t i = 0; i < rh_follows_count(a); i++) {
        const struct rh_follow *other = rh_follows_find(b, rh_follow_topic(a->items[i]));
        if (other == NULL || other->position.incarnation != a->items[i]->position.incarnation ||
            other->position.seq != a->items[i]->position.seq) {
            return false;
        }
    }
    return true;
}

static const char *copies_unrest(struct sim *sim, const char *key, const struct rh_copy_info *actor)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        struct rh_copy_info info;
        const struct sim_node *node = sim->nodes[i];
        if (node->running && rh_core_copy_find(node->core, rh_bytes_text(key), &info) &&
            info.role == RH_ROLE_REPLICA && info.op == actor->op &&
            rh_term_equal(info.term, actor->term) && !is_same_table(info.follows, actor->follows)) {
            (void)snprintf(sim->topics->text, sizeof(sim->topics->text),
                           "T: %s follows something else at n%d", key, i);
            return sim->topics->text;
        }
    }
    return NULL;
}

static const char *fan_unrest(struct sim *sim, int fan)
{
    char key[SIM_KEY_SIZE];
    struct rh_copy_info info;
    fan_key(fan, key);
    if (actor_of(sim, key, &info) == NULL) {
        return NULL; /* never made, lost or reclaimed */
    }
    for (uint32_t i = 0; i < rh_follows_count(info.follows); i++) {
        const struct rh_follow *follow = info.follows->items[i];
        char topic[SIM_KEY_SIZE];
        struct rh_copy_info from;
        (void)snprintf(topic, sizeof(topic), "%.*s", RH_BYTES_ARG(rh_follow_topic(follow)));
        if (actor_of(sim, topic, &from) == NULL) {
            continue;
        }
        bool is_there = (from.incarnation == follow->position.incarnation &&
                         follow->position.seq == from.seq) ||
                        from.first_op > from.op; /* or all that came after is trimmed */
        if (!is_there) {
            (void)snprintf(sim->topics->text, sizeof(sim->topics->text),
                           "T: %s has %016" PRIx64 ":%" PRIu64 " of %s, which is at %016" PRIx64
                           ":%" PRIu64,
                           key, follow->position.incarnation, follow->position.seq, topic,
                           from.incarnation, from.seq);
            return sim->topics->text;
        }
    }
    return copies_unrest(sim, key, &info);
}

const char *sim_topics_unrest(struct sim *sim)
{
    const char *what = NULL;
    for (int fan = 0; sim->options.topics && what == NULL && fan < FANS; fan++) {
        what = fan_unrest(sim, fan);
    }
    return what;
}

void sim_topics_finish(struct sim *sim)
{
    struct sim_topics *topics = sim->topics;
    if (!sim->options.topics || sim->failed) {
        return;
    }
    sim_trace(sim, "%" PRIu64 " messages came by topics, %zu gaps", topics->taken,
              topics->gaps_count);
    for (size_t i = 0; i < topics->gaps_count; i++) {
        const struct gap *gap = &topics->gaps[i];
        char key[SIM_KEY_SIZE];
        struct rh_copy_info info;
        topic_key(gap->topic, key);
        bool is_known = actor_of(sim, key, &info) != NULL && info.incarnation == gap->incarnation;
        if (is_known && info.op <= sim->limits.log_messages &&
            sim->limits.log_age_ms >= SIM_SHORT_AGE_MS) {
            sim_fail(sim,
                     "T-whole: fan:%d has messages %" PRIu64 " and %" PRIu64
                     " of %s, which has trimmed nothing, and none between",
                     gap->fan, gap->before, gap->after, key);
        }
    }
}
