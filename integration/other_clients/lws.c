/* SPDX-License-Identifier: Apache-2.0 */

/* libwebsockets' client: `lws URL [SUBPROTOCOL]`, with the output that with_python.py describes. */

#include <libwebsockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 65536

struct client {
    struct lws_context *context;
    const char *protocol;
    char text[TEXT_SIZE]; /* of the message so far */
    size_t text_size;
    char url[TEXT_SIZE];
    bool over;
};

static bool connect_to(struct client *client, const char *url)
{
    static char parsed[TEXT_SIZE]; /* cut to pieces by lws_parse_uri() */
    static char path[TEXT_SIZE];
    const char *scheme;
    const char *host;
    const char *rest;
    int port;
    snprintf(parsed, sizeof(parsed), "%s", url);
    if (lws_parse_uri(parsed, &scheme, &host, &port, &rest) != 0) {
        return false;
    }
    snprintf(path, sizeof(path), "/%s", rest);
    struct lws_client_connect_info info = {
        .context = client->context,
        .address = host,
        .port = port,
        .path = path,
        .host = host,
        .origin = NULL,
        .protocol = client->protocol,
        .local_protocol_name = "listen",
    };
    return lws_client_connect_via_info(&info) != NULL;
}

/* Goes where `moved` says. The URL needs no unescaping. */
static void follow(struct client *client)
{
    const char *url = strstr(client->text, "\"url\":\"");
    if (strncmp(client->text, "{\"type\":\"moved\"", 15) != 0 || url == NULL) {
        return;
    }
    snprintf(client->url, sizeof(client->url), "%s", url + strlen("\"url\":\""));
    client->url[strcspn(client->url, "\"")] = '\0';
    if (!connect_to(client, client->url)) {
        printf("failed to connect\n");
        client->over = true;
    }
}

static void hear(struct client *client, struct lws *wsi, const char *data, size_t size)
{
    if (client->text_size + size < sizeof(client->text)) {
        memcpy(client->text + client->text_size, data, size);
        client->text_size += size;
    }
    if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
        client->text[client->text_size] = '\0';
        client->text_size = 0;
        printf("text %s\n", client->text);
        follow(client);
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    (void)user;
    struct client *client = lws_context_user(lws_get_context(wsi));
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_RECEIVE:
        hear(client, wsi, in, size);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        printf("failed %s\n", in == NULL ? "" : (const char *)in);
        client->over = true;
        break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (size >= 2) {
            const unsigned char *code = in;
            printf("closed %d\n", code[0] << 8 | code[1]);
        }
        break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {{"listen", on_event, 0, TEXT_SIZE, 0, NULL, 0},
                                                     {NULL, NULL, 0, 0, 0, NULL, 0}};
    static struct client client;
    setvbuf(stdout, NULL, _IOLBF, 0);
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .user = &client,
                                             .gid = -1,
                                             .uid = -1};
    client.context = lws_create_context(&info);
    client.protocol = argc > 2 ? argv[2] : NULL;
    if (client.context == NULL || !connect_to(&client, argv[1])) {
        return 1;
    }
    while (!client.over && lws_service(client.context, 0) >= 0) {
    }
    lws_context_destroy(client.context);
    return 0;
}
