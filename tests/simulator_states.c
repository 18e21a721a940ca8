/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_states.h"

#include "tests/simulator_clients.h"
#include "tests/simulator_node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS     4
#define WRITERS      3
#define SEED_PART    3 /* one seed of so many has writers */
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 400

/* A request, by number from 1; the document that a write makes is the text "s<number>". */
struct ask {
    enum rh_event_kind kind;
    int channel; /* -1: of a script */
    enum rh_peer_state_condition condition;
    uint64_t if_version;
};

/* What is known of a version of an incarnation. */
struct version {
    uint64_t incarnation;
    uint64_t version;
    uint64_t ask; /* that made it */
};

struct sim_states {
    bool writing;
    struct ask *asks;
    size_t asks_count;
    size_t asks_capacity;
    struct version *versions;
    size_t versions_count;
    size_t versions_capacity;
    uint64_t known[CHANNELS]; /* version that was last read or written; 0: none is there */
};

void sim_states_create(struct sim *sim)
{
    sim->states = calloc(1, sizeof(*sim->states));
    if (sim->states == NULL) {
        abort();
    }
}

void sim_states_destroy(struct sim *sim)
{
    free(sim->states->asks);
    free(sim->states->versions);
    free(sim->states);
}

static void *grown(void *items, size_t size, size_t count, size_t *capacity)
{
    if (count < *capacity) {
        return items;
    }
    *capacity = *capacity == 0 ? 64 : 2 * *capacity;
    items = realloc(items, size * *capacity);
    if (items == NULL) {
        abort();
    }
    return items;
}

/* ---- asking ---- */

struct request {
    struct sim_event event;
    int node;
    uint64_t instance;
    uint64_t number;
    char key[SIM_KEY_SIZE];
};

static void run_request(struct sim *sim, struct sim_event *event)
{
    struct request *request = rh_container_of(event, struct request, event);
    if (!sim_node_takes(sim, request->node, request->instance, event)) {
        return;
    }
    const struct ask *ask = &sim->states->asks[request->number - 1];
    char text[32];
    (void)snprintf(text, sizeof(text), "s%" PRIu64, request->number);
    struct rh_event asked = {
        .kind = ask->kind,
        .state = {.request = request->number,
                  .key = rh_bytes_text(request->key),
                  .condition = ask->condition,
                  .if_version = ask->if_version,
                  .content_type = rh_bytes_text("text/plain"),
                  .state = rh_bytes_text(text)},
    };
    sim_node_request(sim, request->node, &asked);
}

static uint64_t ask_node(struct sim *sim, int node, const char *key, struct ask ask)
{
    struct sim_states *states = sim->states;
    states->asks = grown(states->asks, sizeof(ask), states->asks_count, &states->asks_capacity);
    states->asks[states->asks_count++] = ask;
    struct request *request = sim_event(sizeof(*request), run_request);
    request->event.unread = true;
    request->node = node;
    request->instance = sim->nodes[node]->running ? sim->nodes[node]->instance : 0;
    request->number = states->asks_count;
    (void)snprintf(request->key, sizeof(request->key), "%s", key);
    sim_after(sim, sim_delay_ms(sim), &request->event);
    return states->asks_count;
}

static struct ask write_of(enum rh_event_kind kind, uint64_t if_version)
{
    return (struct ask){
        .kind = kind,
        .channel = -1,
        .condition = if_version == 0 ? RH_PEER_STATE_ANY : RH_PEER_STATE_VERSION,
        .if_version = if_version,
    };
}

uint64_t sim_states_put(struct sim *sim, int node, const char *key, uint64_t if_version)
{
    return ask_node(sim, node, key, write_of(RH_EVENT_STATE_PUT, if_version));
}

uint64_t sim_states_delete(struct sim *sim, int node, const char *key, uint64_t if_version)
{
    return ask_node(sim, node, key, write_of(RH_EVENT_STATE_DELETE, if_version));
}

uint64_t sim_states_get(struct sim *sim, int node, const char *key)
{
    return ask_node(sim, node, key, write_of(RH_EVENT_STATE_GET, 0));
}

/* ---- writers ---- */

static void ask_something(struct sim *sim)
{
    int channel = (int)sim_below(sim, CHANNELS);
    int node = (int)sim_below(sim, (uint64_t)sim->nodes_count);
    uint64_t known = sim->states->known[channel];
    struct ask ask = {.kind = RH_EVENT_STATE_GET, .channel = channel};
    if (!sim_chance(sim, 400)) {
        bool removes = known != 0 && sim_chance(sim, 100);
        ask.kind = removes ? RH_EVENT_STATE_DELETE : RH_EVENT_STATE_PUT;
        ask.condition = known != 0 ? RH_PEER_STATE_VERSION : RH_PEER_STATE_ABSENT;
        ask.if_version = known;
        if (sim_chance(sim, 200)) {
            ask.condition = RH_PEER_STATE_ANY;
            ask.if_version = 0;
        }
    }
    char key[SIM_KEY_SIZE];
    (void)snprintf(key, sizeof(key), "room:%d", channel);
    (void)ask_node(sim, node, key, ask);
    if (ask.kind == RH_EVENT_STATE_PUT && sim_chance(sim, 300)) { /* a rival */
        (void)ask_node(sim, (int)sim_below(sim, (uint64_t)sim->nodes_count), key, ask);
    }
}

static void run_writer(struct sim *sim, struct sim_event *event)
{
    if (!sim->states->writing) {
        return;
    }
    ask_something(sim);
    (void)event;
    struct sim_event *next = sim_event(sizeof(*next), run_writer);
    sim_after(sim, sim_between(sim, PAUSE_MIN_MS, PAUSE_MAX_MS), next);
}

void sim_states_begin(struct sim *sim)
{
    sim->states->writing = sim->options.seed / 11 % SEED_PART == 0;
    for (int i = 0; sim->states->writing && i < WRITERS; i++) {
        struct sim_event *event = sim_event(sizeof(*event), run_writer);
        sim_after(sim, 1, event);
    }
}

void sim_states_end(struct sim *sim)
{
    sim->states->writing = false;
}

/* ---- what they are told ---- */

static void note(struct sim *sim, uint64_t incarnation, uint64_t version, uint64_t ask)
{
    struct sim_states *states = sim->states;
    for (size_t i = 0; i < states->versions_count; i++) {
        const struct version *known = &states->versions[i];
        if (known->incarnation == incarnation && known->version == version) {
            if (known->ask != ask) {
                sim_fail(sim,
                         "N10: version %" PRIu64 " of incarnation %016" PRIx64 " is s%" PRIu64
                         " and s%" PRIu64,
                         version, incarnation, known->ask, ask);
            }
            return;
        }
    }
    states->versions = grown(states->versions, sizeof(*states->versions), states->versions_count,
                             &states->versions_capacity);
    states->versions[states->versions_count++] =
        (struct version){.incarnation = incarnation, .version = version, .ask = ask};
}

static void check_written(struct sim *sim, const struct ask *ask, uint64_t number,
                          const struct rh_state_result *result)
{
    note(sim, result->incarnation, result->version, number);
    if (ask->condition == RH_PEER_STATE_VERSION && result->version != ask->if_version + 1) {
        sim_fail(sim, "N10: s%" PRIu64 " made version %" PRIu64 " if the version was %" PRIu64,
                 number, result->version, ask->if_version);
    }
}

static void trace_answer(struct sim *sim, int node, uint64_t number,
                         const struct rh_state_result *result)
{
    static const char *const outcomes[RH_PEER_STATE_OUTCOMES] = {"found",   "none",    "created",
                                                                 "changed", "deleted", "conflict"};
    if (result->refusal != RH_REFUSAL_NONE) {
        sim_trace(sim, "state s%" PRIu64 " at n%d: %s", number, node,
                  rh_refusal_code(result->refusal));
    } else {
        sim_trace(sim, "state s%" PRIu64 " at n%d: %s v%" PRIu64 " %.*s", number, node,
                  outcomes[result->outcome], result->version, (int)result->state.size,
                  result->state.size == 0 ? "" : (const char *)result->state.data);
    }
}

/* Of the text "s12". */
static uint64_t number_in(struct rh_bytes text)
{
    uint64_t number = 0;
    bool fits =
        text.size > 1 && rh_bytes_to_u64(rh_bytes((const char *)text.data + 1, text.size - 1),
                                         UINT64_MAX, &number) == 0;
    return fits ? number : 0;
}

void sim_states_shown(struct sim *sim, uint64_t incarnation, const struct rh_entry *state)
{
    if (state->entry_kind == RH_ENTRY_STATE) {
        note(sim, incarnation, rh_entry_version(state), number_in(rh_entry_payload(state).bytes));
    }
}

void sim_states_answered(struct sim *sim, int node, const struct rh_action *action)
{
    struct sim_states *states = sim->states;
    uint64_t number = action->state.request;
    const struct rh_state_result *result = &action->state.result;
    const struct ask *ask = &states->asks[number - 1];
    uint64_t known = 0;
    trace_answer(sim, node, number, result);
    if (result->refusal != RH_REFUSAL_NONE) {
        return;
    }
    switch (result->outcome) {
    case RH_PEER_STATE_FOUND:
        note(sim, result->incarnation, result->version, number_in(result->state));
        known = result->version;
        break;
    case RH_PEER_STATE_CREATED:
    case RH_PEER_STATE_CHANGED:
        known = result->version;
        check_written(sim, ask, number, result);
        break;
    case RH_PEER_STATE_DELETED:
        check_written(sim, ask, number, result);
        break;
    case RH_PEER_STATE_CONFLICT:
        known = result->version;
        break;
    case RH_PEER_STATE_NONE:
    case RH_PEER_STATE_OUTCOMES:
        break;
    }
    if (ask->channel >= 0) {
        states->known[ask->channel] = known;
    }
}
