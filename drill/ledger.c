/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED 0x80000000U /* of an entry */
#define NUMBER_MAX   0x7ffffff0U

static uint32_t number_of(uint32_t entry)
{
    return (entry & ~ACKNOWLEDGED) - 1;
}

/* Makes an array of zeroed elements so long that |index| is in it. */
static int grow(void **array, uint32_t *count, size_t index, size_t element_size)
{
    if (index < *count) {
        return 0;
    }
    size_t space = *count < 8 ? 8 : *count;
    while (space <= index) {
        space *= 2;
    }
    char *grown = realloc(*array, space * element_size);
    if (grown == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    memset(grown + *count * element_size, 0, (space - *count) * element_size);
    *array = grown;
    *count = (uint32_t)space;
    return 0;
}

void rh_ledger_finish(struct rh_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->incarnations_count; i++) {
        free(ledger->incarnations[i].entries);
    }
    free(ledger->incarnations);
    free(ledger->places);
    free(ledger->holes);
    *ledger = (struct rh_ledger){0};
}

int rh_ledger_publish(struct rh_ledger *ledger, uint32_t *ret_number)
{
    void *places = ledger->places;
    assert(ledger->published < NUMBER_MAX);
    int rv = grow(&places, &ledger->places_count, ledger->published, sizeof(*ledger->places));
    ledger->places = places;
    if (rv == 0) {
        *ret_number = ledger->published++;
    }
    return rv;
}

/* The index of the incarnation, which is added if it is new. */
static int find_incarnation(struct rh_ledger *ledger, uint64_t id, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < ledger->incarnations_count; i++) {
        if (ledger->incarnations[i].id == id) {
            *ret_index = i;
            return 0;
        }
    }
    uint32_t index = ledger->incarnations_count;
    struct rh_ledger_incarnation *grown =
        realloc(ledger->incarnations, (index + 1) * sizeof(*grown));
    if (grown == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    grown[index] = (struct rh_ledger_incarnation){.id = id};
    ledger->incarnations = grown;
    ledger->incarnations_count++;
    *ret_index = index;
    return 0;
}

static void contradict(const struct rh_ledger *ledger, struct rh_ledger_book book, uint64_t seq,
                       const char *what)
{
    book.counts->contradicted++;
    rh_problems_add(book.problems, "%s: seq %llu %s", ledger->key, (unsigned long long)seq, what);
}

/* A message is seen for the first time under this seq: it must not have another one. */
static void place(struct rh_ledger *ledger, struct rh_ledger_book book, uint32_t incarnation,
                  uint64_t seq, uint32_t number)
{
    struct rh_ledger_place *known = &ledger->places[number];
    if (known->seq != 0 && known->incarnation == incarnation && known->seq != seq) {
        book.counts->duplicated++;
        rh_problems_add(book.problems, "%s: message %u is there twice, as seq %u and %llu",
                        ledger->key, number, known->seq, (unsigned long long)seq);
    }
    *known = (struct rh_ledger_place){.incarnation = incarnation, .seq = (uint32_t)seq};
}

/* Notes that |seq| is the message |number|, as somebody says who was told so. */
static int note(struct rh_ledger *ledger, struct rh_ledger_book book, uint32_t index, uint64_t seq,
                uint32_t number, bool acknowledged)
{
    struct rh_ledger_incarnation *incarnation = &ledger->incarnations[index];
    if (number >= ledger->published) {
        contradict(ledger, book, seq, "has a message that nobody published");
        return 0;
    }
    if (seq == 0 || seq > RH_LEDGER_SEQ_MAX) {
        contradict(ledger, book, seq, "cannot be");
        return 0;
    }
    void *entries = incarnation->entries;
    int rv = grow(&entries, &incarnation->entries_count, seq, sizeof(*incarnation->entries));
    incarnation->entries = entries;
    if (rv != 0) {
        return rv;
    }
    uint32_t *entry = &incarnation->entries[seq];
    if (*entry == 0) {
        *entry = number + 1;
        place(ledger, book, index, seq, number);
    } else if (number_of(*entry) != number) {
        contradict(ledger, book, seq, "stands for two messages");
    }
    *entry |= acknowledged ? ACKNOWLEDGED : 0;
    if (seq > incarnation->last) {
        incarnation->last = (uint32_t)seq;
    }
    return 0;
}

int rh_ledger_acknowledged(struct rh_ledger *ledger, struct rh_ledger_book book, uint32_t number,
                           uint64_t incarnation, uint64_t seq)
{
    uint32_t index = 0;
    int rv = find_incarnation(ledger, incarnation, &index);
    return rv != 0 ? rv : note(ledger, book, index, seq, number, true);
}

/* --- Holes ------------------------------------------------------------------------------------ */

static int add_hole(struct rh_ledger *ledger, struct rh_ledger_client *client,
                    struct rh_ledger_hole hole)
{
    if (hole.from > hole.to) {
        return 0;
    }
    if (ledger->holes_count == ledger->holes_space) {
        size_t space = ledger->holes_space == 0 ? 4 : ledger->holes_space * 2;
        struct rh_ledger_hole *grown = realloc(ledger->holes, space * sizeof(*grown));
        if (grown == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        ledger->holes = grown;
        ledger->holes_space = space;
    }
    hole.client = client->number;
    client->has_holes = true;
    ledger->holes[ledger->holes_count++] = hole;
    return 0;
}

static bool is_of(const struct rh_ledger_hole *hole, const struct rh_ledger_client *client,
                  uint32_t incarnation)
{
    return hole->client == client->number && hole->incarnation == incarnation;
}

/* Whether a message had been left out, when it comes in the end. */
enum filled {
    FILLED_NOTHING, /* it was had before */
    FILLED_TOLD,    /* the client knew that it might not come */
    FILLED_UNTOLD,
};

/* Takes |seq| out of the holes of the client. */
static int fill(struct rh_ledger *ledger, struct rh_ledger_client *client, uint64_t seq,
                enum filled *ret_filled)
{
    uint32_t incarnation = client->incarnation - 1;
    for (size_t i = 0; client->has_holes && i < ledger->holes_count; i++) {
        struct rh_ledger_hole *hole = &ledger->holes[i];
        if (is_of(hole, client, incarnation) && seq >= hole->from && seq <= hole->to) {
            struct rh_ledger_hole rest = *hole;
            rest.from = seq + 1;
            hole->to = seq - 1; /* from > to: nothing is left of it */
            *ret_filled = rest.told ? FILLED_TOLD : FILLED_UNTOLD;
            return add_hole(ledger, client, rest);
        }
    }
    *ret_filled = FILLED_NOTHING;
    return 0;
}

/* The client is again where it has been: what it may not have had ends with |seq|. */
static void end_holes(struct rh_ledger *ledger, const struct rh_ledger_client *client,
                      uint32_t incarnation, uint64_t seq)
{
    for (size_t i = 0; client->has_holes && i < ledger->holes_count; i++) {
        struct rh_ledger_hole *hole = &ledger->holes[i];
        if (is_of(hole, client, incarnation) && hole->to > seq) {
            hole->to = seq;
        }
    }
}

/* --- A client --------------------------------------------------------------------------------- */

int rh_ledger_welcome(struct rh_ledger *ledger, struct rh_ledger_book book,
                      struct rh_ledger_client *client, uint64_t incarnation, uint64_t seq,
                      bool recovered)
{
    uint32_t index = 0;
    uint32_t before = client->incarnation - 1;
    bool first = client->incarnation == 0;
    int rv = find_incarnation(ledger, incarnation, &index);
    if (rv == 0 && !first && index != before) {
        rv = add_hole(ledger, client,
                      (struct rh_ledger_hole){.incarnation = before,
                                              .from = client->had + 1,
                                              .to = UINT64_MAX,
                                              .told = !recovered});
        end_holes(ledger, client, index, seq);
        client->had = 0;
    }
    if (rv == 0 && !first) {
        rv = add_hole(
            ledger, client,
            (struct rh_ledger_hole){
                .incarnation = index, .from = client->had + 1, .to = seq, .told = !recovered});
    }
    if (rv != 0) {
        return rv;
    }
    if (!recovered && !first) {
        book.counts->gaps_told++;
    }
    if (first || index != before || !recovered || seq > client->had) {
        client->had = seq;
    }
    client->incarnation = index + 1;
    client->latest = seq;
    return 0;
}

/* A message that should have come earlier, or not again. */
static void judge_late(const struct rh_ledger *ledger, struct rh_ledger_book book,
                       const struct rh_ledger_client *client, uint64_t seq, enum filled filled)
{
    bool again = filled == FILLED_NOTHING;
    if (again) {
        book.counts->duplicated++;
    } else {
        book.counts->reordered++;
    }
    rh_problems_add(book.problems, "%s: client %u got seq %llu %s", ledger->key, client->number,
                    (unsigned long long)seq,
                    again ? "twice on one connection" : "only after later ones");
}

int rh_ledger_receive(struct rh_ledger *ledger, struct rh_ledger_book book,
                      struct rh_ledger_client *client, uint64_t seq, uint32_t number)
{
    assert(client->incarnation != 0);
    enum filled filled = FILLED_NOTHING;
    int rv = note(ledger, book, client->incarnation - 1, seq, number, false);
    if (rv == 0 && seq <= client->had) {
        rv = fill(ledger, client, seq, &filled);
    } else if (rv == 0) {
        rv = add_hole(ledger, client,
                      (struct rh_ledger_hole){.incarnation = client->incarnation - 1,
                                              .from = client->had + 1,
                                              .to = seq - 1});
    }
    if (rv != 0) {
        return rv;
    }
    if (seq <= client->latest || filled == FILLED_UNTOLD) {
        judge_late(ledger, book, client, seq, filled);
    }
    if (seq > client->had || filled != FILLED_NOTHING) {
        book.counts->delivered++;
    } else {
        book.counts->replayed++;
    }
    client->had = seq > client->had ? seq : client->had;
    client->latest = seq > client->latest ? seq : client->latest;
    return 0;
}

/* Whether the channel has messages of an incarnation that came after that of the client. */
static bool is_left_behind(const struct rh_ledger *ledger, uint32_t index)
{
    for (uint32_t i = index + 1; i < ledger->incarnations_count; i++) {
        if (ledger->incarnations[i].last > 0) {
            return true;
        }
    }
    return false;
}

bool rh_ledger_settled(const struct rh_ledger *ledger, const struct rh_ledger_client *client)
{
    if (client->incarnation == 0) {
        return false;
    }
    uint32_t index = client->incarnation - 1;
    return client->had >= ledger->incarnations[index].last && !is_left_behind(ledger, index);
}

/* --- The end ---------------------------------------------------------------------------------- */

/* Counts what |hole| has in it. */
static void judge_hole(const struct rh_ledger *ledger, struct rh_ledger_book book,
                       const struct rh_ledger_hole *hole)
{
    const struct rh_ledger_incarnation *incarnation = &ledger->incarnations[hole->incarnation];
    uint64_t end =
        hole->to < incarnation->entries_count ? hole->to + 1 : (uint64_t)incarnation->entries_count;
    if (!hole->told && hole->to != UINT64_MAX && hole->to >= end) {
        book.counts->skipped += hole->to + 1 - (hole->from > end ? hole->from : end);
    }
    for (uint64_t seq = hole->from; seq < end; seq++) {
        uint32_t entry = incarnation->entries[seq];
        bool acknowledged = (entry & ACKNOWLEDGED) != 0;
        if (hole->told) {
            book.counts->missed += acknowledged;
        } else if (acknowledged) {
            book.counts->lost++;
            rh_problems_add(book.problems,
                            "%s: client %u never got message %u, acknowledged as seq %llu",
                            ledger->key, hole->client, number_of(entry), (unsigned long long)seq);
        } else if (entry != 0 || hole->to != UINT64_MAX) {
            book.counts->skipped++;
            rh_problems_add(book.problems, "%s: client %u never got seq %llu", ledger->key,
                            hole->client, (unsigned long long)seq);
        }
    }
}

void rh_ledger_close(const struct rh_ledger *ledger, struct rh_ledger_book book,
                     const struct rh_ledger_client *client)
{
    if (client->incarnation == 0) {
        return; /* never connected: the caller counts that */
    }
    for (size_t i = 0; client->has_holes && i < ledger->holes_count; i++) {
        if (ledger->holes[i].client == client->number) {
            judge_hole(ledger, book, &ledger->holes[i]);
        }
    }
    struct rh_ledger_hole rest = {
        .client = client->number,
        .incarnation = client->incarnation - 1,
        .from = client->had + 1,
        .to = UINT64_MAX,
    };
    judge_hole(ledger, book, &rest);
    for (uint32_t i = client->incarnation; i < ledger->incarnations_count; i++) {
        /* The channel went on without telling this client, unless it had been there before. */
        bool known = false;
        for (size_t j = 0; client->has_holes && j < ledger->holes_count; j++) {
            known = known || is_of(&ledger->holes[j], client, i);
        }
        if (!known) {
            rest.incarnation = i;
            rest.from = 1;
            judge_hole(ledger, book, &rest);
        }
    }
}
