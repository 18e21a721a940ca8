/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ev_peer_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_KEPT_SIZE (1024U * 1024) /* output memory that a stream without output may hold */
#define TURN_S           0.001          /* after that long in a turn of the loop nobody reads on */

static void watch(struct rh_peer_stream *stream, int events)
{
    struct ev_loop *loop = stream->peers->loop;
    if (ev_is_active(&stream->io) && (stream->io.events & (EV_READ | EV_WRITE)) == events) {
        return;
    }
    ev_io_stop(loop, &stream->io);
    ev_io_set(&stream->io, stream->fd, events);
    ev_io_start(loop, &stream->io);
}

static bool waits_for_room(const struct rh_peer_stream *stream)
{
    return (stream->io.events & EV_WRITE) != 0;
}

/* An error of the socket. Only a reset tells of the process at the other end. */
static void fail_with(struct rh_peer_stream *stream, int error)
{
    bool remote = error == ECONNRESET || error == EPIPE;
    stream->owner->ended(stream, remote ? RH_PEER_END_REMOTE : RH_PEER_END_NETWORK,
                         strerror(error));
}

/* Hands on all complete messages. */
static void drain(struct rh_peer_stream *stream)
{
    struct rh_peer_message message;
    struct rh_reason reason;
    int rv = 0;
    while ((rv = rh_peer_decoder_next(stream->decoder, &message, &reason)) == 0) {
        stream->owner->message(stream, &message);
        if (stream->fd < 0) {
            return;
        }
    }
    if (rv != RH_ERR_AGAIN) {
        bool ours = rv == RH_ERR_NO_MEMORY;
        stream->owner->ended(stream, ours ? RH_PEER_END_LOCAL : RH_PEER_END_FRAME, reason.text);
    }
}

/* Reads a piece and hands on what is complete. Whether there may be more, and we are still open. */
static bool read_piece(struct rh_peer_stream *stream)
{
    struct rh_ev_peer *peers = stream->peers;
    ssize_t size = recv(stream->fd, peers->scratch, RH_PEER_SCRATCH_SIZE, 0);
    if (size == 0) {
        stream->owner->ended(stream, RH_PEER_END_REMOTE,
                             rh_peer_decoder_partial(stream->decoder)
                                 ? "closed by the other side in the middle of a message"
                                 : "closed by the other side");
        return false;
    }
    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail_with(stream, errno);
        }
        return false;
    }
    peers->stats.bytes_received += (uint64_t)size;
    int rv = rh_peer_decoder_feed(stream->decoder, peers->scratch, (size_t)size);
    if (rv != 0) {
        stream->owner->ended(stream, RH_PEER_END_LOCAL, rh_error_text(rv));
        return false;
    }
    drain(stream);
    return size == RH_PEER_SCRATCH_SIZE && stream->fd >= 0;
}

/* Whether others have waited long enough for their turn. A clock that was set back has, too. */
static bool is_turn_over(struct ev_loop *loop)
{
    double took_s = ev_time() - ev_now(loop);
    return took_s < 0. || took_s >= TURN_S;
}

/* At least a piece of each connection in each turn; the loop comes back for what is left. A thousand
 * reports take a node some milliseconds, in which it would answer nobody. */
static void on_readable(struct rh_peer_stream *stream)
{
    while (read_piece(stream) && !is_turn_over(stream->peers->loop)) {
    }
}

static void on_io(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    struct rh_peer_stream *stream = watcher->data;
    if ((events & EV_READ) != 0) {
        on_readable(stream);
    }
    if ((events & EV_WRITE) != 0 && stream->fd >= 0) {
        rh_peer_stream_flush(stream);
    }
}

void rh_peer_stream_init(struct rh_peer_stream *stream, struct rh_ev_peer *peers,
                         const struct rh_peer_stream_owner *owner)
{
    *stream = (struct rh_peer_stream){.peers = peers, .owner = owner, .fd = -1};
    ev_init(&stream->io, on_io);
    stream->io.data = stream;
    rh_list_init(&stream->dirty_link);
}

int rh_peer_stream_open(struct rh_peer_stream *stream, int fd, size_t frame_size_max)
{
    const int yes = 1;
    assert(stream->fd < 0);
    rh_peer_decoder_destroy(stream->decoder);
    stream->decoder = NULL;
    int rv = rh_peer_decoder_create(frame_size_max, &stream->decoder);
    if (rv != 0) {
        (void)close(fd);
        return rv;
    }
    /* Messages are batched here, once per turn; the kernel need not wait for more. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    stream->fd = fd;
    stream->tell_drained = false;
    stream->finishing = false;
    watch(stream, EV_READ);
    return 0;
}

static void mark_dirty(struct rh_peer_stream *stream)
{
    if (rh_list_empty(&stream->dirty_link) && !waits_for_room(stream)) {
        rh_list_push_back(&stream->peers->dirty, &stream->dirty_link);
        rh_peer_schedule_turn_end(stream->peers);
    }
}

int rh_peer_stream_send(struct rh_peer_stream *stream, const struct rh_peer_message *message)
{
    const struct rh_ev_peer_options *options = &stream->peers->options;
    assert(stream->fd >= 0 && !stream->finishing);
    int rv = rh_peer_encode(message, options->frame_size_max, &stream->output);
    if (rv != 0) {
        return rv;
    }
    if (rh_buffer_size(&stream->output) > options->queue_size_max) {
        return RH_ERR_FULL;
    }
    mark_dirty(stream);
    return 0;
}

void rh_peer_stream_send_number(struct rh_peer_stream *stream, enum rh_peer_message_kind kind,
                                uint64_t number)
{
    struct rh_peer_message message = {.kind = kind, .epoch = stream->peers->epoch};
    if (kind == RH_PEER_PING) {
        message.ping.number = number;
    } else {
        assert(kind == RH_PEER_PONG);
        message.pong.number = number;
    }
    /* What is in the way already also shows that it cannot be written. */
    if (rh_buffer_size(&stream->output) < stream->peers->options.queue_size_max) {
        int rv = rh_peer_stream_send(stream, &message);
        (void)rv;
    }
}

static void note_written(struct rh_peer_stream *stream, size_t size)
{
    stream->drained_size -= stream->drained_size < size ? stream->drained_size : size;
}

/* The owner may queue more. */
static void tell_if_drained(struct rh_peer_stream *stream)
{
    if (stream->tell_drained && stream->drained_size == 0) {
        stream->tell_drained = false;
        stream->owner->drained(stream);
    }
}

void rh_peer_stream_tell_drained(struct rh_peer_stream *stream)
{
    stream->tell_drained = true;
    stream->drained_size = rh_buffer_size(&stream->output);
    mark_dirty(stream);
}

void rh_peer_stream_flush(struct rh_peer_stream *stream)
{
    rh_list_remove(&stream->dirty_link);
    while (rh_buffer_size(&stream->output) > 0) {
        struct rh_bytes bytes = rh_buffer_content(&stream->output);
        ssize_t size = send(stream->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            watch(stream, EV_READ | EV_WRITE);
            tell_if_drained(stream);
            return;
        }
        if (size < 0) {
            fail_with(stream, errno);
            return;
        }
        stream->peers->stats.bytes_sent += (uint64_t)size;
        rh_buffer_consume(&stream->output, (size_t)size);
        note_written(stream, (size_t)size);
    }
    if (stream->output.capacity > OUTPUT_KEPT_SIZE) {
        rh_buffer_finish(&stream->output);
    }
    watch(stream, EV_READ);
    if (stream->finishing) {
        (void)shutdown(stream->fd, SHUT_WR);
    }
    tell_if_drained(stream);
}

void rh_peer_stream_finish(struct rh_peer_stream *stream)
{
    stream->finishing = true;
    mark_dirty(stream);
}

void rh_peer_stream_close(struct rh_peer_stream *stream)
{
    ev_io_stop(stream->peers->loop, &stream->io);
    rh_list_remove(&stream->dirty_link);
    rh_buffer_finish(&stream->output);
    if (stream->fd >= 0) {
        (void)close(stream->fd);
        stream->fd = -1;
    }
}

void rh_peer_stream_free(struct rh_peer_stream *stream)
{
    rh_peer_stream_close(stream);
    rh_peer_decoder_destroy(stream->decoder);
    stream->decoder = NULL;
}
