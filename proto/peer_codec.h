/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PEER_CODEC_H
#define RH_PROTO_PEER_CODEC_H

/*
 * Peer messages to bytes and back. On the wire a message is a frame: its size in 4 bytes, most
 * significant first, then that many bytes of protobuf (message `Frame` of peer.proto). Pure.
 */

#include "base/buffer.h"
#include "proto/peer_message.h"

#define RH_PEER_FRAME_HEADER_SIZE 4
#define RH_PEER_FRAME_SIZE_MAX    (16U << 20) /* a sane limit when nobody asks for another */

/*
 * Appends |message| as one frame. What it points to is copied. On failure the buffer is untouched.
 * RH_ERR_INVALID: it does not pass rh_peer_message_check(), which is a bug of the caller's; an
 * error all the same, because texts in it may quote a stranger.
 * RH_ERR_TOO_LARGE: the frame, without header, would be larger than |frame_size_max|.
 * RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_peer_encode(const struct rh_peer_message *message, size_t frame_size_max,
                                 struct rh_buffer *buffer);

struct rh_peer_decoder;

/*
 * A decoder for one byte stream. It holds at most one frame and what was fed beyond it, and
 * unpacks with memory of its own of which it keeps a little between messages. A frame that wants
 * more of it than 64 times its size, or four times and 4 MiB, is refused. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_peer_decoder_create(size_t frame_size_max,
                                         struct rh_peer_decoder **ret_decoder);

/* NULL is allowed. */
void rh_peer_decoder_destroy(struct rh_peer_decoder *decoder);

/*
 * Adds bytes as they came, cut anywhere. Call rh_peer_decoder_next() until it says RH_ERR_AGAIN
 * before feeding more; |size| bounds what is kept beyond the present frame. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_peer_decoder_feed(struct rh_peer_decoder *decoder, const void *data,
                                       size_t size);

/*
 * Takes the next message out. Its slices are valid until the next call with this decoder,
 * whatever that is.
 *
 * RH_ERR_AGAIN: feed more. The others are final, the stream cannot be read on, and |reason| says
 * what is wrong: RH_ERR_TOO_LARGE (the header announces more than the limit), RH_ERR_INVALID (not
 * a message of ours; names the field), RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_peer_decoder_next(struct rh_peer_decoder *decoder,
                                       struct rh_peer_message *ret_message,
                                       struct rh_reason *reason);

/* Whether bytes of an unfinished frame are held: the stream ended in the middle of one. */
bool rh_peer_decoder_partial(const struct rh_peer_decoder *decoder);

#endif
