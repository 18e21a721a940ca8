/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/turn.h"

#include "router/base64.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

static bool is_graphic(struct rh_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return text.size > 0;
}

bool rh_turn_user_valid(struct rh_bytes user)
{
    return user.size <= RH_TURN_USER_SIZE_MAX && is_graphic(user);
}

bool rh_turn_url_valid(struct rh_bytes text)
{
    static const char *const schemes[] = {"turn:", "turns:", "stun:", "stuns:"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t size = strlen(schemes[i]);
        if (text.size > size && memcmp(text.data, schemes[i], size) == 0) {
            return is_graphic(text);
        }
    }
    return false;
}

int rh_turn_secret(struct rh_bytes content, struct rh_bytes *ret_secret, struct rh_reason *reason)
{
    size_t size = content.size;
    if (size > 0 && content.data[size - 1] == '\n') {
        size--;
        if (size > 0 && content.data[size - 1] == '\r') {
            size--;
        }
    }
    if (size == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "holds no secret");
    }
    if (size > RH_TURN_SECRET_MAX) {
        return rh_fail(reason, RH_ERR_INVALID, "holds more than %d bytes", RH_TURN_SECRET_MAX);
    }
    for (size_t i = 0; i < size; i++) {
        if (content.data[i] == '\n' || content.data[i] == '\r' || content.data[i] == '\0') {
            return rh_fail(reason, RH_ERR_INVALID, "holds more than one line of text");
        }
    }
    *ret_secret = rh_bytes(content.data, size);
    return 0;
}

int rh_turn_make(struct rh_bytes secret, int64_t expiry_s, struct rh_bytes user,
                 struct rh_turn_credentials *ret_credentials)
{
    struct rh_turn_credentials made;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    int size = snprintf(made.username, sizeof(made.username), "%" PRId64 "%s%.*s", expiry_s,
                        user.size > 0 ? ":" : "", (int)user.size, user.size > 0 ? user.data : "");
    if (HMAC(EVP_sha1(), secret.data, (int)secret.size, (const unsigned char *)made.username,
             (size_t)size, digest, &digest_size) == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    (void)rh_base64_write(made.password, rh_bytes(digest, digest_size));
    *ret_credentials = made;
    return 0;
}
