/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/publish_link.h"

#include "cli/cli.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLYING_MAX 128U   /* requests that are not answered */
#define OUTPUT_MAX 65536U /* bytes that are not sent: no further request is begun */
#define READ_SIZE  65536U

static void close_link(struct rh_publish_link *link)
{
    rh_ev_dial_stop(&link->dial);
    if (link->state == RH_PUBLISH_LINK_OPEN) {
        ev_io_stop(link->loop, &link->io);
        (void)close(link->io.fd);
    }
    rh_answer_finish(&link->answer);
    rh_buffer_finish(&link->output);
    link->state = RH_PUBLISH_LINK_CLOSED;
    link->leaving = false;
    rh_feed_break(link->feed, &link->lane);
}

static void break_link(struct rh_publish_link *link, const char *reason)
{
    struct rh_reason kept;
    (void)rh_fail(&kept, 0, "%s", reason);
    close_link(link);
    link->handler->broken(link->context, link, kept.text);
}

/* ---- requests ---- */

static int append_request(struct rh_publish_link *link, const struct rh_feed_message *message)
{
    struct rh_buffer *output = &link->output;
    char path[RH_URL_TEXT_SIZE];
    size_t before = rh_buffer_size(output);
    int rv = rh_url_channel_path(message->key->name, "messages", path, sizeof(path));
    if (rv == 0) {
        rv = rh_buffer_format(output,
                              "POST %s HTTP/1.1\r\n"
                              "Host: %s\r\n"
                              "Content-Type: %s\r\n"
                              "Content-Length: %zu\r\n"
                              "Idempotency-Key: %.*s\r\n"
                              "\r\n",
                              path, link->host, message->content_type, message->payload.size,
                              RH_BYTES_ARG(message->id));
    }
    if (rv == 0) {
        rv = rh_buffer_append_bytes(output, message->payload);
    }
    if (rv != 0) {
        rh_buffer_truncate(output, before);
    }
    return rv;
}

/* Sends what there is; what breaks here is noticed when reading. */
static void flush(struct rh_publish_link *link)
{
    struct rh_bytes output = rh_buffer_content(&link->output);
    ssize_t sent = output.size == 0 ? 0 : send(link->io.fd, output.data, output.size, MSG_NOSIGNAL);
    rh_buffer_consume(&link->output, sent > 0 ? (size_t)sent : 0);
    int events = rh_buffer_size(&link->output) > 0 && (sent >= 0 || errno == EAGAIN)
                     ? EV_READ | EV_WRITE
                     : EV_READ;
    if (link->io.events != events || !ev_is_active(&link->io)) {
        ev_io_stop(link->loop, &link->io);
        ev_io_set(&link->io, link->io.fd, events);
        ev_io_start(link->loop, &link->io);
    }
}

int rh_publish_link_pump(struct rh_publish_link *link, uint64_t now_ms)
{
    if (link->state == RH_PUBLISH_LINK_CLOSED && !rh_list_empty(&link->lane.ready)) {
        link->state = RH_PUBLISH_LINK_DIALLING;
        link->waiting_ms = now_ms;
        rh_ev_dial_start(&link->dial);
    }
    if (link->state != RH_PUBLISH_LINK_OPEN || link->leaving) {
        return 0;
    }
    bool more = false;
    while (link->lane.flying_count < FLYING_MAX && rh_buffer_size(&link->output) < OUTPUT_MAX) {
        bool first = link->lane.flying_count == 0;
        struct rh_feed_message *message = rh_feed_take(&link->lane);
        if (message == NULL) {
            break;
        }
        if (first) {
            link->waiting_ms = now_ms;
        }
        message->begun_ms = message->begun_ms == 0 ? now_ms : message->begun_ms;
        int rv = append_request(link, message);
        if (rv != 0) {
            return rv;
        }
        more = true;
    }
    if (more) {
        flush(link);
    }
    return 0;
}

/* ---- answers ---- */

/* Takes all whole answers. False: the link is broken. */
static bool take_answers(struct rh_publish_link *link, struct rh_bytes input)
{
    while (input.size > 0) {
        struct rh_reason reason = {""};
        size_t consumed = 0;
        int rv = rh_answer_feed(&link->answer, input, &consumed);
        if (rv == RH_ERR_AGAIN) {
            return true;
        }
        struct rh_feed_message *oldest = rh_feed_oldest(&link->lane);
        if (rv != 0 || oldest == NULL) {
            break_link(link, "what answers is no ringhop node");
            return false;
        }
        if (!link->handler->answered(link->context, link, oldest, &link->answer, &reason)) {
            break_link(link, reason.text);
            return false;
        }
        rh_feed_landed(link->feed, &link->lane);
        link->waiting_ms = rh_cli_now_ms();
        if (!link->answer.keep_alive) {
            break_link(link, "");
            return false;
        }
        rh_answer_reset(&link->answer);
        input = rh_bytes(input.data + consumed, input.size - consumed);
    }
    return true;
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct rh_publish_link *link = io->data;
    if ((events & EV_WRITE) != 0) {
        flush(link);
    }
    if ((events & EV_READ) == 0) {
        return;
    }
    char input[READ_SIZE];
    ssize_t size = recv(io->fd, input, sizeof(input), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        break_link(link, link->lane.flying_count == 0 ? "" : "the connection broke");
        return;
    }
    if (take_answers(link, rh_bytes(input, (size_t)size)) && link->leaving &&
        link->lane.flying_count == 0) {
        break_link(link, "");
    }
}

/* ---- life ---- */

static void on_dialled(void *context, enum rh_ev_dial_result result, int fd, const char *reason)
{
    struct rh_publish_link *link = context;
    const int one = 1;
    if (result != RH_EV_DIAL_CONNECTED) {
        break_link(link, reason);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    link->state = RH_PUBLISH_LINK_OPEN;
    rh_answer_init(&link->answer);
    ev_io_init(&link->io, on_io, fd, EV_READ);
    link->io.data = link;
    ev_io_start(link->loop, &link->io);
}

void rh_publish_link_init(struct rh_publish_link *link, struct ev_loop *loop, struct rh_feed *feed,
                          const char *host, const struct rh_publish_link_handler *handler,
                          void *context)
{
    *link = (struct rh_publish_link){
        .feed = feed, .loop = loop, .handler = handler, .context = context, .host = host};
    rh_feed_lane_init(&link->lane);
    rh_ev_dial_init(&link->dial, loop, host, on_dialled, link);
}

void rh_publish_link_finish(struct rh_publish_link *link)
{
    close_link(link);
}

void rh_publish_link_leave(struct rh_publish_link *link)
{
    if (link->lane.flying_count == 0) {
        close_link(link);
    } else {
        link->leaving = true;
    }
}

void rh_publish_link_check(struct rh_publish_link *link, uint64_t now_ms, uint32_t timeout_ms)
{
    bool waits = link->state == RH_PUBLISH_LINK_DIALLING || link->lane.flying_count > 0;
    if (waits && now_ms - link->waiting_ms > timeout_ms) {
        break_link(link, link->state == RH_PUBLISH_LINK_DIALLING ? "no connection in time"
                                                                 : "no answer in time");
    }
}
