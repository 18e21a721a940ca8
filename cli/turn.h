/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_TURN_H
#define RH_CLI_TURN_H

/*
 * Credentials for a TURN server that are good until some time, made from a secret that only the
 * server and whoever makes them know: the scheme of draft-uberti-behave-turn-rest-00, which coturn
 * calls use-auth-secret. The server keeps no list of users. Pure.
 *
 *     username = expiry[:user]     password = base64(HMAC-SHA1(secret, username))
 */

#include "base/bytes.h"
#include "base/error.h"

#include <stdint.h>

#define RH_TURN_USER_SIZE_MAX 256 /* bytes; STUN allows 512 for the whole username */
#define RH_TURN_USERNAME_SIZE (RH_TURN_USER_SIZE_MAX + 24)
#define RH_TURN_PASSWORD_SIZE 29 /* with terminator: 20 bytes in base64 */
#define RH_TURN_SECRET_MAX    4096

struct rh_turn_credentials {
    char username[RH_TURN_USERNAME_SIZE];
    char password[RH_TURN_PASSWORD_SIZE];
};

/* 1 to RH_TURN_USER_SIZE_MAX bytes of printable ASCII without blanks. */
bool rh_turn_user_valid(struct rh_bytes user);

/* Whether |text| begins with turn:, turns:, stun: or stuns: (RFC 7064, RFC 7065), has something
 * behind it, and nothing that cannot stand in a URI. */
bool rh_turn_url_valid(struct rh_bytes text);

/*
 * The secret in |content|, which is that of a file: all but a line end at its end. It points into
 * |content|. RH_ERR_INVALID with a reason: empty, larger than RH_TURN_SECRET_MAX, or with a line end or a
 * zero byte in it.
 */
RH_MUST_CHECK int rh_turn_secret(struct rh_bytes content, struct rh_bytes *ret_secret,
                                 struct rh_reason *reason);

/*
 * |expiry_s| is in Unix seconds, not negative; |user| is valid, or empty: then the username is the
 * expiry alone. RH_ERR_NO_MEMORY: the library could not compute it.
 */
RH_MUST_CHECK int rh_turn_make(struct rh_bytes secret, int64_t expiry_s, struct rh_bytes user,
                               struct rh_turn_credentials *ret_credentials);

#endif
