/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>

static enum rh_exit print_table(const struct rh_cli *cli, const json_t *clients)
{
    static const struct rh_output_column columns[] = {
        {"CLIENT", false}, {"CONNECTIONS", true}, {"META", false}};
    struct rh_output_table *table =
        rh_output_table_create(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *client;
    json_array_foreach(clients, i, client)
    {
        const json_t *meta = json_object_get(client, "meta");
        char connections[24];
        (void)snprintf(connections, sizeof(connections), "%lld",
                       json_integer_value(json_object_get(client, "connections")));
        char *text = meta == NULL ? NULL : json_dumps(meta, JSON_ENCODE_ANY | JSON_COMPACT);
        rh_output_table_row(table,
                            (const char *[]){json_string_value(json_object_get(client, "client")),
                                             connections, text});
        free(text);
    }
    return rh_output_table_finish(cli, table);
}

static enum rh_exit print(const struct rh_ask *ask)
{
    json_t *answer = rh_cli_http_json(&ask->request);
    const json_t *clients = json_object_get(answer, "clients");
    if (!json_is_array(clients)) {
        json_decref(answer);
        return rh_cli_fail(ask->cli, RH_EXIT_NODE, "what answers at %s is no ringhop node",
                           ask->request.url);
    }
    if (ask->cli->json) {
        return rh_output_json(ask->cli, answer);
    }
    enum rh_exit code = print_table(ask->cli, clients);
    json_decref(answer);
    return code;
}

static enum rh_exit run(struct rh_cli *cli, void *context, int operands_count, char **operands)
{
    (void)context;
    (void)operands_count;
    return rh_ask_get(cli, operands[0], "presence", print);
}

const struct rh_command rh_command_presence = {
    .name = "presence",
    .summary = "show who is in a channel",
    .synopsis = "presence KEY",
    .help =
        "Prints the clients that are present on the channel KEY: those that named themselves when\n"
        "they connected. One without connections may come back yet; if it does not, it leaves.\n"
        "\n"
        "Example:\n"
        "  ringhop presence room:7\n"
        "\n"
        "JSON: {\"channel\":\"room:7\",\"node\":\"n1\",\"incarnation\":\"...\",\"clients\":"
        "[{\"client\":\"ada\",\n"
        "\"meta\":{...},\"connections\":1}]}; incarnation null: there is no such channel\n"
        "Exit code 5: no node could be reached.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
