/* SPDX-License-Identifier: Apache-2.0 */
#include "node/view_shown.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct rh_view_shown {
    struct rh_peer_view message;
    struct rh_peer_view_member *members;
    struct rh_registration_name *names;
    char **texts; /* of the registrations */
    size_t texts_count;
    char *config;
};

void rh_view_shown_destroy(struct rh_view_shown *shown)
{
    if (shown == NULL) {
        return;
    }
    for (size_t i = 0; i < shown->texts_count; i++) {
        free(shown->texts[i]);
    }
    free(shown->texts);
    free(shown->names);
    free(shown->members);
    free(shown->config);
    free(shown);
}

static int fill(struct rh_view_shown *shown, const struct rh_view *view)
{
    shown->config = rh_shared_config_encode(&view->config, NULL);
    shown->members = calloc(view->members_count + 1, sizeof(*shown->members));
    shown->names = calloc(view->members_count + 1, sizeof(*shown->names));
    shown->texts = calloc(view->members_count + 1, sizeof(*shown->texts));
    if (shown->config == NULL || shown->members == NULL || shown->names == NULL ||
        shown->texts == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < view->members_count; i++) {
        char *text = rh_registration_encode(&view->members[i]);
        if (text == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        shown->texts[shown->texts_count++] = text;
        shown->names[i] = view->names[i];
        shown->members[i] =
            (struct rh_peer_view_member){.name = rh_bytes_text(shown->names[i].text),
                                         .czxid = view->czxids[i],
                                         .data = rh_bytes_text(text)};
    }
    shown->message = (struct rh_peer_view){.epoch = view->epoch,
                                           .config = rh_bytes_text(shown->config),
                                           .members = shown->members,
                                           .members_count = view->members_count,
                                           .deletions = view->deletions};
    return 0;
}

int rh_view_show(const struct rh_view *view, struct rh_view_shown **ret_shown)
{
    struct rh_view_shown *shown = calloc(1, sizeof(*shown));
    int rv = shown == NULL ? RH_ERR_NO_MEMORY : fill(shown, view);
    if (rv != 0) {
        rh_view_shown_destroy(shown);
        return rv;
    }
    *ret_shown = shown;
    return 0;
}

const struct rh_peer_view *rh_view_shown_message(const struct rh_view_shown *shown)
{
    return &shown->message;
}

/* Reading. */

struct reading {
    struct rh_registration *members;
    int64_t *czxids;
    struct rh_registration_name *names;
};

static int read_member(const struct rh_peer_view *message, size_t index, struct reading *reading,
                       struct rh_reason *reason)
{
    const struct rh_peer_view_member *from = &message->members[index];
    struct rh_registration *member = &reading->members[index];
    int rv = rh_registration_decode(from->data, member, reason);
    if (rv != 0) {
        return rv;
    }
    if (from->name.size >= sizeof(reading->names->text)) {
        return rh_fail(reason, RH_ERR_INVALID, "the name of %s is too long", member->id);
    }
    char *name = reading->names[index].text;
    (void)snprintf(name, sizeof(reading->names->text), "%.*s", RH_BYTES_ARG(from->name));
    if (!rh_registration_name_valid(name, member->id)) {
        return rh_fail(reason, RH_ERR_INVALID, "\"%s\" is not a registration of %s", name,
                       member->id);
    }
    if (from->czxid <= 0 || from->czxid > message->epoch.pzxid) {
        return rh_fail(reason, RH_ERR_INVALID, "%s was made after its view", name);
    }
    reading->czxids[index] = from->czxid;
    return 0;
}

static int read_all(const struct rh_peer_view *message, struct reading *reading,
                    struct rh_view **ret_view, struct rh_reason *reason)
{
    struct rh_shared_config config;
    int rv = rh_shared_config_decode(message->config, &config, NULL, reason);
    if (rv == 0 && config.generation != message->epoch.generation) {
        rv = rh_fail(reason, RH_ERR_INVALID, "its config is of another generation");
    }
    for (size_t i = 0; i < message->members_count && rv == 0; i++) {
        rv = read_member(message, i, reading, reason);
    }
    if (rv != 0) {
        return rv;
    }
    const struct rh_view_source source = {.epoch = message->epoch,
                                          .config = &config,
                                          .members = reading->members,
                                          .czxids = reading->czxids,
                                          .names = reading->names,
                                          .members_count = message->members_count,
                                          .deletions = message->deletions};
    rv = rh_view_build(&source, ret_view);
    return rv == 0 ? 0 : rh_fail(reason, rv, "%s", rh_error_text(rv));
}

int rh_view_read(const struct rh_peer_view *message, struct rh_view **ret_view,
                 struct rh_reason *reason)
{
    struct reading reading = {
        .members = calloc(message->members_count + 1, sizeof(*reading.members)),
        .czxids = calloc(message->members_count + 1, sizeof(*reading.czxids)),
        .names = calloc(message->members_count + 1, sizeof(*reading.names)),
    };
    int rv = reading.members == NULL || reading.czxids == NULL || reading.names == NULL
                 ? rh_fail(reason, RH_ERR_NO_MEMORY, "out of memory")
                 : read_all(message, &reading, ret_view, reason);
    free(reading.members);
    free(reading.czxids);
    free(reading.names);
    return rv;
}
