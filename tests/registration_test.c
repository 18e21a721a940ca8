/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "proto/registration.h"
#include "tests/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rh_registration n1 = {
    .id = "n1",
    .instance = 0x0123456789abcdef,
    .weight_milli = 500,
    .zone = "a",
    .url = "wss://[::1]:7101",
    .peer = "127.0.0.1:7201",
    .admin = "localhost:7301",
    .version = "0.1.0",
};

static const char n1_text[] =
    "{\"id\":\"n1\",\"instance\":\"0123456789abcdef\",\"weight\":0.5,\"zone\":\"a\","
    "\"url\":\"wss://[::1]:7101\",\"peer\":\"127.0.0.1:7201\",\"admin\":\"localhost:7301\","
    "\"version\":\"0.1.0\"}";

static const char config_text[] = "{\"format\":1,\"generation\":3,\"vnodes\":512,\"replicas\":2,"
                                  "\"seed\":\"ffffffffffffffff\"}";

static const char request_text[] =
    "{\"number\":\"00000000000000ff\",\"kind\":\"weight\",\"weight\":2.125,\"state\":\"working\","
    "\"channels_left\":12,\"connections_left\":34,\"reason\":\"\"}";

static void assert_encodes(char *text, const char *expected)
{
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void a_registration_survives_the_way_there_and_back(void **state RH_UNUSED)
{
    assert_encodes(rh_registration_encode(&n1), n1_text);
    struct rh_registration back = {0};
    struct rh_reason reason = {0};
    assert_int_equal(rh_registration_decode(rh_bytes_text(n1_text), &back, &reason), 0);
    assert_string_equal(reason.text, "");
    assert_encodes(rh_registration_encode(&back), n1_text);
    assert_true(back.instance == n1.instance);
    assert_int_equal(back.weight_milli, 500);
}

static void every_weight_survives_the_way_there_and_back(void **state RH_UNUSED)
{
    struct rh_registration registration = n1;
    for (uint32_t milli = 0; milli <= RH_WEIGHT_MAX; milli += milli < 3000 ? 1 : 997) {
        registration.weight_milli = milli;
        char *text = rh_registration_encode(&registration);
        assert_non_null(text);
        struct rh_registration back = {0};
        assert_int_equal(rh_registration_decode(rh_bytes_text(text), &back, NULL), 0);
        assert_int_equal(back.weight_milli, milli);
        char weight[RH_WEIGHT_TEXT_SIZE];
        char field[64];
        rh_weight_format(milli, weight);
        (void)snprintf(field, sizeof(field), "\"weight\":%s,", weight);
        assert_non_null(strstr(text, field));
        free(text);
    }
}

static void a_shared_config_survives_the_way_there_and_back(void **state RH_UNUSED)
{
    struct rh_shared_config config = {0};
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(config_text), &config, NULL, NULL), 0);
    assert_true(config.generation == 3);
    assert_int_equal(config.vnodes, 512);
    assert_int_equal(config.replicas, 2);
    assert_true(config.seed == UINT64_MAX);
    assert_encodes(rh_shared_config_encode(&config, NULL), config_text);
}

static const char record_text[] =
    "{\"format\":1,\"generation\":3,\"vnodes\":512,\"replicas\":2,"
    "\"seed\":\"ffffffffffffffff\",\"session_timeout_ms\":4000,"
    "\"last\":{\"generation\":2,\"pzxid\":4294967296,\"members\":["
    "{\"id\":\"n1\",\"instance\":\"0123456789abcdef\",\"origin\":\"n1.0000000003\","
    "\"peer\":\"h:7201\"},"
    "{\"id\":\"n2\",\"instance\":\"00000000000000ff\",\"origin\":\"n2.0000000001\","
    "\"peer\":\"[::1]:7202\"}]},"
    "\"forgotten\":[\"0000000000000001\",\"0000000000000000\"]}";

static void a_record_survives_the_way_there_and_back(void **state RH_UNUSED)
{
    struct rh_shared_config config = {0};
    struct rh_record record = {0};
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(record_text), &config, &record, NULL),
                     0);
    assert_int_equal(config.session_timeout_ms, 4000);
    assert_true(record.last.generation == 2 && record.last.pzxid == INT64_C(1) << 32);
    assert_int_equal(record.members_count, 2);
    assert_string_equal(record.members[1].id, "n2");
    assert_string_equal(record.members[1].peer, "[::1]:7202");
    assert_string_equal(record.members[0].origin, "n1.0000000003");
    assert_int_equal(rh_record_find(&record, 255), 1);
    assert_int_equal(rh_record_find(&record, 256), 2);
    assert_true(rh_record_forgets(&record, 1));
    assert_true(rh_record_forgets(&record, RH_FORGOTTEN_UNKNOWN));
    assert_false(rh_record_forgets(&record, 255));
    assert_encodes(rh_shared_config_encode(&config, &record), record_text);
    rh_record_finish(&record);
    assert_int_equal(record.members_count, 0);
    /* Who has no use for it is given none; and none is not the same as one of nobody. */
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(record_text), &config, NULL, NULL), 0);
    record.last = (struct rh_epoch){.generation = 3, .pzxid = 7};
    char *text = rh_shared_config_encode(&config, &record);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"last\":{\"generation\":3,\"pzxid\":7,\"members\":[]}"));
    assert_null(strstr(text, "forgotten"));
    free(text);
}

/* ZooKeeper takes little more than a megabyte. */
static void the_record_of_1024_nodes_with_the_longest_names_fits(void **state RH_UNUSED)
{
    static struct rh_record_member members[1024];
    for (size_t i = 0; i < 1024; i++) {
        struct rh_record_member *member = &members[i];
        memset(member->id, 'x', sizeof(member->id) - 1);
        member->id[0] = (char)('a' + i / 64);
        member->id[1] = (char)('0' + i % 64 / 8);
        member->id[2] = (char)('0' + i % 8);
        member->instance = UINT64_MAX - i;
        (void)snprintf(member->origin, sizeof(member->origin), "%.64s.%010u", member->id,
                       (unsigned)i);
        memset(member->peer, 'h', sizeof(member->peer) - 1);
        memcpy(member->peer + sizeof(member->peer) - 7, ":65535", 7);
    }
    uint64_t forgotten[1024];
    for (size_t i = 0; i < 1024; i++) {
        forgotten[i] = i;
    }
    const struct rh_shared_config config = {
        .format = RH_CONFIG_FORMAT, .generation = INT64_MAX, .vnodes = 1, .replicas = 1};
    struct rh_record record = {.last = {.generation = INT64_MAX, .pzxid = INT64_MAX},
                               .members = members,
                               .members_count = 1024,
                               .forgotten = forgotten,
                               .forgotten_count = 1024};
    char *text = rh_shared_config_encode(&config, &record);
    assert_non_null(text);
    assert_in_range(strlen(text), 400000, 600000);
    struct rh_shared_config back;
    struct rh_record record_back;
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(text), &back, &record_back, NULL), 0);
    assert_encodes(rh_shared_config_encode(&back, &record_back), text);
    rh_record_finish(&record_back);
    free(text);
}

static void an_origin_is_told_if_there_is_one(void **state RH_UNUSED)
{
    struct rh_registration registration = n1;
    (void)snprintf(registration.origin, sizeof(registration.origin), "n1.0000000007");
    char *text = rh_registration_encode(&registration);
    assert_non_null(text);
    assert_non_null(strstr(text, ",\"origin\":\"n1.0000000007\"}"));
    struct rh_registration back = {0};
    assert_int_equal(rh_registration_decode(rh_bytes_text(text), &back, NULL), 0);
    assert_string_equal(back.origin, "n1.0000000007");
    free(text);
    assert_true(rh_registration_name_valid("n1.0000000007", "n1"));
    assert_true(rh_registration_name_valid("n1.0000000007", NULL));
    assert_false(rh_registration_name_valid("n1.0000000007", "n"));
    assert_false(rh_registration_name_valid("n1.000000007", "n1"));
    assert_false(rh_registration_name_valid("n1.00000000x7", "n1"));
    assert_false(rh_registration_name_valid(".0000000007", NULL));
    assert_false(rh_registration_name_valid("n1", "n1"));
}

static void a_request_survives_the_way_there_and_back(void **state RH_UNUSED)
{
    struct rh_request request = {0};
    assert_int_equal(rh_request_decode(rh_bytes_text(request_text), &request, NULL), 0);
    assert_true(request.number == 255);
    assert_int_equal(request.kind, RH_REQUEST_WEIGHT);
    assert_int_equal(request.weight_milli, 2125);
    assert_int_equal(request.state, RH_REQUEST_WORKING);
    assert_true(request.channels_left == 12 && request.connections_left == 34);
    assert_encodes(rh_request_encode(&request), request_text);
}

static void unknown_fields_are_ignored_and_optional_ones_may_be_missing(void **state RH_UNUSED)
{
    struct rh_registration registration = {.zone = "old"};
    assert_int_equal(rh_registration_decode(
                         rh_bytes_text("{\"future\":[1,{}],\"peer\":\"h:1\",\"url\":\"ws://h:2\","
                                       "\"weight\":1,\"instance\":\"00000000000000AA\","
                                       "\"id\":\"n\"} \n"),
                         &registration, NULL),
                     0);
    assert_string_equal(registration.zone, "");
    assert_string_equal(registration.admin, "");
    assert_string_equal(registration.version, "");
    assert_true(registration.instance == 0xaa);
    assert_int_equal(registration.weight_milli, 1000);
    struct rh_request request = {0};
    assert_int_equal(
        rh_request_decode(rh_bytes_text("{\"number\":\"0000000000000001\",\"kind\":\"drain\","
                                        "\"state\":\"asked\",\"weight\":\"ignored\"}"),
                          &request, NULL),
        0);
    assert_int_equal(request.kind, RH_REQUEST_DRAIN);
    assert_true(request.channels_left == 0);
}

/* One edit of a valid text, and what the reason must say about it. */
struct edit {
    const char *from;
    const char *to;
    const char *reason;
};

typedef int decode_fn(struct rh_bytes data, struct rh_reason *reason);

static int decode_registration(struct rh_bytes data, struct rh_reason *reason)
{
    struct rh_registration registration;
    memset(&registration, 0x5a, sizeof(registration));
    struct rh_registration before = registration;
    int rv = rh_registration_decode(data, &registration, reason);
    if (rv != 0) {
        assert_memory_equal(&registration, &before, sizeof(before));
    }
    return rv;
}

static int decode_config(struct rh_bytes data, struct rh_reason *reason)
{
    struct rh_shared_config config = {.format = 77};
    int rv = rh_shared_config_decode(data, &config, NULL, reason);
    assert_true(rv == 0 || config.format == 77);
    return rv;
}

static int decode_request(struct rh_bytes data, struct rh_reason *reason)
{
    struct rh_request request = {.number = 77};
    int rv = rh_request_decode(data, &request, reason);
    assert_true(rv == 0 || request.number == 77);
    return rv;
}

static void assert_refused(decode_fn *decode, const char *valid, const struct edit *edits,
                           size_t edits_count)
{
    for (size_t i = 0; i < edits_count; i++) {
        const char *at = strstr(valid, edits[i].from);
        assert_non_null(at);
        char text[2048];
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - valid), valid, edits[i].to,
                       at + strlen(edits[i].from));
        struct rh_reason reason = {0};
        if (decode(rh_bytes_text(text), &reason) != RH_ERR_INVALID) {
            fail_msg("%s: accepted", text);
        }
        if (strstr(reason.text, edits[i].reason) != reason.text) {
            fail_msg("%s: reason is '%s', not '%s'", text, reason.text, edits[i].reason);
        }
    }
}

#define CHECK_EDITS(decode, valid, edits) \
    assert_refused(decode, valid, edits, sizeof(edits) / sizeof((edits)[0]))

static void a_malformed_registration_is_refused_and_the_field_named(void **state RH_UNUSED)
{
    static const struct edit edits[] = {
        {"\"id\"", "\"ID\"", "id: missing"},
        {"\"n1\"", "1", "id: not a string"},
        {"\"n1\"", "\"\"", "id: \"\" is not a node id"},
        {"\"n1\"", "\"n/1\"", "id: \"n/1\" is not a node id"},
        {"\"n1\"", "\"12345678901234567890123456789012345678901234567890123456789012345\"",
         "id: longer than 64 bytes"},
        {"0123456789abcdef", "0123456789abcde", "instance: \"0123456789abcde\" is not 16 hex"},
        {"0123456789abcdef", "0000000000000000", "instance: is 0"},
        {"\"0123456789abcdef\"", "5", "instance: not a string"},
        {"0.5", "-0.001", "weight: -0.001 is not within"},
        {"0.5", "1000.001", "weight: 1000 is not within"},
        {"0.5", "0.0005", "weight: 0.0005 is not within"},
        {"0.5", "1e300", "weight: 1e+300 is not within"},
        {"0.5", "\"1\"", "weight: not a number"},
        {"0.5", "true", "weight: not a number"},
        {"\"weight\":0.5,", "", "weight: missing"},
        {"\"a\"", "null", "zone: not a string"},
        {"\"a\"", "\"a\\u0007\"", "zone: has a control character"},
        {"\"a\"", "\"a\\u0000\"", "not JSON: "},
        {"\"a\"", "\"\xff\"", "not JSON: "},
        {"wss://", "https://", "url: "},
        {"wss://[::1]:7101", "wss://[::1]", "url: "},
        {"wss://[::1]:7101", "ws://h:7101/path", "url: "},
        {"wss://[::1]:7101", "ws://u@h:7101", "url: "},
        {"wss://[::1]:7101", "ws://:7101", "url: "},
        {"wss://[::1]:7101", "ws://::1:7101", "url: "},
        {"wss://[::1]:7101", "ws://[]:7101", "url: "},
        {"127.0.0.1:7201", "127.0.0.1:0", "peer: \"127.0.0.1:0\" is not host:port"},
        {"127.0.0.1:7201", "127.0.0.1:65536", "peer: "},
        {"127.0.0.1:7201", "127.0.0.1:+1", "peer: "},
        {"127.0.0.1:7201", "127.0.0.1", "peer: "},
        {"\"peer\"", "\"pear\"", "peer: missing"},
        {"localhost:7301", "localhost", "admin: \"localhost\" is not host:port"},
        {"\"0.1.0\"", "[]", "version: not a string"},
        {"\"0.1.0\"", "\"0123456789012345678901234567890123\"", "version: longer than 32 bytes"},
        {"\"0.1.0\"", "\"\",\"origin\":7", "origin: not a string"},
        {"\"0.1.0\"", "\"\",\"origin\":\"n2.0000000001\"",
         "origin: \"n2.0000000001\" is not a registration of n1"},
        {"\"zone\"", "\"id\"", "not JSON: duplicate object key"},
        {"}", "} x", "not JSON: "},
        {"}", "", "not JSON: "},
        {"{", "[{", "not JSON: "},
    };
    CHECK_EDITS(decode_registration, n1_text, edits);
}

static void a_malformed_config_is_refused_and_the_field_named(void **state RH_UNUSED)
{
    static const struct edit edits[] = {
        {"\"format\":1", "\"format\":2", "format: is 2, this software knows 1"},
        {"\"format\":1", "\"format\":0", "format: 0 is not within 1 to"},
        {"\"format\":1,", "", "format: missing"},
        {"3", "0", "generation: 0 is not within 1 to"},
        {"3", "-1", "generation: -1 is not within"},
        {"3", "3.0", "generation: not an integer"},
        {"3", "9223372036854775808", "not JSON: "},
        {"512", "0", "vnodes: 0 is not within 1 to 65536"},
        {"512", "65537", "vnodes: 65537 is not within"},
        {"512", "\"512\"", "vnodes: not an integer"},
        {"\"replicas\":2", "\"replicas\":17", "replicas: 17 is not within 1 to 16"},
        {"\"ffffffffffffffff\"", "0", "seed: not a string"},
        {"\"ffffffffffffffff\"", "\"0\"", "seed: \"0\" is not 16 hex digits"},
    };
    CHECK_EDITS(decode_config, config_text, edits);
}

static int decode_record(struct rh_bytes data, struct rh_reason *reason)
{
    struct rh_shared_config config;
    struct rh_record record = {.members_count = 77};
    int rv = rh_shared_config_decode(data, &config, &record, reason);
    assert_true(rv == 0 || record.members_count == 77);
    return rv;
}

static void a_malformed_record_is_refused_and_the_field_named(void **state RH_UNUSED)
{
    static const struct edit edits[] = {
        {"4000", "0", "session_timeout_ms: 0 is not within 1 to"},
        {"4000", "4294967296", "session_timeout_ms: 4294967296 is not within"},
        {"4000", "\"4s\"", "session_timeout_ms: not an integer"},
        {"\"last\":{", "\"last\":1,\"x\":{", "last: not an object"},
        {"\"generation\":2,", "", "last.generation: missing"},
        {"\"generation\":2,", "\"generation\":0,", "last.generation: 0 is not within"},
        {"\"generation\":2,", "\"generation\":4,", "last.generation: 4 is not within 1 to 3"},
        {"4294967296", "-1", "last.pzxid: -1 is not within"},
        {"\"members\":[", "\"members\":1,\"x\":[", "members: not an array"},
        {"{\"id\":\"n1\"", "7,{\"id\":\"n1\"", "last.members[0].not an object"},
        {"\"id\":\"n2\"", "\"id\":\"n 2\"", "last.members[1].id: \"n 2\" is not a node id"},
        {"00000000000000ff", "0000000000000000", "last.members[1].instance: is 0"},
        {"n2.0000000001", "n1.0000000001", "last.members[1].origin: \"n1.0000000001\" is not a "},
        {"\"origin\":\"n1.0000000003\",", "", "last.members[0].origin: missing"},
        {"h:7201", "h", "last.members[0].peer: \"h\" is not host:port"},
        {"\"forgotten\":[", "\"forgotten\":1,\"x\":[", "forgotten: not an array"},
        {"\"0000000000000001\"", "1", "forgotten[0]: not 16 hex digits"},
        {"\"0000000000000001\"", "\"1\"", "forgotten[0]: not 16 hex digits"},
    };
    CHECK_EDITS(decode_record, record_text, edits);
}

static void a_malformed_request_is_refused_and_the_field_named(void **state RH_UNUSED)
{
    static const struct edit edits[] = {
        {"\"00000000000000ff\"", "255", "number: not a string"},
        {"00000000000000ff", "0000000000000000", "number: is 0"},
        {"\"weight\",", "\"halt\",", "kind: \"halt\" is unknown"},
        {"\"weight\",", "\"weight weight weight\",", "kind: longer than 15 bytes"},
        {"2.125", "2.1255", "weight: 2.1255 is not within"},
        {"\"weight\":2.125,", "", "weight: missing"},
        {"\"working\"", "\"started\"", "state: \"started\" is unknown"},
        {"12,", "-12,", "channels_left: -12 is not within"},
        {"34", "[]", "connections_left: not an integer"},
        {"\"reason\":\"\"", "\"reason\":0", "reason: not a string"},
    };
    CHECK_EDITS(decode_request, request_text, edits);
}

static void what_is_no_object_is_refused(void **state RH_UNUSED)
{
    static const char *const texts[] = {"", " ", "null", "[]", "\"x\"", "1", "{", "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rh_reason reason = {0};
        assert_int_equal(decode_registration(rh_bytes_text(texts[i]), &reason), RH_ERR_INVALID);
        assert_string_not_equal(reason.text, "");
        assert_int_equal(decode_config(rh_bytes_text(texts[i]), NULL), RH_ERR_INVALID);
        assert_int_equal(decode_request(rh_bytes_text(texts[i]), NULL), RH_ERR_INVALID);
        assert_null(rh_request_refuse(rh_bytes_text(texts[i]), "why"));
    }
    assert_int_equal(decode_registration(rh_bytes(NULL, 0), NULL), RH_ERR_INVALID);
}

static void every_beginning_of_a_text_is_refused(void **state RH_UNUSED)
{
    for (size_t size = 0; size < sizeof(n1_text) - 1; size++) {
        assert_int_equal(decode_registration(rh_bytes(n1_text, size), NULL), RH_ERR_INVALID);
    }
}

static void data_of_absurd_size_is_not_even_parsed(void **state RH_UNUSED)
{
    size_t size = 1024 * 1024;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, n1_text, sizeof(n1_text) - 1);
    struct rh_reason reason = {0};
    assert_int_equal(decode_registration(rh_bytes(text, size), &reason), RH_ERR_INVALID);
    assert_string_equal(reason.text, "1048576 bytes are more than 65536");
    assert_int_equal(decode_registration(rh_bytes(text, 65536), NULL), 0);
    free(text);
}

static void a_refused_request_keeps_its_fields_and_says_why(void **state RH_UNUSED)
{
    static const char bad[] = "{\"number\":\"00000000000000ff\",\"kind\":\"halt\",\"note\":1,"
                              "\"state\":\"asked\"}";
    char *refused = rh_request_refuse(rh_bytes_text(bad), "kind: \"halt\" is unknown");
    assert_non_null(refused);
    assert_string_equal(refused,
                        "{\"number\":\"00000000000000ff\",\"kind\":\"halt\",\"note\":1,"
                        "\"state\":\"failed\",\"reason\":\"kind: \\\"halt\\\" is unknown\"}");
    assert_encodes(rh_request_refuse(rh_bytes_text(refused), "kind: \"halt\" is unknown"), refused);
    free(refused);
}

static void a_reason_that_was_cut_within_a_character_is_still_written(void **state RH_UNUSED)
{
    struct rh_request request = {.number = 1, .state = RH_REQUEST_FAILED, .reason = "no \xe2\x82"};
    char *text = rh_request_encode(&request);
    assert_non_null(text);
    assert_int_equal(rh_request_decode(rh_bytes_text(text), &request, NULL), 0);
    assert_string_equal(request.reason, "no ");
    free(text);
}

static void kinds_and_states_have_the_names_that_are_written(void **state RH_UNUSED)
{
    assert_string_equal(rh_request_kind_name(RH_REQUEST_DRAIN), "drain");
    assert_string_equal(rh_request_kind_name(RH_REQUEST_JOIN), "join");
    assert_string_equal(rh_request_state_name(RH_REQUEST_ASKED), "asked");
    assert_string_equal(rh_request_state_name(RH_REQUEST_DONE), "done");
}

/* Memory: jansson allocates through these, each of which fails once in its turn. */

static int allocations_left; /* before one fails; negative: none will */

static void *failing_malloc(size_t size)
{
    if (allocations_left == 0) {
        allocations_left = -1;
        return NULL;
    }
    allocations_left -= allocations_left > 0;
    return malloc(size);
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state RH_UNUSED)
{
    json_set_alloc_funcs(failing_malloc, free);
    struct rh_request request = {0};
    struct rh_shared_config config = {0};
    allocations_left = -1;
    assert_int_equal(rh_request_decode(rh_bytes_text(request_text), &request, NULL), 0);
    assert_int_equal(rh_shared_config_decode(rh_bytes_text(config_text), &config, NULL, NULL), 0);
    int failures = 0;
    for (int i = 0; i < 200; i++) {
        struct rh_registration registration;
        struct rh_reason reason;
        allocations_left = i;
        int rv = rh_registration_decode(rh_bytes_text(n1_text), &registration, &reason);
        assert_true(rv == 0 || rv == RH_ERR_NO_MEMORY || rv == RH_ERR_INVALID);
        assert_true((rv == 0) == (allocations_left >= 0));
        failures += rv != 0;
        allocations_left = i;
        char *texts[] = {rh_registration_encode(&n1), rh_shared_config_encode(&config, NULL),
                         rh_request_encode(&request),
                         rh_request_refuse(rh_bytes_text(request_text), "why")};
        for (size_t t = 0; t < 4; t++) {
            failures += texts[t] == NULL;
            free(texts[t]);
        }
    }
    assert_true(failures > 20);
    json_set_alloc_funcs(malloc, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(a_registration_survives_the_way_there_and_back),
        RH_TEST(every_weight_survives_the_way_there_and_back),
        RH_TEST(a_shared_config_survives_the_way_there_and_back),
        RH_TEST(a_request_survives_the_way_there_and_back),
        RH_TEST(unknown_fields_are_ignored_and_optional_ones_may_be_missing),
        RH_TEST(a_malformed_registration_is_refused_and_the_field_named),
        RH_TEST(a_malformed_config_is_refused_and_the_field_named),
        RH_TEST(a_record_survives_the_way_there_and_back),
        RH_TEST(the_record_of_1024_nodes_with_the_longest_names_fits),
        RH_TEST(an_origin_is_told_if_there_is_one),
        RH_TEST(a_malformed_record_is_refused_and_the_field_named),
        RH_TEST(a_malformed_request_is_refused_and_the_field_named),
        RH_TEST(what_is_no_object_is_refused),
        RH_TEST(every_beginning_of_a_text_is_refused),
        RH_TEST(data_of_absurd_size_is_not_even_parsed),
        RH_TEST(a_refused_request_keeps_its_fields_and_says_why),
        RH_TEST(a_reason_that_was_cut_within_a_character_is_still_written),
        RH_TEST(kinds_and_states_have_the_names_that_are_written),
        RH_TEST(every_failed_allocation_is_reported_and_leaks_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
