/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_URL_H
#define RH_CLI_URL_H

/*
 * URLs of channels, as text: building them, where a redirect leads, and setting the position.
 * Pure.
 */

#include "base/bytes.h"
#include "base/error.h"

#include <stddef.h>

#define RH_URL_TEXT_SIZE 4096 /* with terminator: what this program handles */
#define RH_URL_HOST_SIZE 256  /* with terminator: host:port */

/* Writes |key| as one path segment, percent-encoded. RH_ERR_TOO_LARGE. */
RH_MUST_CHECK int rh_url_escape(struct rh_bytes key, char *out, size_t out_size);

/* "/v1/channels/{key}/|what|". RH_ERR_TOO_LARGE. */
RH_MUST_CHECK int rh_url_channel_path(struct rh_bytes key, const char *what, char *out,
                                      size_t out_size);

/*
 * Writes |url| with the query parameter |name| set to |value|: replaced where it stands, added
 * where not. |value| needs no escape. RH_ERR_TOO_LARGE.
 */
RH_MUST_CHECK int rh_url_set_query(const char *url, const char *name, const char *value, char *out,
                                   size_t out_size);

/*
 * Where |location| leads from |base|, both with ws, wss, http or https; the result has ws or wss.
 * |location| is absolute, or begins with `//` or `/`. RH_ERR_INVALID: none of these, or it has
 * control characters or blanks. RH_ERR_TOO_LARGE.
 */
RH_MUST_CHECK int rh_url_resolve(const char *base, const char *location, char *out,
                                 size_t out_size);

/*
 * The host:port of a ws or http URL, with the port 80 where it names none; |ret_path| (may be NULL)
 * is where its path begins, in |url|. RH_ERR_INVALID: another scheme, TLS, or no host.
 * RH_ERR_TOO_LARGE.
 */
RH_MUST_CHECK int rh_url_host(const char *url, char ret_host[static RH_URL_HOST_SIZE],
                              const char **ret_path, struct rh_reason *reason);

/* The http or https form of a ws or wss URL; others are copied. RH_ERR_TOO_LARGE. */
RH_MUST_CHECK int rh_url_to_http(const char *url, char *out, size_t out_size);

#endif
