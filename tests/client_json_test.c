/* SPDX-License-Identifier: Apache-2.0 */
#include "router/base64.h"
#include "router/client_json.h"
#include "router/websocket.h"

#include "tests/allocation.h"
#include "tests/random.h"
#include "tests/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 20

static void assert_bytes(struct rh_bytes bytes, const char *expected)
{
    if (!rh_bytes_equal_text(bytes, expected)) {
        fail_msg("<%.*s>, expected <%s>", RH_BYTES_ARG(bytes), expected);
    }
}

/* ---- base64 ---- */

static void base64_is_written_as_rfc_4648_shows(void **state RH_UNUSED)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16];
        size_t size = 99;
        assert_int_equal(rh_base64_size(strlen(rows[i][0])), strlen(rows[i][1]));
        char *end = rh_base64_write(out, rh_bytes_text(rows[i][0]));
        assert_bytes(rh_bytes(out, (size_t)(end - out)), rows[i][1]);
        assert_int_equal(rh_base64_decode(rh_bytes_text(rows[i][1]), out, &size), 0);
        assert_bytes(rh_bytes(out, size), rows[i][0]);
    }
    static const char *const bad[] = {
        "Z",     "Zg",       "Zg=",  "Z===",     "====", "Zg==Zg==", "Zm9v\n",
        " Zm9v", "Zm9v    ", "Zm_v", "Zm9v====", "Zm=v", "=m9v",     "Zm9vYmF"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char out[16];
        size_t size = 99;
        assert_int_equal(rh_base64_decode(rh_bytes_text(bad[i]), out, &size), RH_ERR_INVALID);
        assert_int_equal(size, 99);
    }
}

static void long_base64_is_read_back_as_it_was_written(void **state RH_UNUSED)
{
    size_t size = 3 * (1 << 20) + 12345; /* more than one piece */
    char *bytes = malloc(size);
    char *text = malloc(rh_base64_size(size) + 1);
    char *back = malloc(rh_base64_size(size) / 4 * 3);
    size_t back_size = 0;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 2654435761U >> 13);
    }
    assert_ptr_equal(rh_base64_write(text, rh_bytes(bytes, size)), text + rh_base64_size(size));
    assert_int_equal(rh_base64_decode(rh_bytes(text, rh_base64_size(size)), back, &back_size), 0);
    assert_int_equal(back_size, size);
    assert_memory_equal(back, bytes, size);
    free(bytes);
    free(text);
    free(back);
}

/* ---- Client to server ---- */

#define UNKNOWN_TYPE \
    "unknown type: send publish, ping, state_get, state_put, state_delete or presence_get"

static const struct rh_client_limits limits = {.message_bytes = MESSAGE_BYTES, .state_bytes = 24};
static const struct rh_client_limits limits_of_1000 = {.message_bytes = 1000};
static const struct rh_client_limits limits_of_1000000 = {.message_bytes = 1000000};

static void requests_are_decoded(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        enum rh_client_request_type type;
        const char *id;
        enum rh_payload_kind kind;
        const char *payload;
    } rows[] = {
        {"{\"type\":\"ping\"}", RH_CLIENT_PING, "", 0, ""},
        {" {\"x\":[1,{}],\"type\":\"p\\u0069ng\",\"data\":5} ", RH_CLIENT_PING, "", 0, ""},
        {"{\"type\":\"publish\",\"data\":\"hi\"}", RH_CLIENT_PUBLISH, "", RH_PAYLOAD_TEXT, "hi"},
        {"{\"data\":\"\",\"id\":\"a\",\"type\":\"publish\"}", RH_CLIENT_PUBLISH, "a",
         RH_PAYLOAD_TEXT, ""},
        {"{\"type\":\"publish\",\"id\":\"\\u0061-\\\"\",\"data\":\"\\u20ac\\n\xe2\x82\xac\"}",
         RH_CLIENT_PUBLISH, "a-\"", RH_PAYLOAD_TEXT, "\xe2\x82\xac\n\xe2\x82\xac"},
        {"{\"type\":\"publish\",\"json\": {\"a\" : [1, 2]} }", RH_CLIENT_PUBLISH, "",
         RH_PAYLOAD_JSON, "{\"a\" : [1, 2]}"},
        {"{\"type\":\"publish\",\"json\":null}", RH_CLIENT_PUBLISH, "", RH_PAYLOAD_JSON, "null"},
        {"{\"type\":\"publish\",\"json\":\"\\u0041\"}", RH_CLIENT_PUBLISH, "", RH_PAYLOAD_JSON,
         "\"\\u0041\""},
        {"{\"type\":\"publish\",\"base64\":\"Zm9vYg==\",\"id\":\"0\"}", RH_CLIENT_PUBLISH, "0",
         RH_PAYLOAD_BINARY, "foob"},
        {"{\"type\":\"publish\",\"base64\":\"\",\"id\":\"\\u0030\"}", RH_CLIENT_PUBLISH, "0",
         RH_PAYLOAD_BINARY, ""},
        {"{\"\\u0069d\":\"\\u0030\",\"type\":\"publish\",\"base64\":\"Pz8\\/Pz8\\/Pz8\\/Pz8\\/\"}",
         RH_CLIENT_PUBLISH, "0", RH_PAYLOAD_BINARY, "????????????"},
        {"{\"type\":\"publish\",\"data\":\"exactly twenty bytes\"}", RH_CLIENT_PUBLISH, "",
         RH_PAYLOAD_TEXT, "exactly twenty bytes"},
    };
    struct rh_buffer scratch = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_client_request request;
        struct rh_client_error error;
        assert_int_equal(
            rh_client_json_decode(rh_bytes_text(rows[i].text), &limits, &scratch, &request, &error),
            0);
        assert_int_equal(request.type, rows[i].type);
        assert_bytes(request.id, rows[i].id);
        assert_int_equal(request.payload.kind, rows[i].kind);
        assert_bytes(request.payload.bytes, rows[i].payload);
    }
    rh_buffer_finish(&scratch);
}

#define STATE(what) "{\"type\":\"state_" what "\""

static void requests_for_the_state_are_decoded(void **state RH_UNUSED)
{
    static const struct {
        const char *text;
        enum rh_client_request_type type;
        const char *id;
        enum rh_client_condition condition;
        uint64_t version;
        const char *content_type;
        const char *payload;
    } rows[] = {
        {STATE("get") "}", RH_CLIENT_STATE_GET, "", RH_CLIENT_ANY, 0, "", ""},
        {"{\"type\":\"presence_get\",\"id\":\"a\"}", RH_CLIENT_PRESENCE_GET, "a", RH_CLIENT_ANY, 0,
         "", ""},
        {STATE("get") ",\"id\":\"a\",\"if_version\":{}}", RH_CLIENT_STATE_GET, "a", RH_CLIENT_ANY,
         0, "", ""},
        {STATE("put") ",\"data\":\"exactly twenty-four byte\"}", RH_CLIENT_STATE_PUT, "",
         RH_CLIENT_ANY, 0, "text/plain; charset=utf-8", "exactly twenty-four byte"},
        {STATE("put") ",\"json\":{\"a\":1},\"if_version\":7}", RH_CLIENT_STATE_PUT, "",
         RH_CLIENT_VERSION, 7, "application/json", "{\"a\":1}"},
        {STATE("put") ",\"base64\":\"Zm8=\",\"if_version\":null}", RH_CLIENT_STATE_PUT, "",
         RH_CLIENT_ABSENT, 0, "", "fo"},
        {STATE("put") ",\"data\":\"{}\",\"content_type\":\"application\\/x\",\"if_version\":\"*\"}",
         RH_CLIENT_STATE_PUT, "", RH_CLIENT_PRESENT, 0, "application/x", "{}"},
        {STATE("delete") ",\"id\":\"b\",\"if_version\":0}", RH_CLIENT_STATE_DELETE, "b",
         RH_CLIENT_VERSION, 0, "", ""},
        {STATE("delete") ",\"if_version\":\"*\"}", RH_CLIENT_STATE_DELETE, "", RH_CLIENT_PRESENT, 0,
         "", ""},
    };
    struct rh_buffer scratch = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_client_request request;
        struct rh_client_error error;
        assert_int_equal(
            rh_client_json_decode(rh_bytes_text(rows[i].text), &limits, &scratch, &request, &error),
            0);
        assert_int_equal(request.type, rows[i].type);
        assert_bytes(request.id, rows[i].id);
        assert_int_equal(request.condition, rows[i].condition);
        assert_int_equal(request.if_version, rows[i].version);
        assert_bytes(request.content_type, rows[i].content_type);
        assert_bytes(request.payload.bytes, rows[i].payload);
    }
    rh_buffer_finish(&scratch);
}

static void a_document_is_shown_as_what_it_says_it_is_if_it_is(void **state RH_UNUSED)
{
    static const struct {
        const char *type;
        const char *state;
        const char *expected;
    } rows[] = {
        {"application/json", " {\"a\":1} ", "\"application/json\",\"json\":{\"a\":1}}"},
        {"application/json; x=y", "{", "\"application/json; x=y\",\"data\":\"{\"}"},
        {"application/json", "\xff", "\"application/json\",\"base64\":\"/w==\"}"},
        {"text/html", "<p>", "\"text/html\",\"data\":\"<p>\"}"},
        {"text/plain", "\xff", "\"text/plain\",\"base64\":\"/w==\"}"},
        {"image/png", "png", "\"image/png\",\"data\":\"png\"}"},
        {"image/png", "\xff", "\"image/png\",\"base64\":\"/w==\"}"},
        {"application/octet-stream", "abc", "\"application/octet-stream\",\"base64\":\"YWJj\"}"},
        {"", "abc", "\"application/octet-stream\",\"base64\":\"YWJj\"}"},
        {"", "", "\"application/octet-stream\",\"base64\":\"\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_buffer out = {0};
        const struct rh_client_document document = {
            .version = 7,
            .exists = true,
            .content_type = rh_bytes_text(rows[i].type),
            .state = rh_bytes_text(rows[i].state),
        };
        assert_int_equal(rh_client_json_document(&out, &document), 0);
        static const char opening[] =
            "{\"type\":\"state\",\"version\":7,\"exists\":true,\"content_type\":";
        struct rh_bytes text = rh_buffer_content(&out);
        assert_true(text.size > strlen(opening));
        assert_bytes(rh_bytes(text.data, strlen(opening)), opening);
        assert_bytes(rh_bytes(text.data + strlen(opening), text.size - strlen(opening)),
                     rows[i].expected);
        rh_buffer_finish(&out);
    }
}

static void who_is_there_is_shown_whole_or_as_what_is_new(void **state RH_UNUSED)
{
    const struct rh_peer_present items[] = {
        {.client = rh_bytes_text("a\""), .meta = rh_bytes_text("{\"n\":1}"), .connections = 2},
        {.client = rh_bytes_text("b")},
    };
    const struct rh_client_presence whole = {
        .id = rh_bytes_text("p"), .is_whole = true, .joined = {.items = items, .count = 2}};
    const struct rh_client_presence news = {.left = {.items = items + 1, .count = 1},
                                            .changed = {.items = items, .count = 1}};
    struct rh_buffer out = {0};
    assert_int_equal(rh_client_json_presence(&out, &whole), 0);
    assert_int_equal(rh_client_json_presence(&out, &news), 0);
    assert_int_equal(rh_client_json_presence_body(&out, rh_bytes_text("k"), "n1", 0, news.joined),
                     0);
    assert_bytes(rh_buffer_content(&out),
                 "{\"type\":\"presence\",\"id\":\"p\",\"clients\":["
                 "{\"client\":\"a\\\"\",\"meta\":{\"n\":1},\"connections\":2},"
                 "{\"client\":\"b\",\"connections\":0}]}"
                 "{\"type\":\"presence\",\"left\":[{\"client\":\"b\"}],\"joined\":[],"
                 "\"changed\":[{\"client\":\"a\\\"\",\"meta\":{\"n\":1}}]}"
                 "{\"channel\":\"k\",\"node\":\"n1\",\"incarnation\":null,\"clients\":[]}");
    rh_buffer_finish(&out);
}

static void answers_about_the_state_name_what_they_answer(void **state RH_UNUSED)
{
    struct rh_buffer out = {0};
    const struct rh_client_document none = {.version = 9, .id = rh_bytes_text("a")};
    assert_int_equal(rh_client_json_document(&out, &none), 0);
    assert_int_equal(rh_client_json_state_ack(&out, rh_bytes_text("b"), 3), 0);
    assert_int_equal(rh_client_json_state_ack(&out, rh_bytes(NULL, 0), 4), 0);
    assert_int_equal(rh_client_json_conflict(&out, "c", "t", rh_bytes_text("d"), 5), 0);
    assert_int_equal(rh_client_json_conflict(&out, "c", "t", rh_bytes(NULL, 0), 0), 0);
    assert_bytes(rh_buffer_content(&out),
                 "{\"type\":\"state\",\"id\":\"a\",\"version\":9,\"exists\":false}"
                 "{\"type\":\"ack\",\"id\":\"b\",\"version\":3}"
                 "{\"type\":\"ack\",\"version\":4}"
                 "{\"type\":\"error\",\"code\":\"c\",\"message\":\"t\",\"id\":\"d\",\"version\":5}"
                 "{\"type\":\"error\",\"code\":\"c\",\"message\":\"t\",\"version\":null}");
    rh_buffer_finish(&out);
}

static void what_is_wrong_gets_a_code_a_sentence_and_the_id(void **state RH_UNUSED)
{
#define PUBLISH "{\"type\":\"publish\","
    static const struct {
        const char *text;
        const char *code;
        const char *reason;
        const char *id;
    } rows[] = {
        {"", "bad_message", "not JSON: empty", ""},
        {"hello", "bad_message", "not JSON at byte 0: value expected", ""},
        {"[]", "bad_message", "a message is a JSON object", ""},
        {"{}", "bad_message", "a message has a type, which is a string", ""},
        {"{\"type\":1}", "bad_message", "a message has a type, which is a string", ""},
        {"{\"type\":\"subscribe\",\"id\":\"a\"}", "bad_message", UNKNOWN_TYPE, ""},
        {"{\"type\":\"Ping\"}", "bad_message", UNKNOWN_TYPE, ""},
        {"{\"type\":\"ping\",\"type\":\"ping\"}", "bad_message", "type occurs twice", ""},
        {PUBLISH "\"data\":\"a\",\"dat\\u0061\":\"b\"}", "bad_message", "data occurs twice", ""},
        {PUBLISH "\"id\":5,\"data\":\"\"}", "bad_message_id", "id must be a string", ""},
        {PUBLISH "\"id\":\"\",\"data\":\"\"}", "bad_message_id",
         "id must be 1 to 128 characters of printable ASCII", ""},
        {PUBLISH "\"id\":\"\\n\",\"data\":\"\"}", "bad_message_id",
         "id must be 1 to 128 characters of printable ASCII", ""},
        {PUBLISH "\"id\":\"\xc3\xa9\",\"data\":\"\"}", "bad_message_id",
         "id must be 1 to 128 characters of printable ASCII", ""},
        {PUBLISH "\"id\":\"a\"}", "bad_payload",
         "a publish has exactly one of json, data and base64", "a"},
        {PUBLISH "\"json\":null,\"data\":\"\",\"id\":\"a\"}", "bad_payload",
         "a publish has exactly one of json, data and base64", "a"},
        {PUBLISH "\"data\":null}", "bad_payload", "data and base64 must be strings", ""},
        {PUBLISH "\"base64\":1}", "bad_payload", "data and base64 must be strings", ""},
        {PUBLISH "\"base64\":\"Zg\",\"id\":\"b\"}", "bad_payload", "base64 is not valid base64",
         "b"},
        {PUBLISH "\"data\":\"one byte over twenty.\",\"id\":\"c\"}", "too_large",
         "the payload is larger than 20 bytes", "c"},
        {PUBLISH "\"json\":[1,2,3,4,5,6,7,8,9,0]}", "too_large",
         "the payload is larger than 20 bytes", ""},
        {PUBLISH "\"base64\":\"b25lIGJ5dGUgb3ZlciB0d2VudHku\"}", "too_large",
         "the payload is larger than 20 bytes", ""},
        {STATE("get") ",\"id\":7}", "bad_message_id", "id must be a string", ""},
        {STATE("put") ",\"id\":\"a\"}", "bad_payload",
         "a state has exactly one of json, data and base64", "a"},
        {STATE("put") ",\"data\":\"one byte over twenty-four\"}", "too_large",
         "the payload is larger than 24 bytes", ""},
        {STATE("put") ",\"id\":\"a\",\"data\":\"\",\"if_version\":-1}", "bad_condition",
         "if_version is a version, \"*\", or null", "a"},
        {STATE("put") ",\"data\":\"\",\"if_version\":1.0}", "bad_condition",
         "if_version is a version, \"*\", or null", ""},
        {STATE("put") ",\"data\":\"\",\"if_version\":\"1\"}", "bad_condition",
         "if_version is a version, \"*\", or null", ""},
        {STATE("delete") ",\"if_version\":null}", "bad_condition",
         "if_version of a delete is a version or \"*\"", ""},
        {STATE("put") ",\"data\":\"\",\"content_type\":1}", "bad_content_type",
         "content_type must be a string", ""},
        {STATE("put") ",\"id\":\"b\",\"data\":\"\",\"content_type\":\"a\\n\"}", "bad_content_type",
         "content_type is at most 255 printable ASCII characters", "b"},
    };
    struct rh_buffer scratch = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_client_request request;
        struct rh_client_error error;
        assert_int_equal(
            rh_client_json_decode(rh_bytes_text(rows[i].text), &limits, &scratch, &request, &error),
            RH_ERR_INVALID);
        assert_string_equal(rh_client_error_name(error.code), rows[i].code);
        assert_string_equal(error.reason.text, rows[i].reason);
        assert_bytes(rh_bytes(error.id, error.id_size), rows[i].id);
    }
    rh_buffer_finish(&scratch);
}

static void a_published_value_may_nest_so_deep_and_no_deeper(void **state RH_UNUSED)
{
    struct rh_buffer scratch = {0};
    for (size_t depth = RH_CLIENT_JSON_DEPTH_MAX; depth <= RH_CLIENT_JSON_DEPTH_MAX + 1; depth++) {
        struct rh_buffer text = {0};
        struct rh_client_request request;
        struct rh_client_error error = {0};
        struct rh_payload payload;
        char brackets[2 * (RH_CLIENT_JSON_DEPTH_MAX + 1)];
        memset(brackets, '[', depth);
        memset(brackets + depth, ']', depth);
        int expected = depth <= RH_CLIENT_JSON_DEPTH_MAX ? 0 : RH_ERR_INVALID;
        assert_int_equal(rh_buffer_append_text(&text, PUBLISH "\"json\":"), 0);
        assert_int_equal(rh_buffer_append(&text, brackets, 2 * depth), 0);
        assert_int_equal(rh_buffer_append_text(&text, "}"), 0);
        assert_int_equal(rh_client_json_decode(rh_buffer_content(&text), &limits_of_1000, &scratch,
                                               &request, &error),
                         expected);
        assert_string_equal(error.reason.text, expected == 0 ? "" : "JSON nested deeper than 129");
        assert_int_equal(rh_client_payload_from_body(rh_bytes_text("application/json"),
                                                     rh_bytes(brackets, 2 * depth), 1000, &payload,
                                                     &error),
                         expected);
        rh_buffer_finish(&text);
    }
    rh_buffer_finish(&scratch);
}

static void the_largest_payload_fits_into_the_largest_text(void **state RH_UNUSED)
{
    enum { PAYLOAD = 65536 };
    const struct rh_client_limits large = {.message_bytes = PAYLOAD, .state_bytes = 1};
    struct rh_buffer text = {0};
    struct rh_buffer scratch = {0};
    struct rh_client_request request;
    struct rh_client_error error;
    assert_int_equal(rh_buffer_append_text(&text, PUBLISH "\"data\":\""), 0);
    for (size_t i = 0; i < PAYLOAD; i++) {
        assert_int_equal(rh_buffer_append_text(&text, "\\u0001"), 0);
    }
    assert_int_equal(rh_buffer_append_text(&text, "\"}"), 0);
    assert_true(rh_buffer_size(&text) <= rh_client_json_text_max(&large));
    assert_int_equal(
        rh_client_json_decode(rh_buffer_content(&text), &large, &scratch, &request, &error), 0);
    assert_int_equal(request.payload.bytes.size, PAYLOAD);
    const struct rh_client_limits endless = {.state_bytes = UINT64_MAX};
    assert_true(rh_client_json_text_max(&endless) == UINT32_MAX);
    rh_buffer_finish(&text);
    rh_buffer_finish(&scratch);
}

/* Every part needs the scratch buffer; none may be moved away by the next. */
static void what_was_decoded_stays_in_place(void **state RH_UNUSED)
{
    struct rh_buffer text = {0};
    struct rh_buffer scratch = {0};
    size_t scratch_size = 0;
    assert_int_equal(
        rh_buffer_append_text(&text, PUBLISH "\"id\":\"\\u0061b\",\"base64\":\"\\u005aGF0"), 0);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(rh_buffer_append_text(&text, "ZGF0"), 0);
    }
    assert_int_equal(rh_buffer_append_text(&text, "\"}"), 0);
    for (unsigned round = 0; round < 3; round++) {
        struct rh_client_request request;
        struct rh_client_error error;
        assert_int_equal(rh_client_json_decode(rh_buffer_content(&text), &limits_of_1000000,
                                               &scratch, &request, &error),
                         0);
        assert_bytes(request.id, "ab");
        assert_int_equal(request.payload.bytes.size, 3 * 5001);
        for (size_t i = 3; i < request.payload.bytes.size; i += 3) {
            assert_memory_equal(request.payload.bytes.data + i, "dat", 3);
        }
        assert_true(round == 0 || scratch_size == rh_buffer_size(&scratch));
        scratch_size = rh_buffer_size(&scratch);
    }
    rh_buffer_finish(&text);
    rh_buffer_finish(&scratch);
}

static void a_body_is_read_as_its_content_type_says(void **state RH_UNUSED)
{
    static const struct {
        const char *type;
        const char *body;
        enum rh_payload_kind kind;
        const char *payload;
    } rows[] = {
        {"application/json", " {\"a\": 1}\n", RH_PAYLOAD_JSON, "{\"a\": 1}"},
        {"Application/JSON ; charset=utf-8", "[]", RH_PAYLOAD_JSON, "[]"},
        {"text/plain", " hi ", RH_PAYLOAD_TEXT, " hi "},
        {"text/html; charset=utf-8", "<p>", RH_PAYLOAD_TEXT, "<p>"},
        {"application/octet-stream", "hi", RH_PAYLOAD_BINARY, "hi"},
        {"application/x-www-form-urlencoded", "hi", RH_PAYLOAD_TEXT, "hi"},
        {"image/png", "\x89PNG", RH_PAYLOAD_BINARY, "\x89PNG"},
        {"", "hi", RH_PAYLOAD_TEXT, "hi"},
        {"", "", RH_PAYLOAD_TEXT, ""},
        {"", "\xff", RH_PAYLOAD_BINARY, "\xff"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_payload payload;
        struct rh_client_error error;
        assert_int_equal(rh_client_payload_from_body(rh_bytes_text(rows[i].type),
                                                     rh_bytes_text(rows[i].body), MESSAGE_BYTES,
                                                     &payload, &error),
                         0);
        assert_int_equal(payload.kind, rows[i].kind);
        assert_bytes(payload.bytes, rows[i].payload);
    }
    static const char *const bad[][3] = {
        {"application/json", "", "bad_payload"},
        {"application/json", "{", "bad_payload"},
        {"text/plain", "\xff", "bad_payload"},
        {"text/plain", "one byte over twenty.", "too_large"},
        {"application/json", "\"one byte over 20..\"", "too_large"},
        {"application/octet-stream", "one byte over twenty.", "too_large"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rh_payload payload;
        struct rh_client_error error;
        size_t limit = i == 4 ? MESSAGE_BYTES - 1 : MESSAGE_BYTES;
        assert_int_equal(rh_client_payload_from_body(rh_bytes_text(bad[i][0]),
                                                     rh_bytes_text(bad[i][1]), limit, &payload,
                                                     &error),
                         RH_ERR_INVALID);
        assert_string_equal(rh_client_error_name(error.code), bad[i][2]);
        assert_true(error.reason.text[0] != '\0');
        assert_int_equal(error.id_size, 0);
    }
}

/* ---- Server to client ---- */

static void assert_content(struct rh_buffer *buffer, const char *expected)
{
    assert_bytes(rh_buffer_content(buffer), expected);
    json_t *tree = json_loadb(expected, strlen(expected), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(tree);
    json_decref(tree);
    rh_buffer_clear(buffer);
}

static void who_follows_a_topic_is_told(void **state RH_UNUSED)
{
    const struct rh_bytes keys[] = {rh_bytes_text("user:\"1\""), rh_bytes_text("user:2")};
    const struct rh_client_followers_node nodes[] = {
        {"n1", 5, false}, {"n2", 0, false}, {"n3", 0, true}, {"n4", 2, false}, {"n5", 0, true}};
    struct rh_client_followers followers = {.topic = rh_bytes_text("room:7"),
                                            .count = 7,
                                            .keys = keys,
                                            .keys_count = 2,
                                            .nodes = nodes,
                                            .nodes_count = 5};
    struct rh_buffer out = {0};
    assert_int_equal(rh_client_json_followers(&out, &followers), 0);
    assert_content(&out, "{\"key\":\"room:7\",\"count\":7,\"followers\":[\"user:\\\"1\\\"\","
                         "\"user:2\"],\"truncated\":true,\"nodes\":[{\"node\":\"n1\",\"count\":5},"
                         "{\"node\":\"n4\",\"count\":2}],\"missing\":[\"n3\",\"n5\"]}");
    followers = (struct rh_client_followers){.topic = rh_bytes_text("k")};
    assert_int_equal(rh_client_json_followers(&out, &followers), 0);
    assert_content(&out, "{\"key\":\"k\",\"count\":0,\"followers\":[],\"truncated\":false,"
                         "\"nodes\":[],\"missing\":[]}");
    rh_buffer_finish(&out);
}

static const struct rh_client_message hello = {
    .seq = 10,
    .id = {.data = "a", .size = 1},
    .time_ms = 1764000000123,
    .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = {.data = "hi", .size = 2}},
};

static void messages_to_clients_have_their_exact_shapes(void **state RH_UNUSED)
{
    struct rh_buffer out = {0};
    const struct rh_client_welcome welcome = {.channel = rh_bytes_text("user:\"42\""),
                                              .node = "n1",
                                              .epoch = 57,
                                              .incarnation = 0x0123456789abcdef,
                                              .seq = 9,
                                              .recovered = true};
    assert_int_equal(rh_client_json_welcome(&out, &welcome), 0);
    assert_content(&out, "{\"type\":\"welcome\",\"channel\":\"user:\\\"42\\\"\",\"node\":\"n1\","
                         "\"epoch\":57,\"incarnation\":\"0123456789abcdef\",\"seq\":9,"
                         "\"recovered\":true}");
    assert_int_equal(rh_client_json_ack(&out, rh_bytes_text("a"), 10), 0);
    assert_content(&out, "{\"type\":\"ack\",\"id\":\"a\",\"seq\":10}");
    assert_int_equal(rh_client_json_ack(&out, rh_bytes(NULL, 0), 10), 0);
    assert_content(&out, "{\"type\":\"ack\",\"seq\":10}");
    assert_int_equal(rh_client_json_pong(&out), 0);
    assert_content(&out, "{\"type\":\"pong\"}");
    struct rh_client_moved moved = {.node = "n4",
                                    .url = "ws://h:1/v1/channels/k/ws?after=0&hops=1",
                                    .seq_known = true,
                                    .seq = 9};
    assert_int_equal(rh_client_json_moved(&out, &moved), 0);
    assert_content(&out, "{\"type\":\"moved\",\"node\":\"n4\","
                         "\"url\":\"ws://h:1/v1/channels/k/ws?after=0&hops=1\",\"seq\":9}");
    moved.seq_known = false;
    assert_int_equal(rh_client_json_moved(&out, &moved), 0);
    assert_content(&out, "{\"type\":\"moved\",\"node\":\"n4\","
                         "\"url\":\"ws://h:1/v1/channels/k/ws?after=0&hops=1\"}");
    assert_int_equal(rh_client_json_error(&out, "bad_message", "no \"type\"", rh_bytes_text("a")),
                     0);
    assert_content(&out, "{\"type\":\"error\",\"code\":\"bad_message\","
                         "\"message\":\"no \\\"type\\\"\",\"id\":\"a\"}");
    assert_int_equal(rh_client_json_error(&out, "x", "y", rh_bytes(NULL, 0)), 0);
    assert_content(&out, "{\"type\":\"error\",\"code\":\"x\",\"message\":\"y\"}");
    rh_buffer_finish(&out);
}

static void a_message_carries_its_payload_in_the_form_it_has(void **state RH_UNUSED)
{
    struct rh_buffer out = {0};
    struct rh_client_message message = hello;
    assert_int_equal(rh_client_json_message(&out, &message), 0);
    assert_content(&out, "{\"type\":\"message\",\"seq\":10,\"id\":\"a\",\"time\":1764000000123,"
                         "\"data\":\"hi\"}");
    message.payload =
        (struct rh_payload){.kind = RH_PAYLOAD_JSON, .bytes = rh_bytes_text("{\"a\" : 1.50}")};
    message.id = rh_bytes(NULL, 0);
    assert_int_equal(rh_client_json_message(&out, &message), 0);
    assert_content(&out, "{\"type\":\"message\",\"seq\":10,\"time\":1764000000123,"
                         "\"json\":{\"a\" : 1.50}}");
    message.payload =
        (struct rh_payload){.kind = RH_PAYLOAD_BINARY, .bytes = rh_bytes("\0\xff\x10z", 4)};
    message.id = rh_bytes_text("\"\\");
    message.seq = 0;
    message.time_ms = 0;
    assert_int_equal(rh_client_json_message(&out, &message), 0);
    assert_content(&out, "{\"type\":\"message\",\"seq\":0,\"id\":\"\\\"\\\\\",\"time\":0,"
                         "\"base64\":\"AP8Qeg==\"}");
    message.payload = (struct rh_payload){.kind = RH_PAYLOAD_TEXT};
    message.seq = UINT64_MAX;
    message.time_ms = UINT64_MAX;
    assert_int_equal(rh_client_json_message(&out, &message), 0);
    assert_bytes(rh_buffer_content(&out),
                 "{\"type\":\"message\",\"seq\":18446744073709551615,\"id\":\"\\\"\\\\\","
                 "\"time\":18446744073709551615,\"data\":\"\"}");
    rh_buffer_finish(&out);
}

/* Random payloads: the frame is what the two steps give, and jansson reads back what went in. */
static void a_message_frame_is_the_frame_of_the_message(void **state RH_UNUSED)
{
    uint64_t seed = rh_test_seed(815);
    for (unsigned round = 0; round < 400; round++) {
        char bytes[400];
        size_t size = rh_test_below(&seed, round % 2 == 0 ? 40 : sizeof(bytes));
        enum rh_payload_kind kind = round % 3 == 0 ? RH_PAYLOAD_BINARY : RH_PAYLOAD_TEXT;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (char)(rh_test_random(&seed) & (kind == RH_PAYLOAD_BINARY ? 0xff : 0x7f));
        }
        struct rh_client_message message = hello;
        message.payload = (struct rh_payload){.kind = kind, .bytes = rh_bytes(bytes, size)};
        struct rh_buffer out = {0};
        assert_int_equal(rh_client_json_message(&out, &message), 0);
        struct rh_shared *frame = rh_client_json_message_frame(&message);
        struct rh_shared *expected =
            rh_websocket_encode(RH_WEBSOCKET_TEXT, rh_buffer_content(&out));
        assert_true(rh_bytes_equal(rh_shared_bytes(frame), rh_shared_bytes(expected)));
        json_t *tree = json_loadb(out.data + out.start, rh_buffer_size(&out),
                                  JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        json_t *payload = json_object_get(tree, kind == RH_PAYLOAD_BINARY ? "base64" : "data");
        struct rh_bytes text = rh_bytes(json_string_value(payload), json_string_length(payload));
        char decoded[sizeof(bytes) + 3];
        if (kind == RH_PAYLOAD_BINARY) {
            size_t decoded_size = 0;
            assert_int_equal(rh_base64_decode(text, decoded, &decoded_size), 0);
            text = rh_bytes(decoded, decoded_size);
        }
        assert_true(rh_bytes_equal(text, message.payload.bytes));
        json_decref(tree);
        rh_shared_give(frame);
        rh_shared_give(expected);
        rh_buffer_finish(&out);
    }
}

static void a_frame_takes_one_allocation(void **state RH_UNUSED)
{
    rh_test_allocation_fail(2);
    struct rh_shared *frame = rh_client_json_message_frame(&hello);
    assert_false(rh_test_allocation_failed());
    rh_shared_give(frame);
    rh_test_allocation_fail(1);
    assert_null(rh_client_json_message_frame(&hello));
    assert_true(rh_test_allocation_failed());
}

static void bodies_of_answers_have_their_exact_shapes(void **state RH_UNUSED)
{
    struct rh_buffer out = {0};
    const struct rh_client_published published = {
        .seq = 9, .incarnation = 0xabc, .node = "n1", .connections = 3, .duplicate = false};
    assert_int_equal(rh_client_json_published(&out, &published), 0);
    assert_content(&out, "{\"seq\":9,\"incarnation\":\"0000000000000abc\",\"node\":\"n1\","
                         "\"connections\":3,\"duplicate\":false}");
    static const char *const replicas[] = {"n2", "n3"};
    struct rh_client_channel channel = {.key = rh_bytes_text("k"),
                                        .epoch = 57,
                                        .owner = "n1",
                                        .replicas = replicas,
                                        .replicas_count = 2,
                                        .incarnation = 1,
                                        .first_seq = 1,
                                        .last_seq = 9,
                                        .connections = 3};
    assert_int_equal(rh_client_json_channel(&out, &channel), 0);
    assert_content(&out,
                   "{\"key\":\"k\",\"epoch\":57,\"owner\":\"n1\",\"replicas\":[\"n2\",\"n3\"],"
                   "\"incarnation\":\"0000000000000001\",\"first_seq\":1,\"last_seq\":9,"
                   "\"connections\":3}");
    channel = (struct rh_client_channel){.key = rh_bytes_text("k"), .epoch = -1, .first_seq = 1};
    assert_int_equal(rh_client_json_channel(&out, &channel), 0);
    assert_content(&out, "{\"key\":\"k\",\"epoch\":-1,\"owner\":null,\"replicas\":[],"
                         "\"incarnation\":null,\"first_seq\":1,\"last_seq\":0,\"connections\":0}");
    const struct rh_client_where where = {.key = rh_bytes_text("user:42"),
                                          .node = "n1",
                                          .epoch = INT64_MAX,
                                          .ws = "ws://h:1/w",
                                          .events = "http://h:1/e",
                                          .messages = "http://h:1/m"};
    assert_int_equal(rh_client_json_where(&out, &where), 0);
    assert_content(&out, "{\"key\":\"user:42\",\"node\":\"n1\",\"epoch\":9223372036854775807,"
                         "\"ws\":\"ws://h:1/w\",\"events\":\"http://h:1/e\","
                         "\"messages\":\"http://h:1/m\"}");
    rh_buffer_finish(&out);
}

static void the_ring_is_told_with_decimal_weights_and_shares(void **state RH_UNUSED)
{
    struct rh_buffer out = {0};
    const struct rh_client_ring_member members[] = {
        {"n1", 0x1f, 1000, "a", 2.0 / 3, "http://h:1"},
        {"n2", 0x2f, 500, "", 0.25, "http://h:2"},
        {"n3", 0x3f, 0, "b", 0.0, "http://h:3"},
        {"n4", 0x4f, 2125, "b", 1.0, "http://h:4"},
    };
    struct rh_client_ring ring = {.cluster = "demo",
                                  .generation = 1,
                                  .epoch = 57,
                                  .digest = 0x9f00000000000001,
                                  .vnodes = 512,
                                  .replicas = 2,
                                  .members = members,
                                  .members_count = 4};
    assert_int_equal(rh_client_json_ring(&out, &ring), 0);
    assert_content(
        &out, "{\"cluster\":\"demo\",\"generation\":1,\"epoch\":57,"
              "\"digest\":\"9f00000000000001\",\"vnodes\":512,\"replicas\":2,\"members\":["
              "{\"node\":\"n1\",\"instance\":\"000000000000001f\",\"weight\":1,\"zone\":\"a\","
              "\"share\":0.666667,\"url\":\"http://h:1\"},"
              "{\"node\":\"n2\",\"instance\":\"000000000000002f\",\"weight\":0.5,\"zone\":\"\","
              "\"share\":0.25,\"url\":\"http://h:2\"},"
              "{\"node\":\"n3\",\"instance\":\"000000000000003f\",\"weight\":0,\"zone\":\"b\","
              "\"share\":0,\"url\":\"http://h:3\"},"
              "{\"node\":\"n4\",\"instance\":\"000000000000004f\",\"weight\":2.125,"
              "\"zone\":\"b\",\"share\":1,\"url\":\"http://h:4\"}]}");
    ring.members_count = 0;
    assert_int_equal(rh_client_json_ring(&out, &ring), 0);
    assert_content(&out, "{\"cluster\":\"demo\",\"generation\":1,\"epoch\":57,"
                         "\"digest\":\"9f00000000000001\",\"vnodes\":512,\"replicas\":2,"
                         "\"members\":[]}");
    rh_buffer_finish(&out);
}

static int poll(struct rh_buffer *out, unsigned messages_count)
{
    int rv = rh_client_json_poll_begin(out, rh_bytes_text("k"), 0x1f, true);
    for (unsigned i = 0; rv == 0 && i < messages_count; i++) {
        rv = rh_client_json_poll_message(out, i == 0, &hello);
    }
    if (rv == 0) {
        rv = rh_client_json_poll_end(out, (struct rh_position){.incarnation = 0x1f, .seq = 10},
                                     false);
    }
    return rv;
}

static void a_poll_answer_is_put_together_from_messages(void **state RH_UNUSED)
{
#define POLL_HEAD \
    "{\"channel\":\"k\",\"incarnation\":\"000000000000001f\",\"recovered\":true,\"messages\":["
#define POLL_TAIL    "],\"position\":\"000000000000001f:10\",\"more\":false}"
#define POLL_MESSAGE "{\"seq\":10,\"id\":\"a\",\"time\":1764000000123,\"data\":\"hi\"}"
    struct rh_buffer out = {0};
    assert_int_equal(poll(&out, 0), 0);
    assert_content(&out, POLL_HEAD POLL_TAIL);
    assert_int_equal(poll(&out, 1), 0);
    assert_content(&out, POLL_HEAD POLL_MESSAGE POLL_TAIL);
    assert_int_equal(poll(&out, 3), 0);
    assert_content(&out, POLL_HEAD POLL_MESSAGE "," POLL_MESSAGE "," POLL_MESSAGE POLL_TAIL);
    assert_int_equal(rh_client_json_poll_begin(&out, rh_bytes_text("k"), 0, true), 0);
    assert_int_equal(rh_client_json_poll_end(&out, (struct rh_position){0}, true), 0);
    assert_content(&out, "{\"channel\":\"k\",\"incarnation\":null,\"recovered\":true,"
                         "\"messages\":[],\"position\":\"0\",\"more\":true}");
    rh_buffer_finish(&out);
}

static void want_of_memory_leaves_the_output_as_it_was(void **state RH_UNUSED)
{
    char *url = malloc(3000);
    memset(url, 'u', 2999);
    url[2999] = '\0';
    const struct rh_client_where where = {
        .key = rh_bytes_text("k"), .node = "n1", .ws = url, .events = url, .messages = url};
    unsigned failures = 0;
    for (unsigned nth = 1;; nth++) {
        struct rh_buffer out = {0};
        assert_int_equal(rh_buffer_append_text(&out, "before"), 0);
        rh_test_allocation_fail(nth);
        int rv = rh_client_json_where(&out, &where);
        bool failed = rh_test_allocation_failed();
        assert_int_equal(rv, failed ? RH_ERR_NO_MEMORY : 0);
        if (failed) {
            assert_bytes(rh_buffer_content(&out), "before");
        }
        failures += failed;
        rh_buffer_finish(&out);
        if (!failed) {
            break;
        }
    }
    assert_true(failures > 2);
    struct rh_buffer scratch = {0};
    struct rh_client_request request;
    struct rh_client_error error;
    rh_test_allocation_fail(1);
    assert_int_equal(rh_client_json_decode(rh_bytes_text("{\"type\":\"ping\"}"), &limits, &scratch,
                                           &request, &error),
                     RH_ERR_NO_MEMORY);
    assert_true(rh_test_allocation_failed());
    free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(who_follows_a_topic_is_told),
        RH_TEST(base64_is_written_as_rfc_4648_shows),
        RH_TEST(long_base64_is_read_back_as_it_was_written),
        RH_TEST(requests_are_decoded),
        RH_TEST(requests_for_the_state_are_decoded),
        RH_TEST(a_document_is_shown_as_what_it_says_it_is_if_it_is),
        RH_TEST(who_is_there_is_shown_whole_or_as_what_is_new),
        RH_TEST(answers_about_the_state_name_what_they_answer),
        RH_TEST(what_is_wrong_gets_a_code_a_sentence_and_the_id),
        RH_TEST(a_published_value_may_nest_so_deep_and_no_deeper),
        RH_TEST(the_largest_payload_fits_into_the_largest_text),
        RH_TEST(what_was_decoded_stays_in_place),
        RH_TEST(a_body_is_read_as_its_content_type_says),
        RH_TEST(messages_to_clients_have_their_exact_shapes),
        RH_TEST(a_message_carries_its_payload_in_the_form_it_has),
        RH_TEST(a_message_frame_is_the_frame_of_the_message),
        RH_TEST(a_frame_takes_one_allocation),
        RH_TEST(bodies_of_answers_have_their_exact_shapes),
        RH_TEST(the_ring_is_told_with_decimal_weights_and_shares),
        RH_TEST(a_poll_answer_is_put_together_from_messages),
        RH_TEST(want_of_memory_leaves_the_output_as_it_was),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
