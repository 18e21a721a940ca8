/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/publish_lines.h"

#include "cli/output.h"
#include "cli/publish_link.h"
#include "cli/random.h"
#include "cli/targets.h"
#include "proto/payload.h"
#include "router/json_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINKS          8U                  /* to one node */
#define HELD_COUNT_MAX 16384U              /* messages that are not answered */
#define HELD_BYTES_MAX (16U * 1024 * 1024) /* of memory that they take */
#define READ_SIZE      65536U
#define TIMEOUT_MS     60000U /* for a message, and without any answer, unless --timeout says */
#define ANSWER_MS      7000U  /* one node: it answers within 5 s that it does not know */
#define FIND_MS        2000U  /* for ZooKeeper to say who the nodes are */
#define FIND_PAUSE_MS  1000U  /* before it is asked again */
#define TICK_S         0.25
#define AVOID_FIRST_MS 100U
#define AVOID_MAX_MS   2000U
#define JSON_DEPTH_MAX 4U

/* A node that was ever in the view; it stays. */
struct node {
    struct rh_list link;
    char id[RH_NODE_ID_SIZE];
    char url[RH_URL_SIZE];
    char host[RH_URL_HOST_SIZE]; /* "": it cannot be used from here */
    uint64_t avoided_until_ms;
    uint32_t failures; /* in a row */
    struct rh_publish_link links[LINKS];
};

struct publishing {
    const struct rh_cli *cli;
    const struct rh_publish_lines *options;
    uint32_t timeout_ms;
    char id[RH_MESSAGE_ID_SIZE_MAX + 1]; /* what made-up ids begin with */
    struct rh_lines lines;
    struct rh_feed feed;
    struct rh_buffer scratch;

    struct rh_view *view;
    struct node **by_index; /* nodes of the members of |view| */
    struct rh_list nodes;
    bool outdated;        /* the view may be */
    uint64_t found_at_ms; /* when it was read */

    struct ev_loop *loop;
    ev_io input;
    ev_prepare before_wait;
    ev_timer tick;
    ev_signal signals[2];
    bool input_over;

    uint64_t began_ms;
    uint64_t heard_ms; /* the last answer, or when something to send came first after that */
    uint64_t published, duplicates, refused, unknown;
    struct rh_reason last; /* why the last try failed */
    enum rh_exit code;     /* to end with */
};

static void end(struct publishing *publishing, enum rh_exit code)
{
    publishing->code = code;
    ev_break(publishing->loop, EVBREAK_ALL);
}

static void check_memory(struct publishing *publishing, int rv)
{
    if (rv != 0) {
        end(publishing, rh_cli_fail_no_memory(publishing->cli));
    }
}

static void tell_line(const struct publishing *publishing, uint64_t line, const char *what,
                      const char *why)
{
    rh_cli_warn(publishing->cli, "line %" PRIu64 ": %s: %s", line, what, why);
}

/* ---- nodes ---- */

static void begin_links(struct publishing *publishing, struct node *node);

static struct node *find_node(struct publishing *publishing, const struct rh_registration *member)
{
    struct rh_reason reason;
    rh_list_each (&publishing->nodes, link) {
        struct node *node = rh_container_of(link, struct node, link);
        if (strcmp(node->id, member->id) == 0 && strcmp(node->url, member->url) == 0) {
            return node;
        }
    }
    struct node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return NULL;
    }
    memcpy(node->id, member->id, sizeof(node->id));
    memcpy(node->url, member->url, sizeof(node->url));
    if (rh_url_host(node->url, node->host, NULL, &reason) != 0) {
        node->host[0] = '\0';
        rh_cli_warn(publishing->cli, "%s cannot be used: %s", node->id, reason.text);
    }
    begin_links(publishing, node);
    rh_list_push_back(&publishing->nodes, &node->link);
    return node;
}

/* All keys find their lanes anew, in the order of their messages. */
static void leave_all(struct publishing *publishing)
{
    rh_list_each (&publishing->nodes, link) {
        struct node *node = rh_container_of(link, struct node, link);
        for (size_t i = 0; i < LINKS; i++) {
            rh_publish_link_leave(&node->links[i]);
        }
    }
}

static int take_view(struct publishing *publishing, struct rh_view *view)
{
    struct node **by_index = calloc(view->members_count + 1, sizeof(struct node *));
    bool complete = by_index != NULL;
    for (size_t i = 0; complete && i < view->members_count; i++) {
        by_index[i] = find_node(publishing, &view->members[i]);
        complete = by_index[i] != NULL;
    }
    if (!complete) {
        free(by_index);
        return RH_ERR_NO_MEMORY;
    }
    bool same = publishing->view != NULL &&
                rh_ring_digest(publishing->view->ring) == rh_ring_digest(view->ring);
    rh_view_give(publishing->view);
    free(publishing->by_index);
    publishing->view = rh_view_take(view);
    publishing->by_index = by_index;
    if (!same) {
        leave_all(publishing);
    }
    return 0;
}

/* Reads who the nodes are. What was known stays when that fails. */
static int find_view(struct publishing *publishing)
{
    struct rh_view *view;
    bool offline;
    int rv = rh_targets_view(&publishing->cli->config, FIND_MS, &view, &offline, &publishing->last);
    publishing->found_at_ms = rh_cli_now_ms();
    publishing->outdated = rv != 0 || offline;
    if (rv == 0) {
        bool better = !offline || publishing->view == NULL;
        rv = better ? take_view(publishing, view) : 0;
        rh_view_give(view);
    } else if (publishing->view != NULL && rv != RH_ERR_NO_MEMORY) {
        rv = 0;
    }
    ev_now_update(publishing->loop); /* it may have taken long */
    return rv;
}

static bool is_usable(const struct node *node, uint64_t now_ms)
{
    return node->host[0] != '\0' && node->avoided_until_ms <= now_ms;
}

/* The owner, or who comes next for the key, or any other; NULL: nobody for now. */
static struct node *choose_node(const struct publishing *publishing, struct rh_bytes key,
                                uint64_t now_ms)
{
    const struct rh_view *view = publishing->view;
    uint32_t indices[RH_RING_REPLICAS_MAX];
    uint64_t hash = rh_ring_hash(view->ring, key.data, key.size);
    size_t count = rh_ring_preference(view->ring, hash, RH_RING_REPLICAS_MAX, indices);
    for (size_t i = 0; i < count; i++) {
        if (is_usable(publishing->by_index[indices[i]], now_ms)) {
            return publishing->by_index[indices[i]];
        }
    }
    for (size_t i = 0; i < view->members_count; i++) {
        struct node *node = publishing->by_index[(hash + i) % view->members_count];
        if (is_usable(node, now_ms)) {
            return node;
        }
    }
    return NULL;
}

static struct node *node_of(const struct rh_publish_link *link)
{
    /* The host is the node's own, which is how a link knows its node. */
    return rh_container_of((char *)(uintptr_t)link->host, struct node, host);
}

/* ---- answers ---- */

/* What a 201 says: which node has published it, and whether it was published before. */
static void read_published(struct rh_bytes body, struct rh_bytes *ret_node, bool *ret_duplicate)
{
    struct rh_json_value object;
    struct rh_json_member member;
    *ret_node = rh_bytes(NULL, 0);
    *ret_duplicate = false;
    if (rh_json_check(body, JSON_DEPTH_MAX, &object, NULL) != 0 || object.type != RH_JSON_OBJECT) {
        return;
    }
    struct rh_json_cursor cursor = rh_json_members(object);
    while (rh_json_next(&cursor, &member)) {
        if (rh_json_string_equal(member.key, "duplicate")) {
            *ret_duplicate = member.value.type == RH_JSON_TRUE;
        } else if (rh_json_string_equal(member.key, "node") && member.value.raw.size >= 2) {
            *ret_node = rh_bytes(member.value.raw.data + 1, member.value.raw.size - 2);
        }
    }
}

/* What a refusal says: "HTTP 400" and its detail. */
static void read_problem(const struct rh_answer *answer, struct rh_buffer *scratch,
                         struct rh_reason *ret_reason)
{
    struct rh_bytes detail = rh_bytes(NULL, 0);
    struct rh_json_value object;
    struct rh_json_member member;
    rh_buffer_clear(scratch);
    if (rh_json_check(rh_buffer_content(&answer->body), JSON_DEPTH_MAX, &object, NULL) == 0 &&
        object.type == RH_JSON_OBJECT) {
        struct rh_json_cursor cursor = rh_json_members(object);
        while (rh_json_next(&cursor, &member)) {
            if (rh_json_string_equal(member.key, "detail") && member.value.type == RH_JSON_STRING &&
                rh_json_string_decode(member.value, scratch, &detail) != 0) {
                detail = rh_bytes(NULL, 0);
            }
        }
    }
    (void)rh_fail(ret_reason, 0, "HTTP %u%s%.*s", answer->status, detail.size > 0 ? ": " : "",
                  RH_BYTES_ARG(detail));
}

static void take_published(struct publishing *publishing, const struct node *node,
                           struct rh_bytes body)
{
    struct rh_bytes by;
    bool duplicate;
    read_published(body, &by, &duplicate);
    publishing->published++;
    publishing->duplicates += duplicate;
    if (!rh_bytes_equal_text(by, node->id)) {
        publishing->outdated = true; /* passed on: somebody else is the owner now */
    }
}

static bool on_answered(void *context, struct rh_publish_link *link,
                        const struct rh_feed_message *message, const struct rh_answer *answer,
                        struct rh_reason *reason)
{
    struct publishing *publishing = context;
    struct node *node = node_of(link);
    if (answer->status == 201) {
        take_published(publishing, node, rh_buffer_content(&answer->body));
    } else {
        read_problem(answer, &publishing->scratch, reason);
        if (answer->status / 100 != 4 || answer->status == 408 || answer->status == 429) {
            return false;
        }
        publishing->refused++;
        tell_line(publishing, message->line, "refused", reason->text);
    }
    node->failures = 0;
    publishing->heard_ms = rh_cli_now_ms();
    return true;
}

static void on_broken(void *context, struct rh_publish_link *link, const char *reason)
{
    struct publishing *publishing = context;
    struct node *node = node_of(link);
    if (reason[0] == '\0') {
        return;
    }
    (void)rh_fail(&publishing->last, 0, "%s: %s", node->id, reason);
    node->avoided_until_ms = rh_cli_now_ms() + rh_backoff_ms(node->failures, AVOID_FIRST_MS,
                                                             AVOID_MAX_MS, rh_random_number());
    node->failures++;
    publishing->outdated = true;
}

static void begin_links(struct publishing *publishing, struct node *node)
{
    static const struct rh_publish_link_handler handler = {.answered = on_answered,
                                                           .broken = on_broken};
    for (size_t i = 0; i < LINKS; i++) {
        rh_publish_link_init(&node->links[i], publishing->loop, &publishing->feed, node->host,
                             &handler, publishing);
    }
}

/* ---- input ---- */

static bool has_room(const struct publishing *publishing)
{
    return publishing->feed.held_count < HELD_COUNT_MAX &&
           publishing->feed.held_bytes < HELD_BYTES_MAX;
}

static int add_message(struct publishing *publishing, const struct rh_line_message *message)
{
    char id[RH_MESSAGE_ID_SIZE_MAX + 32];
    struct rh_feed_source source = {
        .line = publishing->lines.number,
        .hash = rh_ring_hash(publishing->view->ring, message->key.data, message->key.size),
        .key = message->key,
        .id = message->id,
        .payload = message->payload,
        .content_type = message->content_type,
    };
    if (source.id.size == 0) {
        (void)snprintf(id, sizeof(id), "%s-%" PRIu64, publishing->id, publishing->lines.number);
        source.id = rh_bytes_text(id);
    }
    if (publishing->feed.held_count == 0) {
        publishing->heard_ms = rh_cli_now_ms();
    }
    return rh_feed_add(&publishing->feed, &source);
}

static void refuse_line(struct publishing *publishing, const char *why)
{
    publishing->refused++;
    tell_line(publishing, publishing->lines.number, "not published", why);
}

/* One line that has come. What is returned: RH_ERR_AGAIN, RH_ERR_CLOSED, RH_ERR_NO_MEMORY, or 0. */
static int take_line(struct publishing *publishing)
{
    const struct rh_line_rules *rules = &publishing->options->rules;
    struct rh_line_message message;
    struct rh_reason reason;
    struct rh_bytes line;
    int rv = rh_lines_next(&publishing->lines, &line);
    if (rv == RH_ERR_TOO_LARGE) {
        (void)rh_fail(&reason, rv, "longer than a payload of %" PRIu64 " bytes can be",
                      rules->message_bytes);
        refuse_line(publishing, reason.text);
        return 0;
    }
    if (rv != 0) {
        return rv;
    }
    rv = rh_line_parse(rules, line, &publishing->scratch, &message, &reason);
    if (rv == 0) {
        return add_message(publishing, &message);
    }
    if (rv == RH_ERR_INVALID) {
        refuse_line(publishing, reason.text);
    }
    return rv == RH_ERR_NO_MEMORY ? rv : 0;
}

/* Takes what has come as far as there is room, and reads on only if there is some left. */
static void take_lines(struct publishing *publishing)
{
    int rv = 0;
    while (rv == 0 && has_room(publishing)) {
        rv = take_line(publishing);
    }
    if (rv == RH_ERR_AGAIN && !publishing->input_over) {
        ev_io_start(publishing->loop, &publishing->input);
        return;
    }
    ev_io_stop(publishing->loop, &publishing->input);
    if (rv == RH_ERR_NO_MEMORY) {
        check_memory(publishing, rv);
    } else if ((rv == RH_ERR_CLOSED || rv == RH_ERR_AGAIN) && publishing->feed.held_count == 0) {
        end(publishing, RH_EXIT_DONE);
    }
}

static void on_input(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct publishing *publishing = io->data;
    char *room = rh_lines_reserve(&publishing->lines, READ_SIZE);
    if (room == NULL) {
        check_memory(publishing, RH_ERR_NO_MEMORY);
        return;
    }
    ssize_t size = read(STDIN_FILENO, room, READ_SIZE);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size < 0) {
        end(publishing, rh_cli_fail(publishing->cli, RH_EXIT_USAGE,
                                    "the standard input cannot be read: %s", strerror(errno)));
        return;
    }
    rh_lines_commit(&publishing->lines, (size_t)size);
}

/* The first one ends the input, and what was read is still published; the second ends it all. */
static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)events;
    struct publishing *publishing = signal->data;
    publishing->input_over = true;
    for (size_t i = 0; i < 2; i++) {
        ev_signal_stop(loop, &publishing->signals[i]);
    }
}

/* ---- on their way ---- */

/* The next of |key| is given up; one that was never sent is not published for sure. */
static void give_up_next(struct publishing *publishing, struct rh_feed_key *key)
{
    const struct rh_feed_message *message = rh_feed_next(key);
    publishing->unknown++;
    tell_line(publishing, message->line,
              message->begun_ms != 0 ? "may or may not be published" : "not published",
              publishing->last.text);
    rh_feed_give_up(&publishing->feed, key);
}

static bool is_late(const struct publishing *publishing, const struct rh_feed_key *key,
                    uint64_t now_ms)
{
    const struct rh_feed_message *message = rh_feed_next(key);
    return message->begun_ms != 0 && now_ms - message->begun_ms > publishing->timeout_ms;
}

/* Gives keys their lanes. */
static void bind_keys(struct publishing *publishing, uint64_t now_ms)
{
    struct rh_feed_key *first = NULL;
    struct rh_feed_key *key = rh_feed_free_key(&publishing->feed);
    while (key != NULL && key != first) {
        struct node *node = choose_node(publishing, key->name, now_ms);
        if (is_late(publishing, key, now_ms)) {
            give_up_next(publishing, key);
        } else if (node == NULL) {
            return; /* nobody for this one is nobody for any */
        } else if (node->links[key->hash % LINKS].leaving) {
            first = first == NULL ? key : first;
            rh_feed_postpone(&publishing->feed, key);
        } else {
            rh_feed_bind(key, &node->links[key->hash % LINKS].lane);
        }
        key = rh_feed_free_key(&publishing->feed);
    }
}

static void pump_all(struct publishing *publishing, uint64_t now_ms)
{
    rh_list_each (&publishing->nodes, link) {
        struct node *node = rh_container_of(link, struct node, link);
        for (size_t i = 0; i < LINKS; i++) {
            check_memory(publishing, rh_publish_link_pump(&node->links[i], now_ms));
        }
    }
}

/* Once in each turn of the loop, before it waits. */
static void on_before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    struct publishing *publishing = prepare->data;
    uint64_t now_ms = rh_cli_now_ms();
    if (publishing->outdated && now_ms - publishing->found_at_ms > FIND_PAUSE_MS) {
        check_memory(publishing, find_view(publishing));
        now_ms = rh_cli_now_ms();
    }
    take_lines(publishing);
    bind_keys(publishing, now_ms);
    pump_all(publishing, now_ms);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct publishing *publishing = timer->data;
    uint64_t now_ms = rh_cli_now_ms();
    rh_list_each (&publishing->nodes, link) {
        struct node *node = rh_container_of(link, struct node, link);
        for (size_t i = 0; i < LINKS; i++) {
            rh_publish_link_check(&node->links[i], now_ms, ANSWER_MS);
        }
    }
    if (publishing->feed.held_count > 0 && now_ms - publishing->heard_ms > publishing->timeout_ms) {
        end(publishing, RH_EXIT_NODE);
    }
}

/* ---- the whole ---- */

static void break_all(struct publishing *publishing)
{
    rh_list_each (&publishing->nodes, link) {
        struct node *node = rh_container_of(link, struct node, link);
        for (size_t i = 0; i < LINKS; i++) {
            rh_publish_link_finish(&node->links[i]);
        }
    }
}

/* What is still held when it ends before its time. */
static void give_up_all(struct publishing *publishing)
{
    struct rh_feed_key *key = rh_feed_free_key(&publishing->feed);
    while (key != NULL) {
        give_up_next(publishing, key);
        key = rh_feed_free_key(&publishing->feed);
    }
}

static enum rh_exit tell_summary(const struct publishing *publishing)
{
    uint64_t took_ms = rh_cli_now_ms() - publishing->began_ms;
    double seconds = (double)took_ms / 1e3;
    if (publishing->cli->json) {
        json_t *summary = json_pack(
            "{s:I,s:I,s:I,s:I,s:I,s:f}", "lines", (json_int_t)publishing->lines.number, "published",
            (json_int_t)publishing->published, "duplicates", (json_int_t)publishing->duplicates,
            "refused", (json_int_t)publishing->refused, "unknown", (json_int_t)publishing->unknown,
            "seconds", seconds);
        return summary == NULL ? rh_cli_fail_no_memory(publishing->cli)
                               : rh_output_json(publishing->cli, summary);
    }
    (void)printf("%" PRIu64 " lines: %" PRIu64 " published (%" PRIu64 " of them before), %" PRIu64
                 " refused, %" PRIu64 " not acknowledged, in %.1f s (%.0f a second)\n",
                 publishing->lines.number, publishing->published, publishing->duplicates,
                 publishing->refused, publishing->unknown, seconds,
                 took_ms == 0 ? 0.0 : (double)publishing->published / seconds);
    return RH_EXIT_DONE;
}

static void start(struct publishing *publishing)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    ev_io_init(&publishing->input, on_input, STDIN_FILENO, EV_READ);
    publishing->input.data = publishing;
    ev_prepare_init(&publishing->before_wait, on_before_wait);
    publishing->before_wait.data = publishing;
    ev_prepare_start(publishing->loop, &publishing->before_wait);
    ev_timer_init(&publishing->tick, on_tick, TICK_S, TICK_S);
    publishing->tick.data = publishing;
    ev_timer_start(publishing->loop, &publishing->tick);
    for (size_t i = 0; i < 2; i++) {
        ev_signal_init(&publishing->signals[i], on_signal, numbers[i]);
        publishing->signals[i].data = publishing;
        ev_signal_start(publishing->loop, &publishing->signals[i]);
    }
}

static enum rh_exit run(struct publishing *publishing)
{
    int rv = find_view(publishing);
    if (rv == RH_ERR_NO_MEMORY) {
        return rh_cli_fail_no_memory(publishing->cli);
    }
    if (rv != 0) {
        return rh_cli_fail(publishing->cli, RH_EXIT_NODE, "%s", publishing->last.text);
    }
    start(publishing);
    (void)ev_run(publishing->loop, 0);
    break_all(publishing);
    give_up_all(publishing);
    enum rh_exit code = tell_summary(publishing);
    if (publishing->code != RH_EXIT_DONE || code != RH_EXIT_DONE) {
        return publishing->code != RH_EXIT_DONE ? publishing->code : code;
    }
    return publishing->refused + publishing->unknown > 0 ? RH_EXIT_REFUSED : RH_EXIT_DONE;
}

static void finish(struct publishing *publishing)
{
    rh_list_each_safe (&publishing->nodes, link) {
        free(rh_container_of(link, struct node, link));
    }
    free(publishing->by_index);
    rh_view_give(publishing->view);
    rh_feed_finish(&publishing->feed);
    rh_lines_finish(&publishing->lines);
    rh_buffer_finish(&publishing->scratch);
    ev_loop_destroy(publishing->loop);
}

enum rh_exit rh_publish_lines_run(struct rh_cli *cli, const struct rh_publish_lines *options)
{
    struct publishing publishing = {
        .cli = cli,
        .options = options,
        .timeout_ms = rh_cli_timeout_ms(cli, TIMEOUT_MS),
        .loop = ev_loop_new(EVFLAG_AUTO),
        .began_ms = rh_cli_now_ms(),
    };
    if (publishing.loop == NULL || rh_feed_init(&publishing.feed) != 0) {
        return rh_cli_fail_no_memory(cli);
    }
    /* A retry that comes when its id is forgotten would publish twice. */
    uint32_t timeout_max_ms = cli->config.limits.dedup_age_ms / 2;
    if (publishing.timeout_ms > timeout_max_ms) {
        publishing.timeout_ms = timeout_max_ms;
    }
    if (options->id != NULL) {
        (void)snprintf(publishing.id, sizeof(publishing.id), "%s", options->id);
    } else {
        rh_id64_format(rh_random_number(), publishing.id);
    }
    rh_list_init(&publishing.nodes);
    rh_lines_init(&publishing.lines, rh_line_size_max(&options->rules));
    enum rh_exit code = run(&publishing);
    finish(&publishing);
    return code;
}
