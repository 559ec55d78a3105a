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

/* The port of the worker's inspector (core/node_inspect.h), or 0. It is no endpoint. */
uint16_t worker_env_inspector(const struct worker *w);

/* Gives the worker, with environment @env and command @argv, a port of its own for the inspector.
 * Both are the caller's. Returns 0 or -ENOMEM. */
int worker_env_set_inspector(const struct worker *w, char **env, char **argv);
/* Sets w->own_ports: the numbers of --increment-var that can be a port. */
void worker_env_find_own_ports(struct worker *w);

/* Whether the port is one of them. */
bool worker_env_has_own_port(const struct worker *w, uint16_t port);

/* Whether the worker gets a Node channel (channel.h). Node programs call process.send() only if
 * they were started with a channel, as PM2 starts them, and some call it without a check. Other
 * programs get no channel: a node process that they start may inherit the variable without the
 * descriptor, and ends with an error. */
bool worker_env_has_channel(const struct run_config *config);

/* Adds the variables of the channel, which is the worker's descriptor @fd. Commands of probes don't
 * get them. -ENOMEM. */
int worker_env_add_channel(char ***env, int fd);
