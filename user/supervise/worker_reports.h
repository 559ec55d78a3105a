/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers report: their listeners, by the listen hook, and READY=1, by sd_notify(3). Each
 * report leads to one look at the worker, however many come. */
#pragma once

#include "base/error.h"
#include "core/run_config.h"
#include "supervise/types.h"

/* Handles what sup->hook reports of the workers' listeners. */
int worker_reports_watch_hook(struct supervisor *sup, struct error *err);

/* Opens the socket for sd_notify(), if workers of @config need it and it is not open yet. */
int worker_reports_open_notify(struct supervisor *sup, const struct run_config *config,
                               struct error *err);

/* The worker's main process has ended: handles what it has sent before. May free the worker. */
void worker_reports_read_rest(struct worker *w);
