/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/turn.h"

#include <openssl/crypto.h>
#include <sys/stat.h>
#include <time.h>

#define TTL_DEFAULT_MS (60U * 60U * 1000U)

struct state {
    const char *secret_file; /* NULL: not given */
    const char *user;        /* "" when not given */
    uint32_t ttl_ms;         /* 0: not given */
};

enum { OPTION_SECRET_FILE = 256, OPTION_TTL, OPTION_USER };

static const struct option options[] = {
    {"secret-file", required_argument, NULL, OPTION_SECRET_FILE},
    {"ttl", required_argument, NULL, OPTION_TTL},
    {"user", required_argument, NULL, OPTION_USER},
    {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    if (option == OPTION_SECRET_FILE) {
        state->secret_file = value;
    } else if (option == OPTION_USER) {
        state->user = value;
        if (!rh_turn_user_valid(rh_bytes_text(value))) {
            return rh_fail(reason, RH_ERR_INVALID,
                           "--user: 1 to %d printable ASCII characters without blanks",
                           RH_TURN_USER_SIZE_MAX);
        }
    } else if (rh_duration_parse(rh_bytes_text(value), &state->ttl_ms) != 0 ||
               state->ttl_ms < 1000) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "--ttl: `%s` is not a duration of 1s or more, with a unit, like 10m or 12h",
                       value);
    }
    return 0;
}

/* A secret that everybody on the machine can read is none. */
static void warn_of_readers(const struct rh_cli *cli, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IROTH) != 0) {
        rh_cli_warn(cli, "%s: everybody on this machine can read it; try chmod o= %s", path, path);
    }
}

static enum rh_exit print(const struct rh_cli *cli, const struct rh_turn_credentials *credentials,
                          int64_t expiry_s, int urls_count, char **urls)
{
    static const struct rh_output_column columns[] = {
        {"USERNAME", false}, {"CREDENTIAL", false}, {"EXPIRES", false}};
    if (cli->json) {
        json_t *list = json_array();
        for (int i = 0; i < urls_count; i++) {
            rh_output_append(&list, json_string(urls[i]));
        }
        return rh_output_json(
            cli, json_pack("{s:o, s:s, s:s, s:I}", "urls", list, "username", credentials->username,
                           "credential", credentials->password, "expires", (json_int_t)expiry_s));
    }
    char expires[32] = "";
    struct tm utc;
    time_t at = (time_t)expiry_s;
    if (gmtime_r(&at, &utc) != NULL) {
        (void)strftime(expires, sizeof(expires), "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    const char *const texts[] = {credentials->username, credentials->password, expires};
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    rh_output_table_row(table, texts);
    return rh_output_table_finish(cli, table);
}

static enum rh_exit make(const struct rh_cli *cli, const struct state *state,
                         struct rh_bytes content, int urls_count, char **urls)
{
    uint32_t ttl_ms = state->ttl_ms == 0 ? TTL_DEFAULT_MS : state->ttl_ms;
    int64_t expiry_s = (int64_t)time(NULL) + ttl_ms / 1000;
    struct rh_turn_credentials credentials;
    struct rh_reason reason = {""};
    struct rh_bytes secret;
    if (rh_turn_secret(content, &secret, &reason) != 0) {
        return rh_cli_fail(cli, RH_EXIT_CONFIG, "%s: %s", state->secret_file, reason.text);
    }
    struct rh_bytes user = rh_bytes_text(state->user == NULL ? "" : state->user);
    if (rh_turn_make(secret, expiry_s, user, &credentials) != 0) {
        return rh_cli_fail_no_memory(cli);
    }
    return print(cli, &credentials, expiry_s, urls_count, urls);
}

static enum rh_exit run(struct rh_cli *cli, void *context, int urls_count, char **urls)
{
    const struct state *state = context;
    struct rh_buffer content = {0};
    struct rh_reason reason = {""};
    if (state->secret_file == NULL) {
        return rh_cli_fail(cli, RH_EXIT_USAGE,
                           "--secret-file is missing: the file with the secret of the TURN server");
    }
    for (int i = 0; i < urls_count; i++) {
        if (!rh_turn_url_valid(rh_bytes_text(urls[i]))) {
            return rh_cli_fail(cli, RH_EXIT_USAGE,
                               "`%s` is no URL of a TURN server, like turn:turn.example.org:3478",
                               urls[i]);
        }
    }
    enum rh_exit code = RH_EXIT_DONE;
    if (rh_config_read_file(state->secret_file, RH_TURN_SECRET_MAX + 2, &content, &reason) != 0) {
        code = rh_cli_fail(cli, RH_EXIT_CONFIG, "%s", reason.text);
    } else {
        warn_of_readers(cli, state->secret_file);
        code = make(cli, state, rh_buffer_content(&content), urls_count, urls);
    }
    if (content.data != NULL) {
        OPENSSL_cleanse(content.data, content.capacity);
    }
    rh_buffer_finish(&content);
    return code;
}

const struct rh_command rh_command_turn = {
    .name = "turn",
    .summary = "credentials for a TURN server, good for a while",
    .synopsis = "turn --secret-file FILE [--ttl DURATION] [--user NAME] [URL]...",
    .help =
        "Makes a name and a password with which a client may use a TURN server until they expire,\n"
        "by the scheme that coturn calls use-auth-secret. FILE holds the server's secret\n"
        "(static-auth-secret) as one line. Nothing is asked of the cluster or of the TURN server.\n"
        "\n"
        "Options:\n"
        "      --secret-file FILE   where the secret stands: it has no place on a command line\n"
        "      --ttl DURATION       for how long they are good, like 10m; 1h when not given\n"
        "      --user NAME          becomes part of the name, for the server's log\n"
        "\n"
        "Example:\n"
        "  ringhop turn --secret-file turn.secret --user ada\n"
        "  ringhop turn --json --secret-file turn.secret --ttl 12h turn:turn.example.org:3478\n"
        "\n"
        "JSON: {\"urls\":[\"turn:...\"],\"username\":\"1764003600:ada\",\"credential\":\"...\","
        "\"expires\":1764003600}\n"
        "which is what a page gives to RTCPeerConnection as one of its iceServers.\n"
        "Exit code 3: FILE cannot be used.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .loads_config = true, /* which it does not need */
    .operands_max = 16,
    .run = run,
};
