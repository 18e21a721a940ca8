/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The program: runs seeds, tells which failed, with the end of their trace and the faults that it
 * takes. A run may also end in an assertion of the code under test, so seeds run in a child
 * process, which tells what it is at in shared memory.
 */

#include "tests/simulator.h"
#include "tests/simulator_fault.h"
#include "tests/simulator_mutation.h"
#include "tests/simulator_scale.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAIL_LINES    60
#define CHANNELS_MAX  1000000
#define FAULTS_MAX    64
#define TEETH_SEEDS   6000
#define FAILURES_SHOW 3

static const char usage[] =
    "simulator --seed S [--trace] [--profile P] [--without N,N...] [--mutation M]\n"
    "    one run; --without leaves faults of its plan out\n"
    "simulator --seeds A-B [--profile P] [--mutation M] [--quick]\n"
    "    with --replicas R the nodes keep R copies, \"any\" is 1 to 3 as the seed says;\n"
    "    --fault F breaks a rule of node/fault.h; --topics: channels follow others; with\n"
    "    --presence clients name themselves and watch who is there; with --relay some clients are\n"
    "    served by another node than the one they reached\n"
    "    many runs; of those that fail the trace's end and the faults that it takes, unless "
    "--quick\n"
    "simulator --seed S --nodes N [--channels C] [--change X] [--replicas R]\n"
    "    a run with that many nodes, and C channels beside those of its clients; with --change\n"
    "    there are no faults but one change, of which it says what it took: idle, join, drain,\n"
    "    crash, stop, outage, expire\n"
    "simulator --repeat A-B\n"
    "    runs each seed twice and compares the traces, byte for byte\n"
    "simulator --teeth\n"
    "    injects each fault of the list into the code and sees that some seed finds it (TAP)\n";

/* What a child tells while it runs. */
struct shared {
    uint64_t seed; /* at work */
    uint64_t seeds;
    uint64_t failures;
    uint64_t steps;
    uint64_t virtual_ms;
    uint64_t messages;
    uint64_t rest_ms;         /* the longest */
    uint64_t rest_seed;       /* where */
    struct sim_result result; /* of the last run */
};

struct command {
    uint64_t first;
    uint64_t last;
    bool trace;
    bool quick;
    bool off[FAULTS_MAX];
    struct sim_options options;
};

static struct shared *shared;

/* ---- one run in a child ---- */

enum outcome { OUTCOME_GOOD, OUTCOME_FAILED, OUTCOME_CRASHED };

static void run_here(const struct sim_options *options)
{
    shared->seed = options->seed;
    sim_mutate(options->mutation);
    sim_run_once(options, &shared->result);
    shared->seeds++;
    shared->steps += shared->result.steps;
    shared->virtual_ms += shared->result.virtual_ms;
    shared->messages += shared->result.messages;
    shared->failures += shared->result.failed;
    if (shared->result.rest_ms > shared->rest_ms) {
        shared->rest_ms = shared->result.rest_ms;
        shared->rest_seed = options->seed;
    }
}

static void flush_all(void)
{
    (void)fflush(stdout);
    (void)fflush(stderr);
}

static enum outcome outcome_of(pid_t child)
{
    int status = 0;
    if (waitpid(child, &status, 0) != child) {
        return OUTCOME_CRASHED;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)snprintf(shared->result.failure, sizeof(shared->result.failure),
                       "the process ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return OUTCOME_CRASHED;
    }
    return shared->result.failed ? OUTCOME_FAILED : OUTCOME_GOOD;
}

static void be_silent(void)
{
    if (freopen("/dev/null", "w", stderr) == NULL) {
        _exit(3);
    }
}

static enum outcome run_apart(const struct sim_options *options, bool silent)
{
    flush_all();
    pid_t child = fork();
    if (child == 0) {
        if (silent) {
            be_silent();
        }
        run_here(options);
        flush_all();
        exit(0); /* with the check for leaks, where there is one */
    }
    return outcome_of(child);
}

/* ---- a failure ---- */

/* Whether two failures are of the same kind: the same words, whatever the numbers. */
static bool is_like(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strcspn(a, " ");
        b += strcspn(b, " ");
        if (*a == '\0' || *b == '\0') {
            return *a == *b;
        }
        bool word = a[1] >= 'a' && a[1] <= 'z' && b[1] >= 'a' && b[1] <= 'z';
        size_t size = strcspn(a + 1, " 0123456789");
        if (word && strncmp(a + 1, b + 1, size) != 0) {
            return false;
        }
    }
}

/* Leaves out what the failure does not need. Returns how many faults are left. */
static size_t shrink(struct sim_options options, bool off[static FAULTS_MAX])
{
    char failure[sizeof(shared->result.failure)];
    memcpy(failure, shared->result.failure, sizeof(failure));
    size_t count = shared->result.faults;
    options.faults_off = off;
    options.faults_off_count = FAULTS_MAX;
    options.trace = NULL;
    size_t left = 0;
    for (size_t i = 0; i < count && i < FAULTS_MAX; i++) {
        if (off[i]) {
            continue;
        }
        off[i] = true;
        if (run_apart(&options, true) == OUTCOME_GOOD ||
            !is_like(failure, shared->result.failure)) {
            off[i] = false;
            left++;
        }
    }
    return left;
}

static void print_tail(FILE *trace)
{
    long starts[TAIL_LINES] = {0};
    size_t lines = 0;
    char line[1024];
    rewind(trace);
    for (long at = 0; fgets(line, sizeof(line), trace) != NULL; at = ftell(trace)) {
        starts[lines++ % TAIL_LINES] = at;
    }
    (void)fseek(trace, lines < TAIL_LINES ? 0 : starts[lines % TAIL_LINES], SEEK_SET);
    while (fgets(line, sizeof(line), trace) != NULL) {
        (void)fputs(line, stderr);
    }
}

static void explain(const struct sim_options *failed)
{
    bool off[FAULTS_MAX] = {false};
    struct sim_options options = *failed;
    struct shared before = *shared;
    (void)run_apart(&options, true); /* for the number of faults, if it fails in a law */
    size_t left = shrink(options, off);
    options.faults_off = off;
    options.faults_off_count = FAULTS_MAX;
    options.trace = tmpfile();
    if (options.trace == NULL) {
        return;
    }
    (void)setvbuf(options.trace, NULL, _IOLBF, 0);
    (void)run_apart(&options, true);
    (void)fprintf(stderr, "--- the end of its trace, with %zu faults\n", left);
    print_tail(options.trace);
    (void)fprintf(stderr, "--- simulator --seed %" PRIu64 " --trace%s%s", failed->seed,
                  failed->profile == NULL ? "" : " --profile ",
                  failed->profile == NULL ? "" : failed->profile);
    if (failed->replicas != 0) {
        static const char *const texts[] = {"any", "0", "1", "2", "3"};
        (void)fprintf(stderr, " --replicas %s", texts[failed->replicas + 1]);
    }
    (void)fprintf(stderr, "%s%s%s --without ", failed->topics ? " --topics" : "",
                  failed->present ? " --presence" : "", failed->relay ? " --relay" : "");
    bool some = false;
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        if (off[i]) {
            (void)fprintf(stderr, "%s%zu", some ? "," : "", i);
            some = true;
        }
    }
    (void)fprintf(stderr, "%s\n", some ? "" : "none");
    (void)fclose(options.trace);
    *shared = before;
}

static void report(const struct command *command, uint64_t seed, unsigned shown)
{
    (void)printf("seed %" PRIu64 " FAILED: %s\n", seed, shared->result.failure);
    if (!command->quick && shown < FAILURES_SHOW) {
        struct sim_options options = command->options;
        options.seed = seed;
        explain(&options);
    }
    flush_all();
}

/* ---- many runs ---- */

/* In a child: runs on until a failure, which is left for the parent to report. */
static enum outcome run_some(const struct command *command, uint64_t first)
{
    flush_all();
    pid_t child = fork();
    if (child == 0) {
        struct sim_options options = command->options;
        for (uint64_t seed = first; seed <= command->last; seed++) {
            options.seed = seed;
            run_here(&options);
            if (shared->result.failed) {
                break;
            }
        }
        flush_all();
        exit(0); /* with the check for leaks, where there is one */
    }
    return outcome_of(child);
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run_seeds(const struct command *command)
{
    double began_s = now_s();
    unsigned failures = 0;
    for (uint64_t seed = command->first; seed <= command->last;) {
        enum outcome outcome = run_some(command, seed);
        if (outcome == OUTCOME_GOOD) {
            break;
        }
        seed = shared->seed + 1;
        report(command, shared->seed, failures);
        failures++;
    }
    double took_s = now_s() - began_s;
    uint64_t seeds = command->last - command->first + 1;
    (void)printf("%" PRIu64 " seeds, %u failed, %.1f s, %.0f seeds/s, %" PRIu64
                 " steps, %.1f virtual hours, %" PRIu64
                 " messages received, longest way to rest %.1f s"
                 " (seed %" PRIu64 ")\n",
                 seeds, failures, took_s, (double)seeds / took_s, shared->steps,
                 (double)shared->virtual_ms / 3.6e6, shared->messages,
                 (double)shared->rest_ms / 1000, shared->rest_seed);
    return failures == 0 ? 0 : 1;
}

static int run_seed(struct command *command)
{
    command->options.seed = command->first;
    command->options.trace = command->trace ? stdout : NULL;
    command->options.faults_off = command->off;
    command->options.faults_off_count = FAULTS_MAX;
    run_here(&command->options);
    const struct sim_result *result = &shared->result;
    (void)printf("seed %" PRIu64 ", profile %s, %zu faults, %" PRIu64 " steps, %.1f s: %s\n",
                 command->first, result->profile, result->faults, result->steps,
                 (double)result->virtual_ms / 1000, result->failed ? result->failure : "good");
    return result->failed ? 1 : 0;
}

/* ---- the same again ---- */

static char *trace_of(const struct sim_options *options, size_t *ret_size)
{
    char *text = NULL;
    struct sim_options traced = *options;
    traced.trace = open_memstream(&text, ret_size);
    if (traced.trace == NULL) {
        abort();
    }
    run_here(&traced);
    (void)fclose(traced.trace);
    return text;
}

static int run_twice(const struct command *command)
{
    int differ = 0;
    for (uint64_t seed = command->first; seed <= command->last; seed++) {
        struct sim_options options = command->options;
        options.seed = seed;
        size_t sizes[2] = {0};
        char *texts[2] = {trace_of(&options, &sizes[0]), trace_of(&options, &sizes[1])};
        if (sizes[0] != sizes[1] || memcmp(texts[0], texts[1], sizes[0]) != 0) {
            (void)printf("seed %" PRIu64 " has two traces\n", seed);
            differ++;
        }
        free(texts[0]);
        free(texts[1]);
    }
    (void)printf("%" PRIu64 " seeds ran twice, %d differ\n", command->last - command->first + 1,
                 differ);
    return differ == 0 ? 0 : 1;
}

/* ---- teeth ---- */

static bool bites(enum sim_mutation mutation)
{
    struct command command = {
        .first = 1,
        .last = TEETH_SEEDS,
        .options = {.mutation = mutation, .profile = sim_mutation_profile(mutation)}};
    memset(shared, 0, sizeof(*shared));
    flush_all();
    pid_t child = fork();
    if (child == 0) {
        be_silent();
        for (uint64_t seed = command.first; seed <= command.last; seed++) {
            command.options.seed = seed;
            run_here(&command.options);
            if (shared->result.failed) {
                break;
            }
        }
        exit(0); /* with the check for leaks, where there is one */
    }
    return outcome_of(child) != OUTCOME_GOOD;
}

static int show_teeth(void)
{
    int missed = 0;
    (void)printf("1..%d\n", SIM_MUTATIONS - 1);
    for (int i = 1; i < SIM_MUTATIONS; i++) {
        enum sim_mutation mutation = (enum sim_mutation)i;
        bool caught = bites(mutation);
        missed += !caught;
        (void)printf("%s %d - %s is caught\n# %s, seed %" PRIu64 ": %s\n", caught ? "ok" : "not ok",
                     i, sim_mutation_text(mutation), sim_mutation_name(mutation), shared->seed,
                     caught ? shared->result.failure : "no seed finds it");
    }
    return missed == 0 ? 0 : 1;
}

/* ---- the command line ---- */

static int fail_usage(const char *argument)
{
    (void)fprintf(stderr, "simulator: cannot make sense of \"%s\"\n%s", argument, usage);
    return 2;
}

static bool parse_range(const char *text, struct command *command)
{
    char *end = NULL;
    command->first = strtoull(text, &end, 10);
    command->last = command->first;
    if (*end == '-') {
        command->last = strtoull(end + 1, &end, 10);
    }
    return *text != '\0' && *end == '\0' && command->last >= command->first;
}

static bool parse_without(const char *text, struct command *command)
{
    if (strcmp(text, "none") == 0) {
        return true;
    }
    for (;;) {
        char *end = NULL;
        uint64_t number = strtoull(text, &end, 10);
        if (end == text || number >= FAULTS_MAX) {
            return false;
        }
        command->off[number] = true;
        if (*end == '\0') {
            return true;
        }
        text = end + 1;
    }
}

static bool parse_mutation(const char *text, struct command *command)
{
    for (int i = 0; i < SIM_MUTATIONS; i++) {
        if (strcmp(sim_mutation_name((enum sim_mutation)i), text) == 0) {
            command->options.mutation = (enum sim_mutation)i;
            return true;
        }
    }
    return false;
}

/* 0: it is no number from 1 to |most|. */
static unsigned long parse_number(const char *text, unsigned long most)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    return end == text || *end != '\0' || number > most ? 0 : number;
}

/* A run with many nodes keeps copies; a change is one of many nodes. */
static bool is_sensible(struct sim_options *options)
{
    if (options->nodes == 0) {
        return options->channels == 0 && options->change == SIM_CHANGE_NONE;
    }
    options->replicas = options->replicas == 0 ? 2 : options->replicas;
    return true;
}

/* An option with a value; false: it is none, or the value makes no sense. */
static bool parse_option(const char *name, const char *value, struct command *command)
{
    if (strcmp(name, "--profile") == 0) {
        command->options.profile = value;
        return true;
    }
    if (strcmp(name, "--without") == 0) {
        return parse_without(value, command);
    }
    if (strcmp(name, "--fault") == 0) {
        enum rh_fault fault = sim_fault_find(value);
        sim_fault_set(fault);
        return fault != RH_FAULTS_COUNT;
    }
    if (strcmp(name, "--replicas") == 0) {
        command->options.replicas =
            strcmp(value, "any") == 0 ? SIM_REPLICAS_ANY : (int)strtol(value, NULL, 10);
        return command->options.replicas >= SIM_REPLICAS_ANY && command->options.replicas <= 3;
    }
    if (strcmp(name, "--nodes") == 0) {
        command->options.nodes = (int)parse_number(value, SIM_NODES_MAX);
        return command->options.nodes >= 2;
    }
    if (strcmp(name, "--channels") == 0) {
        command->options.channels = (unsigned)parse_number(value, CHANNELS_MAX);
        return command->options.channels > 0;
    }
    if (strcmp(name, "--change") == 0) {
        command->options.change = sim_change_find(value);
        command->options.report = stdout;
        return command->options.change != SIM_CHANGE_NONE;
    }
    return strcmp(name, "--mutation") == 0 && parse_mutation(value, command);
}

int main(int argc, char **argv)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 1;
    }
    struct command command = {0};
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--teeth") == 0) {
        return show_teeth();
    }
    if (argc < 3 || !parse_range(argv[2], &command)) {
        return fail_usage(argc < 3 ? what : argv[2]);
    }
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            command.trace = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            command.quick = true;
        } else if (strcmp(argv[i], "--presence") == 0) {
            command.options.present = true;
        } else if (strcmp(argv[i], "--topics") == 0) {
            command.options.topics = true;
        } else if (strcmp(argv[i], "--relay") == 0) {
            command.options.relay = true;
        } else if (i + 1 == argc || !parse_option(argv[i], argv[i + 1], &command)) {
            return fail_usage(argv[i]);
        } else {
            i++;
        }
    }
    if (!is_sensible(&command.options)) {
        return fail_usage("--channels and --change need --nodes");
    }
    if (strcmp(what, "--seed") == 0) {
        return run_seed(&command);
    }
    if (strcmp(what, "--seeds") == 0) {
        return run_seeds(&command);
    }
    return strcmp(what, "--repeat") == 0 ? run_twice(&command) : fail_usage(what);
}
