/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole load, with its worker processes and sockets, against a node that keeps its promises but
 * for one: each kind of fault has to be found out, and none where there is none.
 */

#include "base/list.h"
#include "drill/load.h"
#include "router/ev_http_server.h"
#include "tests/test.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS      6U
#define MESSAGES     60U /* acknowledged before the end */
#define MESSAGES_MAX 20000U
#define FAULTY       20U /* the message with which something goes wrong */
#define PAYLOAD_SIZE 64U

enum fault {
    FAULT_NONE,
    FAULT_LEAVE_OUT,   /* one is acknowledged and then forgotten */
    FAULT_LATE,        /* one comes after the next one */
    FAULT_TWICE,       /* one comes twice */
    FAULT_TWO_NUMBERS, /* one gets two numbers */
    FAULT_CHANGED,     /* one arrives with another content */
    FAULT_GAP,         /* the log is gone, and that is told */
    FAULT_RESET,       /* a connection ends for no reason */
    FAULT_NO_ANSWER,   /* a publish is not answered, and not published twice when retried */
    FAULT_REFUSAL,     /* a publish is refused */
    FAULT_MOVED,       /* a client is moved, to the same node */
    FAULT_WORKER,      /* the workers of the load are killed */
};

struct stream {
    struct rh_list link;
    struct rh_http_connection *connection;
};

/* A node, and the load on it. */
struct world {
    struct ev_loop *loop;
    struct rh_http_server *server;
    struct rh_load *load;
    enum fault fault;
    bool dropped;  /* the answer to FAULTY */
    unsigned owed; /* seq of FAULTY, which the next one brings; 0: none */
    char incarnation;
    struct rh_list streams;
    unsigned last;                  /* seq */
    unsigned numbers[MESSAGES_MAX]; /* of the messages, by seq */
    uint64_t acknowledged;
    bool finished;
    struct rh_load_result result;
    struct rh_reason failed;
};

/* --- The node ----------------------------------------------------------------------------------- */

static void send_text(struct rh_http_connection *connection, const char *text)
{
    struct rh_shared *frame = rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_bytes_text(text));
    assert_non_null(frame);
    (void)!rh_http_connection_send(connection, frame); /* or it is closing */
    rh_shared_give(frame);
}

static void send_message(struct rh_http_connection *connection, unsigned seq, unsigned number)
{
    char payload[PAYLOAD_SIZE + 1];
    char text[256];
    memset(payload, 'x', PAYLOAD_SIZE);
    payload[PAYLOAD_SIZE] = '\0';
    int length = snprintf(text, sizeof(text), "0:%u ", number);
    memcpy(payload, text, (size_t)length);
    (void)snprintf(text, sizeof(text), "{\"type\":\"message\",\"seq\":%u,\"data\":\"%s\"}", seq,
                   payload);
    send_text(connection, text);
}

static void send_all(const struct world *world, unsigned seq, unsigned number)
{
    rh_list_each (&world->streams, link) {
        send_message(rh_container_of(link, struct stream, link)->connection, seq, number);
    }
}

/* One client is treated badly, as the fault says. */
static void trouble_one(struct world *world)
{
    struct rh_list *link = rh_list_first(&world->streams);
    char text[256];
    if (link == NULL) {
        return; /* the counts will tell */
    }
    struct rh_http_connection *connection = rh_container_of(link, struct stream, link)->connection;
    if (world->fault == FAULT_RESET) {
        rh_http_connection_abort(connection);
    } else if (world->fault == FAULT_MOVED) {
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"moved\",\"node\":\"n1\",\"seq\":%u,"
                       "\"url\":\"ws://127.0.0.1:%u/v1/channels/k0/ws?hops=1\"}",
                       world->last, (unsigned)rh_http_server_port(world->server));
        send_text(connection, text);
    }
}

static void deliver_wrongly(struct world *world, unsigned seq, unsigned number)
{
    switch (world->fault) {
    case FAULT_LEAVE_OUT:
        return;
    case FAULT_LATE:
        world->owed = seq;
        return;
    case FAULT_TWICE:
        send_all(world, seq, number);
        send_all(world, seq, number);
        return;
    case FAULT_TWO_NUMBERS:
        send_all(world, seq, number);
        world->last++;
        world->numbers[world->last] = number;
        send_all(world, world->last, number);
        return;
    case FAULT_CHANGED:
        world->numbers[seq] = number + 100000;
        send_all(world, seq, number + 100000);
        return;
    case FAULT_GAP: /* a new incarnation, which has only this message */
        world->incarnation = 'b';
        world->last = 1;
        world->numbers[1] = number;
        rh_http_server_close_streams(world->server, RH_WEBSOCKET_CODE_GOING_AWAY, "");
        return;
    case FAULT_RESET:
    case FAULT_MOVED:
        send_all(world, seq, number);
        trouble_one(world);
        return;
    case FAULT_NONE:
    case FAULT_NO_ANSWER:
    case FAULT_REFUSAL:
    case FAULT_WORKER:
        break;
    }
    send_all(world, seq, number);
}

static void bring_owed(struct world *world)
{
    if (world->owed != 0) {
        send_all(world, world->owed, FAULTY);
        world->owed = 0;
    }
}

static void publish(struct world *world, struct rh_http_connection *connection, unsigned number)
{
    unsigned seq = 0;
    for (unsigned i = 1; i <= world->last && seq == 0; i++) {
        seq = world->numbers[i] == number ? i : 0; /* a retry */
    }
    if (seq == 0) {
        seq = ++world->last;
        world->numbers[seq] = number;
        if (number == FAULTY) {
            deliver_wrongly(world, seq, number);
            seq = world->fault == FAULT_GAP ? 1 : seq;
        } else {
            send_all(world, seq, number);
            bring_owed(world);
        }
    }
    if (world->fault == FAULT_NO_ANSWER && number == FAULTY && !world->dropped) {
        world->dropped = true;
        rh_http_connection_abort(connection);
        return;
    }
    char body[128];
    (void)snprintf(body, sizeof(body), "{\"seq\":%u,\"incarnation\":\"%015d%c\"}", seq, 0,
                   world->incarnation);
    const struct rh_http_response response = {
        .status = 201, .content_type = "application/json", .body = rh_bytes_text(body)};
    rh_http_connection_respond(connection, &response);
}

/* Up to which seq the client has had all; the last one without a position. */
static unsigned position_of(const struct world *world, const struct rh_http_request *request,
                            bool *ret_recovered)
{
    char incarnation[17];
    unsigned seq = 0;
    char query[128];
    *ret_recovered = true;
    (void)snprintf(query, sizeof(query), "%.*s", RH_BYTES_ARG(request->query));
    const char *after = strstr(query, "after=");
    if (after == NULL || sscanf(after, "after=%16[0-9a-f]:%u", incarnation, &seq) != 2) {
        return world->last;
    }
    if (incarnation[15] != world->incarnation) {
        *ret_recovered = false;
        return 0;
    }
    return seq;
}

static void open_stream(struct world *world, struct rh_http_connection *connection,
                        const struct rh_http_request *request)
{
    char text[256];
    bool recovered = true;
    unsigned seq = position_of(world, request, &recovered);
    struct stream *stream = calloc(1, sizeof(*stream));
    assert_non_null(stream);
    stream->connection = connection;
    rh_list_push_back(&world->streams, &stream->link);
    rh_http_connection_set_data(connection, stream);
    rh_http_connection_accept_websocket(connection);
    if (world->fault == FAULT_LEAVE_OUT && seq < world->last && world->numbers[seq + 1] == FAULTY) {
        seq++; /* it claims that nothing is missing */
    }
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"welcome\",\"channel\":\"k0\",\"node\":\"n1\",\"epoch\":1,"
                   "\"incarnation\":\"%015d%c\",\"seq\":%u,\"recovered\":%s}",
                   0, world->incarnation, seq, recovered ? "true" : "false");
    send_text(connection, text);
    for (unsigned i = seq + 1; i <= world->last; i++) {
        send_message(connection, i, world->numbers[i]);
    }
}

static void on_request(void *context, struct rh_http_connection *connection,
                       const struct rh_http_request *request, const struct rh_handshake *handshake)
{
    struct world *world = context;
    uint64_t number = 0;
    if (handshake != NULL) {
        open_stream(world, connection, request);
        return;
    }
    struct rh_bytes id = rh_http_request_field(request, "Idempotency-Key");
    assert_int_equal(rh_bytes_to_u64(id, MESSAGES_MAX - 10, &number), 0);
    if (world->fault == FAULT_REFUSAL && number == FAULTY) {
        rh_http_connection_respond_problem(connection, RH_PROBLEM_BAD_PAYLOAD, NULL, NULL);
        return;
    }
    publish(world, connection, (unsigned)number);
}

static void on_message(void *context, struct rh_http_connection *connection,
                       enum rh_websocket_opcode opcode, struct rh_bytes payload)
{
    (void)context;
    (void)connection;
    (void)opcode;
    (void)payload;
}

static void on_closed(void *context, struct rh_http_connection *connection, uint16_t code)
{
    (void)context;
    (void)code;
    struct stream *stream = rh_http_connection_data(connection);
    if (stream != NULL) {
        rh_list_remove(&stream->link);
        free(stream);
    }
}

/* --- The load ----------------------------------------------------------------------------------- */

static void on_notice(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/* Kills the workers: the only children of this process. */
static void kill_workers(void)
{
    char path[64];
    int pid = 0;
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "r");
    assert_non_null(children);
    while (fscanf(children, "%d", &pid) == 1) {
        assert_int_equal(kill(pid, SIGKILL), 0);
    }
    (void)fclose(children);
    assert_int_not_equal(pid, 0);
}

static void on_ready(void *context)
{
    struct world *world = context;
    if (world->fault == FAULT_WORKER) {
        kill_workers();
    }
    rh_load_publish(world->load, true);
}

static void on_sample(void *context, const struct rh_load_sample *sample)
{
    struct world *world = context;
    world->acknowledged += sample->acknowledged;
    if (world->acknowledged >= MESSAGES && !world->finished) {
        world->finished = true;
        rh_load_finish(world->load);
    }
}

static void on_finished(void *context, const struct rh_load_result *result)
{
    struct world *world = context;
    world->result = *result;
    rh_load_stop(world->load);
    world->load = NULL;
    ev_break(world->loop, EVBREAK_ALL);
}

static void on_failed(void *context, const struct rh_reason *reason)
{
    struct world *world = context;
    world->failed = *reason;
    ev_break(world->loop, EVBREAK_ALL);
}

static const struct rh_load_callbacks callbacks = {
    .on_notice = on_notice,
    .on_ready = on_ready,
    .on_sample = on_sample,
    .on_finished = on_finished,
    .on_failed = on_failed,
};

static void start_server(struct world *world, char url[static 64])
{
    static const struct rh_http_handler handler = {
        .request = on_request, .message = on_message, .closed = on_closed};
    static const struct rh_http_server_options options = {
        .limits = {.head_bytes = 16384, .target_bytes = 8192, .fields = 64, .body_bytes = 65536},
        .connections_max = 1000,
        .head_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 60000,
        .send_queue_bytes = 1048576,
        .send_queue_low_bytes = 65536,
        .message_bytes = 65536,
        .close_timeout_ms = 2000,
        .name = "node",
    };
    struct rh_reason reason;
    assert_int_equal(rh_http_server_create(world->loop, &options, &handler, world, &world->server),
                     0);
    assert_int_equal(rh_http_server_listen(world->server, "127.0.0.1:0", &reason), 0);
    (void)snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)rh_http_server_port(world->server));
}

/* Runs a load to its end, or its failure. Free the world. */
static struct world *run(enum fault fault, bool disturbed)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct rh_load_settings settings = {.channels_count = 1,
                                              .connections_count = CLIENTS,
                                              .rate = 500,
                                              .payload_size = PAYLOAD_SIZE,
                                              .settle_ms = 20000,
                                              .key_prefix = "k"};
    struct rh_reason reason;
    char url[64];
    assert_non_null(world);
    world->loop = ev_loop_new(EVFLAG_AUTO);
    assert_non_null(world->loop);
    world->fault = fault;
    world->incarnation = 'a';
    memset(world->numbers, 0xff, sizeof(world->numbers));
    rh_list_init(&world->streams);
    start_server(world, url);
    assert_int_equal(
        rh_load_start(world->loop, &settings, &callbacks, world, &world->load, &reason), 0);
    assert_int_equal(rh_load_set_node(world->load, "n1", url,
                                      disturbed ? RH_LOAD_NODE_DISTURBED : RH_LOAD_NODE_UP,
                                      &reason),
                     0);
    ev_run(world->loop, 0);
    return world;
}

static void end(struct world *world)
{
    rh_load_stop(world->load);
    rh_http_server_destroy(world->server);
    rh_list_each_safe (&world->streams, link) {
        free(rh_container_of(link, struct stream, link));
    }
    ev_loop_destroy(world->loop);
    free(world);
}

/* What must be as it is here, whatever the fault. */
static void check_sums(const struct world *world)
{
    const struct rh_load_counts *counts = &world->result.counts;
    assert_string_equal(world->failed.text, "");
    assert_true(counts->acknowledged >= MESSAGES);
    assert_int_equal(counts->published, counts->acknowledged + counts->unknown + counts->refused);
    assert_int_equal(world->result.latency_us.count, counts->acknowledged);
    assert_int_equal(counts->not_connected, 0);
}

/* --- Sentences ---------------------------------------------------------------------------------- */

static void a_node_that_keeps_its_promises_has_a_clean_ledger(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_NONE, false);
    const struct rh_load_counts *counts = &world->result.counts;
    check_sums(world);
    const struct rh_load_counts clean = {
        .published = counts->published,
        .acknowledged = counts->published,
        .connects = CLIENTS,
        .delivered = CLIENTS * counts->published,
    };
    assert_memory_equal(counts, &clean, sizeof(clean));
    assert_true(world->result.settled);
    assert_int_equal(world->result.problems.count, 0);
    end(world);
}

static void a_message_that_was_forgotten_is_lost(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_LEAVE_OUT, false);
    check_sums(world);
    assert_int_equal(world->result.counts.lost, CLIENTS);
    assert_true(world->result.problems.count > 0);
    end(world);
}

static void a_message_that_comes_late_is_reordered(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_LATE, false);
    check_sums(world);
    assert_int_equal(world->result.counts.reordered, CLIENTS);
    assert_int_equal(world->result.counts.lost, 0);
    assert_int_equal(world->result.counts.resets_unexplained, CLIENTS); /* they go from there */
    end(world);
}

static void a_message_that_comes_twice_is_duplicated(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_TWICE, false);
    check_sums(world);
    assert_int_equal(world->result.counts.duplicated, CLIENTS);
    assert_int_equal(world->result.counts.lost, 0);
    end(world);
}

static void a_message_with_two_numbers_is_duplicated(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_TWO_NUMBERS, false);
    check_sums(world);
    assert_int_equal(world->result.counts.duplicated, 1);
    end(world);
}

static void a_message_with_another_content_contradicts(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_CHANGED, false);
    check_sums(world);
    assert_int_equal(world->result.counts.contradicted, CLIENTS);
    end(world);
}

static void a_gap_that_is_told_is_counted_as_such(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_GAP, true);
    check_sums(world);
    assert_int_equal(world->result.counts.gaps_told, CLIENTS);
    assert_int_equal(world->result.counts.lost, 0);
    assert_int_equal(world->result.counts.resets_explained, CLIENTS);
    assert_int_equal(world->result.counts.resets_unexplained, 0);
    assert_int_equal(world->result.gap_us.count, CLIENTS);
    end(world);
}

static void a_reset_without_a_reason_is_unexplained(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_RESET, false);
    check_sums(world);
    assert_int_equal(world->result.counts.resets_unexplained, 1);
    assert_int_equal(world->result.counts.disconnected_unaffected, 1);
    assert_int_equal(world->result.counts.connects, CLIENTS + 1);
    assert_int_equal(world->result.counts.lost, 0);
    end(world);
}

static void a_reset_of_a_node_that_was_disturbed_is_explained(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_RESET, true);
    check_sums(world);
    assert_int_equal(world->result.counts.resets_explained, 1);
    assert_int_equal(world->result.counts.resets_unexplained, 0);
    assert_int_equal(world->result.counts.disconnected_unaffected, 0);
    end(world);
}

static void a_publish_without_an_answer_is_tried_again_with_the_same_id(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_NO_ANSWER, false);
    check_sums(world);
    assert_int_equal(world->result.counts.retried, 1);
    assert_int_equal(world->result.counts.unknown, 0);
    assert_int_equal(world->result.counts.duplicated, 0);
    assert_true(world->dropped);
    end(world);
}

static void a_publish_that_is_refused_is_not_tried_again(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_REFUSAL, false);
    check_sums(world);
    assert_int_equal(world->result.counts.refused, 1);
    assert_int_equal(world->result.counts.retried, 0);
    assert_int_equal(world->result.counts.lost, 0);
    end(world);
}

static void who_is_moved_to_where_he_was_was_disconnected_without_need(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_MOVED, false);
    check_sums(world);
    assert_int_equal(world->result.counts.told_moved, 1);
    assert_int_equal(world->result.counts.moved, 0);
    assert_int_equal(world->result.counts.disconnected_unaffected, 1);
    assert_int_equal(world->result.counts.resets_unexplained, 0);
    assert_int_equal(world->result.gap_us.count, 1);
    assert_int_equal(world->result.counts.lost, 0);
    end(world);
}

static void a_worker_that_dies_ends_the_load_and_that_is_said(void **state RH_UNUSED)
{
    struct world *world = run(FAULT_WORKER, false);
    assert_non_null(strstr(world->failed.text, "worker 1 of the load"));
    assert_false(world->finished);
    end(world);
}

static void bad_settings_and_nodes_are_refused(void **state RH_UNUSED)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct rh_load_settings settings = {.channels_count = 0};
    struct rh_load *load = NULL;
    struct rh_reason reason = {""};
    assert_non_null(loop);
    assert_int_equal(rh_load_start(loop, &settings, &callbacks, NULL, &load, &reason),
                     RH_ERR_INVALID);
    assert_non_null(strstr(reason.text, "channels"));
    settings.channels_count = 1;
    assert_int_equal(rh_load_start(loop, &settings, &callbacks, NULL, &load, &reason), 0);
    static const char *const urls[] = {
        "127.0.0.1:7101",        "https://127.0.0.1:7101", "ws://",
        "ws://user@127.0.0.1:1", "ws://127.0.0.1:x",       "ws://127.0.0.1:99999"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        reason.text[0] = '\0';
        assert_int_equal(rh_load_set_node(load, "n1", urls[i], RH_LOAD_NODE_UP, &reason),
                         RH_ERR_INVALID);
        assert_string_not_equal(reason.text, "");
    }
    assert_int_equal(
        rh_load_set_node(load, "no name", "ws://127.0.0.1:1", RH_LOAD_NODE_UP, &reason),
        RH_ERR_INVALID);
    assert_int_equal(rh_load_nodes_count(load), 0);
    rh_load_stop(load);
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_node_that_keeps_its_promises_has_a_clean_ledger),
        RH_TEST(a_message_that_was_forgotten_is_lost),
        RH_TEST(a_message_that_comes_late_is_reordered),
        RH_TEST(a_message_that_comes_twice_is_duplicated),
        RH_TEST(a_message_with_two_numbers_is_duplicated),
        RH_TEST(a_message_with_another_content_contradicts),
        RH_TEST(a_gap_that_is_told_is_counted_as_such),
        RH_TEST(a_reset_without_a_reason_is_unexplained),
        RH_TEST(a_reset_of_a_node_that_was_disturbed_is_explained),
        RH_TEST(a_publish_without_an_answer_is_tried_again_with_the_same_id),
        RH_TEST(a_publish_that_is_refused_is_not_tried_again),
        RH_TEST(who_is_moved_to_where_he_was_was_disconnected_without_need),
        RH_TEST(a_worker_that_dies_ends_the_load_and_that_is_said),
        RH_TEST(bad_settings_and_nodes_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
