/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_peer_internal.h"

#include "config/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* One question to an address: dial, say hello to any instance, read who answers, close. */

struct rh_peer_probe {
    struct rh_list list_link; /* rh_ev_peer::probes */
    struct rh_peer_grave grave;
    struct rh_ev_peer *peers;
    struct rh_node_ref node; /* instance 0 */
    char *address;
    rh_ev_peer_probed *callback;
    void *context;
    struct rh_ev_dial dial;
    struct rh_peer_stream stream;
    ev_timer timer;
};

static void free_probe(struct rh_peer_grave *grave)
{
    struct rh_peer_probe *probe = rh_container_of(grave, struct rh_peer_probe, grave);
    rh_peer_stream_free(&probe->stream);
    free(probe->address);
    free(probe);
}

static void bury(struct rh_peer_probe *probe)
{
    rh_list_remove(&probe->list_link);
    ev_timer_stop(probe->peers->loop, &probe->timer);
    rh_ev_dial_stop(&probe->dial);
    rh_peer_stream_close(&probe->stream);
    rh_peer_bury(probe->peers, &probe->grave, free_probe);
}

static void done(struct rh_peer_probe *probe, enum rh_ev_peer_probe_result result,
                 const char *detail)
{
    bury(probe);
    probe->callback(probe->context, result, 0, (struct rh_epoch){0}, detail);
}

static void answers(struct rh_peer_probe *probe, uint64_t instance, struct rh_epoch epoch)
{
    struct rh_reason detail;
    (void)rh_fail(&detail, 0, "instance %016" PRIx64 " answers there", instance);
    bury(probe);
    probe->callback(probe->context, RH_EV_PEER_PROBE_ANSWERS, instance, epoch, detail.text);
}

static void on_dialled(void *context, enum rh_ev_dial_result result, int fd, const char *reason)
{
    struct rh_peer_probe *probe = context;
    if (result == RH_EV_DIAL_REFUSED) {
        done(probe, RH_EV_PEER_PROBE_GONE, reason);
        return;
    }
    if (result == RH_EV_DIAL_FAILED) {
        done(probe, RH_EV_PEER_PROBE_UNKNOWN, reason);
        return;
    }
    struct rh_peer_message hello = rh_peer_hello(probe->peers, &probe->node, NULL);
    int rv = rh_peer_stream_open(&probe->stream, fd, RH_PEER_SMALL_FRAME_SIZE_MAX);
    if (rv == 0) {
        rv = rh_peer_stream_send(&probe->stream, &hello);
    }
    if (rv != 0) {
        done(probe, RH_EV_PEER_PROBE_UNKNOWN, rh_error_text(rv));
    }
}

static void on_message(struct rh_peer_stream *stream, const struct rh_peer_message *message)
{
    struct rh_peer_probe *probe = rh_container_of(stream, struct rh_peer_probe, stream);
    const struct rh_peer_hello *hello = &message->hello;
    struct rh_reason detail;
    if (message->kind != RH_PEER_HELLO) {
        done(probe, RH_EV_PEER_PROBE_UNKNOWN, "somebody answers without a hello");
    } else if (!rh_bytes_equal_text(hello->cluster, probe->peers->cluster)) {
        (void)rh_fail(&detail, 0, "cluster %.*s answers there", RH_BYTES_ARG(hello->cluster));
        done(probe, RH_EV_PEER_PROBE_UNKNOWN, detail.text);
    } else if (strcmp(hello->from.id, probe->node.id) != 0) {
        (void)rh_fail(&detail, 0, "node %s answers there", hello->from.id);
        done(probe, RH_EV_PEER_PROBE_UNKNOWN, detail.text);
    } else if (rh_node_ref_equal(&hello->from, &probe->peers->self)) {
        done(probe, RH_EV_PEER_PROBE_GONE, "the address is our own now");
    } else {
        answers(probe, hello->from.instance, message->epoch);
    }
}

static void on_ended(struct rh_peer_stream *stream, enum rh_peer_end end, const char *reason)
{
    struct rh_peer_probe *probe = rh_container_of(stream, struct rh_peer_probe, stream);
    if (end == RH_PEER_END_FRAME) {
        probe->peers->stats.frames_refused++;
    }
    done(probe, RH_EV_PEER_PROBE_UNKNOWN, reason);
}

static const struct rh_peer_stream_owner stream_owner = {
    .message = on_message,
    .ended = on_ended,
};

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    done(watcher->data, RH_EV_PEER_PROBE_UNKNOWN, "no answer in time");
}

int rh_ev_peer_probe(struct rh_ev_peer *peers, const char *address, const char *id,
                     rh_ev_peer_probed *callback, void *context)
{
    char host[256];
    uint16_t port;
    if (!rh_node_id_valid(rh_bytes_text(id)) || rh_address_split(address, host, &port) != 0) {
        return RH_ERR_INVALID;
    }
    struct rh_peer_probe *probe = calloc(1, sizeof(*probe));
    char *copy = strdup(address);
    if (probe == NULL || copy == NULL) {
        free(probe);
        free(copy);
        return RH_ERR_NO_MEMORY;
    }
    probe->peers = peers;
    probe->address = copy;
    probe->callback = callback;
    probe->context = context;
    memcpy(probe->node.id, id, strlen(id) + 1);
    rh_list_init(&probe->grave.link);
    rh_list_push_back(&peers->probes, &probe->list_link);
    rh_ev_dial_init(&probe->dial, peers->loop, copy, on_dialled, probe);
    rh_peer_stream_init(&probe->stream, peers, &stream_owner);
    ev_init(&probe->timer, on_timer);
    probe->timer.data = probe;
    rh_ev_dial_start(&probe->dial);
    rh_peer_timer(peers, &probe->timer, peers->options.hello_timeout_ms, 0);
    return 0;
}

void rh_peer_probe_bury_all(struct rh_ev_peer *peers)
{
    rh_list_each_safe (&peers->probes, link) {
        bury(rh_container_of(link, struct rh_peer_probe, list_link));
    }
}
