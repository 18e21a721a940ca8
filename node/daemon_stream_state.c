/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include <assert.h>

/*
 * The state document over WebSockets: state_get, state_put, state_delete, as over HTTP
 * (daemon_state.c); and what streams that watch it are shown.
 */

/* ---- asking ---- */

static enum rh_peer_state_condition condition_of(enum rh_client_condition condition)
{
    switch (condition) {
    case RH_CLIENT_VERSION:
        return RH_PEER_STATE_VERSION;
    case RH_CLIENT_PRESENT:
        return RH_PEER_STATE_PRESENT;
    case RH_CLIENT_ABSENT:
        return RH_PEER_STATE_ABSENT;
    case RH_CLIENT_ANY:
        break;
    }
    return RH_PEER_STATE_ANY;
}

void rh_daemon_stream_state(struct rh_daemon *daemon, struct rh_daemon_client *client,
                            const struct rh_client_request *said)
{
    struct rh_daemon_request *request = rh_daemon_stream_request(daemon, client, said->id);
    if (request == NULL) {
        return;
    }
    request->is_read = said->type == RH_CLIENT_STATE_GET;
    struct rh_event event = {
        .kind = request->is_read                    ? RH_EVENT_STATE_GET
                : said->type == RH_CLIENT_STATE_PUT ? RH_EVENT_STATE_PUT
                                                    : RH_EVENT_STATE_DELETE,
        .state = {.request = request->number,
                  .key = rh_daemon_client_key(client),
                  .condition = condition_of(said->condition),
                  .if_version = said->if_version,
                  .content_type = said->content_type,
                  .state = said->payload.bytes},
    };
    rh_daemon_step(daemon, &event);
}

/* ---- answering ---- */

static int encode_answer(struct rh_buffer *out, struct rh_bytes id,
                         const struct rh_state_result *result)
{
    if (result->outcome == RH_PEER_STATE_CONFLICT) {
        return rh_client_json_conflict(out, rh_problem_code(RH_PROBLEM_VERSION_CONFLICT),
                                       rh_daemon_state_conflict_text(result->version), id,
                                       result->version);
    }
    if (result->outcome != RH_PEER_STATE_FOUND) {
        return rh_client_json_state_ack(out, id, result->version);
    }
    const struct rh_client_document document = {
        .id = id,
        .version = result->version,
        .exists = true,
        .content_type = result->content_type,
        .state = result->state,
    };
    return rh_client_json_document(out, &document);
}

void rh_daemon_stream_state_answered(struct rh_daemon *daemon,
                                     const struct rh_daemon_request *request,
                                     const struct rh_state_result *result)
{
    if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_stream_refuse(daemon, request, rh_daemon_problem(result->refusal),
                                rh_daemon_state_refusal_text(result->refusal));
    } else if (result->outcome == RH_PEER_STATE_NONE) {
        rh_daemon_stream_refuse(daemon, request, RH_PROBLEM_NO_STATE,
                                rh_problem_title(RH_PROBLEM_NO_STATE));
    } else if (!rh_daemon_state_fits(request, result)) {
        rh_daemon_stream_refuse(daemon, request, RH_PROBLEM_INTERNAL,
                                rh_problem_title(RH_PROBLEM_INTERNAL));
    } else {
        int rv =
            encode_answer(&daemon->scratch, rh_bytes(request->text, request->text_size), result);
        rh_daemon_stream_say(daemon, request->client, rv);
    }
}

/* ---- watching ---- */

static int encode_document(struct rh_buffer *out, const void *what)
{
    return rh_client_json_document(out, what);
}

/* Who reads slowly is not shown each version, but the latest when there is room. */
void rh_daemon_stream_changed(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_entry *state = action->changed.state;
    struct rh_client_document document = {0};
    if (state != NULL) {
        document.version = rh_entry_version(state);
        document.exists = state->entry_kind == RH_ENTRY_STATE;
        document.content_type = rh_entry_content_type(state);
        document.state = rh_entry_payload(state).bytes;
    }
    struct rh_daemon_frames frames = {0};
    const struct rh_event_stream_event event = {.name = "state"};
    struct rh_subscription *only = action->changed.subscription;
    struct rh_subscription *at =
        only != NULL ? only : rh_channel_watcher_next(action->changed.channel, NULL);
    while (at != NULL) {
        struct rh_daemon_client *client = rh_daemon_client_of(at);
        client->wants_state = !rh_daemon_stream_has_room(client);
        if (!client->wants_state) {
            rh_daemon_stream_send_shared(daemon, client, &frames, event, encode_document,
                                         &document);
        }
        at = only != NULL ? NULL : rh_channel_watcher_next(action->changed.channel, at);
    }
    rh_daemon_frames_give(&frames);
}
