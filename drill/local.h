/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_LOCAL_H
#define RH_DRILL_LOCAL_H

/*
 * A cluster on this machine: ZooKeeper on a private port and `ringhopd` processes, all of them
 * children of this process with their files in one folder. Each node reaches ZooKeeper through a relay
 * of its own, so that one session can be made to expire. Nothing is waited for.
 */

#include "base/error.h"
#include "drill/scenario.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#define RH_LOCAL_PATH_SIZE    1024
#define RH_LOCAL_ADDRESS_SIZE 64

struct rh_local;

struct rh_local_options {
    const struct rh_scenario *scenario; /* must outlive the cluster */
    const char *folder;                 /* is there; copied */
    /* A process ended though nobody wanted it to. From the loop. */
    void (*on_lost)(void *context, const struct rh_reason *reason);
    /* A node has stopped that was told to stop in order. From the loop. */
    void (*on_stopped)(void *context, const char *id);
    /* The ZooKeeper session of a node has expired that was cut off, and it is not cut off any more.
     * From the loop. */
    void (*on_expired)(void *context, const char *id);
    void *context;
};

/*
 * Writes the config and starts ZooKeeper; nodes are started one by one. RH_ERR_NOT_FOUND: ZooKeeper
 * or ringhopd is not installed. RH_ERR_IO, RH_ERR_NO_MEMORY. All with a reason.
 */
RH_MUST_CHECK int rh_local_create(struct ev_loop *loop, const struct rh_local_options *options,
                                  struct rh_local **ret_local, struct rh_reason *reason);

/* Kills all that runs; NULL is allowed. The folder stays. */
void rh_local_destroy(struct rh_local *local);

/* The config for commands that act on the cluster. */
const char *rh_local_config_path(const struct rh_local *local);

/* Gives a node that is not in the config addresses; one that is known is left alone. RH_ERR_FULL,
 * RH_ERR_NO_MEMORY, with a reason. */
RH_MUST_CHECK int rh_local_prepare(struct rh_local *local, const char *id,
                                   struct rh_reason *reason);

/* The rest is for nodes of the config, and those that are prepared. */

/* Starts a node; one that is not in the config by flags. RH_ERR_IO, RH_ERR_NO_MEMORY, with a
 * reason. */
RH_MUST_CHECK int rh_local_start(struct rh_local *local, const char *id, struct rh_reason *reason);

void rh_local_stop(struct rh_local *local, const char *id); /* in order; see on_stopped() */
void rh_local_kill(struct rh_local *local, const char *id); /* is gone when it returns */
void rh_local_pause(struct rh_local *local, const char *id);
void rh_local_resume(struct rh_local *local, const char *id);
void rh_local_expire(struct rh_local *local, const char *id); /* cut off from ZooKeeper until
                                                                 on_expired() */

void rh_local_zookeeper_stop(struct rh_local *local);
RH_MUST_CHECK int rh_local_zookeeper_start(struct rh_local *local, struct rh_reason *reason);

/* Where a node is reached: "host:port" of its client and its admin listener. */
void rh_local_addresses(const struct rh_local *local, const char *id,
                        char ret_listen[static RH_LOCAL_ADDRESS_SIZE],
                        char ret_admin[static RH_LOCAL_ADDRESS_SIZE]);

/* The last line of a log file of the folder, for reasons; "" when there is none. */
void rh_local_last_line(const char *path, char *out, size_t out_size);

#endif
