/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_faults.h"

#include "base/units.h"
#include "node/core_inspect.h"
#include "tests/simulator_check.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_network.h"
#include "tests/simulator_node.h"
#include "tests/simulator_zookeeper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX   24
#define RECOVER_MS   12000U /* an operator takes her time */
#define FORGOTTEN_MS 1500U  /* after its death; the session would take more than 4 s */

/* Name, how long it lasts at least and at most. */
#define FAULT_MAP(X)                                                                         \
    X(CRASH, "crash", 5, 12000) /* and a restart */                                          \
    X(PAUSE, "pause", 50, 12000)                                                             \
    X(TERMINATE, "terminate", 8000, 14000)                                                   \
    X(CUT, "cut", 50, 9000)                                                                  \
    X(CUT_ONE_WAY, "cut_one_way", 50, 9000)                                                  \
    X(ISOLATE, "isolate", 200, 9000) /* from all nodes */                                    \
    X(RESET, "reset", 0, 0)                                                                  \
    X(FIREWALL, "firewall", 50, 4000)                                                        \
    X(ZK_CUT, "zookeeper_cut", 50, 9000)                                                     \
    X(ZK_DISCONNECT, "zookeeper_disconnect", 0, 0)                                           \
    X(ZK_SERVER, "zookeeper_server", 100, 6000)                                              \
    X(ZK_LEADER, "zookeeper_leader", 100, 900)                                               \
    X(ZK_OUTAGE, "zookeeper_outage", 500, 12000)                                             \
    X(ZK_LOST_SESSIONS, "zookeeper_lost_sessions", 100, 6000)                                \
    X(ZK_WIPE, "zookeeper_wipe", 100, 4000)                                                  \
    X(ZK_LAG, "zookeeper_lag", 50, 8000)                                                     \
    X(EXPIRE, "expire", 0, 0)                                                                \
    X(EXPIRE_ALL, "expire_all", 0, 0)                                                        \
    X(DRAIN, "drain", 0, 0)                                                                  \
    X(JOIN, "join", 0, 0)                                                                    \
    X(WEIGHT, "weight", 0, 0)                                                                \
    X(START, "start", 0, 0)                                                                  \
    X(CLIENT, "client_disconnect", 0, 0)                                                     \
    X(SLOW, "client_slow", 0, 0)                                                             \
    /* Those below are for nodes that replicate. */                                          \
    X(EXPIRE_GROUP, "expire_group", 0, 0)                                                    \
    X(HALVES, "halves", 200, 12000) /* of the nodes; one of them mostly without ZooKeeper */ \
    X(DARK, "dark", 200, 12000)     /* without any other node, and without ZooKeeper */      \
    X(LATE_TICKS, "late_ticks", 500, 8000)                                                   \
    X(ZK_STRAND, "zookeeper_strand", 300, 6000) /* at a leader that was deposed */

enum fault_kind {
#define FAULT_ENUM(name, text, least, most) FAULT_##name,
    FAULT_MAP(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KINDS,
    FAULT_KINDS_PLAIN = FAULT_EXPIRE_GROUP,
};

static const struct {
    const char *name;
    uint64_t least_ms;
    uint64_t most_ms;
} kinds[] = {
#define FAULT_ROW(name, text, least, most) {text, least, most},
    FAULT_MAP(FAULT_ROW)
#undef FAULT_ROW
};

struct fault {
    enum fault_kind kind;
    uint64_t at_ms; /* after the beginning */
    uint64_t for_ms;
    int a; /* node, or server */
    int b;
    uint64_t value;
    uint64_t instance; /* CRASH, PAUSE: whom it has hit */
};

#define BIT(name) (1U << FAULT_##name)

#define ZOOKEEPER_FAULTS                                                                   \
    (BIT(ZK_CUT) | BIT(ZK_DISCONNECT) | BIT(ZK_SERVER) | BIT(ZK_LEADER) | BIT(ZK_OUTAGE) | \
     BIT(ZK_LOST_SESSIONS) | BIT(ZK_LAG) | BIT(EXPIRE) | BIT(EXPIRE_ALL))
#define NODE_FAULTS     (BIT(CRASH) | BIT(PAUSE) | BIT(TERMINATE) | BIT(START))
#define NETWORK_FAULTS  (BIT(CUT) | BIT(CUT_ONE_WAY) | BIT(ISOLATE) | BIT(RESET))
#define OPERATOR_FAULTS (BIT(DRAIN) | BIT(JOIN) | BIT(WEIGHT) | BIT(START))
#define CLIENT_FAULTS   (BIT(CLIENT) | BIT(SLOW))
#define CUT_FAULTS      (NETWORK_FAULTS | BIT(HALVES) | BIT(DARK) | BIT(ZK_CUT))
#define ALL_FAULTS      ((1U << FAULT_KINDS) - 1)

struct profile {
    const char *name;
    unsigned faults; /* bits */
    uint64_t gap_ms; /* between two, about; apart: from the end of one to the next */
    bool apart;
    bool replicated; /* only for nodes that replicate */
};

static const struct profile profiles[] = {
    {"calm", (ZOOKEEPER_FAULTS & ~(BIT(ZK_CUT) | BIT(ZK_LAG))) | CLIENT_FAULTS, 9000, true, false},
    {"deaths", BIT(CRASH), 9000, true, false},
    {"nodes", NODE_FAULTS | CLIENT_FAULTS, 1500, false, false},
    {"network", NETWORK_FAULTS | BIT(FIREWALL) | BIT(CRASH) | CLIENT_FAULTS, 1200, false, false},
    {"zookeeper", ZOOKEEPER_FAULTS | BIT(CRASH), 1500, false, false},
    {"lag", BIT(ZK_LAG) | BIT(ZK_DISCONNECT) | BIT(EXPIRE) | BIT(EXPIRE_ALL) | BIT(WEIGHT), 500,
     false, false},
    {"operator", OPERATOR_FAULTS | NODE_FAULTS | CLIENT_FAULTS, 1200, false, false},
    {"wipe", BIT(ZK_WIPE) | BIT(ZK_CUT) | BIT(CRASH) | BIT(EXPIRE) | BIT(ZK_LAG) | BIT(PAUSE), 3000,
     false, false},
    {"mixed", ALL_FAULTS & ~BIT(ZK_WIPE), 900, false, false},
    {"all", ALL_FAULTS, 1200, false, false},
    {"storm", ALL_FAULTS, 250, false, false},
    {"weights", BIT(WEIGHT), 3000, false, true},
    {"handoff", OPERATOR_FAULTS | BIT(CRASH) | BIT(CUT) | BIT(RESET) | BIT(CLIENT), 700, false,
     true},
    {"firewall", BIT(FIREWALL) | BIT(ZK_STRAND) | CUT_FAULTS | BIT(CRASH), 1500, false, true},
    {"expiry",
     BIT(EXPIRE) | BIT(EXPIRE_GROUP) | BIT(EXPIRE_ALL) | BIT(ZK_LOST_SESSIONS) | BIT(ZK_CUT) |
         BIT(CUT) | BIT(START),
     1500, false, true},
    {"outage",
     BIT(ZK_OUTAGE) | BIT(ZK_LEADER) | BIT(ZK_STRAND) | CUT_FAULTS | BIT(WEIGHT) | BIT(CRASH), 2500,
     false, true},
    {"pauses", BIT(PAUSE) | BIT(LATE_TICKS) | BIT(WEIGHT) | BIT(CRASH) | BIT(EXPIRE), 1500, false,
     true},
};

#define PROFILES       (sizeof(profiles) / sizeof(profiles[0]))
#define PROFILES_PLAIN 11U /* the first ones, for nodes without copies as well */

struct sim_faults {
    const struct profile *profile;
    struct fault plan[FAULTS_MAX];
    size_t count;
    int server_down[SIM_SERVERS];
    int outages;
    uint64_t healed_ms; /* 0: not yet */
    int *zookeeper_cut; /* per node */
};

/* ---- what happens ---- */

static void pair(struct sim *sim, const struct fault *fault, bool on)
{
    sim_network_cut(sim, fault->a, fault->b, on);
    if (fault->kind == FAULT_CUT) {
        sim_network_cut(sim, fault->b, fault->a, on);
    }
}

/* Several faults may do it at once. */
static void cut_zookeeper(struct sim *sim, int node, bool on)
{
    int *cuts = &sim->faults->zookeeper_cut[node];
    *cuts += on ? 1 : -1;
    if (*cuts == (on ? 1 : 0) || !sim->replicated) {
        sim_zookeeper_cut(sim, node, on);
    }
}

static void isolate(struct sim *sim, int node, bool on)
{
    for (int peer = 0; peer < sim->nodes_count; peer++) {
        if (peer != node) {
            sim_network_cut(sim, node, peer, on);
            sim_network_cut(sim, peer, node, on);
        }
    }
}

static void firewall(struct sim *sim, const struct fault *fault, bool on)
{
    sim_network_firewall(sim, fault->a, fault->b, on);
    if (fault->value % 2 == 0) {
        sim_network_firewall(sim, fault->b, fault->a, on);
    }
}

static bool is_in_half(uint64_t value, int node)
{
    return (value >> node % 40 & 1) != 0;
}

/* Those in the bits of |value| from the others. */
static void halves(struct sim *sim, uint64_t value, bool on)
{
    for (int a = 0; a < sim->nodes_count; a++) {
        for (int b = 0; b < sim->nodes_count; b++) {
            if (is_in_half(value, a) != is_in_half(value, b)) {
                sim_network_cut(sim, a, b, on);
            }
        }
        if (is_in_half(value, a) && (value >> 40) % 4 != 0) {
            cut_zookeeper(sim, a, on);
        }
    }
}

static void outage(struct sim *sim, bool on)
{
    struct sim_faults *faults = sim->faults;
    faults->outages += on ? 1 : -1;
    if (on && faults->outages == 1) {
        sim_zookeeper_stop(sim);
    } else if (!on && faults->outages == 0) {
        sim_zookeeper_start(sim);
        for (int i = 0; i < SIM_SERVERS; i++) {
            if (faults->server_down[i] > 0) {
                sim_zookeeper_stop_server(sim, i);
            }
        }
    }
}

static void server(struct sim *sim, int index, bool on)
{
    struct sim_faults *faults = sim->faults;
    faults->server_down[index] += on ? 1 : -1;
    if (on && faults->server_down[index] == 1) {
        sim_zookeeper_stop_server(sim, index);
    } else if (!on && faults->server_down[index] == 0) {
        sim_zookeeper_start_server(sim, index);
    }
}

static void expire_all(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        sim_zookeeper_expire(sim, i);
    }
}

static void expire_group(struct sim *sim, uint64_t value)
{
    char key[SIM_KEY_SIZE];
    (void)snprintf(key, sizeof(key), "room:%u", (unsigned)(value % SIM_CHANNELS));
    for (int i = 0; i < sim->nodes_count; i++) {
        struct rh_copy_info info;
        if (sim->nodes[i]->running &&
            rh_core_copy_find(sim->nodes[i]->core, rh_bytes_text(key), &info) &&
            rh_role_holds_copy(info.role)) {
            sim_zookeeper_expire(sim, i);
        }
    }
}

static void ask_node(struct sim *sim, const struct fault *fault)
{
    char path[48];
    struct rh_request request = {.number = fault->value | 1, .state = RH_REQUEST_ASKED};
    switch ((unsigned)fault->kind) {
    case FAULT_DRAIN:
        request.kind = RH_REQUEST_DRAIN;
        break;
    case FAULT_JOIN:
        request.kind = RH_REQUEST_JOIN;
        break;
    default:
        request.kind = RH_REQUEST_WEIGHT;
        request.weight_milli = (uint32_t)(fault->value >> 32) % 4 * 500;
    }
    (void)snprintf(path, sizeof(path), "/requests/%.16s", sim->nodes[fault->a]->id);
    char *text = rh_request_encode(&request);
    if (text == NULL) {
        abort();
    }
    (void)sim_zookeeper_put(sim, path, text);
    free(text);
}

static void start_node(struct sim *sim, int index)
{
    if (!sim->nodes[index]->running) {
        sim_node_start(sim, index);
    }
}

/* Those that last; |on| false: the end. */
static void apply_lasting(struct sim *sim, struct fault *fault, bool on)
{
    struct sim_node *node = sim->nodes[fault->a % sim->nodes_count];
    switch ((unsigned)fault->kind) {
    case FAULT_CRASH:
        on ? sim_node_crash(sim, fault->a) : start_node(sim, fault->a);
        return;
    case FAULT_TERMINATE:
        on ? sim_node_terminate(sim, fault->a) : start_node(sim, fault->a);
        return;
    case FAULT_PAUSE:
        if (on && !node->paused) {
            fault->instance = node->instance;
            sim_node_pause(sim, fault->a);
        } else if (!on && node->instance == fault->instance) {
            sim_node_resume(sim, fault->a);
        }
        return;
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
        pair(sim, fault, on);
        return;
    case FAULT_ISOLATE:
        isolate(sim, fault->a, on);
        return;
    case FAULT_FIREWALL:
        firewall(sim, fault, on);
        return;
    case FAULT_ZK_CUT:
        cut_zookeeper(sim, fault->a, on);
        return;
    case FAULT_HALVES:
        halves(sim, fault->value, on);
        return;
    case FAULT_DARK:
        isolate(sim, fault->a, on);
        cut_zookeeper(sim, fault->a, on);
        return;
    case FAULT_ZK_STRAND:
        sim_zookeeper_strand(sim, fault->a, on);
        return;
    case FAULT_LATE_TICKS:
        node->late_ms = on ? (unsigned)(fault->value % 1500) : 0;
        return;
    case FAULT_ZK_SERVER:
        server(sim, fault->b, on);
        return;
    case FAULT_ZK_LEADER:
    case FAULT_ZK_OUTAGE:
        outage(sim, on);
        return;
    case FAULT_ZK_LOST_SESSIONS:
        outage(sim, on);
        if (!on) {
            expire_all(sim);
        }
        return;
    case FAULT_ZK_WIPE:
        outage(sim, on);
        if (on) {
            sim_zookeeper_wipe(sim);
        }
        return;
    default:
        return;
    }
}

static void apply_once(struct sim *sim, const struct fault *fault)
{
    switch ((unsigned)fault->kind) {
    case FAULT_RESET:
        sim_network_reset(sim, fault->a, fault->b);
        if (fault->value % 2 == 0) {
            sim_network_reset(sim, fault->b, fault->a);
        }
        return;
    case FAULT_ZK_DISCONNECT:
        sim_zookeeper_disconnect(sim, fault->a);
        return;
    case FAULT_ZK_LAG:
        for (int i = 0; i < SIM_SERVERS; i++) { /* the leader does not lag behind itself */
            if (((1 + fault->value % 6) & (1U << i)) != 0) {
                sim_zookeeper_lag(sim, i, fault->for_ms);
            }
        }
        return;
    case FAULT_EXPIRE:
        sim_zookeeper_expire(sim, fault->a);
        return;
    case FAULT_EXPIRE_ALL:
        expire_all(sim);
        return;
    case FAULT_EXPIRE_GROUP:
        expire_group(sim, fault->value);
        return;
    case FAULT_DRAIN:
    case FAULT_JOIN:
    case FAULT_WEIGHT:
        ask_node(sim, fault);
        return;
    case FAULT_START:
        start_node(sim, fault->a);
        return;
    case FAULT_CLIENT:
        sim_clients_disconnect(sim, fault->value);
        return;
    case FAULT_SLOW:
        sim_clients_slow(sim, fault->value);
        return;
    default:
        return;
    }
}

struct occurrence {
    struct sim_event event;
    size_t number;
    bool end;
};

/* A process that died with nothing else wrong is out of all views soon. */
static void run_forgotten(struct sim *sim, struct sim_event *event)
{
    struct occurrence *occurrence = rh_container_of(event, struct occurrence, event);
    int node = sim->faults->plan[occurrence->number].a;
    if (!sim->nodes[node]->running) {
        sim_check_forgotten(sim, node);
    }
}

static void expect_forgotten(struct sim *sim, size_t number)
{
    if (sim->faults->plan[number].kind == FAULT_CRASH && sim_faults_are_apart(sim)) {
        struct occurrence *look = sim_event(sizeof(*look), run_forgotten);
        look->number = number;
        sim_after(sim, FORGOTTEN_MS, &look->event);
    }
}

static void run_fault(struct sim *sim, struct sim_event *event)
{
    struct occurrence *occurrence = rh_container_of(event, struct occurrence, event);
    struct fault *fault = &sim->faults->plan[occurrence->number];
    sim_trace(sim, "fault %zu: %s%s n%d n%d for %" PRIu64 " ms", occurrence->number,
              occurrence->end ? "end of " : "", kinds[fault->kind].name, fault->a, fault->b,
              fault->for_ms);
    apply_lasting(sim, fault, !occurrence->end);
    if (!occurrence->end) {
        apply_once(sim, fault);
        expect_forgotten(sim, occurrence->number);
        if (fault->for_ms > 0) {
            occurrence->end = true;
            sim_keep(event);
            sim_after(sim, fault->for_ms, event);
        }
    }
}

static bool is_off(const struct sim *sim, size_t number)
{
    return sim->options.faults_off != NULL && number < sim->options.faults_off_count &&
           sim->options.faults_off[number];
}

uint64_t sim_faults_begin(struct sim *sim)
{
    uint64_t end_ms = sim->now_ms;
    for (size_t i = 0; i < sim->faults->count; i++) {
        const struct fault *fault = &sim->faults->plan[i];
        if (is_off(sim, i)) {
            continue;
        }
        struct occurrence *occurrence = sim_event(sizeof(*occurrence), run_fault);
        occurrence->number = i;
        sim_after(sim, fault->at_ms, &occurrence->event);
        uint64_t over_ms = sim->now_ms + fault->at_ms + fault->for_ms;
        end_ms = end_ms < over_ms ? over_ms : end_ms;
    }
    return end_ms + 1;
}

/* Whether a process of that instance runs. */
static bool runs(const struct sim *sim, uint64_t instance)
{
    int place = sim_place_of(sim, instance);
    return place >= 0 && sim->nodes[place]->running && sim->nodes[place]->instance == instance;
}

static void forget(struct rh_record *record, uint64_t instance)
{
    uint64_t *forgotten =
        realloc(record->forgotten, (record->forgotten_count + 1) * sizeof(*forgotten));
    if (forgotten == NULL) {
        abort();
    }
    record->forgotten = forgotten;
    if (!rh_record_forgets(record, instance)) {
        record->forgotten[record->forgotten_count++] = instance;
    }
}

static void forget_awaited(const struct sim *sim, const struct sim_node *node,
                           struct rh_record *record)
{
    size_t count = 0;
    const struct rh_membership_awaited *awaited = rh_membership_awaited(node->machine, &count);
    for (size_t i = 0; i < count; i++) {
        if (!runs(sim, awaited[i].node.instance)) {
            forget(record, awaited[i].node.instance);
        }
    }
}

void sim_faults_recover(struct sim *sim)
{
    struct rh_shared_config config;
    struct rh_record record = {0};
    struct rh_reason reason;
    const char *data = sim_zookeeper_get(sim, "/config");
    if (!sim->replicated || sim->faults->healed_ms == 0 || data == NULL ||
        sim->now_ms < sim->faults->healed_ms + RECOVER_MS ||
        rh_shared_config_decode(rh_bytes_text(data), &config, &record, &reason) != 0) {
        return;
    }
    size_t before = record.forgotten_count;
    for (int i = 0; i < sim->nodes_count; i++) {
        if (sim->nodes[i]->running) {
            forget_awaited(sim, sim->nodes[i], &record);
        }
    }
    if (record.last.generation == 0 && config.generation > 1) {
        forget(&record, RH_FORGOTTEN_UNKNOWN);
    }
    if (record.forgotten_count != before) {
        char *text = rh_shared_config_encode(&config, &record);
        sim_trace(sim, "the operator recovers: %s", text);
        (void)sim_zookeeper_put(sim, "/config", text);
        free(text);
    }
    rh_record_finish(&record);
}

void sim_faults_heal(struct sim *sim)
{
    sim->faults->healed_ms = sim->now_ms;
    for (int i = 0; i < sim->nodes_count; i++) {
        if (!sim->nodes[i]->running && (i == 0 || sim_chance(sim, 500))) {
            sim_node_start(sim, i);
        }
    }
}

void sim_faults_give_weight(struct sim *sim)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct sim_node *node = sim->nodes[i];
        if (node->running && rh_membership_weight_milli(node->machine) > 0) {
            return;
        }
    }
    for (int i = 0; i < sim->nodes_count; i++) {
        const struct fault join = {.kind = FAULT_JOIN, .a = i, .value = sim_random(sim)};
        ask_node(sim, &join);
    }
}

void sim_faults_drain(struct sim *sim, int node)
{
    const struct fault drain = {.kind = FAULT_DRAIN, .a = node, .value = sim_random(sim)};
    ask_node(sim, &drain);
}

/* ---- the plan ---- */

static enum fault_kind pick_kind(struct sim *sim, unsigned allowed)
{
    for (;;) {
        unsigned kind = (unsigned)sim_below(sim, sim->replicated ? FAULT_KINDS : FAULT_KINDS_PLAIN);
        if ((allowed & 1U << kind) != 0) {
            return (enum fault_kind)kind;
        }
    }
}

/* Where copies are, what goes wrong within a handoff or a takeover is of interest. */
static uint64_t gap_ms(struct sim *sim)
{
    return sim->replicated && sim_chance(sim, 350) ? 150 : sim->faults->profile->gap_ms;
}

static void plan(struct sim *sim)
{
    struct sim_faults *faults = sim->faults;
    bool apart = faults->profile->apart;
    uint64_t at_ms = 0;
    faults->count = apart ? sim_between(sim, 2, 4) : sim_between(sim, 2, FAULTS_MAX / 2);
    if (faults->profile->gap_ms < 500) {
        faults->count += FAULTS_MAX / 2;
    }
    for (size_t i = 0; i < faults->count; i++) {
        struct fault *fault = &faults->plan[i];
        at_ms += apart ? faults->profile->gap_ms : 1 + sim_below(sim, 2 * gap_ms(sim));
        fault->kind = pick_kind(sim, faults->profile->faults);
        fault->at_ms = at_ms;
        fault->value = sim_random(sim);
        uint64_t least_ms = kinds[fault->kind].least_ms;
        fault->for_ms = sim_between(sim, least_ms, kinds[fault->kind].most_ms);
        if (sim_chance(sim, 500) && fault->for_ms > 4 * least_ms) {
            fault->for_ms = least_ms + (fault->for_ms - least_ms) / 8; /* short ones often */
        }
        at_ms += apart ? fault->for_ms : 0;
        fault->a = (int)sim_below(sim, (uint64_t)sim->nodes_count);
        fault->b = (int)sim_below(sim, (uint64_t)sim->nodes_count - 1);
        fault->b += fault->b >= fault->a;
        if (fault->kind == FAULT_ZK_SERVER) {
            fault->b = 0; /* never more than one: two are an outage */
        }
    }
}

void sim_faults_create(struct sim *sim)
{
    struct sim_faults *faults = calloc(1, sizeof(*faults));
    if (faults == NULL) {
        abort();
    }
    sim->faults = faults;
    faults->profile = &profiles[sim_below(sim, sim->replicated ? PROFILES : PROFILES_PLAIN)];
    for (size_t i = 0; sim->options.profile != NULL && i < PROFILES; i++) {
        if (strcmp(profiles[i].name, sim->options.profile) == 0) {
            faults->profile = &profiles[i];
        }
    }
    if (!sim->scripted) {
        sim->nodes_count = (int)sim_between(sim, 2, sim_chance(sim, 200) ? SIM_NODES_USUAL : 5);
        sim->nodes_count = sim->wide ? sim->options.nodes : sim->nodes_count;
        plan(sim);
    }
    faults->zookeeper_cut = calloc((size_t)sim->nodes_count, sizeof(*faults->zookeeper_cut));
    if (faults->zookeeper_cut == NULL) {
        abort();
    }
}

void sim_faults_destroy(struct sim *sim)
{
    free(sim->faults->zookeeper_cut);
    free(sim->faults);
}

bool sim_faults_is_calm(const struct sim *sim)
{
    return strcmp(sim->faults->profile->name, "calm") == 0;
}

bool sim_faults_are_apart(const struct sim *sim)
{
    return sim->faults->profile->apart;
}

const char *sim_faults_profile(const struct sim *sim)
{
    return sim->faults->profile->name;
}

size_t sim_faults_count(const struct sim *sim)
{
    return sim->faults->count;
}
