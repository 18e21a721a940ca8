/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_HTTP_H
#define RH_CLI_HTTP_H

/*
 * HTTP requests to nodes, one or many at the same time, over libcurl.
 */

#include "base/buffer.h"
#include "base/error.h"
#include "proto/registration.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_CLI_HTTP_PATH_SIZE   3584 /* of a channel: its key and a topic take 1536 bytes each */
#define RH_CLI_HTTP_URL_SIZE    (4096 + RH_URL_SIZE + 8) /* a plan takes up to 3840 bytes */
#define RH_CLI_HTTP_BODY_MAX    (16 * 1024 * 1024)       /* bytes of an answer */
#define RH_CLI_HTTP_HEADERS_MAX 4

struct rh_cli_http {
    /* To be filled by the caller. */
    char url[RH_CLI_HTTP_URL_SIZE];
    const char *method;   /* "POST", "PUT", "DELETE"; NULL: GET */
    struct rh_bytes body; /* of a POST or a PUT; lent */
    char headers[RH_CLI_HTTP_HEADERS_MAX][256];
    size_t headers_count;

    /* Results. */
    bool answered;           /* there is a status; otherwise |reason| says why not */
    unsigned status;         /* of the answer */
    struct rh_buffer answer; /* its body */
    char etag[64];           /* its entity tag, in quotes; "": it has none */
    char content_type[256];  /* likewise */
    bool unsent;             /* not answered: it did not even reach anybody */
    struct rh_reason reason;
};

/*
 * Performs all requests at the same time, each within |timeout_ms|. They end answered, or with a
 * reason each. RH_ERR_NO_MEMORY: none of it can be used. Call rh_cli_http_finish() in any case.
 */
RH_MUST_CHECK int rh_cli_http_perform(struct rh_cli_http *requests, size_t count,
                                      uint32_t timeout_ms);

void rh_cli_http_finish(struct rh_cli_http *requests, size_t count);

/* The answer as a JSON object that the caller decrefs, or NULL when it is none. */
json_t *rh_cli_http_json(const struct rh_cli_http *request);

/* What a refusal says: the `detail` of a problem answer, or its title, or "HTTP 500". */
void rh_cli_http_problem(const struct rh_cli_http *request, struct rh_reason *ret_reason);

/* Writes the http form of a node's ws:// or wss:// URL (as registrations have it) with |path| behind
 * it, which may be "" and is at most RH_CLI_HTTP_PATH_SIZE long. */
void rh_cli_http_url(const char *node_url, const char *path,
                     char ret_url[static RH_CLI_HTTP_URL_SIZE]);

/* Writes where |path|, likewise, of the admin listener of |member| is. One that is bound to all
 * addresses is looked for where clients are sent. */
void rh_cli_http_admin_url(const struct rh_registration *member, const char *path,
                           char ret_url[static RH_CLI_HTTP_URL_SIZE]);

#endif
