/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/probe.h"

#include "base/buffer.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define URL_SIZE   320
#define ID_SIZE    65
#define ANSWER_MAX (4 * 1024 * 1024) /* bytes */
#define STEP_S     0.005             /* between looks at what curl has: a round is not in a hurry */

/* One request. */
struct request {
    CURL *easy; /* NULL: not asked */
    struct rh_buffer body;
    bool good; /* answered with 200 */
};

struct question {
    char id[ID_SIZE];
    struct request ring;
    struct request status;
};

struct rh_probe {
    struct ev_loop *loop;
    rh_probe_done *done;
    void *context;
    CURLM *multi;
    ev_timer timer;
    bool busy;
    bool answered; /* the questions are those of the round before */
    struct question questions[RH_PROBE_NODES_MAX];
    size_t questions_count;
};

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct request *request = context;
    (void)size; /* 1 */
    if (rh_buffer_size(&request->body) + count > ANSWER_MAX ||
        rh_buffer_append(&request->body, data, count) != 0) {
        return 0;
    }
    return count;
}

static int request_start(struct rh_probe *probe, struct request *request, const char *base,
                         const char *path)
{
    char url[URL_SIZE];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    request->easy = curl_easy_init();
    if (request->easy == NULL) {
        return RH_ERR_NO_MEMORY;
    }
    CURLcode rc = curl_easy_setopt(request->easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, (long)RH_PROBE_TIMEOUT_MS);
    rc |= curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, take_body);
    rc |= curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    rc |= curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
    rc |= curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(request->easy, CURLOPT_PROXY, "");
    if (rc != CURLE_OK || curl_multi_add_handle(probe->multi, request->easy) != CURLM_OK) {
        return RH_ERR_NO_MEMORY;
    }
    return 0;
}

static void request_finish(struct rh_probe *probe, struct request *request)
{
    if (request->easy != NULL) {
        (void)curl_multi_remove_handle(probe->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    rh_buffer_finish(&request->body);
    *request = (struct request){0};
}

static void clear(struct rh_probe *probe)
{
    for (size_t i = 0; i < probe->questions_count; i++) {
        request_finish(probe, &probe->questions[i].ring);
        request_finish(probe, &probe->questions[i].status);
    }
    probe->questions_count = 0;
}

/* The answer as an object, or NULL. */
static json_t *request_json(const struct request *request)
{
    struct rh_bytes body = rh_buffer_content(&request->body);
    json_t *json = request->good ? json_loadb(body.data, body.size, 0, NULL) : NULL;
    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static void take_results(struct rh_probe *probe)
{
    int left = 0;
    for (CURLMsg *message = curl_multi_info_read(probe->multi, &left); message != NULL;
         message = curl_multi_info_read(probe->multi, &left)) {
        char *context = NULL;
        long status = 0;
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &context);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        struct request *request = (struct request *)(void *)context;
        request->good = message->data.result == CURLE_OK && status == 200;
    }
}

static void finish_round(struct rh_probe *probe)
{
    struct rh_probe_answer answers[RH_PROBE_NODES_MAX];
    size_t count = probe->questions_count;
    for (size_t i = 0; i < count; i++) {
        answers[i] = (struct rh_probe_answer){.id = probe->questions[i].id,
                                              .ring = request_json(&probe->questions[i].ring),
                                              .status = request_json(&probe->questions[i].status)};
    }
    ev_timer_stop(probe->loop, &probe->timer);
    probe->busy = false;
    probe->answered = true;
    probe->done(probe->context, answers, count);
    for (size_t i = 0; i < count; i++) {
        json_decref(answers[i].ring);
        json_decref(answers[i].status);
    }
}

static void on_timer(struct ev_loop *loop RH_UNUSED, ev_timer *timer, int events RH_UNUSED)
{
    struct rh_probe *probe = timer->data;
    int running = 0;
    (void)curl_multi_perform(probe->multi, &running);
    take_results(probe);
    if (running == 0) {
        finish_round(probe);
    }
}

int rh_probe_create(struct ev_loop *loop, rh_probe_done *done, void *context,
                    struct rh_probe **ret_probe)
{
    struct rh_probe *probe = calloc(1, sizeof(*probe));
    CURLM *multi = curl_multi_init();
    if (probe == NULL || multi == NULL) {
        free(probe);
        (void)curl_multi_cleanup(multi);
        return RH_ERR_NO_MEMORY;
    }
    probe->loop = loop;
    probe->done = done;
    probe->context = context;
    probe->multi = multi;
    ev_timer_init(&probe->timer, on_timer, 0.0, STEP_S);
    probe->timer.data = probe;
    *ret_probe = probe;
    return 0;
}

void rh_probe_destroy(struct rh_probe *probe)
{
    if (probe == NULL) {
        return;
    }
    ev_timer_stop(probe->loop, &probe->timer);
    clear(probe);
    (void)curl_multi_cleanup(probe->multi);
    free(probe);
}

bool rh_probe_busy(const struct rh_probe *probe)
{
    return probe->busy;
}

int rh_probe_ask(struct rh_probe *probe, const char *id, const char *url, const char *admin)
{
    assert(!probe->busy);
    if (probe->answered) {
        clear(probe);
        probe->answered = false;
    }
    if (probe->questions_count == RH_PROBE_NODES_MAX) {
        return RH_ERR_FULL;
    }
    struct question *question = &probe->questions[probe->questions_count];
    probe->questions_count++;
    *question = (struct question){.id = ""};
    (void)snprintf(question->id, sizeof(question->id), "%s", id);
    int rv = url[0] != '\0' ? request_start(probe, &question->ring, url, "/v1/ring") : 0;
    if (rv == 0 && admin[0] != '\0') {
        rv = request_start(probe, &question->status, admin, "/v1/status");
    }
    return rv;
}

void rh_probe_begin(struct rh_probe *probe)
{
    assert(!probe->busy);
    probe->busy = true;
    ev_timer_set(&probe->timer, 0.0, STEP_S);
    ev_timer_start(probe->loop, &probe->timer);
}
