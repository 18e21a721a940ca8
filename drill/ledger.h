/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_LEDGER_H
#define RH_DRILL_LEDGER_H

/*
 * The ledger of one channel: which message was acknowledged under which number, what arrived at
 * which of its clients, and at the end what that means. It keeps its own account, beside that of
 * the clients, of what each has had; so a client that is mistaken does not hide a fault. Pure.
 *
 *      publisher --rh_ledger_publish()------->
 *      publisher --rh_ledger_acknowledged()-->
 *      client ------rh_ledger_welcome()------> ledger --rh_ledger_close()--> lost, skipped, missed
 *      client ------rh_ledger_receive()------>
 *
 * A message has a `number`, from 0 in the order of publishing, and gets a seq from its channel. A
 * client has had the messages of an incarnation up to some seq, but for holes. A hole that begins
 * with a welcome that said `recovered: false` was told; any other is a fault if something was in
 * it.
 */

#include "base/error.h"
#include "drill/counts.h"
#include "drill/problems.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_LEDGER_SEQ_MAX 16000000U /* a greater seq is taken for a fault of the node */

/* What one incarnation of the channel holds under each seq. */
struct rh_ledger_incarnation {
    uint64_t id;
    uint32_t *entries; /* by seq: number + 1 and, in the highest bit, whether it was acknowledged */
    uint32_t entries_count;
    uint32_t last; /* the greatest seq that was acknowledged or arrived anywhere; 0: none */
};

/* Where a message was seen last; all 0: nowhere. */
struct rh_ledger_place {
    uint32_t incarnation; /* index */
    uint32_t seq;
};

/* Messages that a client has not had: |from| to |to|, both included. */
struct rh_ledger_hole {
    uint32_t client;
    uint32_t incarnation; /* index */
    uint64_t from;
    uint64_t to; /* UINT64_MAX: whatever came after */
    bool told;
};

/* Zeroed is the ledger of a channel that nobody has used. */
struct rh_ledger {
    const char *key;                            /* of the channel, for the problems; the owner's */
    struct rh_ledger_incarnation *incarnations; /* in the order in which they were first seen */
    uint32_t incarnations_count;
    struct rh_ledger_place *places; /* by number */
    uint32_t places_count;
    uint32_t published; /* numbers below it have been given out */
    struct rh_ledger_hole *holes;
    size_t holes_count;
    size_t holes_space;
};

/* What the ledger knows of one client; zeroed has not been welcome yet. */
struct rh_ledger_client {
    uint32_t number; /* of the client within its channel: the owner's, for holes and problems */
    uint32_t incarnation; /* index + 1; 0: not welcome yet */
    uint64_t had;         /* the greatest seq of it */
    uint64_t latest;      /* the greatest seq on this connection */
    bool has_holes;
};

/* Where counts and problems go. */
struct rh_ledger_book {
    struct rh_load_counts *counts;
    struct rh_problems *problems;
};

/* Frees; a zeroed ledger is allowed. */
void rh_ledger_finish(struct rh_ledger *ledger);

/* Gives out the number of the next message. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_ledger_publish(struct rh_ledger *ledger, uint32_t *ret_number);

/* The publish of that number was answered. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_ledger_acknowledged(struct rh_ledger *ledger, struct rh_ledger_book book,
                                         uint32_t number, uint64_t incarnation, uint64_t seq);

/* A connection of |client| begins: messages after |seq| follow. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_ledger_welcome(struct rh_ledger *ledger, struct rh_ledger_book book,
                                    struct rh_ledger_client *client, uint64_t incarnation,
                                    uint64_t seq, bool recovered);

/* A message arrived on the connection that was welcome last. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_ledger_receive(struct rh_ledger *ledger, struct rh_ledger_book book,
                                    struct rh_ledger_client *client, uint64_t seq, uint32_t number);

/* Whether the client has had all that was acknowledged, or arrived elsewhere, by now. */
bool rh_ledger_settled(const struct rh_ledger *ledger, const struct rh_ledger_client *client);

/* The end, for one client: counts what it lost, what was skipped, and what it missed in told gaps.
 * Once for each. */
void rh_ledger_close(const struct rh_ledger *ledger, struct rh_ledger_book book,
                     const struct rh_ledger_client *client);

#endif
