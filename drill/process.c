/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_STARTED 127

struct rh_process {
    struct ev_loop *loop;
    struct rh_process_options options; /* the callback of it */
    pid_t pid;
    int pidfd;
    ev_io ended;
    bool running;
    int status; /* of waitpid(), when it does not run */
};

int rh_process_self(char ret_path[static RH_PROCESS_PATH_SIZE])
{
    ssize_t size = readlink("/proc/self/exe", ret_path, RH_PROCESS_PATH_SIZE - 1);
    if (size <= 0) {
        return RH_ERR_IO;
    }
    ret_path[size] = '\0';
    return 0;
}

bool rh_process_beside(const char *relative, int mode, char ret_path[static RH_PROCESS_PATH_SIZE])
{
    char self[RH_PROCESS_PATH_SIZE];
    char *slash = rh_process_self(self) == 0 ? strrchr(self, '/') : NULL;
    if (slash == NULL) {
        return false;
    }
    slash[1] = '\0';
    int size = snprintf(ret_path, RH_PROCESS_PATH_SIZE, "%s%s", self, relative);
    return size > 0 && size < RH_PROCESS_PATH_SIZE && access(ret_path, mode) == 0;
}

/* What a child needs before it becomes another program. */
static void prepare_child(const struct rh_process_options *options, pid_t parent)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(EXIT_NOT_STARTED);
    }
    int log = open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log >= 0 && nothing >= 0) {
        (void)dup2(nothing, STDIN_FILENO);
        (void)dup2(log, STDOUT_FILENO);
        (void)dup2(log, STDERR_FILENO);
    }
}

/* putenv() and execvp() take what is not const, and change nothing. */
static char *plain(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        _exit(EXIT_NOT_STARTED);
    }
    return copy;
}

static _Noreturn void become(const struct rh_process_options *options, int failed_fd)
{
    size_t count = 0;
    while (options->arguments[count] != NULL) {
        count++;
    }
    char **arguments = calloc(count + 1, sizeof(*arguments));
    for (size_t i = 0; i < count && arguments != NULL; i++) {
        arguments[i] = plain(options->arguments[i]);
    }
    for (size_t i = 0; options->environment != NULL && options->environment[i] != NULL; i++) {
        (void)putenv(plain(options->environment[i]));
    }
    if (arguments != NULL) {
        (void)execvp(arguments[0], arguments);
    }
    int error = errno;
    ssize_t sent = write(failed_fd, &error, sizeof(error));
    _exit(sent == (ssize_t)sizeof(error) ? EXIT_NOT_STARTED : EXIT_NOT_STARTED - 1);
}

/* Forks; fails when the program cannot be executed. */
static int spawn(const struct rh_process_options *options, pid_t *ret_pid, struct rh_reason *reason)
{
    int failed[2];
    if (pipe2(failed, O_CLOEXEC) != 0) {
        return rh_fail(reason, RH_ERR_IO, "a pipe: %s", strerror(errno));
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        (void)close(failed[0]);
        (void)close(failed[1]);
        return rh_fail(reason, RH_ERR_IO, "fork: %s", strerror(error));
    }
    if (pid == 0) {
        prepare_child(options, parent);
        become(options, failed[1]);
    }
    (void)close(failed[1]);
    int error = 0;
    ssize_t size;
    do {
        size = read(failed[0], &error, sizeof(error));
    } while (size < 0 && errno == EINTR);
    (void)close(failed[0]);
    if (size != 0) {
        (void)waitpid(pid, NULL, 0);
        return rh_fail(reason, RH_ERR_IO, "%s cannot be run: %s", options->arguments[0],
                       size > 0 ? strerror(error) : "it ended at once");
    }
    *ret_pid = pid;
    return 0;
}

static void reap(struct rh_process *process, int flags)
{
    pid_t pid;
    do {
        pid = waitpid(process->pid, &process->status, flags);
    } while (pid < 0 && errno == EINTR);
    if (pid != 0) {
        process->running = false;
        ev_io_stop(process->loop, &process->ended);
    }
}

static void on_ended(struct ev_loop *loop RH_UNUSED, ev_io *watcher, int events RH_UNUSED)
{
    struct rh_process *process = watcher->data;
    reap(process, WNOHANG);
    if (!process->running) {
        process->options.on_end(process->options.context, process);
    }
}

int rh_process_start(struct ev_loop *loop, const struct rh_process_options *options,
                     struct rh_process **ret_process, struct rh_reason *reason)
{
    struct rh_process *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    int rv = spawn(options, &process->pid, reason);
    if (rv != 0) {
        free(process);
        return rv;
    }
    process->loop = loop;
    process->options = *options;
    process->running = true;
    process->pidfd = pidfd_open(process->pid, 0);
    if (process->pidfd < 0) {
        rv = rh_fail(reason, RH_ERR_IO, "pidfd_open: %s", strerror(errno));
        rh_process_destroy(process);
        return rv;
    }
    ev_io_init(&process->ended, on_ended, process->pidfd, EV_READ);
    process->ended.data = process;
    ev_io_start(loop, &process->ended);
    *ret_process = process;
    return 0;
}

void rh_process_destroy(struct rh_process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->running) {
        (void)kill(process->pid, SIGKILL);
        reap(process, 0);
    }
    ev_io_stop(process->loop, &process->ended);
    if (process->pidfd >= 0) {
        (void)close(process->pidfd);
    }
    free(process);
}

bool rh_process_running(const struct rh_process *process)
{
    return process != NULL && process->running;
}

/* The pid is ours until it is reaped, so it cannot be another process's. */
void rh_process_signal(struct rh_process *process, int number)
{
    if (process->running) {
        (void)kill(process->pid, number);
    }
}

bool rh_process_succeeded(const struct rh_process *process)
{
    return !process->running && WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0;
}

void rh_process_end_text(const struct rh_process *process, char out[static RH_PROCESS_END_SIZE])
{
    assert(!process->running);
    if (WIFSIGNALED(process->status)) {
        (void)snprintf(out, RH_PROCESS_END_SIZE, "signal %d", WTERMSIG(process->status));
    } else {
        (void)snprintf(out, RH_PROCESS_END_SIZE, "exit code %d", WEXITSTATUS(process->status));
    }
}
