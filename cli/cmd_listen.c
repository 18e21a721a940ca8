/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/follower.h"
#include "cli/http.h"
#include "cli/output.h"
#include "cli/random.h"
#include "cli/targets.h"
#include "cli/url.h"
#include "cli/ws_client.h"
#include "proto/payload.h"
#include "router/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *      targets: owner, others      url that the follower found
 *              |                             |
 *              +------> connect <------------+   after= position of the follower
 *                          |
 *              +--- serve until it ends ---+
 *              |                           |
 *      backoff, next target         straight to the new owner
 */

#define CONNECT_MS       3000U  /* one node */
#define FIND_MS          1000U  /* for ZooKeeper to say who the nodes are */
#define FIRST_TIMEOUT_MS 10000U /* for the first connection, unless --timeout says otherwise */
#define PAUSE_FIRST_MS   100U
#define PAUSE_MAX_MS     5000U
#define HOPS_MAX         5U /* redirects in a row without a welcome */

struct state {
    bool has_after;
    struct rh_position after;
    uint64_t count; /* 0: no end */
};

enum { OPTION_AFTER = 256, OPTION_COUNT };

static const struct option options[] = {{"after", required_argument, NULL, OPTION_AFTER},
                                        {"count", required_argument, NULL, OPTION_COUNT},
                                        {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_COUNT) {
        if (rh_bytes_to_u64(rh_bytes_text(value), INT64_MAX, &state->count) != 0 ||
            state->count == 0) {
            return rh_fail(reason, RH_ERR_INVALID, "--count: `%s` is not a number above 0", value);
        }
        return 0;
    }
    if (rh_position_parse(rh_bytes_text(value), &state->after) != 0) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--after: `%s` is not a position: 0, or incarnation:seq like "
                       "c0ffee0123456789:9",
                       value);
    }
    state->has_after = true;
    return 0;
}

struct listening {
    const struct rh_cli *cli;
    struct rh_bytes key;
    char path[RH_CLI_HTTP_PATH_SIZE];
    struct rh_follower follower;
    struct rh_buffer scratch;
    uint64_t wanted; /* messages until the end; 0: no end */
    uint64_t shown;

    struct rh_targets targets;
    size_t target;                   /* the next one to try */
    char url[RH_URL_TEXT_SIZE];      /* of the connection */
    char next_url[RH_URL_TEXT_SIZE]; /* where to go at once; "": by the targets */
    unsigned hops;                   /* redirects since the last welcome */

    struct rh_ws_client *client;
    struct rh_ws_client *old; /* let go of once the next connection stands */
    uint32_t failures;        /* since the last welcome */
    uint64_t lost_ms;         /* since when there is no connection */
    bool ever;                /* there was a welcome */
    bool told_lost;           /* the loss was reported */
    struct rh_reason last;    /* why the last connection or try failed */

    bool ended; /* the command ends with |code| */
    enum rh_exit code;
};

static void end(struct listening *listening, enum rh_exit code)
{
    listening->ended = true;
    listening->code = code;
}

/* --- What is shown ------------------------------------------------------------------------------ */

/* The text without line breaks, which in JSON are blanks between tokens only. */
static void print_on_one_line(struct rh_bytes json)
{
    for (size_t i = 0; i < json.size; i++) {
        char c = json.data[i];
        (void)putchar(c == '\n' || c == '\r' ? ' ' : c);
    }
}

static void print_message(const struct listening *listening, struct rh_bytes text,
                          const struct rh_follower_item *item)
{
    if (listening->cli->json) {
        print_on_one_line(text);
    } else {
        (void)printf("%llu\t", (unsigned long long)item->seq);
        if (item->payload_kind == RH_FOLLOWER_DATA) {
            rh_output_escaped(item->payload);
        } else {
            print_on_one_line(item->payload);
        }
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void tell_gap(const struct listening *listening, struct rh_bytes node)
{
    char position[RH_POSITION_TEXT_SIZE];
    rh_position_format(listening->follower.position, position);
    rh_cli_warn(listening->cli,
                "messages may be missing: %.*s has no log back to where this left off; going on "
                "from %s",
                RH_BYTES_ARG(node), position);
}

static void take_welcome(struct listening *listening, struct rh_bytes node)
{
    if (listening->told_lost) {
        rh_cli_warn(listening->cli, "connected again, to %.*s", RH_BYTES_ARG(node));
    }
    listening->told_lost = false;
    listening->ever = true;
    listening->failures = 0;
    listening->hops = 0;
}

static void tell_lost(struct listening *listening)
{
    if (listening->ever && !listening->told_lost) {
        rh_cli_warn(listening->cli, "connection lost (%s); trying again", listening->last.text);
        listening->told_lost = true;
    }
}

/* --- One connection ----------------------------------------------------------------------------- */

/* Goes to |location|, which is shorter than RH_URL_TEXT_SIZE, next, unless that has become a chain
 * without end. */
static void follow(struct listening *listening, struct rh_bytes location)
{
    char text[RH_URL_TEXT_SIZE];
    listening->hops++;
    *rh_bytes_write(text, location) = '\0';
    if (listening->hops > HOPS_MAX) {
        (void)rh_fail(&listening->last, RH_ERR_REFUSED, "sent from node to node without end");
    } else if (rh_url_resolve(listening->url, text, listening->next_url,
                              sizeof(listening->next_url)) != 0) {
        listening->next_url[0] = '\0';
        (void)rh_fail(&listening->last, RH_ERR_INVALID, "sent to something that is no URL");
    }
}

/* Takes one text of the node; non-zero ends the connection. */
static int take_text(void *context, struct rh_bytes text)
{
    struct listening *listening = context;
    struct rh_follower *follower = &listening->follower;
    struct rh_follower_item item;
    enum rh_follower_event event;
    if (rh_follower_take(follower, text, &listening->scratch, &event, &item) != 0) {
        end(listening, rh_cli_fail_no_memory(listening->cli));
        return 1;
    }
    switch (event) {
    case RH_FOLLOWER_WELCOME:
    case RH_FOLLOWER_GAP:
        take_welcome(listening, item.node);
        if (event == RH_FOLLOWER_GAP) {
            tell_gap(listening, item.node);
        }
        return 0;
    case RH_FOLLOWER_MESSAGE:
        print_message(listening, text, &item);
        listening->shown++;
        if (listening->shown == listening->wanted) {
            end(listening, RH_EXIT_DONE);
        }
        return listening->ended;
    case RH_FOLLOWER_MOVED:
        rh_cli_warn(listening->cli, "moved to %.*s", RH_BYTES_ARG(item.node));
        follow(listening, item.url);
        return 1;
    case RH_FOLLOWER_REDIRECTED:
        follow(listening, item.url);
        return 1;
    case RH_FOLLOWER_ERROR:
        (void)rh_fail(&listening->last, RH_ERR_REFUSED, "%.*s", RH_BYTES_ARG(item.text));
        return 0;
    case RH_FOLLOWER_BROKEN:
        (void)rh_fail(&listening->last, RH_ERR_INVALID, "the node sent %.*s",
                      RH_BYTES_ARG(item.text));
        return 1;
    case RH_FOLLOWER_NOTHING:
        break;
    }
    return 0;
}

/* The connection has ended: notes why, and ends the command where trying again is no use. */
static void judge_close(struct listening *listening)
{
    unsigned code = rh_ws_client_code(listening->client);
    if (code == RH_WEBSOCKET_CODE_NOT_ALLOWED) {
        end(listening, rh_cli_fail(listening->cli, RH_EXIT_REFUSED, "not allowed to listen"));
        return;
    }
    /* The node may have said why before it closed. */
    if (listening->last.text[0] == '\0') {
        (void)rh_fail(&listening->last, RH_ERR_CLOSED, "close code %u", code);
    }
}

/* Serves the connection until it ends. A ping goes out when nothing was heard for a while, so that
 * a connection that is dead is told from one that is silent. */
static void serve(struct listening *listening)
{
    const struct rh_config *config = &listening->cli->config;
    uint64_t pinged_ms = 0; /* what was heard last when the ping went out */
    int rv = 0;
    while (rv == 0) {
        uint64_t heard_ms = rh_ws_client_heard_ms(listening->client);
        uint64_t silence_ms = rh_cli_now_ms() - heard_ms;
        uint64_t next_ms = config->heartbeat.timeout_ms;
        if (silence_ms >= next_ms) {
            (void)rh_fail(&listening->last, RH_ERR_TIMEOUT, "nothing heard for %u ms",
                          config->heartbeat.timeout_ms);
            return;
        }
        if (pinged_ms != heard_ms && silence_ms >= config->heartbeat.interval_ms) {
            pinged_ms = heard_ms;
            rv = rh_ws_client_ping(listening->client);
        } else if (pinged_ms != heard_ms) {
            next_ms = config->heartbeat.interval_ms;
        }
        if (rv == 0) {
            rv = rh_ws_client_wait(listening->client, (uint32_t)(next_ms - silence_ms), take_text,
                                   listening);
        }
    }
    if (rv == RH_ERR_NO_MEMORY) {
        end(listening, rh_cli_fail_no_memory(listening->cli));
    } else if (!listening->ended && listening->next_url[0] == '\0') {
        judge_close(listening);
    }
}

/* --- Making connections ------------------------------------------------------------------------- */

/* The URL to try: where we were sent, or the next target. */
static int choose_url(struct listening *listening)
{
    char base[RH_URL_TEXT_SIZE];
    char position[RH_POSITION_TEXT_SIZE];
    if (listening->next_url[0] != '\0') {
        memcpy(base, listening->next_url, sizeof(base));
        listening->next_url[0] = '\0';
    } else {
        const struct rh_target *target = &listening->targets.targets[listening->target];
        listening->target++;
        (void)snprintf(base, sizeof(base), "%s%s", target->url, listening->path);
    }
    if (!listening->follower.has_position) {
        memcpy(listening->url, base, sizeof(base));
        return 0;
    }
    rh_position_format(listening->follower.position, position);
    return rh_url_set_query(base, "after", position, listening->url, sizeof(listening->url));
}

static void judge_refusal(struct listening *listening, const struct rh_ws_failure *failure)
{
    listening->last = failure->reason;
    if (failure->location[0] != '\0') {
        follow(listening, rh_bytes_text(failure->location));
    } else if (failure->status / 100 == 4 && failure->status != 408 && failure->status != 429) {
        end(listening,
            rh_cli_fail(listening->cli, RH_EXIT_REFUSED, "refused: %s", failure->reason.text));
    }
}

/* Tries to connect once. False: not connected (or there is where to go at once). */
static bool connect_once(struct listening *listening)
{
    struct rh_ws_failure failure;
    listening->last.text[0] = '\0';
    if (choose_url(listening) != 0) {
        (void)rh_fail(&listening->last, RH_ERR_TOO_LARGE, "the URL is too long");
        return false;
    }
    rh_follower_connect(&listening->follower);
    int rv = rh_ws_client_connect(listening->url, CONNECT_MS, &listening->client, &failure);
    rh_ws_client_close(listening->old);
    listening->old = NULL;
    if (rv == RH_ERR_NO_MEMORY) {
        end(listening, rh_cli_fail_no_memory(listening->cli));
    } else if (rv == RH_ERR_REFUSED) {
        judge_refusal(listening, &failure);
    } else if (rv != 0) {
        listening->last = failure.reason;
    }
    return rv == 0;
}

/* Whether it is time to give up, with the message. */
static bool give_up(struct listening *listening)
{
    const struct rh_cli *cli = listening->cli;
    if (listening->ever && cli->timeout_ms == 0) {
        return false;
    }
    uint32_t timeout_ms = rh_cli_timeout_ms(cli, FIRST_TIMEOUT_MS);
    if (rh_cli_now_ms() - listening->lost_ms < timeout_ms) {
        return false;
    }
    end(listening, rh_cli_fail(cli, RH_EXIT_NODE, "no node took the connection within %u ms: %s",
                               timeout_ms, listening->last.text));
    return true;
}

/* Finds out anew who the nodes are. What was known stays when that fails. */
static void find_targets(struct listening *listening)
{
    struct rh_targets targets;
    bool offline;
    int rv = rh_targets_find(&listening->cli->config, listening->key, FIND_MS, &targets, &offline,
                             &listening->last);
    if (rv == 0) {
        rh_targets_finish(&listening->targets);
        listening->targets = targets;
    }
}

/* All targets were tried, or a connection was lost: a pause, then from the owner on. After a loss
 * the nodes that are known come first: ZooKeeper may be away, and asking it takes time. */
static void back_off(struct listening *listening)
{
    tell_lost(listening);
    rh_cli_pause_ms(
        rh_backoff_ms(listening->failures, PAUSE_FIRST_MS, PAUSE_MAX_MS, rh_random_number()));
    if (listening->failures > 0 || listening->targets.count == 0) {
        find_targets(listening);
    }
    listening->target = 0;
    listening->failures++;
}

static void listen_once(struct listening *listening)
{
    if (listening->next_url[0] == '\0' && listening->target >= listening->targets.count) {
        back_off(listening);
        if (listening->targets.count == 0) {
            return;
        }
    }
    if (!connect_once(listening)) {
        return;
    }
    bool welcomed_before = listening->ever;
    serve(listening);
    listening->old = listening->client;
    listening->client = NULL;
    if (listening->next_url[0] == '\0') {
        rh_ws_client_close(listening->old);
        listening->old = NULL;
        listening->target = SIZE_MAX; /* so that we back off first */
    }
    if (listening->follower.welcomed || welcomed_before != listening->ever) {
        listening->lost_ms = rh_cli_now_ms();
    }
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)operands_count;
    const struct state *state = context;
    struct listening *listening = calloc(1, sizeof(*listening));
    if (listening == NULL) {
        return rh_cli_fail_no_memory(cli);
    }
    listening->cli = cli;
    listening->key = rh_bytes_text(operands[0]);
    listening->wanted = state->count;
    listening->lost_ms = rh_cli_now_ms();
    rh_follower_init(&listening->follower, state->has_after ? &state->after : NULL);
    if (!rh_key_valid(listening->key) ||
        rh_url_channel_path(listening->key, "ws", listening->path, sizeof(listening->path)) != 0) {
        end(listening, rh_cli_fail(cli, RH_EXIT_USAGE,
                                   "KEY: a key is 1 to %d bytes of UTF-8 without control "
                                   "characters",
                                   RH_KEY_SIZE_MAX));
    } else {
        find_targets(listening);
    }
    while (!listening->ended) {
        listen_once(listening);
        if (!listening->ended && listening->next_url[0] == '\0' && give_up(listening)) {
            break;
        }
    }
    enum rh_exit code = listening->code;
    rh_ws_client_close(listening->old);
    rh_ws_client_close(listening->client);
    rh_targets_finish(&listening->targets);
    rh_buffer_finish(&listening->scratch);
    free(listening);
    return code;
}

const struct rh_command rh_command_listen = {
    .name = "listen",
    .summary = "show the messages of a channel as they come",
    .synopsis = "listen [--after POS] [--count N] KEY",
    .help =
        "Prints the messages of the channel KEY, one a line: seq, a tab, and the payload. Line\n"
        "breaks and other control characters in a text are shown as \\n, \\t, \\x1b and so on.\n"
        "\n"
        "It goes to the owner, follows the channel when that changes, and after any break tries\n"
        "again, with growing pauses, and resumes where it left off: no message is shown twice, "
        "and\n"
        "if some may be missing, it says so on stderr.\n"
        "\n"
        "Options:\n"
        "      --after POS   begin after that message (incarnation:seq), or 0: all that the "
        "channel\n"
        "                    still holds. Without it: new messages only\n"
        "      --count N     end after N messages\n"
        "\n"
        "--timeout: give up when there was no connection for that long. Without it: 10 s for the\n"
        "first connection, and never after that.\n"
        "\n"
        "Example:\n"
        "  ringhop listen user:42\n"
        "  ringhop listen --json --after 0 --count 10 user:42\n"
        "\n"
        "JSON: {\"type\":\"message\",\"seq\":10,\"id\":\"a\",\"time\":1764000000123,"
        "\"data\":\"hi\"}\n"
        "Exit code 5: no node could be reached; 6: refused.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
