/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How fast the ring is, and how even: `meson test --benchmark --verbose` prints the tables.
 *
 * Every figure is taken in rounds, the candidates one after the other within a round, so that a
 * noisy machine disturbs all of them alike; printed are the median and the minimum of the rounds.
 * Lookups go through all keys once after the caches were filled with something else ("cold"), then
 * several times more ("median" and "min" are of these).
 * The yardstick is the textbook lookup: a binary search over an array of points.
 */

#include "ring/ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_SIZE = 36, /* the size of a UUID as text */
    KEYS_COUNT = 65536,
    ROUNDS = 15,
    WARM_PASSES = 8,
    CHILL_SIZE = 64 << 20, /* more than the caches of the machines we know */
    VNODES = 512,
    NAME_SETS = 20,
    ID_SIZE = 24,
    NODES_MAX = 1024,
};

struct textbook_point {
    uint64_t hash;
    uint32_t node;
};

/* What the lookups are measured on. */
struct subject {
    struct rh_ring *ring;
    struct textbook_point *points;
    size_t points_count;
    char (*keys)[KEY_SIZE];
    uint64_t *hashes; /* of the keys */
};

static uint64_t random_state = 0x9e3779b97f4a7c15U;

/* splitmix64: any good generator will do, and the same one gives the same figures. */
static uint64_t random_next(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static struct rh_ring *make_ring(const char *prefix, unsigned nodes_count, uint32_t vnodes)
{
    static char ids[NODES_MAX + 1][ID_SIZE];
    static struct rh_ring_member members[NODES_MAX + 1];
    const struct rh_ring_options options = {.seed = 0, .vnodes = vnodes};
    for (unsigned i = 0; i < nodes_count; i++) {
        snprintf(ids[i], ID_SIZE, "%s%u", prefix, i + 1);
        members[i] =
            (struct rh_ring_member){.id = ids[i], .zone = NULL, .weight_milli = RH_RING_WEIGHT_ONE};
    }
    struct rh_ring *ring = NULL;
    if (rh_ring_create(&options, members, nodes_count, &ring) != 0) {
        fputs("cannot build the ring\n", stderr);
        exit(1);
    }
    return ring;
}

static int compare_points(const void *a, const void *b)
{
    const struct textbook_point *left = a;
    const struct textbook_point *right = b;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return (left->node > right->node) - (left->node < right->node);
}

/* The same points, computed through the public interface alone. */
static void make_textbook(struct subject *subject)
{
    size_t members_count = rh_ring_members_count(subject->ring);
    subject->points_count = rh_ring_points_count(subject->ring);
    subject->points = must(calloc(subject->points_count, sizeof(subject->points[0])));
    size_t at = 0;
    for (uint32_t node = 0; node < members_count; node++) {
        for (unsigned i = 0; i < VNODES; i++) {
            char text[ID_SIZE + 16];
            int size =
                snprintf(text, sizeof(text), "%s#%u", rh_ring_member(subject->ring, node)->id, i);
            subject->points[at++] =
                (struct textbook_point){rh_ring_hash(subject->ring, text, (size_t)size), node};
        }
    }
    qsort(subject->points, at, sizeof(subject->points[0]), compare_points);
}

__attribute__((noinline)) static uint32_t textbook_owner(const struct textbook_point *points,
                                                         size_t points_count, uint64_t hash)
{
    size_t low = 0;
    size_t high = points_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (points[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return points[low == points_count ? 0 : low].node;
}

/* Each measures one pass over all keys and returns something that depends on every answer. */
static uint64_t pass_hash(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        sum += rh_ring_hash(subject->ring, subject->keys[i], KEY_SIZE);
    }
    return sum;
}

static uint64_t pass_owner(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        sum += rh_ring_owner(subject->ring, subject->hashes[i]);
    }
    return sum;
}

static uint64_t pass_owner_of_key(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        uint64_t hash = rh_ring_hash(subject->ring, subject->keys[i], KEY_SIZE);
        sum += rh_ring_owner(subject->ring, hash);
    }
    return sum;
}

static uint64_t pass_textbook(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        sum += textbook_owner(subject->points, subject->points_count, subject->hashes[i]);
    }
    return sum;
}

static uint64_t pass_textbook_of_key(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        uint64_t hash = rh_ring_hash(subject->ring, subject->keys[i], KEY_SIZE);
        sum += textbook_owner(subject->points, subject->points_count, hash);
    }
    return sum;
}

static uint64_t pass_preference_of_key(const struct subject *subject)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        uint32_t indices[2] = {0, 0};
        uint64_t hash = rh_ring_hash(subject->ring, subject->keys[i], KEY_SIZE);
        sum += rh_ring_preference(subject->ring, hash, 2, indices);
        sum += indices[0] + indices[1];
    }
    return sum;
}

enum pass {
    PASS_HASH,
    PASS_OWNER,
    PASS_OWNER_OF_KEY,
    PASS_TEXTBOOK,
    PASS_TEXTBOOK_OF_KEY,
    PASS_PREFERENCE_OF_KEY,
    PASSES_COUNT,
};

static const struct {
    const char *name;
    uint64_t (*run)(const struct subject *subject);
} passes[PASSES_COUNT] = {
    [PASS_HASH] = {"hash alone", pass_hash},
    [PASS_OWNER] = {"lookup of a hash", pass_owner},
    [PASS_OWNER_OF_KEY] = {"lookup of a key", pass_owner_of_key},
    [PASS_TEXTBOOK] = {"textbook of a hash", pass_textbook},
    [PASS_TEXTBOOK_OF_KEY] = {"textbook of a key", pass_textbook_of_key},
    [PASS_PREFERENCE_OF_KEY] = {"preference list of 2, of a key", pass_preference_of_key},
};

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), compare_doubles);
    return values[ROUNDS / 2];
}

static void print_row(const char *name, const double *cold, double *values, double factor,
                      const char *unit)
{
    char first[16] = "";
    if (cold != NULL) {
        snprintf(first, sizeof(first), "%.2f", *cold * factor);
    }
    double middle = median(values);
    printf("  %-32s %9s %9.2f %9.2f %s\n", name, first, middle * factor, values[0] * factor, unit);
}

static double time_passes(const struct subject *subject, unsigned pass, unsigned times)
{
    static volatile uint64_t sink;
    double start = now_ns();
    for (unsigned i = 0; i < times; i++) {
        sink = sink + passes[pass].run(subject);
    }
    return (now_ns() - start) / times / KEYS_COUNT;
}

/* Fills the caches with something else. */
static void chill(void)
{
    static unsigned char other[CHILL_SIZE];
    for (size_t i = 0; i < CHILL_SIZE; i += 64) {
        other[i]++;
    }
    __asm__ volatile("" : : "r"(other) : "memory");
}

static void measure_lookups(const struct subject *subject)
{
    static double cold[PASSES_COUNT][ROUNDS];
    static double warm[PASSES_COUNT][ROUNDS];
    double middle[PASSES_COUNT];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PASSES_COUNT; i++) {
            chill();
            cold[i][round] = time_passes(subject, i, 1);
            warm[i][round] = time_passes(subject, i, WARM_PASSES);
        }
    }
    for (unsigned i = 0; i < PASSES_COUNT; i++) {
        double first = median(cold[i]);
        print_row(passes[i].name, &first, warm[i], 1.0, "ns");
        middle[i] = median(warm[i]);
    }
    printf("  %-32s           %9.1f           times\n", "faster than textbook, of a hash",
           middle[PASS_TEXTBOOK] / middle[PASS_OWNER]);
    printf("  %-32s           %9.1f           times\n", "faster than textbook, of a key",
           middle[PASS_TEXTBOOK_OF_KEY] / middle[PASS_OWNER_OF_KEY]);
}

/* One node joins: the new ring is built and compared with the old one. */
static void measure_build(const struct subject *subject, unsigned nodes_count)
{
    static double build[ROUNDS];
    static double difference[ROUNDS];
    static double both[ROUNDS];
    double share = 0;
    size_t arcs_count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        struct rh_ring *ring = make_ring("node-", nodes_count + 1, VNODES);
        double built = now_ns();
        struct rh_ring_arc *arcs = NULL;
        if (rh_ring_difference(subject->ring, ring, &arcs, &arcs_count) != 0) {
            fputs("cannot compare the rings\n", stderr);
            exit(1);
        }
        double compared = now_ns();
        share = rh_ring_arcs_share(arcs, arcs_count);
        build[round] = built - start;
        difference[round] = compared - built;
        both[round] = compared - start;
        free(arcs);
        rh_ring_destroy(ring);
    }
    print_row("build", NULL, build, 1e-6, "ms");
    print_row("difference", NULL, difference, 1e-6, "ms");
    print_row("build and difference", NULL, both, 1e-6, "ms");
    printf("  (a node joins: %zu arcs, %.4f of the keys move)\n", arcs_count, share);
}

static void measure(unsigned nodes_count)
{
    struct subject subject = {.ring = make_ring("node-", nodes_count, VNODES)};
    make_textbook(&subject);
    subject.keys = must(calloc(KEYS_COUNT, sizeof(subject.keys[0])));
    subject.hashes = must(calloc(KEYS_COUNT, sizeof(subject.hashes[0])));
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        char text[KEY_SIZE + 1];
        uint64_t high = random_next();
        uint64_t low = random_next();
        snprintf(text, sizeof(text), "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                 (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xffff, (unsigned)(low >> 48),
                 (unsigned long long)(low & 0xffffffffffffU));
        memcpy(subject.keys[i], text, KEY_SIZE);
        subject.hashes[i] = rh_ring_hash(subject.ring, subject.keys[i], KEY_SIZE);
        uint32_t owner = rh_ring_owner(subject.ring, subject.hashes[i]);
        if (owner != textbook_owner(subject.points, subject.points_count, subject.hashes[i])) {
            fputs("the lookups disagree\n", stderr);
            exit(1);
        }
    }
    char title[64];
    snprintf(title, sizeof(title), "%u nodes, %zu points", nodes_count, subject.points_count);
    printf("%-34s %9s %9s %9s\n", title, "cold", "median", "min");
    measure_lookups(&subject);
    measure_build(&subject, nodes_count);
    puts("");
    free(subject.keys);
    free(subject.hashes);
    free(subject.points);
    rh_ring_destroy(subject.ring);
}

/* The share of the busiest node over the mean share, mean over sets of names. */
static double busiest(unsigned nodes_count, uint32_t vnodes)
{
    double sum = 0;
    for (unsigned set = 0; set < NAME_SETS; set++) {
        char prefix[ID_SIZE - 8];
        snprintf(prefix, sizeof(prefix), "set%u-n", set);
        struct rh_ring *ring = make_ring(prefix, nodes_count, vnodes);
        double most = 0;
        for (uint32_t i = 0; i < nodes_count; i++) {
            double share = rh_ring_share(ring, i);
            most = share > most ? share : most;
        }
        sum += most * nodes_count;
        rh_ring_destroy(ring);
    }
    return sum / NAME_SETS;
}

int main(void)
{
    static const unsigned nodes_counts[] = {8, 64, 1024};
    static const uint32_t vnodes[] = {64, 128, 256, 512, 1024, 2048};
#ifndef __OPTIMIZE__
    puts("NOT OPTIMISED: these figures mean nothing");
#endif
    for (size_t i = 0; i < sizeof(nodes_counts) / sizeof(nodes_counts[0]); i++) {
        measure(nodes_counts[i]);
    }
    printf("Load of the busiest node over the mean (mean of %d name sets)\n  vnodes  ", NAME_SETS);
    for (size_t k = 0; k < sizeof(vnodes) / sizeof(vnodes[0]); k++) {
        printf(" %7u", (unsigned)vnodes[k]);
    }
    for (unsigned nodes_count = 8; nodes_count <= 64; nodes_count *= 8) {
        printf("\n%4u nodes", nodes_count);
        for (size_t k = 0; k < sizeof(vnodes) / sizeof(vnodes[0]); k++) {
            printf("   %.3f", busiest(nodes_count, vnodes[k]));
        }
    }
    puts("");
    return 0;
}
