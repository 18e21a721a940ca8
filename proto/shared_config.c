/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/registration.h"

#include "proto/znode_json.h"

#include <inttypes.h>
#include <stdlib.h>

/* Those of the ring (docs/ring.md), which this layer does not know. */
#define VNODES_MAX   65536U
#define REPLICAS_MAX 16U

/* Reading. */

static int read_parameters(const json_t *object, struct rh_shared_config *config,
                           struct rh_reason *reason)
{
    int rv = rh_znode_read_u32(object, "format", UINT32_MAX, &config->format, reason);
    if (rv != 0) {
        return rv;
    }
    if (config->format != RH_CONFIG_FORMAT) {
        /* What else stands there means something that this software does not know. */
        return rh_fail(reason, RH_ERR_INVALID, "format: is %" PRIu32 ", this software knows %d",
                       config->format, RH_CONFIG_FORMAT);
    }
    rv = rh_znode_read_integer(object, "generation", false, 1, INT64_MAX, &config->generation,
                               reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_u32(object, "vnodes", VNODES_MAX, &config->vnodes, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_u32(object, "replicas", REPLICAS_MAX, &config->replicas, reason);
    if (rv != 0) {
        return rv;
    }
    uint64_t session_timeout_ms = 0;
    rv = rh_znode_read_integer(object, "session_timeout_ms", true, 1, UINT32_MAX,
                               &session_timeout_ms, reason);
    if (rv != 0) {
        return rv;
    }
    config->session_timeout_ms = (uint32_t)session_timeout_ms;
    return rh_znode_read_id64(object, "seed", &config->seed, reason);
}

static int read_member(const json_t *object, struct rh_record_member *member,
                       struct rh_reason *reason)
{
    if (!json_is_object(object)) {
        return rh_fail(reason, RH_ERR_INVALID, "not an object");
    }
    int rv = rh_znode_read_node_id(object, member->id, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_instance(object, &member->instance, reason);
    if (rv != 0) {
        return rv;
    }
    rv = rh_znode_read_origin(object, member->id, false, member->origin, reason);
    if (rv != 0) {
        return rv;
    }
    return rh_znode_read_address(object, "peer", false, member->peer, reason);
}

/* The array |field| of |object|, of at most |max| items; none when it is missing. */
static int find_array(const json_t *object, const char *field, size_t max, const json_t **ret_array,
                      struct rh_reason *reason)
{
    const json_t *array = json_object_get(object, field);
    if (array != NULL && !json_is_array(array)) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: not an array", field);
    }
    if (json_array_size(array) > max) {
        return rh_fail(reason, RH_ERR_INVALID, "%s: has more than %zu items", field, max);
    }
    *ret_array = array;
    return 0;
}

static int read_members(const json_t *last, struct rh_record *record, struct rh_reason *reason)
{
    const json_t *array = NULL;
    int rv = find_array(last, "members", RH_RECORD_MEMBERS_MAX, &array, reason);
    if (rv != 0 || json_array_size(array) == 0) {
        return rv;
    }
    record->members = calloc(json_array_size(array), sizeof(*record->members));
    if (record->members == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct rh_reason why = {0};
        rv = read_member(json_array_get(array, i), &record->members[i], &why);
        if (rv != 0) {
            return rh_fail(reason, rv, "last.members[%zu].%s", i, why.text);
        }
        record->members_count = i + 1;
    }
    return 0;
}

static int read_last(const json_t *object, const struct rh_shared_config *config,
                     struct rh_record *record, struct rh_reason *reason)
{
    const json_t *last = json_object_get(object, "last");
    if (last == NULL) {
        return 0;
    }
    if (!json_is_object(last)) {
        return rh_fail(reason, RH_ERR_INVALID, "last: not an object");
    }
    struct rh_reason why = {0};
    uint64_t pzxid = 0;
    int rv = rh_znode_read_integer(last, "generation", false, 1, config->generation,
                                   &record->last.generation, &why);
    if (rv == 0) {
        rv = rh_znode_read_integer(last, "pzxid", false, 0, INT64_MAX, &pzxid, &why);
    }
    if (rv != 0) {
        return rh_fail(reason, rv, "last.%s", why.text);
    }
    record->last.pzxid = (int64_t)pzxid;
    return read_members(last, record, reason);
}

static int read_forgotten(const json_t *object, struct rh_record *record, struct rh_reason *reason)
{
    const json_t *array = NULL;
    int rv = find_array(object, "forgotten", RH_RECORD_FORGOTTEN_MAX, &array, reason);
    if (rv != 0 || json_array_size(array) == 0) {
        return rv;
    }
    record->forgotten = calloc(json_array_size(array), sizeof(*record->forgotten));
    if (record->forgotten == NULL) {
        return rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL || rh_bytes_to_id64(rh_bytes_text(text), &record->forgotten[i]) != 0) {
            return rh_fail(reason, RH_ERR_INVALID, "forgotten[%zu]: not 16 hex digits", i);
        }
        record->forgotten_count = i + 1;
    }
    return 0;
}

int rh_shared_config_decode(struct rh_bytes data, struct rh_shared_config *ret_config,
                            struct rh_record *ret_record, struct rh_reason *reason)
{
    json_t *object = NULL;
    int rv = rh_znode_load(data, RH_SHARED_CONFIG_SIZE_MAX, &object, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_shared_config config = {0};
    struct rh_record record = {0};
    rv = read_parameters(object, &config, reason);
    if (rv == 0) {
        rv = read_last(object, &config, &record, reason);
    }
    if (rv == 0) {
        rv = read_forgotten(object, &record, reason);
    }
    json_decref(object);
    if (rv != 0) {
        rh_record_finish(&record);
        return rv;
    }
    *ret_config = config;
    if (ret_record == NULL) {
        rh_record_finish(&record);
    } else {
        *ret_record = record;
    }
    return 0;
}

/* Writing. */

static json_t *member_value(const struct rh_record_member *member)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "id", rh_znode_text_value(member->id));
    rv |= json_object_set_new(object, "instance", rh_znode_id64_value(member->instance));
    rv |= json_object_set_new(object, "origin", rh_znode_text_value(member->origin));
    rv |= json_object_set_new(object, "peer", rh_znode_text_value(member->peer));
    if (rv != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int set_last(json_t *object, const struct rh_record *record)
{
    json_t *last = json_object();
    json_t *members = json_array();
    int rv = 0;
    rv |=
        json_object_set_new(last, "generation", json_integer((json_int_t)record->last.generation));
    rv |= json_object_set_new(last, "pzxid", json_integer(record->last.pzxid));
    for (size_t i = 0; i < record->members_count && rv == 0; i++) {
        rv |= json_array_append_new(members, member_value(&record->members[i]));
    }
    rv |= json_object_set_new(last, "members", members);
    rv |= json_object_set_new(object, "last", last);
    return rv;
}

static int set_forgotten(json_t *object, const struct rh_record *record)
{
    json_t *array = json_array();
    int rv = 0;
    for (size_t i = 0; i < record->forgotten_count && rv == 0; i++) {
        rv |= json_array_append_new(array, rh_znode_id64_value(record->forgotten[i]));
    }
    return rv | json_object_set_new(object, "forgotten", array);
}

char *rh_shared_config_encode(const struct rh_shared_config *config, const struct rh_record *record)
{
    json_t *object = json_object();
    int rv = 0;
    rv |= json_object_set_new(object, "format", json_integer(config->format));
    rv |= json_object_set_new(object, "generation", json_integer((json_int_t)config->generation));
    rv |= json_object_set_new(object, "vnodes", json_integer(config->vnodes));
    rv |= json_object_set_new(object, "replicas", json_integer(config->replicas));
    rv |= json_object_set_new(object, "seed", rh_znode_id64_value(config->seed));
    if (config->session_timeout_ms != 0) {
        rv |= json_object_set_new(object, "session_timeout_ms",
                                  json_integer(config->session_timeout_ms));
    }
    if (record != NULL && record->last.generation != 0) {
        rv |= set_last(object, record);
    }
    if (record != NULL && record->forgotten_count > 0) {
        rv |= set_forgotten(object, record);
    }
    return rh_znode_dump(object, rv);
}

/* The record. */

void rh_record_finish(struct rh_record *record)
{
    if (record != NULL) {
        free(record->members);
        free(record->forgotten);
        *record = (struct rh_record){0};
    }
}

size_t rh_record_find(const struct rh_record *record, uint64_t instance)
{
    size_t i = 0;
    while (i < record->members_count && record->members[i].instance != instance) {
        i++;
    }
    return i;
}

bool rh_record_forgets(const struct rh_record *record, uint64_t instance)
{
    for (size_t i = 0; i < record->forgotten_count; i++) {
        if (record->forgotten[i] == instance) {
            return true;
        }
    }
    return false;
}
