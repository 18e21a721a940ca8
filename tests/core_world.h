/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_CORE_WORLD_H
#define RH_TESTS_CORE_WORLD_H

/*
 * Cores in a small virtual cluster. Actions become lines of a trace, and the trace is the oracle:
 *
 *     n1 > welcome s1 seq=0 unrecovered
 *
 * Messages between cores wait in one queue until world_deliver() hands them over, so that a test
 * decides what arrives, when, and whether. Incarnations are random and left out of the trace.
 */

#include "node/core.h"
#include "tests/test.h"

#define WORLD_NODES 4
#define WORLD_QUEUE 256

struct envelope {
    unsigned from;
    unsigned to;
    struct rh_peer_message message;
    char bytes[1024];                /* what the slices of the message point to, */
    struct rh_peer_decoder *decoder; /* or in here */
};

struct world {
    struct rh_core *cores[WORLD_NODES];
    struct rh_node_ref refs[WORLD_NODES];
    struct rh_actions actions; /* of the last step */
    struct rh_view *view;      /* made last */
    int64_t epoch;             /* of |view| */
    uint64_t now_ms;
    struct rh_subscription subs[8];
    struct rh_attendee attendees[8];
    struct envelope *queue[WORLD_QUEUE];
    size_t queue_count;
    char trace[65536];
    char keys[WORLD_NODES][32]; /* one key that each node owns while all are members */
};

/* All nodes up, linked, in one view in which n1 to n3 have weight; the trace is empty. */
int world_setup(void **state);
int world_teardown(void **state);

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

struct rh_core_options world_options_of(unsigned node);

/* Makes the core of |node| anew with other options, in the view that was made last. */
void world_restart(struct world *world, unsigned node, const struct rh_core_options *options);

/* The trace since the last call is |expected|. */
void world_expect(struct world *world, const char *expected);

/* Forgets the trace so far. */
void world_forget(struct world *world);

/* ---- what happens; nodes and subscriptions by number, n1 is node 0 ---- */

void world_step(struct world *world, unsigned node, struct rh_event *event);

/* A view in which all are registered and those in the bits of |members| (n1 is bit 0) have weight;
 * nobody sees it yet. */
void world_make_view(struct world *world, unsigned members);
void world_adopt(struct world *world, unsigned node);
void world_adopt_all(struct world *world, unsigned members);

/* RH_EVENT_PEER_UP or _DOWN at |node|. */
void world_peer(struct world *world, enum rh_event_kind kind, unsigned node, unsigned other);

/* |after| may be NULL. */
void world_subscribe(struct world *world, unsigned node, unsigned sub, const char *key,
                     const struct rh_position *after);
void world_subscribe_at(struct world *world, unsigned node, unsigned sub, const char *key,
                        const struct rh_position *after, struct rh_hop hop);
/* A stream that watches the state. */
void world_watch(struct world *world, unsigned node, unsigned sub, const char *key,
                 const struct rh_position *after);

/* A stream that names itself (|client| NULL: it does not), and may watch who is there. */
void world_attend(struct world *world, unsigned node, unsigned sub, const char *key,
                  const char *client, const char *meta, bool watches);
void world_present(struct world *world, unsigned node, uint64_t request, const char *key);

/* The end of a turn of the loop, if the core wants one. */
void world_turn(struct world *world, unsigned node);
void world_unsubscribe(struct world *world, unsigned node, unsigned sub);
void world_drained(struct world *world, unsigned node, unsigned sub);
void world_read_from(struct world *world, unsigned node, unsigned sub, const char *key,
                     const struct rh_position *after, uint32_t limit, uint32_t wait_ms);
void world_read_at(struct world *world, unsigned node, unsigned sub, const char *key,
                   const struct rh_position *after, uint32_t limit, uint32_t wait_ms,
                   struct rh_hop hop);
void world_publish(struct world *world, unsigned node, uint64_t request, const char *key,
                   const char *id, const char *data);
void world_state_get(struct world *world, unsigned node, uint64_t request, const char *key);
void world_state_put(struct world *world, unsigned node, uint64_t request, const char *key,
                     const char *data, enum rh_peer_state_condition condition, uint64_t version);
void world_state_delete(struct world *world, unsigned node, uint64_t request, const char *key,
                        enum rh_peer_state_condition condition, uint64_t version);
void world_follow(struct world *world, unsigned node, uint64_t request, const char *key,
                  const char *topic, const struct rh_position *after);
void world_unfollow(struct world *world, unsigned node, uint64_t request, const char *key,
                    const char *topic);
void world_follows(struct world *world, unsigned node, uint64_t request, const char *key);
void world_followers(struct world *world, unsigned node, uint64_t request, const char *topic,
                     uint32_t limit);
void world_inspect(struct world *world, unsigned node, uint64_t request, const char *key);

/* Hands over the oldest message that is under way; or loses it. */
void world_deliver(struct world *world, bool lose);

/* Time passes, and |node| gets its ticks when it wants them. */
void world_pass(struct world *world, unsigned node, uint64_t ms);

/* The position `0`. */
extern const struct rh_position world_start;

/* Position |seq| of the channel as |node| holds it. */
struct rh_position world_position(struct world *world, unsigned node, const char *key,
                                  uint64_t seq);

#endif
