/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_CLI_ASK_H
#define RH_CLI_ASK_H

/*
 * Asking about a key over HTTP: one request, tried at the owner and then at every other node, again
 * and again, until an answer settles it or the time (--timeout, else 10 s) is up.
 */

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/targets.h"

struct rh_ask {
    /* To be filled by the caller. */
    const struct rh_cli *cli;
    struct rh_bytes key;
    /* Looks at |request| after each try: settles the ask, or leaves it for a try elsewhere or later.
     * Of a try without an answer, |last| says why already. */
    void (*take)(struct rh_ask *ask, const struct rh_target *target);
    struct rh_cli_http request; /* its method, body and headers */
    /* For rh_ask_take_answer(): what a 200 comes to. */
    enum rh_exit (*print)(const struct rh_ask *ask);

    /* For |take|. */
    struct rh_reason last; /* why the last try failed */

    /* Private. */
    char path[RH_CLI_HTTP_PATH_SIZE];
    uint64_t deadline_ms;
    struct rh_targets targets;
    struct rh_buffer data;
    bool settled; /* |code| is what to end with */
    enum rh_exit code;
};

/* The content type that --type calls text, json or binary; NULL: none of these. */
const char *rh_ask_content_type(const char *name);

/* Begins: the request is for |what| (`messages`, `state`) of the key. Says what is wrong with the key.
 * Call rh_ask_finish() in any case. */
enum rh_exit rh_ask_begin(struct rh_ask *ask, const char *what);

/* Adds a header, up to 255 bytes of it. */
void rh_ask_header(struct rh_ask *ask, const char *format, ...) RH_PRINTF(2, 3);

/* Takes all of the standard input as the body. However long that took, the time begins anew. */
enum rh_exit rh_ask_read_body(struct rh_ask *ask);

/* For |take|: it ends with |code|. */
void rh_ask_settle(struct rh_ask *ask, enum rh_exit code);

/* For |take|: an answer that is no success. Keeps its reason in |last|, and settles it unless it may
 * come out otherwise elsewhere or later. */
void rh_ask_take_problem(struct rh_ask *ask, const struct rh_target *target);

/* A |take| for what may be asked twice: a 200 is printed, and is the end. */
void rh_ask_take_answer(struct rh_ask *ask, const struct rh_target *target);

/* Asks for |what| of the key, by GET, and prints the answer. */
enum rh_exit rh_ask_get(const struct rh_cli *cli, const char *key, const char *what,
                        enum rh_exit (*print)(const struct rh_ask *ask));

/* Tries until it is settled. When it never is, that is said, with |hint| behind the last reason. */
enum rh_exit rh_ask_run(struct rh_ask *ask, const char *hint);

void rh_ask_finish(struct rh_ask *ask);

#endif
