/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_script.h"
#include "tests/simulator_states.h"

#include "ring/ring.h"
#include "tests/simulator_clients.h"
#include "tests/simulator_describe.h"
#include "tests/simulator_fault.h"
#include "tests/simulator_network.h"
#include "tests/simulator_node.h"
#include "tests/simulator_zookeeper.h"
#include "tests/test.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define UNTIL_MS 60000
#define RULES    (sizeof(((struct script *)0)->rules) / sizeof(((struct script *)0)->rules[0]))

/* ---- letters ---- */

int script_node(const struct script *script, int letter)
{
    assert_in_range(letter, 0, SCRIPT_NODES - 1);
    return script->nodes[letter];
}

/* Letters and `*` in |text| become what they stand for. */
static void spell(const struct script *script, const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (const char *at = text; *at != '\0' && used + 16 < size; at++) {
        bool alone = (at == text || !isalnum((unsigned char)at[-1])) &&
                     !isalnum((unsigned char)at[1]) && at[1] != '_';
        if (*at >= 'A' && *at < 'A' + SCRIPT_NODES && alone) {
            used += (size_t)snprintf(out + used, size - used, "n%d", script->nodes[*at - 'A']);
        } else if (*at == '*') {
            used += (size_t)snprintf(out + used, size - used, "%s", SCRIPT_KEY);
        } else {
            out[used++] = *at;
        }
    }
    out[used] = '\0';
}

/* The order of all nodes behind the key. */
static void order_nodes(struct script *script, int count)
{
    struct rh_ring_member members[SIM_NODES_USUAL] = {{0}};
    const struct rh_ring_options options = {.vnodes = SIM_VNODES};
    uint32_t indices[SIM_NODES_USUAL];
    struct rh_ring *ring = NULL;
    for (int i = 0; i < count; i++) {
        members[i] = (struct rh_ring_member){.id = script->sim->nodes[i]->id,
                                             .weight_milli = RH_RING_WEIGHT_ONE};
    }
    assert_int_equal(rh_ring_create(&options, members, (size_t)count, &ring), 0);
    uint64_t hash = rh_ring_hash(ring, SCRIPT_KEY, strlen(SCRIPT_KEY));
    size_t found = rh_ring_preference(ring, hash, (size_t)count, indices);
    assert_int_equal(found, count);
    for (int i = 0; i < count; i++) {
        script->nodes[i] = atoi(rh_ring_member(ring, indices[i])->id + 1);
    }
    rh_ring_destroy(ring);
}

/* ---- rules ---- */

static bool rule_is_for(const struct script *script, const struct script_rule *rule, int from,
                        int to, const struct rh_peer_message *message)
{
    struct rh_bytes key = sim_message_key(message);
    bool is_of_others = key.size > 0 && !rh_bytes_equal(key, rh_bytes_text(SCRIPT_KEY));
    return rule->fate != SIM_FATE_SENT && rule->times > 0 &&
           (rule->kind == SCRIPT_ANY || rule->kind == (int)message->kind) &&
           (rule->from == SCRIPT_ANY || script->nodes[rule->from] == from) &&
           (rule->to == SCRIPT_ANY || script->nodes[rule->to] == to) &&
           rule->is_of_others == is_of_others;
}

static enum sim_fate filter(struct sim *sim, int from, int to,
                            const struct rh_peer_message *message)
{
    struct script *script = sim->script;
    for (size_t i = 0; i < RULES; i++) {
        struct script_rule *rule = &script->rules[i];
        if (rule_is_for(script, rule, from, to, message)) {
            rule->times--;
            return rule->fate;
        }
    }
    return SIM_FATE_SENT;
}

static void add_rule(struct script *script, const struct script_rule *wanted)
{
    for (size_t i = 0; i < RULES; i++) {
        if (script->rules[i].fate == SIM_FATE_SENT) {
            script->rules[i] = *wanted;
            return;
        }
    }
    fail_msg("too many rules");
}

void script_hold(struct script *script, int kind, int from, int to, unsigned times)
{
    add_rule(script,
             &(struct script_rule){
                 .fate = SIM_FATE_HELD, .from = from, .to = to, .kind = kind, .times = times});
}

void script_lose(struct script *script, int kind, int from, int to, unsigned times)
{
    add_rule(script,
             &(struct script_rule){
                 .fate = SIM_FATE_LOST, .from = from, .to = to, .kind = kind, .times = times});
}

void script_lose_of_others(struct script *script, int kind, int from, int to)
{
    add_rule(script, &(struct script_rule){.fate = SIM_FATE_LOST,
                                           .from = from,
                                           .to = to,
                                           .kind = kind,
                                           .times = UINT_MAX,
                                           .is_of_others = true});
}

void script_let(struct script *script)
{
    memset(script->rules, 0, sizeof(script->rules));
}

static int index_or_any(const struct script *script, int letter)
{
    return letter == SCRIPT_ANY ? -1 : script_node(script, letter);
}

void script_release(struct script *script, int from, int to)
{
    sim_network_release(script->sim, index_or_any(script, from), index_or_any(script, to));
}

/* ---- life ---- */

void script_environment(void)
{
    const char *fault = getenv("RINGHOP_FAULT");
    const char *test = getenv("RINGHOP_TEST");
    if (fault != NULL) {
        enum rh_fault found = sim_fault_find(fault);
        assert_int_not_equal(found, RH_FAULTS_COUNT);
        sim_fault_set(found);
    }
    if (test != NULL) {
        cmocka_set_test_filter(test);
    }
}

struct script *script_prepare(int nodes, int replicas)
{
    struct script *script = calloc(1, sizeof(*script));
    assert_non_null(script);
    script->scenario = scenario_create_empty(nodes, replicas);
    script->sim = &script->scenario->sim;
    script->sim->filter = filter;
    script->sim->script = script;
    order_nodes(script, nodes);
    return script;
}

void script_begin(struct script *script, const char *letters)
{
    for (const char *at = letters; *at != '\0'; at++) {
        script_start(script, *at - 'A');
    }
    scenario_rest(script->scenario);
    scenario_forget(script->scenario);
}

struct script *script_create(int nodes, int replicas, const char *letters)
{
    struct script *script = script_prepare(nodes, replicas);
    script_begin(script, letters);
    return script;
}

void script_abandon(struct script *script)
{
    scenario_destroy(script->scenario);
    free(script);
}

void script_end(struct script *script)
{
    script_let(script);
    scenario_rest(script->scenario);
    script_abandon(script);
}

/* ---- what happens ---- */

void script_start(struct script *script, int letter)
{
    sim_node_start(script->sim, script_node(script, letter));
}

void script_crash(struct script *script, int letter)
{
    sim_node_crash(script->sim, script_node(script, letter));
}

void script_pause(struct script *script, int letter)
{
    sim_node_pause(script->sim, script_node(script, letter));
}

void script_resume(struct script *script, int letter)
{
    sim_node_resume(script->sim, script_node(script, letter));
}

void script_full(struct script *script, int letter, bool full)
{
    script->sim->nodes[script_node(script, letter)]->is_full = full;
}

void script_expire(struct script *script, int letter)
{
    sim_zookeeper_expire(script->sim, script_node(script, letter));
}

void script_weight(struct script *script, int letter, uint32_t weight_milli)
{
    char path[48];
    const struct rh_request request = {.number = script->sim->event_number | 1,
                                       .kind = RH_REQUEST_WEIGHT,
                                       .weight_milli = weight_milli};
    char *text = rh_request_encode(&request);
    assert_non_null(text);
    (void)snprintf(path, sizeof(path), "/requests/n%d", script_node(script, letter));
    assert_true(sim_zookeeper_put(script->sim, path, text));
    free(text);
}

void script_cut(struct script *script, int a, int b, bool cut)
{
    sim_network_cut(script->sim, script_node(script, a), script_node(script, b), cut);
    sim_network_cut(script->sim, script_node(script, b), script_node(script, a), cut);
}

void script_firewall(struct script *script, int from, int to, bool on)
{
    sim_network_firewall(script->sim, script_node(script, from), script_node(script, to), on);
}

void script_zookeeper(struct script *script, bool on)
{
    on ? sim_zookeeper_start(script->sim) : sim_zookeeper_stop(script->sim);
}

void script_wipe(struct script *script)
{
    sim_zookeeper_wipe(script->sim);
}

void script_connect(struct script *script, int letter)
{
    sim_clients_connect(script->sim, 0, script_node(script, letter));
}

void script_silence_clients(struct script *script)
{
    sim_clients_leave(script->sim, 0);
}

void script_cut_zookeeper(struct script *script, int letter, bool cut)
{
    sim_zookeeper_cut(script->sim, script_node(script, letter), cut);
}

uint64_t script_publish(struct script *script, int letter)
{
    return sim_clients_publish(script->sim, script_node(script, letter), SCRIPT_KEY, 0);
}

void script_publish_again(struct script *script, int letter, uint64_t message)
{
    (void)sim_clients_publish(script->sim, script_node(script, letter), SCRIPT_KEY, message);
}

uint64_t script_commit(struct script *script, int letter)
{
    char text[64];
    uint64_t message = script_publish(script, letter);
    (void)snprintf(text, sizeof(text), "publish m%" PRIu64 " at n%d: seq", message,
                   script_node(script, letter));
    script_until(script, text);
    return message;
}

uint64_t script_put(struct script *script, int letter, uint64_t if_version)
{
    return sim_states_put(script->sim, script_node(script, letter), SCRIPT_KEY, if_version);
}

uint64_t script_delete(struct script *script, int letter, uint64_t if_version)
{
    return sim_states_delete(script->sim, script_node(script, letter), SCRIPT_KEY, if_version);
}

uint64_t script_get(struct script *script, int letter)
{
    return sim_states_get(script->sim, script_node(script, letter), SCRIPT_KEY);
}

/* ---- what is expected ---- */

static void show(const struct script *script, const char *what, const char *text)
{
    (void)fprintf(stderr, "%s--- %s \"%s\"\n", script->scenario->text, what, text);
}

/* The end of the line with |text| in the trace from |from| on, or NULL. */
static const char *find(struct script *script, size_t from, const char *text)
{
    (void)fflush(script->scenario->trace);
    const char *at = strstr(script->scenario->text + from, text);
    return at == NULL ? NULL : at + strcspn(at, "\n");
}

void script_until(struct script *script, const char *text)
{
    char wanted[256];
    spell(script, text, wanted, sizeof(wanted));
    uint64_t until_ms = script->sim->now_ms + UNTIL_MS;
    for (;;) {
        const char *end = find(script, script->scenario->read, wanted);
        if (end != NULL) {
            script->scenario->read = (size_t)(end - script->scenario->text);
            return;
        }
        scenario_check(script->scenario);
        if (script->sim->now_ms > until_ms || !sim_run_next(script->sim)) {
            show(script, "this did not come within a minute:", wanted);
            fail();
        }
    }
}

void script_adopt(struct script *script, const char *letters)
{
    size_t from = script->scenario->read;
    size_t last = from;
    for (const char *at = letters; *at != '\0'; at++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%c: adopts", *at);
        script->scenario->read = from;
        script_until(script, text);
        last = last < script->scenario->read ? script->scenario->read : last;
    }
    script->scenario->read = last;
}

void script_never(struct script *script, uint64_t ms, ...)
{
    (void)fflush(script->scenario->trace);
    size_t from = script->scenario->size;
    script_pass(script, ms);
    va_list args;
    va_start(args, ms);
    for (const char *text = va_arg(args, const char *); text != NULL;
         text = va_arg(args, const char *)) {
        char unwanted[256];
        spell(script, text, unwanted, sizeof(unwanted));
        if (find(script, from, unwanted) != NULL) {
            show(script, "this must not be there:", unwanted);
            fail();
        }
    }
    va_end(args);
}

void script_pass(struct script *script, uint64_t ms)
{
    scenario_pass(script->scenario, ms);
}

bool script_has(struct script *script, const char *text)
{
    char wanted[256];
    spell(script, text, wanted, sizeof(wanted));
    return find(script, script->scenario->read, wanted) != NULL;
}

void script_expect(struct script *script, const char *text)
{
    if (!script_has(script, text)) {
        show(script, "this is not there:", text);
        fail();
    }
}

void script_expect_line(struct script *script, const char *text)
{
    const char *trace = script->scenario->text;
    size_t begin = script->scenario->read;
    while (begin > 0 && trace[begin - 1] != '\n') {
        begin--;
    }
    if (memmem(trace + begin, script->scenario->read - begin, text, strlen(text)) == NULL) {
        show(script, "this is not in the last line:", text);
        fail();
    }
}

void script_expect_not(struct script *script, const char *text)
{
    if (script_has(script, text)) {
        show(script, "this must not be there:", text);
        fail();
    }
}

void script_forget(struct script *script)
{
    scenario_forget(script->scenario);
}
