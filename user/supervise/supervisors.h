/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of `run`: one supervisor for each service of the configuration, and what they have in
 * common: signals, re-exec, systemd. */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "supervise/supervisor_request.h"

/* Called once, when a service has been started: then this process is in its final cgroup. */
typedef void (*supervisors_on_start)(sd_event *loop, void *data);

/* Runs all services until they have ended. @on_start may be NULL. Returns the exit status, or a
 * negative errno. */
int supervisors_run(const struct supervisor_request *requests, size_t n,
                    supervisors_on_start on_start, void *data, struct error *err);
