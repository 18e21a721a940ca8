/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_REGISTRATION_H
#define RH_PROTO_REGISTRATION_H

/*
 * What stands in ZooKeeper, as data: the registration of a node, the config that all nodes share,
 * and an operator's request to a node. All three are JSON objects, so that zkCli shows them;
 * unknown fields are ignored. This module encodes and decodes; node/membership.h has the rules.
 *
 *   /ringhop/<cluster>/config
 *   /ringhop/<cluster>/members/<id>.<sequence>
 *   /ringhop/<cluster>/requests/<id>
 */

#include "base/bytes.h"
#include "base/error.h"
#include "proto/identity.h"

#include <string.h>

#define RH_ZONE_SIZE     65  /* with terminator */
#define RH_ADDRESS_SIZE  262 /* with terminator: "host:port" */
#define RH_URL_SIZE      270 /* with terminator: "wss://host:port" */
#define RH_VERSION_SIZE  33  /* with terminator */
#define RH_CONFIG_FORMAT 1

#define RH_REGISTRATION_NAME_SIZE 76      /* with terminator: "<id>.<ten digits>" */
#define RH_SHARED_CONFIG_SIZE_MAX 1000000 /* bytes; ZooKeeper takes little more than that */
#define RH_RECORD_MEMBERS_MAX     4096    /* 1,024 of the longest names and addresses fit */
#define RH_RECORD_FORGOTTEN_MAX   4096

/* Data of members/<id>.<sequence>; immutable once written. */
struct rh_registration {
    char id[RH_NODE_ID_SIZE];
    uint64_t instance;             /* random id of this process run */
    uint32_t weight_milli;         /* 0: alive, outside the ring */
    char zone[RH_ZONE_SIZE];       /* "" when none */
    char url[RH_URL_SIZE];         /* what clients are told: ws://host:port or wss://host:port */
    char peer[RH_ADDRESS_SIZE];    /* where peers connect */
    char admin[RH_ADDRESS_SIZE];   /* where the admin listener is */
    char version[RH_VERSION_SIZE]; /* of the software */

    /* Name of the first registration of its chain, n1.0000000003; "" when it is that itself. A
     * chain are registrations of one process of which each replaced the one before in one
     * transaction. */
    char origin[RH_REGISTRATION_NAME_SIZE];
};

/* The process that registered. */
static inline struct rh_node_ref rh_registration_ref(const struct rh_registration *registration)
{
    struct rh_node_ref ref = {.instance = registration->instance};
    memcpy(ref.id, registration->id, sizeof(ref.id));
    return ref;
}

/* What all nodes of a cluster must share: the first part of the data of config. */
struct rh_shared_config {
    uint64_t generation; /* from 1; raised when ZooKeeper's data was lost */
    uint32_t format;     /* RH_CONFIG_FORMAT */
    uint32_t vnodes;
    uint32_t replicas;
    uint64_t seed;
    uint32_t session_timeout_ms; /* 0: not said, as earlier versions did */
};

struct rh_record_member {
    char id[RH_NODE_ID_SIZE];
    uint64_t instance;
    char origin[RH_REGISTRATION_NAME_SIZE]; /* of its chain; its own name if it is the first */
    char peer[RH_ADDRESS_SIZE];
};

static inline struct rh_node_ref rh_record_member_ref(const struct rh_record_member *member)
{
    struct rh_node_ref ref = {.instance = member->instance};
    memcpy(ref.id, member->id, sizeof(ref.id));
    return ref;
}

/*
 * The second part of the data of config: the last view that was complete, that is, of which every
 * member had adopted it and said so (docs/protocol-cluster.md, V6), and who of it need not be heard
 * any more (V7). It owns its arrays; zeroed is a valid one that records nothing.
 */
struct rh_record {
    struct rh_epoch last; /* zero: no view was recorded, its members are unknown. Its generation may
                             be an earlier one than that of the config */
    struct rh_record_member *members; /* in order of id. None though a view was recorded: the last
                                         of them stopped in order */
    size_t members_count;
    uint64_t *forgotten; /* instances that the operator gave up */
    size_t forgotten_count;
};

/* As a forgotten instance: all whom nobody knows, where `last` is zero. */
#define RH_FORGOTTEN_UNKNOWN 0

enum rh_request_kind {
    RH_REQUEST_DRAIN,  /* weight 0 until joined again */
    RH_REQUEST_JOIN,   /* back to the weight of the node's config */
    RH_REQUEST_WEIGHT, /* that weight */
};

enum rh_request_state {
    RH_REQUEST_ASKED,   /* written by the operator */
    RH_REQUEST_WORKING, /* the node has seen it and is moving channels */
    RH_REQUEST_DONE,
    RH_REQUEST_FAILED, /* `reason` says why */
};

/* Data of requests/<id>. It stays: a node that restarts starts as the last request left it. */
struct rh_request {
    uint64_t number; /* random, never 0: tells one request from the next */
    enum rh_request_kind kind;
    uint32_t weight_milli; /* of RH_REQUEST_WEIGHT */
    enum rh_request_state state;
    uint64_t channels_left;    /* progress: channels still here */
    uint64_t connections_left; /* progress: connections still here */
    char reason[128];
};

/* Encoders give a terminated string that the caller frees, or NULL when out of memory. Equal values
 * give equal bytes. The fields must be such as the decoders accept. */
char *rh_registration_encode(const struct rh_registration *registration);
char *rh_shared_config_encode(const struct rh_shared_config *config,
                              const struct rh_record *record); /* NULL: nothing is recorded */
char *rh_request_encode(const struct rh_request *request);

/* Decoders check every field. RH_ERR_INVALID with a reason that names the field (znode data may
 * have been written by anyone), RH_ERR_NO_MEMORY (where the JSON parser tells: within a token it
 * calls it a syntax error). */
RH_MUST_CHECK int rh_registration_decode(struct rh_bytes data,
                                         struct rh_registration *ret_registration,
                                         struct rh_reason *reason);
/* |ret_record| may be NULL; otherwise end it with rh_record_finish(). */
RH_MUST_CHECK int rh_shared_config_decode(struct rh_bytes data, struct rh_shared_config *ret_config,
                                          struct rh_record *ret_record, struct rh_reason *reason);
RH_MUST_CHECK int rh_request_decode(struct rh_bytes data, struct rh_request *ret_request,
                                    struct rh_reason *reason);

/* Frees what it owns, and zeroes it. NULL is allowed. */
void rh_record_finish(struct rh_record *record);

/* Index of that instance among the members, or `members_count`. */
size_t rh_record_find(const struct rh_record *record, uint64_t instance);

bool rh_record_forgets(const struct rh_record *record, uint64_t instance);

/* Whether |name| is "<id>.<ten digits>", which is what ZooKeeper makes of a registration of |id|;
 * NULL is any id. */
bool rh_registration_name_valid(const char *name, const char *id);

/* A request that does not decode, marked as failed: the same object with `state` and `reason` set.
 * The caller frees it. NULL: |data| is no JSON object, or out of memory. Refusing the result again
 * for the same reason gives the same bytes. */
char *rh_request_refuse(struct rh_bytes data, const char *why);

const char *rh_request_kind_name(enum rh_request_kind kind);    /* "drain" ... */
const char *rh_request_state_name(enum rh_request_state state); /* "asked" ... */

#endif
