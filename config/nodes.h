/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CONFIG_NODES_H
#define RH_CONFIG_NODES_H

/*
 * The list `nodes:` of the config: its entries, their defaults, and what no two of them may share.
 * Pure.
 */

#include "config/config.h"
#include "config/reader.h"

/*
 * Reads the list at |yaml| into config->nodes; |file| is the place of the whole file.
 * RH_ERR_INVALID, RH_ERR_NO_MEMORY; what was read until then stays in |config|.
 */
RH_MUST_CHECK int rh_nodes_read(const struct rh_place *file, const struct rh_yaml *yaml,
                                struct rh_config *config);

/*
 * Checks the nodes from |first| on against themselves and those before them: ids, addresses and
 * the number of points of the whole ring. RH_ERR_INVALID, RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_nodes_check(const struct rh_place *file, const struct rh_config *config,
                                 size_t first);

/* Frees the list. */
void rh_nodes_finish(struct rh_config *config);

#endif
