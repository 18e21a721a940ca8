/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "cli/input.h"
#include "cli/random.h"
#include "cli/url.h"
#include "proto/payload.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS     10000U
#define TRY_MS         7000U /* one node: it answers within 5 s that it does not know */
#define FIND_MS        2000U /* for ZooKeeper to say who the nodes are */
#define PAUSE_FIRST_MS 100U
#define PAUSE_MAX_MS   2000U

const char *rh_ask_content_type(const char *name)
{
    static const struct {
        const char *name;
        const char *content_type;
    } types[] = {{"binary", "application/octet-stream"},
                 {"json", "application/json"},
                 {"text", "text/plain; charset=utf-8"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, name) == 0) {
            return types[i].content_type;
        }
    }
    return NULL;
}

static void begin_time(struct rh_ask *ask)
{
    ask->deadline_ms = rh_cli_now_ms() + rh_cli_timeout_ms(ask->cli, TIMEOUT_MS);
}

enum rh_exit rh_ask_begin(struct rh_ask *ask, const char *what)
{
    begin_time(ask);
    if (!rh_key_valid(ask->key)) {
        return rh_cli_fail(ask->cli, RH_EXIT_USAGE,
                           "KEY: a key is 1 to %d bytes of UTF-8 without control characters",
                           RH_KEY_SIZE_MAX);
    }
    int rv = rh_url_channel_path(ask->key, what, ask->path, sizeof(ask->path));
    if (rv != 0) {
        return rh_cli_fail(ask->cli, RH_EXIT_USAGE, "KEY: %s", rh_error_text(rv));
    }
    return RH_EXIT_DONE;
}

void rh_ask_header(struct rh_ask *ask, const char *format, ...)
{
    struct rh_cli_http *request = &ask->request;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(request->headers[request->headers_count++], sizeof(request->headers[0]), format,
                    arguments);
    va_end(arguments);
}

enum rh_exit rh_ask_read_body(struct rh_ask *ask)
{
    enum rh_exit code = rh_cli_read_input(ask->cli, &ask->data);
    ask->request.body = rh_buffer_content(&ask->data);
    begin_time(ask);
    return code;
}

/* ---- tries ---- */

void rh_ask_settle(struct rh_ask *ask, enum rh_exit code)
{
    ask->settled = true;
    ask->code = code;
}

void rh_ask_take_problem(struct rh_ask *ask, const struct rh_target *target)
{
    unsigned status = ask->request.status;
    rh_cli_http_problem(&ask->request, &ask->last);
    if (status < 500 && status != 429) {
        rh_ask_settle(ask, rh_cli_fail(ask->cli, RH_EXIT_REFUSED, "%s refuses: %s", target->node,
                                       ask->last.text));
    }
}

static void try_node(struct rh_ask *ask, const struct rh_target *target, uint32_t timeout_ms)
{
    struct rh_cli_http *request = &ask->request;
    rh_cli_http_url(target->url, ask->path, request->url);
    if (rh_cli_http_perform(request, 1, timeout_ms) != 0) {
        rh_ask_settle(ask, rh_cli_fail_no_memory(ask->cli));
        return;
    }
    if (!request->answered) {
        (void)rh_fail(&ask->last, RH_ERR_UNREACHABLE, "%s: %s", target->node, request->reason.text);
    }
    ask->take(ask, target);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Finds out who the nodes are. False: there is none. What was known stays when that fails. */
static bool find_targets(struct rh_ask *ask)
{
    struct rh_targets targets;
    bool offline;
    uint32_t timeout_ms = smaller(rh_cli_left_ms(ask->deadline_ms) / 2 + 1, FIND_MS);
    struct rh_reason reason = {""};
    int rv = rh_targets_find(&ask->cli->config, ask->key, timeout_ms, &targets, &offline, &reason);
    if (rv == 0) {
        rh_targets_finish(&ask->targets);
        ask->targets = targets;
    } else if (ask->targets.count == 0) {
        ask->last = reason;
    }
    return ask->targets.count > 0;
}

/* Tries all nodes once, the owner first. */
static void try_all(struct rh_ask *ask)
{
    for (size_t i = 0; i < ask->targets.count && !ask->settled; i++) {
        uint32_t left_ms = rh_cli_left_ms(ask->deadline_ms);
        if (left_ms == 0) {
            return;
        }
        try_node(ask, &ask->targets.targets[i], smaller(left_ms, TRY_MS));
    }
}

enum rh_exit rh_ask_run(struct rh_ask *ask, const char *hint)
{
    for (uint32_t round = 0;; round++) {
        /* A node that answered is there; asking ZooKeeper again would only take time. */
        if (!ask->request.answered && !find_targets(ask)) {
            return rh_cli_fail(ask->cli, RH_EXIT_NODE, "%s", ask->last.text);
        }
        try_all(ask);
        if (ask->settled) {
            return ask->code;
        }
        uint32_t pause = rh_backoff_ms(round, PAUSE_FIRST_MS, PAUSE_MAX_MS, rh_random_number());
        if (rh_cli_left_ms(ask->deadline_ms) <= pause) {
            break;
        }
        rh_cli_pause_ms(pause);
    }
    return rh_cli_fail(ask->cli, ask->request.answered ? RH_EXIT_REFUSED : RH_EXIT_NODE, "%s%s",
                       ask->last.text, hint);
}

void rh_ask_finish(struct rh_ask *ask)
{
    rh_targets_finish(&ask->targets);
    rh_cli_http_finish(&ask->request, 1);
    rh_buffer_finish(&ask->data);
}

void rh_ask_take_answer(struct rh_ask *ask, const struct rh_target *target)
{
    if (!ask->request.answered) {
        return;
    }
    if (ask->request.status == 200) {
        rh_ask_settle(ask, ask->print(ask));
    } else {
        rh_ask_take_problem(ask, target);
    }
}

enum rh_exit rh_ask_get(const struct rh_cli *cli, const char *key, const char *what,
                        enum rh_exit (*print)(const struct rh_ask *ask))
{
    struct rh_ask ask = {
        .cli = cli, .key = rh_bytes_text(key), .take = rh_ask_take_answer, .print = print};
    enum rh_exit code = rh_ask_begin(&ask, what);
    if (code == RH_EXIT_DONE) {
        code = rh_ask_run(&ask, "");
    }
    rh_ask_finish(&ask);
    return code;
}
