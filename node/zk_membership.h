/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_ZK_MEMBERSHIP_H
#define RH_NODE_ZK_MEMBERSHIP_H

/*
 * The membership of this node in ZooKeeper: registers it, follows who else is registered, and
 * hands out one view after the other. What is decided, and when, is node/membership.h's matter
 * (docs/membership.md); this edge gives it a session, a clock and a log.
 *
 *   daemon --peers, epochs, progress, leave--> zk_membership --> membership (pure)
 *          <--view, probe, request, fatal-----              --> zk_client --> ZooKeeper
 *
 * It creates the znodes above its own (/ringhop/<cluster>/members and so on) as needed.
 *
 * Callbacks run from the loop only, never inside the call that caused them. In a callback every
 * function here may be called, rh_zk_membership_destroy() too.
 */

#include "base/error.h"
#include "base/log.h"
#include "node/membership.h"
#include "node/view.h"
#include "node/zk_client.h"
#include "proto/identity.h"
#include "proto/peer_replication.h"
#include "proto/registration.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct rh_zk_membership;

struct rh_zk_membership_handler {
    /*
     * |view| is the one to serve from now on; its epoch is higher than that of the one before.
     * Borrowed: rh_view_take() to keep it. The first view contains this node; a later one may not,
     * when its registration was lost and others went on. The node's own weight in it says whether
     * it takes part in the ring. |registration_epoch| and |ignorant_until_ms| (rh_clock_monotonic_ms)
     * are as in RH_MEMBERSHIP_ADOPT.
     */
    void (*view)(void *context, struct rh_view *view, struct rh_epoch registration_epoch,
                 uint64_t ignorant_until_ms);

    /* This node must not run (config mismatch, its id is held by a live node, ...): the process
     * should say |reason| and exit. Nothing else comes after it. */
    void (*fatal)(void *context, const struct rh_reason *reason);

    /*
     * Somebody else holds our id: find out whether |node| (our id, their instance) still answers
     * at |address|, and say so with rh_zk_membership_probe_result(). One probe at a time.
     */
    void (*probe)(void *context, const struct rh_node_ref *node, const char *address);

    /* Something that the getters below tell has changed. May be NULL. */
    void (*changed)(void *context);

    /*
     * An operator's request is being worked on: rh_zk_membership_progress() is wanted, once when a
     * view was adopted and whenever the numbers change, at most every second is enough. NULL: no
     * more (it is done, failed or was replaced). |request| is valid during the call. May be NULL.
     */
    void (*request)(void *context, const struct rh_request *request);

    /* The end of rh_zk_membership_leave_finish(): the registration is deleted, or could not be
     * because ZooKeeper is away (it goes with the session). May be NULL. */
    void (*left)(void *context);

    /* For the replication of channels: the actions of the same names in node/membership.h, each with
     * its own time or epoch. All may be NULL. */
    void (*lost)(void *context);
    void (*proof)(void *context, uint64_t sent_ms);
    void (*recorded)(void *context, struct rh_epoch epoch);
    void (*heard)(void *context, uint64_t at_ms);
    void (*promised)(void *context, const struct rh_promise *promise);
    void (*ask_peers)(void *context); /* answered by _peer_epoch() and then _peers_asked() */
    void (*awaited)(void *context);
};

/* Strings are copied; logger and handler must outlive the membership. */
struct rh_zk_membership_options {
    const char *cluster;
    const char *servers;         /* of ZooKeeper: "host:port,host:port" */
    uint32_t session_timeout_ms; /* asked of ZooKeeper */
    uint32_t grace_ms;           /* T_d; 0 takes RH_ZK_MEMBERSHIP_GRACE_MS */

    bool
        replication; /* as in struct rh_membership_options; the handler has to have `ask_peers` then */

    /* What the own config file says of the ring and of the session; `generation` is not looked at.
     * `session_timeout_ms` here is what all nodes must agree on. */
    struct rh_shared_config config;
    const char *config_name; /* of that file, for messages */

    /* What to register; `weight_milli` is that of the config file, which requests override. */
    struct rh_registration registration;

    const struct rh_logger *logger; /* may be NULL */
    const struct rh_zk_membership_handler *handler;
    void *context; /* handed to the handler */
};

#define RH_ZK_MEMBERSHIP_GRACE_MS 2000

/*
 * Starts: connects, registers, follows. ZooKeeper need not be there yet. The peer listener must
 * already listen, since others probe and connect as soon as the registration stands.
 * RH_ERR_INVALID with a reason: server list or cluster name. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_zk_membership_create(struct ev_loop *loop,
                                          const struct rh_zk_membership_options *options,
                                          struct rh_zk_membership **ret_membership,
                                          struct rh_reason *reason);

/* Ends the session, which deletes the registration, and frees. No callback comes any more. NULL is
 * allowed. See rh_zk_client_destroy() for how long this may take. */
void rh_zk_membership_destroy(struct rh_zk_membership *membership);

/* Evidence from the peer links. `dead` is hard evidence (connection reset, a new one refused) and
 * evicts; it may be repeated. */
void rh_zk_membership_peer_up(struct rh_zk_membership *membership, const struct rh_node_ref *peer);
void rh_zk_membership_peer_down(struct rh_zk_membership *membership,
                                const struct rh_node_ref *peer);
void rh_zk_membership_peer_dead(struct rh_zk_membership *membership,
                                const struct rh_node_ref *peer);

/* At its address the same id answers with another instance: |peer| is gone for certain. */
void rh_zk_membership_peer_replaced(struct rh_zk_membership *membership,
                                    const struct rh_node_ref *peer);

/* |from| shows |epoch|: if it is higher than ours, the membership is read again at once and what
 * is there is adopted without waiting for lost members. */
void rh_zk_membership_peer_epoch(struct rh_zk_membership *membership,
                                 const struct rh_node_ref *from, struct rh_epoch epoch);

/* A peer has adopted the view |shown|. RH_ERR_INVALID with a reason: it cannot be one.
 * RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_zk_membership_peer_view(struct rh_zk_membership *membership,
                                             const struct rh_peer_view *shown,
                                             struct rh_reason *reason);

/* The end of the handler's `ask_peers`. */
void rh_zk_membership_peers_asked(struct rh_zk_membership *membership);

/* What the core wants: RH_ACTION_PROVE, _COMPLETE, _PROMISE. */
void rh_zk_membership_prove(struct rh_zk_membership *membership);
void rh_zk_membership_complete(struct rh_zk_membership *membership, struct rh_epoch epoch);
void rh_zk_membership_promise(struct rh_zk_membership *membership,
                              const struct rh_promise *promise);

/* Reads the membership again at once, through the leader. */
void rh_zk_membership_catch_up(struct rh_zk_membership *membership);

/* Answer to the handler's `probe`; an answer about another |node| than the last is ignored. */
void rh_zk_membership_probe_result(struct rh_zk_membership *membership,
                                   const struct rh_node_ref *node, enum rh_membership_probe result);

/* What an operator's request still has to do: channels and connections that are here and should
 * not be. Ignored when no request is worked on, or before its weight is in the adopted view. */
void rh_zk_membership_progress(struct rh_zk_membership *membership, uint64_t channels_left,
                               uint64_t connections_left);

/* Orderly shutdown, first half: takes weight 0, so that the others take over. The handler's `view`
 * shows when that is so; it never is while ZooKeeper is away. */
void rh_zk_membership_leave(struct rh_zk_membership *membership);

/* Second half: deletes the registration, then calls the handler's `left`. */
void rh_zk_membership_leave_finish(struct rh_zk_membership *membership);

/* Status. */
enum rh_zk_state rh_zk_membership_zookeeper_state(const struct rh_zk_membership *membership);
bool rh_zk_membership_registered(const struct rh_zk_membership *membership);
uint32_t rh_zk_membership_session_timeout_ms(const struct rh_zk_membership *membership);

/* The weight that this node has or wants to have in the ring. */
uint32_t rh_zk_membership_weight_milli(const struct rh_zk_membership *membership);

/* See rh_membership_awaited(). */
const struct rh_membership_awaited *
rh_zk_membership_awaited(const struct rh_zk_membership *membership, size_t *ret_count);

/* The adopted view, borrowed until the next `view`; NULL before the first. */
struct rh_view *rh_zk_membership_view(const struct rh_zk_membership *membership);

#endif
