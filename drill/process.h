/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_PROCESS_H
#define RH_DRILL_PROCESS_H

/*
 * A child process in the loop. It dies with this process, is in a session of its own (so a ^C at the
 * terminal does not reach it), and its end is noticed through a pidfd: nothing here waits for
 * children it does not know.
 */

#include "base/error.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#define RH_PROCESS_END_SIZE 64

#define RH_PROCESS_PATH_SIZE 1024 /* with terminator */

/* The path of this very program. RH_ERR_IO. */
RH_MUST_CHECK int rh_process_self(char ret_path[static RH_PROCESS_PATH_SIZE]);

/* Whether there is a file at |relative| to the folder of this program that can be used as |mode| of
 * access() says; then |ret_path| is its path. */
bool rh_process_beside(const char *relative, int mode, char ret_path[static RH_PROCESS_PATH_SIZE]);

struct rh_process;

struct rh_process_options {
    const char *const *arguments;   /* closed by NULL; [0] is a path, or is looked up in PATH */
    const char *const *environment; /* "NAME=VALUE" on top of ours, closed by NULL; NULL: none */
    const char *log_path;           /* output is appended to it */
    /* It ended of itself or by a signal; called once, from the loop, and it may be destroyed then. */
    void (*on_end)(void *context, struct rh_process *process);
    void *context;
};

/* RH_ERR_IO with a reason: it cannot be started. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_process_start(struct ev_loop *loop, const struct rh_process_options *options,
                                   struct rh_process **ret_process, struct rh_reason *reason);

/* Frees; one that still runs is killed, and is gone when this returns. NULL is allowed. */
void rh_process_destroy(struct rh_process *process);

bool rh_process_running(const struct rh_process *process); /* NULL: false */

/* Nothing when it does not run any more. */
void rh_process_signal(struct rh_process *process, int number);

/* Whether it ended with exit code 0. */
bool rh_process_succeeded(const struct rh_process *process);

/* "exit code 3", "signal 9": how it ended. */
void rh_process_end_text(const struct rh_process *process, char out[static RH_PROCESS_END_SIZE]);

#endif
