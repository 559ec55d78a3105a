/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment of a worker: that of its user (kern/user_env.h), with the variables of the
 * configuration, and those with the worker's slot and service. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/run_config.h"
#include "supervise/types.h"

/* The worker's environment, NAME=VALUE, NULL-terminated, to be freed by strv_free(). NULL: out of
 * memory. */
char **worker_env_new(const struct worker *w);

/* The worker's number of --increment-var, if it can be a port; else 0. */
uint16_t worker_env_own_port(const struct worker *w);

/* Whether the worker gets a Node channel (channel.h). Node programs call process.send() only if
 * they were started with a channel, as PM2 starts them, and some call it without a check. Other
 * programs get no channel: a node process that they start may inherit the variable without the
 * descriptor, and ends with an error. */
bool worker_env_has_channel(const struct run_config *config);

/* Adds the variables of the channel, which is the worker's descriptor @fd. Commands of probes don't
 * get them. -ENOMEM. */
int worker_env_add_channel(char ***env, int fd);
