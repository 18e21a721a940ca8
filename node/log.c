/* SPDX-License-Identifier: Apache-2.0 */
#include "node/log.h"

#include "base/bytes.h"
#include "node/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1280

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static void write_line(void *context, enum rh_log_level level, const char *text)
{
    const char *node = context;
    int64_t now_ms = rh_clock_unix_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char stamp[32] = "";
    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    char line[LINE_SIZE];
    int length = snprintf(line, sizeof(line), "ts=%s.%03dZ level=%s node=%s %s\n", stamp,
                          (int)(now_ms % 1000), level_names[level], node, text);
    if (length < 0) {
        return;
    }
    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    line[size - 1] = '\n';
    /* One write, so that lines of several processes on one terminal do not mix. */
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
}

void rh_log_open(const char *node, enum rh_log_level level_max, struct rh_logger *ret_logger)
{
    *ret_logger = (struct rh_logger){
        .write = write_line,
        .context = (void *)(uintptr_t)node,
        .level_max = level_max,
    };
}

bool rh_log_level_parse(const char *text, enum rh_log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum rh_log_level)i;
            return true;
        }
    }
    return false;
}
