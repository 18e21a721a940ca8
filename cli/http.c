/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/http.h"

#include "cli/url.h"
#include "config/config.h"
#include "config/value.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIRECTS_MAX      3L
#define CONNECT_TIMEOUT_MS 2000L

/* One request while libcurl works on it. */
struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
};

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    struct rh_cli_http *request = context;
    size_t total = size * count;
    if (total > RH_CLI_HTTP_BODY_MAX - rh_buffer_size(&request->answer) ||
        rh_buffer_append(&request->answer, data, total) != 0) {
        return 0;
    }
    return total;
}

/* Keeps the entity tag, of the last answer when redirects are followed. */
static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    static const char name[] = "etag:";
    struct rh_cli_http *request = context;
    size_t total = size * count;
    size_t name_size = sizeof(name) - 1;
    if (total > 5 && memcmp(data, "HTTP/", 5) == 0) {
        request->etag[0] = '\0';
    }
    if (total > name_size &&
        rh_bytes_equal_nocase(rh_bytes(data, name_size), rh_bytes(name, name_size))) {
        const char *begin = memchr(data, '"', total);
        const char *end = data + total;
        while (begin != NULL && end > begin && end[-1] != '"') {
            end--;
        }
        if (begin != NULL && (size_t)(end - begin) < sizeof(request->etag)) {
            *rh_bytes_write(request->etag, rh_bytes(begin, (size_t)(end - begin))) = '\0';
        }
    }
    return total;
}

static bool add_headers(struct transfer *transfer, const struct rh_cli_http *request)
{
    /* No waiting for a 100 Continue that nobody sends. */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; i < request->headers_count && headers != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(headers, request->headers[i]);
        if (longer == NULL) {
            curl_slist_free_all(headers);
        }
        headers = longer;
    }
    transfer->headers = headers;
    return headers != NULL;
}

static bool setup(struct transfer *transfer, struct rh_cli_http *request, uint32_t timeout_ms)
{
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || !add_headers(transfer, request)) {
        return false;
    }
    CURL *easy = transfer->easy;
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_URL, request->url);
    rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    const char *method = request->method == NULL ? "GET" : request->method;
    if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        const char *data = request->body.data != NULL ? request->body.data : "";
        rc |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
        rc |= curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, data);
    }
    rc |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    return rc == CURLE_OK;
}

static void finish_transfer(struct transfer *transfer, CURLM *multi)
{
    if (transfer->easy != NULL) {
        (void)curl_multi_remove_handle(multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
}

static void take_result(struct transfer *transfer, struct rh_cli_http *request, CURLcode result)
{
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_OK && status > 0) {
        request->answered = true;
        request->status = (unsigned)status;
        const char *type = NULL;
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
        (void)snprintf(request->content_type, sizeof(request->content_type), "%s",
                       type == NULL ? "" : type);
        return;
    }
    request->unsent = result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST;
    const char *why = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(result);
    (void)rh_fail(&request->reason, RH_ERR_UNREACHABLE, "%s", why);
}

static int run(CURLM *multi, struct transfer *transfers, struct rh_cli_http *requests, size_t count)
{
    int running = 1;
    while (running > 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK ||
            (running > 0 && curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)) {
            return RH_ERR_NO_MEMORY;
        }
    }
    int left = 0;
    for (CURLMsg *message = curl_multi_info_read(multi, &left); message != NULL;
         message = curl_multi_info_read(multi, &left)) {
        for (size_t i = 0; i < count; i++) {
            if (transfers[i].easy == message->easy_handle) {
                take_result(&transfers[i], &requests[i], message->data.result);
            }
        }
    }
    return 0;
}

int rh_cli_http_perform(struct rh_cli_http *requests, size_t count, uint32_t timeout_ms)
{
    struct transfer *transfers = calloc(count + 1, sizeof(*transfers));
    CURLM *multi = curl_multi_init();
    int rv = transfers == NULL || multi == NULL ? RH_ERR_NO_MEMORY : 0;
    for (size_t i = 0; i < count && rv == 0; i++) {
        requests[i].answered = false;
        requests[i].unsent = false;
        requests[i].etag[0] = '\0';
        requests[i].content_type[0] = '\0';
        requests[i].reason.text[0] = '\0';
        rh_buffer_clear(&requests[i].answer);
        if (!setup(&transfers[i], &requests[i], timeout_ms) ||
            curl_multi_add_handle(multi, transfers[i].easy) != CURLM_OK) {
            rv = RH_ERR_NO_MEMORY;
        }
    }
    if (rv == 0) {
        rv = run(multi, transfers, requests, count);
    }
    for (size_t i = 0; transfers != NULL && i < count; i++) {
        finish_transfer(&transfers[i], multi);
    }
    free(transfers);
    (void)curl_multi_cleanup(multi);
    return rv;
}

void rh_cli_http_finish(struct rh_cli_http *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rh_buffer_finish(&requests[i].answer);
    }
}

json_t *rh_cli_http_json(const struct rh_cli_http *request)
{
    struct rh_bytes body = rh_buffer_content(&request->answer);
    json_t *value = body.size == 0 ? NULL : json_loadb(body.data, body.size, 0, NULL);
    if (!json_is_object(value)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

void rh_cli_http_problem(const struct rh_cli_http *request, struct rh_reason *ret_reason)
{
    json_t *problem = rh_cli_http_json(request);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *title = json_string_value(json_object_get(problem, "title"));
    if (detail == NULL) {
        detail = title;
    }
    (void)rh_fail(ret_reason, RH_ERR_REFUSED, "HTTP %u%s%s", request->status,
                  detail != NULL ? ": " : "", detail != NULL ? detail : "");
    json_decref(problem);
}

void rh_cli_http_url(const char *node_url, const char *path,
                     char ret_url[static RH_CLI_HTTP_URL_SIZE])
{
    char base[RH_CLI_HTTP_URL_SIZE];
    if (rh_url_to_http(node_url, base, sizeof(base)) != 0) {
        base[0] = '\0'; /* cannot be: URLs of nodes are bounded */
    }
    int length = snprintf(ret_url, RH_CLI_HTTP_URL_SIZE, "%s%s", base, path);
    if (length < 0 || length >= RH_CLI_HTTP_URL_SIZE) {
        ret_url[0] = '\0';
    }
}

void rh_cli_http_admin_url(const struct rh_registration *member, const char *path,
                           char ret_url[static RH_CLI_HTTP_URL_SIZE])
{
    char host[RH_HOST_SIZE];
    char client_host[RH_HOST_SIZE];
    uint16_t port;
    uint16_t client_port;
    const char *client = strstr(member->url, "://");
    bool wildcard = rh_address_split(member->admin, host, &port) == 0 && rh_host_is_wildcard(host);
    if (wildcard && client != NULL &&
        rh_address_split(client + 3, client_host, &client_port) == 0) {
        bool v6 = strchr(client_host, ':') != NULL;
        (void)snprintf(ret_url, RH_CLI_HTTP_URL_SIZE, "http://%s%s%s:%u%s", v6 ? "[" : "",
                       client_host, v6 ? "]" : "", port, path);
    } else {
        (void)snprintf(ret_url, RH_CLI_HTTP_URL_SIZE, "http://%s%s", member->admin, path);
    }
}
