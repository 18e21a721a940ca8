/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/peer_message_internal.h"

#include <assert.h>

const char *rh_peer_message_name(enum rh_peer_message_kind kind)
{
    static const char *const names[] = {
#define NAME(suffix, member, name) [RH_PEER_##suffix] = name,
        RH_PEER_MESSAGE_MAP(NAME)
#undef NAME
    };
    assert((unsigned)kind < RH_PEER_MESSAGE_KINDS);
    return names[kind];
}

const char *rh_peer_result_name(enum rh_peer_result result)
{
    static const char *const names[] = {"ok", "not_owner", "refused", "unknown"};
    assert((unsigned)result < RH_PEER_RESULTS);
    return names[result];
}

/* A text for people that may stand in a log line. */
static bool text_valid(struct rh_bytes text, size_t size_max)
{
    if (text.size > size_max || !rh_bytes_is_utf8(text)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

bool rh_peer_code_valid(struct rh_bytes code)
{
    for (size_t i = 0; i < code.size; i++) {
        if (code.data[i] <= 0x20 || code.data[i] > 0x7e) {
            return false;
        }
    }
    return code.size <= RH_PEER_CODE_SIZE_MAX;
}

bool rh_peer_node_id_valid(const char id[RH_NODE_ID_SIZE])
{
    return rh_node_id_valid(rh_bytes(id, strnlen(id, RH_NODE_ID_SIZE)));
}

int rh_peer_check_hello(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_hello *hello = &message->hello;
    if (hello->version == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.version: is 0");
    }
    if (hello->cluster.size == 0 || !text_valid(hello->cluster, RH_PEER_CLUSTER_SIZE_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.cluster: not a name of 1 to %d bytes",
                       RH_PEER_CLUSTER_SIZE_MAX);
    }
    if (!rh_peer_node_id_valid(hello->from.id)) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.from.id: not a node id");
    }
    if (hello->from.instance == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.from.instance: is 0");
    }
    if (hello->to.id[0] != '\0' && !rh_peer_node_id_valid(hello->to.id)) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.to.id: not a node id");
    }
    if (hello->to.id[0] == '\0' && hello->to.instance != 0) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.to.id: missing beside an instance");
    }
    if (!text_valid(hello->refusal, RH_PEER_TEXT_SIZE_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "hello.refusal: not a text of at most %d bytes",
                       RH_PEER_TEXT_SIZE_MAX);
    }
    return 0;
}

int rh_peer_check_ping(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_pong(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_status_ask(const struct rh_peer_message *message, struct rh_reason *reason)
{
    (void)message;
    (void)reason;
    return 0;
}

int rh_peer_check_status(const struct rh_peer_message *message, struct rh_reason *reason)
{
    struct rh_bytes json = message->status.json;
    if (json.size == 0 || json.size > RH_PEER_STATUS_SIZE_MAX || !rh_bytes_is_utf8(json)) {
        return rh_fail(reason, RH_ERR_INVALID, "status.json: not 1 to %d bytes of UTF-8",
                       RH_PEER_STATUS_SIZE_MAX);
    }
    return 0;
}

int rh_peer_check_key(struct rh_bytes key, const char *name, struct rh_reason *reason)
{
    if (!rh_key_valid(key)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s.key: not 1 to %d bytes of UTF-8 without control characters", name,
                       RH_KEY_SIZE_MAX);
    }
    return 0;
}

int rh_peer_check_payload(const struct rh_payload *payload, const char *name,
                          struct rh_reason *reason)
{
    switch (payload->kind) {
    case RH_PAYLOAD_BINARY:
        return 0;
    case RH_PAYLOAD_JSON:
        if (payload->bytes.size == 0) {
            return rh_fail(reason, RH_ERR_INVALID, "%s.payload: JSON of 0 bytes", name);
        }
        break;
    case RH_PAYLOAD_TEXT:
        break;
    default:
        return rh_fail(reason, RH_ERR_INVALID, "%s.payload_kind: unknown", name);
    }
    if (!rh_bytes_is_utf8(payload->bytes)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.payload: not UTF-8", name);
    }
    return 0;
}

int rh_peer_check_publish(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_publish *publish = &message->publish;
    int rv = rh_peer_check_key(publish->key, "publish", reason);
    if (rv != 0) {
        return rv;
    }
    if (!rh_message_id_valid(publish->id)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "publish.id: not 1 to %d characters of printable ASCII",
                       RH_MESSAGE_ID_SIZE_MAX);
    }
    return rh_peer_check_payload(&publish->payload, "publish", reason);
}

/* What all answers about a channel begin with. */
int rh_peer_check_answer(enum rh_peer_result result, const char owner[RH_NODE_ID_SIZE],
                         struct rh_bytes code, struct rh_bytes detail, const char *name,
                         struct rh_reason *reason)
{
    if ((unsigned)result >= RH_PEER_RESULTS) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.result: unknown", name);
    }
    if (owner[0] == '\0' ? result == RH_PEER_OK : !rh_peer_node_id_valid(owner)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.owner: not a node id", name);
    }
    if (!rh_peer_code_valid(code) || (code.size == 0 && result == RH_PEER_RESULT_REFUSED)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.code: not an error code of at most %d bytes",
                       name, RH_PEER_CODE_SIZE_MAX);
    }
    if (!text_valid(detail, RH_PEER_TEXT_SIZE_MAX)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.detail: not a text of at most %d bytes", name,
                       RH_PEER_TEXT_SIZE_MAX);
    }
    return 0;
}

int rh_peer_check_publish_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_publish_answer *answer = &message->publish_answer;
    int rv = rh_peer_check_answer(answer->result, answer->owner, answer->code, answer->detail,
                                  "publish_answer", reason);
    if (rv != 0) {
        return rv;
    }
    if (answer->seq > INT64_MAX || (answer->seq == 0 && answer->result == RH_PEER_OK)) {
        return rh_fail(reason, RH_ERR_INVALID, "publish_answer.seq: out of range");
    }
    if (answer->incarnation == 0 && answer->result == RH_PEER_OK) {
        return rh_fail(reason, RH_ERR_INVALID, "publish_answer.incarnation: is 0");
    }
    return 0;
}

int rh_peer_check_inspect(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return rh_peer_check_key(message->inspect.key, "inspect", reason);
}

int rh_peer_check_inspect_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_inspect_answer *answer = &message->inspect_answer;
    int rv = rh_peer_check_answer(answer->result, answer->owner, answer->code, answer->detail,
                                  "inspect_answer", reason);
    if (rv != 0 || !answer->exists) {
        return rv;
    }
    if (answer->incarnation == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "inspect_answer.incarnation: is 0");
    }
    if (answer->last_seq > INT64_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "inspect_answer.last_seq: out of range");
    }
    if (answer->first_seq == 0 || answer->first_seq > answer->last_seq + 1) {
        return rh_fail(reason, RH_ERR_INVALID, "inspect_answer.first_seq: out of range");
    }
    return 0;
}

int rh_peer_check_state_get(const struct rh_peer_message *message, struct rh_reason *reason)
{
    return rh_peer_check_key(message->state_get.key, "state_get", reason);
}

/* What both kinds of writes have. */
static int check_state_write(struct rh_bytes key, struct rh_bytes id,
                             enum rh_peer_state_condition condition, uint64_t if_version,
                             const char *name, struct rh_reason *reason)
{
    int rv = rh_peer_check_key(key, name, reason);
    if (rv != 0) {
        return rv;
    }
    if (!rh_message_id_valid(id)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.id: not an id of a write", name);
    }
    if ((unsigned)condition >= RH_PEER_STATE_CONDITIONS) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.condition: unknown", name);
    }
    if (if_version > (condition == RH_PEER_STATE_VERSION ? (uint64_t)INT64_MAX : 0)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s.if_version: out of range", name);
    }
    return 0;
}

int rh_peer_check_state_put(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_state_put *put = &message->state_put;
    int rv =
        check_state_write(put->key, put->id, put->condition, put->if_version, "state_put", reason);
    if (rv == 0 && !rh_content_type_valid(put->content_type)) {
        return rh_fail(reason, RH_ERR_INVALID, "state_put.content_type: not one");
    }
    return rv;
}

int rh_peer_check_state_delete(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_state_delete *remove = &message->state_delete;
    int rv = check_state_write(remove->key, remove->id, remove->condition, remove->if_version,
                               "state_delete", reason);
    if (rv == 0 && remove->condition == RH_PEER_STATE_ABSENT) {
        return rh_fail(reason, RH_ERR_INVALID, "state_delete.condition: of a put");
    }
    return rv;
}

int rh_peer_check_state_answer(const struct rh_peer_message *message, struct rh_reason *reason)
{
    const struct rh_peer_state_answer *answer = &message->state_answer;
    int rv = rh_peer_check_answer(answer->result, answer->owner, answer->code, answer->detail,
                                  "state_answer", reason);
    if (rv != 0) {
        return rv;
    }
    enum rh_peer_state_outcome outcome = answer->outcome;
    if (answer->result != RH_PEER_OK ? outcome != RH_PEER_STATE_FOUND
                                     : (unsigned)outcome >= RH_PEER_STATE_OUTCOMES) {
        return rh_fail(reason, RH_ERR_INVALID, "state_answer.outcome: unknown, or without result");
    }
    bool is_found = answer->result == RH_PEER_OK && outcome == RH_PEER_STATE_FOUND;
    bool may_have_none = answer->result != RH_PEER_OK || outcome == RH_PEER_STATE_CONFLICT ||
                         outcome == RH_PEER_STATE_NONE;
    bool has_none = answer->result != RH_PEER_OK || outcome == RH_PEER_STATE_NONE;
    if (answer->version > (has_none ? 0 : (uint64_t)INT64_MAX) ||
        (answer->version == 0 && !may_have_none)) {
        return rh_fail(reason, RH_ERR_INVALID, "state_answer.version: out of range");
    }
    if (answer->incarnation == 0 && answer->version != 0) {
        return rh_fail(reason, RH_ERR_INVALID, "state_answer.incarnation: is 0");
    }
    if (!rh_content_type_valid(answer->content_type) ||
        (answer->content_type.size > 0 && !is_found)) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "state_answer.content_type: not one, or without a document");
    }
    if (answer->state.size > 0 && !is_found) {
        return rh_fail(reason, RH_ERR_INVALID, "state_answer.state: of no document");
    }
    return 0;
}

int rh_peer_message_check(const struct rh_peer_message *message, struct rh_reason *reason)
{
    static int (*const checks[])(const struct rh_peer_message *, struct rh_reason *) = {
#define CHECK(suffix, member, name) [RH_PEER_##suffix] = rh_peer_check_##member,
        RH_PEER_MESSAGE_MAP(CHECK)
#undef CHECK
    };
    if ((unsigned)message->kind >= RH_PEER_MESSAGE_KINDS) {
        return rh_fail(reason, RH_ERR_INVALID, "frame.body: unknown kind %d", (int)message->kind);
    }
    if (message->epoch.pzxid < 0) {
        return rh_fail(reason, RH_ERR_INVALID, "frame.pzxid: negative");
    }
    return checks[message->kind](message, reason);
}
