/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/show.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_SIZE   512
#define WIDTH_PLAIN 80 /* of a terminal that does not tell */

/* A line that is being written; what does not fit is cut. */
struct line {
    char text[LINE_SIZE];
    size_t size;
};

static void add(struct line *line, const char *format, ...) RH_PRINTF(2, 3);

static void add(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = sizeof(line->text) - line->size;
    int size = vsnprintf(line->text + line->size, room, format, args);
    va_end(args);
    if (size > 0) {
        line->size += (size_t)size < room ? (size_t)size : room - 1;
    }
}

void rh_show_init(struct rh_show *show)
{
    *show = (struct rh_show){.progress = {.terminal = isatty(STDERR_FILENO) == 1}};
}

void rh_show_finish(struct rh_show *show)
{
    rh_progress_clear(&show->progress);
}

void rh_show_line(struct rh_show *show, const char *format, ...)
{
    va_list args;
    rh_progress_clear(&show->progress);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void rh_show_doing(struct rh_show *show, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(show->doing, sizeof(show->doing), format, args);
    va_end(args);
}

static double seconds(uint64_t from_ms, uint64_t to_ms)
{
    return to_ms > from_ms ? (double)(to_ms - from_ms) / 1000.0 : 0.0;
}

void rh_show_step(struct rh_show *show, const struct rh_result_step *step,
                  const struct rh_load_step *counted)
{
    struct line line = {.size = 0};
    add(&line, "%6.1f s  %s", seconds(show->begin_ms, step->started_ms), step->name);
    if (step->problem.text[0] != '\0') {
        add(&line, ": %s", step->problem.text);
    } else if (step->kind != RH_STEP_WAIT) {
        add(&line, ": settled in %.1f s", seconds(step->started_ms, step->settled_ms));
    }
    if (step->ring_after != NULL) {
        add(&line, ", %llu of %llu connections have moved",
            (unsigned long long)counted->counts.moved, (unsigned long long)step->expected_moved);
    }
    if (counted->gap_us.count > 0) {
        add(&line, ", gaps p99 %.1f ms",
            (double)rh_histogram_percentile_us(&counted->gap_us, 99) / 1000.0);
    }
    rh_show_line(show, "%s", line.text);
}

static size_t terminal_width(void)
{
    struct winsize size;
    bool told = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return told ? size.ws_col : WIDTH_PLAIN;
}

void rh_show_sample(struct rh_show *show, const struct rh_load *load,
                    const struct rh_load_sample *sample, const struct rh_histogram *gaps)
{
    struct line line = {.size = 0};
    if (!show->progress.terminal) {
        return;
    }
    add(&line, "%6.1f s  %s  ", seconds(show->begin_ms, sample->at_ms), show->doing);
    for (size_t i = 0; i < rh_load_nodes_count(load); i++) {
        add(&line, "%s %u  ", rh_load_node_name(load, i), sample->connections[i]);
    }
    if (sample->publishing) {
        add(&line, "%llu/s p99 %.1f ms  ",
            (unsigned long long)(sample->acknowledged * 1000 / RH_LOAD_SAMPLE_MS),
            (double)rh_histogram_percentile_us(&sample->latency_us, 99) / 1000.0);
    }
    if (gaps->count > 0) {
        add(&line, "gaps %llu p99 %.1f ms", (unsigned long long)gaps->count,
            (double)rh_histogram_percentile_us(gaps, 99) / 1000.0);
    }
    size_t width = terminal_width();
    if (line.size >= width) {
        line.text[width - 1] = '\0';
    }
    rh_progress_line(&show->progress, line.text);
}
