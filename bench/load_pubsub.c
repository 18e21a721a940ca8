/* SPDX-License-Identifier: Apache-2.0 */

/*
 * load_pubsub DIALECT PORT [PUBLISH_PORT]: many WebSockets and some publishers in one process, for
 * ringhop and for what it is compared with; the dialects are in dialect.c. Commands on stdin, with
 * options as NAME=VALUE, each answered by one line of JSON:
 *
 *     keys                       then lines "KEY" up to an empty one: the channels from now on
 *     connect count= window=256  subscribes that many to the channels, in turn
 *     publish seconds=5          to the channels, in turn, after `warm`=1 seconds that do not count
 *             count=             ... or that many of them
 *             window=64          one under way on each of so many connections
 *             rate=0             that many a second, at even times; 0: as fast as they are done
 *             bytes=128          of payload
 *     get PATH status=200        asks for that instead; options as of publish
 *     disconnect                 closes the WebSockets
 *
 * With `rate`, times are counted from when a publish was due, so a server that stalls cannot hide it.
 */

#include "dialect.h"
#include "load.h"
#include "publishers.h"
#include "receivers.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WINDOW_MAX 8192

static struct {
    struct ev_loop *loop;
    const struct dialect *dialect;
    uint16_t subscribe_port;
    uint16_t publish_port;
    struct load_lines keys;
    struct receivers *receivers;
    struct publishers *publishers; /* that run */
    uint32_t number;
} load;

static void on_message(void *context, uint32_t number)
{
    (void)context;
    if (load.publishers != NULL) {
        publishers_on_message(load.publishers, number);
    }
}

static size_t receivers_of_key(void *context, size_t key)
{
    (void)context;
    return receivers_of(load.receivers, key);
}

static void command_disconnect(void)
{
    receivers_destroy(load.receivers);
    load.receivers = NULL;
    printf("{}\n");
}

static void command_keys(void)
{
    if (load.receivers != NULL) {
        errno = EINVAL;
        load_die("keys: disconnect first");
    }
    load_lines_free(&load.keys);
    load_keys_read(&load.keys);
    printf("{\"keys\": %zu}\n", load.keys.count);
}

static void command_connect(const char *options)
{
    struct receivers_options receivers = {
        .loop = load.loop,
        .dialect = load.dialect,
        .port = load.subscribe_port,
        .keys = &load.keys,
        .opening_max = 256,
        .on_message = on_message,
    };
    const struct load_option known[] = {
        {"count", &receivers.count, 1, UINT32_MAX},
        {"window", &receivers.opening_max, 1, WINDOW_MAX},
    };
    load_options_take(options, known, sizeof(known) / sizeof(known[0]));
    if (load.receivers != NULL || load.keys.count == 0) {
        errno = EINVAL;
        load_die("connect: once, after keys");
    }
    struct load_times times = {0};
    const uint64_t began_us = load_now_us();
    load.receivers = receivers_create(&receivers, &times);
    printf("{\"all\": %zu, \"seconds\": %.6f, ", receivers.count,
           (double)(load_now_us() - began_us) / 1e6);
    load_times_print(&times, "times", stdout);
    printf("}\n");
    load_times_free(&times);
}

static void print(struct publishers_result *result)
{
    const double took_s = (double)result->took_us / 1e6;
    printf("{\"done\": %" PRIu64 ", \"all\": %" PRIu64 ", \"errors\": %" PRIu64
           ", \"missing\": %" PRIu64 ", \"strays\": %" PRIu64 ", \"deliveries\": %" PRIu64
           ", \"seconds\": %.3f, \"per_second\": %.1f, ",
           result->done, result->all, result->errors, result->missing, result->strays,
           result->deliveries, took_s, (double)result->done / took_s);
    load_times_print(&result->answered, "answered", stdout);
    printf(", ");
    load_times_print(&result->received, "received", stdout);
    printf("}\n");
}

static void command_publish(const char *path, const char *options)
{
    size_t window = 64;
    size_t rate = 0;
    size_t seconds = 5;
    size_t warm = 1;
    size_t count = 0;
    size_t bytes = 128;
    size_t status = 200;
    const struct load_option known[] = {
        {"window", &window, 1, WINDOW_MAX}, {"rate", &rate, 0, 1000000},
        {"seconds", &seconds, 1, 3600},     {"warm", &warm, 0, 3600},
        {"count", &count, 0, UINT32_MAX},   {"bytes", &bytes, 10, 2000},
        {"status", &status, 100, 599},
    };
    load_options_take(options, known, sizeof(known) / sizeof(known[0]));
    if (load.keys.count == 0 && path == NULL) {
        errno = EINVAL;
        load_die("publish: keys first");
    }
    const struct publishers_options publishers = {
        .loop = load.loop,
        .dialect = load.dialect,
        .port = load.publish_port,
        .keys = &load.keys,
        .receivers_of = receivers_of_key,
        .get = path,
        .status = (unsigned)status,
        .window = (unsigned)window,
        .rate = (unsigned)rate,
        .seconds = (unsigned)seconds,
        .warm = count == 0 ? (unsigned)warm : 0,
        .count = count,
        .bytes = (unsigned)bytes,
        .number = load.number,
    };
    struct publishers_result result;
    load.publishers = publishers_create(&publishers);
    publishers_run(load.publishers, &result);
    load.number = publishers_next_number(load.publishers);
    publishers_destroy(load.publishers);
    load.publishers = NULL;
    print(&result);
    publishers_result_finish(&result);
}

static void command(char *line)
{
    char path[1024];
    int at = 0;
    if (strcmp(line, "keys") == 0) {
        command_keys();
    } else if (strncmp(line, "connect", 7) == 0) {
        command_connect(line + 7);
    } else if (strncmp(line, "publish", 7) == 0) {
        command_publish(NULL, line + 7);
    } else if (sscanf(line, "get %1023s%n", path, &at) == 1) {
        command_publish(path, line + at);
    } else if (strcmp(line, "disconnect") == 0) {
        command_disconnect();
    } else {
        errno = EINVAL;
        load_die(line);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || (load.dialect = dialect_find(argv[1])) == NULL) {
        (void)fprintf(stderr, "usage: load_pubsub DIALECT PORT [PUBLISH_PORT] < COMMANDS\n");
        return 2;
    }
    load.subscribe_port = (uint16_t)strtoul(argv[2], NULL, 10);
    load.publish_port = argc > 3 ? (uint16_t)strtoul(argv[3], NULL, 10) : load.subscribe_port;
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdin, NULL, _IOFBF, 1 << 16);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    load.loop = ev_default_loop(0);
    char line[1200];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        command(line);
    }
    receivers_destroy(load.receivers);
    load_lines_free(&load.keys);
    return 0;
}
