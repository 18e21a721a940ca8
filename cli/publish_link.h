/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_PUBLISH_LINK_H
#define RH_CLI_PUBLISH_LINK_H

/*
 * A connection to a node over which messages of a feed are published: POST after POST, without
 * waiting for answers (cli/feed.h says why that keeps their order).
 *
 *      CLOSED --something to send--> DIALLING --> OPEN
 *         ^                              |          |
 *         +------------ broken ----------+----------+
 */

#include "base/buffer.h"
#include "cli/answer.h"
#include "cli/feed.h"
#include "cli/url.h"
#include "node/ev_dial.h"

enum rh_publish_link_state {
    RH_PUBLISH_LINK_CLOSED,
    RH_PUBLISH_LINK_DIALLING,
    RH_PUBLISH_LINK_OPEN,
};

struct rh_publish_link;

/* Calls come from the loop. */
struct rh_publish_link_handler {
    /* The node has answered |message|, which is freed afterwards. False: not as it should be, so it is
     * to be tried again, as is all behind it; |reason| says why. */
    bool (*answered)(void *context, struct rh_publish_link *link,
                     const struct rh_feed_message *message, const struct rh_answer *answer,
                     struct rh_reason *reason);
    /* The link is closed, and its keys are free again. |reason| is "" if that was in order. */
    void (*broken)(void *context, struct rh_publish_link *link, const char *reason);
};

/* Embed it; it must not move. Read only. */
struct rh_publish_link {
    struct rh_feed_lane lane;
    struct rh_feed *feed;
    struct ev_loop *loop;
    const struct rh_publish_link_handler *handler;
    void *context;
    const char *host; /* the owner's */
    enum rh_publish_link_state state;
    struct rh_ev_dial dial;
    ev_io io; /* OPEN */
    struct rh_buffer output;
    struct rh_answer answer;
    uint64_t waiting_ms; /* since when for the answer to the oldest, or for the connection */
    bool leaving;        /* takes nothing new, and closes when all is answered */
};

/* |host| (host:port), |feed| and |handler| outlive the link. */
void rh_publish_link_init(struct rh_publish_link *link, struct ev_loop *loop, struct rh_feed *feed,
                          const char *host, const struct rh_publish_link_handler *handler,
                          void *context);

/* Closes, without a call; the lane's keys are free again. */
void rh_publish_link_finish(struct rh_publish_link *link);

/* Sends what the lane has, as much as is good. |now_ms| is monotonic. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_publish_link_pump(struct rh_publish_link *link, uint64_t now_ms);

/* What is under way is answered, and then the link closes; its keys are free again. */
void rh_publish_link_leave(struct rh_publish_link *link);

/* Breaks it if it has waited for longer than |timeout_ms|. */
void rh_publish_link_check(struct rh_publish_link *link, uint64_t now_ms, uint32_t timeout_ms);

#endif
