/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PROGRESS_H
#define RH_CLI_PROGRESS_H

/*
 * How far a node has come with what it was asked for, in words: a bar that is drawn again and again
 * on a terminal, a line for each change elsewhere.
 *
 *   n2 [##########....................] 8000 of 12000 channels, 40 connections left
 *   n2: 8000 of 12000 channels and 40 connections left
 *
 * Pure but for rh_progress_show(), rh_progress_line() and rh_progress_clear(), which write to stderr.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_PROGRESS_SIZE 256 /* of a line, with terminator */

struct rh_progress {
    const char *id;         /* of the node; outlives this */
    bool terminal;          /* stderr is one */
    bool shown;             /* a bar stands on the line */
    uint64_t channels_most; /* that were ever left */
};

/* Takes note of what is left, and says it in one line without its end. */
void rh_progress_format(struct rh_progress *progress, uint64_t channels_left,
                        uint64_t connections_left, char out[static RH_PROGRESS_SIZE]);

/* The same, shown. */
void rh_progress_show(struct rh_progress *progress, uint64_t channels_left,
                      uint64_t connections_left);

/* Shows any line, in the place of the one before when stderr is a terminal. */
void rh_progress_line(struct rh_progress *progress, const char *line);

/* Takes the bar away, if there is one. */
void rh_progress_clear(struct rh_progress *progress);

#endif
