/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_MESSAGES_H
#define RH_DRILL_MESSAGES_H

/*
 * What the load and its workers say to each other: one packet each, over a SOCK_SEQPACKET pair.
 * Both ends are the same program, so a packet is the struct as it lies in memory, up to the end of
 * the member that its kind names.
 */

#include "drill/load.h"
#include "drill/problems.h"

#include <stddef.h>

enum rh_order_kind {
    RH_ORDER_NODE,    /* node */
    RH_ORDER_PUBLISH, /* on */
    RH_ORDER_STEP,    /* number */
    RH_ORDER_FINISH,
};

/* From the load to a worker. */
struct rh_order {
    enum rh_order_kind kind;
    union {
        struct {
            uint32_t index;
            enum rh_load_node_state state;
            char name[RH_LOAD_NODE_SIZE];
            char url[RH_LOAD_URL_SIZE];
        } node;
        bool on;
        uint32_t number;
    };
};

enum rh_report_kind {
    RH_REPORT_SAMPLE, /* sample; at_ms is of the monotonic clock */
    RH_REPORT_STEP,   /* step: as it stands now */
    RH_REPORT_RESULT, /* result: the last report */
    RH_REPORT_FAILED, /* text: the worker ends */
};

struct rh_report_step {
    uint32_t number;
    struct rh_load_step step;
};

struct rh_report_result {
    bool settled;
    struct rh_load_counts counts; /* what is known at the end only; the rest is 0 */
    struct rh_histogram latency_us;
    struct rh_problems problems;
};

/* From a worker to the load. */
struct rh_report {
    enum rh_report_kind kind;
    union {
        struct rh_load_sample sample;
        struct rh_report_step step;
        struct rh_report_result result;
        struct rh_reason text;
    };
};

#endif
