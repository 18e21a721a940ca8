/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

_Noreturn void load_die(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t load_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

static uint64_t timeval_us(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000U + (uint64_t)time->tv_usec;
}

uint64_t load_cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return timeval_us(&usage.ru_utime) + timeval_us(&usage.ru_stime);
}

/* A place more in an array that doubles. */
static void *grow(void *array, size_t count, size_t *space, size_t size)
{
    if (count < *space) {
        return array;
    }
    *space = *space == 0 ? 1024 : *space * 2;
    array = realloc(array, *space * size);
    if (array == NULL) {
        load_die("realloc");
    }
    return array;
}

void load_times_add(struct load_times *times, uint64_t us)
{
    times->us = grow(times->us, times->count, &times->space, sizeof(*times->us));
    times->us[times->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left;
    const uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static uint32_t percentile(const struct load_times *times, size_t percent)
{
    return times->count == 0 ? 0 : times->us[(times->count - 1) * percent / 100];
}

void load_times_print(struct load_times *times, const char *name, FILE *out)
{
    if (times->count > 0) {
        qsort(times->us, times->count, sizeof(*times->us), compare);
    }
    (void)fprintf(out,
                  "\"%s\": {\"count\": %zu, \"p50_us\": %" PRIu32 ", \"p99_us\": %" PRIu32
                  ", \"max_us\": %" PRIu32 "}",
                  name, times->count, percentile(times, 50), percentile(times, 99),
                  percentile(times, 100));
}

void load_times_free(struct load_times *times)
{
    free(times->us);
    *times = (struct load_times){0};
}

void load_lines_read(struct load_lines *ret_lines)
{
    struct load_lines lines = {0};
    size_t space = 0;
    char text[1024];
    while (fgets(text, sizeof(text), stdin) != NULL && text[0] != '\n') {
        text[strcspn(text, "\n")] = '\0';
        lines.line = grow(lines.line, lines.count, &space, sizeof(*lines.line));
        lines.line[lines.count] = strdup(text);
        if (lines.line[lines.count] == NULL) {
            load_die("strdup");
        }
        lines.count++;
    }
    *ret_lines = lines;
}

void load_keys_read(struct load_lines *ret_keys)
{
    load_lines_read(ret_keys);
    if (ret_keys->count == 0) {
        load_die("no keys");
    }
}

void load_lines_free(struct load_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        free(lines->line[i]);
    }
    free(lines->line);
    *lines = (struct load_lines){0};
}

static const struct load_option *option_find(const char *word, const struct load_option *known,
                                             size_t known_count)
{
    const size_t size = strcspn(word, "=");
    for (size_t i = 0; i < known_count; i++) {
        if (strlen(known[i].name) == size && strncmp(word, known[i].name, size) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

void load_options_take(const char *words, const struct load_option *known, size_t known_count)
{
    char word[64];
    int used = 0;
    for (; sscanf(words, "%63s%n", word, &used) == 1; words += used) {
        const struct load_option *option = option_find(word, known, known_count);
        size_t value = 0;
        if (option == NULL || sscanf(word + strlen(option->name), "=%zu", &value) != 1) {
            errno = EINVAL;
            load_die(word);
        }
        if (value < option->least || value > option->most) {
            errno = ERANGE;
            load_die(word);
        }
        *option->value = value;
    }
}

void load_result_print(const struct load_result *result, struct load_times *times)
{
    const double took_s = (double)result->took_us / 1e6;
    printf("{\"done\": %" PRIu64 ", \"all\": %" PRIu64 ", \"errors\": %" PRIu64
           ", \"seconds\": %.3f, \"per_second\": %.1f, \"cpu_us\": %" PRIu64 ", ",
           result->done, result->all, result->errors, took_s, (double)result->done / took_s,
           result->cpu_us);
    load_times_print(times, "times", stdout);
    printf("}\n");
}

int load_timer(unsigned rate)
{
    const long interval_ns = rate <= 1 ? 999999999L : 1000000000L / rate;
    const struct itimerspec when = {
        .it_interval = {.tv_nsec = interval_ns},
        .it_value = {.tv_nsec = 1},
    };
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer == -1 || timerfd_settime(timer, 0, &when, NULL) == -1 ||
        prctl(PR_SET_TIMERSLACK, 1UL) == -1) {
        load_die("timerfd");
    }
    return timer;
}

void load_timer_take(int timer)
{
    uint64_t expirations = 0;
    if (read(timer, &expirations, sizeof(expirations)) == -1 && errno != EAGAIN) {
        load_die("timerfd");
    }
}

int load_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int link = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    if (link == -1 || setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1) {
        load_die("socket");
    }
    if (connect(link, (const struct sockaddr *)&address, sizeof(address)) == -1 &&
        errno != EINPROGRESS && errno != ECONNREFUSED) {
        load_die("connect");
    }
    return link;
}
