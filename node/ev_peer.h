/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_EV_PEER_H
#define RH_NODE_EV_PEER_H

/*
 * Links between nodes, on libev. Every node listens on its peer address and keeps one outgoing
 * connection, the *link*, to every other registered member; messages go out on the link and come
 * in on the connections that others opened. docs/protocol-peer.md has the conversation.
 *
 *   daemon --send--> link --------- hello, ping, messages --------->  listener --message--> daemon
 *                         <-------- hello, pong -------------------
 *
 * This module knows connections and who is at the other end. It does not know what messages mean,
 * and decides nothing about membership: it reports evidence.
 *
 * A link:
 *                  refused, failed, timed out
 *            +---------------------------------------+
 *            v                                       |
 *     +-> WAITING --timer--> CONNECTING --ok--> GREETING --their hello fits--> UP
 *     |                                              |                          |
 *     |                                              | another instance: dead   | lost: down
 *     +----------------------------------------------+--------------------------+
 *
 *     any --no longer a member--> LEAVING (flushes what is queued, bounded) --> freed
 *
 * Rules for callers. Everything happens on one loop, in one thread. Handlers and probe callbacks
 * are called from loop callbacks only, never inside a call into this module; within them every
 * function here may be called but rh_ev_peer_stop(). What is sent is written once per loop turn,
 * after all callbacks of a higher priority than EV_MINPRI.
 *
 * Host names in addresses are resolved with getaddrinfo(), which blocks the loop: once at the first
 * dial of a member, and again only while it fails. Numeric addresses never block.
 */

#include "base/log.h"
#include "proto/identity.h"
#include "proto/peer_message.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_ev_peer;

enum rh_ev_peer_death {
    RH_EV_PEER_REFUSED,  /* nobody listens: the first two kinds of evidence below */
    RH_EV_PEER_REPLACED, /* another instance answers: this one is gone for certain */
};

/* What the links tell the daemon. All members must be set; arguments are valid during the call. */
struct rh_ev_peer_handler {
    /* A message, of any kind but hello, ping and pong, from a process that introduced itself as
     * |from|, be it in our view or not. Messages of one link come in the order they were sent,
     * none twice; some of the last may be missing when it breaks. */
    void (*message)(void *context, const struct rh_node_ref *from,
                    const struct rh_peer_message *message);

    /* The link to that member stands and the other end has confirmed who it is. */
    void (*up)(void *context, const struct rh_node_ref *node);

    /* It was up and no longer is. Whether what was sent last arrived is unknown. It is dialled
     * again by itself. Not called for a member that the caller took out. */
    void (*down)(void *context, const struct rh_node_ref *node, const char *reason);

    /* What was queued for its link up to the last rh_ev_peer_tell_drained() is written. */
    void (*drained)(void *context, const struct rh_node_ref *node);

    /*
     * Hard evidence that this process is gone; after `down` if it was up. One of:
     * - the link was closed or reset from the other side, and dialling was refused since;
     * - nothing but refusals, three or more, for `refused_span_ms`: a node registers only while it
     *   listens, so nobody listening means gone;
     * - at its address answers the same node id of the same cluster with another instance.
     * Never silence or a timeout. A firewall that sends resets looks the same, so this is evidence
     * and not proof. Called again at each later dial (at most every `backoff_min_ms`, soon every
     * `backoff_max_ms`) that finds the same, for as long as the process is a member.
     */
    void (*dead)(void *context, const struct rh_node_ref *node, enum rh_ev_peer_death death,
                 const char *reason);

    /* A frame of |node| shows an epoch above those that it showed before on that connection; it may
     * be below ours. Comes before the message that showed it. */
    void (*epoch)(void *context, const struct rh_node_ref *node, struct rh_epoch epoch);
};

/* Zero takes the default. Strings are copied. */
struct rh_ev_peer_options {
    const char *cluster;
    struct rh_node_ref self;
    const char *listen; /* "host:port" or "[v6]:port"; port 0 takes any free one */
    const struct rh_ev_peer_handler *handler; /* outlives the object, as does context */
    void *context;
    const struct rh_logger *logger; /* outlives the object; may be NULL */

    uint32_t ping_interval_ms; /* 1000 */
    uint32_t pong_timeout_ms;  /* 4000: this long without a pong, and the link is down */
    uint32_t hello_timeout_ms; /* 5000: from dial or accept to the end of the hellos */
    uint32_t backoff_min_ms;   /* 20 */
    uint32_t backoff_max_ms;   /* 2000; each wait is cut by up to half at random */
    uint32_t refused_span_ms;  /* 1000: see `dead` */
    size_t frame_size_max;     /* 16 MiB; either direction */
    size_t queue_size_max; /* 64 MiB: not yet written to one link; above it the link is closed */
    size_t incoming_max;   /* 4096: connections from others */
};

/* A member to keep a link to. */
struct rh_ev_peer_member {
    struct rh_node_ref node;
    const char *address; /* where it listens for peers: "host:port", "[v6]:port" */
};

/* For metrics. Counters only grow; the first group are gauges. */
struct rh_ev_peer_stats {
    size_t links; /* to members */
    size_t links_up;
    size_t incoming; /* connections from others */
    size_t queued_bytes;

    uint64_t messages_sent;     /* hello, ping and pong not counted */
    uint64_t messages_received; /* likewise */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t dials;
    uint64_t dials_failed;
    uint64_t links_lost;      /* were up, and broke */
    uint64_t pong_timeouts;   /* of them for silence */
    uint64_t queue_overflows; /* of them because the queue was full */
    uint64_t dead_reported;
    uint64_t frames_refused;   /* too large, malformed or out of place; the connection was closed */
    uint64_t hellos_refused;   /* another cluster, version or identity, in either direction */
    uint64_t incoming_refused; /* above incoming_max */
    uint64_t incoming_timed_out; /* no hello in time, or silent for long */
    uint64_t resets; /* connections closed by rh_ev_peer_reset(), rh_ev_peer_reset_from() */
};

/*
 * Listens, and is ready for members. RH_ERR_INVALID: an address or name that is none.
 * RH_ERR_IO: cannot listen there. RH_ERR_NO_MEMORY. |reason| says it in words.
 */
RH_MUST_CHECK int rh_ev_peer_start(struct ev_loop *loop, const struct rh_ev_peer_options *options,
                                   struct rh_ev_peer **ret_peers, struct rh_reason *reason);

/*
 * Closes everything at once and frees; no event comes any more, a pending probe is forgotten.
 * NULL is allowed. To others this looks like the death of the process: leave the membership first.
 */
void rh_ev_peer_stop(struct rh_ev_peer *peers);

/* The port listened on. */
uint16_t rh_ev_peer_port(const struct rh_ev_peer *peers);

/*
 * Makes |members| (each id once) the ones to have links to. A member with the same instance and
 * address keeps its link; one that changed gets a new link, without a `down` for the old one;
 * links to those who are gone deliver what is queued, for at most `pong_timeout_ms`, and are
 * closed. Our own ref is passed over. Dialling begins in the next loop turn.
 * RH_ERR_NO_MEMORY: some may have no link yet; call again.
 */
RH_MUST_CHECK int rh_ev_peer_set_members(struct rh_ev_peer *peers,
                                         const struct rh_ev_peer_member *members,
                                         size_t members_count);

/* The epoch that our hellos, pings and pongs carry from now on; all links are pinged with it. */
void rh_ev_peer_set_epoch(struct rh_ev_peer *peers, struct rh_epoch epoch);

/*
 * Queues |message|, whose epoch the caller has set, for the link to |to|; it is copied.
 * RH_ERR_UNREACHABLE: |to| is no member, or its link is not up; nothing was queued.
 * RH_ERR_FULL: the queue is; the link is closed, `down` follows.
 * RH_ERR_INVALID, RH_ERR_TOO_LARGE, RH_ERR_NO_MEMORY: as rh_peer_encode(); nothing was queued.
 */
RH_MUST_CHECK int rh_ev_peer_send(struct rh_ev_peer *peers, const struct rh_node_ref *to,
                                  const struct rh_peer_message *message);

/*
 * When all that is queued for the link to |to| by now is written, the handler's `drained` is called,
 * once, from the loop; never if the link breaks before, or is not up. A later call replaces this one.
 */
void rh_ev_peer_tell_drained(struct rh_ev_peer *peers, const struct rh_node_ref *to);

/*
 * Closes every connection at once, in both directions, and forgets what is queued: of a process that
 * stood still nobody can say how old is what waits in its sockets. Links are dialled again; those that
 * were up give `down` first, from the loop. May be called from within a handler, also `message`: then
 * no other message of that connection follows.
 */
void rh_ev_peer_reset(struct rh_ev_peer *peers);

/* Closes the connection on which |node| sends, if there is one; it will dial again. Likewise. */
void rh_ev_peer_reset_from(struct rh_ev_peer *peers, const struct rh_node_ref *node);

/* Whether the link to exactly this process is up, so that something can be sent. */
bool rh_ev_peer_is_up(const struct rh_ev_peer *peers, const struct rh_node_ref *node);

/* The highest epoch that this process has shown on a connection that stands; zero if none. */
struct rh_epoch rh_ev_peer_epoch_of(const struct rh_ev_peer *peers, const struct rh_node_ref *node);

enum rh_ev_peer_probe_result {
    RH_EV_PEER_PROBE_ANSWERS, /* a process of our cluster with that id: |instance|, in |epoch| */
    RH_EV_PEER_PROBE_GONE,    /* refused: nobody listens there, or only ourselves do by now */
    RH_EV_PEER_PROBE_UNKNOWN, /* no answer in time, or somebody else answers */
};

typedef void rh_ev_peer_probed(void *context, enum rh_ev_peer_probe_result result,
                               uint64_t instance, struct rh_epoch epoch, const char *detail);

/*
 * Asks once who is at |address|, as a newcomer does before it takes over an id in use. |callback|
 * is called once, from the loop, within hello_timeout_ms. |instance| and |epoch| are 0 unless it
 * answers; |detail| is a phrase for the log. RH_ERR_INVALID: no such address form. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_ev_peer_probe(struct rh_ev_peer *peers, const char *address, const char *id,
                                   rh_ev_peer_probed *callback, void *context);

/* The present numbers. */
void rh_ev_peer_stats(const struct rh_ev_peer *peers, struct rh_ev_peer_stats *ret_stats);

#endif
