/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print_message(const struct rh_cli *cli, const char *format, va_list args)
    RH_PRINTF(2, 0);

static void print_message(const struct rh_cli *cli, const char *format, va_list args)
{
    (void)fflush(stdout);
    (void)fputs("ringhop", stderr);
    if (cli->command != NULL) {
        (void)fprintf(stderr, " %s", cli->command->name);
    }
    (void)fputs(": ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
}

enum rh_exit rh_cli_fail(const struct rh_cli *cli, enum rh_exit code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(cli, format, args);
    va_end(args);
    return code;
}

void rh_cli_warn(const struct rh_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(cli, format, args);
    va_end(args);
}

static const char *config_path(const struct rh_cli *cli)
{
    if (cli->config_path != NULL) {
        return cli->config_path;
    }
    const char *path = getenv("RINGHOP_CONFIG");
    return path != NULL && path[0] != '\0' ? path : "cluster.yaml";
}

enum rh_exit rh_cli_load_config(struct rh_cli *cli)
{
    struct rh_reason reason;
    int rv = rh_config_load(config_path(cli), &cli->config, &reason);
    if (rv == RH_ERR_NOT_FOUND || rv == RH_ERR_IO) {
        return rh_cli_fail(cli, RH_EXIT_CONFIG,
                           "%s; name the cluster config with --config FILE or $RINGHOP_CONFIG",
                           reason.text);
    }
    return rv == 0 ? RH_EXIT_DONE : rh_cli_fail(cli, RH_EXIT_CONFIG, "%s", reason.text);
}

enum rh_exit rh_cli_fail_no_memory(const struct rh_cli *cli)
{
    return rh_cli_fail(cli, RH_EXIT_NO, "%s", rh_error_text(RH_ERR_NO_MEMORY));
}

uint32_t rh_cli_timeout_ms(const struct rh_cli *cli, uint32_t otherwise_ms)
{
    return cli->timeout_ms != 0 ? cli->timeout_ms : otherwise_ms;
}

uint64_t rh_cli_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint32_t rh_cli_left_ms(uint64_t deadline_ms)
{
    uint64_t now = rh_cli_now_ms();
    if (deadline_ms <= now) {
        return 0;
    }
    return deadline_ms - now > UINT32_MAX ? UINT32_MAX : (uint32_t)(deadline_ms - now);
}

void rh_cli_pause_ms(uint32_t duration_ms)
{
    const struct timespec time = {.tv_sec = duration_ms / 1000,
                                  .tv_nsec = (long)(duration_ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}
