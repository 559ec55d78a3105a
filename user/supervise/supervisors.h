/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of `run`: one supervisor for each service of the configuration, and what they have in
 * common: signals, re-exec, systemd. */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "supervise/supervisor_request.h"

/* A child process that is no worker. */
struct supervisors_companion {
	/* Called when a service has been started: then this process is in its final cgroup. Called
	 * again if a re-exec has failed. */
	void (*start)(sd_event *loop, void *data);
	/* Called before a re-exec, after which this process does not know of the child. Kills and
	 * reaps it, and passes what the next program needs. */
	void (*pass)(void *data);
	void *data;
};

/* Runs all services until they have ended. @companion may be NULL. Returns the exit status, or a
 * negative errno with @err set. */
int supervisors_run(const struct supervisor_request *requests, size_t n,
                    const struct supervisors_companion *companion, struct error *err);
