/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_TESTS_SIMULATOR_SCENARIO_H
#define RH_TESTS_SIMULATOR_SCENARIO_H

/*
 * Scripted runs on the simulator, for tests that read like a sequence diagram. Nothing is random:
 * every way takes a millisecond, every choice is the first, so clients begin at n0. The laws are
 * checked as in any run. What happened is read from the trace, of which only the lines that matter
 * to a test are compared, without their time.
 */

#include "tests/simulator.h"

struct scenario {
    struct sim sim;
    FILE *trace;
    char *text;
    size_t size;
    size_t read; /* up to here it was compared, or forgotten */
};

/* |nodes_count| nodes start and come to rest, with a subscriber to each channel. */
struct scenario *scenario_create(int nodes_count);

/* With |replicas| copies, and nobody running yet. */
struct scenario *scenario_create_empty(int nodes_count, int replicas);
void scenario_destroy(struct scenario *scenario);

/* Fails the test, with the trace, when the run has failed. */
void scenario_check(struct scenario *scenario);

/* Time passes; then: all is as it should be in a cluster at rest, within a minute. */
void scenario_pass(struct scenario *scenario, uint64_t ms);
void scenario_rest(struct scenario *scenario);

/* The lines since the last time that contain one of |words| (separated by '|'), each without its
 * time, are |lines|. */
#define scenario_expect(scenario, words, lines) \
    scenario_expect_at(scenario, words, lines, __FILE__, __LINE__)
void scenario_expect_at(struct scenario *scenario, const char *words, const char *lines,
                        const char *file, int line);

/* How many lines since the last time contain |word|; they can still be compared. */
size_t scenario_count(struct scenario *scenario, const char *word);
void scenario_forget(struct scenario *scenario);

#endif
