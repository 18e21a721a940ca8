/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_EV_DIAL_H
#define RH_NODE_EV_DIAL_H

/*
 * From "host:port" to a TCP socket: resolving, connecting without blocking, listening.
 *
 * A name may stand for several addresses (localhost is two). A dial tries them in turn and is
 * refused only if every one of them refused: one that nobody uses is no evidence.
 */

#include "base/error.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RH_EV_ADDRESSES_MAX 8 /* of one name; more are passed over */

struct rh_ev_addresses {
    struct sockaddr_storage items[RH_EV_ADDRESSES_MAX];
    socklen_t sizes[RH_EV_ADDRESSES_MAX];
    size_t count;
};

/*
 * Resolves "host:port" or "[v6]:port". A numeric host never blocks; a name asks getaddrinfo(),
 * which may block for seconds. |listening| is for an address to bind.
 * RH_ERR_INVALID: not of that form. RH_ERR_NOT_FOUND: no such host.
 */
RH_MUST_CHECK int rh_ev_resolve(const char *address, bool listening,
                                struct rh_ev_addresses *ret_addresses, struct rh_reason *reason);

/*
 * A listening socket, not blocking, on the first address of |address| that can be bound; port 0
 * takes a free one. The caller closes it. RH_ERR_INVALID, RH_ERR_NOT_FOUND, RH_ERR_IO.
 */
RH_MUST_CHECK int rh_ev_listen(const char *address, int *ret_fd, uint16_t *ret_port,
                               struct rh_reason *reason);

enum rh_ev_dial_result {
    RH_EV_DIAL_CONNECTED, /* |fd| is the callback's */
    RH_EV_DIAL_REFUSED,   /* by every address */
    RH_EV_DIAL_FAILED,    /* anything else */
};

/* |reason| is a phrase for the log, "" when connected. */
typedef void rh_ev_dialled(void *context, enum rh_ev_dial_result result, int fd,
                           const char *reason);

/* One dial after the other to the same place. Embed it; it must not move while it is started. */
struct rh_ev_dial {
    struct ev_loop *loop;
    const char *address; /* the owner's; outlives the dial */
    rh_ev_dialled *callback;
    void *context;
    struct rh_ev_addresses addresses; /* resolved once */
    size_t next;                      /* to try */
    bool all_refused;                 /* so far */
    int fd;                           /* connecting, or -1 */
    ev_io io;
    ev_timer later; /* nothing could be started: say so in the next turn */
    char reason[RH_REASON_SIZE];
};

void rh_ev_dial_init(struct rh_ev_dial *dial, struct ev_loop *loop, const char *address,
                     rh_ev_dialled *callback, void *context);

/* Begins; |callback| comes once, from the loop. There is no time limit: the owner has one. */
void rh_ev_dial_start(struct rh_ev_dial *dial);

/* Gives up: no callback any more. Does nothing when nothing was started. */
void rh_ev_dial_stop(struct rh_ev_dial *dial);

#endif
