/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_BASE_LOG_H
#define RH_BASE_LOG_H

/*
 * Where log lines go. Only edge code logs, once per fact; pure code returns errors and traces.
 * A line is an event name and key=value fields: `peer_down peer=n2 reason="connection reset"`.
 * Whoever owns main() supplies the sink; the sink adds time, level and node.
 */

#include "base/error.h"

#include <stdarg.h>

enum rh_log_level {
    RH_LOG_ERROR, /* an operator must act */
    RH_LOG_WARN,  /* we gave something up */
    RH_LOG_INFO,  /* the life of the node */
    RH_LOG_DEBUG,
};

struct rh_logger {
    void (*write)(void *context, enum rh_log_level level, const char *line);
    void *context;
    enum rh_log_level level_max; /* lines above it are not formatted at all */
};

/* Formats one line (cut at 1 KiB, control characters replaced) and hands it to the sink.
 * |logger| may be NULL: then nothing happens. */
void rh_log(const struct rh_logger *logger, enum rh_log_level level, const char *format, ...)
    RH_PRINTF(3, 4);

#endif
