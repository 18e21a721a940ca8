/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "router/client_json.h"

#include <stdlib.h>

/* What a channel follows, and who follows it, over HTTP: any node may be asked, and asks others. */

void rh_daemon_follows_ask(struct rh_daemon *daemon, struct rh_http_connection *connection,
                           const struct rh_route *route)
{
    struct rh_daemon_request *request =
        rh_daemon_request_begin(daemon, connection, rh_route_key(route));
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_FOLLOW,
        .follow = {.request = request->number,
                   .key = rh_route_key(route),
                   .what = route->kind == RH_ROUTE_FOLLOW     ? RH_PEER_FOLLOW_ADD
                           : route->kind == RH_ROUTE_UNFOLLOW ? RH_PEER_FOLLOW_REMOVE
                                                              : RH_PEER_FOLLOW_LIST,
                   .topic = rh_route_topic(route),
                   .has_after = route->kind == RH_ROUTE_FOLLOW && route->has_after,
                   .after = route->after},
    };
    rh_daemon_step(daemon, &event);
}

static int encode(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                  const struct rh_follow_result *result)
{
    size_t count = result->follows_count;
    struct rh_client_follow *follows = calloc(count + 1, sizeof(*follows));
    if (follows == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        follows[i] = (struct rh_client_follow){.topic = result->follows[i].topic,
                                               .position = result->follows[i].position};
    }
    int rv = rh_client_json_follows(&daemon->scratch, rh_bytes(request->text, request->text_size),
                                    follows, count);
    free(follows);
    return rv;
}

void rh_daemon_follows_answered(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_follow_result *result = &action->followed.result;
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->followed.request);
    if (request == NULL) {
        return;
    }
    if (result->refusal == RH_REFUSAL_UNKNOWN) {
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_UNKNOWN_OUTCOME,
                                  "the owner did not answer in time; it may have been done: ask "
                                  "again, which does no harm");
    } else if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_refusal(request->connection, result->refusal);
    } else {
        rh_daemon_respond_scratch(daemon, request->connection, 200,
                                  encode(daemon, request, result));
    }
    rh_daemon_request_destroy(daemon, request);
}

/* ---- who follows ---- */

void rh_daemon_followers_ask(struct rh_daemon *daemon, struct rh_http_connection *connection,
                             const struct rh_route *route)
{
    const struct rh_daemon_request *request =
        rh_daemon_request_begin(daemon, connection, rh_route_key(route));
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_FOLLOWERS,
        .followers = {.request = request->number,
                      .topic = rh_route_key(route),
                      .limit = route->limit},
    };
    rh_daemon_step(daemon, &event);
}

static int encode_followers(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                            const struct rh_followers_result *result)
{
    struct rh_client_followers_node *nodes = calloc(result->nodes_count + 1, sizeof(*nodes));
    if (nodes == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < result->nodes_count; i++) {
        nodes[i] = (struct rh_client_followers_node){.node = result->nodes[i].id,
                                                     .count = result->nodes[i].count,
                                                     .is_missing = result->nodes[i].is_missing};
    }
    const struct rh_client_followers followers = {
        .topic = rh_bytes(request->text, request->text_size),
        .count = result->count,
        .keys = result->keys,
        .keys_count = result->keys_count,
        .nodes = nodes,
        .nodes_count = result->nodes_count,
    };
    int rv = rh_client_json_followers(&daemon->scratch, &followers);
    free(nodes);
    return rv;
}

void rh_daemon_followers_answered(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_followers_result *result = &action->followers.result;
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->followers.request);
    if (request == NULL) {
        return;
    }
    if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_refusal(request->connection, result->refusal);
    } else {
        rh_daemon_respond_scratch(daemon, request->connection, 200,
                                  encode_followers(daemon, request, result));
    }
    rh_daemon_request_destroy(daemon, request);
}
