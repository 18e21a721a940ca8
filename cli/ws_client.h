/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_WS_CLIENT_H
#define RH_CLI_WS_CLIENT_H

/*
 * The client side of a WebSocket (RFC 6455): libcurl connects (TLS for wss), wslay speaks. It
 * offers the subprotocol ringhop.v1, so that a node can tell where a channel has gone.
 */

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct rh_ws_client;

/* Why a connection was not made. */
struct rh_ws_failure {
    unsigned status;     /* of the HTTP answer; 0: there was none */
    char location[4096]; /* of a redirect; "" otherwise */
    struct rh_reason reason;
};

/* Called with each text message, in order. 0: go on; anything else: deliver nothing more. */
typedef int rh_ws_client_text(void *context, struct rh_bytes text);

/*
 * Connects to a ws:// or wss:// URL; blocks for at most |timeout_ms|. The client is freed with
 * rh_ws_client_close().
 * RH_ERR_UNREACHABLE: no connection, or no WebSocket at the other end. RH_ERR_REFUSED: an HTTP
 * answer other than 101; |ret_failure| has it. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_ws_client_connect(const char *url, uint32_t timeout_ms,
                                       struct rh_ws_client **ret_client,
                                       struct rh_ws_failure *ret_failure);

/*
 * Waits for at most |timeout_ms| until something arrives, delivers and answers it. Also returns
 * when nothing did. RH_ERR_CLOSED: the connection is over, see rh_ws_client_code(), or |text| said
 * stop. RH_ERR_NO_MEMORY.
 */
RH_MUST_CHECK int rh_ws_client_wait(struct rh_ws_client *client, uint32_t timeout_ms,
                                    rh_ws_client_text *text, void *context);

/* Sends a ping: whoever is alive answers it. RH_ERR_NO_MEMORY. */
RH_MUST_CHECK int rh_ws_client_ping(struct rh_ws_client *client);

/* Monotonic milliseconds when bytes last came from the other end. */
uint64_t rh_ws_client_heard_ms(const struct rh_ws_client *client);

/* Close code of the other end; 1006 when the connection ended without one. */
unsigned rh_ws_client_code(const struct rh_ws_client *client);

/* Says goodbye (1000) if that is possible without waiting, and frees; NULL is allowed. */
void rh_ws_client_close(struct rh_ws_client *client);

#endif
