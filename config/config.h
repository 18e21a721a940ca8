/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CONFIG_CONFIG_H
#define RH_CONFIG_CONFIG_H

/*
 * The cluster config: one YAML file that all nodes and the CLI read. This module turns the file
 * into a checked struct with every default filled in; it does not look at the network.
 * docs/operations.md lists every field with its default and range.
 */

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_CONFIG_FILE_SIZE_MAX    (1024 * 1024) /* bytes */
#define RH_CONFIG_NODE_ID_SIZE_MAX 64
#define RH_CONFIG_ZONE_SIZE_MAX    64
#define RH_CONFIG_NODES_MAX        1024

/* One entry of `nodes:`. Addresses are "host:port" ("[v6]:port"), port 1 to 65535. */
struct rh_config_node {
    char *id;              /* [A-Za-z0-9_-]{1,64}, unique in the file */
    char *listen;          /* client listener */
    char *peer;            /* peer listener */
    char *admin;           /* admin listener */
    char *zone;            /* [A-Za-z0-9._-]{0,64}; "" when not given */
    char *advertise;       /* ws://host:port or wss://host:port; default ws:// + listen */
    char *peer_advertise;  /* host:port; default peer */
    uint32_t weight_milli; /* default 1000; 0 is allowed: starts outside the ring */
};

struct rh_config {
    char *path;    /* the file it came from, for messages */
    char *cluster; /* [A-Za-z0-9_-]{1,64} */
    char *route;   /* "redirect" or "relay": what is done with clients that reach another node than
                      the owner; default redirect */
    struct {
        char *servers; /* host:port,host:port...; no chroot */
        uint32_t session_timeout_ms;
    } zookeeper;
    struct {
        uint32_t vnodes;
        uint32_t replicas;
        uint64_t seed;
    } ring;
    struct {
        uint32_t log_messages; /* per channel */
        uint64_t log_bytes;    /* per channel */
        uint32_t log_age_ms;
        uint32_t channel_idle_ms;
        uint32_t channels; /* per node */
        uint32_t copies;   /* per node, in all roles; default channels times ring.replicas */
        uint64_t message_bytes;
        uint64_t state_bytes;
        uint32_t connections; /* per node */
        uint32_t relayed; /* connections of other nodes in channels of one; default connections */
        uint32_t dedup_age_ms;
        uint64_t send_queue_bytes;  /* `send_queue`: unsent bytes of one connection; default 1MiB */
        uint32_t header_bytes;      /* request line and headers together; default 16KiB */
        uint32_t header_count;      /* default 64 */
        uint32_t header_timeout_ms; /* `header_timeout`: from first byte to end of head; 10s */
        uint32_t body_timeout_ms;   /* `body_timeout`: from end of head to end of body; 30s */
        uint32_t idle_timeout_ms;   /* `idle_timeout`: HTTP connection between requests; 60s */
    } limits;
    struct {
        uint32_t interval_ms;
        uint32_t timeout_ms;
    } heartbeat;
    struct {
        uint32_t level;       /* of zlib; 0: WebSocket messages are not compressed */
        uint32_t window_bits; /* largest window, a power of two */
        uint32_t threshold;   /* bytes; shorter messages go as they are */
    } compression;
    struct {
        uint32_t channels_per_second;
        uint32_t in_flight;
        uint32_t moved_linger_ms;
        uint32_t drain_timeout_ms; /* for the channels of a node that stops; default 30s */
    } rebalance;
    struct {
        uint32_t grace_ms;        /* for who lost its last connection; default 10s */
        uint32_t clients;         /* of all channels that a node has a list of; 100000 */
        uint32_t channel_clients; /* of one; 1000, which is the most there can be */
    } presence;
    struct rh_config_node *nodes;
    size_t nodes_count;
};

/*
 * Reads, checks and completes a config file. On success the caller owns |ret_config| and calls
 * rh_config_finish(). On failure |ret_config| is untouched and |reason| reads
 * "FILE:LINE: field: what is wrong".
 * RH_ERR_NOT_FOUND / RH_ERR_IO: the file cannot be read. RH_ERR_INVALID: syntax, unknown field,
 * wrong type, impossible value, duplicate key or node id. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_config_load(const char *path, struct rh_config *ret_config,
                                 struct rh_reason *reason);

/*
 * Appends all of a file to |buffer|, which the caller finishes, also after a failure. RH_ERR_NOT_FOUND /
 * RH_ERR_IO: the file cannot be read. RH_ERR_INVALID: it has more than |size_max| bytes.
 * RH_ERR_NO_MEMORY. |reason| reads "FILE: what is wrong".
 */
RH_MUST_CHECK int rh_config_read_file(const char *path, size_t size_max, struct rh_buffer *buffer,
                                      struct rh_reason *reason);

/* The config from memory; |name| stands for the file in messages. */
RH_MUST_CHECK int rh_config_parse(const char *text, size_t text_size, const char *name,
                                  struct rh_config *ret_config, struct rh_reason *reason);

/* Frees what the struct holds; a zeroed struct is allowed. */
void rh_config_finish(struct rh_config *config);

/* The entry of |id|, or NULL. Valid as long as the config. */
const struct rh_config_node *rh_config_node_find(const struct rh_config *config, const char *id);

/*
 * Adds a node that is not in the file, as flags of `ringhopd` describe it. |node| is copied;
 * NULL zone, advertise and peer_advertise get their defaults. |origin| ("command line") stands
 * for the file in messages. RH_ERR_INVALID, RH_ERR_EXISTS, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_config_node_add(struct rh_config *config, const struct rh_config_node *node,
                                     const char *origin, struct rh_reason *reason);

/*
 * Lays flags of `ringhopd` over the entry that has their id: fields of |flags| that are not NULL,
 * and the weight if |has_weight|. An address without its own `advertise` flag is advertised as it
 * is bound. Pointers to nodes are invalid afterwards, also on failure, when the entry is as before.
 * RH_ERR_NOT_FOUND: there is no such entry. RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_config_node_override(struct rh_config *config,
                                          const struct rh_config_node *flags, bool has_weight,
                                          const char *origin, struct rh_reason *reason);

/* Whether `route` is relay. */
bool rh_config_relays(const struct rh_config *config);

/* Bytes that a message of `message_bytes` can take as a WebSocket or HTTP message: a text of control
 * characters grows sixfold as JSON, and the envelope comes on top. `send_queue` is at least this. */
uint64_t rh_config_message_size_max(const struct rh_config *config);

/* Whether |id| matches [A-Za-z0-9_-]{1,64}. */
bool rh_config_node_id_valid(const char *id);

#define RH_HOST_SIZE 256

/*
 * Splits "host:port" or "[v6]:port". |ret_host| has room for RH_HOST_SIZE bytes.
 * RH_ERR_INVALID: no port, port not 1 to 65535, empty or overlong host.
 */
RH_MUST_CHECK int rh_address_split(const char *address, char *ret_host, uint16_t *ret_port);

/* Whether |host|, as rh_address_split() gives it, is reached on its own machine only: 127.0.0.0/8,
 * ::1 and localhost. */
bool rh_host_is_loopback(const char *host);

#endif
