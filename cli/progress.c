/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>

#define BAR_WIDTH 30

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* "8000 of 12000 channels"; the most that there were says how far it is. */
static void format_channels(const struct rh_progress *progress, uint64_t left, char *out,
                            size_t out_size)
{
    if (progress->channels_most > left) {
        (void)snprintf(out, out_size, "%" PRIu64 " of %" PRIu64 " channels", left,
                       progress->channels_most);
    } else {
        (void)snprintf(out, out_size, "%" PRIu64 " channel%s", left, plural(left));
    }
}

static void format_bar(const struct rh_progress *progress, uint64_t left,
                       char out[static BAR_WIDTH + 1])
{
    double most = (double)progress->channels_most;
    double done = most > 0 ? (most - (double)left) / most : 0;
    for (int i = 0; i < BAR_WIDTH; i++) {
        out[i] = i < (int)(done * BAR_WIDTH) ? '#' : '.';
    }
    out[BAR_WIDTH] = '\0';
}

void rh_progress_format(struct rh_progress *progress, uint64_t channels_left,
                        uint64_t connections_left, char out[static RH_PROGRESS_SIZE])
{
    char channels[64];
    char bar[BAR_WIDTH + 1];
    bool begun = channels_left > 0 || connections_left > 0 || progress->channels_most > 0;
    if (channels_left > progress->channels_most) {
        progress->channels_most = channels_left;
    }
    format_channels(progress, channels_left, channels, sizeof(channels));
    format_bar(progress, channels_left, bar);
    if (!begun) {
        (void)snprintf(out, RH_PROGRESS_SIZE, "%s: at work", progress->id);
    } else if (progress->terminal) {
        (void)snprintf(out, RH_PROGRESS_SIZE, "%s [%s] %s, %" PRIu64 " connection%s left",
                       progress->id, bar, channels, connections_left, plural(connections_left));
    } else {
        (void)snprintf(out, RH_PROGRESS_SIZE, "%s: %s and %" PRIu64 " connection%s left",
                       progress->id, channels, connections_left, plural(connections_left));
    }
}

void rh_progress_show(struct rh_progress *progress, uint64_t channels_left,
                      uint64_t connections_left)
{
    char line[RH_PROGRESS_SIZE];
    rh_progress_format(progress, channels_left, connections_left, line);
    rh_progress_line(progress, line);
}

void rh_progress_line(struct rh_progress *progress, const char *line)
{
    if (progress->terminal) {
        (void)fprintf(stderr, "\r\033[K%s", line);
        (void)fflush(stderr);
        progress->shown = true;
    } else {
        (void)fprintf(stderr, "%s\n", line);
    }
}

void rh_progress_clear(struct rh_progress *progress)
{
    if (progress->shown) {
        (void)fputs("\r\033[K", stderr);
        progress->shown = false;
    }
}
