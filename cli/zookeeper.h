/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_ZOOKEEPER_H
#define RH_CLI_ZOOKEEPER_H

/*
 * ZooKeeper for a program that does one thing after the other: each call runs the loop until the
 * answer is there or the deadline has passed.
 */

#include "base/buffer.h"
#include "base/error.h"
#include "cli/cli.h"
#include "node/zk_client.h"

struct rh_zookeeper;

/*
 * Connects to the servers of the config; the deadline of this and of all calls that follow is
 * |timeout_ms| from now. RH_ERR_UNREACHABLE with a reason that says what to do, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_zookeeper_open(const struct rh_config *config, uint32_t timeout_ms,
                                    struct rh_zookeeper **ret_zookeeper, struct rh_reason *reason);

/* The same for a command: the exit code to end with, after the message, or RH_EXIT_DONE. */
enum rh_exit rh_zookeeper_open_for(const struct rh_cli *cli, uint32_t timeout_ms,
                                   struct rh_zookeeper **ret_zookeeper);

/* Ends the session; NULL is allowed. */
void rh_zookeeper_close(struct rh_zookeeper *zookeeper);

/* A new deadline for the calls that follow: |timeout_ms| from now. */
void rh_zookeeper_extend(struct rh_zookeeper *zookeeper, uint32_t timeout_ms);

/* Lets |pause_ms| pass; the session is kept alive meanwhile. */
void rh_zookeeper_pause(struct rh_zookeeper *zookeeper, uint32_t pause_ms);

/*
 * The calls. They try again while the connection is being remade, and fail with RH_ERR_UNREACHABLE
 * at the deadline. Other errors are those of node/zk_client.h. A write that was tried again may
 * find its own first try: RH_ERR_EXISTS or RH_ERR_CONFLICT.
 */
RH_MUST_CHECK int rh_zookeeper_sync(struct rh_zookeeper *zookeeper, const char *path);
RH_MUST_CHECK int rh_zookeeper_get(struct rh_zookeeper *zookeeper, const char *path,
                                   struct rh_buffer *ret_data, struct rh_zk_stat *ret_stat);
RH_MUST_CHECK int rh_zookeeper_create_node(struct rh_zookeeper *zookeeper, const char *path,
                                           struct rh_bytes data);
RH_MUST_CHECK int rh_zookeeper_set(struct rh_zookeeper *zookeeper, const char *path,
                                   struct rh_bytes data, int32_t version);

/* Names of children; the caller calls rh_zookeeper_names_finish(). */
struct rh_zookeeper_names {
    char **names; /* sorted */
    size_t count;
};

RH_MUST_CHECK int rh_zookeeper_children(struct rh_zookeeper *zookeeper, const char *path,
                                        struct rh_zookeeper_names *ret_names,
                                        struct rh_zk_stat *ret_stat);

void rh_zookeeper_names_finish(struct rh_zookeeper_names *names);

#endif
