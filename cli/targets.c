/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/targets.h"

#include "cli/snapshot.h"

#include <stdlib.h>
#include <string.h>

int rh_targets_view(const struct rh_config *config, uint32_t timeout_ms, struct rh_view **ret_view,
                    bool *ret_offline, struct rh_reason *reason)
{
    struct rh_zookeeper *zookeeper;
    int rv = rh_zookeeper_open(config, timeout_ms, &zookeeper, reason);
    if (rv == 0) {
        rv = rh_snapshot_read(zookeeper, config->cluster, ret_view, reason);
        rh_zookeeper_close(zookeeper);
    }
    *ret_offline = rv == RH_ERR_UNREACHABLE;
    return *ret_offline ? rh_snapshot_offline(config, ret_view) : rv;
}

static void add(struct rh_targets *targets, const struct rh_view *view, uint32_t index)
{
    const struct rh_registration *member = &view->members[index];
    for (size_t i = 0; i < targets->count; i++) {
        if (strcmp(targets->targets[i].node, member->id) == 0) {
            return;
        }
    }
    struct rh_target *target = &targets->targets[targets->count];
    targets->count++;
    memcpy(target->node, member->id, sizeof(target->node));
    memcpy(target->url, member->url, sizeof(target->url));
}

int rh_targets_find(const struct rh_config *config, struct rh_bytes key, uint32_t timeout_ms,
                    struct rh_targets *ret_targets, bool *ret_offline, struct rh_reason *reason)
{
    struct rh_view *view;
    int rv = rh_targets_view(config, timeout_ms, &view, ret_offline, reason);
    if (rv != 0) {
        return rv;
    }
    struct rh_targets targets = {.targets =
                                     calloc(view->members_count + 1, sizeof(struct rh_target))};
    if (targets.targets == NULL) {
        rh_view_give(view);
        return rh_fail(reason, RH_ERR_NO_MEMORY, "%s", rh_error_text(RH_ERR_NO_MEMORY));
    }
    uint32_t indices[RH_RING_REPLICAS_MAX];
    size_t count = rh_ring_preference(view->ring, rh_ring_hash(view->ring, key.data, key.size),
                                      RH_RING_REPLICAS_MAX, indices);
    for (size_t i = 0; i < count; i++) {
        add(&targets, view, indices[i]);
    }
    for (uint32_t i = 0; i < view->members_count; i++) {
        add(&targets, view, i);
    }
    rh_view_give(view);
    if (targets.count == 0) {
        rh_targets_finish(&targets);
        return rh_fail(reason, RH_ERR_NOT_FOUND,
                       "no node is registered; start one: ringhopd "
                       "--config %s --node ID",
                       config->path);
    }
    *ret_targets = targets;
    return 0;
}

void rh_targets_finish(struct rh_targets *targets)
{
    free(targets->targets);
    *targets = (struct rh_targets){0};
}
