/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"
#include "node/ev_dial.h"
#include "node/ev_peer.h"
#include "proto/peer_codec.h"
#include "tests/test.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * Nodes in one process, on one loop, over real sockets on loopback; and strangers, which are plain
 * sockets that say what the test wants. Nothing waits for a time to pass: WAIT runs the loop until
 * a condition holds, and fails after a bound that is far away.
 */

#define BOUND_MS 20000

static struct ev_loop *loop;
static ev_timer heartbeat; /* lets WAIT look at its condition */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define WAIT(condition)                                      \
    do {                                                     \
        const uint64_t bound_ms = now_ms() + BOUND_MS;       \
        while (!(condition)) {                               \
            if (now_ms() > bound_ms) {                       \
                fail_msg("never came true: %s", #condition); \
            }                                                \
            ev_run(loop, EVRUN_ONCE);                        \
        }                                                    \
    } while (0)

/* Nodes. */

struct node {
    struct rh_ev_peer *peers;
    struct rh_node_ref ref;
    char address[32];
    struct rh_buffer trace; /* one line an event */
    struct rh_buffer log;
    struct rh_logger logger;
    unsigned messages;
    uint64_t last_request;  /* of the last publish */
    bool in_order;          /* requests came as 1, 2, 3, ... */
    bool in_call;           /* we are inside a call into the module */
    struct node *send_back; /* answer every publish to that node */
    bool forget_the_dead;   /* give up all members from inside `dead` */
    bool slow;              /* the first message of a turn of the loop takes up all of it */
    unsigned turn;          /* of the last message, and what has come in it */
    unsigned turn_messages;
    unsigned turn_messages_most;
    enum reset { RESET_NONE, RESET_FROM, RESET_ALL } reset; /* from inside `message` */
};

static void note(struct node *node, const char *what, const struct rh_node_ref *ref)
{
    assert_false(node->in_call);
    assert_int_equal(
        rh_buffer_format(&node->trace, "%s %s %" PRIx64 "\n", what, ref->id, ref->instance), 0);
}

static const char *text_of(struct rh_buffer *buffer)
{
    *rh_buffer_reserve(buffer, 1) = '\0';
    return buffer->data == NULL ? "" : buffer->data + buffer->start;
}

static bool traced(struct node *node, const char *line)
{
    return strstr(text_of(&node->trace), line) != NULL;
}

static bool logged(struct node *node, const char *words)
{
    return strstr(text_of(&node->log), words) != NULL;
}

static struct rh_peer_message publish(uint64_t request, struct rh_bytes payload)
{
    return (struct rh_peer_message){
        .kind = RH_PEER_PUBLISH,
        .publish = {.request = request,
                    .key = rh_bytes_text("user:42"),
                    .id = rh_bytes_text("id"),
                    .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = payload},
                    .deadline_ms = 1000},
    };
}

static int send_publish(struct node *from, const struct node *to, uint64_t request)
{
    struct rh_peer_message message = publish(request, rh_bytes_text("hello"));
    from->in_call = true;
    int rv = rh_ev_peer_send(from->peers, &to->ref, &message);
    from->in_call = false;
    return rv;
}

static void count_in_turn(struct node *node)
{
    if (node->turn != ev_iteration(loop)) {
        node->turn = ev_iteration(loop);
        node->turn_messages = 0;
        while (node->slow && ev_time() - ev_now(loop) < 0.01) {
        }
    }
    node->turn_messages++;
    if (node->turn_messages > node->turn_messages_most) {
        node->turn_messages_most = node->turn_messages;
    }
}

static void on_message(void *context, const struct rh_node_ref *from,
                       const struct rh_peer_message *message)
{
    struct node *node = context;
    assert_false(node->in_call);
    assert_int_equal(message->kind, RH_PEER_PUBLISH);
    assert_true(rh_bytes_equal_text(message->publish.key, "user:42"));
    node->in_order = node->in_order && message->publish.request == node->last_request + 1;
    node->last_request = message->publish.request;
    node->messages++;
    count_in_turn(node);
    if (node->messages == 1) {
        note(node, "message", from);
    }
    if (node->reset == RESET_FROM) {
        rh_ev_peer_reset_from(node->peers, from);
    } else if (node->reset == RESET_ALL) {
        rh_ev_peer_reset(node->peers);
    }
    if (node->send_back != NULL) {
        assert_int_equal(send_publish(node, node->send_back, message->publish.request), 0);
    }
}

static void on_up(void *context, const struct rh_node_ref *ref)
{
    note(context, "up", ref);
}

static void on_down(void *context, const struct rh_node_ref *ref, const char *reason)
{
    struct node *node = context;
    note(node, "down", ref);
    assert_true(strlen(reason) > 0);
    assert_false(rh_ev_peer_is_up(node->peers, ref));
}

static void on_drained(void *context, const struct rh_node_ref *ref)
{
    note(context, "drained", ref);
}

static void on_dead(void *context, const struct rh_node_ref *ref, enum rh_ev_peer_death death,
                    const char *reason)
{
    struct node *node = context;
    note(node, death == RH_EV_PEER_REPLACED ? "replaced" : "dead", ref);
    assert_true(strlen(reason) > 0);
    if (node->forget_the_dead) {
        assert_int_equal(rh_ev_peer_set_members(node->peers, NULL, 0), 0);
    }
}

static void on_epoch(void *context, const struct rh_node_ref *ref, struct rh_epoch epoch)
{
    struct node *node = context;
    note(node, "epoch", ref);
    assert_int_equal(rh_buffer_format(&node->trace, "at %" PRIu64 ".%" PRId64 "\n",
                                      epoch.generation, epoch.pzxid),
                     0);
}

static const struct rh_ev_peer_handler handler = {
    .message = on_message,
    .up = on_up,
    .down = on_down,
    .drained = on_drained,
    .dead = on_dead,
    .epoch = on_epoch,
};

static void write_log(void *context, enum rh_log_level level RH_UNUSED, const char *line)
{
    assert_int_equal(rh_buffer_format(context, "%s\n", line), 0);
}

/* Quick enough for a test, slow enough for a busy machine. */
static const struct rh_ev_peer_options quick = {
    .cluster = "demo",
    .listen = "127.0.0.1:0",
    .ping_interval_ms = 50,
    .pong_timeout_ms = 5000,
    .hello_timeout_ms = 5000,
    .backoff_min_ms = 5,
    .backoff_max_ms = 40,
    .refused_span_ms = 150,
};

static void start_with(struct node *node, const char *id, uint64_t instance,
                       struct rh_ev_peer_options options)
{
    struct rh_reason reason = {0};
    *node = (struct node){.ref = {.instance = instance}, .in_order = true};
    strcpy(node->ref.id, id);
    node->logger =
        (struct rh_logger){.write = write_log, .context = &node->log, .level_max = RH_LOG_INFO};
    options.self = node->ref;
    options.handler = &handler;
    options.context = node;
    options.logger = &node->logger;
    int rv = rh_ev_peer_start(loop, &options, &node->peers, &reason);
    if (rv != 0) {
        fail_msg("%s", reason.text);
    }
    (void)snprintf(node->address, sizeof(node->address), "127.0.0.1:%u",
                   (unsigned)rh_ev_peer_port(node->peers));
}

static void start(struct node *node, const char *id, uint64_t instance)
{
    start_with(node, id, instance, quick);
}

/* The process is gone; what it noted can still be read. */
static void stop(struct node *node)
{
    rh_ev_peer_stop(node->peers);
    node->peers = NULL;
}

static void finish(struct node *node)
{
    stop(node);
    rh_buffer_finish(&node->trace);
    rh_buffer_finish(&node->log);
}

static void set_member_at(struct node *node, const struct node *member, const char *address)
{
    const struct rh_ev_peer_member members[] = {
        {.node = node->ref, .address = node->address},
        {.node = member->ref, .address = address},
    };
    node->in_call = true;
    assert_int_equal(rh_ev_peer_set_members(node->peers, members, 2), 0);
    node->in_call = false;
}

static void set_member(struct node *node, const struct node *member)
{
    set_member_at(node, member, member->address);
}

static void set_no_members(struct node *node)
{
    node->in_call = true;
    assert_int_equal(rh_ev_peer_set_members(node->peers, NULL, 0), 0);
    node->in_call = false;
}

static bool is_up(const struct node *node, const struct node *to)
{
    return rh_ev_peer_is_up(node->peers, &to->ref);
}

static struct rh_ev_peer_stats stats_of(const struct node *node)
{
    struct rh_ev_peer_stats stats;
    rh_ev_peer_stats(node->peers, &stats);
    return stats;
}

/* Two nodes with links to each other. */
static void start_pair(struct node *a, struct node *b)
{
    start(a, "n1", 0xa1);
    start(b, "n2", 0xb2);
    set_member(a, b);
    set_member(b, a);
    WAIT(is_up(a, b) && is_up(b, a));
}

/* Strangers: a socket that is in a test's hand. */

struct stranger {
    int fd;
    bool ended; /* the other side closed or reset */
    struct rh_peer_decoder *decoder;
};

static void stranger_init(struct stranger *stranger, int fd)
{
    *stranger = (struct stranger){.fd = fd};
    assert_int_equal(rh_peer_decoder_create(RH_PEER_FRAME_SIZE_MAX, &stranger->decoder), 0);
}

static void stranger_finish(struct stranger *stranger)
{
    (void)close(stranger->fd);
    rh_peer_decoder_destroy(stranger->decoder);
}

static void stranger_dial(struct stranger *stranger, const struct node *to)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                                  .sin_port = htons(rh_ev_peer_port(to->peers))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    stranger_init(stranger, fd);
}

/* Whether somebody has dialled |listener| and is now |stranger|. */
static bool stranger_accept(struct stranger *stranger, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    stranger_init(stranger, fd);
    return true;
}

static void stranger_send(struct stranger *stranger, struct rh_bytes bytes)
{
    assert_int_equal(send(stranger->fd, bytes.data, bytes.size, MSG_NOSIGNAL), bytes.size);
}

static void stranger_say(struct stranger *stranger, const struct rh_peer_message *message)
{
    struct rh_buffer frame = {0};
    assert_int_equal(rh_peer_encode(message, RH_PEER_FRAME_SIZE_MAX, &frame), 0);
    stranger_send(stranger, rh_buffer_content(&frame));
    rh_buffer_finish(&frame);
}

/* Whether a message has come; its slices are valid until the next call. */
static bool stranger_hears(struct stranger *stranger, struct rh_peer_message *message)
{
    char chunk[4096];
    if (rh_peer_decoder_next(stranger->decoder, message, NULL) == 0) {
        return true;
    }
    ssize_t size = recv(stranger->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (size > 0) {
        assert_int_equal(rh_peer_decoder_feed(stranger->decoder, chunk, (size_t)size), 0);
        return rh_peer_decoder_next(stranger->decoder, message, NULL) == 0;
    }
    stranger->ended = size == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
}

/* Whether the other side has closed; what it said before is passed over. */
static bool stranger_closed(struct stranger *stranger)
{
    struct rh_peer_message message;
    while (stranger_hears(stranger, &message)) {
    }
    return stranger->ended;
}

static struct rh_peer_message hello(const char *id, uint64_t instance, const struct node *to)
{
    struct rh_peer_message message = {
        .kind = RH_PEER_HELLO,
        .hello = {.version = RH_PEER_VERSION,
                  .cluster = rh_bytes_text("demo"),
                  .from = {.instance = instance}},
    };
    strcpy(message.hello.from.id, id);
    if (to != NULL) {
        message.hello.to = to->ref;
    }
    return message;
}

/* A listener of the test's own. */
static int listen_anywhere(char address[static 32])
{
    int fd = -1;
    uint16_t port = 0;
    assert_int_equal(rh_ev_listen("127.0.0.1:0", &fd, &port, NULL), 0);
    (void)snprintf(address, 32, "127.0.0.1:%u", (unsigned)port);
    return fd;
}

/* An address on which nobody listens. */
static void address_of_nobody(char address[static 32])
{
    (void)close(listen_anywhere(address));
}

/* |node| dials |listener| and believes the stranger to be |member|. */
static void answer_as(struct stranger *stranger, int listener, const struct node *node,
                      const struct node *member)
{
    struct rh_peer_message heard;
    WAIT(stranger_accept(stranger, listener));
    WAIT(stranger_hears(stranger, &heard));
    assert_int_equal(heard.kind, RH_PEER_HELLO);
    assert_true(rh_node_ref_equal(&heard.hello.from, &node->ref));
    assert_true(rh_node_ref_equal(&heard.hello.to, &member->ref));
    struct rh_peer_message answer = hello(member->ref.id, member->ref.instance, node);
    stranger_say(stranger, &answer);
    WAIT(is_up(node, member));
}

/* The conversation. */

static void messages_arrive_once_and_in_order(void **state RH_UNUSED)
{
    enum { COUNT = 2000 };
    struct node a;
    struct node b;
    start_pair(&a, &b);
    b.send_back = &a;
    for (uint64_t i = 1; i <= COUNT; i++) {
        assert_int_equal(send_publish(&a, &b, i), 0);
    }
    WAIT(a.messages == COUNT);
    assert_int_equal(b.messages, COUNT);
    assert_true(a.in_order && b.in_order);
    assert_string_equal(text_of(&a.trace), "up n2 b2\nmessage n2 b2\n");
    struct rh_ev_peer_stats stats = stats_of(&a);
    assert_int_equal(stats.messages_sent, COUNT);
    assert_int_equal(stats.messages_received, COUNT);
    assert_int_equal(stats.links_up, 1);
    assert_int_equal(stats.incoming, 1);
    assert_int_equal(stats.queued_bytes, 0);
    finish(&a);
    finish(&b);
}

static void a_message_larger_than_any_socket_buffer_arrives(void **state RH_UNUSED)
{
    enum { SIZE = 15 << 20 };
    struct node a;
    struct node b;
    struct rh_ev_peer_options options = quick;
    char *payload = calloc(1, SIZE);
    assert_non_null(payload);
    options.ping_interval_ms = 10 * BOUND_MS; /* nothing but the message itself moves it on */
    options.pong_timeout_ms = 10 * BOUND_MS;
    start_with(&a, "n1", 0xa1, options);
    start_with(&b, "n2", 0xb2, options);
    set_member(&a, &b);
    WAIT(is_up(&a, &b));
    struct rh_peer_message message = publish(1, rh_bytes(payload, SIZE));
    assert_int_equal(rh_ev_peer_send(a.peers, &b.ref, &message), 0);
    assert_int_equal(send_publish(&a, &b, 2), 0);
    WAIT(b.messages == 2);
    assert_true(b.in_order);

    message = publish(3, rh_bytes(payload, SIZE));
    message.publish.key = rh_bytes_text("");
    assert_int_equal(rh_ev_peer_send(a.peers, &b.ref, &message), RH_ERR_INVALID);
    free(payload);
    payload = calloc(1, RH_PEER_FRAME_SIZE_MAX);
    message = publish(3, rh_bytes(payload, RH_PEER_FRAME_SIZE_MAX));
    assert_int_equal(rh_ev_peer_send(a.peers, &b.ref, &message), RH_ERR_TOO_LARGE);
    assert_int_equal(send_publish(&a, &b, 3), 0);
    WAIT(b.messages == 3);
    free(payload);
    finish(&a);
    finish(&b);
}

static void send_many(struct node *from, const struct node *to, uint64_t count, size_t size)
{
    char *payload = calloc(1, size);
    assert_non_null(payload);
    for (uint64_t i = 1; i <= count; i++) {
        struct rh_peer_message message = publish(i, rh_bytes(payload, size));
        assert_int_equal(rh_ev_peer_send(from->peers, &to->ref, &message), 0);
    }
    free(payload);
}

static void who_asks_is_told_when_what_was_queued_is_written(void **state RH_UNUSED)
{
    enum { COUNT = 16, SIZE = 1 << 20 };
    struct node a;
    struct node b;
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    rh_ev_peer_tell_drained(a.peers, &b.ref); /* there is no link */
    set_member(&a, &b);
    WAIT(is_up(&a, &b));
    send_many(&a, &b, COUNT, SIZE);
    rh_ev_peer_tell_drained(a.peers, &b.ref);
    assert_false(traced(&a, "drained"));
    WAIT(traced(&a, "drained n2 b2"));
    assert_int_equal(stats_of(&a).queued_bytes, 0);
    WAIT(b.messages == COUNT);
    rh_buffer_clear(&a.trace);
    rh_ev_peer_tell_drained(a.peers,
                            &b.ref); /* nothing is queued: not from within the call either */
    assert_false(traced(&a, "drained"));
    WAIT(traced(&a, "drained n2 b2"));
    finish(&a);
    finish(&b);
}

/* Whoever else waits for this node has a turn in between, and so have other links. */
static void who_is_slow_takes_a_piece_of_each_link_in_a_turn(void **state RH_UNUSED)
{
    enum { COUNT = 200, SIZE = 4096, PIECE = 16384, LINKS = 2 };
    struct node a;
    struct node b;
    struct node c;
    start_pair(&a, &b);
    start(&c, "n3", 0xc3);
    set_member(&c, &b);
    WAIT(is_up(&c, &b));
    b.slow = true;
    send_many(&a, &b, COUNT, SIZE);
    send_many(&c, &b, COUNT, SIZE);
    WAIT(b.messages == LINKS * COUNT);
    assert_in_range(b.turn_messages_most, 1, LINKS * (PIECE / SIZE + 1));

    b.slow = false; /* order holds wherever the pieces were cut */
    b.in_order = true;
    b.last_request = 0;
    send_many(&a, &b, COUNT, SIZE + 1);
    WAIT(b.messages == LINKS * COUNT + COUNT);
    assert_true(b.in_order);
    finish(&a);
    finish(&b);
    finish(&c);
}

static void nothing_is_sent_to_whom_no_link_is_up(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    assert_int_equal(send_publish(&a, &b, 1), RH_ERR_UNREACHABLE);
    set_member(&a, &b);
    assert_int_equal(send_publish(&a, &b, 1), RH_ERR_UNREACHABLE);
    WAIT(is_up(&a, &b));
    struct node other = {.ref = b.ref};
    other.ref.instance++;
    assert_int_equal(send_publish(&a, &other, 1), RH_ERR_UNREACHABLE);
    assert_int_equal(send_publish(&a, &a, 1), RH_ERR_UNREACHABLE);
    assert_int_equal(send_publish(&a, &b, 1), 0);
    WAIT(b.messages == 1);
    finish(&a);
    finish(&b);
}

static void another_cluster_is_refused_and_said_so_on_both_sides(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct rh_ev_peer_options options = quick;
    options.cluster = "other";
    start(&a, "n1", 0xa1);
    start_with(&b, "n2", 0xb2, options);
    set_member(&a, &b);
    WAIT(logged(&a, "cluster other answers there") &&
         logged(&b, "this is cluster other, not demo"));
    WAIT(stats_of(&a).dials >= 3);
    assert_string_equal(text_of(&a.trace), "");
    assert_string_equal(text_of(&b.trace), "");
    finish(&a);
    finish(&b);
}

static void another_node_at_the_address_is_no_evidence_of_death(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct node c;
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    start(&c, "n3", 0xc3);
    set_member_at(&a, &b, c.address);
    WAIT(stats_of(&a).dials >= 3);
    assert_true(logged(&a, "node n3 answers there"));
    assert_true(logged(&c, "this is node n3, not n2"));
    assert_string_equal(text_of(&a.trace), "");
    finish(&a);
    finish(&b);
    finish(&c);
}

static void another_version_is_refused(void **state RH_UNUSED)
{
    struct node a;
    struct stranger stranger;
    struct rh_peer_message heard;
    start(&a, "n1", 0xa1);
    stranger_dial(&stranger, &a);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    greeting.hello.version = RH_PEER_VERSION + 1;
    stranger_say(&stranger, &greeting);
    WAIT(stranger_hears(&stranger, &heard));
    assert_int_equal(heard.kind, RH_PEER_HELLO);
    assert_true(rh_bytes_equal_text(heard.hello.refusal, "this node speaks version 1, not 2"));
    WAIT(stranger_closed(&stranger));
    assert_int_equal(stats_of(&a).hellos_refused, 1);
    stranger_finish(&stranger);
    finish(&a);
}

static void who_looks_for_another_instance_is_told_which_one_this_is(void **state RH_UNUSED)
{
    struct node a;
    struct stranger stranger;
    struct rh_peer_message heard;
    start(&a, "n1", 0xa1);
    stranger_dial(&stranger, &a);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    greeting.hello.to.instance = 0xa0;
    stranger_say(&stranger, &greeting);
    WAIT(stranger_hears(&stranger, &heard));
    assert_true(rh_node_ref_equal(&heard.hello.from, &a.ref));
    assert_true(rh_bytes_equal_text(
        heard.hello.refusal, "this is instance 00000000000000a1 of n1, not 00000000000000a0"));
    struct rh_peer_message message = publish(1, rh_bytes_text("x"));
    stranger_say(&stranger, &message); /* may cross the refusal: passed over */
    WAIT(stranger_closed(&stranger));
    assert_int_equal(stats_of(&a).frames_refused, 0);
    assert_int_equal(a.messages, 0);
    stranger_finish(&stranger);
    WAIT(stats_of(&a).incoming == 0);
    finish(&a);
}

/* Evidence. */

static void a_process_that_dies_goes_down_and_is_then_dead(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct rh_ev_peer_options options = quick;
    options.refused_span_ms = 10 * BOUND_MS; /* one refusal is enough after a loss */
    start_with(&a, "n1", 0xa1, options);
    start(&b, "n2", 0xb2);
    set_member(&a, &b);
    WAIT(is_up(&a, &b));
    stop(&b);
    WAIT(traced(&a, "dead"));
    assert_string_equal(text_of(&a.trace), "up n2 b2\ndown n2 b2\ndead n2 b2\n");
    finish(&a);
    finish(&b);
}

static void the_dead_may_be_given_up_from_inside_the_report(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    start_pair(&a, &b);
    a.forget_the_dead = true;
    stop(&b);
    WAIT(traced(&a, "dead"));
    WAIT(stats_of(&a).links == 0);
    uint64_t dials = stats_of(&a).dials;
    for (unsigned turns = 0; turns < 20; turns++) {
        ev_run(loop, EVRUN_ONCE);
    }
    assert_int_equal(stats_of(&a).dials, dials);
    assert_int_equal(stats_of(&a).dead_reported, 1);
    finish(&a);
    finish(&b);
}

static void a_restarted_process_proves_the_death_of_the_one_before(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct node again;
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    start(&again, "n2", 0xb3);
    set_member_at(&a, &b, again.address);
    WAIT(traced(&a, "replaced n2 b2"));
    assert_true(logged(&a, "instance 00000000000000b3 answers there"));
    assert_int_equal(stats_of(&a).links_lost, 0);
    set_member(&a, &again);
    WAIT(traced(&a, "up n2 b3"));
    finish(&a);
    finish(&b);
    finish(&again);
}

static void one_refusal_is_not_enough_for_a_link_that_was_never_up(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    address_of_nobody(b.address);
    start(&a, "n1", 0xa1);
    uint64_t started_ms = now_ms();
    set_member(&a, &b);
    WAIT(traced(&a, "dead"));
    assert_true(now_ms() - started_ms >= quick.refused_span_ms);
    assert_true(stats_of(&a).dials_failed >= 3);
    assert_string_equal(text_of(&a.trace), "dead n2 b2\n");
    WAIT(stats_of(&a).dead_reported >= 3); /* for as long as it is a member */
    assert_int_equal(stats_of(&a).links, 1);
    finish(&a);
    finish(&b);
}

static void whoever_answers_breaks_the_row_of_refusals(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    struct stranger stranger;
    int listener = -1;
    uint16_t port = 0;
    address_of_nobody(b.address);
    start(&a, "n1", 0xa1);
    set_member(&a, &b);
    WAIT(stats_of(&a).dials_failed >= 3);
    assert_int_equal(rh_ev_listen(b.address, &listener, &port, NULL), 0);
    WAIT(stranger_accept(&stranger, listener));
    (void)close(listener);
    uint64_t closed_ms = now_ms();
    stranger_finish(&stranger);
    WAIT(traced(&a, "dead"));
    assert_true(now_ms() - closed_ms >= quick.refused_span_ms);
    finish(&a);
    finish(&b);
}

static void an_address_that_cannot_be_reached_is_no_evidence(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    start(&a, "n1", 0xa1);
    set_member_at(&a, &b, "255.255.255.255:1"); /* no TCP to a broadcast address */
    uint64_t started_ms = now_ms();
    WAIT(stats_of(&a).dials_failed >= 5 && now_ms() - started_ms > 2 * quick.refused_span_ms);
    assert_string_equal(text_of(&a.trace), "");
    finish(&a);
    finish(&b);
}

static void silence_is_down_and_never_dead(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    struct rh_ev_peer_options options = quick;
    struct stranger first;
    struct stranger second;
    options.ping_interval_ms = 20;
    options.pong_timeout_ms = 100;
    options.hello_timeout_ms = 100;
    int listener = listen_anywhere(b.address);
    start_with(&a, "n1", 0xa1, options);
    set_member(&a, &b);
    answer_as(&first, listener, &a, &b);
    WAIT(traced(&a, "down"));
    assert_true(logged(&a, "no pong for 100 ms"));
    WAIT(stranger_accept(&second, listener));
    WAIT(logged(&a, "no hello in time"));
    assert_string_equal(text_of(&a.trace), "up n2 b2\ndown n2 b2\n");
    assert_int_equal(stats_of(&a).pong_timeouts, 1);
    stranger_finish(&first);
    stranger_finish(&second);
    (void)close(listener);
    finish(&a);
    finish(&b);
}

static void a_connection_that_breaks_and_comes_back_is_not_dead(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    struct stranger first;
    struct stranger second;
    int listener = listen_anywhere(b.address);
    start(&a, "n1", 0xa1);
    set_member(&a, &b);
    answer_as(&first, listener, &a, &b);
    stranger_finish(&first);
    answer_as(&second, listener, &a, &b);
    assert_string_equal(text_of(&a.trace), "up n2 b2\ndown n2 b2\nup n2 b2\n");
    stranger_finish(&second);
    (void)close(listener);
    finish(&a);
    finish(&b);
}

static void pongs_keep_a_link_up(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct rh_ev_peer_options options = quick;
    options.ping_interval_ms = 10;
    options.pong_timeout_ms = 1000;
    start_with(&a, "n1", 0xa1, options);
    start(&b, "n2", 0xb2);
    set_member(&a, &b);
    WAIT(is_up(&a, &b));
    uint64_t received = stats_of(&a).bytes_received;
    uint64_t started_ms = now_ms();
    WAIT(stats_of(&a).bytes_received > received + 500);
    WAIT(now_ms() > started_ms + 1500);
    assert_string_equal(text_of(&a.trace), "up n2 b2\n");
    finish(&a);
    finish(&b);
}

static void a_reset_closes_both_directions_and_forgets_what_is_queued(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    start_pair(&a, &b);
    assert_int_equal(send_publish(&a, &b, 1), 0);
    a.in_call = true;
    rh_ev_peer_reset(a.peers);
    a.in_call = false;
    assert_false(is_up(&a, &b));
    assert_int_equal(stats_of(&a).incoming, 0);
    WAIT(strcmp(text_of(&a.trace), "up n2 b2\ndown n2 b2\nup n2 b2\n") == 0);
    WAIT(strcmp(text_of(&b.trace), "up n1 a1\ndown n1 a1\nup n1 a1\n") == 0);
    assert_int_equal(send_publish(&a, &b, 2), 0);
    WAIT(b.messages == 1);
    assert_int_equal(b.last_request, 2);
    assert_int_equal(stats_of(&a).resets, 2);
    finish(&a);
    finish(&b);
}

static void nothing_is_heard_of_a_connection_that_is_reset(void **state RH_UNUSED)
{
    static const enum reset resets[] = {RESET_FROM, RESET_ALL};
    struct rh_peer_message first = publish(1, rh_bytes_text("x"));
    struct rh_peer_message second = publish(2, rh_bytes_text("x"));
    for (size_t i = 0; i < 2; i++) {
        struct node a;
        struct stranger stranger;
        struct stranger other;
        struct rh_buffer both = {0};
        start(&a, "n1", 0xa1);
        a.reset = resets[i];
        struct rh_peer_message greeting = hello("n9", 9, &a);
        struct rh_peer_message other_greeting = hello("n8", 8, &a);
        stranger_dial(&stranger, &a);
        stranger_say(&stranger, &greeting);
        stranger_dial(&other, &a);
        stranger_say(&other, &other_greeting);
        WAIT(stats_of(&a).incoming == 2);
        assert_int_equal(rh_peer_encode(&first, RH_PEER_FRAME_SIZE_MAX, &both), 0);
        assert_int_equal(rh_peer_encode(&second, RH_PEER_FRAME_SIZE_MAX, &both), 0);
        stranger_send(&stranger, rh_buffer_content(&both));
        WAIT(stranger_closed(&stranger));
        assert_int_equal(a.messages, 1);
        if (resets[i] == RESET_ALL) {
            WAIT(stranger_closed(&other));
        } else {
            assert_int_equal(stats_of(&a).incoming, 1);
        }
        rh_buffer_finish(&both);
        stranger_finish(&stranger);
        stranger_finish(&other);
        finish(&a);
    }
}

/* Members. */

static void a_member_that_stays_keeps_its_connection(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    start_pair(&a, &b);
    for (unsigned i = 0; i < 5; i++) {
        set_member(&a, &b);
        assert_true(is_up(&a, &b));
        ev_run(loop, EVRUN_ONCE);
    }
    assert_int_equal(stats_of(&a).dials, 1);
    assert_string_equal(text_of(&a.trace), "up n2 b2\n");
    finish(&a);
    finish(&b);
}

static void who_leaves_still_gets_what_was_queued(void **state RH_UNUSED)
{
    enum { COUNT = 1000 };
    struct node a;
    struct node b;
    start_pair(&a, &b);
    for (uint64_t i = 1; i <= COUNT; i++) {
        assert_int_equal(send_publish(&a, &b, i), 0);
    }
    set_no_members(&a);
    assert_int_equal(send_publish(&a, &b, 1), RH_ERR_UNREACHABLE);
    WAIT(b.messages == COUNT);
    assert_true(b.in_order);
    WAIT(stats_of(&b).incoming == 0);
    assert_string_equal(text_of(&a.trace), "up n2 b2\n");
    assert_true(is_up(&b, &a));
    finish(&a);
    finish(&b);
}

static void a_changed_address_is_dialled(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    char nobody[32];
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    address_of_nobody(nobody);
    set_member_at(&a, &b, nobody);
    WAIT(stats_of(&a).dials_failed >= 1);
    set_member(&a, &b);
    WAIT(is_up(&a, &b));
    assert_int_equal(stats_of(&a).links, 1);
    finish(&a);
    finish(&b);
}

static void names_and_both_families_of_addresses_work(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    char address[32];
    struct rh_ev_peer_options options = quick;
    start(&a, "n1", 0xa1);
    start(&b, "n2", 0xb2);
    (void)snprintf(address, sizeof(address), "localhost:%u", (unsigned)rh_ev_peer_port(b.peers));
    set_member_at(&a, &b, address);
    WAIT(is_up(&a, &b));
    finish(&b);

    int fd = -1;
    uint16_t port = 0;
    options.listen = "[::1]:0";
    if (rh_ev_listen(options.listen, &fd, &port, NULL) == 0) {
        (void)close(fd);
        start_with(&b, "n2", 0xb3, options);
        (void)snprintf(address, sizeof(address), "[::1]:%u", (unsigned)rh_ev_peer_port(b.peers));
        set_member_at(&a, &b, address);
        WAIT(is_up(&a, &b));
        finish(&b);
    }
    finish(&a);
}

static void a_node_that_cannot_listen_says_why(void **state RH_UNUSED)
{
    struct node a;
    struct rh_ev_peer *peers = NULL;
    struct rh_reason reason;
    struct rh_ev_peer_options options = quick;
    start(&a, "n1", 0xa1);
    options.self = a.ref;
    options.handler = &handler;
    options.listen = a.address;
    assert_int_equal(rh_ev_peer_start(loop, &options, &peers, &reason), RH_ERR_IO);
    assert_non_null(strstr(reason.text, "cannot listen: Address already in use"));
    options.listen = "127.0.0.1";
    assert_int_equal(rh_ev_peer_start(loop, &options, &peers, &reason), RH_ERR_INVALID);
    options.listen = quick.listen;
    options.pong_timeout_ms = options.ping_interval_ms - 1;
    assert_int_equal(rh_ev_peer_start(loop, &options, &peers, &reason), RH_ERR_INVALID);
    options.pong_timeout_ms = 0;
    options.cluster = "";
    assert_int_equal(rh_ev_peer_start(loop, &options, &peers, &reason), RH_ERR_INVALID);
    assert_null(peers);
    finish(&a);
}

/* Strangers. */

static void a_stream_that_comes_byte_by_byte_is_understood(void **state RH_UNUSED)
{
    struct node a;
    struct stranger stranger;
    struct rh_buffer frames = {0};
    start(&a, "n1", 0xa1);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    assert_int_equal(rh_peer_encode(&greeting, RH_PEER_FRAME_SIZE_MAX, &frames), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        struct rh_peer_message message = publish(i, rh_bytes_text("x"));
        assert_int_equal(rh_peer_encode(&message, RH_PEER_FRAME_SIZE_MAX, &frames), 0);
    }
    struct rh_bytes bytes = rh_buffer_content(&frames);
    stranger_dial(&stranger, &a);
    for (size_t i = 0; i < bytes.size; i++) {
        stranger_send(&stranger, rh_bytes(bytes.data + i, 1));
        WAIT(stats_of(&a).bytes_received == i + 1);
    }
    assert_int_equal(a.messages, 2);
    assert_true(a.in_order);
    assert_string_equal(text_of(&a.trace), "message n9 9\n");
    rh_buffer_finish(&frames);
    stranger_finish(&stranger);
    finish(&a);
}

/* |a| closes the stranger's connection with those words in the log, and its links stay. */
static void assert_thrown_out(struct stranger *stranger, struct node *a, const struct node *b,
                              const char *words)
{
    WAIT(stranger_closed(stranger));
    assert_true(logged(a, words));
    assert_true(is_up(a, b));
    assert_int_equal(stats_of(a).links_lost, 0);
    stranger_finish(stranger);
}

static void who_misbehaves_is_closed_and_nobody_else_notices(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct stranger stranger;
    start_pair(&a, &b);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    struct rh_peer_message message = publish(1, rh_bytes_text("x"));

    stranger_dial(&stranger, &a);
    stranger_say(&stranger, &greeting);
    stranger_send(&stranger, rh_bytes("\x01\x00\x00\x01", 4));
    assert_thrown_out(&stranger, &a, &b, "frame: announces 16777217 bytes, at most 16777216");

    stranger_dial(&stranger, &a);
    stranger_send(&stranger, rh_bytes_text("GET / HTTP/1.1\r\n\r\n"));
    assert_thrown_out(&stranger, &a, &b, "frame: announces");

    stranger_dial(&stranger, &a);
    stranger_send(&stranger, rh_bytes("\x00\x00\x00\x02\xff\xff", 6));
    assert_thrown_out(&stranger, &a, &b, "frame: not protobuf");

    stranger_dial(&stranger, &a);
    stranger_say(&stranger, &message);
    assert_thrown_out(&stranger, &a, &b, "sent a publish out of place");

    stranger_dial(&stranger, &a);
    stranger_say(&stranger, &greeting);
    stranger_say(&stranger, &greeting);
    assert_thrown_out(&stranger, &a, &b, "sent a hello out of place");

    struct rh_peer_message pong = {.kind = RH_PEER_PONG};
    stranger_dial(&stranger, &a);
    stranger_say(&stranger, &greeting);
    stranger_say(&stranger, &pong);
    assert_thrown_out(&stranger, &a, &b, "sent a pong out of place");

    struct rh_peer_message question = hello("n9", 9, NULL);
    stranger_dial(&stranger, &a);
    stranger_say(&stranger, &question);
    stranger_say(&stranger, &message);
    assert_thrown_out(&stranger, &a, &b, "sent a publish out of place");

    assert_int_equal(stats_of(&a).frames_refused, 7);
    assert_int_equal(a.messages, 0);
    WAIT(stats_of(&a).incoming == 1);
    finish(&a);
    finish(&b);
}

static void an_acceptor_may_say_nothing_but_hello_and_pong(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    struct stranger stranger;
    int listener = listen_anywhere(b.address);
    start(&a, "n1", 0xa1);
    set_member(&a, &b);
    answer_as(&stranger, listener, &a, &b);
    struct rh_peer_message message = publish(1, rh_bytes_text("x"));
    stranger_say(&stranger, &message);
    WAIT(stranger_closed(&stranger));
    assert_int_equal(a.messages, 0);
    assert_true(logged(&a, "sent a publish out of place"));
    assert_true(traced(&a, "up n2 b2\ndown n2 b2\n"));
    stranger_finish(&stranger);
    (void)close(listener);
    finish(&a);
    finish(&b);
}

static void who_says_nothing_is_closed_in_time(void **state RH_UNUSED)
{
    struct node a;
    struct stranger silent;
    struct stranger quiet;
    struct rh_ev_peer_options options = quick;
    options.ping_interval_ms = 10;
    options.pong_timeout_ms = 25;
    options.hello_timeout_ms = 300;
    start_with(&a, "n1", 0xa1, options);
    stranger_dial(&silent, &a);
    WAIT(stranger_closed(&silent));
    assert_true(logged(&a, "no hello in time"));
    stranger_dial(&quiet, &a);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    stranger_say(&quiet, &greeting);
    WAIT(stranger_closed(&quiet));
    assert_true(logged(&a, "silent for too long"));
    assert_int_equal(stats_of(&a).incoming_timed_out, 2);
    stranger_finish(&silent);
    stranger_finish(&quiet);
    finish(&a);
}

static void connections_above_the_limit_are_closed(void **state RH_UNUSED)
{
    struct node a;
    struct stranger strangers[4];
    struct rh_ev_peer_options options = quick;
    options.incoming_max = 2;
    start_with(&a, "n1", 0xa1, options);
    for (size_t i = 0; i < 4; i++) {
        stranger_dial(&strangers[i], &a);
    }
    WAIT(stranger_closed(&strangers[2]) && stranger_closed(&strangers[3]));
    assert_false(stranger_closed(&strangers[0]) || stranger_closed(&strangers[1]));
    assert_int_equal(stats_of(&a).incoming_refused, 2);
    stranger_finish(&strangers[0]);
    WAIT(stats_of(&a).incoming == 1);
    stranger_finish(&strangers[3]);
    stranger_dial(&strangers[3], &a);
    WAIT(stats_of(&a).incoming == 2);
    for (size_t i = 1; i < 4; i++) {
        stranger_finish(&strangers[i]);
    }
    finish(&a);
}

static void a_process_that_connects_again_gives_up_its_older_connection(void **state RH_UNUSED)
{
    struct node a;
    struct stranger older;
    struct stranger newer;
    struct stranger another;
    struct rh_peer_message heard;
    struct rh_ev_peer_options options = quick;
    options.pong_timeout_ms = 10 * BOUND_MS; /* silence closes none of them */
    start_with(&a, "n1", 0xa1, options);
    struct rh_peer_message greeting = hello("n9", 9, &a);
    struct rh_peer_message other_instance = hello("n9", 10, &a);
    stranger_dial(&older, &a);
    stranger_say(&older, &greeting);
    WAIT(stranger_hears(&older, &heard));
    stranger_dial(&another, &a);
    stranger_say(&another, &other_instance);
    WAIT(stranger_hears(&another, &heard));
    stranger_dial(&newer, &a);
    stranger_say(&newer, &greeting);
    WAIT(stranger_closed(&older));
    assert_false(stranger_closed(&newer) || stranger_closed(&another));
    assert_int_equal(stats_of(&a).incoming, 2);
    stranger_finish(&older);
    stranger_finish(&newer);
    stranger_finish(&another);
    finish(&a);
}

static void a_queue_that_nobody_reads_has_an_end(void **state RH_UNUSED)
{
    struct node a;
    struct node b = {.ref = {.id = "n2", .instance = 0xb2}};
    struct stranger stranger;
    struct rh_ev_peer_options options = quick;
    static char payload[64 << 10];
    int rv = 0;
    unsigned sent = 0;
    options.queue_size_max = 1 << 20;
    int listener = listen_anywhere(b.address);
    start_with(&a, "n1", 0xa1, options);
    set_member(&a, &b);
    answer_as(&stranger, listener, &a, &b);
    struct rh_peer_message message = publish(1, rh_bytes(payload, sizeof(payload)));
    while (rv == 0) {
        a.in_call = true;
        rv = rh_ev_peer_send(a.peers, &b.ref, &message);
        a.in_call = false;
        sent++;
        assert_true(sent < 10000);
        assert_true(stats_of(&a).queued_bytes <= options.queue_size_max);
        ev_run(loop, EVRUN_NOWAIT);
    }
    assert_int_equal(rv, RH_ERR_FULL);
    assert_int_equal(rh_ev_peer_send(a.peers, &b.ref, &message), RH_ERR_UNREACHABLE);
    WAIT(traced(&a, "down n2 b2"));
    assert_int_equal(stats_of(&a).queue_overflows, 1);
    assert_int_equal(stats_of(&a).queued_bytes, 0);
    (void)close(listener); /* refused from now on: no evidence, for it was us who closed */
    uint64_t failed = stats_of(&a).dials_failed;
    WAIT(stats_of(&a).dials_failed >= failed + 2);
    assert_false(traced(&a, "dead"));
    stranger_finish(&stranger);
    finish(&a);
    finish(&b);
}

/* Epochs. */

static void a_higher_epoch_is_reported_once_a_connection(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    start_pair(&a, &b);
    assert_int_equal(rh_ev_peer_epoch_of(a.peers, &b.ref).generation, 0);
    rh_ev_peer_set_epoch(b.peers, (struct rh_epoch){.generation = 1, .pzxid = 7});
    WAIT(traced(&a, "epoch n2 b2\nat 1.7\nepoch n2 b2\nat 1.7\n")); /* its pings, and pongs */
    uint64_t received = stats_of(&a).bytes_received;
    WAIT(stats_of(&a).bytes_received > received + 200); /* more pongs and pings with it */
    rh_ev_peer_set_epoch(a.peers, (struct rh_epoch){.generation = 1, .pzxid = 9});
    rh_ev_peer_set_epoch(b.peers, (struct rh_epoch){.generation = 1, .pzxid = 8}); /* below ours */
    WAIT(traced(&a, "epoch n2 b2\nat 1.8\nepoch n2 b2\nat 1.8\n"));
    WAIT(traced(&b, "epoch n1 a1\nat 1.9\nepoch n1 a1\nat 1.9\n"));
    assert_int_equal(rh_ev_peer_epoch_of(a.peers, &b.ref).pzxid, 8);
    assert_int_equal(rh_ev_peer_epoch_of(b.peers, &a.ref).pzxid, 9);
    assert_int_equal(rh_ev_peer_epoch_of(b.peers, &b.ref).pzxid, 0);

    struct rh_peer_message message = publish(1, rh_bytes_text("x"));
    message.epoch = (struct rh_epoch){.generation = 2, .pzxid = 1};
    assert_int_equal(rh_ev_peer_send(a.peers, &b.ref, &message), 0);
    WAIT(b.messages == 1);
    assert_true(traced(&b, "epoch n1 a1\nat 2.1\nmessage n1 a1\n"));
    finish(&a);
    finish(&b);
}

/* Probes. */

struct probe {
    unsigned calls;
    enum rh_ev_peer_probe_result result;
    uint64_t instance;
    struct rh_epoch epoch;
    char detail[RH_REASON_SIZE];
};

static void on_probed(void *context, enum rh_ev_peer_probe_result result, uint64_t instance,
                      struct rh_epoch epoch, const char *detail)
{
    struct probe *probe = context;
    probe->epoch = epoch;
    probe->calls++;
    probe->result = result;
    probe->instance = instance;
    (void)snprintf(probe->detail, sizeof(probe->detail), "%s", detail);
}

static struct probe probe(struct node *node, const char *address, const char *id)
{
    struct probe probe = {0};
    assert_int_equal(rh_ev_peer_probe(node->peers, address, id, on_probed, &probe), 0);
    assert_int_equal(probe.calls, 0);
    WAIT(probe.calls > 0);
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(probe.calls, 1);
    return probe;
}

static void a_probe_finds_out_who_is_at_an_address(void **state RH_UNUSED)
{
    struct node a;
    struct node b;
    struct node foreign;
    struct rh_ev_peer_options options = quick;
    char nobody[32];
    start_pair(&a, &b);
    options.cluster = "other";
    start_with(&foreign, "n2", 0xb2, options);
    address_of_nobody(nobody);

    struct probe found = probe(&a, b.address, "n2");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_ANSWERS);
    assert_true(found.instance == 0xb2);
    assert_int_equal(found.epoch.generation, 0);
    rh_ev_peer_set_epoch(b.peers, (struct rh_epoch){.generation = 1, .pzxid = 7});
    assert_int_equal(probe(&a, b.address, "n2").epoch.pzxid, 7);
    found = probe(&a, nobody, "n2");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_GONE);
    found = probe(&a, a.address, "n1");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_GONE);
    assert_string_equal(found.detail, "the address is our own now");
    found = probe(&a, b.address, "n3");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_UNKNOWN);
    assert_string_equal(found.detail, "node n2 answers there");
    found = probe(&a, foreign.address, "n2");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_UNKNOWN);
    assert_string_equal(found.detail, "cluster other answers there");
    assert_int_equal(rh_ev_peer_probe(a.peers, "nowhere", "n2", on_probed, NULL), RH_ERR_INVALID);
    assert_int_equal(rh_ev_peer_probe(a.peers, nobody, "", on_probed, NULL), RH_ERR_INVALID);

    assert_true(is_up(&a, &b) && is_up(&b, &a));
    assert_string_equal(text_of(&b.trace), "up n1 a1\n");
    finish(&a);
    finish(&b);
    finish(&foreign);
}

static void a_probe_that_nobody_answers_ends_in_time(void **state RH_UNUSED)
{
    struct node a;
    struct rh_ev_peer_options options = quick;
    char address[32];
    options.hello_timeout_ms = 50;
    int listener = listen_anywhere(address);
    start_with(&a, "n1", 0xa1, options);
    struct probe found = probe(&a, address, "n2");
    assert_int_equal(found.result, RH_EV_PEER_PROBE_UNKNOWN);
    assert_string_equal(found.detail, "no answer in time");

    struct probe forgotten = {0};
    assert_int_equal(rh_ev_peer_probe(a.peers, address, "n2", on_probed, &forgotten), 0);
    finish(&a);
    assert_int_equal(forgotten.calls, 0);
    (void)close(listener);
}

static void three_nodes_stop_in_the_middle_of_everything(void **state RH_UNUSED)
{
    struct node nodes[3];
    static const char *const ids[] = {"n1", "n2", "n3"};
    for (unsigned i = 0; i < 3; i++) {
        start(&nodes[i], ids[i], i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct rh_ev_peer_member members[3];
        for (unsigned j = 0; j < 3; j++) {
            members[j] =
                (struct rh_ev_peer_member){.node = nodes[j].ref, .address = nodes[j].address};
        }
        assert_int_equal(rh_ev_peer_set_members(nodes[i].peers, members, 3), 0);
    }
    WAIT(stats_of(&nodes[0]).links_up + stats_of(&nodes[1]).links_up +
             stats_of(&nodes[2]).links_up ==
         6);
    nodes[1].send_back = &nodes[2];
    nodes[2].send_back = &nodes[0];
    for (uint64_t i = 1; i <= 500; i++) {
        assert_int_equal(send_publish(&nodes[0], &nodes[1], i), 0);
    }
    WAIT(nodes[0].messages >= 100);
    nodes[2].send_back = NULL;
    finish(&nodes[0]);
    nodes[1].send_back = NULL;
    finish(&nodes[1]);
    WAIT(traced(&nodes[2], "dead n1 1") && traced(&nodes[2], "dead n2 2"));
    finish(&nodes[2]);
}

static void on_heartbeat(struct ev_loop *running RH_UNUSED, ev_timer *watcher RH_UNUSED,
                         int events RH_UNUSED)
{
}

/* A loop for each test: what a failed one leaves behind never runs again. */
static int create_loop(void **state RH_UNUSED)
{
    loop = ev_loop_new(0);
    ev_timer_init(&heartbeat, on_heartbeat, 0.005, 0.005);
    ev_timer_start(loop, &heartbeat);
    return loop == NULL ? -1 : 0;
}

static int destroy_loop(void **state RH_UNUSED)
{
    ev_loop_destroy(loop);
    return 0;
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, create_loop, destroy_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(messages_arrive_once_and_in_order),
        LOOP_TEST(a_message_larger_than_any_socket_buffer_arrives),
        LOOP_TEST(who_asks_is_told_when_what_was_queued_is_written),
        LOOP_TEST(who_is_slow_takes_a_piece_of_each_link_in_a_turn),
        LOOP_TEST(nothing_is_sent_to_whom_no_link_is_up),
        LOOP_TEST(another_cluster_is_refused_and_said_so_on_both_sides),
        LOOP_TEST(another_node_at_the_address_is_no_evidence_of_death),
        LOOP_TEST(another_version_is_refused),
        LOOP_TEST(who_looks_for_another_instance_is_told_which_one_this_is),
        LOOP_TEST(a_process_that_dies_goes_down_and_is_then_dead),
        LOOP_TEST(the_dead_may_be_given_up_from_inside_the_report),
        LOOP_TEST(a_restarted_process_proves_the_death_of_the_one_before),
        LOOP_TEST(one_refusal_is_not_enough_for_a_link_that_was_never_up),
        LOOP_TEST(whoever_answers_breaks_the_row_of_refusals),
        LOOP_TEST(an_address_that_cannot_be_reached_is_no_evidence),
        LOOP_TEST(silence_is_down_and_never_dead),
        LOOP_TEST(a_connection_that_breaks_and_comes_back_is_not_dead),
        LOOP_TEST(pongs_keep_a_link_up),
        LOOP_TEST(a_reset_closes_both_directions_and_forgets_what_is_queued),
        LOOP_TEST(nothing_is_heard_of_a_connection_that_is_reset),
        LOOP_TEST(a_member_that_stays_keeps_its_connection),
        LOOP_TEST(who_leaves_still_gets_what_was_queued),
        LOOP_TEST(a_changed_address_is_dialled),
        LOOP_TEST(names_and_both_families_of_addresses_work),
        LOOP_TEST(a_node_that_cannot_listen_says_why),
        LOOP_TEST(a_stream_that_comes_byte_by_byte_is_understood),
        LOOP_TEST(who_misbehaves_is_closed_and_nobody_else_notices),
        LOOP_TEST(an_acceptor_may_say_nothing_but_hello_and_pong),
        LOOP_TEST(who_says_nothing_is_closed_in_time),
        LOOP_TEST(connections_above_the_limit_are_closed),
        LOOP_TEST(a_process_that_connects_again_gives_up_its_older_connection),
        LOOP_TEST(a_queue_that_nobody_reads_has_an_end),
        LOOP_TEST(a_higher_epoch_is_reported_once_a_connection),
        LOOP_TEST(a_probe_finds_out_who_is_at_an_address),
        LOOP_TEST(a_probe_that_nobody_answers_ends_in_time),
        LOOP_TEST(three_nodes_stop_in_the_middle_of_everything),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
