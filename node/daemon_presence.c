/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

/*
 * Who is in a channel: asked for over HTTP and WebSockets, and told to streams that watch it.
 */

/* ---- asking ---- */

static void ask(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                struct rh_bytes key)
{
    struct rh_event event = {
        .kind = RH_EVENT_PRESENT,
        .inspect = {.request = request->number, .key = key},
    };
    rh_daemon_step(daemon, &event);
}

void rh_daemon_presence_get(struct rh_daemon *daemon, struct rh_http_connection *connection,
                            const struct rh_route *route)
{
    const struct rh_daemon_request *request =
        rh_daemon_request_begin(daemon, connection, rh_route_key(route));
    if (request != NULL) {
        ask(daemon, request, rh_route_key(route));
    }
}

void rh_daemon_stream_presence(struct rh_daemon *daemon, struct rh_daemon_client *client,
                               struct rh_bytes id)
{
    struct rh_daemon_request *request = rh_daemon_stream_request(daemon, client, id);
    if (request != NULL) {
        ask(daemon, request, rh_daemon_client_key(client));
    }
}

/* ---- answering ---- */

static void respond(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                    const struct rh_presence_result *result)
{
    if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_refusal(request->connection, result->refusal);
        return;
    }
    int rv =
        rh_client_json_presence_body(&daemon->scratch, rh_bytes(request->text, request->text_size),
                                     result->node, result->incarnation, result->clients);
    rh_daemon_respond_scratch(daemon, request->connection, 200, rv);
}

static void say(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                const struct rh_presence_result *result)
{
    if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_stream_refuse(daemon, request, rh_daemon_problem(result->refusal),
                                rh_refusal_text(result->refusal));
        return;
    }
    const struct rh_client_presence all = {.id = rh_bytes(request->text, request->text_size),
                                           .is_whole = true,
                                           .joined = result->clients};
    int rv = rh_client_json_presence(&daemon->scratch, &all);
    rh_daemon_stream_say(daemon, request->client, rv);
}

void rh_daemon_presence_answered(struct rh_daemon *daemon, const struct rh_action *action)
{
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->present.request);
    if (request == NULL) {
        return;
    }
    if (request->client != NULL) {
        say(daemon, request, &action->present.result);
    } else {
        respond(daemon, request, &action->present.result);
    }
    rh_daemon_request_destroy(daemon, request);
}

/* ---- watching ---- */

static int encode(struct rh_buffer *out, const void *what)
{
    return rh_client_json_presence(out, what);
}

void rh_daemon_presence_tell(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_client_presence presence = {
        .is_whole = action->presence.is_whole,
        .left = action->presence.left,
        .joined = action->presence.joined,
        .changed = action->presence.changed,
    };
    const struct rh_event_stream_event event = {.name = "presence"};
    struct rh_daemon_frames frames = {0};
    for (size_t i = 0; i < action->presence.streams_count; i++) {
        rh_daemon_stream_send_shared(daemon, rh_daemon_client_of(action->presence.streams[i]),
                                     &frames, event, encode, &presence);
    }
    rh_daemon_frames_give(&frames);
}
