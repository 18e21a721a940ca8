/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long a node with a million channels is kept from its other work by a forecast: the longest step,
 * in CPU time of this thread, since a busy machine may let any step wait.
 * `meson test --benchmark --verbose forecast` prints it.
 */

#include "node/core_forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHANNELS = 1000000, STEP_CHANNELS = 512, ROUNDS = 5 };

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void check(int rv)
{
    if (rv != 0) {
        (void)fprintf(stderr, "%s\n", rh_error_text(rv));
        exit(1);
    }
}

static struct rh_view *make_view(void)
{
    static struct rh_registration members[4];
    static const int64_t czxids[] = {1, 2, 3, 4};
    const struct rh_shared_config config = {
        .generation = 1, .format = RH_CONFIG_FORMAT, .vnodes = 512, .replicas = 2};
    const struct rh_epoch epoch = {.generation = 1, .pzxid = 57};
    struct rh_view *view = NULL;
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(members[i].id, sizeof(members[i].id), "n%u", i + 1);
        members[i].instance = 100 + i;
        members[i].weight_milli = 1000;
    }
    check(rh_view_create(epoch, &config, members, czxids, 4, &view));
    return view;
}

/* n1 with a million channels of one message each. */
static struct rh_core *make_core(struct rh_view *view)
{
    struct rh_core_options options = {
        .id = "n1",
        .instance = 100,
        .seed = 1,
        .secret = 2,
        .log = {.messages_max = 10, .bytes_max = 1000, .age_ms_max = 3600000},
        .channels_max = CHANNELS,
        .channel_idle_ms = 3600000,
        .dedup_age_ms = 3600000,
        .dedup_ids_max = 100,
        .payload_size_max = 100,
        .pending_max = 4,
        .pending_bytes_max = 1000,
    };
    struct rh_core *core = NULL;
    struct rh_actions actions = {0};
    struct rh_event event = {.kind = RH_EVENT_VIEW, .now_ms = 1000, .time_ms = 1000, .view = view};
    check(rh_core_create(&options, &core));
    rh_core_step(core, &event, &actions);
    for (unsigned number = 0; rh_core_stats(core)->channels < CHANNELS; number++) {
        char key[24];
        int size = snprintf(key, sizeof(key), "user:%u", number);
        if (rh_ring_owner(view->ring, rh_ring_hash(view->ring, key, (size_t)size)) != 0) {
            continue;
        }
        event = (struct rh_event){
            .kind = RH_EVENT_PUBLISH,
            .now_ms = 1000,
            .time_ms = 1000,
            .publish = {.request = 1,
                        .key = rh_bytes(key, (size_t)size),
                        .id = rh_bytes_text("m"),
                        .payload = {.kind = RH_PAYLOAD_TEXT, .bytes = rh_bytes_text("hello")}}};
        rh_core_step(core, &event, &actions);
    }
    rh_actions_finish(&actions);
    return core;
}

static void measure(const struct rh_core *core, const struct rh_proposal *proposal)
{
    struct rh_forecast *forecast = NULL;
    struct rh_reason reason = {""};
    double begin_ms = now_ms();
    check(rh_forecast_create(core, proposal, &forecast, &reason));
    double longest_ms = now_ms() - begin_ms;
    double all_ms = longest_ms;
    unsigned steps = 0;
    while (rh_forecast_state(forecast) != RH_FORECAST_DONE) {
        begin_ms = now_ms();
        check(rh_forecast_step(forecast, STEP_CHANNELS));
        double step_ms = now_ms() - begin_ms;
        longest_ms = step_ms > longest_ms ? step_ms : longest_ms;
        all_ms += step_ms;
        steps++;
    }
    (void)printf("%d channels: %u steps, the longest %.2f ms, all %.0f ms\n", CHANNELS, steps,
                 longest_ms, all_ms);
    rh_forecast_destroy(forecast);
}

int main(void)
{
    struct rh_view *view = make_view();
    struct rh_core *core = make_core(view);
    struct rh_proposal proposal = {
        .epoch = view->epoch, .digest = rh_ring_digest(view->ring), .changes_count = 1};
    check(rh_change_parse(RH_CHANGE_ADD, rh_bytes_text("n5:1"), &proposal.changes[0], NULL));
    for (unsigned round = 0; round < ROUNDS; round++) {
        measure(core, &proposal);
    }
    rh_core_destroy(core);
    rh_view_give(view);
    return 0;
}
