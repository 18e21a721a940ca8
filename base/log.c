/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdio.h>

#define LINE_SIZE 1024

void rh_log(const struct rh_logger *logger, enum rh_log_level level, const char *format, ...)
{
    if (logger == NULL || level > logger->level_max) {
        return;
    }
    char line[LINE_SIZE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    /* What a stranger sent may be quoted in a field: it must not start a line of its own. */
    for (char *at = line; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
    logger->write(logger->context, level, line);
}
