/* SPDX-License-Identifier: Apache-2.0 */
#include "router/handshake.h"

#include "tests/allocation.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 8

/* The example of RFC 6455, 1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* Judges a GET of HTTP/1.1 with these lines "name: value", up to the first NULL. */
struct row {
    enum rh_handshake_verdict verdict;
    const char *lines[FIELDS_MAX];
};

#define UPGRADE    "Upgrade: websocket"
#define CONNECTION "Connection: Upgrade"
#define VERSION    "Sec-WebSocket-Version: 13"
#define KEY_LINE   "Sec-WebSocket-Key: " KEY

static struct rh_http_request request_of(const char *const lines[FIELDS_MAX],
                                         struct rh_http_field fields[FIELDS_MAX])
{
    struct rh_http_request request = {.method = RH_HTTP_GET, .fields = fields};
    while (request.fields_count < FIELDS_MAX && lines[request.fields_count] != NULL) {
        const char *line = lines[request.fields_count];
        const char *colon = strchr(line, ':');
        fields[request.fields_count] = (struct rh_http_field){
            .name = rh_bytes(line, (size_t)(colon - line)), .value = rh_bytes_text(colon + 2)};
        request.fields_count++;
    }
    return request;
}

static void a_handshake_is_judged_by_its_headers(void **state RH_UNUSED)
{
    static const struct row rows[] = {
        {RH_HANDSHAKE_ACCEPT, {UPGRADE, CONNECTION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_ACCEPT, {KEY_LINE, VERSION, "CONNECTION: upgrade", "upgrade: WebSocket"}},
        {RH_HANDSHAKE_ACCEPT, {UPGRADE, "Connection: keep-alive, Upgrade", VERSION, KEY_LINE}},
        {RH_HANDSHAKE_ACCEPT, {UPGRADE, "Connection: close", CONNECTION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_ACCEPT, {"Upgrade: h2c ,\twebsocket", CONNECTION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_ACCEPT,
         {UPGRADE, CONNECTION, VERSION, KEY_LINE,
          "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}},
        {RH_HANDSHAKE_PLAIN, {NULL}},
        {RH_HANDSHAKE_PLAIN, {CONNECTION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_PLAIN, {"Upgrade: h2c", CONNECTION}},
        {RH_HANDSHAKE_PLAIN, {"Upgrade: websockets", CONNECTION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, "Connection: keep-alive", VERSION, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, "Connection: upgraded", VERSION, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, VERSION, VERSION, KEY_LINE}},
        {RH_HANDSHAKE_VERSION, {UPGRADE, CONNECTION, "Sec-WebSocket-Version: 8", KEY_LINE}},
        {RH_HANDSHAKE_VERSION, {UPGRADE, CONNECTION, "Sec-WebSocket-Version: 013", KEY_LINE}},
        {RH_HANDSHAKE_VERSION, {UPGRADE, CONNECTION, "Sec-WebSocket-Version: 13, 8", KEY_LINE}},
        {RH_HANDSHAKE_VERSION, {UPGRADE, CONNECTION, "Sec-WebSocket-Version: ", KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, VERSION}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, VERSION, KEY_LINE, KEY_LINE}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: "}},
        {RH_HANDSHAKE_BAD, {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: c2hvcnQ="}},
        {RH_HANDSHAKE_BAD,
         {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE="}},
        {RH_HANDSHAKE_BAD,
         {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A"}},
        {RH_HANDSHAKE_BAD,
         {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSB_b25jZQ=="}},
        {RH_HANDSHAKE_BAD,
         {UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x"}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_http_field fields[FIELDS_MAX];
        struct rh_http_request request = request_of(rows[i].lines, fields);
        struct rh_handshake handshake;
        struct rh_reason reason = {0};
        enum rh_handshake_verdict verdict = rh_handshake_judge(&request, &handshake, &reason);
        if (verdict != rows[i].verdict) {
            fail_msg("row %zu: verdict %d, expected %d", i, verdict, rows[i].verdict);
        }
        bool refused = verdict == RH_HANDSHAKE_BAD || verdict == RH_HANDSHAKE_VERSION;
        assert_int_equal(reason.text[0] != '\0', refused);
    }
}

static void only_a_get_of_http_1_1_is_upgraded(void **state RH_UNUSED)
{
    static const char *const lines[FIELDS_MAX] = {UPGRADE, CONNECTION, VERSION, KEY_LINE};
    struct rh_http_field fields[FIELDS_MAX];
    struct rh_http_request request = request_of(lines, fields);
    struct rh_handshake handshake;
    request.method = RH_HTTP_POST;
    assert_int_equal(rh_handshake_judge(&request, &handshake, NULL), RH_HANDSHAKE_BAD);
    request.method = RH_HTTP_GET;
    request.http_1_0 = true;
    assert_int_equal(rh_handshake_judge(&request, &handshake, NULL), RH_HANDSHAKE_PLAIN);
}

/* A valid handshake with up to two lines more. */
static struct rh_http_request upgrade_with(const char *first, const char *second,
                                           struct rh_http_field fields[FIELDS_MAX])
{
    const char *const lines[FIELDS_MAX] = {UPGRADE, CONNECTION, VERSION, KEY_LINE, first, second};
    return request_of(lines, fields);
}

static void our_subprotocol_is_chosen_wherever_it_is_offered(void **state RH_UNUSED)
{
    static const struct {
        const char *first;
        const char *second;
        enum rh_handshake_protocol protocol;
    } rows[] = {
        {"Sec-WebSocket-Protocol: ringhop.v1", NULL, RH_HANDSHAKE_PROTOCOL_JSON_V1},
        {"sec-websocket-protocol: chat,ringhop.v1 , x", NULL, RH_HANDSHAKE_PROTOCOL_JSON_V1},
        {"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: ringhop.v1",
         RH_HANDSHAKE_PROTOCOL_JSON_V1},
        {"Sec-WebSocket-Protocol: ringhop.v1.protobuf, ringhop.v1", NULL,
         RH_HANDSHAKE_PROTOCOL_JSON_V1},
        {"Sec-WebSocket-Protocol: ringhop.v1.protobuf", NULL, RH_HANDSHAKE_PROTOCOL_NONE},
        {"Sec-WebSocket-Protocol: RINGHOP.V1", NULL, RH_HANDSHAKE_PROTOCOL_NONE},
        {"Sec-WebSocket-Protocol: ", NULL, RH_HANDSHAKE_PROTOCOL_NONE},
        {NULL, NULL, RH_HANDSHAKE_PROTOCOL_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_http_field fields[FIELDS_MAX];
        struct rh_http_request request = upgrade_with(rows[i].first, rows[i].second, fields);
        struct rh_handshake handshake;
        assert_int_equal(rh_handshake_judge(&request, &handshake, NULL), RH_HANDSHAKE_ACCEPT);
        assert_int_equal(handshake.protocol, rows[i].protocol);
        assert_string_equal(handshake.key, KEY);
    }
}

static void an_offer_of_compression_is_taken_if_it_is_asked_for(void **state RH_UNUSED)
{
    static const struct {
        uint8_t bits_max;
        const char *first;
        const char *second;
        const char *answer; /* NULL: no such line */
    } rows[] = {
        {15, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", NULL,
         "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
         "client_no_context_takeover; client_max_window_bits=15\r\n\r\n"},
        {10, "Sec-WebSocket-Extensions: x", "sec-websocket-extensions: permessage-deflate",
         "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
         "client_no_context_takeover\r\n\r\n"},
        {15, "Sec-WebSocket-Extensions: permessage-deflate; wrong", NULL, NULL},
        {15, "Sec-WebSocket-Protocol: permessage-deflate", NULL, NULL},
        {15, NULL, NULL, NULL},
        {0, "Sec-WebSocket-Extensions: permessage-deflate", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_http_field fields[FIELDS_MAX];
        struct rh_http_request request = upgrade_with(rows[i].first, rows[i].second, fields);
        struct rh_handshake handshake;
        struct rh_buffer output = {0};
        assert_int_equal(rh_handshake_judge(&request, &handshake, NULL), RH_HANDSHAKE_ACCEPT);
        rh_handshake_negotiate(&request, rows[i].bits_max, &handshake);
        assert_int_equal(handshake.deflate.server_bits, rows[i].answer ? rows[i].bits_max : 0);
        assert_int_equal(rh_handshake_answer(&handshake, &output), 0);
        char *head = rh_buffer_take_text(&output);
        const char *line = strstr(head, "Sec-WebSocket-Extensions");
        assert_int_equal(line != NULL, rows[i].answer != NULL);
        assert_true(line == NULL || strcmp(line, rows[i].answer) == 0);
        free(head);
        rh_buffer_finish(&output);
    }
}

static void the_answer_proves_that_the_key_was_read(void **state RH_UNUSED)
{
    char accept[RH_HANDSHAKE_ACCEPT_SIZE];
    struct rh_handshake handshake = {.protocol = RH_HANDSHAKE_PROTOCOL_NONE, .key = KEY};
    struct rh_buffer output = {0};
    assert_int_equal(rh_handshake_accept(KEY, accept), 0);
    assert_string_equal(accept, ACCEPT);
    assert_int_equal(rh_handshake_answer(&handshake, &output), 0);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&output),
                                    "HTTP/1.1 101 Switching Protocols\r\n"
                                    "Upgrade: websocket\r\n"
                                    "Connection: Upgrade\r\n"
                                    "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                    "\r\n"));
    rh_buffer_clear(&output);
    handshake.protocol = RH_HANDSHAKE_PROTOCOL_JSON_V1;
    assert_int_equal(rh_handshake_answer(&handshake, &output), 0);
    assert_true(rh_bytes_equal_text(rh_buffer_content(&output),
                                    "HTTP/1.1 101 Switching Protocols\r\n"
                                    "Upgrade: websocket\r\n"
                                    "Connection: Upgrade\r\n"
                                    "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                    "Sec-WebSocket-Protocol: ringhop.v1\r\n"
                                    "\r\n"));
    rh_buffer_finish(&output);
    rh_test_allocation_fail(1);
    assert_int_equal(rh_handshake_answer(&handshake, &output), RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    assert_int_equal(rh_buffer_size(&output), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_handshake_is_judged_by_its_headers),
        RH_TEST(only_a_get_of_http_1_1_is_upgraded),
        RH_TEST(our_subprotocol_is_chosen_wherever_it_is_offered),
        RH_TEST(an_offer_of_compression_is_taken_if_it_is_asked_for),
        RH_TEST(the_answer_proves_that_the_key_was_read),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
