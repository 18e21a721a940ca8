/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_EV_PEER_INTERNAL_H
#define RH_NODE_EV_PEER_INTERNAL_H

/*
 * What the files of the peer links share; for nobody else.
 *
 *   ev_peer.c            the object, its members, flushing and freeing at the end of a turn
 *   ev_peer_stream.c     a connected socket that carries frames, in whichever direction
 *   ev_peer_link.c       an outgoing link to a member: dials, greets, pings, gathers evidence
 *   ev_peer_incoming.c   the listener and the connections of others
 *   ev_peer_probe.c      one question to an address
 *
 * Links, incoming connections and probes are freed by burying them: they are closed at once, and
 * their memory goes when the loop comes round, so whoever still has one on the stack may return.
 */

#include "base/buffer.h"
#include "base/list.h"
#include "base/machine.h"
#include "base/table.h"
#include "node/ev_dial.h"
#include "node/ev_peer.h"
#include "proto/peer_codec.h"

#define RH_PEER_SCRATCH_SIZE         (16U * 1024) /* read of one connection at a time */
#define RH_PEER_SMALL_FRAME_SIZE_MAX 4096         /* of hellos, pings and pongs */

struct rh_peer_incoming;
struct rh_peer_link;
struct rh_peer_probe;

/* The link of what is to be freed, and how. */
struct rh_peer_grave {
    struct rh_list link;
    void (*free)(struct rh_peer_grave *grave);
};

struct rh_ev_peer {
    struct ev_loop *loop;
    struct rh_ev_peer_options options; /* defaults filled in; strings are owned */
    char *cluster;
    struct rh_node_ref self;
    struct rh_epoch epoch;
    uint64_t random; /* state for jitter */

    struct rh_table members; /* rh_peer_link::table_link by instance */
    struct rh_list leaving;  /* rh_peer_link::list_link */
    struct rh_list incoming; /* rh_peer_incoming::list_link */
    struct rh_list probes;   /* rh_peer_probe::list_link */
    struct rh_list graves;   /* rh_peer_grave::link */
    struct rh_list dirty;    /* rh_peer_stream::dirty_link: have something to write */

    int listen_fd;
    uint16_t port;
    ev_io listen_io;
    ev_timer listen_pause; /* after the process ran out of descriptors */
    size_t incoming_count;
    bool incoming_full; /* the limit was reached, and said so */

    ev_prepare turn_end; /* never started: its event is fed by hand */
    char *scratch;       /* RH_PEER_SCRATCH_SIZE: what recv() writes to */
    struct rh_ev_peer_stats stats;
};

/* Monotonic milliseconds. */
uint64_t rh_peer_now_ms(void);

/* A number below |bound|, which is not 0. */
uint64_t rh_peer_random(struct rh_ev_peer *peers, uint64_t bound);

/* Our hello to |to|; |refusal| may be NULL. The message is valid as long as |refusal|. */
struct rh_peer_message rh_peer_hello(const struct rh_ev_peer *peers, const struct rh_node_ref *to,
                                     const char *refusal);

/* Tells the handler when |epoch| is above |shown|, the highest of that connection, and keeps it there. */
void rh_peer_note_epoch(struct rh_ev_peer *peers, const struct rh_node_ref *node,
                        struct rh_epoch *shown, struct rh_epoch epoch);

/* The end of this turn is for us: something is to be written or freed. */
void rh_peer_schedule_turn_end(struct rh_ev_peer *peers);

/* Frees at the end of the turn. The owner has closed what it holds and left its lists. */
void rh_peer_bury(struct rh_ev_peer *peers, struct rh_peer_grave *grave,
                  void (*free)(struct rh_peer_grave *grave));

/* Stops |timer| and starts it anew. */
void rh_peer_timer(struct rh_ev_peer *peers, ev_timer *timer, uint64_t after_ms,
                   uint64_t repeat_ms);

/* Streams. */

struct rh_peer_stream;

enum rh_peer_end {
    RH_PEER_END_REMOTE,  /* closed or reset by the other side */
    RH_PEER_END_NETWORK, /* broke in some other way */
    RH_PEER_END_FRAME,   /* what came cannot be read */
    RH_PEER_END_LOCAL,   /* we are out of something */
};

struct rh_peer_stream_owner {
    void (*message)(struct rh_peer_stream *stream, const struct rh_peer_message *message);
    /* What was queued up to the last rh_peer_stream_tell_drained() is written; NULL: nobody asks. */
    void (*drained)(struct rh_peer_stream *stream);
    /* Nothing can be read or written any more; the owner closes the stream in the call. */
    void (*ended)(struct rh_peer_stream *stream, enum rh_peer_end end, const char *reason);
};

struct rh_peer_stream {
    struct rh_ev_peer *peers;
    const struct rh_peer_stream_owner *owner;
    int fd; /* -1: closed */
    ev_io io;
    struct rh_peer_decoder *decoder;
    struct rh_buffer output;
    struct rh_list dirty_link;
    bool tell_drained;   /* the owner wants to know when what was queued then is written: */
    size_t drained_size; /* bytes of it that are not yet */
    bool finishing;      /* the write side is shut down once the output is written */
};

/* A closed stream. */
void rh_peer_stream_init(struct rh_peer_stream *stream, struct rh_ev_peer *peers,
                         const struct rh_peer_stream_owner *owner);

/* Takes |fd| (also on failure) and begins to read frames of at most that size. May be opened again
 * after it was closed, but not in the callback that closed it. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_peer_stream_open(struct rh_peer_stream *stream, int fd, size_t frame_size_max);

/* Queues, to be written at the end of the turn. Errors as rh_peer_encode(), and RH_ERR_FULL: the
 * queue is above its limit, the stream is good for nothing but closing. */
RH_MUST_CHECK int rh_peer_stream_send(struct rh_peer_stream *stream,
                                      const struct rh_peer_message *message);

/* Sends a pong or ping without failing: a link that cannot even queue it will time out. */
void rh_peer_stream_send_number(struct rh_peer_stream *stream, enum rh_peer_message_kind kind,
                                uint64_t number);

/* Writes what can be written without waiting. May call owner->ended. */
void rh_peer_stream_flush(struct rh_peer_stream *stream);

/* Calls owner->drained, from the loop, when what is queued now is written. */
void rh_peer_stream_tell_drained(struct rh_peer_stream *stream);

/* After what is queued nothing follows; the other side will see the end, and we then its. */
void rh_peer_stream_finish(struct rh_peer_stream *stream);

/* Closes, and forgets what is queued. A message that is being handled stays valid in the call. A
 * closed one may be closed again. */
void rh_peer_stream_close(struct rh_peer_stream *stream);

/* Closes and frees all. Never within a callback of the stream. */
void rh_peer_stream_free(struct rh_peer_stream *stream);

/* Links. */

struct rh_peer_link {
    struct rh_table_link table_link; /* rh_ev_peer::members */
    struct rh_list list_link;        /* rh_ev_peer::leaving */
    struct rh_peer_grave grave;
    struct rh_ev_peer *peers;
    struct rh_node_ref node;
    char *address;
    bool wanted; /* mark of rh_ev_peer_set_members() */
    struct rh_machine machine;
    struct rh_ev_dial dial;
    struct rh_peer_stream stream;
    ev_timer timer; /* the one that the state waits for */
    uint64_t backoff_ms;
    uint64_t up_since_ms;
    uint64_t silence_ms;   /* UP: pinged that long without a pong */
    uint64_t ping_number;  /* of the last ping */
    struct rh_epoch epoch; /* UP: the highest that the other side has shown here */

    /* Evidence that the process is gone. */
    bool lost_to_them; /* since it was last up, the other side closed or reset the link */
    unsigned refusals; /* dials refused in a row, with nothing else between */
    uint64_t refused_since_ms;
    bool dead_logged; /* since it was last up */

    const char *broken_reason; /* BROKEN: why, for `down` */

    char reason[RH_REASON_SIZE]; /* why it last failed: said in the log when it changes */
};

/* A link that dials in the next turn, in rh_ev_peer::members; NULL when out of memory. */
struct rh_peer_link *rh_peer_link_create(struct rh_ev_peer *peers,
                                         const struct rh_ev_peer_member *member);

/* No longer a member: out of rh_ev_peer::members, flushed and closed. No event comes any more. */
void rh_peer_link_leave(struct rh_peer_link *link);

bool rh_peer_link_is_up(const struct rh_peer_link *link);

/* See rh_ev_peer_send(); the link is up. */
RH_MUST_CHECK int rh_peer_link_send(struct rh_peer_link *link,
                                    const struct rh_peer_message *message);

/* Shares our epoch. */
void rh_peer_link_ping(struct rh_peer_link *link);

/* Closes it if it is up or leaving, and forgets what is queued. */
void rh_peer_link_reset(struct rh_peer_link *link);

/* Closes and buries, in whatever state, from members or leaving. */
void rh_peer_link_bury(struct rh_peer_link *link);

/* Incoming connections. */

RH_MUST_CHECK int rh_peer_listen(struct rh_ev_peer *peers, struct rh_reason *reason);
void rh_peer_listen_stop(struct rh_ev_peer *peers);
void rh_peer_incoming_bury_all(struct rh_ev_peer *peers);

/* The highest epoch that |from| has shown on its connection to us. */
struct rh_epoch rh_peer_incoming_epoch(const struct rh_ev_peer *peers,
                                       const struct rh_node_ref *from);

/* Closes those on which |from| sends, or all of them if it is NULL. */
void rh_peer_incoming_reset(struct rh_ev_peer *peers, const struct rh_node_ref *from);

/* Probes. */

void rh_peer_probe_bury_all(struct rh_ev_peer *peers);

#endif
