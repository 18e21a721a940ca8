/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_VIEW_SHOWN_H
#define RH_NODE_VIEW_SHOWN_H

/*
 * Views as nodes show them to each other (RH_PEER_VIEW): the epoch, and config and registrations as
 * they stand in ZooKeeper. Pure.
 */

#include "base/error.h"
#include "node/view.h"
#include "proto/peer_replication.h"

struct rh_view_shown;

/* |view| as a message; it must have names. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_view_show(const struct rh_view *view, struct rh_view_shown **ret_shown);

/* Valid as long as |shown|. */
const struct rh_peer_view *rh_view_shown_message(const struct rh_view_shown *shown);

void rh_view_shown_destroy(struct rh_view_shown *shown); /* NULL is allowed */

/* The view of a message, with one reference. RH_ERR_INVALID with a reason: what is shown cannot be
 * a view. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_view_read(const struct rh_peer_view *message, struct rh_view **ret_view,
                               struct rh_reason *reason);

#endif
