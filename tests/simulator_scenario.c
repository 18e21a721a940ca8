/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/simulator_scenario.h"

#include "tests/simulator_node.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#define TIME_SIZE  13 /* of a line: the time, and two spaces */
#define WORDS_MAX  8
#define LINES_SIZE 8192

struct scenario *scenario_create_empty(int nodes_count, int replicas)
{
    struct scenario *scenario = calloc(1, sizeof(*scenario));
    assert_non_null(scenario);
    scenario->trace = open_memstream(&scenario->text, &scenario->size);
    assert_non_null(scenario->trace);
    const struct sim_options options = {.seed = 1, .trace = scenario->trace, .replicas = replicas};
    sim_create(&scenario->sim, &options, nodes_count);
    return scenario;
}

struct scenario *scenario_create(int nodes_count)
{
    struct scenario *scenario = scenario_create_empty(nodes_count, 0);
    for (int i = 0; i < nodes_count; i++) {
        sim_node_start(&scenario->sim, i);
    }
    scenario_rest(scenario);
    scenario_forget(scenario);
    return scenario;
}

void scenario_destroy(struct scenario *scenario)
{
    sim_destroy(&scenario->sim);
    (void)fclose(scenario->trace);
    free(scenario->text);
    free(scenario);
}

void scenario_check(struct scenario *scenario)
{
    (void)fflush(scenario->trace);
    if (scenario->sim.failed) {
        (void)fprintf(stderr, "%s--- %s\n", scenario->text, scenario->sim.failure);
        fail();
    }
}

void scenario_pass(struct scenario *scenario, uint64_t ms)
{
    sim_run_until(&scenario->sim, scenario->sim.now_ms + ms);
    scenario_check(scenario);
}

void scenario_rest(struct scenario *scenario)
{
    sim_rest(&scenario->sim, true, 60000, "in the scenario");
    scenario_check(scenario);
}

void scenario_forget(struct scenario *scenario)
{
    (void)fflush(scenario->trace);
    scenario->read = scenario->size;
}

/* Copies |words| and cuts them apart. */
static size_t split(char *words, char *out[static WORDS_MAX])
{
    size_t count = 0;
    for (char *word = strtok(words, "|"); word != NULL && count < WORDS_MAX;
         word = strtok(NULL, "|")) {
        out[count++] = word;
    }
    return count;
}

/* Appends the lines that contain one of |words|; returns how many there are. */
static size_t filter(struct scenario *scenario, const char *words, char *out, size_t out_size)
{
    char copy[256];
    char *parts[WORDS_MAX];
    (void)snprintf(copy, sizeof(copy), "%s", words);
    size_t parts_count = split(copy, parts);
    size_t used = 0;
    size_t lines = 0;
    (void)fflush(scenario->trace);
    out[0] = '\0';
    for (const char *at = scenario->text + scenario->read; *at != '\0';) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        bool wanted = false;
        for (size_t i = 0; i < parts_count; i++) {
            wanted |= memmem(at, (size_t)(end - at), parts[i], strlen(parts[i])) != NULL;
        }
        if (wanted) {
            int size = (int)(end - at) - TIME_SIZE;
            used += (size_t)snprintf(out + used, out_size - used, "%.*s\n", size, at + TIME_SIZE);
            assert_true(used < out_size);
            lines++;
        }
        at = end + 1;
    }
    return lines;
}

size_t scenario_count(struct scenario *scenario, const char *word)
{
    char lines[LINES_SIZE];
    return filter(scenario, word, lines, sizeof(lines));
}

void scenario_expect_at(struct scenario *scenario, const char *words, const char *lines,
                        const char *file, int line)
{
    char found[LINES_SIZE];
    (void)filter(scenario, words, found, sizeof(found));
    if (strcmp(found, lines) != 0) {
        (void)fprintf(stderr, "%s:%d: expected\n%s--- but there is\n%s--- in\n%s", file, line,
                      lines, found, scenario->text + scenario->read);
        fail();
    }
    scenario_forget(scenario);
}
