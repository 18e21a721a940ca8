/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- events ---- */

void *sim_event(size_t size, sim_run *run)
{
    struct sim_event *event = calloc(1, size);
    if (event == NULL) {
        abort();
    }
    event->run = run;
    rh_list_init(&event->link);
    return event;
}

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void sift_up(struct sim *sim, size_t at)
{
    struct sim_event *event = sim->queue[at];
    while (at > 0 && is_before(event, sim->queue[(at - 1) / 2])) {
        sim->queue[at] = sim->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->queue[at] = event;
}

static void sift_down(struct sim *sim, size_t at)
{
    struct sim_event *event = sim->queue[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->queue_count) {
            break;
        }
        if (child + 1 < sim->queue_count && is_before(sim->queue[child + 1], sim->queue[child])) {
            child++;
        }
        if (!is_before(sim->queue[child], event)) {
            break;
        }
        sim->queue[at] = sim->queue[child];
        at = child;
    }
    sim->queue[at] = event;
}

void sim_after(struct sim *sim, uint64_t delay_ms, struct sim_event *event)
{
    if (sim->queue_count == sim->queue_capacity) {
        sim->queue_capacity = sim->queue_capacity == 0 ? 256 : 2 * sim->queue_capacity;
        sim->queue = realloc(sim->queue, sim->queue_capacity * sizeof(struct sim_event *));
        if (sim->queue == NULL) {
            abort();
        }
    }
    event->at_ms = sim->now_ms + delay_ms;
    event->number = ++sim->event_number;
    sim->queue[sim->queue_count++] = event;
    sift_up(sim, sim->queue_count - 1);
}

void sim_run_event(struct sim *sim, struct sim_event *event)
{
    event->kept = false;
    event->run(sim, event);
    if (!event->kept) {
        free(event);
    }
}

bool sim_run_next(struct sim *sim)
{
    if (sim->queue_count == 0) {
        return false;
    }
    struct sim_event *event = sim->queue[0];
    sim->queue[0] = sim->queue[--sim->queue_count];
    if (sim->queue_count > 0) {
        sift_down(sim, 0);
    }
    assert(event->at_ms >= sim->now_ms);
    sim->now_ms = event->at_ms;
    sim_run_event(sim, event);
    return true;
}

void sim_run_until(struct sim *sim, uint64_t until_ms)
{
    while (!sim->failed && sim->queue_count > 0 && sim->queue[0]->at_ms <= until_ms) {
        (void)sim_run_next(sim);
    }
    if (!sim->failed) {
        sim->now_ms = until_ms;
    }
}

uint64_t sim_hash(struct rh_bytes bytes)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < bytes.size; i++) {
        hash = (hash ^ (unsigned char)bytes.data[i]) * 0x100000001b3U;
    }
    return hash ^ hash >> 32;
}

/* ---- places ---- */

struct place {
    struct rh_table_link link; /* by instance, which is its own hash */
    int node;
};

static bool is_same(const struct rh_table_link *link RH_UNUSED, const void *key RH_UNUSED)
{
    return true; /* of the same hash */
}

static struct place *find_place(const struct sim *sim, uint64_t instance)
{
    struct rh_table_link *link = rh_table_find(&sim->places, instance, is_same, NULL);
    return link == NULL ? NULL : rh_container_of(link, struct place, link);
}

int sim_place_of(const struct sim *sim, uint64_t instance)
{
    const struct place *place = find_place(sim, instance);
    return place == NULL ? -1 : place->node;
}

void sim_place_set(struct sim *sim, uint64_t instance, int node)
{
    struct place *place = find_place(sim, instance);
    if (place == NULL) {
        place = calloc(1, sizeof(*place));
        if (place == NULL) {
            abort();
        }
        rh_table_insert(&sim->places, &place->link, instance);
    }
    place->node = node;
}

void sim_places_create(struct sim *sim)
{
    if (rh_table_init(&sim->places) != 0) {
        abort();
    }
}

void sim_places_destroy(struct sim *sim)
{
    struct rh_table_link *link = rh_table_next(&sim->places, NULL);
    while (link != NULL) {
        struct place *place = rh_container_of(link, struct place, link);
        link = rh_table_next(&sim->places, link);
        rh_table_remove(&sim->places, &place->link);
        free(place);
    }
    rh_table_finish(&sim->places);
}

/* ---- random numbers ---- */

/* splitmix64: any seed will do, also 0. */
uint64_t sim_random(struct sim *sim)
{
    sim->random += 0x9e3779b97f4a7c15U;
    uint64_t z = sim->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint64_t sim_below(struct sim *sim, uint64_t limit)
{
    assert(limit > 0);
    return sim->scripted ? 0 : sim_random(sim) % limit;
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    assert(low <= high);
    return sim->scripted ? low : low + sim_random(sim) % (high - low + 1);
}

bool sim_chance(struct sim *sim, unsigned permille)
{
    return !sim->scripted && sim_random(sim) % 1000 < permille;
}

uint64_t sim_delay_ms(struct sim *sim)
{
    if (sim->scripted) {
        return 1;
    }
    uint64_t r = sim_random(sim);
    uint64_t kind = (r >> 32) % 100;
    uint64_t most_ms = 4;
    if (kind >= 90) {
        most_ms = kind < 99 || sim->steady ? 40 : 400;
    }
    return 1 + r % (most_ms * sim->slowness);
}

/* ---- trace and failure ---- */

static void put_line(struct sim *sim, const char *format, va_list args) RH_PRINTF(2, 0);

static void put_line(struct sim *sim, const char *format, va_list args)
{
    FILE *out = sim->options.trace;
    (void)fprintf(out, "%7" PRIu64 ".%03u  ", sim->now_ms / 1000, (unsigned)(sim->now_ms % 1000));
    (void)vfprintf(out, format, args);
    (void)fputc('\n', out);
}

void sim_trace_line(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(sim, format, args);
    va_end(args);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed) {
        return;
    }
    sim->failed = true;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    sim_trace(sim, "FAILED: %s", sim->failure);
}

/* ---- injected faults ---- */

static const struct {
    const char *name;
    const char *text;
    const char *profile;
} mutations[] = {[SIM_MUTATION_NONE] = {"NONE", "none", NULL},
#define SIM_MUTATION_ROW(name, text, profile) [SIM_MUTATION_##name] = {#name, text, profile},
                 SIM_MUTATION_MAP(SIM_MUTATION_ROW)
#undef SIM_MUTATION_ROW
};

const char *sim_mutation_name(enum sim_mutation mutation)
{
    return mutations[mutation].name;
}

const char *sim_mutation_text(enum sim_mutation mutation)
{
    return mutations[mutation].text;
}

const char *sim_mutation_profile(enum sim_mutation mutation)
{
    return mutations[mutation].profile;
}
