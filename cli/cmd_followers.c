/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/output.h"

#include <stdio.h>

/* `followers`: which channels follow a topic. */

#define LIMIT_MAX 1000U /* of a node's answer */

struct state {
    uint64_t limit; /* 0: not given */
};

enum { OPTION_LIMIT = 256 };

static const struct option options[] = {{"limit", required_argument, NULL, OPTION_LIMIT}, {0}};

static int take_option(void *context, int option, const char *value, struct rh_reason *reason)
{
    struct state *state = context;
    (void)option;
    if (rh_bytes_to_u64(rh_bytes_text(value), LIMIT_MAX, &state->limit) != 0 || state->limit == 0) {
        return rh_fail(reason, RH_ERR_INVALID, "--limit: `%s` is not a number from 1 to %u", value,
                       LIMIT_MAX);
    }
    return 0;
}

static void print_keys(const struct rh_cli *cli, const json_t *answer)
{
    const json_t *keys = json_object_get(answer, "followers");
    size_t named = json_array_size(keys);
    for (size_t i = 0; i < named; i++) {
        const json_t *key = json_array_get(keys, i);
        rh_output_escaped(rh_bytes(json_string_value(key), json_string_length(key)));
        (void)putchar('\n');
    }
    if (json_is_true(json_object_get(answer, "truncated"))) {
        rh_cli_warn(cli, "these are %zu of %lld", named,
                    json_integer_value(json_object_get(answer, "count")));
    }
}

static enum rh_exit print(const struct rh_ask *ask)
{
    const struct rh_cli *cli = ask->cli;
    json_t *answer = rh_cli_http_json(&ask->request);
    json_t *missing = json_incref(json_object_get(answer, "missing"));
    if (!json_is_array(missing) || !json_is_array(json_object_get(answer, "followers"))) {
        json_decref(missing);
        json_decref(answer);
        return rh_cli_fail(cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           ask->request.url);
    }
    enum rh_exit code = RH_EXIT_DONE;
    if (cli->json) {
        code = rh_output_json(cli, answer);
    } else {
        print_keys(cli, answer);
        json_decref(answer);
    }
    for (size_t i = 0; i < json_array_size(missing); i++) {
        code = RH_EXIT_NO;
        rh_cli_warn(cli, "%s did not answer: the followers that it serves are not counted",
                    json_string_value(json_array_get(missing, i)));
    }
    json_decref(missing);
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    const struct state *state = context;
    (void)operands_count;
    char what[40];
    (void)snprintf(what, sizeof(what), "followers?limit=%u",
                   state->limit == 0 ? LIMIT_MAX : (unsigned)state->limit);
    return rh_ask_get(cli, operands[0], what, print);
}

const struct rh_command rh_command_followers = {
    .name = "followers",
    .summary = "which channels follow a channel",
    .synopsis = "followers [--limit N] TOPIC",
    .help = "Prints the channels that the messages of TOPIC reach as well, one a line, sorted. All "
            "nodes\n"
            "are asked; one that does not answer is named on standard error, and makes the exit "
            "code 1.\n"
            "\n"
            "Options:\n"
            "      --limit N   name at most N (1 to 1000; 1000 unless given): which of them is not "
            "said\n"
            "\n"
            "Example:\n"
            "  ringhop followers room:7\n"
            "\n"
            "JSON: {\"key\":\"room:7\",\"count\":2,\"followers\":[\"user:42\",\"user:7\"],"
            "\"truncated\":false,\n"
            "\"nodes\":[{\"node\":\"n1\",\"count\":2}],\"missing\":[]}\n"
            "Exit code 1: some nodes did not answer; 5: no node could be reached.",
    .options = options,
    .state_size = sizeof(struct state),
    .option = take_option,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
