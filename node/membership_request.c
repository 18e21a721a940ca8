/* SPDX-License-Identifier: Apache-2.0 */
#include "node/membership_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t weight_of(const struct rh_membership *membership, const struct rh_request *request)
{
    switch (request->kind) {
    case RH_REQUEST_DRAIN:
        return 0;
    case RH_REQUEST_JOIN:
        return membership->own.weight_milli;
    case RH_REQUEST_WEIGHT:
        return request->weight_milli;
    }
    return 0;
}

static void note(struct rh_membership *membership, const char *what)
{
    char weight[RH_WEIGHT_TEXT_SIZE];
    rh_weight_format(weight_of(membership, &membership->request), weight);
    membership_note(membership, RH_NOTE_INFO, "%s kind=%s weight=%s number=%016" PRIx64, what,
                    rh_request_kind_name(membership->request.kind), weight,
                    membership->request.number);
}

/* No request is worked on any more. */
static void stop(struct rh_membership *membership)
{
    if (membership->request_active) {
        membership->request_active = false;
        (void)membership_act(membership, RH_MEMBERSHIP_REQUEST);
    }
}

static void write_now(struct rh_membership *membership)
{
    membership->request_dirty = true;
    membership->request_write_ms = membership->now_ms;
}

/* Works on |membership->request| from now on. */
static void start(struct rh_membership *membership)
{
    membership->request_active = true;
    membership->request.state = RH_REQUEST_WORKING;
    membership_act(membership, RH_MEMBERSHIP_REQUEST)->request = &membership->request;
    write_now(membership);
}

static void take_weight(struct rh_membership *membership)
{
    membership->weight_asked = true;
    membership->weight_milli = weight_of(membership, &membership->request);
}

/* What the znode says when this process looks there for the first time: how it was left. */
static void on_found(struct rh_membership *membership)
{
    if (membership->request.state == RH_REQUEST_FAILED) {
        return;
    }
    take_weight(membership);
    note(membership, "weight_from_request");
    if (membership->request.state != RH_REQUEST_DONE) {
        start(membership);
    }
}

static void on_asked(struct rh_membership *membership)
{
    if (membership->request.state == RH_REQUEST_DONE ||
        membership->request.state == RH_REQUEST_FAILED) {
        return;
    }
    if (membership->request.kind == RH_REQUEST_JOIN && membership->own.weight_milli == 0) {
        membership->request.state = RH_REQUEST_FAILED;
        (void)snprintf(membership->request.reason, sizeof(membership->request.reason),
                       "%s gives this node weight 0: ask for a weight instead",
                       membership->config_name);
        note(membership, "request_failed");
        write_now(membership);
        return;
    }
    take_weight(membership);
    note(membership, "request_started");
    start(membership);
}

/* Cannot be read: says so there, if that is possible. */
static void refuse(struct rh_membership *membership, struct rh_bytes data,
                   const struct rh_reason *reason)
{
    stop(membership);
    membership->request.number = 0;
    membership->request_dirty = false;
    free(membership->request_text);
    membership->request_text = rh_request_refuse(data, reason->text);
    if (membership->request_text != NULL && rh_bytes_equal_text(data, membership->request_text)) {
        free(membership->request_text); /* it stands there already */
        membership->request_text = NULL;
        return;
    }
    membership_note(membership, RH_NOTE_WARN, "request_ignored reason=\"%s\"", reason->text);
}

void request_on_read(struct rh_membership *membership, const struct rh_membership_result *result)
{
    bool first = !membership->request_known;
    if (result->rv == RH_ERR_NOT_FOUND) {
        membership->request_known = true;
        membership->request = (struct rh_request){0};
        membership->request_dirty = false;
        stop(membership);
        return;
    }
    struct rh_request request;
    struct rh_reason reason = {0};
    int rv = rh_request_decode(result->data, &request, &reason);
    if (rv == RH_ERR_NO_MEMORY) {
        membership->request_stale = true;
        membership_retry_later(membership);
        return;
    }
    membership->request_known = true;
    membership->request_version = result->version;
    if (rv != 0) {
        refuse(membership, result->data, &reason);
        return;
    }
    if (request.number == membership->request.number && !first) {
        return; /* what we wrote ourselves, or a new version of that */
    }
    stop(membership);
    membership->request = request;
    membership->request_dirty = false;
    if (membership->leaving) {
        return; /* for the next process */
    }
    if (first) {
        on_found(membership);
    } else {
        on_asked(membership);
    }
}

/* Whether the adopted view has us with the weight that the request wants. */
static bool is_applied(const struct rh_membership *membership)
{
    if (membership->view == NULL) {
        return false;
    }
    uint32_t index = rh_view_find(membership->view, membership->own.id);
    return index != RH_RING_NONE &&
           membership->view->members[index].instance == membership->own.instance &&
           membership->view->members[index].weight_milli == membership->weight_milli;
}

void request_on_progress(struct rh_membership *membership, uint64_t channels_left,
                         uint64_t connections_left)
{
    if (!membership->request_active || membership->leaving || !is_applied(membership)) {
        return;
    }
    struct rh_request *request = &membership->request;
    if (channels_left == 0 && connections_left == 0) {
        request->state = RH_REQUEST_DONE;
        request->channels_left = 0;
        request->connections_left = 0;
        note(membership, "request_done");
        stop(membership);
        write_now(membership);
        return;
    }
    if (request->channels_left != channels_left || request->connections_left != connections_left) {
        request->channels_left = channels_left;
        request->connections_left = connections_left;
        membership->request_dirty = true;
    }
}

/* Who is not registered may be a second process with our id: it has no say. */
static bool may_write(const struct rh_membership *membership)
{
    return membership->registration.state == RH_MEMBERSHIP_REGISTERED;
}

bool request_write(struct rh_membership *membership)
{
    if (!may_write(membership)) {
        return false;
    }
    char *text = membership->request_text;
    membership->request_text = NULL;
    if (text == NULL) {
        if (!membership->request_dirty || membership->now_ms < membership->request_write_ms) {
            return false;
        }
        text = rh_request_encode(&membership->request);
    }
    if (text == NULL) {
        membership_retry_later(membership);
        return true;
    }
    membership->request_dirty = false;
    membership->request_write_ms = membership->now_ms + REQUEST_WRITE_MS;
    struct rh_membership_action *action =
        membership_operate(membership, OPERATION_SET_REQUEST, RH_MEMBERSHIP_SET_REQUEST);
    action->data = rh_bytes_text(membership_keep(membership, text));
    action->version = membership->request_version;
    return true;
}

void request_on_written(struct rh_membership *membership, const struct rh_membership_result *result)
{
    if (result->rv == 0) {
        membership->request_version = result->version;
        return;
    }
    /* Another one, or gone; or ours in a version that a server which lagged behind did not show. What
     * is read decides whether ours is still to be written. */
    membership->request_stale = true;
    membership->request_dirty = membership->request.number != 0;
}

uint64_t request_deadline_ms(const struct rh_membership *membership)
{
    return membership->request_dirty && may_write(membership) ? membership->request_write_ms
                                                              : NEVER;
}
