/* SPDX-License-Identifier: BSD-2-Clause */
/* What depends on how PM2 runs an app, in cluster or in fork mode, and waits for it. */
#pragma once

#include "config/pm2_app.h"

/* Whether the name of the program that runs the script ends in @name, such as node. Needs the
 * command so far. */
bool pm2_mode_is_run_by(const struct pm2_app *app, const char *name);

/* Whether PM2 runs the app in cluster mode. Without exec_mode it does if the app sets instances and
 * node or bun runs it. Needs the command. */
bool pm2_mode_is_cluster(const struct pm2_app *app);

/* An app of fork mode is reloaded in place, unless it listens or sets in_place; workers of cluster
 * mode also share loopback addresses. Needs the command. */
void pm2_mode_set_sharing(struct pm2_app *app);

/* Sets after which pauses, and how often, a worker is started again, from restart_delay,
 * exp_backoff_restart_delay, max_restarts and min_uptime, which have been applied. */
void pm2_mode_set_restarts(struct pm2_app *app);

/* Sets when a worker is ready, from wait_ready and listen_timeout, which have been applied. */
void pm2_mode_set_ready_times(struct pm2_app *app);
