/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BENCH_LOAD_H
#define RH_BENCH_LOAD_H

/*
 * What the load programs (load_pubsub, load_listen, load_peer) share: times, their distribution, and
 * the list of keys. Programs for scripts/bench, not for servers: they end the process when something
 * is wrong.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Monotonic time. */
uint64_t load_now_us(void);

/* User and system time of this process. */
uint64_t load_cpu_us(void);

/* Times of one kind; zeroed is empty. */
struct load_times {
    uint32_t *us;
    size_t count;
    size_t space;
};

void load_times_add(struct load_times *times, uint64_t us);

/* Prints `"name": {"count": ..., "p50_us": ..., "p99_us": ..., "max_us": ...}`. Sorts them. */
void load_times_print(struct load_times *times, const char *name, FILE *out);
void load_times_free(struct load_times *times);

/* Reads lines of stdin up to an empty one or the end. */
struct load_lines {
    char **line; /* without the line end */
    size_t count;
};

void load_lines_read(struct load_lines *ret_lines);

/* The same; ends the process when there are none. */
void load_keys_read(struct load_lines *ret_keys);
void load_lines_free(struct load_lines *lines);

/* A number that may be set by "name=value". */
struct load_option {
    const char *name;
    size_t *value;
    size_t least;
    size_t most;
};

/* Takes words like "name=value"; ends the process when one is not known or out of range. */
void load_options_take(const char *words, const struct load_option *known, size_t known_count);

/* A non-blocking TCP connection to that port of this machine, under way; ends the process if there
 * can be none. */
int load_connect(uint16_t port);

/* A timerfd that becomes readable |rate| times a second. What waits in epoll for a time has the
 * grain of a millisecond, which is more than a publish takes. */
int load_timer(unsigned rate);

/* Makes it unreadable again. */
void load_timer_take(int timer);

/* What came of publishing. */
struct load_result {
    uint64_t done; /* answered while it counted */
    uint64_t all;  /* answered, also before */
    uint64_t errors;
    uint64_t took_us; /* what |done| took */
    uint64_t cpu_us;
};

/* Prints it and the times as one JSON object, on stdout. */
void load_result_print(const struct load_result *result, struct load_times *times);

/* Says why, and ends the process. */
_Noreturn void load_die(const char *what);

#endif
