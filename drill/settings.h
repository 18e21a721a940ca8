/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_SETTINGS_H
#define RH_DRILL_SETTINGS_H

/* What follows from the settings of a load: defaults, limits, how many workers, who has what. Pure. */

#include "drill/load.h"

/* Puts defaults where a 0 asks for them, and checks the rest. RH_ERR_INVALID. */
RH_MUST_CHECK int rh_settings_complete(struct rh_load_settings *settings, uint64_t random,
                                       struct rh_reason *reason);

/* How many clients a process can have that may open |descriptors_max| files: some are for publishers,
 * and a quarter stays free for clients that have two connections while they move. */
uint32_t rh_settings_clients_max(uint32_t descriptors_max);

/*
 * How many workers there are to be, one at least. |ret_forced|: it is for the limit of open files that there
 * are more than were asked for. RH_ERR_INVALID: even one worker for each channel is not enough.
 */
RH_MUST_CHECK int rh_settings_workers(const struct rh_load_settings *settings,
                                      uint32_t descriptors_max, uint32_t *ret_workers_count,
                                      bool *ret_forced, struct rh_reason *reason);

/* The key of a channel. */
void rh_settings_key(const struct rh_load_settings *settings, uint32_t channel,
                     char ret_key[static RH_LOAD_KEY_SIZE]);

/* How many clients listen to it: the i-th of all listens to channel i % channels. */
uint32_t rh_settings_clients(const struct rh_load_settings *settings, uint32_t channel);

#endif
