/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_CORE_TUNNEL_H
#define RH_NODE_CORE_TUNNEL_H

/*
 * Connections that one node has and another serves. docs/relay.md has the rules, whose numbers
 * (rule 4) stand in the code.
 *
 *   core_relayed.c   the node that has the connection: what it asks the owner for, and what becomes
 *                    of the answers
 *   core_remote.c    the owner: cursors in the logs of its channels, and credit
 *   core_streams.c   both, wherever a subscription of one of these kinds is one as any other
 */

#include "node/core_internal.h"

#define RH_TUNNEL_WINDOW       (4U * 1024 * 1024) /* bytes on their way to a relaying node */
#define RH_TUNNEL_OPENS_MAX    1024U              /* streams that are opened in one turn */
#define RH_TUNNEL_BATCHES_MAX  256U               /* batches that are sent in one turn */
#define RH_TUNNEL_ENDS_MAX     512U               /* streams that are told who serves them now */
#define RH_TUNNEL_CHECK_MS     1000U
#define RH_TUNNEL_SILENCE_MS   3000U  /* without a word of the owner the tunnel is begun anew */
#define RH_TUNNEL_IDLE_MS      15000U /* without a word of the relaying node it is forgotten */
#define RH_RELAYED_LOOK_MS     250U   /* between two looks at what waits */
#define RH_RELAYED_RETRY_MS    200U   /* after too many nodes that are not the owner */
#define RH_RELAYED_LOOKS_MAX   16384U /* connections that are looked at in one turn, of each list */
#define RH_RELAYED_HOPS_MAX    3U
#define RH_RELAYED_OPEN_MS     10000U /* for the first owner */
#define RH_RELAYED_READ_MS     5000U  /* beyond the time that a poll waits */
#define RH_RELAYED_PATIENCE_MS 30000U /* for another owner */

/* ---- at the relaying node ---- */

enum rh_relayed_state {
    RH_RELAYED_WAITING, /* for a view, or for a while: in rh_core::relayed_waiting */
    RH_RELAYED_OPENING, /* to be sent: in rh_tunnel_out::opening, and so on */
    RH_RELAYED_ASKED,   /* sent; a poll stays in it until it is answered */
    RH_RELAYED_OPEN,    /* messages come */
};

/* A connection of this node in a channel of another. Its position is the subscription's: what comes
 * is `next_seq` of the incarnation of `after`, once there is one. */
struct rh_relayed {
    struct rh_list link;             /* the list of its state */
    struct rh_list taken_link;       /* rh_tunnel_out::taken, or none */
    struct rh_table_link table_link; /* rh_core::relayed, by number: ASKED and OPEN */
    struct rh_subscription *subscription;
    struct rh_tunnel_out *tunnel; /* NULL: WAITING */
    uint64_t number;              /* another each time it is opened */
    uint64_t since_ms;            /* when it began to wait for an owner; of OPEN: nothing */
    uint64_t retry_ms;            /* WAITING: when it is tried again */
    uint64_t deadline_ms;         /* of a read */
    uint64_t untaken;             /* bytes for which there was no room yet */
    enum rh_relayed_state state;
    uint8_t hops; /* nodes in a row that were not the owner */
    uint16_t key_size;
    char key[];
};

/* What this node says to the process that serves channels of its clients. */
struct rh_tunnel_out {
    struct rh_list link; /* rh_core::tunnels_out */
    struct rh_process *process;
    uint64_t id;
    uint64_t sent; /* messages */
    uint64_t received;
    uint64_t arrived;  /* bytes that the other end was not told of yet */
    uint64_t check_ms; /* when the last check was sent */
    uint64_t heard_ms;
    uint64_t renewed_ms;
    uint64_t pause_ms;      /* nothing is opened before */
    struct rh_list opening; /* rh_relayed::link; these three */
    struct rh_list asked;
    struct rh_list open;
    struct rh_list taken; /* rh_relayed::taken_link: there is room to tell of */
};

/* ---- at the owner ---- */

/* A connection of another node in a channel of ours. */
struct rh_remote {
    struct rh_subscription subscription;
    struct rh_list link;             /* rh_tunnel_in::remotes */
    struct rh_list ready_link;       /* rh_tunnel_in::ready, rh_tunnel_in::ended, or none */
    struct rh_list show_link;        /* rh_tunnel_in::to_show, or none */
    struct rh_attendee attendee;     /* of one that names itself */
    struct rh_table_link table_link; /* rh_core::remotes, by tunnel and number */
    struct rh_tunnel_in *tunnel;
    uint64_t number;
    uint64_t window;   /* of a stream: bytes that may be on their way */
    uint64_t room_min; /* so many bytes are told of by themselves, fewer only with others */
    uint64_t untaken;  /* bytes that are on their way */
    uint32_t owner;    /* ENDED: who serves it, in the view of `ended_epoch`; or RH_RING_NONE */
    struct rh_epoch ended_epoch;
    char data[]; /* client and meta of the attendee */
};

/* What another process says to us about connections of its clients. */
struct rh_tunnel_in {
    struct rh_list link; /* rh_core::tunnels_in */
    struct rh_process *process;
    uint64_t id;
    uint64_t received; /* messages */
    uint64_t sent;
    uint64_t on_the_way; /* bytes that have not arrived, as far as was said */
    uint64_t heard_ms;
    bool is_broken;         /* a message was missed: nothing is done until there is another one */
    struct rh_list remotes; /* rh_remote::link */
    struct rh_list
        to_show; /* rh_remote::show_link: wants the state document, when there is a window */
    struct rh_list ready; /* rh_remote::ready_link: with something to be sent, and credit */
    struct rh_list ended; /* likewise: in no channel any more, and not told so yet */
};

/* ---- core_relayed.c ---- */

/* Whether this node relays at all (rule 9). */
bool rh_core_may_relay(const struct rh_core *core);

/* The subscription, which is FREE, is served by another node from now on; |owner| is an index of the
 * view, or RH_RING_NONE for none yet. It becomes RELAYED, or is refused. */
void rh_core_relayed_begin(struct rh_core *core, struct rh_subscription *subscription,
                           struct rh_bytes key, uint32_t owner);

/* Forgets what stands behind a subscription that is RELAYED; tells the owner. It is FREE then. */
void rh_core_relayed_leave(struct rh_core *core, struct rh_subscription *subscription);

/* Its send queue has room for the state document. */
void rh_core_relayed_show(struct rh_core *core, struct rh_subscription *subscription);

/* Its send queue has room. */
void rh_core_relayed_drained(struct rh_core *core, struct rh_subscription *subscription);

void rh_core_on_stream_opened(struct rh_core *core, struct rh_process *from,
                              const struct rh_peer_message *message);
void rh_core_on_stream_batch(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_stream_read(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message);
void rh_core_on_stream_ended(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_stream_state(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_stream_presence(struct rh_core *core, struct rh_process *from,
                                const struct rh_peer_message *message);
void rh_core_on_tunnel_state(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);

/* A view was adopted. */
void rh_core_relayed_view(struct rh_core *core);
void rh_core_relayed_peer_down(struct rh_core *core, const struct rh_process *process);

/* Sends what the turn has gathered; whether there is something, and a way for it. */
void rh_core_relayed_flush(struct rh_core *core);
bool rh_core_relayed_is_due(const struct rh_core *core);

void rh_core_relayed_tick(struct rh_core *core);
uint64_t rh_core_relayed_ms(const struct rh_core *core);
void rh_core_relayed_finish(struct rh_core *core);

/* ---- core_remote.c ---- */

void rh_core_on_stream_open(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message);
void rh_core_on_stream_close(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_stream_show(struct rh_core *core, struct rh_process *from,
                            const struct rh_peer_message *message);
void rh_core_on_stream_taken(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);
void rh_core_on_tunnel_check(struct rh_core *core, struct rh_process *from,
                             const struct rh_peer_message *message);

/* What is told of a remote subscription in place of an action. */
void rh_core_remote_opened(struct rh_core *core, struct rh_subscription *subscription,
                           uint64_t incarnation, uint64_t seq, bool recovered);

/* |channel| may be NULL: there is none. |count| messages from |seq| on, the position after them. */
void rh_core_remote_read(struct rh_core *core, struct rh_subscription *subscription,
                         const struct rh_channel *channel, uint64_t seq, uint32_t count,
                         bool recovered, bool more);

/* The read is over without anything: its client is where it was. */
void rh_core_remote_read_nothing(struct rh_core *core, struct rh_subscription *subscription);

/* Ended, in which it is told. NONE: another node has to be asked, |owner| (an index of the view) or
 * nobody known; a channel may have very many of these, so they are told a piece in each step. */
void rh_core_remote_ended(struct rh_core *core, struct rh_subscription *subscription,
                          enum rh_refusal refusal, uint32_t owner);

/* The stream has something to be sent, if it has credit. */
void rh_core_remote_ready(struct rh_subscription *subscription);

/* The stream, which watches it, is shown the state document when there is a window (rule 6). */
void rh_core_remote_show(struct rh_subscription *subscription);

/* Those of |streams| that are remote are told; returns how many are left, at the front. */
size_t rh_core_remotes_tell(struct rh_core *core, struct rh_subscription **streams, size_t count,
                            const struct rh_peer_stream_presence *what);

/* Whether the answer of a read may go now; otherwise it is ready, and answered later (rule 6). */
bool rh_core_remote_has_window(struct rh_subscription *subscription);

void rh_core_remotes_view(struct rh_core *core);
void rh_core_remotes_flush(struct rh_core *core);
bool rh_core_remotes_is_due(const struct rh_core *core);
void rh_core_remotes_tick(struct rh_core *core);
uint64_t rh_core_remotes_ms(const struct rh_core *core);
void rh_core_remotes_finish(struct rh_core *core);

/* ---- core_streams.c, for these two ---- */

/* As if |subscription|, which is FREE and has its wishes, had come now. */
void rh_core_stream_begin(struct rh_core *core, struct rh_subscription *subscription,
                          struct rh_bytes key);

/* Ends it with a refusal; it is FREE. */
void rh_core_stream_refuse(struct rh_core *core, struct rh_subscription *subscription,
                           enum rh_refusal refusal);

/* Sends its client to |owner|: `moved` if it was welcomed, otherwise a redirect. */
void rh_core_stream_send_away(struct rh_core *core, struct rh_subscription *subscription,
                              struct rh_bytes key, uint32_t owner);

/* The stream, which was welcomed, goes on when its client has room: what it was sent before may not
 * be out yet. */
void rh_core_stream_goes_on(struct rh_core *core, struct rh_subscription *subscription);

/* Answers a read that comes to nothing. */
void rh_core_stream_answer_nothing(struct rh_core *core, struct rh_subscription *subscription);

/* Answers a read of the remote kind with what its channel has. */
void rh_core_stream_answer_read(struct rh_core *core, struct rh_subscription *subscription);

/* How many messages of |channel| from |seq| on make a batch: |count_max| and |size_max| bytes towards a
 * client at most, one in any case if there is one. */
uint32_t rh_core_stream_batch(const struct rh_channel *channel, uint64_t seq, uint32_t count_max,
                              uint64_t size_max, uint64_t *ret_size);

#endif
