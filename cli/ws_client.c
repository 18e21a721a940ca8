/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ws_client.h"

#include "base/buffer.h"
#include "cli/cli.h"
#include "cli/random.h"
#include "cli/url.h"
#include "router/base64.h"
#include "router/handshake.h"

#include <curl/curl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#define HEAD_SIZE_MAX    16384U
#define PROBLEM_SIZE_MAX 16384U                 /* of the body of a refusal */
#define MESSAGE_SIZE_MAX (128U * 1024U * 1024U) /* 16 MiB of control characters as JSON */
#define READ_SIZE        16384U
#define CLOSE_SIZE       256U

struct rh_ws_client {
    CURL *easy;
    curl_socket_t socket;
    wslay_event_context_ptr wslay;
    struct rh_buffer input; /* what came with the answer to the handshake */
    uint64_t heard_ms;
    bool ended; /* end of file, or a broken connection */
    bool stopped;
    rh_ws_client_text *text; /* during rh_ws_client_wait() */
    void *context;
};

/* --- The wire ----------------------------------------------------------------------------------- */

/* Reads what is there: more than 0 bytes, 0 when there is nothing now, RH_ERR_CLOSED. */
static ssize_t read_some(struct rh_ws_client *client, void *out, size_t size)
{
    size_t got = 0;
    CURLcode rc = curl_easy_recv(client->easy, out, size, &got);
    if (rc == CURLE_AGAIN) {
        return 0;
    }
    if (rc != CURLE_OK || got == 0) {
        client->ended = true;
        return RH_ERR_CLOSED;
    }
    client->heard_ms = rh_cli_now_ms();
    return (ssize_t)got;
}

static void poll_socket(const struct rh_ws_client *client, short events, uint32_t timeout_ms)
{
    struct pollfd fd = {.fd = client->socket, .events = events};
    (void)poll(&fd, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
}

static int send_all(struct rh_ws_client *client, struct rh_bytes data, uint64_t deadline_ms)
{
    while (data.size > 0) {
        size_t sent = 0;
        CURLcode rc = curl_easy_send(client->easy, data.data, data.size, &sent);
        if (rc == CURLE_AGAIN) {
            uint32_t left_ms = rh_cli_left_ms(deadline_ms);
            if (left_ms == 0) {
                return RH_ERR_TIMEOUT;
            }
            poll_socket(client, POLLOUT, left_ms);
        } else if (rc != CURLE_OK) {
            return RH_ERR_CLOSED;
        }
        data = rh_bytes(data.data + sent, data.size - sent);
    }
    return 0;
}

/* Reads into |client->input| until it holds |wanted| bytes or, with |head|, a whole head. */
static int receive(struct rh_ws_client *client, size_t wanted, bool head, uint64_t deadline_ms)
{
    for (;;) {
        struct rh_bytes input = rh_buffer_content(&client->input);
        bool whole =
            head && input.size > 0 && memmem(input.data, input.size, "\r\n\r\n", 4) != NULL;
        if (whole || input.size >= wanted) {
            return whole || !head ? 0 : RH_ERR_TOO_LARGE;
        }
        char *room = rh_buffer_reserve(&client->input, READ_SIZE);
        if (room == NULL) {
            return RH_ERR_NO_MEMORY;
        }
        ssize_t size = read_some(client, room, READ_SIZE);
        if (size < 0) {
            return RH_ERR_CLOSED;
        }
        if (size > 0) {
            rh_buffer_commit(&client->input, (size_t)size);
            continue;
        }
        uint32_t left_ms = rh_cli_left_ms(deadline_ms);
        if (left_ms == 0) {
            return RH_ERR_TIMEOUT;
        }
        poll_socket(client, POLLIN, left_ms);
    }
}

/* --- The handshake ------------------------------------------------------------------------------ */

/* Sends the request. |ret_key| is the Sec-WebSocket-Key that the answer must fit. */
static int send_request(struct rh_ws_client *client, const char *url, uint64_t deadline_ms,
                        char ret_key[static RH_HANDSHAKE_KEY_SIZE])
{
    unsigned char nonce[16];
    rh_random_bytes(nonce, sizeof(nonce));
    (void)rh_base64_write(ret_key, rh_bytes(nonce, sizeof(nonce)));

    const char *host = strstr(url, "://") + 3;
    size_t host_size = strcspn(host, "/?");
    const char *target = host + host_size;
    struct rh_buffer request = {0};
    int rv = rh_buffer_format(&request,
                              "GET %s%s HTTP/1.1\r\n"
                              "Host: %.*s\r\n"
                              "User-Agent: ringhop/" RH_VERSION "\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Key: %s\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Protocol: " RH_HANDSHAKE_PROTOCOL "\r\n"
                              "\r\n",
                              target[0] == '/' ? "" : "/", target, (int)host_size, host, ret_key);
    if (rv == 0) {
        rv = send_all(client, rh_buffer_content(&request), deadline_ms);
    }
    rh_buffer_finish(&request);
    return rv;
}

/* The value of a header of |head|, or an empty slice. */
static struct rh_bytes find_header(struct rh_bytes head, const char *name)
{
    size_t name_size = strlen(name);
    const char *at = head.data;
    const char *end = head.data + head.size;
    while (at < end) {
        const char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (line_end == NULL) {
            line_end = end;
        }
        size_t size = (size_t)(line_end - at);
        if (size > name_size && at[name_size] == ':' &&
            rh_bytes_equal_nocase(rh_bytes(at, name_size), rh_bytes(name, name_size))) {
            const char *value = at + name_size + 1;
            while (value < line_end && *value == ' ') {
                value++;
            }
            return rh_bytes(value, (size_t)(line_end - value));
        }
        at = line_end + 2;
    }
    return rh_bytes(NULL, 0);
}

/* Turns the answer's problem object, if it has one, into a sentence. */
static void read_problem(struct rh_ws_client *client, struct rh_bytes length, uint64_t deadline_ms,
                         struct rh_ws_failure *failure)
{
    uint64_t size = 0;
    if (rh_bytes_to_u64(length, PROBLEM_SIZE_MAX, &size) != 0 ||
        receive(client, size, false, deadline_ms) != 0) {
        size = 0;
    }
    struct rh_bytes body = rh_buffer_content(&client->input);
    json_t *problem = size == 0 ? NULL : json_loadb(body.data, size, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    (void)rh_fail(&failure->reason, RH_ERR_REFUSED, "HTTP %u%s%s", failure->status,
                  detail != NULL ? ": " : "", detail != NULL ? detail : "");
    json_decref(problem);
}

/* "HTTP/1.1 101 ...": the number, or 0. */
static unsigned read_status(struct rh_bytes head)
{
    uint64_t status = 0;
    if (head.size < 12 || memcmp(head.data, "HTTP/1.", 7) != 0 || head.data[8] != ' ' ||
        rh_bytes_to_u64(rh_bytes(head.data + 9, 3), 999, &status) != 0) {
        return 0;
    }
    return (unsigned)status;
}

static int judge_answer(struct rh_ws_client *client, const char *key, uint64_t deadline_ms,
                        struct rh_ws_failure *failure)
{
    struct rh_bytes input = rh_buffer_content(&client->input);
    const char *end = memmem(input.data, input.size, "\r\n\r\n", 4);
    struct rh_bytes head = rh_bytes(input.data, (size_t)(end - input.data) + 2);
    failure->status = read_status(head);
    if (failure->status == 0) {
        return rh_fail(&failure->reason, RH_ERR_UNREACHABLE, "what answers there is not HTTP");
    }
    if (failure->status == 101) {
        char accept[RH_HANDSHAKE_ACCEPT_SIZE];
        int rv = rh_handshake_accept(key, accept);
        if (rv == 0 && !rh_bytes_equal_text(find_header(head, "Sec-WebSocket-Accept"), accept)) {
            rv =
                rh_fail(&failure->reason, RH_ERR_UNREACHABLE, "what answers there is no WebSocket");
        }
        rh_buffer_consume(&client->input, head.size + 2);
        return rv;
    }
    struct rh_bytes location = find_header(head, "Location");
    if (failure->status / 100 == 3 && location.size > 0 &&
        location.size < sizeof(failure->location)) {
        memcpy(failure->location, location.data, location.size);
        failure->location[location.size] = '\0';
    }
    char length[24];
    struct rh_bytes value = find_header(head, "Content-Length");
    size_t length_size = value.size < sizeof(length) ? value.size : 0;
    memcpy(length, value.data != NULL ? value.data : "", length_size);
    rh_buffer_consume(&client->input, head.size + 2);
    read_problem(client, rh_bytes(length, length_size), deadline_ms, failure);
    return RH_ERR_REFUSED;
}

static int shake_hands(struct rh_ws_client *client, const char *url, uint64_t deadline_ms,
                       struct rh_ws_failure *failure)
{
    char key[RH_HANDSHAKE_KEY_SIZE];
    int rv = send_request(client, url, deadline_ms, key);
    if (rv == 0) {
        rv = receive(client, HEAD_SIZE_MAX, true, deadline_ms);
    }
    if (rv == RH_ERR_NO_MEMORY) {
        return rv;
    }
    if (rv != 0) {
        return rh_fail(&failure->reason, RH_ERR_UNREACHABLE, "no answer to the handshake: %s",
                       rh_error_text(rv));
    }
    return judge_answer(client, key, deadline_ms, failure);
}

/* --- wslay's callbacks -------------------------------------------------------------------------- */

static ssize_t on_read(wslay_event_context_ptr wslay, uint8_t *out, size_t size, int flags,
                       void *context)
{
    (void)flags;
    struct rh_ws_client *client = context;
    size_t kept = rh_buffer_size(&client->input);
    if (client->stopped) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (kept > 0) {
        size = size < kept ? size : kept;
        memcpy(out, rh_buffer_content(&client->input).data, size);
        rh_buffer_consume(&client->input, size);
        return (ssize_t)size;
    }
    ssize_t got = read_some(client, out, size);
    if (got <= 0) {
        wslay_event_set_error(wslay, got == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return got;
}

static ssize_t on_write(wslay_event_context_ptr wslay, const uint8_t *data, size_t size, int flags,
                        void *context)
{
    (void)flags;
    struct rh_ws_client *client = context;
    size_t sent = 0;
    CURLcode rc = curl_easy_send(client->easy, data, size, &sent);
    if (rc != CURLE_OK) {
        wslay_event_set_error(wslay, rc == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK
                                                       : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)sent;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *out, size_t size, void *context)
{
    (void)wslay;
    (void)context;
    rh_random_bytes(out, size);
    return 0;
}

static void on_message(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_msg_recv_arg *message, void *context)
{
    (void)wslay;
    struct rh_ws_client *client = context;
    if (message->opcode == WSLAY_TEXT_FRAME && !client->stopped) {
        client->stopped =
            client->text(client->context, rh_bytes(message->msg, message->msg_length)) != 0;
    }
}

/* --- The client --------------------------------------------------------------------------------- */

static int connect_socket(struct rh_ws_client *client, const char *url, uint32_t timeout_ms,
                          struct rh_ws_failure *failure)
{
    char http_url[RH_URL_TEXT_SIZE];
    char error[CURL_ERROR_SIZE] = "";
    if (rh_url_to_http(url, http_url, sizeof(http_url)) != 0) {
        return rh_fail(&failure->reason, RH_ERR_UNREACHABLE, "the URL is too long");
    }
    CURLcode rc = curl_easy_setopt(client->easy, CURLOPT_URL, http_url);
    rc |= curl_easy_setopt(client->easy, CURLOPT_CONNECT_ONLY, 1L);
    rc |= curl_easy_setopt(client->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(client->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    rc |= curl_easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(client->easy, CURLOPT_ERRORBUFFER, error);
    if (rc != CURLE_OK) {
        return RH_ERR_NO_MEMORY;
    }
    rc = curl_easy_perform(client->easy);
    if (rc == CURLE_OK) {
        rc = curl_easy_getinfo(client->easy, CURLINFO_ACTIVESOCKET, &client->socket);
    }
    (void)curl_easy_setopt(client->easy, CURLOPT_ERRORBUFFER, NULL);
    if (rc != CURLE_OK) {
        return rh_fail(&failure->reason, RH_ERR_UNREACHABLE, "%s",
                       error[0] != '\0' ? error : curl_easy_strerror(rc));
    }
    return 0;
}

static int start_wslay(struct rh_ws_client *client)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_read,
        .send_callback = on_write,
        .genmask_callback = on_mask,
        .on_msg_recv_callback = on_message,
    };
    if (wslay_event_context_client_init(&client->wslay, &callbacks, client) != 0) {
        return RH_ERR_NO_MEMORY;
    }
    wslay_event_config_set_max_recv_msg_length(client->wslay, MESSAGE_SIZE_MAX);
    return 0;
}

int rh_ws_client_connect(const char *url, uint32_t timeout_ms, struct rh_ws_client **ret_client,
                         struct rh_ws_failure *ret_failure)
{
    uint64_t deadline_ms = rh_cli_now_ms() + timeout_ms;
    ret_failure->status = 0;
    ret_failure->location[0] = '\0';
    ret_failure->reason.text[0] = '\0';
    struct rh_ws_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    client->easy = curl_easy_init();
    int rv = client->easy == NULL ? RH_ERR_NO_MEMORY
                                  : connect_socket(client, url, timeout_ms, ret_failure);
    if (rv == 0) {
        rv = shake_hands(client, url, deadline_ms, ret_failure);
    }
    if (rv == 0) {
        rv = start_wslay(client);
    }
    if (rv != 0) {
        rh_ws_client_close(client);
        return rv;
    }
    *ret_client = client;
    return 0;
}

static int drive(struct rh_ws_client *client)
{
    int rv = wslay_event_recv(client->wslay);
    if (rv == WSLAY_ERR_NOMEM) {
        return RH_ERR_NO_MEMORY;
    }
    /* Answers to pings, and to a close, also when this was the end. */
    int sent = wslay_event_send(client->wslay);
    if (sent == WSLAY_ERR_NOMEM) {
        return RH_ERR_NO_MEMORY;
    }
    bool closed = wslay_event_get_close_received(client->wslay) != 0;
    bool over = closed || client->stopped || client->ended || rv != 0 || sent != 0 ||
                wslay_event_get_read_enabled(client->wslay) == 0;
    return over ? RH_ERR_CLOSED : 0;
}

int rh_ws_client_wait(struct rh_ws_client *client, uint32_t timeout_ms, rh_ws_client_text *text,
                      void *context)
{
    client->text = text;
    client->context = context;
    /* There may be something that poll() does not see: after the handshake, or within TLS. */
    uint64_t heard_ms = client->heard_ms;
    bool kept = rh_buffer_size(&client->input) > 0;
    int rv = drive(client);
    if (rv != 0 || kept || client->heard_ms != heard_ms) {
        return rv;
    }
    short events = POLLIN;
    if (wslay_event_want_write(client->wslay) != 0) {
        events |= POLLOUT;
    }
    poll_socket(client, events, timeout_ms);
    return drive(client);
}

int rh_ws_client_ping(struct rh_ws_client *client)
{
    const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
    int rv = wslay_event_queue_msg(client->wslay, &ping);
    return rv == WSLAY_ERR_NOMEM ? RH_ERR_NO_MEMORY : 0;
}

uint64_t rh_ws_client_heard_ms(const struct rh_ws_client *client)
{
    return client->heard_ms;
}

unsigned rh_ws_client_code(const struct rh_ws_client *client)
{
    unsigned code = wslay_event_get_status_code_received(client->wslay);
    return code == 0 ? WSLAY_CODE_ABNORMAL_CLOSURE : code;
}

void rh_ws_client_close(struct rh_ws_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->wslay != NULL) {
        if (!client->ended && wslay_event_get_close_sent(client->wslay) == 0 &&
            wslay_event_queue_close(client->wslay, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0) {
            (void)wslay_event_send(client->wslay);
        }
        wslay_event_context_free(client->wslay);
    }
    if (client->easy != NULL) {
        curl_easy_cleanup(client->easy);
    }
    rh_buffer_finish(&client->input);
    free(client);
}
