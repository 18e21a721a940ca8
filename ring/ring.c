/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring.h"

#include "ring/hash.h"
#include "ring/ring_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First field of the digest: raise the number when a placement rule changes. */
#define DIGEST_NAME "ringhop-ring-1"

#define NUMBER_SIZE_MAX 20 /* decimal digits of a 64-bit number */

_Static_assert(RH_RING_MEMBERS_MAX <= RH_POINTS_NOBODY,
               "an owner fits beside the one that is none");

static bool id_is_valid(const char *id)
{
    size_t size = 0;
    for (; id[size] != '\0'; size++) {
        char c = id[size];
        bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!good || size == RH_RING_ID_SIZE_MAX) {
            return false;
        }
    }
    return size > 0;
}

static uint64_t points_of(const struct rh_ring_member *member, uint32_t vnodes)
{
    if (member->weight_milli == 0) {
        return 0;
    }
    uint64_t points =
        ((uint64_t)member->weight_milli * vnodes + RH_RING_WEIGHT_ONE / 2) / RH_RING_WEIGHT_ONE;
    return points == 0 ? 1 : points;
}

static const char *zone_of(const struct rh_ring_member *member)
{
    return member->zone == NULL ? "" : member->zone;
}

/* Checks what can be said of each member alone, and that all their points fit into a ring. */
static int check(const struct rh_ring_options *options, const struct rh_ring_member *members,
                 size_t members_count)
{
    if (options->vnodes == 0 || options->vnodes > RH_RING_VNODES_MAX) {
        return RH_RING_ERR_INVALID;
    }
    if (members_count > RH_RING_MEMBERS_MAX) {
        return RH_RING_ERR_TOO_LARGE;
    }
    uint64_t points = 0;
    for (size_t i = 0; i < members_count; i++) {
        if (!id_is_valid(members[i].id)) {
            return RH_RING_ERR_INVALID;
        }
        points += points_of(&members[i], options->vnodes);
        if (points > RH_RING_POINTS_MAX) {
            return RH_RING_ERR_TOO_LARGE;
        }
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const struct rh_ring_member *left = a;
    const struct rh_ring_member *right = b;
    return strcmp(left->id, right->id);
}

static char *copy_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

/* Copies the members and their texts, sorted by id. */
static int copy_members(struct rh_ring *ring, const struct rh_ring_member *members,
                        size_t members_count)
{
    size_t texts_size = 0;
    for (size_t i = 0; i < members_count; i++) {
        texts_size += strlen(members[i].id) + 1 + strlen(zone_of(&members[i])) + 1;
    }
    ring->members = calloc(members_count + 1, sizeof(ring->members[0]));
    ring->zones = calloc(members_count + 1, sizeof(ring->zones[0]));
    ring->widths = calloc(members_count + 1, sizeof(ring->widths[0]));
    ring->texts = malloc(texts_size + 1);
    if (ring->members == NULL || ring->zones == NULL || ring->widths == NULL ||
        ring->texts == NULL) {
        return RH_RING_ERR_NO_MEMORY;
    }
    char *at = ring->texts;
    for (size_t i = 0; i < members_count; i++) {
        ring->members[i].id = copy_text(&at, members[i].id);
        ring->members[i].zone = copy_text(&at, zone_of(&members[i]));
        ring->members[i].weight_milli = members[i].weight_milli;
        ring->active_count += members[i].weight_milli > 0;
    }
    ring->members_count = members_count;
    qsort(ring->members, members_count, sizeof(ring->members[0]), compare_ids);
    for (size_t i = 1; i < members_count; i++) {
        if (strcmp(ring->members[i - 1].id, ring->members[i].id) == 0) {
            return RH_RING_ERR_INVALID;
        }
    }
    return 0;
}

/* A member as it is sorted by zone. */
struct zone_entry {
    const char *zone;
    uint32_t index;
};

static int compare_zones(const void *a, const void *b)
{
    const struct zone_entry *left = a;
    const struct zone_entry *right = b;
    return strcmp(left->zone, right->zone);
}

/* Gives the zones of members with points numbers, so that a walk need not compare texts. */
static int number_zones(struct rh_ring *ring)
{
    struct zone_entry *entries = malloc((ring->active_count + 1) * sizeof(*entries));
    if (entries == NULL) {
        return RH_RING_ERR_NO_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < ring->members_count; i++) {
        if (ring->members[i].weight_milli > 0) {
            entries[count++] = (struct zone_entry){ring->members[i].zone, (uint32_t)i};
        }
    }
    qsort(entries, count, sizeof(*entries), compare_zones);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(entries[i - 1].zone, entries[i].zone) != 0) {
            ring->zones_count++;
        }
        ring->zones[entries[i].index] = (uint32_t)(ring->zones_count - 1);
    }
    free(entries);
    return 0;
}

/* Adds one to the decimal number |digits| in place; returns its size. */
static size_t number_increment(char *digits, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        if (digits[i - 1] != '9') {
            digits[i - 1]++;
            return size;
        }
        digits[i - 1] = '0';
    }
    digits[0] = '1';
    digits[size] = '0';
    return size + 1;
}

/* Writes the hashes of a member's points: those of "id#0", "id#1" and so on. */
static void hash_points(const char *id, uint64_t seed, uint64_t *hashes, size_t count)
{
    char text[RH_RING_ID_SIZE_MAX + 1 + NUMBER_SIZE_MAX];
    size_t prefix_size = strlen(id) + 1;
    memcpy(text, id, prefix_size - 1);
    text[prefix_size - 1] = '#';
    text[prefix_size] = '0';
    size_t digits_size = 1;
    for (size_t i = 0; i < count; i++) {
        hashes[i] = XXH3_64bits_withSeed(text, prefix_size + digits_size, seed);
        digits_size = number_increment(text + prefix_size, digits_size);
    }
}

static int make_points(struct rh_ring *ring)
{
    size_t count = 0;
    for (size_t i = 0; i < ring->members_count; i++) {
        count += points_of(&ring->members[i], ring->options.vnodes);
    }
    int rv = rh_points_init(&ring->points, count);
    if (rv != 0) {
        return rv;
    }
    size_t at = 0;
    for (size_t i = 0; i < ring->members_count; i++) {
        size_t member_count = points_of(&ring->members[i], ring->options.vnodes);
        hash_points(ring->members[i].id, ring->options.seed, &ring->points.hashes[at],
                    member_count);
        for (size_t end = at + member_count; at < end; at++) {
            ring->points.owners[at] = (uint16_t)i;
        }
    }
    return rh_points_sort(&ring->points);
}

/* A point owns what lies between the point before it and itself, itself included. */
static void measure(struct rh_ring *ring)
{
    const struct rh_points *points = &ring->points;
    if (points->count == 0) {
        return;
    }
    uint64_t before = 0;
    for (size_t i = 0; i < points->count; i++) {
        uint64_t through = rh_ring_width_through(points->hashes[i]);
        ring->widths[points->owners[i]] += through - before;
        before = through;
    }
    ring->widths[points->owners[0]] += RH_RING_WIDTH_ALL - before;
}

/* Fields end with a zero byte, which none of them contains: no two rings give the same text. */
static void digest_field(XXH3_state_t *state, const char *text)
{
    XXH3_64bits_update(state, text, strlen(text) + 1);
}

static void digest_number(XXH3_state_t *state, uint64_t number)
{
    char text[NUMBER_SIZE_MAX + 1];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    digest_field(state, text);
}

static uint64_t compute_digest(const struct rh_ring *ring)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    digest_field(&state, DIGEST_NAME);
    digest_number(&state, ring->options.seed);
    digest_number(&state, ring->options.vnodes);
    for (size_t i = 0; i < ring->members_count; i++) {
        const struct rh_ring_member *member = &ring->members[i];
        if (member->weight_milli > 0) {
            digest_field(&state, member->id);
            digest_number(&state, member->weight_milli);
            digest_field(&state, member->zone);
        }
    }
    return XXH3_64bits_digest(&state);
}

int rh_ring_create(const struct rh_ring_options *options, const struct rh_ring_member *members,
                   size_t members_count, struct rh_ring **ret_ring)
{
    int rv = check(options, members, members_count);
    if (rv != 0) {
        return rv;
    }
    struct rh_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL) {
        return RH_RING_ERR_NO_MEMORY;
    }
    ring->options = *options;
    rv = copy_members(ring, members, members_count);
    if (rv == 0) {
        rv = number_zones(ring);
    }
    if (rv == 0) {
        rv = make_points(ring);
    }
    if (rv != 0) {
        rh_ring_destroy(ring);
        return rv;
    }
    measure(ring);
    ring->digest = compute_digest(ring);
    *ret_ring = ring;
    return 0;
}

void rh_ring_destroy(struct rh_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    rh_points_finish(&ring->points);
    free(ring->members);
    free(ring->texts);
    free(ring->zones);
    free(ring->widths);
    free(ring);
}

size_t rh_ring_members_count(const struct rh_ring *ring)
{
    return ring->members_count;
}

size_t rh_ring_active_count(const struct rh_ring *ring)
{
    return ring->active_count;
}

size_t rh_ring_points_count(const struct rh_ring *ring)
{
    return ring->points.count;
}

const struct rh_ring_member *rh_ring_member(const struct rh_ring *ring, uint32_t index)
{
    assert(index < ring->members_count);
    return &ring->members[index];
}

uint32_t rh_ring_find(const struct rh_ring *ring, const char *id)
{
    const struct rh_ring_member key = {.id = id};
    const struct rh_ring_member *found =
        bsearch(&key, ring->members, ring->members_count, sizeof(ring->members[0]), compare_ids);
    return found == NULL ? RH_RING_NONE : (uint32_t)(found - ring->members);
}

uint64_t rh_ring_hash(const struct rh_ring *ring, const void *key, size_t key_size)
{
    return XXH3_64bits_withSeed(key, key_size, ring->options.seed);
}

uint32_t rh_ring_owner(const struct rh_ring *ring, uint64_t hash)
{
    uint16_t owner = rh_points_owner(&ring->points, hash);
    return owner == RH_POINTS_NOBODY ? RH_RING_NONE : owner;
}

void rh_ring_cells(const struct rh_ring *ring, uint32_t cells, uint32_t *ret_owners)
{
    uint64_t size = UINT64_MAX / cells;
    for (uint32_t i = 0; i < cells; i++) {
        ret_owners[i] = rh_ring_owner(ring, i * size + size / 2);
    }
}

/* The members that a walk has picked, and those it has passed over because of their zone. */
struct walk {
    uint32_t picked[RH_RING_REPLICAS_MAX];
    uint32_t passed[RH_RING_REPLICAS_MAX];
    uint32_t zones[RH_RING_REPLICAS_MAX]; /* of those picked */
    size_t picked_count;
    size_t passed_count;
};

static bool has(const uint32_t *numbers, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] == number) {
            return true;
        }
    }
    return false;
}

size_t rh_ring_preference(const struct rh_ring *ring, uint64_t hash, size_t replicas,
                          uint32_t *ret_indices)
{
    assert(replicas <= RH_RING_REPLICAS_MAX);
    size_t wanted = replicas < ring->active_count ? replicas : ring->active_count;
    /* One member of each zone while there are zones; the rest are those passed over. */
    size_t picks = wanted < ring->zones_count ? wanted : ring->zones_count;
    size_t fills = wanted - picks;
    const struct rh_points *points = &ring->points;
    struct walk walk;
    walk.picked_count = 0;
    walk.passed_count = 0;
    size_t at = rh_points_find(points, hash);
    while (walk.picked_count < picks || walk.passed_count < fills) {
        at = at >= points->count ? 0 : at;
        uint32_t member = points->owners[at++];
        if (!has(walk.zones, walk.picked_count, ring->zones[member])) {
            walk.zones[walk.picked_count] = ring->zones[member];
            walk.picked[walk.picked_count++] = member;
        } else if (walk.passed_count < fills && !has(walk.picked, walk.picked_count, member) &&
                   !has(walk.passed, walk.passed_count, member)) {
            walk.passed[walk.passed_count++] = member;
        }
    }
    for (size_t i = 0; i < picks; i++) {
        ret_indices[i] = walk.picked[i];
    }
    for (size_t i = 0; i < fills; i++) {
        ret_indices[picks + i] = walk.passed[i];
    }
    return wanted;
}

double rh_ring_share(const struct rh_ring *ring, uint32_t index)
{
    assert(index < ring->members_count);
    return rh_ring_width_share(ring->widths[index]);
}

uint64_t rh_ring_digest(const struct rh_ring *ring)
{
    return ring->digest;
}
