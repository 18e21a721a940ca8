/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/request.h"

#include "cli/output.h"
#include "cli/progress.h"
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

#define PATH_SIZE       256
#define POLL_MS         100U
#define ANSWER_MS       10000U /* for a node to take notice */
#define CALL_TIMEOUT_MS 5000U  /* for one look at ZooKeeper while waiting */
#define REGISTRATION_MS 1000U  /* between looks at whether the node is still there */

/* One request on its way. */
struct waiting {
    const struct rh_cli *cli;
    struct rh_zookeeper *zookeeper;
    const char *id;
    char path[PATH_SIZE];
    struct rh_request request; /* as last seen */
    struct rh_buffer data;     /* of the znode */
    uint64_t started_ms;
    uint64_t registration_at_ms; /* when to look next at whether the node is registered */
    struct rh_progress progress;
};

static enum rh_exit fail_zookeeper(const struct waiting *waiting, int rv)
{
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(waiting->cli);
    }
    return rh_cli_fail(waiting->cli, RH_EXIT_ZOOKEEPER, "%s in ZooKeeper: %s", waiting->path,
                       rh_error_text(rv));
}

/* Whether the node is registered: RH_EXIT_DONE, or the way out with a message. */
static enum rh_exit check_registered(const struct waiting *waiting, enum rh_exit gone,
                                     const char *hint)
{
    struct rh_view *view;
    enum rh_exit code = rh_snapshot_read_for(waiting->cli, waiting->zookeeper, &view);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    if (rh_view_find(view, waiting->id) == RH_RING_NONE) {
        code = rh_cli_fail(waiting->cli, gone, "%s %s", waiting->id, hint);
    }
    rh_view_give(view);
    return code;
}

/* Makes /ringhop/<cluster>/requests; what is above it is there, since the node is registered. */
static int create_parent(const struct waiting *waiting)
{
    char parent[PATH_SIZE];
    (void)snprintf(parent, sizeof(parent), "/ringhop/%s/requests", waiting->cli->config.cluster);
    int rv = rh_zookeeper_create_node(waiting->zookeeper, parent, rh_bytes(NULL, 0));
    return rv == RH_ERR_EXISTS ? 0 : rv;
}

/* Puts the request where the node looks for it. RH_ERR_CONFLICT: somebody else just did the same. */
static int write_request(struct waiting *waiting)
{
    char *text = rh_request_encode(&waiting->request);
    if (text == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    struct rh_zk_stat stat;
    int rv = rh_zookeeper_get(waiting->zookeeper, waiting->path, &waiting->data, &stat);
    if (rv == 0) {
        rv = rh_zookeeper_set(waiting->zookeeper, waiting->path, rh_bytes_text(text), stat.version);
    } else if (rv == RH_ERR_NOT_FOUND) {
        rv = create_parent(waiting);
        if (rv == 0) {
            rv = rh_zookeeper_create_node(waiting->zookeeper, waiting->path, rh_bytes_text(text));
        }
        rv = rv == RH_ERR_EXISTS ? RH_ERR_CONFLICT : rv;
    }
    free(text);
    return rv;
}

/* Reads how far it is. RH_ERR_CONFLICT: another request stands there. */
static int read_request(struct waiting *waiting)
{
    struct rh_zk_stat stat;
    struct rh_request seen;
    struct rh_reason reason;
    int rv = rh_zookeeper_get(waiting->zookeeper, waiting->path, &waiting->data, &stat);
    if (rv != 0) {
        return rv == RH_ERR_NOT_FOUND ? RH_ERR_CONFLICT : rv;
    }
    rv = rh_request_decode(rh_buffer_content(&waiting->data), &seen, &reason);
    if (rv != 0) {
        return rv;
    }
    if (seen.number != waiting->request.number) {
        return RH_ERR_CONFLICT;
    }
    waiting->request = seen;
    return 0;
}

static enum rh_exit finish_done(const struct waiting *waiting, bool done)
{
    const struct rh_request *request = &waiting->request;
    if (waiting->cli->json) {
        return rh_output_json(waiting->cli,
                              json_pack("{s:s, s:s, s:s, s:I, s:I}", "node", waiting->id, "request",
                                        rh_request_kind_name(request->kind), "state",
                                        rh_request_state_name(request->state), "channels_left",
                                        (json_int_t)request->channels_left, "connections_left",
                                        (json_int_t)request->connections_left));
    }
    uint64_t took_ms = rh_cli_now_ms() - waiting->started_ms;
    if (done && waiting->progress.channels_most > 0) {
        (void)printf("%s: %s done, %llu channels in %.1f s\n", waiting->id,
                     rh_request_kind_name(request->kind),
                     (unsigned long long)waiting->progress.channels_most, (double)took_ms / 1000);
    } else if (done) {
        (void)printf("%s: %s done\n", waiting->id, rh_request_kind_name(request->kind));
    } else {
        (void)printf("%s: %s goes on by itself, %llu channels and %llu connections left (--wait "
                     "waits for the end)\n",
                     waiting->id, rh_request_kind_name(request->kind),
                     (unsigned long long)request->channels_left,
                     (unsigned long long)request->connections_left);
    }
    return RH_EXIT_DONE;
}

static enum rh_exit fail_read(const struct waiting *waiting, int rv)
{
    if (rv == RH_ERR_CONFLICT) {
        return rh_cli_fail(waiting->cli, RH_EXIT_REFUSED,
                           "%s got another request meanwhile; `ringhop nodes` shows how it stands",
                           waiting->id);
    }
    return fail_zookeeper(waiting, rv);
}

/* Time is up: is it good enough? */
static enum rh_exit finish_late(const struct waiting *waiting, uint32_t timeout_ms, bool wait)
{
    if (waiting->request.state == RH_REQUEST_WORKING && !wait) {
        return finish_done(waiting, false);
    }
    if (waiting->request.state == RH_REQUEST_WORKING) {
        return rh_cli_fail(waiting->cli, RH_EXIT_NODE,
                           "%s is not done within %u ms; the request stands and goes on",
                           waiting->id, timeout_ms);
    }
    return rh_cli_fail(
        waiting->cli, RH_EXIT_NODE,
        "%s has not taken notice within %u ms; the request stands, and the node acts "
        "on it once it can",
        waiting->id, timeout_ms);
}

/* Whether it goes on: looks at ZooKeeper once. */
static enum rh_exit look(struct waiting *waiting, bool *ret_changed)
{
    const struct rh_request before = waiting->request;
    rh_zookeeper_extend(waiting->zookeeper, CALL_TIMEOUT_MS);
    int rv = read_request(waiting);
    if (rv != 0) {
        return fail_read(waiting, rv);
    }
    *ret_changed = before.state != waiting->request.state ||
                   before.channels_left != waiting->request.channels_left ||
                   before.connections_left != waiting->request.connections_left;
    if (rh_cli_now_ms() < waiting->registration_at_ms) {
        return RH_EXIT_DONE;
    }
    waiting->registration_at_ms = rh_cli_now_ms() + REGISTRATION_MS;
    return check_registered(waiting, RH_EXIT_NODE,
                            "is not registered any more; the request stands for when it is back");
}

static enum rh_exit wait_for_node(struct waiting *waiting, bool wait)
{
    uint32_t timeout_ms = rh_cli_timeout_ms(waiting->cli, ANSWER_MS);
    /* With --wait, the time for taking notice is bounded, and the rest only if so wanted. */
    bool bounded = !wait || waiting->cli->timeout_ms != 0;
    for (;;) {
        bool changed = false;
        enum rh_exit code = look(waiting, &changed);
        if (code != RH_EXIT_DONE) {
            return code;
        }
        const struct rh_request *request = &waiting->request;
        if (request->state == RH_REQUEST_DONE) {
            rh_progress_clear(&waiting->progress);
            return finish_done(waiting, true);
        }
        if (request->state == RH_REQUEST_FAILED) {
            rh_progress_clear(&waiting->progress);
            return rh_cli_fail(waiting->cli, RH_EXIT_REFUSED, "%s refuses: %s", waiting->id,
                               request->reason);
        }
        if (wait && changed && request->state == RH_REQUEST_WORKING) {
            rh_progress_show(&waiting->progress, request->channels_left, request->connections_left);
        }
        bool late = rh_cli_now_ms() - waiting->started_ms >= timeout_ms;
        if (late && (bounded || request->state == RH_REQUEST_ASKED)) {
            rh_progress_clear(&waiting->progress);
            return finish_late(waiting, timeout_ms, wait);
        }
        rh_zookeeper_pause(waiting->zookeeper, POLL_MS);
    }
}

static enum rh_exit ask(struct waiting *waiting, bool wait)
{
    enum rh_exit code = check_registered(
        waiting, RH_EXIT_REFUSED,
        "is not registered, so it cannot act on this; `ringhop nodes` lists who is");
    if (code != RH_EXIT_DONE) {
        return code;
    }
    int rv = write_request(waiting);
    if (rv == RH_ERR_CONFLICT && read_request(waiting) == 0) {
        rv = 0; /* ours: it was written although the connection broke, and then tried again */
    }
    if (rv == RH_ERR_CONFLICT) {
        return rh_cli_fail(waiting->cli, RH_EXIT_REFUSED,
                           "somebody else has just asked %s for something; look at `ringhop nodes` "
                           "and try again",
                           waiting->id);
    }
    if (rv != 0) {
        return fail_zookeeper(waiting, rv);
    }
    return wait_for_node(waiting, wait);
}

enum rh_exit rh_request_run(const struct rh_cli *cli, const char *id, enum rh_request_kind kind,
                            uint32_t weight_milli, bool wait)
{
    if (!rh_config_node_id_valid(id)) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "NODE: a node id is 1 to 64 letters, digits, _ or -");
    }
    struct waiting waiting = {
        .cli = cli,
        .id = id,
        .request = {.number = rh_random_number(),
                    .kind = kind,
                    .weight_milli = weight_milli,
                    .state = RH_REQUEST_ASKED},
        .progress = {.id = id, .terminal = isatty(STDERR_FILENO) == 1},
    };
    (void)snprintf(waiting.path, sizeof(waiting.path), "/ringhop/%s/requests/%s",
                   cli->config.cluster, id);
    enum rh_exit code =
        rh_zookeeper_open_for(cli, rh_cli_timeout_ms(cli, RH_CLI_TIMEOUT_MS), &waiting.zookeeper);
    if (code != RH_EXIT_DONE) {
        return code;
    }
    waiting.started_ms = rh_cli_now_ms();
    waiting.registration_at_ms = waiting.started_ms + REGISTRATION_MS;
    code = ask(&waiting, wait);
    rh_progress_clear(&waiting.progress);
    rh_buffer_finish(&waiting.data);
    rh_zookeeper_close(waiting.zookeeper);
    return code;
}
