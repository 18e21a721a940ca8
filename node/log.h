/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_LOG_H
#define RH_NODE_LOG_H

/*
 * The log of the daemon: one line per event on standard error,
 *
 *   ts=2026-11-24T20:48:53.123Z level=info node=n1 view_adopted generation=1 epoch=57 members=3
 */

#include "base/log.h"

#include <stdbool.h>

/* Fills |ret_logger| with a sink that writes such lines; |node| is lent for as long as it logs. */
void rh_log_open(const char *node, enum rh_log_level level_max, struct rh_logger *ret_logger);

/* "error", "warn", "info", "debug". False: another text. */
bool rh_log_level_parse(const char *text, enum rh_log_level *ret_level);

#endif
