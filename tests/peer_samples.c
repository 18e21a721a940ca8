/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/peer_samples.h"

#include "proto/peer_codec.h"
#include "tests/test.h"

#include <string.h>

/* Lists of the samples. For literals only: these are static. */
#define TEXT(literal)                                  \
    {                                                  \
        .data = (literal), .size = sizeof(literal) - 1 \
    }

static const struct rh_node_ref nodes[] = {
    {.id = "n1", .instance = 0x1122334455667788U},
    {.id = "n2", .instance = 0x8877665544332211U},
    {.id = "n3", .instance = 0x0000000000000003U},
};

/* Of ops 7 to 9. */
static const struct rh_peer_operation operations[] = {
    {
        .kind = RH_PEER_OPERATION_MESSAGE,
        .seq = 7,
        .time_ms = 1700000000000,
        .in_window = true,
        .id = TEXT("id-7"),
        .payload = {.kind = RH_PAYLOAD_JSON, .bytes = TEXT("{\"a\":1}")},
    },
    {
        .kind = RH_PEER_OPERATION_STATE,
        .seq = 7,
        .version = 3,
        .time_ms = 1700000000001,
        .in_window = true,
        .id = TEXT("id-8"),
        .content_type = TEXT("text/plain"),
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = TEXT("hello")},
    },
    {
        .kind = RH_PEER_OPERATION_STATE_DELETE,
        .seq = 7,
        .version = 4,
        .time_ms = 1700000000002,
        .payload = {.kind = RH_PAYLOAD_BINARY},
    },
};

static const struct rh_peer_present present[] = {
    {.client = TEXT("ada"), .meta = TEXT("{\"name\":\"Ada\"}"), .connections = 2},
    {.client = TEXT("b\xc3\xb6"), .connections = 0},
};

static const struct rh_peer_term_from terms[] = {
    {.first_op = 1, .term = {.pzxid = 4709, .generation = 3, .turn = 1}},
    {.first_op = 7, .term = {.pzxid = 4711, .generation = 3, .turn = 2}},
};

static const struct rh_peer_id ids[] = {
    {.id = TEXT("id-6"), .seq = 6, .op = 6, .age_ms = 59000},
    {.id = TEXT("id-7"), .seq = 7, .op = 7, .age_ms = 1000},
    {.id = TEXT("id-8"), .version = 3, .op = 8, .age_ms = 900},
};

static const struct rh_peer_copy copies[] = {
    {
        .key = TEXT("user:42"),
        .incarnation = 0x0102030405060708U,
        .term = {.pzxid = 4711, .generation = 3, .turn = 2},
        .op = 9,
        .state = RH_PEER_COPY_PASSING,
        .group = {.members = nodes, .count = 2},
        .passing_to = {.id = "n3", .instance = 3},
    },
    {
        .key = TEXT("user:43"),
        .incarnation = 0x0102030405060709U,
        .term = {.pzxid = 4710, .generation = 3, .turn = 1},
        .op = 10,
        .state = RH_PEER_COPY_IDLE,
        .suspect = true,
        .lacked = true,
        .group = {.members = nodes, .count = 3},
    },
    {.key = TEXT("user:44")},
};

static const struct rh_peer_view_member members[] = {
    {.name = TEXT("n1.0000000007"), .czxid = 4711, .data = TEXT("{\"id\":\"n1\"}")},
    {.name = TEXT("n2.0000000008"), .czxid = 4712, .data = TEXT("{\"id\":\"n2\"}")},
};

static const struct rh_peer_stream_room rooms[] = {
    {.stream = 12, .size = 4096},
    {.stream = 300, .size = 1},
};

static const uint64_t streams[] = {12, 300, 13};

static const struct rh_peer_operation messages[] = {
    {
        .kind = RH_PEER_OPERATION_MESSAGE,
        .seq = 7,
        .time_ms = 1700000000000,
        .in_window = true,
        .id = TEXT("id-7"),
        .payload = {.kind = RH_PAYLOAD_JSON, .bytes = TEXT("{\"a\":1}")},
    },
    {
        .kind = RH_PEER_OPERATION_MESSAGE,
        .seq = 8,
        .time_ms = 1700000000003,
        .id = TEXT("id-9"),
        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = TEXT("hi")},
    },
};

static const struct rh_bytes followers[] = {TEXT("user:42"), TEXT("user:7")};

static const struct rh_peer_follow follows[] = {
    {.topic = TEXT("room:7"), .position = {.incarnation = 0x0102030405060708U, .seq = 17}},
    {.topic = TEXT("room:8")},
};

/* That were published in (16, 20]. */
static const struct rh_peer_operation published[] = {
    {
        .kind = RH_PEER_OPERATION_MESSAGE,
        .seq = 17,
        .time_ms = 1700000000000,
        .id = TEXT("id-17"),
        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = TEXT("hello")},
    },
    {
        .kind = RH_PEER_OPERATION_MESSAGE,
        .seq = 19,
        .time_ms = 1700000000002,
        .id = TEXT("id-19"),
        .payload = {.kind = RH_PAYLOAD_BINARY, .bytes = TEXT("\x01\x02")},
    },
};

static struct rh_bytes text(const char *value)
{
    return rh_bytes_text(value);
}

struct rh_peer_message peer_sample(enum rh_peer_message_kind kind)
{
    struct rh_peer_message message = {.kind = kind, .epoch = {.generation = 3, .pzxid = 4711}};
    switch (kind) {
    case RH_PEER_HELLO:
        message.hello = (struct rh_peer_hello){
            .version = RH_PEER_VERSION,
            .cluster = text("demo"),
            .from = {.id = "n1", .instance = 0x1122334455667788U},
            .to = {.id = "n2", .instance = 0x8877665544332211U},
            .refusal = text("another cluster"),
        };
        break;
    case RH_PEER_PING:
        message.ping.number = 300;
        break;
    case RH_PEER_PONG:
        message.pong.number = 301;
        break;
    case RH_PEER_STATUS_ASK:
        break;
    case RH_PEER_STATUS:
        message.status.json = text("{\"node\":\"n1\"}");
        break;
    case RH_PEER_PUBLISH:
        message.publish = (struct rh_peer_publish){
            .request = 77,
            .key = text("user:42"),
            .id = text("id-1"),
            .payload = {.kind = RH_PAYLOAD_JSON, .bytes = text("{\"a\":1}")},
            .deadline_ms = 5000,
        };
        break;
    case RH_PEER_PUBLISH_ANSWER:
        message.publish_answer = (struct rh_peer_publish_answer){
            .request = 78,
            .result = RH_PEER_OK,
            .owner = "n2",
            .code = text("none"),
            .detail = text("kept before"),
            .seq = 9,
            .incarnation = 0x0102030405060708U,
            .connections = 12,
            .duplicate = true,
        };
        break;
    case RH_PEER_INSPECT:
        message.inspect = (struct rh_peer_inspect){.request = 79, .key = text("doc:\xc3\xa9")};
        break;
    case RH_PEER_INSPECT_ANSWER:
        message.inspect_answer = (struct rh_peer_inspect_answer){
            .request = 80,
            .result = RH_PEER_OK,
            .owner = "n3",
            .code = text("none"),
            .detail = text("all well"),
            .exists = true,
            .incarnation = 0x0807060504030201U,
            .first_seq = 5,
            .last_seq = 8,
            .connections = 13,
        };
        break;
    case RH_PEER_STATE_GET:
        message.state_get = (struct rh_peer_state_get){.request = 81, .key = text("doc:\xc3\xa9")};
        break;
    case RH_PEER_STATE_PUT:
        message.state_put = (struct rh_peer_state_put){
            .request = 82,
            .key = text("doc:\xc3\xa9"),
            .id = text("id-8"),
            .condition = RH_PEER_STATE_VERSION,
            .if_version = 2,
            .content_type = text("text/plain"),
            .state = text("hello"),
            .deadline_ms = 5000,
        };
        break;
    case RH_PEER_STATE_DELETE:
        message.state_delete = (struct rh_peer_state_delete){
            .request = 83,
            .key = text("doc:\xc3\xa9"),
            .id = text("id-9"),
            .condition = RH_PEER_STATE_PRESENT,
            .deadline_ms = 4999,
        };
        break;
    case RH_PEER_STATE_ANSWER:
        message.state_answer = (struct rh_peer_state_answer){
            .request = 84,
            .result = RH_PEER_OK,
            .owner = "n3",
            .code = text("none"),
            .detail = text("here it is"),
            .outcome = RH_PEER_STATE_FOUND,
            .version = 3,
            .incarnation = 0x0807060504030201U,
            .content_type = text("text/plain"),
            .state = text("hello"),
        };
        break;
    case RH_PEER_PRESENCE_GET:
        message.presence_get = (struct rh_peer_presence_get){.request = 85, .key = text("room:7")};
        break;
    case RH_PEER_PRESENCE_ANSWER:
        message.presence_answer = (struct rh_peer_presence_answer){
            .request = 86,
            .result = RH_PEER_OK,
            .owner = "n3",
            .incarnation = 0x0807060504030201U,
            .clients = present,
            .clients_count = 2,
        };
        break;
    case RH_PEER_PRESENCE:
        message.presence = (struct rh_peer_presence){
            .key = text("room:7"),
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .version = 12,
            .clients = present,
            .clients_count = 2,
        };
        break;
    case RH_PEER_APPEND:
        message.append = (struct rh_peer_append){
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .prev_term = {.pzxid = 4710, .generation = 3, .turn = 9},
            .prev_op = 6,
            .operations = {.first_op = 7, .items = operations, .count = 3},
            .commit = 8,
            .sent_ms = 123456,
            .group = {.members = nodes, .count = 3},
        };
        break;
    case RH_PEER_APPEND_ACK:
        message.append_ack = (struct rh_peer_append_ack){
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .op = 9,
            .confirmed = true,
            .proof_age_ms = 250,
            .sent_ms = 123456,
        };
        break;
    case RH_PEER_SYNC_BEGIN:
        message.sync_begin = (struct rh_peer_sync_begin){
            .sync = 5,
            .purpose = RH_PEER_SYNC_FETCH,
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .group = {.members = nodes, .count = 2},
            .terms = terms,
            .terms_count = 2,
            .op = 9,
            .seq = 7,
            .commit = 8,
            .from_op = 4,
            .base_term = {.pzxid = 4709, .generation = 3, .turn = 1},
            .version = 3,
            .has_state = true,
            .content_type = text("text/plain"),
            .state = text("hello"),
            .sent_ms = 123457,
            .operations = {.first_op = 7, .items = operations, .count = 3},
            .ids = ids,
            .ids_count = 2,
            .last = true,
        };
        break;
    case RH_PEER_SYNC_CHUNK:
        message.sync_chunk = (struct rh_peer_sync_chunk){
            .sync = 6,
            .index = 2,
            .operations = {.first_op = 7, .items = operations, .count = 2},
            .ids = ids,
            .ids_count = 1,
            .last = true,
        };
        break;
    case RH_PEER_SYNC_ACK:
        message.sync_ack = (struct rh_peer_sync_ack){
            .sync = 6,
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .op = 9,
            .confirmed = true,
            .done = true,
            .index = 2,
            .proof_age_ms = RH_PEER_NO_PROOF,
            .sent_ms = 123458,
        };
        break;
    case RH_PEER_CREDIT:
        message.credit = (struct rh_peer_credit){.channels = 64, .bytes = 8 << 20};
        break;
    case RH_PEER_REFUSED:
        message.refused = (struct rh_peer_refused){
            .about = RH_PEER_SYNC_BEGIN,
            .key = text("user:42"),
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .sync = 7,
            .code = RH_PEER_GAP,
            .have_term = {.pzxid = 4709, .generation = 3, .turn = 1},
            .have_op = 4,
        };
        break;
    case RH_PEER_REPORT:
        message.report = (struct rh_peer_report){.copies = copies, .count = 3, .round = 3};
        break;
    case RH_PEER_REPORT_END:
        message.report_end.copies = 200000;
        message.report_end.round = 3;
        break;
    case RH_PEER_FETCH:
        message.fetch = (struct rh_peer_fetch){
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .op = 9,
            .from_op = 4,
            .base_term = {.pzxid = 4709, .generation = 3, .turn = 1},
        };
        break;
    case RH_PEER_OWN:
        message.own = (struct rh_peer_own){
            .key = text("user:42"),
            .incarnation = 0x0102030405060708U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 2},
            .op = 9,
            .group = {.members = nodes, .count = 2},
        };
        break;
    case RH_PEER_OWN_ACK:
        message.own_ack = (struct rh_peer_own_ack){
            .key = text("user:43"), .term = {.pzxid = 4711, .generation = 3, .turn = 3}};
        break;
    case RH_PEER_EXPEDITE:
        message.expedite = (struct rh_peer_expedite){.key = text("user:44"), .deadline_ms = 4000};
        break;
    case RH_PEER_LEAVE:
        message.leave = (struct rh_peer_leave){
            .key = text("user:45"),
            .incarnation = 0x0102030405060709U,
            .term = {.pzxid = 4711, .generation = 3, .turn = 4},
            .reclaim = true,
        };
        break;
    case RH_PEER_LEAVE_ACK:
        message.leave_ack = (struct rh_peer_leave_ack){
            .key = text("user:46"), .term = {.pzxid = 4711, .generation = 3, .turn = 5}};
        break;
    case RH_PEER_VIEW_ASK:
        message.view_ask.above = (struct rh_epoch){.generation = 3, .pzxid = 4708};
        break;
    case RH_PEER_VIEW:
        message.view = (struct rh_peer_view){
            .epoch = {.generation = 3, .pzxid = 4712},
            .config = text("{\"replicas\":2}"),
            .members = members,
            .members_count = 2,
            .deletions = 11,
        };
        break;
    case RH_PEER_VIEW_ACK:
        break;
    case RH_PEER_LEASE_ASK:
        message.lease_ask.number = 302;
        break;
    case RH_PEER_LEASE_GRANT:
        message.lease_grant.number = 303;
        break;
    case RH_PEER_RELAY:
        message.relay = (struct rh_peer_relay){
            .from = nodes[0], .to = nodes[2], .frame = rh_bytes("\x08\x03", 2)};
        break;
    case RH_PEER_RELAY_FAILED:
        message.relay_failed.to = nodes[2];
        break;
    case RH_PEER_STREAM_OPEN:
        message.stream_open = (struct rh_peer_stream_open){
            .tunnel = 0x1234567890,
            .number = 2,
            .stream = 12,
            .key = text("user:42"),
            .has_after = true,
            .after = {.incarnation = 0x0102030405060708U, .seq = 6},
            .is_read = true,
            .is_anchored = true,
            .limit = 100,
            .wait_ms = 25000,
        };
        break;
    case RH_PEER_STREAM_SHOW:
        message.stream_show =
            (struct rh_peer_stream_show){.tunnel = 0x1234567890, .number = 5, .stream = 12};
        break;
    case RH_PEER_STREAM_STATE:
        message.stream_state = (struct rh_peer_stream_state){
            .tunnel = 0x1234567890,
            .number = 6,
            .streams = streams,
            .streams_count = 2,
            .state = operations + 1,
            .state_count = 1,
        };
        break;
    case RH_PEER_STREAM_PRESENCE:
        message.stream_presence = (struct rh_peer_stream_presence){
            .tunnel = 0x1234567890,
            .number = 7,
            .streams = streams,
            .streams_count = 2,
            .incarnation = 0x0102030405060708U,
            .left = {.items = present, .count = 1},
            .joined = {.items = present + 1, .count = 1},
            .changed = {.items = present, .count = 1},
        };
        break;
    case RH_PEER_STREAM_CLOSE:
        message.stream_close =
            (struct rh_peer_stream_close){.tunnel = 0x1234567890, .number = 3, .stream = 12};
        break;
    case RH_PEER_STREAM_TAKEN:
        message.stream_taken = (struct rh_peer_stream_taken){.tunnel = 0x1234567890,
                                                             .number = 4,
                                                             .arrived = 70000,
                                                             .rooms = rooms,
                                                             .rooms_count = 2};
        break;
    case RH_PEER_TUNNEL_CHECK:
        message.tunnel_check = (struct rh_peer_tunnel_check){.tunnel = 0x1234567890, .number = 4};
        break;
    case RH_PEER_STREAM_OPENED:
        message.stream_opened = (struct rh_peer_stream_opened){
            .tunnel = 0x1234567890,
            .number = 1,
            .stream = 12,
            .incarnation = 0x0102030405060708U,
            .seq = 6,
            .recovered = true,
        };
        break;
    case RH_PEER_STREAM_BATCH:
        message.stream_batch = (struct rh_peer_stream_batch){
            .tunnel = 0x1234567890,
            .number = 2,
            .streams = streams,
            .streams_count = 3,
            .incarnation = 0x0102030405060708U,
            .size = 300,
            .messages = messages,
            .messages_count = 2,
        };
        break;
    case RH_PEER_STREAM_READ:
        message.stream_read = (struct rh_peer_stream_read){
            .tunnel = 0x1234567890,
            .number = 3,
            .stream = 13,
            .incarnation = 0x0102030405060708U,
            .seq = 8,
            .recovered = true,
            .more = true,
            .messages = messages,
            .messages_count = 2,
        };
        break;
    case RH_PEER_STREAM_ENDED:
        message.stream_ended = (struct rh_peer_stream_ended){
            .tunnel = 0x1234567890, .number = 4, .stream = 14, .owner = "n3"};
        break;
    case RH_PEER_TUNNEL_STATE:
        message.tunnel_state = (struct rh_peer_tunnel_state){.tunnel = 0x1234567890, .number = 5};
        break;
    case RH_PEER_FOLLOW_ASK:
        message.follow_ask = (struct rh_peer_follow_ask){
            .request = 84,
            .key = text("user:42"),
            .what = RH_PEER_FOLLOW_ADD,
            .topic = text("room:7"),
            .has_after = true,
            .after = {.incarnation = 0x0102030405060708U, .seq = 16},
            .deadline_ms = 5000,
        };
        break;
    case RH_PEER_FOLLOW_ANSWER:
        message.follow_answer = (struct rh_peer_follow_answer){
            .request = 85,
            .result = RH_PEER_OK,
            .owner = "n2",
            .code = text("none"),
            .detail = text("as it was"),
            .follows = follows,
            .follows_count = 2,
        };
        break;
    case RH_PEER_TOPIC_ASK:
        message.topic_ask = (struct rh_peer_topic_ask){
            .topic = text("room:7"),
            .number = 86,
            .has_after = true,
            .after = {.incarnation = 0x0102030405060708U, .seq = 16},
            .followers = 12,
        };
        break;
    case RH_PEER_TOPIC_BATCH:
        message.topic_batch = (struct rh_peer_topic_batch){
            .topic = text("room:7"),
            .number = 86,
            .incarnation = 0x0102030405060708U,
            .after = 16,
            .up_to = 20,
            .messages = published,
            .messages_count = 2,
        };
        break;
    case RH_PEER_TOPIC_ACK:
        message.topic_ack = (struct rh_peer_topic_ack){
            .topic = text("room:7"),
            .number = 86,
            .incarnation = 0x0102030405060708U,
            .up_to = 20,
        };
        break;
    case RH_PEER_TOPIC_END:
        message.topic_end =
            (struct rh_peer_topic_end){.topic = text("room:7"), .number = 86, .owner = "n3"};
        break;
    case RH_PEER_FOLLOWERS_ASK:
        message.followers_ask =
            (struct rh_peer_followers_ask){.request = 87, .topic = text("room:7"), .limit = 100};
        break;
    case RH_PEER_FOLLOWERS_ANSWER:
        message.followers_answer = (struct rh_peer_followers_answer){
            .request = 87,
            .count = 12,
            .followers = followers,
            .followers_count = 2,
        };
        break;
    case RH_PEER_MESSAGE_KINDS:
    default:
        fail();
    }
    return message;
}

static void assert_bytes(struct rh_bytes a, struct rh_bytes b)
{
    assert_true(rh_bytes_equal(a, b));
}

static void assert_answer_equal(const struct rh_peer_publish_answer *a,
                                const struct rh_peer_publish_answer *b)
{
    assert_true(a->request == b->request);
    assert_int_equal(a->result, b->result);
    assert_string_equal(a->owner, b->owner);
    assert_bytes(a->code, b->code);
    assert_bytes(a->detail, b->detail);
    assert_true(a->seq == b->seq);
    assert_true(a->incarnation == b->incarnation);
    assert_int_equal(a->connections, b->connections);
    assert_int_equal(a->duplicate, b->duplicate);
}

static void assert_inspect_answer_equal(const struct rh_peer_inspect_answer *a,
                                        const struct rh_peer_inspect_answer *b)
{
    assert_true(a->request == b->request);
    assert_int_equal(a->result, b->result);
    assert_string_equal(a->owner, b->owner);
    assert_bytes(a->code, b->code);
    assert_bytes(a->detail, b->detail);
    assert_int_equal(a->exists, b->exists);
    assert_true(a->incarnation == b->incarnation);
    assert_true(a->first_seq == b->first_seq);
    assert_true(a->last_seq == b->last_seq);
    assert_int_equal(a->connections, b->connections);
}

static void assert_state_put_equal(const struct rh_peer_state_put *a,
                                   const struct rh_peer_state_put *b)
{
    assert_true(a->request == b->request);
    assert_bytes(a->key, b->key);
    assert_bytes(a->id, b->id);
    assert_int_equal(a->condition, b->condition);
    assert_true(a->if_version == b->if_version);
    assert_bytes(a->content_type, b->content_type);
    assert_bytes(a->state, b->state);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
}

static void assert_present_equal(const struct rh_peer_present *a, size_t a_count,
                                 const struct rh_peer_present *b, size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_bytes(a[i].client, b[i].client);
        assert_bytes(a[i].meta, b[i].meta);
        assert_int_equal(a[i].connections, b[i].connections);
    }
}

static void assert_state_answer_equal(const struct rh_peer_state_answer *a,
                                      const struct rh_peer_state_answer *b)
{
    assert_true(a->request == b->request);
    assert_int_equal(a->result, b->result);
    assert_string_equal(a->owner, b->owner);
    assert_bytes(a->code, b->code);
    assert_bytes(a->detail, b->detail);
    assert_int_equal(a->outcome, b->outcome);
    assert_true(a->version == b->version);
    assert_true(a->incarnation == b->incarnation);
    assert_bytes(a->content_type, b->content_type);
    assert_bytes(a->state, b->state);
}

static void assert_term(struct rh_term a, struct rh_term b)
{
    assert_true(rh_term_equal(a, b));
}

/* The three fields that name a copy, of messages of any kind that have them. */
#define assert_copy_named(a, b)                          \
    do {                                                 \
        assert_bytes((a).key, (b).key);                  \
        assert_true((a).incarnation == (b).incarnation); \
        assert_term((a).term, (b).term);                 \
    } while (0)

static void assert_group(const struct rh_peer_group *a, const struct rh_peer_group *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_true(rh_node_ref_equal(&a->members[i], &b->members[i]));
    }
}

static void assert_position(struct rh_position a, struct rh_position b)
{
    assert_true(a.incarnation == b.incarnation);
    assert_true(a.seq == b.seq);
}

static void assert_operations(const struct rh_peer_operations *a,
                              const struct rh_peer_operations *b)
{
    assert_int_equal(a->count, b->count);
    assert_true(a->first_op == b->first_op);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->items[i].kind, b->items[i].kind);
        assert_true(a->items[i].seq == b->items[i].seq);
        assert_true(a->items[i].version == b->items[i].version);
        assert_true(a->items[i].time_ms == b->items[i].time_ms);
        assert_int_equal(a->items[i].in_window, b->items[i].in_window);
        assert_bytes(a->items[i].id, b->items[i].id);
        assert_bytes(a->items[i].content_type, b->items[i].content_type);
        assert_int_equal(a->items[i].payload.kind, b->items[i].payload.kind);
        assert_bytes(a->items[i].payload.bytes, b->items[i].payload.bytes);
        assert_bytes(a->items[i].topic, b->items[i].topic);
        assert_position(a->items[i].position, b->items[i].position);
    }
}

static void assert_follows(const struct rh_peer_follow *a, size_t a_count,
                           const struct rh_peer_follow *b, size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_bytes(a[i].topic, b[i].topic);
        assert_position(a[i].position, b[i].position);
    }
}

static void assert_follow_ask_equal(const struct rh_peer_follow_ask *a,
                                    const struct rh_peer_follow_ask *b)
{
    assert_true(a->request == b->request);
    assert_bytes(a->key, b->key);
    assert_int_equal(a->what, b->what);
    assert_bytes(a->topic, b->topic);
    assert_int_equal(a->has_after, b->has_after);
    assert_position(a->after, b->after);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
}

static void assert_follow_answer_equal(const struct rh_peer_follow_answer *a,
                                       const struct rh_peer_follow_answer *b)
{
    assert_true(a->request == b->request);
    assert_int_equal(a->result, b->result);
    assert_string_equal(a->owner, b->owner);
    assert_bytes(a->code, b->code);
    assert_bytes(a->detail, b->detail);
    assert_follows(a->follows, a->follows_count, b->follows, b->follows_count);
}

static void assert_followers_answer_equal(const struct rh_peer_followers_answer *a,
                                          const struct rh_peer_followers_answer *b)
{
    assert_true(a->request == b->request);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->followers_count, b->followers_count);
    for (size_t i = 0; i < a->followers_count; i++) {
        assert_bytes(a->followers[i], b->followers[i]);
    }
}

static void assert_topic_batch_equal(const struct rh_peer_topic_batch *a,
                                     const struct rh_peer_topic_batch *b)
{
    const struct rh_peer_operations a_messages = {.items = a->messages, .count = a->messages_count};
    const struct rh_peer_operations b_messages = {.items = b->messages, .count = b->messages_count};
    assert_bytes(a->topic, b->topic);
    assert_true(a->number == b->number);
    assert_true(a->incarnation == b->incarnation);
    assert_true(a->after == b->after);
    assert_true(a->up_to == b->up_to);
    assert_operations(&a_messages, &b_messages);
}

static void assert_ids(const struct rh_peer_id *a, size_t a_count, const struct rh_peer_id *b,
                       size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_bytes(a[i].id, b[i].id);
        assert_true(a[i].seq == b[i].seq);
        assert_true(a[i].version == b[i].version);
        assert_true(a[i].op == b[i].op);
        assert_true(a[i].age_ms == b[i].age_ms);
    }
}

static void assert_append_equal(const struct rh_peer_append *a, const struct rh_peer_append *b)
{
    assert_copy_named(*a, *b);
    assert_term(a->prev_term, b->prev_term);
    assert_true(a->prev_op == b->prev_op);
    assert_operations(&a->operations, &b->operations);
    assert_true(a->commit == b->commit);
    assert_true(a->sent_ms == b->sent_ms);
    assert_group(&a->group, &b->group);
}

static void assert_sync_begin_equal(const struct rh_peer_sync_begin *a,
                                    const struct rh_peer_sync_begin *b)
{
    assert_true(a->sync == b->sync);
    assert_int_equal(a->purpose, b->purpose);
    assert_copy_named(*a, *b);
    assert_group(&a->group, &b->group);
    assert_int_equal(a->terms_count, b->terms_count);
    for (size_t i = 0; i < a->terms_count; i++) {
        assert_true(a->terms[i].first_op == b->terms[i].first_op);
        assert_term(a->terms[i].term, b->terms[i].term);
    }
    assert_true(a->op == b->op);
    assert_true(a->seq == b->seq);
    assert_true(a->commit == b->commit);
    assert_true(a->from_op == b->from_op);
    assert_term(a->base_term, b->base_term);
    assert_true(a->version == b->version);
    assert_int_equal(a->has_state, b->has_state);
    assert_bytes(a->content_type, b->content_type);
    assert_bytes(a->state, b->state);
    assert_true(a->sent_ms == b->sent_ms);
    assert_operations(&a->operations, &b->operations);
    assert_follows(a->follows, a->follows_count, b->follows, b->follows_count);
    assert_ids(a->ids, a->ids_count, b->ids, b->ids_count);
    assert_int_equal(a->last, b->last);
}

static void assert_refused_equal(const struct rh_peer_refused *a, const struct rh_peer_refused *b)
{
    assert_int_equal(a->about, b->about);
    assert_bytes(a->key, b->key);
    assert_term(a->term, b->term);
    assert_true(a->sync == b->sync);
    assert_int_equal(a->code, b->code);
    assert_term(a->have_term, b->have_term);
    assert_true(a->have_op == b->have_op);
}

static void assert_report_equal(const struct rh_peer_report *a, const struct rh_peer_report *b)
{
    assert_int_equal(a->round, b->round);
    assert_int_equal(a->since, b->since);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct rh_peer_copy *left = &a->copies[i];
        const struct rh_peer_copy *right = &b->copies[i];
        assert_copy_named(*left, *right);
        assert_true(left->op == right->op);
        assert_int_equal(left->state, right->state);
        assert_int_equal(left->suspect, right->suspect);
        assert_int_equal(left->lacked, right->lacked);
        assert_group(&left->group, &right->group);
        assert_true(rh_node_ref_equal(&left->passing_to, &right->passing_to));
    }
}

/* The three fields that all messages about a stream begin with. */
#define assert_stream_named(a, b)              \
    do {                                       \
        assert_true((a).tunnel == (b).tunnel); \
        assert_true((a).number == (b).number); \
        assert_true((a).stream == (b).stream); \
    } while (0)

static void assert_messages(const struct rh_peer_operation *a, size_t a_count,
                            const struct rh_peer_operation *b, size_t b_count)
{
    const struct rh_peer_operations left = {.items = a, .count = a_count};
    const struct rh_peer_operations right = {.items = b, .count = b_count};
    assert_operations(&left, &right);
}

static void assert_stream_open_equal(const struct rh_peer_stream_open *a,
                                     const struct rh_peer_stream_open *b)
{
    assert_stream_named(*a, *b);
    assert_bytes(a->key, b->key);
    assert_int_equal(a->has_after, b->has_after);
    assert_true(a->after.incarnation == b->after.incarnation);
    assert_true(a->after.seq == b->after.seq);
    assert_int_equal(a->is_read, b->is_read);
    assert_int_equal(a->is_anchored, b->is_anchored);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->wait_ms, b->wait_ms);
    assert_true(a->window == b->window);
    assert_true(a->used == b->used);
    assert_true(a->room_min == b->room_min);
    assert_bytes(a->client, b->client);
    assert_bytes(a->meta, b->meta);
    assert_int_equal(a->watches_state, b->watches_state);
    assert_int_equal(a->watches_presence, b->watches_presence);
}

static void assert_stream_taken_equal(const struct rh_peer_stream_taken *a,
                                      const struct rh_peer_stream_taken *b)
{
    assert_true(a->tunnel == b->tunnel);
    assert_true(a->number == b->number);
    assert_true(a->arrived == b->arrived);
    assert_int_equal(a->rooms_count, b->rooms_count);
    for (size_t i = 0; i < a->rooms_count; i++) {
        assert_true(a->rooms[i].stream == b->rooms[i].stream);
        assert_true(a->rooms[i].size == b->rooms[i].size);
    }
}

static void assert_stream_batch_equal(const struct rh_peer_stream_batch *a,
                                      const struct rh_peer_stream_batch *b)
{
    assert_true(a->tunnel == b->tunnel);
    assert_true(a->number == b->number);
    assert_int_equal(a->streams_count, b->streams_count);
    for (size_t i = 0; i < a->streams_count; i++) {
        assert_true(a->streams[i] == b->streams[i]);
    }
    assert_true(a->incarnation == b->incarnation);
    assert_true(a->size == b->size);
    assert_messages(a->messages, a->messages_count, b->messages, b->messages_count);
}

static void assert_stream_read_equal(const struct rh_peer_stream_read *a,
                                     const struct rh_peer_stream_read *b)
{
    assert_stream_named(*a, *b);
    assert_true(a->incarnation == b->incarnation);
    assert_true(a->seq == b->seq);
    assert_int_equal(a->recovered, b->recovered);
    assert_int_equal(a->more, b->more);
    assert_messages(a->messages, a->messages_count, b->messages, b->messages_count);
}

static void assert_view_equal(const struct rh_peer_view *a, const struct rh_peer_view *b)
{
    assert_int_equal(rh_epoch_compare(a->epoch, b->epoch), 0);
    assert_bytes(a->config, b->config);
    assert_int_equal(a->members_count, b->members_count);
    for (size_t i = 0; i < a->members_count; i++) {
        assert_bytes(a->members[i].name, b->members[i].name);
        assert_true(a->members[i].czxid == b->members[i].czxid);
        assert_bytes(a->members[i].data, b->members[i].data);
    }
    assert_true(a->deletions == b->deletions);
}

void assert_peer_message_equal(const struct rh_peer_message *a, const struct rh_peer_message *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(rh_epoch_compare(a->epoch, b->epoch), 0);
    switch (a->kind) {
    case RH_PEER_HELLO:
        assert_int_equal(a->hello.version, b->hello.version);
        assert_bytes(a->hello.cluster, b->hello.cluster);
        assert_true(rh_node_ref_equal(&a->hello.from, &b->hello.from));
        assert_true(rh_node_ref_equal(&a->hello.to, &b->hello.to));
        assert_bytes(a->hello.refusal, b->hello.refusal);
        break;
    case RH_PEER_PING:
        assert_true(a->ping.number == b->ping.number);
        break;
    case RH_PEER_PONG:
        assert_true(a->pong.number == b->pong.number);
        break;
    case RH_PEER_STATUS_ASK:
        break;
    case RH_PEER_STATUS:
        assert_bytes(a->status.json, b->status.json);
        break;
    case RH_PEER_PUBLISH:
        assert_true(a->publish.request == b->publish.request);
        assert_bytes(a->publish.key, b->publish.key);
        assert_bytes(a->publish.id, b->publish.id);
        assert_int_equal(a->publish.payload.kind, b->publish.payload.kind);
        assert_bytes(a->publish.payload.bytes, b->publish.payload.bytes);
        assert_int_equal(a->publish.deadline_ms, b->publish.deadline_ms);
        break;
    case RH_PEER_PUBLISH_ANSWER:
        assert_answer_equal(&a->publish_answer, &b->publish_answer);
        break;
    case RH_PEER_INSPECT:
        assert_true(a->inspect.request == b->inspect.request);
        assert_bytes(a->inspect.key, b->inspect.key);
        break;
    case RH_PEER_INSPECT_ANSWER:
        assert_inspect_answer_equal(&a->inspect_answer, &b->inspect_answer);
        break;
    case RH_PEER_STATE_GET:
        assert_true(a->state_get.request == b->state_get.request);
        assert_bytes(a->state_get.key, b->state_get.key);
        break;
    case RH_PEER_STATE_PUT:
        assert_state_put_equal(&a->state_put, &b->state_put);
        break;
    case RH_PEER_STATE_DELETE:
        assert_true(a->state_delete.request == b->state_delete.request);
        assert_bytes(a->state_delete.key, b->state_delete.key);
        assert_bytes(a->state_delete.id, b->state_delete.id);
        assert_int_equal(a->state_delete.condition, b->state_delete.condition);
        assert_true(a->state_delete.if_version == b->state_delete.if_version);
        assert_int_equal(a->state_delete.deadline_ms, b->state_delete.deadline_ms);
        break;
    case RH_PEER_PRESENCE_GET:
        assert_true(a->presence_get.request == b->presence_get.request);
        assert_bytes(a->presence_get.key, b->presence_get.key);
        break;
    case RH_PEER_PRESENCE_ANSWER:
        assert_true(a->presence_answer.request == b->presence_answer.request);
        assert_int_equal(a->presence_answer.result, b->presence_answer.result);
        assert_string_equal(a->presence_answer.owner, b->presence_answer.owner);
        assert_bytes(a->presence_answer.code, b->presence_answer.code);
        assert_bytes(a->presence_answer.detail, b->presence_answer.detail);
        assert_true(a->presence_answer.incarnation == b->presence_answer.incarnation);
        assert_present_equal(a->presence_answer.clients, a->presence_answer.clients_count,
                             b->presence_answer.clients, b->presence_answer.clients_count);
        break;
    case RH_PEER_PRESENCE:
        assert_bytes(a->presence.key, b->presence.key);
        assert_true(rh_term_equal(a->presence.term, b->presence.term));
        assert_true(a->presence.version == b->presence.version);
        assert_present_equal(a->presence.clients, a->presence.clients_count, b->presence.clients,
                             b->presence.clients_count);
        break;
    case RH_PEER_STATE_ANSWER:
        assert_state_answer_equal(&a->state_answer, &b->state_answer);
        break;
    case RH_PEER_APPEND:
        assert_append_equal(&a->append, &b->append);
        break;
    case RH_PEER_APPEND_ACK:
        assert_copy_named(a->append_ack, b->append_ack);
        assert_true(a->append_ack.op == b->append_ack.op);
        assert_int_equal(a->append_ack.confirmed, b->append_ack.confirmed);
        assert_true(a->append_ack.proof_age_ms == b->append_ack.proof_age_ms);
        assert_true(a->append_ack.sent_ms == b->append_ack.sent_ms);
        break;
    case RH_PEER_SYNC_BEGIN:
        assert_sync_begin_equal(&a->sync_begin, &b->sync_begin);
        break;
    case RH_PEER_SYNC_CHUNK:
        assert_true(a->sync_chunk.sync == b->sync_chunk.sync);
        assert_int_equal(a->sync_chunk.index, b->sync_chunk.index);
        assert_operations(&a->sync_chunk.operations, &b->sync_chunk.operations);
        assert_ids(a->sync_chunk.ids, a->sync_chunk.ids_count, b->sync_chunk.ids,
                   b->sync_chunk.ids_count);
        assert_int_equal(a->sync_chunk.last, b->sync_chunk.last);
        break;
    case RH_PEER_SYNC_ACK:
        assert_copy_named(a->sync_ack, b->sync_ack);
        assert_true(a->sync_ack.sync == b->sync_ack.sync);
        assert_true(a->sync_ack.op == b->sync_ack.op);
        assert_int_equal(a->sync_ack.confirmed, b->sync_ack.confirmed);
        assert_int_equal(a->sync_ack.done, b->sync_ack.done);
        assert_int_equal(a->sync_ack.index, b->sync_ack.index);
        assert_true(a->sync_ack.proof_age_ms == b->sync_ack.proof_age_ms);
        assert_true(a->sync_ack.sent_ms == b->sync_ack.sent_ms);
        break;
    case RH_PEER_CREDIT:
        assert_int_equal(a->credit.channels, b->credit.channels);
        assert_true(a->credit.bytes == b->credit.bytes);
        break;
    case RH_PEER_REFUSED:
        assert_refused_equal(&a->refused, &b->refused);
        break;
    case RH_PEER_REPORT:
        assert_report_equal(&a->report, &b->report);
        break;
    case RH_PEER_REPORT_END:
        assert_true(a->report_end.copies == b->report_end.copies);
        assert_int_equal(a->report_end.round, b->report_end.round);
        break;
    case RH_PEER_FETCH:
        assert_copy_named(a->fetch, b->fetch);
        assert_true(a->fetch.op == b->fetch.op);
        assert_true(a->fetch.from_op == b->fetch.from_op);
        assert_term(a->fetch.base_term, b->fetch.base_term);
        break;
    case RH_PEER_OWN:
        assert_copy_named(a->own, b->own);
        assert_true(a->own.op == b->own.op);
        assert_group(&a->own.group, &b->own.group);
        break;
    case RH_PEER_OWN_ACK:
        assert_bytes(a->own_ack.key, b->own_ack.key);
        assert_term(a->own_ack.term, b->own_ack.term);
        break;
    case RH_PEER_EXPEDITE:
        assert_bytes(a->expedite.key, b->expedite.key);
        assert_int_equal(a->expedite.deadline_ms, b->expedite.deadline_ms);
        break;
    case RH_PEER_LEAVE:
        assert_copy_named(a->leave, b->leave);
        assert_int_equal(a->leave.reclaim, b->leave.reclaim);
        break;
    case RH_PEER_LEAVE_ACK:
        assert_bytes(a->leave_ack.key, b->leave_ack.key);
        assert_term(a->leave_ack.term, b->leave_ack.term);
        break;
    case RH_PEER_VIEW_ASK:
        assert_int_equal(rh_epoch_compare(a->view_ask.above, b->view_ask.above), 0);
        break;
    case RH_PEER_VIEW:
        assert_view_equal(&a->view, &b->view);
        break;
    case RH_PEER_VIEW_ACK:
        break;
    case RH_PEER_LEASE_ASK:
        assert_true(a->lease_ask.number == b->lease_ask.number);
        break;
    case RH_PEER_LEASE_GRANT:
        assert_true(a->lease_grant.number == b->lease_grant.number);
        break;
    case RH_PEER_RELAY:
        assert_true(rh_node_ref_equal(&a->relay.from, &b->relay.from));
        assert_true(rh_node_ref_equal(&a->relay.to, &b->relay.to));
        assert_bytes(a->relay.frame, b->relay.frame);
        break;
    case RH_PEER_RELAY_FAILED:
        assert_true(rh_node_ref_equal(&a->relay_failed.to, &b->relay_failed.to));
        break;
    case RH_PEER_STREAM_OPEN:
        assert_stream_open_equal(&a->stream_open, &b->stream_open);
        break;
    case RH_PEER_STREAM_SHOW:
        assert_stream_named(a->stream_show, b->stream_show);
        break;
    case RH_PEER_STREAM_STATE:
        assert_true(a->stream_state.tunnel == b->stream_state.tunnel);
        assert_true(a->stream_state.number == b->stream_state.number);
        assert_int_equal(a->stream_state.streams_count, b->stream_state.streams_count);
        assert_int_equal(a->stream_state.state_count, b->stream_state.state_count);
        assert_true(a->stream_state.state_count == 0 ||
                    a->stream_state.state[0].version == b->stream_state.state[0].version);
        break;
    case RH_PEER_STREAM_PRESENCE:
        assert_true(a->stream_presence.tunnel == b->stream_presence.tunnel);
        assert_true(a->stream_presence.number == b->stream_presence.number);
        assert_int_equal(a->stream_presence.streams_count, b->stream_presence.streams_count);
        assert_true(a->stream_presence.incarnation == b->stream_presence.incarnation);
        assert_int_equal(a->stream_presence.is_whole, b->stream_presence.is_whole);
        assert_present_equal(a->stream_presence.left.items, a->stream_presence.left.count,
                             b->stream_presence.left.items, b->stream_presence.left.count);
        assert_present_equal(a->stream_presence.joined.items, a->stream_presence.joined.count,
                             b->stream_presence.joined.items, b->stream_presence.joined.count);
        assert_present_equal(a->stream_presence.changed.items, a->stream_presence.changed.count,
                             b->stream_presence.changed.items, b->stream_presence.changed.count);
        break;
    case RH_PEER_STREAM_CLOSE:
        assert_stream_named(a->stream_close, b->stream_close);
        break;
    case RH_PEER_STREAM_TAKEN:
        assert_stream_taken_equal(&a->stream_taken, &b->stream_taken);
        break;
    case RH_PEER_TUNNEL_CHECK:
        assert_true(a->tunnel_check.tunnel == b->tunnel_check.tunnel);
        assert_true(a->tunnel_check.number == b->tunnel_check.number);
        break;
    case RH_PEER_STREAM_OPENED:
        assert_stream_named(a->stream_opened, b->stream_opened);
        assert_true(a->stream_opened.incarnation == b->stream_opened.incarnation);
        assert_true(a->stream_opened.seq == b->stream_opened.seq);
        assert_int_equal(a->stream_opened.recovered, b->stream_opened.recovered);
        break;
    case RH_PEER_STREAM_BATCH:
        assert_stream_batch_equal(&a->stream_batch, &b->stream_batch);
        break;
    case RH_PEER_STREAM_READ:
        assert_stream_read_equal(&a->stream_read, &b->stream_read);
        break;
    case RH_PEER_STREAM_ENDED:
        assert_stream_named(a->stream_ended, b->stream_ended);
        assert_string_equal(a->stream_ended.owner, b->stream_ended.owner);
        assert_bytes(a->stream_ended.code, b->stream_ended.code);
        break;
    case RH_PEER_TUNNEL_STATE:
        assert_true(a->tunnel_state.tunnel == b->tunnel_state.tunnel);
        assert_true(a->tunnel_state.number == b->tunnel_state.number);
        assert_int_equal(a->tunnel_state.is_broken, b->tunnel_state.is_broken);
        break;
    case RH_PEER_FOLLOW_ASK:
        assert_follow_ask_equal(&a->follow_ask, &b->follow_ask);
        break;
    case RH_PEER_FOLLOW_ANSWER:
        assert_follow_answer_equal(&a->follow_answer, &b->follow_answer);
        break;
    case RH_PEER_FOLLOWERS_ASK:
        assert_true(a->followers_ask.request == b->followers_ask.request);
        assert_bytes(a->followers_ask.topic, b->followers_ask.topic);
        assert_int_equal(a->followers_ask.limit, b->followers_ask.limit);
        break;
    case RH_PEER_FOLLOWERS_ANSWER:
        assert_followers_answer_equal(&a->followers_answer, &b->followers_answer);
        break;
    case RH_PEER_TOPIC_ASK:
        assert_bytes(a->topic_ask.topic, b->topic_ask.topic);
        assert_true(a->topic_ask.number == b->topic_ask.number);
        assert_int_equal(a->topic_ask.has_after, b->topic_ask.has_after);
        assert_position(a->topic_ask.after, b->topic_ask.after);
        assert_int_equal(a->topic_ask.followers, b->topic_ask.followers);
        break;
    case RH_PEER_TOPIC_BATCH:
        assert_topic_batch_equal(&a->topic_batch, &b->topic_batch);
        break;
    case RH_PEER_TOPIC_ACK:
        assert_bytes(a->topic_ack.topic, b->topic_ack.topic);
        assert_true(a->topic_ack.number == b->topic_ack.number);
        assert_true(a->topic_ack.incarnation == b->topic_ack.incarnation);
        assert_true(a->topic_ack.up_to == b->topic_ack.up_to);
        break;
    case RH_PEER_TOPIC_END:
        assert_bytes(a->topic_end.topic, b->topic_end.topic);
        assert_true(a->topic_end.number == b->topic_end.number);
        assert_string_equal(a->topic_end.owner, b->topic_end.owner);
        break;
    case RH_PEER_MESSAGE_KINDS:
    default:
        fail();
    }
}

void assert_peer_message_round_trip(const struct rh_peer_message *message)
{
    const size_t size_max = 4U << 20;
    struct rh_buffer frame = {0};
    struct rh_peer_decoder *decoder = NULL;
    struct rh_peer_message back;
    struct rh_reason reason = {0};
    int rv = rh_peer_message_check(message, &reason);
    assert_string_equal(reason.text, "");
    assert_int_equal(rv, 0);
    assert_int_equal(rh_peer_encode(message, size_max, &frame), 0);
    assert_int_equal(rh_peer_decoder_create(size_max, &decoder), 0);
    const struct rh_bytes bytes = rh_buffer_content(&frame);
    assert_int_equal(rh_peer_decoder_feed(decoder, bytes.data, bytes.size), 0);
    rv = rh_peer_decoder_next(decoder, &back, &reason);
    assert_string_equal(reason.text, "");
    assert_int_equal(rv, 0);
    assert_peer_message_equal(message, &back);
    rh_peer_decoder_destroy(decoder);
    rh_buffer_finish(&frame);
}

void assert_peer_message_refused(const struct rh_peer_message *message, const char *field)
{
    struct rh_reason reason = {0};
    struct rh_buffer buffer = {0};
    assert_int_equal(rh_peer_message_check(message, &reason), RH_ERR_INVALID);
    if (strncmp(reason.text, field, strlen(field)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", reason.text, field);
    }
    assert_int_equal(rh_peer_encode(message, RH_PEER_FRAME_SIZE_MAX, &buffer), RH_ERR_INVALID);
    assert_int_equal(rh_buffer_size(&buffer), 0);
}
