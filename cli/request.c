/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/request.h"

#include "cli/output.h"
#include "cli/random.h"
#include "cli/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_WAIT = 256 };

const struct option rh_request_long_options[] = {{"wait", no_argument, NULL, OPTION_WAIT}, {0}};

int rh_request_take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    (void)option;
    (void)value;
    (void)reason;
    struct rh_request_options *options = context;
    options->wait = true;
    return 0;
}

#define POLL_MS         100U
#define ANSWER_MS       10000U /* for a node to take notice */
#define CALL_TIMEOUT_MS 5000U  /* for one look at ZooKeeper while waiting */
#define REGISTRATION_MS 1000U  /* between looks at whether the node is still there */

static enum rh_exit fail_zookeeper(const struct rh_request_task *task, int rv)
{
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(task->cli);
    }
    return rh_cli_fail(task->cli, RH_EXIT_ZOOKEEPER, "%s in ZooKeeper: %s", task->path,
                       rh_error_text(rv));
}

/* Whether the node is registered: RH_EXIT_DONE, or the way out with a message. */
static enum rh_exit check_registered(const struct rh_request_task *task, enum rh_exit gone,
                                     const char *hint)
{
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_read_for(task->cli, task->zookeeper, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    if (rh_view_find(view, task->id) == RH_RING_NONE) {
        code = rh_cli_fail(task->cli, gone, "%s %s", task->id, hint);
    }
    rh_view_give(view);
    return code;
}

/* Makes /ringhop/<cluster>/requests; what is above it is there, since the node is registered. */
static int create_parent(const struct rh_request_task *task)
{
    char parent[sizeof(task->path)];
    (void)snprintf(parent, sizeof(parent), "/ringhop/%s/requests", task->cli->config.cluster);
    int rv = rh_zookeeper_create_node(task->zookeeper, parent, rh_bytes(NULL, 0));
    return rv == RH_ERR_EXISTS ? 0 : rv;
}

/* Puts the request where the node looks for it. RH_ERR_CONFLICT: somebody else just did the same. */
static int write_request(struct rh_request_task *task)
{
    char *text = rh_request_encode(&task->request);
    if (text == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    struct rh_zk_stat stat;
    int rv = rh_zookeeper_get(task->zookeeper, task->path, &task->data, &stat);
    if (rv == 0) {
        rv = rh_zookeeper_set(task->zookeeper, task->path, rh_bytes_text(text), stat.version);
    } else if (rv == RH_ERR_NOT_FOUND) {
        rv = create_parent(task);
        if (rv == 0) {
            rv = rh_zookeeper_create_node(task->zookeeper, task->path, rh_bytes_text(text));
        }
        rv = rv == RH_ERR_EXISTS ? RH_ERR_CONFLICT : rv;
    }
    free(text);
    return rv;
}

/* Reads how far it is. RH_ERR_CONFLICT: another request stands there. */
static int read_request(struct rh_request_task *task)
{
    struct rh_zk_stat stat;
    struct rh_request seen;
    struct rh_reason reason;
    int rv = rh_zookeeper_get(task->zookeeper, task->path, &task->data, &stat);
    if (rv != 0) {
        return rv == RH_ERR_NOT_FOUND ? RH_ERR_CONFLICT : rv;
    }
    rv = rh_request_decode(rh_buffer_content(&task->data), &seen, &reason);
    if (rv != 0) {
        return rv;
    }
    if (seen.number != task->request.number) {
        return RH_ERR_CONFLICT;
    }
    task->request = seen;
    return 0;
}

void rh_request_tell(const struct rh_request_task *task)
{
    const struct rh_request *request = &task->request;
    uint64_t took_ms = rh_cli_now_ms() - task->started_ms;
    if (task->done && task->progress.channels_most > 0) {
        (void)printf("%s: %s done, %llu channels in %.1f s\n", task->id,
                     rh_request_kind_name(request->kind),
                     (unsigned long long)task->progress.channels_most, (double)took_ms / 1000);
    } else if (task->done) {
        (void)printf("%s: %s done\n", task->id, rh_request_kind_name(request->kind));
    } else {
        (void)printf("%s: %s goes on by itself, %llu channels and %llu connections left (--wait "
                     "waits for the end)\n",
                     task->id, rh_request_kind_name(request->kind),
                     (unsigned long long)request->channels_left,
                     (unsigned long long)request->connections_left);
    }
}

json_t *rh_request_json(const struct rh_request_task *task)
{
    const struct rh_request *request = &task->request;
    return json_pack("{s:s, s:s, s:s, s:I, s:I}", "node", task->id, "request",
                     rh_request_kind_name(request->kind), "state",
                     rh_request_state_name(request->state), "channels_left",
                     (json_int_t)request->channels_left, "connections_left",
                     (json_int_t)request->connections_left);
}

static enum rh_exit fail_read(const struct rh_request_task *task, int rv)
{
    if (rv == RH_ERR_CONFLICT) {
        return rh_cli_fail(task->cli, RH_EXIT_REFUSED,
                           "%s got another request meanwhile; `ringhop nodes` shows how it stands",
                           task->id);
    }
    return fail_zookeeper(task, rv);
}

/* Time is up: is it good enough? */
static enum rh_exit finish_late(const struct rh_request_task *task, uint32_t timeout_ms, bool wait)
{
    if (task->request.state == RH_REQUEST_WORKING && !wait) {
        return RH_EXIT_DONE;
    }
    if (task->request.state == RH_REQUEST_WORKING) {
        return rh_cli_fail(task->cli, RH_EXIT_NODE,
                           "%s is not done within %u ms; the request stands and goes on", task->id,
                           timeout_ms);
    }
    return rh_cli_fail(
        task->cli, RH_EXIT_NODE,
        "%s has not taken notice within %u ms; the request stands, and the node acts "
        "on it once it can",
        task->id, timeout_ms);
}

/* Whether it goes on: looks at ZooKeeper once. */
static enum rh_exit look(struct rh_request_task *task, bool *ret_changed)
{
    const struct rh_request before = task->request;
    rh_zookeeper_extend(task->zookeeper, CALL_TIMEOUT_MS);
    int rv = read_request(task);
    if (rv != 0) {
        return fail_read(task, rv);
    }
    *ret_changed = before.state != task->request.state ||
                   before.channels_left != task->request.channels_left ||
                   before.connections_left != task->request.connections_left;
    if (rh_cli_now_ms() < task->registration_at_ms) {
        return RH_EXIT_DONE;
    }
    task->registration_at_ms = rh_cli_now_ms() + REGISTRATION_MS;
    return check_registered(task, RH_EXIT_NODE,
                            "is not registered any more; the request stands for when it is back");
}

static enum rh_exit wait_for_node(struct rh_request_task *task, bool wait)
{
    uint32_t timeout_ms = rh_cli_timeout_ms(task->cli, ANSWER_MS);
    /* With --wait, the time for taking notice is bounded, and the rest only if so wanted. */
    bool bounded = !wait || task->cli->timeout_ms != 0;
    for (;;) {
        bool changed = false;
        enum rh_exit code = look(task, &changed);
        if (code != RH_EXIT_DONE) {
            return code;
        }
        const struct rh_request *request = &task->request;
        if (request->state == RH_REQUEST_DONE) {
            task->done = true;
            return RH_EXIT_DONE;
        }
        if (request->state == RH_REQUEST_FAILED) {
            rh_progress_clear(&task->progress);
            return rh_cli_fail(task->cli, RH_EXIT_REFUSED, "%s refuses: %s", task->id,
                               request->reason);
        }
        if (wait && changed && request->state == RH_REQUEST_WORKING) {
            rh_progress_show(&task->progress, request->channels_left, request->connections_left);
        }
        bool late = rh_cli_now_ms() - task->started_ms >= timeout_ms;
        if (late && (bounded || request->state == RH_REQUEST_ASKED)) {
            rh_progress_clear(&task->progress);
            return finish_late(task, timeout_ms, wait);
        }
        rh_zookeeper_pause(task->zookeeper, POLL_MS);
    }
}

static enum rh_exit ask(struct rh_request_task *task)
{
    enum rh_exit code = check_registered(
        task, RH_EXIT_REFUSED,
        "is not registered, so it cannot act on this; `ringhop nodes` lists who is");
    if (code != RH_EXIT_DONE) {
        return code;
    }
    int rv = write_request(task);
    if (rv == RH_ERR_CONFLICT && read_request(task) == 0) {
        rv = 0; /* ours: it was written although the connection broke, and then tried again */
    }
    if (rv == RH_ERR_CONFLICT) {
        return rh_cli_fail(task->cli, RH_EXIT_REFUSED,
                           "somebody else has just asked %s for something; look at `ringhop nodes` "
                           "and try again",
                           task->id);
    }
    if (rv != 0) {
        return fail_zookeeper(task, rv);
    }
    return RH_EXIT_DONE;
}

enum rh_exit rh_request_begin(struct rh_request_task *task, const struct rh_cli *cli,
                              struct rh_zookeeper *zookeeper, const char *id,
                              enum rh_request_kind kind, uint32_t weight_milli)
{
    *task = (struct rh_request_task){
        .cli = cli,
        .zookeeper = zookeeper,
        .request = {.number = rh_random_number(),
                    .kind = kind,
                    .weight_milli = weight_milli,
                    .state = RH_REQUEST_ASKED},
        .started_ms = rh_cli_now_ms(),
    };
    (void)snprintf(task->id, sizeof(task->id), "%s", id);
    (void)snprintf(task->path, sizeof(task->path), "/ringhop/%s/requests/%s", cli->config.cluster,
                   id);
    task->progress = (struct rh_progress){.id = task->id, .terminal = isatty(STDERR_FILENO) == 1};
    task->registration_at_ms = task->started_ms + REGISTRATION_MS;
    return ask(task);
}

enum rh_exit rh_request_wait(struct rh_request_task *task, bool wait)
{
    enum rh_exit code = wait_for_node(task, wait);
    rh_progress_clear(&task->progress);
    return code;
}

void rh_request_finish(struct rh_request_task *task)
{
    rh_buffer_finish(&task->data);
}

enum rh_exit rh_request_run(const struct rh_cli *cli, const char *id, enum rh_request_kind kind,
                            uint32_t weight_milli, bool wait)
{
    if (!rh_config_node_id_valid(id)) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "NODE: a node id is 1 to 64 letters, digits, _ or -");
    }
    struct rh_zookeeper *zookeeper;
    enum rh_exit code =
        rh_zookeeper_open_for(cli, rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS), &zookeeper);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    struct rh_request_task task;
    code = rh_request_begin(&task, cli, zookeeper, id, kind, weight_milli);
    if (code == RH_EXIT_DONE) {
        code = rh_request_wait(&task, wait);
    }
    if (code == RH_EXIT_DONE && cli->json) {
        code = rh_output_json(cli, rh_request_json(&task));
    } else if (code == RH_EXIT_DONE) {
        rh_request_tell(&task);
    }
    rh_request_finish(&task);
    rh_zookeeper_close(zookeeper);
    return code;
}
