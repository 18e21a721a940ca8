/* SPDX-License-Identifier: Apache-2.0 */
#include "drill/settings.h"

#include <stdio.h>

#define WORKERS_MAX            256U
#define TWO_WORKERS_FROM       2000U /* clients: from there on two are faster than one */
#define DESCRIPTORS_PUBLISHERS 10U   /* one part in so many */
#define DESCRIPTORS_OTHER      64U

static void set_default(uint32_t *value, uint32_t otherwise)
{
    *value = *value == 0 ? otherwise : *value;
}

static int check_range(const char *name, uint32_t value, uint32_t min, uint32_t max,
                       struct rh_reason *reason)
{
    return value >= min && value <= max
               ? 0
               : rh_fail(reason, RH_ERR_INVALID, "%s is %u; it may be %u to %u", name,
                         (unsigned)value, (unsigned)min, (unsigned)max);
}

int rh_settings_complete(struct rh_load_settings *settings, uint64_t random,
                         struct rh_reason *reason)
{
    set_default(&settings->payload_size, 128);
    set_default(&settings->connecting_max, 256);
    set_default(&settings->connect_ms, 10000);
    set_default(&settings->silence_ms, 10000);
    set_default(&settings->silence_max_ms, 15000);
    set_default(&settings->publish_ms, 7000);
    set_default(&settings->publish_max_ms, 120000);
    set_default(&settings->settle_ms, 60000);
    if (settings->key_prefix[0] == '\0') {
        (void)snprintf(settings->key_prefix, sizeof(settings->key_prefix),
                       "drill:%08x:", (unsigned)(random & UINT32_MAX));
    }
    const struct {
        const char *name;
        uint32_t value;
        uint32_t min;
        uint32_t max;
    } ranges[] = {
        {"the number of channels", settings->channels_count, 1, RH_LOAD_CHANNELS_MAX},
        {"the number of connections", settings->connections_count, 0, RH_LOAD_CONNECTIONS_MAX},
        {"the rate", settings->rate, 0, RH_LOAD_RATE_MAX},
        {"the payload size", settings->payload_size, RH_LOAD_PAYLOAD_MIN, RH_LOAD_PAYLOAD_MAX},
        {"the number of workers", settings->workers_count, 0, WORKERS_MAX},
        {"the time a connection may be silent", settings->silence_max_ms, settings->silence_ms + 1,
         UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        int rv = check_range(ranges[i].name, ranges[i].value, ranges[i].min, ranges[i].max, reason);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

uint32_t rh_settings_clients_max(uint32_t descriptors_max)
{
    uint32_t others = descriptors_max / DESCRIPTORS_PUBLISHERS + DESCRIPTORS_OTHER;
    return descriptors_max <= others ? 1 : (descriptors_max - others) / 4 * 3 + 1;
}

/* The most clients that one of so many workers has; the first one has the most. */
static uint64_t greatest_share(const struct rh_load_settings *settings, uint32_t workers_count)
{
    uint64_t share = 0;
    for (uint32_t channel = 0; channel < settings->channels_count; channel += workers_count) {
        share += rh_settings_clients(settings, channel);
    }
    return share;
}

int rh_settings_workers(const struct rh_load_settings *settings, uint32_t descriptors_max,
                        uint32_t *ret_workers_count, bool *ret_forced, struct rh_reason *reason)
{
    uint32_t clients_max = rh_settings_clients_max(descriptors_max);
    uint32_t wanted = settings->workers_count;
    if (wanted == 0) {
        wanted = settings->connections_count >= TWO_WORKERS_FROM ? 2 : 1;
    }
    wanted = wanted > settings->channels_count ? settings->channels_count : wanted;
    for (uint32_t count = wanted; count <= WORKERS_MAX && count <= settings->channels_count;
         count++) {
        if (greatest_share(settings, count) <= clients_max) {
            *ret_workers_count = count;
            *ret_forced = count > wanted;
            return 0;
        }
    }
    return rh_fail(reason, RH_ERR_INVALID,
                   "%u connections to %u channels: a process that may open %u files holds %u, and "
                   "a channel is in one process of %u at most; use more channels or a higher "
                   "limit (ulimit -n)",
                   (unsigned)settings->connections_count, (unsigned)settings->channels_count,
                   (unsigned)descriptors_max, (unsigned)clients_max, WORKERS_MAX);
}

void rh_settings_key(const struct rh_load_settings *settings, uint32_t channel,
                     char ret_key[static RH_LOAD_KEY_SIZE])
{
    (void)snprintf(ret_key, RH_LOAD_KEY_SIZE, "%s%u", settings->key_prefix, (unsigned)channel);
}

uint32_t rh_settings_clients(const struct rh_load_settings *settings, uint32_t channel)
{
    return settings->connections_count / settings->channels_count +
           (channel < settings->connections_count % settings->channels_count);
}
