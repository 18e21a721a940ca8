/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include "router/client_json.h"
#include "router/condition.h"

#include <stdlib.h>

/*
 * The state document over HTTP: GET, PUT, DELETE of /v1/channels/{key}/state. Its version is the
 * entity tag. A write may reach any node, which passes it on; a read is sent to the owner, unless
 * the client has been sent about enough: then it is passed on as well.
 */

#define CONTENT_TYPE_DEFAULT "application/octet-stream"
#define TAG_SIZE             24U /* of "18446744073709551615", quoted */

/* ---- asking ---- */

/* Keeps what the answer needs of the request. */
static struct rh_daemon_request *keep(struct rh_daemon *daemon,
                                      struct rh_http_connection *connection,
                                      const struct rh_route *route, struct rh_bytes if_none_match)
{
    struct rh_buffer *text = &daemon->scratch;
    int rv = rh_buffer_append(text, route->key_data, route->key_size);
    rv = rv == 0 ? rh_buffer_append_bytes(text, route->ticket) : rv;
    rv = rv == 0 ? rh_buffer_append_bytes(text, route->token) : rv;
    rv = rv == 0 ? rh_buffer_append_bytes(text, route->client) : rv;
    rv = rv == 0 ? rh_buffer_append_bytes(text, if_none_match) : rv;
    struct rh_daemon_request *request =
        rv != 0 ? NULL : rh_daemon_request_create(daemon, rh_buffer_content(text));
    rh_buffer_clear(text);
    if (request == NULL) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_NO_MEMORY, NULL);
        return NULL;
    }
    request->key_size = (uint32_t)route->key_size;
    request->ticket_size = (uint32_t)route->ticket.size;
    request->token_size = (uint32_t)route->token.size;
    request->client_size = (uint32_t)route->client.size;
    request->has_epoch = route->has_epoch;
    request->epoch = route->epoch;
    request->hops = route->hops;
    request->is_read = route->kind == RH_ROUTE_STATE_GET;
    request->connection = connection;
    rh_http_connection_set_data(connection, request);
    return request;
}

static struct rh_bytes cut(struct rh_bytes *text, size_t size)
{
    struct rh_bytes piece = rh_bytes(text->data, size);
    *text = rh_bytes(text->data + size, text->size - size);
    return piece;
}

/* The route again, and what is left: If-None-Match. */
static struct rh_bytes kept(const struct rh_daemon_request *request, struct rh_route *ret_route)
{
    struct rh_bytes text = rh_bytes(request->text, request->text_size);
    *ret_route = (struct rh_route){
        .kind = RH_ROUTE_STATE_GET,
        .key_size = request->key_size,
        .has_epoch = request->has_epoch,
        .epoch = request->epoch,
        .hops = request->hops,
    };
    (void)rh_bytes_write(ret_route->key_data, cut(&text, request->key_size));
    ret_route->ticket = cut(&text, request->ticket_size);
    ret_route->token = cut(&text, request->token_size);
    ret_route->client = cut(&text, request->client_size);
    return text;
}

/* Whether a redirect from here would still be followed to an end; see router/redirect.h. */
static bool may_redirect(const struct rh_daemon *daemon, const struct rh_route *route)
{
    bool is_new = !route->has_epoch || route->epoch < (uint64_t)daemon->epoch.pzxid;
    bool relays = route->relay || (rh_config_relays(daemon->config) && !route->redirect);
    return !relays && is_new && route->hops < RH_REDIRECT_HOPS_MAX;
}

void rh_daemon_state_get(struct rh_daemon *daemon, struct rh_http_connection *connection,
                         const struct rh_http_request *http, const struct rh_route *route)
{
    struct rh_bytes if_none_match = rh_http_request_field(http, "if-none-match");
    struct rh_daemon_request *request = keep(daemon, connection, route, if_none_match);
    if (request == NULL) {
        return;
    }
    struct rh_event event = {
        .kind = RH_EVENT_STATE_GET,
        .state = {.request = request->number,
                  .key = rh_route_key(route),
                  .may_redirect = may_redirect(daemon, route)},
    };
    rh_daemon_step(daemon, &event);
}

/* What the core is told of If-Match and If-None-Match. RH_ERR_INVALID: nothing that can be meant. */
static int condition_of(const struct rh_http_request *http, bool is_delete, struct rh_event *event)
{
    struct rh_condition match;
    struct rh_condition none_match;
    int rv = rh_condition_parse(rh_http_request_field(http, "if-match"), &match);
    rv = rv == 0 ? rh_condition_parse(rh_http_request_field(http, "if-none-match"), &none_match)
                 : rv;
    if (rv != 0 || none_match.kind == RH_CONDITION_VERSION ||
        (none_match.kind == RH_CONDITION_ANY && (is_delete || match.kind != RH_CONDITION_NONE))) {
        return RH_ERR_INVALID;
    }
    event->state.condition = none_match.kind == RH_CONDITION_ANY  ? RH_PEER_STATE_ABSENT
                             : match.kind == RH_CONDITION_ANY     ? RH_PEER_STATE_PRESENT
                             : match.kind == RH_CONDITION_VERSION ? RH_PEER_STATE_VERSION
                                                                  : RH_PEER_STATE_ANY;
    event->state.if_version = match.version;
    return 0;
}

void rh_daemon_state_write(struct rh_daemon *daemon, struct rh_http_connection *connection,
                           const struct rh_http_request *http, const struct rh_route *route)
{
    bool is_delete = route->kind == RH_ROUTE_STATE_DELETE;
    struct rh_event event = {.kind = is_delete ? RH_EVENT_STATE_DELETE : RH_EVENT_STATE_PUT};
    if (condition_of(http, is_delete, &event) != 0) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_BAD_CONDITION,
                                  is_delete ? "the condition can be If-Match with one version or *"
                                            : "the condition can be If-Match with one version or "
                                              "*, or If-None-Match with *");
        return;
    }
    struct rh_bytes type = rh_http_request_field(http, "content-type");
    if (!is_delete && !rh_content_type_valid(type)) {
        rh_daemon_respond_problem(connection, RH_PROBLEM_BAD_CONTENT_TYPE,
                                  "Content-Type must be at most 255 printable ASCII characters");
        return;
    }
    struct rh_daemon_request *request = keep(daemon, connection, route, rh_bytes(NULL, 0));
    if (request == NULL) {
        return;
    }
    event.state.request = request->number;
    event.state.key = rh_route_key(route);
    if (!is_delete) {
        event.state.content_type = type;
        event.state.state = http->body;
    }
    rh_daemon_step(daemon, &event);
}

/* ---- answering ---- */

static struct rh_bytes tag_of(uint64_t version, char out[static TAG_SIZE])
{
    (void)snprintf(out, TAG_SIZE, "\"%" PRIu64 "\"", version);
    return rh_bytes_text(out);
}

static void redirect(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                     const struct rh_registration *owner)
{
    struct rh_route route;
    (void)kept(request, &route);
    enum rh_redirect decision = RH_REDIRECT_LIMIT;
    int rv = rh_daemon_redirect(daemon, &(const struct rh_redirect_request){.route = &route}, owner,
                                &decision);
    if (rv != 0) {
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_INTERNAL, rh_error_text(rv));
    } else if (decision == RH_REDIRECT_307) {
        rh_daemon_respond_307(daemon, request->connection, owner);
    } else { /* the view has changed since it was asked */
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_REDIRECT_LIMIT, NULL);
    }
}

static void respond_document(const struct rh_daemon_request *request,
                             const struct rh_state_result *result)
{
    char tag[TAG_SIZE];
    char type[RH_CONTENT_TYPE_SIZE_MAX + 1] = CONTENT_TYPE_DEFAULT;
    struct rh_route route;
    struct rh_bytes if_none_match = kept(request, &route);
    /* Anybody may have written it: a browser is not to take it for a page of this origin. */
    const struct rh_http_header headers[] = {
        {.name = "ETag", .value = tag_of(result->version, tag)},
        {.name = "X-Content-Type-Options", .value = rh_bytes_text("nosniff")},
        {.name = "Content-Security-Policy", .value = rh_bytes_text("sandbox")},
    };
    struct rh_http_response response = {
        .status = 200,
        .content_type = type,
        .headers = headers,
        .headers_count = sizeof(headers) / sizeof(headers[0]),
        .body = result->state,
    };
    if (result->content_type.size > 0) {
        *rh_bytes_write(type, result->content_type) = '\0';
    }
    rh_daemon_respond_unless(request->connection, &response,
                             if_none_match.size > 0 &&
                                 rh_condition_names(if_none_match, result->version));
}

/* Answers with what is in the scratch buffer, unless |rv| says that it could not be made; version 0
 * has no tag. */
static void respond_tagged(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                           unsigned status, const char *content_type, uint64_t version, int rv)
{
    char tag[TAG_SIZE];
    const struct rh_http_header etag = {.name = "ETag", .value = tag_of(version, tag)};
    const struct rh_http_response response = {
        .status = status,
        .content_type = content_type,
        .headers = &etag,
        .headers_count = version == 0 ? 0 : 1,
        .body = rh_buffer_content(&daemon->scratch),
    };
    if (rv == 0) {
        rh_http_connection_respond(request->connection, &response);
    } else {
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_NO_MEMORY, NULL);
    }
    rh_buffer_clear(&daemon->scratch);
}

const char *rh_daemon_state_conflict_text(uint64_t version)
{
    return version == 0 ? "there is no state" : "the state has another version";
}

/* A problem that says which version there is. */
static void respond_conflict(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                             uint64_t version)
{
    struct rh_buffer *body = &daemon->scratch;
    int rv = rh_problem_encode(RH_PROBLEM_VERSION_CONFLICT, rh_daemon_state_conflict_text(version),
                               body);
    if (rv == 0) {
        rh_buffer_truncate(body, rh_buffer_size(body) - 1);
        rv = version == 0 ? rh_buffer_format(body, ",\"version\":null}")
                          : rh_buffer_format(body, ",\"version\":%" PRIu64 "}", version);
    }
    respond_tagged(daemon, request, rh_problem_status(RH_PROBLEM_VERSION_CONFLICT),
                   RH_PROBLEM_CONTENT_TYPE, version, rv);
}

static void respond_written(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                            const struct rh_state_result *result)
{
    const struct rh_client_state written = {
        .version = result->version,
        .incarnation = result->incarnation,
        .node = result->node,
    };
    int rv = rh_client_json_state(&daemon->scratch, &written);
    respond_tagged(daemon, request, result->outcome == RH_PEER_STATE_CREATED ? 201 : 200,
                   "application/json",
                   result->outcome == RH_PEER_STATE_DELETED ? 0 : result->version, rv);
}

const char *rh_daemon_state_refusal_text(enum rh_refusal refusal)
{
    return refusal == RH_REFUSAL_UNKNOWN
               ? "the owner did not answer in time; the write may have been done: read the state"
               : rh_refusal_text(refusal);
}

static void respond(struct rh_daemon *daemon, const struct rh_daemon_request *request,
                    const struct rh_state_result *result)
{
    switch (result->outcome) {
    case RH_PEER_STATE_FOUND:
        respond_document(request, result);
        return;
    case RH_PEER_STATE_NONE:
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_NO_STATE, NULL);
        return;
    case RH_PEER_STATE_CREATED:
    case RH_PEER_STATE_CHANGED:
    case RH_PEER_STATE_DELETED:
        respond_written(daemon, request, result);
        return;
    case RH_PEER_STATE_CONFLICT:
        respond_conflict(daemon, request, result->version);
        return;
    case RH_PEER_STATE_OUTCOMES:
        break;
    }
    rh_daemon_respond_problem(request->connection, RH_PROBLEM_INTERNAL, NULL);
}

bool rh_daemon_state_fits(const struct rh_daemon_request *request,
                          const struct rh_state_result *result)
{
    return request->is_read == (result->outcome == RH_PEER_STATE_FOUND) ||
           result->outcome == RH_PEER_STATE_NONE;
}

void rh_daemon_state_answered(struct rh_daemon *daemon, const struct rh_action *action)
{
    const struct rh_state_result *result = &action->state.result;
    struct rh_daemon_request *request = rh_daemon_request_find(daemon, action->state.request);
    if (request == NULL) {
        return;
    }
    if (request->client != NULL) {
        rh_daemon_stream_state_answered(daemon, request, result);
    } else if (result->refusal != RH_REFUSAL_NONE) {
        rh_daemon_respond_problem(request->connection, rh_daemon_problem(result->refusal),
                                  rh_daemon_state_refusal_text(result->refusal));
    } else if (result->redirect != NULL) {
        redirect(daemon, request, result->redirect);
    } else if (!rh_daemon_state_fits(request, result)) {
        rh_daemon_respond_problem(request->connection, RH_PROBLEM_INTERNAL, NULL);
    } else {
        respond(daemon, request, result);
    }
    rh_daemon_request_destroy(daemon, request);
}
