/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_STEP_H
#define RH_DRILL_STEP_H

/*
 * One step of a drill: what is done to the cluster, as a person writes it. Pure.
 *
 *   wait 5s            add n4          remove n2        drain n2       join n2
 *   kill n3            start n3        pause n1 10s     pause n1       resume n1
 *   weight n1 2        expire n2       zookeeper stop   zookeeper start
 *
 * add, remove, drain, join, kill, start and expire take several nodes: `kill n1 n2` kills both at once.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_STEP_NODES_MAX 8
#define RH_STEP_NODE_SIZE 65  /* of an id, with terminator */
#define RH_STEP_TEXT_SIZE 256 /* with terminator */

enum rh_step_kind {
    RH_STEP_WAIT,
    RH_STEP_ADD,    /* a node that has not run yet */
    RH_STEP_REMOVE, /* stopped in order */
    RH_STEP_DRAIN,
    RH_STEP_JOIN,
    RH_STEP_KILL,
    RH_STEP_START, /* one that was killed or removed */
    RH_STEP_PAUSE, /* SIGSTOP; with a duration, resumed after it */
    RH_STEP_RESUME,
    RH_STEP_WEIGHT,
    RH_STEP_EXPIRE, /* its ZooKeeper session */
    RH_STEP_ZOOKEEPER_STOP,
    RH_STEP_ZOOKEEPER_START,
};

#define RH_STEP_KINDS 13

struct rh_step {
    enum rh_step_kind kind;
    char text[RH_STEP_TEXT_SIZE]; /* as written, with single blanks */
    char nodes[RH_STEP_NODES_MAX][RH_STEP_NODE_SIZE];
    size_t nodes_count;
    uint32_t duration_ms;  /* of wait and pause; 0: a pause without an end */
    uint32_t weight_milli; /* of weight, above 0 */
};

/* RH_ERR_INVALID with a reason, without the place. */
RH_MUST_CHECK int rh_step_parse(const char *text, struct rh_step *ret_step,
                                struct rh_reason *reason);

/* "wait", "zookeeper-stop": one word, the name of the hook too. Static. */
const char *rh_step_kind_name(enum rh_step_kind kind);

/* Whether the ring is another after such a step, so that it has to settle. */
bool rh_step_changes_ring(enum rh_step_kind kind);

/*
 * Which nodes there are, and how they are, while steps are done to them in thought: finds the step
 * that cannot be done before anything is started.
 */
enum rh_plot_state {
    RH_PLOT_RUNNING,
    RH_PLOT_DRAINED,
    RH_PLOT_PAUSED,
    RH_PLOT_STOPPED,
};

#define RH_PLOT_NODES_MAX 64

struct rh_plot {
    struct {
        char id[RH_STEP_NODE_SIZE];
        enum rh_plot_state state;
    } nodes[RH_PLOT_NODES_MAX];
    size_t nodes_count;
    bool zookeeper_stopped;
};

/* Adds a node that runs. RH_ERR_FULL, RH_ERR_EXISTS; with a reason. */
RH_MUST_CHECK int rh_plot_add(struct rh_plot *plot, const char *id, struct rh_reason *reason);

/* Does |step|. RH_ERR_INVALID with a reason, without the place: it cannot be done now. */
RH_MUST_CHECK int rh_plot_step(struct rh_plot *plot, const struct rh_step *step,
                               struct rh_reason *reason);

#endif
